//! Output that waits for the disk, under `appendfsync always`.
//! In: output of connections, each piece bound to the stamp that comes next. Out: how much of it may leave.

use std::sync::atomic::Ordering::*;

use crate::config::AppendFsync;
use crate::server::core::Core;
use crate::storage::Job;

impl Core {
    /// Whether replies wait for the disk.
    pub(in crate::server) fn refresh_strictness(&mut self) {
        let strict = self.shared.is_logged()
            && self.config.appendfsync == AppendFsync::Always
            && !self.spares_syncs()
            && self.shared.persistence.log.is_open.load(Acquire);
        if strict && !self.appending.strict {
            // What was written before without a sync is waited for, too.
            self.actions.jobs.push(Job::Sync);
        }
        self.appending.strict = strict;
    }

    /// The connection's output grew: what is new waits for what was logged before it (1).
    pub(in crate::server) fn bind_output(&mut self, slot: u32) {
        let stamp = self.shared.log_next.load(Acquire);
        let connection = self.connection_mut(slot);
        let new = connection.output.len() - connection.bound_bytes;
        connection.bound_bytes += new;
        match connection.bound.back_mut() {
            _ if new == 0 => {}
            Some((bytes, last)) if *last == stamp => *bytes += new,
            _ => connection.bound.push_back((new, stamp)),
        }
    }

    /// How much of the connection's output may leave. If that is not all of it, its slot is looked at again in time.
    pub(in crate::server) fn take_unbound(&mut self, slot: u32) -> usize {
        let log = &self.shared.persistence.log;
        let mut durable = log.progress.durable();
        let strict = self.appending.strict;
        let waits = |durable: u64, stamp: u64| strict && stamp > durable;
        let last = self.connection_at(slot).bound.back().map(|(_, stamp)| *stamp);
        if last.is_some_and(|stamp| waits(durable, stamp)) {
            log.progress.wait(self.id);
            durable = log.progress.durable();
        }
        let connection = self.connection_mut(slot);
        let mut ready = 0;
        while let Some(&(bytes, stamp)) = connection.bound.front()
            && !waits(durable, stamp)
        {
            ready += bytes;
            connection.bound_bytes -= bytes;
            connection.bound.pop_front();
        }
        if connection.bound.is_empty() {
            return connection.output.len();
        }
        self.appending.held.push(slot);
        ready
    }

    /// Whether output waits for the disk.
    pub fn awaits_disk(&self) -> bool {
        self.appending.strict && !self.appending.held.is_empty()
    }
}
