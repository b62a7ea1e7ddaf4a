//! A point in time of a shard, written while the shard changes.
//! In: a moment at which all shards are at hand; slices of time; what is about to change. Out: chunks of records.
//! Absent: files, the other shards, who asked (see `server::persist`).
//!
//! There is no copy of the keyspace. Each database remembers how far the walk over its table has come: a place in the order
//! of hashes (see `types::table`). Whatever is about to be changed ahead of it is written first, as it is, and marked; what is
//! new ahead of it is marked, too. The walk passes over marked entries and takes the mark away. A database that is emptied meanwhile
//! is kept aside until the walk is through with it. So every key is written once, with the value that it had at that moment:
//!
//! ```text
//!   order of hashes   |- - - written, unmarked - - -|- - - - as at the moment, or marked - - - -|
//!                                                   ^ cursor
//!   change here ------^ nothing to do               |            ^ unmarked: write it first, then mark
//!   new key here -----^ nothing to do               |            ^ mark
//! ```
//!
//! A large collection is written in steps between which the core does other work; who wants to change it meanwhile has the rest of it
//! written at once, as has who changes a large collection that the walk has not come to. (A copy would take as long.)
//!
//! 1. Ahead of the cursor an entry is marked if and only if its value of the moment is written, or it had none.
//! 2. Behind it, and where no walk is on its way, nothing is marked.
//! 3. A chunk holds whole records, and begins by saying which database it is about; but for the chunks of a record that is too
//!    large for one, which follow each other.

use super::{Db, Moment, Shard};
use crate::persist::rdb::file::Usage;
use crate::persist::{Format, Rest};
use crate::types::store::{Entry, Store};
use std::collections::VecDeque;

/// A chunk is handed on when it is this long. Tests have small ones, so that they have many.
const CHUNK_BYTES: usize = if cfg!(test) { 256 } else { 128 * 1024 };
/// Bytes that a step of a large collection writes: some tens of microseconds.
const STEP_BYTES: usize = if cfg!(test) { 1024 } else { 8 * 1024 };
/// Buffers that a snapshot has in hand for its next chunks.
const LENT_CHUNKS: usize = 8;
/// A step that writes any value as a whole.
const WHOLE_BYTES: usize = usize::MAX / 2;
/// The cursor of a walk that has come to the end.
const END: u64 = u64::MAX;

/// What a snapshot writes, and how.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Its number; grows with every snapshot.
    pub id: u64,
    pub format: Format,
    /// What is written of access clocks, where the format has a place for it.
    pub clocks: Clocks,
    /// When it began.
    pub moment: Moment,
}

/// What an eviction policy will want to know of an entry after it is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clocks {
    None,
    Idle,
    Frequency,
}

impl Plan {
    fn usage(&self, entry: &Entry) -> Usage {
        match self.clocks {
            Clocks::None => Usage::Unknown,
            Clocks::Idle => Usage::Idle(self.moment.idle_s(entry.access()) as u64),
            Clocks::Frequency => Usage::Frequency(entry.access() as u8),
        }
    }

    /// Writes an entry, or begins to.
    fn write(&self, entry: &Entry, step_bytes: usize, out: &mut Vec<u8>) -> Option<Rest> {
        self.format.entry(entry, || self.usage(entry), step_bytes, out)
    }
}

/// How far the walk over one database has come.
pub(super) struct Walk {
    /// Which database it was at the moment.
    number: u16,
    cursor: u64,
    /// The large collection that is being written; the cursor is past it.
    open: Option<(Box<[u8]>, Rest)>,
}

/// Records for the file, in order.
#[derive(Debug)]
pub struct Chunk {
    pub bytes: Vec<u8>,
    /// Its last record goes on in the next chunk of this shard.
    pub open: bool,
}

/// How a snapshot is getting on.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Memory taken by it: records not handed on, databases kept aside.
    pub bytes: usize,
    /// The most that this ever was.
    pub bytes_peak: usize,
    /// Keys written.
    pub keys: usize,
}

impl Progress {
    pub fn add(&mut self, other: &Progress) {
        self.bytes += other.bytes;
        self.bytes_peak += other.bytes_peak;
        self.keys += other.keys;
    }
}

/// A buffer of records, and the database that they are in.
#[derive(Default)]
struct Records {
    bytes: Vec<u8>,
    db: Option<u16>,
}

impl Records {
    fn select(&mut self, db: u16, format: Format) {
        if self.db != Some(db) {
            self.db = Some(db);
            format.select_db(&mut self.bytes, db);
        }
    }

    fn take(&mut self, spare: &mut Vec<Vec<u8>>) -> Vec<u8> {
        self.db = None;
        let mut next = spare.pop().unwrap_or_default();
        next.reserve_exact((CHUNK_BYTES + CHUNK_BYTES / 4).saturating_sub(next.capacity()));
        std::mem::replace(&mut self.bytes, next)
    }
}

/// A snapshot of one shard on its way.
pub(super) struct Snapshot {
    plan: Plan,
    /// Nobody wants it any more: the walk only takes marks away.
    cancelled: bool,
    records: Records,
    /// Records that wait for a large one to be complete.
    behind: Records,
    /// A large collection is being written.
    open: bool,
    /// Databases that were emptied before the walk was through with them.
    aside: Vec<Db>,
    full: VecDeque<Chunk>,
    full_bytes: usize,
    /// Buffers to be filled.
    spare: Vec<Vec<u8>>,
    keys: usize,
    bytes_peak: usize,
}

impl Snapshot {
    /// Where a record goes that is whole.
    fn sink(&mut self) -> &mut Records {
        if self.open { &mut self.behind } else { &mut self.records }
    }

    /// Writes an entry as a whole.
    fn write_whole(&mut self, db: u16, entry: &Entry) {
        let plan = self.plan;
        let sink = self.sink();
        sink.select(db, plan.format);
        let rest = plan.write(entry, WHOLE_BYTES, &mut sink.bytes);
        assert!(rest.is_none(), "a step of any length writes all");
        self.keys += 1;
    }

    /// Hands on what fills a chunk; all there is if `all`.
    fn cut(&mut self, all: bool) {
        let least = if all { 1 } else { CHUNK_BYTES };
        if self.records.bytes.len() >= least {
            let bytes = self.records.take(&mut self.spare);
            self.full_bytes += bytes.len();
            self.full.push_back(Chunk { bytes, open: self.open });
        }
        if !self.open && self.behind.bytes.len() >= least {
            let bytes = self.behind.take(&mut self.spare);
            self.full_bytes += bytes.len();
            self.full.push_back(Chunk { bytes, open: false });
        }
        self.bytes_peak = self.bytes_peak.max(self.bytes());
    }

    /// The large collection is complete: what waited for it follows.
    fn close(&mut self) {
        self.open = false;
        // What the last chunk began to say about databases is not known in this one.
        self.records.db = None;
        if !self.behind.bytes.is_empty() {
            self.cut(true);
        }
    }

    fn bytes(&self) -> usize {
        let aside: usize = self.aside.iter().map(|db| db.store.bytes()).sum();
        self.full_bytes + self.records.bytes.capacity() + self.behind.bytes.len() + aside
    }
}

/// Databases: those in place, then those kept aside.
fn walked<'a>(dbs: &'a mut [Db], aside: &'a mut [Db]) -> impl Iterator<Item = &'a mut Db> {
    dbs.iter_mut().chain(aside)
}

impl Shard {
    /// From now on, what the shard holds at this moment is written. One before is over, whether its core has heard so or not.
    pub fn begin_snapshot(&mut self, plan: Plan) {
        if self.snapshot.is_some() {
            self.cancel_snapshot();
            while !self.walk_slice(usize::MAX) {}
        }
        for (number, db) in self.dbs.iter_mut().enumerate() {
            let walk = Walk { number: number as u16, cursor: 0, open: None };
            db.walk = (!db.store.is_empty()).then_some(walk);
        }
        self.snapshot = Some(Box::new(Snapshot {
            plan,
            cancelled: false,
            records: Records::default(),
            behind: Records::default(),
            open: false,
            aside: Vec::new(),
            full: VecDeque::new(),
            full_bytes: 0,
            spare: Vec::new(),
            keys: 0,
            bytes_peak: 0,
        }));
    }

    /// The snapshot that is being written, unless nobody wants it any more.
    pub fn snapshot_id(&self) -> Option<u64> {
        self.snapshot.as_ref().filter(|snapshot| !snapshot.cancelled).map(|snapshot| snapshot.plan.id)
    }

    /// Whether there are slices left to walk.
    pub fn is_walking(&self) -> bool {
        self.snapshot.is_some()
    }

    /// Nobody wants the snapshot any more.
    pub fn cancel_snapshot(&mut self) {
        let Some(snapshot) = &mut self.snapshot else { return };
        snapshot.cancelled = true;
        snapshot.open = false;
        (snapshot.full, snapshot.full_bytes) = (VecDeque::new(), 0);
        (snapshot.records, snapshot.behind) = (Records::default(), Records::default());
        for db in std::mem::take(&mut snapshot.aside) {
            self.trash.throw_db(db);
        }
        for walk in self.dbs.iter_mut().filter_map(|db| db.walk.as_mut()) {
            walk.open = None;
        }
    }

    /// Some of these buffers are the snapshot's to be filled, so that what is written before a change need not wait for memory.
    pub fn lend_buffers(&mut self, buffers: &mut Vec<Vec<u8>>) {
        if let Some(snapshot) = &mut self.snapshot {
            let some = LENT_CHUNKS.saturating_sub(snapshot.spare.len()).min(buffers.len());
            snapshot.spare.extend(buffers.drain(buffers.len() - some..));
        }
    }

    /// The next chunk that is full; once the walk is over, whatever there is.
    pub fn take_chunk(&mut self) -> Option<Chunk> {
        let snapshot = self.snapshot.as_mut()?;
        let chunk = snapshot.full.pop_front()?;
        snapshot.full_bytes -= chunk.bytes.len();
        Some(chunk)
    }

    /// Bytes of chunks that nobody took yet.
    pub fn chunk_bytes(&self) -> usize {
        self.snapshot.as_ref().map_or(0, |snapshot| snapshot.full_bytes)
    }

    pub fn snapshot_progress(&self) -> Progress {
        let Some(snapshot) = self.snapshot.as_ref() else { return Progress::default() };
        let bytes = snapshot.bytes();
        Progress { bytes, bytes_peak: snapshot.bytes_peak.max(bytes), keys: snapshot.keys }
    }

    /// Writes about so many entries, or a step of a large one. True: the walk is over, and the last chunks are full.
    pub fn walk_slice(&mut self, entries: usize) -> bool {
        let Some(snapshot) = self.snapshot.as_mut() else { return true };
        let mut aside = std::mem::take(&mut snapshot.aside);
        let mut dbs: Vec<&mut Db> =
            walked(&mut self.dbs, &mut aside).filter(|db| db.walk.is_some()).collect();
        // A record that is begun comes first; then what is only kept for the walk.
        let at = (dbs.iter().position(|db| db.walk.as_ref().is_some_and(|walk| walk.open.is_some())))
            .or(dbs.len().checked_sub(1));
        let over = match at {
            Some(at) => {
                walk_db(dbs[at], snapshot, entries);
                if snapshot.open && dbs[at].walk.as_ref().is_none_or(|walk| walk.open.is_none()) {
                    snapshot.close();
                }
                end_of(dbs[at]);
                dbs.len() == 1 && dbs[at].walk.is_none()
            }
            None => true,
        };
        drop(dbs);
        let (done, left): (Vec<Db>, Vec<Db>) = aside.into_iter().partition(|db| db.walk.is_none());
        snapshot.aside = left;
        done.into_iter().for_each(|db| self.trash.throw_db(db));
        snapshot.cut(over);
        if over && snapshot.cancelled {
            self.snapshot = None;
        }
        over
    }

    /// The snapshot is over, and its chunks were taken. Gives back the buffers that it was lent.
    pub fn end_snapshot(&mut self) -> Vec<Vec<u8>> {
        assert!(self.chunk_bytes() == 0 && self.dbs.iter().all(|db| db.walk.is_none()), "it is over");
        self.snapshot.take().map_or_else(Vec::new, |snapshot| snapshot.spare)
    }

    /// A key is about to be changed: what the snapshot wants of it is written now.
    #[inline]
    pub(super) fn before_change(&mut self, db: u16, key: &[u8]) {
        if self.snapshot.is_some() {
            self.write_before_change(db, key);
        }
    }

    #[cold]
    fn write_before_change(&mut self, db: u16, key: &[u8]) {
        let snapshot = self.snapshot.as_mut().expect("the caller looked");
        let Db { store, walk, .. } = &mut self.dbs[db as usize];
        let Some(walk) = walk.as_mut().filter(|_| !snapshot.cancelled) else { return };
        let hash = store.hash(key);
        if let Some((_, mut rest)) = walk.open.take_if(|(open, _)| **open == *key) {
            let entry = store.find_hashed(hash, key).expect("it is being written");
            let whole = rest.step(snapshot.plan.format, entry, WHOLE_BYTES, &mut snapshot.records.bytes);
            assert!(whole, "a step of any length writes all");
            snapshot.close();
        } else if Store::is_ahead(walk.cursor, hash)
            && let Some(entry) = store.find_hashed_mut(hash, key).filter(|entry| !entry.is_marked())
        {
            snapshot.write_whole(walk.number, entry);
            entry.set_mark(true);
            snapshot.cut(false);
        }
    }

    /// A key was changed, or is new: it is no matter of the snapshot any more.
    #[cold]
    pub(super) fn mark_changed(&mut self, db: u16, key: &[u8]) {
        let cancelled = self.snapshot.as_ref().is_none_or(|snapshot| snapshot.cancelled);
        let db = &mut self.dbs[db as usize];
        let Some(walk) = db.walk.as_ref().filter(|_| !cancelled) else { return };
        let hash = db.store.hash(key);
        if Store::is_ahead(walk.cursor, hash)
            && let Some(entry) = db.store.find_hashed_mut(hash, key)
        {
            entry.set_mark(true);
        }
    }

    /// A database is emptied: what the walk has not come to is kept for it. Gives back what can be thrown away.
    pub(super) fn keep_aside(&mut self, old: Db) -> Option<Db> {
        match &mut self.snapshot {
            Some(snapshot) if old.walk.is_some() && !snapshot.cancelled => {
                snapshot.aside.push(old);
                None
            }
            _ => Some(old),
        }
    }
}

/// Goes on with one database.
fn walk_db(db: &mut Db, snapshot: &mut Snapshot, entries: usize) {
    /// Entries of a bucket, about.
    const BUCKET: usize = 8;
    let walk = db.walk.as_mut().expect("only databases that are not done are walked");
    if let Some((key, rest)) = &mut walk.open {
        let entry = db.store.find(key).expect("who removes it has it written first");
        if rest.step(snapshot.plan.format, entry, STEP_BYTES, &mut snapshot.records.bytes) {
            walk.open = None;
        }
        return;
    }
    if walk.cursor == END {
        return;
    }
    let (number, plan) = (walk.number, snapshot.plan);
    let mut written = 0;
    walk.cursor = db.store.walk(walk.cursor, (entries / BUCKET).max(1), &mut |entry| {
        if entry.is_marked() {
            entry.set_mark(false);
        } else if snapshot.open {
            // The rest of a large one's bucket.
            snapshot.write_whole(number, entry);
        } else if !snapshot.cancelled {
            let records = &mut snapshot.records;
            records.select(number, plan.format);
            let before = records.bytes.len();
            if let Some(rest) = plan.write(entry, STEP_BYTES, &mut records.bytes) {
                walk.open = Some((entry.key().into(), rest));
                snapshot.open = true;
            }
            written += snapshot.records.bytes.len() - before;
            snapshot.keys += 1;
        }
        // A slice is bounded by what it writes, too.
        written < STEP_BYTES
    });
    if walk.cursor == 0 {
        walk.cursor = END;
    }
}

/// The walk over a database that has come to its end is none any more.
fn end_of(db: &mut Db) {
    db.walk.take_if(|walk| walk.cursor == END && walk.open.is_none());
}

#[cfg(test)]
mod tests;
