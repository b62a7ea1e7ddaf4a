//! Which clients may have cached which keys of a shard, and which keys they are to forget.
//! In: keys read for clients, and every change of a key. Out: invalidations in the order of the changes, taken by the core
//! right after each command, with the shard still at hand.
//! Invariants: R1, a client that was told of a key's change is not remembered for it any more; R2, `changes` is empty
//! between commands; R3, `keys` lists what `places` knows, each at its place.
//! Absent: where the messages go, and whether a client still wants them (`pubsub::Books`).
//!
//! As in Redis, keys are remembered by their names, whatever the database; and who left or ceased to track is
//! remembered until the key changes.

use std::collections::HashMap;

use smallvec::SmallVec;

use crate::base::rng::Rng;

/// By client id.
pub type Readers = SmallVec<[u64; 2]>;

/// Something that clients have to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The key changed. It may be of interest to those who hear of a prefix, too.
    Key { key: Box<[u8]>, readers: Readers, itself: bool },
    /// There was no room to remember the key any longer.
    Forgotten { key: Box<[u8]>, readers: Readers },
    /// A whole database went.
    Flushed,
}

impl Change {
    /// Who read the key; None: it is about all keys.
    pub fn readers(&self) -> Option<&Readers> {
        match self {
            Self::Key { readers, .. } | Self::Forgotten { readers, .. } => Some(readers),
            Self::Flushed => None,
        }
    }

    /// The key; empty if it is about all keys.
    pub fn key(&self) -> &[u8] {
        match self {
            Self::Key { key, .. } | Self::Forgotten { key, .. } => key,
            Self::Flushed => b"",
        }
    }
}

struct Place {
    readers: Readers,
    /// Where it stands in `keys`.
    at: usize,
}

/// Which changes matter to clients.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub enum Interest {
    /// None: no client tracks anything.
    #[default]
    Nothing,
    /// Those of keys remembered.
    Remembered,
    /// Some clients hear of prefixes.
    All,
}

#[derive(Default)]
pub struct TrackTable {
    places: HashMap<Box<[u8]>, Place>,
    /// For a choice by chance.
    keys: Vec<Box<[u8]>>,
    /// Clients remembered, over all keys.
    items: usize,
    /// Keys as of the last `growth`.
    counted: usize,
    changes: Vec<Change>,
    interest: Interest,
}

impl TrackTable {
    /// Whether a change would matter to anybody.
    #[inline]
    pub fn is_idle(&self) -> bool {
        self.keys.is_empty() && self.interest != Interest::All
    }

    /// Keys remembered.
    pub fn key_count(&self) -> usize {
        self.keys.len()
    }

    pub fn items(&self) -> usize {
        self.items
    }

    /// What matters from now on.
    pub fn listen(&mut self, interest: Interest) {
        self.interest = interest;
    }

    /// A client read a key and may keep its value.
    pub fn remember(&mut self, key: &[u8], client: u64) {
        if let Some(place) = self.places.get_mut(key) {
            if !place.readers.contains(&client) {
                place.readers.push(client);
                self.items += 1;
            }
            return;
        }
        self.places
            .insert(key.into(), Place { readers: SmallVec::from_slice(&[client]), at: self.keys.len() });
        self.keys.push(key.into());
        self.items += 1;
    }

    /// Forgets a key: who was remembered for it.
    fn forget(&mut self, key: &[u8]) -> Option<Readers> {
        let Place { readers, at } = self.places.remove(key)?;
        self.keys.swap_remove(at);
        if let Some(moved) = self.keys.get(at) {
            self.places.get_mut(moved).expect("R3: it is listed").at = at;
        }
        self.items -= readers.len();
        Some(readers)
    }

    /// A key changed; `itself`: by itself, since its time had come.
    pub fn changed(&mut self, key: &[u8], itself: bool) {
        let readers = self.forget(key);
        if readers.is_some() || self.interest == Interest::All {
            self.changes.push(Change::Key { key: key.into(), readers: readers.unwrap_or_default(), itself });
        }
    }

    /// A database was flushed: all clients are to forget everything.
    pub fn flushed(&mut self) {
        self.places.clear();
        self.keys.clear();
        self.items = 0;
        if self.interest != Interest::Nothing {
            self.changes.push(Change::Flushed);
        }
    }

    /// Forgets a key by chance, since there are too many. False: there is none.
    pub fn forget_one(&mut self, rng: &mut Rng) -> bool {
        if self.keys.is_empty() {
            return false;
        }
        let key = self.keys[rng.below(self.keys.len() as u64) as usize].clone();
        let readers = self.forget(&key).expect("R3: it is listed");
        self.changes.push(Change::Forgotten { key, readers });
        true
    }

    #[inline]
    pub fn has_changes(&self) -> bool {
        !self.changes.is_empty()
    }

    /// What clients have to be told, since it was last asked.
    pub fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// By how many keys the table grew since it was last asked.
    pub fn growth(&mut self) -> i64 {
        let before = std::mem::replace(&mut self.counted, self.keys.len());
        self.keys.len() as i64 - before as i64
    }

    /// Checks the invariants.
    #[cfg(test)]
    fn verify(&self) {
        assert_eq!(self.keys.len(), self.places.len(), "R3");
        assert!(self.keys.iter().enumerate().all(|(at, key)| self.places[key].at == at), "R3");
        assert_eq!(self.items, self.places.values().map(|place| place.readers.len()).sum::<usize>());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(key: &[u8], readers: &[u64]) -> Change {
        Change::Key { key: key.into(), readers: SmallVec::from_slice(readers), itself: false }
    }

    #[test]
    fn who_read_a_key_is_told_once() {
        let mut table = TrackTable::default();
        assert!(table.is_idle());
        for (key, client) in [(b"a", 1), (b"b", 1), (b"a", 2), (b"a", 1)] {
            table.remember(key, client);
        }
        assert_eq!((table.key_count(), table.items(), table.growth(), table.is_idle()), (2, 3, 2, false));
        table.changed(b"a", false);
        table.changed(b"a", false);
        table.changed(b"x", false);
        table.verify();
        assert_eq!(table.take_changes(), [changed(b"a", &[1, 2])]);
        assert_eq!(
            (table.key_count(), table.items(), table.growth(), table.has_changes()),
            (1, 1, -1, false)
        );
    }

    #[test]
    fn all_changes_matter_to_prefixes() {
        let mut table = TrackTable::default();
        table.listen(Interest::All);
        table.remember(b"a", 1);
        table.changed(b"x", false);
        table.changed(b"a", false);
        assert_eq!(table.take_changes(), [changed(b"x", &[]), changed(b"a", &[1])]);
        table.listen(Interest::Nothing);
        assert!(table.is_idle());
    }

    #[test]
    fn keys_are_forgotten_by_chance() {
        let (mut table, mut rng) = (TrackTable::default(), Rng::seeded(5));
        for n in 0..100u64 {
            table.remember(&n.to_le_bytes(), n % 3);
        }
        for left in (0..100).rev() {
            assert!(table.forget_one(&mut rng));
            table.verify();
            assert_eq!((table.key_count(), table.items()), (left, left));
        }
        assert!(!table.forget_one(&mut rng));
        assert_eq!(table.take_changes().len(), 100);
        table.flushed();
        assert!(!table.has_changes(), "nobody tracks");
        table.listen(Interest::Remembered);
        table.flushed();
        assert_eq!(table.take_changes(), [Change::Flushed]);
    }
}
