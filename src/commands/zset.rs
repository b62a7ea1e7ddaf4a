//! Sorted sets: ZADD, ZRANGE and their family.

pub(super) mod add;
mod algebra;
mod blocking;
mod pick;
mod range;
mod scan;
#[cfg(test)]
mod tests;

use super::{Command, Context, Error, KeySpec, flags};
use crate::base::number::{parse_f64, parse_i64};
use crate::client::Args;
use crate::config::Events;
use crate::resp::Out;
use crate::types::listpack::Element;
use crate::types::zset::{LexRange, Range, ScoreRange};
use crate::types::{Collection, Zset};

const READ: &str = "RO access";
const KEY_READ: &[KeySpec] = &[KeySpec::at(1, READ)];
const KEY_DELETE: &[KeySpec] = &[KeySpec::at(1, "RW delete")];
const KEY_POP: &[KeySpec] = &[KeySpec::at(1, "RW access delete")];
const KEYS_READ: &[KeySpec] = &[KeySpec::count(1, 1, READ)];
const KEYS_STORE: &[KeySpec] = &[KeySpec::at(1, "OW update"), KeySpec::count(2, 1, READ)];
const LOG: &str = "O(log(N)), N being the number of members";
const LOG_AND_FOUND: &str = "O(log(N)+M), N being the number of members and M of those found";
const ALGEBRA: &str =
    "O(N*K+M*log(M)), N being the members of the smallest set, K the number of sets, M of results";
const RANDOM: &[&str] = &["nondeterministic_output"];

pub const TABLE: &[Command] = &[
    Command::new("BZMPOP", "timeout numkeys key [key ...] <MIN | MAX> [COUNT count]", blocking::bzmpop)
        .arity(-5)
        .write()
        .flag(flags::BLOCKING)
        .keys(&[KeySpec::count(2, 1, "RW access delete")])
        .since("7.0.0")
        .about(
            "Takes members from an end of the first of several sorted sets that has any; waits if none has.",
        )
        .complexity("O(K)+O(M*log(N)), K being the number of keys, M the members taken, N those of the set"),
    Command::new("BZPOPMAX", "key [key ...] timeout", blocking::bzpopmax)
        .arity(-3)
        .write()
        .fast()
        .flag(flags::BLOCKING)
        .keys(&[KeySpec::range(1, -2, 1, "RW access delete")])
        .since("5.0.0")
        .about(
            "Takes the highest member of the first of several sorted sets that has one; waits if none has.",
        )
        .complexity("O(log(N)), N being the number of members"),
    Command::new("BZPOPMIN", "key [key ...] timeout", blocking::bzpopmin)
        .arity(-3)
        .write()
        .fast()
        .flag(flags::BLOCKING)
        .keys(&[KeySpec::range(1, -2, 1, "RW access delete")])
        .since("5.0.0")
        .about("Takes the lowest member of the first of several sorted sets that has one; waits if none has.")
        .complexity("O(log(N)), N being the number of members"),
    Command::new("ZADD", "key [NX | XX] [GT | LT] [CH] [INCR] score member [score member ...]", add::zadd)
        .arity(-4)
        .grow()
        .fast()
        .keys(&[KeySpec::at(1, "RW update")])
        .since("1.2.0")
        .about("Adds members with scores, or changes their scores.")
        .complexity("O(log(N)) for each member, N being their number"),
    Command::new("ZCARD", "key", zcard)
        .arity(2)
        .read()
        .fast()
        .keys(&[KeySpec::at(1, "RO")])
        .since("1.2.0")
        .about("Counts the members."),
    Command::new("ZCOUNT", "key min max", range::zcount)
        .arity(4)
        .read()
        .fast()
        .keys(KEY_READ)
        .since("2.0.0")
        .about("Counts the members with scores in a range.")
        .complexity(LOG),
    Command::new("ZDIFF", "numkeys key [key ...] [WITHSCORES]", algebra::zdiff)
        .arity(-3)
        .read()
        .keys(KEYS_READ)
        .since("6.2.0")
        .about("Returns the members that only the first set has.")
        .complexity(ALGEBRA),
    Command::new("ZDIFFSTORE", "destination numkeys key [key ...]", algebra::zdiffstore)
        .arity(-4)
        .grow()
        .keys(KEYS_STORE)
        .since("6.2.0")
        .about("Stores the members that only the first set has.")
        .complexity(ALGEBRA),
    Command::new("ZINCRBY", "key increment member", add::zincrby)
        .arity(4)
        .grow()
        .fast()
        .keys(&[KeySpec::at(1, "RW access update")])
        .since("1.2.0")
        .about("Adds to the score of a member; a missing one counts as 0.")
        .complexity(LOG),
    Command::new(
        "ZINTER",
        "numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE <SUM | MIN | MAX>] [WITHSCORES]",
        algebra::zinter,
    )
    .arity(-3)
    .read()
    .keys(KEYS_READ)
    .since("6.2.0")
    .about("Returns the members that all sets have.")
    .complexity(ALGEBRA),
    Command::new("ZINTERCARD", "numkeys key [key ...] [LIMIT limit]", algebra::zintercard)
        .arity(-3)
        .read()
        .keys(KEYS_READ)
        .since("7.0.0")
        .about("Counts the members that all sets have.")
        .complexity("O(N*K), N being the members of the smallest set and K the number of sets"),
    Command::new(
        "ZINTERSTORE",
        "destination numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE <SUM | MIN | MAX>]",
        algebra::zinterstore,
    )
    .arity(-4)
    .grow()
    .keys(KEYS_STORE)
    .since("2.0.0")
    .about("Stores the members that all sets have.")
    .complexity(ALGEBRA),
    Command::new("ZLEXCOUNT", "key min max", range::zlexcount)
        .arity(4)
        .read()
        .fast()
        .keys(KEY_READ)
        .since("2.8.9")
        .about("Counts the members with names in a range, in a set of equal scores.")
        .complexity(LOG),
    Command::new("ZMPOP", "numkeys key [key ...] <MIN | MAX> [COUNT count]", pick::zmpop)
        .arity(-4)
        .write()
        .keys(&[KeySpec::count(1, 1, "RW access delete")])
        .since("7.0.0")
        .about("Removes and returns the first or last members of the first set that has any.")
        .complexity(LOG_AND_FOUND),
    Command::new("ZMSCORE", "key member [member ...]", zmscore)
        .arity(-3)
        .read()
        .fast()
        .keys(KEY_READ)
        .since("6.2.0")
        .about("Returns the scores of several members.")
        .complexity("O(N), N being the number of members asked for"),
    Command::new("ZPOPMAX", "key [count]", pick::zpopmax)
        .arity(-2)
        .write()
        .fast()
        .keys(KEY_POP)
        .since("5.0.0")
        .about("Removes and returns the members with the highest scores.")
        .complexity(LOG_AND_FOUND),
    Command::new("ZPOPMIN", "key [count]", pick::zpopmin)
        .arity(-2)
        .write()
        .fast()
        .keys(KEY_POP)
        .since("5.0.0")
        .about("Removes and returns the members with the lowest scores.")
        .complexity(LOG_AND_FOUND),
    Command::new("ZRANDMEMBER", "key [count [WITHSCORES]]", pick::zrandmember)
        .arity(-2)
        .read()
        .keys(KEY_READ)
        .since("6.2.0")
        .tips(RANDOM)
        .about("Returns members by chance.")
        .complexity("O(N*log(M)), N being the count and M the number of members"),
    Command::new(
        "ZRANGE",
        "key start stop [BYSCORE | BYLEX] [REV] [LIMIT offset count] [WITHSCORES]",
        range::zrange,
    )
    .arity(-4)
    .read()
    .keys(KEY_READ)
    .since("1.2.0")
    .about("Returns members by rank, score or name.")
    .complexity(LOG_AND_FOUND),
    Command::new("ZRANGEBYLEX", "key min max [LIMIT offset count]", range::zrangebylex)
        .arity(-4)
        .read()
        .keys(KEY_READ)
        .since("2.8.9")
        .about("Returns members by name, in a set of equal scores.")
        .complexity(LOG_AND_FOUND),
    Command::new("ZRANGEBYSCORE", "key min max [WITHSCORES] [LIMIT offset count]", range::zrangebyscore)
        .arity(-4)
        .read()
        .keys(KEY_READ)
        .since("1.0.5")
        .about("Returns members by score.")
        .complexity(LOG_AND_FOUND),
    Command::new(
        "ZRANGESTORE",
        "dst src min max [BYSCORE | BYLEX] [REV] [LIMIT offset count]",
        range::zrangestore,
    )
    .arity(-5)
    .grow()
    .keys(&[KeySpec::at(1, "OW update"), KeySpec::at(2, READ)])
    .since("6.2.0")
    .about("Stores a range of members in another key.")
    .complexity(LOG_AND_FOUND),
    Command::new("ZRANK", "key member [WITHSCORE]", zrank)
        .arity(-3)
        .read()
        .fast()
        .keys(KEY_READ)
        .since("2.0.0")
        .about("Returns the rank of a member, from the lowest score.")
        .complexity(LOG),
    Command::new("ZREM", "key member [member ...]", zrem)
        .arity(-3)
        .write()
        .fast()
        .keys(KEY_DELETE)
        .since("1.2.0")
        .about("Removes members.")
        .complexity("O(log(N)) for each member, N being their number"),
    Command::new("ZREMRANGEBYLEX", "key min max", range::zremrangebylex)
        .arity(4)
        .write()
        .keys(KEY_DELETE)
        .since("2.8.9")
        .about("Removes members by name, in a set of equal scores.")
        .complexity(LOG_AND_FOUND),
    Command::new("ZREMRANGEBYRANK", "key start stop", range::zremrangebyrank)
        .arity(4)
        .write()
        .keys(KEY_DELETE)
        .since("2.0.0")
        .about("Removes members by rank.")
        .complexity(LOG_AND_FOUND),
    Command::new("ZREMRANGEBYSCORE", "key min max", range::zremrangebyscore)
        .arity(4)
        .write()
        .keys(KEY_DELETE)
        .since("1.2.0")
        .about("Removes members by score.")
        .complexity(LOG_AND_FOUND),
    Command::new("ZREVRANGE", "key start stop [WITHSCORES]", range::zrevrange)
        .arity(-4)
        .read()
        .keys(KEY_READ)
        .since("1.2.0")
        .about("Returns members by rank, from the highest score.")
        .complexity(LOG_AND_FOUND),
    Command::new("ZREVRANGEBYLEX", "key max min [LIMIT offset count]", range::zrevrangebylex)
        .arity(-4)
        .read()
        .keys(KEY_READ)
        .since("2.8.9")
        .about("Returns members by name, backwards, in a set of equal scores.")
        .complexity(LOG_AND_FOUND),
    Command::new(
        "ZREVRANGEBYSCORE",
        "key max min [WITHSCORES] [LIMIT offset count]",
        range::zrevrangebyscore,
    )
    .arity(-4)
    .read()
    .keys(KEY_READ)
    .since("2.2.0")
    .about("Returns members by score, backwards.")
    .complexity(LOG_AND_FOUND),
    Command::new("ZREVRANK", "key member [WITHSCORE]", zrevrank)
        .arity(-3)
        .read()
        .fast()
        .keys(KEY_READ)
        .since("2.0.0")
        .about("Returns the rank of a member, from the highest score.")
        .complexity(LOG),
    Command::new("ZSCAN", "key cursor [MATCH pattern] [COUNT count] [NOSCORES]", scan::zscan)
        .arity(-3)
        .read()
        .keys(KEY_READ)
        .since("2.8.0")
        .tips(RANDOM)
        .about("Walks over the members and their scores.")
        .complexity("O(1) for each call, O(N) for all of them"),
    Command::new("ZSCORE", "key member", zscore)
        .arity(3)
        .read()
        .fast()
        .keys(KEY_READ)
        .since("1.2.0")
        .about("Returns the score of a member."),
    Command::new(
        "ZUNION",
        "numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE <SUM | MIN | MAX>] [WITHSCORES]",
        algebra::zunion,
    )
    .arity(-3)
    .read()
    .keys(KEYS_READ)
    .since("6.2.0")
    .about("Returns the members that any of the sets has.")
    .complexity(ALGEBRA),
    Command::new(
        "ZUNIONSTORE",
        "destination numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE <SUM | MIN | MAX>]",
        algebra::zunionstore,
    )
    .arity(-4)
    .grow()
    .keys(KEYS_STORE)
    .since("2.0.0")
    .about("Stores the members that any of the sets has.")
    .complexity(ALGEBRA),
];

fn parse_score(text: &[u8]) -> Result<f64, Error> {
    parse_f64(text).ok_or(Error::NOT_A_FLOAT)
}

fn rank_range(start: &[u8], stop: &[u8]) -> Result<Range<'static>, Error> {
    let start = parse_i64(start).ok_or(Error::NOT_AN_INTEGER)?;
    let stop = parse_i64(stop).ok_or(Error::NOT_AN_INTEGER)?;
    Ok(Range::Rank(start, stop))
}

fn score_range(min: &[u8], max: &[u8]) -> Result<Range<'static>, Error> {
    let range = ScoreRange::parse(min, max).ok_or(Error::new("ERR min or max is not a float"))?;
    Ok(Range::Score(range))
}

fn lex_range<'a>(min: &'a [u8], max: &'a [u8]) -> Result<Range<'a>, Error> {
    let range = LexRange::parse(min, max).ok_or(Error::new("ERR min or max not valid string range item"))?;
    Ok(Range::Lex(range))
}

/// The header of `count` members that are written with `write_member`.
fn write_header(out: &mut Out, count: usize, with_scores: bool) {
    out.array(if with_scores && !out.resp3 { 2 * count } else { count });
}

/// A member, with its score if that is asked for: in RESP3 the two are a pair.
#[inline]
fn write_member(out: &mut Out, member: Element, score: f64, with_scores: bool) {
    if with_scores && out.resp3 {
        out.array(2);
    }
    write_element(out, member);
    if with_scores {
        out.double(score);
    }
}

#[inline]
pub(super) fn write_element(out: &mut Out, element: Element) {
    match element {
        Element::Int(value) => out.bulk_int(value),
        Element::Bytes(bytes) => out.bulk(bytes),
    }
}

fn zcard(cx: &mut Context, args: Args) -> Result<(), Error> {
    let (view, out) = cx.view::<Zset>(args.at(1))?;
    out.integer(view.map_or(0, |view| view.len()) as i64);
    Ok(())
}

fn zscore(cx: &mut Context, args: Args) -> Result<(), Error> {
    let (view, out) = cx.view::<Zset>(args.at(1))?;
    match view.and_then(|view| view.score(args.at(2))) {
        Some(score) => out.double(score),
        None => out.null(),
    }
    Ok(())
}

fn zmscore(cx: &mut Context, args: Args) -> Result<(), Error> {
    let (view, out) = cx.view::<Zset>(args.at(1))?;
    let members = args.from(2);
    out.array(members.len());
    for member in members.iter() {
        match view.and_then(|view| view.score(member)) {
            Some(score) => out.double(score),
            None => out.null(),
        }
    }
    Ok(())
}

fn zrank(cx: &mut Context, args: Args) -> Result<(), Error> {
    reply_rank(cx, args, "zrank", false)
}

fn zrevrank(cx: &mut Context, args: Args) -> Result<(), Error> {
    reply_rank(cx, args, "zrevrank", true)
}

fn reply_rank(cx: &mut Context, args: Args, name: &str, reverse: bool) -> Result<(), Error> {
    let with_score = match args.len() {
        3 => false,
        4 if args.is(3, "withscore") => true,
        4 => return Err(Error::SYNTAX),
        _ => return Err(Error::arity(name)),
    };
    let (view, out) = cx.view::<Zset>(args.at(1))?;
    let found = view.and_then(|view| view.rank(args.at(2)).map(|(rank, score)| (rank, score, view.len())));
    let Some((rank, score, len)) = found else {
        if with_score {
            out.null_array()
        } else {
            out.null()
        }
        return Ok(());
    };
    let rank = if reverse { len - 1 - rank } else { rank };
    if with_score {
        out.array(2);
    }
    out.integer(rank as i64);
    if with_score {
        out.double(score);
    }
    Ok(())
}

fn zrem(cx: &mut Context, args: Args) -> Result<(), Error> {
    let members = args.from(2);
    let removed = cx.change(args.at(1), false, |zset: &mut Zset, _| {
        let mut removed = 0;
        for member in members.iter() {
            if zset.is_empty() {
                break;
            }
            removed += usize::from(zset.remove(member).is_some());
        }
        (removed, removed > 0)
    })?;
    let removed = removed.unwrap_or(0);
    if removed > 0 {
        cx.count_elements(args.at(1), removed);
        cx.notify_shrunk(Events::ZSET, "zrem", args.at(1));
    }
    cx.out.integer(removed as i64);
    Ok(())
}
