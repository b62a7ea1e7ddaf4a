//! Ranges by rank, score and name: returned, stored, counted, removed.

use super::super::{Context, Error};
use super::{lex_range, rank_range, score_range, write_header, write_member};
use crate::base::number::parse_i64;
use crate::client::Args;
use crate::config::Events;
use crate::types::Zset;
use crate::types::zset::{Gathered, Range, ZsetView};
use std::ops;

/// How the bounds are meant.
#[derive(Clone, Copy, PartialEq)]
enum By {
    Rank,
    Score,
    Lex,
}

impl By {
    fn range<'a>(self, min: &'a [u8], max: &'a [u8]) -> Result<Range<'a>, Error> {
        match self {
            By::Rank => rank_range(min, max),
            By::Score => score_range(min, max),
            By::Lex => lex_range(min, max),
        }
    }
}

/// What a command's name says already; what is None, an option may say.
#[derive(Clone, Copy)]
struct Fixed {
    by: Option<By>,
    reverse: Option<bool>,
    /// The result is stored, so there are no scores to be shown.
    stores: bool,
}

impl Fixed {
    const fn new(by: By, reverse: bool) -> Self {
        Fixed { by: Some(by), reverse: Some(reverse), stores: false }
    }
}

/// Which members are asked for, in which order.
struct Query<'a> {
    range: Range<'a>,
    reverse: bool,
    offset: i64,
    /// Negative: all of them.
    count: i64,
    with_scores: bool,
}

impl<'a> Query<'a> {
    /// `bounds` begins with the two bounds; the options follow.
    fn parse(bounds: Args<'a>, fixed: Fixed) -> Result<Self, Error> {
        let (mut by, mut reverse) = (fixed.by, fixed.reverse);
        let (mut offset, mut count, mut with_scores) = (0, -1, false);
        let mut at = 2;
        while at < bounds.len() {
            match () {
                () if bounds.is(at, "withscores") && !fixed.stores => with_scores = true,
                () if bounds.is(at, "limit") && bounds.len() > at + 2 => {
                    offset = parse_i64(bounds.at(at + 1)).ok_or(Error::NOT_AN_INTEGER)?;
                    count = parse_i64(bounds.at(at + 2)).ok_or(Error::NOT_AN_INTEGER)?;
                    at += 2;
                }
                () if bounds.is(at, "rev") && reverse.is_none() => reverse = Some(true),
                () if bounds.is(at, "bylex") && by.is_none() => by = Some(By::Lex),
                () if bounds.is(at, "byscore") && by.is_none() => by = Some(By::Score),
                () => return Err(Error::SYNTAX),
            }
            at += 1;
        }
        let (by, reverse) = (by.unwrap_or(By::Rank), reverse.unwrap_or(false));
        if count != -1 && by == By::Rank {
            return Err(Error::new(
                "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
            ));
        }
        if with_scores && by == By::Lex {
            return Err(Error::new("ERR syntax error, WITHSCORES not supported in combination with BYLEX"));
        }
        let swapped = reverse && by != By::Rank;
        let (min, max) = if swapped { (bounds.at(1), bounds.at(0)) } else { (bounds.at(0), bounds.at(1)) };
        let range = by.range(min, max)?;
        let offset = if by == By::Rank { 0 } else { offset };
        Ok(Query { range, reverse, offset, count, with_scores })
    }

    /// The ranks of the members asked for, from the lowest score.
    fn ranks(&self, view: ZsetView) -> ops::Range<usize> {
        let all = view.ranks(&self.range);
        if self.reverse && matches!(self.range, Range::Rank(..)) {
            // Ranks were counted from the other end.
            let len = view.len();
            return len - all.end.min(len)..len - all.start.min(len);
        }
        let Ok(skipped) = usize::try_from(self.offset) else { return self.ranks_from_behind(view, all) };
        let left = all.len().saturating_sub(skipped);
        let taken = usize::try_from(self.count).map_or(left, |count| count.min(left));
        match () {
            () if taken == 0 => 0..0,
            () if self.reverse => all.end - skipped - taken..all.end - skipped,
            () => all.start + skipped..all.start + skipped + taken,
        }
    }
}

impl Query<'_> {
    /// A negative offset finds nothing in a packed set. In a large one it counts from the other end of the range, in Redis and
    /// here.
    fn ranks_from_behind(&self, view: ZsetView, all: ops::Range<usize>) -> ops::Range<usize> {
        let left = usize::try_from(self.offset.unsigned_abs()).unwrap_or(usize::MAX);
        if matches!(view, ZsetView::Packed(_)) || left > all.len() {
            return 0..0;
        }
        let taken = usize::try_from(self.count).map_or(left, |count| count.min(left));
        if self.reverse {
            all.start + left - taken..all.start + left
        } else {
            all.end - left..all.end - left + taken
        }
    }
}

fn reply_range(cx: &mut Context, args: Args, fixed: Fixed) -> Result<(), Error> {
    let query = Query::parse(args.from(2), fixed)?;
    let (view, out) = cx.view::<Zset>(args.at(1))?;
    let Some(view) = view else {
        out.array(0);
        return Ok(());
    };
    let ranks = query.ranks(view);
    write_header(out, ranks.len(), query.with_scores);
    view.for_range(ranks, query.reverse, |member, score| write_member(out, member, score, query.with_scores));
    Ok(())
}

pub fn zrange(cx: &mut Context, args: Args) -> Result<(), Error> {
    reply_range(cx, args, Fixed { by: None, reverse: None, stores: false })
}

pub fn zrevrange(cx: &mut Context, args: Args) -> Result<(), Error> {
    reply_range(cx, args, Fixed::new(By::Rank, true))
}

pub fn zrangebyscore(cx: &mut Context, args: Args) -> Result<(), Error> {
    reply_range(cx, args, Fixed::new(By::Score, false))
}

pub fn zrevrangebyscore(cx: &mut Context, args: Args) -> Result<(), Error> {
    reply_range(cx, args, Fixed::new(By::Score, true))
}

pub fn zrangebylex(cx: &mut Context, args: Args) -> Result<(), Error> {
    reply_range(cx, args, Fixed::new(By::Lex, false))
}

pub fn zrevrangebylex(cx: &mut Context, args: Args) -> Result<(), Error> {
    reply_range(cx, args, Fixed::new(By::Lex, true))
}

pub fn zrangestore(cx: &mut Context, args: Args) -> Result<(), Error> {
    let query = Query::parse(args.from(3), Fixed { by: None, reverse: None, stores: true })?;
    let limits = cx.limits();
    let (view, _) = cx.view::<Zset>(args.at(2))?;
    let mut found = Gathered::default();
    if let Some(view) = view {
        view.for_range(query.ranks(view), false, |member, score| {
            member.with(|member| found.add(member, score));
        });
    }
    let len = found.len();
    cx.store(args.at(1), Zset::gathered(found, &limits), Events::ZSET, "zrangestore");
    cx.out.integer(len as i64);
    Ok(())
}

fn reply_count(cx: &mut Context, args: Args, by: By) -> Result<(), Error> {
    let range = by.range(args.at(2), args.at(3))?;
    let (view, out) = cx.view::<Zset>(args.at(1))?;
    out.integer(view.map_or(0, |view| view.ranks(&range).len()) as i64);
    Ok(())
}

pub fn zcount(cx: &mut Context, args: Args) -> Result<(), Error> {
    reply_count(cx, args, By::Score)
}

pub fn zlexcount(cx: &mut Context, args: Args) -> Result<(), Error> {
    reply_count(cx, args, By::Lex)
}

fn remove_range(cx: &mut Context, args: Args, by: By) -> Result<(), Error> {
    let range = by.range(args.at(2), args.at(3))?;
    let removed = cx.change(args.at(1), false, |zset: &mut Zset, _| {
        let ranks = crate::types::Collection::view(zset).ranks(&range);
        let removed = ranks.len();
        zset.remove_range(ranks);
        (removed, removed > 0)
    })?;
    let removed = removed.unwrap_or(0);
    if removed > 0 {
        cx.count_elements(args.at(1), removed);
        let event = match by {
            By::Rank => "zremrangebyrank",
            By::Score => "zremrangebyscore",
            By::Lex => "zremrangebylex",
        };
        cx.notify_shrunk(Events::ZSET, event, args.at(1));
    }
    cx.out.integer(removed as i64);
    Ok(())
}

pub fn zremrangebyrank(cx: &mut Context, args: Args) -> Result<(), Error> {
    remove_range(cx, args, By::Rank)
}

pub fn zremrangebyscore(cx: &mut Context, args: Args) -> Result<(), Error> {
    remove_range(cx, args, By::Score)
}

pub fn zremrangebylex(cx: &mut Context, args: Args) -> Result<(), Error> {
    remove_range(cx, args, By::Lex)
}
