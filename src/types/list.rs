//! Lists of elements in order.
//! In: elements. Out: the same, in one packed run of bytes or in nodes of them. Absent: keys, replies.

use super::collection::Collection;
use super::listpack;
use super::{Encoding, Object, Type};

/// Elements in order.
#[derive(Debug)]
pub enum List {
    /// A listpack.
    Packed(Vec<u8>),
}

/// List to be read, wherever it lies.
#[derive(Clone, Copy, Debug)]
pub enum ListView<'a> {
    Packed(&'a [u8]),
}

impl Collection for List {
    const TYPE: Type = Type::List;
    type View<'a> = ListView<'a>;

    fn new(mut memory: Vec<u8>) -> Self {
        listpack::clear(&mut memory);
        List::Packed(memory)
    }

    fn from_packed(_: Encoding, bytes: Vec<u8>) -> Self {
        List::Packed(bytes)
    }

    fn view_packed(_: Encoding, bytes: &[u8]) -> ListView<'_> {
        ListView::Packed(bytes)
    }

    fn view(&self) -> ListView<'_> {
        match self {
            List::Packed(bytes) => ListView::Packed(bytes),
        }
    }

    fn packed_mut(&mut self) -> Option<&mut Vec<u8>> {
        match self {
            List::Packed(bytes) => Some(bytes),
        }
    }

    fn of(object: &Object) -> &Self {
        let Object::List(it) = object else { unreachable!("the entry's type was looked at") };
        it
    }

    fn of_mut(object: &mut Object) -> &mut Self {
        let Object::List(it) = object else { unreachable!("the entry's type was looked at") };
        it
    }

    fn into_object(self) -> Object {
        Object::List(self)
    }

    fn encoding(&self) -> Encoding {
        match self {
            List::Packed(_) => Encoding::Listpack,
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            List::Packed(bytes) => bytes.len() <= 7,
        }
    }

    fn bytes_allocated(&self) -> usize {
        match self {
            List::Packed(bytes) => bytes.capacity(),
        }
    }

    fn duplicate(&self) -> Self {
        match self {
            List::Packed(bytes) => List::Packed(bytes.clone()),
        }
    }

    fn free_slice(&mut self, _: usize) -> bool {
        match self {
            List::Packed(_) => true,
        }
    }
}
