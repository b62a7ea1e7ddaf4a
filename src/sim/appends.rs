//! The append-only log in a world whose power fails: what was acknowledged is there after the next start, and nothing half.
//! In: seeds, moments at which the power fails, operations of the disk that fail. Out: nothing, or what broke.

use std::path::Path;

use super::disk::{FakeDisk, Pretence};
use super::world::World;
use crate::base::rng::Rng;
use crate::config::Config;
use crate::persist::aof::Manifest;
use crate::server::check;
use crate::server::replay::Found;

const ACCOUNTS: usize = 8;
const TOTAL: i64 = 100 * ACCOUNTS as i64;
const WRITERS: usize = 4;
/// Keys that one client writes one after the other, without waiting.
const SERIES: usize = 6;

pub(super) fn command(words: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    words.iter().for_each(|word| bytes.extend(format!("${}\r\n{word}\r\n", word.len()).bytes()));
    bytes
}

pub(super) fn config(appendfsync: &str) -> Config {
    let mut config = Config::default();
    for (name, value) in [("save", ""), ("appendonly", "yes"), ("appendfsync", appendfsync)] {
        config.set_by_server(name, value.as_bytes());
    }
    config
}

/// The log that the disk has.
fn found(disk: &FakeDisk, config: &Config) -> Result<Found, String> {
    let directory = config.dir.join(&config.appenddirname);
    let file = |name: &str| disk.read_file(&directory.join(name));
    let text = file(&format!("{}.manifest", config.appendfilename));
    let manifest = text.map_or(Ok(Manifest::default()), |text| Manifest::parse(&text));
    let manifest = manifest.map_err(|error| error.to_string())?;
    let length = |name: &str| Ok((name.into(), file(name).ok_or(format!("{name} is lost"))?.len() as u64));
    let files = manifest.files().map(|file| length(&file.name)).collect::<Result<_, String>>()?;
    Ok(Found { manifest, files })
}

/// A world that is about to read the log of the disk.
pub(super) fn begin(cores: usize, seed: u64, config: Config, disk: FakeDisk) -> Result<World, String> {
    let found = found(&disk, &config)?;
    let mut world = World::over(cores, seed, config, disk);
    world.shared.set_gate(crate::shared::gate::LOADING, true);
    world.start_log(found);
    Ok(world)
}

/// A world that has read the log of the disk, if it could.
fn try_start(cores: usize, seed: u64, config: Config, disk: FakeDisk) -> Result<World, String> {
    let mut world = begin(cores, seed, config, disk)?;
    world.run_until_quiet();
    Ok(world)
}

fn start(cores: usize, seed: u64, config: Config, disk: FakeDisk) -> World {
    try_start(cores, seed, config, disk).unwrap()
}

/// The same, and where a file has bytes in it that are none of a log, after an operator has cut it off there.
fn start_repaired(cores: usize, seed: u64, config: &Config, disk: &FakeDisk) -> Result<World, String> {
    let world = try_start(cores, seed, config.clone(), disk.clone())?;
    if world.shared.is_logged() {
        return Ok(world);
    }
    repair(seed, config, disk)?;
    let world = try_start(cores, seed, config.clone(), disk.clone())?;
    let logged = world.shared.is_logged();
    if logged { Ok(world) } else { Err("the log cannot be read, although it was repaired".into()) }
}

/// Cuts the last file of the log off where it is good, as `redis-check-aof --fix` does.
fn repair(seed: u64, config: &Config, disk: &FakeDisk) -> Result<(), String> {
    let (name, bytes) = found(disk, config)?.files.pop().ok_or("there is no log")?;
    let path = config.dir.join(&config.appenddirname).join(name);
    let copy = std::env::temp_dir().join(format!("ringfort-repair-{}-{seed}.aof", std::process::id()));
    std::fs::write(&copy, disk.read_file(&path).expect("it was found")).unwrap();
    let (mut said, task) = (Vec::new(), check::Task::Aof(copy.clone(), check::Repair::Cut));
    let sound = check::run(&task, &mut &b"y\n"[..], &mut said).unwrap();
    let repaired = std::fs::read(&copy).unwrap();
    std::fs::remove_file(&copy).unwrap();
    if !sound || repaired.len() as u64 == bytes {
        return Err(format!("it was not repaired: {}", String::from_utf8_lossy(&said)));
    }
    disk.replace_file(&path, repaired);
    Ok(())
}

pub(super) fn ask(world: &mut World, words: &[&str]) -> String {
    answer(world, &command(words))
}

/// What a new client hears that says this.
pub(super) fn answer(world: &mut World, bytes: &[u8]) -> String {
    let client = world.connect();
    world.write(client, bytes);
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
        Traffic::after(world, vec![0; WRITERS])
    }

    /// Goes on with what was written before, by new clients.
    fn after(world: &mut World, written: Vec<i64>) -> Traffic {
        let mut clients = |count| (0..count).map(|_| world.connect()).collect::<Vec<_>>();
        let (writers, readers, movers) = (clients(WRITERS), clients(WRITERS), clients(2));
        Traffic { writers, readers, movers, serial: clients(1)[0], written }
    }

    fn go_on(&mut self, world: &mut World) {
        self.write_and_read(world);
        let value = format!("{:0100}", self.written[0]);
        let series = (0..SERIES).flat_map(|number| command(&["SET", &format!("s{number}"), &value]));
        world.write(self.serial, &series.collect::<Vec<_>>());
    }

    fn write_and_read(&mut self, world: &mut World) {
        for (number, &client) in self.writers.iter().enumerate() {
            self.written[number] += 1;
            let (key, value) = (format!("w{number}"), self.written[number].to_string());
            world.write(client, &command(&["SET", &key, &value]));
        }
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

/// How far the series came that was written one after the other: the sum of its values. It is there up to there, and no further.
fn series(world: &mut World) -> Result<i64, String> {
    let values: Vec<i64> = (0..SERIES).map(|number| integer(world, &format!("s{number}"))).collect();
    let ordered = values.is_sorted_by(|a, b| a >= b) && values[SERIES - 1] >= values[0] - 1;
    if ordered { Ok(values.iter().sum()) } else { Err(format!("no prefix of what was written: {values:?}")) }
}

fn bank(world: &mut World) {
    for number in 0..ACCOUNTS {
        assert_eq!(ask(world, &["SET", &format!("a{number}"), "100"]), "+OK\r\n");
    }
}

fn balance(world: &mut World) -> i64 {
    (0..ACCOUNTS).map(|number| integer(world, &format!("a{number}"))).sum()
}

/// What clients know when the power fails.
struct Told {
    /// What each writer's key must be at least, and what it may be.
    least: Vec<i64>,
    written: Vec<i64>,
    /// How far the series came.
    series: i64,
}

impl Told {
    /// Holds what is there against it. `always`: all that anybody was told survives.
    fn check(&self, world: &mut World, always: bool) -> Result<(), String> {
        if balance(world) != TOTAL {
            return Err("half a transaction".into());
        }
        for (number, (least, most)) in self.least.iter().zip(&self.written).enumerate() {
            let value = integer(world, &format!("w{number}"));
            if value > *most {
                return Err(format!("w{number} is {value}, never written"));
            }
            if always && value < *least {
                return Err(format!("w{number} is {value}, {least} was told"));
            }
        }
        let series = series(world)?;
        let lost = always && series < self.series;
        if lost { Err(format!("{series} of the series, {} were told", self.series)) } else { Ok(()) }
    }
}

fn wander(world: &mut World, steps: u64) {
    let steps = world.rng.below(steps);
    (0..steps).for_each(|_| _ = world.aborted || world.step());
}

/// The power will fail within one of the next operations of the disk.
fn end_soon(world: &mut World, operations: u64) {
    let last = world.rng.below(operations);
    world.storage.disk.end_at(last);
}

/// Traffic, with rewrites and snapshots in between, until some moment.
fn live(world: &mut World) -> Told {
    bank(world);
    world.pass_ms(1100);
    world.tick_all();
    world.run_until_quiet();
    end_soon(world, 150);
    let mut traffic = Traffic::new(world);
    let other = world.connect();
    world.restless = true;
    for round in 0..6 {
        traffic.go_on(world);
        traffic.go_on(world);
        match world.rng.below(5) {
            0 | 1 => world.write(other, &command(&["BGREWRITEAOF"])),
            2 if round == 3 => world.write(other, &command(&["BGSAVE"])),
            _ => {}
        }
        wander(world, 400);
    }
    let (least, series) = (traffic.told(world), acknowledged(world, traffic.serial));
    Told { least, series, written: traffic.written }
}

/// The process was killed and starts again: clients go on with what they find.
fn live_again(world: &mut World, told: &mut Told, always: bool) -> Result<(), String> {
    told.check(world, always)?;
    told.series = series(world)?;
    let mut traffic = Traffic::after(world, told.written.clone());
    for (number, least) in told.least.iter_mut().enumerate() {
        *least = integer(world, &format!("w{number}"));
    }
    world.restless = true;
    if world.rng.below(2) == 0 {
        end_soon(world, 10);
        traffic.write_and_read(world);
        wander(world, 200);
    }
    let least = traffic.told(world);
    told.least.iter_mut().zip(least).for_each(|(old, new)| *old = new.max(*old));
    told.written = traffic.written;
    Ok(())
}

/// The server lives on a disk until the power fails at any moment, also while the log is rewritten; now and then it was killed
/// before. Then it starts again: under `always` what any client was told is there, under `everysec` all of it is from one moment.
fn live_and_lose_power(seed: u64, disk: &FakeDisk) -> Result<(), String> {
    let always = seed % 4 != 3;
    let config = config(if always { "always" } else { "everysec" });
    let cores = |life| 1 + (seed as usize + life) % 3;
    let killed = seed.is_multiple_of(5);
    let mut told = live(&mut start(cores(0), seed, config.clone(), disk.clone()));
    if killed {
        disk.go_on();
        let mut world = try_start(cores(2), seed, config.clone(), disk.clone())?;
        live_again(&mut world, &mut told, always)?;
    }
    disk.lose_power_anyhow(&mut Rng::seeded(seed));
    let mut world = start_repaired(cores(1), seed, &config, disk)?;
    told.check(&mut world, always)?;
    if ask(&mut world, &["SET", "again", "1"]) != "+OK\r\n" {
        return Err("it does not go on".into());
    }
    world.unfinished().map_or(Ok(()), Err)
}

#[test]
fn what_was_told_survives_a_power_failure() {
    for seed in super::seeds(120) {
        let lived = live_and_lose_power(seed, &FakeDisk::default());
        assert_eq!(lived, Ok(()), "seed {seed}");
    }
}

/// The check notices who takes bytes or names to be safe that are not.
#[test]
fn a_sync_that_is_left_out_is_noticed() {
    for pretence in [Pretence::SyncOfBytes, Pretence::SyncOfNames] {
        let noticed = (0..60).any(|seed| {
            let disk = FakeDisk::default();
            disk.pretend(pretence);
            live_and_lose_power(seed, &disk).is_err()
        });
        assert!(noticed, "{pretence:?}");
    }
}

/// A block in the middle of a log that was never written is no end of it: the server does not start, and whoever cuts the
/// log off there has all that comes before.
#[test]
fn a_hole_is_refused_and_can_be_cut_off() {
    let (disk, config) = (FakeDisk::default(), config("always"));
    let mut world = start(2, 1, config.clone(), disk.clone());
    (0..60).for_each(|number| _ = ask(&mut world, &["SET", "w0", &number.to_string()]));
    let (name, _) = found(&disk, &config).unwrap().files.pop().unwrap();
    let path = config.dir.join(&config.appenddirname).join(name);
    let mut bytes = disk.read_file(&path).unwrap();
    bytes[512..1024].fill(0);
    let (before, hole) = (bytes[..512].to_vec(), bytes.len());
    disk.replace_file(&path, bytes);
    assert!(!try_start(2, 1, config.clone(), disk.clone()).unwrap().shared.is_logged());
    assert_eq!(disk.read_file(&path).unwrap().len(), hole, "nothing is done to it");
    let mut world = start_repaired(2, 1, &config, &disk).unwrap();
    let sets = before.windows(3).filter(|word| word == b"SET").count() as i64;
    let last = integer(&mut world, "w0");
    assert!(
        (sets - 2..sets).contains(&last),
        "{last} is what the last of {sets} commands before the hole said"
    );
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
    let told = Told { least: least.to_vec(), written: traffic.written.clone(), series: 0 };
    assert_eq!(told.check(&mut world, true), Ok(()), "operation {number}");
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
