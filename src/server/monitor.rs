//! MONITOR: every command of every core, in one order for all listeners.
//! In: commands as they start. Out: lines on the connections under MONITOR.
//! Invariant M1: places in the common order are dense, so a listener's core knows when a line is still missing.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering::AcqRel;

use super::core::Core;
use crate::client::{Args, ConnectionId, Request, State};
use crate::commands::{Signal, flags};

/// Lines that arrived before an earlier one, for each listener.
#[derive(Default)]
pub struct Reorder {
    listeners: HashMap<ConnectionId, Pending>,
}

struct Pending {
    next: u64,
    lines: BTreeMap<u64, Arc<[u8]>>,
}

/// Appends `arg` in quotes, escaped as Redis shows binary text.
pub fn append_quoted(line: &mut Vec<u8>, arg: &[u8]) {
    line.push(b'"');
    for &byte in arg {
        match byte {
            b'\\' | b'"' => line.extend_from_slice(&[b'\\', byte]),
            b'\n' => line.extend_from_slice(b"\\n"),
            b'\r' => line.extend_from_slice(b"\\r"),
            b'\t' => line.extend_from_slice(b"\\t"),
            7 => line.extend_from_slice(b"\\a"),
            8 => line.extend_from_slice(b"\\b"),
            0x20..=0x7e => line.push(byte),
            _ => line.extend_from_slice(format!("\\x{byte:02x}").as_bytes()),
        }
    }
    line.push(b'"');
}

impl Core {
    /// Tells the listeners of a command that is about to run.
    pub(super) fn monitor_command(&mut self, slot: u32, request: &Request, args: Args) {
        let command = self.registry.row(request.command);
        if command.is(flags::ADMIN | flags::SKIP_MONITOR) {
            return;
        }
        let connection = self.connection_mut(slot);
        let (db, addr) = (connection.session.db, connection.card.addr.clone());
        let hidden = matches!(command.name, "AUTH" | "HELLO");
        let now_us = self.shared.clock.unix_us();
        let mut line =
            format!("+{}.{:06} [{db} {addr}]", now_us / 1_000_000, now_us % 1_000_000).into_bytes();
        for (index, arg) in args.iter().enumerate() {
            line.push(b' ');
            append_quoted(&mut line, if hidden && index > 0 { b"(redacted)" } else { arg });
        }
        line.extend_from_slice(b"\r\n");
        let line: Arc<[u8]> = line.into();
        // The place is taken under the lock, so that who listens from place n gets all from n on (M1).
        let monitors = self.shared.monitors.lock().expect("nobody panics holding the monitors");
        let place = self.shared.monitor_next.fetch_add(1, AcqRel);
        for &(to, _) in monitors.iter() {
            self.signals.push(Signal::MonitorLine { to, place, line: line.clone() });
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
