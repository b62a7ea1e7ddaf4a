//! A script, or a function, while it runs: the `Host` through which it calls commands, and what becomes of its end.
//! In: the context of the script's own command. Out: its reply, or word that it is to run again, or later.
//!
//! Invariants: R1, a script that may not stay with its shards writes, and takes longer than `busy-reply-threshold`, only
//! with all of them at hand. R2, time stands still, and the client's session stays as it is, whatever the script does.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::*;

use crate::base::clock::{ticks, ticks_to_ns};
use crate::client::{Args, Session, ShardSet};
use crate::commands::context::{Counting, Pending};
use crate::commands::errand::Ask;
use crate::commands::routing::{remember_keys, shards_of};
use crate::commands::script::trial::{Trace, Traces, Words};
use crate::commands::server::persistence::disk_error;
use crate::commands::{Command, Context, Error, Keyspace, Route, flags};
use crate::log;
use crate::resp::Out;
use crate::script::{
    Called, Engine, Failure, Host, Local, Pause, Reach, Running, Script, Status, flags as script_flags,
};
use crate::shard::{Moment, Report};
use crate::shared::gate;

/// What runs.
pub enum What {
    Script(Rc<Local>),
    Function(String),
}

/// What a script has come to so far; kept while it is parked.
pub struct Ongoing {
    what: What,
    flags: u32,
    command: Vec<Vec<u8>>,
    session: Session,
    moment: Moment,
    read_only: bool,
    wrote: bool,
    /// Memory was short when it began.
    lacks_memory: bool,
    /// It wants no records of what it does.
    unrecorded: bool,
    started_us: u64,
    /// The command that it called asks another server.
    ask: Option<Box<Ask>>,
    /// It takes longer than `busy-reply-threshold`.
    busy: Option<Arc<Running>>,
    /// It is read from a log, and takes as long as it takes: the log file says so once.
    unhurried: bool,
    /// What it would leave behind, if it may have to begin anew yet.
    traces: Traces,
}

impl Ongoing {
    pub fn new(cx: &Context, what: What, flags: u32, read_only: bool) -> Self {
        Self {
            what,
            flags,
            command: Vec::new(),
            session: Session { resp3: false, atomic: true, in_script: true, ..*cx.session },
            moment: cx.moment,
            read_only,
            wrote: false,
            lacks_memory: cx.lacks_memory,
            unrecorded: false,
            started_us: cx.shared.clock.mono_us(),
            ask: None,
            busy: None,
            unhurried: false,
            traces: Traces::default(),
        }
    }

    /// As errors show it: a script's digest, a function's name.
    fn name(&self) -> &[u8] {
        match &self.what {
            What::Script(local) => &local.script.sha,
            What::Function(name) => name.as_bytes(),
        }
    }

    /// Its flags say that it may need memory where that is short.
    fn allows_oom(&self) -> bool {
        self.flags & script_flags::ALLOW_OOM != 0
    }

    fn script(&self) -> Option<&Script> {
        match &self.what {
            What::Script(local) => Some(&local.script),
            What::Function(_) => None,
        }
    }

    fn function(&self) -> Option<&String> {
        match &self.what {
            What::Script(_) => None,
            What::Function(name) => Some(name),
        }
    }

    /// The command that runs it, for FUNCTION STATS. Copied only once it takes long.
    fn note_command(&mut self, args: Args) {
        if self.command.is_empty() {
            self.command = args.iter().map(<[u8]>::to_vec).collect();
        }
    }
}

/// Runs what `start` begins, and answers.
pub fn run(
    cx: &mut Context,
    args: Args,
    mut ongoing: Ongoing,
    start: impl FnOnce(&mut Engine, &mut dyn Host) -> Result<Status, Vec<u8>>,
) -> Result<(), Error> {
    let engine = cx.scripts.take().expect("a script runs inside no other");
    let mut inside = Inside { cx, ongoing: &mut ongoing, args: Some(args) };
    let status = start(engine, &mut inside);
    let result = match status {
        Ok(status) => conclude(cx, engine, status, ongoing),
        Err(why) => Err(Error::showing(&[b"ERR ", &why])),
    };
    cx.scripts = Some(engine);
    result
}

/// Goes on with a script that was parked.
pub fn go_on(cx: &mut Context, mut ongoing: Ongoing) -> Result<(), Error> {
    let engine = cx.scripts.take().expect("a script runs inside no other");
    (cx.moment, cx.lacks_memory) = (ongoing.moment, ongoing.lacks_memory);
    let mut inside = Inside { cx, ongoing: &mut ongoing, args: None };
    let status = engine.go_on(&mut inside);
    let result = conclude(cx, engine, status, ongoing);
    cx.scripts = Some(engine);
    result
}

fn conclude(
    cx: &mut Context,
    engine: &mut Engine,
    status: Status,
    mut ongoing: Ongoing,
) -> Result<(), Error> {
    match status {
        Status::Parked => cx.pending = Some(Pending::Parked(Box::new(ongoing))),
        Status::Asks => {
            let mut ongoing = Box::new(ongoing);
            let ask = ongoing.ask.take().expect("its command asked");
            cx.pending = Some(Pending::Asks(ask, Some(ongoing)));
        }
        Status::OutOfReach => {
            assert!(!ongoing.wrote, "R1: what is to run again has written nothing");
            if let Some(script) = ongoing.script() {
                script.set_reach(Reach::Wide);
            }
            cx.pending = Some(Pending::Widen);
        }
        Status::Done => {
            if let Some(running) = &ongoing.busy
                && cx.shared.scripts.end_busy(running)
            {
                cx.shared.set_gate(gate::BUSY, false);
            }
            std::mem::take(&mut ongoing.traces).tell(cx);
            // What it did was recorded, command by command.
            cx.effects.record_no_more();
            cx.shared.metrics[cx.core].lua_bytes.set(engine.bytes() as u64);
            let counted = match engine.finish(ongoing.name(), &mut cx.out) {
                Ok(counted) => counted,
                Err(Failure { text, counted }) => {
                    cx.out.error_bytes(&text);
                    counted
                }
            };
            cx.counting = if counted { Counting::Failure } else { Counting::Whole };
        }
    }
    Ok(())
}

/// The host of a running script.
struct Inside<'b, 'a> {
    cx: &'b mut Context<'a>,
    ongoing: &'b mut Ongoing,
    args: Option<Args<'b>>,
}

impl Inside<'_, '_> {
    /// A command that does not run, if there is one of that number.
    fn refuse(&mut self, number: Option<u16>, why: Error) -> Called {
        self.leave(Trace::Refused { number, why: why.0.as_ref().into() });
        Called::Refused(why.0)
    }

    /// Why a command may not run from this script, if so.
    fn objection(&self, command: &Command, args: Args) -> Option<Error> {
        if !command.arity_fits(args.len()) {
            return Some(Error::new("ERR Wrong number of args calling Redis command from script"));
        }
        if command.is(flags::NOSCRIPT) && !self.is_let_in(command) {
            return Some(Error::new("ERR This Redis command is not allowed from script"));
        }
        if command.is(flags::WRITE | flags::MAY_REPLICATE) && self.ongoing.read_only {
            return Some(Error::new("ERR Write commands are not allowed from read-only scripts."));
        }
        // What has changed something already may go on to its end.
        if command.is(flags::WRITE) && !self.ongoing.wrote && !self.ongoing.session.timeless {
            let error = disk_error(self.cx.shared);
            if error.is_some() {
                return error;
            }
        }
        let may_grow = self.ongoing.wrote || self.ongoing.allows_oom();
        let lacks_memory = self.cx.lacks_memory && command.is(flags::DENYOOM) && !may_grow;
        lacks_memory.then_some(Error::OOM)
    }

    /// DEBUG SET-DISABLE-DENY-SCRIPTS lets scripts call what is about the server. What is about a connection, or needs the core's Lua,
    /// is kept from them all the same, since they have none to give; and so is what waits until everything is saved.
    fn is_let_in(&self, command: &Command) -> bool {
        let waits = command.route == Route::Save || command.name == "SAVE";
        let about_server = command.is(flags::ADMIN) && command.route != Route::Home && !command.settles;
        about_server && !waits && self.cx.shared.noscript_off.load(Relaxed)
    }

    /// The script waits for its next slice, and meanwhile everybody else hears BUSY.
    fn park(&mut self) -> Pause {
        if let Some(args) = self.args {
            self.ongoing.note_command(args);
        }
        let running = Arc::new(Running {
            function: self.ongoing.function().cloned(),
            command: std::mem::take(&mut self.ongoing.command),
            started_ms: self.ongoing.moment.now_ms,
            core: self.cx.core,
            wrote: self.ongoing.wrote.into(),
            kill: false.into(),
        });
        self.cx.shared.scripts.begin_busy(running.clone());
        self.cx.shared.set_gate(gate::BUSY, true);
        self.cx.signals.push(crate::commands::Signal::Busy);
        self.ongoing.busy = Some(running);
        Pause::Park
    }

    fn at_hand(&self) -> ShardSet {
        let shards = self.cx.keyspace.shards.iter().enumerate().filter(|(_, shard)| shard.is_some());
        shards.fold(ShardSet::EMPTY, |set, (number, _)| set.union(ShardSet::one(number)))
    }

    /// Whether the script has to begin anew, with all shards, before it runs that command (R1).
    fn is_out_of_reach(&self, shards: ShardSet, writes: bool) -> bool {
        let at_hand = self.at_hand();
        if at_hand == ShardSet::first(self.cx.keyspace.shards.len()) {
            return false;
        }
        let (proven, stays) = (self.is_proven(), shards.is_subset(at_hand));
        assert!(stays || !proven, "a script proven to stay with its keys reached beyond");
        !stays || (writes && !proven)
    }

    fn is_proven(&self) -> bool {
        self.ongoing.script().is_some_and(|script| script.reach() == Reach::Proven)
    }

    /// Whether it may have to begin anew yet.
    fn is_on_trial(&self) -> bool {
        self.at_hand() != ShardSet::first(self.cx.keyspace.shards.len()) && !self.is_proven()
    }

    /// Something for the statistics or the log file.
    fn leave(&mut self, trace: Trace) {
        match self.is_on_trial() && !self.ongoing.traces.is_full() {
            true => self.ongoing.traces.keep(trace, self.cx),
            false => trace.tell(self.cx),
        }
    }

    /// False: it asks another server first, and is to be called again.
    fn run_command(&mut self, number: u16, args: Args, shards: ShardSet, out: &mut Vec<u8>) -> bool {
        let cx = &mut *self.cx;
        let command = cx.registry.row(number);
        let resp3 = self.ongoing.session.resp3;
        let report = (command.route == Route::Report).then(|| {
            let mut report = Report::default();
            cx.keyspace.shards.iter().flatten().for_each(|shard| report.add(shard));
            report
        });
        let recorded = cx.effects.wanted();
        if recorded {
            cx.effects.begin(cx.keyspace.shards.iter().filter_map(|shard| shard.as_deref()));
            cx.effects.unrecorded = self.ongoing.unrecorded;
        }
        let db = self.ongoing.session.db;
        let start = ticks();
        let moment = Moment { random: cx.rng.next_u64(), ..self.ongoing.moment };
        let mut context = Context {
            keyspace: Keyspace { shards: &mut *cx.keyspace.shards, sole: shards.sole() },
            session: &mut self.ongoing.session,
            out: Out { buf: out, resp3 },
            shared: cx.shared,
            config: cx.config,
            registry: cx.registry,
            moment: moment.writing(command.is(flags::WRITE)),
            rng: cx.rng,
            notes: cx.notes,
            signals: cx.signals,
            effects: cx.effects,
            heard: cx.heard,
            jobs: cx.jobs,
            waiting: None,
            books: None,
            report: report.as_ref(),
            connection: None,
            core: cx.core,
            scripts: None,
            pending: None,
            answer: cx.answer.take(),
            counting: Counting::Whole,
            lacks_memory: cx.lacks_memory,
        };
        let result = (command.handler)(&mut context, args);
        if let Some(Pending::Asks(ask, _)) = context.pending.take() {
            self.ongoing.ask = Some(ask);
            return false;
        }
        let ns = ticks_to_ns(ticks().wrapping_sub(start));
        // What a script reads is read by its client.
        let session = &self.ongoing.session;
        if session.tracking.remembers() {
            remember_keys(command, args, &cx.shared.slots, cx.keyspace.shards, session.id);
        }
        if recorded {
            let shards = cx.keyspace.shards.iter_mut().filter_map(|shard| shard.as_deref_mut());
            cx.effects.end(db, args, shards);
        }
        if let Err(error) = result {
            out.clear();
            Out { buf: out, resp3 }.error(&error.0);
        }
        let lines = &mut cx.effects.lines;
        if lines.shown && !session.timeless && !command.is(flags::ADMIN | flags::SKIP_MONITOR) {
            lines.note(cx.shared, session.db, "lua", command, args);
        }
        cx.tell_so_far();
        let error = (out.first() == Some(&b'-')).then(|| out.as_slice().into());
        self.leave(Trace::Called { number, ns, error, words: Words::Lent(args) });
        true
    }
}

impl Host for Inside<'_, '_> {
    fn call(&mut self, args: Args, resp3: bool, out: &mut Vec<u8>) -> Called {
        let registry = self.cx.registry;
        let Ok(number) = registry.resolve(args) else {
            return self.refuse(None, Error::new("ERR Unknown Redis command called from script"));
        };
        let command = registry.row(number);
        if let Some(why) = self.objection(command, args) {
            return self.refuse(Some(number), why);
        }
        // What looks at the statistics, or resets them, is to do so once, and to find all of them.
        let writes = command.is(flags::WRITE | flags::MAY_REPLICATE | flags::ADMIN);
        let shards = match command.route {
            Route::Report => ShardSet::first(self.cx.keyspace.shards.len()),
            _ => shards_of(command, args, &self.cx.shared.slots),
        };
        if self.is_out_of_reach(shards, writes) || self.ongoing.traces.is_full() {
            return Called::OutOfReach;
        }
        if command.is(flags::WRITE) && !self.ongoing.wrote {
            self.ongoing.wrote = true;
            if let Some(running) = &self.ongoing.busy {
                running.wrote.store(true, Release);
            }
        }
        self.ongoing.session.resp3 = resp3;
        if self.run_command(number, args, shards, out) { Called::Replied } else { Called::Asks }
    }

    fn pause(&mut self) -> Pause {
        let shared = self.cx.shared;
        let stops = shared.gates() & gate::SHUTDOWN != 0;
        if stops && self.ongoing.session.timeless {
            return Pause::Kill;
        }
        if let Some(running) = &self.ongoing.busy {
            // The end of another such script may have opened the gate.
            shared.set_gate(gate::BUSY, true);
            let kill = running.kill.load(Acquire) && !self.ongoing.wrote;
            return if kill { Pause::Kill } else { Pause::Park };
        }
        // A script that is in progress when the server stops stays where it is: what it did so far is never told.
        if stops {
            return self.park();
        }
        let threshold_ms = self.cx.config.busy_reply_threshold_ms;
        let elapsed_ms = shared.clock.mono_us().saturating_sub(self.ongoing.started_us) / 1000;
        if threshold_ms == 0 || elapsed_ms < threshold_ms || self.ongoing.unhurried {
            return Pause::GoOn;
        }
        let timeless = self.ongoing.session.timeless;
        if !timeless && self.is_on_trial() {
            return Pause::Widen;
        }
        let (kind, name) = (self.ongoing.function().map_or("SCRIPT", |_| "FUNCTION"), self.ongoing.name());
        let name = String::from_utf8_lossy(name);
        log::warning(format_args!(
            "Slow script detected: still in execution after {elapsed_ms} milliseconds. You can try killing the script \
             using the {kind} KILL command. Script name is: {name}."
        ));
        if timeless {
            // What follows it in the log waits for it, and is not to be refused.
            self.ongoing.unhurried = true;
            return Pause::GoOn;
        }
        self.park()
    }

    fn may_call(&self, args: Args) -> Option<bool> {
        self.cx.registry.resolve(args).ok().map(|_| true)
    }

    fn log(&mut self, level: usize, text: &[u8]) {
        self.leave(Trace::Logged { level, text: text.into() });
    }

    /// Log and replicas get the same: all of it, or nothing where the script wants neither.
    fn replicate_to(&mut self, targets: u8) {
        self.ongoing.unrecorded = targets == 0;
    }
}
