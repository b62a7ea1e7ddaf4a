//! A core as a state machine: events in, actions out. Both drivers, io_uring and the simulator, turn it.
//! In: messages of other cores, turns, ticks; connections and bytes (`server::connections`). Out: `Actions` for the driver.
//! Invariants: K1, a connection runs nothing while its batch is away; K2, a slot is reused only after the driver
//! released it and no batch of it is away; K3, the home shard is at hand or lent, and what needs it waits in order.
//! Absent: file descriptors, system calls, blocking of any kind.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering::*;

use super::batch::{Batch, Message};
use crate::base::memory::SpentBuffers;
use crate::base::rng::Rng;
use crate::client::{Answer, ConnectionId, Requests, Wait};
use crate::commands::errand::{Answered, Errand};
use crate::commands::news::Heard;
use crate::commands::{Effects, Note, Pending, Registry, Signal};
use crate::config::Config;
use crate::persist::aof::Chunk;
use crate::pubsub::Parcel;
use crate::script::Engine;
use crate::shard::{Moment, Shard};
use crate::shared::{Shared, gate};
use crate::storage::{Failure, Job};

/// What a core wants of its driver; drained after every turn.
#[derive(Default)]
pub struct Actions {
    /// New connections: (slot, socket as the driver knows it).
    pub adopt: Vec<(u32, i32)>,
    /// Slots with output to send.
    pub send: Vec<u32>,
    /// Slots to close: once all is sent (true) or at once (false).
    pub close: Vec<(u32, bool)>,
    /// Slots to let go: `Core::detached` takes the socket once nothing is in hand of it.
    pub detach: Vec<u32>,
    /// Slots to stop (true) or start (false) receiving from.
    pub pause: Vec<(u32, bool)>,
    pub mesh: Vec<(usize, Message)>,
    /// There are new sockets to accept from.
    pub listen: bool,
    /// For the storage thread.
    pub jobs: Vec<Job>,
    /// For another server.
    pub errand: Option<Errand>,
    /// The files of the start were loaded: a snapshot in so many ms, or a log; or they could not be.
    pub loaded: Option<Result<Option<i64>, Failure>>,
    /// The server cannot keep its promises any more: it ends at once, and sends nothing.
    pub abort: bool,
    /// A shutdown came to nothing: the next signal is to be noticed, too.
    pub await_stop: bool,
}

/// The core that accepts connections, for all.
pub(super) const ACCEPTING_CORE: usize = 0;

/// The pause of an active expiry that has more to do.
const EXPIRY_PAUSE_MS: u64 = 1;

pub struct Core {
    pub id: usize,
    pub shared: Arc<Shared>,
    pub registry: Arc<Registry>,
    pub actions: Actions,
    pub(super) config: Arc<Config>,
    pub(super) config_epoch: u64,
    pub(super) exec: u16,
    /// By number: the home shard unless lent, and shards at hand for what runs now.
    pub(super) shards: Vec<Option<Box<Shard>>>,
    /// Batches that wait for the home shard, in order (K3).
    pub(super) waiting: VecDeque<Box<Batch>>,
    /// Batches that wait here until all shards are at hand, and whether an errand is out to fetch them.
    pub(super) convoy: Vec<Box<Batch>>,
    pub(super) errand_out: bool,
    pub(super) keeping: super::keep::Keeping,
    pub(super) moving: super::moving::Moving,
    /// Keys to unwatch once the home shard is back.
    pub(super) unwatch: Vec<(u16, Box<[u8]>)>,
    pub(super) slots: Vec<super::connections::Slot>,
    pub(super) free: Vec<u32>,
    /// Connections that may go on with what they have buffered.
    pub(super) ready: VecDeque<ConnectionId>,
    /// Connections whose unsent replies a tick looks at.
    pub(super) owing: Vec<ConnectionId>,
    pub(super) crowd: super::limits::Clients,
    /// Connections held back by CLIENT PAUSE.
    pub(super) held_back: Vec<ConnectionId>,
    pub(super) spare_batches: Vec<Box<Batch>>,
    pub(super) spare_buffers: Vec<Vec<u8>>,
    /// Parsed commands of the chunk at hand, kept for their capacity.
    pub(super) chunk: Requests,
    pub(super) notes: Vec<Note>,
    pub(super) signals: Vec<Signal>,
    /// What the commands of the step at hand did.
    pub(super) effects: Effects,
    pub(super) heard: Heard,
    /// What is to go to the log.
    pub log: Chunk,
    /// When waits of this core's connections time out.
    pub(super) deadlines: BTreeSet<(i64, ConnectionId)>,
    /// Answers to commands that are not known to wait yet: their batch is on its way home.
    pub(super) early_answers: Vec<(Arc<Wait>, Answer)>,
    /// Waits to forget once the home shard is back.
    pub(super) unwait_later: Vec<Arc<Wait>>,
    /// Waits are being served.
    pub(super) is_serving: bool,
    /// Large buffers of connections on their way out.
    pub(super) spent_buffers: SpentBuffers,
    /// Active expiry ran out of time with more to do: it goes on soon.
    pub(super) expiry_behind: bool,
    pub(super) rng: Rng,
    pub(super) scripts: Engine,
    /// A script that takes long, and a command that asks another server.
    pub(super) parked: Option<super::parked::Aside>,
    pub(super) asking: Option<super::asking::Asking>,
    /// Why the command at hand is about to be put aside, and the answer to one that goes on.
    pub(super) parking: Option<Pending>,
    pub(super) answer: Option<Answered>,
    /// Lines for MONITOR clients of this core that came before their turn.
    pub(super) monitor: super::monitor::Reorder,
    /// What was published for this core's clients, while it is delivered; and its text.
    pub(super) parcels: Vec<Parcel>,
    pub(super) bundle: super::mail::Bundle,
    /// Memory is full: keys of the home shard have to go.
    pub(super) evicting: bool,
    pub(super) storage: super::persist::Storage,
    pub(super) walking: super::walking::Walking,
    pub(super) appending: super::append::Appending,
    pub(super) holding: super::holding::Holding,
    /// The home shard came back in the middle of a step: look at `waiting` again.
    pub(super) revisit: bool,
    /// Unix ms: the time of whatever runs next, if not `clock_is_old`.
    pub(super) now_ms: i64,
    /// Something ran since the last look at the clock, or something else took time.
    pub(super) clock_is_old: bool,
    /// The tick at which the last command ended, if the next one of its pipeline may count as beginning then.
    pub(super) command_ended: Option<u64>,
    #[cfg(test)]
    pub trace: Vec<super::inspect::Executed>,
    #[cfg(test)]
    pub neglect: Option<super::inspect::Neglect>,
}

impl Core {
    /// Core `id` of a server, with its shard.
    pub fn new(
        id: usize,
        shared: Arc<Shared>,
        registry: Arc<Registry>,
        mut shard: Box<Shard>,
        mut rng: Rng,
    ) -> Self {
        let mut shards: Vec<Option<Box<Shard>>> = (0..shared.slots.shard_count()).map(|_| None).collect();
        assert_eq!(shard.id, id, "a core owns the shard of its number");
        shard.waiting.count_with(shared.waited_changes.clone());
        shards[id] = Some(shard);
        let exec = registry.find(b"exec").expect("EXEC is in the table");
        let mut core = Self {
            id,
            config: shared.config(),
            config_epoch: shared.config_epoch(),
            shared,
            registry,
            actions: Actions::default(),
            exec,
            shards,
            waiting: VecDeque::new(),
            convoy: Vec::new(),
            errand_out: false,
            keeping: super::keep::Keeping::default(),
            moving: super::moving::Moving::default(),
            unwatch: Vec::new(),
            slots: Vec::new(),
            free: Vec::new(),
            ready: VecDeque::new(),
            owing: Vec::new(),
            crowd: super::limits::Clients::default(),
            held_back: Vec::new(),
            spare_batches: Vec::new(),
            spare_buffers: Vec::new(),
            chunk: Requests::default(),
            notes: Vec::new(),
            signals: Vec::new(),
            effects: Effects::default(),
            heard: Heard::default(),
            log: Chunk::default(),
            deadlines: BTreeSet::new(),
            early_answers: Vec::new(),
            unwait_later: Vec::new(),
            is_serving: false,
            spent_buffers: SpentBuffers::default(),
            expiry_behind: false,
            scripts: Engine::new(rng.next_u64()),
            parked: None,
            asking: None,
            parking: None,
            answer: None,
            rng,
            monitor: super::monitor::Reorder::default(),
            parcels: Vec::new(),
            bundle: super::mail::Bundle::default(),
            evicting: false,
            storage: super::persist::Storage::default(),
            walking: super::walking::Walking::default(),
            appending: super::append::Appending::default(),
            holding: super::holding::Holding::default(),
            revisit: false,
            now_ms: 0,
            clock_is_old: true,
            command_ended: None,
            #[cfg(test)]
            trace: Vec::new(),
            #[cfg(test)]
            neglect: None,
        };
        core.refresh_listeners();
        core
    }

    // ---- events: other cores and time ----

    /// A message of another core.
    pub fn message(&mut self, message: Message) {
        self.begin_event();
        match message {
            Message::Batch(batch) => self.advance(batch),
            Message::Shard(shard) => self.shard_returned(shard),
            Message::Connection(new) => self.adopt(*new),
            Message::Moved(moved) => self.arrive(*moved),
            Message::Signal(signal) => self.signalled(*signal),
            Message::Done(done) => self.stored(*done),
            Message::Job(_) => unreachable!("jobs go to the storage thread"),
        }
    }

    /// Runs what became possible during this turn; call after the events of a turn.
    pub fn finish_turn(&mut self) {
        self.clock_is_old = true;
        self.follow_appendonly();
        if self.parked.is_some() {
            // If it ends now, what its client sent behind it is next.
            self.begin_event();
            self.go_on_with_parked();
        }
        loop {
            self.serve_waiting();
            while let Some(id) = self.ready.pop_front() {
                if self.connection(id).is_some() {
                    self.run_buffered(id.slot);
                    self.serve_waiting();
                }
            }
            if !self.start_convoy() {
                break;
            }
        }
        self.release_overdue_replies();
        self.make_up_for_tick();
        self.refresh_config();
        self.keep_clients_within();
        debug_assert!(self.signals.is_empty(), "each event sends what it signals: nobody else would");
        self.publish_home();
        self.hand_over_log();
    }

    /// Periodic work: expiry, freeing, time-outs, the end of a pause. Call every `tick_ms` while `wants_tick`.
    pub fn tick(&mut self) {
        self.begin_event();
        self.tick_recalls();
        let now_ms = self.now_ms;
        if !self.shared.cron_paused.load(Relaxed) {
            if self.shards[self.id].is_some() {
                self.expire_some();
            }
            if self.config.timeout_s > 0 {
                self.close_idle(now_ms);
            }
            self.look_at_owing();
        }
        self.look_at_save_points();
        self.look_after_log();
        if !self.held_back.is_empty() && self.shared.pause.until_ms.load(Acquire) <= now_ms {
            self.resume();
        }
        self.send_signals();
    }

    /// Whether there is periodic work at all: an idle server sleeps.
    pub fn wants_tick(&self) -> bool {
        !self.held_back.is_empty()
            || !self.owing.is_empty()
            || self.looks_at_crowd_again()
            || self.is_kept_elsewhere()
            || (self.config.timeout_s > 0 && self.slots.len() > self.free.len())
            || self.shards[self.id].as_ref().is_some_and(|shard| shard.has_expires())
            || self.watches_save_points()
            || self.sync_is_due()
            || self.walk_rests()
    }

    /// How long to wait for the next tick.
    pub fn tick_ms(&self) -> u64 {
        if self.expiry_behind {
            return EXPIRY_PAUSE_MS;
        }
        1000 / self.config.hz.clamp(1, 500) as u64
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The start of an event: looks at the clock, at the configuration if it changed, and into the box (P4): what happens
    /// in this event comes after what was published before.
    #[inline]
    pub(super) fn begin_event(&mut self) {
        self.clock_is_old = true;
        self.look_at_clock();
        self.refresh_config();
        self.look_for_mail();
    }

    /// Time passes with what ran before. What runs next must not see a key that another client already saw expired.
    #[inline]
    pub(super) fn look_at_clock(&mut self) {
        if self.clock_is_old {
            self.now_ms = self.shared.clock.unix_ms();
            self.clock_is_old = false;
        }
    }

    /// What runs next sees the configuration in force, also behind a CONFIG SET of its own pipeline.
    #[inline]
    pub(super) fn refresh_config(&mut self) {
        if self.shared.config_epoch() != self.config_epoch {
            self.config_epoch = self.shared.config_epoch();
            self.config = self.shared.config();
            self.refresh_listeners();
            self.refresh_strictness();
            self.appending.config_is_new = true;
            self.publish_home();
        }
    }

    // ---- what the parts above share ----

    /// The parts of a core that a command runs on, borrowed side by side.
    pub(super) fn parts(&mut self, home: Option<u32>) -> super::run::Parts<'_> {
        super::run::Parts {
            shards: &mut self.shards,
            shared: &self.shared,
            config: &self.config,
            registry: &self.registry,
            rng: &mut self.rng,
            signals: &mut self.signals,
            effects: &mut self.effects,
            heard: &mut self.heard,
            jobs: &mut self.actions.jobs,
            connection: home.map(|slot| {
                &mut **self.slots[slot as usize].connection.as_mut().expect("K2: the slot is taken")
            }),
            core: self.id,
            scripts: &mut self.scripts,
            took_long: &mut self.clock_is_old,
            ended: &mut self.command_ended,
            answer: &mut self.answer,
            #[cfg(test)]
            trace: &mut self.trace,
        }
    }

    /// Whether CLIENT PAUSE holds commands back now.
    pub(super) fn is_paused(&self) -> bool {
        self.shared.gates() & gate::PAUSED != 0 && self.shared.pause.until_ms.load(Acquire) > self.now_ms
    }

    /// Keys that a connection no longer watches: tells their shards.
    pub(super) fn unwatch_all(&mut self, watched: Vec<crate::client::Watched>) {
        for key in watched {
            self.signal_core(key.shard, Signal::Unwatch { shard: key.shard, db: key.db, key: key.key });
        }
    }

    /// Takes back the watches that were given up while the home shard was lent.
    pub(super) fn unwatch_waiting(&mut self) {
        if !self.unwait_later.is_empty() {
            self.unwait_waiting();
        }
        if let Some(shard) = self.shards[self.id].as_mut() {
            for (db, key) in self.unwatch.drain(..) {
                shard.watch.unwatch(db, &key);
            }
        }
    }

    /// How commands look at the keyspace now. `touch`: they refresh access clocks.
    pub(super) fn moment(&mut self, touch: bool) -> Moment {
        Moment {
            now_ms: self.now_ms,
            due_ms: if self.shared.is_loading() { Moment::NOTHING_DUE } else { self.now_ms },
            touch,
            keep_overdue: self.is_paused(),
            tell: self.effects.tell(),
            lfu: self.config.maxmemory_policy.is_lfu(),
            lfu_log_factor: self.config.lfu_log_factor,
            lfu_decay_minutes: self.config.lfu_decay_time,
            random: self.rng.next_u64(),
        }
    }
}
