//! The append-only log in a world whose power fails: what was acknowledged is there after the next start, and nothing half.
//! In: seeds, moments at which the power fails, operations of the disk that fail. Out: nothing, or what broke.

use std::path::Path;

use super::disk::FakeDisk;
use super::world::World;
use crate::config::Config;
use crate::persist::aof::Manifest;
use crate::server::replay::Found;

const ACCOUNTS: usize = 8;
const TOTAL: i64 = 100 * ACCOUNTS as i64;
const WRITERS: usize = 4;
/// Keys that one client writes one after the other, without waiting.
const SERIES: usize = 6;

fn command(words: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    words.iter().for_each(|word| bytes.extend(format!("${}\r\n{word}\r\n", word.len()).bytes()));
    bytes
}

fn config(appendfsync: &str) -> Config {
    let mut config = Config::default();
    for (name, value) in [("save", ""), ("appendonly", "yes"), ("appendfsync", appendfsync)] {
        config.set_by_server(name, value.as_bytes());
    }
    config
}

/// The log that the disk has.
fn found(disk: &FakeDisk, config: &Config) -> Found {
    let directory = config.dir.join(&config.appenddirname);
    let file = |name: &str| disk.read_file(&directory.join(name));
    let text = file(&format!("{}.manifest", config.appendfilename));
    let manifest = text.map_or(Manifest::default(), |text| Manifest::parse(&text).expect("a sound manifest"));
    let length = |name: &str| file(name).unwrap_or_else(|| panic!("{name} is lost")).len() as u64;
    let files = manifest.files().map(|file| (file.name.clone(), length(&file.name))).collect();
    Found { manifest, files }
}

/// A world that has read the log of the disk, if it could.
fn start(cores: usize, seed: u64, config: Config, disk: FakeDisk) -> World {
    let found = found(&disk, &config);
    let mut world = World::over(cores, seed, config, disk);
    world.shared.set_gate(crate::shared::gate::LOADING, true);
    world.start_log(found);
    world.run_until_quiet();
    world
}

fn ask(world: &mut World, words: &[&str]) -> String {
    let client = world.connect();
    world.write(client, &command(words));
    world.run_until_quiet();
    let reply = String::from_utf8_lossy(world.inbox(client)).into_owned();
    world.disconnect(client);
    world.run_until_quiet();
    reply
}

/// The integer of a key; 0 if it is not there.
fn integer(world: &mut World, key: &str) -> i64 {
    let reply = ask(world, &["GET", key]);
    let value = reply.lines().nth(1).unwrap_or("0");
    value.parse().unwrap_or_else(|_| panic!("GET {key}: {reply}"))
}

/// One writer counts up a key of its own; its reader says what it saw. Another writes the same to many keys, in their order.
struct Traffic {
    writers: Vec<usize>,
    readers: Vec<usize>,
    movers: Vec<usize>,
    serial: usize,
    written: Vec<i64>,
}

impl Traffic {
    fn new(world: &mut World) -> Traffic {
        let mut clients = |count| (0..count).map(|_| world.connect()).collect::<Vec<_>>();
        let (writers, readers, movers) = (clients(WRITERS), clients(WRITERS), clients(2));
        Traffic { writers, readers, movers, serial: clients(1)[0], written: vec![0; WRITERS] }
    }

    fn go_on(&mut self, world: &mut World) {
        for (number, &client) in self.writers.iter().enumerate() {
            self.written[number] += 1;
            let (key, value) = (format!("w{number}"), self.written[number].to_string());
            world.write(client, &command(&["SET", &key, &value]));
        }
        let value = format!("{:0100}", self.written[0]);
        let series = (0..SERIES).flat_map(|number| command(&["SET", &format!("s{number}"), &value]));
        world.write(self.serial, &series.collect::<Vec<_>>());
        for &client in &self.readers {
            let number = world.rng.below(WRITERS as u64) as usize;
            world.write(client, &command(&["GET", &format!("w{number}")]));
            world.write(client, &command(&["ECHO", &number.to_string()]));
        }
        for &client in &self.movers {
            let (from, to) = (world.rng.below(ACCOUNTS as u64), world.rng.below(ACCOUNTS as u64));
            for words in [
                &["MULTI"][..],
                &["DECRBY", &format!("a{from}"), "3"],
                &["INCRBY", &format!("a{to}"), "3"],
                &["EXEC"],
            ] {
                world.write(client, &command(words));
            }
        }
    }

    /// What each key must be at least, by what clients were told.
    fn told(&self, world: &mut World) -> Vec<i64> {
        let mut least: Vec<i64> = (self.writers.iter()).map(|&client| acknowledged(world, client)).collect();
        for &client in &self.readers {
            let text = String::from_utf8(world.inbox(client).clone()).unwrap();
            // The last line may not be whole.
            let lines = text.rsplit_once("\r\n").map_or("", |(whole, _)| whole).split("\r\n");
            let values: Vec<&str> =
                lines.filter(|line| !line.is_empty() && (!line.starts_with('$') || *line == "$-1")).collect();
            for pair in values.chunks_exact(2) {
                let (value, number) = (pair[0].parse().unwrap_or(0), pair[1].parse::<usize>().unwrap());
                least[number] = least[number].max(value);
            }
        }
        least
    }
}

/// How many writes of a client were.
fn acknowledged(world: &mut World, client: usize) -> i64 {
    world.inbox(client).windows(5).filter(|reply| reply == b"+OK\r\n").count() as i64
}

/// What was written one after the other is there as far as it came, which is the sum of the values. Returns that.
fn check_series(world: &mut World, seed: u64) -> i64 {
    let values: Vec<i64> = (0..SERIES).map(|number| integer(world, &format!("s{number}"))).collect();
    let ordered = values.is_sorted_by(|a, b| a >= b) && values[SERIES - 1] >= values[0] - 1;
    assert!(ordered, "seed {seed}: no prefix of what was written: {values:?}");
    values.iter().sum()
}

fn bank(world: &mut World) {
    for number in 0..ACCOUNTS {
        assert_eq!(ask(world, &["SET", &format!("a{number}"), "100"]), "+OK\r\n");
    }
}

fn balance(world: &mut World) -> i64 {
    (0..ACCOUNTS).map(|number| integer(world, &format!("a{number}"))).sum()
}

/// The power fails at any moment, also while the log is rewritten or switched off and on: under `always` what any client was
/// told is there, under `everysec` all of it is from one moment.
#[test]
fn what_was_told_survives_a_power_failure() {
    for seed in super::seeds(120) {
        let cores = 1 + seed as usize % 3;
        let always = seed % 4 != 3;
        let config = || config(if always { "always" } else { "everysec" });
        let disk = FakeDisk::default();
        let mut world = start(cores, seed, config(), disk.clone());
        bank(&mut world);
        world.pass_ms(1100);
        world.tick_all();
        world.run_until_quiet();
        let mut traffic = Traffic::new(&mut world);
        let other = world.connect();
        world.restless = true;
        for round in 0..6 {
            traffic.go_on(&mut world);
            traffic.go_on(&mut world);
            match world.rng.below(5) {
                0 | 1 => world.write(other, &command(&["BGREWRITEAOF"])),
                2 if round == 3 => world.write(other, &command(&["BGSAVE"])),
                _ => {}
            }
            let steps = world.rng.below(400);
            (0..steps).for_each(|_| _ = world.step());
        }
        let least = traffic.told(&mut world);
        let series_least = acknowledged(&mut world, traffic.serial);
        let mut rng = crate::base::rng::Rng::seeded(seed);
        disk.lose_power_torn(|lost| rng.below(lost as u64 + 1) as usize);
        let mut world = start(1 + (seed as usize + 1) % 3, seed, config(), disk);
        assert!(world.shared.is_logged(), "seed {seed}: it starts");
        assert_eq!(balance(&mut world), TOTAL, "seed {seed}: half a transaction");
        for (number, least) in least.iter().enumerate() {
            let value = integer(&mut world, &format!("w{number}"));
            let most = traffic.written[number];
            assert!(value <= most, "seed {seed}: w{number} is {value}, never written");
            assert!(
                !always || value >= *least,
                "seed {seed}: w{number} is {value}, {least} was acknowledged"
            );
        }
        let series = check_series(&mut world, seed);
        assert!(
            !always || series >= series_least,
            "seed {seed}: {series} of the series, {series_least} told"
        );
        assert_eq!(ask(&mut world, &["SET", "again", "1"]), "+OK\r\n", "seed {seed}: it goes on");
        assert_eq!(world.unfinished(), None, "seed {seed}");
    }
}

/// Whichever operation of the disk fails: nothing that was acknowledged is lost, and it goes on when the disk does.
#[test]
fn a_failing_disk_costs_nothing_that_was_acknowledged() {
    for number in 0.. {
        let disk = FakeDisk::default();
        let mut world = start(2, number, config("always"), disk.clone());
        bank(&mut world);
        let mut traffic = Traffic::new(&mut world);
        disk.fail_at(Some(number));
        let other = world.connect();
        for round in 0..4 {
            traffic.go_on(&mut world);
            if round == 1 {
                world.write(other, &command(&["BGREWRITEAOF"]));
            }
            world.run_until_quiet();
        }
        let failed = disk.operations() > number;
        disk.fail_at(None);
        let least = traffic.told(&mut world);
        if world.aborted {
            disk.lose_power();
            check(disk, &least, number, &traffic);
            continue;
        }
        // Whoever writes now makes the log try again; ticks do, too.
        world.pass_ms(1100);
        world.tick_all();
        world.run_until_quiet();
        assert_eq!(ask(&mut world, &["SET", "again", "1"]), "+OK\r\n", "operation {number}: it goes on");
        assert_eq!(world.unfinished(), None, "operation {number}");
        let least = traffic.told(&mut world);
        disk.lose_power();
        let mut world = check(disk, &least, number, &traffic);
        assert_eq!(integer(&mut world, "again"), 1, "operation {number}");
        if !failed {
            assert!(number > 10, "a rewrite has more than that");
            return;
        }
    }
}

/// A new world over the disk has what clients were told.
fn check(disk: FakeDisk, least: &[i64], number: u64, traffic: &Traffic) -> World {
    let mut world = start(1, number, config("always"), disk);
    assert_eq!(balance(&mut world), TOTAL, "operation {number}: half a transaction");
    for (writer, least) in least.iter().enumerate() {
        let value = integer(&mut world, &format!("w{writer}"));
        assert!(value >= *least, "operation {number}: w{writer} is {value}, {least} was acknowledged");
        assert!(value <= traffic.written[writer], "operation {number}: w{writer} is {value}, never written");
    }
    world
}

/// The check notices a server that answers before the disk has it.
#[test]
fn replies_before_the_sync_are_noticed() {
    let lost = (0..40).any(|seed| {
        let disk = FakeDisk::default();
        let mut world = start(2, seed, config("everysec"), disk.clone());
        let mut traffic = Traffic::new(&mut world);
        for _ in 0..3 {
            traffic.go_on(&mut world);
            (0..100).for_each(|_| _ = world.step());
        }
        let least = traffic.told(&mut world);
        disk.lose_power();
        let mut world = start(2, seed, config("everysec"), disk);
        (0..WRITERS).any(|number| integer(&mut world, &format!("w{number}")) < least[number])
    });
    assert!(lost);
}

const NO_LOG: &str = "-ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.\r\n";

/// A log switched on at run time has what was there before; switched off, nothing of what follows.
#[test]
fn the_log_is_switched_on_and_off() {
    for seed in super::seeds(30) {
        let disk = FakeDisk::default();
        let mut off = config("always");
        off.set_by_server("appendonly", b"no");
        let mut world = start(1 + seed as usize % 3, seed, off, disk.clone());
        world.shared.set_gate(crate::shared::gate::LOADING, false);
        for (words, reply) in [
            (&["SET", "before", "1"][..], "+OK\r\n"),
            (&["CONFIG", "SET", "appendonly", "yes"], "+OK\r\n"),
            (&["SET", "within", "1"], "+OK\r\n"),
            (&["WAITAOF", "1", "0", "0"], "*2\r\n:1\r\n:0\r\n"),
            (&[], "a base of it is made: until then nothing of the log counts"),
            (&["CONFIG", "SET", "appendonly", "no"], "+OK\r\n"),
            (&["WAITAOF", "1", "0", "0"], NO_LOG),
            (&["SET", "after", "1"], "+OK\r\n"),
        ] {
            if words.is_empty() {
                world.tick_all();
                world.run_until_quiet();
            } else {
                // The next command comes at once: it finds the log as it was switched.
                assert_eq!(ask(&mut world, words), reply, "seed {seed}: {words:?}");
            }
        }
        assert_eq!(world.unfinished(), None, "seed {seed}");
        disk.lose_power();
        let mut world = start(2, seed, config("always"), disk.clone());
        for (key, value) in [("before", 1), ("within", 1), ("after", 0)] {
            assert_eq!(integer(&mut world, key), value, "seed {seed}: {key}");
        }
        let names = disk.names();
        let temporary = |path: &Path| path.to_string_lossy().contains("temp-");
        assert!(!names.iter().any(|path| temporary(path)), "seed {seed}: {names:?}");
    }
}
