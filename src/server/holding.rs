//! Replies that wait for those of a batch that is away, so that what was received together is answered together, as in Redis:
//! two sends would be two system calls and two wake-ups of the client.
//! In: connections with output whose batch is away. Out: their output, when the batch is home or takes too long.
//!
//! 1. Only what was received at once is held together: replies to what came earlier do not wait for what came later.
//! 2. Replies are held for some milliseconds at most, and not at all once the server is busy with a script or stops.

use std::collections::VecDeque;

use super::core::Core;
use crate::client::{ConnectionId, State};
use crate::shared::gate;

/// More than this leaves at once.
const HELD_BYTES_MAX: usize = 16 * 1024;
/// How long replies may be held (2).
const HELD_MS_MAX: u64 = 10;

/// Connections whose output is held, each since when (µs), the longest first.
#[derive(Default)]
pub struct Holding(VecDeque<(ConnectionId, u64)>);

impl Core {
    /// Whether the connection's output has to wait now; it is looked at again in time.
    pub(super) fn holds_replies(&mut self, slot: u32) -> bool {
        let stops = self.shared.gates() & (gate::BUSY | gate::SHUTDOWN) != 0;
        let connection = self.connection_mut(slot);
        let holds = connection.state == State::Away
            && !(stops || connection.impatient || connection.output.len() > HELD_BYTES_MAX);
        if holds != connection.held {
            connection.held = holds;
            let id = connection.id;
            if holds {
                self.holding.0.push_back((id, self.shared.clock.mono_us()));
            } else {
                self.holding.0.retain(|(held, _)| *held != id);
            }
        }
        holds
    }

    /// All that is held leaves now.
    pub fn release_replies(&mut self) {
        self.release_replies_until(u64::MAX);
    }

    /// What was held for too long leaves now.
    pub(super) fn release_overdue_replies(&mut self) {
        if !self.holding.0.is_empty() {
            self.release_replies_until(self.shared.clock.mono_us().saturating_sub(HELD_MS_MAX * 1000));
        }
    }

    fn release_replies_until(&mut self, until_us: u64) {
        while let Some(&(id, since_us)) = self.holding.0.front()
            && since_us <= until_us
        {
            self.holding.0.pop_front();
            if let Some(connection) = self.connection(id) {
                (connection.held, connection.impatient) = (false, true);
                self.send_again(id.slot);
            }
        }
    }

    /// In how many milliseconds that is to be looked at again.
    pub(super) fn holding_ms(&self) -> Option<u64> {
        (!self.holding.0.is_empty()).then_some(HELD_MS_MAX)
    }
}
