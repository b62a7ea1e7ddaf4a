//! Who is evicted first, policy by policy.

use super::*;
use crate::shard::Encoding;

const POLICIES: [MaxmemoryPolicy; 7] = [
    MaxmemoryPolicy::VolatileLru,
    MaxmemoryPolicy::VolatileLfu,
    MaxmemoryPolicy::VolatileRandom,
    MaxmemoryPolicy::VolatileTtl,
    MaxmemoryPolicy::AllkeysLru,
    MaxmemoryPolicy::AllkeysLfu,
    MaxmemoryPolicy::AllkeysRandom,
];

fn moment(now_s: i64, lfu: bool) -> Moment {
    Moment { lfu, random: now_s as u64, ..Moment::at(now_s * 1000) }
}

/// Keys `0` to `count`, in two databases; every third without an expiry, the others with one that grows.
fn filled(count: usize, lfu: bool) -> Shard {
    let mut shard = Shard::new(0, 16, 7);
    for number in 0..count {
        let expiry = (number % 3 > 0).then_some(1_000_000_000 + number as i64 * 1000);
        let (db, key) = (number as u16 % 2 * 5, number.to_string());
        let moment = moment(1000 + number as i64, lfu);
        shard.set_string(db, key.as_bytes(), b"v", Encoding::Embstr, expiry, &moment);
    }
    shard
}

fn left(shard: &Shard) -> Vec<usize> {
    let number = |entry: &Entry| std::str::from_utf8(entry.key()).unwrap().parse().unwrap();
    shard.dbs.iter().flat_map(|db| db.store.iter()).map(number).collect()
}

fn evict(shard: &mut Shard, policy: MaxmemoryPolicy, count: usize) -> usize {
    let mut rng = Rng::seeded(count as u64);
    let eviction = Eviction { policy, samples: 10 };
    let moment = moment(10_000, policy.is_lfu());
    (0..count).take_while(|_| shard.evict(&eviction, &moment, &mut rng)).count()
}

#[test]
fn all_that_may_go_goes_in_the_end() {
    for policy in POLICIES {
        let mut shard = filled(300, policy.is_lfu());
        let may_go = if policy.is_volatile() { 200 } else { 300 };
        assert_eq!(evict(&mut shard, policy, 1000), may_go, "{policy:?}");
        assert_eq!(shard.counters.evicted, may_go as u64);
        assert!(left(&shard).iter().all(|number| number % 3 == 0), "{policy:?}");
        shard.dbs.iter().for_each(|db| db.store.verify());
    }
}

#[test]
fn the_oldest_or_the_first_to_expire_goes_first() {
    for policy in [MaxmemoryPolicy::AllkeysLru, MaxmemoryPolicy::VolatileLru, MaxmemoryPolicy::VolatileTtl] {
        let mut shard = filled(3000, false);
        let may_go = if policy.is_volatile() { 2000 } else { 3000 };
        evict(&mut shard, policy, may_go / 2);
        let young = left(&shard).into_iter().filter(|&number| number >= 1500);
        let young = young.filter(|number| !policy.is_volatile() || number % 3 > 0).count();
        assert!(young * 100 >= may_go / 2 * 95, "{policy:?} left {young} of {} young keys", may_go / 2);
    }
}

#[test]
fn what_is_read_stays() {
    let mut shard = filled(1000, false);
    for number in 0..200 {
        let key = number.to_string();
        assert!(shard.read(number as u16 % 2 * 5, key.as_bytes(), &moment(5000, false)).is_some());
    }
    evict(&mut shard, MaxmemoryPolicy::AllkeysLru, 500);
    let kept = left(&shard).into_iter().filter(|&number| number < 200).count();
    assert!(kept >= 195, "{kept} of 200");
}

#[test]
fn what_is_read_often_stays() {
    for policy in [MaxmemoryPolicy::AllkeysLfu, MaxmemoryPolicy::VolatileLfu] {
        let mut shard = filled(1000, true);
        for round in 0..20 {
            for number in (1..300).step_by(3) {
                let key = number.to_string();
                let moment = Moment { random: round * 1000 + number as u64, ..moment(5000, true) };
                shard.read(number as u16 % 2 * 5, key.as_bytes(), &moment);
            }
        }
        evict(&mut shard, policy, 400);
        let kept = left(&shard).into_iter().filter(|&number| number < 300 && number % 3 == 1).count();
        assert!(kept >= 98, "{policy:?}: {kept} of 100");
    }
}

#[test]
fn a_rare_expiry_is_found() {
    let mut shard = Shard::new(0, 16, 7);
    let moment = moment(1000, false);
    for number in 0..50_000 {
        let expiry = (number % 10_000 == 77).then_some(9_000_000);
        let key = number.to_string();
        shard.set_string(3, key.as_bytes(), b"v", Encoding::Embstr, expiry, &moment);
    }
    assert_eq!(evict(&mut shard, MaxmemoryPolicy::VolatileRandom, 10), 5);
    assert_eq!(shard.dbs[3].store.len(), 49_995);
}
