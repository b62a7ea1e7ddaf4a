//! Members from an end, or by chance: ZPOPMIN, ZPOPMAX, ZMPOP, ZRANDMEMBER.

use super::super::{Context, Error};
use super::{write_element, write_header, write_member};
use crate::base::number::parse_i64;
use crate::base::rng::Rng;
use crate::client::Args;
use crate::config::Events;
use crate::types::listpack::Element;
use crate::types::zset::ZsetView;
use crate::types::{Collection, Zset};
use std::collections::HashSet;

pub fn zpopmin(cx: &mut Context, args: Args) -> Result<(), Error> {
    pop(cx, args, false)
}

pub fn zpopmax(cx: &mut Context, args: Args) -> Result<(), Error> {
    pop(cx, args, true)
}

fn pop(cx: &mut Context, args: Args, last: bool) -> Result<(), Error> {
    if args.len() > 3 {
        return Err(Error::SYNTAX);
    }
    let count = args.get(2).map(|text| {
        parse_i64(text).and_then(|count| usize::try_from(count).ok()).ok_or(Error::MUST_BE_POSITIVE)
    });
    let count = count.transpose()?;
    let popped = cx.change(args.at(1), false, |zset: &mut Zset, out| {
        let n = count.unwrap_or(1).min(zset.view().len());
        // Without a count, RESP3 has no pairs either.
        let pairs = count.is_some() && out.resp3;
        out.array(if pairs { n } else { 2 * n });
        zset.pop(last, n, |member, score| {
            if pairs {
                out.array(2);
            }
            write_element(out, member);
            out.double(score);
        });
        (n, n > 0)
    })?;
    match popped {
        Some(0) => {}
        Some(popped) => note_popped(cx, args.at(1), last, popped),
        None => cx.out.array(0),
    }
    Ok(())
}

/// Says that so many members were taken from a sorted set.
pub fn note_popped(cx: &mut Context, key: &[u8], last: bool, count: usize) {
    cx.count_elements(key, count);
    cx.notify_shrunk(Events::ZSET, if last { "zpopmax" } else { "zpopmin" }, key);
}

pub fn zmpop(cx: &mut Context, args: Args) -> Result<(), Error> {
    let (keys, last, count) = parse_zmpop(args, 1)?;
    for key in keys.iter() {
        if pop_some(cx, key, last, count)? {
            return Ok(());
        }
    }
    cx.out.null_array();
    Ok(())
}

/// The arguments `numkeys key [key ...] MIN | MAX [COUNT count]`, which begin at `first`.
pub fn parse_zmpop(args: Args, first: usize) -> Result<(Args, bool, usize), Error> {
    let positive = |text: &[u8]| parse_i64(text).and_then(|n| usize::try_from(n).ok()).filter(|&n| n > 0);
    let numkeys = positive(args.at(first)).ok_or(Error::new("ERR numkeys should be greater than 0"))?;
    let side = numkeys.checked_add(first + 1).filter(|&side| side < args.len()).ok_or(Error::SYNTAX)?;
    let last = match () {
        () if args.is(side, "min") => false,
        () if args.is(side, "max") => true,
        () => return Err(Error::SYNTAX),
    };
    let count = match args.len() - side {
        1 => 1,
        3.. if args.is(side + 1, "count") => {
            let count =
                positive(args.at(side + 2)).ok_or(Error::new("ERR count should be greater than 0"))?;
            if args.len() > side + 3 {
                return Err(Error::SYNTAX);
            }
            count
        }
        _ => return Err(Error::SYNTAX),
    };
    Ok((args.from(first + 1).first(numkeys), last, count))
}

/// Takes up to `count` members from a sorted set and replies with key and members. False, and no reply: there is no such key.
pub fn pop_some(cx: &mut Context, key: &[u8], last: bool, count: usize) -> Result<bool, Error> {
    let popped = cx.change(key, false, |zset: &mut Zset, out| {
        let n = count.min(zset.view().len());
        out.array(2);
        out.bulk(key);
        out.array(n);
        zset.pop(last, n, |member, score| {
            out.array(2);
            write_element(out, member);
            out.double(score);
        });
        (n, true)
    })?;
    if let Some(popped) = popped {
        note_popped(cx, key, last, popped);
        if cx.is_logged() {
            let word: &[u8] = if last { b"ZPOPMAX" } else { b"ZPOPMIN" };
            cx.log_as(&[word, key, itoa::Buffer::new().format(count).as_bytes()]);
        }
    }
    Ok(popped.is_some())
}

pub fn zrandmember(cx: &mut Context, args: Args) -> Result<(), Error> {
    let mut rng = Rng::seeded(cx.rng.next_u64());
    if args.len() == 2 {
        let (view, out) = cx.view::<Zset>(args.at(1))?;
        match view.and_then(|view| view.nth(rng.below(view.len() as u64) as usize)) {
            Some((member, _)) => write_element(out, member),
            None => out.null(),
        }
        return Ok(());
    }
    let count = parse_i64(args.at(2)).ok_or(Error::NOT_AN_INTEGER)?;
    if count == i64::MIN {
        return Err(Error::new(
            "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
        ));
    }
    if args.len() > 4 || (args.len() == 4 && !args.is(3, "withscores")) {
        return Err(Error::SYNTAX);
    }
    let with_scores = args.len() == 4;
    if with_scores && count.unsigned_abs() > (i64::MAX / 2) as u64 {
        return Err(Error::VALUE_OUT_OF_RANGE);
    }
    let (view, out) = cx.view::<Zset>(args.at(1))?;
    let Some(view) = view else {
        out.array(0);
        return Ok(());
    };
    let wanted = count.unsigned_abs() as usize;
    if count >= 0 && wanted >= view.len() {
        write_header(out, view.len(), with_scores);
        view.for_range(0..view.len(), false, |member, score| write_member(out, member, score, with_scores));
        return Ok(());
    }
    write_header(out, wanted, with_scores);
    let ranks: &mut dyn Iterator<Item = usize> = if count < 0 {
        let len = view.len() as u64;
        &mut std::iter::repeat_with(move || rng.below(len) as usize).take(wanted)
    } else {
        &mut distinct_below(view.len(), wanted, rng)
    };
    by_rank(view, ranks, &mut |member, score| write_member(out, member, score, with_scores));
    Ok(())
}

/// Visits the members of these ranks.
fn by_rank(view: ZsetView, ranks: &mut dyn Iterator<Item = usize>, visit: &mut dyn FnMut(Element, f64)) {
    let ZsetView::Packed(_) = view else {
        ranks.filter_map(|rank| view.nth(rank)).for_each(|(member, score)| visit(member, score));
        return;
    };
    // In a listpack, a rank is found by walking: once is enough.
    let mut members = Vec::with_capacity(view.len());
    view.for_range(0..view.len(), false, |member, score| members.push((member.to_vec(), score)));
    for rank in ranks {
        let (member, score) = &members[rank];
        visit(Element::Bytes(member), *score);
    }
}

/// `count` different numbers below `len`, by Floyd's method: each draw that was drawn before gives way to the highest number
/// that could not be drawn until now.
fn distinct_below(len: usize, count: usize, mut rng: Rng) -> impl Iterator<Item = usize> {
    let mut drawn = HashSet::with_capacity(count);
    (len - count..len).map(move |highest| {
        let number = rng.below(highest as u64 + 1) as usize;
        let number = if drawn.insert(number) { number } else { highest };
        drawn.insert(number);
        number
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_distinct_and_reach_all() {
        let mut seen = [0; 10];
        for seed in 0..500 {
            let drawn: Vec<usize> = distinct_below(10, 4, Rng::seeded(seed)).collect();
            let distinct: HashSet<usize> = drawn.iter().copied().collect();
            assert_eq!((drawn.len(), distinct.len()), (4, 4));
            drawn.iter().for_each(|&number| seen[number] += 1);
        }
        assert!(seen.iter().all(|count| (120..280).contains(count)), "{seen:?}");
    }
}
