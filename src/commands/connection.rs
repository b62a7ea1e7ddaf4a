//! The client's own connection: PING, SELECT, HELLO, AUTH, CLIENT and their family.

use super::{Command, Context, Error, flags};
use crate::base::number::parse_i64;
use crate::client::Args;

#[rustfmt::skip]
pub const TABLE: &[Command] = &[
    Command::new("ECHO", "message", echo).arity(2).always().fast().about("Returns its argument."),
    Command::new("PING", "[message]", ping).arity(-1).fast()
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
        .about("Answers PONG, or with the message."),
    Command::new("SELECT", "index", select).arity(2).flag(flags::ALLOW_BUSY).always().fast()
        .about("Changes the connection's database."),
];

fn ping(cx: &mut Context, args: Args) -> Result<(), Error> {
    match args.len() {
        1 => cx.out.simple("PONG"),
        2 => cx.out.bulk(args.at(1)),
        _ => return Err(Error::arity("ping")),
    }
    Ok(())
}

fn echo(cx: &mut Context, args: Args) -> Result<(), Error> {
    cx.out.bulk(args.at(1));
    Ok(())
}

/// The database that `text` names.
pub fn database(cx: &Context, text: &[u8]) -> Result<u16, Error> {
    let index = parse_i64(text).ok_or(Error::NOT_AN_INTEGER)?;
    let index = i32::try_from(index).map_err(|_| Error::INT_OUT_OF_RANGE)?;
    u16::try_from(index)
        .ok()
        .filter(|&db| (db as i64) < cx.config.databases as i64)
        .ok_or(Error::DB_OUT_OF_RANGE)
}

fn select(cx: &mut Context, args: Args) -> Result<(), Error> {
    cx.session.db = database(cx, args.at(1))?;
    if let Some(connection) = cx.connection.as_deref() {
        connection.card.db.set(cx.session.db as u64);
    }
    cx.out.ok();
    Ok(())
}
