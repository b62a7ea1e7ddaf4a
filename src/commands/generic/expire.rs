//! When keys end: EXPIRE and its variants, TTL and its variants, PERSIST.

use super::super::error::shown;
use super::super::{Context, Error};
use super::look;
use crate::base::number::parse_i64;
use crate::client::Args;
use crate::config::Events;

/// NX, XX, GT, LT: under which expiry that a key has now the new one is set.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Conditions {
    missing: bool,
    present: bool,
    later: bool,
    earlier: bool,
}

impl Conditions {
    pub fn parse(args: Args) -> Result<Self, Error> {
        let mut wanted = Conditions::default();
        for at in 0..args.len() {
            match () {
                () if args.is(at, "nx") => wanted.missing = true,
                () if args.is(at, "xx") => wanted.present = true,
                () if args.is(at, "gt") => wanted.later = true,
                () if args.is(at, "lt") => wanted.earlier = true,
                () => {
                    let option = shown(args.at(at), usize::MAX);
                    return Err(Error::showing(&[b"ERR Unsupported option ", option]));
                }
            }
        }
        if wanted.missing && (wanted.present || wanted.later || wanted.earlier) {
            return Err(Error::new("ERR NX and XX, GT or LT options at the same time are not compatible"));
        }
        if wanted.later && wanted.earlier {
            return Err(Error::new("ERR GT and LT options at the same time are not compatible"));
        }
        Ok(wanted)
    }

    /// Whether an expiry at `new_ms` may replace `old`. A key without one lives forever.
    pub fn allow(self, old: Option<i64>, new_ms: i64) -> bool {
        match old {
            Some(old_ms) => {
                !(self.missing || self.later && new_ms <= old_ms || self.earlier && new_ms >= old_ms)
            }
            None => !self.present && !self.later,
        }
    }
}

pub fn expire(cx: &mut Context, args: Args) -> Result<(), Error> {
    set(cx, args, cx.now_ms(), 1000, "expire")
}

pub fn pexpire(cx: &mut Context, args: Args) -> Result<(), Error> {
    set(cx, args, cx.now_ms(), 1, "pexpire")
}

pub fn expireat(cx: &mut Context, args: Args) -> Result<(), Error> {
    set(cx, args, 0, 1000, "expireat")
}

pub fn pexpireat(cx: &mut Context, args: Args) -> Result<(), Error> {
    set(cx, args, 0, 1, "pexpireat")
}

/// Sets the expiry of a key to so many units of `unit_ms` after `base_ms`; a time in the past deletes the key.
fn set(cx: &mut Context, args: Args, base_ms: i64, unit_ms: i64, name: &str) -> Result<(), Error> {
    let key = args.at(1);
    let conditions = Conditions::parse(args.from(3))?;
    let time = parse_i64(args.at(2)).ok_or(Error::NOT_AN_INTEGER)?;
    let expiry = time.checked_mul(unit_ms).and_then(|ms| ms.checked_add(base_ms));
    let expiry = expiry.ok_or_else(|| Error::invalid_expire(name))?;
    let allowed = match cx.edit(key) {
        Some(entry) => conditions.allow(entry.expiry(), expiry),
        None => false,
    };
    if allowed {
        expire_at(cx, key, expiry);
    }
    cx.out.integer(allowed as i64);
    Ok(())
}

/// Gives a key that is there an end at `at_ms`; a time in the past deletes it.
pub fn expire_at(cx: &mut Context, key: &[u8], at_ms: i64) {
    if at_ms <= cx.due_ms() {
        cx.remove(key);
        cx.notify(Events::GENERIC, "del", key);
        cx.log_as(&[b"DEL", key]);
    } else {
        cx.set_expiry(key, Some(at_ms));
        cx.notify(Events::GENERIC, "expire", key);
        if cx.is_logged() {
            cx.log_as(&[b"PEXPIREAT", key, itoa::Buffer::new().format(at_ms).as_bytes()]);
        }
    }
}

pub fn persist(cx: &mut Context, args: Args) -> Result<(), Error> {
    let expires = cx.edit(args.at(1)).is_some_and(|entry| entry.expiry().is_some());
    if expires {
        cx.set_expiry(args.at(1), None);
        cx.notify(Events::GENERIC, "persist", args.at(1));
    }
    cx.out.integer(expires as i64);
    Ok(())
}

pub fn ttl(cx: &mut Context, args: Args) -> Result<(), Error> {
    let now_ms = cx.now_ms();
    reply(cx, args, |at_ms| ((at_ms - now_ms).max(0) + 500) / 1000)
}

pub fn pttl(cx: &mut Context, args: Args) -> Result<(), Error> {
    let now_ms = cx.now_ms();
    reply(cx, args, |at_ms| (at_ms - now_ms).max(0))
}

pub fn expiretime(cx: &mut Context, args: Args) -> Result<(), Error> {
    reply(cx, args, |at_ms| at_ms.saturating_add(500) / 1000)
}

pub fn pexpiretime(cx: &mut Context, args: Args) -> Result<(), Error> {
    reply(cx, args, |at_ms| at_ms)
}

/// Replies with the expiry of a key as `show` puts it; -1 where there is none, -2 where there is no key.
fn reply(cx: &mut Context, args: Args, show: impl FnOnce(i64) -> i64) -> Result<(), Error> {
    let number = match look(cx, args.at(1)) {
        None => -2,
        Some(entry) => entry.expiry().map_or(-1, show),
    };
    cx.out.integer(number);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Conditions;

    #[test]
    fn a_key_without_expiry_lives_forever() {
        let later = Conditions { later: true, ..Conditions::default() };
        let earlier = Conditions { earlier: true, ..Conditions::default() };
        assert!(!later.allow(None, i64::MAX));
        assert!(earlier.allow(None, i64::MAX));
        assert!(later.allow(Some(5), 6) && !later.allow(Some(5), 5));
        assert!(earlier.allow(Some(5), 4) && !earlier.allow(Some(5), 5));
    }
}
