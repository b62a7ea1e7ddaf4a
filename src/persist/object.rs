//! What the server makes of a value that was read, and which parts of one are written.
//! In: an entry, or what DUMP returned. Out: a payload, or a value for the keyspace.
//! Absent: the format (see `rdb`), keys, when a key expires.

use super::rdb::{self, Error, Reader, Result, Value, Writer};
use crate::base::number::parse_i64;
use crate::types::store::{Entry, Owned, Removed, Value as Stored};
use crate::types::{Encoding, Type};

/// What DUMP returns for an entry. `compress`: as the option rdbcompression has it.
pub fn dump(entry: &Entry, compress: bool) -> Vec<u8> {
    let mut out = Vec::new();
    let writer = Writer::new(&mut out, compress);
    match (entry.kind(), entry.value()) {
        (Type::String, Stored::Int(value)) => writer.string(itoa::Buffer::new().format(value).as_bytes()),
        (Type::String, Stored::Bytes(bytes)) => writer.string(bytes),
        (kind, _) => unreachable!("no command makes a {}", kind.name()),
    }
    rdb::seal(&mut out, rdb::VERSION);
    out
}

/// Reads what DUMP returned, here or on another server. As with Redis, there may be more behind the value.
pub fn restore(payload: &[u8]) -> Result<Removed> {
    let (dialect, body) = rdb::open(payload)?;
    let mut reader = Reader::new(body);
    let form = reader.u8()?;
    match rdb::decode(form, dialect, &mut reader)? {
        Value::String(bytes) => Ok(string(&bytes)),
        _ => Err(Error::Unsupported(form)),
    }
}

/// A string the way SET stores it.
fn string(bytes: &[u8]) -> Removed {
    let (encoding, value) = match parse_i64(bytes) {
        Some(value) => (Encoding::Int, Owned::Int(value)),
        None => (Encoding::of_string(bytes.len()), Owned::Bytes(bytes.to_vec())),
    };
    fresh(Type::String, encoding, value)
}

/// A value that nobody has used yet.
fn fresh(kind: Type, encoding: Encoding, value: Owned) -> Removed {
    Removed { kind, encoding, expiry: None, access: 0, value }
}
