//! EVAL, EVALSHA and their read-only forms.

use std::rc::Rc;

use super::reach::sha_of;
use super::run::{Ongoing, What, run};
use crate::base::number::parse_i64;
use crate::client::Args;
use crate::commands::routing::key_ranges;
use crate::commands::{Context, Error};
use crate::script::{Local, flags};

pub fn eval(cx: &mut Context, args: Args) -> Result<(), Error> {
    run_body(cx, args, false)
}

pub fn eval_ro(cx: &mut Context, args: Args) -> Result<(), Error> {
    run_body(cx, args, true)
}

pub fn evalsha(cx: &mut Context, args: Args) -> Result<(), Error> {
    run_known(cx, args, false)
}

pub fn evalsha_ro(cx: &mut Context, args: Args) -> Result<(), Error> {
    run_known(cx, args, true)
}

/// The keys and the other arguments, from argument 2, which says how many keys there are.
pub fn split_keys(args: Args, not_a_number: Error) -> Result<(Args, Args), Error> {
    let count = parse_i64(args.at(2)).ok_or(not_a_number)?;
    if count > args.len() as i64 - 3 {
        return Err(Error::TOO_MANY_KEYS);
    }
    let count = usize::try_from(count).map_err(|_| Error::NEGATIVE_KEYS)?;
    Ok((args.from(3).first(count), args.from(3 + count)))
}

fn run_body(cx: &mut Context, args: Args, read_only: bool) -> Result<(), Error> {
    let (keys, argv) = split_keys(args, Error::NOT_AN_INTEGER)?;
    let script = prepare(cx, args.at(1))?;
    run_script(cx, args, &script, keys, argv, read_only)
}

/// The script of a body, compiled and known to all from now on.
pub fn prepare(cx: &mut Context, body: &[u8]) -> Result<Rc<Local>, Error> {
    let registry = cx.registry;
    let engine = cx.scripts.as_mut().expect("a script runs inside no other");
    let script = engine.add(body, &cx.shared.scripts, &|name| key_ranges(registry, name));
    script.map_err(|why| Error::showing(&[b"ERR ", &why]))
}

fn run_known(cx: &mut Context, args: Args, read_only: bool) -> Result<(), Error> {
    let sha = sha_of(args).ok_or(Error::NO_SCRIPT)?;
    let (keys, argv) = split_keys(args, Error::NOT_AN_INTEGER)?;
    let engine = cx.scripts.as_mut().expect("a script runs inside no other");
    let registry = cx.registry;
    let find_keys = |name: &[u8]| key_ranges(registry, name);
    let script = engine.find(&sha, &cx.shared.scripts, &find_keys).ok_or(Error::NO_SCRIPT)?;
    run_script(cx, args, &script, keys, argv, read_only)
}

fn run_script(
    cx: &mut Context,
    args: Args,
    local: &Rc<Local>,
    keys: Args,
    argv: Args,
    read_only: bool,
) -> Result<(), Error> {
    let script = &local.script;
    let declared = script.flags & flags::UNDECLARED == 0;
    let no_writes = script.flags & flags::NO_WRITES != 0;
    if read_only && declared && !no_writes {
        return Err(Error::SCRIPT_WRITES);
    }
    let ongoing = Ongoing::new(cx, What::Script(local.clone()), script.flags, read_only || no_writes);
    run(cx, args, ongoing, |engine, host| Ok(engine.eval(local, keys, argv, host)))
}
