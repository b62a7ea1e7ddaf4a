//! Lists: LPUSH, LRANGE and their family.
//! Absent: waiting for elements; what the waiting commands do once there are some is `pop::pop_some` and `pop::move_one`.

mod blocking;
pub mod pop;
mod search;
#[cfg(test)]
mod tests;

use super::{Command, Context, Error, KeySpec, flags};
use crate::base::number::parse_i64;
use crate::client::Args;
use crate::config::Events;
use crate::resp::Out;
use crate::types::list::Side;
use crate::types::listpack::Element;
use crate::types::{Collection, List};

const READ: &[KeySpec] = &[KeySpec::at(1, "RO access")];
const INSERT: &[KeySpec] = &[KeySpec::at(1, "RW insert")];
const DELETE: &[KeySpec] = &[KeySpec::at(1, "RW delete")];
const POP: &[KeySpec] = &[KeySpec::at(1, "RW access delete")];
const MOVE: &[KeySpec] = &[KeySpec::at(1, "RW access delete"), KeySpec::at(2, "RW insert")];

const EACH_PUSHED: &str = "O(1) for each element";
const EACH_POPPED: &str = "O(N), N being the number of elements returned";

const POP_ANY: &[KeySpec] = &[KeySpec::range(1, -2, 1, "RW access delete")];
const MAY_WAIT: &str = "O(1), or O(N) for N keys looked at in vain";

pub const TABLE: &[Command] = &[
    Command::new("BLMOVE", "source destination LEFT | RIGHT LEFT | RIGHT timeout", blocking::blmove)
        .arity(6)
        .grow()
        .flag(flags::BLOCKING)
        .keys(MOVE)
        .since("6.2.0")
        .about("Moves an element from one list to another and returns it; waits for one if there is none."),
    Command::new("BLMPOP", "timeout numkeys key [key ...] LEFT | RIGHT [COUNT count]", blocking::blmpop)
        .arity(-5)
        .write()
        .flag(flags::BLOCKING)
        .keys(&[KeySpec::count(2, 1, "RW access delete")])
        .since("7.0.0")
        .about("Takes elements from the first of several lists that has any; waits if none has.")
        .complexity("O(N+M), N being the number of keys and M that of elements returned"),
    Command::new("BLPOP", "key [key ...] timeout", blocking::blpop)
        .arity(-3)
        .write()
        .flag(flags::BLOCKING)
        .keys(POP_ANY)
        .since("2.0.0")
        .about("Takes the first element of the first of several lists that has one; waits if none has.")
        .complexity(MAY_WAIT),
    Command::new("BRPOP", "key [key ...] timeout", blocking::brpop)
        .arity(-3)
        .write()
        .flag(flags::BLOCKING)
        .keys(POP_ANY)
        .since("2.0.0")
        .about("Takes the last element of the first of several lists that has one; waits if none has.")
        .complexity(MAY_WAIT),
    Command::new("BRPOPLPUSH", "source destination timeout", blocking::brpoplpush)
        .arity(4)
        .grow()
        .flag(flags::BLOCKING)
        .keys(MOVE)
        .since("2.2.0")
        .about(
            "Moves the last element of a list before all others of another; waits for one if there is none.",
        ),
    Command::new("LINDEX", "key index", lindex)
        .arity(3)
        .read()
        .keys(READ)
        .about("Returns the element at an index of a list.")
        .complexity("O(N), N being the nodes on the way to the index"),
    Command::new("LINSERT", "key BEFORE | AFTER pivot element", linsert)
        .arity(5)
        .grow()
        .keys(INSERT)
        .since("2.2.0")
        .about("Puts an element before or behind the first one of a list that equals the pivot.")
        .complexity("O(N), N being the elements before the pivot"),
    Command::new("LLEN", "key", llen)
        .arity(2)
        .read()
        .fast()
        .keys(&[KeySpec::at(1, "RO")])
        .about("Returns how many elements a list has."),
    Command::new("LMOVE", "source destination LEFT | RIGHT LEFT | RIGHT", pop::lmove)
        .arity(5)
        .grow()
        .keys(MOVE)
        .since("6.2.0")
        .about("Takes an element from an end of one list, puts it to an end of another, and returns it."),
    Command::new("LMPOP", "numkeys key [key ...] LEFT | RIGHT [COUNT count]", pop::lmpop)
        .arity(-4)
        .write()
        .keys(&[KeySpec::count(1, 1, "RW access delete")])
        .since("7.0.0")
        .about("Takes elements from the first of several lists that has any.")
        .complexity("O(N+M), N being the number of keys and M that of elements returned"),
    Command::new("LPOP", "key [count]", pop::lpop)
        .arity(-2)
        .write()
        .fast()
        .keys(POP)
        .about("Takes the first elements from a list.")
        .complexity(EACH_POPPED),
    Command::new("LPOS", "key element [RANK rank] [COUNT num-matches] [MAXLEN len]", search::lpos)
        .arity(-3)
        .read()
        .keys(READ)
        .since("6.0.6")
        .about("Returns the indexes of elements of a list that equal the one given.")
        .complexity("O(N), N being the elements looked at"),
    Command::new("LPUSH", "key element [element ...]", lpush)
        .arity(-3)
        .grow()
        .fast()
        .keys(INSERT)
        .about("Puts elements before all others of a list, which is made if missing.")
        .complexity(EACH_PUSHED),
    Command::new("LPUSHX", "key element [element ...]", lpushx)
        .arity(-3)
        .grow()
        .fast()
        .keys(INSERT)
        .since("2.2.0")
        .about("Puts elements before all others of a list, if it exists.")
        .complexity(EACH_PUSHED),
    Command::new("LRANGE", "key start stop", lrange)
        .arity(4)
        .read()
        .keys(READ)
        .about("Returns a part of a list.")
        .complexity("O(S+N), S being the nodes on the way to the first element and N the elements returned"),
    Command::new("LREM", "key count element", search::lrem)
        .arity(4)
        .write()
        .keys(DELETE)
        .about("Removes elements of a list that equal the one given.")
        .complexity("O(N), N being the length of the list"),
    Command::new("LSET", "key index element", lset)
        .arity(4)
        .grow()
        .keys(&[KeySpec::at(1, "RW update")])
        .about("Puts another element in the place of one.")
        .complexity("O(N), N being the nodes on the way to the index"),
    Command::new("LTRIM", "key start stop", ltrim)
        .arity(4)
        .write()
        .keys(DELETE)
        .about("Removes all of a list but the part given.")
        .complexity("O(N), N being the nodes removed, which are freed later"),
    Command::new("RPOP", "key [count]", pop::rpop)
        .arity(-2)
        .write()
        .fast()
        .keys(POP)
        .about("Takes the last elements from a list.")
        .complexity(EACH_POPPED),
    Command::new("RPOPLPUSH", "source destination", pop::rpoplpush)
        .arity(3)
        .grow()
        .keys(MOVE)
        .since("1.2.0")
        .about("Takes the last element of one list, puts it before all others of another, and returns it."),
    Command::new("RPUSH", "key element [element ...]", rpush)
        .arity(-3)
        .grow()
        .fast()
        .keys(INSERT)
        .about("Puts elements behind all others of a list, which is made if missing.")
        .complexity(EACH_PUSHED),
    Command::new("RPUSHX", "key element [element ...]", rpushx)
        .arity(-3)
        .grow()
        .fast()
        .keys(INSERT)
        .since("2.2.0")
        .about("Puts elements behind all others of a list, if it exists.")
        .complexity(EACH_PUSHED),
];

/// Replies with an element as a string.
#[inline]
fn reply(out: &mut Out, element: Element) {
    match element {
        Element::Int(value) => out.bulk_int(value),
        Element::Bytes(bytes) => out.bulk(bytes),
    }
}

fn integer(arg: &[u8]) -> Result<i64, Error> {
    parse_i64(arg).ok_or(Error::NOT_AN_INTEGER)
}

/// LEFT or RIGHT.
fn side(args: Args, index: usize) -> Result<Side, Error> {
    if args.is(index, "left") {
        Ok(Side::Left)
    } else if args.is(index, "right") {
        Ok(Side::Right)
    } else {
        Err(Error::SYNTAX)
    }
}

/// The range of indexes between `start` and `stop`, both included and negative from the end; empty if there is none.
fn range(start: i64, stop: i64, len: usize) -> (usize, usize) {
    let len = len as i64;
    let from_front = |index: i64| if index < 0 { index.saturating_add(len) } else { index };
    let (start, stop) = (from_front(start).max(0), from_front(stop).min(len - 1));
    if start > stop { (0, 0) } else { (start as usize, stop as usize + 1) }
}

fn lpush(cx: &mut Context, args: Args) -> Result<(), Error> {
    push(cx, args, Side::Left, true)
}

fn lpushx(cx: &mut Context, args: Args) -> Result<(), Error> {
    push(cx, args, Side::Left, false)
}

fn rpush(cx: &mut Context, args: Args) -> Result<(), Error> {
    push(cx, args, Side::Right, true)
}

fn rpushx(cx: &mut Context, args: Args) -> Result<(), Error> {
    push(cx, args, Side::Right, false)
}

fn push(cx: &mut Context, args: Args, side: Side, make: bool) -> Result<(), Error> {
    let (elements, limits) = (args.from(2), cx.limits());
    let len = cx.change(args.at(1), make, |list: &mut List, _| {
        let bytes = elements.iter().map(<[u8]>::len).sum();
        list.prepare(bytes, elements.len(), &limits);
        elements.iter().for_each(|element| list.push_prepared(side, element));
        (list.view().len(), true)
    })?;
    if len.is_some() {
        cx.count_elements(args.at(1), elements.len());
        let event = if side == Side::Left { "lpush" } else { "rpush" };
        cx.notify(Events::LIST, event, args.at(1));
    }
    cx.out.integer(len.unwrap_or(0) as i64);
    Ok(())
}

fn llen(cx: &mut Context, args: Args) -> Result<(), Error> {
    let (view, out) = cx.view::<List>(args.at(1))?;
    out.integer(view.map_or(0, |view| view.len()) as i64);
    Ok(())
}

fn lindex(cx: &mut Context, args: Args) -> Result<(), Error> {
    let (view, out) = cx.view::<List>(args.at(1))?;
    let element = match view {
        Some(view) => view.get(integer(args.at(2))?),
        None => None,
    };
    match element {
        Some(element) => reply(out, element),
        None => out.null(),
    }
    Ok(())
}

fn lrange(cx: &mut Context, args: Args) -> Result<(), Error> {
    let (start, stop) = (integer(args.at(2))?, integer(args.at(3))?);
    let (view, out) = cx.view::<List>(args.at(1))?;
    let Some(view) = view else {
        out.array(0);
        return Ok(());
    };
    let (from, to) = range(start, stop, view.len());
    out.array(to - from);
    view.slice(from, to).for_each(|element| reply(out, element));
    Ok(())
}

fn lset(cx: &mut Context, args: Args) -> Result<(), Error> {
    let limits = cx.limits();
    let outcome = cx.change(args.at(1), false, |list: &mut List, _| match integer(args.at(2)) {
        Ok(index) => {
            let found = list.set(index, args.at(3), &limits);
            (if found { Ok(()) } else { Err(Error::OUT_OF_RANGE) }, found)
        }
        Err(error) => (Err(error), false),
    })?;
    outcome.ok_or(Error::NO_SUCH_KEY)??;
    cx.notify(Events::LIST, "lset", args.at(1));
    cx.out.ok();
    Ok(())
}

fn linsert(cx: &mut Context, args: Args) -> Result<(), Error> {
    let after = args.is(2, "after");
    if !after && !args.is(2, "before") {
        return Err(Error::SYNTAX);
    }
    let limits = cx.limits();
    let len = cx.change(args.at(1), false, |list: &mut List, _| {
        let found = list.insert(args.at(3), after, args.at(4), &limits);
        (if found { list.view().len() as i64 } else { -1 }, found)
    })?;
    if len.is_some_and(|len| len > 0) {
        cx.notify(Events::LIST, "linsert", args.at(1));
    }
    cx.out.integer(len.unwrap_or(0));
    Ok(())
}

fn ltrim(cx: &mut Context, args: Args) -> Result<(), Error> {
    let (start, stop) = (integer(args.at(2))?, integer(args.at(3))?);
    let (key, limits) = (args.at(1), cx.limits());
    let trimmed = cx.change(key, false, |list: &mut List, _| {
        let len = list.view().len();
        let (from, to) = range(start, stop, len);
        ((len - (to - from), list.trim(from, to, &limits)), true)
    })?;
    if let Some((removed, dropped)) = trimmed {
        // To remove nothing is a change to those who watch the key, but is not counted.
        cx.count_beyond(key, removed as i64 - 1);
        cx.notify_shrunk(Events::LIST, "ltrim", key);
        if let Some(dropped) = dropped {
            cx.throw(key, dropped);
        }
    }
    cx.out.ok();
    Ok(())
}
