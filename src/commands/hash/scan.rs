//! HSCAN. The cursor is the place in the hash's own hash space, as SCAN's is in a shard's; a packed hash comes at once.

use super::super::generic::scan::parse_cursor;
use super::super::{Context, Error};
use super::reply_element;
use crate::base::glob;
use crate::base::number::parse_i64;
use crate::client::Args;
use crate::shard::store::CURSOR_BITS;
use crate::types::Hash;

struct Options<'a> {
    pattern: Option<&'a [u8]>,
    count: usize,
    values: bool,
}

impl<'a> Options<'a> {
    fn parse(args: Args<'a>) -> Result<Self, Error> {
        let mut options = Options { pattern: None, count: 10, values: true };
        let mut at = 0;
        while at < args.len() {
            match args.get(at + 1) {
                Some(text) if args.is(at, "count") => {
                    let count = parse_i64(text).ok_or(Error::NOT_AN_INTEGER)?;
                    let count = usize::try_from(count).ok().filter(|&count| count > 0);
                    options.count = count.ok_or(Error::SYNTAX)?;
                    at += 2;
                }
                Some(pattern) if args.is(at, "match") => {
                    options.pattern = Some(pattern).filter(|&pattern| pattern != b"*");
                    at += 2;
                }
                _ if args.is(at, "novalues") => {
                    options.values = false;
                    at += 1;
                }
                _ if args.is(at, "noscores") => {
                    return Err(Error::new("ERR NOSCORES option can only be used in ZSCAN"));
                }
                _ => return Err(Error::SYNTAX),
            }
        }
        Ok(options)
    }
}

pub fn hscan(cx: &mut Context, args: Args) -> Result<(), Error> {
    let cursor = parse_cursor(args.at(2)).ok_or(Error::INVALID_CURSOR)?;
    let now_ms = cx.now_ms();
    let (view, out) = cx.view::<Hash>(args.at(1))?;
    let Some(view) = view else {
        out.array(2);
        out.bulk(b"0");
        out.array(0);
        return Ok(());
    };
    // Redis looks at the options only once it has something to scan.
    let options = Options::parse(args.from(3))?;
    let (mut found, mut elements) = (Vec::new(), 0);
    let mut items = crate::resp::Out { buf: &mut found, resp3: out.resp3 };
    let from = cursor & ((1 << CURSOR_BITS) - 1);
    let next = view.scan(from, options.count, now_ms, |field, value| {
        let matches = |pattern| field.with(|field| glob::matches(pattern, field, false));
        if options.pattern.is_none_or(matches) {
            reply_element(&mut items, field);
            elements += 1;
            if options.values {
                reply_element(&mut items, value);
                elements += 1;
            }
        }
    });
    out.array(2);
    out.bulk_int(next as i64);
    out.array(elements);
    out.raw(&found);
    Ok(())
}
