//! OBJECT: how a key is stored and how it is used.

use super::super::{Context, Error};
use crate::client::Args;
use crate::shard::{Entry, Moment, Value, tell};

const NO_FREQUENCY: Error = Error(std::borrow::Cow::Borrowed(
    b"ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.",
));
const NO_IDLE_TIME: Error = Error(std::borrow::Cow::Borrowed(
    b"ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.",
));

/// A miss is counted, and nobody hears of it.
fn look<'a>(cx: &'a mut Context, key: &[u8]) -> Option<&'a mut Entry> {
    let moment = Moment { touch: false, tell: cx.moment.tell & !tell::MISSED, ..cx.moment };
    let db = cx.session.db;
    cx.shard(key).read(db, key, &moment)
}

/// Calls `reply` with the entry, or replies null.
fn inspect(
    cx: &mut Context,
    args: Args,
    show: impl FnOnce(&Entry) -> Result<i64, Error>,
) -> Result<(), Error> {
    match look(cx, args.at(2)).map(|entry| show(entry)) {
        Some(number) => cx.out.integer(number?),
        None => cx.out.null(),
    }
    Ok(())
}

pub fn encoding(cx: &mut Context, args: Args) -> Result<(), Error> {
    match look(cx, args.at(2)).map(|entry| entry.encoding().name()) {
        Some(name) => cx.out.bulk(name.as_bytes()),
        None => cx.out.null(),
    }
    Ok(())
}

pub fn freq(cx: &mut Context, args: Args) -> Result<(), Error> {
    let moment = cx.moment;
    inspect(cx, args, |entry| {
        if moment.lfu { Ok(moment.lfu_frequency(entry.access()) as i64) } else { Err(NO_FREQUENCY) }
    })
}

pub fn idletime(cx: &mut Context, args: Args) -> Result<(), Error> {
    let moment = cx.moment;
    inspect(
        cx,
        args,
        |entry| {
            if moment.lfu { Err(NO_IDLE_TIME) } else { Ok(moment.idle_s(entry.access()) as i64) }
        },
    )
}

/// Values are never shared here; small integers answer as Redis' shared ones do.
pub fn refcount(cx: &mut Context, args: Args) -> Result<(), Error> {
    const SHARED_INTEGERS: i64 = 10_000;
    inspect(cx, args, |entry| match entry.value() {
        Value::Int(0..SHARED_INTEGERS) => Ok(i32::MAX as i64),
        _ => Ok(1),
    })
}
