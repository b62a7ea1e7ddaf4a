//! From received bytes to requests: parses a chunk, finds the shards of its commands, and fetches what they will look up.
//! In: bytes of one connection. Out: requests that are routed, and what stands behind them.
//! Absent: running them (`run`).

use super::core::Core;
use crate::client::{Args, Request, Requests, ShardSet};
use crate::commands::Command;
use crate::resp::{Limits, Parser, ProtocolError, Step};
use crate::shard::Store;
use crate::shard::store::{self, Lookahead};

/// Commands parsed before the first of them runs.
const CHUNK_COMMANDS: usize = 64;
/// Bytes of an inline command, and of an announcement line.
const INLINE_MAX: usize = 64 * 1024;
/// Stores with no more keys are in the caches as they are.
const SMALL_KEYS: usize = 4096;

/// What a chunk of bytes turned out to hold behind its complete commands.
pub(super) enum Parsed {
    /// As many commands as a chunk takes.
    Full,
    /// Nothing complete; the incomplete command, if any, begins at that byte.
    Dry(usize),
    Inline {
        begin: usize,
        end: usize,
        args: Vec<Vec<u8>>,
    },
    Broken(ProtocolError),
}

/// What a command will look up first.
enum Lookup<'a> {
    /// Its shard is elsewhere.
    Elsewhere,
    /// Nothing, or nothing that is worth a fetch.
    Nothing,
    Key(&'a Store, u64),
}

/// Parses a chunk, and notes what its commands will look up.
struct Scout<'a> {
    core: &'a Core,
    db: u16,
    ahead: Lookahead<'a>,
    /// What is behind runs later, or on another core.
    over: bool,
}

impl Scout<'_> {
    fn parse(&mut self, parser: &mut Parser, limits: &Limits, bytes: &[u8], chunk: &mut Requests) -> Parsed {
        let mut last: Option<(&[u8], u16)> = None;
        let mut position = 0;
        while chunk.list.len() < CHUNK_COMMANDS {
            let first_span = chunk.spans.len() as u32;
            let rest = &bytes[position..];
            if rest.is_empty() {
                return Parsed::Dry(position);
            }
            match parser.next(rest, position as u32, &mut chunk.spans, limits) {
                Ok(Step::Incomplete) => {
                    chunk.spans.truncate(first_span as usize);
                    return Parsed::Dry(position);
                }
                Ok(Step::Ready { consumed, argc: 0 }) => position += consumed,
                Ok(Step::Ready { consumed, argc }) => {
                    let end = position + consumed;
                    let args = Args::new(bytes, &chunk.spans[first_span as usize..]);
                    let name = chunk.spans[first_span as usize];
                    let name = &bytes[name.start as usize..(name.start + name.len) as usize];
                    let number = match last {
                        Some((known, number)) if known == name => number,
                        _ => {
                            let number = self.core.registry.resolve_number(args);
                            // A run of the same command is looked up once; containers differ by their second word.
                            let alone = |row: &Command| !row.container && !row.name.contains(' ');
                            let repeats = number != Request::UNKNOWN && alone(self.core.registry.row(number));
                            last = repeats.then_some((name, number));
                            number
                        }
                    };
                    let mut shards = ShardSet::EMPTY;
                    if number != Request::UNKNOWN {
                        let row = self.core.registry.row(number);
                        shards = self.core.shards_for(row, args, true);
                        self.see(row, args, shards);
                    }
                    chunk.list.push(Request {
                        command: number,
                        first_span,
                        argc: argc as u32,
                        begin: position as u32,
                        end: end as u32,
                        shards,
                    });
                    position = end;
                }
                Ok(Step::Inline { consumed, args }) => {
                    return Parsed::Inline { begin: position, end: position + consumed, args };
                }
                Err(error) => return Parsed::Broken(error),
            }
        }
        Parsed::Full
    }

    /// A command that has just been parsed.
    #[inline]
    fn see(&mut self, command: &Command, args: Args, shards: ShardSet) {
        if self.over {
            return;
        }
        match self.core.lookup(command, args, shards, self.db) {
            Lookup::Key(store, hash) => self.ahead.expect(store, hash),
            Lookup::Nothing => {}
            Lookup::Elsewhere => self.over = true,
        }
    }
}

impl Core {
    /// Parses one chunk and routes its commands.
    pub(super) fn parse_chunk(&mut self, slot: u32, bytes: &[u8], chunk: &mut Requests) -> Parsed {
        let connection = self.connection_mut(slot);
        let (authenticated, db) = (connection.authenticated, connection.session.db);
        let mut parser = std::mem::take(&mut connection.parser);
        let bulk_max = self.config.proto_max_bulk_len as usize;
        let limits = Limits { bulk_max, authenticated, inline_max: INLINE_MAX };
        let parsed = {
            // Keys are spread evenly: what this core's shard holds says how many the others do.
            let home = self.shards[self.id].as_ref();
            let small = home.is_some_and(|shard| shard.dbs[db as usize].store.len() <= SMALL_KEYS);
            let mut scout = Scout { core: self, db, ahead: Lookahead::default(), over: small };
            let parsed = scout.parse(&mut parser, &limits, bytes, chunk);
            scout.ahead.fetch();
            parsed
        };
        self.connection_mut(slot).parser = parser;
        parsed
    }

    #[inline(always)]
    fn lookup(&self, command: &Command, args: Args, shards: ShardSet, db: u16) -> Lookup<'_> {
        let Some(number) = shards.sole() else { return Lookup::Nothing };
        let Some(shard) = &self.shards[number] else { return Lookup::Elsewhere };
        let store = &shard.dbs[db as usize].store;
        match args.get(command.first_key()) {
            Some(key) if store.len() > SMALL_KEYS => Lookup::Key(store, store.hash(key)),
            _ => Lookup::Nothing,
        }
    }

    /// Fetches the buckets, then the entries, of the first keys of the commands from `first` on that can run now.
    pub(super) fn prefetch(&self, requests: &Requests, first: usize, bytes: &[u8], db: u16) {
        if requests.list.len() >= first + 2 {
            store::prefetch(self.lookups(requests, first, bytes, db).take(CHUNK_COMMANDS));
        }
    }

    /// What the commands from `first` on will look up first, each in which store and by which hash; up to the first one
    /// whose shard is elsewhere.
    #[inline]
    pub(super) fn lookups<'a>(
        &'a self,
        requests: &'a Requests,
        first: usize,
        bytes: &'a [u8],
        db: u16,
    ) -> impl Iterator<Item = (&'a Store, u64)> {
        let lookup = move |request: &Request| {
            if request.shards.is_empty() {
                // Nobody knows it, perhaps.
                return Some(None);
            }
            let row = self.registry.row(request.command);
            match self.lookup(row, requests.args(request, bytes), request.shards, db) {
                Lookup::Elsewhere => None,
                Lookup::Nothing => Some(None),
                Lookup::Key(store, hash) => Some(Some((store, hash))),
            }
        };
        requests.list[first..].iter().map_while(lookup).flatten()
    }
}
