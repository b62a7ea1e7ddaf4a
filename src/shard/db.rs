//! One database of a shard, the moment a command looks at it, active expiry, and the counts for INFO.

use super::fields::FieldExpiries;
use super::snapshot::{Progress, Walk};
use super::{Entry, Shard, ShardCounters, Store};
use crate::base::rng::Rng;

/// One database: a store, and which of its hashes have fields that expire.
pub struct Db {
    pub store: Store,
    pub fields: FieldExpiries,
    /// How far a snapshot has come; None if there is none, or nothing of it is left here.
    pub(super) walk: Option<Walk>,
}

impl Db {
    pub fn new(store: Store) -> Self {
        Self { store, fields: FieldExpiries::default(), walk: None }
    }
}

/// When, and how, a command looks at the keyspace. The time stands still within a command.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Unix time, ms.
    pub now_ms: i64,
    /// What is due by then has expired: now, or `NOTHING_DUE` where nothing expires.
    pub due_ms: i64,
    /// Refresh the access clock of entries that are looked up.
    pub touch: bool,
    /// CLIENT PAUSE is on: overdue keys are absent, but stay until it ends or a command writes.
    pub keep_overdue: bool,
    /// What to tell of keys that come and go by themselves: bits of `tell`.
    pub tell: u8,
    /// Access clocks count uses (LFU) rather than time (LRU).
    pub lfu: bool,
    pub lfu_log_factor: u32,
    pub lfu_decay_minutes: u32,
    /// A random number for this command.
    pub random: u64,
}

/// Access frequency of a new entry, as in Redis.
const LFU_INITIAL: u32 = 5;

impl Moment {
    /// For tests of the keyspace.
    #[cfg(test)]
    pub const fn at(now_ms: i64) -> Self {
        Self {
            now_ms,
            due_ms: now_ms,
            touch: true,
            keep_overdue: false,
            tell: 0,
            lfu: false,
            lfu_log_factor: 1,
            lfu_decay_minutes: 0,
            random: 0,
        }
    }

    /// `due_ms` while data are loaded: a log says what expired, and may yet prolong what is overdue.
    pub const NOTHING_DUE: i64 = 0;

    /// The same for a client whose log says what expired.
    pub fn timeless(self) -> Self {
        Self { due_ms: Self::NOTHING_DUE, tell: 0, keep_overdue: true, ..self }
    }

    /// The same for a command that may write, if it does. Overdue keys leave before anything is put in their place, and before
    /// the log says what was; so those that it finds go even during a pause.
    #[inline]
    pub fn writing(self, writes: bool) -> Self {
        Self { keep_overdue: self.keep_overdue && !writes, ..self }
    }

    /// Another command is to have it: chance decides anew about each use.
    #[inline]
    pub fn draw(&mut self, rng: &mut Rng) {
        if self.lfu {
            self.random = rng.next_u64();
        }
    }

    /// The same where nobody is paused and nothing is loaded, whatever it was when this moment was made.
    pub fn unhindered(self) -> Self {
        Self { keep_overdue: false, due_ms: self.now_ms, ..self }
    }

    /// Seconds of the 24-bit LRU clock.
    fn lru_clock(&self) -> u32 {
        (self.now_ms / 1000) as u32 & 0xff_ffff
    }

    /// Minutes of the 16-bit LFU clock.
    fn lfu_minutes(&self) -> u32 {
        (self.now_ms / 60_000) as u32 & 0xffff
    }

    /// The access clock of a new entry.
    #[inline]
    pub fn fresh_access(&self) -> u32 {
        if self.lfu { self.lfu_minutes() << 8 | LFU_INITIAL } else { self.lru_clock() }
    }

    /// The access clock of an entry that was last used so many seconds ago (LRU clock). More than it can tell wraps.
    pub fn idle_access(&self, idle_s: i64) -> u32 {
        self.lru_clock().wrapping_sub(idle_s as u32) & 0xff_ffff
    }

    /// The access clock of an entry that is used so often (LFU clock).
    pub fn frequent_access(&self, frequency: u32) -> u32 {
        self.lfu_minutes() << 8 | frequency
    }

    #[inline]
    pub fn touch(&self, entry: &mut Entry) {
        if !self.touch {
            return;
        }
        let access = if self.lfu { self.lfu_used(entry.access()) } else { self.lru_clock() };
        if entry.access() != access {
            entry.set_access(access);
        }
    }

    /// The frequency of an access clock after its decay up to now.
    pub fn lfu_frequency(&self, access: u32) -> u32 {
        let counter = access & 0xff;
        if self.lfu_decay_minutes == 0 {
            return counter;
        }
        let idle = self.lfu_minutes().wrapping_sub(access >> 8) & 0xffff;
        counter.saturating_sub(idle / self.lfu_decay_minutes)
    }

    /// The access clock after one more use: a logarithmic counter that grows with falling probability.
    fn lfu_used(&self, access: u32) -> u32 {
        let mut counter = self.lfu_frequency(access);
        let base = counter.saturating_sub(LFU_INITIAL) as f64;
        let chance = 1.0 / (base * self.lfu_log_factor as f64 + 1.0);
        if counter < 255 && ((self.random ^ access as u64) >> 11) as f64 / ((1u64 << 53) as f64) < chance {
            counter += 1;
        }
        self.lfu_minutes() << 8 | counter
    }

    /// Seconds since the entry was last looked up (LRU clock).
    pub fn idle_s(&self, access: u32) -> u32 {
        self.lru_clock().wrapping_sub(access) & 0xff_ffff
    }
}

/// What one database of the whole keyspace holds.
#[derive(Clone, Copy, Default, Debug)]
pub struct DbReport {
    pub keys: usize,
    pub expires: usize,
    /// Sum of the average times to live of the shards, weighted by their keys with expiry, ms.
    pub ttl_ms_sum: f64,
    /// Allocated for keys, values and table.
    pub bytes: usize,
}

/// What a fold over shards gathers for INFO and MEMORY STATS.
#[derive(Clone, Default, Debug)]
pub struct Report {
    pub dbs: Vec<DbReport>,
    pub counters: ShardCounters,
    pub trash: usize,
    pub shards: usize,
    pub watched_keys: usize,
    /// Keys that clients may have cached, and how many clients that are for all keys together.
    pub tracked_keys: usize,
    pub tracked_items: usize,
    /// Of a running snapshot: what it holds now and at most, and how many keys it has written.
    pub snapshot: Progress,
    pub blocking_keys: usize,
}

impl Report {
    /// Adds what `shard` holds.
    pub fn add(&mut self, shard: &Shard) {
        self.dbs.resize(shard.dbs.len(), DbReport::default());
        for (index, (sum, db)) in self.dbs.iter_mut().zip(&shard.dbs).enumerate() {
            sum.keys += db.store.len();
            sum.expires += db.store.expires();
            sum.bytes += db.store.live_bytes();
            let average = shard.expire.average_ttl_ms.get(index).copied().unwrap_or(0.0);
            sum.ttl_ms_sum += average * db.store.expires() as f64;
        }
        let (into, from) = (&mut self.counters, &shard.counters);
        into.hits += from.hits;
        into.misses += from.misses;
        into.expired += from.expired;
        into.expired_fields += from.expired_fields;
        into.evicted += from.evicted;
        into.lazy_freed += from.lazy_freed;
        into.expire_cycle_us += from.expire_cycle_us;
        into.changes += from.changes;
        into.changes_beyond += from.changes_beyond;
        self.trash += shard.trash_len();
        self.watched_keys +=
            (0..shard.dbs.len()).map(|db| shard.watch.keys_of(db as u16).len()).sum::<usize>();
        self.tracked_keys += shard.tracking.key_count();
        self.tracked_items += shard.tracking.items();
        self.snapshot.add(&shard.snapshot_progress());
        self.blocking_keys += shard.waiting.len();
        self.shards += 1;
    }
}

/// Where active expiry stands: it goes round every database, a slice at a time.
#[derive(Default)]
pub struct ExpireCycle {
    db: usize,
    position: u64,
    average_ttl_ms: Vec<f64>,
}

/// What a slice of active expiry found.
#[derive(Default, Clone, Copy, Debug)]
pub struct Overdue {
    /// Entries with an expiry that were looked at.
    pub sampled: usize,
    pub expired: usize,
    /// A hash was seen in part: its other fields are next.
    pub unfinished: bool,
}

impl Shard {
    /// One slice of active expiry: looks at a bounded number of keys and fields, deletes those overdue.
    pub fn expire_slice(&mut self, moment: &Moment, buckets: usize) -> Overdue {
        let fields = self.sweep_fields(moment, buckets);
        let keys = self.expire_keys(moment, buckets);
        Overdue {
            sampled: keys.sampled + fields.sampled,
            expired: keys.expired + fields.expired,
            unfinished: fields.unfinished,
        }
    }

    fn expire_keys(&mut self, moment: &Moment, buckets: usize) -> Overdue {
        let mut found = Overdue::default();
        let count = self.dbs.len();
        let Some(db) =
            (0..count).map(|i| (self.expire.db + i) % count).find(|&i| self.dbs[i].store.expires() > 0)
        else {
            return found;
        };
        if db != self.expire.db {
            (self.expire.db, self.expire.position) = (db, 0);
        }
        let mut overdue: Vec<Box<[u8]>> = Vec::new();
        let mut ttl_sum = 0.0;
        self.dbs[db].store.sample_expiring(&mut self.expire.position, buckets, &mut |entry| {
            found.sampled += 1;
            match entry.expiry() {
                Some(at_ms) if at_ms <= moment.due_ms => overdue.push(entry.key().into()),
                Some(at_ms) => ttl_sum += (at_ms - moment.now_ms) as f64,
                None => {}
            }
        });
        found.expired = overdue.len();
        let alive = found.sampled - found.expired;
        if alive > 0 {
            self.note_ttl(db, ttl_sum / alive as f64);
        }
        for key in &overdue {
            self.expire_key(db as u16, key, moment);
        }
        if self.expire.position == 0 {
            self.expire.db = (db + 1) % count;
        }
        found
    }

    /// A running average: each new slice counts 2%, as Redis does.
    fn note_ttl(&mut self, db: usize, average_ms: f64) {
        let known = &mut self.expire.average_ttl_ms;
        known.resize(self.dbs.len(), 0.0);
        known[db] = if known[db] == 0.0 { average_ms } else { known[db] * 0.98 + average_ms * 0.02 };
    }
}
