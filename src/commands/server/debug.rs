//! DEBUG: what test suites ask of a server. It runs with every shard at hand, as a single-threaded Redis would.
//! Absent: RELOAD, LOADAOF, RESTART and the crashes.

use std::hash::Hash;
use std::sync::atomic::Ordering::Relaxed;

use super::config::is_local;
use crate::base::number::parse_i64;
use crate::client::Args;
use crate::commands::{Context, Error, help};
use crate::shard::{Encoding, Entry, Value};

const NOT_ALLOWED: &str = "ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", \
    you can run it from a local connection, otherwise you need to set this option in the configuration file, \
    and then restart the server.";

/// A subcommand: its name, arguments with the two names (at least, at most), syntax and meaning, handler.
type Sub = (&'static str, usize, usize, &'static str, fn(&mut Context, Args) -> Result<(), Error>);

const SUBCOMMANDS: &[Sub] = &[
    ("DIGEST", 2, 2, "\n    Returns a digest of all databases, the same for the same content.", digest),
    ("DIGEST-VALUE", 2, usize::MAX, "key [key ...]\n    Returns digests of values.", digest_value),
    ("ERROR", 3, 3, "text\n    Replies with an error.", error),
    ("HELP", 2, 2, "\n    Lists these subcommands.", list),
    ("HTSTATS", 3, 4, "db [full]\n    Describes the table of a database.", htstats),
    ("HTSTATS-KEY", 3, 4, "key [full]\n    Describes the table of a value.", htstats_key),
    ("JMAP", 2, 2, "\n    Does nothing; other servers count their objects.", ok),
    ("LOG", 3, 3, "message\n    Writes a line to the log.", log),
    ("OBJECT", 3, 4, "key [fast]\n    Describes a value.", object),
    ("POPULATE", 3, 5, "count [prefix] [size]\n    Makes strings that do not exist yet.", populate),
    ("PROTOCOL", 3, 3, "type\n    Replies with a value of a type of the protocol.", protocol),
    (
        "SET-ACTIVE-EXPIRE",
        3,
        3,
        "0|1\n    Stops or resumes deleting expired keys in the background.",
        set_active_expire,
    ),
    ("SLEEP", 3, 3, "seconds\n    Stops the server for a while.", sleep),
];

pub fn debug(cx: &mut Context, args: Args) -> Result<(), Error> {
    let local = is_local(cx);
    if !cx.config.enable_debug_command.allows(local) {
        return Err(Error::new(NOT_ALLOWED));
    }
    let found = SUBCOMMANDS.iter().find(|(name, ..)| args.is(1, name));
    match found {
        Some((_, least, most, _, run)) if (*least..=*most).contains(&args.len()) => run(cx, args),
        _ => Err(Error::subcommand_arity(args.at(1), "DEBUG")),
    }
}

fn list(cx: &mut Context, _args: Args) -> Result<(), Error> {
    let lines: Vec<String> = (SUBCOMMANDS.iter())
        .flat_map(|(name, _, _, text, _)| {
            let (syntax, about) = text.split_once('\n').unwrap_or((text, ""));
            [format!("{name} {syntax}").trim_end().to_owned(), about.to_owned()]
        })
        .collect();
    help::write(cx, "DEBUG", &lines);
    Ok(())
}

fn ok(cx: &mut Context, _args: Args) -> Result<(), Error> {
    cx.out.ok();
    Ok(())
}

fn error(_cx: &mut Context, args: Args) -> Result<(), Error> {
    Err(Error::new(String::from_utf8_lossy(args.at(2)).into_owned()))
}

fn log(cx: &mut Context, args: Args) -> Result<(), Error> {
    crate::log::warning(format!("DEBUG LOG: {}", String::from_utf8_lossy(args.at(2))));
    ok(cx, args)
}

fn set_active_expire(cx: &mut Context, args: Args) -> Result<(), Error> {
    cx.shared.active_expire_off.store(parse_i64(args.at(2)) == Some(0), Relaxed);
    ok(cx, args)
}

/// The shards stay here meanwhile, so nobody touches a key.
fn sleep(cx: &mut Context, args: Args) -> Result<(), Error> {
    let seconds = std::str::from_utf8(args.at(2)).ok().and_then(|text| text.parse::<f64>().ok());
    let us = seconds.unwrap_or(0.0).clamp(0.0, 1e6) * 1e6;
    cx.shared.clock.sleep_us(us as u64);
    ok(cx, args)
}

fn object(cx: &mut Context, args: Args) -> Result<(), Error> {
    let moment = cx.moment;
    let entry = cx.peek(args.at(2)).ok_or(Error::NO_SUCH_KEY)?;
    let text = format!(
        "Value at:{:p} refcount:1 encoding:{} serializedlength:{} lru:{} lru_seconds_idle:{}",
        (&raw const *entry).cast::<u8>(),
        entry.encoding().name(),
        serialized_bytes(entry),
        entry.access(),
        moment.idle_s(entry.access()),
    );
    cx.out.simple(&text);
    Ok(())
}

/// The length of a string in a snapshot file, uncompressed; of anything else, what it takes in memory.
fn serialized_bytes(entry: &Entry) -> usize {
    match entry.value() {
        Value::Int(value) if i8::try_from(value).is_ok() => 2,
        Value::Int(value) if i16::try_from(value).is_ok() => 3,
        Value::Int(value) if i32::try_from(value).is_ok() => 5,
        Value::Int(value) => 1 + itoa::Buffer::new().format(value).len(),
        Value::Bytes(bytes) => match bytes.len() {
            len @ 0..64 => 1 + len,
            len @ 64..16384 => 2 + len,
            len => 5 + len,
        },
        Value::Object(object) => object.bytes_allocated(),
    }
}

fn populate(cx: &mut Context, args: Args) -> Result<(), Error> {
    let number = |at: usize| match args.get(at).map(parse_i64) {
        None => Ok(None),
        Some(Some(number)) if number >= 0 => Ok(Some(number as usize)),
        Some(_) => Err(Error::MUST_BE_POSITIVE),
    };
    let count = number(2)?.unwrap_or(0);
    let size = number(4)?.unwrap_or(0);
    let prefix = args.get(3).unwrap_or(b"key");
    for index in 0..count {
        let key = [prefix, format!(":{index}").as_bytes()].concat();
        let mut value = format!("value:{index}").into_bytes();
        if size > 0 {
            value.resize(size, 0);
        }
        if cx.peek(&key).is_none() {
            cx.set_string(&key, &value, Encoding::of_string(value.len()), None);
        }
    }
    ok(cx, args)
}

fn htstats(cx: &mut Context, args: Args) -> Result<(), Error> {
    let db = parse_i64(args.at(2)).ok_or(Error::NOT_AN_INTEGER)?;
    if !(0..cx.config.databases as i64).contains(&db) {
        return Err(Error::new("ERR Out of range database"));
    }
    let stores = cx.shards().map(|shard| &shard.dbs[db as usize].store);
    let (keys, expires, shards) = stores
        .fold((0, 0, 0), |(keys, expires, n), store| (keys + store.len(), expires + store.expires(), n + 1));
    let text = format!(
        "[Dictionary HT]\nHash table 0 stats (main hash table):\n number of tables: {shards}\n number of entries: \
         {keys}\n[Expires HT]\n number of entries: {expires}\n"
    );
    cx.out.verbatim("txt", text.as_bytes());
    Ok(())
}

fn htstats_key(cx: &mut Context, args: Args) -> Result<(), Error> {
    let entry = cx.peek(args.at(2)).ok_or(Error::NO_SUCH_KEY)?;
    if !matches!(entry.encoding(), Encoding::Hashtable | Encoding::Skiplist) {
        return Err(Error::new(
            "ERR The value stored at the specified key is not represented using an hash table",
        ));
    }
    let text = format!("Hash table 0 stats (main hash table):\n bytes: {}\n", entry.bytes_allocated());
    cx.out.verbatim("txt", text.as_bytes());
    Ok(())
}

const DIGEST_BYTES: usize = 20;

/// Digests of entries are combined so that the order does not matter.
#[derive(Default)]
struct Digest([u8; DIGEST_BYTES]);

impl Digest {
    fn of(what: impl Hash) -> Self {
        let mut digest = Self::default();
        for (part, bytes) in digest.0.chunks_mut(8).enumerate() {
            let hash = ahash::RandomState::with_seeds(1, 2, 3, part as u64).hash_one(&what);
            bytes.copy_from_slice(&hash.to_le_bytes()[..bytes.len()]);
        }
        digest
    }

    fn mix(&mut self, other: &Digest) {
        self.0.iter_mut().zip(other.0).for_each(|(byte, other)| *byte ^= other);
    }

    fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The digest of a value; only strings have one yet.
fn value_digest(entry: &Entry) -> Result<Digest, Error> {
    match entry.value() {
        Value::Int(value) => Ok(Digest::of(itoa::Buffer::new().format(value).as_bytes())),
        Value::Bytes(bytes) => Ok(Digest::of(bytes)),
        Value::Object(_) => Err(Error::new("ERR DEBUG DIGEST knows strings only")),
    }
}

fn digest(cx: &mut Context, _args: Args) -> Result<(), Error> {
    let now_ms = cx.now_ms();
    let mut sum = Digest::default();
    let mut failed = None;
    for shard in cx.shards() {
        for (number, db) in shard.dbs.iter().enumerate() {
            let mut add = |entry: &Entry| {
                if entry.expiry().is_some_and(|at_ms| at_ms <= now_ms) {
                    return;
                }
                match value_digest(entry) {
                    Ok(value) => {
                        sum.mix(&Digest::of((number, entry.key(), value.0, entry.expiry().is_some())))
                    }
                    Err(error) => failed = Some(error),
                }
            };
            let mut cursor = 0;
            loop {
                cursor = db.store.scan(cursor, &mut add);
                if cursor == 0 {
                    break;
                }
            }
        }
    }
    match failed {
        Some(error) => Err(error),
        None => {
            cx.out.simple(&sum.hex());
            Ok(())
        }
    }
}

fn digest_value(cx: &mut Context, args: Args) -> Result<(), Error> {
    let mut digests = Vec::new();
    for key in args.from(2).iter() {
        digests.push(cx.peek(key).map_or(Ok(Digest::default()), |entry| value_digest(entry))?);
    }
    cx.out.array(digests.len());
    digests.iter().for_each(|digest| cx.out.simple(&digest.hex()));
    Ok(())
}

fn protocol(cx: &mut Context, args: Args) -> Result<(), Error> {
    const TYPES: &str = "string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false";
    let resp3 = cx.out.resp3;
    let out = &mut cx.out;
    match args.at(2).to_ascii_lowercase().as_slice() {
        b"string" => out.bulk(b"Hello World"),
        b"integer" => out.integer(12345),
        b"double" => out.double(3141.0 / 1000.0),
        b"bignum" => out.big_number("1234567999999999999999999999999999999"),
        b"null" => out.null(),
        b"array" => {
            out.array(3);
            (0..3).for_each(|number| out.integer(number));
        }
        b"set" => {
            out.set(3);
            (0..3).for_each(|number| out.integer(number));
        }
        b"map" => {
            out.map(3);
            for number in 0..3 {
                out.integer(number);
                out.boolean(number == 1);
            }
        }
        b"attrib" => {
            if resp3 {
                out.attribute(1);
                out.bulk(b"key-popularity");
                out.array(2);
                out.bulk(b"key:123");
                out.integer(90);
            }
            out.bulk(b"Some real reply following the attribute");
        }
        b"push" if !resp3 => return Err(Error::new("ERR RESP2 is not supported by this command")),
        b"push" => {
            out.push(2);
            out.bulk(b"server-cpu-usage");
            out.integer(42);
            out.bulk(b"Some real reply following the push reply");
        }
        b"verbatim" => out.verbatim("txt", b"This is a verbatim\nstring"),
        b"true" => out.boolean(true),
        b"false" => out.boolean(false),
        _ => {
            let text = format!("ERR Wrong protocol type name. Please use one of the following: {TYPES}");
            return Err(Error::new(text));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Digest;

    #[test]
    fn digests_do_not_depend_on_order() {
        let sum = |keys: &[&str]| {
            let mut sum = Digest::default();
            keys.iter().for_each(|key| sum.mix(&Digest::of(key)));
            sum.hex()
        };
        assert_eq!(sum(&["a", "b"]), sum(&["b", "a"]));
        assert_ne!(sum(&["a", "b"]), sum(&["a", "c"]));
        assert_eq!(sum(&[]), "0".repeat(40));
    }
}
