//! What the whole server may know of one client: CLIENT LIST and CLIENT KILL read it from any core.
//! In: single-writer updates by the client's home core. Out: snapshots for any core.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed, Ordering::Release};
use std::sync::{Arc, Mutex, MutexGuard};

use super::Wait;
use crate::metrics::Counter;

/// Where a connection lives: its home core, and its slot there with the slot's generation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ConnectionId {
    pub core: u16,
    pub slot: u32,
    pub generation: u32,
}

impl ConnectionId {
    /// Not above any other.
    pub const FIRST: Self = Self { core: 0, slot: 0, generation: 0 };
}

/// Text about a client that changes seldom.
#[derive(Default, Clone, Debug)]
pub struct Names {
    pub name: Vec<u8>,
    pub library_name: Vec<u8>,
    pub library_version: Vec<u8>,
    pub user: String,
}

/// Flags of a client as CLIENT LIST shows them; bits of `Card::flags`.
pub mod flag {
    pub const MULTI: u64 = 1 << 0;
    pub const DIRTY_WATCH: u64 = 1 << 1;
    pub const MONITOR: u64 = 1 << 2;
    pub const NO_EVICT: u64 = 1 << 3;
    pub const NO_TOUCH: u64 = 1 << 4;
    pub const UNIX_SOCKET: u64 = 1 << 5;
    pub const CLOSE_AFTER_REPLY: u64 = 1 << 6;
    pub const CLOSE_SOON: u64 = 1 << 7;
    pub const PUBSUB: u64 = 1 << 8;
    pub const BLOCKED: u64 = 1 << 9;
    pub const TRACKING: u64 = 1 << 10;
    pub const BCAST: u64 = 1 << 11;
}

/// What a subscription takes, about.
const SUBSCRIPTION_BYTES: u64 = 64;

/// One client, seen from outside. All counters are written by its home core only.
#[derive(Debug)]
pub struct Card {
    pub id: u64,
    /// Where it lives now.
    seat: Mutex<ConnectionId>,
    pub fd: i32,
    pub addr: String,
    pub laddr: String,
    pub created_ms: i64,
    pub names: Mutex<Names>,
    /// Set by CLIENT KILL on any core, or by the home core that closes it: nothing more runs for this client.
    pub killed: AtomicBool,
    pub last_ms: AtomicI64,
    pub flags: AtomicU64,
    /// What its last command waits for.
    pub wait: Mutex<Option<Arc<Wait>>>,
    /// The client that its invalidations go to; 0: itself, -1: it has no tracking.
    pub redirect: AtomicI64,
    /// That client was gone when there was something to tell. Written under the lock of the exchange, from any core.
    pub redirect_broken: AtomicBool,
    pub db: Counter,
    pub resp: Counter,
    /// Commands queued by MULTI, plus one; 0 outside MULTI.
    pub multi: Counter,
    pub multi_bytes: Counter,
    pub watched: Counter,
    /// Subscriptions to channels, patterns and shard channels.
    pub channels: Counter,
    pub patterns: Counter,
    pub shard_channels: Counter,
    /// Row of the last command, plus one; 0 before the first.
    pub last_command: Counter,
    pub input_bytes: Counter,
    pub input_capacity: Counter,
    /// Replies that are not sent yet.
    pub output_bytes: Counter,
    /// The part of them that the driver was not handed.
    pub reply_bytes: Counter,
    /// What the buffer of these can hold.
    pub reply_capacity: Counter,
    /// The most that was in it since then, in unix ms.
    peak_bytes: Counter,
    peak_since_ms: AtomicI64,
    pub net_in: Counter,
    pub net_out: Counter,
    pub commands: Counter,
}

impl Card {
    pub fn new(id: u64, connection: ConnectionId, fd: i32, addr: String, laddr: String, now_ms: i64) -> Self {
        let zero = Counter::default;
        Self {
            id,
            seat: Mutex::new(connection),
            fd,
            addr,
            laddr,
            created_ms: now_ms,
            names: Mutex::new(Names { user: "default".into(), ..Names::default() }),
            killed: AtomicBool::new(false),
            last_ms: AtomicI64::new(now_ms),
            flags: AtomicU64::new(0),
            wait: Mutex::new(None),
            redirect: AtomicI64::new(-1),
            redirect_broken: AtomicBool::new(false),
            db: zero(),
            resp: zero(),
            multi: zero(),
            multi_bytes: zero(),
            watched: zero(),
            channels: zero(),
            patterns: zero(),
            shard_channels: zero(),
            last_command: zero(),
            input_bytes: zero(),
            input_capacity: zero(),
            output_bytes: zero(),
            reply_bytes: zero(),
            reply_capacity: zero(),
            peak_bytes: zero(),
            peak_since_ms: AtomicI64::new(now_ms),
            net_in: zero(),
            net_out: zero(),
            commands: zero(),
        }
    }

    /// Where the client lives. While it moves, this is still the place that it left.
    pub fn connection(&self) -> ConnectionId {
        *self.seat.lock().expect("nobody panics holding a seat")
    }

    /// The client lives elsewhere from now on. Who moved it looks at `killed` then: whoever kills it says so there first, and
    /// asks where it lives afterwards.
    pub fn move_to(&self, to: ConnectionId) {
        *self.seat.lock().expect("nobody panics holding a seat") = to;
    }

    /// Counts the replies that wait in the buffer now. A peak that is older than `reset_ms` is forgotten.
    pub fn note_reply_bytes(&self, bytes: u64, now_ms: i64, reset_ms: i64) {
        self.peak_bytes.set(self.reply_peak(now_ms, reset_ms).max(bytes));
        self.reply_bytes.set(bytes);
        if self.is_peak_old(now_ms, reset_ms) {
            self.peak_since_ms.store(now_ms, Relaxed);
        }
    }

    /// The most that was in the buffer of replies, in the last `reset_ms` or so, or ever if that is negative.
    pub fn reply_peak(&self, now_ms: i64, reset_ms: i64) -> u64 {
        if self.is_peak_old(now_ms, reset_ms) { self.reply_bytes.get() } else { self.peak_bytes.get() }
    }

    fn is_peak_old(&self, now_ms: i64, reset_ms: i64) -> bool {
        reset_ms >= 0 && now_ms - self.peak_since_ms.load(Relaxed) > reset_ms
    }

    /// Memory that the client takes.
    pub fn memory_bytes(&self) -> u64 {
        (size_of::<super::Connection>() + size_of::<Card>()) as u64
            + self.input_capacity.get()
            + self.output_bytes.get()
            + self.multi_bytes.get()
            + self.watched.get() * size_of::<super::Watched>() as u64
            + (self.channels.get() + self.patterns.get() + self.shard_channels.get()) * SUBSCRIPTION_BYTES
    }

    pub fn names(&self) -> MutexGuard<'_, Names> {
        self.names.lock().expect("nobody panics holding a name")
    }

    /// The client is gone, or as good as gone: nothing is served to it from now on. A core on which it begins to wait says
    /// so here first, and looks at `killed` then.
    pub fn leave(&self) {
        self.killed.store(true, Release);
        let wait = self.wait.lock().expect("nobody panics holding a wait").clone();
        wait.inspect(|wait| wait.abandon());
    }

    /// Sets or clears a flag. Only the home core writes flags.
    pub fn set_flag(&self, bit: u64, on: bool) {
        match on {
            true => self.flags.fetch_or(bit, Relaxed),
            false => self.flags.fetch_and(!bit, Relaxed),
        };
    }

    pub fn has(&self, bit: u64) -> bool {
        self.flags.load(Relaxed) & bit != 0
    }
}

/// Every client of the server by id, in the order they came.
#[derive(Default)]
pub struct Clients {
    cards: Mutex<BTreeMap<u64, Arc<Card>>>,
}

impl Clients {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Card>>> {
        self.cards.lock().expect("nobody panics holding the client list")
    }

    pub fn add(&self, card: Arc<Card>) {
        self.lock().insert(card.id, card);
    }

    pub fn remove(&self, id: u64) {
        self.lock().remove(&id);
    }

    pub fn get(&self, id: u64) -> Option<Arc<Card>> {
        self.lock().get(&id).cloned()
    }

    pub fn len(&self) -> usize {
        self.lock().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All cards at one moment, oldest client first.
    pub fn all(&self) -> Vec<Arc<Card>> {
        self.lock().values().cloned().collect()
    }
}
