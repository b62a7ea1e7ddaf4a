//! Many clients, and the check that nobody could tell the cores from one single-threaded Redis.
//!
//! The cores leave a trace: every call of a handler, and every EXEC, in the order in which they ran. The check:
//!
//! 1. replaying the trace on the model gives exactly the replies that each client received;
//! 2. the commands of each client stand in the trace in the order sent, each once, and between the moment when the
//!    client wrote the command and the moment when it read the reply;
//! 3. nothing is lost: a client that stayed has all its replies, a transaction's commands stand together, and when
//!    nothing is left to happen no batch, no lease, no waiter and no watched key is left anywhere.
//!
//! Why the trace suffices: 1 and 2 say that there is a total order (the trace) that respects the order of each
//! connection and real time, and in which every reply is the model's. That is the definition of linearizability with
//! ordered connections; the only freedom that it leaves is which order to show, and the cores show theirs. A trace
//! that lies finds no mercy: if a command had an effect before or after its line (half of an MSET early, a shard
//! changed while it is lent), some reply differs from the model's, as long as somebody reads in between; which is what
//! the traffic is for, and what the tests that break things on purpose show (`scenario` also looks at replies only).
//! Commands that run inside one event of the world are instantaneous: an event happens on one core, to its end.

use std::collections::HashMap;

use super::conversation::request;
use super::model::{Client, Fate, Model};
use super::reply::Reply;
use super::world::{ClientNumber, World};
use crate::server::inspect::{CLOSED, Executed};

/// A command as its client knows it.
struct Sent {
    args: Vec<Vec<u8>>,
    /// Length of the trace when it was written, and the time.
    written_at: usize,
    written_ms: i64,
}

/// A client and all that it said and heard.
pub struct Log {
    pub number: ClientNumber,
    pub gone: bool,
    /// It says what the model does not know, and changes no data: only what it does to others is checked.
    stranger: bool,
    sent: Vec<Sent>,
    /// Replies, with the length of the trace when they were read.
    heard: Vec<(Reply, usize)>,
}

impl Log {
    /// Commands that wait for their replies.
    pub fn pending(&self) -> usize {
        self.sent.len().saturating_sub(self.heard.len())
    }

    /// Commands that were answered, with their replies.
    pub fn dialogue(&self) -> impl Iterator<Item = (&[Vec<u8>], &Reply)> {
        self.sent.iter().zip(&self.heard).map(|(sent, (reply, _))| (sent.args.as_slice(), reply))
    }
}

pub struct History {
    pub world: World,
    pub logs: Vec<Log>,
}

impl History {
    pub fn new(cores: usize, seed: u64) -> Self {
        let mut world = World::new(cores, seed);
        world.restless = true;
        Self { world, logs: Vec::new() }
    }

    /// A new client; returns its place in `logs`.
    pub fn join(&mut self) -> usize {
        let number = self.world.connect();
        self.logs.push(Log { number, gone: false, stranger: false, sent: Vec::new(), heard: Vec::new() });
        self.logs.len() - 1
    }

    /// A client whose replies nobody checks.
    pub fn join_stranger(&mut self) -> usize {
        let who = self.join();
        self.logs[who].stranger = true;
        who
    }

    /// The client goes away without a word.
    pub fn leave(&mut self, who: usize) {
        self.logs[who].gone = true;
        self.world.disconnect(self.logs[who].number);
    }

    /// The client writes commands, all at once.
    pub fn say(&mut self, who: usize, commands: Vec<Vec<Vec<u8>>>) {
        let (written_at, written_ms) = (self.world.trace.len(), self.world.now_ms());
        let log = &mut self.logs[who];
        for args in commands {
            self.world.write(log.number, &request(&args));
            log.sent.push(Sent { args, written_at, written_ms });
        }
    }

    /// One random event, after which the clients read what arrived.
    pub fn step(&mut self) -> bool {
        let busy = self.world.step();
        let now = self.world.trace.len();
        for log in self.logs.iter_mut().filter(|log| !log.gone) {
            let inbox = self.world.inbox(log.number);
            let mut used = 0;
            while used < inbox.len()
                && let Some((reply, len)) = Reply::parse(&inbox[used..])
            {
                log.heard.push((reply, now));
                used += len;
            }
            inbox.drain(..used);
        }
        busy
    }

    /// No client says anything more: all that was begun comes to its end, even what CLIENT PAUSE holds back.
    pub fn settle(&mut self) {
        self.world.restless = false;
        loop {
            while self.step() {}
            if !self.world.is_paused() {
                break;
            }
            self.world.pass_ms(10);
            self.world.tick_all();
        }
        for log in &mut self.logs {
            log.gone |= self.world.is_shut(log.number);
        }
    }

    /// Checks the history of a settled world. The error says what is wrong.
    pub fn check(&mut self) -> Result<(), String> {
        if let Some(why) = self.world.unfinished() {
            return Err(why);
        }
        let expected = self.replay()?;
        let known = |(_, (log, _)): &(usize, (&Log, _))| !log.stranger;
        for (who, (log, wanted)) in self.logs.iter().zip(&expected).enumerate().filter(known) {
            let (sent, heard) = (log.sent.len(), log.heard.len());
            if heard > sent || (heard < sent && !log.gone) {
                return Err(format!("client {who}: {sent} commands got {heard} replies"));
            }
            let named = |at: usize| format!("client {who}, command {at}: {}", shown(&log.sent[at].args));
            for (at, (got, read_at)) in log.heard.iter().enumerate() {
                let Some((wanted, ran_at)) = wanted.get(at) else {
                    return Err(format!("{}\n was answered {got} without having run", named(at)));
                };
                if !wanted.matches(got) {
                    return Err(format!(
                        "{}\n expected {:.400}\n      got {:.400}",
                        named(at),
                        wanted.to_string(),
                        got.to_string()
                    ));
                }
                if ran_at.is_some_and(|ran| ran < log.sent[at].written_at || ran >= *read_at) {
                    return Err(format!("{}\n ran before it was said, or after it was answered", named(at)));
                }
            }
        }
        Ok(())
    }

    /// Runs the trace on the model. For each client: the replies it should have got, and when the command ran.
    fn replay(&self) -> Result<Vec<Vec<Expected>>, String> {
        let ids = self.logs.iter().enumerate().map(|(who, log)| (self.world.client_id(log.number), who));
        let mut replay = Replay {
            logs: &self.logs,
            who: ids.collect(),
            clients: self.logs.iter().map(|_| Client::default()).collect(),
            expected: self.logs.iter().map(|_| Vec::new()).collect(),
            model: Model::default(),
        };
        let trace = &self.world.trace;
        let mut at = 0;
        while at < trace.len() {
            at += replay.event(trace, at)?;
        }
        (0..self.logs.len()).try_for_each(|who| replay.skip_to_next(who).map(drop))?;
        Ok(replay.expected)
    }

    /// All clients leave; nothing of them stays behind.
    pub fn disband(&mut self) -> Result<(), String> {
        for who in 0..self.logs.len() {
            if !self.logs[who].gone {
                self.leave(who);
            }
        }
        self.world.run_until_quiet();
        if let Some(why) = self.world.unfinished() {
            return Err(format!("all have left, but {why}"));
        }
        let watched: usize = self.world.cores.iter().map(|core| core.watched_keys()).sum();
        let connections: usize = self.world.cores.iter().map(|core| core.connections()).sum();
        let clients = self.world.shared.clients.len();
        let load: usize =
            self.world.shared.loads.iter().map(|load| load.load(std::sync::atomic::Ordering::Relaxed)).sum();
        let left = [watched, connections, clients, load];
        if left != [0; 4] {
            return Err(format!(
                "all have left, but [watched keys, connections, clients, load] are {left:?}"
            ));
        }
        Ok(())
    }
}

/// The model's reply, and where in the trace the command stands, if it ran at all.
type Expected = (Reply, Option<usize>);

struct Replay<'a> {
    logs: &'a [Log],
    who: HashMap<u64, usize>,
    clients: Vec<Client>,
    expected: Vec<Vec<Expected>>,
    model: Model,
}

impl Replay<'_> {
    /// Answers for the client's commands that touch nothing but its connection. None: it said nothing more.
    fn skip_to_next(&mut self, who: usize) -> Result<Option<Fate>, String> {
        loop {
            let log = &self.logs[who];
            let Some(sent) = log.sent.get(self.expected[who].len()).filter(|_| !log.stranger) else {
                return Ok(None);
            };
            match self.model.fate(&self.clients[who], &sent.args) {
                Fate::AtHome => {
                    let reply = self.model.take(&mut self.clients[who], &sent.args, 0);
                    self.expected[who].push((reply, None));
                }
                fate => return Ok(Some(fate)),
            }
        }
    }

    /// Replays what stands at `at`; returns how many lines that took.
    fn event(&mut self, trace: &[Executed], at: usize) -> Result<usize, String> {
        let line = &trace[at];
        if line.args[0] == CLOSED {
            return Ok(1);
        }
        let Some(&who) = self.who.get(&line.client) else {
            return Err(format!("an unknown client ran {}", shown(&line.args)));
        };
        if self.logs[who].stranger {
            return Ok(1);
        }
        let fate = self.skip_to_next(who)?;
        let next = self.logs[who].sent.get(self.expected[who].len());
        let is_next =
            next.is_some_and(|sent| sent.args == line.args || (is_exec(&sent.args) && is_exec(&line.args)));
        if fate.is_none() || !is_next || line.inside {
            let wanted = next.map_or("nothing".into(), |sent| shown(&sent.args));
            return Err(format!("client {who} ran {} where {wanted} was its next", shown(&line.args)));
        }
        if next.is_some_and(|sent| line.now_ms < sent.written_ms) {
            return Err(format!("client {who} ran {} at a time before it was said", shown(&line.args)));
        }
        let reply = self.model.take(&mut self.clients[who], &line.args, line.now_ms);
        let ran = match &reply {
            Reply::Array(replies) if fate == Some(Fate::RunsTransaction) => replies.len(),
            _ => 0,
        };
        let inside =
            trace[at + 1..].iter().take(ran).filter(|next| next.inside && next.client == line.client);
        if inside.count() != ran {
            let after: Vec<String> = trace[at + 1..].iter().take(ran + 1).map(Executed::to_string).collect();
            return Err(format!(
                "line {at}: the transaction of client {who} did not run as one, expected {reply:.400}, ran\n{}",
                after.join("\n")
            ));
        }
        self.expected[who].push((reply, Some(at)));
        Ok(1 + ran)
    }
}

fn is_exec(args: &[Vec<u8>]) -> bool {
    args[0].eq_ignore_ascii_case(b"exec")
}

/// A command as text, shortened.
pub fn shown(args: &[Vec<u8>]) -> String {
    let word = |arg: &Vec<u8>| String::from_utf8_lossy(&arg[..arg.len().min(40)]).into_owned();
    args.iter().map(word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;
    use crate::sim::seeds;
    use crate::sim::traffic::{Traffic, strange_command};
    use crate::sim::world::Fault;

    /// Random traffic of a few clients on `cores` cores; some leave, others come.
    fn run(cores: usize, seed: u64) -> History {
        run_with(cores, seed, None)
    }

    /// Commands that a client sends before it waits for replies.
    const PENDING_MAX: usize = 60;

    fn run_with(cores: usize, seed: u64, fault: Option<Fault>) -> History {
        let mut history = History::new(cores, seed);
        history.world.fault = fault;
        let mut rng = Rng::seeded(!seed);
        let traffic = Traffic::new(&mut rng, &history.world.registry);
        let clients = 2 + rng.below(8);
        for _ in 0..clients {
            history.join();
        }
        let strangers = if fault.is_none() { rng.below(3) } else { 0 };
        let mut strangers: Vec<usize> = (0..strangers).map(|_| history.join_stranger()).collect();
        let (pipeline_max, hurry) = (1 + rng.below(20), 1 + rng.below(40));
        let (planning, mut plans) = (rng.below(8), HashMap::new());
        let mut budget = 20 + rng.below(400);
        while budget > 0 {
            let who = rng.below(history.logs.len() as u64) as usize;
            if let Some(place) = strangers.iter().position(|stranger| *stranger == who) {
                if rng.below(hurry * 2) == 0 {
                    strangers[place] = stranger_talks(&mut history, who, &mut rng);
                }
            } else if rng.below(hurry) == 0
                && !history.logs[who].gone
                && history.logs[who].pending() < PENDING_MAX
            {
                let count = 1 + rng.below(pipeline_max).min(budget - 1);
                budget -= count;
                let commands = match plans.remove(&who) {
                    Some(plan) => plan,
                    None if rng.below(16) < planning => {
                        let [first, then] = traffic.optimistic(&mut rng);
                        plans.insert(who, then);
                        first
                    }
                    None => (0..count).map(|_| traffic.command(&mut rng)).collect(),
                };
                history.say(who, commands);
            } else if rng.below(600) == 0 && !history.logs[who].gone && fault != Some(Fault::LostBatch) {
                // Nobody misses a batch of a client that has left.
                history.leave(who);
                history.join();
            }
            history.step();
            let waits = |log: &Log| log.gone || log.pending() >= PENDING_MAX;
            if fault.is_some() && history.logs.iter().all(waits) {
                // What they wait for is lost.
                break;
            }
        }
        history.settle();
        history
    }

    /// A stranger says something, or starts anew if it was closed. Returns who it is now.
    fn stranger_talks(history: &mut History, who: usize, rng: &mut Rng) -> usize {
        if history.world.is_shut(history.logs[who].number) {
            history.logs[who].gone = true;
            return history.join_stranger();
        }
        let clients = history.logs.len() as u64;
        history.say(who, (0..1 + rng.below(4)).map(|_| strange_command(rng, clients)).collect());
        who
    }

    fn check_seeds(cores: usize) {
        for seed in seeds(500) {
            let mut history = run(cores, seed);
            let verdict = history.check().and_then(|()| history.disband());
            if let Err(why) = verdict {
                panic!("seed {seed}, {cores} cores: {why}");
            }
        }
    }

    #[test]
    fn one_core_is_redis() {
        check_seeds(1);
    }

    #[test]
    fn two_cores_are_redis() {
        check_seeds(2);
    }

    #[test]
    fn three_cores_are_redis() {
        check_seeds(3);
    }

    #[test]
    fn eight_cores_are_redis() {
        check_seeds(8);
    }

    #[test]
    fn a_deaf_client_gets_all_its_replies_in_the_end() {
        for cores in [1, 3] {
            let mut history = History::new(cores, 7);
            let (who, other) = (history.join(), history.join());
            let text = "x".repeat(200_000);
            let words = |line: &str| line.split(' ').map(|word| word.as_bytes().to_vec()).collect();
            history.say(who, vec![words(&format!("MSET a {text} b {text} c 1"))]);
            history.settle();
            history.world.set_deaf(history.logs[who].number, true);
            let lines = ["GET a", "GET c", "MGET a b c", "GET b", "INCR n"].repeat(60);
            history.say(who, lines.iter().map(|line| words(line)).collect());
            history.settle();
            assert!(history.logs[who].pending() > 0);
            history.say(other, vec![words("INCR n")]);
            history.settle();
            assert_eq!(history.logs[other].pending(), 0, "nobody waits for a deaf client");
            history.world.set_deaf(history.logs[who].number, false);
            history.settle();
            history.check().unwrap_or_else(|why| panic!("{cores} cores: {why}"));
        }
    }

    /// Of the runs in which the fault came about, how many in 100 the check reports.
    fn percent_caught(fault: Fault) -> usize {
        let wanted = seeds(40).count();
        let (mut missed, mut runs) = (Vec::new(), 0);
        for seed in 0.. {
            let mut history = run_with(3, seed, Some(fault));
            if history.world.faults == 0 {
                assert!(seed < 25 * wanted as u64, "{fault:?} came about in {runs} runs");
                continue;
            }
            runs += 1;
            if history.check().is_ok() {
                missed.push(seed);
            }
            if runs == wanted {
                break;
            }
        }
        println!("{fault:?} was missed with the seeds {missed:?}");
        (runs - missed.len()) * 100 / runs
    }

    #[test]
    fn what_is_broken_is_caught() {
        for (fault, least) in [
            (Fault::TornMset, 10),
            (Fault::SwappedCommands, 95),
            (Fault::DoubledCommand, 95),
            (Fault::LostChange, 50),
            (Fault::LostShard, 100),
            (Fault::LostBatch, 100),
        ] {
            let percent = percent_caught(fault);
            println!("{fault:?}: {percent}%");
            assert!(percent >= least, "{fault:?} was caught in {percent}% of the runs");
        }
    }

    /// What the traffic is for has to happen in it.
    #[test]
    fn the_traffic_reaches_its_corners() {
        let mut seen: HashMap<&str, u64> = HashMap::new();
        for seed in 0..200 {
            let history = run(3, seed);
            let mut count = |what, times: usize| *seen.entry(what).or_default() += times as u64;
            let metrics = &history.world.shared.metrics;
            count("leases", metrics.iter().map(|core| core.leases_taken.get() as usize).sum());
            count("moves", history.world.moves);
            count("gone", history.logs.iter().filter(|log| log.gone).count());
            let shut = |log: &&Log| history.world.is_shut(log.number);
            count("killed", history.logs.iter().filter(shut).count());
            let strange = history.logs.iter().filter(|log| log.stranger).flat_map(Log::dialogue);
            for (args, _) in strange {
                count("strange", 1);
                let pauses = args.get(1).is_some_and(|arg| arg == b"PAUSE");
                count("pauses", pauses as usize);
            }
            let trace = &history.world.trace;
            count("lines", trace.len());
            count("inside", trace.iter().filter(|line| line.inside).count());
            count("time goes back", trace.windows(2).filter(|pair| pair[0].now_ms > pair[1].now_ms).count());
            for (args, reply) in history.logs.iter().flat_map(Log::dialogue) {
                let name = String::from_utf8_lossy(&args[0]).to_ascii_uppercase();
                match (name.as_str(), reply) {
                    ("EXEC", Reply::Null) => count("EXEC fails", 1),
                    ("EXEC", Reply::Array(_)) => count("EXEC runs", 1),
                    ("EXEC", Reply::Error(_)) => count("EXEC aborts", 1),
                    ("EVAL", Reply::Array(_)) => count("scripts run", 1),
                    ("PTTL", Reply::Integer(1..)) => count("expiry seen", 1),
                    ("LMOVE" | "RPOPLPUSH", Reply::Bulk(_)) => count("elements move", 1),
                    ("SMOVE", Reply::Integer(1)) => count("members move", 1),
                    ("SINTERSTORE" | "SUNIONSTORE" | "SDIFFSTORE", Reply::Integer(1..)) => {
                        count("sets stored", 1);
                    }
                    ("ZRANGESTORE" | "ZUNIONSTORE" | "ZINTERSTORE", Reply::Integer(1..)) => {
                        count("sorted sets stored", 1);
                    }
                    (_, Reply::Error(text)) if text.starts_with("WRONGTYPE") => count("wrong types", 1),
                    (_, Reply::Bulk(_)) => count("value seen", 1),
                    (_, Reply::Null) => count("nil seen", 1),
                    _ => {}
                }
            }
        }
        let least = [
            ("leases", 2000),
            ("moves", 300),
            ("killed", 100),
            ("strange", 1000),
            ("pauses", 50),
            ("gone", 100),
            ("inside", 500),
            ("EXEC fails", 30),
            ("EXEC runs", 100),
            ("EXEC aborts", 100),
            ("scripts run", 500),
            ("expiry seen", 30),
            ("value seen", 1000),
            ("nil seen", 500),
            ("elements move", 40),
            ("members move", 40),
            ("sets stored", 40),
            ("sorted sets stored", 40),
            ("wrong types", 40),
        ];
        for (what, least) in least {
            assert!(seen.get(what).is_some_and(|count| *count >= least), "{what} is too rare: {seen:?}");
        }
    }
}
