//! A script that takes longer than `busy-reply-threshold` is parked: its batch keeps its shards, the core goes on with
//! its network, and the script gets a slice of each turn. Meanwhile all cores answer BUSY (`gate::BUSY`).
//! In: a batch whose script did not come to its end. Out: the batch, on its way again.
//! Invariants: P1, a core has at most one parked script. P2, it keeps every shard that was at hand when it was parked,
//! so that it finds them when it goes on, and nobody else does meanwhile.
//! A command that asks another server is put aside in the same way (see `asking`).

use super::batch::{Batch, Kind};
use super::core::Core;
use crate::client::ShardSet;
use crate::commands::monitor::Lines;
use crate::commands::script::Ongoing;
use crate::commands::{Error, Event, Pending, Signal, flags};
use crate::persist::aof::Unit;
use crate::resp::Out;
use crate::shard::Shard;
use crate::shared::gate;

/// A batch whose next command did not come to its end.
pub struct Aside {
    batch: Box<Batch>,
    /// The script that it is, or that called it.
    ongoing: Option<Box<Ongoing>>,
    /// The home shard, if it was there.
    pub(super) home: Option<Box<Shard>>,
    /// What it did so far: it is told with the rest.
    unit: Unit,
    events: Vec<Event>,
    lines: Lines,
}

impl Core {
    /// Whether a script waits for its next slice: the driver must not sleep.
    pub fn has_parked(&self) -> bool {
        self.parked.is_some()
    }

    /// Puts the batch aside, which holds what it borrowed, if its command asked for it just now.
    pub(super) fn park(&mut self, batch: Box<Batch>) -> Option<Box<Batch>> {
        let Some(pending) = self.parking.take() else { return Some(batch) };
        self.put_aside(batch, pending);
        None
    }

    fn put_aside(&mut self, mut batch: Box<Batch>, pending: Pending) {
        self.take_kept(&mut batch, self.keeping.kept);
        let home = self.shards[self.id].take();
        let unit = std::mem::take(&mut self.effects.unit);
        let events = std::mem::take(&mut self.effects.events);
        #[cfg(test)]
        self.neglect_lines();
        let lines = std::mem::take(&mut self.effects.lines);
        let aside = |ongoing| Aside { batch, ongoing, home, unit, events, lines };
        match pending {
            Pending::Parked(ongoing) => {
                assert!(self.parked.is_none(), "P1: there is none");
                self.parked = Some(aside(Some(ongoing)));
            }
            Pending::Asks(ask, ongoing) => {
                let aside = aside(ongoing);
                self.ask(*ask, aside);
            }
            Pending::Widen => unreachable!("R1: what is put aside has all that it needs"),
        }
    }

    /// Gives the parked script its slice. When the server stops there is none, so that no half of a unit gets into the log.
    pub(super) fn go_on_with_parked(&mut self) {
        if self.shared.gates() & gate::SHUTDOWN == 0
            && let Some(aside) = self.parked.take()
        {
            self.go_on_with(aside);
        }
    }

    /// Goes on with what was put aside, as far as it comes.
    pub(super) fn go_on_with(&mut self, aside: Aside) {
        let Aside { mut batch, ongoing, home, unit, events, lines } = aside;
        self.effects.unit = unit;
        self.effects.events = events;
        self.effects.lines = lines;
        if let Some(home) = home {
            self.shards[self.id] = Some(home);
        }
        let borrowed = self.put_at_hand(&mut batch);
        let slot = batch.runs_at_home().then(|| batch.home().slot);
        match self.run_slice(&mut batch, ongoing, slot) {
            Some(pending) => {
                self.take_in_hand(&mut batch, borrowed);
                self.put_aside(batch, pending);
            }
            None => {
                batch.next += 1;
                batch.extra = ShardSet::EMPTY;
                if let Kind::Rest { .. } = batch.kind {
                    self.run_rest(&mut batch);
                }
                self.take_in_hand(&mut batch, borrowed);
                self.revisit = true;
                if let Some(batch) = self.park(batch) {
                    self.advance(batch);
                }
            }
        }
        self.send_signals();
    }

    /// BUSY: what waits here for shards is answered so, as Redis would have answered it.
    pub(super) fn refuse_waiting(&mut self) {
        let waiting: Vec<_> = self.waiting.drain(..).chain(self.convoy.drain(..)).collect();
        for batch in waiting {
            self.refuse_or_wait(batch);
        }
    }

    /// A batch that would have to wait: answered BUSY if that is the time for it.
    pub(super) fn refuse_or_wait(&mut self, mut batch: Box<Batch>) {
        let running = self.shared.scripts.running().filter(|_| self.shared.gates() & gate::BUSY != 0);
        let refusable = matches!(batch.kind, Kind::Plain | Kind::Transaction { .. } | Kind::Report { .. });
        let Some(running) = running.filter(|_| refusable) else {
            self.waiting.push_back(batch);
            return self.need_home_shard();
        };
        let error = Error::busy(&running);
        self.give_back(&mut batch, ShardSet::EMPTY);
        let resp3 = batch.session.is_some_and(|session| session.resp3);
        if let Kind::Transaction { watched, .. } = std::mem::take(&mut batch.kind) {
            for key in watched {
                self.signals.push(Signal::Unwatch { shard: key.shard, db: key.db, key: key.key });
            }
            let error = Error::exec_refused(&error);
            Out { buf: &mut batch.replies, resp3 }.error(&error.0);
            batch.next = batch.requests.list.len();
        }
        while batch.next < batch.requests.list.len() {
            let command = batch.requests.list[batch.next].command;
            self.shared.metrics[self.id].commands[command as usize].rejected.add(1);
            Out { buf: &mut batch.replies, resp3 }.error(&error.0);
            batch.next += 1;
        }
        self.shared.metrics[self.id].error_replies.add(1);
        self.shared.count_error(&error.0);
        self.send_home(batch);
        self.send_signals();
    }

    /// The error of a command that a script in progress keeps from running, if one does.
    pub(super) fn busy_error(&self, command: u16) -> Option<Error> {
        let row = self.registry.row(command);
        let refused = self.parked.is_some() && !row.is(flags::ALLOW_BUSY);
        let running = self.shared.scripts.running().filter(|_| refused)?;
        Some(Error::busy(&running))
    }
}
