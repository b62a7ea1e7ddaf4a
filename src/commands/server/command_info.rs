//! COMMAND and its subcommands but DOCS: the command table as clients see it.

use crate::base::glob;
use crate::client::Args;
use crate::commands::generic::migrate;
use crate::commands::{Command, Context, Error, Find, KeySpec, categories, flags};
use crate::resp::Out;

pub fn command(cx: &mut Context, _args: Args) -> Result<(), Error> {
    let numbers = top_level(cx);
    cx.out.array(numbers.len());
    numbers.into_iter().for_each(|number| describe(cx, number));
    Ok(())
}

/// The commands that are not subcommands.
pub fn top_level(cx: &Context) -> Vec<u16> {
    cx.registry.iter().filter(|(_, row, _)| !row.name.contains(' ')).map(|(number, ..)| number).collect()
}

/// A command by its full name, `get` or `config|get`.
pub fn by_full_name(cx: &Context, name: &[u8]) -> Option<u16> {
    let mut parts = name.splitn(2, |&byte| byte == b'|');
    let number = cx.registry.find(parts.next()?)?;
    match parts.next() {
        Some(sub) => cx.registry.find_sub(number, sub),
        None => Some(number),
    }
}

pub fn count(cx: &mut Context, _args: Args) -> Result<(), Error> {
    let count = top_level(cx).len();
    cx.out.integer(count as i64);
    Ok(())
}

pub fn info(cx: &mut Context, args: Args) -> Result<(), Error> {
    if args.len() == 2 {
        return command(cx, args);
    }
    cx.out.array(args.len() - 2);
    for name in args.from(2).iter() {
        match by_full_name(cx, name) {
            Some(number) => describe(cx, number),
            None => cx.out.null(),
        }
    }
    Ok(())
}

pub fn list(cx: &mut Context, args: Args) -> Result<(), Error> {
    type Filter<'a> = Box<dyn Fn(&Command, &str) -> bool + 'a>;
    let keep: Filter = match args.len() {
        2 => Box::new(|_, _| true),
        5 if args.is(2, "FILTERBY") && args.is(3, "MODULE") => Box::new(|_, _| false),
        5 if args.is(2, "FILTERBY") && args.is(3, "ACLCAT") => {
            let wanted = args.at(4);
            Box::new(move |row, group| {
                categories::of(row, group).iter().any(|name| name.as_bytes().eq_ignore_ascii_case(wanted))
            })
        }
        5 if args.is(2, "FILTERBY") && args.is(3, "PATTERN") => {
            Box::new(|row, _| glob::matches(args.at(4), row.full_name().as_bytes(), true))
        }
        _ => return Err(Error::SYNTAX),
    };
    let found: Vec<String> = (cx.registry.iter())
        .filter(|(_, row, group)| keep(row, group))
        .map(|(_, row, _)| row.full_name())
        .collect();
    cx.out.array(found.len());
    found.iter().for_each(|name| cx.out.bulk(name.as_bytes()));
    Ok(())
}

pub fn getkeys(cx: &mut Context, args: Args) -> Result<(), Error> {
    let (_, call) = called(cx, args)?;
    let keys = keys_of(cx, args)?;
    cx.out.array(keys.len());
    keys.iter().for_each(|(index, _)| cx.out.bulk(call.at(*index)));
    Ok(())
}

pub fn getkeysandflags(cx: &mut Context, args: Args) -> Result<(), Error> {
    let (row, call) = called(cx, args)?;
    let keys = keys_of(cx, args)?;
    cx.out.array(keys.len());
    for (index, spec) in keys {
        cx.out.array(2);
        cx.out.bulk(call.at(index));
        // That the spec misses keys is nothing that the call does to them.
        let does = does(row, spec, call).split(' ').filter(|word| *word != "incomplete");
        write_names(&mut cx.out, &does.collect::<Vec<_>>());
    }
    Ok(())
}

/// What a call does to its keys; `variable_flags` says that its arguments decide.
fn does(row: &Command, spec: &KeySpec, call: Args) -> &'static str {
    match (row.name, spec.does.strip_suffix(" variable_flags")) {
        ("SET", Some(reads)) => {
            if (3..call.len()).any(|index| call.is(index, "GET")) {
                reads
            } else {
                "OW update"
            }
        }
        ("BITFIELD", Some(_))
            if !(2..call.len()).any(|index| call.is(index, "SET") || call.is(index, "INCRBY")) =>
        {
            "RO access"
        }
        (_, Some(most)) => most,
        _ => spec.does,
    }
}

/// The command that a GETKEYS is about, and its arguments.
fn called<'a>(cx: &Context, args: Args<'a>) -> Result<(&'static Command, Args<'a>), Error> {
    let call = args.from(2);
    let number = cx.registry.resolve(call).map_err(|_| Error::new("ERR Invalid command specified"))?;
    Ok((cx.registry.row(number), call))
}

/// The indexes of the keys, each with the spec that found it.
fn keys_of(cx: &Context, args: Args) -> Result<Vec<(usize, &'static KeySpec)>, Error> {
    let (row, call) = called(cx, args)?;
    if row.keys.iter().all(KeySpec::is_no_key) {
        return Err(Error::new("ERR The command has no key arguments"));
    }
    if !row.arity_fits(call.len()) {
        return Err(Error::new("ERR Invalid number of arguments specified for command"));
    }
    let mut keys = Vec::new();
    let mut fits = row.name != "MIGRATE" || !migrate::names_keys_twice(call);
    for spec in row.keys.iter().filter(|spec| !spec.is_no_key()) {
        let before = keys.len();
        fits &= as_described(spec).each(call, &mut |index| keys.push((index, spec)));
        fits &= keys.len() > before || !matches!(spec.find, Find::Count { .. });
    }
    if (!fits || keys.is_empty()) && !row.is(flags::NO_MANDATORY_KEYS) {
        return Err(Error::new("ERR Invalid arguments specified for command"));
    }
    Ok(keys)
}

/// The spec as clients know it: they look for its word, whatever the handler knows of the arguments in front of it.
fn as_described(spec: &KeySpec) -> KeySpec {
    match spec.find {
        Find::Keyword { .. } if !spec.does.contains("incomplete") => KeySpec { ask: None, ..*spec },
        _ => *spec,
    }
}

/// One command as COMMAND INFO shows it, with its subcommands.
fn describe(cx: &mut Context, number: u16) {
    let (row, group) = (cx.registry.row(number), cx.registry.group(number));
    let keys = LegacyKeys::of(row.keys);
    cx.out.array(10);
    cx.out.bulk(row.full_name().as_bytes());
    cx.out.integer(row.arity as i64);
    // Clients are not told who touches keys that nobody named.
    let seen = row.flags & !flags::TOUCHES_ARBITRARY_KEYS;
    let mut names: Vec<&str> =
        flags::NAMES.iter().filter(|(bit, _)| seen & bit != 0).map(|(_, name)| *name).collect();
    if keys.movable {
        names.push("movablekeys");
    }
    write_names(&mut cx.out, &names);
    [keys.first, keys.last, keys.step].iter().for_each(|&number| cx.out.integer(number as i64));
    let categories: Vec<String> = categories::of(row, group).iter().map(|name| format!("@{name}")).collect();
    write_names(&mut cx.out, &categories);
    cx.out.set(row.tips.len());
    row.tips.iter().for_each(|tip| cx.out.bulk(tip.as_bytes()));
    cx.out.set(row.keys.len());
    row.keys.iter().for_each(|spec| describe_keys(&mut cx.out, spec));
    let subcommands: Vec<u16> = match row.container {
        true => cx.registry.subcommands(number).map(|(number, _)| number).collect(),
        false => Vec::new(),
    };
    cx.out.array(subcommands.len());
    subcommands.into_iter().for_each(|number| describe(cx, number));
}

/// Names as a set of simple strings.
pub fn write_names(out: &mut Out, names: &[impl AsRef<str>]) {
    out.set(names.len());
    names.iter().for_each(|name| out.simple(name.as_ref()));
}

/// The three numbers with which clients found keys before there were key specs.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
struct LegacyKeys {
    first: i32,
    last: i32,
    step: i32,
    /// The numbers do not say it all.
    movable: bool,
}

impl LegacyKeys {
    /// One range as it is; of several, the run of those that follow each other.
    fn of(specs: &[KeySpec]) -> Self {
        let mut sum = Self::default();
        let mut previous = None;
        for spec in specs {
            match spec.find {
                Find::Range { first, last, step } if specs.len() == 1 => {
                    return Self { first: first as i32, last, step: step as i32, movable: false };
                }
                Find::Range { first, last, step: 1 }
                    if previous.is_none_or(|at: i32| at + 1 == first as i32) =>
                {
                    sum.first = if sum.first == 0 { first as i32 } else { sum.first.min(first as i32) };
                    sum.last = (sum.last as u32).max(last as u32) as i32;
                    sum.step = 1;
                    previous = Some(sum.last);
                }
                _ => sum.movable = true,
            }
        }
        sum
    }
}

fn describe_keys(out: &mut Out, spec: &KeySpec) {
    out.map(3 + !spec.notes.is_empty() as usize);
    if !spec.notes.is_empty() {
        out.bulk(b"notes");
        out.bulk(spec.notes.as_bytes());
    }
    out.bulk(b"flags");
    write_names(out, &spec.does.split(' ').collect::<Vec<_>>());
    let number = |number: usize| Part::Number(number as i64);
    let (kind, parts) = match spec.find {
        Find::Range { first, .. } => ("index", vec![("index", number(first))]),
        Find::Count { at, .. } => ("index", vec![("index", number(at))]),
        Find::Keyword { word, from, .. } => {
            ("keyword", vec![("keyword", Part::Text(word)), ("startfrom", Part::Number(from as i64))])
        }
        Find::Unknown => ("unknown", vec![]),
    };
    search(out, "begin_search", kind, &parts);
    let range = |last: i64, step: usize, limit: usize| {
        ("range", vec![("lastkey", Part::Number(last)), ("keystep", number(step)), ("limit", number(limit))])
    };
    let (kind, parts) = match spec.find {
        Find::Range { first, last, step } => {
            range(if last < 0 { last as i64 } else { last as i64 - first as i64 }, step, 0)
        }
        Find::Count { step, .. } => {
            ("keynum", vec![("keynumidx", number(0)), ("firstkey", number(1)), ("keystep", number(step))])
        }
        Find::Keyword { last, step, limit, .. } => range(last as i64, step, limit),
        Find::Unknown => ("unknown", vec![]),
    };
    search(out, "find_keys", kind, &parts);
}

#[derive(Clone, Copy)]
enum Part {
    Number(i64),
    Text(&'static str),
}

fn search(out: &mut Out, name: &str, kind: &str, parts: &[(&str, Part)]) {
    out.bulk(name.as_bytes());
    out.map(2);
    out.bulk(b"type");
    out.bulk(kind.as_bytes());
    out.bulk(b"spec");
    out.map(parts.len());
    for (name, part) in parts {
        out.bulk(name.as_bytes());
        match part {
            Part::Number(number) => out.integer(*number),
            Part::Text(text) => out.bulk(text.as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legacy_numbers_of_several_specs() {
        let legacy = |specs: &[KeySpec]| {
            let keys = LegacyKeys::of(specs);
            (keys.first, keys.last, keys.step, keys.movable)
        };
        assert_eq!(legacy(&[]), (0, 0, 0, false));
        assert_eq!(legacy(&[KeySpec::range(1, -1, 2, "OW")]), (1, -1, 2, false));
        assert_eq!(legacy(&[KeySpec::at(1, "OW"), KeySpec::at(2, "RO")]), (1, 2, 1, false));
        assert_eq!(legacy(&[KeySpec::at(1, "OW"), KeySpec::range(2, -1, 1, "RO")]), (1, -1, 1, false));
        assert_eq!(legacy(&[KeySpec::at(1, "OW"), KeySpec::count(2, 1, "RO")]), (1, 1, 1, true));
        assert_eq!(legacy(&[KeySpec::count(1, 1, "RO")]), (0, 0, 0, true));
    }
}
