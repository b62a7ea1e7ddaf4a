//! Gives the log a new base: when it is time, and what becomes of it.
//! In: how long the log is, what is scheduled, a snapshot that is to be the base. Out: marks, and the base for the storage thread.

use std::sync::atomic::Ordering::*;

use crate::commands::server::persistence::{Purpose, failure_text, log_directory, new_base};
use crate::persist::aof::Mark;
use crate::server::core::Core;
use crate::shard::Shard;
use crate::shared::Saving;
use crate::storage::{Base, Failure, Job};

impl Core {
    /// By how many per cent the log has grown since it was last rewritten, if that is enough to rewrite it.
    fn growth(&self) -> Option<u64> {
        let progress = &self.shared.persistence.log.progress;
        let (bytes, then) = (progress.bytes.load(Relaxed), progress.bytes_rewritten.load(Relaxed).max(1));
        let percentage = self.config.auto_aof_rewrite_percentage as u64;
        let growth = (bytes.saturating_sub(then) as u128 * 100 / then as u128) as u64;
        (percentage > 0 && bytes > self.config.auto_aof_rewrite_min_size && growth >= percentage)
            .then_some(growth)
    }

    /// Whether the log has grown so much since it was last rewritten that it is time.
    pub(in crate::server) fn rewrite_is_due(&self) -> bool {
        let log = &self.shared.persistence.log;
        let rewrites = *log.rewrites();
        let grown = self.growth().is_some();
        let unfounded = log.waits_for_base.load(Relaxed);
        let by_itself =
            self.shared.is_logged() && (grown || unfounded) && self.now_ms / 1000 >= rewrites.not_before_s;
        (rewrites.scheduled || by_itself) && self.shared.persistence.is_free()
    }

    /// Whether the log is longer than when this core last looked, which looks after it.
    pub(in crate::server) fn log_has_grown(&self) -> bool {
        let log = &self.shared.persistence.log;
        let grown = || log.progress.bytes.load(Relaxed) != self.appending.bytes_seen;
        self.shared.is_logged() && (grown() || log.waits_for_base.load(Relaxed))
    }

    /// All shards are at hand: a new base is of this moment.
    pub(in crate::server) fn begin_rewrite(&mut self, shards: &mut [Box<Shard>]) {
        let scheduled = self.shared.persistence.log.rewrites().scheduled;
        if let Some(growth) = self.growth().filter(|_| !scheduled) {
            crate::log::notice(format!("Starting automatic rewriting of AOF on {growth}% growth"));
        }
        let base = self.begin_snapshot(shards, Purpose::Rewrite);
        // Whoever sees none that waits sees the one that runs.
        self.shared.persistence.log.rewrites().scheduled = false;
        self.put_mark(Mark::Turn { directory: log_directory(&self.config), base });
        crate::log::notice("Background append only file rewriting started");
    }

    /// The snapshot that is to be the base of the log is on disk, or came to nothing.
    pub(in crate::server) fn base_saved(&mut self, saving: Saving, result: Result<u64, Failure>) {
        let form = saving.base.expect("it is the base of the log");
        let (stream, began_s) = (saving.id, saving.began_s);
        match result {
            Ok(bytes) => {
                let base = Base { path: new_base(&self.config), form, bytes, began_s };
                self.actions.jobs.push(Job::Rebase { stream, base: Some(Box::new(base)) });
            }
            Err(failure) => {
                let text = failure_text(&failure);
                crate::log::warning(format!("Background AOF rewrite terminated with error: {text}"));
                self.actions.jobs.push(Job::Rebase { stream, base: None });
                self.end_rewrite(false, began_s);
            }
        }
    }

    pub(super) fn end_rewrite(&mut self, ok: bool, began_s: i64) {
        let bytes = self.shared.metrics.iter().map(|core| core.snapshot_bytes_peak.get()).sum();
        self.shared.persistence.log.rewrites().end(ok, began_s, self.now_ms / 1000, bytes);
    }
}
