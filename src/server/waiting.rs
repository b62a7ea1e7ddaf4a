//! Clients that wait: put to sleep by a command that found nothing, served where a key changes, woken by time.
//! In: waits of commands that ran here, keys that changed, the clock. Out: replies on their way home.
//!
//! A waiting client's command is kept whole (`client::Wait`) and registered with each of its keys, in their shards. Right
//! after the command, transaction or script that changed such a key, with the same shards still at hand and before
//! anything else runs, the core runs the command again for whoever has waited longest. What needs a second shard (BLMOVE
//! to another's key) is known beforehand: while somebody waits so, commands that write to the first shard lease the second
//! one, too (`Core::beyond`). So nobody ever sees an element that was somebody's due.
//!
//! A wait may be registered with several shards, and its time may run out meanwhile: who answers claims it first.

use std::sync::Arc;
use std::sync::atomic::Ordering::*;

use super::batch::{Batch, Kind};
use super::core::Core;
#[cfg(test)]
use super::inspect::Neglect;
use super::run::Call;
use crate::client::{Answer, Connection, ConnectionId, Nothing, Session, ShardSet, State, Wait, flag};
use crate::commands::blocking::{is_durable, write_durable};
use crate::commands::{Command, Signal, flags};
use crate::resp::Out;
use crate::shard::Shard;

impl Core {
    // ---- where keys change ----

    /// The shards, besides those at hand, that are needed to serve the clients that wait for what a command may change:
    /// elements move from its shards to those of other keys, and on from there.
    pub(super) fn beyond(&self, command: &Command, own: ShardSet, at_hand: ShardSet) -> ShardSet {
        if self.shared.waits.load(Relaxed) == 0 || command.is(flags::READONLY) {
            return ShardSet::EMPTY;
        }
        self.reached_from(own, &[]).minus(at_hand)
    }

    /// The same for a batch's next command, or its transaction, with what the batch holds and this core's shard.
    pub(super) fn beyond_batch(&self, batch: &Batch) -> ShardSet {
        let writes = match batch.kind {
            Kind::Plain => {
                let command = batch.requests.list[batch.next].command;
                !self.registry.row(command).is(flags::READONLY)
            }
            Kind::Transaction { .. } | Kind::Rest { .. } => true,
            Kind::Errand { .. } | Kind::Report { .. } | Kind::Task { .. } => false,
        };
        if self.shared.waits.load(Relaxed) == 0 || !writes {
            return ShardSet::EMPTY;
        }
        self.reached_from(batch.needs(), &batch.held).minus(batch.needs())
    }

    /// Where elements may get to from the shards `own`, as far as the shards at hand and those in `held` know.
    fn reached_from(&self, own: ShardSet, held: &[Box<Shard>]) -> ShardSet {
        let mut reached = own;
        loop {
            let before = reached;
            for shard in held.iter().chain(self.shards.iter().flatten()) {
                if before.contains(shard.id) {
                    shard.waiting.targets().for_each(|target| reached.insert(target));
                }
            }
            if reached == before {
                return reached;
            }
        }
    }

    /// Serves the clients that waited for what the command at hand changed.
    #[inline]
    pub(super) fn serve_waits(&mut self) {
        if self.shared.waits.load(Relaxed) > 0 && !self.is_serving {
            self.serve_ready_keys();
        }
    }

    fn serve_ready_keys(&mut self) {
        let oldest = |core: &Self| {
            let ready = core.shards.iter().flatten().filter_map(|s| Some((s.waiting.first_ready()?, s.id)));
            ready.min().map(|(_, number)| number)
        };
        if oldest(self).is_none() {
            return;
        }
        self.is_serving = true;
        // The command may have taken long: what expired meanwhile is nobody's any more.
        self.now_ms = self.shared.clock.unix_ms();
        while let Some(number) = oldest(self) {
            let shard = self.shards[number].as_mut().expect("it was just there");
            let (db, key) = shard.waiting.take_ready().expect("it was just there");
            self.serve_key(number, db, &key);
        }
        self.is_serving = false;
    }

    fn serve_key(&mut self, number: usize, db: u16, key: &[u8]) {
        let mut from = 0;
        loop {
            let shard = self.shards[number].as_mut().expect("the caller saw it");
            let held = shard.dbs[db as usize].store.find(key).map(|entry| entry.kind());
            let Some((at, wait)) = shard.waiting.next(db, key, from, held) else { return };
            #[cfg(test)]
            if at == 0 && (self.neglects(Neglect::Serve) || self.neglects(Neglect::Order)) {
                from = 1;
                continue;
            }
            if !self.serve(&wait) {
                from = at + 1;
                continue;
            }
            from = at;
            let shard = self.shards[number].as_mut().expect("it was just there");
            shard.waiting.remove(db, key, &wait);
        }
    }

    /// Runs the command of a wait again. True: the wait is over.
    fn serve(&mut self, wait: &Arc<Wait>) -> bool {
        match wait.claim() {
            None => return true,
            Some(false) => return false,
            Some(true) => {}
        }
        let place = self.shared.exchange.place();
        let mut reply = Vec::new();
        let mut session = Session { serving: true, ..wait.session };
        let moment = super::run::moment_of(&session, self.moment(true));
        let mut notes = Vec::new();
        let call = Call {
            request: &wait.request,
            args: wait.args(),
            session: &mut session,
            from: wait.to,
            out: &mut reply,
            notes: &mut notes,
            moment,
            report: None,
            books: None,
            begins: None,
        };
        let waits_on = self.parts(None).call(call).waits;
        if !waits_on {
            // Before anybody is told of what it did: its client hears of that behind the answer.
            wait.finish_at(place);
        }
        self.after_command(false);
        if waits_on {
            wait.give_back();
            return false;
        }
        #[cfg(test)]
        if self.neglects(Neglect::Answer) {
            return true;
        }
        self.signals.push(Signal::Served { wait: wait.clone(), answer: Answer::Reply(reply) });
        true
    }

    // ---- at home ----

    /// A command of this connection waits. Its batch, if it ran in one, is back or about to be.
    pub(super) fn begin_wait(&mut self, slot: u32, wait: Arc<Wait>) {
        let connection = self.connection_mut(slot);
        if connection.state == State::Closing {
            return self.abandon(wait);
        }
        connection.card.set_flag(flag::BLOCKED, true);
        *connection.card.wait.lock().expect("nobody panics holding a wait") = Some(wait.clone());
        if connection.state == State::Ready {
            connection.state = State::Blocked;
        }
        let id = connection.id;
        connection.wait = Some(wait.clone());
        if let Some(deadline_ms) = wait.deadline_ms {
            self.deadlines.insert((deadline_ms, id));
        }
        if let Nothing::Durable { local: true, .. } = wait.nothing {
            self.await_durable(wait.clone());
        }
        if let Some(at) = self.early_answers.iter().position(|(early, _)| Arc::ptr_eq(early, &wait)) {
            let (wait, answer) = self.early_answers.swap_remove(at);
            self.end_wait(wait, answer);
        }
    }

    /// A wait of a connection of this core is over.
    pub(super) fn end_wait(&mut self, wait: Arc<Wait>, answer: Answer) {
        let id = wait.to;
        let Some(connection) = self.connection(id) else { return };
        let known = connection.wait.as_ref().is_some_and(|known| Arc::ptr_eq(known, &wait));
        if !known {
            // It was served before its batch came home with the news that it waits.
            if connection.state == State::Away {
                self.early_answers.push((wait, answer));
            }
            return;
        }
        if self.may_hear(&self.connection_at(id.slot).session) {
            // A command that runs behind others may end it: what was published before is in the box, unseen.
            self.look_for_mail();
        }
        let Some(wait) = self.take_wait(id.slot) else { return };
        self.answer_wait(id.slot, &wait, answer);
        let connection = self.connection_mut(id.slot);
        if connection.state == State::Blocked {
            connection.state = State::Ready;
            self.ready.push_back(id);
        }
        self.output_grew(id.slot);
        self.send_before_last(id.slot);
    }

    /// Who was served is told before the one whose command served it, if that is the last whose reply is to leave: it has
    /// waited longer, and may be what the other is waiting for.
    fn send_before_last(&mut self, slot: u32) {
        let sends = &mut self.actions.send;
        if let [.., before, last] = &mut sends[..]
            && *last == slot
        {
            std::mem::swap(before, last);
        }
    }

    fn answer_wait(&mut self, slot: u32, wait: &Wait, answer: Answer) {
        self.count_answer(wait, &answer);
        if let Answer::Reply(_) = answer {
            // What served it was logged before.
            self.connection_mut(slot).session.wrote = self.shared.log_next.load(Acquire);
        }
        self.write_pending(slot, wait.place());
        let durable =
            matches!(wait.nothing, Nothing::Durable { stamp, .. } if is_durable(&self.shared, stamp));
        self.reply(slot, |out| match answer {
            Answer::Reply(bytes) => out.raw(&bytes),
            Answer::TimeOut => reply_time_out(out, wait.nothing, durable),
            Answer::Error(text) => out.error(&text),
        });
        self.write_pending(slot, u64::MAX);
    }

    fn count_answer(&self, wait: &Wait, answer: &Answer) {
        let metrics = &self.shared.metrics[self.id];
        let statistics = &metrics.commands[wait.request.command as usize];
        match answer {
            // That was counted where it was served.
            Answer::Reply(_) => {}
            Answer::TimeOut => {
                metrics.commands_processed.add(1);
                statistics.record(0, false);
            }
            Answer::Error(text) => {
                metrics.commands_processed.add(1);
                statistics.record(0, false);
                statistics.failed.add(1);
                metrics.error_replies.add(1);
                self.shared.count_error(text);
            }
        }
    }

    /// Takes the wait off a connection, and off the shards where it is registered.
    fn take_wait(&mut self, slot: u32) -> Option<Arc<Wait>> {
        let connection = self.connection_mut(slot);
        let wait = connection.wait.take()?;
        connection.card.set_flag(flag::BLOCKED, false);
        *connection.card.wait.lock().expect("nobody panics holding a wait") = None;
        let id = connection.id;
        if let Some(deadline_ms) = wait.deadline_ms {
            self.deadlines.remove(&(deadline_ms, id));
        }
        self.unregister(&wait);
        Some(wait)
    }

    fn unregister(&mut self, wait: &Arc<Wait>) {
        self.shared.waits.fetch_sub(1, Relaxed);
        let mut told = ShardSet::EMPTY;
        for &(shard, _) in &wait.keys {
            if !told.contains(shard) {
                told.insert(shard);
                self.signal_core(shard, Signal::Unwait { shard, wait: wait.clone() });
            }
        }
    }

    /// The connection ends while it waits, or before it knew that it does.
    fn abandon(&mut self, wait: Arc<Wait>) {
        self.early_answers.retain(|(early, _)| !Arc::ptr_eq(early, &wait));
        wait.abandon();
        self.unregister(&wait);
    }

    /// The connection in `slot` closes.
    pub(super) fn abandon_wait(&mut self, slot: u32) {
        if let Some(wait) = self.take_wait(slot) {
            wait.abandon();
        }
    }

    /// Answers the waits whose time is up.
    pub(super) fn end_overdue_waits(&mut self) {
        let now_ms = self.now_ms;
        let due = self.deadlines.range(..(now_ms + 1, ConnectionId::FIRST));
        let due: Vec<ConnectionId> = due.map(|&(_, id)| id).collect();
        for id in due {
            let Some(wait) = self.connection(id).and_then(|connection| connection.wait.clone()) else {
                continue;
            };
            // One that is being served just now stays until the answer comes, or the next look.
            if wait.claim() == Some(true) {
                wait.finish();
                #[cfg(test)]
                self.trace.push(super::inspect::Executed::timed_out(wait.session.id, now_ms));
                self.end_wait(wait, Answer::TimeOut);
            }
        }
    }

    /// The time of a wait may be up.
    pub fn alarm(&mut self) {
        self.begin_event();
        self.end_overdue_waits();
    }

    /// In how many milliseconds the next wait times out, or replies were held for too long, if any are.
    pub fn alarm_ms(&self) -> Option<u64> {
        // One that is overdue is being served just now.
        let deadline = self.deadlines.first();
        let wait_ms = deadline.map(|(at_ms, _)| (at_ms - self.shared.clock.unix_ms()).max(1) as u64);
        wait_ms.into_iter().chain(self.holding_ms()).min()
    }

    /// Forgets a wait that is over, in the home shard.
    pub(super) fn unwait(&mut self, wait: Arc<Wait>) {
        match self.shards[self.id].as_mut() {
            Some(shard) => {
                for (_, key) in wait.keys.iter().filter(|(shard, _)| *shard == self.id) {
                    shard.waiting.remove(wait.session.db, key, &wait);
                }
            }
            None => self.unwait_later.push(wait),
        }
    }

    /// Takes back the waits that were over while the home shard was lent.
    pub(super) fn unwait_waiting(&mut self) {
        for wait in std::mem::take(&mut self.unwait_later) {
            self.unwait(wait);
        }
    }
}

/// The end of a wait for keys is a null array in RESP2, also of a command that has no other arrays.
/// `durable`: what the client waited for is.
fn reply_time_out(out: &mut Out, nothing: Nothing, durable: bool) {
    match nothing {
        Nothing::Null | Nothing::NullArray => out.null_array(),
        Nothing::Integer(value) => out.integer(value),
        Nothing::Durable { .. } => write_durable(out, durable),
    }
}

/// Whether a connection's batch that is back was the last of what it has to wait for.
pub(super) fn state_at_home(connection: &Connection) -> State {
    if connection.wait.is_some() { State::Blocked } else { State::Ready }
}
