//! A node of a stream: consecutive entries in one listpack, byte for byte as Redis has them, or the same sealed.
//! In: entries with ids above those that are there, ids to be deleted. Out: entries, in order from both ends.
//! Absent: how long a node may become, which node an id belongs to (see `log`), how a node is sealed (see `sealed`).
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
//! 3. The bytes passed in were built here or passed `validate`. What is added to or validated is a listpack; all else takes
//!    either form.

use super::{Id, sealed};
use crate::base::memory;
use crate::types::listpack::{self, Appender, Element, Place};
use std::borrow::Cow;

pub const DELETED: i64 = 1;
pub const SAME_FIELDS: i64 = 2;

/// Elements of an entry besides its fields: flags and id.
pub const FIXED_ELEMENTS: usize = 3;

/// The part of a node before its entries.
#[derive(Clone, Copy, Debug)]
pub struct Master {
    pub live: u64,
    pub deleted: u64,
    pub fields: usize,
    first_name: Place,
    first_entry: Place,
}

/// An entry of a node.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    pub id: Id,
    pub deleted: bool,
    pub fields: usize,
    pack: Pack<'a>,
    at: Place,
    /// The first name in the master; None if the entry has names of its own.
    shared_names: Option<Place>,
    /// The first value, or the first name of its own.
    first: Place,
}

/// The bytes of a node, in either form.
#[derive(Clone, Copy, Debug)]
struct Pack<'a> {
    bytes: &'a [u8],
    is_sealed: bool,
}

impl<'a> Pack<'a> {
    #[inline]
    fn new(bytes: &'a [u8]) -> Pack<'a> {
        Pack { bytes, is_sealed: sealed::is_sealed(bytes) }
    }

    #[inline]
    fn get(self, place: Place) -> Element<'a> {
        listpack::get(self.bytes, place)
    }

    #[inline]
    fn int(self, place: Place) -> i64 {
        self.get(place).as_i64().expect("3: it is an integer")
    }

    #[inline]
    fn behind(self, place: Place) -> Place {
        match self.is_sealed {
            true => listpack::place_behind_bare(self.bytes, place),
            false => listpack::place_behind(self.bytes, place),
        }
    }

    #[inline]
    fn skip(self, place: Place, elements: usize) -> Place {
        (0..elements).fold(place, |place, _| self.behind(place))
    }

    fn end(self) -> Place {
        if self.is_sealed { Place::at(self.bytes.len()) } else { listpack::end(self.bytes) }
    }

    /// The flags of an entry, what its id has above the key, and where its fields are.
    #[inline]
    fn entry_head(self, at: Place) -> (i64, Id, Place) {
        let (flags, ms, seq, behind);
        if self.is_sealed {
            (flags, seq, ms) = sealed::entry_head(self.bytes, at);
            behind = self.behind(ms);
        } else {
            (flags, ms) = (self.int(at), self.behind(at));
            let place = self.behind(ms);
            (seq, behind) = (self.int(place), self.behind(place));
        }
        (flags, Id::new(self.int(ms) as u64, seq as u64), behind)
    }
}

fn first(pack: &[u8]) -> Place {
    listpack::first(pack).expect("3: a node has a master")
}

/// Entries that are live, and that were deleted.
#[inline]
pub fn counts(bytes: &[u8]) -> (u64, u64) {
    let pack = Pack::new(bytes);
    if pack.is_sealed {
        let (live, deleted) = sealed::counts(bytes);
        return (live.into(), deleted.into());
    }
    let live = first(bytes);
    (pack.int(live) as u64, pack.int(pack.behind(live)) as u64)
}

impl Master {
    #[inline]
    pub fn read(bytes: &[u8]) -> Master {
        let pack = Pack::new(bytes);
        let (live, deleted) = counts(bytes);
        let (fields, behind_names) = match pack.is_sealed {
            true => (Place::at(sealed::MASTER), 0),
            false => (pack.skip(first(bytes), 2), 1),
        };
        let first_name = pack.behind(fields);
        let count = pack.int(fields) as usize;
        let first_entry = pack.skip(first_name, count + behind_names);
        Master { live, deleted, fields: count, first_name, first_entry }
    }

    /// Whether these are the names of the fields.
    fn has_names<'a>(&self, pack: &[u8], names: impl ExactSizeIterator<Item = &'a [u8]>) -> bool {
        let mut place = self.first_name;
        names.len() == self.fields
            && names.into_iter().all(|name| {
                let same = listpack::get(pack, place).equals(name);
                place = listpack::place_behind(pack, place);
                same
            })
    }
}

impl<'a> Entry<'a> {
    /// The entry at this place, and the place behind it.
    #[inline]
    fn read(pack: Pack<'a>, key: Id, master: &Master, at: Place) -> (Entry<'a>, Place) {
        let (flags, above, mut first) = pack.entry_head(at);
        let id = Id::new(key.ms.wrapping_add(above.ms), key.seq.wrapping_add(above.seq));
        let (mut fields, mut elements) = (master.fields, master.fields);
        let shared_names = (flags & SAME_FIELDS != 0).then_some(master.first_name);
        if shared_names.is_none() {
            fields = pack.int(first) as usize;
            first = pack.behind(first);
            elements = 2 * fields;
        }
        let deleted = flags & DELETED != 0;
        let entry = Entry { id, deleted, fields, pack, at, shared_names, first };
        (entry, pack.skip(first, elements + usize::from(!pack.is_sealed)))
    }

    /// Shows the names and values in order.
    #[inline]
    pub fn for_each(&self, mut visit: impl FnMut(Element<'a>, Element<'a>)) {
        let (mut own, mut shared) = (self.first, self.shared_names);
        for _ in 0..self.fields {
            let name = shared.unwrap_or(own);
            match &mut shared {
                Some(shared) => *shared = self.pack.behind(*shared),
                None => own = self.pack.behind(own),
            }
            let value = own;
            own = self.pack.behind(own);
            visit(self.pack.get(name), self.pack.get(value));
        }
    }
}

/// The entries of a node, deleted ones included, from both ends.
#[derive(Clone, Debug)]
pub struct Entries<'a> {
    pack: Pack<'a>,
    key: Id,
    master: Master,
    front: Place,
    back: Place,
    /// Where the entries before `back` begin, once more than the last of a sealed node was read from the right end.
    begins: Vec<Place>,
}

impl<'a> Entries<'a> {
    #[inline]
    pub fn new(key: Id, bytes: &'a [u8]) -> Self {
        let (pack, master) = (Pack::new(bytes), Master::read(bytes));
        let (front, back) = (master.first_entry, pack.end());
        Entries { pack, key, master, front, back, begins: Vec::new() }
    }

    /// Those up to that id, and perhaps some behind it: for who begins to read at the right end.
    pub fn up_to(key: Id, bytes: &'a [u8], end: Id) -> Self {
        let mut entries = Self::new(key, bytes);
        if entries.pack.is_sealed && entries.read(sealed::last_entry(bytes)).0.id > end {
            entries.find_begins(|entry| entry.id > end);
        }
        entries
    }

    /// Notes where entries begin, up to one that is not wanted.
    fn find_begins(&mut self, is_behind: impl Fn(&Entry) -> bool) {
        self.begins.reserve_exact((self.master.live + self.master.deleted) as usize);
        let mut at = self.front;
        while at < self.back {
            let (entry, behind) = self.read(at);
            if is_behind(&entry) {
                self.back = at;
                break;
            }
            self.begins.push(at);
            at = behind;
        }
    }

    #[inline]
    fn read(&self, at: Place) -> (Entry<'a>, Place) {
        Entry::read(self.pack, self.key, &self.master, at)
    }

    /// Where the last entry before `back` begins.
    fn last_begin(&mut self) -> Place {
        const WHOLE: &str = "3: an entry is whole";
        let bytes = self.pack.bytes;
        if !self.pack.is_sealed {
            let elements = listpack::prev(bytes, self.back).expect(WHOLE);
            let count = self.pack.int(elements);
            return (0..count).fold(elements, |at, _| listpack::prev(bytes, at).expect(WHOLE));
        }
        if self.back == self.pack.end() {
            return sealed::last_entry(bytes);
        }
        if self.begins.is_empty() {
            self.find_begins(|_| false);
        }
        self.begins.pop().expect(WHOLE)
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;

    #[inline]
    fn next(&mut self) -> Option<Entry<'a>> {
        (self.front < self.back).then(|| {
            let (entry, behind) = self.read(self.front);
            self.front = behind;
            entry
        })
    }
}

impl DoubleEndedIterator for Entries<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        (self.front < self.back).then(|| {
            self.back = self.last_begin();
            self.read(self.back).0
        })
    }
}

/// What elements take in a listpack, at most: so many, of so many bytes in all.
fn bytes_max(elements: usize, bytes: usize) -> usize {
    let most = if bytes < 60 { 2 } else { 10 };
    bytes + elements * most
}

/// What an entry takes, at most, whose names and values have so many bytes.
fn entry_bytes_max(fields: usize, bytes: usize) -> usize {
    const FLAGS_ID_COUNTS: usize = 32;
    FLAGS_ID_COUNTS + bytes_max(2 * fields, bytes)
}

/// Makes room for so many bytes more: as much as the allocator gives anyway.
fn make_room(pack: &mut Vec<u8>, more: usize) {
    if pack.capacity() - pack.len() < more {
        pack.reserve_exact(memory::allocated(pack.len() + more) - pack.len());
    }
}

/// A node as Redis has it.
pub fn listpack(node: &[u8]) -> Cow<'_, [u8]> {
    if sealed::is_sealed(node) { Cow::Owned(sealed::open(node)) } else { Cow::Borrowed(node) }
}

/// A node as Redis has it, to be added to.
pub fn into_listpack(node: Box<[u8]>) -> Vec<u8> {
    if sealed::is_sealed(&node) { sealed::open(&node) } else { node.into_vec() }
}

/// A node in this memory: with a first entry, whose names it will share. They and its values have so many bytes.
pub fn begin<'a>(
    mut memory: Vec<u8>,
    id: Id,
    pairs: impl ExactSizeIterator<Item = (&'a [u8], &'a [u8])> + Clone,
    bytes: usize,
) -> Vec<u8> {
    memory.clear();
    let names = pairs.clone().map(|(name, _)| name);
    let name_bytes: usize = names.clone().map(<[u8]>::len).sum();
    let master = listpack::EMPTY_BYTES + bytes_max(FIXED_ELEMENTS + 1 + names.len(), name_bytes);
    make_room(&mut memory, master + entry_bytes_max(names.len(), bytes));
    let mut pack = memory;
    listpack::clear(&mut pack);
    let mut elements = Appender::new(&mut pack);
    elements.int(0);
    elements.int(0);
    elements.int(names.len() as i64);
    names.for_each(|name| elements.bytes(name));
    elements.int(0);
    elements.finish();
    append(&mut pack, id, id, pairs, bytes);
    pack
}

/// Adds an entry behind all others, whose names and values have so many bytes.
pub fn append<'a>(
    pack: &mut Vec<u8>,
    key: Id,
    id: Id,
    pairs: impl ExactSizeIterator<Item = (&'a [u8], &'a [u8])> + Clone,
    bytes: usize,
) {
    let master = Master::read(pack);
    let same = master.has_names(pack, pairs.clone().map(|(name, _)| name));
    let fields = pairs.len();
    make_room(pack, entry_bytes_max(fields, bytes));
    let place = first(pack);
    listpack::replace_int(pack, place, master.live as i64 + 1);
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
    while at < Pack::new(pack).end() {
        let (entry, mut behind) = Entry::read(Pack::new(pack), key, &master, at);
        if !goes(entry.id, deleted) {
            break;
        }
        if !entry.deleted {
            mark(pack, at);
            deleted += 1;
            // Flags in a long form have become shorter.
            behind = Entry::read(Pack::new(pack), key, &master, at).1;
        }
        at = behind;
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
    if sealed::is_sealed(pack) {
        return sealed::mark(pack, at);
    }
    let flags = Pack::new(pack).int(at);
    listpack::replace_int(pack, at, flags | DELETED);
}

/// Notes in the master that so many more entries are deleted.
fn recount(pack: &mut Vec<u8>, before: &Master, more: u64) {
    if sealed::is_sealed(pack) {
        return sealed::recount(pack, more);
    }
    let place = first(pack);
    listpack::replace_int(pack, place, (before.live - more) as i64);
    let place = listpack::place_behind(pack, place);
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
