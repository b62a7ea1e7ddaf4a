//! What it costs to write entries to an RDB file, to find them in one, and to make values of them.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ringfort::base::crc::Crc64;
use ringfort::persist::rdb::file::{Event, Reader, Usage, Version, Writer, trailer};
use ringfort::persist::{object, save};
use ringfort::types::store::Store;
use ringfort::types::{Encoding, Limits, Set, hasher};
use std::hint::black_box;

const STEP_BYTES: usize = 64 << 10;
const PORTION_BYTES: usize = 1 << 20;

/// Keys of 16 bytes with strings of that length.
fn strings(keys: usize, bytes: usize) -> Store {
    let mut store = Store::new(hasher());
    for number in 0..keys {
        let key = format!("key:{number:012}");
        let value: Vec<u8> = (0..bytes).map(|at| b'a' + ((number * 31 + at * 7) % 26) as u8).collect();
        store.set_string(store.hash(key.as_bytes()), key.as_bytes(), &value, Encoding::Raw, None, 0);
    }
    store
}

/// One set of so many members.
fn large_set(members: usize) -> Store {
    let mut set = Set::table();
    (0..members).for_each(|number| _ = set.add(format!("member:{number:08}").as_bytes(), &Limits::default()));
    let mut store = Store::new(hasher());
    store.add(store.hash(b"set"), b"set", set, None, 0);
    store
}

fn write(store: &Store, compress: bool, out: &mut Vec<u8>) {
    let writer = Writer { version: Version::V11, compress };
    out.clear();
    writer.header(out);
    store.for_each(&mut |entry| {
        let rest = save::entry(writer, entry, Usage::Unknown, STEP_BYTES, out);
        if let Some(mut rest) = rest.expect("a value that can be written") {
            while !rest.step(writer, entry, STEP_BYTES, out) {}
        }
    });
    out.extend_from_slice(&trailer(None));
}

/// Reads a file as the reading thread does; with `limits` it makes values, too.
fn read(bytes: &[u8], limits: Option<&Limits>) -> usize {
    let mut reader = Reader::new(Some(bytes.len() as u64));
    let mut portions = bytes.chunks(PORTION_BYTES);
    let mut entries = 0;
    loop {
        match reader.next().expect("a sound file") {
            None => reader.feed(portions.next().expect("Event::End comes first")),
            Some(Event::Entry(raw)) => {
                entries += 1;
                if let Some(limits) = limits {
                    black_box(object::load(&raw, limits).expect("a sound value"));
                }
            }
            Some(Event::End(_)) => return entries,
            Some(_) => {}
        }
    }
}

fn rdb(c: &mut Criterion) {
    let mut group = c.benchmark_group("rdb");
    group.sample_size(20);
    for (name, store, keys) in [
        ("100k keys of 64 bytes", strings(100_000, 64), 100_000),
        ("10k keys of 4 KiB", strings(10_000, 4096), 10_000),
        ("a set of 100k members", large_set(100_000), 1),
    ] {
        let mut out = Vec::new();
        write(&store, false, &mut out);
        let bytes = out.len() as u64;
        let elements = if keys == 1 { 100_000 } else { keys };
        println!("{name}: {bytes} bytes; times per key or member: divide by {elements}");
        group.throughput(Throughput::Bytes(bytes));
        let mut again = Vec::with_capacity(out.len());
        group.bench_function(format!("write/{name}"), |b| b.iter(|| write(&store, false, &mut again)));
        group.bench_function(format!("write, compressed/{name}"), |b| {
            b.iter(|| write(&store, true, &mut again))
        });
        group.bench_function(format!("find/{name}"), |b| b.iter(|| read(&out, None)));
        group.bench_function(format!("load/{name}"), |b| b.iter(|| read(&out, Some(&Limits::default()))));
    }
    let bytes = vec![7; 16 << 20];
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function("checksum", |b| {
        b.iter(|| {
            let mut crc = Crc64::new();
            bytes.chunks(STEP_BYTES).for_each(|piece| crc.update(piece));
            crc.value()
        })
    });
    group.finish();
}

criterion_group!(benches, rdb);
criterion_main!(benches);
