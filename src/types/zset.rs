//! Sorted sets: distinct members in the order of their scores.
//! In: members and scores. Out: the same, in one packed run of bytes or in a table with a tree. Absent: keys, replies.

use super::collection::Collection;
use super::listpack;
use super::{Encoding, Object, Type};

/// Distinct members in order of score, then of their bytes.
#[derive(Debug)]
pub enum Zset {
    /// A listpack: member, score, member, score … in order.
    Packed(Vec<u8>),
}

/// Zset to be read, wherever it lies.
#[derive(Clone, Copy, Debug)]
pub enum ZsetView<'a> {
    Packed(&'a [u8]),
}

impl Collection for Zset {
    const TYPE: Type = Type::Zset;
    type View<'a> = ZsetView<'a>;

    fn new(mut memory: Vec<u8>) -> Self {
        listpack::clear(&mut memory);
        Zset::Packed(memory)
    }

    fn from_packed(_: Encoding, bytes: Vec<u8>) -> Self {
        Zset::Packed(bytes)
    }

    fn view_packed(_: Encoding, bytes: &[u8]) -> ZsetView<'_> {
        ZsetView::Packed(bytes)
    }

    fn view(&self) -> ZsetView<'_> {
        match self {
            Zset::Packed(bytes) => ZsetView::Packed(bytes),
        }
    }

    fn packed_mut(&mut self) -> Option<&mut Vec<u8>> {
        match self {
            Zset::Packed(bytes) => Some(bytes),
        }
    }

    fn of(object: &Object) -> &Self {
        let Object::Zset(it) = object else { unreachable!("the entry's type was looked at") };
        it
    }

    fn of_mut(object: &mut Object) -> &mut Self {
        let Object::Zset(it) = object else { unreachable!("the entry's type was looked at") };
        it
    }

    fn into_object(self) -> Object {
        Object::Zset(self)
    }

    fn encoding(&self) -> Encoding {
        match self {
            Zset::Packed(_) => Encoding::Listpack,
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Zset::Packed(bytes) => bytes.len() <= 7,
        }
    }

    fn bytes_allocated(&self) -> usize {
        match self {
            Zset::Packed(bytes) => bytes.capacity(),
        }
    }

    fn duplicate(&self) -> Self {
        match self {
            Zset::Packed(bytes) => Zset::Packed(bytes.clone()),
        }
    }

    fn free_slice(&mut self, _: usize) -> bool {
        match self {
            Zset::Packed(_) => true,
        }
    }
}
