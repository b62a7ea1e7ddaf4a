//! Commands that wait for the log: WAITAOF for what is durable, DEBUG LOADAOF for all of it.
//! In: waits, and how far the log is durable. Out: answers; the files, which are read again.

use std::sync::Arc;
use std::sync::atomic::Ordering::*;

use crate::client::{Answer, Nothing, Wait};
use crate::commands::Error;
use crate::commands::blocking::is_durable;
use crate::server::core::Core;
use crate::storage::{Failure, Job};

impl Core {
    /// DEBUG LOADAOF holds all shards: it goes on when all that was logged is in files.
    pub(in crate::server) fn await_log(&mut self) {
        self.hand_over_log();
        self.actions.jobs.push(Job::Sync);
        self.serve_log_waits();
    }

    /// Looks after who waits for the log to be durable.
    pub(in crate::server) fn serve_log_waits(&mut self) {
        if self.holds_for_log() {
            let progress = &self.shared.persistence.log.progress;
            progress.wait(self.id);
            if !self.shared.is_logged() || progress.durable() == self.shared.log_next.load(Acquire) {
                self.load_log_again();
            }
        }
        self.serve_durable();
    }

    /// A connection of this core waits until what was logged is durable.
    pub(in crate::server) fn await_durable(&mut self, wait: Arc<Wait>) {
        self.appending.waits.push(wait);
        // Whoever wrote syncs in time; if that was long ago, nobody does.
        self.appending.reached = self.shared.log_next.load(Acquire);
        self.serve_durable();
    }

    /// Ends the waits for what is durable now.
    fn serve_durable(&mut self) {
        if self.appending.waits.is_empty() {
            return;
        }
        let shared = self.shared.clone();
        shared.persistence.log.progress.wait(self.id);
        let logged = shared.is_logged();
        let over = |wait: &mut Arc<Wait>| {
            let reached = matches!(
                wait.nothing, Nothing::Durable { stamp, here: true, .. } if is_durable(&shared, stamp)
            );
            wait.is_over() || reached || !logged
        };
        let ended: Vec<Arc<Wait>> = self.appending.waits.extract_if(.., over).collect();
        for wait in ended {
            if wait.claim_patiently() {
                wait.finish();
                let refused = Answer::Error(Error::NO_LOG_TO_WAIT_FOR.0);
                self.end_wait(wait, if logged { Answer::TimeOut } else { refused });
            }
        }
    }

    fn load_log_again(&mut self) {
        match crate::server::replay::find(&self.config, true) {
            Ok(found) => {
                self.clear_held();
                self.read_log_files(found.files, found.manifest.base.is_some(), true);
            }
            Err(text) => {
                crate::log::warning(text);
                self.log_read_again(Err(Failure::Cancelled));
            }
        }
    }
}
