//! Lua scripts and functions, as Redis runs them.
//! In: scripts, keys, arguments, and a host that runs their commands. Out: replies.
//! `lua` is the language, `sandbox` what scripts see of it, `api` the `redis` table, `engine` a core's machine,
//! `table` what all cores know, `proof` why some scripts need only the shards of their keys.
//! Absent: commands and shards (`commands::script`).

mod api;
mod bit;
mod cjson;
mod cmsgpack;
mod convert;
pub mod engine;
pub mod host;
pub mod library;
mod lua;
pub mod proof;
mod random;
mod sandbox;
mod structs;
pub mod table;
#[cfg(test)]
mod tests;

pub use engine::{Engine, Failure, Local, Status};
pub use host::{Called, Host, Pause};
pub use table::{Function, Libraries, Library, Reach, Running, Script, Scripts, Sha, flags, shebang};
