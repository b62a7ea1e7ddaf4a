//! Versions of the keys that somebody watches (WATCH).
//! In: keys watched, unwatched and changed. Out: a version that grows with every change while anybody watches.
//! Invariant W1: an entry exists exactly while its key has watchers, so a version that is unchanged means an unchanged key.

use std::collections::HashMap;

#[derive(Default)]
pub struct WatchTable {
    keys: HashMap<(u16, Box<[u8]>), State>,
    /// Versions are never reused, whatever keys come and go.
    last_version: u64,
}

struct State {
    version: u64,
    watchers: u32,
}

impl WatchTable {
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// One more watcher; returns the key's version now.
    pub fn watch(&mut self, db: u16, key: &[u8]) -> u64 {
        if let Some(state) = self.keys.get_mut(&(db, Box::from(key))) {
            state.watchers += 1;
            return state.version;
        }
        self.last_version += 1;
        let version = self.last_version;
        self.keys.insert((db, key.into()), State { version, watchers: 1 });
        version
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

    pub fn version(&self, db: u16, key: &[u8]) -> u64 {
        self.keys.get(&(db, Box::from(key))).map_or(0, |state| state.version)
    }

    /// The key was changed.
    pub fn changed(&mut self, db: u16, key: &[u8]) {
        self.last_version += 1;
        if let Some(state) = self.keys.get_mut(&(db, Box::from(key))) {
            state.version = self.last_version;
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
    fn a_version_lasts_until_the_key_changes() {
        let mut table = WatchTable::default();
        let first = table.watch(0, b"k");
        assert_eq!(table.watch(0, b"k"), first);
        table.changed(0, b"other");
        assert_eq!(table.version(0, b"k"), first);
        table.changed(0, b"k");
        assert_ne!(table.version(0, b"k"), first);
        table.unwatch(0, b"k");
        table.unwatch(0, b"k");
        assert!(table.is_empty());
    }

    #[test]
    fn a_key_watched_anew_never_gets_an_old_version() {
        let mut table = WatchTable::default();
        let first = table.watch(0, b"k");
        table.unwatch(0, b"k");
        assert_ne!(table.watch(0, b"k"), first);
    }
}
