//! Hashes: fields with values, and perhaps an expiry each.
//! In: fields and values, the time. Out: the same, in one packed run of bytes or a table. Absent: keys, replies, the clock.
//!
//! A field with an expiry needs the table. An overdue field is absent for whoever looks at it, but stays, and is counted by
//! `len`, until it is set anew or `sweep` finds it.
//!
//! 1. `Fields::next_ms` is no later than the earliest expiry of any field.
//! 2. Values in the table are byte strings, never integers.

use super::collection::{Collection, object_variant};
use super::listpack::{self, Element, Place};
use super::store::{Entry, Store, Value};
use super::{Encoding, Limits};

/// Fields with values.
#[derive(Debug)]
pub enum Hash {
    /// A listpack: field, value, field, value …
    Packed(Vec<u8>),
    Table(Box<Fields>),
}

/// The fields of a large hash, or of one with expiries.
#[derive(Debug)]
pub struct Fields {
    store: Store,
    /// Unix ms before which no field is overdue; `NEVER` if none expires.
    next_ms: i64,
    /// Where the sweep under way goes on, 0 if there is none.
    sweep_position: u64,
    /// What `next_ms` will be after that sweep.
    sweep_next_ms: i64,
    /// Entries that it has seen, and those of them that it left.
    swept: usize,
    sweep_left: usize,
}

const NEVER: i64 = i64::MAX;

/// Hash to be read, wherever it lies.
#[derive(Clone, Copy, Debug)]
pub enum HashView<'a> {
    Packed(&'a [u8]),
    Table(&'a Fields),
}

/// When a field that is set ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    Forever,
    /// As it was before; a field that is new lives forever.
    Keep,
    /// Unix ms.
    Until(i64),
}

/// What a slice of a sweep did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sweep {
    /// The fields that went.
    pub expired: Vec<Box<[u8]>>,
    /// The whole hash was seen.
    pub done: bool,
}

fn is_overdue(entry: &Entry, now_ms: i64) -> bool {
    entry.expiry().is_some_and(|at_ms| at_ms <= now_ms)
}

fn value_of(entry: &Entry) -> &[u8] {
    let Value::Bytes(bytes) = entry.value() else { unreachable!("2: values are byte strings") };
    bytes
}

impl Fields {
    fn new(store: Store) -> Self {
        Fields { store, next_ms: NEVER, sweep_position: 0, sweep_next_ms: NEVER, swept: 0, sweep_left: 0 }
    }

    /// Whether some field may be overdue.
    #[inline]
    fn may_be_overdue(&self, now_ms: i64) -> bool {
        self.next_ms <= now_ms
    }

    #[inline]
    fn find(&self, field: &[u8], now_ms: i64) -> Option<&Entry> {
        self.store.find(field).filter(|entry| !is_overdue(entry, now_ms))
    }

    fn note_expiry(&mut self, at_ms: i64) {
        self.next_ms = self.next_ms.min(at_ms);
        self.sweep_next_ms = self.sweep_next_ms.min(at_ms);
    }

    /// True: the field is new.
    fn set(&mut self, field: &[u8], value: &[u8], lifetime: Lifetime, now_ms: i64) -> bool {
        let hash = self.store.hash(field);
        let expiry = match lifetime {
            Lifetime::Forever => None,
            Lifetime::Until(at_ms) => Some(at_ms),
            Lifetime::Keep if self.store.expires() == 0 => None,
            Lifetime::Keep => {
                let entry = self.store.find_hashed(hash, field).filter(|entry| !is_overdue(entry, now_ms));
                entry.and_then(Entry::expiry)
            }
        };
        if let Some(at_ms) = expiry {
            self.note_expiry(at_ms);
        }
        let old = self.store.set_string(hash, field, value, Encoding::Raw, expiry, 0);
        old.is_none_or(|old| old.expiry().is_some_and(|at_ms| at_ms <= now_ms))
    }

    fn remove(&mut self, field: &[u8], now_ms: i64) -> bool {
        let there = !self.may_be_overdue(now_ms) || self.find(field, now_ms).is_some();
        there && self.store.remove(field).is_some()
    }
}

impl<'a> HashView<'a> {
    /// How many fields, those included that are overdue and were not swept yet.
    pub fn len(self) -> usize {
        match self {
            HashView::Packed(pack) => listpack::len(pack) / 2,
            HashView::Table(fields) => fields.store.len(),
        }
    }

    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// How many fields are not overdue. O(1) while none can be.
    pub fn len_alive(self, now_ms: i64) -> usize {
        match self {
            HashView::Table(fields) if fields.may_be_overdue(now_ms) => {
                let mut alive = 0;
                fields.store.for_each(&mut |entry| alive += !is_overdue(entry, now_ms) as usize);
                alive
            }
            _ => self.len(),
        }
    }

    /// The value of a field.
    #[inline]
    pub fn get(self, field: &[u8], now_ms: i64) -> Option<Element<'a>> {
        match self {
            HashView::Packed(pack) => {
                let place = listpack::find(pack, listpack::first(pack)?, 2, field)?;
                Some(listpack::get(pack, value_place(pack, place)))
            }
            HashView::Table(fields) => {
                fields.find(field, now_ms).map(|entry| Element::Bytes(value_of(entry)))
            }
        }
    }

    /// The expiry of a field: None if there is no such field, `Some(None)` if it lives forever.
    pub fn expiry(self, field: &[u8], now_ms: i64) -> Option<Option<i64>> {
        match self {
            HashView::Packed(_) => self.get(field, now_ms).map(|_| None),
            HashView::Table(fields) => fields.find(field, now_ms).map(Entry::expiry),
        }
    }

    /// Visits fields and values, in no order.
    #[inline]
    pub fn for_each(self, now_ms: i64, mut f: impl FnMut(Element, Element)) {
        match self {
            HashView::Packed(pack) => {
                let mut elements = listpack::iter(pack);
                while let (Some(field), Some(value)) = (elements.next(), elements.next()) {
                    f(field, value);
                }
            }
            HashView::Table(fields) => fields.store.for_each(&mut |entry| {
                if !is_overdue(entry, now_ms) {
                    f(Element::Bytes(entry.key()), Element::Bytes(value_of(entry)));
                }
            }),
        }
    }

    /// Visits fields with values and expiries, overdue or not, to be saved or copied.
    pub fn for_each_with_expiry(self, mut f: impl FnMut(Element, Element, Option<i64>)) {
        match self {
            HashView::Packed(_) => self.for_each(0, |field, value| f(field, value, None)),
            HashView::Table(fields) => fields.store.for_each(&mut |entry| {
                f(Element::Bytes(entry.key()), Element::Bytes(value_of(entry)), entry.expiry());
            }),
        }
    }

    /// No field expires before that time, in Unix ms; None if none does at all.
    pub fn expires_from(self) -> Option<i64> {
        match self {
            HashView::Table(fields) if fields.store.expires() > 0 => Some(fields.next_ms),
            _ => None,
        }
    }

    /// Visits some fields with values and expiries, overdue or not, and returns the cursor to go on from; 0 at the end. Each
    /// is visited once if nothing changes meanwhile. A packed hash is visited at once.
    pub fn scan_with_expiry(self, cursor: u64, mut f: impl FnMut(Element, Element, Option<i64>)) -> u64 {
        let HashView::Table(fields) = self else {
            self.for_each_with_expiry(f);
            return 0;
        };
        fields.store.scan(cursor, &mut |entry| {
            f(Element::Bytes(entry.key()), Element::Bytes(value_of(entry)), entry.expiry());
        })
    }

    /// Visits about `count` fields from the cursor on, and returns the cursor to go on from; 0 at the end. A packed hash is
    /// visited at once.
    pub fn scan(self, cursor: u64, count: usize, now_ms: i64, mut f: impl FnMut(Element, Element)) -> u64 {
        let HashView::Table(fields) = self else {
            self.for_each(now_ms, f);
            return 0;
        };
        let (mut place, mut visited) = (cursor, 0);
        // A sparse table has many empty buckets; a call is bounded all the same.
        for _ in 0..count.saturating_mul(10) {
            place = fields.store.scan(place, &mut |entry| {
                visited += 1;
                if !is_overdue(entry, now_ms) {
                    f(Element::Bytes(entry.key()), Element::Bytes(value_of(entry)));
                }
            });
            if place == 0 || visited >= count {
                break;
            }
        }
        place
    }

    /// The fields that are not overdue, with their values.
    pub fn alive(self, now_ms: i64) -> Vec<(Element<'a>, Element<'a>)> {
        match self {
            HashView::Packed(pack) => {
                let fields = listpack::iter(pack).step_by(2);
                fields.zip(listpack::iter(pack).skip(1).step_by(2)).collect()
            }
            HashView::Table(fields) => {
                let alive = fields.store.iter().filter(|entry| !is_overdue(entry, now_ms));
                alive.map(|entry| (Element::Bytes(entry.key()), Element::Bytes(value_of(entry)))).collect()
            }
        }
    }

    /// A field by chance, all about equally likely; None if all are overdue. A packed hash walks to it.
    pub fn random(
        self,
        now_ms: i64,
        mut below: impl FnMut(u64) -> u64,
    ) -> Option<(Element<'a>, Element<'a>)> {
        match self {
            HashView::Packed(pack) => {
                let index = below(self.len() as u64) as i64;
                let place = listpack::nth(pack, index * 2)?;
                Some((listpack::get(pack, place), listpack::get(pack, value_place(pack, place))))
            }
            HashView::Table(fields) => {
                /// After so many overdue fields, those alive are looked for one by one.
                const TRIES: usize = 32;
                for _ in 0..TRIES {
                    let entry = fields.store.random(&mut || random_bits(&mut below))?;
                    if !is_overdue(entry, now_ms) {
                        return Some((Element::Bytes(entry.key()), Element::Bytes(value_of(entry))));
                    }
                }
                let alive = self.len_alive(now_ms);
                if alive == 0 {
                    return None;
                }
                let mut left = below(alive as u64);
                let mut found = None;
                self.for_each(now_ms, |field, _| {
                    if left == 0 {
                        found = Some(field.to_vec());
                    }
                    left = left.wrapping_sub(1);
                });
                let entry = fields.store.find(&found?)?;
                Some((Element::Bytes(entry.key()), Element::Bytes(value_of(entry))))
            }
        }
    }
}

/// 64 random bits.
fn random_bits(below: &mut impl FnMut(u64) -> u64) -> u64 {
    below(1 << 32) << 32 | below(1 << 32)
}

/// Where the value of the field at `place` is.
#[inline]
fn value_place(pack: &[u8], place: Place) -> Place {
    listpack::next(pack, place).expect("each field has a value")
}

impl Hash {
    /// Sets a field. True: it is new.
    pub fn set(
        &mut self,
        field: &[u8],
        value: &[u8],
        lifetime: Lifetime,
        now_ms: i64,
        limits: &Limits,
    ) -> bool {
        if let Hash::Packed(pack) = self {
            let longest = field.len().max(value.len());
            let fits = longest <= limits.hash_value_bytes_max
                && !matches!(lifetime, Lifetime::Until(_))
                && listpack::fits(pack, listpack::encoded_bytes(field) + listpack::encoded_bytes(value));
            if fits {
                let added = set_packed(pack, field, value);
                if listpack::len(pack) / 2 > limits.hash_entries_max {
                    self.unpack();
                }
                return added;
            }
        }
        self.unpack().set(field, value, lifetime, now_ms)
    }

    /// Makes ready for so many fields at once, whose longest part has so many bytes.
    #[inline]
    pub fn prepare(&mut self, fields: usize, bytes_max: usize, limits: &Limits) {
        if fields > limits.hash_entries_max || bytes_max > limits.hash_value_bytes_max {
            self.unpack();
        }
    }

    /// False: no such field.
    pub fn remove(&mut self, field: &[u8], now_ms: i64) -> bool {
        match self {
            Hash::Packed(pack) => {
                let found = listpack::first(pack).and_then(|first| listpack::find(pack, first, 2, field));
                found.map(|place| listpack::remove(pack, place, 2)).is_some()
            }
            Hash::Table(fields) => fields.remove(field, now_ms),
        }
    }

    /// Gives a field that is there an expiry in the future, or takes it away.
    pub fn set_expiry(&mut self, field: &[u8], expiry: Option<i64>) {
        let fields = match (self, expiry) {
            (Hash::Packed(_), None) => return,
            (hash, _) => hash.unpack(),
        };
        if let Some(at_ms) = expiry {
            fields.note_expiry(at_ms);
        }
        fields.store.set_expiry(field, expiry);
    }

    /// Goes on with a walk through the fields, for about `budget` of them, and removes those overdue.
    pub fn sweep(&mut self, now_ms: i64, budget: usize) -> Sweep {
        let Hash::Table(fields) = self else { return Sweep { expired: Vec::new(), done: true } };
        if fields.sweep_position == 0 {
            (fields.sweep_next_ms, fields.swept, fields.sweep_left) = (NEVER, 0, 0);
        }
        let mut overdue: Vec<Box<[u8]>> = Vec::new();
        let (mut next_ms, mut seen) = (NEVER, 0);
        fields.store.sample_expiring(&mut fields.sweep_position, budget, &mut |entry| {
            seen += 1;
            match entry.expiry() {
                Some(at_ms) if at_ms <= now_ms => overdue.push(entry.key().into()),
                Some(at_ms) => next_ms = next_ms.min(at_ms),
                None => {}
            }
        });
        overdue.iter().for_each(|field| drop(fields.store.remove(field)));
        fields.swept += seen;
        fields.sweep_next_ms = fields.sweep_next_ms.min(next_ms);
        fields.sweep_left += seen - overdue.len();
        let done = fields.sweep_position == 0;
        if done {
            // Fields that were removed made others change places, and some of those were passed over.
            let missed = fields.store.expires() > fields.sweep_left;
            fields.next_ms = if missed { now_ms.min(fields.sweep_next_ms) } else { fields.sweep_next_ms };
        }
        Sweep { expired: overdue, done }
    }

    /// How long to wait after a sweep before the next is worth its cost: a thousand fields a millisecond are a few percent of
    /// a core.
    pub fn rest_ms(&self) -> i64 {
        match self {
            Hash::Packed(_) => 0,
            Hash::Table(fields) => (fields.swept / 1000) as i64,
        }
    }

    /// The fields as a table, which they are made if need be.
    fn unpack(&mut self) -> &mut Fields {
        if let Hash::Packed(_) = self {
            let mut fields = Fields::new(Store::inside_value(super::hasher()));
            self.view().for_each(0, |field, value| {
                field.with(|field| value.with(|value| fields.set(field, value, Lifetime::Forever, 0)));
            });
            *self = Hash::Table(Box::new(fields));
        }
        let Hash::Table(fields) = self else { unreachable!("it was just made one") };
        fields
    }
}

/// Sets a field of a listpack. True: it is new.
fn set_packed(pack: &mut Vec<u8>, field: &[u8], value: &[u8]) -> bool {
    let found = listpack::first(pack).and_then(|first| listpack::find(pack, first, 2, field));
    match found {
        Some(place) => listpack::replace(pack, value_place(pack, place), value),
        None => {
            listpack::push(pack, field);
            listpack::push(pack, value);
        }
    }
    found.is_none()
}

impl Collection for Hash {
    object_variant!(Hash);
    type View<'a> = HashView<'a>;

    fn new(mut memory: Vec<u8>) -> Self {
        listpack::clear(&mut memory);
        Hash::Packed(memory)
    }

    fn from_packed(_: Encoding, bytes: Vec<u8>) -> Self {
        Hash::Packed(bytes)
    }

    fn view_packed(_: Encoding, bytes: &[u8]) -> HashView<'_> {
        HashView::Packed(bytes)
    }

    fn view(&self) -> HashView<'_> {
        match self {
            Hash::Packed(bytes) => HashView::Packed(bytes),
            Hash::Table(fields) => HashView::Table(fields),
        }
    }

    fn packed_mut(&mut self) -> Option<&mut Vec<u8>> {
        match self {
            Hash::Packed(bytes) => Some(bytes),
            Hash::Table(_) => None,
        }
    }

    fn encoding(&self) -> Encoding {
        match self {
            Hash::Packed(_) => Encoding::Listpack,
            Hash::Table(_) => Encoding::Hashtable,
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Hash::Packed(bytes) => listpack::is_empty(bytes),
            Hash::Table(fields) => fields.store.is_empty(),
        }
    }

    fn bytes_allocated(&self) -> usize {
        match self {
            Hash::Packed(bytes) => bytes.capacity(),
            Hash::Table(fields) => size_of::<Fields>() + fields.store.bytes(),
        }
    }

    fn duplicate(&self) -> Self {
        match self {
            Hash::Packed(bytes) => Hash::Packed(bytes.clone()),
            Hash::Table(fields) => {
                let store = fields.store.duplicate();
                Hash::Table(Box::new(Fields { next_ms: fields.next_ms, ..Fields::new(store) }))
            }
        }
    }

    fn free_slice(&mut self, elements_max: usize) -> bool {
        match self {
            Hash::Packed(_) => true,
            Hash::Table(fields) => fields.store.free_slice(elements_max, &mut drop),
        }
    }

    fn next_expiry(&self) -> Option<i64> {
        match self {
            Hash::Packed(_) => None,
            Hash::Table(fields) => Some(fields.next_ms).filter(|&at_ms| at_ms != NEVER),
        }
    }
}

#[cfg(test)]
mod tests;
