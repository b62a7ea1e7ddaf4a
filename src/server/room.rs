//! Makes room before a command runs, as `maxmemory` and its policy say.
//! In: what is in use, and the shards at hand. Out: keys evicted, other cores asked to do so, or a refusal.
//! Absent: which keys go (`shard::evict`).
//!
//! A command evicts from the shards that it has at hand: keys are spread evenly, so the oldest of one shard are about the
//! oldest of all. Where these hold nothing that may go, a command on keys is run with all shards instead. What has no keys, or
//! has begun, asks the others' cores and goes on meanwhile. It is refused only where no shard has anything left to evict.

#[cfg(test)]
mod tests;

use super::core::Core;
use super::dispatch::Gates;
use super::run::Parts;
use crate::client::{Args, Connection, Request, Session, ShardSet};
use crate::commands::script::declared::flags_of;
use crate::commands::{Command, Error, Route, Signal, flags};
use crate::config::{Config, MaxmemoryPolicy};
use crate::shard::evict::Eviction;
use crate::shard::{Moment, Shard};
use crate::shared::{Held, Shared};

/// What the eviction of the keys at hand came to.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Evicted {
    Enough,
    /// Time was up.
    InPart,
    /// What is at hand holds nothing that may go.
    All,
}

/// What was found for a command.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Room {
    /// As much as it needs, or will be soon.
    Enough,
    /// Only what other shards hold may go.
    Elsewhere,
    /// What needs memory has to be refused.
    None,
}

/// How long a command may wait for room, in µs, as in Redis: the longer, the higher the tenacity.
fn budget_us(config: &Config) -> u64 {
    match config.maxmemory_eviction_tenacity as u64 {
        low @ 0..=10 => 50 * low,
        high @ 11..=99 => (500.0 * 1.15f64.powi(high as i32 - 10)) as u64,
        _ => u64::MAX,
    }
}

/// Whether more is in use than `maxmemory` allows and no shard holds a key that may go.
pub fn is_out_of_memory(shared: &Shared, config: &Config) -> bool {
    config.maxmemory > 0
        && !shared.is_loading()
        && shared.used_memory() > config.maxmemory
        && !(0..shared.slots.shard_count()).any(|shard| can_evict(shared, config.maxmemory_policy, shard))
}

fn can_evict(shared: &Shared, policy: MaxmemoryPolicy, shard: usize) -> bool {
    policy != MaxmemoryPolicy::Noeviction && shared.memory.can_evict(shard, policy.is_volatile())
}

/// Whether no more is in use than `maxmemory` allows.
#[inline]
pub(super) fn has_room(shared: &Shared, config: &Config) -> bool {
    config.maxmemory == 0 || shared.used_memory() <= config.maxmemory
}

/// Tells all cores what a shard holds now.
pub(super) fn publish(shared: &Shared, shard: &Shard) {
    let mut held = Held::default();
    for db in &shard.dbs {
        held.bytes += db.store.live_bytes() as u64;
        held.keys += db.store.len() as u64;
        held.expiring += db.store.expires() as u64;
    }
    shared.memory.publish(shard.id, held);
}

impl Gates<'_> {
    /// Inside MULTI, anything that is queued may need memory; so may EXEC if a queued command does.
    pub(super) fn lacks_memory(&self, connection: &Connection, command: &Command) -> bool {
        let Some(transaction) = &connection.transaction else { return false };
        let needs = |row: &Command| row.is(flags::DENYOOM);
        let may_need = match command.name {
            "EXEC" => {
                transaction.requests.list.iter().any(|request| needs(self.registry.row(request.command)))
            }
            _ => !command.unqueued,
        };
        may_need && !connection.session.timeless && is_out_of_memory(self.shared, self.config)
    }
}

impl Parts<'_> {
    /// Tells all cores what these shards hold now.
    pub(super) fn publish(&self, shards: ShardSet) {
        let at_hand = self.shards.iter().flatten();
        at_hand.filter(|shard| shards.contains(shard.id)).for_each(|shard| publish(self.shared, shard));
    }

    /// Evicts until no more than `maxmemory` is in use. `patient`: who asks can have all shards instead.
    pub(super) fn make_room(&mut self, moment: &Moment, patient: bool) -> Room {
        if has_room(self.shared, self.config) {
            return Room::Enough;
        }
        match self.evict_at_hand(moment) {
            Evicted::Enough => Room::Enough,
            Evicted::InPart => {
                self.ask(self.core);
                Room::Enough
            }
            Evicted::All => {
                let policy = self.config.maxmemory_policy;
                let others = (0..self.shards.len()).filter(|&shard| can_evict(self.shared, policy, shard));
                let others: Vec<usize> = others.collect();
                if others.is_empty() {
                    return Room::None;
                }
                if patient {
                    return Room::Elsewhere;
                }
                others.iter().for_each(|&shard| self.ask(shard));
                Room::Enough
            }
        }
    }

    /// Has another core, or this one when it has nothing better to do, evict keys of its shard.
    fn ask(&mut self, shard: usize) {
        if self.shared.memory.ask(shard) {
            self.signals.push(Signal::Evict { core: shard });
        }
    }

    /// While data are loaded nothing is evicted: the log may say more of what went.
    fn evict_at_hand(&mut self, moment: &Moment) -> Evicted {
        let config = self.config;
        if self.shared.is_loading() {
            return Evicted::Enough;
        }
        self.shards.iter().flatten().for_each(|shard| publish(self.shared, shard));
        let eviction =
            Eviction { policy: config.maxmemory_policy, samples: config.maxmemory_samples as usize };
        let (start_us, budget_us) = (self.shared.clock.mono_us(), budget_us(config));
        while self.shared.used_memory() > config.maxmemory {
            let mut any = false;
            for shard in self.shards.iter_mut().flatten() {
                if can_evict(self.shared, eviction.policy, shard.id)
                    && shard.evict(&eviction, moment, self.rng)
                {
                    any = true;
                    self.effects.take_incidents(std::iter::once(&mut **shard));
                    publish(self.shared, shard);
                }
            }
            if !any {
                return Evicted::All;
            }
            if self.shared.clock.mono_us() - start_us > budget_us {
                return Evicted::InPart;
            }
        }
        Evicted::Enough
    }
}

impl Core {
    /// Tells the others what the home shard holds, and what is kept here, where anybody wants to know.
    pub(super) fn publish_home(&mut self) {
        if self.config.maxmemory > 0 {
            let at_hand = self.at_hand();
            self.parts(None).publish(at_hand);
        }
    }

    /// Some other core, or this one a while ago, found too much memory in use.
    pub(super) fn asked_to_evict(&mut self) {
        self.shared.memory.heard(self.id);
        self.evicting = true;
        self.need_home_shard();
    }

    /// Whether there is something to evict, and it is at hand.
    pub fn may_evict(&self) -> bool {
        self.evicting && self.shards[self.id].is_some()
    }

    /// Evicts for a while. True: there is more to do.
    pub(super) fn evict_slice(&mut self) -> bool {
        if !self.may_evict() {
            return false;
        }
        self.follow_changes();
        let moment = self.moment(false);
        self.evicting =
            self.config.maxmemory > 0 && self.parts(None).evict_at_hand(&moment) == Evicted::InPart;
        self.after_command(false);
        self.appending.stamped = None;
        self.evicting
    }
}

impl Parts<'_> {
    /// Whether a command may run: makes room for it, if it can. A transaction was asked before it began, what a log says
    /// has happened already, and what goes on (`begins` is false) was asked when it began.
    #[inline]
    pub(super) fn admits(
        &mut self,
        command: &Command,
        request: &Request,
        args: Args,
        session: &Session,
        moment: &Moment,
        begins: bool,
    ) -> Result<Room, Error> {
        if self.config.maxmemory == 0 || !begins || session.atomic || session.timeless {
            return Ok(Room::Enough);
        }
        let has_keys = command.route == Route::Keys && !request.shards.is_empty();
        let patient = has_keys && !session.serving && self.shards.iter().any(Option::is_none);
        let room = self.make_room(moment, patient);
        if room == Room::None && flags_of(command, args, &self.shared.scripts) & flags::DENYOOM != 0 {
            return Err(Error::OOM);
        }
        Ok(room)
    }
}
