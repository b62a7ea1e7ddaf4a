//! Writes entries to a file, large ones in steps.
//! In: an entry of the keyspace. Out: its record, at the end of a buffer, at once or in steps of about so many bytes.
//! Absent: the frame of the file (see `rdb::file`), which entries are written and when.
//!
//! 1. Between the steps of an entry its value stays as it is: whoever wants to change it writes the rest first.
//! 2. A step takes time in proportion to its bytes and to one element of the value, which is never divided, unless it is a
//!    string or an element of a list. A stream is written at once.

use super::rdb::{Dialect, Part, Result, Writer as Body, file, form};
use crate::types::hash::{Hash, HashView};
use crate::types::list::{Chunk, List, ListView};
use crate::types::listpack::Element;
use crate::types::set::{Set, SetView};
use crate::types::store::{Entry, Store, Value as Stored};
use crate::types::zset::{Zset, ZsetView};
use crate::types::{Stream, Type};

/// Longer strings of a file are not compressed, since that is not done in steps; one of this length takes some 4 ms.
const COMPRESSED_BYTES_MAX: usize = 1 << 20;

/// The part of an entry that is not written yet.
#[derive(Debug)]
pub struct Rest(Place);

/// Where the rest of a value begins.
#[derive(Debug)]
enum Place {
    /// At a byte of a string.
    Byte(usize),
    /// At a node of a list, and at a byte of it if its head is written.
    Node(usize, Option<usize>),
    /// At a cursor of a set's table.
    Set(u64),
    /// At a cursor of a hash's table; and the time from which its fields expire.
    Hash(u64, Option<i64>),
    /// A sorted set is written from the highest member down: so many are left.
    Zset(usize),
}

/// Writes an entry: all of it, or the beginning if it takes much more than `step_bytes`.
///
/// # Panics
/// If the entry is a hash with fields that expire, and the file's version has none.
pub fn entry(
    writer: file::Writer,
    entry: &Entry,
    usage: file::Usage,
    step_bytes: usize,
    out: &mut Vec<u8>,
) -> Result<Option<Rest>> {
    const SEEN: &str = "the entry's type was looked at";
    writer.entry_head(out, entry.expiry(), usage);
    let body = body(writer, out).for_key(entry.key());
    let place = match entry.kind() {
        Type::String => begin_string(entry, body, step_bytes),
        Type::List => begin_list(entry.view::<List>().expect(SEEN), body),
        Type::Set => begin_set(entry.view::<Set>().expect(SEEN), body, writer.version.has_newest_forms()),
        Type::Zset => begin_zset(entry.view::<Zset>().expect(SEEN), body),
        Type::Hash => begin_hash(entry.view::<Hash>().expect(SEEN), body, writer.version.expiring()),
        Type::Stream => {
            let stream = entry.view::<Stream>().expect(SEEN);
            if writer.version.has_newest_forms() {
                body.stream(stream)
            } else {
                body.stream_without_active(stream)
            }
            None
        }
    };
    let Some(place) = place else { return Ok(None) };
    let mut rest = Rest(place);
    let done = rest.step(writer, entry, step_bytes, out);
    Ok((!done).then_some(rest))
}

impl Rest {
    /// Writes about so many bytes more of the entry; true: that was the last of it.
    pub fn step(
        &mut self,
        writer: file::Writer,
        entry: &Entry,
        step_bytes: usize,
        out: &mut Vec<u8>,
    ) -> bool {
        const SAME: &str = "1: the value is the one that was begun";
        let end = out.len().saturating_add(step_bytes.max(1));
        let mut body = body(writer, out);
        match &mut self.0 {
            Place::Byte(at) => {
                let Stored::Bytes(bytes) = entry.value() else { unreachable!("{SAME}") };
                write_bytes(&mut body, bytes, at, end)
            }
            Place::Node(node, at) => write_nodes(&mut body, entry.view::<List>().expect(SAME), node, at, end),
            Place::Set(cursor) => {
                let Some(SetView::Table(table)) = entry.view::<Set>() else { unreachable!("{SAME}") };
                write_members(&mut body, table, cursor, end)
            }
            Place::Hash(cursor, from_ms) => {
                let dialect = from_ms.and(writer.version.expiring());
                let hash = entry.view::<Hash>().expect(SAME);
                write_fields(&mut body, hash, cursor, dialect, from_ms.unwrap_or(0), end)
            }
            Place::Zset(left) => write_scored(&mut body, entry.view::<Zset>().expect(SAME), left, end),
        }
    }
}

fn body(writer: file::Writer, out: &mut Vec<u8>) -> Body<'_> {
    Body::new(out, writer.compress).compress_up_to(COMPRESSED_BYTES_MAX)
}

fn begin_string(entry: &Entry, mut body: Body, step_bytes: usize) -> Option<Place> {
    match entry.value() {
        Stored::Int(value) => body.string(itoa::Buffer::new().format(value).as_bytes()),
        Stored::Bytes(bytes) if bytes.len() <= step_bytes || body.compresses(bytes.len()) => {
            body.string(bytes)
        }
        Stored::Bytes(bytes) => {
            body.begin(form::STRING);
            body.length(bytes.len() as u64);
            return Some(Place::Byte(0));
        }
        Stored::Object(_) => unreachable!("a string is bytes"),
    }
    None
}

fn begin_list(list: ListView, mut body: Body) -> Option<Place> {
    body.begin_list(list.chunk_count());
    Some(Place::Node(0, None))
}

fn begin_set(set: SetView, mut body: Body, packs: bool) -> Option<Place> {
    match set {
        SetView::Ints(ints) => body.set_ints(ints),
        SetView::Packed(pack) if packs => body.set_pack(pack),
        SetView::Packed(_) => body.set(set.len(), |each| set.for_each(each)),
        SetView::Table(table) => {
            body.begin(form::SET);
            body.length(table.len() as u64);
            return Some(Place::Set(0));
        }
    }
    None
}

fn begin_zset(zset: ZsetView, mut body: Body) -> Option<Place> {
    match zset {
        ZsetView::Packed(pack) => body.zset_pack(pack),
        ZsetView::Tree(_) => {
            body.begin(form::ZSET_2);
            body.length(zset.len() as u64);
            return Some(Place::Zset(zset.len()));
        }
    }
    None
}

fn begin_hash(hash: HashView, mut body: Body, expiring: Option<Dialect>) -> Option<Place> {
    if let HashView::Packed(pack) = hash {
        body.hash_pack(pack);
        return None;
    }
    let from_ms = hash.expires_from();
    match (from_ms, expiring) {
        (None, _) => body.begin(form::HASH),
        (Some(_), None) => panic!("a hash with fields that expire, in a file whose version has none"),
        (Some(from_ms), Some(Dialect::Redis)) => {
            body.begin(form::HASH_METADATA);
            body.bytes(&from_ms.to_le_bytes());
        }
        (Some(_), Some(Dialect::Valkey)) => body.begin(form::VALKEY_HASH_2),
    }
    body.length(hash.len() as u64);
    Some(Place::Hash(0, from_ms))
}

/// Writes bytes from `at` on, up to the end of the step; true: all of them.
fn write_bytes(body: &mut Body, bytes: &[u8], at: &mut usize, end: usize) -> bool {
    let room = end.saturating_sub(body.written());
    let to = bytes.len().min(at.saturating_add(room));
    body.bytes(&bytes[*at..to]);
    *at = to;
    to == bytes.len()
}

fn write_nodes(
    body: &mut Body,
    list: ListView,
    node: &mut usize,
    at: &mut Option<usize>,
    end: usize,
) -> bool {
    while let Some(chunk) = list.chunk(*node) {
        match (chunk, &mut *at) {
            (Chunk::Plain(bytes), Some(at)) => {
                if !write_bytes(body, bytes, at, end) {
                    return false;
                }
            }
            (Chunk::Plain(bytes), None) if bytes.len() > COMPRESSED_BYTES_MAX => {
                body.begin_plain_node(bytes.len());
                *at = Some(0);
                continue;
            }
            (Chunk::Plain(bytes), None) => body.node(Part::Plain(bytes)),
            (Chunk::Listpack(pack), _) => body.node(Part::Pack(pack)),
        }
        (*node, *at) = (*node + 1, None);
        if body.written() >= end {
            break;
        }
    }
    *node == list.chunk_count()
}

fn write_members(body: &mut Body, table: &Store, cursor: &mut u64, end: usize) -> bool {
    loop {
        *cursor = table.scan(*cursor, &mut |entry| body.element(Element::Bytes(entry.key())));
        if *cursor == 0 || body.written() >= end {
            return *cursor == 0;
        }
    }
}

fn write_fields(
    body: &mut Body,
    hash: HashView,
    cursor: &mut u64,
    expiring: Option<Dialect>,
    from_ms: i64,
    end: usize,
) -> bool {
    loop {
        *cursor = hash.scan_with_expiry(*cursor, |name, value, time| match expiring {
            None => {
                body.element(name);
                body.element(value);
            }
            Some(Dialect::Redis) => body.redis_field(from_ms, name, value, time),
            Some(Dialect::Valkey) => body.valkey_field(name, value, time),
        });
        if *cursor == 0 || body.written() >= end {
            return *cursor == 0;
        }
    }
}

fn write_scored(body: &mut Body, zset: ZsetView, left: &mut usize, end: usize) -> bool {
    /// Members between two looks at how much was written.
    const GROUP: usize = 64;
    while *left > 0 && body.written() < end {
        let from = left.saturating_sub(GROUP);
        zset.for_range(from..*left, true, |member, score| {
            body.element(member);
            body.bytes(&score.to_le_bytes());
        });
        *left = from;
    }
    *left == 0
}

#[cfg(test)]
pub(super) mod tests;
