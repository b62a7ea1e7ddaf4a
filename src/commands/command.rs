//! A row of the command table, and the registry that finds it by name.
//! In: the TABLE of each family. Out: rows by name and by number.

use std::collections::HashMap;

use super::context::Context;
use super::error::Error;
use crate::client::Args;

/// What runs a command: it parses all its arguments, looks up, changes, replies. An error changes nothing.
pub type Handler = fn(&mut Context, Args) -> Result<(), Error>;

/// Facts about a command, as COMMAND INFO names them; bits of `Command::flags`.
pub mod flags {
    pub const WRITE: u32 = 1 << 0;
    pub const READONLY: u32 = 1 << 1;
    pub const DENYOOM: u32 = 1 << 2;
    pub const ADMIN: u32 = 1 << 3;
    pub const PUBSUB: u32 = 1 << 4;
    pub const NOSCRIPT: u32 = 1 << 5;
    pub const BLOCKING: u32 = 1 << 6;
    pub const LOADING: u32 = 1 << 7;
    pub const STALE: u32 = 1 << 8;
    pub const SKIP_MONITOR: u32 = 1 << 9;
    pub const SKIP_SLOWLOG: u32 = 1 << 10;
    pub const ASKING: u32 = 1 << 11;
    pub const FAST: u32 = 1 << 12;
    pub const NO_AUTH: u32 = 1 << 13;
    pub const MAY_REPLICATE: u32 = 1 << 14;
    pub const SENTINEL: u32 = 1 << 15;
    pub const NO_MANDATORY_KEYS: u32 = 1 << 16;
    pub const NO_ASYNC_LOADING: u32 = 1 << 17;
    pub const NO_MULTI: u32 = 1 << 18;
    pub const ALLOW_BUSY: u32 = 1 << 19;
    pub const TOUCHES_ARBITRARY_KEYS: u32 = 1 << 20;

    /// Their names, in the order in which COMMAND INFO lists them.
    pub const NAMES: &[(u32, &str)] = &[
        (WRITE, "write"),
        (READONLY, "readonly"),
        (DENYOOM, "denyoom"),
        (ADMIN, "admin"),
        (PUBSUB, "pubsub"),
        (NOSCRIPT, "noscript"),
        (BLOCKING, "blocking"),
        (LOADING, "loading"),
        (STALE, "stale"),
        (SKIP_MONITOR, "skip_monitor"),
        (SKIP_SLOWLOG, "skip_slowlog"),
        (ASKING, "asking"),
        (FAST, "fast"),
        (NO_AUTH, "no_auth"),
        (MAY_REPLICATE, "may_replicate"),
        (NO_MANDATORY_KEYS, "no_mandatory_keys"),
        (NO_ASYNC_LOADING, "no_async_loading"),
        (NO_MULTI, "no_multi"),
        (ALLOW_BUSY, "allow_busy"),
        (TOUCHES_ARBITRARY_KEYS, "touches_arbitrary_keys"),
    ];
}

/// Where a command runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Route {
    /// With the shards of its keys; anywhere if it has none.
    Keys,
    /// On the home core of its connection, which it reads or changes.
    Home,
    /// With every shard at hand.
    All,
    /// With every shard at hand, unless it saves nothing (SHUTDOWN).
    Save,
    /// Anywhere, but with every shard at hand if it may switch the append-only log (CONFIG SET).
    Settings,
    /// Anywhere, after a fold that gathered a `Report` of every shard.
    Report,
    /// With the shards of its keys, or with every shard if BY or GET make names of keys (SORT).
    Patterns,
    /// A script: with the shards of its keys if it is known to stay with them, else with every shard.
    Script,
    /// A function: with every shard, on one core always, whose Lua holds what functions remember.
    Function,
    /// With the shard that its cursor (argument 1) names.
    Cursor,
}

/// Where the key arguments of a command are found.
#[derive(Clone, Copy, Debug)]
pub enum Find {
    /// From argument `first` to `last` (negative: from the end), every `step`th.
    Range { first: usize, last: i32, step: usize },
    /// Argument `at` says how many keys follow it, every `step`th.
    Count { at: usize, step: usize },
    /// Behind the argument `word`, looked for from argument `from` on (negative: backwards from the end). `last` counts
    /// from the first of them; negative: from the end of the arguments, or from that of the first of `limit` parts.
    Keyword { word: &'static str, from: i32, last: i32, step: usize, limit: usize },
    /// Only the handler can tell.
    Unknown,
}

/// Some key arguments of a command, and what is done to them.
#[derive(Clone, Copy, Debug)]
pub struct KeySpec {
    pub find: Find,
    /// Names as in COMMAND INFO: one of RO RW OW RM, then access, update, insert, delete, not_key …
    pub does: &'static str,
    pub notes: &'static str,
    /// The handler's own reading: for `Find::Unknown` of where a key is, for `Find::Keyword` of where the word is, for
    /// `Find::Range` of whether there are such keys.
    pub ask: Option<fn(Args) -> Option<usize>>,
}

impl KeySpec {
    /// The key at argument `at`.
    pub const fn at(at: usize, does: &'static str) -> Self {
        Self::range(at, at as i32, 1, does)
    }

    pub const fn range(first: usize, last: i32, step: usize, does: &'static str) -> Self {
        Self { find: Find::Range { first, last, step }, does, notes: "", ask: None }
    }

    pub const fn count(at: usize, step: usize, does: &'static str) -> Self {
        Self { find: Find::Count { at, step }, does, notes: "", ask: None }
    }

    /// The key behind the argument `word`, which stands at `from` or later, if it is there.
    pub const fn after(word: &'static str, from: i32, does: &'static str) -> Self {
        Self::after_all(word, from, 0, 0, does)
    }

    /// The keys behind the argument `word`: see `Find::Keyword`.
    pub const fn after_all(
        word: &'static str,
        from: i32,
        last: i32,
        limit: usize,
        does: &'static str,
    ) -> Self {
        Self { find: Find::Keyword { word, from, last, step: 1, limit }, does, notes: "", ask: None }
    }

    /// Keys that no rule finds.
    pub const fn unknown(does: &'static str, notes: &'static str) -> Self {
        Self { find: Find::Unknown, does, notes, ask: None }
    }

    /// The same, where the handler tells.
    pub const fn asked(self, ask: fn(Args) -> Option<usize>) -> Self {
        Self { ask: Some(ask), ..self }
    }

    /// Whether it names something else that only travels as a key does: a shard channel.
    pub fn is_no_key(&self) -> bool {
        self.does.contains("not_key")
    }

    /// Calls `visit` with the index of each key argument. False: the arguments do not fit.
    pub fn each(&self, args: Args, visit: &mut dyn FnMut(usize)) -> bool {
        let (first, last, step) = match self.find {
            Find::Range { .. } if self.ask.is_some_and(|ask| ask(args).is_none()) => return true,
            Find::Range { first, last, step } if last >= 0 => (first, last as usize, step),
            Find::Range { first, last, step } => match args.len().checked_sub(last.unsigned_abs() as usize) {
                Some(last) => (first, last, step),
                None => return false,
            },
            Find::Count { at, step } => {
                let count = args.get(at).and_then(crate::base::number::parse_i64).unwrap_or(-1);
                let Ok(count) = usize::try_from(count) else { return false };
                match count.checked_mul(step).and_then(|n| n.checked_add(at)) {
                    Some(last) if last < args.len() => (at + 1, last, step),
                    _ => return false,
                }
            }
            Find::Keyword { word, from, last, step, limit } => {
                let found = self.ask.map_or_else(|| find_word(args, word, from), |ask| ask(args));
                let Some(at) = found else { return true };
                let (first, len) = (at + 1, args.len());
                let end = match last {
                    0.. => first + last as usize + 1,
                    _ if limit == 0 => (len + 1).saturating_sub(last.unsigned_abs() as usize),
                    _ => (first + len.saturating_sub(first) / limit + 1)
                        .saturating_sub(last.unsigned_abs() as usize),
                };
                match end.checked_sub(1) {
                    Some(last) if last >= first => (first, last, step),
                    _ => return false,
                }
            }
            Find::Unknown => {
                self.ask.and_then(|ask| ask(args)).into_iter().for_each(visit);
                return true;
            }
        };
        if last >= args.len() {
            return false;
        }
        (first..=last).step_by(step).for_each(visit);
        true
    }
}

/// The index of the argument `word`, looked for from `from` on, or backwards from there if negative.
fn find_word(args: Args, word: &str, from: i32) -> Option<usize> {
    if from >= 0 {
        return (from as usize..args.len()).find(|&at| args.is(at, word));
    }
    let last = args.len().checked_sub(from.unsigned_abs() as usize)?;
    (1..=last).rev().find(|&at| args.is(at, word))
}

/// A row of the table.
#[derive(Clone, Copy)]
pub struct Command {
    /// In capitals; a subcommand is `CONTAINER SUB`.
    pub name: &'static str,
    /// Its arguments as documentation writes them.
    pub syntax: &'static str,
    pub handler: Handler,
    /// Number of arguments with the name; negative: at least that many.
    pub arity: i32,
    pub flags: u32,
    pub route: Route,
    pub keys: &'static [KeySpec],
    pub since: &'static str,
    pub about: &'static str,
    pub complexity: &'static str,
    /// ACL categories besides those that follow from group and flags.
    pub categories: &'static [&'static str],
    /// Command tips for clients, as in COMMAND INFO.
    pub tips: &'static [&'static str],
    /// It only holds subcommands.
    pub container: bool,
    /// Handled by the core itself, around transactions: MULTI, EXEC, DISCARD, WATCH, QUIT, RESET.
    pub unqueued: bool,
    /// Changes what its client is subscribed to.
    pub subscribes: bool,
    /// Changes whether, or how, its client hears of messages: it runs with the books of the exchange at hand.
    pub settles: bool,
}

impl Command {
    /// Where the first key is most likely, for those that fetch it early: a script's stand behind their number.
    #[inline]
    pub fn first_key(&self) -> usize {
        match self.route {
            Route::Script | Route::Function => 3,
            _ => 1,
        }
    }

    pub const fn new(name: &'static str, syntax: &'static str, handler: Handler) -> Self {
        Self {
            name,
            syntax,
            handler,
            arity: -1,
            flags: 0,
            route: Route::Keys,
            keys: &[],
            since: "1.0.0",
            about: "",
            complexity: "O(1)",
            categories: &[],
            tips: &[],
            container: false,
            unqueued: false,
            subscribes: false,
            settles: false,
        }
    }

    pub const fn arity(mut self, arity: i32) -> Self {
        self.arity = arity;
        self
    }

    pub const fn flag(mut self, bits: u32) -> Self {
        self.flags |= bits;
        self
    }

    pub const fn read(self) -> Self {
        self.flag(flags::READONLY)
    }

    /// Changes the keyspace.
    pub const fn write(self) -> Self {
        self.flag(flags::WRITE)
    }

    /// Changes the keyspace and may need more memory.
    pub const fn grow(self) -> Self {
        self.flag(flags::WRITE | flags::DENYOOM)
    }

    pub const fn fast(self) -> Self {
        self.flag(flags::FAST)
    }

    pub const fn admin(self) -> Self {
        self.flag(flags::ADMIN | flags::NOSCRIPT)
    }

    /// Works while loading and with stale data.
    pub const fn always(self) -> Self {
        self.flag(flags::LOADING | flags::STALE)
    }

    pub const fn keys(mut self, keys: &'static [KeySpec]) -> Self {
        self.keys = keys;
        self
    }

    pub const fn route(mut self, route: Route) -> Self {
        self.route = route;
        self
    }

    /// Runs on the home core of its connection.
    pub const fn home(self) -> Self {
        self.route(Route::Home)
    }

    pub const fn since(mut self, version: &'static str) -> Self {
        self.since = version;
        self
    }

    pub const fn about(mut self, text: &'static str) -> Self {
        self.about = text;
        self
    }

    pub const fn complexity(mut self, text: &'static str) -> Self {
        self.complexity = text;
        self
    }

    pub const fn categories(mut self, names: &'static [&'static str]) -> Self {
        self.categories = names;
        self
    }

    pub const fn tips(mut self, tips: &'static [&'static str]) -> Self {
        self.tips = tips;
        self
    }

    pub const fn container(mut self) -> Self {
        self.container = true;
        self
    }

    /// Never queued by MULTI.
    pub const fn unqueued(mut self) -> Self {
        self.unqueued = true;
        self
    }

    /// Changes what its client is subscribed to.
    pub const fn subscribes(mut self) -> Self {
        self.subscribes = true;
        self.settles()
    }

    /// Changes how its client hears of messages, or asks about that.
    pub const fn settles(mut self) -> Self {
        self.settles = true;
        self.home()
    }

    /// CLIENT and its subcommands.
    pub fn is_about_clients(&self) -> bool {
        self.name.split(' ').next() == Some("CLIENT")
    }

    pub const fn is(&self, bits: u32) -> bool {
        self.flags & bits != 0
    }

    /// Whether it looks at the keys that it names and at nothing else, and comes to its end at once.
    fn is_plain(&self) -> bool {
        let names_keys =
            matches!(self.keys, [spec @ KeySpec { find: Find::Range { .. }, .. }] if !spec.is_no_key());
        let meets_clients = self.subscribes || self.settles || self.unqueued || self.is(flags::BLOCKING);
        self.route == Route::Keys && names_keys && !meets_clients
    }

    #[inline]
    pub fn arity_fits(&self, argc: usize) -> bool {
        if self.arity >= 0 { argc == self.arity as usize } else { argc >= self.arity.unsigned_abs() as usize }
    }

    /// The name of a subcommand without its container.
    pub fn last_name(&self) -> &'static str {
        self.name.rsplit(' ').next().unwrap_or(self.name)
    }

    /// The name as Redis prints it: `get`, `config|set`.
    pub fn full_name(&self) -> String {
        self.name.to_ascii_lowercase().replace(' ', "|")
    }
}

/// A group of commands and its table.
pub struct Family {
    pub group: &'static str,
    pub table: &'static [Command],
}

/// All commands, numbered in the order of the families, found by name whatever its case.
pub struct Registry {
    rows: Vec<(&'static Command, &'static str)>,
    /// Whether each of them is plain.
    plain: Vec<bool>,
    /// By lower-case name.
    by_name: HashMap<Vec<u8>, u16, ahash::RandomState>,
    /// Subcommands, as `container|sub`; apart, since nobody calls them by that name.
    subs: HashMap<Vec<u8>, u16, ahash::RandomState>,
}

/// The longest name that is looked up.
const NAME_MAX: usize = 64;

impl Registry {
    pub fn new(families: &[Family]) -> Self {
        let mut rows = Vec::new();
        let seeded = || HashMap::with_hasher(ahash::RandomState::with_seeds(1, 2, 3, 4));
        let (mut by_name, mut subs) = (seeded(), seeded());
        for family in families {
            for command in family.table {
                let names = if command.name.contains(' ') { &mut subs } else { &mut by_name };
                names.insert(command.full_name().into_bytes(), rows.len() as u16);
                rows.push((command, family.group));
            }
        }
        let plain = rows.iter().map(|(command, _): &(&Command, &str)| command.is_plain()).collect();
        Self { rows, plain, by_name, subs }
    }

    /// `rename-command`: gives a command another name, or (an empty one) none. The error is for the operator.
    pub fn rename(&mut self, from: &[u8], to: &[u8]) -> Result<(), &'static str> {
        let row =
            self.by_name.remove(&from.to_ascii_lowercase()).ok_or("No such command in rename-command")?;
        let to = to.to_ascii_lowercase();
        if self.by_name.contains_key(&to) {
            return Err("Target command name already exists");
        }
        if !to.is_empty() {
            self.by_name.insert(to, row);
        }
        Ok(())
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    #[inline]
    pub fn row(&self, number: u16) -> &'static Command {
        self.rows[number as usize].0
    }

    /// See `Command::is_plain`.
    #[inline]
    pub fn is_plain(&self, number: u16) -> bool {
        self.plain[number as usize]
    }

    pub fn group(&self, number: u16) -> &'static str {
        self.rows[number as usize].1
    }

    /// The number of a top-level command.
    #[inline]
    pub fn find(&self, name: &[u8]) -> Option<u16> {
        let mut lower = [0; NAME_MAX];
        let place = lower.get_mut(..name.len())?;
        place.copy_from_slice(name);
        place.make_ascii_lowercase();
        self.by_name.get(&*place).copied()
    }

    /// The number of a subcommand of `container`.
    pub fn find_sub(&self, container: u16, sub: &[u8]) -> Option<u16> {
        let mut name = self.row(container).full_name().into_bytes();
        name.push(b'|');
        name.extend(sub.iter().map(u8::to_ascii_lowercase));
        self.subs.get(&name).copied()
    }

    /// The command that `args` call: a subcommand where the first is a container. The error is for the client.
    pub fn resolve(&self, args: Args) -> Result<u16, Error> {
        let Some(number) = self.find(args.at(0)) else { return Err(Error::unknown_command(args)) };
        if !self.row(number).container || args.len() < 2 {
            return Ok(number);
        }
        self.find_sub(number, args.at(1))
            .ok_or_else(|| Error::unknown_subcommand(args.at(1), self.row(number).name))
    }

    /// Like `resolve`, for the hot path: `Request::UNKNOWN` where there is no such command.
    #[inline]
    pub fn resolve_number(&self, args: Args) -> u16 {
        let Some(number) = self.find(args.at(0)) else { return crate::client::Request::UNKNOWN };
        if !self.row(number).container || args.len() < 2 {
            return number;
        }
        self.find_sub(number, args.at(1)).unwrap_or(crate::client::Request::UNKNOWN)
    }

    /// Every row: number, command, group.
    pub fn iter(&self) -> impl Iterator<Item = (u16, &'static Command, &'static str)> + '_ {
        self.rows.iter().enumerate().map(|(number, (command, group))| (number as u16, *command, *group))
    }

    /// The subcommands of a container.
    pub fn subcommands(&self, container: u16) -> impl Iterator<Item = (u16, &'static Command)> + '_ {
        let name = self.row(container).name;
        self.iter()
            .filter(move |(_, row, _)| row.name.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')))
            .map(|(number, row, _)| (number, row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::Span;

    /// The keys that `spec` finds in the words of `line`; "-" where they do not fit.
    fn keys(spec: &KeySpec, line: &str) -> String {
        let mut spans = Vec::new();
        let mut start = 0;
        for word in line.split(' ') {
            spans.push(Span { start, len: word.len() as u32 });
            start += word.len() as u32 + 1;
        }
        let args = Args::new(line.as_bytes(), &spans);
        let mut found = Vec::new();
        let fits =
            spec.each(args, &mut |index| found.push(String::from_utf8_lossy(args.at(index)).into_owned()));
        if fits { found.join(" ") } else { "-".into() }
    }

    #[test]
    fn key_specs_find_keys() {
        let streams = KeySpec::after_all("STREAMS", 1, -1, 2, "RO access");
        let grouped = streams.asked(crate::commands::stream::read::streams_at);
        let store = KeySpec::after("STORE", 5, "OW update");
        let migrate = KeySpec::after_all("KEYS", -2, -1, 0, "RW");
        for (spec, line, found) in [
            (&KeySpec::at(1, "RO"), "GET a", "a"),
            (&KeySpec::at(2, "RO"), "OBJECT ENCODING", "-"),
            (&KeySpec::range(1, -2, 1, "RW"), "BLPOP a b 0", "a b"),
            (&KeySpec::range(1, -1, 2, "OW"), "MSET a 1 b 2", "a b"),
            (&KeySpec::count(2, 1, "RO"), "ZUNIONSTORE d 2 a b WEIGHTS", "a b"),
            (&KeySpec::count(2, 1, "RO"), "ZUNIONSTORE d 3 a b", "-"),
            (&KeySpec::count(2, 1, "RO"), "EVAL x 0", ""),
            (&streams, "XREAD COUNT 2 streams a b 0 0", "a b"),
            (&streams, "XREAD COUNT 2", ""),
            (&streams, "XREAD STREAMS a", "-"),
            (&grouped, "XREADGROUP NOACK GROUP streams streams COUNT 2 STREAMS a b > >", "a b"),
            (&grouped, "XREADGROUP GROUP g c STREAMS", "-"),
            (&grouped, "XREADGROUP GROUP g c FOO STREAMS a >", ""),
            (&store, "GEORADIUS k 1 1 9 m STORE d", "d"),
            (&store, "GEORADIUS k 1 1 9 m", ""),
            (&store, "GEORADIUS k 1 1 9 m STORE", "-"),
            (&migrate, "MIGRATE h 1 x 0 9 KEYS a b", "a b"),
            (&migrate, "MIGRATE h 1 x 0 9 KEYS", ""),
            (&KeySpec::unknown("RO", "by pattern"), "SORT k BY x", ""),
        ] {
            assert_eq!(keys(spec, line), found, "{line}");
        }
    }
}
