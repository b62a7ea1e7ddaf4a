//! The options that SET, GETEX and MSETEX share: conditions and expiries.

use super::super::{Context, Error};
use crate::base::number::parse_i64;
use crate::client::Args;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Condition<'a> {
    None,
    /// NX
    Missing,
    /// XX
    Exists,
    /// IFEQ
    Equals(&'a [u8]),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expiry<'a> {
    None,
    Keep,
    Persist,
    /// A time from now on, in units of so many ms.
    In(&'a [u8], i64),
    /// A unix time, in units of so many ms.
    At(&'a [u8], i64),
}

impl Expiry<'_> {
    /// Whether the other one is given by the same option.
    fn is_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Expiry::In(_, unit), Expiry::In(_, other)) | (Expiry::At(_, unit), Expiry::At(_, other)) => {
                unit == other
            }
            _ => self == other,
        }
    }
}

pub struct SetOptions<'a> {
    pub condition: Condition<'a>,
    pub get: bool,
    pub expiry: Expiry<'a>,
}

/// Which options a command takes.
#[derive(Clone, Copy)]
pub struct Allowed {
    conditions: bool,
    equals: bool,
    get: bool,
    keep: bool,
    persist: bool,
}

pub const SET: Allowed = Allowed { conditions: true, equals: true, get: true, keep: true, persist: false };
pub const GETEX: Allowed =
    Allowed { conditions: false, equals: false, get: false, keep: false, persist: true };
pub const MSETEX: Allowed =
    Allowed { conditions: true, equals: false, get: false, keep: true, persist: false };

impl<'a> SetOptions<'a> {
    /// Parses `args`, which hold nothing but options. Kinds exclude each other; where one comes again, its last value counts.
    pub fn parse(_cx: &Context, args: Args<'a>, allowed: Allowed) -> Result<Self, Error> {
        let mut options = SetOptions { condition: Condition::None, get: false, expiry: Expiry::None };
        let mut at = 0;
        while at < args.len() {
            at += options.take(args, at, allowed).ok_or(Error::SYNTAX)?;
        }
        Ok(options)
    }

    /// Reads the option at `at`; returns how many arguments it took.
    fn take(&mut self, args: Args<'a>, at: usize, allowed: Allowed) -> Option<usize> {
        let expiry = |unit_ms: i64, absolute: bool| {
            let time = args.get(at + 1)?;
            Some(if absolute { Expiry::At(time, unit_ms) } else { Expiry::In(time, unit_ms) })
        };
        let condition_free = self.condition == Condition::None;
        let condition = match () {
            () if allowed.conditions && args.is(at, "nx") => Some((Condition::Missing, 1)),
            () if allowed.conditions && args.is(at, "xx") => Some((Condition::Exists, 1)),
            () if allowed.equals && args.is(at, "ifeq") => Some((Condition::Equals(args.get(at + 1)?), 2)),
            () => None,
        };
        if let Some((condition, used)) = condition {
            let again = self.condition == condition && used == 1;
            self.condition = condition;
            return (condition_free || again).then_some(used);
        }
        if allowed.get && args.is(at, "get") {
            self.get = true;
            return Some(1);
        }
        let (expiry, used) = match () {
            () if allowed.keep && args.is(at, "keepttl") => (Expiry::Keep, 1),
            () if allowed.persist && args.is(at, "persist") => (Expiry::Persist, 1),
            () if args.is(at, "ex") => (expiry(1000, false)?, 2),
            () if args.is(at, "px") => (expiry(1, false)?, 2),
            () if args.is(at, "exat") => (expiry(1000, true)?, 2),
            () if args.is(at, "pxat") => (expiry(1, true)?, 2),
            () => return None,
        };
        let free = self.expiry == Expiry::None || self.expiry.is_as(&expiry);
        self.expiry = expiry;
        free.then_some(used)
    }

    /// The expiry as unix ms, if one was given. `name` is the command's, for the error.
    pub fn expiry_ms(&self, cx: &Context, name: &str) -> Result<Option<i64>, Error> {
        let (text, unit_ms, base_ms) = match self.expiry {
            Expiry::In(text, unit_ms) => (text, unit_ms, cx.now_ms()),
            Expiry::At(text, unit_ms) => (text, unit_ms, 0),
            _ => return Ok(None),
        };
        let time = parse_i64(text).ok_or(Error::NOT_AN_INTEGER)?;
        absolute_ms(time, unit_ms, base_ms).map(Some).ok_or_else(|| Error::invalid_expire(name))
    }
}

/// `time` units of `unit_ms` after `base_ms`. None: not positive, or out of range.
pub fn absolute_ms(time: i64, unit_ms: i64, base_ms: i64) -> Option<i64> {
    (time > 0).then(|| time.checked_mul(unit_ms)?.checked_add(base_ms)).flatten()
}
