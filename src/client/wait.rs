//! A client that waits for a key or for time to pass: BLPOP, XREAD BLOCK, WAIT …
//! In: the command that found nothing, kept to be run again. Out: who may answer it, exactly once.
//! Invariant T1: only who claimed a wait answers it; a claim that came to nothing is given back at once.

use std::borrow::Cow;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::*};

use super::{Args, ConnectionId, Request, Session};
use crate::resp::Span;

/// Nobody has answered.
const OPEN: u8 = 0;
/// Somebody is trying to.
const BUSY: u8 = 1;
/// It is answered, or will never be.
const OVER: u8 = 2;

/// The reply when the time is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nothing {
    Null,
    NullArray,
    Integer(i64),
    /// Whether all units below this stamp are durable here, and on how many replicas. `local`: the former is waited for,
    /// `here`: and nothing else.
    Durable {
        stamp: u64,
        local: bool,
        here: bool,
    },
}

/// How a wait ends.
#[derive(Clone, Debug)]
pub enum Answer {
    /// With this reply.
    Reply(Vec<u8>),
    TimeOut,
    /// With this error.
    Error(Cow<'static, [u8]>),
}

#[derive(Debug)]
pub struct Wait {
    pub to: ConnectionId,
    pub session: Session,
    pub request: Request,
    bytes: Vec<u8>,
    spans: Vec<Span>,
    /// Where it is registered: the shard of each key, and the key in the session's database.
    pub keys: Vec<(usize, Box<[u8]>)>,
    /// Unix ms; None: for ever.
    pub deadline_ms: Option<i64>,
    pub nothing: Nothing,
    state: AtomicU8,
    /// The latest message when it was answered: the answer stands behind it, and before the next.
    place: AtomicU64,
}

impl Wait {
    pub fn new(
        to: ConnectionId,
        session: Session,
        request: Request,
        words: &[&[u8]],
        keys: Vec<(usize, Box<[u8]>)>,
        deadline_ms: Option<i64>,
        nothing: Nothing,
    ) -> Self {
        let mut bytes = Vec::new();
        let mut spans = Vec::with_capacity(words.len());
        for arg in words {
            spans.push(Span { start: bytes.len() as u32, len: arg.len() as u32 });
            bytes.extend_from_slice(arg);
        }
        Self {
            to,
            session,
            request,
            bytes,
            spans,
            keys,
            deadline_ms,
            nothing,
            state: AtomicU8::new(OPEN),
            place: AtomicU64::new(u64::MAX),
        }
    }

    pub fn args(&self) -> Args<'_> {
        Args::new(&self.bytes, &self.spans)
    }

    /// Heap bytes of the command.
    pub fn bytes_allocated(&self) -> usize {
        self.bytes.capacity() + self.spans.capacity() * size_of::<Span>()
    }

    /// Tries to be the one who answers: None if it is answered already, and Some(false) if somebody is trying just now.
    pub fn claim(&self) -> Option<bool> {
        match self.state.compare_exchange(OPEN, BUSY, AcqRel, Acquire) {
            Ok(_) => Some(true),
            Err(BUSY) => Some(false),
            Err(_) => None,
        }
    }

    /// The same, but looks on while somebody else is trying: that takes as long as the command does.
    pub fn claim_patiently(&self) -> bool {
        loop {
            match self.claim() {
                Some(false) => std::hint::spin_loop(),
                Some(true) => return true,
                None => return false,
            }
        }
    }

    /// Nobody is to answer it any more.
    pub fn abandon(&self) {
        if self.claim_patiently() {
            self.finish();
        }
    }

    /// Who claimed it has answered.
    pub fn finish(&self) {
        debug_assert_eq!(self.state.load(Relaxed), BUSY, "T1: who finishes has claimed");
        self.state.store(OVER, Release);
    }

    /// The same, where the client may listen to messages.
    pub fn finish_at(&self, place: u64) {
        self.place.store(place, Relaxed);
        self.finish();
    }

    pub fn place(&self) -> u64 {
        self.place.load(Relaxed)
    }

    /// Who claimed it has no answer after all.
    pub fn give_back(&self) {
        debug_assert_eq!(self.state.load(Relaxed), BUSY, "T1: who gives back has claimed");
        self.state.store(OPEN, Release);
    }

    pub fn is_over(&self) -> bool {
        self.state.load(Acquire) == OVER
    }
}
