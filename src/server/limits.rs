//! What a client may owe, and what all clients together may take: past these limits connections are closed.
//! In: connections whose buffers grew, ticks. Out: closed connections, lines in the log.
//! Absent: what a client may send (`connections`), the memory of keys (`room`).

use std::cmp::Reverse;
use std::sync::Arc;
use std::sync::atomic::Ordering::*;

use super::core::Core;
use crate::client::{Card, Connection, flag};
use crate::commands::Signal;
use crate::config::Config;

/// Classes of `client-output-buffer-limit`.
const NORMAL_CLASS: usize = 0;
const PUBSUB_CLASS: usize = 2;
/// Redis keeps so many bytes of replies in a buffer that counts against no limit, and the others in blocks that are at least
/// as large.
const REPLY_BLOCK_BYTES: u64 = 16 * 1024;
/// `maxmemory-clients` is never taken to be less: nobody could connect to raise it.
const CLIENTS_BYTES_MIN: u64 = 128 * 1024;
/// After a look that found nobody to evict, the next one waits so long.
const LOOK_PAUSE_MS: i64 = 10;

/// Where `maxmemory-clients` is concerned.
#[derive(Default)]
pub struct Clients {
    /// When a look found nobody to evict, unix ms.
    looked_ms: i64,
    /// There is to be another look, if nothing happens sooner.
    looks_again: bool,
    /// It was said that those who may be evicted do not suffice.
    is_said: bool,
}

impl Core {
    // ---- what one client owes ----

    /// Enforces the limits on unsent replies. Who owes more than a little is looked at by the next ticks, too.
    pub(super) fn bound_output(&mut self, slot: u32) {
        let connection = self.connection_mut(slot);
        if owed_bytes(connection) == 0 {
            connection.over_soft_limit_since_ms = None;
            return;
        }
        if !std::mem::replace(&mut connection.owes, true) {
            let id = connection.id;
            self.owing.push(id);
        }
        self.owes_too_much(slot);
    }

    /// Looks again at those who owed something: time passes, and limits change.
    pub(super) fn look_at_owing(&mut self) {
        for id in std::mem::take(&mut self.owing) {
            let Some(connection) = self.connection(id) else { continue };
            if owed_bytes(connection) == 0 {
                connection.owes = false;
                connection.over_soft_limit_since_ms = None;
            } else if !self.owes_too_much(id.slot) {
                self.owing.push(id);
            }
        }
    }

    /// Closes a connection that owes more than its class may, or for longer; whether it does.
    fn owes_too_much(&mut self, slot: u32) -> bool {
        let (now_ms, limits) = (self.now_ms, self.config.client_output_buffer_limits);
        let connection = self.connection_mut(slot);
        let limit = limits[if connection.session.subscribed { PUBSUB_CLASS } else { NORMAL_CLASS }];
        let bytes = owed_bytes(connection);
        let reaches = |limit_bytes: u64| limit_bytes > 0 && bytes >= limit_bytes;
        let too_long = reaches(limit.soft_bytes) && {
            let since_ms = *connection.over_soft_limit_since_ms.get_or_insert(now_ms);
            // Redis counts whole seconds.
            now_ms / 1000 - since_ms / 1000 > limit.soft_seconds as i64
        };
        if !reaches(limit.soft_bytes) {
            connection.over_soft_limit_since_ms = None;
        }
        if !reaches(limit.hard_bytes) && !too_long {
            return false;
        }
        self.shared.metrics[self.id].output_buffer_limit_disconnections.add(1);
        self.close(slot, false);
        true
    }

    // ---- what all of them take ----

    /// `maxmemory-clients`: evicts clients, on whichever core, until the others fit. Those with the most memory go first.
    #[inline]
    pub(super) fn keep_clients_within(&mut self) {
        self.crowd.looks_again = false;
        if self.config.maxmemory_clients == 0 {
            return;
        }
        let limit = clients_bytes_max(&self.config);
        if self.shared.client_bytes() >= limit {
            self.look_at_crowd(limit);
        }
    }

    /// There may be too many: sees to it now or soon.
    fn look_at_crowd(&mut self, limit: u64) {
        self.look_at_clock();
        let passed_ms = self.now_ms - self.crowd.looked_ms;
        if (0..LOOK_PAUSE_MS).contains(&passed_ms) {
            self.crowd.looks_again = true;
        } else if self.evict_clients(limit) {
            self.send_signals();
        } else {
            self.crowd.looked_ms = self.now_ms;
            self.crowd.looks_again = true;
        }
    }

    /// Whether a tick is to look for clients to evict.
    pub(super) fn looks_at_crowd_again(&self) -> bool {
        self.crowd.looks_again
    }

    /// Evicts clients until the others take less than `limit`; whether there were any. The sum over the cores includes some
    /// that are closed already: here only those count that are not.
    fn evict_clients(&mut self, limit: u64) -> bool {
        let shared = self.shared.clone();
        let _turn = shared.evicting_clients.lock().expect("nobody panics evicting clients");
        let mut cards = shared.clients.all();
        cards.retain(|card| !card.killed.load(Acquire));
        let mut cards: Vec<(u64, Arc<Card>)> =
            cards.into_iter().map(|card| (card.memory_bytes(), card)).collect();
        let mut bytes: u64 = cards.iter().map(|(bytes, _)| bytes).sum();
        cards.retain(|(_, card)| !card.has(flag::NO_EVICT));
        cards.sort_by_key(|(bytes, _)| Reverse(*bytes));
        let mut evicted = 0;
        for (freed, card) in cards {
            if bytes < limit {
                break;
            }
            crate::log::notice(format_args!("Evicting client: {}", line_of(&card, freed)));
            shared.dismiss(&card);
            self.signals.push(Signal::Kill(card.connection()));
            bytes -= freed;
            evicted += 1;
        }
        shared.metrics[self.id].evicted_clients.add(evicted);
        let too_few = bytes >= limit;
        if too_few && !self.crowd.is_said {
            crate::log::warning("Over client maxmemory after evicting all evictable clients");
        }
        self.crowd.is_said = too_few;
        evicted > 0
    }
}

/// Unsent replies as limits count them.
fn owed_bytes(connection: &Connection) -> u64 {
    match (connection.output.len() + connection.unsent) as u64 {
        bytes if bytes <= REPLY_BLOCK_BYTES => 0,
        bytes => (bytes - REPLY_BLOCK_BYTES).max(REPLY_BLOCK_BYTES),
    }
}

/// What all clients may take: so many bytes, or that share of `maxmemory` if there is one.
fn clients_bytes_max(config: &Config) -> u64 {
    let bytes = match config.maxmemory_clients {
        percent @ ..=-1 if config.maxmemory > 0 => {
            (config.maxmemory as u128 * percent.unsigned_abs() as u128 / 100) as u64
        }
        bytes @ 1.. => bytes as u64,
        _ => u64::MAX,
    };
    bytes.max(CLIENTS_BYTES_MIN)
}

/// A client that is evicted, for the log.
fn line_of(card: &Card, bytes: u64) -> String {
    format!(
        "id={} addr={} laddr={} fd={} qbuf={} multi-mem={} omem={} tot-mem={bytes}",
        card.id,
        card.addr,
        card.laddr,
        card.fd,
        card.input_bytes.get(),
        card.multi_bytes.get(),
        card.output_bytes.get(),
    )
}
