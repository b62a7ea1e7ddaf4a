//! Breaks RDB files by the million and reads them in portions of any size: each is refused, or is read to its end. Values are
//! made of what can be read. Watches that no file takes memory out of proportion to its length.
//! `cargo run --profile fast --example fuzz_rdb -- [files] [seed]`

#![allow(unsafe_code)] // An allocator that counts is the only way to see what is asked of it.

use memory::{NOW, PEAK, unhex};
use ringfort::base::crc::crc64;
use ringfort::base::rng::Rng;
use ringfort::persist::object;
use ringfort::persist::rdb::file::{Event, Reader};
use ringfort::persist::rdb::{Dialect, open};
use ringfort::types::Limits;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

#[path = "../src/persist/rdb/file/tests/corpus.rs"]
mod corpus;
#[path = "fuzz/memory.rs"]
mod memory;
#[path = "../src/persist/rdb/tests/mutate.rs"]
#[allow(dead_code)] // It can repair packs, which is for values.
mod mutate;

/// Bytes that reading may take for a byte of the file, and for none.
const BYTES_PER_BYTE_MAX: usize = 400;
const BYTES_MAX: usize = 1 << 16;

/// Values of all forms: form and body, and whether they are Valkey's.
fn values() -> Vec<(bool, Vec<u8>)> {
    let old = include_str!("../src/persist/rdb/tests/old.tsv").lines().map(|line| (false, unhex(line)));
    let new = include_str!("../src/persist/rdb/tests/payloads.tsv").lines().map(|line| {
        let payload = unhex(line.split('\t').next_back().expect("a payload"));
        let (dialect, value) = open(&payload).expect("a sound payload");
        (dialect == Dialect::Valkey, value.to_vec())
    });
    old.chain(new).collect()
}

/// What became of files.
#[derive(Default)]
struct Tally {
    whole: u64,
    entries: u64,
    values: u64,
}

/// Reads a file in portions, and makes values of its entries.
fn read(file: &[u8], portion: usize, known: bool, limits: &Limits, tally: &mut Tally) {
    // Most files have a wrong checksum; that is not what is looked for.
    let mut reader = Reader::new(known.then_some(file.len() as u64)).without_checksum();
    let mut portions = file.chunks(portion);
    loop {
        match reader.next() {
            Ok(None) => match portions.next() {
                Some(portion) => reader.feed(portion),
                None => break drop(reader.cut().to_string()),
            },
            Ok(Some(Event::Entry(raw))) => {
                tally.entries += 1;
                match object::load(&raw, limits) {
                    Ok(_) => tally.values += 1,
                    Err(error) => assert!(error.offset <= file.len() as u64, "{error}"),
                }
            }
            Ok(Some(Event::End(_))) => break tally.whole += 1,
            Ok(Some(_)) => {}
            Err(error) => {
                assert!(error.offset <= file.len() as u64, "{error}");
                break;
            }
        }
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<u64>().expect("a number"));
    let (files, seed) = (arguments.next().unwrap_or(1_000_000), arguments.next().unwrap_or(1));
    // A file a value, and a file of all, so that what is behind a change is reached.
    let values = values();
    let mut corpus = corpus::files(&values, crc64);
    for value in values.chunks(1) {
        corpus.extend(
            corpus::files(value, crc64).into_iter().filter(|file| file.entries > 1 && file.version > 9),
        );
    }
    let mut rng = Rng::seeded(seed);
    let mut below = |bound: usize| rng.below(bound as u64) as usize;
    let limits = Limits::default();
    let (mut tally, mut most) = (Tally::default(), 0.0f64);
    let start = Instant::now();
    for round in 0..files {
        let (file, other) = (&corpus[below(corpus.len())], &corpus[below(corpus.len())]);
        let mut bytes = file.bytes.clone();
        // Most changes spare the header, so that something is left to be read.
        let mut body = if below(8) == 0 { std::mem::take(&mut bytes) } else { bytes.split_off(9) };
        mutate::mutate(&mut body, &other.bytes, &mut below);
        bytes.append(&mut body);
        let portion = [1 + below(bytes.len() + 1), bytes.len().max(1), 1 + below(16)][below(3)];
        let before = NOW.load(Relaxed);
        PEAK.store(before, Relaxed);
        read(&bytes, portion, below(2) == 0, &limits, &mut tally);
        let taken = PEAK.load(Relaxed) - before;
        most = most.max(taken as f64 / bytes.len().max(1) as f64);
        let bound = BYTES_MAX + BYTES_PER_BYTE_MAX * bytes.len();
        assert!(taken <= bound, "seed {seed}, round {round}: {taken} bytes for {bytes:02x?}");
        assert_eq!(NOW.load(Relaxed), before, "seed {seed}, round {round}: something was kept");
    }
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{files} files of {} in {seconds:.1} s, {:.0} a second; {} were read to their end, {} entries, {} sound values; at \
         most {most:.0} bytes for a byte",
        corpus.len(),
        files as f64 / seconds,
        tally.whole,
        tally.entries,
        tally.values
    );
}
