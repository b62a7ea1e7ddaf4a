//! Hash slots of keys: CRC16 (XMODEM) of the key or of its {tag}, as the Redis cluster specification has it.
//! Checksums of values: CRC64 (Jones), as RDB has it.

use crc::{CRC_16_XMODEM, CRC_64_REDIS, Crc, Table};

const CRC16: Crc<u16, Table<16>> = Crc::<u16, Table<16>>::new(&CRC_16_XMODEM);
static TABLE: Crc<u16, Table<16>> = CRC16;

const CRC64: Crc<u64, Table<16>> = Crc::<u64, Table<16>>::new(&CRC_64_REDIS);
static TABLE64: Crc<u64, Table<16>> = CRC64;

/// The checksum of RDB files and of DUMP's payloads.
pub fn crc64(bytes: &[u8]) -> u64 {
    TABLE64.checksum(bytes)
}

/// The hash slot of `key`, 0 to 16383. What stands between the first `{` and the next `}` decides, unless empty.
#[inline]
pub fn slot(key: &[u8]) -> u16 {
    TABLE.checksum(tag(key)) & 0x3fff
}

#[inline]
fn tag(key: &[u8]) -> &[u8] {
    let Some(open) = memchr::memchr(b'{', key) else { return key };
    match memchr::memchr(b'}', &key[open + 1..]) {
        Some(len) if len > 0 => &key[open + 1..open + 1 + len],
        _ => key,
    }
}

#[cfg(test)]
mod tests {
    use super::{crc64, slot};

    #[test]
    fn slots_are_those_of_redis_cluster() {
        // CLUSTER KEYSLOT of a real Redis.
        for (key, expected) in [("foo", 12182), ("somekey", 11058), ("", 0), ("123456789", 12739)] {
            assert_eq!(slot(key.as_bytes()), expected, "{key}");
        }
    }

    #[test]
    fn checksums_are_those_of_rdb() {
        // DUMP of a real Redis: what is before the checksum, and the checksum.
        assert_eq!(crc64(b"\0\x05hello\x0a\0"), 0x0a20_3465_76df_7263);
        assert_eq!(crc64(b""), 0);
    }

    #[test]
    fn a_tag_decides_unless_it_is_empty() {
        assert_eq!(slot(b"a{user1000}b"), slot(b"user1000"));
        assert_eq!(slot(b"{a}{b}"), slot(b"a"));
        assert_ne!(slot(b"foo{}{bar}"), slot(b"bar"));
        assert_eq!(slot(b"foo{{bar}}zap"), slot(b"{bar"));
    }
}
