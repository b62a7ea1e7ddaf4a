//! MULTI, EXEC, DISCARD, WATCH, UNWATCH. Queueing, and the run of a transaction, are the core's (`server::run`, `route`).

use super::{Command, Context, Error, KeySpec, Note, flags};
use crate::client::{Args, Transaction, Watched, flag};
use crate::shard::Entry;

pub const TABLE: &[Command] = &[
    Command::new("MULTI", "", multi)
        .arity(1)
        .flag(flags::NOSCRIPT | flags::ALLOW_BUSY)
        .always()
        .fast()
        .home()
        .unqueued()
        .since("1.2.0")
        .about("Opens a transaction: the commands that follow are queued."),
    Command::new("EXEC", "", exec)
        .arity(1)
        .flag(flags::NOSCRIPT | flags::SKIP_SLOWLOG)
        .always()
        .home()
        .unqueued()
        .since("1.2.0")
        .complexity("That of the queued commands")
        .about("Runs the queued commands as one, unless a watched key was changed."),
    Command::new("DISCARD", "", discard)
        .arity(1)
        .flag(flags::NOSCRIPT | flags::ALLOW_BUSY)
        .always()
        .fast()
        .home()
        .unqueued()
        .since("2.0.0")
        .complexity("O(N), N being the number of queued commands")
        .about("Forgets the queued commands and ends the transaction."),
    Command::new("WATCH", "key [key ...]", watch)
        .arity(-2)
        .flag(flags::NOSCRIPT | flags::ALLOW_BUSY)
        .always()
        .fast()
        .keys(&[KeySpec::range(1, -1, 1, "RO")])
        .unqueued()
        .since("2.2.0")
        .complexity("O(1) for every key")
        .about("Makes the next EXEC depend on these keys staying as they are."),
    Command::new("UNWATCH", "", unwatch)
        .arity(1)
        .flag(flags::NOSCRIPT | flags::ALLOW_BUSY)
        .always()
        .fast()
        .home()
        .since("2.2.0")
        .about("Forgets the watched keys."),
];

fn multi(cx: &mut Context, _args: Args) -> Result<(), Error> {
    let connection = cx.home();
    if connection.transaction.is_some() {
        return Err(Error::NESTED_MULTI);
    }
    connection.transaction = Some(Box::new(Transaction::default()));
    connection.card.multi.set(1);
    connection.card.set_flag(flag::MULTI, true);
    cx.out.ok();
    Ok(())
}

/// Only reached outside a transaction.
fn exec(_cx: &mut Context, _args: Args) -> Result<(), Error> {
    Err(Error::EXEC_WITHOUT_MULTI)
}

fn discard(cx: &mut Context, _args: Args) -> Result<(), Error> {
    if cx.home().transaction.is_none() {
        return Err(Error::DISCARD_WITHOUT_MULTI);
    }
    end(cx);
    cx.out.ok();
    Ok(())
}

/// Closes the connection's transaction and forgets its watched keys (DISCARD, RESET).
pub fn end(cx: &mut Context) {
    let connection = cx.home();
    connection.transaction = None;
    connection.card.multi.set(0);
    connection.card.multi_bytes.set(0);
    connection.card.set_flag(flag::MULTI, false);
    cx.forget_watched();
}

fn watch(cx: &mut Context, args: Args) -> Result<(), Error> {
    let (db, now_ms) = (cx.session.db, cx.now_ms());
    for key in args.from(1).iter() {
        let shard = cx.shard(key);
        let expiry = shard.dbs[db as usize].store.find(key).and_then(Entry::expiry);
        let watched = Watched {
            shard: shard.id,
            db,
            key: key.into(),
            version: shard.watch.watch(db, key),
            expired: expiry.is_some_and(|at_ms| at_ms <= now_ms),
        };
        cx.notes.push(Note::Watched(watched));
    }
    cx.out.ok();
    Ok(())
}

fn unwatch(cx: &mut Context, _args: Args) -> Result<(), Error> {
    cx.forget_watched();
    cx.out.ok();
    Ok(())
}
