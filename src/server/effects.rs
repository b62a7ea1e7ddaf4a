//! What becomes of a command's effects: events go to whoever listens, units to the log.
//! In: `Effects`, filled by the command that just ended. Out: messages and log records, in the order of the commands.
//! Called with the shards still at hand, so that effects leave in the order in which the keyspace saw them.

use std::sync::atomic::Ordering::AcqRel;

use super::core::Core;

impl Core {
    /// Somebody began or ceased to listen.
    pub(super) fn refresh_listeners(&mut self) {
        self.effects.listen(self.config.notify_keyspace_events, self.shared.is_logged());
    }

    /// A command is over. Within a transaction its records wait for the rest of it.
    #[inline]
    pub(super) fn after_command(&mut self, atomic: bool) {
        self.refresh_config();
        if self.effects.wanted() {
            self.deliver_effects(atomic);
        }
        if !atomic {
            self.serve_waits();
        }
    }

    fn deliver_effects(&mut self, atomic: bool) {
        self.effects.events.clear();
        if !atomic && !self.effects.unit.is_empty() {
            let stamp = self.shared.log_next.fetch_add(1, AcqRel);
            self.log.push(stamp, &self.effects.unit);
            self.effects.unit.clear();
        }
    }
}
