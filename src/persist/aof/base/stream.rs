//! A stream as commands.
//!
//! ```text
//! { XADD } …, or XADD MAXLEN 0 for a stream without entries | XSETID | { group } … | remains
//!
//! group:    XGROUP CREATE | { XGROUP CREATECONSUMER, or XCLAIM JUSTID FORCE of each entry that is pending } …
//! remains:  XTRIM, XDEL | XSETID
//! ```
//!
//! XCLAIM finds no entry that was deleted while it was pending. So such entries are added, too, in their places, claimed,
//! and deleted again at the end, where what was known of deletions is set anew. (Redis loses them.)
//!
//! Invariant: a pending entry that is gone was added once, so it is not above the last id; and if it is behind the first
//! entry that is there, it was deleted and not trimmed.

use super::{Group as Elements, Sink, begin_command};
use crate::types::Stream;
use crate::types::stream::{Consumer, Entry, Group, Id, Log};

/// The lowest id that an entry can have.
const FIRST: Id = Id { ms: 0, seq: 1 };

/// Where the rest of a stream begins.
#[derive(Debug, Default)]
pub(super) struct Place {
    part: Part,
    /// Entries that were added although they are gone, in order.
    gone: Vec<Id>,
}

#[derive(Debug)]
enum Part {
    /// At the first entry from this id on.
    Entries(Id),
    Groups(InGroups),
    /// At one of those that are gone, which are in this group.
    Remains(Elements),
}

impl Default for Part {
    fn default() -> Part {
        Part::Entries(FIRST)
    }
}

/// At a group; at a consumer of it if the group is made; at the first pending entry of it from this id on.
#[derive(Debug)]
struct InGroups {
    group: usize,
    consumer: Option<usize>,
    id: Id,
}

impl Place {
    /// Writes some of a stream; true: that was the last of it.
    pub(super) fn step(&mut self, sink: &mut Sink, stream: &Stream) -> bool {
        let log = &stream.log;
        loop {
            let done = match &mut self.part {
                Part::Entries(from) => entries(sink, stream, from, &mut self.gone),
                Part::Groups(at) => groups(sink, stream, at),
                Part::Remains(elements) => delete(sink, log, &self.gone, elements),
            };
            if !done {
                return false;
            }
            self.part = match self.part {
                Part::Entries(_) => {
                    if log.is_empty() && self.gone.is_empty() {
                        sink.make_empty();
                    }
                    sink.set_id(log, self.gone.len() as u64);
                    Part::Groups(InGroups { group: 0, consumer: None, id: FIRST })
                }
                Part::Groups(_) if self.gone.is_empty() => return true,
                Part::Groups(_) => Part::Remains(trim(sink, log, &self.gone)),
                Part::Remains(_) => {
                    sink.set_id(log, 0);
                    return true;
                }
            };
        }
    }
}

/// Writes entries, and those that are pending and gone, which it adds to `gone`.
fn entries(sink: &mut Sink, stream: &Stream, from: &mut Id, gone: &mut Vec<Id>) -> bool {
    let last = stream.log.last_id();
    let mut entries = stream.log.range(*from..=Id::MAX).peekable();
    let of_group = |(_, group)| Group::pending(group).range(*from..).map(|(&id, _)| id).peekable();
    let mut pending: Vec<_> = stream.groups.iter().map(of_group).collect();
    loop {
        let lowest = pending.iter_mut().filter_map(|ids| ids.peek().copied()).min().filter(|&id| id <= last);
        let Some(id) = entries.peek().map(|entry| entry.id).into_iter().chain(lowest).min() else {
            return true;
        };
        pending.iter_mut().for_each(|ids| _ = ids.next_if_eq(&id));
        match entries.next_if(|entry| entry.id == id) {
            Some(entry) => sink.entry(&entry),
            None => {
                gone.push(id);
                sink.absent_entry(id);
            }
        }
        let Some(next) = id.next() else { return true };
        *from = next;
        if sink.is_full() {
            return false;
        }
    }
}

fn groups(sink: &mut Sink, stream: &Stream, at: &mut InGroups) -> bool {
    let last = stream.log.last_id();
    for (name, group) in stream.groups.iter().skip(at.group) {
        if at.consumer.is_none() {
            sink.create_group(name, group);
            at.consumer = Some(0);
        }
        let consumer = at.consumer.get_or_insert(0);
        for one in group.consumers().skip(*consumer) {
            if !consumer_of(sink, (name, group), one, &mut at.id, last) {
                return false;
            }
            (*consumer, at.id) = (*consumer + 1, FIRST);
            if sink.is_full() {
                return false;
            }
        }
        (at.group, at.consumer) = (at.group + 1, None);
        if sink.is_full() {
            return false;
        }
    }
    true
}

/// Writes a consumer of the group: what is pending for it from an id on.
fn consumer_of(
    sink: &mut Sink,
    (name, group): (&[u8], &Group),
    consumer: &Consumer,
    from: &mut Id,
    last: Id,
) -> bool {
    let mut ids = consumer.pending().range(*from..).copied().take_while(|&id| id <= last).peekable();
    if *from == FIRST && ids.peek().is_none() {
        sink.create_consumer(name, consumer.name());
    }
    for id in ids {
        sink.claim((name, group), consumer.name(), id);
        let Some(next) = id.next() else { break };
        *from = next;
        if sink.is_full() {
            return false;
        }
    }
    true
}

/// Takes away what is gone and before all entries; the others are left, to be deleted.
fn trim(sink: &mut Sink, log: &Log, gone: &[Id]) -> Elements {
    let before = if log.is_empty() { gone.len() } else { gone.partition_point(|&id| id < log.first_id()) };
    if before > 0 {
        begin_command(&mut sink.out, b"XTRIM", sink.key, 2);
        if log.is_empty() {
            sink.out.bulk(b"MAXLEN");
            sink.out.bulk_int(0);
        } else {
            sink.out.bulk(b"MINID");
            sink.id(log.first_id());
        }
    }
    Elements::new(gone.len() - before)
}

fn delete(sink: &mut Sink, log: &Log, gone: &[Id], elements: &mut Elements) -> bool {
    debug_assert!(elements.left == 0 || !log.is_empty(), "what is behind an entry is deleted, not trimmed");
    while elements.left > 0 && !sink.is_full() {
        let id = gone[gone.len() - elements.left];
        elements.begin(&mut sink.out, b"XDEL", sink.key, 1);
        sink.id(id);
    }
    elements.left == 0
}

impl Sink<'_> {
    fn id(&mut self, id: Id) {
        id.with_text(|text| self.out.bulk(text));
    }

    /// A number that commands take if it is no more than that of an argument.
    fn count(&mut self, count: u64) {
        self.out.bulk_int(count.min(i64::MAX as u64) as i64);
    }

    fn entry(&mut self, entry: &Entry) {
        begin_command(&mut self.out, b"XADD", self.key, 1 + 2 * entry.fields);
        self.id(entry.id);
        entry.for_each(|name, value| {
            self.element(name);
            self.element(value);
        });
    }

    /// An entry that is claimed and then deleted.
    fn absent_entry(&mut self, id: Id) {
        begin_command(&mut self.out, b"XADD", self.key, 3);
        self.id(id);
        self.out.bulk(b"x");
        self.out.bulk(b"y");
    }

    /// A stream that has no entries.
    fn make_empty(&mut self) {
        begin_command(&mut self.out, b"XADD", self.key, 5);
        for word in ["MAXLEN", "0", "0-1", "x", "y"] {
            self.out.bulk(word.as_bytes());
        }
    }

    /// What is known of entries besides themselves; so many are there that will be gone. Where a file of a server that did
    /// not count said what cannot be, it is what commands take.
    fn set_id(&mut self, log: &Log, gone: u64) {
        begin_command(&mut self.out, b"XSETID", self.key, 5);
        self.id(log.last_id());
        self.out.bulk(b"ENTRIESADDED");
        self.count(log.added().max(log.len() + gone));
        self.out.bulk(b"MAXDELETEDID");
        self.id(log.max_deleted_id().min(log.last_id()));
    }

    fn begin_group(&mut self, subcommand: &[u8], name: &[u8], args: usize) {
        self.out.array(4 + args);
        [b"XGROUP", subcommand, self.key, name].into_iter().for_each(|word| self.out.bulk(word));
    }

    fn create_group(&mut self, name: &[u8], group: &Group) {
        self.begin_group(b"CREATE", name, 3);
        self.id(group.last_id);
        self.out.bulk(b"ENTRIESREAD");
        self.out.bulk_int(group.entries_read.filter(|&read| read >= 0).unwrap_or(-1));
    }

    fn create_consumer(&mut self, group: &[u8], consumer: &[u8]) {
        self.begin_group(b"CREATECONSUMER", group, 1);
        self.out.bulk(consumer);
    }

    fn claim(&mut self, (name, group): (&[u8], &Group), consumer: &[u8], id: Id) {
        let pending = group.pending()[&id];
        begin_command(&mut self.out, b"XCLAIM", self.key, 10);
        self.out.bulk(name);
        self.out.bulk(consumer);
        self.out.bulk_int(0);
        self.id(id);
        self.out.bulk(b"TIME");
        self.out.bulk_int(pending.delivered_ms);
        self.out.bulk(b"RETRYCOUNT");
        self.count(pending.deliveries);
        self.out.bulk(b"JUSTID");
        self.out.bulk(b"FORCE");
    }
}
