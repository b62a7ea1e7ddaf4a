//! Random talk about channels, and the check that every client received exactly what one single-threaded Redis would send it.
//!
//! The cores' trace says in which order commands ran. A naive Redis of one thread runs them in that order and writes for each
//! client its replies and the messages it receives, in one stream. Each client must have received that stream, to the
//! element: so messages have one order for all, nothing is lost or doubled, PUBLISH counts rightly, and a message
//! stands where it belongs between the replies of a client that speaks RESP3. Only `QUEUED` is left out, since the
//! trace does not tell when a command was queued. Keyspace events are messages like any other, also between those that
//! a script publishes.
//! In: a seed. Out: the first client whose stream differs.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::conversation::request;
use super::reply::Reply;
use super::world::{ClientNumber, World};
use crate::base::glob;
use crate::base::rng::Rng;
use crate::config::{Config, Events};
use crate::server::inspect::{CLOSED, Executed, Neglect};

/// A client of the naive Redis.
#[derive(Default)]
struct Listener {
    resp3: bool,
    /// Channels, patterns, shard channels.
    names: [BTreeSet<String>; 3],
    stream: Vec<Reply>,
    closed: bool,
}

impl Listener {
    fn subscribed(&self) -> bool {
        self.names.iter().any(|names| !names.is_empty())
    }

    fn message(&self, parts: Vec<Reply>) -> Reply {
        if self.resp3 { Reply::Push(parts) } else { Reply::Array(parts) }
    }
}

#[derive(Default)]
struct Naive {
    clients: BTreeMap<u64, Listener>,
    keys: HashMap<String, String>,
    /// Messages for the client whose command runs: they come behind its reply.
    own: Vec<Reply>,
}

fn bulk(text: &str) -> Reply {
    Reply::Bulk(text.as_bytes().to_vec())
}

impl Naive {
    /// Runs one command; the replies (several of SUBSCRIBE) are for the caller to write.
    fn run(&mut self, me: u64, args: &[String]) -> Vec<Reply> {
        let first = args.get(1).map_or("", String::as_str);
        let listener = &self.clients[&me];
        match args[0].as_str() {
            "SUBSCRIBE" => self.subscribe(me, 0, args),
            "PSUBSCRIBE" => self.subscribe(me, 1, args),
            "SSUBSCRIBE" => self.subscribe(me, 2, args),
            "UNSUBSCRIBE" => self.unsubscribe(me, 0, args),
            "PUNSUBSCRIBE" => self.unsubscribe(me, 1, args),
            "SUNSUBSCRIBE" => self.unsubscribe(me, 2, args),
            "PUBLISH" => vec![Reply::Integer(self.publish(me, first, &args[2]))],
            "SPUBLISH" => vec![Reply::Integer(self.publish_to_shard(me, first, &args[2]))],
            "PING" if listener.subscribed() && !listener.resp3 => {
                vec![Reply::Array(vec![bulk("pong"), bulk("")])]
            }
            "PING" => vec![Reply::Simple("PONG".into())],
            "MULTI" => vec![Reply::Simple("OK".into())],
            "SET" => {
                self.keys.insert(first.into(), args[2].clone());
                self.publish(me, "__keyevent@0__:set", first);
                vec![Reply::Simple("OK".into())]
            }
            "INCR" => {
                let value = self.keys.get(first).map_or(0, |value| value.parse().expect("a number")) + 1;
                self.keys.insert(first.into(), value.to_string());
                self.publish(me, "__keyevent@0__:incrby", first);
                vec![Reply::Integer(value)]
            }
            "MGET" => {
                let value = |key: &String| self.keys.get(key).map_or(Reply::Null, |value| bulk(value));
                vec![Reply::Array(args[1..].iter().map(value).collect())]
            }
            "PUBSUB" => {
                let count = |name: &String| {
                    let all = self.clients.values();
                    Reply::Integer(all.filter(|one| one.names[0].contains(name)).count() as i64)
                };
                vec![Reply::Array(args[2..].iter().flat_map(|name| [bulk(name), count(name)]).collect())]
            }
            "EVAL" => {
                let args: Vec<Vec<u8>> = args.iter().map(|arg| arg.as_bytes().to_vec()).collect();
                let commands = super::script::commands_of(&args);
                let replies = commands.iter().flat_map(|command| self.run(me, &as_words(command)));
                vec![Reply::Array(replies.collect())]
            }
            "RESET" => {
                let listener = self.clients.get_mut(&me).unwrap();
                listener.names = Default::default();
                listener.resp3 = false;
                vec![Reply::Simple("RESET".into())]
            }
            other => panic!("{other} is not part of the talk"),
        }
    }

    fn subscribe(&mut self, me: u64, kind: usize, args: &[String]) -> Vec<Reply> {
        let listener = self.clients.get_mut(&me).unwrap();
        let mut replies = Vec::new();
        for name in &args[1..] {
            listener.names[kind].insert(name.clone());
            replies.push(confirmation(listener, kind, &args[0], Some(name)));
        }
        replies
    }

    fn unsubscribe(&mut self, me: u64, kind: usize, args: &[String]) -> Vec<Reply> {
        let listener = self.clients.get_mut(&me).unwrap();
        let names: Vec<String> = match args.len() {
            1 => listener.names[kind].iter().cloned().collect(),
            _ => args[1..].to_vec(),
        };
        let mut replies = Vec::new();
        for name in &names {
            listener.names[kind].remove(name);
            replies.push(confirmation(listener, kind, &args[0], Some(name)));
        }
        if names.is_empty() {
            replies.push(confirmation(listener, kind, &args[0], None));
        }
        replies
    }

    fn send(&mut self, me: u64, to: u64, parts: Vec<Reply>) {
        let listener = self.clients.get_mut(&to).unwrap();
        let message = listener.message(parts);
        if to == me { self.own.push(message) } else { listener.stream.push(message) }
    }

    fn publish(&mut self, me: u64, channel: &str, text: &str) -> i64 {
        let mut receivers = 0;
        for to in self.clients.keys().copied().collect::<Vec<_>>() {
            let [channels, patterns, _] = &self.clients[&to].names;
            let direct = channels.contains(channel);
            let fits = |pattern: &&String| glob::matches(pattern.as_bytes(), channel.as_bytes(), false);
            let patterns: Vec<String> = patterns.iter().filter(fits).cloned().collect();
            if direct {
                self.send(me, to, vec![bulk("message"), bulk(channel), bulk(text)]);
            }
            for pattern in &patterns {
                self.send(me, to, vec![bulk("pmessage"), bulk(pattern), bulk(channel), bulk(text)]);
            }
            receivers += direct as i64 + patterns.len() as i64;
        }
        receivers
    }

    fn publish_to_shard(&mut self, me: u64, channel: &str, text: &str) -> i64 {
        let listens = |listener: &Listener| listener.names[2].contains(channel);
        let to: Vec<u64> = self.clients.iter().filter(|(_, one)| listens(one)).map(|(id, _)| *id).collect();
        to.iter().for_each(|&to| self.send(me, to, vec![bulk("smessage"), bulk(channel), bulk(text)]));
        to.len() as i64
    }

    /// Replays the trace.
    fn replay(&mut self, trace: &[Executed]) {
        let mut at = 0;
        while at < trace.len() {
            let line = &trace[at];
            let me = line.client;
            at += 1;
            if line.args[0] == CLOSED {
                let listener = self.clients.get_mut(&me).unwrap();
                listener.names = Default::default();
                listener.closed = true;
                continue;
            }
            let mut replies = Vec::new();
            if line.args[0] == b"EXEC" {
                let inside = trace[at..].iter().take_while(|next| next.inside && next.client == me).count();
                for next in &trace[at..at + inside] {
                    replies.extend(self.run(me, &words(next)));
                }
                replies = vec![Reply::Array(replies)];
                at += inside;
            } else {
                replies.extend(self.run(me, &words(line)));
            }
            replies.append(&mut self.own);
            let listener = self.clients.get_mut(&me).unwrap();
            listener.stream.append(&mut replies);
            if listener.closed {
                // What was under way when it left still ran, and ended with it.
                listener.names = Default::default();
            }
        }
    }
}

fn words(line: &Executed) -> Vec<String> {
    as_words(&line.args)
}

fn as_words(args: &[Vec<u8>]) -> Vec<String> {
    args.iter().map(|arg| String::from_utf8(arg.clone()).unwrap()).collect()
}

fn confirmation(listener: &Listener, kind: usize, command: &str, name: Option<&String>) -> Reply {
    let [channels, patterns, shard_channels] = listener.names.each_ref().map(BTreeSet::len);
    let count = if kind == 2 { shard_channels } else { channels + patterns };
    let name = name.map_or(Reply::Null, |name| bulk(name));
    listener.message(vec![bulk(&command.to_ascii_lowercase()), name, Reply::Integer(count as i64)])
}

/// A client that talks.
struct Talker {
    number: ClientNumber,
    /// It subscribes in RESP2, and so says nothing else.
    only_listens: bool,
    gone: bool,
    heard: Vec<Reply>,
}

const NAMES: &[&str] = &["a", "b", "ab"];
const PATTERNS: &[&str] = &["a*", "*", "[ab]", "__key*"];

fn pick<'a>(rng: &mut Rng, from: &[&'a str]) -> &'a str {
    from[rng.below(from.len() as u64) as usize]
}

/// Something about subscriptions.
fn subscription(rng: &mut Rng) -> String {
    match rng.below(12) {
        0..=3 => format!("SUBSCRIBE {}", pick(rng, NAMES)),
        4 => format!("PSUBSCRIBE {}", pick(rng, PATTERNS)),
        5 => format!("SSUBSCRIBE {}", pick(rng, NAMES)),
        6 | 7 => format!("UNSUBSCRIBE {}", pick(rng, NAMES)),
        8 => format!("PUNSUBSCRIBE {}", pick(rng, PATTERNS)),
        9 => format!("SUNSUBSCRIBE {}", pick(rng, NAMES)),
        _ => "PING".into(),
    }
}

/// Something of any other kind; `n` is a number that was not used before.
fn remark(rng: &mut Rng, n: u64) -> String {
    match rng.below(10) {
        0..=3 => format!("PUBLISH {} {n}", pick(rng, NAMES)),
        4 => format!("SPUBLISH {} {n}", pick(rng, NAMES)),
        5 => format!("SET {} {n}", pick(rng, &["a", "b", "c", "d"])),
        6 => "MGET a b c d".into(),
        7 | 8 => format!("MGET {}", pick(rng, &["a", "b", "c", "d"])),
        _ => "PUBSUB NUMSUB a b".into(),
    }
}

/// A script that writes and publishes.
fn script(rng: &mut Rng, n: u64) -> Vec<String> {
    let wanted = |line: &String| !line.starts_with("PUBSUB");
    let lines: Vec<String> = (0..1 + rng.below(5)).map(|_| remark(rng, n)).filter(wanted).collect();
    let commands: Vec<Vec<String>> = lines.iter().map(|line| split(line)).collect();
    [vec!["EVAL".into()], super::script::words(&commands, rng)].concat()
}

fn split(line: &str) -> Vec<String> {
    line.split(' ').map(String::from).collect()
}

/// A pipeline of commands.
fn pipeline(rng: &mut Rng, only_listens: bool, n: &mut u64) -> Vec<Vec<String>> {
    let mut lines = Vec::new();
    let mut line = |rng: &mut Rng, inside: bool| {
        *n += 1;
        let about_channels = only_listens || rng.below(if inside { 4 } else { 6 }) == 0;
        match about_channels {
            true => split(&subscription(rng)),
            false if rng.below(6) == 0 => script(rng, *n),
            false => split(&remark(rng, *n)),
        }
    };
    for _ in 0..1 + rng.below(6) {
        match rng.below(24) {
            0 if only_listens => lines.push(split("RESET")),
            1 | 2 => lines.push(split(pick(rng, &["UNSUBSCRIBE", "PUNSUBSCRIBE", "SUBSCRIBE a b"]))),
            3..=5 if !only_listens => {
                lines.push(split("MULTI"));
                for _ in 0..rng.below(5) {
                    lines.push(line(rng, true));
                }
                lines.push(split("EXEC"));
            }
            _ => lines.push(line(rng, false)),
        }
    }
    lines
}

struct Talk {
    world: World,
    talkers: Vec<Talker>,
}

impl Talk {
    fn new(cores: usize, seed: u64, rng: &mut Rng) -> Self {
        let mut config = Config::default();
        config.notify_keyspace_events = Events(Events::KEYEVENT.0 | Events::STRING.0);
        let mut world = World::configured(cores, seed, config);
        let count = 2 + rng.below(7) as usize;
        let new = |world: &mut World, at: usize| {
            let number = world.connect();
            Talker { number, only_listens: at.is_multiple_of(3), gone: false, heard: Vec::new() }
        };
        let talkers: Vec<Talker> = (0..count).map(|at| new(&mut world, at)).collect();
        world.run_until_quiet();
        for talker in talkers.iter().filter(|talker| !talker.only_listens) {
            let (core, slot) = world.place(talker.number).expect("it was adopted");
            world.cores[core].speak_resp3(slot);
        }
        world.restless = true;
        Self { world, talkers }
    }

    fn step(&mut self) -> bool {
        let busy = self.world.step();
        for talker in &mut self.talkers {
            let inbox = self.world.inbox(talker.number);
            while !inbox.is_empty()
                && let Some((reply, used)) = Reply::parse(inbox)
            {
                talker.heard.push(reply);
                inbox.drain(..used);
            }
        }
        busy
    }

    /// Lets them talk until they have said enough, and all that was said has come to its end.
    fn run(&mut self, rng: &mut Rng) {
        let (mut n, hurry) = (0, 1 + rng.below(20));
        let mut left = 20 + rng.below(150);
        while left > 0 && self.talkers.iter().any(|talker| !talker.gone) {
            let who = rng.below(self.talkers.len() as u64) as usize;
            if !self.talkers[who].gone && rng.below(hurry) == 0 {
                left -= 1;
                let only_listens = self.talkers[who].only_listens;
                for line in pipeline(rng, only_listens, &mut n) {
                    let args: Vec<Vec<u8>> = line.into_iter().map(String::into_bytes).collect();
                    self.world.write(self.talkers[who].number, &request(&args));
                }
                if rng.below(60) == 0 {
                    self.talkers[who].gone = true;
                    self.world.disconnect(self.talkers[who].number);
                }
            }
            self.step();
        }
        self.world.restless = false;
        while self.step() {}
    }

    /// Compares what each client received with what the naive Redis sends.
    fn check(&mut self) -> Result<(), String> {
        if let Some(why) = self.world.unfinished() {
            return Err(why);
        }
        self.world.shared.exchange.lock().verify();
        let mut naive = Naive::default();
        for talker in &self.talkers {
            let listener = Listener { resp3: !talker.only_listens, ..Listener::default() };
            naive.clients.insert(self.world.client_id(talker.number), listener);
        }
        naive.replay(&self.world.trace);
        for talker in &self.talkers {
            let id = self.world.client_id(talker.number);
            let wanted = &naive.clients[&id].stream;
            let heard: Vec<&Reply> =
                talker.heard.iter().filter(|reply| **reply != Reply::Simple("QUEUED".into())).collect();
            for (at, got) in heard.iter().enumerate() {
                let wanted = wanted.get(at).map_or("nothing".into(), Reply::to_string);
                if wanted != got.to_string() {
                    return Err(format!("client {id}, element {at}: expected {wanted}, got {got}"));
                }
            }
            if heard.len() < wanted.len() && !naive.clients[&id].closed {
                return Err(format!("client {id} misses {}", wanted[heard.len()]));
            }
        }
        Ok(())
    }
}

/// Plays a talk; the error is the first difference.
fn play(cores: usize, seed: u64, neglect: Option<Neglect>) -> Result<(), String> {
    let mut rng = Rng::seeded(!seed);
    let mut talk = Talk::new(cores, seed, &mut rng);
    talk.world.cores.iter_mut().for_each(|core| core.neglect = neglect);
    talk.run(&mut rng);
    talk.check()
}

#[cfg(test)]
mod tests {
    use super::super::seeds;
    use super::*;

    #[test]
    fn everybody_hears_what_one_redis_would_say() {
        for cores in [1, 2, 3, 8] {
            for seed in seeds(150) {
                if let Err(why) = play(cores, seed, None) {
                    panic!("seed {seed}, {cores} cores: {why}");
                }
            }
        }
    }

    #[test]
    fn neglect_is_seen() {
        for neglect in [Neglect::Box, Neglect::Stamps] {
            let seen = (0..100).filter(|&seed| play(3, seed, Some(neglect)).is_err()).count();
            assert!(seen >= 10, "{neglect:?} was seen in {seen} runs of 100");
        }
    }
}
