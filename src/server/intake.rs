//! Deals an RDB file out to the cores.
//! In: portions of the file. Out: parcels for the owners of the keys. What goes wrong is said as Redis says it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::parcels::Parcels;
use crate::commands::server::persistence::failure_text;
use crate::persist::Parcel;
use crate::persist::rdb::file::{Event, Raw, Reader, Usage, What};
use crate::shard::Moment;
use crate::shared::Shared;
use crate::storage::{Cargo, Failure, Intake};

pub struct RdbIntake {
    shared: Arc<Shared>,
    reader: Reader,
    databases: u64,
    /// Of the file, if that is known.
    bytes_total: u64,
    /// Databases whose size the file told.
    hinted: Vec<u64>,
    parcels: Parcels<Parcel>,
    /// A log follows in which overdue entries may be prolonged.
    begins_log: bool,
    ended: bool,
}

impl RdbIntake {
    pub fn new(shared: Arc<Shared>, sole: Option<usize>) -> Self {
        let config = shared.config();
        let reader = Reader::new(None);
        Self {
            reader: if config.rdbchecksum { reader } else { reader.without_checksum() },
            databases: config.databases as u64,
            bytes_total: 0,
            hinted: Vec::new(),
            parcels: Parcels::new(shared.slots.shard_count(), sole),
            begins_log: false,
            ended: false,
            shared,
        }
    }

    /// The same for the RDB file that a log begins with.
    pub fn of_log(shared: Arc<Shared>, sole: Option<usize>) -> Self {
        Self { begins_log: true, ..Self::new(shared, sole) }
    }

    /// What was fed behind the end of the RDB file, once that was reached.
    pub fn take_rest(&mut self) -> Option<Vec<u8>> {
        self.ended.then(|| self.reader.rest().to_vec())
    }

    /// Reads what there is.
    fn read(&mut self, out: &mut Vec<(usize, Cargo)>) -> Result<(), Failure> {
        while !self.ended {
            match self.reader.next() {
                Ok(None) => break,
                Ok(Some(Event::Entry(raw))) => {
                    if raw.db >= self.databases {
                        return Err(Failure::Content(format!(
                            "FATAL: Data file was created with a Redis server configured to handle more than {} databases. Exiting",
                            self.databases
                        )));
                    }
                    let core = self.shared.slots.shard(&raw.key);
                    let parcel = self.parcels.of(core);
                    parcel.push(&raw);
                    parcel.keeps_overdue = self.begins_log;
                    self.parcels.send_full(core, out);
                }
                Ok(Some(Event::ResizeDb { keys, .. })) => self.hint(keys),
                Ok(Some(Event::Aux { key, value })) => {
                    note_aux(&key, &value, &self.shared.persistence.load.used_bytes);
                }
                Ok(Some(Event::Function(code))) => {
                    self.parcels.of(0).push_library(&code);
                }
                Ok(Some(Event::End(_))) => self.ended = true,
                Ok(Some(_)) => {}
                Err(error) => return Err(Failure::Content(told(&error))),
            }
        }
        Ok(())
    }
}

impl RdbIntake {
    /// So many keys are to come, says the file, which may lie: no more than it has bytes for.
    fn hint(&mut self, keys: u64) {
        const ENTRY_BYTES_MIN: u64 = 4;
        let db = self.reader.db();
        if db < self.databases {
            self.hinted.push(db);
            self.tell(db, keys.min(self.bytes_total / ENTRY_BYTES_MIN));
        }
    }

    /// Tells all cores that entries go to how many there are.
    fn tell(&mut self, db: u64, keys: u64) {
        self.parcels.all().for_each(|parcel| parcel.push_hint(db, keys));
    }
}

impl Intake for RdbIntake {
    fn begin(&mut self, bytes: u64) {
        self.bytes_total = bytes;
    }

    fn feed(&mut self, portion: &[u8], out: &mut Vec<(usize, Cargo)>) -> Result<(), Failure> {
        self.reader.feed(portion);
        self.read(out)
    }

    fn end(&mut self, out: &mut Vec<(usize, Cargo)>) -> Result<(), Failure> {
        if !self.ended {
            return Err(Failure::Content(told(&self.reader.cut())));
        }
        // What did not come is not waited for.
        for db in std::mem::take(&mut self.hinted) {
            self.tell(db, 0);
        }
        self.parcels.send_all(out);
        Ok(())
    }
}

/// Fields that say something to the operator.
fn note_aux(key: &[u8], value: &[u8], used_bytes: &AtomicU64) {
    let shown = String::from_utf8_lossy(value);
    match key {
        b"redis-ver" | b"valkey-ver" => {
            crate::log::notice(format!("Loading RDB produced by version {shown}"))
        }
        b"used-mem" => {
            let bytes = shown.parse::<u64>().unwrap_or(0);
            used_bytes.store(bytes, Relaxed);
            let megabytes = bytes as f64 / (1 << 20) as f64;
            crate::log::notice(format!("RDB memory usage when created {megabytes:.2} Mb"));
        }
        b"ctime" => {
            let now_s = crate::base::clock::Clock::Real.unix_ms() / 1000;
            let age_s = shown.parse::<i64>().map_or(0, |made_s| (now_s - made_s).max(0));
            crate::log::notice(format!("RDB age {age_s} seconds"));
        }
        _ => {}
    }
}

/// As Redis writes it to the log, with what this server knows more.
fn told(error: &crate::persist::rdb::file::Error) -> String {
    match &error.what {
        What::Signature => format!("Wrong signature trying to load DB from file: {error}"),
        What::Version(version) => format!("Can't handle RDB format version {version}: {error}"),
        What::Cut => format!("Short read or OOM loading DB. Unrecoverable error, aborting now. {error}"),
        What::Checksum { .. } => format!("RDB CRC error: {error}. Aborting now."),
        _ => format!("Internal error in RDB reading {error}"),
    }
}

/// Writes to the log why a file could not be loaded.
pub fn log_failure(failure: &Failure) {
    match failure {
        Failure::Content(text) => {
            crate::log::warning(text);
            crate::log::warning("Terminating server after rdb file reading failure.");
        }
        // It was said before.
        Failure::Cancelled => {}
        failure => {
            let text = failure_text(failure);
            crate::log::warning(format!("Fatal error loading the DB: {text}. Exiting."));
        }
    }
}

/// The access clock of an entry that was loaded.
pub fn access_of(raw: &Raw, moment: &Moment) -> u32 {
    match raw.usage {
        Usage::Idle(seconds) if !moment.lfu => moment.idle_access(seconds as i64),
        Usage::Frequency(frequency) if moment.lfu => moment.frequent_access(frequency as u32),
        _ => moment.fresh_access(),
    }
}
