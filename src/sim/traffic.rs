//! Random commands over a few keys, so that they meet.
//! In: a generator, the commands that the server has. Out: commands that the model knows, a few of them malformed.

use super::model::SUBSET;
use crate::base::rng::Rng;
use crate::commands::Registry;

/// Keys of the traffic; on three or eight cores they lie on different shards.
const KEYS: &[&str] = &["a", "b", "c", "d", "e", "f", "{a}2", "{b}2"];

/// Keys of lists, sets, hashes and sorted sets, most of the time; commands are known by the first letter of their names.
const COLLECTIONS: [(char, &[&str]); 4] = [
    ('L', &["l1", "l2", "l3", "{b}l"]),
    ('S', &["s1", "s2", "s3", "{a}s"]),
    ('H', &["h1", "h2"]),
    ('Z', &["z1", "z2", "z3", "{c}z"]),
];

/// Commands that are for any type: they meet keys of all.
const OF_ANY_TYPE: &[&str] = &[
    "COPY", "DEL", "EXISTS", "MOVE", "PERSIST", "PEXPIRE", "PTTL", "RENAME", "RENAMENX", "TOUCH", "TYPE",
    "UNLINK", "WATCH",
];

/// What one run of traffic is made of.
pub struct Traffic {
    names: Vec<&'static str>,
    keys: &'static [&'static str],
    /// Whether there are collections, too.
    collections: bool,
    /// Of 16 commands, so many carry an expiry if they can.
    expiries: u64,
    databases: u64,
    /// Length of a large value; one value in 32 is large.
    large: u64,
}

/// Something that changes no data but may disturb others: pauses, kills, listeners, reports, nonsense.
pub fn strange_command(rng: &mut Rng, clients: u64) -> Vec<Vec<u8>> {
    const LINES: &[&str] = &[
        "CLIENT PAUSE # WRITE",
        "CLIENT PAUSE #",
        "CLIENT UNPAUSE",
        "CLIENT KILL ID #",
        "CLIENT KILL ID #",
        "CLIENT LIST",
        "CLIENT INFO",
        "CLIENT SETNAME n#",
        "CLIENT REPLY SKIP",
        "CLIENT REPLY OFF",
        "CLIENT REPLY ON",
        "CLIENT NO-TOUCH ON",
        "INFO",
        "INFO everything",
        "MONITOR",
        "MONITOR",
        "RESET",
        "RESET",
        "QUIT",
        "HELLO 3",
        "HELLO 2",
        "DBSIZE",
        "KEYS *",
        "SCAN 0",
        "SCAN #",
        "RANDOMKEY",
        "OBJECT ENCODING a",
        "MEMORY USAGE a",
        "MEMORY STATS",
        "SLOWLOG GET",
        "CONFIG GET *",
        "CONFIG SET hz #",
        "COMMAND COUNT",
        "MULTI",
        "MULTI",
        "EXEC",
        "EXEC",
        "DISCARD",
        "WATCH a b c d e",
        "WATCH d",
        "UNWATCH",
        "GET a",
        "MGET a b c d e",
        "SELECT 1",
        "PING",
        "SUBSCRIBE a b",
        "PSUBSCRIBE * a",
        "SSUBSCRIBE s",
        "UNSUBSCRIBE",
        "PUNSUBSCRIBE a",
        "PUBLISH a #",
        "SPUBLISH s #",
        "PUBSUB CHANNELS",
        "PUBSUB NUMSUB a b",
        "CONFIG RESETSTAT",
        "LCS a b",
        "GETRANGE a 0 1",
        "EXISTS a b c",
        "CLIENT KILL TYPE normal SKIPME yes MAXAGE 1000",
    ];
    let line = LINES[rng.below(LINES.len() as u64) as usize];
    let number = (1 + rng.below(clients)).to_string();
    line.split(' ').map(|word| word.replace('#', &number).into_bytes()).collect()
}

impl Traffic {
    /// A mixture of its own for each generator: few kinds of commands, so that they meet; always some that look.
    pub fn new(rng: &mut Rng, registry: &Registry) -> Self {
        let known = |name: &&&str| registry.find(name.as_bytes()).is_some();
        let all: Vec<&'static str> = SUBSET.iter().filter(known).copied().collect();
        let kinds = 2 + rng.below(12);
        let mut names: Vec<&'static str> =
            (0..kinds).map(|_| all[rng.below(all.len() as u64) as usize]).collect();
        let groups: [&[&str]; 4] = [
            &["GET", "MGET", "SET", "MSET", "INCR", "APPEND", "MSETNX"],
            &["MSET", "MSET", "MGET"],
            &["RENAME", "COPY", "RENAMENX", "DEL", "EXISTS"],
            &["GETEX", "PEXPIRE", "PTTL", "SET", "PERSIST", "SET"],
        ];
        for group in groups {
            names.extend(group.repeat([0, 0, 1, 3][rng.below(4) as usize]));
        }
        let groups: [&[&str]; 5] = [
            &["LPUSH", "RPUSH", "LPOP", "LMOVE", "LMOVE", "RPOPLPUSH", "LRANGE", "LLEN"],
            &["SADD", "SADD", "SREM", "SMOVE", "SMOVE", "SMEMBERS", "SISMEMBER"],
            &["SADD", "SINTERSTORE", "SUNIONSTORE", "SDIFFSTORE", "SINTER", "SUNION", "SMEMBERS"],
            &["HSET", "HDEL", "HINCRBY", "HGET", "HGETALL", "RENAME", "COPY"],
            &["ZADD", "ZADD", "ZPOPMIN", "ZPOPMAX", "ZRANGESTORE", "ZUNIONSTORE", "ZINTERSTORE", "ZRANGE"],
        ];
        let collections = rng.below(2) == 0;
        for group in groups.iter().filter(|_| collections) {
            names.extend(group.repeat([0, 1, 3][rng.below(3) as usize]));
        }
        names.extend(["GET", "MGET"].repeat(names.len() / 8 + 1));
        names.extend(["EVAL"].repeat([0, 1, 2, 6][rng.below(4) as usize]));
        let transactions = [0, 0, 1, 3][rng.below(4) as usize];
        names.extend(["WATCH", "MULTI", "EXEC", "EXEC"].repeat(transactions));
        let count = 2 + rng.below(KEYS.len() as u64 - 1) as usize;
        Self {
            names,
            keys: &KEYS[..count],
            collections,
            expiries: [0, 2, 8][rng.below(3) as usize],
            databases: 1 + rng.below(3),
            large: if rng.below(16) == 0 { 200_000 } else { 5_000 },
        }
    }

    /// One command.
    pub fn command(&self, rng: &mut Rng) -> Vec<Vec<u8>> {
        let name = self.names[rng.below(self.names.len() as u64) as usize];
        let mut words = vec![name.to_string()];
        words.extend(self.arguments(name, rng));
        match rng.below(256) {
            0 => words.truncate(1),
            1 => words = vec!["NOSUCH".into()],
            2 => words[0] = words[0].to_ascii_lowercase(),
            _ => {}
        }
        words.into_iter().map(String::into_bytes).collect()
    }

    /// A command for a script: none that is a script itself.
    fn simple_command(&self, rng: &mut Rng) -> Vec<String> {
        const NAMES: &[&str] =
            &["GET", "SET", "INCR", "MGET", "MSET", "DEL", "SELECT", "RENAME", "KEYS", "DBSIZE"];
        let common = if rng.below(4) == 0 { NAMES.len() as u64 } else { 4 };
        let name = match rng.below(3) {
            0 => self.names[rng.below(self.names.len() as u64) as usize],
            _ => NAMES[rng.below(common) as usize],
        };
        let mut words = vec![name.to_string()];
        if name != "EVAL" {
            words.extend(self.arguments(name, rng));
        }
        words
    }

    /// A transaction that depends on a key which may expire: first what is watched, then what is done.
    pub fn optimistic(&self, rng: &mut Rng) -> [Vec<Vec<Vec<u8>>>; 2] {
        let (key, value, ms) = (self.key(rng), self.value(rng), self.ms(rng));
        let command = |line: String| line.split(' ').map(|word| word.as_bytes().to_vec()).collect();
        let first = [format!("SET {key} {value} PX {ms}"), format!("WATCH {key}"), format!("GET {key}")];
        let then = ["MULTI".into(), format!("GET {key}"), format!("SET {key} {value}"), "EXEC".into()];
        [first.map(command).to_vec(), then.map(command).to_vec()]
    }

    fn arguments(&self, name: &str, rng: &mut Rng) -> Vec<String> {
        let (key, value) = (self.key_for(name, rng), self.value(rng));
        match name {
            "GET" | "GETDEL" | "STRLEN" | "TYPE" | "PTTL" | "PERSIST" | "INCR" | "DECR" => vec![key],
            "APPEND" | "GETSET" | "SETNX" => vec![key, value],
            "INCRBY" | "DECRBY" => vec![key, (rng.below(9) as i64 - 4).to_string()],
            "ECHO" => vec![value],
            "SET" => [vec![key, value], self.set_options(rng)].concat(),
            "GETEX" => match rng.below(3) {
                0 => vec![key],
                1 => vec![key, "PERSIST".into()],
                _ => vec![key, "PX".into(), self.ms(rng)],
            },
            "PEXPIRE" => vec![key, self.ms(rng)],
            "DEL" | "EXISTS" | "MGET" | "TOUCH" | "UNLINK" | "WATCH" => {
                (0..1 + rng.below(4)).map(|_| self.key_for(name, rng)).collect()
            }
            "MSET" | "MSETNX" => {
                let count = 1 + rng.below(4);
                (0..count).flat_map(|_| [self.key(rng), self.value(rng)]).collect()
            }
            "RENAME" | "RENAMENX" => vec![key, self.key_for(name, rng)],
            "COPY" => {
                let mut words = vec![key, self.key_for(name, rng)];
                if rng.below(3) == 0 {
                    words.extend(["DB".into(), self.db(rng)]);
                }
                if rng.below(2) == 0 {
                    words.push("REPLACE".into());
                }
                words
            }
            "MOVE" => vec![key, self.db(rng)],
            "SELECT" => vec![self.db(rng)],
            "SWAPDB" => vec![self.db(rng), self.db(rng)],
            "KEYS" => vec!["*".into()],
            "EVAL" => {
                let count = 1 + rng.below(4);
                let commands: Vec<_> = (0..count).map(|_| self.simple_command(rng)).collect();
                super::script::words(&commands, rng)
            }
            _ if name.starts_with(['H', 'L', 'R', 'S', 'Z']) => self.of_collection(name, key, rng),
            _ => Vec::new(),
        }
    }

    /// Arguments of a command for lists, sets, hashes or sorted sets.
    fn of_collection(&self, name: &str, key: String, rng: &mut Rng) -> Vec<String> {
        let member = |rng: &mut Rng| format!("m{}", rng.below(6));
        let small = |rng: &mut Rng| (rng.below(9) as i64 - 4).to_string();
        let side = |rng: &mut Rng| ["LEFT", "RIGHT"][rng.below(2) as usize].to_string();
        let keys = |rng: &mut Rng| (0..1 + rng.below(3)).map(|_| self.key_for(name, rng)).collect::<Vec<_>>();
        match name {
            "LPUSH" | "RPUSH" => {
                [vec![key], (0..1 + rng.below(3)).map(|_| self.value(rng)).collect()].concat()
            }
            "LMOVE" => vec![key, self.key_for(name, rng), side(rng), side(rng)],
            "RPOPLPUSH" => vec![key, self.key_for(name, rng)],
            "LRANGE" => vec![key, small(rng), small(rng)],
            "SADD" | "SREM" | "HDEL" | "ZREM" => {
                [vec![key], (0..1 + rng.below(3)).map(|_| member(rng)).collect()].concat()
            }
            "SMOVE" => vec![key, self.key_for(name, rng), member(rng)],
            "SISMEMBER" | "HGET" | "ZSCORE" => vec![key, member(rng)],
            "SINTER" | "SUNION" | "SDIFF" => keys(rng),
            "SINTERSTORE" | "SUNIONSTORE" | "SDIFFSTORE" => [vec![key], keys(rng)].concat(),
            "HSET" => (0..1 + rng.below(3)).fold(vec![key], |words, _| {
                let value = if rng.below(3) == 0 { self.value(rng) } else { small(rng) };
                [words, vec![member(rng), value]].concat()
            }),
            "HINCRBY" => vec![key, member(rng), small(rng)],
            "ZADD" => (0..1 + rng.below(3))
                .fold(vec![key], |words, _| [words, vec![small(rng), member(rng)]].concat()),
            "ZINCRBY" => vec![key, small(rng), member(rng)],
            "ZUNIONSTORE" | "ZINTERSTORE" | "ZDIFFSTORE" => {
                let sources = keys(rng);
                [vec![key, sources.len().to_string()], sources].concat()
            }
            "ZRANGESTORE" => vec![key, self.key_for(name, rng), small(rng), small(rng)],
            "ZRANGE" => vec![key, small(rng), small(rng), "WITHSCORES".into()],
            _ => vec![key],
        }
    }

    /// A key of the type that the command is for; now and then one of another type.
    fn key_for(&self, name: &str, rng: &mut Rng) -> String {
        let is_any = OF_ANY_TYPE.contains(&name) || rng.below(32) == 0;
        let letter = match name {
            _ if is_any => "LSHZ-".chars().nth(rng.below(5) as usize).expect("there are five"),
            "SELECT" | "SET" | "SETNX" | "STRLEN" | "SWAPDB" => '-',
            "RPOP" | "RPOPLPUSH" | "RPUSH" => 'L',
            _ => name.chars().next().expect("names are not empty"),
        };
        match COLLECTIONS.iter().find(|(first, _)| *first == letter) {
            Some((_, keys)) if self.collections || !is_any => {
                keys[rng.below(keys.len() as u64) as usize].into()
            }
            _ => self.key(rng),
        }
    }

    fn key(&self, rng: &mut Rng) -> String {
        self.keys[rng.below(self.keys.len() as u64) as usize].into()
    }

    fn db(&self, rng: &mut Rng) -> String {
        rng.below(self.databases).to_string()
    }

    /// Small numbers, short texts, now and then a large one.
    fn value(&self, rng: &mut Rng) -> String {
        match rng.below(32) {
            0 => "x".repeat(1 + rng.below(self.large) as usize),
            1..=15 => rng.below(100).to_string(),
            _ => format!("v{}", rng.below(1000)),
        }
    }

    fn ms(&self, rng: &mut Rng) -> String {
        (1 + rng.below(60)).to_string()
    }

    fn set_options(&self, rng: &mut Rng) -> Vec<String> {
        let mut words = Vec::new();
        match rng.below(8) {
            0 => words.push("NX".into()),
            1 => words.push("XX".into()),
            _ => {}
        }
        if rng.below(6) == 0 {
            words.push("GET".into());
        }
        if rng.below(16) < self.expiries {
            words.extend(["PX".into(), self.ms(rng)]);
        } else if rng.below(8) == 0 {
            words.push("KEEPTTL".into());
        }
        words
    }
}
