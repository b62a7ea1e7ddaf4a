//! LZF, the compression of strings in RDB: short back references among literal bytes.
//! In: bytes. Out: fewer, or the original ones. Source: the format of Marc Lehmann's liblzf.
//! Absent: the lengths of both, which are written beside it.
//!
//! ```text
//! 000lllll                  l + 1 literal bytes follow
//! nnnddddd d                copy n + 2 bytes from d + 1 bytes back, n is 1 to 6
//! 111ddddd n d              the same, n + 9 bytes
//! ```

const LITERALS_MAX: usize = 32;
const COPY_MIN: usize = 3;
const COPY_MAX: usize = 264;
const BACK_MAX: usize = 1 << 13;

/// The longest copy takes three bytes.
const RATIO_MAX: usize = COPY_MAX / 3;

const TABLE_BITS_MAX: u32 = 14;

/// Decompresses to exactly `length` bytes; none if that is not what they are.
pub fn decompress(packed: &[u8], length: usize) -> Option<Vec<u8>> {
    if length > packed.len().saturating_mul(RATIO_MAX) {
        return None;
    }
    let mut plain = Vec::with_capacity(length);
    let mut rest = packed;
    while let [head, behind @ ..] = rest {
        let head = usize::from(*head);
        rest = if head < LITERALS_MAX {
            let (literals, behind) = behind.split_at_checked(head + 1)?;
            plain.extend_from_slice(literals);
            behind
        } else {
            copy(&mut plain, head, behind)?
        };
        if plain.len() > length {
            return None;
        }
    }
    (plain.len() == length).then_some(plain)
}

/// Carries out a back reference and returns what is behind it.
fn copy<'a>(plain: &mut Vec<u8>, head: usize, behind: &'a [u8]) -> Option<&'a [u8]> {
    let (more, behind) = match head >> 5 {
        7 => behind.split_first().map(|(&more, behind)| (usize::from(more), behind))?,
        _ => (0, behind),
    };
    let (&low, behind) = behind.split_first()?;
    let back = ((head & 0x1F) << 8 | usize::from(low)) + 1;
    let count = (head >> 5) + more + 2;
    let from = plain.len().checked_sub(back)?;
    if back >= count {
        plain.extend_from_within(from..from + count);
    } else {
        // It reads what it writes: a run of the last `back` bytes.
        (from..from + count).for_each(|at| plain.push(plain[at]));
    }
    Some(behind)
}

/// Compresses to at most `length_max` bytes; none if it takes more.
pub fn compress(plain: &[u8], length_max: usize) -> Option<Vec<u8>> {
    let mut packed = Vec::with_capacity(length_max.min(plain.len()));
    let mut recent = Recent::new(plain.len());
    let (mut at, mut literals) = (0, 0);
    while at < plain.len() {
        match recent.find(plain, at) {
            Some((back, count)) => {
                write_literals(&mut packed, &plain[literals..at]);
                write_copy(&mut packed, back, count);
                // Two places within what was copied are remembered; all of them would gain little.
                recent.note(plain, at + count - 2);
                recent.note(plain, at + count - 1);
                at += count;
                literals = at;
            }
            None => at += 1,
        }
        if packed.len() > length_max {
            return None;
        }
    }
    write_literals(&mut packed, &plain[literals..]);
    (packed.len() <= length_max).then_some(packed)
}

fn write_literals(packed: &mut Vec<u8>, literals: &[u8]) {
    for run in literals.chunks(LITERALS_MAX) {
        packed.push(run.len() as u8 - 1);
        packed.extend_from_slice(run);
    }
}

fn write_copy(packed: &mut Vec<u8>, back: usize, count: usize) {
    let (offset, count) = (back - 1, count - 2);
    let high = (offset >> 8) as u8;
    if count < 7 {
        packed.push((count as u8) << 5 | high);
    } else {
        packed.extend_from_slice(&[7 << 5 | high, (count - 7) as u8]);
    }
    packed.push(offset as u8);
}

/// Where three bytes were last seen, by their hash; a place is stored plus one.
struct Recent {
    table: Vec<u32>,
    bits: u32,
}

impl Recent {
    fn new(length: usize) -> Recent {
        let bits = length.max(64).ilog2().min(TABLE_BITS_MAX);
        Recent { table: vec![0; 1 << bits], bits }
    }

    /// Notes the place, and returns the last one with the same hash.
    fn note(&mut self, plain: &[u8], at: usize) -> Option<usize> {
        let [a, b, c] = *plain.get(at..)?.first_chunk::<COPY_MIN>()?;
        let hash = u32::from_le_bytes([a, b, c, 0]).wrapping_mul(0x9E37_79B1) >> (32 - self.bits);
        // Beyond 4 GiB places wrap, and are looked at again before they are used.
        let last = std::mem::replace(&mut self.table[hash as usize], (at as u32).wrapping_add(1));
        (last as usize).checked_sub(1)
    }

    /// How far back, and for how many bytes, `plain` repeats itself from `at` on.
    fn find(&mut self, plain: &[u8], at: usize) -> Option<(usize, usize)> {
        let from = self.note(plain, at)?;
        let back = at.checked_sub(from).filter(|back| (1..=BACK_MAX).contains(back))?;
        let limit = COPY_MAX.min(plain.len() - at);
        let same = |offset: &usize| plain[from + offset] == plain[at + offset];
        let count = (0..limit).take_while(same).count();
        (count >= COPY_MIN).then_some((back, count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip(plain: &[u8]) -> usize {
        let packed = compress(plain, usize::MAX).unwrap();
        assert_eq!(decompress(&packed, plain.len()).as_deref(), Some(plain));
        assert_eq!(decompress(&packed, plain.len() + 1), None);
        assert!(plain.is_empty() || decompress(&packed, plain.len() - 1).is_none());
        packed.len()
    }

    #[test]
    fn repeats_become_short() {
        assert_eq!(round_trip(&[b'x'; 10_000]), 2 + 38 * 3);
        assert!(round_trip(&b"hello world, ".repeat(30)) <= 25);
        assert!(round_trip("0123456789".repeat(20).as_bytes()) < 20);
        assert_eq!((round_trip(b""), round_trip(b"a"), round_trip(b"ab")), (0, 2, 3));
    }

    #[test]
    fn text_packs_about_as_well_as_by_liblzf() {
        let line = |i: usize| {
            format!("{{\"id\":{i},\"name\":\"user{}\",\"score\":{}}}\n", i * 7919 % 1000, i * i % 977)
        };
        let text: String = (0..200).map(line).collect();
        // DUMP of Redis 7.0.
        const LIBLZF: usize = 2945;
        let packed = round_trip(text.as_bytes());
        assert!(packed <= LIBLZF * 21 / 20, "{packed} for {} bytes", text.len());
    }

    #[test]
    fn what_does_not_get_shorter_is_refused() {
        let plain: Vec<u8> = (0..100).collect();
        assert_eq!(compress(&plain, plain.len() - 4), None);
        assert!(compress(&[b'x'; 100], 8).is_some());
    }

    #[test]
    fn lengths_that_no_input_has_are_refused_before_memory_is_taken() {
        assert_eq!(decompress(&[0, b'a'], usize::MAX), None);
        assert_eq!(decompress(&[0, b'a'], 177), None);
        assert_eq!(decompress(&[0, b'a', 0x20, 1], 4), None, "reaches before the beginning");
    }

    proptest! {
        #[test]
        fn any_bytes_survive(plain in proptest::collection::vec(0..4u8, 0..2000)) {
            round_trip(&plain);
        }

        #[test]
        fn far_references(gap in 8100..8300usize, seed: [u8; 16]) {
            let mut plain = seed.to_vec();
            plain.extend((0..gap).map(|i| (i * i / 7) as u8));
            plain.extend_from_slice(&seed);
            round_trip(&plain);
        }

        #[test]
        fn any_bytes_can_be_decompressed(packed in proptest::collection::vec(any::<u8>(), 0..60), length in 0..6000usize) {
            if let Some(plain) = decompress(&packed, length) {
                prop_assert_eq!(plain.len(), length);
            }
        }
    }
}
