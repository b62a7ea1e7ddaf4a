//! From received bytes to replies: parse a chunk, pass the gates, run here or make a batch of it.
//! In: bytes of one connection. Out: replies in its output, or a batch on its way.
//! Absent: parsing (`chunk`), where a batch goes (`route`), what a command does (`commands`).

use std::sync::Arc;

use super::batch::{BATCH_BYTES_MAX, BATCH_COMMANDS_MAX, Batch, ExecWord, Kind};
use super::chunk::Parsed;
use super::connections::OUTPUT_PAUSE_BYTES;
use super::core::Core;
use super::dispatch::{Gates, Verdict};
use super::monitor::tells_itself;
use super::room::Room;
use crate::base::clock::{ticks, ticks_to_ns};
use crate::base::rng::Rng;
use crate::client::{
    Args, Connection, ConnectionId, ReplyMode, Request, Requests, Session, ShardSet, State, Tracking,
    Transaction, Wait, Watched, flag,
};
use crate::commands::blocking::Waiting;
use crate::commands::context::Counting;
use crate::commands::errand::Answered;
use crate::commands::news::Heard;
use crate::commands::script::{Ongoing, go_on};
use crate::commands::slow::{is_noted, note_time};
use crate::commands::{
    Command, Context, Effects, Error, Keyspace, Note, Pending, Registry, Route, Signal, flags,
};
use crate::config::Config;
use crate::pubsub::Books;
use crate::resp::{Out, ProtocolError};
use crate::script::Engine;
use crate::shard::{Moment, Report, Shard};
use crate::shared::Shared;
use crate::storage::Job;

/// The time of a command that what runs behind it in the same chunk or batch may disregard.
pub(super) const SHORT_NS: u64 = 200_000;
/// Bytes of the words of a transaction's commands: their places have 32 bits.
const QUEUE_BYTES_MAX: usize = u32::MAX as usize;

/// The parts of a core that a command runs on.
pub struct Parts<'a> {
    pub shards: &'a mut [Option<Box<Shard>>],
    pub shared: &'a Shared,
    pub config: &'a Arc<Config>,
    pub registry: &'a Registry,
    pub rng: &'a mut Rng,
    pub signals: &'a mut Vec<Signal>,
    pub effects: &'a mut Effects,
    pub heard: &'a mut Heard,
    pub jobs: &'a mut Vec<Job>,
    pub connection: Option<&'a mut Connection>,
    pub core: usize,
    pub scripts: &'a mut Engine,
    /// Becomes true where what ran took so long that the time is another.
    pub took_long: &'a mut bool,
    /// Becomes the tick at which the command ended.
    pub ended: &'a mut Option<u64>,
    pub answer: &'a mut Option<Answered>,
    #[cfg(test)]
    pub trace: &'a mut Vec<super::inspect::Executed>,
}

/// One command about to run.
pub struct Call<'a> {
    pub request: &'a Request,
    pub args: Args<'a>,
    pub session: &'a mut Session,
    /// Who waits, if the command does.
    pub from: ConnectionId,
    pub out: &'a mut Vec<u8>,
    pub notes: &'a mut Vec<Note>,
    pub moment: Moment,
    pub report: Option<&'a Report>,
    pub books: Option<&'a mut Books>,
    /// The tick at which it begins, where that is known.
    pub begins: Option<u64>,
}

/// How a command ended.
pub struct Outcome {
    pub failed: bool,
    /// It has no reply yet.
    pub waits: bool,
    /// Bytes in front of the reply that tell of what was evicted to make room for it.
    pub pushed: usize,
    /// It did not come to its end.
    pub pending: Option<Pending>,
}

/// Why a chunk stopped.
enum Stop {
    /// All parsed commands ran; more input is needed.
    Dry,
    /// The chunk ran; there may be more to parse.
    Again,
    /// The connection waits: away, held back or closing. So many bytes of the chunk were used.
    Wait,
}

impl Parts<'_> {
    /// Runs one command: the only place that calls a handler, but for scripts. It may have asked another server before.
    #[inline]
    pub fn call(&mut self, call: Call) -> Outcome {
        let handler = self.registry.row(call.request.command).handler;
        let (args, resumed) = (call.args, self.answer.is_some());
        self.run(call, resumed, |context| handler(context, args))
    }

    /// Goes on with a script that was put aside.
    pub fn resume(&mut self, call: Call, ongoing: Ongoing) -> Outcome {
        self.run(call, true, |context| go_on(context, ongoing))
    }

    #[inline]
    fn run(
        &mut self,
        mut call: Call,
        resumed: bool,
        run: impl FnOnce(&mut Context) -> Result<(), Error>,
    ) -> Outcome {
        let (request, args, client) = (call.request, call.args, call.from);
        let command = self.registry.row(request.command);
        let (lacks_memory, pushed) = match self.admit(command, &mut call, resumed) {
            Ok(admitted) => admitted,
            Err(refused) => return refused,
        };
        #[cfg(test)]
        self.note_call(&call, resumed);
        let wanted = self.effects.wanted();
        if wanted {
            self.effects.begin(self.shards.iter().filter_map(|shard| shard.as_deref()));
        }
        let (tracking, from) = (call.session.tracking, call.out.len());
        let monitored = self.is_shown(call.session, resumed);
        if monitored && tells_itself(command) && !resumed {
            self.monitor(command, args, call.session);
        }
        let asked = self.answer.as_ref().map(|answer| answer.asked);
        let start = asked.or(call.begins).unwrap_or_else(ticks);
        let mut context = self.context(command, &mut call, lacks_memory);
        let result = run(&mut context);
        if let Some(waiting) = context.waiting.take() {
            begin_wait(&mut context, *waiting, client, request, args);
            self.effects.take_incidents(self.shards.iter_mut().filter_map(|shard| shard.as_deref_mut()));
            self.read_for(command, args, call.session, tracking);
            if monitored {
                self.monitor_end(command, args, call.session);
            }
            return Outcome { failed: false, waits: true, pushed, pending: None };
        }
        let (counting, db, pending) = (context.counting, context.session.db, context.pending.take());
        if let Some(why) = &pending {
            #[cfg(test)]
            if let Pending::Widen = why {
                // It changed nothing, and runs again.
                self.trace.pop();
            }
            if monitored {
                self.monitor_part(why);
            }
            return Outcome { failed: false, waits: false, pushed, pending };
        }
        let end = ticks();
        let ns = ticks_to_ns(end.wrapping_sub(start));
        // What is read from a log was counted when it was sent.
        if !context.session.timeless {
            count_call(&context, request.command, args, ns);
        }
        let failed = settle_reply(&mut context, request.command, from, result, counting);
        *self.ended = Some(end);
        *self.took_long |= ns > SHORT_NS;
        self.read_for(command, args, call.session, tracking);
        if wanted {
            self.effects.end(db, args, self.shards.iter_mut().filter_map(|shard| shard.as_deref_mut()));
        }
        if self.config.maxmemory > 0 && !command.is(flags::READONLY) {
            self.publish(request.shards);
        }
        if monitored {
            self.monitor_end(command, args, call.session);
        }
        Outcome { failed, waits: false, pushed, pending: None }
    }

    /// Makes room for a command. Returns whether memory is short, and how many bytes in front of the reply tell of what was
    /// evicted; or what became of a command that is refused.
    #[inline]
    fn admit(&mut self, command: &Command, call: &mut Call, resumed: bool) -> Result<(bool, usize), Outcome> {
        let tracks = !self.shared.exchange.tracked.is_idle();
        if tracks {
            self.follow_changes(call.session.id);
        }
        let admitted = self.admits(command, call.request, call.args, call.session, &call.moment, !resumed);
        // With the books at hand nothing can be told before the command is over; nor what a script did before it was parked.
        let tells = tracks && call.books.is_none() && !resumed;
        let pushed = if tells { self.tell_evicted(call.session, call.from, call.out) } else { 0 };
        match admitted {
            Ok(Room::Elsewhere) => {
                Err(Outcome { failed: false, waits: false, pushed, pending: Some(Pending::Widen) })
            }
            Ok(room) => Ok((room == Room::None, pushed)),
            Err(error) => {
                let from = call.out.len();
                Out { buf: call.out, resp3: call.session.resp3 }.error(&error.0);
                self.shared.metrics[self.core].commands[call.request.command as usize].rejected.add(1);
                self.shared.count_error_reply(self.core, &call.out[from..]);
                Err(Outcome { failed: true, waits: false, pushed, pending: None })
            }
        }
    }

    #[inline]
    pub(super) fn context<'c>(
        &'c mut self,
        command: &Command,
        call: &'c mut Call,
        lacks_memory: bool,
    ) -> Context<'c> {
        let mut moment = call.moment.writing(command.is(flags::WRITE));
        moment.draw(self.rng);
        Context {
            keyspace: Keyspace { shards: self.shards, sole: call.request.shards.sole() },
            out: Out { buf: call.out, resp3: call.session.resp3 },
            session: call.session,
            shared: self.shared,
            config: self.config,
            registry: self.registry,
            moment,
            rng: self.rng,
            notes: call.notes,
            signals: self.signals,
            effects: self.effects,
            heard: self.heard,
            waiting: None,
            jobs: self.jobs,
            report: call.report,
            books: call.books.as_deref_mut(),
            connection: self.connection.as_deref_mut(),
            core: self.core,
            scripts: Some(self.scripts),
            pending: None,
            answer: self.answer.take(),
            counting: Counting::Whole,
            lacks_memory,
        }
    }

    /// A command begins, unless it goes on.
    #[cfg(test)]
    fn note_call(&mut self, call: &Call, resumed: bool) {
        if !resumed {
            let Call { session, moment, args, .. } = call;
            let line = super::inspect::Executed::command(session.id, moment.now_ms, session.atomic, *args);
            self.trace.push(line);
        }
    }
}

/// Counts a command that ran and took `ns`, and notes it if that was long.
#[inline(always)]
pub(super) fn count_call(cx: &Context, number: u16, args: Args, ns: u64) {
    let metrics = &cx.shared.metrics[cx.core];
    metrics.commands_processed.add(1);
    metrics.commands[number as usize].record(ns, cx.config.latency_tracking);
    if is_noted(cx.config, ns) {
        note_time(cx.shared, cx.config, cx.registry.row(number), args, cx.session.id, ns);
    }
}

/// Writes a handler's error in place of its reply, which began at `from`, and counts errors. True: it is one.
#[inline(always)]
pub(super) fn settle_reply(
    cx: &mut Context,
    number: u16,
    from: usize,
    result: Result<(), Error>,
    counting: Counting,
) -> bool {
    let failed = result.is_err() || cx.out.buf.get(from) == Some(&b'-');
    if failed {
        settle_error(cx, number, from, result.err(), counting);
    }
    failed
}

#[cold]
fn settle_error(cx: &mut Context, number: u16, from: usize, error: Option<Error>, counting: Counting) {
    if let Some(error) = error {
        cx.out.buf.truncate(from);
        cx.out.error(&error.0);
    }
    if counting == Counting::Nothing {
        return;
    }
    cx.shared.metrics[cx.core].commands[number as usize].failed.add(1);
    if counting == Counting::Whole {
        cx.shared.count_error_reply(cx.core, &cx.out.buf[from..]);
    }
}

/// The command found nothing: it waits, or waits on.
fn begin_wait(cx: &mut Context, waiting: Waiting, client: ConnectionId, request: &Request, args: Args) {
    if cx.session.serving {
        return;
    }
    let Waiting { keys, kind, by_group, target, deadline_ms, nothing, words } = waiting;
    let words: Vec<&[u8]> = match &words {
        Some(words) => words.iter().map(Vec::as_slice).collect(),
        None => args.iter().collect(),
    };
    let wait = Arc::new(Wait::new(client, *cx.session, *request, &words, keys, deadline_ms, nothing));
    cx.register(&wait, kind, by_group, target);
    cx.shared.waits.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    // CLIENT UNBLOCK and CLIENT KILL find it although the news have yet to travel home.
    let card = match &cx.connection {
        Some(connection) => Some(connection.card.clone()),
        None => cx.shared.clients.get(cx.session.id),
    };
    if let Some(card) = &card {
        *card.wait.lock().expect("nobody panics holding a wait") = Some(wait.clone());
        card.set_flag(flag::BLOCKED, true);
    }
    if card.is_none_or(|card| card.killed.load(std::sync::atomic::Ordering::Acquire)) {
        // The client is gone already: nobody serves it.
        wait.abandon();
    }
    cx.notes.push(Note::Waits(wait));
}

/// How this client's commands look at the keyspace.
pub(super) fn moment_of(session: &Session, moment: Moment) -> Moment {
    let moment = Moment { touch: !session.no_touch, ..moment };
    if session.timeless { moment.timeless() } else { moment }
}

impl Core {
    /// Runs what `bytes` (the start of a connection's unread input) hold. Returns how many bytes were used.
    pub(super) fn run_input(&mut self, slot: u32, bytes: &[u8]) -> usize {
        let mut chunk = std::mem::take(&mut self.chunk);
        let mut used = 0;
        loop {
            chunk.clear();
            let (stop, bytes_used) = self.run_chunk(slot, &bytes[used..], &mut chunk);
            used += bytes_used;
            self.clock_is_old = true;
            match stop {
                Stop::Again if used < bytes.len() => {}
                Stop::Wait if used < bytes.len() && self.may_go_on(slot) => {}
                _ => break,
            }
        }
        self.chunk = chunk;
        self.output_grew(slot);
        self.send_signals();
        used
    }

    fn may_go_on(&self, slot: u32) -> bool {
        let connection = self.connection_at(slot);
        connection.state == State::Ready && !connection.clogged
    }

    /// Parses one chunk and runs it.
    fn run_chunk(&mut self, slot: u32, bytes: &[u8], chunk: &mut Requests) -> (Stop, usize) {
        let parsed = self.parse_chunk(slot, bytes, chunk);
        let end = chunk.list.last().map_or(0, |last| last.end as usize);
        if let Some(used) = self.run_list(slot, chunk, bytes) {
            self.connection_mut(slot).parser.reset();
            return (Stop::Wait, used);
        }
        match parsed {
            Parsed::Full => (Stop::Again, end),
            Parsed::Dry(skip) => (Stop::Dry, skip),
            Parsed::Inline { begin, end, args } => {
                // Requests of no words may stand between.
                debug_assert!(begin >= chunk.list.last().map_or(0, |last| last.end as usize));
                match self.run_inline(slot, &args) {
                    Some(0) => (Stop::Wait, begin),
                    Some(_) => (Stop::Wait, end),
                    None => (Stop::Again, end),
                }
            }
            Parsed::Broken(error) => {
                self.protocol_error(slot, error);
                (Stop::Wait, bytes.len())
            }
        }
    }

    /// Runs an inline command as if it had come as an array. None: it ran; otherwise whether it was used (1) or not.
    fn run_inline(&mut self, slot: u32, args: &[Vec<u8>]) -> Option<usize> {
        let mut bytes = Vec::new();
        let mut out = Out { buf: &mut bytes, resp3: false };
        out.array(args.len());
        args.iter().for_each(|arg| out.bulk(arg));
        let mut chunk = Requests::default();
        self.connection_mut(slot).parser.reset();
        match self.parse_chunk(slot, &bytes, &mut chunk) {
            Parsed::Full | Parsed::Dry(_) => self.run_list(slot, &mut chunk, &bytes).map(|used| used.min(1)),
            Parsed::Broken(error) => {
                self.protocol_error(slot, error);
                Some(1)
            }
            Parsed::Inline { .. } => unreachable!("it was written as an array"),
        }
    }

    fn protocol_error(&mut self, slot: u32, error: ProtocolError) {
        let connection = self.connection_mut(slot);
        if connection.state == State::Closing {
            return;
        }
        let text = [b"ERR ", &error.text()[..]].concat();
        self.reply(slot, |out| out.error(&text));
        self.shared.metrics[self.id].error_replies.add(1);
        self.shared.count_error(&text);
        let connection = self.connection_mut(slot);
        if connection.output.is_empty() && connection.unsent == 0 {
            // Redis closes it behind the last reply, and it has none to wait for.
            connection.state = State::Deaf;
            connection.parser.reset();
            return connection.card.set_flag(flag::CLOSE_AFTER_REPLY, true);
        }
        self.close(slot, true);
    }

    /// Runs parsed commands in order. Some(bytes used): the connection has to wait before it goes on.
    fn run_list(&mut self, slot: u32, chunk: &mut Requests, bytes: &[u8]) -> Option<usize> {
        let mut gates = self.shared.gates();
        // A gate that opened since the event began may have done so with a log that began.
        self.refresh_config();
        self.look_at_clock();
        self.command_ended = None;
        let mut moment = self.moment(true);
        let mut config_epoch = self.config_epoch;
        let mut index = 0;
        while index < chunk.list.len() {
            // Any command, of this core or another, may have closed a gate or changed the configuration.
            let gates_before = std::mem::replace(&mut gates, self.shared.gates());
            self.refresh_config();
            if gates != gates_before || self.config_epoch != config_epoch {
                config_epoch = self.config_epoch;
                self.clock_is_old = true;
            }
            if self.clock_is_old {
                self.look_at_clock();
                moment = self.moment(true);
            }
            let ran = self.run_stretch_here(slot, chunk, index, bytes, &moment);
            if ran > 0 {
                index += ran;
                continue;
            }
            let request = chunk.list[index];
            if self.may_hear(&self.connection_at(slot).session) {
                self.look_for_mail();
                self.command_ended = None;
            }
            let connection = self.connection_mut(slot);
            if connection.state != State::Ready {
                return Some(request.begin as usize);
            }
            if connection.output.len() + connection.unsent > OUTPUT_PAUSE_BYTES {
                connection.clogged = true;
                return Some(request.begin as usize);
            }
            if connection.card.killed.load(std::sync::atomic::Ordering::Acquire) {
                self.close(slot, false);
                return Some(request.begin as usize);
            }
            let args = chunk.args(&request, bytes);
            match self.judge(slot, &request, args, gates) {
                Verdict::Run
                    if request.command == self.exec && self.connection_mut(slot).transaction.is_some() =>
                {
                    self.exec(slot, args);
                    index += 1;
                }
                Verdict::Run => {
                    let ran = self.run_local(slot, chunk, index, bytes, &moment);
                    if ran == 0 {
                        let taken = self.depart(slot, chunk, index, bytes, gates);
                        index += taken;
                    } else {
                        index += ran;
                    }
                }
                Verdict::Queue => {
                    self.queue(slot, chunk, index, bytes);
                    index += 1;
                }
                Verdict::Hold => {
                    self.hold_back(slot);
                    return Some(request.begin as usize);
                }
                Verdict::Attack => {
                    super::admission::note_attack(&self.shared, self.connection_at(slot), self.now_ms);
                    self.close(slot, false);
                    return Some(request.begin as usize);
                }
                Verdict::Refuse(error) => {
                    self.refuse(slot, &request, error);
                    index += 1;
                }
            }
        }
        let state = self.connection_mut(slot).state;
        (state != State::Ready).then(|| chunk.list.last().map_or(0, |last| last.end as usize))
    }

    #[inline]
    fn judge(&self, slot: u32, request: &Request, args: Args, gates: u32) -> Verdict {
        let gates = Gates {
            shared: &self.shared,
            registry: &self.registry,
            config: &self.config,
            now_ms: self.now_ms,
            gates,
        };
        gates.judge(self.connection_at(slot), request, args)
    }

    /// Runs commands from `index` on while they can run on this core. Returns how many did.
    fn run_local(
        &mut self,
        slot: u32,
        chunk: &mut Requests,
        index: usize,
        bytes: &[u8],
        moment: &Moment,
    ) -> usize {
        let request = &chunk.list[index];
        let command = self.registry.row(request.command);
        if command.route == Route::Report && self.shared.slots.shard_count() > 1 {
            return 0;
        }
        if self.rests(request) {
            return 0;
        }
        let argv = Args::new(bytes, &chunk.spans[request.first_span as usize..][..request.argc as usize]);
        let here = self.at_hand_for(request);
        let reports = command.route == Route::Report;
        if !request.shards.is_subset(here) || (reports && here.is_empty()) {
            return 0;
        }
        if !self.beyond(command, request.shards, here).is_empty() {
            return 0;
        }
        let report = reports.then(|| self.report_at_hand());
        match self.run_here(slot, request, argv, moment, report.as_ref()) {
            None => {
                self.ran(slot, request.shards);
                1
            }
            Some(Pending::Widen) => {
                chunk.list[index].shards = ShardSet::first(self.shards.len());
                0
            }
            Some(pending) => {
                self.park_here(slot, chunk, index, bytes, pending);
                1
            }
        }
    }

    /// A command that was begun straight from the receive buffer is put aside: it becomes a batch.
    fn park_here(&mut self, slot: u32, chunk: &Requests, index: usize, bytes: &[u8], pending: Pending) {
        let mut batch = self.new_batch(slot);
        batch.requests.adopt(&mut batch.buf, &chunk.list[index], chunk, bytes);
        self.connection_mut(slot).state = State::Away;
        self.parking = Some(pending);
        let unparked = self.park(batch);
        assert!(unparked.is_none(), "it was to be parked");
    }

    /// Runs one command on this core, straight from the receive buffer into the connection's output.
    #[inline]
    fn run_here(
        &mut self,
        slot: u32,
        request: &Request,
        args: Args,
        moment: &Moment,
        report: Option<&Report>,
    ) -> Option<Pending> {
        let row = self.registry.row(request.command);
        let (subscribes, settles) = (row.subscribes, row.settles);
        let shared = settles.then(|| self.shared.clone());
        let mut books = shared.as_ref().map(|shared| self.settle_mail(&shared.exchange));
        let connection = self.connection_mut(slot);
        if connection.state != State::Ready {
            // What was delivered last was too much for it.
            return None;
        }
        let (mut session, from) = (connection.session, connection.id);
        let mut out = std::mem::take(&mut connection.output);
        connection.card.commands.add(1);
        connection.card.last_command.set(request.command as u64 + 1);
        if out.capacity() == 0 {
            out = self.spare_buffer();
        }
        let begin = out.len();
        let mut notes = std::mem::take(&mut self.notes);
        let moment = moment_of(&session, *moment);
        // Where one command follows another, one look at the counter serves both.
        let begins = self.command_ended.take().filter(|_| !settles);
        let call = Call {
            request,
            args,
            session: &mut session,
            from,
            out: &mut out,
            notes: &mut notes,
            moment,
            report,
            books: books.as_deref_mut(),
            begins,
        };
        let Outcome { waits, pushed, pending, .. } = self.parts(Some(slot)).call(call);
        drop(books);
        match pending {
            // To make room for what begins anew, keys were evicted perhaps.
            None | Some(Pending::Widen) => self.after_command_of(&mut session),
            Some(Pending::Parked(_) | Pending::Asks(..)) => self.after_part(),
        }
        let connection = self.connection_mut(slot);
        connection.session = session;
        // What waits has its reply, and so its silence, before it.
        if connection.reply_mode != ReplyMode::On && !waits && pending.is_none() {
            mute(connection, &mut out, begin + pushed, subscribes);
        }
        connection.output = out;
        let leaving = connection.leaving;
        self.take_notes(slot, &mut notes);
        self.notes = notes;
        if leaving {
            self.close(slot, true);
        }
        pending
    }

    /// Notes of a command for its connection.
    pub(super) fn take_notes(&mut self, slot: u32, notes: &mut Vec<Note>) {
        for note in notes.drain(..) {
            match note {
                Note::Waits(wait) => self.begin_wait(slot, wait),
                Note::Hold(hold) => self.hold_here(slot, hold),
                Note::Watched(watched) => {
                    let connection = self.connection_mut(slot);
                    connection.watched.push(watched);
                    connection.card.watched.set(connection.watched.len() as u64);
                    if connection.state == State::Closing {
                        let watched = std::mem::take(&mut connection.watched);
                        self.unwatch_all(watched);
                    }
                }
            }
        }
    }

    /// Makes a batch of the command at `index` and those behind it that may travel with it, and sends it off.
    /// Returns how many commands it took.
    fn depart(&mut self, slot: u32, chunk: &Requests, index: usize, bytes: &[u8], gates: u32) -> usize {
        let mut batch = self.new_batch(slot);
        let first = self.registry.row(chunk.list[index].command);
        if first.route == Route::Report {
            batch.kind = Kind::Report { report: Box::default(), next: 0 };
        }
        let alone = first.route == Route::Report || self.connection_mut(slot).reply_mode != ReplyMode::On;
        let most = if alone { 1 } else { BATCH_COMMANDS_MAX };
        for request in chunk.list[index..].iter().take(most) {
            let taken = batch.requests.list.len();
            if taken > 0
                && (batch.buf.len() >= BATCH_BYTES_MAX
                    || !self.may_travel(slot, chunk, request, bytes, gates))
            {
                break;
            }
            batch.requests.adopt(&mut batch.buf, request, chunk, bytes);
            if self.registry.row(request.command).is(flags::BLOCKING) {
                break;
            }
        }
        let taken = batch.requests.list.len();
        self.send_off(slot, batch);
        taken
    }

    /// Whether a command may travel behind others of its connection: it passes the gates and is no business of home.
    fn may_travel(&self, slot: u32, chunk: &Requests, request: &Request, bytes: &[u8], gates: u32) -> bool {
        let args = chunk.args(request, bytes);
        matches!(self.judge(slot, request, args, gates), Verdict::Run)
            && !matches!(self.registry.row(request.command).route, Route::Home | Route::Report)
    }

    pub(super) fn new_batch(&mut self, slot: u32) -> Box<Batch> {
        let mut batch = self.spare_batches.pop().unwrap_or_default();
        if batch.replies.capacity() == 0 {
            batch.replies = self.spare_buffer();
        }
        let connection = self.connection_mut(slot);
        batch.connection = Some(connection.id);
        batch.session = Some(connection.session);
        batch
    }

    /// The connection's batch leaves; until it is back the connection runs nothing (K1).
    fn send_off(&mut self, slot: u32, batch: Box<Batch>) {
        let exec = self.exec;
        let connection = self.connection_mut(slot);
        connection.state = State::Away;
        connection.card.commands.add(batch.requests.list.len() as u64);
        let last = match batch.kind {
            Kind::Transaction { .. } => Some(exec),
            _ => batch.requests.list.last().map(|last| last.command),
        };
        if let Some(last) = last {
            connection.card.last_command.set(last as u64 + 1);
        }
        self.note_batch(slot, &batch);
        if self.rides_in_convoy(&batch) {
            self.convoy.push(batch);
        } else {
            self.advance(batch);
        }
    }

    /// MULTI is open: the command is queued.
    fn queue(&mut self, slot: u32, chunk: &Requests, index: usize, bytes: &[u8]) {
        let connection = self.connection_mut(slot);
        let transaction = connection.transaction.as_mut().expect("the gate looked");
        let Transaction { buf, requests, .. } = &mut **transaction;
        requests.adopt(buf, &chunk.list[index], chunk, bytes);
        connection.card.last_command.set(chunk.list[index].command as u64 + 1);
        connection.card.multi.set(requests.list.len() as u64 + 1);
        let is_full = buf.len() > QUEUE_BYTES_MAX;
        let queued_bytes = buf.len() + requests.memory_bytes();
        connection.card.multi_bytes.set(queued_bytes as u64);
        if is_full || queued_bytes > self.config.client_query_buffer_limit as usize {
            return self.close_for_input(slot);
        }
        self.reply(slot, |out| out.simple("QUEUED"));
        // It grew, although it may not be told so.
        self.recount(slot);
    }

    /// EXEC with a transaction open: all of it becomes one batch.
    fn exec(&mut self, slot: u32, args: Args) {
        let (transaction, watched) = self.end_transaction(slot);
        let transaction = transaction.expect("the caller looked");
        if transaction.aborted {
            let session = &mut self.connection_mut(slot).session;
            session.tracking = session.tracking.without(Tracking::CACHING);
        }
        let word = ExecWord::from_slice(args.at(0));
        if transaction.aborted {
            let session = self.connection_at(slot).session;
            self.monitor_begins();
            self.monitor_exec(&word, &session);
            self.unwatch_all(watched);
            let exec = self.exec as u64 + 1;
            self.connection_mut(slot).card.last_command.set(exec);
            let metrics = &self.shared.metrics[self.id];
            metrics.commands_processed.add(1);
            metrics.commands[self.exec as usize].record(0, false);
            metrics.commands[self.exec as usize].failed.add(1);
            metrics.error_replies.add(1);
            self.shared.count_error(&Error::EXECABORT.0);
            return self.reply(slot, |out| out.error(&Error::EXECABORT.0));
        }
        let (mut shards, at_home) = self.route_transaction(&transaction.requests, &transaction.buf);
        watched.iter().for_each(|key| shards.insert(key.shard));
        let mut batch = self.new_batch(slot);
        batch.buf = transaction.buf;
        batch.requests = transaction.requests;
        batch.kind = Kind::Transaction { watched, shards, at_home, word };
        self.send_off(slot, batch);
    }

    /// The connection is in no transaction any more, and watches nothing: what it had.
    fn end_transaction(&mut self, slot: u32) -> (Option<Box<Transaction>>, Vec<Watched>) {
        let connection = self.connection_mut(slot);
        connection.card.multi.set(0);
        connection.card.multi_bytes.set(0);
        connection.card.watched.set(0);
        connection.card.set_flag(flag::MULTI, false);
        (connection.transaction.take(), std::mem::take(&mut connection.watched))
    }

    /// CLIENT PAUSE holds the connection's next command back.
    fn hold_back(&mut self, slot: u32) {
        let connection = self.connection_mut(slot);
        connection.state = State::Paused;
        connection.card.set_flag(flag::BLOCKED, true);
        let id: ConnectionId = connection.id;
        self.held_back.push(id);
    }

    /// A gate refused the command: that spoils a transaction being queued, and ends it if the command was EXEC.
    fn refuse(&mut self, slot: u32, request: &Request, mut error: Error) {
        if request.command == self.exec {
            error = Error::exec_refused(&error);
            let (_, watched) = self.end_transaction(slot);
            self.unwatch_all(watched);
        }
        let known = request.command != Request::UNKNOWN;
        let about_clients = known && self.registry.row(request.command).is_about_clients();
        let unqueued = known && self.registry.row(request.command).unqueued;
        let connection = self.connection_mut(slot);
        connection.card.last_command.set(if known { request.command as u64 + 1 } else { 0 });
        if let Some(transaction) = &mut connection.transaction
            && !(unqueued && [Error::WATCH_INSIDE_MULTI, Error::NESTED_MULTI].contains(&error))
        {
            transaction.aborted = true;
        }
        if connection.transaction.is_none() && !about_clients {
            connection.session.tracking = connection.session.tracking.without(Tracking::CACHING);
        }
        if known {
            self.shared.metrics[self.id].commands[request.command as usize].rejected.add(1);
        }
        self.shared.metrics[self.id].error_replies.add(1);
        self.shared.count_error(&error.0);
        self.reply(slot, |out| out.error(&error.0));
    }

    /// Writes a reply of the core itself.
    pub(super) fn reply(&mut self, slot: u32, write: impl FnOnce(&mut Out)) {
        let connection = self.connection_mut(slot);
        let mut output = std::mem::take(&mut connection.output);
        let from = output.len();
        write(&mut Out { buf: &mut output, resp3: connection.session.resp3 });
        if connection.reply_mode != ReplyMode::On {
            mute(connection, &mut output, from, false);
        }
        connection.output = output;
    }

    /// The report of the shards at hand.
    pub(super) fn report_at_hand(&self) -> Report {
        let mut report = Report::default();
        self.shards.iter().flatten().for_each(|shard| report.add(shard));
        report
    }
}

/// CLIENT REPLY OFF and SKIP: drops the reply that was just written, unless it is one that is never silenced (`kept`).
pub(super) fn mute(connection: &mut Connection, output: &mut Vec<u8>, from: usize, kept: bool) {
    if !kept && connection.reply_mode != ReplyMode::On {
        output.truncate(from);
    }
    connection.reply_mode = match connection.reply_mode {
        ReplyMode::SkipNext => ReplyMode::Skip,
        ReplyMode::Skip => ReplyMode::On,
        lasting => lasting,
    };
}
