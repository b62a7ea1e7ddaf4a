//! INFO's sections about what was done: stats, cpu, commandstats, errorstats, latencystats, keyspace.

use std::sync::atomic::Ordering::Relaxed;

use super::Text;
use crate::base::usage::{Who, cpu_time};
use crate::commands::Context;
use crate::commands::server::latency::bucket_end_ns;
use crate::metrics::{CommandMetrics, CoreMetrics, Counter, LATENCY_BUCKETS};
use crate::pubsub::Kind;
use crate::shared::Totals;

/// The sum of a counter over all cores.
fn sum(cx: &Context, counter: impl Fn(&CoreMetrics) -> &Counter) -> u64 {
    cx.shared.metrics.iter().map(|core| counter(core).get()).sum()
}

pub fn stats(cx: &mut Context, text: &mut Text) {
    let totals = Totals {
        commands: sum(cx, |core| &core.commands_processed),
        input_bytes: sum(cx, |core| &core.net_input_bytes),
        output_bytes: sum(cx, |core| &core.net_output_bytes),
    };
    let rates = cx.shared.rates(totals);
    let counters = cx.report.map(|report| report.counters).unwrap_or_default();
    text.field("total_connections_received", sum(cx, |core| &core.connections_received));
    text.field("total_commands_processed", totals.commands);
    text.field("instantaneous_ops_per_sec", rates.commands);
    text.field("total_net_input_bytes", totals.input_bytes);
    text.field("total_net_output_bytes", totals.output_bytes);
    text.same(&["total_net_repl_input_bytes", "total_net_repl_output_bytes"], 0);
    text.field("instantaneous_input_kbps", format_args!("{:.2}", rates.input_bytes as f64 / 1024.0));
    text.field("instantaneous_output_kbps", format_args!("{:.2}", rates.output_bytes as f64 / 1024.0));
    text.same(&["instantaneous_input_repl_kbps", "instantaneous_output_repl_kbps"], "0.00");
    text.field("rejected_connections", sum(cx, |core| &core.connections_rejected));
    text.same(&["sync_full", "sync_partial_ok", "sync_partial_err"], 0);
    text.field("expired_subkeys", counters.expired_fields);
    text.field("expired_keys", counters.expired);
    text.field("expired_stale_perc", "0.00");
    text.field("expired_time_cap_reached_count", 0);
    text.field("expire_cycle_cpu_milliseconds", counters.expire_cycle_us / 1000);
    text.field("evicted_keys", counters.evicted);
    text.field("evicted_clients", sum(cx, |core| &core.evicted_clients));
    text.same(&["evicted_scripts", "total_eviction_exceeded_time"], 0);
    text.field("current_eviction_exceeded_time", 0);
    text.field("keyspace_hits", counters.hits);
    text.field("keyspace_misses", counters.misses);
    let (channels, patterns, shard_channels, prefixes) = {
        let books = cx.shared.exchange.lock();
        let count = |kind| books.channels(kind).len();
        (count(Kind::Channel), books.patterns(), count(Kind::ShardChannel), books.trackers.prefixes())
    };
    text.field("pubsub_channels", channels);
    text.field("pubsub_patterns", patterns);
    text.field("pubsubshard_channels", shard_channels);
    text.same(
        &["latest_fork_usec", "total_forks", "migrate_cached_sockets", "slave_expires_tracked_keys"],
        0,
    );
    text.same(&["active_defrag_hits", "active_defrag_misses", "active_defrag_key_hits"], 0);
    text.same(&["active_defrag_key_misses", "total_active_defrag_time", "current_active_defrag_time"], 0);
    text.field("tracking_total_keys", cx.report.map_or(0, |report| report.tracked_keys));
    text.field("tracking_total_items", cx.report.map_or(0, |report| report.tracked_items));
    text.field("tracking_total_prefixes", prefixes);
    text.field("unexpected_error_replies", 0);
    text.field("total_error_replies", sum(cx, |core| &core.error_replies));
    text.field("dump_payload_sanitizations", 0);
    text.field("total_reads_processed", sum(cx, |core| &core.reads_processed));
    text.field("total_writes_processed", sum(cx, |core| &core.writes_processed));
    text.same(&["io_threaded_reads_processed", "io_threaded_writes_processed"], 0);
    let disconnected = sum(cx, |core| &core.query_buffer_limit_disconnections);
    text.field("client_query_buffer_limit_disconnections", disconnected);
    let disconnected = sum(cx, |core| &core.output_buffer_limit_disconnections);
    text.field("client_output_buffer_limit_disconnections", disconnected);
    text.same(&["reply_buffer_shrinks", "reply_buffer_expands"], 0);
    text.field("eventloop_cycles", sum(cx, |core| &core.turns));
    text.field("batches_sent", sum(cx, |core| &core.batches_sent));
    text.field("leases_taken", sum(cx, |core| &core.leases_taken));
    text.field("acl_access_denied_auth", cx.shared.logins_denied.load(Relaxed));
    text.same(&["acl_access_denied_cmd", "acl_access_denied_key", "acl_access_denied_channel"], 0);
}

pub fn cpu(_cx: &mut Context, text: &mut Text) {
    let seconds = |us: u64| format!("{}.{:06}", us / 1_000_000, us % 1_000_000);
    for (who, name) in [(Who::Process, ""), (Who::Children, "_children"), (Who::Thread, "_main_thread")] {
        let time = cpu_time(who);
        text.field(format_args!("used_cpu_sys{name}"), seconds(time.system_us));
        text.field(format_args!("used_cpu_user{name}"), seconds(time.user_us));
    }
}

/// What all cores count of one command.
fn of_command<'a>(cx: &'a Context, number: u16) -> impl Iterator<Item = &'a CommandMetrics> + Clone {
    cx.shared.metrics.iter().map(move |core| &core.commands[number as usize])
}

pub fn commandstats(cx: &mut Context, text: &mut Text) {
    for (number, command, _) in cx.registry.iter() {
        let total = |counter: fn(&CommandMetrics) -> &Counter| {
            of_command(cx, number).map(|core| counter(core).get()).sum()
        };
        let calls: u64 = total(|core| &core.calls);
        let rejected: u64 = total(|core| &core.rejected);
        let failed: u64 = total(|core| &core.failed);
        if calls + rejected + failed == 0 {
            continue;
        }
        let us: u64 = total(|core| &core.ns) / 1000;
        let each_us = if calls == 0 { 0.0 } else { us as f64 / calls as f64 };
        text.field(
            format_args!("cmdstat_{}", command.full_name()),
            format_args!(
                "calls={calls},usec={us},usec_per_call={each_us:.2},rejected_calls={rejected},failed_calls={failed}"
            ),
        );
    }
}

pub fn errorstats(cx: &mut Context, text: &mut Text) {
    let errors = cx.shared.errors.lock().expect("nobody panics holding the error counts");
    for (word, count) in errors.iter() {
        text.field(format_args!("errorstat_{word}"), format_args!("count={count}"));
    }
}

pub fn latencystats(cx: &mut Context, text: &mut Text) {
    if !cx.config.latency_tracking {
        return;
    }
    for (number, command, _) in cx.registry.iter() {
        let mut counts = [0u64; LATENCY_BUCKETS];
        for core in of_command(cx, number) {
            counts.iter_mut().zip(&core.latency).for_each(|(count, counter)| *count += counter.get());
        }
        if counts.iter().all(|&count| count == 0) {
            continue;
        }
        let shown: Vec<String> = (cx.config.latency_tracking_percentiles.iter())
            .map(|&percent| format!("p{percent}={:.3}", percentile_ns(&counts, percent) as f64 / 1000.0))
            .collect();
        text.field(format_args!("latency_percentiles_usec_{}", command.full_name()), shown.join(","));
    }
}

/// The end of the bucket that holds the call below which `percent` of all calls are.
fn percentile_ns(counts: &[u64], percent: f64) -> u64 {
    let calls: u64 = counts.iter().sum();
    let rank = ((calls as f64 * percent / 100.0).round() as u64).max(1);
    let mut seen = 0;
    let bucket = counts.iter().position(|count| {
        seen += count;
        seen >= rank
    });
    bucket_end_ns(bucket.unwrap_or(counts.len() - 1))
}

pub fn keyspace(cx: &mut Context, text: &mut Text) {
    let dbs = cx.report.map_or(&[][..], |report| &report.dbs);
    for (index, db) in dbs.iter().enumerate().filter(|(_, db)| db.keys > 0) {
        let ttl_ms = if db.expires == 0 { 0 } else { (db.ttl_ms_sum / db.expires as f64) as i64 };
        text.field(
            format_args!("db{index}"),
            format_args!("keys={},expires={},avg_ttl={ttl_ms},subexpiry=0", db.keys, db.expires),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_name_the_bucket_that_holds_the_call() {
        let counts = [50, 49, 0, 1];
        let ends = [0.0, 50.0, 50.6, 99.0, 99.9, 100.0].map(|percent| percentile_ns(&counts, percent));
        assert_eq!(ends, [0, 0, 1, 1, 3, 3].map(bucket_end_ns));
    }
}
