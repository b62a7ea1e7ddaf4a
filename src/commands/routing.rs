//! Which shards a command touches, by its row and its arguments.
//! In: a command. Out: a set of shards; who runs it sees to it that they are at hand.

use super::command::{Command, Find, Registry, Route, flags};
use crate::client::{Args, ShardSet};
use crate::script::proof::KeyRange;
use crate::shard::Shard;
use crate::shared::SlotTable;

/// The shards of a command's keys. Arguments that name no keys rightly need none: the handler refuses them. A script
/// gets all; `script::reach` knows when fewer will do.
#[inline]
pub fn shards_of(command: &Command, args: Args, slots: &SlotTable) -> ShardSet {
    if command.route == Route::Keys {
        return shards_of_keys(command, args, slots);
    }
    let count = slots.shard_count();
    match command.route {
        Route::All | Route::Script | Route::Function => ShardSet::first(count),
        Route::Save if gives_up_data(args) => ShardSet::EMPTY,
        Route::Save => ShardSet::first(count),
        Route::Settings if names_log(args) => ShardSet::first(count),
        Route::Settings => ShardSet::EMPTY,
        Route::Patterns if super::sort::has_patterns(args) => ShardSet::first(count),
        Route::Home | Route::Report => ShardSet::EMPTY,
        Route::Cursor => ShardSet::one(super::cursor_shard(args).min(count - 1)),
        Route::Keys | Route::Patterns => shards_of_keys(command, args, slots),
    }
}

/// SHUTDOWN NOSAVE: it ends a server whose shards are with a script that does not end.
pub fn gives_up_data(args: Args) -> bool {
    args.iter().any(|word| word.eq_ignore_ascii_case(b"NOSAVE"))
}

/// CONFIG SET appendonly, among whatever else.
fn names_log(args: Args) -> bool {
    args.iter().skip(2).step_by(2).any(|name| name.eq_ignore_ascii_case(b"appendonly"))
}

/// The shards of the arguments that are keys.
#[inline]
pub fn shards_of_keys(command: &Command, args: Args, slots: &SlotTable) -> ShardSet {
    if command.keys.is_empty() {
        return ShardSet::EMPTY;
    }
    if slots.shard_count() == 1 {
        return ShardSet::one(0);
    }
    shards_of_several(command, args, slots)
}

fn shards_of_several(command: &Command, args: Args, slots: &SlotTable) -> ShardSet {
    let mut shards = ShardSet::EMPTY;
    for spec in command.keys {
        spec.each(args, &mut |index| shards.insert(slots.shard(args.at(index))));
    }
    shards
}

/// A command ran for a client that may keep what it read: the shards remember the keys.
pub fn remember_keys(
    command: &Command,
    args: Args,
    slots: &SlotTable,
    shards: &mut [Option<Box<Shard>>],
    client: u64,
) {
    if !command.is(flags::READONLY) || command.is(flags::PUBSUB) {
        return;
    }
    for spec in command.keys.iter().filter(|spec| !spec.is_no_key()) {
        spec.each(args, &mut |index| {
            let key = args.at(index);
            // Who is served after a wait has only one of its shards at hand: it was remembered in the others before.
            if let Some(shard) = &mut shards[slots.shard(key)] {
                shard.tracking.remember(key, client);
            }
        });
    }
}

/// Where a command's keys are, for the proof that a script stays with its own; None: its row does not say, or it looks
/// at more than its keys.
pub fn key_ranges(registry: &Registry, name: &[u8]) -> Option<Vec<KeyRange>> {
    let command = registry.row(registry.find(name)?);
    if command.route != Route::Keys || command.container {
        return None;
    }
    let range = |spec: &super::KeySpec| match spec.find {
        Find::Range { first, last, step } => Some(KeyRange { first, last, step }),
        _ => None,
    };
    command.keys.iter().map(range).collect()
}
