//! A core as a state machine: events in, actions out. Both drivers, io_uring and the simulator, turn it.
//! In: connections, bytes, messages of other cores, ticks. Out: `Actions` for the driver.
//! Invariants: K1, a connection runs nothing while its batch is away; K2, a slot is reused only after the driver
//! released it and no batch of it is away; K3, the home shard is at hand or lent, and what needs it waits in order.
//! Absent: file descriptors, system calls, blocking of any kind.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering::*;

use super::batch::{Batch, Message, NewConnection};
use crate::base::memory::SpentBuffers;
use crate::base::rng::Rng;
use crate::client::{Answer, Card, Connection, ConnectionId, Input, Requests, State, Wait, flag};
use crate::commands::errand::{Answered, Errand};
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

/// A place for a connection.
struct Slot {
    generation: u32,
    connection: Option<Box<Connection>>,
    /// The driver holds nothing of it any more.
    released: bool,
}

/// Input that waits while a batch is away or a connection is held back: beyond this, receiving stops.
const INPUT_PAUSE_BYTES: usize = 1 << 20;
/// Unsent replies beyond which a connection's commands wait. Input is still received, up to its own limit: a client that
/// sends a long pipeline before it reads must not be left blocked in its send.
pub(super) const OUTPUT_PAUSE_BYTES: usize = 32 << 20;
/// So many bytes of replies may wait for a batch that is away, to leave together with its replies.
const HELD_REPLIES_BYTES_MAX: usize = 16 * 1024;
/// Spare buffers kept for connections that come to life, and the largest that is worth keeping.
const SPARE_BUFFERS: usize = 64;
const SPARE_BUFFER_BYTES_MAX: usize = 64 * 1024;
/// Between two looks at the rings so many portions are freed, unless they take longer than that: an entry may be the last one
/// of its memory, which then goes back to the system.
const FREE_PORTIONS: usize = 16;
const FREE_PORTION_ENTRIES: usize = 16;
const FREE_SLICE_US: u64 = 100;

/// The pause of an active expiry that has more to do.
const EXPIRY_PAUSE_MS: u64 = 1;

/// Classes of `client-output-buffer-limit`.
const NORMAL_CLASS: usize = 0;
const PUBSUB_CLASS: usize = 2;

pub struct Core {
    pub id: usize,
    pub shared: Arc<Shared>,
    pub registry: Arc<Registry>,
    pub actions: Actions,
    pub(super) config: Arc<Config>,
    config_epoch: u64,
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
    unwatch: Vec<(u16, Box<[u8]>)>,
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// Connections that may go on with what they have buffered.
    pub(super) ready: VecDeque<ConnectionId>,
    /// Connections held back by CLIENT PAUSE.
    pub(super) held_back: Vec<ConnectionId>,
    pub(super) spare_batches: Vec<Box<Batch>>,
    spare_buffers: Vec<Vec<u8>>,
    /// Parsed commands of the chunk at hand, kept for their capacity.
    pub(super) chunk: Requests,
    pub(super) notes: Vec<Note>,
    pub(super) signals: Vec<Signal>,
    /// What the commands of the step at hand did.
    pub(super) effects: Effects,
    pub(super) heard: super::tracking::Heard,
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
    spent_buffers: SpentBuffers,
    /// Active expiry ran out of time with more to do: it goes on soon.
    expiry_behind: bool,
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
    pub(super) appending: super::append::Appending,
    /// Something happened since idle work was last done.
    pub(super) had_events: bool,
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
            held_back: Vec::new(),
            spare_batches: Vec::new(),
            spare_buffers: Vec::new(),
            chunk: Requests::default(),
            notes: Vec::new(),
            signals: Vec::new(),
            effects: Effects::default(),
            heard: super::tracking::Heard::default(),
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
            appending: super::append::Appending::default(),
            had_events: false,
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

    // ---- events: connections ----

    /// This core accepted a socket: it goes to the core with the fewest connections.
    pub fn accepted(&mut self, mut new: NewConnection) {
        new.refusal = super::admission::refusal(&self.shared, &new);
        let core = self.shared.assign_core();
        if core == self.id {
            self.adopt(new);
        } else {
            self.actions.mesh.push((core, Message::Connection(Box::new(new))));
        }
    }

    /// Takes a connection in: it lives here from now on.
    fn adopt(&mut self, new: NewConnection) {
        self.begin_event();
        let id = self.seat();
        let slot = id.slot;
        let client_id = self.shared.next_client_id.fetch_add(1, AcqRel);
        let now_ms = self.now_ms;
        let card = Arc::new(Card::new(client_id, id, new.fd, new.addr, new.laddr, now_ms));
        card.set_flag(flag::UNIX_SOCKET, new.unix_socket);
        card.resp.set(2);
        let authenticated = self.config.requirepass.is_none();
        self.settle_in(id, Box::new(Connection::new(card.clone(), authenticated)), new.fd);
        let metrics = &self.shared.metrics[self.id];
        match new.refusal {
            None => {
                metrics.connections_received.add(1);
                self.shared.clients.add(card);
            }
            Some(text) => {
                metrics.connections_rejected.add(1);
                self.connection_mut(slot).output.extend_from_slice(text.as_bytes());
                self.output_grew(slot);
                self.close(slot, true);
            }
        }
    }

    /// A place for a connection.
    pub(super) fn seat(&mut self) -> ConnectionId {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, connection: None, released: true });
            self.slots.len() as u32 - 1
        });
        let place = &mut self.slots[slot as usize];
        place.generation += 1;
        place.released = false;
        ConnectionId { core: self.id as u16, slot, generation: place.generation }
    }

    /// The connection takes its place, and the driver its socket.
    pub(super) fn settle_in(&mut self, id: ConnectionId, connection: Box<Connection>, fd: i32) {
        self.slots[id.slot as usize].connection = Some(connection);
        self.actions.adopt.push((id.slot, fd));
        self.recount(id.slot);
    }

    /// Bytes arrived on a connection.
    pub fn received(&mut self, slot: u32, bytes: &[u8]) {
        self.begin_event();
        self.note_client();
        let metrics = &self.shared.metrics[self.id];
        metrics.net_input_bytes.add(bytes.len() as u64);
        metrics.reads_processed.add(1);
        let now_ms = self.now_ms;
        let connection = self.connection_mut(slot);
        if connection.state == State::Closing {
            return;
        }
        connection.card.net_in.add(bytes.len() as u64);
        connection.card.last_ms.store(now_ms, Relaxed);
        connection.card.input_bytes.set((connection.input.len() + bytes.len()) as u64);
        if self.begins_to_move(slot) {
            return self.connection_mut(slot).input.extend(bytes);
        }
        let connection = self.connection_mut(slot);
        if connection.input.is_empty() && connection.state == State::Ready && !connection.clogged {
            let used = self.run_input(slot, bytes);
            let connection = self.connection_mut(slot);
            if used == bytes.len() {
                connection.card.input_bytes.set(0);
            } else if connection.state != State::Closing {
                connection.input.extend(&bytes[used..]);
                self.bound_input(slot);
            }
        } else {
            connection.input.extend(bytes);
            self.run_buffered(slot);
        }
    }

    /// Goes on with what a connection has buffered.
    pub(super) fn run_buffered(&mut self, slot: u32) {
        let connection = self.connection_mut(slot);
        if connection.state == State::Ready && !connection.clogged && !connection.input.is_empty() {
            let mut input = std::mem::take(&mut connection.input);
            let used = self.run_input(slot, input.unread());
            input.consume(used, SPARE_BUFFER_BYTES_MAX);
            let connection = self.connection_mut(slot);
            if connection.state != State::Closing {
                connection.input = input;
            }
        }
        self.bound_input(slot);
    }

    /// Keeps a connection's input within bounds: stops receiving while it cannot run, closes it past the limit.
    fn bound_input(&mut self, slot: u32) {
        let limit = self.config.client_query_buffer_limit as usize;
        let connection = self.connection_mut(slot);
        connection.card.input_bytes.set(connection.input.len() as u64);
        connection.card.input_capacity.set(connection.input.capacity() as u64);
        self.recount(slot);
        let connection = self.connection_mut(slot);
        if connection.state == State::Closing {
            return;
        }
        if connection.input.len() > limit {
            self.shared.metrics[self.id].query_buffer_limit_disconnections.add(1);
            return self.close(slot, false);
        }
        let stuck = connection.state != State::Ready && connection.input.len() > INPUT_PAUSE_BYTES;
        if stuck != connection.receive_paused {
            connection.receive_paused = stuck;
            self.actions.pause.push((slot, stuck));
        }
    }

    /// The peer closed, or the socket failed: nobody will read what is left.
    pub fn hung_up(&mut self, slot: u32) {
        self.close(slot, false);
    }

    /// The driver sent `bytes` of what it took from `take_output`.
    pub fn sent(&mut self, slot: u32, bytes: usize) {
        let metrics = &self.shared.metrics[self.id];
        metrics.net_output_bytes.add(bytes as u64);
        metrics.writes_processed.add(1);
        let connection = self.connection_mut(slot);
        connection.card.net_out.add(bytes as u64);
        connection.unsent -= bytes;
        if connection.clogged && connection.output.len() + connection.unsent <= OUTPUT_PAUSE_BYTES / 2 {
            connection.clogged = false;
            let id = connection.id;
            self.ready.push_back(id);
        }
        self.recount(slot);
    }

    /// So many of the bytes last said to be sent are not, yet.
    pub fn unsent(&mut self, slot: u32, bytes: usize) {
        let metrics = &self.shared.metrics[self.id];
        metrics.net_output_bytes.sub(bytes as u64);
        let connection = self.connection_mut(slot);
        connection.card.net_out.sub(bytes as u64);
        connection.unsent += bytes;
        self.recount(slot);
    }

    /// Counts anew what the connection's buffers hold, and what it takes of the memory in use.
    fn recount(&mut self, slot: u32) {
        let (now_ms, reset_ms) = (self.now_ms, self.shared.reply_peak_reset_ms.load(Relaxed));
        let connection = self.connection_mut(slot);
        let (card, output) = (&connection.card, &connection.output);
        card.output_bytes.set((output.len() + connection.unsent) as u64);
        card.reply_capacity.set(output.capacity() as u64);
        card.note_reply_bytes(output.len() as u64, now_ms, reset_ms);
        let bytes = card.memory_bytes();
        let old = std::mem::replace(&mut connection.counted_bytes, bytes);
        self.shared.metrics[self.id].client_bytes.add(bytes.wrapping_sub(old));
    }

    /// Whether replies wait for a batch that is away, whose own are to follow: those of a pipeline leave together, as in
    /// Redis. Where the batch may take long, they do not wait.
    fn holds_replies(&self, slot: u32) -> bool {
        let connection = self.connection_at(slot);
        connection.state == State::Away
            && connection.output.len() <= HELD_REPLIES_BYTES_MAX
            && self.shared.gates() & (gate::BUSY | gate::SHUTDOWN) == 0
    }

    /// Hands the connection's output to the driver, in exchange for an empty buffer.
    pub fn take_output(&mut self, slot: u32, buffer: &mut Vec<u8>) {
        debug_assert!(buffer.is_empty());
        let is_held = self.holds_replies(slot);
        let connection = self.connection_mut(slot);
        connection.dirty = false;
        if is_held {
            return;
        }
        if !connection.bound.is_empty() {
            let ready = self.take_unbound(slot);
            let connection = self.connection_mut(slot);
            if ready < connection.output.len() {
                buffer.extend(connection.output.drain(..ready));
                connection.unsent += ready;
                return self.recount(slot);
            }
        }
        let connection = self.connection_mut(slot);
        std::mem::swap(&mut connection.output, buffer);
        connection.unsent += buffer.len();
        let old = std::mem::take(&mut connection.output);
        self.recount(slot);
        self.keep_buffer(old);
    }

    /// Whether the connection has output that waits for the log.
    pub fn has_bound_output(&self, slot: u32) -> bool {
        self.slots[slot as usize].connection.as_ref().is_some_and(|connection| !connection.bound.is_empty())
    }

    /// Output of this slot may leave that could not before.
    pub(super) fn send_again(&mut self, slot: u32) {
        if let Some(connection) = &mut self.slots[slot as usize].connection
            && !connection.dirty
        {
            connection.dirty = true;
            self.actions.send.push(slot);
        }
    }

    /// Keeps a buffer for the next connection with something to say.
    pub fn keep_buffer(&mut self, mut buffer: Vec<u8>) {
        let worthwhile = (1..=SPARE_BUFFER_BYTES_MAX).contains(&buffer.capacity());
        if worthwhile && self.spare_buffers.len() < SPARE_BUFFERS {
            buffer.clear();
            self.spare_buffers.push(buffer);
        } else {
            self.spent_buffers.throw(buffer);
        }
    }

    pub(super) fn spare_buffer(&mut self) -> Vec<u8> {
        self.spare_buffers.pop().unwrap_or_default()
    }

    /// There is output: tells the driver once, and enforces the limits on unsent replies.
    pub(super) fn output_grew(&mut self, slot: u32) {
        let now_ms = self.now_ms;
        let limits = self.config.client_output_buffer_limits;
        let connection = self.connection_mut(slot);
        if connection.output.is_empty() {
            return;
        }
        if self.appending.strict {
            self.bind_output(slot);
        }
        let connection = self.connection_mut(slot);
        if !connection.dirty {
            connection.dirty = true;
            self.actions.send.push(slot);
        }
        let connection = self.connection_mut(slot);
        let limit = limits[if connection.session.subscribed { PUBSUB_CLASS } else { NORMAL_CLASS }];
        let bytes = (connection.output.len() + connection.unsent) as u64;
        self.recount(slot);
        let connection = self.connection_mut(slot);
        if limit.soft_bytes == 0 || bytes <= limit.soft_bytes {
            connection.over_soft_limit_since_ms = None;
        }
        let over_soft = limit.soft_bytes > 0 && bytes > limit.soft_bytes && {
            let since = *connection.over_soft_limit_since_ms.get_or_insert(now_ms);
            now_ms - since > limit.soft_seconds as i64 * 1000
        };
        if (limit.hard_bytes > 0 && bytes > limit.hard_bytes) || over_soft {
            self.shared.metrics[self.id].output_buffer_limit_disconnections.add(1);
            self.close(slot, false);
        }
    }

    /// What waits for batches that are away leaves now.
    pub(super) fn send_held_replies(&mut self) {
        for slot in 0..self.slots.len() as u32 {
            let is_held =
                |connection: &Connection| connection.state == State::Away && !connection.output.is_empty();
            if self.slots[slot as usize].connection.as_deref().is_some_and(is_held) {
                self.send_again(slot);
            }
        }
    }

    /// Ends a connection, after its output was sent (`flush`) or at once. Its batch, if away, still finishes.
    pub(super) fn close(&mut self, slot: u32, flush: bool) {
        let away = self.connection_mut(slot).state == State::Away;
        let connection = self.connection_mut(slot);
        if connection.state == State::Closing {
            if !flush {
                self.actions.close.push((slot, false));
            }
            return;
        }
        if flush && away {
            self.send_again(slot);
        }
        let connection = self.connection_mut(slot);
        connection.state = State::Closing;
        connection.input = Input::default();
        connection.transaction = None;
        let watched = std::mem::take(&mut connection.watched);
        let (id, card) = (connection.id, connection.card.clone());
        // K2: while the batch is away the slot stays taken, which `awaited` remembers.
        self.connection_mut(slot).awaited = away;
        self.unwatch_all(watched);
        self.abandon_wait(slot);
        // It may wait without knowing: the news of that come with the batch.
        card.leave();
        self.shared.clients.remove(card.id);
        self.shared.loads[self.id].fetch_sub(1, Relaxed);
        if card.has(flag::MONITOR) {
            self.shared.stop_monitoring(id);
        }
        #[cfg(test)]
        self.trace.push(super::inspect::Executed::closed(card.id, self.now_ms));
        if card.has(flag::PUBSUB | flag::TRACKING) {
            self.shared.exchange.lock().leave(card.id);
        }
        self.actions.close.push((slot, flush));
    }

    /// The driver closed the socket and holds nothing of the slot any more.
    pub fn released(&mut self, slot: u32) {
        let place = &mut self.slots[slot as usize];
        let open = place.connection.as_ref().is_some_and(|connection| connection.state != State::Closing);
        debug_assert!(!open, "K2: the driver releases only what was closed");
        place.released = true;
        self.reuse(slot);
    }

    /// Frees a slot once nobody refers to it (K2).
    pub(super) fn reuse(&mut self, slot: u32) {
        let place = &mut self.slots[slot as usize];
        let in_use = place.connection.as_ref().is_none_or(|connection| connection.awaited);
        if place.released && !in_use {
            let connection = *self.vacate(slot);
            self.spent_buffers.throw(connection.output);
            self.spent_buffers.throw(connection.input.into_bytes());
        }
    }

    /// Takes the connection out of its slot, which is free then.
    pub(super) fn vacate(&mut self, slot: u32) -> Box<Connection> {
        let place = &mut self.slots[slot as usize];
        place.released = true;
        let mut connection = place.connection.take().expect("the caller looked");
        self.shared.metrics[self.id].client_bytes.sub(std::mem::take(&mut connection.counted_bytes));
        self.free.push(slot);
        // What was still wanted for the old socket must not meet the next one.
        self.actions.close.retain(|(closing, _)| *closing != slot);
        self.actions.detach.retain(|leaving| *leaving != slot);
        self.actions.pause.retain(|(pausing, _)| *pausing != slot);
        self.actions.send.retain(|sending| *sending != slot);
        connection
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
        self.make_up_for_tick();
        if self.parked.is_some() {
            self.begin_event();
            self.go_on_with_parked();
        }
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
            || self.is_kept_elsewhere()
            || (self.config.timeout_s > 0 && self.slots.len() > self.free.len())
            || self.shards[self.id].as_ref().is_some_and(|shard| shard.has_expires())
            || self.watches_save_points()
            || self.sync_is_due()
            || self.walk_rests()
    }

    /// Work that is never urgent, a slice at a time: true while there is more.
    pub fn idle_work(&mut self) -> bool {
        let more = self.may_walk() && self.walk();
        self.had_events = false;
        let more = self.free_some() || more;
        // What was evicted is told, and logged; what follows from it is the next turn's.
        let tells = !self.signals.is_empty();
        self.send_signals();
        self.hand_over_log();
        more || tells
    }

    /// Frees portions of what was thrown away, and evicts keys, for a while; true while there is more.
    fn free_some(&mut self) -> bool {
        let evicts = self.evict_slice();
        let mut start_us = None;
        for _ in 0..FREE_PORTIONS {
            if !self.has_garbage() {
                return evicts;
            }
            let now_us = self.shared.clock.mono_us();
            if now_us - *start_us.get_or_insert(now_us) >= FREE_SLICE_US {
                break;
            }
            self.spent_buffers.free_portion();
            if let Some(shard) = self.shards.iter_mut().flatten().find(|shard| shard.has_trash()) {
                shard.free_slice(FREE_PORTION_ENTRIES);
            }
        }
        evicts || self.has_garbage()
    }

    fn has_garbage(&self) -> bool {
        !self.spent_buffers.is_empty() || self.shards.iter().flatten().any(|shard| shard.has_trash())
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
        self.had_events = true;
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

    #[inline]
    pub(super) fn connection_mut(&mut self, slot: u32) -> &mut Connection {
        self.slots[slot as usize].connection.as_mut().expect("K2: the slot is taken")
    }

    #[inline]
    pub(super) fn connection_at(&self, slot: u32) -> &Connection {
        self.slots[slot as usize].connection.as_ref().expect("K2: the slot is taken")
    }

    /// The slots of the connections that are so.
    #[cfg(test)]
    pub(super) fn each_connection(&self, is_so: impl Fn(&Connection) -> bool) -> Vec<u32> {
        let taken = |slot: &Slot| slot.connection.as_deref().is_some_and(&is_so);
        (0..self.slots.len() as u32).filter(|&slot| taken(&self.slots[slot as usize])).collect()
    }

    /// The connection, if it is still that one.
    pub(super) fn connection(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        let slot = self.slots.get_mut(id.slot as usize)?;
        if slot.generation == id.generation { slot.connection.as_deref_mut() } else { None }
    }

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
    fn is_paused(&self) -> bool {
        self.shared.gates() & gate::PAUSED != 0 && self.shared.pause.until_ms.load(Acquire) > self.now_ms
    }

    /// How commands look at the keyspace now. `touch`: they refresh access clocks.
    pub(super) fn moment(&mut self, touch: bool) -> Moment {
        Moment {
            now_ms: self.now_ms,
            access_ms: self.now_ms,
            touch,
            keep_overdue: self.is_paused(),
            tell: self.effects.tell(),
            lfu: self.config.maxmemory_policy.is_lfu(),
            lfu_log_factor: self.config.lfu_log_factor,
            lfu_decay_minutes: self.config.lfu_decay_time,
            random: self.rng.next_u64(),
        }
    }

    /// Sends what commands left for others.
    pub(super) fn send_signals(&mut self) {
        // One to this very core may lead to others.
        while !self.signals.is_empty() {
            for signal in std::mem::take(&mut self.signals) {
                self.send_signal(signal);
            }
        }
    }

    fn send_signal(&mut self, signal: Signal) {
        match &signal {
            Signal::Kill(id) => self.signal_core(id.core as usize, signal),
            Signal::Listen => self.signal_core(ACCEPTING_CORE, signal),
            Signal::MonitorLine { to, .. } => self.signal_core(to.core as usize, signal),
            Signal::Unwatch { shard, .. } | Signal::Unwait { shard, .. } => {
                self.signal_core(*shard, signal);
            }
            Signal::Recall { keeper, .. } => self.signal_core(*keeper, signal),
            Signal::Served { wait, .. } => self.signal_core(wait.to.core as usize, signal),
            Signal::Mail { core } | Signal::Evict { core } | Signal::Forget { core } => {
                self.signal_core(*core, signal)
            }
            Signal::Resume
            | Signal::Busy
            | Signal::Shutdown
            | Signal::SaveOver { .. }
            | Signal::LogBegun { .. }
            | Signal::LogFounded => {
                for core in 0..self.shared.slots.shard_count() {
                    self.signal_core(core, signal.clone());
                }
            }
        }
    }

    pub(super) fn signal_core(&mut self, core: usize, signal: Signal) {
        if core == self.id {
            self.signalled(signal);
        } else {
            self.actions.mesh.push((core, Message::Signal(Box::new(signal))));
        }
    }

    fn signalled(&mut self, signal: Signal) {
        match signal {
            Signal::Kill(id) => {
                if self.connection(id).is_some() {
                    self.close(id.slot, false);
                }
            }
            Signal::Resume => self.resume(),
            Signal::Evict { .. } => self.asked_to_evict(),
            Signal::Forget { .. } => self.forget_keys(),
            Signal::Recall { shard, .. } => self.let_go(shard),
            Signal::Unwatch { db, key, .. } => {
                self.unwatch.push((db, key));
                self.unwatch_waiting();
            }
            Signal::Served { wait, answer } => self.end_wait(wait, answer),
            Signal::Unwait { wait, .. } => self.unwait(wait),
            Signal::Mail { .. } => self.take_mail(),
            Signal::MonitorLine { to, place, line } => self.monitor_line(to, place, line),
            Signal::Busy => {
                self.refuse_waiting();
                self.send_held_replies();
            }
            Signal::Shutdown => {
                self.shared.set_gate(gate::SHUTDOWN, true);
                self.send_held_replies();
            }
            Signal::SaveOver { id } => self.save_over(id),
            Signal::LogBegun { ok } => self.log_switched(ok),
            Signal::LogFounded => self.serve_log_waits(),
            Signal::Listen => self.actions.listen = true,
        }
    }

    /// Lets the connections that CLIENT PAUSE held back try again.
    fn resume(&mut self) {
        for id in std::mem::take(&mut self.held_back) {
            if let Some(connection) = self.connection(id)
                && connection.state == State::Paused
            {
                connection.state = State::Ready;
                connection.card.set_flag(flag::BLOCKED, false);
                self.ready.push_back(id);
            }
        }
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

    /// Active expiry: slices until little is found, as Redis' slow cycle does, or the time is up; then it goes on soon, and so
    /// takes a fifth to a third of the time while there is much to do. What is deleted may be memory that goes back to the
    /// system, so a slice is small.
    fn expire_some(&mut self) {
        const BUCKETS: usize = 16;
        const SLICES_MIN: usize = 64;
        const BUDGET_US: u64 = 225;
        const BUDGET_US_EACH_EFFORT: u64 = 25;
        self.expiry_behind = false;
        if self.shared.active_expire_off.load(Relaxed) || self.is_paused() {
            return;
        }
        self.follow_changes();
        let moment = self.moment(false);
        let start = self.shared.clock.mono_us();
        let shard = self.shards[self.id].as_mut().expect("the caller looked");
        let budget = BUDGET_US + BUDGET_US_EACH_EFFORT * self.config.active_expire_effort.clamp(1, 10) as u64;
        for slice in 0.. {
            let found = shard.expire_slice(&moment, BUCKETS);
            self.effects.take_incidents(std::iter::once(&mut **shard));
            let spent = self.shared.clock.mono_us() - start;
            let worthwhile = found.unfinished || found.expired * 10 >= found.sampled.max(1);
            let late = spent >= budget || slice >= 4096;
            if late || (slice >= SLICES_MIN && !worthwhile) || !shard.has_expires() {
                self.expiry_behind = late && worthwhile;
                shard.counters.expire_cycle_us += spent;
                break;
            }
        }
        self.after_command(false);
        self.appending.stamped = None;
    }

    /// `timeout`: closes clients that said nothing for so long.
    fn close_idle(&mut self, now_ms: i64) {
        let limit_ms = self.config.timeout_s as i64 * 1000;
        for slot in 0..self.slots.len() as u32 {
            let Some(connection) = &self.slots[slot as usize].connection else { continue };
            let exempt =
                connection.state != State::Ready || connection.card.has(flag::MONITOR | flag::PUBSUB);
            if !exempt && now_ms - connection.card.last_ms.load(Relaxed) > limit_ms {
                self.close(slot, false);
            }
        }
    }
}
