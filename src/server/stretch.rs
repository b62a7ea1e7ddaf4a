//! Runs stretches of a pipeline: plain commands of a client that is in no special state, one right after the other.
//! In: parsed commands, a connection. Out: replies in its output, and how many commands ran.
//! What could stand in the way of a command, and would stay there, is looked for once a stretch; what another core may bring about
//! at any time is looked for before each command. Whatever is found ends the stretch: `run` knows what to do about it.
//! (GET took 2050 instructions in user space when each command went the long way, and takes 1100.)

use std::sync::atomic::Ordering::{Acquire, Relaxed};

use super::connections::OUTPUT_PAUSE_BYTES;
use super::core::Core;
#[cfg(test)]
use super::inspect::Executed;
use super::run::{SHORT_NS, count_call, moment_of, settle_reply};
use crate::base::clock::{ticks, ticks_to_ns};
use crate::client::{Connection, ReplyMode, Requests, State, Tracking};
use crate::commands::context::Counting;
use crate::commands::command::Handler;
use crate::commands::{Command, Context, Keyspace, flags};
use crate::config::Config;
use crate::resp::Out;
use crate::shard::Moment;
use crate::shared::Shared;

/// Whether the connection's commands are run and answered, and nothing else comes of them.
fn is_plain(connection: &Connection) -> bool {
    let session = &connection.session;
    connection.state == State::Ready
        && connection.authenticated
        && connection.transaction.is_none()
        && connection.reply_mode == ReplyMode::On
        && !session.subscribed
        && !session.timeless
        && session.tracking == Tracking::OFF
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

impl Core {
    /// Runs plain commands from `index` on. Returns how many ran: none if the first one has to be looked at more closely.
    pub(super) fn run_stretch(
        &mut self,
        slot: u32,
        chunk: &Requests,
        index: usize,
        bytes: &[u8],
        moment: &Moment,
    ) -> usize {
        let told = self.effects.wanted() || self.heard.follows;
        if told || self.is_asking() || !is_plain(self.connection_at(slot)) {
            return 0;
        }
        let (at_hand, epoch) = (self.at_hand(), self.config_epoch);
        let mut begins = self.command_ended.take();
        let mut notes = Vec::new();
        if self.connection_at(slot).output.capacity() == 0 {
            self.connection_mut(slot).output = self.spare_buffer();
        }
        let parts = self.parts(Some(slot));
        let Connection { card, session, output, unsent, .. } = parts.connection.expect("it was asked for");
        let mut context = Context {
            keyspace: Keyspace { shards: parts.shards, sole: None },
            out: Out { resp3: session.resp3, buf: output },
            moment: moment_of(session, *moment),
            session,
            shared: parts.shared,
            config: parts.config,
            registry: parts.registry,
            rng: parts.rng,
            notes: &mut notes,
            signals: parts.signals,
            effects: parts.effects,
            heard: parts.heard,
            waiting: None,
            jobs: parts.jobs,
            report: None,
            books: None,
            connection: None,
            core: parts.core,
            scripts: None,
            pending: None,
            answer: None,
            counting: Counting::Whole,
            lacks_memory: false,
        };
        let mut ran = 0;
        // Most pipelines are of one kind.
        let mut last: Option<(u16, u32, Handler)> = None;
        for request in &chunk.list[index..] {
            context.keyspace.sole = request.shards.sole();
            if context.keyspace.sole.is_none() || !request.shards.is_subset(at_hand) {
                break;
            }
            let handler = match last {
                Some((command, argc, handler)) if (command, argc) == (request.command, request.argc) => handler,
                _ => {
                    let command = context.registry.row(request.command);
                    if !fits(command, request.argc as usize, context.config) {
                        break;
                    }
                    last = Some((request.command, request.argc, command.handler));
                    command.handler
                }
            };
            let (from, config_epoch) = (context.out.buf.len(), context.shared.config_epoch());
            let clogged = from + *unsent > OUTPUT_PAUSE_BYTES;
            if clogged || card.killed.load(Acquire) || config_epoch != epoch || !is_quiet(context.shared) {
                break;
            }
            let args = chunk.args(request, bytes);
            #[cfg(test)]
            parts.trace.push(Executed::command(context.session.id, moment.now_ms, false, args));
            let start = begins.unwrap_or_else(ticks);
            let result = handler(&mut context, args);
            let end = ticks();
            let ns = ticks_to_ns(end.wrapping_sub(start));
            count_call(&context, request.command, args, ns);
            settle_reply(&mut context, request.command, from, result, Counting::Whole);
            begins = Some(end);
            ran += 1;
            if ns > SHORT_NS {
                *parts.took_long = true;
                break;
            }
        }
        debug_assert!(context.waiting.is_none() && context.pending.is_none() && context.notes.is_empty());
        if ran > 0 {
            card.commands.add(ran as u64);
            card.last_command.set(chunk.list[index + ran - 1].command as u64 + 1);
        }
        *parts.ended = begins;
        ran
    }
}
