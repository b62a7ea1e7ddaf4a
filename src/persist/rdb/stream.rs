//! Streams, in the forms of Redis 5 to 8.
//! In: a `Reader` before the stream, or a stream. Out: the other. Unlike other values a stream is read to what it is in
//! memory: its nodes are written as they are kept, and whether they are sound is its own affair.
//!
//! ```text
//! nodes: length | (key: string of 16 bytes | listpack: string) …
//! entries | last id | first id* | max deleted id* | entries added*                      all lengths, an id is two
//! groups: length | group …                                                    *: since STREAM_2, **: since STREAM_3
//!
//! group:    name: string | last id | entries read*: length, 2^64 - 1 if not known
//!           pending: length | (id: 16 bytes, big-endian | delivered: i64 | deliveries: length) …
//!           consumers: length | consumer …
//! consumer: name: string | seen: i64 | active: i64**, -1 for never | pending: length | (id: 16 bytes) …
//! ```

use super::decode::sound;
use super::{Error, Reader, Result, Writer, form};
use crate::types::Stream;
use crate::types::stream::{Facts, Group, Groups, Id, Log, Parts, Pending};

const ID_BYTES: usize = 16;
/// A key with its length, and the length of a listpack.
const NODE_BYTES_MIN: usize = 1 + ID_BYTES + 1;
const PENDING_BYTES_MIN: usize = ID_BYTES + 8 + 1;
/// The lengths of a name, an id and two lists.
const GROUP_BYTES_MIN: usize = 5;
const CONSUMER_BYTES_MIN: usize = 1 + 8 + 1;

pub fn read(form: u8, reader: &mut Reader) -> Result<Stream> {
    let log = read_log(form, reader)?;
    let mut groups = Groups::default();
    for _ in 0..count(reader, GROUP_BYTES_MIN)? {
        let name = reader.blob()?;
        let group = read_group(form, reader, &log)?;
        if !groups.add(&name, group) {
            return Err(Error::Corrupt("two groups of one name"));
        }
    }
    Ok(Stream::from_parts(Parts { log, groups }))
}

/// How many of something follow, of which each takes at least so many bytes.
fn count(reader: &mut Reader, bytes_min: usize) -> Result<usize> {
    let room = reader.rest().len() / bytes_min;
    usize::try_from(reader.length()?)
        .ok()
        .filter(|&count| count <= room)
        .ok_or(Error::Corrupt("more elements than bytes"))
}

fn id(reader: &mut Reader) -> Result<Id> {
    Ok(Id::new(reader.length()?, reader.length()?))
}

fn raw_id(reader: &mut Reader) -> Result<Id> {
    reader.array().map(Id::from_be_bytes)
}

fn read_log(form: u8, reader: &mut Reader) -> Result<Log> {
    let mut nodes = Vec::new();
    for _ in 0..count(reader, NODE_BYTES_MIN)? {
        let key = reader.blob()?;
        let key: [u8; ID_BYTES] = (*key).try_into().map_err(|_| Error::Corrupt("a node's key is no id"))?;
        let pack = sound(reader.blob()?)?;
        nodes.push((Id::from_be_bytes(key), pack.into_owned()));
    }
    let mut facts = Facts { len: reader.length()?, last: id(reader)?, max_deleted: Id::MIN, added: None };
    if form != form::STREAM {
        // The first id follows from the entries.
        id(reader)?;
        facts.max_deleted = id(reader)?;
        facts.added = Some(reader.length()?);
    }
    Log::restore(nodes.into_iter(), facts).ok_or(Error::Corrupt("no entries of a stream"))
}

fn read_group(form: u8, reader: &mut Reader, log: &Log) -> Result<Group> {
    let last_id = id(reader)?;
    let entries_read = match form {
        form::STREAM => log.position(last_id).map(|position| position as i64),
        _ => match reader.length()? as i64 {
            -1 => None,
            read => Some(read),
        },
    };
    let mut group = Group::new(last_id, entries_read);
    let mut pending = Vec::new();
    for _ in 0..count(reader, PENDING_BYTES_MIN)? {
        pending.push((raw_id(reader)?, reader.i64()?, reader.length()?));
    }
    if !pending.is_sorted_by(|(a, ..), (b, ..)| a < b) {
        return Err(Error::Corrupt("pending entries out of order"));
    }
    for _ in 0..count(reader, CONSUMER_BYTES_MIN)? {
        read_consumer(form, reader, &mut group, &pending)?;
    }
    if group.pending().len() != pending.len() {
        return Err(Error::Corrupt("an entry is pending for nobody"));
    }
    Ok(group)
}

fn read_consumer(form: u8, reader: &mut Reader, group: &mut Group, pending: &[(Id, i64, u64)]) -> Result<()> {
    let name = reader.blob()?;
    let seen_ms = reader.i64()?;
    let active_ms = match form {
        form::STREAM_3 => Some(reader.i64()?).filter(|&active_ms| active_ms != -1),
        _ => Some(seen_ms),
    };
    let (consumer, is_new) = group.find_or_create(&name, seen_ms);
    if !is_new {
        return Err(Error::Corrupt("Duplicate stream consumer detected"));
    }
    group.consumer_mut(consumer).active_ms = active_ms;
    for _ in 0..count(reader, ID_BYTES)? {
        let id = raw_id(reader)?;
        let found = pending.binary_search_by_key(&id, |(id, ..)| *id);
        let place = found.map_err(|_| Error::Corrupt("an entry is pending for a consumer only"))?;
        if group.pending().contains_key(&id) {
            return Err(Error::Corrupt("an entry is pending twice"));
        }
        let (_, delivered_ms, deliveries) = pending[place];
        group.assign(id, Pending { consumer, delivered_ms, deliveries });
    }
    Ok(())
}

impl Writer<'_> {
    pub fn stream(self, stream: &Stream) {
        self.stream_as(form::STREAM_3, stream);
    }

    /// In the form that Redis 7.0 reads: when consumers were active is left out.
    pub fn stream_without_active(self, stream: &Stream) {
        self.stream_as(form::STREAM_2, stream);
    }

    fn stream_as(mut self, form: u8, stream: &Stream) {
        self.begin(form);
        let log = &stream.log;
        self.length(log.node_count() as u64);
        for (key, pack) in log.nodes() {
            self.text(&key.to_be_bytes());
            self.text(&pack);
        }
        self.length(log.len());
        [log.last_id(), log.first_id(), log.max_deleted_id()].into_iter().for_each(|id| self.id(id));
        self.length(log.added());
        self.length(stream.groups.len() as u64);
        for (name, group) in stream.groups.iter() {
            self.text(name);
            self.group(form, group);
        }
    }

    fn id(&mut self, id: Id) {
        self.length(id.ms);
        self.length(id.seq);
    }

    fn group(&mut self, form: u8, group: &Group) {
        self.id(group.last_id);
        self.length(group.entries_read.unwrap_or(-1) as u64);
        self.length(group.pending().len() as u64);
        for (id, pending) in group.pending() {
            self.bytes(&id.to_be_bytes());
            self.bytes(&pending.delivered_ms.to_le_bytes());
            self.length(pending.deliveries);
        }
        self.length(group.consumers().len() as u64);
        for consumer in group.consumers() {
            self.text(consumer.name());
            self.bytes(&consumer.seen_ms.to_le_bytes());
            if form == form::STREAM_3 {
                self.bytes(&consumer.active_ms.unwrap_or(-1).to_le_bytes());
            }
            self.length(consumer.pending().len() as u64);
            consumer.pending().iter().for_each(|id| self.bytes(&id.to_be_bytes()));
        }
    }
}
