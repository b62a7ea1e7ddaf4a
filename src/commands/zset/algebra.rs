//! Unions, intersections and differences of sorted sets, and of plain sets, whose members all count as 1.

use super::super::{Context, Error};
use super::{write_header, write_member};
use crate::base::number::{parse_f64, parse_i64};
use crate::client::Args;
use crate::config::Events;
use crate::types::listpack::{self, Element};
use crate::types::set::SetView;
use crate::types::zset::{Gathered, ZsetView};
use crate::types::{Set, Type, Zset, intset};
use smallvec::SmallVec;

/// A set that is read.
#[derive(Clone, Copy)]
enum Input<'a> {
    Absent,
    Sorted(ZsetView<'a>),
    Plain(SetView<'a>),
}

const PLAIN_SCORE: f64 = 1.0;

impl Input<'_> {
    fn len(self) -> usize {
        match self {
            Input::Absent => 0,
            Input::Sorted(view) => view.len(),
            Input::Plain(SetView::Ints(ints)) => intset::len(ints),
            Input::Plain(SetView::Packed(pack)) => listpack::len(pack),
            Input::Plain(SetView::Table(table)) => table.len(),
        }
    }

    fn score(self, member: Element) -> Option<f64> {
        let holds = match self {
            Input::Absent => false,
            Input::Sorted(view) => return member.with(|member| view.score(member)),
            Input::Plain(SetView::Ints(ints)) => {
                member.as_i64().is_some_and(|number| intset::contains(ints, number))
            }
            Input::Plain(SetView::Packed(pack)) => listpack::first(pack)
                .and_then(|first| member.with(|member| listpack::find(pack, first, 1, member)))
                .is_some(),
            Input::Plain(SetView::Table(table)) => member.with(|member| table.find(member)).is_some(),
        };
        holds.then_some(PLAIN_SCORE)
    }

    fn for_each(self, mut visit: impl FnMut(Element, f64)) {
        match self {
            Input::Absent => {}
            Input::Sorted(view) => view.for_each(visit),
            Input::Plain(SetView::Ints(ints)) => {
                intset::iter(ints).for_each(|number| visit(Element::Int(number), PLAIN_SCORE));
            }
            Input::Plain(SetView::Packed(pack)) => {
                listpack::iter(pack).for_each(|member| visit(member, PLAIN_SCORE));
            }
            Input::Plain(SetView::Table(table)) => {
                table.for_each(&mut |entry| visit(Element::Bytes(entry.key()), PLAIN_SCORE));
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Operation {
    Union,
    Intersection,
    Difference,
}

/// What becomes of the scores of a member that several sets have.
#[derive(Clone, Copy)]
enum Aggregate {
    Sum,
    Min,
    Max,
}

impl Aggregate {
    fn of(self, a: f64, b: f64) -> f64 {
        match self {
            // Both infinities cancel each other.
            Aggregate::Sum => number_or_zero(a + b),
            // What is no number, or equal, leaves the first one.
            Aggregate::Min => {
                if b < a {
                    b
                } else {
                    a
                }
            }
            Aggregate::Max => {
                if b > a {
                    b
                } else {
                    a
                }
            }
        }
    }
}

fn number_or_zero(score: f64) -> f64 {
    if score.is_nan() { 0.0 } else { score }
}

/// What stands behind the keys.
struct Options {
    weights: SmallVec<[f64; 8]>,
    aggregate: Aggregate,
    with_scores: bool,
}

impl Options {
    fn parse(args: Args, keys: usize, operation: Operation, stores: bool) -> Result<Self, Error> {
        let mut options = Options {
            weights: SmallVec::from_elem(1.0, keys),
            aggregate: Aggregate::Sum,
            with_scores: false,
        };
        let combines = operation != Operation::Difference;
        let mut at = 0;
        while at < args.len() {
            let left = args.len() - at - 1;
            match () {
                () if combines && left >= keys && args.is(at, "weights") => {
                    for (weight, text) in options.weights.iter_mut().zip(args.from(at + 1).iter()) {
                        *weight = parse_f64(text).ok_or(Error::new("ERR weight value is not a float"))?;
                    }
                    at += keys;
                }
                () if combines && left >= 1 && args.is(at, "aggregate") => {
                    at += 1;
                    options.aggregate = match () {
                        () if args.is(at, "sum") => Aggregate::Sum,
                        () if args.is(at, "min") => Aggregate::Min,
                        () if args.is(at, "max") => Aggregate::Max,
                        () => return Err(Error::SYNTAX),
                    };
                }
                () if !stores && args.is(at, "withscores") => options.with_scores = true,
                () => return Err(Error::SYNTAX),
            }
            at += 1;
        }
        Ok(options)
    }
}

type Keys<'a> = SmallVec<[&'a [u8]; 8]>;

/// The keys behind argument `at`, which says how many there are, and the arguments behind them. Each key is looked up: they
/// are sets of some kind, or absent.
fn input_keys<'a>(
    cx: &mut Context,
    args: Args<'a>,
    at: usize,
    name: &str,
) -> Result<(Keys<'a>, Args<'a>), Error> {
    let count = parse_i64(args.at(at)).ok_or(Error::NOT_AN_INTEGER)?;
    if count < 1 {
        return Err(Error::new(format!("ERR at least 1 input key is needed for '{name}' command")));
    }
    let rest = args.from(at + 1);
    let count = usize::try_from(count).ok().filter(|&count| count <= rest.len()).ok_or(Error::SYNTAX)?;
    let keys: Keys = rest.iter().take(count).collect();
    for key in &keys {
        match cx.read(key).map(|entry| entry.kind()) {
            None | Some(Type::Zset | Type::Set) => {}
            Some(_) => return Err(Error::WRONG_TYPE),
        }
    }
    Ok((keys, rest.from(count)))
}

/// A second look at a key, for all of them to be held together.
fn input<'a>(cx: &'a Context, key: &[u8]) -> Input<'a> {
    match (cx.look::<Zset>(key), cx.look::<Set>(key)) {
        (Ok(Some(view)), _) => Input::Sorted(view),
        (_, Ok(Some(view))) => Input::Plain(view),
        _ => Input::Absent,
    }
}

/// Inputs with their weights: the smallest first, but for a difference.
type Inputs<'a> = SmallVec<[(Input<'a>, f64); 8]>;

fn inputs<'a>(cx: &'a Context, keys: &[&[u8]], weights: &[f64], operation: Operation) -> Inputs<'a> {
    let mut inputs: Inputs =
        keys.iter().zip(weights).map(|(key, &weight)| (input(cx, key), weight)).collect();
    if operation != Operation::Difference {
        inputs.sort_by_key(|(input, _)| input.len());
    }
    inputs
}

/// The score of a member of the first set in the intersection of all, if it is there. As in Redis, only the first score
/// that its weight makes no number counts as zero; others are left to the aggregate.
fn score_in_all(inputs: &[(Input, f64)], member: Element, score: f64, aggregate: Aggregate) -> Option<f64> {
    let first = number_or_zero(score * inputs[0].1);
    inputs[1..]
        .iter()
        .try_fold(first, |sum, (input, weight)| Some(aggregate.of(sum, input.score(member)? * weight)))
}

fn combine(cx: &Context, keys: &[&[u8]], options: &Options, operation: Operation) -> Gathered {
    let (inputs, aggregate) = (&inputs(cx, keys, &options.weights, operation)[..], options.aggregate);
    let mut result = Gathered::default();
    let mut add = |member: Element, score: f64| {
        member.with(|member| result.add(member, score));
    };
    match operation {
        Operation::Union => {
            for (input, weight) in inputs {
                input.for_each(|member, score| {
                    let score = number_or_zero(score * weight);
                    member.with(|member| result.merge(member, score, |a, b| aggregate.of(a, b)));
                });
            }
        }
        Operation::Intersection => inputs[0].0.for_each(|member, score| {
            if let Some(score) = score_in_all(inputs, member, score, aggregate) {
                add(member, score);
            }
        }),
        Operation::Difference => inputs[0].0.for_each(|member, score| {
            if inputs[1..].iter().all(|(input, _)| input.score(member).is_none()) {
                add(member, score);
            }
        }),
    }
    result
}

fn reply_with(cx: &mut Context, args: Args, name: &str, operation: Operation) -> Result<(), Error> {
    let (keys, rest) = input_keys(cx, args, 1, name)?;
    let options = Options::parse(rest, keys.len(), operation, false)?;
    let (sorted, _) = combine(cx, &keys, &options, operation).finish();
    let (len, out) = (sorted.len(), &mut cx.out);
    write_header(out, len, options.with_scores);
    sorted.for_range(0..len, false, |member, score| {
        write_member(out, Element::Bytes(member), score, options.with_scores);
    });
    Ok(())
}

fn store(cx: &mut Context, args: Args, name: &str, operation: Operation) -> Result<(), Error> {
    let (keys, rest) = input_keys(cx, args, 2, name)?;
    let options = Options::parse(rest, keys.len(), operation, true)?;
    let result = combine(cx, &keys, &options, operation);
    let (len, limits) = (result.len(), cx.limits());
    let event = match operation {
        Operation::Union => "zunionstore",
        Operation::Intersection => "zinterstore",
        Operation::Difference => "zdiffstore",
    };
    cx.store(args.at(1), Zset::gathered(result, &limits), Events::ZSET, event);
    cx.out.integer(len as i64);
    Ok(())
}

pub fn zunion(cx: &mut Context, args: Args) -> Result<(), Error> {
    reply_with(cx, args, "zunion", Operation::Union)
}

pub fn zinter(cx: &mut Context, args: Args) -> Result<(), Error> {
    reply_with(cx, args, "zinter", Operation::Intersection)
}

pub fn zdiff(cx: &mut Context, args: Args) -> Result<(), Error> {
    reply_with(cx, args, "zdiff", Operation::Difference)
}

pub fn zunionstore(cx: &mut Context, args: Args) -> Result<(), Error> {
    store(cx, args, "zunionstore", Operation::Union)
}

pub fn zinterstore(cx: &mut Context, args: Args) -> Result<(), Error> {
    store(cx, args, "zinterstore", Operation::Intersection)
}

pub fn zdiffstore(cx: &mut Context, args: Args) -> Result<(), Error> {
    store(cx, args, "zdiffstore", Operation::Difference)
}

pub fn zintercard(cx: &mut Context, args: Args) -> Result<(), Error> {
    let (keys, rest) = input_keys(cx, args, 1, "zintercard")?;
    let mut limit = 0;
    for at in (0..rest.len()).step_by(2) {
        let text = rest.get(at + 1).filter(|_| rest.is(at, "limit")).ok_or(Error::SYNTAX)?;
        limit = parse_i64(text)
            .and_then(|limit| usize::try_from(limit).ok())
            .ok_or(Error::new("ERR LIMIT can't be negative"))?;
    }
    let found = count_common(cx, &keys, if limit == 0 { usize::MAX } else { limit });
    cx.out.integer(found as i64);
    Ok(())
}

/// How many members all sets have, counted up to a limit.
fn count_common(cx: &Context, keys: &[&[u8]], limit: usize) -> usize {
    let weights: SmallVec<[f64; 8]> = SmallVec::from_elem(1.0, keys.len());
    let inputs = inputs(cx, keys, &weights, Operation::Intersection);
    let mut found = 0;
    inputs[0].0.for_each(|member, score| {
        if found < limit && score_in_all(&inputs, member, score, Aggregate::Sum).is_some() {
            found += 1;
        }
    });
    found
}
