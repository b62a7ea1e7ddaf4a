//! Every command's arity, flags, categories and keys against what Redis 8.0 and Valkey 9.1 say of them.

use std::collections::{BTreeMap, BTreeSet};

use ringfort::commands::{Command, FAMILIES, Find, KeySpec, Registry, categories, flags};

/// What differs on purpose: command, column, why.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("MULTI", "flags", "Redis answers a nested MULTI itself; only Valkey has no_multi"),
    ("WATCH", "flags", "Redis answers WATCH inside MULTI itself; only Valkey has no_multi"),
    ("EXEC", "flags", "skip_slowlog is Redis' name for Valkey's skip_commandlog"),
];

/// Flags of the list that COMMAND INFO never shows.
const UNSEEN_FLAGS: &[&str] = &["sentinel", "protected", "all_dbs", "experimental"];

struct Fact<'a> {
    group: &'a str,
    arity: &'a str,
    since: &'a str,
    flags: BTreeSet<&'a str>,
    categories: BTreeSet<&'a str>,
    keys: &'a str,
}

fn words(text: &str) -> BTreeSet<&str> {
    text.split('+').filter(|word| *word != "-").collect()
}

fn facts() -> BTreeMap<&'static str, Fact<'static>> {
    let lines = include_str!("commands.tsv").lines().skip(1);
    let fact = |line: &'static str| {
        let columns: Vec<&str> = line.split('\t').collect();
        let [name, group, arity, since, _, flags, categories, keys] = columns[..] else { panic!("{line}") };
        let mut flags = words(flags);
        flags.retain(|flag| !UNSEEN_FLAGS.contains(flag));
        (name, Fact { group, arity, since, flags, categories: words(categories), keys })
    };
    lines.map(fact).collect()
}

/// Key specs as the list writes them.
fn keys_text(specs: &[KeySpec]) -> String {
    let text = |spec: &KeySpec| {
        let does = spec.does.to_ascii_lowercase().replace(' ', "+");
        let found = match spec.find {
            Find::Range { first, last, step } => {
                let last = if last < 0 { last } else { last - first as i32 };
                format!("at {first} range last={last} step={step} limit=0")
            }
            Find::Count { at, step } => format!("at {at} keynum idx=0 first=1 step={step}"),
            Find::Keyword { word, from, last, step, limit } => {
                format!("after {word} from {from} range last={last} step={step} limit={limit}")
            }
            Find::Unknown => "unknown unknown".to_owned(),
        };
        format!("[{does} {found}]")
    };
    match specs {
        [] => "-".to_owned(),
        specs => specs.iter().map(text).collect::<Vec<_>>().join(" "),
    }
}

/// The columns in which a row differs from the facts, each with both sides.
fn differences(row: &Command, group: &str, fact: &Fact) -> Vec<(&'static str, String)> {
    let known = flags::NAMES.iter().filter(|(bit, _)| row.is(*bit)).map(|(_, name)| *name);
    let flags: BTreeSet<&str> = known.collect();
    let categories: BTreeSet<&str> = categories::of(row, group).into_iter().collect();
    let keys = keys_text(row.keys);
    let mut found = Vec::new();
    let mut compare = |column, ours: String, theirs: String| {
        if ours != theirs {
            found.push((column, format!("{ours} instead of {theirs}")));
        }
    };
    compare("group", group.replace('-', "_"), fact.group.to_owned());
    compare("arity", row.arity.to_string(), fact.arity.to_owned());
    compare("since", row.since.to_owned(), fact.since.to_owned());
    compare("flags", format!("{flags:?}"), format!("{:?}", fact.flags));
    compare("categories", format!("{categories:?}"), format!("{:?}", fact.categories));
    compare("keys", keys, fact.keys.to_owned());
    found
}

#[test]
fn every_command_is_what_redis_says_it_is() {
    let facts = facts();
    let registry = Registry::new(FAMILIES);
    let mut wrong = String::new();
    for (_, row, group) in registry.iter() {
        let Some(fact) = facts.get(row.name) else {
            wrong.push_str(&format!("{}: no such command\n", row.name));
            continue;
        };
        for (column, text) in differences(row, group, fact) {
            let excepted = EXCEPTIONS.iter().any(|(name, of, _)| *name == row.name && *of == column);
            if !excepted {
                wrong.push_str(&format!("{} {column}: {text}\n", row.name));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn every_row_says_what_it_does() {
    for (_, row, _) in Registry::new(FAMILIES).iter() {
        assert!(!row.about.is_empty() && row.about.ends_with('.'), "{}: {:?}", row.name, row.about);
    }
}
