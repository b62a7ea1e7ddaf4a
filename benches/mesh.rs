//! What the mesh costs: a hop there and back between two pinned threads, and values a second one way.
//! Needs two cores that are otherwise idle; on one core the figures mean nothing.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ringfort::mesh::{Port, mesh};

/// Values in flight in the throughput runs, and the size of the rings.
const CAPACITY: usize = 256;

fn pin(core: usize) {
    let cores = core_affinity::get_core_ids().expect("the CPUs of this process");
    core_affinity::set_for_current(cores[core % cores.len()]);
}

/// The other core: runs `turn` until told to stop.
struct Peer {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Peer {
    fn start<T: Send + 'static>(
        mut port: Port<T>,
        mut turn: impl FnMut(&mut Port<T>) + Send + 'static,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let told = stop.clone();
        let thread = std::thread::spawn(move || {
            pin(1);
            while !told.load(Ordering::Relaxed) {
                turn(&mut port);
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().map(JoinHandle::join);
    }
}

fn wait<T: Send>(port: &mut Port<T>) -> T {
    loop {
        match port.receive() {
            Some((_, value)) => return value,
            None => std::hint::spin_loop(),
        }
    }
}

/// `value` goes there and back `count` times, alone.
fn round_trips<T: Send>(port: &mut Port<T>, mut value: T, count: u64) -> Duration {
    let start = Instant::now();
    for _ in 0..count {
        port.send(1, value);
        value = wait(port);
    }
    black_box(value);
    start.elapsed()
}

/// `count` boxed values go out and come back, up to `window` of them under way at once.
fn streamed(port: &mut Port<Box<u64>>, count: u64, window: usize) -> Duration {
    let mut idle: Vec<Box<u64>> = (0..window as u64).map(Box::new).collect();
    let start = Instant::now();
    let (mut sent, mut back) = (0, 0);
    while back < count {
        while sent < count
            && let Some(value) = idle.pop()
        {
            port.send(1, value);
            sent += 1;
        }
        port.flush();
        while let Some((_, value)) = port.receive() {
            idle.push(value);
            back += 1;
        }
        port.take_wakes().for_each(drop);
    }
    start.elapsed()
}

fn hops(criterion: &mut Criterion) {
    pin(0);
    let mut ports = mesh::<Box<u64>>(2, CAPACITY);
    let peer = Peer::start(ports.pop().unwrap(), |port| {
        while let Some((from, mut value)) = port.receive() {
            *value += 1;
            port.send(from, value);
        }
        port.flush();
        port.take_wakes().for_each(drop);
    });
    let mut port = ports.pop().unwrap();
    let mut group = criterion.benchmark_group("mesh");
    group.bench_function("there and back", |b| {
        b.iter_custom(|count| round_trips(&mut port, Box::new(0), count))
    });
    group.throughput(Throughput::Elements(1));
    for window in [16, 50, 200, 1000] {
        let name = format!("there and back, {window} under way");
        group.bench_function(name, |b| b.iter_custom(|count| streamed(&mut port, count, window)));
    }
    group.finish();
    drop(peer);
}

fn one_way(criterion: &mut Criterion) {
    pin(0);
    let mut ports = mesh::<u64>(2, CAPACITY);
    let peer = Peer::start(ports.pop().unwrap(), |port| while port.receive().map(black_box).is_some() {});
    let mut port = ports.pop().unwrap();
    let mut group = criterion.benchmark_group("mesh");
    group.throughput(Throughput::Elements(1));
    group.bench_function("one way", |b| {
        b.iter_custom(|count| {
            let start = Instant::now();
            for n in 0..count {
                port.send(1, n);
                if n % 64 == 0 {
                    while !port.flush() {
                        std::hint::spin_loop();
                    }
                }
            }
            while !port.flush() {}
            start.elapsed()
        });
    });
    group.finish();
    drop(peer);
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    targets = hops, one_way
}
criterion_main!(benches);
