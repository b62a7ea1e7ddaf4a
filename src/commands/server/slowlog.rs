//! SLOWLOG: the commands that took longer than `slowlog-log-slower-than`. They are noted by `commands::slow`.

use std::sync::MutexGuard;

use crate::base::number::parse_i64;
use crate::client::Args;
use crate::commands::{Context, Error};
use crate::shared::SlowLog;

/// Entries that GET shows unless told otherwise.
const SHOWN: usize = 10;

fn lock<'a>(cx: &Context<'a>) -> MutexGuard<'a, SlowLog> {
    cx.shared.slow_log.lock().expect("nobody panics holding the slow log")
}

pub fn get(cx: &mut Context, args: Args) -> Result<(), Error> {
    let count = match args.get(2) {
        _ if args.len() > 3 => return Err(Error::subcommand_arity(args.at(1), "SLOWLOG")),
        None => SHOWN,
        Some(text) => match parse_i64(text) {
            Some(-1) => usize::MAX,
            Some(count) if count >= 0 => count as usize,
            _ => return Err(Error::new("ERR count should be greater than or equal to -1")),
        },
    };
    let log = lock(cx);
    cx.out.array(count.min(log.entries.len()));
    for entry in log.entries.iter().take(count) {
        cx.out.array(6);
        cx.out.integer(entry.id as i64);
        cx.out.integer(entry.unix_s);
        cx.out.integer(entry.duration_us as i64);
        cx.out.array(entry.args.len());
        entry.args.iter().for_each(|arg| cx.out.bulk(arg));
        cx.out.bulk(entry.addr.as_bytes());
        cx.out.bulk(&entry.name);
    }
    Ok(())
}

pub fn len(cx: &mut Context, _args: Args) -> Result<(), Error> {
    let len = lock(cx).entries.len();
    cx.out.integer(len as i64);
    Ok(())
}

pub fn reset(cx: &mut Context, _args: Args) -> Result<(), Error> {
    lock(cx).entries.clear();
    cx.out.ok();
    Ok(())
}
