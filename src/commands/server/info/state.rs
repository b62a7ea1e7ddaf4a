//! INFO's sections about what is: server, clients, memory, persistence, replication, modules, cluster.

use std::sync::atomic::Ordering::{Acquire, Relaxed};

use super::{Text, human};
use crate::base::usage;
use crate::client::flag;
use crate::commands::Context;
use crate::commands::server::lolwut::{REDIS_VERSION, RINGFORT_VERSION};
use crate::commands::server::memory::Memory;
use crate::shared::{Rewrites, Saving};

/// The replication id of no predecessor.
const NO_REPLID: &str = "0000000000000000000000000000000000000000";

pub fn server(cx: &mut Context, text: &mut Text) {
    let (shared, config) = (cx.shared, cx.shared.config());
    let now_us = shared.clock.unix_us();
    let up_s = (now_us as i64 / 1000 - shared.start_ms) / 1000;
    text.field("redis_version", REDIS_VERSION);
    text.field("ringfort_version", RINGFORT_VERSION);
    text.field("redis_git_sha1", "00000000");
    text.field("redis_git_dirty", 0);
    text.field("redis_build_id", "0000000000000000");
    text.field("redis_mode", "standalone");
    text.field("os", usage::system());
    text.field("arch_bits", usize::BITS);
    text.field(
        "monotonic_clock",
        if cfg!(target_arch = "x86_64") { "X86 TSC" } else { "POSIX clock_gettime" },
    );
    text.field("multiplexing_api", shared.facts.multiplexing_api);
    text.field("ring_features", &shared.facts.ring_features);
    text.field("atomicvar_api", "rust-atomic");
    text.field("process_id", std::process::id());
    let notified = std::env::var_os("NOTIFY_SOCKET").is_some() && config.supervised != "no";
    text.field("process_supervised", if notified { "systemd" } else { "no" });
    text.field("run_id", &shared.run_id);
    text.field("tcp_port", config.port);
    text.field("server_time_usec", now_us);
    text.field("uptime_in_seconds", up_s);
    text.field("uptime_in_days", up_s / 86400);
    text.field("hz", config.hz);
    text.field("configured_hz", config.hz);
    text.field("lru_clock", (now_us / 1_000_000) & 0xff_ffff);
    let path =
        |path: Option<std::path::PathBuf>| path.map_or(String::new(), |path| path.display().to_string());
    text.field("executable", path(std::env::current_exe().ok()));
    text.field("config_file", path(config.file.clone()));
    text.field("io_threads_active", 0);
    text.field("cores", shared.slots.shard_count());
    if config.port != 0 {
        let binds: String = config.bind.iter().map(|bind| format!(",bind={bind}")).collect();
        text.field("listener0", format_args!("name=tcp{binds},port={}", config.port));
    }
    if let Some(socket) = &config.unixsocket {
        let number = (config.port != 0) as usize;
        text.field(format_args!("listener{number}"), format_args!("name=unix,bind={}", socket.display()));
    }
}

pub fn clients(cx: &mut Context, text: &mut Text) {
    let cards = cx.shared.clients.all();
    let count = |bit: u64| cards.iter().filter(|card| card.has(bit)).count();
    let now_ms = cx.now_ms();
    text.field("connected_clients", cards.len());
    text.field("cluster_connections", 0);
    text.field("maxclients", cx.shared.config().maxclients);
    let most =
        |bytes: fn(&crate::client::Card) -> u64| cards.iter().map(|card| bytes(card)).max().unwrap_or(0);
    text.field("client_recent_max_input_buffer", most(|card| card.input_bytes.get()));
    text.field("client_recent_max_output_buffer", most(|card| card.output_bytes.get()));
    text.field("blocked_clients", count(flag::BLOCKED));
    text.field("tracking_clients", count(flag::TRACKING));
    text.field("pubsub_clients", count(flag::PUBSUB));
    text.field("watching_clients", cards.iter().filter(|card| card.watched.get() > 0).count());
    text.field("clients_in_timeout_table", 0);
    text.field("total_watched_keys", cx.report.map_or(0, |report| report.watched_keys));
    text.field("total_blocking_keys", cx.report.map_or(0, |report| report.blocking_keys));
    text.field("total_blocking_keys_on_nokey", 0);
    let pause = &cx.shared.pause;
    let left_ms = (pause.until_ms.load(Acquire) - now_ms).max(0);
    let actions = match (left_ms, pause.all.load(Acquire)) {
        (0, _) => "none",
        (_, true) => "all",
        (_, false) => "write",
    };
    text.field("paused_reason", if left_ms > 0 { "client_pause" } else { "none" });
    text.field("paused_actions", actions);
    text.field("paused_timeout_milliseconds", left_ms);
}

pub fn memory(cx: &mut Context, text: &mut Text) {
    let memory = Memory::of(cx);
    let config = cx.shared.config();
    let percent = |part: u64, of: u64| format!("{:.2}%", part as f64 * 100.0 / of.max(1) as f64);
    let (rss, peak_rss) = usage::resident_bytes();
    text.bytes("used_memory", memory.used);
    text.bytes("used_memory_rss", rss);
    text.bytes("used_memory_peak", memory.peak);
    text.field("used_memory_peak_perc", percent(memory.used, memory.peak));
    text.field("used_memory_peak_rss", peak_rss);
    text.field("used_memory_overhead", memory.overhead());
    text.field("used_memory_startup", memory.startup);
    text.field("used_memory_dataset", memory.dataset);
    let net = memory.used - memory.startup;
    text.field("used_memory_dataset_perc", percent(memory.dataset, net));
    text.field("allocator_allocated", memory.used);
    text.same(&["allocator_active", "allocator_resident"], rss);
    text.field("allocator_muzzy", 0);
    text.bytes("total_system_memory", usage::machine_bytes());
    // Scripts and functions share a core's Lua: it is counted once.
    let lua: u64 = cx.shared.metrics.iter().map(|core| core.lua_bytes.get()).sum();
    let (scripts, script_bytes) = cx.shared.scripts.size();
    let libraries = cx.shared.scripts.libraries();
    text.same(&["used_memory_lua", "used_memory_vm_eval"], lua);
    text.field("used_memory_lua_human", human(lua));
    text.field("used_memory_scripts_eval", script_bytes);
    text.field("number_of_cached_scripts", scripts);
    text.field("number_of_functions", libraries.function_count());
    text.field("number_of_libraries", libraries.by_name.len());
    text.field("used_memory_vm_functions", 0);
    text.bytes("used_memory_vm_total", lua);
    text.field("used_memory_functions", libraries.code_bytes());
    text.bytes("used_memory_scripts", (script_bytes + libraries.code_bytes()) as u64);
    text.bytes("maxmemory", config.maxmemory);
    let policy = config.get(&[b"maxmemory-policy"]).pop().map(|(_, name)| name).unwrap_or_default();
    text.field("maxmemory_policy", String::from_utf8_lossy(&policy));
    text.field("allocator_frag_ratio", "1.00");
    text.field("allocator_frag_bytes", 0);
    text.field("allocator_rss_ratio", "1.00");
    text.field("allocator_rss_bytes", 0);
    text.field("rss_overhead_ratio", "1.00");
    text.field("rss_overhead_bytes", 0);
    text.field("mem_fragmentation_ratio", format_args!("{:.2}", rss as f64 / memory.used.max(1) as f64));
    text.field("mem_fragmentation_bytes", rss as i64 - memory.used as i64);
    text.same(&["mem_not_counted_for_evict", "mem_replication_backlog", "mem_total_replication_buffers"], 0);
    text.field("mem_clients_slaves", 0);
    text.field("mem_clients_normal", memory.clients);
    text.same(&["mem_cluster_links", "mem_aof_buffer"], 0);
    text.field("mem_allocator", "mimalloc");
    text.field("active_defrag_running", 0);
    text.field("lazyfree_pending_objects", cx.report.map_or(0, |report| report.trash));
    text.field("lazyfreed_objects", cx.report.map_or(0, |report| report.counters.lazy_freed));
}

pub fn persistence(cx: &mut Context, text: &mut Text) {
    let persistence = &cx.shared.persistence;
    let ((saves, rewrites), load) = (persistence.state(), &persistence.load);
    let now_s = cx.now_ms() / 1000;
    let report = cx.report.cloned().unwrap_or_default();
    let background = saves.running.filter(|saving| saving.background);
    let loading = load.running.load(Acquire);
    text.field("loading", loading as u8);
    text.field("async_loading", 0);
    // Nothing is copied on write: it is what the snapshot holds besides the data.
    text.field("current_cow_peak", report.snapshot.bytes_peak);
    text.field("current_cow_size", report.snapshot.bytes);
    text.field("current_cow_size_age", 0);
    let (written, total) = saves.running.map_or((0, 0), |saving| (report.snapshot.keys, saving.keys));
    text.field("current_fork_perc", format_args!("{:.2}", written as f64 * 100.0 / total.max(1) as f64));
    text.field("current_save_keys_processed", written);
    text.field("current_save_keys_total", total);
    let unsaved = report.counters.counted().saturating_sub(saves.saved_changes);
    text.field("rdb_changes_since_last_save", unsaved);
    text.field("rdb_bgsave_in_progress", background.is_some() as u8);
    text.field("rdb_last_save_time", saves.last_s);
    text.field("rdb_last_bgsave_status", if saves.last_ok { "ok" } else { "err" });
    text.field("rdb_last_bgsave_time_sec", saves.last_duration_s);
    text.field("rdb_current_bgsave_time_sec", background.map_or(-1, |saving| now_s - saving.began_s));
    text.field("rdb_saves", saves.count);
    text.field("rdb_last_cow_size", saves.last_bytes);
    text.field("rdb_last_load_keys_expired", load.expired.load(Relaxed));
    text.field("rdb_last_load_keys_loaded", load.keys.load(Relaxed));
    append_only(cx, text, saves.running.filter(|saving| saving.base.is_some()), rewrites);
    if loading {
        let (total, read) = (load.bytes_total.load(Relaxed), load.bytes.load(Relaxed));
        let elapsed_s = now_s - load.began_ms.load(Relaxed) / 1000;
        let part = read as f64 / total.max(1) as f64;
        let eta_s = if read == 0 || elapsed_s == 0 {
            1
        } else {
            (elapsed_s as f64 * (1.0 - part) / part).round() as i64
        };
        text.field("loading_start_time", load.began_ms.load(Relaxed) / 1000);
        text.field("loading_total_bytes", total);
        text.field("loading_rdb_used_mem", load.used_bytes.load(Relaxed));
        text.field("loading_loaded_bytes", read);
        text.field("loading_loaded_perc", format_args!("{:.2}", part * 100.0));
        text.field("loading_eta_seconds", eta_s);
    }
}

/// What INFO says of the append-only file. `rewrite`: the snapshot that is to be its base.
fn append_only(cx: &mut Context, text: &mut Text, rewrite: Option<Saving>, rewrites: Rewrites) {
    let (log, now_s) = (&cx.shared.persistence.log, cx.now_ms() / 1000);
    let logged = cx.shared.is_logged();
    // Between the command that switches the log on and the moment at which it is, a rewrite is already on its way.
    let begins = log.changes.load(Acquire) && cx.config.appendonly;
    let runs = rewrite.is_some() || rewrites.rebasing_began_s.is_some() || begins;
    let began_s = rewrite.map(|saving| saving.began_s).or(rewrites.rebasing_began_s);
    let state = |ok: bool| if ok { "ok" } else { "err" };
    text.field("aof_enabled", (logged || begins) as u8);
    text.field("aof_rewrite_in_progress", runs as u8);
    text.field("aof_rewrite_scheduled", rewrites.scheduled as u8);
    text.field("aof_last_rewrite_time_sec", rewrites.last_duration_s);
    text.field(
        "aof_current_rewrite_time_sec",
        began_s.filter(|_| !begins).map_or(-1, |began_s| now_s - began_s),
    );
    text.field("aof_last_bgrewrite_status", state(rewrites.last_ok));
    text.field("aof_rewrites", rewrites.count);
    text.field("aof_rewrites_consecutive_failures", rewrites.consecutive_failures);
    text.field("aof_last_write_status", state(log.errno.load(Acquire) == 0));
    text.field("aof_last_cow_size", rewrites.last_bytes);
    text.same(&["module_fork_in_progress", "module_fork_last_cow_size"], 0);
    if logged {
        let synced = log.progress.durable() >= cx.shared.log_next.load(Acquire);
        text.field("aof_current_size", log.progress.bytes.load(Relaxed));
        text.field("aof_base_size", log.progress.bytes_rewritten.load(Relaxed));
        text.field("aof_pending_rewrite", (log.waits_for_base.load(Relaxed) && !runs) as u8);
        text.field("aof_buffer_length", log.progress.pending_bytes.load(Relaxed));
        text.field("aof_pending_bio_fsync", !synced as u8);
        text.field("aof_delayed_fsync", 0);
    }
}

pub fn replication(cx: &mut Context, text: &mut Text) {
    text.field("role", "master");
    text.field("connected_slaves", 0);
    text.field("master_failover_state", "no-failover");
    text.field("master_replid", cx.shared.replid.lock().expect("nobody panics holding the replication ID"));
    text.field("master_replid2", NO_REPLID);
    text.field("master_repl_offset", 0);
    text.field("second_repl_offset", -1);
    text.field("repl_backlog_active", 0);
    text.field("repl_backlog_size", cx.shared.config().repl_backlog_size);
    text.same(&["repl_backlog_first_byte_offset", "repl_backlog_histlen"], 0);
}

pub fn modules(_cx: &mut Context, _text: &mut Text) {}

pub fn cluster(cx: &mut Context, text: &mut Text) {
    text.field("cluster_enabled", cx.config.cluster_enabled as u8);
}
