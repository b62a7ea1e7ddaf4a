//! MIGRATE: values that move to another server.
//! In: keys, and where they are to go. Out: first an errand, then, once that is answered, the keys are gone and the reply
//! is there. In between they are neither seen nor changed by anybody.

use super::super::errand::{Answered, Ask, Errand, Failed};
use super::super::{Context, Error, Pending};
use crate::base::number::parse_i64;
use crate::client::Args;
use crate::config::Events;
use crate::persist::object::{self, Style};
use crate::resp::Out;
use std::ops::Range;

/// The time-out where none is given.
const TIMEOUT_MS: u64 = 1000;
/// The longest time-out that is taken at its word: some 24 days.
const TIMEOUT_MS_MAX: u64 = i32::MAX as u64;

/// What MIGRATE was asked to do.
struct Plan<'a> {
    copy: bool,
    replace: bool,
    /// The words of AUTH.
    auth: Vec<&'a [u8]>,
    keys: Args<'a>,
    db: i64,
    timeout_ms: u64,
}

/// An option that stands there, and how many words it takes, if it is one.
fn option(args: Args, at: usize) -> Option<usize> {
    match () {
        () if args.is(at, "COPY") || args.is(at, "REPLACE") => Some(1),
        () if args.is(at, "AUTH") => Some(2),
        () if args.is(at, "AUTH2") => Some(3),
        () => None,
    }
}

impl<'a> Plan<'a> {
    fn parse(args: Args<'a>) -> Result<Self, Error> {
        let (mut copy, mut replace, mut auth) = (false, false, Vec::new());
        let mut keys = args.from(3).first(1);
        let mut at = 6;
        while at < args.len() {
            if args.is(at, "KEYS") {
                if !args.at(3).is_empty() {
                    return Err(Error::MIGRATE_KEYS);
                }
                keys = args.from(at + 1);
                break;
            }
            let words = option(args, at).filter(|words| at + words <= args.len()).ok_or(Error::SYNTAX)?;
            copy |= args.is(at, "COPY");
            replace |= args.is(at, "REPLACE");
            if words > 1 {
                auth = args.from(at + 1).first(words - 1).iter().collect();
            }
            at += words;
        }
        let timeout = parse_i64(args.at(5)).ok_or(Error::NOT_AN_INTEGER)?;
        let db = parse_i64(args.at(4)).ok_or(Error::NOT_AN_INTEGER)?;
        let timeout_ms = if timeout > 0 { (timeout as u64).min(TIMEOUT_MS_MAX) } else { TIMEOUT_MS };
        Ok(Plan { copy, replace, auth, keys, db, timeout_ms })
    }

    /// Replies that come before those about keys.
    fn preface(&self) -> usize {
        1 + usize::from(!self.auth.is_empty())
    }
}

/// Where the word KEYS stands, if keys follow it.
pub fn keys_at(args: Args) -> Option<usize> {
    word_keys_at(args).filter(|_| args.at(3).is_empty())
}

fn word_keys_at(args: Args) -> Option<usize> {
    let mut at = 6;
    while let Some(words) = option(args, at) {
        at += words;
    }
    args.is(at, "KEYS").then_some(at)
}

/// Whether it names keys behind KEYS though it names one before.
pub fn names_keys_twice(args: Args) -> bool {
    word_keys_at(args).is_some_and(|_| !args.at(3).is_empty())
}

/// Where the one key stands, if it is one.
pub fn sole_key_at(args: Args) -> Option<usize> {
    keys_at(args).is_none().then_some(3)
}

/// The arguments that nobody but the other server is to see.
pub fn secrets(args: Args) -> Range<usize> {
    let mut at = 6;
    while let Some(words) = option(args, at) {
        if words > 1 {
            return at + 1..at + words;
        }
        at += words;
    }
    0..0
}

pub fn migrate(cx: &mut Context, args: Args) -> Result<(), Error> {
    let plan = Plan::parse(args)?;
    // What went is logged as deleted, and the rest not at all.
    cx.effects.record_no_more();
    match cx.answer.take() {
        Some(answer) => conclude(cx, &plan, &answer),
        None => ask(cx, args, &plan),
    }
}

/// Says what is to be said to the other server, if any of the keys is there.
fn ask(cx: &mut Context, args: Args, plan: &Plan) -> Result<(), Error> {
    let mut words = Vec::new();
    let mut out = Out { buf: &mut words, resp3: false };
    if !plan.auth.is_empty() {
        let mut words: Vec<&[u8]> = vec![b"AUTH"];
        words.extend(&plan.auth);
        say(&mut out, &words);
    }
    say(&mut out, &[b"SELECT", plan.db.to_string().as_bytes()]);
    let mut keys = Vec::new();
    for key in plan.keys.iter() {
        let (now_ms, style) = (cx.now_ms(), Style::oldest(cx.config));
        let Some(entry) = cx.read(key) else { continue };
        let ttl_ms = entry.expiry().map_or(0, |at_ms| (at_ms - now_ms).max(1));
        let payload = object::dump(entry, style).map_err(super::dump::refusal)?;
        let ttl = ttl_ms.to_string();
        let restore: [&[u8]; 5] = [b"RESTORE", key, ttl.as_bytes(), &payload, b"REPLACE"];
        say(&mut out, &restore[..if plan.replace { 5 } else { 4 }]);
        keys.push(key.to_vec());
    }
    if keys.is_empty() {
        cx.out.simple("NOKEY");
        return Ok(());
    }
    let errand = Errand {
        host: args.at(1).to_vec(),
        port: args.at(2).to_vec(),
        timeout_ms: plan.timeout_ms,
        words,
        preface: plan.preface(),
        replies: plan.preface() + keys.len(),
    };
    cx.pending = Some(Pending::Asks(Box::new(Ask { errand, keys }), None));
    Ok(())
}

fn say(out: &mut Out, words: &[&[u8]]) {
    out.array(words.len());
    words.iter().for_each(|word| out.bulk(word));
}

/// Deletes what the other server took, and answers.
fn conclude(cx: &mut Context, plan: &Plan, answer: &Answered) -> Result<(), Error> {
    let is_error = |line: &&Vec<u8>| line.first() == Some(&b'-');
    let (preface, replies) = answer.heard.lines.split_at(plan.preface().min(answer.heard.lines.len()));
    // An error before them is taken for that of all keys.
    let refused = preface.iter().find(is_error);
    let mut failure = None;
    let mut gone: Vec<&[u8]> = vec![b"DEL"];
    for (key, reply) in answer.keys.iter().zip(replies) {
        if let Some(error) = refused.or(Some(reply).filter(is_error)) {
            failure = failure.or(Some(error));
        } else if !plan.copy && delete(cx, key) {
            gone.push(key);
        }
    }
    if gone.len() > 1 {
        cx.log_as(&gone);
    }
    match (failure, answer.heard.failed) {
        (Some(line), _) => {
            let text = String::from_utf8_lossy(&line[1..]).into_owned();
            Err(Error::new(format!("ERR Target instance replied with error: {text}")))
        }
        (None, Some(Failed::Connecting)) => Err(Error::TARGET_CONNECTING),
        (None, Some(Failed::Writing)) => Err(Error::TARGET_WRITING),
        (None, Some(Failed::Reading)) => Err(Error::TARGET_READING),
        (None, None) => {
            cx.out.ok();
            Ok(())
        }
    }
}

/// Deletes a key that went elsewhere, also if its time has come meanwhile.
fn delete(cx: &mut Context, key: &[u8]) -> bool {
    let db = cx.session.db;
    let was_there = cx.shard(key).remove(db, key);
    if was_there {
        cx.notify(Events::GENERIC, "del", key);
    }
    was_there
}

#[cfg(test)]
mod tests {
    use crate::sim::world::World;
    use crate::sim::{check, check_outside_multi};

    // The hosts of a simulated world do what their names say (see `sim::world`).

    #[test]
    fn keys_go() {
        check(
            "SET a 1 => OK | MIGRATE takes 1 a 0 100 => OK | EXISTS a => 0 | MIGRATE takes 1 a 0 0 => NOKEY",
        );
        check(
            "MSET a 1 b 2 c 3 d 4 => OK | MIGRATE takes 1 \"\" 9 0 REPLACE KEYS a x b y c => OK | EXISTS a b c => 0 | GET d => \"4\"",
        );
        check(
            "SET a 1 => OK | MIGRATE takes 1 a 0 0 COPY => OK | GET a => \"1\" | MIGRATE takes 1 a 0 0 AUTH2 me secret copy replace => OK | MIGRATE takes 1 a 0 0 AUTH secret => OK | GET a => nil",
        );
        check("MIGRATE takes 1 \"\" 0 0 KEYS => NOKEY | MIGRATE takes 1 \"\" 0 0 => NOKEY");
    }

    #[test]
    fn words_that_are_keys() {
        check(
            "MSET KEYS 1 x 2 AUTH 3 => OK | MIGRATE takes 1 \"\" 0 0 AUTH KEYS KEYS KEYS x KEYS AUTH => OK | EXISTS KEYS x AUTH => 0",
        );
        check(
            "COMMAND GETKEYS MIGRATE h 1 \"\" 0 9 KEYS KEYS a => [\"KEYS\" \"a\"] | COMMAND GETKEYS MIGRATE h 1 k 0 9 AUTH KEYS => [\"k\"]",
        );
    }

    #[test]
    fn keys_stay_that_were_not_taken() {
        check(
            "SET a 1 => OK | MIGRATE full 1 a 0 0 AUTH x => -ERR Target instance replied with error: OOM no | GET a => \"1\"",
        );
        check(
            "SET a 1 => OK | MIGRATE strange 1 a 0 0 AUTH x => -ERR Target instance replied with error: NOAUTH who | GET a => \"1\"",
        );
        check(
            "MSET a 1 b 2 => OK | MIGRATE dies 1 \"\" 0 0 KEYS x a b => -IOERR error or timeout reading to target instance | GET a => nil | GET b => \"2\"",
        );
        check(
            "SET a 1 => OK | MIGRATE deaf 1 a 0 0 => -IOERR error or timeout writing to target instance | GET a => \"1\" | MIGRATE nobody 1 a 0 0 => -IOERR error or timeout connecting to the client | GET a => \"1\"",
        );
    }

    #[test]
    fn words_that_are_refused() {
        let keys = "-ERR When using MIGRATE KEYS option, the key argument must be set to the empty string";
        check(&format!(
            "SET a 1 => OK | MIGRATE takes 1 a 0 0 KEYS b => {keys} | MIGRATE takes 1 a 0 0 FOO => -ERR syntax error | MIGRATE takes 1 a 0 0 AUTH => -ERR syntax error | MIGRATE takes 1 a 0 0 AUTH2 x => -ERR syntax error"
        ));
        check(
            "SET a 1 => OK | MIGRATE takes 1 a x 0 => -ERR value is not an integer or out of range | MIGRATE takes 1 a 0 x => -ERR value is not an integer or out of range | MIGRATE takes 1 a 0 => -ERR wrong number of arguments for 'migrate' command | GET a => \"1\"",
        );
    }

    #[test]
    fn others_wait_for_what_is_on_its_way() {
        check_outside_multi(
            "MSET a 1 b 2 => OK | b> SUBSCRIBE __keyevent@0__:del => * | CONFIG SET notify-keyspace-events KEA => OK | MIGRATE takes 1 \"\" 0 0 KEYS a b => OK | b> => * | b> => *",
        );
        check_outside_multi(
            "SET a 1 => OK | b> BLPOP l 0 => ... | c> MULTI => OK | c> RPUSH l x => QUEUED | c> MIGRATE takes 1 a 0 0 => QUEUED | c> GET a => QUEUED | c> EXEC => [1 OK nil] | b> => [\"l\" \"x\"]",
        );
        check_outside_multi(
            "SET a 1 => OK | EVAL \"local r = redis.pcall('migrate', 'nobody', 1, 'a', 0, 0); redis.call('migrate', 'takes', 1, 'a', 0, 0); return {r.err, redis.call('exists', 'a')}\" 0 => [\"IOERR error or timeout connecting to the client\" 0]",
        );
    }

    /// The commands as arrays, which travel together.
    fn pipeline(commands: &str) -> Vec<u8> {
        let command = |line: &str| {
            let words: Vec<&str> = line.split(' ').collect();
            let bulks: String = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len())).collect();
            format!("*{}\r\n{bulks}", words.len()).into_bytes()
        };
        commands.split('|').flat_map(command).collect()
    }

    /// Whoever looks meanwhile sees either everything or nothing, and nothing is lost or left behind.
    #[test]
    fn traffic_goes_on_beside() {
        for seed in crate::sim::seeds(60) {
            let mut world = World::new(1 + seed as usize % 3, seed);
            world.restless = true;
            let clients: Vec<_> = (0..4).map(|_| world.connect()).collect();
            for _ in 0..200 {
                world.step();
            }
            world.write(clients[0], b"MSET a 1 b 1 c 1 d 1\r\n");
            for round in 0..6 {
                world.write(clients[1], b"MIGRATE takes 1 \"\" 0 0 KEYS a b c d\r\n");
                world.write(clients[2], b"EVAL \"return redis.call('migrate', 'takes', 1, '', 0, 0, 'KEYS', 'd', 'c', 'b', 'a')\" 0\r\n");
                world.write(clients[2], b"EVAL \"return 'fine'\" 0\r\n");
                world.write(clients[round % 2 * 3], b"MSET a 1 b 1 c 1 d 1\r\n");
                world.write(clients[3], b"MGET a b c d\r\n");
                // A convoy, whose core may keep all shards; then a key of one of them is on its way.
                let words =
                    "GET a|GET b|GET c|GET d|SET e 1|SET f 1|MIGRATE takes 1 e 0 0|MIGRATE takes 1 f 0 0";
                world.write(clients[0], &pipeline(words));
                world.write(clients[3], b"PING\r\n");
            }
            world.restless = false;
            world.run_until_quiet();
            let alone = String::from_utf8_lossy(world.inbox(clients[0])).into_owned();
            assert!(!alone.contains("-NO") && !alone.contains("NOKEY"), "seed {seed}: {alone}");
            for (client, replies) in [(1, 6), (2, 12)] {
                let text = String::from_utf8_lossy(world.inbox(clients[client])).into_owned();
                assert_eq!(text.matches("\r\n").count() - text.matches('$').count(), replies, "{text}");
                assert!(!text.contains("-"), "seed {seed}: {text}");
            }
            let seen = String::from_utf8_lossy(world.inbox(clients[3])).into_owned();
            for answer in seen.split("*4\r\n").skip(1) {
                let found = answer.matches("$1\r\n1").count();
                assert!(found == 0 || found == 4, "seed {seed}: {answer}");
            }
            assert_eq!(world.unfinished(), None, "seed {seed}");
        }
    }
}
