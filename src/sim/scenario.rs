//! Promises that clients can check by themselves: whatever the trace says, these replies must not occur.
//! In: a scenario, which is roles that clients play and a judge of their replies. Out: the first bad reply.

use super::history::{History, shown};
use super::reply::Reply;
use crate::base::rng::Rng;

/// What one client does next: a pipeline of commands.
type Role = fn(&mut Rng, u64) -> Vec<&'static str>;

/// Roles as templates: `#` stands for the round's number, `%` for a random small number, the same within a pipeline.
struct Scenario {
    /// Said by the first client before the others begin.
    setup: &'static str,
    roles: &'static [Role],
    judge: fn(&[i64]) -> bool,
}

/// Writers set three keys on different shards at once; readers see them equal.
const TOGETHER: Scenario = Scenario {
    setup: "MSET a 0 b 0 c 0",
    roles: &[
        |_, _| vec!["MSET a # b # c #"],
        |_, _| vec!["MSET c # a # b #", "GET a", "MSET b # c # a #"],
        |_, _| vec!["MULTI", "SET b #", "SET a #", "SET c #", "EXEC"],
        |_, _| vec!["MGET a b c", "MGET c b a"],
        |rng, _| if rng.below(2) == 0 { vec!["MGET b c a"] } else { vec!["GET b", "MGET b c a", "GET c"] },
    ],
    judge: |values| values.len() != 3 || (values[0] == values[1] && values[1] == values[2]),
};

/// Money moves between three accounts; there is always as much of it.
const TRANSFERS: Scenario = Scenario {
    setup: "MSET a 100 b 100 c 100",
    roles: &[
        |_, _| vec!["MULTI", "DECRBY a %", "INCRBY b %", "EXEC"],
        |_, _| vec!["MULTI", "DECRBY b %", "INCRBY c %", "EXEC", "MGET a b c"],
        |_, _| vec!["MULTI", "DECRBY c %", "PING", "INCRBY a %", "EXEC", "GET a"],
        |_, _| vec!["MGET a b c", "MGET b a c"],
        |_, _| vec!["MULTI", "GET c", "GET a", "GET b", "EXEC"],
    ],
    judge: |values| values.len() != 3 || values.iter().sum::<i64>() == 300,
};

/// One client writes data, then says that they are ready, in one pipeline; nobody sees the second without the first.
const PUBLICATION: Scenario = Scenario {
    setup: "MSET data 0 ready 0",
    roles: &[
        |_, _| vec!["GET x", "SET data #", "SET ready #"],
        |_, _| vec!["MGET ready data"],
        |_, _| vec!["MGET ready data", "GET x", "MGET ready data"],
        |_, _| vec!["MULTI", "GET ready", "PING", "GET data", "EXEC"],
    ],
    judge: |values| values.len() != 2 || values[0] <= values[1],
};

/// A token is renamed from key to key; there is always one of it.
const TOKEN: Scenario = Scenario {
    setup: "SET a 1",
    roles: &[
        |_, _| vec!["RENAME a b", "RENAMENX b c"],
        |_, _| vec!["RENAMENX b a", "RENAME c a", "EXISTS a b c"],
        |_, _| vec!["RENAME c b", "RENAME b c"],
        |_, _| vec!["MULTI", "EXISTS b c a", "EXEC"],
        |_, _| vec!["MGET a b c"],
    ],
    judge: |values| values.len() != 1 || values[0] == 1,
};

impl Scenario {
    /// Plays it; the error is the first reply that should not be.
    fn play(&self, cores: usize, seed: u64, tune: impl FnOnce(&mut History)) -> Result<(), String> {
        let mut history = History::new(cores, seed);
        let mut rng = Rng::seeded(seed ^ 0x5ce);
        tune(&mut history);
        // Idle clients push the others to other home cores.
        for _ in 0..rng.below(cores as u64) {
            history.world.connect();
        }
        let first = history.join();
        history.say(first, vec![words(self.setup, 0, 0)]);
        while history.logs[first].pending() > 0 {
            history.step();
        }
        for _ in 1..self.roles.len() {
            history.join();
        }
        let mut round = 0;
        while round < 60 {
            let who = rng.below(self.roles.len() as u64) as usize;
            if rng.below(6) == 0 && history.logs[who].pending() < 12 {
                round += 1;
                let small = rng.below(9);
                let lines = (self.roles[who])(&mut rng, round);
                history.say(who, lines.iter().map(|line| words(line, round, small)).collect());
            }
            history.step();
        }
        history.settle();
        self.judge_all(&history)
    }

    fn judge_all(&self, history: &History) -> Result<(), String> {
        for (who, log) in history.logs.iter().enumerate() {
            if log.pending() > 0 {
                return Err(format!("client {who} waits for {} replies", log.pending()));
            }
            for (args, reply) in log.dialogue() {
                let looks = matches!(args[0].as_slice(), b"MGET" | b"EXISTS" | b"EXEC");
                if looks && !(self.judge)(&numbers(reply)) {
                    return Err(format!("client {who} saw {} => {reply}", shown(args)));
                }
            }
        }
        Ok(())
    }
}

fn words(line: &str, round: u64, small: u64) -> Vec<Vec<u8>> {
    let word = |word: &str| match word {
        "#" => round.to_string().into_bytes(),
        "%" => small.to_string().into_bytes(),
        word => word.as_bytes().to_vec(),
    };
    line.split(' ').map(word).collect()
}

/// The numbers in a reply, be they integers or texts.
fn numbers(reply: &Reply) -> Vec<i64> {
    match reply {
        Reply::Integer(value) => vec![*value],
        Reply::Bulk(text) => crate::base::number::parse_i64(text).into_iter().collect(),
        Reply::Array(replies) => replies.iter().flat_map(numbers).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::seeds;
    use super::super::world::Fault;
    use super::*;

    fn check(scenario: &Scenario) {
        for cores in [1, 2, 3, 8] {
            for seed in seeds(100) {
                if let Err(why) = scenario.play(cores, seed, |_| ()) {
                    panic!("seed {seed}, {cores} cores: {why}");
                }
            }
        }
    }

    #[test]
    fn what_is_set_together_is_seen_together() {
        check(&TOGETHER);
    }

    #[test]
    fn money_is_conserved() {
        check(&TRANSFERS);
    }

    #[test]
    fn ready_means_ready() {
        check(&PUBLICATION);
    }

    #[test]
    fn there_is_one_token() {
        check(&TOKEN);
    }

    /// How many of 100 runs show the fault.
    fn caught(scenario: &Scenario, fault: Fault) -> usize {
        let broken = |seed: &u64| {
            let tune = |history: &mut History| {
                history.world.fault = Some(fault);
                // Faults befall what travels.
                history.world.cores.iter_mut().for_each(|core| core.lends_after(u32::MAX));
            };
            scenario.play(3, *seed, tune).is_err()
        };
        (0..100).filter(broken).count()
    }

    #[test]
    fn what_is_broken_is_seen() {
        for (scenario, fault) in [
            (&TOGETHER, Fault::TornMset),
            (&PUBLICATION, Fault::SwappedCommands),
            (&TRANSFERS, Fault::LostChange),
            (&TOKEN, Fault::LostChange),
        ] {
            let caught = caught(scenario, fault);
            assert!(caught >= 25, "{fault:?} was seen in {caught} runs of 100");
        }
    }
}
