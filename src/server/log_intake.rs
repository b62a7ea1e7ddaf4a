//! Deals a file of the append-only log out to the cores.
//! In: portions of the file. Out: parcels of commands for the owners of their keys; of an RDB file before them, entries.
//!
//! Commands on keys of one core go there in parcels, in their order; those that touch what several cores have wait for all
//! that comes before them, and what follows waits for them. What is in a transaction is dealt out when all of it was read.

use std::sync::Arc;

use super::intake::RdbIntake;
use super::parcels::{Parcels, Piece};
use crate::client::{Args, Request, ShardSet};
use crate::commands::routing::shards_of;
use crate::commands::{Registry, Route, flags};
use crate::persist::aof::{self, What, has_preamble};
use crate::resp::Span;
use crate::shared::Shared;
use crate::storage::{Cargo, Commands, Failure, Intake};

/// Enough of a file to see whether it begins with an RDB file.
const PREAMBLE_BYTES: usize = 6;
/// Places of arguments are numbers of 32 bits.
const COMMAND_BYTES_MAX: usize = u32::MAX as usize - Commands::FULL_BYTES;

/// Deals a file of the log out to the cores.
pub struct LogIntake {
    shared: Arc<Shared>,
    registry: Arc<Registry>,
    name: String,
    state: Reading,
    db: u16,
    /// The commands of the transaction that is open, with their databases.
    transaction: Option<Vec<Queued>>,
    parcels: Parcels<Commands>,
}

/// A command of a transaction that is not read to its end.
struct Queued {
    db: u16,
    bytes: Vec<u8>,
    spans: Vec<Span>,
}

enum Reading {
    /// Too little was read to tell.
    Begin(Vec<u8>),
    /// An RDB file stands before the commands; so many bytes of the file were read.
    Preamble(Box<RdbIntake>, u64),
    Commands(aof::Reader),
}

impl LogIntake {
    pub fn new(shared: Arc<Shared>, registry: Arc<Registry>, sole: Option<usize>, name: String) -> Self {
        Self {
            name,
            state: Reading::Begin(Vec::new()),
            db: 0,
            transaction: None,
            parcels: Parcels::new(shared.slots.shard_count(), sole),
            shared,
            registry,
        }
    }

    /// Reads what there is.
    fn read(&mut self, portion: &[u8], out: &mut Vec<(usize, Cargo)>) -> Result<(), Failure> {
        match &mut self.state {
            Reading::Begin(begin) => {
                begin.extend_from_slice(portion);
                if begin.len() < PREAMBLE_BYTES {
                    return Ok(());
                }
                let begin = std::mem::take(begin);
                self.decide(&begin, out)
            }
            Reading::Preamble(rdb, read) => {
                *read += portion.len() as u64;
                rdb.feed(portion, out)?;
                let Some(rest) = rdb.take_rest() else { return Ok(()) };
                rdb.end(out)?;
                let reader = aof::Reader::new(*read - rest.len() as u64);
                self.state = Reading::Commands(reader);
                self.read(&rest, out)
            }
            Reading::Commands(reader) => {
                reader.feed(portion);
                self.read_commands(out)
            }
        }
    }

    /// What kind of file it is.
    fn decide(&mut self, begin: &[u8], out: &mut Vec<(usize, Cargo)>) -> Result<(), Failure> {
        if has_preamble(begin) {
            crate::log::notice(format!("Reading RDB base file on AOF loading from {}...", self.name));
            let rdb = Box::new(RdbIntake::of_log(self.shared.clone(), self.parcels.sole()));
            self.state = Reading::Preamble(rdb, 0);
        } else {
            self.state = Reading::Commands(aof::Reader::new(0));
        }
        self.read(begin, out)
    }

    fn read_commands(&mut self, out: &mut Vec<(usize, Cargo)>) -> Result<(), Failure> {
        let Reading::Commands(reader) = &mut self.state else { unreachable!("the caller looked") };
        // Taken apart so that the command, which lies in the reader, can be dealt out.
        let mut reader = std::mem::replace(reader, aof::Reader::new(0));
        let result = loop {
            match reader.next() {
                Ok(None) => break Ok(()),
                Ok(Some(aof::Event::Timestamp(_))) => {}
                Ok(Some(aof::Event::Command(command))) => {
                    if let Err(failure) = self.take(command, out) {
                        break Err(failure);
                    }
                }
                Err(error) => {
                    // What comes before may be all that is wanted.
                    self.parcels.send_all(out);
                    break Err(self.broken(&error, reader.good()));
                }
            }
        };
        self.state = Reading::Commands(reader);
        result
    }

    fn broken(&self, error: &aof::Error, good: u64) -> Failure {
        let name = &self.name;
        if matches!(error.what, What::Multi | What::Exec) {
            return Failure::Content(format!("{error} in the append only file {name}"));
        }
        let text = format!(
            "Bad file format reading the append only file {name}: make a backup of your AOF file, then use \
             ./redis-check-aof --fix <filename.manifest> ({error})"
        );
        Failure::Corrupt { good, text }
    }

    fn take(&mut self, command: aof::Command, out: &mut Vec<(usize, Cargo)>) -> Result<(), Failure> {
        let name = command.arg(0);
        let is = |word: &str| name.eq_ignore_ascii_case(word.as_bytes());
        if is("select") && command.spans.len() == 2 {
            let db = std::str::from_utf8(command.arg(1)).ok().and_then(|text| text.parse::<u16>().ok());
            let known = db.filter(|db| (*db as u32) < self.shared.config().databases);
            self.db = known.ok_or_else(|| {
                Failure::Content(format!(
                    "SELECT of a database that there is not, at offset {} of {}",
                    command.offset, self.name
                ))
            })?;
            return Ok(());
        }
        if is("multi") {
            self.transaction = Some(Vec::new());
            return Ok(());
        }
        if is("exec") {
            for Queued { db, bytes, spans } in self.transaction.take().unwrap_or_default() {
                self.deal(db, &bytes, &spans, out)?;
            }
            return Ok(());
        }
        if command.bytes.len() > COMMAND_BYTES_MAX {
            let text = format!("A command that is too large, at offset {} of {}", command.offset, self.name);
            return Err(Failure::Content(text));
        }
        let span = |span: &std::ops::Range<usize>| Span { start: span.start as u32, len: span.len() as u32 };
        let spans: Vec<Span> = command.spans.iter().map(span).collect();
        match &mut self.transaction {
            Some(transaction) => {
                transaction.push(Queued { db: self.db, bytes: command.bytes.to_vec(), spans })
            }
            None => self.deal(self.db, command.bytes, &spans, out)?,
        }
        Ok(())
    }

    /// A command goes into the parcel of the core that has its keys.
    fn deal(
        &mut self,
        db: u16,
        bytes: &[u8],
        spans: &[Span],
        out: &mut Vec<(usize, Cargo)>,
    ) -> Result<(), Failure> {
        let args = Args::new(bytes, spans);
        let number = self.registry.resolve_number(args);
        if number == Request::UNKNOWN {
            let name = args.at(0).escape_ascii();
            return Err(Failure::Content(format!(
                "Unknown command '{name}' reading the append only file {}",
                self.name
            )));
        }
        let row = self.registry.row(number);
        // Redis logged what it did to its scripts, up to version 6.
        let makes_scripts = ["SCRIPT LOAD", "SCRIPT FLUSH"].contains(&row.name);
        let changes =
            row.is(flags::WRITE | flags::MAY_REPLICATE) || row.route == Route::Function || makes_scripts;
        if !changes || !row.arity_fits(args.len()) {
            // Nothing that a log is for; Redis answers it with an error that nobody reads.
            return Ok(());
        }
        let count = self.shared.slots.shard_count();
        let shards = match row.route {
            Route::Script => ShardSet::first(count),
            _ if makes_scripts => ShardSet::first(count),
            _ => shards_of(row, args, &self.shared.slots),
        };
        let request = Request {
            command: number,
            first_span: 0,
            argc: spans.len() as u32,
            begin: 0,
            end: bytes.len() as u32,
            shards,
        };
        let core = shards.lowest().unwrap_or(0);
        if shards.sole().is_some() || self.parcels.sole().is_some() {
            self.put(core, db, bytes, spans, request, out);
        } else {
            self.parcels.send_all(out);
            self.put(core, db, bytes, spans, request, out);
            self.parcels.of(core).alone = true;
            self.parcels.send(core, out);
        }
        Ok(())
    }

    fn put(
        &mut self,
        core: usize,
        db: u16,
        bytes: &[u8],
        spans: &[Span],
        request: Request,
        out: &mut Vec<(usize, Cargo)>,
    ) {
        if self.parcels.of(core).db != db {
            self.parcels.send(core, out);
        }
        let parcel = self.parcels.of(core);
        parcel.db = db;
        let (begin, first_span) = (parcel.buf.len() as u32, parcel.requests.spans.len() as u32);
        parcel.buf.extend_from_slice(bytes);
        parcel.requests.spans.extend(spans.iter().map(|s| Span { start: s.start + begin, len: s.len }));
        let end = parcel.buf.len() as u32;
        parcel.requests.list.push(Request { first_span, begin, end, ..request });
        self.parcels.send_full(core, out);
    }
}

impl Intake for LogIntake {
    fn feed(&mut self, portion: &[u8], out: &mut Vec<(usize, Cargo)>) -> Result<(), Failure> {
        self.read(portion, out)
    }

    fn end(&mut self, out: &mut Vec<(usize, Cargo)>) -> Result<(), Failure> {
        if let Reading::Begin(begin) = &mut self.state {
            let begin = std::mem::take(begin);
            self.decide(&begin, out)?;
        }
        self.parcels.send_all(out);
        match &mut self.state {
            Reading::Preamble(rdb, _) => rdb.end(out),
            Reading::Commands(reader) => reader.end().map_err(|error| {
                if error.what == What::OpenTransaction {
                    crate::log::warning(format!(
                        "Revert incomplete MULTI/EXEC transaction in AOF file {}",
                        self.name
                    ));
                }
                Failure::Cut { good: reader.good(), text: format!("{}: {error}", self.name) }
            }),
            Reading::Begin(_) => unreachable!("it was decided"),
        }
    }
}
