//! MEMORY, and the figures about memory that INFO shows too.

use std::sync::atomic::Ordering::Relaxed;

use crate::base::number::parse_i64;
use crate::base::usage;
use crate::client::Args;
use crate::commands::{Context, Error};
use crate::metrics::{CommandMetrics, CoreMetrics};
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
    /// Sums the report of the shards and the clients' cards.
    pub fn of(cx: &Context) -> Self {
        let dbs = cx.report.map_or(Vec::new(), |report| report.dbs.clone());
        let commands = cx.registry.len() * size_of::<CommandMetrics>();
        let startup = (cx.shared.slots.shard_count() * (size_of::<CoreMetrics>() + commands)) as u64;
        let cards = cx.shared.clients.all();
        let clients = cards
            .iter()
            .map(|card| {
                size_of_val(&**card) as u64
                    + card.input_capacity.get()
                    + card.output_bytes.get()
                    + card.multi_bytes.get()
            })
            .sum();
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

pub fn stats(cx: &mut Context, _args: Args) -> Result<(), Error> {
    let memory = Memory::of(cx);
    let (rss, _) = usage::resident_bytes();
    let keys: u64 = memory.dbs.iter().map(|db| db.keys as u64).sum();
    let net = memory.used - memory.startup;
    let ratio = |part: u64, of: u64| part as f64 / of.max(1) as f64;
    let used: Vec<(usize, &DbReport)> = memory.dbs.iter().enumerate().filter(|(_, db)| db.keys > 0).collect();
    let place = cx.out.deferred();
    let mut pairs = 0;
    let mut integer = |cx: &mut Context, name: &str, value: u64| {
        cx.out.bulk(name.as_bytes());
        cx.out.integer(value as i64);
        pairs += 1;
    };
    integer(cx, "peak.allocated", memory.peak);
    integer(cx, "total.allocated", memory.used);
    integer(cx, "startup.allocated", memory.startup);
    integer(cx, "replication.backlog", 0);
    integer(cx, "clients.slaves", 0);
    integer(cx, "clients.normal", memory.clients);
    integer(cx, "cluster.links", 0);
    integer(cx, "aof.buffer", 0);
    integer(cx, "lua.caches", 0);
    integer(cx, "functions.caches", 0);
    for (index, db) in &used {
        pairs += 1;
        cx.out.bulk(format!("db.{index}").as_bytes());
        cx.out.map(2);
        cx.out.bulk(b"overhead.hashtable.main");
        cx.out.integer((db.keys as u64 * TABLE_BYTES_PER_KEY) as i64);
        cx.out.bulk(b"overhead.hashtable.expires");
        cx.out.integer(0);
    }
    let mut integer = |cx: &mut Context, name: &str, value: u64| {
        cx.out.bulk(name.as_bytes());
        cx.out.integer(value as i64);
        pairs += 1;
    };
    integer(cx, "overhead.total", memory.overhead());
    integer(cx, "db.dict.rehashing.count", 0);
    integer(cx, "keys.count", keys);
    integer(cx, "keys.bytes-per-key", if keys == 0 { 0 } else { net / keys });
    integer(cx, "dataset.bytes", memory.dataset);
    integer(cx, "allocator.allocated", memory.used);
    integer(cx, "allocator.active", rss);
    integer(cx, "allocator.resident", rss);
    integer(cx, "allocator.muzzy", 0);
    let mut double = |cx: &mut Context, name: &str, value: f64| {
        cx.out.bulk(name.as_bytes());
        cx.out.double(value);
        pairs += 1;
    };
    double(cx, "dataset.percentage", ratio(memory.dataset, net) * 100.0);
    double(cx, "peak.percentage", ratio(memory.used, memory.peak) * 100.0);
    double(cx, "fragmentation", ratio(rss, memory.used));
    cx.out.bulk(b"fragmentation.bytes");
    cx.out.integer(rss as i64 - memory.used as i64);
    cx.out.finish_map(place, pairs + 1);
    Ok(())
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
