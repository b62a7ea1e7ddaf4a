//! Writes entries as commands that make them anew, large ones in steps: the base of a log without an RDB file in it.
//! In: an entry of the keyspace. Out: its commands, the ones that Redis writes, at the end of a buffer.
//! Absent: which entries are written and when, files, when an entry was last used, which commands do not say.
//!
//! ```text
//! head of the file: [#TS:seconds] { FUNCTION LOAD } …         then entries, SELECT wherever the database may be another one
//!
//! string SET | list RPUSH | set SADD | sorted set ZADD | hash HMSET         of up to 64 elements each, as often as needed
//! hash with fields that expire { HMSET of one field [HPEXPIREAT] } … | stream, see `stream`
//! behind the value of a key that expires: PEXPIREAT
//! ```
//!
//! 1. Between the steps of an entry its value stays as it is: whoever wants to change it writes the rest first.
//! 2. A step takes time in proportion to its bytes and to one element of the value, which is never divided, unless it is a
//!    string or an element of a list. It may end anywhere in a command.

mod stream;
#[cfg(test)]
mod tests;

use super::unit::write_select;
use crate::base::number::write_f64_long;
use crate::resp::Out;
use crate::types::hash::{Hash, HashView};
use crate::types::list::{Chunk, List, ListView};
use crate::types::listpack::{self, Element};
use crate::types::set::{Set, SetView};
use crate::types::store::{Entry, Store, Value as Stored};
use crate::types::zset::{Zset, ZsetView};
use crate::types::{Stream, Type};

/// The most elements that a command adds.
const GROUP: usize = 64;
const SAME: &str = "1: the value is the one that was begun";

/// The part of an entry that is not written yet.
#[derive(Debug)]
pub struct Rest {
    place: Place,
    group: Group,
}

/// Where the rest of a value begins.
#[derive(Debug)]
enum Place {
    /// At a byte of a string, if its head is written.
    Byte(Option<usize>),
    /// At a chunk of a list, and at a byte of it if its head is written.
    Chunk(usize, Option<usize>),
    /// At a cursor of a set's or hash's table.
    Cursor(u64),
    /// A sorted set is written from the highest member down, and the group knows how many are left.
    Zset,
    Stream(Box<stream::Place>),
}

/// Elements on their way into commands.
#[derive(Debug)]
struct Group {
    /// Elements that were not begun yet.
    left: usize,
    /// How many of them belong to the command that is open.
    open: usize,
}

impl Group {
    fn new(elements: usize) -> Group {
        Group { left: elements, open: 0 }
    }

    /// The next element of so many arguments comes: begins a command where the last one is full.
    fn begin(&mut self, out: &mut Out, command: &[u8], key: &[u8], args: usize) {
        if self.open == 0 {
            self.open = self.left.min(GROUP);
            begin_command(out, command, key, self.open * args);
        }
        self.open -= 1;
        self.left -= 1;
    }
}

/// What a file begins with: when it was written (Unix seconds), if the option aof-timestamp-enabled asks for it, and the
/// code of each library of functions.
pub fn head<'a>(timestamp_s: Option<i64>, libraries: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(seconds) = timestamp_s {
        bytes.extend_from_slice(format!("#TS:{seconds}\r\n").as_bytes());
    }
    let mut out = Out { buf: &mut bytes, resp3: false };
    for code in libraries {
        out.array(3);
        [b"FUNCTION", &b"LOAD"[..], code].into_iter().for_each(|word| out.bulk(word));
    }
    bytes
}

/// What follows is in that database.
pub fn select_db(out: &mut Vec<u8>, db: u16) {
    write_select(db, out);
}

/// Writes an entry: all of it, or the beginning if it takes much more than `step_bytes`.
pub fn entry(entry: &Entry, step_bytes: usize, out: &mut Vec<u8>) -> Option<Rest> {
    let (place, elements) = match entry.kind() {
        Type::String => (Place::Byte(None), 1),
        Type::List => (Place::Chunk(0, None), entry.view::<List>().expect(SAME).len()),
        Type::Set => (Place::Cursor(0), entry.view::<Set>().expect(SAME).len()),
        Type::Hash => (Place::Cursor(0), entry.view::<Hash>().expect(SAME).len()),
        Type::Zset => (Place::Zset, entry.view::<Zset>().expect(SAME).len()),
        Type::Stream => (Place::Stream(Box::default()), 0),
    };
    let mut rest = Rest { place, group: Group::new(elements) };
    let done = rest.step(entry, step_bytes, out);
    (!done).then_some(rest)
}

impl Rest {
    /// Writes about so many bytes more of the entry; true: that was the last of it.
    pub fn step(&mut self, entry: &Entry, step_bytes: usize, out: &mut Vec<u8>) -> bool {
        let end = out.len().saturating_add(step_bytes.max(1));
        let mut sink = Sink { out: Out { buf: out, resp3: false }, key: entry.key(), end };
        let group = &mut self.group;
        let done = match &mut self.place {
            Place::Byte(at) => sink.string(entry.value(), at),
            Place::Chunk(chunk, at) => sink.list(entry.view::<List>().expect(SAME), group, chunk, at),
            Place::Cursor(cursor) => match entry.view::<Set>() {
                Some(set) => sink.set(set, group, cursor),
                None => sink.hash(entry.view::<Hash>().expect(SAME), group, cursor),
            },
            Place::Zset => sink.zset(entry.view::<Zset>().expect(SAME), group),
            Place::Stream(place) => place.step(&mut sink, entry.view::<Stream>().expect(SAME)),
        };
        if let Some(at_ms) = entry.expiry().filter(|_| done) {
            begin_command(&mut sink.out, b"PEXPIREAT", entry.key(), 1);
            sink.out.bulk_int(at_ms);
        }
        done
    }
}

fn begin_command(out: &mut Out, command: &[u8], key: &[u8], args: usize) {
    out.array(2 + args);
    out.bulk(command);
    out.bulk(key);
}

/// Where a step writes to. Each method writes a part of a value, and says whether that was the last.
struct Sink<'a> {
    out: Out<'a>,
    key: &'a [u8],
    /// How long the buffer is to be when the step ends.
    end: usize,
}

impl Sink<'_> {
    fn is_full(&self) -> bool {
        self.out.buf.len() >= self.end
    }

    fn element(&mut self, element: Element) {
        element.with(|bytes| self.out.bulk(bytes));
    }

    fn string(&mut self, value: Stored, at: &mut Option<usize>) -> bool {
        if at.is_none() {
            begin_command(&mut self.out, b"SET", self.key, 1);
        }
        match value {
            Stored::Int(value) => self.out.bulk_int(value),
            Stored::Bytes(bytes) => return self.part(bytes, at),
            Stored::Object(_) => unreachable!("a string is bytes"),
        }
        true
    }

    /// Writes bytes as an argument, from `at` on, or from its head.
    fn part(&mut self, bytes: &[u8], at: &mut Option<usize>) -> bool {
        if at.is_none() && bytes.len() <= self.end.saturating_sub(self.out.buf.len()) {
            self.out.bulk(bytes);
            return true;
        }
        let from = at.unwrap_or_else(|| {
            self.out.bulk_head(bytes.len());
            0
        });
        let room = self.end.saturating_sub(self.out.buf.len());
        let to = bytes.len().min(from.saturating_add(room));
        self.out.raw(&bytes[from..to]);
        *at = (to < bytes.len()).then_some(to);
        if at.is_none() {
            self.out.raw(b"\r\n");
        }
        at.is_none()
    }

    fn list(&mut self, list: ListView, group: &mut Group, chunk: &mut usize, at: &mut Option<usize>) -> bool {
        while let Some(part) = list.chunk(*chunk) {
            match part {
                Chunk::Listpack(pack) => listpack::iter(pack).for_each(|element| {
                    group.begin(&mut self.out, b"RPUSH", self.key, 1);
                    self.element(element);
                }),
                Chunk::Plain(bytes) => {
                    if at.is_none() {
                        group.begin(&mut self.out, b"RPUSH", self.key, 1);
                    }
                    if !self.part(bytes, at) {
                        return false;
                    }
                }
            }
            *chunk += 1;
            if self.is_full() {
                break;
            }
        }
        *chunk == list.chunk_count()
    }

    fn set(&mut self, set: SetView, group: &mut Group, cursor: &mut u64) -> bool {
        let mut member = |sink: &mut Self, member: Element| {
            group.begin(&mut sink.out, b"SADD", sink.key, 1);
            sink.element(member);
        };
        let SetView::Table(table) = set else {
            set.for_each(|element| member(self, element));
            return true;
        };
        self.members(table, cursor, &mut member)
    }

    fn members(
        &mut self,
        table: &Store,
        cursor: &mut u64,
        member: &mut impl FnMut(&mut Self, Element),
    ) -> bool {
        loop {
            *cursor = table.scan(*cursor, &mut |entry| member(self, Element::Bytes(entry.key())));
            if *cursor == 0 || self.is_full() {
                return *cursor == 0;
            }
        }
    }

    fn hash(&mut self, hash: HashView, group: &mut Group, cursor: &mut u64) -> bool {
        let expiring = hash.expires_from().is_some();
        loop {
            *cursor = hash.scan_with_expiry(*cursor, |name, value, expiry_ms| {
                if expiring {
                    begin_command(&mut self.out, b"HMSET", self.key, 2);
                } else {
                    group.begin(&mut self.out, b"HMSET", self.key, 2);
                }
                self.element(name);
                self.element(value);
                if let Some(at_ms) = expiry_ms {
                    begin_command(&mut self.out, b"HPEXPIREAT", self.key, 4);
                    self.out.bulk_int(at_ms);
                    self.out.bulk(b"FIELDS");
                    self.out.bulk_int(1);
                    self.element(name);
                }
            });
            if *cursor == 0 || self.is_full() {
                return *cursor == 0;
            }
        }
    }

    fn zset(&mut self, zset: ZsetView, group: &mut Group) -> bool {
        let mut text = Vec::new();
        let mut scored = |sink: &mut Self, group: &mut Group, member: Element, score: f64| {
            group.begin(&mut sink.out, b"ZADD", sink.key, 2);
            text.clear();
            write_f64_long(&mut text, score);
            sink.out.bulk(&text);
            sink.element(member);
        };
        if matches!(zset, ZsetView::Packed(_)) {
            zset.for_range(0..zset.len(), false, |member, score| scored(self, group, member, score));
        }
        while group.left > 0 && !self.is_full() {
            let ranks = group.left.saturating_sub(GROUP)..group.left;
            zset.for_range(ranks, true, |member, score| scored(self, group, member, score));
        }
        group.left == 0
    }
}
