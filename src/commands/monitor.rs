//! The lines of MONITOR: every command of every client, also those that scripts call.
//! In: commands, as they run. Out: a signal for each listener.
//! Invariant M2: the lines of what is atomic (a command, a transaction, a script) have one place in the common order, which is
//! taken at its end, with all its shards at hand. So they stand together, behind those of the commands whose effects it saw, and
//! before those of the commands that saw its own. The exception is a script that takes long, see `server::parked`: what it
//! did so far is told whenever it is put aside, as Redis tells it.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering::AcqRel;

use smallvec::SmallVec;

use super::generic::migrate;
use super::{Command, Signal};
use crate::client::{Args, ConnectionId};
use crate::config::Opt;
use crate::shared::{Shared, gate};

/// What is shown of an argument that is secret.
pub const REDACTED: &[u8] = b"(redacted)";

/// The arguments that are secret.
pub fn secrets(command: &Command, args: Args) -> SmallVec<[usize; 4]> {
    match command.name {
        "AUTH" => (1..args.len()).collect(),
        "HELLO" => hello_secrets(args).collect(),
        "MIGRATE" => migrate::secrets(args).collect(),
        "CONFIG SET" => (3..args.len()).step_by(2).filter(|at| Opt::is_sensitive(args.at(at - 1))).collect(),
        _ => SmallVec::new(),
    }
}

/// The two words behind AUTH, which is no name behind SETNAME.
fn hello_secrets(args: Args) -> std::ops::Range<usize> {
    let mut at = 2;
    while at < args.len() {
        if args.is(at, "AUTH") {
            return at + 1..args.len().min(at + 3);
        }
        at += if args.is(at, "SETNAME") { 2 } else { 1 };
    }
    0..0
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

/// The lines of what runs, until it is over.
#[derive(Default)]
pub struct Lines {
    /// Whether it is shown: decided when it began, so that it is shown whole or not at all.
    pub shown: bool,
    /// They lack their time.
    text: Vec<u8>,
}

impl Lines {
    /// What begins is shown if somebody listens by now.
    #[inline]
    pub fn begin(&mut self, shared: &Shared) {
        self.shown = shared.gates() & gate::MONITORED != 0;
    }

    /// A command of `source`: a client's address, or `lua`. Once nobody listens any more, nothing is kept.
    pub fn note(&mut self, shared: &Shared, db: u16, source: &str, command: &Command, args: Args) {
        if shared.gates() & gate::MONITORED == 0 {
            (self.shown, self.text) = (false, Vec::new());
        }
        if !self.shown {
            return;
        }
        let hidden = secrets(command, args);
        write!(self.text, "[{db} {source}]").expect("memory takes it");
        for (index, arg) in args.iter().enumerate() {
            self.text.push(b' ');
            append_quoted(&mut self.text, if hidden.contains(&index) { REDACTED } else { arg });
        }
        self.text.extend_from_slice(b"\r\n");
    }

    /// What ran will begin anew.
    pub fn forget(&mut self) {
        self.text.clear();
    }

    /// Tells the listeners. All lines show one time, which is taken with their place: no line is older than the one before it.
    pub fn tell(&mut self, shared: &Shared, signals: &mut Vec<Signal>) {
        if self.text.is_empty() {
            return;
        }
        // The place is taken under the lock, so that who listens from place n gets all from n on.
        let monitors = shared.monitors.lock().expect("nobody panics holding the monitors");
        let place = shared.monitor_next.fetch_add(1, AcqRel);
        let now_us = shared.clock.unix_us();
        let listeners: SmallVec<[ConnectionId; 4]> = monitors.iter().map(|&(to, _)| to).collect();
        drop(monitors);
        let text = std::mem::take(&mut self.text);
        if listeners.is_empty() {
            return;
        }
        let time = format!("+{}.{:06} ", now_us / 1_000_000, now_us % 1_000_000);
        let each = || text.split_inclusive(|&byte| byte == b'\n');
        let mut lines = Vec::with_capacity(text.len() + each().count() * time.len());
        for line in each() {
            lines.extend_from_slice(time.as_bytes());
            lines.extend_from_slice(line);
        }
        let lines: Arc<[u8]> = lines.into();
        signals.extend(listeners.iter().map(|&to| Signal::MonitorLines { to, place, lines: lines.clone() }));
    }
}
