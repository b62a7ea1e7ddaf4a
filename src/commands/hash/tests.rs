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

#[test]
fn fields_expire() {
    say(
        "HSET h a 1 b 2 c 3 => 3 | HPEXPIRE h 100 FIELDS 2 a x => [1 -2] | +99ms | HGET h a => \"1\" | +1ms | HGET h a => nil | HMGET h a b => [nil \"2\"] | HGETALL h => ?[\"b\" \"2\" \"c\" \"3\"]",
    );
    say(
        "HSET h a 1 b 2 => 2 | HEXPIRE h 1 FIELDS 1 a => [1] | +1000ms | HEXISTS h a => 0 | HSTRLEN h a => 0 | HKEYS h => [\"b\"] | HVALS h => [\"2\"] | HTTL h FIELDS 1 a => [-2] | HDEL h a => 0 | HRANDFIELD h => \"b\" | HRANDFIELD h 9 => [\"b\"] | HRANDFIELD h -2 WITHVALUES => [\"b\" \"2\" \"b\" \"2\"] | HSCAN h 0 => [\"0\" [\"b\" \"2\"]]",
    );
    say(
        "HSET h a 1 b 2 => 2 | HPEXPIREAT h 1700000000050 FIELDS 1 a => [1] | +49ms | HEXISTS h a => 1 | +1ms | HEXISTS h a => 0",
    );
    say(
        "HSET h a 1 b 2 => 2 | HEXPIREAT h 1700000001 FIELDS 1 a => [1] | +999ms | HEXISTS h a => 1 | +1ms | HEXISTS h a => 0",
    );
    say(
        "HSET h a 1 => 1 | HPEXPIRE h 50 FIELDS 1 a => [1] | +50ms | HGETALL h => [] | HRANDFIELD h => nil | HRANDFIELD h 3 => [] | HRANDFIELD h -3 => []",
    );
    check3(
        "HSET h a 1 b 2 => 2 | HPEXPIRE h 50 FIELDS 1 a => [1] | +50ms | HGETALL h => {\"b\": \"2\"} | HGET h a => nil | HGETDEL h FIELDS 2 a b => [nil \"2\"]",
    );
}

#[test]
fn what_a_command_does_to_an_overdue_field() {
    let gone = "HSET h a 1 b 2 => 2 | HPEXPIRE h 50 FIELDS 1 a => [1] | +50ms";
    say(&format!("{gone} | HLEN h => 2 | HSETNX h a 5 => 1 | HTTL h FIELDS 1 a => [-1] | HLEN h => 2"));
    say(&format!("{gone} | HSET h a 5 => 1 | HTTL h FIELDS 1 a => [-1]"));
    say(&format!("{gone} | HINCRBY h a 5 => 5 | HTTL h FIELDS 1 a => [-1]"));
    say(&format!("{gone} | HINCRBYFLOAT h a 0.5 => \"0.5\" | HTTL h FIELDS 1 a => [-1]"));
    say(&format!(
        "{gone} | HDEL h a => 0 | HGETDEL h FIELDS 1 a => [nil] | HPERSIST h FIELDS 1 a => [-2] | HEXPIRE h 9 FIELDS 1 a => [-2] | HGETEX h EX 9 FIELDS 1 a => [nil]"
    ));
    say(&format!(
        "{gone} | HSETEX h FXX FIELDS 1 a 1 => 0 | HSETEX h FNX KEEPTTL FIELDS 1 a 7 => 1 | HTTL h FIELDS 1 a => [-1] | HGET h a => \"7\""
    ));
    say(&format!(
        "{gone} | HDEL h b => 1 | EXISTS h => 1 | HLEN h => 1 | HGETALL h => [] | tick | EXISTS h => 0"
    ));
}

#[test]
fn overdue_fields_go_by_themselves() {
    say(
        "HSET h a 1 b 2 => 2 | HPEXPIRE h 50 FIELDS 1 a => [1] | +1000ms | tick | HLEN h => 1 | HPEXPIRE h 50 FIELDS 1 b => [1] | +1000ms | tick | EXISTS h => 0 | DBSIZE => 0",
    );
    say(
        "HSET {t}h a 1 b 2 => 2 | HPEXPIRE {t}h 50 FIELDS 1 a => [1] | RENAME {t}h {t}i => OK | COPY {t}i {t}j => 1 | +1000ms | tick | HLEN {t}i => 1 | HLEN {t}j => 1",
    );
    say(
        "HSET h a 1 b 2 => 2 | HPEXPIRE h 50 FIELDS 2 a b => [1 1] | MOVE h 1 => 1 | SELECT 1 => OK | +1000ms | tick | DBSIZE => 0",
    );
    say(
        "HSET h a 1 b 2 => 2 | HPEXPIRE h 50 FIELDS 2 a b => [1 1] | SWAPDB 0 1 => OK | SELECT 1 => OK | DBSIZE => 1 | +1000ms | tick | DBSIZE => 0",
    );
    say(
        "HSET h a 1 b 2 => 2 | HPEXPIRE h 50 FIELDS 1 a => [1] | DEL h => 1 | HSET h a 1 => 1 | +1000ms | tick | HLEN h => 1",
    );
    say(
        "HSET h a 1 b 2 => 2 | HPEXPIRE h 500 FIELDS 1 a => [1] | b> WATCH h => OK | +2000ms | tick | b> MULTI => OK | b> EXEC => nil",
    );
    say(
        "HSET h a 1 b 2 => 2 | HPEXPIRE h 50 FIELDS 1 a => [1] | CLIENT PAUSE 5000 WRITE => OK | +1000ms | tick | HLEN h => 2 | HGET h a => nil | CLIENT UNPAUSE => OK | tick | HLEN h => 1",
    );
    say("HSETEX h PX 50 FIELDS 2 a 1 b 2 => 1 | EXPIRE h 100 => 1 | +1000ms | tick | EXISTS h => 0");
}

#[test]
fn expire_conditions() {
    say(
        "HSET h a 1 b 2 => 2 | HEXPIRE h 100 XX FIELDS 1 a => [0] | HEXPIRE h 100 GT FIELDS 1 a => [0] | HEXPIRE h 100 LT FIELDS 1 a => [1] | HEXPIRE h 200 LT FIELDS 1 a => [0] | HEXPIRE h 50 GT FIELDS 1 a => [0] | HEXPIRE h 200 GT FIELDS 1 a => [1] | HEXPIRE h 10 NX FIELDS 3 a b x => [0 1 -2] | HTTL h FIELDS 2 a b => [200 10]",
    );
    say(
        "HSET h a 1 => 1 | HEXPIRE h 10 NX GT FIELDS 1 a => -ERR NX and XX, GT or LT options at the same time are not compatible | HEXPIRE h 10 GT LT FIELDS 1 a => -ERR GT and LT options at the same time are not compatible | HEXPIRE h 10 XX LT FIELDS 1 a => [0] | HEXPIRE h 10 FOO FIELDS 0 a => -ERR Unsupported option FOO",
    );
    say(
        "HSET h a 1 b 2 => 2 | HEXPIRE h 0 FIELDS 2 a a => [2 -2] | OBJECT ENCODING h => \"listpack\" | HPEXPIREAT h 1 FIELDS 1 b => [2] | EXISTS h => 0",
    );
    say(
        "HEXPIRE h 10 FIELDS 2 a b => [-2 -2] | HPERSIST h FIELDS 1 a => [-2] | HTTL h FIELDS 1 a => [-2] | EXISTS h => 0",
    );
    for name in ["HEXPIRE", "HPEXPIRE", "HEXPIREAT", "HPEXPIREAT"] {
        let small = name.to_lowercase();
        say(&format!(
            "HSET h a 1 => 1 | {name} h -1 FIELDS 1 a => -ERR invalid expire time in '{small}' command | {name} h x FIELDS 1 a => -ERR value is not an integer or out of range | HTTL h FIELDS 1 a => [-1]"
        ));
        say(&format!(
            "{name} h 1 FIELDS 0 a => $N | {name} h 1 FIELDS 2 a => $N | {name} h 1 FIELDS 1 a b => $N | {name} h 1 FIELDS -1 a => $N | {name} h 1 FIELDS x a => -ERR value is not an integer or out of range | {name} h 1 FIELD 1 a => $N | {name} h 1 FIELDS 9223372036854775807 a => $N"
        ));
    }
    say(
        "HSET h a 1 => 1 | HEXPIRE h 9223372036854775807 FIELDS 1 a => -ERR invalid expire time in 'hexpire' command | HPEXPIRE h 9223372036854775807 FIELDS 1 a => -ERR invalid expire time in 'hpexpire' command | HPEXPIREAT h 9223372036854775807 FIELDS 1 a => [1] | HPEXPIRETIME h FIELDS 1 a => [9223372036854775807]",
    );
}

#[test]
fn times_left() {
    say(
        "HSET h a 1 b 2 => 2 | HPEXPIRE h 1600 FIELDS 1 a => [1] | HTTL h FIELDS 3 a b x => [2 -1 -2] | HPTTL h FIELDS 1 a => [1600] | HEXPIRETIME h FIELDS 2 a b => [1700000002 -1] | HPEXPIRETIME h FIELDS 2 a x => [1700000001600 -2]",
    );
    say(
        "HSET h a 1 b 2 => 2 | HPEXPIRE h 1600 FIELDS 1 a => [1] | HPERSIST h FIELDS 3 a b x => [1 -1 -2] | HTTL h FIELDS 1 a => [-1] | OBJECT ENCODING h => \"hashtable\" | +2000ms | HLEN h => 2",
    );
    for name in ["HTTL", "HPTTL", "HEXPIRETIME", "HPEXPIRETIME"] {
        say(&format!(
            "{name} h FIELDS 2 a => -ERR syntax error | {name} h FIELDS 0 a => -ERR syntax error | {name} h FIELDS x a => -ERR value is not an integer or out of range | {name} h FOO 1 a => -ERR syntax error"
        ));
    }
    say(
        "HPERSIST h FIELDS 2 a => $N | HPERSIST h FIELDS x a => -ERR value is not an integer or out of range | HPERSIST h FOO 1 a => -ERR syntax error",
    );
    say(
        "HSET h a 1 => 1 | HEXPIRE h 9 FIELDS 1 a => [1] | HINCRBY h a 1 => 2 | HINCRBYFLOAT h a 1 => \"3\" | HTTL h FIELDS 1 a => [9] | HSET h a 1 => 0 | HTTL h FIELDS 1 a => [-1]",
    );
}

#[test]
fn hgetex() {
    say(
        "HGETEX h FIELDS 1 a => [nil] | HSET h a 1 b 2 => 2 | HGETEX h FIELDS 2 a x => [\"1\" nil] | OBJECT ENCODING h => \"listpack\" | HGETEX h EX 9 FIELDS 2 a x => [\"1\" nil] | HTTL h FIELDS 2 a b => [9 -1] | HGETEX h PERSIST FIELDS 2 a b => [\"1\" \"2\"] | HTTL h FIELDS 1 a => [-1]",
    );
    say(
        "HSET h a 1 => 1 | HGETEX h PX 100 FIELDS 1 a => [\"1\"] | HPTTL h FIELDS 1 a => [100] | HGETEX h EXAT 1700000005 FIELDS 1 a => [\"1\"] | HPTTL h FIELDS 1 a => [5000] | HGETEX h PXAT 1700000000700 FIELDS 1 a => [\"1\"] | HPTTL h FIELDS 1 a => [700]",
    );
    say(
        "HSET h a 1 b 2 => 2 | HGETEX h EX 0 FIELDS 1 a => [\"1\"] | HGETALL h => [\"b\" \"2\"] | HGETEX h PXAT 1 FIELDS 1 b => [\"2\"] | EXISTS h => 0",
    );
    say(
        "HGETEX h EX 1 PX 1 FIELDS 1 a => -ERR syntax error | HGETEX h EX 1 PERSIST FIELDS 1 a => -ERR syntax error | HGETEX h PERSIST PERSIST FIELDS 1 a => [nil] | HGETEX h KEEPTTL FIELDS 1 a => -ERR syntax error | HGETEX h EX FIELDS 1 a => -ERR syntax error | HGETEX h NX FIELDS 1 a => -ERR syntax error",
    );
    say(
        "HGETEX h EX -1 FIELDS 1 a => -ERR invalid expire time in 'hgetex' command | HGETEX h EX x FIELDS 1 a => -ERR value is not an integer or out of range | HGETEX h FIELDS 0 a => $N | HGETEX h FIELDS 2 a => $N | HGETEX h EX 10 a b => $N | HGETEX h EX 10 FIELDS => $N",
    );
}

#[test]
fn hsetex() {
    say(
        "HSETEX h FIELDS 1 a 1 => 1 | OBJECT ENCODING h => \"listpack\" | HSETEX h EX 9 FIELDS 2 a 2 b 3 => 1 | HTTL h FIELDS 2 a b => [9 9] | HSETEX h KEEPTTL FIELDS 1 a 4 => 1 | HTTL h FIELDS 1 a => [9] | HSETEX h FIELDS 1 a 5 => 1 | HTTL h FIELDS 1 a => [-1] | HGET h a => \"5\"",
    );
    say(
        "HSETEX h PX 100 FIELDS 1 a 1 => 1 | HPTTL h FIELDS 1 a => [100] | HSETEX h EXAT 1700000005 FIELDS 1 a 1 => 1 | HPTTL h FIELDS 1 a => [5000] | HSETEX h PXAT 1700000000700 FIELDS 1 a 1 => 1 | HPTTL h FIELDS 1 a => [700] | +700ms | HGET h a => nil",
    );
    say(
        "HSETEX h FXX FIELDS 1 a 1 => 0 | EXISTS h => 0 | HSETEX h FNX FIELDS 1 a 1 => 1 | HSETEX h FNX FIELDS 2 b 1 a 1 => 0 | HSETEX h FXX FIELDS 2 a 1 b 1 => 0 | HSETEX h FXX EX 9 FIELDS 1 a 2 => 1 | HGETALL h => [\"a\" \"2\"]",
    );
    say(
        "HSETEX h XX FIELDS 1 a 1 => 0 | HSETEX h NX FIELDS 1 a 1 => 1 | HSETEX h NX FIELDS 1 b 1 => 0 | HSETEX h XX FNX FIELDS 1 b 1 => 1 | HSETEX h EX 9 XX FXX FIELDS 1 b 2 => 1 | HLEN h => 2",
    );
    say(
        "HSET h a 1 b 2 => 2 | HSETEX h EX 0 FIELDS 2 a 1 c 1 => 1 | HGETALL h => [\"b\" \"2\"] | HSETEX h PXAT 1 FIELDS 1 b 1 => 1 | EXISTS h => 0 | HSETEX h PXAT 1 FIELDS 1 b 1 => 1 | EXISTS h => 0",
    );
    say(
        "HSETEX h FNX FXX FIELDS 1 a 1 => -ERR syntax error | HSETEX h NX XX FIELDS 1 a 1 => -ERR syntax error | HSETEX h EX 9 KEEPTTL FIELDS 1 a 1 => -ERR syntax error | HSETEX h PERSIST FIELDS 1 a 1 => -ERR syntax error | HSETEX h FNX FNX EX 5 EX 9 FIELDS 1 a 1 => 1 | HTTL h FIELDS 1 a => [9]",
    );
    say(
        "HSETEX h EX 9 FIELDS 1 a 1 b => $N | HSETEX h EX 9 FIELDS 2 a 1 => $N | HSETEX h EX 9 FIELDS 0 a 1 => $N | HSETEX h EX 9 FIELDS x a 1 => -ERR value is not an integer or out of range | HSETEX h FIELDS 1 a 1 EX 9 => $N | HSETEX h EX 9 a 1 b 1 => $N | HSETEX h FIELDS 9223372036854775807 a 1 => $N",
    );
    say(
        "HSETEX h XX EX -1 FIELDS 1 a 1 => 0 | HSETEX h FXX EX -1 FIELDS 1 a 1 => -ERR invalid expire time in 'hsetex' command | HSETEX h EX x FIELDS 1 a 1 => -ERR value is not an integer or out of range | EXISTS h => 0",
    );
}

#[test]
fn hgetdel() {
    say(
        "HGETDEL h FIELDS 2 a b => [nil nil] | HSET h a 1 b 2 c 3 => 3 | HGETDEL h FIELDS 3 a x a => [\"1\" nil nil] | HGETALL h => [\"b\" \"2\" \"c\" \"3\"] | HGETDEL h FIELDS 2 b c => [\"2\" \"3\"] | EXISTS h => 0",
    );
    say(
        "HGETDEL h FIELDS 2 a => $N | HGETDEL h FIELDS 0 a => $N | HGETDEL h FIELDS -1 a => $N | HGETDEL h FIELDS x a => -ERR value is not an integer or out of range | HGETDEL h FOO 1 a => -ERR syntax error",
    );
}

#[test]
fn fields_drawn_where_most_are_overdue() {
    let numbers = || (0..40).map(|number| format!(" f{number}"));
    let set: String = numbers().map(|field| format!("{field} v")).collect();
    let overdue: String = numbers().collect();
    check(&format!(
        "DEBUG SET-ACTIVE-EXPIRE 0 => * | HSET h{set} a 1 => 41 | HPEXPIRE h 1 FIELDS 40{overdue} => * | +10ms | HRANDFIELD h -3 WITHVALUES => [\"a\" \"1\" \"a\" \"1\" \"a\" \"1\"] | HRANDFIELD h 1 => [\"a\"] | HRANDFIELD h 9 => [\"a\"] | HRANDFIELD h -1 => [\"a\"] | HRANDFIELD h => \"a\""
    ));
}
