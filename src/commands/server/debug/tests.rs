//! Conversations with DEBUG.

use crate::config::{Config, Guard};
use crate::sim::check_configured;
use crate::sim::conversation::{check_configured_outside_multi, request};
use crate::sim::world::World;

fn allowed() -> Config {
    let mut config = Config::default();
    config.enable_debug_command = Guard::Yes;
    config
}

fn check(text: &str) {
    check_configured(&allowed(), text);
}

/// What it replies with is no error of the server's.
#[test]
fn an_error_that_was_asked_for_is_not_counted() {
    check("CONFIG RESETSTAT => OK | DEBUG ERROR \"X y\" => -X y | INFO errorstats => \"# Errorstats\\r\\n\"");
}

/// The digest of all databases holds over a reload and a change back, on any number of cores, and not over a change.
#[test]
fn the_digest_of_all_follows_the_content() {
    let digests = [1, 3].map(|cores| {
        let mut world = World::configured(cores, 1, allowed());
        let client = world.connect();
        let mut ask = |text: &str| {
            let args: Vec<Vec<u8>> = text.split(' ').map(|arg| arg.as_bytes().to_vec()).collect();
            world.write(client, &request(&args));
            world.run_until_quiet();
            String::from_utf8(std::mem::take(world.inbox(client))).expect("it is text")
        };
        assert_eq!(ask("DEBUG DIGEST"), format!("+{}\r\n", "0".repeat(40)));
        let make = ["SET s text", "RPUSH l a 5", "SADD t 1 2", "ZADD z 1.5 a", "HSET h f v g w"];
        let expire = ["HEXPIRE h 100 FIELDS 1 f", "EXPIRE s 100", "SELECT 1", "SET s text", "SELECT 0"];
        for command in make.into_iter().chain(expire) {
            ask(command);
        }
        let whole = ask("DEBUG DIGEST");
        for (change, back) in [
            ("RPUSH l x", "RPOP l"),
            ("SADD t x", "SREM t x"),
            ("ZINCRBY z 1 a", "ZINCRBY z -1 a"),
            ("HSET h g x", "HSET h g w"),
            ("HPERSIST h FIELDS 1 f", "HEXPIRE h 100 FIELDS 1 f"),
            ("PERSIST s", "EXPIRE s 100"),
            ("RENAME t u", "RENAME u t"),
        ] {
            ask(change);
            assert_ne!(ask("DEBUG DIGEST"), whole, "after {change}");
            ask(back);
            assert_eq!(ask("DEBUG DIGEST"), whole, "after {change}, {back}");
        }
        assert_eq!((ask("DEBUG RELOAD"), ask("DEBUG DIGEST")), ("+OK\r\n".to_owned(), whole.clone()));
        whole
    });
    assert_eq!(digests[0], digests[1]);
}

#[test]
fn a_reload_keeps_everything() {
    check(
        "SET n 7 => OK | SET s text EX 100 => OK | RPUSH l a 5 => 2 | SADD ints 3 1 2 => 3 | SADD set a b => 2 | ZADD z 1.5 a => 1 \
         | HSET h f v => 1 | DEBUG RELOAD => OK | OBJECT ENCODING n => \"int\" | TTL s => 100 | GET s => \"text\" | TTL n => -1 \
         | LRANGE l 0 -1 => [\"a\" \"5\"] | OBJECT ENCODING ints => \"intset\" | SMEMBERS set => ?[\"a\" \"b\"] \
         | ZSCORE z a => \"1.5\" | HGET h f => \"v\" | OBJECT ENCODING h => \"listpack\" | DBSIZE => 7",
    );
    check(
        "HSET h f v g w => 2 | HPEXPIRE h 50 FIELDS 1 g => [1] | DEBUG RELOAD => OK | HLEN h => 2 | HPTTL h FIELDS 2 f g => [-1 50] \
         | +60ms | HGETALL h => [\"f\" \"v\"]",
    );
    check(
        "DEBUG SET-ACTIVE-EXPIRE 0 => OK | SET k v PX 50 => OK | SET other v => OK | +60ms | DBSIZE => 2 | DEBUG RELOAD => OK | DBSIZE => 1",
    );
    check(
        "CONFIG SET list-max-listpack-size 2 => OK | RPUSH l a b c d e => 5 | CONFIG SET set-max-listpack-entries 1 => OK | SADD s a b => 2 \
         | DEBUG RELOAD => OK | LRANGE l 0 -1 => [\"a\" \"b\" \"c\" \"d\" \"e\"] | OBJECT ENCODING s => \"hashtable\" | SCARD s => 2",
    );
}

#[test]
fn a_reload_is_no_change_whatever_its_options() {
    check(
        "SELECT 3 => OK | SET k v => OK | DEBUG RELOAD => OK | GET k => \"v\" | SELECT 0 => OK | DBSIZE => 0",
    );
    check(
        "SET k v => OK | DEBUG RELOAD merge => OK | DEBUG RELOAD NOSAVE NOFLUSH MERGE => OK \
         | DEBUG RELOAD x => -ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options. | GET k => \"v\"",
    );
}

#[test]
fn values_are_described() {
    check(
        "DEBUG OBJECT x => -ERR no such key | SET s hello => OK | DEBUG OBJECT s => * | DEBUG OBJECT s fast => * | RPUSH l a => 1 | DEBUG OBJECT l => *",
    );
    check_configured_outside_multi(
        &allowed(),
        "DEBUG SET-ACTIVE-EXPIRE 0 => OK | SET k v PX 5 => OK | +9ms | DEBUG OBJECT k => * | EXISTS k => 0 | DEBUG OBJECT k => -ERR no such key",
    );
    check(
        "RPUSH l a b => 2 | DEBUG LISTPACK l => Listpack structure printed on stdout | DEBUG QUICKLIST l => -ERR Not a quicklist encoded object. \
         | CONFIG SET list-max-listpack-size 1 => OK | RPUSH q a b => 2 | DEBUG LISTPACK q => -ERR Not a listpack encoded object. \
         | DEBUG QUICKLIST q => Quicklist structure printed on stdout | DEBUG QUICKLIST q 1 => Quicklist structure printed on stdout",
    );
    check(
        "SADD s 1 => 1 | DEBUG LISTPACK s => -ERR Not a listpack encoded object. | SADD s a => 1 | DEBUG LISTPACK s => Listpack structure printed on stdout \
         | ZADD z 1 a => 1 | DEBUG LISTPACK z => Listpack structure printed on stdout | HSET h f v => 1 | DEBUG LISTPACK h => Listpack structure printed on stdout \
         | DEBUG LISTPACK x => -ERR no such key | DEBUG QUICKLIST x => -ERR no such key",
    );
    check(
        "SADD s 1 => 1 | DEBUG HTSTATS-KEY s => -ERR The value stored at the specified key is not represented using an hash table \
         | CONFIG SET set-max-listpack-entries 0 => OK | SADD s a => 1 | DEBUG HTSTATS-KEY s => *",
    );
}

#[test]
fn large_elements_lie_by_themselves() {
    const BAD: &str = "-ERR argument must be a memory value bigger than 1 and smaller than 4gb";
    check(&format!(
        "DEBUG QUICKLIST-PACKED-THRESHOLD x => {BAD} | DEBUG QUICKLIST-PACKED-THRESHOLD 4gb => {BAD} \
         | DEBUG QUICKLIST-PACKED-THRESHOLD 10b => OK | CONFIG SET list-max-listpack-size 2 => OK | RPUSH l a b => 2 \
         | RPUSH l 0123456789 c => 4 | LPOP l 2 => [\"a\" \"b\"] | RPOP l => \"c\" | OBJECT ENCODING l => \"quicklist\" \
         | LSET l 0 short => OK | OBJECT ENCODING l => \"listpack\" | LRANGE l 0 -1 => [\"short\"] \
         | DEBUG QUICKLIST-PACKED-THRESHOLD 0 => OK | RPUSH m a b 0123456789 => 3 | LPOP m 2 => [\"a\" \"b\"] | OBJECT ENCODING m => \"listpack\""
    ));
}

#[test]
fn periodic_work_stands_still() {
    check(
        "SET k v PX 50 => OK | DEBUG PAUSE-CRON 1 => OK | +60ms | tick | DBSIZE => 1 | DEBUG PAUSE-CRON 0 => OK | tick | DBSIZE => 0 \
         | DEBUG PAUSE-CRON => -ERR unknown subcommand or wrong number of arguments for 'PAUSE-CRON'. Try DEBUG HELP.",
    );
}

#[test]
fn the_peak_of_replies_is_forgotten_in_time() {
    check(
        "DEBUG REPLYBUFFER RESIZING 0 => OK | DEBUG REPLYBUFFER PEAK-RESET-TIME x => -ERR value is not an integer or out of range \
         | DEBUG REPLYBUFFER FOO 1 => -ERR unknown subcommand or wrong number of arguments for 'REPLYBUFFER'. Try DEBUG HELP.",
    );
    let mut world = World::configured(1, 1, allowed());
    let client = world.connect();
    let mut ask = |words: &[&str]| {
        let args: Vec<Vec<u8>> = words.iter().map(|word| word.as_bytes().to_vec()).collect();
        world.write(client, &request(&args));
        world.run_until_quiet();
        String::from_utf8(std::mem::take(world.inbox(client))).expect("it is text")
    };
    let mut long_reply_is_known_after = |reset: &str| {
        ask(&["DEBUG", "REPLYBUFFER", "PEAK-RESET-TIME", reset]);
        ask(&["ECHO", &"x".repeat(5000)]);
        ask(&["DEBUG", "SLEEP", "1"]);
        ask(&["CLIENT", "INFO"]).contains(" rbp=50")
    };
    assert!(long_reply_is_known_after("reset"));
    assert!(!long_reply_is_known_after("100"));
    assert!(long_reply_is_known_after("NEVER"));
}

#[test]
fn the_replication_id_changes() {
    let mut world = World::configured(1, 1, allowed());
    let client = world.connect();
    let mut ask = |text: &str| {
        let args: Vec<Vec<u8>> = text.split(' ').map(|arg| arg.as_bytes().to_vec()).collect();
        world.write(client, &request(&args));
        world.run_until_quiet();
        String::from_utf8(std::mem::take(world.inbox(client))).expect("it is text")
    };
    let replid = |info: String| info.split("master_replid:").nth(1).map(|rest| rest[..40].to_owned());
    let before = replid(ask("INFO replication"));
    assert_eq!(ask("DEBUG CHANGE-REPL-ID"), "+OK\r\n");
    let after = replid(ask("INFO replication"));
    assert!(before.is_some() && after.is_some() && before != after);
}

#[test]
fn patterns_are_tried() {
    check("DEBUG STRINGMATCH-TEST => Apparently Redis did not crash: test passed");
}

#[test]
fn the_memory_of_strings_is_described() {
    check(
        "SET k hello => OK | DEBUG SDSLEN k => * | SET n 12 => OK | DEBUG SDSLEN n => -ERR Not an sds encoded string. | DEBUG SDSLEN none => -ERR no such key | SADD s a => 1 | DEBUG SDSLEN s => -ERR Not an sds encoded string.",
    );
    let mut world = World::configured(1, 1, allowed());
    let client = world.connect();
    for (command, wanted) in [
        ("SET key hello", "+OK"),
        (
            "DEBUG SDSLEN key",
            "+key_sds_len:3, key_sds_avail:0, key_zmalloc: 3, val_sds_len:5, val_sds_avail:0, ",
        ),
        ("SETRANGE key 5000 x", ":5001"),
        ("DEBUG SDSLEN key", "+key_sds_len:3, key_sds_avail:0, key_zmalloc: 3, val_sds_len:5001, "),
    ] {
        let args: Vec<Vec<u8>> = command.split(' ').map(|arg| arg.as_bytes().to_vec()).collect();
        world.write(client, &request(&args));
        world.run_until_quiet();
        let reply = String::from_utf8(std::mem::take(world.inbox(client))).expect("it is text");
        assert!(reply.starts_with(wanted), "{command}: {reply}");
    }
}

#[test]
fn checksums_may_be_passed_over() {
    let payload = "\"\\x00\\x05hello\\x0b\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x01\"";
    let refused = "-ERR DUMP payload version or checksum are wrong";
    check(&format!(
        "RESTORE k 0 {payload} => {refused} | DEBUG SET-SKIP-CHECKSUM-VALIDATION 1 => OK | RESTORE k 0 {payload} => OK | GET k => \"hello\" | RESTORE l 0 \"\\x00\\x05hello\\x0d\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x01\" => {refused} | DEBUG SET-SKIP-CHECKSUM-VALIDATION 0 => OK | RESTORE l 0 {payload} => {refused}"
    ));
}

#[test]
fn scripts_may_be_let_near_the_server() {
    let refused = "-ERR This Redis command is not allowed from script";
    check_configured(
        &allowed(),
        &format!(
            "EVAL \"return redis.pcall('DEBUG', 'PROTOCOL', 'integer')\" 0 => {refused} | DEBUG SET-DISABLE-DENY-SCRIPTS 1 => OK \
             | EVAL \"return redis.pcall('DEBUG', 'PROTOCOL', 'integer')\" 0 => 12345 | MULTI => OK \
             | EVAL \"return redis.call('CONFIG', 'GET', 'port')\" 0 => QUEUED | EXEC => [[\"port\" \"6379\"]] \
             | SET k v => OK | EVAL \"redis.call('DEBUG', 'RELOAD') return redis.call('GET', 'k')\" 0 => \"v\" \
             | EVAL \"return redis.pcall('SAVE')\" 0 => {refused} | EVAL \"return redis.pcall('MULTI')\" 0 => {refused} \
             | EVAL \"return redis.pcall('EVAL', 'return 1', 0)\" 0 => {refused} | DEBUG SET-DISABLE-DENY-SCRIPTS 0 => OK \
             | EVAL \"return redis.pcall('DEBUG', 'PROTOCOL', 'integer')\" 0 => {refused}"
        ),
    );
}
