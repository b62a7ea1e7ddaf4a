//! Runs stretches of a pipeline: plain commands of a client in no special state, one right after the other.
//! In: parsed commands. Out: replies, and how many commands ran.
//! What could stand in the way of a command, and would stay there, is looked for once a stretch; what another core may bring about
//! at any time is looked for before each command. Whatever is found ends the stretch: who called it knows what to do about it.
//! (GET took 2050 instructions in user space when each command went the long way, and takes 1170.)

#[cfg(test)]
mod tests;

use std::sync::atomic::Ordering::{Acquire, Relaxed};

use super::batch::{BATCH_REPLIES_MAX, Batch};
use super::connections::OUTPUT_PAUSE_BYTES;
use super::core::Core;
#[cfg(test)]
use super::inspect::Executed;
use super::room::{has_room, publish};
use super::run::{Call, Parts, SHORT_NS, count_call, moment_of, settle_reply};
use crate::base::clock::{ticks, ticks_to_ns};
use crate::client::{
    Args, Card, Connection, ConnectionId, ReplyMode, Request, Requests, Session, ShardSet, State, Tracking,
};
use crate::commands::context::Counting;
use crate::commands::{Command, Context, Registry, flags};
use crate::shard::Moment;

/// Commands that may run as a stretch, from the first on.
struct Stretch<'a> {
    requests: &'a Requests,
    first: usize,
    /// What the requests are read from.
    bytes: &'a [u8],
    from: ConnectionId,
    session: &'a mut Session,
    out: &'a mut Vec<u8>,
    at_hand: ShardSet,
    moment: Moment,
    /// The tick at which the first command begins, where that is known.
    begins: Option<u64>,
    limits: Limits<'a>,
}

/// What ends a stretch from outside.
struct Limits<'a> {
    /// With more than that in the output nothing runs.
    out_max: usize,
    /// The client's, at its home: it says whether it was killed, and what it does.
    card: Option<&'a Card>,
    /// The configuration in force.
    config_epoch: u64,
}

impl Limits<'_> {
    /// Whether a command can run now.
    #[inline]
    fn allow(&self, cx: &Context) -> bool {
        let killed = self.card.is_some_and(|card| card.killed.load(Acquire));
        // The gates first: one that opens may have done so with a log that began.
        let quiet = cx.shared.gates() == 0
            && cx.shared.waits.load(Relaxed) == 0
            && cx.shared.exchange.tracked.is_idle()
            && cx.shared.config_epoch() == self.config_epoch;
        quiet && !killed && cx.out.buf.len() <= self.out_max
    }
}

/// The row of the last command, with its number and word count: most pipelines are of one kind.
#[derive(Default)]
struct LastRow(Option<(u16, u32, &'static Command)>);

impl LastRow {
    /// The row of a command, if it may be one of a stretch.
    #[inline]
    fn plain(&mut self, registry: &Registry, request: &Request) -> Option<&'static Command> {
        match self.0 {
            Some((number, argc, row)) if number == request.command && argc == request.argc => Some(row),
            _ => {
                let row = registry.row(request.command);
                let plain = registry.is_plain(request.command) && row.arity_fits(request.argc as usize);
                self.0 = plain.then_some((request.command, request.argc, row));
                plain.then_some(row)
            }
        }
    }
}

/// What became of a stretch.
struct Ran {
    commands: usize,
    /// The last of them has something to tell: the step after a command has to follow.
    tells: bool,
}

impl Parts<'_> {
    /// Runs commands up to the first one that has to be looked at more closely.
    fn run_stretch(mut self, stretch: Stretch) -> Ran {
        let Stretch { requests, first, bytes, from, session, out, at_hand, mut begins, limits, .. } = stretch;
        let (mut notes, mut ran, mut took_long) = (Vec::new(), Ran { commands: 0, tells: false }, false);
        #[cfg(test)]
        let mut trace = Vec::new();
        let request = &requests.list[first];
        let args = requests.args(request, bytes);
        let moment = moment_of(session, stretch.moment).unhindered();
        let notes = &mut notes;
        let mut call =
            Call { request, args, session, from, out, notes, moment, report: None, books: None, begins };
        let mut cx = self.context(self.registry.row(request.command), &mut call, false);
        // Other cores' commands may as well have come before or after all of these: only what runs here makes it look again.
        let mut room = has_room(cx.shared, cx.config);
        let mut last = LastRow::default();
        for request in &requests.list[first..] {
            cx.keyspace.sole = request.shards.sole();
            if cx.keyspace.sole.is_none() || !request.shards.is_subset(at_hand) {
                break;
            }
            let Some(command) = last.plain(cx.registry, request) else { break };
            if !room || !limits.allow(&cx) {
                break;
            }
            if let Some(card) = limits.card {
                card.commands.add(1);
                card.last_command.set(request.command as u64 + 1);
            }
            let args = requests.args(request, bytes);
            #[cfg(test)]
            trace.push(Executed::command(cx.session.id, moment.now_ms, false, args));
            cx.moment.draw(cx.rng);
            let start = begins.unwrap_or_else(ticks);
            let (end, tells) = run_handler(&mut cx, request.command, command, args, start);
            if cx.config.maxmemory > 0 && !command.is(flags::READONLY) {
                publish(cx.shared, cx.shard(args.at(command.first_key())));
                room = has_room(cx.shared, cx.config);
            }
            (begins, took_long) = (Some(end), ticks_to_ns(end.wrapping_sub(start)) > SHORT_NS);
            ran = Ran { commands: ran.commands + 1, tells };
            if tells || took_long {
                break;
            }
        }
        debug_assert!(cx.waiting.is_none() && cx.pending.is_none() && cx.notes.is_empty());
        #[cfg(test)]
        self.trace.append(&mut trace);
        *self.ended = begins;
        *self.took_long |= took_long;
        ran
    }
}

impl Core {
    /// Runs plain commands of a connection of this core from `first` on, straight from the receive buffer into its output.
    /// Returns how many ran: none if the first one has to be looked at more closely.
    pub(super) fn run_stretch_here(
        &mut self,
        slot: u32,
        requests: &Requests,
        first: usize,
        bytes: &[u8],
        moment: &Moment,
    ) -> usize {
        let connection = self.connection_at(slot);
        let runs = connection.state == State::Ready
            && connection.authenticated
            && connection.transaction.is_none()
            && connection.reply_mode == ReplyMode::On
            && connection.unsent <= OUTPUT_PAUSE_BYTES;
        let at_hand = self.at_hand();
        if !runs || !self.may_stretch(&connection.session, &requests.list[first], at_hand) {
            return 0;
        }
        if connection.output.capacity() == 0 {
            self.connection_mut(slot).output = self.spare_buffer();
        }
        let (config_epoch, begins) = (self.config_epoch, self.command_ended.take());
        let mut parts = self.parts(Some(slot));
        let connection = parts.connection.take().expect("it was asked for");
        let Connection { id, card, session, output, unsent, .. } = connection;
        let limits = Limits { out_max: OUTPUT_PAUSE_BYTES - *unsent, card: Some(card), config_epoch };
        let ran = parts.run_stretch(Stretch {
            requests,
            first,
            bytes,
            from: *id,
            session,
            out: output,
            at_hand,
            moment: *moment,
            begins,
            limits,
        });
        if ran.tells {
            let mut session = self.connection_at(slot).session;
            self.after_command_of(&mut session);
            self.connection_mut(slot).session = session;
        }
        ran.commands
    }

    /// Runs the next commands of a batch if they are plain. `borrowed`: shards at hand that are no others'. Returns how many ran.
    pub(super) fn run_stretch_of(&mut self, batch: &mut Batch, borrowed: ShardSet) -> usize {
        let from = batch.home();
        let session = batch.session.as_mut().expect("a batch has a session");
        let at_hand = borrowed.union(self.at_hand());
        if !self.may_stretch(session, &batch.requests.list[batch.next], at_hand) {
            return 0;
        }
        let limits = Limits { out_max: BATCH_REPLIES_MAX, card: None, config_epoch: self.config_epoch };
        let moment = self.moment(true);
        let ran = self.parts(None).run_stretch(Stretch {
            requests: &batch.requests,
            first: batch.next,
            bytes: &batch.buf,
            from,
            session,
            out: &mut batch.replies,
            at_hand,
            moment,
            begins: None,
            limits,
        });
        if ran.tells {
            self.after_command_of(batch.session.as_mut().expect("a batch has a session"));
        }
        ran.commands
    }

    /// Whether nothing that would stay there stands in the way of a client's commands, of which this is the next one.
    fn may_stretch(&self, session: &Session, next: &Request, at_hand: ShardSet) -> bool {
        let here = !next.shards.is_empty() && next.shards.is_subset(at_hand);
        let plain = !session.subscribed && !session.timeless && session.tracking == Tracking::OFF;
        here && plain && !self.heard.follows && !self.is_asking() && self.parked.is_none()
    }
}

/// Runs one command. Returns the tick at which it ended, and whether it has something to tell.
#[inline(always)]
fn run_handler(cx: &mut Context, number: u16, command: &Command, args: Args, start: u64) -> (u64, bool) {
    let wanted = cx.effects.wanted();
    if wanted {
        cx.effects.begin(cx.keyspace.shards.iter().filter_map(Option::as_deref));
    }
    let from = cx.out.buf.len();
    let result = (command.handler)(cx, args);
    let end = ticks();
    count_call(cx, number, args, ticks_to_ns(end.wrapping_sub(start)));
    if wanted {
        let shards = cx.keyspace.shards.iter_mut().filter_map(Option::as_deref_mut);
        cx.effects.end(cx.session.db, args, shards);
    }
    settle_reply(cx, number, from, result, Counting::Whole);
    (end, wanted && cx.effects.has_news())
}
