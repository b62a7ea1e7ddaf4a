//! The commands on sorted sets that wait: BZPOPMIN, BZPOPMAX, BZMPOP.

use super::super::blocking::{For, deadline_s};
use super::super::{Context, Error};
use super::pick::{note_popped, parse_zmpop, pop_some};
use super::write_element;
use crate::client::Args;
use crate::shard::Type;
use crate::types::Zset;

pub fn bzpopmin(cx: &mut Context, args: Args) -> Result<(), Error> {
    pop_or_wait(cx, args, false)
}

pub fn bzpopmax(cx: &mut Context, args: Args) -> Result<(), Error> {
    pop_or_wait(cx, args, true)
}

/// Takes a member from the first of several sorted sets that has one, and replies with the key, the member and its score.
fn pop_or_wait(cx: &mut Context, args: Args, last: bool) -> Result<(), Error> {
    let keys = args.from(1).first(args.len() - 2);
    let deadline_ms = deadline_s(cx, args.at(args.len() - 1))?;
    for key in keys.iter() {
        if cx.passes_over(key, Type::Zset) {
            continue;
        }
        let popped = cx.change(key, false, |zset: &mut Zset, out| {
            out.array(3);
            out.bulk(key);
            zset.pop(last, 1, |member, score| {
                write_element(out, member);
                out.double(score);
            });
            ((), true)
        })?;
        if popped.is_some() {
            note_popped(cx, key, last, 1);
            cx.log_as(&[if last { b"ZPOPMAX" } else { b"ZPOPMIN" }, key]);
            return Ok(());
        }
    }
    cx.wait(keys.iter(), For::elements(Type::Zset, deadline_ms));
    Ok(())
}

pub fn bzmpop(cx: &mut Context, args: Args) -> Result<(), Error> {
    let (keys, last, count) = parse_zmpop(args, 2)?;
    let deadline_ms = deadline_s(cx, args.at(1))?;
    for key in keys.iter() {
        if !cx.passes_over(key, Type::Zset) && pop_some(cx, key, last, count)? {
            return Ok(());
        }
    }
    cx.wait(keys.iter(), For::elements(Type::Zset, deadline_ms));
    Ok(())
}
