//! Parts of strings: GETRANGE, SETRANGE, APPEND.

use super::super::{Context, Error};
use super::{check_length, string, with_bytes};
use crate::base::number::parse_i64;
use crate::client::Args;
use crate::config::Events;
use crate::shard::Encoding;
use crate::types::Object;

pub fn getrange(cx: &mut Context, args: Args) -> Result<(), Error> {
    let start = parse_i64(args.at(2)).ok_or(Error::NOT_AN_INTEGER)?;
    let end = parse_i64(args.at(3)).ok_or(Error::NOT_AN_INTEGER)?;
    let (number, db, moment) = (cx.shard_number(args.at(1)), cx.session.db, cx.moment);
    let shard = cx.keyspace.shards[number].as_deref_mut().expect("C1: the command's shards are at hand");
    match shard.read(db, args.at(1), &moment) {
        Some(entry) => {
            let out = &mut cx.out;
            with_bytes(string(entry)?, |bytes| out.bulk(part(bytes, start, end)));
        }
        None => cx.out.bulk(b""),
    }
    Ok(())
}

/// Bytes `start` to `end`, both included; negative ones count from the end.
fn part(bytes: &[u8], start: i64, end: i64) -> &[u8] {
    let len = bytes.len() as i64;
    if start < 0 && end < 0 && start > end {
        return b"";
    }
    let from_end = |at: i64| if at < 0 { (at.saturating_add(len)).max(0) } else { at };
    let (start, end) = (from_end(start), from_end(end).min(len - 1));
    if len == 0 || start > end { b"" } else { &bytes[start as usize..=end as usize] }
}

pub fn append(cx: &mut Context, args: Args) -> Result<(), Error> {
    let (key, tail) = (args.at(1), args.at(2));
    let Some(entry) = cx.edit(key) else {
        super::store(cx, key, tail, None);
        cx.notify(Events::STRING, "append", key);
        cx.out.integer(tail.len() as i64);
        return Ok(());
    };
    let old = with_bytes(string(entry)?, <[u8]>::len);
    let len = old + tail.len();
    check_length(cx, len)?;
    splice(cx, key, old, tail);
    cx.notify(Events::STRING, "append", key);
    cx.out.integer(len as i64);
    Ok(())
}

pub fn setrange(cx: &mut Context, args: Args) -> Result<(), Error> {
    let (key, value) = (args.at(1), args.at(3));
    let offset = parse_i64(args.at(2)).ok_or(Error::NOT_AN_INTEGER)?;
    let offset = usize::try_from(offset).map_err(|_| Error::OFFSET_OUT_OF_RANGE)?;
    let old = match cx.edit(key) {
        Some(entry) => with_bytes(string(entry)?, <[u8]>::len),
        None => 0,
    };
    if value.is_empty() {
        cx.out.integer(old as i64);
        return Ok(());
    }
    check_length(cx, offset.saturating_add(value.len()))?;
    splice(cx, key, offset, value);
    cx.notify(Events::STRING, "setrange", key);
    cx.out.integer(old.max(offset + value.len()) as i64);
    Ok(())
}

/// Overwrites the string at `key`, which may be missing, from `offset` on; it grows as needed. A large one grows in place.
fn splice(cx: &mut Context, key: &[u8], offset: usize, value: &[u8]) {
    let end = offset + value.len();
    let mut entry = cx.edit(key);
    if let Some(Object::Bytes(bytes)) = entry.as_mut().and_then(|entry| entry.object_mut()) {
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        bytes[offset..end].copy_from_slice(value);
        cx.changed(key);
        return;
    }
    let expiry = entry.as_ref().and_then(|entry| entry.expiry());
    let mut bytes = entry.map_or(Vec::new(), |entry| with_bytes(entry, <[u8]>::to_vec));
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[offset..end].copy_from_slice(value);
    cx.set_string(key, &bytes, Encoding::Raw, expiry);
}
