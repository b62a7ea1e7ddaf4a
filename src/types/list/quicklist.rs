//! A long list: nodes of a few KiB, each a listpack, in a deque.
//! In: elements. Out: elements from any index on, in both directions, and the nodes as they are.
//! Absent: when a list is long (see `List`), what moves within a node (see `node`).
//!
//! Nothing moves more than one node's bytes and the pointers to the nodes. Which node an element goes to, when a node is
//! split and when two are merged is as in Redis, because OBJECT ENCODING depends on it: a list goes back to a single
//! listpack only when it has a single node. So a node may be sparse, but never empty, and a sparse one gives its memory
//! back. Only LREM merges more than Redis does, in lists of many nodes: see `MERGING_MIN`.
//!
//! 1. No node is empty.
//! 2. `len` is the number of all elements, `bytes` what all nodes have allocated.
//! 3. An element that was large when it came is a node of its own.

use std::collections::{VecDeque, vec_deque};

use super::node::{Node, NodeIter, Pack};
use super::{Fill, Side};
use crate::types::listpack::{self, Element, Encoded, Place};

/// Lists with fewer nodes keep them as sparse as LREM leaves them.
const MERGING_MIN: usize = 16;

/// What freeing one node costs, in elements.
const NODE_COST: usize = 16;

/// A long list.
#[derive(Debug)]
pub struct Quicklist {
    nodes: VecDeque<Node>,
    len: usize,
    bytes: usize,
    /// How much fits one node: as configured when the list became long.
    fill: Fill,
}

/// The place of an element: the node, and its index within the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spot {
    node: usize,
    index: usize,
}

impl Quicklist {
    pub fn new(fill: Fill) -> Quicklist {
        Quicklist { nodes: VecDeque::new(), len: 0, bytes: 0, fill }
    }

    pub fn fill(&self) -> Fill {
        self.fill
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn bytes_allocated(&self) -> usize {
        self.bytes + self.nodes.capacity() * size_of::<Node>()
    }

    /// A copy of its own, without spare memory.
    pub fn duplicate(&self) -> Quicklist {
        let mut copy = Quicklist::new(self.fill);
        copy.nodes.reserve_exact(self.nodes.len());
        self.nodes.iter().for_each(|node| copy.push_node(node.duplicate()));
        copy
    }

    pub fn nodes(&self) -> &VecDeque<Node> {
        &self.nodes
    }

    /// The only node, if there is just one and it is a listpack.
    pub fn sole_pack(&self) -> Option<&Pack> {
        match (self.nodes.len(), self.nodes.front()) {
            (1, Some(Node::Pack(pack))) => Some(pack),
            _ => None,
        }
    }

    /// The listpack of the only node.
    pub fn into_sole_pack(mut self) -> Vec<u8> {
        match self.nodes.pop_front() {
            Some(Node::Pack(pack)) if self.nodes.is_empty() => pack.into_listpack(),
            _ => panic!("a list of one node that is a listpack"),
        }
    }

    /// Adds a node behind the others; an empty one is left out.
    pub fn push_node(&mut self, node: Node) {
        if !node.is_empty() {
            self.insert_node(self.nodes.len(), node);
        }
    }

    fn insert_node(&mut self, at: usize, node: Node) {
        self.len += node.len();
        self.bytes += node.bytes_allocated();
        self.nodes.insert(at, node);
    }

    fn remove_node(&mut self, at: usize) {
        let node = self.nodes.remove(at).expect("the node is there");
        self.len -= node.len();
        self.bytes -= node.bytes_allocated();
    }

    /// Lets `change` have the listpack of a node, and counts it anew; a node left empty goes.
    #[inline]
    fn change_pack<R>(&mut self, at: usize, change: impl FnOnce(&mut Pack) -> R) -> R {
        let node = &mut self.nodes[at];
        let (len, bytes) = (node.len(), node.bytes_allocated());
        let Node::Pack(pack) = node else { panic!("the caller saw that node {at} is a listpack") };
        let result = change(pack);
        let (len_after, bytes_after) = (node.len(), node.bytes_allocated());
        self.len = self.len - len + len_after;
        self.bytes = self.bytes - bytes + bytes_after;
        if len_after == 0 {
            self.remove_node(at);
        }
        result
    }

    /// Whether an element of that length may join node `at`, if there is such a node.
    #[inline]
    fn takes(&self, at: Option<usize>, bytes: usize) -> bool {
        match at.and_then(|at| self.nodes.get(at)) {
            Some(Node::Pack(pack)) => {
                !self.fill.is_large(bytes)
                    && !self.fill.exceeded_by(pack.bytes() + bytes + Fill::ELEMENT_OVERHEAD, pack.len() + 1)
            }
            _ => false,
        }
    }

    /// A node of one element.
    fn node_of(&self, bytes: &[u8]) -> Node {
        if self.fill.is_large(bytes.len()) {
            return Node::Plain(bytes.into());
        }
        let element = Encoded::new(bytes);
        let mut pack = Pack::with_room_behind(element.bytes());
        pack.push_back(&element);
        Node::Pack(pack)
    }

    /// Adds an element at an end.
    #[inline]
    pub fn push(&mut self, side: Side, bytes: &[u8]) {
        let end = match side {
            Side::Left => 0,
            Side::Right => self.nodes.len().wrapping_sub(1),
        };
        if self.takes(Some(end), bytes.len()) {
            let element = Encoded::new(bytes);
            self.change_pack(end, |pack| match side {
                Side::Left => pack.push_front(&element),
                Side::Right => pack.push_back(&element),
            });
        } else {
            self.push_new_node(side, end, bytes);
        }
    }

    /// Begins a node at an end. It gets as much memory as the last one came to need, and that gives its spare memory back.
    #[cold]
    fn push_new_node(&mut self, side: Side, end: usize, bytes: &[u8]) {
        let at = if side == Side::Left { 0 } else { self.nodes.len() };
        let room = match self.nodes.get(end) {
            Some(Node::Pack(pack)) => pack.bytes(),
            _ => 0,
        };
        if room > 0 {
            self.change_pack(end, Pack::seal);
        }
        let node = if self.fill.is_large(bytes.len()) {
            Node::Plain(bytes.into())
        } else {
            let element = Encoded::new(bytes);
            let room = room.max(element.bytes());
            let mut pack = match side {
                Side::Left => Pack::with_room_before(room),
                Side::Right => Pack::with_room_behind(room),
            };
            match side {
                Side::Left => pack.push_front(&element),
                Side::Right => pack.push_back(&element),
            }
            Node::Pack(pack)
        };
        self.insert_node(at, node);
    }

    /// Where element `index` is, looked for from the nearer end.
    pub fn spot(&self, index: usize) -> Option<Spot> {
        if index >= self.len {
            return None;
        }
        if index <= self.len / 2 {
            let mut left = index;
            for (node, it) in self.nodes.iter().enumerate() {
                if left < it.len() {
                    return Some(Spot { node, index: left });
                }
                left -= it.len();
            }
        } else {
            let mut behind = self.len - index;
            for (node, it) in self.nodes.iter().enumerate().rev() {
                if behind <= it.len() {
                    return Some(Spot { node, index: it.len() - behind });
                }
                behind -= it.len();
            }
        }
        unreachable!("2: the nodes have len elements")
    }

    pub fn get(&self, spot: Spot) -> Element<'_> {
        self.nodes[spot.node].get(spot.index)
    }

    /// The elements `from..to`, which exist.
    pub fn slice(&self, from: usize, to: usize) -> Elements<'_> {
        if from >= to {
            return Elements::of_node(NodeIter::EMPTY);
        }
        let first = self.spot(from).expect("from is below len");
        let to_index = first.index + (to - from);
        if to_index <= self.nodes[first.node].len() {
            return Elements::of_node(self.nodes[first.node].slice(first.index, to_index));
        }
        let last = self.spot(to - 1).expect("to is at most len");
        Elements {
            front: self.nodes[first.node].slice(first.index, self.nodes[first.node].len()),
            nodes: self.nodes.range(first.node + 1..last.node),
            back: self.nodes[last.node].slice(0, last.index + 1),
        }
    }

    /// Takes out the first or last `count` elements. Nodes that go as a whole are handed to `dropped`.
    pub fn remove_end(&mut self, side: Side, count: usize, mut dropped: impl FnMut(Node)) {
        let mut left = count;
        while left > 0 {
            let end = if side == Side::Left { 0 } else { self.nodes.len() - 1 };
            let len = self.nodes[end].len();
            if len <= left {
                self.len -= len;
                self.bytes -= self.nodes[end].bytes_allocated();
                dropped(self.nodes.remove(end).expect("1: there is a node"));
                left -= len;
            } else {
                self.change_pack(end, |pack| match side {
                    Side::Left => pack.remove_front(left),
                    Side::Right => pack.remove_back(left),
                });
                left = 0;
            }
        }
        self.release_pointers();
    }

    /// A list that was long once keeps no room for as many nodes.
    fn release_pointers(&mut self) {
        let capacity = self.nodes.capacity();
        if capacity > 64 && self.nodes.len() < capacity / 8 {
            self.nodes.shrink_to(capacity / 4);
        }
    }

    /// Where the first element is that equals `needle`.
    pub fn find(&self, needle: &[u8]) -> Option<Spot> {
        self.nodes.iter().enumerate().find_map(|(node, it)| {
            let index = match it {
                Node::Pack(pack) => {
                    let pack = pack.as_listpack();
                    // The search skips quickly, and counts afterwards.
                    let place = listpack::find(pack, listpack::first(pack)?, 1, needle)?;
                    let mut at = listpack::first(pack)?;
                    let mut index = 0;
                    while at < place {
                        at = listpack::place_behind(pack, at);
                        index += 1;
                    }
                    index
                }
                Node::Plain(bytes) => (**bytes == *needle).then_some(0)?,
            };
            Some(Spot { node, index })
        })
    }

    /// Puts an element before or behind the one at `spot`.
    pub fn insert(&mut self, spot: Spot, after: bool, bytes: &[u8]) {
        let Spot { node, index } = spot;
        let last = self.nodes[node].len() - 1;
        let at_edge = if after { index == last } else { index == 0 };
        let beside = if after { Some(node + 1) } else { node.checked_sub(1) };
        let fresh_at = if after { node + 1 } else { node };
        if self.takes(Some(node), bytes.len()) {
            let element = Encoded::new(bytes);
            self.change_pack(node, |pack| pack.insert(pack.place(index + after as usize), &element));
        } else if at_edge && self.takes(beside, bytes.len()) {
            let side = if after { Side::Left } else { Side::Right };
            self.push_to_node(beside.expect("it takes the element"), side, bytes);
        } else if at_edge {
            self.insert_node(fresh_at, self.node_of(bytes));
        } else {
            self.split(node, index + after as usize);
            if self.fill.is_large(bytes.len()) {
                self.insert_node(node + 1, self.node_of(bytes));
            } else if after {
                self.push_to_node(node + 1, Side::Left, bytes);
                self.merge_around(node);
            } else {
                self.push_to_node(node, Side::Right, bytes);
                self.merge_around(node + 1);
            }
        }
    }

    fn push_to_node(&mut self, at: usize, side: Side, bytes: &[u8]) {
        let element = Encoded::new(bytes);
        self.change_pack(at, |pack| match side {
            Side::Left => pack.push_front(&element),
            Side::Right => pack.push_back(&element),
        });
    }

    /// Makes two nodes of one; the second begins with what was element `index`, which is neither the first nor the end.
    fn split(&mut self, at: usize, index: usize) {
        let tail = self.change_pack(at, |pack| pack.split_off(pack.place(index), index));
        self.insert_node(at + 1, Node::Pack(tail));
    }

    /// Merges what fits one node: the two before node `center`, the two behind it, then it with its neighbours.
    fn merge_around(&mut self, mut center: usize) {
        if center >= 2 && self.merge(center - 2) {
            center -= 1;
        }
        self.merge(center + 1);
        if center >= 1 && self.merge(center - 1) {
            center -= 1;
        }
        self.merge(center);
    }

    /// Merges a node with the next one, if there is one and both fit one node.
    fn merge(&mut self, at: usize) -> bool {
        self.merge_within(at, |fill, bytes, count| !fill.exceeded_by(bytes, count))
    }

    fn merge_within(&mut self, at: usize, fits: impl FnOnce(Fill, usize, usize) -> bool) -> bool {
        let (Some(Node::Pack(a)), Some(Node::Pack(b))) = (self.nodes.get(at), self.nodes.get(at + 1)) else {
            return false;
        };
        if !fits(self.fill, a.bytes() + b.bytes() - listpack::EMPTY_BYTES, a.len() + b.len()) {
            return false;
        }
        let node = self.nodes.remove(at + 1).expect("the node is there");
        self.bytes -= node.bytes_allocated();
        self.len -= node.len();
        let Node::Pack(b) = node else { unreachable!("it was looked at") };
        self.change_pack(at, |a| a.append(&b));
        true
    }

    /// Puts another element in the place of one.
    pub fn replace(&mut self, spot: Spot, bytes: &[u8]) {
        let Spot { node, index } = spot;
        match &self.nodes[node] {
            Node::Pack(_) if !self.fill.is_large(bytes.len()) => {
                let element = Encoded::new(bytes);
                self.change_pack(node, |pack| pack.replace(pack.place(index), &element));
                self.split_oversized(node);
            }
            Node::Pack(pack) => {
                let (first, last) = (index == 0, index == pack.len() - 1);
                if !last {
                    self.split(node, index + 1);
                }
                self.insert_node(node + 1, self.node_of(bytes));
                self.change_pack(node, |pack| pack.remove_back(1));
                if !first {
                    self.merge_around(node + 1);
                }
            }
            Node::Plain(_) if self.fill.is_large(bytes.len()) => {
                self.remove_node(node);
                self.insert_node(node, self.node_of(bytes));
            }
            Node::Plain(_) => {
                self.insert(spot, true, bytes);
                self.remove_node(node);
            }
        }
    }

    /// Replacing small elements by larger ones makes a node grow; in Redis without end, here up to a few times its size.
    fn split_oversized(&mut self, at: usize) {
        const OVERSIZED: usize = 4;
        let node = &self.nodes[at];
        let Node::Pack(pack) = node else { return };
        if pack.bytes() > self.fill.bytes_max() * OVERSIZED && pack.len() > 1 {
            self.split(at, node.len() / 2);
        }
    }

    /// Takes out up to `count_max` elements that equal `needle`, from one end on. Returns how many.
    pub fn remove_equal(&mut self, from: Side, count_max: usize, needle: &[u8]) -> usize {
        let mut left = count_max;
        let mut removed_in_all = 0;
        let mut at = if from == Side::Left { 0 } else { self.nodes.len() };
        let mut touched = Touched::default();
        // The nodes left to look at are those behind `at`, or before it.
        while left > 0 {
            if from == Side::Right {
                let Some(before) = at.checked_sub(1) else { break };
                at = before;
            } else if at == self.nodes.len() {
                break;
            }
            let nodes = self.nodes.len();
            let removed = self.remove_equal_in(at, from, left, needle);
            left -= removed;
            removed_in_all += removed;
            let gone = nodes > self.nodes.len();
            if removed > 0 {
                touched.add(at, gone, from);
            }
            if from == Side::Left && !gone {
                at += 1;
            }
        }
        self.merge_sparse(touched);
        self.release_pointers();
        removed_in_all
    }

    fn remove_equal_in(&mut self, at: usize, from: Side, count_max: usize, needle: &[u8]) -> usize {
        match &self.nodes[at] {
            Node::Pack(pack) => {
                let places = matches(pack.as_listpack(), from, count_max, needle);
                if !places.is_empty() {
                    self.change_pack(at, |pack| pack.remove_each(&places));
                }
                places.len()
            }
            Node::Plain(bytes) if **bytes == *needle => {
                self.remove_node(at);
                1
            }
            Node::Plain(_) => 0,
        }
    }

    /// Merges neighbours that together are less than half a node, where elements were taken out of the middle of many nodes.
    fn merge_sparse(&mut self, touched: Touched) {
        let Touched(Some((first, last))) = touched else { return };
        let (mut at, mut last) = (first.saturating_sub(1), last);
        while at <= last && self.nodes.len() > MERGING_MIN {
            let half = |fill: Fill, bytes, count| !fill.exceeded_by(2 * bytes, 2 * count);
            if self.merge_within(at, half) {
                last = last.saturating_sub(1);
            } else {
                at += 1;
            }
        }
    }

    /// Frees nodes that cost about so many elements; true when none is left.
    pub fn free_slice(&mut self, elements_max: usize) -> bool {
        let nodes = (elements_max / NODE_COST).clamp(1, self.nodes.len().max(1));
        for node in self.nodes.drain(..nodes.min(self.nodes.len())) {
            self.len -= node.len();
            self.bytes -= node.bytes_allocated();
        }
        self.nodes.is_empty()
    }

    #[cfg(test)]
    pub fn verify(&self) {
        let (mut len, mut bytes) = (0, 0);
        for node in &self.nodes {
            assert!(!node.is_empty(), "1: no node is empty");
            if let Node::Pack(pack) = node {
                pack.verify();
                assert!(
                    node.bytes_allocated() <= 4 * pack.bytes() + 64 * 1024,
                    "a sparse node gives memory back"
                );
            }
            len += node.len();
            bytes += node.bytes_allocated();
        }
        assert_eq!((len, bytes), (self.len, self.bytes), "2: the sums");
    }
}

/// The nodes that LREM took elements from, first and last.
#[derive(Clone, Copy, Default)]
struct Touched(Option<(usize, usize)>);

impl Touched {
    /// `gone`: the node itself is no more, so that those behind it moved up.
    fn add(&mut self, at: usize, gone: bool, from: Side) {
        self.0 = Some(match (self.0, from) {
            (None, _) => (at, at),
            (Some((first, _)), Side::Left) => (first, at),
            (Some((_, last)), Side::Right) => (at, last - usize::from(gone && last > at)),
        });
    }
}

/// The places of the elements of a listpack that equal `needle`: the first or the last so many, in ascending order.
pub fn matches(pack: &[u8], from: Side, count_max: usize, needle: &[u8]) -> Vec<Place> {
    let mut places = Vec::new();
    let mut at = listpack::first(pack);
    while let Some(place) = at.and_then(|at| listpack::find(pack, at, 1, needle)) {
        places.push(place);
        if from == Side::Left && places.len() == count_max {
            break;
        }
        at = listpack::next(pack, place);
    }
    places.drain(..places.len().saturating_sub(count_max));
    places
}

/// The elements of a list or a part of it, from both ends.
#[derive(Clone)]
pub struct Elements<'a> {
    front: NodeIter<'a>,
    nodes: vec_deque::Iter<'a, Node>,
    back: NodeIter<'a>,
}

impl<'a> Elements<'a> {
    pub fn of_node(front: NodeIter<'a>) -> Elements<'a> {
        Elements { front, nodes: vec_deque::Iter::default(), back: NodeIter::EMPTY }
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Element<'a>;

    #[inline]
    fn next(&mut self) -> Option<Element<'a>> {
        loop {
            if let Some(element) = self.front.next() {
                return Some(element);
            }
            match self.nodes.next() {
                Some(node) => self.front = node.iter(),
                None => return self.back.next(),
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.front.len() + self.back.len(), None)
    }
}

impl DoubleEndedIterator for Elements<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(element) = self.back.next_back() {
                return Some(element);
            }
            match self.nodes.next_back() {
                Some(node) => self.back = node.iter(),
                None => return self.front.next_back(),
            }
        }
    }
}
