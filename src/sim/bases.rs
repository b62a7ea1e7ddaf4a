//! The base of a log that is written as commands: what all shards hold at one moment, their chunks in turns as in a file.
//! In: a world in which nothing is on its way. Out: such a file, for another world to read.

use super::world::World;
use crate::persist::Format;
use crate::shard::snapshot::{Clocks, Plan};
use crate::shard::{Moment, Shard};

impl World {
    /// None: some shard is not at home, or is being written already.
    pub fn base(&mut self) -> Option<Vec<u8>> {
        let moment = Moment::at(self.now_ms());
        let plan = Plan { id: u64::MAX, format: Format::Commands, clocks: Clocks::None, moment };
        let World { cores, rng, .. } = self;
        let shards = cores.iter_mut().map(|core| core.shard_at_home());
        let mut shards: Vec<&mut Shard> = shards.collect::<Option<_>>()?;
        if shards.iter().any(|shard| shard.snapshot_id().is_some()) {
            return None;
        }
        shards.iter_mut().for_each(|shard| shard.begin_snapshot(plan));
        let mut file = Vec::new();
        let (mut open, mut over) = (None, vec![false; shards.len()]);
        while !over.iter().all(|over| *over) || shards.iter().any(|shard| shard.chunk_bytes() > 0) {
            let at = open.unwrap_or_else(|| rng.below(shards.len() as u64) as usize);
            over[at] = over[at] || shards[at].walk_slice(8);
            if let Some(chunk) = shards[at].take_chunk() {
                file.extend(chunk.bytes);
                open = chunk.open.then_some(at);
            }
        }
        shards.iter_mut().for_each(|shard| drop(shard.end_snapshot()));
        Some(file)
    }
}
