//! Members by chance: for SPOP and SRANDMEMBER.
//!
//! Some members of a set without repetition are drawn in one walk where they are many: each is taken with the chance that is
//! left to it, number wanted to number left, which makes all choices equally likely and needs no memory.

use std::ops::ControlFlow;

use super::{Set, SetView};
use crate::base::rng::Rng;
use crate::types::listpack::{self, Element};
use crate::types::{Collection, Limits, intset};

/// A walk costs as much per member as drawing this many singly.
const WALK_WHERE_ONE_OF: usize = 3;
/// What is left is copied to a new set if SPOP takes this many times more.
const COPY_LEFT_WHERE_TAKEN_TIMES: usize = 5;

impl<'a> SetView<'a> {
    /// A member of a set that is not empty.
    pub fn random(self, rng: &mut Rng) -> Element<'a> {
        match self {
            SetView::Ints(ints) => {
                Element::Int(intset::at(ints, rng.below(intset::len(ints) as u64) as usize))
            }
            SetView::Packed(pack) => {
                let rank = rng.below(listpack::len(pack) as u64) as i64;
                listpack::get(
                    pack,
                    listpack::nth(pack, rank).expect("the rank is below the number of members"),
                )
            }
            SetView::Table(table) => {
                Element::Bytes(table.random(&mut || rng.next_u64()).expect("no set is empty").key())
            }
        }
    }

    /// So many members of a set that is not empty, each drawn from all.
    pub fn draw(self, count: usize, rng: &mut Rng, mut visit: impl FnMut(Element<'a>)) {
        let SetView::Packed(pack) = self else {
            (0..count).for_each(|_| visit(self.random(rng)));
            return;
        };
        let members: Vec<Element> = listpack::iter(pack).collect();
        (0..count).for_each(|_| visit(members[rng.below(members.len() as u64) as usize]));
    }

    /// So many different members; there are at least as many.
    pub fn sample(self, count: usize, rng: &mut Rng, mut visit: impl FnMut(Element<'a>)) {
        let SetView::Table(table) = self else { return self.walk_sample(count, rng, visit) };
        if table.len() / WALK_WHERE_ONE_OF <= count {
            return self.walk_sample(count, rng, visit);
        }
        let mut seen = super::new_table();
        while seen.len() < count {
            let member = self.random(rng);
            if member.with(|text| seen.add_member(text)) {
                visit(member);
            }
        }
    }

    fn walk_sample(self, count: usize, rng: &mut Rng, mut visit: impl FnMut(Element<'a>)) {
        let mut choice = Choice { wanted: count, left: self.len() };
        let _ = self.try_each(|member| {
            if choice.next(rng) {
                visit(member);
            }
            if choice.wanted == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
    }
}

/// Takes so many of those left, one after the other.
struct Choice {
    wanted: usize,
    left: usize,
}

impl Choice {
    /// Whether the next is taken.
    fn next(&mut self, rng: &mut Rng) -> bool {
        let taken = rng.below(self.left as u64) < self.wanted as u64;
        self.left -= 1;
        self.wanted -= taken as usize;
        taken
    }
}

impl Set {
    /// Takes a member out of a set that is not empty.
    pub fn pop(&mut self, rng: &mut Rng, visit: impl FnOnce(Element)) {
        match self {
            Set::Ints(ints) => {
                let rank = rng.below(intset::len(ints) as u64) as usize;
                visit(Element::Int(intset::at(ints, rank)));
                intset::remove_at(ints, rank);
            }
            Set::Packed(pack) => {
                let rank = rng.below(listpack::len(pack) as u64) as i64;
                let place = listpack::nth(pack, rank).expect("the rank is below the number of members");
                visit(listpack::get(pack, place));
                listpack::remove(pack, place, 1);
            }
            Set::Table(table) => {
                let entry = table.random(&mut || rng.next_u64()).expect("no set is empty");
                visit(Element::Bytes(entry.key()));
                let member: smallvec::SmallVec<[u8; 64]> = entry.key().into();
                table.remove(&member);
            }
        }
    }

    /// Takes so many members out; there are more. Returns what is to be thrown away, which may be large.
    pub fn pop_many(
        &mut self,
        count: usize,
        rng: &mut Rng,
        limits: &Limits,
        mut visit: impl FnMut(Element),
    ) -> Option<Set> {
        let left = self.view().len() - count;
        if matches!(self, Set::Table(_)) {
            if left * COPY_LEFT_WHERE_TAKEN_TIMES > count {
                (0..count).for_each(|_| self.pop(rng, &mut visit));
                return None;
            }
            return Some(self.leave(left, rng, limits, visit));
        }
        let mut choice = Choice { wanted: count, left: left + count };
        let mut kept = match self {
            Set::Ints(_) => intset::empty(),
            _ => listpack::empty(),
        };
        self.view().for_each(|member| match (choice.next(rng), member) {
            (true, member) => visit(member),
            (false, Element::Int(value)) if matches!(self, Set::Ints(_)) => {
                intset::add(&mut kept, value);
            }
            (false, Element::Int(value)) => listpack::push_int(&mut kept, value),
            (false, Element::Bytes(bytes)) => listpack::push(&mut kept, bytes),
        });
        *self = Set::from_packed(self.encoding(), kept);
        None
    }

    /// Leaves so many members, in a set as small as may be, takes the others out, and returns what was there.
    fn leave(&mut self, left: usize, rng: &mut Rng, limits: &Limits, mut visit: impl FnMut(Element)) -> Set {
        let mut kept = Set::Packed(listpack::empty());
        let mut choice = Choice { wanted: left, left: self.view().len() };
        self.view().for_each(|member| {
            if choice.next(rng) {
                kept.add_element(member, limits);
            } else {
                visit(member);
            }
        });
        std::mem::replace(self, kept)
    }
}
