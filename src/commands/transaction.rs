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
    let (db, due_ms) = (cx.session.db, cx.due_ms());
    for key in args.from(1).iter() {
        let shard = cx.shard(key);
        let expiry = shard.dbs[db as usize].store.find(key).and_then(Entry::expiry);
        let watched = Watched {
            shard: shard.id,
            db,
            key: key.into(),
            stamp: shard.watch.watch(db, key),
            overdue: expiry.is_some_and(|at_ms| at_ms <= due_ms),
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

#[cfg(test)]
mod tests {
    use crate::sim::check_outside_multi as check;

    #[test]
    fn exec_answers_for_all() {
        check(
            "MULTI => OK | SET a 1 => QUEUED | INCR a => QUEUED | GET b => QUEUED | EXEC => [OK 2 nil] | GET a => \"2\"",
        );
        check("MULTI => OK | EXEC => [] | EXEC => -ERR EXEC without MULTI");
        check(
            "MULTI => OK | SET a x => QUEUED | INCR a => QUEUED | SET b y => QUEUED | EXEC => [OK, -ERR value is not an integer or out of range, OK] | GET b => \"y\"",
        );
        check(
            "MULTI => OK | MSET a 1 b 2 c 3 d 4 => QUEUED | MGET a b c d => QUEUED | EXEC => [OK [\"1\" \"2\" \"3\" \"4\"]]",
        );
    }

    /// A refused EXEC was left out of the counts of errors.
    #[test]
    fn an_aborted_exec_is_an_error_reply() {
        check(
            "MULTI => OK | SET a => * | EXEC => -EXECABORT Transaction discarded because of previous errors. | INFO errorstats => \"# Errorstats\\r\\nerrorstat_ERR:count=1\\r\\nerrorstat_EXECABORT:count=1\\r\\n\"",
        );
    }

    #[test]
    fn misuse() {
        check(
            "EXEC => -ERR EXEC without MULTI | DISCARD => -ERR DISCARD without MULTI | MULTI x => -ERR wrong number of arguments for 'multi' command",
        );
        check("MULTI => OK | MULTI => -ERR MULTI calls can not be nested | SET a 1 => QUEUED | EXEC => [OK]");
        check(
            "MULTI => OK | WATCH a => -ERR WATCH inside MULTI is not allowed | SET a 1 => QUEUED | EXEC => [OK]",
        );
        check("MULTI => OK | DISCARD => OK | SET a 1 => OK | EXEC => -ERR EXEC without MULTI");
        check("MULTI => OK | UNWATCH => QUEUED | EXEC => [OK]");
    }

    #[test]
    fn a_refused_command_aborts() {
        let abort = "EXEC => -EXECABORT Transaction discarded because of previous errors. | EXEC => -ERR EXEC without MULTI | GET a => nil";
        check(&format!(
            "MULTI => OK | SET a 1 => QUEUED | SET a => -ERR wrong number of arguments for 'set' command | {abort}"
        ));
        check(&format!(
            "MULTI => OK | NOSUCH => -ERR unknown command 'NOSUCH', with args beginning with: | SET a 1 => QUEUED | {abort}"
        ));
        check(
            "MULTI => OK | SET a 1 => QUEUED | EXEC x => -EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command | EXEC => -ERR EXEC without MULTI | GET a => nil",
        );
        check("MULTI => OK | NOSUCH => * | DISCARD => OK | MULTI => OK | SET a 1 => QUEUED | EXEC => [OK]");
    }

    #[test]
    fn watched_keys() {
        check("WATCH a b => OK | MULTI => OK | SET c 1 => QUEUED | EXEC => [OK] | GET c => \"1\"");
        check(
            "WATCH a => OK | b> SET a x => OK | MULTI => OK | SET c 1 => QUEUED | EXEC => nil | GET c => nil",
        );
        check(
            "WATCH a => OK | MULTI => OK | SET c 1 => QUEUED | b> SET a x => OK | EXEC => nil | GET c => nil",
        );
        check("WATCH a => OK | SET a mine => OK | MULTI => OK | EXEC => nil");
        check("WATCH a b c d => OK | b> MSET x 1 d 2 => OK | MULTI => OK | GET x => QUEUED | EXEC => nil");
        check("WATCH a => OK | b> GET a => nil | b> SETNX b 1 => 1 | MULTI => OK | EXEC => []");
        check(
            "WATCH a => OK | b> SET a x => OK | MULTI => OK | EXEC => nil | MULTI => OK | GET a => QUEUED | EXEC => [\"x\"]",
        );
        check("WATCH => -ERR wrong number of arguments for 'watch' command");
        check("SET a 1 => OK | WATCH a => OK | b> SET a 1 => OK | MULTI => OK | EXEC => nil");
        check("SET a 1 => OK | WATCH a => OK | b> GETDEL a => \"1\" | MULTI => OK | EXEC => nil");
        check("WATCH a => OK | b> SETNX a 1 => 1 | b> GETDEL a => \"1\" | MULTI => OK | EXEC => nil");
        check(
            "SET a 1 => OK | WATCH a => OK | b> SET a 2 NX => nil | b> INCRBY a x => * | MULTI => OK | EXEC => []",
        );
    }

    #[test]
    fn watches_are_given_up() {
        check("WATCH a => OK | b> SET a x => OK | UNWATCH => OK | MULTI => OK | EXEC => []");
        check("WATCH a => OK | b> SET a x => OK | MULTI => OK | DISCARD => OK | MULTI => OK | EXEC => []");
        check("WATCH a => OK | MULTI => OK | EXEC => [] | b> SET a x => OK | MULTI => OK | EXEC => []");
        check(
            "WATCH a => OK | MULTI => OK | NOSUCH => * | EXEC => * | b> SET a x => OK | MULTI => OK | EXEC => []",
        );
        check("WATCH a => OK | WATCH b => OK | b> SET a x => OK | MULTI => OK | EXEC => nil");
        check(
            "WATCH a a => OK | WATCH a => OK | UNWATCH => OK | b> SET a x => OK | WATCH b => OK | MULTI => OK | EXEC => []",
        );
    }

    #[test]
    fn watched_keys_that_expire() {
        // A key that expires after WATCH was changed, whether anybody noticed or not.
        check("SET a v PX 10 => OK | WATCH a => OK | +10ms | MULTI => OK | EXEC => nil");
        check("SET a v PX 10 => OK | WATCH a => OK | +10ms | b> GET a => nil | MULTI => OK | EXEC => nil");
        check("SET a v PX 10 => OK | WATCH a => OK | +9ms | MULTI => OK | EXEC => []");
        // A key that had expired before was absent, and deleting it is no change.
        check("SET a v PX 10 => OK | +10ms | WATCH a => OK | MULTI => OK | EXEC => []");
        check("SET a v PX 10 => OK | +10ms | WATCH a => OK | b> GET a => nil | MULTI => OK | EXEC => []");
        check("SET a v PX 10 => OK | +10ms | WATCH a => OK | b> SET a w => OK | MULTI => OK | EXEC => nil");
        check(
            "SET a v PX 10 => OK | +10ms | WATCH a => OK | b> GET a => nil | b> SET a w => OK | MULTI => OK | EXEC => nil",
        );
        // FLUSHALL took an overdue key under watch for a change, and the transaction failed.
        check("SET a v PX 10 => OK | +10ms | WATCH a => OK | b> FLUSHALL => OK | MULTI => OK | EXEC => []");
        check("SET a v PX 10 => OK | +10ms | WATCH a => OK | b> SWAPDB 0 1 => OK | MULTI => OK | EXEC => []");
        check("SET a v PX 10 => OK | WATCH a => OK | b> FLUSHDB => OK | MULTI => OK | EXEC => nil");
        check("SET a v => OK | WATCH a => OK | b> SWAPDB 0 1 => OK | MULTI => OK | EXEC => nil");
        check("WATCH a => OK | b> FLUSHALL => OK | b> SWAPDB 0 1 => OK | MULTI => OK | EXEC => []");
    }
}
