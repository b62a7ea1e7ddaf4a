//! Writes the pieces of a file.
//! In: what a piece says. Out: bytes at the end of a buffer. Absent: bodies of values (see `rdb::Writer`), the checksum of
//! pieces, which whoever puts them in order counts.

use super::super::{self as rdb, Dialect, Writer as Body};
use super::{Usage, opcode};
use crate::base::crc::Crc64;

/// Who can read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// Redis since 7.0, and every Valkey. As version 11, without its forms of small sets and of streams.
    V10,
    /// Redis since 7.2, and every Valkey. Without fields of hashes that expire.
    V11,
    /// Redis since 7.4.
    Redis12,
    /// Valkey since 9.0.
    Valkey80,
}

impl Version {
    /// What the option rdb-dialect asks for. `expiring`: for what has a hash with fields that expire.
    pub fn of(dialect: &str, expiring: bool) -> Version {
        match (expiring, dialect) {
            (false, "redis-7.0") => Version::V10,
            (false, _) => Version::V11,
            (true, "valkey") => Version::Valkey80,
            (true, _) => Version::Redis12,
        }
    }

    pub fn number(self) -> u16 {
        match self {
            Version::V10 => rdb::VERSION_REDIS_7_0,
            Version::V11 => rdb::VERSION,
            Version::Redis12 => rdb::VERSION_EXPIRING,
            Version::Valkey80 => rdb::VERSION_VALKEY,
        }
    }

    /// How hashes with fields that expire are written; none where they cannot be.
    pub fn expiring(self) -> Option<Dialect> {
        match self {
            Version::V10 | Version::V11 => None,
            Version::Redis12 => Some(Dialect::Redis),
            Version::Valkey80 => Some(Dialect::Valkey),
        }
    }

    /// Whether it has the forms of version 11: sets that are listpacks, streams that know when consumers were active.
    pub fn has_newest_forms(self) -> bool {
        self != Version::V10
    }

    fn magic(self) -> &'static [u8; 9] {
        match self {
            Version::V10 => b"REDIS0010",
            Version::V11 => b"REDIS0011",
            Version::Redis12 => b"REDIS0012",
            Version::Valkey80 => b"VALKEY080",
        }
    }
}

/// How a file is written.
#[derive(Clone, Copy, Debug)]
pub struct Writer {
    pub version: Version,
    /// As the option rdbcompression has it.
    pub compress: bool,
}

impl Writer {
    pub fn header(self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.version.magic());
    }

    pub fn aux(self, out: &mut Vec<u8>, key: &str, value: &[u8]) {
        out.push(opcode::AUX);
        self.body(out).text(key.as_bytes());
        self.body(out).text(value);
    }

    pub fn select_db(self, out: &mut Vec<u8>, db: u64) {
        out.push(opcode::SELECT_DB);
        self.body(out).length(db);
    }

    /// So many keys of the database follow, of which so many expire. A hint: readers make room.
    pub fn resize_db(self, out: &mut Vec<u8>, keys: u64, expiring: u64) {
        out.push(opcode::RESIZE_DB);
        self.body(out).length(keys);
        self.body(out).length(expiring);
    }

    /// A library of functions: its source.
    pub fn function(self, out: &mut Vec<u8>, library: &[u8]) {
        out.push(opcode::FUNCTION);
        self.body(out).text(library);
    }

    /// What stands before an entry's form. Expiry in Unix milliseconds.
    pub fn entry_head(self, out: &mut Vec<u8>, expiry_ms: Option<i64>, usage: Usage) {
        if let Some(expiry_ms) = expiry_ms {
            out.push(opcode::EXPIRES_MS);
            out.extend_from_slice(&expiry_ms.to_le_bytes());
        }
        match usage {
            Usage::Unknown => {}
            Usage::Idle(seconds) => {
                out.push(opcode::IDLE);
                self.body(out).length(seconds);
            }
            Usage::Frequency(frequency) => out.extend_from_slice(&[opcode::FREQUENCY, frequency]),
        }
    }

    fn body(self, out: &mut Vec<u8>) -> Body<'_> {
        Body::new(out, self.compress)
    }
}

/// The last bytes of a file. `checksum`: of all bytes before them, or none, as the option rdbchecksum has it.
pub fn trailer(checksum: Option<&Crc64>) -> [u8; 9] {
    let mut bytes = [opcode::END; 9];
    let checksum = checksum.map_or(0, |before| {
        let mut all = before.clone();
        all.update(&bytes[..1]);
        all.value()
    });
    bytes[1..].copy_from_slice(&checksum.to_le_bytes());
    bytes
}
