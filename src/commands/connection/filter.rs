//! Which clients CLIENT LIST shows and CLIENT KILL closes.
//! In: the options of either, those of Redis 8 and of Valkey 9. Out: yes or no for a card.

use std::mem::discriminant;
use std::sync::atomic::Ordering::Relaxed;

use super::super::error::{Error, shown};
use super::list::flag_letters;
use crate::base::number::parse_i64;
use crate::client::{Args, Card, flag};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Class {
    Normal,
    Replica,
    Pubsub,
    Master,
}

impl Class {
    fn named(text: &[u8]) -> Result<Self, Error> {
        let is = |name: &str| text.eq_ignore_ascii_case(name.as_bytes());
        match () {
            () if is("normal") => Ok(Class::Normal),
            () if is("slave") || is("replica") => Ok(Class::Replica),
            () if is("pubsub") => Ok(Class::Pubsub),
            () if is("master") || is("primary") => Ok(Class::Master),
            () => Err(Error::showing(&[b"ERR Unknown client type '", shown(text, usize::MAX), b"'"])),
        }
    }

    fn of(card: &Card) -> Self {
        if card.has(flag::PUBSUB) { Class::Pubsub } else { Class::Normal }
    }
}

/// One thing that a client must be, or (after NOT-) must not be.
#[derive(Debug)]
enum Wish {
    Ids(Vec<u64>),
    Class(Class),
    User(Vec<u8>),
    Addr(Vec<u8>),
    LocalAddr(Vec<u8>),
    Ip(Vec<u8>),
    Name(Vec<u8>),
    LibraryName(Vec<u8>),
    LibraryVersion(Vec<u8>),
    Flags(Vec<u8>),
    Capabilities(Vec<u8>),
    Db(u64),
    AgeMin(i64),
    IdleMin(i64),
}

#[derive(Default, Debug)]
pub struct Filter {
    wishes: Vec<(Wish, bool)>,
    /// SKIPME, if it was given.
    pub skip_me: Option<bool>,
}

/// Letters that FLAGS takes: those that CLIENT LIST can show.
const FLAG_LETTERS: &[u8] = b"OSMPxbtRBducAUreTNIEi";
/// Letters that CAPA takes: what clients of Valkey may say of themselves with CLIENT CAPA.
const CAPABILITY_LETTERS: &[u8] = b"r";

/// What a filter is called where its value is refused.
struct Naming<'a> {
    word: &'a [u8],
    negated: bool,
}

impl Naming<'_> {
    /// These letters, if all of them are known.
    fn letters(&self, value: &[u8], known: &[u8]) -> Result<Vec<u8>, Error> {
        if value.iter().all(|letter| known.contains(letter)) {
            return Ok(value.to_vec());
        }
        let what = self.word;
        let place = if self.negated {
            [b"NOT-", &what.to_ascii_uppercase()[..]].concat()
        } else {
            b"provided".to_vec()
        };
        let letters = shown(value, usize::MAX);
        Err(Error::showing(&[b"ERR Unknown ", what, b" found in the ", &place, b" filter: ", letters]))
    }

    fn seconds(&self, value: &[u8]) -> Result<i64, Error> {
        match parse_i64(value) {
            None => Err(Error::showing(&[b"ERR ", self.word, b" is not an integer or out of range"])),
            Some(number) if number > 0 => Ok(number),
            Some(_) => Err(Error::showing(&[b"ERR ", self.word, b" should be greater than 0"])),
        }
    }

    fn db(&self, value: &[u8], databases: u64) -> Result<u64, Error> {
        let name = if self.negated { "NOT-DB" } else { "DB" };
        match parse_i64(value) {
            None => Err(Error::new(format!("ERR {name} is not an integer or out of range"))),
            Some(db) if (0..databases as i64).contains(&db) => Ok(db as u64),
            Some(_) => {
                Err(Error::new(format!("ERR {name} number should be between 0 and {}", databases - 1)))
            }
        }
    }
}

impl Filter {
    /// Parses options; `id_error` is what the command says of an ID that is no number. Where options of a kind are repeated,
    /// the last one counts, but of IDs all do.
    pub fn parse(args: Args, id_error: &Error, databases: u64) -> Result<Self, Error> {
        let mut filter = Filter::default();
        let mut at = 0;
        while at < args.len() {
            let value = args.get(at + 1).ok_or(Error::SYNTAX)?;
            if args.is(at, "skipme") {
                filter.skip_me = match () {
                    () if args.is(at + 1, "yes") => Some(true),
                    () if args.is(at + 1, "no") => Some(false),
                    () => return Err(Error::SYNTAX),
                };
                at += 2;
                continue;
            }
            let mut word = args.at(at).to_ascii_lowercase();
            let negated = word.starts_with(b"not-");
            word.drain(..if negated { 4 } else { 0 });
            let wish = match word.as_slice() {
                b"id" => {
                    let ids = ids(args.from(at + 1), if negated { &Error::SYNTAX } else { id_error })?;
                    at += ids.len() - 1;
                    Wish::Ids(ids)
                }
                b"maxage" | b"idle" if negated => return Err(Error::SYNTAX),
                word => Wish::parse(&Naming { word, negated }, value, databases)?,
            };
            filter.add(wish, negated);
            at += 2;
        }
        Ok(filter)
    }

    fn add(&mut self, mut wish: Wish, negated: bool) {
        let is_same = |(old, old_negated): &(Wish, bool)| {
            *old_negated == negated && discriminant(old) == discriminant(&wish)
        };
        if let Some(at) = self.wishes.iter().position(is_same) {
            let (old, _) = self.wishes.remove(at);
            if let (Wish::Ids(ids), Wish::Ids(others)) = (&mut wish, old) {
                ids.extend(others);
            }
        }
        self.wishes.push((wish, negated));
    }

    pub fn fits(&self, card: &Card, now_ms: i64) -> bool {
        self.wishes.iter().all(|(wish, negated)| wish.fits(card, now_ms) != *negated)
    }
}

/// The ids at the start of `args`: one at least, and all numbers behind it.
fn ids(args: Args, error: &Error) -> Result<Vec<u64>, Error> {
    let mut ids = Vec::new();
    for text in args.iter() {
        match parse_i64(text) {
            Some(id) if id > 0 => ids.push(id as u64),
            Some(_) => return Err(Error::new("ERR client-id should be greater than 0")),
            None => break,
        }
    }
    if ids.is_empty() { Err(error.clone()) } else { Ok(ids) }
}

impl Wish {
    fn parse(naming: &Naming, value: &[u8], databases: u64) -> Result<Self, Error> {
        let text = value.to_vec();
        Ok(match naming.word {
            b"type" => Wish::Class(Class::named(value)?),
            b"user" if value != b"default" => {
                return Err(Error::showing(&[b"ERR No such user '", shown(value, usize::MAX), b"'"]));
            }
            b"user" => Wish::User(text),
            b"addr" => Wish::Addr(text),
            b"laddr" => Wish::LocalAddr(text),
            b"ip" => Wish::Ip(text),
            b"name" => Wish::Name(text),
            b"lib-name" => Wish::LibraryName(text),
            b"lib-ver" => Wish::LibraryVersion(text),
            b"flags" => Wish::Flags(naming.letters(value, FLAG_LETTERS)?),
            b"capa" => Wish::Capabilities(naming.letters(value, CAPABILITY_LETTERS)?),
            b"db" => Wish::Db(naming.db(value, databases)?),
            b"maxage" => Wish::AgeMin(naming.seconds(value)?),
            b"idle" => Wish::IdleMin(naming.seconds(value)?),
            _ => return Err(Error::SYNTAX),
        })
    }

    fn fits(&self, card: &Card, now_ms: i64) -> bool {
        let seconds_since = |then_ms: i64| (now_ms - then_ms) / 1000;
        match self {
            Wish::Ids(ids) => ids.contains(&card.id),
            Wish::Class(class) => Class::of(card) == *class,
            Wish::User(user) => card.names().user.as_bytes() == user,
            Wish::Addr(addr) => card.addr.as_bytes() == addr,
            Wish::LocalAddr(addr) => card.laddr.as_bytes() == addr,
            Wish::Ip(ip) => card
                .addr
                .rsplit_once(':')
                .is_some_and(|(host, _)| host.trim_start_matches('[').trim_end_matches(']').as_bytes() == ip),
            Wish::Name(name) => is_called(&card.names().name, name),
            Wish::LibraryName(name) => is_called(&card.names().library_name, name),
            Wish::LibraryVersion(version) => is_called(&card.names().library_version, version),
            Wish::Flags(letters) => {
                let has = flag_letters(card);
                letters.iter().all(|letter| has.as_bytes().contains(letter))
            }
            // No client says of itself what it is capable of.
            Wish::Capabilities(letters) => letters.is_empty(),
            Wish::Db(db) => card.db.get() == *db,
            Wish::AgeMin(seconds) => seconds_since(card.created_ms) >= *seconds,
            Wish::IdleMin(seconds) => seconds_since(card.last_ms.load(Relaxed)) >= *seconds,
        }
    }
}

/// Who has no name is not called "".
fn is_called(name: &[u8], wanted: &[u8]) -> bool {
    !name.is_empty() && name == wanted
}

#[cfg(test)]
mod tests {
    use super::Filter;
    use crate::client::{Args, Card, ConnectionId};
    use crate::commands::Error;
    use crate::resp::Span;

    fn parse(line: &str) -> Result<Filter, Error> {
        let words: Vec<&str> = line.split(' ').filter(|word| !word.is_empty()).collect();
        let buf = words.concat();
        let mut start = 0;
        let spans: Vec<Span> = words
            .iter()
            .map(|word| {
                let span = Span { start, len: word.len() as u32 };
                start += span.len;
                span
            })
            .collect();
        Filter::parse(Args::new(buf.as_bytes(), &spans), &Error::new("ERR id"), 16)
    }

    fn fits(line: &str) -> bool {
        let connection = ConnectionId { core: 0, slot: 0, generation: 1 };
        let card = Card::new(7, connection, 9, "127.0.0.1:5000".into(), "127.0.0.1:6379".into(), 0);
        card.names().name = b"n".to_vec();
        parse(line).unwrap().fits(&card, 10_000)
    }

    #[test]
    fn every_wish_must_hold() {
        for line in [
            "",
            "ID 7",
            "ID 3 7",
            "ID 7 ID 3",
            "ID 7 TYPE normal",
            "IP 127.0.0.1",
            "NAME n",
            "NAME m NAME n",
            "MAXAGE 10",
            "FLAGS N",
            "NOT-CAPA r",
            "NOT-DB 1",
            "NOT-NAME m NOT-LIB-NAME x",
        ] {
            assert!(fits(line), "{line}");
        }
        for line in
            ["ID 8", "NOT-ID 7", "TYPE pubsub", "IP 127.0.0.2", "ID 7 NAME m", "MAXAGE 11", "DB 1", "CAPA r"]
        {
            assert!(!fits(line), "{line}");
        }
    }

    #[test]
    fn bad_options_are_refused() {
        for (line, text) in [
            ("ID", "ERR syntax error"),
            ("ID x", "ERR id"),
            ("ID 1 0", "ERR client-id should be greater than 0"),
            ("ID -1", "ERR client-id should be greater than 0"),
            ("NOT-ID x", "ERR syntax error"),
            ("DB 16", "ERR DB number should be between 0 and 15"),
            ("NOT-DB -1", "ERR NOT-DB number should be between 0 and 15"),
            ("DB x", "ERR DB is not an integer or out of range"),
            ("NOT-DB x", "ERR NOT-DB is not an integer or out of range"),
            ("NOT-FLAGS Z", "ERR Unknown flags found in the NOT-FLAGS filter: Z"),
            ("CAPA x", "ERR Unknown capa found in the provided filter: x"),
            ("NOT-IDLE 1", "ERR syntax error"),
            ("NOT-MAXAGE 1", "ERR syntax error"),
            ("FOO bar", "ERR syntax error"),
            ("TYPE foo", "ERR Unknown client type 'foo'"),
            ("USER foo", "ERR No such user 'foo'"),
            ("MAXAGE x", "ERR maxage is not an integer or out of range"),
            ("MAXAGE 0", "ERR maxage should be greater than 0"),
            ("FLAGS Q", "ERR Unknown flags found in the provided filter: Q"),
            ("SKIPME maybe", "ERR syntax error"),
        ] {
            assert_eq!(parse(line).unwrap_err(), Error::new(text), "{line}");
        }
    }
}
