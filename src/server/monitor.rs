//! MONITOR: every command of every core, in one order for all listeners.
//! In: commands as they start. Out: lines on the connections under MONITOR.
//! Invariant M1: places in the common order are dense, so a listener's core knows when a line is still missing.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::core::Core;
use crate::client::{Args, ConnectionId, Request, State};
use crate::commands::monitor::tell;
use crate::commands::{Route, flags};

/// Lines that arrived before an earlier one, for each listener.
#[derive(Default)]
pub struct Reorder {
    listeners: HashMap<ConnectionId, Pending>,
}

struct Pending {
    next: u64,
    lines: BTreeMap<u64, Arc<[u8]>>,
}

impl Core {
    /// Tells the listeners of a command that is about to run.
    pub(super) fn monitor_command(&mut self, slot: u32, request: &Request, args: Args) {
        let command = self.registry.row(request.command);
        let is_script = matches!(command.route, Route::Script | Route::Function);
        if command.is(flags::ADMIN) || (command.is(flags::SKIP_MONITOR) && !is_script) {
            return;
        }
        let connection = self.connection_mut(slot);
        let (db, addr) = (connection.session.db, connection.card.addr.clone());
        tell(&self.shared, &mut self.signals, db, &addr, command, args);
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
