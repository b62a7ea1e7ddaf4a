//! A node of a stream: consecutive entries in one listpack, byte for byte as Redis has them.
//! In: entries with ids above those that are there, ids to be deleted. Out: entries, in order from both ends.
//! Absent: how long a node may become, which node an id belongs to (see `log`).
//!
//! ```text
//! master:  live | deleted | fields | name … | 0
//! entry:   flags | ms | seq | value … | elements                          with the names of the master
//!          flags | ms | seq | fields | name | value … | elements          with names of its own
//! ```
//!
//! The master has the names of the first entry that was added, and its id is the key of the node: `ms` and `seq` are what an
//! entry's id has above it (`seq` may be below it, and wraps). `elements` counts the elements before it, so that entries can
//! be read from the right end.
//!
//! 1. Ids ascend, the first not below the master's; none has wrapped.
//! 2. `live` and `deleted` count the entries without and with the flag `DELETED`; a deleted entry stays where it is.
//! 3. The bytes passed in were built here or passed `validate`.

use super::Id;
use crate::types::listpack::{self, Appender, Element, Place};

const DELETED: i64 = 1;
const SAME_FIELDS: i64 = 2;

/// Elements of an entry besides its fields: flags and id.
const FIXED_ELEMENTS: usize = 3;

/// The part of a node before its entries.
#[derive(Clone, Copy, Debug)]
pub struct Master {
    pub live: u64,
    pub deleted: u64,
    fields: usize,
    first_name: Place,
    first_entry: Place,
}

/// An entry of a node.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    pub id: Id,
    pub deleted: bool,
    pub fields: usize,
    pack: &'a [u8],
    at: Place,
    /// The first name in the master; None if the entry has names of its own.
    shared_names: Option<Place>,
    /// The first value, or the first name of its own.
    first: Place,
}

fn int(pack: &[u8], place: Place) -> i64 {
    listpack::get(pack, place).as_i64().expect("3: it is an integer")
}

fn behind(pack: &[u8], place: Place) -> Place {
    listpack::place_behind(pack, place)
}

fn skip(pack: &[u8], place: Place, elements: usize) -> Place {
    (0..elements).fold(place, |place, _| behind(pack, place))
}

fn first(pack: &[u8]) -> Place {
    listpack::first(pack).expect("3: a node has a master")
}

/// Entries that are live, and that were deleted.
#[inline]
pub fn counts(pack: &[u8]) -> (u64, u64) {
    let live = first(pack);
    (int(pack, live) as u64, int(pack, behind(pack, live)) as u64)
}

impl Master {
    pub fn read(pack: &[u8]) -> Master {
        let live = first(pack);
        let deleted = behind(pack, live);
        let fields = behind(pack, deleted);
        let first_name = behind(pack, fields);
        let count = int(pack, fields) as usize;
        Master {
            live: int(pack, live) as u64,
            deleted: int(pack, deleted) as u64,
            fields: count,
            first_name,
            first_entry: skip(pack, first_name, count + 1),
        }
    }

    /// Whether these are the names of the fields.
    fn has_names<'a>(&self, pack: &[u8], names: impl ExactSizeIterator<Item = &'a [u8]>) -> bool {
        let mut place = self.first_name;
        names.len() == self.fields
            && names.into_iter().all(|name| {
                let same = listpack::get(pack, place).equals(name);
                place = behind(pack, place);
                same
            })
    }
}

impl<'a> Entry<'a> {
    /// The entry at this place, and the place behind it.
    fn read(pack: &'a [u8], key: Id, master: &Master, at: Place) -> (Entry<'a>, Place) {
        let flags = int(pack, at);
        let ms = behind(pack, at);
        let seq = behind(pack, ms);
        let id =
            Id::new(key.ms.wrapping_add(int(pack, ms) as u64), key.seq.wrapping_add(int(pack, seq) as u64));
        let mut first = behind(pack, seq);
        let (mut fields, mut elements) = (master.fields, master.fields);
        let shared_names = (flags & SAME_FIELDS != 0).then_some(master.first_name);
        if shared_names.is_none() {
            fields = int(pack, first) as usize;
            first = behind(pack, first);
            elements = 2 * fields;
        }
        let deleted = flags & DELETED != 0;
        let entry = Entry { id, deleted, fields, pack, at, shared_names, first };
        (entry, skip(pack, first, elements + 1))
    }

    /// Shows the names and values in order.
    #[inline]
    pub fn for_each(&self, mut visit: impl FnMut(Element<'a>, Element<'a>)) {
        let (mut own, mut shared) = (self.first, self.shared_names);
        for _ in 0..self.fields {
            let name = shared.unwrap_or(own);
            match &mut shared {
                Some(shared) => *shared = behind(self.pack, *shared),
                None => own = behind(self.pack, own),
            }
            let value = own;
            own = behind(self.pack, own);
            visit(listpack::get(self.pack, name), listpack::get(self.pack, value));
        }
    }
}

/// The entries of a node, deleted ones included, from both ends.
#[derive(Clone, Debug)]
pub struct Entries<'a> {
    pack: &'a [u8],
    key: Id,
    master: Master,
    front: Place,
    back: Place,
}

impl<'a> Entries<'a> {
    pub fn new(key: Id, pack: &'a [u8]) -> Self {
        let master = Master::read(pack);
        Entries { pack, key, master, front: master.first_entry, back: listpack::end(pack) }
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;

    #[inline]
    fn next(&mut self) -> Option<Entry<'a>> {
        (self.front < self.back).then(|| {
            let (entry, behind) = Entry::read(self.pack, self.key, &self.master, self.front);
            self.front = behind;
            entry
        })
    }
}

impl DoubleEndedIterator for Entries<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        (self.front < self.back).then(|| {
            const WHOLE: &str = "3: an entry is whole";
            let elements = listpack::prev(self.pack, self.back).expect(WHOLE);
            let count = int(self.pack, elements);
            let at = (0..count).fold(elements, |at, _| listpack::prev(self.pack, at).expect(WHOLE));
            self.back = at;
            Entry::read(self.pack, self.key, &self.master, at).0
        })
    }
}

/// A node without entries yet, in which these names will be shared; `bytes` is how long it will be, perhaps.
pub fn begin<'a>(names: impl ExactSizeIterator<Item = &'a [u8]>, bytes: usize) -> Vec<u8> {
    let mut pack = Vec::with_capacity(bytes);
    listpack::clear(&mut pack);
    let mut elements = Appender::new(&mut pack);
    elements.int(0);
    elements.int(0);
    elements.int(names.len() as i64);
    names.for_each(|name| elements.bytes(name));
    elements.int(0);
    elements.finish();
    pack
}

/// Adds an entry behind all others.
pub fn append<'a>(
    pack: &mut Vec<u8>,
    key: Id,
    id: Id,
    pairs: impl ExactSizeIterator<Item = (&'a [u8], &'a [u8])> + Clone,
) {
    let master = Master::read(pack);
    let same = master.has_names(pack, pairs.clone().map(|(name, _)| name));
    let place = first(pack);
    listpack::replace_int(pack, place, master.live as i64 + 1);
    let fields = pairs.len();
    let mut elements = Appender::new(pack);
    elements.int(if same { SAME_FIELDS } else { 0 });
    elements.int(id.ms.wrapping_sub(key.ms) as i64);
    elements.int(id.seq.wrapping_sub(key.seq) as i64);
    if !same {
        elements.int(fields as i64);
    }
    for (name, value) in pairs {
        if !same {
            elements.bytes(name);
        }
        elements.bytes(value);
    }
    let own = if same { fields } else { 2 * fields + 1 };
    elements.int((FIXED_ELEMENTS + own) as i64);
    elements.finish();
}

/// Marks the first so many live entries as deleted. Returns how many there were.
pub fn delete_first_count(pack: &mut Vec<u8>, key: Id, count: u64) -> u64 {
    delete_while(pack, key, |_, deleted| deleted < count)
}

/// Marks the entries before this id as deleted. Returns how many were live.
pub fn delete_below(pack: &mut Vec<u8>, key: Id, from: Id) -> u64 {
    delete_while(pack, key, |id, _| id < from)
}

/// Marks entries as deleted, from the first on, while `goes` says so of an id and how many live ones went before it.
fn delete_while(pack: &mut Vec<u8>, key: Id, goes: impl Fn(Id, u64) -> bool) -> u64 {
    let master = Master::read(pack);
    let (mut at, mut deleted) = (master.first_entry, 0);
    while at < listpack::end(pack) {
        let (entry, _) = Entry::read(pack, key, &master, at);
        if !goes(entry.id, deleted) {
            break;
        }
        if !entry.deleted {
            mark(pack, at);
            deleted += 1;
        }
        at = Entry::read(pack, key, &master, at).1;
    }
    recount(pack, &master, deleted);
    deleted
}

/// Marks the entry with this id as deleted. False: there is no live one.
pub fn delete(pack: &mut Vec<u8>, key: Id, id: Id) -> bool {
    let found = Entries::new(key, pack).find(|entry| entry.id >= id).filter(|it| it.id == id && !it.deleted);
    let Some(at) = found.map(|entry| entry.at) else { return false };
    let master = Master::read(pack);
    mark(pack, at);
    recount(pack, &master, 1);
    true
}

fn mark(pack: &mut Vec<u8>, at: Place) {
    let flags = int(pack, at);
    listpack::replace_int(pack, at, flags | DELETED);
}

/// Notes in the master that so many more entries are deleted.
fn recount(pack: &mut Vec<u8>, before: &Master, more: u64) {
    let place = first(pack);
    listpack::replace_int(pack, place, (before.live - more) as i64);
    let place = behind(pack, place);
    listpack::replace_int(pack, place, (before.deleted + more) as i64);
}

/// Whether a listpack whose elements are sound is a node with that key. Returns the ids of its first and last entry.
pub fn validate(key: Id, pack: &[u8]) -> Option<(Id, Id)> {
    let mut reader = Checked { pack, place: listpack::first(pack) };
    let live = usize::try_from(reader.int()?).ok()?;
    let deleted = usize::try_from(reader.int()?).ok()?;
    let fields = usize::try_from(reader.int()?).ok()?;
    reader.skip(fields)?;
    if reader.int()? != 0 {
        return None;
    }
    let (mut counts, mut ends) = ([0, 0], None);
    while reader.place.is_some() {
        let (id, is_deleted) = reader.entry(key, fields)?;
        let (first, last) = ends.map_or((id, None), |(first, last)| (first, Some(last)));
        if id < key || last.is_some_and(|last| last >= id) {
            return None;
        }
        counts[usize::from(is_deleted)] += 1;
        ends = Some((first, id));
    }
    ends.filter(|_| counts == [live, deleted])
}

/// Reads elements that may not be what they should be.
struct Checked<'a> {
    pack: &'a [u8],
    place: Option<Place>,
}

impl Checked<'_> {
    fn int(&mut self) -> Option<i64> {
        let value = listpack::get(self.pack, self.place?).as_i64()?;
        self.skip(1)?;
        Some(value)
    }

    fn skip(&mut self, elements: usize) -> Option<()> {
        for _ in 0..elements {
            self.place = listpack::next(self.pack, self.place?);
        }
        Some(())
    }

    fn entry(&mut self, key: Id, master_fields: usize) -> Option<(Id, bool)> {
        let flags = self.int()?;
        let (ms, seq) = (self.int()?, self.int()?);
        let id = Id::new(key.ms.wrapping_add(ms as u64), key.seq.wrapping_add(seq as u64));
        let mut own = master_fields;
        if flags & SAME_FIELDS == 0 {
            own = usize::try_from(self.int()?).ok()?.checked_mul(2)?;
        }
        self.skip(own)?;
        let counted = FIXED_ELEMENTS + own + usize::from(flags & SAME_FIELDS == 0);
        (usize::try_from(self.int()?) == Ok(counted)).then_some((id, flags & DELETED != 0))
    }
}
