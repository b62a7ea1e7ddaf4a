//! What becomes of a command's effects: events go to whoever listens, units to the log.
//! In: `Effects`, filled by the command that just ended. Out: messages and log records, in the order of the commands.
//! Called with the shards still at hand, so that effects leave in the order in which the keyspace saw them.

use std::sync::atomic::Ordering::AcqRel;

use super::core::Core;
use crate::client::Session;

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

    fn deliver_effects(&mut self, atomic: bool) {
        let count = self.effects.events.len();
        if count > 0 {
            self.parts(None).news().publish_events(count);
        }
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
