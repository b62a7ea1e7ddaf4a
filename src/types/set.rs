//! Sets of distinct members.
//! In: members. Out: the same, as sorted integers, in one packed run of bytes, or a table. Absent: keys, replies.
//!
//! A set begins as integers in ascending order. A member that is none makes it a listpack, too many or too long ones a table
//! of keys without values. It never goes back, but for what SPOP leaves of a large one. All tables hash members alike
//! (`types::hasher`), so that one hash finds a member in each of several sets.

pub mod algebra;
mod random;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;

use super::collection::{Collection, object_variant};
use super::intset;
use super::listpack::{self, Element};
use super::store::{self, Store};
use super::{Encoding, Limits};
use crate::base::number::parse_i64;

/// Distinct members.
#[derive(Debug)]
pub enum Set {
    /// An intset.
    Ints(Vec<u8>),
    /// A listpack.
    Packed(Vec<u8>),
    Table(Box<Store>),
}

/// Set to be read, wherever it lies.
#[derive(Clone, Copy, Debug)]
pub enum SetView<'a> {
    Ints(&'a [u8]),
    Packed(&'a [u8]),
    Table(&'a Store),
}

impl Set {
    /// An empty set without limits to its size.
    pub fn table() -> Set {
        Set::Table(Box::new(new_table()))
    }

    /// An empty set that takes integers as it takes any members, until `gather_integers`.
    pub fn packed() -> Set {
        Set::Packed(listpack::empty())
    }

    /// Makes a sorted set of integers of one that has few members and nothing else.
    pub fn gather_integers(&mut self, limits: &Limits) {
        if matches!(self, Set::Ints(_)) || self.view().len() > limits.set_ints_max {
            return;
        }
        let mut ints = intset::empty();
        let others = self.view().try_each(|member| match member.as_i64() {
            Some(value) => {
                intset::add(&mut ints, value);
                ControlFlow::Continue(())
            }
            None => ControlFlow::Break(()),
        });
        if others.is_continue() {
            *self = Set::Ints(ints);
        }
    }

    /// Chooses the form of a set that so many members are about to be added to, `first` before the others: what they would
    /// need if all were new.
    pub fn expect(&mut self, first: &[u8], members: usize, limits: &Limits) {
        if self.is_empty() {
            if members <= limits.set_ints_max && parse_i64(first).is_some() {
                return;
            }
            if members <= limits.set_entries_max {
                self.become_empty_listpack();
            } else {
                *self = Set::table();
            }
            return;
        }
        let fits = match self {
            Set::Ints(_) => members <= limits.set_ints_max,
            Set::Packed(_) => members <= limits.set_entries_max,
            Set::Table(_) => true,
        };
        if !fits {
            self.become_table();
        }
    }

    /// Whether the member was not there yet.
    pub fn add(&mut self, member: &[u8], limits: &Limits) -> bool {
        match self {
            Set::Table(table) => table.add_member(member),
            Set::Packed(pack) => {
                if find(pack, member).is_some() {
                    return false;
                }
                let fits = listpack::len(pack) < limits.set_entries_max
                    && member.len() <= limits.set_value_bytes_max
                    && listpack::fits(pack, member.len());
                if fits {
                    listpack::push(pack, member);
                    return true;
                }
                self.become_table().add_member(member)
            }
            Set::Ints(ints) => match parse_i64(member) {
                Some(value) => {
                    let added = intset::add(ints, value);
                    if added && intset::len(ints) > limits.set_ints_max {
                        self.become_table();
                    }
                    added
                }
                None => self.add_text_to_integers(member, limits),
            },
        }
    }

    pub fn add_element(&mut self, member: Element, limits: &Limits) -> bool {
        member.with(|member| self.add(member, limits))
    }

    /// Adds the first member that is no integer.
    fn add_text_to_integers(&mut self, member: &[u8], limits: &Limits) -> bool {
        let Set::Ints(ints) = self else { unreachable!("the caller saw integers") };
        let ends = [intset::first(ints), intset::last(ints)];
        let digits_max = ends.iter().flatten().map(|&end| Element::Int(end).len()).max().unwrap_or(0);
        let fits = intset::len(ints) < limits.set_entries_max
            && member.len() <= limits.set_value_bytes_max
            && digits_max <= limits.set_value_bytes_max;
        if !fits {
            return self.become_table().add_member(member);
        }
        let mut pack = listpack::empty();
        intset::iter(ints).for_each(|value| listpack::push_int(&mut pack, value));
        listpack::push(&mut pack, member);
        *self = Set::Packed(pack);
        true
    }

    /// Whether the member was there.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        match self {
            Set::Ints(ints) => parse_i64(member).is_some_and(|value| intset::remove(ints, value)),
            Set::Packed(pack) => {
                let Some(place) = find(pack, member) else { return false };
                listpack::remove(pack, place, 1);
                true
            }
            Set::Table(table) => table.remove(member).is_some(),
        }
    }

    /// Fetches what is needed to add or remove members soon. Of use for many of them only.
    pub fn prefetch<'a>(&self, members: impl Iterator<Item = &'a [u8]>) {
        if let Set::Table(table) = self {
            store::prefetch(members.map(|member| (&**table, table.hash(member))));
        }
    }

    fn become_empty_listpack(&mut self) {
        let mut memory = self.packed_mut().map(std::mem::take).unwrap_or_default();
        listpack::clear(&mut memory);
        *self = Set::Packed(memory);
    }

    /// Copies the members to a table.
    fn become_table(&mut self) -> &mut Store {
        let mut table = new_table();
        self.view().for_each(|member| {
            member.with(|member| table.add_member(member));
        });
        *self = Set::Table(Box::new(table));
        let Set::Table(table) = self else { unreachable!("it is one now") };
        table
    }
}

fn new_table() -> Store {
    Store::inside_value(super::hasher())
}

fn find(pack: &[u8], member: &[u8]) -> Option<listpack::Place> {
    listpack::find(pack, listpack::first(pack)?, 1, member)
}

impl<'a> SetView<'a> {
    #[allow(clippy::len_without_is_empty)]
    pub fn len(self) -> usize {
        match self {
            SetView::Ints(ints) => intset::len(ints),
            SetView::Packed(pack) => listpack::len(pack),
            SetView::Table(table) => table.len(),
        }
    }

    pub fn contains(self, member: &[u8]) -> bool {
        match self {
            SetView::Ints(ints) => parse_i64(member).is_some_and(|value| intset::contains(ints, value)),
            SetView::Packed(pack) => find(pack, member).is_some(),
            SetView::Table(table) => table.find(member).is_some(),
        }
    }

    /// Visits the members, integers in ascending order, until `visit` breaks off.
    pub fn try_each<B>(self, mut visit: impl FnMut(Element<'a>) -> ControlFlow<B>) -> ControlFlow<B> {
        match self {
            SetView::Ints(ints) => intset::iter(ints).try_for_each(|value| visit(Element::Int(value))),
            SetView::Packed(pack) => listpack::iter(pack).try_for_each(visit),
            SetView::Table(table) => table.iter().try_for_each(|entry| visit(Element::Bytes(entry.key()))),
        }
    }

    pub fn for_each(self, mut visit: impl FnMut(Element<'a>)) {
        let _ = self.try_each(|member| -> ControlFlow<()> {
            visit(member);
            ControlFlow::Continue(())
        });
    }
}

impl Collection for Set {
    object_variant!(Set);
    type View<'a> = SetView<'a>;

    fn new(mut memory: Vec<u8>) -> Self {
        intset::clear(&mut memory);
        Set::Ints(memory)
    }

    fn from_packed(encoding: Encoding, bytes: Vec<u8>) -> Self {
        if encoding == Encoding::Intset { Set::Ints(bytes) } else { Set::Packed(bytes) }
    }

    fn view_packed(encoding: Encoding, bytes: &[u8]) -> SetView<'_> {
        if encoding == Encoding::Intset { SetView::Ints(bytes) } else { SetView::Packed(bytes) }
    }

    fn view(&self) -> SetView<'_> {
        match self {
            Set::Ints(bytes) => SetView::Ints(bytes),
            Set::Packed(bytes) => SetView::Packed(bytes),
            Set::Table(table) => SetView::Table(table),
        }
    }

    fn packed_mut(&mut self) -> Option<&mut Vec<u8>> {
        match self {
            Set::Ints(bytes) | Set::Packed(bytes) => Some(bytes),
            Set::Table(_) => None,
        }
    }

    fn encoding(&self) -> Encoding {
        match self {
            Set::Ints(_) => Encoding::Intset,
            Set::Packed(_) => Encoding::Listpack,
            Set::Table(_) => Encoding::Hashtable,
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Set::Ints(bytes) => bytes.len() <= 8,
            Set::Packed(bytes) => bytes.len() <= 7,
            Set::Table(table) => table.is_empty(),
        }
    }

    fn bytes_allocated(&self) -> usize {
        match self {
            Set::Ints(bytes) | Set::Packed(bytes) => bytes.capacity(),
            Set::Table(table) => size_of::<Store>() + table.bytes(),
        }
    }

    fn duplicate(&self) -> Self {
        match self {
            Set::Ints(bytes) => Set::Ints(bytes.clone()),
            Set::Packed(bytes) => Set::Packed(bytes.clone()),
            Set::Table(table) => Set::Table(Box::new(table.duplicate())),
        }
    }

    fn free_slice(&mut self, elements_max: usize) -> bool {
        match self {
            Set::Ints(_) | Set::Packed(_) => true,
            Set::Table(table) => table.free_slice(elements_max, &mut drop),
        }
    }
}
