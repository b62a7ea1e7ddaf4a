//! The only place that talks to the kernel on the hot path: the ring, its buffers, sockets and listeners.
//! Absent: RESP, commands, which bytes mean what.

pub mod listen;
pub mod ring;

pub use listen::{Listener, Peer};
pub use ring::{Bellboy, Event, Ring, RingError};
