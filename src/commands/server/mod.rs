//! Commands about the server: its configuration, its state, its logs, and whole databases.
//! Absent: clients (`connection`), ACLs, persistence, replication.

mod command_info;
pub mod config;
mod debug;
mod docs;
mod info;
mod keyspace;
mod latency;
mod lolwut;
mod memory;
pub mod persistence;
mod process;
mod slowlog;
#[cfg(test)]
mod tests;

use super::generic::dump::restore;
use super::help::{self, container};
use super::{Command, KeySpec, Route, flags};

const ALL_NODES: &[&str] = &["request_policy:all_nodes", "response_policy:all_succeeded"];
const ALL_SHARDS: &[&str] = &["request_policy:all_shards", "response_policy:all_succeeded"];
const SPECIAL_NODES: &[&str] =
    &["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"];
const SPECIAL_SHARDS: &[&str] =
    &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"];
const KEYSPACE_DANGEROUS: &[&str] = &["keyspace", "dangerous"];
const ADMIN_DANGEROUS: &[&str] = &["admin", "dangerous"];
const CONNECTION: &[&str] = &["connection"];
const UNORDERED: &[&str] = &["nondeterministic_output_order"];
const VARYING: &[&str] = &["nondeterministic_output"];

pub const TABLE: &[Command] = &[
    Command::new("DBSIZE", "", keyspace::dbsize)
        .arity(1)
        .read()
        .fast()
        .route(Route::All)
        .categories(&["keyspace"])
        .tips(&["request_policy:all_shards", "response_policy:agg_sum"])
        .about("Counts the keys of the database."),
    Command::new("DEBUG", "subcommand [arg [arg ...]]", debug::debug)
        .arity(-2)
        .admin()
        .always()
        .route(Route::All)
        .complexity("That of the subcommand")
        .about("Holds what tests of the server need."),
    Command::new("FLUSHALL", "[ASYNC | SYNC]", keyspace::flushall)
        .write()
        .route(Route::All)
        .categories(KEYSPACE_DANGEROUS)
        .tips(ALL_SHARDS)
        .about("Deletes all keys of all databases.")
        .complexity("O(1); memory is freed in the background"),
    Command::new("FLUSHDB", "[ASYNC | SYNC]", keyspace::flushdb)
        .write()
        .route(Route::All)
        .categories(KEYSPACE_DANGEROUS)
        .tips(ALL_SHARDS)
        .about("Deletes all keys of the database.")
        .complexity("O(1); memory is freed in the background"),
    Command::new("SWAPDB", "index1 index2", keyspace::swapdb)
        .arity(3)
        .write()
        .fast()
        .route(Route::All)
        .since("4.0.0")
        .categories(KEYSPACE_DANGEROUS)
        .about("Exchanges two databases."),
    Command::new("TIME", "", process::time)
        .arity(1)
        .always()
        .fast()
        .since("2.6.0")
        .tips(VARYING)
        .about("Returns the time of the server: seconds, and microseconds of the second."),
    Command::new("ROLE", "", process::role)
        .arity(1)
        .flag(flags::NOSCRIPT | flags::SENTINEL)
        .always()
        .fast()
        .since("2.8.12")
        .categories(ADMIN_DANGEROUS)
        .about("Returns the part that the server plays in replication."),
    Command::new("SAVE", "", persistence::save)
        .arity(1)
        .admin()
        .flag(flags::NO_ASYNC_LOADING | flags::NO_MULTI)
        .route(Route::All)
        .about("Writes a snapshot to disk, and lets nothing else happen meanwhile.")
        .complexity("O(N), N being the number of keys"),
    Command::new("BGSAVE", "[SCHEDULE | CANCEL]", persistence::bgsave)
        .admin()
        .flag(flags::NO_ASYNC_LOADING)
        .route(Route::All)
        .about("Begins to write a snapshot of this moment to disk, while the server goes on.")
        .complexity("O(1)"),
    Command::new("BGREWRITEAOF", "", persistence::bgrewriteaof)
        .arity(1)
        .admin()
        .flag(flags::NO_ASYNC_LOADING)
        .route(Route::All)
        .about("Begins to write a new base of the append-only file from the data of this moment.")
        .complexity("O(1)"),
    Command::new("LASTSAVE", "", persistence::lastsave)
        .arity(1)
        .always()
        .fast()
        .categories(ADMIN_DANGEROUS)
        .tips(VARYING)
        .about("Returns the time of the last snapshot."),
    Command::new("LOLWUT", "[VERSION version]", lolwut::lolwut)
        .read()
        .fast()
        .since("5.0.0")
        .about("Draws something, and says which version this is."),
    Command::new("MONITOR", "", process::monitor)
        .arity(1)
        .admin()
        .always()
        .home()
        .about("Shows every command of every client from now on."),
    Command::new(
        "RESTORE-ASKING",
        "key ttl serialized-value [REPLACE] [ABSTTL] [IDLETIME seconds] [FREQ frequency]",
        restore,
    )
    .arity(-4)
    .grow()
    .flag(flags::ASKING)
    .keys(&[KeySpec::at(1, "OW update")])
    .since("3.0.0")
    .categories(&["keyspace", "dangerous"])
    .about("Creates a key of a slot that is on its way here, as RESTORE does.")
    .complexity("O(N log N), N being the size of the value"),
    Command::new("SHUTDOWN", "[NOSAVE | SAVE] [NOW] [FORCE] [ABORT]", persistence::shutdown)
        .admin()
        .always()
        .route(Route::Save)
        .flag(flags::NO_MULTI | flags::ALLOW_BUSY | flags::SENTINEL)
        .about("Ends the server."),
    Command::new("COMMAND", "", command_info::command)
        .arity(-1)
        .container()
        .always()
        .flag(flags::SENTINEL)
        .since("2.8.13")
        .categories(CONNECTION)
        .tips(UNORDERED)
        .complexity("O(N), N being the number of commands")
        .about("Describes every command."),
    Command::new("COMMAND COUNT", "", command_info::count)
        .arity(2)
        .always()
        .flag(flags::SENTINEL)
        .since("2.8.13")
        .categories(CONNECTION)
        .about("Counts the commands."),
    Command::new("COMMAND DOCS", "[command-name [command-name ...]]", docs::docs)
        .arity(-2)
        .always()
        .flag(flags::SENTINEL)
        .since("7.0.0")
        .categories(CONNECTION)
        .tips(UNORDERED)
        .about("Documents commands.")
        .complexity("O(N), N being the number of commands"),
    Command::new("COMMAND GETKEYS", "command [arg [arg ...]]", command_info::getkeys)
        .arity(-3)
        .always()
        .flag(flags::SENTINEL)
        .since("2.8.13")
        .categories(CONNECTION)
        .about("Returns the keys of a command.")
        .complexity("O(N), N being the number of arguments"),
    Command::new("COMMAND GETKEYSANDFLAGS", "command [arg [arg ...]]", command_info::getkeysandflags)
        .arity(-3)
        .always()
        .flag(flags::SENTINEL)
        .since("7.0.0")
        .categories(CONNECTION)
        .about("Returns the keys of a command, and what it does to each.")
        .complexity("O(N), N being the number of arguments"),
    help::row("COMMAND HELP", "5.0.0").flag(flags::SENTINEL).categories(CONNECTION),
    Command::new("COMMAND INFO", "[command-name [command-name ...]]", command_info::info)
        .arity(-2)
        .always()
        .flag(flags::SENTINEL)
        .since("2.8.13")
        .categories(CONNECTION)
        .tips(UNORDERED)
        .about("Describes commands.")
        .complexity("O(N), N being the number of commands"),
    Command::new(
        "COMMAND LIST",
        "[FILTERBY <MODULE module-name | ACLCAT category | PATTERN pattern>]",
        command_info::list,
    )
    .arity(-2)
    .always()
    .flag(flags::SENTINEL)
    .since("7.0.0")
    .categories(CONNECTION)
    .tips(UNORDERED)
    .about("Lists the names of commands.")
    .complexity("O(N), N being the number of commands"),
    Command::new("CONFIG", "", container)
        .arity(-2)
        .container()
        .since("2.0.0")
        .complexity("That of the subcommand")
        .about("Holds commands about the configuration."),
    Command::new("CONFIG GET", "parameter [parameter ...]", config::get)
        .arity(-3)
        .admin()
        .always()
        .since("2.0.0")
        .about("Returns the parameters that match, with their values.")
        .complexity("O(N), N being the number of parameters"),
    help::row("CONFIG HELP", "5.0.0"),
    Command::new("CONFIG RESETSTAT", "", config::resetstat)
        .arity(2)
        .admin()
        .always()
        .route(Route::All)
        .since("2.0.0")
        .tips(ALL_NODES)
        .about("Sets the counters of INFO back to zero."),
    Command::new("CONFIG REWRITE", "", config::rewrite)
        .arity(2)
        .admin()
        .always()
        .since("2.8.0")
        .tips(ALL_NODES)
        .about("Writes the configuration in force into its file."),
    Command::new("CONFIG SET", "parameter value [parameter value ...]", config::set)
        .arity(-4)
        .admin()
        .always()
        .route(Route::Settings)
        .since("2.0.0")
        .tips(ALL_NODES)
        .about("Changes parameters, all of them or none.")
        .complexity("O(N), N being the number of parameters"),
    Command::new("INFO", "[section [section ...]]", info::info)
        .always()
        .flag(flags::SENTINEL)
        .route(Route::Report)
        .categories(&["dangerous"])
        .tips(SPECIAL_SHARDS)
        .about("Describes the state of the server."),
    Command::new("MEMORY", "", container)
        .arity(-2)
        .container()
        .since("4.0.0")
        .complexity("That of the subcommand")
        .about("Holds commands about memory."),
    Command::new("MEMORY DOCTOR", "", memory::doctor)
        .arity(2)
        .route(Route::Report)
        .since("4.0.0")
        .tips(SPECIAL_SHARDS)
        .about("Says in words whether something about memory looks wrong."),
    help::row("MEMORY HELP", "4.0.0"),
    Command::new("MEMORY MALLOC-STATS", "", memory::malloc_stats)
        .arity(2)
        .flag(flags::LOADING)
        .since("4.0.0")
        .tips(SPECIAL_SHARDS)
        .about("Describes the state of the allocator."),
    Command::new("MEMORY PURGE", "", memory::purge)
        .arity(2)
        .flag(flags::LOADING)
        .since("4.0.0")
        .tips(ALL_SHARDS)
        .about("Asks the allocator to give memory back to the system."),
    Command::new("MEMORY STATS", "", memory::stats)
        .arity(2)
        .route(Route::Report)
        .since("4.0.0")
        .tips(SPECIAL_SHARDS)
        .about("Returns where memory is."),
    Command::new("MEMORY USAGE", "key [SAMPLES count]", memory::usage)
        .arity(-3)
        .read()
        .keys(&[KeySpec::at(2, "RO")])
        .since("4.0.0")
        .about("Returns the bytes that a key and its value take."),
    Command::new("LATENCY", "", container)
        .arity(-2)
        .container()
        .since("2.8.13")
        .complexity("That of the subcommand")
        .about("Holds commands about latency."),
    Command::new("LATENCY DOCTOR", "", latency::doctor)
        .arity(2)
        .admin()
        .always()
        .since("2.8.13")
        .tips(SPECIAL_NODES)
        .about("Says in words what was slow."),
    Command::new("LATENCY GRAPH", "event", latency::graph)
        .arity(3)
        .admin()
        .always()
        .since("2.8.13")
        .tips(SPECIAL_NODES)
        .about("Draws the samples of an event."),
    help::row("LATENCY HELP", "2.8.13"),
    Command::new("LATENCY HISTOGRAM", "[command [command ...]]", latency::histogram)
        .arity(-2)
        .admin()
        .always()
        .since("7.0.0")
        .tips(SPECIAL_NODES)
        .about("Returns how long commands took, as counts up to each power of two of microseconds.")
        .complexity("O(N), N being the number of commands"),
    Command::new("LATENCY HISTORY", "event", latency::history)
        .arity(3)
        .admin()
        .always()
        .since("2.8.13")
        .tips(SPECIAL_NODES)
        .about("Returns the samples of an event."),
    Command::new("LATENCY LATEST", "", latency::latest)
        .arity(2)
        .admin()
        .always()
        .since("2.8.13")
        .tips(SPECIAL_NODES)
        .about("Returns the latest sample of every event."),
    Command::new("LATENCY RESET", "[event [event ...]]", latency::reset)
        .arity(-2)
        .admin()
        .always()
        .since("2.8.13")
        .tips(&["request_policy:all_nodes", "response_policy:agg_sum"])
        .about("Forgets the samples of events, or of all."),
    Command::new("SLOWLOG", "", container)
        .arity(-2)
        .container()
        .since("2.2.12")
        .complexity("That of the subcommand")
        .about("Holds commands about the slow log."),
    Command::new("SLOWLOG GET", "[count]", slowlog::get)
        .arity(-2)
        .flag(flags::ADMIN)
        .always()
        .since("2.2.12")
        .tips(&["request_policy:all_nodes", "nondeterministic_output"])
        .about("Returns the newest entries of the slow log.")
        .complexity("O(N), N being the number of entries"),
    help::row("SLOWLOG HELP", "6.2.0"),
    Command::new("SLOWLOG LEN", "", slowlog::len)
        .arity(2)
        .flag(flags::ADMIN)
        .always()
        .since("2.2.12")
        .tips(&["request_policy:all_nodes", "response_policy:agg_sum", "nondeterministic_output"])
        .about("Counts the entries of the slow log."),
    Command::new("SLOWLOG RESET", "", slowlog::reset)
        .arity(2)
        .flag(flags::ADMIN)
        .always()
        .since("2.2.12")
        .tips(ALL_NODES)
        .about("Empties the slow log."),
];
