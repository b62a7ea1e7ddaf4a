//! Clients that wait for lists and sorted sets, checked against a naive Redis of one thread.
//!
//! The trace of the cores holds every command where it ran, a waiting one a second time where it was served, and the ends of
//! waits by time. Replayed on the model: right behind the command that makes a key appear, the trace has to go on with the
//! clients that wait for it, the longest waiting first; and each client's replies have to be the model's. So every element
//! goes to exactly one client, nobody sees what was another's due, nobody waits for a key that is there, and no wait ends early.
//! Some listen, too: messages and answers reach them in the order of the trace.
//! When all have left, nothing of their waits is left either.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::Ordering::Relaxed;

use super::conversation::request;
use super::history::shown;
use super::model::{Client, Model};
use super::reply::Reply;
use super::world::{ClientNumber, World};
use crate::base::rng::Rng;
use crate::server::inspect::{CLOSED, Executed, Neglect, TIMED_OUT};

type Words = Vec<Vec<u8>>;

fn words(line: &str) -> Words {
    line.split(' ').map(|word| word.into()).collect()
}

fn text(word: &[u8]) -> String {
    String::from_utf8_lossy(word).into_owned()
}

/// What a waiting command is made of.
struct Plan {
    keys: Vec<Vec<u8>>,
    kind: &'static str,
    timeout_ms: i64,
}

impl Plan {
    /// None: the command never waits.
    fn of(args: &[Vec<u8>]) -> Option<Plan> {
        let last = args.len() - 1;
        let (keys, timeout) = match args[0].as_slice() {
            b"BLPOP" | b"BRPOP" | b"BZPOPMIN" | b"BZPOPMAX" => (args[1..last].to_vec(), &args[last]),
            b"BLMOVE" | b"BRPOPLPUSH" => (args[1..2].to_vec(), &args[last]),
            b"BLMPOP" | b"BZMPOP" => (args[3..last].to_vec(), &args[1]),
            _ => return None,
        };
        let kind = if args[0].starts_with(b"BZ") { "zset" } else { "list" };
        let seconds: f64 = text(timeout).parse().expect("the traffic gives a number");
        Some(Plan { keys, kind, timeout_ms: (seconds * 1000.0).ceil() as i64 })
    }
}

fn bulk(text: &[u8]) -> Reply {
    Reply::Bulk(text.into())
}

/// A reply as RESP2 has it.
fn in_resp2(reply: Reply) -> Reply {
    match reply {
        Reply::Double(text) => Reply::Bulk(text.into()),
        Reply::Array(replies) => Reply::Array(replies.into_iter().map(in_resp2).collect()),
        other => other,
    }
}

struct Waiter {
    client: u64,
    args: Words,
    plan: Plan,
    since_ms: i64,
}

/// One thread, one map, one queue of those who wait.
#[derive(Default)]
struct Naive {
    model: Model,
    now_ms: i64,
    waiters: Vec<Waiter>,
    /// Keys that appeared while somebody waits for them, in that order.
    ready: VecDeque<Vec<u8>>,
    closed: BTreeSet<u64>,
    /// Who hears what is published.
    listeners: BTreeSet<u64>,
    streams: BTreeMap<u64, Vec<Reply>>,
    served: usize,
    timed_out: usize,
}

impl Naive {
    fn ask(&mut self, args: Words) -> Reply {
        self.model.take(&mut Client::default(), &args, self.now_ms)
    }

    fn type_of(&mut self, key: &[u8]) -> String {
        match self.ask(vec![b"TYPE".to_vec(), key.to_vec()]) {
            Reply::Simple(name) => name,
            other => panic!("TYPE answers with a name, not {other}"),
        }
    }

    fn answer(&mut self, client: u64, reply: Reply) {
        self.streams.entry(client).or_default().push(reply);
    }

    /// Runs a command. None: it found nothing and waits.
    fn run(&mut self, args: &[Vec<u8>]) -> Option<Reply> {
        let reply = match Plan::of(args) {
            Some(plan) => self.take_one(args, &plan, false),
            None if args[0] == b"MULTI" => Some(Reply::Simple("OK".into())),
            None if args[0] == b"SORT" => Some(self.store_sorted(&args[1], &args[args.len() - 1])),
            None => Some(self.ask(args.to_vec())),
        };
        self.note_ready();
        reply
    }

    /// Takes an element from the first key that has one. `again`: the command waited, and passes over keys of other types.
    fn take_one(&mut self, args: &[Vec<u8>], plan: &Plan, again: bool) -> Option<Reply> {
        for key in &plan.keys {
            let found = self.type_of(key);
            if found == "none" || (again && found != plan.kind) {
                continue;
            }
            if found != plan.kind {
                let text = "WRONGTYPE Operation against a key holding the wrong kind of value";
                return Some(Reply::Error(text.into()));
            }
            let last = text(&args[args.len() - 1]);
            let pop = |name: &str| vec![name.into(), key.clone()];
            let popped = match (args[0].as_slice(), last.as_str()) {
                (b"BLMOVE", _) => return Some(self.ask([words("LMOVE"), args[1..5].to_vec()].concat())),
                (b"BRPOPLPUSH", _) => {
                    return Some(
                        self.ask([words("LMOVE"), args[1..3].to_vec(), words("RIGHT LEFT")].concat()),
                    );
                }
                (b"BLPOP", _) | (b"BLMPOP", "LEFT") => self.ask(pop("LPOP")),
                (b"BRPOP" | b"BLMPOP", _) => self.ask(pop("RPOP")),
                (b"BZPOPMIN", _) | (b"BZMPOP", "MIN") => self.ask(pop("ZPOPMIN")),
                _ => self.ask(pop("ZPOPMAX")),
            };
            let mut reply = vec![Reply::Bulk(key.clone())];
            match (popped, args[0].as_slice()) {
                (popped @ Reply::Array(_), b"BZMPOP") => reply.push(Reply::Array(vec![popped])),
                (Reply::Array(pair), _) => reply.extend(pair),
                (popped, b"BLMPOP") => reply.push(Reply::Array(vec![popped])),
                (popped, _) => reply.push(popped),
            }
            return Some(Reply::Array(reply));
        }
        None
    }

    /// SORT … BY nosort STORE: a copy of a list.
    fn store_sorted(&mut self, from: &[u8], to: &[u8]) -> Reply {
        let kind = self.type_of(from);
        if kind == "string" {
            return Reply::Any;
        }
        let range = if kind == "zset" { "ZRANGE" } else { "LRANGE" };
        let range = self.ask(vec![range.into(), from.to_vec(), b"0".to_vec(), b"-1".to_vec()]);
        let Reply::Array(elements) = range else { panic!("LRANGE answers with an array") };
        // The model's ZRANGE has scores.
        let step = if kind == "zset" { 2 } else { 1 };
        let elements: Vec<Reply> = elements.into_iter().step_by(step).collect();
        self.ask(vec![b"DEL".to_vec(), to.to_vec()]);
        let count = elements.len();
        let elements = elements.into_iter().map(|element| match element {
            Reply::Bulk(bytes) => bytes,
            other => panic!("an element is no {other}"),
        });
        if count > 0 {
            self.ask([vec![b"RPUSH".to_vec(), to.to_vec()], elements.collect()].concat());
        }
        Reply::Integer(count as i64)
    }

    fn note_ready(&mut self) {
        let waited: Vec<(Vec<u8>, &'static str)> = self
            .waiters
            .iter()
            .flat_map(|waiter| waiter.plan.keys.iter().map(|key| (key.clone(), waiter.plan.kind)))
            .collect();
        for (key, kind) in waited {
            if !self.ready.contains(&key) && self.type_of(&key) == kind {
                self.ready.push_back(key);
            }
        }
    }

    /// A wait of `client` ends with this reply, if there is one.
    fn end_wait(&mut self, client: u64, reply: Reply) -> bool {
        let Some(at) = self.waiters.iter().position(|waiter| waiter.client == client) else { return false };
        self.waiters.remove(at);
        self.answer(client, reply);
        true
    }

    /// Replays what stands at `at`, with those whom it serves. Returns how many lines that took.
    fn event(&mut self, trace: &[Executed], at: usize) -> Result<usize, String> {
        let line = &trace[at];
        let me = line.client;
        if line.args[0] != CLOSED {
            if line.now_ms < self.now_ms {
                return Err(format!("line {at}: {line} ran at an earlier time than what ran before it"));
            }
            self.now_ms = line.now_ms;
        }
        let mut used = 1;
        match line.args[0].as_slice() {
            CLOSED => {
                self.closed.insert(me);
                self.listeners.remove(&me);
                self.waiters.retain(|waiter| waiter.client != me);
            }
            TIMED_OUT => {
                let waiter = self.waiters.iter().find(|waiter| waiter.client == me);
                let due = waiter.is_some_and(|waiter| {
                    waiter.plan.timeout_ms > 0 && line.now_ms > waiter.since_ms + waiter.plan.timeout_ms
                });
                if !due {
                    return Err(format!("line {at}: a wait of client {me} ended too early"));
                }
                self.timed_out += 1;
                self.end_wait(me, Reply::Null);
            }
            b"EXEC" => {
                let inside = |next: &&Executed| next.inside && next.client == me;
                let inside: Vec<&Executed> = trace[at + 1..].iter().take_while(inside).collect();
                let replies = inside.iter().map(|next| self.run(&next.args).unwrap_or(Reply::Null));
                let replies = Reply::Array(replies.collect());
                self.answer(me, replies);
                used += inside.len();
            }
            b"SUBSCRIBE" => {
                self.listeners.insert(me);
                let words = [bulk(b"subscribe"), bulk(&line.args[1]), Reply::Integer(1)];
                self.answer(me, Reply::Push(words.into()));
            }
            b"PUBLISH" => {
                let message = Reply::Push(vec![bulk(b"message"), bulk(&line.args[1]), bulk(&line.args[2])]);
                self.answer(me, Reply::Integer(self.listeners.len() as i64));
                self.listeners.clone().into_iter().for_each(|who| self.answer(who, message.clone()));
            }
            b"CLIENT" => {
                let how = match line.args.len() {
                    4 => Reply::Error("UNBLOCKED client unblocked via CLIENT UNBLOCK".into()),
                    _ => Reply::Null,
                };
                let id = text(&line.args[2]).parse().expect("the traffic gives a number");
                let ended = self.end_wait(id, how);
                self.answer(me, Reply::Integer(ended as i64));
            }
            _ => match self.run(&line.args) {
                Some(reply) => self.answer(me, reply),
                None if self.closed.contains(&me) => {}
                None => {
                    let plan = Plan::of(&line.args).expect("only such commands wait");
                    let args = line.args.clone();
                    self.waiters.push(Waiter { client: me, args, plan, since_ms: line.now_ms });
                }
            },
        }
        while let Some(key) = self.next_ready(trace.get(at + used)) {
            used += self.serve(&key, &trace[at + used..])?;
        }
        Ok(used)
    }

    /// The next key to serve. Which of several comes first is nobody's to see: the trace decides where it can.
    fn next_ready(&mut self, next: Option<&Executed>) -> Option<Vec<u8>> {
        let ready: Vec<Vec<u8>> = self.ready.iter().cloned().collect();
        let mut is_next = |key: &Vec<u8>| {
            let found = self.type_of(key);
            let waits = |waiter: &&Waiter| waiter.plan.kind == found && waiter.plan.keys.contains(key);
            let due = self.waiters.iter().find(waits);
            due.zip(next).is_some_and(|(due, next)| next.client == due.client && next.args == due.args)
        };
        let at = ready.iter().position(&mut is_next).unwrap_or(0);
        self.ready.remove(at)
    }

    /// Serves those who wait for a key; the trace has to go on with them.
    fn serve(&mut self, key: &[u8], trace: &[Executed]) -> Result<usize, String> {
        let mut used = 0;
        loop {
            let found = self.type_of(key);
            let waits =
                |waiter: &Waiter| waiter.plan.kind == found && waiter.plan.keys.iter().any(|k| k == key);
            let Some(at) = self.waiters.iter().position(waits) else { return Ok(used) };
            let waiter = self.waiters.remove(at);
            let next = trace.get(used);
            if !next.is_some_and(|next| next.client == waiter.client && next.args == waiter.args) {
                let (wanted, next) =
                    (shown(&waiter.args), next.map_or("nothing".into(), Executed::to_string));
                return Err(format!("client {} was due with {wanted}, but {next} ran", waiter.client));
            }
            let reply = self.take_one(&waiter.args, &waiter.plan, true).expect("there is an element");
            self.note_ready();
            self.answer(waiter.client, reply);
            self.served += 1;
            used += 1;
        }
    }
}

struct Talker {
    number: ClientNumber,
    gone: bool,
    said: usize,
    heard: Vec<Reply>,
}

const LISTS: &[&str] = &["a", "b", "c", "d", "e"];
const ZSETS: &[&str] = &["y", "z", "a"];

fn pick<'a>(rng: &mut Rng, from: &[&'a str]) -> &'a str {
    from[rng.below(from.len() as u64) as usize]
}

/// A command that may wait.
fn consumer(rng: &mut Rng) -> String {
    let timeout = pick(rng, &["0", "0", "0.002", "0.02", "0.3"]);
    let [a, b, c] = [(); 3].map(|()| pick(rng, LISTS));
    let [y, z] = [(); 2].map(|()| pick(rng, ZSETS));
    let [from, to] = [(); 2].map(|()| pick(rng, &["LEFT", "RIGHT"]));
    match rng.below(12) {
        0 => format!("BLPOP {a} {timeout}"),
        1 => format!("BLPOP {a} {b} {c} {timeout}"),
        2 => format!("BRPOP {a} {b} {timeout}"),
        3..=5 => format!("BLMOVE {a} {b} {from} {to} {timeout}"),
        6 => format!("BRPOPLPUSH {a} {b} {timeout}"),
        7 => format!("BLMPOP {timeout} 2 {a} {b} {from}"),
        8 => format!("BZPOPMIN {y} {timeout}"),
        9 => format!("BZPOPMAX {y} {z} {timeout}"),
        10 => format!("BZMPOP {timeout} 2 {y} {z} MIN"),
        _ => format!("BZMPOP {timeout} 1 {y} MAX"),
    }
}

/// A push; `n` makes elements differ.
fn producer(rng: &mut Rng, n: u64) -> String {
    let a = pick(rng, LISTS);
    match rng.below(6) {
        0 => format!("LPUSH {a} {n}"),
        1 => format!("RPUSH {a} {n}"),
        2 => format!("RPUSH {a} {n} {n}x {n}y"),
        3 => format!("LPUSH {a} {n} {n}x"),
        4 => format!("ZADD {} {n} {n}", pick(rng, ZSETS)),
        _ => format!("ZADD {} {n} {n} {n} {n}x", pick(rng, ZSETS)),
    }
}

/// What else may be said.
fn remark(rng: &mut Rng, clients: u64) -> String {
    let [a, b] = [(); 2].map(|()| pick(rng, LISTS));
    match rng.below(16) {
        0..=2 => format!("LLEN {a}"),
        3 => format!("LRANGE {a} 0 -1"),
        4 => format!("ZCARD {}", pick(rng, &["y", "z"])),
        5 => format!("RENAME {a} {b}"),
        6 => format!("COPY {a} {b} REPLACE"),
        7 => format!("SORT {a} BY nosort STORE {b}"),
        8 => format!("DEL {a} {b}"),
        9 => format!("PEXPIRE {a} {}", 1 + rng.below(20)),
        10 => format!("LMOVE {a} {b} LEFT LEFT"),
        11 => format!("SET {a} s"),
        12 => format!("CLIENT UNBLOCK {}", 1 + rng.below(clients)),
        13 => format!("CLIENT UNBLOCK {} ERROR", 1 + rng.below(clients)),
        14 => "PING".into(),
        _ => "ECHO x".into(),
    }
}

/// What a client says at once.
fn pipeline(rng: &mut Rng, clients: u64, n: &mut u64) -> Vec<String> {
    let mut lines = Vec::new();
    for _ in 0..1 + rng.below(4) {
        *n += 1;
        match rng.below(12) {
            0..=3 => lines.push(consumer(rng)),
            4..=6 => lines.push(producer(rng, *n)),
            7 => lines.extend([producer(rng, *n), format!("PUBLISH news {n}")]),
            8 => {
                lines.push("MULTI".into());
                for _ in 0..1 + rng.below(4) {
                    *n += 1;
                    lines.push(if rng.below(4) == 0 { consumer(rng) } else { producer(rng, *n) });
                }
                lines.push("EXEC".into());
            }
            _ => lines.push(remark(rng, clients)),
        }
    }
    lines
}

struct Market {
    world: World,
    talkers: Vec<Talker>,
}

impl Market {
    fn new(cores: usize, seed: u64, rng: &mut Rng) -> Self {
        let mut market = Market { world: World::new(cores, seed), talkers: Vec::new() };
        for _ in 0..3 + rng.below(8) {
            market.join();
        }
        market.world.run_until_quiet();
        for at in (0..market.talkers.len()).step_by(3) {
            let number = market.talkers[at].number;
            let (core, slot) = market.world.place(number).expect("it was adopted");
            market.world.cores[core].speak_resp3(slot);
            market.world.write(number, &request(&words("SUBSCRIBE news")));
        }
        market.world.restless = true;
        market
    }

    fn join(&mut self) {
        let number = self.world.connect();
        self.talkers.push(Talker { number, gone: false, said: 0, heard: Vec::new() });
    }

    fn step(&mut self) -> bool {
        let busy = self.world.step();
        for talker in &mut self.talkers {
            let inbox = self.world.inbox(talker.number);
            while let Some((reply, used)) = (!inbox.is_empty()).then(|| Reply::parse(inbox)).flatten() {
                inbox.drain(..used);
                if reply != Reply::Simple("QUEUED".into()) {
                    talker.heard.push(in_resp2(reply));
                }
            }
        }
        busy
    }

    fn run(&mut self, rng: &mut Rng) {
        let (mut n, hurry) = (0, 1 + rng.below(30));
        let mut left = 20 + rng.below(120);
        while left > 0 {
            let who = rng.below(self.talkers.len() as u64) as usize;
            if !self.talkers[who].gone && rng.below(hurry) == 0 {
                left -= 1;
                let clients = self.talkers.len() as u64;
                for line in pipeline(rng, clients, &mut n) {
                    self.talkers[who].said += 1;
                    self.world.write(self.talkers[who].number, &request(&words(&line)));
                }
                if rng.below(40) == 0 {
                    self.talkers[who].gone = true;
                    self.world.disconnect(self.talkers[who].number);
                    self.join();
                }
            }
            self.step();
        }
        self.world.restless = false;
        while self.step() {}
    }

    /// Compares everything with the naive Redis, then lets all leave.
    fn check(&mut self) -> Result<Naive, String> {
        if let Some(why) = self.world.unfinished() {
            return Err(why);
        }
        let mut naive = Naive::default();
        let mut at = 0;
        while at < self.world.trace.len() {
            at += naive.event(&self.world.trace, at)?;
        }
        for talker in &self.talkers {
            let id = self.world.client_id(talker.number);
            let wanted = naive.streams.remove(&id).unwrap_or_default();
            for (at, got) in talker.heard.iter().enumerate() {
                if !wanted.get(at).is_some_and(|wanted| wanted.matches(got)) {
                    let wanted = wanted.get(at).map_or("nothing".into(), Reply::to_string);
                    return Err(format!("client {id}, reply {at}: expected {wanted}, got {got}"));
                }
            }
            if talker.heard.len() < wanted.len() && !talker.gone {
                return Err(format!("client {id} misses {}", wanted[talker.heard.len()]));
            }
        }
        let waits = self.world.shared.waits.load(Relaxed);
        if waits != naive.waiters.len() {
            return Err(format!("{waits} clients wait, {} should", naive.waiters.len()));
        }
        self.disband()?;
        Ok(naive)
    }

    fn disband(&mut self) -> Result<(), String> {
        let all = self.talkers.iter().filter(|talker| !talker.gone);
        all.for_each(|talker| self.world.disconnect(talker.number));
        self.world.run_until_quiet();
        let waits = self.world.shared.waits.load(Relaxed);
        let left = self.world.cores.iter().find_map(|core| core.waits_left());
        match left {
            Some(what) => Err(format!("all have left, but {what}")),
            None if waits > 0 => Err(format!("all have left, but {waits} waits are counted")),
            None => Ok(()),
        }
    }
}

/// Plays a market day; the error is the first thing that one Redis would not do.
fn play(cores: usize, seed: u64, neglect: Option<Neglect>) -> Result<Naive, String> {
    let mut rng = Rng::seeded(!seed);
    let mut market = Market::new(cores, seed, &mut rng);
    market.world.cores.iter_mut().for_each(|core| core.neglect = neglect);
    market.run(&mut rng);
    market.check()
}

#[cfg(test)]
mod tests {
    use super::super::seeds;
    use super::*;

    #[test]
    fn who_waits_is_served_as_by_one_redis() {
        for cores in [1, 2, 3, 8] {
            let (mut served, mut timed_out) = (0, 0);
            for seed in seeds(150) {
                let naive =
                    play(cores, seed, None).unwrap_or_else(|why| panic!("seed {seed}, {cores} cores: {why}"));
                served += naive.served;
                timed_out += naive.timed_out;
            }
            println!("{cores} cores: {served} served, {timed_out} timed out");
            assert!(served > 100 && timed_out > 20, "{cores} cores: {served} served, {timed_out} timed out");
        }
    }

    #[test]
    fn neglect_is_seen() {
        for neglect in [Neglect::Serve, Neglect::Answer, Neglect::Order] {
            let seen = (0..60).filter(|&seed| play(3, seed, Some(neglect)).is_err()).count();
            assert!(seen >= 10, "{neglect:?} was seen in {seen} runs of 60");
        }
    }
}
