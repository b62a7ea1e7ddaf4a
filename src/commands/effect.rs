//! What commands did, said once: events for whoever listens to the keyspace, records for the log and replicas, and lines for MONITOR.
//! In: what handlers say through `Context` (`notify`, `log_as` …), what shards say of keys that went by themselves.
//! Out: events, and the records of a unit, in the order in which all of it happened.
//! Invariants: F1, nothing is gathered that nobody asked for; F2, the records of a unit, applied at any later time to
//! the same data by a server where nothing expires by itself, give the same data. So what keys did by themselves is recorded
//! before what a command did after it, whenever the command says so.
//! Absent: who gets the events and the records (see `server::effects`).

use super::monitor::Lines;
use crate::client::Args;
use crate::config::Events;
use crate::persist::aof::{Mark, Unit};
use crate::shard::{Incident, Shard, What, tell};

/// Something that happened to a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub class: Events,
    pub name: &'static str,
    pub db: u16,
    pub key: Box<[u8]>,
}

/// What becomes of the command that runs in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Form {
    /// As it was sent, if it changed anything.
    #[default]
    AsSent,
    /// As it was sent, whatever it changed.
    Always,
    /// Its handler said it in other words, or that there is nothing to say.
    Said,
}

#[derive(Default)]
pub struct Effects {
    /// Event classes that somebody may listen to.
    heard: Events,
    logged: bool,
    /// Since they were last taken.
    pub events: Vec<Event>,
    /// Of the unit that runs.
    pub unit: Unit,
    /// Of the unit that runs, for MONITOR.
    pub lines: Lines,
    /// The command has something to say about the log itself.
    pub mark: Option<Mark>,
    form: Form,
    /// The log is not to have what the command does; what keys do by themselves it gets all the same.
    pub unrecorded: bool,
    /// Changes that the shards at hand had counted when the command began.
    changes_before: u64,
}

impl Effects {
    /// Who listens from now on.
    pub fn listen(&mut self, heard: Events, logged: bool) {
        // Without K or E an event is published nowhere.
        let published = heard.0 & (Events::KEYSPACE.0 | Events::KEYEVENT.0) != 0;
        self.heard = if published { heard } else { Events::default() };
        self.logged = logged;
    }

    /// What the shards have to tell.
    pub fn tell(&self) -> u8 {
        let bit = |asked: bool, bit: u8| if asked { bit } else { 0 };
        let lapsed = [Events::EXPIRED, Events::EVICTED, Events::HASH];
        bit(self.logged || lapsed.into_iter().any(|class| self.hears(class)), tell::LAPSED)
            | bit(self.hears(Events::NEW), tell::NEW)
            | bit(self.hears(Events::KEY_MISS), tell::MISSED)
    }

    /// Whether anybody wants to know anything.
    #[inline]
    pub fn wanted(&self) -> bool {
        self.logged || self.heard.0 != 0 || self.mark.is_some()
    }

    /// Whether what ran has something to tell.
    #[inline]
    pub fn has_news(&self) -> bool {
        !self.events.is_empty() || !self.unit.is_empty() || self.mark.is_some()
    }

    /// The command, which has all shards at hand, says this about the log.
    pub fn mark(&mut self, mark: Mark) {
        self.mark = Some(mark);
    }

    #[inline]
    pub fn is_logged(&self) -> bool {
        self.logged
    }

    #[inline]
    pub fn hears(&self, class: Events) -> bool {
        self.heard.0 & class.0 != 0
    }

    /// A command begins.
    pub fn begin<'a>(&mut self, shards: impl Iterator<Item = &'a Shard>) {
        self.form = Form::AsSent;
        self.unrecorded = false;
        self.changes_before = shards.map(Shard::changes).sum();
    }

    /// The command is over: it goes into the unit as it was sent, unless its handler said otherwise.
    pub fn end<'a>(&mut self, db: u16, args: Args, shards: impl Iterator<Item = &'a mut Shard>) {
        let mut changes = 0;
        self.take_incidents(shards.inspect(|shard| changes += shard.changes()));
        let as_sent = match self.form {
            Form::AsSent => changes != self.changes_before,
            Form::Always => true,
            Form::Said => false,
        };
        if self.logged && as_sent && !self.unrecorded {
            self.unit.push(db, args.len(), args.iter());
        }
    }

    /// What happened to the keys of these shards by themselves, up to now.
    pub fn take_incidents<'a>(&mut self, shards: impl Iterator<Item = &'a mut Shard>) {
        let mut incidents = Vec::new();
        shards.for_each(|shard| incidents.append(&mut shard.incidents));
        incidents.sort_by_key(|incident: &Incident| incident.stamp);
        for Incident { db, key, what, .. } in incidents {
            match what {
                What::Expired => {
                    self.push(db, &[b"DEL", &key]);
                    self.event(Events::EXPIRED, "expired", db, &key);
                }
                What::Evicted => {
                    self.push(db, &[b"DEL", &key]);
                    self.event(Events::EVICTED, "evicted", db, &key);
                }
                What::FieldsExpired(fields) => {
                    let mut args: Vec<&[u8]> = vec![b"HDEL", &key];
                    args.extend(fields.iter().map(|field| &**field));
                    self.push(db, &args);
                    self.event(Events::HASH, "hexpired", db, &key);
                }
                What::Emptied => self.event(Events::GENERIC, "del", db, &key),
                What::Made => self.event(Events::NEW, "new", db, &key),
                What::Missed => self.event(Events::KEY_MISS, "keymiss", db, &key),
            }
        }
    }

    pub fn event(&mut self, class: Events, name: &'static str, db: u16, key: &[u8]) {
        if self.hears(class) {
            self.events.push(Event { class, name, db, key: key.into() });
        }
    }

    fn push(&mut self, db: u16, args: &[&[u8]]) {
        if self.logged {
            self.unit.push(db, args.len(), args.iter().copied());
        }
    }

    /// A record besides the command's own. What happened to the keys of the shards at hand by themselves came first.
    pub fn record<'a>(&mut self, db: u16, args: &[&[u8]], shards: impl Iterator<Item = &'a mut Shard>) {
        self.take_incidents(shards);
        if !self.unrecorded {
            self.push(db, args);
        }
    }

    /// The command goes into the log in these words rather than as it was sent. May be said several times.
    pub fn record_instead<'a>(
        &mut self,
        db: u16,
        args: &[&[u8]],
        shards: impl Iterator<Item = &'a mut Shard>,
    ) {
        self.form = Form::Said;
        self.record(db, args, shards);
    }

    /// What was recorded so far, or nothing, is all that the log gets of the command.
    pub fn record_no_more(&mut self) {
        self.form = Form::Said;
    }

    /// The command goes into the log as it was sent even if it changed nothing.
    pub fn record_always(&mut self) {
        self.form = Form::Always;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_told_what_nobody_asked_for() {
        let mut effects = Effects::default();
        effects.listen(Events::ALL, false);
        assert!(!effects.wanted(), "neither K nor E");
        effects.listen(Events(Events::KEYEVENT.0 | Events::LIST.0), false);
        effects.event(Events::LIST, "lpush", 0, b"k");
        effects.event(Events::SET, "sadd", 0, b"k");
        effects.record(0, &[b"DEL", b"k"], std::iter::empty());
        assert_eq!(effects.events.len(), 1);
        assert!(effects.unit.is_empty());
    }

    #[test]
    fn a_unit_is_made_of_commands() {
        let mut effects = Effects::default();
        effects.listen(Events::default(), true);
        effects.record(2, &[b"SET", b"k", b""], std::iter::empty());
        effects.record(0, &[b"DEL", b"k"], std::iter::empty());
        assert_eq!(
            effects.unit.bytes,
            b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\n*2\r\n$3\r\nDEL\r\n$1\r\nk\r\n"
        );
        assert_eq!(effects.unit.records, [(2, 26), (0, 46)]);
    }
}
