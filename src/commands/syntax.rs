//! Reads the syntax string of a row into the tree of arguments that COMMAND DOCS shows.
//!
//! A word in lower case is an argument, one without lower-case letters a token. `[a]` may be left out, `<a | b>` must be
//! chosen, `a [a ...]` may be repeated. A token belongs to the words behind it: `LIMIT offset count` is one block.
//!
//! In: `key value [NX | XX] [GET] [EX seconds | PX milliseconds]`. Out: a list of `Argument`s.
//! Absent: checking what clients send (each handler does).

use super::{Find, KeySpec};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Key,
    String,
    Integer,
    Double,
    Pattern,
    UnixTime,
    /// A token without a value.
    Token,
    OneOf,
    Block,
}

impl Kind {
    /// Its name in COMMAND DOCS.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Key => "key",
            Kind::String => "string",
            Kind::Integer => "integer",
            Kind::Double => "double",
            Kind::Pattern => "pattern",
            Kind::UnixTime => "unix-time",
            Kind::Token => "pure-token",
            Kind::OneOf => "oneof",
            Kind::Block => "block",
        }
    }

    /// The kind of an argument of `command` that is no key, by the name that syntax strings give it.
    fn of(command: &str, name: &str) -> Kind {
        const INTEGERS: &[&str] = &[
            "bit",
            "bits",
            "client-id",
            "count",
            "cursor",
            "db",
            "decrement",
            "destination-db",
            "end",
            "entries-added",
            "entries-read",
            "frequency",
            "idle",
            "index",
            "index1",
            "index2",
            "len",
            "length",
            "limit",
            "max-len",
            "maxage",
            "milliseconds",
            "min-idle-time",
            "min-match-len",
            "ms",
            "num-matches",
            "numfields",
            "numkeys",
            "numlocal",
            "not-client-id",
            "not-db",
            "numreplicas",
            "offset",
            "port",
            "protover",
            "rank",
            "seconds",
            "slot",
            "start",
            "start-slot",
            "end-slot",
            "stop",
            "timeout",
            "ttl",
            "version",
            "weight",
        ];
        const DOUBLES: &[&str] =
            &["height", "latitude", "longitude", "max", "min", "radius", "score", "width"];
        match name {
            "increment" if command.ends_with("FLOAT") => Kind::Double,
            "increment" => Kind::Integer,
            "timeout" if command.starts_with('B') => Kind::Double,
            _ if INTEGERS.contains(&name) => Kind::Integer,
            _ if DOUBLES.contains(&name) => Kind::Double,
            _ if name.starts_with("unix-time") => Kind::UnixTime,
            _ if name == "pattern" || name.ends_with("-pattern") => Kind::Pattern,
            _ => Kind::String,
        }
    }
}

/// A node of the tree.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Argument {
    pub name: String,
    pub kind: Kind,
    pub token: Option<&'static str>,
    /// The key spec of the command that finds it.
    pub key_spec: Option<usize>,
    pub optional: bool,
    pub multiple: bool,
    /// A repetition repeats the token, too.
    pub multiple_token: bool,
    pub arguments: Vec<Argument>,
}

impl Argument {
    fn new(name: String, kind: Kind) -> Self {
        Self {
            name,
            kind,
            token: None,
            key_spec: None,
            optional: false,
            multiple: false,
            multiple_token: false,
            arguments: Vec::new(),
        }
    }

    fn group(kind: Kind, arguments: Vec<Argument>) -> Self {
        let names: Vec<&str> = arguments.iter().map(|argument| argument.name.as_str()).collect();
        let name = name_of_group(&names);
        Self { arguments, ..Self::new(name, kind) }
    }
}

/// A name for a choice or a block, which syntax strings do not give.
fn name_of_group(names: &[&str]) -> String {
    let has = |name: &str| names.contains(&name);
    match () {
        () if has("nx") && has("xx") => "condition".into(),
        () if has("gt") && has("lt") => "comparison".into(),
        () if has("seconds") && has("milliseconds") => "expiration".into(),
        () if has("sync") && has("async") => "flush-type".into(),
        () if has("asc") && has("desc") => "order".into(),
        () if has("km") && has("ft") => "unit".into(),
        () if has("left") && has("right") => "where".into(),
        () => names.join("-"),
    }
}

/// The arguments of a command: `name` as its row has it, `syntax` and its key specs.
pub fn parse(name: &str, syntax: &'static str, keys: &[KeySpec]) -> Vec<Argument> {
    let mut reader = Reader { command: name, rest: syntax };
    let mut arguments = alternatives(&mut reader, None, Kind::OneOf).0;
    assert!(reader.rest.is_empty(), "{name}: unbalanced brackets in its syntax");
    let mut position = Some(name.split(' ').count());
    mark_keys(&mut arguments, keys, &mut position);
    arguments
}

struct Reader<'a> {
    command: &'a str,
    rest: &'static str,
}

impl Reader<'_> {
    /// The next word or bracket.
    fn next(&mut self) -> Option<&'static str> {
        self.rest = self.rest.trim_start();
        let first = self.rest.chars().next()?;
        let alone = |c: char| "[]<>|".contains(c);
        let len = match alone(first) {
            true => 1,
            false => self.rest.find(|c: char| c == ' ' || alone(c)).unwrap_or(self.rest.len()),
        };
        let (word, rest) = self.rest.split_at(len);
        self.rest = rest.trim_start();
        Some(word)
    }
}

/// A part of a sequence before tokens are joined with the words behind them.
#[derive(Clone, PartialEq, Debug)]
enum Part {
    Token(&'static str),
    Word(Argument),
    /// In `<>`.
    Choice(Argument),
    /// In `[]`.
    Option(Argument),
    /// What was repeated.
    Repeated(Argument),
}

/// Reads sequences between bars up to `closer`. Several become one choice. The flag: it ended in `...`.
fn alternatives(reader: &mut Reader, closer: Option<&str>, kind: Kind) -> (Vec<Argument>, bool) {
    let mut sequences = vec![Vec::new()];
    let mut repeats = false;
    loop {
        let word = reader.next();
        let parts = sequences.last_mut().expect("there is always one");
        match word {
            None => break,
            Some(word) if Some(word) == closer => break,
            Some("|") => sequences.push(Vec::new()),
            Some("[") => optional(reader, parts),
            Some("<") => {
                let (arguments, _) = alternatives(reader, Some(">"), Kind::OneOf);
                parts.push(Part::Choice(single(arguments)));
            }
            Some("...") => repeats = true,
            Some(word) if is_token(word) => parts.push(Part::Token(word)),
            Some(word) => {
                parts.push(Part::Word(Argument::new(word.to_owned(), Kind::of(reader.command, word))))
            }
        }
    }
    match sequences.len() {
        1 => (join(sequences.remove(0)), repeats),
        _ => {
            let choices = sequences.into_iter().map(|parts| single(join(parts))).collect();
            (vec![Argument::group(kind, choices)], repeats)
        }
    }
}

fn is_token(word: &str) -> bool {
    !word.contains(|c: char| c.is_ascii_lowercase())
}

/// One argument of several.
fn single(mut arguments: Vec<Argument>) -> Argument {
    if arguments.len() == 1 { arguments.remove(0) } else { Argument::group(Kind::Block, arguments) }
}

/// Reads what stands in `[]`: an option, or the repetition of the parts before it.
fn optional(reader: &mut Reader, parts: &mut Vec<Part>) {
    let (arguments, repeats) = alternatives(reader, Some("]"), Kind::OneOf);
    if repeats {
        // The parts before it that are what is repeated.
        for from in (0..parts.len()).rev() {
            if join(parts[from..].to_vec()) == arguments {
                let with_token = matches!(parts[from], Part::Token(_));
                let mut repeated = single(arguments);
                if repeated.kind == Kind::Block && !with_token {
                    repeated.name = "data".into();
                }
                repeated.multiple = true;
                repeated.multiple_token = with_token;
                parts.truncate(from);
                parts.push(if with_token { Part::Repeated(repeated) } else { Part::Word(repeated) });
                return;
            }
        }
    }
    let mut option = single(arguments);
    option.optional = true;
    option.multiple |= repeats;
    parts.push(Part::Option(option));
}

/// Joins tokens with the words behind them.
fn join(parts: Vec<Part>) -> Vec<Argument> {
    let mut arguments = Vec::new();
    let mut parts = parts.into_iter().peekable();
    while let Some(part) = parts.next() {
        let token = match part {
            Part::Token(token) => token,
            Part::Word(argument)
            | Part::Choice(argument)
            | Part::Option(argument)
            | Part::Repeated(argument) => {
                arguments.push(argument);
                continue;
            }
        };
        let mut words = Vec::new();
        while let Some(Part::Word(word)) = parts.next_if(|part| matches!(part, Part::Word(_))) {
            words.push(word);
        }
        if words.is_empty()
            && let Some(Part::Choice(choice)) = parts.next_if(|part| matches!(part, Part::Choice(_)))
        {
            words.push(choice);
        }
        let name = token.trim_matches('"').to_ascii_lowercase();
        let mut argument = match words.len() {
            0 => Argument::new(name, Kind::Token),
            1 => words.remove(0),
            _ => Argument { arguments: words, ..Argument::new(name, Kind::Block) },
        };
        argument.token = Some(token);
        arguments.push(argument);
    }
    arguments
}

/// Marks the keys among the arguments: by `position`, as long as it is certain, behind a count or behind a token.
fn mark_keys(arguments: &mut [Argument], specs: &[KeySpec], position: &mut Option<usize>) {
    let mut counted = None;
    for argument in arguments {
        if argument.token.is_some() {
            *position = position.map(|at| at + 1);
        }
        let found = counted.take().or_else(|| spec_of(argument, specs, *position));
        counted = specs.iter().position(|spec| match spec.find {
            Find::Count { at, .. } => Some(at) == *position && argument.kind == Kind::Integer,
            _ => false,
        });
        match argument.kind {
            Kind::Token => {}
            Kind::Block | Kind::OneOf => match found {
                Some(spec) => mark_first(argument, spec),
                None if argument.kind == Kind::Block => mark_keys(&mut argument.arguments, specs, position),
                None => {
                    for choice in &mut argument.arguments {
                        mark_keys(std::slice::from_mut(choice), specs, &mut position.clone());
                    }
                    *position = None;
                }
            },
            _ => {
                if let Some(spec) = found {
                    (argument.kind, argument.key_spec) = (Kind::Key, Some(spec));
                }
                *position = position.map(|at| at + 1);
            }
        }
        if argument.optional || argument.multiple {
            *position = None;
        }
    }
}

/// The first argument of a block is the key.
fn mark_first(argument: &mut Argument, spec: usize) {
    match argument.arguments.first_mut() {
        Some(first) => mark_first(first, spec),
        None => (argument.kind, argument.key_spec) = (Kind::Key, Some(spec)),
    }
}

/// The spec that finds an argument at `position`, or behind its token.
fn spec_of(argument: &Argument, specs: &[KeySpec], position: Option<usize>) -> Option<usize> {
    let container = matches!(argument.kind, Kind::Block | Kind::OneOf);
    specs.iter().position(|spec| match spec.find {
        _ if spec.is_no_key() => false,
        Find::Range { first, last, step } => position.is_some_and(|at| {
            let inside = at >= first && (last < 0 || at <= last as usize);
            !container && inside && (at - first).is_multiple_of(step)
        }),
        Find::Keyword { word, .. } => argument.token == Some(word) && argument.kind != Kind::Token,
        Find::Count { .. } | Find::Unknown => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tree in short: name:kind, with what else is known behind it, and what it holds in braces.
    fn show(arguments: &[Argument]) -> String {
        let one = |argument: &Argument| {
            let mut text = format!("{}:{}", argument.name, argument.kind.name());
            if let Some(token) = argument.token {
                text.push_str(&format!(" {token}"));
            }
            if let Some(spec) = argument.key_spec {
                text.push_str(&format!(" #{spec}"));
            }
            for (is, mark) in
                [(argument.optional, "?"), (argument.multiple, "*"), (argument.multiple_token, "+")]
            {
                text.push_str(if is { mark } else { "" });
            }
            if !argument.arguments.is_empty() {
                text.push_str(&format!("{{{}}}", show(&argument.arguments)));
            }
            text
        };
        arguments.iter().map(one).collect::<Vec<_>>().join(", ")
    }

    fn check(name: &str, syntax: &'static str, keys: &[KeySpec], tree: &str) {
        assert_eq!(show(&parse(name, syntax, keys)), tree, "{name} {syntax}");
    }

    const FIRST: &[KeySpec] = &[KeySpec::at(1, "RO")];

    #[test]
    fn words_tokens_and_choices() {
        check("DBSIZE", "", &[], "");
        check("ECHO", "message", &[], "message:string");
        check(
            "FLUSHALL",
            "[ASYNC | SYNC]",
            &[],
            "flush-type:oneof?{async:pure-token ASYNC, sync:pure-token SYNC}",
        );
        check("NO-TOUCH", "<ON | OFF>", &[], "on-off:oneof{on:pure-token ON, off:pure-token OFF}");
        check("NO-TOUCH", "ON | OFF", &[], "on-off:oneof{on:pure-token ON, off:pure-token OFF}");
        check(
            "SET",
            "key value [NX | XX | IFEQ comparison-value] [GET] [EX seconds | PX milliseconds]",
            FIRST,
            "key:key #0, value:string, condition:oneof?{nx:pure-token NX, xx:pure-token XX, \
             comparison-value:string IFEQ}, get:pure-token GET?, \
             expiration:oneof?{seconds:integer EX, milliseconds:integer PX}",
        );
    }

    #[test]
    fn repetitions() {
        check("DEL", "key [key ...]", &[KeySpec::range(1, -1, 1, "RM")], "key:key #0*");
        check("INFO", "[section [section ...]]", &[], "section:string?*");
        check(
            "MSET",
            "key value [key value ...]",
            &[KeySpec::range(1, -1, 2, "OW")],
            "data:block*{key:key #0, value:string}",
        );
        check("SORT", "key [GET pattern [GET pattern ...]]", FIRST, "key:key #0, pattern:pattern GET?*+");
        check("ZUNION", "[WEIGHTS weight [weight ...]]", &[], "weight:integer WEIGHTS?*");
        check(
            "LOLWUT",
            "[VERSION version] [parameter ...]",
            &[],
            "version:integer VERSION?, parameter:string?*",
        );
    }

    #[test]
    fn blocks() {
        check("ZRANGE", "[LIMIT offset count]", &[], "limit:block LIMIT?{offset:integer, count:integer}");
        check(
            "HELLO",
            "[protover [AUTH username password] [SETNAME clientname]]",
            &[],
            "protover-auth-clientname:block?{protover:integer, auth:block AUTH?{username:string, password:string}, \
             clientname:string SETNAME?}",
        );
        check(
            "GEOSEARCH",
            "<FROMMEMBER member | FROMLONLAT longitude latitude> <BYRADIUS radius <M | KM>>",
            &[],
            "member-fromlonlat:oneof{member:string FROMMEMBER, \
             fromlonlat:block FROMLONLAT{longitude:double, latitude:double}}, \
             radius-m-km:block{radius:double BYRADIUS, m-km:oneof{m:pure-token M, km:pure-token KM}}",
        );
        check(
            "KILL",
            "[SKIPME <YES | NO>]",
            &[],
            "yes-no:oneof SKIPME?{yes:pure-token YES, no:pure-token NO}",
        );
    }

    #[test]
    fn keys_are_found_by_the_specs() {
        check("OBJECT ENCODING", "key", &[KeySpec::at(2, "RO")], "key:key #0");
        check(
            "ZUNIONSTORE",
            "destination numkeys key [key ...]",
            &[KeySpec::at(1, "OW"), KeySpec::count(2, 1, "RO")],
            "destination:key #0, numkeys:integer, key:key #1*",
        );
        check(
            "MSETEX",
            "numkeys key value [key value ...]",
            &[KeySpec::count(1, 2, "OW")],
            "numkeys:integer, data:block*{key:key #0, value:string}",
        );
        check(
            "GEORADIUS",
            "key [STORE key]",
            &[KeySpec::at(1, "RO"), KeySpec::after("STORE", 6, "OW")],
            "key:key #0, key:key STORE #1?",
        );
        check(
            "XREAD",
            "[COUNT count] STREAMS key [key ...] id [id ...]",
            &[KeySpec::after_all("STREAMS", 1, -1, 2, "RO")],
            "count:integer COUNT?, streams:block STREAMS{key:key #0*, id:string*}",
        );
        check(
            "BLPOP",
            "key [key ...] timeout",
            &[KeySpec::range(1, -2, 1, "RW")],
            "key:key #0*, timeout:double",
        );
        check(
            "LCS",
            "key1 key2 [LEN]",
            &[KeySpec::range(1, 2, 1, "RO")],
            "key1:key #0, key2:key #0, len:pure-token LEN?",
        );
        check("SORT", "key", &[KeySpec::at(1, "RO"), KeySpec::unknown("RO", "by")], "key:key #0");
    }

    #[test]
    fn every_row_can_be_read() {
        for family in crate::commands::FAMILIES {
            for row in family.table {
                let arguments = parse(row.name, row.syntax, row.keys);
                assert!(row.keys.is_empty() || !arguments.is_empty(), "{} has keys in its syntax", row.name);
            }
        }
    }
}
