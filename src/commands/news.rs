//! Tells of what commands did: invalidations to clients that cache, events to those who listen to the keyspace.
//! In: changes that the shards noted, events. Out: messages in the boxes, each with its place among all others.
//! Called right behind each command, also behind one that a script called, so that what the next publishes comes later. For
//! one command, invalidations come before its events, but for a key that expired, as in Redis.
//! Absent: which keys are remembered for whom (`shard::tracking`), who is told in which form (`pubsub::Invalidations`).

use std::collections::BTreeMap;

use super::{Effects, Event, Signal};
use crate::client::ConnectionId;
use crate::config::Events;
use crate::pubsub::{Invalidations, Kind};
use crate::shard::Shard;
use crate::shard::tracking::Change;
use crate::shared::Shared;

/// What was heard of changes, and not told yet.
#[derive(Default)]
pub struct Heard {
    /// There may be something to tell: the shards at hand note changes, or some of them wait for the end of a transaction.
    pub follows: bool,
    /// The client whose command runs; 0: none.
    pub who: u64,
    /// For those who hear of prefixes, told when the unit is over: keys that its commands changed, and for which client.
    pub keys: BTreeMap<Box<[u8]>, u64>,
}

/// Everything that telling takes, borrowed side by side.
pub struct News<'a> {
    pub shards: &'a mut [Option<Box<Shard>>],
    pub shared: &'a Shared,
    /// Which events are published, and where.
    pub wanted: Events,
    pub signals: &'a mut Vec<Signal>,
    pub effects: &'a mut Effects,
    pub heard: &'a mut Heard,
}

/// A client whose messages are written at once, where its next reply goes.
pub type Aside<'a> = Option<(ConnectionId, &'a mut Vec<u8>)>;

impl News<'_> {
    /// Tells of what the shards noted. `evicted`: no command did it.
    pub fn tell_changes(&mut self, mut aside: Aside, evicted: bool) {
        let mut changes: Vec<Change> = Vec::new();
        for shard in self.shards.iter_mut().flatten().filter(|shard| shard.tracking.has_changes()) {
            changes.append(&mut shard.tracking.take_changes());
        }
        let mut rest = &changes[..];
        while let Some(first) = rest.first() {
            if let Some(at) = self.event_of_expiry(first) {
                self.publish_events(at + 1);
            }
            let others = &rest[1..];
            let run = others.iter().position(|change| self.event_of_expiry(change).is_some());
            let (now, later) = rest.split_at(run.map_or(rest.len(), |at| at + 1));
            self.tell(now, aside.as_mut().map(|(id, out)| (*id, &mut **out)));
            rest = later;
        }
        if !changes.is_empty() && self.shared.exchange.tracked.has_prefixes() {
            self.note_keys(changes, evicted);
        }
    }

    /// Where the event stands that is to be published before this change is told.
    fn event_of_expiry(&self, change: &Change) -> Option<usize> {
        let Change::Key { key, itself: true, .. } = change else { return None };
        if !self.wanted.contains(Events::EXPIRED) {
            return None;
        }
        self.effects.events.iter().position(|event| event.class == Events::EXPIRED && event.key == *key)
    }

    /// Tells of changes, all of them under one lock; what is for the client `aside` is written there.
    fn tell(&mut self, changes: &[Change], aside: Aside) {
        let needed = changes.iter().any(|change| change.readers().is_none_or(|readers| !readers.is_empty()));
        if !needed {
            return;
        }
        let mut told = self.shared.exchange.invalidations(&self.shared.clients, aside);
        // Every shard says so.
        if changes.contains(&Change::Flushed) {
            told.flushed();
        }
        for change in changes {
            if let Some(readers) = change.readers().filter(|readers| !readers.is_empty()) {
                let caused = matches!(change, Change::Key { .. });
                told.key(change.key(), readers, if caused { self.heard.who } else { 0 });
            }
        }
        self.wake(told);
    }

    /// Those who hear of prefixes are told later.
    fn note_keys(&mut self, changes: Vec<Change>, evicted: bool) {
        for change in changes {
            if let Change::Key { key, itself, .. } = change {
                let who = if itself || evicted { 0 } else { self.heard.who };
                self.heard.keys.insert(key, who);
            }
        }
    }

    /// All is told: the cores of those who are to hear it should look.
    fn wake(&mut self, told: Invalidations) {
        let woken = told.woken;
        self.signals.extend(woken.into_iter().map(|core| Signal::Mail { core }));
    }

    /// A unit is over: tells those who hear of prefixes.
    pub fn tell_prefixes(&mut self) {
        let keys = std::mem::take(&mut self.heard.keys);
        if !keys.is_empty() {
            let mut told = self.shared.exchange.invalidations(&self.shared.clients, None);
            told.broadcast(&keys);
            self.wake(told);
        }
    }

    /// Publishes the first `count` events: messages of two channels, that of the key and that of the event.
    pub fn publish_events(&mut self, count: usize) {
        let events = self.effects.events.drain(..count);
        if self.shared.exchange.is_silent() {
            return;
        }
        let signals = &mut *self.signals;
        let mut publish = |channel: &[u8], message: &[u8]| {
            let wake = |core| signals.push(Signal::Mail { core });
            self.shared.exchange.publish(Kind::Channel, channel, message, wake);
        };
        for Event { name, db, key, .. } in events {
            if self.wanted.contains(Events::KEYSPACE) {
                publish(&keyspace_channel(db, &key), name.as_bytes());
            }
            if self.wanted.contains(Events::KEYEVENT) {
                publish(format!("__keyevent@{db}__:{name}").as_bytes(), &key);
            }
        }
    }

    /// A command is over, or a part of one: tells of what it did.
    #[inline]
    pub fn tell_so_far(&mut self) {
        if self.heard.follows {
            self.tell_changes(None, false);
        }
        if !self.effects.events.is_empty() {
            self.publish_events(self.effects.events.len());
        }
    }
}

fn keyspace_channel(db: u16, key: &[u8]) -> Vec<u8> {
    let mut channel = format!("__keyspace@{db}__:").into_bytes();
    channel.extend_from_slice(key);
    channel
}
