//! The nodes of the tree: what splits, merges and balances them.
//! In: a path that the tree has found. Out: the change made along it, separators, counts and bytes kept up to date.
//! Invariants: those of `Tree`.
//! Absent: the order of items, which is the tree's affair.

use super::Item;
use std::mem;
use std::ops::Range;

/// Items in a leaf. Small in tests, so that trees of few items are deep.
pub const LEAF_MAX: usize = if cfg!(test) { 12 } else { 64 };
/// Children of an inner node.
pub const FANOUT_MAX: usize = if cfg!(test) { 8 } else { 64 };

/// How many items or children a node that is not at an edge has at least.
const LEAF_MIN: usize = LEAF_MAX / 4;
const FANOUT_MIN: usize = FANOUT_MAX / 4;

/// Neighbours with more than that between them are balanced instead of merged: the next few insertions shall not split them.
const LEAF_MERGED_MAX: usize = LEAF_MAX / 4 * 3;
const FANOUT_MERGED_MAX: usize = FANOUT_MAX / 4 * 3;

/// Capacities are multiples of this. A leaf of 32, 40, 48, 56 or 64 items then has exactly the size of a class that
/// allocators keep.
const STEP: usize = 8;

const _: () = assert!(LEAF_MIN >= 2 && FANOUT_MIN >= 2 && FANOUT_MAX <= u8::MAX as usize);

/// Whether a node is the first or the last one of its level.
#[derive(Clone, Copy)]
pub struct Edge {
    pub first: bool,
    pub last: bool,
}

impl Edge {
    pub const BOTH: Edge = Edge { first: true, last: true };

    fn of_child(self, child: usize, children: usize) -> Edge {
        Edge { first: self.first && child == 0, last: self.last && child + 1 == children }
    }

    fn is_inside(self) -> bool {
        !self.first && !self.last
    }
}

/// Items in order: the bits of all scores, then all handles, each half with the same room to spare. Its length is kept by its
/// parent, and handed in.
#[derive(Debug)]
pub struct Leaf {
    words: Box<[u64]>,
}

impl Leaf {
    fn with_capacity(items: usize) -> Leaf {
        Leaf { words: vec![0; 2 * items.next_multiple_of(STEP)].into() }
    }

    pub fn of(len: usize, items: impl Iterator<Item = Item>) -> Leaf {
        let mut leaf = Leaf::with_capacity(len);
        items.take(len).enumerate().for_each(|(slot, item)| leaf.set(slot, item));
        leaf
    }

    fn capacity(&self) -> usize {
        self.words.len() / 2
    }

    pub fn bytes(&self) -> usize {
        size_of_val(&*self.words)
    }

    pub fn scores(&self, len: usize) -> &[u64] {
        &self.words[..len]
    }

    pub fn handles(&self, len: usize) -> &[u64] {
        &self.words[self.capacity()..][..len]
    }

    pub fn item(&self, slot: usize) -> Item {
        let (score, member) = (self.words[slot], self.words[self.capacity() + slot]);
        Item { score: f64::from_bits(score), member }
    }

    fn items(&self, slots: Range<usize>) -> impl Iterator<Item = Item> {
        slots.map(|slot| self.item(slot))
    }

    fn set(&mut self, slot: usize, item: Item) {
        let handle = self.capacity() + slot;
        (self.words[slot], self.words[handle]) = (item.score.to_bits(), item.member);
    }

    /// Moves to an allocation of another size.
    fn resize(&mut self, len: usize, capacity: usize) {
        let mut other = Leaf::with_capacity(capacity);
        let half = other.capacity();
        other.words[..len].copy_from_slice(self.scores(len));
        other.words[half..half + len].copy_from_slice(self.handles(len));
        *self = other;
    }

    fn insert(&mut self, len: usize, slot: usize, item: Item) {
        if len == self.capacity() {
            self.resize(len, len + STEP);
        }
        let half = self.capacity();
        self.words.copy_within(slot..len, slot + 1);
        self.words.copy_within(half + slot..half + len, half + slot + 1);
        self.set(slot, item);
    }

    /// Inserts where there may be no room: then a new leaf for the items from the middle on comes back. At an edge of the
    /// tree the full leaf stays full, for it is probably filled in order.
    fn insert_or_split(&mut self, len: &mut usize, slot: usize, item: Item, edge: Edge) -> Option<Branch> {
        *len += 1;
        let full = *len - 1;
        if full < LEAF_MAX {
            self.insert(full, slot, item);
            return None;
        }
        if edge.last && slot == full {
            *len = full;
            return Some(Branch::of_leaf(Leaf::of(1, [item].into_iter()), 1));
        }
        if edge.first && slot == 0 {
            *len = 1;
            let all = mem::replace(self, Leaf::of(1, [item].into_iter()));
            return Some(Branch::of_leaf(all, full));
        }
        let middle = full / 2;
        let mut right = Leaf::of(full - middle, self.items(middle..full));
        let mut right_len = full - middle;
        self.resize(middle, middle + usize::from(slot <= middle));
        *len = middle;
        if slot <= middle {
            self.insert(middle, slot, item);
            *len += 1;
        } else {
            right.insert(right_len, slot - middle, item);
            right_len += 1;
        }
        Some(Branch::of_leaf(right, right_len))
    }

    fn remove(&mut self, len: usize, slots: Range<usize>) {
        let half = self.capacity();
        self.words.copy_within(slots.end..len, slots.start);
        self.words.copy_within(half + slots.end..half + len, half + slots.start);
        let len = len - slots.len();
        if self.capacity() >= len + 2 * STEP {
            self.resize(len, len + 1);
        }
    }
}

#[derive(Debug)]
pub enum Children {
    Leaves(Vec<Leaf>),
    Inners(Vec<Box<Inner>>),
}

impl Children {
    /// None, of the same kind.
    fn none(&self) -> Children {
        match self {
            Children::Leaves(_) => Children::Leaves(Vec::new()),
            Children::Inners(_) => Children::Inners(Vec::new()),
        }
    }
}

#[derive(Debug)]
enum Node {
    Leaf(Leaf),
    Inner(Box<Inner>),
}

/// A child that has no parent at the moment, and what its parent has to know.
#[derive(Debug)]
pub struct Branch {
    first: Item,
    count: usize,
    node: Node,
}

impl Branch {
    pub fn of_leaf(leaf: Leaf, len: usize) -> Branch {
        Branch { first: leaf.item(0), count: len, node: Node::Leaf(leaf) }
    }

    pub fn of_inner(inner: Box<Inner>) -> Branch {
        Branch { first: inner.first(), count: inner.counts.iter().sum(), node: Node::Inner(inner) }
    }

    fn bytes(&self) -> usize {
        match &self.node {
            Node::Leaf(leaf) => leaf.bytes(),
            Node::Inner(inner) => inner.bytes(),
        }
    }
}

/// A column per fact about the children, so that a search reads nothing else.
#[derive(Debug)]
pub struct Inner {
    pub scores: Vec<u64>,
    pub handles: Vec<u64>,
    pub counts: Vec<usize>,
    pub children: Children,
}

/// Applies the same method to all columns.
macro_rules! each_column {
    ($inner:expr, $column:ident => $body:expr) => {{
        let inner = $inner;
        {
            let $column = &mut inner.scores;
            $body;
        }
        {
            let $column = &mut inner.handles;
            $body;
        }
        {
            let $column = &mut inner.counts;
            $body;
        }
        match &mut inner.children {
            Children::Leaves($column) => {
                $body;
            }
            Children::Inners($column) => {
                $body;
            }
        }
    }};
}

impl Inner {
    pub fn new(children: Children) -> Inner {
        Inner { scores: Vec::new(), handles: Vec::new(), counts: Vec::new(), children }
    }

    pub fn len(&self) -> usize {
        self.counts.len()
    }

    /// The child with the item that so many items of this node are before, which there must be; and how many of that child's.
    pub fn child_at(&self, index: usize) -> (usize, usize) {
        // Whole groups are gone past by their sums, which is a few additions at once.
        const GROUP: usize = FANOUT_MAX.isqrt();
        let (mut child, mut left) = (0, index);
        for group in self.counts.chunks_exact(GROUP) {
            let below: usize = group.iter().sum();
            if left < below {
                break;
            }
            left -= below;
            child += GROUP;
        }
        while left >= self.counts[child] {
            left -= self.counts[child];
            child += 1;
        }
        (child, left)
    }

    /// Of its own: box and columns.
    pub fn bytes(&self) -> usize {
        let children = match &self.children {
            Children::Leaves(leaves) => leaves.capacity() * size_of::<Leaf>(),
            Children::Inners(inners) => inners.capacity() * size_of::<Box<Inner>>(),
        };
        let columns = self.scores.capacity() + self.handles.capacity() + self.counts.capacity();
        size_of::<Inner>() + columns * size_of::<u64>() + children
    }

    fn first(&self) -> Item {
        Item { score: f64::from_bits(self.scores[0]), member: self.handles[0] }
    }

    /// Notes the first item below a child again, which may be another one now.
    fn sync(&mut self, child: usize) {
        let first = match &self.children {
            Children::Leaves(leaves) => leaves[child].item(0),
            Children::Inners(inners) => inners[child].first(),
        };
        (self.scores[child], self.handles[child]) = (first.score.to_bits(), first.member);
    }

    /// Gives all columns the capacity that suits their length: room for the next few, and not much more.
    fn fit(&mut self) {
        let len = self.len();
        each_column!(self, column => {
            if column.capacity() >= len + 2 * STEP {
                column.shrink_to(len.next_multiple_of(STEP));
            }
        });
    }

    fn put(&mut self, at: usize, branch: Branch) {
        if self.len() == self.counts.capacity() {
            each_column!(&mut *self, column => column.reserve_exact(STEP));
        }
        self.scores.insert(at, branch.first.score.to_bits());
        self.handles.insert(at, branch.first.member);
        self.counts.insert(at, branch.count);
        match (&mut self.children, branch.node) {
            (Children::Leaves(leaves), Node::Leaf(leaf)) => leaves.insert(at, leaf),
            (Children::Inners(inners), Node::Inner(inner)) => inners.insert(at, inner),
            _ => unreachable!("I4: leaves are equally deep"),
        }
    }

    fn take(&mut self, at: usize) -> Branch {
        let first = Item { score: f64::from_bits(self.scores.remove(at)), member: self.handles.remove(at) };
        let count = self.counts.remove(at);
        let node = match &mut self.children {
            Children::Leaves(leaves) => Node::Leaf(leaves.remove(at)),
            Children::Inners(inners) => Node::Inner(inners.remove(at)),
        };
        self.fit();
        Branch { first, count, node }
    }

    fn split_off(&mut self, at: usize) -> Box<Inner> {
        let right = Inner {
            scores: self.scores.split_off(at),
            handles: self.handles.split_off(at),
            counts: self.counts.split_off(at),
            children: match &mut self.children {
                Children::Leaves(leaves) => Children::Leaves(leaves.split_off(at)),
                Children::Inners(inners) => Children::Inners(inners.split_off(at)),
            },
        };
        self.fit();
        Box::new(right)
    }

    /// Takes over the children of the node to the right.
    fn absorb(&mut self, mut right: Inner) {
        let more = right.len();
        each_column!(&mut *self, column => column.reserve_exact(more));
        self.scores.append(&mut right.scores);
        self.handles.append(&mut right.handles);
        self.counts.append(&mut right.counts);
        match (&mut self.children, &mut right.children) {
            (Children::Leaves(left), Children::Leaves(right)) => left.append(right),
            (Children::Inners(left), Children::Inners(right)) => left.append(right),
            _ => unreachable!("I4: leaves are equally deep"),
        }
    }

    /// Puts a child in. Where there is no room, a new node for the right part of the children comes back: half of them, or
    /// at an edge of the tree as few or as many as possible.
    pub fn attach(&mut self, at: usize, branch: Branch, edge: Edge, bytes: &mut usize) -> Option<Branch> {
        *bytes -= self.bytes();
        let right = if self.len() < FANOUT_MAX {
            self.put(at, branch);
            None
        } else if edge.last && at == FANOUT_MAX {
            let mut right = Box::new(Inner::new(self.children.none()));
            right.put(0, branch);
            Some(right)
        } else {
            let middle = if edge.first && at == 1 { 1 } else { FANOUT_MAX / 2 };
            let mut right = self.split_off(middle);
            if at > middle || middle == 1 {
                right.put(at - middle, branch);
            } else {
                self.put(at, branch);
            }
            Some(right)
        };
        *bytes += self.bytes() + right.as_ref().map_or(0, |right| right.bytes());
        right.map(Branch::of_inner)
    }

    /// Adds a leaf behind all others.
    pub fn append(&mut self, leaf: Branch, bytes: &mut usize) -> Option<Branch> {
        let edge = Edge { first: false, last: true };
        let over = match &mut self.children {
            Children::Leaves(_) => Some(leaf),
            Children::Inners(inners) => {
                let count = leaf.count;
                let over = inners.last_mut().expect("I3: no node is empty").append(leaf, bytes);
                let beside = over.as_ref().map_or(0, |over| over.count);
                *self.counts.last_mut().expect("I3: no node is empty") += count - beside;
                over
            }
        };
        over.and_then(|over| self.attach(self.len(), over, edge, bytes))
    }

    /// Puts an item in at the end of a path. What this node has no room for comes back.
    pub fn insert(
        &mut self,
        steps: &[u8],
        slot: usize,
        item: Item,
        edge: Edge,
        bytes: &mut usize,
    ) -> Option<Branch> {
        let child = steps[0] as usize;
        let child_edge = edge.of_child(child, self.len());
        let over = match &mut self.children {
            Children::Leaves(leaves) => {
                *bytes -= leaves[child].bytes();
                let len = &mut self.counts[child];
                let over = leaves[child].insert_or_split(len, slot, item, child_edge);
                *bytes += leaves[child].bytes() + over.as_ref().map_or(0, Branch::bytes);
                over
            }
            Children::Inners(inners) => {
                let over = inners[child].insert(&steps[1..], slot, item, child_edge, bytes);
                self.counts[child] = self.counts[child] + 1 - over.as_ref().map_or(0, |over| over.count);
                over
            }
        };
        self.sync(child);
        over.and_then(|over| self.attach(child + 1, over, edge, bytes))
    }

    /// Overwrites the item at the end of a path.
    pub fn rewrite(&mut self, steps: &[u8], slot: usize, item: Item) {
        let child = steps[0] as usize;
        match &mut self.children {
            Children::Leaves(leaves) => leaves[child].set(slot, item),
            Children::Inners(inners) => inners[child].rewrite(&steps[1..], slot, item),
        }
        self.sync(child);
    }

    /// Removes items of the leaf at the end of a path. This node may be left with no children, or with few.
    pub fn remove(&mut self, steps: &[u8], slots: Range<usize>, edge: Edge, bytes: &mut usize) {
        let child = steps[0] as usize;
        let child_edge = edge.of_child(child, self.len());
        let len = self.counts[child];
        self.counts[child] -= slots.len();
        if self.counts[child] == 0 {
            return self.remove_last_items(steps, bytes);
        }
        match &mut self.children {
            Children::Leaves(leaves) => {
                *bytes -= leaves[child].bytes();
                leaves[child].remove(len, slots);
                *bytes += leaves[child].bytes();
            }
            Children::Inners(inners) => inners[child].remove(&steps[1..], slots, child_edge, bytes),
        }
        self.sync(child);
        if child_edge.is_inside() && self.is_underfull(child) {
            self.balance(child.saturating_sub(1), bytes);
        }
    }

    /// Drops a child that has nothing left: the leaf and, at an edge, the nodes above that had it only.
    fn remove_last_items(&mut self, steps: &[u8], bytes: &mut usize) {
        let child = steps[0] as usize;
        if let Children::Inners(inners) = &mut self.children {
            let inner = &mut inners[child];
            debug_assert_eq!(inner.len(), 1, "I3: a child without items has one leaf only");
            inner.remove_last_items(&steps[1..], bytes);
        }
        *bytes -= self.bytes();
        *bytes -= self.take(child).bytes();
        *bytes += self.bytes();
    }

    fn is_underfull(&self, child: usize) -> bool {
        match &self.children {
            Children::Leaves(_) => self.counts[child] < LEAF_MIN,
            Children::Inners(inners) => inners[child].len() < FANOUT_MIN,
        }
    }

    /// Merges the children `left` and `left + 1`, or gives them the same size.
    fn balance(&mut self, left: usize, bytes: &mut usize) {
        let right = left + 1;
        if right >= self.len() {
            return;
        }
        *bytes -= self.bytes();
        let Branch { count, node, .. } = self.take(right);
        match (&mut self.children, node) {
            (Children::Leaves(leaves), Node::Leaf(other)) => {
                let (leaf, len) = (&mut leaves[left], self.counts[left]);
                *bytes -= leaf.bytes() + other.bytes();
                let all = len + count;
                let items = || leaf.items(0..len).chain(other.items(0..count));
                let keep = if all <= LEAF_MERGED_MAX { all } else { all / 2 };
                let (kept, beside) = (Leaf::of(keep, items()), Leaf::of(all - keep, items().skip(keep)));
                *bytes += kept.bytes() + beside.bytes();
                (*leaf, self.counts[left]) = (kept, keep);
                if keep < all {
                    self.put(right, Branch::of_leaf(beside, all - keep));
                }
            }
            (Children::Inners(inners), Node::Inner(other)) => {
                let inner = &mut inners[left];
                *bytes -= inner.bytes() + other.bytes();
                inner.absorb(*other);
                self.counts[left] += count;
                let all = inner.len();
                let beside = (all > FANOUT_MERGED_MAX).then(|| Branch::of_inner(inner.split_off(all / 2)));
                *bytes += inner.bytes();
                if let Some(beside) = beside {
                    *bytes += beside.bytes();
                    self.counts[left] -= beside.count;
                    self.put(right, beside);
                }
            }
            _ => unreachable!("I4: leaves are equally deep"),
        }
        *bytes += self.bytes();
        self.sync(left);
    }

    /// Frees the last leaf, and the nodes above that had it only. How many items it had.
    pub fn drop_last_leaf(&mut self, bytes: &mut usize) -> usize {
        let last = self.len() - 1;
        let items = match &mut self.children {
            Children::Leaves(_) => self.counts[last],
            Children::Inners(inners) => inners[last].drop_last_leaf(bytes),
        };
        self.counts[last] -= items;
        if self.counts[last] == 0 {
            *bytes -= self.bytes();
            *bytes -= self.take(last).bytes();
            *bytes += self.bytes();
        }
        items
    }

    /// The only child, if it is one that can be the root instead.
    pub fn take_only_inner(&mut self) -> Option<Box<Inner>> {
        match &mut self.children {
            Children::Inners(inners) if inners.len() == 1 => {
                // The capacity stays, and with it what `bytes` says.
                inners.pop()
            }
            _ => None,
        }
    }

    /// Checks I2 to I5; the items below, and the bytes of all nodes.
    pub fn verify(&self, edge: Edge, is_root: bool) -> (usize, usize) {
        let len = self.len();
        assert!(len <= FANOUT_MAX, "I5: {len} children");
        assert!(len >= FANOUT_MIN || !edge.is_inside(), "I5: {len} children inside");
        assert_eq!((self.scores.len(), self.handles.len()), (len, len), "a column for each fact");
        let (mut items, mut bytes, mut children) = (0, self.bytes(), 0);
        let mut check = |first: Item, (count, more): (usize, usize)| {
            let noted = (f64::from_bits(self.scores[children]), self.handles[children]);
            assert_eq!(noted, (first.score, first.member), "I2: child {children}");
            assert_eq!(self.counts[children], count, "I3: child {children}");
            assert!(count > 0, "I3: child {children}");
            (items, bytes, children) = (items + count, bytes + more, children + 1);
        };
        match &self.children {
            Children::Leaves(leaves) => {
                for (child, (leaf, &len)) in leaves.iter().zip(&self.counts).enumerate() {
                    let inside = edge.of_child(child, self.len()).is_inside();
                    assert!(len <= LEAF_MAX.min(leaf.capacity()), "I5: {len} items");
                    assert!(len >= LEAF_MIN || !inside, "I5: {len} items inside");
                    check(leaf.item(0), (len, leaf.bytes()));
                }
            }
            Children::Inners(inners) => {
                assert!(len > 1 || !is_root, "I4: a root of one inner node");
                let depths: Vec<usize> = inners.iter().map(|inner| inner.depth()).collect();
                assert!(depths.iter().all(|&depth| depth == depths[0]), "I4: {depths:?}");
                for (child, inner) in inners.iter().enumerate() {
                    check(inner.first(), inner.verify(edge.of_child(child, len), false));
                }
            }
        }
        assert_eq!(children, len, "a column for each fact");
        (items, bytes)
    }

    fn depth(&self) -> usize {
        match &self.children {
            Children::Leaves(_) => 1,
            Children::Inners(inners) => 1 + inners[0].depth(),
        }
    }
}
