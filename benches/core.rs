//! A core without its ring: from received bytes to replies, for fifty clients in turns.
//! `cargo bench --bench core`; with `KEYS=number` among so many keys only. The rate is in commands.
//! Absent: the kernel, which has the larger share of a server's CPU.

use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ringfort::base::clock::Clock;
use ringfort::base::rng::Rng;
use ringfort::commands::{FAMILIES, Registry};
use ringfort::config::Config;
use ringfort::server::batch::NewConnection;
use ringfort::server::core::Core;
use ringfort::shard::Shard;
use ringfort::shared::{Facts, Shared};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CLIENTS: usize = 50;
const DATABASES: usize = 16;
/// What each iteration takes from the prepared pipelines.
const PIPELINES: usize = 64;

/// A core, and where its clients are seated.
struct Bench {
    core: Core,
    slots: Vec<u32>,
    turn: usize,
    buffer: Vec<u8>,
}

impl Bench {
    fn new() -> Self {
        let registry = Arc::new(Registry::new(FAMILIES));
        let mut rng = Rng::seeded(1);
        let run_id = rng.run_id();
        let shared = Shared::new(Clock::Real, Config::default(), 1, registry.len(), run_id, Facts::default());
        let mut core = Core::new(0, Arc::new(shared), registry, Box::new(Shard::new(0, DATABASES, 1)), rng);
        let mut slots = Vec::new();
        for client in 0..CLIENTS {
            core.accepted(NewConnection {
                fd: client as i32,
                addr: format!("127.0.0.1:{}", 40_000 + client),
                laddr: "127.0.0.1:6379".to_owned(),
                unix_socket: false,
                refusal: None,
            });
            slots.extend(core.actions.adopt.drain(..).map(|(slot, _)| slot));
        }
        Self { core, slots, turn: 0, buffer: Vec::new() }
    }

    /// One client's bytes arrive, and its replies leave.
    #[inline(never)]
    fn turn(&mut self, bytes: &[u8]) {
        self.turn += 1;
        let slot = self.slots[self.turn % CLIENTS];
        self.core.received(slot, bytes);
        self.core.finish_turn();
        for slot in std::mem::take(&mut self.core.actions.send) {
            let mut buffer = std::mem::take(&mut self.buffer);
            self.core.take_output(slot, &mut buffer);
            self.core.sent(slot, buffer.len());
            buffer.clear();
            self.core.keep_buffer(buffer);
        }
    }
}

/// `words` as a command, `key:` followed by twelve digits for each word that is `None`.
fn command(bytes: &mut Vec<u8>, words: &[Option<&[u8]>], key: u64) {
    bytes.extend(format!("*{}\r\n", words.len()).into_bytes());
    for word in words {
        let word = word.map_or_else(|| format!("key:{key:012}").into_bytes(), <[u8]>::to_vec);
        bytes.extend(format!("${}\r\n", word.len()).into_bytes());
        bytes.extend(word);
        bytes.extend(b"\r\n");
    }
}

fn pipelines(words: &[Option<&[u8]>], depth: usize, keys: u64) -> Vec<Vec<u8>> {
    let mut rng = Rng::seeded(2);
    let pipeline = |_| {
        let mut bytes = Vec::new();
        (0..depth).for_each(|_| command(&mut bytes, words, rng.next_u64() % keys));
        bytes
    };
    (0..(1 << 16) / depth).map(pipeline).collect()
}

fn commands(c: &mut Criterion) {
    let value: &[u8] = &[b'v'; 64];
    let cases: [(&str, &[Option<&[u8]>]); 3] = [
        ("GET", &[Some(b"GET"), None]),
        ("SET", &[Some(b"SET"), None, Some(value)]),
        ("EXISTS", &[Some(b"EXISTS"), None]),
    ];
    let sizes =
        std::env::var("KEYS").map_or(vec![1_000, 1_000_000], |keys| vec![keys.parse().expect("KEYS=number")]);
    for keys in sizes {
        let mut bench = Bench::new();
        for number in 0..keys {
            let mut bytes = Vec::new();
            command(&mut bytes, &[Some(b"SET"), None, Some(value)], number);
            bench.turn(&bytes);
        }
        for (name, words) in cases {
            for depth in [1, 16] {
                let pipelines = pipelines(words, depth, keys);
                let mut rest = pipelines.chunks(PIPELINES).cycle();
                let mut group = c.benchmark_group(format!("core, {keys} keys"));
                group.sample_size(20).measurement_time(Duration::from_secs(2));
                group.warm_up_time(Duration::from_millis(300));
                group.throughput(Throughput::Elements((PIPELINES * depth) as u64));
                group.bench_function(format!("{name}, pipeline {depth}"), |b| {
                    b.iter(|| rest.next().into_iter().flatten().for_each(|bytes| bench.turn(bytes)))
                });
            }
        }
    }
}

criterion_group!(benches, commands);
criterion_main!(benches);
