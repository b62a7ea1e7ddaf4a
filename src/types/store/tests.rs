//! The store against a map, and what its operations promise.

use super::*;
use proptest::prelude::*;
use std::collections::{HashMap, HashSet};

fn store() -> Store {
    Store::new(RandomState::with_seeds(1, 2, 3, 4))
}

fn key(number: usize) -> Vec<u8> {
    format!("key:{number:012}").into_bytes()
}

fn set(store: &mut Store, key: &[u8], value: &[u8], expiry: Option<i64>) -> Option<Removed> {
    store.set_string(store.hash(key), key, value, Encoding::of_string(value.len()), expiry, 0)
}

/// What the model knows of a key.
#[derive(Clone, Debug, PartialEq)]
struct Known {
    value: Owned,
    encoding: Encoding,
    expiry: Option<i64>,
    access: u32,
}

impl Clone for Owned {
    fn clone(&self) -> Owned {
        match self {
            Owned::Forgotten => Owned::Forgotten,
            Owned::Int(value) => Owned::Int(*value),
            Owned::Bytes(value) => Owned::Bytes(value.clone()),
            Owned::Object(object) => Owned::Object(Box::new(object.duplicate())),
        }
    }
}

fn known(entry: &Entry) -> Known {
    let value = match entry.value() {
        Value::Int(value) => Owned::Int(value),
        Value::Bytes(bytes) => Owned::Bytes(bytes.to_vec()),
        Value::Object(_) => unreachable!(),
    };
    Known { value, encoding: entry.encoding(), expiry: entry.expiry(), access: entry.access() }
}

fn compare(store: &Store, model: &HashMap<Vec<u8>, Known>) {
    store.verify();
    assert_eq!(store.len(), model.len());
    assert_eq!(store.expires(), model.values().filter(|known| known.expiry.is_some()).count());
    for (key, expected) in model {
        assert_eq!(&known(store.find(key).expect("the key is there")), expected);
    }
}

#[derive(Clone, Debug)]
enum Step {
    SetString(usize, usize, Option<i64>),
    SetInt(usize, i64, Option<i64>),
    Resize(usize, usize),
    Expire(usize, Option<i64>),
    Remove(usize),
    Rename(usize, usize),
    /// Sets a run of keys.
    Fill(usize, usize),
    /// Removes a run of keys.
    Drain(usize, usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let number = || 0usize..400;
    let expiry = || prop::option::of(any::<i64>());
    let size = || prop_oneof![0usize..100, 900usize..1100, 3000usize..9000];
    let step = prop_oneof![
        4 => (number(), size(), expiry()).prop_map(|(key, size, expiry)| Step::SetString(key, size, expiry)),
        2 => (number(), any::<i64>(), expiry()).prop_map(|(key, value, expiry)| Step::SetInt(key, value, expiry)),
        2 => (number(), size()).prop_map(|(key, size)| Step::Resize(key, size)),
        3 => (number(), expiry()).prop_map(|(key, expiry)| Step::Expire(key, expiry)),
        3 => number().prop_map(Step::Remove),
        1 => (number(), number()).prop_map(|(from, to)| Step::Rename(from, to)),
        1 => (number(), 0usize..2500).prop_map(|(from, count)| Step::Fill(from, count)),
        1 => (number(), 0usize..2500).prop_map(|(from, count)| Step::Drain(from, count)),
    ];
    prop::collection::vec(step, 1..60)
}

/// Every fifth key is too long for an inline entry, every tenth of these for any slot.
fn odd_key(number: usize) -> Vec<u8> {
    let mut key = key(number);
    if number.is_multiple_of(5) {
        key.resize(if number.is_multiple_of(50) { 2000 } else { 300 }, b'.');
    }
    key
}

fn apply(store: &mut Store, model: &mut HashMap<Vec<u8>, Known>, step: Step) {
    match step {
        Step::SetString(number, size, expiry) => {
            let (key, value) = (odd_key(number), vec![number as u8; size]);
            let encoding = Encoding::of_string(size);
            let removed = store.set_string(store.hash(&key), &key, &value, encoding, expiry, number as u32);
            let value = Owned::Bytes(value);
            let old = model.insert(key, Known { value, encoding, expiry, access: number as u32 });
            assert_eq!(removed.map(|old| old.expiry), old.map(|old| old.expiry));
        }
        Step::SetInt(number, value, expiry) => {
            let key = odd_key(number);
            let removed = store.set_int(store.hash(&key), &key, value, expiry, 7);
            let (value, encoding) = (Owned::Int(value), Encoding::Int);
            let old = model.insert(key, Known { value, encoding, expiry, access: 7 });
            assert_eq!(removed.map(|old| old.encoding), old.map(|old| old.encoding));
        }
        Step::Resize(number, size) => {
            let key = odd_key(number);
            let bytes = store.resize_string(store.hash(&key), &key, size).map(|bytes| bytes.to_vec());
            assert_eq!(bytes.is_some(), model.contains_key(&key));
            let Some(known) = model.get_mut(&key) else { return };
            let mut value = match &known.value {
                Owned::Int(value) => value.to_string().into_bytes(),
                Owned::Bytes(bytes) => bytes.clone(),
                _ => unreachable!(),
            };
            value.resize(size, 0);
            assert_eq!(bytes.as_ref(), Some(&value));
            known.value = Owned::Bytes(value);
            known.encoding = Encoding::Raw;
        }
        Step::Expire(number, expiry) => {
            let key = odd_key(number);
            assert_eq!(store.set_expiry(&key, expiry), model.contains_key(&key));
            model.entry(key).and_modify(|known| known.expiry = expiry);
        }
        Step::Remove(number) => {
            let key = odd_key(number);
            assert_eq!(store.remove(&key).map(|old| old.expiry), model.remove(&key).map(|old| old.expiry));
        }
        Step::Rename(from, to) => {
            let (from, to) = (odd_key(from), odd_key(to));
            let taken = store.take(&from);
            assert_eq!(taken.is_some(), model.contains_key(&from));
            if let Some(taken) = taken {
                let (hash, expiry, access) = (store.hash(&to), taken.expiry, taken.access);
                store.put(hash, &to, taken, expiry, access);
                let known = model.remove(&from).unwrap();
                model.insert(to, known);
            }
        }
        Step::Fill(from, count) => {
            for number in from..from + count {
                apply(store, model, Step::SetString(number, 20, None));
            }
        }
        Step::Drain(from, count) => {
            for number in from..from + count {
                apply(store, model, Step::Remove(number));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn behaves_like_a_map(steps in steps()) {
        let (mut store, mut model) = (store(), HashMap::new());
        for step in steps {
            apply(&mut store, &mut model, step);
            compare(&store, &model);
        }
    }

    /// The same inside a value, where every slot is freed on its own.
    #[test]
    fn behaves_like_a_map_inside_a_value(steps in steps(), slice in 1usize..2000) {
        let hasher = RandomState::with_seeds(1, 2, 3, 4);
        let (mut store, mut model) = (Store::inside_value(hasher), HashMap::new());
        for step in steps {
            apply(&mut store, &mut model, step);
            compare(&store, &model);
        }
        compare(&store.duplicate(), &model);
        while !store.free_slice(slice, &mut drop) {}
        prop_assert_eq!(store.bytes(), 0);
    }

    /// Keys that stay are seen by every scan, while others come and go by the thousand between its calls.
    #[test]
    fn a_scan_misses_nothing_that_stays(
        stay in 1usize..1500,
        waves in prop::collection::vec((0usize..12_000, 1usize..40), 1..40),
    ) {
        let mut store = store();
        for number in 0..stay {
            set(&mut store, &key(number), b"v", None);
        }
        let (mut seen, mut cursor, mut come) = (HashSet::new(), 0, 0);
        let mut waves = waves.into_iter();
        loop {
            let (wave, calls) = waves.next().unwrap_or((0, usize::MAX));
            for number in come.min(wave)..come.max(wave) {
                if wave > come {
                    set(&mut store, &key(1_000_000 + number), b"v", None);
                } else {
                    store.remove(&key(1_000_000 + number)).expect("it came");
                }
            }
            come = wave;
            for _ in 0..calls {
                cursor = store.scan(cursor, &mut |entry| {
                    seen.insert(entry.key().to_vec());
                });
                if cursor == 0 {
                    break;
                }
            }
            if cursor == 0 {
                break;
            }
        }
        store.verify();
        for number in 0..stay {
            prop_assert!(seen.contains(&key(number)));
        }
    }
}

#[test]
fn a_quiet_scan_sees_every_key_once() {
    for size in [0, 1, 9, 10, 100, 1000, 1100, 5000, 50_000] {
        let mut store = store();
        for number in 0..size {
            set(&mut store, &key(number), b"v", None);
        }
        let (mut seen, mut cursor, mut visits, mut calls) = (HashSet::new(), 0, 0, 0);
        loop {
            cursor = store.scan(cursor, &mut |entry| {
                visits += 1;
                seen.insert(entry.key().to_vec());
            });
            calls += 1;
            assert!(cursor < 1 << CURSOR_BITS);
            if cursor == 0 {
                break;
            }
        }
        assert_eq!((seen.len(), visits), (size, size));
        assert!(calls <= size / 3 + 1, "{calls} calls for {size} keys");
    }
}

#[test]
fn grows_and_shrinks_to_nothing() {
    let mut store = store();
    assert_eq!(store.bytes(), 0);
    for number in 0..60_000usize {
        let expiry = number.is_multiple_of(3).then_some(number as i64);
        set(&mut store, &key(number), b"some value", expiry);
        if number.is_power_of_two() || number.is_multiple_of(9999) {
            store.verify();
        }
    }
    for number in 0..60_000usize {
        assert!(store.find(&key(number)).is_some() && store.find(&key(number + 60_000)).is_none());
    }
    for number in 0..60_000usize {
        assert!(store.remove(&key(number)).is_some());
        if number.is_multiple_of(4999) || number > 59_990 {
            store.verify();
        }
    }
    assert!(store.is_empty() && store.bytes() < 100_000, "{}", store.bytes());
}

#[test]
fn a_plan_makes_room_and_binds_to_nothing() {
    for (planned, came) in
        [(0, 50), (1, 3000), (9, 9), (700, 700), (1000, 3), (60_000, 60_000), (60_000, 500)]
    {
        let mut store = store();
        store.plan(planned);
        assert!(store.is_empty() && store.find(b"key").is_none());
        store.verify();
        (0..came).for_each(|number| drop(set(&mut store, &key(number), b"value", None)));
        store.verify();
        // What was planned is no more than was planned for.
        store.plan(planned);
        assert_eq!((store.len(), store.find(&key(came - 1)).is_some()), (came, true));
        let (mut cursor, mut seen) = (0, 0);
        loop {
            cursor = store.scan(cursor, &mut |_| seen += 1);
            if cursor == 0 {
                break;
            }
        }
        assert_eq!(seen, came);
        (0..came).for_each(|number| drop(store.remove(&key(number))));
        store.verify();
        assert!(store.is_empty());
    }
}

#[test]
fn random_keys_are_about_equally_likely() {
    for size in [1, 5, 50, 3000] {
        let mut store = store();
        for number in 0..size {
            set(&mut store, &key(number), b"v", None);
        }
        let hasher = RandomState::with_seeds(5, 6, 7, 8);
        let mut draws = 0u64;
        let mut rng = || {
            draws += 1;
            hasher.hash_one(draws)
        };
        let mut hits: HashMap<Vec<u8>, usize> = HashMap::new();
        for _ in 0..size * 200 {
            *hits.entry(store.random(&mut rng).unwrap().key().to_vec()).or_default() += 1;
        }
        assert_eq!(hits.len(), size);
        let (least, most) = (hits.values().min().unwrap(), hits.values().max().unwrap());
        assert!(*least > 100 && *most < 300, "of 200 on average: {least} to {most}");
    }
}

#[test]
fn a_walk_over_expiring_keys_finds_them_all_and_no_others() {
    let mut store = store();
    for number in 0..20_000 {
        set(&mut store, &key(number), b"v", number.is_multiple_of(7).then_some(1));
    }
    let (mut position, mut seen, mut calls) = (0, HashSet::new(), 0);
    loop {
        let mut visits = 0;
        store.sample_expiring(&mut position, 50, &mut |entry| {
            visits += 1;
            assert!(entry.expiry().is_some());
            seen.insert(entry.key().to_vec());
        });
        calls += 1;
        assert!(visits <= 59);
        if position == 0 {
            break;
        }
    }
    assert_eq!(seen.len(), store.expires());
    assert!(calls < 200);
}

#[test]
fn a_store_is_freed_in_slices() {
    for large in [false, true] {
        let mut store = store();
        for number in 0..5000usize {
            let value = vec![b'v'; if large && number.is_multiple_of(3) { 5000 } else { 50 }];
            set(&mut store, &key(number), &value, None);
        }
        let mut slices = 1;
        while !store.free_slice(100, &mut drop) {
            assert!(store.find(&key(3)).is_none() && store.scan(0, &mut |_| panic!("it is gone")) == 0);
            slices += 1;
        }
        assert_eq!(slices > 10, large);
        assert_eq!((store.bytes(), store.len(), store.expires()), (0, 0, 0));
        set(&mut store, b"again", b"v", None);
        store.verify();
    }
}

#[test]
fn appending_to_a_large_string_rarely_moves_it() {
    let (mut store, mut moves, mut at) = (store(), 0, 0);
    set(&mut store, b"log", b"", None);
    let hash = store.hash(b"log");
    for bytes in 1..100_000 {
        let value = store.resize_string(hash, b"log", bytes).unwrap();
        value[bytes - 1] = bytes as u8;
        let now = value.as_ptr().addr();
        moves += (bytes > 2000 && now != at) as usize;
        at = now;
    }
    assert!(moves < 20, "{moves}");
    store.verify();
    assert!(store.bytes() >= 100_000 && store.bytes() < 250_000);
}

#[test]
fn objects_are_counted_and_handed_back() {
    let mut store = store();
    let hash = store.hash(b"k");
    let object = Box::new(Object::Bytes(vec![1; 3000]));
    assert!(store.set_object(hash, b"k", object, None, 0).is_none());
    let before = store.bytes();
    store.update(hash, b"k", |entry| {
        let Some(Object::Bytes(bytes)) = entry.object_mut() else { unreachable!() };
        bytes.resize(100_000, 1);
    });
    assert!(store.bytes() >= before + 97_000);
    store.verify();
    let removed = store.remove(b"k").unwrap();
    assert_eq!(removed.value, Owned::Object(Box::new(Object::Bytes(vec![1; 100_000]))));
    store.verify();
}

/// The promise of design: bytes for each of about a million keys of 16 bytes, averaged over sizes.
#[test]
fn bytes_per_key() {
    let measure = |value: usize, expiry: Option<i64>| {
        let mut store = store();
        let (mut sum, mut points, mut worst) = (0.0, 0, 0.0f64);
        let mut next = 700_000;
        for number in 0..1_400_000usize {
            set(&mut store, &key(number), &vec![b'v'; value], expiry);
            if number == next {
                let each = store.bytes() as f64 / store.len() as f64;
                (sum, points, worst) = (sum + each, points + 1, worst.max(each));
                next += 14_000;
            }
        }
        println!("{value} B, expiry {expiry:?}: {:.2} bytes a key, at worst {worst:.2}", sum / points as f64);
        sum / points as f64
    };
    assert!(measure(64, None) <= 98.0);
    assert!(measure(8, None) <= 42.0);
    assert!(measure(64, Some(1)) <= 106.0);
}
