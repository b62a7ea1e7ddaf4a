//! The process as the operating system sees it: daemon, pid file, title, open-file limit, signals, systemd.
//! In: the configuration, at start. Out: the process changed, and what to log about it.
//! Absent: threads and sockets. All but the signal handler runs before there are other threads.

// fork, rlimits, signal handlers and the process title have no safe interface in std.
#![allow(unsafe_code)]

use crate::config::{Config, expand_title, os_error_text};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI32, Ordering};

/// Continues in a child that has no terminal: a new session, standard streams on `/dev/null`. The parent exits.
pub fn daemonize() -> io::Result<()> {
    // SAFETY: no other thread runs yet, so the child may go on as the parent would have.
    match unsafe { libc::fork() } {
        -1 => return Err(io::Error::last_os_error()),
        0 => {}
        // SAFETY: ends the parent at once; nothing of it is to be flushed or dropped.
        _ => unsafe { libc::_exit(0) },
    }
    // SAFETY: no arguments; it only fails in a session leader, which a fresh child is not.
    unsafe { libc::setsid() };
    let null = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
    for stream in 0..=2 {
        // SAFETY: both are open descriptors; replacing a standard stream is the point.
        if unsafe { libc::dup2(null.as_raw_fd(), stream) } == -1 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// A pid file, removed when the value is dropped.
#[derive(Debug)]
pub struct PidFile(PathBuf);

impl PidFile {
    const DEFAULT: &str = "/var/run/ringfort.pid";

    /// The pid file that the configuration asks for: a daemon has one always. It is written after `daemonize` and
    /// after the working directory is entered.
    pub fn write(config: &Config) -> io::Result<Option<PidFile>> {
        let path = match &config.pidfile {
            Some(path) => path.as_path(),
            None if config.daemonize => Path::new(PidFile::DEFAULT),
            None => return Ok(None),
        };
        let path = std::path::absolute(path)?;
        std::fs::write(&path, format!("{}\n", std::process::id()))?;
        Ok(Some(PidFile(path)))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // It may be gone already, or the directory may not be ours to change.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The title that the template makes: `ringfort 127.0.0.1:6379`.
pub fn title(config: &Config, program: &str) -> String {
    let address = match (config.port, &config.unixsocket) {
        (0, Some(socket)) => socket.display().to_string(),
        (port, _) => {
            let host = config.bind.first().map_or("*", String::as_str);
            format!("{}:{port}", host.strip_prefix('-').unwrap_or(host))
        }
    };
    let shown = expand_title(&config.proc_title_template, |variable| {
        Some(match variable {
            "title" => program.into(),
            "listen-addr" => address.clone(),
            "port" => config.port.to_string(),
            "config-file" => shown_path(&config.file),
            "unixsocket" => shown_path(&config.unixsocket),
            "tls-port" => "0".into(),
            // `server-mode` is empty where there is neither cluster nor Sentinel.
            _ => String::new(),
        })
    });
    shown.unwrap_or_else(|| program.into()).trim_end().to_string()
}

fn shown_path(path: &Option<PathBuf>) -> String {
    path.as_ref().map(|path| path.display().to_string()).unwrap_or_default()
}

/// Where the kernel shows a process' arguments from, if the environment follows them: `[start, end)`.
///
/// The environment is moved elsewhere first, so that a title longer than the arguments finds room.
fn title_area() -> Option<(*mut u8, usize)> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name in brackets may hold blanks; field 3 follows it.
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split_ascii_whitespace().collect();
    let address = |number: usize| fields.get(number - 3)?.parse::<usize>().ok();
    let [arg_start, arg_end, env_start, env_end] = [address(48)?, address(49)?, address(50)?, address(51)?];
    if arg_start == 0 || arg_end <= arg_start {
        return None;
    }
    if env_start != arg_end || env_end < env_start {
        return Some((arg_start as *mut u8, arg_end - arg_start));
    }
    for (name, value) in std::env::vars_os() {
        // SAFETY: no other thread runs yet. A variable that is set again gets memory of its own.
        unsafe { std::env::set_var(name, value) };
    }
    Some((arg_start as *mut u8, env_end - arg_start))
}

/// Shows `title` in `ps`. Call once, before there are threads; where it cannot be done nothing happens.
pub fn set_title(title: &str) {
    let Some((area, room)) = title_area() else { return };
    let shown = &title.as_bytes()[..title.len().min(room - 1)];
    // SAFETY: the kernel laid out `room` writable bytes at `area` for arguments and environment, the environment has
    // moved, and std copied the arguments' addresses only to read them as C strings: zeros keep them terminated.
    unsafe {
        std::ptr::write_bytes(area, 0, room);
        std::ptr::copy_nonoverlapping(shown.as_ptr(), area, shown.len());
    }
}

/// What became of the limit on open files.
#[derive(Debug, PartialEq, Eq)]
pub struct OpenFiles {
    /// How many clients it allows: at most what was asked for.
    pub maxclients: u32,
    /// What to log, as warnings; empty if the limit was enough.
    pub warnings: Vec<String>,
    /// What to log as a notice.
    pub notice: Option<String>,
}

/// Descriptors that are no clients: listeners, rings, files, logs.
const FILES_RESERVED: u64 = 32;

/// Raises the limit on open files to `maxclients` and some more, or lowers `maxclients` to what can be had.
/// An error means that not even the reserve fits: the server cannot start.
pub fn raise_open_files(maxclients: u32) -> Result<OpenFiles, String> {
    let wanted = u64::from(maxclients) + FILES_RESERVED;
    let limit = match open_files_limit() {
        Ok(limit) => limit,
        Err(e) => {
            let warning = format!(
                "Unable to obtain the current NOFILE limit ({}), assuming 1024 and setting the max clients \
                 configuration accordingly.",
                os_error_text(&e)
            );
            let maxclients = maxclients.min(1024 - FILES_RESERVED as u32);
            return Ok(OpenFiles { maxclients, warnings: vec![warning], notice: None });
        }
    };
    let old = limit.rlim_cur;
    if old >= wanted {
        return Ok(OpenFiles { maxclients, warnings: Vec::new(), notice: None });
    }
    let mut got = wanted;
    let mut why = None;
    while got > old {
        let raised = libc::rlimit { rlim_cur: got, rlim_max: limit.rlim_max.max(got) };
        match set_open_files_limit(raised) {
            Ok(()) => break,
            Err(e) => why = Some(e),
        }
        got = got.saturating_sub(16);
    }
    limit_outcome(maxclients, old, got.max(old), why.map(|e| os_error_text(&e)))
}

/// Words the outcome as Redis does.
fn limit_outcome(maxclients: u32, old: u64, got: u64, why: Option<String>) -> Result<OpenFiles, String> {
    let wanted = u64::from(maxclients) + FILES_RESERVED;
    if got >= wanted {
        let notice =
            format!("Increased maximum number of open files to {wanted} (it was originally set to {old}).");
        return Ok(OpenFiles { maxclients, warnings: Vec::new(), notice: Some(notice) });
    }
    if got <= FILES_RESERVED {
        return Err(format!(
            "Your current 'ulimit -n' of {old} is not enough for the server to start. Please increase your open \
             file limit to at least {wanted}. Exiting."
        ));
    }
    let reduced = (got - FILES_RESERVED) as u32;
    let why = why.unwrap_or_else(|| "unknown".into());
    let warnings = vec![
        format!("You requested maxclients of {maxclients} requiring at least {wanted} max file descriptors."),
        format!("Server can't set maximum open files to {wanted} because of OS error: {why}."),
        format!(
            "Current maximum open files is {got}. maxclients has been reduced to {reduced} to compensate for low \
             ulimit. If you need higher maxclients increase 'ulimit -n'."
        ),
    ];
    Ok(OpenFiles { maxclients: reduced, warnings, notice: None })
}

fn open_files_limit() -> io::Result<libc::rlimit> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a live value of the type that the call fills.
    match unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } {
        0 => Ok(limit),
        _ => Err(io::Error::last_os_error()),
    }
}

fn set_open_files_limit(limit: libc::rlimit) -> io::Result<()> {
    // SAFETY: the pointer is to a live value of the type that the call reads.
    match unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The signal that asked the server to stop, 0 if none did.
static STOP_SIGNAL: AtomicI32 = AtomicI32::new(0);
/// The eventfd that the handler writes to, -1 before there is one.
static STOP_EVENT: AtomicI32 = AtomicI32::new(-1);

/// From now on SIGTERM and SIGINT are noted for [`stop_signal`] and make the eventfd readable that is returned, which
/// stays open as long as the process; a second SIGINT ends the process at once. SIGPIPE and SIGHUP are ignored.
pub fn stop_event() -> io::Result<RawFd> {
    // SAFETY: no pointers; creates a descriptor.
    let eventfd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
    if eventfd == -1 {
        return Err(io::Error::last_os_error());
    }
    STOP_EVENT.store(eventfd, Ordering::Relaxed);
    let handler = on_stop_signal as extern "C" fn(libc::c_int) as libc::sighandler_t;
    for (signal, action) in [
        (libc::SIGPIPE, libc::SIG_IGN),
        (libc::SIGHUP, libc::SIG_IGN),
        (libc::SIGTERM, handler),
        (libc::SIGINT, handler),
    ] {
        // SAFETY: `sigaction` is plain numbers, for which zero is a value: no flags, an empty mask.
        let mut change: libc::sigaction = unsafe { std::mem::zeroed() };
        change.sa_sigaction = action;
        change.sa_flags = libc::SA_RESTART;
        // SAFETY: the handler does only what a signal handler may: atomics, write, _exit.
        if unsafe { libc::sigaction(signal, &change, std::ptr::null_mut()) } == -1 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(eventfd)
}

/// The signal that asks the server to stop, if one came: SIGTERM or SIGINT.
pub fn stop_signal() -> Option<i32> {
    Some(STOP_SIGNAL.load(Ordering::Acquire)).filter(|&signal| signal != 0)
}

/// Forgets the signal, after a shutdown that came to nothing: the eventfd is not readable any more.
pub fn forget_stop(event: RawFd) {
    STOP_SIGNAL.store(0, Ordering::Release);
    let mut count = [0u8; 8];
    // SAFETY: the buffer is as long as the call is told. The caller saw that the eventfd is readable.
    unsafe { libc::read(event, count.as_mut_ptr().cast(), count.len()) };
}

extern "C" fn on_stop_signal(signal: libc::c_int) {
    // SAFETY: errno is the thread's own; what the handler interrupted must find it as it was.
    let errno = unsafe { *libc::__errno_location() };
    let before = STOP_SIGNAL.swap(signal, Ordering::AcqRel);
    if before == libc::SIGINT && signal == libc::SIGINT {
        // SAFETY: async-signal-safe; a person who insists does not want to wait for a last snapshot.
        unsafe { libc::_exit(1) };
    }
    let event = STOP_EVENT.load(Ordering::Relaxed);
    let one = 1u64.to_ne_bytes();
    // SAFETY: write is async-signal-safe, and the eventfd outlives the process' handlers. If it fails the signal is
    // found at the next turn of the loop.
    unsafe {
        libc::write(event, one.as_ptr().cast(), one.len());
        *libc::__errno_location() = errno;
    }
}

/// Tells systemd that the server is ready, where the configuration says that it runs under systemd (or finds out).
/// The answer says whether it was told.
pub fn notify_systemd(config: &Config, message: &str) -> io::Result<bool> {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    let Some(name) =
        std::env::var_os("NOTIFY_SOCKET").filter(|_| matches!(config.supervised, "systemd" | "auto"))
    else {
        return Ok(false);
    };
    let address = match name.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        name => SocketAddr::from_pathname(Path::new(std::ffi::OsStr::from_bytes(name)))?,
    };
    UnixDatagram::unbound()?.send_to_addr(message.as_bytes(), &address)?;
    Ok(true)
}

/// What the operator can improve: each is a sentence to log as a warning. `cores` is how many cores the server starts.
pub fn boot_warnings(config: &Config, cores: usize) -> Vec<String> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let mut warnings = Vec::new();
    let somaxconn = read("/proc/sys/net/core/somaxconn").trim().parse::<i32>();
    if let Ok(limit) = somaxconn
        && limit < config.tcp_backlog
    {
        let backlog = config.tcp_backlog;
        warnings.push(format!(
            "WARNING: The TCP backlog setting of {backlog} cannot be enforced because \
             /proc/sys/net/core/somaxconn is set to the lower value of {limit}."
        ));
    }
    if let Some(quota) = cpu_quota(&read("/sys/fs/cgroup/cpu.max"))
        && (cores as f64) > quota.ceil()
    {
        warnings.push(format!(
            "WARNING: {cores} cores on a CPU quota of {quota:.1}: they will be stopped by turns, which delays \
             commands. Set 'cores {:.0}' or raise the quota (cpu.max of the control group).",
            quota.floor().max(1.0)
        ));
    }
    warnings
}

/// How many CPUs' worth of time the control group may use: `cpu.max` holds `quota period`, or `max period`.
fn cpu_quota(cpu_max: &str) -> Option<f64> {
    let (quota, period) = cpu_max.trim().split_once(' ')?;
    Some(quota.parse::<f64>().ok()? / period.parse::<f64>().ok().filter(|&period| period > 0.0)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(pairs: &[(&str, &str)]) -> Config {
        let mut config = Config::default();
        for (name, value) in pairs {
            config.set_by_server(name, value.as_bytes());
        }
        config
    }

    #[test]
    fn titles_follow_the_template() {
        let cases: &[(&[(&str, &str)], &str)] = &[
            (&[], "ringfort *:6379"),
            (&[("bind", "127.0.0.1 -::1"), ("port", "7000")], "ringfort 127.0.0.1:7000"),
            (&[("bind", "-::1")], "ringfort ::1:6379"),
            (&[("bind", "")], "ringfort *:6379"),
            (&[("port", "0"), ("unixsocket", "/run/r.sock")], "ringfort /run/r.sock"),
            (&[("proc-title-template", "{{x} {title} {port}{config-file}")], "{x} ringfort 6379"),
        ];
        for (pairs, want) in cases {
            assert_eq!(title(&config(pairs), "ringfort"), *want, "{pairs:?}");
        }
    }

    #[test]
    fn a_pid_file_goes_with_its_value() {
        let path = std::env::temp_dir().join(format!("ringfort-pid-{}", std::process::id()));
        let file = PidFile::write(&config(&[("pidfile", path.to_str().unwrap())])).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
        drop(file);
        assert!(!path.exists());
        assert!(PidFile::write(&Config::default()).unwrap().is_none());
    }

    #[test]
    fn maxclients_gives_way_to_the_limit() {
        let enough = limit_outcome(10000, 1024, 10032, None).unwrap();
        assert_eq!((enough.maxclients, enough.warnings.len()), (10000, 0));
        let notice = "Increased maximum number of open files to 10032 (it was originally set to 1024).";
        assert_eq!(enough.notice.as_deref(), Some(notice));

        let low = limit_outcome(10000, 1024, 4096, Some("Operation not permitted".into())).unwrap();
        assert_eq!(low.maxclients, 4064);
        let want = [
            "You requested maxclients of 10000 requiring at least 10032 max file descriptors.",
            "Server can't set maximum open files to 10032 because of OS error: Operation not permitted.",
            "Current maximum open files is 4096. maxclients has been reduced to 4064 to compensate for low ulimit. \
             If you need higher maxclients increase 'ulimit -n'.",
        ];
        assert_eq!(low.warnings, want);

        let none = limit_outcome(10000, 32, 32, None).unwrap_err();
        assert!(none.starts_with("Your current 'ulimit -n' of 32 is not enough for the server to start."));
    }

    #[test]
    fn a_small_wish_is_met() {
        assert_eq!(raise_open_files(1).unwrap().maxclients, 1);
    }

    #[test]
    fn signals_are_noted_and_written_to_the_eventfd() {
        let event = stop_event().unwrap();
        assert_eq!(stop_signal(), None);
        // SAFETY: the handler is installed.
        unsafe { libc::raise(libc::SIGTERM) };
        assert_eq!(stop_signal(), Some(libc::SIGTERM));
        forget_stop(event);
        assert_eq!(stop_signal(), None);
        // SAFETY: the handler is installed.
        unsafe { libc::raise(libc::SIGTERM) };
        let mut count = [0u8; 8];
        // SAFETY: the buffer is as long as the call is told.
        let got = unsafe { libc::read(event, count.as_mut_ptr().cast(), count.len()) };
        assert_eq!((got, u64::from_ne_bytes(count)), (8, 1));
        STOP_SIGNAL.store(0, Ordering::Release);
    }

    #[test]
    fn quotas_are_read() {
        assert_eq!(cpu_quota("max 100000\n"), None);
        assert_eq!(cpu_quota("150000 100000\n"), Some(1.5));
        assert_eq!(cpu_quota(""), None);
    }
}
