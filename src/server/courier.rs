//! Runs errands to other servers, on threads of its own: a name is looked up and a socket waited for there.
//! In: errands of cores, one of each core at most. Out: what was heard; the core is woken.
//! Invariant: every errand is answered, in the end, whatever becomes of the other server.
//! Absent: what is said (see `commands::generic::migrate`); connections that are kept for later.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::atomic::Ordering::Acquire;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::driver::RingFds;
use crate::commands::errand::{Errand, Failed, Heard};
use crate::net::{Bellboy, RingError};

/// What is sent at a time, each piece with the whole time-out.
const PIECE_BYTES: usize = 64 * 1024;
/// Longer lines are cut there: a server that never ends its line must not fill the memory.
const LINE_BYTES_MAX: u64 = 64 * 1024;

/// A core's end.
pub struct Courier {
    errands: Sender<(usize, Errand)>,
    heard: Receiver<Heard>,
}

impl Courier {
    /// Sends somebody off for core `core`, whose end this is.
    pub fn send(&self, core: usize, errand: Errand) {
        self.errands.send((core, errand)).expect("the courier's thread ends with the process");
    }

    pub fn heard(&self) -> Option<Heard> {
        self.heard.try_recv().ok()
    }
}

/// Starts the thread that sends others off. Returns each core's end. The error is a sentence for the operator.
pub fn start(rings: RingFds) -> Result<Vec<Courier>, String> {
    let bellboy = Bellboy::new().map_err(|RingError(text)| text)?;
    let (errands, sent) = channel();
    let (homes, couriers) = (0..rings.len())
        .map(|_| {
            let (home, heard) = channel();
            (home, Courier { errands: errands.clone(), heard })
        })
        .unzip();
    let office = Arc::new(Office { homes, rings, bellboy: Mutex::new(bellboy) });
    let thread = std::thread::Builder::new().name("courier".into()).spawn(move || office.serve(sent));
    thread.map_err(|error| format!("the thread for other servers cannot be started: {error}"))?;
    Ok(couriers)
}

struct Office {
    homes: Vec<Sender<Heard>>,
    rings: RingFds,
    bellboy: Mutex<Bellboy>,
}

impl Office {
    fn serve(self: Arc<Self>, sent: Receiver<(usize, Errand)>) {
        for (core, errand) in sent {
            let office = self.clone();
            let run = move || office.answer(core, run(&errand));
            if std::thread::Builder::new().name("errand".into()).spawn(run).is_err() {
                self.answer(core, Heard { lines: Vec::new(), failed: Some(Failed::Connecting) });
            }
        }
    }

    fn answer(&self, core: usize, heard: Heard) {
        // A core that is gone needs no answer.
        let _ = self.homes[core].send(heard);
        let mut bellboy = self.bellboy.lock().expect("nobody panics waking a core");
        bellboy.wake(self.rings[core].load(Acquire));
    }
}

/// Runs an errand, and once more if it came to nothing that the other server could have noticed.
fn run(errand: &Errand) -> Heard {
    let first = talk(errand);
    match first {
        Ok(heard) => heard,
        Err(broken) if broken.may_repeat(errand) => talk(errand).unwrap_or_else(|broken| broken.heard),
        Err(broken) => broken.heard,
    }
}

/// An errand that failed.
struct Broken {
    heard: Heard,
    timed_out: bool,
}

impl Broken {
    fn new(failed: Failed, lines: Vec<Vec<u8>>, error: &io::Error) -> Self {
        let timed_out = matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock);
        Self { heard: Heard { lines, failed: Some(failed) }, timed_out }
    }

    fn may_repeat(&self, errand: &Errand) -> bool {
        let connected = self.heard.failed != Some(Failed::Connecting);
        connected && !self.timed_out && self.heard.lines.len() <= errand.preface
    }
}

fn talk(errand: &Errand) -> Result<Heard, Broken> {
    let stream = connect(errand).map_err(|error| Broken::new(unconnected(&error), Vec::new(), &error))?;
    let wrote = errand.words.chunks(PIECE_BYTES).try_for_each(|piece| (&stream).write_all(piece));
    wrote.map_err(|error| Broken::new(Failed::Writing, Vec::new(), &error))?;
    let mut stream = BufReader::new(stream);
    let mut lines = Vec::new();
    for _ in 0..errand.replies {
        match line(&mut stream) {
            Ok(line) => lines.push(line),
            Err(error) => return Err(Broken::new(Failed::Reading, lines, &error)),
        }
    }
    Ok(Heard { lines, failed: None })
}

/// Redis notices only when it writes that a connection was refused.
fn unconnected(error: &io::Error) -> Failed {
    match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => Failed::Writing,
        _ => Failed::Connecting,
    }
}

fn connect(errand: &Errand) -> io::Result<TcpStream> {
    let text = |bytes| std::str::from_utf8(bytes).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput));
    let port: u16 = text(&errand.port)?.parse().map_err(io::Error::other)?;
    let timeout = Duration::from_millis(errand.timeout_ms);
    let mut failure = io::Error::from(io::ErrorKind::NotFound);
    for address in (text(&errand.host)?, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, timeout) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(timeout))?;
                stream.set_write_timeout(Some(timeout))?;
                return Ok(stream);
            }
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// The next line, without its end.
fn line(stream: &mut BufReader<TcpStream>) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    stream.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
    if line.pop() != Some(b'\n') {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    line.pop_if(|last| *last == b'\r');
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn errand(port: u16, replies: usize) -> Errand {
        let words = b"PING\r\n".to_vec();
        let port = port.to_string().into_bytes();
        Errand { host: b"127.0.0.1".to_vec(), port, timeout_ms: 20_000, words, preface: 1, replies }
    }

    /// A server that answers each connection with the next of those texts, then closes it.
    fn answering(texts: &[&'static str]) -> (u16, std::thread::JoinHandle<usize>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let texts = texts.to_vec();
        let serve = move || {
            for text in &texts {
                let (mut stream, _) = listener.accept().unwrap();
                let mut asked = [0; 6];
                stream.read_exact(&mut asked).unwrap();
                stream.write_all(text.as_bytes()).unwrap();
            }
            texts.len()
        };
        (port, std::thread::spawn(serve))
    }

    fn shown(heard: Heard) -> String {
        let lines: Vec<String> =
            heard.lines.iter().map(|line| String::from_utf8_lossy(line).into_owned()).collect();
        format!("{} {:?}", lines.join("|"), heard.failed)
    }

    #[test]
    fn errands_bring_lines() {
        for (texts, replies, brought) in [
            (&["+OK\r\n+PONG\r\n"][..], 2, "+OK|+PONG None"),
            (&["", "+OK\r\n+PONG\r\n"], 2, "+OK|+PONG None"),
            (&["+OK\r\n", "+OK\r\n+PO"], 2, "+OK Some(Reading)"),
            (&["+OK\r\n+PONG\r\n"], 3, "+OK|+PONG Some(Reading)"),
            (&["", ""], 1, " Some(Reading)"),
        ] {
            let (port, server) = answering(texts);
            assert_eq!(shown(run(&errand(port, replies))), brought, "{texts:?}");
            assert_eq!(server.join().unwrap(), texts.len(), "{texts:?}");
        }
    }

    #[test]
    fn who_is_not_there_is_noticed() {
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        assert_eq!(shown(run(&errand(closed, 1))), " Some(Writing)");
        for (host, port) in [("127.0.0.1", "x"), ("127.0.0.1", "70000"), ("\u{0}", "1")] {
            let errand = Errand { host: host.into(), port: port.into(), ..errand(1, 1) };
            assert_eq!(shown(run(&errand)), " Some(Connecting)", "{host}");
        }
    }

    #[test]
    fn nobody_waits_for_ever() {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let errand = Errand { timeout_ms: 20, ..errand(silent.local_addr().unwrap().port(), 1) };
        assert_eq!(shown(run(&errand)), " Some(Reading)");
    }
}
