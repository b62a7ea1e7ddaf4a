//! Commands about whole databases: DBSIZE, FLUSHDB, FLUSHALL, SWAPDB. They run with every shard at hand.

use crate::base::number::parse_i64;
use crate::client::Args;
use crate::commands::{Context, Error};

pub fn dbsize(cx: &mut Context, _args: Args) -> Result<(), Error> {
    let db = cx.session.db as usize;
    let keys: usize = cx.shards().map(|shard| shard.dbs[db].store.len()).sum();
    cx.out.integer(keys as i64);
    Ok(())
}

pub fn flushdb(cx: &mut Context, args: Args) -> Result<(), Error> {
    check_mode(args)?;
    let (db, moment) = (cx.session.db, cx.moment);
    for shard in cx.shards() {
        shard.flush(db, &moment);
    }
    cx.effects.record_always();
    cx.out.ok();
    Ok(())
}

pub fn flushall(cx: &mut Context, args: Args) -> Result<(), Error> {
    check_mode(args)?;
    let moment = cx.moment;
    for shard in cx.shards() {
        for db in 0..shard.dbs.len() as u16 {
            shard.flush(db, &moment);
        }
    }
    cx.effects.record_always();
    super::persistence::after_flushall(cx);
    Ok(())
}

/// SYNC and ASYNC are the same here: the keys are gone at once, their memory goes in slices.
fn check_mode(args: Args) -> Result<(), Error> {
    let known = args.len() == 2 && (args.is(1, "SYNC") || args.is(1, "ASYNC"));
    if args.len() == 1 || known { Ok(()) } else { Err(Error::SYNTAX) }
}

pub fn swapdb(cx: &mut Context, args: Args) -> Result<(), Error> {
    let index = |at: usize| parse_i64(args.at(at)).filter(|index| i32::try_from(*index).is_ok());
    let first = index(1).ok_or(Error::new("ERR invalid first DB index"))?;
    let second = index(2).ok_or(Error::new("ERR invalid second DB index"))?;
    let valid = 0..cx.config.databases as i64;
    if !valid.contains(&first) || !valid.contains(&second) {
        return Err(Error::DB_OUT_OF_RANGE);
    }
    if first != second {
        let moment = cx.moment;
        cx.shards().for_each(|shard| shard.swap(first as u16, second as u16, &moment));
    }
    // As in Redis, where it is logged, too, even if both are the same.
    cx.changed_as_a_whole();
    cx.out.ok();
    Ok(())
}
