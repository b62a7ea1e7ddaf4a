//! What a reader finds in a file, and what can be wrong with one.
//! In: nothing. Out: types, and texts of errors. Absent: how they are found (see `read`).

use super::super::{self as rdb, Dialect, Reader as Primitives, form};
use super::Usage;
use std::borrow::Cow;
use std::fmt;

/// A record of a file, in the order of the file.
#[derive(Debug)]
pub enum Event<'a> {
    /// The first, and only there.
    Version {
        dialect: Dialect,
        number: u16,
    },
    Aux {
        key: Cow<'a, [u8]>,
        value: Cow<'a, [u8]>,
    },
    /// Entries are in this database until the next such event, at first in 0.
    SelectDb(u64),
    /// A hint, which may be wrong.
    ResizeDb {
        keys: u64,
        expiring: u64,
    },
    /// A hint, which may be wrong.
    SlotInfo {
        slot: u64,
        keys: u64,
        expiring: u64,
    },
    /// A hash slot was on its way from another server to the one that wrote the file.
    SlotImport {
        job: Cow<'a, [u8]>,
    },
    Entry(Raw<'a>),
    /// A library of functions: its source.
    Function(Cow<'a, [u8]>),
    /// Data that a module keeps besides keys, skipped.
    ModuleAux {
        module: String,
    },
    /// The last. What is behind it is not the file's (see `Reader::rest`).
    End(Checksum),
}

/// What the checksum at the end says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    Sound,
    /// The file is older than checksums, or was written without, or the reader was told not to look.
    Unchecked,
}

/// An entry whose body was measured, and not decoded.
#[derive(Clone, Debug)]
pub struct Raw<'a> {
    pub dialect: Dialect,
    pub db: u64,
    pub key: Cow<'a, [u8]>,
    /// Unix time in milliseconds; it may have passed, and is negative in files that are old and odd.
    pub expiry_ms: Option<i64>,
    pub usage: Usage,
    /// How the body is written (see `rdb::decode`).
    pub form: u8,
    pub body: &'a [u8],
    /// Where the body is in the file.
    pub body_offset: u64,
}

impl Raw<'_> {
    /// Whether that reader, which began at the body, has read all of it.
    pub fn whole(&self, reader: &Primitives) -> rdb::Result<()> {
        if reader.rest().is_empty() { Ok(()) } else { Err(rdb::Error::Corrupt("more than a value")) }
    }

    /// What a reader that began at the body found wrong.
    pub fn error(&self, reader: &Primitives, error: rdb::Error) -> Error {
        let at = self.body.len() - reader.from_text().len();
        let what = match (error, Primitives::new(self.body).length()) {
            (rdb::Error::Unsupported(form::MODULE_2), Ok(id)) => What::Module(module_name(id)),
            _ => What::Value(error),
        };
        Error { offset: self.body_offset + at as u64, key: Some(self.key.clone().into_owned()), what }
    }
}

/// The name of a module is in its id: nine characters of six bits, and a version of ten.
pub(super) fn module_name(id: u64) -> String {
    const CHARACTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    (0..9).map(|at| char::from(CHARACTERS[(id >> (58 - 6 * at)) as usize & 0x3F])).collect()
}

/// What is wrong with a file, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// Of the byte that is not as it should be, from the beginning of the file.
    pub offset: u64,
    /// The key that was being read.
    pub key: Option<Vec<u8>>,
    pub what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// It does not begin as an RDB file does.
    Signature,
    /// Nobody's version, or one from the future.
    Version(String),
    /// It ends within a record, or without its end.
    Cut,
    /// No record begins with that byte.
    Opcode(u8),
    /// Data of a module of that name, which this server does not have.
    Module(String),
    /// Something that only servers wrote that were never released.
    Unreleased(&'static str),
    Checksum {
        found: u64,
        expected: u64,
    },
    Value(rdb::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "offset {}", self.offset)?;
        if let Some(key) = &self.key {
            write!(f, ", key \"{}\"", key.escape_ascii())?;
        }
        write!(f, ": {}", self.what)
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            What::Signature => write!(f, "wrong signature, this is no RDB file"),
            What::Version(version) => write!(f, "can't handle RDB format version {version}"),
            What::Cut => write!(f, "unexpected end of file"),
            What::Opcode(byte) => write!(f, "unknown record or value type {byte}"),
            What::Module(name) => write!(f, "data of the module '{name}', which is not here"),
            What::Unreleased(what) => write!(f, "{what} as only release candidates wrote them"),
            What::Checksum { found, expected } => {
                write!(f, "wrong checksum: the file says {expected:016x}, its bytes have {found:016x}")
            }
            What::Value(rdb::Error::Corrupt(text)) => write!(f, "{text} (integrity check failed)"),
            What::Value(rdb::Error::Unsupported(form)) => {
                write!(f, "a value of type {form}, which is not supported")
            }
            What::Value(rdb::Error::Footer) => write!(f, "a wrong footer"),
        }
    }
}
