//! The frame of what DUMP returns and RESTORE takes: a version and a CRC64 behind the value.
//! In: a value's bytes, or a payload. Out: the other. Absent: the value.

use super::{Dialect, Error, Result};
use crate::base::crc::crc64;

/// What Redis 7.0 reads: sets are no listpacks there.
pub const VERSION_REDIS_7_0: u16 = 10;

/// What is written unless the value needs a newer one: all of Redis 7.2 and later and Valkey read it.
pub const VERSION: u16 = 11;

/// What a hash needs some of whose fields expire, in Redis' dialect.
pub const VERSION_EXPIRING: u16 = 12;

/// The same in Valkey's.
pub const VERSION_VALKEY: u16 = 80;

/// What has to be right about the end of a payload.
#[derive(Clone, Copy, Debug)]
pub struct Checks {
    pub checksum: bool,
    /// That the version is known. If not, it is taken for the nearest that is.
    pub version: bool,
}

impl Checks {
    pub const ALL: Checks = Checks { checksum: true, version: true };
}

const CRC_BYTES: usize = 8;
const VERSION_BYTES: usize = 2;

/// Adds version and CRC.
pub fn seal(value: &mut Vec<u8>, version: u16) {
    value.extend_from_slice(&version.to_le_bytes());
    let crc = crc64(value);
    value.extend_from_slice(&crc.to_le_bytes());
}

/// The value, and whose forms it has. A CRC of zero, which a file may have, is none that a payload may have.
pub fn open(payload: &[u8]) -> Result<(Dialect, &[u8])> {
    open_with(payload, Checks::ALL)
}

/// The same with less care.
pub fn open_with(payload: &[u8], checks: Checks) -> Result<(Dialect, &[u8])> {
    let (sealed, crc) = payload.split_last_chunk::<CRC_BYTES>().ok_or(Error::Footer)?;
    let (value, version) = sealed.split_last_chunk::<VERSION_BYTES>().ok_or(Error::Footer)?;
    let version = u16::from_le_bytes(*version);
    let dialect = match Dialect::of_version(version) {
        None if !checks.version => Dialect::nearest(version),
        known => known.ok_or(Error::Footer)?,
    };
    if checks.checksum && crc64(sealed) != u64::from_le_bytes(*crc) {
        return Err(Error::Footer);
    }
    Ok((dialect, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_of_a_real_server() {
        let mut payload = b"\0\x05hello".to_vec();
        seal(&mut payload, 10);
        assert_eq!(payload[7..], [0x0a, 0, 0x63, 0x72, 0xdf, 0x76, 0x65, 0x34, 0x20, 0x0a]);
        assert_eq!(open(&payload), Ok((Dialect::Redis, &b"\0\x05hello"[..])));
    }

    #[test]
    fn versions() {
        let opened = |version| {
            let mut payload = b"\0\x05hello".to_vec();
            seal(&mut payload, version);
            open(&payload).map(|(dialect, _)| dialect)
        };
        for version in [1, 6, 9, 10, 11, 12] {
            assert_eq!(opened(version), Ok(Dialect::Redis));
        }
        assert_eq!(opened(80), Ok(Dialect::Valkey));
        for version in [13, 79, 81, 255, 256, u16::MAX] {
            assert_eq!(opened(version), Err(Error::Footer), "{version}");
            let mut payload = b"\0\x05hello".to_vec();
            seal(&mut payload, version);
            let nearest = if version < 80 { Dialect::Redis } else { Dialect::Valkey };
            let relaxed = Checks { version: false, ..Checks::ALL };
            assert_eq!(open_with(&payload, relaxed), Ok((nearest, &b"\0\x05hello"[..])), "{version}");
        }
    }

    #[test]
    fn every_bit_counts() {
        let mut payload = b"\0\x05hello".to_vec();
        seal(&mut payload, 11);
        for bit in 0..payload.len() * 8 {
            payload[bit / 8] ^= 1u8 << (bit % 8);
            assert_eq!(open(&payload), Err(Error::Footer));
            payload[bit / 8] ^= 1u8 << (bit % 8);
        }
        for length in 0..payload.len() {
            assert_eq!(open(&payload[..length]), Err(Error::Footer));
        }
        let crc = payload.len() - 8;
        payload[crc..].fill(0);
        assert_eq!(open(&payload), Err(Error::Footer));
    }
}
