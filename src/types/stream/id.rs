//! The id of a stream's entry: milliseconds and a sequence number within them.
//! In: text as clients write it, neighbours. Out: the same, and the 16 bytes by which a file knows a node.
//! Absent: what a missing sequence number stands for, `-`, `+`, `$` and `>` (see the commands).

use crate::base::number::parse_u64_loose;

/// Ids are in the order of their milliseconds, then of their sequence numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id {
    pub ms: u64,
    pub seq: u64,
}

/// Longer texts are no ids.
const TEXT_BYTES_MAX: usize = 127;

impl Id {
    pub const MIN: Id = Id { ms: 0, seq: 0 };
    pub const MAX: Id = Id { ms: u64::MAX, seq: u64::MAX };

    pub const fn new(ms: u64, seq: u64) -> Id {
        Id { ms, seq }
    }

    pub fn is_zero(self) -> bool {
        self == Id::MIN
    }

    /// The id behind this one, if there is any.
    pub fn next(self) -> Option<Id> {
        match self.seq.checked_add(1) {
            Some(seq) => Some(Id { seq, ..self }),
            None => Some(Id { ms: self.ms.checked_add(1)?, seq: 0 }),
        }
    }

    /// The id before this one, if there is any.
    pub fn previous(self) -> Option<Id> {
        match self.seq.checked_sub(1) {
            Some(seq) => Some(Id { seq, ..self }),
            None => Some(Id { ms: self.ms.checked_sub(1)?, seq: u64::MAX }),
        }
    }

    /// `ms-seq`, or `ms` alone, which has the sequence number `missing`.
    pub fn parse(text: &[u8], missing: u64) -> Option<Id> {
        let (ms, seq) = parts(text)?;
        let seq = seq.map_or(Some(missing), parse_u64_loose)?;
        Some(Id { ms: parse_u64_loose(ms)?, seq })
    }

    /// The same, or `ms-*`, which has no sequence number yet; `ms` alone has 0.
    pub fn parse_open(text: &[u8]) -> Option<(u64, Option<u64>)> {
        match parts(text)? {
            (ms, Some(b"*")) => Some((parse_u64_loose(ms)?, None)),
            _ => Id::parse(text, 0).map(|id| (id.ms, Some(id.seq))),
        }
    }

    pub fn from_be_bytes(bytes: [u8; 16]) -> Id {
        let both = u128::from_be_bytes(bytes);
        Id { ms: (both >> 64) as u64, seq: both as u64 }
    }

    /// In the order of ids, bytewise.
    pub fn to_be_bytes(self) -> [u8; 16] {
        (u128::from(self.ms) << 64 | u128::from(self.seq)).to_be_bytes()
    }

    /// Hands the id on as text, without an allocation.
    #[inline]
    pub fn with_text<R>(self, f: impl FnOnce(&[u8]) -> R) -> R {
        const DIGITS_MAX: usize = 20;
        let mut text = [0; 2 * DIGITS_MAX + 1];
        let (mut ms, mut seq) = (itoa::Buffer::new(), itoa::Buffer::new());
        let (ms, seq) = (ms.format(self.ms).as_bytes(), seq.format(self.seq).as_bytes());
        text[..ms.len()].copy_from_slice(ms);
        text[ms.len()] = b'-';
        let end = ms.len() + 1 + seq.len();
        text[ms.len() + 1..end].copy_from_slice(seq);
        f(&text[..end])
    }
}

/// What is before the first hyphen, and behind it if there is one.
fn parts(text: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    if text.len() > TEXT_BYTES_MAX {
        return None;
    }
    // As C reads it, the text ends with the first NUL byte.
    let text = &text[..memchr::memchr(0, text).unwrap_or(text.len())];
    Some(match memchr::memchr(b'-', text) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours() {
        let id = Id::new;
        assert_eq!(id(1, 1).next(), Some(id(1, 2)));
        assert_eq!(id(1, u64::MAX).next(), Some(id(2, 0)));
        assert_eq!(Id::MAX.next(), None);
        assert_eq!(id(1, 1).previous(), Some(id(1, 0)));
        assert_eq!(id(1, 0).previous(), Some(id(0, u64::MAX)));
        assert_eq!(Id::MIN.previous(), None);
    }

    #[test]
    fn bytes_are_in_the_order_of_ids() {
        let ids = [Id::MIN, Id::new(0, 256), Id::new(1, 0), Id::new(1, u64::MAX), Id::new(256, 1), Id::MAX];
        for pair in ids.windows(2) {
            assert!(pair[0] < pair[1] && pair[0].to_be_bytes() < pair[1].to_be_bytes());
        }
        assert!(ids.iter().all(|id| Id::from_be_bytes(id.to_be_bytes()) == *id));
    }

    #[test]
    fn texts() {
        let parse = |text: &str| Id::parse(text.as_bytes(), 9).map(|id| (id.ms, id.seq));
        assert_eq!(parse("5-7"), Some((5, 7)));
        assert_eq!(parse("5"), Some((5, 9)));
        assert_eq!(parse("18446744073709551615-18446744073709551615"), Some((u64::MAX, u64::MAX)));
        // What C takes for a number.
        assert_eq!(parse("05-+7"), Some((5, 7)));
        assert_eq!(parse("5-7\0x"), Some((5, 7)));
        let bad =
            ["", "-", "+", "a", "5-", "-5", "5-a", "5--1", "18446744073709551616", "5-1-1", "*", "5-**"];
        for bad in bad {
            assert_eq!((parse(bad), Id::parse_open(bad.as_bytes())), (None, None), "{bad}");
        }
        assert_eq!(parse("5-*"), None);
        assert_eq!(Id::parse_open(b"5-*"), Some((5, None)));
        assert_eq!((Id::parse_open(b"5"), Id::parse_open(b"5-7")), (Some((5, Some(0))), Some((5, Some(7)))));
        assert_eq!(parse(&format!("{}5", "0".repeat(126))), Some((5, 9)));
        assert_eq!(parse(&format!("{}5", "0".repeat(127))), None);
        Id::new(12, u64::MAX).with_text(|text| assert_eq!(text, b"12-18446744073709551615"));
    }
}
