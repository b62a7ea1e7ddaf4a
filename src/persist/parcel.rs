//! Entries of a file on their way from the thread that reads it to the core that owns their keys.
//! In: raw entries. Out: the same, in order. Absent: what their bodies mean (see `object::load`).

use super::rdb::Dialect;
use super::rdb::file::{Raw, Usage};
use std::borrow::Cow;
use std::ops::Range;

/// Raw entries with their bytes: one piece of memory for all of them.
#[derive(Debug, Default)]
pub struct Parcel {
    bytes: Vec<u8>,
    entries: Vec<Place>,
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

    fn append(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of keys and bodies.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    pub fn entries(&self) -> impl Iterator<Item = Raw<'_>> {
        self.entries.iter().map(|place| Raw {
            dialect: place.dialect,
            db: place.db,
            key: Cow::Borrowed(&self.bytes[place.key.clone()]),
            expiry_ms: place.expiry_ms,
            usage: place.usage,
            form: place.form,
            body: &self.bytes[place.body.clone()],
            body_offset: place.body_offset,
        })
    }
}
