//! The clients that wait for keys of a shard, and which of these keys have changed.
//! In: waits, and every change of a key. Out: keys to look at, each with its waits, the longest first.
//! Invariants: B1, a key is known exactly while somebody waits for it; B2, a key changed since the last look is in `ready`.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::client::Wait;
use crate::types::Type;

type Key = (u16, Box<[u8]>);

#[derive(Clone, Debug)]
pub struct Waiter {
    pub wait: Arc<Wait>,
    /// It is of no use to run its command while the key holds another type, or is not there.
    pub kind: Type,
    /// The shard that an answer needs besides the key's own: an element moves there.
    pub target: Option<usize>,
}

#[derive(Default)]
pub struct WaitTable {
    keys: HashMap<Key, VecDeque<Waiter>>,
    /// In the order in which they changed.
    ready: VecDeque<Key>,
    /// Of all waiters, with how many have it.
    targets: Vec<(usize, usize)>,
}

impl WaitTable {
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Keys that somebody waits for.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    #[inline]
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
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
        self.keys.entry((db, key.into())).or_default().push_back(waiter);
    }

    /// Forgets one wait for a key.
    pub fn remove(&mut self, db: u16, key: &[u8], wait: &Arc<Wait>) {
        let place = (db, Box::from(key));
        let Some(waiters) = self.keys.get_mut(&place) else { return };
        let Some(at) = waiters.iter().position(|waiter| Arc::ptr_eq(&waiter.wait, wait)) else { return };
        let gone = waiters.remove(at).expect("it was just seen");
        if waiters.is_empty() {
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

    /// The waiter at place `at` of a key's queue.
    pub fn waiter(&self, db: u16, key: &[u8], at: usize) -> Option<Waiter> {
        self.keys.get(&(db, Box::from(key)))?.get(at).cloned()
    }

    /// A key changed.
    pub fn changed(&mut self, db: u16, key: &[u8]) {
        let place = (db, Box::from(key));
        if self.keys.contains_key(&place) && self.ready.back() != Some(&place) {
            self.ready.push_back(place);
        }
    }

    /// All keys of a database may have changed.
    pub fn changed_all(&mut self, db: u16) {
        let keys = self.keys.keys().filter(|(of, _)| *of == db).cloned();
        self.ready.extend(keys);
    }

    /// The next key to look at.
    pub fn take_ready(&mut self) -> Option<Key> {
        self.ready.pop_front()
    }
}
