//! Which shards a script gets before it runs: those of its declared keys if that is safe, else all.
//! In: EVAL, EVALSHA and theirs. Out: a set of shards. Why it is safe: `crate::script::proof`.

use crate::client::{Args, ShardSet};
use crate::commands::Command;
use crate::commands::routing::shards_of_keys;
use crate::script::{Engine, Reach, Sha};
use crate::shared::{Shared, gate};

/// `alone`: it may begin anew, since nothing before it in a transaction has written.
pub fn shards_of_script(
    command: &Command,
    args: Args,
    shared: &Shared,
    engine: &Engine,
    alone: bool,
) -> ShardSet {
    let all = ShardSet::first(shared.slots.shard_count());
    if shared.slots.shard_count() == 1 {
        return all;
    }
    let reach = match command.name {
        "EVALSHA" | "EVALSHA_RO" => sha_of(args).map(|sha| engine.reach(&sha, &shared.scripts)),
        _ => args.get(1).map(|body| engine.reach_of_body(body, &shared.scripts)),
    };
    // Who listens with MONITOR would see what a script does in vain.
    let may_try = alone && shared.gates() & gate::MONITORED == 0;
    match reach.unwrap_or(Reach::Unknown) {
        Reach::Proven => shards_of_keys(command, args, &shared.slots),
        Reach::Hopeful if may_try => shards_of_keys(command, args, &shared.slots),
        _ => all,
    }
}

/// The digest that argument 1 is.
pub fn sha_of(args: Args) -> Option<Sha> {
    let mut sha: Sha = args.get(1)?.try_into().ok()?;
    sha.make_ascii_lowercase();
    Some(sha)
}
