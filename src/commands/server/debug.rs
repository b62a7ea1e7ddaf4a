//! DEBUG: what test suites ask of a server. It runs with every shard at hand, as a single-threaded Redis would.
//! In: subcommands. Out: replies, lines in the log.
//! Absent: files (see `reload`), RESTART and the crashes.

mod clients;
mod digest;
mod protocol;
mod reload;
#[cfg(test)]
mod tests;
mod value;

use std::sync::atomic::Ordering::Relaxed;

use super::config::is_local;
use crate::base::glob;
use crate::base::number::parse_i64;
use crate::client::Args;
use crate::commands::context::Counting;
use crate::commands::{Context, Error, Signal, help};
use crate::shard::Encoding;
use crate::shared::REPLY_PEAK_RESET_MS;

const NOT_ALLOWED: &str = "ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", \
    you can run it from a local connection, otherwise you need to set this option in the configuration file, \
    and then restart the server.";

/// A subcommand: its name, arguments with the two names (at least, at most), syntax and meaning, handler.
type Sub = (&'static str, usize, usize, &'static str, fn(&mut Context, Args) -> Result<(), Error>);

const SUBCOMMANDS: &[Sub] = &[
    ("CHANGE-REPL-ID", 2, 2, "\n    Gives the server a new replication ID.", change_replid),
    (
        "CLIENT-EVICTION",
        2,
        2,
        "\n    Tells how much memory clients take that may be evicted for maxmemory-clients, by classes of size.",
        clients::eviction,
    ),
    (
        "CONFIG-REWRITE-FORCE-ALL",
        2,
        2,
        "\n    As CONFIG REWRITE, with every option, also those at their default.",
        rewrite_config,
    ),
    (
        "DIGEST",
        2,
        2,
        "\n    Returns a digest of all databases, the same for the same content.",
        digest::digest,
    ),
    ("DIGEST-VALUE", 2, usize::MAX, "key [key ...]\n    Returns digests of values.", digest::digest_value),
    ("ERROR", 3, 3, "text\n    Replies with an error.", error),
    ("HELP", 2, 2, "\n    Lists these subcommands.", list),
    ("HTSTATS", 3, 4, "db [full]\n    Describes the table of a database.", value::htstats),
    ("HTSTATS-KEY", 3, 4, "key [full]\n    Describes the table of a value.", value::htstats_key),
    ("JMAP", 2, 2, "\n    Does nothing; other servers count their objects.", ok),
    ("LEAK", 3, 3, "text\n    Forgets to free a copy of the text.", leak),
    ("LISTPACK", 3, 3, "key\n    Writes the elements of a listpack to the log.", value::listpack),
    ("LOG", 3, 3, "message\n    Writes a line to the log.", log),
    (
        "OBJECT",
        3,
        4,
        "key [fast]\n    Describes a value; `fast` leaves out what takes a walk over it.",
        value::object,
    ),
    (
        "LOADAOF",
        2,
        2,
        "\n    Writes what is on its way to the append-only file, empties all databases, and reads the file back.",
        reload::load_aof,
    ),
    ("PAUSE-CRON", 3, 3, "0|1\n    Stops or resumes periodic work.", pause_cron),
    ("POPULATE", 3, 5, "count [prefix] [size]\n    Makes strings that do not exist yet.", populate),
    ("PROTOCOL", 3, 3, "type\n    Replies with a value of a type of the protocol.", protocol::protocol),
    (
        "QUICKLIST",
        3,
        4,
        "key [0|1]\n    Writes the nodes of a long list to the log; 1: and their elements.",
        value::quicklist,
    ),
    (
        "QUICKLIST-PACKED-THRESHOLD",
        3,
        3,
        "size\n    In lists that become long from now on, elements of that size get a node of their own; 0: as configured.",
        value::quicklist_packed_threshold,
    ),
    (
        "RELOAD",
        2,
        5,
        "[NOSAVE] [NOFLUSH] [MERGE]\n    Saves the keyspace and loads it again; NOSAVE: from the file that is there; NOFLUSH: into what is \
         there; MERGE: keys that are there are replaced.",
        reload::reload,
    ),
    (
        "REPLYBUFFER",
        4,
        4,
        "PEAK-RESET-TIME NEVER|RESET|milliseconds, RESIZING 0|1\n    After what time CLIENT LIST forgets how long replies \
         were (RESET: 5 seconds). Buffers of replies have no fixed size, so RESIZING does nothing.",
        reply_buffer,
    ),
    ("SDSLEN", 3, 3, "key\n    Describes the memory of a key's name and of a string value.", value::sdslen),
    (
        "SET-ACTIVE-EXPIRE",
        3,
        3,
        "0|1\n    Stops or resumes deleting expired keys in the background.",
        set_active_expire,
    ),
    (
        "SET-DISABLE-DENY-SCRIPTS",
        3,
        3,
        "0|1\n    Lets scripts call commands about the server that are kept from them, or no longer.",
        let_scripts,
    ),
    (
        "SET-SKIP-CHECKSUM-VALIDATION",
        3,
        3,
        "0|1\n    Stops or resumes looking at the checksums of what RESTORE is given.",
        skip_checksums,
    ),
    ("SLEEP", 3, 3, "seconds\n    Stops the server for a while.", sleep),
    ("STRINGMATCH-TEST", 2, 2, "\n    Matches random patterns.", stringmatch_test),
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

fn error(cx: &mut Context, args: Args) -> Result<(), Error> {
    cx.counting = Counting::Nothing;
    Err(Error::showing(&[args.at(2)]))
}

fn log(cx: &mut Context, args: Args) -> Result<(), Error> {
    crate::log::warning(format!("DEBUG LOG: {}", String::from_utf8_lossy(args.at(2))));
    ok(cx, args)
}

fn set_active_expire(cx: &mut Context, args: Args) -> Result<(), Error> {
    cx.shared.active_expire_off.store(parse_i64(args.at(2)) == Some(0), Relaxed);
    ok(cx, args)
}

fn skip_checksums(cx: &mut Context, args: Args) -> Result<(), Error> {
    cx.shared.skip_checksums.store(parse_i64(args.at(2)).is_some_and(|number| number != 0), Relaxed);
    ok(cx, args)
}

fn let_scripts(cx: &mut Context, args: Args) -> Result<(), Error> {
    cx.shared.noscript_off.store(parse_i64(args.at(2)).is_some_and(|number| number != 0), Relaxed);
    ok(cx, args)
}

fn pause_cron(cx: &mut Context, args: Args) -> Result<(), Error> {
    cx.shared.cron_paused.store(parse_i64(args.at(2)).is_some_and(|number| number != 0), Relaxed);
    // Cores that slept meanwhile have to look whether there is something to do.
    cx.signals.push(Signal::Resume);
    ok(cx, args)
}

fn change_replid(cx: &mut Context, args: Args) -> Result<(), Error> {
    *cx.shared.replid.lock().expect("nobody panics holding the replication ID") = cx.rng.run_id();
    ok(cx, args)
}

fn rewrite_config(cx: &mut Context, args: Args) -> Result<(), Error> {
    cx.shared.config().rewrite_file_whole(None).map_err(Error::new)?;
    ok(cx, args)
}

fn leak(cx: &mut Context, args: Args) -> Result<(), Error> {
    std::mem::forget(args.at(2).to_vec());
    ok(cx, args)
}

fn reply_buffer(cx: &mut Context, args: Args) -> Result<(), Error> {
    if args.is(2, "resizing") {
        return ok(cx, args);
    }
    if !args.is(2, "peak-reset-time") {
        return Err(Error::subcommand_arity(args.at(1), "DEBUG"));
    }
    let ms = match () {
        () if args.is(3, "never") => -1,
        () if args.is(3, "reset") => REPLY_PEAK_RESET_MS,
        () => parse_i64(args.at(3)).ok_or(Error::NOT_AN_INTEGER)?,
    };
    cx.shared.reply_peak_reset_ms.store(ms, Relaxed);
    ok(cx, args)
}

/// The shards stay here meanwhile, so nobody touches a key.
fn sleep(cx: &mut Context, args: Args) -> Result<(), Error> {
    let seconds = std::str::from_utf8(args.at(2)).ok().and_then(|text| text.parse::<f64>().ok());
    let us = seconds.unwrap_or(0.0).clamp(0.0, 1e6) * 1e6;
    cx.shared.clock.sleep_us(us as u64);
    ok(cx, args)
}

/// Patterns and texts of few letters, so that many match in part.
fn stringmatch_test(cx: &mut Context, _args: Args) -> Result<(), Error> {
    const ROUNDS: usize = 20_000;
    const LETTERS: &[u8] = b"*?[]^-\\ab\0\xff";
    let mut pair = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for text in &mut pair {
            let len = cx.rng.below(16);
            text.clear();
            text.extend((0..len).map(|_| LETTERS[cx.rng.below(LETTERS.len() as u64) as usize]));
        }
        std::hint::black_box(glob::matches(&pair[0], &pair[1], cx.rng.below(2) == 1));
    }
    cx.out.simple("Apparently Redis did not crash: test passed");
    Ok(())
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
    cx.moment = cx.moment.writing(true);
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
