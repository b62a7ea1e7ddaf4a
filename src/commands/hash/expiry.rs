//! When fields end: HEXPIRE and its variants, HTTL and its variants, HPERSIST.

use super::super::generic::expire::Conditions;
use super::super::{Context, Error};
use crate::base::number::parse_i64;
use crate::client::Args;
use crate::config::Events;
use crate::types::{Collection, Hash};
use smallvec::SmallVec;

/// Where the word FIELDS is, looked for from argument `from` on. The options are before it.
pub fn find_fields(args: Args, from: usize) -> Result<usize, Error> {
    (from..args.len()).find(|&at| args.is(at, "fields")).ok_or_else(wrong_count)
}

/// What comes after `FIELDS count`, of which FIELDS is argument `at`, if that is `step` arguments for each of the count.
pub fn fields_from(args: Args, at: usize, step: usize) -> Result<Args, Error> {
    let count = parse_i64(args.get(at + 1).ok_or_else(wrong_count)?).ok_or(Error::NOT_AN_INTEGER)?;
    let fields = args.from(at + 2);
    let wanted = usize::try_from(count).ok().and_then(|count| count.checked_mul(step));
    if count > 0 && wanted == Some(fields.len()) { Ok(fields) } else { Err(wrong_count()) }
}

/// The same where FIELDS can be nowhere but at argument 2.
pub fn fields_at_two<'a>(args: Args<'a>, wrong: Error) -> Result<Args<'a>, Error> {
    if !args.is(2, "fields") {
        return Err(Error::SYNTAX);
    }
    let count = parse_i64(args.at(3)).ok_or(Error::NOT_AN_INTEGER)?;
    let fields = args.from(4);
    if count > 0 && count as u64 == fields.len() as u64 { Ok(fields) } else { Err(wrong) }
}

pub fn wrong_count() -> Error {
    Error::new("ERR numfields should be greater than 0 and match the provided number of fields")
}

pub fn hexpire(cx: &mut Context, args: Args) -> Result<(), Error> {
    set(cx, args, cx.now_ms(), 1000, "hexpire")
}

pub fn hpexpire(cx: &mut Context, args: Args) -> Result<(), Error> {
    set(cx, args, cx.now_ms(), 1, "hpexpire")
}

pub fn hexpireat(cx: &mut Context, args: Args) -> Result<(), Error> {
    set(cx, args, 0, 1000, "hexpireat")
}

pub fn hpexpireat(cx: &mut Context, args: Args) -> Result<(), Error> {
    set(cx, args, 0, 1, "hpexpireat")
}

/// So many units of `unit_ms` after `base_ms`; never before the beginning of time.
pub fn unix_ms(time: &[u8], base_ms: i64, unit_ms: i64, name: &str) -> Result<i64, Error> {
    let time = parse_i64(time).ok_or(Error::NOT_AN_INTEGER)?;
    let at_ms = time.checked_mul(unit_ms).filter(|_| time >= 0).and_then(|ms| ms.checked_add(base_ms));
    at_ms.ok_or_else(|| Error::invalid_expire(name))
}

/// Sets the expiry of fields. Each is answered with 1, 0 if the conditions forbid it, 2 if it was deleted since the time is
/// past, -2 if it is not there.
fn set(cx: &mut Context, args: Args, base_ms: i64, unit_ms: i64, name: &str) -> Result<(), Error> {
    let end = find_fields(args, 3)?;
    let conditions = Conditions::parse(args.first(end).from(3))?;
    let fields = fields_from(args, end, 1)?;
    let at_ms = unix_ms(args.at(2), base_ms, unit_ms, name)?;
    let (key, due_ms) = (args.at(1), cx.due_ms());
    let (mut lasting, mut gone) = (Fields::new(), Fields::new());
    each(cx, key, fields, |hash, field| match hash.view().expiry(field, due_ms) {
        None => -2,
        Some(old) if !conditions.allow(old, at_ms) => 0,
        Some(_) if at_ms <= due_ms => {
            hash.remove(field, due_ms);
            gone.push(field);
            2
        }
        Some(_) => {
            hash.set_expiry(field, Some(at_ms));
            lasting.push(field);
            1
        }
    })?;
    note_expiry(cx, key, at_ms, &lasting, &gone);
    Ok(())
}

/// Fields of one command.
pub type Fields<'a> = SmallVec<[&'a [u8]; 8]>;

/// Says that fields got an expiry, and that others were deleted since theirs was past.
pub fn note_expiry(cx: &mut Context, key: &[u8], at_ms: i64, lasting: &[&[u8]], gone: &[&[u8]]) {
    if !lasting.is_empty() {
        cx.count_elements(key, lasting.len());
        log_expiry(cx, key, at_ms, lasting);
        cx.notify(Events::HASH, "hexpire", key);
    }
    if !gone.is_empty() {
        note_deleted(cx, key, gone);
    }
}

/// Says that fields were deleted by a command that does not say so by its name.
pub fn note_deleted(cx: &mut Context, key: &[u8], fields: &[&[u8]]) {
    cx.count_elements(key, fields.len());
    if cx.is_logged() {
        cx.log_as(&[&[b"HDEL", key], fields].concat());
    }
    cx.notify_shrunk(Events::HASH, "hdel", key);
}

/// Says that fields lost their expiry.
pub fn note_persisted(cx: &mut Context, key: &[u8], fields: &[&[u8]]) {
    cx.count_elements(key, fields.len());
    if cx.is_logged() {
        let count = itoa::Buffer::new().format(fields.len()).to_owned();
        cx.log_as(&[&[b"HPERSIST", key, b"FIELDS", count.as_bytes()], fields].concat());
    }
    cx.notify(Events::HASH, "hpersist", key);
}

/// How the log words that fields got an expiry.
pub fn log_expiry(cx: &mut Context, key: &[u8], at_ms: i64, fields: &[&[u8]]) {
    if cx.is_logged() {
        let (at, count) = (at_ms.to_string(), fields.len().to_string());
        cx.log_as(&[&[b"HPEXPIREAT", key, at.as_bytes(), b"FIELDS", count.as_bytes()], fields].concat());
    }
}

pub fn hpersist(cx: &mut Context, args: Args) -> Result<(), Error> {
    let fields = fields_at_two(args, wrong_count())?;
    let (key, due_ms) = (args.at(1), cx.due_ms());
    let mut kept = Fields::new();
    each(cx, key, fields, |hash, field| match hash.view().expiry(field, due_ms) {
        None => -2,
        Some(None) => -1,
        Some(Some(_)) => {
            hash.set_expiry(field, None);
            kept.push(field);
            1
        }
    })?;
    if !kept.is_empty() {
        note_persisted(cx, key, &kept);
    }
    Ok(())
}

/// Replies with what `change` answers for each field, above 0 if it changed something; with -2 for each where there is no
/// hash.
fn each<'a>(
    cx: &mut Context,
    key: &[u8],
    fields: Args<'a>,
    mut change: impl FnMut(&mut Hash, &'a [u8]) -> i64,
) -> Result<(), Error> {
    let there = cx.change(key, false, |hash: &mut Hash, out| {
        out.array(fields.len());
        let mut changed = false;
        for field in fields.iter() {
            let answer = change(hash, field);
            changed |= answer > 0;
            out.integer(answer);
        }
        ((), changed)
    })?;
    if there.is_none() {
        cx.out.array(fields.len());
        fields.iter().for_each(|_| cx.out.integer(-2));
    }
    Ok(())
}

pub fn httl(cx: &mut Context, args: Args) -> Result<(), Error> {
    let now_ms = cx.now_ms();
    reply(cx, args, |at_ms| (at_ms - now_ms).saturating_add(500) / 1000)
}

pub fn hpttl(cx: &mut Context, args: Args) -> Result<(), Error> {
    let now_ms = cx.now_ms();
    reply(cx, args, |at_ms| at_ms - now_ms)
}

pub fn hexpiretime(cx: &mut Context, args: Args) -> Result<(), Error> {
    reply(cx, args, |at_ms| at_ms.saturating_add(500) / 1000)
}

pub fn hpexpiretime(cx: &mut Context, args: Args) -> Result<(), Error> {
    reply(cx, args, |at_ms| at_ms)
}

/// Replies with the expiry of each field as `show` puts it; -1 where it has none, -2 where there is no field.
fn reply(cx: &mut Context, args: Args, show: impl Fn(i64) -> i64) -> Result<(), Error> {
    let fields = fields_at_two(args, Error::SYNTAX)?;
    let due_ms = cx.due_ms();
    let (view, out) = cx.view::<Hash>(args.at(1))?;
    out.array(fields.len());
    for field in fields.iter() {
        out.integer(match view.and_then(|view| view.expiry(field, due_ms)) {
            None => -2,
            Some(expiry) => expiry.map_or(-1, &show),
        });
    }
    Ok(())
}
