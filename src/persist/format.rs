//! How a snapshot writes entries: as an RDB file has them, or as commands.
//! In: an entry of the keyspace. Out: its record, at the end of a buffer, at once or in steps of about so many bytes.
//! Absent: what stands at the beginning and end of a file (see `rdb::file` and `aof::base`).
//!
//! What holds between and in steps is the same for both: see `save` and `aof::base`.

use super::rdb::file;
use super::{aof::base, save};
use crate::types::store::Entry;

/// A form of a file.
#[derive(Clone, Copy, Debug)]
pub enum Format {
    Rdb(file::Writer),
    /// As a log has them.
    Commands,
}

/// The part of an entry that is not written yet.
#[derive(Debug)]
pub enum Rest {
    Rdb(save::Rest),
    Commands(base::Rest),
}

impl Format {
    /// What follows is in that database.
    pub fn select_db(self, out: &mut Vec<u8>, db: u16) {
        match self {
            Format::Rdb(writer) => writer.select_db(out, db as u64),
            Format::Commands => base::select_db(out, db),
        }
    }

    /// Writes an entry: all of it, or the beginning if it takes much more than `step_bytes`. `usage` is for RDB files.
    ///
    /// # Panics
    /// If the entry is a hash with fields that expire, and the RDB file's version has none.
    #[inline]
    pub fn entry(
        self,
        entry: &Entry,
        usage: impl FnOnce() -> file::Usage,
        step_bytes: usize,
        out: &mut Vec<u8>,
    ) -> Option<Rest> {
        match self {
            Format::Rdb(writer) => {
                let written = save::entry(writer, entry, usage(), step_bytes, out);
                written.expect("every type that a key can hold is written").map(Rest::Rdb)
            }
            Format::Commands => base::entry(entry, step_bytes, out).map(Rest::Commands),
        }
    }
}

impl Rest {
    /// Writes about so many bytes more of the entry; true: that was the last of it.
    ///
    /// # Panics
    /// If it was begun in another format.
    pub fn step(&mut self, format: Format, entry: &Entry, step_bytes: usize, out: &mut Vec<u8>) -> bool {
        match (self, format) {
            (Rest::Rdb(rest), Format::Rdb(writer)) => rest.step(writer, entry, step_bytes, out),
            (Rest::Commands(rest), Format::Commands) => rest.step(entry, step_bytes, out),
            _ => panic!("an entry is written in one format"),
        }
    }
}
