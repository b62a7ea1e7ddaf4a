//! Hash slots of keys: CRC16 (XMODEM) of the key or of its {tag}, as the Redis cluster specification has it.
//! Checksums of values: CRC64 (Jones), as RDB has it.

use crc::{CRC_16_XMODEM, Crc, Table};
use crc_fast::{CrcAlgorithm, Digest};

const CRC16: Crc<u16, Table<16>> = Crc::<u16, Table<16>>::new(&CRC_16_XMODEM);
static TABLE: Crc<u16, Table<16>> = CRC16;

/// The checksum of DUMP's payloads.
pub fn crc64(bytes: &[u8]) -> u64 {
    crc_fast::checksum(CrcAlgorithm::Crc64Redis, bytes)
}

/// The checksum of what comes in pieces, such as an RDB file. What pieces have in parallel can be joined in order.
#[derive(Clone)]
pub struct Crc64(Digest);

impl Crc64 {
    pub fn new() -> Self {
        Crc64(Digest::new(CrcAlgorithm::Crc64Redis))
    }

    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Adds what was counted elsewhere of the bytes that follow.
    pub fn append(&mut self, behind: &Crc64) {
        self.0.combine(&behind.0);
    }

    pub fn value(&self) -> u64 {
        self.0.finalize()
    }
}

impl Default for Crc64 {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Crc64 {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "Crc64({:016x})", self.value())
    }
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
    use super::{Crc64, crc64, slot};

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
    fn pieces_have_the_checksum_of_the_whole() {
        let bytes: Vec<u8> = (0..5000u32).map(|i| (i * i / 8) as u8).collect();
        let table = crc::Crc::<u64>::new(&crc::CRC_64_REDIS);
        for cut in [0, 1, 7, 16, 255, 256, 2500, 4999, 5000] {
            let (before, behind) = bytes.split_at(cut);
            let (mut fed, mut joined, mut second) = (Crc64::new(), Crc64::new(), Crc64::new());
            fed.update(before);
            fed.update(behind);
            joined.update(before);
            second.update(behind);
            joined.append(&second);
            assert_eq!([fed.value(), joined.value(), crc64(&bytes)], [table.checksum(&bytes); 3], "{cut}");
        }
    }

    #[test]
    fn a_tag_decides_unless_it_is_empty() {
        assert_eq!(slot(b"a{user1000}b"), slot(b"user1000"));
        assert_eq!(slot(b"{a}{b}"), slot(b"a"));
        assert_ne!(slot(b"foo{}{bar}"), slot(b"bar"));
        assert_eq!(slot(b"foo{{bar}}zap"), slot(b"{bar"));
    }
}
