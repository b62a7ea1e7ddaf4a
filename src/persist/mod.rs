//! Values outside of memory: the formats in which Redis and its relatives keep and exchange them.
//! In: bytes, or values. Out: the other. Absent: files, keys, commands.

pub mod aof;
mod format;
mod large;
pub mod object;
mod parcel;
pub mod rdb;
pub mod save;

pub use format::{Format, Rest};
pub use parcel::Parcel;
