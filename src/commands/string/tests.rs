//! Conversations about strings.

use crate::sim::{check, check3};

#[test]
fn set_and_get() {
    check("GET k => nil | SET k v => OK | GET k => \"v\" | SET k w => OK | GET k => \"w\" | STRLEN k => 1");
    check("SET k \"\" => OK | GET k => \"\" | STRLEN k => 0 | STRLEN x => 0");
    check("SET k \"\\x00\\r\\n\\xff\" => OK | GET k => \"\\x00\\r\\n\\xff\" | STRLEN k => 4");
    check("set k v => OK | gEt k => \"v\"");
    check("GET => -ERR wrong number of arguments for 'get' command");
    check("SET k => -ERR wrong number of arguments for 'set' command");
    check3("GET k => nil | SET k v => OK | GET k => \"v\" | MGET k x => [\"v\" nil] | SET k w NX => nil");
}

#[test]
fn integers_read_back_as_they_were_written() {
    check(
        "SET k 12 => OK | GET k => \"12\" | SET k 012 => OK | GET k => \"012\" | SET k -0 => OK | GET k => \"-0\"",
    );
    check(
        "SET k +1 => OK | GET k => \"+1\" | SET k \" 1\" => OK | GET k => \" 1\" | SET k -1 => OK | STRLEN k => 2",
    );
    check("SET k 9223372036854775808 => OK | GET k => \"9223372036854775808\"");
    check("SET k -9223372036854775808 => OK | GET k => \"-9223372036854775808\" | STRLEN k => 20");
}

#[test]
fn set_conditions() {
    check(
        "SET k v XX => nil | GET k => nil | SET k v NX => OK | SET k w NX => nil | GET k => \"v\" | SET k w XX => OK | GET k => \"w\"",
    );
    check(
        "SET k v NX XX => -ERR syntax error | SET k v XX NX => -ERR syntax error | SET k v WHAT => -ERR syntax error",
    );
    check(
        "SET k v IFEQ v => nil | SET k v => OK | SET k w IFEQ x => nil | GET k => \"v\" | SET k w IFEQ v => OK | GET k => \"w\"",
    );
    check(
        "SET k 5 => OK | SET k 6 IFEQ 5 => OK | SET k 7 IFEQ 06 => nil | GET k => \"6\" | SET k v IFEQ 6 NX => -ERR syntax error",
    );
    check("SET k v IFEQ => -ERR syntax error");
}

#[test]
fn set_returns_the_old_value() {
    check(
        "SET k v GET => nil | SET k w GET => \"v\" | SET k x NX GET => \"w\" | GET k => \"w\" | SET k y XX GET => \"w\" | GET k => \"y\"",
    );
    check("SET k v XX GET => nil | GET k => nil | SET k v NX GET => nil | GET k => \"v\"");
    check(
        "SET k a GET IFEQ b => nil | SET k a => OK | SET k b GET IFEQ x => \"a\" | SET k b GET IFEQ a => \"a\" | GET k => \"b\"",
    );
    check("GETSET k a => nil | GETSET k b => \"a\" | GET k => \"b\"");
    check("SET k v PX 100 => OK | GETSET k w => \"v\" | +200ms | GET k => \"w\"");
    check("GETDEL k => nil | SET k v => OK | GETDEL k => \"v\" | GET k => nil");
}

#[test]
fn set_expiries() {
    check("SET k v PX 100 => OK | +99ms | GET k => \"v\" | +1ms | GET k => nil | STRLEN k => 0");
    check("SET k v EX 1 => OK | +999ms | GET k => \"v\" | +1ms | GET k => nil");
    check("SET k v EXAT 1700000001 => OK | +999ms | GET k => \"v\" | +1ms | GET k => nil");
    check("SET k v PXAT 1700000000050 => OK | +49ms | GET k => \"v\" | +1ms | GET k => nil");
    check("SET k v PX 100 => OK | SET k w => OK | +200ms | GET k => \"w\"");
    check("SET k v PX 100 => OK | SET k w KEEPTTL => OK | GET k => \"w\" | +100ms | GET k => nil");
    check(
        "SET k 1 PX 100 => OK | INCR k => 2 | APPEND k 0 => 2 | SETRANGE k 0 9 => 2 | GET k => \"90\" | +100ms | GET k => nil",
    );
    check("SET k 1.5 PX 100 => OK | INCRBYFLOAT k 1 => \"2.5\" | +100ms | GET k => nil | INCR k => 1");
    check("SET k v PX 50 => OK | +50ms | SET k w NX => OK | GET k => \"w\" | +50ms | GET k => \"w\"");
    check("SET k v PX 50 => OK | +50ms | SET k w XX => nil | SET k w KEEPTTL => OK | +50ms | GET k => \"w\"");
}

#[test]
fn set_expiry_errors() {
    for bad in
        ["EX 0", "EX -1", "PX 0", "EXAT 0", "PXAT -5", "EX 9223372036854775807", "PX 9223372036854775807"]
    {
        check(&format!("SET k v {bad} => -ERR invalid expire time in 'set' command | GET k => nil"));
        check(&format!("SET k v => OK | GETEX k {bad} => -ERR invalid expire time in 'getex' command"));
    }
    for bad in ["EX x", "EX 1.5", "PX \"\"", "PXAT 99999999999999999999"] {
        check(&format!("SET k v {bad} => -ERR value is not an integer or out of range | GET k => nil"));
        check(&format!("SET k v => OK | GETEX k {bad} => -ERR value is not an integer or out of range"));
    }
    // Of one option that comes twice, the last value counts.
    check(
        "SET k v EX 10 EX 20 => OK | TTL k => 20 | SET k v PX x PX 30000 => OK | TTL k => 30 | SET k v EX 0 EX 40 => OK | TTL k => 40",
    );
    check(
        "SET k v EX 40 EX 0 => -ERR invalid expire time in 'set' command | MSETEX 1 k v EX 10 EX 20 => 1 | TTL k => 20",
    );
    for bad in [
        "EX",
        "EX 1 PX 1",
        "EX 1 EX",
        "EX 1 EX 2 PX 3",
        "EXAT 1 EX 1",
        "PXAT 1 PX 1",
        "EX 1 KEEPTTL",
        "KEEPTTL EX 1",
        "PERSIST",
        "PXAT 1 EXAT 1",
    ] {
        check(&format!("SET k v {bad} => -ERR syntax error | GET k => nil"));
    }
    check(
        "SETEX k 0 v => -ERR invalid expire time in 'setex' command | SETEX k x v => -ERR value is not an integer or out of range",
    );
    check(
        "PSETEX k -1 v => -ERR invalid expire time in 'psetex' command | PSETEX k 1 => -ERR wrong number of arguments for 'psetex' command",
    );
}

#[test]
fn setex_and_setnx() {
    check(
        "SETEX k 1 v => OK | GET k => \"v\" | +1000ms | GET k => nil | PSETEX k 10 v => OK | +10ms | GET k => nil",
    );
    check("SETNX k v => 1 | SETNX k w => 0 | GET k => \"v\"");
    check("SET k v PX 10 => OK | SETNX k w => 0 | +10ms | SETNX k w => 1 | +10ms | GET k => \"w\"");
}

#[test]
fn a_time_in_the_past_deletes() {
    check("SET k v => OK | SET k w PXAT 1 => OK | GET k => nil");
    check("SET k v => OK | GETEX k PXAT 1 => \"v\" | GET k => nil");
    check("SET k v => OK | SET k w EXAT 1 GET => \"v\" | SET k w XX => nil");
}

#[test]
fn getex() {
    check(
        "SET k v => OK | GETEX k EX 10 EX 20 => \"v\" | TTL k => 20 | GETEX k PX abc PX 30000 => \"v\" | TTL k => 30 | GETEX k PERSIST PERSIST => \"v\" | TTL k => -1",
    );
    check("GETEX k => nil | GETEX k EX 10 => nil | SET k v => OK | GETEX k => \"v\"");
    check("SET k v PX 50 => OK | GETEX k => \"v\" | +50ms | GET k => nil");
    check("SET k v PX 50 => OK | GETEX k PERSIST => \"v\" | +50ms | GET k => \"v\"");
    check("SET k v => OK | GETEX k PX 50 => \"v\" | +49ms | GET k => \"v\" | +1ms | GET k => nil");
    check(
        "SET k v => OK | GETEX k EX 1 => \"v\" | GETEX k EXAT 1700000002 => \"v\" | +1500ms | GET k => \"v\" | +500ms | GET k => nil",
    );
    for bad in ["KEEPTTL", "NX", "GET", "PERSIST EX 1", "EX 1 PERSIST", "EX", "EX 1 PX 2"] {
        check(&format!("SET k v => OK | GETEX k {bad} => -ERR syntax error"));
    }
    check("GETEX => -ERR wrong number of arguments for 'getex' command");
}

#[test]
fn counters() {
    check(
        "INCR n => 1 | INCR n => 2 | DECR n => 1 | INCRBY n 41 => 42 | DECRBY n 40 => 2 | GET n => \"2\" | DECR m => -1",
    );
    check(
        "SET n 9223372036854775807 => OK | INCR n => -ERR increment or decrement would overflow | GET n => \"9223372036854775807\"",
    );
    check(
        "SET n -9223372036854775808 => OK | DECR n => -ERR increment or decrement would overflow | INCR n => -9223372036854775807",
    );
    check("DECRBY n -9223372036854775808 => -ERR decrement would overflow | DECRBY n -5 => 5");
    check(
        "INCRBY n x => -ERR value is not an integer or out of range | INCRBY n 1.5 => -ERR value is not an integer or out of range",
    );
    for text in ["abc", "1.5", "\" 1\"", "\"1 \"", "\"\"", "01", "+1", "9223372036854775808"] {
        check(&format!("SET k {text} => OK | INCR k => -ERR value is not an integer or out of range"));
    }
    check("SET n 1 => OK | APPEND n 0 => 2 | INCR n => 11");
}

#[test]
fn floats() {
    check(
        "INCRBYFLOAT f 1.5 => \"1.5\" | INCRBYFLOAT f 1.5 => \"3\" | INCR f => 4 | INCRBYFLOAT f -4e0 => \"0\" | GET f => \"0\"",
    );
    check(
        "SET f 3.0e3 => OK | INCRBYFLOAT f 200 => \"3200\" | SET f 10.5 => OK | INCRBYFLOAT f 0.1 => \"10.6\"",
    );
    check("SET f abc => OK | INCRBYFLOAT f 1 => -ERR value is not a valid float");
    check(
        "INCRBYFLOAT f x => -ERR value is not a valid float | SET f \" 1\" => OK | INCRBYFLOAT f 1 => -ERR value is not a valid float",
    );
    check("INCRBYFLOAT f +inf => -ERR increment would produce NaN or Infinity | GET f => nil");
    check(
        "SET f 1 => OK | INCRBYFLOAT f 1.797e+308 => * | INCRBYFLOAT f nan => -ERR value is not a valid float",
    );
    check("SET f 1 => OK | INCRBYFLOAT f -1.1 => \"-0.1\"");
}

#[test]
fn parts() {
    check(
        "APPEND k a => 1 | APPEND k bc => 3 | GET k => \"abc\" | APPEND k \"\" => 3 | SET n 12 => OK | APPEND n 3 => 3 | GET n => \"123\"",
    );
    check(
        "SET k \"Hello World\" => OK | GETRANGE k 0 4 => \"Hello\" | GETRANGE k -5 -1 => \"World\" | GETRANGE k 0 -1 => \"Hello World\" | SUBSTR k 4 4 => \"o\"",
    );
    check(
        "SET k abc => OK | GETRANGE k 5 9 => \"\" | GETRANGE k 2 1 => \"\" | GETRANGE k -1 -2 => \"\" | GETRANGE k -9 1 => \"ab\" | GETRANGE k 1 99 => \"bc\"",
    );
    check(
        "GETRANGE x 0 -1 => \"\" | GETRANGE x a 1 => -ERR value is not an integer or out of range | SET k 1234 => OK | GETRANGE k 1 2 => \"23\"",
    );
    check(
        "SETRANGE k 0 \"\" => 0 | GET k => nil | SETRANGE k 3 abc => 6 | GET k => \"\\x00\\x00\\x00abc\" | SETRANGE k 1 x => 6 | GET k => \"\\x00x\\x00abc\"",
    );
    check(
        "SETRANGE k -1 x => -ERR offset is out of range | SETRANGE k x x => -ERR value is not an integer or out of range",
    );
    check(
        "SETRANGE k 536870912 x => -ERR string exceeds maximum allowed size (proto-max-bulk-len) | GET k => nil",
    );
    check(
        "SET k abc => OK | SETRANGE k 536870911 xx => -ERR string exceeds maximum allowed size (proto-max-bulk-len) | GET k => \"abc\"",
    );
    check("SET k abc => OK | SETRANGE k 9 \"\" => 3 | SETRANGE k 2 xyz => 5 | GET k => \"abxyz\"");
}

#[test]
fn several_keys() {
    check(
        "MSET a 1 b 2 c 3 => OK | MGET a b c d => [\"1\" \"2\" \"3\" nil] | MSET a x a y => OK | GET a => \"y\" | MGET a a => [\"y\" \"y\"]",
    );
    check(
        "MSET a => -ERR wrong number of arguments for 'mset' command | MSET a 1 b => -ERR wrong number of arguments for 'mset' command",
    );
    check(
        "MSETNX a 1 b 2 c 3 => 1 | MSETNX d 4 c 5 => 0 | MGET a b c d => [\"1\" \"2\" \"3\" nil] | MSETNX d 4 e 5 => 1 | GET e => \"5\"",
    );
    check(
        "MSETNX a 1 b => -ERR wrong number of arguments for 'msetnx' command | MSETNX a 1 a 2 => 1 | GET a => \"2\"",
    );
    check(
        "SET c v PX 10 => OK | MSETNX a 1 b 2 c 3 => 0 | MGET a b => [nil nil] | +10ms | MSETNX a 1 b 2 c 3 => 1 | +10ms | GET c => \"3\"",
    );
    check(
        "SET a v PX 10 => OK | SET b v PX 10 => OK | MSET a w b w => OK | +10ms | MGET a b => [\"w\" \"w\"]",
    );
}

#[test]
fn msetex() {
    check("MSETEX 3 a 1 b 2 c 3 => 1 | MGET a b c => [\"1\" \"2\" \"3\"]");
    check("MSETEX 2 a 1 b 2 PX 50 => 1 | +49ms | MGET a b => [\"1\" \"2\"] | +1ms | MGET a b => [nil nil]");
    check(
        "MSETEX 2 a 1 b 2 XX => 0 | MSETEX 2 a 1 b 2 NX => 1 | MSETEX 2 b 5 c 6 NX => 0 | MSETEX 2 b 5 c 6 XX => 0 | MGET a b c => [\"1\" \"2\" nil]",
    );
    check("SET a v PX 50 => OK | MSETEX 2 a 1 b 2 KEEPTTL => 1 | +50ms | MGET a b => [nil \"2\"]");
    check(
        "MSETEX 0 a 1 => -ERR invalid numkeys value or out of range | MSETEX x a 1 => -ERR invalid numkeys value or out of range | MSETEX 2147483648 a 1 => -ERR invalid numkeys value or out of range | MSETEX 2147483647 a 1 => -ERR syntax error | MSETEX 2 a 1 b => -ERR syntax error",
    );
    check(
        "MSETEX 1 a 1 EX 0 => -ERR invalid expire time in 'msetex' command | MSETEX 1 a 1 WHAT => -ERR syntax error",
    );
}

#[test]
fn delifeq() {
    check(
        "DELIFEQ k v => 0 | SET k v => OK | DELIFEQ k w => 0 | DELIFEQ k v => 1 | GET k => nil | SET k 5 => OK | DELIFEQ k 5 => 1",
    );
}

#[test]
fn lcs() {
    check(
        "MSET a ohmytext b mynewtext => OK | LCS a b => \"mytext\" | LCS a b LEN => 6 | LCS a x => \"\" | LCS a x LEN => 0",
    );
    check(
        "MSET a ohmytext b mynewtext => OK | LCS a b IDX => [\"matches\" [[[4 7] [5 8]] [[2 3] [0 1]]] \"len\" 6]",
    );
    check(
        "MSET a ohmytext b mynewtext => OK | LCS a b IDX MINMATCHLEN 4 WITHMATCHLEN => [\"matches\" [[[4 7] [5 8] 4]] \"len\" 6]",
    );
    check(
        "LCS a b IDX LEN => -ERR If you want both the length and indexes, please just use IDX. | LCS a b WHAT => -ERR syntax error",
    );
    check3("MSET a xay b zaw => OK | LCS a b IDX => {\"matches\": [[[1 1] [1 1]]] \"len\": 1}");
}
