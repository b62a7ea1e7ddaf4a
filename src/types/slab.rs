//! Allocates the entries and buckets of one store, and knows to the page what they cost.
//! In: sizes. Out: slots at fixed addresses, aligned to 8 bytes, or to a cache line if that divides the size.
//! Absent: moving slots to close holes, growing in place, what is in a slot.
//!
//! A general allocator pays for what the store does not need: threads, any alignment, size classes 12-25% apart.
//! Here the classes are 8 bytes apart, so that an 88-byte entry costs 88 bytes, and there is no header per slot:
//!
//! ```text
//! region   128 KiB, then doubling up to 2 MiB, mapped from the kernel
//! +---------+---------+---------+---------+--  --+---------+
//! | chunk 0 | chunk 1 | chunk 2 | (free)  |      | chunk n |     64 KiB each, aligned to 64 KiB
//! +---------+---------+---------+---------+--  --+---------+
//!     |
//!     v
//! +--------+------+------+------+------+--  --+--------------+
//! | header | slot | slot | free | slot |      | not carved   |   one size of slot in a chunk
//! | 64 B   |      |      |  |   |      |      | yet          |
//! +--------+------+------+--|---+------+--  --+--------------+
//!     | free ---------------^  (a free slot holds the address of the next one)
//!     | prev, next: chunks of this class with room
//! ```
//!
//! The header of a slot's chunk is found by clearing the low 16 bits of its address. Slots are carved a page at a
//! time, so a page that was never needed is never touched and a nearly empty store costs a few pages, whatever it has
//! mapped. A chunk whose last slot is freed goes back to its region and may serve another class; beyond a small reserve
//! its pages go back to the kernel, and so does a region without a chunk in use.
//!
//! Regions are small at first: hundreds of databases may hold a handful of keys each. They decline huge pages: a fault that
//! clears 2 MiB is a pause of its own (7 to 15 ms on a virtual machine, where the longest insert is else 0.3 to 0.6 ms, and
//! lookups at a million keys gained nothing that could be told from noise), and pages could not be counted. Over 1 KiB the
//! slab passes requests on to the global allocator.
//!
//! Unsafe: an allocator is made of raw memory; each block names the invariant it rests on.
//!
//! - I1: a mapped region stays mapped until no chunk of it is in use; a chunk in use begins with a valid `Chunk`.
//! - I2: a slot is either handed out, or on the free list of its chunk, or beyond `carved`; never two of these.
//! - I3: `open[class]` lists exactly the chunks of the class that have room (free or not carved), each once.
//! - I4: `resident` is the sum of the touched pages of all regions; `idle` is the part that lies in free chunks.
#![allow(unsafe_code)]

use std::alloc::{Layout, handle_alloc_error};
use std::ptr::{self, NonNull};

/// The largest slot; more than this comes from the global allocator.
pub const SLOT_BYTES_MAX: usize = 1024;
const SLOT_BYTES_MIN: usize = 16;
const CHUNK_BYTES: usize = 64 << 10;
const PAGE_BYTES: usize = 4 << 10;
const REGION_CHUNKS_MIN: usize = 2;
const REGION_CHUNKS_MAX: usize = 32;
const REGION_BYTES_MAX: usize = REGION_CHUNKS_MAX * CHUNK_BYTES;
/// Free chunks keep this much memory; what is over goes back to the kernel.
const IDLE_BYTES_MAX: usize = REGION_BYTES_MAX;

const LINE_BYTES: usize = 64;
const CLASSES: usize = (SLOT_BYTES_MAX - SLOT_BYTES_MIN) / 8 + 1;
/// A store that was emptied keeps its memory only if it is no more than this.
const EMPTY_BYTES_MAX: usize = 64 << 10;

/// The head of a chunk in use.
#[repr(C, align(64))]
struct Chunk {
    /// The first free slot; each holds the address of the next one.
    free: *mut Slot,
    next: *mut Chunk,
    prev: *mut Chunk,
    region: u32,
    slot_bytes: u32,
    /// The chunk's place in its region.
    place: u16,
    class: u16,
    used: u16,
    carved: u16,
    capacity: u16,
}

/// A free slot.
struct Slot {
    next: *mut Slot,
}

const _: () = assert!(size_of::<Chunk>() == LINE_BYTES);
const _: () = assert!(size_of::<Slot>() <= SLOT_BYTES_MIN);
const _: () = assert!((CHUNK_BYTES - LINE_BYTES) / SLOT_BYTES_MIN <= u16::MAX as usize);

impl Chunk {
    fn has_room(&self) -> bool {
        !self.free.is_null() || self.carved < self.capacity
    }
}

/// A mapping of several chunks.
struct Region {
    /// Null when the region was given back; its number is then free for the next one.
    base: *mut u8,
    chunks: u8,
    /// A bit for each chunk that is not in use.
    free: u32,
    /// Pages touched, counted from the start of each chunk.
    pages: [u8; REGION_CHUNKS_MAX],
    /// Whether `Slab::roomy` names this region.
    listed: bool,
}

impl Region {
    const HOLE: Region =
        Region { base: ptr::null_mut(), chunks: 0, free: 0, pages: [0; REGION_CHUNKS_MAX], listed: false };

    fn all(&self) -> u32 {
        if self.chunks == 0 { 0 } else { u32::MAX >> (REGION_CHUNKS_MAX - self.chunks as usize) }
    }

    fn bytes(&self) -> usize {
        self.chunks as usize * CHUNK_BYTES
    }

    fn pages_bytes(&self) -> usize {
        self.pages.iter().map(|&pages| pages as usize * PAGE_BYTES).sum()
    }
}

/// The allocator of one store. An empty one owns nothing.
#[derive(Default)]
pub struct Slab {
    /// Everything comes from the global allocator: many small stores would waste whole pages each.
    on_heap: bool,
    /// The first chunk with room of each class, or null; empty before the first allocation.
    open: Vec<*mut Chunk>,
    regions: Vec<Region>,
    /// Regions that may have a free chunk; checked when used.
    roomy: Vec<u32>,
    /// Numbers of regions that were unmapped.
    holes: Vec<u32>,
    chunks_used: usize,
    chunks_mapped: usize,
    /// Bytes of touched pages in all regions.
    resident: usize,
    /// The part of `resident` that lies in free chunks.
    idle: usize,
    /// Bytes that the global allocator gave.
    large: usize,
    /// Bytes of the slots that are handed out, large ones aside.
    live: usize,
}

// SAFETY: I1: the chunks and regions that the pointers name are reachable through this value alone.
unsafe impl Send for Slab {}

impl Slab {
    /// Resident bytes: touched pages, large slots and the slab's own lists.
    pub fn bytes(&self) -> usize {
        self.resident
            + self.large
            + self.open.capacity() * size_of::<*mut Chunk>()
            + self.regions.capacity() * size_of::<Region>()
            + (self.roomy.capacity() + self.holes.capacity()) * size_of::<u32>()
    }

    /// Bytes of what is handed out: what `bytes` comes down to, in time, as freed slots are used again.
    pub fn live_bytes(&self) -> usize {
        self.live + self.large
    }

    /// A slab that has no chunks, for a store inside a value: each slot is the global allocator's.
    pub fn on_heap() -> Self {
        let mut slab = Slab::default();
        slab.on_heap = true;
        slab
    }

    /// Whether slots of so many bytes have to be freed one by one: `discard_region` does not take them along.
    #[inline]
    pub fn frees_singly(&self, bytes: usize) -> bool {
        bytes > SLOT_BYTES_MAX || self.on_heap
    }

    /// What a slot for `bytes` really takes.
    pub const fn slot_bytes(bytes: usize) -> usize {
        if bytes < SLOT_BYTES_MIN { SLOT_BYTES_MIN } else { bytes.next_multiple_of(8) }
    }

    /// A slot of at least `bytes`, not initialised, aligned to 8; to 64 if `bytes` is a multiple of that, up to 1 KiB.
    #[inline]
    pub fn alloc(&mut self, bytes: usize) -> NonNull<u8> {
        if self.frees_singly(bytes) {
            return self.alloc_large(bytes);
        }
        self.alloc_class((Self::slot_bytes(bytes) - SLOT_BYTES_MIN) / 8)
    }

    /// Takes a slot back.
    ///
    /// # Safety
    /// `slot` came from `alloc(bytes)` of this slab, with `bytes` of the same `slot_bytes`, and is not used any more.
    #[inline]
    pub unsafe fn free(&mut self, slot: NonNull<u8>, bytes: usize) {
        if self.frees_singly(bytes) {
            // SAFETY: the caller's promise: this is how `alloc_large` got it.
            unsafe { std::alloc::dealloc(slot.as_ptr(), Self::large_layout(bytes)) };
            self.large -= Self::slot_bytes(bytes);
        } else {
            // SAFETY: the caller's promise; up to this size every slot lies in a chunk.
            unsafe { self.free_slot(slot) };
        }
    }

    #[inline]
    fn alloc_class(&mut self, class: usize) -> NonNull<u8> {
        if let Some(&chunk) = self.open.get(class)
            && !chunk.is_null()
        {
            // SAFETY: I1, I3: a listed chunk is in use. I2: a slot on the free list is nobody's, and initialised as `Slot`.
            unsafe {
                let slot = (*chunk).free;
                if !slot.is_null() {
                    self.live += class * 8 + SLOT_BYTES_MIN;
                    (*chunk).free = (*slot).next;
                    (*chunk).used += 1;
                    if !(*chunk).has_room() {
                        self.unlink(chunk);
                    }
                    return NonNull::new_unchecked(slot.cast());
                }
            }
        }
        self.alloc_slow(class)
    }

    /// No slot at hand: carves another page, of a fresh chunk if need be.
    #[cold]
    fn alloc_slow(&mut self, class: usize) -> NonNull<u8> {
        if self.open.is_empty() {
            self.open = vec![ptr::null_mut(); CLASSES];
        }
        if self.open[class].is_null() {
            let chunk = self.take_chunk(class);
            // SAFETY: I1: `take_chunk` has just made it; I3: a fresh chunk has room and was not listed.
            unsafe { self.link(chunk) };
        }
        // SAFETY: I3: it is in use and has room; its free list is empty, or `alloc_class` had used it, or it is fresh.
        unsafe { self.carve(self.open[class]) };
        self.alloc_class(class)
    }

    /// Puts the slots of the next untouched page on the free list, in order of address; at least one slot.
    ///
    /// # Safety
    /// The chunk is in use, not wholly carved, and its free list is empty.
    unsafe fn carve(&mut self, chunk: *mut Chunk) {
        // SAFETY: I1, I2: what lies beyond `carved` is nobody's, and `capacity` slots fit the chunk.
        unsafe {
            let bytes = (*chunk).slot_bytes as usize;
            let start = LINE_BYTES + (*chunk).carved as usize * bytes;
            let page_end = (start + bytes).next_multiple_of(PAGE_BYTES);
            let room = ((*chunk).capacity - (*chunk).carved) as usize;
            let count = ((page_end - start) / bytes).clamp(1, room);
            let first = chunk.cast::<u8>().add(start);
            for i in 0..count {
                let slot = first.add(i * bytes).cast::<Slot>();
                let next = if i + 1 < count { first.add((i + 1) * bytes).cast() } else { ptr::null_mut() };
                slot.write(Slot { next });
            }
            (*chunk).free = first.cast();
            (*chunk).carved += count as u16;
            self.touch((*chunk).region, (*chunk).place, start + count * bytes);
        }
    }

    /// Notes that a chunk is used up to `end` bytes.
    fn touch(&mut self, region: u32, place: u16, end: usize) {
        let pages = &mut self.regions[region as usize].pages[place as usize];
        let now = end.div_ceil(PAGE_BYTES) as u8;
        if now > *pages {
            self.resident += (now - *pages) as usize * PAGE_BYTES;
            *pages = now;
        }
    }

    /// # Safety
    /// `slot` was handed out from a chunk of this slab and is not used any more.
    #[inline]
    unsafe fn free_slot(&mut self, slot: NonNull<u8>) {
        let chunk = slot.as_ptr().map_addr(|address| address & !(CHUNK_BYTES - 1)).cast::<Chunk>();
        // SAFETY: I1: chunks are aligned to their size, so this is the head of the slot's chunk. I2: the slot becomes
        // free and nothing else.
        unsafe {
            let had_room = (*chunk).has_room();
            let slot = slot.as_ptr().cast::<Slot>();
            self.live -= (*chunk).slot_bytes as usize;
            slot.write(Slot { next: (*chunk).free });
            (*chunk).free = slot;
            (*chunk).used -= 1;
            if !had_room {
                self.link(chunk);
            }
            if (*chunk).used == 0 {
                self.unlink(chunk);
                self.release_chunk((*chunk).region, (*chunk).place);
            }
        }
    }

    /// # Safety
    /// The chunk is in use and not listed.
    unsafe fn link(&mut self, chunk: *mut Chunk) {
        // SAFETY: I1, I3: all chunks on the list are in use.
        unsafe {
            let head = &mut self.open[(*chunk).class as usize];
            (*chunk).prev = ptr::null_mut();
            (*chunk).next = *head;
            if !head.is_null() {
                (**head).prev = chunk;
            }
            *head = chunk;
        }
    }

    /// # Safety
    /// The chunk is in use and listed.
    unsafe fn unlink(&mut self, chunk: *mut Chunk) {
        // SAFETY: I1, I3: all chunks on the list are in use.
        unsafe {
            let (prev, next) = ((*chunk).prev, (*chunk).next);
            if prev.is_null() {
                self.open[(*chunk).class as usize] = next;
            } else {
                (*prev).next = next;
            }
            if !next.is_null() {
                (*next).prev = prev;
            }
        }
    }

    /// Turns a free chunk into one for slots of `class`.
    fn take_chunk(&mut self, class: usize) -> *mut Chunk {
        let (region, place) = loop {
            match self.roomy.last() {
                Some(&region) if self.regions[region as usize].free != 0 => {
                    break (region, self.regions[region as usize].free.trailing_zeros() as u16);
                }
                Some(&region) => {
                    self.regions[region as usize].listed = false;
                    self.roomy.pop();
                }
                None => self.map_region(),
            }
        };
        let slot_bytes = SLOT_BYTES_MIN + class * 8;
        let home = &mut self.regions[region as usize];
        home.free &= !(1 << place);
        self.idle -= home.pages[place as usize] as usize * PAGE_BYTES;
        self.chunks_used += 1;
        // SAFETY: I1: the region is mapped and has this many chunks, and this one was not in use.
        let chunk = unsafe {
            let chunk = home.base.add(place as usize * CHUNK_BYTES).cast::<Chunk>();
            chunk.write(Chunk {
                free: ptr::null_mut(),
                next: ptr::null_mut(),
                prev: ptr::null_mut(),
                region,
                slot_bytes: slot_bytes as u32,
                place,
                class: class as u16,
                used: 0,
                carved: 0,
                capacity: ((CHUNK_BYTES - LINE_BYTES) / slot_bytes) as u16,
            });
            chunk
        };
        self.touch(region, place, LINE_BYTES);
        chunk
    }

    /// Gives a chunk back to its region, and memory over the reserve to the kernel.
    fn release_chunk(&mut self, number: u32, place: u16) {
        self.chunks_used -= 1;
        let region = &mut self.regions[number as usize];
        region.free |= 1 << place;
        self.idle += region.pages[place as usize] as usize * PAGE_BYTES;
        if !region.listed {
            region.listed = true;
            self.roomy.push(number);
        }
        if self.chunks_used == 0 && self.resident > EMPTY_BYTES_MAX {
            // There are few regions: most went when they were emptied.
            for number in 0..self.regions.len() as u32 {
                if !self.regions[number as usize].base.is_null() {
                    self.unmap_region(number);
                }
            }
        } else if self.idle > IDLE_BYTES_MAX {
            let region = &mut self.regions[number as usize];
            if region.free == region.all() {
                self.unmap_region(number);
            } else {
                let pages = &mut region.pages[place as usize];
                // SAFETY: I1: the chunk is mapped; it is free, so that nobody needs what it holds.
                let done = unsafe {
                    let start = region.base.add(place as usize * CHUNK_BYTES);
                    libc::madvise(start.cast(), CHUNK_BYTES, libc::MADV_DONTNEED)
                };
                if done == 0 {
                    self.idle -= *pages as usize * PAGE_BYTES;
                    self.resident -= *pages as usize * PAGE_BYTES;
                    *pages = 0;
                }
            }
        }
    }

    /// Maps another region: as large as all before it, within limits.
    fn map_region(&mut self) {
        let chunks = self.chunks_mapped.clamp(REGION_CHUNKS_MIN, REGION_CHUNKS_MAX).next_power_of_two();
        let base = map(chunks * CHUNK_BYTES, CHUNK_BYTES);
        let number = self.holes.pop().unwrap_or_else(|| {
            self.regions.push(Region::HOLE);
            self.regions.len() as u32 - 1
        });
        let region = &mut self.regions[number as usize];
        let listed = region.listed;
        *region = Region { base, chunks: chunks as u8, listed: true, ..Region::HOLE };
        region.free = region.all();
        self.chunks_mapped += chunks;
        if !listed {
            self.roomy.push(number);
        }
    }

    fn unmap_region(&mut self, number: u32) {
        let region = &mut self.regions[number as usize];
        assert_eq!(region.free, region.all(), "I1: a region with chunks in use stays mapped");
        self.resident -= region.pages_bytes();
        self.idle -= region.pages_bytes();
        self.chunks_mapped -= region.chunks as usize;
        // SAFETY: I1: mapped with this size, and no chunk of it is in use.
        unsafe { unmap(region.base, region.bytes()) };
        *region = Region { listed: region.listed, ..Region::HOLE };
        self.holes.push(number);
    }

    /// Unmaps one region whatever lies in it; true when none is left. For a store that is thrown away.
    ///
    /// # Safety
    /// No slot that lies in a region is used any more, not even to free it.
    pub unsafe fn discard_region(&mut self) -> bool {
        (self.open, self.roomy, self.holes) = Default::default();
        (self.chunks_used, self.idle, self.live) = (0, 0, 0);
        while let Some(region) = self.regions.pop() {
            if !region.base.is_null() {
                self.resident -= region.pages_bytes();
                self.chunks_mapped -= region.chunks as usize;
                // SAFETY: I1 ends here for this region, by the caller's promise.
                unsafe { unmap(region.base, region.bytes()) };
                break;
            }
        }
        if self.regions.is_empty() {
            assert_eq!(self.resident, 0, "I4: all pages lie in regions");
            self.regions = Vec::new();
        }
        self.regions.is_empty()
    }

    #[cold]
    fn alloc_large(&mut self, bytes: usize) -> NonNull<u8> {
        let layout = Self::large_layout(bytes);
        // SAFETY: the size is not zero.
        let slot = unsafe { std::alloc::alloc(layout) };
        self.large += layout.size();
        NonNull::new(slot).unwrap_or_else(|| handle_alloc_error(layout))
    }

    fn large_layout(bytes: usize) -> Layout {
        let bytes = Self::slot_bytes(bytes);
        let align = if bytes.is_multiple_of(LINE_BYTES) && bytes <= SLOT_BYTES_MAX { LINE_BYTES } else { 8 };
        Layout::from_size_align(bytes, align).expect("a slot fits the address space")
    }
}

impl Slab {
    /// Checks all invariants; returns how many slots are handed out from chunks.
    pub fn verify(&self) -> usize {
        let (mut used, mut chunks, mut resident, mut idle) = (0, 0, 0, 0);
        let mut with_room = 0;
        for (number, region) in self.regions.iter().enumerate().filter(|(_, region)| !region.base.is_null()) {
            assert!(region.free == 0 || region.listed, "a region with free chunks is listed");
            resident += region.pages_bytes();
            for place in 0..region.chunks as usize {
                if region.free >> place & 1 == 1 {
                    idle += region.pages[place] as usize * PAGE_BYTES;
                    continue;
                }
                // SAFETY: I1: the chunk is in use.
                let chunk = unsafe { &*region.base.add(place * CHUNK_BYTES).cast::<Chunk>() };
                assert_eq!((chunk.region as usize, chunk.place as usize), (number, place), "I1");
                assert!(
                    chunk.used > 0 && chunk.carved <= chunk.capacity,
                    "I1: a chunk in use holds something"
                );
                let mut free = 0;
                let mut slot = chunk.free;
                while !slot.is_null() {
                    free += 1;
                    // SAFETY: I2: a slot on the free list holds the address of the next.
                    slot = unsafe { (*slot).next };
                }
                assert_eq!(chunk.used + free, chunk.carved, "I2");
                used += chunk.used as usize;
                chunks += 1;
                with_room += chunk.has_room() as usize;
            }
        }
        let mut listed = 0;
        for (class, &head) in self.open.iter().enumerate() {
            let mut chunk = head;
            while !chunk.is_null() {
                // SAFETY: I1, I3: a listed chunk is in use.
                let head = unsafe { &*chunk };
                assert!(head.has_room() && head.class as usize == class, "I3");
                listed += 1;
                chunk = head.next;
            }
        }
        assert_eq!(listed, with_room, "I3");
        assert_eq!((self.resident, self.idle), (resident, idle), "I4");
        assert_eq!(self.chunks_used, chunks);
        used
    }
}

impl Drop for Slab {
    fn drop(&mut self) {
        // The empty slab that `discard_region` leaves behind is dropped, too: it has nothing to discard.
        // SAFETY: I1: the slots end with the slab that they were borrowed from.
        while !self.regions.is_empty() && !unsafe { self.discard_region() } {}
    }
}

/// Maps fresh zeroed memory at a multiple of `align`.
fn map(bytes: usize, align: usize) -> *mut u8 {
    let map = |bytes: usize| {
        let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new anonymous mapping touches nothing that exists.
        let base = unsafe { libc::mmap(ptr::null_mut(), bytes, access, kind, -1, 0) };
        if base == libc::MAP_FAILED {
            handle_alloc_error(Layout::from_size_align(bytes, PAGE_BYTES).expect("a region's size is valid"));
        }
        base.cast::<u8>()
    };
    let mut base = map(bytes);
    if !base.addr().is_multiple_of(align) {
        // SAFETY: mapped just now. The second mapping holds an aligned part of the wanted size; the rest goes.
        unsafe {
            unmap(base, bytes);
            let loose = map(bytes + align);
            let before = loose.addr().next_multiple_of(align) - loose.addr();
            base = loose.add(before);
            if before > 0 {
                unmap(loose, before);
            }
            unmap(base.add(bytes), align - before);
        }
    }
    assert!((base.addr() + bytes) >> 48 == 0, "addresses of slots fit 48 bits");
    // SAFETY: advice on our own mapping; a kernel without huge pages declines it, and nothing is lost.
    unsafe { libc::madvise(base.cast(), bytes, libc::MADV_NOHUGEPAGE) };
    base
}

/// # Safety
/// The range is mapped and not used any more.
unsafe fn unmap(base: *mut u8, bytes: usize) {
    // SAFETY: the caller's promise. It fails only when the kernel has no room to split a mapping: then the pages at least go.
    unsafe {
        if libc::munmap(base.cast(), bytes) != 0 {
            libc::madvise(base.cast(), bytes, libc::MADV_DONTNEED);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_empty_slab_owns_nothing() {
        assert_eq!(Slab::default().bytes(), 0);
    }

    #[test]
    fn the_last_slot_gives_large_regions_back() {
        let mut slab = Slab::default();
        let slots: Vec<_> = (0..100_000).map(|_| slab.alloc(88)).collect();
        assert!(slab.bytes() >= 8_800_000 && slab.bytes() < 8_900_000, "{}", slab.bytes());
        slab.verify();
        for slot in slots {
            // SAFETY: from `alloc` above.
            unsafe { slab.free(slot, 88) };
        }
        assert_eq!(slab.verify(), 0);
        assert!(slab.bytes() < 10_000, "{}", slab.bytes());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        /// Slots never overlap, keep what is written to them, and all of them can be freed in any order.
        #[test]
        fn slots_are_disjoint(steps in prop::collection::vec((0usize..1400, any::<u16>(), 0u8..3), 1..600)) {
            let mut slab = Slab::default();
            let mut live: Vec<(NonNull<u8>, usize, u8)> = Vec::new();
            for (step, (bytes, pick, action)) in steps.into_iter().enumerate() {
                if action == 0 && !live.is_empty() {
                    let (slot, bytes, mark) = live.swap_remove(pick as usize % live.len());
                    // SAFETY: a live slot of this size.
                    unsafe {
                        let all = std::slice::from_raw_parts(slot.as_ptr(), bytes);
                        prop_assert!(all.iter().all(|&byte| byte == mark));
                        slab.free(slot, bytes);
                    }
                } else {
                    let slot = slab.alloc(bytes);
                    prop_assert!(slot.as_ptr().addr().is_multiple_of(8));
                    // SAFETY: a fresh slot of this size.
                    unsafe { slot.as_ptr().write_bytes(step as u8, bytes) };
                    live.push((slot, bytes, step as u8));
                }
                let small = live.iter().filter(|(_, bytes, _)| *bytes <= SLOT_BYTES_MAX).count();
                prop_assert_eq!(slab.verify(), small);
                let live_bytes: usize = live.iter().map(|(_, bytes, _)| Slab::slot_bytes(*bytes)).sum();
                prop_assert_eq!(slab.live_bytes(), live_bytes);
            }
            for (slot, bytes, _) in live {
                // SAFETY: a live slot of this size.
                unsafe { slab.free(slot, bytes) };
            }
            prop_assert_eq!(slab.verify(), 0);
        }
    }
}
