//! HyperLogLog: counts of different elements, kept in strings that have Redis' own layout (see `types::hyperloglog`).

#[cfg(test)]
mod tests;

use super::bitmap::enlarge;
use super::error::shown;
use super::string::{string, with_bytes};
use super::{Command, Context, Error, KeySpec, flags};
use crate::client::Args;
use crate::config::Events;
use crate::shard::{Encoding, Entry};
use crate::types::hyperloglog::{self as hll, Corrupted, REGISTERS, Registers, Run};

pub const TABLE: &[Command] = &[
    Command::new("PFADD", "key [element [element ...]]", pfadd)
        .arity(-2)
        .grow()
        .fast()
        .keys(&[KeySpec::at(1, "RW insert")])
        .since("2.8.9")
        .about("Adds elements to a HyperLogLog, which is made if missing.")
        .complexity("O(N), N being the number of elements"),
    Command::new("PFCOUNT", "key [key ...]", pfcount)
        .arity(-2)
        .read()
        .flag(flags::MAY_REPLICATE)
        .keys(&[KeySpec::range(1, -1, 1, "RW access")])
        .since("2.8.9")
        .about("Estimates how many different elements one or several HyperLogLogs saw.")
        .complexity("O(N), N being the number of keys; a single key's last count is remembered"),
    Command::new("PFDEBUG", "subcommand key", pfdebug)
        .arity(3)
        .flag(flags::WRITE | flags::DENYOOM | flags::ADMIN)
        .keys(&[KeySpec::at(2, "RW access")])
        .since("2.8.9")
        .about("Looks inside a HyperLogLog.")
        .complexity("O(N), N being the number of registers"),
    Command::new("PFMERGE", "destkey [sourcekey [sourcekey ...]]", pfmerge)
        .arity(-2)
        .grow()
        .keys(&[KeySpec::at(1, "RW access insert"), KeySpec::range(2, -1, 1, "RO access")])
        .since("2.8.9")
        .about("Adds what several HyperLogLogs saw to one, which is made if missing.")
        .complexity("O(N), N being the number of keys"),
    Command::new("PFSELFTEST", "", pfselftest)
        .arity(1)
        .flag(flags::ADMIN)
        .since("2.8.9")
        .about("Checks that HyperLogLogs count well.")
        .complexity("O(N), N being the elements it counts"),
];

impl From<Corrupted> for Error {
    fn from(_: Corrupted) -> Error {
        Error::new("INVALIDOBJ Corrupted HLL object detected")
    }
}

/// Calls `look` with the HyperLogLog at `key`; None if there is no such key.
fn look<R>(cx: &mut Context, key: &[u8], look: impl FnOnce(&[u8]) -> R) -> Result<Option<R>, Error> {
    look_into(cx.read(key), look)
}

/// The same, for one that may be changed soon: that it is absent is no miss.
fn seek<R>(cx: &mut Context, key: &[u8], look: impl FnOnce(&[u8]) -> R) -> Result<Option<R>, Error> {
    look_into(cx.edit(key), look)
}

fn look_into<R>(entry: Option<&mut Entry>, look: impl FnOnce(&[u8]) -> R) -> Result<Option<R>, Error> {
    let Some(entry) = entry else { return Ok(None) };
    with_bytes(string(entry)?, |bytes| hll::is_valid(bytes).then(|| look(bytes)))
        .map(Some)
        .ok_or(Error::new("WRONGTYPE Key is not a valid HyperLogLog string value."))
}

/// Stores what a HyperLogLog became; its expiry stays.
fn store(cx: &mut Context, key: &[u8], bytes: &[u8]) {
    let expiry = cx.edit(key).and_then(|entry| entry.expiry());
    cx.set_string(key, bytes, Encoding::Raw, expiry);
}

fn pfadd(cx: &mut Context, args: Args) -> Result<(), Error> {
    let (key, elements) = (args.at(1), args.from(2));
    let sparse = seek(cx, key, |bytes| if hll::is_dense(bytes) { None } else { Some(bytes.to_vec()) })?;
    // Registers that were raised, and the key if it is new.
    let changed = match sparse {
        // A dense one is changed in place.
        Some(None) => {
            let (bytes, _) = enlarge(cx, key, 0)?;
            let places = elements.iter().map(hll::place);
            let changed = places.filter(|&(index, value)| hll::raise_dense(bytes, index, value)).count();
            if changed > 0 {
                hll::outdate(bytes);
                cx.changed(key);
            }
            changed
        }
        sparse => {
            let mut changed = usize::from(sparse.is_none());
            let mut bytes = sparse.flatten().unwrap_or_else(hll::empty);
            let bytes_max = cx.config.hll_sparse_max_bytes;
            let outcome = elements.iter().map(hll::place).try_for_each(|(index, value)| {
                changed += usize::from(hll::raise(&mut bytes, index, value, bytes_max)?);
                Ok::<_, hll::Corrupted>(())
            });
            if changed > 0 {
                hll::outdate(&mut bytes);
                store(cx, key, &bytes);
            }
            // What was added before the damage was met stays.
            outcome?;
            changed
        }
    };
    if changed > 0 {
        cx.count_elements(key, changed);
        cx.notify(Events::STRING, "pfadd", key);
    }
    cx.out.integer(i64::from(changed > 0));
    Ok(())
}

fn pfcount(cx: &mut Context, args: Args) -> Result<(), Error> {
    let mut registers = [0; REGISTERS];
    if args.len() > 2 {
        for key in args.from(1).iter() {
            look(cx, key, |bytes| hll::merge(bytes, &mut registers))?.transpose()?;
        }
        cx.out.integer(hll::estimate(&registers) as i64);
        return Ok(());
    }
    let key = args.at(1);
    let count = match look(cx, key, hll::cached_count)? {
        None => 0,
        Some(Some(count)) => count,
        Some(None) => {
            look(cx, key, |bytes| hll::merge(bytes, &mut registers))?.transpose()?;
            let count = hll::estimate(&registers);
            hll::cache_count(enlarge(cx, key, 0)?.0, count);
            cx.changed(key);
            count
        }
    };
    cx.out.integer(count as i64);
    Ok(())
}

fn pfmerge(cx: &mut Context, args: Args) -> Result<(), Error> {
    let (target, mut registers, mut dense): (_, Registers, _) = (args.at(1), [0; REGISTERS], false);
    for key in args.from(1).iter() {
        let merged = look(cx, key, |bytes| {
            dense |= hll::is_dense(bytes);
            hll::merge(bytes, &mut registers)
        })?;
        merged.transpose()?;
    }
    let mut bytes = seek(cx, target, <[u8]>::to_vec)?.unwrap_or_else(hll::empty);
    if dense {
        hll::make_dense(&mut bytes)?;
    }
    for (index, value) in registers.into_iter().enumerate().filter(|&(_, value)| value > 0) {
        hll::raise(&mut bytes, index, value, cx.config.hll_sparse_max_bytes)?;
    }
    hll::outdate(&mut bytes);
    store(cx, target, &bytes);
    cx.notify(Events::STRING, "pfadd", target);
    cx.out.ok();
    Ok(())
}

fn pfdebug(cx: &mut Context, args: Args) -> Result<(), Error> {
    let key = args.at(2);
    let bytes = seek(cx, key, <[u8]>::to_vec)?.ok_or(Error::new("ERR The specified key does not exist"))?;
    let dense = hll::is_dense(&bytes);
    match () {
        () if args.is(1, "GETREG") => {
            let mut registers = [0; REGISTERS];
            hll::merge(&bytes, &mut registers)?;
            densify(cx, key, bytes)?;
            cx.out.array(REGISTERS);
            registers.into_iter().for_each(|value| cx.out.integer(value.into()));
        }
        () if args.is(1, "DECODE") && dense => return Err(Error::new("ERR HLL encoding is not sparse")),
        () if args.is(1, "DECODE") => cx.out.bulk(runs_text(&bytes).as_bytes()),
        () if args.is(1, "ENCODING") => cx.out.simple(if dense { "dense" } else { "sparse" }),
        () if args.is(1, "TODENSE") => {
            densify(cx, key, bytes)?;
            cx.out.integer(!dense as i64);
        }
        () => {
            let name = shown(args.at(1), usize::MAX);
            return Err(Error::showing(&[b"ERR Unknown PFDEBUG subcommand '", name, b"'"]));
        }
    }
    Ok(())
}

/// Makes a sparse HyperLogLog dense where it is stored.
fn densify(cx: &mut Context, key: &[u8], mut bytes: Vec<u8>) -> Result<(), Error> {
    if !hll::is_dense(&bytes) {
        hll::make_dense(&mut bytes)?;
        store(cx, key, &bytes);
    }
    Ok(())
}

/// The runs of a sparse HyperLogLog: `z:` and `Z:` for zeros, short and long, `v:` for a value and how often.
fn runs_text(bytes: &[u8]) -> String {
    let text = |run| match run {
        Run::Zero(len) => format!("z:{len}"),
        Run::LongZero(len) => format!("Z:{len}"),
        Run::Value(value, len) => format!("v:{value},{len}"),
    };
    hll::runs(bytes).map(text).collect::<Vec<_>>().join(" ")
}

/// Elements that PFSELFTEST counts.
const TESTED: u64 = 100_000;

fn pfselftest(cx: &mut Context, _: Args) -> Result<(), Error> {
    let failed = |what: String| Error::new(format!("TESTFAILED {what}"));
    let (mut grown, mut dense, mut next) = (hll::empty(), hll::empty(), 1);
    hll::make_dense(&mut dense)?;
    let seed = cx.rng.next_u64();
    for n in 1..=TESTED {
        let (index, value) = hll::place(&(seed ^ n).to_le_bytes());
        hll::raise(&mut grown, index, value, cx.config.hll_sparse_max_bytes)?;
        hll::raise_dense(&mut dense, index, value);
        if n != next {
            continue;
        }
        next *= 10;
        let mut registers: [Registers; 2] = [[0; REGISTERS]; 2];
        hll::merge(&grown, &mut registers[0])?;
        hll::merge(&dense, &mut registers[1])?;
        if registers[0] != registers[1] {
            return Err(failed(format!("sparse and dense registers differ after {n} elements")));
        }
        // The standard error is 1.04 / sqrt(registers); six times that never happens. Small counts may collide.
        let off = hll::estimate(&registers[0]).abs_diff(n);
        if off as f64 > (n as f64 * 6.0 * 1.04 / (REGISTERS as f64).sqrt()).max(3.0) {
            return Err(failed(format!("{n} elements are counted with an error of {off}")));
        }
    }
    cx.out.ok();
    Ok(())
}
