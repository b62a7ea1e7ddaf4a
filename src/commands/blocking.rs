//! What commands that wait have in common: their time-out, and how they say that they found nothing.
//! Absent: the waiting itself (see `server::waiting`), what is popped (see the families).

use std::sync::Arc;
use std::sync::atomic::Ordering::Acquire;

use super::{Context, Error};
use crate::base::number::parse_f64;
use crate::client::{Nothing, Wait};
use crate::resp::Out;
use crate::shard::Type;
use crate::shard::waiting::Waiter;
use crate::shared::Shared;

/// What a command waits for.
#[derive(Clone, Copy)]
pub struct For<'a> {
    /// Keys of this type; a command that waits for time alone has no keys.
    pub kind: Type,
    /// The key that an element moves to.
    pub target: Option<&'a [u8]>,
    pub deadline_ms: Option<i64>,
    /// The reply when the time is up.
    pub nothing: Nothing,
    /// The command that is run again, where it is not the one that was sent: `$` is the last id of now.
    pub words: Option<&'a [Vec<u8>]>,
    /// It reads for a group of a stream.
    pub by_group: bool,
}

impl For<'_> {
    pub fn elements(kind: Type, deadline_ms: Option<i64>) -> Self {
        For { kind, target: None, deadline_ms, nothing: Nothing::NullArray, words: None, by_group: false }
    }
}

/// How a command waits; what `Context::wait` takes down and the core carries out.
pub struct Waiting {
    /// With the shard of each.
    pub keys: Vec<(usize, Box<[u8]>)>,
    pub kind: Type,
    pub by_group: bool,
    /// The shard that an element moves to.
    pub target: Option<usize>,
    pub deadline_ms: Option<i64>,
    pub nothing: Nothing,
    pub words: Option<Vec<Vec<u8>>>,
}

/// The time-out of a command in seconds, as unix ms when it ends; None: never.
pub fn deadline_s(cx: &Context, text: &[u8]) -> Result<Option<i64>, Error> {
    let seconds = parse_f64(text).ok_or(Error::new("ERR timeout is not a float or out of range"))?;
    let ms = seconds * 1000.0;
    if ms.is_nan() || ms > i64::MAX as f64 {
        return Err(Error::new("ERR timeout is out of range"));
    }
    deadline_ms(cx, ms.ceil() as i64)
}

/// The same for a time-out in milliseconds.
pub fn deadline_ms(cx: &Context, ms: i64) -> Result<Option<i64>, Error> {
    match ms {
        ..0 => Err(Error::new("ERR timeout is negative")),
        0 => Ok(None),
        // The clock may be at the end of its millisecond: no wait ends early.
        _ => match ms.checked_add(cx.now_ms() + 1) {
            Some(at_ms) => Ok(Some(at_ms)),
            None => Err(Error::new("ERR timeout is out of range")),
        },
    }
}

/// Whether there is a log, and all units below `stamp` are durable; and so is what they build on, if there are any.
pub fn is_durable(shared: &Shared, stamp: u64) -> bool {
    let log = &shared.persistence.log;
    let founded = || stamp == 0 || !log.waits_for_base.load(Acquire);
    shared.is_logged() && log.progress.durable() >= stamp && founded()
}

/// The reply of WAITAOF: whether what was waited for is durable here, and on how many replicas.
pub fn write_durable(out: &mut Out, durable: bool) {
    out.array(2);
    out.integer(durable as i64);
    out.integer(0);
}

#[cfg(test)]
mod tests;

impl Context<'_> {
    /// Whether a command that pops from keys of this type passes a key over: when it waited and is run again, not all of
    /// its shards are at hand, and a key that another type has taken meanwhile counts as little as one that is not there.
    /// (Redis 7.0 looks at nothing but the key that changed; later ones answer WRONGTYPE for a key before it.)
    pub fn passes_over(&mut self, key: &[u8], kind: Type) -> bool {
        if !self.session.serving {
            return false;
        }
        !self.is_at_hand(key) || self.peek(key).is_some_and(|entry| entry.kind() != kind)
    }

    /// Whether a key may be looked at: when a waiting command is run again, only some of its shards are at hand.
    pub fn is_at_hand(&self, key: &[u8]) -> bool {
        self.keyspace.shards[self.shard_number(key)].is_some()
    }

    /// The command found nothing in `keys`: it waits for them to change, unless it is part of a transaction or a script.
    pub fn wait<'k>(&mut self, keys: impl Iterator<Item = &'k [u8]>, what: For) {
        let For { kind, target, deadline_ms, nothing, words, by_group } = what;
        if self.session.atomic {
            return match nothing {
                Nothing::Null => self.out.null(),
                Nothing::NullArray => self.out.null_array(),
                Nothing::Integer(value) => self.out.integer(value),
                Nothing::Durable { stamp, .. } => {
                    write_durable(&mut self.out, is_durable(self.shared, stamp))
                }
            };
        }
        let mut known: Vec<(usize, Box<[u8]>)> = Vec::new();
        if !self.session.serving {
            for key in keys {
                if known.iter().all(|(_, seen)| **seen != *key) {
                    known.push((self.shard_number(key), key.into()));
                }
            }
        }
        let target = target.map(|key| self.shard_number(key));
        self.waiting = Some(Box::new(Waiting {
            keys: known,
            kind,
            by_group,
            target,
            deadline_ms,
            nothing,
            words: words.map(<[_]>::to_vec),
        }));
    }

    /// Registers a wait with the shards of its keys, which are at hand.
    pub fn register(&mut self, wait: &Arc<Wait>, kind: Type, by_group: bool, target: Option<usize>) {
        let db = self.session.db;
        for (number, key) in &wait.keys {
            let shard = self.keyspace.shards[*number].as_deref_mut().expect("C1: its shards are at hand");
            let target = target.filter(|target| target != number);
            shard.waiting.add(db, key, Waiter { wait: wait.clone(), kind, by_group, target });
        }
    }

    /// Who waits for `key` is to look again, although the key itself did not change.
    pub fn rouse(&mut self, key: &[u8]) {
        let db = self.session.db;
        self.shard(key).waiting.changed(db, key);
    }
}
