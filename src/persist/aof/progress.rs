//! How far the log has come, for whoever waits for it and for INFO.
//! In: what the storage thread did. Out: the same, to every core.
//!
//! A core that waits says so (`waits`) and looks again before it sleeps; the storage thread tells it once it did something.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::*};

/// A core's part, on cache lines of its own.
#[repr(align(128))]
#[derive(Default)]
struct OfCore {
    /// Bytes of its chunks that were written, or dropped.
    written_bytes: AtomicU64,
    waits: AtomicBool,
}

pub struct Progress {
    /// All units with lower stamps are in a file; or would survive a power failure.
    written: AtomicU64,
    durable: AtomicU64,
    /// Bytes of all files of the log, and what they were when it was last begun or rewritten.
    pub bytes: AtomicU64,
    pub bytes_rewritten: AtomicU64,
    /// Bytes that are in order and could not be written yet.
    pub pending_bytes: AtomicU64,
    cores: Box<[OfCore]>,
}

impl Progress {
    pub fn new(cores: usize) -> Self {
        Self {
            written: AtomicU64::new(0),
            durable: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            bytes_rewritten: AtomicU64::new(0),
            pending_bytes: AtomicU64::new(0),
            cores: (0..cores).map(|_| OfCore::default()).collect(),
        }
    }

    /// The stamp of the first unit that is in no file yet.
    pub fn written(&self) -> u64 {
        self.written.load(SeqCst)
    }

    /// The stamp of the first unit that a power failure would take.
    pub fn durable(&self) -> u64 {
        self.durable.load(SeqCst)
    }

    pub fn set_written(&self, stamp: u64) {
        self.written.store(stamp, SeqCst);
    }

    pub fn set_durable(&self, stamp: u64) {
        self.durable.store(stamp, SeqCst);
    }

    pub fn written_bytes(&self, core: usize) -> u64 {
        self.cores[core].written_bytes.load(SeqCst)
    }

    pub fn set_written_bytes(&self, core: usize, bytes: u64) {
        self.cores[core].written_bytes.store(bytes, SeqCst);
    }

    /// This core wants to know when there is something new. It has to look once more afterwards.
    pub fn wait(&self, core: usize) {
        self.cores[core].waits.store(true, SeqCst);
    }

    /// Whether this core waits; it is told now.
    pub fn take_wait(&self, core: usize) -> bool {
        self.cores[core].waits.load(SeqCst) && self.cores[core].waits.swap(false, SeqCst)
    }
}
