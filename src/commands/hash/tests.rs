//! Conversations about hashes.
//!
//! Where Redis 8 and Valkey 9 answer differently about fields that expire, these follow Valkey: a negative time is "invalid
//! expire time in 'hexpire' command" (Redis: "invalid expire time, must be >= 0"); a bad count is "numfields should be
//! greater than 0 …" (Redis: "Parameter `numFields` should be greater than 0"); HGETEX and HSETEX take a time that is past and
//! delete the fields (Redis refuses 0); HSETEX knows NX and XX, which Redis does not; the words before FIELDS come in any order
//! and FIELDS is last. Replies that are no errors are the same in both.

use crate::sim::{check, check3};

const WRONG: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value";
const COUNT: &str = "-ERR numfields should be greater than 0 and match the provided number of fields";

/// `$W` and `$N` are the two errors that come often.
fn say(text: &str) {
    check(&text.replace("$W", WRONG).replace("$N", COUNT));
}

#[test]
fn set_and_get() {
    say(
        "HSET h a 1 b 2 => 2 | HSET h a 3 c 4 => 1 | HGET h a => \"3\" | HGET h x => nil | HGET x a => nil | HLEN h => 3 | HLEN x => 0",
    );
    say("HMSET h a 1 b x => OK | HMGET h a x b => [\"1\" nil \"x\"] | HMGET x a b => [nil nil]");
    say("HSETNX h a 1 => 1 | HSETNX h a 2 => 0 | HSETNX h b 2 => 1 | HGETALL h => [\"a\" \"1\" \"b\" \"2\"]");
    say(
        "HSET h a hello b \"\" n -123 => 3 | HSTRLEN h a => 5 | HSTRLEN h b => 0 | HSTRLEN h n => 4 | HSTRLEN h x => 0 | HSTRLEN x a => 0",
    );
    say("HSET h a 1 => 1 | HEXISTS h a => 1 | HEXISTS h b => 0 | HEXISTS x a => 0");
    say("HSET h a 1 a 2 a 3 => 1 | HGET h a => \"3\"");
    say(
        "HSET h \"\" \"\" 007 +1 7 1.0 => 3 | HGETALL h => [\"\" \"\" \"007\" \"+1\" \"7\" \"1.0\"] | HGET h 7 => \"1.0\" | HGET h 07 => nil",
    );
    say("HSET h \"\\x00\\r\\n\\xff\" \"\\xff\\n\" => 1 | HGET h \"\\x00\\r\\n\\xff\" => \"\\xff\\n\"");
    check3(
        "HGET h a => nil | HSET h a 1 b 2 => 2 | HGETALL h => {\"a\": \"1\" \"b\": \"2\"} | HGETALL x => {} | HKEYS h => [\"a\" \"b\"] | HMGET h a x => [\"1\" nil]",
    );
}

#[test]
fn whole_hashes() {
    say(
        "HSET h a 1 b 2 => 2 | HGETALL h => [\"a\" \"1\" \"b\" \"2\"] | HKEYS h => [\"a\" \"b\"] | HVALS h => [\"1\" \"2\"]",
    );
    say("HGETALL x => [] | HKEYS x => [] | HVALS x => []");
    let long = "v".repeat(65);
    say(&format!(
        "HSET h a 1 b {long} => 2 | OBJECT ENCODING h => \"hashtable\" | HKEYS h => ?[\"a\" \"b\"] | HVALS h => ?[\"1\" \"{long}\"]"
    ));
}

#[test]
fn deleting_the_last_field_deletes_the_hash() {
    say(
        "HSET h a 1 b 2 c 3 => 3 | HDEL h a x b b => 2 | EXISTS h => 1 | HDEL h c => 1 | EXISTS h => 0 | HDEL h c => 0",
    );
    let long = "v".repeat(65);
    say(&format!(
        "HSET h a {long} b 2 => 2 | HDEL h a => 1 | OBJECT ENCODING h => \"hashtable\" | HDEL h b a => 1 | EXISTS h => 0"
    ));
    say(
        "HSET h a 1 => 1 | HDEL h x => 0 | b> WATCH h => OK | HDEL h x => 0 | b> MULTI => OK | b> EXEC => [] | b> WATCH h => OK | HDEL h a => 1 | b> MULTI => OK | b> EXEC => nil",
    );
}

#[test]
fn a_key_of_another_type_is_an_error() {
    for command in [
        "HSET k a 1",
        "HMSET k a 1",
        "HSETNX k a 1",
        "HGET k a",
        "HMGET k a",
        "HGETALL k",
        "HKEYS k",
        "HVALS k",
        "HDEL k a",
        "HLEN k",
        "HSTRLEN k a",
        "HEXISTS k a",
        "HINCRBY k a 1",
        "HINCRBYFLOAT k a 1",
        "HRANDFIELD k",
        "HRANDFIELD k 1",
        "HSCAN k 0",
        "HSCAN k 0 FOO",
        "HEXPIRE k 1 FIELDS 1 a",
        "HPEXPIRE k 1 FIELDS 1 a",
        "HEXPIREAT k 1 FIELDS 1 a",
        "HPEXPIREAT k 1 FIELDS 1 a",
        "HTTL k FIELDS 1 a",
        "HPTTL k FIELDS 1 a",
        "HEXPIRETIME k FIELDS 1 a",
        "HPEXPIRETIME k FIELDS 1 a",
        "HPERSIST k FIELDS 1 a",
        "HGETEX k FIELDS 1 a",
        "HGETEX k EX x FIELDS 1 a",
        "HSETEX k FIELDS 1 a 1",
        "HSETEX k EX x FIELDS 1 a 1",
        "HGETDEL k FIELDS 1 a",
    ] {
        say(&format!("SET k v => OK | {command} => $W | GET k => \"v\""));
    }
    say("HSET h a 1 => 1 | GET h => $W | INCR h => $W | APPEND h x => $W | SET h v => OK | GET h => \"v\"");
}

#[test]
fn arity() {
    for (command, name) in [
        ("HSET h a", "hset"),
        ("HSET h a 1 b", "hset"),
        ("HMSET h a 1 b", "hmset"),
        ("HGET h", "hget"),
        ("HDEL h", "hdel"),
        ("HMGET h", "hmget"),
        ("HSETNX h a", "hsetnx"),
        ("HLEN", "hlen"),
        ("HINCRBY h a", "hincrby"),
        ("HSCAN h", "hscan"),
        ("HEXPIRE h 1 FIELDS 1", "hexpire"),
        ("HTTL h FIELDS 1", "httl"),
        ("HSETEX h FIELDS 1 a", "hsetex"),
        ("HGETEX h FIELDS 1", "hgetex"),
        ("HGETDEL h FIELDS 1", "hgetdel"),
    ] {
        say(&format!("{command} => -ERR wrong number of arguments for '{name}' command | EXISTS h => 0"));
    }
}

#[test]
fn numbers_in_fields() {
    say("HINCRBY h a 5 => 5 | HINCRBY h a -7 => -2 | HGET h a => \"-2\" | HINCRBY h a 0 => -2");
    say("HINCRBY h a x => -ERR value is not an integer or out of range | EXISTS h => 0");
    say(
        "HSET h s abc f 1.5 sp \" 1\" => 3 | HINCRBY h s 1 => -ERR hash value is not an integer | HINCRBY h f 1 => -ERR hash value is not an integer | HINCRBY h sp 1 => -ERR hash value is not an integer",
    );
    say(
        "HSET h n 9223372036854775807 => 1 | HINCRBY h n 1 => -ERR increment or decrement would overflow | HGET h n => \"9223372036854775807\" | HINCRBY h n -1 => 9223372036854775806",
    );
    say(
        "HINCRBYFLOAT h a 0.1 => \"0.1\" | HINCRBYFLOAT h a 0.2 => \"0.3\" | HINCRBYFLOAT h a -0.3 => \"0\" | HINCRBYFLOAT h b 1e3 => \"1000\"",
    );
    say(
        "HSET h s abc => 1 | HINCRBYFLOAT h s 1 => -ERR hash value is not a float | HINCRBYFLOAT h s x => -ERR value is not a valid float",
    );
    say(
        "HINCRBYFLOAT h a inf => -ERR value is NaN or Infinity | HINCRBYFLOAT h a nan => -ERR value is not a valid float | EXISTS h => 0",
    );
    say(
        "HSET h a 10 => 1 | HINCRBYFLOAT h a 1.5 => \"11.5\" | HINCRBY h a 1 => -ERR hash value is not an integer",
    );
    let long = "v".repeat(65);
    say(&format!(
        "HSET h x {long} a 1 => 2 | HINCRBY h a 2 => 3 | HINCRBYFLOAT h a 0.5 => \"3.5\" | HGET h a => \"3.5\" | HINCRBY h n 4 => 4"
    ));
}

#[test]
fn encodings() {
    let (fits, long) = ("v".repeat(64), "v".repeat(65));
    say(&format!(
        "HSET h a {fits} => 1 | OBJECT ENCODING h => \"listpack\" | HSET h a {long} => 0 | OBJECT ENCODING h => \"hashtable\" | HSET h a 1 => 0 | OBJECT ENCODING h => \"hashtable\""
    ));
    say(&format!(
        "HSET h {fits} 1 => 1 | OBJECT ENCODING h => \"listpack\" | HSETNX h {long} 1 => 1 | OBJECT ENCODING h => \"hashtable\" | HLEN h => 2"
    ));
    say(&format!("HSET h a 1 => 1 | HSETNX h a {long} => 0 | OBJECT ENCODING h => \"listpack\""));
    say(
        "CONFIG SET hash-max-listpack-entries 2 => OK | HSET h a 1 b 2 => 2 | OBJECT ENCODING h => \"listpack\" | HSET h c 3 => 1 | OBJECT ENCODING h => \"hashtable\" | HDEL h b c => 2 | OBJECT ENCODING h => \"hashtable\"",
    );
    say(
        "CONFIG SET hash-max-listpack-entries 2 => OK | HSET h a 1 a 2 a 3 => 1 | OBJECT ENCODING h => \"hashtable\"",
    );
    say(
        "HSET h a 1 b 2 => 2 | CONFIG SET hash-max-listpack-entries 1 => OK | OBJECT ENCODING h => \"listpack\" | HSET h a 2 => 0 | OBJECT ENCODING h => \"hashtable\"",
    );
    say(
        "CONFIG SET hash-max-ziplist-value 3 => OK | HSET h a 123 => 1 | OBJECT ENCODING h => \"listpack\" | HINCRBY h a 9000 => 9123 | OBJECT ENCODING h => \"hashtable\"",
    );
    let pairs = |count: usize| (0..count).map(|n| format!(" f{n} {n}")).collect::<String>();
    say(&format!(
        "HSET h{} => 512 | OBJECT ENCODING h => \"listpack\" | HSET h f511 x => 0 | OBJECT ENCODING h => \"listpack\" | HSET h more x => 1 | OBJECT ENCODING h => \"hashtable\" | HLEN h => 513 | HGET h f77 => \"77\"",
        pairs(512)
    ));
    say(&format!(
        "HSET h{} => 513 | OBJECT ENCODING h => \"hashtable\" | HGET h f512 => \"512\"",
        pairs(513)
    ));
}

#[test]
fn copies_and_moves() {
    let long = "v".repeat(65);
    say(&format!(
        "HSET {{t}}a a {long} b 2 => 2 | COPY {{t}}a {{t}}b => 1 | HSET {{t}}a b 3 => 0 | HGET {{t}}b b => \"2\" | RENAME {{t}}b {{t}}c => OK | HLEN {{t}}c => 2 | OBJECT ENCODING {{t}}c => \"hashtable\""
    ));
    say("HSET a f 1 => 1 | COPY a b => 1 | RENAME b c => OK | HGETALL c => [\"f\" \"1\"] | TYPE c => hash");
    say(
        "HSET h a 1 => 1 | EXPIRE h 1 => 1 | HSET h b 2 => 1 | HDEL h a => 1 | +1000ms | EXISTS h => 0 | HGETALL h => []",
    );
}

#[test]
fn random_fields() {
    say(
        "HRANDFIELD h => nil | HRANDFIELD h 3 => [] | HRANDFIELD h -3 WITHVALUES => [] | HSET h a 1 => 1 | HRANDFIELD h => \"a\" | HRANDFIELD h 0 => [] | HRANDFIELD h 5 => [\"a\"] | HRANDFIELD h -2 => [\"a\" \"a\"]",
    );
    say(
        "HSET h a 1 => 1 | HRANDFIELD h 2 WITHVALUES => [\"a\" \"1\"] | HRANDFIELD h -2 WITHVALUES => [\"a\" \"1\" \"a\" \"1\"] | HRANDFIELD h 0 WITHVALUES => []",
    );
    check3(
        "HSET h a 1 => 1 | HRANDFIELD h 2 WITHVALUES => [[\"a\" \"1\"]] | HRANDFIELD h -2 WITHVALUES => [[\"a\" \"1\"] [\"a\" \"1\"]] | HRANDFIELD h 1 => [\"a\"] | HRANDFIELD x => nil",
    );
    say(
        "HSET h a 1 b 2 c 3 => 3 | HRANDFIELD h 3 => ?[\"a\" \"b\" \"c\"] | HRANDFIELD h 9223372036854775807 => ?[\"a\" \"b\" \"c\"]",
    );
    let long = "v".repeat(65);
    say(&format!(
        "HSET h a 1 b {long} c 3 => 3 | HRANDFIELD h 4 => ?[\"a\" \"b\" \"c\"] | HDEL h b => 1 | HDEL h a => 1 | HRANDFIELD h -2 WITHVALUES => [\"c\" \"3\" \"c\" \"3\"]"
    ));
    say(
        "HRANDFIELD h x => -ERR value is not an integer or out of range | HRANDFIELD h 1 WITH => -ERR syntax error | HRANDFIELD h 1 WITHVALUES x => -ERR syntax error",
    );
    say(
        "HRANDFIELD h -9223372036854775808 => -ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807 | HRANDFIELD h -4611686018427387904 WITHVALUES => -ERR value is out of range | HRANDFIELD h 4611686018427387904 WITHVALUES => -ERR value is out of range",
    );
}

#[test]
fn scanning() {
    say(
        "HSCAN x 0 => [\"0\" []] | HSET h a 1 b 2 => 2 | HSCAN h 0 => [\"0\" [\"a\" \"1\" \"b\" \"2\"]] | HSCAN h 0 NOVALUES => [\"0\" [\"a\" \"b\"]] | HSCAN h 0 MATCH b* => [\"0\" [\"b\" \"2\"]] | HSCAN h 77 COUNT 1 => [\"0\" [\"a\" \"1\" \"b\" \"2\"]]",
    );
    check3("HSET h a 1 => 1 | HSCAN h 0 => [\"0\" [\"a\" \"1\"]]");
    let long = "v".repeat(65);
    say(&format!(
        "HSET h a 1 b {long} 3 c => 3 | HSCAN h 0 COUNT 100 NOVALUES => [\"0\" ?[\"a\" \"b\" \"3\"]] | HSCAN h 0 COUNT 100 MATCH b => [\"0\" [\"b\" \"{long}\"]]"
    ));
    say(
        "HSCAN x a => -ERR invalid cursor | HSCAN x 0 FOO => [\"0\" []] | HSET h a 1 => 1 | HSCAN h 0 FOO => -ERR syntax error | HSCAN h 0 COUNT 0 => -ERR syntax error | HSCAN h 0 COUNT x => -ERR value is not an integer or out of range",
    );
    say(
        "HSET h a 1 => 1 | HSCAN h 0 MATCH => -ERR syntax error | HSCAN h 0 TYPE hash => -ERR syntax error | HSCAN h 0 NOSCORES => -ERR NOSCORES option can only be used in ZSCAN",
    );
}
