//! The values that a key can hold, and their names.
//! In: bytes and integers. Out: `Object`, what an entry of the keyspace points to when the value is not small.
//! Absent: expired keys and choke points (see `shard`), commands.
//!
//! `store` is the hash table of the keyspace, of large hashes and of large sets; `collection` is what all types with elements
//! have in common.

pub mod collection;
pub mod entry;
pub mod geohash;
pub mod hash;
pub mod hyperloglog;
pub mod intset;
pub mod list;
pub mod listpack;
pub mod set;
pub mod slab;
pub mod store;
pub mod stream;
pub mod table;
pub mod tree;
pub mod zset;

pub use collection::Collection;
pub use hash::Hash;
pub use list::List;
pub use set::Set;
pub use stream::Stream;
pub use zset::Zset;

/// What TYPE answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Type {
    String,
    List,
    Set,
    Zset,
    Hash,
    Stream,
}

impl Type {
    pub const ALL: [Type; 6] = [Type::String, Type::List, Type::Set, Type::Zset, Type::Hash, Type::Stream];

    pub const fn name(self) -> &'static str {
        match self {
            Type::String => "string",
            Type::List => "list",
            Type::Set => "set",
            Type::Zset => "zset",
            Type::Hash => "hash",
            Type::Stream => "stream",
        }
    }
}

/// What OBJECT ENCODING answers. For strings a label only: the layout in memory is the keyspace's own affair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Encoding {
    Raw,
    Int,
    Embstr,
    Listpack,
    Quicklist,
    Intset,
    Hashtable,
    Skiplist,
    Stream,
}

impl Encoding {
    pub const ALL: [Encoding; 9] = [
        Encoding::Raw,
        Encoding::Int,
        Encoding::Embstr,
        Encoding::Listpack,
        Encoding::Quicklist,
        Encoding::Intset,
        Encoding::Hashtable,
        Encoding::Skiplist,
        Encoding::Stream,
    ];

    /// The longest string that SET labels `embstr`.
    pub const EMBSTR_BYTES_MAX: usize = 44;

    /// The label of a string that was just set as a whole.
    pub const fn of_string(bytes: usize) -> Encoding {
        if bytes <= Self::EMBSTR_BYTES_MAX { Encoding::Embstr } else { Encoding::Raw }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Encoding::Raw => "raw",
            Encoding::Int => "int",
            Encoding::Embstr => "embstr",
            Encoding::Listpack => "listpack",
            Encoding::Quicklist => "quicklist",
            Encoding::Intset => "intset",
            Encoding::Hashtable => "hashtable",
            Encoding::Skiplist => "skiplist",
            Encoding::Stream => "stream",
        }
    }
}

/// A value that does not fit beside its key.
#[derive(Debug)]
pub enum Object {
    Bytes(Vec<u8>),
    List(List),
    Set(Set),
    Zset(Zset),
    Hash(Hash),
    Stream(Stream),
}

#[cfg(test)]
impl PartialEq for Object {
    fn eq(&self, other: &Object) -> bool {
        matches!((self, other), (Object::Bytes(a), Object::Bytes(b)) if a == b)
    }
}

/// Evaluates `$body` with `$it` as the collection of `$object`, or `$bytes` if it is a string.
macro_rules! each_type {
    ($object:expr, $it:ident => $body:expr, $string:ident => $bytes:expr) => {
        match $object {
            Object::Bytes($string) => $bytes,
            Object::List($it) => $body,
            Object::Set($it) => $body,
            Object::Zset($it) => $body,
            Object::Hash($it) => $body,
            Object::Stream($it) => $body,
        }
    };
}

impl Object {
    pub fn kind(&self) -> Type {
        match self {
            Object::Bytes(_) => Type::String,
            Object::List(_) => Type::List,
            Object::Set(_) => Type::Set,
            Object::Zset(_) => Type::Zset,
            Object::Hash(_) => Type::Hash,
            Object::Stream(_) => Type::Stream,
        }
    }

    /// What OBJECT ENCODING answers for a new key with this value.
    pub fn encoding(&self) -> Encoding {
        each_type!(self, it => it.encoding(), _bytes => Encoding::Raw)
    }

    /// Heap bytes of the value, its own box included. O(1): a collection keeps the figure up to date.
    pub fn bytes_allocated(&self) -> usize {
        size_of::<Object>() + each_type!(self, it => it.bytes_allocated(), bytes => bytes.capacity())
    }

    /// See `Collection::next_expiry`.
    pub fn next_expiry(&self) -> Option<i64> {
        each_type!(self, it => it.next_expiry(), _bytes => None)
    }

    /// A string's bytes, or a packed collection's, as an object.
    pub fn from_packed(kind: Type, encoding: Encoding, bytes: Vec<u8>) -> Object {
        match kind {
            Type::String => Object::Bytes(bytes),
            Type::List => Object::List(List::from_packed(encoding, bytes)),
            Type::Set => Object::Set(Set::from_packed(encoding, bytes)),
            Type::Zset => Object::Zset(Zset::from_packed(encoding, bytes)),
            Type::Hash => Object::Hash(Hash::from_packed(encoding, bytes)),
            Type::Stream => unreachable!("streams have no packed form"),
        }
    }

    /// A copy of its own.
    pub fn duplicate(&self) -> Object {
        each_type!(self, it => it.duplicate().into_object(), bytes => Object::Bytes(bytes.clone()))
    }

    /// Frees a part of a value that is thrown away, of about so many elements; true when nothing large is left.
    pub fn free_slice(&mut self, elements_max: usize) -> bool {
        each_type!(self, it => it.free_slice(elements_max), _bytes => true)
    }
}

/// Sizes up to which collections are packed, and the nodes of lists and streams, as the configuration has them.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub hash_entries_max: usize,
    pub hash_value_bytes_max: usize,
    /// Positive: elements of a list's node; -1 to -5: 4 to 64 KiB.
    pub list_size_max: i64,
    /// Elements of so many bytes get a node of their own, if that is not 0; only DEBUG sets it.
    pub list_large_bytes_min: u32,
    pub set_ints_max: usize,
    pub set_entries_max: usize,
    pub set_value_bytes_max: usize,
    pub zset_entries_max: usize,
    pub zset_value_bytes_max: usize,
    /// Of a stream's node; 0: 1 GiB.
    pub stream_node_bytes_max: usize,
    /// 0: no limit.
    pub stream_node_entries_max: usize,
}

#[cfg(test)]
impl Limits {
    /// No collection is small enough to be packed.
    pub const NONE_PACKED: Limits = Limits {
        hash_entries_max: 0,
        hash_value_bytes_max: 0,
        list_size_max: 1,
        list_large_bytes_min: 0,
        set_ints_max: 0,
        set_entries_max: 0,
        set_value_bytes_max: 0,
        zset_entries_max: 0,
        zset_value_bytes_max: 0,
        stream_node_bytes_max: 1,
        stream_node_entries_max: 1,
    };
}

impl Default for Limits {
    /// The configuration's own defaults.
    fn default() -> Self {
        Limits {
            hash_entries_max: 512,
            hash_value_bytes_max: 64,
            list_size_max: -2,
            list_large_bytes_min: 0,
            set_ints_max: 512,
            set_entries_max: 128,
            set_value_bytes_max: 64,
            zset_entries_max: 128,
            zset_value_bytes_max: 64,
            stream_node_bytes_max: 4096,
            stream_node_entries_max: 100,
        }
    }
}

static HASHER: std::sync::OnceLock<ahash::RandomState> = std::sync::OnceLock::new();

/// How members and fields of large collections are hashed, the same for all of them.
pub fn hasher() -> ahash::RandomState {
    HASHER.get_or_init(|| ahash::RandomState::with_seeds(1, 2, 3, 4)).clone()
}

/// Makes the hashes of members and fields unpredictable: to be called once, before the first of them.
pub fn seed_hasher(seed: u64) {
    let _ = HASHER.set(ahash::RandomState::with_seeds(seed, !seed, seed.rotate_left(24), seed ^ 0x5bd1_e995));
}
