//! Streams: XADD, XRANGE, XREAD, consumer groups and their family.
//! Absent: waiting for entries; see `read::would_wait`.

mod add;
mod args;
mod changes;
mod claim;
mod group;
mod info;
mod pending;
pub mod read;
#[cfg(test)]
mod tests;

use super::help::{container, help};
use super::zset::write_element;
use super::{Command, Context, Error, KeySpec, flags};
use crate::client::Args;
use crate::resp::Out;
use crate::types::Stream;
use crate::types::stream::{Entry, Id};
use args::{count_option, interval};

const READ: &[KeySpec] = &[KeySpec::at(1, "RO access")];
const UPDATE: &[KeySpec] = &[KeySpec::at(1, "RW update")];
const DELETE: &[KeySpec] = &[KeySpec::at(1, "RW delete")];
const SUB_READ: &[KeySpec] = &[KeySpec::at(2, "RO access")];
const SUB_INSERT: &[KeySpec] = &[KeySpec::at(2, "RW insert")];
const SUB_UPDATE: &[KeySpec] = &[KeySpec::at(2, "RW update")];
const SUB_DELETE: &[KeySpec] = &[KeySpec::at(2, "RW delete")];
const UNCERTAIN: &[&str] = &["nondeterministic_output"];
const RETURNED: &str = "O(log(N)+M), N being the number of entries and M of those returned";
const EACH_ID: &str = "O(log(N)) for each id, N being the number of pending entries";

pub const TABLE: &[Command] = &[
    Command::new("XACK", "key group id [id ...]", pending::xack)
        .arity(-4)
        .write()
        .fast()
        .keys(UPDATE)
        .since("5.0.0")
        .about("Acknowledges entries, which are then no longer pending for their consumers.")
        .complexity(EACH_ID),
    Command::new(
        "XADD",
        "key [NOMKSTREAM] [<MAXLEN | MINID> [= | ~] threshold [LIMIT count]] <* | id> field value [field value ...]",
        add::xadd,
    )
    .arity(-5)
    .grow()
    .fast()
    .keys(UPDATE)
    .since("5.0.0")
    .tips(UNCERTAIN)
    .about("Adds an entry to a stream, which may be trimmed on the way.")
    .complexity("O(1), and O(N) for the N entries that are trimmed"),
    Command::new(
        "XAUTOCLAIM",
        "key group consumer min-idle-time start [COUNT count] [JUSTID]",
        claim::xautoclaim,
    )
    .arity(-6)
    .write()
    .fast()
    .keys(DELETE)
    .since("6.2.0")
    .tips(UNCERTAIN)
    .about("Gives pending entries to a consumer that have been idle for long, from an id on.")
    .complexity("O(1) for a small count"),
    Command::new(
        "XCLAIM",
        "key group consumer min-idle-time id [id ...] [IDLE ms] [TIME unix-time-milliseconds] \
         [RETRYCOUNT count] [FORCE] [JUSTID] [LASTID lastid]",
        claim::xclaim,
    )
    .arity(-6)
    .write()
    .fast()
    .keys(UPDATE)
    .since("5.0.0")
    .tips(UNCERTAIN)
    .about("Gives pending entries to a consumer, as if they had been delivered to it.")
    .complexity(EACH_ID),
    Command::new("XDEL", "key id [id ...]", add::xdel)
        .arity(-3)
        .write()
        .fast()
        .keys(DELETE)
        .since("5.0.0")
        .about("Deletes entries.")
        .complexity("O(log(N)) for each id, N being the number of entries"),
    Command::new("XGROUP", "", container).container().arity(-2).since("5.0.0").about("Groups of consumers."),
    Command::new(
        "XGROUP CREATE",
        "key group <id | $> [MKSTREAM] [ENTRIESREAD entries-read]",
        group::create,
    )
    .arity(-5)
    .grow()
    .keys(SUB_INSERT)
    .since("5.0.0")
    .about("Creates a group."),
    Command::new("XGROUP CREATECONSUMER", "key group consumer", group::create_consumer)
        .arity(5)
        .grow()
        .keys(SUB_INSERT)
        .since("6.2.0")
        .about("Creates a consumer in a group."),
    Command::new("XGROUP DELCONSUMER", "key group consumer", group::delete_consumer)
        .arity(5)
        .write()
        .keys(SUB_DELETE)
        .since("5.0.0")
        .about("Deletes a consumer, and what is pending for it."),
    Command::new("XGROUP DESTROY", "key group", group::destroy)
        .arity(4)
        .write()
        .keys(SUB_DELETE)
        .since("5.0.0")
        .about("Deletes a group with its consumers.")
        .complexity("O(1); its memory is freed later"),
    Command::new("XGROUP HELP", "", help).arity(2).always().since("5.0.0").about("Lists the subcommands."),
    Command::new("XGROUP SETID", "key group <id | $> [ENTRIESREAD entries-read]", group::set_id)
        .arity(-5)
        .write()
        .keys(SUB_UPDATE)
        .since("5.0.0")
        .about("Sets how far a group has read."),
    Command::new("XINFO", "", container).container().arity(-2).since("5.0.0").about("Facts about streams."),
    Command::new("XINFO CONSUMERS", "key group", info::consumers)
        .arity(4)
        .read()
        .keys(SUB_READ)
        .since("5.0.0")
        .tips(UNCERTAIN)
        .about("Describes the consumers of a group."),
    Command::new("XINFO GROUPS", "key", info::groups)
        .arity(3)
        .read()
        .keys(SUB_READ)
        .since("5.0.0")
        .about("Describes the groups of a stream."),
    Command::new("XINFO HELP", "", help).arity(2).always().since("5.0.0").about("Lists the subcommands."),
    Command::new("XINFO STREAM", "key [FULL [COUNT count]]", info::stream)
        .arity(-3)
        .read()
        .keys(SUB_READ)
        .since("5.0.0")
        .about("Describes a stream, in full if asked to."),
    Command::new("XLEN", "key", xlen)
        .arity(2)
        .read()
        .fast()
        .keys(&[KeySpec::at(1, "RO")])
        .since("5.0.0")
        .about("Counts the entries of a stream."),
    Command::new("XPENDING", "key group [[IDLE min-idle-time] start end count [consumer]]", pending::xpending)
        .arity(-3)
        .read()
        .keys(READ)
        .since("5.0.0")
        .tips(UNCERTAIN)
        .about("Returns which entries of a group are pending.")
        .complexity("O(N), N being the number of entries returned or passed over"),
    Command::new("XRANGE", "key start end [COUNT count]", xrange)
        .arity(-4)
        .read()
        .keys(READ)
        .since("5.0.0")
        .about("Returns the entries with ids in a range.")
        .complexity(RETURNED),
    Command::new("XREAD", "[COUNT count] [BLOCK milliseconds] STREAMS key [key ...] id [id ...]", read::xread)
        .arity(-4)
        .read()
        .flag(flags::BLOCKING)
        .keys(&[KeySpec::after_all("STREAMS", 1, -1, 2, "RO access").asked(read::streams_at)])
        .since("5.0.0")
        .about("Returns entries of several streams behind the ids given.")
        .complexity(RETURNED),
    Command::new(
        "XREADGROUP",
        "GROUP group consumer [COUNT count] [BLOCK milliseconds] [NOACK] STREAMS key [key ...] id [id ...]",
        read::xreadgroup,
    )
    .arity(-7)
    .write()
    .flag(flags::BLOCKING)
    .keys(&[KeySpec::after_all("STREAMS", 4, -1, 2, "RO access").asked(read::streams_at)])
    .since("5.0.0")
    .about("Returns entries of several streams that are new to a group, or pending for a consumer of it.")
    .complexity(RETURNED),
    Command::new("XREVRANGE", "key end start [COUNT count]", xrevrange)
        .arity(-4)
        .read()
        .keys(READ)
        .since("5.0.0")
        .about("Returns the entries with ids in a range, backwards.")
        .complexity(RETURNED),
    Command::new("XSETID", "key last-id [ENTRIESADDED entries-added] [MAXDELETEDID max-deleted-id]", add::xsetid)
        .arity(-3)
        .grow()
        .fast()
        .keys(UPDATE)
        .since("5.0.0")
        .about("Sets the last id of a stream."),
    Command::new("XTRIM", "key <MAXLEN | MINID> [= | ~] threshold [LIMIT count]", add::xtrim)
        .arity(-4)
        .write()
        .keys(DELETE)
        .since("5.0.0")
        .tips(UNCERTAIN)
        .about("Deletes entries from the beginning of a stream.")
        .complexity("O(N), N being the number of entries deleted"),
];

fn write_id(out: &mut Out, id: Id) {
    id.with_text(|text| out.bulk(text));
}

/// An entry: its id, and its names and values.
fn write_entry(out: &mut Out, entry: &Entry) {
    out.array(2);
    write_id(out, entry.id);
    out.array(2 * entry.fields);
    entry.for_each(|name, value| {
        write_element(out, name);
        write_element(out, value);
    });
}

/// Entries as an array, of which at most so many.
fn write_entries<'a>(out: &mut Out, entries: impl Iterator<Item = Entry<'a>>, count: usize) {
    let header = out.deferred();
    let mut written = 0;
    for entry in entries.take(count) {
        write_entry(out, &entry);
        written += 1;
    }
    out.finish_array(header, written);
}

fn no_group(key: &[u8], group: &[u8], rest: &str) -> Error {
    let (key, group) = (shown(key), shown(group));
    let rest = format!("'{rest}");
    Error::showing(&[b"NOGROUP No such key '", key, b"' or consumer group '", group, rest.as_bytes()])
}

fn no_group_of_key(key: &[u8], group: &[u8]) -> Error {
    let (key, group) = (shown(key), shown(group));
    Error::showing(&[b"NOGROUP No such consumer group '", group, b"' for key name '", key, b"'"])
}

/// An argument within an error, which may be long.
fn shown(arg: &[u8]) -> &[u8] {
    super::error::shown(arg, usize::MAX)
}

fn xlen(cx: &mut Context, args: Args) -> Result<(), Error> {
    let (stream, out) = cx.view::<Stream>(args.at(1))?;
    out.integer(stream.map_or(0, |stream| stream.log.len()) as i64);
    Ok(())
}

fn xrange(cx: &mut Context, args: Args) -> Result<(), Error> {
    reply_range(cx, args, args.at(2), args.at(3), false)
}

fn xrevrange(cx: &mut Context, args: Args) -> Result<(), Error> {
    reply_range(cx, args, args.at(3), args.at(2), true)
}

fn reply_range(cx: &mut Context, args: Args, start: &[u8], end: &[u8], reverse: bool) -> Result<(), Error> {
    let ids = interval(start, end)?;
    let count = count_option(args.from(4))?;
    let (stream, out) = cx.view::<Stream>(args.at(1))?;
    let entries = stream.map(|stream| stream.log.range(ids));
    match (entries, count) {
        (None, _) => out.array(0),
        (Some(_), Some(0)) => out.null_array(),
        (Some(entries), count) if reverse => write_entries(out, entries.rev(), count.unwrap_or(usize::MAX)),
        (Some(entries), count) => write_entries(out, entries, count.unwrap_or(usize::MAX)),
    }
    Ok(())
}
