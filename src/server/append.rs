//! A core's part in the append-only log: what its commands did goes to the storage thread, in bounded amounts, and is synced.
//! In: units that commands left, room. Out: chunks and marks for the storage thread.
//!
//! Beside it: `bound`, output that waits for the disk; `news`, what the storage thread tells the owner of the log; `switch`,
//! the log goes on and off; `rewrite`, it gets a new base; `waits`, commands that wait for it.
//!
//! 1. Under `appendfsync always` output leaves when all that had been logged when it was written is durable: whatever a
//!    client is told is on disk, what it read of others' writes, too.
//! 2. Bytes that a core handed over and that are not written are bounded: beyond, its shard is set aside, and what needs it
//!    waits, as if it were lent; others' shards that it keeps go home. Where writing fails, commands that write are refused instead.
//! 3. The log is switched on and off with all shards at hand, so that it begins and ends between two units.
//!
//! Absent: the order of units (`persist::aof`), files (`storage::log`), reading a log (`server::replay`).

mod bound;
mod news;
mod rewrite;
mod switch;
mod waits;

use std::sync::Arc;
use std::sync::atomic::Ordering::*;

use super::core::Core;
use crate::client::Wait;
use crate::config::AppendFsync;
use crate::persist::aof::Mark;
use crate::shard::Shard;
use crate::storage::Job;

/// Bytes handed over and not written: beyond, the shard is set aside, until there are so many left.
const UNWRITTEN_BYTES_MAX: u64 = if cfg!(test) { 2000 } else { 64 << 20 };
const UNWRITTEN_BYTES_LOW: u64 = UNWRITTEN_BYTES_MAX / 4;
/// How often the log is synced under `appendfsync everysec`.
const SYNC_PERIOD_MS: i64 = 1000;

/// What a core knows of the log.
#[derive(Default)]
pub struct Appending {
    /// Bytes of chunks that went to the storage thread.
    handed_bytes: u64,
    /// The home shard, while too much is unwritten (2).
    set_aside: Option<Box<Shard>>,
    /// Output waits for the disk (1).
    pub(super) strict: bool,
    /// Slots with output that waits.
    held: Vec<u32>,
    /// Waits of this core's connections for what is durable.
    waits: Vec<Arc<Wait>>,
    /// What this core handed over has lower stamps.
    reached: u64,
    /// The configuration changed since this core last compared it with the log.
    pub(super) config_is_new: bool,
    /// The stamp of what a command just wrote, until that is noted for its client.
    pub(super) stamped: Option<u64>,
    /// How long the log was when this core last looked.
    bytes_seen: u64,
    /// The log is being read, or opened, at the start.
    pub(super) opening: Option<Box<super::replay::Opening>>,
}

impl Core {
    /// `no-appendfsync-on-rewrite`, while a snapshot is written.
    fn spares_syncs(&self) -> bool {
        self.config.no_appendfsync_on_rewrite && self.shared.persistence.saves().running.is_some()
    }

    /// What commands of this core did since it was last called goes to the storage thread.
    #[inline]
    pub(super) fn hand_over_log(&mut self) {
        if !self.log.is_empty() && self.shared.persistence.log.is_open.load(Acquire) {
            self.hand_over_chunk();
        }
    }

    fn hand_over_chunk(&mut self) {
        let mut chunk = std::mem::take(&mut self.log);
        chunk.time_s = self.config.aof_timestamp_enabled.then_some(self.now_ms / 1000);
        self.appending.reached = self.shared.log_next.load(Acquire);
        self.appending.handed_bytes += chunk.bytes_len() as u64;
        self.actions.jobs.push(Job::Append { chunk: Box::new(chunk), sync: self.appending.strict });
        if self.unwritten_bytes() > UNWRITTEN_BYTES_MAX {
            self.set_shard_aside();
        }
    }

    /// The core ends: what it has for the log is handed over, and synced.
    pub fn finish_log(&mut self) {
        self.hand_over_log();
        if self.shared.is_logged() {
            if self.id == 0 {
                crate::log::notice("Calling fsync() on the AOF file.");
            }
            self.actions.jobs.push(Job::Sync);
        }
    }

    fn unwritten_bytes(&self) -> u64 {
        self.appending.handed_bytes - self.shared.persistence.log.progress.written_bytes(self.id)
    }

    /// Sets the home shard aside until more is written (2).
    fn set_shard_aside(&mut self) {
        let log = &self.shared.persistence.log;
        log.progress.wait(self.id);
        let full = self.unwritten_bytes() > UNWRITTEN_BYTES_MAX && log.errno.load(Acquire) == 0;
        if !full {
            return;
        }
        self.let_go_all();
        if self.appending.set_aside.is_none() {
            self.appending.set_aside = self.shards[self.id].take();
        }
    }

    /// Gives the shard back once there is room.
    fn release_shard(&mut self) {
        if self.appending.set_aside.is_none() {
            return;
        }
        let log = &self.shared.persistence.log;
        log.progress.wait(self.id);
        if self.unwritten_bytes() <= UNWRITTEN_BYTES_LOW || log.errno.load(Acquire) != 0 {
            let shard = self.appending.set_aside.take().expect("it was just there");
            self.shard_returned(shard);
        }
    }

    /// A mark gets its place in the log: all shards are at hand.
    pub(super) fn put_mark(&mut self, mark: Mark) {
        let stamp = self.shared.log_next.fetch_add(1, AcqRel);
        self.log.mark(stamp, mark);
    }

    /// The storage thread has news for who waits.
    pub(super) fn logged(&mut self) {
        self.release_shard();
        for slot in std::mem::take(&mut self.appending.held) {
            self.send_again(slot);
        }
        self.serve_log_waits();
    }

    /// Syncs the log once a second, and looks whether a failing disk works again.
    pub(super) fn look_after_log(&mut self) {
        let log = &self.shared.persistence.log;
        self.appending.bytes_seen = log.progress.bytes.load(Relaxed);
        if !self.sync_is_due() {
            return;
        }
        let before = log.synced_ms.load(Relaxed);
        // One of the cores does it.
        let due = self.now_ms - before >= SYNC_PERIOD_MS;
        if due && log.synced_ms.compare_exchange(before, self.now_ms, Relaxed, Relaxed).is_ok() {
            self.actions.jobs.push(Job::Sync);
        }
    }

    /// Whether ticks are needed for that.
    pub(super) fn sync_is_due(&self) -> bool {
        let log = &self.shared.persistence.log;
        let wanted = || self.config.appendfsync != AppendFsync::No || log.errno.load(Relaxed) != 0;
        self.appending.reached > log.progress.durable() && wanted() && !self.spares_syncs()
    }
}
