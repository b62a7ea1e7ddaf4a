//! Fields as numbers: HINCRBY, HINCRBYFLOAT. The field keeps its expiry.

use super::super::{Context, Error};
use crate::base::number::{LongDouble, parse_i64};
use crate::client::Args;
use crate::config::Events;
use crate::types::hash::Lifetime;
use crate::types::{Collection, Hash};

pub fn hincrby(cx: &mut Context, args: Args) -> Result<(), Error> {
    let increment = parse_i64(args.at(3)).ok_or(Error::NOT_AN_INTEGER)?;
    let overdue = cx.finds_overdue(args.at(1), args.at(2));
    let sum = update(cx, args, |old| {
        let old = match old {
            Some(text) => parse_i64(text).ok_or(Error::new("ERR hash value is not an integer"))?,
            None => 0,
        };
        let sum = old.checked_add(increment).ok_or(Error::OVERFLOW)?;
        Ok((sum, itoa::Buffer::new().format(sum).to_owned()))
    })?;
    cx.notify(Events::HASH, "hincrby", args.at(1));
    if overdue {
        cx.log_as(&[b"HSET", args.at(1), args.at(2), itoa::Buffer::new().format(sum).as_bytes()]);
    }
    cx.out.integer(sum);
    Ok(())
}

pub fn hincrbyfloat(cx: &mut Context, args: Args) -> Result<(), Error> {
    let increment = LongDouble::parse(args.at(3)).ok_or(Error::NOT_A_FLOAT)?;
    if !increment.is_finite() {
        return Err(Error::new("ERR value is NaN or Infinity"));
    }
    let text = update(cx, args, |old| {
        let old = match old {
            Some(text) => LongDouble::parse(text).ok_or(Error::new("ERR hash value is not a float"))?,
            None => LongDouble::ZERO,
        };
        let sum = old + increment;
        if !sum.is_finite() {
            return Err(Error::NAN_OR_INFINITY);
        }
        let text = sum.text();
        Ok((text.clone(), text))
    })?;
    cx.notify(Events::HASH, "hincrbyfloat", args.at(1));
    if cx.is_logged() {
        log_sum(cx, args, text.as_bytes())?;
    }
    cx.out.bulk(text.as_bytes());
    Ok(())
}

/// The log gets the sum, since not everybody adds floats alike, and the field's expiry, which a plain HSET would take away.
fn log_sum(cx: &mut Context, args: Args, text: &[u8]) -> Result<(), Error> {
    let (key, field, due_ms) = (args.at(1), args.at(2), cx.due_ms());
    cx.log_as(&[b"HSET", key, field, text]);
    let expiry = cx.look::<Hash>(key)?.and_then(|view| view.expiry(field, due_ms)).flatten();
    if let Some(at_ms) = expiry {
        super::expiry::log_expiry(cx, key, at_ms, &[field]);
    }
    Ok(())
}

/// Sets the field in argument 2 to what `compute` makes of its old value, if it is there.
fn update<R>(
    cx: &mut Context,
    args: Args,
    compute: impl FnOnce(Option<&[u8]>) -> Result<(R, String), Error>,
) -> Result<R, Error> {
    let (limits, due_ms) = (cx.limits(), cx.due_ms());
    let field = args.at(2);
    let result = cx.change(args.at(1), true, |hash: &mut Hash, _| {
        let computed = match hash.view().get(field, due_ms) {
            Some(old) => old.with(|text| compute(Some(text))),
            None => compute(None),
        };
        match computed {
            Ok((result, text)) => {
                hash.set(field, text.as_bytes(), Lifetime::Keep, due_ms, &limits);
                (Ok(result), true)
            }
            Err(error) => (Err(error), false),
        }
    })?;
    result.expect("a hash is made where there is none")
}
