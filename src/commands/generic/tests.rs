//! Conversations about keys, whatever they hold.

use crate::sim::conversation::request;
use crate::sim::world::{ClientNumber, World};
use crate::sim::{check, check_outside_multi, check3};

#[test]
fn deleting_and_counting() {
    check(
        "MSET a 1 b 2 c 3 => OK | EXISTS a b a x => 3 | DEL a x b => 2 | EXISTS a b c => 1 | UNLINK c c => 1",
    );
    check(
        "DEL => -ERR wrong number of arguments for 'del' command | TOUCH x => 0 | SET x 1 => OK | TOUCH x y => 1",
    );
    check("TYPE x => none | SET x 1 => OK | TYPE x => string");
}

#[test]
fn expiry_comes_and_goes() {
    check(
        "SET k v => OK | TTL k => -1 | EXPIRE k 100 => 1 | TTL k => 100 | PERSIST k => 1 | PERSIST k => 0 | TTL k => -1",
    );
    check(
        "TTL x => -2 | PTTL x => -2 | EXPIRETIME x => -2 | PEXPIRETIME x => -2 | EXPIRE x 1 => 0 | PERSIST x => 0",
    );
    check("SET k v => OK | PEXPIRE k 50 => 1 | +60ms | EXISTS k => 0 | PTTL k => -2");
    check(
        "SET k v => OK | EXPIREAT k 9999999999 => 1 | EXPIRETIME k => 9999999999 | PEXPIRETIME k => 9999999999000",
    );
    check("SET k v => OK | EXPIRE k -1 => 1 | EXISTS k => 0");
    check("SET k v => OK | PEXPIREAT k 1 => 1 | GET k => nil | EXPIRE k 10 => 0");
}

/// What is left of two of the longest lives is more than a 64-bit number holds, and active expiry added it up in one.
#[test]
fn long_lives() {
    check(
        "MSET a 1 b 2 => OK | PEXPIREAT a 9223372036854775807 => 1 | PEXPIREAT b 9223372036854775807 => 1 | tick | EXISTS a b => 2",
    );
}

#[test]
fn expiry_under_conditions() {
    check(
        "SET k v => OK | EXPIRE k 100 XX => 0 | EXPIRE k 100 GT => 0 | EXPIRE k 100 NX => 1 | EXPIRE k 50 NX => 0",
    );
    check(
        "SET k v => OK | EXPIRE k 100 LT => 1 | EXPIRE k 200 LT => 0 | EXPIRE k 200 GT => 1 | EXPIRE k 100 XX LT => 1 | TTL k => 100",
    );
    check("EXPIRE k 1 NX XX => -ERR NX and XX, GT or LT options at the same time are not compatible");
    check("EXPIRE k 1 GT LT => -ERR GT and LT options at the same time are not compatible");
    check(
        "EXPIRE k x FOO => -ERR Unsupported option FOO | EXPIRE k x => -ERR value is not an integer or out of range",
    );
    check(
        "SET k v => OK | EXPIRE k 9223372036854775807 => -ERR invalid expire time in 'expire' command | TTL k => -1",
    );
    check("PEXPIRE k 9223372036854775807 => -ERR invalid expire time in 'pexpire' command");
}

#[test]
fn renaming() {
    check("SET a 1 EX 100 => OK | RENAME a b => OK | EXISTS a => 0 | GET b => \"1\" | TTL b => 100");
    check("SET a 1 => OK | SET b 2 EX 100 => OK | RENAME a b => OK | GET b => \"1\" | TTL b => -1");
    check("RENAME x y => -ERR no such key | RENAMENX x x => -ERR no such key");
    check(
        "MSET a 1 b 2 => OK | RENAMENX a b => 0 | RENAMENX a c => 1 | RENAME b b => OK | RENAMENX b b => 0 | MGET a b c => [nil \"2\" \"1\"]",
    );
    check(
        "SET a v PX 50 => OK | SET b w => OK | +60ms | RENAME a b => -ERR no such key | RENAMENX b a => 1 | GET a => \"w\"",
    );
}

#[test]
fn copying_and_moving() {
    check(
        "SET a 1 EX 100 => OK | COPY a b => 1 | COPY a b => 0 | TTL b => 100 | SET a 2 => OK | COPY a b REPLACE => 1 | TTL b => -1 | GET b => \"2\"",
    );
    check(
        "SET a 1 => OK | COPY a a => -ERR source and destination objects are the same | COPY a a DB 1 => 1 | COPY x y => 0",
    );
    check(
        "COPY a b DB 99 => -ERR DB index is out of range | COPY a b DB => -ERR syntax error | COPY a b FOO => -ERR syntax error",
    );
    check(
        "SET a text => OK | MOVE a 1 => 1 | GET a => nil | MOVE a 1 => 0 | SELECT 1 => OK | GET a => \"text\" | SELECT 0 => OK",
    );
    check(
        "SET a 1 => OK | COPY a a DB 1 => 1 | MOVE a 1 => 0 | MOVE a 0 => -ERR source and destination objects are the same",
    );
    check(
        "MOVE a x => -ERR value is not an integer or out of range | MOVE a 16 => -ERR DB index is out of range",
    );
}

#[test]
fn walking_over_the_keys() {
    check(
        "KEYS * => [] | MSET a1 1 a2 2 b1 3 => OK | KEYS * => ?[\"a1\" \"a2\" \"b1\"] | KEYS a* => ?[\"a1\" \"a2\"] | KEYS ?1 => ?[\"a1\" \"b1\"]",
    );
    check(
        "MSET a{t} 1 b{t} 2 c 3 => OK | KEYS *{t} => ?[\"a{t}\" \"b{t}\"] | KEYS a{t}* => [\"a{t}\"] | KEYS {t}* => []",
    );
    check(
        "SET a 1 PX 50 => OK | +60ms | KEYS * => [] | RANDOMKEY => nil | SET b 1 => OK | RANDOMKEY => \"b\"",
    );
    check_outside_multi(
        "SET a 1 PX 50 => OK | CLIENT PAUSE 10000 WRITE => OK | +60ms | RANDOMKEY => \"a\" | GET a => nil | CLIENT UNPAUSE => OK | RANDOMKEY => nil",
    );
    // Redis 7.0 puts the new list beside the old one, and stops.
    check_outside_multi(
        "RPUSH k a => 1 | PEXPIRE k 10 => 1 | +20ms | MULTI => OK | CLIENT PAUSE 100 WRITE => QUEUED | GET k => QUEUED | DBSIZE => QUEUED | RPUSH k b => QUEUED | DBSIZE => QUEUED | EXEC => [OK nil 1 1 1] | LRANGE k 0 -1 => [\"b\"] | TTL k => -1",
    );
    check(
        "SCAN x => -ERR invalid cursor | SCAN 0 COUNT 0 => -ERR syntax error | SCAN 0 COUNT x => -ERR value is not an integer or out of range",
    );
    check("SCAN 0 MATCH => -ERR syntax error | SCAN 0 FOO bar => -ERR syntax error");
    // From beyond the last place of the last shard there is nothing more to find.
    check("SET a 1 => OK | SCAN 18446744073709551615 TYPE hash => *");
}

#[test]
fn how_a_key_is_stored() {
    check(
        "SET i 12 => OK | OBJECT ENCODING i => \"int\" | SET s text => OK | OBJECT ENCODING s => \"embstr\" | APPEND s x => 5 | OBJECT ENCODING s => \"raw\"",
    );
    check(
        "OBJECT ENCODING x => nil | OBJECT IDLETIME x => nil | OBJECT FREQ x => nil | OBJECT REFCOUNT x => nil",
    );
    check(
        "SET k v => OK | OBJECT IDLETIME k => 0 | OBJECT REFCOUNT k => 1 | OBJECT FREQ k => -ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.",
    );
    check_outside_multi("OBJECT FOO k => -ERR unknown subcommand 'FOO'. Try OBJECT HELP.");
    check3("OBJECT ENCODING x => nil | RANDOMKEY => nil");
}

/// One key of each type; `large`: too large for the forms within an entry.
fn all_types(large: bool) -> String {
    let limits = "CONFIG SET list-max-listpack-size 1 hash-max-listpack-entries 0 set-max-listpack-entries 0 \
         set-max-intset-entries 0 zset-max-listpack-entries 0 => OK | ";
    let values = "SET s text => OK | RPUSH l a b => 2 | SADD t a b => 2 | ZADD z 1 a 2 b => 2 | HSET h f v g w => 2 | ";
    format!("{}{values}", if large { limits } else { "" })
}

/// What the keys of `all_types` hold.
const WHAT_THEY_HOLD: &str = "GET S => \"text\" | LRANGE L 0 -1 => [\"a\" \"b\"] | SMEMBERS T => ?[\"a\" \"b\"] \
     | ZRANGE Z 0 -1 WITHSCORES => [\"a\" \"1\" \"b\" \"2\"] | HMGET H f g => [\"v\" \"w\"]";

/// `WHAT_THEY_HOLD`, with these names for the keys.
fn held_by(names: [&str; 5]) -> String {
    let named = ["S", "L", "T", "Z", "H"].into_iter().zip(names);
    WHAT_THEY_HOLD
        .split(" | ")
        .zip(named)
        .map(|(step, (from, to))| step.replacen(&format!(" {from} "), &format!(" {to} "), 1))
        .collect::<Vec<_>>()
        .join(" | ")
}

#[test]
fn keys_of_all_types_are_found_by_type() {
    for large in [false, true] {
        let types = "TYPE s => string | TYPE l => list | TYPE t => set | TYPE z => zset | TYPE h => hash | DBSIZE => 5 \
             | EXISTS s l t z h x => 5 | TOUCH l t z h => 4 | KEYS * => ?[\"s\" \"l\" \"t\" \"z\" \"h\"]";
        check(&format!("{}{types}", all_types(large)));
        check(&format!("{}DEL s l t z h => 5 | DBSIZE => 0 | RANDOMKEY => nil", all_types(large)));
        check(&format!("{}UNLINK s l t z h => 5 | DBSIZE => 0", all_types(large)));
    }
    for (key, kind) in [("l", "list"), ("t", "set"), ("z", "zset"), ("h", "hash")] {
        let make = match kind {
            "list" => "RPUSH l a => 1",
            "set" => "SADD t a => 1",
            "zset" => "ZADD z 1 a => 1",
            _ => "HSET h f v => 1",
        };
        check(&format!("{make} | RANDOMKEY => \"{key}\" | TYPE {key} => {kind}"));
    }
}

/// A server and one client, for replies that a conversation cannot foretell.
struct Dialogue(World, ClientNumber);

impl Dialogue {
    fn new() -> Self {
        let mut world = World::new(1, 1);
        let client = world.connect();
        Self(world, client)
    }

    fn ask(&mut self, text: &str) -> String {
        let Dialogue(world, client) = self;
        let args: Vec<Vec<u8>> = text.split(' ').map(|arg| arg.as_bytes().to_vec()).collect();
        world.write(*client, &request(&args));
        world.run_until_quiet();
        String::from_utf8(std::mem::take(world.inbox(*client))).expect("it is text")
    }

    /// Says the commands of a conversation.
    fn say(&mut self, conversation: &str) {
        for step in conversation.split(" | ").filter(|step| !step.is_empty()) {
            self.ask(step.split_once(" => ").expect("a reply").0);
        }
    }

    fn usage(&mut self, key: &str) -> usize {
        let reply = self.ask(&format!("MEMORY USAGE {key}"));
        assert_eq!(self.ask(&format!("MEMORY USAGE {key} SAMPLES 3")), reply);
        reply.trim_start_matches(':').trim_end().parse().expect("a number")
    }
}

#[test]
fn scan_finds_the_keys_of_a_type() {
    for large in [false, true] {
        let mut server = Dialogue::new();
        server.say(&all_types(large));
        for (kind, key) in [("string", "s"), ("list", "l"), ("set", "t"), ("zset", "z"), ("hash", "h")] {
            let found = format!("*2\r\n$1\r\n0\r\n*1\r\n$1\r\n{key}\r\n");
            assert_eq!(server.ask(&format!("SCAN 0 COUNT 1000 TYPE {kind}")), found);
            assert_eq!(server.ask(&format!("SCAN 0 COUNT 1000 TYPE {}", kind.to_uppercase())), found);
        }
    }
}

#[test]
fn memory_usage_follows_the_elements() {
    let mut server = Dialogue::new();
    server.say(&all_types(false));
    for (key, add) in [("l", "RPUSH l @"), ("t", "SADD t @"), ("z", "ZADD z 1 @"), ("h", "HSET h @ v")] {
        let small = server.usage(key);
        assert!((16..400).contains(&small), "{key}: {small}");
        for number in 0..1000 {
            server.ask(&add.replace('@', &format!("a-member-of-20-bytes-{number}")));
        }
        let large = server.usage(key);
        assert!((20_000..200_000).contains(&large), "{key}: {large}");
        assert!(server.usage("s") < 100);
        server.ask(&format!("COPY {key} copy REPLACE"));
        let copy = server.usage("copy");
        assert!(copy > large / 2 && copy < large * 3 / 2, "{key}: {large}, its copy {copy}");
    }
}

#[test]
fn keys_of_all_types_are_renamed_copied_and_moved() {
    for large in [false, true] {
        let all = all_types(large);
        let names = ["s", "l", "t", "z", "h"];
        let others = ["s:other", "l:2", "t{x}", "z-with-a-name-that-is-much-longer-than-the-one-it-had", "i"];
        let each = |command: fn(&str, &str) -> String| {
            let steps: Vec<String> = names.iter().zip(others).map(|(a, b)| command(a, b)).collect();
            steps.join(" | ")
        };
        let rename = each(|a, b| format!("RENAME {a} {b} => OK"));
        check(&format!("{all}{rename} | EXISTS s l t z h => 0 | {}", held_by(others)));
        let copy = each(|a, b| format!("COPY {a} {b} => 1 | COPY {a} {b} => 0 | COPY {a} {b} REPLACE => 1"));
        check(&format!("{all}{copy} | {} | {}", held_by(names), held_by(others)));
        // A copy is a value of its own.
        check(&format!(
            "{all}{copy} | APPEND s x => 5 | RPUSH l c => 3 | SREM t a => 1 | ZADD z 9 a => 0 | HSET h f x => 0 | {}",
            held_by(others)
        ));
        let copy_to_db = each(|a, b| format!("COPY {a} {b} DB 2 => 1"));
        check(&format!("{all}{copy_to_db} | {} | SELECT 2 => OK | {}", held_by(names), held_by(others)));
        let away = each(|a, _| format!("MOVE {a} 1 => 1 | MOVE {a} 1 => 0"));
        check(&format!("{all}{away} | DBSIZE => 0 | SELECT 1 => OK | {}", held_by(names)));
        check(&format!("{all}SWAPDB 0 3 => OK | DBSIZE => 0 | SELECT 3 => OK | {}", held_by(names)));
        // One type takes the place of another, and its expiry.
        let over = each(|a, _| {
            format!("SET x 1 EX 100 => OK | RENAME {a} x => OK | TTL x => -1 | RENAME x {a} => OK")
        });
        check(&format!("{all}{over} | {}", held_by(names)));
        let aside = each(|a, _| {
            format!(
                "EXPIRE {a} 100 => 1 | RENAME {a} x => OK | TTL x => 100 | COPY x {a} => 1 | TTL {a} => 100"
            )
        });
        check(&format!("{all}{aside} | {}", held_by(names)));
    }
}

#[test]
fn usage_of_keys_of_all_types() {
    for large in [false, true] {
        let idle = ["s", "l", "t", "z", "h"]
            .map(|key| format!("OBJECT IDLETIME {key} => 7 | OBJECT REFCOUNT {key} => 1"));
        check(&format!("{}+7000ms | {} | OBJECT IDLETIME t => 7", all_types(large), idle.join(" | ")));
        check(&format!(
            "{}+7000ms | SCARD t => 2 | TOUCH z => 1 | OBJECT IDLETIME t => 0 | OBJECT IDLETIME z => 0",
            all_types(large)
        ));
        let uses = ["s", "l", "t", "z", "h"].map(|key| format!("OBJECT FREQ {key} => 5"));
        check(&format!(
            "CONFIG SET maxmemory-policy allkeys-lfu => OK | {}{}",
            all_types(large),
            uses.join(" | ")
        ));
    }
}

/// A hash of many fields, two of which expire, keeps their times wherever it goes.
#[test]
fn a_large_hash_goes_with_its_fields_expiries() {
    let fields: Vec<String> = (0..600).map(|number| format!("f{number} v{number}")).collect();
    let make = format!(
        "HSET h {} => 600 | HPEXPIRE h 50 FIELDS 1 f1 => [1] | HEXPIRE h 100 FIELDS 1 f2 => [1] | OBJECT ENCODING h => \"hashtable\"",
        fields.join(" ")
    );
    let whole = |key: &str| {
        format!(
            "HLEN {key} => 600 | HPTTL {key} FIELDS 3 f0 f1 f2 => [-1 50 100000] | HMGET {key} f1 f599 => [\"v1\" \"v599\"]"
        )
    };
    let later = |key: &str| {
        format!("HEXISTS {key} f1 => 0 | HTTL {key} FIELDS 2 f1 f2 => [-2 100] | HGET {key} f0 => \"v0\"")
    };
    check(&format!(
        "{make} | RENAME h i => OK | {} | EXISTS h => 0 | +60ms | {} | tick | HLEN i => 599",
        whole("i"),
        later("i")
    ));
    check(&format!(
        "{make} | COPY h i => 1 | {} | {} | +60ms | {} | {} | tick | HLEN h => 599 | HLEN i => 599",
        whole("h"),
        whole("i"),
        later("h"),
        later("i")
    ));
    check(&format!(
        "{make} | MOVE h 1 => 1 | SELECT 1 => OK | {} | +60ms | {} | tick | HLEN h => 599",
        whole("h"),
        later("h")
    ));
    check(&format!(
        "{make} | SWAPDB 0 1 => OK | SELECT 1 => OK | {} | +60ms | {} | tick | HLEN h => 599",
        whole("h"),
        later("h")
    ));
    // The fields of the key that went do not take those of a new one along.
    check(&format!(
        "{make} | RENAME h i => OK | HSET h f1 v => 1 | +60ms | tick | HLEN h => 1 | HLEN i => 599"
    ));
}
