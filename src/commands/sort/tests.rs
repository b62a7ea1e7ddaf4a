//! Conversations about SORT.

use crate::sim::{check, check3};

const NUMBERS: &str = "SADD k 3 1 2 10 => 4";
const WORDS: &str = "SADD k b10 a b9 => 3";

#[test]
fn by_value_and_by_bytes() {
    check(&format!(
        "{NUMBERS} | SORT k => [\"1\" \"2\" \"3\" \"10\"] | SORT k DESC => [\"10\" \"3\" \"2\" \"1\"]"
    ));
    check(&format!(
        "{NUMBERS} | SORT k ALPHA => [\"1\" \"10\" \"2\" \"3\"] | SORT k alpha desc asc => [\"1\" \"10\" \"2\" \"3\"]"
    ));
    check(&format!(
        "{WORDS} | SORT k ALPHA => [\"a\" \"b10\" \"b9\"] | SORT_RO k ALPHA DESC => [\"b9\" \"b10\" \"a\"]"
    ));
    check("SADD k 1e3 -.5 +5 5. inf -inf => 6 | SORT k => [\"-inf\" \"-.5\" \"+5\" \"5.\" \"1e3\" \"inf\"]");
    check(
        "SADD k 5. 5 +5 05 => 4 | SORT k => [\"+5\" \"05\" \"5\" \"5.\"] | SORT k DESC => [\"5.\" \"5\" \"05\" \"+5\"]",
    );
    check("SADD k \"1\\x00z\" \"0\" => 2 | SORT k => [\"0\" \"1\\x00z\"]");
    check("SORT x => [] | SORT_RO x ALPHA => [] | SORT x BY w_* GET # => []");
    check3(&format!(
        "{NUMBERS} | SORT k LIMIT 0 2 => [\"1\" \"2\"] | SORT x => [] | SORT k LIMIT 0 1 GET x_* => [nil]"
    ));
}

#[test]
fn what_is_no_number() {
    for bad in ["a", "\"\"", "\" 1\"", "\"1 \"", "nan", "1e400", "1e-400", "1x"] {
        check(&format!(
            "SADD k 1 {bad} => 2 | SORT k => -ERR One or more scores can't be converted into double | SORT k ALPHA => ?[\"1\" {}]",
            if bad.starts_with('"') { bad.into() } else { format!("\"{bad}\"") },
        ));
    }
    check(
        "SADD k 1 2 => 2 | MSET w_1 x w_2 1 => OK | SET d v => OK | SORT k BY w_* STORE d => -ERR One or more scores can't be converted into double | GET d => \"v\"",
    );
}

#[test]
fn limits() {
    for (limit, shown) in [
        ("0 2", "\"1\" \"2\""),
        ("1 2", "\"2\" \"3\""),
        ("2 -1", "\"3\" \"10\""),
        ("-5 1", "\"1\""),
        ("3 9223372036854775807", "\"10\""),
        ("4 1", ""),
        ("9223372036854775807 9223372036854775807", ""),
        ("0 0", ""),
        ("-9223372036854775808 -9223372036854775808", "\"1\" \"2\" \"3\" \"10\""),
    ] {
        check(&format!("{NUMBERS} | SORT k LIMIT {limit} => [{shown}]"));
    }
    check(&format!(
        "{NUMBERS} | SORT k LIMIT 1 2 DESC => [\"3\" \"2\"] | SORT k LIMIT 0 1 LIMIT 1 1 => [\"2\"]"
    ));
}

#[test]
fn weights_of_other_keys() {
    let weights = "MSET w_1 9 w_2 8 w_3 7 => OK";
    check(&format!(
        "{NUMBERS} | {weights} | SORT k BY w_* => [\"10\" \"3\" \"2\" \"1\"] | SORT k BY w_* DESC => [\"1\" \"2\" \"3\" \"10\"]"
    ));
    check(&format!(
        "{NUMBERS} | {weights} | SORT k BY w_* LIMIT 1 2 => [\"3\" \"2\"] | SORT k BY w_*x => [\"1\" \"10\" \"2\" \"3\"]"
    ));
    check(&format!(
        "{NUMBERS} | MSET w_1 b w_2 a w_10 ab => OK | SORT k BY w_* ALPHA => [\"3\" \"2\" \"10\" \"1\"]"
    ));
    check(&format!(
        "{NUMBERS} | SADD w_1 x => 1 | SET w_2 -1 => OK | SORT k BY w_* => [\"2\" \"1\" \"10\" \"3\"]"
    ));
    check(&format!(
        "{NUMBERS} | SET w_3 -5 PX 50 => OK | SORT k BY w_* LIMIT 0 1 => [\"3\"] | +50ms | SORT k BY w_* LIMIT 0 1 => [\"1\"]"
    ));
    check(&format!(
        "{NUMBERS} | {weights} | SORT k BY w_1 => [\"1\" \"2\" \"3\" \"10\"] | SORT k BY # => [\"1\" \"2\" \"3\" \"10\"]"
    ));
    check(&format!(
        "{NUMBERS} | {weights} | SORT k BY nosort BY w_* => [\"1\" \"2\" \"3\" \"10\"] | SORT k BY nosort DESC LIMIT 1 2 => [\"2\" \"3\"]"
    ));
}

#[test]
fn what_other_keys_hold() {
    let others = "MSET n_1 one n_2 two => OK";
    check(&format!(
        "{NUMBERS} | {others} | SORT k GET n_* => [\"one\" \"two\" nil nil] | SORT k LIMIT 0 1 GET # GET n_* GET # => [\"1\" \"one\" \"1\"]"
    ));
    check(&format!(
        "{NUMBERS} | {others} | SORT k LIMIT 1 2 GET plain GET n_* => [nil \"two\" nil nil] | SORT k LIMIT 0 1 GET #x => [nil]"
    ));
    check(&format!(
        "{NUMBERS} | SADD n_1 x => 1 | SET 2 itself => OK | SORT k LIMIT 0 2 GET n_* GET * => [nil nil nil \"itself\"]"
    ));
    check(&format!(
        "{NUMBERS} | SET n_1 007 => OK | SET n_2 12 => OK | SORT_RO k LIMIT 0 2 GET n_* => [\"007\" \"12\"]"
    ));
}

#[test]
fn stores() {
    check(&format!(
        "{NUMBERS} | SORT k STORE d => 4 | TYPE d => list | SORT d DESC => [\"10\" \"3\" \"2\" \"1\"] | SORT d BY nosort => [\"1\" \"2\" \"3\" \"10\"]"
    ));
    check(&format!(
        "{NUMBERS} | SORT k LIMIT 1 2 STORE d => 2 | SORT d BY nosort DESC => [\"3\" \"2\"] | SORT d BY nosort LIMIT 0 1 DESC => [\"3\"]"
    ));
    check(&format!(
        "{NUMBERS} | SET n_1 one => OK | SORT k LIMIT 0 2 GET n_* GET # STORE d => 4 | SORT d BY nosort => [\"one\" \"1\" \"\" \"2\"]"
    ));
    check(
        "SET d v => OK | SORT x STORE d => 0 | EXISTS d => 0 | SORT x STORE d => 0 | SADD k 1 => 1 | SORT k LIMIT 1 1 STORE k => 0 | EXISTS k => 0",
    );
    check(&format!(
        "{NUMBERS} | SORT k STORE k => 4 | TYPE k => list | SORT k STORE e STORE d => 4 | EXISTS e d => 1"
    ));
    check(&format!("{NUMBERS} | SORT k STORE store ASC => 4 | EXISTS store asc => 1"));
    // A set has no order of its own that could be stored.
    check(
        "SADD k 30 5 4 => 3 | SORT k BY nosort => [\"4\" \"5\" \"30\"] | SORT k BY nosort STORE d => 3 | SORT d BY nosort => [\"30\" \"4\" \"5\"]",
    );
    check(
        "SADD k 1 => 1 | PEXPIRE d 50 => 0 | SORT k STORE d => 1 | PEXPIRE d 50 => 1 | SORT k STORE d => 1 | PTTL d => -1",
    );
}

#[test]
fn lists() {
    let list = "RPUSH k 3 1 2 1 10 => 5";
    check(&format!(
        "{list} | SORT k => [\"1\" \"1\" \"2\" \"3\" \"10\"] | SORT k BY nosort => [\"3\" \"1\" \"2\" \"1\" \"10\"]"
    ));
    check(&format!(
        "{list} | SORT k BY nosort DESC => [\"10\" \"1\" \"2\" \"1\" \"3\"] | SORT k BY nosort DESC LIMIT 1 2 => [\"1\" \"2\"]"
    ));
    check(&format!(
        "{list} | SORT k BY nosort LIMIT 1 2 => [\"1\" \"2\"] | SORT k STORE k => 5 | LRANGE k 0 -1 => [\"1\" \"1\" \"2\" \"3\" \"10\"]"
    ));
    check(&format!(
        "{list} | SORT k BY w_* ALPHA GET # GET w_* LIMIT 4 1 => [\"10\" nil] | SORT k BY nosort LIMIT 5 1 => []"
    ));
    check(
        "RPUSH k \"a\\x00z\" \"a\\x00b\" a => 3 | SORT k ALPHA => [\"a\\x00z\" \"a\\x00b\" \"a\"] | SORT k ALPHA STORE d => 3 | LRANGE d 0 -1 => [\"a\" \"a\\x00b\" \"a\\x00z\"]",
    );
    check(
        "CONFIG SET list-max-listpack-size 2 => OK | RPUSH k 5 4 3 2 1 => 5 | SORT k => [\"1\" \"2\" \"3\" \"4\" \"5\"] | SORT k STORE d => 5 | OBJECT ENCODING d => \"quicklist\" | SORT d BY nosort LIMIT 1 3 => [\"2\" \"3\" \"4\"]",
    );
}

#[test]
fn sorted_sets() {
    let zset = "ZADD k 3 a 2 b 1 c 4 d => 4";
    check(&format!(
        "{zset} | SORT k ALPHA DESC => [\"d\" \"c\" \"b\" \"a\"] | SORT k BY nosort => [\"c\" \"b\" \"a\" \"d\"]"
    ));
    check(&format!(
        "{zset} | SORT k BY nosort DESC LIMIT 1 2 => [\"a\" \"b\"] | SORT k BY nosort LIMIT 1 2 => [\"b\" \"a\"]"
    ));
    check(&format!(
        "{zset} | SORT k => -ERR One or more scores can't be converted into double | SORT k BY w_* => [\"a\" \"b\" \"c\" \"d\"]"
    ));
    check(&format!(
        "{zset} | SORT k BY nosort LIMIT 4 1 => [] | SORT k BY nosort GET # LIMIT 3 9 STORE k => 1 | TYPE k => list"
    ));
    check(
        "CONFIG SET zset-max-listpack-entries 1 => OK | ZADD k 2 b 1 c 3 a => 3 | SORT k BY x DESC LIMIT 0 2 => [\"a\" \"b\"] | SORT k ALPHA => [\"a\" \"b\" \"c\"]",
    );
}

#[test]
fn fields_of_hashes() {
    let hashes = "HSET h_1 f 30 g one => 2 | HSET h_2 f 20 => 1 | HSET h_3 f 10 g three => 2";
    check(&format!(
        "{NUMBERS} | {hashes} | SORT k BY h_*->f => [\"10\" \"3\" \"2\" \"1\"] | SORT k BY h_*->f GET # GET h_*->g LIMIT 1 2 => [\"3\" \"three\" \"2\" nil]"
    ));
    check(&format!(
        "{NUMBERS} | {hashes} | SORT k BY h_*->g ALPHA DESC LIMIT 0 2 => [\"3\" \"1\"] | SORT k LIMIT 0 1 GET h_*-> GET h_* => [nil nil]"
    ));
    check(&format!(
        "{NUMBERS} | SET h_1 v => OK | HSET x_1_y \"a->b\" v => 1 | SORT k LIMIT 0 1 GET h_*->f GET x_*_y->a->b => [nil \"v\"]"
    ));
    check(
        "CONFIG SET hash-max-listpack-entries 0 => OK | SADD k 1 2 => 2 | HSET h1 f 2 => 1 | HSET h2 f 1 => 1 | SORT k BY h*->f GET h*->f => [\"1\" \"2\"]",
    );
}

#[test]
fn errors() {
    for options in
        ["FOO", "LIMIT", "LIMIT 0", "LIMIT 0 1 LIMIT", "BY", "GET", "STORE", "ASC x", "LIMIT 1 2 GET"]
    {
        check(&format!("SET k v => OK | SORT k {options} => -ERR syntax error"));
    }
    for options in ["LIMIT a 1", "LIMIT 1 b FOO", "LIMIT 99999999999999999999 1"] {
        check(&format!("SORT k {options} => -ERR value is not an integer or out of range"));
    }
    check("SET k v => OK | SORT k => -WRONGTYPE Operation against a key holding the wrong kind of value");
    check(
        "SADD k 1 => 1 | SORT_RO k STORE d => -ERR syntax error | SORT => -ERR wrong number of arguments for 'sort' command",
    );
}

#[test]
fn its_keys() {
    check(
        "COMMAND GETKEYS SORT k BY x GET y STORE d STORE e => [\"k\" \"e\"] | COMMAND GETKEYS SORT k => [\"k\"]",
    );
    check("COMMAND GETKEYS SORT_RO k GET y => [\"k\"] | COMMAND GETKEYS SORT k LIMIT 0 1 STORE => [\"k\"]");
    check("COMMAND GETKEYSANDFLAGS SORT k STORE d => [[\"k\" [RO access]] [\"d\" [OW update]]]");
}
