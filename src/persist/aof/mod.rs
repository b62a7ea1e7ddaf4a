//! The append-only log: commands as they took effect, in files that a manifest names.
//! In: portions of a file, or the text of a manifest. Out: commands; or which files there are, and the text for new ones.
//! And what goes into it, in which order: `Unit` and `Merger`; and what was there before, as commands: `base`. Absent: files,
//! running commands, deciding what is logged.
//!
//! A log is a manifest, a base (an RDB file or commands) and increments (commands), in one directory. A log of Redis before
//! 7.0 is one file, which may begin with an RDB file. `#TS:` and a Unix time on a line of its own say when what follows
//! was written, if the option aof-timestamp-enabled asks for it.
//!
//! ```text
//! commands:  { *count CRLF { $length CRLF bytes CRLF } | # annotation CRLF } …
//! manifest:  file NAME seq NUMBER type b|h|i                 base, history (to be deleted), increment; one a line
//! ```
//!
//! Reading a file of a log:
//!
//! ```text
//! let mut reader = aof::Reader::new(offset);     // 0, or where the RDB file at the beginning ends: feed its rest() first
//! loop {
//!     match reader.next()? {                     // or reader.good() is where the log may be cut off, see aof-load-truncated
//!         Some(aof::Event::Command(command)) => run command.arg(0), command.arg(1) …
//!         Some(aof::Event::Timestamp(seconds)) => …
//!         None if at the end of the file => break reader.end()?,     // cut short, or within MULTI: reader.good() as above
//!         None => reader.feed(the next portion),
//!     }
//! }
//! ```

pub mod base;
pub mod manifest;
pub mod merge;
mod progress;
mod read;
pub mod unit;

pub use manifest::Manifest;
pub use merge::Merger;
pub use progress::Progress;
pub use read::{Command, Error, Event, Reader, What};
pub use unit::{BaseForm, Begin, Chunk, Mark, Source, Unit};

/// Whether a file of a log begins as RDB files do.
pub fn has_preamble(begin: &[u8]) -> bool {
    begin.starts_with(b"REDIS") || begin.starts_with(b"VALKEY")
}
