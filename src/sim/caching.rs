//! Clients that cache what they read, and the check that none of them believes what is not so.
//!
//! Each client keeps what it reads until it is told that the key changed, and judges only by the order in which replies and
//! pushes reach it. Whenever all has come to rest, what it believes must be what GET says.
//! In: a seed. Out: the first belief that is wrong.

use std::collections::{HashMap, VecDeque};

use super::conversation::request;
use super::reply::Reply;
use super::world::{ClientNumber, World};
use crate::base::rng::Rng;
use crate::server::inspect::Neglect;

const KEYS: &[&str] = &["a", "b", "c", "d", "e", "f"];
/// How clients track, and whether they have to forget what they change themselves.
const MODES: &[(&str, bool)] = &[
    ("", false),
    ("NOLOOP", true),
    ("OPTIN", false),
    ("OPTOUT", false),
    ("BCAST", false),
    ("BCAST NOLOOP", true),
];

/// What a client makes of a reply.
enum Expected {
    Nothing,
    /// The values of these keys, to be kept.
    Values(Vec<&'static str>),
    /// It changed these itself.
    Changed(Vec<&'static str>),
    All(Vec<Expected>),
}

struct Cacher {
    number: ClientNumber,
    mode: usize,
    expected: VecDeque<Expected>,
    believes: HashMap<String, Reply>,
    /// Pushes that it received.
    told: usize,
}

impl Cacher {
    /// Takes in a push, or the reply to its oldest command.
    fn hear(&mut self, reply: Reply) {
        if let Reply::Push(parts) = &reply {
            self.told += 1;
            match &parts[1] {
                Reply::Array(keys) => keys.iter().for_each(|key| drop(self.believes.remove(&name(key)))),
                Reply::Null => self.believes.clear(),
                other => panic!("no client is told {other}"),
            }
            return;
        }
        let expected = self.expected.pop_front().expect("a reply answers a command");
        self.conclude(expected, reply);
    }

    fn conclude(&mut self, expected: Expected, reply: Reply) {
        match (expected, reply) {
            (Expected::Values(keys), Reply::Array(values)) => {
                keys.iter()
                    .zip(values)
                    .for_each(|(key, value)| drop(self.believes.insert((*key).into(), value)));
            }
            (Expected::Values(keys), value) => drop(self.believes.insert(keys[0].into(), value)),
            (Expected::Changed(keys), _) if MODES[self.mode].1 => {
                keys.iter().for_each(|key| drop(self.believes.remove(*key)));
            }
            (Expected::All(parts), Reply::Array(replies)) => {
                parts.into_iter().zip(replies).for_each(|(part, reply)| self.conclude(part, reply));
            }
            _ => {}
        }
    }
}

fn name(key: &Reply) -> String {
    match key {
        Reply::Bulk(bytes) => String::from_utf8(bytes.clone()).expect("keys are letters"),
        other => panic!("{other} is no key"),
    }
}

fn pick(rng: &mut Rng) -> &'static str {
    KEYS[rng.below(KEYS.len() as u64) as usize]
}

/// A command, and what its reply will say.
fn command(rng: &mut Rng, n: u64) -> (String, Expected) {
    let (a, b) = (pick(rng), pick(rng));
    match rng.below(16) {
        0..=5 => (format!("GET {a}"), Expected::Values(vec![a])),
        6 | 7 => (format!("MGET {a} {b}"), Expected::Values(vec![a, b])),
        8 | 9 => (format!("SET {a} {n}"), Expected::Changed(vec![a])),
        10 => (format!("MSET {a} {n} {b} {n}"), Expected::Changed(vec![a, b])),
        11 => (format!("DEL {a}"), Expected::Changed(vec![a])),
        12 => (format!("SET {a} {n} PX {}", 1 + rng.below(30)), Expected::Changed(vec![a])),
        13 => (format!("RENAME {a} {b}"), Expected::Changed(vec![a, b])),
        14 if rng.below(6) == 0 => ("FLUSHALL".into(), Expected::Nothing),
        14 => (format!("APPEND {a} x"), Expected::Changed(vec![a])),
        _ => ("PING".into(), Expected::Nothing),
    }
}

struct Talk {
    world: World,
    cachers: Vec<Cacher>,
    n: u64,
}

impl Talk {
    fn new(cores: usize, seed: u64, rng: &mut Rng, neglect: Option<Neglect>) -> Self {
        let mut world = World::new(cores, seed);
        world.cores.iter_mut().for_each(|core| core.neglect = neglect);
        let count = 2 + rng.below(6);
        let new = |world: &mut World, rng: &mut Rng| Cacher {
            number: world.connect(),
            mode: rng.below(MODES.len() as u64) as usize,
            expected: VecDeque::new(),
            believes: HashMap::new(),
            told: 0,
        };
        let cachers: Vec<Cacher> = (0..count).map(|_| new(&mut world, rng)).collect();
        world.run_until_quiet();
        for cacher in &cachers {
            let (core, slot) = world.place(cacher.number).expect("it was adopted");
            world.cores[core].speak_resp3(slot);
        }
        let mut talk = Self { world, cachers, n: 0 };
        for who in 0..talk.cachers.len() {
            let line = format!("CLIENT TRACKING ON {}", MODES[talk.cachers[who].mode].0);
            talk.say(who, line.trim(), Expected::Nothing);
        }
        talk
    }

    fn say(&mut self, who: usize, line: &str, expected: Expected) {
        let args: Vec<Vec<u8>> = line.split(' ').map(|word| word.into()).collect();
        self.world.write(self.cachers[who].number, &request(&args));
        self.cachers[who].expected.push_back(expected);
    }

    /// Client `who` says something: commands with what goes before them in its mode.
    fn speak(&mut self, who: usize, rng: &mut Rng) {
        let mode = MODES[self.cachers[who].mode].0;
        let transaction = rng.below(5) == 0;
        if mode == "OPTIN" {
            self.say(who, "CLIENT CACHING YES", Expected::Nothing);
        }
        if transaction {
            self.say(who, "MULTI", Expected::Nothing);
        }
        let mut parts = Vec::new();
        for _ in 0..if transaction { 1 + rng.below(4) } else { 1 } {
            self.n += 1;
            let (line, expected) = command(rng, self.n);
            if transaction {
                self.say(who, &line, Expected::Nothing);
                parts.push(expected);
            } else {
                self.say(who, &line, expected);
            }
        }
        if transaction {
            self.say(who, "EXEC", Expected::All(parts));
        }
    }

    fn step(&mut self) -> bool {
        let busy = self.world.step();
        for cacher in &mut self.cachers {
            let inbox = self.world.inbox(cacher.number);
            let mut heard = Vec::new();
            while !inbox.is_empty()
                && let Some((reply, used)) = Reply::parse(inbox)
            {
                heard.push(reply);
                inbox.drain(..used);
            }
            heard.into_iter().for_each(|reply| cacher.hear(reply));
        }
        busy
    }

    /// Lets all that was said come to its end.
    fn rest(&mut self) {
        self.world.restless = false;
        while self.step() {}
    }

    fn talk(&mut self, rng: &mut Rng) {
        self.world.restless = true;
        let hurry = 1 + rng.below(12);
        let mut left = 10 + rng.below(60);
        while left > 0 {
            if rng.below(hurry) == 0 {
                left -= 1;
                let who = rng.below(self.cachers.len() as u64) as usize;
                for _ in 0..1 + rng.below(5) {
                    self.speak(who, rng);
                }
            }
            self.step();
        }
        self.rest();
    }

    /// What is believed against what is so.
    fn check(&mut self) -> Result<(), String> {
        // What is overdue is deleted, and told, before anybody is asked.
        self.world.pass_ms(50);
        for key in KEYS {
            let asker = self.world.connect();
            self.world.write(asker, &request(&["GET", key].map(|word| word.into())));
            self.rest();
            let truth = Reply::parse(self.world.inbox(asker)).expect("it is answered").0;
            for (who, cacher) in self.cachers.iter().enumerate() {
                match cacher.believes.get(*key) {
                    Some(belief) if *belief != truth => {
                        let mode = MODES[cacher.mode].0;
                        return Err(format!(
                            "client {who} ({mode}) believes {belief} of {key}, which is {truth}"
                        ));
                    }
                    _ => {}
                }
            }
        }
        match self.cachers.iter().all(|cacher| cacher.expected.is_empty()) {
            true => Ok(()),
            false => Err("a command was not answered".into()),
        }
    }
}

/// Plays a talk of several rounds. Returns how often clients were told something, or the first wrong belief.
fn play(cores: usize, seed: u64, neglect: Option<Neglect>) -> Result<usize, String> {
    let mut rng = Rng::seeded(!seed ^ 0xcac4e);
    let mut talk = Talk::new(cores, seed, &mut rng, neglect);
    for _ in 0..3 {
        talk.talk(&mut rng);
        talk.check()?;
    }
    Ok(talk.cachers.iter().map(|cacher| cacher.told).sum())
}

#[cfg(test)]
mod tests {
    use super::super::seeds;
    use super::*;

    #[test]
    fn nobody_believes_what_is_not_so() {
        let mut told = 0;
        for cores in [1, 2, 3, 8] {
            for seed in seeds(100) {
                match play(cores, seed, None) {
                    Ok(count) => told += count,
                    Err(why) => panic!("seed {seed}, {cores} cores: {why}"),
                }
            }
        }
        assert!(told > 0, "nobody was told anything");
    }

    #[test]
    fn neglect_is_seen() {
        let seen = (0..100).filter(|&seed| play(3, seed, Some(Neglect::Patience)).is_err()).count();
        assert!(seen >= 3, "it was seen in {seen} runs of 100");
    }
}
