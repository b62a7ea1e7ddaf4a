//! What all cores share: configuration, counters, the list of clients, the slow log. Nothing here is locked on the hot path.
//! In: rare updates under a lock, counters by their one writer. Out: the same to any core.
//! Invariant: a change is visible to every core before the reply that acknowledges it leaves.

pub mod listening;
mod memory;
mod persistence;

use listening::Listening;
pub use memory::{Held, MemoryGauges};
pub use persistence::{LoadCounters, Persistence, Rewrites, Saves, Saving};

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, AtomicUsize, Ordering::*};
use std::sync::{Arc, Mutex, RwLock};

use crate::base::clock::Clock;
use crate::client::{Card, Clients};
use crate::config::Config;
use crate::metrics::{CommandMetrics, CoreMetrics};
use crate::pubsub::Exchange;
use crate::script::Scripts;

/// Hash slots of the keyspace, as in a Redis cluster.
pub const SLOTS: usize = 16384;

/// Which shard owns each hash slot.
pub struct SlotTable {
    shards: Box<[u8; SLOTS]>,
    count: usize,
}

impl SlotTable {
    /// Spreads the slots over `count` shards, in even runs.
    pub fn even(count: usize) -> Self {
        let mut shards = Box::new([0; SLOTS]);
        for (slot, shard) in shards.iter_mut().enumerate() {
            *shard = (slot * count / SLOTS) as u8;
        }
        Self { shards, count }
    }

    pub fn shard_count(&self) -> usize {
        self.count
    }

    pub fn shard_of_slot(&self, slot: u16) -> usize {
        self.shards[slot as usize] as usize
    }

    /// The shard of `key`.
    #[inline]
    pub fn shard(&self, key: &[u8]) -> usize {
        if self.count == 1 { 0 } else { self.shard_of_slot(crate::base::crc::slot(key)) }
    }
}

/// Reasons why a command may not run at once; bits of `Shared::gates`, 0 on a quiet day.
pub mod gate {
    /// CLIENT PAUSE is on.
    pub const PAUSED: u32 = 1 << 0;
    /// Somebody listens with MONITOR.
    pub const MONITORED: u32 = 1 << 1;
    /// The server is going down.
    pub const SHUTDOWN: u32 = 1 << 2;
    /// A file is being loaded.
    pub const LOADING: u32 = 1 << 3;
    /// The last snapshot in the background failed: see `stop-writes-on-bgsave-error`.
    pub const SAVE_FAILED: u32 = 1 << 4;
    /// A script runs for longer than `busy-reply-threshold`.
    pub const BUSY: u32 = 1 << 5;
    /// The log cannot be written.
    pub const LOG_FAILED: u32 = 1 << 6;
}

/// CLIENT PAUSE: until when, and whether reads wait too.
#[derive(Default)]
pub struct Pause {
    /// Held while the pause or its gate is changed.
    changing: Mutex<()>,
    pub until_ms: AtomicI64,
    pub all: AtomicBool,
}

/// One command that took longer than `slowlog-log-slower-than`.
#[derive(Clone, Debug)]
pub struct SlowEntry {
    pub id: u64,
    pub unix_s: i64,
    pub duration_us: u64,
    pub args: Vec<Vec<u8>>,
    pub addr: String,
    pub name: Vec<u8>,
}

#[derive(Default)]
pub struct SlowLog {
    pub next_id: u64,
    /// Newest first.
    pub entries: VecDeque<SlowEntry>,
}

/// Samples of one latency event: (unix s, ms), oldest first, at most 160, and the worst ever.
#[derive(Default, Clone, Debug)]
pub struct LatencySeries {
    pub samples: VecDeque<(i64, u32)>,
    pub max_ms: u32,
}

/// Samples kept of a latency event.
pub const LATENCY_SAMPLES: usize = 160;

/// CLIENT LIST tells the most that was in a buffer of replies in the last 5 seconds or so.
pub const REPLY_PEAK_RESET_MS: i64 = 5000;

/// Sums over all cores, from which INFO derives rates.
#[derive(Clone, Copy, Default, Debug)]
pub struct Totals {
    pub commands: u64,
    pub input_bytes: u64,
    pub output_bytes: u64,
}

/// Totals at a moment, and how fast they grew up to then, in units a second.
#[derive(Default, Debug)]
struct Sample {
    mono_us: u64,
    totals: Totals,
    rates: Totals,
}

/// Rates are not computed over less time than this.
const RATE_US_MIN: u64 = 100_000;

impl Sample {
    /// The rates up to now.
    fn advance(&mut self, now_us: u64, now: Totals) -> Totals {
        let elapsed_us = now_us.saturating_sub(self.mono_us);
        if elapsed_us >= RATE_US_MIN {
            let rate = |now: u64, then: u64| {
                (now.saturating_sub(then) as u128 * 1_000_000 / elapsed_us as u128) as u64
            };
            let then = self.totals;
            self.rates = Totals {
                commands: rate(now.commands, then.commands),
                input_bytes: rate(now.input_bytes, then.input_bytes),
                output_bytes: rate(now.output_bytes, then.output_bytes),
            };
            (self.mono_us, self.totals) = (now_us, now);
        }
        self.rates
    }
}

/// The server as all its cores see it.
pub struct Shared {
    pub clock: Clock,
    config: RwLock<Arc<Config>>,
    config_epoch: AtomicU64,
    pub config_file: Option<PathBuf>,
    /// Why commands may have to wait or be told to others: see `gate`.
    pub gates: AtomicU32,
    pub slots: SlotTable,
    pub metrics: Vec<CoreMetrics>,
    /// Connections on each core, kept by whoever assigns and by the core that closes.
    pub loads: Vec<AtomicUsize>,
    /// The core where clients gather whose commands need all shards; none yet: `usize::MAX`.
    pub gathering: AtomicUsize,
    pub memory: MemoryGauges,
    pub clients: Clients,
    pub next_client_id: AtomicU64,
    /// Held by the core that evicts clients.
    pub evicting_clients: Mutex<()>,
    /// When the log last told of an attack, unix ms.
    pub attack_told_ms: AtomicI64,
    pub pause: Pause,
    pub scripts: Scripts,
    pub slow_log: Mutex<SlowLog>,
    pub latency: Mutex<BTreeMap<&'static str, LatencySeries>>,
    /// Error replies by their first word.
    pub errors: Mutex<BTreeMap<String, u64>>,
    /// Clients under MONITOR, each with the place of its first line in their common order.
    pub monitors: Mutex<Vec<(crate::client::ConnectionId, u64)>>,
    pub monitor_next: AtomicU64,
    /// Commands that wait for a key or for time.
    pub waits: AtomicUsize,
    /// How often keys that somebody waits for have changed.
    pub waited_changes: Arc<AtomicU64>,
    /// Subscriptions, and what is published.
    pub exchange: Exchange,
    /// What INFO saw when it last computed rates.
    sample: Mutex<Sample>,
    /// The most memory that INFO or MEMORY ever saw used.
    pub memory_peak: AtomicU64,
    /// Wrong passwords, and users that there are not.
    pub logins_denied: AtomicU64,
    pub persistence: Persistence,
    pub listening: Listening,
    pub run_id: String,
    /// Names the history of this server's data.
    pub replid: Mutex<String>,
    pub start_ms: i64,
    /// Set by DEBUG SET-ACTIVE-EXPIRE 0.
    pub active_expire_off: AtomicBool,
    /// Set by DEBUG PAUSE-CRON 1.
    pub cron_paused: AtomicBool,
    /// Set by DEBUG REPLYBUFFER PEAK-RESET-TIME; negative: never.
    pub reply_peak_reset_ms: AtomicI64,
    /// Set by DEBUG SET-SKIP-CHECKSUM-VALIDATION 1.
    pub skip_checksums: AtomicBool,
    /// Set by DEBUG SET-DISABLE-DENY-SCRIPTS 1.
    pub noscript_off: AtomicBool,
    /// Set by DEBUG QUICKLIST-PACKED-THRESHOLD; 0: as list-max-listpack-size says.
    pub list_large_bytes_min: AtomicU32,
    /// Whether there is a log or a replica that wants to know what commands do: see `set_logged`.
    logged: AtomicBool,
    /// The stamp of the next unit of the log.
    pub log_next: AtomicU64,
    pub shutdown: AtomicBool,
    /// Facts about this process for INFO and the banner: ring features, allocator, tcp port.
    pub facts: Facts,
}

/// What the driver and the boot found out.
#[derive(Default, Clone, Debug)]
pub struct Facts {
    pub multiplexing_api: &'static str,
    pub ring_features: String,
    pub executable: String,
    pub hash_seed: u64,
}

impl Shared {
    /// State of a server of `cores` cores whose command table has `commands` rows.
    pub fn new(
        clock: Clock,
        config: Config,
        cores: usize,
        commands: usize,
        run_id: String,
        facts: Facts,
    ) -> Self {
        let start_ms = clock.unix_ms();
        let sample = Sample { mono_us: clock.mono_us(), ..Sample::default() };
        Self {
            clock,
            config: RwLock::new(Arc::new(config)),
            config_epoch: AtomicU64::new(1),
            config_file: None,
            gates: AtomicU32::new(0),
            slots: SlotTable::even(cores),
            metrics: (0..cores).map(|_| CoreMetrics::new(commands)).collect(),
            loads: (0..cores).map(|_| AtomicUsize::new(0)).collect(),
            gathering: AtomicUsize::new(usize::MAX),
            memory: MemoryGauges::new(cores),
            clients: Clients::default(),
            next_client_id: AtomicU64::new(1),
            evicting_clients: Mutex::default(),
            attack_told_ms: AtomicI64::new(0),
            pause: Pause::default(),
            scripts: Scripts::default(),
            slow_log: Mutex::default(),
            latency: Mutex::default(),
            errors: Mutex::default(),
            monitors: Mutex::default(),
            monitor_next: AtomicU64::new(0),
            logins_denied: AtomicU64::new(0),
            waits: AtomicUsize::new(0),
            waited_changes: Arc::default(),
            exchange: Exchange::new(cores, facts.hash_seed),
            sample: Mutex::new(sample),
            memory_peak: AtomicU64::new(0),
            persistence: Persistence::new(start_ms / 1000, cores),
            listening: Listening::default(),
            replid: Mutex::new(run_id.clone()),
            run_id,
            start_ms,
            active_expire_off: AtomicBool::new(false),
            cron_paused: AtomicBool::new(false),
            reply_peak_reset_ms: AtomicI64::new(REPLY_PEAK_RESET_MS),
            skip_checksums: AtomicBool::new(false),
            noscript_off: AtomicBool::new(false),
            list_large_bytes_min: AtomicU32::new(0),
            logged: AtomicBool::new(false),
            log_next: AtomicU64::new(0),
            shutdown: AtomicBool::new(false),
            facts,
        }
    }

    /// The configuration in force.
    pub fn config(&self) -> Arc<Config> {
        self.config.read().expect("nobody panics holding the configuration").clone()
    }

    /// Grows with every change of the configuration; cores compare it to refresh their copy.
    #[inline]
    pub fn config_epoch(&self) -> u64 {
        self.config_epoch.load(Acquire)
    }

    /// Changes the configuration, all or nothing.
    pub fn update_config<E>(&self, change: impl FnOnce(&mut Config) -> Result<(), E>) -> Result<(), E> {
        let mut place = self.config.write().expect("nobody panics holding the configuration");
        let mut next = Config::clone(&place);
        change(&mut next)?;
        *place = Arc::new(next);
        self.config_epoch.fetch_add(1, Release);
        Ok(())
    }

    /// What an empty server takes.
    pub fn startup_bytes(&self) -> u64 {
        let bytes = |core: &CoreMetrics| size_of_val(core) + size_of_val::<[CommandMetrics]>(&core.commands);
        self.metrics.iter().map(|core| bytes(core) as u64).sum()
    }

    /// Buffers of connections.
    pub fn client_bytes(&self) -> u64 {
        self.metrics.iter().fold(0, |sum: u64, core| sum.wrapping_add(core.client_bytes.get()))
    }

    /// Memory in use, as INFO shows it: what a core publishes of its shard only while `maxmemory` is set.
    pub fn used_memory(&self) -> u64 {
        self.startup_bytes() + self.client_bytes() + self.memory.bytes()
    }

    #[inline]
    pub fn is_logged(&self) -> bool {
        self.logged.load(Acquire)
    }

    /// A log begins or ends; cores notice as they notice a change of the configuration.
    pub fn set_logged(&self, logged: bool) {
        self.logged.store(logged, Release);
        self.config_epoch.fetch_add(1, Release);
    }

    #[inline]
    pub fn gates(&self) -> u32 {
        self.gates.load(Acquire)
    }

    /// Whether a file is being loaded.
    pub fn is_loading(&self) -> bool {
        self.gates() & gate::LOADING != 0
    }

    pub fn set_gate(&self, bit: u32, on: bool) {
        if on {
            self.gates.fetch_or(bit, AcqRel);
        } else {
            self.gates.fetch_and(!bit, AcqRel);
        }
    }

    /// CLIENT PAUSE: on top of a pause that still lasts, the later end and the stricter kind win.
    pub fn pause_clients(&self, until_ms: i64, all: bool, now_ms: i64) {
        let _changing = self.pause.changing.lock().expect("nobody panics changing the pause");
        let lasts = self.pause.until_ms.load(Acquire) > now_ms;
        let (old_until_ms, old_all) = match lasts {
            true => (self.pause.until_ms.load(Acquire), self.pause.all.load(Acquire)),
            false => (0, false),
        };
        self.pause.until_ms.store(until_ms.max(old_until_ms), Release);
        self.pause.all.store(all || old_all, Release);
        self.set_gate(gate::PAUSED, true);
    }

    /// Ends CLIENT PAUSE. Who was held back still has to be told.
    pub fn unpause_clients(&self) {
        let _changing = self.pause.changing.lock().expect("nobody panics changing the pause");
        self.pause.until_ms.store(0, Release);
        self.pause.all.store(false, Release);
        self.set_gate(gate::PAUSED, false);
    }

    /// Opens the gate again if the pause is over.
    pub fn end_pause(&self, now_ms: i64) {
        let _changing = self.pause.changing.lock().expect("nobody panics changing the pause");
        if self.pause.until_ms.load(Acquire) <= now_ms {
            self.set_gate(gate::PAUSED, false);
        }
    }

    /// Nothing runs for the client any more, nor is anything told to it. Its core has yet to close the connection.
    pub fn dismiss(&self, card: &Card) {
        card.leave();
        self.exchange.lock().withdraw(card.id);
        self.clients.remove(card.id);
    }

    /// A connection no longer listens with MONITOR.
    pub fn stop_monitoring(&self, id: crate::client::ConnectionId) {
        let mut monitors = self.monitors.lock().expect("nobody panics holding the monitors");
        monitors.retain(|(listener, _)| *listener != id);
        self.set_gate(gate::MONITORED, !monitors.is_empty());
    }

    /// Counts an error reply under its first word, for INFO errorstats.
    pub fn count_error(&self, text: impl AsRef<[u8]>) {
        const KINDS_MAX: usize = 128;
        let word = text.as_ref().split(|&byte| byte == b' ').next().unwrap_or(b"ERR");
        let word = String::from_utf8_lossy(word);
        let mut errors = self.errors.lock().expect("nobody panics holding the error counts");
        if let Some(count) = errors.get_mut(&*word) {
            *count += 1;
        } else if errors.len() < KINDS_MAX {
            errors.insert(word.into_owned(), 1);
        }
    }

    /// Counts an error reply of core `core` that stands at the start of `reply`.
    pub fn count_error_reply(&self, core: usize, reply: &[u8]) {
        self.metrics[core].error_replies.add(1);
        let end = reply.iter().position(|&b| b == b'\r').unwrap_or(reply.len());
        self.count_error(&reply[1.min(end)..end]);
    }

    /// Notes a latency event if it lasted long enough for `latency-monitor-threshold`.
    pub fn note_latency(&self, event: &'static str, ms: u64) {
        let threshold = self.config().latency_monitor_threshold_ms;
        if threshold == 0 || ms < threshold {
            return;
        }
        let now_s = self.clock.unix_ms() / 1000;
        let ms = ms.min(u32::MAX as u64) as u32;
        let mut latency = self.latency.lock().expect("nobody panics holding the samples");
        let series = latency.entry(event).or_default();
        series.max_ms = series.max_ms.max(ms);
        match series.samples.back_mut() {
            Some((second, worst)) if *second == now_s => *worst = (*worst).max(ms),
            _ => series.samples.push_back((now_s, ms)),
        }
        if series.samples.len() > LATENCY_SAMPLES {
            series.samples.pop_front();
        }
    }

    /// How fast the totals grew since somebody asked, a second: over 100 ms at least.
    pub fn rates(&self, totals: Totals) -> Totals {
        let now_us = self.clock.mono_us();
        self.sample.lock().expect("nobody panics holding the sample").advance(now_us, totals)
    }

    /// The totals start again from zero.
    pub fn forget_rates(&self) {
        let mono_us = self.clock.mono_us();
        *self.sample.lock().expect("nobody panics holding the sample") =
            Sample { mono_us, ..Sample::default() };
    }

    /// Assigns a new connection to the core with the fewest, the lowest number first among equals.
    pub fn assign_core(&self) -> usize {
        let fewest = (0..self.loads.len()).min_by_key(|&core| self.loads[core].load(Relaxed)).unwrap_or(0);
        self.loads[fewest].fetch_add(1, Relaxed);
        fewest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_over_the_time_since_the_last_question() {
        let totals = |commands| Totals { commands, ..Totals::default() };
        let mut sample = Sample::default();
        assert_eq!(sample.advance(2_000_000, totals(1000)).commands, 500);
        assert_eq!(sample.advance(2_050_000, totals(9000)).commands, 500, "too early to tell");
        assert_eq!(sample.advance(3_000_000, totals(1200)).commands, 200);
    }
}
