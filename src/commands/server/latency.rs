//! LATENCY: samples of slow events, and histograms of commands.

use std::collections::BTreeMap;
use std::sync::MutexGuard;

use crate::client::Args;
use crate::commands::{Context, Error};
use crate::metrics::{CommandMetrics, LATENCY_BUCKETS};
use crate::shared::LatencySeries;

fn lock<'a>(cx: &Context<'a>) -> MutexGuard<'a, BTreeMap<&'static str, LatencySeries>> {
    cx.shared.latency.lock().expect("nobody panics holding the samples")
}

pub fn latest(cx: &mut Context, _args: Args) -> Result<(), Error> {
    let events = lock(cx);
    cx.out.array(events.len());
    for (name, series) in events.iter() {
        let (unix_s, ms) = series.samples.back().copied().unwrap_or_default();
        cx.out.array(4);
        cx.out.bulk(name.as_bytes());
        cx.out.integer(unix_s);
        cx.out.integer(ms as i64);
        cx.out.integer(series.max_ms as i64);
    }
    Ok(())
}

pub fn history(cx: &mut Context, args: Args) -> Result<(), Error> {
    let events = lock(cx);
    let samples = find(&events, args.at(2)).map(|(_, series)| &series.samples);
    cx.out.array(samples.map_or(0, |samples| samples.len()));
    for (unix_s, ms) in samples.into_iter().flatten() {
        cx.out.array(2);
        cx.out.integer(*unix_s);
        cx.out.integer(*ms as i64);
    }
    Ok(())
}

fn find<'a>(
    events: &'a BTreeMap<&'static str, LatencySeries>,
    name: &[u8],
) -> Option<(&'static str, &'a LatencySeries)> {
    events.iter().find(|(event, _)| event.as_bytes() == name).map(|(event, series)| (*event, series))
}

pub fn reset(cx: &mut Context, args: Args) -> Result<(), Error> {
    let mut events = lock(cx);
    let before = events.len();
    match args.len() {
        2 => events.clear(),
        _ => events.retain(|event, _| !args.from(2).iter().any(|name| name == event.as_bytes())),
    }
    cx.out.integer((before - events.len()) as i64);
    Ok(())
}

pub fn graph(cx: &mut Context, args: Args) -> Result<(), Error> {
    let events = lock(cx);
    let Some((event, series)) = find(&events, args.at(2)) else {
        let name = String::from_utf8_lossy(args.at(2)).into_owned();
        return Err(Error::new(format!("ERR No samples available for event '{name}'")));
    };
    let now_s = cx.shared.clock.unix_ms() / 1000;
    let text = drawing(event, series, now_s);
    cx.out.verbatim("txt", text.as_bytes());
    Ok(())
}

/// Columns of bars, the oldest sample left, with the age of each written downwards.
fn drawing(event: &str, series: &LatencySeries, now_s: i64) -> String {
    const ROWS: u32 = 4;
    const MARKS: [char; 4] = [' ', '_', 'o', '#'];
    let heights: Vec<u32> = series.samples.iter().map(|(_, ms)| *ms).collect();
    let (low, high) =
        (heights.iter().min().copied().unwrap_or(0), heights.iter().max().copied().unwrap_or(0));
    let mut text = format!(
        "{event} - high {high} ms, low {low} ms (all time high {} ms)\n{}\n",
        series.max_ms,
        "-".repeat(80)
    );
    let steps = ROWS * (MARKS.len() as u32 - 1);
    let scaled = |ms: u32| ((ms - low) as u64 * (steps - 1) as u64 / (high - low).max(1) as u64) as u32 + 1;
    for row in (0..ROWS).rev() {
        let line: String = heights
            .iter()
            .map(|&ms| MARKS[scaled(ms).saturating_sub(row * (MARKS.len() as u32 - 1)).min(3) as usize])
            .collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text.push('\n');
    let ages: Vec<Vec<u8>> = series.samples.iter().map(|(unix_s, _)| age(now_s - unix_s)).collect();
    for row in 0..ages.iter().map(Vec::len).max().unwrap_or(0) {
        let line: String = ages.iter().map(|age| age.get(row).copied().unwrap_or(b' ') as char).collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn age(seconds: i64) -> Vec<u8> {
    match seconds {
        ..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86400),
    }
    .into_bytes()
}

pub fn doctor(cx: &mut Context, _args: Args) -> Result<(), Error> {
    let threshold_ms = cx.config.latency_monitor_threshold_ms;
    let events = lock(cx);
    let mut text = String::new();
    if threshold_ms == 0 {
        text.push_str(
            "Latency monitoring is off: set latency-monitor-threshold to a number of milliseconds that is too long \
             for your application (CONFIG SET latency-monitor-threshold 100, say), and ask again later.\n",
        );
    } else if events.is_empty() {
        text.push_str(&format!("No event took {threshold_ms} ms or longer so far.\n"));
    }
    for (number, (event, series)) in events.iter().enumerate() {
        let count = series.samples.len() as u64;
        let sum: u64 = series.samples.iter().map(|(_, ms)| *ms as u64).sum();
        let first_s = series.samples.front().map_or(0, |(unix_s, _)| *unix_s);
        let period_s = (cx.shared.clock.unix_ms() / 1000 - first_s) / count.max(1) as i64;
        text.push_str(&format!(
            "{}. {event}: {count} slow seconds, {} ms on average, {} ms at worst, one every {period_s} s.\n",
            number + 1,
            sum / count.max(1),
            series.max_ms,
        ));
        text.push_str(advice(event));
    }
    cx.out.verbatim("txt", text.as_bytes());
    Ok(())
}

fn advice(event: &str) -> &'static str {
    match event {
        "command" => {
            "   SLOWLOG GET names the commands. Those that are not O(1) on large values are the usual cause.\n"
        }
        "fast-command" => {
            "   Commands that do little took long: the machine is short of processor time or it swaps.\n"
        }
        _ => "",
    }
}

pub fn histogram(cx: &mut Context, args: Args) -> Result<(), Error> {
    let mut chosen: Vec<u16> = Vec::new();
    if args.len() == 2 {
        chosen.extend(cx.registry.iter().map(|(number, ..)| number));
    }
    for name in args.from(2).iter() {
        let Some(number) = super::command_info::by_full_name(cx, name) else { continue };
        chosen.push(number);
        if cx.registry.row(number).container {
            chosen.extend(cx.registry.subcommands(number).map(|(number, _)| number));
        }
    }
    let place = cx.out.deferred();
    let mut shown = 0;
    for number in chosen {
        let (calls, buckets) =
            cumulative(cx.shared.metrics.iter().map(|core| &core.commands[number as usize]));
        if buckets.is_empty() {
            continue;
        }
        shown += 1;
        cx.out.bulk(cx.registry.row(number).full_name().as_bytes());
        cx.out.map(2);
        cx.out.bulk(b"calls");
        cx.out.integer(calls as i64);
        cx.out.bulk(b"histogram_usec");
        cx.out.map(buckets.len());
        for (us, count) in buckets {
            cx.out.integer(us as i64);
            cx.out.integer(count as i64);
        }
    }
    cx.out.finish_map(place, shown);
    Ok(())
}

/// The upper end of a bucket in ns, as a histogram with two significant digits reports it.
pub fn bucket_end_ns(bucket: usize) -> u64 {
    let end = 1024u64 << bucket;
    end + end / 128 - 1
}

/// Calls, and for each bucket that has any, its end in µs and the calls up to it.
fn cumulative<'a>(cores: impl Iterator<Item = &'a CommandMetrics>) -> (u64, Vec<(u64, u64)>) {
    let mut counts = [0; LATENCY_BUCKETS];
    for core in cores {
        for (count, counter) in counts.iter_mut().zip(&core.latency) {
            *count += counter.get();
        }
    }
    let mut sum = 0;
    let mut buckets = Vec::new();
    for (bucket, count) in counts.into_iter().enumerate().filter(|(_, count)| *count > 0) {
        sum += count;
        buckets.push((bucket_end_ns(bucket) / 1000, sum));
    }
    (sum, buckets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_those_of_a_histogram_with_two_digits() {
        let metrics = CommandMetrics::default();
        [500, 1500, 33_000, 40_000].iter().for_each(|&ns| metrics.record(ns, true));
        let (calls, buckets) = cumulative([&metrics, &metrics].into_iter());
        assert_eq!((calls, buckets), (8, vec![(1, 2), (2, 4), (66, 8)]));
        assert_eq!([5, 6, 7].map(|bucket| bucket_end_ns(bucket) / 1000), [33, 66, 132]);
    }

    #[test]
    fn a_graph_is_as_wide_as_its_samples() {
        let series = LatencySeries { samples: [(100, 10), (160, 1000), (190, 10)].into(), max_ms: 2000 };
        let text = drawing("command", &series, 200);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "command - high 1000 ms, low 10 ms (all time high 2000 ms)");
        assert_eq!(&lines[2..], [" #", " #", " #", "_#_", "", "141", "m00", " ss"]);
    }
}
