//! The slow log: what is noted of a command that took long.

use super::monitor::{REDACTED, secrets};
use super::{Command, flags};
use crate::client::Args;
use crate::config::Config;
use crate::shared::{Shared, SlowEntry};

/// Arguments, and bytes of each, that an entry keeps, as in Redis.
const ARGS_MAX: usize = 32;
const ARG_BYTES_MAX: usize = 128;

/// Whether a command that took `ns` may have to be noted.
#[inline]
pub fn is_noted(config: &Config, ns: u64) -> bool {
    let slower_than = config.slowlog_log_slower_than_us;
    (slower_than >= 0 && ns >= (slower_than as u64).saturating_mul(1000))
        || config.latency_monitor_threshold_ms > 0
}

/// Notes a command of client `client_id`, or of its script, that took `ns`, if that was long.
#[inline]
pub fn note_time(shared: &Shared, config: &Config, command: &Command, args: Args, client_id: u64, ns: u64) {
    let slower_than = config.slowlog_log_slower_than_us;
    if slower_than >= 0 && ns / 1000 >= slower_than as u64 && !command.is(flags::SKIP_SLOWLOG) {
        note(shared, config, command, args, client_id, ns / 1000);
    }
    if config.latency_monitor_threshold_ms > 0 {
        let event = if command.is(flags::FAST) { "fast-command" } else { "command" };
        shared.note_latency(event, ns / 1_000_000);
    }
}

fn note(shared: &Shared, config: &Config, command: &Command, args: Args, client_id: u64, duration_us: u64) {
    if shared.config().slowlog_log_slower_than_us < 0 {
        // It was this command that said so.
        return;
    }
    let card = shared.clients.get(client_id);
    let entry = SlowEntry {
        id: 0,
        unix_s: shared.clock.unix_ms() / 1000,
        duration_us,
        args: shortened(args, &secrets(command, args)),
        addr: card.as_ref().map_or(String::new(), |card| card.addr.clone()),
        name: card.map_or(Vec::new(), |card| card.names().name.clone()),
    };
    let mut log = shared.slow_log.lock().expect("nobody panics holding the slow log");
    let id = log.next_id;
    log.next_id += 1;
    log.entries.push_front(SlowEntry { id, ..entry });
    log.entries.truncate(config.slowlog_max_len);
}

fn shortened(args: Args, hidden: &[usize]) -> Vec<Vec<u8>> {
    let too_many = args.len() > ARGS_MAX;
    let kept = if too_many { ARGS_MAX - 1 } else { args.len() };
    let open = |(at, arg)| if hidden.contains(&at) { REDACTED.to_vec() } else { shorten(arg) };
    let mut shown: Vec<Vec<u8>> = args.iter().take(kept).enumerate().map(open).collect();
    if too_many {
        shown.push(format!("... ({} more arguments)", args.len() - kept).into_bytes());
    }
    shown
}

fn shorten(arg: &[u8]) -> Vec<u8> {
    if arg.len() <= ARG_BYTES_MAX {
        return arg.to_vec();
    }
    let mut text = arg[..ARG_BYTES_MAX].to_vec();
    text.extend_from_slice(format!("... ({} more bytes)", arg.len() - ARG_BYTES_MAX).as_bytes());
    text
}
