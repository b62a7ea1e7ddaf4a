//! What the log consists of.
//! In: commands and the databases that they are for. Out: units, and chunks of units with their places in the log.
//!
//! A *unit* is what must be in the log wholly or not at all: a command, a transaction, a script. Every unit of the server has
//! a *stamp*, its place in the one order of all cores: 0, 1, 2 … without gaps. It is drawn while the shards that the unit
//! changed are at hand, so that what depends on another unit has a higher stamp; and any prefix is a state that was there.

use std::path::PathBuf;

use crate::resp::Out;

/// What a place in the log says besides commands. It has a stamp like a unit, drawn with all shards at hand.
#[derive(Clone, Debug)]
pub enum Mark {
    /// The log begins here.
    Begin(Box<Begin>),
    /// A new increment begins here, in this directory: a base of what is before is on its way, as the snapshot of this number.
    Turn { directory: PathBuf, base: u64 },
    /// The log ends here.
    End,
}

/// How a log begins.
#[derive(Clone, Debug)]
pub struct Begin {
    /// Where its files are.
    pub directory: PathBuf,
    pub form: BaseForm,
    pub source: Source,
}

#[derive(Clone, Debug)]
pub enum Source {
    /// From what the manifest names. The last one is cut to so many bytes, and has so many then; the files before it have so
    /// many, of which `base_bytes` are the base's. `empty`: the base of a server without data, for a manifest without files.
    Files { cut: Option<u64>, last_bytes: u64, bytes_before: u64, base_bytes: u64, empty: Vec<u8> },
    /// From data that are in no file: a base of them is on its way, and until it is there the manifest stays as it is.
    Memory,
}

/// What the base of a log consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BaseForm {
    Rdb,
    Commands,
}

/// The command that what follows is in that database.
pub(super) fn write_select(db: u16, out: &mut Vec<u8>) {
    let mut out = Out { buf: out, resp3: false };
    out.array(2);
    out.bulk(b"SELECT");
    out.bulk_int(i64::from(db));
}

/// Commands as arrays of bulk strings, one behind the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unit {
    pub bytes: Vec<u8>,
    /// For each command the database that it is for, and where it ends.
    pub records: Vec<(u16, usize)>,
}

impl Unit {
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
        self.records.clear();
    }

    pub fn push<'a>(&mut self, db: u16, count: usize, args: impl Iterator<Item = &'a [u8]>) {
        let mut out = Out { buf: &mut self.bytes, resp3: false };
        out.array(count);
        args.for_each(|arg| out.bulk(arg));
        self.records.push((db, self.bytes.len()));
    }
}

/// Units of one core with their stamps, in ascending order.
#[derive(Clone, Debug, Default)]
pub struct Chunk {
    bytes: Vec<u8>,
    /// Of all units; ends count from the beginning of `bytes`.
    records: Vec<(u16, usize)>,
    /// For each unit its stamp, and where its records end.
    units: Vec<(u64, usize)>,
    /// Units without records that say something else.
    marks: Vec<(u64, Mark)>,
    /// When it was made, Unix seconds, if the log is to say so.
    pub time_s: Option<i64>,
}

impl Chunk {
    pub fn is_empty(&self) -> bool {
        self.units.is_empty()
    }

    pub fn bytes_len(&self) -> usize {
        self.bytes.len()
    }

    pub fn push(&mut self, stamp: u64, unit: &Unit) {
        debug_assert!(self.units.last().is_none_or(|&(last, _)| last < stamp), "stamps ascend");
        let begin = self.bytes.len();
        self.bytes.extend_from_slice(&unit.bytes);
        self.records.extend(unit.records.iter().map(|&(db, end)| (db, begin + end)));
        self.units.push((stamp, self.records.len()));
    }

    pub fn mark(&mut self, stamp: u64, mark: Mark) {
        self.push(stamp, &Unit::default());
        self.marks.push((stamp, mark));
    }

    /// The mark of this stamp, if the unit is one.
    pub(super) fn take_mark(&mut self, stamp: u64) -> Option<Mark> {
        let at = self.marks.iter().position(|&(marked, _)| marked == stamp)?;
        Some(self.marks.swap_remove(at).1)
    }

    /// The stamp of unit `index`, if there are so many.
    pub(super) fn stamp(&self, index: usize) -> Option<u64> {
        self.units.get(index).map(|&(stamp, _)| stamp)
    }

    /// The records of unit `index`: the database and the bytes of each.
    pub(super) fn records(&self, index: usize) -> impl ExactSizeIterator<Item = (u16, &[u8])> {
        let first = if index == 0 { 0 } else { self.units[index - 1].1 };
        (first..self.units[index].1).map(|at| {
            let begin = if at == 0 { 0 } else { self.records[at - 1].1 };
            let (db, end) = self.records[at];
            (db, &self.bytes[begin..end])
        })
    }
}
