//! Values that go from key to key: RENAME, MOVE, COPY. They may cross shards; all of the command's are at hand.

use super::super::connection::database;
use super::super::{Context, Error};
use crate::client::Args;
use crate::config::Events;
use crate::shard::Removed;

pub fn rename(cx: &mut Context, args: Args) -> Result<(), Error> {
    rename_to(cx, args, true)?;
    cx.out.ok();
    Ok(())
}

pub fn renamenx(cx: &mut Context, args: Args) -> Result<(), Error> {
    let done = rename_to(cx, args, false)?;
    cx.out.integer(done as i64);
    Ok(())
}

/// Whether the key got its new name.
fn rename_to(cx: &mut Context, args: Args, replace: bool) -> Result<bool, Error> {
    let (from, to) = (args.at(1), args.at(2));
    if cx.edit(from).is_none() {
        return Err(Error::NO_SUCH_KEY);
    }
    if from == to {
        return Ok(replace);
    }
    if !replace && cx.edit(to).is_some() {
        return Ok(false);
    }
    let value = cx.take(from).expect("it was just seen");
    let (db, expiry) = (cx.session.db, value.expiry());
    cx.put(db, to, value, expiry);
    cx.count_beyond(to, -1);
    cx.notify(Events::GENERIC, "rename_from", from);
    cx.notify(Events::GENERIC, "rename_to", to);
    Ok(true)
}

pub fn move_to_db(cx: &mut Context, args: Args) -> Result<(), Error> {
    let key = args.at(1);
    let to = database(cx, args.at(2))?;
    if to == cx.session.db {
        return Err(Error::SAME_OBJECT);
    }
    let moment = cx.moment;
    let free = cx.edit(key).is_some() && cx.shard(key).edit(to, key, &moment).is_none();
    if free {
        let value = cx.take(key).expect("it was just seen");
        let expiry = value.expiry();
        cx.put(to, key, value, expiry);
        cx.count_beyond(key, -1);
        cx.notify(Events::GENERIC, "move_from", key);
        cx.notify_in(to, Events::GENERIC, "move_to", key);
    }
    cx.out.integer(free as i64);
    Ok(())
}

pub fn copy(cx: &mut Context, args: Args) -> Result<(), Error> {
    let (from, to) = (args.at(1), args.at(2));
    let (mut db, mut replace) = (cx.session.db, false);
    let mut at = 3;
    while at < args.len() {
        if args.is(at, "replace") {
            replace = true;
        } else if args.is(at, "db") && at + 1 < args.len() {
            at += 1;
            db = database(cx, args.at(at))?;
        } else {
            return Err(Error::SYNTAX);
        }
        at += 1;
    }
    if from == to && db == cx.session.db {
        return Err(Error::SAME_OBJECT);
    }
    let moment = cx.moment;
    let Some(source) = cx.read(from).map(|entry| Removed::copy_of(entry)) else {
        cx.out.integer(0);
        return Ok(());
    };
    let free = replace || cx.shard(to).edit(db, to, &moment).is_none();
    if free {
        let expiry = source.expiry();
        cx.put(db, to, source, expiry);
        cx.notify_in(db, Events::GENERIC, "copy_to", to);
    }
    cx.out.integer(free as i64);
    Ok(())
}
