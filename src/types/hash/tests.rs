//! Hashes against a map, across the limits of the packed form, with fields that expire.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{Hash, Lifetime};
use crate::base::rng::Rng;
use crate::types::{Collection, Encoding, Limits};

const LIMITS: Limits = Limits { hash_entries_max: 8, hash_value_bytes_max: 12, ..Limits::NONE_PACKED };

#[derive(Clone, Debug)]
enum Step {
    Set(u8, u8, Option<Lifetime>),
    Remove(u8),
    Expire(u8, Option<i64>),
    Pass(i64),
    Sweep(usize),
    Copy,
}

fn step() -> impl Strategy<Value = Step> {
    let lifetime = prop_oneof![
        5 => Just(None),
        1 => Just(Some(Lifetime::Keep)),
        1 => (0..20i64).prop_map(|ms| Some(Lifetime::Until(ms))),
    ];
    prop_oneof![
        8 => (0..24u8, any::<u8>(), lifetime).prop_map(|(field, value, lifetime)| Step::Set(field, value, lifetime)),
        4 => (0..24u8).prop_map(Step::Remove),
        1 => (0..24u8, prop::option::of(1..20i64)).prop_map(|(field, ms)| Step::Expire(field, ms)),
        2 => (0..8i64).prop_map(Step::Pass),
        2 => (1..6usize).prop_map(Step::Sweep),
        1 => Just(Step::Copy),
    ]
}

/// Some are integers, some empty, a few too long to be packed.
fn text(number: u8) -> Vec<u8> {
    match number % 8 {
        0 => Vec::new(),
        1..=3 => number.to_string().into_bytes(),
        7 if number > 240 => vec![b'x'; number as usize],
        _ => format!("text{number}").into_bytes(),
    }
}

fn field_named(number: u8) -> Vec<u8> {
    if number.is_multiple_of(3) {
        number.to_string().into_bytes()
    } else {
        format!("field{number}").into_bytes()
    }
}

type Model = BTreeMap<Vec<u8>, (Vec<u8>, Option<i64>)>;

fn overdue(expiry: Option<i64>, now_ms: i64) -> bool {
    expiry.is_some_and(|at_ms| at_ms <= now_ms)
}

fn compare(hash: &Hash, model: &Model, now_ms: i64) {
    let alive: Model =
        model.iter().filter(|(_, v)| !overdue(v.1, now_ms)).map(|(k, v)| (k.clone(), v.clone())).collect();
    let view = hash.view();
    assert_eq!(view.len_alive(now_ms), alive.len());
    assert!(view.len() >= alive.len() && view.len() <= model.len());
    let mut seen = Model::new();
    view.for_each(now_ms, |field, value| {
        let expiry = view.expiry(&field.to_vec(), now_ms).expect("it was visited");
        assert!(seen.insert(field.to_vec(), (value.to_vec(), expiry)).is_none());
    });
    assert_eq!(seen, alive);
    let (mut scanned, mut cursor) = (Vec::new(), 0);
    loop {
        cursor = view.scan(cursor, 3, now_ms, |field, _| scanned.push(field.to_vec()));
        if cursor == 0 {
            break;
        }
    }
    scanned.sort();
    assert!(scanned.iter().eq(alive.keys()));
    let next = model.values().filter_map(|value| value.1).min();
    if let Some(next) = next.filter(|&next| next > now_ms) {
        assert!(hash.next_expiry().is_some_and(|at_ms| at_ms <= next), "1: {:?} {next}", hash.next_expiry());
    }
    let mut rng = Rng::seeded(now_ms as u64);
    match view.is_empty() {
        true => assert!(hash.is_empty()),
        false => {
            let drawn = view.random(now_ms, |bound| rng.below(bound)).map(|(field, _)| field.to_vec());
            assert_eq!(drawn.is_none(), alive.is_empty());
            assert!(drawn.is_none_or(|field| alive.contains_key(&field)));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]
    #[test]
    fn does_what_a_map_does(steps in prop::collection::vec(step(), 1..80)) {
        let (mut hash, mut model, mut now_ms) = (Hash::new(Vec::new()), Model::new(), 1000);
        for step in steps {
            match step {
                Step::Set(field, value, lifetime) => {
                    let (field, value) = (field_named(field), text(value));
                    let lifetime = match lifetime {
                        Some(Lifetime::Until(ms)) => Lifetime::Until(now_ms + 1 + ms),
                        other => other.unwrap_or(Lifetime::Forever),
                    };
                    let old = model.get(&field).filter(|old| !overdue(old.1, now_ms)).cloned();
                    let expiry = match lifetime {
                        Lifetime::Forever => None,
                        Lifetime::Keep => old.as_ref().and_then(|old| old.1),
                        Lifetime::Until(at_ms) => Some(at_ms),
                    };
                    assert_eq!(hash.set(&field, &value, lifetime, now_ms, &LIMITS), old.is_none());
                    model.insert(field, (value, expiry));
                }
                Step::Remove(field) => {
                    let field = field_named(field);
                    let there = model.get(&field).is_some_and(|old| !overdue(old.1, now_ms));
                    assert_eq!(hash.remove(&field, now_ms), there);
                    if there {
                        model.remove(&field);
                    }
                }
                Step::Expire(field, ms) => {
                    let field = field_named(field);
                    if let Some(old) = model.get_mut(&field).filter(|old| !overdue(old.1, now_ms)) {
                        old.1 = ms.map(|ms| now_ms + ms);
                        hash.set_expiry(&field, old.1);
                    }
                }
                Step::Pass(ms) => now_ms += ms,
                Step::Sweep(budget) => {
                    hash.sweep(now_ms, budget);
                }
                Step::Copy => hash = hash.duplicate(),
            }
            compare(&hash, &model, now_ms);
        }
        while !hash.sweep(now_ms, 4).done {}
        hash.sweep(now_ms, usize::MAX);
        prop_assert_eq!(hash.view().len(), hash.view().len_alive(now_ms));
    }
}

#[test]
fn a_hash_that_passes_a_limit_becomes_a_table_for_good() {
    let mut hash = Hash::new(Vec::new());
    for n in 0..9 {
        assert_eq!(hash.encoding(), Encoding::Listpack, "{n}");
        hash.set(&[b'a' + n], b"v", Lifetime::Forever, 0, &LIMITS);
    }
    assert_eq!(hash.encoding(), Encoding::Hashtable);
    (0..8).for_each(|n| assert!(hash.remove(&[b'a' + n], 0)));
    assert_eq!((hash.encoding(), hash.view().len()), (Encoding::Hashtable, 1));
}

/// Every field comes about equally often, also where most are overdue.
#[test]
fn draws_are_fair() {
    for (fields, expiring) in [(5usize, 0usize), (40, 0), (400, 390)] {
        let mut hash = Hash::new(Vec::new());
        for n in 0..fields {
            let lifetime = if n < expiring { Lifetime::Until(5) } else { Lifetime::Forever };
            hash.set(n.to_string().as_bytes(), b"v", lifetime, 0, &LIMITS);
        }
        let alive = fields - expiring;
        let mut rng = Rng::seeded(7);
        let mut counts = BTreeMap::new();
        for _ in 0..alive * 300 {
            let (field, _) = hash.view().random(10, |bound| rng.below(bound)).expect("some are alive");
            *counts.entry(field.to_vec()).or_insert(0usize) += 1;
        }
        assert_eq!(counts.len(), alive);
        assert!(counts.values().all(|count| (150..=500).contains(count)), "{counts:?}");
    }
}

/// A sweep in slices removes what is overdue, and knows what comes next even if fields are set meanwhile.
#[test]
fn sweeps_go_in_slices() {
    let mut hash = Hash::new(Vec::new());
    for n in 0..5000i64 {
        let at_ms = if n % 2 == 0 { 10 } else { 1000 + n };
        hash.set(format!("field{n}").as_bytes(), b"v", Lifetime::Until(at_ms), 0, &LIMITS);
    }
    assert_eq!(hash.next_expiry(), Some(10));
    let mut expired = hash.sweep(10, 64).expired.len();
    assert!(expired > 0 && expired <= 128, "{expired}");
    hash.set(b"early", b"v", Lifetime::Until(20), 10, &LIMITS);
    assert!(hash.next_expiry().is_some_and(|at_ms| at_ms <= 10), "the sweep is not over");
    loop {
        let sweep = hash.sweep(10, 64);
        expired += sweep.expired.len();
        if sweep.done {
            break;
        }
    }
    assert_eq!((expired, hash.view().len(), hash.next_expiry()), (2500, 2501, Some(20)));
}
