//! The protocol state of a client: its connection at home, its card for everybody, the copy that travels.
//! Absent: sockets (`net`), the rules of what may run when (`server::dispatch`).

pub mod args;
pub mod card;
pub mod tracking;
pub mod wait;

use std::collections::VecDeque;
use std::sync::Arc;

pub use args::{Args, CORES_MAX, Request, Requests, ShardSet};
pub use card::{Card, Clients, ConnectionId, flag};
pub use tracking::Tracking;
pub use wait::{Answer, Nothing, Wait};

use crate::resp::Parser;

/// What a command needs to know of its client; it travels with a batch as a small copy.
#[derive(Clone, Copy, Debug)]
pub struct Session {
    pub id: u64,
    pub db: u16,
    pub resp3: bool,
    /// CLIENT NO-TOUCH: reads do not refresh the access clock.
    pub no_touch: bool,
    /// It is subscribed to something.
    pub subscribed: bool,
    /// How the keys that it reads are tracked.
    pub tracking: Tracking,
    /// A command of a transaction or a script: it may not block, and it sees one clock.
    pub atomic: bool,
    /// Nothing expires by itself for its commands: they come from a log, which says what expired.
    pub timeless: bool,
    /// A command that waited is run again since a key changed: not all of its shards are at hand.
    pub serving: bool,
    /// A command that a script calls.
    pub in_script: bool,
    /// What it wrote has lower stamps in the log.
    pub wrote: u64,
}

/// How replies of a connection are treated (CLIENT REPLY).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ReplyMode {
    #[default]
    On,
    Off,
    /// The next command is not answered.
    SkipNext,
    /// This command is not answered.
    Skip,
}

/// What a connection is waiting for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum State {
    /// Runs commands as they arrive.
    #[default]
    Ready,
    /// Its batch travels; input is only buffered.
    Away,
    /// It is on its way to another core; input is only buffered.
    Moving,
    /// CLIENT PAUSE holds its next command back.
    Paused,
    /// Its last command waits for a key or for time.
    Blocked,
    /// It sent what is no request while its replies were off: nothing that it sends is looked at any more.
    Deaf,
    /// A protocol error, QUIT or a kill: input is ignored, what was written is still sent.
    Closing,
}

/// Bytes received and not yet run. Consuming from the front moves nothing until half of the buffer is used up.
#[derive(Default)]
pub struct Input {
    bytes: Vec<u8>,
    used: usize,
}

impl Input {
    pub fn len(&self) -> usize {
        self.bytes.len() - self.used
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// The buffer itself.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    pub fn unread(&self) -> &[u8] {
        &self.bytes[self.used..]
    }

    pub fn extend(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Forgets the first `count` unread bytes; an empty buffer keeps at most `keep_max` bytes of memory.
    pub fn consume(&mut self, count: usize, keep_max: usize) {
        self.used += count;
        if self.is_empty() {
            self.used = 0;
            self.bytes.clear();
            if self.bytes.capacity() > keep_max {
                self.bytes = Vec::new();
            }
        } else if self.used > self.bytes.len() / 2 {
            self.bytes.drain(..self.used);
            self.used = 0;
        }
    }
}

/// A key under WATCH: EXEC fails if it was changed since.
#[derive(Clone, Debug)]
pub struct Watched {
    pub shard: usize,
    pub db: u16,
    pub key: Box<[u8]>,
    /// When WATCH looked, in its shard's count of changes.
    pub stamp: u64,
    /// The key's time had come (but it was not yet deleted) when WATCH looked: deleting it is no change.
    pub overdue: bool,
}

/// Commands queued between MULTI and EXEC, in a buffer of their own.
#[derive(Default)]
pub struct Transaction {
    pub buf: Vec<u8>,
    pub requests: Requests,
    /// A command was refused while queueing: EXEC answers EXECABORT.
    pub aborted: bool,
}

/// Published messages that wait until it is known which replies come before them.
#[derive(Default)]
pub struct Pending {
    pub bytes: Vec<u8>,
    /// The place of each message in the order of all, and where it ends in `bytes`.
    pub ends: Vec<(u64, usize)>,
}

impl Pending {
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
}

/// What a connection's commands were like lately, and where it would be better off.
#[derive(Default)]
pub struct Habits {
    /// Commands that needed all shards since `counted_from`, which is in commands of the connection.
    pub wide: u64,
    pub counted_from: u64,
    /// It came from another core to be where others are that need all shards.
    pub is_guest: bool,
    pub moves_to: Option<usize>,
}

/// One client on its home core.
pub struct Connection {
    pub id: ConnectionId,
    pub card: Arc<Card>,
    pub session: Session,
    pub state: State,
    /// Received and not yet run.
    pub input: Input,
    pub parser: Parser,
    /// Answered and not yet handed to the driver.
    pub output: Vec<u8>,
    pub reply_mode: ReplyMode,
    pub authenticated: bool,
    pub transaction: Option<Box<Transaction>>,
    pub watched: Vec<Watched>,
    /// What its last command waits for.
    pub wait: Option<Arc<Wait>>,
    /// The driver was asked to stop receiving until input or output shrinks.
    pub receive_paused: bool,
    /// It is in the core's list of connections with something to send.
    pub dirty: bool,
    /// Its output waits for the replies of the batch that is away.
    pub held: bool,
    /// Output does not wait for the batch that is away: more was received meanwhile, or the batch takes long.
    pub impatient: bool,
    /// The peer says no more: it ends once what it said is done.
    pub ended: bool,
    /// Output that waits for the log: so many bytes until all units below this stamp are durable, then so many more.
    pub bound: VecDeque<(usize, u64)>,
    /// Bytes of all of that.
    pub bound_bytes: usize,
    /// Bytes handed to the driver and not yet sent.
    pub unsent: usize,
    /// It reads its replies so slowly that its commands wait.
    pub clogged: bool,
    /// It was closed while its batch was away: the slot waits for the batch.
    pub awaited: bool,
    /// QUIT, or a kill of oneself: the connection ends once what was written is sent.
    pub leaving: bool,
    /// Messages that came while its batch is away.
    pub pending: Pending,
    /// Memory that was counted for it.
    pub counted_bytes: u64,
    /// It is in the core's list of those that owe more than a little output.
    pub owes: bool,
    /// When output passed the soft limit of its class, unix ms.
    pub over_soft_limit_since_ms: Option<i64>,
    /// What says whether it lives on the right core.
    pub habits: Habits,
}

impl Connection {
    pub fn new(card: Arc<Card>, authenticated: bool) -> Self {
        Self {
            id: card.connection(),
            session: Session {
                id: card.id,
                db: 0,
                resp3: false,
                no_touch: false,
                subscribed: false,
                tracking: Tracking::OFF,
                atomic: false,
                timeless: false,
                serving: false,
                in_script: false,
                wrote: 0,
            },
            card,
            state: State::Ready,
            input: Input::default(),
            parser: Parser::default(),
            output: Vec::new(),
            reply_mode: ReplyMode::On,
            authenticated,
            transaction: None,
            watched: Vec::new(),
            wait: None,
            receive_paused: false,
            dirty: false,
            held: false,
            impatient: false,
            ended: false,
            bound: VecDeque::new(),
            bound_bytes: 0,
            unsent: 0,
            clogged: false,
            awaited: false,
            leaving: false,
            pending: Pending::default(),
            counted_bytes: 0,
            owes: false,
            over_soft_limit_since_ms: None,
            habits: Habits::default(),
        }
    }

    /// The connection ends once the reply of the running command is sent.
    pub fn close_after_reply(&mut self) {
        self.leaving = true;
        self.card.set_flag(flag::CLOSE_AFTER_REPLY, true);
    }
}
