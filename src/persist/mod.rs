//! Values outside of memory: the formats in which Redis and its relatives keep and exchange them.
//! In: bytes, or the parts of values. Out: the other. Absent: files, keys, commands.

pub mod rdb;
