//! The connections of a core: their places, what they receive and send, how they end.
//! In: what the driver tells of sockets, output that commands left. Out: input for `run`, actions for the driver.
//! Invariants: K1 and K2 of `core`. Absent: what a command does (`server::run`), who may connect (`server::admission`).

use std::sync::Arc;
use std::sync::atomic::Ordering::*;

use super::batch::{Message, NewConnection};
use super::core::Core;
use crate::client::{Card, Connection, ConnectionId, Input, State, flag};

/// A place for a connection.
pub struct Slot {
    generation: u32,
    pub(super) connection: Option<Box<Connection>>,
    /// The driver holds nothing of it any more.
    released: bool,
}

/// Input that waits while a batch is away or a connection is held back: beyond this, receiving stops.
const INPUT_PAUSE_BYTES: usize = 1 << 20;
/// What a connection has buffered, at most: the parser counts in 32 bits.
const INPUT_BYTES_MAX: usize = u32::MAX as usize;
/// Unsent replies beyond which a connection's commands wait. Input is still received, up to its own limit: a client that
/// sends a long pipeline before it reads must not be left blocked in its send.
pub(super) const OUTPUT_PAUSE_BYTES: usize = 32 << 20;
/// Spare buffers kept for connections that come to life, and the largest that is worth keeping.
const SPARE_BUFFERS: usize = 64;
const SPARE_BUFFER_BYTES_MAX: usize = 64 * 1024;

impl Core {
    // ---- what the driver tells ----

    /// This core accepted a socket: it goes to the core with the fewest connections.
    pub fn accepted(&mut self, mut new: NewConnection) {
        new.refusal = super::admission::refusal(&self.shared, &new);
        let core = self.shared.assign_core();
        if core == self.id {
            self.adopt(new);
        } else {
            self.actions.mesh.push((core, Message::Connection(Box::new(new))));
        }
    }

    /// Takes a connection in: it lives here from now on.
    pub(super) fn adopt(&mut self, new: NewConnection) {
        self.begin_event();
        let id = self.seat();
        let slot = id.slot;
        let client_id = self.shared.next_client_id.fetch_add(1, AcqRel);
        let now_ms = self.now_ms;
        let card = Arc::new(Card::new(client_id, id, new.fd, new.addr, new.laddr, now_ms));
        card.set_flag(flag::UNIX_SOCKET, new.unix_socket);
        card.resp.set(2);
        let authenticated = self.config.requirepass.is_none();
        self.settle_in(id, Box::new(Connection::new(card.clone(), authenticated)), new.fd);
        let metrics = &self.shared.metrics[self.id];
        match new.refusal {
            None => {
                metrics.connections_received.add(1);
                self.shared.clients.add(card);
            }
            Some(text) => {
                metrics.connections_rejected.add(1);
                self.connection_mut(slot).output.extend_from_slice(text.as_bytes());
                self.output_grew(slot);
                self.close(slot, true);
            }
        }
    }

    /// A place for a connection.
    pub(super) fn seat(&mut self) -> ConnectionId {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, connection: None, released: true });
            self.slots.len() as u32 - 1
        });
        let place = &mut self.slots[slot as usize];
        place.generation += 1;
        place.released = false;
        ConnectionId { core: self.id as u16, slot, generation: place.generation }
    }

    /// The connection takes its place, and the driver its socket.
    pub(super) fn settle_in(&mut self, id: ConnectionId, connection: Box<Connection>, fd: i32) {
        self.slots[id.slot as usize].connection = Some(connection);
        self.actions.adopt.push((id.slot, fd));
        self.recount(id.slot);
    }

    /// Bytes arrived on a connection.
    pub fn received(&mut self, slot: u32, bytes: &[u8]) {
        self.begin_event();
        self.note_client();
        let metrics = &self.shared.metrics[self.id];
        metrics.net_input_bytes.add(bytes.len() as u64);
        metrics.reads_processed.add(1);
        let now_ms = self.now_ms;
        let connection = self.connection_mut(slot);
        if connection.state == State::Closing {
            return;
        }
        connection.card.net_in.add(bytes.len() as u64);
        connection.card.last_ms.store(now_ms, Relaxed);
        if connection.state == State::Deaf {
            return;
        }
        connection.card.input_bytes.set((connection.input.len() + bytes.len()) as u64);
        if self.begins_to_move(slot) {
            return self.connection_mut(slot).input.extend(bytes);
        }
        let connection = self.connection_mut(slot);
        if connection.input.is_empty() && connection.state == State::Ready && !connection.clogged {
            // What is ready came from an earlier read: it does not wait for what this one brings.
            connection.impatient = !connection.output.is_empty();
            let used = self.run_input(slot, bytes);
            let connection = self.connection_mut(slot);
            if used == bytes.len() {
                connection.card.input_bytes.set(0);
            } else if connection.state != State::Closing {
                connection.input.extend(&bytes[used..]);
                self.bound_input(slot);
            }
        } else {
            connection.impatient = true;
            connection.input.extend(bytes);
            self.run_buffered(slot);
        }
    }

    /// Goes on with what a connection has buffered.
    pub(super) fn run_buffered(&mut self, slot: u32) {
        let connection = self.connection_mut(slot);
        if connection.state == State::Ready && !connection.clogged && !connection.input.is_empty() {
            let mut input = std::mem::take(&mut connection.input);
            let used = self.run_input(slot, input.unread());
            input.consume(used, SPARE_BUFFER_BYTES_MAX);
            let connection = self.connection_mut(slot);
            if connection.state != State::Closing {
                connection.input = input;
            }
        }
        self.bound_input(slot);
        let connection = self.connection_mut(slot);
        if connection.ended && connection.state != State::Away {
            self.close(slot, true);
        }
    }

    /// Keeps a connection's input within bounds: stops receiving while it cannot run, closes it past the limit.
    fn bound_input(&mut self, slot: u32) {
        let limit = self.config.client_query_buffer_limit as usize;
        let connection = self.connection_mut(slot);
        connection.card.input_bytes.set(connection.input.len() as u64);
        let capacity = connection.input.capacity() + connection.parser.memory_bytes();
        connection.card.input_capacity.set(capacity as u64);
        self.recount(slot);
        let connection = self.connection_mut(slot);
        if connection.state == State::Closing {
            return;
        }
        // Arguments that came whole are bounded by nothing but what a buffer can hold.
        let unread = connection.input.len() - connection.parser.understood();
        if unread > limit || connection.input.len() >= INPUT_BYTES_MAX {
            return self.close_for_input(slot);
        }
        let stuck = connection.state != State::Ready && connection.input.len() > INPUT_PAUSE_BYTES;
        if stuck != connection.receive_paused {
            connection.receive_paused = stuck;
            self.actions.pause.push((slot, stuck));
        }
    }

    /// A client sent more than `client-query-buffer-limit` allows.
    pub(super) fn close_for_input(&mut self, slot: u32) {
        self.shared.metrics[self.id].query_buffer_limit_disconnections.add(1);
        self.close(slot, false);
    }

    /// The peer says no more, or the socket failed. What it said before is done and answered first, as far as it need not wait.
    pub fn hung_up(&mut self, slot: u32) {
        let connection = self.connection_mut(slot);
        if connection.clogged || connection.state == State::Closing {
            return self.close(slot, false);
        }
        connection.ended = true;
        self.begin_event();
        self.run_buffered(slot);
    }

    /// The driver sent `bytes` of what it took from `take_output`.
    pub fn sent(&mut self, slot: u32, bytes: usize) {
        let metrics = &self.shared.metrics[self.id];
        metrics.net_output_bytes.add(bytes as u64);
        metrics.writes_processed.add(1);
        let connection = self.connection_mut(slot);
        connection.card.net_out.add(bytes as u64);
        connection.unsent -= bytes;
        if connection.clogged && connection.output.len() + connection.unsent <= OUTPUT_PAUSE_BYTES / 2 {
            connection.clogged = false;
            let id = connection.id;
            self.ready.push_back(id);
        }
        self.recount(slot);
    }

    /// So many of the bytes last said to be sent are not, yet.
    pub fn unsent(&mut self, slot: u32, bytes: usize) {
        let metrics = &self.shared.metrics[self.id];
        metrics.net_output_bytes.sub(bytes as u64);
        let connection = self.connection_mut(slot);
        connection.card.net_out.sub(bytes as u64);
        connection.unsent += bytes;
        self.recount(slot);
    }

    /// Counts anew what the connection's buffers hold, and what it takes of the memory in use.
    pub(super) fn recount(&mut self, slot: u32) {
        let (now_ms, reset_ms) = (self.now_ms, self.shared.reply_peak_reset_ms.load(Relaxed));
        let connection = self.connection_mut(slot);
        let (card, output) = (&connection.card, &connection.output);
        card.output_bytes.set((output.len() + connection.unsent) as u64);
        card.reply_capacity.set(output.capacity() as u64);
        card.note_reply_bytes(output.len() as u64, now_ms, reset_ms);
        let bytes = card.memory_bytes();
        let old = std::mem::replace(&mut connection.counted_bytes, bytes);
        self.shared.metrics[self.id].client_bytes.add(bytes.wrapping_sub(old));
    }

    /// Hands the connection's output to the driver, in exchange for an empty buffer.
    pub fn take_output(&mut self, slot: u32, buffer: &mut Vec<u8>) {
        debug_assert!(buffer.is_empty());
        let connection = self.connection_mut(slot);
        connection.dirty = false;
        if self.holds_replies(slot) {
            return;
        }
        let connection = self.connection_mut(slot);
        if !connection.bound.is_empty() {
            let ready = self.take_unbound(slot);
            let connection = self.connection_mut(slot);
            if ready < connection.output.len() {
                buffer.extend(connection.output.drain(..ready));
                connection.unsent += ready;
                return self.recount(slot);
            }
        }
        let connection = self.connection_mut(slot);
        std::mem::swap(&mut connection.output, buffer);
        connection.unsent += buffer.len();
        let old = std::mem::take(&mut connection.output);
        self.recount(slot);
        self.keep_buffer(old);
    }

    /// Whether the connection has output that waits for the log.
    pub fn has_bound_output(&self, slot: u32) -> bool {
        self.slots[slot as usize].connection.as_ref().is_some_and(|connection| !connection.bound.is_empty())
    }

    /// Output of this slot may leave that could not before.
    pub(super) fn send_again(&mut self, slot: u32) {
        if let Some(connection) = &mut self.slots[slot as usize].connection
            && !connection.dirty
        {
            connection.dirty = true;
            self.actions.send.push(slot);
        }
    }

    /// Keeps a buffer for the next connection with something to say.
    pub fn keep_buffer(&mut self, mut buffer: Vec<u8>) {
        let worthwhile = (1..=SPARE_BUFFER_BYTES_MAX).contains(&buffer.capacity());
        if worthwhile && self.spare_buffers.len() < SPARE_BUFFERS {
            buffer.clear();
            self.spare_buffers.push(buffer);
        } else {
            self.spent_buffers.throw(buffer);
        }
    }

    pub(super) fn spare_buffer(&mut self) -> Vec<u8> {
        self.spare_buffers.pop().unwrap_or_default()
    }

    /// There is output: tells the driver once, and enforces the limits on unsent replies.
    pub(super) fn output_grew(&mut self, slot: u32) {
        let connection = self.connection_mut(slot);
        if connection.output.is_empty() {
            return;
        }
        if self.appending.strict {
            self.bind_output(slot);
        }
        let connection = self.connection_mut(slot);
        if !connection.dirty {
            connection.dirty = true;
            self.actions.send.push(slot);
        }
        self.recount(slot);
        self.bound_output(slot);
    }

    /// Ends a connection, after its output was sent (`flush`) or at once. Its batch, if away, still finishes.
    pub(super) fn close(&mut self, slot: u32, flush: bool) {
        let connection = self.connection_mut(slot);
        let away = connection.state == State::Away;
        if connection.state == State::Closing {
            if !flush {
                self.actions.close.push((slot, false));
            }
            return;
        }
        let held = connection.held;
        connection.state = State::Closing;
        connection.input = Input::default();
        connection.transaction = None;
        let watched = std::mem::take(&mut connection.watched);
        let (id, card) = (connection.id, connection.card.clone());
        // K2: while the batch is away the slot stays taken, which `awaited` remembers.
        self.connection_mut(slot).awaited = away;
        if held {
            // The batch it waited for will not send it.
            self.send_again(slot);
        }
        self.unwatch_all(watched);
        self.abandon_wait(slot);
        // It may wait without knowing: the news of that come with the batch.
        card.leave();
        self.shared.clients.remove(card.id);
        self.shared.loads[self.id].fetch_sub(1, Relaxed);
        if card.has(flag::MONITOR) {
            self.shared.stop_monitoring(id);
        }
        #[cfg(test)]
        self.trace.push(super::inspect::Executed::closed(card.id, self.now_ms));
        if card.has(flag::PUBSUB | flag::TRACKING) {
            self.shared.exchange.lock().leave(card.id);
        }
        self.actions.close.push((slot, flush));
    }

    /// The driver closed the socket and holds nothing of the slot any more.
    pub fn released(&mut self, slot: u32) {
        let place = &mut self.slots[slot as usize];
        let open = place.connection.as_ref().is_some_and(|connection| connection.state != State::Closing);
        debug_assert!(!open, "K2: the driver releases only what was closed");
        place.released = true;
        self.reuse(slot);
    }

    /// Frees a slot once nobody refers to it (K2).
    pub(super) fn reuse(&mut self, slot: u32) {
        let place = &mut self.slots[slot as usize];
        let in_use = place.connection.as_ref().is_none_or(|connection| connection.awaited);
        if place.released && !in_use {
            let connection = *self.vacate(slot);
            self.spent_buffers.throw(connection.output);
            self.spent_buffers.throw(connection.input.into_bytes());
        }
    }

    /// Takes the connection out of its slot, which is free then.
    pub(super) fn vacate(&mut self, slot: u32) -> Box<Connection> {
        let place = &mut self.slots[slot as usize];
        place.released = true;
        let mut connection = place.connection.take().expect("the caller looked");
        self.shared.metrics[self.id].client_bytes.sub(std::mem::take(&mut connection.counted_bytes));
        self.free.push(slot);
        // What was still wanted for the old socket must not meet the next one.
        self.actions.close.retain(|(closing, _)| *closing != slot);
        self.actions.detach.retain(|leaving| *leaving != slot);
        self.actions.pause.retain(|(pausing, _)| *pausing != slot);
        self.actions.send.retain(|sending| *sending != slot);
        connection
    }

    // ---- looking at them ----

    #[inline]
    pub(super) fn connection_mut(&mut self, slot: u32) -> &mut Connection {
        self.slots[slot as usize].connection.as_mut().expect("K2: the slot is taken")
    }

    #[inline]
    pub(super) fn connection_at(&self, slot: u32) -> &Connection {
        self.slots[slot as usize].connection.as_ref().expect("K2: the slot is taken")
    }

    /// The slots of the connections that are so.
    #[cfg(test)]
    pub(super) fn each_connection(&self, is_so: impl Fn(&Connection) -> bool) -> Vec<u32> {
        let taken = |slot: &Slot| slot.connection.as_deref().is_some_and(&is_so);
        (0..self.slots.len() as u32).filter(|&slot| taken(&self.slots[slot as usize])).collect()
    }

    /// The connection, if it is still that one.
    pub(super) fn connection(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        let slot = self.slots.get_mut(id.slot as usize)?;
        if slot.generation == id.generation { slot.connection.as_deref_mut() } else { None }
    }

    /// `timeout`: closes clients that said nothing for so long.
    pub(super) fn close_idle(&mut self, now_ms: i64) {
        let limit_ms = self.config.timeout_s as i64 * 1000;
        for slot in 0..self.slots.len() as u32 {
            let Some(connection) = &self.slots[slot as usize].connection else { continue };
            let waits = !matches!(connection.state, State::Ready | State::Deaf);
            let exempt = waits || connection.card.has(flag::MONITOR | flag::PUBSUB);
            if !exempt && now_ms - connection.card.last_ms.load(Relaxed) > limit_ms {
                self.close(slot, false);
            }
        }
    }

    /// Lets the connections that CLIENT PAUSE held back try again.
    pub(super) fn resume(&mut self) {
        for id in std::mem::take(&mut self.held_back) {
            if let Some(connection) = self.connection(id)
                && connection.state == State::Paused
            {
                connection.state = State::Ready;
                connection.card.set_flag(flag::BLOCKED, false);
                self.ready.push_back(id);
            }
        }
    }
}
