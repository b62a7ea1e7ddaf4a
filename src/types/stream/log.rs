//! The entries of a stream, in nodes by id.
//! In: entries, each with an id above the last, ids and limits to delete by. Out: entries in order, from both ends.
//! Absent: how a node is laid out (see `node`), who has read what (see `group`).
//!
//! Redis' limits say when a node is full, and nodes are only ever begun at the end and removed whole, so they begin and end
//! where Redis' do. The last one, the tail, takes entries. When it is full it is sealed, which takes a third of it away, and
//! goes to the others in a B-tree by the ids of first entries; the next one begins in its memory. So nothing is allocated for
//! a node but what it takes in the end, and a short stream has no tree.
//!
//! 1. `len` is the number of entries that were not deleted, over all nodes.
//! 2. `first` is the id of the first of them, 0-0 if there is none.
//! 3. No entry's id is above `last`.
//! 4. `bytes` is what the nodes take: the tail its capacity, the others what is allocated for their length and `NODE_BYTES`.
//! 5. There is a tail unless there are no nodes; it is a listpack, and above all others.

use super::Id;
use super::node::{self, Entries, Entry};
use super::sealed;
use crate::base::memory;
use crate::types::Limits;
use crate::types::listpack::BYTES_MAX;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::btree_map;
use std::mem;
use std::ops::RangeInclusive;

/// What the tree takes for a node besides its bytes: key and box, in leaves two thirds full.
const NODE_BYTES: usize = 64;

/// Entries, and what is known of those that are gone.
#[derive(Debug, Default)]
pub struct Log {
    full: BTreeMap<Id, Box<[u8]>>,
    tail: Option<Tail>,
    len: u64,
    first: Id,
    last: Id,
    max_deleted: Id,
    added: u64,
    bytes: usize,
}

/// The node that takes entries.
#[derive(Debug)]
struct Tail {
    key: Id,
    pack: Vec<u8>,
}

/// The id that an entry is to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// The current time, or the id behind the last one.
    Any,
    /// These milliseconds, with the next sequence number.
    Ms(u64),
    Exactly(Id),
}

/// Why an entry gets no id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The last possible id was used.
    Exhausted,
    /// The last id is not below it.
    NotAbove,
}

/// Which entries are to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trim {
    pub keep: Keep,
    /// Whole nodes only.
    pub approximate: bool,
    /// No more entries than that; 0: any number.
    pub limit: u64,
}

/// Which entries stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// The last so many.
    Last(u64),
    /// From this id on.
    From(Id),
}

/// What `Log::restore` knows besides the entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    pub len: u64,
    pub last: Id,
    pub max_deleted: Id,
    /// None if whoever wrote it did not count.
    pub added: Option<u64>,
}

impl Tail {
    fn entries(&self) -> Entries<'_> {
        Entries::new(self.key, &self.pack)
    }
}

impl Log {
    pub fn len(&self) -> u64 {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The id of the first entry, 0-0 if there is none.
    pub fn first_id(&self) -> Id {
        self.first
    }

    /// The last id that was given, or set.
    pub fn last_id(&self) -> Id {
        self.last
    }

    /// The highest id that was deleted on its own, not trimmed.
    pub fn max_deleted_id(&self) -> Id {
        self.max_deleted
    }

    /// How many entries were ever added.
    pub fn added(&self) -> u64 {
        self.added
    }

    pub fn bytes_allocated(&self) -> usize {
        self.bytes
    }

    pub fn node_count(&self) -> usize {
        self.full.len() + usize::from(self.tail.is_some())
    }

    fn keys(&self) -> impl Iterator<Item = Id> {
        self.full.keys().copied().chain(self.tail.as_ref().map(|tail| tail.key))
    }

    /// The nodes in order as Redis has them, each with its key.
    pub fn nodes(&self) -> impl Iterator<Item = (Id, Cow<'_, [u8]>)> {
        let full = self.full.iter().map(|(&key, node)| (key, node::listpack(node)));
        full.chain(self.tail.as_ref().map(|tail| (tail.key, Cow::Borrowed(&tail.pack[..]))))
    }

    /// How many nodes a radix tree of the keys has, as XINFO tells of Redis': one for each place where keys part, for each
    /// run of bytes between such places, and for each end of a key. O(N), N being the number of nodes here.
    pub fn radix_nodes(&self) -> usize {
        const KEY_BYTES: i64 = size_of::<Id>() as i64;
        let keys = self.keys().map(|id| u128::from_be_bytes(id.to_be_bytes()));
        // A run between the byte after which a key parted and this depth, and what is there.
        let part = |depth: i64, parent: i64| 1 + usize::from(depth > parent + 1);
        let (mut nodes, mut parted, mut before, mut left) = (0, Vec::new(), None, -1);
        for key in keys {
            if let Some(before) = before.replace(key) {
                let depth = i64::from((key ^ before).leading_zeros() / 8);
                nodes += part(KEY_BYTES, depth.max(left));
                while let Some(deeper) = parted.pop_if(|parted| *parted > depth) {
                    nodes += part(deeper, parted.last().map_or(depth, |&parent: &i64| parent.max(depth)));
                }
                if parted.last() != Some(&depth) {
                    parted.push(depth);
                }
                left = depth;
            }
        }
        if before.is_none() {
            return 1;
        }
        nodes += part(KEY_BYTES, left);
        while let Some(depth) = parted.pop() {
            nodes += part(depth, parted.last().copied().unwrap_or(-1));
        }
        nodes
    }

    /// The entries with ids in the range, from both ends.
    pub fn range(&self, ids: RangeInclusive<Id>) -> Range<'_> {
        let (start, end) = ids.into_inner();
        let none = || self.full.range(Id::MAX..Id::MAX);
        let tail = self.tail.as_ref().filter(|tail| tail.key <= end && start <= end);
        let nodes = match tail {
            _ if start > end => none(),
            Some(tail) if tail.key <= start => none(),
            _ => {
                let begin = self.full.range(..=start).next_back().map_or(start, |(&key, _)| key);
                self.full.range(begin..=end)
            }
        };
        Range { start, end, nodes, tail, front: None, back: None }
    }

    pub fn iter(&self) -> Range<'_> {
        self.range(Id::MIN..=Id::MAX)
    }

    /// The entry with that id.
    pub fn get(&self, id: Id) -> Option<Entry<'_>> {
        self.range(id..=id).next()
    }

    /// The id of the last entry that is there, 0-0 if there is none.
    pub fn last_live_id(&self) -> Id {
        self.iter().next_back().map_or(Id::MIN, |entry| entry.id)
    }

    /// Whether an entry was deleted at this id or behind it.
    pub fn has_deleted_from(&self, id: Id) -> bool {
        !self.is_empty() && !self.max_deleted.is_zero() && id <= self.max_deleted
    }

    /// How many entries were ever added up to this id, where that can be told.
    pub fn position(&self, id: Id) -> Option<u64> {
        if self.added == 0 {
            return Some(0);
        }
        if self.is_empty() && id <= self.last {
            return Some(self.added);
        }
        if !id.is_zero() && id < self.max_deleted || id > self.last {
            return None;
        }
        if id == self.last {
            return Some(self.added);
        }
        let whole = self.max_deleted.is_zero() || self.max_deleted < self.first;
        match id.cmp(&self.first) {
            std::cmp::Ordering::Less if whole => Some(self.added.wrapping_sub(self.len)),
            std::cmp::Ordering::Equal if whole => Some(self.added.wrapping_sub(self.len).wrapping_add(1)),
            _ => None,
        }
    }

    /// The id that an entry added now gets.
    pub fn choose_id(&self, wish: Wish, now_ms: i64) -> Result<Id, Refused> {
        if self.last == Id::MAX {
            return Err(Refused::Exhausted);
        }
        let id = match wish {
            Wish::Any if now_ms as u64 > self.last.ms => Id::new(now_ms as u64, 0),
            Wish::Any => self.last.next().ok_or(Refused::Exhausted)?,
            Wish::Ms(ms) if ms == self.last.ms => {
                Id::new(ms, self.last.seq.checked_add(1).ok_or(Refused::NotAbove)?)
            }
            Wish::Ms(ms) => Id::new(ms, 0),
            Wish::Exactly(id) => id,
        };
        if id > self.last { Ok(id) } else { Err(Refused::NotAbove) }
    }

    /// Adds an entry. `id` is one that `choose_id` chose.
    pub fn append<'a>(
        &mut self,
        id: Id,
        pairs: impl ExactSizeIterator<Item = (&'a [u8], &'a [u8])> + Clone,
        limits: &Limits,
    ) {
        debug_assert!(id > self.last, "ids ascend");
        let bytes: usize = pairs.clone().map(|(name, value)| name.len() + value.len()).sum();
        match &mut self.tail {
            Some(tail) if !is_full(&tail.pack, bytes, limits) => {
                let before = tail.pack.capacity();
                node::append(&mut tail.pack, tail.key, id, pairs, bytes);
                self.bytes = self.bytes - before + tail.pack.capacity();
            }
            _ => {
                let memory = self.end_tail();
                let pack = node::begin(memory, id, pairs, bytes);
                self.bytes += pack.capacity();
                self.tail = Some(Tail { key: id, pack });
            }
        }
        self.note_added(id);
    }

    /// Puts the tail to the nodes that take no more entries, and returns memory for the next one.
    fn end_tail(&mut self) -> Vec<u8> {
        let Some(Tail { key, pack }) = self.tail.take() else { return Vec::new() };
        self.bytes -= pack.capacity();
        let sealed = if sealed::pays(&pack) { sealed::seal(&pack) } else { None };
        let (node, memory) = match sealed {
            // Memory that a long entry took is not kept for short ones.
            Some(node) if pack.capacity() - pack.len() > pack.len() => (node, Vec::new()),
            Some(node) => (node, pack),
            None => {
                let room = Vec::with_capacity(pack.len());
                (cut_to_size(pack), room)
            }
        };
        self.bytes += node_bytes(&node);
        self.full.insert(key, node);
        memory
    }

    fn note_added(&mut self, id: Id) {
        self.len += 1;
        self.added = self.added.wrapping_add(1);
        self.last = id;
        if self.len == 1 {
            self.first = id;
        }
    }

    /// Deletes the entry with that id. False: there is none.
    pub fn delete(&mut self, id: Id) -> bool {
        let found = self
            .change_node(id, |key, node| node::delete(node, key, id).then(|| (key, node::counts(node).0)));
        let Some((key, live)) = found.flatten() else { return false };
        if live == 0 {
            self.remove_node(key);
        }
        self.len -= 1;
        self.max_deleted = self.max_deleted.max(id);
        if self.len == 0 {
            self.first = Id::MIN;
        } else if id == self.first {
            self.find_first();
        }
        true
    }

    /// Lets `change` have the node, and its key, in which an entry with that id would be. None: it would be before all nodes.
    fn change_node<R>(&mut self, id: Id, change: impl FnOnce(Id, &mut Vec<u8>) -> R) -> Option<R> {
        if let Some(tail) = self.tail.as_mut().filter(|tail| tail.key <= id) {
            let before = tail.pack.capacity();
            let result = change(tail.key, &mut tail.pack);
            self.bytes = self.bytes - before + tail.pack.capacity();
            return Some(result);
        }
        let (&key, node) = self.full.range_mut(..=id).next_back()?;
        let before = node_bytes(node);
        let mut vec = mem::take(node).into_vec();
        let result = change(key, &mut vec);
        *node = vec.into_boxed_slice();
        self.bytes = self.bytes - before + node_bytes(node);
        Some(result)
    }

    /// Takes the node out; behind the tail, the node before it is the tail again.
    fn remove_node(&mut self, key: Id) -> Box<[u8]> {
        if let Some(node) = self.full.remove(&key) {
            self.bytes -= node_bytes(&node);
            return node;
        }
        let tail = self.tail.take().expect("the node was found");
        self.bytes -= tail.pack.capacity();
        if let Some((key, node)) = self.full.pop_last() {
            self.bytes -= node_bytes(&node);
            let pack = node::into_listpack(node);
            self.bytes += pack.capacity();
            self.tail = Some(Tail { key, pack });
        }
        tail.pack.into_boxed_slice()
    }

    fn first_node(&self) -> Option<(Id, &[u8])> {
        let tail = || self.tail.as_ref().map(|tail| (tail.key, &tail.pack[..]));
        self.full.first_key_value().map(|(&key, node)| (key, &node[..])).or_else(tail)
    }

    fn find_first(&mut self) {
        self.first = self.iter().next().map_or(Id::MIN, |entry| entry.id);
    }

    /// Deletes entries from the front, as Redis does: whole nodes, and unless approximately, entries of one more. Returns how
    /// many, and the nodes if they are so many that they should be freed in slices.
    pub fn trim(&mut self, trim: &Trim) -> (u64, Option<Log>) {
        const AT_ONCE: usize = 64;
        let (mut deleted, mut dropped) = (0, Log::default());
        while let Some((key, node)) = self.first_node() {
            let (live, _) = node::counts(node);
            if matches!(trim.keep, Keep::Last(len) if self.len <= len)
                || trim.limit != 0 && deleted + live > trim.limit
            {
                break;
            }
            let whole = match trim.keep {
                Keep::Last(len) => self.len - live >= len,
                Keep::From(id) => Entries::new(key, node).next_back().is_some_and(|it| it.id < id),
            };
            if whole {
                self.len -= live;
                deleted += live;
                dropped.put(key, self.remove_node(key));
                continue;
            }
            if !trim.approximate {
                deleted += self.trim_first_node(key, trim.keep);
            }
            break;
        }
        if self.len == 0 {
            self.first = Id::MIN;
        } else if deleted > 0 {
            self.find_first();
        }
        (deleted, (dropped.full.len() > AT_ONCE).then_some(dropped))
    }

    fn put(&mut self, key: Id, node: Box<[u8]>) {
        self.bytes += node_bytes(&node);
        self.full.insert(key, node);
    }

    fn trim_first_node(&mut self, key: Id, keep: Keep) -> u64 {
        let len = self.len;
        let trimmed = self.change_node(key, |key, node| match keep {
            Keep::Last(keep) => node::delete_first_count(node, key, len - keep),
            Keep::From(from) => node::delete_below(node, key, from),
        });
        let deleted = trimmed.expect("it is the key of a node");
        self.len -= deleted;
        deleted
    }

    /// XSETID, after its checks.
    pub fn set_last_id(&mut self, id: Id, added: Option<u64>, max_deleted: Option<Id>) {
        self.last = id;
        self.added = added.unwrap_or(self.added);
        self.max_deleted = max_deleted.unwrap_or(self.max_deleted);
    }

    /// A log of these nodes. None if they are none that a stream has, or do not fit the facts.
    pub fn restore(nodes: impl Iterator<Item = (Id, Vec<u8>)>, facts: Facts) -> Option<Log> {
        let mut log = Log::default();
        let mut before = None;
        for (key, pack) in nodes {
            let (first, last) = node::validate(key, &pack)?;
            if before.is_some_and(|before| before >= first.min(key)) {
                return None;
            }
            before = Some(last);
            log.len += node::counts(&pack).0;
            log.end_tail();
            log.bytes += pack.capacity();
            log.tail = Some(Tail { key, pack });
        }
        if before.is_some_and(|last| last > facts.last) || log.len != facts.len {
            return None;
        }
        log.find_first();
        log.set_last_id(facts.last, Some(facts.added.unwrap_or(log.len)), Some(facts.max_deleted));
        Some(log)
    }

    /// A copy of its own, which has no room to grow.
    pub fn duplicate(&self) -> Log {
        let tail = self.tail.as_ref().map(|tail| Tail { key: tail.key, pack: tail.pack.clone() });
        let room = self.tail.as_ref().map_or(0, |tail| tail.pack.capacity() - tail.pack.len());
        Log { full: self.full.clone(), tail, bytes: self.bytes - room, ..*self }
    }

    /// Frees about so many nodes; true when none is left but the tail.
    pub fn free_slice(&mut self, nodes_max: usize) -> bool {
        for _ in 0..nodes_max {
            let Some((_, node)) = self.full.pop_first() else { break };
            self.bytes -= node_bytes(&node);
        }
        self.full.is_empty()
    }

    #[cfg(test)]
    pub fn verify(&self) {
        let mut live = 0;
        let mut ends = Vec::new();
        for (key, pack) in self.nodes() {
            assert!(crate::types::listpack::validate(&pack, true));
            ends.push(node::validate(key, &pack).expect("a node is sound"));
            live += node::counts(&pack).0;
        }
        assert!(ends.windows(2).all(|pair| pair[0].1 < pair[1].0), "nodes are in order");
        assert_eq!(self.len, live, "1");
        assert_eq!(self.first, self.iter().next().map_or(Id::MIN, |entry| entry.id), "2");
        assert!(ends.last().is_none_or(|&(_, last)| last <= self.last), "3");
        let full: usize = self.full.values().map(|node| node_bytes(node)).sum();
        assert_eq!(self.bytes, full + self.tail.as_ref().map_or(0, |tail| tail.pack.capacity()), "4");
        assert_eq!(self.tail.is_none(), self.node_count() == 0, "5");
        assert!(self.tail.as_ref().is_none_or(|tail| !sealed::is_sealed(&tail.pack)), "5");
        for node in self.full.values().filter(|node| sealed::is_sealed(node)) {
            assert_eq!(sealed::seal(&sealed::open(node)).as_ref(), Some(node));
        }
    }
}

/// Whether the last node takes no more entry whose names and values have so many bytes.
fn is_full(pack: &[u8], bytes: usize, limits: &Limits) -> bool {
    let bytes_max = match limits.stream_node_bytes_max {
        0 => BYTES_MAX,
        most => most.min(BYTES_MAX),
    };
    let entries_max = limits.stream_node_entries_max as u64;
    let is_at_most = || {
        let (live, deleted) = node::counts(pack);
        entries_max != 0 && live + deleted >= entries_max
    };
    pack.len() + bytes >= bytes_max || is_at_most()
}

/// Gives back what a node that grows no more has too much.
fn cut_to_size(pack: Vec<u8>) -> Box<[u8]> {
    // By a copy: the allocator would shrink a vector in place, and keep the memory.
    if pack.capacity() - pack.len() > pack.len() / 16 {
        pack.as_slice().into()
    } else {
        pack.into_boxed_slice()
    }
}

/// What a node takes that grows no more.
fn node_bytes(node: &[u8]) -> usize {
    memory::allocated(node.len()) + NODE_BYTES
}

/// Entries that were not deleted, in order, from both ends.
#[derive(Clone, Debug)]
pub struct Range<'a> {
    start: Id,
    end: Id,
    nodes: btree_map::Range<'a, Id, Box<[u8]>>,
    tail: Option<&'a Tail>,
    front: Option<Entries<'a>>,
    back: Option<Entries<'a>>,
}

impl<'a> Iterator for Range<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        loop {
            if self.front.is_none() {
                let full = self.nodes.next().map(|(&key, node)| Entries::new(key, node));
                let node = full.or_else(|| self.tail.take().map(Tail::entries));
                self.front = node.or_else(|| self.back.take());
            }
            for entry in self.front.as_mut()? {
                if entry.id > self.end {
                    *self = Range { nodes: Default::default(), tail: None, front: None, back: None, ..*self };
                    return None;
                }
                if entry.id >= self.start && !entry.deleted {
                    return Some(entry);
                }
            }
            self.front = None;
        }
    }
}

impl DoubleEndedIterator for Range<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        loop {
            if self.back.is_none() {
                let tail = self.tail.take().map(Tail::entries);
                let full = || self.nodes.next_back().map(|(&key, node)| Entries::up_to(key, node, self.end));
                self.back = tail.or_else(full).or_else(|| self.front.take());
            }
            while let Some(entry) = self.back.as_mut()?.next_back() {
                if entry.id < self.start {
                    *self = Range { nodes: Default::default(), tail: None, front: None, back: None, ..*self };
                    return None;
                }
                if entry.id <= self.end && !entry.deleted {
                    return Some(entry);
                }
            }
            self.back = None;
        }
    }
}
