//! How a connection begins: HELLO, AUTH; and begins anew: RESET.

use std::sync::atomic::Ordering::Relaxed;

use super::super::error::shown;
use super::super::{Context, Error, pubsub, transaction};
use super::client::check_text;
use super::tracking;
use crate::base::number::parse_i64;
use crate::client::{Args, ReplyMode, flag};

/// What HELLO says of the server: clients choose by it what they may use.
const NAME: &str = "redis";
const VERSION: &str = "8.0.0";

const NO_PASSWORD: &str = "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?";
const NAME_REFUSED: &str = "ERR Client names cannot contain spaces, newlines or special characters.";

pub fn auth(cx: &mut Context, args: Args) -> Result<(), Error> {
    let (user, password): (&[u8], &[u8]) = match args.len() {
        2 if cx.config.requirepass.is_none() => return Err(Error::new(NO_PASSWORD)),
        2 => (b"default", args.at(1)),
        3 => (args.at(1), args.at(2)),
        _ => return Err(Error::SYNTAX),
    };
    authenticate(cx, user, password)?;
    cx.out.ok();
    Ok(())
}

/// Lets the connection in as `user`, if the password is right. There is only the default user.
fn authenticate(cx: &mut Context, user: &[u8], password: &[u8]) -> Result<(), Error> {
    let right = match &cx.config.requirepass {
        Some(secret) => same(secret, password),
        None => true,
    };
    if !right || user != b"default" {
        cx.shared.logins_denied.fetch_add(1, Relaxed);
        return Err(Error::WRONG_PASS);
    }
    let connection = cx.home();
    connection.authenticated = true;
    connection.card.names().user = "default".into();
    Ok(())
}

/// Whether two secrets are equal, in a time that tells nothing about where they differ.
fn same(secret: &[u8], given: &[u8]) -> bool {
    let mut difference = secret.len() ^ given.len();
    for (at, byte) in given.iter().enumerate() {
        let wanted = if secret.is_empty() { 0 } else { secret[at % secret.len()] };
        difference |= std::hint::black_box(byte ^ wanted) as usize;
    }
    difference == 0
}

pub fn hello(cx: &mut Context, args: Args) -> Result<(), Error> {
    let version = args.get(1).map(|text| {
        parse_i64(text).ok_or(Error::new("ERR Protocol version is not an integer or out of range"))
    });
    let version = version.transpose()?;
    if version.is_some_and(|version| !(2..=3).contains(&version)) {
        return Err(Error::new("NOPROTO unsupported protocol version"));
    }
    let (mut credentials, mut name) = (None, None);
    let mut at = 2;
    while at < args.len() {
        if args.is(at, "auth") && at + 2 < args.len() {
            credentials = Some((args.at(at + 1), args.at(at + 2)));
            at += 3;
        } else if args.is(at, "setname") && at + 1 < args.len() {
            check_text(args.at(at + 1)).map_err(|()| Error::new(NAME_REFUSED))?;
            name = Some(args.at(at + 1));
            at += 2;
        } else {
            let option = shown(args.at(at), usize::MAX);
            return Err(Error::showing(&[b"ERR Syntax error in HELLO option '", option, b"'"]));
        }
    }
    if let Some((user, password)) = credentials {
        authenticate(cx, user, password)?;
    }
    if !cx.home().authenticated {
        return Err(Error::NOAUTH_HELLO);
    }
    if let Some(version) = version {
        set_protocol(cx, version == 3);
    }
    if let Some(name) = name {
        cx.card().names().name = name.to_vec();
    }
    introduce(cx);
    Ok(())
}

fn set_protocol(cx: &mut Context, resp3: bool) {
    cx.session.resp3 = resp3;
    cx.out.resp3 = resp3;
    cx.card().resp.set(if resp3 { 3 } else { 2 });
}

fn introduce(cx: &mut Context) {
    let (id, resp3) = (cx.session.id, cx.session.resp3);
    let out = &mut cx.out;
    out.map(7);
    for (field, text) in [("server", NAME), ("version", VERSION)] {
        out.bulk(field.as_bytes());
        out.bulk(text.as_bytes());
    }
    for (field, number) in [("proto", 2 + resp3 as i64), ("id", id as i64)] {
        out.bulk(field.as_bytes());
        out.integer(number);
    }
    for (field, text) in [("mode", "standalone"), ("role", "master")] {
        out.bulk(field.as_bytes());
        out.bulk(text.as_bytes());
    }
    out.bulk(b"modules");
    out.array(0);
}

/// Everything is as in a new connection, but for its number and the library's name.
pub fn reset(cx: &mut Context, _args: Args) -> Result<(), Error> {
    transaction::end(cx);
    tracking::disable(cx);
    pubsub::leave(cx);
    set_protocol(cx, false);
    cx.session.db = 0;
    cx.session.no_touch = false;
    let authenticated = cx.config.requirepass.is_none();
    let connection = cx.home();
    connection.authenticated = authenticated;
    connection.reply_mode = ReplyMode::On;
    let (id, card) = (connection.id, connection.card.clone());
    card.db.set(0);
    if card.has(flag::MONITOR) {
        cx.shared.stop_monitoring(id);
    }
    for bit in [flag::MONITOR, flag::NO_EVICT, flag::NO_TOUCH] {
        card.set_flag(bit, false);
    }
    let mut names = card.names();
    names.name.clear();
    names.user = "default".into();
    cx.out.simple("RESET");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::same;

    #[test]
    fn secrets_are_compared_whole() {
        assert!(same(b"pass", b"pass") && same(b"", b""));
        for (secret, given) in [("pass", "passpass"), ("pass", "pas"), ("pass", ""), ("", "x"), ("a", "b")] {
            assert!(!same(secret.as_bytes(), given.as_bytes()), "{secret} {given}");
        }
    }
}
