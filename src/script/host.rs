//! What a running script needs of the server.
//! In: commands of scripts. Out: replies as on the wire.

use std::borrow::Cow;

use crate::client::Args;

/// What became of a command that a script called.
pub enum Called {
    /// Its reply was written.
    Replied,
    /// It was refused before it ran; the text has its code first.
    Refused(Cow<'static, [u8]>),
    /// It needs a shard that is not at hand. Nothing was written so far: the script is to run again with all of them.
    OutOfReach,
    /// It asks another server: call it again when the script goes on.
    Asks,
}

/// What a script that runs for long has to do next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pause {
    GoOn,
    /// Let the core do other work, then go on.
    Park,
    /// End it.
    Kill,
    /// End it: nothing was written so far, and it is to run again with all shards.
    Widen,
}

/// Whoever runs a script.
pub trait Host {
    fn call(&mut self, args: Args, resp3: bool, out: &mut Vec<u8>) -> Called;

    /// Asked every so often.
    fn pause(&mut self) -> Pause;

    /// Whether the client may call that command; None: there is no such command.
    fn may_call(&self, args: Args) -> Option<bool>;

    fn log(&mut self, level: usize, text: &[u8]);

    /// From now on changes go to the log (1), to replicas (2), to both (3), or to neither.
    fn replicate_to(&mut self, targets: u8);
}
