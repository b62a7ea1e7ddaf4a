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
mod tests;

pub use bell::Bell;

use std::path::PathBuf;

use crate::persist::Parcel;

/// Names a stream: a file that is being written, read or appended to. Numbers grow, and are never used again.
pub type StreamId = u64;

/// What ends a file that is written as one stream.
pub trait Seal: Send {
    /// Sees all bytes in their order in the file.
    fn take_in(&mut self, bytes: &[u8]);
    /// The last bytes of the file.
    fn end(&mut self) -> Vec<u8>;
}

/// Makes parcels for cores of a file that is read.
pub trait Intake: Send {
    /// The file is so long.
    fn begin(&mut self, _bytes: u64) {}
    /// Takes the next portion; parcels that are full go to `out`, each with the core that it is for.
    fn feed(&mut self, portion: &[u8], out: &mut Vec<(usize, Parcel)>) -> Result<(), String>;
    /// There are no more portions. The error says what is missing, and where.
    fn end(&mut self, out: &mut Vec<(usize, Parcel)>) -> Result<(), String>;
}

/// A file to be written by several cores at once, each of which sends whole records.
pub struct Save {
    pub stream: StreamId,
    /// The core that is told how it ended.
    pub owner: usize,
    /// So many `Job::End` will come.
    pub producers: usize,
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

/// A file to be appended to.
pub struct Log {
    pub stream: StreamId,
    pub owner: usize,
    pub path: PathBuf,
    /// Where to begin: what is behind is cut off. None: at the end.
    pub from: Option<u64>,
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
    /// Bytes for a log. `sync`: they are to survive a power failure before the answer.
    Append {
        stream: StreamId,
        bytes: Vec<u8>,
        sync: bool,
    },
    /// The log takes no more: it is synced and closed.
    Close {
        stream: StreamId,
    },
    /// A small file to be put in the place of an old one.
    Replace {
        stream: StreamId,
        owner: usize,
        path: PathBuf,
        bytes: Vec<u8>,
    },
    /// A file to be removed, if it is there.
    Remove {
        stream: StreamId,
        owner: usize,
        path: PathBuf,
    },
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
    /// Part of it, for this core; say `Job::Taken`. So many bytes of the file were read by then.
    Parcel {
        stream: StreamId,
        parcel: Parcel,
        read: u64,
    },
    /// All of it was read, and all parcels were taken.
    Loaded {
        stream: StreamId,
        result: Result<u64, Failure>,
    },
    /// A log is so long now, and so much of it would survive a power failure.
    Appended {
        stream: StreamId,
        bytes: u64,
        durable: u64,
        result: Result<(), Failure>,
    },
    Replaced {
        stream: StreamId,
        result: Result<(), Failure>,
    },
    Removed {
        stream: StreamId,
        result: Result<(), Failure>,
    },
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
