//! CLIENT TRACKING, CACHING, TRACKINGINFO, GETREDIR: which keys the server remembers for a client that caches.
//! Absent: the tables of keys (`shard::tracking`), the messages (`pubsub::Invalidations`, `server::tracking`).

#[cfg(test)]
mod tests;

use std::sync::atomic::Ordering::Relaxed;

use super::super::error::shown;
use super::super::{Context, Error};
use crate::base::number::parse_i64;
use crate::client::{Args, Tracking, flag};

const UNKNOWN_REDIRECT: &str = "ERR The client ID you want redirect to does not exist";
const TWO_REDIRECTS: &str = "ERR A client can only redirect to a single other client";
const PREFIX_WITHOUT_BCAST: &str = "ERR PREFIX option requires BCAST mode to be enabled";
const OTHER_BCAST: &str = "ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it with a different mode.";
const OPTIONS_IN_BCAST: &str = "ERR OPTIN and OPTOUT are not compatible with BCAST";
const BOTH_OPTIONS: &str = "ERR You can't specify both OPTIN mode and OPTOUT mode";
const OTHER_OPTION: &str = "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling it with a different mode.";
const CACHING_WITHOUT_TRACKING: &str = "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled";
const CACHING_YES: &str = "ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.";
const CACHING_NO: &str = "ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.";

/// What CLIENT TRACKING ON is told.
struct Options<'a> {
    how: Tracking,
    /// 0: to nobody else.
    redirect: u64,
    prefixes: Vec<&'a [u8]>,
}

fn parse<'a>(cx: &Context, args: Args<'a>) -> Result<Options<'a>, Error> {
    let mut options = Options { how: Tracking::ON, redirect: 0, prefixes: Vec::new() };
    let mut at = 3;
    while at < args.len() {
        let more = at + 1 < args.len();
        match () {
            () if args.is(at, "redirect") && more => {
                at += 1;
                if options.redirect != 0 {
                    return Err(Error::new(TWO_REDIRECTS));
                }
                let id = parse_i64(args.at(at)).ok_or(Error::NOT_AN_INTEGER)?;
                let known = u64::try_from(id).ok().filter(|&id| cx.shared.clients.get(id).is_some());
                options.redirect = known.ok_or(Error::new(UNKNOWN_REDIRECT))?;
            }
            () if args.is(at, "prefix") && more => {
                at += 1;
                options.prefixes.push(args.at(at));
            }
            () if args.is(at, "bcast") => options.how = options.how.with(Tracking::BCAST),
            () if args.is(at, "optin") => options.how = options.how.with(Tracking::OPTIN),
            () if args.is(at, "optout") => options.how = options.how.with(Tracking::OPTOUT),
            () if args.is(at, "noloop") => options.how = options.how.with(Tracking::NOLOOP),
            () => return Err(Error::SYNTAX),
        }
        at += 1;
    }
    Ok(options)
}

/// Whether the options fit each other, and what is in force.
fn check(cx: &mut Context, options: &Options) -> Result<(), Error> {
    let (old, new) = (cx.session.tracking, options.how);
    let bcast = new.has(Tracking::BCAST);
    let (optin, optout) = (new.has(Tracking::OPTIN), new.has(Tracking::OPTOUT));
    let switched = (optin && old.has(Tracking::OPTOUT)) || (optout && old.has(Tracking::OPTIN));
    let refusals = [
        (!bcast && !options.prefixes.is_empty(), PREFIX_WITHOUT_BCAST),
        (old.has(Tracking::ON) && old.has(Tracking::BCAST) != bcast, OTHER_BCAST),
        (bcast && (optin || optout), OPTIONS_IN_BCAST),
        (optin && optout, BOTH_OPTIONS),
        (switched, OTHER_OPTION),
    ];
    if let Some((_, text)) = refusals.iter().find(|(refused, _)| *refused) {
        return Err(Error::new(*text));
    }
    let id = cx.session.id;
    let Some(overlap) = cx.books().trackers.overlap(id, &options.prefixes) else { return Ok(()) };
    let with: &[u8] = if overlap.is_new { b"another provided prefix" } else { b"an existing prefix" };
    let (prefix, other) = (shown(&overlap.prefix, usize::MAX), shown(&overlap.other, usize::MAX));
    let rest = b"'. Prefixes for a single client must not overlap.";
    Err(Error::showing(&[b"ERR Prefix '", prefix, b"' overlaps with ", with, b" '", other, rest]))
}

pub fn tracking(cx: &mut Context, args: Args) -> Result<(), Error> {
    let mut options = parse(cx, args)?;
    match () {
        () if args.is(2, "on") => {
            check(cx, &options)?;
            if options.how.has(Tracking::BCAST) && options.prefixes.is_empty() {
                options.prefixes.push(b"");
            }
            // What CLIENT CACHING said still holds.
            let caching = cx.session.tracking.has(Tracking::CACHING);
            set(cx, if caching { options.how.with(Tracking::CACHING) } else { options.how });
            let card = cx.card();
            cx.books().trackers.enable(card, options.how, options.redirect, &options.prefixes);
        }
        () if args.is(2, "off") => disable(cx),
        () => return Err(Error::SYNTAX),
    }
    cx.out.ok();
    Ok(())
}

/// The client's keys are not tracked any more, if they were (CLIENT TRACKING OFF, RESET).
pub fn disable(cx: &mut Context) {
    let id = cx.session.id;
    set(cx, Tracking::OFF);
    cx.books().trackers.disable(id);
}

/// The session and the card learn how the client's keys are tracked.
fn set(cx: &mut Context, how: Tracking) {
    cx.session.tracking = how;
    let card = cx.card();
    card.set_flag(flag::TRACKING, how.has(Tracking::ON));
    card.set_flag(flag::BCAST, how.has(Tracking::BCAST));
}

pub fn caching(cx: &mut Context, args: Args) -> Result<(), Error> {
    let how = cx.session.tracking;
    if !how.has(Tracking::ON) {
        return Err(Error::new(CACHING_WITHOUT_TRACKING));
    }
    let (mode, refusal) = match () {
        () if args.is(2, "yes") => (Tracking::OPTIN, CACHING_YES),
        () if args.is(2, "no") => (Tracking::OPTOUT, CACHING_NO),
        () => return Err(Error::SYNTAX),
    };
    if !how.has(mode) {
        return Err(Error::new(refusal));
    }
    cx.session.tracking = how.with(Tracking::CACHING);
    cx.out.ok();
    Ok(())
}

/// To whom the client's invalidations go: 0 is itself, -1 nobody, since nothing is tracked.
fn redirect(cx: &mut Context) -> i64 {
    cx.card().redirect.load(Relaxed)
}

pub fn getredir(cx: &mut Context, _args: Args) -> Result<(), Error> {
    let redirect = redirect(cx);
    cx.out.integer(redirect);
    Ok(())
}

pub fn trackinginfo(cx: &mut Context, _args: Args) -> Result<(), Error> {
    let (id, how, redirect) = (cx.session.id, cx.session.tracking, redirect(cx));
    let exception = how.has(Tracking::CACHING);
    let words = [
        (!how.has(Tracking::ON), "off"),
        (how.has(Tracking::ON), "on"),
        (how.has(Tracking::BCAST), "bcast"),
        (how.has(Tracking::OPTIN), "optin"),
        (how.has(Tracking::OPTIN) && exception, "caching-yes"),
        (how.has(Tracking::OPTOUT), "optout"),
        (how.has(Tracking::OPTOUT) && exception, "caching-no"),
        (how.has(Tracking::NOLOOP), "noloop"),
        (cx.card().redirect_broken.load(Relaxed), "broken_redirect"),
    ];
    let words: Vec<&str> = words.iter().filter(|(said, _)| *said).map(|(_, word)| *word).collect();
    let prefixes = cx.books().trackers.prefixes_of(id);
    let out = &mut cx.out;
    out.map(3);
    out.bulk(b"flags");
    out.set(words.len());
    words.iter().for_each(|word| out.bulk(word.as_bytes()));
    out.bulk(b"redirect");
    out.integer(redirect);
    out.bulk(b"prefixes");
    out.array(prefixes.len());
    prefixes.iter().for_each(|prefix| out.bulk(prefix));
    Ok(())
}
