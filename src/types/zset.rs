//! Sorted sets: distinct members in the order of their scores.
//! In: members and scores. Out: the same, in one packed run of bytes or in a table with a tree. Absent: keys, replies.
//!
//! A small set is a listpack (`packed`); one that outgrows the limits becomes a hash table with a tree (`sorted`), and stays
//! one. Which members a command means is a `Range`; it comes down to ranks, which both forms find quickly.

mod packed;
mod range;
mod sorted;
#[cfg(test)]
mod tests;

use super::collection::{Collection, object_variant};
use super::listpack::{self, Element};
use super::{Encoding, Limits};
use range::resolve_ranks;
pub use range::{LexRange, Range, ScoreRange};
pub use sorted::{Gathered, Sorted};

/// Distinct members in order of score, then of their bytes.
#[derive(Debug)]
pub enum Zset {
    /// A listpack: member, score, member, score … in order.
    Packed(Vec<u8>),
    Tree(Box<Sorted>),
}

/// Zset to be read, wherever it lies.
#[derive(Clone, Copy, Debug)]
pub enum ZsetView<'a> {
    Packed(&'a [u8]),
    Tree(&'a Sorted),
}

impl<'a> ZsetView<'a> {
    pub fn len(self) -> usize {
        match self {
            ZsetView::Packed(pack) => packed::len(pack),
            ZsetView::Tree(sorted) => sorted.len(),
        }
    }

    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    pub fn score(self, member: &[u8]) -> Option<f64> {
        match self {
            ZsetView::Packed(pack) => packed::find(pack, member).map(|(_, score)| score),
            ZsetView::Tree(sorted) => sorted.score(member),
        }
    }

    /// A member's rank, from 0, and its score.
    pub fn rank(self, member: &[u8]) -> Option<(usize, f64)> {
        match self {
            ZsetView::Packed(pack) => {
                let mut pairs = packed::iter_from(pack, 0).enumerate();
                pairs.find(|(_, (other, _))| other.equals(member)).map(|(rank, (_, score))| (rank, score))
            }
            ZsetView::Tree(sorted) => sorted.rank(member),
        }
    }

    /// The ranks of the members that are meant.
    pub fn ranks(self, range: &Range) -> std::ops::Range<usize> {
        if let Range::Rank(start, stop) = *range {
            return resolve_ranks(start, stop, self.len());
        }
        if range.is_empty() {
            return 0..0;
        }
        let (from, to) = match (self, range) {
            (ZsetView::Packed(pack), _) => {
                let mut pairs = packed::iter_from(pack, 0).peekable();
                let mut from = 0;
                while pairs.next_if(|&(member, score)| range.is_above(member, score)).is_some() {
                    from += 1;
                }
                (from, from + pairs.take_while(|&(member, score)| range.ends_behind(member, score)).count())
            }
            (ZsetView::Tree(sorted), Range::Score(range)) => (
                sorted.partition_point_by_score(|score| range.is_above(score)),
                sorted.partition_point_by_score(|score| range.ends_behind(score)),
            ),
            (ZsetView::Tree(sorted), _) => (
                sorted.partition_point(|member, score| range.is_above(Element::Bytes(member), score)),
                sorted.partition_point(|member, score| range.ends_behind(Element::Bytes(member), score)),
            ),
        };
        from..to.max(from)
    }

    /// The member of a rank, from 0.
    pub fn nth(self, rank: usize) -> Option<(Element<'a>, f64)> {
        match self {
            ZsetView::Packed(pack) => packed::iter_from(pack, rank).next(),
            ZsetView::Tree(sorted) => sorted.nth(rank).map(|(member, score)| (Element::Bytes(member), score)),
        }
    }

    /// Visits the members of these ranks, in order or from the last to the first.
    pub fn for_range(
        self,
        ranks: std::ops::Range<usize>,
        reverse: bool,
        mut visit: impl FnMut(Element, f64),
    ) {
        match self {
            _ if ranks.is_empty() => {}
            ZsetView::Packed(pack) if reverse => {
                let pairs = packed::iter_back_from(pack, ranks.end - 1).take(ranks.len());
                pairs.for_each(|(member, score)| visit(member, score));
            }
            ZsetView::Packed(pack) => {
                let pairs = packed::iter_from(pack, ranks.start).take(ranks.len());
                pairs.for_each(|(member, score)| visit(member, score));
            }
            ZsetView::Tree(sorted) => {
                sorted.for_range(ranks, reverse, |member, score| visit(Element::Bytes(member), score));
            }
        }
    }

    /// Visits all members, in no particular order.
    pub fn for_each(self, mut visit: impl FnMut(Element, f64)) {
        match self {
            ZsetView::Packed(_) => self.for_range(0..self.len(), false, visit),
            ZsetView::Tree(sorted) => sorted.for_each(|member, score| visit(Element::Bytes(member), score)),
        }
    }

    /// Visits some members; the cursor to go on with, 0 at the end. A packed set is visited at once.
    pub fn scan(self, cursor: u64, visit: &mut dyn FnMut(Element, f64)) -> u64 {
        match self {
            ZsetView::Packed(_) => {
                self.for_each(visit);
                0
            }
            ZsetView::Tree(sorted) => {
                sorted.scan(cursor, &mut |member, score| visit(Element::Bytes(member), score))
            }
        }
    }
}

impl Zset {
    /// A set of gathered members, in the form that the limits ask for.
    pub fn gathered(members: Gathered, limits: &Limits) -> Zset {
        let (sorted, longest) = members.finish();
        if sorted.len() > limits.zset_entries_max || longest > limits.zset_value_bytes_max {
            return Zset::Tree(Box::new(sorted));
        }
        let mut pack = listpack::empty();
        sorted.for_range(0..sorted.len(), false, |member, score| packed::push(&mut pack, member, score));
        Zset::Packed(pack)
    }

    /// So many more members are about to come, of up to so many bytes: what a small one cannot hold makes it large at
    /// once, even if none is added in the end.
    pub fn expect(&mut self, members: usize, bytes_max: usize, limits: &Limits) {
        if members > limits.zset_entries_max || bytes_max > limits.zset_value_bytes_max {
            self.grow();
        }
    }

    /// Lets `choose` see the member's score and give it another one; None leaves it, or adds no member.
    pub fn update(
        &mut self,
        member: &[u8],
        limits: &Limits,
        choose: impl FnOnce(Option<f64>) -> Option<f64>,
    ) {
        let pack = match self {
            Zset::Tree(sorted) => return sorted.update(member, choose),
            Zset::Packed(pack) => pack,
        };
        let found = packed::find(pack, member);
        let Some(score) = choose(found.map(|(_, score)| score)) else { return };
        let fits = || {
            packed::len(pack) < limits.zset_entries_max
                && member.len() <= limits.zset_value_bytes_max
                && listpack::fits(pack, member.len())
        };
        if let Some((place, _)) = found {
            packed::remove(pack, place, 1);
        } else if !fits() {
            self.grow().update(member, |_| Some(score));
            return;
        }
        packed::insert(pack, member, score);
    }

    /// Removes a member; its score.
    pub fn remove(&mut self, member: &[u8]) -> Option<f64> {
        match self {
            Zset::Packed(pack) => {
                let (place, score) = packed::find(pack, member)?;
                packed::remove(pack, place, 1);
                Some(score)
            }
            Zset::Tree(sorted) => sorted.remove(member),
        }
    }

    pub fn remove_range(&mut self, ranks: std::ops::Range<usize>) {
        match self {
            _ if ranks.is_empty() => {}
            Zset::Packed(pack) => {
                if let Some(place) = listpack::nth(pack, 2 * ranks.start as i64) {
                    packed::remove(pack, place, ranks.len());
                }
            }
            Zset::Tree(sorted) => sorted.remove_range(ranks),
        }
    }

    /// Removes up to `count` members from one end, after a look at each.
    pub fn pop(&mut self, last: bool, count: usize, mut look: impl FnMut(Element, f64)) {
        let len = self.view().len();
        let count = count.min(len);
        if let Zset::Tree(sorted) = self
            && count == 1
        {
            return sorted.pop(last, |member, score| look(Element::Bytes(member), score));
        }
        let ranks = if last { len - count..len } else { 0..count };
        self.view().for_range(ranks.clone(), last, look);
        self.remove_range(ranks);
    }

    /// Makes it large.
    fn grow(&mut self) -> &mut Sorted {
        if let Zset::Packed(pack) = self {
            let mut names = Vec::new();
            let spans: Vec<_> = packed::iter_from(pack, 0)
                .map(|(member, score)| {
                    let from = names.len();
                    member.with(|bytes| names.extend_from_slice(bytes));
                    (from..names.len(), score)
                })
                .collect();
            let pairs = spans.into_iter().map(|(span, score)| (&names[span], score));
            *self = Zset::Tree(Box::new(Sorted::from_sorted(pairs)));
        }
        let Zset::Tree(sorted) = self else { unreachable!("it is large now") };
        sorted
    }
}

impl Collection for Zset {
    object_variant!(Zset);
    type View<'a> = ZsetView<'a>;

    fn new(mut memory: Vec<u8>) -> Self {
        listpack::clear(&mut memory);
        Zset::Packed(memory)
    }

    fn from_packed(_: Encoding, bytes: Vec<u8>) -> Self {
        Zset::Packed(bytes)
    }

    fn view_packed(_: Encoding, bytes: &[u8]) -> ZsetView<'_> {
        ZsetView::Packed(bytes)
    }

    fn view(&self) -> ZsetView<'_> {
        match self {
            Zset::Packed(bytes) => ZsetView::Packed(bytes),
            Zset::Tree(sorted) => ZsetView::Tree(sorted),
        }
    }

    fn packed_mut(&mut self) -> Option<&mut Vec<u8>> {
        match self {
            Zset::Packed(bytes) => Some(bytes),
            Zset::Tree(_) => None,
        }
    }

    fn encoding(&self) -> Encoding {
        match self {
            Zset::Packed(_) => Encoding::Listpack,
            Zset::Tree(_) => Encoding::Skiplist,
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Zset::Packed(bytes) => listpack::is_empty(bytes),
            Zset::Tree(sorted) => sorted.is_empty(),
        }
    }

    fn bytes_allocated(&self) -> usize {
        match self {
            Zset::Packed(bytes) => bytes.capacity(),
            Zset::Tree(sorted) => sorted.bytes_allocated(),
        }
    }

    fn duplicate(&self) -> Self {
        match self {
            Zset::Packed(bytes) => Zset::Packed(bytes.clone()),
            Zset::Tree(sorted) => Zset::Tree(Box::new(sorted.duplicate())),
        }
    }

    fn free_slice(&mut self, elements_max: usize) -> bool {
        match self {
            Zset::Packed(_) => true,
            Zset::Tree(sorted) => sorted.free_slice(elements_max),
        }
    }
}
