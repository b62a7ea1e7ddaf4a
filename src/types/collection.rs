//! What the keyspace asks of lists, sets, sorted sets, hashes and streams.
//! In: a collection's packed bytes or its object. Out: a value to be changed, a view to be read.
//! Absent: what the bytes mean (see each type), when a packed collection becomes an object (see `store`).
//!
//! A small collection is *packed*: one run of bytes (a listpack or an intset). If key and bytes fit one slot of the slab, they
//! lie in the entry itself, as a string would. To read it takes no copy (`View`); to change it, its bytes are copied out to a
//! collection of its own, and back afterwards.

use super::{Encoding, Object, Type};

/// A type of value with elements.
pub trait Collection: Sized {
    const TYPE: Type;
    /// The collection, borrowed, wherever it lies.
    type View<'a>: Copy
    where
        Self: 'a;

    /// An empty collection in memory that was used before.
    fn new(memory: Vec<u8>) -> Self;
    fn from_packed(encoding: Encoding, bytes: Vec<u8>) -> Self;
    fn view_packed(encoding: Encoding, bytes: &[u8]) -> Self::View<'_>;
    fn view(&self) -> Self::View<'_>;
    /// The bytes, if it is packed.
    fn packed_mut(&mut self) -> Option<&mut Vec<u8>>;
    /// The collection in an object of this type.
    fn of(object: &Object) -> &Self;
    fn of_mut(object: &mut Object) -> &mut Self;
    fn into_object(self) -> Object;
    fn encoding(&self) -> Encoding;
    fn is_empty(&self) -> bool;
    /// Heap bytes.
    fn bytes_allocated(&self) -> usize;
    fn duplicate(&self) -> Self;
    /// Frees about so many elements of a collection that is thrown away; true when nothing large is left.
    fn free_slice(&mut self, elements_max: usize) -> bool;
    /// Unix ms of the next expiry within the collection, or earlier; None if nothing in it expires.
    #[inline]
    fn next_expiry(&self) -> Option<i64> {
        None
    }
}

/// The part of `Collection` that is the same for all types: which variant of `Object` is theirs.
macro_rules! object_variant {
    ($variant:ident) => {
        const TYPE: super::Type = super::Type::$variant;

        fn of(object: &super::Object) -> &Self {
            let super::Object::$variant(it) = object else { unreachable!("the entry's type was looked at") };
            it
        }

        fn of_mut(object: &mut super::Object) -> &mut Self {
            let super::Object::$variant(it) = object else { unreachable!("the entry's type was looked at") };
            it
        }

        fn into_object(self) -> super::Object {
            super::Object::$variant(self)
        }
    };
}
pub(super) use object_variant;
