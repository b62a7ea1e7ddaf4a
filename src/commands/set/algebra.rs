//! What several sets have in common, together or over: SINTER, SUNION, SDIFF and their kin.

use std::ops::ControlFlow;

use super::super::{Context, Error};
use super::reply_member;
use crate::base::number::parse_i64;
use crate::client::Args;
use crate::config::Events;
use crate::resp::Out;
use crate::types::set::SetView;
use crate::types::set::algebra::{self, Outcome, Views};
use crate::types::{Collection, Set};

/// Sets `destination`, or deletes it if the result is empty, and replies with the size.
fn store(cx: &mut Context, destination: &[u8], result: Set, event: &'static str) {
    let len = result.view().len();
    cx.store(destination, result, Events::SET, event);
    cx.out.integer(len as i64);
}

/// Replies with members whose number turns out while they are written; `write` returns it.
fn reply_members(out: &mut Out, write: impl FnOnce(&mut Out) -> usize) {
    let header = out.deferred();
    let count = write(out);
    out.finish_set(header, count);
}

/// All sets, or None if one is missing, so that nothing is in all of them.
fn all<'a>(views: impl IntoIterator<Item = Option<SetView<'a>>>) -> Option<Views<'a>> {
    views.into_iter().collect()
}

pub fn sinter(cx: &mut Context, args: Args) -> Result<(), Error> {
    let (views, out) = cx.views::<Set>(args.from(1))?;
    let Some(sets) = all(views) else {
        out.set(0);
        return Ok(());
    };
    reply_members(out, |out| {
        let mut count = 0;
        algebra::intersect(sets, |member| {
            reply_member(out, member);
            count += 1;
            ControlFlow::Continue(())
        });
        count
    });
    Ok(())
}

pub fn sintercard(cx: &mut Context, args: Args) -> Result<(), Error> {
    let count =
        parse_i64(args.at(1)).and_then(|count| usize::try_from(count).ok()).filter(|&count| count > 0);
    let count = count.ok_or(Error::new("ERR numkeys should be greater than 0"))?;
    if count > args.len() - 2 {
        return Err(Error::new("ERR Number of keys can't be greater than number of args"));
    }
    let limit = limit(args.from(2 + count))?;
    let (views, out) = cx.views::<Set>(args.from(2).first(count))?;
    let mut found = 0;
    if let Some(sets) = all(views) {
        algebra::intersect(sets, |_| {
            found += 1;
            if found == limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
    }
    out.integer(found);
    Ok(())
}

/// The LIMIT of SINTERCARD, 0 for none.
fn limit(options: Args) -> Result<i64, Error> {
    let mut limit = 0;
    for at in (0..options.len()).step_by(2) {
        let value = options.get(at + 1).filter(|_| options.is(at, "limit")).ok_or(Error::SYNTAX)?;
        limit =
            parse_i64(value).filter(|&limit| limit >= 0).ok_or(Error::new("ERR LIMIT can't be negative"))?;
    }
    Ok(limit)
}

pub fn sinterstore(cx: &mut Context, args: Args) -> Result<(), Error> {
    let limits = cx.limits();
    let sets = all(cx.views::<Set>(args.from(2))?.0);
    let result = sets.map_or(Set::new(Vec::new()), |sets| algebra::intersection(sets, &limits));
    store(cx, args.at(1), result, "sinterstore");
    Ok(())
}

pub fn sunion(cx: &mut Context, args: Args) -> Result<(), Error> {
    let limits = cx.limits();
    let (views, out) = cx.views::<Set>(args.from(1))?;
    reply_outcome(out, &algebra::union_parts(&views.into_iter().flatten().collect(), &limits));
    Ok(())
}

pub fn sunionstore(cx: &mut Context, args: Args) -> Result<(), Error> {
    let limits = cx.limits();
    let result = {
        let sets: Views = cx.views::<Set>(args.from(2))?.0.into_iter().flatten().collect();
        algebra::unite(&sets, Set::new(Vec::new()), &limits)
    };
    store(cx, args.at(1), result, "sunionstore");
    Ok(())
}

pub fn sdiff(cx: &mut Context, args: Args) -> Result<(), Error> {
    let limits = cx.limits();
    let (views, out) = cx.views::<Set>(args.from(1))?;
    let outcome = algebra::subtract(&views, &limits, false);
    reply_outcome(out, &outcome);
    Ok(())
}

pub fn sdiffstore(cx: &mut Context, args: Args) -> Result<(), Error> {
    let limits = cx.limits();
    let result = {
        let (sets, _) = cx.views::<Set>(args.from(2))?;
        algebra::subtract(&sets, &limits, true).into_set(&limits)
    };
    store(cx, args.at(1), result, "sdiffstore");
    Ok(())
}

fn reply_outcome(out: &mut Out, outcome: &Outcome) {
    reply_members(out, |out| {
        let mut count = 0;
        outcome.for_each(|member| {
            reply_member(out, member);
            count += 1;
        });
        count
    });
}
