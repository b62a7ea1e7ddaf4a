//! Conversations as data: the tests of every command family.
//! Each one replays on one core, on three cores whose keys spread over the shards, inside MULTI, and from a script.
//!
//! ```text
//! check("SET k v => OK | GET k => \"v\" | INCR n => 1 | MGET k x => [\"v\" nil] | INCR k => -ERR value is not …")
//! ```
//!
//! Steps are separated by ` | `. A step is a command, ` => ` and the expected reply. Arguments are separated by spaces;
//! `"in quotes"` may hold anything, with `\n \r \t \\ \" \xHH`. A reply is written
//!
//! | notation | is |
//! |---|---|
//! | `OK` | a status |
//! | `12`, `(integer) 12` | an integer |
//! | `"text"` | a bulk string |
//! | `nil`, `(nil)` | null, of any kind |
//! | `-ERR text up to the next bar` | an error |
//! | `[1 "a" nil]` | an array; commas may separate, too |
//! | `?["a" "b"]` | an array or a set, in any order |
//! | `~[…]` `>[…]` `{"k": 1}` `,1.5` `#t` `(123` `="text"` | set, push, map, double, boolean, big number, verbatim of RESP3 |
//! | `*` | any reply |
//!
//! Other steps: `+100ms` lets time pass, `tick` lets every core do its periodic work (active expiry) twice, and what it does when idle. `b> GET k => "v"` is said by client b (clients are letters; the first is a).
//! `b> BLPOP k 0 => ...` waits for no reply, and `b> => ["k" "v"]` reads one later; so does a push that comes unasked.
//! An argument `$b` is the number of client b, as CLIENT ID gives it.
//! Each command is also called by a script of its own, but for those that scripts may not call, and those whose reply Lua
//! cannot hold.
//! A conversation of several clients, or with commands that MULTI does not queue, is not replayed inside MULTI.

use super::reply::Reply;
use super::world::{ClientNumber, World};
use crate::client::Args;
use crate::commands::flags;
use crate::config::Config;
use crate::resp::Span;

/// Replays a conversation in RESP2, also inside MULTI.
#[track_caller]
pub fn check(text: &str) {
    replay(text, false, true, &Config::default());
}

/// Replays a conversation in RESP2, also inside MULTI, on a server whose configuration is not the default.
#[track_caller]
pub fn check_configured(config: &Config, text: &str) {
    replay(text, false, true, config);
}

/// Replays a conversation in RESP2, but not inside MULTI, on a server whose configuration is not the default.
#[track_caller]
pub fn check_configured_outside_multi(config: &Config, text: &str) {
    replay(text, false, false, config);
}

/// Replays a conversation in RESP2, but not inside MULTI.
#[track_caller]
pub fn check_outside_multi(text: &str) {
    replay(text, false, false, &Config::default());
}

/// Replays a conversation in RESP3, also inside MULTI.
#[track_caller]
pub fn check3(text: &str) {
    replay(text, true, true, &Config::default());
}

enum Step {
    /// Client, arguments, the reply expected, if it is waited for.
    Say(char, Vec<Vec<u8>>, Option<Reply>),
    Read(char, Reply),
    Pass(u64),
    Tick,
}

#[track_caller]
fn replay(text: &str, resp3: bool, multi: bool, config: &Config) {
    let steps = parse(text);
    for (cores, seed) in [(1, 1), (3, 2), (3, 3), (3, 4)] {
        let world = World::configured(cores, seed, config.clone());
        Replay::new(world, resp3, &steps, "").run(&steps);
    }
    let probe = World::new(1, 0);
    if let Some(steps) = steps_in_multi(&probe, &steps).filter(|_| multi) {
        for (cores, seed) in [(1, 5), (3, 6)] {
            let world = World::configured(cores, seed, config.clone());
            Replay::new(world, resp3, &steps, ", inside MULTI").run(&steps);
        }
    }
    for (cores, seed, declared) in [(1, 7, true), (3, 8, true), (3, 9, false)] {
        if let Some(steps) = steps_from_script(&probe, &steps, resp3, declared) {
            let world = World::configured(cores, seed, config.clone());
            Replay::new(world, resp3, &steps, ", from a script").run(&steps);
        }
    }
}

/// The same steps, each command called by a script. None: they cannot be. What a script would be refused, or would change
/// on its way through Lua (`Reply::through_lua`), is said outside. `declared`: the script says which keys it will touch.
fn steps_from_script(world: &World, steps: &[Step], resp3: bool, declared: bool) -> Option<Vec<Step>> {
    let mut out = Vec::new();
    for step in steps {
        out.push(match step {
            Step::Say(client, args, Some(reply)) => {
                match (call_by_script(world, args, resp3, declared)?, reply.through_lua(resp3)) {
                    (Some(call), Some(reply)) => Step::Say(*client, call, Some(reply)),
                    _ => Step::Say(*client, args.clone(), Some(reply.clone())),
                }
            }
            Step::Say(client, args, reply) => Step::Say(*client, args.clone(), reply.clone()),
            Step::Read(client, reply) => Step::Read(*client, reply.clone()),
            Step::Pass(ms) => Step::Pass(*ms),
            Step::Tick => Step::Tick,
        });
    }
    Some(out)
}

/// EVAL of a command. None: no conversation with such a command can be replayed; Some(None): no script may call it.
fn call_by_script(
    world: &World,
    args: &[Vec<u8>],
    resp3: bool,
    declared: bool,
) -> Option<Option<Vec<Vec<u8>>>> {
    // SORT BY a constant orders a set for scripts.
    const EXEMPT: &[&str] = &["SELECT", "INFO", "COMMAND", "MEMORY STATS", "SORT"];
    let (spans, flat) = (spans_of(args), args.concat());
    let said = Args::new(&flat, &spans);
    let Ok(number) = world.registry.resolve(said) else { return Some(None) };
    let row = world.registry.row(number);
    // A pause holds scripts back that may write, whatever they do.
    if row.unqueued || row.is(flags::BLOCKING) || row.name == "CLIENT PAUSE" {
        return None;
    }
    let exempt = EXEMPT.iter().any(|name| row.name.starts_with(name));
    if !row.arity_fits(args.len()) || row.is(flags::NOSCRIPT) || exempt {
        return Some(None);
    }
    let mut keys = Vec::new();
    for spec in row.keys.iter().filter(|_| declared) {
        spec.each(said, &mut |at| keys.push(args[at].clone()));
    }
    let count = keys.len().to_string().into_bytes();
    let script = if resp3 { super::script::SINGLE3 } else { super::script::SINGLE };
    let head = vec![b"EVAL".to_vec(), script.into(), count];
    Some(Some([head, keys, args.to_vec()].concat()))
}

/// The same steps between MULTI and EXEC; each passing of time ends one transaction.
/// None: they cannot be. Commands that MULTI would refuse (and EXEC then abort) are left out.
fn steps_in_multi(world: &World, steps: &[Step]) -> Option<Vec<Step>> {
    let words = |word: &str| vec![word.as_bytes().to_vec()];
    let simple = |text: &str| Some(Reply::Simple(text.into()));
    let mut out = Vec::new();
    let mut replies = Vec::new();
    let close = |out: &mut Vec<Step>, replies: &mut Vec<Reply>| {
        if !replies.is_empty() {
            out.push(Step::Say('a', words("EXEC"), Some(Reply::Array(std::mem::take(replies)))));
        }
    };
    for step in steps {
        match step {
            Step::Pass(ms) => {
                close(&mut out, &mut replies);
                out.push(Step::Pass(*ms));
            }
            Step::Tick => {
                close(&mut out, &mut replies);
                out.push(Step::Tick);
            }
            Step::Say('a', args, Some(reply)) => {
                let spans: Vec<Span> = spans_of(args);
                let flat = args.concat();
                let Ok(number) = world.registry.resolve(Args::new(&flat, &spans)) else { continue };
                let command = world.registry.row(number);
                if command.unqueued || command.is(flags::NO_MULTI | flags::BLOCKING) {
                    return None;
                }
                if !command.arity_fits(args.len()) {
                    continue;
                }
                if replies.is_empty() {
                    out.push(Step::Say('a', words("MULTI"), simple("OK")));
                }
                out.push(Step::Say('a', args.clone(), simple("QUEUED")));
                replies.push(reply.clone());
            }
            _ => return None,
        }
    }
    close(&mut out, &mut replies);
    Some(out)
}

fn spans_of(args: &[Vec<u8>]) -> Vec<Span> {
    let mut start = 0;
    let mut span = |arg: &Vec<u8>| {
        let span = Span { start, len: arg.len() as u32 };
        start += span.len;
        span
    };
    args.iter().map(&mut span).collect()
}

struct Replay {
    world: World,
    clients: Vec<(char, ClientNumber)>,
    how: String,
}

impl Replay {
    fn new(mut world: World, resp3: bool, steps: &[Step], how: &str) -> Self {
        world.keep_log();
        let (cores, seed) = (world.cores.len(), world.seed);
        // Idle clients push the others to other home cores.
        for _ in 0..seed as usize % cores {
            world.connect();
        }
        let mut clients: Vec<(char, ClientNumber)> = Vec::new();
        for step in steps {
            if let Step::Say(name, ..) | Step::Read(name, _) = step
                && !clients.iter().any(|(known, _)| known == name)
            {
                clients.push((*name, world.connect()));
            }
        }
        world.run_until_quiet();
        for (_, number) in clients.iter().filter(|_| resp3) {
            let (core, slot) = world.place(*number).expect("it was adopted");
            world.cores[core].speak_resp3(slot);
        }
        let plural = if cores == 1 { "core" } else { "cores" };
        Self { world, clients, how: format!("{cores} {plural}, seed {seed}{how}") }
    }

    #[track_caller]
    fn run(mut self, steps: &[Step]) {
        for step in steps {
            match step {
                Step::Pass(ms) => self.world.pass_ms(*ms),
                Step::Tick => (0..2).for_each(|_| self.world.tick_all()),
                Step::Say(name, args, wanted) => {
                    let client = self.client(*name);
                    let args: Vec<Vec<u8>> = args.iter().map(|arg| self.known(arg)).collect();
                    self.world.write(client, &request(&args));
                    self.world.run_until_quiet();
                    if let Some(wanted) = wanted {
                        self.expect(*name, &shown(&args), wanted);
                    }
                }
                Step::Read(name, wanted) => {
                    self.world.run_until_quiet();
                    self.expect(*name, "(reading on)", wanted);
                }
            }
        }
        if let Some(why) = self.world.unfinished() {
            panic!("{}: at the end, {why}", self.how);
        }
        for &(name, client) in &self.clients {
            let left = self.world.inbox(client);
            assert!(
                left.is_empty(),
                "{}: client {name} got more: {}",
                self.how,
                String::from_utf8_lossy(left)
            );
        }
        self.check_log();
    }

    /// The log, or what a rewriting writes as commands, read at a later time by a server of one core, gives the same data.
    #[track_caller]
    fn check_log(&mut self) {
        let Some(wanted) = digest(&mut self.world) else { return };
        let log = std::mem::take(&mut self.world.log);
        self.check_read("log", &log, &wanted);
        if let Some(base) = self.world.base() {
            self.check_read("base", &base, &wanted);
        }
    }

    #[track_caller]
    fn check_read(&self, what: &str, log: &[u8], wanted: &Reply) {
        let config = Config::clone(&self.world.shared.config());
        let mut reader = World::configured(1, 9, config);
        reader.read_log(log);
        reader.set_now_ms(self.world.now_ms());
        let got = digest(&mut reader);
        assert!(
            got.as_ref() == Some(wanted),
            "{}: the {what} gives other data: {}",
            self.how,
            log.escape_ascii()
        );
    }

    /// An argument, or the number of the client that it names.
    fn known(&mut self, arg: &[u8]) -> Vec<u8> {
        match arg {
            [b'$', name] if self.clients.iter().any(|(known, _)| *known == *name as char) => {
                let client = self.client(*name as char);
                self.world.client_id(client).to_string().into_bytes()
            }
            _ => arg.to_vec(),
        }
    }

    fn client(&self, name: char) -> ClientNumber {
        self.clients.iter().find(|(known, _)| *known == name).expect("it was connected").1
    }

    #[track_caller]
    fn expect(&mut self, name: char, said: &str, wanted: &Reply) {
        let client = self.client(name);
        let inbox = self.world.inbox(client);
        let Some((got, used)) = (if inbox.is_empty() { None } else { Reply::parse(inbox) }) else {
            let why = self.world.unfinished().unwrap_or_default();
            panic!("{}: {said}: no reply, expected {wanted}; {why}", self.how);
        };
        inbox.drain(..used);
        assert!(wanted.matches(&got), "{}: {said}\n expected {wanted}\n      got {got}", self.how);
    }
}

/// What DEBUG DIGEST says to a new client; None if it is not to be had.
fn digest(world: &mut World) -> Option<Reply> {
    if world.is_paused() {
        return None;
    }
    let client = world.connect();
    let words = ["DEBUG", "DIGEST"].map(|word| word.as_bytes().to_vec());
    world.write(client, &request(&words));
    world.run_until_quiet();
    let reply = Reply::parse(world.inbox(client)).map(|(reply, _)| reply);
    reply.filter(|reply| !matches!(reply, Reply::Error(_)))
}

/// The bytes of a request.
pub fn request(args: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        bytes.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        bytes.extend_from_slice(arg);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

fn shown(args: &[Vec<u8>]) -> String {
    let words: Vec<String> = args.iter().map(|arg| String::from_utf8_lossy(arg).into_owned()).collect();
    words.join(" ")
}

// ---- the notation ----

fn parse(text: &str) -> Vec<Step> {
    split_outside_quotes(text, " | ").into_iter().map(|step| parse_step(step.trim())).collect()
}

fn parse_step(step: &str) -> Step {
    if step == "tick" {
        return Step::Tick;
    }
    if let Some(ms) = step.strip_prefix('+').and_then(|rest| rest.strip_suffix("ms")) {
        return Step::Pass(ms.parse().unwrap_or_else(|_| panic!("a time in {step:?}")));
    }
    let (name, said) = match step.split_once("> ") {
        Some((name, rest)) if name.len() == 1 => (name.chars().next().expect("one letter"), rest),
        _ => ('a', step),
    };
    let parts = split_outside_quotes(said, "=>");
    let &[command, wanted] = parts.as_slice() else { panic!("one => in {step:?}") };
    let mut rest = Text(wanted.trim());
    if rest.0 == "..." {
        return Step::Say(name, words(command), None);
    }
    let wanted = rest.reply(true);
    assert!(rest.0.trim().is_empty(), "nothing after the reply in {step:?}, but {:?}", rest.0);
    if command.trim().is_empty() {
        Step::Read(name, wanted)
    } else {
        Step::Say(name, words(command), Some(wanted))
    }
}

/// Splits at `mark` where it does not stand in quotes.
fn split_outside_quotes<'a>(text: &'a str, mark: &str) -> Vec<&'a str> {
    let (mut parts, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, letter) in text.char_indices() {
        if !quoted && at >= start && text[at..].starts_with(mark) {
            parts.push(&text[start..at]);
            start = at + mark.len();
        }
        quoted ^= letter == '"' && !escaped;
        escaped = quoted && letter == '\\' && !escaped;
    }
    parts.push(&text[start..]);
    parts
}

fn words(text: &str) -> Vec<Vec<u8>> {
    let mut rest = Text(text.trim());
    let mut words = Vec::new();
    while !rest.0.is_empty() {
        words.push(if rest.0.starts_with('"') { rest.quoted() } else { rest.word(&[' ']).into() });
        rest.0 = rest.0.trim_start();
    }
    words
}

/// What is left to read.
struct Text<'a>(&'a str);

impl<'a> Text<'a> {
    fn eat(&mut self, mark: &str) -> bool {
        match self.0.strip_prefix(mark) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    fn word(&mut self, ends: &[char]) -> &'a str {
        let (word, rest) = self.0.split_at(self.0.find(ends).unwrap_or(self.0.len()));
        self.0 = rest;
        word
    }

    fn quoted(&mut self) -> Vec<u8> {
        assert!(self.eat("\""), "a quote in {:?}", self.0);
        let mut bytes = Vec::new();
        loop {
            let letter = self.0.chars().next().expect("quotes end");
            self.0 = &self.0[letter.len_utf8()..];
            match letter {
                '"' => return bytes,
                '\\' => {
                    let (escape, rest) = self.0.split_at(1);
                    self.0 = rest;
                    match escape {
                        "n" => bytes.push(b'\n'),
                        "r" => bytes.push(b'\r'),
                        "t" => bytes.push(b'\t'),
                        "x" => {
                            let (digits, rest) = self.0.split_at(2);
                            self.0 = rest;
                            bytes.push(u8::from_str_radix(digits, 16).expect("two hexadecimal digits"));
                        }
                        other => bytes.extend_from_slice(other.as_bytes()),
                    }
                }
                _ => bytes.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
    }

    /// One expected reply. At the top, a status or an error takes all that is left.
    fn reply(&mut self, top: bool) -> Reply {
        const ENDS: &[char] = &[' ', ',', ']', '}', ':'];
        match () {
            () if self.eat("(integer) ") => self.reply(false),
            () if self.eat("(nil)") => Reply::Null,
            () if self.eat("~[") => Reply::Set(self.list()),
            () if self.eat(">[") => Reply::Push(self.list()),
            () if self.eat("?[") => Reply::Unordered(self.list()),
            () if self.eat("[") => Reply::Array(self.list()),
            () if self.eat("{") => self.map(),
            () if self.eat("#") => Reply::Boolean(self.word(ENDS) == "t"),
            () if self.eat(",") => Reply::Double(self.word(ENDS).into()),
            () if self.eat("(") => Reply::BigNumber(self.word(ENDS).into()),
            () if self.eat("=") => Reply::Verbatim(self.quoted()),
            () if self.0.starts_with('"') => Reply::Bulk(self.quoted()),
            () if self.0.starts_with('-') && !self.0[1..].starts_with(|c: char| c.is_ascii_digit()) => {
                self.eat("-");
                Reply::Error(
                    if top { std::mem::take(&mut self.0) } else { self.word(&[',', ']', '}']) }.into(),
                )
            }
            () => {
                let word = self.word(if top { &['\n'] } else { ENDS });
                match (word, word.parse()) {
                    ("nil", _) => Reply::Null,
                    ("*", _) => Reply::Any,
                    (_, Ok(number)) => Reply::Integer(number),
                    _ => Reply::Simple(word.into()),
                }
            }
        }
    }

    fn skip_separators(&mut self) {
        self.0 = self.0.trim_start_matches([' ', ':']);
    }

    fn list(&mut self) -> Vec<Reply> {
        let mut elements = Vec::new();
        self.0 = self.0.trim_start();
        while !self.eat("]") {
            elements.push(self.reply(false));
            // A comma behind a space separates; one before a digit is a double.
            self.separator();
        }
        elements
    }

    fn separator(&mut self) {
        if self.0.starts_with(", ") {
            self.eat(",");
        }
        self.0 = self.0.trim_start();
    }

    fn map(&mut self) -> Reply {
        let mut pairs = Vec::new();
        self.0 = self.0.trim_start();
        while !self.eat("}") {
            let key = self.reply(false);
            self.skip_separators();
            let value = self.reply(false);
            self.separator();
            pairs.push((key, value));
        }
        Reply::Map(pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversation() {
        check("SET k v => OK | GET k => \"v\" | INCR n => (integer) 1 | MGET k n x => [\"v\" \"1\" nil]");
        check("INCR n => 1 | NOSUCH => -ERR unknown command 'NOSUCH', with args beginning with: ");
        check("SET k \"a | => \\x00\" PX 50 => OK | +49ms | STRLEN k => 8 | +1ms | GET k => nil");
        check("a> SET k v => OK | b> GET k => ... | b> => \"v\"");
        check3("GET k => nil");
    }

    #[test]
    #[should_panic(expected = "expected \"w\"")]
    fn a_wrong_reply_is_told() {
        check("SET k v => OK | GET k => \"w\"");
    }

    #[test]
    fn replies_read_as_written() {
        for text in [
            "OK",
            "12",
            "-3",
            "\"a b\"",
            "nil",
            "-ERR no",
            "[1 [\"a\"] nil]",
            "{\"k\": ,1.5}",
            "~[#t (12]",
            "*",
        ] {
            assert_eq!(Text(text).reply(true).to_string(), text);
        }
        let unordered = Text("?[1, 2, 2]").reply(true);
        let array = |list: &[i64]| Reply::Array(list.iter().map(|&n| Reply::Integer(n)).collect());
        assert!(unordered.matches(&array(&[2, 1, 2])));
        assert!(!unordered.matches(&array(&[2, 1, 1])));
    }
}
