//! `ringfort check FILE`, also as redis-check-rdb and redis-check-aof: is a file of a server's data whole and sound?
//! In: arguments. Out: what is found, in the words of Redis' own tools, and where it is wrong; 0 if nothing is, else 1.
//! Absent: the formats (see `persist`), the server: a check needs none, and changes nothing unless it is told to.

mod aof;
mod rdb;

use crate::base::clock::Clock;
use crate::persist::aof::has_preamble;
use crate::persist::aof::manifest::Manifest;
use std::fs::File;
use std::io::{self, BufRead, Read, Write};
use std::path::{Path, PathBuf};

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// Whatever it is.
    Any(PathBuf),
    Rdb(PathBuf),
    Aof(PathBuf, Repair),
}

/// What is done to a log that is wrong, or goes on too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repair {
    Nothing,
    /// Cuts it off where it is good, if the user agrees.
    Cut,
    /// Cuts it off where it is later than that Unix time.
    CutAfter(i64),
}

const USAGE_ANY: &str = "Usage: ringfort check <file.rdb|file.manifest|file.aof>\n";
const USAGE_RDB: &str = "Usage: redis-check-rdb <rdb-file-name>\n";
const USAGE_AOF: &str =
    "Usage: redis-check-aof [--fix|--truncate-to-timestamp $timestamp] <file.manifest|file.aof>\n";

/// The task of a command line, if it is one of a check; the usage if it is a wrong one.
pub fn task(program: &str, arguments: &[String]) -> Option<Result<Task, &'static str>> {
    let name = Path::new(program).file_name().map_or(program.into(), |name| name.to_string_lossy());
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    Some(match (&*name, &arguments[..]) {
        ("redis-check-rdb", [file]) => Ok(Task::Rdb(file.into())),
        ("redis-check-rdb", _) => Err(USAGE_RDB),
        ("redis-check-aof", arguments) => aof_task(arguments).ok_or(USAGE_AOF),
        (_, ["check", file]) => Ok(Task::Any(file.into())),
        (_, ["check", ..]) => Err(USAGE_ANY),
        _ => return None,
    })
}

fn aof_task(arguments: &[&str]) -> Option<Task> {
    Some(match *arguments {
        [file] => Task::Aof(file.into(), Repair::Nothing),
        ["--fix", file] => Task::Aof(file.into(), Repair::Cut),
        ["--truncate-to-timestamp", time, file] => {
            Task::Aof(file.into(), Repair::CutAfter(time.parse().ok().filter(|&time| time > 0)?))
        }
        _ => return None,
    })
}

/// A check that is under way.
struct Check<'a> {
    out: &'a mut dyn Write,
    /// Where questions are answered.
    input: &'a mut dyn BufRead,
    now_ms: i64,
}

/// Carries out a task; true: nothing is wrong. Fails only if the output does.
pub fn run(task: &Task, input: &mut dyn BufRead, out: &mut dyn Write) -> io::Result<bool> {
    let mut check = Check { out, input, now_ms: Clock::Real.unix_ms() };
    let (Task::Any(path) | Task::Rdb(path) | Task::Aof(path, _)) = task;
    let kind = match kind(path) {
        Ok(kind) => kind,
        Err(error) => {
            writeln!(check.out, "Cannot open file {}: {}", path.display(), error_text(&error))?;
            return Ok(false);
        }
    };
    match (task, kind) {
        (Task::Rdb(_), _) => check.rdb_file(path),
        (Task::Any(_), Kind::Rdb) => check.rdb_or_log(path),
        (Task::Any(_), Kind::Manifest) => check.manifest(path, Repair::Nothing),
        (Task::Any(_), Kind::Other) => check.single(path, Repair::Nothing),
        (Task::Aof(_, repair), Kind::Manifest) => check.manifest(path, *repair),
        (Task::Aof(_, repair), _) => check.single(path, *repair),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// It begins as an RDB file.
    Rdb,
    Manifest,
    /// Commands, or nothing known.
    Other,
}

fn kind(path: &Path) -> io::Result<Kind> {
    const BEGIN_BYTES: u64 = 4096;
    let mut begin = Vec::new();
    File::open(path)?.take(BEGIN_BYTES).read_to_end(&mut begin)?;
    if begin.is_empty() {
        return Ok(kind_by_name(path));
    }
    let first = begin.split(|&byte| byte == b'\n').find(|line| !line.starts_with(b"#"));
    Ok(match first {
        _ if has_preamble(&begin) => Kind::Rdb,
        Some(line) if line.starts_with(b"file") => Kind::Manifest,
        _ => Kind::Other,
    })
}

/// An empty file is a sound log, but neither an RDB file nor a manifest: no server takes it for one.
fn kind_by_name(path: &Path) -> Kind {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let is_of_log = || [".aof", ".base.rdb"].iter().any(|end| name.ends_with(end));
    match () {
        () if name.ends_with(".manifest") => Kind::Manifest,
        () if is_of_log() => Kind::Other,
        () => Kind::Rdb,
    }
}

/// The system's words, without the number.
fn error_text(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

/// A file that is read in portions.
struct Portions {
    file: File,
    buffer: Vec<u8>,
    bytes: u64,
}

impl Portions {
    fn open(path: &Path) -> io::Result<Portions> {
        const PORTION_BYTES: usize = 1 << 20;
        let file = File::open(path)?;
        let bytes = file.metadata()?.len();
        Ok(Portions { file, buffer: vec![0; PORTION_BYTES], bytes })
    }

    /// The next portion, empty at the end.
    fn next(&mut self) -> io::Result<&[u8]> {
        let count = self.file.read(&mut self.buffer)?;
        Ok(&self.buffer[..count])
    }
}

impl Check<'_> {
    /// A file that begins as an RDB file: it is one, or a log that begins with one.
    fn rdb_or_log(&mut self, path: &Path) -> io::Result<bool> {
        let Some(behind) = self.rdb(path)? else { return Ok(false) };
        if behind.is_empty() {
            return Ok(true);
        }
        writeln!(self.out, "There is more behind the RDB file: this is a log, or was written to by others.")?;
        self.single(path, Repair::Nothing)
    }

    fn rdb_file(&mut self, path: &Path) -> io::Result<bool> {
        let Some(behind) = self.rdb(path)? else { return Ok(false) };
        if !behind.is_empty() {
            writeln!(self.out, "[offset {}] There are bytes behind the end of the RDB file.", behind.offset)?;
        }
        Ok(behind.is_empty())
    }

    /// All files of a log.
    fn manifest(&mut self, path: &Path, repair: Repair) -> io::Result<bool> {
        writeln!(self.out, "Start checking Multi Part AOF")?;
        let text = std::fs::read(path)?;
        let manifest = match Manifest::parse(&text) {
            Ok(manifest) => manifest,
            Err(error) => {
                writeln!(self.out, "\n*** FATAL AOF MANIFEST FILE ERROR ***\n{error}")?;
                return Ok(false);
            }
        };
        let folder = path.parent().unwrap_or(Path::new(""));
        let last = manifest.files().last().map(|file| file.name.clone());
        if let Some(base) = &manifest.base {
            let path = folder.join(&base.name);
            let format = if matches!(kind(&path), Ok(Kind::Rdb)) { "RDB" } else { "RESP" };
            writeln!(self.out, "Start to check BASE AOF ({format} format).")?;
            let part = aof::Part {
                path: &path,
                name: &base.name,
                kind: "BASE ",
                last: last.as_ref() == Some(&base.name),
            };
            if !self.log(part, repair)? {
                return Ok(false);
            }
        }
        if !manifest.incr.is_empty() {
            writeln!(self.out, "Start to check INCR files.")?;
        }
        for file in &manifest.incr {
            let path = folder.join(&file.name);
            let part = aof::Part {
                path: &path,
                name: &file.name,
                kind: "INCR ",
                last: last.as_ref() == Some(&file.name),
            };
            if !self.log(part, repair)? {
                return Ok(false);
            }
        }
        writeln!(self.out, "All AOF files and manifest are valid")?;
        Ok(true)
    }

    /// A log that is one file.
    fn single(&mut self, path: &Path, repair: Repair) -> io::Result<bool> {
        writeln!(self.out, "Start checking Old-Style AOF")?;
        let name = path.display().to_string();
        self.log(aof::Part { path, name: &name, kind: "", last: true }, repair)
    }
}

#[cfg(test)]
mod tests;
