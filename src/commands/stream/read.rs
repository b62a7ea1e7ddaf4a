//! Reading on: XREAD, and XREADGROUP, which notes who got what.

use super::super::blocking::{For, deadline_ms};
use super::super::{Context, Error};
use super::args::strict_id;
use super::changes::Changes;
use super::{no_group, write_entries, write_entry, write_id};
use crate::base::number::parse_i64;
use crate::client::Args;
use crate::resp::{Deferred, Out};
use crate::shard::Type;
use crate::types::Stream;
use crate::types::stream::{ConsumerNumber, Group, Id, Log, Pending};
use smallvec::SmallVec;

/// What XREAD or XREADGROUP is asked for.
struct Request<'a> {
    /// Group and consumer, for XREADGROUP.
    reader: Option<(&'a [u8], &'a [u8])>,
    no_ack: bool,
    count: usize,
    /// How long to wait for entries, ms; 0: without end. None: not at all.
    block_ms: Option<i64>,
    keys: Args<'a>,
    ids: Args<'a>,
}

/// From where a stream is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    /// Behind this id; for a consumer, what is pending for it.
    Behind(Id),
    /// What was delivered to nobody in the group.
    New,
}

/// Ids for a few streams need no allocation.
type Froms = SmallVec<[From; 8]>;

/// Where the word STREAMS stands among the options: none of them has it as its value.
pub fn streams_at(args: Args) -> Option<usize> {
    let mut at = 1;
    loop {
        at += match () {
            () if args.is(at, "streams") => return Some(at),
            () if args.is(at, "block") || args.is(at, "count") => 2,
            () if args.is(at, "group") => 3,
            () if args.is(at, "noack") => 1,
            () => return None,
        };
    }
}

impl<'a> Request<'a> {
    /// `grouped`: it is XREADGROUP.
    fn parse(args: Args<'a>, grouped: bool, now_ms: i64) -> Result<Request<'a>, Error> {
        let none = args.first(0);
        let mut request =
            Request { reader: None, no_ack: false, count: usize::MAX, block_ms: None, keys: none, ids: none };
        let mut at = 1;
        loop {
            let more = args.len().saturating_sub(at + 1);
            at += match () {
                () if args.is(at, "block") && more > 0 => {
                    request.block_ms = Some(block_ms(args.at(at + 1), now_ms)?);
                    2
                }
                () if args.is(at, "count") && more > 0 => {
                    let count = parse_i64(args.at(at + 1)).ok_or(Error::NOT_AN_INTEGER)?;
                    request.count =
                        usize::try_from(count).ok().filter(|&count| count > 0).unwrap_or(usize::MAX);
                    2
                }
                () if args.is(at, "streams") && more > 0 => break,
                () if args.is(at, "group") && more > 1 => {
                    request.reader = Some((args.at(at + 1), args.at(at + 2)));
                    only_grouped(grouped, "GROUP")?;
                    3
                }
                () if args.is(at, "noack") => {
                    only_grouped(grouped, "NOACK")?;
                    request.no_ack = true;
                    1
                }
                () => return Err(Error::SYNTAX),
            };
        }
        let streams = args.from(at + 1);
        if !streams.len().is_multiple_of(2) {
            let (name, symbol) = if grouped { ("xreadgroup", '>') } else { ("xread", '$') };
            return Err(Error::new(format!(
                "ERR Unbalanced '{name}' list of streams: for each stream key an ID or '{symbol}' must be specified."
            )));
        }
        if grouped && request.reader.is_none() {
            return Err(Error::new("ERR Missing GROUP option for XREADGROUP"));
        }
        (request.keys, request.ids) = (streams.first(streams.len() / 2), streams.from(streams.len() / 2));
        Ok(request)
    }
}

fn only_grouped(grouped: bool, option: &str) -> Result<(), Error> {
    if grouped {
        return Ok(());
    }
    Err(Error::new(format!(
        "ERR The {option} option is only supported by XREADGROUP. You called XREAD instead."
    )))
}

fn block_ms(arg: &[u8], now_ms: i64) -> Result<i64, Error> {
    match parse_i64(arg).ok_or(Error::new("ERR timeout is not an integer or out of range"))? {
        i64::MIN..0 => Err(Error::new("ERR timeout is negative")),
        ms if ms > i64::MAX - now_ms => Err(Error::new("ERR timeout is out of range")),
        ms => Ok(ms),
    }
}

pub fn xread(cx: &mut Context, args: Args) -> Result<(), Error> {
    let request = Request::parse(args, false, cx.now_ms())?;
    let mut froms = Froms::new();
    for (key, id) in request.keys.iter().zip(request.ids.iter()) {
        if !cx.is_at_hand(key) {
            froms.push(From::New);
            continue;
        }
        let log = cx.view::<Stream>(key)?.0.map(|stream| &stream.log);
        froms.push(From::Behind(match id {
            b"$" => log.map_or(Id::MIN, Log::last_id),
            // What is before the last entry, so that this one is read.
            b"+" => log.and_then(|log| log.last_live_id().previous()).unwrap_or(Id::MIN),
            b">" => {
                return Err(Error::new(
                    "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.",
                ));
            }
            id => strict_id(id)?,
        }));
    }
    let mut reply = Reply::begin(&mut cx.out);
    for (key, from) in request.keys.iter().zip(&froms) {
        if !cx.is_at_hand(key) {
            continue;
        }
        let (stream, out) = cx.view::<Stream>(key)?;
        if let (Some(stream), From::Behind(id)) = (stream, *from)
            && stream.log.last_live_id() > id
        {
            reply.stream(out, key);
            write_behind(out, &stream.log, id, request.count);
        }
    }
    finish(cx, args, reply, &request, &froms)
}

fn write_behind(out: &mut Out, log: &Log, id: Id, count: usize) {
    match id.next() {
        Some(start) => write_entries(out, log.range(start..=Id::MAX), count),
        None => out.array(0),
    }
}

/// Why an id is none for XREADGROUP.
fn meaningless(id: &str) -> Error {
    Error::new(format!(
        "ERR The {id} ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by \
         specifying a proper ID, or use the > ID to get new messages. The {id} ID would just return an empty result set."
    ))
}

pub fn xreadgroup(cx: &mut Context, args: Args) -> Result<(), Error> {
    let request = Request::parse(args, true, cx.now_ms())?;
    let (group, consumer) = request.reader.expect("it was parsed with a group");
    let mut froms = Froms::new();
    for (key, id) in request.keys.iter().zip(request.ids.iter()) {
        if !cx.is_at_hand(key) {
            froms.push(From::New);
            continue;
        }
        let stream = cx.view::<Stream>(key)?.0;
        if stream.and_then(|stream| stream.groups.get(group)).is_none() {
            return Err(no_group(key, group, " in XREADGROUP with GROUP option"));
        }
        froms.push(match id {
            b"$" => return Err(meaningless("$")),
            b"+" => return Err(meaningless("+")),
            b">" => From::New,
            id => match strict_id(id)? {
                Id::MAX => From::New,
                id => From::Behind(id),
            },
        });
    }
    let now_ms = cx.now_ms();
    let mut reply = Reply::begin(&mut cx.out);
    for (key, &from) in request.keys.iter().zip(&froms) {
        if !cx.is_at_hand(key) {
            continue;
        }
        let mut changes = Changes::begin(cx);
        cx.change(key, false, |stream: &mut Stream, out| {
            let parts = &mut **stream;
            let log = &parts.log;
            parts.groups.change(group, |group| {
                let (number, is_new) = group.find_or_create(consumer, now_ms);
                group.consumer_mut(number).seen_ms = now_ms;
                if is_new {
                    changes.consumer_created();
                }
                let has_new = || !log.is_empty() && log.last_live_id() > group.last_id;
                if from == From::New && !has_new() {
                    return;
                }
                reply.stream(out, key);
                let changes = &mut changes;
                changes.count(1);
                let mut delivery =
                    Delivery { log, group, consumer: number, count: request.count, now_ms, changes };
                match from {
                    From::Behind(id) => delivery.write_history(out, id),
                    From::New => delivery.write_new(out, request.no_ack),
                }
            });
            ((), false)
        })?;
        changes.say(cx, key, group, consumer);
    }
    finish(cx, args, reply, &request, &froms)
}

/// Entries on their way to a consumer.
struct Delivery<'a> {
    log: &'a Log,
    group: &'a mut Group,
    consumer: ConsumerNumber,
    count: usize,
    now_ms: i64,
    changes: &'a mut Changes,
}

impl Delivery<'_> {
    /// Entries that were delivered to nobody in the group; they are pending then, unless that is not wanted.
    fn write_new(&mut self, out: &mut Out, no_ack: bool) {
        let header = out.deferred();
        let mut written = 0;
        let start = self.group.last_id.next().expect("an entry is behind it");
        for entry in self.log.range(start..=Id::MAX).take(self.count) {
            self.group.advance(entry.id, self.log);
            write_entry(out, &entry);
            if !no_ack {
                let pending = Pending { consumer: self.consumer, delivered_ms: self.now_ms, deliveries: 1 };
                self.group.assign(entry.id, pending);
                self.changes.delivered(entry.id, pending);
            }
            written += 1;
        }
        if written > 0 && !no_ack {
            self.group.consumer_mut(self.consumer).active_ms = Some(self.now_ms);
        }
        self.changes.moved(self.group);
        out.finish_array(header, written);
    }

    /// Entries that are pending for the consumer, behind an id. Those that were deleted meanwhile have no fields.
    fn write_history(&mut self, out: &mut Out, id: Id) {
        let header = out.deferred();
        let start = id.next().expect("the last id stands for new entries");
        let pending = self.group.consumer(self.consumer).pending().range(start..).take(self.count);
        let ids: Vec<Id> = pending.copied().collect();
        for &id in &ids {
            if let Some(entry) = self.log.get(id) {
                write_entry(out, &entry);
                if let Some(pending) = self.group.redeliver(id, self.now_ms) {
                    self.changes.delivered(id, pending);
                }
            } else {
                out.array(2);
                write_id(out, id);
                out.null_array();
            }
        }
        out.finish_array(header, ids.len());
    }
}

/// The reply: for each stream that has something its key and its entries.
struct Reply {
    header: Deferred,
    streams: usize,
}

impl Reply {
    fn begin(out: &mut Out) -> Reply {
        Reply { header: out.deferred(), streams: 0 }
    }

    /// The next stream, whose entries follow.
    fn stream(&mut self, out: &mut Out, key: &[u8]) {
        if !out.resp3 {
            out.array(2);
        }
        out.bulk(key);
        self.streams += 1;
    }
}

/// Ends the reply; if there is nothing in it, the client waits, if it is willing to.
fn finish(
    cx: &mut Context,
    args: Args,
    reply: Reply,
    request: &Request,
    froms: &[From],
) -> Result<(), Error> {
    match (reply.streams, request.block_ms) {
        (0, Some(ms)) => {
            let deadline_ms = deadline_ms(cx, ms)?;
            let words = fixed_words(args, request, froms);
            let what = For {
                words: Some(&words),
                by_group: request.reader.is_some(),
                ..For::elements(Type::Stream, deadline_ms)
            };
            cx.wait(request.keys.iter(), what);
        }
        (0, None) => cx.out.null_array(),
        (streams, _) if cx.out.resp3 => cx.out.finish_map(reply.header, streams),
        (streams, _) => cx.out.finish_array(reply.header, streams),
    }
    Ok(())
}

/// The command with the ids that it has now: `$` is what was the last one when it was sent.
fn fixed_words(args: Args, request: &Request, froms: &[From]) -> Vec<Vec<u8>> {
    let mut words: Vec<Vec<u8>> = args.iter().map(<[u8]>::to_vec).collect();
    let first = words.len() - request.ids.len();
    for (word, from) in words[first..].iter_mut().zip(froms) {
        if let From::Behind(id) = from {
            *word = format!("{}-{}", id.ms, id.seq).into_bytes();
        }
    }
    words
}
