//! What became of a group while a consumer read or claimed: said to those who listen, and to the log.
//! In: entries that were delivered, or were gone, ids. Out: effects.
//! Invariant: the log names each entry, its time and how often it was delivered, as XCLAIM does, so that reading it
//! again depends on nothing but the entries.

use super::super::Context;
use crate::config::Events;
use crate::types::stream::{Group, Id, Pending};

/// Of one group, by one command.
pub struct Changes {
    logged: bool,
    changed: bool,
    /// As how many changes it all counts.
    counted: i64,
    consumer_is_new: bool,
    /// The group's last id and how many entries it has read, if it moved on.
    moved_to: Option<(Id, Option<i64>)>,
    /// For the log alone.
    delivered: Vec<(Id, Pending)>,
    gone: Vec<Id>,
}

impl Changes {
    /// The command itself is never logged as it was sent.
    pub fn begin(cx: &mut Context) -> Changes {
        let logged = cx.is_logged();
        if logged {
            cx.effects.record_no_more();
        }
        Changes {
            logged,
            changed: false,
            counted: 0,
            consumer_is_new: false,
            moved_to: None,
            delivered: Vec::new(),
            gone: Vec::new(),
        }
    }

    pub fn consumer_created(&mut self) {
        (self.changed, self.consumer_is_new) = (true, true);
        self.counted += 1;
    }

    /// What was done counts as so many changes: one for each entry claimed, one for reading from a stream, be it in vain.
    #[inline]
    pub fn count(&mut self, changes: usize) {
        self.counted += changes as i64;
    }

    /// An entry is pending for the consumer now, with this record.
    #[inline]
    pub fn delivered(&mut self, id: Id, pending: Pending) {
        self.changed = true;
        if self.logged {
            self.delivered.push((id, pending));
        }
    }

    /// An entry that was deleted is pending no more.
    pub fn gone(&mut self, id: Id) {
        self.changed = true;
        if self.logged {
            self.gone.push(id);
        }
    }

    /// The group moved on to where it is now.
    pub fn moved(&mut self, group: &Group) {
        self.changed = true;
        self.moved_to = Some((group.last_id, group.entries_read));
    }

    /// Says it all, of this group of this key and this consumer.
    pub fn say(self, cx: &mut Context, key: &[u8], group: &[u8], consumer: &[u8]) {
        let beyond = self.counted - i64::from(self.changed);
        if beyond != 0 {
            cx.count_beyond(key, beyond);
        }
        if !self.changed {
            return;
        }
        cx.unsaved(key);
        if self.consumer_is_new {
            cx.notify(Events::STREAM, "xgroup-createconsumer", key);
        }
        if self.logged {
            self.log(cx, key, group, consumer);
        }
    }

    fn log(self, cx: &mut Context, key: &[u8], group: &[u8], consumer: &[u8]) {
        if self.consumer_is_new {
            cx.log_as(&[b"XGROUP", b"CREATECONSUMER", key, group, consumer]);
        }
        for (id, pending) in self.delivered {
            let (mut time, mut count) = (itoa::Buffer::new(), itoa::Buffer::new());
            let time = time.format(pending.delivered_ms).as_bytes();
            // An argument is at most that.
            let count = count.format(pending.deliveries.min(i64::MAX as u64)).as_bytes();
            let words = |id: &[u8]| {
                cx.log_as(&[
                    b"XCLAIM",
                    key,
                    group,
                    consumer,
                    b"0",
                    id,
                    b"TIME",
                    time,
                    b"RETRYCOUNT",
                    count,
                    b"FORCE",
                    b"JUSTID",
                ]);
            };
            id.with_text(words);
        }
        for id in self.gone {
            id.with_text(|id| cx.log_as(&[b"XACK", key, group, id]));
        }
        if let Some((last_id, read)) = self.moved_to {
            let mut text = itoa::Buffer::new();
            let read = text.format(read.unwrap_or(-1)).as_bytes();
            last_id.with_text(|id| cx.log_as(&[b"XGROUP", b"SETID", key, group, id, b"ENTRIESREAD", read]));
        }
    }
}
