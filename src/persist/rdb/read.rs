//! Reads the primitives of the format: bytes, lengths, strings, doubles.
//! In: bytes from anywhere. Out: a primitive, or an error at the first byte that is not as it should be.
//! Absent: forms of values (see `decode`).

use super::{EMPTY, Error, Result, Text, lzf, special};
use crate::base::number;
use std::borrow::Cow;

const ENDS: Error = Error::Corrupt("ends too early");

/// A place in bytes that are read from left to right.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    /// From the last string on.
    from_text: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Reader { rest: bytes, from_text: bytes }
    }

    /// What was not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Where the last string began that was read, as what was left then: where something is wrong is there, or behind it.
    pub fn from_text(&self) -> &'a [u8] {
        self.from_text
    }

    pub fn bytes(&mut self, count: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(ENDS)?;
        self.rest = rest;
        Ok(taken)
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(ENDS)?;
        self.rest = rest;
        Ok(*taken)
    }

    pub fn u8(&mut self) -> Result<u8> {
        self.array().map(|[byte]| byte)
    }

    /// Milliseconds, in files and payloads since version 9, which is when the order of bytes was settled.
    pub fn i64(&mut self) -> Result<i64> {
        self.array().map(i64::from_le_bytes)
    }

    pub fn length(&mut self) -> Result<u64> {
        let first = self.u8()?;
        self.length_after(first)
    }

    fn length_after(&mut self, first: u8) -> Result<u64> {
        Ok(match first {
            0..=0x3F => u64::from(first),
            0x40..=0x7F => u64::from(first & 0x3F) << 8 | u64::from(self.u8()?),
            0x80 => u64::from(u32::from_be_bytes(self.array()?)),
            0x81 => u64::from_be_bytes(self.array()?),
            _ => return Err(Error::Corrupt("not a length")),
        })
    }

    /// How many of something follow, of which each takes at least so many bytes. Refuses zero: no collection is empty.
    pub fn count(&mut self, bytes_min: usize) -> Result<usize> {
        let count = self.length()?;
        if count == 0 {
            return Err(EMPTY);
        }
        let room = self.rest.len() / bytes_min;
        usize::try_from(count)
            .ok()
            .filter(|&count| count <= room)
            .ok_or(Error::Corrupt("more elements than bytes"))
    }

    pub fn text(&mut self) -> Result<Text<'a>> {
        self.from_text = self.rest;
        Ok(match self.u8()? {
            special::INT_8 => Text::Int(i64::from(i8::from_le_bytes(self.array()?))),
            special::INT_16 => Text::Int(i64::from(i16::from_le_bytes(self.array()?))),
            special::INT_32 => Text::Int(i64::from(i32::from_le_bytes(self.array()?))),
            special::LZF => Text::Bytes(Cow::Owned(self.compressed()?)),
            first => {
                let length = self.length_after(first)?;
                Text::Bytes(Cow::Borrowed(self.bytes(usize::try_from(length).map_err(|_| ENDS)?)?))
            }
        })
    }

    /// A string that is bytes to begin with, as packs are.
    pub fn blob(&mut self) -> Result<Cow<'a, [u8]>> {
        self.text().map(Text::into_bytes)
    }

    fn compressed(&mut self) -> Result<Vec<u8>> {
        let packed = usize::try_from(self.length()?).map_err(|_| ENDS)?;
        let plain = self.length()?;
        let packed = self.bytes(packed)?;
        usize::try_from(plain)
            .ok()
            .and_then(|plain| lzf::decompress(packed, plain))
            .ok_or(Error::Corrupt("not compressed by LZF, or to another length"))
    }

    /// A score as text, and three bytes that stand for what has none. NaN is refused.
    pub fn double_text(&mut self) -> Result<f64> {
        match self.u8()? {
            253 => Err(Error::Corrupt("a score is not a number")),
            254 => Ok(f64::INFINITY),
            255 => Ok(f64::NEG_INFINITY),
            length => number::parse_f64(self.bytes(usize::from(length))?)
                .ok_or(Error::Corrupt("a score is not a number")),
        }
    }

    /// A score in binary. NaN is refused.
    pub fn double(&mut self) -> Result<f64> {
        let value = f64::from_le_bytes(self.array()?);
        if value.is_nan() { Err(Error::Corrupt("a score is not a number")) } else { Ok(value) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_all_widths() {
        for (bytes, expected) in [
            (&[0x3F][..], 63),
            (&[0x40, 0x40], 64),
            (&[0x7F, 0xFF], 16383),
            (&[0x80, 0, 0, 0x40, 0], 16384),
            (&[0x81, 0, 0, 0, 1, 0, 0, 0, 0], 1 << 32),
        ] {
            let mut reader = Reader::new(bytes);
            assert_eq!((reader.length(), reader.rest().len()), (Ok(expected), 0));
            assert_eq!(Reader::new(&bytes[..bytes.len() - 1]).length(), Err(ENDS));
        }
        for first in 0x82..=0xFF {
            assert!(Reader::new(&[first, 0, 0, 0, 0, 0, 0, 0, 0, 0]).length().is_err(), "{first:x}");
        }
    }

    #[test]
    fn a_count_is_bounded_by_what_is_there() {
        assert_eq!(Reader::new(&[2, 0, 0, 0, 0]).count(2), Ok(2));
        assert!(Reader::new(&[2, 0, 0, 0]).count(2).is_err());
        assert!(Reader::new(&[0, 0]).count(1).is_err());
        assert!(Reader::new(&[0x81, 255, 255, 255, 255, 255, 255, 255, 255, 0]).count(1).is_err());
    }

    #[test]
    fn doubles_as_text() {
        let read = |bytes: &[u8]| Reader::new(bytes).double_text();
        assert_eq!(read(b"\x031.5"), Ok(1.5));
        assert_eq!(read(b"\x1a-0.10000000000000000555112").unwrap(), -0.1);
        assert_eq!((read(&[254]), read(&[255])), (Ok(f64::INFINITY), Ok(f64::NEG_INFINITY)));
        for bad in [&[253][..], b"\x03nan", b"\x00", b"\x021x", b"\x031"] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }
}
