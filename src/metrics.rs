//! Counters that one core writes and any core may read.
//! In: single-writer additions, one core each. Out: sums over cores for INFO.
//! Absent: what the shards count of their own keys (`shard::Report`), latency samples (`shared`).

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A counter with one writing thread: adding is a plain load and store, no locked instruction.
#[derive(Default, Debug)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds from the owning core. Calls from two threads at once would lose one of the additions.
    #[inline]
    pub fn add(&self, amount: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(amount), Relaxed);
    }

    /// Takes back what `add` added.
    #[inline]
    pub fn sub(&self, amount: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_sub(amount), Relaxed);
    }

    #[inline]
    pub fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Buckets of a latency histogram: powers of two of nanoseconds, 1 µs (1024 ns) first, about 1 s and beyond last.
pub const LATENCY_BUCKETS: usize = 21;

/// What one core knows of one command.
#[derive(Default, Debug)]
pub struct CommandMetrics {
    pub calls: Counter,
    pub ns: Counter,
    pub rejected: Counter,
    pub failed: Counter,
    /// Calls by duration: bucket i counts calls of at most 2^(10+i) ns.
    pub latency: [Counter; LATENCY_BUCKETS],
}

impl CommandMetrics {
    /// Counts a call; in the histogram, too, if `tracked`.
    #[inline]
    pub fn record(&self, ns: u64, tracked: bool) {
        self.calls.add(1);
        self.ns.add(ns);
        if !tracked {
            return;
        }
        let bucket = (64 - (ns >> 10).leading_zeros() as usize).min(LATENCY_BUCKETS - 1);
        self.latency[bucket].add(1);
    }

    pub fn reset(&self) {
        for counter in [&self.calls, &self.ns, &self.rejected, &self.failed].into_iter().chain(&self.latency)
        {
            counter.set(0);
        }
    }
}

/// The counters of one core. Aligned so that two cores never write one cache line.
#[derive(Default, Debug)]
#[repr(align(128))]
pub struct CoreMetrics {
    /// Changes in the core's shard, as the save points count them, up to its last tick.
    pub changes: Counter,
    /// The most memory that the last snapshot of the shard took besides its data.
    pub snapshot_bytes_peak: Counter,
    pub connections_received: Counter,
    pub connections_rejected: Counter,
    pub commands_processed: Counter,
    pub net_input_bytes: Counter,
    pub net_output_bytes: Counter,
    pub reads_processed: Counter,
    pub writes_processed: Counter,
    pub turns: Counter,
    pub batches_sent: Counter,
    pub leases_taken: Counter,
    pub query_buffer_limit_disconnections: Counter,
    pub output_buffer_limit_disconnections: Counter,
    /// Clients that went for `maxmemory-clients`.
    pub evicted_clients: Counter,
    pub error_replies: Counter,
    /// Buffers of the core's connections.
    pub client_bytes: Counter,
    /// Bytes that the core's Lua holds.
    pub lua_bytes: Counter,
    /// One for each row of the command table, in its order.
    pub commands: Vec<CommandMetrics>,
}

impl CoreMetrics {
    /// Counters for a table of `commands` rows.
    pub fn new(commands: usize) -> Self {
        Self { commands: (0..commands).map(|_| CommandMetrics::default()).collect(), ..Self::default() }
    }

    /// CONFIG RESETSTAT: zeroes everything that Redis zeroes.
    pub fn reset(&self) {
        for counter in [
            &self.connections_received,
            &self.connections_rejected,
            &self.commands_processed,
            &self.net_input_bytes,
            &self.net_output_bytes,
            &self.reads_processed,
            &self.writes_processed,
            &self.query_buffer_limit_disconnections,
            &self.output_buffer_limit_disconnections,
            &self.evicted_clients,
            &self.error_replies,
        ] {
            counter.set(0);
        }
        self.commands.iter().for_each(CommandMetrics::reset);
    }
}
