//! A naive Redis: one map, one thread, no expiry in the background. What the real one has to agree with.
//! In: a client, its next command, the time. Out: the reply.
//! Absent: streams, everything that `SUBSET` does not name.

mod collections;

use std::collections::{BTreeMap, HashMap};

use self::collections::{Data, wrong_type};
use super::reply::Reply;
use super::script;
use crate::base::number::parse_i64;

pub type Key = (usize, Vec<u8>);

/// The commands that the model knows.
pub const SUBSET: &[&str] = &[
    "APPEND",
    "COPY",
    "DBSIZE",
    "DECR",
    "DECRBY",
    "DEL",
    "DISCARD",
    "ECHO",
    "EVAL",
    "EXEC",
    "EXISTS",
    "FLUSHALL",
    "FLUSHDB",
    "GET",
    "GETDEL",
    "GETEX",
    "GETSET",
    "INCR",
    "INCRBY",
    "KEYS",
    "MGET",
    "MOVE",
    "MSET",
    "MSETNX",
    "MULTI",
    "PERSIST",
    "PEXPIRE",
    "PING",
    "PTTL",
    "RENAME",
    "RENAMENX",
    "SELECT",
    "SET",
    "SETNX",
    "STRLEN",
    "SWAPDB",
    "TOUCH",
    "TYPE",
    "UNLINK",
    "UNWATCH",
    "WATCH",
    "LLEN",
    "LMOVE",
    "LPOP",
    "LPUSH",
    "LRANGE",
    "RPOP",
    "RPOPLPUSH",
    "RPUSH",
    "SADD",
    "SCARD",
    "SDIFF",
    "SDIFFSTORE",
    "SINTER",
    "SINTERSTORE",
    "SISMEMBER",
    "SMEMBERS",
    "SMOVE",
    "SREM",
    "SUNION",
    "SUNIONSTORE",
    "HDEL",
    "HGET",
    "HGETALL",
    "HINCRBY",
    "HLEN",
    "HSET",
    "ZADD",
    "ZCARD",
    "ZDIFFSTORE",
    "ZINCRBY",
    "ZINTERSTORE",
    "ZPOPMAX",
    "ZPOPMIN",
    "ZRANGE",
    "ZRANGESTORE",
    "ZREM",
    "ZSCORE",
    "ZUNIONSTORE",
];

/// Of these, the ones for which a key has to hold a string, if it is there.
const OF_STRINGS: &[&str] =
    &["APPEND", "DECR", "DECRBY", "GET", "GETDEL", "GETEX", "GETSET", "INCR", "INCRBY", "STRLEN"];

const DATABASES: usize = 16;

#[derive(Clone)]
struct Value {
    data: Data,
    expiry: Option<i64>,
}

/// A key under WATCH.
struct Watched {
    key: Key,
    stamp: u64,
    /// When it would expire, if it was there: that is a change, too.
    ends_ms: Option<i64>,
}

/// A client as the model sees it.
#[derive(Default)]
pub struct Client {
    db: usize,
    queued: Option<Vec<Vec<Vec<u8>>>>,
    aborted: bool,
    watched: Vec<Watched>,
}

/// What becomes of a client's next command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It is queued or refused: it touches nothing but its connection.
    AtHome,
    Runs,
    /// EXEC of a transaction that was not aborted.
    RunsTransaction,
}

#[derive(Default)]
pub struct Model {
    values: BTreeMap<Key, Value>,
    /// The stamp of each key's last change.
    changed: HashMap<Key, u64>,
    stamp: u64,
    now_ms: i64,
}

fn error(text: &str) -> Reply {
    Reply::Error(text.into())
}

fn ok() -> Reply {
    Reply::Simple("OK".into())
}

fn int(value: usize) -> Reply {
    Reply::Integer(value as i64)
}

fn bulk(value: Option<Vec<u8>>) -> Reply {
    value.map_or(Reply::Null, Reply::Bulk)
}

fn name(args: &[Vec<u8>]) -> String {
    String::from_utf8_lossy(&args[0]).to_ascii_uppercase()
}

fn not_an_integer() -> Reply {
    error("ERR value is not an integer or out of range")
}

/// The fewest and the most arguments, the name included.
fn arity(name: &str) -> Option<(usize, usize)> {
    const MANY: usize = usize::MAX;
    Some(match name {
        "DBSIZE" | "DISCARD" | "EXEC" | "MULTI" | "UNWATCH" => (1, 1),
        "PING" => (1, MANY),
        "FLUSHALL" | "FLUSHDB" => (1, MANY),
        "DECR" | "ECHO" | "GET" | "GETDEL" | "INCR" | "KEYS" | "PERSIST" | "PTTL" | "SELECT" | "STRLEN"
        | "TYPE" => (2, 2),
        "DEL" | "EXISTS" | "GETEX" | "MGET" | "TOUCH" | "UNLINK" | "WATCH" => (2, MANY),
        "APPEND" | "DECRBY" | "GETSET" | "INCRBY" | "MOVE" | "RENAME" | "RENAMENX" | "SETNX" | "SWAPDB" => {
            (3, 3)
        }
        "COPY" | "EVAL" | "MSET" | "MSETNX" | "PEXPIRE" | "SET" => (3, MANY),
        "HGETALL" | "HLEN" | "LLEN" | "SCARD" | "SMEMBERS" | "ZCARD" => (2, 2),
        "LPOP" | "RPOP" | "SDIFF" | "SINTER" | "SUNION" | "ZPOPMAX" | "ZPOPMIN" => (2, MANY),
        "HGET" | "RPOPLPUSH" | "SISMEMBER" | "ZSCORE" => (3, 3),
        "HDEL" | "LPUSH" | "RPUSH" | "SADD" | "SDIFFSTORE" | "SINTERSTORE" | "SREM" | "SUNIONSTORE"
        | "ZREM" => (3, MANY),
        "HINCRBY" | "LRANGE" | "SMOVE" | "ZINCRBY" => (4, 4),
        "HSET" | "ZADD" | "ZDIFFSTORE" | "ZINTERSTORE" | "ZRANGE" | "ZUNIONSTORE" => (4, MANY),
        "LMOVE" => (5, 5),
        "ZRANGESTORE" => (5, MANY),
        _ => return None,
    })
}

/// The error for a command that does not get as far as its handler.
fn refusal(args: &[Vec<u8>]) -> Option<Reply> {
    let name = name(args);
    match arity(&name) {
        None => {
            let shown = |arg: &Vec<u8>| format!("'{}' ", String::from_utf8_lossy(arg));
            let rest: String = args[1..].iter().map(shown).collect();
            let first = String::from_utf8_lossy(&args[0]);
            Some(error(&format!("ERR unknown command '{first}', with args beginning with: {rest}")))
        }
        Some((least, most)) if args.len() < least || args.len() > most => {
            let name = name.to_ascii_lowercase();
            Some(error(&format!("ERR wrong number of arguments for '{name}' command")))
        }
        Some(_) => None,
    }
}

impl Model {
    /// What will become of `args`, said by `client` now.
    pub fn fate(&self, client: &Client, args: &[Vec<u8>]) -> Fate {
        let in_multi = client.queued.is_some();
        match name(args).as_str() {
            _ if refusal(args).is_some() => Fate::AtHome,
            "EXEC" if in_multi && client.aborted => Fate::AtHome,
            "EXEC" if in_multi => Fate::RunsTransaction,
            "DISCARD" => Fate::Runs,
            _ if in_multi => Fate::AtHome,
            _ => Fate::Runs,
        }
    }

    /// Takes the next command of `client`, at `now_ms`, and answers.
    pub fn take(&mut self, client: &mut Client, args: &[Vec<u8>], now_ms: i64) -> Reply {
        self.now_ms = now_ms;
        if let Some(refused) = refusal(args) {
            client.aborted |= client.queued.is_some();
            return refused;
        }
        match (name(args).as_str(), &mut client.queued) {
            ("MULTI", Some(_)) => error("ERR MULTI calls can not be nested"),
            ("WATCH", Some(_)) => error("ERR WATCH inside MULTI is not allowed"),
            ("MULTI", queued) => {
                *queued = Some(Vec::new());
                ok()
            }
            ("EXEC", None) => error("ERR EXEC without MULTI"),
            ("DISCARD", None) => error("ERR DISCARD without MULTI"),
            ("EXEC", Some(_)) => self.exec(client),
            ("DISCARD", Some(_)) => {
                *client = Client { db: client.db, ..Client::default() };
                ok()
            }
            (_, Some(queued)) => {
                queued.push(args.to_vec());
                Reply::Simple("QUEUED".into())
            }
            (_, None) => self.run(client, args),
        }
    }

    fn exec(&mut self, client: &mut Client) -> Reply {
        let done = std::mem::replace(client, Client { db: client.db, ..Client::default() });
        if done.aborted {
            return error("EXECABORT Transaction discarded because of previous errors.");
        }
        let same = |watched: &Watched| {
            self.changed.get(&watched.key).is_none_or(|stamp| *stamp <= watched.stamp)
                && watched.ends_ms.is_none_or(|at_ms| at_ms > self.now_ms)
        };
        if !done.watched.iter().all(same) {
            return Reply::Null;
        }
        let queued = done.queued.unwrap_or_default();
        Reply::Array(queued.iter().map(|args| self.run(client, args)).collect())
    }

    // ---- scripts ----

    /// Runs one of the two scripts that the traffic has (see `super::script`).
    fn script(&mut self, client: &Client, args: &[Vec<u8>]) -> Reply {
        // SELECT in a script is the script's affair.
        let mut inside = Client { db: client.db, ..Client::default() };
        let commands = script::commands_of(args);
        Reply::Array(commands.iter().map(|command| self.inside_script(&mut inside, command)).collect())
    }

    fn inside_script(&mut self, client: &mut Client, args: &[Vec<u8>]) -> Reply {
        const DENIED: &[&str] = &["DISCARD", "EVAL", "EXEC", "MULTI", "UNWATCH", "WATCH"];
        match refusal(args) {
            Some(_) if arity(&name(args)).is_none() => error("ERR Unknown Redis command called from script"),
            Some(_) => error("ERR Wrong number of args calling Redis command from script"),
            None if DENIED.contains(&name(args).as_str()) => {
                error("ERR This Redis command is not allowed from script")
            }
            None => self.run(client, args),
        }
    }

    // ---- the keyspace ----

    fn look(&self, key: &Key) -> Option<&Value> {
        self.values.get(key).filter(|value| value.expiry.is_none_or(|at_ms| at_ms > self.now_ms))
    }

    /// A string; None if there is none, or something else.
    fn bytes(&self, key: &Key) -> Option<Vec<u8>> {
        match &self.look(key)?.data {
            Data::String(bytes) => Some(bytes.clone()),
            _ => None,
        }
    }

    fn holds_no_string(&self, key: &Key) -> bool {
        self.look(key).is_some() && self.bytes(key).is_none()
    }

    fn touch(&mut self, key: &Key) {
        self.stamp += 1;
        self.changed.insert(key.clone(), self.stamp);
    }

    fn put(&mut self, key: &Key, bytes: &[u8], expiry: Option<i64>) {
        self.put_data(key, Data::String(bytes.to_vec()), expiry);
    }

    fn put_data(&mut self, key: &Key, data: Data, expiry: Option<i64>) {
        self.values.insert(key.clone(), Value { data, expiry });
        self.touch(key);
    }

    fn remove(&mut self, key: &Key) -> Option<Value> {
        let value = self.look(key).cloned()?;
        self.values.remove(key);
        self.touch(key);
        Some(value)
    }

    /// The keys of a database that have not expired.
    fn keys(&self, db: usize) -> Vec<Key> {
        self.values.keys().filter(|key| key.0 == db && self.look(key).is_some()).cloned().collect()
    }

    fn flush(&mut self, db: usize) {
        self.keys(db).iter().for_each(|key| self.touch(key));
        self.values.retain(|key, _| key.0 != db);
    }

    fn swap(&mut self, a: usize, b: usize) {
        if a == b {
            return;
        }
        for (_, key) in [self.keys(a), self.keys(b)].concat() {
            self.touch(&(a, key.clone()));
            self.touch(&(b, key));
        }
        let swapped = |db: usize| {
            if db == a {
                b
            } else if db == b {
                a
            } else {
                db
            }
        };
        let old = std::mem::take(&mut self.values);
        self.values = old.into_iter().map(|((db, key), value)| ((swapped(db), key), value)).collect();
    }

    // ---- commands ----

    fn run(&mut self, client: &mut Client, args: &[Vec<u8>]) -> Reply {
        let name = name(args);
        let db = client.db;
        let key = |at: usize| (db, args[at].clone());
        let several = || args[1..].iter().map(move |key| (db, key.clone()));
        match name.as_str() {
            of_strings if OF_STRINGS.contains(&of_strings) && self.holds_no_string(&key(1)) => wrong_type(),
            "PING" if args.len() > 2 => error("ERR wrong number of arguments for 'ping' command"),
            "PING" if args.len() == 1 => Reply::Simple("PONG".into()),
            "PING" | "ECHO" => Reply::Bulk(args[1].clone()),
            "SELECT" => match parse_i64(&args[1]) {
                Some(index) if (0..DATABASES as i64).contains(&index) => {
                    client.db = index as usize;
                    ok()
                }
                _ => error("ERR DB index is out of range"),
            },
            "EVAL" => self.script(client, args),
            "WATCH" => {
                for key in several() {
                    let ends_ms = self.look(&key).and_then(|value| value.expiry);
                    client.watched.push(Watched { key, stamp: self.stamp, ends_ms });
                }
                ok()
            }
            "UNWATCH" => {
                client.watched.clear();
                ok()
            }
            "GET" => bulk(self.bytes(&key(1))),
            "GETDEL" => {
                let old = self.bytes(&key(1));
                self.remove(&key(1));
                bulk(old)
            }
            "GETEX" => self.getex(&key(1), &args[2..]),
            "MGET" => Reply::Array(several().map(|key| bulk(self.bytes(&key))).collect()),
            "STRLEN" => int(self.bytes(&key(1)).map_or(0, |bytes| bytes.len())),
            "TYPE" => Reply::Simple(self.look(&key(1)).map_or("none", |value| value.data.type_name()).into()),
            "PTTL" => Reply::Integer(match self.look(&key(1)) {
                None => -2,
                Some(value) => value.expiry.map_or(-1, |at_ms| at_ms - self.now_ms),
            }),
            "EXISTS" | "TOUCH" => int(several().filter(|key| self.look(key).is_some()).count()),
            "DEL" | "UNLINK" => int(several().filter(|key| self.remove(key).is_some()).count()),
            "KEYS" if args[1] == b"*" => {
                let keys = self.keys(db).into_iter().map(|(_, key)| Reply::Bulk(key));
                Reply::Unordered(keys.collect())
            }
            "DBSIZE" => self.dbsize(db),
            "FLUSHDB" | "FLUSHALL" => {
                let dbs = if name == "FLUSHDB" { db..db + 1 } else { 0..DATABASES };
                dbs.for_each(|db| self.flush(db));
                ok()
            }
            "SWAPDB" => match (parse_i64(&args[1]), parse_i64(&args[2])) {
                (Some(a), Some(b)) => {
                    self.swap(a as usize, b as usize);
                    ok()
                }
                _ => panic!("the traffic swaps by numbers"),
            },
            _ => self.write(&name, db, args),
        }
    }

    /// Overdue keys count until somebody deletes them, which may have happened: then the number is left open.
    fn dbsize(&self, db: usize) -> Reply {
        let all = self.values.keys().filter(|key| key.0 == db).count();
        if all == self.keys(db).len() { int(all) } else { Reply::Any }
    }

    fn write(&mut self, name: &str, db: usize, args: &[Vec<u8>]) -> Reply {
        let key = (db, args[1].clone());
        match name {
            "SET" => self.set(&key, &args[2], &args[3..]),
            "SETNX" => self.when(self.look(&key).is_none(), |model| model.put(&key, &args[2], None)),
            "GETSET" => {
                let old = self.bytes(&key);
                self.put(&key, &args[2], None);
                bulk(old)
            }
            "APPEND" => {
                let expiry = self.look(&key).and_then(|old| old.expiry);
                let bytes = [self.bytes(&key).unwrap_or_default(), args[2].clone()].concat();
                self.put(&key, &bytes, expiry);
                int(bytes.len())
            }
            "INCR" => self.add(&key, 1),
            "DECR" => self.add(&key, -1),
            "INCRBY" => parse_i64(&args[2]).map_or_else(not_an_integer, |by| self.add(&key, by)),
            "DECRBY" => parse_i64(&args[2]).map_or_else(not_an_integer, |by| self.add(&key, -by)),
            "MSET" | "MSETNX" => self.mset(name, db, args),
            "RENAME" | "RENAMENX" => self.rename(name, &key, &(db, args[2].clone())),
            "COPY" => self.copy(&key, &(db, args[2].clone()), &args[3..]),
            "MOVE" => self.move_key(&key, &args[2]),
            "PERSIST" => {
                let expires = self.look(&key).is_some_and(|value| value.expiry.is_some());
                self.when(expires, |model| model.set_expiry(&key, None))
            }
            "PEXPIRE" => {
                let at_ms = self.now_ms + parse_i64(&args[2]).expect("the traffic gives a number");
                self.when(self.look(&key).is_some(), |model| model.set_expiry(&key, Some(at_ms)))
            }
            _ => self.collection(name, db, args),
        }
    }

    fn when(&mut self, holds: bool, change: impl FnOnce(&mut Model)) -> Reply {
        if holds {
            change(self);
        }
        int(holds as usize)
    }

    /// A time in the past deletes.
    fn set_expiry(&mut self, key: &Key, expiry: Option<i64>) {
        if expiry.is_some_and(|at_ms| at_ms <= self.now_ms) {
            self.remove(key);
            return;
        }
        self.values.get_mut(key).expect("the caller looked").expiry = expiry;
        self.touch(key);
    }

    fn add(&mut self, key: &Key, by: i64) -> Reply {
        let expiry = self.look(key).and_then(|old| old.expiry);
        let old = self.bytes(key).unwrap_or(b"0".to_vec());
        let Some(number) = parse_i64(&old) else { return not_an_integer() };
        let Some(sum) = number.checked_add(by) else {
            return error("ERR increment or decrement would overflow");
        };
        self.put(key, sum.to_string().as_bytes(), expiry);
        Reply::Integer(sum)
    }

    fn mset(&mut self, name: &str, db: usize, args: &[Vec<u8>]) -> Reply {
        if args.len().is_multiple_of(2) {
            let name = name.to_ascii_lowercase();
            return error(&format!("ERR wrong number of arguments for '{name}' command"));
        }
        let pairs: Vec<(Key, &Vec<u8>)> =
            args[1..].chunks(2).map(|pair| ((db, pair[0].clone()), &pair[1])).collect();
        let free = pairs.iter().all(|(key, _)| self.look(key).is_none());
        if name == "MSET" || free {
            pairs.iter().for_each(|(key, value)| self.put(key, value, None));
        }
        if name == "MSET" { ok() } else { int(free as usize) }
    }

    fn rename(&mut self, name: &str, from: &Key, to: &Key) -> Reply {
        let Some(value) = self.look(from).cloned() else { return error("ERR no such key") };
        let plain = name == "RENAME";
        let done = if from == to { plain } else { plain || self.look(to).is_none() };
        if done && from != to {
            self.remove(from);
            self.put_data(to, value.data, value.expiry);
        }
        if plain { ok() } else { int(done as usize) }
    }

    fn move_key(&mut self, key: &Key, db: &[u8]) -> Reply {
        let to = (parse_i64(db).expect("the traffic gives a number") as usize, key.1.clone());
        if to.0 == key.0 {
            return error("ERR source and destination objects are the same");
        }
        let value = self.look(key).cloned().filter(|_| self.look(&to).is_none());
        let done = value.is_some();
        if let Some(value) = value {
            self.remove(key);
            self.put_data(&to, value.data, value.expiry);
        }
        int(done as usize)
    }

    fn copy(&mut self, from: &Key, to: &Key, options: &[Vec<u8>]) -> Reply {
        let replace = options.iter().any(|option| option == b"REPLACE");
        let db = options.iter().position(|option| option == b"DB").and_then(|at| parse_i64(&options[at + 1]));
        let to = (db.map_or(to.0, |db| db as usize), to.1.clone());
        if *from == to {
            return error("ERR source and destination objects are the same");
        }
        let value = self.look(from).cloned().filter(|_| replace || self.look(&to).is_none());
        let done = value.is_some();
        if let Some(value) = value {
            self.put_data(&to, value.data, value.expiry);
        }
        int(done as usize)
    }

    /// SET with the options that the traffic uses, none of them twice.
    fn set(&mut self, key: &Key, value: &[u8], options: &[Vec<u8>]) -> Reply {
        let at = |word: &str| options.iter().position(|option| option == word.as_bytes());
        let (nx, xx, get) = (at("NX").is_some(), at("XX").is_some(), at("GET").is_some());
        if nx && xx {
            return error("ERR syntax error");
        }
        if get && self.holds_no_string(key) {
            return wrong_type();
        }
        let old = self.look(key).cloned();
        let text = self.bytes(key);
        let blocked = (nx && old.is_some()) || (xx && old.is_none());
        if !blocked {
            let in_ms = at("PX").map(|at| parse_i64(&options[at + 1]).expect("the traffic gives a number"));
            let kept = old.as_ref().and_then(|old| old.expiry).filter(|_| at("KEEPTTL").is_some());
            self.put(key, value, in_ms.map(|ms| self.now_ms + ms).or(kept));
        }
        match (get, blocked) {
            (true, _) => bulk(text),
            (false, true) => Reply::Null,
            (false, false) => ok(),
        }
    }

    fn getex(&mut self, key: &Key, options: &[Vec<u8>]) -> Reply {
        let Some(old) = self.look(key).cloned() else { return Reply::Null };
        let text = self.bytes(key);
        match options {
            [] => {}
            [persist] if persist == b"PERSIST" => {
                if old.expiry.is_some() {
                    self.set_expiry(key, None);
                }
            }
            [px, ms] if px == b"PX" => {
                let ms = parse_i64(ms).expect("the traffic gives a number");
                self.set_expiry(key, Some(self.now_ms + ms));
            }
            _ => panic!("the traffic gives no such options"),
        }
        bulk(text)
    }
}
