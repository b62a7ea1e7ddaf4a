//! A borrowed shard stays where it is, as long as nobody else wants it.
//!
//! An errand that fetched all shards for a convoy is soon followed by the next one, if the clients of one core are alone. So the
//! owner of a shard that was only ever fetched lately allows the errand's core to **keep** it. Commands of that core then run
//! as if the shard were its own, and no batch leaves. As soon as the owner needs it, it recalls it; with the next tick it does
//! so in any case, since expiry and the like are its own work.
//! In: errands that come by or end, and what the owner needs. Out: shards kept, recalls.
//! Invariants: L1, whoever may keep a shard is known to its owner until it is recalled or back; L2, a recall is obeyed at once,
//! or finds the shard on its way home; L3, who keeps a shard never waits with it: what takes longer takes it as a
//! lease, and what is kept never walks.

use super::batch::{Batch, Kind, Message};
use super::core::Core;
use crate::client::{Request, ShardSet};
use crate::commands::{Route, Signal};

/// So many errands have to come by without anything else that needs the shard before it may be kept.
const QUIET_ERRANDS: u32 = 8;

/// What a core knows of shards that stay away from home.
pub(super) struct Keeping {
    /// Others' shards that are kept here, beside the home shard.
    pub kept: ShardSet,
    /// Recalled while the errand was out that may bring them.
    let_go: ShardSet,
    /// The core that may keep the home shard, until it is recalled (L1).
    by: Option<usize>,
    /// Errands since the home shard was last needed here.
    quiet_errands: u32,
    /// How many of them have to come by.
    pub quiet_errands_min: u32,
    /// A tick found the home shard kept: it is made up for.
    tick_missed: bool,
}

impl Default for Keeping {
    fn default() -> Self {
        Self {
            kept: ShardSet::EMPTY,
            let_go: ShardSet::EMPTY,
            by: None,
            quiet_errands: 0,
            quiet_errands_min: QUIET_ERRANDS,
            tick_missed: false,
        }
    }
}

impl Core {
    // ---- where a shard is kept ----

    /// The shards on which a command can run right now, without a lease.
    pub(super) fn at_hand(&self) -> ShardSet {
        match self.shards[self.id] {
            Some(_) => self.keeping.kept.union(ShardSet::one(self.id)),
            None => self.keeping.kept,
        }
    }

    /// The same for a command: a function runs where it would run without what is kept.
    pub(super) fn at_hand_for(&self, request: &Request) -> ShardSet {
        let at_hand = self.at_hand();
        if self.is_function(request) { at_hand.minus(self.keeping.kept) } else { at_hand }
    }

    pub(super) fn is_function(&self, request: &Request) -> bool {
        request.command != Request::UNKNOWN && self.registry.row(request.command).route == Route::Function
    }

    /// Whether what a batch runs next is a function, or has one.
    fn has_function(&self, batch: &Batch) -> bool {
        let list = &batch.requests.list;
        match batch.kind {
            Kind::Plain => self.is_function(&list[batch.next]),
            Kind::Transaction { .. } | Kind::Rest { .. } => {
                list.iter().any(|request| self.is_function(request))
            }
            _ => false,
        }
    }

    /// What is kept here is of no use to a batch with functions.
    pub(super) fn let_go_for_functions(&mut self, batch: &Batch) {
        if !self.keeping.kept.is_empty() && self.has_function(batch) {
            self.let_go_all();
        }
    }

    /// What ran here may have begun a snapshot: shards walk at home.
    pub(super) fn let_go_walking(&mut self) {
        let kept = self.keeping.kept;
        for number in (0..self.shards.len()).filter(|&number| kept.contains(number)) {
            if self.shards[number].as_ref().is_some_and(|shard| shard.is_walking()) {
                self.let_go(number);
            }
        }
    }

    /// The errand is over: what it may leave here stays.
    pub(super) fn keep_from(&mut self, errand: &mut Batch) {
        let Kind::Errand { keep, .. } = errand.kind else { unreachable!("the caller looked") };
        let keep = keep.minus(std::mem::take(&mut self.keeping.let_go));
        for shard in std::mem::take(&mut errand.held) {
            let number = shard.id;
            if keep.contains(number) && !shard.is_walking() && self.parked.is_none() && !self.is_asking() {
                debug_assert!(self.shards[number].is_none(), "K3: there is only one of it");
                self.shards[number] = Some(shard);
                self.keeping.kept.insert(number);
            } else {
                errand.held.push(shard);
            }
        }
    }

    /// A batch takes shards along that are kept here: they go home from it, unless it is this core's own errand.
    pub(super) fn take_kept(&mut self, batch: &mut Batch, wanted: ShardSet) {
        for number in (0..self.shards.len()).filter(|&number| wanted.contains(number)) {
            if !self.keeping.kept.contains(number) {
                continue;
            }
            self.keeping.kept = self.keeping.kept.minus(ShardSet::one(number));
            batch.held.push(self.shards[number].take().expect("it was kept"));
            if let Kind::Errand { home, keep, .. } = &mut batch.kind
                && *home == self.id
            {
                keep.insert(number);
            }
        }
    }

    /// The owner of a shard that may be kept here wants it back (L2).
    pub(super) fn let_go(&mut self, number: usize) {
        if self.keeping.kept.contains(number) {
            self.keeping.kept = self.keeping.kept.minus(ShardSet::one(number));
            let shard = self.shards[number].take().expect("it was kept");
            self.actions.mesh.push((number, Message::Shard(shard)));
        } else if self.errand_out {
            self.keeping.let_go.insert(number);
        }
    }

    /// This core must not go on with others' shards.
    pub(super) fn let_go_all(&mut self) {
        while let Some(number) = self.keeping.kept.lowest() {
            self.let_go(number);
        }
    }

    // ---- at home ----

    /// The home shard leaves with an errand: it may stay there if it was not needed here for a while.
    pub(super) fn lend_to(&mut self, batch: &mut Batch) {
        let Kind::Errand { home, keep, .. } = &mut batch.kind else { return };
        self.keeping.quiet_errands = self.keeping.quiet_errands.saturating_add(1);
        let quiet = self.keeping.quiet_errands > self.keeping.quiet_errands_min;
        if quiet && *home != self.id && self.waiting.is_empty() && self.convoy.is_empty() && !self.evicting {
            keep.insert(self.id);
            self.keeping.by = Some(*home);
        }
    }

    /// Something came up for which the home shard is needed here.
    pub(super) fn need_home_shard(&mut self) {
        self.keeping.quiet_errands = 0;
        self.recall();
    }

    /// Asks for the home shard, if it is kept elsewhere.
    pub(super) fn recall(&mut self) {
        if let Some(keeper) = self.keeping.by.take() {
            self.signal_core(keeper, Signal::Recall { keeper, shard: self.id });
        }
    }

    /// Clients of this core are not alone any more.
    #[inline]
    pub(super) fn note_client(&mut self) {
        self.keeping.quiet_errands = 0;
    }

    /// Whether the home shard is kept elsewhere: ticks are to see that it comes home.
    pub(super) fn is_kept_elsewhere(&self) -> bool {
        self.keeping.by.is_some()
    }

    /// A tick came: the home shard is due, and what the tick could not do is done then.
    pub(super) fn tick_recalls(&mut self) {
        if self.is_kept_elsewhere() {
            self.keeping.tick_missed = true;
            self.recall();
        }
    }

    /// The home shard is back.
    pub(super) fn end_keeping(&mut self) {
        self.keeping.by = None;
    }

    /// Does what a tick could not do while the home shard was kept elsewhere.
    pub(super) fn make_up_for_tick(&mut self) {
        if self.keeping.tick_missed && self.shards[self.id].is_some() {
            self.keeping.tick_missed = false;
            self.tick();
        }
    }
}
