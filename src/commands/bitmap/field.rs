//! BITFIELD and BITFIELD_RO: integers of any width at any bit of a string.

use super::super::{Context, Error};
use super::{bit_offset, bits, enlarge, with_string};
use crate::base::number::parse_i64;
use crate::client::Args;
use crate::config::Events;

const READ_ONLY: Error =
    Error(std::borrow::Cow::Borrowed(b"ERR BITFIELD_RO only supports the GET subcommand"));

/// What becomes of a result that does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    Wrap,
    Saturate,
    Fail,
}

/// The type of a field, such as i16 or u8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Width {
    pub signed: bool,
    pub bits: u32,
}

#[derive(Clone, Copy)]
enum Action {
    Get,
    Set(i64),
    Add(i64),
}

struct Step {
    action: Action,
    width: Width,
    offset: usize,
    overflow: Overflow,
}

impl Width {
    fn parse(text: &[u8]) -> Option<Width> {
        let (signed, bits_max) = match text.first()? {
            b'i' => (true, 64),
            b'u' => (false, 63),
            _ => return None,
        };
        let bits = parse_i64(&text[1..]).filter(|bits| (1..=bits_max).contains(bits))?;
        Some(Width { signed, bits: bits as u32 })
    }

    fn min(self) -> i128 {
        if self.signed { -(1 << (self.bits - 1)) } else { 0 }
    }

    fn max(self) -> i128 {
        (1 << (self.bits - self.signed as u32)) - 1
    }

    /// The number in the lowest bits of `raw`.
    fn interpret(self, raw: u64) -> i64 {
        let above = 64 - self.bits;
        if self.signed { ((raw << above) as i64) >> above } else { ((raw << above) >> above) as i64 }
    }

    /// The number that a SET to `value` means: unsigned fields take negative ones for very large.
    fn given(self, value: i64) -> i128 {
        if self.signed { value.into() } else { (value as u64).into() }
    }

    /// `value` made to fit; None if it must fit and does not.
    pub fn fit(self, value: i128, overflow: Overflow) -> Option<i64> {
        if (self.min()..=self.max()).contains(&value) {
            return Some(value as i64);
        }
        match overflow {
            Overflow::Wrap => Some(self.interpret(value as u64)),
            Overflow::Saturate if value > self.max() => Some(self.max() as i64),
            Overflow::Saturate => Some(self.min() as i64),
            Overflow::Fail => None,
        }
    }

    /// What a SET to `value` stores. In Redis the room above a number is reckoned with 64 bits, so that numbers near the
    /// lowest of them saturate upwards.
    fn set(self, value: i64, overflow: Overflow) -> Option<i64> {
        let room = (self.max() as i64).wrapping_sub(value);
        if overflow == Overflow::Saturate && self.signed && self.bits < 64 && room < 0 {
            return Some(self.max() as i64);
        }
        self.fit(self.given(value), overflow)
    }
}

/// Parses everything behind the key.
fn steps(cx: &Context, args: Args) -> Result<Vec<Step>, Error> {
    let (mut steps, mut overflow, mut at) = (Vec::new(), Overflow::Wrap, 2);
    while at < args.len() {
        let left = args.len() - at - 1;
        if args.is(at, "OVERFLOW") && left >= 1 {
            overflow = match () {
                () if args.is(at + 1, "WRAP") => Overflow::Wrap,
                () if args.is(at + 1, "SAT") => Overflow::Saturate,
                () if args.is(at + 1, "FAIL") => Overflow::Fail,
                () => return Err(Error::new("ERR Invalid OVERFLOW type specified")),
            };
            at += 2;
            continue;
        }
        let (set, add) = (args.is(at, "SET") && left >= 3, args.is(at, "INCRBY") && left >= 3);
        if !(set || add || args.is(at, "GET") && left >= 2) {
            return Err(Error::SYNTAX);
        }
        let width = Width::parse(args.at(at + 1)).ok_or(Error::new(
            "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.",
        ))?;
        let offset = bit_offset(cx, args.at(at + 2), Some(width.bits))?;
        let number = || parse_i64(args.at(at + 3)).ok_or(Error::NOT_AN_INTEGER);
        let action = match (set, add) {
            (true, _) => Action::Set(number()?),
            (_, true) => Action::Add(number()?),
            _ => Action::Get,
        };
        steps.push(Step { action, width, offset, overflow });
        at += if set || add { 4 } else { 3 };
    }
    Ok(steps)
}

pub fn bitfield(cx: &mut Context, args: Args) -> Result<(), Error> {
    let steps = steps(cx, args)?;
    let writes = steps.iter().filter(|step| !matches!(step.action, Action::Get));
    let Some(bits) = writes.map(|step| step.offset + step.width.bits as usize).max() else {
        return read(cx, args.at(1), &steps);
    };
    let (bytes, grew) = enlarge(cx, args.at(1), bits.div_ceil(8))?;
    let mut written = 0;
    let replies: Vec<Option<i64>> = steps.iter().map(|step| run(bytes, step, grew, &mut written)).collect();
    if written > 0 {
        cx.changed(args.at(1));
        cx.count_elements(args.at(1), written);
        cx.notify(Events::STRING, "setbit", args.at(1));
    } else if grew {
        // It grew for a field that was left as it was after all: as in Redis, neither watchers nor listeners hear of it, nor does
        // it count.
        let db = cx.session.db;
        cx.shard(args.at(1)).changed_unseen(db, args.at(1));
        cx.count_beyond(args.at(1), -1);
    }
    cx.out.array(replies.len());
    for reply in replies {
        match reply {
            Some(value) => cx.out.integer(value),
            None => cx.out.null(),
        }
    }
    Ok(())
}

pub fn bitfield_ro(cx: &mut Context, args: Args) -> Result<(), Error> {
    let steps = steps(cx, args)?;
    if steps.iter().any(|step| !matches!(step.action, Action::Get)) {
        return Err(READ_ONLY);
    }
    read(cx, args.at(1), &steps)
}

/// Replies with the fields of the string at `key`.
fn read(cx: &mut Context, key: &[u8], steps: &[Step]) -> Result<(), Error> {
    let values = with_string(cx, key, |bytes| {
        let value = |step: &Step| step.width.interpret(bits::field(bytes, step.offset, step.width.bits));
        steps.iter().map(value).collect::<Vec<i64>>()
    })?;
    cx.out.array(values.len());
    values.into_iter().for_each(|value| cx.out.integer(value));
    Ok(())
}

/// Does one step in a string that is long enough for it to write; what it replies. What it writes counts if that is something
/// else than before, or the string `grew`.
fn run(bytes: &mut [u8], step: &Step, grew: bool, written: &mut usize) -> Option<i64> {
    let width = step.width;
    let old = width.interpret(bits::field(bytes, step.offset, width.bits));
    let (new, reply) = match step.action {
        Action::Get => return Some(old),
        Action::Set(value) => (width.set(value, step.overflow)?, old),
        Action::Add(by) => {
            let new = width.fit(i128::from(old) + i128::from(by), step.overflow)?;
            (new, new)
        }
    };
    bits::set_field(bytes, step.offset, width.bits, new as u64);
    *written += usize::from(grew || new != old);
    Some(reply)
}
