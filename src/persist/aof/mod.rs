//! The append-only log: what is written into it, in which order.

pub mod merge;
pub mod unit;

pub use merge::Merger;
pub use unit::{Chunk, Unit};
