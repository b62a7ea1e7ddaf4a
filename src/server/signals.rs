//! Signals: what commands and cores tell other cores, or their own.
//! In: signals left by what ran, and those of other cores. Out: messages; what they ask for is begun here.

use super::batch::Message;
use super::core::{ACCEPTING_CORE, Core};
use crate::commands::Signal;
use crate::shared::gate;

impl Core {
    /// Sends what commands left for others.
    pub(super) fn send_signals(&mut self) {
        // One to this very core may lead to others.
        while !self.signals.is_empty() {
            for signal in std::mem::take(&mut self.signals) {
                self.send_signal(signal);
            }
        }
    }

    fn send_signal(&mut self, signal: Signal) {
        match &signal {
            Signal::Kill(id) => self.signal_core(id.core as usize, signal),
            Signal::Listen => self.signal_core(ACCEPTING_CORE, signal),
            Signal::MonitorLines { to, .. } => self.signal_core(to.core as usize, signal),
            Signal::Unwatch { shard, .. } | Signal::Unwait { shard, .. } => {
                self.signal_core(*shard, signal);
            }
            Signal::Recall { keeper, .. } => self.signal_core(*keeper, signal),
            Signal::Served { wait, .. } => self.signal_core(wait.to.core as usize, signal),
            Signal::Mail { core } | Signal::Evict { core } | Signal::Forget { core } => {
                self.signal_core(*core, signal)
            }
            Signal::Resume
            | Signal::Busy
            | Signal::Shutdown
            | Signal::SaveOver { .. }
            | Signal::LogBegun { .. }
            | Signal::LogFounded => {
                for core in 0..self.shared.slots.shard_count() {
                    self.signal_core(core, signal.clone());
                }
            }
        }
    }

    pub(super) fn signal_core(&mut self, core: usize, signal: Signal) {
        if core == self.id {
            self.signalled(signal);
        } else {
            self.actions.mesh.push((core, Message::Signal(Box::new(signal))));
        }
    }

    pub(super) fn signalled(&mut self, signal: Signal) {
        match signal {
            Signal::Kill(id) => {
                if self.connection(id).is_some() {
                    self.close(id.slot, false);
                }
            }
            Signal::Resume => self.resume(),
            Signal::Evict { .. } => self.asked_to_evict(),
            Signal::Forget { .. } => self.forget_keys(),
            Signal::Recall { shard, .. } => self.let_go(shard),
            Signal::Unwatch { db, key, .. } => {
                self.unwatch.push((db, key));
                self.unwatch_waiting();
            }
            Signal::Served { wait, answer } => self.end_wait(wait, answer),
            Signal::Unwait { wait, .. } => self.unwait(wait),
            Signal::Mail { .. } => self.take_mail(),
            Signal::MonitorLines { to, place, lines } => self.monitor_lines(to, place, lines),
            Signal::Busy => {
                self.refuse_waiting();
                self.release_replies();
            }
            Signal::Shutdown => self.shared.set_gate(gate::SHUTDOWN, true),
            Signal::SaveOver { id } => self.walking.save_over(id),
            Signal::LogBegun { ok } => self.log_switched(ok),
            Signal::LogFounded => self.serve_log_waits(),
            Signal::Listen => self.actions.listen = true,
        }
    }
}
