//! SCRIPT and its subcommands, and FUNCTION KILL.

use std::sync::atomic::Ordering::*;

use super::eval::prepare;
use super::reach::sha_of;
use crate::client::Args;
use crate::commands::{Context, Error, help as lines};

pub fn load(cx: &mut Context, args: Args) -> Result<(), Error> {
    let script = prepare(cx, args.at(2))?;
    cx.out.bulk(&script.script.sha);
    Ok(())
}

pub fn exists(cx: &mut Context, args: Args) -> Result<(), Error> {
    cx.out.array(args.len() - 2);
    for at in 2..args.len() {
        let known = sha_of(args.from(at - 1)).is_some_and(|sha| cx.shared.scripts.find(&sha).is_some());
        cx.out.integer(known as i64);
    }
    Ok(())
}

pub fn show(cx: &mut Context, args: Args) -> Result<(), Error> {
    let script = sha_of(args.from(1)).and_then(|sha| cx.shared.scripts.find(&sha));
    cx.out.bulk(&script.ok_or(Error::NO_SCRIPT)?.body);
    Ok(())
}

pub fn flush(cx: &mut Context, args: Args) -> Result<(), Error> {
    if args.len() > 3 || (args.len() == 3 && !args.is(2, "SYNC") && !args.is(2, "ASYNC")) {
        return Err(Error::SCRIPT_FLUSH_OPTION);
    }
    cx.shared.scripts.flush();
    cx.out.ok();
    Ok(())
}

/// There is no debugger: its modes other than NO are refused.
pub fn debug(cx: &mut Context, args: Args) -> Result<(), Error> {
    match () {
        () if args.is(2, "NO") => cx.out.ok(),
        () if args.is(2, "YES") || args.is(2, "SYNC") => return Err(Error::NO_DEBUGGER),
        () => return Err(Error::SCRIPT_DEBUG_MODE),
    }
    Ok(())
}

pub fn kill(cx: &mut Context, _args: Args) -> Result<(), Error> {
    end_running(cx, false)
}

pub fn function_kill(cx: &mut Context, _args: Args) -> Result<(), Error> {
    end_running(cx, true)
}

fn end_running(cx: &mut Context, function: bool) -> Result<(), Error> {
    let running = cx.shared.scripts.running().ok_or(Error::NOT_BUSY)?;
    if running.function.is_some() != function {
        return Err(Error::busy(&running));
    }
    if running.wrote.load(Acquire) {
        return Err(Error::UNKILLABLE);
    }
    running.kill.store(true, Release);
    cx.out.ok();
    Ok(())
}

pub fn help(cx: &mut Context, _args: Args) -> Result<(), Error> {
    const LINES: &[&str] = &[
        "DEBUG (YES|SYNC|NO)",
        "    Set the debug mode for subsequent scripts executed.",
        "EXISTS <sha1> [<sha1> ...]",
        "    Return information about the existence of the scripts in the script cache.",
        "FLUSH [ASYNC|SYNC]",
        "    Flush the Lua scripts cache. Very dangerous on replicas.",
        "    When called without the optional mode argument, the behavior is determined by the",
        "    lazyfree-lazy-user-flush configuration directive. Valid modes are:",
        "    * ASYNC: Asynchronously flush the scripts cache.",
        "    * SYNC: Synchronously flush the scripts cache.",
        "KILL",
        "    Kill the currently executing Lua script.",
        "LOAD <script>",
        "    Load a script into the scripts cache without executing it.",
        "SHOW <sha1>",
        "    Return the text of a script in the script cache.",
        "HELP",
        "    Prints this help.",
    ];
    lines::write(cx, "SCRIPT", LINES);
    Ok(())
}
