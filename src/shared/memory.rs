//! How much memory is in use, so that every core can compare it with `maxmemory` without asking the others.
//! In: what each shard holds, said by whoever has it at hand. Out: sums.
//! Absent: connections' buffers (`metrics`), which keys go (`shard::evict`), when (`server::room`).
//!
//! While `maxmemory` is 0 nobody publishes anything, and the figures mean nothing.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::*};

/// What a shard holds.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Held {
    /// Allocated for keys, values and tables.
    pub bytes: u64,
    pub keys: u64,
    /// Keys that have an expiry.
    pub expiring: u64,
}

#[derive(Default)]
#[repr(align(128))]
struct Gauge {
    bytes: AtomicU64,
    keys: AtomicU64,
    expiring: AtomicU64,
    /// The shard's core was asked to evict and has not begun.
    asked: AtomicBool,
}

/// One gauge a shard; it is written by the core that has the shard at hand.
pub struct MemoryGauges {
    shards: Vec<Gauge>,
}

impl MemoryGauges {
    pub fn new(shards: usize) -> Self {
        Self { shards: (0..shards).map(|_| Gauge::default()).collect() }
    }

    pub fn publish(&self, shard: usize, held: Held) {
        let gauge = &self.shards[shard];
        gauge.bytes.store(held.bytes, Relaxed);
        gauge.keys.store(held.keys, Relaxed);
        gauge.expiring.store(held.expiring, Relaxed);
    }

    /// Bytes that all shards hold.
    pub fn bytes(&self) -> u64 {
        self.shards.iter().map(|gauge| gauge.bytes.load(Relaxed)).sum()
    }

    /// Whether a shard has keys that may be evicted: any, or only those with an expiry.
    pub fn can_evict(&self, shard: usize, only_expiring: bool) -> bool {
        let gauge = &self.shards[shard];
        let count = if only_expiring { &gauge.expiring } else { &gauge.keys };
        count.load(Relaxed) > 0
    }

    /// Asks a shard's core to evict. True: it has to be told.
    pub fn ask(&self, shard: usize) -> bool {
        !self.shards[shard].asked.swap(true, AcqRel)
    }

    /// The core knows.
    pub fn heard(&self, shard: usize) {
        self.shards[shard].asked.store(false, Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_summed_and_asked_once() {
        let gauges = MemoryGauges::new(2);
        gauges.publish(0, Held { bytes: 7, keys: 1, expiring: 0 });
        gauges.publish(1, Held { bytes: 5, keys: 2, expiring: 2 });
        assert_eq!(gauges.bytes(), 12);
        assert_eq!([0, 1].map(|shard| gauges.can_evict(shard, false)), [true, true]);
        assert_eq!([0, 1].map(|shard| gauges.can_evict(shard, true)), [false, true]);
        assert_eq!([gauges.ask(1), gauges.ask(1), gauges.ask(0)], [true, false, true]);
        gauges.heard(1);
        assert!(gauges.ask(1));
    }
}
