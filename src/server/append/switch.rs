//! Switches the log on and off, with all shards at hand.
//! In: a configuration that says other than what is. Out: marks where the log begins and ends.

use std::sync::atomic::Ordering::*;

use crate::commands::server::persistence::{base_form, give_up, log_directory};
use crate::persist::aof::{Begin, Mark, Source};
use crate::server::batch::Task;
use crate::server::core::Core;
use crate::shard::Shard;

impl Core {
    /// Sends for all shards to switch the log on or off, if the configuration says other than what is.
    pub(in crate::server) fn follow_appendonly(&mut self) {
        if !std::mem::take(&mut self.appending.config_is_new) {
            return;
        }
        let log = &self.shared.persistence.log;
        let differs = self.config.appendonly != self.shared.is_logged();
        // Whoever ends the start makes it known as a change of the configuration.
        if log.can_switch() && differs && !log.changes.swap(true, AcqRel) {
            self.fetch_for(Task::Log);
        }
    }

    /// All shards are at hand: the log begins or ends here.
    pub(in crate::server) fn switch_log(&mut self, shards: &mut [Box<Shard>]) {
        self.shared.persistence.log.changes.store(false, Release);
        let (wanted, logged) = (self.config.appendonly, self.shared.is_logged());
        if wanted && !logged {
            self.shared.persistence.await_base();
            self.put_mark(self.beginning(Source::Memory));
            self.shared.set_logged(true);
            if self.shared.persistence.is_free() {
                self.begin_rewrite(shards);
            } else {
                self.shared.persistence.schedule_rewrite();
            }
        } else if !wanted && logged {
            let running = self.shared.persistence.saves().running;
            if running.is_some_and(|saving| saving.base.is_some()) {
                crate::log::notice("Killing AOF child, as Redis would: the rewrite under way is given up");
                let shards = shards.iter_mut().map(|shard| &mut **shard);
                give_up(&self.shared, shards, &mut self.actions.jobs);
            }
            self.put_mark(Mark::End);
            self.shared.set_logged(false);
            self.shared.persistence.unschedule_rewrite();
            self.shared.persistence.log.waits_for_base.store(false, Release);
        }
        // What waited for the shards runs in the same event, and belongs to the log, or does not any more.
        self.refresh_config();
    }

    pub(in crate::server) fn beginning(&self, source: Source) -> Mark {
        let form = base_form(&self.config);
        Mark::Begin(Box::new(Begin { directory: log_directory(&self.config), form, source }))
    }
}
