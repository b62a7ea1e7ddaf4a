//! What the storage thread tells the owner of the log.
//! In: how beginning, rewriting and writing went. Out: lines for the operator, gates, signals for who waits.

use std::sync::atomic::Ordering::*;

use crate::commands::Signal;
use crate::commands::server::persistence::failure_text;
use crate::config::os_error_text;
use crate::server::core::Core;
use crate::shared::gate;
use crate::storage::{Doing, Failure, LogNews, StreamId};

impl Core {
    pub(in crate::server) fn log_news(&mut self, news: LogNews) {
        match news {
            LogNews::Begun(result) => self.log_begun(result),
            LogNews::Turned(Ok(())) => {}
            LogNews::Turned(Err(failure)) => {
                crate::log::warning(format!("Can't open the append-only file: {}", failure_text(&failure)));
            }
            LogNews::Rebased { stream, began_s, result } => self.log_rebased(stream, began_s, result),
            LogNews::Fails(failure) => self.log_fails(&failure),
            LogNews::Lost(failure) => {
                // Nobody was told that it is safe, and nobody will be.
                let text = failure_text(&failure);
                crate::log::warning(format!(
                    "Can't persist AOF for fsync error when the AOF fsync policy is 'always': {text}. Exiting..."
                ));
                self.actions.abort = true;
            }
            LogNews::Recovered => {
                crate::log::warning("AOF write error looks solved. The server can write again.");
                self.shared.persistence.log.errno.store(0, Release);
                self.shared.set_gate(gate::LOG_FAILED, false);
            }
        }
    }

    fn log_begun(&mut self, result: Result<(), Failure>) {
        if let Err(failure) = &result {
            let text = failure_text(failure);
            crate::log::warning(format!("Can't open or create append-only dir or file: {text}"));
        }
        if self.appending.opening.is_some() {
            return self.opened(result);
        }
        if result.is_err() {
            // There is no log: the configuration says so again.
            let off = self.shared.update_config(|config| {
                config.set_by_server("appendonly", b"no");
                Ok::<(), ()>(())
            });
            off.expect("a configuration without a log is sound");
            self.refresh_config();
        }
        self.signals.push(Signal::LogBegun { ok: result.is_ok() });
        self.send_signals();
    }

    fn log_rebased(&mut self, stream: StreamId, began_s: i64, result: Result<(), Failure>) {
        let log = &self.shared.persistence.log;
        match &result {
            Ok(()) => {
                let founds = stream > log.rewrites().first_base;
                if founds && log.waits_for_base.swap(false, AcqRel) {
                    self.signals.push(Signal::LogFounded);
                    self.send_signals();
                }
                crate::log::notice("Background AOF rewrite finished successfully");
            }
            Err(Failure::Cancelled) => {
                crate::log::notice(
                    "The log ended before its new base was in its place: the base is given up",
                );
                log.rewrites().rebasing_began_s = None;
                return;
            }
            Err(failure) => {
                let text = failure_text(failure);
                crate::log::warning(format!(
                    "Error trying to put the new base of the AOF into its place: {text}"
                ));
            }
        }
        self.end_rewrite(result.is_ok(), began_s);
    }

    fn log_fails(&mut self, failure: &Failure) {
        let error = failure.io_error().unwrap_or_else(|| std::io::Error::other("unknown"));
        let text = os_error_text(&error);
        let syncs = matches!(failure, Failure::System { doing: Doing::Sync, .. });
        let doing = if syncs { "syncing" } else { "writing to" };
        crate::log::warning(format!("Error {doing} the AOF file: {text}"));
        self.shared.persistence.log.errno.store(error.raw_os_error().unwrap_or(libc::EIO), Release);
        self.shared.set_gate(gate::LOG_FAILED, true);
        for core in 0..self.shards.len() {
            self.shared.persistence.log.progress.wait(core);
        }
    }
}
