//! What becomes of a command's effects: events go to whoever listens, units to the log.
//! In: `Effects`, filled by the command that just ended. Out: messages and log records, in the order of the commands.
//! Called with the shards still at hand, so that effects leave in the order in which the keyspace saw them.

use std::sync::atomic::Ordering::AcqRel;

use super::core::Core;
use crate::client::Session;
use crate::commands::{Event, Signal};
use crate::config::Events;
use crate::pubsub::Kind;

impl Core {
    /// Somebody began or ceased to listen.
    pub(super) fn refresh_listeners(&mut self) {
        self.effects.listen(self.config.notify_keyspace_events, self.shared.is_logged());
    }

    /// A command did not come to its end: who caches hears of what it did so far.
    pub(super) fn after_part(&mut self) {
        self.refresh_config();
        if self.heard.follows {
            self.tell_trackers(true);
        }
    }

    /// A command is over. Within a transaction its records wait for the rest of it.
    #[inline]
    pub(super) fn after_command(&mut self, atomic: bool) {
        self.refresh_config();
        if self.heard.follows {
            self.tell_trackers(atomic);
            self.command_ended = None;
        }
        if self.effects.wanted() {
            self.deliver_effects(atomic);
            self.command_ended = None;
        }
        if !atomic {
            self.serve_waits();
        }
    }

    /// The same, for a command of a client, who may want to wait until what it wrote is durable.
    #[inline]
    pub(super) fn after_command_of(&mut self, session: &mut Session) {
        self.after_command(session.atomic);
        if let Some(stamp) = self.appending.stamped.take() {
            session.wrote = stamp + 1;
        }
    }

    /// Keyspace events are messages of two channels: that of the key and that of the event.
    fn publish_events(&mut self) {
        let mut events = std::mem::take(&mut self.effects.events);
        if !self.shared.exchange.is_silent() {
            let heard = self.config.notify_keyspace_events;
            for Event { name, db, key, .. } in &events {
                if heard.contains(Events::KEYSPACE) {
                    self.publish_event(&keyspace_channel(*db, key), name.as_bytes());
                }
                if heard.contains(Events::KEYEVENT) {
                    self.publish_event(format!("__keyevent@{db}__:{name}").as_bytes(), key);
                }
            }
        }
        events.clear();
        self.effects.events = events;
    }

    fn publish_event(&mut self, channel: &[u8], message: &[u8]) {
        let signals = &mut self.signals;
        let wake = |core| signals.push(Signal::Mail { core });
        self.shared.exchange.publish(Kind::Channel, channel, message, wake);
    }

    fn deliver_effects(&mut self, atomic: bool) {
        self.publish_events();
        if !atomic && !self.effects.unit.is_empty() {
            let stamp = self.shared.log_next.fetch_add(1, AcqRel);
            self.log.push(stamp, &self.effects.unit);
            self.effects.unit.clear();
            self.appending.stamped = Some(stamp);
        }
        if let Some(mark) = self.effects.mark.take() {
            self.put_mark(mark);
        }
    }
}

fn keyspace_channel(db: u16, key: &[u8]) -> Vec<u8> {
    let mut channel = format!("__keyspace@{db}__:").into_bytes();
    channel.extend_from_slice(key);
    channel
}
