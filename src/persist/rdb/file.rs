//! The frame of an RDB file: what stands before, between and behind the values.
//! In: a database's contents, piece by piece, for a `Writer`; or bytes in portions of any size, for a `Reader`. Out: bytes
//! that are appended to a buffer; or events. Absent: files, what becomes of values (see `persist::save`, `persist::object`).
//!
//! ```text
//! file:    REDIS dddd, or VALKEY ddd | record … | FF | CRC64: u64 since version 5, 0 for none, of all that is before it
//! record:  FA key: string | value: string              an auxiliary field
//!          FE db: length                               what follows is in that database
//!          FB keys: length | expiring: length          how many keys to expect
//!          F4 slot | keys | expiring: lengths          the same for a hash slot
//!          F5 library: string                          source of a library of functions
//!          [FC ms: i64, or FD s: i32] [F8 s: length, or F9 u8] form: u8 | key: string | body
//!                                                      an entry, when it expires, its idle time or its frequency
//!          F7 id | when | .. | parts | 0: lengths      data of a module besides keys
//!          F3 job: string | count | { first | last }   slots on their way from another server
//! ```
//!
//! Writing, in the order of the file (the storage thread owns the file and the checksum, cores append pieces to buffers):
//!
//! ```text
//! let writer = Writer { version: Version::V11, compress: true };   // Copy; each core has one
//! writer.header(&mut out);
//! writer.aux(&mut out, "redis-ver", b"8.0.0");                     // …
//! writer.function(&mut out, source);                               // once for each library
//! writer.select_db(&mut out, 0);                                   // as often as needed: pieces of several shards may
//! writer.resize_db(&mut out, keys, expiring);                      // take turns if each begins with select_db
//! match save::entry(writer, entry, usage, step_bytes, &mut out) {  // a whole entry, or the beginning of a large one
//!     Ok(Some(mut rest)) => while !rest.step(writer, entry, step_bytes, &mut out) { /* other work */ }
//!     …
//! }
//! crc.update(&out);                                                // base::crc::Crc64, of all bytes in order
//! out.extend(trailer(Some(&crc)));
//! ```
//!
//! Which version a file needs is known before its first byte: `V11` unless some hash has fields that expire. `V10` is for a
//! Redis 7.0 that is to read it.
//!
//! Reading (the reading thread finds where values end without decoding them; the owner of the key decodes):
//!
//! ```text
//! let mut reader = Reader::new(Some(file_bytes));
//! loop {
//!     match reader.next()? {
//!         None if at the end of the file => return Err(reader.cut()),
//!         None => reader.feed(the next portion),
//!         Some(Event::Entry(raw)) => send raw.key, raw.expiry, raw.usage, raw.form, raw.body to the key's owner,
//!                                    who makes a value of it: `object::load(&raw, &limits)`
//!         Some(Event::End { .. }) => break,      // reader.rest() is what is behind, as in a log with a preamble
//!         …
//!     }
//! }
//! ```

mod event;
mod read;
mod walk;
mod write;

pub use event::{Checksum, Error, Event, Raw, What};
pub use read::Reader;
pub use write::{Version, Writer, trailer};

/// What an eviction policy knows of an entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Usage {
    #[default]
    Unknown,
    /// Seconds since it was last used.
    Idle(u64),
    /// The logarithmic counter of LFU.
    Frequency(u8),
}

/// The byte that a record begins with, unless it is the form of a value.
mod opcode {
    pub const SLOT_IMPORT: u8 = 0xF3;
    pub const SLOT_INFO: u8 = 0xF4;
    pub const FUNCTION: u8 = 0xF5;
    /// In release candidates of Redis 7.0.
    pub const FUNCTION_PRE_GA: u8 = 0xF6;
    pub const MODULE_AUX: u8 = 0xF7;
    pub const IDLE: u8 = 0xF8;
    pub const FREQUENCY: u8 = 0xF9;
    pub const AUX: u8 = 0xFA;
    pub const RESIZE_DB: u8 = 0xFB;
    pub const EXPIRES_MS: u8 = 0xFC;
    pub const EXPIRES_S: u8 = 0xFD;
    pub const SELECT_DB: u8 = 0xFE;
    pub const END: u8 = 0xFF;
}

#[cfg(test)]
mod tests;
