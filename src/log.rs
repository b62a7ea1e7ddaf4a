//! The server's log: lines as Redis writes them, `4121:M 23 Nov 2026 12:42:00.036 * Ready to accept connections`.
//!
//! In: a level and a message. Out: one `write` to standard output or to the log file, which is opened for each
//! line, so that it can be rotated by renaming it; and to syslog where that is asked for.
//! Absent: the hot path. A line costs system calls and a lock; nothing that a client's command does may log.

// The time of day in the local zone: std has none, and libc reads the zone's rules.
#![allow(unsafe_code)]

use std::fmt::{self, Display};
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    Debug,
    Verbose,
    Notice,
    Warning,
}

impl Level {
    fn mark(self) -> char {
        ['.', '-', '*', '#'][self as usize]
    }

    /// Syslog's number: debug, info, notice, warning.
    fn severity(self) -> u8 {
        7 - self as u8
    }
}

/// Who writes the line: the letter behind the process id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Role {
    Master = b'M',
    Replica = b'S',
}

/// Where lines go besides the file.
#[derive(Clone, Debug)]
pub struct Syslog {
    pub ident: String,
    /// `user` or `local0` to `local7`.
    pub facility: &'static str,
}

/// Lines below this level are dropped; one above `Warning` drops all.
static LEVEL: AtomicU8 = AtomicU8::new(Level::Notice as u8);
static ROLE: AtomicU8 = AtomicU8::new(Role::Master as u8);
static SINK: Mutex<Sink> = Mutex::new(Sink { file: None, syslog: None });

struct Sink {
    /// `None`: standard output.
    file: Option<PathBuf>,
    syslog: Option<(UnixDatagram, Syslog)>,
}

/// Sends the lines from now on to `file`, or to standard output, and to syslog where given. Fails if the file cannot
/// be opened. A relative name is taken from the current directory, now and not later.
pub fn init(file: Option<&Path>, syslog: Option<Syslog>) -> io::Result<()> {
    let file = file.map(std::path::absolute).transpose()?;
    if let Some(file) = &file {
        append_to(file)?;
    }
    let syslog = syslog.and_then(|syslog| Some((UnixDatagram::unbound().ok()?, syslog)));
    *sink() = Sink { file, syslog };
    Ok(())
}

/// The lowest level that is written: `debug`, `verbose`, `notice`, `warning` or `nothing`.
pub fn set_level(word: &str) {
    let level = ["debug", "verbose", "notice", "warning", "nothing"].iter().position(|known| *known == word);
    LEVEL.store(level.unwrap_or(Level::Notice as usize) as u8, Ordering::Relaxed);
}

pub fn set_role(role: Role) {
    ROLE.store(role as u8, Ordering::Relaxed);
}

/// Whether a line of this level would be written.
pub fn enabled(level: Level) -> bool {
    level as u8 >= LEVEL.load(Ordering::Relaxed)
}

pub fn debug(message: impl Display) {
    write(Level::Debug, message);
}

pub fn verbose(message: impl Display) {
    write(Level::Verbose, message);
}

pub fn notice(message: impl Display) {
    write(Level::Notice, message);
}

/// For what an operator should act on: the message says how.
pub fn warning(message: impl Display) {
    write(Level::Warning, message);
}

/// Logs panics, with where they happened, before the process ends.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("unnamed").to_string();
        let trace = std::backtrace::Backtrace::force_capture();
        warning(format_args!(
            "BUG: Ringfort panicked in thread '{name}', please report this: {panic}\n{trace}"
        ));
    }));
}

/// A log that cannot be written is no reason to stop serving: the line is lost.
fn write(level: Level, message: impl Display) {
    if !enabled(level) {
        return;
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let role = ROLE.load(Ordering::Relaxed) as char;
    let time = LocalTime::at(now.as_secs() as i64, now.subsec_millis());
    let line = format!("{}:{role} {time} {} {message}\n", std::process::id(), level.mark());
    let sink = sink();
    let _ = match &sink.file {
        Some(file) => append_to(file).and_then(|mut file| file.write_all(line.as_bytes())),
        None => io::stdout().write_all(line.as_bytes()).and_then(|()| io::stdout().flush()),
    };
    if let Some((socket, syslog)) = &sink.syslog {
        let _ = socket.send_to(syslog.packet(level, &message).as_bytes(), "/dev/log");
    }
}

/// A thread that panicked while it logged leaves the sink whole.
fn sink() -> std::sync::MutexGuard<'static, Sink> {
    SINK.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn append_to(file: &Path) -> io::Result<std::fs::File> {
    OpenOptions::new().append(true).create(true).open(file)
}

impl Syslog {
    fn packet(&self, level: Level, message: &impl Display) -> String {
        const USER: u8 = 1;
        const LOCAL0: u8 = 16;
        let facility = match self.facility.strip_prefix("local") {
            Some(digit) => LOCAL0 + digit.parse::<u8>().unwrap_or(0),
            None => USER,
        };
        let priority = u32::from(facility) * 8 + u32::from(level.severity());
        format!("<{priority}>{}[{}]: {message}", self.ident, std::process::id())
    }
}

/// A moment in the local time zone, shown as `23 Nov 2026 12:42:00.036`.
struct LocalTime {
    parts: libc::tm,
    millis: u32,
}

impl LocalTime {
    fn at(unix_s: i64, millis: u32) -> LocalTime {
        let seconds: libc::time_t = unix_s;
        // SAFETY: `tm` is plain numbers and one pointer, for all of which zero is a value.
        let mut parts: libc::tm = unsafe { std::mem::zeroed() };
        // SAFETY: both pointers are to live values of the right types; localtime_r keeps neither.
        unsafe { libc::localtime_r(&seconds, &mut parts) };
        LocalTime { parts, millis }
    }
}

impl Display for LocalTime {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        const MONTHS: [&str; 12] =
            ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let t = &self.parts;
        let month = MONTHS[t.tm_mon.rem_euclid(12) as usize];
        write!(f, "{:02} {month} {} ", t.tm_mday, t.tm_year + 1900)?;
        write!(f, "{:02}:{:02}:{:02}.{:03}", t.tm_hour, t.tm_min, t.tm_sec, self.millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One test for all that is global: tests share a process.
    #[test]
    fn lines_are_filtered_and_go_to_a_file_that_may_be_renamed() {
        let file = std::env::temp_dir().join(format!("ringfort-log-{}.log", std::process::id()));
        init(Some(&file), None).unwrap();
        let text = || std::fs::read_to_string(&file).unwrap();
        set_level("notice");
        verbose("too little");
        notice(format_args!("port {}", 6379));
        let line = text();
        let (prefix, rest) = line.split_once(':').unwrap();
        assert_eq!(prefix, std::process::id().to_string());
        assert!(rest.starts_with("M ") && rest.ends_with(" * port 6379\n"), "{line}");
        assert_eq!(rest.len(), "M 23 Nov 2026 12:42:00.036 * port 6379\n".len());

        let renamed = file.with_extension("1");
        std::fs::rename(&file, &renamed).unwrap();
        set_role(Role::Replica);
        set_level("debug");
        debug("a");
        warning("b");
        let marks: Vec<String> = text().lines().map(|l| l.chars().rev().take(3).collect()).collect();
        assert_eq!(marks, ["a .", "b #"]);
        assert!(text().contains(":S "));
        set_level("nothing");
        warning("c");
        assert_eq!(text().lines().count(), 2);

        assert!(init(Some(Path::new("/nonexist/x")), None).is_err());
        init(None, None).unwrap();
        set_level("notice");
        set_role(Role::Master);
        std::fs::remove_file(&file).unwrap();
        std::fs::remove_file(&renamed).unwrap();
    }

    #[test]
    fn syslog_packets_carry_facility_and_severity() {
        let syslog = |facility| Syslog { ident: "ringfort".into(), facility };
        let id = std::process::id();
        assert_eq!(syslog("local0").packet(Level::Notice, &"x"), format!("<133>ringfort[{id}]: x"));
        assert_eq!(syslog("user").packet(Level::Warning, &"x"), format!("<12>ringfort[{id}]: x"));
    }
}
