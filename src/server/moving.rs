//! Connections that move to another core, for the sake of commands that need all shards.
//!
//! Scripts with keys that nobody declared, and other commands that span all shards, run one at a time whatever core they come
//! from. If they come from two cores, all shards go to and fro between these, and both threads are woken for each of them. So a
//! client that hardly says anything else moves to the core where such clients **gather**: the first one's. There an errand
//! fetches the shards for all of them, and as long as the other cores' clients need nothing, what it fetched stays (`keep`).
//! A guest that has changed its habits goes to the core with the fewest connections, if that is another one.
//!
//! In: what commands needed, and sockets that the driver lets go. Out: connections that live elsewhere.
//! Invariants: V1, a connection moves as a whole, and only while nothing but its card knows where it lives: it has no batch,
//! waits for nothing, is told nothing unasked, and all that it was answered is sent. V2, while it moves it only buffers input, and
//! a kill finds it on the one core or on the other (`Card::move_to`).

use std::sync::atomic::Ordering::*;

use super::batch::{Batch, Kind, Message, Moved};
use super::core::Core;
use crate::client::{Connection, Habits, ReplyMode, ShardSet, State, Tracking, flag};

/// With more cores than this, commands that need all shards are no reason to move: they wait in no convoy.
const CORES_MAX: usize = super::route::CONVOY_CORES_MAX;
/// Commands by which a client is judged; and one that is a guest, if it is to go.
const COMMANDS_MIN: u64 = 64;
const COMMANDS_MIN_OF_GUEST: u64 = 256;

/// When clients move.
pub(super) struct Moving {
    pub cores_max: usize,
    pub commands_min: u64,
    pub commands_min_of_guest: u64,
    /// Clients also move for no reason at all.
    #[cfg(test)]
    pub whims: bool,
}

impl Default for Moving {
    fn default() -> Self {
        Self {
            cores_max: CORES_MAX,
            commands_min: COMMANDS_MIN,
            commands_min_of_guest: COMMANDS_MIN_OF_GUEST,
            #[cfg(test)]
            whims: false,
        }
    }
}

impl Core {
    fn may_gather(&self) -> bool {
        (2..=self.moving.cores_max).contains(&self.shards.len())
    }

    /// Whether a command needs all shards.
    #[inline]
    pub(super) fn is_wide(&self, shards: ShardSet) -> bool {
        self.shards.len() > 1 && shards == ShardSet::first(self.shards.len())
    }

    /// A command ran here, straight from the connection's input.
    #[inline]
    pub(super) fn ran(&mut self, slot: u32, shards: ShardSet) {
        if self.is_wide(shards) {
            self.let_go_walking();
            if self.may_gather() {
                self.connection_mut(slot).habits.wide += 1;
                self.judge_habits(slot);
            }
        }
    }

    /// A batch of the connection is about to leave.
    pub(super) fn note_batch(&mut self, slot: u32, batch: &Batch) {
        if !self.may_gather() {
            return;
        }
        let wide = match &batch.kind {
            Kind::Transaction { shards, .. } if self.is_wide(*shards) => batch.requests.list.len(),
            Kind::Plain => batch.requests.list.iter().filter(|request| self.is_wide(request.shards)).count(),
            _ => 0,
        };
        if wide > 0 {
            self.connection_mut(slot).habits.wide += wide as u64;
            self.judge_habits(slot);
        }
    }

    /// Where the connection should live, judged by its last commands, if there were enough of them.
    fn judge_habits(&mut self, slot: u32) {
        let (few, few_of_guest) = (self.moving.commands_min, self.moving.commands_min_of_guest);
        let connection = self.connection_mut(slot);
        let (commands, habits) = (connection.card.commands.get(), &mut connection.habits);
        let (wide, all) = (habits.wide, commands - habits.counted_from);
        let gathers = wide * 2 >= all;
        if all < if habits.is_guest && !gathers { few_of_guest } else { few } {
            return;
        }
        let leaves = habits.is_guest && wide * 8 < all;
        (habits.wide, habits.counted_from) = (0, commands);
        let to = match () {
            () if gathers => self.gathering_core(),
            () if leaves => self.emptier_core(),
            () => self.id,
        };
        self.connection_mut(slot).habits.moves_to = (to != self.id).then_some(to);
    }

    /// Where clients gather whose commands need all shards.
    fn gathering_core(&self) -> usize {
        let place = &self.shared.gathering;
        match place.compare_exchange(usize::MAX, self.id, Relaxed, Relaxed) {
            Ok(_) => self.id,
            Err(core) => core,
        }
    }

    /// A core with fewer connections, also with one more, or this one.
    fn emptier_core(&self) -> usize {
        let load = |core: usize| self.shared.loads[core].load(Relaxed);
        let fewest = (0..self.shards.len()).min_by_key(|&core| load(core)).unwrap_or(self.id);
        if load(fewest) + 1 < load(self.id) { fewest } else { self.id }
    }

    /// Bytes arrived on the connection: whether it moves before it runs them.
    #[inline]
    pub(super) fn begins_to_move(&mut self, slot: u32) -> bool {
        let connection = self.connection_mut(slot);
        if connection.habits.is_guest && connection.habits.moves_to.is_none() {
            self.judge_habits(slot);
        }
        #[cfg(test)]
        self.follow_whim(slot);
        let connection = self.connection_mut(slot);
        if connection.habits.moves_to.is_none() || !can_move(connection) {
            return false;
        }
        connection.state = State::Moving;
        self.actions.detach.push(slot);
        true
    }

    /// The driver has nothing of the slot in hand but its socket. True: the core takes it from there, and the slot is free.
    pub fn detached(&mut self, slot: u32, fd: i32) -> bool {
        self.begin_event();
        let connection = self.connection_mut(slot);
        if connection.state != State::Moving {
            // It was closed meanwhile.
            return false;
        }
        let to = connection.habits.moves_to.take().expect("it moves");
        let mut connection = self.vacate(slot);
        connection.habits = Habits { is_guest: !connection.habits.is_guest, ..Habits::default() };
        self.shared.loads[self.id].fetch_sub(1, Relaxed);
        self.shared.loads[to].fetch_add(1, Relaxed);
        self.actions.mesh.push((to, Message::Moved(Box::new(Moved { fd, connection }))));
        true
    }

    /// A connection comes to live here.
    pub(super) fn arrive(&mut self, moved: Moved) {
        let Moved { fd, mut connection } = moved;
        let id = self.seat();
        debug_assert!(connection.output.is_empty(), "V1: all that it was answered is sent");
        // Somebody who was in the slot before may have been remembered as having something to send.
        (connection.id, connection.state, connection.dirty) = (id, State::Ready, false);
        (connection.receive_paused, connection.owes) = (false, false);
        connection.habits.counted_from = connection.card.commands.get();
        connection.card.move_to(id);
        let is_killed = connection.card.killed.load(Acquire);
        self.settle_in(id, connection, fd);
        if is_killed {
            self.close(id.slot, false);
        } else {
            self.ready.push_back(id);
        }
    }
}

/// V1.
fn can_move(connection: &Connection) -> bool {
    let session = &connection.session;
    let told = session.subscribed || session.resp3 || session.tracking != Tracking::OFF;
    connection.state == State::Ready
        && connection.reply_mode == ReplyMode::On
        && connection.output.is_empty()
        && connection.unsent == 0
        && connection.bound.is_empty()
        && connection.pending.is_empty()
        && connection.wait.is_none()
        && !(connection.dirty || connection.clogged || connection.receive_paused)
        && !(connection.leaving || connection.awaited)
        && !told
        && !connection.card.has(flag::MONITOR | flag::PUBSUB | flag::TRACKING)
}
