//! Conversations about sorted sets. What a real Valkey 9.1 replied.

use crate::sim::conversation::{check, check3};

const TINY: &str = "CONFIG SET zset-max-listpack-entries 2 => OK";

#[test]
fn zadd_adds_and_changes() {
    check(
        "ZADD z 1 a => 1 | ZADD z 2 a 3 b => 1 | ZADD z CH 5 a 3 b 4 c => 2 | ZCARD z => 3 | ZSCORE z a => \"5\"",
    );
    check(
        "ZADD z 1 a 2 a => 1 | ZSCORE z a => \"2\" | ZADD z inf i -inf j +inf k 1.5e3 l => 4 | ZMSCORE z i j k l m => [\"inf\" \"-inf\" \"inf\" \"1500\" nil]",
    );
    check(
        "ZADD z -0 a => 1 | ZSCORE z a => \"0\" | CONFIG SET zset-max-listpack-entries 0 => OK | ZADD y -0 a => 1 | ZSCORE y a => \"-0\"",
    );
    check("SET s x => OK | ZADD s 1 a => -WRONGTYPE Operation against a key holding the wrong kind of value");
}

#[test]
fn zadd_obeys_its_options() {
    check(
        "ZADD k 1 a => 1 | ZADD k NX 9 a 2 b => 1 | ZSCORE k a => \"1\" | ZADD k XX 3 a 4 c => 0 | ZRANGE k 0 -1 WITHSCORES => [\"b\" \"2\" \"a\" \"3\"]",
    );
    check(
        "ZADD k 5 a => 1 | ZADD k GT CH 4 a => 0 | ZADD k GT CH 6 a => 1 | ZADD k LT CH 7 a => 0 | ZADD k LT CH 2 a 1 b => 2",
    );
    check(
        "ZADD k XX 1 a => 0 | EXISTS k => 0 | ZADD k XX INCR 1 a => nil | ZADD k INCR 1.5 a => \"1.5\" | ZADD k NX INCR 1 a => nil | ZADD k GT INCR -1 a => nil | ZADD k INCR LT -1 a => \"0.5\"",
    );
    check("ZADD k nx NX 2 c => 1 | ZADD k CH CH NX CH 2 c => 0");
}

#[test]
fn zadd_refuses_before_it_changes() {
    check(
        "ZADD k NX XX 1 a => -ERR XX and NX options at the same time are not compatible | ZADD k NX GT 1 a => -ERR GT, LT, and/or NX options at the same time are not compatible",
    );
    check(
        "ZADD k GT LT 1 a => -ERR GT, LT, and/or NX options at the same time are not compatible | ZADD k INCR 1 a 2 b => -ERR INCR option supports a single increment-element pair",
    );
    check(
        "ZADD k 1 a 2 => -ERR syntax error | ZADD k NX XX 1 => -ERR syntax error | ZADD k NX CH => -ERR syntax error | ZADD k 1 a nan b => -ERR value is not a valid float | ZADD k 1 a x b => -ERR value is not a valid float | EXISTS k => 0",
    );
    check(
        "ZADD k inf i => 1 | ZADD k INCR -inf i => -ERR resulting score is not a number (NaN) | ZINCRBY k -inf i => -ERR resulting score is not a number (NaN) | ZSCORE k i => \"inf\"",
    );
    check("ZADD k 1 => -ERR wrong number of arguments for 'zadd' command");
}

#[test]
fn zincrby_adds_to_a_score() {
    check(
        "ZINCRBY z 2.5 a => \"2.5\" | ZINCRBY z -1 a => \"1.5\" | ZINCRBY z x a => -ERR value is not a valid float | ZINCRBY z 0 a => \"1.5\" | ZRANGE z 0 -1 => [\"a\"]",
    );
}

#[test]
fn encodings_follow_the_limits() {
    check(&format!(
        "{TINY} | ZADD z 1 a 2 b => 2 | OBJECT ENCODING z => \"listpack\" | ZADD z 3 b => 0 | OBJECT ENCODING z => \"listpack\" | ZADD z 3 c => 1 | \
         OBJECT ENCODING z => \"skiplist\" | ZREM z c b => 2 | OBJECT ENCODING z => \"skiplist\" | ZRANGE z 0 -1 WITHSCORES => [\"a\" \"1\"]"
    ));
    check(&format!(
        "{TINY} | ZADD z 1 a 1 a 1 a => 1 | OBJECT ENCODING z => \"skiplist\" | ZADD y 1 a => 1 | ZADD y 1 a 1 a 1 a => 0 | OBJECT ENCODING y => \"skiplist\""
    ));
    check(
        "CONFIG SET zset-max-listpack-value 3 => OK | ZADD z 1 abc => 1 | OBJECT ENCODING z => \"listpack\" | ZADD z 1 abcd => 1 | OBJECT ENCODING z => \"skiplist\"",
    );
    // A long member makes it large at once: no score is kept as an integer first, and whether it is added does not matter.
    check(
        "CONFIG SET zset-max-listpack-value 3 => OK | ZADD z -0 a 1 abcd => 2 | ZSCORE z a => \"-0\" | ZADD y -0 a => 1 | ZSCORE y a => \"0\" | ZADD y XX 1 abcd => 0 | OBJECT ENCODING y => \"skiplist\" | GEOADD g 0 0 a => 1 | GEOADD g XX 0 0 abcd => 0 | OBJECT ENCODING g => \"skiplist\"",
    );
    check(&format!(
        "{TINY} | ZADD z 1 a 2 b 3 c => 3 | COPY z y => 1 | ZREM z a => 1 | ZUNIONSTORE y 1 z => 2 | OBJECT ENCODING y => \"listpack\" | TYPE y => zset"
    ));
}

#[test]
fn members_are_removed() {
    check(
        "ZADD z 1 a 2 b 3 c => 3 | ZREM z a x c a => 2 | ZCARD z => 1 | ZREM z b => 1 | EXISTS z => 0 | ZREM z b => 0",
    );
    for limit in ["", TINY] {
        let all = "ZADD z 1 a 2 b 3 c 4 d 5 e => 5";
        let begin = if limit.is_empty() { all.to_owned() } else { format!("{limit} | {all}") };
        check(&format!(
            "{begin} | ZREMRANGEBYRANK z 1 -3 => 2 | ZRANGE z 0 -1 => [\"a\" \"d\" \"e\"] | ZREMRANGEBYRANK z 5 9 => 0 | ZREMRANGEBYRANK z 0 -1 => 3 | EXISTS z => 0"
        ));
        check(&format!(
            "{begin} | ZREMRANGEBYSCORE z (1 3 => 2 | ZREMRANGEBYSCORE z (5 +inf => 0 | ZREMRANGEBYSCORE z -inf 4 => 2 | ZRANGE z 0 -1 => [\"e\"]"
        ));
        check(&format!(
            "{begin} | ZADD y 0 a 0 b 0 c 0 d => 4 | ZREMRANGEBYLEX y [b (d => 2 | ZREMRANGEBYLEX y - + => 2 | EXISTS y => 0"
        ));
    }
    check(
        "ZREMRANGEBYRANK z a b => -ERR value is not an integer or out of range | ZREMRANGEBYSCORE z a b => -ERR min or max is not a float | ZREMRANGEBYLEX z a b => -ERR min or max not valid string range item",
    );
    check(
        "SET s x => OK | ZREMRANGEBYLEX s a b => -ERR min or max not valid string range item | ZREMRANGEBYLEX s - + => -WRONGTYPE Operation against a key holding the wrong kind of value",
    );
}

#[test]
fn ranks_from_both_ends() {
    for begin in ["ZADD z 1 a 2 b 3 c => 3", &format!("{TINY} | ZADD z 1 a 2 b 3 c => 3")] {
        check(&format!(
            "{begin} | ZRANK z a => 0 | ZREVRANK z a => 2 | ZRANK z x => nil | ZRANK none a => nil | ZRANK z c WITHSCORE => [2 \"3\"] | ZREVRANK z c withscore => [0 \"3\"] | ZRANK z x WITHSCORE => nil"
        ));
        check3(&format!(
            "{begin} | ZRANK z b WITHSCORE => [1 ,2] | ZRANK z x WITHSCORE => nil | ZSCORE z b => ,2 | ZMSCORE z a x => [,1 nil] | ZINCRBY z 0.5 a => ,1.5"
        ));
    }
    check(
        "ZRANK z a foo => -ERR syntax error | ZRANK z a WITHSCORE 1 => -ERR wrong number of arguments for 'zrank' command | ZREVRANK z a WITHSCORE 1 => -ERR wrong number of arguments for 'zrevrank' command",
    );
}

#[test]
fn ranges_by_rank() {
    for begin in ["ZADD z 1 a 2 b 3 c 4 d => 4", &format!("{TINY} | ZADD z 1 a 2 b 3 c 4 d => 4")] {
        check(&format!(
            "{begin} | ZRANGE z 0 -1 => [\"a\" \"b\" \"c\" \"d\"] | ZRANGE z 1 2 REV => [\"c\" \"b\"] | ZREVRANGE z 0 0 WITHSCORES => [\"d\" \"4\"] | ZRANGE z -2 9 => [\"c\" \"d\"] | ZRANGE z 3 1 => [] | ZRANGE z -9 0 => [\"a\"] | ZRANGE z 4 4 => []"
        ));
        check(&format!(
            "{begin} | ZRANGE z 0 -1 LIMIT 0 1 => -ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX | ZRANGE z 0 0 LIMIT 0 -1 => [\"a\"] | ZRANGE z 0 0 WITHSCORES withscores => [\"a\" \"1\"]"
        ));
        check3(&format!(
            "{begin} | ZRANGE z 0 1 WITHSCORES => [[\"a\" ,1] [\"b\" ,2]] | ZRANGE none 0 -1 => []"
        ));
    }
    check(
        "ZRANGE z a -1 => -ERR value is not an integer or out of range | ZRANGE z 0 -1 foo => -ERR syntax error | ZRANGE z 0 -1 REV REV => -ERR syntax error | ZRANGE z 0 1 BYSCORE BYLEX => -ERR syntax error | ZRANGE z 0 -1 LIMIT 0 => -ERR syntax error | ZREVRANGE z 0 -1 REV => -ERR syntax error | ZRANGEBYSCORE z 0 1 REV => -ERR syntax error",
    );
    check(
        "SET s x => OK | ZRANGE s a b => -ERR value is not an integer or out of range | ZRANGE s 0 1 => -WRONGTYPE Operation against a key holding the wrong kind of value",
    );
}

#[test]
fn ranges_by_score() {
    for begin in ["ZADD z 1 a 2 b 3 c 4 d => 4", &format!("{TINY} | ZADD z 1 a 2 b 3 c 4 d => 4")] {
        check(&format!(
            "{begin} | ZRANGEBYSCORE z (1 3 => [\"b\" \"c\"] | ZRANGEBYSCORE z -inf +inf LIMIT 1 2 => [\"b\" \"c\"] | ZREVRANGEBYSCORE z +inf -inf LIMIT 1 2 => [\"c\" \"b\"] | ZREVRANGEBYSCORE z (3 1 WITHSCORES => [\"b\" \"2\" \"a\" \"1\"] | ZRANGE z 4 (1 BYSCORE REV LIMIT 0 -1 => [\"d\" \"c\" \"b\"]"
        ));
        check(&format!(
            "{begin} | ZRANGEBYSCORE z 0 9 LIMIT 4 2 => [] | ZRANGEBYSCORE z 0 9 LIMIT 0 0 => [] | ZRANGEBYSCORE z 3 2 => [] | ZRANGEBYSCORE z (2 2 => [] | ZRANGEBYSCORE z \"\" 1 => [\"a\"] | ZRANGEBYSCORE z 1e400 5 => []"
        ));
        check(&format!(
            "{begin} | ZCOUNT z (1 (4 => 2 | ZCOUNT z 5 6 => 0 | ZCOUNT z inf inf => 0 | ZCOUNT none 1 2 => 0"
        ));
        check3(&format!("{begin} | ZRANGEBYSCORE z 4 4 WITHSCORES => [[\"d\" ,4]]"));
    }
    check(
        "ZRANGE z \"\\x00a\" \"(1\\x00b\" BYSCORE => [] | ZRANGE z a b BYSCORE => -ERR min or max is not a float | ZRANGEBYSCORE z nan 1 => -ERR min or max is not a float | ZRANGEBYSCORE z 1 ((1 => -ERR min or max is not a float | ZCOUNT z a b => -ERR min or max is not a float | ZRANGEBYSCORE z 1 2 LIMIT a 1 => -ERR value is not an integer or out of range",
    );
}

#[test]
fn a_negative_offset_counts_from_behind_in_a_large_set() {
    check("ZADD z 1 a 2 b 3 c => 3 | ZRANGEBYSCORE z -inf +inf LIMIT -2 9 => []");
    check(&format!(
        "{TINY} | ZADD z 1 a 2 b 3 c => 3 | ZRANGEBYSCORE z -inf +inf LIMIT -2 9 => [\"b\" \"c\"] | ZRANGEBYSCORE z -inf +inf LIMIT -2 1 => [\"b\"] | ZREVRANGEBYSCORE z +inf -inf LIMIT -2 9 => [\"b\" \"a\"] | ZREVRANGEBYSCORE z +inf -inf LIMIT -2 1 => [\"b\"] | ZRANGEBYSCORE z -inf +inf LIMIT -4 9 => []"
    ));
}

#[test]
fn ranges_by_name() {
    for begin in ["ZADD z 0 a 0 b 0 c 0 d => 4", &format!("{TINY} | ZADD z 0 a 0 b 0 c 0 d => 4")] {
        check(&format!(
            "{begin} | ZRANGEBYLEX z - + => [\"a\" \"b\" \"c\" \"d\"] | ZRANGEBYLEX z [b (d => [\"b\" \"c\"] | ZREVRANGEBYLEX z + (b LIMIT 0 1 => [\"d\"] | ZRANGE z (a [c BYLEX => [\"b\" \"c\"] | ZRANGE z + - BYLEX REV LIMIT 2 9 => [\"b\" \"a\"] | ZRANGEBYLEX z + - => []"
        ));
        check(&format!(
            "{begin} | ZLEXCOUNT z - + => 4 | ZLEXCOUNT z (a (b => 0 | ZLEXCOUNT z [c + => 2 | ZLEXCOUNT none - + => 0"
        ));
    }
    check(
        "ZRANGE z - + BYLEX WITHSCORES => -ERR syntax error, WITHSCORES not supported in combination with BYLEX | ZRANGEBYLEX z a b => -ERR min or max not valid string range item | ZLEXCOUNT z - x => -ERR min or max not valid string range item",
    );
}

#[test]
fn a_range_is_stored() {
    check(
        "ZADD z 1 a 2 b 3 c => 3 | ZRANGESTORE d z 1 -1 => 2 | ZRANGE d 0 -1 WITHSCORES => [\"b\" \"2\" \"c\" \"3\"] | ZRANGESTORE d z (3 1 BYSCORE REV LIMIT 0 1 => 1 | ZRANGE d 0 -1 => [\"b\"] | ZRANGESTORE z z 0 0 => 1 | ZRANGE z 0 -1 => [\"a\"]",
    );
    check(
        "SET s x => OK | ZRANGESTORE d s 0 -1 => -WRONGTYPE Operation against a key holding the wrong kind of value | ZRANGESTORE s none 0 -1 => 0 | EXISTS s => 0 | ZRANGESTORE d z 0 -1 WITHSCORES => -ERR syntax error",
    );
}

#[test]
fn members_are_popped() {
    for begin in ["ZADD z 1 a 2 b 3 c 4 d => 4", &format!("{TINY} | ZADD z 1 a 2 b 3 c 4 d => 4")] {
        check(&format!(
            "{begin} | ZPOPMIN z => [\"a\" \"1\"] | ZPOPMAX z 2 => [\"d\" \"4\" \"c\" \"3\"] | ZPOPMIN z 0 => [] | ZPOPMIN z 9 => [\"b\" \"2\"] | EXISTS z => 0 | ZPOPMIN z => [] | ZPOPMAX z 2 => []"
        ));
        check(&format!(
            "{begin} | ZMPOP 2 none z MIN => [\"z\" [[\"a\" \"1\"]]] | ZMPOP 1 z max COUNT 9 => [\"z\" [[\"d\" \"4\"] [\"c\" \"3\"] [\"b\" \"2\"]]] | ZMPOP 2 none z MIN => nil"
        ));
        check3(&format!(
            "{begin} | ZPOPMIN z => [\"a\" ,1] | ZPOPMIN z 1 => [[\"b\" ,2]] | ZMPOP 1 z MAX => [\"z\" [[\"d\" ,4]]] | ZPOPMIN none => []"
        ));
    }
    check(
        "ZPOPMIN z -1 => -ERR value is out of range, must be positive | ZPOPMIN z a => -ERR value is out of range, must be positive | ZPOPMAX z 1 2 => -ERR syntax error | SET s x => OK | ZPOPMIN s 0 => -WRONGTYPE Operation against a key holding the wrong kind of value",
    );
    check(
        "ZMPOP 0 z MIN => -ERR numkeys should be greater than 0 | ZMPOP a z MIN => -ERR numkeys should be greater than 0 | ZMPOP 1 z foo => -ERR syntax error | ZMPOP 1 z MIN COUNT 0 => -ERR count should be greater than 0 | ZMPOP 1 z MIN COUNT 1 COUNT 2 => -ERR syntax error | ZMPOP 2 z MIN => -ERR syntax error | ZMPOP 1 z MIN foo => -ERR syntax error",
    );
}

#[test]
fn members_by_chance() {
    for begin in ["ZADD z 1 a 2 b 3 c => 3", &format!("{TINY} | ZADD z 1 a 2 b 3 c => 3")] {
        check(&format!(
            "{begin} | ZRANDMEMBER z 9 => ?[\"a\" \"b\" \"c\"] | ZRANDMEMBER z 0 => [] | ZRANDMEMBER none => nil | ZRANDMEMBER none 3 => []"
        ));
    }
    check(&format!(
        "{TINY} | ZADD z 1 a => 1 | ZRANDMEMBER z -2 WITHSCORES => [\"a\" \"1\" \"a\" \"1\"] | ZRANDMEMBER z => \"a\" | ZRANDMEMBER z 1 => [\"a\"]"
    ));
    check3(
        "ZADD z 1 a => 1 | ZRANDMEMBER z -2 WITHSCORES => [[\"a\" ,1] [\"a\" ,1]] | ZRANDMEMBER z 2 WITHSCORES => [[\"a\" ,1]]",
    );
    check(
        "ZRANDMEMBER z a => -ERR value is not an integer or out of range | ZRANDMEMBER z 1 foo => -ERR syntax error | ZRANDMEMBER z 1 WITHSCORES 1 => -ERR syntax error | ZRANDMEMBER z -9223372036854775808 => -ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807 | ZRANDMEMBER z 4611686018427387904 WITHSCORES => -ERR value is out of range",
    );
}

#[test]
fn a_scan_sees_all_members() {
    check(
        "ZADD z 1 a 2 b 3.25 cc => 3 | ZSCAN z 0 => [\"0\" [\"a\" \"1\" \"b\" \"2\" \"cc\" \"3.25\"]] | ZSCAN z 0 MATCH c* => [\"0\" [\"cc\" \"3.25\"]] | ZSCAN z 0 COUNT 1 NOSCORES => [\"0\" [\"a\" \"b\" \"cc\"]] | ZSCAN none 0 foo bar => [\"0\" []]",
    );
    check(
        "CONFIG SET zset-max-listpack-entries 0 => OK | ZADD z 0.1 a => 1 | ZSCAN z 0 => [\"0\" [\"a\" \"0.10000000000000001\"]] | ZADD z 5e18 a => 0 | ZSCAN z 0 => [\"0\" [\"a\" \"5e+18\"]] | ZADD z 123456.789 a => 0 | ZSCAN z 0 => [\"0\" [\"a\" \"123456.789\"]] | ZADD z -0.00001 a => 0 | ZSCAN z 0 => [\"0\" [\"a\" \"-1.0000000000000001e-05\"]]",
    );
    check(
        "ZADD z 1 a => 1 | ZSCAN z x => -ERR invalid cursor | ZSCAN z 0 COUNT 0 => -ERR syntax error | ZSCAN z 0 COUNT a => -ERR value is not an integer or out of range | ZSCAN z 0 MATCH => -ERR syntax error | ZSCAN z 0 foo bar => -ERR syntax error | ZSCAN z 0 NOVALUES => -ERR NOVALUES option can only be used in HSCAN",
    );
}

#[test]
fn unions() {
    check(
        "ZADD a 1 x 2 y => 2 | ZADD b 10 y 20 z => 2 | ZUNION 2 a b => [\"x\" \"y\" \"z\"] | ZUNION 2 a b WITHSCORES => [\"x\" \"1\" \"y\" \"12\" \"z\" \"20\"] | ZUNION 2 a b WEIGHTS 2 0.5 AGGREGATE MAX WITHSCORES => [\"x\" \"2\" \"y\" \"5\" \"z\" \"10\"] | ZUNION 3 a none b AGGREGATE MIN WITHSCORES => [\"x\" \"1\" \"y\" \"2\" \"z\" \"20\"] | ZUNIONSTORE d 2 a b AGGREGATE SUM => 3 | ZSCORE d y => \"12\" | ZUNIONSTORE d 1 none => 0 | EXISTS d => 0",
    );
    check(
        "ZADD a inf x => 1 | ZADD b -inf x => 1 | ZUNION 2 a b WITHSCORES => [\"x\" \"0\"] | ZADD c 0 x => 1 | ZUNION 1 c WEIGHTS inf WITHSCORES => [\"x\" \"0\"] | ZUNIONSTORE a 2 a a => 1 | ZSCORE a x => \"inf\"",
    );
    check3(
        "ZADD a 1 x => 1 | ZUNION 1 a WITHSCORES => [[\"x\" ,1]] | ZINTER 1 a WITHSCORES => [[\"x\" ,1]] | ZDIFF 1 a WITHSCORES => [[\"x\" ,1]]",
    );
}

#[test]
fn intersections() {
    check(
        "ZADD a 1 x 2 y 3 w => 3 | ZADD b 10 y 20 z 1 w => 3 | ZINTER 2 a b WITHSCORES => [\"w\" \"4\" \"y\" \"12\"] | ZINTER 2 a b WEIGHTS 1 2 AGGREGATE MIN => [\"w\" \"y\"] | ZINTER 2 a none => [] | ZINTERSTORE d 2 a b => 2 | ZSCORE d w => \"4\" | ZINTERCARD 2 a b => 2 | ZINTERCARD 2 a b LIMIT 1 => 1 | ZINTERCARD 2 a b LIMIT 0 => 2 | ZINTERCARD 1 none => 0 | ZINTER 2 a a WITHSCORES => [\"x\" \"2\" \"y\" \"4\" \"w\" \"6\"]",
    );
}

#[test]
fn differences() {
    check(
        "ZADD a 1 x 2 y 3 w => 3 | ZADD b 10 y => 1 | ZDIFF 2 a b WITHSCORES => [\"x\" \"1\" \"w\" \"3\"] | ZDIFF 3 a none b => [\"x\" \"w\"] | ZDIFF 2 a a => [] | ZDIFFSTORE d 2 a b => 2 | ZRANGE d 0 -1 => [\"x\" \"w\"] | ZDIFFSTORE d 2 a a => 0 | EXISTS d => 0",
    );
}

#[test]
fn errors_of_unions_and_the_like() {
    check(
        "ZUNION 0 z => -ERR at least 1 input key is needed for 'zunion' command | ZUNIONSTORE d 0 z => -ERR at least 1 input key is needed for 'zunionstore' command | ZINTERCARD -1 z => -ERR at least 1 input key is needed for 'zintercard' command | ZDIFF a z => -ERR value is not an integer or out of range | ZUNION 3 z s => -ERR syntax error",
    );
    check(
        "ZUNION 1 z WEIGHTS => -ERR syntax error | ZUNION 1 z WEIGHTS a => -ERR weight value is not a float | ZUNION 1 z WEIGHTS 1 2 => -ERR syntax error | ZUNION 1 z AGGREGATE => -ERR syntax error | ZINTER 1 z AGGREGATE foo => -ERR syntax error | ZUNIONSTORE d 1 z WITHSCORES => -ERR syntax error | ZDIFF 1 z WEIGHTS 1 => -ERR syntax error | ZINTER 1 z LIMIT 1 => -ERR syntax error",
    );
    check(
        "ZINTERCARD 1 z LIMIT -1 => -ERR LIMIT can't be negative | ZINTERCARD 1 z LIMIT a => -ERR LIMIT can't be negative | ZINTERCARD 1 z LIMIT => -ERR syntax error | ZINTERCARD 1 z WITHSCORES => -ERR syntax error",
    );
    check(
        "SET s x => OK | ZUNION 2 z s foo => -WRONGTYPE Operation against a key holding the wrong kind of value | ZUNIONSTORE s 1 none => 0 | EXISTS s => 0",
    );
}

/// A weight of infinity makes no number of zero: for the first set it counts as zero, for others the aggregate decides.
#[test]
fn scores_that_are_no_numbers() {
    check(
        "ZADD a -2.5 m 1 z => 2 | ZADD b 0 m 1 z => 2 | ZINTERSTORE d 2 a b WEIGHTS inf inf AGGREGATE MAX => 2 | ZRANGE d 0 -1 WITHSCORES => [\"m\" \"-inf\" \"z\" \"inf\"] | ZINTERSTORE d 2 b a WEIGHTS inf 1 AGGREGATE MAX => 2 | ZSCORE d m => \"0\" | ZUNIONSTORE d 2 a b WEIGHTS inf inf AGGREGATE MAX => 2 | ZSCORE d m => \"0\"",
    );
}
