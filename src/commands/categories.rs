//! ACL categories of commands: those that follow from group and flags, and those that rows add or take away.

use super::{Command, flags};

/// Every category, in the order in which COMMAND INFO and ACL CAT list them.
pub const ALL: &[&str] = &[
    "keyspace",
    "read",
    "write",
    "set",
    "sortedset",
    "list",
    "hash",
    "string",
    "bitmap",
    "hyperloglog",
    "geo",
    "stream",
    "pubsub",
    "admin",
    "fast",
    "slow",
    "blocking",
    "dangerous",
    "connection",
    "transaction",
    "scripting",
];

/// The category of a group's commands, but for its containers.
fn of_group(group: &str) -> Option<&'static str> {
    Some(match group {
        "generic" => "keyspace",
        "sorted_set" | "sorted-set" => "sortedset",
        "transactions" => "transaction",
        "server" | "cluster" => return None,
        other => ALL.iter().find(|&&category| category == other)?,
    })
}

/// The categories of a command, in the order of `ALL`. A row's own categories come on top; one written `-name` is
/// taken away.
pub fn of(command: &Command, group: &str) -> Vec<&'static str> {
    let of_group = of_group(group).filter(|_| !command.container);
    let own = |name: &str| command.categories.contains(&name);
    let denied = |name: &str| command.categories.iter().any(|own| own.strip_prefix('-') == Some(name));
    let implied = |name: &str| match name {
        "read" => command.is(flags::READONLY) && group != "scripting",
        "write" => command.is(flags::WRITE),
        "admin" | "dangerous" => command.is(flags::ADMIN),
        "pubsub" => command.is(flags::PUBSUB),
        "fast" => command.is(flags::FAST),
        "slow" => !command.is(flags::FAST),
        "blocking" => command.is(flags::BLOCKING),
        _ => false,
    };
    let is = |name: &str| (own(name) || implied(name) || of_group == Some(name)) && !denied(name);
    ALL.iter().copied().filter(|name| is(name)).collect()
}
