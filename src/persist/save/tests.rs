//! Entries of all kinds and sizes, written in steps of all sizes, and read again.

use super::*;
use crate::base::crc::Crc64;
use crate::config::Config;
use crate::persist::rdb::file::{Checksum, Event, Reader, Usage, Version, Writer, trailer};
use crate::persist::rdb::tests::contents;
use crate::persist::{object, rdb};
use crate::types::hash::Lifetime;
use crate::types::list::Side;
use crate::types::store::{Owned, Removed};
use crate::types::{Collection, Encoding, Limits};

const LATER_MS: i64 = 1_900_000_000_000;

fn value<T: Collection>(mut collection: T) -> Removed {
    let encoding = collection.encoding();
    let value = match collection.packed_mut() {
        Some(bytes) => Owned::Bytes(std::mem::take(bytes)),
        None => Owned::Object(Box::new(collection.into_object())),
    };
    Removed { kind: T::TYPE, encoding, expiry: None, access: 0, value }
}

fn string(bytes: &[u8]) -> Removed {
    let value = Owned::Bytes(bytes.to_vec());
    Removed { kind: Type::String, encoding: Encoding::of_string(bytes.len()), expiry: None, access: 0, value }
}

/// Bytes that do not get shorter.
fn noise(bytes: usize, seed: u64) -> Vec<u8> {
    let mut rng = crate::base::rng::Rng::seeded(seed);
    (0..bytes).map(|_| rng.next_u64() as u8).collect()
}

fn texts(count: usize) -> impl Iterator<Item = Vec<u8>> {
    (0..count).map(|i| if i % 3 == 0 { i.to_string() } else { format!("member:{i}") }.into_bytes())
}

/// Values under keys: of each type one that is packed and one that is large.
pub fn store() -> Store {
    let limits = Limits::default();
    let mut store = Store::new(crate::types::hasher());
    let mut put = |key: &str, value: Removed, expiry: Option<i64>| {
        store.put(store.hash(key.as_bytes()), key.as_bytes(), value, expiry, 0);
    };
    put("text", string(b"hello"), Some(LATER_MS));
    put("integer", Removed { value: Owned::Int(-12345), encoding: Encoding::Int, ..string(b"") }, None);
    put("empty", string(b""), None);
    put("repeats", string(&b"abcdefgh".repeat(5000)), None);
    put("large noise", string(&noise(100_000, 1)), None);
    put("huge noise", string(&noise(3 << 20, 2)), Some(LATER_MS + 1));
    for count in [3, 1000, 20_000] {
        let mut set = Set::new(Vec::new());
        texts(count).for_each(|text| _ = set.add(&text, &limits));
        put(&format!("set {count}"), value(set), None);
        let mut ints = Set::new(Vec::new());
        (0..count).for_each(|i| _ = ints.add((i * 7).to_string().as_bytes(), &limits));
        put(&format!("ints {count}"), value(ints), None);
        for (name, lifetime) in [("hash", None), ("expiring", Some(LATER_MS))] {
            let mut hash = Hash::new(Vec::new());
            texts(count).enumerate().for_each(|(i, text)| {
                let lifetime = lifetime
                    .filter(|_| i % 2 == 1)
                    .map_or(Lifetime::Forever, |at| Lifetime::Until(at + i as i64));
                hash.set(&text, format!("value {i}").as_bytes(), lifetime, 0, &limits);
            });
            put(&format!("{name} {count}"), value(hash), None);
        }
        let mut gathered = crate::types::zset::Gathered::default();
        texts(count).enumerate().for_each(|(i, text)| _ = gathered.add(&text, i as f64 / 4.0 - 7.0));
        put(&format!("zset {count}"), value(Zset::gathered(gathered, &limits)), None);
        let mut list = List::new(Vec::new());
        texts(count).for_each(|text| {
            list.prepare(text.len(), 1, &limits);
            list.push(Side::Right, &text, &limits);
        });
        if count == 1000 {
            list.push(Side::Left, &noise(3 << 20, 3), &limits);
            list.push(Side::Left, &noise(30_000, 4), &limits);
        }
        put(&format!("list {count}"), value(list), None);
    }
    store
}

/// A file of a store, and the most that a step added to it.
fn save(store: &Store, writer: Writer, step_bytes: usize) -> (Vec<u8>, usize) {
    let (mut out, mut most) = (Vec::new(), 0);
    writer.header(&mut out);
    store.for_each(&mut |stored| {
        let mut before = out.len();
        let mut rest = entry(writer, stored, Usage::Idle(5), step_bytes, &mut out).unwrap();
        most = most.max(out.len() - before);
        while let Some(more) = &mut rest {
            before = out.len();
            if more.step(writer, stored, step_bytes, &mut out) {
                rest = None;
            }
            most = most.max(out.len() - before);
        }
    });
    let mut crc = Crc64::new();
    crc.update(&out);
    out.extend_from_slice(&trailer(Some(&crc)));
    (out, most)
}

fn load(bytes: &[u8], limits: &Limits) -> Store {
    let mut reader = Reader::new(Some(bytes.len() as u64));
    let mut store = Store::new(crate::types::hasher());
    let mut portions = bytes.chunks(70_000);
    loop {
        match reader.next().unwrap() {
            Some(Event::Entry(raw)) => {
                let value = object::load(&raw, limits).unwrap_or_else(|error| panic!("{error}"));
                assert_eq!(raw.usage, Usage::Idle(5));
                store.put(store.hash(&raw.key), &raw.key, value, raw.expiry_ms, 0);
            }
            Some(Event::End(checksum)) => {
                assert_eq!(checksum, Checksum::Sound);
                return store;
            }
            Some(_) => {}
            None => reader.feed(portions.next().expect("the file ends with its end")),
        }
    }
}

/// All that is in an entry.
fn known(entry: &Entry) -> (Type, Option<i64>, Vec<Vec<u8>>) {
    let payload =
        object::dump(entry, object::Style { compress: false, ..object::Style::of(&Config::default()) })
            .unwrap();
    let (dialect, value) = rdb::open(&payload).unwrap();
    (entry.kind(), entry.expiry(), contents(&rdb::tests::read(dialect, value).unwrap()))
}

#[test]
fn what_is_saved_is_loaded() {
    let store = store();
    for (version, compress, step_bytes) in
        [(Version::Redis12, true, 1), (Version::Redis12, false, 1000), (Version::Valkey80, true, 64 << 10)]
    {
        let (file, _) = save(&store, Writer { version, compress }, step_bytes);
        let loaded = load(&file, &Limits::default());
        loaded.verify();
        assert_eq!(loaded.len(), store.len());
        store.for_each(&mut |entry| {
            let other = loaded.find(entry.key()).unwrap();
            assert!(known(other) == known(entry), "{}", entry.key().escape_ascii());
            assert_eq!(other.encoding(), entry.encoding(), "{}", entry.key().escape_ascii());
        });
    }
}

#[test]
fn an_older_version_has_no_packed_sets() {
    let mut store = store();
    for count in [3, 1000, 20_000] {
        store.remove(format!("expiring {count}").as_bytes());
    }
    let (file, _) = save(&store, Writer { version: Version::V10, compress: true }, 4096);
    assert!(file.starts_with(b"REDIS0010"));
    let mut reader = Reader::new(None);
    reader.feed(&file);
    let mut sets = 0;
    while let Some(event) = reader.next().unwrap() {
        if let Event::Entry(raw) = event {
            assert_ne!(raw.form, form::SET_LISTPACK);
            sets += usize::from(raw.form == form::SET);
        }
    }
    assert_eq!(sets, 5, "three sets of texts, and of integers the two that are tables");
    let loaded = load(&file, &Limits::default());
    store.for_each(&mut |entry| assert!(known(loaded.find(entry.key()).unwrap()) == known(entry)));
}

#[test]
fn steps_change_nothing_and_are_bounded() {
    let store = store();
    for compress in [false, true] {
        let writer = Writer { version: Version::Redis12, compress };
        let (whole, _) = save(&store, writer, usize::MAX);
        for step_bytes in [1, 1000, 30_000, 1 << 20] {
            let (file, most) = save(&store, writer, step_bytes);
            assert!(file == whole, "in steps of {step_bytes}");
            // What is not divided here: a node of 30,000 bytes, some fields of a bucket; with compression a string of 100,000.
            let largest = if compress { 100_100 } else { 31_000 };
            assert!(most <= step_bytes + largest, "{most} bytes in a step of {step_bytes}");
        }
    }
}

#[test]
fn a_step_of_a_set_takes_few_members() {
    let store = store();
    let stored = store.find(b"set 20000").unwrap();
    let writer = Writer { version: Version::V11, compress: false };
    let mut out = Vec::new();
    let mut rest = entry(writer, stored, Usage::Unknown, 4096, &mut out).unwrap().unwrap();
    let mut steps = 1;
    while !rest.step(writer, stored, 4096, &mut out) {
        steps += 1;
    }
    assert!((40..80).contains(&steps), "{steps} steps for {} bytes", out.len());
}

#[test]
#[should_panic(expected = "a hash with fields that expire")]
fn fields_that_expire_need_a_version_that_has_them() {
    let store = store();
    let writer = Writer { version: Version::V11, compress: false };
    let _ = entry(writer, store.find(b"expiring 1000").unwrap(), Usage::Unknown, 4096, &mut Vec::new());
}
