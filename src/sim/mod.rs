//! The second driver of the same cores: several of them in one thread, from a seed.
//! In: a seed. Out: conversations that replay on any number of cores, and random traffic whose history is checked.
//! Absent: sockets, threads, the real clock.

pub mod conversation;
mod reply;
pub mod world;

pub use conversation::{check, check_outside_multi, check3};
