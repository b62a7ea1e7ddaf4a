//! The lines of MONITOR: every command of every client, also those that scripts call.
//! In: a command. Out: a signal for each listener.

use std::sync::Arc;
use std::sync::atomic::Ordering::AcqRel;

use smallvec::SmallVec;

use super::generic::migrate;
use super::{Command, Signal};
use crate::client::Args;
use crate::config::Opt;
use crate::shared::Shared;

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

/// Tells the listeners of a command of `source`: a client's address, or `lua`.
pub fn tell(
    shared: &Shared,
    signals: &mut Vec<Signal>,
    db: u16,
    source: &str,
    command: &Command,
    args: Args,
) {
    let hidden = secrets(command, args);
    let now_us = shared.clock.unix_us();
    let mut line = format!("+{}.{:06} [{db} {source}]", now_us / 1_000_000, now_us % 1_000_000).into_bytes();
    for (index, arg) in args.iter().enumerate() {
        line.push(b' ');
        append_quoted(&mut line, if hidden.contains(&index) { REDACTED } else { arg });
    }
    line.extend_from_slice(b"\r\n");
    let line: Arc<[u8]> = line.into();
    // The place is taken under the lock, so that who listens from place n gets all from n on.
    let monitors = shared.monitors.lock().expect("nobody panics holding the monitors");
    let place = shared.monitor_next.fetch_add(1, AcqRel);
    for &(to, _) in monitors.iter() {
        signals.push(Signal::MonitorLine { to, place, line: line.clone() });
    }
}
