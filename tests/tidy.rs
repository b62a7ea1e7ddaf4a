//! Keeps the layout that ARCHITECTURE.md promises: layers import downwards only, files stay readable, unsafe code
//! stays where it is expected, every file says what it is for.
//! In: the text of `src/`. Out: one line for each place that breaks a rule.
//! Absent: what rustfmt and clippy see.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The modules at the top of the crate and what each may import, besides itself. Siblings of a layer do not know each
/// other, but where it says so. `sim` exists in tests only, so any test may use it.
const LAYERS: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("config", &["base"]),
    ("log", &["base"]),
    ("mesh", &["base"]),
    ("metrics", &["base"]),
    ("net", &["base"]),
    ("resp", &["base"]),
    ("types", &["base"]),
    ("client", &["base", "config", "metrics", "resp", "types"]),
    ("persist", &["base", "config", "resp", "types"]),
    ("storage", &["base", "client", "persist"]),
    ("pubsub", &["base", "client", "resp"]),
    ("shard", &["base", "client", "config", "metrics", "persist", "types"]),
    ("script", &["base", "client", "resp"]),
    (
        "shared",
        &["base", "client", "config", "log", "metrics", "net", "persist", "pubsub", "script", "types"],
    ),
    (
        "commands",
        &[
            "base", "client", "config", "log", "metrics", "persist", "pubsub", "resp", "script", "shard",
            "shared", "storage", "types",
        ],
    ),
    (
        "server",
        &[
            "base", "client", "commands", "config", "log", "mesh", "metrics", "net", "persist", "pubsub",
            "resp", "script", "shard", "shared", "storage", "types",
        ],
    ),
];

/// Above all layers: may import anything.
const TOP: &[&str] = &["lib", "main", "sim"];

/// The files that may hold unsafe code; each says why at its top.
const UNSAFE: &[&str] = &[
    "base/clock.rs",
    "base/memory.rs",
    "base/prefetch.rs",
    "base/usage.rs",
    "log.rs",
    "mesh/ring.rs",
    "net/ring.rs",
    "script/engine.rs",
    "script/lua.rs",
    "server/process.rs",
    "types/entry.rs",
    "types/slab.rs",
    "types/store.rs",
    "types/table.rs",
    "types/zset/sorted.rs",
];

const FILE_LINES_MAX: usize = 1000;

/// A file of `src/`, its path from there, and its text.
struct Source {
    path: String,
    text: String,
}

impl Source {
    /// The module at the top of the crate that it belongs to.
    fn module(&self) -> &str {
        self.path.split(['/', '.']).next().unwrap()
    }

    /// How many modules it is below the crate's root.
    fn depth(&self) -> usize {
        self.path.trim_end_matches(".rs").trim_end_matches("/mod").split('/').count()
    }

    /// Its lines of code, numbered from 1, without line comments.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text
            .lines()
            .map(|line| line.split("//").next().unwrap())
            .enumerate()
            .map(|(n, line)| (n + 1, line))
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
                found.push(Source { path: name, text: fs::read_to_string(&path).unwrap() });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// The names that follow `crate::` in a text, also in `crate::{a::x, b}`, with their lines.
fn crate_paths(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let line = 1 + text[..at].matches('\n').count();
        let rest = &text[at + "crate::".len()..];
        let names = if rest.starts_with('{') { group(rest) } else { vec![name(rest)] };
        found.extend(names.into_iter().map(|name| (line, name)));
    }
    found
}

/// The name at the beginning of a text.
fn name(text: &str) -> String {
    text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// The first names of the paths in `{a::x, b::{c, d}}`.
fn group(text: &str) -> Vec<String> {
    let (mut depth, mut names) = (0, Vec::new());
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            break;
        }
        if depth == 1 && (c == '{' || c == ',') {
            names.push(name(&text[at + 1..]));
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

/// The imports of a file that its layer forbids.
fn forbidden_imports(source: &Source) -> Vec<String> {
    let module = source.module();
    if TOP.contains(&module) {
        return Vec::new();
    }
    let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == module) else {
        return vec![format!("src/{}: module {module} has no layer in tests/tidy.rs", source.path)];
    };
    let known = |name: &str| LAYERS.iter().any(|(layer, _)| *layer == name);
    let code: String = source.code().map(|(_, line)| format!("{line}\n")).collect();
    let mut broken: Vec<String> = crate_paths(&code)
        .into_iter()
        .filter(|(_, name)| name != module && known(name) && !allowed.contains(&name.as_str()))
        .map(|(line, name)| format!("src/{}:{line}: {module} imports {name}", source.path))
        .collect();
    broken.extend(escapes(source));
    broken
}

/// `super::super::…` that climbs out of the module at the top of the crate. In an inline module it starts one lower.
fn escapes(source: &Source) -> Vec<String> {
    let depth = source.depth();
    let climbs = |line: &str| {
        let inline = line.starts_with(' ') as usize;
        let chain = line.split("super::super::").count() > 1;
        chain && line.matches("super::").count() >= depth + inline
    };
    let lines = source.code().filter(|(_, line)| climbs(line));
    lines
        .map(|(n, _)| format!("src/{}:{n}: leaves its module by super::, write crate::", source.path))
        .collect()
}

fn assert_none(broken: Vec<String>) {
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

#[test]
fn layers_import_downwards_only() {
    for (n, (module, allowed)) in LAYERS.iter().enumerate() {
        let lower: BTreeSet<_> = LAYERS[..n].iter().map(|(name, _)| name).collect();
        let upward = allowed.iter().find(|name| !lower.contains(name));
        assert_eq!(upward, None, "the table itself lets {module} import upwards");
    }
    assert_none(sources().iter().flat_map(forbidden_imports).collect());
}

#[test]
fn files_are_of_a_size_to_read() {
    let lines = |source: &Source| source.text.lines().count();
    let long = sources().into_iter().filter(|source| lines(source) > FILE_LINES_MAX);
    assert_none(long.map(|source| format!("src/{}: {} lines", source.path, lines(&source))).collect());
}

#[test]
fn files_say_what_they_are_for() {
    let silent = sources().into_iter().filter(|source| !source.text.starts_with("//! "));
    assert_none(silent.map(|source| format!("src/{}: no `//!` line first", source.path)).collect());
}

#[test]
fn unsafe_code_stays_where_it_is() {
    let mut broken = Vec::new();
    for source in sources() {
        let allows: Vec<_> = source.text.lines().filter(|line| line.contains("allow(unsafe_code)")).collect();
        let listed = UNSAFE.contains(&source.path.as_str());
        match (allows.is_empty(), listed) {
            (false, false) => broken.push(format!("src/{}: allows unsafe code", source.path)),
            (true, true) => {
                broken.push(format!("src/{}: listed for unsafe code it does not have", source.path))
            }
            _ => {}
        }
        broken.extend(unexplained(&source));
    }
    assert_none(broken);
}

/// Unsafe blocks and impls without a SAFETY comment in the lines above them.
fn unexplained(source: &Source) -> Vec<String> {
    let lines: Vec<&str> = source.text.lines().collect();
    let explains = |line: &&str| line.contains("SAFETY") || line.contains("# Safety");
    let explained = |n: usize| lines[n.saturating_sub(8)..=n].iter().any(explains);
    let is_unsafe = |line: &str| line.contains("unsafe {") || line.contains("unsafe impl");
    let found = source.code().filter(|(n, line)| is_unsafe(line) && !explained(n - 1));
    found.map(|(n, _)| format!("src/{}:{n}: unsafe without SAFETY", source.path)).collect()
}

#[test]
fn the_checks_can_fail() {
    let file = |path: &str, text: &str| Source { path: path.into(), text: text.into() };
    let imports = |path, text| forbidden_imports(&file(path, text)).len();
    assert_eq!(imports("mesh/ring.rs", "use crate::base::clock;\nuse crate::mesh::Port;"), 0);
    assert_eq!(imports("mesh/ring.rs", "use crate::{base::clock, net::Ring, shard};"), 2);
    assert_eq!(imports("types/table.rs", "fn f() { crate::server::core::now() } // crate::net::x"), 1);
    assert_eq!(imports("new/mod.rs", ""), 1);
    assert_eq!(imports("net/ring.rs", "use super::super::shard::Shard;"), 1);
    assert_eq!(imports("net/a/ring.rs", "use super::super::Ring;"), 0);
    assert_eq!(unexplained(&file("a.rs", "let x = unsafe { y() };")).len(), 1);
    assert_eq!(unexplained(&file("a.rs", "// SAFETY: I1\nlet x = unsafe { y() };")).len(), 0);
}
