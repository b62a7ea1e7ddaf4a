//! Client-side caching: remembers which keys are read for clients that cache, and tells them of changes.
//! In: commands that read, changes that the shards noted. Out: keys in the shards' tables, messages in the boxes.
//!
//! A key is remembered right after the command that read it, in its own shard; a change takes its place among all messages
//! while the shards that it concerns are still at hand. So whoever is told later than its reply was given had read before
//! the change, and a reader after the change is remembered anew. The boxes and stamps of `server::mail` do the rest: a
//! message comes behind the reply to what was read before it, and before all that is answered later.
//! Absent: who is told, and in which form (`pubsub::Invalidations`). Nobody tracks anything: one load a command.

use super::core::Core;
use super::run::Parts;
use crate::client::{Args, ConnectionId, Session, Tracking};
use crate::commands::news::News;
use crate::commands::routing::remember_keys;
use crate::commands::{Command, Signal};
use crate::shard::tracking::Interest;

/// Keys that a command forgets, at most, where there are more than `tracking-table-max-keys`.
const FORGOTTEN_MAX: usize = 1000;

impl Parts<'_> {
    /// A command of client `who` (0: of nobody) begins: shards note what it changes.
    pub(super) fn follow_changes(&mut self, who: u64) {
        (self.heard.follows, self.heard.who) = (true, who);
        let has_prefixes = self.shared.exchange.tracked.has_prefixes();
        let interest = if has_prefixes { Interest::All } else { Interest::Remembered };
        self.shards.iter_mut().flatten().for_each(|shard| shard.tracking.listen(interest));
    }

    /// A command ran: its client, tracked so before, may keep what it read. What CLIENT CACHING said holds for one command, or
    /// for one transaction.
    #[inline]
    pub(super) fn read_for(
        &mut self,
        command: &Command,
        args: Args,
        session: &mut Session,
        before: Tracking,
    ) {
        if before == Tracking::OFF {
            return;
        }
        if before.remembers() {
            remember_keys(command, args, &self.shared.slots, self.shards, session.id);
        }
        if !session.atomic && command.name != "MULTI" && !command.is_about_clients() {
            session.tracking = session.tracking.without(Tracking::CACHING);
        }
    }

    /// Keys were evicted to make room for a command: its client is told before the reply. Returns how long that is.
    pub(super) fn tell_evicted(
        &mut self,
        session: &Session,
        client: ConnectionId,
        out: &mut Vec<u8>,
    ) -> usize {
        let from = out.len();
        self.news().tell_changes(session.resp3.then_some((client, &mut *out)), true);
        out.len() - from
    }

    /// What telling of all this takes.
    pub(super) fn news(&mut self) -> News<'_> {
        News {
            shards: self.shards,
            shared: self.shared,
            wanted: self.config.notify_keyspace_events,
            signals: self.signals,
            effects: self.effects,
            heard: self.heard,
        }
    }

    /// Counts what the shards at hand remember, and forgets some of it if all together is too much.
    fn bound_keys(&mut self) {
        let (tracked, max) = (&self.shared.exchange.tracked, self.config.tracking_table_max_keys as u64);
        let mut left = FORGOTTEN_MAX;
        for shard in self.shards.iter_mut().flatten() {
            tracked.add_keys(shard.tracking.growth());
            while max > 0 && left > 0 && tracked.keys() > max && shard.tracking.forget_one(self.rng) {
                tracked.add_keys(shard.tracking.growth());
                left -= 1;
            }
        }
        if max > 0 && tracked.keys() > max {
            let others = (0..self.shards.len()).filter(|core| *core != self.core);
            self.signals.extend(others.map(|core| Signal::Forget { core }));
        }
    }
}

impl Core {
    /// Keys may go without a command: shards note it, if anybody wants to know.
    pub(super) fn follow_changes(&mut self) {
        if !self.shared.exchange.tracked.is_idle() {
            self.parts(None).follow_changes(0);
        }
    }

    /// Tells clients of what a command changed. Within a transaction those who hear of prefixes wait for the rest of it.
    pub(super) fn tell_trackers(&mut self, atomic: bool) {
        let mut parts = self.parts(None);
        parts.bound_keys();
        parts.news().tell_changes(None, false);
        if !atomic {
            parts.news().tell_prefixes();
        }
        // What is kept for the end of the transaction is still to be told.
        (parts.heard.follows, parts.heard.who) = (!parts.heard.keys.is_empty(), 0);
        parts.shards.iter_mut().flatten().for_each(|shard| shard.tracking.listen(Interest::Nothing));
    }

    /// All shards together remember too many keys: this one forgets some of its own.
    pub(super) fn forget_keys(&mut self) {
        self.tell_trackers(false);
        self.send_signals();
    }
}
