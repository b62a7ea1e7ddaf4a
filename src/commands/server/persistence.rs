//! Snapshots on request: SAVE, BGSAVE, LASTSAVE, SHUTDOWN, and what FLUSHALL and DEBUG RELOAD do to them.
//! In: a command that runs with every shard at hand. Out: a snapshot begun or given up, a reply, perhaps a `Hold`.
//!
//! A snapshot's moment is the command that begins it. BGSAVE answers then, and the cores write as they find time. SAVE,
//! SHUTDOWN and DEBUG RELOAD keep all shards until it is on disk (`Hold`), so that nothing else runs meanwhile, as in Redis.
//! Absent: who walks and who waits (see `server::persist`).

use crate::client::Args;
use crate::commands::{Context, Error, Hold, Note, Signal};
use crate::config::{Config, SavePoint, os_error_text};
use crate::persist::rdb::file::{Version, Writer, trailer};
use crate::shard::snapshot::{Clocks, Plan};
use crate::shard::{Moment, Shard};
use crate::shared::{Saves, Shared, gate};
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
    /// Nobody waits for it.
    pub background: bool,
}

impl Begin<'_> {
    /// Begins a snapshot of all shards, which are at hand. Returns its number.
    pub fn run<'s>(&self, shards: impl Iterator<Item = &'s mut Shard>, jobs: &mut Vec<Job>) -> u64 {
        let mut shards: Vec<&mut Shard> = shards.collect();
        assert_eq!(shards.len(), self.shared.slots.shard_count(), "all shards are at hand");
        let keys = shards.iter().flat_map(|shard| &shard.dbs).map(|db| db.store.len()).sum();
        let changes = shards.iter().map(|shard| shard.counters.changes).sum();
        let id =
            self.shared.persistence.saves().begin(self.background, self.moment.now_ms / 1000, keys, changes);
        let expiring = shards.iter().any(|shard| shard.has_expiring_fields());
        let version = Version::of(self.config.rdb_dialect, expiring);
        let writer = Writer { version, compress: self.config.rdbcompression };
        let clocks = match self.config.maxmemory_policy {
            policy if policy.is_lfu() => Clocks::Frequency,
            policy if policy.is_lru() => Clocks::Idle,
            _ => Clocks::None,
        };
        let plan = Plan { id, writer, clocks, moment: self.moment };
        shards.iter_mut().for_each(|shard| shard.begin_snapshot(plan));
        let dir = &self.config.dir;
        jobs.push(Job::Save(Box::new(Save {
            stream: id,
            owner: self.owner,
            producers: shards.len(),
            temporary: dir.join(format!("temp-{}.{id}.rdb", std::process::id())),
            target: dir.join(&self.config.dbfilename),
            head: self.head(writer, &shards),
            seal: Box::new(Trailer(self.config.rdbchecksum.then(Crc64::new))),
        })));
        id
    }

    /// What a file begins with: version, auxiliary fields, the libraries of functions, which are of no shard, and how many keys
    /// there are.
    fn head(&self, writer: Writer, shards: &[&mut Shard]) -> Vec<u8> {
        let mut head = Vec::new();
        writer.header(&mut head);
        let number = |number: u64| number.to_string().into_bytes();
        writer.aux(&mut head, "redis-ver", REDIS_VERSION.as_bytes());
        writer.aux(&mut head, "redis-bits", b"64");
        writer.aux(&mut head, "ctime", &number(self.moment.now_ms as u64 / 1000));
        writer.aux(&mut head, "used-mem", &number(crate::base::usage::resident_bytes().0));
        writer.aux(&mut head, "aof-base", b"0");
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

/// Gives up the snapshot that is on its way, if there is one: all shards are at hand.
pub fn give_up<'s>(
    shared: &Shared,
    shards: impl Iterator<Item = &'s mut Shard>,
    jobs: &mut Vec<Job>,
) -> bool {
    let given_up = shared.persistence.saves().give_up();
    if let Some(stream) = given_up {
        shards.for_each(Shard::cancel_snapshot);
        jobs.push(Job::Cancel { stream });
    }
    given_up.is_some()
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
pub fn begin(cx: &mut Context, background: bool) -> u64 {
    let request =
        Begin { shared: cx.shared, config: cx.config, moment: cx.moment, owner: cx.core, background };
    let shards = cx.keyspace.shards.iter_mut().filter_map(|shard| shard.as_deref_mut());
    request.run(shards, cx.jobs)
}

/// Gives up a snapshot in the background.
pub fn cancel(cx: &mut Context) -> bool {
    let shards = cx.keyspace.shards.iter_mut().filter_map(|shard| shard.as_deref_mut());
    give_up(cx.shared, shards, cx.jobs)
}

pub fn save(cx: &mut Context, _args: Args) -> Result<(), Error> {
    if cx.shared.persistence.saves().running.is_some() {
        return Err(Error::SAVE_RUNNING);
    }
    let id = begin(cx, false);
    cx.notes.push(Note::Hold(Hold::Save { id }));
    Ok(())
}

pub fn bgsave(cx: &mut Context, args: Args) -> Result<(), Error> {
    match args.len() {
        1 => {}
        2 if args.is(1, "SCHEDULE") => {}
        2 if args.is(1, "CANCEL") => return bgsave_cancel(cx),
        _ => return Err(Error::SYNTAX),
    }
    if cx.shared.persistence.saves().running.is_some() {
        return Err(Error::SAVE_RUNNING);
    }
    begin(cx, true);
    crate::log::notice("Background saving started");
    cx.out.simple("Background saving started");
    Ok(())
}

fn bgsave_cancel(cx: &mut Context) -> Result<(), Error> {
    if !cancel(cx) {
        return Err(Error::new("ERR Background saving is currently not in progress or scheduled"));
    }
    crate::log::notice("Background saving will be aborted due to user request");
    cx.out.simple("Background saving cancelled");
    Ok(())
}

pub fn lastsave(cx: &mut Context, _args: Args) -> Result<(), Error> {
    let last_s = cx.shared.persistence.saves().last_s;
    cx.out.integer(last_s);
    Ok(())
}

/// FLUSHALL emptied all databases: no snapshot of what was is wanted any more, and the file is to be empty, too, where there
/// are save points.
pub fn after_flushall(cx: &mut Context) {
    if cancel(cx) {
        crate::log::notice("Background saving terminated: all databases were emptied");
    }
    if !cx.config.save_points.is_empty() {
        begin(cx, true);
    }
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
    let request =
        Begin { shared: cx.shared, config: cx.config, moment: cx.moment, owner: cx.core, background: false };
    match how.begin(&request, shards, cx.jobs) {
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
    pub fn begin<'s>(
        self,
        request: &Begin,
        shards: impl Iterator<Item = &'s mut Shard>,
        jobs: &mut Vec<Job>,
    ) -> Option<u64> {
        let mut shards: Vec<&mut Shard> = shards.collect();
        if give_up(request.shared, shards.iter_mut().map(|shard| &mut **shard), jobs) {
            crate::log::warning("There is a child saving an .rdb. Killing it!");
        }
        // What is not loaded yet must not overwrite the file.
        let loading = request.shared.gates() & gate::LOADING != 0;
        let asked = self.save || (!self.nosave && !request.config.save_points.is_empty());
        let wanted = asked && !loading;
        wanted.then(|| {
            crate::log::notice("Saving the final RDB snapshot before exiting.");
            request.run(shards.into_iter(), jobs)
        })
    }
}

/// What Redis writes to the log when a snapshot fails.
pub fn log_failure(config: &Config, failure: &Failure) {
    let system = failure.io_error().map(|error| os_error_text(&error)).unwrap_or_default();
    let (file, dir) = (&config.dbfilename, config.dir.display());
    crate::log::warning(match failure {
        Failure::System { doing: Doing::Open, .. } => {
            format!(
                "Failed opening the temp RDB file for {file} (in server root dir {dir}) for saving: {system}"
            )
        }
        Failure::System { doing: Doing::Rename, .. } => {
            format!(
                "Error moving temp DB file on the final destination {file} (in server root dir {dir}): {system}"
            )
        }
        Failure::System { .. } => format!("Write error saving DB on disk: {system}"),
        Failure::Content(text) => text.clone(),
        Failure::Cancelled => "Background saving cancelled".into(),
    });
}
