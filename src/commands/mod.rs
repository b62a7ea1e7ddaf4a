//! Every command: one file a family, the TABLE first, then the handlers, then tests.
//! Absent: what may run when and where (`server::dispatch`), how clients are read and answered.

pub mod bitmap;
pub mod blocking;
pub mod categories;
pub mod command;
pub mod connection;
pub mod context;
pub mod effect;
pub mod errand;
pub mod error;
pub mod generic;
pub mod geo;
pub mod hash;
pub mod help;
pub mod hyperloglog;
pub mod list;
pub mod monitor;
pub mod news;
pub mod pubsub;
pub mod routing;
pub mod script;
pub mod server;
pub mod set;
pub mod slow;
pub mod sort;
pub mod stream;
pub mod string;
pub mod syntax;
pub mod transaction;
pub mod zset;

pub use command::{Command, Family, Find, KeySpec, Registry, Route, flags};
pub use context::{Context, Hold, Keyspace, Note, Pending, Signal};
pub use effect::{Effects, Event};
pub use error::Error;

use crate::client::Args;

/// The group of what needs Lua.
pub const SCRIPTING: &str = "scripting";

/// The families in the order of their numbers.
pub const FAMILIES: &[Family] = &[
    Family { group: "string", table: string::TABLE },
    Family { group: "bitmap", table: bitmap::TABLE },
    Family { group: "hyperloglog", table: hyperloglog::TABLE },
    Family { group: "generic", table: generic::TABLE },
    Family { group: "hash", table: hash::TABLE },
    Family { group: "generic", table: sort::TABLE },
    Family { group: "connection", table: connection::TABLE },
    Family { group: "sorted-set", table: zset::TABLE },
    Family { group: "geo", table: geo::TABLE },
    Family { group: "server", table: server::TABLE },
    Family { group: "set", table: set::TABLE },
    Family { group: "list", table: list::TABLE },
    Family { group: "pubsub", table: pubsub::TABLE },
    Family { group: "stream", table: stream::TABLE },
    Family { group: "transactions", table: transaction::TABLE },
    Family { group: SCRIPTING, table: script::TABLE },
];

/// SCAN cursors: the shard in the low bits, the place in its hash space above, so that they fit a double's 53 bits.
pub const CURSOR_SHARD_BITS: u32 = 8;

/// The shard that the cursor in argument 1 points to.
pub fn cursor_shard(args: Args) -> usize {
    let cursor = args.get(1).and_then(generic::scan::parse_cursor).unwrap_or(0);
    (cursor & ((1 << CURSOR_SHARD_BITS) - 1)) as usize
}
