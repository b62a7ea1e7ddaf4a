//! The scripts and libraries that the server knows, shared by all cores.
//! In: bodies and code. Out: the same to every core, which compiles what it runs.
//! Invariants: T1, what a core compiled is used only while its epoch is current. T2, how far a script reaches only ever
//! grows from narrow to wide.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::*};
use std::sync::{Arc, Mutex, RwLock};

use crate::base::sha1::sha1_hex;

/// The name of a script: its SHA-1 in hexadecimal digits.
pub type Sha = [u8; 40];

/// What the first line of a script, or a function's registration, says; bits of `Script::flags`.
pub mod flags {
    pub const NO_WRITES: u32 = 1 << 0;
    pub const ALLOW_OOM: u32 = 1 << 1;
    pub const ALLOW_STALE: u32 = 1 << 2;
    pub const NO_CLUSTER: u32 = 1 << 3;
    pub const ALLOW_CROSS_SLOT_KEYS: u32 = 1 << 4;
    /// The script has no such line: it is treated as before there were flags.
    pub const UNDECLARED: u32 = 1 << 5;

    pub const NAMES: &[(u32, &str)] = &[
        (NO_WRITES, "no-writes"),
        (ALLOW_OOM, "allow-oom"),
        (ALLOW_STALE, "allow-stale"),
        (NO_CLUSTER, "no-cluster"),
        (ALLOW_CROSS_SLOT_KEYS, "allow-cross-slot-keys"),
    ];

    /// The bit of a name.
    pub fn find(name: &str) -> Option<u32> {
        NAMES.iter().find(|(_, known)| *known == name).map(|(bit, _)| *bit)
    }
}

/// How far a script reaches: see `proof`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Reach {
    /// Nobody has compiled it yet.
    Unknown,
    /// Proven to touch its declared keys only.
    Proven,
    /// It may go beyond, and did not so far: it runs with its declared keys' shards until it wants to write.
    Hopeful,
    /// It went beyond, or wrote: it runs with all shards.
    Wide,
}

/// One script. Its body is compiled by each core that runs it.
pub struct Script {
    pub sha: Sha,
    pub body: Box<[u8]>,
    pub flags: u32,
    reach: AtomicU8,
}

impl Script {
    /// The script of a body; the error is what is wrong with its first line.
    pub fn new(body: &[u8]) -> Result<Self, Vec<u8>> {
        let flags = shebang(body)?;
        let reach = AtomicU8::new(Reach::Unknown as u8);
        Ok(Self { sha: sha1_hex(body), body: body.into(), flags, reach })
    }

    pub fn reach(&self) -> Reach {
        match self.reach.load(Relaxed) {
            0 => Reach::Unknown,
            1 => Reach::Proven,
            2 => Reach::Hopeful,
            _ => Reach::Wide,
        }
    }

    /// T2: a wider answer stays.
    pub fn set_reach(&self, reach: Reach) {
        self.reach.fetch_max(reach as u8, Relaxed);
    }

    /// The code to compile: without the first line's words, whose line end stays.
    pub fn code(&self) -> &[u8] {
        match self.flags & flags::UNDECLARED {
            0 => &self.body[memchr::memchr(b'\n', &self.body).unwrap_or(self.body.len())..],
            _ => &self.body,
        }
    }
}

/// The flags of a script: those of its first line, if that begins with `#!`.
pub fn shebang(body: &[u8]) -> Result<u32, Vec<u8>> {
    if !body.starts_with(b"#!") {
        return Ok(flags::UNDECLARED);
    }
    let Some(end) = memchr::memchr(b'\n', body) else { return Err("Invalid script shebang".into()) };
    let words = body[..end].split(|byte| byte.is_ascii_whitespace());
    let mut words = words.filter(|word| !word.is_empty());
    let engine = words.next().unwrap_or(b"#!");
    if engine != b"#!lua" {
        return Err([b"Unexpected engine in script shebang: ", engine].concat());
    }
    let mut found = 0;
    for word in words {
        let Some(list) = word.strip_prefix(b"flags=") else {
            return Err([b"Unknown lua shebang option: ", word].concat());
        };
        for name in list.split(|&byte| byte == b',').filter(|_| !list.is_empty()) {
            let known = std::str::from_utf8(name).ok().and_then(flags::find);
            found |= known.ok_or_else(|| [b"Unexpected flag in script shebang: ", name].concat())?;
        }
    }
    Ok(found)
}

/// A function of a library.
#[derive(Clone, Debug)]
pub struct Function {
    pub name: String,
    pub description: Option<Vec<u8>>,
    pub flags: u32,
}

/// A library of functions: its code, and what it registered when it was loaded.
#[derive(Debug)]
pub struct Library {
    pub name: String,
    pub code: Box<[u8]>,
    pub functions: Vec<Function>,
}

/// All libraries at one moment.
#[derive(Clone, Default)]
pub struct Libraries {
    pub by_name: BTreeMap<String, Arc<Library>>,
    /// Which library has a function, by its name in small letters.
    functions: HashMap<String, Arc<Library>>,
}

impl Libraries {
    /// The function of that name, whatever its case, and its library.
    pub fn find(&self, name: &str) -> Option<(&Arc<Library>, &Function)> {
        let library = self.functions.get(&name.to_ascii_lowercase())?;
        let function = library.functions.iter().find(|function| function.name.eq_ignore_ascii_case(name))?;
        Some((library, function))
    }

    /// Bytes of the libraries' code.
    pub fn code_bytes(&self) -> usize {
        self.by_name.values().map(|library| library.code.len()).sum()
    }

    pub fn function_count(&self) -> usize {
        self.functions.len()
    }

    pub fn remove(&mut self, name: &str) -> Option<Arc<Library>> {
        let library = self.by_name.remove(name)?;
        for function in &library.functions {
            self.functions.remove(&function.name.to_ascii_lowercase());
        }
        Some(library)
    }

    /// Adds a library, in the place of the one of its name. The error names a function that another one has.
    pub fn add(&mut self, library: Arc<Library>) -> Result<(), String> {
        let taken = |function: &&Function| {
            let owner = self.functions.get(&function.name.to_ascii_lowercase());
            owner.is_some_and(|owner| owner.name != library.name)
        };
        if let Some(function) = library.functions.iter().find(taken) {
            return Err(function.name.clone());
        }
        self.remove(&library.name);
        for function in &library.functions {
            self.functions.insert(function.name.to_ascii_lowercase(), library.clone());
        }
        self.by_name.insert(library.name.clone(), library);
        Ok(())
    }
}

/// A script, or a function, that runs for longer than `busy-reply-threshold`.
#[derive(Debug)]
pub struct Running {
    /// Its name, as FUNCTION STATS shows it; None: it is a script.
    pub function: Option<String>,
    pub command: Vec<Vec<u8>>,
    pub started_ms: i64,
    pub core: usize,
    /// It wrote, so that it cannot be ended.
    pub wrote: AtomicBool,
    pub kill: AtomicBool,
}

/// Everything that is shared about scripts.
#[derive(Default)]
pub struct Scripts {
    table: RwLock<HashMap<Sha, Arc<Script>>>,
    /// Grows when scripts are thrown away.
    epoch: AtomicU64,
    libraries: RwLock<Arc<Libraries>>,
    /// Grows with every change of the libraries.
    library_epoch: AtomicU64,
    running: Mutex<Vec<Arc<Running>>>,
}

impl Scripts {
    pub fn find(&self, sha: &Sha) -> Option<Arc<Script>> {
        self.table.read().expect("nobody panics holding the scripts").get(sha).cloned()
    }

    /// Adds a script, or finds it there.
    pub fn add(&self, script: Arc<Script>) -> Arc<Script> {
        let mut table = self.table.write().expect("nobody panics holding the scripts");
        table.entry(script.sha).or_insert(script).clone()
    }

    pub fn flush(&self) {
        self.table.write().expect("nobody panics holding the scripts").clear();
        self.epoch.fetch_add(1, Release);
    }

    /// How many scripts there are, and the bytes of their bodies.
    pub fn size(&self) -> (usize, usize) {
        let table = self.table.read().expect("nobody panics holding the scripts");
        (table.len(), table.values().map(|script| script.body.len()).sum())
    }

    pub fn epoch(&self) -> u64 {
        self.epoch.load(Acquire)
    }

    pub fn libraries(&self) -> Arc<Libraries> {
        self.libraries.read().expect("nobody panics holding the libraries").clone()
    }

    pub fn library_epoch(&self) -> u64 {
        self.library_epoch.load(Acquire)
    }

    /// Changes the libraries, all or nothing.
    pub fn change_libraries<R, E>(
        &self,
        change: impl FnOnce(&mut Libraries) -> Result<R, E>,
    ) -> Result<R, E> {
        let mut place = self.libraries.write().expect("nobody panics holding the libraries");
        let mut next = Libraries::clone(&place);
        let result = change(&mut next)?;
        *place = Arc::new(next);
        self.library_epoch.fetch_add(1, Release);
        Ok(result)
    }

    /// There are no libraries any more.
    pub fn clear_libraries(&self) {
        let _: Result<(), ()> = self.change_libraries(|libraries| {
            *libraries = Libraries::default();
            Ok(())
        });
    }

    /// A script has been running for too long.
    pub fn begin_busy(&self, running: Arc<Running>) {
        self.running.lock().expect("nobody panics holding the list").push(running);
    }

    /// It ended. False: others are still running.
    pub fn end_busy(&self, running: &Arc<Running>) -> bool {
        let mut list = self.running.lock().expect("nobody panics holding the list");
        list.retain(|other| !Arc::ptr_eq(other, running));
        list.is_empty()
    }

    /// The script that has run for longest.
    pub fn running(&self) -> Option<Arc<Running>> {
        self.running.lock().expect("nobody panics holding the list").first().cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_lines() {
        for (body, flags) in [
            ("return 1", Ok(flags::UNDECLARED)),
            ("#!lua\nreturn 1", Ok(0)),
            ("#!lua flags=\nreturn 1", Ok(0)),
            ("#!lua flags=no-writes,allow-oom\n", Ok(flags::NO_WRITES | flags::ALLOW_OOM)),
            ("#!lua flags=no-writes flags=no-cluster\n", Ok(flags::NO_WRITES | flags::NO_CLUSTER)),
            ("#!lua flags=x\n", Err("Unexpected flag in script shebang: x")),
            ("#!lua flags=no-writes,\n", Err("Unexpected flag in script shebang: ")),
            ("#!lua name=x\n", Err("Unknown lua shebang option: name=x")),
            ("#!foo\n", Err("Unexpected engine in script shebang: #!foo")),
            ("#! lua\n", Err("Unexpected engine in script shebang: #!")),
            ("#!lua", Err("Invalid script shebang")),
        ] {
            assert_eq!(shebang(body.as_bytes()), flags.map_err(Vec::from), "{body}");
        }
    }
}
