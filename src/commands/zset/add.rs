//! Scores are set: ZADD, ZINCRBY.

use super::super::{Context, Error};
use super::parse_score;
use crate::client::Args;
use crate::config::Events;
use crate::types::{Limits, Zset};
use smallvec::SmallVec;

/// What ZADD may do.
#[derive(Clone, Copy, Default)]
pub struct Rules {
    /// Only add.
    pub nx: bool,
    /// Only change.
    pub xx: bool,
    /// Only to a higher score.
    gt: bool,
    /// Only to a lower one.
    lt: bool,
    /// Count those changed, too.
    pub ch: bool,
    /// Add to the score.
    incr: bool,
}

/// What came of one member.
#[derive(Clone, Copy)]
enum Outcome {
    Added(f64),
    Changed(f64),
    Same(f64),
    Refused,
    NotANumber,
}

impl Outcome {
    fn score(self) -> Option<f64> {
        match self {
            Outcome::Added(score) | Outcome::Changed(score) | Outcome::Same(score) => Some(score),
            Outcome::Refused | Outcome::NotANumber => None,
        }
    }
}

impl Rules {
    /// The rules, and the index of the first score.
    fn parse(args: Args) -> (Rules, usize) {
        let mut rules = Rules::default();
        for at in 2..args.len() {
            match () {
                () if args.is(at, "nx") => rules.nx = true,
                () if args.is(at, "xx") => rules.xx = true,
                () if args.is(at, "gt") => rules.gt = true,
                () if args.is(at, "lt") => rules.lt = true,
                () if args.is(at, "ch") => rules.ch = true,
                () if args.is(at, "incr") => rules.incr = true,
                () => return (rules, at),
            }
        }
        (rules, args.len())
    }

    fn check(&self, members: usize) -> Result<(), Error> {
        if self.nx && self.xx {
            return Err(Error::new("ERR XX and NX options at the same time are not compatible"));
        }
        if (self.gt && self.lt) || (self.nx && (self.gt || self.lt)) {
            return Err(Error::new("ERR GT, LT, and/or NX options at the same time are not compatible"));
        }
        if self.incr && members > 1 {
            return Err(Error::new("ERR INCR option supports a single increment-element pair"));
        }
        Ok(())
    }

    fn judge(&self, old: Option<f64>, score: f64) -> Outcome {
        let Some(old) = old else {
            return if self.xx { Outcome::Refused } else { Outcome::Added(score) };
        };
        if self.nx {
            return Outcome::Refused;
        }
        let score = if self.incr { old + score } else { score };
        match () {
            () if score.is_nan() => Outcome::NotANumber,
            () if (self.gt && score <= old) || (self.lt && score >= old) => Outcome::Refused,
            () if score == old => Outcome::Same(old),
            () => Outcome::Changed(score),
        }
    }

    fn apply(&self, zset: &mut Zset, member: &[u8], score: f64, limits: &Limits) -> Outcome {
        let mut outcome = Outcome::Refused;
        zset.update(member, limits, |old| {
            outcome = self.judge(old, score);
            match outcome {
                Outcome::Added(score) | Outcome::Changed(score) => Some(score),
                _ => None,
            }
        });
        outcome
    }
}

pub fn zadd(cx: &mut Context, args: Args) -> Result<(), Error> {
    let (rules, first) = Rules::parse(args);
    let pairs = args.from(first);
    if pairs.is_empty() || !pairs.len().is_multiple_of(2) {
        return Err(Error::SYNTAX);
    }
    rules.check(pairs.len() / 2)?;
    let scores = (0..pairs.len()).step_by(2).map(|at| parse_score(pairs.at(at)));
    let scores: SmallVec<[f64; 16]> = scores.collect::<Result<_, _>>()?;
    if rules.incr {
        return increment(cx, args.at(1), pairs.at(1), scores[0], rules);
    }
    add_all(cx, args.at(1), rules, &scores, |at| pairs.at(2 * at + 1))
}

/// Adds members with these scores, and replies how many there were.
pub fn add_all<'a>(
    cx: &mut Context,
    key: &[u8],
    rules: Rules,
    scores: &[f64],
    member: impl Fn(usize) -> &'a [u8],
) -> Result<(), Error> {
    let limits = cx.limits();
    let counts = cx.change(key, !rules.xx, |zset: &mut Zset, _| {
        let (mut added, mut changed) = (0, 0);
        let longest = (0..scores.len()).map(|at| member(at).len()).max();
        zset.expect(scores.len(), longest.unwrap_or(0), &limits);
        for (at, &score) in scores.iter().enumerate() {
            match rules.apply(zset, member(at), score, &limits) {
                Outcome::Added(_) => added += 1,
                Outcome::Changed(_) => changed += 1,
                _ => {}
            }
        }
        ((added, changed), added + changed > 0)
    })?;
    let (added, changed) = counts.unwrap_or((0, 0));
    if added + changed > 0 {
        cx.count_elements(key, added + changed);
        cx.notify(Events::ZSET, "zadd", key);
    }
    cx.out.integer(if rules.ch { added + changed } else { added } as i64);
    Ok(())
}

pub fn zincrby(cx: &mut Context, args: Args) -> Result<(), Error> {
    let increment_by = parse_score(args.at(2))?;
    increment(cx, args.at(1), args.at(3), increment_by, Rules { incr: true, ..Rules::default() })
}

/// Adds to the score of one member, and replies with the sum, or null if the rules forbid it.
fn increment(cx: &mut Context, key: &[u8], member: &[u8], by: f64, rules: Rules) -> Result<(), Error> {
    let limits = cx.limits();
    let outcome = cx.change(key, !rules.xx, |zset: &mut Zset, _| {
        zset.expect(1, member.len(), &limits);
        let outcome = rules.apply(zset, member, by, &limits);
        (outcome, matches!(outcome, Outcome::Added(_) | Outcome::Changed(_)))
    })?;
    if let Some(Outcome::NotANumber) = outcome {
        return Err(Error::new("ERR resulting score is not a number (NaN)"));
    }
    if let Some(Outcome::Added(_) | Outcome::Changed(_)) = outcome {
        cx.notify(Events::ZSET, "zincr", key);
    }
    match outcome.and_then(Outcome::score) {
        Some(score) => cx.out.double(score),
        None => cx.out.null(),
    }
    Ok(())
}
