//! CLIENT: names, pauses, kills, and what a connection asks for itself.

use super::super::error::shown;
use super::super::{Context, Error, Signal};
use super::filter::Filter;
use crate::base::number::{parse_i64, until_nul};
use crate::client::{Answer, Args, Card, ReplyMode, flag};

/// Names are printable ASCII without blanks, so that CLIENT LIST stays readable by machines. As in Redis, nobody looks
/// behind a byte 0; CLIENT LIST ends there, too.
pub fn check_text(text: &[u8]) -> Result<(), ()> {
    if until_nul(text).iter().all(|byte| (b'!'..=b'~').contains(byte)) { Ok(()) } else { Err(()) }
}

fn cannot_contain(what: &[u8]) -> Error {
    Error::showing(&[b"ERR ", what, b" cannot contain spaces, newlines or special characters."])
}

fn on_or_off(args: Args) -> Result<bool, Error> {
    match () {
        () if args.is(2, "on") => Ok(true),
        () if args.is(2, "off") => Ok(false),
        () => Err(Error::SYNTAX),
    }
}

pub fn id(cx: &mut Context, _args: Args) -> Result<(), Error> {
    cx.out.integer(cx.session.id as i64);
    Ok(())
}

pub fn getname(cx: &mut Context, _args: Args) -> Result<(), Error> {
    let card = cx.card();
    let names = card.names();
    if names.name.is_empty() {
        cx.out.null()
    } else {
        cx.out.bulk(&names.name)
    }
    Ok(())
}

pub fn setname(cx: &mut Context, args: Args) -> Result<(), Error> {
    check_text(args.at(2)).map_err(|()| cannot_contain(b"Client names"))?;
    cx.card().names().name = args.at(2).to_vec();
    cx.out.ok();
    Ok(())
}

pub fn setinfo(cx: &mut Context, args: Args) -> Result<(), Error> {
    let (option, value) = (args.at(2), args.at(3));
    let card = cx.card();
    let option = shown(option, usize::MAX);
    let refused = check_text(value).map_err(|()| cannot_contain(option));
    match () {
        () if args.is(2, "lib-name") => {
            refused?;
            card.names().library_name = value.to_vec();
        }
        () if args.is(2, "lib-ver") => {
            refused?;
            card.names().library_version = value.to_vec();
        }
        () => return Err(Error::showing(&[b"ERR Unrecognized option '", option, b"'"])),
    }
    cx.out.ok();
    Ok(())
}

pub fn no_evict(cx: &mut Context, args: Args) -> Result<(), Error> {
    let on = on_or_off(args)?;
    cx.card().set_flag(flag::NO_EVICT, on);
    cx.out.ok();
    Ok(())
}

pub fn no_touch(cx: &mut Context, args: Args) -> Result<(), Error> {
    let on = on_or_off(args)?;
    cx.session.no_touch = on;
    cx.card().set_flag(flag::NO_TOUCH, on);
    cx.out.ok();
    Ok(())
}

pub fn reply(cx: &mut Context, args: Args) -> Result<(), Error> {
    let mode = &mut cx.home().reply_mode;
    match () {
        () if args.is(2, "on") => {
            *mode = ReplyMode::On;
            cx.out.ok();
        }
        () if args.is(2, "off") => *mode = ReplyMode::Off,
        () if args.is(2, "skip") && *mode == ReplyMode::Off => {}
        () if args.is(2, "skip") => *mode = ReplyMode::SkipNext,
        () => return Err(Error::SYNTAX),
    }
    Ok(())
}

/// Releases a client from what its last command waits for.
pub fn unblock(cx: &mut Context, args: Args) -> Result<(), Error> {
    if args.len() > 4 {
        return Err(Error::subcommand_arity(args.at(1), "CLIENT"));
    }
    if args.len() == 4 && !args.is(3, "timeout") && !args.is(3, "error") {
        return Err(Error::new("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR"));
    }
    let id = parse_i64(args.at(2)).ok_or(Error::NOT_AN_INTEGER)?;
    let card = u64::try_from(id).ok().and_then(|id| cx.shared.clients.get(id));
    let wait = card.and_then(|card| card.wait.lock().expect("nobody panics holding a wait").clone());
    let claimed = wait.filter(|wait| wait.claim_patiently());
    cx.out.integer(claimed.is_some() as i64);
    if let Some(wait) = claimed {
        wait.finish_at(cx.shared.exchange.place());
        let answer = if args.len() == 4 && args.is(3, "error") {
            Answer::Error(Error::UNBLOCKED.0)
        } else {
            Answer::TimeOut
        };
        cx.signals.push(Signal::Served { wait, answer });
    }
    Ok(())
}

pub fn pause(cx: &mut Context, args: Args) -> Result<(), Error> {
    if args.len() > 4 {
        return Err(Error::subcommand_arity(args.at(1), "CLIENT"));
    }
    let all = match args.len() {
        3 => true,
        _ if args.is(3, "all") => true,
        _ if args.is(3, "write") => false,
        _ => return Err(Error::new("ERR CLIENT PAUSE mode must be WRITE or ALL")),
    };
    let time_ms = parse_i64(args.at(2)).ok_or(Error::new("ERR timeout is not an integer or out of range"))?;
    if time_ms < 0 {
        return Err(Error::new("ERR timeout is negative"));
    }
    let until_ms = time_ms.checked_add(cx.now_ms()).ok_or(Error::new("ERR timeout is out of range"))?;
    cx.shared.pause_clients(until_ms, all, cx.now_ms());
    cx.out.ok();
    Ok(())
}

pub fn unpause(cx: &mut Context, _args: Args) -> Result<(), Error> {
    cx.shared.unpause_clients();
    cx.signals.push(Signal::Resume);
    cx.out.ok();
    Ok(())
}

pub fn kill(cx: &mut Context, args: Args) -> Result<(), Error> {
    let (me, now_ms) = (cx.session.id, cx.now_ms());
    if args.len() == 3 {
        let wanted = args.at(2);
        let found = cx.shared.clients.all().into_iter().find(|card| card.addr.as_bytes() == wanted);
        close(cx, &*found.ok_or(Error::new("ERR No such client"))?);
        cx.out.ok();
        return Ok(());
    }
    let filter = Filter::parse(
        args.from(2),
        &Error::new("ERR client-id should be greater than 0"),
        cx.config.databases as u64,
    )?;
    let skip_me = filter.skip_me.unwrap_or(true);
    let mut killed = 0;
    for card in cx.shared.clients.all() {
        if filter.fits(&card, now_ms) && !(skip_me && card.id == me) {
            close(cx, &card);
            killed += 1;
        }
    }
    cx.out.integer(killed);
    Ok(())
}

/// Closes a connection; the one that asks for it gets its reply first.
fn close(cx: &mut Context, card: &Card) {
    if card.id == cx.session.id {
        return cx.home().close_after_reply();
    }
    cx.shared.dismiss(card);
    cx.signals.push(Signal::Kill(card.connection()));
}
