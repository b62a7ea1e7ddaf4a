//! Intersections, unions and differences of sets.
//! In: views of sets. Out: their common, joint or remaining members, one after the other or as a set.
//! Absent: keys, replies.
//!
//! Most of the work is to ask large tables for members. `sift` asks a window of members at a time, so that the cache fetches
//! for all of them at once; and as tables are walked in the order of hashes, of which all have the same, those that are
//! looked up one after the other lie near each other.

use std::ops::ControlFlow;

use smallvec::SmallVec;

use super::super::store;
use super::{Set, SetView};
use crate::types::listpack::Element;
use crate::types::{Collection, Limits, intset};

const WINDOW: usize = 32;

/// The sets of a command: those that are there, in order.
pub type Views<'a> = SmallVec<[SetView<'a>; 4]>;

/// Calls `keep` with each of the members that all of `others` have (`wanted`), or that none of them has, until it breaks off.
pub fn sift<'a>(
    members: SetView<'a>,
    others: &[SetView],
    wanted: bool,
    mut keep: impl FnMut(Element<'a>) -> ControlFlow<()>,
) {
    let hashes =
        others.iter().find_map(|other| if let SetView::Table(table) = other { Some(*table) } else { None });
    let Some(hashes) = hashes else {
        let _ = members.try_each(|member| {
            let kept = member.with(|text| others.iter().all(|other| other.contains(text) == wanted));
            if kept { keep(member) } else { ControlFlow::Continue(()) }
        });
        return;
    };
    let mut window = Window::new();
    let walk = members.try_each(|member| {
        window.push((member, member.with(|text| hashes.hash(text))));
        if window.len() < WINDOW {
            return ControlFlow::Continue(());
        }
        pass_through(&mut window, others, wanted);
        window.drain(..).try_for_each(|(member, _)| keep(member))
    });
    if walk.is_continue() {
        pass_through(&mut window, others, wanted);
        let _ = window.drain(..).try_for_each(|(member, _)| keep(member));
    }
}

/// Members with their hashes.
type Window<'a> = SmallVec<[(Element<'a>, u64); WINDOW]>;

/// Leaves the members that all of `others` have, or none of them.
fn pass_through(window: &mut Window, others: &[SetView], wanted: bool) {
    for other in others {
        match other {
            SetView::Table(table) => {
                store::prefetch(window.iter().map(|(_, hash)| (*table, *hash)));
                window.retain(|(member, hash)| {
                    member.with(|text| table.find_hashed(*hash, text).is_some()) == wanted
                });
            }
            packed => window.retain(|(member, _)| member.with(|text| packed.contains(text)) == wanted),
        }
    }
}

/// Calls `keep` with the members that all sets have, of which there is at least one, until it breaks off. The smallest is walked.
pub fn intersect<'a>(mut sets: Views<'a>, keep: impl FnMut(Element<'a>) -> ControlFlow<()>) {
    sets.sort_by_key(|set| set.len());
    sift(sets[0], &sets[1..], true, keep);
}

/// The members that all sets have, as a set.
pub fn intersection(sets: Views, limits: &Limits) -> Set {
    let smallest = sets.iter().min_by_key(|set| set.len());
    let mut result = match smallest {
        Some(SetView::Ints(_)) | None => Set::Ints(intset::empty()),
        Some(_) => Set::packed(),
    };
    intersect(sets, |member| {
        result.add_element(member, limits);
        ControlFlow::Continue(())
    });
    result.gather_integers(limits);
    result
}

/// What unites or subtracts sets: members to be handed on at once, or a set made of them.
pub enum Outcome<'a> {
    /// The members of the first that none of the others has; as many as there are parts.
    Parts(Vec<(SetView<'a>, Views<'a>)>),
    Made(Set),
}

/// The set of all members, beginning with `result`.
pub fn unite(sets: &[SetView], mut result: Set, limits: &Limits) -> Set {
    for set in sets {
        set.for_each(|member| {
            result.add_element(member, limits);
        });
    }
    result
}

/// The union, to be handed on member by member: without a set of its own if a few lookups in tables do as well.
pub fn union_parts<'a>(sets: &Views<'a>, limits: &Limits) -> Outcome<'a> {
    const PARTS_MAX: usize = 4;
    let mut sorted = sets.clone();
    sorted.sort_by_key(|set| std::cmp::Reverse(set.len()));
    let asked = &sorted[..sorted.len().saturating_sub(1)];
    if sorted.len() > PARTS_MAX || !asked.iter().all(|set| matches!(set, SetView::Table(_))) {
        return Outcome::Made(unite(sets, scratch(sets), limits));
    }
    let part = |at: usize| (sorted[at], Views::from_slice(&sorted[..at]));
    Outcome::Parts((0..sorted.len()).map(part).collect())
}

/// An empty set to collect members in: their number decides nothing, but integers stay in order.
fn scratch(sets: &[SetView]) -> Set {
    let integers = sets.iter().all(|set| matches!(set, SetView::Ints(_)));
    if integers { Set::Ints(intset::empty()) } else { Set::table() }
}

/// The members of the first set that no other has; none, if the first is missing.
///
/// As in Redis, either each of them is looked up in the others, or, where that is more work, all are copied and those of the
/// others taken away. Which of the two shows in the encoding of what SDIFFSTORE stores (`store`).
pub fn subtract<'a>(sets: &[Option<SetView<'a>>], limits: &Limits, store: bool) -> Outcome<'a> {
    let Some(first) = sets[0] else { return Outcome::Parts(Vec::new()) };
    let mut others: Views = sets[1..].iter().copied().flatten().collect();
    let work_of_lookups = first.len() * (others.len() + 1) / 2;
    let work_of_copy = first.len() + others.iter().map(|set| set.len()).sum::<usize>();
    if work_of_lookups <= work_of_copy {
        // The largest is the most likely to have a member.
        others.sort_by_key(|set| std::cmp::Reverse(set.len()));
        return Outcome::Parts(vec![(first, others)]);
    }
    let all: Views = sets.iter().copied().flatten().collect();
    let empty = if store { Set::Ints(intset::empty()) } else { scratch(&all) };
    let mut left = unite(&[first], empty, limits);
    for other in others {
        let _ = other.try_each(|member| {
            member.with(|member| left.remove(member));
            if left.is_empty() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
    }
    Outcome::Made(left)
}

impl<'a> Outcome<'a> {
    pub fn into_set(self, limits: &Limits) -> Set {
        if let Outcome::Made(set) = self {
            return set;
        }
        let mut set = Set::Ints(intset::empty());
        self.for_each(|member| {
            set.add_element(member, limits);
        });
        set
    }

    /// Visits the members.
    pub fn for_each(&self, mut visit: impl FnMut(Element)) {
        match self {
            Outcome::Made(set) => set.view().for_each(visit),
            Outcome::Parts(parts) => {
                for (members, others) in parts {
                    sift(*members, others, false, |member| {
                        visit(member);
                        ControlFlow::Continue(())
                    });
                }
            }
        }
    }
}
