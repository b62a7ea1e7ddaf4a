//! Keys whatever they hold: DEL, EXISTS, EXPIRE, RENAME, SCAN, DUMP and their family.

pub mod dump;
pub mod expire;
pub mod migrate;
mod move_key;
mod object;
pub mod scan;
#[cfg(test)]
mod tests;

use super::blocking::{For, deadline_ms, is_durable, write_durable};
use super::help::{self, container};
use super::{Command, Context, Error, KeySpec, Route, flags};
use crate::base::number::parse_i64;
use crate::client::{Args, Nothing};
use crate::config::Events;
use crate::shard::{Entry, Moment, Type};

const KEY_ACCESS: &[KeySpec] = &[KeySpec::at(1, "RO access")];
const KEY_LOOK: &[KeySpec] = &[KeySpec::at(1, "RO")];
const KEY_UPDATE: &[KeySpec] = &[KeySpec::at(1, "RW update")];
const KEYS_LOOK: &[KeySpec] = &[KeySpec::range(1, -1, 1, "RO")];
const KEYS_DELETE: &[KeySpec] = &[KeySpec::range(1, -1, 1, "RM delete")];

const OBJECT_KEY: &[KeySpec] = &[KeySpec::at(2, "RO")];
const VARIES: &[&str] = &["nondeterministic_output"];

const MIGRATED: &[KeySpec] = &[
    KeySpec::at(3, "RW access delete").asked(migrate::sole_key_at),
    KeySpec::after_all("KEYS", -2, -1, 0, "RW access delete incomplete").asked(migrate::keys_at),
];

const PER_KEY: &str = "O(N), N being the number of keys";
const DELETE_TIPS: &[&str] = &["request_policy:multi_shard", "response_policy:agg_sum"];

#[rustfmt::skip]
pub const TABLE: &[Command] = &[
    Command::new("COPY", "source destination [DB destination-db] [REPLACE]", move_key::copy).arity(-3).grow()
        .keys(&[KeySpec::at(1, "RO access"), KeySpec::at(2, "OW update")]).since("6.2.0")
        .about("Copies a value to another key.").complexity("O(N) for collections, N being the number of their elements"),
    Command::new("DEL", "key [key ...]", del).arity(-2).write().keys(KEYS_DELETE).tips(DELETE_TIPS)
        .about("Deletes keys.").complexity(PER_KEY),
    Command::new("DUMP", "key", dump::dump).arity(2).read().keys(KEY_ACCESS).since("2.6.0").tips(VARIES)
        .about("Returns a value as bytes that RESTORE takes, here or on another server.")
        .complexity("O(N), N being the size of the value"),
    Command::new("EXISTS", "key [key ...]", exists).arity(-2).read().fast().keys(KEYS_LOOK).tips(DELETE_TIPS)
        .about("Counts which of the keys exist; one named twice counts twice.").complexity(PER_KEY),
    Command::new("EXPIRE", "key seconds [NX | XX | GT | LT]", expire::expire).arity(-3).write().fast().keys(KEY_UPDATE)
        .about("Gives a key a time to live, in seconds."),
    Command::new("EXPIREAT", "key unix-time-seconds [NX | XX | GT | LT]", expire::expireat).arity(-3).write().fast().keys(KEY_UPDATE).since("1.2.0")
        .about("Gives a key a time to end, as a Unix time in seconds."),
    Command::new("EXPIRETIME", "key", expire::expiretime).arity(2).read().fast().keys(KEY_ACCESS).since("7.0.0")
        .about("Returns when a key ends, as a Unix time in seconds."),
    Command::new("KEYS", "pattern", scan::keys).arity(2).read().route(Route::All).categories(&["dangerous"])
        .tips(&["request_policy:all_shards", "nondeterministic_output_order"])
        .about("Returns every key that matches a pattern.").complexity("O(N), N being the number of keys in the database"),
    Command::new("MIGRATE", "host port <key | \"\"> destination-db timeout [COPY] [REPLACE] [AUTH password | AUTH2 username password] [KEYS key [key ...]]", migrate::migrate)
        .arity(-6).write().keys(MIGRATED).since("2.6.0").categories(&["dangerous"]).tips(VARIES)
        .about("Moves keys to another server.").complexity("O(N) on both servers, N being the size of the values"),
    Command::new("MOVE", "key db", move_key::move_to_db).arity(3).write().fast().keys(&[KeySpec::at(1, "RW access update")])
        .about("Moves a key to another database."),
    Command::new("OBJECT", "", container).arity(-2).container().since("2.2.3").about("Holds the commands that look into how a key is stored."),
    Command::new("OBJECT ENCODING", "key", object::encoding).arity(3).read().keys(OBJECT_KEY).since("2.2.3").tips(VARIES)
        .about("Names the form in which a value is stored."),
    Command::new("OBJECT FREQ", "key", object::freq).arity(3).read().keys(OBJECT_KEY).since("4.0.0").tips(VARIES)
        .about("Returns how often a key is used, on a logarithmic scale, under an LFU policy."),
    help::row("OBJECT HELP", "6.2.0"),
    Command::new("OBJECT IDLETIME", "key", object::idletime).arity(3).read().keys(OBJECT_KEY).since("2.2.3").tips(VARIES)
        .about("Returns the seconds since a key was last used."),
    Command::new("OBJECT REFCOUNT", "key", object::refcount).arity(3).read().keys(OBJECT_KEY).since("2.2.3").tips(VARIES)
        .about("Returns how many references to a value there are."),
    Command::new("PERSIST", "key", expire::persist).arity(2).write().fast().keys(KEY_UPDATE).since("2.2.0")
        .about("Takes the expiry off a key."),
    Command::new("PEXPIRE", "key milliseconds [NX | XX | GT | LT]", expire::pexpire).arity(-3).write().fast().keys(KEY_UPDATE).since("2.6.0")
        .about("Gives a key a time to live, in milliseconds."),
    Command::new("PEXPIREAT", "key unix-time-milliseconds [NX | XX | GT | LT]", expire::pexpireat).arity(-3).write().fast().keys(KEY_UPDATE).since("2.6.0")
        .about("Gives a key a time to end, as a Unix time in milliseconds."),
    Command::new("PEXPIRETIME", "key", expire::pexpiretime).arity(2).read().fast().keys(KEY_ACCESS).since("7.0.0")
        .about("Returns when a key ends, as a Unix time in milliseconds."),
    Command::new("PTTL", "key", expire::pttl).arity(2).read().fast().keys(KEY_ACCESS).since("2.6.0")
        .tips(&["nondeterministic_output"]).about("Returns how long a key has left, in milliseconds."),
    Command::new("RANDOMKEY", "", scan::randomkey).arity(1).read().flag(flags::TOUCHES_ARBITRARY_KEYS).route(Route::All)
        .tips(&["request_policy:all_shards", "response_policy:special", "nondeterministic_output"])
        .about("Returns a key by chance."),
    Command::new("RENAME", "key newkey", move_key::rename).arity(3).write()
        .keys(&[KeySpec::at(1, "RW access delete"), KeySpec::at(2, "OW update")])
        .about("Gives a key another name, over whatever had that name."),
    Command::new("RENAMENX", "key newkey", move_key::renamenx).arity(3).write().fast()
        .keys(&[KeySpec::at(1, "RW access delete"), KeySpec::at(2, "OW insert")])
        .about("Gives a key another name if that is free."),
    Command::new("RESTORE", "key ttl serialized-value [REPLACE] [ABSTTL] [IDLETIME seconds] [FREQ frequency]", dump::restore)
        .arity(-4).grow().keys(&[KeySpec::at(1, "OW update")]).since("2.6.0").categories(&["dangerous"])
        .about("Creates a key from what DUMP returned.").complexity("O(N log N), N being the size of the value"),
    Command::new("SCAN", "cursor [MATCH pattern] [COUNT count] [TYPE type]", scan::scan).arity(-2).read()
        .flag(flags::TOUCHES_ARBITRARY_KEYS).route(Route::Cursor).since("2.8.0")
        .tips(&["nondeterministic_output", "request_policy:special", "response_policy:special"])
        .about("Walks over the keys of the database, some at each call.").complexity("O(1) for every call, O(N) for a whole walk over N keys"),
    Command::new("TOUCH", "key [key ...]", touch).arity(-2).read().fast().keys(KEYS_LOOK).since("3.2.1").tips(DELETE_TIPS)
        .about("Refreshes the access clocks of keys; returns how many exist.").complexity(PER_KEY),
    Command::new("TTL", "key", expire::ttl).arity(2).read().fast().keys(KEY_ACCESS)
        .tips(&["nondeterministic_output"]).about("Returns how long a key has left, in seconds."),
    Command::new("TYPE", "key", type_of).arity(2).read().fast().keys(KEY_LOOK).about("Names the type of a key's value."),
    Command::new("UNLINK", "key [key ...]", del).arity(-2).write().fast().keys(KEYS_DELETE).since("4.0.0").tips(DELETE_TIPS)
        .about("Deletes keys; as in DEL, the memory of large values is freed later.").complexity(PER_KEY),
    Command::new("WAIT", "numreplicas timeout", wait).arity(3).flag(flags::BLOCKING).since("3.0.0").categories(&["connection", "-keyspace"])
        .tips(&["request_policy:all_shards", "response_policy:agg_min"])
        .about("Waits until that many replicas have what this client wrote; returns how many do."),
    Command::new("WAITAOF", "numlocal numreplicas timeout", wait_aof).arity(4).flag(flags::BLOCKING).since("7.2.0")
        .categories(&["connection", "-keyspace"])
        .tips(&["request_policy:all_shards", "response_policy:agg_min"])
        .about("Waits until what this client wrote is synced to the append-only file, here and on that many replicas."),
];

/// Looks a key up to read it, counting a hit or a miss, without refreshing its access clock.
fn look<'a>(cx: &'a mut Context, key: &[u8]) -> Option<&'a mut Entry> {
    let (db, moment) = (cx.session.db, Moment { touch: false, ..cx.moment });
    cx.shard(key).read(db, key, &moment)
}

/// How many of the keys, all arguments, `counts` says yes to.
fn count_keys(cx: &mut Context, args: Args, counts: impl Fn(&mut Context, &[u8]) -> bool) -> usize {
    let keys = args.from(1);
    let one = |(at, key)| {
        cx.prefetch(keys, at, 1);
        counts(cx, key)
    };
    keys.iter().enumerate().map(one).filter(|&counted| counted).count()
}

fn del(cx: &mut Context, args: Args) -> Result<(), Error> {
    let deleted = count_keys(cx, args, |cx, key| {
        let was_there = cx.remove(key);
        if was_there {
            cx.notify(Events::GENERIC, "del", key);
        }
        was_there
    });
    cx.out.integer(deleted as i64);
    Ok(())
}

fn exists(cx: &mut Context, args: Args) -> Result<(), Error> {
    let found = count_keys(cx, args, |cx, key| look(cx, key).is_some());
    cx.out.integer(found as i64);
    Ok(())
}

fn touch(cx: &mut Context, args: Args) -> Result<(), Error> {
    // Whatever CLIENT NO-TOUCH says.
    let (db, moment) = (cx.session.db, Moment { touch: true, ..cx.moment });
    let found = count_keys(cx, args, |cx, key| cx.shard(key).read(db, key, &moment).is_some());
    cx.out.integer(found as i64);
    Ok(())
}

/// There are no replicas: none has anything, however long one waits.
fn wait(cx: &mut Context, args: Args) -> Result<(), Error> {
    let wanted = parse_i64(args.at(1)).ok_or(Error::NOT_AN_INTEGER)?;
    let ms = parse_i64(args.at(2)).ok_or(Error::new("ERR timeout is not an integer or out of range"))?;
    let deadline_ms = deadline_ms(cx, ms)?;
    if wanted <= 0 {
        cx.out.integer(0);
        return Ok(());
    }
    let nothing = Nothing::Integer(0);
    cx.wait(std::iter::empty(), For { nothing, ..For::elements(Type::String, deadline_ms) });
    Ok(())
}

fn wait_aof(cx: &mut Context, args: Args) -> Result<(), Error> {
    let local = parse_i64(args.at(1)).ok_or(Error::NOT_AN_INTEGER)?;
    if !(0..=1).contains(&local) {
        return Err(Error::new("ERR value is out of range, value must between 0 and 1"));
    }
    let replicas = parse_i64(args.at(2)).ok_or(Error::NOT_AN_INTEGER)?;
    if replicas < 0 {
        return Err(Error::new("ERR value is out of range, must be positive"));
    }
    let ms = parse_i64(args.at(3)).ok_or(Error::new("ERR timeout is not an integer or out of range"))?;
    let deadline_ms = deadline_ms(cx, ms)?;
    let logged = cx.shared.is_logged();
    if local > 0 && !logged {
        return Err(Error::NO_LOG_TO_WAIT_FOR);
    }
    let stamp = cx.session.wrote;
    let durable = is_durable(cx.shared, stamp);
    if replicas == 0 && (local == 0 || durable) {
        write_durable(&mut cx.out, durable);
        return Ok(());
    }
    let nothing = Nothing::Durable { stamp, local: local > 0, here: replicas == 0 };
    cx.wait(std::iter::empty(), For { nothing, ..For::elements(Type::String, deadline_ms) });
    Ok(())
}

fn type_of(cx: &mut Context, args: Args) -> Result<(), Error> {
    let name = look(cx, args.at(1)).map_or("none", |entry| entry.kind().name());
    cx.out.simple(name);
    Ok(())
}
