//! The packs that Redis wrote before it had listpacks, read into listpacks.
//! In: bytes of a ziplist or a zipmap. Out: a listpack with the same elements, or why not.
//! Absent: what the elements mean, writing these forms.
//!
//! ```text
//! ziplist: bytes: u32 | last element's place: u32 | count: u16 | element … | FF       little-endian
//! element: size of the element before: u8, or FE u32 | head | data
//! 00llllll, 01llllll l, 10______ llll   head of a string, its length big-endian
//! C0, D0, E0                            integer of 16, 32, 64 bits
//! F0, FE                                integer of 24, 8 bits
//! F1 to FD                              0 to 12
//!
//! zipmap:  count: u8 (FE or FF: unknown) | { length | field | length | free: u8 | value | free bytes } … | FF
//! length:  u8, or FE u32
//! ```

use super::{Error, Reader, Result};
use crate::types::listpack;

const END: u8 = 0xFF;
/// A length follows in four bytes.
const LONG: u8 = 0xFE;
const ZIPLIST_HEAD_BYTES: usize = 10;
const COUNT_UNKNOWN: u16 = u16::MAX;

const ZIPLIST: Error = Error::Corrupt("not a ziplist");
const ZIPMAP: Error = Error::Corrupt("not a zipmap");

pub fn from_ziplist(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut reader = Reader::new(bytes);
    let total = u32::from_le_bytes(reader.array()?) as usize;
    let last = u32::from_le_bytes(reader.array()?) as usize;
    let count = u16::from_le_bytes(reader.array()?);
    if total != bytes.len() || bytes.last() != Some(&END) {
        return Err(ZIPLIST);
    }
    let mut pack = listpack::empty();
    let (mut begin, mut size, mut found) = (ZIPLIST_HEAD_BYTES, 0, 0usize);
    while reader.rest().len() > 1 {
        begin = bytes.len() - reader.rest().len();
        if length(&mut reader, ZIPLIST)? != size {
            return Err(ZIPLIST);
        }
        push_element(&mut reader, &mut pack)?;
        size = bytes.len() - reader.rest().len() - begin;
        found += 1;
    }
    let counted = count == COUNT_UNKNOWN || usize::from(count) == found;
    // An element may not have taken the end for its own last byte.
    if begin != last || !counted || reader.rest() != [END] {
        return Err(ZIPLIST);
    }
    Ok(pack)
}

/// Reads head and data of an element.
fn push_element(reader: &mut Reader, pack: &mut Vec<u8>) -> Result<()> {
    let head = reader.u8()?;
    let value = match head {
        0x00..=0xBF => {
            let length = match head >> 6 {
                0 => usize::from(head & 0x3F),
                1 => usize::from(head & 0x3F) << 8 | usize::from(reader.u8()?),
                _ => u32::from_be_bytes(reader.array()?) as usize,
            };
            return push(pack, reader.bytes(length)?);
        }
        0xC0 => i64::from(i16::from_le_bytes(reader.array()?)),
        0xD0 => i64::from(i32::from_le_bytes(reader.array()?)),
        0xE0 => i64::from_le_bytes(reader.array()?),
        0xF0 => {
            let [a, b, c] = reader.array()?;
            i64::from(i32::from_le_bytes([0, a, b, c]) >> 8)
        }
        0xFE => i64::from(i8::from_le_bytes(reader.array()?)),
        0xF1..=0xFD => i64::from(head) - 0xF1,
        _ => return Err(ZIPLIST),
    };
    push(pack, itoa::Buffer::new().format(value).as_bytes())
}

pub fn from_zipmap(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut reader = Reader::new(bytes);
    let count = reader.u8()?;
    let mut pack = listpack::empty();
    let mut found = 0usize;
    while reader.rest().first().is_some_and(|&byte| byte != END) {
        let field = length(&mut reader, ZIPMAP)?;
        push(&mut pack, reader.bytes(field)?)?;
        let value = length(&mut reader, ZIPMAP)?;
        let free = reader.u8()?;
        push(&mut pack, reader.bytes(value)?)?;
        reader.bytes(usize::from(free))?;
        found += 1;
    }
    if reader.rest() != [END] || (count < LONG && usize::from(count) != found) {
        return Err(ZIPMAP);
    }
    Ok(pack)
}

/// A length in one byte, or in four behind `LONG`.
fn length(reader: &mut Reader, error: Error) -> Result<usize> {
    match reader.u8()? {
        END => Err(error),
        LONG => reader.array().map(|bytes| u32::from_le_bytes(bytes) as usize),
        short => Ok(usize::from(short)),
    }
}

fn push(pack: &mut Vec<u8>, bytes: &[u8]) -> Result<()> {
    if !listpack::fits(pack, listpack::encoded_bytes(bytes)) {
        return Err(Error::Corrupt("too large for a listpack"));
    }
    listpack::push(pack, bytes);
    Ok(())
}
