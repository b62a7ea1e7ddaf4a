//! Starts a server: shards, cores, rings, listeners; one thread a core, pinned.
//! In: a configuration. Out: a running server, then the process' exit status.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, ToSocketAddrs};
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicI32, Ordering::*};
use std::sync::{Arc, Barrier, mpsc};
use std::time::{Duration, Instant};

use super::batch::Message;
use super::core::Core;
use super::courier::Courier;
use super::driver::{Driver, Ends, RingFds};
use super::link::StorageLink;
use super::replay::{self, Found};
use crate::base::clock::Clock;
use crate::base::rng::Rng;
use crate::client::CORES_MAX;
use crate::commands::{FAMILIES, Registry};
use crate::config::{Config, Cores};
use crate::mesh::{Port, mesh};
use crate::net::{Bellboy, Listener, Ring, RingError};
use crate::shard::Shard;
use crate::shared::{Facts, Shared, gate};
use crate::storage::{Bell, Failure, executor};

/// Messages that a mesh ring holds before its sender has to queue.
const MESH_CAPACITY: usize = 1024;

/// Everything that had to succeed before the first connection.
pub struct Server {
    pub shared: Arc<Shared>,
    registry: Arc<Registry>,
    cpus: Vec<Option<usize>>,
    listeners: Vec<Listener>,
    hash_seed: u64,
}

impl Server {
    /// Opens the listeners and lays out the cores. The error is one sentence for the operator.
    pub fn prepare(config: Config) -> Result<Self, String> {
        let cpus = cpus_of(&config.cores)?;
        let listeners = open_listeners(&config)?;
        let text = |arg: &[u8]| String::from_utf8_lossy(arg).into_owned();
        let renames: Vec<(String, String)> =
            config.renamed_commands.iter().map(|line| (text(&line.args[0]), text(&line.args[1]))).collect();
        let registry = Arc::new(Registry::new(FAMILIES, &renames));
        let mut rng = Rng::from_os();
        let features = Ring::new(1).map_err(|RingError(text)| text)?.features();
        let facts = Facts {
            multiplexing_api: "io_uring",
            ring_features: features,
            hash_seed: rng.next_u64(),
            ..Facts::default()
        };
        let shared = Shared::new(Clock::Real, config, cpus.len(), registry.len(), rng.run_id(), facts);
        Ok(Self { shared: Arc::new(shared), registry, cpus, listeners, hash_seed: rng.next_u64() })
    }

    pub fn cores(&self) -> usize {
        self.cpus.len()
    }

    /// Serves until told to stop. `stop_fd` becomes readable then. `ready` is called once all cores are up and the file of
    /// the last run is loaded, with how many ms that took; its error ends the server.
    pub fn run(
        mut self,
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
                listeners: if id == 0 { std::mem::take(&mut self.listeners) } else { Vec::new() },
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
    listeners: Vec<Listener>,
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
        self.listeners.into_iter().for_each(|listener| driver.listen(listener));
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

/// Listens on every address of `bind` and on the unix socket. An address with a leading `-` may be missing.
fn open_listeners(config: &Config) -> Result<Vec<Listener>, String> {
    let backlog = config.tcp_backlog;
    let mut listeners = Vec::new();
    if config.port != 0 {
        for bind in &config.bind {
            let (optional, name) = match bind.strip_prefix('-') {
                Some(name) => (true, name),
                None => (false, bind.as_str()),
            };
            let opened =
                address_of(name, config.port).and_then(|ip| listen_patiently(ip, config.port, backlog));
            match opened {
                Ok(listener) => listeners.push(listener),
                Err(error) if optional && is_absent(&error) => {}
                Err(error) => {
                    let text = crate::config::os_error_text(&error);
                    crate::log::warning(format!(
                        "Warning: Could not create server TCP listening socket {name}:{}: bind: {text}",
                        config.port
                    ));
                    return Err(format!("Failed listening on port {} (tcp), aborting.", config.port));
                }
            }
        }
        if listeners.is_empty() {
            return Err(format!("Failed listening on port {} (tcp), aborting.", config.port));
        }
    }
    if let Some(path) = &config.unixsocket {
        let path = path.to_string_lossy();
        let listener = Listener::unix(&path, config.unixsocketperm, backlog).map_err(|error| {
            format!("Failed opening Unix socket: bind: {}", crate::config::os_error_text(&error))
        })?;
        listeners.push(listener);
    }
    Ok(listeners)
}

/// Listens on `ip:port`. The kernel lets go of the ports of a killed process' rings a little after the process is gone,
/// so that a port in use is tried again for a second.
fn listen_patiently(ip: IpAddr, port: u16, backlog: i32) -> std::io::Result<Listener> {
    const TRIES: u32 = 50;
    for _ in 1..TRIES {
        match Listener::tcp(ip, port, backlog) {
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            opened => return opened,
        }
    }
    Listener::tcp(ip, port, backlog)
}

/// Whether the address just does not exist on this host (no IPv6, say).
fn is_absent(error: &std::io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EADDRNOTAVAIL | libc::EAFNOSUPPORT | libc::ENOENT | libc::EPROTONOSUPPORT)
    )
}

fn address_of(name: &str, port: u16) -> std::io::Result<IpAddr> {
    match name {
        "*" => Ok(Ipv4Addr::UNSPECIFIED.into()),
        "::*" | "::" => Ok(Ipv6Addr::UNSPECIFIED.into()),
        _ => match name.parse() {
            Ok(ip) => Ok(ip),
            Err(_) => {
                let mut found = (name, port).to_socket_addrs()?;
                found.next().map(|address| address.ip()).ok_or_else(|| std::io::ErrorKind::NotFound.into())
            }
        },
    }
}
