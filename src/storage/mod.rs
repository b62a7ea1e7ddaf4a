//! Owns every file: one thread of its own, beside the cores, which no core ever waits for.
//! In: jobs with owned buffers, from any core. Out: completions for cores, and room for more.
//! Absent: what is in a file (see `persist`), when something is saved or loaded (see `server`).
//!
//! ```text
//! core 0 --ring--+            +-- mailbox --> save task --+
//! core 1 --ring--+--> hub ----+-- mailbox --> load task --+--> disk (glommio's io_uring)
//!                    (routes) +-- mailbox --> log task  --+
//! ```
//!
//! A job names the stream that it is for; the hub puts it into the mailbox of the stream's task, so that a slow fsync of one
//! file holds up no other. Rings keep the order of one core's jobs, and nothing else: a core's first chunk may come before
//! the job that opens its stream, and waits.
//!
//! 1. Memory is bounded: a core has at most so many bytes of chunks under way (`Done::Room` tells it when there is room
//!    again), and a loading file so many parcels.
//! 2. Every job is answered, also on a disk that fails. After its first failure a stream takes and drops what still comes.
//! 3. A file appears under its name whole or not at all: it is written beside, synced, renamed, and its directory synced.
//!
//! `hub`, `save`, `load` and `log` know nothing of threads and run over any `Disk`: over glommio in `executor`, over one that
//! fails when told to in tests.

mod bell;
pub mod disk;
pub mod executor;
pub mod hub;
mod load;
mod log;
mod mailbox;
mod save;
#[cfg(test)]
pub mod tests;

pub use bell::Bell;

use std::path::PathBuf;
use std::sync::Arc;

use crate::client::Requests;
use crate::persist::Parcel;
use crate::persist::aof::{BaseForm, Chunk, Manifest, Progress};

/// Names a stream: a file that is being written or read. Numbers grow, and are never used again.
pub type StreamId = u64;
/// The log has a number below all others.
const LOG: StreamId = 0;

/// What a core is given of a file that is being loaded.
#[derive(Debug)]
pub enum Cargo {
    Entries(Parcel),
    Commands(Box<Commands>),
}

/// Commands of a log, in their order.
#[derive(Debug, Default)]
pub struct Commands {
    pub db: u16,
    pub buf: Vec<u8>,
    pub requests: Requests,
    /// They touch what other cores have: all that comes before is to be done first, and nothing else meanwhile.
    pub alone: bool,
}

impl Cargo {
    fn is_alone(&self) -> bool {
        matches!(self, Cargo::Commands(commands) if commands.alone)
    }
}

/// What ends a file that is written as one stream.
pub trait Seal: Send {
    /// Sees all bytes in their order in the file.
    fn take_in(&mut self, bytes: &[u8]);
    /// The last bytes of the file.
    fn end(&mut self) -> Vec<u8>;
}

/// Makes cargo for cores of a file that is read.
pub trait Intake: Send {
    /// The file is so long.
    fn begin(&mut self, _bytes: u64) {}
    /// Takes the next portion; what is ready goes to `out`, each with the core that it is for.
    fn feed(&mut self, portion: &[u8], out: &mut Vec<(usize, Cargo)>) -> Result<(), Failure>;
    /// There are no more portions. The error says what is missing, and where; what is whole goes to `out` all the same.
    fn end(&mut self, out: &mut Vec<(usize, Cargo)>) -> Result<(), Failure>;
}

/// A file to be written by several cores at once, each of which sends whole records.
pub struct Save {
    pub stream: StreamId,
    /// The core that is told how it ended.
    pub owner: usize,
    /// So many `Job::End` will come.
    pub producers: usize,
    /// The directory of the file may have to be made first.
    pub makes_directory: bool,
    /// It is written here, and renamed at the end.
    pub temporary: PathBuf,
    pub target: PathBuf,
    pub head: Vec<u8>,
    pub seal: Box<dyn Seal>,
}

/// A file to be read.
pub struct Load {
    pub stream: StreamId,
    pub owner: usize,
    pub path: PathBuf,
    pub intake: Box<dyn Intake>,
}

/// The log of the server: there is one, from the start to the end, whether it is written or not.
pub struct Log {
    /// The core that hears of its files.
    pub owner: usize,
    /// What its files are called.
    pub name: String,
    pub manifest: Manifest,
    pub progress: Arc<Progress>,
    pub cores: usize,
}

/// What cores ask for.
pub enum Job {
    Save(Box<Save>),
    /// The next records of a core for a file that is being saved.
    Chunk {
        stream: StreamId,
        /// Of the save's producers, which one it is.
        producer: usize,
        bytes: Vec<u8>,
        /// Its last record goes on in the producer's next chunk, which nothing may come before.
        open: bool,
    },
    /// One of the producers has no more for it.
    End {
        stream: StreamId,
    },
    /// Nobody wants the file any more: it is removed, and its owner hears `Failure::Cancelled`.
    Cancel {
        stream: StreamId,
    },
    Load(Box<Load>),
    /// A parcel was taken in, or (false) could not be.
    Taken {
        stream: StreamId,
        sound: bool,
    },
    Log(Box<Log>),
    /// The next units of a core for the log. `sync`: they are to survive a power failure soon.
    Append {
        chunk: Box<Chunk>,
        sync: bool,
    },
    /// All units so far are to survive a power failure.
    Sync,
    /// The base that a mark announced with this number is in this file, or came to nothing.
    Rebase {
        stream: StreamId,
        base: Option<Box<Base>>,
    },
}

/// A new base of the log, under a temporary name in the directory of the log.
pub struct Base {
    pub path: PathBuf,
    pub form: BaseForm,
    pub bytes: u64,
    /// When its rewrite began, Unix seconds.
    pub began_s: i64,
}

/// What a core hears.
#[derive(Debug)]
pub enum Done {
    /// So many bytes of its chunks are written (or dropped); their buffer, to be filled again.
    Room {
        bytes: usize,
        buffer: Vec<u8>,
    },
    /// A file is saved: its length.
    Saved {
        stream: StreamId,
        result: Result<u64, Failure>,
    },
    /// The file to be loaded is open: its length.
    Loading {
        stream: StreamId,
        bytes: u64,
    },
    /// Part of it, for this core, which says `Job::Taken`. So many bytes of the file were read by then.
    Cargo {
        stream: StreamId,
        cargo: Cargo,
        read: u64,
    },
    /// All of it was read, and all parcels were taken.
    Loaded {
        stream: StreamId,
        result: Result<u64, Failure>,
    },
    /// What the core waited for may have come about (see `Progress`).
    Logged,
    Log(LogNews),
}

/// What the owner of the log hears.
#[derive(Debug)]
pub enum LogNews {
    Begun(Result<(), Failure>),
    /// A new increment was begun, or could not be.
    Turned(Result<(), Failure>),
    /// There is a new base, or it was removed: `Failure::Cancelled` if the log ended, or began anew, since it was announced.
    Rebased {
        stream: StreamId,
        began_s: i64,
        result: Result<(), Failure>,
    },
    /// Nothing can be written; what was handed over is kept, and tried again with every job.
    Fails(Failure),
    Recovered,
    /// A sync failed that clients wait for: the system may have dropped what was to be synced, and no later sync tells.
    Lost(Failure),
}

/// What failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    Open,
    Read,
    Write,
    Sync,
    Rename,
    Remove,
}

/// Why a job came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The system refused: its number of the error, if it has one, and its text.
    System {
        doing: Doing,
        code: Option<i32>,
        text: String,
    },
    /// The file is not what it should be.
    Content(String),
    /// The log ends within a command or a transaction; up to so many bytes it is whole.
    Cut {
        good: u64,
        text: String,
    },
    /// What stands in the log is no command; up to so many bytes it is whole.
    Corrupt {
        good: u64,
        text: String,
    },
    Cancelled,
}

impl Failure {
    fn system(doing: Doing) -> impl Fn(std::io::Error) -> Failure {
        move |error| Failure::System { doing, code: error.raw_os_error(), text: error.to_string() }
    }

    /// The system's own text for its error.
    pub fn io_error(&self) -> Option<std::io::Error> {
        match self {
            Failure::System { code: Some(code), .. } => Some(std::io::Error::from_raw_os_error(*code)),
            Failure::System { text, .. } => Some(std::io::Error::other(text.clone())),
            _ => None,
        }
    }
}
