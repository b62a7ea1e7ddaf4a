//! XINFO: what there is to be known of streams, groups and consumers.

use super::super::{Context, Error};
use super::{no_group_of_key, write_entries, write_entry, write_id};
use crate::base::number::parse_i64;
use crate::client::Args;
use crate::resp::Out;
use crate::types::Stream;
use crate::types::stream::{Consumer, Entry, Group, Log};

/// How many entries of each list FULL shows unless COUNT says otherwise.
const COUNT: usize = 10;

/// The stream, and the reply.
fn expect<'a, 'b>(cx: &'a mut Context<'b>, key: &[u8]) -> Result<(&'a Stream, &'a mut Out<'b>), Error> {
    let (stream, out) = cx.view::<Stream>(key)?;
    Ok((stream.ok_or(Error::NO_SUCH_KEY)?, out))
}

/// `[FULL [COUNT count]]`: how many entries are shown in full.
fn parse_full(args: Args) -> Result<Option<usize>, Error> {
    let refuse = || Err(Error::subcommand_arity(args.at(1), "XINFO"));
    match args.len() {
        3 => Ok(None),
        4 if args.is(3, "full") => Ok(Some(COUNT)),
        6 if args.is(3, "full") && args.is(4, "count") => {
            Ok(Some(match parse_i64(args.at(5)).ok_or(Error::NOT_AN_INTEGER)? {
                0 => usize::MAX,
                count => usize::try_from(count).unwrap_or(COUNT),
            }))
        }
        _ => refuse(),
    }
}

pub fn stream(cx: &mut Context, args: Args) -> Result<(), Error> {
    let (stream, out) = expect(cx, args.at(2))?;
    let full = parse_full(args)?;
    out.map(if full.is_some() { 9 } else { 10 });
    write_log(out, &stream.log);
    let Some(count) = full else {
        out.bulk(b"groups");
        out.integer(stream.groups.len() as i64);
        out.bulk(b"first-entry");
        write_or_null(out, stream.log.iter().next());
        out.bulk(b"last-entry");
        write_or_null(out, stream.log.iter().next_back());
        return Ok(());
    };
    out.bulk(b"entries");
    write_entries(out, stream.log.iter(), count);
    out.bulk(b"groups");
    out.array(stream.groups.len());
    for (name, group) in stream.groups.iter() {
        write_group_in_full(out, name, group, &stream.log, count);
    }
    Ok(())
}

fn write_or_null(out: &mut Out, entry: Option<Entry>) {
    match entry {
        Some(entry) => write_entry(out, &entry),
        None => out.null(),
    }
}

fn write_log(out: &mut Out, log: &Log) {
    out.bulk(b"length");
    out.integer(log.len() as i64);
    out.bulk(b"radix-tree-keys");
    out.integer(log.node_count() as i64);
    out.bulk(b"radix-tree-nodes");
    out.integer(log.radix_nodes() as i64);
    out.bulk(b"last-generated-id");
    write_id(out, log.last_id());
    out.bulk(b"max-deleted-entry-id");
    write_id(out, log.max_deleted_id());
    out.bulk(b"entries-added");
    out.integer(log.added() as i64);
    out.bulk(b"recorded-first-entry-id");
    write_id(out, log.first_id());
}

fn write_known(out: &mut Out, value: Option<i64>) {
    match value {
        Some(value) => out.integer(value),
        None => out.null(),
    }
}

fn write_group_in_full(out: &mut Out, name: &[u8], group: &Group, log: &Log, count: usize) {
    out.map(7);
    out.bulk(b"name");
    out.bulk(name);
    out.bulk(b"last-delivered-id");
    write_id(out, group.last_id);
    out.bulk(b"entries-read");
    write_known(out, group.entries_read);
    out.bulk(b"lag");
    write_known(out, group.lag(log));
    out.bulk(b"pel-count");
    out.integer(group.pending().len() as i64);
    out.bulk(b"pending");
    out.array(group.pending().len().min(count));
    for (&id, pending) in group.pending().iter().take(count) {
        out.array(4);
        write_id(out, id);
        out.bulk(group.consumer(pending.consumer).name());
        out.integer(pending.delivered_ms);
        out.integer(pending.deliveries as i64);
    }
    out.bulk(b"consumers");
    out.array(group.consumers().len());
    for consumer in group.consumers() {
        write_consumer_in_full(out, consumer, group, count);
    }
}

fn write_consumer_in_full(out: &mut Out, consumer: &Consumer, group: &Group, count: usize) {
    out.map(5);
    out.bulk(b"name");
    out.bulk(consumer.name());
    out.bulk(b"seen-time");
    out.integer(consumer.seen_ms);
    out.bulk(b"active-time");
    out.integer(consumer.active_ms.unwrap_or(-1));
    out.bulk(b"pel-count");
    out.integer(consumer.pending().len() as i64);
    out.bulk(b"pending");
    out.array(consumer.pending().len().min(count));
    for id in consumer.pending().iter().take(count) {
        let pending = &group.pending()[id];
        out.array(3);
        write_id(out, *id);
        out.integer(pending.delivered_ms);
        out.integer(pending.deliveries as i64);
    }
}

pub fn groups(cx: &mut Context, args: Args) -> Result<(), Error> {
    let (stream, out) = expect(cx, args.at(2))?;
    out.array(stream.groups.len());
    for (name, group) in stream.groups.iter() {
        out.map(6);
        out.bulk(b"name");
        out.bulk(name);
        out.bulk(b"consumers");
        out.integer(group.consumers().len() as i64);
        out.bulk(b"pending");
        out.integer(group.pending().len() as i64);
        out.bulk(b"last-delivered-id");
        write_id(out, group.last_id);
        out.bulk(b"entries-read");
        write_known(out, group.entries_read);
        out.bulk(b"lag");
        write_known(out, group.lag(&stream.log));
    }
    Ok(())
}

pub fn consumers(cx: &mut Context, args: Args) -> Result<(), Error> {
    let now_ms = cx.now_ms();
    let (key, name) = (args.at(2), args.at(3));
    let (stream, out) = expect(cx, key)?;
    let group = stream.groups.get(name).ok_or_else(|| no_group_of_key(key, name))?;
    out.array(group.consumers().len());
    for consumer in group.consumers() {
        out.map(4);
        out.bulk(b"name");
        out.bulk(consumer.name());
        out.bulk(b"pending");
        out.integer(consumer.pending().len() as i64);
        out.bulk(b"idle");
        out.integer((now_ms - consumer.seen_ms).max(0));
        out.bulk(b"inactive");
        out.integer(consumer.active_ms.map_or(-1, |active_ms| now_ms - active_ms));
    }
    Ok(())
}
