//! The process as an operator meets it: the real program started, told to stop, and given what it must refuse.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const PROGRAM: &str = env!("CARGO_BIN_EXE_ringfort");
const PATIENCE: Duration = Duration::from_secs(20);

/// A directory of its own for each test, removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(test: &str) -> Scratch {
        let dir = std::env::temp_dir().join(format!("ringfort-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        Scratch(dir)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_string()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn refused(arguments: &[&str]) -> Output {
    let output = Command::new(PROGRAM).args(arguments).stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {output:?}");
    output
}

/// A server on a unix socket in `scratch`, once it takes connections.
fn start(scratch: &Scratch, arguments: &[&str]) -> Child {
    let socket = scratch.path("socket");
    let mut child = Command::new(PROGRAM)
        .args(["--port", "0", "--unixsocket", &socket, "--dir", scratch.0.to_str().unwrap()])
        .args(arguments)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("Ready to accept connections unix")));
    // What is left of the output is read in the background, so that the server can go on writing.
    std::thread::spawn(move || lines.for_each(drop));
    child
}

fn wait_for<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = attempt() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn signal(process: &str, name: &str) {
    assert!(Command::new("kill").args([name, process]).status().unwrap().success());
}

fn ping(socket: &Path) {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.write_all(b"PING\r\n").unwrap();
    let mut reply = [0; 7];
    stream.read_exact(&mut reply).unwrap();
    assert_eq!(&reply, b"+PONG\r\n");
}

/// One core slept through the event that told it to stop, since nothing came after it.
#[test]
fn an_idle_server_stops_when_told() {
    for cores in ["1", "2"] {
        for name in ["-TERM", "-INT"] {
            let scratch = Scratch::new(&format!("stop{name}{cores}"));
            let pid_file = scratch.path("pid");
            let mut server = start(&scratch, &["--cores", cores, "--pidfile", &pid_file]);
            let process = server.id().to_string();
            assert_eq!(std::fs::read_to_string(&pid_file).unwrap().trim(), process);
            signal(&process, name);
            let status = wait_for("the end", || server.try_wait().unwrap());
            assert!(status.success(), "{status}");
            assert!(!Path::new(&pid_file).exists() && !Path::new(&scratch.path("socket")).exists());
        }
    }
}

#[test]
fn a_daemon_leaves_the_terminal_and_logs_to_its_file() {
    let scratch = Scratch::new("daemon");
    let socket = scratch.path("socket");
    let file = scratch.path("redis.conf");
    let lines = [
        "port 0",
        "daemonize yes",
        "cores 1",
        "logfile log",
        "unixsocketperm 700",
        &format!("unixsocket {socket}"),
        &format!("pidfile {}", scratch.path("pid")),
        &format!("dir {}", scratch.0.display()),
    ];
    std::fs::write(&file, lines.join("\n")).unwrap();
    assert!(Command::new(PROGRAM).arg(&file).status().unwrap().success());
    let log = || std::fs::read_to_string(scratch.path("log")).unwrap_or_default();
    wait_for("the server", || log().contains("Ready to accept connections").then_some(()));
    let process = std::fs::read_to_string(scratch.path("pid")).unwrap().trim().to_string();
    ping(Path::new(&socket));
    let title = std::fs::read_to_string(format!("/proc/{process}/cmdline")).unwrap();
    assert_eq!(title.trim_end_matches('\0'), format!("{PROGRAM} {socket}"));
    signal(&process, "-TERM");
    wait_for("the end", || log().contains("bye bye...").then_some(()));
}

#[test]
fn options_come_from_standard_input_too() {
    let scratch = Scratch::new("stdin");
    let socket = scratch.path("socket");
    let mut server = Command::new(PROGRAM)
        .args(["--cores", "1", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let lines = format!("port 0\nunixsocket {socket}\ndir {}\nsave \"\"\n", scratch.0.display());
    server.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    wait_for("the socket", || UnixStream::connect(&socket).ok());
    ping(Path::new(&socket));
    signal(&server.id().to_string(), "-TERM");
    assert!(wait_for("the end", || server.try_wait().unwrap()).success());
}

#[test]
fn what_cannot_be_is_refused_with_a_reason() {
    let output = refused(&["--port", "0", "--foo", "x"]);
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(
        error.contains("at line 3\n>>> 'foo \"x\"'\nBad directive or wrong number of arguments\n"),
        "{error}"
    );

    let output = refused(&["--port", "0", "--logfile", "/nonexistent/log"]);
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.ends_with("\nCan't open the log file: No such file or directory\n"), "{error}");

    let output = refused(&["/nonexistent/redis.conf"]);
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8(said).unwrap();
    let want = "Fatal error, can't open config file '/nonexistent/redis.conf': No such file or directory";
    assert!(said.contains(want), "{said}");
}
