//! Which members of a sorted set are meant: by score, or by name where all scores are equal.
//! In: the texts of two bounds. Out: what is before a range, and what is behind it.
//! Absent: ranges by rank, which are numbers.

use super::Element;
use crate::base::number;

/// Scores between two bounds.
#[derive(Clone, Copy, Debug)]
pub struct ScoreRange {
    min: Bound,
    max: Bound,
}

#[derive(Clone, Copy, Debug)]
struct Bound {
    score: f64,
    exclusive: bool,
}

impl Bound {
    /// `1.5`, or `(1.5` for an exclusive one. As C's `strtod` reads it: the text ends at a byte 0, no text is 0, and what is too large is infinite.
    fn parse(text: &[u8]) -> Option<Bound> {
        let (exclusive, text) = match text {
            [b'(', rest @ ..] => (true, rest),
            _ => (false, text),
        };
        let text = number::until_nul(text);
        let score = if text.is_empty() { Some(0.0) } else { number::parse_f64(text).or_else(|| loose(text)) };
        Some(Bound { score: score?, exclusive })
    }
}

/// A number that is too large or too small for a double.
fn loose(text: &[u8]) -> Option<f64> {
    let value: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    (!value.is_nan()).then_some(value)
}

impl ScoreRange {
    pub fn parse(min: &[u8], max: &[u8]) -> Option<ScoreRange> {
        Some(ScoreRange { min: Bound::parse(min)?, max: Bound::parse(max)? })
    }

    /// From `min` up to `max`, which is excluded.
    pub fn half_open(min: f64, max: f64) -> ScoreRange {
        ScoreRange { min: Bound { score: min, exclusive: false }, max: Bound { score: max, exclusive: true } }
    }

    pub fn is_empty(&self) -> bool {
        let (min, max) = (self.min, self.max);
        min.score > max.score || (min.score == max.score && (min.exclusive || max.exclusive))
    }

    /// Whether the score is before the range.
    pub fn is_above(&self, score: f64) -> bool {
        score < self.min.score || (self.min.exclusive && score == self.min.score)
    }

    /// Whether the score is before the end of the range.
    pub fn ends_behind(&self, score: f64) -> bool {
        score < self.max.score || (!self.max.exclusive && score == self.max.score)
    }
}

/// Members between two bounds, in the order of their bytes.
#[derive(Clone, Copy, Debug)]
pub struct LexRange<'a> {
    min: LexBound<'a>,
    max: LexBound<'a>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum LexBound<'a> {
    First,
    Including(&'a [u8]),
    Excluding(&'a [u8]),
    Last,
}

impl<'a> LexBound<'a> {
    /// `-`, `+`, `[name` or `(name`.
    fn parse(text: &'a [u8]) -> Option<LexBound<'a>> {
        match text {
            b"-" => Some(LexBound::First),
            b"+" => Some(LexBound::Last),
            [b'[', name @ ..] => Some(LexBound::Including(name)),
            [b'(', name @ ..] => Some(LexBound::Excluding(name)),
            _ => None,
        }
    }
}

impl<'a> LexRange<'a> {
    pub fn parse(min: &'a [u8], max: &'a [u8]) -> Option<LexRange<'a>> {
        Some(LexRange { min: LexBound::parse(min)?, max: LexBound::parse(max)? })
    }

    pub fn is_empty(&self) -> bool {
        use LexBound::*;
        match (self.min, self.max) {
            (Last, _) | (_, First) => true,
            (First, _) | (_, Last) => false,
            (Including(min), Including(max)) => min > max,
            (Including(min) | Excluding(min), Including(max) | Excluding(max)) => min >= max,
        }
    }

    /// Whether the member is before the range.
    pub fn is_above(&self, member: &[u8]) -> bool {
        match self.min {
            LexBound::First => false,
            LexBound::Including(min) => member < min,
            LexBound::Excluding(min) => member <= min,
            LexBound::Last => true,
        }
    }

    /// Whether the member is before the end of the range.
    pub fn ends_behind(&self, member: &[u8]) -> bool {
        match self.max {
            LexBound::First => false,
            LexBound::Including(max) => member <= max,
            LexBound::Excluding(max) => member < max,
            LexBound::Last => true,
        }
    }
}

/// Which members are meant.
#[derive(Clone, Copy, Debug)]
pub enum Range<'a> {
    /// From rank to rank; negative ones count from the end.
    Rank(i64, i64),
    Score(ScoreRange),
    Lex(LexRange<'a>),
}

impl Range<'_> {
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Range::Rank(..) => false,
            Range::Score(range) => range.is_empty(),
            Range::Lex(range) => range.is_empty(),
        }
    }

    pub(super) fn is_above(&self, member: Element, score: f64) -> bool {
        match self {
            Range::Rank(..) => unreachable!("ranks are not searched for"),
            Range::Score(range) => range.is_above(score),
            Range::Lex(range) => member.with(|member| range.is_above(member)),
        }
    }

    pub(super) fn ends_behind(&self, member: Element, score: f64) -> bool {
        match self {
            Range::Rank(..) => unreachable!("ranks are not searched for"),
            Range::Score(range) => range.ends_behind(score),
            Range::Lex(range) => member.with(|member| range.ends_behind(member)),
        }
    }
}

/// Ranks that count from the end made to count from the front, as a range of a set of `len` members.
pub(super) fn resolve_ranks(start: i64, stop: i64, len: usize) -> std::ops::Range<usize> {
    let len = len as i64;
    let from_front = |rank: i64| if rank < 0 { rank.saturating_add(len) } else { rank };
    let (start, stop) = (from_front(start).max(0), from_front(stop).min(len - 1));
    if start > stop { 0..0 } else { start as usize..stop as usize + 1 }
}
