//! What is known of snapshots and of the file that is being loaded.
//! In: how saves and loads went. Out: the same, for INFO, LASTSAVE, the save points and the gates.
//! Invariant: at most one snapshot is on its way, and its number is higher than any before.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::*};
use std::sync::{Mutex, MutexGuard};

pub struct Persistence {
    saves: Mutex<Saves>,
    pub load: LoadCounters,
}

/// A snapshot on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Saving {
    pub id: u64,
    /// Begun by BGSAVE or a save point: nobody waits for it.
    pub background: bool,
    pub began_s: i64,
    /// Keys that it will write.
    pub keys: usize,
    /// Changes of all shards up to its moment.
    pub changes: u64,
}

#[derive(Clone, Copy, Debug)]
pub struct Saves {
    /// The number of the last stream of any kind.
    last_id: u64,
    pub running: Option<Saving>,
    /// BGSAVE SCHEDULE, while something else is on its way.
    pub scheduled: bool,
    /// Unix seconds.
    pub last_s: i64,
    pub last_try_s: i64,
    pub last_ok: bool,
    /// How long the last one in the background took; -1: there was none.
    pub last_duration_s: i64,
    pub count: u64,
    /// The most memory that the last one took besides the data.
    pub last_bytes: u64,
    /// Changes of all shards that were saved.
    pub saved_changes: u64,
}

/// Counters of a file that is being loaded, or was.
#[derive(Default)]
pub struct LoadCounters {
    pub running: AtomicBool,
    pub began_ms: AtomicI64,
    pub bytes_total: AtomicU64,
    pub bytes: AtomicU64,
    /// Memory that the server used which wrote the file.
    pub used_bytes: AtomicU64,
    pub keys: AtomicU64,
    pub expired: AtomicU64,
}

impl LoadCounters {
    pub fn begin(&self, now_ms: i64) {
        self.began_ms.store(now_ms, Relaxed);
        for counter in [&self.bytes_total, &self.bytes, &self.used_bytes, &self.keys, &self.expired] {
            counter.store(0, Relaxed);
        }
        self.running.store(true, Release);
    }
}

impl Persistence {
    /// State of a server that started at `now_s`: Redis counts that as a save.
    pub fn new(now_s: i64) -> Self {
        let saves = Saves {
            last_id: 0,
            running: None,
            scheduled: false,
            last_s: now_s,
            last_try_s: 0,
            last_ok: true,
            last_duration_s: -1,
            count: 0,
            last_bytes: 0,
            saved_changes: 0,
        };
        Self { saves: Mutex::new(saves), load: LoadCounters::default() }
    }

    pub fn saves(&self) -> MutexGuard<'_, Saves> {
        self.saves.lock().expect("nobody panics holding the state of saves")
    }

    /// A number for a stream that no other ever had.
    pub fn next_id(&self) -> u64 {
        self.saves().next_id()
    }
}

impl Saves {
    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// A snapshot begins; the caller saw that none is on its way.
    pub fn begin(&mut self, background: bool, now_s: i64, keys: usize, changes: u64) -> u64 {
        assert!(self.running.is_none(), "there is one snapshot at a time");
        let id = self.next_id();
        self.running = Some(Saving { id, background, began_s: now_s, keys, changes });
        self.last_try_s = now_s;
        id
    }

    /// The snapshot of this number is over; None if it was given up before.
    pub fn end(&mut self, id: u64, ok: bool, now_s: i64, bytes: u64) -> Option<Saving> {
        let saving = self.running.take_if(|saving| saving.id == id)?;
        if ok {
            self.last_s = now_s;
            self.saved_changes = saving.changes;
            self.count += 1;
        }
        if saving.background {
            self.last_duration_s = now_s - saving.began_s;
            self.last_bytes = bytes;
        }
        if ok || saving.background {
            self.last_ok = ok;
        }
        Some(saving)
    }

    /// Nobody wants the running snapshot any more; its number.
    pub fn give_up(&mut self) -> Option<u64> {
        self.running.take().map(|saving| saving.id)
    }
}
