//! Arguments that several commands of streams have: ids, intervals, limits to trim by.

use super::super::Error;
use crate::base::number::parse_i64;
use crate::client::Args;
use crate::types::stream::{Id, Keep, Trim, Wish};
use std::ops::RangeInclusive;

const INVALID_ID: Error =
    Error(std::borrow::Cow::Borrowed(b"ERR Invalid stream ID specified as stream command argument"));

/// An id that is one; milliseconds alone have the sequence number 0.
pub fn strict_id(arg: &[u8]) -> Result<Id, Error> {
    Id::parse(arg, 0).ok_or(INVALID_ID)
}

/// An id, or `-` or `+` for the first and the last there can be.
pub fn loose_id(arg: &[u8], missing: u64) -> Result<Id, Error> {
    match arg {
        b"-" => Ok(Id::MIN),
        b"+" => Ok(Id::MAX),
        _ => Id::parse(arg, missing).ok_or(INVALID_ID),
    }
}

/// All arguments as ids.
pub fn ids(args: Args) -> Result<Vec<Id>, Error> {
    args.iter().map(strict_id).collect()
}

/// The first id of an interval; `(` before it leaves it out.
pub fn interval_start(arg: &[u8]) -> Result<Id, Error> {
    match arg {
        [b'(', id @ ..] if !id.is_empty() => {
            strict_id(id)?.next().ok_or(Error::new("ERR invalid start ID for the interval"))
        }
        _ => loose_id(arg, 0),
    }
}

fn interval_end(arg: &[u8]) -> Result<Id, Error> {
    match arg {
        [b'(', id @ ..] if !id.is_empty() => {
            let id = Id::parse(id, u64::MAX).ok_or(INVALID_ID)?;
            id.previous().ok_or(Error::new("ERR invalid end ID for the interval"))
        }
        _ => loose_id(arg, u64::MAX),
    }
}

pub fn interval(start: &[u8], end: &[u8]) -> Result<RangeInclusive<Id>, Error> {
    Ok(interval_start(start)?..=interval_end(end)?)
}

/// `[COUNT count]`, and nothing else; a negative count is 0.
pub fn count_option(mut options: Args) -> Result<Option<usize>, Error> {
    let mut count = None;
    while !options.is_empty() {
        if !options.is(0, "count") || options.len() < 2 {
            return Err(Error::SYNTAX);
        }
        let value = parse_i64(options.at(1)).ok_or(Error::NOT_AN_INTEGER)?;
        count = Some(usize::try_from(value).unwrap_or(0));
        options = options.from(2);
    }
    Ok(count)
}

/// The options of XADD up to its id, or those of XTRIM.
#[derive(Debug)]
pub struct AddOrTrim {
    pub make: bool,
    pub wish: Wish,
    pub trim: Option<Trim>,
    /// Where the options ended: at the id of XADD.
    pub end: usize,
}

impl AddOrTrim {
    /// `node_entries_max` is what a limit derives from where none was given.
    pub fn parse(args: Args, adding: bool, node_entries_max: usize) -> Result<AddOrTrim, Error> {
        let mut options = AddOrTrim { make: true, wish: Wish::Any, trim: None, end: 2 };
        let mut limit = None;
        while let Some(arg) = args.get(options.end) {
            let more = args.len() - 1 - options.end;
            match () {
                () if adding && arg == b"*" => break,
                () if args.is(options.end, "maxlen") && more > 0 => options.threshold(args, false)?,
                () if args.is(options.end, "minid") && more > 0 => options.threshold(args, true)?,
                () if args.is(options.end, "limit") && more > 0 => {
                    options.end += 1;
                    let count = parse_i64(args.at(options.end)).ok_or(Error::NOT_AN_INTEGER)?;
                    let count = u64::try_from(count);
                    limit = Some(count.map_err(|_| Error::new("ERR The LIMIT argument must be >= 0."))?);
                }
                () if adding && args.is(options.end, "nomkstream") => options.make = false,
                () if adding => {
                    options.wish = match Id::parse_open(arg).ok_or(INVALID_ID)? {
                        (ms, Some(seq)) => Wish::Exactly(Id::new(ms, seq)),
                        (ms, None) => Wish::Ms(ms),
                    };
                    break;
                }
                () => return Err(Error::SYNTAX),
            }
            options.end += 1;
        }
        options.set_limit(limit, adding, node_entries_max)?;
        Ok(options)
    }

    /// `MAXLEN | MINID [= | ~] threshold`, which begins at `end`; `end` is the threshold then.
    fn threshold(&mut self, args: Args, by_id: bool) -> Result<(), Error> {
        if self.trim.is_some() {
            return Err(Error::new(
                "ERR syntax error, MAXLEN and MINID options at the same time are not compatible",
            ));
        }
        let sign = args.at(self.end + 1);
        let signed = args.len() > self.end + 2 && matches!(sign, b"~" | b"=");
        self.end += 1 + usize::from(signed);
        let threshold = args.at(self.end);
        let keep = if by_id {
            Keep::From(strict_id(threshold)?)
        } else {
            let len = parse_i64(threshold).ok_or(Error::NOT_AN_INTEGER)?;
            let negative = |_| Error::new("ERR The MAXLEN argument must be >= 0.");
            Keep::Last(u64::try_from(len).map_err(negative)?)
        };
        self.trim = Some(Trim { keep, approximate: signed && sign == b"~", limit: 0 });
        Ok(())
    }

    fn set_limit(&mut self, limit: Option<u64>, adding: bool, node_entries_max: usize) -> Result<(), Error> {
        const NODES_MAX: usize = 100;
        const LIMIT_WITHOUT_NODES: u64 = 10_000;
        const LIMIT_MAX: u64 = 1_000_000;
        let Some(trim) = &mut self.trim else {
            return match limit {
                Some(1..) => Err(Error::new(
                    "ERR syntax error, LIMIT cannot be used without specifying a trimming strategy",
                )),
                _ if !adding => {
                    Err(Error::new("ERR syntax error, XTRIM must be called with a trimming strategy"))
                }
                Some(0) => Err(LIMIT_WITHOUT_TILDE),
                None => Ok(()),
            };
        };
        trim.limit = match limit {
            Some(_) if !trim.approximate => return Err(LIMIT_WITHOUT_TILDE),
            Some(limit) => limit,
            None if !trim.approximate => 0,
            None => match NODES_MAX.saturating_mul(node_entries_max) as u64 {
                0 => LIMIT_WITHOUT_NODES,
                limit => limit.min(LIMIT_MAX),
            },
        };
        Ok(())
    }
}

const LIMIT_WITHOUT_TILDE: Error =
    Error(std::borrow::Cow::Borrowed(b"ERR syntax error, LIMIT cannot be used without the special ~ option"));
