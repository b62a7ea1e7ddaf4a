//! Runs stretches of a pipeline: plain commands of a client in no special state, one right after the other.
//! In: parsed commands. Out: replies, and how many commands ran.
//! What could stand in the way of a command, and would stay there, is looked for once a stretch; what another core may bring about
//! at any time is looked for before each command. Whatever is found ends the stretch: who called it knows what to do about it.
//! (GET took 2050 instructions in user space when each command went the long way, and takes half of that.)

use std::sync::atomic::{
    AtomicBool,
    Ordering::{Acquire, Relaxed},
};

use super::batch::{BATCH_REPLIES_MAX, Batch};
use super::connections::OUTPUT_PAUSE_BYTES;
use super::core::Core;
#[cfg(test)]
use super::inspect::Executed;
use super::run::{Parts, SHORT_NS, count_call, moment_of, settle_reply};
use crate::base::clock::{ticks, ticks_to_ns};
use crate::client::{Connection, ReplyMode, Requests, Session, ShardSet, State, Tracking};
use crate::commands::command::Handler;
use crate::commands::context::Counting;
use crate::commands::{Command, Context, Keyspace, flags};
use crate::config::Config;
use crate::resp::Out;
use crate::shard::Moment;
use crate::shared::Shared;

/// Commands that may run as a stretch, from the first on.
struct Stretch<'a> {
    requests: &'a Requests,
    first: usize,
    /// What the requests are read from.
    bytes: &'a [u8],
    session: &'a mut Session,
    out: &'a mut Vec<u8>,
    /// With more than that in `out` nothing runs.
    out_max: usize,
    /// Whether the client was killed, for those who have to know.
    killed: Option<&'a AtomicBool>,
    at_hand: ShardSet,
    moment: Moment,
    /// The configuration in force.
    config_epoch: u64,
    /// The tick at which the first command begins, where that is known.
    begins: Option<u64>,
}

/// What became of a stretch.
struct Ran {
    commands: usize,
    /// The last of them has something to tell: the step after a command has to follow.
    tells: bool,
}

/// Whether a client's commands are run and answered, and nothing else comes of them.
fn is_plain(session: &Session) -> bool {
    !session.subscribed && !session.timeless && session.tracking == Tracking::OFF
}

/// Whether no gate is closed, and nobody waits for, or caches, what commands may change.
#[inline]
fn is_quiet(shared: &Shared) -> bool {
    shared.gates() == 0 && shared.waits.load(Relaxed) == 0 && shared.exchange.tracked.is_idle()
}

/// Whether a command of so many words can be one of a stretch.
fn fits(command: &Command, argc: usize, config: &Config) -> bool {
    let needs_room = config.maxmemory > 0 && !command.is(flags::READONLY);
    command.is_plain() && command.arity_fits(argc) && !needs_room
}

impl Parts<'_> {
    /// Runs commands up to the first one that has to be looked at more closely.
    fn run_stretch(self, stretch: Stretch) -> Ran {
        let Stretch { requests, first, bytes, session, out, moment, mut begins, .. } = stretch;
        let mut notes = Vec::new();
        let mut context = Context {
            keyspace: Keyspace { shards: self.shards, sole: None },
            out: Out { resp3: session.resp3, buf: out },
            moment: moment_of(session, moment),
            session,
            shared: self.shared,
            config: self.config,
            registry: self.registry,
            rng: self.rng,
            notes: &mut notes,
            signals: self.signals,
            effects: self.effects,
            heard: self.heard,
            waiting: None,
            jobs: self.jobs,
            report: None,
            books: None,
            connection: None,
            core: self.core,
            scripts: None,
            pending: None,
            answer: None,
            counting: Counting::Whole,
            lacks_memory: false,
        };
        let (wanted, db) = (context.effects.wanted(), context.session.db);
        let mut ran = Ran { commands: 0, tells: false };
        // Most pipelines are of one kind.
        let mut last: Option<(u16, u32, Handler)> = None;
        for request in &requests.list[first..] {
            context.keyspace.sole = request.shards.sole();
            if context.keyspace.sole.is_none() || !request.shards.is_subset(stretch.at_hand) {
                break;
            }
            let handler = match last {
                Some((command, argc, handler)) if (command, argc) == (request.command, request.argc) => {
                    handler
                }
                _ => {
                    let command = context.registry.row(request.command);
                    if !fits(command, request.argc as usize, context.config) {
                        break;
                    }
                    last = Some((request.command, request.argc, command.handler));
                    command.handler
                }
            };
            let from = context.out.buf.len();
            let old = context.shared.config_epoch() != stretch.config_epoch;
            let killed = stretch.killed.is_some_and(|killed| killed.load(Acquire));
            if from > stretch.out_max || killed || old || !is_quiet(context.shared) {
                break;
            }
            let args = requests.args(request, bytes);
            #[cfg(test)]
            self.trace.push(Executed::command(context.session.id, moment.now_ms, false, args));
            if wanted {
                context.effects.begin(context.keyspace.shards.iter().filter_map(Option::as_deref));
            }
            let start = begins.unwrap_or_else(ticks);
            let result = handler(&mut context, args);
            let end = ticks();
            let ns = ticks_to_ns(end.wrapping_sub(start));
            count_call(&context, request.command, args, ns);
            if wanted {
                let shards = context.keyspace.shards.iter_mut().filter_map(Option::as_deref_mut);
                context.effects.end(db, args, shards);
                ran.tells = context.effects.has_news();
            }
            settle_reply(&mut context, request.command, from, result, Counting::Whole);
            begins = Some(end);
            ran.commands += 1;
            *self.took_long |= ns > SHORT_NS;
            if ran.tells || *self.took_long {
                break;
            }
        }
        debug_assert!(context.waiting.is_none() && context.pending.is_none() && context.notes.is_empty());
        *self.ended = begins;
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
        if !runs || !self.may_stretch(&connection.session) {
            return 0;
        }
        if connection.output.capacity() == 0 {
            self.connection_mut(slot).output = self.spare_buffer();
        }
        let (at_hand, config_epoch, begins) = (self.at_hand(), self.config_epoch, self.command_ended.take());
        let mut parts = self.parts(Some(slot));
        let Connection { card, session, output, unsent, .. } = parts.connection.take().expect("asked for");
        let ran = parts.run_stretch(Stretch {
            requests,
            first,
            bytes,
            session,
            out: output,
            out_max: OUTPUT_PAUSE_BYTES - *unsent,
            killed: Some(&card.killed),
            at_hand,
            moment: *moment,
            config_epoch,
            begins,
        });
        if ran.commands > 0 {
            card.commands.add(ran.commands as u64);
            card.last_command.set(requests.list[first + ran.commands - 1].command as u64 + 1);
        }
        if ran.tells {
            let mut session = self.connection_at(slot).session;
            self.after_command_of(&mut session);
            self.connection_mut(slot).session = session;
        }
        ran.commands
    }

    /// Runs the next commands of a batch if they are plain. `borrowed`: shards at hand that are no others'. Returns how many ran.
    pub(super) fn run_stretch_of(&mut self, batch: &mut Batch, borrowed: ShardSet) -> usize {
        let session = batch.session.as_mut().expect("a batch has a session");
        if !self.may_stretch(session) {
            return 0;
        }
        let (at_hand, config_epoch) = (borrowed.union(self.at_hand()), self.config_epoch);
        let moment = self.moment(true);
        let ran = self.parts(None).run_stretch(Stretch {
            requests: &batch.requests,
            first: batch.next,
            bytes: &batch.buf,
            session,
            out: &mut batch.replies,
            out_max: BATCH_REPLIES_MAX,
            killed: None,
            at_hand,
            moment,
            config_epoch,
            begins: None,
        });
        if ran.tells {
            self.after_command_of(batch.session.as_mut().expect("a batch has a session"));
        }
        ran.commands
    }

    /// Whether nothing stands in the way of a client's commands that would stay there.
    fn may_stretch(&self, session: &Session) -> bool {
        is_plain(session) && !self.heard.follows && !self.is_asking() && self.parked.is_none()
    }
}
