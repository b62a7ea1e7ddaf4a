//! Scripts and functions: EVAL and its family, SCRIPT, FUNCTION, FCALL. Lua itself is in `crate::script`.

mod cache;
pub mod declared;
mod eval;
mod function;
pub mod library;
pub mod reach;
mod run;
#[cfg(test)]
mod tests;
mod trial;

pub use eval::prepare;
pub use run::{Ongoing, go_on};

use super::help::container;
use super::{Command, KeySpec, Route, flags};

const RUN: u32 = flags::NOSCRIPT | flags::SKIP_MONITOR | flags::NO_MANDATORY_KEYS | flags::STALE;
const CHANGE: u32 = RUN | flags::MAY_REPLICATE;
const READ: u32 = RUN | flags::READONLY;
const CHANGED: &[KeySpec] = &[KeySpec::count(2, 1, "RW access update")];
const WATCHED: &[KeySpec] = &[KeySpec::count(2, 1, "RO access")];
const ADVICE: &str = "That of the script";

#[rustfmt::skip]
pub const TABLE: &[Command] = &[
    Command::new("EVAL", "script numkeys [key [key ...]] [arg [arg ...]]", eval::eval)
        .arity(-3).flag(CHANGE).route(Route::Script).keys(CHANGED).since("2.6.0").complexity(ADVICE)
        .about("Runs a Lua script."),
    Command::new("EVALSHA", "sha1 numkeys [key [key ...]] [arg [arg ...]]", eval::evalsha)
        .arity(-3).flag(CHANGE).route(Route::Script).keys(CHANGED).since("2.6.0").complexity(ADVICE)
        .about("Runs a Lua script that is known by its digest."),
    Command::new("EVALSHA_RO", "sha1 numkeys [key [key ...]] [arg [arg ...]]", eval::evalsha_ro)
        .arity(-3).flag(READ).route(Route::Script).keys(WATCHED).since("7.0.0").complexity(ADVICE)
        .about("Runs a Lua script, known by its digest, that changes nothing."),
    Command::new("EVAL_RO", "script numkeys [key [key ...]] [arg [arg ...]]", eval::eval_ro)
        .arity(-3).flag(READ).route(Route::Script).keys(WATCHED).since("7.0.0").complexity(ADVICE)
        .about("Runs a Lua script that changes nothing."),
    Command::new("FCALL", "function numkeys [key [key ...]] [arg [arg ...]]", function::fcall)
        .arity(-3).flag(CHANGE).route(Route::Function).keys(CHANGED).since("7.0.0").complexity("That of the function")
        .about("Calls a function."),
    Command::new("FCALL_RO", "function numkeys [key [key ...]] [arg [arg ...]]", function::fcall_ro)
        .arity(-3).flag(READ).route(Route::Function).keys(WATCHED).since("7.0.0").complexity("That of the function")
        .about("Calls a function that changes nothing."),
    Command::new("FUNCTION", "", container).arity(-2).container().since("7.0.0")
        .about("Holds the commands about libraries of functions."),
    Command::new("FUNCTION DELETE", "library-name", library::delete)
        .arity(3).flag(flags::NOSCRIPT).write().route(Route::All).since("7.0.0").about("Deletes a library and its functions."),
    Command::new("FUNCTION DUMP", "", library::dump)
        .arity(2).flag(flags::NOSCRIPT).since("7.0.0").complexity("O(N), N being the number of functions")
        .about("Returns all libraries in one value."),
    Command::new("FUNCTION FLUSH", "[ASYNC | SYNC]", library::flush)
        .arity(-2).flag(flags::NOSCRIPT).write().route(Route::All).since("7.0.0")
        .complexity("O(N), N being the number of functions").about("Deletes all libraries."),
    Command::new("FUNCTION HELP", "", library::help)
        .arity(2).always().since("7.0.0").about("Lists the subcommands."),
    Command::new("FUNCTION KILL", "", cache::function_kill)
        .arity(2).flag(flags::NOSCRIPT | flags::ALLOW_BUSY).since("7.0.0")
        .about("Ends the function that is running."),
    Command::new("FUNCTION LIST", "[LIBRARYNAME library-name-pattern] [WITHCODE]", library::list)
        .arity(-2).flag(flags::NOSCRIPT).since("7.0.0").complexity("O(N), N being the number of functions")
        .tips(&["nondeterministic_output_order"]).about("Returns what is known of the libraries."),
    Command::new("FUNCTION LOAD", "[REPLACE] function-code", library::load)
        .arity(-3).flag(flags::NOSCRIPT).grow().route(Route::All).since("7.0.0").about("Makes a library."),
    Command::new("FUNCTION RESTORE", "serialized-value [FLUSH | APPEND | REPLACE]", library::restore)
        .arity(-3).flag(flags::NOSCRIPT).grow().route(Route::All).since("7.0.0")
        .complexity("O(N), N being the number of functions").about("Makes the libraries of a value of FUNCTION DUMP."),
    Command::new("FUNCTION STATS", "", library::stats)
        .arity(2).flag(flags::NOSCRIPT | flags::ALLOW_BUSY).since("7.0.0")
        .tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"])
        .about("Tells which function is running, and how many there are."),
    Command::new("SCRIPT", "", container).arity(-2).container().since("2.6.0")
        .about("Holds the commands about scripts."),
    Command::new("SCRIPT DEBUG", "YES | SYNC | NO", cache::debug)
        .arity(-3).flag(flags::NOSCRIPT).since("3.2.0").about("Sets the debug mode of the scripts that follow."),
    Command::new("SCRIPT EXISTS", "sha1 [sha1 ...]", cache::exists)
        .arity(-3).flag(flags::NOSCRIPT | flags::STALE).since("2.6.0").complexity("O(N), N being the number of digests")
        .tips(&["request_policy:all_shards", "response_policy:agg_logical_and"])
        .about("Tells which scripts are known."),
    Command::new("SCRIPT FLUSH", "[ASYNC | SYNC]", cache::flush)
        .arity(-2).flag(flags::NOSCRIPT | flags::STALE).route(Route::All).since("2.6.0")
        .complexity("O(N), N being the number of scripts")
        .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]).about("Forgets all scripts."),
    Command::new("SCRIPT HELP", "", cache::help)
        .arity(2).always().since("5.0.0").about("Lists the subcommands."),
    Command::new("SCRIPT KILL", "", cache::kill)
        .arity(2).flag(flags::NOSCRIPT | flags::ALLOW_BUSY).since("2.6.0")
        .tips(&["request_policy:all_shards", "response_policy:one_succeeded"]).about("Ends the script that is running."),
    Command::new("SCRIPT LOAD", "script", cache::load)
        .arity(3).flag(flags::NOSCRIPT | flags::STALE).since("2.6.0").complexity("O(N), N being the length of the script")
        .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]).about("Makes a script known."),
    Command::new("SCRIPT SHOW", "sha1", cache::show)
        .arity(3).flag(flags::NOSCRIPT | flags::STALE).since("8.0.0").about("Returns the text of a script."),
];
