//! A part of the keyspace with all its databases: a value that is moved between cores, never shared.
//! In: keys and values through one choke point for reading and one for writing. Out: entries, what changed, counts.
//! Absent: which shard a key belongs to (`shared::SlotTable`), replies, sockets, other shards.

pub mod db;
pub mod evict;
pub mod fields;
pub mod incident;
pub mod snapshot;
pub mod tracking;
mod trash;
pub mod waiting;
pub mod watch;

pub use crate::types::store::{self, Encoding, Entry, Removed, Store, Type, Value};
pub use db::{Db, DbReport, Moment, Overdue, Report};
pub use incident::{Incident, What, tell};

use crate::shard::tracking::TrackTable;
use crate::shard::waiting::WaitTable;
use crate::shard::watch::WatchTable;
use crate::types::{Collection, Object};
use snapshot::Snapshot;
use store::{Owned, Spot};
use trash::Trash;

/// Counts of a shard for INFO stats.
#[derive(Clone, Copy, Default, Debug)]
pub struct ShardCounters {
    pub hits: u64,
    pub misses: u64,
    pub expired: u64,
    /// Fields of hashes.
    pub expired_fields: u64,
    pub evicted: u64,
    pub lazy_freed: u64,
    pub expire_cycle_us: u64,
    /// Keys changed by commands, each as often as it was: neither what expires nor what is evicted. It only grows.
    pub changes: u64,
    /// How many more changes commands count than keys they changed: see `counted`.
    pub changes_beyond: i64,
}

impl ShardCounters {
    /// CONFIG RESETSTAT: everything but the changes, of which some are not saved.
    pub fn reset(&mut self) {
        let Self { changes, changes_beyond, .. } = *self;
        *self = Self { changes, changes_beyond, ..Self::default() };
    }

    /// Changes as the save points count them, and Redis: of a collection that gets or loses elements, each of those, of most
    /// others the key. What `changes` says of whether anything changed at all, this does not: RPOP of no elements counts none.
    pub fn counted(&self) -> u64 {
        self.changes.wrapping_add_signed(self.changes_beyond)
    }
}

pub struct Shard {
    pub id: usize,
    pub dbs: Vec<Db>,
    pub watch: WatchTable,
    pub waiting: WaitTable,
    pub tracking: TrackTable,
    pub counters: ShardCounters,
    /// Values and whole databases on their way out, freed in slices.
    trash: Trash,
    /// What is being written of it, if anything is.
    snapshot: Option<Box<Snapshot>>,
    hasher: ahash::RandomState,
    expire: db::ExpireCycle,
    evicting: evict::Pool,
    /// Lent to packed collections while they are changed.
    scratch: Vec<u8>,
    /// What happened to keys by themselves, where the moment asks for it.
    pub incidents: Vec<Incident>,
    /// The last `change` emptied its collection, so that the key is gone.
    pub emptied: bool,
}

/// A key holds another type than the command is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongType;

impl Shard {
    /// Shard `id` with `databases` empty databases whose keys are hashed from `seed`.
    pub fn new(id: usize, databases: usize, seed: u64) -> Self {
        let hasher =
            ahash::RandomState::with_seeds(seed, seed ^ 0x9e37_79b9_7f4a_7c15, !seed, seed.rotate_left(32));
        Self {
            id,
            dbs: (0..databases).map(|_| Db::new(Store::new(hasher.clone()))).collect(),
            watch: WatchTable::default(),
            waiting: WaitTable::default(),
            tracking: TrackTable::default(),
            counters: ShardCounters::default(),
            trash: Trash::default(),
            snapshot: None,
            hasher,
            expire: db::ExpireCycle::default(),
            evicting: evict::Pool::default(),
            scratch: Vec::new(),
            incidents: Vec::new(),
            emptied: false,
        }
    }

    /// The one place where a key is looked up to be read: an expired entry is absent (and deleted),
    /// the access clock is refreshed. Counts a hit or a miss.
    #[inline]
    pub fn read(&mut self, db: u16, key: &[u8], moment: &Moment) -> Option<&mut Entry> {
        let Some(spot) = self.find_live(db, key, moment) else {
            self.counters.misses += 1;
            self.tell(moment, tell::MISSED, db, key, What::Missed);
            return None;
        };
        self.counters.hits += 1;
        Some(self.touched(db, spot, moment))
    }

    /// A look at a key that refreshes and counts nothing (OBJECT, TTL, DEBUG).
    pub fn peek(&mut self, db: u16, key: &[u8], moment: &Moment) -> Option<&mut Entry> {
        let spot = self.find_live(db, key, moment)?;
        Some(self.dbs[db as usize].store.at_mut(spot))
    }

    /// The one place where a key is looked up to be changed in place. Whoever changes it says so with `changed`.
    #[inline]
    pub fn edit(&mut self, db: u16, key: &[u8], moment: &Moment) -> Option<&mut Entry> {
        let spot = self.find_live(db, key, moment)?;
        self.before_change(db, key);
        Some(self.touched(db, spot, moment))
    }

    /// Where the entry of a key lies that is there and has not expired; an expired one is deleted.
    #[inline]
    fn find_live(&mut self, db: u16, key: &[u8], moment: &Moment) -> Option<Spot> {
        let store = &self.dbs[db as usize].store;
        let (spot, entry) = store.spot(store.hash(key), key)?;
        match entry.expiry() {
            Some(at_ms) if at_ms <= moment.due_ms => {
                if !moment.keep_overdue {
                    self.expire_key(db, key, moment);
                }
                None
            }
            _ => Some(spot),
        }
    }

    #[inline]
    fn touched(&mut self, db: u16, spot: Spot, moment: &Moment) -> &mut Entry {
        let entry = self.dbs[db as usize].store.at_mut(spot);
        moment.touch(entry);
        entry
    }

    /// Deletes a key whose time has come.
    fn expire_key(&mut self, db: u16, key: &[u8], moment: &Moment) -> bool {
        self.before_change(db, key);
        let removed = self.dbs[db as usize].store.remove(key);
        let was_there = removed.is_some();
        if was_there {
            self.dbs[db as usize].fields.forget(key);
            self.counters.expired += 1;
            self.discard(removed);
            self.watch.expired(db, key);
            if !self.waiting.is_empty() {
                self.waiting.changed(db, key);
            }
            if !self.tracking.is_idle() {
                self.tracking.changed(key, true);
            }
            self.tell(moment, tell::LAPSED, db, key, What::Expired);
        }
        was_there
    }

    /// Sets a string, whatever was there. `expiry` in unix ms.
    #[inline]
    pub fn set_string(
        &mut self,
        db: u16,
        key: &[u8],
        value: &[u8],
        encoding: Encoding,
        expiry: Option<i64>,
        moment: &Moment,
    ) {
        self.before_change(db, key);
        let store = &mut self.dbs[db as usize].store;
        let hash = store.hash(key);
        let old = store.set_string(hash, key, value, encoding, expiry, moment.fresh_access());
        self.tell_if_made(moment, old.is_none(), db, key);
        self.discard(old);
        self.note(db, key);
    }

    /// Sets a string that is an integer.
    #[inline]
    pub fn set_int(&mut self, db: u16, key: &[u8], value: i64, expiry: Option<i64>, moment: &Moment) {
        self.before_change(db, key);
        let store = &mut self.dbs[db as usize].store;
        let hash = store.hash(key);
        let old = store.set_int(hash, key, value, expiry, moment.fresh_access());
        self.tell_if_made(moment, old.is_none(), db, key);
        self.discard(old);
        self.note(db, key);
    }

    /// Sets a key to an object, whatever was there.
    pub fn set_object(
        &mut self,
        db: u16,
        key: &[u8],
        object: Box<Object>,
        expiry: Option<i64>,
        moment: &Moment,
    ) {
        self.schedule_fields(db, key, object.next_expiry());
        self.before_change(db, key);
        let store = &mut self.dbs[db as usize].store;
        let hash = store.hash(key);
        let old = store.set_object(hash, key, object, expiry, moment.fresh_access());
        self.tell_if_made(moment, old.is_none(), db, key);
        self.discard(old);
        self.note(db, key);
    }

    /// The one place where a collection is changed. `change` says, besides its result, whether it changed anything. An absent
    /// key begins as an empty collection if `make`; otherwise the answer is None. A collection left empty is deleted.
    pub fn change<T: Collection, R>(
        &mut self,
        db: u16,
        key: &[u8],
        moment: &Moment,
        make: bool,
        change: impl FnOnce(&mut T) -> (R, bool),
    ) -> Result<Option<R>, WrongType> {
        let mut empty = false;
        let mut sooner = None;
        let change = |collection: &mut T| {
            let before = collection.next_expiry();
            let outcome = change(collection);
            empty = collection.is_empty();
            sooner = collection.next_expiry().filter(|_| collection.next_expiry() != before);
            outcome
        };
        let spot = self.find_live(db, key, moment);
        self.before_change(db, key);
        self.emptied = false;
        let store = &mut self.dbs[db as usize].store;
        let (result, changed) = if let Some(spot) = spot {
            let touch = |entry: &mut Entry| moment.touch(entry);
            store.change(spot, key, &mut self.scratch, touch, change).ok_or(WrongType)?
        } else if make {
            let mut collection = T::new(std::mem::take(&mut self.scratch));
            let outcome = change(&mut collection);
            if !empty {
                self.scratch = store.add(store.hash(key), key, collection, None, moment.fresh_access());
            }
            (outcome.0, !empty)
        } else {
            return Ok(None);
        };
        self.schedule_fields(db, key, sooner.filter(|_| !empty));
        self.tell_if_made(moment, spot.is_none() && !empty, db, key);
        self.emptied = empty && spot.is_some();
        if self.emptied {
            self.remove(db, key);
        } else if changed {
            self.note(db, key);
        }
        Ok(Some(result))
    }

    /// Sets a key to a collection, whatever was there; an empty one deletes the key. True: something changed.
    pub fn replace<T: Collection>(&mut self, db: u16, key: &[u8], collection: T, moment: &Moment) -> bool {
        let was_there = self.find_live(db, key, moment).is_some();
        self.before_change(db, key);
        let fills = !collection.is_empty();
        self.schedule_fields(db, key, collection.next_expiry());
        let store = &mut self.dbs[db as usize].store;
        let old = store.remove(key);
        if fills {
            store.add(store.hash(key), key, collection, None, moment.fresh_access());
        }
        self.discard(old);
        self.tell_if_made(moment, !was_there && fills, db, key);
        if was_there || fills {
            self.note(db, key);
        }
        was_there || fills
    }

    /// Puts a value that was taken from elsewhere (RENAME, MOVE) under `key`, whatever was there.
    pub fn put(&mut self, db: u16, key: &[u8], value: Removed, expiry: Option<i64>, moment: &Moment) {
        if let Owned::Object(object) = &value.value {
            self.schedule_fields(db, key, object.next_expiry());
        }
        self.before_change(db, key);
        let store = &mut self.dbs[db as usize].store;
        let hash = store.hash(key);
        let old = store.put(hash, key, value, expiry, moment.fresh_access());
        // As in Redis, which deletes what was there first.
        self.tell_if_made(moment, true, db, key);
        self.discard(old);
        self.note(db, key);
    }

    /// A file has about so many keys for a database of this shard.
    pub fn plan(&mut self, db: u16, keys: usize) {
        self.dbs[db as usize].store.plan(keys);
    }

    /// Puts a key of a file into the shard; nobody sees a change. False: it is there already, and is not to be replaced.
    pub fn load(
        &mut self,
        db: u16,
        key: &[u8],
        value: Removed,
        expiry: Option<i64>,
        access: u32,
        replace: bool,
    ) -> bool {
        if let Owned::Object(object) = &value.value {
            self.schedule_fields(db, key, object.next_expiry());
        }
        let store = &mut self.dbs[db as usize].store;
        let hash = store.hash(key);
        if !replace && store.find_hashed(hash, key).is_some() {
            return false;
        }
        let old = store.put(hash, key, value, expiry, access);
        self.discard(old);
        true
    }

    /// Empties all databases to be loaded anew; nobody sees a change.
    pub fn clear(&mut self) {
        for db in &mut self.dbs {
            let fresh = Db::new(Store::new(self.hasher.clone()));
            self.trash.throw_db(std::mem::replace(db, fresh));
        }
    }

    /// Gives a key an expiry, or takes it away. False: no such key.
    pub fn set_expiry(&mut self, db: u16, key: &[u8], expiry: Option<i64>) -> bool {
        self.before_change(db, key);
        let done = self.dbs[db as usize].store.set_expiry(key, expiry);
        if done {
            self.note(db, key);
        }
        done
    }

    /// Takes a key out with its value. It must have been looked up before (an expired one is taken too).
    pub fn take(&mut self, db: u16, key: &[u8]) -> Option<Removed> {
        self.before_change(db, key);
        let removed = self.dbs[db as usize].store.take(key)?;
        self.dbs[db as usize].fields.forget(key);
        self.note(db, key);
        Some(removed)
    }

    /// Deletes a key; large values are freed later, in slices. False: no such key.
    pub fn remove(&mut self, db: u16, key: &[u8]) -> bool {
        let was_there = self.remove_uncounted(db, key);
        self.counters.changes += u64::from(was_there);
        was_there
    }

    /// The same for what goes by itself: that is no change to be saved.
    fn remove_uncounted(&mut self, db: u16, key: &[u8]) -> bool {
        self.before_change(db, key);
        let removed = self.dbs[db as usize].store.remove(key);
        let was_there = removed.is_some();
        if was_there {
            self.dbs[db as usize].fields.forget(key);
            self.discard(removed);
            self.note_uncounted(db, key);
        }
        was_there
    }

    /// Whoever changed an entry in place says so here, so that its memory is counted again.
    #[inline]
    pub fn changed(&mut self, db: u16, key: &[u8]) {
        self.dbs[db as usize].store.recount(key);
        self.note(db, key);
    }

    /// The same, for a change that nobody is to see, as in Redis.
    pub fn changed_unseen(&mut self, db: u16, key: &[u8]) {
        self.dbs[db as usize].store.recount(key);
        self.counters.changes += 1;
        if self.snapshot.is_some() {
            self.mark_changed(db, key);
        }
    }

    /// The key gets a value in which something expires then, or nothing.
    #[inline]
    fn schedule_fields(&mut self, db: u16, key: &[u8], next_ms: Option<i64>) {
        if let Some(at_ms) = next_ms {
            self.dbs[db as usize].fields.schedule(key, at_ms);
        }
    }

    /// Everything that changes a key passes here: watchers and caches see it, it counts as unsaved, and a snapshot that has yet to come to
    /// the key leaves it alone (`before_change` came first).
    #[inline]
    fn note(&mut self, db: u16, key: &[u8]) {
        self.counters.changes += 1;
        self.note_uncounted(db, key);
    }

    #[inline]
    fn note_uncounted(&mut self, db: u16, key: &[u8]) {
        if !self.watch.is_empty() {
            self.watch.changed(db, key);
        }
        if !self.waiting.is_empty() {
            self.waiting.changed(db, key);
        }
        if !self.tracking.is_idle() {
            self.tracking.changed(key, false);
        }
        if self.snapshot.is_some() {
            self.mark_changed(db, key);
        }
    }

    /// Keys changed by commands, so far.
    #[inline]
    pub fn changes(&self) -> u64 {
        self.counters.changes
    }

    #[inline]
    fn discard(&mut self, old: Option<Removed>) {
        if let Some(object) = old.and_then(Removed::into_object) {
            self.trash.throw_object(object);
        }
    }

    /// Throws a value away that no key holds any more.
    pub fn throw(&mut self, object: Box<Object>) {
        self.trash.throw_object(object);
    }

    /// Empties a database at once; its memory goes in slices. Returns how many keys it had.
    pub fn flush(&mut self, db: u16, moment: &Moment) -> usize {
        for key in self.watch.keys_of(db) {
            if self.peek(db, &key, moment).is_some() {
                self.watch.changed(db, &key);
            }
        }
        self.waiting.changed_all(db);
        self.tracking.flushed();
        let fresh = Db::new(Store::new(self.hasher.clone()));
        let old = std::mem::replace(&mut self.dbs[db as usize], fresh);
        let keys = old.store.len();
        self.counters.changes += keys as u64;
        if let Some(old) = self.keep_aside(old) {
            self.trash.throw_db(old);
        }
        keys
    }

    /// Swaps two databases. Whoever does so counts it, once for all shards.
    pub fn swap(&mut self, a: u16, b: u16, moment: &Moment) {
        for (from, to) in [(a, b), (b, a)] {
            for key in self.watch.keys_of(from) {
                // Overdue keys are gone already, on both sides.
                let either = [from, to].map(|db| self.peek(db, &key, moment).is_some());
                if either.contains(&true) {
                    self.watch.changed(from, &key);
                }
            }
        }
        self.dbs.swap(a as usize, b as usize);
        [a, b].into_iter().for_each(|db| self.waiting.changed_all(db));
    }

    /// Frees a slice of what was thrown away: about `entries_max` entries and elements. True when nothing is left.
    pub fn free_slice(&mut self, entries_max: usize) -> bool {
        self.counters.lazy_freed += self.trash.free_slice(entries_max);
        !self.has_trash()
    }

    pub fn has_trash(&self) -> bool {
        !self.trash.is_empty()
    }

    /// Values waiting to be freed.
    pub fn trash_len(&self) -> usize {
        self.trash.len()
    }

    /// Whether any hash may have fields that expire.
    pub fn has_expiring_fields(&self) -> bool {
        self.dbs.iter().any(|db| !db.fields.is_empty())
    }

    /// Whether any key or field carries an expiry: only then is there work for the active expiry.
    pub fn has_expires(&self) -> bool {
        self.dbs.iter().any(|db| db.store.expires() > 0 || !db.fields.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key ended after WATCH while the server was paused, FLUSHALL took it along, and EXEC ran.
    #[test]
    fn watchers_hear_of_overdue_keys_that_leave_with_their_database() {
        let ways: [fn(&mut Shard, &Moment); 2] = [
            |shard, moment| _ = shard.flush(0, moment),
            |shard, moment| {
                shard.swap(0, 1, moment);
            },
        ];
        for leave in ways {
            let mut shard = Shard::new(0, 16, 7);
            let before = Moment::at(1000);
            shard.set_string(0, b"k", b"v", Encoding::Embstr, Some(1500), &before);
            let stamp = shard.watch.watch(0, b"k");
            let paused = Moment { keep_overdue: true, ..Moment::at(2000) };
            leave(&mut shard, &paused.writing(true));
            assert!(!shard.watch.unchanged_since(stamp, 0, b"k", false));
            assert!(shard.watch.unchanged_since(stamp, 0, b"k", true), "who found it overdue sees no change");
        }
    }
}
