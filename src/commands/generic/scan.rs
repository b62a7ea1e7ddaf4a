//! Walks over the keys: SCAN, KEYS, RANDOMKEY.
//!
//! A cursor of SCAN is the place in a shard's hash space, above the number of the shard. A walk goes through the shards
//! in order; each answers with the first place of the next when it is done, the last with 0.

use super::super::{CURSOR_SHARD_BITS, Context, Error, cursor_shard};
use crate::base::number::parse_i64;
use crate::base::{crc, glob};
use crate::client::Args;
use crate::shard::store::CURSOR_BITS;
use crate::shard::{Entry, Store};
use crate::types::Type;

/// A cursor as C's `strtoull` reads it, so that clients may pad it.
pub fn parse_cursor(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    let digits = text.trim_start_matches([' ', '\t', '\n', '\r', '\x0b', '\x0c']);
    let digits = digits.strip_prefix('+').unwrap_or(digits);
    if digits.starts_with('+') { None } else { digits.parse().ok() }
}

pub struct Options<'a> {
    pattern: Option<&'a [u8]>,
    /// None: no such type, so nothing matches.
    kind: Option<Option<Type>>,
    pub count: usize,
    /// NOVALUES of HSCAN, NOSCORES of ZSCAN.
    pub lean: bool,
}

/// Options that leave something out of the reply: the command that has them, and what they are.
const LEAN: [(&str, &str); 2] = [("HSCAN", "NOVALUES"), ("ZSCAN", "NOSCORES")];

impl<'a> Options<'a> {
    fn new() -> Self {
        Options { pattern: None, kind: None, count: 10, lean: false }
    }

    /// Those of HSCAN and ZSCAN.
    pub fn of_pairs(args: Args<'a>, command: &str) -> Result<Self, Error> {
        let mut options = Self::new();
        let mut at = 0;
        while at < args.len() {
            if let Some((owner, word)) = LEAN.iter().find(|(_, word)| args.is(at, word)) {
                if *owner != command {
                    return Err(Error::new(format!("ERR {word} option can only be used in {owner}")));
                }
                options.lean = true;
                at += 1;
            } else {
                options.take(args.from(at), false)?;
                at += 2;
            }
        }
        Ok(options)
    }

    /// Those of SSCAN, which walks over the elements of one key.
    pub fn of_elements(args: Args<'a>) -> Result<Self, Error> {
        Self::parse(args, false)
    }

    /// Whether a name matches the pattern.
    pub fn matches(&self, name: &[u8]) -> bool {
        self.pattern.is_none_or(|pattern| glob::matches(pattern, name, false))
    }

    fn parse(args: Args<'a>, of_keys: bool) -> Result<Self, Error> {
        let mut options = Self::new();
        for at in (0..args.len()).step_by(2) {
            options.take(args.from(at), of_keys)?;
        }
        Ok(options)
    }

    /// The option and its value that `args` begin with.
    fn take(&mut self, args: Args<'a>, of_keys: bool) -> Result<(), Error> {
        let value = args.get(1).ok_or(Error::SYNTAX)?;
        match () {
            () if args.is(0, "count") => {
                let count = parse_i64(value).ok_or(Error::NOT_AN_INTEGER)?;
                self.count = usize::try_from(count).ok().filter(|&count| count > 0).ok_or(Error::SYNTAX)?;
            }
            () if args.is(0, "match") => self.pattern = Some(value).filter(|&pattern| pattern != b"*"),
            () if of_keys && args.is(0, "type") => self.kind = Some(type_named(value)),
            () => return Err(Error::SYNTAX),
        }
        Ok(())
    }
}

fn type_named(name: &[u8]) -> Option<Type> {
    Type::ALL.into_iter().find(|kind| name.eq_ignore_ascii_case(kind.name().as_bytes()))
}

/// The hash slot of every key that can match `pattern`, if its tag says that there is only one.
fn slot_of_pattern(pattern: &[u8]) -> Option<u16> {
    let open = pattern.iter().position(|&byte| byte == b'{')?;
    let close = open + pattern[open..].iter().position(|&byte| byte == b'}')?;
    let literal = |bytes: &[u8]| !bytes.iter().any(|byte| b"*?[\\".contains(byte));
    (close > open + 1 && literal(&pattern[..close])).then(|| crc::slot(&pattern[..=close]))
}

pub fn scan(cx: &mut Context, args: Args) -> Result<(), Error> {
    let cursor = parse_cursor(args.at(1)).ok_or(Error::INVALID_CURSOR)?;
    let options = Options::parse(args.from(2), true)?;
    let count = cx.shared.slots.shard_count();
    let number = cursor_shard(args).min(count - 1);
    let only = options.pattern.and_then(slot_of_pattern).map(|slot| cx.shared.slots.shard_of_slot(slot));
    let head = cx.out.deferred();
    let (mut place, mut found) = (0, 0);
    if only.is_none_or(|only| only == number) {
        let from = cursor >> CURSOR_SHARD_BITS & ((1 << CURSOR_BITS) - 1);
        (place, found) = walk(cx, number, from, &options);
    }
    let next = match only {
        _ if place != 0 => place << CURSOR_SHARD_BITS | number as u64,
        // Only that shard has anything to find.
        Some(only) if number < only => only as u64,
        None if number + 1 < count => number as u64 + 1,
        _ => 0,
    };
    cx.out.finish_scan(head, next, found);
    Ok(())
}

/// Visits about as many keys of shard `number` as were asked for, and replies with those that fit. Returns the place to
/// go on from, 0 at the end, and how many these are.
fn walk(cx: &mut Context, number: usize, place: u64, options: &Options) -> (u64, usize) {
    let (db, due_ms) = (cx.session.db as usize, cx.due_ms());
    let shard = cx.keyspace.shards[number].as_deref().expect("C1: the cursor's shard is at hand");
    let store = &shard.dbs[db].store;
    let out = &mut cx.out;
    let (mut place, mut visited, mut found) = (place, 0, 0);
    // A sparse table has many empty buckets; a call is bounded all the same.
    for _ in 0..options.count.saturating_mul(10) {
        place = store.scan(place, &mut |entry| {
            visited += 1;
            let expired = entry.expiry().is_some_and(|at_ms| at_ms <= due_ms);
            if !expired
                && options.kind.is_none_or(|kind| kind == Some(entry.kind()))
                && options.matches(entry.key())
            {
                out.bulk(entry.key());
                found += 1;
            }
        });
        if place == 0 || visited >= options.count {
            break;
        }
    }
    (place, found)
}

/// Visits about `count` elements of a large collection. Returns the place to go on from, 0 at the end.
pub fn walk_elements(table: &Store, place: u64, count: usize, visit: &mut dyn FnMut(&Entry)) -> u64 {
    let (mut place, mut visited) = (place & ((1 << CURSOR_BITS) - 1), 0);
    for _ in 0..count.saturating_mul(10) {
        place = table.scan(place, &mut |entry| {
            visited += 1;
            visit(entry);
        });
        if place == 0 || visited >= count {
            break;
        }
    }
    place
}

pub fn keys(cx: &mut Context, args: Args) -> Result<(), Error> {
    let pattern = args.at(1);
    let (db, due_ms) = (cx.session.db as usize, cx.due_ms());
    let only = slot_of_pattern(pattern).map(|slot| cx.shared.slots.shard_of_slot(slot));
    let everything = pattern == b"*";
    let header = cx.out.deferred();
    let mut count = 0;
    for shard in cx.keyspace.shards.iter().flatten() {
        if only.is_some_and(|only| only != shard.id) {
            continue;
        }
        let mut place = 0;
        loop {
            let out = &mut cx.out;
            place = shard.dbs[db].store.scan(place, &mut |entry| {
                let expired = entry.expiry().is_some_and(|at_ms| at_ms <= due_ms);
                if !expired && (everything || glob::matches(pattern, entry.key(), false)) {
                    out.bulk(entry.key());
                    count += 1;
                }
            });
            if place == 0 {
                break;
            }
        }
    }
    cx.out.finish_array(header, count);
    Ok(())
}

pub fn randomkey(cx: &mut Context, _args: Args) -> Result<(), Error> {
    /// After so many overdue keys that may not be deleted, one of them is the reply, as in Redis, if all have an expiry.
    const TRIES: usize = 100;
    let (db, moment) = (cx.session.db, cx.moment);
    let all_expire =
        cx.shards().map(|shard| &shard.dbs[db as usize].store).all(|it| it.expires() == it.len());
    for tries in 1.. {
        let total: usize = cx.shards().map(|shard| shard.dbs[db as usize].store.len()).sum();
        if total == 0 {
            cx.out.null();
            return Ok(());
        }
        let mut place = cx.rng.below(total as u64) as usize;
        let shard = cx.keyspace.shards.iter_mut().flatten().find(|shard| {
            let len = shard.dbs[db as usize].store.len();
            let here = place < len;
            place = place.wrapping_sub(len);
            here
        });
        let shard = shard.expect("the place is below the sum of the lengths");
        let entry = shard.dbs[db as usize].store.random(&mut || cx.rng.next_u64());
        let key: Box<[u8]> = entry.expect("the shard has keys").key().into();
        // An expired one is deleted by the look at it, unless CLIENT PAUSE keeps it.
        let stays = moment.keep_overdue && all_expire && tries >= TRIES;
        if shard.peek(db, &key, &moment).is_some() || stays {
            cx.out.bulk(&key);
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{parse_cursor, slot_of_pattern};
    use crate::base::crc;

    #[test]
    fn cursors_are_read_as_c_reads_them() {
        for (text, cursor) in [
            ("0", Some(0)),
            ("007", Some(7)),
            (" 5", Some(5)),
            ("+5", Some(5)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("", None),
            ("-1", None),
            ("++1", None),
            ("5 ", None),
            ("x", None),
        ] {
            assert_eq!(parse_cursor(text.as_bytes()), cursor, "{text:?}");
        }
    }

    #[test]
    fn a_tag_names_the_slot_of_a_pattern() {
        assert_eq!(slot_of_pattern(b"a{tag}*"), Some(crc::slot(b"tag")));
        for pattern in ["*{tag}", "a{t*}", "a{}*", "a{tag", "tag*", "\\{tag}"] {
            assert_eq!(slot_of_pattern(pattern.as_bytes()), None, "{pattern}");
        }
    }
}
