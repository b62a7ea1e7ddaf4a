//! The values that a key can hold, and their names.
//! In: bytes and integers. Out: `Object`, what an entry of the keyspace points to when the value is not small.
//! Absent: keys, expiry and access clocks (see `shard::entry`), commands.

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
#[derive(Debug, Clone, PartialEq)]
pub enum Object {
    Bytes(Vec<u8>),
}

impl Object {
    pub fn kind(&self) -> Type {
        match self {
            Object::Bytes(_) => Type::String,
        }
    }

    /// What OBJECT ENCODING answers for a new key with this value.
    pub fn encoding(&self) -> Encoding {
        match self {
            Object::Bytes(_) => Encoding::Raw,
        }
    }

    /// Heap bytes of the value, its own box included. O(1): a collection keeps the figure up to date.
    pub fn bytes_allocated(&self) -> usize {
        size_of::<Object>()
            + match self {
                Object::Bytes(bytes) => bytes.capacity(),
            }
    }
}
