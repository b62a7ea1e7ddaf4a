//! SORT and SORT_RO: the elements of a list, set or sorted set in order, or what keys named after them hold.
//!
//! A pattern (`weight_*`, `user:*->name`) names a key, or a field of a hash, for each element. Those keys are not known before
//! the elements are read, so a call with such patterns has every shard at hand (`Route::Patterns`).

#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::ops::Range;

use smallvec::SmallVec;

use super::string::with_bytes;
use super::{Command, Context, Error, KeySpec, Route};
use crate::base::number::parse_f64;
use crate::base::number::parse_i64;
use crate::client::Args;
use crate::config::Events;
use crate::shard::Type;
use crate::types::listpack::Element;
use crate::types::{Hash, List, Set, Zset};

const PATTERNS: KeySpec = KeySpec::unknown("RO access", "what BY and GET name is known only while it runs");
const STORED: KeySpec = KeySpec::unknown("OW update", "the list behind STORE").asked(stored_key);
const COMPLEXITY: &str = "O(N+M*log(M)), N being the number of elements, M that of elements returned";

#[rustfmt::skip]
pub const TABLE: &[Command] = &[
    Command::new("SORT", "key [BY pattern] [LIMIT offset count] [GET pattern [GET pattern ...]] [ASC | DESC] [ALPHA] [STORE destination]", sort)
        .arity(-2).grow().route(Route::Patterns).keys(&[KeySpec::at(1, "RO access"), PATTERNS, STORED])
        .categories(&["list", "set", "sortedset", "dangerous", "-keyspace"])
        .about("Returns or stores the elements of a list, set or sorted set in order.").complexity(COMPLEXITY),
    Command::new("SORT_RO", "key [BY pattern] [LIMIT offset count] [GET pattern [GET pattern ...]] [ASC | DESC] [ALPHA]", sort_ro)
        .arity(-2).read().route(Route::Patterns).keys(&[KeySpec::at(1, "RO access"), PATTERNS]).since("7.0.0")
        .categories(&["list", "set", "sortedset", "dangerous", "-keyspace"])
        .about("Returns the elements of a list, set or sorted set in order.").complexity(COMPLEXITY),
];

struct Options<'a> {
    descending: bool,
    /// By bytes rather than by value.
    alpha: bool,
    offset: i64,
    /// Negative: all.
    count: i64,
    by: Option<Pattern<'a>>,
    /// BY named something without a star: the elements stay in order.
    unsorted: bool,
    gets: SmallVec<[Get<'a>; 4]>,
    /// The argument behind STORE.
    store: Option<usize>,
}

#[derive(Clone, Copy)]
enum Get<'a> {
    Element,
    Value(Pattern<'a>),
    /// A name without a star: it finds nothing.
    Nothing,
}

impl<'a> Options<'a> {
    /// Options from argument 2 on.
    fn parse(args: Args<'a>, may_store: bool) -> Result<Self, Error> {
        let mut options = Options {
            descending: false,
            alpha: false,
            offset: 0,
            count: -1,
            by: None,
            unsorted: false,
            gets: SmallVec::new(),
            store: None,
        };
        let mut at = 2;
        while at < args.len() {
            let left = args.len() - at - 1;
            match () {
                () if args.is(at, "asc") => options.descending = false,
                () if args.is(at, "desc") => options.descending = true,
                () if args.is(at, "alpha") => options.alpha = true,
                () if args.is(at, "limit") && left >= 2 => {
                    let number = |at| parse_i64(args.at(at)).ok_or(Error::NOT_AN_INTEGER);
                    (options.offset, options.count) = (number(at + 1)?, number(at + 2)?);
                    at += 2;
                }
                () if may_store && args.is(at, "store") && left >= 1 => {
                    options.store = Some(at + 1);
                    at += 1;
                }
                () if args.is(at, "by") && left >= 1 => {
                    options.by = Pattern::parse(args.at(at + 1));
                    options.unsorted |= options.by.is_none();
                    at += 1;
                }
                () if args.is(at, "get") && left >= 1 => {
                    options.gets.push(Get::parse(args.at(at + 1)));
                    at += 1;
                }
                () => return Err(Error::SYNTAX),
            }
            at += 1;
        }
        Ok(options)
    }

    /// The places of the result among `len` elements.
    fn range(&self, len: usize) -> Range<usize> {
        let offset = usize::try_from(self.offset).unwrap_or(0).min(len);
        let count = usize::try_from(self.count).unwrap_or(len).min(len - offset);
        offset..offset + count
    }

    /// Of `len` elements in order: the places of those to be loaded, and of the result among those.
    fn part(&self, len: usize) -> (Range<usize>, Range<usize>) {
        let range = self.range(len);
        match (self.unsorted, self.descending) {
            (false, _) => (0..len, range),
            (true, false) => (range.clone(), 0..range.len()),
            (true, true) => (len - range.end..len - range.start, 0..range.len()),
        }
    }
}

impl<'a> Get<'a> {
    fn parse(text: &'a [u8]) -> Self {
        match Pattern::parse(text) {
            _ if text == b"#" => Get::Element,
            Some(pattern) => Get::Value(pattern),
            None => Get::Nothing,
        }
    }
}

/// Where a call stores its result; None also for one that will be refused.
fn stored_key(args: Args) -> Option<usize> {
    Options::parse(args, true).ok()?.store
}

/// Whether a call may look at keys that its arguments do not name.
pub fn has_patterns(args: Args) -> bool {
    let pattern = |at| args.get(at).is_some_and(|arg| arg.contains(&b'*'));
    (2..args.len()).any(|at| (args.is(at, "by") || args.is(at, "get")) && pattern(at + 1))
}

/// A name with a star, for which an element stands in, and perhaps a field of the hash of that name.
#[derive(Clone, Copy)]
struct Pattern<'a> {
    before: &'a [u8],
    behind: &'a [u8],
    field: Option<&'a [u8]>,
}

impl<'a> Pattern<'a> {
    /// None: no star.
    fn parse(text: &'a [u8]) -> Option<Self> {
        let star = text.iter().position(|&byte| byte == b'*')?;
        let (before, rest) = (&text[..star], &text[star + 1..]);
        let arrow = memchr::memmem::find(rest, b"->").filter(|at| at + 2 < rest.len());
        Some(match arrow {
            Some(at) => Pattern { before, behind: &rest[..at], field: Some(&rest[at + 2..]) },
            None => Pattern { before, behind: rest, field: None },
        })
    }

    /// Shows what the key holds that the pattern names for an element, if it is there; `name` lends memory.
    fn look_up<R>(
        &self,
        cx: &mut Context,
        element: &[u8],
        name: &mut Vec<u8>,
        show: impl FnOnce(&[u8]) -> R,
    ) -> Option<R> {
        name.clear();
        [self.before, element, self.behind].iter().for_each(|part| name.extend_from_slice(part));
        let due_ms = cx.due_ms();
        let entry = cx.read(name)?;
        match self.field {
            None if entry.kind() == Type::String => Some(with_bytes(entry, show)),
            Some(field) => Some(entry.view::<Hash>()?.get(field, due_ms)?.with(show)),
            None => None,
        }
    }
}

/// Elements with their bytes in one run, and what they are sorted by.
#[derive(Default)]
struct Elements {
    bytes: Vec<u8>,
    list: Vec<Item>,
}

struct Item {
    text: Range<usize>,
    /// 0 where there is none.
    score: f64,
    weight: Option<Range<usize>>,
}

impl Elements {
    fn push(&mut self, element: Element) {
        let start = self.bytes.len();
        element.with(|text| self.bytes.extend_from_slice(text));
        self.list.push(Item { text: start..self.bytes.len(), score: 0.0, weight: None });
    }

    /// Elements of a key, in its own order, and the places of the result among them.
    fn load(cx: &mut Context, key: &[u8], options: &Options) -> Result<(Self, Range<usize>), Error> {
        let mut elements = Elements::default();
        let Some(entry) = cx.read(key) else { return Ok((elements, 0..0)) };
        let backwards = options.unsorted && options.descending;
        let result = if let Some(list) = entry.view::<List>() {
            let (places, result) = options.part(list.len());
            list.slice(places.start, places.end).for_each(|element| elements.push(element));
            if backwards {
                elements.list.reverse();
            }
            result
        } else if let Some(zset) = entry.view::<Zset>() {
            let (ranks, result) = options.part(zset.len());
            zset.for_range(ranks, backwards, |member, _| elements.push(member));
            result
        } else {
            let set = entry.view::<Set>().ok_or(Error::WRONG_TYPE)?;
            set.for_each(|member| elements.push(member));
            options.range(set.len())
        };
        Ok((elements, result))
    }

    fn text(&self, item: &Item) -> &[u8] {
        &self.bytes[item.text.clone()]
    }

    /// Finds what each element is sorted by.
    fn weigh(&mut self, cx: &mut Context, options: &Options) -> Result<(), Error> {
        let mut name = Vec::new();
        let Elements { bytes, list } = self;
        let mut sound = true;
        for item in list {
            match (options.by, options.alpha) {
                (None, true) => {}
                (None, false) => item.score = score(&bytes[item.text.clone()], &mut sound),
                (Some(by), false) => {
                    let text = &bytes[item.text.clone()];
                    let found = by.look_up(cx, text, &mut name, |weight| score(weight, &mut sound));
                    item.score = found.unwrap_or(0.0);
                }
                (Some(by), true) => {
                    let text: SmallVec<[u8; 64]> = bytes[item.text.clone()].into();
                    item.weight = by.look_up(cx, &text, &mut name, |weight| {
                        let start = bytes.len();
                        bytes.extend_from_slice(weight);
                        start..bytes.len()
                    });
                }
            }
        }
        let error = || Error::new("ERR One or more scores can't be converted into double");
        if sound { Ok(()) } else { Err(error()) }
    }

    /// Sorts what was weighed. Elements of one score are compared as bytes; with `alpha` those that are alike stay in order.
    fn sort(&mut self, options: &Options) {
        let Elements { bytes, list } = self;
        let shown = |range: &Range<usize>| {
            let text = &bytes[range.clone()];
            // Where nothing is stored, Redis compares as C does.
            if options.store.is_some() { text } else { up_to_nul(text) }
        };
        let compare = |a: &Item, b: &Item| match (options.alpha, options.by.is_some()) {
            (false, _) => (a.score.partial_cmp(&b.score).unwrap_or(Ordering::Equal))
                .then_with(|| bytes[a.text.clone()].cmp(&bytes[b.text.clone()])),
            (true, false) => shown(&a.text).cmp(shown(&b.text)),
            // A missing weight comes first.
            (true, true) => a.weight.as_ref().map(shown).cmp(&b.weight.as_ref().map(shown)),
        };
        match options.descending {
            false => list.sort_by(compare),
            true => list.sort_by(|a, b| compare(b, a)),
        }
    }
}

fn up_to_nul(text: &[u8]) -> &[u8] {
    &text[..memchr::memchr(0, text).unwrap_or(text.len())]
}

fn score(text: &[u8], sound: &mut bool) -> f64 {
    let score = parse_f64(up_to_nul(text));
    *sound &= score.is_some();
    score.unwrap_or(0.0)
}

fn sort(cx: &mut Context, args: Args) -> Result<(), Error> {
    let options = Options::parse(args, true)?;
    run(cx, args, options)
}

fn sort_ro(cx: &mut Context, args: Args) -> Result<(), Error> {
    let options = Options::parse(args, false)?;
    run(cx, args, options)
}

fn run(cx: &mut Context, args: Args, mut options: Options) -> Result<(), Error> {
    let key = args.at(1);
    let is_set = cx.peek(key).is_some_and(|entry| entry.kind() == Type::Set);
    if options.unsorted && is_set && (options.store.is_some() || cx.session.in_script) {
        // What is stored, or what a script sees, has to be the same everywhere, and a set has no order of its own.
        (options.unsorted, options.alpha, options.by) = (false, true, None);
    }
    let (mut elements, range) = Elements::load(cx, key, &options)?;
    if !options.unsorted {
        elements.weigh(cx, &options)?;
        elements.sort(&options);
    }
    let per_element = options.gets.len().max(1);
    let outputs = range.len() * per_element;
    let Some(store) = options.store else {
        cx.out.array(outputs);
        let visit = |cx: &mut Context, text: Option<&[u8]>| match text {
            Some(text) => cx.out.bulk(text),
            None => cx.out.null(),
        };
        each_output(cx, &elements, range, &options.gets, visit);
        return Ok(());
    };
    let mut stored = Elements::default();
    each_output(cx, &elements, range, &options.gets, |_, text| {
        stored.push(Element::Bytes(text.unwrap_or(b"")));
    });
    let limits = cx.limits();
    let texts = stored.list.iter().map(|item| stored.text(item));
    cx.store(args.at(store), List::from_elements(texts.clone(), &limits), Events::LIST, "sortstore");
    cx.count_elements(args.at(store), outputs);
    log_stored(cx, args.at(store), texts);
    cx.out.integer(outputs as i64);
    Ok(())
}

/// The log gets the result: what it was made of may have expired for its reader, or not yet.
fn log_stored<'t>(cx: &mut Context, key: &'t [u8], texts: impl Iterator<Item = &'t [u8]>) {
    if cx.is_logged() {
        cx.log_as(&[b"DEL", key]);
        let words: Vec<&[u8]> = [b"RPUSH".as_slice(), key].into_iter().chain(texts).collect();
        if words.len() > 2 {
            cx.log_as(&words);
        }
    }
}

/// Visits what the result consists of: the elements, or for each what every GET finds.
fn each_output(
    cx: &mut Context,
    elements: &Elements,
    range: Range<usize>,
    gets: &[Get],
    mut visit: impl FnMut(&mut Context, Option<&[u8]>),
) {
    let (mut name, mut value) = (Vec::new(), Vec::new());
    for item in &elements.list[range] {
        let text = elements.text(item);
        if gets.is_empty() {
            visit(cx, Some(text));
        }
        for get in gets {
            match get {
                Get::Element => visit(cx, Some(text)),
                Get::Nothing => visit(cx, None),
                Get::Value(pattern) => {
                    value.clear();
                    let found = pattern.look_up(cx, text, &mut name, |bytes| value.extend_from_slice(bytes));
                    visit(cx, found.map(|()| value.as_slice()));
                }
            }
        }
    }
}
