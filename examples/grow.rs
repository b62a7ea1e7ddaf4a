//! Fills a server with keys under a probe and reports the worst stall a client saw.
//!
//!     grow HOST:PORT KEYS PROBES_PER_SECOND SERVER_PID
//!
//! One thread sends 32 SETs, waits for their replies, and now and then sends a GET on a second connection. Nothing
//! else is on its way then, so a slow answer is a stall and not a queue. The second pass overwrites the same keys:
//! the same work without growth, the control. Time that the server or this process stood ready but had no CPU (the
//! second figure of /proc/*/schedstat) is taken off, and no stall counts for more than the server worked meanwhile (the
//! first figure): the rest is other programs' fault, or the hypervisor's, not the table's.
//! Out: one line of JSON for each pass. Std only, so that `rustc -O` builds it (see perf/compare).

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

const BATCH: u64 = 32;
const VALUE_BYTES: usize = 64;

/// The scheduler's accounts of the server's threads and of this process.
struct Accounts {
    server: Vec<File>,
    own: Vec<File>,
}

/// Nanoseconds, all threads together.
#[derive(Clone, Copy)]
struct Spent {
    /// By the server, on a CPU.
    working: u64,
    /// By the server and this process, ready but without a CPU.
    waiting: u64,
}

impl Accounts {
    fn of(server_pid: &str) -> Self {
        let files = |process| {
            let tasks = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
            tasks.filter_map(|t| File::open(t.path().join("schedstat")).ok()).collect()
        };
        Self { server: files(server_pid), own: files("self") }
    }

    fn read(&self) -> Spent {
        let sum = |files: &[File], field: usize| -> u64 {
            let mut text = [0u8; 96];
            let figure = |file: &File| {
                let n = file.read_at(&mut text, 0).ok()?;
                std::str::from_utf8(&text[..n]).ok()?.split_whitespace().nth(field)?.parse::<u64>().ok()
            };
            files.iter().filter_map(figure).sum()
        };
        Spent { working: sum(&self.server, 0), waiting: sum(&self.server, 1) + sum(&self.own, 1) }
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

fn connect(address: &str) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    Ok(stream)
}

fn pass(
    name: &str,
    keys: u64,
    gap: Duration,
    fill: &mut TcpStream,
    probe: &mut TcpStream,
    accounts: &Accounts,
) -> io::Result<()> {
    let value = "v".repeat(VALUE_BYTES);
    let (mut batches, mut probes) = (Trips::default(), Trips::default());
    let (mut out, mut replies) = (String::new(), vec![0u8; 5 * BATCH as usize]);
    let start = Instant::now();
    let mut probe_due = start;
    let mut next = 0;
    while next < keys {
        let end = (next + BATCH).min(keys);
        out.clear();
        for key in next..end {
            out.push_str(&format!(
                "*3\r\n$3\r\nSET\r\n$16\r\nkey:{key:012}\r\n${VALUE_BYTES}\r\n{value}\r\n"
            ));
        }
        let expected = &mut replies[..5 * (end - next) as usize];
        next = end;
        let (before, began) = (accounts.read(), Instant::now());
        fill.write_all(out.as_bytes())?;
        fill.read_exact(expected)?;
        batches.add(began.elapsed(), before, accounts.read());
        assert!(expected.chunks(5).all(|r| r == b"+OK\r\n"), "{}", String::from_utf8_lossy(expected));
        let now = Instant::now();
        if now >= probe_due {
            probe_due = now + gap;
            let before = accounts.read();
            let began = Instant::now();
            probe.write_all(b"GET key:000000000000\r\n")?;
            let mut answer = [0u8; VALUE_BYTES + 7];
            probe.read_exact(&mut answer)?;
            probes.add(began.elapsed(), before, accounts.read());
        }
    }
    println!(
        r#"{{"pass":"{name}","keys":{keys},"seconds":{:.3},"batches":{},"probes":{}}}"#,
        start.elapsed().as_secs_f64(),
        batches.json(),
        probes.json()
    );
    Ok(())
}

fn main() -> io::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [address, keys, rate, pid] = args.as_slice() else {
        eprintln!("usage: grow HOST:PORT KEYS PROBES_PER_SECOND SERVER_PID");
        std::process::exit(2);
    };
    let keys = keys.parse().expect("KEYS is a number");
    let gap = Duration::from_secs(1) / rate.parse().expect("PROBES_PER_SECOND is a number");
    let accounts = Accounts::of(pid);
    let (mut fill, mut probe) = (connect(address)?, connect(address)?);
    pass("grow", keys, gap, &mut fill, &mut probe, &accounts)?;
    pass("overwrite", keys, gap, &mut fill, &mut probe, &accounts)
}
