//! Strings as numbers: INCR, DECR, INCRBYFLOAT.

use super::super::{Context, Error};
use super::{string, with_bytes};
use crate::base::number::{LongDouble, parse_i64};
use crate::client::Args;
use crate::config::Events;
use crate::shard::Encoding;

pub fn incr(cx: &mut Context, args: Args) -> Result<(), Error> {
    add(cx, args.at(1), 1)
}

pub fn decr(cx: &mut Context, args: Args) -> Result<(), Error> {
    add(cx, args.at(1), -1)
}

pub fn incrby(cx: &mut Context, args: Args) -> Result<(), Error> {
    let increment = parse_i64(args.at(2)).ok_or(Error::NOT_AN_INTEGER)?;
    add(cx, args.at(1), increment)
}

pub fn decrby(cx: &mut Context, args: Args) -> Result<(), Error> {
    let decrement = parse_i64(args.at(2)).ok_or(Error::NOT_AN_INTEGER)?;
    let increment = decrement.checked_neg().ok_or(Error::DECREMENT_OVERFLOW)?;
    add(cx, args.at(1), increment)
}

fn add(cx: &mut Context, key: &[u8], increment: i64) -> Result<(), Error> {
    let Some(entry) = cx.edit(key) else {
        cx.set_int(key, increment, None);
        cx.notify(Events::STRING, "incrby", key);
        cx.out.integer(increment);
        return Ok(());
    };
    if let Some(place) = entry.as_int_mut() {
        let sum = place.checked_add(increment).ok_or(Error::OVERFLOW)?;
        *place = sum;
        cx.changed(key);
        cx.notify(Events::STRING, "incrby", key);
        cx.out.integer(sum);
        return Ok(());
    }
    let expiry = entry.expiry();
    let old = with_bytes(string(entry)?, parse_i64).ok_or(Error::NOT_AN_INTEGER)?;
    let sum = old.checked_add(increment).ok_or(Error::OVERFLOW)?;
    cx.set_int(key, sum, expiry);
    cx.notify(Events::STRING, "incrby", key);
    cx.out.integer(sum);
    Ok(())
}

pub fn incrbyfloat(cx: &mut Context, args: Args) -> Result<(), Error> {
    let key = args.at(1);
    let (old, expiry) = match cx.edit(key) {
        Some(entry) => {
            let value = with_bytes(string(entry)?, LongDouble::parse).ok_or(Error::NOT_A_FLOAT)?;
            (value, entry.expiry())
        }
        None => (LongDouble::ZERO, None),
    };
    let increment = LongDouble::parse(args.at(2)).ok_or(Error::NOT_A_FLOAT)?;
    let sum = old + increment;
    if !sum.is_finite() {
        return Err(Error::NAN_OR_INFINITY);
    }
    let text = sum.text();
    cx.set_string(key, text.as_bytes(), Encoding::of_string(text.len()), expiry);
    cx.notify(Events::STRING, "incrbyfloat", key);
    cx.log_as(&[b"SET", key, text.as_bytes(), b"KEEPTTL"]);
    cx.out.bulk(text.as_bytes());
    Ok(())
}
