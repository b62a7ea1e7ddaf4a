//! Knows which hashes of a database have fields that expire, and when to look at each; and has overdue fields removed.
//! In: keys with the time of their next expiry, from the choke points for writing. Out: fields removed, in slices.
//! Absent: which fields of a hash are overdue (see `types::hash`), keys that expire themselves (see `db`).
//!
//! 1. A hash with fields that expire is in the index. The time there is when it is due: its next expiry, or somewhat later after
//!    a long sweep, or earlier where that field is gone.
//! 2. Each key is in it once, and only while the key exists; what it holds may have become something else, which is noticed
//!    when it is due.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::db::Overdue;
use super::{Moment, Shard, What, tell};
use crate::types::{Collection, Hash};

/// The hashes of one database that have fields that expire.
#[derive(Default)]
pub struct FieldExpiries {
    due: BTreeSet<(i64, Arc<[u8]>)>,
    /// No hash table: one that doubles would hold its core up.
    times: BTreeMap<Arc<[u8]>, i64>,
}

impl FieldExpiries {
    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// The hash at `key` is to be looked at by then.
    pub fn schedule(&mut self, key: &[u8], at_ms: i64) {
        if self.times.get(key).is_none_or(|&known_ms| at_ms < known_ms) {
            self.reschedule(key, at_ms);
        }
    }

    /// The hash at `key` is to be looked at then, and not before.
    fn reschedule(&mut self, key: &[u8], at_ms: i64) {
        self.forget(key);
        let key: Arc<[u8]> = key.into();
        self.due.insert((at_ms, key.clone()));
        self.times.insert(key, at_ms);
    }

    /// There is no such key any more.
    #[inline]
    pub fn forget(&mut self, key: &[u8]) {
        if !self.times.is_empty()
            && let Some(entry) = self.times.remove_entry(key)
        {
            self.due.remove(&(entry.1, entry.0));
        }
    }

    /// Frees so much of an index that is thrown away; true when nothing is left.
    pub fn free_slice(&mut self, keys_max: usize) -> bool {
        for _ in 0..keys_max {
            let Some((_, key)) = self.due.pop_first() else { break };
            self.times.remove(&key);
        }
        self.due.is_empty()
    }

    /// The hash that is due first.
    fn first(&self) -> Option<&(i64, Arc<[u8]>)> {
        self.due.first()
    }

    #[cfg(test)]
    pub fn keys(&self) -> Vec<(i64, Vec<u8>)> {
        assert_eq!(self.due.len(), self.times.len(), "2");
        self.due.iter().map(|(at_ms, key)| (*at_ms, key.to_vec())).collect()
    }
}

impl Shard {
    /// Goes on removing the overdue fields of the hash that is due first, about `budget` of its fields. Its last field takes the
    /// key with it.
    pub(super) fn sweep_fields(&mut self, moment: &Moment, budget: usize) -> Overdue {
        let first = |(number, db): (usize, &super::Db)| Some((db.fields.first()?.0, number));
        let first = self.dbs.iter().enumerate().filter_map(first).min();
        let Some((_, number)) = first.filter(|&(at_ms, _)| at_ms <= moment.due_ms) else {
            return Overdue::default();
        };
        let key = self.dbs[number].fields.first().expect("it was just there").1.clone();
        let (expired, done) = self.sweep_hash(number as u16, &key, moment, budget);
        Overdue { sampled: expired, expired, unfinished: !done }
    }

    /// One slice for one hash: how many fields went, and whether the sweep is over.
    fn sweep_hash(&mut self, db: u16, key: &[u8], moment: &Moment, budget: usize) -> (usize, bool) {
        let now_ms = moment.due_ms;
        let sweep = |hash: &mut Hash| {
            (hash.sweep(now_ms, budget), hash.is_empty(), hash.next_expiry(), hash.rest_ms())
        };
        self.before_change(db, key);
        let swept = match self.find_live(db, key, moment) {
            Some(spot) => self.dbs[db as usize].store.change(spot, key, &mut self.scratch, |_| (), sweep),
            None => None,
        };
        let fields = &mut self.dbs[db as usize].fields;
        let Some((swept, empty, next_ms, rest_ms)) = swept else {
            fields.forget(key);
            return (0, true);
        };
        let expired = swept.expired.len();
        if expired > 0 {
            self.note_lapsed_fields(db, key, swept.expired, moment);
        }
        if empty {
            self.remove_uncounted(db, key);
            self.tell(moment, tell::LAPSED, db, key, What::Emptied);
            return (expired, true);
        }
        let fields = &mut self.dbs[db as usize].fields;
        match next_ms {
            Some(at_ms) if swept.done => fields.reschedule(key, at_ms.max(now_ms + rest_ms)),
            None => fields.forget(key),
            Some(_) => {}
        }
        (expired, swept.done)
    }

    /// Fields of a hash went because their time had come.
    pub(super) fn note_lapsed_fields(
        &mut self,
        db: u16,
        key: &[u8],
        fields: Vec<Box<[u8]>>,
        moment: &Moment,
    ) {
        self.counters.expired_fields += fields.len() as u64;
        self.note_uncounted(db, key);
        self.tell(moment, tell::LAPSED, db, key, What::FieldsExpired(fields));
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Encoding, Moment, Shard};
    use crate::types::hash::Lifetime;
    use crate::types::{Hash, Limits};

    /// Slices until all is done; returns how many.
    fn expire_all(shard: &mut Shard, now_ms: i64, budget: usize) -> usize {
        let more = |shard: &mut Shard| shard.expire_slice(&Moment::at(now_ms), budget);
        (1..)
            .find(|_| {
                let found = more(shard);
                found.expired == 0 && !found.unfinished
            })
            .expect("it ends")
    }

    /// Sets a field of the hash at `key`, overdue from `at_ms` on.
    fn set(shard: &mut Shard, key: &[u8], field: &[u8], at_ms: i64) {
        let change =
            |hash: &mut Hash| (hash.set(field, b"v", Lifetime::Until(at_ms), 0, &Limits::default()), true);
        shard.change(0, key, &Moment::at(0), true, change).expect("a hash");
    }

    fn len(shard: &Shard, key: &[u8]) -> Option<usize> {
        Some(shard.dbs[0].store.find(key)?.view::<Hash>()?.len())
    }

    #[test]
    fn overdue_fields_go_and_the_last_one_takes_the_key() {
        let mut shard = Shard::new(0, 2, 1);
        for n in 0..100i64 {
            set(&mut shard, b"h", format!("f{n}").as_bytes(), 10 + n);
        }
        assert!(shard.has_expires());
        assert_eq!(shard.expire_slice(&Moment::at(9), 64).expired, 0);
        expire_all(&mut shard, 60, 16);
        assert_eq!((len(&shard, b"h"), shard.dbs[0].fields.keys()), (Some(49), vec![(61, b"h".to_vec())]));
        let changes = shard.counters.changes;
        expire_all(&mut shard, 1000, 16);
        assert_eq!(len(&shard, b"h"), None);
        assert!(!shard.has_expires() && shard.counters.changes == changes);
        assert_eq!(shard.counters.expired_fields, 100);
    }

    #[test]
    fn the_index_follows_keys() {
        let mut shard = Shard::new(0, 2, 1);
        let at = |shard: &Shard, db: usize| shard.dbs[db].fields.keys();
        set(&mut shard, b"a", b"f", 50);
        set(&mut shard, b"a", b"g", 40);
        assert_eq!(at(&shard, 0), [(40, b"a".to_vec())]);
        let taken = shard.take(0, b"a").expect("it is there");
        assert_eq!(at(&shard, 0), []);
        shard.put(1, b"b", taken, None, &Moment::at(0));
        assert_eq!(at(&shard, 1), [(40, b"b".to_vec())]);
        shard.swap(0, 1, &Moment::at(0));
        assert_eq!((at(&shard, 0).len(), at(&shard, 1).len()), (1, 0));
        // Overwritten: the stale entry goes when it is due.
        shard.set_string(0, b"b", b"v", Encoding::Embstr, None, &Moment::at(0));
        assert_eq!(at(&shard, 0).len(), 1);
        shard.expire_slice(&Moment::at(40), 64);
        assert_eq!((at(&shard, 0), shard.dbs[0].store.len()), (vec![], 1));
        set(&mut shard, b"c", b"f", 50);
        shard.remove(0, b"c");
        assert_eq!(at(&shard, 0), []);
        set(&mut shard, b"c", b"f", 50);
        shard.flush(0, &Moment::at(0));
        assert!(!shard.has_expires());
    }

    /// Fields that change places when others are removed are not passed over for good.
    #[test]
    fn all_fields_of_a_large_hash_go() {
        let mut shard = Shard::new(0, 1, 1);
        (0..50_000).for_each(|n| set(&mut shard, b"h", format!("f{n}").as_bytes(), 10));
        let mut now_ms = 10;
        while len(&shard, b"h").is_some() && now_ms < 2000 {
            expire_all(&mut shard, now_ms, 16);
            now_ms += 10;
        }
        assert_eq!((len(&shard, b"h"), shard.has_expires()), (None, false));
        assert_eq!(shard.counters.expired_fields, 50_000);
    }

    /// A large hash is swept in slices, and then left alone for a while.
    #[test]
    fn large_hashes_are_swept_now_and_then() {
        let mut shard = Shard::new(0, 1, 1);
        for n in 0..10_000i64 {
            set(&mut shard, b"h", format!("f{n}").as_bytes(), 10 + n);
        }
        let slices = expire_all(&mut shard, 10, 64);
        assert!(slices > 50, "{slices}");
        assert_eq!((len(&shard, b"h"), shard.dbs[0].fields.keys()), (Some(9999), vec![(20, b"h".to_vec())]));
    }
}
