//! A large sorted set: a hash table of the members with their scores, and a tree that keeps them in order.
//! In: members and scores. Out: scores by member, ranks, members by rank.
//! Absent: small sets (see `packed`), replies.
//!
//! A member is stored once, in its entry of the table, whose value is the score's 64 bits. The tree orders the entries by
//! their addresses' contents: ZSCORE is one lookup, ZADD is one lookup and one operation of the tree.
//!
//! Unsafe: turns the tree's words into entries of the table.
//!
//! - I1: the words in the tree are the handles of the entries in the table, each once, with its score. An entry keeps its
//!   address, since its value is always an integer, until it is removed, and then its item is removed first.
#![allow(unsafe_code)]

use crate::types::store::{Entry, Handle, Store, Value};
use crate::types::tree::{Item, Tree};
use std::cmp::Ordering;
use std::ops::Range;

/// How many entries are fetched into the cache together.
const AHEAD: usize = 16;

#[derive(Debug)]
pub struct Sorted {
    members: Store,
    tree: Tree,
}

fn to_value(score: f64) -> i64 {
    score.to_bits() as i64
}

fn score_of(entry: &Entry) -> f64 {
    let Value::Int(bits) = entry.value() else { unreachable!("a member's value is its score") };
    f64::from_bits(bits as u64)
}

/// The member of a handle.
fn member_of(members: &Store, handle: u64) -> &[u8] {
    // SAFETY: I1.
    unsafe { members.by_handle(Handle(handle)) }.key()
}

/// How another member compares to this one.
fn against<'a>(members: &'a Store, member: &'a [u8]) -> impl Fn(u64) -> Ordering + 'a {
    move |handle| member_of(members, handle).cmp(member)
}

impl Sorted {
    /// A set of distinct members in order.
    pub fn from_sorted<'a>(pairs: impl Iterator<Item = (&'a [u8], f64)>) -> Sorted {
        let mut gathered = Gathered::default();
        let items = pairs.map(|(member, score)| Item { score, member: gathered.add(member, score).0 });
        let tree = Tree::from_sorted(items);
        Sorted { members: gathered.members, tree }
    }

    pub fn len(&self) -> usize {
        self.tree.len()
    }

    pub fn is_empty(&self) -> bool {
        self.tree.is_empty()
    }

    pub fn score(&self, member: &[u8]) -> Option<f64> {
        self.members.find(member).map(score_of)
    }

    pub fn rank(&self, member: &[u8]) -> Option<(usize, f64)> {
        let score = self.score(member)?;
        Some((self.tree.rank_of(score, member, |handle| member_of(&self.members, handle)), score))
    }

    /// How many leading members fulfil the condition: all of them must be ahead of all others.
    pub fn partition_point(&self, leads: impl Fn(&[u8], f64) -> bool) -> usize {
        self.tree.partition_point(|score, handle| leads(member_of(&self.members, handle), score))
    }

    /// The same for a condition on scores, which looks at no member.
    pub fn partition_point_by_score(&self, leads: impl Fn(f64) -> bool) -> usize {
        self.tree.partition_point(|score, _| leads(score))
    }

    pub fn nth(&self, rank: usize) -> Option<(&[u8], f64)> {
        self.tree.nth(rank).map(|item| (member_of(&self.members, item.member), item.score))
    }

    /// Visits members in order, or from the last to the first.
    pub fn for_range(&self, ranks: Range<usize>, reverse: bool, mut visit: impl FnMut(&[u8], f64)) {
        // Several entries are fetched at once, instead of waiting for one after the other.
        let fetch = |handles: &[u64]| handles.iter().for_each(|&handle| Handle(handle).prefetch());
        let mut see =
            |score: &u64, handle: &u64| visit(member_of(&self.members, *handle), f64::from_bits(*score));
        self.tree.for_runs(ranks, reverse, |scores, handles| {
            if reverse {
                for (scores, handles) in scores.rchunks(AHEAD).zip(handles.rchunks(AHEAD)) {
                    fetch(handles);
                    scores.iter().zip(handles).rev().for_each(|(score, handle)| see(score, handle));
                }
            } else {
                for (scores, handles) in scores.chunks(AHEAD).zip(handles.chunks(AHEAD)) {
                    fetch(handles);
                    scores.iter().zip(handles).for_each(|(score, handle)| see(score, handle));
                }
            }
        });
    }

    /// Visits all members, in no order.
    pub fn for_each(&self, mut visit: impl FnMut(&[u8], f64)) {
        self.members.for_each(&mut |entry| visit(entry.key(), score_of(entry)));
    }

    /// See `Store::scan`.
    pub fn scan(&self, cursor: u64, visit: &mut dyn FnMut(&[u8], f64)) -> u64 {
        self.members.scan(cursor, &mut |entry| visit(entry.key(), score_of(entry)))
    }

    /// Lets `choose` see the member's score and give it another one; None leaves it, or adds no member.
    pub fn update(&mut self, member: &[u8], choose: impl FnOnce(Option<f64>) -> Option<f64>) {
        let Sorted { members, tree } = self;
        let hash = members.hash(member);
        let Some(entry) = members.find_hashed_mut(hash, member) else {
            if let Some(score) = choose(None) {
                let handle = members.add_int(hash, member, to_value(score));
                tree.insert(Item { score, member: handle.0 }, against(members, member));
            }
            return;
        };
        let old = score_of(entry);
        if let Some(score) = choose(Some(old)) {
            *entry.as_int_mut().expect("a member's value is its score") = to_value(score);
            let item = Item { score: old, member: Store::handle(entry).0 };
            let found = tree.set_score(item, score, against(members, member));
            assert!(found, "I1: every member is in the tree");
        }
    }

    /// Removes a member; its score.
    pub fn remove(&mut self, member: &[u8]) -> Option<f64> {
        let hash = self.members.hash(member);
        let entry = self.members.find_hashed(hash, member)?;
        let item = Item { score: score_of(entry), member: Store::handle(entry).0 };
        let found = self.tree.remove(item, against(&self.members, member));
        assert!(found, "I1: every member is in the tree");
        self.members.remove_hashed(hash, member);
        Some(item.score)
    }

    /// Removes the first member or the last one, after a look at it.
    pub fn pop(&mut self, last: bool, look: impl FnOnce(&[u8], f64)) {
        let popped = if last { self.tree.pop_last() } else { self.tree.pop_first() };
        let Some(item) = popped else { return };
        look(member_of(&self.members, item.member), item.score);
        // SAFETY: I1: the item is out of the tree, and its entry goes now.
        unsafe { self.members.remove_by_handle(Handle(item.member)) };
    }

    pub fn remove_range(&mut self, ranks: Range<usize>) {
        let Sorted { members, tree } = self;
        tree.remove_range(ranks.start, ranks.end, &mut |item| {
            // SAFETY: I1: the tree gives up all these items, and looks at no member while it does.
            unsafe { members.remove_by_handle(Handle(item.member)) };
        });
    }

    pub fn bytes_allocated(&self) -> usize {
        size_of::<Sorted>() + self.members.bytes() + self.tree.bytes_allocated()
    }

    pub fn duplicate(&self) -> Sorted {
        let all = self.tree.iter_from(0).map(|item| (member_of(&self.members, item.member), item.score));
        Sorted::from_sorted(all)
    }

    /// Frees about so many members of a set that is thrown away; true when nothing is left.
    pub fn free_slice(&mut self, members_max: usize) -> bool {
        if !self.tree.is_empty() {
            self.tree.take_slice(members_max);
            return false;
        }
        self.members.free_slice(members_max, &mut drop)
    }

    /// Checks all invariants, at length.
    #[cfg(test)]
    pub fn verify(&self) {
        self.members.verify();
        self.tree.verify(|handle| member_of(&self.members, handle));
        assert_eq!(self.members.len(), self.tree.len(), "I1");
        for item in self.tree.iter_from(0) {
            let entry = self.members.find(member_of(&self.members, item.member)).expect("I1");
            assert_eq!((Store::handle(entry).0, score_of(entry)), (item.member, item.score), "I1");
        }
    }
}

/// Members of a set that is being made, with their scores, in no order yet.
#[derive(Debug)]
pub struct Gathered {
    members: Store,
}

impl Default for Gathered {
    fn default() -> Self {
        Gathered { members: Store::inside_value(crate::types::hasher()) }
    }
}

impl Gathered {
    pub fn len(&self) -> usize {
        self.members.len()
    }

    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Adds a member that is not there.
    pub fn add(&mut self, member: &[u8], score: f64) -> Handle {
        self.members.add_int(self.members.hash(member), member, to_value(score))
    }

    /// Adds a member, or lets `merge` make one score of the one that it has and the new one.
    pub fn merge(&mut self, member: &[u8], score: f64, merge: impl FnOnce(f64, f64) -> f64) {
        let hash = self.members.hash(member);
        match self.members.find_hashed_mut(hash, member) {
            Some(entry) => {
                let merged = merge(score_of(entry), score);
                *entry.as_int_mut().expect("a member's value is its score") = to_value(merged);
            }
            None => {
                self.members.add_int(hash, member, to_value(score));
            }
        }
    }

    pub fn remove(&mut self, member: &[u8]) {
        self.members.remove(member);
    }

    /// The set, and the length of its longest member.
    pub fn finish(self) -> (Sorted, usize) {
        let (mut items, mut longest) = (Vec::with_capacity(self.members.len()), 0);
        self.members.for_each(&mut |entry| {
            longest = longest.max(entry.key().len());
            items.push(Item { score: score_of(entry), member: Store::handle(entry).0 });
        });
        items.sort_unstable_by(|a, b| {
            let by_score = a.score.partial_cmp(&b.score).expect("scores are numbers");
            by_score.then_with(|| member_of(&self.members, a.member).cmp(member_of(&self.members, b.member)))
        });
        (Sorted { tree: Tree::from_sorted(items), members: self.members }, longest)
    }
}
