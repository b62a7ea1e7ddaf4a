//! Conversations about keys, whatever they hold.

use crate::sim::{check, check_outside_multi, check3};

#[test]
fn deleting_and_counting() {
    check(
        "MSET a 1 b 2 c 3 => OK | EXISTS a b a x => 3 | DEL a x b => 2 | EXISTS a b c => 1 | UNLINK c c => 1",
    );
    check(
        "DEL => -ERR wrong number of arguments for 'del' command | TOUCH x => 0 | SET x 1 => OK | TOUCH x y => 1",
    );
    check("TYPE x => none | SET x 1 => OK | TYPE x => string");
}

#[test]
fn expiry_comes_and_goes() {
    check(
        "SET k v => OK | TTL k => -1 | EXPIRE k 100 => 1 | TTL k => 100 | PERSIST k => 1 | PERSIST k => 0 | TTL k => -1",
    );
    check(
        "TTL x => -2 | PTTL x => -2 | EXPIRETIME x => -2 | PEXPIRETIME x => -2 | EXPIRE x 1 => 0 | PERSIST x => 0",
    );
    check("SET k v => OK | PEXPIRE k 50 => 1 | +60ms | EXISTS k => 0 | PTTL k => -2");
    check(
        "SET k v => OK | EXPIREAT k 9999999999 => 1 | EXPIRETIME k => 9999999999 | PEXPIRETIME k => 9999999999000",
    );
    check("SET k v => OK | EXPIRE k -1 => 1 | EXISTS k => 0");
    check("SET k v => OK | PEXPIREAT k 1 => 1 | GET k => nil | EXPIRE k 10 => 0");
}

#[test]
fn expiry_under_conditions() {
    check(
        "SET k v => OK | EXPIRE k 100 XX => 0 | EXPIRE k 100 GT => 0 | EXPIRE k 100 NX => 1 | EXPIRE k 50 NX => 0",
    );
    check(
        "SET k v => OK | EXPIRE k 100 LT => 1 | EXPIRE k 200 LT => 0 | EXPIRE k 200 GT => 1 | EXPIRE k 100 XX LT => 1 | TTL k => 100",
    );
    check("EXPIRE k 1 NX XX => -ERR NX and XX, GT or LT options at the same time are not compatible");
    check("EXPIRE k 1 GT LT => -ERR GT and LT options at the same time are not compatible");
    check(
        "EXPIRE k x FOO => -ERR Unsupported option FOO | EXPIRE k x => -ERR value is not an integer or out of range",
    );
    check(
        "SET k v => OK | EXPIRE k 9223372036854775807 => -ERR invalid expire time in 'expire' command | TTL k => -1",
    );
    check("PEXPIRE k 9223372036854775807 => -ERR invalid expire time in 'pexpire' command");
}

#[test]
fn renaming() {
    check("SET a 1 EX 100 => OK | RENAME a b => OK | EXISTS a => 0 | GET b => \"1\" | TTL b => 100");
    check("SET a 1 => OK | SET b 2 EX 100 => OK | RENAME a b => OK | GET b => \"1\" | TTL b => -1");
    check("RENAME x y => -ERR no such key | RENAMENX x x => -ERR no such key");
    check(
        "MSET a 1 b 2 => OK | RENAMENX a b => 0 | RENAMENX a c => 1 | RENAME b b => OK | RENAMENX b b => 0 | MGET a b c => [nil \"2\" \"1\"]",
    );
    check(
        "SET a v PX 50 => OK | SET b w => OK | +60ms | RENAME a b => -ERR no such key | RENAMENX b a => 1 | GET a => \"w\"",
    );
}

#[test]
fn copying_and_moving() {
    check(
        "SET a 1 EX 100 => OK | COPY a b => 1 | COPY a b => 0 | TTL b => 100 | SET a 2 => OK | COPY a b REPLACE => 1 | TTL b => -1 | GET b => \"2\"",
    );
    check(
        "SET a 1 => OK | COPY a a => -ERR source and destination objects are the same | COPY a a DB 1 => 1 | COPY x y => 0",
    );
    check(
        "COPY a b DB 99 => -ERR DB index is out of range | COPY a b DB => -ERR syntax error | COPY a b FOO => -ERR syntax error",
    );
    check(
        "SET a text => OK | MOVE a 1 => 1 | GET a => nil | MOVE a 1 => 0 | SELECT 1 => OK | GET a => \"text\" | SELECT 0 => OK",
    );
    check(
        "SET a 1 => OK | COPY a a DB 1 => 1 | MOVE a 1 => 0 | MOVE a 0 => -ERR source and destination objects are the same",
    );
    check(
        "MOVE a x => -ERR value is not an integer or out of range | MOVE a 16 => -ERR DB index is out of range",
    );
}

#[test]
fn walking_over_the_keys() {
    check(
        "KEYS * => [] | MSET a1 1 a2 2 b1 3 => OK | KEYS * => ?[\"a1\" \"a2\" \"b1\"] | KEYS a* => ?[\"a1\" \"a2\"] | KEYS ?1 => ?[\"a1\" \"b1\"]",
    );
    check(
        "MSET a{t} 1 b{t} 2 c 3 => OK | KEYS *{t} => ?[\"a{t}\" \"b{t}\"] | KEYS a{t}* => [\"a{t}\"] | KEYS {t}* => []",
    );
    check(
        "SET a 1 PX 50 => OK | +60ms | KEYS * => [] | RANDOMKEY => nil | SET b 1 => OK | RANDOMKEY => \"b\"",
    );
    check_outside_multi(
        "SET a 1 PX 50 => OK | CLIENT PAUSE 10000 WRITE => OK | +60ms | RANDOMKEY => \"a\" | GET a => nil | CLIENT UNPAUSE => OK | RANDOMKEY => nil",
    );
    check(
        "SCAN x => -ERR invalid cursor | SCAN 0 COUNT 0 => -ERR syntax error | SCAN 0 COUNT x => -ERR value is not an integer or out of range",
    );
    check("SCAN 0 MATCH => -ERR syntax error | SCAN 0 FOO bar => -ERR syntax error");
    // From beyond the last place of the last shard there is nothing more to find.
    check("SET a 1 => OK | SCAN 18446744073709551615 TYPE hash => *");
}

#[test]
fn how_a_key_is_stored() {
    check(
        "SET i 12 => OK | OBJECT ENCODING i => \"int\" | SET s text => OK | OBJECT ENCODING s => \"embstr\" | APPEND s x => 5 | OBJECT ENCODING s => \"raw\"",
    );
    check(
        "OBJECT ENCODING x => nil | OBJECT IDLETIME x => nil | OBJECT FREQ x => nil | OBJECT REFCOUNT x => nil",
    );
    check(
        "SET k v => OK | OBJECT IDLETIME k => 0 | OBJECT REFCOUNT k => 1 | OBJECT FREQ k => -ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.",
    );
    check_outside_multi("OBJECT FOO k => -ERR unknown subcommand 'FOO'. Try OBJECT HELP.");
    check3("OBJECT ENCODING x => nil | RANDOMKEY => nil");
}
