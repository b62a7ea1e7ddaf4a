//! Conversations with a server whose memory is full. The errors are what Redis 7.0 replied.

use crate::config::{Config, MaxmemoryPolicy};
use crate::sim::conversation::{check_configured_outside_multi, check_outside_multi};

const OOM: &str = "-OOM command not allowed when used memory > 'maxmemory'.";

#[test]
fn what_needs_memory_is_refused() {
    check_outside_multi(&format!(
        "SET a 1 => OK | SET b 1 => OK | CONFIG SET maxmemory 1 => OK | SET k v => {OOM} | MSET a 2 b 2 => {OOM} | LPUSH l x => {OOM} | GET a => \"1\" | MGET a b => [\"1\" \"1\"] | DEL a => 1 | EXPIRE b 100 => 1 | CONFIG SET maxmemory 0 => OK | SET k v => OK"
    ));
}

#[test]
fn inside_multi_everything_is_refused() {
    check_outside_multi(&format!(
        "CONFIG SET maxmemory 1 => OK | MULTI => OK | GET k => {OOM} | EXEC => -EXECABORT Transaction discarded because of previous errors. | MULTI => OK | DISCARD => OK | MULTI => OK | PING => {OOM} | RESET => RESET | GET k => nil"
    ));
    check_outside_multi(&format!(
        "SET k v => OK | MULTI => OK | SET k w => QUEUED | b> CONFIG SET maxmemory 1 => OK | EXEC => -EXECABORT Transaction discarded because of: {} | GET k => \"v\"",
        &OOM[1..]
    ));
    check_outside_multi(
        "SET k v => OK | MULTI => OK | GET k => QUEUED | DEL k => QUEUED | b> CONFIG SET maxmemory 1 => OK | EXEC => [\"v\" 1]",
    );
}

#[test]
fn without_keys_that_may_go_it_is_full() {
    check_outside_multi(&format!(
        "SET k v => OK | CONFIG SET maxmemory 1 maxmemory-policy volatile-lru => OK | SET a 1 => {OOM} | GET k => \"v\""
    ));
    check_outside_multi(&format!(
        "CONFIG SET maxmemory 1 maxmemory-policy allkeys-lru => OK | SET a 1 => {OOM} | DBSIZE => 0"
    ));
}

/// What was evicted, on whatever core, is watched, counted and gone.
#[test]
fn keys_go_when_memory_is_full() {
    check_outside_multi(
        "MSET a 1 b 1 c 1 d 1 e 1 f 1 => OK | WATCH a b c d e f => OK | CONFIG SET maxmemory 1 maxmemory-policy allkeys-random => OK | tick | b> EXISTS a b c d e f => 0 | b> CONFIG SET maxmemory 0 => OK | MULTI => OK | SET k v => QUEUED | EXEC => nil",
    );
    check_outside_multi(
        "SET a 1 EX 100 => OK | SET b 1 EX 200 => OK | SET c 1 => OK | CONFIG SET maxmemory 1 maxmemory-policy volatile-ttl => OK | tick | EXISTS a b c => 1 | GET c => \"1\"",
    );
}

/// Filling it far beyond what it may hold: it never refuses, and keeps within its limit.
#[test]
fn a_cache_stays_within_its_limit() {
    let mut config = Config::default();
    config.maxmemory = 4 << 20;
    config.maxmemory_policy = MaxmemoryPolicy::AllkeysLru;
    let value = "x".repeat(50_000);
    let sets: String = (0..200).map(|number| format!("SET k{number} {value} => OK | ")).collect();
    check_configured_outside_multi(&config, &format!("{sets}GET k199 => \"{value}\" | GET k0 => nil"));
}

/// What other shards hold is evicted before the command runs, too: who looked at once still saw it.
#[test]
fn what_must_go_is_gone_at_once() {
    check_outside_multi(
        "SET a 1 EX 100 => OK | SET b 1 EX 100 => OK | SET c 1 EX 100 => OK | SET d 1 EX 100 => OK | SET k v => OK | CONFIG SET maxmemory-policy volatile-ttl maxmemory 1 => OK | GET k => \"v\" | b> CONFIG SET maxmemory 0 => OK | EXISTS a b c d => 0 | GET k => \"v\"",
    );
}
