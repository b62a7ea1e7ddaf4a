//! Turns a core on a real machine: its ring, its end of the mesh, its clock.
//! In: completions and messages. Out: what the core asks for in its `Actions`.
//! Invariant D1: a core announces that it sleeps before it does, and looks at the mesh once more in between.

use std::os::fd::{OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering::*};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use super::batch::{Message, NewConnection};
use super::core::Core;
use super::courier::Courier;
use crate::base::clock::{ticks, ticks_to_ns};
use crate::mesh::Port;
use crate::net::{Event, Peer, Ring};
use crate::shared::gate;
use crate::storage::{Bell, Failure};

/// Messages taken from the mesh before the ring is looked at again.
const MESSAGES_A_TURN: usize = 256;
/// Messages whose memory is fetched together.
const MESSAGES_A_GROUP: usize = 16;
/// Completions handled before the replies so far are sent, at most.
const EVENTS_A_TURN: usize = 128;
/// Completions handled before the mesh is looked at again: others wait for shards and batches that are here.
const EVENTS_BETWEEN_MESSAGES: usize = 4;

/// How often a turn looks for more events before it sends its replies, and how old it may be then.
const GATHERINGS: usize = 4;
const GATHERING_NS: u64 = 20_000;

/// How long replies on their way may take to leave when the server stops.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// The rings of all cores, so that one can wake another.
pub type RingFds = Arc<[AtomicI32]>;

/// What a core's thread has besides the core.
pub struct Ends {
    pub ring: Ring,
    pub port: Port<Message>,
    pub rings: RingFds,
    /// Wakes the storage thread.
    pub bell: Bell,
    /// Runs errands to other servers.
    pub courier: Courier,
    /// A descriptor that becomes readable when the process is told to end; core 0 watches it.
    pub stop_fd: Option<RawFd>,
    /// Who waits for the file of the start to be loaded.
    pub booted: Option<Sender<Result<Option<i64>, Failure>>>,
}

pub struct Driver {
    core: Core,
    ring: Ring,
    port: Port<Message>,
    rings: RingFds,
    bell: Bell,
    courier: Courier,
    booted: Option<Sender<Result<Option<i64>, Failure>>>,
    /// Paths of unix listeners by their number, for the names of their connections.
    listener_paths: Vec<Option<String>>,
    /// Slots that close once their output has left.
    closing: Vec<u32>,
    /// Output waits behind a promised send: the next enter tells when it can go, and must not sleep.
    output_waits: bool,
    stop_fd: Option<RawFd>,
    poll: Polling,
    /// Messages at hand, kept for its capacity.
    group: Vec<Message>,
}

/// How long to look for work before sleeping. For work of other cores: grows while that pays, shrinks to nothing while it does not.
struct Polling {
    max_us: u64,
    us: u64,
    slept_at: Option<Instant>,
    /// There are no other cores.
    alone: bool,
}

impl Polling {
    fn new(max_us: u64, alone: bool) -> Self {
        Self { max_us, us: 0, slept_at: None, alone }
    }

    fn sleeps(&mut self) {
        self.slept_at = (!self.alone).then(Instant::now);
    }

    /// A message came right after going to sleep: looking a little longer would have caught it.
    fn woken_by_mesh(&mut self) {
        if let Some(at) = self.slept_at.take()
            && at.elapsed().as_micros() as u64 <= self.max_us
        {
            self.us = (self.us * 2).clamp(self.max_us.min(4), self.max_us);
        }
    }

    fn paid(&mut self) {
        self.us = (self.us + self.us / 2).min(self.max_us);
    }

    fn in_vain(&mut self) {
        self.us /= 2;
    }
}

impl Driver {
    /// The driver of `core`, on the thread that will run it.
    pub fn new(core: Core, ends: Ends) -> Self {
        let Ends { ring, port, rings, bell, courier, stop_fd, booted } = ends;
        let poll = Polling::new(core.config().poll_us_max as u64, core.shared.slots.shard_count() == 1);
        Self {
            core,
            ring,
            port,
            rings,
            bell,
            courier,
            booted,
            listener_paths: Vec::new(),
            closing: Vec::new(),
            output_waits: false,
            stop_fd,
            poll,
            group: Vec::new(),
        }
    }

    /// Accepts connections of what listens and did not before.
    pub fn listen(&mut self) {
        for listener in self.core.shared.listening.take_new() {
            self.listener_paths.push(listener.path);
            self.ring.listen(listener.fd);
        }
    }

    /// Runs until the server shuts down.
    pub fn run(&mut self) {
        if let Some(fd) = self.stop_fd {
            self.ring.poll_readable(fd);
        }
        while !self.stopping() {
            self.turn();
        }
        self.last_words();
    }

    fn stopping(&self) -> bool {
        self.core.shared.gates() & gate::SHUTDOWN != 0
    }

    /// One turn: what happened, what the core makes of it, what it asks for, then the kernel's turn.
    fn turn(&mut self) {
        self.core.shared.metrics[self.core.id].turns.add(1);
        let mut busy = self.gather_events();
        busy |= self.take_messages();
        if self.core.is_asking()
            && let Some(heard) = self.courier.heard()
        {
            self.core.answered(heard);
        }
        self.core.finish_turn();
        self.act();
        if self.core.may_walk() {
            // Replies leave before the core takes its time.
            self.ring.enter(0);
        }
        let (ring, port) = (&mut self.ring, &self.port);
        let mut news = || port.has_input() || ring.has_events();
        let more = self.core.idle_work(&mut news) || busy || self.port.has_input() || self.core.has_parked();
        if !self.core.actions.jobs.is_empty() || !self.core.actions.mesh.is_empty() {
            self.act();
        }
        let more = std::mem::take(&mut self.output_waits) || more;
        self.ring.feed_starved();
        if self.core.wants_tick() {
            self.ring.tick_in(self.core.tick_ms());
        }
        if let Some(ms) = self.core.alarm_ms() {
            self.ring.alarm_in(ms);
        }
        // The turn's last event may have stopped the server: nothing else would wake it.
        if more || self.stopping() {
            return self.ring.enter(0);
        }
        self.rest();
    }

    /// Nothing is left to do: looks a little longer, then sleeps until something happens (D1).
    fn rest(&mut self) {
        if self.await_disk() || (self.poll.us > 0 && self.look_around()) {
            return;
        }
        if self.port.announce_sleep() {
            self.poll.sleeps();
            self.ring.enter(1);
        }
        self.port.announce_awake();
        if self.port.has_input() {
            self.poll.woken_by_mesh();
        }
    }

    /// Polls for work of other cores for a while. True: there is some.
    fn look_around(&mut self) -> bool {
        let found = self.poll_for(self.poll.us, std::hint::spin_loop);
        if found {
            self.poll.paid()
        } else {
            self.poll.in_vain()
        }
        found
    }

    /// Polls while replies wait for a sync, which is short on a disk that is worth it. The storage thread may be on the
    /// same CPU: it goes first. True: there is work.
    fn await_disk(&mut self) -> bool {
        self.poll.max_us > 0
            && self.core.awaits_disk()
            && self.poll_for(self.poll.max_us, std::thread::yield_now)
    }

    /// Polls the mesh and the ring for so long. True: there is work.
    fn poll_for(&mut self, us: u64, between: fn()) -> bool {
        self.ring.enter(0);
        let start = Instant::now();
        while (start.elapsed().as_micros() as u64) < us {
            for _ in 0..16 {
                if self.port.has_input() || self.ring.has_events() {
                    return true;
                }
                between();
            }
        }
        false
    }

    /// Takes what happened, and what happens while it does, unless that takes long: replies that leave together cost less. A reply waits
    /// for what is at hand when it is ready, as ever, and for `GATHERING_NS` and what is at hand then. (GET took 1% less CPU at pipeline 16,
    /// 3% less without one.) True: there is more.
    fn gather_events(&mut self) -> bool {
        let start = ticks();
        let mut room = EVENTS_A_TURN;
        for gathering in 0..=GATHERINGS {
            room = self.take_events(room);
            let is_old = || ticks_to_ns(ticks().wrapping_sub(start)) > GATHERING_NS;
            if room == 0
                || gathering == GATHERINGS
                || !self.ring.has_events()
                || self.port.has_input()
                || is_old()
            {
                break;
            }
            // Other cores do not wait for what they are to do.
            self.pass_on();
            self.ring.enter(0);
        }
        room == 0
    }

    /// Takes what happened, up to so many events. Returns how many more there is room for.
    fn take_events(&mut self, room: usize) -> usize {
        for number in 1..=room {
            let Some(event) = self.ring.next_event() else { return room + 1 - number };
            self.event(event);
            if number % EVENTS_BETWEEN_MESSAGES == 0 && self.port.has_input() {
                self.take_messages();
                self.pass_on();
            }
        }
        0
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Received { slot, buffer, len } => {
                self.core.received(slot, self.ring.bytes(buffer, len));
                self.ring.give(buffer);
            }
            Event::Sent { slot, bytes, idle } => {
                self.core.sent(slot, bytes);
                if idle {
                    self.send_next(slot);
                }
            }
            Event::Kept { slot } => self.send_next(slot),
            Event::Broken { slot, rest } => self.core.unsent(slot, rest),
            Event::Accepted { listener, fd } => self.accepted(listener, fd),
            Event::HungUp { slot } => self.core.hung_up(slot),
            Event::Closed { slot } => {
                self.keep_unsent();
                self.closing.retain(|&closing| closing != slot);
                self.core.released(slot);
            }
            Event::Idle { slot } => self.let_go(slot),
            Event::Woken => {}
            Event::Tick => self.core.tick(),
            Event::Alarm => self.core.alarm(),
            Event::Readable => {
                if let Some(signal) = super::process::stop_signal() {
                    self.core.stop(signal);
                }
            }
        }
    }

    fn keep_unsent(&mut self) {
        let buffers = std::mem::take(&mut self.ring.unsent);
        buffers.into_iter().for_each(|buffer| self.core.keep_buffer(buffer));
    }

    fn accepted(&mut self, listener: u32, fd: RawFd) {
        let path = self.listener_paths[listener as usize].as_deref();
        let fd: OwnedFd = crate::net::ring::own(fd);
        let peer = Peer::welcome(&fd, path, self.core.config().tcp_keepalive_s as u64);
        self.core.accepted(NewConnection {
            fd: std::os::fd::IntoRawFd::into_raw_fd(fd),
            addr: peer.addr,
            laddr: peer.laddr,
            unix_socket: path.is_some(),
            refusal: None,
        });
    }

    /// A socket goes to another core, unless its connection was closed meanwhile, which is about to be carried out.
    fn let_go(&mut self, slot: u32) {
        let Some(fd) = self.ring.fd_of(slot) else { return };
        if self.core.detached(slot, fd) {
            let _ = std::os::fd::IntoRawFd::into_raw_fd(self.ring.take(slot));
            self.keep_unsent();
        }
    }

    /// Takes messages in groups, so that the lines of one batch arrive while another is looked at.
    fn take_messages(&mut self) -> bool {
        for _ in 0..MESSAGES_A_TURN / MESSAGES_A_GROUP {
            let mut group = std::mem::take(&mut self.group);
            group.extend(
                std::iter::from_fn(|| self.port.receive()).map(|(_, message)| message).take(MESSAGES_A_GROUP),
            );
            let full = group.len() == MESSAGES_A_GROUP;
            if group.len() > 1 {
                for message in &group {
                    if let Message::Batch(batch) = message {
                        batch.prefetch_head();
                    }
                }
                for message in &group {
                    if let Message::Batch(batch) = message {
                        batch.prefetch();
                    }
                }
                self.core.prefetch_batches(&mut group);
            }
            group.drain(..).for_each(|message| self.core.message(message));
            self.group = group;
            if !full {
                return false;
            }
        }
        true
    }

    /// Does what the core asked for.
    fn act(&mut self) {
        if self.core.actions.abort {
            std::process::exit(1);
        }
        for (slot, fd) in std::mem::take(&mut self.core.actions.adopt) {
            self.ring.adopt(slot, crate::net::ring::own(fd));
        }
        let mut send = std::mem::take(&mut self.core.actions.send);
        for slot in send.drain(..) {
            self.send(slot);
        }
        self.core.actions.send = send;
        for slot in std::mem::take(&mut self.core.actions.detach) {
            self.ring.let_go(slot);
        }
        for (slot, pause) in std::mem::take(&mut self.core.actions.pause) {
            if self.ring.has(slot) {
                self.ring.pause(slot, pause);
            }
        }
        for (slot, flush) in std::mem::take(&mut self.core.actions.close) {
            if !self.ring.has(slot) {
                continue;
            }
            if flush && (!self.is_free(slot) || self.core.has_bound_output(slot)) {
                self.closing.push(slot);
            } else {
                self.ring.close(slot);
            }
        }
        self.act_rarely();
        self.pass_on();
    }

    /// Sends on what is for the storage thread and for other cores.
    fn pass_on(&mut self) {
        let storage = self.rings.len();
        for job in std::mem::take(&mut self.core.actions.jobs) {
            self.port.send(storage, Message::Job(Box::new(job)));
        }
        let mut mesh = std::mem::take(&mut self.core.actions.mesh);
        for (to, message) in mesh.drain(..) {
            self.port.send(to, message);
        }
        self.core.actions.mesh = mesh;
        self.port.flush();
        for sleeper in self.port.take_wakes() {
            match self.rings.get(sleeper) {
                Some(ring) => self.ring.wake(ring.load(Acquire)),
                None => self.bell.ring(),
            }
        }
    }

    /// What the core hardly ever asks for.
    fn act_rarely(&mut self) {
        if std::mem::take(&mut self.core.actions.listen) {
            self.listen();
        }
        if let Some(errand) = self.core.actions.errand.take() {
            self.courier.send(self.core.id, errand);
        }
        if let Some(result) = self.core.actions.loaded.take()
            && let Some(booted) = self.booted.take()
        {
            // Who waited may have given up.
            let _ = booted.send(result);
        }
        if std::mem::take(&mut self.core.actions.await_stop)
            && let Some(fd) = self.stop_fd
        {
            super::process::forget_stop(fd);
            self.ring.poll_readable(fd);
        }
    }

    /// A send is done: its buffer serves again, and what was said meanwhile follows.
    fn send_next(&mut self, slot: u32) {
        let buffer = self.ring.take_sent_buffer(slot);
        self.core.keep_buffer(buffer);
        self.send(slot);
    }

    /// Whether a socket can take output or be closed now. If not, an event will tell when it can.
    fn is_free(&mut self, slot: u32) -> bool {
        let free = self.ring.can_send(slot);
        self.output_waits |= !free && self.ring.is_promised(slot);
        free
    }

    /// Sends what a connection has to say, if its socket is free; closes it if that was its last word. A connection that waits for
    /// its batch may have lost its socket.
    fn send(&mut self, slot: u32) {
        if !self.ring.has(slot) || !self.is_free(slot) {
            return;
        }
        let mut buffer = Vec::new();
        self.core.take_output(slot, &mut buffer);
        let bytes = buffer.len();
        if bytes > 0 {
            if self.ring.send(slot, buffer) {
                // Counted as sent already: the core may sleep before it hears that this was so.
                self.core.sent(slot, bytes);
                self.output_waits |= self.closing.contains(&slot);
            }
        } else if self.closing.contains(&slot) && !self.core.has_bound_output(slot) {
            self.ring.close(slot);
        }
    }

    /// Replies that are on their way when the server stops still leave.
    fn last_words(&mut self) {
        let deadline = Instant::now() + LAST_WORDS;
        self.core.finish_log();
        self.core.release_replies();
        self.act();
        loop {
            let all_left = self.port.flush();
            self.ring.enter(0);
            while let Some(event) = self.ring.next_event() {
                if matches!(event, Event::Sent { .. } | Event::Kept { .. } | Event::Broken { .. }) {
                    self.event(event);
                }
            }
            if (all_left && !self.ring.is_sending()) || Instant::now() >= deadline {
                return;
            }
            std::thread::sleep(LAST_WORDS / 100);
        }
    }
}
