//! The commands on lists that wait: BLPOP, BRPOP, BLMPOP, BLMOVE, BRPOPLPUSH.

use super::super::blocking::{For, deadline_s};
use super::super::{Context, Error};
use super::pop::{move_one, note_popped, parse_lmpop, pop_some};
use super::{reply, side};
use crate::client::{Args, Nothing};
use crate::shard::Type;
use crate::types::List;
use crate::types::list::Side;

pub fn blpop(cx: &mut Context, args: Args) -> Result<(), Error> {
    pop_or_wait(cx, args, Side::Left)
}

pub fn brpop(cx: &mut Context, args: Args) -> Result<(), Error> {
    pop_or_wait(cx, args, Side::Right)
}

/// Takes an element from the first of several lists that has one, and replies with the key and the element.
fn pop_or_wait(cx: &mut Context, args: Args, from: Side) -> Result<(), Error> {
    let keys = args.from(1).first(args.len() - 2);
    let deadline_ms = deadline_s(cx, args.at(args.len() - 1))?;
    let limits = cx.limits();
    for key in keys.iter() {
        if cx.passes_over(key, Type::List) {
            continue;
        }
        let popped = cx.change(key, false, |list: &mut List, out| {
            out.array(2);
            out.bulk(key);
            list.pop(from, 1, &limits, |element| reply(out, element));
            ((), true)
        })?;
        if popped.is_some() {
            note_popped(cx, key, from, 1);
            cx.log_as(&[if from == Side::Left { b"LPOP" } else { b"RPOP" }, key]);
            return Ok(());
        }
    }
    cx.wait(keys.iter(), For::elements(Type::List, deadline_ms));
    Ok(())
}

pub fn blmpop(cx: &mut Context, args: Args) -> Result<(), Error> {
    let (keys, from, count) = parse_lmpop(args, 2)?;
    let deadline_ms = deadline_s(cx, args.at(1))?;
    for key in keys.iter() {
        if !cx.passes_over(key, Type::List) && pop_some(cx, key, from, count)? {
            return Ok(());
        }
    }
    cx.wait(keys.iter(), For::elements(Type::List, deadline_ms));
    Ok(())
}

pub fn blmove(cx: &mut Context, args: Args) -> Result<(), Error> {
    let (from, to) = (side(args, 3)?, side(args, 4)?);
    let deadline_ms = deadline_s(cx, args.at(5))?;
    move_or_wait(cx, args, from, to, deadline_ms)
}

pub fn brpoplpush(cx: &mut Context, args: Args) -> Result<(), Error> {
    let deadline_ms = deadline_s(cx, args.at(3))?;
    move_or_wait(cx, args, Side::Right, Side::Left, deadline_ms)
}

fn move_or_wait(
    cx: &mut Context,
    args: Args,
    from: Side,
    to: Side,
    deadline_ms: Option<i64>,
) -> Result<(), Error> {
    let (source, destination) = (args.at(1), args.at(2));
    if !move_one(cx, source, destination, from, to)? {
        let what = For {
            target: Some(destination),
            nothing: Nothing::Null,
            ..For::elements(Type::List, deadline_ms)
        };
        cx.wait(std::iter::once(source), what);
        return Ok(());
    }
    let word = |side: Side| if side == Side::Left { b"LEFT".as_slice() } else { b"RIGHT" };
    cx.log_as(&[b"LMOVE", source, destination, word(from), word(to)]);
    Ok(())
}
