//! Holds the keys of one database of one shard.
//! In: keys with their hashes, values. Out: entries in place, and what was removed.
//! Absent: databases, the clock, whether a key has expired, effects (see the choke points of the keyspace).
//!
//! Three parts, one file each: the `slab` gives memory, an `entry` is a key with its value in one piece of it, the `table`
//! finds it by hash. This file joins them and keeps the accounts. An empty store owns no memory.
//!
//! No operation works on more than one segment of the table (about a thousand entries), and none frees an object:
//! whatever was large is handed back as a `Removed`, for the caller to drop at once or in slices.
//!
//! Unsafe: turns packed addresses into entries.
//!
//! - I1: an address in the table is that of an entry in a slot of this store's slab, `Entry::slot_bytes` long; no two share one.
//! - I2: entries are reached through `&self` or `&mut self` only, and borrowed no longer.
//! - I3: `objects` is the sum of `Entry::accounted`.
#![allow(unsafe_code)]

use super::collection::Collection;
pub use super::entry::{ACCESS_MAX, Encoding, Entry, KEY_BYTES_MAX, Object, Type, Value};
use super::entry::{Draft, Packed, Payload, fits_inline};
use super::slab::Slab;
pub use super::table::CURSOR_BITS;
use super::table::{Awaited, Place, Table, hash_key};
use ahash::RandomState;
use smallvec::SmallVec;
use std::ptr::NonNull;

/// What unmapping one region of the slab costs, in entries.
const REGION_COST: usize = 256;

/// What an entry was, without its key.
#[derive(Debug)]
pub struct Removed {
    pub kind: Type,
    pub encoding: Encoding,
    pub expiry: Option<i64>,
    pub access: u32,
    pub value: Owned,
}

/// A value that belongs to no entry.
#[derive(Debug)]
#[cfg_attr(test, derive(PartialEq))]
pub enum Owned {
    /// It was small, and nobody asked for it.
    Forgotten,
    Int(i64),
    Bytes(Vec<u8>),
    Object(Box<Object>),
}

/// Where an entry is, in one word. Whoever keeps it vouches that the entry is still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handle(pub u64);

impl Handle {
    /// Asks the processor to fetch the entry.
    #[inline]
    pub fn prefetch(self) {
        Packed(self.0).prefetch_key();
    }
}

/// Where an entry lies, until its store changes: spares a second lookup.
#[derive(Clone, Copy, Debug)]
pub struct Spot {
    hash: u64,
    place: Place,
}

/// Lookups that are gathered without a list of them on the heap.
const AT_ONCE: usize = 64;

/// Fetches what lookups will touch. Each stage is a short loop, so that the processor waits for many lines and translations of
/// addresses at once (where something else stood between, it took longer): first it asks for all buckets, then for the entries
/// they name or the buckets behind, then for the entries that these name.
#[derive(Default)]
pub struct Lookahead<'a> {
    wanted: SmallVec<[(&'a Store, u64); AT_ONCE]>,
}

impl<'a> Lookahead<'a> {
    /// One more lookup is to come, of this hash.
    #[inline]
    pub fn expect(&mut self, store: &'a Store, hash: u64) {
        self.wanted.push((store, hash));
    }

    /// All are known.
    pub fn fetch(&self) {
        let ask = |&(store, hash): &(&'a Store, u64)| store.table.prefetch_bucket(hash);
        if let [lone] = &self.wanted[..] {
            // To read the only bucket now would be to wait for it, and who looks it up has other things to do first.
            ask(lone);
            return;
        }
        // Lists that are filled where they lie: collecting would copy them whole.
        let (mut buckets, mut beyond) =
            (SmallVec::<[Awaited; AT_ONCE]>::new(), SmallVec::<[Awaited; AT_ONCE]>::new());
        buckets.extend(self.wanted.iter().filter_map(ask));
        beyond.extend(buckets.iter().filter_map(Awaited::prefetch_entry));
        beyond.iter().for_each(|bucket| {
            bucket.prefetch_entry();
        });
    }
}

/// Fetches what lookups of these hashes will touch.
pub fn prefetch<'a>(wanted: impl Iterator<Item = (&'a Store, u64)>) {
    Lookahead { wanted: wanted.collect() }.fetch();
}

/// A hash table from keys to values.
pub struct Store {
    table: Table,
    slab: Slab,
    hasher: RandomState,
    /// Bytes of all boxed objects, as they were last counted.
    objects: usize,
}

impl Store {
    /// Stores of one shard share the hasher, so that a hash is good for all of them.
    pub fn new(hasher: RandomState) -> Self {
        Store { table: Table::default(), slab: Slab::default(), hasher, objects: 0 }
    }

    /// A store that is part of a value: its entries come from the global allocator.
    pub fn inside_value(hasher: RandomState) -> Self {
        Store { table: Table::default(), slab: Slab::on_heap(), hasher, objects: 0 }
    }

    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// So many keys are to come, if it is empty: see `Table::plan`.
    pub fn plan(&mut self, keys: usize) {
        self.table.plan(keys);
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Keys that have an expiry.
    pub fn expires(&self) -> usize {
        self.table.expiring()
    }

    /// Resident bytes of keys, values and table.
    pub fn bytes(&self) -> usize {
        self.slab.bytes() + self.table.bytes() + self.objects
    }

    /// Bytes allocated for keys, values and table: without the holes that deleted keys have left for others.
    pub fn live_bytes(&self) -> usize {
        self.slab.live_bytes() + self.table.bytes() + self.objects
    }

    #[inline]
    pub fn hash(&self, key: &[u8]) -> u64 {
        hash_key(&self.hasher, key)
    }

    pub fn find(&self, key: &[u8]) -> Option<&Entry> {
        self.find_hashed(self.hash(key), key)
    }

    /// Changes to an object's size are to be followed by `recount`; or use `update`.
    pub fn find_mut(&mut self, key: &[u8]) -> Option<&mut Entry> {
        self.find_hashed_mut(self.hash(key), key)
    }

    #[inline]
    pub fn find_hashed(&self, hash: u64, key: &[u8]) -> Option<&Entry> {
        let (_, packed) = self.table.locate(hash, key)?;
        // SAFETY: I1, I2.
        Some(unsafe { packed.get() })
    }

    #[inline]
    pub fn find_hashed_mut(&mut self, hash: u64, key: &[u8]) -> Option<&mut Entry> {
        let (_, packed) = self.table.locate(hash, key)?;
        // SAFETY: I1, I2.
        Some(unsafe { packed.get_mut() })
    }

    /// Where a key's entry is, and the entry.
    #[inline]
    pub fn spot(&self, hash: u64, key: &[u8]) -> Option<(Spot, &Entry)> {
        let (place, packed) = self.table.locate(hash, key)?;
        // SAFETY: I1, I2.
        Some((Spot { hash, place }, unsafe { packed.get() }))
    }

    /// The entry at a spot; nothing was added or removed since `spot`.
    #[inline]
    pub fn at_mut(&mut self, spot: Spot) -> &mut Entry {
        // SAFETY: I1, I2: whatever the place holds is an entry of this store.
        unsafe { self.table.at_place(spot.place).get_mut() }
    }

    /// Lets `change` have the entry, and counts its memory afterwards.
    pub fn update<R>(&mut self, hash: u64, key: &[u8], change: impl FnOnce(&mut Entry) -> R) -> Option<R> {
        let entry = self.find_hashed_mut(hash, key)?;
        let result = change(entry);
        let (before, after) = entry.recount();
        self.objects = self.objects - before + after;
        Some(result)
    }

    /// Counts the memory of a key's object again. Costs nothing while the store has no objects.
    #[inline]
    pub fn recount(&mut self, key: &[u8]) {
        if self.table.loose() > 0 {
            self.update(self.hash(key), key, |_| ());
        }
    }

    /// Sets a key to a string. `Some` is what it replaced, whose value was kept only if it was large.
    pub fn set_string(
        &mut self,
        hash: u64,
        key: &[u8],
        value: &[u8],
        encoding: Encoding,
        expiry: Option<i64>,
        access: u32,
    ) -> Option<Removed> {
        let found = self.table.locate(hash, key);
        let payload = if fits_inline(key.len(), value.len(), expiry.is_some()) {
            Payload::Inline(value)
        } else {
            if let Some((_, packed)) = found
                && let Some(removed) = self.refill(packed, value, encoding, expiry, access)
            {
                return Some(removed);
            }
            Payload::Boxed(Box::new(Object::Bytes(value.to_vec())))
        };
        self.write(hash, found, Draft { key, payload, kind: Type::String, encoding, expiry, access })
    }

    /// Adds a key with an empty value, as a set has its members; false if it was there.
    pub fn add_member(&mut self, key: &[u8]) -> bool {
        let hash = self.hash(key);
        if self.table.locate(hash, key).is_some() {
            return false;
        }
        let payload = if fits_inline(key.len(), 0, false) {
            Payload::Inline(b"")
        } else {
            Payload::Boxed(Box::new(Object::Bytes(Vec::new())))
        };
        let (kind, encoding) = (Type::String, Encoding::Embstr);
        self.place(hash, None, Draft { key, payload, kind, encoding, expiry: None, access: 0 });
        true
    }

    /// Lets `change` have the collection at a spot, and notes its size, form and encoding afterwards; `scratch` lends memory.
    /// `touch` sees the entry first; `key` is its key.
    /// None if it holds another type. A collection that became empty stays: the caller removes it.
    pub fn change<T: Collection, R>(
        &mut self,
        spot: Spot,
        key: &[u8],
        scratch: &mut Vec<u8>,
        touch: impl FnOnce(&mut Entry),
        change: impl FnOnce(&mut T) -> R,
    ) -> Option<R> {
        let found = (spot.place, self.table.at_place(spot.place));
        // SAFETY: I1, I2.
        let entry = unsafe { found.1.get_mut() };
        if entry.kind() != T::TYPE {
            return None;
        }
        touch(entry);
        if let Some(object) = entry.object_mut() {
            let collection = T::of_mut(object);
            let result = change(collection);
            let encoding = collection.encoding();
            entry.set_encoding(encoding);
            let (before, after) = entry.recount();
            self.objects = self.objects - before + after;
            return Some(result);
        }
        let Value::Bytes(packed) = entry.value() else { unreachable!("only strings are integers") };
        scratch.clear();
        scratch.extend_from_slice(packed);
        let mut collection = T::from_packed(entry.encoding(), std::mem::take(scratch));
        let result = change(&mut collection);
        let (expiry, access) = (entry.expiry(), entry.access());
        *scratch = self.write_collection(spot.hash, key, Some(found), collection, expiry, access);
        Some(result)
    }

    /// Sets a key that is absent to a collection. Returns memory for the next one.
    pub fn add<T: Collection>(
        &mut self,
        hash: u64,
        key: &[u8],
        collection: T,
        expiry: Option<i64>,
        access: u32,
    ) -> Vec<u8> {
        debug_assert!(self.table.locate(hash, key).is_none(), "the key is absent");
        self.write_collection(hash, key, None, collection, expiry, access)
    }

    fn write_collection<T: Collection>(
        &mut self,
        hash: u64,
        key: &[u8],
        found: Option<(Place, Packed)>,
        mut collection: T,
        expiry: Option<i64>,
        access: u32,
    ) -> Vec<u8> {
        let (kind, encoding) = (T::TYPE, collection.encoding());
        let fits = |packed: &&mut Vec<u8>| fits_inline(key.len(), packed.len(), expiry.is_some());
        if let Some(packed) = collection.packed_mut().filter(fits) {
            let payload = Payload::Inline(packed);
            self.write(hash, found, Draft { key, payload, kind, encoding, expiry, access });
            return std::mem::take(packed);
        }
        let payload = Payload::Boxed(Box::new(collection.into_object()));
        self.write(hash, found, Draft { key, payload, kind, encoding, expiry, access });
        Vec::new()
    }

    /// Sets a key to an integer.
    pub fn set_int(
        &mut self,
        hash: u64,
        key: &[u8],
        value: i64,
        expiry: Option<i64>,
        access: u32,
    ) -> Option<Removed> {
        let (payload, encoding) = (Payload::Int(value), Encoding::Int);
        let found = self.table.locate(hash, key);
        self.write(hash, found, Draft { key, payload, kind: Type::String, encoding, expiry, access })
    }

    /// Sets a key that is absent to an integer; where its entry is.
    pub fn add_int(&mut self, hash: u64, key: &[u8], value: i64) -> Handle {
        debug_assert!(self.find_hashed(hash, key).is_none(), "add_int is for absent keys");
        let (payload, encoding) = (Payload::Int(value), Encoding::Int);
        let draft = Draft { key, payload, kind: Type::String, encoding, expiry: None, access: 0 };
        Handle(self.place(hash, None, draft).as_ptr().expose_provenance() as u64)
    }

    /// Where an entry is. It stays there until its key is removed, or is set to a value of another size.
    pub fn handle(entry: &Entry) -> Handle {
        Handle(std::ptr::from_ref(entry).cast::<u8>().expose_provenance() as u64)
    }

    /// The entry of a handle.
    ///
    /// # Safety
    /// The handle came from this store, and its entry has not moved or gone since (see `handle`).
    #[inline]
    pub unsafe fn by_handle(&self, handle: Handle) -> &Entry {
        // SAFETY: the caller's promise makes it an address of I1; I2.
        unsafe { Packed(handle.0).get() }
    }

    /// Removes the key of an entry.
    ///
    /// # Safety
    /// As for `by_handle`.
    pub unsafe fn remove_by_handle(&mut self, handle: Handle) {
        // SAFETY: the caller's promise; the key is read until the entry is found, and the slot freed afterwards.
        let key = unsafe { Packed(handle.0).get() }.key();
        let hash = self.hash(key);
        let (place, packed) = self.table.locate(hash, key).expect("the handle's entry is in this store");
        self.table.remove(&mut self.slab, &self.hasher, place);
        let (_, bytes) = self.strip(packed, |_| Owned::Forgotten);
        // SAFETY: I1: it is in the table no more.
        unsafe { self.slab.free(packed.slot(), bytes) };
    }

    /// Sets a key to an object.
    pub fn set_object(
        &mut self,
        hash: u64,
        key: &[u8],
        object: Box<Object>,
        expiry: Option<i64>,
        access: u32,
    ) -> Option<Removed> {
        let encoding = object.encoding();
        self.set_boxed(hash, key, object, encoding, expiry, access)
    }

    fn set_boxed(
        &mut self,
        hash: u64,
        key: &[u8],
        object: Box<Object>,
        encoding: Encoding,
        expiry: Option<i64>,
        access: u32,
    ) -> Option<Removed> {
        let kind = object.kind();
        let found = self.table.locate(hash, key);
        self.write(
            hash,
            found,
            Draft { key, payload: Payload::Boxed(object), kind, encoding, expiry, access },
        )
    }

    /// Sets a key to what `take` took from another key or store.
    pub fn put(
        &mut self,
        hash: u64,
        key: &[u8],
        taken: Removed,
        expiry: Option<i64>,
        access: u32,
    ) -> Option<Removed> {
        let encoding = taken.encoding;
        match taken.value {
            Owned::Forgotten => panic!("a value that was forgotten cannot be put: see Store::take"),
            Owned::Int(value) => self.set_int(hash, key, value, expiry, access),
            Owned::Bytes(value) if fits_inline(key.len(), value.len(), expiry.is_some()) => {
                let found = self.table.locate(hash, key);
                let payload = Payload::Inline(&value);
                self.write(hash, found, Draft { key, payload, kind: taken.kind, encoding, expiry, access })
            }
            Owned::Bytes(value) => {
                let object = Box::new(Object::from_packed(taken.kind, encoding, value));
                self.set_boxed(hash, key, object, encoding, expiry, access)
            }
            Owned::Object(object) => self.set_boxed(hash, key, object, encoding, expiry, access),
        }
    }

    /// Makes a string `bytes` long, cut or filled with zeros, labels it raw, and returns it to be written to. Growing a large
    /// string costs what is added, on average. None if there is no such key or it holds no string.
    pub fn resize_string(&mut self, hash: u64, key: &[u8], bytes: usize) -> Option<&mut [u8]> {
        let (_, packed) = self.table.locate(hash, key)?;
        // SAFETY: I1, I2.
        let entry = unsafe { packed.get_mut() };
        if entry.kind() != Type::String {
            return None;
        }
        if let Some(Object::Bytes(value)) = entry.object_mut() {
            value.resize(bytes, 0);
            entry.set_encoding(Encoding::Raw);
            let (before, after) = entry.recount();
            self.objects = self.objects - before + after;
        } else {
            let mut digits = itoa::Buffer::new();
            let old = match entry.value() {
                Value::Int(value) => digits.format(value).as_bytes(),
                Value::Bytes(value) => value,
                Value::Object(_) => unreachable!("strings are integers or bytes"),
            };
            let mut value = Vec::with_capacity(bytes);
            value.extend_from_slice(&old[..old.len().min(bytes)]);
            value.resize(bytes, 0);
            let (expiry, access) = (entry.expiry(), entry.access());
            self.set_string(hash, key, &value, Encoding::Raw, expiry, access);
        }
        self.find_hashed_mut(hash, key)?.bytes_mut()
    }

    /// Sets or takes away the expiry of a key; false if there is no such key.
    pub fn set_expiry(&mut self, key: &[u8], expiry: Option<i64>) -> bool {
        self.set_expiry_hashed(self.hash(key), key, expiry)
    }

    pub fn set_expiry_hashed(&mut self, hash: u64, key: &[u8], expiry: Option<i64>) -> bool {
        let Some((place, packed)) = self.table.locate(hash, key) else { return false };
        // SAFETY: I1, I2.
        let entry = unsafe { packed.get_mut() };
        match expiry {
            Some(expiry) if entry.expires() => entry.replace_expiry(expiry),
            None if !entry.expires() => (),
            _ => {
                let (bytes, marked) = (entry.slot_bytes(), entry.is_marked());
                self.objects -= entry.accounted();
                // SAFETY: I1, I2: the old entry is read until it is copied, and then only its slot is freed.
                let draft = unsafe { packed.get().redraft(expiry) };
                self.place(hash, Some(place), draft);
                // SAFETY: I1: the table holds the copy now.
                unsafe { self.slab.free(packed.slot(), bytes) };
                if marked {
                    self.keep_mark(place);
                }
            }
        }
        true
    }

    /// Removes a key. Its value is kept only if it is large or an integer.
    pub fn remove(&mut self, key: &[u8]) -> Option<Removed> {
        self.remove_hashed(self.hash(key), key)
    }

    pub fn remove_hashed(&mut self, hash: u64, key: &[u8]) -> Option<Removed> {
        self.take_as(hash, key, |_| Owned::Forgotten)
    }

    /// Removes a key and keeps its value.
    pub fn take(&mut self, key: &[u8]) -> Option<Removed> {
        self.take_as(self.hash(key), key, |bytes| Owned::Bytes(bytes.to_vec()))
    }

    fn take_as(&mut self, hash: u64, key: &[u8], keep: impl FnOnce(&[u8]) -> Owned) -> Option<Removed> {
        let (place, packed) = self.table.locate(hash, key)?;
        self.table.remove(&mut self.slab, &self.hasher, place);
        let (removed, bytes) = self.strip(packed, keep);
        // SAFETY: I1: it is in the table no more.
        unsafe { self.slab.free(packed.slot(), bytes) };
        Some(removed)
    }

    /// Visits the keys of the cursor's bucket, and returns the cursor of the next; 0 at the end. A key that is present from the
    /// first call to the last is visited at least once, whatever happens to the store in between.
    pub fn scan(&self, cursor: u64, f: &mut dyn FnMut(&Entry)) -> u64 {
        self.table.scan(&self.hasher, cursor, f)
    }

    /// Visits the entries of so many buckets from a cursor on, to read or mark them, and returns the cursor of the next; 0 at
    /// the end. A bucket is visited whole, but the walk ends after it once `visit` says false. Every key that is present all
    /// the while is visited, and none twice; `is_ahead` tells which.
    pub fn walk(&mut self, cursor: u64, buckets: usize, visit: &mut dyn FnMut(&mut Entry) -> bool) -> u64 {
        self.table.walk(&self.hasher, cursor, buckets, visit)
    }

    /// Whether a walk that stands at `cursor` has yet to visit the keys of this hash.
    #[inline]
    pub fn is_ahead(cursor: u64, hash: u64) -> bool {
        Table::cursor_of_hash(hash) >= cursor
    }

    /// A key by chance, all about equally likely.
    pub fn random(&self, rng: &mut dyn FnMut() -> u64) -> Option<&Entry> {
        self.table.random(rng)
    }

    /// Visits keys that have an expiry, from a position (a scan cursor) on; moves it, to 0 when the end was reached. A bucket
    /// costs one of the budget, and so does a key.
    pub fn sample_expiring(&self, position: &mut u64, budget: usize, f: &mut dyn FnMut(&Entry)) {
        self.table.walk_expiring(position, budget, f);
    }

    /// Frees about so many entries of a store that is thrown away; true when nothing is left. Once begun, nothing is found any
    /// more, `len` is what is left to be freed, and the store takes no keys until the end. Objects are passed on, not freed.
    pub fn free_slice(&mut self, entries_max: usize, pass_on: &mut dyn FnMut(Box<Object>)) -> bool {
        let mut budget = entries_max.max(1);
        let done = self.table.dismantle(&mut self.slab, &mut budget, |slab, packed| {
            // SAFETY: I1: the table forgets the entry now; small slots go with the slab.
            unsafe {
                let entry = packed.get_mut();
                let bytes = entry.slot_bytes();
                if let Some(object) = entry.take_object() {
                    pass_on(object);
                }
                if slab.frees_singly(bytes) {
                    slab.free(packed.slot(), bytes);
                }
            }
        });
        if !done {
            return false;
        }
        self.objects = 0;
        // SAFETY: I1: the table is empty.
        while !unsafe { self.slab.discard_region() } {
            budget = budget.saturating_sub(REGION_COST);
            if budget == 0 {
                return false;
            }
        }
        true
    }

    /// A store with the same entries, for a value that is copied.
    pub fn duplicate(&self) -> Store {
        let mut copy = Store::inside_value(self.hasher.clone());
        self.for_each(&mut |entry| {
            let (key, access) = (entry.key(), entry.access());
            copy.put(copy.hash(key), key, Removed::copy_of(entry), entry.expiry(), access);
        });
        copy
    }

    /// Visits all entries, in no order.
    pub fn for_each(&self, f: &mut dyn FnMut(&Entry)) {
        self.table.for_each(f);
    }

    /// All entries, in the order of their hashes but for those that found their bucket full.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.table.iter()
    }

    /// Checks all invariants, at length.
    pub fn verify(&self) {
        let (mut objects, mut slots) = (0, 0);
        self.table.verify(&self.hasher, |entry, packed| {
            let loose = entry.is_boxed() || self.slab.frees_singly(entry.slot_bytes());
            assert_eq!(packed.is_loose(), loose, "I2 of the table");
            objects += entry.accounted();
            slots += !self.slab.frees_singly(entry.slot_bytes()) as usize;
        });
        assert_eq!(self.objects, objects, "I3");
        assert_eq!(
            self.slab.verify(),
            slots + if self.slab.frees_singly(0) { 0 } else { self.table.slots() },
            "I1: every slot is an entry or the table's"
        );
    }

    /// Writes an entry for a key, in the place of the old one if there was one.
    fn write(&mut self, hash: u64, found: Option<(Place, Packed)>, draft: Draft) -> Option<Removed> {
        let Some((place, packed)) = found else {
            self.place(hash, None, draft);
            return None;
        };
        // SAFETY: I1, I2.
        let marked = unsafe { packed.get() }.is_marked();
        let (removed, bytes) = self.strip(packed, |_| Owned::Forgotten);
        if bytes == draft.bytes() {
            let (expires, loose) = (draft.expiry.is_some(), self.is_loose(&draft));
            self.objects += draft.accounted();
            // SAFETY: I1, I2: a slot of this size, whose entry was just given up.
            unsafe { draft.write(packed.slot()) };
            self.table.replace(place, Table::pack(packed.slot(), hash, expires, loose));
        } else {
            // SAFETY: I1: `place` takes its address out of the table, and nobody looks in between.
            unsafe { self.slab.free(packed.slot(), bytes) };
            self.place(hash, Some(place), draft);
        }
        if marked {
            self.keep_mark(place);
        }
        Some(removed)
    }

    /// The entry that was written anew at a place is marked, as the old one was.
    #[cold]
    fn keep_mark(&mut self, place: Place) {
        // SAFETY: I1, I2.
        unsafe { self.table.get(place).get_mut() }.set_mark(true);
    }

    /// Writes an entry to a new slot, and its address to the table.
    fn place(&mut self, hash: u64, place: Option<Place>, draft: Draft) -> NonNull<u8> {
        let (expires, loose) = (draft.expiry.is_some(), self.is_loose(&draft));
        self.objects += draft.accounted();
        let slot = self.slab.alloc(draft.bytes());
        // SAFETY: I1: a fresh slot of this size.
        unsafe { draft.write(slot) };
        let packed = Table::pack(slot, hash, expires, loose);
        match place {
            Some(place) => self.table.replace(place, packed),
            None => self.table.insert(&mut self.slab, &self.hasher, hash, packed),
        }
        slot
    }

    /// Whether freeing the entry takes more than discarding the slab's regions.
    fn is_loose(&self, draft: &Draft) -> bool {
        matches!(draft.payload, Payload::Boxed(_)) || self.slab.frees_singly(draft.bytes())
    }

    /// Writes to the buffer of a large string if the new one fits it well; what was replaced then owns nothing.
    fn refill(
        &mut self,
        packed: Packed,
        value: &[u8],
        encoding: Encoding,
        expiry: Option<i64>,
        access: u32,
    ) -> Option<Removed> {
        // SAFETY: I1, I2.
        let entry = unsafe { packed.get_mut() };
        let old = Removed::describe(entry);
        if entry.expires() != expiry.is_some() {
            return None;
        }
        match entry.object_mut()? {
            Object::Bytes(bytes) if (value.len()..=value.len() * 2).contains(&bytes.capacity()) => {
                bytes.clear();
                bytes.extend_from_slice(value);
            }
            _ => return None,
        }
        if let Some(expiry) = expiry {
            entry.replace_expiry(expiry);
        }
        entry.set_encoding(encoding);
        entry.set_access(access);
        Some(old)
    }

    /// Takes what an entry owns, and counts it out; returns the size of the slot, which is then free of meaning.
    fn strip(&mut self, packed: Packed, keep: impl FnOnce(&[u8]) -> Owned) -> (Removed, usize) {
        // SAFETY: I1, I2.
        let entry = unsafe { packed.get_mut() };
        self.objects -= entry.accounted();
        let mut removed = Removed::describe(entry);
        removed.value = if entry.is_boxed() {
            entry.take_object().map_or(Owned::Forgotten, Owned::Object)
        } else {
            match entry.value() {
                Value::Int(value) => Owned::Int(value),
                Value::Bytes(bytes) => keep(bytes),
                Value::Object(_) => unreachable!("objects are boxed"),
            }
        };
        (removed, entry.slot_bytes())
    }
}

impl Removed {
    pub fn expiry(&self) -> Option<i64> {
        self.expiry
    }

    /// What is perhaps too large to be freed at once.
    pub fn into_object(self) -> Option<Box<Object>> {
        if let Owned::Object(object) = self.value { Some(object) } else { None }
    }

    /// What an entry is, with a copy of its value.
    pub fn copy_of(entry: &Entry) -> Removed {
        let value = match entry.value() {
            Value::Int(value) => Owned::Int(value),
            Value::Bytes(bytes) => Owned::Bytes(bytes.to_vec()),
            Value::Object(object) => Owned::Object(Box::new(object.duplicate())),
        };
        Removed { value, ..Self::describe(entry) }
    }

    /// All but the value.
    fn describe(entry: &Entry) -> Removed {
        Removed {
            kind: entry.kind(),
            encoding: entry.encoding(),
            expiry: entry.expiry(),
            access: entry.access(),
            value: Owned::Forgotten,
        }
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.debug_struct("Store").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        while !self.free_slice(usize::MAX, &mut drop) {}
    }
}

const _: () = {
    const fn moves<T: Send>() {}
    moves::<Store>();
};

#[cfg(test)]
mod tests;
