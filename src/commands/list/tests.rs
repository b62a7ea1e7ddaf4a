//! Conversations.

use crate::sim::conversation::{check, check_outside_multi, check3};

const WRONG_TYPE: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value";

#[test]
fn pushes_and_pops() {
    check("RPUSH l a b => 2 | LPUSH l c d => 4 | LRANGE l 0 -1 => [\"d\" \"c\" \"a\" \"b\"] | LLEN l => 4");
    check(
        "LPUSHX l a => 0 | RPUSHX l a => 0 | EXISTS l => 0 | RPUSH l a => 1 | LPUSHX l b c => 3 | RPUSHX l d => 4 | LRANGE l 0 -1 => [\"c\" \"b\" \"a\" \"d\"]",
    );
    check(
        "RPUSH l 1 2 3 => 3 | LPOP l => \"1\" | RPOP l => \"3\" | LPOP l => \"2\" | LPOP l => nil | RPOP l => nil | EXISTS l => 0",
    );
    check(
        "RPUSH l a b c d e => 5 | LPOP l 2 => [\"a\" \"b\"] | RPOP l 2 => [\"e\" \"d\"] | LPOP l 0 => [] | LPOP l 9 => [\"c\"] | LPOP l 9 => nil | LPOP l 0 => nil",
    );
    check(
        "RPUSH l 007 -0 -9223372036854775808 9223372036854775808 4095 \"\" => 6 | LRANGE l 0 -1 => [\"007\" \"-0\" \"-9223372036854775808\" \"9223372036854775808\" \"4095\" \"\"]",
    );
    check(
        "RPUSH l a => 1 | LPOP l -1 => -ERR value is out of range, must be positive | LPOP l x => -ERR value is out of range, must be positive",
    );
    check("RPUSH l a => 1 | RPOP l 9223372036854775808 => -ERR value is out of range, must be positive");
    check(
        "LPOP l 1 2 => -ERR wrong number of arguments for 'lpop' command | RPOP l 1 2 => -ERR wrong number of arguments for 'rpop' command",
    );
}

#[test]
fn null_of_each_protocol() {
    check3(
        "LPOP l => nil | LPOP l 1 => nil | LMPOP 1 l LEFT => nil | LMOVE l m LEFT LEFT => nil | LINDEX l 0 => nil | LPOS l a => nil",
    );
    check3("RPUSH l a b => 2 | LPOP l 5 => [\"a\" \"b\"] | LRANGE l 0 -1 => [] | LPOS l a COUNT 0 => []");
}

#[test]
fn other_types_are_refused() {
    for command in [
        "LPUSH s a",
        "RPUSH s a",
        "LPUSHX s a",
        "RPUSHX s a",
        "LPOP s",
        "RPOP s",
        "LPOP s 0",
        "LLEN s",
        "LRANGE s 0 1",
        "LINDEX s x",
        "LSET s x v",
        "LINSERT s BEFORE a b",
        "LREM s 1 a",
        "LTRIM s 0 1",
        "LPOS s a",
        "LMOVE s d LEFT LEFT",
        "LMOVE l s LEFT LEFT",
        "RPOPLPUSH s s",
        "RPOPLPUSH l s",
        "LMPOP 2 none s LEFT",
    ] {
        check(&format!("SET s v => OK | RPUSH l a => 1 | {command} => {WRONG_TYPE} | LLEN l => 1"));
    }
    check(
        "SET s v => OK | LMOVE none s LEFT LEFT => nil | RPUSH l a => 1 | LMPOP 2 l s LEFT => [\"l\" [\"a\"]]",
    );
}

#[test]
fn indexes_and_ranges() {
    check(
        "RPUSH l a b c => 3 | LINDEX l 0 => \"a\" | LINDEX l -1 => \"c\" | LINDEX l 3 => nil | LINDEX l -4 => nil | LINDEX l x => -ERR value is not an integer or out of range | LINDEX none x => nil",
    );
    check(
        "RPUSH l a b c => 3 | LRANGE l 1 1 => [\"b\"] | LRANGE l -100 100 => [\"a\" \"b\" \"c\"] | LRANGE l 2 1 => [] | LRANGE l 3 9 => [] | LRANGE l -2 -1 => [\"b\" \"c\"] | LRANGE none 0 1 => []",
    );
    check(
        "LRANGE none x 1 => -ERR value is not an integer or out of range | LRANGE none 1 9223372036854775808 => -ERR value is not an integer or out of range",
    );
    check(
        "RPUSH l a b => 2 | LRANGE l -9223372036854775808 9223372036854775807 => [\"a\" \"b\"] | LRANGE l 9223372036854775807 -9223372036854775808 => []",
    );
    check(
        "RPUSH l a b c => 3 | LSET l 1 B => OK | LSET l -1 12 => OK | LRANGE l 0 -1 => [\"a\" \"B\" \"12\"] | LSET l 3 x => -ERR index out of range | LSET l -4 x => -ERR index out of range",
    );
    check(
        "LSET none x v => -ERR no such key | RPUSH l a => 1 | LSET l x v => -ERR value is not an integer or out of range",
    );
}

#[test]
fn linsert_goes_beside_the_first_match() {
    check(
        "RPUSH l a b a => 3 | LINSERT l BEFORE a x => 4 | LINSERT l after a y => 5 | LRANGE l 0 -1 => [\"x\" \"a\" \"y\" \"b\" \"a\"] | LINSERT l BEFORE q z => -1 | LINSERT none BEFORE a b => 0",
    );
    check(
        "RPUSH l 10 20 => 2 | LINSERT l AFTER 20 30 => 3 | LINSERT l AFTER 010 40 => -1 | LINDEX l -1 => \"30\" | LINSERT l BEHIND 20 x => -ERR syntax error | LINSERT none BEHIND 20 x => -ERR syntax error",
    );
}

#[test]
fn lrem_counts_from_either_end() {
    check(
        "RPUSH l a b a c a => 5 | LREM l 1 a => 1 | LREM l -1 a => 1 | LRANGE l 0 -1 => [\"b\" \"a\" \"c\"] | LREM l 0 q => 0 | LREM l 0 a => 1 | LREM l 0 b => 1 | LREM l 5 c => 1 | EXISTS l => 0 | LREM l 0 a => 0",
    );
    check("RPUSH l 1 2 1 01 1 => 5 | LREM l -2 1 => 2 | LRANGE l 0 -1 => [\"1\" \"2\" \"01\"]");
    check(
        "LREM l x a => -ERR value is not an integer or out of range | LREM l -9223372036854775808 a => -ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
    );
}

#[test]
fn ltrim_keeps_a_range() {
    check(
        "RPUSH l a b c d => 4 | LTRIM l 1 -2 => OK | LRANGE l 0 -1 => [\"b\" \"c\"] | LTRIM l -9 9 => OK | LLEN l => 2 | LTRIM l 5 9 => OK | EXISTS l => 0 | LTRIM l 0 1 => OK",
    );
    check(
        "RPUSH l a b => 2 | LTRIM l 1 0 => OK | EXISTS l => 0 | LTRIM none x 1 => -ERR value is not an integer or out of range",
    );
}

#[test]
fn lpos_finds_indexes() {
    check(
        "RPUSH l a b c 1 2 3 c c => 8 | LPOS l c => 2 | LPOS l c RANK 2 => 6 | LPOS l c RANK -1 => 7 | LPOS l c RANK 9 => nil | LPOS l c COUNT 2 => [2 6] | LPOS l c COUNT 0 => [2 6 7]",
    );
    check(
        "RPUSH l a b c 1 2 3 c c => 8 | LPOS l c RANK -1 COUNT 2 => [7 6] | LPOS l c RANK 2 COUNT 0 => [6 7] | LPOS l c COUNT 0 MAXLEN 3 => [2] | LPOS l c MAXLEN 2 => nil | LPOS l c MAXLEN 2 RANK -1 COUNT 0 => [7 6] | LPOS l 3 => 5 | LPOS l 03 => nil",
    );
    check(
        "LPOS none a => nil | LPOS none a COUNT 1 => [] | RPUSH l a => 1 | LPOS l b COUNT 0 => [] | LPOS l a COUNT 0 COUNT 1 => [0]",
    );
    check(
        "LPOS l a RANK 0 => -ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start from the end of the list",
    );
    check(
        "LPOS l a RANK -9223372036854775808 => -ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807 | LPOS l a RANK -9223372036854775807 => nil",
    );
    check(
        "LPOS l a COUNT -1 => -ERR COUNT can't be negative | LPOS l a COUNT x => -ERR COUNT can't be negative | LPOS l a MAXLEN -1 => -ERR MAXLEN can't be negative",
    );
    check(
        "LPOS l a RANK x => -ERR value is not an integer or out of range | LPOS l a COUNT => -ERR syntax error | LPOS l a FOO 1 => -ERR syntax error",
    );
}

#[test]
fn elements_move_between_lists() {
    check(
        "RPUSH l a b c => 3 | LMOVE l m LEFT RIGHT => \"a\" | LMOVE l m RIGHT LEFT => \"c\" | LRANGE m 0 -1 => [\"c\" \"a\"] | RPOPLPUSH l m => \"b\" | EXISTS l => 0 | LRANGE m 0 -1 => [\"b\" \"c\" \"a\"]",
    );
    check(
        "RPUSH l a b 3 => 3 | LMOVE l l LEFT RIGHT => \"a\" | RPOPLPUSH l l => \"a\" | RPOPLPUSH l l => \"3\" | LRANGE l 0 -1 => [\"3\" \"a\" \"b\"] | LMOVE l l LEFT LEFT => \"3\" | LMOVE l l RIGHT RIGHT => \"b\" | LRANGE l 0 -1 => [\"3\" \"a\" \"b\"]",
    );
    check(
        "RPUSH l a => 1 | LMOVE l l LEFT RIGHT => \"a\" | LLEN l => 1 | LMOVE l m UP RIGHT => -ERR syntax error | LMOVE l m LEFT x => -ERR syntax error | LMOVE none m LEFT RIGHT => nil | EXISTS m => 0",
    );
}

#[test]
fn lmpop_takes_from_the_first_list_there_is() {
    check(
        "RPUSH l a b c => 3 | LMPOP 2 none l LEFT => [\"l\" [\"a\"]] | LMPOP 3 none l none RIGHT COUNT 5 => [\"l\" [\"c\" \"b\"]] | LMPOP 2 none l LEFT => nil | EXISTS l => 0",
    );
    check(
        "LMPOP 0 l LEFT => -ERR numkeys should be greater than 0 | LMPOP x l LEFT => -ERR numkeys should be greater than 0 | LMPOP 2 l LEFT => -ERR syntax error | LMPOP 1 l UP => -ERR syntax error",
    );
    check(
        "LMPOP 1 l LEFT COUNT 0 => -ERR count should be greater than 0 | LMPOP 1 l LEFT COUNT => -ERR syntax error | LMPOP 1 l LEFT COUNT 1 COUNT 1 => -ERR syntax error | LMPOP 1 l LEFT FOO 1 => -ERR syntax error",
    );
    check("LMPOP 9223372036854775807 l LEFT => -ERR syntax error");
}

/// `RPUSH key` with so many elements of so many bytes, and its answer.
fn pushing(count: usize, bytes: usize) -> String {
    format!("RPUSH l{} => *", format!(" {}", "e".repeat(bytes)).repeat(count))
}

#[test]
fn a_list_is_long_beyond_the_limit_and_short_again_below_half_of_it() {
    let encoding = |name: &str| format!("OBJECT ENCODING l => \"{name}\"");
    let (short, long) = (encoding("listpack"), encoding("quicklist"));
    // 83 elements of 98 bytes take 83 * 101 + 7 = 8390 bytes; to push them counts 83 * 98 + 7 = 8141.
    let push = pushing(83, 98);
    check(&format!(
        "{push} | {short} | RPUSH l x => 84 | {long} | LTRIM l 0 40 => OK | {long} | LPOP l => * | {short}"
    ));
    let set = "CONFIG SET list-max-listpack-size 4 => OK";
    check_outside_multi(&format!(
        "{set} | RPUSH l a b c d => 4 | {short} | RPUSH l e => 5 | {long} | LPOP l => \"a\" | {long}"
    ));
    check_outside_multi(&format!(
        "{set} | RPUSH l a b c d => 4 | LINSERT l BEFORE q x => -1 | {long} | RPOP l => \"d\" | {long} | LREM l 1 a => 1 | {short}"
    ));
    check_outside_multi(&format!(
        "{set} | RPUSH l a b c d => 4 | LINSERT l BEFORE q x => -1 | CONFIG SET list-max-listpack-size 100 => OK | LPOP l 0 => [] | {long} | LPOP l 1 => [\"a\"] | {short}"
    ));
    let large = "y".repeat(9000);
    check(&format!(
        "RPUSH l a b => 2 | LSET l 0 {large} => OK | {long} | LINDEX l 0 => \"{large}\" | LSET l 0 a => OK | {short} | LRANGE l 0 -1 => [\"a\" \"b\"]"
    ));
    check(&format!(
        "RPUSH m {large} => 1 | LMOVE m l LEFT LEFT => * | {long} | RPUSH l a => 2 | LPOP l => * | {short}"
    ));
}

#[test]
fn long_lists_answer_as_short_ones() {
    let large = "z".repeat(9000);
    check(&format!(
        "{} | LPUSH l first {large} => 402 | RPUSH l {large} last => 404 | LINDEX l 0 => \"{large}\" | LINDEX l 1 => \"first\" | LPOS l last => 403 | LPOS l {large} RANK -1 => 402 | LINSERT l BEFORE last 5 => 405 | LINSERT l AFTER {large} 6 => 406 | LRANGE l 1 2 => [\"6\" \"first\"] | LREM l 0 {large} => 2 | LRANGE l -2 -1 => [\"5\" \"last\"] | LREM l -1 first => 1 | LSET l 0 seven => OK | LTRIM l 0 200 => OK | LLEN l => 201 | LPOP l => \"seven\" | COPY l m => 1 | LLEN m => 200 | RPOPLPUSH l m => * | LLEN m => 201 | DEL l => 1 | LLEN l => 0",
        pushing(400, 100)
    ));
}
