//! A snapshot against a copy of everything at its moment, with random changes between slices.

use super::*;
use crate::config::Config;
use crate::persist::aof;
use crate::persist::object::{self, Style};
use crate::persist::rdb::Checks;
use crate::persist::rdb::file::{Event, Reader, Version, Writer};
use crate::shard::Encoding;
use crate::types::list::Side;
use crate::types::{Collection, Hash, Limits, List, Set};
use proptest::prelude::*;
use std::collections::BTreeMap;

const KEYS: u8 = 60;
const LARGE: usize = 4000;
const WRITER: Writer = Writer { version: Version::V11, compress: true };
const RDB: Format = Format::Rdb(WRITER);

fn moment() -> Moment {
    Moment {
        now_ms: 1000,
        due_ms: 1000,
        touch: true,
        keep_overdue: false,
        tell: 0,
        lfu: false,
        lfu_log_factor: 10,
        lfu_decay_minutes: 1,
        random: 0,
    }
}

fn plan(id: u64, format: Format) -> Plan {
    Plan { id, format, clocks: Clocks::None, moment: moment() }
}

fn key(number: u8) -> Vec<u8> {
    format!("key:{number}").into_bytes()
}

#[derive(Clone, Debug)]
enum Step {
    SetString(u16, u8, u8),
    Append(u16, u8),
    Large(u16, u8),
    Member(u16, u8, u8),
    Remove(u16, u8),
    Expire(u16, u8),
    Rename(u16, u8, u8),
    Move(u8),
    Flush(u16),
    Swap,
    Slices(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let (db, key) = (0..2u16, 0..KEYS);
    prop_oneof![
        4 => (db.clone(), key.clone(), any::<u8>()).prop_map(|(db, key, value)| Step::SetString(db, key, value)),
        2 => (db.clone(), key.clone()).prop_map(|(db, key)| Step::Append(db, key)),
        1 => (db.clone(), key.clone()).prop_map(|(db, key)| Step::Large(db, key)),
        3 => (db.clone(), key.clone(), any::<u8>()).prop_map(|(db, key, value)| Step::Member(db, key, value)),
        2 => (db.clone(), key.clone()).prop_map(|(db, key)| Step::Remove(db, key)),
        1 => (db.clone(), key.clone()).prop_map(|(db, key)| Step::Expire(db, key)),
        2 => (db.clone(), key.clone(), key.clone()).prop_map(|(db, from, to)| Step::Rename(db, from, to)),
        1 => key.prop_map(Step::Move),
        1 => db.prop_map(Step::Flush),
        1 => Just(Step::Swap),
        6 => (0..4u8).prop_map(Step::Slices),
    ]
}

fn rename(shard: &mut Shard, (from_db, from): (u16, u8), (to_db, to): (u16, u8)) {
    if (from_db, from) != (to_db, to)
        && let Some(value) = shard.take(from_db, &key(from))
    {
        let expiry = value.expiry();
        shard.put(to_db, &key(to), value, expiry, &moment());
    }
}

fn apply(shard: &mut Shard, step: &Step) {
    let now = moment();
    match *step {
        Step::SetString(db, number, value) => {
            let text = vec![b'a' + value % 26; value as usize * 3];
            shard.set_string(db, &key(number), &text, Encoding::of_string(text.len()), None, &now);
        }
        Step::Append(db, number) => {
            let limits = Limits::default();
            let push = |list: &mut List| {
                ((), {
                    list.push(Side::Right, b"element", &limits);
                    true
                })
            };
            _ = shard.change(db, &key(number), &now, true, push);
        }
        Step::Large(db, number) => {
            let mut set = Set::table();
            (0..LARGE).for_each(|n| _ = set.add(format!("member:{n}").as_bytes(), &Limits::default()));
            shard.replace(db, &key(number), set, &now);
        }
        Step::Member(db, number, member) => {
            let add = |set: &mut Set| ((), set.add(&[member], &Limits::default()));
            _ = shard.change(db, &key(number), &now, true, add);
        }
        Step::Remove(db, number) => _ = shard.remove(db, &key(number)),
        Step::Expire(db, number) => _ = shard.set_expiry(db, &key(number), Some(5000)),
        Step::Rename(db, from, to) => rename(shard, (db, from), (db, to)),
        Step::Move(number) => rename(shard, (0, number), (1, number)),
        Step::Flush(db) => _ = shard.flush(db, &now),
        Step::Swap => shard.swap(0, 1, &now),
        Step::Slices(count) => (0..count).for_each(|_| _ = shard.walk_slice(8)),
    }
}

type State = BTreeMap<(u64, Vec<u8>), (Option<i64>, Vec<u8>)>;

fn fresh_dump(value: crate::types::store::Removed) -> Vec<u8> {
    let mut store = Store::new(crate::types::hasher());
    store.put(store.hash(b"k"), b"k", value, None, 0);
    object::dump(store.find(b"k").unwrap(), Style::of(&Config::default())).unwrap()
}

/// Every key with its expiry and its value, in an order that does not depend on tables.
fn state_of(shard: &Shard) -> State {
    let mut state = State::new();
    for (number, db) in shard.dbs.iter().enumerate() {
        db.store.for_each(&mut |entry| {
            let dumped = sorted(object::dump(entry, Style::of(&Config::default())).unwrap());
            state.insert((number as u64, entry.key().to_vec()), (entry.expiry(), dumped));
        });
    }
    state
}

/// A payload, or the elements of a set or hash in order.
fn sorted(dump: Vec<u8>) -> Vec<u8> {
    let value = object::restore(&dump, Checks::ALL, &Limits::default()).unwrap();
    let mut store = Store::new(crate::types::hasher());
    store.put(store.hash(b"k"), b"k", value, None, 0);
    let entry = store.find(b"k").unwrap();
    let mut members = Vec::new();
    if let Some(set) = entry.view::<Set>() {
        set.for_each(|member| members.push(member.with(<[u8]>::to_vec)));
    } else if let Some(hash) = entry.view::<Hash>() {
        hash.for_each_with_expiry(|field, value, _| {
            members.push([field.with(<[u8]>::to_vec), value.with(<[u8]>::to_vec)].concat());
        });
    } else {
        return dump;
    }
    members.sort();
    members.concat()
}

/// Walks to the end and reads what was written.
fn written(shard: &mut Shard) -> State {
    read_rdb(&walked_to_the_end(shard, b"\xFE"))
}

/// Walks to the end and replays what was written as commands.
fn written_as_commands(shard: &mut Shard) -> State {
    replay(&walked_to_the_end(shard, b"*2\r\n$6\r\nSELECT\r\n"))
}

/// All chunks, of which each but for the rest of a record begins with that.
fn walked_to_the_end(shard: &mut Shard, begin: &[u8]) -> Vec<u8> {
    while !shard.walk_slice(8) {}
    let mut file = Vec::new();
    let mut open = false;
    while let Some(chunk) = shard.take_chunk() {
        assert!(open || chunk.bytes.starts_with(begin), "3: a chunk says which database it is about");
        open = chunk.open;
        file.extend(chunk.bytes);
    }
    shard.end_snapshot();
    file
}

fn read_rdb(records: &[u8]) -> State {
    let mut file = Vec::new();
    WRITER.header(&mut file);
    file.extend(records);
    file.extend(crate::persist::rdb::file::trailer(None));
    let mut reader = Reader::new(Some(file.len() as u64));
    reader.feed(&file);
    let mut state = State::new();
    while let Some(event) = reader.next().unwrap() {
        let Event::Entry(raw) = event else { continue };
        let value = object::load(&raw, &Limits::default()).unwrap();
        let place = (raw.db, raw.key.clone().into_owned());
        let old = state.insert(place, (raw.expiry_ms, sorted(fresh_dump(value))));
        assert!(old.is_none(), "a key twice: {:?}", raw.key);
    }
    state
}

/// What a shard holds that runs these commands, which are about one key after the other.
fn replay(commands: &[u8]) -> State {
    let mut reader = aof::Reader::new(0);
    reader.feed(commands);
    let (mut shard, mut db) = (Shard::new(0, 2, 9), 0);
    let (mut seen, mut latest) = (std::collections::BTreeSet::new(), None);
    while let Some(event) = reader.next().unwrap() {
        let aof::Event::Command(command) = event else { panic!("an annotation") };
        let args: Vec<&[u8]> = command.args().collect();
        if args[0] == b"SELECT" {
            db = std::str::from_utf8(args[1]).unwrap().parse().unwrap();
            continue;
        }
        let place = (db, args[1].to_vec());
        if latest.as_ref() != Some(&place) {
            assert!(seen.insert(place.clone()), "a key twice: {place:?}");
            latest = Some(place);
        }
        run(&mut shard, db, &args);
    }
    reader.end().unwrap();
    state_of(&shard)
}

fn run(shard: &mut Shard, db: u16, args: &[&[u8]]) {
    let (now, limits, key) = (moment(), Limits::default(), args[1]);
    match args[0] {
        b"SET" => {
            shard.set_string(db, key, args[2], Encoding::of_string(args[2].len()), None, &now);
        }
        b"RPUSH" => {
            let push = |list: &mut List| {
                args[2..].iter().for_each(|element| list.push(Side::Right, element, &limits));
                ((), true)
            };
            _ = shard.change(db, key, &now, true, push);
        }
        b"SADD" => {
            let add = |set: &mut Set| {
                args[2..].iter().for_each(|member| assert!(set.add(member, &limits)));
                ((), true)
            };
            _ = shard.change(db, key, &now, true, add);
        }
        b"HMSET" => {
            let forever = crate::types::hash::Lifetime::Forever;
            let set = |hash: &mut Hash| {
                args[2..].chunks(2).for_each(|pair| assert!(hash.set(pair[0], pair[1], forever, 0, &limits)));
                ((), true)
            };
            _ = shard.change(db, key, &now, true, set);
        }
        b"PEXPIREAT" => {
            let at_ms = std::str::from_utf8(args[2]).unwrap().parse().unwrap();
            _ = shard.set_expiry(db, key, Some(at_ms));
        }
        other => panic!("{}", other.escape_ascii()),
    }
}

fn assert_unmarked(shard: &Shard) {
    for db in &shard.dbs {
        db.store.for_each(&mut |entry| assert!(!entry.is_marked(), "2"));
        db.store.verify();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 300 } else { 3000 }))]

    #[test]
    fn a_snapshot_is_what_was(
        before in prop::collection::vec(step(), 0..120),
        during in prop::collection::vec(step(), 0..120),
        again in prop::collection::vec(step(), 0..40),
        cancel in any::<bool>(),
        commands in any::<bool>(),
    ) {
        let mut shard = Shard::new(0, 2, 7);
        before.iter().filter(|step| !matches!(step, Step::Slices(_))).for_each(|step| apply(&mut shard, step));
        if cancel {
            // One that nobody wants any more leaves no trace.
            shard.begin_snapshot(plan(1, Format::Commands));
            again.iter().for_each(|step| apply(&mut shard, step));
            shard.cancel_snapshot();
            again.iter().for_each(|step| apply(&mut shard, step));
        }
        let then = state_of(&shard);
        shard.begin_snapshot(plan(2, if commands { Format::Commands } else { RDB }));
        during.iter().for_each(|step| apply(&mut shard, step));
        let read = if commands { written_as_commands(&mut shard) } else { written(&mut shard) };
        prop_assert!(read == then);
        assert_unmarked(&shard);
        while !shard.free_slice(1000) {}
    }
}

/// A large collection is written over many slices, and what is changed meanwhile waits for its end.
#[test]
fn a_large_collection_is_written_in_steps() {
    write_a_large_collection(RDB, written);
    write_a_large_collection(Format::Commands, written_as_commands);
}

fn write_a_large_collection(format: Format, written: fn(&mut Shard) -> State) {
    let mut shard = Shard::new(0, 2, 3);
    let mut hash = Hash::new(Vec::new());
    for n in 0..50_000 {
        let (field, lifetime) = (format!("field:{n}"), crate::types::hash::Lifetime::Forever);
        hash.set(field.as_bytes(), &[b'v'; 20], lifetime, 0, &Limits::default());
    }
    shard.replace(0, b"large", hash, &moment());
    for number in 0..KEYS {
        apply(&mut shard, &Step::SetString(0, number, number));
    }
    let then = state_of(&shard);
    shard.begin_snapshot(plan(1, format));
    let mut slices = 0;
    let mut number = 0;
    while !shard.walk_slice(8) {
        slices += 1;
        number = (number + 1) % KEYS;
        apply(&mut shard, &Step::SetString(0, number, 99));
    }
    assert!(slices > 40, "{slices}");
    assert!(written(&mut shard) == then);
    assert_unmarked(&shard);
}
