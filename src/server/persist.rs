//! A core's part in snapshots and in loading: it begins and ends them, and takes parcels in.
//! In: completions of the storage thread, commands that hold the shards. Out: jobs, replies, log lines.
//!
//! 1. While a `Hold` lasts its batch has all shards, and this core walks or fills them.
//!
//! Absent: the walk over a shard (`walking`), files (`storage`).

use std::collections::VecDeque;
use std::sync::atomic::Ordering::*;
use std::time::Duration;

use super::batch::{Batch, Kind, Task};
use super::core::Core;
use crate::client::{ShardSet, State};
use crate::commands::context::limits;
use crate::commands::script::library;
use crate::commands::server::persistence::{self, Begin, Purpose, Shutdown};
use crate::commands::{Error, Hold, Note, Signal};
use crate::config::set_failed;
use crate::persist::Parcel;
use crate::persist::rdb::EMPTY;
use crate::persist::rdb::file::{Raw, What};
use crate::resp::Out;
use crate::shard::{Moment, Shard, store};
use crate::shared::{LoadCounters, Saves, gate};
use crate::storage::{Cargo, Done, Failure, Job};
use crate::types::Limits;

/// Keys without elements that the log names while a file is loaded.
const EMPTY_KEYS_TOLD: u64 = 10;
/// Entries of a file whose places are fetched together.
const GROUP_ENTRIES: usize = 32;

/// What a core knows of the storage thread.
#[derive(Default)]
pub struct Storage {
    /// The command that holds all shards.
    pub(super) held: Option<Held>,
    /// Changes of the home shard when they were last made known.
    pub(super) changes_known: u64,
    /// There were changes that no snapshot has, when this core last looked.
    unsaved: bool,
    /// A batch is out to fetch the shards for a save point.
    fetching: bool,
    /// Entries of a file for the home shard, while a command has that elsewhere.
    parcels: VecDeque<(u64, Parcel)>,
}

pub(super) struct Held {
    pub(super) batch: Box<Batch>,
    hold: Hold,
    /// The file that is being loaded.
    load: Option<u64>,
}

impl Core {
    /// The storage thread did something.
    pub(super) fn stored(&mut self, done: Done) {
        match done {
            Done::Room { bytes, buffer } => self.walking.room(bytes, buffer),
            Done::Saved { stream, result } => self.saved(stream, result),
            Done::Loading { bytes, .. } => self.shared.persistence.load.bytes_total.store(bytes, Relaxed),
            Done::Cargo { stream, cargo, read } => {
                self.shared.persistence.load.bytes.fetch_max(read, Relaxed);
                self.show_load(&cargo, read);
                self.delay_loading(&cargo);
                match cargo {
                    Cargo::Entries(parcel) => {
                        self.storage.parcels.push_back((stream, parcel));
                        self.take_in_parcels();
                    }
                    Cargo::Commands(commands) => self.replay(stream, *commands),
                }
            }
            Done::Loaded { stream, result } => self.loaded(stream, result),
            Done::Logged => self.logged(),
            Done::Log(news) => self.log_news(news),
        }
    }

    // ---- saving ----

    /// A snapshot is on disk, or came to nothing.
    fn saved(&mut self, id: u64, result: Result<u64, Failure>) {
        let bytes = self.shared.metrics.iter().map(|core| core.snapshot_bytes_peak.get()).sum();
        let (ok, now_s) = (result.is_ok(), self.now_ms / 1000);
        let Some(saving) = self.shared.persistence.end_save(id, ok, now_s, bytes) else { return };
        if !ok {
            self.signals.push(Signal::SaveOver { id });
            self.send_signals();
        }
        if saving.base.is_some() {
            self.base_saved(saving, result);
            return self.look_at_save_points();
        }
        match &result {
            Ok(_) if saving.background => {
                crate::log::notice("DB saved on disk");
                crate::log::notice("Background saving terminated with success");
            }
            Ok(_) => crate::log::notice("DB saved on disk"),
            Err(failure) => {
                persistence::log_failure(&self.config, failure);
                if saving.background {
                    crate::log::warning("Background saving error");
                }
            }
        }
        if ok || saving.background {
            self.shared.set_gate(gate::SAVE_FAILED, !ok);
        }
        if self.storage.held.as_ref().is_some_and(|held| held.hold.waits_for(id)) {
            self.hold_saved(ok);
        }
        self.look_at_save_points();
    }

    /// Publishes how much changed, and begins a snapshot if a save point says so.
    pub(super) fn look_at_save_points(&mut self) {
        if let Some(shard) = &self.shards[self.id] {
            self.storage.changes_known = shard.counters.counted();
            self.shared.metrics[self.id].changes.set(shard.counters.counted());
        }
        let changes = self.shared.metrics.iter().map(|core| core.changes.get()).sum();
        let saves = *self.shared.persistence.saves();
        self.storage.unsaved = changes > saves.saved_changes;
        let due = || {
            self.storage.unsaved
                && persistence::is_due(&self.config, &saves, changes, self.now_ms / 1000).is_some()
        };
        if !self.storage.fetching
            && !self.shared.is_loading()
            && (due() || self.scheduled_is_due(&saves) || self.rewrite_is_due())
        {
            self.storage.fetching = true;
            self.fetch_for(Task::SavePoint);
        }
    }

    /// Whether ticks are needed to look at save points.
    pub(super) fn watches_save_points(&self) -> bool {
        let changed = |shard: &Shard| shard.counters.counted() != self.storage.changes_known;
        let unsaved = || self.storage.unsaved || self.shards[self.id].as_deref().is_some_and(changed);
        self.shared.persistence.wanted.load(Relaxed)
            || (!self.config.save_points.is_empty() && unsaved())
            || self.log_has_grown()
    }

    /// BGSAVE SCHEDULE, or BGSAVE in a transaction.
    fn scheduled_is_due(&self, saves: &Saves) -> bool {
        saves.scheduled && saves.running.is_none()
    }

    /// Sends for all shards, for something that no connection asked for.
    pub(super) fn fetch_for(&mut self, task: Task) {
        let mut batch = self.spare_batches.pop().unwrap_or_default();
        batch.kind = Kind::Task { home: self.id, shards: ShardSet::first(self.shards.len()), task };
        self.advance(batch);
    }

    /// All shards are at hand for a task.
    pub(super) fn run_task(&mut self, mut batch: Box<Batch>) {
        let Kind::Task { task, .. } = std::mem::take(&mut batch.kind) else {
            unreachable!("the caller looked")
        };
        match task {
            Task::SavePoint => self.begin_due_snapshot(&mut batch.held),
            Task::Log => self.switch_log(&mut batch.held),
            Task::Stop(how) => {
                let moment = self.moment(false);
                let request = self.request(moment, Purpose::Save);
                let shards = batch.held.iter_mut().map(|shard| &mut **shard);
                let mut jobs = Vec::new();
                let begun = how.begin(&request, shards, &mut jobs);
                self.actions.jobs.append(&mut jobs);
                match begun {
                    Ok(Some(id)) => return self.hold(batch, Hold::Shutdown { id, force: how.force }),
                    Ok(None) => self.signals.push(Signal::Shutdown),
                    Err(_) => self.stays_up(),
                }
                self.send_signals();
            }
        }
        self.give_back(&mut batch, ShardSet::EMPTY);
        self.recycle(batch);
    }

    fn request(&self, moment: Moment, purpose: Purpose) -> Begin<'_> {
        Begin { shared: &self.shared, config: &self.config, moment, owner: self.id, purpose }
    }

    /// Begins a snapshot of these shards, which are all. Returns its number.
    pub(super) fn begin_snapshot(&mut self, shards: &mut [Box<Shard>], purpose: Purpose) -> u64 {
        let moment = self.moment(false);
        let mut jobs = Vec::new();
        let shards = shards.iter_mut().map(|shard| &mut **shard);
        let id = self.request(moment, purpose).run(shards, &mut jobs);
        self.actions.jobs.append(&mut jobs);
        id
    }

    /// All shards are at hand: begins the snapshot that it is time for, if it still is.
    fn begin_due_snapshot(&mut self, shards: &mut [Box<Shard>]) {
        self.storage.fetching = false;
        let changes = shards.iter().map(|shard| shard.counters.counted()).sum();
        let saves = *self.shared.persistence.saves();
        if self.shared.persistence.log.rewrites().scheduled && self.rewrite_is_due() {
            self.begin_rewrite(shards);
        } else if let Some(point) = persistence::is_due(&self.config, &saves, changes, self.now_ms / 1000) {
            crate::log::notice(format!("{} changes in {} seconds. Saving...", point.changes, point.seconds));
            crate::log::notice("Background saving started");
            self.shared.persistence.saves().count += 1;
            self.begin_snapshot(shards, Purpose::Background);
        } else if self.rewrite_is_due() {
            self.begin_rewrite(shards);
        } else if self.scheduled_is_due(&saves) {
            crate::log::notice("Background saving started");
            self.shared.persistence.saves().count += 1;
            self.begin_snapshot(shards, Purpose::Background);
        }
        let persistence = &self.shared.persistence;
        let mut saves = persistence.saves();
        saves.scheduled &= saves.running.is_none_or(|saving| !saving.background);
        persistence.wanted.store(saves.scheduled || persistence.log.rewrites().scheduled, Release);
    }

    /// The process was told to end, by this signal.
    pub fn stop(&mut self, signal: i32) {
        self.begin_event();
        let (name, words) = match signal {
            libc::SIGINT => ("SIGINT", &self.config.shutdown_on_sigint),
            _ => ("SIGTERM", &self.config.shutdown_on_sigterm),
        };
        let how = Shutdown::configured(words);
        crate::log::warning(format!("Received {name} scheduling shutdown..."));
        crate::log::warning("User requested shutdown...");
        self.fetch_for(Task::Stop(how));
    }

    /// The process was told to end by a signal, and cannot; the next signal counts again.
    fn stays_up(&mut self) {
        crate::log::warning(
            "Received shutdown signal but errors trying to shut down the server, check the logs for more information",
        );
        self.actions.await_stop = true;
    }

    // ---- holding ----

    /// A command that ran on this core is not over: it keeps all shards.
    pub(super) fn hold(&mut self, mut batch: Box<Batch>, hold: Hold) {
        self.take_kept(&mut batch, self.keeping.kept);
        if let Some(shard) = self.shards[self.id].take() {
            batch.held.push(shard);
        }
        assert_eq!(batch.held.len(), self.shards.len(), "1: who holds has all shards");
        let go_on: Option<fn(&mut Core)> = match hold {
            Hold::Reload { id: None, .. } => Some(|core| core.hold_saved(true)),
            Hold::LoadLog => Some(Core::await_log),
            Hold::SwitchLog { .. } => Some(Core::switch_held_log),
            _ => None,
        };
        self.storage.held = Some(Held { batch, hold, load: None });
        if let Some(go_on) = go_on {
            go_on(self);
        }
    }

    /// The same for a command that ran straight from its connection's input.
    pub(super) fn hold_here(&mut self, slot: u32, hold: Hold) {
        let batch = self.new_batch(slot);
        self.connection_mut(slot).state = State::Away;
        self.hold(batch, hold);
    }

    /// What the command that holds the shards waited for is on disk, or came to nothing.
    fn hold_saved(&mut self, ok: bool) {
        let held = self.storage.held.as_ref().expect("the caller looked");
        match held.hold {
            Hold::Save { .. } => self.release(if ok { Ok(()) } else { Err(b"ERR") }),
            Hold::Flush { .. } => self.release(Ok(())),
            Hold::Shutdown { force, .. } if ok || force => {
                self.signals.push(Signal::Shutdown);
                self.send_signals();
            }
            Hold::Shutdown { .. } => {
                crate::log::warning("Error trying to save the DB, can't exit.");
                if held.batch.connection.is_none() {
                    self.stays_up();
                }
                self.release(Err(&Error::SHUTDOWN_FAILED.0));
            }
            Hold::LoadLog | Hold::SwitchLog { .. } => unreachable!("it waits for the log"),
            Hold::Reload { .. } if !ok => self.release(Err(b"ERR")),
            Hold::Reload { flush, .. } => self.reload(flush),
        }
    }

    /// CONFIG SET appendonly holds the shards: it is over when the log ended, or when its files are open.
    fn switch_held_log(&mut self) {
        self.switch_shards_log();
        if !self.shared.is_logged() {
            self.release(Ok(()));
        }
    }

    /// The log's files are open, or cannot be: whoever switched it on gets the reply.
    pub(super) fn log_switched(&mut self, ok: bool) {
        let Some(Held { hold: Hold::SwitchLog { changed }, .. }) = &mut self.storage.held else { return };
        if ok {
            return self.release(Ok(()));
        }
        let changed = std::mem::take(changed);
        crate::commands::server::config::set_back(&self.shared, &mut self.signals, &changed);
        self.send_signals();
        self.switch_shards_log();
        let text = set_failed("appendonly", "Unable to turn on AOF. Check server logs.");
        self.release(Err(text.as_bytes()));
    }

    fn switch_shards_log(&mut self) {
        let mut held = self.storage.held.take().expect("1: the command holds the shards");
        self.config = self.shared.config();
        self.switch_log(&mut held.batch.held);
        self.storage.held = Some(held);
    }

    /// The command is over: its reply, and the shards go home.
    fn release(&mut self, result: Result<(), &[u8]>) {
        let Held { mut batch, load, .. } = self.storage.held.take().expect("1: the command holds the shards");
        if load.is_some() {
            self.shared.set_gate(gate::LOADING, false);
        }
        self.give_back(&mut batch, ShardSet::EMPTY);
        if batch.connection.is_none() {
            return self.recycle(batch);
        }
        let resp3 = batch.session.is_some_and(|session| session.resp3);
        let mut out = Out { buf: &mut batch.replies, resp3 };
        match result {
            Ok(()) => out.ok(),
            Err(text) => {
                out.error(text);
                self.shared.metrics[self.id].error_replies.add(1);
                self.shared.count_error(text);
            }
        }
        self.advance(batch);
    }

    // ---- loading ----

    /// DEBUG RELOAD: what was saved comes back.
    fn reload(&mut self, flush: bool) {
        if flush {
            self.clear_held();
        }
        let stream = self.load(Some(self.id));
        self.await_load(stream);
    }

    /// Empties all shards, which a command holds.
    pub(super) fn clear_held(&mut self) {
        let held = self.storage.held.as_mut().expect("the caller looked");
        held.batch.held.iter_mut().for_each(|shard| shard.clear());
        self.shared.scripts.clear_libraries();
    }

    /// The command that holds the shards, if there is one, waits for this file.
    pub(super) fn await_load(&mut self, stream: u64) {
        if let Some(held) = &mut self.storage.held {
            held.load = Some(stream);
        }
    }

    /// Whether a command holds all shards.
    pub(super) fn holds_all(&self) -> bool {
        self.storage.held.is_some()
    }

    /// Whether that is DEBUG LOADAOF, and no file is being loaded yet.
    pub(super) fn holds_for_log(&self) -> bool {
        matches!(&self.storage.held, Some(Held { hold: Hold::LoadLog, load: None, .. }))
    }

    /// Does something with the shards that a command holds at hand.
    pub(super) fn with_held_shards(&mut self, act: impl FnOnce(&mut Core)) {
        let mut held = self.storage.held.take().expect("the caller looked");
        let borrowed = self.put_at_hand(&mut held.batch);
        act(self);
        self.take_in_hand(&mut held.batch, borrowed);
        self.storage.held = Some(held);
    }

    /// DEBUG LOADAOF is over.
    pub(super) fn log_read_again(&mut self, result: Result<(), Failure>) {
        if result.is_ok() {
            crate::log::warning("Append Only File loaded by DEBUG LOADAOF");
            let held = self.storage.held.iter().flat_map(|held| &held.batch.held);
            self.shared.persistence.saves().saved_changes = held.map(|shard| shard.counters.counted()).sum();
        }
        self.shared.persistence.load.running.store(false, Release);
        let text = "ERR Error trying to load the AOF files, check server logs.";
        self.release(result.map_err(|_| text.as_bytes()));
    }

    /// Sends for the file of the configuration. `sole`: the core that has all shards, if one has.
    pub fn load(&mut self, sole: Option<usize>) -> u64 {
        self.begin_event();
        self.shared.persistence.load.begin(self.now_ms);
        let stream = self.shared.persistence.next_id();
        let path = self.config.dir.join(&self.config.dbfilename);
        let intake = super::intake::RdbIntake::new(self.shared.clone(), sole);
        self.actions.jobs.push(Job::Load(Box::new(crate::storage::Load {
            stream,
            owner: self.id,
            path,
            intake: Box::new(intake),
        })));
        stream
    }

    /// Takes in what was loaded, if its shard is at hand.
    pub(super) fn take_in_parcels(&mut self) {
        while self.storage.held.is_some() || self.shards[self.id].is_some() {
            let Some((stream, parcel)) = self.storage.parcels.pop_front() else { break };
            let sound = self.take_in(&parcel);
            self.actions.jobs.push(Job::Taken { stream, sound });
        }
        if !self.storage.parcels.is_empty() {
            self.need_home_shard();
        }
    }

    /// Puts what a parcel holds into the keyspace. False: some of it cannot be.
    fn take_in(&mut self, parcel: &Parcel) -> bool {
        let mut held = self.storage.held.take();
        let merge = matches!(&held, Some(Held { hold: Hold::Reload { merge: true, .. }, .. }));
        let libraries =
            library::load_saved(&mut self.scripts, &self.shared.scripts, parcel.libraries(), merge);
        let libraries = libraries.map_err(|why| format!("Failed loading library, {why}"));
        let taken = libraries.and_then(|()| self.take_in_entries(parcel, &mut held, merge));
        self.storage.held = held;
        if let Err(why) = &taken {
            crate::log::warning(why);
        }
        taken.is_ok()
    }

    /// The entries go into the shards that a command holds, or into the home shard: a parcel goes to the core that has them.
    fn take_in_entries(
        &mut self,
        parcel: &Parcel,
        held: &mut Option<Held>,
        merge: bool,
    ) -> Result<(), String> {
        let moment = self.moment(false);
        let limits = limits(&self.config, &self.shared);
        let (slots, counters) = (&self.shared.slots, &self.shared.persistence.load);
        let own = self.shards[self.id].iter_mut();
        let mut shards: Vec<&mut Shard> = match held {
            Some(held) => held.batch.held.iter_mut().map(|shard| &mut **shard).collect(),
            None => own.map(|shard| &mut **shard).collect(),
        };
        shards.sort_by_key(|shard| shard.id);
        for &(db, keys) in parcel.hints() {
            let each = keys as usize / slots.shard_count();
            shards.iter_mut().for_each(|shard| shard.plan(db as u16, each));
        }
        let alone = shards.len() == 1;
        let place = |raw: &Raw| if alone { 0 } else { slots.shard(&raw.key) };
        for group in parcel.groups(GROUP_ENTRIES) {
            store::prefetch(group.clone().map(|raw| {
                let store = &shards[place(&raw)].dbs[raw.db as usize].store;
                (store, store.hash(&raw.key))
            }));
            let (mut loaded, mut expired) = (0, 0);
            for raw in group {
                if !parcel.keeps_overdue && raw.expiry_ms.is_some_and(|at_ms| at_ms <= moment.now_ms) {
                    expired += 1;
                    continue;
                }
                if load_entry(shards[place(&raw)], &raw, &limits, &moment, merge)? {
                    loaded += 1;
                } else {
                    pass_over(counters, &raw.key);
                }
            }
            counters.keys.fetch_add(loaded, Relaxed);
            counters.expired.fetch_add(expired, Relaxed);
        }
        Ok(())
    }

    /// A command that holds all shards loads a file: where Redis would look at its clients meanwhile, which is with the first
    /// command of a log and with every so many bytes, they are told so from here on.
    fn show_load(&self, cargo: &Cargo, read: u64) {
        let shown =
            matches!(cargo, Cargo::Commands(_)) || read >= self.config.loading_process_events_interval_bytes;
        if self.holds_all() && shown {
            self.shared.set_gate(gate::LOADING, true);
        }
    }

    /// Slows loading down, for tests.
    fn delay_loading(&self, cargo: &Cargo) {
        let delay_us = self.config.key_load_delay_us.max(0) as u64;
        if delay_us > 0 {
            let count = match cargo {
                Cargo::Entries(parcel) => parcel.groups(1).count(),
                Cargo::Commands(commands) => commands.requests.list.len(),
            };
            std::thread::sleep(Duration::from_micros(delay_us * count as u64));
        }
    }

    /// A file was loaded, or could not be.
    fn loaded(&mut self, stream: u64, result: Result<u64, Failure>) {
        let load = &self.shared.persistence.load;
        if self.appending.opening.is_some() {
            return self.log_file_read(result);
        }
        load.running.store(false, Release);
        let (keys, expired, empty) =
            (load.keys.load(Relaxed), load.expired.load(Relaxed), load.empty.load(Relaxed));
        if result.is_ok() {
            let skipped = if empty > 0 { format!(", empty keys skipped: {empty}") } else { String::new() };
            crate::log::notice(format!(
                "Done loading RDB, keys loaded: {keys}, keys expired: {expired}{skipped}."
            ));
        }
        if self.storage.held.as_ref().is_some_and(|held| held.load == Some(stream)) {
            if let Err(failure) = &result {
                super::intake::log_failure(failure);
            } else {
                crate::log::warning("DB reloaded by DEBUG RELOAD");
            }
            let text = "ERR Error trying to load the RDB dump, check server logs.";
            return self.release(result.map(|_| ()).map_err(|_| text.as_bytes()));
        }
        let began_ms = load.began_ms.load(Relaxed);
        self.started(result.map(|_| Some(self.now_ms - began_ms)));
    }

    /// The files of the start are loaded, or could not be.
    pub(super) fn started(&mut self, result: Result<Option<i64>, Failure>) {
        self.shared.persistence.load.running.store(false, Release);
        if result.is_ok() {
            self.shared.set_gate(gate::LOADING, false);
        }
        self.actions.loaded = Some(result);
    }
}

/// Puts an entry of a file into its shard; false: it has no elements. The error is for the log.
fn load_entry(
    shard: &mut Shard,
    raw: &Raw,
    limits: &Limits,
    moment: &Moment,
    merge: bool,
) -> Result<bool, String> {
    let value = match crate::persist::object::load(raw, limits) {
        Err(error) if error.what == What::Value(EMPTY) => return Ok(false),
        value => value.map_err(|error| format!("Internal error in RDB reading {error}"))?,
    };
    let access = super::intake::access_of(raw, moment);
    if shard.load(raw.db as u16, &raw.key, value, raw.expiry_ms, access, merge) {
        return Ok(true);
    }
    Err(format!("RDB has duplicated key '{}' in DB {}", raw.key.escape_ascii(), raw.db))
}

/// A value without elements is no reason to refuse a file: Redis had a bug once that wrote such.
fn pass_over(counters: &LoadCounters, key: &[u8]) {
    if counters.empty.fetch_add(1, Relaxed) < EMPTY_KEYS_TOLD {
        crate::log::notice(format!("rdbLoadObject skipping empty key: {}", key.escape_ascii()));
    }
}

impl Hold {
    fn waits_for(&self, save: u64) -> bool {
        match self {
            Hold::Save { id } | Hold::Flush { id } | Hold::Shutdown { id, .. } => *id == save,
            Hold::Reload { id, .. } => *id == Some(save),
            Hold::LoadLog | Hold::SwitchLog { .. } => false,
        }
    }
}

impl Batch {
    /// The command that ran last is not over.
    pub(super) fn take_hold(&mut self) -> Option<Hold> {
        let at = self.notes.iter().position(|note| matches!(note, Note::Hold(_)))?;
        match self.notes.remove(at) {
            Note::Hold(hold) => Some(hold),
            _ => unreachable!("it was just one"),
        }
    }

    pub(super) fn is_held(&self) -> bool {
        self.notes.iter().any(|note| matches!(note, Note::Hold(_)))
    }
}
