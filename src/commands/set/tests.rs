//! Conversations about sets.

use crate::sim::{check, check3};

const WRONG: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value";

#[test]
fn members_come_and_go() {
    check("SADD s a b a => 2 | SADD s b c => 1 | SCARD s => 3 | SMEMBERS s => ?[\"a\" \"b\" \"c\"]");
    check("SADD s a => 1 | SREM s b => 0 | SREM s a a b => 1 | EXISTS s => 0 | SREM s a => 0 | SCARD s => 0");
    check("SADD s a b => 2 | SISMEMBER s a => 1 | SISMEMBER s c => 0 | SISMEMBER x a => 0");
    check("SADD s a 1 => 2 | SMISMEMBER s a 1 2 => [1 1 0] | SMISMEMBER x a b => [0 0] | TYPE s => set");
    check("SADD s \"\" \"a\\x00b\" => 2 | SISMEMBER s \"\" => 1 | SMEMBERS s => ?[\"\" \"a\\x00b\"]");
    check("SMEMBERS x => [] | SADD s => -ERR wrong number of arguments for 'sadd' command");
    check3("SADD s a b => 2 | SMEMBERS s => ~[\"a\" \"b\"] | SMEMBERS x => ~[] | SMISMEMBER s a x => [1 0]");
}

#[test]
fn integers_are_in_order() {
    check(
        "SADD s 3 -70000 1 2 => 4 | SMEMBERS s => [\"-70000\" \"1\" \"2\" \"3\"] | OBJECT ENCODING s => \"intset\"",
    );
    check(
        "SADD s 3 1 => 2 | SADD s 01 => 1 | SMEMBERS s => [\"1\" \"3\" \"01\"] | OBJECT ENCODING s => \"listpack\"",
    );
    check(
        "SADD a 3 2 1 => 3 | SADD b 2 9 3 => 3 | SINTER a b => [\"2\" \"3\"] | SUNION a b => [\"1\" \"2\" \"3\" \"9\"]",
    );
    check(
        "SADD a 3 2 1 => 3 | SADD b 2 => 1 | SDIFF a b => [\"1\" \"3\"] | SDIFF a x => [\"1\" \"2\" \"3\"]",
    );
}

#[test]
fn other_types_are_refused() {
    for command in [
        "SADD k a",
        "SREM k a",
        "SISMEMBER k a",
        "SMISMEMBER k a b",
        "SCARD k",
        "SMEMBERS k",
        "SPOP k",
        "SPOP k 0",
        "SRANDMEMBER k",
        "SRANDMEMBER k 0",
        "SMOVE k s a",
        "SMOVE s k nosuch",
        "SSCAN k 0 WHAT",
        "SINTER x k",
        "SINTER k x",
        "SINTERCARD 2 x k LIMIT 1",
        "SUNION s k",
        "SDIFF x k",
        "SINTERSTORE d x k",
        "SUNIONSTORE d s k",
        "SDIFFSTORE d s k",
    ] {
        check(&format!(
            "SET k v => OK | SADD s a => 1 | SET d v => OK | {command} => {WRONG} | GET d => \"v\""
        ));
    }
    check("SET k v => OK | SMOVE x k a => 0 | SUNIONSTORE k x => 0 | EXISTS k => 0");
}

#[test]
fn encodings() {
    let config =
        "CONFIG SET set-max-intset-entries 4 set-max-listpack-entries 3 set-max-listpack-value 5 => OK";
    for (build, encoding) in [
        ("SADD s 1 2 3 4 => 4", "intset"),
        ("SADD s 1 => 1 | SADD s 1 1 1 1 1 => 0", "hashtable"),
        ("SADD s 1 2 3 4 5 => 5", "hashtable"),
        ("SADD s 1 2 3 4 => 4 | SADD s 5 => 1", "hashtable"),
        ("SADD s 1 2 => 2 | SADD s a => 1", "listpack"),
        ("SADD s 1 2 3 => 3 | SADD s a => 1", "hashtable"),
        ("SADD s 1 2 => 2 | SADD s abcdef => 1", "hashtable"),
        ("SADD s 123456 => 1 | SADD s a => 1", "hashtable"),
        ("SADD s abcde => 1", "listpack"),
        ("SADD s a b c => 3", "listpack"),
        ("SADD s a b c => 3 | SADD s d => 1", "hashtable"),
        ("SADD s a b c d => 4 | SREM s a b c => 3", "hashtable"),
        ("SADD s a a a a => 1", "hashtable"),
        ("SADD s a 1 => 2 | SREM s a => 1", "listpack"),
        ("SADD t a b c 1 => 4 | SADD u 1 => 1 | SINTERSTORE s t u => 1", "intset"),
        ("SADD t a b c 1 => 4 | SINTERSTORE s t t => 4", "hashtable"),
        ("SADD t a b c 1 => 4 | SADD u a 2 => 2 | SINTERSTORE s t u => 1", "listpack"),
        ("SADD t 1 2 3 => 3 | SADD u 4 => 1 | SUNIONSTORE s t u => 4", "intset"),
        ("SADD t 1 2 3 => 3 | SADD u 4 5 => 2 | SUNIONSTORE s t u => 5", "hashtable"),
        ("SADD t 1 2 => 2 | SADD u a => 1 | SUNIONSTORE s t u => 3", "listpack"),
        ("SADD t a b 1 => 3 | SADD u a b => 2 | SDIFFSTORE s t u => 1", "intset"),
        ("SADD t a b c d e => 5 | SADD u a b c d => 4 | SDIFFSTORE s t u u u => 1", "listpack"),
        (
            "SADD t a b c d e => 5 | SADD u a => 1 | SADD v b => 1 | SADD w c => 1 | SDIFFSTORE s t u v w => 2",
            "hashtable",
        ),
        ("SADD t a => 1 | SMOVE t s a => 1", "listpack"),
        ("SADD t 1 => 1 | SMOVE t s 1 => 1", "intset"),
        ("SADD s a b c d e f => 6 | SPOP s 5 => *", "listpack"),
        ("SADD s a b c d e f => 6 | SPOP s 4 => *", "hashtable"),
        ("SADD s 1 2 3 => 3 | COPY s t => 1 | DEL s => 1 | RENAME t s => OK", "intset"),
    ] {
        check(&format!("{config} | {build} | OBJECT ENCODING s => \"{encoding}\""));
    }
    check("CONFIG SET set-max-intset-entries 0 => OK | SADD s 1 => 1 | OBJECT ENCODING s => \"listpack\"");
}

#[test]
fn intersections() {
    let sets = "SADD a 1 x y z => 4 | SADD b z 1 w => 3 | SADD c 1 z q r s => 5";
    check(&format!(
        "{sets} | SINTER a b c => ?[\"1\" \"z\"] | SINTER a => ?[\"1\" \"x\" \"y\" \"z\"] | SINTER a none => []"
    ));
    check(&format!(
        "{sets} | SINTERCARD 3 a b c => 2 | SINTERCARD 3 a b c LIMIT 1 => 1 | SINTERCARD 2 a b limit 0 => 2"
    ));
    check(&format!("{sets} | SINTERCARD 2 a none => 0 | SINTERCARD 1 a LIMIT 1 LIMIT 3 => 3"));
    check(&format!(
        "{sets} | SINTERSTORE d a b => 2 | SMEMBERS d => ?[\"1\" \"z\"] | SINTERSTORE a a b => 2 | SCARD a => 2"
    ));
    check(&format!(
        "{sets} | SINTERSTORE a a none => 0 | EXISTS a => 0 | SET s v => OK | SINTERSTORE s b c => 2 | TYPE s => set"
    ));
    check3(&format!(
        "{sets} | SINTER b c => ?[\"z\" \"1\"] | SINTER none a => ~[] | SINTER a a => ?[\"1\" \"x\" \"y\" \"z\"]"
    ));
    check(
        "SADD a 1 => 1 | SADD b 1 => 1 | EXPIRE d 10 => 0 | SINTERSTORE d a b => 1 | EXPIRE d 9 => 1 | SINTERSTORE d a b => 1 | TTL d => -1",
    );
}

#[test]
fn errors_of_sintercard() {
    for (args, error) in [
        ("0 k", "numkeys should be greater than 0"),
        ("-1 k", "numkeys should be greater than 0"),
        ("x k", "numkeys should be greater than 0"),
        ("2 k", "Number of keys can't be greater than number of args"),
        ("9223372036854775807 k", "Number of keys can't be greater than number of args"),
        ("1 k LIMIT", "syntax error"),
        ("1 k LIMIT -1", "LIMIT can't be negative"),
        ("1 k LIMIT x", "LIMIT can't be negative"),
        ("1 k WHAT 1", "syntax error"),
        ("1 k k", "syntax error"),
    ] {
        check(&format!("SINTERCARD {args} => -ERR {error}"));
    }
}

#[test]
fn unions() {
    let sets = "SADD a 1 x => 2 | SADD b z 1 => 2 | SADD c q => 1";
    check(&format!(
        "{sets} | SUNION a b c none => ?[\"1\" \"x\" \"z\" \"q\"] | SUNION none => [] | SUNION a a => ?[\"1\" \"x\"]"
    ));
    check(&format!(
        "{sets} | SUNIONSTORE d a b => 3 | SMEMBERS d => ?[\"1\" \"x\" \"z\"] | SUNIONSTORE a a c => 3 | SCARD a => 3"
    ));
    check(&format!("{sets} | SUNIONSTORE a none => 0 | EXISTS a => 0"));
    check3(&format!("{sets} | SUNION a c => ?[\"1\" \"x\" \"q\"] | SUNION none none => ~[]"));
}

#[test]
fn differences() {
    let sets = "SADD a 1 x y => 3 | SADD b z 1 => 2 | SADD c x => 1";
    check(&format!(
        "{sets} | SDIFF a b => ?[\"x\" \"y\"] | SDIFF a b c => [\"y\"] | SDIFF none a => [] | SDIFF a a => []"
    ));
    check(&format!("{sets} | SDIFF a none => ?[\"1\" \"x\" \"y\"] | SDIFF a b a => []"));
    check(&format!(
        "{sets} | SDIFFSTORE d a c => 2 | SMEMBERS d => ?[\"1\" \"y\"] | SDIFFSTORE d a a => 0 | EXISTS d => 0"
    ));
    check(&format!(
        "{sets} | SDIFFSTORE a a c => 2 | SCARD a => 2 | SDIFFSTORE a none b => 0 | EXISTS a => 0"
    ));
    check3(&format!("{sets} | SDIFF a b => ?[\"x\" \"y\"] | SDIFF none => ~[]"));
    // More lookups than members: all are copied, and the others taken away.
    check(
        "SADD a 1 2 3 4 5 6 7 8 => 8 | SADD b 1 => 1 | SADD c 2 => 1 | SADD e x 3 => 2 | SDIFF a b c e => [\"4\" \"5\" \"6\" \"7\" \"8\"]",
    );
    check(
        "SADD a 1 2 3 4 5 6 7 x => 8 | SADD b 1 => 1 | SADD c 2 => 1 | SADD e x => 1 | SDIFFSTORE d a b c e => 5 | SCARD d => 5",
    );
}

#[test]
fn moves() {
    check(
        "SADD a 1 2 => 2 | SMOVE a b 1 => 1 | SMEMBERS b => [\"1\"] | SMOVE a b 9 => 0 | SMOVE a b 2 => 1 | EXISTS a => 0 | SCARD b => 2",
    );
    check(
        "SADD a x => 1 | SMOVE a a x => 1 | SMOVE a a y => 0 | SADD b x => 1 | SMOVE a b x => 1 | SCARD b => 1 | EXISTS a => 0",
    );
}

#[test]
fn pops() {
    check(
        "SPOP x => nil | SPOP x 3 => [] | SADD s a => 1 | SPOP s 0 => [] | SPOP s => \"a\" | EXISTS s => 0",
    );
    check("SADD s a b c => 3 | SPOP s 5 => ?[\"a\" \"b\" \"c\"] | EXISTS s => 0");
    check("SADD s 1 2 3 4 => 4 | SPOP s 3 => * | SCARD s => 1 | SPOP s => * | EXISTS s => 0");
    check3("SADD s a b => 2 | SPOP s 2 => ~[\"a\" \"b\"] | SPOP s => nil | SPOP s 1 => ~[]");
    for count in ["-1", "x", "99999999999999999999", "1.5"] {
        check(&format!("SPOP x {count} => -ERR value is out of range, must be positive"));
    }
    check("SPOP s 1 2 => -ERR syntax error");
}

#[test]
fn random_members() {
    check("SRANDMEMBER x => nil | SRANDMEMBER x 3 => [] | SRANDMEMBER x -3 => []");
    check(
        "SADD s a => 1 | SRANDMEMBER s => \"a\" | SRANDMEMBER s 0 => [] | SRANDMEMBER s 5 => [\"a\"] | SRANDMEMBER s -3 => [\"a\" \"a\" \"a\"]",
    );
    check("SADD s 1 2 => 2 | SRANDMEMBER s 2 => ?[\"1\" \"2\"] | SRANDMEMBER s 1 => * | SCARD s => 2");
    check3(
        "SADD s a b => 2 | SRANDMEMBER s 2 => [\"a\" \"b\"] | SRANDMEMBER x => nil | SRANDMEMBER x 1 => []",
    );
    check(
        "SRANDMEMBER s x => -ERR value is not an integer or out of range | SRANDMEMBER s 1 2 => -ERR syntax error",
    );
    check(
        "SRANDMEMBER s -9223372036854775808 => -ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
    );
}

#[test]
fn scans() {
    check("SSCAN x 0 => [\"0\" []] | SSCAN x 0 WHAT => [\"0\" []] | SSCAN x y => -ERR invalid cursor");
    check(
        "SADD s 3 1 2 => 3 | SSCAN s 0 => [\"0\" [\"1\" \"2\" \"3\"]] | SSCAN s 7 COUNT 1 => [\"0\" [\"1\" \"2\" \"3\"]]",
    );
    check(
        "SADD s ab ac b => 3 | SSCAN s 0 MATCH a* => [\"0\" [\"ab\" \"ac\"]] | SSCAN s 0 MATCH * COUNT 1 => [\"0\" [\"ab\" \"ac\" \"b\"]]",
    );
    let config = "CONFIG SET set-max-listpack-entries 1 => OK";
    check(&format!("{config} | SADD s a b c => 3 | SSCAN s 0 COUNT 1000 => [\"0\" ?[\"a\" \"b\" \"c\"]]"));
    check(&format!("{config} | SADD s a b c => 3 | SSCAN s 0 MATCH b COUNT 1000 => [\"0\" [\"b\"]]"));
    check("SADD s a => 1 | SSCAN s 0 TYPE set => -ERR syntax error | SSCAN s 0 COUNT 0 => -ERR syntax error");
    check(
        "SADD s a => 1 | SSCAN s 0 COUNT x => -ERR value is not an integer or out of range | SSCAN s 0 MATCH => -ERR syntax error",
    );
}

#[test]
fn a_set_ends_with_its_time() {
    check(
        "SADD s a => 1 | PEXPIRE s 50 => 1 | SADD s b => 1 | +49ms | SCARD s => 2 | +1ms | SCARD s => 0 | SADD s c => 1 | TTL s => -1",
    );
    check(
        "SADD a 1 => 1 | SADD b 1 => 1 | PEXPIRE a 50 => 1 | +50ms | SINTER a b => [] | SUNION a b => [\"1\"] | SMOVE a b 1 => 0",
    );
}

#[test]
fn a_watched_set() {
    check("a> WATCH s => OK | b> SADD s a => 1 | a> MULTI => OK | a> PING => QUEUED | a> EXEC => nil");
    check(
        "SADD s a => 1 | a> WATCH s => OK | b> SADD s a => 0 | b> SREM s b => 0 | a> MULTI => OK | a> PING => QUEUED | a> EXEC => [PONG]",
    );
}
