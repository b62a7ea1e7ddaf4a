//! Sets: SADD, SPOP, SINTER and their family.

mod algebra;
mod random;
#[cfg(test)]
mod tests;

use super::generic::scan::{self, parse_cursor};
use super::{Command, Context, Error, KeySpec};
use crate::client::Args;
use crate::config::Events;
use crate::resp::Out;
use crate::shard::Type;
use crate::types::Set;
use crate::types::listpack::Element;
use crate::types::set::SetView;

const READ: &str = "RO access";
const KEY_READ: &[KeySpec] = &[KeySpec::at(1, READ)];
const KEY_LOOK: &[KeySpec] = &[KeySpec::at(1, "RO")];
const KEY_POP: &[KeySpec] = &[KeySpec::at(1, "RW access delete")];
const KEYS_READ: &[KeySpec] = &[KeySpec::range(1, -1, 1, READ)];
const STORE_KEYS: &[KeySpec] = &[KeySpec::at(1, "OW update"), KeySpec::range(2, -1, 1, READ)];

const ANY_ORDER: &[&str] = &["nondeterministic_output_order"];
const VARIES: &[&str] = &["nondeterministic_output"];
const PER_MEMBER: &str = "O(N), N being the number of members named";
const INTERSECTION: &str = "O(N*M), N being the size of the smallest set, M the number of sets";
const ALL_MEMBERS: &str = "O(N), N being the number of members of all sets";

#[rustfmt::skip]
pub const TABLE: &[Command] = &[
    Command::new("SADD", "key member [member ...]", sadd).arity(-3).grow().fast().keys(&[KeySpec::at(1, "RW insert")])
        .about("Adds members to a set, which is made if missing.").complexity(PER_MEMBER),
    Command::new("SCARD", "key", scard).arity(2).read().fast().keys(KEY_LOOK).about("Returns the number of members of a set."),
    Command::new("SDIFF", "key [key ...]", algebra::sdiff).arity(-2).read().keys(KEYS_READ).tips(ANY_ORDER)
        .about("Returns the members of the first set that no other has.").complexity(ALL_MEMBERS),
    Command::new("SDIFFSTORE", "destination key [key ...]", algebra::sdiffstore).arity(-3).grow().keys(STORE_KEYS)
        .about("Stores the members of the first set that no other has.").complexity(ALL_MEMBERS),
    Command::new("SINTER", "key [key ...]", algebra::sinter).arity(-2).read().keys(KEYS_READ).tips(ANY_ORDER)
        .about("Returns the members that all sets have.").complexity(INTERSECTION),
    Command::new("SINTERCARD", "numkeys key [key ...] [LIMIT limit]", algebra::sintercard).arity(-3).read()
        .keys(&[KeySpec::count(1, 1, READ)]).since("7.0.0")
        .about("Counts the members that all sets have, up to a limit.").complexity(INTERSECTION),
    Command::new("SINTERSTORE", "destination key [key ...]", algebra::sinterstore).arity(-3).grow().keys(STORE_KEYS)
        .about("Stores the members that all sets have.").complexity(INTERSECTION),
    Command::new("SISMEMBER", "key member", sismember).arity(3).read().fast().keys(KEY_LOOK)
        .about("Tells whether a set has a member."),
    Command::new("SMEMBERS", "key", smembers).arity(2).read().keys(KEY_READ).tips(ANY_ORDER)
        .about("Returns all members of a set.").complexity("O(N), N being the number of members"),
    Command::new("SMISMEMBER", "key member [member ...]", smismember).arity(-3).read().fast().keys(KEY_READ).since("6.2.0")
        .about("Tells of several members whether a set has them.").complexity(PER_MEMBER),
    Command::new("SMOVE", "source destination member", smove).arity(4).write().fast()
        .keys(&[KeySpec::at(1, "RW access delete"), KeySpec::at(2, "RW insert")])
        .about("Moves a member from one set to another."),
    Command::new("SPOP", "key [count]", random::spop).arity(-2).write().fast().keys(KEY_POP).tips(VARIES)
        .about("Takes one or several members out by chance, and returns them.").complexity("O(N), N being the number of members taken"),
    Command::new("SRANDMEMBER", "key [count]", random::srandmember).arity(-2).read().keys(KEY_READ).tips(VARIES)
        .about("Returns one or several members by chance.").complexity("O(N), N being the number of members returned"),
    Command::new("SREM", "key member [member ...]", srem).arity(-3).write().fast().keys(&[KeySpec::at(1, "RW delete")])
        .about("Removes members from a set, and the set with its last one.").complexity(PER_MEMBER),
    Command::new("SSCAN", "key cursor [MATCH pattern] [COUNT count]", sscan).arity(-3).read().keys(KEY_READ).since("2.8.0")
        .tips(VARIES).about("Walks over the members of a set, some at a call.").complexity("O(1) for each call, O(N) for a whole walk"),
    Command::new("SUNION", "key [key ...]", algebra::sunion).arity(-2).read().keys(KEYS_READ).tips(ANY_ORDER)
        .about("Returns the members that any of the sets has.").complexity(ALL_MEMBERS),
    Command::new("SUNIONSTORE", "destination key [key ...]", algebra::sunionstore).arity(-3).grow().keys(STORE_KEYS)
        .about("Stores the members that any of the sets has.").complexity(ALL_MEMBERS),
];

/// Members that are looked up together where there are many.
const WINDOW: usize = 16;

fn reply_member(out: &mut Out, member: Element) {
    match member {
        Element::Int(value) => out.bulk_int(value),
        Element::Bytes(bytes) => out.bulk(bytes),
    }
}

fn reply_all(out: &mut Out, set: SetView) {
    set.for_each(|member| reply_member(out, member));
}

/// Calls `change` with each member, with what it needs from memory underway.
fn for_members(set: &mut Set, members: Args, mut change: impl FnMut(&mut Set, &[u8])) {
    for (at, member) in members.iter().enumerate() {
        if at.is_multiple_of(WINDOW) && members.len() > at + 1 {
            set.prefetch(members.iter().skip(at).take(WINDOW));
        }
        change(set, member);
    }
}

fn sadd(cx: &mut Context, args: Args) -> Result<(), Error> {
    let limits = cx.limits();
    let members = args.from(2);
    let added = cx.change(args.at(1), true, |set: &mut Set, _| {
        set.expect(members.at(0), members.len(), &limits);
        let mut added = 0;
        for_members(set, members, |set, member| added += usize::from(set.add(member, &limits)));
        (added, added > 0)
    })?;
    let added = added.unwrap_or(0);
    if added > 0 {
        cx.count_elements(args.at(1), added);
        cx.notify(Events::SET, "sadd", args.at(1));
    }
    cx.out.integer(added as i64);
    Ok(())
}

fn srem(cx: &mut Context, args: Args) -> Result<(), Error> {
    let removed = cx.change(args.at(1), false, |set: &mut Set, _| {
        let mut removed = 0;
        for_members(set, args.from(2), |set, member| removed += usize::from(set.remove(member)));
        (removed, removed > 0)
    })?;
    let removed = removed.unwrap_or(0);
    if removed > 0 {
        cx.count_elements(args.at(1), removed);
        cx.notify_shrunk(Events::SET, "srem", args.at(1));
    }
    cx.out.integer(removed as i64);
    Ok(())
}

fn scard(cx: &mut Context, args: Args) -> Result<(), Error> {
    let (set, out) = cx.view::<Set>(args.at(1))?;
    out.integer(set.map_or(0, SetView::len) as i64);
    Ok(())
}

fn sismember(cx: &mut Context, args: Args) -> Result<(), Error> {
    let (set, out) = cx.view::<Set>(args.at(1))?;
    out.integer(set.is_some_and(|set| set.contains(args.at(2))) as i64);
    Ok(())
}

fn smismember(cx: &mut Context, args: Args) -> Result<(), Error> {
    let (set, out) = cx.view::<Set>(args.at(1))?;
    let members = args.from(2);
    out.array(members.len());
    for member in members.iter() {
        out.integer(set.is_some_and(|set| set.contains(member)) as i64);
    }
    Ok(())
}

fn smembers(cx: &mut Context, args: Args) -> Result<(), Error> {
    let (set, out) = cx.view::<Set>(args.at(1))?;
    out.set(set.map_or(0, SetView::len));
    if let Some(set) = set {
        reply_all(out, set);
    }
    Ok(())
}

fn smove(cx: &mut Context, args: Args) -> Result<(), Error> {
    let (source, destination, member) = (args.at(1), args.at(2), args.at(3));
    let kind = |cx: &mut Context, key| cx.edit(key).map(|entry| entry.kind());
    let Some(kind_of_source) = kind(cx, source) else {
        cx.out.integer(0);
        return Ok(());
    };
    if kind_of_source != Type::Set || kind(cx, destination).is_some_and(|kind| kind != Type::Set) {
        return Err(Error::WRONG_TYPE);
    }
    if source == destination {
        let there = cx.look::<Set>(source)?.is_some_and(|set| set.contains(member));
        cx.out.integer(there as i64);
        return Ok(());
    }
    let limits = cx.limits();
    let removed = cx.change(source, false, |set: &mut Set, _| {
        let removed = set.remove(member);
        (removed, removed)
    })?;
    let moved = removed == Some(true);
    if moved {
        cx.notify_shrunk(Events::SET, "srem", source);
        let added = cx.change(destination, true, |set: &mut Set, _| {
            set.expect(member, 1, &limits);
            let added = set.add(member, &limits);
            (added, added)
        })?;
        if added == Some(true) {
            cx.notify(Events::SET, "sadd", destination);
        }
    }
    cx.out.integer(moved as i64);
    Ok(())
}

fn sscan(cx: &mut Context, args: Args) -> Result<(), Error> {
    let cursor = parse_cursor(args.at(2)).ok_or(Error::INVALID_CURSOR)?;
    let (set, out) = cx.view::<Set>(args.at(1))?;
    let Some(set) = set else {
        let nothing = out.deferred();
        out.finish_scan(nothing, 0, 0);
        return Ok(());
    };
    let options = scan::Options::of_elements(args.from(3))?;
    let (head, mut count, mut next) = (out.deferred(), 0, 0);
    let mut visit = |member: Element| {
        if member.with(|text| options.matches(text)) {
            reply_member(out, member);
            count += 1;
        }
    };
    match set {
        SetView::Table(table) => {
            next = scan::walk_elements(table, cursor, options.count, &mut |entry| {
                visit(Element::Bytes(entry.key()));
            });
        }
        packed => packed.for_each(visit),
    }
    out.finish_scan(head, next, count);
    Ok(())
}
