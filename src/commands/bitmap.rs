//! Bitmaps: commands that see a string as bits, numbered from the highest of the first byte on.

mod bits;
mod field;
#[cfg(test)]
mod tests;

use super::string::{string, with_bytes};
use super::{Command, Context, Error, KeySpec};
use crate::base::number::parse_i64;
use crate::client::Args;
use crate::config::Events;
use crate::shard::{Encoding, Entry, Value};
use bits::{Combiner, Operation};

const KEY_READ: &[KeySpec] = &[KeySpec::at(1, "RO access")];

pub const TABLE: &[Command] = &[
    Command::new("BITCOUNT", "key [start [end [BYTE | BIT]]]", bitcount).arity(-2).read().keys(KEY_READ).since("2.6.0")
        .about("Counts the set bits of a string or of a part of it.").complexity("O(N), N being the bytes looked at"),
    Command::new("BITFIELD", "key [GET encoding offset | [OVERFLOW <WRAP | SAT | FAIL>] <SET encoding offset value | INCRBY encoding offset increment> [GET encoding offset | [OVERFLOW <WRAP | SAT | FAIL>] <SET encoding offset value | INCRBY encoding offset increment> ...]]", field::bitfield)
        .arity(-2).grow().keys(&[KeySpec::at(1, "RW access update variable_flags")]).since("3.2.0")
        .about("Reads, sets and increments integers of any width inside a string.").complexity("O(N), N being the number of fields"),
    Command::new("BITFIELD_RO", "key [GET encoding offset [GET encoding offset ...]]", field::bitfield_ro).arity(-2).read().fast().keys(KEY_READ).since("6.0.0")
        .about("Reads integers of any width inside a string.").complexity("O(N), N being the number of fields"),
    Command::new("BITOP", "<AND | OR | XOR | NOT | DIFF | DIFF1 | ANDOR | ONE> destkey key [key ...]", bitop).arity(-4).grow()
        .keys(&[KeySpec::at(2, "OW update"), KeySpec::range(3, -1, 1, "RO access")]).since("2.6.0")
        .about("Combines strings bit by bit and stores the result.").complexity("O(N), N being the bytes of all strings"),
    Command::new("BITPOS", "key bit [start [end [BYTE | BIT]]]", bitpos).arity(-3).read().keys(KEY_READ).since("2.8.7")
        .about("Finds the first set or clear bit of a string or of a part of it.").complexity("O(N), N being the bytes looked at"),
    Command::new("GETBIT", "key offset", getbit).arity(3).read().fast().keys(KEY_READ).since("2.2.0")
        .about("Returns a bit of a string."),
    Command::new("SETBIT", "key offset value", setbit).arity(4).grow().keys(&[KeySpec::at(1, "RW access update")]).since("2.2.0")
        .about("Sets or clears a bit of a string, which grows as needed."),
];

/// An offset in bits, within the longest string allowed. With a `width`, `#n` means the nth field of that width.
fn bit_offset(cx: &Context, text: &[u8], width: Option<u32>) -> Result<usize, Error> {
    let wrong = || Error::new("ERR bit offset is not an integer or out of range");
    let (digits, unit) = match (text.strip_prefix(b"#"), width) {
        (Some(digits), Some(width)) => (digits, i64::from(width)),
        _ => (text, 1),
    };
    // As in Redis, the product wraps around.
    let offset = parse_i64(digits).ok_or_else(wrong)?.wrapping_mul(unit);
    let offset = u64::try_from(offset).map_err(|_| wrong())?;
    if offset >> 3 >= cx.config.proto_max_bulk_len { Err(wrong()) } else { Ok(offset as usize) }
}

/// Calls `look` with the string at `key`, empty if there is none.
fn with_string<R>(cx: &mut Context, key: &[u8], look: impl FnOnce(&[u8]) -> R) -> Result<R, Error> {
    look_into(cx.read(key), look)
}

fn look_into<R>(entry: Option<&mut Entry>, look: impl FnOnce(&[u8]) -> R) -> Result<R, Error> {
    match entry {
        Some(entry) => Ok(with_bytes(string(entry)?, look)),
        None => Ok(look(b"")),
    }
}

/// The string at `key`, filled with zeros up to `len` bytes and labelled raw, to be changed in place; it is made if missing.
/// The flag: it grew, as a new one does. Say `Context::changed` if it did or if anything else changes.
pub(super) fn enlarge<'c>(
    cx: &'c mut Context,
    key: &[u8],
    len: usize,
) -> Result<(&'c mut [u8], bool), Error> {
    let (old, in_place) = match cx.edit(key) {
        Some(entry) => {
            let old = with_bytes(string(entry)?, <[u8]>::len);
            (old, old >= len && matches!(entry.value(), Value::Bytes(_)))
        }
        None => {
            cx.make_string(key);
            (0, false)
        }
    };
    let db = cx.session.db as usize;
    let store = &mut cx.shard(key).dbs[db].store;
    let hash = store.hash(key);
    let bytes = if in_place {
        store.find_hashed_mut(hash, key).and_then(|entry| {
            entry.set_encoding(Encoding::Raw);
            entry.bytes_mut()
        })
    } else {
        store.resize_string(hash, key, len.max(old))
    };
    Ok((bytes.expect("it is a string"), len > old))
}

fn setbit(cx: &mut Context, args: Args) -> Result<(), Error> {
    let offset = bit_offset(cx, args.at(2), None)?;
    let on = match args.at(3) {
        b"0" => false,
        b"1" => true,
        _ => return Err(Error::new("ERR bit is not an integer or out of range")),
    };
    let (bytes, grew) = enlarge(cx, args.at(1), offset / 8 + 1)?;
    let old = bits::set(bytes, offset, on);
    if grew || old != on {
        cx.changed(args.at(1));
        cx.notify(Events::STRING, "setbit", args.at(1));
    }
    cx.out.integer(old as i64);
    Ok(())
}

fn getbit(cx: &mut Context, args: Args) -> Result<(), Error> {
    let offset = bit_offset(cx, args.at(2), None)?;
    let on = with_string(cx, args.at(1), |bytes| bits::get(bytes, offset))?;
    cx.out.integer(on as i64);
    Ok(())
}

/// A part of a string, in bytes or bits, as the client wrote it; negative numbers count from the end.
struct Range {
    start: i64,
    end: Option<i64>,
    in_bits: bool,
}

impl Range {
    /// Parses `[start [end [BYTE | BIT]]]`.
    fn parse(args: Args) -> Result<Range, Error> {
        let number = |at| args.get(at).map(|text| parse_i64(text).ok_or(Error::NOT_AN_INTEGER)).transpose();
        if args.len() > 3 {
            return Err(Error::SYNTAX);
        }
        let start = number(0)?.unwrap_or(0);
        // The unit is looked at before the end.
        let in_bits = args.len() == 3 && args.is(2, "BIT");
        if args.len() == 3 && !in_bits && !args.is(2, "BYTE") {
            return Err(Error::SYNTAX);
        }
        let end = number(1)?;
        Ok(Range { start, end, in_bits })
    }

    /// The first and the last bit of it in a string of `len` bytes; None if it is empty.
    fn bits(&self, len: usize) -> Option<(usize, usize)> {
        let units = if self.in_bits { len as i64 * 8 } else { len as i64 };
        let from_end = |at: i64| if at < 0 { at.saturating_add(units).max(0) } else { at };
        let (start, end) = (from_end(self.start), from_end(self.end.unwrap_or(-1)).min(units - 1));
        let (start, end) = (usize::try_from(start).ok()?, usize::try_from(end).ok()?);
        match () {
            () if start > end => None,
            () if self.in_bits => Some((start, end)),
            () => Some((start * 8, end * 8 + 7)),
        }
    }
}

fn bitcount(cx: &mut Context, args: Args) -> Result<(), Error> {
    let range = Range::parse(args.from(2))?;
    let end = range.end.unwrap_or(-1);
    let count = with_string(cx, args.at(1), |bytes| match range.bits(bytes.len()) {
        // Two places before the beginning would both become the first byte.
        _ if range.start < 0 && end < 0 && range.start > end => 0,
        Some((first, last)) => bits::count_range(bytes, first, last),
        None => 0,
    })?;
    cx.out.integer(count as i64);
    Ok(())
}

fn bitpos(cx: &mut Context, args: Args) -> Result<(), Error> {
    let wanted = match parse_i64(args.at(2)).ok_or(Error::NOT_AN_INTEGER)? {
        0 => false,
        1 => true,
        _ => return Err(Error::new("ERR The bit argument must be 1 or 0.")),
    };
    let range = Range::parse(args.from(3))?;
    let entry = cx.read(args.at(1));
    if entry.is_none() {
        cx.out.integer(if wanted { -1 } else { 0 });
        return Ok(());
    }
    let at = look_into(entry, |bytes| {
        let (first, last) = range.bits(bytes.len())?;
        let found = bits::position(bytes, wanted, first, last);
        // Without an end the string is taken to go on with zeros for ever.
        found.or_else(|| (!wanted && range.end.is_none()).then_some(bytes.len() * 8))
    })?;
    cx.out.integer(at.map_or(-1, |at| at as i64));
    Ok(())
}

fn bitop(cx: &mut Context, args: Args) -> Result<(), Error> {
    let operation = Operation::ALL.into_iter().find(|(_, name)| args.is(1, name));
    let (operation, name) = operation.ok_or(Error::SYNTAX)?;
    let keys = args.from(3);
    if operation == Operation::Not && keys.len() != 1 {
        return Err(Error::new("ERR BITOP NOT must be called with a single source key."));
    }
    if matches!(operation, Operation::Diff | Operation::Diff1 | Operation::AndOr) && keys.len() < 2 {
        return Err(Error::new(format!("ERR BITOP {name} must be called with at least two source keys.")));
    }
    let mut longest = 0;
    for key in keys.iter() {
        longest = longest.max(with_string(cx, key, <[u8]>::len)?);
    }
    let mut combiner = Combiner::new(operation, longest);
    for key in keys.iter() {
        look_into(cx.peek(key), |bytes| combiner.add(bytes))?;
    }
    match longest {
        0 if cx.remove(args.at(2)) => cx.notify(Events::GENERIC, "del", args.at(2)),
        0 => {}
        _ => {
            cx.set_string(args.at(2), &combiner.finish(), Encoding::Raw, None);
            cx.notify(Events::STRING, "set", args.at(2));
        }
    }
    cx.out.integer(longest as i64);
    Ok(())
}
