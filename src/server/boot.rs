//! Starts a server: shards, cores, rings, listeners; one thread a core, pinned.
//! In: a configuration. Out: a running server, then the process' exit status.

use std::os::fd::RawFd;
use std::sync::atomic::{AtomicI32, Ordering::*};
use std::sync::{Arc, Barrier, mpsc};
use std::time::{Duration, Instant};

use super::batch::Message;
use super::core::{ACCEPTING_CORE, Core};
use super::courier::Courier;
use super::driver::{Driver, Ends, RingFds};
use super::link::StorageLink;
use super::replay::{self, Found};
use crate::base::clock::Clock;
use crate::base::rng::Rng;
use crate::client::CORES_MAX;
use crate::commands::{FAMILIES, Registry};
use crate::config::{Config, ConfigError, Cores};
use crate::mesh::{Port, mesh};
use crate::net::{Bellboy, Ring, RingError};
use crate::shard::Shard;
use crate::shared::{Facts, Shared, gate, listening};
use crate::storage::{Bell, Failure, executor};

/// Messages that a mesh ring holds before its sender has to queue.
const MESH_CAPACITY: usize = 1024;

/// Everything that had to succeed before the first connection.
pub struct Server {
    pub shared: Arc<Shared>,
    registry: Arc<Registry>,
    cpus: Vec<Option<usize>>,
    hash_seed: u64,
}

impl Server {
    /// Opens the listeners and lays out the cores. The error is one sentence for the operator.
    pub fn prepare(config: Config) -> Result<Self, String> {
        let cpus = cpus_of(&config.cores)?;
        let listeners = listening::open(&config)?;
        let registry = Arc::new(commands_of(&config).map_err(|error| error.to_string())?);
        let mut rng = Rng::from_os();
        let features = Ring::new(1).map_err(|RingError(text)| text)?.features();
        let facts = Facts {
            multiplexing_api: "io_uring",
            ring_features: features,
            hash_seed: rng.next_u64(),
            ..Facts::default()
        };
        let shared = Shared::new(Clock::Real, config, cpus.len(), registry.len(), rng.run_id(), facts);
        shared.listening.begin(listeners);
        Ok(Self { shared: Arc::new(shared), registry, cpus, hash_seed: rng.next_u64() })
    }

    pub fn cores(&self) -> usize {
        self.cpus.len()
    }

    /// Serves until told to stop. `stop_fd` becomes readable then. `ready` is called once all cores are up and the file of
    /// the last run is loaded, with how many ms that took; its error ends the server.
    pub fn run(
        self,
        stop_fd: Option<RawFd>,
        ready: impl FnOnce(Result<Option<i64>, Failure>),
    ) -> Result<(), String> {
        let config = self.shared.config();
        replay::upgrade(&config)?;
        let mut log = Some(replay::find(&config, config.appendonly)?);
        let count = self.cpus.len();
        let rings: RingFds = (0..count).map(|_| AtomicI32::new(-1)).collect();
        let all_up = Arc::new(Barrier::new(count + 1));
        let bell = Bell::default();
        let mut ports = mesh(count + 1, MESH_CAPACITY);
        let bellboy = Bellboy::new().map_err(|RingError(text)| text)?;
        let link =
            StorageLink::new(ports.pop().expect("the last is the storage thread's"), rings.clone(), bellboy);
        executor::start(link, bell.clone())?;
        let couriers = super::courier::start(rings.clone())?;
        let (booted, load) = mpsc::channel();
        let loads = config.appendonly || self.finds_file();
        self.shared.set_gate(gate::LOADING, loads);
        let mut threads = Vec::new();
        for (id, (port, courier)) in ports.into_iter().zip(couriers).enumerate() {
            let start = Start {
                shared: self.shared.clone(),
                registry: self.registry.clone(),
                port,
                rings: rings.clone(),
                bell: bell.clone(),
                courier,
                all_up: all_up.clone(),
                cpu: self.cpus[id],
                hash_seed: self.hash_seed,
                stop_fd: stop_fd.filter(|_| id == 0),
                booted: (id == 0 && loads).then(|| booted.clone()),
                log: if id == 0 { log.take() } else { None },
            };
            let thread = std::thread::Builder::new().name(format!("core-{id}"));
            threads
                .push(thread.spawn(move || start.run(id)).expect("the system gives a thread for each core"));
        }
        drop(booted);
        all_up.wait();
        if !loads {
            ready(Ok(None));
        } else if let Ok(result) = load.recv() {
            ready(result);
        }
        for thread in threads {
            thread.join().expect("a core does not panic");
        }
        self.await_log();
        Ok(())
    }

    /// What the cores logged before they ended reaches the disk, or it is said that it did not.
    fn await_log(&self) {
        const PATIENCE: Duration = Duration::from_secs(10);
        let log = &self.shared.persistence.log;
        let deadline = Instant::now() + PATIENCE;
        while self.shared.is_logged() && log.progress.durable() < self.shared.log_next.load(Acquire) {
            if log.errno.load(Acquire) != 0 || Instant::now() >= deadline {
                crate::log::warning("The last writes could not be written to the AOF file.");
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Whether there is a file to be loaded.
    fn finds_file(&self) -> bool {
        let config = self.shared.config();
        let found = std::fs::metadata(config.dir.join(&config.dbfilename));
        let absent = matches!(found, Err(error) if error.kind() == std::io::ErrorKind::NotFound);
        !absent && !config.dbfilename.is_empty()
    }
}

/// The commands, under the names that the configuration gives them.
pub fn commands_of(config: &Config) -> Result<Registry, ConfigError> {
    let mut registry = Registry::new(FAMILIES);
    for line in &config.renamed_commands {
        registry.rename(&line.args[0], &line.args[1]).map_err(|why| line.error(why))?;
    }
    Ok(registry)
}

/// What a core's thread starts with.
struct Start {
    shared: Arc<Shared>,
    registry: Arc<Registry>,
    port: Port<Message>,
    rings: RingFds,
    bell: Bell,
    courier: Courier,
    all_up: Arc<Barrier>,
    cpu: Option<usize>,
    hash_seed: u64,
    stop_fd: Option<RawFd>,
    booted: Option<mpsc::Sender<Result<Option<i64>, Failure>>>,
    log: Option<Found>,
}

impl Start {
    fn run(self, id: usize) {
        if let Some(cpu) = self.cpu {
            core_affinity::set_for_current(core_affinity::CoreId { id: cpu });
        }
        let config = self.shared.config();
        let sockets_max = (config.maxclients + 64).min(1 << 16);
        let ring = Ring::new(sockets_max).unwrap_or_else(|RingError(text)| {
            crate::log::warning(format!("core {id}: {text}"));
            std::process::exit(1);
        });
        self.rings[id].store(ring.fd(), Release);
        let shard = Box::new(Shard::new(id, config.databases as usize, self.hash_seed));
        let mut core = Core::new(id, self.shared, self.registry, shard, Rng::from_os());
        if let Some(found) = self.log {
            core.start_log(found);
        }
        if self.booted.is_some() && !config.appendonly {
            core.load(None);
        }
        let Start { port, rings, bell, courier, stop_fd, booted, .. } = self;
        let mut driver = Driver::new(core, Ends { ring, port, rings, bell, courier, stop_fd, booted });
        self.all_up.wait();
        if id == ACCEPTING_CORE {
            driver.listen();
        }
        driver.run();
    }
}

/// The CPUs to pin to: None where pinning is not asked for.
fn cpus_of(cores: &Cores) -> Result<Vec<Option<usize>>, String> {
    let allowed: Vec<usize> =
        core_affinity::get_core_ids().unwrap_or_default().iter().map(|core| core.id).collect();
    let cpus: Vec<Option<usize>> = match cores {
        Cores::All if allowed.is_empty() => vec![None],
        Cores::All => allowed.iter().copied().map(Some).collect(),
        Cores::Count(count) if *count <= allowed.len() => {
            allowed[..*count].iter().copied().map(Some).collect()
        }
        // More cores than CPUs: for tests; they share, unpinned.
        Cores::Count(count) => vec![None; *count],
        Cores::Cpus(cpus) => match cpus.iter().find(|cpu| !allowed.contains(cpu)) {
            Some(cpu) => return Err(format!("cores: CPU {cpu} may not be used by this process")),
            None => cpus.iter().copied().map(Some).collect(),
        },
    };
    if cpus.len() > CORES_MAX {
        return Ok(cpus[..CORES_MAX].to_vec());
    }
    Ok(cpus)
}
