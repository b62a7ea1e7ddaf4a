//! Finds where a record ends, without a look at what it means.
//! In: the bytes of a record, as many as there are so far. Out: its length, or that more are needed.
//! Absent: what the parts mean (see `read`, `rdb::decode`).
//!
//! A record is a sequence of parts; some parts say how often a sequence follows. A walk keeps its place in these while it
//! waits for bytes, so that each byte is looked at about once, in whatever portions they come.

use super::super::{Dialect, Reader as Primitives, form, special};
use super::{What, opcode};
use crate::persist::rdb;

/// A part of a record.
#[derive(Clone, Copy, Debug)]
enum Part {
    Text,
    Length,
    Bytes(usize),
    /// Text of a number, or one byte for what has none.
    Score,
    /// A count, and the sequence so many times.
    Times(&'static [Part]),
    /// What a module wrote: kind and value, kind and value, 0.
    Module,
}

use Part::{Bytes, Length, Module, Score, Text, Times};

const ID_BYTES: usize = 16;
const TIME_BYTES: usize = 8;

/// Of a consumer group: id, time, deliveries of each pending entry.
const PENDING: Part = Times(&[Bytes(ID_BYTES), Bytes(TIME_BYTES), Length]);
/// Of a consumer: ids of its pending entries.
const OWN: Part = Times(&[Bytes(ID_BYTES)]);
const NODES: Part = Times(&[Text, Text]);
/// Name, last id, pending entries, consumers.
const GROUPS: Part = Times(&[Text, Length, Length, PENDING, Times(&[Text, Bytes(TIME_BYTES), OWN])]);
/// With a count of entries read.
const GROUPS_2: Part =
    Times(&[Text, Length, Length, Length, PENDING, Times(&[Text, Bytes(TIME_BYTES), OWN])]);
/// With the time at which a consumer was active.
const GROUPS_3: Part = Times(&[
    Text,
    Length,
    Length,
    Length,
    PENDING,
    Times(&[Text, Bytes(TIME_BYTES), Bytes(TIME_BYTES), OWN]),
]);

/// What is behind the first byte of a record.
fn parts(first: u8, dialect: Dialect) -> Result<&'static [Part], What> {
    Ok(match first {
        opcode::AUX => &[Text, Text],
        opcode::SELECT_DB | opcode::IDLE => &[Length],
        opcode::RESIZE_DB => &[Length, Length],
        opcode::SLOT_INFO => &[Length, Length, Length],
        opcode::SLOT_IMPORT => &[Text, Times(&[Length, Length])],
        opcode::FUNCTION => &[Text],
        opcode::FUNCTION_PRE_GA => return Err(What::Unreleased("functions")),
        opcode::MODULE_AUX => &[Length, Length, Length, Module],
        opcode::FREQUENCY => &[Bytes(1)],
        opcode::EXPIRES_MS => &[Bytes(8)],
        opcode::EXPIRES_S => &[Bytes(4)],
        opcode::END => &[Bytes(8)],
        form => return entry(form, dialect).ok_or(What::Opcode(form)),
    })
}

/// The key and the body of an entry.
fn entry(form: u8, dialect: Dialect) -> Option<&'static [Part]> {
    Some(match form {
        form::STRING
        | form::HASH_ZIPMAP
        | form::LIST_ZIPLIST
        | form::SET_INTSET
        | form::ZSET_ZIPLIST
        | form::HASH_ZIPLIST
        | form::HASH_LISTPACK
        | form::ZSET_LISTPACK
        | form::SET_LISTPACK => &[Text, Text],
        form::LIST | form::SET | form::LIST_QUICKLIST => &[Text, Times(&[Text])],
        form::ZSET => &[Text, Times(&[Text, Score])],
        form::ZSET_2 => &[Text, Times(&[Text, Bytes(8)])],
        form::HASH => &[Text, Times(&[Text, Text])],
        form::LIST_QUICKLIST_2 => &[Text, Times(&[Length, Text])],
        form::MODULE_2 => &[Text, Length, Module],
        form::STREAM => &[Text, NODES, Length, Length, Length, GROUPS],
        form::STREAM_2 => {
            &[Text, NODES, Length, Length, Length, Length, Length, Length, Length, Length, GROUPS_2]
        }
        form::STREAM_3 => {
            &[Text, NODES, Length, Length, Length, Length, Length, Length, Length, Length, GROUPS_3]
        }
        _ => match (dialect, form) {
            (Dialect::Valkey, form::VALKEY_HASH_2) => &[Text, Times(&[Text, Text, Bytes(8)])],
            (Dialect::Redis, form::HASH_METADATA) => &[Text, Bytes(8), Times(&[Length, Text, Text])],
            (Dialect::Redis, form::HASH_METADATA_PRE_GA) => &[Text, Times(&[Length, Text, Text])],
            (Dialect::Redis, form::HASH_LISTPACK_EX) => &[Text, Bytes(8), Text],
            (Dialect::Redis, form::HASH_LISTPACK_EX_PRE_GA) => &[Text, Text],
            _ => return None,
        },
    })
}

/// A sequence that is being walked through.
#[derive(Clone, Copy, Debug)]
struct Sequence {
    parts: &'static [Part],
    next: usize,
    /// How often it follows, this time included.
    left: u64,
}

/// A record's sequence, groups, consumers, their entries.
const DEPTH_MAX: usize = 4;

/// A way through a record.
#[derive(Debug)]
pub struct Walk {
    /// Nested, the innermost last; a fixed number, since the grammar has no recursion.
    stack: [Sequence; DEPTH_MAX],
    depth: usize,
    /// What is behind it was not walked through yet.
    pub position: usize,
}

/// How a walk came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Walked {
    /// The record has `position` bytes.
    Whole,
    /// The record has at least so many.
    Needs(usize),
}

/// A part that is not there as a whole, or is wrong.
enum Stop {
    Needs(usize),
    Wrong(What),
}

/// The largest record there may be: file offsets are signed.
const RECORD_BYTES_MAX: usize = i64::MAX as usize;

impl Walk {
    /// At the first byte of a record. `version`: of the file.
    pub fn new(first: u8, dialect: Dialect, version: u16) -> Result<Walk, What> {
        const CHECKSUM_VERSION_MIN: u16 = 5;
        let parts = match first {
            opcode::END if version < CHECKSUM_VERSION_MIN => &[],
            _ => parts(first, dialect)?,
        };
        let nothing = Sequence { parts: &[], next: 0, left: 0 };
        let mut stack = [nothing; DEPTH_MAX];
        stack[0] = Sequence { parts, next: 0, left: 1 };
        Ok(Walk { stack, depth: 1, position: 1 })
    }

    /// Walks as far as `record` goes, which is the record from its first byte on.
    pub fn on(&mut self, record: &[u8]) -> Result<Walked, What> {
        while self.depth > 0 {
            let sequence = &mut self.stack[self.depth - 1];
            let Some(&part) = sequence.parts.get(sequence.next) else {
                sequence.next = 0;
                sequence.left -= 1;
                if sequence.left == 0 {
                    self.depth -= 1;
                }
                continue;
            };
            match pass(part, record, &mut self.position) {
                Ok(inner) => {
                    sequence.next += 1;
                    if let Some(inner) = inner {
                        self.stack[self.depth] = inner;
                        self.depth += 1;
                    }
                }
                Err(Stop::Needs(bytes)) => return Ok(Walked::Needs(bytes)),
                Err(Stop::Wrong(what)) => return Err(what),
            }
        }
        Ok(Walked::Whole)
    }
}

/// Passes one part, and returns the sequence that it announces. A part that is not there as a whole stays unread.
fn pass(part: Part, record: &[u8], position: &mut usize) -> Result<Option<Sequence>, Stop> {
    match part {
        Text => *position = behind_text(record, *position)?,
        Length => *position = length(record, *position)?.1,
        Bytes(count) => *position = within(record, *position, count as u64)?,
        Score => *position = behind_score(record, *position)?,
        Module => *position = behind_module(record, position)?,
        Times(parts) => {
            let (count, behind) = length(record, *position)?;
            *position = behind;
            return Ok((count > 0).then_some(Sequence { parts, next: 0, left: count }));
        }
    }
    Ok(None)
}

/// The place behind so many bytes, if they are there.
fn within(record: &[u8], at: usize, count: u64) -> Result<usize, Stop> {
    let end = usize::try_from(count).ok().and_then(|count| at.checked_add(count));
    match end.filter(|&end| end <= RECORD_BYTES_MAX) {
        Some(end) if end <= record.len() => Ok(end),
        Some(end) => Err(Stop::Needs(end)),
        None => Err(Stop::Wrong(What::Value(rdb::Error::Corrupt("a length beyond all files")))),
    }
}

fn byte(record: &[u8], at: usize) -> Result<u8, Stop> {
    record.get(at).copied().ok_or(Stop::Needs(at + 1))
}

/// A length, and the place behind it.
fn length(record: &[u8], at: usize) -> Result<(u64, usize), Stop> {
    let width = match byte(record, at)? {
        first @ 0..=0x3F => return Ok((u64::from(first), at + 1)),
        0x40..=0x7F => 2,
        0x80 => 5,
        0x81 => 9,
        _ => 1,
    };
    let end = within(record, at, width)?;
    let value = Primitives::new(&record[at..end]).length();
    value.map(|value| (value, end)).map_err(|error| Stop::Wrong(What::Value(error)))
}

fn behind_text(record: &[u8], at: usize) -> Result<usize, Stop> {
    match byte(record, at)? {
        short @ 0..=0x3F => within(record, at + 1, u64::from(short)),
        special::INT_8 => within(record, at, 2),
        special::INT_16 => within(record, at, 3),
        special::INT_32 => within(record, at, 5),
        special::LZF => {
            let (packed, at) = length(record, at + 1)?;
            let (_, at) = length(record, at)?;
            within(record, at, packed)
        }
        _ => {
            let (count, at) = length(record, at)?;
            within(record, at, count)
        }
    }
}

fn behind_score(record: &[u8], at: usize) -> Result<usize, Stop> {
    const WITHOUT_TEXT_MIN: u8 = 253;
    match byte(record, at)? {
        WITHOUT_TEXT_MIN.. => Ok(at + 1),
        count => within(record, at + 1, u64::from(count)),
    }
}

/// Moves on with each value that is there as a whole.
fn behind_module(record: &[u8], position: &mut usize) -> Result<usize, Stop> {
    loop {
        let (kind, at) = length(record, *position)?;
        *position = match kind {
            0 => return Ok(at),
            1 | 2 => length(record, at)?.1,
            3 => within(record, at, 4)?,
            4 => within(record, at, 8)?,
            5 => behind_text(record, at)?,
            _ => {
                return Err(Stop::Wrong(What::Value(rdb::Error::Corrupt(
                    "an unknown part of a module's data",
                ))));
            }
        };
    }
}
