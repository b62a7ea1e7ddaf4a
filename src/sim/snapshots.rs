//! Snapshots in a world of several cores: what is in the file is one moment, whatever happens meanwhile and wherever the disk fails.
//! In: seeds, operations that fail. Out: nothing, or what broke.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::world::World;
use crate::config::Config;
use crate::persist::object;
use crate::persist::rdb::file::{Event, Reader};
use crate::types::Limits;
use crate::types::store::Owned;

const ACCOUNTS: usize = 12;
const TOTAL: i64 = 1000 * ACCOUNTS as i64;

fn command(words: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    words.iter().for_each(|word| bytes.extend(format!("${}\r\n{word}\r\n", word.len()).bytes()));
    bytes
}

fn path() -> PathBuf {
    let config = Config::default();
    config.dir.join(&config.dbfilename)
}

/// Integers of an RDB file by database and key, and how many other values it has.
fn integers(file: &[u8]) -> (BTreeMap<(u64, Vec<u8>), i64>, usize) {
    let mut reader = Reader::new(Some(file.len() as u64));
    reader.feed(file);
    let (mut found, mut others) = (BTreeMap::new(), 0);
    loop {
        match reader.next().unwrap().expect("the file is whole") {
            Event::Entry(raw) => match object::load(&raw, &Limits::default()).unwrap().value {
                Owned::Int(value) => {
                    let key = (raw.db, raw.key.clone().into_owned());
                    assert!(found.insert(key, value).is_none(), "a key twice");
                }
                _ => others += 1,
            },
            Event::End(_) => return (found, others),
            _ => {}
        }
    }
}

fn account(number: usize) -> String {
    format!("account:{number}")
}

/// A world with accounts, and other keys around them.
fn bank(cores: usize, seed: u64) -> World {
    let mut config = Config::default();
    config.set_by_server("save", b"");
    let mut world = World::configured(cores, seed, config);
    let client = world.connect();
    for number in 0..ACCOUNTS {
        world.write(client, &command(&["SET", &account(number), "1000"]));
    }
    for number in 0..100 {
        world.write(client, &command(&["RPUSH", &format!("list:{number}"), "a", "b"]));
    }
    world.run_until_quiet();
    world.inbox(client).clear();
    world
}

/// Moves money between two accounts: one transaction over two shards, in one of several ways.
fn transfer(world: &mut World, client: usize) {
    let from = account(world.rng.below(ACCOUNTS as u64) as usize);
    let to = account(world.rng.below(ACCOUNTS as u64) as usize);
    world.write(client, &command(&["MULTI"]));
    world.write(client, &command(&["DECRBY", &from, "7"]));
    match world.rng.below(4) {
        0 => {
            // By way of another key, which comes and goes.
            world.write(client, &command(&["RENAME", &to, "on the way"]));
            world.write(client, &command(&["INCRBY", "on the way", "7"]));
            world.write(client, &command(&["RENAME", "on the way", &to]));
        }
        1 => {
            world.write(client, &command(&["INCRBY", &to, "7"]));
            let other = format!("list:{}", world.rng.below(100));
            world.write(client, &command(&["DEL", &other]));
        }
        _ => world.write(client, &command(&["INCRBY", &to, "7"])),
    }
    world.write(client, &command(&["EXEC"]));
}

fn balance(file: &[u8]) -> i64 {
    let (found, _) = integers(file);
    assert_eq!(found.len(), ACCOUNTS);
    found.values().sum()
}

#[test]
fn a_snapshot_is_one_moment() {
    for seed in super::seeds(150) {
        let cores = 1 + seed as usize % 3;
        let mut world = bank(cores, seed);
        world.restless = true;
        let clients: Vec<usize> = (0..4).map(|_| world.connect()).collect();
        for round in 0..6 {
            for &client in &clients {
                (0..4).for_each(|_| transfer(&mut world, client));
            }
            let saver = clients[round % clients.len()];
            world.write(saver, &command(&[if round % 3 == 2 { "SAVE" } else { "BGSAVE" }]));
            for &client in &clients {
                (0..4).for_each(|_| transfer(&mut world, client));
            }
            (0..200).for_each(|_| _ = world.step());
        }
        world.restless = false;
        world.run_until_quiet();
        assert_eq!(world.unfinished(), None, "seed {seed}");
        let file = world.storage.disk.read_file(&path()).unwrap_or_else(|| panic!("seed {seed}: no file"));
        assert_eq!(balance(&file), TOTAL, "seed {seed}");
        assert_eq!(world.storage.disk.names(), [path()], "seed {seed}: nothing else is left");
    }
}

/// What is emptied, swapped or flushed during a snapshot is in it as it was.
#[test]
fn databases_that_change_places_are_saved_where_they_were() {
    for seed in super::seeds(60) {
        let mut world = bank(1 + seed as usize % 3, seed);
        let client = world.connect();
        let other = world.connect();
        world.write(client, &command(&["BGSAVE"]));
        while world.inbox(client).is_empty() {
            world.step();
        }
        let words: &[&str] = match seed % 3 {
            0 => &["FLUSHDB"],
            1 => &["SWAPDB", "0", "3"],
            _ => &["MOVE", "account:1", "5"],
        };
        world.write(other, &command(words));
        for number in 0..ACCOUNTS {
            world.write(other, &command(&["SET", &account(number), "5"]));
        }
        world.run_until_quiet();
        assert_eq!(world.unfinished(), None, "seed {seed}");
        let (found, others) = integers(&world.storage.disk.read_file(&path()).unwrap());
        assert!(found.keys().all(|(db, _)| *db == 0), "seed {seed}");
        assert_eq!((found.values().sum::<i64>(), others), (TOTAL, 100), "seed {seed}");
    }
}

/// Whichever operation of the disk fails: the old file stays whole until the new one is, and the next snapshot works.
#[test]
fn a_failing_disk_leaves_the_old_file() {
    for number in 0.. {
        let mut world = bank(2, number);
        let client = world.connect();
        world.write(client, &command(&["SAVE"]));
        world.run_until_quiet();
        let old = world.storage.disk.read_file(&path()).unwrap();
        transfer(&mut world, client);
        world.run_until_quiet();
        world.storage.disk.fail_at(Some(number));
        world.inbox(client).clear();
        world.write(client, &command(&["SAVE"]));
        world.run_until_quiet();
        let failed = world.storage.disk.operations() > number;
        let reply = std::mem::take(world.inbox(client));
        assert_eq!(reply, if failed { &b"-ERR\r\n"[..] } else { b"+OK\r\n" }, "operation {number}");
        world.storage.disk.lose_power();
        let file = world.storage.disk.read_file(&path()).unwrap();
        assert!(file == old || balance(&file) == TOTAL, "operation {number}");
        assert!(failed || file != old, "operation {number}: what was acknowledged is there");
        world.storage.disk.fail_at(None);
        world.write(client, &command(&["SAVE"]));
        world.run_until_quiet();
        assert_eq!(*world.inbox(client), b"+OK\r\n", "operation {number}");
        assert_eq!(world.unfinished(), None);
        assert_eq!(world.storage.disk.names(), [path()], "operation {number}: nothing else is left");
        if !failed {
            assert!(number > 4, "a save has more than that");
            return;
        }
    }
}

/// A snapshot in the background that fails stops writes, and one that works lets them go on.
#[test]
fn writes_stop_after_a_failed_snapshot() {
    let mut world = World::new(2, 1);
    let client = world.connect();
    let run = |world: &mut World, words: &[&str]| {
        world.write(client, &command(words));
        world.run_until_quiet();
        String::from_utf8(std::mem::take(world.inbox(client))).unwrap()
    };
    run(&mut world, &["SET", "a", "1"]);
    world.storage.disk.fail_at(Some(1));
    assert_eq!(run(&mut world, &["BGSAVE"]), "+Background saving started\r\n");
    for words in [&["SET", "a", "2"][..], &["PING"]] {
        assert!(run(&mut world, words).starts_with("-MISCONF Redis is configured to save RDB snapshots"));
    }
    assert_eq!(run(&mut world, &["GET", "a"]), "$1\r\n1\r\n");
    run(&mut world, &["CONFIG", "SET", "stop-writes-on-bgsave-error", "no"]);
    assert_eq!(run(&mut world, &["SET", "a", "2"]), "+OK\r\n");
    run(&mut world, &["CONFIG", "SET", "stop-writes-on-bgsave-error", "yes"]);
    run(&mut world, &["BGSAVE"]);
    assert_eq!(run(&mut world, &["SET", "a", "3"]), "+OK\r\n");
}

/// DEBUG RELOAD, on one core and on three, gives back what was there.
#[test]
fn what_is_reloaded_is_what_was() {
    for seed in super::seeds(20) {
        let mut config = Config::default();
        config.set_by_server("enable-debug-command", b"yes");
        let mut world = World::configured(1 + seed as usize % 3, seed, config);
        let client = world.connect();
        for words in
            ["SET a 1", "RPUSH l 1 2 3", "HSET h f v", "ZADD z 1 m", "SADD s x", "SET e 1 PX 90000000"]
        {
            world.write(client, &command(&words.split(' ').collect::<Vec<_>>()));
        }
        world.run_until_quiet();
        world.inbox(client).clear();
        let ask = |world: &mut World, words: &[&str]| {
            world.write(client, &command(words));
            world.run_until_quiet();
            std::mem::take(world.inbox(client))
        };
        let before = ask(&mut world, &["DEBUG", "DIGEST"]);
        assert_eq!(ask(&mut world, &["DEBUG", "RELOAD"]), b"+OK\r\n", "seed {seed}");
        assert_eq!(ask(&mut world, &["DEBUG", "DIGEST"]), before, "seed {seed}");
        assert_eq!(ask(&mut world, &["DEBUG", "RELOAD", "NOSAVE", "NOFLUSH", "MERGE"]), b"+OK\r\n");
        assert_eq!(ask(&mut world, &["DEBUG", "DIGEST"]), before, "seed {seed}");
        let refused = ask(&mut world, &["DEBUG", "RELOAD", "NOFLUSH"]);
        assert_eq!(refused, b"-ERR Error trying to load the RDB dump, check server logs.\r\n", "seed {seed}");
        assert_eq!(world.unfinished(), None, "seed {seed}");
    }
}
