//! Keeps the members of a large sorted set in order: an order-statistic B+ tree.
//! In: scores and handles of members, and a comparator that knows the members' bytes. Out: ranks, and items by rank.
//! Absent: the members' bytes (a handle is the address of whoever holds them), lookup by member, NaN.
//!
//! Every operation is O(log n). The items are ordered by score, then by member; the comparator is called for equal scores
//! only. It answers how a handle's member compares to the member in question, as in `slice::binary_search_by`.
//!
//! ```text
//! inner:  scores   | 1.0 | 7.5 | 9.0 |    the first item of each child
//!         handles  |  a  |  h  |  p  |
//!         counts   |  47 |  62 |  33 |    items below each child
//!         children |  .  |  .  |  .  |    all leaves, or all inner nodes
//! leaf:   | 7.5 | 7.5 | 8.1 | spare | h | i | m | spare |    one allocation, scores then handles
//! ```
//!
//! A leaf grows by a few items at a time, through sizes that allocators have a class for, and its length is kept by its
//! parent: a tree filled in random order takes about 18 bytes an item, one filled in order less than 17.

use smallvec::SmallVec;
use std::cmp::Ordering;
use std::mem;
use std::ops::Range;

mod node;

#[cfg(test)]
mod tests;

use node::{Branch, Children, Edge, Inner, LEAF_MAX, Leaf};

/// A member of the set: its score, and where its bytes are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Item {
    pub score: f64,
    pub member: u64,
}

/// Items in order, each with its rank.
///
/// I1. Along the leaves, each item is before the next: by score, then by member.
/// I2. `scores[i]` and `handles[i]` of an inner node are those of the very first item below child `i`, so no handle outlives
///     its item.
/// I3. `counts[i]` is the number of items below child `i`, and never 0.
/// I4. All leaves are equally deep. A root with one child has a leaf as that child.
/// I5. No node holds more than its maximum. Only the first and the last node of a level may hold less than its minimum:
///     there, nodes are split unevenly, so that what is filled in order stays dense.
/// I6. `len` is the number of items, and `bytes` what all nodes have allocated.
#[derive(Debug)]
pub struct Tree {
    root: Box<Inner>,
    len: usize,
    bytes: usize,
}

/// Deeper than any tree can be: all but the outermost nodes have several children.
const DEPTH_MAX: usize = 24;

/// A way from the root to an item, or to where one belongs.
struct Path {
    /// The child at each level; the last one is a leaf.
    steps: [u8; DEPTH_MAX],
    /// The place in the leaf.
    slot: usize,
}

/// How many of the leading items are before `score`, or have this score and are `ahead`.
fn search(scores: &[u64], handles: &[u64], score: f64, ahead: impl Fn(u64) -> bool) -> usize {
    // Counting all reads a node's lines at once, where a binary search waits for one after the other.
    let from = scores.iter().map(|&bits| u64::from(f64::from_bits(bits) < score)).sum::<u64>() as usize;
    if scores.get(from).is_none_or(|&bits| f64::from_bits(bits) != score) {
        return from;
    }
    let equal = scores[from..].partition_point(|&bits| f64::from_bits(bits) == score);
    from + handles[from..from + equal].partition_point(|&handle| ahead(handle))
}

impl Default for Tree {
    fn default() -> Self {
        Self::new()
    }
}

impl Tree {
    pub fn new() -> Self {
        let root = Box::new(Inner::new(Children::Leaves(Vec::new())));
        let bytes = root.bytes();
        Self { root, len: 0, bytes }
    }

    /// A tree of items that are in order already. As dense as can be.
    pub fn from_sorted(items: impl IntoIterator<Item = Item>) -> Self {
        let mut tree = Self::new();
        let mut items = items.into_iter();
        loop {
            let some: SmallVec<[Item; LEAF_MAX]> = items.by_ref().take(LEAF_MAX).collect();
            if some.is_empty() {
                return tree;
            }
            let leaf = Leaf::of(some.len(), some.iter().copied());
            tree.len += some.len();
            tree.bytes += leaf.bytes();
            let over = tree.root.append(Branch::of_leaf(leaf, some.len()), &mut tree.bytes);
            tree.grow_root(over);
        }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Heap bytes. O(1).
    pub fn bytes_allocated(&self) -> usize {
        self.bytes
    }

    /// Adds an item whose member is not in the tree.
    pub fn insert(&mut self, item: Item, cmp: impl Fn(u64) -> Ordering) {
        debug_assert!(!item.score.is_nan(), "a score is a number");
        self.len += 1;
        if self.len == 1 {
            let leaf = Leaf::of(1, [item].into_iter());
            self.bytes += leaf.bytes();
            let over = self.root.append(Branch::of_leaf(leaf, 1), &mut self.bytes);
            return self.grow_root(over);
        }
        let path = self.path_by(|scores, handles| {
            search(scores, handles, item.score, |handle| cmp(handle) == Ordering::Less)
        });
        let over = self.root.insert(&path.steps, path.slot, item, Edge::BOTH, &mut self.bytes);
        self.grow_root(over);
    }

    /// Takes an item out; false when it is not there.
    pub fn remove(&mut self, item: Item, cmp: impl Fn(u64) -> Ordering) -> bool {
        let Some(path) = self.find(item, cmp) else { return false };
        self.cut(&path, 1, &mut |_| ());
        true
    }

    /// The item's member is now elsewhere; false when it is not there. `cmp` is not asked about `old`, where nothing may be
    /// left.
    pub fn replace_handle(&mut self, score: f64, old: u64, new: u64, cmp: impl Fn(u64) -> Ordering) -> bool {
        let Some(path) = self.find(Item { score, member: old }, cmp) else { return false };
        let score = self.leaf(&path).0.item(path.slot).score;
        self.root.rewrite(&path.steps, path.slot, Item { score, member: new });
        true
    }

    /// Gives an item another score, in place where its rank stays the same; false when it is not there.
    pub fn set_score(&mut self, old: Item, score: f64, cmp: impl Fn(u64) -> Ordering) -> bool {
        debug_assert!(!score.is_nan(), "a score is a number");
        let Some(path) = self.find(old, &cmp) else { return false };
        let new = Item { score, member: old.member };
        if self.keeps_rank(&path, old, score, &cmp) {
            self.root.rewrite(&path.steps, path.slot, new);
        } else {
            self.cut(&path, 1, &mut |_| ());
            self.insert(new, cmp);
        }
        true
    }

    /// Whether the item there may have this score instead. Looks no further than the leaf: false when that does not show it.
    fn keeps_rank(&self, path: &Path, old: Item, score: f64, cmp: impl Fn(u64) -> Ordering) -> bool {
        let (leaf, len) = self.leaf(path);
        let stays_on_its_side = |neighbour: Item, side: Ordering| {
            let order = neighbour.score.partial_cmp(&score).expect("scores are numbers");
            order.then_with(|| cmp(neighbour.member)) == side
        };
        if score == old.score {
            true
        } else if score > old.score {
            path.slot + 1 < len && stays_on_its_side(leaf.item(path.slot + 1), Ordering::Greater)
        } else {
            path.slot > 0 && stays_on_its_side(leaf.item(path.slot - 1), Ordering::Less)
        }
    }

    /// How many items are before this one, which need not be there.
    pub fn rank_of<'a>(&self, score: f64, member: &[u8], resolve: impl Fn(u64) -> &'a [u8]) -> usize {
        self.rank_by(|scores, handles| search(scores, handles, score, |handle| resolve(handle) < member))
    }

    /// How many items have a lower score or, if `inclusive`, this one.
    pub fn count_below(&self, score: f64, inclusive: bool) -> usize {
        self.rank_by(|scores, handles| search(scores, handles, score, |_| inclusive))
    }

    /// The rank of the first item with this score or a higher one.
    pub fn first_at_or_after(&self, score: f64) -> usize {
        self.count_below(score, false)
    }

    /// How many leading items fulfil `pred`: all of them must be ahead of all others.
    pub fn partition_point(&self, pred: impl Fn(f64, u64) -> bool) -> usize {
        self.rank_by(|scores, handles| {
            let Range { mut start, mut end } = 0..scores.len();
            while start < end {
                let middle = start.midpoint(end);
                if pred(f64::from_bits(scores[middle]), handles[middle]) {
                    start = middle + 1;
                } else {
                    end = middle;
                }
            }
            start
        })
    }

    /// The item of this rank, from 0.
    pub fn nth(&self, index: usize) -> Option<Item> {
        (index < self.len).then(|| {
            let path = self.path_to(index);
            self.leaf(&path).0.item(path.slot)
        })
    }

    /// The items from this rank upwards.
    pub fn iter_from(&self, index: usize) -> impl Iterator<Item = Item> {
        let left = self.len.saturating_sub(index);
        let mut cursor = (left > 0).then(|| Cursor::at(self, index));
        (0..left).map(move |step| {
            let cursor = cursor.as_mut().expect("a step has items");
            if step > 0 {
                cursor.forward();
            }
            cursor.item()
        })
    }

    /// Visits the items of these ranks, which there must be: bits of scores, and handles, as many of them as lie together. Those of
    /// a leaf are in order; the leaves come from the last to the first if `reverse`.
    pub fn for_runs(&self, ranks: Range<usize>, reverse: bool, mut visit: impl FnMut(&[u64], &[u64])) {
        let mut left = ranks.len();
        if left == 0 {
            return;
        }
        let mut cursor = Cursor::at(self, if reverse { ranks.end - 1 } else { ranks.start });
        loop {
            let (slot, len) = (cursor.slot, cursor.len);
            let run =
                if reverse { (slot + 1).saturating_sub(left)..slot + 1 } else { slot..len.min(slot + left) };
            visit(&cursor.leaf.scores(len)[run.clone()], &cursor.leaf.handles(len)[run.clone()]);
            left -= run.len();
            if left == 0 {
                return;
            }
            if reverse {
                cursor.slot = run.start;
                cursor.back();
            } else {
                cursor.slot = run.end - 1;
                cursor.forward();
            }
        }
    }

    pub fn pop_first(&mut self) -> Option<Item> {
        self.pop(0)
    }

    pub fn pop_last(&mut self) -> Option<Item> {
        self.pop(self.len.wrapping_sub(1))
    }

    fn pop(&mut self, index: usize) -> Option<Item> {
        let mut popped = None;
        if index < self.len {
            let path = self.path_to(index);
            self.cut(&path, 1, &mut |item| popped = Some(item));
        }
        popped
    }

    /// Takes out the items of ranks `from..to`, in order, and hands each to `removed`. A leaf at a time.
    pub fn remove_range(&mut self, from: usize, to: usize, removed: &mut dyn FnMut(Item)) {
        let mut left = to.min(self.len).saturating_sub(from);
        while left > 0 {
            let path = self.path_to(from);
            left -= self.cut(&path, left, removed);
        }
    }

    /// Frees leaves from the end until about `max` items have gone, at least one leaf; true when the tree is empty. For trees
    /// that are thrown away, so that it need not happen all at once.
    pub fn take_slice(&mut self, max: usize) -> bool {
        let mut gone = 0;
        while self.len > 0 && (gone == 0 || gone < max) {
            let items = self.root.drop_last_leaf(&mut self.bytes);
            self.len -= items;
            gone += items;
            self.shrink_root();
        }
        self.is_empty()
    }

    /// Checks all invariants. For tests.
    pub fn verify<'a>(&self, resolve: impl Fn(u64) -> &'a [u8]) {
        let (items, bytes) = self.root.verify(Edge::BOTH, true);
        assert_eq!(items, self.len, "I6: len");
        assert_eq!(bytes, self.bytes, "I6: bytes");
        let mut before: Option<Item> = None;
        for item in self.iter_from(0) {
            if let Some(before) = before {
                let tie = || resolve(before.member).cmp(resolve(item.member));
                let order = before.score.partial_cmp(&item.score).expect("scores are numbers").then_with(tie);
                assert_eq!(order, Ordering::Less, "I1: {before:?} is before {item:?}");
            }
            before = Some(item);
        }
    }

    /// Removes up to `max` items at the end of a path, from one leaf; how many there were.
    fn cut(&mut self, path: &Path, max: usize, removed: &mut dyn FnMut(Item)) -> usize {
        let (leaf, len) = self.leaf(path);
        let end = len.min(path.slot.saturating_add(max));
        (path.slot..end).for_each(|slot| removed(leaf.item(slot)));
        self.root.remove(&path.steps, path.slot..end, Edge::BOTH, &mut self.bytes);
        self.len -= end - path.slot;
        self.shrink_root();
        end - path.slot
    }

    /// Puts a new root above the old one and what it had to give up, if anything.
    fn grow_root(&mut self, over: Option<Branch>) {
        let Some(over) = over else { return };
        let above = Box::new(Inner::new(Children::Inners(Vec::new())));
        self.bytes += above.bytes();
        let below = mem::replace(&mut self.root, above);
        for branch in [Branch::of_inner(below), over] {
            let none = self.root.attach(self.root.len(), branch, Edge::BOTH, &mut self.bytes);
            debug_assert!(none.is_none(), "I5: a root of two children is not full");
        }
    }

    fn shrink_root(&mut self) {
        while let Some(only) = self.root.take_only_inner() {
            self.bytes -= self.root.bytes();
            self.root = only;
        }
    }

    /// Sums the counts on the way that `leading` shows: of a node's entries, how many are in front.
    fn rank_by(&self, leading: impl Fn(&[u64], &[u64]) -> usize) -> usize {
        let (mut node, mut rank) = (&*self.root, 0);
        loop {
            let Some(child) = leading(&node.scores, &node.handles).checked_sub(1) else { return rank };
            rank += node.counts[..child].iter().sum::<usize>();
            match &node.children {
                Children::Inners(inners) => node = &inners[child],
                Children::Leaves(leaves) => {
                    let (leaf, len) = (&leaves[child], node.counts[child]);
                    return rank + leading(leaf.scores(len), leaf.handles(len));
                }
            }
        }
    }

    /// The way that `leading` shows, as in `rank_by`. Not for empty trees.
    fn path_by(&self, leading: impl Fn(&[u64], &[u64]) -> usize) -> Path {
        let (mut node, mut steps) = (&*self.root, [0; DEPTH_MAX]);
        for step in &mut steps {
            let child = leading(&node.scores, &node.handles).saturating_sub(1);
            *step = child as u8;
            match &node.children {
                Children::Inners(inners) => node = &inners[child],
                Children::Leaves(leaves) => {
                    let (leaf, len) = (&leaves[child], node.counts[child]);
                    return Path { steps, slot: leading(leaf.scores(len), leaf.handles(len)) };
                }
            }
        }
        unreachable!("I5: no tree is so deep")
    }

    /// The way to the item of this rank, which there must be.
    fn path_to(&self, index: usize) -> Path {
        let (mut node, mut steps, mut slot) = (&*self.root, [0; DEPTH_MAX], index);
        for step in &mut steps {
            let child;
            (child, slot) = node.child_at(slot);
            *step = child as u8;
            match &node.children {
                Children::Inners(inners) => node = &inners[child],
                Children::Leaves(_) => return Path { steps, slot },
            }
        }
        unreachable!("I5: no tree is so deep")
    }

    /// The way to an item, if it is there.
    fn find(&self, item: Item, cmp: impl Fn(u64) -> Ordering) -> Option<Path> {
        if self.is_empty() {
            return None;
        }
        let mut path = self.path_by(|scores, handles| {
            search(scores, handles, item.score, |handle| {
                handle == item.member || cmp(handle) != Ordering::Greater
            })
        });
        path.slot = path.slot.checked_sub(1)?;
        (self.leaf(&path).0.item(path.slot) == item).then_some(path)
    }

    /// The leaf at the end of a path, and its length.
    fn leaf(&self, path: &Path) -> (&Leaf, usize) {
        let mut node = &*self.root;
        for &step in &path.steps {
            match &node.children {
                Children::Inners(inners) => node = &inners[step as usize],
                Children::Leaves(leaves) => return (&leaves[step as usize], node.counts[step as usize]),
            }
        }
        unreachable!("I5: no tree is so deep")
    }
}

/// An item in a tree that stays as it is, and the nodes above it.
struct Cursor<'a> {
    above: SmallVec<[(&'a Inner, usize); 6]>,
    leaf: &'a Leaf,
    len: usize,
    slot: usize,
}

impl<'a> Cursor<'a> {
    #[inline]
    fn at(tree: &'a Tree, index: usize) -> Self {
        let (mut node, mut slot, mut above) = (&*tree.root, index, SmallVec::new());
        loop {
            let child;
            (child, slot) = node.child_at(slot);
            above.push((node, child));
            match &node.children {
                Children::Inners(inners) => node = &inners[child],
                Children::Leaves(leaves) => {
                    return Self { above, leaf: &leaves[child], len: node.counts[child], slot };
                }
            }
        }
    }

    fn item(&self) -> Item {
        self.leaf.item(self.slot)
    }

    /// To the next item, which there must be.
    fn forward(&mut self) {
        self.slot += 1;
        if self.slot == self.len {
            while self.above.last().is_some_and(|(node, child)| child + 1 == node.len()) {
                self.above.pop();
            }
            self.above.last_mut().expect("a next item").1 += 1;
            self.descend(|_| 0);
            self.slot = 0;
        }
    }

    /// To the item before, which there must be.
    fn back(&mut self) {
        if self.slot == 0 {
            while self.above.last().is_some_and(|(_, child)| *child == 0) {
                self.above.pop();
            }
            self.above.last_mut().expect("an item before").1 -= 1;
            self.descend(|node| node.len() - 1);
            self.slot = self.len;
        }
        self.slot -= 1;
    }

    /// From the lowest node that is known down to a leaf, through the children that `side` names.
    fn descend(&mut self, side: impl Fn(&Inner) -> usize) {
        loop {
            let &(node, child) = self.above.last().expect("a node");
            match &node.children {
                Children::Inners(inners) => self.above.push((&inners[child], side(&inners[child]))),
                Children::Leaves(leaves) => {
                    (self.leaf, self.len) = (&leaves[child], node.counts[child]);
                    return;
                }
            }
        }
    }
}
