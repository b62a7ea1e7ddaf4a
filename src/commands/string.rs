//! Strings: GET, SET and their family.

mod lcs;
mod number;
mod options;
mod range;
#[cfg(test)]
mod tests;

use super::{Command, Context, Error, KeySpec};
use crate::base::number::parse_i64;
use crate::client::Args;
use crate::config::Events;
use crate::shard::{Encoding, Entry, Type, Value};
use options::{Condition, Expiry, SetOptions};

const READ: &str = "RO access";
const KEY_READ: &[KeySpec] = &[KeySpec::at(1, READ)];
const KEY_OVERWRITE: &[KeySpec] = &[KeySpec::at(1, "OW update")];
const KEY_UPDATE: &[KeySpec] = &[KeySpec::at(1, "RW access update")];
const PAIRS: &[KeySpec] = &[KeySpec::range(1, -1, 2, "OW update")];

pub const TABLE: &[Command] = &[
    Command::new("APPEND", "key value", range::append).arity(3).grow().fast().keys(&[KeySpec::at(1, "RW insert")]).since("2.0.0")
        .about("Appends to a string, which is made if missing.").complexity("O(1), amortised"),
    Command::new("DECR", "key", number::decr).arity(2).grow().fast().keys(KEY_UPDATE)
        .about("Subtracts one from an integer; a missing key counts as 0."),
    Command::new("DECRBY", "key decrement", number::decrby).arity(3).grow().fast().keys(KEY_UPDATE)
        .about("Subtracts from an integer; a missing key counts as 0."),
    Command::new("DELIFEQ", "key value", delifeq).arity(3).write().fast().keys(&[KeySpec::at(1, "RM delete")]).since("9.0.0")
        .about("Deletes a string if it equals the value."),
    Command::new("GET", "key", get).arity(2).read().fast().keys(KEY_READ).about("Returns a string."),
    Command::new("GETDEL", "key", getdel).arity(2).write().fast().keys(&[KeySpec::at(1, "RW access delete")]).since("6.2.0")
        .about("Returns a string and deletes it."),
    Command::new("GETEX", "key [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | PERSIST]", getex)
        .arity(-2).write().fast().keys(KEY_UPDATE).since("6.2.0").about("Returns a string and sets or clears its expiry."),
    Command::new("GETRANGE", "key start end", range::getrange).arity(4).read().keys(KEY_READ).since("2.4.0")
        .about("Returns a part of a string.").complexity("O(N), N being the length of the part"),
    Command::new("GETSET", "key value", getset).arity(3).grow().fast().keys(KEY_UPDATE)
        .about("Sets a string and returns what it was."),
    Command::new("INCR", "key", number::incr).arity(2).grow().fast().keys(KEY_UPDATE)
        .about("Adds one to an integer; a missing key counts as 0."),
    Command::new("INCRBY", "key increment", number::incrby).arity(3).grow().fast().keys(KEY_UPDATE)
        .about("Adds to an integer; a missing key counts as 0."),
    Command::new("INCRBYFLOAT", "key increment", number::incrbyfloat).arity(3).grow().fast().keys(KEY_UPDATE).since("2.6.0")
        .about("Adds to a number; a missing key counts as 0."),
    Command::new("LCS", "key1 key2 [LEN] [IDX] [MINMATCHLEN min-match-len] [WITHMATCHLEN]", lcs::lcs).arity(-3).read()
        .keys(&[KeySpec::range(1, 2, 1, READ)]).since("7.0.0")
        .about("Finds the longest common subsequence of two strings.").complexity("O(N*M), N and M being their lengths"),
    Command::new("MGET", "key [key ...]", mget).arity(-2).read().fast().keys(&[KeySpec::range(1, -1, 1, READ)])
        .tips(&["request_policy:multi_shard"]).about("Returns several strings.").complexity("O(N), N being the number of keys"),
    Command::new("MSET", "key value [key value ...]", mset).arity(-3).grow().keys(PAIRS).since("1.0.1")
        .tips(&["request_policy:multi_shard", "response_policy:all_succeeded"])
        .about("Sets several strings at once.").complexity("O(N), N being the number of keys"),
    Command::new("MSETEX", "numkeys key value [key value ...] [NX | XX] [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | KEEPTTL]", msetex)
        .arity(-4).grow().keys(&[KeySpec::count(1, 2, "OW update")]).since("9.1.0")
        .about("Sets several strings at once, with one expiry, if all or none exist.").complexity("O(N), N being the number of keys"),
    Command::new("MSETNX", "key value [key value ...]", msetnx).arity(-3).grow().keys(&[KeySpec::range(1, -1, 2, "OW insert")]).since("1.0.1")
        .about("Sets several strings at once if none of the keys exists.").complexity("O(N), N being the number of keys"),
    Command::new("PSETEX", "key milliseconds value", psetex).arity(4).grow().keys(KEY_OVERWRITE).since("2.6.0")
        .about("Sets a string that expires, in milliseconds."),
    Command::new("SET", "key value [NX | XX | IFEQ comparison-value] [GET] [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | KEEPTTL]", set)
        .arity(-3).grow().keys(&[KeySpec::at(1, "RW access update variable_flags")])
        .about("Sets a string, with conditions and an expiry if asked for."),
    Command::new("SETEX", "key seconds value", setex).arity(4).grow().keys(KEY_OVERWRITE).since("2.0.0")
        .about("Sets a string that expires, in seconds."),
    Command::new("SETNX", "key value", setnx).arity(3).grow().fast().keys(&[KeySpec::at(1, "OW insert")])
        .about("Sets a string if the key is missing."),
    Command::new("SETRANGE", "key offset value", range::setrange).arity(4).grow().keys(&[KeySpec::at(1, "RW update")]).since("2.2.0")
        .about("Overwrites a part of a string, with zero bytes up to it if needed.").complexity("O(N), N being the length of the value"),
    Command::new("STRLEN", "key", strlen).arity(2).read().fast().keys(&[KeySpec::at(1, "RO")]).since("2.2.0").about("Returns the length of a string."),
    Command::new("SUBSTR", "key start end", range::getrange).arity(4).read().keys(KEY_READ)
        .about("Returns a part of a string: the old name of GETRANGE.").complexity("O(N), N being the length of the part"),
];

/// The entry as a string, or the error for a key that holds something else.
pub(super) fn string(entry: &Entry) -> Result<&Entry, Error> {
    if entry.kind() == Type::String { Ok(entry) } else { Err(Error::WRONG_TYPE) }
}

/// Calls `look` with the bytes of a string; an integer's are its digits.
pub(super) fn with_bytes<R>(entry: &Entry, look: impl FnOnce(&[u8]) -> R) -> R {
    match entry.value() {
        Value::Bytes(bytes) => look(bytes),
        Value::Int(value) => look(itoa::Buffer::new().format(value).as_bytes()),
        Value::Object(_) => unreachable!("the caller saw that it is a string"),
    }
}

/// Sets a string the way SET stores it: an integer if it reads as one.
fn store(cx: &mut Context, key: &[u8], value: &[u8], expiry: Option<i64>) {
    match parse_i64(value) {
        Some(number) => cx.set_int(key, number, expiry),
        None => cx.set_string(key, value, Encoding::of_string(value.len()), expiry),
    }
}

/// Replies with the string at `key`, or null.
#[inline]
fn reply_value(cx: &mut Context, key: &[u8]) -> Result<bool, Error> {
    // The reply is written while the entry is borrowed, so the shard and the output are borrowed side by side.
    let number = cx.shard_number(key);
    let shard = cx.keyspace.shards[number].as_deref_mut().expect("C1: the command's shards are at hand");
    let Some(entry) = shard.read(cx.session.db, key, &cx.moment) else {
        cx.out.null();
        return Ok(false);
    };
    match string(entry)?.value() {
        Value::Bytes(bytes) => cx.out.bulk(bytes),
        Value::Int(value) => cx.out.bulk_int(value),
        Value::Object(_) => unreachable!("it is a string"),
    }
    Ok(true)
}

fn get(cx: &mut Context, args: Args) -> Result<(), Error> {
    reply_value(cx, args.at(1)).map(drop)
}

fn getset(cx: &mut Context, args: Args) -> Result<(), Error> {
    reply_value(cx, args.at(1))?;
    store(cx, args.at(1), args.at(2), None);
    note_set(cx, args.at(1), None);
    if cx.is_logged() {
        cx.log_as(&[b"SET", args.at(1), args.at(2)]);
    }
    Ok(())
}

fn getdel(cx: &mut Context, args: Args) -> Result<(), Error> {
    if reply_value(cx, args.at(1))? {
        remove(cx, args.at(1));
    }
    Ok(())
}

fn getex(cx: &mut Context, args: Args) -> Result<(), Error> {
    let key = args.at(1);
    let options = SetOptions::parse(cx, args.from(2), options::GETEX)?;
    let expiry = options.expiry_ms(cx, "getex")?;
    if !reply_value(cx, key)? {
        return Ok(());
    }
    match options.expiry {
        Expiry::None => {}
        Expiry::Persist => {
            if cx.peek(key).is_some_and(|entry| entry.expiry().is_some()) {
                cx.set_expiry(key, None);
                cx.notify(Events::GENERIC, "persist", key);
                cx.log_as(&[b"PERSIST", key]);
            }
        }
        _ => super::generic::expire::expire_at(cx, key, expiry.expect("the option has a time")),
    }
    Ok(())
}

/// Deletes a key that is there, under a command that does not say so by its name.
fn remove(cx: &mut Context, key: &[u8]) {
    cx.remove(key);
    cx.notify(Events::GENERIC, "del", key);
    cx.log_as(&[b"DEL", key]);
}

/// Says that a string was set.
#[inline]
fn note_set(cx: &mut Context, key: &[u8], expiry: Option<i64>) {
    cx.notify(Events::STRING, "set", key);
    if expiry.is_some() {
        cx.notify(Events::GENERIC, "expire", key);
    }
}

/// How the log words that a string was set: with the time when it ends rather than a time to live.
fn log_set(cx: &mut Context, key: &[u8], value: &[u8], expiry: Option<i64>) {
    if cx.is_logged() {
        match expiry {
            Some(at_ms) => {
                cx.log_as(&[b"SET", key, value, b"PXAT", itoa::Buffer::new().format(at_ms).as_bytes()]);
            }
            None => cx.log_as(&[b"SET", key, value]),
        }
    }
}

fn set(cx: &mut Context, args: Args) -> Result<(), Error> {
    let (key, value) = (args.at(1), args.at(2));
    if args.len() == 3 {
        store(cx, key, value, None);
        note_set(cx, key, None);
        cx.out.ok();
        return Ok(());
    }
    let options = SetOptions::parse(cx, args.from(3), options::SET)?;
    let expiry = options.expiry_ms(cx, "set")?;
    if options.get {
        reply_value(cx, key)?;
    }
    let old_expiry = match cx.edit(key) {
        Some(entry) => {
            let blocked = match &options.condition {
                Condition::None | Condition::Exists => false,
                Condition::Missing => true,
                Condition::Equals(wanted) => !with_bytes(string(entry)?, |bytes| bytes == *wanted),
            };
            if blocked {
                return refuse_set(cx, &options);
            }
            entry.expiry()
        }
        None if matches!(options.condition, Condition::Exists | Condition::Equals(_)) => {
            return refuse_set(cx, &options);
        }
        None => None,
    };
    let (kept, set) = if options.expiry == Expiry::Keep { (old_expiry, None) } else { (expiry, expiry) };
    store(cx, key, value, kept);
    note_set(cx, key, set);
    log_set(cx, key, value, kept);
    if !options.get {
        cx.out.ok();
    }
    Ok(())
}

/// The condition of SET did not hold.
fn refuse_set(cx: &mut Context, options: &SetOptions) -> Result<(), Error> {
    if !options.get {
        cx.out.null();
    }
    Ok(())
}

fn setnx(cx: &mut Context, args: Args) -> Result<(), Error> {
    let missing = cx.edit(args.at(1)).is_none();
    if missing {
        store(cx, args.at(1), args.at(2), None);
        note_set(cx, args.at(1), None);
    }
    cx.out.integer(missing as i64);
    Ok(())
}

fn setex(cx: &mut Context, args: Args) -> Result<(), Error> {
    set_expiring(cx, args, 1000, "setex")
}

fn psetex(cx: &mut Context, args: Args) -> Result<(), Error> {
    set_expiring(cx, args, 1, "psetex")
}

fn set_expiring(cx: &mut Context, args: Args, unit_ms: i64, name: &str) -> Result<(), Error> {
    let time = parse_i64(args.at(2)).ok_or(Error::NOT_AN_INTEGER)?;
    let expiry =
        options::absolute_ms(time, unit_ms, cx.now_ms()).ok_or_else(|| Error::invalid_expire(name))?;
    store(cx, args.at(1), args.at(3), Some(expiry));
    note_set(cx, args.at(1), Some(expiry));
    log_set(cx, args.at(1), args.at(3), Some(expiry));
    cx.out.ok();
    Ok(())
}

fn delifeq(cx: &mut Context, args: Args) -> Result<(), Error> {
    let equal = match cx.edit(args.at(1)) {
        Some(entry) => with_bytes(string(entry)?, |bytes| bytes == args.at(2)),
        None => false,
    };
    if equal {
        remove(cx, args.at(1));
    }
    cx.out.integer(equal as i64);
    Ok(())
}

fn strlen(cx: &mut Context, args: Args) -> Result<(), Error> {
    let len = match cx.read(args.at(1)) {
        Some(entry) => with_bytes(string(entry)?, <[u8]>::len),
        None => 0,
    };
    cx.out.integer(len as i64);
    Ok(())
}

fn mget(cx: &mut Context, args: Args) -> Result<(), Error> {
    cx.out.array(args.len() - 1);
    let keys = args.from(1);
    for (at, key) in keys.iter().enumerate() {
        cx.prefetch(keys, at, 1);
        if reply_value(cx, key).is_err() {
            cx.out.null();
        }
    }
    Ok(())
}

/// Sets each key of `pairs` to the value behind it.
fn set_pairs(cx: &mut Context, pairs: Args) {
    for at in (0..pairs.len()).step_by(2) {
        cx.prefetch(pairs, at, 2);
        store(cx, pairs.at(at), pairs.at(at + 1), None);
        note_set(cx, pairs.at(at), None);
    }
}

fn mset(cx: &mut Context, args: Args) -> Result<(), Error> {
    if args.len().is_multiple_of(2) {
        return Err(Error::arity("mset"));
    }
    set_pairs(cx, args.from(1));
    cx.out.ok();
    Ok(())
}

fn msetnx(cx: &mut Context, args: Args) -> Result<(), Error> {
    if args.len().is_multiple_of(2) {
        return Err(Error::arity("msetnx"));
    }
    let free = (1..args.len()).step_by(2).all(|at| cx.edit(args.at(at)).is_none());
    if free {
        set_pairs(cx, args.from(1));
    }
    cx.out.integer(free as i64);
    Ok(())
}

fn msetex(cx: &mut Context, args: Args) -> Result<(), Error> {
    let count = parse_i64(args.at(1)).and_then(|count| i32::try_from(count).ok()).filter(|&count| count > 0);
    let count = count.ok_or(Error::new("ERR invalid numkeys value or out of range"))?;
    let last = count as usize * 2 + 2;
    if last > args.len() {
        return Err(Error::SYNTAX);
    }
    let options = SetOptions::parse(cx, args.from(last), options::MSETEX)?;
    let expiry = options.expiry_ms(cx, "msetex")?;
    let keys = || (2..last).step_by(2);
    let fits = match options.condition {
        Condition::Missing => keys().all(|at| cx.edit(args.at(at)).is_none()),
        Condition::Exists => keys().all(|at| cx.edit(args.at(at)).is_some()),
        _ => true,
    };
    if fits {
        for at in keys() {
            let kept = if options.expiry == Expiry::Keep {
                cx.edit(args.at(at)).and_then(|entry| entry.expiry())
            } else {
                expiry
            };
            store(cx, args.at(at), args.at(at + 1), kept);
            note_set(cx, args.at(at), expiry);
            log_set(cx, args.at(at), args.at(at + 1), kept);
        }
    }
    cx.out.integer(fits as i64);
    Ok(())
}

/// Strings may not grow beyond `proto-max-bulk-len`.
fn check_length(cx: &Context, len: usize) -> Result<(), Error> {
    if len as u64 > cx.config.proto_max_bulk_len { Err(Error::STRING_TOO_LONG) } else { Ok(()) }
}
