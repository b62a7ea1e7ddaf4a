//! Work that is never urgent: freeing what was thrown away, deleting what expired, in slices.
//! In: time between events, ticks. Out: memory; effects of keys that expired.

use std::sync::atomic::Ordering::*;

use super::core::Core;
use super::walking::News;

/// Between two looks at the rings so many portions are freed, unless they take longer than that: an entry may be the last one
/// of its memory, which then goes back to the system.
const FREE_PORTIONS: usize = 16;
const FREE_PORTION_ENTRIES: usize = 16;
const FREE_SLICE_US: u64 = 100;

impl Core {
    /// Work that is never urgent, a slice at a time: true while there is more. `news`: whether something came meanwhile.
    pub fn idle_work(&mut self, news: News) -> bool {
        let more = self.may_walk() && self.walk(news);
        let more = self.free_some() || more;
        // What was evicted is told, and logged; what follows from it is the next turn's.
        let tells = !self.signals.is_empty();
        self.send_signals();
        self.hand_over_log();
        more || tells
    }

    /// Frees portions of what was thrown away, and evicts keys, for a while; true while there is more.
    fn free_some(&mut self) -> bool {
        let evicts = self.evict_slice();
        let mut start_us = None;
        for _ in 0..FREE_PORTIONS {
            if !self.has_garbage() {
                return evicts;
            }
            let now_us = self.shared.clock.mono_us();
            if now_us - *start_us.get_or_insert(now_us) >= FREE_SLICE_US {
                break;
            }
            self.spent_buffers.free_portion();
            if let Some(shard) = self.shards.iter_mut().flatten().find(|shard| shard.has_trash()) {
                shard.free_slice(FREE_PORTION_ENTRIES);
            }
        }
        evicts || self.has_garbage()
    }

    fn has_garbage(&self) -> bool {
        !self.spent_buffers.is_empty() || self.shards.iter().flatten().any(|shard| shard.has_trash())
    }

    /// Active expiry: slices until little is found, as Redis' slow cycle does, or the time is up; then it goes on soon, and so
    /// takes a fifth to a third of the time while there is much to do. What is deleted may be memory that goes back to the
    /// system, so a slice is small.
    pub(super) fn expire_some(&mut self) {
        const BUCKETS: usize = 16;
        const SLICES_MIN: usize = 64;
        const BUDGET_US: u64 = 225;
        const BUDGET_US_EACH_EFFORT: u64 = 25;
        self.expiry_behind = false;
        if self.shared.active_expire_off.load(Relaxed) || self.is_paused() || self.shared.is_loading() {
            return;
        }
        // Loading may have ended, and a log begun, since the event began.
        self.refresh_config();
        self.follow_changes();
        let moment = self.moment(false);
        let start = self.shared.clock.mono_us();
        let shard = self.shards[self.id].as_mut().expect("the caller looked");
        let budget = BUDGET_US + BUDGET_US_EACH_EFFORT * self.config.active_expire_effort.clamp(1, 10) as u64;
        for slice in 0.. {
            let found = shard.expire_slice(&moment, BUCKETS);
            self.effects.take_incidents(std::iter::once(&mut **shard));
            let spent = self.shared.clock.mono_us() - start;
            let worthwhile = found.unfinished || found.expired * 10 >= found.sampled.max(1);
            let late = spent >= budget || slice >= 4096;
            if late || (slice >= SLICES_MIN && !worthwhile) || !shard.has_expires() {
                self.expiry_behind = late && worthwhile;
                shard.counters.expire_cycle_us += spent;
                break;
            }
        }
        self.after_command(false);
        self.appending.stamped = None;
    }
}
