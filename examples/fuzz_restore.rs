//! Breaks values in RDB's format by the million and reads them: each is refused, or is a value that can be written and
//! read again. Watches that no input takes memory out of proportion to its length.
//! `cargo run --profile fast --example fuzz_restore -- [inputs] [seed]`

#![allow(unsafe_code)] // An allocator that counts is the only way to see what is asked of it.

use memory::{NOW, PEAK, unhex};
use rewrite::rewrite;
use ringfort::base::rng::Rng;
use ringfort::persist::rdb::{self, Dialect, Node, Part, Reader, Value, Writer};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

#[path = "fuzz/memory.rs"]
mod memory;
#[path = "../src/persist/rdb/tests/mutate.rs"]
mod mutate;
#[path = "../src/persist/rdb/tests/rewrite.rs"]
mod rewrite;

/// Bytes that reading may take for a byte of the input, and for none.
const BYTES_PER_BYTE_MAX: usize = 400;
const BYTES_MAX: usize = 1 << 16;

fn read(dialect: Dialect, value: &[u8]) -> rdb::Result<Value<'_>> {
    let mut reader = Reader::new(value);
    let form = reader.u8()?;
    rdb::decode(form, dialect, &mut reader)
}

/// Values of all forms, compressed and not.
fn corpus() -> Vec<(Dialect, Vec<u8>)> {
    let mut corpus = Vec::new();
    for line in include_str!("../src/persist/rdb/tests/payloads.tsv").lines() {
        let payload = unhex(line.split('\t').next_back().expect("a payload"));
        let (dialect, body) = rdb::open(&payload).expect("a sound payload");
        if let Ok(value) = read(dialect, body) {
            corpus.push((dialect, rewrite(&value, dialect, false)));
        }
        corpus.push((dialect, body.to_vec()));
    }
    let old = include_str!("../src/persist/rdb/tests/old.tsv").lines();
    corpus.extend(old.map(|line| (Dialect::Redis, unhex(line))));
    corpus
}

/// A changed value; half of them as one string whose head may be right, perhaps of another form.
fn broken(body: &[u8], other: &[u8], round: usize, below: &mut impl FnMut(usize) -> usize) -> Vec<u8> {
    let mut bytes = body.to_vec();
    if round.is_multiple_of(2) {
        mutate::mutate(&mut bytes, other, below);
        return bytes;
    }
    let form = bytes.remove(0);
    let mut pack = bytes.split_off(below(8).min(bytes.len()));
    mutate::mutate(&mut pack, other, below);
    mutate::repair(&mut pack, below);
    let form = if below(4) == 0 { below(27) as u8 } else { form };
    [&[form, 0x80][..], &(pack.len() as u32).to_be_bytes(), &pack].concat()
}

fn main() {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<u64>().expect("a number"));
    let (inputs, seed) = (arguments.next().unwrap_or(1_000_000), arguments.next().unwrap_or(1));
    let corpus = corpus();
    let mut rng = Rng::seeded(seed);
    let mut below = |bound: usize| rng.below(bound as u64) as usize;
    let (mut sound, mut most) = (0u64, 0.0f64);
    let start = Instant::now();
    for round in 0..inputs as usize {
        let (dialect, body) = &corpus[below(corpus.len())];
        let (_, other) = &corpus[below(corpus.len())];
        let bytes = broken(body, other, round, &mut below);
        let before = NOW.load(Relaxed);
        PEAK.store(before, Relaxed);
        let value = read(*dialect, &bytes);
        let taken = PEAK.load(Relaxed) - before;
        most = most.max(taken as f64 / bytes.len().max(1) as f64);
        let bound = BYTES_MAX + BYTES_PER_BYTE_MAX * bytes.len();
        assert!(taken <= bound, "seed {seed}, round {round}: {taken} bytes for {bytes:02x?}");
        if let Ok(value) = value {
            sound += 1;
            let again = rewrite(&value, *dialect, false);
            assert!(read(*dialect, &again).is_ok(), "seed {seed}, round {round}: {bytes:02x?}");
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{inputs} inputs in {seconds:.1} s, {:.0} a second; {sound} were sound; at most {most:.0} bytes for a byte",
        inputs as f64 / seconds
    );
}
