//! Bytes that were changed: they are refused, or they are a value that can be written and read again. Either way
//! quickly, without a panic; examples/fuzz_restore.rs does the same for longer and watches the memory.

use super::mutate::{mutate, repair};
use super::*;
use crate::base::rng::Rng;

const ROUNDS: usize = 200_000;

/// Values of all forms, without their frames.
fn corpus() -> Vec<(Dialect, Vec<u8>)> {
    let mut corpus = Vec::new();
    for sample in samples() {
        let (dialect, body) = open(&sample.payload).unwrap();
        if let Ok(value) = read(dialect, body) {
            corpus.push((dialect, rewrite(&value, dialect, false)));
        }
        corpus.push((dialect, body.to_vec()));
    }
    for line in include_str!("old.tsv").lines() {
        corpus.push((Dialect::Redis, unhex(line)));
    }
    corpus
}

fn check(dialect: Dialect, bytes: &[u8]) -> bool {
    let Ok(value) = read(dialect, bytes) else { return false };
    let written = rewrite(&value, dialect, false);
    let again = read(dialect, &written).expect("a value that was read can be written and read");
    assert_eq!(contents(&again), contents(&value));
    true
}

#[test]
fn the_corpus_is_sound() {
    for (dialect, bytes) in corpus() {
        assert!(check(dialect, &bytes), "{bytes:02x?}");
    }
}

#[test]
fn changed_bytes_never_do_harm() {
    let corpus = corpus();
    let mut rng = Rng::seeded(11);
    let mut below = |bound: usize| rng.below(bound as u64) as usize;
    let mut sound = 0;
    for round in 0..ROUNDS {
        let (dialect, bytes) = &corpus[below(corpus.len())];
        let (_, other) = &corpus[below(corpus.len())];
        let mut bytes = bytes.clone();
        if round % 2 == 0 {
            // The body as one string: with another form, too, and a head that may be right.
            let form = bytes.remove(0);
            let from = below(8).min(bytes.len());
            let mut pack = bytes.split_off(from);
            mutate(&mut pack, other, &mut below);
            repair(&mut pack, &mut below);
            let form = if below(4) == 0 { below(27) as u8 } else { form };
            bytes = [&[form, 0x80][..], &(pack.len() as u32).to_be_bytes(), &pack].concat();
        } else {
            mutate(&mut bytes, other, &mut below);
        }
        sound += usize::from(check(*dialect, &bytes));
    }
    assert!(
        (ROUNDS / 100..ROUNDS).contains(&sound),
        "the changes are too weak or too strong: {sound} are sound"
    );
}

#[test]
fn a_changed_payload_fails_at_its_checksum() {
    let samples = samples();
    let mut rng = Rng::seeded(12);
    let mut below = |bound: usize| rng.below(bound as u64) as usize;
    for _ in 0..20_000 {
        let sample = &samples[below(samples.len())];
        let other = &samples[below(samples.len())].payload;
        let mut payload = sample.payload.clone();
        mutate(&mut payload, other, &mut below);
        // The checksum begins with zero, so zeros before everything do not change it.
        let meat = |bytes: &[u8]| bytes.iter().copied().skip_while(|&byte| byte == 0).collect::<Vec<_>>();
        // Behind a whole payload the checksum is zero again, so another one behind it is as sound.
        let behind = |whole: &[u8]| payload.ends_with(&meat(whole));
        if !behind(&sample.payload) && !behind(other) {
            assert_eq!(open(&payload).unwrap_err(), Error::Footer);
        }
    }
}
