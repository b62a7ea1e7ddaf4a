//! The wire protocol: requests in, replies out. RESP2, RESP3 and inline commands.
//! Absent: what commands mean; buffers and sockets.

pub mod parse;
pub mod reply;

pub use parse::{Limits, Parser, ProtocolError, Span, Step};
pub use reply::{Deferred, Out};
