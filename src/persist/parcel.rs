//! Entries of a file on their way from the thread that reads it to the core that owns their keys.
//! In: raw entries, and libraries of functions, which any core can take. Out: the same, in order.
//! Absent: what their bodies mean (see `object::load`).

use super::rdb::Dialect;
use super::rdb::file::{Raw, Usage};
use std::borrow::Cow;
use std::ops::Range;

/// Raw entries with their bytes: one piece of memory for all of them.
#[derive(Debug, Default)]
pub struct Parcel {
    bytes: Vec<u8>,
    entries: Vec<Place>,
    libraries: Vec<Vec<u8>>,
    /// How many keys to expect in a database.
    hints: Vec<(u64, u64)>,
    /// Entries that are overdue are wanted, too: a log that follows may prolong them.
    pub keeps_overdue: bool,
}

/// Where the parts of an entry are.
#[derive(Debug)]
struct Place {
    dialect: Dialect,
    db: u64,
    expiry_ms: Option<i64>,
    usage: Usage,
    form: u8,
    key: Range<usize>,
    body: Range<usize>,
    body_offset: u64,
}

impl Parcel {
    pub fn push(&mut self, raw: &Raw) {
        let key = self.append(&raw.key);
        let body = self.append(raw.body);
        self.entries.push(Place {
            dialect: raw.dialect,
            db: raw.db,
            expiry_ms: raw.expiry_ms,
            usage: raw.usage,
            form: raw.form,
            key,
            body,
            body_offset: raw.body_offset,
        });
    }

    /// An empty one that takes entries of about so many bytes without moving them.
    pub fn with_room(bytes: usize) -> Parcel {
        const SLACK_BYTES: usize = 4096;
        Parcel { bytes: Vec::with_capacity(bytes + SLACK_BYTES), ..Parcel::default() }
    }

    /// Says that a database has so many keys, this parcel's or not.
    pub fn push_hint(&mut self, db: u64, keys: u64) {
        self.hints.push((db, keys));
    }

    pub fn hints(&self) -> &[(u64, u64)] {
        &self.hints
    }

    /// Adds the code of a library.
    pub fn push_library(&mut self, code: &[u8]) {
        self.libraries.push(code.to_vec());
    }

    pub fn libraries(&self) -> &[Vec<u8>] {
        &self.libraries
    }

    fn append(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.libraries.is_empty() && self.hints.is_empty()
    }

    /// Bytes of keys and bodies.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The entries in order, in groups of so many.
    pub fn groups(&self, size: usize) -> impl Iterator<Item = impl Iterator<Item = Raw<'_>> + Clone> {
        self.entries.chunks(size).map(|group| group.iter().map(|place| self.raw(place)))
    }

    fn raw(&self, place: &Place) -> Raw<'_> {
        Raw {
            dialect: place.dialect,
            db: place.db,
            key: Cow::Borrowed(&self.bytes[place.key.clone()]),
            expiry_ms: place.expiry_ms,
            usage: place.usage,
            form: place.form,
            body: &self.bytes[place.body.clone()],
            body_offset: place.body_offset,
        }
    }
}
