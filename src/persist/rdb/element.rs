//! A string of the format, as it was written: an integer, bytes of the input, or what was compressed in it.
//! In: what `Reader` found. Out: an `Element`. Absent: the listpack's own elements.

use crate::types::listpack::Element;
use std::borrow::Cow;

/// A string that is read. Integers stay integers, since many of them end up in packs.
#[derive(Clone, Debug)]
pub enum Text<'a> {
    Int(i64),
    Bytes(Cow<'a, [u8]>),
}

impl<'a> Text<'a> {
    pub fn element(&self) -> Element<'_> {
        match self {
            Text::Int(value) => Element::Int(*value),
            Text::Bytes(bytes) => Element::Bytes(bytes),
        }
    }

    /// The bytes, borrowed from the input where they stand there.
    pub fn into_bytes(self) -> Cow<'a, [u8]> {
        match self {
            Text::Int(_) => Cow::Owned(self.element().to_vec()),
            Text::Bytes(bytes) => bytes,
        }
    }
}

/// An element as what it means: bytes that are the canonical text of an integer are that integer, whichever way a
/// server wrote them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Meaning<'a> {
    Int(i64),
    Bytes(&'a [u8]),
}

impl<'a> Meaning<'a> {
    fn of(element: Element<'a>) -> Self {
        match (element.as_i64(), element) {
            (Some(value), _) | (None, Element::Int(value)) => Meaning::Int(value),
            (None, Element::Bytes(bytes)) => Meaning::Bytes(bytes),
        }
    }
}

/// Whether no two elements are the same text. Sorting them, and no hash table, since whoever made the input could
/// choose what collides.
pub fn distinct<'a>(elements: impl Iterator<Item = Element<'a>>) -> bool {
    let mut meanings: Vec<_> = elements.map(Meaning::of).collect();
    meanings.sort_unstable();
    meanings.windows(2).all(|pair| pair[0] != pair[1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_text_written_in_two_ways_is_the_same() {
        let bytes = Element::Bytes;
        assert!(distinct(
            [Element::Int(7), bytes(b"07"), bytes(b""), bytes(b"a"), Element::Int(-7)].into_iter()
        ));
        assert!(!distinct([Element::Int(7), bytes(b"a"), bytes(b"7")].into_iter()));
        assert!(!distinct([bytes(b"a"), bytes(b"b"), bytes(b"a")].into_iter()));
    }
}
