//! Values in Redis' RDB format, as DUMP, RESTORE and RDB files have them.
//! In: bytes to `decode`, or parts of a value for a `Writer`. Out: a `Value`, or bytes. A value is neutral: what the
//! server makes of it (a table, a list of nodes) is decided where it becomes an object; but see `stream`.
//! Absent: modules, which are refused as unsupported; what is around the values of a file (see `file`).
//!
//! ```text
//! value:   form: u8 | [key: string, in files] | body
//! DUMP:    value | version: u16 | CRC64: u64                  little-endian; the CRC is of all that is before it
//!
//! length:  00llllll                    6 bits
//!          01llllll l                  14 bits, big-endian, as all of these
//!          80 llll, 81 llllllll        32 and 64 bits
//! string:  length | bytes
//!          C0 i, C1 ii, C2 iiii        the text of an integer of 8, 16 or 32 bits, little-endian
//!          C3 packed: length | plain: length | LZF
//! ```
//!
//! 1. No input makes this panic, or allocate more than in proportion to its length: some 90 times as much where it is
//!    well compressed, as every reader must, and some 30 times as much otherwise.
//! 2. A decoded value is one that the server could have made: packs are sound through and through, members and fields
//!    distinct, sorted sets in order, scores numbers, collections not empty but for streams.

pub(super) mod decode;
mod element;
pub mod file;
mod lzf;
mod old;
mod payload;
mod read;
mod stream;
#[cfg(test)]
pub(super) mod tests;

mod write;

pub use decode::{EMPTY, Field, Node, Value, decode};
pub use element::Text;
pub use payload::{
    Checks, VERSION, VERSION_EXPIRING, VERSION_REDIS_7_0, VERSION_VALKEY, open, open_with, seal,
};
pub use read::Reader;
pub use write::{Part, Writer};

/// What is wrong with bytes that should be a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// A payload's end: too short, a version from the future, or another CRC.
    Footer,
    /// Not what any server writes; the text says where, for a log.
    Corrupt(&'static str),
    /// A form that exists, but which this server has no values for.
    Unsupported(u8),
}

pub type Result<T> = std::result::Result<T, Error>;

/// Who wrote it: the forms that were added after Redis became two have clashing numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    Redis,
    Valkey,
}

impl Dialect {
    const VALKEY_VERSION_MIN: u16 = payload::VERSION_VALKEY;

    /// The dialect of a version, none if the version is too new or nobody's.
    pub fn of_version(version: u16) -> Option<Dialect> {
        match version {
            0..=12 => Some(Dialect::Redis),
            Self::VALKEY_VERSION_MIN => Some(Dialect::Valkey),
            _ => None,
        }
    }

    /// Whose a version is that nobody had when this was written.
    pub fn nearest(version: u16) -> Dialect {
        if version < Self::VALKEY_VERSION_MIN { Dialect::Redis } else { Dialect::Valkey }
    }
}

/// The byte that a value begins with. The numbers are those of the format, and so is which server wrote what when.
pub(super) mod form {
    pub const STRING: u8 = 0;
    pub const LIST: u8 = 1;
    pub const SET: u8 = 2;
    /// Scores as text.
    pub const ZSET: u8 = 3;
    pub const HASH: u8 = 4;
    /// Scores in binary, since Redis 4.0.
    pub const ZSET_2: u8 = 5;
    pub const MODULE: u8 = 6;
    pub const MODULE_2: u8 = 7;
    /// Before Redis 2.6.
    pub const HASH_ZIPMAP: u8 = 9;
    pub const LIST_ZIPLIST: u8 = 10;
    pub const SET_INTSET: u8 = 11;
    pub const ZSET_ZIPLIST: u8 = 12;
    pub const HASH_ZIPLIST: u8 = 13;
    /// Nodes that are ziplists, Redis 3.2 to 6.2.
    pub const LIST_QUICKLIST: u8 = 14;
    pub const STREAM: u8 = 15;
    pub const HASH_LISTPACK: u8 = 16;
    pub const ZSET_LISTPACK: u8 = 17;
    /// Nodes that are listpacks or single elements, since Redis 7.0.
    pub const LIST_QUICKLIST_2: u8 = 18;
    pub const STREAM_2: u8 = 19;
    /// Since Redis 7.2.
    pub const SET_LISTPACK: u8 = 20;
    pub const STREAM_3: u8 = 21;

    /// Fields that expire, in Valkey since 9.0.
    pub const VALKEY_HASH_2: u8 = 22;

    /// Fields that expire, in release candidates of Redis 7.4.
    pub const HASH_METADATA_PRE_GA: u8 = 22;
    pub const HASH_LISTPACK_EX_PRE_GA: u8 = 23;
    /// Fields that expire, in Redis since 7.4.
    pub const HASH_METADATA: u8 = 24;
    pub const HASH_LISTPACK_EX: u8 = 25;
    pub const STREAM_4: u8 = 26;
}

/// What of a value of this form has to hold together, as Redis names it in its log.
pub fn part(form: u8) -> &'static str {
    match form {
        form::HASH_ZIPMAP => "Zipmap",
        form::LIST_ZIPLIST => "List ziplist",
        form::SET_INTSET => "Intset",
        form::ZSET_ZIPLIST => "Zset ziplist",
        form::HASH_ZIPLIST => "Hash ziplist",
        form::LIST_QUICKLIST => "Ziplist",
        form::LIST_QUICKLIST_2 => "Listpack",
        form::SET_LISTPACK => "Set listpack",
        form::ZSET_LISTPACK => "Zset listpack",
        form::HASH_LISTPACK => "Hash listpack",
        form::HASH_LISTPACK_EX => "Hash listpackex",
        form::STREAM | form::STREAM_2 | form::STREAM_3 | form::STREAM_4 => "Stream listpack",
        _ => "Value",
    }
}

/// How a node of a list is written.
mod container {
    pub const PLAIN: u64 = 1;
    pub const PACKED: u64 = 2;
}

/// The first byte of what is special about a string.
mod special {
    pub const INT_8: u8 = 0xC0;
    pub const INT_16: u8 = 0xC1;
    pub const INT_32: u8 = 0xC2;
    pub const LZF: u8 = 0xC3;
}
