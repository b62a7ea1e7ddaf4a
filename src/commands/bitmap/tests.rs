//! Conversations about bitmaps. What the replies are was asked of Valkey 9.1.

use crate::sim::{check, check_changes, check_outside_multi};

#[test]
fn single_bits() {
    check(
        "GETBIT k 7 => 0 | SETBIT k 7 1 => 0 | SETBIT k 7 1 => 1 | GET k => \"\\x01\" | GETBIT k 7 => 1 | GETBIT k 800 => 0",
    );
    check(
        "SETBIT k 17 0 => 0 | STRLEN k => 3 | OBJECT ENCODING k => \"raw\" | SETBIT k 1000 1 => 0 | STRLEN k => 126 | BITCOUNT k => 1",
    );
    check(
        "SET k 12345 => OK | SETBIT k 0 0 => 0 | OBJECT ENCODING k => \"raw\" | GET k => \"12345\" | SETBIT k 0 1 => 0 | GET k => \"\\xb12345\"",
    );
    check(
        "SET k abc PX 1000 => OK | SETBIT k 0 0 => 0 | OBJECT ENCODING k => \"raw\" | SETBIT k 90 1 => 0 | PTTL k => 1000",
    );
    check(
        "SETBIT k -1 1 => -ERR bit offset is not an integer or out of range | SETBIT k 4294967296 1 => -ERR bit offset is not an integer or out of range",
    );
    check(
        "SETBIT k 1 2 => -ERR bit is not an integer or out of range | SETBIT k #1 1 => -ERR bit offset is not an integer or out of range | EXISTS k => 0",
    );
}

#[test]
fn counts_and_positions() {
    check(
        "SET k foobar => OK | BITCOUNT k => 26 | BITCOUNT k 1 => 22 | BITCOUNT k 1 1 => 6 | BITCOUNT k 5 30 BIT => 17 | BITCOUNT k -2 -3 => 0 | BITCOUNT k -100 -200 => 0",
    );
    check(
        "BITCOUNT m => 0 | BITCOUNT m x => -ERR value is not an integer or out of range | SET k foobar => OK | BITCOUNT k 0 1 X => -ERR syntax error | BITCOUNT k 0 1 BIT 3 => -ERR syntax error",
    );
    check("SET n 12345 => OK | BITCOUNT n => 17 | BITPOS n 1 => 2");
    check(
        "BITCOUNT m 1 x no => -ERR syntax error | BITCOUNT m x 1 no => -ERR value is not an integer or out of range | BITPOS m 0 => 0 | BITPOS m 1 => -1 | SET e \"\" => OK | BITPOS e 0 => -1 | BITPOS e 1 => -1",
    );
    check(
        "SET k \"\\xff\\xff\" => OK | BITPOS k 0 => 16 | BITPOS k 0 1 => 16 | BITPOS k 0 0 -1 => -1 | BITPOS k 0 2 => -1 | BITPOS k 1 9 -1 BIT => 9",
    );
    check(
        "SET k \"\\x00\\x0f\" => OK | BITPOS k 1 => 12 | BITPOS k 1 0 0 => -1 | BITPOS k 0 12 15 BIT => -1 | BITPOS k 2 => -ERR The bit argument must be 1 or 0.",
    );
}

#[test]
fn operations() {
    check(
        "SET a abc => OK | SET b \"\\xff\" => OK | BITOP AND d a b => 3 | GET d => \"a\\x00\\x00\" | BITOP OR d a b m => 3 | GET d => \"\\xffbc\" | BITOP XOR d a a => 3 | BITCOUNT d => 0",
    );
    check(
        "SET a \"\\xf0\" => OK | BITOP NOT a a => 1 | GET a => \"\\x0f\" | OBJECT ENCODING a => \"raw\" | BITOP NOT d m => 0 | BITOP AND a m m => 0 | EXISTS a => 0",
    );
    check(
        "SET a \"\\x0f\" => OK | SET b \"\\x33\" => OK | SET c \"\\x55\" => OK | BITOP DIFF d a b c => 1 | GET d => \"\\x08\" | BITOP DIFF1 d a b c => 1 | GET d => \"\\x70\" | BITOP ANDOR d a b c => 1 | GET d => \"\\x07\" | BITOP ONE d a b c => 1 | GET d => \"\\x68\"",
    );
    check(
        "BITOP NOT d a b => -ERR BITOP NOT must be called with a single source key. | BITOP BAD d a => -ERR syntax error | BITOP diff d a => -ERR BITOP DIFF must be called with at least two source keys.",
    );
}

#[test]
fn fields() {
    check(
        "BITFIELD k SET u8 #0 200 INCRBY u8 #0 100 GET u4 #1 => [0 44 12] | BITFIELD_RO k GET i8 0 GET u3 2 => [44 5] | BITFIELD m => [] | BITFIELD m GET u8 0 => [0] | EXISTS m => 0",
    );
    check(
        "BITFIELD k OVERFLOW SAT INCRBY i8 0 -1000 INCRBY i8 0 1000 OVERFLOW FAIL INCRBY i8 0 1 OVERFLOW WRAP INCRBY i8 0 1 => [-128 127 nil -128]",
    );
    check(
        "BITFIELD k OVERFLOW SAT SET u8 0 -1000 GET u8 0 SET i8 0 -1000 GET i8 0 SET i8 0 -9223372036854775808 GET i8 0 => [0 255 -1 -128 -128 127]",
    );
    check(
        "BITFIELD k SET i64 3 -2 GET i64 3 GET u63 4 => [0 -2 9223372036854775806] | BITFIELD k OVERFLOW FAIL INCRBY i64 3 -9223372036854775807 => [nil]",
    );
    check(
        "BITFIELD k OVERFLOW FAIL SET u8 20 1000 => [nil] | STRLEN k => 4 | BITFIELD k GET u8 #4611686018427387904 => [0]",
    );
    check(
        "BITFIELD k GET u64 0 => -ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is. | BITFIELD k GET u8 => -ERR syntax error | BITFIELD k OVERFLOW NO => -ERR Invalid OVERFLOW type specified",
    );
    check(
        "BITFIELD k SET u8 0 x => -ERR value is not an integer or out of range | BITFIELD k GET u8 #-1 => -ERR bit offset is not an integer or out of range | BITFIELD_RO k SET u8 0 1 => -ERR BITFIELD_RO only supports the GET subcommand",
    );
}

#[test]
fn only_a_change_is_seen_by_watchers() {
    let after = |write: &str, reply: &str| {
        format!(
            "SETBIT b 9 1 => 0 | SET n 7 => OK | WATCH b n new => OK | b> {write} => * | MULTI => OK | PING => QUEUED | EXEC => {reply}"
        )
    };
    for write in [
        "SETBIT b 9 1",
        "SETBIT n 0 0",
        "BITFIELD b SET u1 9 1",
        "BITFIELD b OVERFLOW FAIL INCRBY u1 9 1",
        "BITFIELD new OVERFLOW FAIL SET u8 16 256",
    ] {
        check_outside_multi(&after(write, "[PONG]"));
    }
    for write in [
        "SETBIT b 9 0",
        "SETBIT b 16 0",
        "SETBIT new 0 0",
        "BITFIELD b SET u1 9 0",
        "BITFIELD new SET u1 0 0",
    ] {
        check_outside_multi(&after(write, "nil"));
    }
}

#[test]
fn each_field_counts_as_changed_and_only_if_it_was() {
    check_changes("SETBIT new 0 0 => 1 | SETBIT new 0 0 => 0 | SETBIT new 0 1 => 1 | SETBIT new 8 0 => 1");
    check_changes(
        "BITFIELD other SET i5 0 11 => 1 | BITFIELD other SET i5 0 11 => 0 | BITFIELD other SET i5 0 1 INCRBY i5 0 1 => 2 | \
         BITFIELD other SET i5 0 2 GET i5 0 INCRBY i5 0 1 => 1 | BITFIELD other OVERFLOW FAIL INCRBY i5 0 100 => 0 | \
         BITFIELD other GET i5 0 => 0 | BITFIELD other OVERFLOW FAIL SET i5 80 100 => 0 | BITFIELD third SET i5 0 0 INCRBY i5 0 0 => 2",
    );
}
