//! Commands of one connection that travel together, and what travels between cores.
//! In: parsed commands of a connection. Out: their replies, in order, back home.
//! Invariants: B1, a batch is owned by one core at a time; B2, its commands run in order, each once;
//! B3, the shards it holds are in ascending order of acquisition, so no two batches wait for each other.

use smallvec::SmallVec;

use crate::base::prefetch::{prefetch, prefetch_to_write};

use crate::client::{Connection, ConnectionId, Requests, Session, ShardSet, Watched};
use crate::commands::server::persistence::Shutdown;
use crate::commands::{Note, Signal};
use crate::resp::Span;
use crate::shard::{Report, Shard};
use crate::storage::{Done, Job};

/// Commands in one batch, at most.
pub const BATCH_COMMANDS_MAX: usize = 512;
/// Bytes of commands in one batch: no further command is added beyond.
pub const BATCH_BYTES_MAX: usize = 256 * 1024;
/// A batch with more replies than this comes home before it goes on.
pub const BATCH_REPLIES_MAX: usize = 1024 * 1024;

/// EXEC as its client wrote it: MONITOR shows it so.
pub type ExecWord = SmallVec<[u8; 16]>;

/// What the commands of a batch are to each other.
#[derive(Default)]
#[repr(u8)]
pub enum Kind {
    /// One after the other, each atomic by itself.
    #[default]
    Plain,
    /// EXEC: all at once, if the watched keys are unchanged.
    Transaction {
        watched: Vec<Watched>,
        shards: ShardSet,
        /// One of them reads or changes the connection: it runs at home.
        at_home: bool,
        word: ExecWord,
    },
    /// The rest of a transaction, from `next` on: one of its scripts was parked.
    Rest { shards: ShardSet, at_home: bool, word: ExecWord },
    /// No commands of its own: it fetches all shards to core `home`, whose convoy waits for them. Those in `keep` may stay there.
    Errand { home: usize, shards: ShardSet, keep: ShardSet },
    /// No commands: something that needs all shards on core `home`.
    Task { home: usize, shards: ShardSet, task: Task },
    /// One command that needs a report of every shard first; the next shard to visit.
    Report { report: Box<Report>, next: usize },
}

/// What follows from here in a batch's replies was answered when the latest message had this place.
#[derive(Clone, Copy, Debug)]
pub struct Stamp {
    pub at: usize,
    pub place: u64,
}

/// What a core does with all shards though no connection asked for it.
#[derive(Clone, Copy, Debug)]
pub enum Task {
    /// A save point says that it is time for a snapshot.
    SavePoint,
    /// A signal says that the server is to end.
    Stop(Shutdown),
    /// The log is to be switched on or off.
    Log,
}

/// Its fields are in the order of their use: a core that it visits touches the first four cache lines, and its home the rest.
#[derive(Default)]
#[repr(C, align(64))]
pub struct Batch {
    pub requests: Requests,
    /// The next command to run.
    pub next: usize,
    /// What its next commands look up was fetched with that of other batches.
    pub is_fetched: bool,
    pub replies: Vec<u8>,
    pub buf: Vec<u8>,
    pub connection: Option<ConnectionId>,
    pub session: Option<Session>,
    /// Shards that its next command needs besides its own, to serve the clients that wait for what it changes.
    pub extra: ShardSet,
    /// Shards borrowed for its next command.
    pub held: SmallVec<[Box<Shard>; 2]>,
    pub kind: Kind,
    /// For a client with subscriptions: which messages come before which replies.
    pub stamps: Vec<Stamp>,
    /// Replies that CLIENT REPLY does not silence: confirmations of subscriptions.
    pub confirmations: Vec<std::ops::Range<usize>>,
    pub notes: Vec<Note>,
    /// Its commands are read from a log, in this stream of the storage thread.
    pub replayed: u64,
}

/// The cache lines of a batch that every core needs which it visits.
const HOT_LINES: usize = 4;
const LINE_BYTES: usize = 64;
// What all variants of `Kind` have in common, which one it is, stands first.
const _: () = assert!(std::mem::offset_of!(Batch, kind) < HOT_LINES * LINE_BYTES);
const _: () =
    assert!(std::mem::offset_of!(Batch, connection) + size_of::<Option<ConnectionId>>() <= 2 * LINE_BYTES);

impl Batch {
    pub fn home(&self) -> ConnectionId {
        self.connection.expect("a batch belongs to a connection")
    }

    /// Fetches the lines that a visit begins with: they were written on another core.
    pub fn prefetch_head(&self) {
        let head = (&raw const *self).cast::<u8>();
        (0..HOT_LINES).for_each(|line| prefetch_to_write(head.wrapping_add(line * LINE_BYTES)));
    }

    /// Fetches what its next command is read from and answered into.
    pub fn prefetch(&self) {
        let Some(next) = self.requests.list.get(self.next) else { return };
        let line = LINE_BYTES / size_of::<Span>();
        prefetch(next);
        prefetch(&self.requests.spans[next.first_span as usize]);
        prefetch(self.requests.spans.as_ptr().wrapping_add(next.first_span as usize + line));
        prefetch(&self.buf[next.begin as usize]);
        prefetch(self.buf.as_ptr().wrapping_add(next.begin as usize + LINE_BYTES));
        prefetch_to_write(self.replies.as_ptr().wrapping_add(self.replies.len()));
    }

    /// The core where it ends.
    pub fn home_core(&self) -> usize {
        match self.kind {
            Kind::Errand { home, .. } | Kind::Task { home, .. } => home,
            _ => self.home().core as usize,
        }
    }

    /// Everything ran. A transaction that is empty does, too: its watched keys decide about the answer.
    pub fn is_done(&self) -> bool {
        !matches!(self.kind, Kind::Errand { .. } | Kind::Task { .. })
            && self.next >= self.requests.list.len()
            && !matches!(self.kind, Kind::Transaction { .. })
    }

    /// The shards that must be at hand for what runs next.
    pub fn needs(&self) -> ShardSet {
        match &self.kind {
            Kind::Plain => self.requests.list[self.next].shards.union(self.extra),
            Kind::Transaction { shards, .. } | Kind::Rest { shards, .. } | Kind::Errand { shards, .. } => {
                shards.union(self.extra)
            }
            Kind::Task { shards, .. } => *shards,
            Kind::Report { .. } => ShardSet::EMPTY,
        }
    }

    /// How often the commands of the batch change from one set of shards to another, plus one.
    pub fn runs(&self) -> usize {
        1 + self.requests.list.windows(2).filter(|pair| pair[0].shards != pair[1].shards).count()
    }

    pub fn runs_at_home(&self) -> bool {
        let at_home = |kind: &Kind| {
            matches!(kind, Kind::Transaction { at_home: true, .. } | Kind::Rest { at_home: true, .. })
        };
        at_home(&self.kind) || matches!(self.kind, Kind::Errand { .. } | Kind::Task { .. })
    }

    pub fn holds(&self) -> ShardSet {
        self.held.iter().fold(ShardSet::EMPTY, |set, shard| set.union(ShardSet::one(shard.id)))
    }

    /// Ready to be filled again; keeps modest buffers.
    pub fn clear(&mut self) {
        assert!(self.held.is_empty(), "B3: a batch gives its shards back before it ends");
        self.connection = None;
        self.session = None;
        self.requests.clear();
        self.next = 0;
        self.kind = Kind::Plain;
        self.extra = ShardSet::EMPTY;
        self.notes.clear();
        self.replayed = 0;
        self.is_fetched = false;
        self.stamps.clear();
        self.confirmations.clear();
        for buf in [&mut self.buf, &mut self.replies] {
            buf.clear();
            if buf.capacity() > BATCH_BYTES_MAX {
                *buf = Vec::new();
            }
        }
    }
}

/// A connection that was accepted and belongs to another core.
#[derive(Debug)]
pub struct NewConnection {
    /// The socket, as the driver knows it.
    pub fd: i32,
    pub addr: String,
    pub laddr: String,
    pub unix_socket: bool,
    /// Over `maxclients`, or refused by protected mode: send this and close.
    pub refusal: Option<&'static str>,
}

/// A connection that goes to live on another core.
pub struct Moved {
    /// The socket, as the driver knows it.
    pub fd: i32,
    pub connection: Box<Connection>,
}

/// What cores send each other.
pub enum Message {
    /// A batch on its way to a shard, or coming home.
    Batch(Box<Batch>),
    /// A shard that was lent comes home.
    Shard(Box<Shard>),
    Connection(Box<NewConnection>),
    /// A connection that lives on the receiver from now on.
    Moved(Box<Moved>),
    Signal(Box<Signal>),
    /// From a core to the storage thread, and back.
    Job(Box<Job>),
    Done(Box<Done>),
}
