//! Changes of the keys that somebody watches (WATCH).
//! In: keys watched, unwatched, changed and expired. Out: whether a key is unchanged since a stamp.
//! Invariant W1: an entry exists exactly while its key has watchers, so it knows all changes that any of them cares for.

use std::collections::HashMap;

#[derive(Default)]
pub struct WatchTable {
    keys: HashMap<(u16, Box<[u8]>), State>,
    /// Grows with every change; stamps are never reused, whatever keys come and go.
    stamp: u64,
}

/// A key under watch, with the stamps of what happened to it last; 0: nothing did.
#[derive(Default)]
struct State {
    changed: u64,
    /// It was deleted because its time had come: no change for who had found it overdue.
    expired: u64,
    watchers: u32,
}

impl WatchTable {
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// One more watcher; returns the stamp after which changes count for it.
    pub fn watch(&mut self, db: u16, key: &[u8]) -> u64 {
        self.keys.entry((db, key.into())).or_default().watchers += 1;
        self.stamp
    }

    /// One watcher less.
    pub fn unwatch(&mut self, db: u16, key: &[u8]) {
        let place = (db, Box::from(key));
        let state = self.keys.get_mut(&place).expect("W1: who unwatches has watched");
        state.watchers -= 1;
        if state.watchers == 0 {
            self.keys.remove(&place);
        }
    }

    /// Whether nothing happened to a watched key since `stamp`. `overdue`: its time had come by then, so that its
    /// deletion is no change.
    pub fn unchanged_since(&self, stamp: u64, db: u16, key: &[u8], overdue: bool) -> bool {
        let state = self.keys.get(&(db, Box::from(key))).expect("W1: a watched key is known");
        state.changed <= stamp && (overdue || state.expired <= stamp)
    }

    /// The key was changed.
    pub fn changed(&mut self, db: u16, key: &[u8]) {
        self.stamp += 1;
        if let Some(state) = self.keys.get_mut(&(db, Box::from(key))) {
            state.changed = self.stamp;
        }
    }

    /// The key was deleted because its time had come.
    pub fn expired(&mut self, db: u16, key: &[u8]) {
        self.stamp += 1;
        if let Some(state) = self.keys.get_mut(&(db, Box::from(key))) {
            state.expired = self.stamp;
        }
    }

    /// Keys of `db` under watch.
    pub fn keys_of(&self, db: u16) -> Vec<Box<[u8]>> {
        self.keys.keys().filter(|(of, _)| *of == db).map(|(_, key)| key.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_unchanged_until_it_changes() {
        let mut table = WatchTable::default();
        let first = table.watch(0, b"k");
        table.changed(0, b"other");
        table.changed(1, b"k");
        assert!(table.unchanged_since(first, 0, b"k", false));
        table.changed(0, b"k");
        assert!(!table.unchanged_since(first, 0, b"k", false));
        let second = table.watch(0, b"k");
        assert!(table.unchanged_since(second, 0, b"k", false));
        table.unwatch(0, b"k");
        table.unwatch(0, b"k");
        assert!(table.is_empty());
    }

    #[test]
    fn a_deletion_that_was_due_is_no_change() {
        let mut table = WatchTable::default();
        let stamp = table.watch(0, b"k");
        table.expired(0, b"k");
        assert!(table.unchanged_since(stamp, 0, b"k", true));
        assert!(!table.unchanged_since(stamp, 0, b"k", false));
        table.changed(0, b"k");
        assert!(!table.unchanged_since(stamp, 0, b"k", true));
    }
}
