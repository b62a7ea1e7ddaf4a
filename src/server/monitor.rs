//! MONITOR: every command of every core, in one order for all listeners.
//! In: commands that ran, on any core; scripts as they start. Out: lines on the connections under MONITOR.
//! Invariant M1: places in the common order are dense, so a listener's core knows when a line is still missing.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::batch::ExecWord;
use super::core::Core;
use super::run::Parts;
use crate::client::{Args, ConnectionId, Session, State};
use crate::commands::monitor::tell;
use crate::commands::{Command, Route, flags};
use crate::resp::Span;

/// Lines that arrived before an earlier one, for each listener.
#[derive(Default)]
pub struct Reorder {
    listeners: HashMap<ConnectionId, Pending>,
}

struct Pending {
    next: u64,
    lines: BTreeMap<u64, Arc<[u8]>>,
}

/// Whether a command's line comes before it rather than behind it: those of what a script calls come behind the script's.
pub(super) fn tells_itself(command: &Command) -> bool {
    matches!(command.route, Route::Script | Route::Function)
}

impl Parts<'_> {
    /// Tells the listeners of a command, with the database that its client is in by now.
    #[cold]
    pub(super) fn monitor(&mut self, command: &Command, args: Args, session: &Session) {
        let shown = tells_itself(command) || !command.is(flags::SKIP_MONITOR);
        if !shown || command.is(flags::ADMIN) || session.serving || session.timeless {
            return;
        }
        if let Some(card) = self.shared.clients.get(session.id) {
            tell(self.shared, self.signals, session.db, &card.addr, command, args);
        }
    }
}

impl Core {
    /// A transaction is over: tells the listeners of its EXEC.
    pub(super) fn monitor_exec(&mut self, word: ExecWord, session: &Session) {
        if let Some(word) = word {
            let registry = self.registry.clone();
            let span = Span { start: 0, len: word.len() as u32 };
            let exec = registry.row(self.exec);
            self.parts(None).monitor(exec, Args::new(&word, &[span]), session);
        }
    }

    /// A line for a listener of this core: written once all before it were.
    pub(super) fn monitor_line(&mut self, to: ConnectionId, place: u64, line: Arc<[u8]>) {
        let since = {
            let monitors = self.shared.monitors.lock().expect("nobody panics holding the monitors");
            monitors.iter().find(|(listener, _)| *listener == to).map(|(_, since)| *since)
        };
        let Some(since) = since else {
            self.monitor.listeners.remove(&to);
            return;
        };
        let pending = self
            .monitor
            .listeners
            .entry(to)
            .or_insert_with(|| Pending { next: since, lines: BTreeMap::new() });
        pending.lines.insert(place, line);
        let mut ready = Vec::new();
        while let Some(line) = pending.lines.remove(&pending.next) {
            pending.next += 1;
            ready.push(line);
        }
        let Some(connection) = self.connection(to) else { return };
        if connection.state != State::Closing {
            ready.iter().for_each(|line| connection.output.extend_from_slice(line));
            self.output_grew(to.slot);
        }
    }
}
