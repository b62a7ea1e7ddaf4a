//! The clients that wait for keys of a shard, and which of these keys have changed.
//! In: waits, and every change of a key. Out: keys to look at, each with its waits, the longest first.
//! Invariants: B1, a key is known exactly while somebody waits for it; B2, a key changed since the last look is in `ready`.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::client::Wait;
use crate::types::Type;

type Key = (u16, Box<[u8]>);

#[derive(Clone, Debug)]
pub struct Waiter {
    pub wait: Arc<Wait>,
    /// It is of no use to run its command while the key holds another type, or is not there …
    pub kind: Type,
    /// … unless it reads for a group, and has to know that the key is gone.
    pub by_group: bool,
    /// The shard that an answer needs besides the key's own: an element moves there.
    pub target: Option<usize>,
}

/// Who waits for one key, the longest first.
#[derive(Default)]
struct Queue {
    waiters: VecDeque<Waiter>,
    /// How many of them read for a group.
    by_group: usize,
}

#[derive(Default)]
pub struct WaitTable {
    keys: HashMap<Key, Queue>,
    /// In the order in which they changed, each with its place among the changes of all shards.
    ready: VecDeque<(u64, Key)>,
    /// Of all waiters, with how many have it.
    targets: Vec<(usize, usize)>,
    /// How often such keys have changed, in all shards: those that one command changes are served in order.
    changes: Arc<AtomicU64>,
}

impl WaitTable {
    /// From now on the places are those of all shards together.
    pub fn count_with(&mut self, changes: Arc<AtomicU64>) {
        self.changes = changes;
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Keys that somebody waits for who was not answered yet.
    pub fn len(&self) -> usize {
        let open = |queue: &&Queue| queue.waiters.iter().any(|waiter| !waiter.wait.is_over());
        self.keys.values().filter(open).count()
    }

    /// The place of the first key to look at, among those of all shards.
    #[inline]
    pub fn first_ready(&self) -> Option<u64> {
        self.ready.front().map(|(place, _)| *place)
    }

    /// The shards that answers need besides this one.
    pub fn targets(&self) -> impl Iterator<Item = usize> {
        self.targets.iter().map(|&(shard, _)| shard)
    }

    pub fn add(&mut self, db: u16, key: &[u8], waiter: Waiter) {
        if let Some(shard) = waiter.target {
            match self.targets.iter_mut().find(|(known, _)| *known == shard) {
                Some((_, count)) => *count += 1,
                None => self.targets.push((shard, 1)),
            }
        }
        let queue = self.keys.entry((db, key.into())).or_default();
        queue.by_group += usize::from(waiter.by_group);
        queue.waiters.push_back(waiter);
    }

    /// Forgets one wait for a key.
    pub fn remove(&mut self, db: u16, key: &[u8], wait: &Arc<Wait>) {
        let place = (db, Box::from(key));
        let Some(queue) = self.keys.get_mut(&place) else { return };
        let is_it = |waiter: &Waiter| Arc::ptr_eq(&waiter.wait, wait);
        let Some(at) = queue.waiters.iter().position(is_it) else { return };
        let gone = queue.waiters.remove(at).expect("it was just seen");
        queue.by_group -= usize::from(gone.by_group);
        if queue.waiters.is_empty() {
            self.keys.remove(&place);
        }
        if let Some(shard) = gone.target {
            let at = self.targets.iter().position(|(known, _)| *known == shard).expect("it was counted");
            self.targets[at].1 -= 1;
            if self.targets[at].1 == 0 {
                self.targets.swap_remove(at);
            }
        }
    }

    /// The first waiter from place `from` of a key's queue on whose command may end, as the key holds such a value.
    pub fn next(&self, db: u16, key: &[u8], from: usize, held: Option<Type>) -> Option<(usize, Arc<Wait>)> {
        let queue = self.keys.get(&(db, Box::from(key)))?;
        if held.is_none() && queue.by_group == 0 {
            return None;
        }
        let hopeful = |(_, waiter): &(usize, &Waiter)| waiter.by_group || Some(waiter.kind) == held;
        let (at, waiter) = queue.waiters.iter().enumerate().skip(from).find(hopeful)?;
        Some((at, waiter.wait.clone()))
    }

    /// A key changed.
    pub fn changed(&mut self, db: u16, key: &[u8]) {
        let place = (db, Box::from(key));
        let known = self.ready.back().is_some_and(|(_, last)| *last == place);
        if !known && self.keys.contains_key(&place) {
            self.ready.push_back((self.changes.fetch_add(1, Relaxed), place));
        }
    }

    /// All keys of a database may have changed.
    pub fn changed_all(&mut self, db: u16) {
        let mut keys: Vec<Key> = self.keys.keys().filter(|(of, _)| *of == db).cloned().collect();
        keys.sort_unstable();
        let changes = &self.changes;
        self.ready.extend(keys.into_iter().map(|key| (changes.fetch_add(1, Relaxed), key)));
    }

    /// The next key to look at.
    pub fn take_ready(&mut self) -> Option<Key> {
        self.ready.pop_front().map(|(_, key)| key)
    }
}
