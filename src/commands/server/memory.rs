//! MEMORY, and the figures about memory that INFO shows too.

use std::sync::atomic::Ordering::Relaxed;

use crate::base::number::parse_i64;
use crate::base::usage;
use crate::client::Args;
use crate::commands::{Context, Error};
use crate::shard::DbReport;

/// A bucket of a database's table, for each key.
const TABLE_BYTES_PER_KEY: u64 = 10;

/// Where memory is.
#[derive(Clone, Default, Debug)]
pub struct Memory {
    pub used: u64,
    /// The most that INFO or MEMORY ever saw.
    pub peak: u64,
    /// What an empty server takes.
    pub startup: u64,
    /// Input and unsent replies.
    pub clients: u64,
    /// Keys and values.
    pub dataset: u64,
    pub dbs: Vec<DbReport>,
}

impl Memory {
    /// Sums the report of the shards and what the cores count for their connections.
    pub fn of(cx: &Context) -> Self {
        let dbs = cx.report.map_or(Vec::new(), |report| report.dbs.clone());
        let (startup, clients) = (cx.shared.startup_bytes(), cx.shared.client_bytes());
        let stored: u64 = dbs.iter().map(|db| db.bytes as u64).sum();
        let used = startup + clients + stored;
        let peak = cx.shared.memory_peak.fetch_max(used, Relaxed).max(used);
        let tables = tables(&dbs).min(stored);
        Self { used, peak, startup, clients, dataset: stored - tables, dbs }
    }

    /// All that is not keys and values.
    pub fn overhead(&self) -> u64 {
        self.used - self.dataset
    }
}

fn tables(dbs: &[DbReport]) -> u64 {
    dbs.iter().map(|db| db.keys as u64 * TABLE_BYTES_PER_KEY).sum()
}

/// MEMORY USAGE key [SAMPLES count]. The figure is exact, so samples are only checked.
pub fn usage(cx: &mut Context, args: Args) -> Result<(), Error> {
    let mut index = 3;
    while index < args.len() {
        if !args.is(index, "SAMPLES") || index + 1 >= args.len() {
            return Err(Error::SYNTAX);
        }
        let samples = parse_i64(args.at(index + 1)).ok_or(Error::NOT_AN_INTEGER)?;
        if samples < 0 {
            return Err(Error::SYNTAX);
        }
        index += 2;
    }
    match cx.peek(args.at(2)).map(|entry| entry.bytes_allocated()) {
        Some(bytes) => cx.out.integer(bytes as i64 + TABLE_BYTES_PER_KEY as i64),
        None => cx.out.null(),
    }
    Ok(())
}

/// A value of MEMORY STATS.
enum Figure {
    Integer(u64),
    Signed(i64),
    Double(f64),
    /// The table of a database with so many keys.
    Table(u64),
}

pub fn stats(cx: &mut Context, _args: Args) -> Result<(), Error> {
    let figures = figures(&Memory::of(cx), usage::resident_bytes().0);
    let out = &mut cx.out;
    out.map(figures.len());
    for (name, figure) in figures {
        out.bulk(name.as_bytes());
        match figure {
            Figure::Integer(value) => out.integer(value as i64),
            Figure::Signed(value) => out.integer(value),
            Figure::Double(value) => out.double(value),
            Figure::Table(keys) => {
                out.map(2);
                out.bulk(b"overhead.hashtable.main");
                out.integer((keys * TABLE_BYTES_PER_KEY) as i64);
                out.bulk(b"overhead.hashtable.expires");
                out.integer(0);
            }
        }
    }
    Ok(())
}

fn figures(memory: &Memory, rss: u64) -> Vec<(String, Figure)> {
    let keys: u64 = memory.dbs.iter().map(|db| db.keys as u64).sum();
    let net = memory.used - memory.startup;
    let ratio = |part: u64, of: u64| part as f64 / of.max(1) as f64;
    let mut figures: Vec<(String, Figure)> = Vec::new();
    let mut add = |name: &str, figure| figures.push((name.to_owned(), figure));
    add("peak.allocated", Figure::Integer(memory.peak));
    add("total.allocated", Figure::Integer(memory.used));
    add("startup.allocated", Figure::Integer(memory.startup));
    add("replication.backlog", Figure::Integer(0));
    add("clients.slaves", Figure::Integer(0));
    add("clients.normal", Figure::Integer(memory.clients));
    for name in ["cluster.links", "aof.buffer", "lua.caches", "functions.caches", "script.VMs"] {
        add(name, Figure::Integer(0));
    }
    for (index, db) in memory.dbs.iter().enumerate().filter(|(_, db)| db.keys > 0) {
        add(&format!("db.{index}"), Figure::Table(db.keys as u64));
    }
    add("overhead.db.hashtable.lut", Figure::Integer(tables(&memory.dbs)));
    add("overhead.db.hashtable.rehashing", Figure::Integer(0));
    add("db.dict.rehashing.count", Figure::Integer(0));
    add("overhead.total", Figure::Integer(memory.overhead()));
    add("keys.count", Figure::Integer(keys));
    add("keys.bytes-per-key", Figure::Integer(net.checked_div(keys).unwrap_or(0)));
    add("dataset.bytes", Figure::Integer(memory.dataset));
    add("dataset.percentage", Figure::Double(ratio(memory.dataset, net) * 100.0));
    add("peak.percentage", Figure::Double(ratio(memory.used, memory.peak) * 100.0));
    add("allocator.allocated", Figure::Integer(memory.used));
    add("allocator.active", Figure::Integer(rss));
    add("allocator.resident", Figure::Integer(rss));
    add("allocator.muzzy", Figure::Integer(0));
    add("allocator-fragmentation.ratio", Figure::Double(1.0));
    add("allocator-fragmentation.bytes", Figure::Integer(0));
    add("allocator-rss.ratio", Figure::Double(1.0));
    add("allocator-rss.bytes", Figure::Integer(0));
    add("rss-overhead.ratio", Figure::Double(1.0));
    add("rss-overhead.bytes", Figure::Integer(0));
    add("fragmentation", Figure::Double(ratio(rss, memory.used)));
    add("fragmentation.bytes", Figure::Signed(rss as i64 - memory.used as i64));
    figures
}

pub fn doctor(cx: &mut Context, _args: Args) -> Result<(), Error> {
    const SMALL_BYTES: u64 = 5 << 20;
    const CLIENT_BYTES_MAX: u64 = 200 << 10;
    let memory = Memory::of(cx);
    let (rss, _) = usage::resident_bytes();
    let clients = cx.shared.clients.len() as u64;
    let mut text = String::new();
    if memory.used < SMALL_BYTES {
        text.push_str("There is too little data here to say anything about memory.\n");
    } else {
        if memory.peak > memory.used / 2 * 3 {
            text.push_str(&format!(
                "At its peak the data took {} bytes, far more than the {} now; what the process holds may still \
                 be sized for the peak.\n",
                memory.peak, memory.used
            ));
        }
        if rss > memory.used / 10 * 14 {
            text.push_str(&format!(
                "The process holds {rss} bytes for {} bytes of data: much of it is between allocations.\n",
                memory.used
            ));
        }
        if clients > 0 && memory.clients / clients > CLIENT_BYTES_MAX {
            text.push_str("Clients hold more than 200 kB each: see omem and qbuf in CLIENT LIST.\n");
        }
        if text.is_empty() {
            text.push_str("Nothing about memory looks wrong.\n");
        }
    }
    cx.out.verbatim("txt", text.as_bytes());
    Ok(())
}

/// Thrown away values are freed in the background anyway.
pub fn purge(cx: &mut Context, _args: Args) -> Result<(), Error> {
    cx.out.ok();
    Ok(())
}

pub fn malloc_stats(cx: &mut Context, _args: Args) -> Result<(), Error> {
    let (rss, peak) = usage::resident_bytes();
    let text = format!(
        "mimalloc keeps no statistics in this build. Resident: {rss} bytes, at most {peak} so far.\n"
    );
    cx.out.verbatim("txt", text.as_bytes());
    Ok(())
}
