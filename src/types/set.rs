//! Sets of distinct members.
//! In: members. Out: the same, as sorted integers, in one packed run of bytes, or a table. Absent: keys, replies.

use super::collection::Collection;
use super::intset;
use super::store::Store;
use super::{Encoding, Object, Type};

/// Distinct members.
#[derive(Debug)]
pub enum Set {
    /// An intset.
    Ints(Vec<u8>),
    /// A listpack.
    Packed(Vec<u8>),
    Table(Box<Store>),
}

/// Set to be read, wherever it lies.
#[derive(Clone, Copy, Debug)]
pub enum SetView<'a> {
    Ints(&'a [u8]),
    Packed(&'a [u8]),
    Table(&'a Store),
}

impl Collection for Set {
    const TYPE: Type = Type::Set;
    type View<'a> = SetView<'a>;

    fn new(mut memory: Vec<u8>) -> Self {
        intset::clear(&mut memory);
        Set::Ints(memory)
    }

    fn from_packed(encoding: Encoding, bytes: Vec<u8>) -> Self {
        if encoding == Encoding::Intset { Set::Ints(bytes) } else { Set::Packed(bytes) }
    }

    fn view_packed(encoding: Encoding, bytes: &[u8]) -> SetView<'_> {
        if encoding == Encoding::Intset { SetView::Ints(bytes) } else { SetView::Packed(bytes) }
    }

    fn view(&self) -> SetView<'_> {
        match self {
            Set::Ints(bytes) => SetView::Ints(bytes),
            Set::Packed(bytes) => SetView::Packed(bytes),
            Set::Table(table) => SetView::Table(table),
        }
    }

    fn packed_mut(&mut self) -> Option<&mut Vec<u8>> {
        match self {
            Set::Ints(bytes) | Set::Packed(bytes) => Some(bytes),
            Set::Table(_) => None,
        }
    }

    fn of(object: &Object) -> &Self {
        let Object::Set(it) = object else { unreachable!("the entry's type was looked at") };
        it
    }

    fn of_mut(object: &mut Object) -> &mut Self {
        let Object::Set(it) = object else { unreachable!("the entry's type was looked at") };
        it
    }

    fn into_object(self) -> Object {
        Object::Set(self)
    }

    fn encoding(&self) -> Encoding {
        match self {
            Set::Ints(_) => Encoding::Intset,
            Set::Packed(_) => Encoding::Listpack,
            Set::Table(_) => Encoding::Hashtable,
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Set::Ints(bytes) => bytes.len() <= 8,
            Set::Packed(bytes) => bytes.len() <= 7,
            Set::Table(table) => table.is_empty(),
        }
    }

    fn bytes_allocated(&self) -> usize {
        match self {
            Set::Ints(bytes) | Set::Packed(bytes) => bytes.capacity(),
            Set::Table(table) => size_of::<Store>() + table.bytes(),
        }
    }

    fn duplicate(&self) -> Self {
        match self {
            Set::Ints(bytes) => Set::Ints(bytes.clone()),
            Set::Packed(bytes) => Set::Packed(bytes.clone()),
            Set::Table(table) => Set::Table(Box::new(table.duplicate())),
        }
    }

    fn free_slice(&mut self, elements_max: usize) -> bool {
        match self {
            Set::Ints(_) | Set::Packed(_) => true,
            Set::Table(table) => table.free_slice(elements_max, &mut drop),
        }
    }
}
