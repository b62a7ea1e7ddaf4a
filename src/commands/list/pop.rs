//! Taking elements from lists, and moving them between lists.

use super::super::{Context, Error};
use super::{reply, side};
use crate::base::number::parse_i64;
use crate::client::Args;
use crate::config::Events;
use crate::types::list::{MovedElement, Side};
use crate::types::{Collection, List};

pub fn lpop(cx: &mut Context, args: Args) -> Result<(), Error> {
    pop(cx, args, Side::Left, "lpop")
}

pub fn rpop(cx: &mut Context, args: Args) -> Result<(), Error> {
    pop(cx, args, Side::Right, "rpop")
}

fn pop(cx: &mut Context, args: Args, side: Side, name: &str) -> Result<(), Error> {
    match args.len() {
        2 => pop_one(cx, args.at(1), side),
        3 => pop_count(cx, args, side),
        _ => Err(Error::arity(name)),
    }
}

/// Says that so many elements were taken from a list.
#[inline]
pub fn note_popped(cx: &mut Context, key: &[u8], side: Side, count: usize) {
    cx.count_elements(key, count);
    cx.notify_shrunk(Events::LIST, if side == Side::Left { "lpop" } else { "rpop" }, key);
}

fn pop_one(cx: &mut Context, key: &[u8], side: Side) -> Result<(), Error> {
    let limits = cx.limits();
    let popped = cx.change(key, false, |list: &mut List, out| {
        list.pop(side, 1, &limits, |element| reply(out, element));
        ((), true)
    })?;
    match popped {
        Some(()) => note_popped(cx, key, side, 1),
        None => cx.out.null(),
    }
    Ok(())
}

fn pop_count(cx: &mut Context, args: Args, side: Side) -> Result<(), Error> {
    let count = parse_i64(args.at(2)).and_then(|count| usize::try_from(count).ok());
    let count = count.ok_or(Error::MUST_BE_POSITIVE)?;
    let limits = cx.limits();
    let popped = cx.change(args.at(1), false, |list: &mut List, out| {
        let count = count.min(list.view().len());
        out.array(count);
        list.pop(side, count, &limits, |element| reply(out, element));
        (count, count > 0)
    })?;
    match popped {
        Some(0) => {}
        Some(popped) => note_popped(cx, args.at(1), side, popped),
        None => cx.out.null_array(),
    }
    Ok(())
}

pub fn lmpop(cx: &mut Context, args: Args) -> Result<(), Error> {
    let (keys, side, count) = parse_lmpop(args, 1)?;
    for key in keys.iter() {
        if pop_some(cx, key, side, count)? {
            return Ok(());
        }
    }
    cx.out.null_array();
    Ok(())
}

/// The arguments `numkeys key [key ...] LEFT | RIGHT [COUNT count]`, which begin at `first`.
pub fn parse_lmpop(args: Args, first: usize) -> Result<(Args, Side, usize), Error> {
    let positive = |arg: &[u8]| parse_i64(arg).and_then(|n| usize::try_from(n).ok()).filter(|&n| n > 0);
    let numkeys = positive(args.at(first)).ok_or(Error::new("ERR numkeys should be greater than 0"))?;
    let behind = numkeys.checked_add(first + 1).filter(|&at| at < args.len()).ok_or(Error::SYNTAX)?;
    let side = side(args, behind)?;
    let mut count = None;
    let mut options = args.from(behind + 1);
    while !options.is_empty() {
        if count.is_some() || !options.is(0, "count") || options.len() < 2 {
            return Err(Error::SYNTAX);
        }
        let value = positive(options.at(1)).ok_or(Error::new("ERR count should be greater than 0"))?;
        count = Some(value);
        options = options.from(2);
    }
    Ok((args.from(first + 1).first(numkeys), side, count.unwrap_or(1)))
}

/// Takes up to `count` elements from a list and replies with key and elements. False, and no reply: there is no such list.
pub fn pop_some(cx: &mut Context, key: &[u8], side: Side, count: usize) -> Result<bool, Error> {
    let limits = cx.limits();
    let popped = cx.change(key, false, |list: &mut List, out| {
        out.array(2);
        out.bulk(key);
        let count = count.min(list.view().len());
        out.array(count);
        list.pop(side, count, &limits, |element| reply(out, element));
        (count, true)
    })?;
    if let Some(popped) = popped {
        note_popped(cx, key, side, popped);
        if cx.is_logged() {
            let word: &[u8] = if side == Side::Left { b"LPOP" } else { b"RPOP" };
            cx.log_as(&[word, key, itoa::Buffer::new().format(count).as_bytes()]);
        }
    }
    Ok(popped.is_some())
}

pub fn lmove(cx: &mut Context, args: Args) -> Result<(), Error> {
    let (from, to) = (side(args, 3)?, side(args, 4)?);
    move_or_null(cx, args, from, to)
}

pub fn rpoplpush(cx: &mut Context, args: Args) -> Result<(), Error> {
    move_or_null(cx, args, Side::Right, Side::Left)
}

fn move_or_null(cx: &mut Context, args: Args, from: Side, to: Side) -> Result<(), Error> {
    if !move_one(cx, args.at(1), args.at(2), from, to)? {
        cx.out.null();
    }
    Ok(())
}

/// Moves an element from one list to another, or within one, and replies with it. False, and no reply: there is no such list.
pub fn move_one(
    cx: &mut Context,
    source: &[u8],
    destination: &[u8],
    from: Side,
    to: Side,
) -> Result<bool, Error> {
    let limits = cx.limits();
    if source == destination {
        let moved = cx.change(source, false, |list: &mut List, out| {
            list.rotate(from, to, &limits, |element| reply(out, element));
            ((), true)
        })?;
        if moved.is_some() {
            note_moved(cx, source, destination, from, to, false);
        }
        return Ok(moved.is_some());
    }
    if !holds_list(cx, source)? {
        return Ok(false);
    }
    holds_list(cx, destination)?;
    let moved = cx.change(source, false, |list: &mut List, out| {
        let mut moved = MovedElement::default();
        list.pop(from, 1, &limits, |element| {
            reply(out, element);
            moved = MovedElement::new(element);
        });
        (moved, true)
    })?;
    let moved = moved.expect("the source was there");
    let emptied = cx.shard(source).emptied;
    cx.change(destination, true, |list: &mut List, _| {
        list.push_moved(to, &moved, &limits);
        ((), true)
    })?;
    // Both keys have counted, for one element.
    cx.count_beyond(destination, -1);
    note_moved(cx, source, destination, from, to, emptied);
    Ok(true)
}

/// Says that an element was moved; the push is told before the pop, as in Redis.
fn note_moved(cx: &mut Context, source: &[u8], destination: &[u8], from: Side, to: Side, emptied: bool) {
    cx.notify(Events::LIST, if to == Side::Left { "lpush" } else { "rpush" }, destination);
    cx.notify(Events::LIST, if from == Side::Left { "lpop" } else { "rpop" }, source);
    if emptied {
        cx.notify(Events::GENERIC, "del", source);
    }
}

/// Whether there is a list at the key; another type is an error.
fn holds_list(cx: &mut Context, key: &[u8]) -> Result<bool, Error> {
    match cx.edit(key).map(|entry| entry.kind()) {
        Some(List::TYPE) => Ok(true),
        Some(_) => Err(Error::WRONG_TYPE),
        None => Ok(false),
    }
}
