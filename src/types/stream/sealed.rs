//! A node that takes no more entries, in fewer bytes: two thirds of the listpack it was, and the same again when it is opened.
//! In: nodes as listpacks. Out: the same sealed, and opened again.
//! Absent: how entries are read, in either form (see `node`); which nodes are sealed (see `log`).
//!
//! ```text
//! node:    last: u32 | live: u16 | deleted: u16 | fields | name … | entry …        little-endian
//! entry:   tag | ms | value …                              with the names of the master
//!          tag | ms | fields | name | value …              with names of its own
//! tag:     ssssssff       flags, and what the sequence number has above the key's; 63: it is an element before `ms`
//! ```
//!
//! Elements are those of the listpack without their lengths at the right end. What can be told from the rest is left out, too:
//! how many elements an entry has, the end. `last` is where the last entry begins, and has the top bit set, which no
//! listpack's first four bytes have.
//!
//! 1. What is sealed opens to the very bytes that it was, or, after entries were deleted in it, to what they would be then.

use super::node::{DELETED, FIXED_ELEMENTS, Master, SAME_FIELDS};
use crate::types::listpack::{self, Appender, Element, Encoded, Place};
use std::mem;

#[cfg(test)]
mod tests;

/// Longer nodes are not sealed: reading them from the right end would take a long walk.
const BYTES_MAX: usize = 64 << 10;
/// Nodes whose elements are longer on average hold long values, of which there is little to be left out.
const ELEMENT_BYTES_MAX: usize = 16;

const HEAD_BYTES: usize = 8;
const SEALED: u32 = 1 << 31;

const FLAGS: u8 = 3;
const SEQ_SHIFT: u32 = 2;
const SEQ_APART: u8 = 63;

/// Whether a node is sealed, and no listpack.
#[inline]
pub fn is_sealed(node: &[u8]) -> bool {
    node[3] & (SEALED >> 24) as u8 != 0
}

/// Where the first element of the master is, the number of fields.
pub const MASTER: usize = HEAD_BYTES;

/// Where the last entry begins.
pub fn last_entry(node: &[u8]) -> Place {
    let head = u32::from_le_bytes(*node.first_chunk().expect("a node has a head"));
    Place::at((head & !SEALED) as usize)
}

/// Entries that are live, and that were deleted.
#[inline]
pub fn counts(node: &[u8]) -> (u16, u16) {
    let [_, _, _, _, live @ .., _, _] = node.first_chunk::<HEAD_BYTES>().expect("a node has a head");
    let deleted = [node[6], node[7]];
    (u16::from_le_bytes(*live), u16::from_le_bytes(deleted))
}

fn set_counts(node: &mut [u8], live: u16, deleted: u16) {
    node[4..6].copy_from_slice(&live.to_le_bytes());
    node[6..HEAD_BYTES].copy_from_slice(&deleted.to_le_bytes());
}

/// Notes that so many more entries are marked as deleted.
pub fn recount(node: &mut [u8], more: u64) {
    let (live, deleted) = counts(node);
    let more = more as u16;
    set_counts(node, live - more, deleted + more);
}

/// Marks the entry at this place as deleted.
pub fn mark(node: &mut [u8], entry: Place) {
    node[entry.offset()] |= DELETED as u8;
}

/// The flags of the entry at this place, its sequence number above the key's, and where its milliseconds are.
#[inline]
pub fn entry_head(node: &[u8], entry: Place) -> (i64, i64, Place) {
    let tag = node[entry.offset()];
    let behind = Place::at(entry.offset() + 1);
    let flags = i64::from(tag & FLAGS);
    match tag >> SEQ_SHIFT {
        SEQ_APART => {
            let seq = listpack::get(node, behind).as_i64().expect("it was an integer when it was sealed");
            (flags, seq, listpack::place_behind_bare(node, behind))
        }
        seq => (flags, i64::from(seq), behind),
    }
}

/// Whether sealing the node is worth the while.
pub fn pays(pack: &[u8]) -> bool {
    pack.len() <= BYTES_MAX
        && listpack::knows_count(pack)
        && pack.len() <= listpack::len(pack) * ELEMENT_BYTES_MAX
}

/// The node in fewer bytes. None: it has very many elements, or was written by somebody who writes small numbers in long forms.
pub fn seal(pack: &[u8]) -> Option<Box<[u8]>> {
    if !listpack::knows_count(pack) {
        return None;
    }
    let mut from = Reader { pack, place: listpack::first(pack)? };
    let mut node = Writer { bytes: vec![0; pack.len() + COPIED_AT_ONCE], len: HEAD_BYTES };
    let (live, deleted) = (from.short_int()?, from.short_int()?);
    set_counts(&mut node.bytes, u16::try_from(live).ok()?, u16::try_from(deleted).ok()?);
    let fields = from.copy_int(&mut node)?;
    (0..fields).for_each(|_| from.copy(&mut node));
    from.short_int().filter(|&end| end == 0)?;
    let mut last = None;
    while from.place < listpack::end(pack) {
        last = Some(node.len as u32);
        from.seal_entry(fields, &mut node)?;
    }
    node.bytes[..4].copy_from_slice(&(last? | SEALED).to_le_bytes());
    // A copy: the allocator would shrink the vector in place, and keep the memory.
    Some(node.bytes[..node.len].into())
}

/// A node that is written.
struct Writer {
    /// Longer than what will be written.
    bytes: Vec<u8>,
    len: usize,
}

/// Copying so many bytes takes a few instructions, copying a number of bytes that varies takes a call.
const COPIED_AT_ONCE: usize = 16;

impl Writer {
    #[inline]
    fn push(&mut self, byte: u8) {
        self.bytes[self.len] = byte;
        self.len += 1;
    }

    /// Copies `from[at..at + len]`.
    #[inline]
    fn copy(&mut self, from: &[u8], at: usize, len: usize) {
        match (from.get(at..at + COPIED_AT_ONCE), self.bytes.get_mut(self.len..self.len + COPIED_AT_ONCE)) {
            (Some(from), Some(to)) if len <= COPIED_AT_ONCE => to.copy_from_slice(from),
            _ => self.bytes[self.len..self.len + len].copy_from_slice(&from[at..at + len]),
        }
        self.len += len;
    }
}

/// A listpack that is read from the front.
struct Reader<'a> {
    pack: &'a [u8],
    place: Place,
}

impl Reader<'_> {
    /// An integer in its shortest form. None: it is in another.
    #[inline]
    fn short_int(&mut self) -> Option<i64> {
        if let Some((value, behind)) = listpack::get_tiny(self.pack, self.place) {
            self.place = behind;
            return Some(value.into());
        }
        let Element::Int(value) = listpack::get(self.pack, self.place) else { return None };
        let behind = listpack::place_behind(self.pack, self.place);
        let is_short = Encoded::int(value).bytes() == behind.offset() - self.place.offset();
        is_short.then(|| {
            self.place = behind;
            value
        })
    }

    #[inline]
    fn copy(&mut self, into: &mut Writer) {
        let (at, bare) = (self.place.offset(), listpack::place_behind_bare(self.pack, self.place));
        into.copy(self.pack, at, bare.offset() - at);
        self.place = listpack::place_behind(self.pack, self.place);
    }

    fn copy_int(&mut self, into: &mut Writer) -> Option<i64> {
        let value = listpack::get(self.pack, self.place).as_i64();
        self.copy(into);
        value
    }

    #[inline]
    fn seal_entry(&mut self, master_fields: i64, into: &mut Writer) -> Option<()> {
        let flags = u8::try_from(self.short_int()?).ok().filter(|&flags| flags <= FLAGS)?;
        let ms = self.place;
        let seq_at = listpack::place_behind(self.pack, ms);
        self.place = seq_at;
        match self.short_int() {
            Some(seq @ 0..63) => into.push(flags | (seq as u8) << SEQ_SHIFT),
            _ => {
                into.push(flags | SEQ_APART << SEQ_SHIFT);
                self.place = seq_at;
                self.copy(into);
            }
        }
        let behind = mem::replace(&mut self.place, ms);
        self.copy(into);
        self.place = behind;
        let has_names = i64::from(flags) & SAME_FIELDS == 0;
        let own = if has_names { 2 * self.copy_int(into)? } else { master_fields };
        (0..own).for_each(|_| self.copy(into));
        let counted = FIXED_ELEMENTS as i64 + own + i64::from(has_names);
        self.short_int().filter(|&elements| elements == counted).map(|_| ())
    }
}

/// The listpack that was sealed.
pub fn open(node: &[u8]) -> Vec<u8> {
    let master = Master::read(node);
    // Enough for what most entries had besides.
    let entries = (master.live + master.deleted) as usize;
    let mut pack = Vec::with_capacity(node.len() + 2 * (entries + 1) * (FIXED_ELEMENTS + 1 + master.fields));
    listpack::clear(&mut pack);
    let mut into = Appender::new(&mut pack);
    into.int(master.live as i64);
    into.int(master.deleted as i64);
    let mut place = copy_bare(node, Place::at(MASTER), 1 + master.fields, &mut into);
    into.int(0);
    while place.offset() < node.len() {
        place = open_entry(node, place, master.fields, &mut into);
    }
    into.finish();
    pack
}

fn open_entry(node: &[u8], entry: Place, master_fields: usize, into: &mut Appender) -> Place {
    let (flags, seq, ms) = entry_head(node, entry);
    into.int(flags);
    let mut place = copy_bare(node, ms, 1, into);
    match node[entry.offset()] >> SEQ_SHIFT {
        SEQ_APART => _ = copy_bare(node, Place::at(entry.offset() + 1), 1, into),
        _ => into.int(seq),
    }
    let (mut own, mut elements) = (master_fields, FIXED_ELEMENTS + master_fields);
    if flags & SAME_FIELDS == 0 {
        own = 2 * listpack::get(node, place).as_i64().expect("it was an integer when it was sealed") as usize;
        place = copy_bare(node, place, 1, into);
        elements = FIXED_ELEMENTS + 1 + own;
    }
    place = copy_bare(node, place, own, into);
    into.int(elements as i64);
    place
}

/// Copies so many elements, and returns the place behind them.
fn copy_bare(node: &[u8], from: Place, elements: usize, into: &mut Appender) -> Place {
    (0..elements).fold(from, |place, _| {
        into.bare(listpack::bare(node, place));
        listpack::place_behind_bare(node, place)
    })
}
