//! MONITOR: every command of every core, in one order for all listeners.
//! In: commands that ran, on any core; scripts as they start. Out: lines on the connections under MONITOR.
//! Invariant M1: places in the common order are dense, so a listener's core knows when something is still missing.
//! How lines get their place: `commands::monitor`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::core::Core;
use super::run::Parts;
use crate::client::{Args, ConnectionId, ReplyMode, Session, State};
use crate::commands::{Command, Pending, Route, flags};
use crate::resp::Span;

/// Lines that arrived before earlier ones, for each listener.
#[derive(Default)]
pub struct Reorder {
    listeners: HashMap<ConnectionId, Missing>,
}

/// What a listener has yet to get.
struct Missing {
    /// The first place since it listens: if it left and came back, that is another.
    since: u64,
    next: u64,
    lines: BTreeMap<u64, Arc<[u8]>>,
}

impl Missing {
    fn since(since: u64) -> Self {
        Self { since, next: since, lines: BTreeMap::new() }
    }
}

/// Whether a command's line comes before it rather than behind it: those of what a script calls come behind the script's.
pub(super) fn tells_itself(command: &Command) -> bool {
    matches!(command.route, Route::Script | Route::Function)
}

impl Parts<'_> {
    /// Whether the command that begins, or goes on, is shown: what belongs to something atomic is if the rest of it is.
    #[inline]
    pub(super) fn is_shown(&mut self, session: &Session, resumed: bool) -> bool {
        let lines = &mut self.effects.lines;
        if !session.atomic && !resumed {
            lines.begin(self.shared);
        }
        lines.shown
    }

    /// Notes a command, with the database that its client is in by now.
    #[cold]
    pub(super) fn monitor(&mut self, command: &Command, args: Args, session: &Session) {
        let shown = tells_itself(command) || !command.is(flags::SKIP_MONITOR);
        if !shown || command.is(flags::ADMIN) || session.serving || session.timeless {
            return;
        }
        if let Some(card) = self.shared.clients.get(session.id) {
            self.effects.lines.note(self.shared, session.db, &card.addr, command, args);
        }
    }

    /// A command is over, or waits.
    #[cold]
    pub(super) fn monitor_end(&mut self, command: &Command, args: Args, session: &Session) {
        if !tells_itself(command) {
            self.monitor(command, args, session);
        }
        if !session.atomic {
            self.effects.lines.tell(self.shared, self.signals);
        }
    }

    /// A command did not come to its end. Who waits for another server keeps its lines.
    #[cold]
    pub(super) fn monitor_part(&mut self, why: &Pending) {
        match why {
            Pending::Widen => self.effects.lines.forget(),
            Pending::Parked(_) => self.effects.lines.tell(self.shared, self.signals),
            Pending::Asks(..) => {}
        }
    }
}

impl Core {
    /// EXEC begins: what it runs is shown if somebody listens by now.
    pub(super) fn monitor_begins(&mut self) {
        self.effects.lines.begin(&self.shared);
    }

    /// A transaction is over: tells the listeners of its commands, and of its EXEC.
    pub(super) fn monitor_exec(&mut self, word: &[u8], session: &Session) {
        if self.effects.lines.shown {
            let registry = self.registry.clone();
            let span = Span { start: 0, len: word.len() as u32 };
            let exec = registry.row(self.exec);
            self.parts(None).monitor_end(exec, Args::new(word, &[span]), session);
        }
    }

    /// Lines for a listener of this core: written once all before them were.
    pub(super) fn monitor_lines(&mut self, to: ConnectionId, place: u64, lines: Arc<[u8]>) {
        let listeners = &mut self.monitor.listeners;
        let since = {
            let monitors = self.shared.monitors.lock().expect("nobody panics holding the monitors");
            let since_of =
                |to| monitors.iter().find(|(listener, _)| *listener == to).map(|(_, since)| *since);
            // Who left is forgotten, also if it came back.
            listeners.retain(|&listener, missing| since_of(listener) == Some(missing.since));
            since_of(to)
        };
        let Some(since) = since.filter(|since| *since <= place) else { return };
        let missing = listeners.entry(to).or_insert_with(|| Missing::since(since));
        missing.lines.insert(place, lines);
        let mut ready = Vec::new();
        while let Some(lines) = missing.lines.remove(&missing.next) {
            missing.next += 1;
            ready.push(lines);
        }
        let Some(connection) = self.connection(to) else { return };
        let listens = !matches!(connection.state, State::Closing | State::Deaf);
        if listens && connection.reply_mode == ReplyMode::On {
            ready.iter().for_each(|lines| connection.output.extend_from_slice(lines));
            self.output_grew(to.slot);
        }
    }
}
