//! Channels: SUBSCRIBE and its kin, PUBLISH, SPUBLISH, PUBSUB.
//! In: names of channels, patterns, messages. Out: confirmations, counts; the messages travel by `pubsub::Exchange`.
//! Absent: what a client with subscriptions may not run (`server::dispatch`), delivery (`server::mail`).

#[cfg(test)]
mod tests;

use super::help::{self, container};
use super::{Command, Context, Error, KeySpec, flags};
use crate::base::glob;
use crate::client::{Args, flag};
use crate::pubsub::{Counts, Kind};

/// What all commands about channels have in common.
const PUBSUB: u32 = flags::PUBSUB | flags::LOADING | flags::STALE;
const SUBSCRIBES: u32 = PUBSUB | flags::NOSCRIPT;
const SHARD_CHANNELS: &[KeySpec] = &[KeySpec::range(1, -1, 1, "not_key")];

#[rustfmt::skip]
pub const TABLE: &[Command] = &[
    Command::new("PSUBSCRIBE", "pattern [pattern ...]", psubscribe).arity(-2).flag(SUBSCRIBES).subscribes().since("2.0.0")
        .complexity("O(N), N being the number of patterns").about("Subscribes the client to all channels whose names match a pattern."),
    Command::new("PUBLISH", "channel message", publish).arity(3).flag(PUBSUB | flags::MAY_REPLICATE).fast().since("2.0.0")
        .complexity("O(N+M), N being the number of the channel's subscribers and M that of all patterns").about("Sends a message to a channel."),
    Command::new("PUBSUB", "", container).arity(-2).container().since("2.8.0").about("Holds the commands about channels."),
    Command::new("PUBSUB CHANNELS", "[pattern]", channels).arity(-2).flag(PUBSUB).since("2.8.0")
        .complexity("O(N), N being the number of channels").about("Lists the channels that somebody is subscribed to."),
    help::row("PUBSUB HELP", "6.2.0").categories(&["-pubsub"]),
    Command::new("PUBSUB NUMPAT", "", numpat).arity(2).flag(PUBSUB).since("2.8.0")
        .about("Counts the different patterns that clients are subscribed to."),
    Command::new("PUBSUB NUMSUB", "[channel [channel ...]]", numsub).arity(-2).flag(PUBSUB).since("2.8.0")
        .complexity("O(N), N being the number of channels asked about").about("Counts the subscribers of channels."),
    Command::new("PUBSUB SHARDCHANNELS", "[pattern]", shardchannels).arity(-2).flag(PUBSUB).since("7.0.0")
        .complexity("O(N), N being the number of shard channels").about("Lists the shard channels that somebody is subscribed to."),
    Command::new("PUBSUB SHARDNUMSUB", "[shardchannel [shardchannel ...]]", shardnumsub).arity(-2).flag(PUBSUB).since("7.0.0")
        .complexity("O(N), N being the number of shard channels asked about").about("Counts the subscribers of shard channels."),
    Command::new("PUNSUBSCRIBE", "[pattern [pattern ...]]", punsubscribe).arity(-1).flag(SUBSCRIBES).subscribes().since("2.0.0")
        .complexity("O(N), N being the number of patterns").about("Ends subscriptions to patterns: to those named, or all."),
    Command::new("SPUBLISH", "shardchannel message", spublish).arity(3).flag(PUBSUB | flags::MAY_REPLICATE).fast()
        .keys(&[KeySpec::at(1, "not_key")]).since("7.0.0")
        .complexity("O(N), N being the number of the shard channel's subscribers").about("Sends a message to a shard channel."),
    Command::new("SSUBSCRIBE", "shardchannel [shardchannel ...]", ssubscribe).arity(-2).flag(SUBSCRIBES).subscribes()
        .keys(SHARD_CHANNELS).since("7.0.0")
        .complexity("O(N), N being the number of shard channels").about("Subscribes the client to shard channels."),
    Command::new("SUBSCRIBE", "channel [channel ...]", subscribe).arity(-2).flag(SUBSCRIBES).subscribes().since("2.0.0")
        .complexity("O(N), N being the number of channels").about("Subscribes the client to channels."),
    Command::new("SUNSUBSCRIBE", "[shardchannel [shardchannel ...]]", sunsubscribe).arity(-1).flag(SUBSCRIBES).subscribes()
        .keys(SHARD_CHANNELS).since("7.0.0")
        .complexity("O(N), N being the number of shard channels").about("Ends subscriptions to shard channels: to those named, or all."),
    Command::new("UNSUBSCRIBE", "[channel [channel ...]]", unsubscribe).arity(-1).flag(SUBSCRIBES).subscribes().since("2.0.0")
        .complexity("O(N), N being the number of channels").about("Ends subscriptions to channels: to those named, or all."),
];

// ---- subscriptions ----

fn subscribe(cx: &mut Context, args: Args) -> Result<(), Error> {
    begin(cx, args, Kind::Channel, "subscribe")
}

fn psubscribe(cx: &mut Context, args: Args) -> Result<(), Error> {
    begin(cx, args, Kind::Pattern, "psubscribe")
}

fn ssubscribe(cx: &mut Context, args: Args) -> Result<(), Error> {
    begin(cx, args, Kind::ShardChannel, "ssubscribe")
}

fn unsubscribe(cx: &mut Context, args: Args) -> Result<(), Error> {
    end(cx, args, Kind::Channel, "unsubscribe")
}

fn punsubscribe(cx: &mut Context, args: Args) -> Result<(), Error> {
    end(cx, args, Kind::Pattern, "punsubscribe")
}

fn sunsubscribe(cx: &mut Context, args: Args) -> Result<(), Error> {
    end(cx, args, Kind::ShardChannel, "sunsubscribe")
}

fn begin(cx: &mut Context, args: Args, kind: Kind, what: &str) -> Result<(), Error> {
    let (id, seat) = (cx.session.id, cx.home().id);
    for name in args.from(1).iter() {
        cx.books().subscribe(id, seat, kind, name);
        let counts = cx.books().counts(id);
        confirm(cx, what, Some(name), counts.shown(kind));
    }
    note_counts(cx);
    Ok(())
}

fn end(cx: &mut Context, args: Args, kind: Kind, what: &str) -> Result<(), Error> {
    let id = cx.session.id;
    if args.len() > 1 {
        args.from(1).iter().for_each(|name| end_one(cx, kind, what, name));
    } else {
        let names = cx.books().names_of(id, kind);
        names.iter().for_each(|name| end_one(cx, kind, what, name));
        if names.is_empty() {
            let counts = cx.books().counts(id);
            confirm(cx, what, None, counts.shown(kind));
        }
    }
    note_counts(cx);
    Ok(())
}

fn end_one(cx: &mut Context, kind: Kind, what: &str, name: &[u8]) {
    let id = cx.session.id;
    cx.books().unsubscribe(id, kind, name);
    let counts = cx.books().counts(id);
    confirm(cx, what, Some(name), counts.shown(kind));
}

/// The answer about one name; None: there was none to name.
fn confirm(cx: &mut Context, what: &str, name: Option<&[u8]>, count: usize) {
    cx.out.push(3);
    cx.out.bulk(what.as_bytes());
    match name {
        Some(name) => cx.out.bulk(name),
        None => cx.out.null(),
    }
    cx.out.integer(count as i64);
}

/// Ends all subscriptions without a word (RESET).
pub fn leave(cx: &mut Context) {
    let id = cx.session.id;
    cx.books().leave(id);
    note_counts(cx);
}

/// The session and the card learn what the books say.
fn note_counts(cx: &mut Context) {
    let id = cx.session.id;
    let counts: Counts = cx.books().counts(id);
    cx.session.subscribed = counts.any();
    let card = cx.card();
    card.set_flag(flag::PUBSUB, counts.any());
    card.channels.set(counts.channels as u64);
    card.patterns.set(counts.patterns as u64);
    card.shard_channels.set(counts.shard_channels as u64);
}

// ---- messages ----

fn publish(cx: &mut Context, args: Args) -> Result<(), Error> {
    let receivers = cx.publish(Kind::Channel, args.at(1), args.at(2));
    cx.out.integer(receivers as i64);
    Ok(())
}

fn spublish(cx: &mut Context, args: Args) -> Result<(), Error> {
    let receivers = cx.publish(Kind::ShardChannel, args.at(1), args.at(2));
    cx.out.integer(receivers as i64);
    Ok(())
}

// ---- questions ----

fn channels(cx: &mut Context, args: Args) -> Result<(), Error> {
    list(cx, args, Kind::Channel)
}

fn shardchannels(cx: &mut Context, args: Args) -> Result<(), Error> {
    list(cx, args, Kind::ShardChannel)
}

fn list(cx: &mut Context, args: Args, kind: Kind) -> Result<(), Error> {
    if args.len() > 3 {
        return Err(Error::subcommand_arity(args.at(1), "PUBSUB"));
    }
    let fits = |name: &&[u8]| args.get(2).is_none_or(|pattern| glob::matches(pattern, name, false));
    let at = cx.out.deferred();
    let books = cx.shared.exchange.lock();
    let mut count = 0;
    for name in books.channels(kind).filter(fits) {
        cx.out.bulk(name);
        count += 1;
    }
    cx.out.finish_array(at, count);
    Ok(())
}

fn numsub(cx: &mut Context, args: Args) -> Result<(), Error> {
    count(cx, args, Kind::Channel)
}

fn shardnumsub(cx: &mut Context, args: Args) -> Result<(), Error> {
    count(cx, args, Kind::ShardChannel)
}

fn count(cx: &mut Context, args: Args, kind: Kind) -> Result<(), Error> {
    let names = args.from(2);
    cx.out.array(names.len() * 2);
    let books = cx.shared.exchange.lock();
    for name in names.iter() {
        cx.out.bulk(name);
        cx.out.integer(books.listeners(kind, name) as i64);
    }
    Ok(())
}

fn numpat(cx: &mut Context, _args: Args) -> Result<(), Error> {
    let patterns = cx.shared.exchange.lock().patterns();
    cx.out.integer(patterns as i64);
    Ok(())
}
