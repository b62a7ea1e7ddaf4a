//! Finding elements by their value: LPOS, LREM.

use super::super::{Context, Error};
use super::integer;
use crate::base::number::parse_i64;
use crate::client::Args;
use crate::config::Events;
use crate::types::List;
use crate::types::list::Side;
use crate::types::listpack::Element;

const BELOW_LEAST: Error = Error(std::borrow::Cow::Borrowed(
    b"ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
));
const ZERO_RANK: Error = Error(std::borrow::Cow::Borrowed(
    b"ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start from the end of the list",
));

/// An integer that can be negated.
fn signed(arg: &[u8]) -> Result<i64, Error> {
    let value = integer(arg)?;
    if value == i64::MIN { Err(BELOW_LEAST) } else { Ok(value) }
}

pub fn lrem(cx: &mut Context, args: Args) -> Result<(), Error> {
    let count = signed(args.at(2))?;
    let from = if count < 0 { Side::Right } else { Side::Left };
    let count_max = if count == 0 { usize::MAX } else { count.unsigned_abs() as usize };
    let limits = cx.limits();
    let removed = cx.change(args.at(1), false, |list: &mut List, _| {
        let removed = list.remove_equal(from, count_max, args.at(3), &limits);
        (removed, removed > 0)
    })?;
    let removed = removed.unwrap_or(0);
    if removed > 0 {
        cx.count_elements(args.at(1), removed);
        cx.notify_shrunk(Events::LIST, "lrem", args.at(1));
    }
    cx.out.integer(removed as i64);
    Ok(())
}

/// What LPOS is to look for.
struct Search {
    /// Matches to pass over.
    skip: u64,
    from: Side,
    /// None: a single index rather than an array of them. 0: all.
    count: Option<usize>,
    /// The elements to look at; 0: all.
    looks: usize,
}

impl Search {
    fn parse(options: Args) -> Result<Search, Error> {
        let mut search = Search { skip: 0, from: Side::Left, count: None, looks: 0 };
        for at in (0..options.len()).step_by(2) {
            let not_negative = |what: &str| {
                let value = options.get(at + 1).and_then(parse_i64).and_then(|n| usize::try_from(n).ok());
                value.ok_or_else(|| Error::new(format!("ERR {what} can't be negative")))
            };
            if at + 1 == options.len() {
                return Err(Error::SYNTAX);
            } else if options.is(at, "rank") {
                let rank = signed(options.at(at + 1))?;
                search.skip = rank.unsigned_abs().checked_sub(1).ok_or(ZERO_RANK)?;
                search.from = if rank < 0 { Side::Right } else { Side::Left };
            } else if options.is(at, "count") {
                search.count = Some(not_negative("COUNT")?);
            } else if options.is(at, "maxlen") {
                search.looks = not_negative("MAXLEN")?;
            } else {
                return Err(Error::SYNTAX);
            }
        }
        Ok(search)
    }

    /// Calls `found` with the index, within the order given, of each match wanted.
    fn run<'a>(
        &self,
        elements: impl Iterator<Item = Element<'a>>,
        needle: &[u8],
        mut found: impl FnMut(usize),
    ) {
        let number = parse_i64(needle);
        let equals = |element: Element| match element {
            Element::Int(value) => number == Some(value),
            Element::Bytes(bytes) => bytes == needle,
        };
        let all = |limit: usize| if limit == 0 { usize::MAX } else { limit };
        let matches = elements.take(all(self.looks)).enumerate().filter(|(_, element)| equals(*element));
        let skip = usize::try_from(self.skip).unwrap_or(usize::MAX);
        let wanted = matches.skip(skip).take(self.count.map_or(1, all));
        wanted.for_each(|(index, _)| found(index));
    }
}

pub fn lpos(cx: &mut Context, args: Args) -> Result<(), Error> {
    let search = Search::parse(args.from(3))?;
    let (view, out) = cx.view::<List>(args.at(1))?;
    let header = search.count.map(|_| out.deferred());
    let mut matches = 0;
    if let Some(view) = view {
        let last = view.len() as i64 - 1;
        let elements = view.iter();
        match search.from {
            Side::Left => search.run(elements, args.at(2), |index| {
                out.integer(index as i64);
                matches += 1;
            }),
            Side::Right => search.run(elements.rev(), args.at(2), |index| {
                out.integer(last - index as i64);
                matches += 1;
            }),
        }
    }
    match header {
        Some(header) => out.finish_array(header, matches),
        None if matches == 0 => out.null(),
        None => {}
    }
    Ok(())
}
