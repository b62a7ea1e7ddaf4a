//! Reads the append-only log back: at the start, and for DEBUG LOADAOF.
//! In: the files that the manifest names, one after the other. Out: commands for the cores that have their keys, run where
//! time stands still; then a log that goes on where the files end.
//!
//! Commands on keys of one core go there in parcels, in their order; those that touch what several cores have wait for all
//! that comes before them, and what follows waits for them. What is in a transaction is dealt out when all of it was read.
//!
//! Absent: how a log is written (`server::append`), its grammar (`persist::aof`).

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::Ordering::*;

use super::batch::Batch;
use super::core::Core;
use super::intake::RdbIntake;
use crate::client::{Args, ConnectionId, Request, Session, ShardSet, Tracking};
use crate::commands::server::persistence::{empty_base, failure_text, log_directory};
use crate::commands::routing::shards_of;
use crate::commands::{Registry, Route, flags};
use crate::config::{Config, os_error_text};
use crate::persist::aof::manifest::{manifest_name, temporary_name};
use crate::persist::aof::{self, Manifest, Source, What, has_preamble};
use crate::resp::Span;
use crate::shared::Shared;
use crate::storage::{Cargo, Commands, Failure, Intake, Job, Load, Log};

/// A parcel is sent when its commands have so many bytes.
const PARCEL_BYTES: usize = 64 * 1024;
/// Enough of a file to see whether it begins with an RDB file.
const PREAMBLE_BYTES: usize = 6;
/// No connection has this slot: it stands for the log.
const NO_SLOT: u32 = u32::MAX;
/// The id of the client that the log is, as in Redis.
const CLIENT_ID: u64 = u64::MAX;

/// The log as it was found at the start.
pub struct Found {
    pub manifest: Manifest,
    /// Its files, with their lengths, in the order in which they are read; none where the log is off.
    pub files: Vec<(String, u64)>,
}

/// The log that is being read, file by file.
pub struct Opening {
    files: VecDeque<(String, u64)>,
    read: usize,
    began_ms: i64,
    file_began_ms: i64,
    bytes_before: u64,
    last_bytes: u64,
    cut: Option<u64>,
    /// DEBUG LOADAOF: the log is open already.
    again: bool,
}

/// Looks for the log that the configuration names. The error is for the operator.
pub fn find(config: &Config) -> Result<Found, String> {
    let directory = log_directory(config);
    if config.appendonly && directory.exists() && !directory.is_dir() {
        let name = &config.appenddirname;
        return Err(format!("Can't open or create append-only dir {name}: Not a directory"));
    }
    let path = directory.join(manifest_name(&config.appendfilename));
    let manifest = match std::fs::read(&path) {
        Ok(text) => Manifest::parse(&text).map_err(|error| format!("{error}\nFatal error: {}", path.display()))?,
        Err(error) if error.kind() == ErrorKind::NotFound => Manifest::default(),
        Err(error) => {
            let text = os_error_text(&error);
            return Err(format!("Fatal error: can't open the AOF manifest file {} for reading: {text}", path.display()));
        }
    };
    let length = |name: &String| {
        std::fs::metadata(directory.join(name)).map(|file| (name.clone(), file.len())).map_err(|error| {
            format!("Unable to obtain the AOF file {name} length. stat: {}", os_error_text(&error))
        })
    };
    let files = manifest.files().map(|file| length(&file.name)).collect::<Result<_, _>>()?;
    Ok(Found { manifest, files })
}

/// Makes the one file of a log as Redis kept it before 7.0 the base of a log with a manifest.
pub fn upgrade(config: &Config) -> Result<(), String> {
    let directory = log_directory(config);
    let path = directory.join(manifest_name(&config.appendfilename));
    let old = config.dir.join(&config.appendfilename);
    if !config.appendonly || path.exists() || !old.is_file() {
        return Ok(());
    }
    let failed = |doing: &'static str| {
        let name = config.appendfilename.clone();
        move |error: std::io::Error| format!("{doing} the old AOF file {name}: {}", os_error_text(&error))
    };
    let manifest = Manifest::upgraded(&config.appendfilename);
    match std::fs::create_dir(&directory) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(failed("Failed making a directory for")(error)),
        _ => {}
    }
    let temporary = path.with_file_name(temporary_name(&manifest_name(&config.appendfilename)));
    let write = || -> std::io::Result<()> {
        std::fs::write(&temporary, manifest.to_text())?;
        std::fs::File::open(&temporary)?.sync_all()?;
        std::fs::rename(&temporary, &path)?;
        std::fs::rename(&old, directory.join(&config.appendfilename))?;
        std::fs::File::open(&directory)?.sync_all()
    };
    write().map_err(failed("Failed upgrading"))?;
    let (file, folder) = (&config.appendfilename, &config.appenddirname);
    crate::log::notice(format!(
        "Successfully migrated an old-style AOF file ({file}) into the AOF directory ({folder})."
    ));
    Ok(())
}

impl Core {
    /// Begins the server's log: reads what there is, if the log is on, and then goes on with it.
    pub fn start_log(&mut self, found: Found) {
        self.begin_event();
        let log = &self.shared.persistence.log;
        self.actions.jobs.push(Job::Log(Box::new(Log {
            owner: self.id,
            name: self.config.appendfilename.clone(),
            manifest: found.manifest,
            progress: log.progress.clone(),
            cores: self.shards.len(),
        })));
        log.is_open.store(true, Release);
        if self.config.appendonly {
            self.read_log_files(found.files, false);
        }
    }

    /// Reads the files of the log. `again`: they are read by a server that has been writing them.
    pub(super) fn read_log_files(&mut self, files: Vec<(String, u64)>, again: bool) {
        let now_ms = self.now_ms;
        self.shared.persistence.load.begin(now_ms);
        self.appending.opening = Some(Box::new(Opening {
            files: files.into(),
            read: 0,
            began_ms: now_ms,
            file_began_ms: now_ms,
            bytes_before: 0,
            last_bytes: 0,
            cut: None,
            again,
        }));
        self.read_next_file();
    }

    fn read_next_file(&mut self) {
        let now_ms = self.shared.clock.unix_ms();
        let opening = self.appending.opening.as_mut().expect("the caller opens the log");
        let Some((name, bytes)) = opening.files.pop_front() else { return self.files_read() };
        opening.bytes_before += opening.last_bytes;
        opening.last_bytes = bytes;
        opening.file_began_ms = now_ms;
        opening.read += 1;
        let stream = self.shared.persistence.next_id();
        let sole = self.holds_all().then_some(self.id);
        let intake = LogIntake::new(self.shared.clone(), self.registry.clone(), sole, name.clone());
        self.await_load(stream);
        self.actions.jobs.push(Job::Load(Box::new(Load {
            stream,
            owner: self.id,
            path: log_directory(&self.config).join(name.clone()),
            intake: Box::new(intake),
        })));
        self.appending.opening.as_mut().expect("it was just there").files.push_front((name, bytes));
    }

    /// A file of the log was read, or could not be.
    pub(super) fn log_file_read(&mut self, result: Result<u64, Failure>) {
        let opening = self.appending.opening.as_mut().expect("the caller looked");
        let (name, _) = opening.files.pop_front().expect("it is being read");
        let last = opening.files.is_empty();
        let result = match result {
            Err(Failure::Cut { good, text }) if last && !opening.again && self.config.aof_load_truncated => {
                crate::log::warning(text);
                crate::log::warning(format!("!!! Warning: short read while loading the AOF file {name}!!!"));
                crate::log::warning(format!("!!! Truncating the AOF {name} at offset {good} !!!"));
                crate::log::warning(format!(
                    "AOF {name} loaded anyway because aof-load-truncated is enabled"
                ));
                opening.cut = Some(good);
                opening.last_bytes = good;
                Ok(good)
            }
            result => result,
        };
        if let Err(failure) = result {
            log_load_failure(&failure, &name, last);
            return self.opened(Err(Failure::Cancelled));
        }
        let kind = if opening.read == 1 && !name.ends_with(".incr.aof") { "base" } else { "incr" };
        let seconds = (self.shared.clock.unix_ms() - opening.file_began_ms) as f64 / 1000.0;
        crate::log::notice(format!("DB loaded from {kind} file {name}: {seconds:.3} seconds"));
        self.read_next_file();
    }

    /// All files were read: the log goes on.
    fn files_read(&mut self) {
        let opening = self.appending.opening.as_ref().expect("the caller looked");
        if opening.again {
            return self.opened(Ok(()));
        }
        let rdb = self.config.aof_use_rdb_preamble;
        let mark = self.beginning(Source::Files {
            cut: opening.cut,
            bytes_before: opening.bytes_before,
            empty: if rdb { empty_base(&self.config, self.now_ms) } else { Vec::new() },
        });
        self.put_mark(mark);
    }

    /// The log is read and open, or cannot be.
    pub(super) fn opened(&mut self, result: Result<(), Failure>) {
        let opening = self.appending.opening.take().expect("the caller looked");
        if opening.again {
            return self.log_read_again(result);
        }
        if opening.read > 0 && result.is_ok() {
            let seconds = (self.shared.clock.unix_ms() - opening.began_ms) as f64 / 1000.0;
            crate::log::notice(format!("DB loaded from append only file: {seconds:.3} seconds"));
        }
        if result.is_ok() {
            self.shared.set_logged(true);
        }
        self.started(result.map(|()| None).map_err(|_| Failure::Cancelled));
    }

    // ---- running commands of a log ----

    /// Runs commands of a log; says so when all of them ran.
    pub(super) fn replay(&mut self, stream: u64, commands: Commands) {
        let mut batch = self.spare_batches.pop().unwrap_or_default();
        batch.connection = Some(ConnectionId { core: self.id as u16, slot: NO_SLOT, generation: 0 });
        batch.session = Some(session(commands.db));
        batch.buf = commands.buf;
        batch.requests = commands.requests;
        batch.replayed = stream;
        if self.holds_all() {
            return self.replay_held(batch);
        }
        self.advance(batch);
    }

    /// The same with all shards at hand, for a command that holds them.
    fn replay_held(&mut self, mut batch: Box<Batch>) {
        let all = ShardSet::first(self.shards.len());
        self.with_held_shards(|core| {
            // What the log says is not logged again.
            core.effects.listen(core.config.notify_keyspace_events, false);
            while !batch.is_done() {
                core.run_plain(&mut batch, all);
                batch.replies.clear();
            }
            core.refresh_listeners();
        });
        self.send_signals();
        self.end_replay(batch);
    }

    /// A batch is home: whether it is one of a log.
    pub(super) fn takes_replay_home(&mut self, batch: Box<Batch>) -> Option<Box<Batch>> {
        if batch.home().slot != NO_SLOT {
            return Some(batch);
        }
        self.end_replay(batch);
        None
    }

    fn end_replay(&mut self, mut batch: Box<Batch>) {
        batch.replies.clear();
        batch.stamps.clear();
        batch.confirmations.clear();
        batch.notes.clear();
        if !batch.is_done() {
            return self.advance(batch);
        }
        self.actions.jobs.push(Job::Taken { stream: batch.replayed, sound: true });
        self.recycle(batch);
    }
}

/// Who runs the commands of a log.
fn session(db: u16) -> Session {
    Session {
        id: CLIENT_ID,
        db,
        resp3: false,
        no_touch: false,
        subscribed: false,
        tracking: Tracking::OFF,
        atomic: false,
        timeless: true,
        serving: false,
        in_script: false,
    }
}

/// Writes to the log why a file of the append-only log could not be read.
fn log_load_failure(failure: &Failure, name: &str, last: bool) {
    match failure {
        Failure::Cut { text, .. } if last => {
            crate::log::warning(text);
            crate::log::warning(format!(
                "Unexpected end of file reading the append only file {name}. You can: 1) Make a backup of your AOF file, then use \
                 ./redis-check-aof --fix <filename.manifest>. 2) Alternatively you can set the 'aof-load-truncated' configuration \
                 option to yes and restart the server."
            ));
        }
        Failure::Cut { text, .. } => {
            crate::log::warning(text);
            crate::log::warning("Fatal error: the truncated file is not the last file");
        }
        Failure::Content(text) => crate::log::warning(text),
        failure => {
            let text = failure_text(failure);
            crate::log::warning(format!("Fatal error: can't open the append log file {name} for reading: {text}"));
        }
    }
}

/// Deals a file of the log out to the cores.
struct LogIntake {
    shared: Arc<Shared>,
    registry: Arc<Registry>,
    /// The core that gets all of it.
    sole: Option<usize>,
    name: String,
    state: Reading,
    db: u16,
    /// The commands of the transaction that is open, with their databases.
    transaction: Option<Vec<(u16, Vec<u8>, Vec<Span>)>>,
    /// For each core.
    parcels: Vec<Commands>,
}

enum Reading {
    /// Too little was read to tell.
    Begin(Vec<u8>),
    /// An RDB file stands before the commands; so many bytes of the file were read.
    Preamble(Box<RdbIntake>, u64),
    Commands(aof::Reader),
}

impl LogIntake {
    fn new(shared: Arc<Shared>, registry: Arc<Registry>, sole: Option<usize>, name: String) -> Self {
        Self {
            sole,
            name,
            state: Reading::Begin(Vec::new()),
            db: 0,
            transaction: None,
            parcels: (0..shared.slots.shard_count()).map(|_| Commands::default()).collect(),
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
            let rdb = Box::new(RdbIntake::new(self.shared.clone(), self.sole));
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
                Err(error) => break Err(self.broken(&error)),
            }
        };
        self.state = Reading::Commands(reader);
        result
    }

    fn broken(&self, error: &aof::Error) -> Failure {
        let name = &self.name;
        Failure::Content(match error.what {
            What::Multi | What::Exec => format!("{error} in the append only file {name}"),
            _ => format!(
                "Bad file format reading the append only file {name}: make a backup of your AOF file, then use \
                 ./redis-check-aof --fix <filename.manifest> ({error})"
            ),
        })
    }

    fn take(&mut self, command: aof::Command, out: &mut Vec<(usize, Cargo)>) -> Result<(), Failure> {
        let name = command.arg(0);
        let is = |word: &str| name.eq_ignore_ascii_case(word.as_bytes());
        if is("select") && command.spans.len() == 2 {
            let db = std::str::from_utf8(command.arg(1)).ok().and_then(|text| text.parse::<u16>().ok());
            let known = db.filter(|db| (*db as u32) < self.shared.config().databases as u32);
            self.db = known.ok_or_else(|| {
                Failure::Content(format!("SELECT of a database that there is not, at offset {} of {}", command.offset, self.name))
            })?;
            return Ok(());
        }
        if is("multi") {
            self.transaction = Some(Vec::new());
            return Ok(());
        }
        if is("exec") {
            for (db, buf, spans) in self.transaction.take().unwrap_or_default() {
                self.deal(db, &buf, &spans, out)?;
            }
            return Ok(());
        }
        let span = |span: &std::ops::Range<usize>| Span { start: span.start as u32, len: span.len() as u32 };
        let spans: Vec<Span> = command.spans.iter().map(span).collect();
        match &mut self.transaction {
            Some(transaction) => transaction.push((self.db, command.bytes.to_vec(), spans)),
            None => self.deal(self.db, command.bytes, &spans, out)?,
        }
        Ok(())
    }

    /// A command goes into the parcel of the core that has its keys.
    fn deal(&mut self, db: u16, bytes: &[u8], spans: &[Span], out: &mut Vec<(usize, Cargo)>) -> Result<(), Failure> {
        let args = Args::new(bytes, spans);
        let number = self.registry.resolve_number(args);
        if number == Request::UNKNOWN {
            let name = args.at(0).escape_ascii();
            return Err(Failure::Content(format!("Unknown command '{name}' reading the append only file {}", self.name)));
        }
        let row = self.registry.row(number);
        let changes = row.is(flags::WRITE | flags::MAY_REPLICATE) || row.route == Route::Function;
        if !changes || !row.arity_fits(args.len()) {
            // Nothing that a log is for; Redis answers it with an error that nobody reads.
            return Ok(());
        }
        let count = self.parcels.len();
        let shards = match row.route {
            Route::Script => ShardSet::first(count),
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
        match shards.sole() {
            _ if self.sole.is_some() => self.put(self.sole.unwrap_or(0), db, bytes, spans, request, out),
            Some(core) => self.put(core, db, bytes, spans, request, out),
            None => {
                self.send_all(out);
                self.put(core, db, bytes, spans, request, out);
                self.parcels[core].alone = true;
                self.send(core, out);
            }
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
        if self.parcels[core].db != db {
            self.send(core, out);
            self.parcels[core].db = db;
        }
        let parcel = &mut self.parcels[core];
        let (begin, first_span) = (parcel.buf.len() as u32, parcel.requests.spans.len() as u32);
        parcel.buf.extend_from_slice(bytes);
        parcel.requests.spans.extend(spans.iter().map(|s| Span { start: s.start + begin, len: s.len }));
        let end = parcel.buf.len() as u32;
        parcel.requests.list.push(Request { first_span, begin, end, ..request });
        if parcel.buf.len() >= PARCEL_BYTES {
            self.send(core, out);
        }
    }

    fn send(&mut self, core: usize, out: &mut Vec<(usize, Cargo)>) {
        let parcel = &mut self.parcels[core];
        let db = parcel.db;
        if !parcel.requests.list.is_empty() {
            out.push((core, Cargo::Commands(Box::new(std::mem::take(parcel)))));
            self.parcels[core].db = db;
        }
    }

    fn send_all(&mut self, out: &mut Vec<(usize, Cargo)>) {
        (0..self.parcels.len()).for_each(|core| self.send(core, out));
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
        self.send_all(out);
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
