//! Conversations of clients that wait.

use crate::sim::{check, check_outside_multi, check3};

#[test]
fn a_waiting_client_gets_what_is_pushed() {
    check("b> BLPOP k 0 => ... | RPUSH k v => 1 | b> => [\"k\" \"v\"] | EXISTS k => 0");
    check("b> BRPOP k 0 => ... | RPUSH k v w => 2 | b> => [\"k\" \"w\"] | LRANGE k 0 -1 => [\"v\"]");
    check("RPUSH k v => 1 | BLPOP k 0 => [\"k\" \"v\"] | BLPOP k 0.01 => ... | +11ms | a> => nil");
    check("b> BZPOPMIN z 0 => ... | ZADD z 2 b 1 a => 2 | b> => [\"z\" \"a\" \"1\"] | ZCARD z => 1");
    check3("b> BZPOPMAX z 0 => ... | ZADD z 2 b 1 a => 2 | b> => [\"z\" \"b\" ,2]");
    check("b> BLMPOP 0 2 j k LEFT COUNT 2 => ... | RPUSH k 1 2 3 => 3 | b> => [\"k\" [\"1\" \"2\"]]");
    check(
        "b> BZMPOP 0 1 z MAX COUNT 2 => ... | ZADD z 1 a 2 b => 2 | b> => [\"z\" [[\"b\" \"2\"] [\"a\" \"1\"]]] | EXISTS z => 0",
    );
}

#[test]
fn the_longest_waiting_is_served_first() {
    check(
        "b> BLPOP k 0 => ... | c> BLPOP k 0 => ... | d> BLPOP k 0 => ... | RPUSH k 1 2 => 2 | b> => [\"k\" \"1\"] \
         | c> => [\"k\" \"2\"] | RPUSH k 3 => 1 | d> => [\"k\" \"3\"]",
    );
}

#[test]
fn the_first_key_given_wins_when_several_are_ready() {
    check(
        "b> BLPOP j k 0 => ... | MULTI => OK | RPUSH k 1 => QUEUED | RPUSH j 2 => QUEUED | EXEC => [1 1] | b> => [\"j\" \"2\"] \
         | LRANGE k 0 -1 => [\"1\"]",
    );
    check(
        "RPUSH k 1 => 1 | BLPOP j k 0 => [\"k\" \"1\"] | b> BLPOP j k l 0 => ... | RPUSH l x => 1 | b> => [\"l\" \"x\"]",
    );
}

#[test]
fn what_is_pushed_and_taken_within_a_transaction_is_seen_by_nobody() {
    check(
        "b> BLPOP k 0 => ... | MULTI => OK | RPUSH k 1 => QUEUED | DEL k => QUEUED | EXEC => [1 1] | RPUSH k 2 => 1 | b> => [\"k\" \"2\"]",
    );
    check(
        "b> BLPOP k 0 => ... | MULTI => OK | RPUSH k 1 => QUEUED | DEL k => QUEUED | SET k s => QUEUED | EXEC => [1 1 OK] \
         | DEL k => 1 | LPUSH k 3 => 1 | b> => [\"k\" \"3\"]",
    );
}

#[test]
fn time_runs_out() {
    check("b> BLPOP k 0.05 => ... | +50ms | PING => PONG | +1ms | b> => nil | RPUSH k v => 1 | LLEN k => 1");
    check("b> BLMOVE k l LEFT LEFT 0.1 => ... | +101ms | b> => nil | RPUSH k v => 1 | EXISTS l => 0");
    check(
        "BLPOP k -1 => -ERR timeout is negative | BLPOP k x => -ERR timeout is not a float or out of range",
    );
    check(
        "BLPOP k 9223372036854775807 => -ERR timeout is out of range | BLPOP k inf => -ERR timeout is out of range",
    );
    check(
        "SET k v => OK | BLPOP j k 0 => -WRONGTYPE Operation against a key holding the wrong kind of value",
    );
}

#[test]
fn elements_move_across_keys() {
    check(
        "b> BLMOVE k l LEFT RIGHT 0 => ... | RPUSH k v w => 2 | b> => \"v\" | LRANGE l 0 -1 => [\"v\"] | LLEN k => 1",
    );
    check("b> BRPOPLPUSH k l 0 => ... | RPUSH k v => 1 | LLEN k => 0 | LLEN l => 1 | b> => \"v\"");
    check("b> BRPOPLPUSH k k 0 => ... | RPUSH k v w => 2 | b> => \"w\" | LRANGE k 0 -1 => [\"w\" \"v\"]");
    check(
        "SET l s => OK | b> BLMOVE k l LEFT RIGHT 0 => ... | RPUSH k v => 1 \
         | b> => -WRONGTYPE Operation against a key holding the wrong kind of value | LLEN k => 1",
    );
}

/// Commands without keys, or with other keys, once looked for the shards of those who wait, and went round for ever.
#[test]
fn who_moves_elements_later_disturbs_nobody() {
    check_outside_multi(
        "b> BLMOVE a b LEFT LEFT 0 => ... | c> BLMOVE b c LEFT LEFT 0 => ... | d> BLMOVE c a2 LEFT LEFT 0 => ... | PING => PONG \
         | CLIENT SETNAME x => OK | SET x 1 => OK | PUBLISH x y => 0 | MULTI => OK | PING => QUEUED | EXEC => [PONG] \
         | SET y 1 => OK | PING => PONG | RPUSH a v => 1 | b> => \"v\" | c> => \"v\" | d> => \"v\" | LLEN a2 => 1",
    );
}

/// Keys that one transaction makes are served in the order in which it made them, wherever they are.
#[test]
fn what_appeared_first_is_served_first() {
    for (first, second) in [("a", "b"), ("b", "a"), ("a", "c"), ("c", "a"), ("b", "c"), ("c", "b")] {
        check_outside_multi(&format!(
            "b> BLMOVE {first} x LEFT RIGHT 0 => ... | c> BLMOVE {second} x LEFT RIGHT 0 => ... | MULTI => OK \
             | RPUSH {first} 1 => QUEUED | RPUSH {second} 2 => QUEUED | EXEC => [1 1] | LRANGE x 0 -1 => [\"1\" \"2\"] \
             | b> => \"1\" | c> => \"2\""
        ));
    }
}

#[test]
fn a_silenced_wait_stays_silent() {
    check_outside_multi(
        "b> CLIENT REPLY SKIP => ... | b> BLPOP k 0 => ... | RPUSH k v => 1 | LLEN k => 0 | b> PING => PONG",
    );
}

#[test]
fn who_was_killed_gets_no_element() {
    check_outside_multi(
        "b> CLIENT SETNAME x => OK | b> BLPOP k 0 => ... | CLIENT KILL TYPE normal => * | RPUSH k v => 1 | LLEN k => 1",
    );
}

#[test]
fn chains_of_waiting_clients() {
    check(
        "b> BLMOVE j k LEFT LEFT 0 => ... | c> BLMOVE k l LEFT LEFT 0 => ... | d> BLPOP l 0 => ... | RPUSH j v => 1 \
         | b> => \"v\" | c> => \"v\" | d> => [\"l\" \"v\"] | EXISTS j k l => 0",
    );
    check(
        "b> BLMOVE j k LEFT LEFT 0 => ... | c> BLMOVE k j LEFT LEFT 0 => ... | RPUSH j v => 1 | b> => \"v\" | c> => \"v\" \
         | LLEN j => 1 | LLEN k => 0",
    );
}

#[test]
fn every_way_for_a_key_to_appear() {
    check("b> BLPOP k 0 => ... | RPUSH j v => 1 | RENAME j k => OK | b> => [\"k\" \"v\"]");
    check("b> BLPOP k 0 => ... | RPUSH j v => 1 | COPY j k => 1 | b> => [\"k\" \"v\"]");
    check("b> BLPOP k 0 => ... | RPUSH j 2 1 => 2 | SORT j STORE k => 2 | b> => [\"k\" \"1\"]");
    check(
        "b> BLPOP k 0 => ... | LMOVE k j LEFT LEFT => nil | RPUSH j 2 => 1 | LMOVE j k LEFT LEFT => \"2\" | b> => [\"k\" \"2\"]",
    );
    check("b> BZPOPMIN z 0 => ... | ZADD y 1 a => 1 | ZUNIONSTORE z 1 y => 1 | b> => [\"z\" \"a\" \"1\"]");
    check("b> SELECT 1 => OK | b> BLPOP k 0 => ... | RPUSH k v => 1 | MOVE k 1 => 1 | b> => [\"k\" \"v\"]");
    check("b> BLPOP k 0 => ... | SELECT 1 => OK | RPUSH k v => 1 | SWAPDB 0 1 => OK | b> => [\"k\" \"v\"]");
}

#[test]
fn other_types_and_lost_keys_wake_nobody() {
    check(
        "b> BLPOP k 0 => ... | ZADD k 1 a => 1 | DEL k => 1 | SADD k a => 1 | DEL k => 1 | RPUSH k v => 1 | b> => [\"k\" \"v\"]",
    );
    check("b> BLPOP k 0 => ... | FLUSHALL => OK | RPUSH k v => 1 | b> => [\"k\" \"v\"]");
}

#[test]
fn a_key_that_another_type_took_meanwhile_is_passed_over() {
    check("b> BLPOP j k 0 => ... | SET j s => OK | RPUSH k v => 1 | b> => [\"k\" \"v\"]");
}

#[test]
fn nobody_waits_inside_a_transaction() {
    check(
        "MULTI => OK | BLPOP k 0 => QUEUED | BLMOVE k l LEFT LEFT 0 => QUEUED | BZPOPMIN z 0 => QUEUED | EXEC => [nil nil nil]",
    );
}

#[test]
fn commands_behind_a_waiting_one_wait() {
    check("b> BLPOP k 0 => ... | b> PING => ... | RPUSH k v => 1 | b> => [\"k\" \"v\"] | b> => PONG");
}

#[test]
fn readers_of_streams_wait() {
    check(
        "b> XREAD BLOCK 0 STREAMS s $ => ... | XADD s 1-1 f v => \"1-1\" | b> => [[\"s\" [[\"1-1\" [\"f\" \"v\"]]]]]",
    );
    check(
        "XADD s 1-1 f v => \"1-1\" | b> XREAD BLOCK 0 STREAMS r s $ $ => ... | XADD s 1-2 f w => \"1-2\" \
         | b> => [[\"s\" [[\"1-2\" [\"f\" \"w\"]]]]] | b> XREAD BLOCK 10 STREAMS s $ => ... | +11ms | b> => nil",
    );
    check3(
        "b> XREAD BLOCK 0 COUNT 1 STREAMS s 0 => ... | XADD s 1-1 f v => \"1-1\" | b> => {\"s\": [[\"1-1\" [\"f\" \"v\"]]]}",
    );
    check(
        "MULTI => OK | XREAD BLOCK 0 STREAMS s $ => QUEUED | EXEC => [nil] | b> XREAD BLOCK 0 STREAMS s $ => ... \
         | MULTI => OK | XADD s 1-1 f v => QUEUED | DEL s => QUEUED | EXEC => [\"1-1\" 1] | XADD s 2-1 f v => \"2-1\" \
         | b> => [[\"s\" [[\"2-1\" [\"f\" \"v\"]]]]]",
    );
}

#[test]
fn readers_for_a_group_wait() {
    check(
        "XGROUP CREATE s g $ MKSTREAM => OK | b> XREADGROUP GROUP g c BLOCK 0 STREAMS s > => ... \
         | c> XREADGROUP GROUP g d BLOCK 0 STREAMS s > => ... | XADD s 1-1 f v => \"1-1\" | b> => [[\"s\" [[\"1-1\" [\"f\" \"v\"]]]]] \
         | XADD s 1-2 f w => \"1-2\" | c> => [[\"s\" [[\"1-2\" [\"f\" \"w\"]]]]] | XPENDING s g - + 9 c => [[\"1-1\" \"c\" 0 1]]",
    );
    check(
        "XGROUP CREATE s g $ MKSTREAM => OK | b> XREADGROUP GROUP g c BLOCK 0 STREAMS s > => ... | DEL s => 1 \
         | b> => -NOGROUP No such key 's' or consumer group 'g' in XREADGROUP with GROUP option",
    );
    check(
        "XGROUP CREATE s g $ MKSTREAM => OK | b> XREADGROUP GROUP g c BLOCK 0 STREAMS s > => ... | XGROUP DESTROY s g => 1 \
         | b> => -NOGROUP No such key 's' or consumer group 'g' in XREADGROUP with GROUP option",
    );
    check(
        "XGROUP CREATE s g $ MKSTREAM => OK | b> XREADGROUP GROUP g c BLOCK 0 STREAMS s > => ... | SET s v => OK \
         | b> => -WRONGTYPE Operation against a key holding the wrong kind of value",
    );
}
