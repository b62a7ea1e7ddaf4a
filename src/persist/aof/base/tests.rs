//! Commands of all kinds of values: against those of a Redis, in steps of all sizes, and read again.

use super::*;
use crate::config::Config;
use crate::persist::aof::{Event, Reader};
use crate::persist::rdb::tests::{Sample, samples};
use crate::persist::save::tests::store;
use crate::sim::conversation::{check, request};
use crate::sim::world::World;

/// What commands say, one a line.
fn lines(commands: &[u8]) -> Vec<String> {
    let mut reader = Reader::new(0);
    reader.feed(commands);
    let mut lines = Vec::new();
    while let Some(event) = reader.next().unwrap() {
        lines.push(match event {
            Event::Command(command) => {
                command.args().map(|arg| arg.escape_ascii().to_string()).collect::<Vec<_>>().join(" ")
            }
            Event::Timestamp(seconds) => format!("at {seconds}"),
        });
    }
    reader.end().unwrap();
    lines
}

/// A world of one core in which a client said this, and got no error.
fn world_after(requests: &[Vec<u8>]) -> World {
    let mut config = Config::default();
    config.set_by_server("enable-debug-command", b"yes");
    let mut world = World::configured(1, 5, config);
    let client = world.connect();
    for request in requests {
        world.write(client, request);
        world.run_until_quiet();
        let reply = std::mem::take(world.inbox(client));
        assert!(!reply.starts_with(b"-"), "{}: {}", request.escape_ascii(), reply.escape_ascii());
    }
    world
}

fn words(text: &str) -> Vec<u8> {
    request(&text.split(' ').map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>())
}

/// What Redis 7.0.15 wrote after the same commands, its keys in another order. It has scores of packed sorted sets that are
/// integers as such, which `%.17g` writes alike.
#[test]
fn commands_are_those_of_redis() {
    let said = "SET s hello|SET i 12345|PEXPIREAT i 99795779637207|RPUSH l a b c 1 2|SADD s1 3 2 1|\
        ZADD z 1 a 2.5 b 0.1 c inf d -inf e 1e300 f 3.0e-20 g 100000000000000000000 h -0.0 i|HMSET h a 1 b 2|\
        XADD x 1-1 a 1 b 2|XADD x 2-1 a 1 b 2|XADD x 3-1 c 3|XDEL x 2-1|XGROUP CREATE x g 0|XGROUP CREATE x g2 $|\
        XGROUP CREATE x g3 1-1 ENTRIESREAD 5|XREADGROUP GROUP g c1 COUNT 1 STREAMS x >|\
        XCLAIM x g c1 0 1-1 TIME 5 RETRYCOUNT 1 JUSTID|XGROUP CREATECONSUMER x g idle|\
        XADD xe 5-5 a b|XDEL xe 5-5|XADD x0 7-7 a b|XTRIM x0 MAXLEN 0|XGROUP CREATE xg g 0 MKSTREAM|\
        EXPIREAT xg 99795680637|SELECT 3|SET k v";
    let wanted = "SELECT 0|SET s hello|SET i 12345|PEXPIREAT i 99795779637207|RPUSH l a b c 1 2|SADD s1 1 2 3|\
        ZADD z -inf e 0 i 3.0000000000000003e-20 g 0.10000000000000001 c 1 a 2.5 b 1e+20 h 1.0000000000000001e+300 f inf d|\
        HMSET h a 1 b 2|XADD x 1-1 a 1 b 2|XADD x 3-1 c 3|XSETID x 3-1 ENTRIESADDED 3 MAXDELETEDID 2-1|\
        XGROUP CREATE x g 1-1 ENTRIESREAD -1|XCLAIM x g c1 0 1-1 TIME 5 RETRYCOUNT 1 JUSTID FORCE|\
        XGROUP CREATECONSUMER x g idle|XGROUP CREATE x g2 3-1 ENTRIESREAD -1|XGROUP CREATE x g3 1-1 ENTRIESREAD 5|\
        XADD xe MAXLEN 0 0-1 x y|XSETID xe 5-5 ENTRIESADDED 1 MAXDELETEDID 5-5|\
        XADD x0 MAXLEN 0 0-1 x y|XSETID x0 7-7 ENTRIESADDED 1 MAXDELETEDID 0-0|\
        XADD xg MAXLEN 0 0-1 x y|XSETID xg 0-0 ENTRIESADDED 0 MAXDELETEDID 0-0|XGROUP CREATE xg g 0-0 ENTRIESREAD -1|\
        PEXPIREAT xg 99795680637000|SELECT 3|SET k v";
    let mut world = world_after(&said.split('|').map(words).collect::<Vec<_>>());
    let written = lines(&world.base().unwrap());
    // The commands of a key follow each other; keys, and how often a database is selected, depend on hashes.
    for key in ["s", "i", "l", "s1", "z", "h", "x", "xe", "x0", "xg", "k"] {
        let of_key = |line: &&str| line.split(' ').nth(place_of_key(line)) == Some(key);
        let written: Vec<&str> = written.iter().map(String::as_str).filter(of_key).collect();
        assert_eq!(written, wanted.split('|').filter(of_key).collect::<Vec<_>>());
    }
    assert_eq!(
        lines(&head(Some(7), [&b"#!lua name=a"[..], b"#!lua name=b"].into_iter())),
        ["at 7", "FUNCTION LOAD #!lua name=a", "FUNCTION LOAD #!lua name=b"]
    );
}

fn place_of_key(line: &str) -> usize {
    if line.starts_with("XGROUP") { 2 } else { 1 }
}

/// A store as commands, and the most that a step added.
fn written(store: &Store, step_bytes: usize) -> (Vec<u8>, usize) {
    let (mut out, mut most) = (Vec::new(), 0);
    store.for_each(&mut |stored| {
        let mut before = out.len();
        let mut rest = entry(stored, step_bytes, &mut out);
        most = most.max(out.len() - before);
        while let Some(more) = &mut rest {
            before = out.len();
            if more.step(stored, step_bytes, &mut out) {
                rest = None;
            }
            most = most.max(out.len() - before);
        }
    });
    (out, most)
}

#[test]
fn steps_change_nothing_and_are_bounded() {
    let store = store();
    let (whole, _) = written(&store, usize::MAX);
    for step_bytes in [1, 1000, 30_000, 1 << 20] {
        let (commands, most) = written(&store, step_bytes);
        assert!(commands == whole, "in steps of {step_bytes}");
        // What is not divided: a node of 8 KiB, whose elements have heads here; some members and fields of a bucket.
        assert!(most <= step_bytes + 16_000, "{most} bytes in a step of {step_bytes}");
    }
    let groups = lines(&whole).into_iter().filter(|line| line.starts_with("SADD set 1000 "));
    assert_eq!(groups.count(), 1000usize.div_ceil(GROUP));
}

#[test]
fn a_stream_is_written_in_steps() {
    let mut said: Vec<Vec<u8>> = Vec::new();
    (1..400).for_each(|n| said.push(words(&format!("XADD s {n}-1 field {n}"))));
    for group in ["g", "h"] {
        said.push(words(&format!("XGROUP CREATE s {group} 0")));
        (0..3).for_each(|n| said.push(words(&format!("XREADGROUP GROUP {group} c{n} COUNT 90 STREAMS s >"))));
    }
    (3..200).step_by(3).for_each(|n| said.push(words(&format!("XDEL s {n}-1"))));
    said.push(words("XTRIM s MINID 20-1"));
    let mut world = world_after(&said);
    let shard = world.cores[0].shard_at_home().unwrap();
    let stored = &shard.dbs[0].store;
    let (whole, _) = written(stored, usize::MAX);
    for step_bytes in [1, 700, 5000] {
        let (commands, most) = written(stored, step_bytes);
        assert!(commands == whole, "in steps of {step_bytes}");
        assert!(most <= step_bytes + 500, "{most} bytes in a step of {step_bytes}");
    }
}

/// Values of every type and encoding, as real servers dumped them.
#[test]
fn what_is_written_makes_the_same_values() {
    let restore = |(at, sample): (usize, &Sample)| {
        let key = format!("{} {} {at}", sample.kind, sample.encoding).into_bytes();
        let expiry = if at % 4 == 0 { &b"99795680637000"[..] } else { b"0" };
        request(&[b"RESTORE".to_vec(), key, expiry.to_vec(), sample.payload.clone(), b"ABSTTL".to_vec()])
    };
    let samples = samples();
    assert!(samples.len() > 20, "{}", samples.len());
    let mut world = world_after(&samples.iter().enumerate().map(restore).collect::<Vec<_>>());
    let base = world.base().unwrap();
    let mut reader = world_after(&[]);
    reader.read_log(&base);
    reader.set_now_ms(world.now_ms());
    let digests = |world: &mut World| {
        let client = world.connect();
        for (at, sample) in samples.iter().enumerate() {
            let key = format!("{} {} {at}", sample.kind, sample.encoding).into_bytes();
            world.write(client, &request(&[b"DEBUG".to_vec(), b"DIGEST-VALUE".to_vec(), key.clone()]));
            world.write(client, &request(&[b"PEXPIRETIME".to_vec(), key]));
        }
        world.run_until_quiet();
        String::from_utf8(std::mem::take(world.inbox(client))).unwrap()
    };
    let (wanted, got) = (digests(&mut world), digests(&mut reader));
    for (at, (wanted, got)) in wanted.split("*1").zip(got.split("*1")).enumerate().skip(1) {
        assert!(wanted.len() > 45, "there is a digest: {wanted}");
        assert_eq!(got, wanted, "{} {}", samples[at - 1].kind, samples[at - 1].encoding);
    }
}

/// Redis loses these where it writes commands. The conversations' end compares what a base makes of them.
#[test]
fn what_is_pending_and_deleted_stays_pending() {
    const BEGIN: &str = "XADD s 1-1 a 1 => * | XADD s 2-1 a 2 => * | XADD s 3-1 a 3 => * | XADD s 4-1 a 4 => * | \
        XGROUP CREATE s g 0 => OK | XGROUP CREATE s h 2-1 => OK | XREADGROUP GROUP g c STREAMS s > => * | \
        XREADGROUP GROUP h d COUNT 1 STREAMS s > => *";
    for (change, left) in [
        ("XDEL s 3-1 => 1", 3),
        ("XTRIM s MINID 3-1 => 2", 2),
        ("XTRIM s MAXLEN 0 => 4", 0),
        ("XDEL s 1-1 2-1 3-1 4-1 => 4", 0),
        ("XTRIM s MINID 2-1 => 1 | XDEL s 4-1 3-1 => 2", 1),
    ] {
        let pending = "XPENDING s g => [4 \"1-1\" \"4-1\" [[\"c\" \"4\"]]]";
        check(&format!("{BEGIN} | {change} | XLEN s => {left} | {pending}"));
    }
}
