//! The frame of what DUMP returns and RESTORE takes: a version and a CRC64 behind the value.
//! In: a value's bytes, or a payload. Out: the other. Absent: the value.

use super::{Dialect, Error, Result};
use crate::base::crc::crc64;

/// What is written unless the value needs a newer one: all of Redis 7.2 and later and Valkey read it.
pub const VERSION: u16 = 11;

/// What a hash needs some of whose fields expire, in Redis' dialect.
pub const VERSION_EXPIRING: u16 = 12;

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
    let (opened, crc) = open_unchecked(payload)?;
    if crc64(&payload[..payload.len() - CRC_BYTES]) != crc {
        return Err(Error::Footer);
    }
    Ok(opened)
}

/// The same whatever the CRC is, which is returned, too.
pub fn open_unchecked(payload: &[u8]) -> Result<((Dialect, &[u8]), u64)> {
    let (sealed, crc) = payload.split_last_chunk::<CRC_BYTES>().ok_or(Error::Footer)?;
    let (value, version) = sealed.split_last_chunk::<VERSION_BYTES>().ok_or(Error::Footer)?;
    let dialect = Dialect::of_version(u16::from_le_bytes(*version)).ok_or(Error::Footer)?;
    Ok(((dialect, value), u64::from_le_bytes(*crc)))
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
