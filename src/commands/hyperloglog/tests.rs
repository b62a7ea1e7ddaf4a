//! Conversations about HyperLogLogs. Bytes and replies are those of Valkey 9.1.

use crate::sim::check;
use crate::sim::check_outside_multi;

#[test]
fn adding_and_counting() {
    check(
        "PFADD h a b c foo bar => 1 | GET h => \"HYLL\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x80\\x5c\\xb3\\x90\\x44\\x3e\\x80\\x46\\x21\\x80\\x4a\\x8e\\x84\\x4b\\xfb\\x80\\x42\\x5a\" | PFCOUNT h => 5 | GET h => \"HYLL\\x01\\x00\\x00\\x00\\x05\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x5c\\xb3\\x90\\x44\\x3e\\x80\\x46\\x21\\x80\\x4a\\x8e\\x84\\x4b\\xfb\\x80\\x42\\x5a\"",
    );
    check(
        "PFADD h => 1 | PFADD h => 0 | PFCOUNT h => 0 | PFADD h a => 1 | PFADD h a => 0 | PFCOUNT h h => 1 | PFCOUNT m => 0 | EXISTS m => 0 | OBJECT ENCODING h => \"raw\"",
    );
    check(
        "PFADD a x y => 1 | PFADD b y z => 1 | PFCOUNT a b m => 3 | PFMERGE d a b => OK | PFCOUNT d => 3 | PFMERGE e => OK | PFCOUNT e => 0",
    );
    check("PFADD h a => 1 | PEXPIRE h 1000 => 1 | PFADD h b => 1 | PFMERGE h h => OK | PTTL h => 1000");
}

#[test]
fn looking_inside() {
    check(
        "PFADD h a b c foo bar => 1 | PFDEBUG DECODE h => \"Z:7348 v:5,1 Z:1087 v:1,1 Z:1570 v:1,1 Z:2703 v:2,1 Z:3068 v:1,1 Z:603\" | PFDEBUG ENCODING h => sparse | PFDEBUG TODENSE h => 1 | PFDEBUG TODENSE h => 0 | STRLEN h => 12304 | PFDEBUG ENCODING h => dense | PFDEBUG DECODE h => -ERR HLL encoding is not sparse | PFADD h a => 0 | PFADD h other => 1 | PFCOUNT h => 6",
    );
    check(
        "PFDEBUG XX nokey => -ERR The specified key does not exist | PFADD h a => 1 | PFDEBUG XX h => -ERR Unknown PFDEBUG subcommand 'XX' | PFDEBUG GETREG h => * | PFDEBUG ENCODING h => dense",
    );
    check_outside_multi("PFSELFTEST => OK");
}

#[test]
fn other_strings_are_refused() {
    let wrong = "-WRONGTYPE Key is not a valid HyperLogLog string value.";
    let broken = "-INVALIDOBJ Corrupted HLL object detected";
    check(&format!(
        "SET s x => OK | PFCOUNT s => {wrong} | PFADD s x => {wrong} | PFMERGE m s => {wrong} | PFCOUNT s m => {wrong} | PFDEBUG GETREG s => {wrong} | SET n 5 => OK | PFADD n x => {wrong}"
    ));
    check(&format!(
        "SET bad \"HYLL\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x80\\x00\" => OK | PFCOUNT bad => {broken} | PFADD bad x => {broken} | PFADD bad => 0 | PFMERGE m bad => {broken} | PFCOUNT bad m => {broken} | PFDEBUG GETREG bad => {broken} | PFDEBUG TODENSE bad => {broken} | PFDEBUG DECODE bad => \"z:1\" | EXISTS m => 0"
    ));
}

#[test]
fn unknown_subcommands_are_shown_whole() {
    let name = "x".repeat(1000);
    check(&format!("PFADD h a => 1 | PFDEBUG {name} h => -ERR Unknown PFDEBUG subcommand '{name}'"));
}

/// A sparse value that ends in the middle: what was added before the end stays, though the reply is an error.
#[test]
fn what_is_added_before_the_damage_stays() {
    let broken = "-INVALIDOBJ Corrupted HLL object detected";
    check(&format!(
        "SET bad \"HYLL\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x80\\x5f\\x3f\" => OK | PFADD bad x foo => {broken} | PFDEBUG DECODE bad => \"Z:8000\" | PFADD bad foo x w => {broken} | PFDEBUG DECODE bad => \"Z:7348 v:5,1 Z:651\""
    ));
}
