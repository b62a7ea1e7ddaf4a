//! Snapshots on request: SAVE, BGSAVE, BGREWRITEAOF, LASTSAVE, SHUTDOWN, and what FLUSHALL and DEBUG RELOAD do to them.
//! In: a command that runs with every shard at hand. Out: a snapshot begun or given up, a reply, perhaps a `Hold`.
//!
//! A snapshot's moment is the command that begins it. BGSAVE answers then, and the cores write as they find time. SAVE,
//! SHUTDOWN and DEBUG RELOAD keep all shards until it is on disk (`Hold`), so that nothing else runs meanwhile, as in Redis.
//! Absent: who walks and who waits (see `server::persist`).

use std::path::PathBuf;
use std::sync::atomic::Ordering::Acquire;

use crate::client::Args;
use crate::commands::{Context, Error, Hold, Note, Signal};
use crate::config::{Config, SavePoint, os_error_text};
use crate::persist::Format;
use crate::persist::aof::{self, BaseForm, Mark};
use crate::persist::rdb::file::{Version, Writer, trailer};
use crate::shard::snapshot::{Clocks, Plan};
use crate::shard::{Moment, Shard};
use crate::shared::{Saves, Saving, Shared, gate};
use crate::storage::{Doing, Failure, Job, Save, Seal};
use crate::{base::crc::Crc64, commands::server::lolwut::REDIS_VERSION};

/// After a failed snapshot in the background, save points wait this long.
const RETRY_S: i64 = 5;

/// Who wants a snapshot, and what it needs.
pub struct Begin<'a> {
    pub shared: &'a Shared,
    pub config: &'a Config,
    pub moment: Moment,
    /// The core that hears how it ended.
    pub owner: usize,
    pub purpose: Purpose,
}

/// What a snapshot is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Somebody waits for it.
    Save,
    Background,
    /// The base of the log.
    Rewrite,
}

impl Begin<'_> {
    /// Begins a snapshot of all shards, which are at hand. Returns its number.
    pub fn run<'s>(&self, shards: impl Iterator<Item = &'s mut Shard>, jobs: &mut Vec<Job>) -> u64 {
        let mut shards: Vec<&mut Shard> = shards.collect();
        assert_eq!(shards.len(), self.shared.slots.shard_count(), "all shards are at hand");
        let keys = shards.iter().flat_map(|shard| &shard.dbs).map(|db| db.store.len()).sum();
        let changes = shards.iter().map(|shard| shard.counters.counted()).sum();
        let base = (self.purpose == Purpose::Rewrite).then(|| base_form(self.config));
        let id = self.shared.persistence.saves().begin(Saving {
            id: 0,
            background: self.purpose == Purpose::Background,
            began_s: self.moment.now_ms / 1000,
            keys,
            changes,
            base,
        });
        let expiring = shards.iter().any(|shard| shard.has_expiring_fields());
        let version = Version::of(self.config.rdb_dialect, expiring);
        let writer = Writer { version, compress: self.config.rdbcompression };
        let clocks = match self.config.maxmemory_policy {
            policy if policy.is_lfu() => Clocks::Frequency,
            policy if policy.is_lru() => Clocks::Idle,
            _ => Clocks::None,
        };
        let format = match base {
            Some(BaseForm::Commands) => Format::Commands,
            Some(BaseForm::Rdb) | None => Format::Rdb(writer),
        };
        let plan = Plan { id, format, clocks, moment: self.moment };
        shards.iter_mut().for_each(|shard| shard.begin_snapshot(plan));
        let (temporary, target) = self.paths(id);
        jobs.push(Job::Save(Box::new(Save {
            stream: id,
            owner: self.owner,
            producers: shards.len(),
            makes_directory: base.is_some(),
            temporary,
            target,
            head: match format {
                Format::Rdb(writer) => self.rdb_head(writer, &shards, base.is_some()),
                Format::Commands => self.commands_head(),
            },
            seal: match format {
                Format::Rdb(_) => Box::new(Trailer(self.config.rdbchecksum.then(Crc64::new))),
                Format::Commands => Box::new(NoTrailer),
            },
        })));
        id
    }

    /// What an RDB file begins with: besides, the libraries of functions, which are of no shard, and how many keys there are.
    fn rdb_head(&self, writer: Writer, shards: &[&mut Shard], is_base: bool) -> Vec<u8> {
        let mut head = head(writer, self.moment.now_ms, is_base);
        let libraries = self.shared.scripts.libraries();
        libraries.by_name.values().for_each(|library| writer.function(&mut head, &library.code));
        for db in 0..self.config.databases as usize {
            let stores = || shards.iter().map(|shard| &shard.dbs[db].store);
            let keys: usize = stores().map(|store| store.len()).sum();
            if keys > 0 {
                writer.select_db(&mut head, db as u64);
                let expiring: usize = stores().map(|store| store.expires()).sum();
                writer.resize_db(&mut head, keys as u64, expiring as u64);
            }
        }
        head
    }

    /// What a base of commands begins with.
    fn commands_head(&self) -> Vec<u8> {
        let time_s = self.config.aof_timestamp_enabled.then_some(self.moment.now_ms / 1000);
        let libraries = self.shared.scripts.libraries();
        aof::base::head(time_s, libraries.by_name.values().map(|library| &*library.code))
    }

    /// Where it is written, and where it is put then.
    fn paths(&self, id: u64) -> (PathBuf, PathBuf) {
        let process = std::process::id();
        match self.purpose {
            Purpose::Rewrite => {
                let directory = log_directory(self.config);
                (directory.join(format!("temp-rewriteaof-{process}.{id}.aof")), new_base(self.config))
            }
            Purpose::Save | Purpose::Background => {
                let dir = &self.config.dir;
                (dir.join(format!("temp-{process}.{id}.rdb")), dir.join(&self.config.dbfilename))
            }
        }
    }
}

/// Where the files of the log are.
pub fn log_directory(config: &Config) -> PathBuf {
    config.dir.join(&config.appenddirname)
}

/// A base of the log that is whole, before it gets its name.
pub fn new_base(config: &Config) -> PathBuf {
    log_directory(config).join(format!("temp-rewriteaof-bg-{}.aof", std::process::id()))
}

/// What a base consists of that is written now.
pub fn base_form(config: &Config) -> BaseForm {
    if config.aof_use_rdb_preamble { BaseForm::Rdb } else { BaseForm::Commands }
}

/// The base of a log of a server without data.
pub fn empty_base(config: &Config, now_ms: i64) -> Vec<u8> {
    if base_form(config) == BaseForm::Commands {
        return Vec::new();
    }
    let writer = Writer { version: Version::V11, compress: false };
    let mut file = head(writer, now_ms, true);
    let mut seal = Trailer(config.rdbchecksum.then(Crc64::new));
    seal.take_in(&file);
    file.extend(seal.end());
    file
}

/// What every file begins with: version and auxiliary fields.
fn head(writer: Writer, now_ms: i64, is_base: bool) -> Vec<u8> {
    let mut head = Vec::new();
    writer.header(&mut head);
    let number = |number: u64| number.to_string().into_bytes();
    writer.aux(&mut head, "redis-ver", REDIS_VERSION.as_bytes());
    writer.aux(&mut head, "redis-bits", b"64");
    writer.aux(&mut head, "ctime", &number(now_ms as u64 / 1000));
    writer.aux(&mut head, "used-mem", &number(crate::base::usage::resident_bytes().0));
    writer.aux(&mut head, "aof-base", if is_base { b"1" } else { b"0" });
    head
}

/// The end of an RDB file, with the checksum if one is wanted.
struct Trailer(Option<Crc64>);

impl Seal for Trailer {
    fn take_in(&mut self, bytes: &[u8]) {
        if let Some(crc) = &mut self.0 {
            crc.update(bytes);
        }
    }

    fn end(&mut self) -> Vec<u8> {
        trailer(self.0.as_ref()).to_vec()
    }
}

/// Commands end where they end.
struct NoTrailer;

impl Seal for NoTrailer {
    fn take_in(&mut self, _bytes: &[u8]) {}

    fn end(&mut self) -> Vec<u8> {
        Vec::new()
    }
}

/// Gives up the snapshot that is on its way, if there is one, and returns it: all shards are at hand.
pub fn give_up<'s>(
    shared: &Shared,
    shards: impl Iterator<Item = &'s mut Shard>,
    jobs: &mut Vec<Job>,
) -> Option<Saving> {
    let given_up = shared.persistence.saves().give_up();
    if let Some(Saving { id: stream, base, .. }) = given_up {
        shards.for_each(Shard::cancel_snapshot);
        jobs.push(Job::Cancel { stream });
        if base.is_some() {
            jobs.push(Job::Rebase { stream, base: None });
        }
    }
    given_up
}

/// The save point that says that it is time.
pub fn is_due<'c>(config: &'c Config, saves: &Saves, changes: u64, now_s: i64) -> Option<&'c SavePoint> {
    let patient = saves.last_ok || now_s - saves.last_try_s > RETRY_S;
    let unsaved = changes.saturating_sub(saves.saved_changes);
    let reached = |seconds: i64, least: u64| unsaved >= least && now_s - saves.last_s > seconds;
    let point = config.save_points.iter().find(|point| reached(point.seconds as i64, point.changes as u64));
    point.filter(|_| saves.running.is_none() && patient)
}

/// Begins a snapshot of this moment.
pub fn begin(cx: &mut Context, purpose: Purpose) -> u64 {
    let request = Begin { shared: cx.shared, config: cx.config, moment: cx.moment, owner: cx.core, purpose };
    let shards = cx.keyspace.shards.iter_mut().filter_map(|shard| shard.as_deref_mut());
    request.run(shards, cx.jobs)
}

/// Gives up the snapshot that is on its way. A base of the log is begun anew later.
pub fn cancel(cx: &mut Context) -> Option<Saving> {
    let shards = cx.keyspace.shards.iter_mut().filter_map(|shard| shard.as_deref_mut());
    let given_up = give_up(cx.shared, shards, cx.jobs);
    if given_up.is_some_and(|saving| saving.base.is_some()) {
        cx.shared.persistence.schedule_rewrite();
    }
    given_up
}

pub fn save(cx: &mut Context, _args: Args) -> Result<(), Error> {
    let running = cx.shared.persistence.saves().running;
    match running {
        Some(saving) if saving.base.is_some() => _ = cancel(cx),
        Some(_) => return Err(Error::SAVE_RUNNING),
        None => {}
    }
    cx.shared.persistence.saves().count += 1;
    let id = begin(cx, Purpose::Save);
    cx.notes.push(Note::Hold(Hold::Save { id }));
    Ok(())
}

pub fn bgsave(cx: &mut Context, args: Args) -> Result<(), Error> {
    let schedule = args.is(1, "SCHEDULE");
    match args.len() {
        1 => {}
        2 if schedule => {}
        2 if args.is(1, "CANCEL") => return bgsave_cancel(cx),
        _ => return Err(Error::SYNTAX),
    }
    let running = cx.shared.persistence.saves().running;
    if running.is_some_and(|saving| saving.base.is_none()) {
        return Err(Error::SAVE_RUNNING);
    }
    if running.is_some() || cx.session.atomic {
        if !schedule && !cx.session.atomic {
            return Err(Error::REWRITE_RUNNING);
        }
        cx.shared.persistence.schedule_save();
        cx.out.simple("Background saving scheduled");
        return Ok(());
    }
    cx.shared.persistence.saves().count += 1;
    begin(cx, Purpose::Background);
    crate::log::notice("Background saving started");
    cx.out.simple("Background saving started");
    Ok(())
}

fn bgsave_cancel(cx: &mut Context) -> Result<(), Error> {
    let running = cx.shared.persistence.saves().running;
    if running.is_some_and(|saving| saving.base.is_none()) {
        cancel(cx);
        crate::log::notice("Background saving will be aborted due to user request");
        cx.out.simple("Background saving cancelled");
        return Ok(());
    }
    if !std::mem::take(&mut cx.shared.persistence.saves().scheduled) {
        return Err(Error::new("ERR Background saving is currently not in progress or scheduled"));
    }
    cx.out.simple("Scheduled background saving cancelled");
    Ok(())
}

pub fn bgrewriteaof(cx: &mut Context, _args: Args) -> Result<(), Error> {
    let running = cx.shared.persistence.saves().running;
    let log = &cx.shared.persistence.log;
    if running.is_some_and(|saving| saving.base.is_some()) || log.rewrites().rebasing_began_s.is_some() {
        return Err(Error::new("ERR Background append only file rewriting already in progress"));
    }
    // Somebody waits for it: the pause after failures is over.
    log.rewrites().not_before_s = 0;
    if running.is_some() || cx.session.atomic {
        cx.shared.persistence.schedule_rewrite();
        cx.out.simple("Background append only file rewriting scheduled");
        return Ok(());
    }
    let base = begin(cx, Purpose::Rewrite);
    cx.effects.mark(Mark::Turn { directory: log_directory(cx.config), base });
    crate::log::notice("Background append only file rewriting started");
    cx.out.simple("Background append only file rewriting started");
    Ok(())
}

pub fn lastsave(cx: &mut Context, _args: Args) -> Result<(), Error> {
    let last_s = cx.shared.persistence.saves().last_s;
    cx.out.integer(last_s);
    Ok(())
}

/// FLUSHALL emptied all databases, and replies: no snapshot of what was is wanted any more, and where there are save points
/// the file is to be empty, too, before the reply. A transaction cannot wait for that.
pub fn after_flushall(cx: &mut Context) {
    let saving = begin_after_flushall(cx);
    match saving {
        Some(id) if !cx.session.atomic => cx.notes.push(Note::Hold(Hold::Flush { id })),
        _ => cx.out.ok(),
    }
}

fn begin_after_flushall(cx: &mut Context) -> Option<u64> {
    if cx.session.timeless {
        // What is read from a log was saved when it was sent.
        return None;
    }
    let running = cx.shared.persistence.saves().running;
    if running.is_some_and(|saving| saving.base.is_some()) {
        if !cx.config.save_points.is_empty() {
            cx.shared.persistence.schedule_save();
        }
        return None;
    }
    if cancel(cx).is_some() {
        crate::log::notice("Background saving terminated: all databases were emptied");
    }
    let purpose = if cx.session.atomic { Purpose::Background } else { Purpose::Save };
    (!cx.config.save_points.is_empty()).then(|| begin(cx, purpose))
}

pub fn shutdown(cx: &mut Context, args: Args) -> Result<(), Error> {
    let mut how = Shutdown::default();
    let mut abort = false;
    for word in args.from(1).iter() {
        if word.eq_ignore_ascii_case(b"ABORT") {
            abort = true;
        } else if !how.word(word) {
            return Err(Error::SYNTAX);
        }
    }
    if (how.save && how.nosave) || (abort && how != Shutdown::default()) {
        return Err(Error::SYNTAX);
    }
    if cx.session.atomic {
        return Err(Error::NOT_IN_TRANSACTION);
    }
    if let Some(running) = cx.shared.scripts.running().filter(|_| !how.nosave) {
        return Err(Error::busy(&running));
    }
    if abort {
        return Err(Error::new("ERR No shutdown in progress."));
    }
    crate::log::warning("User requested shutdown...");
    let shards = cx.keyspace.shards.iter_mut().filter_map(|shard| shard.as_deref_mut());
    let purpose = Purpose::Save;
    let request = Begin { shared: cx.shared, config: cx.config, moment: cx.moment, owner: cx.core, purpose };
    match how.begin(&request, shards, cx.jobs)? {
        Some(id) => cx.notes.push(Note::Hold(Hold::Shutdown { id, force: how.force })),
        None => cx.signals.push(Signal::Shutdown),
    }
    Ok(())
}

/// How the server is to end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shutdown {
    pub save: bool,
    pub nosave: bool,
    pub force: bool,
    /// There is nobody to wait for, so that this is always so.
    pub now: bool,
}

impl Shutdown {
    /// As `shutdown-on-sigterm` says: words, or `default`.
    pub fn configured(words: &str) -> Self {
        let mut how = Self::default();
        words.split_ascii_whitespace().for_each(|word| _ = how.word(word.as_bytes()));
        how
    }

    /// Takes a word; false if it is none.
    fn word(&mut self, word: &[u8]) -> bool {
        let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
        match () {
            () if is("SAVE") => self.save = true,
            () if is("NOSAVE") => self.nosave = true,
            () if is("FORCE") => self.force = true,
            () if is("NOW") => self.now = true,
            () => return false,
        }
        true
    }

    /// Begins the last snapshot, if there is to be one. A snapshot on its way is given up. All shards are at hand.
    /// A log that has no base yet would be lost with the process: only force ends that.
    pub fn begin<'s>(
        self,
        request: &Begin,
        shards: impl Iterator<Item = &'s mut Shard>,
        jobs: &mut Vec<Job>,
    ) -> Result<Option<u64>, Error> {
        let unlogged = request.config.appendonly && !request.shared.is_logged();
        if request.shared.persistence.lacks_base(unlogged) {
            if !self.force {
                crate::log::warning("Writing initial AOF, can't exit.");
                return Err(Error::SHUTDOWN_FAILED);
            }
            crate::log::warning("Writing initial AOF. Exit anyway.");
        }
        let mut shards: Vec<&mut Shard> = shards.collect();
        match give_up(request.shared, shards.iter_mut().map(|shard| &mut **shard), jobs) {
            Some(saving) if saving.base.is_some() => {
                crate::log::warning("There is a child rewriting the AOF. Killing it!");
            }
            Some(_) => crate::log::warning("There is a child saving an .rdb. Killing it!"),
            None => {}
        }
        // What is not loaded yet must not overwrite the file.
        let asked = self.save || (!self.nosave && !request.config.save_points.is_empty());
        let wanted = asked && !request.shared.is_loading();
        Ok(wanted.then(|| {
            crate::log::notice("Saving the final RDB snapshot before exiting.");
            request.run(shards.into_iter(), jobs)
        }))
    }
}

/// What failed, in the words of the system or of whoever read the file.
pub fn failure_text(failure: &Failure) -> String {
    match failure {
        Failure::Content(text) | Failure::Cut { text, .. } | Failure::Corrupt { text, .. } => text.clone(),
        Failure::Cancelled => "It was given up".into(),
        Failure::System { .. } => {
            failure.io_error().map(|error| os_error_text(&error)).expect("the system has words")
        }
    }
}

/// What Redis writes to the log when a snapshot fails.
pub fn log_failure(config: &Config, failure: &Failure) {
    let text = failure_text(failure);
    let (file, dir) = (&config.dbfilename, config.dir.display());
    crate::log::warning(match failure {
        Failure::System { doing: Doing::Open, .. } => {
            format!(
                "Failed opening the temp RDB file for {file} (in server root dir {dir}) for saving: {text}"
            )
        }
        Failure::System { doing: Doing::Rename, .. } => {
            format!(
                "Error moving temp DB file on the final destination {file} (in server root dir {dir}): {text}"
            )
        }
        Failure::System { .. } => format!("Write error saving DB on disk: {text}"),
        Failure::Content(_) | Failure::Cut { .. } | Failure::Corrupt { .. } => text,
        Failure::Cancelled => "Background saving cancelled".into(),
    });
}

/// Why commands that write are refused, if they are: the last snapshot failed, where that is configured, or the log cannot be
/// written.
pub fn disk_error(shared: &Shared) -> Option<Error> {
    let gates = shared.gates();
    if gates & gate::SAVE_FAILED != 0 {
        let config = shared.config();
        if config.stop_writes_on_bgsave_error && !config.save_points.is_empty() {
            return Some(Error::SAVE_FAILED);
        }
    }
    let fails = gates & gate::LOG_FAILED != 0 && shared.is_logged();
    fails.then(|| Error::log_failed(shared.persistence.log.errno.load(Acquire)))
}
