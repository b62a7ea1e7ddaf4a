//! Reads the append-only log back: at the start, and for DEBUG LOADAOF.
//! In: the files that the manifest names, one after the other. Out: commands for the cores that have their keys, run where
//! time stands still; then a log that goes on where the files end.
//! Absent: who gets which commands (`server::log_intake`), how a log is written (`server::append`), its grammar (`persist::aof`).

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::atomic::Ordering::*;

use super::batch::Batch;
use super::core::Core;
use super::log_intake::LogIntake;
use crate::client::{ConnectionId, Session, ShardSet, Tracking};
use crate::commands::server::persistence::{empty_base, failure_text, log_directory};
use crate::config::{Config, os_error_text};
use crate::persist::aof::manifest::{manifest_name, temporary_name};
use crate::persist::aof::{Manifest, Source};
use crate::storage::{Commands, Failure, Job, Load, Log};

/// No connection has this slot: it stands for the log.
const NO_SLOT: u32 = u32::MAX;
/// The id of the client that the log is, as in Redis.
const CLIENT_ID: u64 = u64::MAX;

/// The log as it was found at the start.
pub struct Found {
    pub manifest: Manifest,
    /// Its files, with their lengths, in the order in which they are read; none if they are not to be.
    pub files: Vec<(String, u64)>,
}

/// The log that is being read, file by file.
pub struct Opening {
    files: VecDeque<(String, u64)>,
    /// The first of them is the base.
    has_base: bool,
    read: usize,
    began_ms: i64,
    file_began_ms: i64,
    bytes_before: u64,
    last_bytes: u64,
    base_bytes: u64,
    cut: Option<u64>,
    /// DEBUG LOADAOF: the log is open already.
    again: bool,
}

/// Looks for the log that the configuration names, and for its files if they are to be read. The error is for the operator.
pub fn find(config: &Config, reads: bool) -> Result<Found, String> {
    let directory = log_directory(config);
    if config.appendonly && directory.exists() && !directory.is_dir() {
        let name = &config.appenddirname;
        return Err(format!("Can't open or create append-only dir {name}: Not a directory"));
    }
    let path = directory.join(manifest_name(&config.appendfilename));
    let manifest = match std::fs::read(&path) {
        Ok(text) => {
            Manifest::parse(&text).map_err(|error| format!("{error}\nFatal error: {}", path.display()))?
        }
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Manifest::default()
        }
        Err(error) => {
            let text = os_error_text(&error);
            return Err(format!(
                "Fatal error: can't open the AOF manifest file {} for reading: {text}",
                path.display()
            ));
        }
    };
    let length = |name: &String| {
        std::fs::metadata(directory.join(name)).map(|file| (name.clone(), file.len())).map_err(|error| {
            format!("Unable to obtain the AOF file {name} length. stat: {}", os_error_text(&error))
        })
    };
    let files =
        manifest.files().filter(|_| reads).map(|file| length(&file.name)).collect::<Result<_, _>>()?;
    Ok(Found { manifest, files })
}

/// Makes the one file of a log as Redis kept it before 7.0 the base of a log with a manifest.
pub fn upgrade(config: &Config) -> Result<(), String> {
    let directory = log_directory(config);
    let path = directory.join(manifest_name(&config.appendfilename));
    let old = config.dir.join(&config.appendfilename);
    if !config.appendonly || !old.is_file() || !awaits_upgrade(&path, &directory.join(&config.appendfilename))
    {
        return Ok(());
    }
    let failed = |doing: &'static str| {
        let name = config.appendfilename.clone();
        move |error: std::io::Error| format!("{doing} the old AOF file {name}: {}", os_error_text(&error))
    };
    let manifest = Manifest::upgraded(&config.appendfilename);
    match std::fs::create_dir(&directory) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            return Err(failed("Failed making a directory for")(error));
        }
        _ => {}
    }
    let temporary = path.with_file_name(temporary_name(&manifest_name(&config.appendfilename)));
    let write = || -> std::io::Result<()> {
        std::fs::write(&temporary, manifest.to_text())?;
        std::fs::File::open(&temporary)?.sync_all()?;
        std::fs::File::open(&old)?.sync_all()?;
        std::fs::rename(&temporary, &path)?;
        std::fs::rename(&old, directory.join(&config.appendfilename))?;
        std::fs::File::open(&directory)?.sync_all()?;
        std::fs::File::open(&config.dir)?.sync_all()
    };
    write().map_err(failed("Failed upgrading"))?;
    let (file, folder) = (&config.appendfilename, &config.appenddirname);
    crate::log::notice(format!(
        "Successfully migrated an old-style AOF file ({file}) into the AOF directory ({folder})."
    ));
    Ok(())
}

/// Whether there is no manifest yet; or one that names a file of old which an upgrade that was cut short did not move.
fn awaits_upgrade(manifest: &Path, moved: &Path) -> bool {
    let text = match std::fs::read(manifest) {
        Ok(text) => text,
        Err(error) => return error.kind() == ErrorKind::NotFound,
    };
    let begun = |manifest: Manifest| {
        let base = manifest.base.as_ref().map(|base| base.name.as_bytes());
        manifest.incr.is_empty() && base == moved.file_name().map(|name| name.as_encoded_bytes())
    };
    !moved.exists() && Manifest::parse(&text).is_ok_and(begun)
}

impl Core {
    /// Begins the server's log: reads what there is, if the log is on, and then goes on with it.
    pub fn start_log(&mut self, found: Found) {
        self.begin_event();
        let log = &self.shared.persistence.log;
        let has_base = found.manifest.base.is_some();
        self.actions.jobs.push(Job::Log(Box::new(Log {
            owner: self.id,
            name: self.config.appendfilename.clone(),
            manifest: found.manifest,
            progress: log.progress.clone(),
            cores: self.shards.len(),
        })));
        log.starts.store(self.config.appendonly, Release);
        log.is_open.store(true, Release);
        if self.config.appendonly {
            self.read_log_files(found.files, has_base, false);
        }
    }

    /// Reads the files of the log, the first of which may be its base. `again`: they are read by a server that has been writing them.
    pub(super) fn read_log_files(&mut self, files: Vec<(String, u64)>, has_base: bool, again: bool) {
        let now_ms = self.now_ms;
        self.shared.persistence.load.begin(now_ms);
        self.appending.opening = Some(Box::new(Opening {
            files: files.into(),
            has_base,
            read: 0,
            began_ms: now_ms,
            file_began_ms: now_ms,
            bytes_before: 0,
            last_bytes: 0,
            base_bytes: 0,
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
        let (name, bytes) = opening.files.pop_front().expect("it is being read");
        let last = opening.files.is_empty();
        if let Err(failure) = result {
            let cut = cut_of(&failure, &name, bytes, &self.config).filter(|_| last && !opening.again);
            let Some(Cut { good, said }) = cut else {
                log_load_failure(&failure, &name, last);
                return self.opened(Err(Failure::Cancelled));
            };
            crate::log::warning(failure_text(&failure));
            said.into_iter().for_each(crate::log::warning);
            opening.cut = Some(good);
            opening.last_bytes = good;
        }
        let is_base = opening.read == 1 && opening.has_base;
        if is_base {
            opening.base_bytes = opening.last_bytes;
        }
        let kind = if is_base { "base" } else { "incr" };
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
        let mark = self.beginning(Source::Files {
            cut: opening.cut,
            last_bytes: opening.last_bytes,
            bytes_before: opening.bytes_before,
            base_bytes: opening.base_bytes,
            empty: empty_base(&self.config, self.now_ms),
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
            self.shared.persistence.log.starts.store(false, Release);
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
        wrote: 0,
    }
}

/// Where a file is cut off that is good up to there, and what the operator is told of it.
struct Cut {
    good: u64,
    said: Vec<String>,
}

/// Whether the rest of the last file may be left out, as the configuration has it.
fn cut_of(failure: &Failure, name: &str, bytes: u64, config: &Config) -> Option<Cut> {
    let truncating = |good| format!("!!! Truncating the AOF {name} at offset {good} !!!");
    match *failure {
        Failure::Cut { good, .. } if config.aof_load_truncated => {
            let short = format!("!!! Warning: short read while loading the AOF file {name}!!!");
            let reason = format!("AOF {name} loaded anyway because aof-load-truncated is enabled");
            Some(Cut { good, said: vec![short, truncating(good), reason] })
        }
        Failure::Corrupt { good, .. } => {
            let (rest, max) = (bytes.saturating_sub(good), config.aof_load_corrupt_tail_max_bytes);
            let reason = format!(
                "AOF {name} loaded anyway because its corrupt tail of {rest} bytes is within \
                 aof-load-corrupt-tail-max-size, which is {max}"
            );
            (rest <= max).then(|| Cut { good, said: vec![truncating(good), reason] })
        }
        _ => None,
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
        Failure::Content(text) | Failure::Corrupt { text, .. } => crate::log::warning(text),
        failure => {
            let text = failure_text(failure);
            crate::log::warning(format!(
                "Fatal error: can't open the append log file {name} for reading: {text}"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where a file of 100 bytes is cut, if what follows byte `good` is corrupt and so many bytes may be.
    fn cut_at(good: u64, max: &[u8]) -> Option<u64> {
        let mut config = Config::default();
        config.set_by_server("aof-load-corrupt-tail-max-size", max);
        let failure = Failure::Corrupt { good, text: "no command".into() };
        cut_of(&failure, "name", 100, &config).map(|cut| cut.good)
    }

    #[test]
    fn a_corrupt_tail_may_have_so_many_bytes() {
        for (good, max, cut) in
            [(99, &b"0"[..], None), (90, b"9", None), (90, b"10", Some(90)), (0, b"1kb", Some(0))]
        {
            assert_eq!(cut_at(good, max), cut, "{good} {max:?}");
        }
    }

    #[test]
    fn a_short_tail_is_another_option() {
        let mut config = Config::default();
        let failure = Failure::Cut { good: 7, text: "short".into() };
        assert_eq!(cut_of(&failure, "name", 9, &config).map(|cut| cut.good), Some(7));
        config.set_by_server("aof-load-truncated", b"no");
        config.set_by_server("aof-load-corrupt-tail-max-size", b"100");
        assert!(cut_of(&failure, "name", 9, &config).is_none());
        assert!(cut_of(&Failure::Content("else".into()), "name", 9, &config).is_none());
    }
}
