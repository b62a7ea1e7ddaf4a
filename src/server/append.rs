//! A core's part in the append-only log: what its commands did goes to the storage thread, and replies wait for the disk.
//! In: units that commands left, news of the storage thread, the configuration. Out: jobs, marks, output that may leave.
//!
//! 1. Under `appendfsync always` output leaves when all that had been logged when it was written is durable: whatever a
//!    client is told is on disk, what it read of others' writes, too.
//! 2. Bytes that a core handed over and that are not written are bounded: beyond, its shard is set aside, and what needs it
//!    waits, as if it were lent; others' shards that it keeps go home. Where writing fails, commands that write are refused instead.
//! 3. The log is switched on and off with all shards at hand, so that it begins and ends between two units.
//!
//! Absent: the order of units (`persist::aof`), files (`storage::log`), reading a log (`server::replay`).

use std::sync::Arc;
use std::sync::atomic::Ordering::*;

use super::batch::Task;
use super::core::Core;
use crate::client::{Answer, Nothing, Wait};
use crate::commands::Signal;
use crate::commands::blocking::is_durable;
use crate::commands::server::persistence::{Purpose, base_form, failure_text, log_directory, new_base};
use crate::config::{AppendFsync, os_error_text};
use crate::persist::aof::{self, Mark, Source};
use crate::shard::Shard;
use crate::shared::{Saving, gate};
use crate::storage::{Base, Doing, Failure, Job, LogNews};

/// Bytes handed over and not written: beyond, the shard is set aside, until there are so many left.
const UNWRITTEN_BYTES_MAX: u64 = if cfg!(test) { 2000 } else { 64 << 20 };
const UNWRITTEN_BYTES_LOW: u64 = UNWRITTEN_BYTES_MAX / 4;
/// How often the log is synced under `appendfsync everysec`.
const SYNC_PERIOD_MS: i64 = 1000;

/// What a core knows of the log.
#[derive(Default)]
pub struct Appending {
    /// Bytes of chunks that went to the storage thread.
    handed_bytes: u64,
    /// The home shard, while too much is unwritten (2).
    set_aside: Option<Box<Shard>>,
    /// Output waits for the disk (1).
    pub(super) strict: bool,
    /// Slots with output that waits.
    held: Vec<u32>,
    /// Waits of this core's connections for what is durable.
    waits: Vec<Arc<Wait>>,
    /// What this core handed over has lower stamps.
    reached: u64,
    /// The configuration changed since this core last compared it with the log.
    pub(super) config_is_new: bool,
    /// The stamp of what a command just wrote, until that is noted for its client.
    pub(super) stamped: Option<u64>,
    /// How long the log was when this core last looked.
    bytes_seen: u64,
    /// The log is being read, or opened, at the start.
    pub(super) opening: Option<Box<super::replay::Opening>>,
}

impl Core {
    // ---- what goes to the log ----

    /// Whether replies wait for the disk.
    pub(super) fn refresh_strictness(&mut self) {
        let strict = self.shared.is_logged()
            && self.config.appendfsync == AppendFsync::Always
            && !self.spares_syncs()
            && self.shared.persistence.log.is_open.load(Acquire);
        if strict && !self.appending.strict {
            // What was written before without a sync is waited for, too.
            self.actions.jobs.push(Job::Sync);
        }
        self.appending.strict = strict;
    }

    /// `no-appendfsync-on-rewrite`, while a snapshot is written.
    fn spares_syncs(&self) -> bool {
        self.config.no_appendfsync_on_rewrite && self.shared.persistence.saves().running.is_some()
    }

    /// What commands of this core did since it was last called goes to the storage thread.
    #[inline]
    pub(super) fn hand_over_log(&mut self) {
        if !self.log.is_empty() && self.shared.persistence.log.is_open.load(Acquire) {
            self.hand_over_chunk();
        }
    }

    fn hand_over_chunk(&mut self) {
        let mut chunk = std::mem::take(&mut self.log);
        chunk.time_s = self.config.aof_timestamp_enabled.then_some(self.now_ms / 1000);
        self.appending.reached = self.shared.log_next.load(Acquire);
        self.appending.handed_bytes += chunk.bytes_len() as u64;
        self.actions.jobs.push(Job::Append { chunk: Box::new(chunk), sync: self.appending.strict });
        if self.unwritten_bytes() > UNWRITTEN_BYTES_MAX {
            self.set_shard_aside();
        }
    }

    /// The core ends: what it has for the log is handed over, and synced.
    pub fn finish_log(&mut self) {
        self.hand_over_log();
        if self.shared.is_logged() {
            if self.id == 0 {
                crate::log::notice("Calling fsync() on the AOF file.");
            }
            self.actions.jobs.push(Job::Sync);
        }
    }

    fn unwritten_bytes(&self) -> u64 {
        self.appending.handed_bytes - self.shared.persistence.log.progress.written_bytes(self.id)
    }

    /// Sets the home shard aside until more is written (2).
    fn set_shard_aside(&mut self) {
        let log = &self.shared.persistence.log;
        log.progress.wait(self.id);
        let full = self.unwritten_bytes() > UNWRITTEN_BYTES_MAX && log.errno.load(Acquire) == 0;
        if !full {
            return;
        }
        self.let_go_all();
        if self.appending.set_aside.is_none() {
            self.appending.set_aside = self.shards[self.id].take();
        }
    }

    /// Gives the shard back once there is room.
    fn release_shard(&mut self) {
        if self.appending.set_aside.is_none() {
            return;
        }
        let log = &self.shared.persistence.log;
        log.progress.wait(self.id);
        if self.unwritten_bytes() <= UNWRITTEN_BYTES_LOW || log.errno.load(Acquire) != 0 {
            let shard = self.appending.set_aside.take().expect("it was just there");
            self.shard_returned(shard);
        }
    }

    /// A mark gets its place in the log: all shards are at hand.
    pub(super) fn put_mark(&mut self, mark: Mark) {
        let stamp = self.shared.log_next.fetch_add(1, AcqRel);
        self.log.mark(stamp, mark);
    }

    // ---- what waits for the disk ----

    /// The connection's output grew: what is new waits for what was logged before it (1).
    pub(super) fn bind_output(&mut self, slot: u32) {
        let stamp = self.shared.log_next.load(Acquire);
        let connection = self.connection_mut(slot);
        let new = connection.output.len() - connection.bound_bytes;
        connection.bound_bytes += new;
        match connection.bound.back_mut() {
            _ if new == 0 => {}
            Some((bytes, last)) if *last == stamp => *bytes += new,
            _ => connection.bound.push_back((new, stamp)),
        }
    }

    /// How much of the connection's output may leave. If that is not all of it, its slot is looked at again in time.
    pub(super) fn take_unbound(&mut self, slot: u32) -> usize {
        let log = &self.shared.persistence.log;
        let mut durable = log.progress.durable();
        let strict = self.appending.strict;
        let waits = |durable: u64, stamp: u64| strict && stamp > durable;
        let last = self.connection_at(slot).bound.back().map(|(_, stamp)| *stamp);
        if last.is_some_and(|stamp| waits(durable, stamp)) {
            log.progress.wait(self.id);
            durable = log.progress.durable();
        }
        let connection = self.connection_mut(slot);
        let mut ready = 0;
        while let Some(&(bytes, stamp)) = connection.bound.front()
            && !waits(durable, stamp)
        {
            ready += bytes;
            connection.bound_bytes -= bytes;
            connection.bound.pop_front();
        }
        if connection.bound.is_empty() {
            return connection.output.len();
        }
        self.appending.held.push(slot);
        ready
    }

    /// The storage thread has news for who waits.
    pub(super) fn logged(&mut self) {
        self.release_shard();
        for slot in std::mem::take(&mut self.appending.held) {
            self.send_again(slot);
        }
        self.serve_log_waits();
    }

    // ---- what the owner of the log does ----

    pub(super) fn log_news(&mut self, news: LogNews) {
        match news {
            LogNews::Begun(result) => self.log_begun(result),
            LogNews::Turned(Ok(())) => {}
            LogNews::Turned(Err(failure)) => {
                crate::log::warning(format!("Can't open the append-only file: {}", failure_text(&failure)));
            }
            LogNews::Rebased(result) => self.log_rebased(result),
            LogNews::Fails(failure) => self.log_fails(&failure),
            LogNews::Lost(failure) => {
                // Nobody was told that it is safe, and nobody will be.
                let text = failure_text(&failure);
                crate::log::warning(format!(
                    "Can't persist AOF for fsync error when the AOF fsync policy is 'always': {text}. Exiting..."
                ));
                self.actions.abort = true;
            }
            LogNews::Recovered => {
                crate::log::warning("AOF write error looks solved. The server can write again.");
                self.shared.persistence.log.errno.store(0, Release);
                self.shared.set_gate(gate::LOG_FAILED, false);
            }
        }
    }

    fn log_begun(&mut self, result: Result<(), Failure>) {
        if let Err(failure) = &result {
            let text = failure_text(failure);
            crate::log::warning(format!("Can't open or create append-only dir or file: {text}"));
        }
        if self.appending.opening.is_some() {
            return self.opened(result);
        }
        if result.is_err() {
            // There is no log: the configuration says so again.
            let off = self.shared.update_config(|config| {
                config.set_by_server("appendonly", b"no");
                Ok::<(), ()>(())
            });
            off.expect("a configuration without a log is sound");
            self.refresh_config();
        }
        self.signals.push(Signal::LogBegun { ok: result.is_ok() });
        self.send_signals();
    }

    fn log_rebased(&mut self, result: Result<(), Failure>) {
        match &result {
            Ok(()) => {
                if self.shared.persistence.log.waits_for_base.swap(false, AcqRel) {
                    self.signals.push(Signal::LogFounded);
                    self.send_signals();
                }
                crate::log::notice("Background AOF rewrite finished successfully");
            }
            Err(failure) => {
                let text = failure_text(failure);
                crate::log::warning(format!(
                    "Error trying to put the new base of the AOF into its place: {text}"
                ));
            }
        }
        let log = &self.shared.persistence.log;
        log.is_rebasing.store(false, Release);
        let began_s = log.began_s.load(Acquire);
        self.end_rewrite(result.is_ok(), began_s);
    }

    fn log_fails(&mut self, failure: &Failure) {
        let error = failure.io_error().unwrap_or_else(|| std::io::Error::other("unknown"));
        let text = os_error_text(&error);
        let syncs = matches!(failure, Failure::System { doing: Doing::Sync, .. });
        let doing = if syncs { "syncing" } else { "writing to" };
        crate::log::warning(format!("Error {doing} the AOF file: {text}"));
        self.shared.persistence.log.errno.store(error.raw_os_error().unwrap_or(libc::EIO), Release);
        self.shared.set_gate(gate::LOG_FAILED, true);
        for core in 0..self.shards.len() {
            self.shared.persistence.log.progress.wait(core);
        }
    }

    /// Syncs the log once a second, and looks whether a failing disk works again.
    pub(super) fn look_after_log(&mut self) {
        let log = &self.shared.persistence.log;
        self.appending.bytes_seen = log.progress.bytes.load(Relaxed);
        if !self.sync_is_due() {
            return;
        }
        let before = log.synced_ms.load(Relaxed);
        // One of the cores does it.
        let due = self.now_ms - before >= SYNC_PERIOD_MS;
        if due && log.synced_ms.compare_exchange(before, self.now_ms, Relaxed, Relaxed).is_ok() {
            self.actions.jobs.push(Job::Sync);
        }
    }

    /// Whether ticks are needed for that.
    pub(super) fn sync_is_due(&self) -> bool {
        let log = &self.shared.persistence.log;
        let wanted = || self.config.appendfsync != AppendFsync::No || log.errno.load(Relaxed) != 0;
        self.appending.reached > log.progress.durable() && wanted() && !self.spares_syncs()
    }

    // ---- rewriting, and switching on and off ----

    /// Sends for all shards to switch the log on or off, if the configuration says other than what is.
    pub(super) fn follow_appendonly(&mut self) {
        if !std::mem::take(&mut self.appending.config_is_new) {
            return;
        }
        let log = &self.shared.persistence.log;
        let differs = self.config.appendonly != self.shared.is_logged();
        if log.is_open.load(Acquire) && differs && !log.changes.swap(true, AcqRel) {
            self.fetch_for(Task::Log);
        }
    }

    /// All shards are at hand: the log begins or ends here.
    pub(super) fn switch_log(&mut self, shards: &mut [Box<Shard>]) {
        self.shared.persistence.log.changes.store(false, Release);
        let (wanted, logged) = (self.config.appendonly, self.shared.is_logged());
        if wanted && !logged {
            self.shared.persistence.log.waits_for_base.store(true, Release);
            self.put_mark(self.beginning(Source::Memory));
            self.shared.set_logged(true);
            if self.shared.persistence.saves().running.is_some() {
                self.shared.persistence.log.rewrites().scheduled = true;
                self.shared.persistence.wanted.store(true, Release);
            } else {
                self.begin_rewrite(shards);
            }
        } else if !wanted && logged {
            let running = self.shared.persistence.saves().running;
            if running.is_some_and(|saving| saving.base.is_some()) {
                crate::log::notice("Killing AOF child, as Redis would: the rewrite under way is given up");
                let shards = shards.iter_mut().map(|shard| &mut **shard);
                crate::commands::server::persistence::give_up(&self.shared, shards, &mut self.actions.jobs);
            }
            self.put_mark(Mark::End);
            self.shared.set_logged(false);
            self.shared.persistence.log.waits_for_base.store(false, Release);
        }
        // What waited for the shards runs in the same event, and belongs to the log, or does not any more.
        self.refresh_config();
    }

    pub(super) fn beginning(&self, source: Source) -> Mark {
        let form = base_form(&self.config);
        Mark::Begin(Box::new(aof::Begin { directory: log_directory(&self.config), form, source }))
    }

    /// By how many per cent the log has grown since it was last rewritten, if that is enough to rewrite it.
    fn growth(&self) -> Option<u64> {
        let progress = &self.shared.persistence.log.progress;
        let (bytes, then) = (progress.bytes.load(Relaxed), progress.bytes_rewritten.load(Relaxed).max(1));
        let percentage = self.config.auto_aof_rewrite_percentage as u64;
        let growth = (bytes.saturating_sub(then) as u128 * 100 / then as u128) as u64;
        (percentage > 0 && bytes > self.config.auto_aof_rewrite_min_size && growth >= percentage)
            .then_some(growth)
    }

    /// Whether the log has grown so much since it was last rewritten that it is time.
    pub(super) fn rewrite_is_due(&self) -> bool {
        let log = &self.shared.persistence.log;
        let rewrites = *log.rewrites();
        let grown = self.growth().is_some();
        let unfounded = log.waits_for_base.load(Relaxed);
        let by_itself =
            self.shared.is_logged() && (grown || unfounded) && self.now_ms / 1000 >= rewrites.not_before_s;
        let free = self.shared.persistence.saves().running.is_none() && !log.is_rebasing.load(Acquire);
        (rewrites.scheduled || by_itself) && free
    }

    /// Whether the log is longer than when this core last looked, which looks after it.
    pub(super) fn log_has_grown(&self) -> bool {
        let log = &self.shared.persistence.log;
        let grown = || log.progress.bytes.load(Relaxed) != self.appending.bytes_seen;
        self.shared.is_logged() && (grown() || log.waits_for_base.load(Relaxed))
    }

    /// All shards are at hand: a new base is of this moment.
    pub(super) fn begin_rewrite(&mut self, shards: &mut [Box<Shard>]) {
        let scheduled = std::mem::take(&mut self.shared.persistence.log.rewrites().scheduled);
        if let Some(growth) = self.growth().filter(|_| !scheduled) {
            crate::log::notice(format!("Starting automatic rewriting of AOF on {growth}% growth"));
        }
        self.put_mark(Mark::Turn(log_directory(&self.config)));
        self.begin_snapshot(shards, Purpose::Rewrite);
        crate::log::notice("Background append only file rewriting started");
    }

    /// The snapshot that is to be the base of the log is on disk, or came to nothing.
    pub(super) fn base_saved(&mut self, saving: Saving, result: Result<u64, Failure>) {
        let form = saving.base.expect("it is the base of the log");
        match result {
            Ok(bytes) => {
                let log = &self.shared.persistence.log;
                log.began_s.store(saving.began_s, Release);
                log.is_rebasing.store(true, Release);
                let base = Base { path: new_base(&self.config), form, bytes };
                self.actions.jobs.push(Job::Rebase(Some(Box::new(base))));
            }
            Err(failure) => {
                let text = failure_text(&failure);
                crate::log::warning(format!("Background AOF rewrite terminated with error: {text}"));
                self.actions.jobs.push(Job::Rebase(None));
                self.end_rewrite(false, saving.began_s);
            }
        }
    }

    fn end_rewrite(&mut self, ok: bool, began_s: i64) {
        let bytes = self.shared.metrics.iter().map(|core| core.snapshot_bytes_peak.get()).sum();
        self.shared.persistence.log.rewrites().end(ok, began_s, self.now_ms / 1000, bytes);
    }
}

// ---- who waits for the log ----

impl Core {
    /// DEBUG LOADAOF holds all shards: it goes on when all that was logged is in files.
    pub(super) fn await_log(&mut self) {
        self.hand_over_log();
        self.actions.jobs.push(Job::Sync);
        self.serve_log_waits();
    }

    /// Looks after who waits for the log to be durable.
    pub(super) fn serve_log_waits(&mut self) {
        if self.holds_for_log() {
            let progress = &self.shared.persistence.log.progress;
            progress.wait(self.id);
            if !self.shared.is_logged() || progress.durable() == self.shared.log_next.load(Acquire) {
                self.load_log_again();
            }
        }
        self.serve_durable();
    }

    /// A connection of this core waits until what was logged is durable.
    pub(super) fn await_durable(&mut self, wait: Arc<Wait>) {
        self.appending.waits.push(wait);
        // Whoever wrote syncs in time; if that was long ago, nobody does.
        self.appending.reached = self.shared.log_next.load(Acquire);
        self.serve_durable();
    }

    /// Ends the waits for what is durable now.
    fn serve_durable(&mut self) {
        if self.appending.waits.is_empty() {
            return;
        }
        let shared = self.shared.clone();
        shared.persistence.log.progress.wait(self.id);
        let over = |wait: &mut Arc<Wait>| {
            let reached =
                matches!(wait.nothing, Nothing::Durable { stamp, .. } if is_durable(&shared, stamp));
            wait.is_over() || reached || !shared.is_logged()
        };
        let ended: Vec<Arc<Wait>> = self.appending.waits.extract_if(.., over).collect();
        for wait in ended {
            if wait.claim_patiently() {
                wait.finish();
                self.end_wait(wait, Answer::TimeOut);
            }
        }
    }

    fn load_log_again(&mut self) {
        match super::replay::find(&self.config, true) {
            Ok(found) => {
                self.clear_held();
                self.read_log_files(found.files, true);
            }
            Err(text) => {
                crate::log::warning(text);
                self.log_read_again(Err(Failure::Cancelled));
            }
        }
    }
}
