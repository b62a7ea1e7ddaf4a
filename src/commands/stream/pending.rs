//! What was delivered and not acknowledged: XACK, XPENDING.

use super::super::{Context, Error};
use super::args::{ids, interval};
use super::{no_group, write_id};
use crate::base::number::parse_i64;
use crate::client::Args;
use crate::resp::Out;
use crate::types::Stream;
use crate::types::stream::{Group, Id};
use std::ops::RangeInclusive;

pub fn xack(cx: &mut Context, args: Args) -> Result<(), Error> {
    let (key, group) = (args.at(1), args.at(2));
    if cx.view::<Stream>(key)?.0.and_then(|stream| stream.groups.get(group)).is_none() {
        cx.out.integer(0);
        return Ok(());
    }
    let ids = ids(args.from(3))?;
    let acknowledged = cx.change(key, false, |stream: &mut Stream, _| {
        let acknowledge = |group: &mut Group| ids.iter().filter(|&&id| group.acknowledge(id)).count();
        (stream.groups.change(group, acknowledge), false)
    })?;
    let acknowledged = acknowledged.flatten().unwrap_or(0);
    if acknowledged > 0 {
        cx.unsaved(key);
        cx.count_elements(key, acknowledged);
    }
    cx.out.integer(acknowledged as i64);
    Ok(())
}

/// Which pending entries XPENDING lists.
struct Listing<'a> {
    idle_ms_min: i64,
    ids: RangeInclusive<Id>,
    count: usize,
    consumer: Option<&'a [u8]>,
}

impl<'a> Listing<'a> {
    /// `[IDLE min-idle-time] start end count [consumer]`
    fn parse(args: Args<'a>) -> Result<Listing<'a>, Error> {
        let integer = |arg: &[u8]| parse_i64(arg).ok_or(Error::NOT_AN_INTEGER);
        let (mut idle_ms_min, mut rest) = (0, args);
        if args.is(0, "idle") {
            idle_ms_min = integer(args.at(1))?;
            if args.len() < 5 {
                return Err(Error::SYNTAX);
            }
            rest = args.from(2);
        }
        let count = usize::try_from(integer(rest.at(2))?).unwrap_or(0);
        let ids = interval(rest.at(0), rest.at(1))?;
        Ok(Listing { idle_ms_min, ids, count, consumer: rest.get(3) })
    }

    fn write(self, out: &mut Out, group: &Group, now_ms: i64) {
        // As in Redis, an interval may end before it begins.
        let number = self.consumer.map(|name| group.find(name));
        if self.ids.is_empty() || number == Some(None) {
            return out.array(0);
        }
        let header = out.deferred();
        let mut written = 0;
        let count = self.count;
        let mut write = |id: &Id| {
            let pending = &group.pending()[id];
            let idle_ms = now_ms - pending.delivered_ms;
            if written < count && (self.idle_ms_min == 0 || idle_ms >= self.idle_ms_min) {
                out.array(4);
                write_id(out, *id);
                out.bulk(group.consumer(pending.consumer).name());
                out.integer(idle_ms.max(0));
                out.integer(pending.deliveries as i64);
                written += 1;
            }
            written < count
        };
        match number.flatten() {
            Some(number) => _ = group.consumer(number).pending().range(self.ids).all(&mut write),
            None => _ = group.pending().range(self.ids).all(|(id, _)| write(id)),
        }
        out.finish_array(header, written);
    }
}

pub fn xpending(cx: &mut Context, args: Args) -> Result<(), Error> {
    let listing = match args.len() {
        3 => None,
        6..=9 => Some(Listing::parse(args.from(3))?),
        _ => return Err(Error::SYNTAX),
    };
    let now_ms = cx.now_ms();
    let (key, name) = (args.at(1), args.at(2));
    let (stream, out) = cx.view::<Stream>(key)?;
    let group = stream.and_then(|stream| stream.groups.get(name)).ok_or_else(|| no_group(key, name, ""))?;
    match listing {
        Some(listing) => listing.write(out, group, now_ms),
        None => write_summary(out, group),
    }
    Ok(())
}

/// How many entries are pending, the first and the last of them, and how many each consumer has.
fn write_summary(out: &mut Out, group: &Group) {
    out.array(4);
    let pending = group.pending();
    out.integer(pending.len() as i64);
    let (Some((&first, _)), Some((&last, _))) = (pending.first_key_value(), pending.last_key_value()) else {
        out.null();
        out.null();
        return out.null_array();
    };
    write_id(out, first);
    write_id(out, last);
    let consumers = || group.consumers().filter(|consumer| !consumer.pending().is_empty());
    out.array(consumers().count());
    for consumer in consumers() {
        out.array(2);
        out.bulk(consumer.name());
        out.bulk_int(consumer.pending().len() as i64);
    }
}
