//! A listpack: short strings and integers in one run of bytes, in the very format of Redis, so that a value is dumped
//! and restored as it is.
//! In: `&[u8]` to read, `&mut Vec<u8>` to change. Out: elements, and the places where they are.
//! Absent: what the elements mean (fields, scores, members), limits on how long a listpack may become.
//!
//! ```text
//! total: u32 | count: u16 | element … | FF          little-endian; count FFFF: unknown, walk to find out
//!
//! element:  head, data, then the length of both once more, to be read from its right end (see `encoded::Back`)
//! 0vvvvvvv                  integer of 7 bits, unsigned
//! 10llllll …                string of up to 63 bytes
//! 110vvvvv v                integer of 13 bits, big-endian as the only one
//! 1110llll l …              string of up to 4095 bytes, its length big-endian
//! F0 llll …                 longer string
//! F1 vv, F2 vvv, F3 vvvv, F4 vvvvvvvv               integers of 16, 24, 32 and 64 bits
//! ```
//!
//! 1. The bytes passed in are `validate`'d or built here; others may panic, never more.
//! 2. What is written as an integer is every string that is an integer in canonical form, and nothing else; what is
//!    read may also be a string of digits, or an integer wider than needed, from another server.
//! 3. `total` is the length of the slice.

mod encoded;

use crate::base::number;

use encoded::Back;
pub use encoded::Encoded;

pub const HEAD_BYTES: usize = 6;

/// Head and end.
pub const EMPTY_BYTES: usize = HEAD_BYTES + 1;

const EMPTY: [u8; EMPTY_BYTES] = [EMPTY_BYTES as u8, 0, 0, 0, 0, 0, END];

/// No listpack may grow beyond this.
pub const BYTES_MAX: usize = 1 << 30;

pub const END: u8 = 0xFF;
const COUNT_UNKNOWN: u16 = u16::MAX;

/// The shortest element: one byte and its length.
const ELEMENT_BYTES_MIN: usize = 2;

const STRING_32: u8 = 0xF0;
const INT_16: u8 = 0xF1;
const INT_24: u8 = 0xF2;
const INT_32: u8 = 0xF3;
const INT_64: u8 = 0xF4;

/// An element: of a listpack, an intset, or plain bytes.
#[derive(Clone, Copy, Debug)]
pub enum Element<'a> {
    Int(i64),
    Bytes(&'a [u8]),
}

impl<'a> Element<'a> {
    /// Bytes as text.
    pub fn len(&self) -> usize {
        match *self {
            Element::Int(value) => {
                let digits = value.unsigned_abs().checked_ilog10().unwrap_or(0) as usize + 1;
                digits + usize::from(value < 0)
            }
            Element::Bytes(bytes) => bytes.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        matches!(self, Element::Bytes([]))
    }

    pub fn equals(&self, bytes: &[u8]) -> bool {
        match *self {
            Element::Int(value) => number::parse_i64(bytes) == Some(value),
            Element::Bytes(own) => own == bytes,
        }
    }

    pub fn to_vec(&self) -> Vec<u8> {
        self.with(<[u8]>::to_vec)
    }

    /// Hands the element on as text, without an allocation.
    pub fn with<R>(&self, f: impl FnOnce(&[u8]) -> R) -> R {
        match *self {
            Element::Int(value) => f(itoa::Buffer::new().format(value).as_bytes()),
            Element::Bytes(bytes) => f(bytes),
        }
    }

    /// The integer that this is, or is the canonical text of.
    pub fn as_i64(&self) -> Option<i64> {
        match *self {
            Element::Int(value) => Some(value),
            Element::Bytes(bytes) => number::parse_i64(bytes),
        }
    }
}

/// Where an element begins. Valid until the listpack changes before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place(usize);

impl Place {
    /// The element that begins so far from the beginning of the listpack.
    #[inline]
    pub fn at(offset: usize) -> Place {
        Place(offset)
    }

    /// Its distance from the beginning of the listpack.
    #[inline]
    pub fn offset(self) -> usize {
        self.0
    }
}

pub fn empty() -> Vec<u8> {
    EMPTY.to_vec()
}

/// Makes an empty listpack of whatever is there, in the memory that is there.
pub fn clear(pack: &mut Vec<u8>) {
    pack.clear();
    pack.extend_from_slice(&EMPTY);
}

/// How many elements.
pub fn len(pack: &[u8]) -> usize {
    match count(pack) {
        COUNT_UNKNOWN => walk(pack),
        known => usize::from(known),
    }
}

/// Whether `len` need not walk.
pub fn knows_count(pack: &[u8]) -> bool {
    count(pack) != COUNT_UNKNOWN
}

pub fn is_empty(pack: &[u8]) -> bool {
    pack[HEAD_BYTES] == END
}

pub fn first(pack: &[u8]) -> Option<Place> {
    element_at(pack, HEAD_BYTES)
}

pub fn last(pack: &[u8]) -> Option<Place> {
    prev(pack, end(pack))
}

/// Behind the last element: there is no element, but one can be inserted.
pub fn end(pack: &[u8]) -> Place {
    Place(pack.len() - 1)
}

pub fn next(pack: &[u8], place: Place) -> Option<Place> {
    element_at(pack, behind(pack, place.0))
}

/// The element before this one, or before the end.
pub fn prev(pack: &[u8], place: Place) -> Option<Place> {
    (place.0 > HEAD_BYTES).then(|| {
        let size = Back::read(pack, place.0);
        Place(place.0 - size - Back::bytes(size))
    })
}

/// By index from the front (0, 1 …) or the end (-1, -2 …); walks from the nearer side.
pub fn nth(pack: &[u8], index: i64) -> Option<Place> {
    let (mut ahead, mut back) = (index, -1 - index);
    if count(pack) != COUNT_UNKNOWN {
        let count = i64::from(count(pack));
        if index >= count || index < -count {
            return None;
        }
        (ahead, back) = if index < 0 { (index + count, back) } else { (index, count - 1 - index) };
    }
    if ahead >= 0 && (back < 0 || ahead <= back) {
        (0..ahead).try_fold(first(pack)?, |place, _| next(pack, place))
    } else {
        (0..back).try_fold(last(pack)?, |place, _| prev(pack, place))
    }
}

#[inline]
pub fn get(pack: &[u8], place: Place) -> Element<'_> {
    let at = place.0;
    let head = pack[at];
    let tail = &pack[at + 1..];
    match head {
        0..=0x7F => Element::Int(i64::from(head)),
        0x80..=0xBF => Element::Bytes(&tail[..usize::from(head & 0x3F)]),
        0xC0..=0xDF => {
            let raw = u16::from_be_bytes([head, tail[0]]);
            // The sign is the highest of 13 bits.
            Element::Int(i64::from((raw << 3) as i16 >> 3))
        }
        0xE0..=0xEF => Element::Bytes(&tail[1..1 + long_string(pack, at)]),
        STRING_32 => Element::Bytes(&tail[4..4 + long_string(pack, at)]),
        INT_16 => Element::Int(i64::from(i16::from_le_bytes(array(tail)))),
        INT_24 => Element::Int(i64::from(i32::from_le_bytes([0, tail[0], tail[1], tail[2]]) >> 8)),
        INT_32 => Element::Int(i64::from(i32::from_le_bytes(array(tail)))),
        INT_64 => Element::Int(i64::from_le_bytes(array(tail))),
        _ => panic!("invariant 1: no listpack element begins with {head:02x}"),
    }
}

/// The integer in the element of 7 bits that is there, and the place behind it.
#[inline]
pub fn get_tiny(pack: &[u8], place: Place) -> Option<(u8, Place)> {
    Some(pack[place.0]).filter(|&head| head < 0x80).map(|value| (value, Place(place.0 + ELEMENT_BYTES_MIN)))
}

pub fn iter(pack: &[u8]) -> Iter<'_> {
    Iter { pack, front: HEAD_BYTES, back: pack.len() - 1, left: len(pack) }
}

/// The elements `from..to` by index, which lie within the listpack; finds both ends from the nearer side.
pub fn slice(pack: &[u8], from: usize, to: usize) -> Iter<'_> {
    let place = |index: usize| nth(pack, index as i64).unwrap_or(end(pack)).0;
    let front = place(from);
    // What is asked for is often only a few elements, or all.
    const NEAR: usize = 16;
    let back = match to - from {
        few @ ..NEAR => (0..few).fold(front, |at, _| behind(pack, at)),
        _ => place(to),
    };
    Iter { pack, front, back, left: to - from }
}

/// The elements in order, from both ends.
#[derive(Clone)]
pub struct Iter<'a> {
    pack: &'a [u8],
    /// Where the next element begins.
    front: usize,
    /// Behind the last element that is left.
    back: usize,
    left: usize,
}

impl<'a> Iterator for Iter<'a> {
    type Item = Element<'a>;

    #[inline]
    fn next(&mut self) -> Option<Element<'a>> {
        (self.front < self.back).then(|| {
            let place = Place(self.front);
            self.front = behind(self.pack, self.front);
            self.left -= 1;
            get(self.pack, place)
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<'a> DoubleEndedIterator for Iter<'a> {
    fn next_back(&mut self) -> Option<Element<'a>> {
        (self.front < self.back).then(|| {
            let place = prev(self.pack, Place(self.back)).expect("front is before back");
            self.back = place.0;
            self.left -= 1;
            get(self.pack, place)
        })
    }
}

impl ExactSizeIterator for Iter<'_> {}

/// The first element that equals `needle`, among that at `from` and every `step`-th behind it: 2 where fields and
/// values alternate.
pub fn find(pack: &[u8], from: Place, step: usize, needle: &[u8]) -> Option<Place> {
    assert!(step > 0, "a search has to advance");
    let number = number::parse_i64(needle);
    let mut at = from.0;
    while pack[at] != END {
        if matches(pack, at, needle, number) {
            return Some(Place(at));
        }
        for _ in 0..step {
            at = behind(pack, at);
            if pack[at] == END {
                return None;
            }
        }
    }
    None
}

/// Whether the element equals the needle, or the integer that the needle is.
#[inline]
fn matches(pack: &[u8], at: usize, needle: &[u8], number: Option<i64>) -> bool {
    let head = pack[at];
    // The last byte is where names like user:17 differ; looking there first saves most of the comparisons.
    let same = |own: &[u8]| own.len() == needle.len() && own.last() == needle.last() && own == needle;
    match (head, number) {
        (0x80..=0xBF, _) => same(&pack[at + 1..at + 1 + usize::from(head & 0x3F)]),
        (0xE0..=STRING_32, _) => matches!(get(pack, Place(at)), Element::Bytes(own) if same(own)),
        (_, None) => false,
        (_, Some(number)) => matches!(get(pack, Place(at)), Element::Int(own) if own == number),
    }
}

pub fn push(pack: &mut Vec<u8>, bytes: &[u8]) {
    insert(pack, end(pack), bytes);
}

pub fn push_front(pack: &mut Vec<u8>, bytes: &[u8]) {
    insert(pack, Place(HEAD_BYTES), bytes);
}

pub fn push_int(pack: &mut Vec<u8>, value: i64) {
    let at = end(pack).0;
    write(pack, at, 0, &Encoded::int(value));
    add_to_count(pack, 1);
}

/// Puts an element before that one, or before the end; it is at this place afterwards.
pub fn insert(pack: &mut Vec<u8>, before: Place, bytes: &[u8]) {
    write(pack, before.0, 0, &Encoded::new(bytes));
    add_to_count(pack, 1);
}

/// Puts another element in the same place.
pub fn replace(pack: &mut Vec<u8>, place: Place, bytes: &[u8]) {
    let old = behind(pack, place.0) - place.0;
    write(pack, place.0, old, &Encoded::new(bytes));
}

pub fn replace_int(pack: &mut Vec<u8>, place: Place, value: i64) {
    if let (0..0x80, 0..0x80) = (value, pack[place.0]) {
        pack[place.0] = value as u8;
        return;
    }
    let old = behind(pack, place.0) - place.0;
    write(pack, place.0, old, &Encoded::int(value));
}

/// Takes `count` elements out, or as many as there are from here on. The place is then that of the element behind
/// them, or the end.
pub fn remove(pack: &mut Vec<u8>, place: Place, count: usize) {
    let (mut to, mut removed) = (place.0, 0);
    while removed < count && pack[to] != END {
        to = behind(pack, to);
        removed += 1;
    }
    resize(pack, place.0, to - place.0, 0);
    set_total(pack);
    add_to_count(pack, -(removed as isize));
}

/// Bytes that an element takes, once written.
pub fn encoded_bytes(bytes: &[u8]) -> usize {
    let size = Encoded::new(bytes).size();
    size + Back::bytes(size)
}

/// Whether the listpack may grow by that much.
pub fn fits(pack: &[u8], more: usize) -> bool {
    more <= BYTES_MAX && pack.len() + more <= BYTES_MAX
}

/// Whether these bytes are a listpack: the head and the end, and if `deep` every element. Safe for any bytes.
pub fn validate(pack: &[u8], deep: bool) -> bool {
    if pack.len() < EMPTY_BYTES || pack[pack.len() - 1] != END || total(pack) as usize != pack.len() {
        return false;
    }
    if !deep {
        return true;
    }
    let end = pack.len() - 1;
    let (mut at, mut elements) = (HEAD_BYTES, 0);
    while at < end {
        match valid_behind(&pack[..end], at) {
            Some(behind) => at = behind,
            None => return false,
        }
        elements += 1;
    }
    count(pack) == COUNT_UNKNOWN || usize::from(count(pack)) == elements
}

/// Where a sound element ends, within bytes that know no other.
fn valid_behind(elements: &[u8], at: usize) -> Option<usize> {
    let head_bytes = match *elements.get(at)? {
        0xE0..=0xEF => 2,
        STRING_32 => 5,
        _ => 1,
    };
    elements.get(at..at + head_bytes)?;
    let size = size(elements, at)?;
    let back = Back::of(size);
    let found = elements.get(at + size..at + size + back.len)?;
    (found == back.as_slice()).then_some(at + size + back.len)
}

fn total(pack: &[u8]) -> u32 {
    u32::from_le_bytes(array(pack))
}

fn set_total(pack: &mut [u8]) {
    let total = u32::try_from(pack.len()).expect("a listpack is shorter than BYTES_MAX");
    pack[..4].copy_from_slice(&total.to_le_bytes());
}

/// The count as written: `COUNT_UNKNOWN`, or how many.
#[inline]
fn count(pack: &[u8]) -> u16 {
    u16::from_le_bytes([pack[4], pack[5]])
}

/// Once unknown, the count stays so until the listpack is too short to have that many elements.
fn add_to_count(pack: &mut [u8], more: isize) {
    let elements = match count(pack) {
        COUNT_UNKNOWN if pack.len() >= usize::from(COUNT_UNKNOWN) * ELEMENT_BYTES_MIN => return,
        COUNT_UNKNOWN => walk(pack),
        known => usize::from(known).saturating_add_signed(more),
    };
    let count = u16::try_from(elements).unwrap_or(COUNT_UNKNOWN);
    pack[4..HEAD_BYTES].copy_from_slice(&count.to_le_bytes());
}

/// Counts the elements.
fn walk(pack: &[u8]) -> usize {
    let (mut at, mut elements) = (HEAD_BYTES, 0);
    while pack[at] != END {
        at = behind(pack, at);
        elements += 1;
    }
    elements
}

#[inline]
fn element_at(pack: &[u8], at: usize) -> Option<Place> {
    (pack[at] != END).then_some(Place(at))
}

/// Where the next element begins, or the end.
#[inline]
pub fn place_behind(pack: &[u8], place: Place) -> Place {
    Place(behind(pack, place.0))
}

/// The element itself, without its length at the right end.
#[inline]
pub fn bare(pack: &[u8], place: Place) -> &[u8] {
    &pack[place.0..place_behind_bare(pack, place).0]
}

/// Where the next one begins of elements that were written without their lengths at the right end.
#[inline]
pub fn place_behind_bare(pack: &[u8], place: Place) -> Place {
    Place(place.0 + size(pack, place.0).expect("invariant 1: a listpack element"))
}

/// Where the element ends.
#[inline]
fn behind(pack: &[u8], at: usize) -> usize {
    let size = size(pack, at).expect("invariant 1: a listpack element");
    at + size + Back::bytes(size)
}

/// Bytes of the element's head and data, if its first byte is one that an element has.
#[inline]
fn size(pack: &[u8], at: usize) -> Option<usize> {
    Some(match pack[at] {
        0..=0x7F => 1,
        head @ 0x80..=0xBF => 1 + usize::from(head & 0x3F),
        0xC0..=0xDF => 2,
        0xE0..=0xEF => 2 + long_string(pack, at),
        STRING_32 => 5 + long_string(pack, at),
        INT_16 => 3,
        INT_24 => 4,
        INT_32 => 5,
        INT_64 => 9,
        _ => return None,
    })
}

/// The length of a string whose head is longer than a byte.
fn long_string(pack: &[u8], at: usize) -> usize {
    match pack[at] {
        STRING_32 => u32::from_le_bytes(array(&pack[at + 1..])) as usize,
        head => usize::from(head & 0x0F) << 8 | usize::from(pack[at + 1]),
    }
}

#[inline]
fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    *bytes.first_chunk().expect("invariant 1: an element lies within its listpack")
}

/// Writes an element over `old` bytes.
fn write(pack: &mut Vec<u8>, at: usize, old: usize, element: &Encoded) {
    let back = Back::of(element.size());
    resize(pack, at, old, element.size() + back.len);
    let head = &element.head[..element.head_bytes];
    let mut at = at;
    for part in [head, element.data, back.as_slice()] {
        pack[at..at + part.len()].copy_from_slice(part);
        at += part.len();
    }
    set_total(pack);
}

/// Makes `new` bytes of `old`, moving what is behind them.
fn resize(pack: &mut Vec<u8>, at: usize, old: usize, new: usize) {
    let len = pack.len();
    if new > old {
        let more = new - old;
        if pack.capacity() - len < more {
            // Growing by an eighth keeps the waste of many small listpacks low, and appending cheap.
            pack.reserve_exact(more + (len + more) / 8);
        }
        pack.resize(len + more, 0);
        pack.copy_within(at + old..len, at + new);
    } else if new < old {
        pack.copy_within(at + old.., at + new);
        pack.truncate(len - (old - new));
        if pack.len() < pack.capacity() / 4 {
            pack.shrink_to(pack.len() * 2);
        }
    }
}

/// Writes the head of a listpack whose elements were moved or written by its owner (see `list::node`).
#[inline]
pub fn set_head(pack: &mut [u8], count: usize) {
    set_total(pack);
    let count = u16::try_from(count).unwrap_or(COUNT_UNKNOWN);
    pack[4..HEAD_BYTES].copy_from_slice(&count.to_le_bytes());
}

/// Adds elements at the end, and writes head and end once for all of them.
pub struct Appender<'a> {
    pack: &'a mut Vec<u8>,
    added: isize,
}

impl<'a> Appender<'a> {
    /// Until `finish` the bytes are no listpack.
    #[inline]
    pub fn new(pack: &'a mut Vec<u8>) -> Self {
        pack.pop();
        Appender { pack, added: 0 }
    }

    #[inline]
    pub fn int(&mut self, value: i64) {
        if let 0..0x80 = value {
            self.pack.extend_from_slice(&[value as u8, 1]);
            self.added += 1;
            return;
        }
        self.element(&Encoded::int(value));
    }

    #[inline]
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.element(&Encoded::new(bytes));
    }

    /// An element as `bare` gave it.
    #[inline]
    pub fn bare(&mut self, bytes: &[u8]) {
        self.pack.extend_from_slice(bytes);
        self.pack.extend_from_slice(Back::of(bytes.len()).as_slice());
        self.added += 1;
    }

    #[inline]
    fn element(&mut self, element: &Encoded) {
        self.pack.extend_from_slice(&element.head[..element.head_bytes]);
        self.pack.extend_from_slice(element.data);
        self.pack.extend_from_slice(Back::of(element.size()).as_slice());
        self.added += 1;
    }

    #[inline]
    pub fn finish(self) {
        self.pack.push(END);
        set_total(self.pack);
        add_to_count(self.pack, self.added);
    }
}

#[cfg(test)]
mod tests;
