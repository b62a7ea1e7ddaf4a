//! An element in the bytes of a listpack, and the size behind it.
//! In: bytes or an integer. Out: the shortest form of it. Absent: reading elements (`listpack`).

use super::{INT_16, INT_24, INT_32, INT_64, STRING_32};
use crate::base::number;

/// An element on its way into a listpack.
pub struct Encoded<'a> {
    pub(super) head: [u8; 9],
    pub(super) head_bytes: usize,
    pub(super) data: &'a [u8],
}

impl<'a> Encoded<'a> {
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Encoded<'a> {
        number::parse_i64(bytes).map_or_else(|| Self::string(bytes), Self::int)
    }

    fn string(data: &'a [u8]) -> Encoded<'a> {
        let len = data.len();
        match len {
            0..64 => Self::from_head(&[0x80 | len as u8], data),
            64..4096 => Self::from_head(&[0xE0 | (len >> 8) as u8, len as u8], data),
            _ => {
                let len = u32::try_from(len).expect("an element is shorter than BYTES_MAX").to_le_bytes();
                Self::from_head(&[STRING_32, len[0], len[1], len[2], len[3]], data)
            }
        }
    }

    pub fn int(value: i64) -> Encoded<'a> {
        let bytes = value.to_le_bytes();
        let wide = |head: u8, width: usize| {
            let mut all = [head; 9];
            all[1..].copy_from_slice(&bytes);
            Encoded { head: all, head_bytes: 1 + width, data: &[] }
        };
        match value {
            0..=127 => Self::from_head(&[bytes[0]], &[]),
            -4096..=4095 => Self::from_head(&[0xC0 | bytes[1] & 0x1F, bytes[0]], &[]),
            -0x8000..=0x7FFF => wide(INT_16, 2),
            -0x80_0000..=0x7F_FFFF => wide(INT_24, 3),
            -0x8000_0000..=0x7FFF_FFFF => wide(INT_32, 4),
            _ => wide(INT_64, 8),
        }
    }

    #[inline]
    fn from_head(first: &[u8], data: &'a [u8]) -> Encoded<'a> {
        let mut head = [0; 9];
        head[..first.len()].copy_from_slice(first);
        Encoded { head, head_bytes: first.len(), data }
    }

    pub(super) fn size(&self) -> usize {
        self.head_bytes + self.data.len()
    }

    /// Bytes that the element takes in a listpack.
    #[inline]
    pub fn bytes(&self) -> usize {
        let size = self.size();
        size + Back::bytes(size)
    }

    /// Writes the element to `into`, which is as long as `bytes` says.
    #[inline]
    pub fn write(&self, into: &mut [u8]) {
        let (head, rest) = into.split_at_mut(self.head_bytes);
        head.copy_from_slice(&self.head[..self.head_bytes]);
        let (data, back) = rest.split_at_mut(self.data.len());
        data.copy_from_slice(self.data);
        back.copy_from_slice(Back::of(self.size()).as_slice());
    }
}

/// The size of an element, behind it: 7 bits a byte, the lowest in the last; a byte with its top bit set has another
/// one to its left.
pub(super) struct Back {
    bytes: [u8; 5],
    pub(super) len: usize,
}

impl Back {
    #[inline]
    pub(super) fn of(size: usize) -> Back {
        let mut back = Back { bytes: [0; 5], len: Back::bytes(size) };
        for i in 0..back.len {
            let group = (size >> (7 * (back.len - 1 - i)) & 0x7F) as u8;
            back.bytes[i] = if i == 0 { group } else { group | 0x80 };
        }
        back
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// The largest number of two, three and four bytes takes one byte more: so it is in the format.
    #[inline]
    pub(super) fn bytes(size: usize) -> usize {
        match size {
            0..=127 => 1,
            128..0x3FFF => 2,
            0x3FFF..0x1F_FFFF => 3,
            0x1F_FFFF..0xFFF_FFFF => 4,
            _ => 5,
        }
    }

    /// Reads the size that ends before `end`.
    #[inline]
    pub(super) fn read(pack: &[u8], end: usize) -> usize {
        let mut size = 0;
        for i in 0..5 {
            let byte = pack[end - 1 - i];
            size |= usize::from(byte & 0x7F) << (7 * i);
            if byte < 0x80 {
                break;
            }
        }
        size
    }
}
