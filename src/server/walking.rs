//! A core's walk over its shard for a snapshot: a slice a turn, chunks handed on to the storage thread.
//! In: time between events, news of what waits, room at the storage thread. Out: jobs.
//!
//! 1. Chunks under way to the storage thread are bounded; while there is no room the walk rests. What is changed meanwhile
//!    has to be written first all the same, so that beyond a bound the shard is set aside until there is room: what needs it waits,
//!    as if it were lent.
//! 2. A walk goes on while nothing else is to be done, and looks for that every few microseconds. What comes ends it, once it
//!    had its share: so it takes the idle time first, and is never starved.
//!
//! Absent: how a snapshot is consistent (`shard::snapshot`), who begins and ends one (`persist`).

use super::core::Core;
use crate::shard::Shard;
use crate::storage::Job;

/// Bytes of chunks under way to the storage thread.
const ROOM_BYTES: usize = if cfg!(test) { 1024 } else { 4 << 20 };
/// Bytes of chunks that wait: beyond, the shard is set aside, until there are so many left.
const WAITING_BYTES_MAX: usize = if cfg!(test) { 1024 } else { 64 << 20 };
const WAITING_BYTES_LOW: usize = WAITING_BYTES_MAX / 8;
/// Buffers of chunks that are kept, and the largest that is worth keeping.
const SPARE_CHUNKS: usize = 32;
const SPARE_BYTES_MAX: usize = 256 * 1024;
/// Entries walked between two looks at the clock and at what came: some 10 µs.
const SLICE_ENTRIES: usize = if cfg!(test) { 1 } else { 32 };
/// How long a turn walks while nothing else is to be done. In tests it is one slice a turn.
const WALK_US: u64 = 1000;
/// While something is, a walk has this part of the time since the last one, up to a limit: what waits waits longer by that.
const SHARE: u64 = 2;
const SHARE_US_MAX: u64 = 100;

/// Whether something came that the core should see to.
pub type News<'a> = &'a mut dyn FnMut() -> bool;

/// How far a core's walk is.
#[derive(Default)]
pub struct Walking {
    under_way: usize,
    /// Buffers of chunks, to be filled again.
    spare: Vec<Vec<u8>>,
    /// Snapshots up to this number are over.
    over: u64,
    /// The home shard, while its chunks have to wait (1).
    set_aside: Option<Box<Shard>>,
    /// When the last slice ended, µs.
    rested_from_us: u64,
    /// A walk that is slowed down on purpose rests until then, µs.
    rests_until_us: u64,
}

impl Walking {
    /// So many bytes of chunks are written; their buffer can be filled again.
    pub fn room(&mut self, bytes: usize, buffer: Vec<u8>) {
        self.under_way -= bytes;
        self.keep(buffer);
    }

    /// Keeps a buffer that is not needed any more.
    fn keep(&mut self, buffer: Vec<u8>) {
        if self.spare.len() < SPARE_CHUNKS && buffer.capacity() <= SPARE_BYTES_MAX {
            self.spare.push(buffer);
        }
    }

    /// Snapshots up to this number are over: their walks end.
    pub fn save_over(&mut self, id: u64) {
        self.over = self.over.max(id);
    }
}

impl Core {
    /// Walks the home shard, or the shards that a command holds, for a while. True: there is more to do now.
    pub(super) fn walk(&mut self, news: News) -> bool {
        if let Some(mut held) = self.storage.held.take() {
            let mut more = false;
            for shard in &mut held.batch.held {
                more |= self.walk_shard(shard, news);
            }
            self.storage.held = Some(held);
            return more;
        }
        if let Some(mut shard) = self.walking.set_aside.take() {
            self.walk_shard(&mut shard, news);
            if shard.chunk_bytes() > WAITING_BYTES_LOW {
                self.walking.set_aside = Some(shard);
                return false;
            }
            self.shard_returned(shard);
            return true;
        }
        let Some(mut shard) = self.shards[self.id].take_if(|shard| shard.is_walking()) else { return false };
        let more = self.walk_shard(&mut shard, news);
        if shard.chunk_bytes() > WAITING_BYTES_MAX {
            self.walking.set_aside = Some(shard);
        } else {
            self.shards[self.id] = Some(shard);
        }
        more
    }

    /// Whether `walk` has something to do without the storage thread doing something first.
    pub fn may_walk(&self) -> bool {
        let room = self.walking.under_way < ROOM_BYTES;
        match (&self.storage.held, &self.walking.set_aside) {
            (Some(held), _) => room && held.batch.held.iter().any(|shard| shard.is_walking()),
            (None, Some(_)) => room,
            (None, None) => room && self.shards[self.id].as_ref().is_some_and(|shard| shard.is_walking()),
        }
    }

    /// A walk rests on purpose: ticks wake it.
    pub(super) fn walk_rests(&self) -> bool {
        self.config.rdb_key_save_delay_us > 0 && self.may_walk()
    }

    fn walk_shard(&mut self, shard: &mut Shard, news: News) -> bool {
        let Some(id) = shard.snapshot_id() else {
            return shard.is_walking() && !shard.walk_slice(SLICE_ENTRIES);
        };
        if id <= self.walking.over {
            shard.cancel_snapshot();
            return true;
        }
        shard.lend_buffers(&mut self.walking.spare);
        let delay_us = self.config.rdb_key_save_delay_us.max(0) as u64;
        let start = self.shared.clock.mono_us();
        let share = ((start - self.walking.rested_from_us) / SHARE).min(SHARE_US_MAX);
        while self.hand_on(shard, id) && start >= self.walking.rests_until_us {
            let keys = shard.snapshot_progress().keys;
            let over = shard.walk_slice(if delay_us > 0 { 1 } else { SLICE_ENTRIES });
            let now = self.shared.clock.mono_us();
            self.walking.rested_from_us = now;
            if over {
                while self.hand_on(shard, id) && shard.chunk_bytes() > 0 {}
                return self.end_walk(shard, id);
            }
            let written = (shard.snapshot_progress().keys - keys) as u64;
            if delay_us > 0 {
                self.walking.rests_until_us = start + delay_us * written;
                return false;
            }
            if cfg!(test) || now - start >= if news() { share } else { WALK_US } {
                return true;
            }
        }
        false
    }

    /// The walk is over; the snapshot ends here when its chunks are handed on.
    fn end_walk(&mut self, shard: &mut Shard, id: u64) -> bool {
        if shard.chunk_bytes() == 0 {
            let bytes = shard.snapshot_progress().bytes_peak as u64;
            self.shared.metrics[shard.id].snapshot_bytes_peak.set(bytes);
            let buffers = shard.end_snapshot();
            buffers.into_iter().for_each(|buffer| self.walking.keep(buffer));
            self.actions.jobs.push(Job::End { stream: id });
        }
        false
    }

    /// Hands chunks on while there is room. True: there is still some.
    fn hand_on(&mut self, shard: &mut Shard, stream: u64) -> bool {
        while self.walking.under_way < ROOM_BYTES {
            let Some(chunk) = shard.take_chunk() else { return true };
            self.walking.under_way += chunk.bytes.len();
            self.actions.jobs.push(Job::Chunk {
                stream,
                producer: shard.id,
                bytes: chunk.bytes,
                open: chunk.open,
            });
        }
        false
    }
}
