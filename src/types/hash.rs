//! Hashes: fields with values.
//! In: fields and values. Out: the same, in one packed run of bytes or a table. Absent: keys, replies.

use super::collection::Collection;
use super::listpack;
use super::store::Store;
use super::{Encoding, Object, Type};

/// Fields with values.
#[derive(Debug)]
pub enum Hash {
    /// A listpack: field, value, field, value …
    Packed(Vec<u8>),
    Table(Box<Store>),
}

/// Hash to be read, wherever it lies.
#[derive(Clone, Copy, Debug)]
pub enum HashView<'a> {
    Packed(&'a [u8]),
    Table(&'a Store),
}

impl Collection for Hash {
    const TYPE: Type = Type::Hash;
    type View<'a> = HashView<'a>;

    fn new(mut memory: Vec<u8>) -> Self {
        listpack::clear(&mut memory);
        Hash::Packed(memory)
    }

    fn from_packed(_: Encoding, bytes: Vec<u8>) -> Self {
        Hash::Packed(bytes)
    }

    fn view_packed(_: Encoding, bytes: &[u8]) -> HashView<'_> {
        HashView::Packed(bytes)
    }

    fn view(&self) -> HashView<'_> {
        match self {
            Hash::Packed(bytes) => HashView::Packed(bytes),
            Hash::Table(table) => HashView::Table(table),
        }
    }

    fn packed_mut(&mut self) -> Option<&mut Vec<u8>> {
        match self {
            Hash::Packed(bytes) => Some(bytes),
            Hash::Table(_) => None,
        }
    }

    fn of(object: &Object) -> &Self {
        let Object::Hash(it) = object else { unreachable!("the entry's type was looked at") };
        it
    }

    fn of_mut(object: &mut Object) -> &mut Self {
        let Object::Hash(it) = object else { unreachable!("the entry's type was looked at") };
        it
    }

    fn into_object(self) -> Object {
        Object::Hash(self)
    }

    fn encoding(&self) -> Encoding {
        match self {
            Hash::Packed(_) => Encoding::Listpack,
            Hash::Table(_) => Encoding::Hashtable,
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Hash::Packed(bytes) => bytes.len() <= 7,
            Hash::Table(table) => table.is_empty(),
        }
    }

    fn bytes_allocated(&self) -> usize {
        match self {
            Hash::Packed(bytes) => bytes.capacity(),
            Hash::Table(table) => size_of::<Store>() + table.bytes(),
        }
    }

    fn duplicate(&self) -> Self {
        match self {
            Hash::Packed(bytes) => Hash::Packed(bytes.clone()),
            Hash::Table(table) => Hash::Table(Box::new(table.duplicate())),
        }
    }

    fn free_slice(&mut self, elements_max: usize) -> bool {
        match self {
            Hash::Packed(_) => true,
            Hash::Table(table) => table.free_slice(elements_max, &mut drop),
        }
    }
}
