//! Hashes: HSET, HGET and their family.

mod expiry;
mod extended;
mod number;
mod random;
mod scan;
#[cfg(test)]
mod tests;

use super::{Command, Context, Error, KeySpec};
use crate::client::Args;
use crate::config::Events;
use crate::resp::Out;
use crate::types::Hash;
use crate::types::hash::{HashView, Lifetime};
use crate::types::listpack::Element;
use expiry::{Fields, note_deleted};

const READ: &[KeySpec] = &[KeySpec::at(1, "RO access")];
const LOOK: &[KeySpec] = &[KeySpec::at(1, "RO")];
const UPDATE: &[KeySpec] = &[KeySpec::at(1, "RW update")];
const UPDATE_READ: &[KeySpec] = &[KeySpec::at(1, "RW access update")];
const INSERT: &[KeySpec] = &[KeySpec::at(1, "RW insert")];
const DELETE: &[KeySpec] = &[KeySpec::at(1, "RW delete")];
const DELETE_READ: &[KeySpec] = &[KeySpec::at(1, "RW access delete")];

const ORDER_TIP: &[&str] = &["nondeterministic_output_order"];
const RANDOM_TIP: &[&str] = &["nondeterministic_output"];
const PER_FIELD: &str = "O(N), N being the number of fields given";
const WHOLE: &str = "O(N), N being the size of the hash";

pub const TABLE: &[Command] = &[
    Command::new("HDEL", "key field [field ...]", hdel).arity(-3).write().fast().keys(DELETE).since("2.0.0")
        .about("Deletes fields, and the hash with its last one.").complexity(PER_FIELD),
    Command::new("HEXISTS", "key field", hexists).arity(3).read().fast().keys(LOOK).since("2.0.0")
        .about("Tells whether a hash has a field."),
    Command::new("HEXPIRE", "key seconds [NX | XX | GT | LT] FIELDS numfields field [field ...]", expiry::hexpire)
        .arity(-6).write().fast().keys(UPDATE).since("9.0.0")
        .about("Lets fields expire after so many seconds.").complexity(PER_FIELD),
    Command::new("HEXPIREAT", "key unix-time-seconds [NX | XX | GT | LT] FIELDS numfields field [field ...]", expiry::hexpireat)
        .arity(-6).write().fast().keys(UPDATE).since("9.0.0")
        .about("Lets fields expire at a time in seconds.").complexity(PER_FIELD),
    Command::new("HEXPIRETIME", "key FIELDS numfields field [field ...]", expiry::hexpiretime)
        .arity(-5).read().fast().keys(READ).since("9.0.0")
        .about("Returns when fields expire, in seconds.").complexity(PER_FIELD),
    Command::new("HGET", "key field", hget).arity(3).read().fast().keys(READ).since("2.0.0").about("Returns the value of a field."),
    Command::new("HGETALL", "key", hgetall).arity(2).read().keys(READ).since("2.0.0").tips(ORDER_TIP)
        .about("Returns all fields with their values.").complexity(WHOLE),
    Command::new("HGETDEL", "key FIELDS numfields field [field ...]", extended::hgetdel)
        .arity(-5).write().fast().keys(DELETE_READ).since("9.1.0")
        .about("Returns the values of fields and deletes them.").complexity(PER_FIELD),
    Command::new("HGETEX", "key [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | PERSIST] FIELDS numfields field [field ...]", extended::hgetex)
        .arity(-5).write().fast().keys(UPDATE_READ).since("9.0.0")
        .about("Returns the values of fields and sets or clears their expiry.").complexity(PER_FIELD),
    Command::new("HINCRBY", "key field increment", number::hincrby).arity(4).grow().fast().keys(UPDATE_READ).since("2.0.0")
        .about("Adds to an integer in a field; a missing one counts as 0."),
    Command::new("HINCRBYFLOAT", "key field increment", number::hincrbyfloat).arity(4).grow().fast().keys(UPDATE_READ).since("2.6.0")
        .about("Adds to a number in a field; a missing one counts as 0."),
    Command::new("HKEYS", "key", hkeys).arity(2).read().keys(READ).since("2.0.0").tips(ORDER_TIP)
        .about("Returns all fields.").complexity(WHOLE),
    Command::new("HLEN", "key", hlen).arity(2).read().fast().keys(LOOK).since("2.0.0").about("Returns the number of fields."),
    Command::new("HMGET", "key field [field ...]", hmget).arity(-3).read().fast().keys(READ).since("2.0.0")
        .about("Returns the values of several fields.").complexity(PER_FIELD),
    Command::new("HMSET", "key field value [field value ...]", hmset).arity(-4).grow().fast().keys(UPDATE).since("2.0.0")
        .about("Sets several fields: the old form of HSET.").complexity(PER_FIELD),
    Command::new("HPERSIST", "key FIELDS numfields field [field ...]", expiry::hpersist)
        .arity(-5).write().fast().keys(UPDATE).since("9.0.0")
        .about("Takes away the expiry of fields.").complexity(PER_FIELD),
    Command::new("HPEXPIRE", "key milliseconds [NX | XX | GT | LT] FIELDS numfields field [field ...]", expiry::hpexpire)
        .arity(-6).write().fast().keys(UPDATE).since("9.0.0")
        .about("Lets fields expire after so many milliseconds.").complexity(PER_FIELD),
    Command::new("HPEXPIREAT", "key unix-time-milliseconds [NX | XX | GT | LT] FIELDS numfields field [field ...]", expiry::hpexpireat)
        .arity(-6).write().fast().keys(UPDATE).since("9.0.0")
        .about("Lets fields expire at a time in milliseconds.").complexity(PER_FIELD),
    Command::new("HPEXPIRETIME", "key FIELDS numfields field [field ...]", expiry::hpexpiretime)
        .arity(-5).read().fast().keys(READ).since("9.0.0")
        .about("Returns when fields expire, in milliseconds.").complexity(PER_FIELD),
    Command::new("HPTTL", "key FIELDS numfields field [field ...]", expiry::hpttl).arity(-5).read().fast().keys(READ).since("9.0.0")
        .about("Returns how long fields have left, in milliseconds.").complexity(PER_FIELD),
    Command::new("HRANDFIELD", "key [count [WITHVALUES]]", random::hrandfield).arity(-2).read().keys(READ).since("6.2.0")
        .tips(RANDOM_TIP).about("Returns fields by chance.").complexity("O(N), N being the number of fields asked for"),
    Command::new("HSCAN", "key cursor [MATCH pattern] [COUNT count] [NOVALUES]", scan::hscan).arity(-3).read().keys(READ).since("2.8.0")
        .tips(RANDOM_TIP).about("Walks over the fields, a few at a time.").complexity("O(1) a call, O(N) for all N fields"),
    Command::new("HSET", "key field value [field value ...]", hset).arity(-4).grow().fast().keys(UPDATE).since("2.0.0")
        .about("Sets fields; the hash is made if missing.").complexity(PER_FIELD),
    Command::new("HSETEX", "key [NX | XX] [FNX | FXX] [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | KEEPTTL] FIELDS numfields field value [field value ...]", extended::hsetex)
        .arity(-6).grow().fast().keys(INSERT).since("9.0.0")
        .about("Sets fields with one expiry, with conditions if asked for.").complexity(PER_FIELD),
    Command::new("HSETNX", "key field value", hsetnx).arity(4).grow().fast().keys(INSERT).since("2.0.0")
        .about("Sets a field if it is missing."),
    Command::new("HSTRLEN", "key field", hstrlen).arity(3).read().fast().keys(LOOK).since("3.2.0")
        .about("Returns the length of the value of a field."),
    Command::new("HTTL", "key FIELDS numfields field [field ...]", expiry::httl).arity(-5).read().fast().keys(READ).since("9.0.0")
        .about("Returns how long fields have left, in seconds.").complexity(PER_FIELD),
    Command::new("HVALS", "key", hvals).arity(2).read().keys(READ).since("2.0.0").tips(ORDER_TIP)
        .about("Returns all values.").complexity(WHOLE),
];

#[inline]
fn reply_element(out: &mut Out, element: Element) {
    match element {
        Element::Int(value) => out.bulk_int(value),
        Element::Bytes(bytes) => out.bulk(bytes),
    }
}

/// Replies with the value of a field, or null.
#[inline]
fn reply_value(out: &mut Out, view: Option<HashView>, field: &[u8], due_ms: i64) {
    match view.and_then(|view| view.get(field, due_ms)) {
        Some(value) => reply_element(out, value),
        None => out.null(),
    }
}

/// Sets the fields of `pairs`; returns how many are new.
fn set_pairs(cx: &mut Context, key: &[u8], pairs: Args) -> Result<i64, Error> {
    let (limits, due_ms) = (cx.limits(), cx.due_ms());
    let added = cx.change(key, true, |hash: &mut Hash, _| {
        let longest = pairs.iter().map(<[u8]>::len).max().unwrap_or(0);
        hash.prepare(pairs.len() / 2, longest, &limits);
        let mut added = 0;
        for at in (0..pairs.len()).step_by(2) {
            let (field, value) = (pairs.at(at), pairs.at(at + 1));
            added += hash.set(field, value, Lifetime::Forever, due_ms, &limits) as i64;
        }
        (added, true)
    })?;
    cx.count_elements(key, pairs.len() / 2);
    cx.notify(Events::HASH, "hset", key);
    Ok(added.unwrap_or(0))
}

fn hset(cx: &mut Context, args: Args) -> Result<(), Error> {
    if !args.len().is_multiple_of(2) {
        return Err(Error::arity("hset"));
    }
    let added = set_pairs(cx, args.at(1), args.from(2))?;
    cx.out.integer(added);
    Ok(())
}

fn hmset(cx: &mut Context, args: Args) -> Result<(), Error> {
    if !args.len().is_multiple_of(2) {
        return Err(Error::arity("hmset"));
    }
    set_pairs(cx, args.at(1), args.from(2))?;
    cx.out.ok();
    Ok(())
}

fn hsetnx(cx: &mut Context, args: Args) -> Result<(), Error> {
    use crate::types::Collection;
    let (limits, due_ms) = (cx.limits(), cx.due_ms());
    let (field, value) = (args.at(2), args.at(3));
    let overdue = cx.finds_overdue(args.at(1), field);
    let added = cx.change(args.at(1), true, |hash: &mut Hash, _| {
        let missing = hash.view().get(field, due_ms).is_none();
        if missing {
            hash.set(field, value, Lifetime::Forever, due_ms, &limits);
        }
        (missing, missing)
    })?;
    if added == Some(true) {
        cx.notify(Events::HASH, "hset", args.at(1));
        if overdue {
            cx.log_as(&[b"HSET", args.at(1), field, value]);
        }
    }
    cx.out.integer((added == Some(true)) as i64);
    Ok(())
}

fn hget(cx: &mut Context, args: Args) -> Result<(), Error> {
    let due_ms = cx.due_ms();
    let (view, out) = cx.view::<Hash>(args.at(1))?;
    reply_value(out, view, args.at(2), due_ms);
    Ok(())
}

fn hmget(cx: &mut Context, args: Args) -> Result<(), Error> {
    let due_ms = cx.due_ms();
    let (view, out) = cx.view::<Hash>(args.at(1))?;
    out.array(args.len() - 2);
    args.from(2).iter().for_each(|field| reply_value(out, view, field, due_ms));
    Ok(())
}

fn hgetall(cx: &mut Context, args: Args) -> Result<(), Error> {
    let due_ms = cx.due_ms();
    let (view, out) = cx.view::<Hash>(args.at(1))?;
    let Some(view) = view else {
        out.map(0);
        return Ok(());
    };
    out.map(view.len_alive(due_ms));
    view.for_each(due_ms, |field, value| {
        reply_element(out, field);
        reply_element(out, value);
    });
    Ok(())
}

fn hkeys(cx: &mut Context, args: Args) -> Result<(), Error> {
    reply_halves(cx, args, |out, field, _| reply_element(out, field))
}

fn hvals(cx: &mut Context, args: Args) -> Result<(), Error> {
    reply_halves(cx, args, |out, _, value| reply_element(out, value))
}

/// Replies with an array of one element a field.
fn reply_halves(
    cx: &mut Context,
    args: Args,
    mut write: impl FnMut(&mut Out, Element, Element),
) -> Result<(), Error> {
    let due_ms = cx.due_ms();
    let (view, out) = cx.view::<Hash>(args.at(1))?;
    let Some(view) = view else {
        out.array(0);
        return Ok(());
    };
    out.array(view.len_alive(due_ms));
    view.for_each(due_ms, |field, value| write(out, field, value));
    Ok(())
}

fn hdel(cx: &mut Context, args: Args) -> Result<(), Error> {
    let due_ms = cx.due_ms();
    let fields = args.from(2);
    let removed = cx.change(args.at(1), false, |hash: &mut Hash, _| {
        let removed: Fields = fields.iter().filter(|field| hash.remove(field, due_ms)).collect();
        let changed = !removed.is_empty();
        (removed, changed)
    })?;
    let removed = removed.unwrap_or_default();
    if !removed.is_empty() {
        // Others may be overdue: where the log is read they are there.
        note_deleted(cx, args.at(1), &removed);
    }
    cx.out.integer(removed.len() as i64);
    Ok(())
}

fn hlen(cx: &mut Context, args: Args) -> Result<(), Error> {
    let (view, out) = cx.view::<Hash>(args.at(1))?;
    out.integer(view.map_or(0, HashView::len) as i64);
    Ok(())
}

fn hstrlen(cx: &mut Context, args: Args) -> Result<(), Error> {
    let due_ms = cx.due_ms();
    let (view, out) = cx.view::<Hash>(args.at(1))?;
    let len = view.and_then(|view| view.get(args.at(2), due_ms)).map_or(0, |value| value.len());
    out.integer(len as i64);
    Ok(())
}

fn hexists(cx: &mut Context, args: Args) -> Result<(), Error> {
    let due_ms = cx.due_ms();
    let (view, out) = cx.view::<Hash>(args.at(1))?;
    out.integer(view.and_then(|view| view.get(args.at(2), due_ms)).is_some() as i64);
    Ok(())
}
