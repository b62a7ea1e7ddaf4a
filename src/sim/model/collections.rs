//! The naive Redis' lists, sets, hashes and sorted sets: standard collections, copied whole at every turn.
//! Absent: encodings, options, scores that are no small integers.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::super::reply::Reply;
use super::{Key, Model, Value, bulk, error, int};
use crate::base::number::parse_i64;

type Text = Vec<u8>;

/// What a key holds.
#[derive(Clone, PartialEq)]
pub enum Data {
    String(Text),
    List(VecDeque<Text>),
    Set(BTreeSet<Text>),
    Hash(BTreeMap<Text, Text>),
    Zset(BTreeMap<Text, i64>),
}

impl Data {
    pub fn type_name(&self) -> &'static str {
        match self {
            Data::String(_) => "string",
            Data::List(_) => "list",
            Data::Set(_) => "set",
            Data::Hash(_) => "hash",
            Data::Zset(_) => "zset",
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Data::String(_) => false,
            Data::List(list) => list.is_empty(),
            Data::Set(set) => set.is_empty(),
            Data::Hash(hash) => hash.is_empty(),
            Data::Zset(zset) => zset.is_empty(),
        }
    }
}

/// The kind of data that a command is for: taken out of `Data`, and put back.
trait Kind: Default + Clone {
    fn of(data: &Data) -> Option<&Self>;
    fn data(self) -> Data;
}

macro_rules! kind {
    ($($type:ty => $variant:ident;)*) => {
        $(impl Kind for $type {
            fn of(data: &Data) -> Option<&Self> {
                if let Data::$variant(it) = data { Some(it) } else { None }
            }

            fn data(self) -> Data {
                Data::$variant(self)
            }
        })*
    };
}

kind! {
    VecDeque<Text> => List;
    BTreeSet<Text> => Set;
    BTreeMap<Text, Text> => Hash;
    BTreeMap<Text, i64> => Zset;
}

type Answer = Result<Reply, Reply>;
type List = VecDeque<Text>;
type Set = BTreeSet<Text>;
type Hash = BTreeMap<Text, Text>;
type Zset = BTreeMap<Text, i64>;

pub fn wrong_type() -> Reply {
    error("WRONGTYPE Operation against a key holding the wrong kind of value")
}

fn number(text: &[u8]) -> i64 {
    parse_i64(text).expect("the traffic gives a number")
}

fn text(number: i64) -> Reply {
    Reply::Bulk(number.to_string().into_bytes())
}

fn unordered(elements: impl IntoIterator<Item = Text>) -> Reply {
    Reply::Unordered(elements.into_iter().map(Reply::Bulk).collect())
}

/// Places `from` to `to` of so many, both included, counted from behind if they are negative.
fn span(from: &[u8], to: &[u8], len: usize) -> std::ops::Range<usize> {
    let place = |text: &[u8]| {
        let place = number(text);
        if place < 0 { place + len as i64 } else { place }
    };
    let (from, to) = (place(from).max(0), place(to).min(len as i64 - 1));
    if from > to { 0..0 } else { from as usize..to as usize + 1 }
}

/// Members by score, then by name.
fn ranked(zset: &Zset) -> Vec<(Text, i64)> {
    let mut members: Vec<(Text, i64)> = zset.iter().map(|(member, score)| (member.clone(), *score)).collect();
    members.sort_by(|a, b| (a.1, &a.0).cmp(&(b.1, &b.0)));
    members
}

fn scored(members: impl IntoIterator<Item = (Text, i64)>) -> Reply {
    Reply::Array(members.into_iter().flat_map(|(member, score)| [Reply::Bulk(member), text(score)]).collect())
}

fn push(list: &mut List, left: bool, element: Text) {
    if left { list.push_front(element) } else { list.push_back(element) }
}

fn pop(list: &mut List, left: bool) -> Option<Text> {
    if left { list.pop_front() } else { list.pop_back() }
}

/// What *STORE commands make of several values: the union, the intersection, or the first without the others.
fn combine<T: Clone>(name: &str, values: Vec<BTreeMap<Text, T>>, add: fn(T, T) -> T) -> BTreeMap<Text, T> {
    let mut values = values.into_iter();
    let mut result = values.next().unwrap_or_default();
    for value in values {
        match name {
            _ if name.contains("DIFF") => result.retain(|member, _| !value.contains_key(member)),
            _ if name.contains("INTER") => {
                result = result
                    .into_iter()
                    .filter_map(|(member, old)| {
                        let sum = add(old, value.get(&member)?.clone());
                        Some((member, sum))
                    })
                    .collect();
            }
            _ => {
                for (member, new) in value {
                    let sum = match result.get(&member) {
                        Some(old) => add(old.clone(), new),
                        None => new,
                    };
                    result.insert(member, sum);
                }
            }
        }
    }
    result
}

impl Model {
    /// The collection at a key, empty where there is none.
    fn get<T: Kind>(&self, key: &Key) -> Result<T, Reply> {
        match self.look(key) {
            None => Ok(T::default()),
            Some(value) => T::of(&value.data).cloned().ok_or_else(wrong_type),
        }
    }

    /// A collection changed: it keeps its expiry; an empty one goes.
    fn keep<T: Kind>(&mut self, key: &Key, collection: T) {
        let expiry = self.look(key).and_then(|value| value.expiry);
        self.store(key, collection.data(), expiry);
    }

    /// Sets a key, whatever was there.
    fn store(&mut self, key: &Key, data: Data, expiry: Option<i64>) {
        if data.is_empty() {
            self.remove(key);
            return;
        }
        self.values.insert(key.clone(), Value { data, expiry });
        self.touch(key);
    }

    /// A command of a collection. Err: a reply all the same, but nothing was changed.
    pub(super) fn collection(&mut self, name: &str, db: usize, args: &[Text]) -> Reply {
        let answer = match name.as_bytes()[0] {
            b'H' => self.hash(name, &(db, args[1].clone()), &args[2..]),
            b'S' => self.set_command(name, db, args),
            b'Z' => self.zset(name, db, args),
            _ => self.list(name, db, args),
        };
        answer.unwrap_or_else(|refusal| refusal)
    }

    fn list(&mut self, name: &str, db: usize, args: &[Text]) -> Answer {
        let key = (db, args[1].clone());
        if matches!(name, "LMOVE" | "RPOPLPUSH") {
            let is_left = |at: usize| args.get(at).is_some_and(|side| side == b"LEFT");
            return self.lmove(&key, &(db, args[2].clone()), is_left(3), name == "RPOPLPUSH" || is_left(4));
        }
        let mut list: List = self.get(&key)?;
        let left = name.starts_with('L');
        Ok(match name {
            "LPUSH" | "RPUSH" => {
                args[2..].iter().for_each(|element| push(&mut list, left, element.clone()));
                let len = list.len();
                self.keep(&key, list);
                int(len)
            }
            "LPOP" | "RPOP" => {
                let element = pop(&mut list, left);
                if element.is_some() {
                    self.keep(&key, list);
                }
                bulk(element)
            }
            "LLEN" => int(list.len()),
            "LRANGE" => {
                let range = span(&args[2], &args[3], list.len());
                Reply::Array(list.range(range).cloned().map(Reply::Bulk).collect())
            }
            _ => panic!("the model does not know {name}"),
        })
    }

    fn lmove(&mut self, from: &Key, to: &Key, from_left: bool, to_left: bool) -> Answer {
        let mut source: List = self.get(from)?;
        if source.is_empty() {
            return Ok(Reply::Null);
        }
        self.get::<List>(to)?;
        let element = pop(&mut source, from_left).expect("it is not empty");
        if from == to {
            push(&mut source, to_left, element.clone());
            self.keep(from, source);
        } else {
            self.keep(from, source);
            let mut target: List = self.get(to)?;
            push(&mut target, to_left, element.clone());
            self.keep(to, target);
        }
        Ok(Reply::Bulk(element))
    }

    fn set_command(&mut self, name: &str, db: usize, args: &[Text]) -> Answer {
        let key = (db, args[1].clone());
        if matches!(name, "SINTERSTORE" | "SUNIONSTORE" | "SDIFFSTORE" | "SINTER" | "SUNION" | "SDIFF") {
            let stores = name.ends_with("STORE");
            let sources = &args[1 + stores as usize..];
            let sets = sources.iter().map(|source| {
                let set: Set = self.get(&(db, source.clone()))?;
                Ok(set.into_iter().map(|member| (member, ())).collect())
            });
            let sets = sets.collect::<Result<Vec<BTreeMap<Text, ()>>, Reply>>()?;
            let result: Set = combine(name, sets, |_, _| ()).into_keys().collect();
            if !stores {
                return Ok(unordered(result));
            }
            let count = result.len();
            self.store(&key, Data::Set(result), None);
            return Ok(int(count));
        }
        if name == "SMOVE" {
            return self.smove(&key, &(db, args[2].clone()), &args[3]);
        }
        let mut set: Set = self.get(&key)?;
        Ok(match name {
            "SADD" | "SREM" => {
                let before = set.len();
                for member in &args[2..] {
                    if name == "SADD" {
                        set.insert(member.clone());
                    } else {
                        set.remove(member);
                    }
                }
                let changed = set.len().abs_diff(before);
                if changed > 0 {
                    self.keep(&key, set);
                }
                int(changed)
            }
            "SCARD" => int(set.len()),
            "SISMEMBER" => int(set.contains(&args[2]) as usize),
            "SMEMBERS" => unordered(set),
            _ => panic!("the model does not know {name}"),
        })
    }

    fn smove(&mut self, from: &Key, to: &Key, member: &Text) -> Answer {
        if self.look(from).is_none() {
            return Ok(int(0));
        }
        let mut source: Set = self.get(from)?;
        let mut target: Set = self.get(to)?;
        if from == to || !source.contains(member) {
            return Ok(int(source.contains(member) as usize));
        }
        source.remove(member);
        self.keep(from, source);
        if target.insert(member.clone()) {
            self.keep(to, target);
        }
        Ok(int(1))
    }

    fn hash(&mut self, name: &str, key: &Key, args: &[Text]) -> Answer {
        let mut hash: Hash = self.get(key)?;
        Ok(match name {
            "HSET" if !args.len().is_multiple_of(2) => {
                return Err(error("ERR wrong number of arguments for 'hset' command"));
            }
            "HSET" => {
                let before = hash.len();
                args.chunks(2).for_each(|pair| _ = hash.insert(pair[0].clone(), pair[1].clone()));
                let added = hash.len() - before;
                self.keep(key, hash);
                int(added)
            }
            "HDEL" => {
                let deleted = args.iter().filter(|field| hash.remove(*field).is_some()).count();
                if deleted > 0 {
                    self.keep(key, hash);
                }
                int(deleted)
            }
            "HINCRBY" => {
                let old = hash.get(&args[0]).map_or(Some(0), |value| parse_i64(value));
                let sum = old.ok_or_else(|| error("ERR hash value is not an integer"))? + number(&args[1]);
                hash.insert(args[0].clone(), sum.to_string().into_bytes());
                self.keep(key, hash);
                Reply::Integer(sum)
            }
            "HGET" => bulk(hash.get(&args[0]).cloned()),
            "HLEN" => int(hash.len()),
            "HGETALL" => unordered(hash.into_iter().flat_map(|(field, value)| [field, value])),
            _ => panic!("the model does not know {name}"),
        })
    }

    fn zset(&mut self, name: &str, db: usize, args: &[Text]) -> Answer {
        let key = (db, args[1].clone());
        match name {
            "ZUNIONSTORE" | "ZINTERSTORE" | "ZDIFFSTORE" => {
                return self.combine_zsets(name, &key, &args[3..]);
            }
            "ZRANGESTORE" => {
                let members = ranked(&self.get(&(db, args[2].clone()))?);
                let members: Zset =
                    members[span(&args[3], &args[4], members.len())].iter().cloned().collect();
                let count = members.len();
                self.store(&key, Data::Zset(members), None);
                return Ok(int(count));
            }
            _ => {}
        }
        let mut zset: Zset = self.get(&key)?;
        let before = zset.clone();
        let reply = match name {
            "ZADD" => {
                args[2..].chunks(2).for_each(|pair| _ = zset.insert(pair[1].clone(), number(&pair[0])));
                int(zset.len() - before.len())
            }
            "ZINCRBY" => {
                let score = zset.entry(args[3].clone()).or_insert(0);
                *score += number(&args[2]);
                text(*score)
            }
            "ZREM" => int(args[2..].iter().filter(|member| zset.remove(*member).is_some()).count()),
            "ZPOPMIN" | "ZPOPMAX" => {
                let members = ranked(&zset);
                let popped = if name == "ZPOPMIN" { members.first() } else { members.last() };
                popped.into_iter().for_each(|(member, _)| _ = zset.remove(member));
                scored(popped.cloned())
            }
            "ZCARD" => int(zset.len()),
            "ZSCORE" => zset.get(&args[2]).map_or(Reply::Null, |score| text(*score)),
            "ZRANGE" => {
                let members = ranked(&zset);
                scored(members[span(&args[2], &args[3], members.len())].iter().cloned())
            }
            _ => panic!("the model does not know {name}"),
        };
        if zset != before || (name == "ZINCRBY" && args[2] != b"0") {
            self.keep(&key, zset);
        }
        Ok(reply)
    }

    /// Members of sets count as 1.
    fn combine_zsets(&mut self, name: &str, key: &Key, sources: &[Text]) -> Answer {
        let zsets = sources.iter().map(|source| {
            let source = (key.0, source.clone());
            match self.get::<Set>(&source) {
                Ok(set) if !set.is_empty() => Ok(set.into_iter().map(|member| (member, 1)).collect()),
                _ => self.get::<Zset>(&source),
            }
        });
        let zsets = zsets.collect::<Result<Vec<Zset>, Reply>>()?;
        let result = combine(name, zsets, |a, b| a + b);
        let count = result.len();
        self.store(key, Data::Zset(result), None);
        Ok(int(count))
    }
}
