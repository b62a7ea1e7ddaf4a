//! Conversations about the server.

use super::config::set_back;
use crate::config::Changed;
use crate::sim::world::World;
use crate::sim::{check, check_changes, check_outside_multi, check3};

#[test]
fn databases_are_counted_flushed_and_swapped() {
    check(
        "MSET a 1 b 2 c 3 d 4 e 5 => OK | DBSIZE => 5 | SWAPDB 0 1 => OK | DBSIZE => 0 | SWAPDB 1 0 => OK | \
         GET a => \"1\" | SWAPDB 0 0 => OK | FLUSHDB => OK | DBSIZE => 0 | GET a => nil",
    );
    check(
        "SET a 1 => OK | SELECT 1 => OK | SET b 1 => OK | FLUSHDB ASYNC => OK | DBSIZE => 0 | SELECT 0 => OK | \
         DBSIZE => 1 | FLUSHALL SYNC => OK | DBSIZE => 0",
    );
    check(
        "SWAPDB x 0 => -ERR invalid first DB index | SWAPDB 0 x => -ERR invalid second DB index | \
         SWAPDB 0 16 => -ERR DB index is out of range | SWAPDB -1 0 => -ERR DB index is out of range",
    );
    check("FLUSHALL now => -ERR syntax error | FLUSHDB SYNC ASYNC => -ERR syntax error");
}

#[test]
fn a_flush_and_a_swap_are_seen_by_watchers() {
    check_outside_multi(
        "SET a 1 => OK | WATCH a => OK | b> FLUSHALL => OK | MULTI => OK | PING => QUEUED | EXEC => nil",
    );
    check_outside_multi(
        "SET a 1 => OK | WATCH a => OK | b> SWAPDB 0 5 => OK | MULTI => OK | PING => QUEUED | EXEC => nil",
    );
}

#[test]
fn configuration_is_read_and_changed() {
    check(
        "CONFIG SET maxmemory 100mb HZ 20 => OK | CONFIG GET maxmemory => [\"maxmemory\" \"104857600\"] | \
         CONFIG GET hz nosuch => [\"hz\" \"20\"] | CONFIG GET nosuch => []",
    );
    check3("CONFIG GET maxmemory => {\"maxmemory\": \"0\"}");
    check(
        "CONFIG SET maxmemory x => -ERR CONFIG SET failed (possibly related to argument 'maxmemory') - argument must be a memory value | \
         CONFIG SET hz 30 nosuch 1 => -ERR Unknown option or number of arguments for CONFIG SET - 'nosuch' | \
         CONFIG GET hz => [\"hz\" \"10\"] | CONFIG SET hz => -ERR wrong number of arguments for 'config|set' command",
    );
    check("CONFIG nosuch => -ERR unknown subcommand 'nosuch'. Try CONFIG HELP.");
    check("CONFIG REWRITE => -ERR The server is running without a config file | CONFIG RESETSTAT => OK");
}

#[test]
fn the_next_command_sees_a_changed_option() {
    check(
        "SET k aaaa => OK | CONFIG SET proto-max-bulk-len 1mb => OK | \
         SETRANGE k 1048576 a => -ERR string exceeds maximum allowed size (proto-max-bulk-len)",
    );
}

#[test]
fn the_slow_log_keeps_what_was_slow() {
    check_outside_multi(
        // With RESET it is not replayed from scripts, which are logged, too.
        "RESET => RESET | CONFIG SET slowlog-log-slower-than -1 => OK | SLOWLOG RESET => OK | SLOWLOG GET => [] | \
         CONFIG SET slowlog-log-slower-than 0 => OK | SLOWLOG RESET => OK | SET k v => OK | SLOWLOG LEN => 2 | \
         CONFIG SET slowlog-log-slower-than -1 => OK | SLOWLOG RESET => OK | GET k => \"v\" | SLOWLOG LEN => 0",
    );
    // On a busy machine any command may be slow.
    check(
        "CONFIG SET slowlog-log-slower-than -1 => OK | SLOWLOG RESET => OK | \
         SLOWLOG GET -2 => -ERR count should be greater than or equal to -1 | SLOWLOG GET -1 => [] | \
         SLOWLOG GET x => -ERR count should be greater than or equal to -1 | \
         SLOWLOG GET 1 2 => -ERR unknown subcommand or wrong number of arguments for 'GET'. Try SLOWLOG HELP.",
    );
}

#[test]
fn latency_without_events() {
    check(
        "LATENCY LATEST => [] | LATENCY HISTORY command => [] | LATENCY RESET => 0 | LATENCY RESET command => 0 | \
         LATENCY GRAPH nosuch => -ERR No samples available for event 'nosuch' | LATENCY HISTOGRAM nosuch => []",
    );
    check3("SET k v => OK | LATENCY HISTOGRAM nosuch => {} | LATENCY DOCTOR => *");
}

#[test]
fn the_table_describes_itself() {
    check(
        "COMMAND GETKEYS MSET a 1 b 2 => [\"a\" \"b\"] | COMMAND GETKEYS GET => -ERR Invalid number of arguments specified for command | \
         COMMAND GETKEYS PING => -ERR The command has no key arguments | COMMAND GETKEYS NOSUCH a => -ERR Invalid command specified | \
         COMMAND GETKEYSANDFLAGS GET a => [[\"a\" [RO access]]] | \
         COMMAND GETKEYSANDFLAGS SET a 1 => [[\"a\" [OW update]]] | COMMAND GETKEYSANDFLAGS SET a 1 get => [[\"a\" [RW access update]]] | COMMAND GETKEYS OBJECT ENCODING a => [\"a\"]",
    );
    let unfit = "-ERR Invalid arguments specified for command";
    check(&format!(
        "COMMAND GETKEYS MIGRATE h 1 k 0 1 KEYS a b => {unfit} | COMMAND GETKEYS MIGRATE h 1 \"\" 0 1 KEYS a b => [\"a\" \"b\"] | \
         COMMAND GETKEYS ZUNIONSTORE d 0 a b => {unfit} | COMMAND GETKEYS LMPOP 0 a LEFT => {unfit} | COMMAND GETKEYS EVAL x 0 => [] | \
         COMMAND GETKEYS XREAD BLOCK 1 COUNT streams streams a 0 => [\"streams\"] | COMMAND GETKEYS XREAD COUNT 1 a 0 => {unfit} | \
         COMMAND GETKEYSANDFLAGS MIGRATE h 1 \"\" 0 1 KEYS a => [[\"a\" [RW access delete]]] | \
         COMMAND GETKEYSANDFLAGS BITFIELD a SET u8 0 1 => [[\"a\" [RW access update]]]"
    ));
    check(
        "COMMAND LIST FILTERBY PATTERN slow* => ?[\"slowlog\" \"slowlog|get\" \"slowlog|help\" \"slowlog|len\" \"slowlog|reset\"] | \
         COMMAND LIST FILTERBY ACLCAT nosuch => [] | COMMAND LIST FILTERBY MODULE m => [] | COMMAND LIST x => -ERR syntax error",
    );
    check(
        "COMMAND INFO nosuch => [nil] | COMMAND DOCS nosuch => [] | COMMAND INFO dbsize => \
         [[\"dbsize\" 1 [readonly fast] 0 0 0 [@keyspace @read @fast] \
         [\"request_policy:all_shards\" \"response_policy:agg_sum\"] [] []]]",
    );
    check(
        "COMMAND nosuch => -ERR unknown subcommand 'nosuch'. Try COMMAND HELP. | COMMAND DOCS => * | COMMAND => *",
    );
}

#[test]
fn memory_of_keys() {
    check(
        "MEMORY USAGE k => nil | SET k v => OK | MEMORY USAGE k SAMPLES 0 => * | MEMORY USAGE k SAMPLES -1 => -ERR syntax error | \
         MEMORY USAGE k SAMPLES x => -ERR value is not an integer or out of range | MEMORY USAGE k x => -ERR syntax error | \
         MEMORY PURGE => OK | MEMORY DOCTOR => * | MEMORY STATS => *",
    );
}

#[test]
fn facts_about_the_process() {
    check(
        "ROLE => [\"master\" 0 []] | TIME => * | LASTSAVE => * | LOLWUT => * | LOLWUT VERSION 5 1 2 3 => *",
    );
    check("LOLWUT VERSION x => -ERR value is not an integer or out of range | INFO nosuch => \"\"");
    check_outside_multi(
        "SHUTDOWN ABORT => -ERR No shutdown in progress. | SHUTDOWN x => -ERR syntax error | \
         SHUTDOWN SAVE NOSAVE => -ERR syntax error | SHUTDOWN abort ABORT => -ERR No shutdown in progress. | \
         SHUTDOWN ABORT NOW => -ERR syntax error | SHUTDOWN SAVE ABORT => -ERR syntax error",
    );
}

#[test]
fn info_sums_over_the_shards() {
    check(
        "MSET a 1 b 2 c 3 d 4 => OK | INFO keyspace => \"# Keyspace\\r\\ndb0:keys=4,expires=0,avg_ttl=0,subexpiry=0\\r\\n\" | \
         INFO cluster modules => \"# Modules\\r\\n\\r\\n# Cluster\\r\\ncluster_enabled:0\\r\\n\" | INFO => * | INFO everything => *",
    );
}

/// As Redis counts them, wherever the keys are.
#[test]
fn elements_count_as_changes_and_moves_count_once() {
    check_changes(
        "RPUSH a 1 2 3 => 3 | LTRIM a 0 -1 => 0 | LMOVE a b LEFT LEFT => 1 | LMOVE a c LEFT LEFT => 1 | RENAME b d => 1 | \
         RENAME c e => 1 | COPY d f => 1 | MOVE f 1 => 1 | LPOP a 5 => 1 | SADD s 1 2 3 => 3 | SMOVE s t 1 => 2 | \
         SMOVE s u 2 => 2 | SPOP s 5 => 1 | MSET x 1 y 2 z 3 => 3 | DEL x y none => 2 | CONFIG RESETSTAT => 0 | \
         SWAPDB 0 1 => 1 | SWAPDB 5 5 => 1 | FLUSHDB => 1",
    );
}

#[test]
fn latencies_are_shown_while_they_are_tracked() {
    check_outside_multi(
        "GET k => nil | CONFIG SET latency-tracking no => OK | GET k => nil | INFO latencystats => \"# Latencystats\\r\\n\" \
         | CONFIG SET latency-tracking yes => OK | INFO latencystats => *",
    );
}

#[test]
fn monitors_see_the_commands_of_all() {
    check_outside_multi(
        "MONITOR => OK | b> SET k v => OK | a> => * | RESET => * | b> GET k => \"v\" | PING => *",
    );
    // Who comes back is shown what follows, although something ran meanwhile.
    check_outside_multi(
        "MONITOR => OK | b> PING => PONG | a> => * | RESET => RESET | b> PING => PONG | MONITOR => OK | b> PING => PONG | a> => *",
    );
    let refused = "-ERR Replica can't interact with the keyspace";
    check_outside_multi(&format!(
        "b> SET k v => OK | MONITOR => OK | GET k => {refused} | MULTI => OK | a> => * | SET k 1 => {refused} \
         | EXEC => -EXECABORT Transaction discarded because of previous errors. | a> => * | RESET => RESET | GET k => \"v\""
    ));
}

#[test]
fn debug_is_off_unless_allowed() {
    check(
        "DEBUG SLEEP 0 => -ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", \
         you can run it from a local connection, otherwise you need to set this option in the configuration file, and then restart the server.",
    );
}

/// Another client may have changed an option since, and a value may not be possible any more: the rest goes back all the same.
#[test]
fn what_a_failed_change_set_goes_back_as_far_as_it_can() {
    let world = World::new(1, 1);
    let was = |name, before: &str, after: &str| Changed { name, before: before.into(), after: after.into() };
    let changed = [was("hz", "none", "10"), was("timeout", "7", "0"), was("maxclients", "7", "77")];
    set_back(&world.shared, &mut Vec::new(), &changed);
    let config = world.shared.config();
    assert_eq!((config.hz, config.timeout_s, config.maxclients), (10, 7, 10_000));
}
