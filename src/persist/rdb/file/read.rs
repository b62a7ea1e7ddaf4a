//! Reads a file that comes in portions.
//! In: portions of any size. Out: events, one for each record. Absent: files, values (see `rdb::decode`).
//!
//! 1. At most one record is kept, with what was fed behind it: memory is in proportion to what was fed, whatever lengths
//!    the file claims to have.
//! 2. A record that waits for bytes is not walked through again from its beginning.

use super::event::{Checksum, Raw, module_name};
use super::walk::{Walk, Walked};
use super::{Error, Event, Usage, What, opcode};
use crate::base::crc::Crc64;
use crate::persist::rdb::{self, Dialect, Reader as Primitives, form};
use std::borrow::Cow;
use std::ops::Range;

/// `REDIS` and four digits, `VALKEY` and three.
const MAGIC_BYTES: usize = 9;

/// A buffer that has grown beyond this for a large value is given up afterwards.
const BUFFER_BYTES_MAX: usize = 16 << 20;

/// A file that is being read.
#[derive(Debug)]
pub struct Reader {
    /// What was fed, without most of what was read.
    buffer: Vec<u8>,
    /// Where the next record begins in the buffer.
    begin: usize,
    /// Where the buffer begins in the file.
    offset: u64,
    /// How long the file is, if that is known.
    total: Option<u64>,
    /// None if nobody wants to know.
    checksum: Option<Crc64>,
    /// How much of the buffer is in the checksum.
    summed: usize,
    /// Who wrote which version; None before the first record.
    version: Option<(Dialect, u16)>,
    db: u64,
    /// What was said of the next entry.
    expiry_ms: Option<i64>,
    usage: Usage,
    /// The record that is being read.
    walk: Option<Walk>,
    ended: bool,
}

impl Reader {
    /// `total`: how long the file is, if that is known; a record that is longer is then noticed at once.
    pub fn new(total: Option<u64>) -> Reader {
        Reader {
            buffer: Vec::new(),
            begin: 0,
            offset: 0,
            total,
            checksum: Some(Crc64::new()),
            summed: 0,
            version: None,
            db: 0,
            expiry_ms: None,
            usage: Usage::Unknown,
            walk: None,
            ended: false,
        }
    }

    /// Takes whatever checksum the file has, as `rdbchecksum no` asks.
    pub fn without_checksum(mut self) -> Reader {
        self.checksum = None;
        self
    }

    /// Adds a portion, which follows the one before.
    pub fn feed(&mut self, portion: &[u8]) {
        self.sum();
        self.buffer.drain(..self.begin);
        self.offset += self.begin as u64;
        (self.begin, self.summed) = (0, 0);
        if self.buffer.capacity() > BUFFER_BYTES_MAX && self.buffer.len() < BUFFER_BYTES_MAX / 2 {
            self.buffer.shrink_to(BUFFER_BYTES_MAX / 2);
        }
        self.buffer.extend_from_slice(portion);
    }

    /// Where the next record begins in the file: all before it was read.
    pub fn offset(&self) -> u64 {
        self.offset + self.begin as u64
    }

    /// The database that entries are in.
    pub fn db(&self) -> u64 {
        self.db
    }

    /// What was fed and not read: at the end, what is behind the file.
    pub fn rest(&self) -> &[u8] {
        &self.buffer[self.begin..]
    }

    /// Heap bytes, most of them for a record that is not there as a whole.
    pub fn bytes_allocated(&self) -> usize {
        self.buffer.capacity()
    }

    /// The next record; None if it takes more bytes than were fed. After an error or `Event::End` there is nothing more.
    #[allow(clippy::should_implement_trait)] // Events borrow from the reader.
    pub fn next(&mut self) -> Result<Option<Event<'_>>, Error> {
        let Some((dialect, version)) = self.version else { return self.magic() };
        if self.ended {
            return Ok(None);
        }
        loop {
            let Some(&first) = self.buffer.get(self.begin) else { return Ok(None) };
            if self.walk.is_none() {
                self.walk =
                    Some(Walk::new(first, dialect, version).map_err(|what| self.unknown(first, what))?);
            }
            let walk = self.walk.as_mut().expect("it was just begun");
            match walk.on(&self.buffer[self.begin..]) {
                Ok(Walked::Whole) => {}
                Ok(Walked::Needs(bytes)) => {
                    let beyond = |total| self.offset() + bytes as u64 > total;
                    return if self.total.is_some_and(beyond) { Err(self.cut()) } else { Ok(None) };
                }
                Err(what) => {
                    let at = walk.position;
                    return Err(self.error(at, what));
                }
            }
            let record = self.begin..self.begin + walk.position;
            self.walk = None;
            if !self.note(first, record.clone())? {
                return self.event(first, record, dialect).map(Some);
            }
            self.begin = record.end;
        }
    }

    /// What to say when no more bytes come, although there was no `Event::End`.
    pub fn cut(&self) -> Error {
        let there = self.offset + self.buffer.len() as u64;
        let offset = self.total.map_or(there, |total| total.max(there));
        Error { offset, key: self.key(), what: What::Cut }
    }

    fn magic(&mut self) -> Result<Option<Event<'_>>, Error> {
        let known = self.buffer.len().min(MAGIC_BYTES);
        let begin = &self.buffer[..known];
        let fits = |name: &[u8]| begin.iter().zip(name).all(|(a, b)| a == b);
        if !fits(b"REDIS") && !fits(b"VALKEY") {
            return Err(self.error(0, What::Signature));
        }
        if known < MAGIC_BYTES {
            return Ok(None);
        }
        let (dialect, digits) = match begin.strip_prefix(b"REDIS") {
            Some(digits) => (Dialect::Redis, digits),
            None => (Dialect::Valkey, &begin[6..]),
        };
        let text = String::from_utf8_lossy(digits).into_owned();
        let number = if digits.iter().all(u8::is_ascii_digit) { text.parse().ok() } else { None };
        match number.filter(|&number| number > 0 && Dialect::of_version(number) == Some(dialect)) {
            Some(number) => {
                self.version = Some((dialect, number));
                self.begin = MAGIC_BYTES;
                Ok(Some(Event::Version { dialect, number }))
            }
            None => Err(self.error(MAGIC_BYTES - digits.len(), What::Version(text))),
        }
    }

    /// Notes what a record says of the next entry; false if it is a record of another kind.
    fn note(&mut self, first: u8, record: Range<usize>) -> Result<bool, Error> {
        let mut parts = Primitives::new(&self.buffer[record.start + 1..record.end]);
        let noted = match first {
            opcode::EXPIRES_MS => parts.i64().map(|time| self.expiry_ms = Some(time)),
            opcode::EXPIRES_S => {
                parts.array().map(|bytes| self.expiry_ms = Some(i64::from(i32::from_le_bytes(bytes)) * 1000))
            }
            opcode::IDLE => parts.length().map(|seconds| self.usage = Usage::Idle(seconds)),
            opcode::FREQUENCY => parts.u8().map(|frequency| self.usage = Usage::Frequency(frequency)),
            _ => return Ok(false),
        };
        noted.map(|()| true).map_err(|error| self.error(1, What::Value(error)))
    }

    fn event(&mut self, first: u8, record: Range<usize>, dialect: Dialect) -> Result<Event<'_>, Error> {
        if first == opcode::END {
            return self.end(record);
        }
        let (offset, db) = (self.offset + record.start as u64, self.db);
        let (expiry_ms, usage) = (self.expiry_ms, self.usage);
        if first < opcode::SLOT_IMPORT {
            (self.expiry_ms, self.usage) = (None, Usage::Unknown);
        }
        self.begin = record.end;
        let mut parts = Primitives::new(&self.buffer[record.start + 1..record.end]);
        let event = match first {
            opcode::SELECT_DB => {
                self.db = parts.length().expect("it was walked through");
                return Ok(Event::SelectDb(self.db));
            }
            opcode::AUX..=opcode::RESIZE_DB | opcode::SLOT_IMPORT..=opcode::MODULE_AUX => other(first, parts),
            form => parts.blob().map(|key| {
                let body = parts.rest();
                let body_offset = self.offset + (record.end - body.len()) as u64;
                Event::Entry(Raw { dialect, db, key, expiry_ms, usage, form, body, body_offset })
            }),
        };
        event.map_err(|error| Error { offset, key: None, what: What::Value(error) })
    }

    fn end(&mut self, record: Range<usize>) -> Result<Event<'_>, Error> {
        // A version without checksums has no bytes for one.
        let at = record.start + 1;
        let stored = self.buffer[at..record.end].try_into().map_or(0, u64::from_le_bytes);
        self.begin = at;
        self.sum();
        (self.begin, self.summed, self.ended) = (record.end, record.end, true);
        match self.checksum.as_ref().map(Crc64::value) {
            Some(found) if stored != 0 && stored != found => {
                let offset = self.offset + at as u64;
                Err(Error { offset, key: None, what: What::Checksum { found, expected: stored } })
            }
            Some(_) if stored != 0 => Ok(Event::End(Checksum::Sound)),
            _ => Ok(Event::End(Checksum::Unchecked)),
        }
    }

    /// Adds what was read to the checksum.
    fn sum(&mut self) {
        if let Some(checksum) = &mut self.checksum {
            checksum.update(&self.buffer[self.summed..self.begin]);
        }
        self.summed = self.begin;
    }

    /// An error so many bytes behind the beginning of the record.
    fn error(&self, at: usize, what: What) -> Error {
        Error { offset: self.offset() + at as u64, key: self.key(), what }
    }

    /// An error at the first byte of a record; modules have names.
    fn unknown(&self, first: u8, what: What) -> Error {
        let what = if first == form::MODULE { What::Unreleased("values of modules") } else { what };
        self.error(0, what)
    }

    /// The key of the entry that is being read, if it is known already.
    fn key(&self) -> Option<Vec<u8>> {
        let (&first, rest) = self.buffer.get(self.begin..)?.split_first()?;
        let reads_entry = self.walk.is_some() && first < opcode::SLOT_IMPORT;
        let mut parts = Primitives::new(rest);
        if reads_entry { parts.blob().ok().map(Cow::into_owned) } else { None }
    }
}

fn other(first: u8, mut parts: Primitives) -> rdb::Result<Event> {
    Ok(match first {
        opcode::AUX => Event::Aux { key: parts.blob()?, value: parts.blob()? },
        opcode::RESIZE_DB => Event::ResizeDb { keys: parts.length()?, expiring: parts.length()? },
        opcode::SLOT_INFO => {
            Event::SlotInfo { slot: parts.length()?, keys: parts.length()?, expiring: parts.length()? }
        }
        opcode::SLOT_IMPORT => Event::SlotImport { job: parts.blob()? },
        opcode::FUNCTION => Event::Function(parts.blob()?),
        _ => Event::ModuleAux { module: module_name(parts.length()?) },
    })
}
