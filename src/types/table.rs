//! Finds an entry by the hash of its key.
//! In: 64-bit hashes and packed entry addresses. Out: places in buckets, and walks in hash order.
//! Absent: what an entry is made of, but for its key (see `entry`); the memory of entries (see `store`).
//!
//! A bucket is a cache line with nine entries. Tags are a byte of the hash each, so that a lookup reads one line of the table
//! and then, 49 times of 50, one entry:
//!
//! ```text
//!  0                       9   10                                                    64
//! +-------------------------+---+--------+--------+--------+--    --+--------+--------+
//! | 9 tags, 0: vacant       | o | ptr 0  | ptr 1  | ptr 2  |        | ptr 7  | ptr 8  |   48 bits each, little endian
//! +-------------------------+---+--------+--------+--------+--    --+--------+--------+
//!                             |                                (low three bits: see `Packed`)
//!                             +-- entries that found this bucket full and went on, 255: that many or more
//! ```
//!
//! Buckets live in segments of up to 112, and a directory finds the segment by the top bits of the hash. Within a segment the
//! *following* bits, scaled to the number of buckets, name the home bucket; a full bucket sends the entry on to the next:
//!
//! ```text
//! directory, 2^3       hash 0b010...
//!  000 --+                 |   top 3 bits: slot, top `depth` bits: segment
//!  001 --+-> A depth 1     |
//!  010 --|     |           v                                        A has the hashes that begin with 0,
//!  011 --+     | blocks  +--------+--------+--  --+--------+        in order of the bits that follow
//!  100 ----> B +-------> | bucket | bucket |      | bucket | 0-15
//!  101 ----> C |         +--------+--------+--  --+--------+
//!  110 --+     +-------> | bucket | bucket |      | bucket | 16-31
//!  111 --+-> D depth 2   +--------+--------+--  --+--------+
//! ```
//!
//! A segment grows by a block of 16 buckets. All blocks being of one size, whatever one segment gives up another can use:
//! segments that are copied from one run of memory to a longer one, all at about the same time, leave holes worth 10% of the table.
//!
//! So the order of buckets is the order of hashes, over the whole table and however segments grow, split or merge. A cursor is
//! therefore no more than a hash: what lies below has been seen. That is all there is to SCAN, to active expiry, to a snapshot.
//!
//! A segment that is 92% full is copied to one with another block; at seven blocks it splits in two, and the directory doubles
//! when it must. The most that one insert does is to move one segment, some 930 entries, whose keys it has to fetch
//! to hash them, and to copy the directory, 8 bytes for about 500 entries. Removal mirrors this at 40%.
//!
//! An overflow count says how many entries went past a full bucket, so that a lookup stops at the first bucket with none, and
//! a removal leaves no tombstone but counts back. A count that reached 255 stays until the segment is next copied.
//!
//! Unsafe: buckets are slots of the slab, and entries are only addresses here; each block names the invariant it rests on.
//!
//! - I1: the directory points to initialised segments, which it alone owns: all slots that share a segment's top `depth` bits
//!   to that one. A segment has `count` initialised buckets, 16 to a block or all in one, and owns its blocks alone.
//! - I2: an occupied slot holds the address of an entry that lives until it is taken out of the table; its tag and low bits
//!   are those of the entry.
//! - I3: an entry lies in its home bucket or beyond, and has been counted by every bucket that it went past.
//! - I4: the directory is empty if and only if the table is; while it is being dismantled, its segments are in `remains`.
#![allow(unsafe_code)]

use super::entry::{Entry, Packed};
use super::slab::Slab;
use crate::base::prefetch::prefetch;
use ahash::RandomState;
use smallvec::SmallVec;
use std::hash::{BuildHasher, Hasher};
use std::ptr::NonNull;

mod ahead;

pub(super) use ahead::Awaited;

/// Bits of a scan cursor: a lower bound in the top bits of the hash.
pub const CURSOR_BITS: u32 = 36;
const CURSOR_SHIFT: u32 = 64 - CURSOR_BITS;
const SLOTS: usize = 9;
const OVERFLOW: usize = 9;
const BLOCK: usize = 16;
const BLOCKS_MAX: usize = 7;
const BUCKETS_MAX: usize = BLOCKS_MAX * BLOCK;
/// How many buckets a segment may have.
const SIZES: [u8; 11] = [1, 2, 4, 8, 16, 32, 48, 64, 80, 96, BUCKETS_MAX as u8];
/// Two buddies with no more entries than this become one; well below what makes a segment split.
const MERGE_MAX: usize = 560;
/// At this depth a bucket still spans several cursors.
const DEPTH_MAX: u8 = 28;

const _: () = assert!(size_of::<Bucket>() == 64 && align_of::<Bucket>() == 64);
const _: () = assert!(size_of::<Segment>() == 64);
const _: () = assert!(BUCKETS_MAX * SLOTS <= u16::MAX as usize && BUCKETS_MAX <= u8::MAX as usize);
const _: () = assert!(64 - DEPTH_MAX as u32 - BUCKETS_MAX.ilog2() - 1 > CURSOR_SHIFT);

/// The hash of a key. All of the table's own hashing is here.
#[inline]
pub fn hash_key(hasher: &RandomState, key: &[u8]) -> u64 {
    let mut state = hasher.build_hasher();
    state.write(key);
    state.finish()
}

/// What a bucket knows of a hash: the tag, never 0, and the bit that goes into the address.
#[inline]
fn fingerprint(hash: u64) -> (u8, u64) {
    ((hash as u8).max(1), hash >> 8 << 2 & Packed::HASH_BIT)
}

/// A set of slots of one bucket.
#[derive(Clone, Copy)]
struct Mask(u32);

impl Iterator for Mask {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        if self.0 == 0 {
            return None;
        }
        let slot = self.0.trailing_zeros() as usize;
        self.0 &= self.0 - 1;
        Some(slot)
    }
}

/// One cache line: nine tags, the overflow count, nine addresses of six bytes.
#[repr(C, align(64))]
struct Bucket {
    line: [u8; 64],
}

impl Bucket {
    /// The slots with this tag.
    #[inline]
    fn matches(&self, tag: u8) -> Mask {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: every x86-64 has SSE2; a bucket has 64 bytes and is aligned to as many.
        unsafe {
            use std::arch::x86_64::{_mm_cmpeq_epi8, _mm_load_si128, _mm_movemask_epi8, _mm_set1_epi8};
            let tags = _mm_load_si128(self.line.as_ptr().cast());
            let equal = _mm_movemask_epi8(_mm_cmpeq_epi8(tags, _mm_set1_epi8(tag as i8)));
            Mask(equal as u32 & ((1 << SLOTS) - 1))
        }
        #[cfg(not(target_arch = "x86_64"))]
        Mask((0..SLOTS).fold(0, |mask, slot| mask | ((self.line[slot] == tag) as u32) << slot))
    }

    #[inline]
    fn vacant(&self) -> Mask {
        self.matches(0)
    }

    #[inline]
    fn occupied(&self) -> Mask {
        Mask(!self.vacant().0 & ((1 << SLOTS) - 1))
    }

    #[inline]
    fn overflow(&self) -> u8 {
        self.line[OVERFLOW]
    }

    /// The slot and the address of a key's entry.
    #[inline]
    fn find(&self, hash: u64, key: &[u8]) -> Option<(usize, Packed)> {
        let (tag, bit) = fingerprint(hash);
        for slot in self.matches(tag) {
            let packed = self.get(slot);
            if packed.0 & Packed::HASH_BIT == bit {
                packed.prefetch();
                // SAFETY: I2.
                if unsafe { packed.has_key(key) } {
                    return Some((slot, packed));
                }
            }
        }
        None
    }

    /// The eight bytes that end with the slot's address: two that belong to another field, then six.
    #[inline]
    fn get(&self, slot: usize) -> Packed {
        let start = 8 + 6 * slot;
        let bytes = self.line[start..start + 8].try_into().expect("eight bytes");
        Packed(u64::from_le_bytes(bytes) >> 16)
    }

    fn set(&mut self, slot: usize, tag: u8, packed: Packed) {
        let start = 10 + 6 * slot;
        self.line[start..start + 6].copy_from_slice(&packed.0.to_le_bytes()[..6]);
        self.line[slot] = tag;
    }

    fn clear(&mut self, slot: usize) {
        self.line[slot] = 0;
    }

    fn count_passer(&mut self) {
        self.line[OVERFLOW] = self.line[OVERFLOW].saturating_add(1);
    }

    fn uncount_passer(&mut self) {
        let count = &mut self.line[OVERFLOW];
        assert!(*count > 0, "I3: a full bucket counts who goes past");
        *count -= (*count != u8::MAX) as u8;
    }
}

/// Buckets for the hashes that share their first `depth` bits.
#[repr(C)]
struct Segment {
    blocks: [*mut Bucket; BLOCKS_MAX],
    /// Buckets.
    count: u8,
    depth: u8,
    len: u16,
    expiring: u16,
    /// Buckets of each block.
    block: u8,
}

impl Segment {
    /// A segment of so many buckets with these entries, none of which are equal.
    fn build(slab: &mut Slab, count: u8, depth: u8, entries: impl Iterator<Item = (u64, Packed)>) -> Owner {
        let mut blocks = [std::ptr::null_mut(); BLOCKS_MAX];
        let block = (count as usize).min(BLOCK);
        for start in (0..count as usize).step_by(BLOCK) {
            let buckets = slab.alloc(block * size_of::<Bucket>()).cast::<Bucket>();
            // SAFETY: I1: that many lines were just allocated, aligned to lines, and a zeroed line is a bucket.
            unsafe { buckets.write_bytes(0, block) };
            blocks[start / BLOCK] = buckets.as_ptr();
        }
        let mut segment = Segment { blocks, count, depth, len: 0, expiring: 0, block: block as u8 };
        for (hash, packed) in entries {
            segment.put(hash, packed);
        }
        let owner = slab.alloc(size_of::<Segment>()).cast::<Segment>();
        // SAFETY: I1: a fresh slot of this size.
        unsafe { owner.write(segment) };
        owner
    }

    /// Gives the memory of a segment back.
    ///
    /// # Safety
    /// The directory does not point to it any more.
    unsafe fn free(owner: Owner, slab: &mut Slab) {
        // SAFETY: I1, and the caller's promise: nobody else knows the segment or its blocks.
        unsafe {
            let segment = owner.read();
            let block = segment.block as usize;
            for buckets in segment.blocks.into_iter().filter_map(NonNull::new) {
                slab.free(buckets.cast(), block * size_of::<Bucket>());
            }
            slab.free(owner.cast(), size_of::<Segment>());
        }
    }

    fn slots(&self) -> usize {
        1 + (self.count as usize).div_ceil(BLOCK)
    }

    #[inline]
    fn bucket_ptr(&self, at: usize) -> *mut Bucket {
        debug_assert!(at < self.count as usize);
        self.blocks[at / BLOCK].wrapping_add(at % BLOCK)
    }

    #[inline]
    fn bucket(&self, at: usize) -> &Bucket {
        // SAFETY: I1: `at` is below `count`; the bucket is borrowed with the segment.
        unsafe { &*self.bucket_ptr(at) }
    }

    #[inline]
    fn bucket_mut(&mut self, at: usize) -> &mut Bucket {
        // SAFETY: I1: `at` is below `count`; the bucket is borrowed with the segment.
        unsafe { &mut *self.bucket_ptr(at) }
    }

    fn buckets(&self) -> impl Iterator<Item = &Bucket> {
        (0..self.count as usize).map(|at| self.bucket(at))
    }

    /// The bucket where the search for a hash begins. Only the bits of a cursor count.
    #[inline]
    fn home(&self, hash: u64) -> usize {
        let following = (hash >> CURSOR_SHIFT << CURSOR_SHIFT) << self.depth >> 32;
        ((following * self.count as u64) >> 32) as usize
    }

    #[inline]
    fn after(&self, bucket: usize) -> usize {
        if bucket + 1 == self.count as usize { 0 } else { bucket + 1 }
    }

    /// Finds a key that did not find room in its home bucket, if it is there: the bucket, the slot, the address.
    #[inline(never)]
    fn find_beyond(&self, home: usize, hash: u64, key: &[u8]) -> Option<(usize, usize, Packed)> {
        let mut at = home;
        for _ in 1..self.count {
            at = self.after(at);
            let bucket = self.bucket(at);
            if let Some((slot, packed)) = bucket.find(hash, key) {
                return Some((at, slot, packed));
            }
            if bucket.overflow() == 0 {
                return None;
            }
        }
        None
    }

    /// Adds an entry; there is room.
    fn put(&mut self, hash: u64, packed: Packed) {
        debug_assert!((self.len as usize) < self.count as usize * SLOTS);
        self.len += 1;
        self.expiring += packed.expires() as u16;
        let mut at = self.home(hash);
        loop {
            let next = self.after(at);
            let bucket = self.bucket_mut(at);
            if let Some(slot) = bucket.vacant().next() {
                bucket.set(slot, fingerprint(hash).0, packed);
                return;
            }
            bucket.count_passer();
            at = next;
        }
    }

    fn is_full(&self) -> bool {
        self.len as usize >= fullest(self.count as usize)
    }

    /// All entries with their hashes. Keys are fetched ahead, as most are in no cache.
    fn gather(&self, hasher: &RandomState, into: &mut Gathered) {
        const AHEAD: usize = 2;
        let fetch = |bucket: &Bucket| bucket.occupied().for_each(|slot| bucket.get(slot).prefetch_key());
        self.buckets().take(AHEAD).for_each(fetch);
        for (at, bucket) in self.buckets().enumerate() {
            if at + AHEAD < self.count as usize {
                fetch(self.bucket(at + AHEAD));
            }
            for slot in bucket.occupied() {
                let packed = bucket.get(slot);
                // SAFETY: I2.
                let key = unsafe { packed.get() }.key();
                into.push((hash_key(hasher, key), packed));
            }
        }
    }
}

/// Room for one segment's entries, on the stack.
type Gathered = SmallVec<[(u64, Packed); BUCKETS_MAX * SLOTS]>;

/// Entries that make so many buckets full: 92%, but one bucket may be used up.
const fn fullest(buckets: usize) -> usize {
    if buckets == 1 { SLOTS } else { buckets * SLOTS * 235 / 256 }
}

/// Entries that make so many buckets too many: 40%.
const fn emptiest(buckets: usize) -> usize {
    if buckets == 1 { SLOTS } else { buckets * SLOTS * 2 / 5 }
}

/// The size that this many entries fill to at most 86%, which leaves some time until it must grow.
fn size_for(entries: usize) -> u8 {
    let fits = |&&size: &&u8| entries * 256 <= size as usize * SLOTS * 220;
    SIZES.iter().find(fits).copied().unwrap_or(BUCKETS_MAX as u8)
}

/// The next larger size.
fn size_after(count: u8) -> u8 {
    SIZES.iter().copied().find(|&size| size > count).expect("the largest segment splits")
}

/// A pointer to a segment, in the directory.
type Owner = NonNull<Segment>;

/// Where an entry lies; good until the table changes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// One of the directory's slots of the segment.
    segment: u32,
    home: u8,
    bucket: u8,
    slot: u8,
}

/// A hash table of packed entries.
#[derive(Default)]
pub(super) struct Table {
    directory: Vec<Owner>,
    /// What was the directory of a table that is being dismantled.
    remains: Vec<Owner>,
    /// Entries that are to come while the table is empty.
    planned: usize,
    /// The directory has 2^depth slots.
    depth: u8,
    len: usize,
    expiring: usize,
    loose: usize,
    /// Segments of each depth.
    depths: [u32; DEPTH_MAX as usize + 1],
}

// SAFETY: I1, I2: buckets and entries belong to the store that owns the table, and move with it.
unsafe impl Send for Table {}

impl Table {
    pub fn len(&self) -> usize {
        self.len
    }

    /// Entries that own more than a small slot.
    #[inline]
    pub fn loose(&self) -> usize {
        self.loose
    }

    /// Entries that expire.
    pub fn expiring(&self) -> usize {
        self.expiring
    }

    /// Slots of the slab that the table takes.
    pub fn slots(&self) -> usize {
        self.firsts().map(|first| self.at(first).slots()).sum()
    }

    /// Bytes beside the segments, which the slab counts.
    pub fn bytes(&self) -> usize {
        self.directory.capacity() * size_of::<Owner>()
    }

    /// The slot of the directory for a hash.
    #[inline]
    fn index(&self, hash: u64) -> usize {
        (hash >> 1 >> (63 - self.depth)) as usize
    }

    /// The segment of a slot of the directory.
    #[inline]
    fn at(&self, index: usize) -> &Segment {
        // SAFETY: I1; borrowed with the table.
        unsafe { self.directory[index].as_ref() }
    }

    #[inline]
    fn at_mut(&mut self, index: usize) -> &mut Segment {
        // SAFETY: I1; borrowed with the table.
        unsafe { self.directory[index].as_mut() }
    }

    /// The first slots of all segments.
    fn firsts(&self) -> impl Iterator<Item = usize> {
        let mut next = 0;
        std::iter::from_fn(move || {
            let first = next;
            (first < self.directory.len()).then(|| {
                next = first + self.aliases(first);
                first
            })
        })
    }

    /// The first slot of the directory with the same segment.
    #[inline]
    fn first(&self, index: usize) -> usize {
        index & !(self.aliases(index) - 1)
    }

    /// How many slots of the directory share this one's segment.
    #[inline]
    fn aliases(&self, index: usize) -> usize {
        1 << (self.depth - self.at(index).depth)
    }

    #[inline]
    fn segment(&self, hash: u64) -> Option<&Segment> {
        let owner = self.directory.get(self.index(hash))?;
        // SAFETY: I1; borrowed with the table.
        Some(unsafe { owner.as_ref() })
    }

    /// Finds a key.
    #[inline]
    pub fn locate(&self, hash: u64, key: &[u8]) -> Option<(Place, Packed)> {
        let segment = self.segment(hash)?;
        let home = segment.home(hash);
        let bucket = segment.bucket(home);
        let (at, slot, packed) = match bucket.find(hash, key) {
            Some((slot, packed)) => (home, slot, packed),
            None if bucket.overflow() == 0 => return None,
            None => segment.find_beyond(home, hash, key)?,
        };
        let segment = self.index(hash) as u32;
        let place = Place { segment, home: home as u8, bucket: at as u8, slot: slot as u8 };
        Some((place, packed))
    }

    /// The address in a place. Some entry's, however old the place is; that of the entry it was got for, until the table changes.
    #[inline]
    pub fn at_place(&self, place: Place) -> Packed {
        let segment = self.at(place.segment as usize);
        assert!(place.bucket < segment.count && (place.slot as usize) < SLOTS, "the table is as it was");
        let bucket = segment.bucket(place.bucket as usize);
        assert!(bucket.line[place.slot as usize] != 0, "the table is as it was");
        bucket.get(place.slot as usize)
    }

    /// The address for an entry with this hash.
    pub fn pack(slot: NonNull<u8>, hash: u64, expires: bool, loose: bool) -> Packed {
        Packed::new(slot, expires, loose, fingerprint(hash).1 != 0)
    }

    /// The entry at a place.
    pub fn get(&self, place: Place) -> Packed {
        self.at(place.segment as usize).bucket(place.bucket as usize).get(place.slot as usize)
    }

    /// Puts another entry of the same key in a place.
    pub fn replace(&mut self, place: Place, packed: Packed) {
        let segment = self.at_mut(place.segment as usize);
        let bucket = segment.bucket_mut(place.bucket as usize);
        let slot = place.slot as usize;
        let old = bucket.get(slot);
        bucket.set(slot, bucket.line[slot], packed);
        debug_assert_eq!(old.0 & Packed::HASH_BIT, packed.0 & Packed::HASH_BIT);
        segment.expiring = segment.expiring + packed.expires() as u16 - old.expires() as u16;
        self.count_in(packed);
        self.count_out(old);
    }

    fn count_in(&mut self, packed: Packed) {
        self.len += 1;
        self.expiring += packed.expires() as usize;
        self.loose += packed.is_loose() as usize;
    }

    fn count_out(&mut self, packed: Packed) {
        self.len -= 1;
        self.expiring -= packed.expires() as usize;
        self.loose -= packed.is_loose() as usize;
    }

    /// So many entries are to come: the first of them finds room for all, if the table is empty.
    pub fn plan(&mut self, entries: usize) {
        self.planned = entries;
    }

    /// Makes the segments of an empty table: the planned entries fill them to 75 to 86%.
    fn begin(&mut self, slab: &mut Slab) {
        let most = BUCKETS_MAX * SLOTS * 31 / 40;
        let depth = (0..DEPTH_MAX).find(|&depth| self.planned >> depth <= most).unwrap_or(DEPTH_MAX);
        let count = size_for(self.planned >> depth);
        self.directory =
            (0..1 << depth).map(|_| Segment::build(slab, count, depth, std::iter::empty())).collect();
        (self.planned, self.depth) = (0, depth);
        self.depths[depth as usize] = 1 << depth;
    }

    /// Adds an entry whose key is not in the table.
    pub fn insert(&mut self, slab: &mut Slab, hasher: &RandomState, hash: u64, packed: Packed) {
        if self.directory.is_empty() {
            assert_eq!(self.len, 0, "I4: nothing is added to a table that is being dismantled");
            self.begin(slab);
        }
        loop {
            let index = self.index(hash);
            if !self.at(index).is_full() {
                self.at_mut(index).put(hash, packed);
                break;
            }
            self.grow(slab, hasher, self.first(index));
        }
        self.count_in(packed);
    }

    /// Takes an entry out; its slot is the caller's to free.
    pub fn remove(&mut self, slab: &mut Slab, hasher: &RandomState, place: Place) -> Packed {
        let segment = self.at_mut(place.segment as usize);
        let (mut at, target) = (place.home as usize, place.bucket as usize);
        while at != target {
            let next = segment.after(at);
            segment.bucket_mut(at).uncount_passer();
            at = next;
        }
        let bucket = segment.bucket_mut(target);
        let packed = bucket.get(place.slot as usize);
        bucket.clear(place.slot as usize);
        segment.len -= 1;
        segment.expiring -= packed.expires() as u16;
        let small = (segment.len as usize) < emptiest(segment.count as usize);
        self.count_out(packed);
        if self.len == 0 {
            self.clear(slab);
        } else if small {
            self.shrink(slab, hasher, self.first(place.segment as usize));
        }
        packed
    }

    /// Points all slots of the directory that a segment covers to it.
    fn set_segment(&mut self, first: usize, owner: Owner) {
        // SAFETY: I1: it was just built.
        let aliases = 1 << (self.depth - unsafe { owner.as_ref() }.depth);
        debug_assert!(first & (aliases - 1) == 0);
        self.directory[first..first + aliases].fill(owner);
    }

    /// Copies a segment to another number of buckets.
    fn resize(&mut self, slab: &mut Slab, first: usize, count: u8, entries: &Gathered) {
        let old = self.directory[first];
        let new = Segment::build(slab, count, self.at(first).depth, entries.iter().copied());
        self.set_segment(first, new);
        // SAFETY: I1: its slots point to the new one.
        unsafe { Segment::free(old, slab) };
    }

    /// Makes room in a full segment, if perhaps only in one half of it.
    #[cold]
    fn grow(&mut self, slab: &mut Slab, hasher: &RandomState, first: usize) {
        let mut entries = Gathered::new();
        self.at(first).gather(hasher, &mut entries);
        let count = self.at(first).count;
        if (count as usize) < BUCKETS_MAX {
            self.resize(slab, first, size_after(count), &entries);
        } else {
            self.split(slab, first, &entries);
        }
    }

    /// Replaces a segment by two, with what the next bit of the hash tells apart.
    fn split(&mut self, slab: &mut Slab, mut first: usize, entries: &Gathered) {
        let old = self.directory[first];
        let depth = self.at(first).depth;
        assert!(depth < DEPTH_MAX, "hashes are spread evenly");
        if depth == self.depth {
            self.directory = self.directory.iter().flat_map(|&owner| [owner; 2]).collect();
            self.depth += 1;
            first *= 2;
        }
        let half = 1 << (self.depth - depth - 1);
        for side in 0..2 {
            let mine = entries.iter().copied().filter(|(hash, _)| hash >> (63 - depth) & 1 == side);
            let new = Segment::build(slab, size_for(mine.clone().count()), depth + 1, mine);
            self.set_segment(first + half * side as usize, new);
        }
        // SAFETY: I1: its slots point to the new ones.
        unsafe { Segment::free(old, slab) };
        self.depths[depth as usize] -= 1;
        self.depths[depth as usize + 1] += 2;
    }

    /// Copies a rather empty segment into fewer buckets, or joins it with its buddy.
    #[cold]
    fn shrink(&mut self, slab: &mut Slab, hasher: &RandomState, mut first: usize) {
        let mut joined = false;
        while let Some(lower) = self.mergeable(first) {
            self.merge(slab, hasher, lower);
            first = lower;
            joined = true;
        }
        let count = size_for(self.at(first).len as usize);
        if !joined && count < self.at(first).count {
            let mut entries = Gathered::new();
            self.at(first).gather(hasher, &mut entries);
            self.resize(slab, first, count, &entries);
        }
        while self.depth > 0 && self.depths[self.depth as usize] == 0 {
            self.directory = self.directory.iter().copied().step_by(2).collect();
            self.depth -= 1;
        }
    }

    /// The lower of a segment and its buddy, if both have so few entries that they should be one.
    fn mergeable(&self, first: usize) -> Option<usize> {
        let segment = self.at(first);
        if segment.depth == 0 {
            return None;
        }
        let aliases = self.aliases(first);
        let buddy = self.at(first ^ aliases);
        let few = segment.len as usize + buddy.len as usize <= MERGE_MAX;
        (few && buddy.depth == segment.depth).then_some(first & !aliases)
    }

    fn merge(&mut self, slab: &mut Slab, hasher: &RandomState, lower: usize) {
        let pair = [self.directory[lower], self.directory[lower + self.aliases(lower)]];
        let depth = self.at(lower).depth - 1;
        let mut entries = Gathered::new();
        self.at(lower).gather(hasher, &mut entries);
        self.at(lower + self.aliases(lower)).gather(hasher, &mut entries);
        let new = Segment::build(slab, size_for(entries.len()), depth, entries.iter().copied());
        self.set_segment(lower, new);
        self.depths[depth as usize] += 1;
        self.depths[depth as usize + 1] -= 2;
        // SAFETY: I1: their slots point to the new one.
        pair.into_iter().for_each(|segment| unsafe { Segment::free(segment, slab) });
    }

    /// Gives all segments back; there are no entries.
    fn clear(&mut self, slab: &mut Slab) {
        assert_eq!(self.len, 0);
        let owners: Vec<Owner> = self.firsts().map(|first| self.directory[first]).collect();
        *self = Table::default();
        // SAFETY: I1: the directory is gone.
        owners.into_iter().for_each(|owner| unsafe { Segment::free(owner, slab) });
    }

    /// Begins or goes on to take the table apart: visits up to `budget` buckets and shows `free` the loose entries. True when
    /// the table is empty. Segments are left for the slab to discard, if it does that.
    pub fn dismantle(
        &mut self,
        slab: &mut Slab,
        budget: &mut usize,
        mut free: impl FnMut(&mut Slab, Packed),
    ) -> bool {
        let singly = slab.frees_singly(size_of::<Segment>());
        self.remains.append(&mut self.directory);
        self.expiring = 0;
        while (self.loose > 0 || singly) && *budget > 0 {
            let Some(owner) = self.remains.last_mut() else { break };
            // SAFETY: I1, I4: it lives until the slab discards it; nobody else looks, as the directory is empty.
            let segment = unsafe { owner.as_mut() };
            *budget -= 1;
            let bucket = segment.bucket(segment.count as usize - 1);
            for packed in bucket.occupied().map(|slot| bucket.get(slot)) {
                self.len -= 1;
                if packed.is_loose() {
                    *budget = budget.saturating_sub(1);
                    self.loose -= 1;
                    free(slab, packed);
                }
            }
            segment.count -= 1;
            if segment.count == 0 {
                let aliases = 1 << (self.depth - segment.depth);
                let owner = *owner;
                self.remains.truncate(self.remains.len() - aliases);
                if singly {
                    // SAFETY: I1, I4: nothing leads to it any more.
                    unsafe { Segment::free(owner, slab) };
                }
            }
        }
        let done = self.loose == 0 && (!singly || self.remains.is_empty());
        if done {
            *self = Table::default();
        }
        done
    }

    /// The first cursor beyond a bucket; 0 after the last.
    fn cursor_after(&self, first: usize, bucket: usize) -> u64 {
        let segment = self.at(first);
        let (count, next) = (segment.count as u64, bucket as u64 + 1);
        if next == count {
            return self.cursor_of(first + self.aliases(first));
        }
        let start = self.cursor_of(first) << CURSOR_SHIFT;
        let offset = (next << 32).div_ceil(count) << 32 >> segment.depth;
        (start + offset).div_ceil(1 << CURSOR_SHIFT)
    }

    /// The first cursor of a slot of the directory; 0 beyond the last.
    fn cursor_of(&self, index: usize) -> u64 {
        if index == self.directory.len() { 0 } else { (index as u64) << (CURSOR_BITS - self.depth as u32) }
    }

    /// Visits the entries whose home is the bucket of the cursor, wherever they lie; returns the next cursor, 0 at the end.
    pub fn scan(&self, hasher: &RandomState, cursor: u64, mut visit: impl FnMut(&Entry)) -> u64 {
        let hash = cursor << CURSOR_SHIFT;
        let Some(segment) = self.segment(hash) else { return 0 };
        let home = segment.home(hash);
        let mut at = home;
        for _ in 0..segment.count {
            let bucket = segment.bucket(at);
            bucket.occupied().for_each(|slot| bucket.get(slot).prefetch());
            for slot in bucket.occupied() {
                // SAFETY: I2.
                let entry = unsafe { bucket.get(slot).get() };
                if segment.home(hash_key(hasher, entry.key())) == home {
                    visit(entry);
                }
            }
            if bucket.overflow() == 0 {
                break;
            }
            at = segment.after(at);
        }
        self.cursor_after(self.first(self.index(hash)), home)
    }

    /// Visits the entries of so many buckets from the cursor on, each once, and returns the cursor of the next; 0 at the end.
    /// What the cursor has passed was visited (see `cursor_of_hash`), whatever happens to the table in between.
    pub fn walk(
        &mut self,
        hasher: &RandomState,
        mut cursor: u64,
        buckets: usize,
        visit: &mut dyn FnMut(&mut Entry) -> bool,
    ) -> u64 {
        let mut go_on = true;
        for _ in 0..buckets {
            self.prefetch_ahead(cursor);
            let hash = cursor << CURSOR_SHIFT;
            let Some(segment) = self.segment(hash) else { return 0 };
            let home = segment.home(hash);
            let mut at = home;
            for _ in 0..segment.count {
                let bucket = segment.bucket(at);
                for slot in bucket.occupied() {
                    // SAFETY: I2; the table is borrowed mutably, and an entry is visited once.
                    let entry = unsafe { bucket.get(slot).get_mut() };
                    let hash = hash_key(hasher, entry.key());
                    // The bucket may begin before the cursor, if the segment changed its size.
                    if segment.home(hash) == home && Self::cursor_of_hash(hash) >= cursor {
                        go_on &= visit(entry);
                    }
                }
                if bucket.overflow() == 0 {
                    break;
                }
                at = segment.after(at);
            }
            cursor = self.cursor_after(self.first(self.index(hash)), home);
            if cursor == 0 || !go_on {
                break;
            }
        }
        cursor
    }

    /// Fetches the entries of the bucket after the cursor's, and the next bucket but one.
    fn prefetch_ahead(&self, cursor: u64) {
        const BUCKETS_AHEAD: usize = 3;
        let hash = cursor << CURSOR_SHIFT;
        let Some(segment) = self.segment(hash) else { return };
        let home = segment.home(hash);
        if home + 2 * BUCKETS_AHEAD < segment.count as usize {
            prefetch(segment.bucket_ptr(home + 2 * BUCKETS_AHEAD));
            let bucket = segment.bucket(home + BUCKETS_AHEAD);
            bucket.occupied().for_each(|slot| bucket.get(slot).prefetch());
        }
    }

    /// The cursor at which an entry with this hash is visited.
    #[inline]
    pub fn cursor_of_hash(hash: u64) -> u64 {
        hash >> CURSOR_SHIFT
    }

    /// An entry by chance, all about equally likely.
    pub fn random(&self, rng: &mut dyn FnMut() -> u64) -> Option<&Entry> {
        const TRIES: usize = 64;
        if self.directory.is_empty() {
            return None;
        }
        for _ in 0..TRIES {
            let (index, pick) = (self.index(rng()), rng());
            let segment = self.at(index);
            // Entries of a segment with many slots for its share of the hashes are less likely to be picked: even that out.
            let slots = segment.count as u64 * SLOTS as u64;
            let spread = ((slots as u128) << segment.depth) as f64 / (2.0 * self.len as f64);
            if self.depth > 0 && (pick >> 32) as f64 > spread * u32::MAX as f64 {
                continue;
            }
            let slot = (((pick & u32::MAX as u64) * slots) >> 32) as usize;
            let bucket = segment.bucket(slot / SLOTS);
            if bucket.line[slot % SLOTS] != 0 {
                // SAFETY: I2.
                return Some(unsafe { bucket.get(slot % SLOTS).get() });
            }
        }
        // Hardly ever: the first entry from somewhere on.
        let start = self.index(rng());
        let slots = (start..self.directory.len()).chain(0..start);
        let bucket =
            slots.flat_map(|index| self.at(index).buckets()).find(|bucket| bucket.occupied().0 != 0)?;
        // SAFETY: I2.
        bucket.occupied().next().map(|slot| unsafe { bucket.get(slot).get() })
    }

    /// Visits expiring entries from a cursor on, by the buckets that they lie in. A bucket, an entry, and a segment without
    /// any cost one each of the budget. Moves the cursor; 0 when it has come to the end.
    pub fn walk_expiring(&self, cursor: &mut u64, budget: usize, mut visit: impl FnMut(&Entry)) {
        let mut spent = 0;
        while spent < budget {
            let hash = *cursor << CURSOR_SHIFT;
            let Some(segment) = self.segment(hash).filter(|_| self.expiring > 0) else {
                *cursor = 0;
                return;
            };
            let first = self.first(self.index(hash));
            spent += 1;
            if segment.expiring == 0 {
                *cursor = self.cursor_of(first + self.aliases(first));
            } else {
                let at = segment.home(hash);
                let bucket = segment.bucket(at);
                let expiring =
                    bucket.occupied().map(|slot| bucket.get(slot)).filter(|packed| packed.expires());
                expiring.clone().for_each(Packed::prefetch);
                for packed in expiring {
                    spent += 1;
                    // SAFETY: I2.
                    visit(unsafe { packed.get() });
                }
                *cursor = self.cursor_after(first, at);
            }
            if *cursor == 0 {
                return;
            }
        }
    }

    /// Visits all entries.
    pub fn for_each(&self, visit: &mut dyn FnMut(&Entry)) {
        for bucket in self.firsts().flat_map(|first| self.at(first).buckets()) {
            for slot in bucket.occupied() {
                // SAFETY: I2.
                visit(unsafe { bucket.get(slot).get() });
            }
        }
    }

    /// All entries, in the order of their buckets; those of the buckets ahead are on their way to the cache meanwhile.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        const BUCKETS_AHEAD: usize = 3;
        let buckets = || self.firsts().flat_map(|first| self.at(first).buckets());
        let mut ahead = buckets();
        let mut fetch = move || {
            if let Some(bucket) = ahead.next() {
                bucket.occupied().for_each(|slot| bucket.get(slot).prefetch());
            }
        };
        (0..BUCKETS_AHEAD).for_each(|_| fetch());
        buckets().flat_map(move |bucket| {
            fetch();
            // SAFETY: I2.
            bucket.occupied().map(move |slot| unsafe { bucket.get(slot).get() })
        })
    }

    /// Checks all invariants and shows every entry.
    pub fn verify(&self, hasher: &RandomState, mut visit: impl FnMut(&Entry, Packed)) {
        if self.len == 0 {
            assert!(self.directory.is_empty() && self.expiring == 0 && self.loose == 0, "I4");
            return;
        }
        assert_eq!(self.directory.len(), 1 << self.depth, "I1");
        let (mut len, mut expiring, mut loose) = (0, 0, 0);
        let mut depths = [0; DEPTH_MAX as usize + 1];
        for first in self.firsts() {
            assert_eq!(self.first(first), first, "I1");
            let covered = &self.directory[first..first + self.aliases(first)];
            assert!(covered.iter().all(|&owner| owner == covered[0]), "I1");
            let segment = self.at(first);
            depths[segment.depth as usize] += 1;
            len += segment.len as usize;
            expiring += segment.expiring as usize;
            self.verify_segment(hasher, first, &mut |entry, packed| {
                loose += packed.is_loose() as usize;
                visit(entry, packed);
            });
        }
        assert_eq!((self.len, self.expiring, self.loose), (len, expiring, loose), "totals");
        assert_eq!(self.depths, depths);
        assert!(depths[self.depth as usize] > 0, "the directory is no deeper than its segments");
    }

    fn verify_segment(&self, hasher: &RandomState, first: usize, visit: &mut dyn FnMut(&Entry, Packed)) {
        let segment = self.at(first);
        let mut passers = vec![0usize; segment.count as usize];
        let (mut len, mut expiring) = (0, 0);
        for (at, bucket) in segment.buckets().enumerate() {
            for slot in bucket.occupied() {
                let packed = bucket.get(slot);
                // SAFETY: I2.
                let entry = unsafe { packed.get() };
                let hash = hash_key(hasher, entry.key());
                assert_eq!(self.first(self.index(hash)), first, "an entry lies in its segment");
                assert_eq!(fingerprint(hash), (bucket.line[slot], packed.0 & Packed::HASH_BIT), "I2");
                assert_eq!(packed.expires(), entry.expires(), "I2");
                let mut past = segment.home(hash);
                while past != at {
                    passers[past] += 1;
                    past = segment.after(past);
                }
                len += 1;
                expiring += packed.expires() as u16;
                visit(entry, packed);
            }
        }
        for (bucket, passers) in segment.buckets().zip(passers) {
            let counted = bucket.overflow() as usize;
            assert!(counted == passers || counted == u8::MAX as usize, "I3");
        }
        assert_eq!((segment.len, segment.expiring), (len, expiring), "I1");
    }
}
