//! The store at a million keys of 16 bytes with values of 64, and the longest pause of one insert on the way to ten million.
//! `cargo bench --bench table`; with `LONG=1` also the pauses up to 30 million.

// Unsafe: the clock of the thread has no safe wrapper.
#![allow(unsafe_code)]

use ahash::RandomState;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use ringfort::shard::Encoding;
use ringfort::shard::Store;
use ringfort::shard::store::prefetch;
use std::hint::black_box;
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const KEYS: u64 = 1_000_000;
const VALUE: [u8; 64] = [b'v'; 64];
/// Lookups at once, as a pipeline or a loop turn has them.
const AT_ONCE: usize = 16;

fn key(number: u64) -> [u8; 16] {
    let mut key = *b"key:000000000000";
    let mut rest = number;
    for digit in key[4..].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    key
}

fn set(store: &mut Store, key: &[u8]) {
    let hash = store.hash(key);
    black_box(store.set_string(hash, key, &VALUE, Encoding::Raw, None, 1));
}

fn filled(keys: u64) -> Store {
    let mut store = Store::new(RandomState::with_seeds(1, 2, 3, 4));
    (0..keys).for_each(|number| set(&mut store, &key(number)));
    store
}

/// Numbers in no order.
struct Numbers(u64);

impl Iterator for Numbers {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93);
        Some(mixed ^ mixed >> 32)
    }
}

fn operations(c: &mut Criterion) {
    let before = resident();
    let mut store = filled(KEYS);
    let each = |bytes: usize| bytes as f64 / KEYS as f64;
    println!(
        "{:.2} bytes a key; {:.2} by the kernel's count",
        each(store.bytes()),
        each(resident() - before)
    );
    let mut numbers = Numbers(1);
    let mut any = move || key(numbers.next().unwrap() % KEYS);
    let mut group = c.benchmark_group("table");
    group.sample_size(20).measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_millis(300));
    group.bench_function("hit", |b| {
        b.iter_batched(&mut any, |key| store.find(&key).map(|entry| entry.access()), BatchSize::SmallInput)
    });
    group.bench_function("miss", |b| {
        let absent = || any().map(|byte| byte ^ 0x80);
        b.iter_batched(absent, |key| store.find(&key).is_some(), BatchSize::SmallInput)
    });
    group.bench_function("16 hits, prefetched", |b| {
        let pipeline = || std::array::from_fn::<_, AT_ONCE, _>(|_| any());
        b.iter_batched(
            pipeline,
            |keys| {
                let hashes = keys.map(|key| store.hash(&key));
                prefetch(hashes.iter().map(|&hash| (&store, hash)));
                let found = keys.iter().zip(hashes).map(|(key, hash)| store.find_hashed(hash, key));
                found.map(|entry| entry.unwrap().access()).sum::<u32>()
            },
            BatchSize::SmallInput,
        )
    });
    group.bench_function("replace", |b| {
        b.iter_batched(&mut any, |key| set(&mut store, &key), BatchSize::SmallInput)
    });
    group.bench_function("remove and insert", |b| {
        b.iter_batched(
            &mut any,
            |key| {
                store.remove(&key);
                set(&mut store, &key);
            },
            BatchSize::SmallInput,
        )
    });
    let mut cursor = 0;
    group.bench_function("scan of a bucket", |b| {
        b.iter(|| {
            let mut bytes = 0;
            cursor = store.scan(cursor, &mut |entry| bytes += entry.key().len());
            bytes
        })
    });
    group.finish();
    let mut group = c.benchmark_group("table");
    group.sample_size(10).measurement_time(Duration::from_secs(4));
    group.bench_function("a million inserts", |b| b.iter_with_large_drop(|| filled(KEYS)));
    group.finish();
}

/// Prints the longest inserts while a store grows: of the thread's own time, so that other load on the machine counts less.
fn pauses(_: &mut Criterion) {
    let mut store = Store::new(RandomState::with_seeds(1, 2, 3, 4));
    let end = if std::env::var_os("LONG").is_some() { 30_000_000 } else { 10_000_000 };
    // Filled beforehand: its growth would be a pause too.
    let mut times = vec![1u32; end as usize];
    let began = Instant::now();
    let mut last = thread_time();
    for number in 0..end {
        set(&mut store, &key(number));
        let now = thread_time();
        times[number as usize] = (now - last).as_nanos() as u32;
        last = now;
    }
    let each = store.bytes() as f64 / store.len() as f64;
    println!("{end} inserts in {:?}, {each:.2} bytes a key", began.elapsed());
    times.sort_unstable();
    for share in [0.5, 0.99, 0.999, 0.9999, 0.99999, 1.0] {
        let at = (share * (times.len() - 1) as f64) as usize;
        println!(
            "  {:>8.3}% of inserts within {:>9.1?}",
            share * 100.0,
            Duration::from_nanos(times[at] as u64)
        );
    }
}

/// Bytes of memory that the process has touched.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux counts pages");
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).expect("a number") * 4096
}

fn thread_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the clock of the calling thread always exists.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

criterion_group!(benches, operations, pauses);
criterion_main!(benches);
