//! What is known of snapshots, of the log, and of the file that is being loaded.
//! In: how saves, rewrites and loads went. Out: the same, for INFO, LASTSAVE, the save points and the gates.
//! Invariant: at most one snapshot is on its way, and its number is higher than any before.

use std::sync::atomic::{AtomicBool, AtomicI32, AtomicI64, AtomicU64, Ordering::*};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::persist::aof::{BaseForm, Progress};

pub struct Persistence {
    saves: Mutex<Saves>,
    /// A snapshot is scheduled, or a rewrite of the log.
    pub wanted: AtomicBool,
    pub load: LoadCounters,
    pub log: LogState,
}

/// The append-only log.
pub struct LogState {
    pub progress: Arc<Progress>,
    /// The storage thread takes what cores have for the log.
    pub is_open: AtomicBool,
    /// What the start found of it is being read, or opened: it is on already, as the configuration says.
    pub starts: AtomicBool,
    /// It is about to be switched on or off, as the configuration says.
    pub changes: AtomicBool,
    /// It began from memory and has no base yet.
    pub waits_for_base: AtomicBool,
    /// The number of the last error of a write, as the system has it; 0: writing goes well.
    pub errno: AtomicI32,
    /// When it was last synced, or asked to be; Unix ms.
    pub synced_ms: AtomicI64,
    pub rewrites: Mutex<Rewrites>,
}

/// Rewrites of the log. While the base is being saved, it is `Saves::running`.
#[derive(Clone, Copy, Debug)]
pub struct Rewrites {
    /// One is to begin once no other snapshot is on its way.
    pub scheduled: bool,
    /// A base is saved, and not in its place yet; when its rewrite began, Unix seconds.
    pub rebasing_began_s: Option<i64>,
    /// Bases with lower numbers are of an earlier log.
    pub first_base: u64,
    pub last_ok: bool,
    /// How long the last one took; -1: there was none.
    pub last_duration_s: i64,
    pub last_bytes: u64,
    pub count: u64,
    pub consecutive_failures: u32,
    /// After failures none begins by itself before that.
    pub not_before_s: i64,
}

impl LogState {
    fn new(cores: usize) -> Self {
        let rewrites = Rewrites {
            scheduled: false,
            rebasing_began_s: None,
            first_base: 0,
            last_ok: true,
            last_duration_s: -1,
            last_bytes: 0,
            count: 0,
            consecutive_failures: 0,
            not_before_s: 0,
        };
        Self {
            progress: Arc::new(Progress::new(cores)),
            is_open: AtomicBool::new(false),
            starts: AtomicBool::new(false),
            changes: AtomicBool::new(false),
            waits_for_base: AtomicBool::new(false),
            errno: AtomicI32::new(0),
            synced_ms: AtomicI64::new(0),
            rewrites: Mutex::new(rewrites),
        }
    }

    /// Whether it can be switched on and off.
    pub fn can_switch(&self) -> bool {
        self.is_open.load(Acquire) && !self.starts.load(Acquire)
    }

    pub fn rewrites(&self) -> MutexGuard<'_, Rewrites> {
        self.rewrites.lock().expect("nobody panics holding the state of rewrites")
    }
}

impl Rewrites {
    /// After so many failures in a row the next one waits: a minute, then twice as long each time, an hour at most.
    const FAILURES_MIN: u32 = 3;
    const PAUSE_S_MAX: i64 = 3600;

    /// A rewrite is over that began then.
    pub fn end(&mut self, ok: bool, began_s: i64, now_s: i64, bytes: u64) {
        self.rebasing_began_s = None;
        self.last_ok = ok;
        self.last_duration_s = now_s - began_s;
        self.last_bytes = bytes;
        self.consecutive_failures = if ok { 0 } else { self.consecutive_failures + 1 };
        self.count += ok as u64;
        self.not_before_s = match self.consecutive_failures.checked_sub(Self::FAILURES_MIN) {
            None => 0,
            Some(more) => now_s + (60 << more.min(6)).min(Self::PAUSE_S_MAX),
        };
    }
}

/// A snapshot on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Saving {
    pub id: u64,
    /// Begun by BGSAVE or a save point: nobody waits for it.
    pub background: bool,
    pub began_s: i64,
    /// Keys that it will write.
    pub keys: usize,
    /// Changes of all shards up to its moment.
    pub changes: u64,
    /// It is the base of the log, in this form.
    pub base: Option<BaseForm>,
}

#[derive(Clone, Copy, Debug)]
pub struct Saves {
    /// The number of the last stream of any kind.
    last_id: u64,
    pub running: Option<Saving>,
    /// BGSAVE SCHEDULE, while something else is on its way.
    pub scheduled: bool,
    /// Unix seconds.
    pub last_s: i64,
    pub last_try_s: i64,
    pub last_ok: bool,
    /// How long the last one in the background took; -1: there was none.
    pub last_duration_s: i64,
    /// SAVE, BGSAVE and save points began so many, as Redis counts them: whatever became of them.
    pub count: u64,
    /// The most memory that the last one took besides the data.
    pub last_bytes: u64,
    /// Changes of all shards that were saved.
    pub saved_changes: u64,
}

/// Counters of a file that is being loaded, or was.
#[derive(Default)]
pub struct LoadCounters {
    pub running: AtomicBool,
    pub began_ms: AtomicI64,
    pub bytes_total: AtomicU64,
    pub bytes: AtomicU64,
    /// Memory that the server used which wrote the file.
    pub used_bytes: AtomicU64,
    pub keys: AtomicU64,
    pub expired: AtomicU64,
    /// Values without elements, which are passed over.
    pub empty: AtomicU64,
}

impl LoadCounters {
    pub fn begin(&self, now_ms: i64) {
        self.began_ms.store(now_ms, Relaxed);
        for counter in
            [&self.bytes_total, &self.bytes, &self.used_bytes, &self.keys, &self.expired, &self.empty]
        {
            counter.store(0, Relaxed);
        }
        self.running.store(true, Release);
    }
}

impl Persistence {
    /// State of a server that started at `now_s`: Redis counts that as a save.
    pub fn new(now_s: i64, cores: usize) -> Self {
        let saves = Saves {
            last_id: 0,
            running: None,
            scheduled: false,
            last_s: now_s,
            last_try_s: 0,
            last_ok: true,
            last_duration_s: -1,
            count: 0,
            last_bytes: 0,
            saved_changes: 0,
        };
        let wanted = AtomicBool::new(false);
        Self { saves: Mutex::new(saves), wanted, load: LoadCounters::default(), log: LogState::new(cores) }
    }

    pub fn saves(&self) -> MutexGuard<'_, Saves> {
        self.saves.lock().expect("nobody panics holding the state of saves")
    }

    /// A rewrite is to begin once no other snapshot is on its way.
    pub fn schedule_rewrite(&self) {
        self.log.rewrites().scheduled = true;
        self.wanted.store(true, Release);
    }

    /// It is not wanted any more: there is no log.
    pub fn unschedule_rewrite(&self) {
        let saves = self.saves();
        self.log.rewrites().scheduled = false;
        self.wanted.store(saves.scheduled, Release);
    }

    /// The log begins, from what is in memory: only a base that is begun from now on is one of it.
    pub fn await_base(&self) {
        self.log.rewrites().first_base = self.next_id();
        self.log.waits_for_base.store(true, Release);
    }

    /// The same for a snapshot in the background.
    pub fn schedule_save(&self) {
        self.saves().scheduled = true;
        self.wanted.store(true, Release);
    }

    /// Whether no snapshot is on its way, and no base on the way to its place. It goes from the one to the other, so that they
    /// are looked at in this order.
    pub fn is_free(&self) -> bool {
        self.saves().running.is_none() && self.log.rewrites().rebasing_began_s.is_none()
    }

    /// What there is to tell. A rewrite that waits is a snapshot afterwards, and then a base on the way to its place, so that
    /// they are looked at in this order: none is missed while it goes from one to the next.
    pub fn state(&self) -> (Saves, Rewrites) {
        self.looked_at(|| {})
    }

    /// `meanwhile`: what happens between two looks.
    fn looked_at(&self, mut meanwhile: impl FnMut()) -> (Saves, Rewrites) {
        let waits = self.log.rewrites().scheduled;
        meanwhile();
        let saves = *self.saves();
        meanwhile();
        let rewrites = *self.log.rewrites();
        let runs = saves.running.is_some_and(|saving| saving.base.is_some());
        let waits = (waits || rewrites.scheduled) && !runs && rewrites.rebasing_began_s.is_none();
        (saves, Rewrites { scheduled: waits, ..rewrites })
    }

    /// Whether what is in memory is in no log yet, although it is about to be in one. Not if the last try failed: then there is
    /// nothing to wait for. `unlogged`: the log is about to be switched on, as the configuration says.
    pub fn lacks_base(&self, unlogged: bool) -> bool {
        let (saves, rewrites) = self.state();
        let runs = saves.running.is_some_and(|saving| saving.base.is_some());
        let comes = runs || rewrites.rebasing_began_s.is_some() || rewrites.scheduled || rewrites.last_ok;
        (self.log.waits_for_base.load(Acquire) && comes) || (unlogged && self.log.can_switch())
    }

    /// The snapshot of this number is over; None if it was given up before. Whoever sees no base of the log being saved any
    /// more sees one on the way to its place.
    pub fn end_save(&self, id: u64, ok: bool, now_s: i64, bytes: u64) -> Option<Saving> {
        let mut saves = self.saves();
        let saving = saves.running.filter(|saving| saving.id == id)?;
        if saving.base.is_some() && ok {
            self.log.rewrites().rebasing_began_s = Some(saving.began_s);
        }
        saves.end(id, ok, now_s, bytes)
    }

    /// A number for a stream that no other ever had.
    pub fn next_id(&self) -> u64 {
        self.saves().next_id()
    }
}

impl Saves {
    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// A snapshot begins; the caller saw that none is on its way. It gets a number.
    pub fn begin(&mut self, saving: Saving) -> u64 {
        assert!(self.running.is_none(), "there is one snapshot at a time");
        let id = self.next_id();
        self.running = Some(Saving { id, ..saving });
        if saving.base.is_none() {
            self.last_try_s = saving.began_s;
        }
        id
    }

    /// The snapshot of this number is over; None if it was given up before.
    fn end(&mut self, id: u64, ok: bool, now_s: i64, bytes: u64) -> Option<Saving> {
        let saving = self.running.take_if(|saving| saving.id == id)?;
        if saving.base.is_some() {
            return Some(saving);
        }
        if ok {
            self.last_s = now_s;
            self.saved_changes = saving.changes;
        }
        if saving.background {
            self.last_duration_s = now_s - saving.began_s;
            self.last_bytes = bytes;
        }
        if ok || saving.background {
            self.last_ok = ok;
        }
        Some(saving)
    }

    /// Nobody wants the running snapshot any more.
    pub fn give_up(&mut self) -> Option<Saving> {
        self.running.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(persistence: &Persistence, base: Option<BaseForm>) -> u64 {
        let saving = Saving { id: 0, background: false, began_s: 7, keys: 0, changes: 0, base };
        persistence.saves().begin(saving)
    }

    /// A second rewrite could begin between the end of the save and the news of it to the log.
    #[test]
    fn a_base_that_is_saved_is_on_the_way_to_its_place() {
        for (base, ok, free) in
            [(Some(BaseForm::Rdb), true, false), (Some(BaseForm::Rdb), false, true), (None, true, true)]
        {
            let persistence = Persistence::new(0, 1);
            let id = begin(&persistence, base);
            assert!(!persistence.is_free() && persistence.end_save(id + 1, ok, 9, 0).is_none());
            assert_eq!(persistence.end_save(id, ok, 9, 0).map(|saving| saving.id), Some(id));
            assert_eq!(persistence.is_free(), free, "{base:?} {ok}");
            persistence.log.rewrites().end(ok, 7, 9, 0);
            assert!(persistence.is_free());
        }
    }

    /// INFO said that none is, between the end of the waiting and the beginning of the snapshot.
    #[test]
    fn a_rewrite_is_seen_from_its_scheduling_to_its_end() {
        let steps: [fn(&Persistence); 4] = [
            |all| all.schedule_rewrite(),
            |all| assert_ne!(begin(all, Some(BaseForm::Rdb)), 0),
            |all| all.unschedule_rewrite(),
            |all| {
                let id = all.saves().running.expect("it runs").id;
                all.end_save(id, true, 9, 0);
            },
        ];
        for (before, at_once) in [1, 2, 3, 4].into_iter().flat_map(|before| [0, 1, 2, 3].map(|n| (before, n)))
        {
            let persistence = Persistence::new(0, 1);
            steps[..before].iter().for_each(|step| step(&persistence));
            let mut rest = steps[before..].iter();
            let (saves, rewrites) =
                persistence.looked_at(|| rest.by_ref().take(at_once).for_each(|step| step(&persistence)));
            let runs = saves.running.is_some() || rewrites.rebasing_began_s.is_some();
            assert!(
                runs != rewrites.scheduled,
                "after {before} steps, {at_once} at once: {saves:?} {rewrites:?}"
            );
        }
    }

    #[test]
    fn a_base_that_failed_is_not_waited_for() {
        let persistence = Persistence::new(0, 1);
        assert!(!persistence.lacks_base(false));
        persistence.await_base();
        assert!(persistence.lacks_base(false));
        let id = begin(&persistence, Some(BaseForm::Rdb));
        persistence.end_save(id, false, 9, 0);
        persistence.log.rewrites().end(false, 7, 9, 0);
        assert!(!persistence.lacks_base(false));
        persistence.schedule_rewrite();
        assert!(persistence.lacks_base(false));
        persistence.unschedule_rewrite();
        begin(&persistence, Some(BaseForm::Rdb));
        assert!(persistence.lacks_base(false));
    }

    #[test]
    fn a_rewrite_that_is_not_wanted_any_more_leaves_a_save_that_is() {
        let persistence = Persistence::new(0, 1);
        persistence.schedule_rewrite();
        persistence.unschedule_rewrite();
        assert!(!persistence.log.rewrites().scheduled && !persistence.wanted.load(Acquire));
        persistence.schedule_rewrite();
        persistence.schedule_save();
        persistence.unschedule_rewrite();
        assert!(persistence.saves().scheduled && persistence.wanted.load(Acquire));
    }
}
