//! The client's own connection: PING, SELECT, HELLO, AUTH, RESET, QUIT, and CLIENT.
//! Absent: what an unauthenticated client may run (`server::dispatch`), closing (`server::run`).

mod client;
mod filter;
mod hello;
mod list;
#[cfg(test)]
mod tests;
mod tracking;

use super::help::{self, container};
use super::{Command, Context, Error, flags};
use crate::base::number::parse_i64;
use crate::client::Args;

/// What AUTH, HELLO, QUIT and RESET have in common.
const GREETING: u32 = flags::NOSCRIPT | flags::NO_AUTH | flags::ALLOW_BUSY;
const CLIENT: u32 = flags::NOSCRIPT | flags::ALLOW_BUSY;
const LISTED: &[&str] = &["nondeterministic_output"];

#[rustfmt::skip]
pub const TABLE: &[Command] = &[
    Command::new("AUTH", "[username] password", hello::auth).arity(-2).flag(GREETING).always().fast().home()
        .about("Proves who the client is.").complexity("O(N), N being the number of passwords of the user"),
    Command::new("CLIENT", "", container).arity(-2).container().since("2.4.0").about("Holds the commands about clients' connections."),
    Command::new("CLIENT CACHING", "YES | NO", tracking::caching).arity(3).flag(CLIENT).always().home().since("6.0.0")
        .about("Says whether the keys of the next command are tracked, where that is to be said."),
    Command::new("CLIENT GETNAME", "", client::getname).arity(2).flag(CLIENT).always().home().since("2.6.9")
        .about("Returns the name of the connection."),
    Command::new("CLIENT GETREDIR", "", tracking::getredir).arity(2).flag(CLIENT).always().home().since("6.0.0")
        .about("Returns the client that invalidation messages of this connection go to; -1 without tracking."),
    help::row("CLIENT HELP", "5.0.0"),
    Command::new("CLIENT ID", "", client::id).arity(2).flag(CLIENT).always().since("5.0.0").about("Returns the number of the connection."),
    Command::new("CLIENT INFO", "", list::info).arity(2).flag(flags::NOSCRIPT).always().home().since("6.2.0").tips(LISTED)
        .about("Describes the connection in one line."),
    Command::new("CLIENT KILL", "ip:port | [TYPE <NORMAL | MASTER | REPLICA | PUBSUB>] [ID client-id [client-id ...]] [USER username] [ADDR addr] [LADDR laddr] [SKIPME <YES | NO>] [MAXAGE maxage] [NAME name] [IDLE idle] [FLAGS flags] [LIB-NAME lib-name] [LIB-VER lib-ver] [DB db] [IP ip] [NOT-TYPE <NORMAL | MASTER | REPLICA | PUBSUB>] [NOT-ID not-client-id [not-client-id ...]] [NOT-USER not-username] [NOT-ADDR not-addr] [NOT-LADDR not-laddr] [NOT-NAME not-name] [NOT-FLAGS not-flags] [NOT-LIB-NAME not-lib-name] [NOT-LIB-VER not-lib-ver] [NOT-DB not-db] [NOT-IP not-ip]", client::kill)
        .arity(-3).admin().always().home().since("2.4.0").about("Closes connections.").complexity("O(N), N being the number of clients"),
    Command::new("CLIENT LIST", "[TYPE <NORMAL | MASTER | REPLICA | PUBSUB>] [ID client-id [client-id ...]] [USER username] [ADDR addr] [LADDR laddr] [SKIPME <YES | NO>] [MAXAGE maxage] [NAME name] [IDLE idle] [FLAGS flags] [LIB-NAME lib-name] [LIB-VER lib-ver] [DB db] [IP ip] [NOT-TYPE <NORMAL | MASTER | REPLICA | PUBSUB>] [NOT-ID not-client-id [not-client-id ...]] [NOT-USER not-username] [NOT-ADDR not-addr] [NOT-LADDR not-laddr] [NOT-NAME not-name] [NOT-FLAGS not-flags] [NOT-LIB-NAME not-lib-name] [NOT-LIB-VER not-lib-ver] [NOT-DB not-db] [NOT-IP not-ip]", list::list)
        .arity(-2).admin().always().home().since("2.4.0").tips(LISTED)
        .about("Describes connections, one line each.").complexity("O(N), N being the number of clients"),
    Command::new("CLIENT NO-EVICT", "ON | OFF", client::no_evict).arity(3).admin().flag(flags::ALLOW_BUSY).always().home().since("7.0.0")
        .about("Spares the connection when clients are closed to free memory."),
    Command::new("CLIENT NO-TOUCH", "ON | OFF", client::no_touch).arity(3).flag(CLIENT).always().home().since("7.2.0")
        .about("Lets the connection's commands leave the access clocks of keys alone."),
    Command::new("CLIENT PAUSE", "timeout [WRITE | ALL]", client::pause).arity(-3).admin().always().home().since("3.0.0")
        .about("Holds back the commands of all clients, or those that write, for so many milliseconds."),
    Command::new("CLIENT REPLY", "ON | OFF | SKIP", client::reply).arity(3).flag(CLIENT | flags::NO_MULTI).always().home().since("3.2.0")
        .about("Chooses whether commands are answered."),
    Command::new("CLIENT SETINFO", "LIB-NAME libname | LIB-VER libver", client::setinfo).arity(4).flag(CLIENT).always().home().since("7.2.0")
        .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]).about("Notes which library the client uses."),
    Command::new("CLIENT SETNAME", "connection-name", client::setname).arity(3).flag(CLIENT).always().home().since("2.6.9")
        .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]).about("Names the connection."),
    Command::new("CLIENT TRACKING", "ON | OFF [REDIRECT client-id] [PREFIX prefix [PREFIX prefix ...]] [BCAST] [OPTIN] [OPTOUT] [NOLOOP]", tracking::tracking)
        .arity(-3).flag(flags::NOSCRIPT).always().settles().since("6.0.0").complexity("O(1); some options take more")
        .about("Tells the connection, or another one, when keys change that it read."),
    Command::new("CLIENT TRACKINGINFO", "", tracking::trackinginfo).arity(2).flag(flags::NOSCRIPT).always().settles().since("6.2.0")
        .about("Describes how the connection's keys are tracked."),
    Command::new("CLIENT UNBLOCK", "client-id [TIMEOUT | ERROR]", client::unblock).arity(-3).admin().always().since("5.0.0")
        .about("Ends the wait of a client in a blocking command.").complexity("O(log N), N being the number of clients"),
    Command::new("CLIENT UNPAUSE", "", client::unpause).arity(2).admin().always().home().since("6.2.0")
        .about("Ends CLIENT PAUSE.").complexity("O(N), N being the number of clients held back"),
    Command::new("ECHO", "message", echo).arity(2).always().fast().about("Returns its argument."),
    Command::new("HELLO", "[protover [AUTH username password] [SETNAME clientname]]", hello::hello).arity(-1).flag(GREETING).always().fast().settles()
        .since("6.0.0").about("Introduces server and client to each other and chooses the version of the protocol."),
    Command::new("PING", "[message]", ping).arity(-1).fast()
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
        .about("Answers PONG, or with the message."),
    Command::new("QUIT", "", quit).arity(-1).flag(GREETING).always().fast().home().unqueued()
        .about("Closes the connection once this is answered."),
    Command::new("RESET", "", hello::reset).arity(1).flag(GREETING).always().fast().subscribes().unqueued().since("6.2.0")
        .about("Puts the connection into the state of a new one."),
    Command::new("SELECT", "index", select).arity(2).flag(flags::ALLOW_BUSY).always().fast()
        .about("Changes the connection's database."),
];

fn ping(cx: &mut Context, args: Args) -> Result<(), Error> {
    match args.len() {
        1 | 2 if cx.session.subscribed && !cx.session.resp3 => {
            cx.out.array(2);
            cx.out.bulk(b"pong");
            cx.out.bulk(args.get(1).unwrap_or_default());
        }
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

fn quit(cx: &mut Context, _args: Args) -> Result<(), Error> {
    cx.home().close_after_reply();
    cx.out.ok();
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
    // Elsewhere than at home, the batch tells on its return.
    if let Some(connection) = cx.connection.as_deref() {
        connection.card.db.set(cx.session.db as u64);
    }
    cx.out.ok();
    Ok(())
}
