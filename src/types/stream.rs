//! Streams: entries of fields by ascending id, and groups of consumers that read them.
//! In: entries, ids, limits, names. Out: the same. Absent: keys, replies, the clock, who waits for entries.
//!
//! `id` is what an entry is known by, `node` some entries in a listpack, `sealed`
//! the same in fewer bytes, `log` all of them, `group` who has read what.
//! A stream is never packed, and an empty one stays: its last id and its groups are part of it.

mod group;
mod id;
mod log;
mod node;
mod sealed;
#[cfg(test)]
mod tests;

use super::Encoding;
use super::collection::{Collection, object_variant};
pub use group::{Consumer, ConsumerNumber, Group, Groups, Pending};
pub use id::Id;
pub use log::{Facts, Keep, Log, Range, Refused, Trim, Wish};
pub use node::Entry;

/// A stream. In a box, so that values of other types stay small.
#[derive(Debug, Default)]
pub struct Stream(Box<Parts>);

/// What a stream consists of.
#[derive(Debug, Default)]
pub struct Parts {
    pub log: Log,
    pub groups: Groups,
}

impl Stream {
    pub fn from_parts(parts: Parts) -> Stream {
        Stream(Box::new(parts))
    }

    /// Nodes that were trimmed, to be thrown away.
    pub fn of_log(log: Log) -> Stream {
        Self::from_parts(Parts { log, ..Parts::default() })
    }

    /// A group that was destroyed, to be thrown away.
    pub fn of_group(group: Group) -> Stream {
        let mut stream = Stream::default();
        stream.groups.add(b"", group);
        stream
    }

    #[cfg(test)]
    pub fn verify(&self) {
        self.log.verify();
        self.groups.verify();
    }
}

impl std::ops::Deref for Stream {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl std::ops::DerefMut for Stream {
    fn deref_mut(&mut self) -> &mut Parts {
        &mut self.0
    }
}

/// What a node costs when it is freed, in elements.
const NODE_COST: usize = 8;

impl Collection for Stream {
    object_variant!(Stream);
    type View<'a> = &'a Stream;

    fn new(_memory: Vec<u8>) -> Self {
        Stream::default()
    }

    fn from_packed(_: Encoding, _: Vec<u8>) -> Self {
        unreachable!("streams have no packed form")
    }

    fn view_packed(_: Encoding, _: &[u8]) -> &Stream {
        unreachable!("streams have no packed form")
    }

    fn view(&self) -> &Stream {
        self
    }

    fn packed_mut(&mut self) -> Option<&mut Vec<u8>> {
        None
    }

    fn encoding(&self) -> Encoding {
        Encoding::Stream
    }

    /// Never: a stream without entries is a value, too.
    fn is_empty(&self) -> bool {
        false
    }

    fn bytes_allocated(&self) -> usize {
        size_of::<Parts>() + self.log.bytes_allocated() + self.groups.bytes_allocated()
    }

    fn duplicate(&self) -> Self {
        Self::from_parts(Parts { log: self.log.duplicate(), groups: self.groups.clone() })
    }

    fn free_slice(&mut self, elements_max: usize) -> bool {
        self.log.free_slice((elements_max / NODE_COST).max(1)) && self.groups.free_slice(elements_max.max(1))
    }
}
