//! Promises that clients can check by themselves: whatever the trace says, these replies must not occur.
//! In: a scenario, which is roles that clients play and a judge of their replies. Out: the first bad reply.

use super::history::{History, shown};
use super::reply::Reply;
use crate::base::rng::Rng;

/// What one client does next: a pipeline of commands.
type Role = fn(&mut Rng, u64) -> Vec<&'static str>;

/// Roles as templates: `#` stands for the round's number, `%` for a random small number, the same within a pipeline;
/// `@name` for a script.
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

/// Scripts that set what they are told to, each to `ARGV[1]`: the keys that are declared, and nothing else; those that are
/// only arguments, some of them read before anything is written; those that what is read names.
const PUT: &str = "for i = 1, #KEYS do redis.call('SET', KEYS[i], ARGV[1]) end return 1";
const PUT_PROVEN: &str = "redis.call('SET', KEYS[1], ARGV[1]) redis.call('SET', KEYS[2], ARGV[1]) redis.call('SET', KEYS[3], ARGV[1])";
const PUT_UNDECLARED: &str = "if #KEYS > 0 then redis.call('GET', KEYS[1]) end redis.call('GET', ARGV[3])
for i = 2, #ARGV do redis.call('SET', ARGV[i], ARGV[1]) end return 1";
const PUT_FOUND: &str = "local old = redis.call('GET', KEYS[1]) or '' redis.call('SET', KEYS[1], ARGV[1])
for _, key in ipairs({'b', 'c'}) do redis.pcall('SET', key, ARGV[1]) end return old";

/// Scripts that say what three keys hold: declared or not.
const ALL: &str = "return redis.call('MGET', unpack(KEYS))";
const ALL_UNDECLARED: &str =
    "local found = {} for i, key in ipairs(ARGV) do found[i] = redis.call('GET', key) end return found";

/// What TOGETHER promises, where scripts write and read, mixed with transactions and single commands.
const SCRIPTED: Scenario = Scenario {
    setup: "MSET a 0 b 0 c 0",
    roles: &[
        |_, _| vec!["EVAL @put 3 a b c #", "EVAL @all 3 c a b"],
        |_, _| vec!["EVAL @proven 3 b c a #"],
        |_, _| vec!["EVAL @undeclared 0 # a b c", "GET a", "EVAL @undeclared 1 x # c b a"],
        |rng, _| {
            if rng.below(2) == 0 { vec!["EVAL @found 1 a #"] } else { vec!["EVAL @undeclared 1 b # a b c"] }
        },
        |_, _| vec!["MULTI", "EVAL @put 1 b #", "SET a #", "EVAL @undeclared 1 a # c c", "EXEC"],
        |_, _| vec!["MSET a # b # c #", "EVAL @allundeclared 0 a b c"],
        |_, _| vec!["EVAL @allundeclared 1 b c b a", "MGET a b c"],
        |_, _| vec!["MULTI", "GET b", "EVAL @allundeclared 2 x y a c", "EXEC", "EVAL @all 3 a b c"],
    ],
    judge: |values| values.len() != 3 || (values[0] == values[1] && values[1] == values[2]),
};

/// Money moves by scripts: from a declared account to one that is not, or where neither is.
const MOVE: &str = "local have = tonumber(redis.call('GET', KEYS[1])) redis.call('DECRBY', KEYS[1], ARGV[1])
redis.call('INCRBY', ARGV[2], ARGV[1]) return have";
const MOVE_UNDECLARED: &str = "redis.call('EXISTS', KEYS[1] or 'x')
if tonumber(redis.call('GET', ARGV[2])) < 0 then return 0 end
redis.call('DECRBY', ARGV[2], ARGV[1]) redis.call('INCRBY', ARGV[3], ARGV[1]) return 1";

/// What TRANSFERS promises, where scripts move the money.
const SCRIPTED_TRANSFERS: Scenario = Scenario {
    setup: "MSET a 100 b 100 c 100",
    roles: &[
        |_, _| vec!["EVAL @move 1 a % b"],
        |_, _| vec!["EVAL @move 1 b % c", "EVAL @allundeclared 0 a b c"],
        |_, _| vec!["EVAL @moveundeclared 0 % c a", "EVAL @moveundeclared 1 x % a c", "MGET a b c"],
        |_, _| {
            vec![
                "MULTI",
                "DECRBY c %",
                "EVAL @moveundeclared 0 % a b",
                "GET b",
                "INCRBY a %",
                "EXEC",
                "EVAL @all 3 a b c",
            ]
        },
        |_, _| vec!["EVAL @all 3 b a c", "MULTI", "GET c", "GET a", "GET b", "EXEC"],
    ],
    judge: |values| values.len() != 3 || values.iter().sum::<i64>() == 300,
};

/// The texts that templates name: they have blanks of their own.
const SCRIPTS: &[(&str, &str)] = &[
    ("@put", PUT),
    ("@proven", PUT_PROVEN),
    ("@undeclared", PUT_UNDECLARED),
    ("@found", PUT_FOUND),
    ("@all", ALL),
    ("@allundeclared", ALL_UNDECLARED),
    ("@move", MOVE),
    ("@moveundeclared", MOVE_UNDECLARED),
];

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
                let looks = matches!(args[0].as_slice(), b"MGET" | b"EXISTS" | b"EXEC" | b"EVAL");
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
        word => {
            let script = SCRIPTS.iter().find(|(name, _)| *name == word);
            script.map_or(word, |(_, text)| text).as_bytes().to_vec()
        }
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

    #[test]
    fn what_scripts_set_together_is_seen_together() {
        check(&SCRIPTED);
    }

    #[test]
    fn scripts_conserve_money() {
        check(&SCRIPTED_TRANSFERS);
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
            (&SCRIPTED, Fault::TornScript),
            (&SCRIPTED_TRANSFERS, Fault::LostChange),
        ] {
            let caught = caught(scenario, fault);
            // Scripts of the other roles mend what a torn one did, before anybody looks.
            let least = if fault == Fault::TornScript { 15 } else { 25 };
            assert!(caught >= least, "{fault:?} was seen in {caught} runs of 100");
        }
    }
}
