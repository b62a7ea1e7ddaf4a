//! Random commands, transactions and scripts, and the check that what MONITOR shows of them is what one single-threaded Redis could show.
//!
//! The cores' trace says what ran. Whoever listens must be shown each command, transaction and script whole: its lines stand
//! together. Where two of them have a key in common, they must stand in the order in which they ran, and no line may be older than the one
//! before it. Who listens all the time is shown everything; who comes and goes is shown a piece of that.
//! On one thread a core runs most transactions in one go. Those with MIGRATE wait for another server, while other cores go on.
//! In: a seed. Out: the first line that stands where it should not.

use std::collections::{HashMap, VecDeque};

use super::conversation::request;
use super::script;
use super::world::{ClientNumber, World};
use crate::base::rng::Rng;
use crate::commands::monitor::append_quoted;
use crate::server::inspect::{CLOSED, Executed, Neglect};

const KEYS: &[&str] = &["a", "b", "c", "d", "e", "f"];

/// Lines that belong together, without their times, and the keys that they name.
struct Whole {
    lines: Vec<String>,
    keys: Vec<&'static str>,
}

impl Whole {
    fn add(&mut self, source: &str, args: &[Vec<u8>]) {
        let mut line = format!("[0 {source}]").into_bytes();
        for arg in args {
            line.push(b' ');
            append_quoted(&mut line, arg);
        }
        self.lines.push(String::from_utf8(line).unwrap());
        if !args[0].starts_with(b"EVAL") {
            self.keys.extend(KEYS.iter().filter(|key| args.iter().any(|arg| arg == key.as_bytes())));
        }
    }

    /// A command of a client, and what it runs if it is a script.
    fn add_command(&mut self, source: &str, args: &[Vec<u8>]) {
        self.add(source, args);
        if args[0] == b"EVAL" {
            script::commands_of(args).iter().for_each(|called| self.add("lua", called));
        }
    }
}

/// What ran, in the order in which it began to.
fn wholes(trace: &[Executed], addresses: &HashMap<u64, String>) -> Vec<Whole> {
    let mut wholes = Vec::new();
    // Whole transactions that were begun, by client: those of two cores may be under way at once.
    let mut open: HashMap<u64, usize> = HashMap::new();
    for line in trace.iter().filter(|line| line.args[0] != CLOSED) {
        let source = &addresses[&line.client];
        if line.inside {
            let whole: &mut Whole = &mut wholes[open[&line.client]];
            // EXEC itself is shown last.
            let exec = whole.lines.pop().unwrap();
            whole.add_command(source, &line.args);
            whole.lines.push(exec);
            continue;
        }
        let mut whole = Whole { lines: Vec::new(), keys: Vec::new() };
        whole.add_command(source, &line.args);
        open.insert(line.client, wholes.len());
        wholes.push(whole);
    }
    wholes
}

/// What one listener was shown at a stretch.
#[derive(Default)]
struct Shown {
    lines: VecDeque<String>,
    last_time: String,
}

impl Shown {
    fn add(&mut self, line: &str) -> Result<(), String> {
        let (time, line) = line.split_once(' ').expect("a time stands before the line");
        if *time < *self.last_time {
            return Err(format!("{line} is of {time}, and behind {}", self.last_time));
        }
        self.last_time = time.into();
        self.lines.push_back(line.into());
        Ok(())
    }

    /// Checks it against what ran. Returns the number of what was never shown.
    fn check(mut self, wholes: &[Whole]) -> Result<usize, String> {
        let mut left: Vec<usize> = (0..wholes.len()).collect();
        let mut latest: HashMap<&str, usize> = HashMap::new();
        while !self.lines.is_empty() {
            let fits = |number: &usize| {
                let wanted = &wholes[*number].lines;
                wanted.len() <= self.lines.len() && wanted.iter().eq(self.lines.range(..wanted.len()))
            };
            let Some(at) = left.iter().position(fits) else {
                let lines: Vec<_> =
                    self.lines.range(..self.lines.len().min(12)).map(String::as_str).collect();
                return Err(format!("these do not belong together:\n{}", lines.join("\n")));
            };
            let number = left.remove(at);
            for key in &wholes[number].keys {
                let before = latest.insert(key, number);
                if before.is_some_and(|before| before > number) {
                    return Err(format!("{} comes too late for {key}", self.lines[0]));
                }
            }
            self.lines.drain(..wholes[number].lines.len());
        }
        Ok(left.len())
    }
}

/// A client that listens, at times at least.
struct Listener {
    number: ClientNumber,
    listens: bool,
}

fn pick(rng: &mut Rng) -> &'static str {
    KEYS[rng.below(KEYS.len() as u64) as usize]
}

/// Some commands, none of which comes twice; `n` is a number that was not used before.
fn commands(rng: &mut Rng, n: &mut u64) -> Vec<Vec<String>> {
    *n += 1;
    let (one, other) = (pick(rng), pick(rng));
    let lines = match rng.below(7) {
        0 | 1 => format!("SET {one} {n}"),
        2 => format!("MSET {one} {n} {other} {n}"),
        3 => format!("MGET {one} {other} none{n}"),
        4 => format!("MGET {one} none{n}"),
        _ => format!("SET {one} {n} | MIGRATE takes 1 {one} 0 {n}"),
    };
    lines.split(" | ").map(|line| line.split(' ').map(String::from).collect()).collect()
}

fn script_of(rng: &mut Rng, n: &mut u64) -> Vec<String> {
    let called: Vec<Vec<String>> = (0..1 + rng.below(3)).flat_map(|_| commands(rng, n)).collect();
    [vec!["EVAL".into()], script::words(&called, rng)].concat()
}

/// A command, a script, or a transaction.
fn remark(rng: &mut Rng, n: &mut u64) -> Vec<Vec<String>> {
    match rng.below(4) {
        0 => vec![script_of(rng, n)],
        1 => {
            let mut lines = vec![vec!["MULTI".into()]];
            for _ in 0..rng.below(4) {
                match rng.below(4) {
                    0 => lines.push(script_of(rng, n)),
                    _ => lines.extend(commands(rng, n)),
                }
            }
            lines.push(vec!["EXEC".into()]);
            lines
        }
        _ => commands(rng, n),
    }
}

fn send(world: &mut World, to: ClientNumber, lines: Vec<Vec<String>>) {
    for line in lines {
        let args: Vec<Vec<u8>> = line.into_iter().map(String::into_bytes).collect();
        world.write(to, &request(&args));
    }
}

fn say(world: &mut World, listener: &Listener, word: &str) {
    send(world, listener.number, vec![vec![word.into()]]);
}

/// Lets clients talk, and others listen, until they have said enough and all of that has come to its end.
/// `always`: the first listener listens from beginning to end.
fn talk(world: &mut World, rng: &mut Rng, always: bool) -> Vec<Listener> {
    let new = |world: &mut World| Listener { number: world.connect(), listens: false };
    let mut listeners: Vec<Listener> = (0..3).map(|_| new(world)).collect();
    let talkers: Vec<ClientNumber> = (0..2 + rng.below(5)).map(|_| world.connect()).collect();
    world.run_until_quiet();
    if always {
        listeners[0].listens = true;
        say(world, &listeners[0], "MONITOR");
        world.run_until_quiet();
    }
    world.restless = true;
    let (mut n, hurry, mut left) = (0, 1 + rng.below(20), 20 + rng.below(60));
    while left > 0 {
        if rng.below(hurry) == 0 {
            left -= 1;
            let who = talkers[rng.below(talkers.len() as u64) as usize];
            let lines = remark(rng, &mut n);
            send(world, who, lines);
            let comer = &mut listeners[1 + rng.below(2) as usize];
            if rng.below(6) == 0 {
                comer.listens = !comer.listens;
                say(world, comer, if comer.listens { "MONITOR" } else { "RESET" });
            }
        }
        world.step();
    }
    world.restless = false;
    world.run_until_quiet();
    listeners
}

/// What a listener received, one part for each time that it listened.
fn shown(world: &mut World, listener: &Listener) -> Result<Vec<Shown>, String> {
    let text = String::from_utf8(std::mem::take(world.inbox(listener.number))).unwrap();
    let mut parts: Vec<Shown> = Vec::new();
    for line in text.split_terminator("\r\n") {
        match line {
            "+OK" => parts.push(Shown::default()),
            "+RESET" => {}
            line => parts.last_mut().ok_or("a line before MONITOR")?.add(&line[1..])?,
        }
    }
    Ok(parts)
}

fn holds(all: &VecDeque<String>, piece: &VecDeque<String>) -> bool {
    let fits = |at: usize| all.range(at..at + piece.len()).eq(piece.iter());
    (0..=all.len().saturating_sub(piece.len())).any(|at| at + piece.len() <= all.len() && fits(at))
}

fn ends_with(all: &VecDeque<String>, piece: &VecDeque<String>) -> bool {
    all.range(all.len() - piece.len()..).eq(piece.iter())
}

/// Plays it; the error is the first line that is wrong.
fn play(cores: usize, seed: u64, neglect: Option<Neglect>) -> Result<(), String> {
    let mut rng = Rng::seeded(!seed);
    let always = rng.below(3) > 0;
    let mut world = World::new(cores, seed);
    world.cores.iter_mut().for_each(|core| core.neglect = neglect);
    let listeners = talk(&mut world, &mut rng, always);
    if let Some(why) = world.unfinished() {
        return Err(why);
    }
    let address = |number: ClientNumber| format!("127.0.0.1:{}", 1024 + number);
    let clients = (0..world.clients()).map(|number| (world.client_id(number), address(number)));
    let addresses = clients.collect();
    let trace = std::mem::take(&mut world.trace);
    let trace: Vec<Executed> = trace.into_iter().filter(|line| line.args[0] != b"MONITOR").collect();
    let wholes = wholes(&trace, &addresses);
    let mut everything = None;
    for listener in &listeners {
        let mut parts = shown(&mut world, listener)?.into_iter().peekable();
        while let Some(part) = parts.next() {
            let all: &VecDeque<String> = everything.get_or_insert_with(|| part.lines.clone());
            let is_first = always && listener.number == listeners[0].number;
            if always && !holds(all, &part.lines) {
                return Err(format!("two listeners saw different things, one of them {:?}", part.lines));
            }
            if always && listener.listens && parts.peek().is_none() && !ends_with(all, &part.lines) {
                return Err(format!("one that listens yet saw no more than {:?}", part.lines));
            }
            let missing = part.check(&wholes)?;
            if is_first && missing > 0 {
                return Err(format!("{missing} of {} were not shown", wholes.len()));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::seeds;
    use super::*;

    #[test]
    fn listeners_see_what_is_atomic_in_one_piece() {
        for cores in [1, 2, 3, 8] {
            for seed in seeds(120) {
                if let Err(why) = play(cores, seed, None) {
                    panic!("seed {seed}, {cores} cores: {why}");
                }
            }
        }
    }

    #[test]
    fn pieces_are_seen() {
        let seen = (0..100).filter(|&seed| play(3, seed, Some(Neglect::Together)).is_err()).count();
        assert!(seen >= 10, "it was seen in {seen} runs of 100");
    }
}
