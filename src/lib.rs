//! Ringfort: a Redis-compatible in-memory server with one thread, one io_uring and one shard per core.
//! Layers, imports point downwards only (checked by `tests/tidy.rs`): see ARCHITECTURE.md.

pub mod base;

pub mod config;
pub mod log;
pub mod mesh;
pub mod metrics;
pub mod net;
pub mod resp;
pub mod types;

pub mod client;
pub mod persist;
pub mod storage;

pub mod pubsub;
pub mod script;
pub mod shard;
pub mod shared;

pub mod commands;

pub mod server;
#[cfg(test)]
mod sim;
