//! A set of integers: sorted, all of one width, in the very format of Redis, so that a value is dumped and restored
//! as it is.
//! In: `&[u8]` to read, `&mut Vec<u8>` to change. Out: integers.
//! Absent: when a set has become too large for this (see the sets' own module).
//!
//! ```text
//! width: u32 | count: u32 | integer …          little-endian; the width is 2, 4 or 8 bytes
//! ```
//!
//! 1. The bytes passed in are `validate`'d or built here; others may panic, never more.
//! 2. The integers ascend strictly.
//! 3. The width is that of the widest integer there has been: adding may widen the set, removing does not narrow it.

pub const HEAD_BYTES: usize = 8;

const WIDTHS: [usize; 3] = [2, 4, 8];

const EMPTY: [u8; HEAD_BYTES] = [WIDTHS[0] as u8, 0, 0, 0, 0, 0, 0, 0];

pub fn empty() -> Vec<u8> {
    EMPTY.to_vec()
}

/// Makes an empty set of whatever is there, in the memory that is there.
pub fn clear(set: &mut Vec<u8>) {
    set.clear();
    set.extend_from_slice(&EMPTY);
}

#[inline]
pub fn len(set: &[u8]) -> usize {
    (set.len() - HEAD_BYTES) / width(set)
}

pub fn is_empty(set: &[u8]) -> bool {
    set.len() == HEAD_BYTES
}

/// The integer of that rank, from 0.
#[inline]
pub fn at(set: &[u8], index: usize) -> i64 {
    read(&set[HEAD_BYTES..], width(set), index)
}

pub fn first(set: &[u8]) -> Option<i64> {
    (!is_empty(set)).then(|| at(set, 0))
}

pub fn last(set: &[u8]) -> Option<i64> {
    (!is_empty(set)).then(|| at(set, len(set) - 1))
}

/// The integers, ascending.
pub fn iter(set: &[u8]) -> impl DoubleEndedIterator<Item = i64> + ExactSizeIterator + Clone {
    let (width, integers) = (width(set), &set[HEAD_BYTES..]);
    (0..len(set)).map(move |index| read(integers, width, index))
}

pub fn contains(set: &[u8], value: i64) -> bool {
    width_of(value) <= width(set) && search(set, value).is_ok()
}

/// Whether the integer was not there yet.
pub fn add(set: &mut Vec<u8>, value: i64) -> bool {
    if width_of(value) > width(set) {
        widen(set, width_of(value));
    }
    let Err(index) = search(set, value) else { return false };
    let (width, len) = (width(set), set.len());
    let offset = HEAD_BYTES + index * width;
    if set.capacity() - len < width {
        // Growing by an eighth keeps the waste of many small sets low, and adding cheap.
        set.reserve_exact(width + len / 8);
    }
    set.resize(len + width, 0);
    set.copy_within(offset..len, offset + width);
    set[offset..offset + width].copy_from_slice(&value.to_le_bytes()[..width]);
    set_count(set);
    true
}

/// Whether the integer was there.
pub fn remove(set: &mut Vec<u8>, value: i64) -> bool {
    if !contains(set, value) {
        return false;
    }
    let index = search(set, value).expect("the set contains it");
    remove_at(set, index);
    true
}

/// Takes the integer of that rank out.
pub fn remove_at(set: &mut Vec<u8>, index: usize) {
    let width = width(set);
    let offset = HEAD_BYTES + index * width;
    set.drain(offset..offset + width);
    if set.len() < set.capacity() / 4 {
        set.shrink_to(set.len() * 2);
    }
    set_count(set);
}

/// Whether these bytes are a set of integers: the head, and if `deep` their order. As in Redis an empty one is none.
/// Safe for any bytes.
pub fn validate(set: &[u8], deep: bool) -> bool {
    let Some((head, integers)) = set.split_first_chunk::<HEAD_BYTES>() else { return false };
    let [width, count] =
        [0, 4].map(|at| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]));
    let whole =
        WIDTHS.contains(&(width as usize)) && u64::from(count) * u64::from(width) == integers.len() as u64;
    whole && count > 0 && (!deep || iter(set).zip(iter(set).skip(1)).all(|(low, high)| low < high))
}

/// Only the lowest byte of the width is ever set.
#[inline]
fn width(set: &[u8]) -> usize {
    usize::from(set[0])
}

fn width_of(value: i64) -> usize {
    if i16::try_from(value).is_ok() {
        2
    } else if i32::try_from(value).is_ok() {
        4
    } else {
        8
    }
}

#[inline]
fn read(integers: &[u8], width: usize, index: usize) -> i64 {
    let bytes = &integers[index * width..(index + 1) * width];
    match *bytes {
        [a, b] => i64::from(i16::from_le_bytes([a, b])),
        [a, b, c, d] => i64::from(i32::from_le_bytes([a, b, c, d])),
        _ => i64::from_le_bytes(bytes.try_into().expect("invariant 1: integers of 2, 4 or 8 bytes")),
    }
}

/// The rank of the integer, or the one that it would have.
fn search(set: &[u8], value: i64) -> Result<usize, usize> {
    let (width, integers) = (width(set), &set[HEAD_BYTES..]);
    let (mut low, mut high) = (0, len(set));
    // Sets are often filled in ascending order.
    if high > 0 && read(integers, width, high - 1) < value {
        return Err(high);
    }
    while low < high {
        let middle = low + (high - low) / 2;
        match read(integers, width, middle).cmp(&value) {
            std::cmp::Ordering::Less => low = middle + 1,
            std::cmp::Ordering::Equal => return Ok(middle),
            std::cmp::Ordering::Greater => high = middle,
        }
    }
    Err(low)
}

/// Writes all integers anew, `wide` bytes each.
fn widen(set: &mut Vec<u8>, wide: usize) {
    let mut widened = Vec::with_capacity(HEAD_BYTES + (len(set) + 1) * wide);
    widened.extend_from_slice(&(wide as u32).to_le_bytes());
    widened.extend_from_slice(&set[4..HEAD_BYTES]);
    for value in iter(set) {
        widened.extend_from_slice(&value.to_le_bytes()[..wide]);
    }
    *set = widened;
}

fn set_count(set: &mut [u8]) {
    let count = u32::try_from(len(set)).expect("limits on sets of integers lie far below 2^32");
    set[4..HEAD_BYTES].copy_from_slice(&count.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn of(values: &[i64]) -> Vec<u8> {
        let mut set = empty();
        values.iter().for_each(|&value| assert!(add(&mut set, value)));
        set
    }

    fn check(set: &[u8], model: &BTreeSet<i64>) {
        assert_eq!(validate(set, true), !model.is_empty());
        assert_eq!((len(set), is_empty(set)), (model.len(), model.is_empty()));
        assert!(iter(set).eq(model.iter().copied()));
        assert!(iter(set).rev().eq(model.iter().rev().copied()));
        assert_eq!((first(set), last(set)), (model.first().copied(), model.last().copied()));
        for (index, &value) in model.iter().enumerate() {
            assert_eq!(at(set, index), value);
            for near in [value.wrapping_sub(1), value, value.wrapping_add(1)] {
                assert_eq!(contains(set, near), model.contains(&near));
            }
        }
    }

    fn integer() -> impl Strategy<Value = i64> {
        let borders =
            vec![i64::from(i16::MAX), i64::from(i16::MIN), i64::from(i32::MAX), i64::from(i32::MIN)];
        let near = (proptest::sample::select(borders), -2..=2i64).prop_map(|(border, off)| border + off);
        prop_oneof![6 => -9..9i64, 1 => near, 1 => any::<i64>()]
    }

    proptest! {
        #[test]
        fn agrees_with_a_tree(steps in proptest::collection::vec((any::<bool>(), integer()), 0..60)) {
            let (mut set, mut model) = (empty(), BTreeSet::new());
            for (adding, value) in steps {
                if adding {
                    prop_assert_eq!(add(&mut set, value), model.insert(value));
                } else {
                    prop_assert_eq!(remove(&mut set, value), model.remove(&value));
                }
                check(&set, &model);
            }
        }

        #[test]
        fn any_bytes_can_be_validated(
            mut set in proptest::collection::vec(any::<u8>(), 0..40), width in proptest::sample::select(&WIDTHS[..]),
        ) {
            validate(&set, true);
            if set.len() > HEAD_BYTES {
                set[..4].copy_from_slice(&(width as u32).to_le_bytes());
                set_count(&mut set);
                if validate(&set, true) {
                    check(&set, &iter(&set).collect());
                }
            }
        }

        #[test]
        fn what_passes_with_a_flipped_bit_is_readable(
            model in proptest::collection::btree_set(integer(), 1..8), at: proptest::sample::Index, bit in 0..8u8,
        ) {
            let mut set = of(&model.into_iter().collect::<Vec<_>>());
            let at = at.index(set.len());
            set[at] ^= 1u8 << bit;
            if validate(&set, true) {
                check(&set, &iter(&set).collect());
            }
        }
    }

    #[test]
    fn bytes_of_a_real_server() {
        // DUMP of Redis 7.0, without what surrounds the set.
        for (values, bytes) in [
            (vec![1, -2, 300], "0200000003000000feff01002c01"),
            (vec![1, 70000], "04000000020000000100000070110100"),
            (vec![5, -5, 9_000_000_000], "0800000003000000fbffffffffffffff0500000000000000001a711802000000"),
        ] {
            let hex: String = of(&values).iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(hex, bytes);
        }
    }

    #[test]
    fn removing_does_not_narrow() {
        let mut set = of(&[1, 70_000]);
        assert!(remove(&mut set, 70_000));
        assert_eq!((width(&set), set.len()), (4, HEAD_BYTES + 4));
        remove_at(&mut set, 0);
        check(&set, &BTreeSet::new());
        clear(&mut set);
        assert_eq!(set, empty());
        check(&set, &BTreeSet::new());
    }

    #[test]
    fn heads_that_are_wrong() {
        for bad in [
            &[2, 0, 0, 0, 0, 0, 0, 0][..],
            &[2, 0, 0, 0, 1, 0, 0, 0],
            &[2, 0, 0, 0, 2, 0, 0, 0, 1, 0],
            &[3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0],
            &[2, 0, 0, 1, 1, 0, 0, 0, 1, 0],
            &[2, 0, 0],
        ] {
            assert!(!validate(bad, false), "{bad:?}");
        }
        let doubled = [2, 0, 0, 0, 2, 0, 0, 0, 1, 0, 1, 0];
        assert!(validate(&doubled, false) && !validate(&doubled, true));
    }
}
