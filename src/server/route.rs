//! Where a batch goes: to the shard of its next command, or round the shards that the command spans, then home.
//!
//! A command that spans shards takes a **lease**: its batch visits them in ascending order and takes each along
//! (`held`), until all but those of the last core are at hand; there it runs, and the shards go home. Ascending
//! order is what keeps two leases from waiting for each other (B3): whoever waits for shard n holds only lower ones.
//!
//! A batch whose commands alternate between shards would hop for each of them. On a few cores it stays at home
//! instead, in the core's **convoy**, and an errand fetches all shards for the whole convoy; where the errand has them
//! all at hand on its way, the convoy of that core is served too.
//! In: batches. Out: messages, replies at home.

use super::batch::{BATCH_REPLIES_MAX, Batch, Kind, Message};
use super::core::Core;
use super::run::{Call, Outcome, Parts};
use crate::client::{ReplyMode, Request, Session, ShardSet, State, Tracking, flag};
use crate::commands::script::Ongoing;
use crate::commands::{Pending, Route};
use crate::resp::Out;
use crate::shard::{Shard, store};

/// With more cores than this batches hop from shard to shard: while one core has all shards the others run no command.
pub(super) const CONVOY_CORES_MAX: usize = 2;
/// So many commands of a batch are fetched together with those of other batches that came with it.
const FETCHED_WITH_OTHERS: usize = 4;
/// Spare batches kept by a core.
const SPARE_BATCHES: usize = 64;

impl Core {
    /// Takes a batch as far as this core can, then passes it on.
    pub(super) fn advance(&mut self, batch: Box<Batch>) {
        if let Some(batch) = self.step(batch) {
            self.refuse_or_wait(batch);
        }
        self.serve_waiting();
    }

    /// Whether a new batch waits at home for all shards rather than hop from one to the next.
    pub(super) fn rides_in_convoy(&self, batch: &Batch) -> bool {
        let cores = self.shards.len();
        let wide = || batch.requests.list.iter().any(|request| request.shards.sole().is_none());
        (2..=CONVOY_CORES_MAX).contains(&cores)
            && matches!(batch.kind, Kind::Plain)
            && !batch.requests.list.iter().any(|request| self.is_function(request))
            && (batch.runs() > cores
                || (batch.requests.list.len() > 1 && wide())
                || self.is_wide(batch.needs()))
    }

    /// Sends for all shards if a convoy waits for them. False: nothing was done.
    pub(super) fn start_convoy(&mut self) -> bool {
        if self.convoy.is_empty() || self.errand_out {
            return false;
        }
        self.errand_out = true;
        let mut errand = self.spare_batches.pop().unwrap_or_default();
        let shards = ShardSet::first(self.shards.len());
        errand.kind = Kind::Errand { home: self.id, shards, keep: ShardSet::EMPTY };
        self.advance(errand);
        true
    }

    /// The errand brings all shards: runs what waits for them here.
    fn run_convoy(&mut self, errand: &mut Batch) {
        let at_hand = self.put_at_hand(errand);
        let mut convoy = std::mem::take(&mut self.convoy);
        let mut parked = None;
        for (index, batch) in convoy.iter_mut().enumerate() {
            self.run_plain(batch, at_hand);
            if batch.is_held() {
                break;
            }
            if self.parking.is_some() {
                parked = Some(index);
                break;
            }
        }
        self.take_in_hand(errand, at_hand);
        if let Some(index) = parked {
            // The shards stay with the script; who else waits sends for them anew.
            let mut batch = convoy.remove(index);
            batch.held.append(&mut errand.held);
            let unparked = self.park(batch);
            assert!(unparked.is_none(), "its script asked for it");
        }
        self.send_signals();
        for mut batch in convoy {
            if let Some(hold) = batch.take_hold() {
                batch.held = std::mem::take(&mut errand.held);
                self.hold(batch, hold);
            } else if batch.is_done() || batch.replies.len() > BATCH_REPLIES_MAX {
                self.send_home(batch);
            } else {
                self.convoy.push(batch);
            }
        }
    }

    /// Shards that a batch holds become the core's, for a while.
    pub(super) fn put_at_hand(&mut self, batch: &mut Batch) -> ShardSet {
        let borrowed = batch.holds();
        for shard in batch.held.drain(..) {
            let place = shard.id;
            debug_assert!(self.shards[place].is_none(), "K3: there is only one of it");
            self.shards[place] = Some(shard);
        }
        borrowed
    }

    /// The batch holds them again.
    pub(super) fn take_in_hand(&mut self, batch: &mut Batch, borrowed: ShardSet) {
        for core in 0..self.shards.len() {
            if borrowed.contains(core) {
                batch.held.push(self.shards[core].take().expect("it was put there"));
            }
        }
    }

    /// The home shard is back: what waited for it goes on, in order, until it is lent again.
    pub(super) fn shard_returned(&mut self, shard: Box<Shard>) {
        assert_eq!(shard.id, self.id, "K3: a shard comes home to its own core");
        self.end_keeping();
        let Some(shard) = self.keep_for_asking(shard) else { return };
        assert!(self.shards[self.id].replace(shard).is_none(), "K3: there is only one of it");
        self.take_in_parcels();
        self.unwatch_waiting();
        self.revisit = true;
        self.make_up_for_tick();
        self.serve_waiting();
    }

    /// Goes on with what waits for the home shard, if it is at hand.
    pub(super) fn serve_waiting(&mut self) {
        while std::mem::take(&mut self.revisit) {
            while self.shards[self.id].is_some() {
                let Some(batch) = self.waiting.pop_front() else { break };
                if let Some(batch) = self.step(batch) {
                    self.waiting.push_front(batch);
                }
            }
        }
    }

    /// Moves a batch until it leaves (None) or has to wait for the home shard.
    pub(super) fn step(&mut self, mut batch: Box<Batch>) -> Option<Box<Batch>> {
        loop {
            let early = batch.replies.len() > BATCH_REPLIES_MAX && matches!(batch.kind, Kind::Plain);
            if batch.is_done() || early {
                self.give_back(&mut batch, ShardSet::EMPTY);
                self.send_home(batch);
                return None;
            }
            if let Kind::Report { .. } = batch.kind {
                match self.fold(batch) {
                    Ok(next) => batch = next,
                    Err(left) => return left,
                }
                continue;
            }
            match self.gather(&mut batch) {
                Gather::Ready if matches!(batch.kind, Kind::Errand { .. }) => {
                    self.run_convoy(&mut batch);
                    self.errand_out = false;
                    self.keep_from(&mut batch);
                    batch.kind = Kind::Plain;
                    self.give_back(&mut batch, ShardSet::EMPTY);
                    self.recycle(batch);
                    return None;
                }
                Gather::Ready if matches!(batch.kind, Kind::Task { .. }) => {
                    self.run_task(batch);
                    return None;
                }
                Gather::Ready => {
                    self.run_batch(&mut batch);
                    if let Some(hold) = batch.take_hold() {
                        self.hold(batch, hold);
                        return None;
                    }
                    batch = self.park(batch)?;
                    self.let_go_walking();
                }
                Gather::Wait => {
                    batch.is_fetched = false;
                    return Some(batch);
                }
                Gather::GoTo(core) => {
                    batch.is_fetched = false;
                    let all_at_hand = batch.needs().is_subset(batch.holds());
                    if all_at_hand && matches!(batch.kind, Kind::Errand { .. }) && !self.convoy.is_empty() {
                        self.run_convoy(&mut batch);
                    }
                    self.actions.mesh.push((core, Message::Batch(batch)));
                    return None;
                }
            }
        }
    }

    /// Sees to it that the shards of the batch's next command are at hand.
    fn gather(&mut self, batch: &mut Batch) -> Gather {
        let home = batch.home_core();
        self.let_go_for_functions(batch);
        loop {
            let needs = batch.needs();
            let holds = batch.holds();
            let at_home = batch.runs_at_home();
            let here = self.at_hand();
            let usable = if at_home { holds } else { holds.union(here).union(ShardSet::one(self.id)) };
            if needs.is_subset(usable) {
                let beyond = self.beyond_batch(batch);
                if !beyond.is_empty() {
                    batch.extra = batch.extra.union(beyond);
                    continue;
                }
                return match () {
                    () if at_home && self.id != home => Gather::GoTo(home),
                    () if self.batch_rests(batch) => Gather::Wait,
                    () if needs.is_subset(holds.union(here)) => Gather::Ready,
                    () => Gather::Wait,
                };
            }
            let next = needs.minus(holds).lowest().expect("something is missing");
            // B3: what is held lies below what is taken next; otherwise begin anew.
            let keep =
                if holds.highest().is_some_and(|highest| highest > next) { ShardSet::EMPTY } else { needs };
            if !holds.is_subset(keep) {
                self.give_back(batch, keep);
                continue;
            }
            if self.keeping.kept.contains(next) {
                self.take_kept(batch, ShardSet::one(next));
                continue;
            }
            if next != self.id {
                return Gather::GoTo(next);
            }
            match self.shards[self.id].take() {
                Some(shard) => {
                    self.shared.metrics[self.id].leases_taken.add(1);
                    batch.held.push(shard);
                    self.lend_to(batch);
                }
                None => return Gather::Wait,
            }
        }
    }

    /// Returns the borrowed shards that are not in `keep`.
    pub(super) fn give_back(&mut self, batch: &mut Batch, keep: ShardSet) {
        let mut index = 0;
        while index < batch.held.len() {
            let core = batch.held[index].id;
            if keep.contains(core) {
                index += 1;
                continue;
            }
            let shard = batch.held.remove(index);
            if core == self.id {
                self.come_home(shard);
            } else {
                self.actions.mesh.push((core, Message::Shard(shard)));
            }
        }
    }

    /// A shard lent to a batch that ran here at home: what waited for it goes on after this step.
    fn come_home(&mut self, shard: Box<Shard>) {
        self.end_keeping();
        let Some(shard) = self.keep_for_asking(shard) else { return };
        self.shards[self.id] = Some(shard);
        self.take_in_parcels();
        self.unwatch_waiting();
        self.revisit = !self.waiting.is_empty();
    }

    /// Runs the batch's commands whose shards are at hand.
    fn run_batch(&mut self, batch: &mut Batch) {
        let borrowed = self.put_at_hand(batch);
        match batch.kind {
            Kind::Transaction { .. } => self.run_transaction(batch),
            _ => self.run_plain(batch, borrowed),
        }
        self.take_in_hand(batch, borrowed);
        self.send_signals();
    }

    /// Fetches what the commands will look up that run next.
    fn prefetch_run(&self, batch: &mut Batch) {
        let fetched = if std::mem::take(&mut batch.is_fetched) { FETCHED_WITH_OTHERS } else { 0 };
        let first = (batch.next + fetched).min(batch.requests.list.len());
        let db = batch.session.map_or(0, |session| session.db);
        self.prefetch(&batch.requests, first, &batch.buf, db);
    }

    /// Fetches what the next commands of these batches will look up, for all of them at once: each alone has few.
    pub fn prefetch_batches(&self, messages: &mut [Message]) {
        let batches = messages.iter_mut().filter_map(|message| match message {
            Message::Batch(batch) if matches!(batch.kind, Kind::Plain) && !batch.is_done() => {
                batch.is_fetched = true;
                Some(&**batch)
            }
            _ => None,
        });
        store::prefetch(batches.flat_map(|batch| {
            let db = batch.session.map_or(0, |session| session.db);
            self.lookups(&batch.requests, batch.next, &batch.buf, db).take(FETCHED_WITH_OTHERS)
        }));
    }

    pub(super) fn run_plain(&mut self, batch: &mut Batch, borrowed: ShardSet) {
        self.prefetch_run(batch);
        while batch.next < batch.requests.list.len() && batch.replies.len() <= BATCH_REPLIES_MAX {
            self.refresh_config();
            self.look_at_clock();
            let ran = self.run_stretch_of(batch, borrowed);
            if ran > 0 {
                batch.next += ran;
                batch.extra = ShardSet::EMPTY;
                continue;
            }
            let request = batch.requests.list[batch.next];
            let at_hand = borrowed.union(self.at_hand_for(&request));
            if self.rests(&request) || !request.shards.is_subset(at_hand) {
                break;
            }
            if !self.beyond(self.registry.row(request.command), request.shards, at_hand).is_empty() {
                break;
            }
            self.stamp(batch);
            match self.run_one(batch, batch.next, None) {
                None => {
                    batch.next += 1;
                    batch.extra = ShardSet::EMPTY;
                }
                Some(Pending::Widen) => {
                    batch.requests.list[batch.next].shards = ShardSet::first(self.shards.len());
                }
                pending => {
                    self.parking = pending;
                    break;
                }
            }
            if batch.is_held() {
                break;
            }
        }
        self.clock_is_old = true;
    }

    /// Goes on with the batch's next command, which was put aside, or with the script that it is.
    pub(super) fn run_slice(
        &mut self,
        batch: &mut Batch,
        ongoing: Option<Box<Ongoing>>,
        home: Option<u32>,
    ) -> Option<Pending> {
        let request = batch.requests.list[batch.next];
        self.call_of_batch(batch, request, home, |parts, call| match ongoing {
            Some(ongoing) => parts.resume(call, *ongoing),
            None => parts.call(call),
        })
    }

    /// Runs one command of a batch.
    fn run_one(&mut self, batch: &mut Batch, index: usize, home: Option<u32>) -> Option<Pending> {
        let request = batch.requests.list[index];
        if let Some(error) = self.busy_error(request.command) {
            let resp3 = batch.session.is_some_and(|session| session.resp3);
            Out { buf: &mut batch.replies, resp3 }.error(&error.0);
            return None;
        }
        self.call_of_batch(batch, request, home, |parts, call| parts.call(call))
    }

    fn call_of_batch(
        &mut self,
        batch: &mut Batch,
        request: Request,
        home: Option<u32>,
        run: impl FnOnce(&mut Parts, Call) -> Outcome,
    ) -> Option<Pending> {
        let reports = self.registry.row(request.command).route == Route::Report;
        let report = reports.then(|| match &batch.kind {
            Kind::Report { report, .. } => (**report).clone(),
            _ => self.report_at_hand(),
        });
        let row = self.registry.row(request.command);
        let (subscribes, settles) = (row.subscribes, row.settles);
        let shared = settles.then(|| self.shared.clone());
        let mut books = shared.as_ref().map(|shared| self.settle_mail(&shared.exchange));
        let moment = self.moment(true);
        let session: &mut Session = batch.session.as_mut().expect("a batch has a session");
        let moment = super::run::moment_of(session, moment);
        let args = batch.requests.args(&request, &batch.buf);
        let from = batch.replies.len();
        let call = Call {
            request: &request,
            args,
            session,
            from: batch.connection.expect("a batch belongs to a connection"),
            out: &mut batch.replies,
            notes: &mut batch.notes,
            moment,
            report: report.as_ref(),
            books: books.as_deref_mut(),
            begins: None,
        };
        let outcome = run(&mut self.parts(home), call);
        drop(books);
        if subscribes || outcome.pushed > 0 {
            let end = if subscribes { batch.replies.len() } else { from + outcome.pushed };
            batch.confirmations.push(from..end);
        }
        if let Some(Pending::Parked(_) | Pending::Asks(..)) = outcome.pending {
            self.after_part();
            return outcome.pending;
        }
        self.after_command_of(batch.session.as_mut().expect("a batch has a session"));
        outcome.pending
    }

    /// EXEC: checks the watched keys, then runs everything with all shards at hand.
    fn run_transaction(&mut self, batch: &mut Batch) {
        let Kind::Transaction { watched, at_home, shards, word } = std::mem::take(&mut batch.kind) else {
            unreachable!("the caller looked")
        };
        // It has one time, however long it takes.
        self.look_at_clock();
        let mut unchanged = true;
        let due_ms = self.moment(false).due_ms;
        for key in &watched {
            let shard = self.shards[key.shard].as_deref_mut().expect("C1: watched keys' shards are at hand");
            unchanged &= shard.watch.unchanged_since(key.stamp, key.db, &key.key, key.overdue);
            let expired_since = || {
                let entry = shard.dbs[key.db as usize].store.find(&key.key);
                entry.and_then(|entry| entry.expiry()).is_some_and(|at_ms| at_ms <= due_ms)
            };
            unchanged &= key.overdue || !expired_since();
            shard.watch.unwatch(key.db, &key.key);
        }
        self.stamp(batch);
        self.monitor_begins();
        #[cfg(test)]
        self.note_exec(batch);
        let timeless = batch.session.is_some_and(|session| session.timeless);
        if unchanged && !timeless && self.config.maxmemory > 0 {
            // Whether what is queued needs more was asked before.
            self.make_room_for(batch);
        }
        let resp3 = batch.session.is_some_and(|session| session.resp3);
        let mut out = Out { buf: &mut batch.replies, resp3 };
        let count = batch.requests.list.len();
        self.shared.metrics[self.id].commands[self.exec as usize].record(0, false);
        self.shared.metrics[self.id].commands_processed.add(1);
        if unchanged {
            out.array(count);
            self.set_atomic(batch, true);
            batch.kind = Kind::Rest { shards, at_home, word };
            self.run_rest(batch);
        } else {
            out.null_array();
            batch.next = count;
            self.end_caching(batch);
            self.monitor_exec(&word, &batch.session.expect("a batch has a session"));
        }
        self.clock_is_old = true;
    }

    /// Evicts what stands in the way of a transaction: its client is told before the reply.
    fn make_room_for(&mut self, batch: &mut Batch) {
        let moment = self.moment(false);
        let (client, from) = (batch.home(), batch.replies.len());
        let session = batch.session.as_ref().expect("a batch has a session");
        let mut parts = self.parts(None);
        parts.follow_changes(session.id);
        parts.make_room(&moment, false);
        let pushed = parts.tell_evicted(session, client, &mut batch.replies);
        if pushed > 0 {
            batch.confirmations.push(from..from + pushed);
        }
    }

    /// What CLIENT CACHING said before the transaction held for all of it.
    fn end_caching(&self, batch: &mut Batch) {
        let session = batch.session.as_mut().expect("a batch has a session");
        session.tracking = session.tracking.without(Tracking::CACHING);
    }

    /// The commands of a transaction from `next` on.
    pub(super) fn run_rest(&mut self, batch: &mut Batch) {
        let home = batch.runs_at_home().then(|| batch.home().slot);
        // Who kills itself is told so, and no more.
        let mut last_words = None;
        while batch.next < batch.requests.list.len() {
            match self.run_one(batch, batch.next, home) {
                None => {
                    batch.next += 1;
                    let leaves = || home.is_some_and(|slot| self.connection_at(slot).leaving);
                    if last_words.is_none() && leaves() {
                        last_words = Some(batch.replies.len());
                    }
                }
                Some(Pending::Widen) => {
                    unreachable!("scripts of a transaction are proven, or have all shards")
                }
                pending => {
                    self.parking = pending;
                    return;
                }
            }
        }
        let Kind::Rest { word, .. } = std::mem::take(&mut batch.kind) else {
            unreachable!("it is the rest of a transaction")
        };
        if let Some(end) = last_words {
            batch.replies.truncate(end);
            batch.confirmations.retain(|range| range.end <= end);
        }
        self.set_atomic(batch, false);
        self.end_caching(batch);
        self.monitor_exec(&word, &batch.session.expect("a batch has a session"));
        self.after_command_of(batch.session.as_mut().expect("a batch has a session"));
    }

    fn set_atomic(&self, batch: &mut Batch, atomic: bool) {
        batch.session.as_mut().expect("a batch has a session").atomic = atomic;
    }

    /// A fold: adds this core's shard to the report and goes on to the next; ends at home, where the command runs.
    fn fold(&mut self, mut batch: Box<Batch>) -> Result<Box<Batch>, Option<Box<Batch>>> {
        let home = batch.home().core as usize;
        let count = self.shards.len();
        let Kind::Report { report, next } = &mut batch.kind else { unreachable!("the caller looked") };
        let goal = if *next < count { *next } else { home };
        if goal != self.id {
            self.actions.mesh.push((goal, Message::Batch(batch)));
            return Err(None);
        }
        if *next < count {
            let Some(shard) = &self.shards[self.id] else { return Err(Some(batch)) };
            report.add(shard);
            *next += 1;
            return Ok(batch);
        }
        let slot = batch.home().slot;
        self.stamp(&mut batch);
        self.look_at_clock();
        let pending = self.run_one(&mut batch, 0, Some(slot));
        assert!(pending.is_none(), "a report is no script");
        self.send_signals();
        batch.next = 1;
        batch.kind = Kind::Plain;
        Ok(batch)
    }

    pub(super) fn send_home(&mut self, batch: Box<Batch>) {
        let home = batch.home().core as usize;
        if home == self.id {
            self.arrive_home(batch);
        } else {
            self.actions.mesh.push((home, Message::Batch(batch)));
        }
    }

    /// A batch is back with its replies: the connection takes them and goes on.
    fn arrive_home(&mut self, batch: Box<Batch>) {
        let Some(mut batch) = self.takes_replay_home(batch) else { return };
        let id = batch.home();
        let slot = id.slot;
        let connection = self.connection(id).expect("K2: the slot waits for its batch");
        connection.session = batch.session.take().expect("a batch has a session");
        let open = connection.state != State::Closing;
        if open {
            connection.card.db.set(connection.session.db as u64);
            let mut output = std::mem::take(&mut connection.output);
            if connection.reply_mode != ReplyMode::On || !connection.pending.is_empty() {
                super::mail::interleave(connection, &mut output, &batch);
            } else if output.is_empty() && output.capacity() == 0 {
                std::mem::swap(&mut output, &mut batch.replies);
            } else {
                output.extend_from_slice(&batch.replies);
            }
            connection.output = output;
        } else if connection.card.has(flag::PUBSUB | flag::TRACKING) {
            // It began to listen after it was closed.
            let id = connection.card.id;
            self.shared.exchange.lock().leave(id);
        }
        batch.replies.clear();
        batch.stamps.clear();
        batch.confirmations.clear();
        let mut notes = std::mem::take(&mut batch.notes);
        self.take_notes(slot, &mut notes);
        self.output_grew(slot);
        if !batch.is_done() {
            // It came home early because its replies had grown: the rest goes on.
            batch.session = Some(self.connection_mut(slot).session);
            return self.advance(batch);
        }
        let leaving = open && self.connection_mut(slot).leaving;
        self.settle(slot, id);
        if leaving {
            self.close(slot, true);
        }
        self.recycle(batch);
    }

    /// Keeps a batch that ended, to be filled again.
    pub(super) fn recycle(&mut self, mut batch: Box<Batch>) {
        batch.clear();
        if self.spare_batches.len() < SPARE_BATCHES {
            self.spare_batches.push(batch);
        }
    }

    /// The batch is done: the connection goes on, or its slot is free at last.
    fn settle(&mut self, slot: u32, id: crate::client::ConnectionId) {
        let connection = self.connection_mut(slot);
        connection.awaited = false;
        if connection.state == State::Away {
            connection.state = super::waiting::state_at_home(connection);
            self.ready.push_back(id);
        } else {
            self.reuse(slot);
        }
    }
}

/// What `gather` found.
enum Gather {
    Ready,
    Wait,
    GoTo(usize),
}
