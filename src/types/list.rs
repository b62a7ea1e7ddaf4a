//! Lists of elements in order.
//! In: elements. Out: the same, in one listpack or in nodes of them.
//! Absent: keys, replies, who waits for elements.
//!
//! A short list is one listpack. When it would exceed `list-max-listpack-size`, it becomes a `Quicklist`; when that has
//! shrunk to one node of half the size, it is a listpack again.

mod node;
mod quicklist;
#[cfg(test)]
mod tests;

use super::collection::{Collection, object_variant};
use super::listpack::{self, Element};
use super::{Encoding, Limits};
pub use node::Node;
use node::{NodeIter, Pack};
use quicklist::matches;
pub use quicklist::{Elements, Quicklist};

/// Elements in order.
#[derive(Debug)]
pub enum List {
    /// A listpack.
    Packed(Vec<u8>),
    Nodes(Box<Quicklist>),
}

/// List to be read, wherever it lies.
#[derive(Clone, Copy, Debug)]
pub enum ListView<'a> {
    Packed(&'a [u8]),
    Nodes(&'a Quicklist),
}

/// An end of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Left,
    Right,
}

/// How much one listpack of a list may hold, as `list-max-listpack-size` says: from 0 on so many elements, -1 to -5
/// so many KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill {
    option: i16,
    /// As in `Limits`.
    large_bytes_min: u32,
}

impl Fill {
    /// What an element is taken to need beside its bytes.
    const ELEMENT_OVERHEAD: usize = 8;
    /// A listpack of so many elements may not have more bytes, however few they are.
    const COUNTED_BYTES_MAX: usize = 8192;

    pub fn new(limits: &Limits) -> Fill {
        let option = limits.list_size_max.clamp(-5, i16::MAX as i64) as i16;
        Fill { option, large_bytes_min: limits.list_large_bytes_min }
    }

    /// As the option has it.
    pub fn option(self) -> i16 {
        self.option
    }

    /// Bytes, either way.
    fn bytes_max(self) -> usize {
        if self.option < 0 { 2048 << -self.option } else { Self::COUNTED_BYTES_MAX }
    }

    fn count_max(self) -> usize {
        if self.option < 0 { usize::MAX } else { self.option.max(1) as usize }
    }

    /// Whether that is too much for one listpack.
    fn exceeded_by(self, bytes: usize, count: usize) -> bool {
        bytes > self.bytes_max() || count > self.count_max()
    }

    /// Whether an element of that length gets a node of its own.
    fn is_large(self, bytes: usize) -> bool {
        match self.large_bytes_min {
            0 => bytes > self.bytes_max(),
            least => bytes >= least as usize,
        }
    }

    /// Whether a node is small enough to be the whole list, with `1 / share` of what a node may have.
    fn holds_all(self, bytes: usize, count: usize, share: usize) -> bool {
        if self.option < 0 { bytes <= self.bytes_max() / share } else { count <= self.count_max() / share }
    }
}

impl<'a> ListView<'a> {
    pub fn len(&self) -> usize {
        match self {
            ListView::Packed(pack) => listpack::len(pack),
            ListView::Nodes(nodes) => nodes.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Element `index`; negative: from the end.
    pub fn get(&self, index: i64) -> Option<Element<'a>> {
        match *self {
            ListView::Packed(pack) => listpack::nth(pack, index).map(|place| listpack::get(pack, place)),
            ListView::Nodes(nodes) => nodes.spot(from_front(index, nodes.len())?).map(|spot| nodes.get(spot)),
        }
    }

    /// The first or last element.
    #[inline]
    fn end(&self, side: Side) -> Option<Element<'a>> {
        let pack = match *self {
            ListView::Packed(pack) => pack,
            ListView::Nodes(nodes) => {
                let nodes = nodes.nodes();
                match if side == Side::Left { nodes.front() } else { nodes.back() }? {
                    Node::Pack(pack) => pack.as_listpack(),
                    Node::Plain(bytes) => return Some(Element::Bytes(bytes)),
                }
            }
        };
        let place = if side == Side::Left { listpack::first(pack) } else { listpack::last(pack) };
        place.map(|place| listpack::get(pack, place))
    }

    pub fn iter(&self) -> Elements<'a> {
        self.slice(0, self.len())
    }

    /// The elements `from..to`, which exist.
    pub fn slice(&self, from: usize, to: usize) -> Elements<'a> {
        match *self {
            ListView::Packed(pack) => Elements::of_node(NodeIter::Pack(listpack::slice(pack, from, to))),
            ListView::Nodes(nodes) => nodes.slice(from, to),
        }
    }

    /// The elements as they are kept together: a listpack, or one that is too large to share one.
    pub fn chunks(&self) -> impl Iterator<Item = Chunk<'a>> + use<'a> {
        let (pack, nodes) = match *self {
            ListView::Packed(pack) => (Some(pack), None),
            ListView::Nodes(nodes) => (None, Some(nodes.nodes())),
        };
        pack.map(Chunk::Listpack).into_iter().chain(nodes.into_iter().flatten().map(Chunk::of))
    }

    /// How many chunks there are.
    pub fn chunk_count(&self) -> usize {
        match self {
            ListView::Packed(_) => 1,
            ListView::Nodes(nodes) => nodes.nodes().len(),
        }
    }

    /// The chunk of that number, from 0.
    pub fn chunk(&self, index: usize) -> Option<Chunk<'a>> {
        match *self {
            ListView::Packed(pack) => (index == 0).then_some(Chunk::Listpack(pack)),
            ListView::Nodes(nodes) => nodes.nodes().get(index).map(Chunk::of),
        }
    }
}

/// A part of a list, as it is dumped.
#[derive(Clone, Copy, Debug)]
pub enum Chunk<'a> {
    Listpack(&'a [u8]),
    Plain(&'a [u8]),
}

impl<'a> Chunk<'a> {
    fn of(node: &'a Node) -> Chunk<'a> {
        match node {
            Node::Pack(pack) => Chunk::Listpack(pack.as_listpack()),
            Node::Plain(bytes) => Chunk::Plain(bytes),
        }
    }
}

fn from_front(index: i64, len: usize) -> Option<usize> {
    let index = if index < 0 { index.checked_add(len as i64)? } else { index };
    usize::try_from(index).ok()
}

impl List {
    /// A list of these elements.
    pub fn from_elements<'a>(elements: impl IntoIterator<Item = &'a [u8]>, limits: &Limits) -> List {
        let mut list = List::Packed(listpack::empty());
        elements.into_iter().for_each(|element| list.push(Side::Right, element, limits));
        list
    }

    /// A list with these nodes, whose listpacks are sound; empty ones are left out.
    pub fn from_chunks(chunks: impl IntoIterator<Item = OwnedChunk>, limits: &Limits) -> List {
        let mut nodes = Quicklist::new(Fill::new(limits));
        for chunk in chunks {
            nodes.push_node(match chunk {
                OwnedChunk::Listpack(pack) => Node::Pack(Pack::from_listpack(pack)),
                OwnedChunk::Plain(bytes) => Node::Plain(bytes.into()),
            });
        }
        let mut list = List::Nodes(Box::new(nodes));
        list.pack_if_within(limits, 1);
        list
    }

    /// Before elements come: makes nodes of the list if one listpack would become too large. `bytes` is the length of all.
    #[inline]
    pub fn prepare(&mut self, bytes: usize, count: usize, limits: &Limits) {
        if let List::Packed(pack) = self {
            let fill = Fill::new(limits);
            if fill.exceeded_by(pack.len() + bytes, listpack::len(pack) + count) {
                let mut nodes = Quicklist::new(fill);
                nodes.push_node(Node::Pack(Pack::from_listpack(std::mem::take(pack))));
                *self = List::Nodes(Box::new(nodes));
            }
        }
    }

    /// After elements went: a list of one node that is no more than half full is a listpack again.
    #[inline]
    pub fn settle(&mut self, limits: &Limits) {
        if matches!(self, List::Nodes(_)) {
            self.pack_if_within(limits, 2);
        }
    }

    fn pack_if_within(&mut self, limits: &Limits, share: usize) {
        let List::Nodes(nodes) = self else { return };
        let fits = |pack: &Pack| Fill::new(limits).holds_all(pack.bytes(), pack.len(), share);
        if nodes.is_empty() {
            *self = List::Packed(listpack::empty());
        } else if nodes.sole_pack().is_some_and(fits) {
            let nodes = std::mem::replace(&mut **nodes, Quicklist::new(Fill::new(limits)));
            *self = List::Packed(nodes.into_sole_pack());
        }
    }

    /// Adds an element at an end.
    pub fn push(&mut self, side: Side, element: &[u8], limits: &Limits) {
        self.prepare(element.len(), 1, limits);
        self.push_prepared(side, element);
    }

    /// Adds an element at an end; `prepare` came first.
    #[inline]
    pub fn push_prepared(&mut self, side: Side, element: &[u8]) {
        match self {
            List::Packed(pack) if side == Side::Left => listpack::push_front(pack, element),
            List::Packed(pack) => listpack::push(pack, element),
            List::Nodes(nodes) => nodes.push(side, element),
        }
    }

    /// Takes up to `count` elements from an end, each shown to `take` in the order of their going.
    pub fn pop(&mut self, side: Side, count: usize, limits: &Limits, take: impl FnMut(Element)) {
        self.pop_unsettled(side, count, take);
        // As in Redis, to ask for nothing changes nothing, not even after the option has changed.
        if count > 0 {
            self.settle(limits);
        }
    }

    fn pop_unsettled(&mut self, side: Side, count: usize, take: impl FnMut(Element)) {
        let view = self.view();
        let len = view.len();
        let count = count.min(len);
        match side {
            _ if count == 1 => view.end(side).into_iter().for_each(take),
            Side::Left => view.slice(0, count).for_each(take),
            Side::Right => view.slice(len - count, len).rev().for_each(take),
        }
        self.remove_end(side, count, drop);
    }

    /// Takes an element from one end and puts it to the other, or back; shows it to `take`.
    pub fn rotate(&mut self, from: Side, to: Side, limits: &Limits, take: impl FnOnce(Element)) {
        let mut moved = MovedElement::default();
        self.pop_unsettled(from, 1, |element| moved = MovedElement::new(element));
        self.push_moved(to, &moved, limits);
        moved.show(take);
        self.settle(limits);
    }

    /// Adds an element that comes from another list. As in Redis, its bytes do not count if it is an integer.
    pub fn push_moved(&mut self, side: Side, moved: &MovedElement, limits: &Limits) {
        self.prepare(if moved.int.is_some() { 0 } else { moved.bytes.len() }, 1, limits);
        self.push_prepared(side, &moved.bytes);
    }

    fn remove_end(&mut self, side: Side, count: usize, dropped: impl FnMut(Node)) {
        match self {
            List::Packed(pack) if count > 0 => {
                let first = if side == Side::Left { 0 } else { -(count as i64) };
                let place = listpack::nth(pack, first).expect("there are that many");
                listpack::remove(pack, place, count);
            }
            List::Packed(_) => {}
            List::Nodes(nodes) => nodes.remove_end(side, count, dropped),
        }
    }

    /// Keeps the elements `from..to`. What went is handed back if it is so much that it should be freed in slices.
    pub fn trim(&mut self, from: usize, to: usize, limits: &Limits) -> Option<List> {
        let len = self.view().len();
        let mut dropped = Quicklist::new(Fill::new(limits));
        if from >= to {
            let all = std::mem::replace(self, List::Packed(listpack::empty()));
            return matches!(all, List::Nodes(_)).then_some(all);
        }
        self.remove_end(Side::Left, from, |node| dropped.push_node(node));
        self.remove_end(Side::Right, len - to, |node| dropped.push_node(node));
        self.settle(limits);
        const AT_ONCE: usize = 64;
        (dropped.nodes().len() > AT_ONCE).then(|| List::Nodes(Box::new(dropped)))
    }

    /// Puts another element in the place of element `index` (negative: from the end). False: there is none.
    pub fn set(&mut self, index: i64, element: &[u8], limits: &Limits) -> bool {
        self.prepare(element.len(), 1, limits);
        let found = match self {
            List::Packed(pack) => match listpack::nth(pack, index) {
                Some(place) => {
                    listpack::replace(pack, place, element);
                    true
                }
                None => false,
            },
            List::Nodes(nodes) => match from_front(index, nodes.len()).and_then(|index| nodes.spot(index)) {
                Some(spot) => {
                    nodes.replace(spot, element);
                    true
                }
                None => false,
            },
        };
        if found {
            self.settle(limits);
        }
        found
    }

    /// Puts an element before or behind the first one that equals `pivot`. False: there is none.
    /// As in Redis, the list may become a long one even then.
    pub fn insert(&mut self, pivot: &[u8], after: bool, element: &[u8], limits: &Limits) -> bool {
        self.prepare(element.len(), 1, limits);
        match self {
            List::Packed(pack) => {
                let first = listpack::first(pack);
                let found = first.and_then(|first| listpack::find(pack, first, 1, pivot));
                let Some(mut place) = found else { return false };
                if after {
                    place = listpack::place_behind(pack, place);
                }
                listpack::insert(pack, place, element);
                true
            }
            List::Nodes(nodes) => match nodes.find(pivot) {
                Some(spot) => {
                    nodes.insert(spot, after, element);
                    true
                }
                None => false,
            },
        }
    }

    /// Takes out up to `count_max` elements that equal `needle`, beginning at one end. Returns how many.
    pub fn remove_equal(&mut self, from: Side, count_max: usize, needle: &[u8], limits: &Limits) -> usize {
        let removed = match self {
            List::Packed(packed) => {
                let places = matches(packed, from, count_max, needle);
                match places[..] {
                    [] => {}
                    [place] => listpack::remove(packed, place, 1),
                    _ => {
                        let mut pack = Pack::from_listpack(std::mem::take(packed));
                        pack.remove_each(&places);
                        *packed = pack.into_listpack();
                    }
                }
                places.len()
            }
            List::Nodes(nodes) => nodes.remove_equal(from, count_max, needle),
        };
        if removed > 0 {
            self.settle(limits);
        }
        removed
    }

    #[cfg(test)]
    fn verify(&self) {
        match self {
            List::Packed(pack) => assert!(listpack::validate(pack, true)),
            List::Nodes(nodes) => nodes.verify(),
        }
    }
}

/// A part of a list to be, as `Chunk`.
#[derive(Clone, Debug)]
pub enum OwnedChunk {
    Listpack(Vec<u8>),
    Plain(Vec<u8>),
}

/// An element on its way from one list to another.
#[derive(Clone, Debug, Default)]
pub struct MovedElement {
    bytes: smallvec::SmallVec<[u8; 64]>,
    int: Option<i64>,
}

impl MovedElement {
    pub fn new(element: Element) -> MovedElement {
        let int = match element {
            Element::Int(value) => Some(value),
            Element::Bytes(_) => None,
        };
        MovedElement { bytes: element.with(smallvec::SmallVec::from_slice), int }
    }

    pub fn show<R>(&self, show: impl FnOnce(Element) -> R) -> R {
        show(self.int.map_or(Element::Bytes(&self.bytes), Element::Int))
    }
}

impl Collection for List {
    object_variant!(List);
    type View<'a> = ListView<'a>;

    fn new(mut memory: Vec<u8>) -> Self {
        listpack::clear(&mut memory);
        List::Packed(memory)
    }

    fn from_packed(_: Encoding, bytes: Vec<u8>) -> Self {
        List::Packed(bytes)
    }

    fn view_packed(_: Encoding, bytes: &[u8]) -> ListView<'_> {
        ListView::Packed(bytes)
    }

    fn view(&self) -> ListView<'_> {
        match self {
            List::Packed(bytes) => ListView::Packed(bytes),
            List::Nodes(nodes) => ListView::Nodes(nodes),
        }
    }

    fn packed_mut(&mut self) -> Option<&mut Vec<u8>> {
        match self {
            List::Packed(bytes) => Some(bytes),
            List::Nodes(_) => None,
        }
    }

    fn encoding(&self) -> Encoding {
        match self {
            List::Packed(_) => Encoding::Listpack,
            List::Nodes(_) => Encoding::Quicklist,
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            List::Packed(bytes) => listpack::is_empty(bytes),
            List::Nodes(nodes) => nodes.is_empty(),
        }
    }

    fn bytes_allocated(&self) -> usize {
        match self {
            List::Packed(bytes) => bytes.capacity(),
            List::Nodes(nodes) => size_of::<Quicklist>() + nodes.bytes_allocated(),
        }
    }

    fn duplicate(&self) -> Self {
        match self {
            List::Packed(bytes) => List::Packed(bytes.clone()),
            List::Nodes(nodes) => List::Nodes(Box::new(nodes.duplicate())),
        }
    }

    fn free_slice(&mut self, elements_max: usize) -> bool {
        match self {
            List::Packed(_) => true,
            List::Nodes(nodes) => nodes.free_slice(elements_max),
        }
    }
}
