//! The options whose value is a shape of its own: parsing, showing and writing each.
//! In: the arguments of one line or of CONFIG SET. Out: a field of [`Config`] changed, or the complaint.
//! Invariant: a refused argument leaves the field as it was.

use super::value::format_memory;
use super::{BufferLimit, ClientClass, Config, Events, SavePoint};
use crate::base::number;
use crate::base::quoted::quote;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Special {
    Bind,
    ClientOutputBufferLimit,
    Dir,
    NotifyKeyspaceEvents,
    OomScoreAdjValues,
    Percentiles,
    ReplicaOf,
    Save,
}

const BIND_ADDRESSES_MAX: usize = 16;

impl Special {
    pub fn takes_many(self) -> bool {
        !matches!(self, Special::Dir | Special::NotifyKeyspaceEvents)
    }

    /// Sets the field. `reading_file` says that the arguments are one line of several that add up.
    pub fn set(self, config: &mut Config, args: &[&[u8]], reading_file: bool) -> Result<(), String> {
        match self {
            Special::Bind => set_bind(config, args),
            Special::ClientOutputBufferLimit => set_limits(config, args),
            Special::Dir => set_dir(config, args),
            Special::NotifyKeyspaceEvents => set_events(config, args),
            Special::OomScoreAdjValues => set_oom_values(config, args),
            Special::Percentiles => set_percentiles(config, args),
            Special::ReplicaOf => set_replicaof(config, args),
            Special::Save => set_save(config, args, reading_file),
        }
    }

    /// As CONFIG GET shows it.
    pub fn show(self, config: &Config) -> Vec<u8> {
        match self {
            Special::Bind => config.bind.join(" ").into(),
            Special::ClientOutputBufferLimit => join(ClientClass::ALL.iter().map(|&class| {
                let limit = config.client_output_buffer_limits[class as usize];
                format!("{} {} {} {}", class.name(), limit.hard_bytes, limit.soft_bytes, limit.soft_seconds)
            })),
            Special::Dir => config.dir.as_os_str().as_bytes().to_vec(),
            Special::NotifyKeyspaceEvents => config.notify_keyspace_events.to_string().into(),
            Special::OomScoreAdjValues => join(config.oom_score_adj_values.iter().map(i32::to_string)),
            Special::Percentiles => {
                join(config.latency_tracking_percentiles.iter().map(|&p| show_percentile(p)))
            }
            Special::ReplicaOf => match &config.replicaof {
                Some((host, port)) => format!("{host} {port}").into(),
                None => Vec::new(),
            },
            Special::Save => join(config.save_points.iter().map(|p| format!("{} {}", p.seconds, p.changes))),
        }
    }

    /// The lines that CONFIG REWRITE writes: none leaves the option out. The flag says whether a line is written
    /// even where the file did not have the option.
    pub fn rewrite(self, name: &str, config: &Config, default: &Config) -> Vec<(Vec<u8>, bool)> {
        let changed = self.show(config) != self.show(default);
        let one = |value: &[u8]| [name.as_bytes(), b" ", value].concat();
        let shown = self.show(config);
        match self {
            Special::Bind if !changed => Vec::new(),
            Special::ReplicaOf if shown.is_empty() => Vec::new(),
            Special::Dir => vec![(one(&quote(&shown)), true)],
            Special::NotifyKeyspaceEvents => vec![(one(&quote(&shown)), changed)],
            Special::Save if shown.is_empty() => vec![(one(b"\"\""), true)],
            Special::Save => {
                let points = config.save_points.iter();
                points.map(|p| (one(format!("{} {}", p.seconds, p.changes).as_bytes()), true)).collect()
            }
            Special::ClientOutputBufferLimit => ClientClass::ALL
                .iter()
                .map(|&class| {
                    let limit = config.client_output_buffer_limits[class as usize];
                    let sizes = [format_memory(limit.hard_bytes), format_memory(limit.soft_bytes)].join(" ");
                    let line = format!("{} {sizes} {}", class.new_name(), limit.soft_seconds);
                    (one(line.as_bytes()), limit != default.client_output_buffer_limits[class as usize])
                })
                .collect(),
            _ if shown.is_empty() => vec![(one(b"\"\""), changed)],
            _ => vec![(one(&shown), changed)],
        }
    }
}

fn join(words: impl Iterator<Item = String>) -> Vec<u8> {
    words.collect::<Vec<_>>().join(" ").into()
}

fn text(arg: &[u8]) -> String {
    String::from_utf8_lossy(arg).into_owned()
}

/// C's `strtoll`, all of it: an optional sign, then digits with any leading zeros, clipped to 64 bits; nothing is 0.
fn lenient_i64(arg: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(arg).ok()?;
    if text.is_empty() {
        return Some(0);
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().unwrap_or(if text.starts_with('-') { i64::MIN } else { i64::MAX }))
}

/// An empty argument alone means an empty list.
fn no_arguments(args: &[&[u8]]) -> bool {
    matches!(args, [] | [b""])
}

fn set_bind(config: &mut Config, args: &[&[u8]]) -> Result<(), String> {
    if args.len() > BIND_ADDRESSES_MAX {
        return Err("Too many bind addresses specified.".into());
    }
    config.bind = if no_arguments(args) { Vec::new() } else { args.iter().map(|a| text(a)).collect() };
    Ok(())
}

fn set_limits(config: &mut Config, args: &[&[u8]]) -> Result<(), String> {
    const BAD_VALUE: &str = "Error in hard, soft or soft_seconds setting in buffer limit configuration.";
    let args = if no_arguments(args) { &[] } else { args };
    let (groups, rest) = args.as_chunks::<4>();
    if !rest.is_empty() {
        return Err("Wrong number of arguments in buffer limit configuration.".into());
    }
    let mut limits = config.client_output_buffer_limits;
    for [class, hard, soft, seconds] in groups {
        let class = ClientClass::named(class);
        let class = class.ok_or("Invalid client class specified in buffer limit configuration.")?;
        limits[class as usize] = BufferLimit {
            hard_bytes: number::parse_memory(hard).ok_or(BAD_VALUE)?,
            soft_bytes: number::parse_memory(soft).ok_or(BAD_VALUE)?,
            // Redis keeps the low 32 bits.
            soft_seconds: lenient_i64(seconds).filter(|&n| n >= 0).ok_or(BAD_VALUE)? as i32,
        };
    }
    config.client_output_buffer_limits = limits;
    Ok(())
}

/// The directory is looked up now and kept absolute; entering it is for who applies the configuration.
fn set_dir(config: &mut Config, args: &[&[u8]]) -> Result<(), String> {
    let [dir] = args else { return Err("wrong number of arguments".into()) };
    if dir.is_empty() {
        // As the system would say it.
        return Err("No such file or directory".into());
    }
    let dir = config.dir.join(Path::new(std::ffi::OsStr::from_bytes(dir)));
    let dir = dir.canonicalize().map_err(|e| super::os_error_text(&e))?;
    if !dir.is_dir() {
        return Err("Not a directory".into());
    }
    config.dir = dir;
    Ok(())
}

fn set_events(config: &mut Config, args: &[&[u8]]) -> Result<(), String> {
    let [letters] = args else { return Err("wrong number of arguments".into()) };
    let events = Events::parse(letters);
    config.notify_keyspace_events = events.ok_or("Invalid event class character. Use 'Ag$lshzxeKEtmdn'.")?;
    Ok(())
}

fn set_oom_values(config: &mut Config, args: &[&[u8]]) -> Result<(), String> {
    let args: [&[u8]; 3] = args.try_into().map_err(|_| "wrong number of arguments")?;
    let mut values = [0; 3];
    for (value, arg) in values.iter_mut().zip(args) {
        let n = lenient_i64(arg).filter(|n| (-2000..=2000).contains(n));
        let n = n.ok_or("Invalid oom-score-adj-values, elements must be between -2000 and 2000.")?;
        *value = n as i32;
    }
    config.oom_score_adj_values = values;
    Ok(())
}

fn set_percentiles(config: &mut Config, args: &[&[u8]]) -> Result<(), String> {
    let args = if no_arguments(args) { &[] } else { args };
    let mut percentiles = Vec::with_capacity(args.len());
    for arg in args {
        let percentile = number::parse_f64(arg);
        let percentile = percentile.ok_or("Invalid latency-tracking-info-percentiles parameters")?;
        if !(0.0..=100.0).contains(&percentile) {
            return Err("latency-tracking-info-percentiles parameters should sit between [0.0,100.0]".into());
        }
        percentiles.push(percentile);
    }
    config.latency_tracking_percentiles = percentiles;
    Ok(())
}

/// Six decimals at most, no trailing zeros.
pub(super) fn show_percentile(percentile: f64) -> String {
    let text = format!("{percentile:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

fn set_replicaof(config: &mut Config, args: &[&[u8]]) -> Result<(), String> {
    let [host, port] = args else { return Err("wrong number of arguments".into()) };
    if host.eq_ignore_ascii_case(b"no") && port.eq_ignore_ascii_case(b"one") {
        config.replicaof = None;
        return Ok(());
    }
    let port = number::parse_i64(port).and_then(|port| u16::try_from(port).ok());
    config.replicaof = Some((text(host), port.ok_or("Invalid master port")?));
    Ok(())
}

/// In the file the first line replaces the default points and later ones add to it; CONFIG SET replaces all.
fn set_save(config: &mut Config, args: &[&[u8]], reading_file: bool) -> Result<(), String> {
    const INVALID: &str = "Invalid save parameters";
    // A lone `save` in a file adds nothing; `save ""` takes away what there was.
    let adds_nothing = args.is_empty();
    let args = if no_arguments(args) { &[] } else { args };
    let (pairs, rest) = args.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(INVALID.into());
    }
    let mut points = Vec::new();
    if reading_file && config.save_was_read && (adds_nothing || !pairs.is_empty()) {
        points.clone_from(&config.save_points);
    }
    for [seconds, changes] in pairs {
        let seconds = lenient_i64(seconds).filter(|&n| n >= 1).ok_or(INVALID)?;
        let changes = lenient_i64(changes).filter(|&n| n >= 0).ok_or(INVALID)?;
        points.push(SavePoint { seconds: seconds as u64, changes: changes as i32 });
    }
    config.save_points = points;
    config.save_was_read |= reading_file;
    Ok(())
}
