//! Measures the worst stall that a client sees while a server grows, or gets rid of much at once.
//!
//!     stalls HOST:PORT SERVER_PID grow KEYS           32 SETs at a time, and a GET every ms; then the same keys again
//!     stalls HOST:PORT SERVER_PID WAY TYPE ELEMENTS   a PING every ms while a value, or the database, goes
//!
//! WAY is del, overwrite, expire, flush or flush-sync; TYPE is set, hash, zset, list, or strings: as many keys. Fields of a
//! hash expire by `expire-fields hash`.
//!
//! Nothing else is on its way while an answer is awaited, so a slow one is a stall and not a queue. Time that the server or
//! this process stood ready but had no CPU (/proc/*/schedstat) is taken off, and no stall counts for more than the CPU time
//! that the server spent meanwhile (its CPU-time clock, exact to the moment): the rest is other programs' fault.
//!
//! CPU time holds what a hypervisor takes to back a page that is touched for the first time, which can be milliseconds,
//! whoever touches it. So this program keeps a larder, memory that it has touched itself, and lets go of it as the server
//! grows: the kernel then has backed pages to give. What it saw when it stocked the larder is the control.
//!
//! Out: one line of JSON for each pass. Std only, so that `rustc -O` builds it (see perf/bench.py).
#![allow(unsafe_code)] // The CPU-time clock of another process.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const BATCH: u64 = 32;
const VALUE_BYTES: usize = 64;
/// Keys set before anything is counted: the server's code is read from its file at its first use.
const WARM_KEYS: u64 = 3_200;
const PROBE_GAP: Duration = Duration::from_millis(1);

/// Where the scheduler tells about the server's threads and this process.
struct Accounts {
    /// The clock of the server's CPU time.
    clock: i32,
    files: Vec<File>,
}

/// Nanoseconds, all threads together.
#[derive(Clone, Copy)]
struct Spent {
    /// By the server, on a CPU.
    working: u64,
    /// By the server and this process, ready but without a CPU.
    waiting: u64,
}

unsafe extern "C" {
    fn clock_gettime(clock: i32, time: *mut [i64; 2]) -> i32;
}

impl Accounts {
    fn of(server_pid: i32) -> Self {
        let files = |process: String| {
            let tasks = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
            tasks.filter_map(|t| File::open(t.path().join("schedstat")).ok())
        };
        // As clock_getcpuclockid(3) makes it.
        let clock = !server_pid << 3 | 2;
        Self { clock, files: files(server_pid.to_string()).chain(files("self".to_owned())).collect() }
    }

    fn read(&self) -> Spent {
        let mut text = [0u8; 96];
        let waited = |file: &File| {
            let n = file.read_at(&mut text, 0).ok()?;
            std::str::from_utf8(&text[..n]).ok()?.split_whitespace().nth(1)?.parse::<u64>().ok()
        };
        let mut time = [0; 2];
        // SAFETY: `time` has the layout of a timespec on 64-bit systems.
        let failed = unsafe { clock_gettime(self.clock, &mut time) };
        assert_eq!(failed, 0, "the server's CPU time can be read");
        let working = time[0] as u64 * 1_000_000_000 + time[1] as u64;
        Spent { working, waiting: self.files.iter().filter_map(waited).sum() }
    }
}

/// Memory that is backed, to be let go of piece by piece.
struct Larder {
    pieces: Vec<Vec<u8>>,
    /// Where the kernel tells how much memory the server has.
    statm: File,
    /// What the server has got, or may have, beyond its size at the start.
    start: usize,
    given: usize,
    /// The longest that one touch took, other programs' time included.
    worst_touch: Duration,
}

impl Larder {
    /// More than the C library ever keeps for itself: dropping one returns it to the kernel.
    const PIECE: usize = 33 << 20;
    const PAGE: usize = 4096;

    fn stocked(server_pid: i32, bytes: usize) -> io::Result<Self> {
        let statm = File::open(format!("/proc/{server_pid}/statm"))?;
        let mut it = Self { pieces: Vec::new(), statm, start: 0, given: 0, worst_touch: Duration::ZERO };
        for _ in 0..bytes / Self::PIECE + 2 {
            let mut piece = vec![0u8; Self::PIECE];
            for byte in piece.iter_mut().step_by(Self::PAGE) {
                let began = Instant::now();
                *byte = 1;
                it.worst_touch = it.worst_touch.max(began.elapsed());
            }
            it.pieces.push(piece);
        }
        it.start = it.server_bytes();
        Ok(it)
    }

    fn server_bytes(&self) -> usize {
        let mut text = [0u8; 96];
        let n = self.statm.read_at(&mut text, 0).unwrap_or(0);
        let pages = std::str::from_utf8(&text[..n])
            .ok()
            .and_then(|text| text.split_whitespace().nth(1)?.parse().ok());
        pages.unwrap_or(0) * Self::PAGE
    }

    /// Lets go of what the server will want next.
    fn serve(&mut self) {
        while self.given < self.server_bytes().saturating_sub(self.start) + 2 * Self::PIECE {
            if self.pieces.pop().is_none() {
                return;
            }
            self.given += Self::PIECE;
        }
    }
}

/// Round trips of one kind: how long each took, net of what was not the server's work.
#[derive(Default)]
struct Trips {
    micros: Vec<u32>,
    worst_gross: u32,
}

impl Trips {
    fn add(&mut self, took: Duration, before: Spent, after: Spent) {
        self.worst_gross = self.worst_gross.max(took.as_micros() as u32);
        let net = (took.as_nanos() as u64).saturating_sub(after.waiting - before.waiting);
        self.micros.push(net.min(after.working - before.working) as u32 / 1000);
    }

    fn json(&mut self) -> String {
        self.micros.sort_unstable();
        let at = |q: f64| {
            let last = self.micros.len().saturating_sub(1);
            self.micros.get((last as f64 * q) as usize).copied().unwrap_or(0)
        };
        let over = self.micros.len() - self.micros.partition_point(|&m| m <= 1000);
        format!(
            r#"{{"count":{},"p50_us":{},"p99_us":{},"p999_us":{},"max_us":{},"over_1ms":{},"max_with_waits_us":{}}}"#,
            self.micros.len(),
            at(0.5),
            at(0.99),
            at(0.999),
            at(1.0),
            over,
            self.worst_gross
        )
    }
}

struct Server {
    fill: TcpStream,
    probe: TcpStream,
    accounts: Accounts,
    larder: Larder,
}

impl Server {
    fn at(address: &str, pid: i32, bytes_expected: usize) -> io::Result<Self> {
        let (fill, probe) = (connect(address)?, connect(address)?);
        Ok(Self { fill, probe, accounts: Accounts::of(pid), larder: Larder::stocked(pid, bytes_expected)? })
    }

    /// One round trip on the probe's connection.
    fn ask(&mut self, request: &[u8], reply_bytes: usize, trips: &mut Trips) -> io::Result<()> {
        let mut reply = [0u8; 128];
        let (before, began) = (self.accounts.read(), Instant::now());
        self.probe.write_all(request)?;
        self.probe.read_exact(&mut reply[..reply_bytes])?;
        trips.add(began.elapsed(), before, self.accounts.read());
        Ok(())
    }

    /// SETs all keys, a few at a time.
    fn grow(&mut self, name: &str, keys: std::ops::Range<u64>) -> io::Result<()> {
        let (mut batches, mut probes) = (Trips::default(), Trips::default());
        let (mut out, mut replies) = (Vec::new(), vec![0u8; 5 * BATCH as usize]);
        let value = "v".repeat(VALUE_BYTES);
        let start = Instant::now();
        let mut probe_due = start;
        for first in keys.clone().step_by(BATCH as usize) {
            let end = (first + BATCH).min(keys.end);
            out.clear();
            (first..end).for_each(|key| command(&mut out, &["SET", &format!("key:{key:012}"), &value]));
            let expected = &mut replies[..5 * (end - first) as usize];
            let (before, began) = (self.accounts.read(), Instant::now());
            self.fill.write_all(&out)?;
            self.fill.read_exact(expected)?;
            batches.add(began.elapsed(), before, self.accounts.read());
            assert!(expected.chunks(5).all(|r| r == b"+OK\r\n"), "{}", String::from_utf8_lossy(expected));
            if Instant::now() >= probe_due {
                probe_due = Instant::now() + PROBE_GAP;
                self.larder.serve();
                self.ask(b"GET key:000000000000\r\n", VALUE_BYTES + 7, &mut probes)?;
            }
        }
        println!(
            r#"{{"pass":"{name}","keys":{},"seconds":{:.3},"batches":{},"probes":{},"worst_touch_us":{}}}"#,
            keys.end - keys.start,
            start.elapsed().as_secs_f64(),
            batches.json(),
            probes.json(),
            self.larder.worst_touch.as_micros()
        );
        Ok(())
    }

    /// Makes a value or a database, has it go, and asks until the server is at rest again.
    fn lose(&mut self, way: &str, kind: &str, elements: u64) -> io::Result<()> {
        let mut reader = BufReader::new(self.fill.try_clone()?);
        let expires_ms = unix_ms() + 3_000 + elements / 200;
        for first in (0..elements).step_by(1000) {
            let mut out = Vec::new();
            let mut expected = 0;
            for first in (first..elements.min(first + 1000)).step_by(100) {
                expected += fill_commands(&mut out, way, kind, first..elements.min(first + 100), expires_ms);
            }
            self.fill.write_all(&out)?;
            take_lines(&mut reader, expected)?;
            self.larder.serve();
        }
        std::thread::sleep(Duration::from_millis(500));
        let mut probes = Trips::default();
        let start = Instant::now();
        let worked = self.accounts.read();
        if let Some(last) = last_command(way, expires_ms) {
            let mut out = Vec::new();
            command(&mut out, &last.iter().map(String::as_str).collect::<Vec<_>>());
            self.fill.write_all(&out)?;
        }
        while !self.is_at_rest(way, start, &mut probes)? {}
        println!(
            r#"{{"pass":"{way} {kind}","elements":{elements},"seconds":{:.3},"worked_ms":{},"probes":{}}}"#,
            start.elapsed().as_secs_f64(),
            (self.accounts.read().working - worked.working) / 1_000_000,
            probes.json()
        );
        Ok(())
    }

    /// Asks for a second; true when all is gone and the server did next to nothing else.
    fn is_at_rest(&mut self, way: &str, start: Instant, probes: &mut Trips) -> io::Result<bool> {
        let (before, began) = (self.accounts.read().working, Instant::now());
        while began.elapsed() < Duration::from_secs(1) {
            self.ask(b"PING\r\n", 7, probes)?;
            std::thread::sleep(PROBE_GAP);
        }
        self.ask(b"EXISTS big\r\n", 4, probes)?;
        let keys = self.key_count()?;
        let idle = self.accounts.read().working - before < 80_000_000;
        let gone = way == "overwrite" || keys == 0;
        Ok(start.elapsed() > Duration::from_secs(120)
            || idle && gone && start.elapsed() > Duration::from_secs(3))
    }

    fn key_count(&mut self) -> io::Result<u64> {
        let mut line = String::new();
        self.probe.write_all(b"DBSIZE\r\n")?;
        BufReader::with_capacity(1, &self.probe).read_line(&mut line)?;
        Ok(line.trim_start_matches(':').trim().parse().expect("DBSIZE answers a number"))
    }
}

fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_millis() as u64
}

fn connect(address: &str) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    Ok(stream)
}

fn command(out: &mut Vec<u8>, words: &[&str]) {
    out.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    words.iter().for_each(|word| out.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes()));
}

/// Appends commands that make these elements; returns how many lines will answer.
fn fill_commands(
    out: &mut Vec<u8>,
    way: &str,
    kind: &str,
    elements: std::ops::Range<u64>,
    expires_ms: u64,
) -> usize {
    let expires_ms = expires_ms.to_string();
    if kind == "strings" {
        let value = "v".repeat(VALUE_BYTES);
        let count = elements.clone().count();
        for n in elements {
            let key = format!("key:{n:012}");
            let tail: &[&str] = if way == "expire" { &["PXAT", &expires_ms] } else { &[] };
            command(out, &[&["SET", &key, &value], tail].concat());
        }
        return count;
    }
    let count = elements.clone().count();
    let names: Vec<String> = elements.clone().map(|n| format!("element:{n}")).collect();
    let seconds: Vec<String> = elements.map(|n| n.to_string()).collect();
    let (verb, before, after) = match kind {
        "set" => ("SADD", false, false),
        "list" => ("RPUSH", false, false),
        "zset" => ("ZADD", true, false),
        "hash" => ("HSET", false, true),
        _ => panic!("{kind} is no TYPE"),
    };
    let mut words = vec![verb, "big"];
    for (name, second) in names.iter().zip(&seconds) {
        words.extend(before.then_some(second.as_str()));
        words.push(name);
        words.extend(after.then_some(second.as_str()));
    }
    command(out, &words);
    if way != "expire-fields" {
        return 1;
    }
    let count_text = count.to_string();
    let mut words = vec!["HPEXPIREAT", "big", &expires_ms, "FIELDS", &count_text];
    words.extend(names.iter().map(String::as_str));
    command(out, &words);
    2 + count
}

/// What sets it off.
fn last_command(way: &str, expires_ms: u64) -> Option<Vec<String>> {
    let words: &[&str] = match way {
        "del" => &["DEL", "big"],
        "overwrite" => &["SET", "big", "1"],
        "expire" => &["PEXPIREAT", "big", &expires_ms.to_string()],
        "expire-fields" => return None,
        "flush" => &["FLUSHALL", "ASYNC"],
        "flush-sync" => &["FLUSHALL", "SYNC"],
        _ => panic!("{way} is no WAY"),
    };
    Some(words.iter().map(|&word| word.to_owned()).collect())
}

fn take_lines(reader: &mut impl BufRead, count: usize) -> io::Result<()> {
    let mut line = String::new();
    for _ in 0..count {
        line.clear();
        reader.read_line(&mut line)?;
        assert!(line.starts_with([':', '+', '*']), "{line}");
    }
    Ok(())
}

fn main() -> io::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let number = |text: &str| text.parse::<u64>().expect("a number");
    match args.as_slice() {
        [address, pid, "grow", keys] => {
            let mut server = Server::at(address, number(pid) as i32, number(keys) as usize * 110)?;
            server.grow("warm up", 0..WARM_KEYS)?;
            server.grow("grow", WARM_KEYS..number(keys))?;
            server.grow("overwrite", 0..number(keys))
        }
        [address, pid, way, kind, elements] => {
            let mut server = Server::at(address, number(pid) as i32, number(elements) as usize * 70)?;
            server.lose(way, kind, number(elements))
        }
        _ => {
            eprintln!(
                "usage: stalls HOST:PORT SERVER_PID grow KEYS | HOST:PORT SERVER_PID WAY TYPE ELEMENTS"
            );
            std::process::exit(2);
        }
    }
}
