//! Fields with more than one thing done to them: HGETEX, HSETEX, HGETDEL.

use super::super::{Context, Error};
use super::expiry::{Fields, fields_at_two, fields_from, find_fields, unix_ms, wrong_count};
use super::expiry::{note_deleted, note_expiry, note_persisted};
use super::reply_value;
use crate::client::Args;
use crate::config::Events;
use crate::types::hash::{HashView, Lifetime};
use crate::types::{Collection, Hash};

/// What becomes of the expiry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Expiry<'a> {
    None,
    Keep,
    Persist,
    /// A time, in units of so many ms, from now on or since the beginning of unix time.
    Time {
        text: &'a [u8],
        unit_ms: i64,
        absolute: bool,
    },
}

/// What there has to be for HSETEX to set anything.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
struct Conditions {
    key_missing: bool,
    key_exists: bool,
    fields_missing: bool,
    fields_exist: bool,
}

struct Options<'a> {
    expiry: Expiry<'a>,
    wanted: Conditions,
}

impl<'a> Options<'a> {
    /// Parses `args`, which hold nothing but options: those of HSETEX if `setting`, of HGETEX otherwise.
    fn parse(args: Args<'a>, setting: bool) -> Result<Self, Error> {
        let mut options = Options { expiry: Expiry::None, wanted: Conditions::default() };
        let mut at = 0;
        while at < args.len() {
            let wanted = &mut options.wanted;
            match () {
                () if setting && args.is(at, "nx") => wanted.key_missing = true,
                () if setting && args.is(at, "xx") => wanted.key_exists = true,
                () if setting && args.is(at, "fnx") => wanted.fields_missing = true,
                () if setting && args.is(at, "fxx") => wanted.fields_exist = true,
                () => {
                    let expiry = expiry_at(args, at, setting).ok_or(Error::SYNTAX)?;
                    let same = std::mem::discriminant(&options.expiry) == std::mem::discriminant(&expiry);
                    if !(options.expiry == Expiry::None || same && same_word(options.expiry, expiry)) {
                        return Err(Error::SYNTAX);
                    }
                    at += matches!(expiry, Expiry::Time { .. }) as usize;
                    options.expiry = expiry;
                }
            }
            at += 1;
        }
        let wanted = options.wanted;
        if wanted.key_missing && wanted.key_exists || wanted.fields_missing && wanted.fields_exist {
            return Err(Error::SYNTAX);
        }
        Ok(options)
    }

    /// The expiry as unix ms, if one was given. `name` is the command's, for the error.
    fn expiry_ms(&self, now_ms: i64, name: &str) -> Result<Option<i64>, Error> {
        let Expiry::Time { text, unit_ms, absolute } = self.expiry else { return Ok(None) };
        unix_ms(text, if absolute { 0 } else { now_ms }, unit_ms, name).map(Some)
    }
}

fn expiry_at<'a>(args: Args<'a>, at: usize, setting: bool) -> Option<Expiry<'a>> {
    let time = |unit_ms, absolute| Some(Expiry::Time { text: args.get(at + 1)?, unit_ms, absolute });
    match () {
        () if setting && args.is(at, "keepttl") => Some(Expiry::Keep),
        () if !setting && args.is(at, "persist") => Some(Expiry::Persist),
        () if args.is(at, "ex") => time(1000, false),
        () if args.is(at, "px") => time(1, false),
        () if args.is(at, "exat") => time(1000, true),
        () if args.is(at, "pxat") => time(1, true),
        () => None,
    }
}

/// The same option given twice is no conflict.
fn same_word(old: Expiry, new: Expiry) -> bool {
    let word = |expiry| match expiry {
        Expiry::Time { unit_ms, absolute, .. } => Some((unit_ms, absolute)),
        _ => None,
    };
    word(old) == word(new)
}

pub fn hgetex(cx: &mut Context, args: Args) -> Result<(), Error> {
    let end = find_fields(args, 2)?;
    let options = Options::parse(args.first(end).from(2), false)?;
    let fields = fields_from(args, end, 1)?;
    let due_ms = cx.due_ms();
    let key = args.at(1);
    // A key of another type is noticed before a bad time.
    cx.seek::<Hash>(key)?;
    let expiry = options.expiry_ms(cx.now_ms(), "hgetex")?;
    let touched = cx.change(key, false, |hash: &mut Hash, out| {
        let mut touched = Fields::new();
        out.array(fields.len());
        for field in fields.iter() {
            reply_value(out, Some(hash.view()), field, due_ms);
            let Some(old) = hash.view().expiry(field, due_ms) else { continue };
            match expiry {
                Some(at_ms) if at_ms <= due_ms => drop(hash.remove(field, due_ms)),
                Some(at_ms) => hash.set_expiry(field, Some(at_ms)),
                None if options.expiry == Expiry::Persist && old.is_some() => hash.set_expiry(field, None),
                None => continue,
            }
            touched.push(field);
        }
        let changed = !touched.is_empty();
        (touched, changed)
    })?;
    match (touched, expiry) {
        (None, _) => reply_nulls(cx, fields.len()),
        (Some(touched), _) if touched.is_empty() => {}
        (Some(touched), Some(at_ms)) if at_ms <= due_ms => note_expiry(cx, key, at_ms, &[], &touched),
        (Some(touched), Some(at_ms)) => note_expiry(cx, key, at_ms, &touched, &[]),
        (Some(touched), None) => note_persisted(cx, key, &touched),
    }
    Ok(())
}

fn reply_nulls(cx: &mut Context, count: usize) {
    cx.out.array(count);
    (0..count).for_each(|_| cx.out.null());
}

pub fn hgetdel(cx: &mut Context, args: Args) -> Result<(), Error> {
    let fields = fields_at_two(args, wrong_count())?;
    let due_ms = cx.due_ms();
    let removed = cx.change(args.at(1), false, |hash: &mut Hash, out| {
        let mut removed = Fields::new();
        out.array(fields.len());
        for field in fields.iter() {
            reply_value(out, Some(hash.view()), field, due_ms);
            if hash.remove(field, due_ms) {
                removed.push(field);
            }
        }
        let changed = !removed.is_empty();
        (removed, changed)
    })?;
    match removed {
        None => reply_nulls(cx, fields.len()),
        Some(removed) if removed.is_empty() => {}
        Some(removed) => note_deleted(cx, args.at(1), &removed),
    }
    Ok(())
}

pub fn hsetex(cx: &mut Context, args: Args) -> Result<(), Error> {
    let end = find_fields(args, 2)?;
    let options = Options::parse(args.first(end).from(2), true)?;
    let pairs = fields_from(args, end, 2)?;
    let (limits, due_ms) = (cx.limits(), cx.due_ms());
    let key = args.at(1);
    let view = cx.seek::<Hash>(key)?;
    let was_there = view.is_some();
    let wanted = options.wanted;
    // What is wanted of the key is looked at before the time is read, what is wanted of the fields after it.
    let key_fits = wanted.key_fits(was_there);
    let fields_fit = key_fits && wanted.fields_fit(view, pairs, due_ms);
    let expiry = if key_fits { options.expiry_ms(cx.now_ms(), "hsetex")? } else { None };
    if !fields_fit {
        cx.out.integer(0);
        return Ok(());
    }
    let lifetime = match expiry {
        Some(at_ms) => Lifetime::Until(at_ms),
        None if options.expiry == Expiry::Keep => Lifetime::Keep,
        None => Lifetime::Forever,
    };
    let is_overdue = |at: &usize| lifetime == Lifetime::Keep && cx.finds_overdue(key, pairs.at(*at));
    let overdue: Vec<usize> = (0..pairs.len()).step_by(2).filter(is_overdue).collect();
    let removed = cx.change(key, true, |hash: &mut Hash, _| {
        let (mut changed, mut removed) = (false, Fields::new());
        for at in (0..pairs.len()).step_by(2) {
            let (field, value) = (pairs.at(at), pairs.at(at + 1));
            if expiry.is_some_and(|at_ms| at_ms <= due_ms) {
                if hash.remove(field, due_ms) {
                    changed = true;
                    removed.push(field);
                }
            } else {
                hash.set(field, value, lifetime, due_ms, &limits);
                changed = true;
            }
        }
        (removed, changed)
    })?;
    if !overdue.is_empty() {
        // Where the log is read they are there, and have an expiry to keep.
        let words = overdue.iter().flat_map(|&at| [pairs.at(at), pairs.at(at + 1)]);
        cx.log_as(&[b"HSET", key].into_iter().chain(words).collect::<Vec<&[u8]>>());
    }
    note_set(cx, key, pairs, lifetime, was_there, &removed.unwrap_or_default());
    cx.out.integer(1);
    Ok(())
}

/// Says what HSETEX set, or deleted at once since its time is past.
fn note_set(
    cx: &mut Context,
    key: &[u8],
    pairs: Args,
    lifetime: Lifetime,
    was_there: bool,
    removed: &[&[u8]],
) {
    let emptied = cx.effects.wanted() && cx.shard(key).emptied;
    let gone = matches!(lifetime, Lifetime::Until(at_ms) if at_ms <= cx.due_ms());
    cx.count_elements(key, if gone { removed.len() } else { pairs.len() / 2 });
    if cx.is_logged() && !removed.is_empty() {
        cx.log_as(&[&[b"HDEL", key], removed].concat());
    } else if cx.is_logged() && !gone {
        log_set(cx, key, pairs, lifetime);
    }
    // What is set for a time that is past is there for a moment.
    if gone && !was_there {
        cx.notify(Events::NEW, "new", key);
    }
    cx.notify(Events::HASH, "hset", key);
    match lifetime {
        _ if gone => cx.notify(Events::HASH, "hdel", key),
        Lifetime::Until(_) => cx.notify(Events::HASH, "hexpire", key),
        _ => {}
    }
    if emptied || gone && !was_there {
        cx.notify(Events::GENERIC, "del", key);
    }
}

/// How the log words that fields were set: with the time when they end rather than a time to live.
fn log_set(cx: &mut Context, key: &[u8], pairs: Args, lifetime: Lifetime) {
    let at = match lifetime {
        Lifetime::Until(at_ms) => at_ms.to_string(),
        _ => String::new(),
    };
    let count = (pairs.len() / 2).to_string();
    let mut words: Vec<&[u8]> = vec![b"HSETEX", key];
    match lifetime {
        Lifetime::Until(_) => words.extend([b"PXAT".as_slice(), at.as_bytes()]),
        Lifetime::Keep => words.push(b"KEEPTTL"),
        Lifetime::Forever => {}
    }
    words.extend([b"FIELDS".as_slice(), count.as_bytes()]);
    words.extend(pairs.iter());
    cx.log_as(&words);
}

impl Conditions {
    fn key_fits(self, is_there: bool) -> bool {
        if is_there { !self.key_missing } else { !self.key_exists }
    }

    fn fields_fit(self, view: Option<HashView>, pairs: Args, due_ms: i64) -> bool {
        let mut fields = (0..pairs.len()).step_by(2).map(|at| pairs.at(at));
        let is_there = |field: &[u8]| view.is_some_and(|view| view.get(field, due_ms).is_some());
        !(self.fields_missing && fields.clone().any(is_there) || self.fields_exist && !fields.all(is_there))
    }
}
