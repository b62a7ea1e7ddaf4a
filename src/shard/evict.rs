//! Decides which keys go when memory is full: a few are looked at, and the best of all those looked at so far goes.
//! In: a policy. Out: keys deleted, one at a time.
//! Absent: when, and how many (see `server::room`); clients that hold too much memory.
//!
//! As Redis does: every round takes `maxmemory-samples` keys of each database by chance, and a pool keeps the sixteen that
//! were best to evict, over rounds, so that a few samples a round come near to what a list of all keys by age would say.
//! A key in the pool may be gone, or in use again, by the time it is picked; one that is gone is passed over.

#[cfg(test)]
mod tests;

use super::{Entry, Moment, Shard, What, tell};
use crate::base::rng::Rng;
use crate::config::MaxmemoryPolicy;

/// Candidates that are remembered.
const POOL: usize = 16;
/// Buckets and keys looked at in one go while keys with an expiry are sought.
const WALK: usize = 64;

/// What may go, and how closely to look.
#[derive(Clone, Copy, Debug)]
pub struct Eviction {
    pub policy: MaxmemoryPolicy,
    /// Keys of a database that a round looks at.
    pub samples: usize,
}

impl Eviction {
    /// How good it is to evict the entry.
    fn score(&self, entry: &Entry, moment: &Moment) -> u64 {
        match self.policy {
            MaxmemoryPolicy::VolatileTtl => u64::MAX - entry.expiry().unwrap_or(i64::MAX).max(0) as u64,
            policy if policy.is_lfu() => 255 - u64::from(moment.lfu_frequency(entry.access())),
            _ => u64::from(moment.idle_s(entry.access())),
        }
    }

    fn is_random(&self) -> bool {
        matches!(self.policy, MaxmemoryPolicy::AllkeysRandom | MaxmemoryPolicy::VolatileRandom)
    }
}

struct Candidate {
    score: u64,
    db: u16,
    key: Box<[u8]>,
}

/// What a shard remembers from one eviction to the next.
#[derive(Default)]
pub struct Pool {
    /// The best last.
    candidates: Vec<Candidate>,
    /// The policy that the scores are of.
    policy: Option<MaxmemoryPolicy>,
    /// The database that a random policy takes a key of next.
    next_db: usize,
}

impl Pool {
    fn offer(&mut self, score: u64, db: u16, key: &[u8]) {
        let at = self.candidates.partition_point(|known| known.score < score);
        if (at == 0 && self.candidates.len() == POOL)
            || self.candidates.iter().any(|known| known.db == db && *known.key == *key)
        {
            return;
        }
        self.candidates.insert(at, Candidate { score, db, key: key.into() });
        if self.candidates.len() > POOL {
            self.candidates.remove(0);
        }
    }
}

impl Shard {
    /// Deletes the key that should go first. False: there is none that may.
    pub fn evict(&mut self, eviction: &Eviction, moment: &Moment, rng: &mut Rng) -> bool {
        let picked = match eviction.is_random() {
            true => self.pick_any(eviction, rng),
            false => self.pick_best(eviction, moment, rng),
        };
        let Some((db, key)) = picked else { return false };
        self.counters.evicted += 1;
        self.tell(moment, tell::LAPSED, db, &key, What::Evicted);
        self.remove_uncounted(db, &key)
    }

    /// Any key that may go, of each database in turn.
    fn pick_any(&mut self, eviction: &Eviction, rng: &mut Rng) -> Option<(u16, Box<[u8]>)> {
        let count = self.dbs.len();
        for step in 0..count {
            let db = (self.evicting.next_db + step) % count;
            let mut picked = None;
            self.sample(db, &Eviction { samples: 1, ..*eviction }, rng, |entry| {
                picked.get_or_insert_with(|| entry.key().into());
            });
            if let Some(key) = picked {
                self.evicting.next_db = (db + 1) % count;
                return Some((db as u16, key));
            }
        }
        None
    }

    fn pick_best(&mut self, eviction: &Eviction, moment: &Moment, rng: &mut Rng) -> Option<(u16, Box<[u8]>)> {
        let mut pool = std::mem::take(&mut self.evicting);
        if pool.policy != Some(eviction.policy) {
            pool.candidates.clear();
            pool.policy = Some(eviction.policy);
        }
        let picked = loop {
            for db in 0..self.dbs.len() {
                self.sample(db, eviction, rng, |entry| {
                    pool.offer(eviction.score(entry, moment), db as u16, entry.key());
                });
            }
            // Keys were offered unless there are none; the pool empties if all it holds is gone.
            if pool.candidates.is_empty() {
                break None;
            }
            let best = std::iter::from_fn(|| pool.candidates.pop())
                .find(|candidate| self.may_go(candidate, eviction.policy));
            if let Some(best) = best {
                break Some((best.db, best.key));
            }
        };
        self.evicting = pool;
        picked
    }

    fn may_go(&self, candidate: &Candidate, policy: MaxmemoryPolicy) -> bool {
        let found = self.dbs[candidate.db as usize].store.find(&candidate.key);
        found.is_some_and(|entry| !policy.is_volatile() || entry.expiry().is_some())
    }

    /// Looks at some keys of a database that may go, by chance.
    fn sample(&self, db: usize, eviction: &Eviction, rng: &mut Rng, mut visit: impl FnMut(&Entry)) {
        let store = &self.dbs[db].store;
        if !eviction.policy.is_volatile() {
            (0..eviction.samples).filter_map(|_| store.random(&mut || rng.next_u64())).for_each(visit);
            return;
        }
        let mut left = eviction.samples.min(store.expires());
        let mut position = rng.next_u64() >> 1;
        // Once from somewhere to the end, and once from the start.
        let mut ends = 0;
        while left > 0 && ends < 2 {
            store.sample_expiring(&mut position, WALK, &mut |entry| {
                if left > 0 {
                    left -= 1;
                    visit(entry);
                }
            });
            ends += (position == 0) as usize;
        }
    }
}
