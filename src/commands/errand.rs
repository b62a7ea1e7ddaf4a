//! What a command has another server do before it goes on: something to say to it, and what was heard.
//! In: a command that asks. Out: the same command, run once more with the answer. Nothing else sees its keys in between:
//! their shards stay with it (see `server::asking`).
//! Absent: sockets (see `server::courier`).

/// Says `words` to a server, and waits for its replies, each of one line.
#[derive(Clone, Debug)]
pub struct Errand {
    pub host: Vec<u8>,
    /// As it was given: a word that is no number is no port.
    pub port: Vec<u8>,
    /// For each step by itself: connecting, a piece that is sent, a line that is heard.
    pub timeout_ms: u64,
    pub words: Vec<u8>,
    /// So many replies say nothing of what was done. Until another one is heard, it may be said again.
    pub preface: usize,
    pub replies: usize,
}

/// What failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failed {
    Connecting,
    Writing,
    Reading,
}

/// What became of an errand.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    /// Lines without their ends; all replies, unless it failed.
    pub lines: Vec<Vec<u8>>,
    pub failed: Option<Failed>,
}

/// A command that asks.
#[derive(Debug)]
pub struct Ask {
    pub errand: Errand,
    /// The keys that it is about, which the answer comes with.
    pub keys: Vec<Vec<u8>>,
}

/// What it hears when it runs again.
#[derive(Debug)]
pub struct Answered {
    pub keys: Vec<Vec<u8>>,
    pub heard: Heard,
    /// When it asked, in ticks.
    pub asked: u64,
}
