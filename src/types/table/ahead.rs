//! Asks for the memory that a lookup will touch, ahead of it, in stages (see `store::prefetch`).
//! In: hashes. Out: nothing but what the caches hold.

use super::{Packed, Segment, Table, fingerprint};
use crate::base::prefetch::prefetch;

/// A bucket that was asked for, and what will be looked for in it.
pub struct Awaited<'a> {
    segment: &'a Segment,
    at: usize,
    tag: u8,
    bit: u64,
}

impl<'a> Awaited<'a> {
    #[inline]
    fn ask(segment: &'a Segment, at: usize, tag: u8, bit: u64) -> Self {
        prefetch(segment.bucket(at));
        Awaited { segment, at, tag, bit }
    }

    /// Second stage, when the bucket has arrived: asks for the entry that it names. If a lookup goes on from here, so does this.
    #[inline]
    pub fn prefetch_entry(&self) -> Option<Awaited<'a>> {
        let bucket = self.segment.bucket(self.at);
        let matching = |&slot: &usize| bucket.get(slot).0 & Packed::HASH_BIT == self.bit;
        match bucket.matches(self.tag).find(matching) {
            Some(slot) => bucket.get(slot).prefetch(),
            None if bucket.overflow() > 0 => {
                let next = self.segment.after(self.at);
                return Some(Awaited::ask(self.segment, next, self.tag, self.bit));
            }
            None => {}
        }
        None
    }
}

impl Table {
    /// First stage of fetching what a lookup will need: asks for the home bucket.
    #[inline]
    pub fn prefetch_bucket(&self, hash: u64) -> Option<Awaited<'_>> {
        let segment = self.segment(hash)?;
        let (tag, bit) = fingerprint(hash);
        Some(Awaited::ask(segment, segment.home(hash), tag, bit))
    }
}
