//! What everything rests on and what knows nothing of the rest: hashes, time, randomness, text of numbers, patterns.

pub mod clock;
pub mod crc;
pub mod glob;
pub mod memory;
pub mod number;
pub mod prefetch;
pub mod quoted;
pub mod rng;
pub mod sha1;
pub mod usage;
