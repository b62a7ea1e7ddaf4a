//! Decides what happens to a command before it runs: one small gate per reason, in Redis' order.
//! In: a parsed command and the state of its connection. Out: run, queue, hold back or refuse.

use std::sync::atomic::Ordering::Acquire;

use super::core::Core;
use crate::client::{Args, Connection, Request, ShardSet, Transaction, flag};
use crate::commands::routing::gives_up_data;
use crate::commands::routing::shards_of;
use crate::commands::script::declared::flags_of;
use crate::commands::script::reach::shards_of_script;
use crate::commands::server::persistence::disk_error;
use crate::commands::{Command, Error, Registry, Route, flags};
use crate::config::Config;
use crate::shared::{Shared, gate};

/// What the gates say.
pub enum Verdict {
    Run,
    /// Inside MULTI: append it to the transaction.
    Queue,
    /// CLIENT PAUSE: try again later.
    Hold,
    /// It is no client of ours that says this: a browser was made to send it.
    Attack,
    Refuse(Error),
}

/// Parameters of a verdict that stay the same for a chunk of commands.
pub struct Gates<'a> {
    pub shared: &'a Shared,
    pub registry: &'a Registry,
    pub config: &'a Config,
    pub now_ms: i64,
    pub gates: u32,
}

impl Gates<'_> {
    /// Passes the gates in order. Only a connection that is not in its quiet state is looked at closely.
    #[inline]
    pub fn judge(&self, connection: &Connection, request: &Request, args: Args) -> Verdict {
        if request.command == Request::UNKNOWN {
            return if is_http(args) { Verdict::Attack } else { Verdict::Refuse(self.unknown(args)) };
        }
        let command = self.registry.row(request.command);
        if !command.arity_fits(args.len()) {
            return Verdict::Refuse(Error::arity(&command.full_name()));
        }
        let quiet = connection.transaction.is_none() && !connection.session.subscribed;
        if connection.authenticated && quiet && self.gates == 0 {
            return Verdict::Run;
        }
        self.judge_closely(connection, command, args)
    }

    fn unknown(&self, args: Args) -> Error {
        self.registry.resolve(args).err().unwrap_or(Error::SYNTAX)
    }

    fn judge_closely(&self, connection: &Connection, command: &Command, args: Args) -> Verdict {
        if let Some(refused) = authentication(connection, command) {
            return refused;
        }
        if let Some(refused) = subscribed(connection, command) {
            return refused;
        }
        if let Some(refused) = inside_multi(connection, command) {
            return refused;
        }
        if let Some(refused) = self.busy(command, args) {
            return refused;
        }
        if self.lacks_memory(connection, command) {
            return Verdict::Refuse(Error::OOM);
        }
        if let Some(error) = self.persistence(connection, command, args) {
            return Verdict::Refuse(error);
        }
        if self.under_monitor(connection, command, args) {
            return Verdict::Refuse(Error::UNDER_MONITOR);
        }
        if self.held_back(connection, command, args) {
            return Verdict::Hold;
        }
        if connection.transaction.is_some() && !command.unqueued { Verdict::Queue } else { Verdict::Run }
    }

    /// Writes are refused after a failed snapshot, where that is configured, and nearly everything while a file is loaded.
    fn persistence(&self, connection: &Connection, command: &Command, args: Args) -> Option<Error> {
        if self.gates & (gate::SAVE_FAILED | gate::LOG_FAILED) != 0
            && (self.writes(connection, command, args, flags::WRITE) || command.name == "PING")
            && let Some(error) = disk_error(self.shared)
        {
            return Some(error);
        }
        let refused = self.gates & gate::LOADING != 0 && self.needs_data(connection, command);
        refused.then_some(Error::LOADING)
    }

    /// Whether a command, or with EXEC one of those that are queued, does not run while a file is loaded.
    fn needs_data(&self, connection: &Connection, command: &Command) -> bool {
        let needs = |command: &Command| !command.is(flags::LOADING);
        let queued = connection.transaction.as_ref().filter(|_| command.name == "EXEC");
        let mut requests = queued.iter().flat_map(|queued| &queued.requests.list);
        needs(command) || requests.any(|request| needs(self.registry.row(request.command)))
    }

    /// Whether a command has one of these flags; EXEC has those of what is queued.
    fn writes(&self, connection: &Connection, command: &Command, args: Args, wanted: u32) -> bool {
        let has = |command, args| flags_of(command, args, &self.shared.scripts) & wanted != 0;
        match &connection.transaction {
            Some(queued) if command.name == "EXEC" => {
                let row = |request: &Request| self.registry.row(request.command);
                let Transaction { buf, requests, .. } = &**queued;
                requests.list.iter().any(|request| has(row(request), requests.args(request, buf)))
            }
            _ => has(command, args),
        }
    }

    /// Who listens with MONITOR counts as a replica, which leaves the keyspace alone.
    fn under_monitor(&self, connection: &Connection, command: &Command, args: Args) -> bool {
        const TOUCHES: u32 = flags::READONLY | flags::WRITE | flags::MAY_REPLICATE;
        self.gates & gate::MONITORED != 0
            && connection.card.has(flag::MONITOR)
            && self.writes(connection, command, args, TOUCHES)
    }

    /// A script takes long: only what may end it, and what concerns the connection alone, goes on.
    fn busy(&self, command: &Command, args: Args) -> Option<Verdict> {
        let allowed = command.is(flags::ALLOW_BUSY) && (command.route != Route::Save || gives_up_data(args));
        if self.gates & gate::BUSY == 0 || allowed {
            return None;
        }
        let running = self.shared.scripts.running()?;
        Some(Verdict::Refuse(Error::busy(&running)))
    }

    /// CLIENT PAUSE holds back everything, or what writes, queued by MULTI or not; EXEC counts as a write if a queued
    /// command does.
    fn held_back(&self, connection: &Connection, command: &Command, args: Args) -> bool {
        if self.gates & gate::PAUSED == 0 {
            return false;
        }
        let pause = &self.shared.pause;
        if pause.until_ms.load(Acquire) <= self.now_ms {
            self.shared.end_pause(self.now_ms);
            return false;
        }
        if pause.all.load(Acquire) {
            return true;
        }
        self.writes(connection, command, args, flags::WRITE | flags::MAY_REPLICATE)
    }
}

/// Whether this is a line of an HTTP request that carries a body, where commands could stand: no command has such a name.
fn is_http(args: Args) -> bool {
    args.is(0, "post") || args.is(0, "host:")
}

fn authentication(connection: &Connection, command: &Command) -> Option<Verdict> {
    (!connection.authenticated && !command.is(flags::NO_AUTH)).then_some(Verdict::Refuse(Error::NOAUTH))
}

/// In RESP2 messages cannot be told from replies, so a client that is subscribed may do little else.
fn subscribed(connection: &Connection, command: &Command) -> Option<Verdict> {
    let allowed = command.subscribes || matches!(command.name, "PING" | "QUIT");
    let refused = connection.session.subscribed && !connection.session.resp3 && !allowed;
    refused.then(|| Verdict::Refuse(Error::subscribed(&command.full_name())))
}

fn inside_multi(connection: &Connection, command: &Command) -> Option<Verdict> {
    connection.transaction.as_ref()?;
    match command.name {
        "WATCH" => Some(Verdict::Refuse(Error::WATCH_INSIDE_MULTI)),
        "MULTI" => Some(Verdict::Refuse(Error::NESTED_MULTI)),
        _ => command.is(flags::NO_MULTI).then_some(Verdict::Refuse(Error::NOT_IN_TRANSACTION)),
    }
}

impl Core {
    /// The shards that a command needs. `alone`: nothing before it in a transaction has written.
    #[inline]
    pub(super) fn shards_for(&self, command: &Command, args: Args, alone: bool) -> ShardSet {
        match command.route {
            Route::Script => shards_of_script(command, args, &self.shared, &self.scripts, alone),
            _ => shards_of(command, args, &self.shared.slots),
        }
    }

    /// Routes every command of a transaction: the shards of all, and whether it must run at home.
    pub fn route_transaction(&self, list: &crate::client::Requests, buf: &[u8]) -> (ShardSet, bool) {
        let mut shards = ShardSet::EMPTY;
        let mut at_home = false;
        for request in &list.list {
            let command = self.registry.row(request.command);
            at_home |= command.route == Route::Home;
            shards = shards.union(match command.route {
                Route::Report => ShardSet::first(self.shared.slots.shard_count()),
                _ => self.shards_for(command, list.args(request, buf), false),
            });
        }
        (shards, at_home)
    }
}
