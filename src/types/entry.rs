//! One key with its value: a single allocation for everything small.
//! In: a `Draft` (key, value, expiry, access clock). Out: an `Entry`, read and changed in place.
//! Absent: allocation and lookup (see `slab`, `table`), what the access clock means (seconds, or minutes and a counter).
//!
//! ```text
//!  head, 8 bytes              then, padded to a multiple of 8
//! +-----------+------------+ +---------+-----------------------+------+
//! | clock:24  | lengths:30 | | expiry  |                       | key, | inline: value bytes; key length 8 bits,
//! | type:3    | boxed:1    | | i64 ms, |   nothing             | value|         value length 16 bits
//! | mark:1    | expires:1  | | or      +-----------------------+------+
//! | encoding:4|            | | nothing |   i64                 | key  | int (encoding Int); key length 30 bits
//! |           |            | |         +-----------+-----------+------+
//! |           |            | |         | Box<Obj.> | accounted | key  | boxed; key length 30 bits
//! +-----------+------------+ +---------+-----------+-----------+------+
//! ```
//!
//! A string, or a collection in its packed form, is inline when its key has at most 255 bytes and the whole entry at most
//! 1 KiB; otherwise it is an `Object`. The encoding of a string is a label that OBJECT ENCODING answers, and says nothing about the layout, but for Int.
//!
//! An `Entry` is a reference to all bytes of its slot (a slice behind a head), so that all but the boxed pointer is read and
//! written by safe code. A `Packed` is its address as a bucket holds it.
//!
//! - I1: the body is as long as the head says, rounded up with the head to a multiple of 8, and at least 16 in all.
//! - I2: in the boxed layout the first word of the payload is a pointer from `Box::into_raw`, owned by this entry alone.
//!
//! Unsafe: a slot becomes an entry by a cast, and a box becomes a word.
#![allow(unsafe_code)]

use super::collection::Collection;
use super::slab::{SLOT_BYTES_MAX, Slab};
pub use super::{Encoding, Object, Type};
use crate::base::prefetch::prefetch;
use std::ptr::{self, NonNull};

/// The longest key that an entry can hold: 1 GiB less one, twice what Redis allows by default.
pub const KEY_BYTES_MAX: usize = LENGTH_MASK as usize;
/// Access clocks have 24 bits.
pub const ACCESS_MAX: u32 = (1 << 24) - 1;

const HEAD_BYTES: usize = 8;
const WORD: usize = 8;
const INLINE_KEY_MAX: usize = 0xFF;
const LENGTH_MASK: u32 = (1 << 30) - 1;
/// In the clock word: see `Entry::is_marked`.
const MARK: u32 = 1 << 27;
const BOXED: u32 = 1 << 30;
const EXPIRES: u32 = 1 << 31;

/// A key and its value, in place.
#[repr(C, align(8))]
pub struct Entry {
    /// access:24, type:3, mark:1, encoding:4, from the low bits up.
    clock: u32,
    /// Inline: key length:8, value length:16; otherwise key length:30. Then boxed:1, expires:1.
    shape: u32,
    body: [u8],
}

const _: () = assert!(Type::ALL.len() <= 8, "three bits for a type");

/// What a key holds.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(test, derive(PartialEq))]
pub enum Value<'a> {
    Int(i64),
    Bytes(&'a [u8]),
    Object(&'a Object),
}

/// The value of an entry that is to be written.
pub(super) enum Payload<'a> {
    Inline(&'a [u8]),
    Int(i64),
    Boxed(Box<Object>),
}

/// An entry that is to be written.
pub(super) struct Draft<'a> {
    pub key: &'a [u8],
    pub payload: Payload<'a>,
    pub kind: Type,
    pub encoding: Encoding,
    pub expiry: Option<i64>,
    pub access: u32,
}

/// Whether key and value fit one small slot.
pub(super) fn fits_inline(key: usize, value: usize, expires: bool) -> bool {
    key <= INLINE_KEY_MAX && HEAD_BYTES + expires as usize * WORD + key + value <= SLOT_BYTES_MAX
}

impl Draft<'_> {
    /// The size of the entry, a multiple of 8.
    pub fn bytes(&self) -> usize {
        let payload = match &self.payload {
            Payload::Inline(value) => value.len(),
            Payload::Int(_) => WORD,
            Payload::Boxed(_) => 2 * WORD,
        };
        Slab::slot_bytes(HEAD_BYTES + self.expiry.is_some() as usize * WORD + payload + self.key.len())
    }

    /// See `Entry::accounted`.
    pub fn accounted(&self) -> usize {
        if let Payload::Boxed(object) = &self.payload { object.bytes_allocated() } else { 0 }
    }

    /// Makes the entry; what the slot held before is forgotten, not dropped.
    ///
    /// # Safety
    /// `slot` is writable for `self.bytes()`, aligned to 8, and neither key nor value lie in it.
    pub unsafe fn write(self, slot: NonNull<u8>) {
        let bytes = self.bytes();
        assert!(self.key.len() <= KEY_BYTES_MAX, "keys are shorter than 1 GiB");
        debug_assert_eq!(matches!(self.payload, Payload::Int(_)), self.encoding == Encoding::Int);
        let mut shape = self.key.len() as u32;
        if let Payload::Inline(value) = self.payload {
            debug_assert!(fits_inline(self.key.len(), value.len(), self.expiry.is_some()));
            shape |= (value.len() as u32) << 8;
        }
        shape |= BOXED * matches!(self.payload, Payload::Boxed(_)) as u32;
        shape |= EXPIRES * self.expiry.is_some() as u32;
        let clock = self.access & ACCESS_MAX | (self.kind as u32) << 24 | (self.encoding as u32) << 28;
        // SAFETY: the caller's promise: a slot of `bytes`, aligned for the head. I1: all fields end within `bytes`, which
        // was computed from the same lengths.
        unsafe {
            let slot = slot.as_ptr();
            // The padding is in the last word; the rest is written below.
            slot.add(bytes - WORD).cast::<u64>().write(0);
            slot.cast::<u32>().write(clock);
            slot.add(4).cast::<u32>().write(shape);
            let mut at = slot.add(HEAD_BYTES);
            if let Some(expiry) = self.expiry {
                at.cast::<i64>().write(expiry);
                at = at.add(WORD);
            }
            match self.payload {
                Payload::Inline(value) => {
                    ptr::copy_nonoverlapping(value.as_ptr(), at.add(self.key.len()), value.len());
                }
                Payload::Int(value) => {
                    at.cast::<i64>().write(value);
                    at = at.add(WORD);
                }
                Payload::Boxed(object) => {
                    at.add(WORD).cast::<u64>().write(object.bytes_allocated() as u64);
                    at.cast::<u64>().write(Box::into_raw(object).expose_provenance() as u64);
                    at = at.add(2 * WORD);
                }
            }
            ptr::copy_nonoverlapping(self.key.as_ptr(), at, self.key.len());
        }
    }
}

impl Entry {
    pub fn key(&self) -> &[u8] {
        let start = self.key_start();
        &self.body[start..start + self.key_len()]
    }

    pub fn value(&self) -> Value<'_> {
        if self.is_boxed() {
            match self.object() {
                Object::Bytes(bytes) => Value::Bytes(bytes),
                object => Value::Object(object),
            }
        } else if self.is_int() {
            Value::Int(i64::from_ne_bytes(self.word(self.payload_start())))
        } else {
            let start = self.key_start() + self.key_len();
            Value::Bytes(&self.body[start..start + self.value_len()])
        }
    }

    /// The collection; None if the entry holds another type.
    #[inline]
    pub fn view<T: Collection>(&self) -> Option<T::View<'_>> {
        if self.kind() != T::TYPE {
            return None;
        }
        Some(match self.value() {
            Value::Bytes(bytes) => T::view_packed(self.encoding(), bytes),
            Value::Object(object) => T::of(object).view(),
            Value::Int(_) => unreachable!("only strings are integers"),
        })
    }

    pub fn kind(&self) -> Type {
        Type::ALL[(self.clock >> 24 & 7) as usize]
    }

    pub fn encoding(&self) -> Encoding {
        Encoding::ALL[(self.clock >> 28) as usize]
    }

    /// Changes the label; whether a string is an integer is no label.
    pub fn set_encoding(&mut self, encoding: Encoding) {
        assert_eq!(encoding == Encoding::Int, self.is_int(), "the encoding Int has a layout of its own");
        self.clock = self.clock & !(15 << 28) | (encoding as u32) << 28;
    }

    /// Unix time in milliseconds.
    pub fn expiry(&self) -> Option<i64> {
        self.expires().then(|| i64::from_ne_bytes(self.word(0)))
    }

    /// The access clock, 24 bits.
    pub fn access(&self) -> u32 {
        self.clock & ACCESS_MAX
    }

    pub fn set_access(&mut self, access: u32) {
        self.clock = self.clock & !ACCESS_MAX | access & ACCESS_MAX;
    }

    /// A mark for whoever walks over the store (a snapshot), kept while the entry's value is changed.
    pub fn is_marked(&self) -> bool {
        self.clock & MARK != 0
    }

    pub fn set_mark(&mut self, marked: bool) {
        self.clock = self.clock & !MARK | (MARK * marked as u32);
    }

    /// The integer, to be changed in place.
    pub fn as_int_mut(&mut self) -> Option<&mut i64> {
        if !self.is_int() {
            return None;
        }
        let start = self.payload_start();
        let word = &mut self.body[start..start + WORD];
        // SAFETY: 8 bytes that any integer may fill, at a multiple of 8 from the start of an entry, which is aligned to 8.
        Some(unsafe { &mut *word.as_mut_ptr().cast::<i64>() })
    }

    /// The bytes of a string, to be changed in place without changing their number; None for an integer.
    pub fn bytes_mut(&mut self) -> Option<&mut [u8]> {
        if self.is_boxed() {
            return match self.object_mut()? {
                Object::Bytes(bytes) => Some(bytes),
                _ => None,
            };
        }
        if self.is_int() {
            return None;
        }
        let start = self.key_start() + self.key_len();
        let len = self.value_len();
        Some(&mut self.body[start..start + len])
    }

    /// The object of a boxed entry. When its size may have changed, follow with `Store::recount`, or use `Store::update`.
    pub fn object_mut(&mut self) -> Option<&mut Object> {
        // SAFETY: I2: the object is this entry's alone, which is borrowed mutably.
        self.is_boxed().then(|| unsafe { &mut *self.object_ptr() })
    }

    /// How long a string may become before it needs other memory.
    pub fn capacity(&self) -> usize {
        match self.value() {
            Value::Bytes(_) if self.is_boxed() => match self.object() {
                Object::Bytes(bytes) => bytes.capacity(),
                _ => unreachable!("a value of bytes is an object of bytes"),
            },
            Value::Bytes(bytes) => bytes.len(),
            Value::Int(_) | Value::Object(_) => 0,
        }
    }

    /// Bytes of the slot and of the object, as they were last counted.
    pub fn bytes_allocated(&self) -> usize {
        self.slot_bytes() + self.accounted()
    }

    /// Bytes of the slot alone.
    pub(super) fn slot_bytes(&self) -> usize {
        HEAD_BYTES + self.body.len()
    }

    /// Bytes of the object when it was last counted.
    pub(super) fn accounted(&self) -> usize {
        if !self.is_boxed() {
            return 0;
        }
        u64::from_ne_bytes(self.word(self.payload_start() + WORD)) as usize
    }

    /// Counts the object again; returns the figures before and after.
    pub(super) fn recount(&mut self) -> (usize, usize) {
        let before = self.accounted();
        let Some(object) = self.object_mut() else { return (0, 0) };
        let after = object.bytes_allocated();
        self.set_word(self.payload_start() + WORD, (after as u64).to_ne_bytes());
        (before, after)
    }

    /// Changes the time of an entry that has one.
    pub(super) fn replace_expiry(&mut self, expiry: i64) {
        assert!(self.expires());
        self.set_word(0, expiry.to_ne_bytes());
    }

    /// Takes the object out, and leaves the entry fit for nothing but freeing its slot.
    pub(super) fn take_object(&mut self) -> Option<Box<Object>> {
        if !self.is_boxed() {
            return None;
        }
        // SAFETY: I2: it came from a box and has one owner, who gives it up: the entry is not boxed any more.
        let object = unsafe { Box::from_raw(self.object_ptr()) };
        self.shape &= !BOXED;
        Some(object)
    }

    /// A copy with another expiry. It takes the object over.
    ///
    /// # Safety
    /// Of the entry itself only the slot is used afterwards, to free it.
    pub(super) unsafe fn redraft(&self, expiry: Option<i64>) -> Draft<'_> {
        let payload = match self.value() {
            // SAFETY: I2: it came from a box; by the caller's promise this one forgets it.
            _ if self.is_boxed() => Payload::Boxed(unsafe { Box::from_raw(self.object_ptr()) }),
            Value::Int(value) => Payload::Int(value),
            Value::Bytes(bytes) => Payload::Inline(bytes),
            Value::Object(_) => unreachable!("objects are boxed"),
        };
        let (key, kind, encoding, access) = (self.key(), self.kind(), self.encoding(), self.access());
        // An inline value that an expiry makes too long for its slot becomes an object.
        let payload = match payload {
            Payload::Inline(bytes) if !fits_inline(key.len(), bytes.len(), expiry.is_some()) => {
                Payload::Boxed(Box::new(Object::from_packed(kind, encoding, bytes.to_vec())))
            }
            payload => payload,
        };
        Draft { key, payload, kind, encoding, expiry, access }
    }

    pub fn is_boxed(&self) -> bool {
        self.shape & BOXED != 0
    }

    pub(super) fn expires(&self) -> bool {
        self.shape & EXPIRES != 0
    }

    pub fn is_int(&self) -> bool {
        self.clock >> 28 == Encoding::Int as u32
    }

    fn object(&self) -> &Object {
        // SAFETY: I2: the object lives as long as the entry, and changes only through a mutable borrow of it.
        unsafe { &*self.object_ptr() }
    }

    fn object_ptr(&self) -> *mut Object {
        debug_assert!(self.is_boxed());
        ptr::with_exposed_provenance_mut(u64::from_ne_bytes(self.word(self.payload_start())) as usize)
    }

    fn key_len(&self) -> usize {
        key_len(self.clock, self.shape)
    }

    /// Of an inline string.
    fn value_len(&self) -> usize {
        (self.shape >> 8 & 0xFFFF) as usize
    }

    fn payload_start(&self) -> usize {
        expiry_words(self.shape) * WORD
    }

    fn key_start(&self) -> usize {
        key_start(self.clock, self.shape)
    }

    fn word(&self, at: usize) -> [u8; WORD] {
        self.body[at..at + WORD].try_into().expect("a word has 8 bytes")
    }

    fn set_word(&mut self, at: usize, word: [u8; WORD]) {
        self.body[at..at + WORD].copy_from_slice(&word);
    }
}

/// Words before the payload.
fn expiry_words(shape: u32) -> usize {
    (shape & EXPIRES != 0) as usize
}

/// Words between expiry and key.
fn payload_words(clock: u32, shape: u32) -> usize {
    if shape & BOXED != 0 { 2 } else { (clock >> 28 == Encoding::Int as u32) as usize }
}

fn key_len(clock: u32, shape: u32) -> usize {
    let mask = if payload_words(clock, shape) == 0 { INLINE_KEY_MAX as u32 } else { LENGTH_MASK };
    (shape & mask) as usize
}

/// Where the key begins in the body.
fn key_start(clock: u32, shape: u32) -> usize {
    (expiry_words(shape) + payload_words(clock, shape)) * WORD
}

/// The address of an entry as a bucket holds it, in 48 bits. The low three are free by alignment: bit 0 says that the
/// entry expires, bit 1 that it is loose (freeing it takes more than discarding the slab's regions), bit 2 is one more bit of the key's hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Packed(pub u64);

impl Packed {
    const EXPIRES: u64 = 1;
    const LOOSE: u64 = 2;
    pub const HASH_BIT: u64 = 4;

    pub fn new(slot: NonNull<u8>, expires: bool, loose: bool, hash_bit: bool) -> Packed {
        let address = slot.as_ptr().expose_provenance() as u64;
        debug_assert!(address & 7 == 0);
        assert!(address >> 48 == 0, "addresses of slots fit 48 bits");
        Packed(address | expires as u64 | (loose as u64) << 1 | (hash_bit as u64) << 2)
    }

    pub fn expires(self) -> bool {
        self.0 & Self::EXPIRES != 0
    }

    pub fn is_loose(self) -> bool {
        self.0 & Self::LOOSE != 0
    }

    pub fn slot(self) -> NonNull<u8> {
        NonNull::new(ptr::with_exposed_provenance_mut((self.0 & !7) as usize))
            .expect("a packed address is not null")
    }

    /// The whole entry as a fat pointer.
    ///
    /// # Safety
    /// The slot holds an entry, and nobody writes to it meanwhile.
    #[inline]
    unsafe fn entry(self) -> *mut Entry {
        let slot = (self.0 & !7) as usize;
        // SAFETY: the caller's promise; the head is 8 aligned bytes.
        let (clock, shape) = unsafe {
            let head = ptr::with_exposed_provenance::<u32>(slot);
            (head.read(), head.add(1).read())
        };
        let words = payload_words(clock, shape);
        let lengths = if words == 0 {
            (shape & INLINE_KEY_MAX as u32) as usize + (shape >> 8 & 0xFFFF) as usize
        } else {
            (shape & LENGTH_MASK) as usize + words * WORD
        };
        let body = Slab::slot_bytes(HEAD_BYTES + expiry_words(shape) * WORD + lengths) - HEAD_BYTES;
        ptr::slice_from_raw_parts_mut(ptr::with_exposed_provenance_mut::<u8>(slot), body) as *mut Entry
    }

    /// Whether this is the entry's key. Keys are short: two words that overlap spare most a call.
    ///
    /// # Safety
    /// The slot holds an entry, and nobody writes to it meanwhile.
    #[inline]
    pub unsafe fn has_key(self, key: &[u8]) -> bool {
        let slot = (self.0 & !7) as usize;
        // SAFETY: the caller's promise; the head is 8 aligned bytes. I1: the key lies in the body.
        let own = unsafe {
            let head = ptr::with_exposed_provenance::<u32>(slot);
            let (clock, shape) = (head.read(), head.add(1).read());
            if key_len(clock, shape) != key.len() {
                return false;
            }
            let start = slot + HEAD_BYTES + key_start(clock, shape);
            std::slice::from_raw_parts(ptr::with_exposed_provenance::<u8>(start), key.len())
        };
        match (own.first_chunk::<WORD>(), own.last_chunk::<WORD>(), key.first_chunk(), key.last_chunk()) {
            (Some(own_first), Some(own_last), Some(first), Some(last)) if key.len() <= 2 * WORD => {
                own_first == first && own_last == last
            }
            _ => own == key,
        }
    }

    /// # Safety
    /// The slot holds an entry that nobody changes or frees during `'a`.
    #[inline]
    pub unsafe fn get<'a>(self) -> &'a Entry {
        // SAFETY: the caller's promise.
        unsafe { &*self.entry() }
    }

    /// # Safety
    /// The slot holds an entry that nobody else uses during `'a`.
    #[inline]
    pub unsafe fn get_mut<'a>(self) -> &'a mut Entry {
        // SAFETY: the caller's promise.
        unsafe { &mut *self.entry() }
    }

    /// Asks the processor to fetch the head and a short key.
    #[inline]
    pub fn prefetch_key(self) {
        let slot: *const u8 = ptr::without_provenance((self.0 & !7) as usize);
        prefetch(slot);
        prefetch(slot.wrapping_add(32));
    }

    /// Asks the processor to fetch the first two lines of the entry.
    #[inline]
    pub fn prefetch(self) {
        let slot: *const u8 = ptr::without_provenance((self.0 & !7) as usize);
        prefetch(slot);
        prefetch(slot.wrapping_add(64));
    }
}

const _: () = assert!(align_of::<u64>() == 8 && align_of::<usize>() <= 8);
const _: () = assert!(size_of::<&Entry>() == 16);
const _: () = assert!(Type::ALL.len() <= 16 && Encoding::ALL.len() <= 16);
const _: () = assert!(SLOT_BYTES_MAX <= 0xFFFF && INLINE_KEY_MAX < 1 << 8);
const _: () = {
    let mut i = 0;
    while i < Encoding::ALL.len() {
        assert!(Encoding::ALL[i] as usize == i, "encodings are listed in order");
        i += 1;
    }
    let mut i = 0;
    while i < Type::ALL.len() {
        assert!(Type::ALL[i] as usize == i, "types are listed in order");
        i += 1;
    }
};

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes the draft to a slot, lets `look` see the entry, and frees it.
    fn with(draft: Draft, look: impl FnOnce(&mut Entry)) {
        let mut slab = Slab::default();
        let bytes = draft.bytes();
        let slot = slab.alloc(bytes);
        // SAFETY: a fresh slot of the right size, used by nobody else.
        unsafe {
            draft.write(slot);
            let packed = Packed::new(slot, false, false, false);
            let mut key = packed.get().key().to_vec();
            assert!(packed.has_key(&key) && !packed.has_key(&[&key[..], b"x"].concat()));
            for at in 0..key.len() {
                key[at] ^= 1;
                assert!(!packed.has_key(&key) && !packed.has_key(&key[..at]), "byte {at}");
                key[at] ^= 1;
            }
            let entry = packed.get_mut();
            assert_eq!(entry.slot_bytes(), bytes);
            look(entry);
            drop(entry.take_object());
            slab.free(slot, bytes);
        }
    }

    #[test]
    fn every_layout_keeps_its_fields() {
        let object = || Box::new(Object::Bytes(vec![7; 5000]));
        for key_len in [0, 1, 7, 8, 16, 255, 256, 2000] {
            let key = vec![b'k'; key_len];
            for expiry in [None, Some(-5), Some(i64::MAX)] {
                for value_len in [0, 1, 8, 64, 700] {
                    let value = vec![b'v'; value_len];
                    if !fits_inline(key_len, value_len, expiry.is_some()) {
                        continue;
                    }
                    let payload = Payload::Inline(&value);
                    let (kind, encoding) = (Type::String, Encoding::Raw);
                    with(Draft { key: &key, payload, kind, encoding, expiry, access: 0xABCDEF }, |entry| {
                        assert_eq!((entry.key(), entry.value()), (&key[..], Value::Bytes(&value)));
                        assert_eq!((entry.expiry(), entry.access()), (expiry, 0xABCDEF));
                        assert_eq!((entry.kind(), entry.encoding()), (kind, encoding));
                        entry.bytes_mut().unwrap().fill(b'x');
                        entry.set_access(5);
                        assert_eq!(entry.value(), Value::Bytes(&vec![b'x'; value_len]));
                        assert_eq!((entry.key(), entry.expiry(), entry.access()), (&key[..], expiry, 5));
                    });
                }
                let (kind, encoding) = (Type::String, Encoding::Int);
                with(
                    Draft { key: &key, payload: Payload::Int(-1), kind, encoding, expiry, access: 1 },
                    |entry| {
                        *entry.as_int_mut().unwrap() -= 41;
                        assert_eq!((entry.key(), entry.value()), (&key[..], Value::Int(-42)));
                        assert_eq!((entry.expiry(), entry.encoding()), (expiry, encoding));
                        assert!(entry.bytes_mut().is_none() && entry.object_mut().is_none());
                    },
                );
                let (payload, encoding) = (Payload::Boxed(object()), Encoding::Raw);
                with(Draft { key: &key, payload, kind, encoding, expiry, access: 1 }, |entry| {
                    assert_eq!((entry.key(), entry.expiry()), (&key[..], expiry));
                    assert_eq!(entry.value(), Value::Bytes(&[7; 5000]));
                    let Some(Object::Bytes(bytes)) = entry.object_mut() else { unreachable!() };
                    bytes.extend_from_slice(&[8; 5000]);
                    let (before, after) = entry.recount();
                    assert!(before < 5100 && after >= 10_000 && entry.accounted() == after);
                    assert_eq!(entry.key(), key);
                });
            }
        }
    }
}
