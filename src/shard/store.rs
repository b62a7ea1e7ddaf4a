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

pub use super::entry::{ACCESS_MAX, Encoding, Entry, KEY_BYTES_MAX, Object, Type, Value};
use super::entry::{Draft, Packed, Payload, fits_inline};
use super::slab::{SLOT_BYTES_MAX, Slab};
pub use super::table::CURSOR_BITS;
use super::table::{Place, Table, hash_key};
use ahash::RandomState;

/// What unmapping one region of the slab costs, in entries.
const REGION_COST: usize = 256;

/// What an entry was, without its key.
#[derive(Debug, PartialEq)]
pub struct Removed {
    pub kind: Type,
    pub encoding: Encoding,
    pub expiry: Option<i64>,
    pub access: u32,
    pub value: Owned,
}

/// A value that belongs to no entry.
#[derive(Debug, PartialEq)]
pub enum Owned {
    /// It was small, and nobody asked for it.
    Forgotten,
    Int(i64),
    Bytes(Vec<u8>),
    Object(Box<Object>),
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

    pub fn len(&self) -> usize {
        self.table.len()
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

    #[inline]
    pub fn hash(&self, key: &[u8]) -> u64 {
        hash_key(&self.hasher, key)
    }

    /// First stage of a lookup to come: fetches the bucket.
    #[inline]
    pub fn prefetch_bucket(&self, hash: u64) {
        self.table.prefetch_bucket(hash);
    }

    /// Second stage, a few dozen nanoseconds later: reads the bucket, fetches the entry.
    #[inline]
    pub fn prefetch_entry(&self, hash: u64) {
        self.table.prefetch_entry(hash);
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
            Owned::Bytes(value) => self.set_string(hash, key, &value, encoding, expiry, access),
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
                let bytes = entry.slot_bytes();
                self.objects -= entry.accounted();
                // SAFETY: I1, I2: the old entry is read until it is copied, and then only its slot is freed.
                let draft = unsafe { packed.get().redraft(expiry) };
                self.place(hash, Some(place), draft);
                // SAFETY: I1: the table holds the copy now.
                unsafe { self.slab.free(packed.slot(), bytes) };
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
    /// more, `len` is what is left to be freed, and the store takes no keys until the end.
    pub fn free_slice(&mut self, entries_max: usize) -> bool {
        let mut budget = entries_max.max(1);
        let slab = &mut self.slab;
        let done = self.table.dismantle(&mut budget, |packed| {
            // SAFETY: I1: the table forgets the entry now; small slots go with the slab.
            unsafe {
                let entry = packed.get_mut();
                let bytes = entry.slot_bytes();
                drop(entry.take_object());
                if bytes > SLOT_BYTES_MAX {
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

    /// Checks all invariants, at length.
    pub fn verify(&self) {
        let (mut objects, mut slots) = (0, 0);
        self.table.verify(&self.hasher, |entry, _| {
            objects += entry.accounted();
            slots += (entry.slot_bytes() <= SLOT_BYTES_MAX) as usize;
        });
        assert_eq!(self.objects, objects, "I3");
        assert_eq!(
            self.slab.verify(),
            slots + self.table.slots(),
            "I1: every slot is an entry or the table's"
        );
    }

    /// Writes an entry for a key, in the place of the old one if there was one.
    fn write(&mut self, hash: u64, found: Option<(Place, Packed)>, draft: Draft) -> Option<Removed> {
        let Some((place, packed)) = found else {
            self.place(hash, None, draft);
            return None;
        };
        let (removed, bytes) = self.strip(packed, |_| Owned::Forgotten);
        if bytes == draft.bytes() {
            let (expires, loose) = (draft.expiry.is_some(), draft.is_loose());
            self.objects += draft.accounted();
            // SAFETY: I1, I2: a slot of this size, whose entry was just given up.
            unsafe { draft.write(packed.slot()) };
            self.table.replace(place, Table::pack(packed.slot(), hash, expires, loose));
        } else {
            // SAFETY: I1: `place` takes its address out of the table, and nobody looks in between.
            unsafe { self.slab.free(packed.slot(), bytes) };
            self.place(hash, Some(place), draft);
        }
        Some(removed)
    }

    /// Writes an entry to a new slot, and its address to the table.
    fn place(&mut self, hash: u64, place: Option<Place>, draft: Draft) {
        let (expires, loose) = (draft.expiry.is_some(), draft.is_loose());
        self.objects += draft.accounted();
        let slot = self.slab.alloc(draft.bytes());
        // SAFETY: I1: a fresh slot of this size.
        unsafe { draft.write(slot) };
        let packed = Table::pack(slot, hash, expires, loose);
        match place {
            Some(place) => self.table.replace(place, packed),
            None => self.table.insert(&mut self.slab, &self.hasher, hash, packed),
        }
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

impl Drop for Store {
    fn drop(&mut self) {
        while !self.free_slice(usize::MAX) {}
    }
}

const _: () = {
    const fn moves<T: Send>() {}
    moves::<Store>();
};

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{HashMap, HashSet};

    fn store() -> Store {
        Store::new(RandomState::with_seeds(1, 2, 3, 4))
    }

    fn key(number: usize) -> Vec<u8> {
        format!("key:{number:012}").into_bytes()
    }

    fn set(store: &mut Store, key: &[u8], value: &[u8], expiry: Option<i64>) -> Option<Removed> {
        store.set_string(store.hash(key), key, value, Encoding::of_string(value.len()), expiry, 0)
    }

    /// What the model knows of a key.
    #[derive(Clone, Debug, PartialEq)]
    struct Known {
        value: Owned,
        encoding: Encoding,
        expiry: Option<i64>,
        access: u32,
    }

    impl Clone for Owned {
        fn clone(&self) -> Owned {
            match self {
                Owned::Forgotten => Owned::Forgotten,
                Owned::Int(value) => Owned::Int(*value),
                Owned::Bytes(value) => Owned::Bytes(value.clone()),
                Owned::Object(object) => Owned::Object(object.clone()),
            }
        }
    }

    fn known(entry: &Entry) -> Known {
        let value = match entry.value() {
            Value::Int(value) => Owned::Int(value),
            Value::Bytes(bytes) => Owned::Bytes(bytes.to_vec()),
            Value::Object(_) => unreachable!(),
        };
        Known { value, encoding: entry.encoding(), expiry: entry.expiry(), access: entry.access() }
    }

    fn compare(store: &Store, model: &HashMap<Vec<u8>, Known>) {
        store.verify();
        assert_eq!(store.len(), model.len());
        assert_eq!(store.expires(), model.values().filter(|known| known.expiry.is_some()).count());
        for (key, expected) in model {
            assert_eq!(&known(store.find(key).expect("the key is there")), expected);
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        SetString(usize, usize, Option<i64>),
        SetInt(usize, i64, Option<i64>),
        Resize(usize, usize),
        Expire(usize, Option<i64>),
        Remove(usize),
        Rename(usize, usize),
        /// Sets a run of keys.
        Fill(usize, usize),
        /// Removes a run of keys.
        Drain(usize, usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let number = || 0usize..400;
        let expiry = || prop::option::of(any::<i64>());
        let size = || prop_oneof![0usize..100, 900usize..1100, 3000usize..9000];
        let step = prop_oneof![
            4 => (number(), size(), expiry()).prop_map(|(key, size, expiry)| Step::SetString(key, size, expiry)),
            2 => (number(), any::<i64>(), expiry()).prop_map(|(key, value, expiry)| Step::SetInt(key, value, expiry)),
            2 => (number(), size()).prop_map(|(key, size)| Step::Resize(key, size)),
            3 => (number(), expiry()).prop_map(|(key, expiry)| Step::Expire(key, expiry)),
            3 => number().prop_map(Step::Remove),
            1 => (number(), number()).prop_map(|(from, to)| Step::Rename(from, to)),
            1 => (number(), 0usize..2500).prop_map(|(from, count)| Step::Fill(from, count)),
            1 => (number(), 0usize..2500).prop_map(|(from, count)| Step::Drain(from, count)),
        ];
        prop::collection::vec(step, 1..60)
    }

    /// Every fifth key is too long for an inline entry, every tenth of these for any slot.
    fn odd_key(number: usize) -> Vec<u8> {
        let mut key = key(number);
        if number.is_multiple_of(5) {
            key.resize(if number.is_multiple_of(50) { 2000 } else { 300 }, b'.');
        }
        key
    }

    fn apply(store: &mut Store, model: &mut HashMap<Vec<u8>, Known>, step: Step) {
        match step {
            Step::SetString(number, size, expiry) => {
                let (key, value) = (odd_key(number), vec![number as u8; size]);
                let encoding = Encoding::of_string(size);
                let removed =
                    store.set_string(store.hash(&key), &key, &value, encoding, expiry, number as u32);
                let value = Owned::Bytes(value);
                let old = model.insert(key, Known { value, encoding, expiry, access: number as u32 });
                assert_eq!(removed.map(|old| old.expiry), old.map(|old| old.expiry));
            }
            Step::SetInt(number, value, expiry) => {
                let key = odd_key(number);
                let removed = store.set_int(store.hash(&key), &key, value, expiry, 7);
                let (value, encoding) = (Owned::Int(value), Encoding::Int);
                let old = model.insert(key, Known { value, encoding, expiry, access: 7 });
                assert_eq!(removed.map(|old| old.encoding), old.map(|old| old.encoding));
            }
            Step::Resize(number, size) => {
                let key = odd_key(number);
                let bytes = store.resize_string(store.hash(&key), &key, size).map(|bytes| bytes.to_vec());
                assert_eq!(bytes.is_some(), model.contains_key(&key));
                let Some(known) = model.get_mut(&key) else { return };
                let mut value = match &known.value {
                    Owned::Int(value) => value.to_string().into_bytes(),
                    Owned::Bytes(bytes) => bytes.clone(),
                    _ => unreachable!(),
                };
                value.resize(size, 0);
                assert_eq!(bytes.as_ref(), Some(&value));
                known.value = Owned::Bytes(value);
                known.encoding = Encoding::Raw;
            }
            Step::Expire(number, expiry) => {
                let key = odd_key(number);
                assert_eq!(store.set_expiry(&key, expiry), model.contains_key(&key));
                model.entry(key).and_modify(|known| known.expiry = expiry);
            }
            Step::Remove(number) => {
                let key = odd_key(number);
                assert_eq!(
                    store.remove(&key).map(|old| old.expiry),
                    model.remove(&key).map(|old| old.expiry)
                );
            }
            Step::Rename(from, to) => {
                let (from, to) = (odd_key(from), odd_key(to));
                let taken = store.take(&from);
                assert_eq!(taken.is_some(), model.contains_key(&from));
                if let Some(taken) = taken {
                    let (hash, expiry, access) = (store.hash(&to), taken.expiry, taken.access);
                    store.put(hash, &to, taken, expiry, access);
                    let known = model.remove(&from).unwrap();
                    model.insert(to, known);
                }
            }
            Step::Fill(from, count) => {
                for number in from..from + count {
                    apply(store, model, Step::SetString(number, 20, None));
                }
            }
            Step::Drain(from, count) => {
                for number in from..from + count {
                    apply(store, model, Step::Remove(number));
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn behaves_like_a_map(steps in steps()) {
            let (mut store, mut model) = (store(), HashMap::new());
            for step in steps {
                apply(&mut store, &mut model, step);
                compare(&store, &model);
            }
        }

        /// Keys that stay are seen by every scan, while others come and go by the thousand between its calls.
        #[test]
        fn a_scan_misses_nothing_that_stays(
            stay in 1usize..1500,
            waves in prop::collection::vec((0usize..12_000, 1usize..40), 1..40),
        ) {
            let mut store = store();
            for number in 0..stay {
                set(&mut store, &key(number), b"v", None);
            }
            let (mut seen, mut cursor, mut come) = (HashSet::new(), 0, 0);
            let mut waves = waves.into_iter();
            loop {
                let (wave, calls) = waves.next().unwrap_or((0, usize::MAX));
                for number in come.min(wave)..come.max(wave) {
                    if wave > come {
                        set(&mut store, &key(1_000_000 + number), b"v", None);
                    } else {
                        store.remove(&key(1_000_000 + number)).expect("it came");
                    }
                }
                come = wave;
                for _ in 0..calls {
                    cursor = store.scan(cursor, &mut |entry| {
                        seen.insert(entry.key().to_vec());
                    });
                    if cursor == 0 {
                        break;
                    }
                }
                if cursor == 0 {
                    break;
                }
            }
            store.verify();
            for number in 0..stay {
                prop_assert!(seen.contains(&key(number)));
            }
        }
    }

    #[test]
    fn a_quiet_scan_sees_every_key_once() {
        for size in [0, 1, 9, 10, 100, 1000, 1100, 5000, 50_000] {
            let mut store = store();
            for number in 0..size {
                set(&mut store, &key(number), b"v", None);
            }
            let (mut seen, mut cursor, mut visits, mut calls) = (HashSet::new(), 0, 0, 0);
            loop {
                cursor = store.scan(cursor, &mut |entry| {
                    visits += 1;
                    seen.insert(entry.key().to_vec());
                });
                calls += 1;
                assert!(cursor < 1 << CURSOR_BITS);
                if cursor == 0 {
                    break;
                }
            }
            assert_eq!((seen.len(), visits), (size, size));
            assert!(calls <= size / 3 + 1, "{calls} calls for {size} keys");
        }
    }

    #[test]
    fn grows_and_shrinks_to_nothing() {
        let mut store = store();
        assert_eq!(store.bytes(), 0);
        for number in 0..60_000usize {
            let expiry = number.is_multiple_of(3).then_some(number as i64);
            set(&mut store, &key(number), b"some value", expiry);
            if number.is_power_of_two() || number.is_multiple_of(9999) {
                store.verify();
            }
        }
        for number in 0..60_000usize {
            assert!(store.find(&key(number)).is_some() && store.find(&key(number + 60_000)).is_none());
        }
        for number in 0..60_000usize {
            assert!(store.remove(&key(number)).is_some());
            if number.is_multiple_of(4999) || number > 59_990 {
                store.verify();
            }
        }
        assert!(store.is_empty() && store.bytes() < 100_000, "{}", store.bytes());
    }

    #[test]
    fn random_keys_are_about_equally_likely() {
        for size in [1, 5, 50, 3000] {
            let mut store = store();
            for number in 0..size {
                set(&mut store, &key(number), b"v", None);
            }
            let hasher = RandomState::with_seeds(5, 6, 7, 8);
            let mut draws = 0u64;
            let mut rng = || {
                draws += 1;
                hasher.hash_one(draws)
            };
            let mut hits: HashMap<Vec<u8>, usize> = HashMap::new();
            for _ in 0..size * 200 {
                *hits.entry(store.random(&mut rng).unwrap().key().to_vec()).or_default() += 1;
            }
            assert_eq!(hits.len(), size);
            let (least, most) = (hits.values().min().unwrap(), hits.values().max().unwrap());
            assert!(*least > 100 && *most < 300, "of 200 on average: {least} to {most}");
        }
    }

    #[test]
    fn a_walk_over_expiring_keys_finds_them_all_and_no_others() {
        let mut store = store();
        for number in 0..20_000 {
            set(&mut store, &key(number), b"v", number.is_multiple_of(7).then_some(1));
        }
        let (mut position, mut seen, mut calls) = (0, HashSet::new(), 0);
        loop {
            let mut visits = 0;
            store.sample_expiring(&mut position, 50, &mut |entry| {
                visits += 1;
                assert!(entry.expiry().is_some());
                seen.insert(entry.key().to_vec());
            });
            calls += 1;
            assert!(visits <= 59);
            if position == 0 {
                break;
            }
        }
        assert_eq!(seen.len(), store.expires());
        assert!(calls < 200);
    }

    #[test]
    fn a_store_is_freed_in_slices() {
        for large in [false, true] {
            let mut store = store();
            for number in 0..5000usize {
                let value = vec![b'v'; if large && number.is_multiple_of(3) { 5000 } else { 50 }];
                set(&mut store, &key(number), &value, None);
            }
            let mut slices = 1;
            while !store.free_slice(100) {
                assert!(store.find(&key(3)).is_none() && store.scan(0, &mut |_| panic!("it is gone")) == 0);
                slices += 1;
            }
            assert_eq!(slices > 10, large);
            assert_eq!((store.bytes(), store.len(), store.expires()), (0, 0, 0));
            set(&mut store, b"again", b"v", None);
            store.verify();
        }
    }

    #[test]
    fn appending_to_a_large_string_rarely_moves_it() {
        let (mut store, mut moves, mut at) = (store(), 0, 0);
        set(&mut store, b"log", b"", None);
        let hash = store.hash(b"log");
        for bytes in 1..100_000 {
            let value = store.resize_string(hash, b"log", bytes).unwrap();
            value[bytes - 1] = bytes as u8;
            let now = value.as_ptr().addr();
            moves += (bytes > 2000 && now != at) as usize;
            at = now;
        }
        assert!(moves < 20, "{moves}");
        store.verify();
        assert!(store.bytes() >= 100_000 && store.bytes() < 250_000);
    }

    #[test]
    fn objects_are_counted_and_handed_back() {
        let mut store = store();
        let hash = store.hash(b"k");
        let object = Box::new(Object::Bytes(vec![1; 3000]));
        assert!(store.set_object(hash, b"k", object, None, 0).is_none());
        let before = store.bytes();
        store.update(hash, b"k", |entry| {
            let Object::Bytes(bytes) = entry.object_mut().unwrap();
            bytes.resize(100_000, 1);
        });
        assert!(store.bytes() >= before + 97_000);
        store.verify();
        let removed = store.remove(b"k").unwrap();
        assert_eq!(removed.value, Owned::Object(Box::new(Object::Bytes(vec![1; 100_000]))));
        store.verify();
    }

    /// The promise of design: bytes for each of about a million keys of 16 bytes, averaged over sizes.
    #[test]
    fn bytes_per_key() {
        let measure = |value: usize, expiry: Option<i64>| {
            let mut store = store();
            let (mut sum, mut points, mut worst) = (0.0, 0, 0.0f64);
            let mut next = 700_000;
            for number in 0..1_400_000usize {
                set(&mut store, &key(number), &vec![b'v'; value], expiry);
                if number == next {
                    let each = store.bytes() as f64 / store.len() as f64;
                    (sum, points, worst) = (sum + each, points + 1, worst.max(each));
                    next += 14_000;
                }
            }
            println!(
                "{value} B, expiry {expiry:?}: {:.2} bytes a key, at worst {worst:.2}",
                sum / points as f64
            );
            sum / points as f64
        };
        assert!(measure(64, None) <= 98.0);
        assert!(measure(8, None) <= 42.0);
        assert!(measure(64, Some(1)) <= 106.0);
    }
}
