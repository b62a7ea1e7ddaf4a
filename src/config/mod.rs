//! The configuration: one table of options, a typed record of their values, and the three ways to change it.
//!
//! In: a file, the command line, CONFIG SET. Out: a [`Config`], which the server shares behind an `Arc` and replaces
//! as a whole; the hot path reads its typed fields.
//! Absent: carrying a change out (rebinding a port, resizing a log): CONFIG SET answers with what
//! changed, and the server does it.

mod checks;
mod file;
mod options;
mod record;
mod rewrite;
mod set;
mod special;
mod types;
mod value;

pub use checks::expand as expand_title;
pub use file::{ConfigError, Declared};
pub use options::{Opt, TABLE};
pub use record::Config;
pub use set::{Change, Changed, set_failed};
pub use types::{AppendFsync, BufferLimit, ClientClass, Cores, Events, Guard, MaxmemoryPolicy, SavePoint};

use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

fn path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(std::ffi::OsStr::from_bytes(bytes))
}

/// What C's `strerror` says: the text of an OS error without Rust's "(os error 2)".
pub fn os_error_text(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split_once(" (os error").map_or(text.as_str(), |(text, _)| text).to_string()
}
