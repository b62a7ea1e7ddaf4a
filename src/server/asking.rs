//! A command that asks another server (MIGRATE) is put aside until the answer comes: its batch keeps its shards, so that its
//! keys are neither seen nor changed meanwhile, and the core goes on with its network.
//! In: a command that asks, and the answer. Out: an errand, then the batch on its way again.
//! Invariants: A1, a core has at most one command that asks. A2, until it is answered the home shard stays with it, and its core
//! runs nothing that needs a shard, and no script, which would find the core's Lua in use. (In Redis the whole server waits.)

use super::batch::{Batch, Kind};
use super::core::Core;
use super::parked::Aside;
use crate::base::clock::ticks;
use crate::client::Request;
use crate::commands::SCRIPTING;
use crate::commands::errand::{Answered, Ask, Heard};
use crate::shard::Shard;

/// A batch whose next command waits for an answer.
pub struct Asking {
    aside: Aside,
    keys: Vec<Vec<u8>>,
    asked: u64,
}

impl Core {
    pub fn is_asking(&self) -> bool {
        self.asking.is_some()
    }

    /// Whether a command has to wait for the end of one that asks (A2).
    #[inline]
    pub(super) fn rests(&self, request: &Request) -> bool {
        self.is_asking() && (!request.shards.is_empty() || self.registry.group(request.command) == SCRIPTING)
    }

    /// The same for what a batch runs next.
    pub(super) fn batch_rests(&self, batch: &Batch) -> bool {
        match batch.kind {
            Kind::Plain => self.rests(&batch.requests.list[batch.next]),
            _ => self.is_asking(),
        }
    }

    pub(super) fn ask(&mut self, ask: Ask, aside: Aside) {
        assert!(self.asking.is_none(), "A1: nothing runs while a command asks");
        self.actions.errand = Some(ask.errand);
        self.asking = Some(Asking { aside, keys: ask.keys, asked: ticks() });
    }

    /// Another server has answered, or failed to.
    pub fn answered(&mut self, heard: Heard) {
        self.begin_event();
        let Asking { aside, keys, asked } = self.asking.take().expect("who asked waits for the answer");
        self.answer = Some(Answered { keys, heard, asked });
        self.go_on_with(aside);
        // What waited here may have the home shard with it.
        for batch in std::mem::take(&mut self.waiting) {
            if let Some(batch) = self.step(batch) {
                self.waiting.push_back(batch);
                self.need_home_shard();
            }
        }
        self.serve_waiting();
    }

    /// A2: the home shard came back while a command asks.
    pub(super) fn keep_for_asking(&mut self, shard: Box<Shard>) -> Option<Box<Shard>> {
        let Some(asking) = &mut self.asking else { return Some(shard) };
        let old = asking.aside.home.replace(shard);
        assert!(old.is_none(), "K3: there is only one of it");
        None
    }
}
