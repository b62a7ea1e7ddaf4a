//! Several cores in one thread, with the sockets of their clients and the rings between them, all from one seed.
//! In: what clients write, and when they leave. Out: what they read.
//! The world does what the io_uring driver does, in any order that the real one could come to: each ring between two
//! cores has its own speed but keeps its order, input arrives split at any byte, output leaves in pieces, turns,
//! ticks and idle work come at any moment, time passes at random.
//! Invariant S1: everything random comes from the seed, so that a failure replays.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::*};

use super::disk::{FakeDisk, FakeStorage};
use crate::base::clock::Clock;
use crate::base::rng::Rng;
use crate::commands::errand::{Errand, Failed, Heard};
use crate::commands::{FAMILIES, Registry};
use crate::config::Config;
use crate::persist::aof::Merger;
use crate::server::batch::{Message, NewConnection};
use crate::server::core::Core;
use crate::server::inspect::Executed;
use crate::shard::Shard;
use crate::shared::{Facts, Shared};
use crate::storage::{Done, Job};

/// When every world begins, unix µs.
const START_US: u64 = 1_700_000_000_000_000;
/// Steps after which a world that is still busy is taken to go round in circles.
const STEPS_MAX: u64 = 2_000_000;

/// A client's number, and that of its socket.
pub type ClientNumber = usize;

/// Both ends of one client's connection, and what is on the way between them.
#[derive(Default)]
struct Socket {
    /// Core and slot, once adopted.
    place: Option<(usize, u32)>,
    client_id: u64,
    /// Written by the client, not yet received by the core.
    to_core: VecDeque<u8>,
    /// Handed over by the core, not yet sent; and how much of it left.
    in_flight: Vec<u8>,
    in_flight_sent: usize,
    /// Received by the client and not yet read.
    inbox: Vec<u8>,
    paused: bool,
    /// The client reads nothing, so that nothing can be sent.
    deaf: bool,
    /// The core lets it go once nothing is in flight.
    leaving: bool,
    /// The core wants it closed once its output has left.
    closing: bool,
    /// The server closed it.
    shut: bool,
    /// The slot was given back to the core.
    released: bool,
    /// The client is gone; whether the core was told.
    gone: bool,
    told: bool,
}

impl Socket {
    /// As the real driver has it: one send at a time, none on a socket that closes.
    fn can_send(&self) -> bool {
        self.in_flight.is_empty() && !self.shut
    }
}

/// Something that can happen next.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// The first message on the ring of this number arrives.
    Deliver(usize),
    Receive(ClientNumber),
    Sent(ClientNumber),
    HangUp(ClientNumber),
    Release(ClientNumber),
    LetGo(ClientNumber),
    /// The storage thread takes the next job of a core, or a core its next completion.
    Store(usize),
    Stored(usize),
    /// Another server answers a core.
    Answered(usize),
    EndTurn(usize),
    Tick(usize),
    IdleWork(usize),
    TimePasses,
}

/// Something that a world does wrong on purpose, to show that the checks see it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The first pair of an MSET is written before its lease is complete.
    TornMset,
    /// What a script is about to do is half done before its lease is complete.
    TornScript,
    /// Two commands of a batch change places.
    SwappedCommands,
    /// A command of a batch runs twice.
    DoubledCommand,
    /// A shard comes home without a key that it had.
    LostChange,
    /// A shard, or a batch, never arrives.
    LostShard,
    LostBatch,
}

pub struct World {
    pub seed: u64,
    pub rng: Rng,
    pub shared: Arc<Shared>,
    pub registry: Arc<Registry>,
    pub cores: Vec<Core>,
    clock_us: Arc<AtomicU64>,
    /// From core to core: `from * cores + to`.
    rings: Vec<VecDeque<Message>>,
    /// How likely each ring is to deliver next.
    speeds: Vec<u64>,
    pub storage: FakeStorage,
    /// Jobs of each core on their way, and completions for each.
    jobs: Vec<VecDeque<Job>>,
    done: Vec<VecDeque<Done>>,
    /// What other servers will answer each core.
    heard: Vec<Option<Heard>>,
    sockets: Vec<Socket>,
    /// Which client sits in which slot of which core.
    seats: HashMap<(usize, u32), ClientNumber>,
    /// Cores that had events since their last turn ended.
    in_turn: Vec<bool>,
    /// Time passes by itself, and ticks come unasked.
    pub restless: bool,
    pub fault: Option<Fault>,
    /// How often the fault came about.
    pub faults: usize,
    /// The most bytes that arrive at once.
    piece_max: usize,
    /// The longest time that passes at once, µs.
    pause_us_max: u64,
    /// How soon turns end.
    haste: u64,
    pub steps: u64,
    /// A core ended the server at once.
    pub aborted: bool,
    /// The log of all cores, as far as it is complete, if there is one (`keep_log`).
    pub log: Vec<u8>,
    merger: Merger,
    /// How often a client moved to another core.
    pub moves: usize,
    /// What ran, on whichever core, in the order in which it ran.
    pub trace: Vec<Executed>,
}

impl World {
    pub fn new(cores: usize, seed: u64) -> Self {
        Self::configured(cores, seed, Config::default())
    }

    pub fn configured(cores: usize, seed: u64, config: Config) -> Self {
        Self::over(cores, seed, config, FakeDisk::default())
    }

    /// A world with a disk that may have files.
    pub fn over(cores: usize, seed: u64, config: Config, disk: FakeDisk) -> Self {
        let mut rng = Rng::seeded(seed);
        let clock_us = Arc::new(AtomicU64::new(START_US));
        let registry = Arc::new(Registry::new(FAMILIES));
        let databases = config.databases as usize;
        let clock = Clock::Manual(clock_us.clone());
        let run_id = rng.run_id();
        let shared = Arc::new(Shared::new(clock, config, cores, registry.len(), run_id, Facts::default()));
        let hash_seed = rng.next_u64();
        let make_core = |id| {
            let shard = Box::new(Shard::new(id, databases, hash_seed));
            let mut core =
                Core::new(id, shared.clone(), registry.clone(), shard, Rng::seeded(seed ^ id as u64));
            core.lends_after([0, 0, 1, 8][seed as usize % 4]);
            core.moves_after([1, u64::MAX, 2, 7][seed as usize / 4 % 4]);
            core
        };
        let cores_made: Vec<Core> = (0..cores).map(make_core).collect();
        let speeds = (0..cores * cores).map(|_| 1 << (2 * rng.below(4))).collect();
        let pause_us_max = [100, 3_000, 40_000][rng.below(3) as usize];
        let haste = [1, 4, 16][rng.below(3) as usize];
        let piece_max = [1, 7, 64, 1024, 65536][rng.below(5) as usize];
        Self {
            seed,
            shared,
            registry,
            cores: cores_made,
            clock_us,
            rings: (0..cores * cores).map(|_| VecDeque::new()).collect(),
            speeds,
            storage: FakeStorage::new(disk),
            jobs: (0..cores).map(|_| VecDeque::new()).collect(),
            done: (0..cores).map(|_| VecDeque::new()).collect(),
            heard: vec![None; cores],
            sockets: Vec::new(),
            seats: HashMap::new(),
            in_turn: vec![false; cores],
            restless: false,
            fault: None,
            faults: 0,
            piece_max,
            pause_us_max,
            haste,
            steps: 0,
            aborted: false,
            log: Vec::new(),
            merger: Merger::new(cores, 0),
            moves: 0,
            trace: Vec::new(),
            rng,
        }
    }

    /// From now on there is a log.
    pub fn keep_log(&mut self) {
        self.shared.set_logged(true);
    }

    /// Core 0 begins the server's log, with what was found of it.
    pub fn start_log(&mut self, found: crate::server::replay::Found) {
        self.cores[0].start_log(found);
        self.in_turn[0] = true;
    }

    /// Runs the commands of a log.
    pub fn read_log(&mut self, log: &[u8]) {
        let client = self.connect();
        self.run_until_quiet();
        let (core, slot) = self.seat(client);
        self.cores[core].read_log(slot);
        self.write(client, log);
        self.run_until_quiet();
        let replies = String::from_utf8_lossy(self.inbox(client)).into_owned();
        assert!(!replies.starts_with('-') && !replies.contains("\n-"), "the log has errors: {replies}");
        self.disconnect(client);
    }

    pub fn set_now_ms(&mut self, now_ms: i64) {
        self.clock_us.store(now_ms as u64 * 1000, Relaxed);
    }

    /// What cores have for the log goes there.
    fn gather_log(&mut self) {
        for core in &mut self.cores {
            let chunk = std::mem::take(&mut core.log);
            self.merger.add(core.id, chunk);
        }
        self.merger.drain(&mut self.log);
    }

    // ---- what clients do ----

    /// A client connects; the core with the fewest clients will adopt it.
    pub fn connect(&mut self) -> ClientNumber {
        let number = self.sockets.len();
        self.sockets.push(Socket::default());
        let new = NewConnection {
            fd: number as i32,
            addr: format!("127.0.0.1:{}", 1024 + number),
            laddr: "127.0.0.1:6379".into(),
            unix_socket: false,
            refusal: None,
        };
        self.cores[0].accepted(new);
        self.in_turn[0] = true;
        number
    }

    pub fn write(&mut self, client: ClientNumber, bytes: &[u8]) {
        self.sockets[client].to_core.extend(bytes);
    }

    /// What the client received and did not read yet.
    pub fn inbox(&mut self, client: ClientNumber) -> &mut Vec<u8> {
        &mut self.sockets[client].inbox
    }

    /// The client goes away, and what is still on the way to the core is lost from a random byte on.
    pub fn disconnect(&mut self, client: ClientNumber) {
        let keep = self.rng.below(self.sockets[client].to_core.len() as u64 + 1) as usize;
        let socket = &mut self.sockets[client];
        socket.to_core.truncate(keep);
        socket.gone = true;
    }

    /// The client stops reading, or goes on.
    pub fn set_deaf(&mut self, client: ClientNumber, deaf: bool) {
        self.sockets[client].deaf = deaf;
    }

    /// Whether the server closed the client's connection.
    pub fn is_shut(&self, client: ClientNumber) -> bool {
        self.sockets[client].shut
    }

    /// How many clients there were.
    pub fn clients(&self) -> usize {
        self.sockets.len()
    }

    /// Whether CLIENT PAUSE holds anybody back.
    pub fn is_paused(&self) -> bool {
        self.cores.iter().any(Core::holds_back)
    }

    /// Every core does its periodic work.
    pub fn tick_all(&mut self) {
        for core in 0..self.cores.len() {
            self.happen(Event::Tick(core));
            self.happen(Event::IdleWork(core));
        }
    }

    /// Core and slot of the client, once it was adopted.
    pub fn place(&self, client: ClientNumber) -> Option<(usize, u32)> {
        self.sockets[client].place
    }

    /// The id that the server gave the client; 0 before it was adopted.
    pub fn client_id(&self, client: ClientNumber) -> u64 {
        self.sockets[client].client_id
    }

    pub fn now_ms(&self) -> i64 {
        (self.clock_us.load(Relaxed) / 1000) as i64
    }

    pub fn pass_ms(&mut self, ms: u64) {
        self.clock_us.fetch_add(ms * 1000, Relaxed);
        for core in 0..self.cores.len() {
            self.ring_alarm(core);
        }
        self.run_until_quiet();
    }

    /// What the driver's alarm does once its time has come.
    fn ring_alarm(&mut self, core: usize) {
        if self.cores[core].alarm_ms() == Some(1) {
            self.cores[core].alarm();
            self.in_turn[core] = true;
        }
    }

    // ---- what happens ----

    /// One random event. False: nothing is left to happen but time and idle work.
    pub fn step(&mut self) -> bool {
        self.steps += 1;
        assert!(self.steps < STEPS_MAX, "seed {}: the world goes round in circles", self.seed);
        let mut events = Vec::new();
        self.collect(&mut events);
        let busy = !events.is_empty();
        if self.restless {
            let core = self.rng.below(self.cores.len() as u64) as usize;
            events.extend([(1, Event::Tick(core)), (1, Event::IdleWork(core)), (1, Event::TimePasses)]);
        }
        let total: u64 = events.iter().map(|(weight, _)| weight).sum();
        if total == 0 {
            return self.bring_home();
        }
        let mut drawn = self.rng.below(total);
        let (_, event) = *events
            .iter()
            .find(|(weight, _)| {
                let hit = drawn < *weight;
                drawn = drawn.wrapping_sub(*weight);
                hit
            })
            .expect("a number below the total hits an event");
        self.happen(event);
        // An event happens on one core, so appending after each keeps the order of execution.
        self.cores.iter_mut().for_each(|core| self.trace.append(&mut core.trace));
        busy
    }

    /// Steps until nothing is left to happen.
    pub fn run_until_quiet(&mut self) {
        while !self.aborted && self.step() {}
    }

    /// The next tick would bring home a shard that is kept elsewhere. False: there is none.
    fn bring_home(&mut self) -> bool {
        let Some(core) = self.cores.iter_mut().position(Core::sends_for_shard) else { return false };
        self.in_turn[core] = true;
        true
    }

    /// Everything that could happen next, with its weight.
    fn collect(&self, events: &mut Vec<(u64, Event)>) {
        for (number, ring) in self.rings.iter().enumerate() {
            if !ring.is_empty() {
                events.push((self.speeds[number], Event::Deliver(number)));
            }
        }
        for (number, socket) in self.sockets.iter().enumerate() {
            if socket.place.is_none() || socket.released {
                continue;
            }
            if socket.shut {
                events.push((4, Event::Release(number)));
                continue;
            }
            if !socket.to_core.is_empty() && !socket.paused {
                events.push((8, Event::Receive(number)));
            } else if socket.gone && !socket.told {
                events.push((8, Event::HangUp(number)));
            }
            if socket.leaving && socket.in_flight.is_empty() {
                events.push((4, Event::LetGo(number)));
            }
            if !socket.in_flight.is_empty() && !socket.deaf {
                events.push((8, Event::Sent(number)));
            }
        }
        for core in 0..self.cores.len() {
            if !self.jobs[core].is_empty() {
                events.push((2, Event::Store(core)));
            }
            if !self.done[core].is_empty() {
                events.push((4, Event::Stored(core)));
            }
            if self.heard[core].is_some() {
                events.push((1, Event::Answered(core)));
            }
            if self.cores[core].may_walk() || self.cores[core].may_evict() {
                events.push((2, Event::IdleWork(core)));
            }
        }
        let turns = self.in_turn.iter().enumerate().filter(|(_, in_turn)| **in_turn);
        events.extend(turns.map(|(core, _)| (self.haste, Event::EndTurn(core))));
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Deliver(ring) => {
                let core = ring % self.cores.len();
                let message = self.rings[ring].pop_front().expect("only a ring with messages delivers");
                if let Some(message) = self.tamper(core, message) {
                    self.cores[core].message(message);
                    self.in_turn[core] = true;
                }
            }
            Event::Receive(client) => self.receive(client),
            Event::Sent(client) => self.sent(client),
            Event::HangUp(client) => {
                self.sockets[client].told = true;
                let (core, slot) = self.seat(client);
                self.cores[core].hung_up(slot);
                self.in_turn[core] = true;
            }
            Event::Release(client) => {
                let (core, slot) = self.seat(client);
                let socket = &mut self.sockets[client];
                socket.released = true;
                socket.in_flight.clear();
                self.seats.remove(&(core, slot));
                self.cores[core].released(slot);
                self.in_turn[core] = true;
            }
            Event::LetGo(client) => self.let_go(client),
            Event::Store(core) => {
                let job = self.jobs[core].pop_front().expect("only a core with jobs");
                for (to, done) in self.storage.job(core, job) {
                    self.done[to].push_back(done);
                }
            }
            Event::Stored(core) => {
                let done = self.done[core].pop_front().expect("only a core with completions");
                self.cores[core].message(Message::Done(Box::new(done)));
                self.in_turn[core] = true;
            }
            Event::Answered(core) => {
                let heard = self.heard[core].take().expect("only a core that is answered");
                self.cores[core].answered(heard);
                self.in_turn[core] = true;
            }
            Event::EndTurn(core) => self.end_turn(core),
            Event::Tick(core) => {
                self.cores[core].tick();
                self.in_turn[core] = true;
            }
            Event::IdleWork(core) => {
                self.cores[core].idle_work(&mut || false);
                self.in_turn[core] = true;
            }
            Event::TimePasses => {
                let us = self.rng.below(self.pause_us_max);
                self.clock_us.fetch_add(us, Relaxed);
                for core in 0..self.cores.len() {
                    self.ring_alarm(core);
                }
            }
        }
    }

    /// Does to a message what the world's fault demands, now and then.
    fn tamper(&mut self, core: usize, mut message: Message) -> Option<Message> {
        let Some(fault) = self.fault.filter(|_| self.rng.below(3) == 0) else { return Some(message) };
        let done = match (fault, &mut message) {
            (Fault::TornMset, Message::Batch(batch)) => {
                let others = self.cores.iter_mut().filter(|other| other.id != core);
                others.map(|other| other.tear_mset(batch)).fold(false, |done, torn| done | torn)
            }
            (Fault::TornScript, Message::Batch(batch)) => {
                let others = self.cores.iter_mut().filter(|other| other.id != core);
                others.map(|other| other.tear_script(batch)).fold(false, |done, torn| done | torn)
            }
            (Fault::SwappedCommands, Message::Batch(batch)) => batch.swap_commands(),
            (Fault::DoubledCommand, Message::Batch(batch)) => batch.double_command(),
            (Fault::LostChange, Message::Shard(shard)) => shard.lose_a_key(),
            (Fault::LostShard, Message::Shard(_)) | (Fault::LostBatch, Message::Batch(_)) => {
                self.faults += 1;
                return None;
            }
            _ => false,
        };
        self.faults += done as usize;
        Some(message)
    }

    fn seat(&self, client: ClientNumber) -> (usize, u32) {
        self.sockets[client].place.expect("it was adopted")
    }

    fn receive(&mut self, client: ClientNumber) {
        let (core, slot) = self.seat(client);
        let socket = &mut self.sockets[client];
        let most = socket.to_core.len().min(self.piece_max.max(socket.to_core.len() / 64));
        let count = if self.rng.below(4) == 0 { most } else { 1 + self.rng.below(most as u64) as usize };
        let bytes: Vec<u8> = socket.to_core.drain(..count).collect();
        self.cores[core].received(slot, &bytes);
        self.in_turn[core] = true;
    }

    /// A socket goes to another core, which will adopt it.
    fn let_go(&mut self, client: ClientNumber) {
        let (core, slot) = self.seat(client);
        self.sockets[client].leaving = false;
        if self.cores[core].detached(slot, client as i32) {
            self.moves += 1;
            self.seats.remove(&(core, slot));
            self.sockets[client].place = None;
            self.sockets[client].paused = false;
        }
        self.in_turn[core] = true;
    }

    /// A piece of what was handed over has left.
    fn sent(&mut self, client: ClientNumber) {
        let (core, slot) = self.seat(client);
        let socket = &mut self.sockets[client];
        let rest = &socket.in_flight[socket.in_flight_sent..];
        let count = match self.rng.below(2) {
            0 => rest.len(),
            _ => 1 + self.rng.below(rest.len() as u64) as usize,
        };
        if !socket.gone {
            socket.inbox.extend_from_slice(&rest[..count]);
        }
        socket.in_flight_sent += count;
        let idle = socket.in_flight_sent == socket.in_flight.len();
        self.cores[core].sent(slot, count);
        self.in_turn[core] = true;
        if idle {
            let socket = &mut self.sockets[client];
            socket.in_flight_sent = 0;
            let buffer = std::mem::take(&mut socket.in_flight);
            self.cores[core].keep_buffer(buffer);
            self.send(core, slot);
        }
    }

    /// Ends the turn of a core: it goes on with what became possible, and gets what it asks for.
    fn end_turn(&mut self, core: usize) {
        self.in_turn[core] = false;
        self.cores[core].finish_turn();
        let actions = std::mem::take(&mut self.cores[core].actions);
        self.aborted |= actions.abort;
        if self.aborted {
            return;
        }
        for (slot, fd) in actions.adopt {
            let client = fd as ClientNumber;
            self.sockets[client].place = Some((core, slot));
            self.sockets[client].client_id = self.cores[core].client_id(slot);
            let old = self.seats.insert((core, slot), client);
            assert!(old.is_none(), "seed {}: K2: slot {slot} of core {core} is taken", self.seed);
        }
        for slot in actions.send {
            self.send(core, slot);
        }
        for slot in actions.detach {
            if let Some(&client) = self.seats.get(&(core, slot)) {
                self.sockets[client].leaving = true;
            }
        }
        for (slot, pause) in actions.pause {
            if let Some(&client) = self.seats.get(&(core, slot)) {
                self.sockets[client].paused = pause;
            }
        }
        for (slot, flush) in actions.close {
            let Some(&client) = self.seats.get(&(core, slot)) else { continue };
            let socket = &mut self.sockets[client];
            if flush && !socket.can_send() {
                socket.closing = true;
            } else {
                socket.shut = true;
            }
        }
        self.jobs[core].extend(actions.jobs);
        if let Some(errand) = actions.errand {
            assert!(self.heard[core].is_none(), "seed {}: A1: one errand at a time", self.seed);
            self.heard[core] = Some(answer(&errand));
        }
        for (to, message) in actions.mesh {
            assert!(to != core, "seed {}: a core sends nothing to itself", self.seed);
            self.rings[core * self.cores.len() + to].push_back(message);
        }
    }

    /// Takes what a connection has to say, if its socket is free; closes it if that was its last word.
    fn send(&mut self, core: usize, slot: u32) {
        let Some(&client) = self.seats.get(&(core, slot)) else { return };
        let socket = &mut self.sockets[client];
        if !socket.can_send() {
            return;
        }
        self.cores[core].take_output(slot, &mut socket.in_flight);
        if socket.in_flight.is_empty() && socket.closing {
            socket.shut = true;
        }
    }

    // ---- what must hold ----

    /// What is wrong with a world in which nothing is left to happen.
    pub fn unfinished(&mut self) -> Option<String> {
        if let Some(ring) = self.rings.iter().position(|ring| !ring.is_empty()) {
            return Some(format!("ring {ring} still holds messages"));
        }
        self.gather_log();
        self.cores.iter_mut().find_map(|core| core.unfinished().map(|why| format!("core {}: {why}", core.id)))
    }
}

/// The other server of these worlds: a host named after what it does.
fn answer(errand: &Errand) -> Heard {
    let line = |text: &str| text.as_bytes().to_vec();
    let all = |reply| vec![line(reply); errand.replies];
    let preface = errand.preface;
    let (lines, failed) = match &*errand.host {
        b"takes" => (all("+OK"), None),
        b"full" => ([vec![line("+OK"); preface], all("-OOM no")[preface..].to_vec()].concat(), None),
        b"strange" => ([vec![line("-NOAUTH who")], all("+OK")[1..].to_vec()].concat(), None),
        b"dies" => (all("+OK")[..preface + 1].to_vec(), Some(Failed::Reading)),
        b"deaf" => (Vec::new(), Some(Failed::Writing)),
        _ => (Vec::new(), Some(Failed::Connecting)),
    };
    Heard { lines, failed }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::ConnectionId;
    use crate::commands::Signal;

    /// A client was killed a second time while its socket closed. The socket was released and its slot given to the
    /// next client before the turn ended, and so the second kill closed the wrong one, which the core never noticed.
    #[test]
    fn a_late_kill_misses_the_next_client() {
        let mut world = World::new(1, 1);
        let first = world.connect();
        world.end_turn(0);
        let (core, slot) = world.seat(first);
        world.cores[core].hung_up(slot);
        world.end_turn(0);
        assert!(world.is_shut(first));
        let id = ConnectionId { core: 0, slot, generation: 1 };
        world.cores[core].message(Message::Signal(Box::new(Signal::Kill(id))));
        world.happen(Event::Release(first));
        let second = world.connect();
        world.end_turn(0);
        assert_eq!(world.seat(second), (core, slot));
        assert!(!world.is_shut(second));
    }

    const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";

    /// A client on one of three cores, its slot there, and the GET of a key that is another core's.
    fn client_far_from_its_key() -> (World, usize, u32, Vec<u8>) {
        let mut world = World::new(3, 1);
        let client = world.connect();
        (0..3).for_each(|core| world.end_turn(core));
        let (core, slot) = world.seat(client);
        let slots = &world.cores[core].shared.slots;
        let key = (0..).map(|n| format!("key:{n}")).find(|key| slots.shard(key.as_bytes()) != core);
        let key = key.expect("most keys are");
        let get = format!("*2\r\n$3\r\nGET\r\n${}\r\n{key}\r\n", key.len());
        (world, core, slot, get.into_bytes())
    }

    /// A pipeline's replies leave together, but none waits for long: the batch may be somewhere where it takes long.
    #[test]
    fn replies_wait_for_a_batch_for_a_moment_only() {
        let (mut world, core, slot, get) = client_far_from_its_key();
        let core = &mut world.cores[core];
        core.received(slot, &[PING, &get].concat());
        core.finish_turn();
        let mut output = Vec::new();
        core.take_output(slot, &mut output);
        assert!(output.is_empty(), "it is to leave with what the batch brings");
        let ms = core.alarm_ms().expect("it is looked at again");
        world.clock_us.fetch_add(ms * 1000, Relaxed);
        core.finish_turn();
        assert!(core.actions.send.contains(&slot));
        core.take_output(slot, &mut output);
        assert_eq!(output, b"+PONG\r\n");
        assert_eq!(core.alarm_ms(), None);
    }

    /// What came behind the commands that a batch took away does not keep the replies to these.
    #[test]
    fn replies_do_not_wait_for_what_came_later() {
        let (mut world, core, slot, get) = client_far_from_its_key();
        let core = &mut world.cores[core];
        core.received(slot, &[PING, &get].concat());
        core.received(slot, &get);
        core.finish_turn();
        let mut output = Vec::new();
        core.take_output(slot, &mut output);
        assert_eq!(output, b"+PONG\r\n");
    }

    /// The same if they were ready before, and have yet to leave.
    #[test]
    fn replies_do_not_wait_for_the_next_read() {
        let (mut world, core, slot, get) = client_far_from_its_key();
        let core = &mut world.cores[core];
        core.received(slot, PING);
        core.received(slot, &get);
        core.finish_turn();
        let mut output = Vec::new();
        core.take_output(slot, &mut output);
        assert_eq!(output, b"+PONG\r\n");
    }
}
