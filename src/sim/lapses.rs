//! What expires, and a log that is read back later: it gives what was there, as far as that has not expired since.
//! In: commands on keys and fields with short lives, time that passes, a later start; logs of old. Out: nothing, or what differs.

use super::appends::{answer, ask, begin, command, config};
use super::disk::FakeDisk;
use super::world::World;
use crate::config::Config;

/// A server with a log.
struct Life {
    disk: FakeDisk,
    config: Config,
    world: World,
}

impl Life {
    fn new(cores: usize, seed: u64, config: Config) -> Life {
        let disk = FakeDisk::default();
        let mut world = begin(cores, seed, config.clone(), disk.clone()).unwrap();
        world.run_until_quiet();
        assert!(world.shared.is_logged());
        Life { disk, config, world }
    }

    /// Commands, and between them times that pass, as in `SET k v PX 2 | 3 ms | MULTI ; GET k ; EXEC`, where each line has a
    /// client of its own. No core expires anything by itself.
    fn live(&mut self, story: &str) {
        for line in story.split(" | ") {
            if let Some(ms) = line.strip_suffix(" ms") {
                self.world.pass_ms(ms.parse().unwrap());
                continue;
            }
            let said = line.split(" ; ").flat_map(|said| command(&said.split(' ').collect::<Vec<_>>()));
            let reply = answer(&mut self.world, &said.collect::<Vec<u8>>());
            assert!(!reply.starts_with('-') && !reply.contains("\r\n-"), "{line}: {reply}");
        }
    }

    /// A server that is about to read the log so many ms from now.
    fn begin_again(&self, cores: usize, later_ms: i64, config: &Config) -> World {
        let mut world = begin(cores, 1, config.clone(), self.disk.clone()).unwrap();
        world.set_now_ms(self.world.now_ms() + later_ms);
        world
    }

    /// One that has read it, with its cores' periodic work going on meanwhile.
    fn again(&self, cores: usize, later_ms: i64) -> World {
        let world = self.begin_again(cores, later_ms, &self.config);
        read(world, |_| ())
    }
}

/// Reads the log that a world is about to read, while its cores do what they do every so often; then it is as late as before.
fn read(mut world: World, mut meanwhile: impl FnMut(&mut World)) -> World {
    let now_ms = world.now_ms();
    world.restless = true;
    while !world.shared.is_logged() {
        meanwhile(&mut world);
        world.step();
    }
    world.restless = false;
    world.set_now_ms(now_ms);
    world.run_until_quiet();
    world
}

/// All keys with what they hold and when they and their fields expire, as replies.
fn contents(world: &mut World) -> Vec<String> {
    let words = |reply: &str| -> Vec<String> {
        let lines = reply.split("\r\n").filter(|line| !line.starts_with(['$', '*']) && !line.is_empty());
        lines.map(str::to_owned).collect()
    };
    let mut keys = words(&ask(world, &["KEYS", "*"]));
    keys.sort();
    assert!(keys.windows(2).all(|pair| pair[0] != pair[1]), "twice in the table: {keys:?}");
    let mut found = Vec::new();
    for key in &keys {
        let kind = ask(world, &["TYPE", key]);
        let (value, times) = match kind.trim_end() {
            "+string" => (ask(world, &["GET", key]), String::new()),
            "+list" => (ask(world, &["LRANGE", key, "0", "-1"]), String::new()),
            "+zset" => (ask(world, &["ZRANGE", key, "0", "-1", "WITHSCORES"]), String::new()),
            "+set" => {
                let mut members = words(&ask(world, &["SMEMBERS", key]));
                members.sort();
                (members.join(" "), String::new())
            }
            "+stream" => {
                let facts = words(&ask(world, &["XINFO", "STREAM", key]));
                let told = facts.chunks(2).filter(|fact| !fact[0].starts_with("radix-tree"));
                let told: Vec<String> = told.map(|fact| fact.join(" ")).collect();
                (told.join(" ") + &ask(world, &["XRANGE", key, "-", "+"]), String::new())
            }
            "+hash" => {
                let mut fields = words(&ask(world, &["HKEYS", key]));
                fields.sort();
                // Its last fields expired, and nobody looked yet.
                if fields.is_empty() {
                    continue;
                }
                let count = fields.len().to_string();
                let names: Vec<&str> = fields.iter().map(String::as_str).collect();
                let times = ask(world, &[&["HPEXPIRETIME", key, "FIELDS", &count], &names[..]].concat());
                (names.join(" ") + &ask(world, &[&["HMGET", key], &names[..]].concat()), times)
            }
            _ => continue,
        };
        let expiry = ask(world, &["PEXPIRETIME", key]);
        found.push(format!("{key} {kind}{value}{times}{expiry}").replace("\r\n", " "));
    }
    found
}

/// The log of this story gives what there is at its end, to a server that reads it so much later.
fn check(story: &str, later_ms: i64) {
    for (cores, preamble) in [(1, "yes"), (2, "yes"), (3, "no")] {
        let mut config = config("always");
        config.set_by_server("aof-use-rdb-preamble", preamble.as_bytes());
        let mut life = Life::new(cores, cores as u64, config);
        life.live(story);
        let there = contents(&mut life.world);
        for cores in [1, 3] {
            let mut world = life.again(cores, later_ms);
            assert_eq!(contents(&mut world), there, "{cores} cores, preamble {preamble}: {story}");
        }
    }
}

/// A key that had expired was written again: its end came into the log behind what was written.
#[test]
fn what_replaces_an_overdue_key_stays() {
    let writes = [
        "SET {t}k new EX 1000",
        "SET {t}k new GET",
        "GETSET {t}k new",
        "PSETEX {t}k 100000 new",
        "INCRBYFLOAT {t}k 1.5",
        "XADD {t}k * f v",
        "HSETEX {t}k EX 100 FIELDS 1 f v",
        "HINCRBYFLOAT {t}k f 1.5",
        "EVAL return(redis.call('RESTORE',KEYS[2],0,redis.call('DUMP',KEYS[1]))) 2 {t}l {t}k",
        "SORT {t}l ALPHA STORE {t}k",
        "LMOVE {t}l {t}k LEFT RIGHT",
        "BLMOVE {t}l {t}k LEFT RIGHT 1",
        "COPY {t}l {t}k",
        "RPUSH {t}k x",
        "EVAL redis.set_repl(redis.REPL_NONE)redis.call('INCR',KEYS[1])redis.set_repl(redis.REPL_ALL)redis.call('SET',KEYS[1],7) 1 {t}k",
    ];
    for write in writes {
        check(&format!("RPUSH {{t}}l a b c | SET {{t}}k 5 PX 2 | 3 ms | {write} | PERSIST {{t}}k"), 10);
    }
}

/// CLIENT PAUSE kept an overdue key where it was, and the rest of its transaction put another beside it, or into the log what
/// could not be done there.
#[test]
fn what_replaces_an_overdue_key_during_a_pause_stays() {
    let overdue =
        ["SET {t}k 5", "RPUSH {t}k 5", "SADD {t}k 5", "ZADD {t}k 5 5", "HSET {t}k f 5", "XADD {t}k * f 5"];
    let writes = [
        "SET {t}k new",
        "SET {t}k new NX",
        "SET {t}k new KEEPTTL",
        "SETNX {t}k new",
        "MSETNX {t}k new {t}m new",
        "GETSET {t}k new",
        "APPEND {t}k new",
        "SETRANGE {t}k 3 new",
        "SETBIT {t}k 9 1",
        "BITOP NOT {t}k {t}s",
        "BITFIELD {t}k INCRBY u8 0 3",
        "INCR {t}k",
        "INCRBYFLOAT {t}k 1.5",
        "PFADD {t}k new",
        "RPUSH {t}k new",
        "LMOVE {t}l {t}k LEFT RIGHT",
        "BLMOVE {t}l {t}k LEFT RIGHT 1",
        "SORT {t}l ALPHA STORE {t}k",
        "SADD {t}k new",
        "SUNIONSTORE {t}k {t}e",
        "SMOVE {t}e {t}k a",
        "ZADD {t}k 1 new",
        "ZINCRBY {t}k 1 new",
        "ZRANGESTORE {t}k {t}z 0 -1",
        "GEOADD {t}k 1 1 new",
        "HSET {t}k g new",
        "HSETNX {t}k f new",
        "HINCRBY {t}k f 2",
        "HSETEX {t}k FNX EX 100 FIELDS 1 f new",
        "XADD {t}k * f new",
        "XGROUP CREATE {t}k g 0 MKSTREAM",
        "RENAME {t}l {t}k",
        "RENAMENX {t}l {t}k",
        "COPY {t}l {t}k",
        "COPY {t}l {t}k REPLACE",
        "SELECT 1 ; SET {t}k new ; MOVE {t}k 0",
        "EVAL return(redis.call('RPUSH',KEYS[1],'new')) 1 {t}k",
        "EVAL return(redis.call('RESTORE',KEYS[2],0,redis.call('DUMP',KEYS[1]))) 2 {t}l {t}k",
    ];
    for (at, write) in writes.iter().enumerate() {
        let others = "RPUSH {t}l a b | SET {t}s a | SADD {t}e a b | ZADD {t}z 1 a";
        for first in [overdue[at % overdue.len()], overdue[(at + 1) % overdue.len()]] {
            let begins = format!("{others} | {first} | PEXPIRE {{t}}k 2 | 3 ms");
            check(&format!("{begins} | MULTI ; CLIENT PAUSE 1 WRITE ; {write} ; EXEC | 2 ms"), 10);
        }
    }
}

/// What a script kept from the log is not there later; that a key expired meanwhile is said all the same.
#[test]
fn an_end_is_logged_even_if_its_script_is_not() {
    let mut life = Life::new(1, 1, config("always"));
    let script = "redis.set_repl(redis.REPL_NONE)redis.call('INCR',KEYS[1])";
    life.live(&format!("SET k 5 PX 2 | 3 ms | EVAL {script} 1 k | INCR k"));
    assert_eq!(contents(&mut life.again(1, 10)), ["k +string $1 1 :-1 "]);
}

/// The same for fields.
#[test]
fn what_replaces_an_overdue_field_stays() {
    let writes = [
        "HSET h f 7",
        "HSETNX h f 7",
        "HINCRBY h f 2",
        "HINCRBYFLOAT h f 1.5",
        "HSETEX h FNX EX 100 FIELDS 1 f v",
        "HSETEX h KEEPTTL FIELDS 2 f v g w",
        "HSETEX h PXAT 1 FIELDS 1 g 7 | HINCRBY h g 2",
        "HDEL h f | HINCRBY h f 2",
    ];
    for write in writes {
        check(&format!("HSET h g 1 | HSETEX h PX 2 FIELDS 1 f 5 | 3 ms | {write}"), 10);
        // Where it is the only one, the key and its own expiry stay.
        check(&format!("HSETEX h PX 2 FIELDS 1 f 5 | PEXPIRE h 100000 | 3 ms | {write}"), 10);
    }
}

/// HDEL came into the log with fields that were overdue: those went with it later, and the key with the last of them.
#[test]
fn overdue_fields_that_are_not_deleted_stay() {
    let deletes = [
        "HDEL {t}h a b",
        "HDEL {t}h b a",
        "HDEL {t}h a a b",
        "HGETDEL {t}h FIELDS 2 a b",
        "HPEXPIRE {t}h 0 FIELDS 2 a b",
    ];
    for delete in deletes {
        let begins = "HSET {t}h a 1 b 2 | SET {t}d old | HPEXPIRE {t}h 2 FIELDS 1 b | 3 ms";
        check(&format!("{begins} | {delete} | RENAME {{t}}h {{t}}d"), 10);
        check(&format!("{begins} | MULTI ; {delete} ; RENAME {{t}}h {{t}}d ; EXEC"), 10);
    }
}

/// What a log says of a key that was overdue already when it is read: its base, or what came first, was over before it got there.
#[test]
fn what_a_log_prolongs_stays() {
    let lives = [
        ("SET k v EX 2", "EXPIRE k 1000"),
        ("SET k v EX 2", "PERSIST k"),
        ("SET k v EX 2", "COPY k other | PERSIST other | DEL k"),
        ("SET k 5 EX 2", "INCR k | PERSIST k"),
        ("RPUSH k a | EXPIRE k 2", "RPUSH k b | PERSIST k"),
        ("HSETEX k EX 2 FIELDS 1 f 5", "HEXPIRE k 1000 FIELDS 1 f"),
        ("HSETEX k EX 2 FIELDS 1 f 5", "HINCRBY k f 1 | HPERSIST k FIELDS 1 f"),
    ];
    for (begins, goes_on) in lives {
        check(&format!("{begins} | {goes_on}"), 2200);
        check(&format!("{begins} | BGREWRITEAOF | {goes_on}"), 2200);
    }
}

/// A log that takes long to read: what its first part says is overdue, its last part says it stays.
fn long_log(cores: usize) -> Life {
    let mut life = Life::new(cores, 1, config("always"));
    let client = life.world.connect();
    let all = |words: &[&str]| -> Vec<u8> {
        let of = |number: usize| words.iter().map(|word| word.replace('#', &number.to_string())).collect();
        (0..200)
            .flat_map(|number| {
                let words: Vec<String> = of(number);
                command(&words.iter().map(String::as_str).collect::<Vec<_>>())
            })
            .collect()
    };
    let padding = "x".repeat(4000);
    for words in [
        &["SET", "k#", "v", "PX", "15000"][..],
        &["HSETEX", "h#", "PX", "15000", "FIELDS", "1", "f", "v"],
        &["SET", "p#", &padding],
        &["SET", "p#", &padding],
        &["DEL", "p#"],
        &["PERSIST", "k#"],
        &["HPERSIST", "h#", "FIELDS", "1", "f"],
    ] {
        life.world.write(client, &all(words));
        life.world.run_until_quiet();
    }
    life
}

/// Keys and fields expired while the log was read, by the work that cores do every so often.
#[test]
fn nothing_expires_while_a_log_is_read() {
    for cores in [1, 3] {
        let mut life = long_log(2);
        let there = contents(&mut life.world);
        assert_eq!(there.len(), 400);
        assert_eq!(contents(&mut life.again(cores, 20_000)).len(), 400, "{cores} cores");
    }
}

/// Keys were evicted while the log was read, for clients that asked something meanwhile.
#[test]
fn nothing_is_evicted_while_a_log_is_read() {
    for cores in [1, 3] {
        let life = long_log(2);
        let mut small = life.config.clone();
        small.set_by_server("maxmemory-policy", b"allkeys-random");
        small.set_by_server("maxmemory", b"400kb");
        let mut world = life.begin_again(cores, 0, &small);
        let client = world.connect();
        let mut used = 0;
        let mut world = read(world, |world| {
            used = used.max(world.shared.used_memory());
            world.write(client, &command(&["ECHO", "x"]));
        });
        assert!(used > 400 << 10, "{used} bytes were in use");
        world.disconnect(client);
        world.run_until_quiet();
        assert_eq!(ask(&mut world, &["DBSIZE"]), ":400\r\n", "{cores} cores");
    }
}

/// Seen last at the beginning of time was a consumer that the log says was created.
#[test]
fn consumers_are_seen_when_the_log_is_read() {
    let mut life = Life::new(2, 1, config("always"));
    life.live("XGROUP CREATE x g $ MKSTREAM | XGROUP CREATECONSUMER x g c");
    let told = ask(&mut life.again(1, 5000), &["XINFO", "CONSUMERS", "x", "g"]);
    assert!(told.contains("idle\r\n:0\r\n"), "{told}");
}

/// A server that has read a log in these words, which another one wrote, or somebody by hand.
fn reader_of(cores: usize, log: &[&str]) -> World {
    let life = Life::new(1, 1, config("always"));
    let directory = life.config.dir.join(&life.config.appenddirname);
    let words = |line: &&str| command(&line.split(' ').collect::<Vec<_>>());
    let bytes = log.iter().flat_map(words).collect();
    life.disk.replace_file(&directory.join("appendonly.aof.1.incr.aof"), bytes);
    let mut world = life.begin_again(cores, 0, &life.config);
    world.run_until_quiet();
    assert!(world.shared.is_logged());
    world
}

/// Times to live in a log of old were taken to be over: they count from when it is read.
#[test]
fn relative_times_of_a_log_count_from_now() {
    for cores in [1, 3] {
        let mut world = reader_of(
            cores,
            &[
                "SET a v",
                "EXPIRE a 100",
                "SET b v",
                "PEXPIRE b 100000",
                "SETEX c 100 v",
                "PSETEX d 100000 v",
                "SET e v EX 100",
                "SET f v",
                "GETEX f EX 100",
                "EVAL redis.call('SETEX',KEYS[1],100,'v') 1 g",
                "HSET h f v",
                "HEXPIRE h 100 FIELDS 1 f",
            ],
        );
        for key in ["a", "b", "c", "d", "e", "f", "g"] {
            assert_eq!(ask(&mut world, &["PTTL", key]), ":100000\r\n", "{cores} cores: {key}");
        }
        let fields = ask(&mut world, &["HPTTL", "h", "FIELDS", "1", "f"]);
        assert_eq!(fields, "*1\r\n:100000\r\n", "{cores} cores");
    }
}

/// Scripts that a log of old made known were not known when it called them.
#[test]
fn scripts_of_a_log_are_known_to_what_follows() {
    let script = "return(redis.call('INCR',KEYS[1]))";
    let sha = String::from_utf8(crate::base::sha1::sha1_hex(script.as_bytes()).to_vec()).unwrap();
    let call = |key: &str| format!("EVALSHA {sha} 1 {key}");
    for cores in [1, 3] {
        let mut world = reader_of(
            cores,
            &[
                &format!("SCRIPT LOAD {script}"),
                &call("a"),
                &call("b"),
                "SCRIPT FLUSH",
                &call("a"),
                &format!("EVAL {script} 1 c"),
                &call("d"),
                &call("a"),
            ],
        );
        for (key, value) in [("a", 2), ("b", 1), ("c", 1), ("d", 1)] {
            let told = ask(&mut world, &["GET", key]);
            assert_eq!(told, format!("$1\r\n{value}\r\n"), "{cores} cores: {key}");
        }
    }
}

/// What random clients say: `#` is one of few digits, `~` a short time.
const WORDS: &[&str] = &[
    "SET s# # PX ~",
    "SET s# # PX ~",
    "SET s# #",
    "SET s# # KEEPTTL",
    "SET s# # GET",
    "GETSET s# #",
    "INCR s#",
    "INCRBYFLOAT s# 1.5",
    "APPEND s# #",
    "SETRANGE s# 2 #",
    "GETEX s# PX ~",
    "GETDEL s#",
    "GET s#",
    "PEXPIRE s# ~",
    "PERSIST s#",
    "RENAME s# s#",
    "COPY s# s# REPLACE",
    "DEL s#",
    "RPUSH l# #",
    "LPOP l#",
    "LMOVE l# l# LEFT RIGHT",
    "SORT l# ALPHA STORE l#",
    "PEXPIRE l# ~",
    "HSET h# # #",
    "HSETNX h# # 1",
    "HSETEX h# PX ~ FIELDS 1 # #",
    "HSETEX h# FNX PX ~ FIELDS 1 # #",
    "HSETEX h# KEEPTTL FIELDS 1 # #",
    "HSETEX h# PXAT 1 FIELDS 1 # #",
    "HINCRBY h# # 1",
    "HINCRBYFLOAT h# # 1.5",
    "HPEXPIRE h# ~ FIELDS 1 #",
    "HPEXPIRE h# ~ NX FIELDS 2 # #",
    "HPEXPIRE h# ~ XX FIELDS 2 # #",
    "HPEXPIRE h# ~ GT FIELDS 2 # #",
    "HPEXPIRE h# ~ LT FIELDS 2 # #",
    "HPEXPIRE h# 0 FIELDS 2 # #",
    "HPERSIST h# FIELDS 1 #",
    "HGETEX h# PX ~ FIELDS 1 #",
    "HGETDEL h# FIELDS 1 #",
    "HDEL h# #",
    "HDEL h# # # #",
    "HGETDEL h# FIELDS 2 # #",
    "COPY h# h# REPLACE",
    "RENAME h# h#",
    "RENAMENX h# h#",
    "PEXPIRE h# ~",
    "SADD e# #",
    "SPOP e#",
    "SUNIONSTORE e# e# e#",
    "PEXPIRE e# ~",
    "ZADD z# # #",
    "ZADD z# INCR 1 #",
    "ZUNIONSTORE z# 2 z# z#",
    "ZPOPMIN z#",
    "PEXPIRE z# ~",
    "XADD x# * f #",
    "XADD x# MAXLEN 3 * f #",
    "XTRIM x# MAXLEN 2",
    "XGROUP CREATE x# g 0 MKSTREAM",
    "XREADGROUP GROUP g c COUNT 1 STREAMS x# >",
    "PEXPIRE x# ~",
    "EVAL redis.call('INCR',KEYS[1])redis.call('APPEND',KEYS[2],1) 2 s# s#",
    "SETNX s# #",
    "RENAMENX s# s#",
    "COPY s# s#",
    "CLIENT PAUSE ~ WRITE",
];

fn random_command(world: &mut World) -> Vec<u8> {
    let line = WORDS[world.rng.below(WORDS.len() as u64) as usize];
    let mut draw = |letter| match letter {
        '#' => world.rng.below(3).to_string(),
        '~' => (1 + world.rng.below(5)).to_string(),
        letter => letter.to_string(),
    };
    let line: String = line.chars().map(&mut draw).collect();
    command(&line.split(' ').collect::<Vec<_>>())
}

/// Random clients of some cores; then another number of cores reads the log. What is there, and what is there again?
fn live_at_random(seed: u64) -> [Vec<String>; 2] {
    let mut config = config("always");
    let heard: &[u8] = if seed.is_multiple_of(2) { b"" } else { b"KEA" };
    config.set_by_server("notify-keyspace-events", heard);
    let mut life = Life::new(1 + seed as usize % 3, seed, config);
    let world = &mut life.world;
    let clients: Vec<usize> = (0..3).map(|_| world.connect()).collect();
    for _ in 0..40 {
        for &client in &clients {
            let atomic = world.rng.below(4) == 0;
            let count = 1 + world.rng.below(4);
            let mut bytes: Vec<u8> = (0..count).flat_map(|_| random_command(world)).collect();
            if atomic {
                bytes = [command(&["MULTI"]), bytes, command(&["EXEC"])].concat();
            }
            world.write(client, &bytes);
        }
        // Sometimes cores expire what is overdue by themselves, mostly whoever finds it does.
        world.restless = world.rng.below(4) == 0;
        (0..30).for_each(|_| _ = world.step());
        world.restless = false;
        match world.rng.below(20) {
            0 => world.write(clients[0], &command(&["BGREWRITEAOF"])),
            1 => world.tick_all(),
            _ => {}
        }
        let ms = world.rng.below(4);
        world.pass_ms(ms);
    }
    let there = contents(world);
    let mut world = life.again(1 + (seed as usize + 1) % 3, 0);
    [there, contents(&mut world)]
}

#[test]
fn the_log_of_short_lives_gives_what_is_there() {
    for seed in super::seeds(60) {
        let [there, again] = live_at_random(seed);
        let differ = there.iter().zip(&again).find(|(a, b)| a != b);
        assert_eq!(again, there, "seed {seed}, first: {differ:#?}");
    }
}
