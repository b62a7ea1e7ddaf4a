//! Conversations about streams. What a real Valkey 9.1 replied.

use crate::sim::conversation::{check, check3};

#[test]
fn xadd_gives_ids_in_order() {
    check(
        "XADD s 1-1 a 1 => \"1-1\" | XADD s 1-* b 2 => \"1-2\" | XADD s 5 c 3 d 4 => \"5-0\" | XLEN s => 3",
    );
    check(
        "XADD s 0-* a 1 => \"0-1\" | XADD s 0-1 a 1 => -ERR The ID specified in XADD is equal or smaller than the target stream top item | XADD s 18446744073709551615-* a 1 => \"18446744073709551615-0\"",
    );
    check(
        "XADD s 0-0 a 1 => -ERR The ID specified in XADD must be greater than 0-0 | EXISTS s => 0 | XADD s NOMKSTREAM 1-1 a 1 => nil | EXISTS s => 0 | XADD s 1-1 a 1 => \"1-1\" | XADD s nomkstream * a 2 => * | XLEN s => 2",
    );
    check(
        "XADD s 18446744073709551615-18446744073709551615 a 1 => \"18446744073709551615-18446744073709551615\" | XADD s * a 1 => -ERR The stream has exhausted the last possible ID, unable to add more items",
    );
    check(
        "SET k v => OK | XADD k * a 1 => -WRONGTYPE Operation against a key holding the wrong kind of value",
    );
}

#[test]
fn xadd_refuses_before_it_changes() {
    check(
        "XADD s x a 1 => -ERR Invalid stream ID specified as stream command argument | XADD s - a 1 => -ERR Invalid stream ID specified as stream command argument | XADD s * a 1 b => -ERR wrong number of arguments for 'xadd' command | XADD s MAXLEN 1 * a => -ERR wrong number of arguments for 'xadd' command",
    );
    check(
        "XADD s MAXLEN -1 * a 1 => -ERR The MAXLEN argument must be >= 0. | XADD s MAXLEN x * a 1 => -ERR value is not an integer or out of range | XADD s MAXLEN 1 MINID 2 * a 1 => -ERR syntax error, MAXLEN and MINID options at the same time are not compatible | XADD s LIMIT 5 * a 1 => -ERR syntax error, LIMIT cannot be used without specifying a trimming strategy",
    );
    check(
        "XADD s MAXLEN = 1 LIMIT 5 * a 1 => -ERR syntax error, LIMIT cannot be used without the special ~ option | XADD s MAXLEN ~ 1 LIMIT -1 * a 1 => -ERR The LIMIT argument must be >= 0. | EXISTS s => 0",
    );
}

#[test]
fn trimming_is_exact_or_by_nodes() {
    let five = "CONFIG SET stream-node-max-entries 2 => OK | XADD s 1 a 1 => * | XADD s 2 a 1 => * | XADD s 3 a 1 => * | XADD s 4 a 1 => * | XADD s 5 a 1 => *";
    let check_trim = |rest: &str| check(&format!("{five} | {rest}"));
    check_trim("XTRIM s MAXLEN 2 => 3 | XRANGE s - + => [[\"4-0\" [\"a\" \"1\"]] [\"5-0\" [\"a\" \"1\"]]]");
    check_trim("XTRIM s MAXLEN ~ 2 => 2 | XLEN s => 3 | XTRIM s MAXLEN = 2 => 1 | XLEN s => 2");
    check_trim("XTRIM s MINID 4 => 3 | XTRIM s MINID ~ 4-1 => 1 | XTRIM s MINID = 6-1 => 1 | EXISTS s => 1");
    check_trim("XTRIM s MAXLEN ~ 0 LIMIT 3 => 2 | XTRIM s MAXLEN ~ 0 LIMIT 0 => 3 | XTRIM s MAXLEN 0 => 0");
    check_trim("XADD s MAXLEN 2 6 a 1 => \"6-0\" | XLEN s => 2 | XADD s MINID ~ 6 7 a 1 => * | XLEN s => 3");
    check_trim("XADD s MAXLEN 0 6 a 1 => \"6-0\" | XLEN s => 0 | TYPE s => stream | XTRIM t MAXLEN 1 => 0");
    check_trim(
        "XTRIM s MAXLEN => -ERR wrong number of arguments for 'xtrim' command | XTRIM s LIMIT 3 => -ERR syntax error, LIMIT cannot be used without specifying a trimming strategy | XTRIM s LIMIT 3 LIMIT 0 => -ERR syntax error, XTRIM must be called with a trimming strategy | XTRIM s MAXLEN 1 x => -ERR syntax error | XTRIM s NOMKSTREAM MAXLEN 1 => -ERR syntax error",
    );
}

#[test]
fn ranges() {
    let four = "XADD s 1-1 a 1 => * | XADD s 1-2 b 2 c 3 => * | XADD s 2-1 a 4 => * | XADD s 3-1 a 5 => *";
    let check_range = |rest: &str| check(&format!("{four} | {rest}"));
    check_range(
        "XRANGE s 1 1 => [[\"1-1\" [\"a\" \"1\"]] [\"1-2\" [\"b\" \"2\" \"c\" \"3\"]]] | XRANGE s - + COUNT 1 => [[\"1-1\" [\"a\" \"1\"]]]",
    );
    check_range(
        "XREVRANGE s + - COUNT 1 => [[\"3-1\" [\"a\" \"5\"]]] | XREVRANGE s 2 (1-2 => [[\"2-1\" [\"a\" \"4\"]]] | XRANGE s (1-2 (3-1 => [[\"2-1\" [\"a\" \"4\"]]]",
    );
    check_range(
        "XRANGE s 3 1 => [] | XRANGE s - + COUNT 0 => nil | XRANGE s - + COUNT -1 => nil | XRANGE t - + COUNT 0 => []",
    );
    check_range(
        "XRANGE s (- + => -ERR Invalid stream ID specified as stream command argument | XRANGE s - (0-0 => -ERR invalid end ID for the interval | XRANGE s (18446744073709551615-18446744073709551615 + => -ERR invalid start ID for the interval",
    );
    check_range(
        "XRANGE s - + COUNT x => -ERR value is not an integer or out of range | XRANGE s - + COUNT => -ERR syntax error",
    );
}

#[test]
fn xdel_leaves_an_empty_stream() {
    check(
        "XADD s 1 a 1 => * | XADD s 2 a 1 => * | XDEL s 1 1 3 => 1 | XDEL s 2 x => -ERR Invalid stream ID specified as stream command argument | XDEL s 2 => 1 | XLEN s => 0 | EXISTS s => 1 | XDEL t x => 0",
    );
    check(
        "XADD s 1 a 1 => * | XDEL s 1 => 1 | XADD s 1 a 1 => -ERR The ID specified in XADD is equal or smaller than the target stream top item | OBJECT ENCODING s => \"stream\"",
    );
}

#[test]
fn xsetid() {
    check(
        "XSETID s 1-1 => -ERR no such key | XADD s 5-5 a 1 => * | XSETID s 5-4 => -ERR The ID specified in XSETID is smaller than the target stream top item | XSETID s 7-0 => OK | XADD s 6-0 a 1 => -ERR The ID specified in XADD is equal or smaller than the target stream top item | XADD s 7-* a 1 => \"7-1\"",
    );
    check(
        "XADD s 5-5 a 1 => * | XSETID s 9-1 ENTRIESADDED -1 => -ERR entries_added must be positive | XSETID s 9-1 ENTRIESADDED 0 => -ERR The entries_added specified in XSETID is smaller than the target stream length | XSETID s 9-1 MAXDELETEDID 9-2 => -ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id | XSETID s 9-1 ENTRIESADDED 12 MAXDELETEDID 4-4 => OK | XSETID s 4-3 => -ERR The ID specified in XSETID is smaller than current max_deleted_entry_id | XSETID s 9-1 FOO 1 => -ERR syntax error",
    );
}

#[test]
fn xread_returns_what_is_new() {
    let two = "XADD s 1-1 a 1 => * | XADD s 2-1 a 2 => * | XADD t 5-1 b 1 => *";
    let check_read = |rest: &str| check(&format!("{two} | {rest}"));
    check_read(
        "XREAD STREAMS s 1 => [[\"s\" [[\"1-1\" [\"a\" \"1\"]] [\"2-1\" [\"a\" \"2\"]]]]] | XREAD COUNT 1 STREAMS s t 0 0 => [[\"s\" [[\"1-1\" [\"a\" \"1\"]]]] [\"t\" [[\"5-1\" [\"b\" \"1\"]]]]]",
    );
    check_read(
        "XREAD STREAMS s t 2-1 0 => [[\"t\" [[\"5-1\" [\"b\" \"1\"]]]]] | XREAD STREAMS s $ => nil | XREAD BLOCK 1 STREAMS s none $ $ => ... | +2ms | a> => nil | XREAD STREAMS s 9 => nil",
    );
    check_read(
        "XREAD STREAMS s + => [[\"s\" [[\"2-1\" [\"a\" \"2\"]]]]] | XDEL s 2-1 => 1 | XREAD STREAMS s + => [[\"s\" [[\"1-1\" [\"a\" \"1\"]]]]] | XREAD STREAMS none + => nil",
    );
    check_read(
        "XREAD STREAMS s > => -ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option. | XREAD STREAMS s - => -ERR Invalid stream ID specified as stream command argument | XREAD STREAMS s t 0 => -ERR Unbalanced 'xread' list of streams: for each stream key an ID or '$' must be specified. | XREAD COUNT 1 s 0 => -ERR syntax error",
    );
    check_read(
        "XREAD BLOCK -1 STREAMS s 0 => -ERR timeout is negative | XREAD BLOCK x STREAMS s 0 => -ERR timeout is not an integer or out of range | XREAD GROUP g c STREAMS s 0 => -ERR The GROUP option is only supported by XREADGROUP. You called XREAD instead. | XREAD NOACK STREAMS s 0 => -ERR The NOACK option is only supported by XREADGROUP. You called XREAD instead.",
    );
    check_read(
        "SET k v => OK | XREAD STREAMS s k 0 0 => -WRONGTYPE Operation against a key holding the wrong kind of value",
    );
}

/// XREAD is a map in RESP3.
#[test]
fn xread_in_resp3() {
    check3(
        "XADD s 1-1 a 1 => * | XADD t 5-1 b 1 => * | XREAD STREAMS s t 0 0 => {\"s\": [[\"1-1\" [\"a\" \"1\"]]], \"t\": [[\"5-1\" [\"b\" \"1\"]]]} | XREAD STREAMS s $ => nil",
    );
    check3(
        "XADD s 1-1 a 1 => * | XGROUP CREATE s g 0 => OK | XREADGROUP GROUP g c STREAMS s > => {\"s\": [[\"1-1\" [\"a\" \"1\"]]]} | XDEL s 1-1 => 1 | XREADGROUP GROUP g c STREAMS s 0 => {\"s\": [[\"1-1\" nil]]}",
    );
}

#[test]
fn groups_come_and_go() {
    check(
        "XGROUP CREATE s g $ => -ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option to create an empty stream automatically. | XGROUP CREATE s g $ MKSTREAM => OK | XGROUP CREATE s g 0 => -BUSYGROUP Consumer Group name already exists | XGROUP CREATE s h x => -ERR Invalid stream ID specified as stream command argument | XLEN s => 0 | TYPE s => stream",
    );
    check(
        "XGROUP CREATE s g 0 MKSTREAM FOO => -ERR unknown subcommand or wrong number of arguments for 'CREATE'. Try XGROUP HELP. | XGROUP CREATE s g 0 MKSTREAM ENTRIESREAD -2 => -ERR value for ENTRIESREAD must be positive or -1 | XGROUP CREATE s g 0 ENTRIESREAD x => -ERR value is not an integer or out of range | EXISTS s => 0",
    );
    check(
        "XGROUP CREATE s g 0 MKSTREAM => OK | XGROUP CREATECONSUMER s g c => 1 | XGROUP CREATECONSUMER s g c => 0 | XGROUP DELCONSUMER s g c => 0 | XGROUP DELCONSUMER s g c => 0 | XGROUP CREATECONSUMER s h c => -NOGROUP No such consumer group 'h' for key name 's' | XGROUP DESTROY s g => 1 | XGROUP DESTROY s g => 0 | EXISTS s => 1 | XGROUP DESTROY none g => -ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option to create an empty stream automatically.",
    );
    check(
        "XADD s 1-1 a 1 => * | XGROUP CREATE s g 0 => OK | XGROUP SETID s g $ => OK | XGROUP SETID s g 1 ENTRIESREAD 5 => OK | XGROUP SETID s h 1 => -NOGROUP No such consumer group 'h' for key name 's' | XGROUP SETID s g 1 2 => -ERR unknown subcommand or wrong number of arguments for 'SETID'. Try XGROUP HELP. | XGROUP SETID s g y => -ERR Invalid stream ID specified as stream command argument",
    );
    check(
        "XGROUP FOO s g => -ERR unknown subcommand 'FOO'. Try XGROUP HELP. | XGROUP CREATE s g => -ERR wrong number of arguments for 'xgroup|create' command",
    );
}

const GROUP: &str =
    "XADD s 1-1 a 1 => * | XADD s 2-1 a 2 => * | XADD s 3-1 a 3 => * | XGROUP CREATE s g 0 => OK";

#[track_caller]
fn check_group(rest: &str) {
    check(&format!("{GROUP} | {rest}"));
}

#[test]
fn xreadgroup_delivers_once() {
    check_group(
        "XREADGROUP GROUP g c COUNT 2 STREAMS s > => [[\"s\" [[\"1-1\" [\"a\" \"1\"]] [\"2-1\" [\"a\" \"2\"]]]]] | XREADGROUP GROUP g d STREAMS s > => [[\"s\" [[\"3-1\" [\"a\" \"3\"]]]]] | XREADGROUP GROUP g d BLOCK 5 STREAMS s > => ... | +6ms | a> => nil | XREADGROUP GROUP g c STREAMS s 1-1 => [[\"s\" [[\"2-1\" [\"a\" \"2\"]]]]] | XREADGROUP GROUP g e STREAMS s 0 => [[\"s\" []]]",
    );
    check_group(
        "XREADGROUP GROUP g c STREAMS s > => * | XDEL s 2-1 => 1 | XREADGROUP GROUP g c COUNT 2 STREAMS s 0 => [[\"s\" [[\"1-1\" [\"a\" \"1\"]] [\"2-1\" nil]]]] | XPENDING s g - + 9 => [[\"1-1\" \"c\" 0 2] [\"2-1\" \"c\" 0 1] [\"3-1\" \"c\" 0 1]]",
    );
    check_group(
        "XREADGROUP GROUP g c NOACK STREAMS s > => * | XPENDING s g => [0 nil nil nil] | XREADGROUP GROUP g c STREAMS s 0 => [[\"s\" []]] | XADD s 4-1 a 4 => * | XREADGROUP GROUP g c STREAMS s > => [[\"s\" [[\"4-1\" [\"a\" \"4\"]]]]]",
    );
    check_group(
        "XREADGROUP GROUP g c STREAMS s > => * | XGROUP SETID s g 1-1 => OK | XREADGROUP GROUP g d STREAMS s > => * | XPENDING s g - + 9 => [[\"1-1\" \"c\" 0 1] [\"2-1\" \"d\" 0 1] [\"3-1\" \"d\" 0 1]]",
    );
}

#[test]
fn xreadgroup_refuses() {
    check_group(
        "XREADGROUP GROUP h c STREAMS s > => -NOGROUP No such key 's' or consumer group 'h' in XREADGROUP with GROUP option | XREADGROUP GROUP g c STREAMS none > => -NOGROUP No such key 'none' or consumer group 'g' in XREADGROUP with GROUP option | XREADGROUP COUNT 1 NOACK STREAMS s > => -ERR Missing GROUP option for XREADGROUP | XREADGROUP GROUP g c STREAMS s x > => -ERR Unbalanced 'xreadgroup' list of streams: for each stream key an ID or '>' must be specified.",
    );
    check_group(
        "XREADGROUP GROUP g c STREAMS s $ => -ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by specifying a proper ID, or use the > ID to get new messages. The $ ID would just return an empty result set. | XREADGROUP GROUP g c STREAMS s + => -ERR The + ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by specifying a proper ID, or use the > ID to get new messages. The + ID would just return an empty result set. | XINFO CONSUMERS s g => []",
    );
    // Group and consumer may have the names of options.
    check(
        "XADD s 1-1 a 1 => * | XGROUP CREATE s streams 0 => OK | XREADGROUP COUNT 1 GROUP streams streams STREAMS s > => [[\"s\" [[\"1-1\" [\"a\" \"1\"]]]]] | XREADGROUP NOACK GROUP streams COUNT BLOCK 1 STREAMS s > => ... | +2ms | a> => nil",
    );
}

#[test]
fn xack_and_xpending() {
    check_group(
        "XREADGROUP GROUP g c COUNT 2 STREAMS s > => * | XREADGROUP GROUP g d STREAMS s > => * | XPENDING s g => [3 \"1-1\" \"3-1\" [[\"c\" \"2\"] [\"d\" \"1\"]]] | XACK s g 1-1 9-9 => 1 | XACK s g 1-1 => 0 | XACK s h 2-1 => 0 | XACK none g x => 0 | XACK s g 2-1 x => -ERR Invalid stream ID specified as stream command argument | XPENDING s g => [2 \"2-1\" \"3-1\" [[\"c\" \"1\"] [\"d\" \"1\"]]]",
    );
    check_group(
        "XREADGROUP GROUP g c STREAMS s > => * | +100ms | XPENDING s g - + 2 => [[\"1-1\" \"c\" 100 1] [\"2-1\" \"c\" 100 1]] | XPENDING s g IDLE 101 - + 2 => [] | XPENDING s g idle 100 (1-1 2 9 => [[\"2-1\" \"c\" 100 1]] | XPENDING s g - + 9 d => [] | XPENDING s g - + 1 c => [[\"1-1\" \"c\" 100 1]] | XPENDING s g + - 9 => [] | XPENDING s g - + -1 => []",
    );
    check_group(
        "XPENDING s g => [0 nil nil nil] | XPENDING s h => -NOGROUP No such key 's' or consumer group 'h' | XPENDING s g - => -ERR syntax error | XPENDING s g IDLE 1 - + => -ERR syntax error | XPENDING s g - + x => -ERR value is not an integer or out of range | XPENDING s g (- + 1 => -ERR Invalid stream ID specified as stream command argument",
    );
}

#[test]
fn xclaim() {
    check_group(
        "XREADGROUP GROUP g c STREAMS s > => * | +50ms | XCLAIM s g d 100 1-1 => [] | XCLAIM s g d 50 1-1 3-1 => [[\"1-1\" [\"a\" \"1\"]] [\"3-1\" [\"a\" \"3\"]]] | XPENDING s g - + 9 => [[\"1-1\" \"d\" 0 2] [\"2-1\" \"c\" 50 1] [\"3-1\" \"d\" 0 2]] | XCLAIM s g d 0 1-1 JUSTID => [\"1-1\"] | XPENDING s g - + 1 => [[\"1-1\" \"d\" 0 2]]",
    );
    check_group(
        "XREADGROUP GROUP g c STREAMS s > => * | XCLAIM s g d 0 1-1 IDLE 30 RETRYCOUNT 7 => * | XPENDING s g - + 1 => [[\"1-1\" \"d\" 30 7]] | XCLAIM s g d 0 1-1 TIME -5 JUSTID RETRYCOUNT 0 => [\"1-1\"] | XPENDING s g - + 1 => [[\"1-1\" \"d\" 0 0]]",
    );
    check_group(
        "XCLAIM s g d 0 1-1 => [] | XCLAIM s g d 0 1-1 9-9 FORCE JUSTID => [\"1-1\"] | XPENDING s g - + 9 => [[\"1-1\" \"d\" 0 1]] | XCLAIM s g d 0 2-1 FORCE => * | XPENDING s g 2-1 + 9 => [[\"2-1\" \"d\" 0 2]] | XDEL s 1-1 => 1 | XCLAIM s g e 0 1-1 => [] | XPENDING s g => [1 \"2-1\" \"2-1\" [[\"d\" \"1\"]]]",
    );
    check_group(
        "XCLAIM s g d 0 LASTID 2-1 => [] | XREADGROUP GROUP g c STREAMS s > => [[\"s\" [[\"3-1\" [\"a\" \"3\"]]]]] | XCLAIM s h d 0 1-1 => -NOGROUP No such key 's' or consumer group 'h' | XCLAIM s g d x 1-1 => -ERR Invalid min-idle-time argument for XCLAIM | XCLAIM s g d 0 1-1 IDLE x => -ERR Invalid IDLE option argument for XCLAIM | XCLAIM s g d 0 1-1 TIME x => -ERR Invalid TIME option argument for XCLAIM | XCLAIM s g d 0 1-1 RETRYCOUNT x => -ERR Invalid RETRYCOUNT option argument for XCLAIM | XCLAIM s g d 0 1-1 FOO => -ERR Unrecognized XCLAIM option 'FOO'",
    );
}

#[test]
fn xautoclaim() {
    check_group(
        "XREADGROUP GROUP g c STREAMS s > => * | +50ms | XAUTOCLAIM s g d 51 - => [\"0-0\" [] []] | XAUTOCLAIM s g d 50 - COUNT 2 => [\"3-1\" [[\"1-1\" [\"a\" \"1\"]] [\"2-1\" [\"a\" \"2\"]]] []] | XAUTOCLAIM s g d 50 3-1 COUNT 2 JUSTID => [\"0-0\" [\"3-1\"] []] | XPENDING s g - + 9 => [[\"1-1\" \"d\" 0 2] [\"2-1\" \"d\" 0 2] [\"3-1\" \"d\" 0 1]]",
    );
    check_group(
        "XREADGROUP GROUP g c STREAMS s > => * | XDEL s 1-1 => 1 | XAUTOCLAIM s g d 0 0 COUNT 1 => [\"2-1\" [] [\"1-1\"]] | XPENDING s g => [2 \"2-1\" \"3-1\" [[\"c\" \"2\"]]] | XAUTOCLAIM s g d 0 (2-1 => [\"0-0\" [[\"3-1\" [\"a\" \"3\"]]] []]",
    );
    check_group(
        "XAUTOCLAIM s g d x 0 => -ERR Invalid min-idle-time argument for XAUTOCLAIM | XAUTOCLAIM s g d 0 x => -ERR Invalid stream ID specified as stream command argument | XAUTOCLAIM s g d 0 0 COUNT 0 => -ERR COUNT must be > 0 | XAUTOCLAIM s g d 0 0 FOO => -ERR syntax error | XAUTOCLAIM s h d 0 0 => -NOGROUP No such key 's' or consumer group 'h'",
    );
}

#[test]
fn xinfo() {
    check_group(
        "XINFO STREAM s => [\"length\" 3 \"radix-tree-keys\" 1 \"radix-tree-nodes\" 2 \"last-generated-id\" \"3-1\" \"max-deleted-entry-id\" \"0-0\" \"entries-added\" 3 \"recorded-first-entry-id\" \"1-1\" \"groups\" 1 \"first-entry\" [\"1-1\" [\"a\" \"1\"]] \"last-entry\" [\"3-1\" [\"a\" \"3\"]]]",
    );
    check_group(
        "XREADGROUP GROUP g c COUNT 1 STREAMS s > => * | +20ms | XINFO GROUPS s => [[\"name\" \"g\" \"consumers\" 1 \"pending\" 1 \"last-delivered-id\" \"1-1\" \"entries-read\" 1 \"lag\" 2]] | XINFO CONSUMERS s g => [[\"name\" \"c\" \"pending\" 1 \"idle\" 20 \"inactive\" 20]] | XDEL s 2-1 => 1 | XINFO GROUPS s => [[\"name\" \"g\" \"consumers\" 1 \"pending\" 1 \"last-delivered-id\" \"1-1\" \"entries-read\" 1 \"lag\" nil]]",
    );
    check_group(
        "XGROUP CREATECONSUMER s g c => 1 | XINFO CONSUMERS s g => [[\"name\" \"c\" \"pending\" 0 \"idle\" 0 \"inactive\" -1]] | XINFO CONSUMERS s h => -NOGROUP No such consumer group 'h' for key name 's' | XINFO GROUPS none => -ERR no such key | XINFO STREAM s FOO => -ERR unknown subcommand or wrong number of arguments for 'STREAM'. Try XINFO HELP.",
    );
    check3(
        "XGROUP CREATE s g $ MKSTREAM => OK | XINFO STREAM s FULL COUNT 0 => {\"length\": 0, \"radix-tree-keys\": 0, \"radix-tree-nodes\": 1, \"last-generated-id\": \"0-0\", \"max-deleted-entry-id\": \"0-0\", \"entries-added\": 0, \"recorded-first-entry-id\": \"0-0\", \"entries\": [], \"groups\": [{\"name\": \"g\", \"last-delivered-id\": \"0-0\", \"entries-read\": nil, \"lag\": 0, \"pel-count\": 0, \"pending\": [], \"consumers\": []}]}",
    );
}

#[test]
fn streams_are_keys_like_others() {
    check(
        "XADD {t}s 1-1 a 1 => * | XGROUP CREATE {t}s g 0 => OK | COPY {t}s {t}c => 1 | XDEL {t}s 1-1 => 1 | XRANGE {t}c - + => [[\"1-1\" [\"a\" \"1\"]]] | XGROUP DESTROY {t}c g => 1 | XGROUP DESTROY {t}s g => 1 | RENAME {t}s {t}r => OK | TYPE {t}r => stream | DEL {t}r {t}c => 2",
    );
    check(
        "XADD s 1-1 a 1 => * | SCAN 0 TYPE string COUNT 1000 => * | OBJECT ENCODING s => \"stream\" | EXPIRE s 100 => 1 | XADD s 2-1 a 1 => * | TTL s => 100 | UNLINK s => 1 | XLEN s => 0",
    );
    check(
        "LPUSH l a => 1 | XLEN l => -WRONGTYPE Operation against a key holding the wrong kind of value | XGROUP CREATE l g 0 MKSTREAM => -WRONGTYPE Operation against a key holding the wrong kind of value | XPENDING l g => -WRONGTYPE Operation against a key holding the wrong kind of value | XADD s 1-1 a 1 => * | GET s => -WRONGTYPE Operation against a key holding the wrong kind of value",
    );
}

/// What only groups know is no change of the key for those who watch it.
#[test]
fn watchers_see_entries_alone() {
    let watched = |change: &str, reply: &str| {
        check(&format!(
            "{GROUP} | XREADGROUP GROUP g c COUNT 1 STREAMS s > => * | WATCH s => OK | b> {change} => * | MULTI => OK | PING => QUEUED | EXEC => {reply}"
        ));
    };
    for change in ["XADD s 9 a 1", "XDEL s 1-1", "XTRIM s MAXLEN 1", "DEL s"] {
        watched(change, "nil");
    }
    for change in
        ["XACK s g 1-1", "XREADGROUP GROUP g c STREAMS s >", "XCLAIM s g d 0 1-1", "XGROUP DESTROY s g"]
    {
        watched(change, "[PONG]");
    }
}

/// The events of a list of commands, as a subscriber of all of them gets them.
#[track_caller]
fn check_events(commands: &str, events: &[&str]) {
    let start = "CONFIG SET notify-keyspace-events Et => OK | b> PSUBSCRIBE __keyevent@0__:* => *";
    let said = commands.split(" | ").map(|command| format!("{command} => *"));
    let heard = events
        .iter()
        .map(|event| format!("b> => [\"pmessage\" \"__keyevent@0__:*\" \"__keyevent@0__:{event}\" \"s\"]"));
    let steps: Vec<String> = said.chain(heard).collect();
    check(&format!("{start} | {}", steps.join(" | ")));
}

#[test]
fn events_of_streams() {
    check_events(
        "XADD s 1-1 a 1 | XADD s MAXLEN 1 2-1 a 1 | XADD s MAXLEN 5 3-1 a 1 | XDEL s 9-9 | XDEL s 2-1 | XTRIM s MAXLEN 9 | XTRIM s MAXLEN 0 | XSETID s 7-0",
        &["xadd", "xadd", "xtrim", "xadd", "xdel", "xtrim", "xsetid"],
    );
    check_events(
        "XGROUP CREATE s g 0 MKSTREAM | XGROUP CREATE s g 0 | XGROUP CREATECONSUMER s g c | XGROUP CREATECONSUMER s g c | XGROUP SETID s g 0 | XGROUP DELCONSUMER s g c | XGROUP DELCONSUMER s g c | XGROUP DESTROY s g | XGROUP DESTROY s g",
        &["xgroup-create", "xgroup-createconsumer", "xgroup-setid", "xgroup-delconsumer", "xgroup-destroy"],
    );
    check_events(
        "XADD s 1-1 a 1 | XGROUP CREATE s g 0 | XREADGROUP GROUP g c STREAMS s > | XREADGROUP GROUP g c STREAMS s > | XCLAIM s g d 0 1-1 | XAUTOCLAIM s g e 0 0 | XACK s g 1-1",
        &["xadd", "xgroup-create", "xgroup-createconsumer", "xgroup-createconsumer", "xgroup-createconsumer"],
    );
}
