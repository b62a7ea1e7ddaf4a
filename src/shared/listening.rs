//! Listening sockets: opened at the start, and anew where CONFIG SET changes `port` or `bind`.
//! In: the configuration, before and after. Out: sockets for the core that accepts; of those that listen no more it hears from
//! the kernel.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use crate::config::{Config, os_error_text};
use crate::net::Listener;

/// How often a port in use is tried at the start: the kernel lets go of the ports of a killed process' rings a little after
/// the process is gone.
const TRIES: u32 = 50;
const PAUSE: Duration = Duration::from_millis(20);

/// The TCP sockets of a server that accepts connections.
#[derive(Default)]
pub struct Listening(Mutex<State>);

#[derive(Default)]
struct State {
    begun: bool,
    open: Vec<Arc<OwnedFd>>,
    /// Not taken yet by the core that accepts.
    new: Vec<Listener>,
}

impl Listening {
    /// The server accepts connections from these.
    pub fn begin(&self, listeners: Vec<Listener>) {
        self.state().begin(listeners);
    }

    /// `port` or `bind` may have changed. The error: what is new cannot be, what was goes on; the log says more.
    pub fn change(&self, old: &Config, new: &Config) -> Result<(), String> {
        let mut state = self.state();
        if !state.begun || (old.port == new.port && old.bind == new.bind) {
            return Ok(());
        }
        if old.port != new.port {
            let listeners = open_tcp(new, 1)?;
            state.close();
            state.begin(listeners);
            return Ok(());
        }
        // Addresses of one port may exclude each other.
        state.close();
        let opened = open_tcp(new, 1);
        let result = opened.as_ref().map(|_| ()).map_err(String::clone);
        state.begin(opened.or_else(|_| open_tcp(old, 1)).unwrap_or_default());
        result
    }

    /// Whether there are sockets that the core that accepts has not seen.
    pub fn has_new(&self) -> bool {
        !self.state().new.is_empty()
    }

    pub fn take_new(&self) -> Vec<Listener> {
        std::mem::take(&mut self.state().new)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("nobody panics opening sockets")
    }
}

impl State {
    fn begin(&mut self, listeners: Vec<Listener>) {
        self.begun = true;
        let tcp = listeners.iter().filter(|listener| listener.path.is_none());
        self.open.extend(tcp.map(|listener| listener.fd.clone()));
        self.new.extend(listeners);
    }

    fn close(&mut self) {
        self.open.drain(..).for_each(|fd| Listener::end(&fd));
    }
}

/// Listens on every address of `bind` and on the unix socket. The error is one sentence for the operator.
pub fn open(config: &Config) -> Result<Vec<Listener>, String> {
    let mut listeners = open_tcp(config, TRIES)?;
    if let Some(path) = &config.unixsocket {
        let path = path.to_string_lossy();
        let listener = Listener::unix(&path, config.unixsocketperm, config.tcp_backlog)
            .map_err(|error| format!("Failed opening Unix socket: bind: {}", os_error_text(&error)))?;
        listeners.push(listener);
    }
    match listeners.is_empty() {
        true => Err("Configured to not listen anywhere, exiting.".into()),
        false => Ok(listeners),
    }
}

/// Listens on every address of `bind`. One with a leading `-` may be missing.
fn open_tcp(config: &Config, tries: u32) -> Result<Vec<Listener>, String> {
    let mut listeners = Vec::new();
    let failed = || format!("Failed listening on port {} (tcp), aborting.", config.port);
    if config.port == 0 {
        return Ok(listeners);
    }
    for bind in &config.bind {
        let (optional, name) = match bind.strip_prefix('-') {
            Some(name) => (true, name),
            None => (false, bind.as_str()),
        };
        let opened = address_of(name, config.port)
            .and_then(|ip| listen_patiently(ip, config.port, config.tcp_backlog, tries));
        match opened {
            Ok(listener) => listeners.push(listener),
            Err(error) if optional && is_absent(&error) => {}
            Err(error) => {
                let text = os_error_text(&error);
                crate::log::warning(format!(
                    "Warning: Could not create server TCP listening socket {name}:{}: bind: {text}",
                    config.port
                ));
                return Err(failed());
            }
        }
    }
    Ok(listeners)
}

fn listen_patiently(ip: IpAddr, port: u16, backlog: i32, tries: u32) -> io::Result<Listener> {
    for _ in 1..tries {
        match Listener::tcp(ip, port, backlog) {
            Err(error) if error.kind() == ErrorKind::AddrInUse => std::thread::sleep(PAUSE),
            opened => return opened,
        }
    }
    Listener::tcp(ip, port, backlog)
}

/// Whether the address just does not exist on this host (no IPv6, say).
fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EADDRNOTAVAIL | libc::EAFNOSUPPORT | libc::ENOENT | libc::EPROTONOSUPPORT)
    )
}

fn address_of(name: &str, port: u16) -> io::Result<IpAddr> {
    match name {
        "*" => Ok(Ipv4Addr::UNSPECIFIED.into()),
        "::*" | "::" => Ok(Ipv6Addr::UNSPECIFIED.into()),
        _ => match name.parse() {
            Ok(ip) => Ok(ip),
            Err(_) => {
                let mut found = (name, port).to_socket_addrs()?;
                found.next().map(|address| address.ip()).ok_or_else(|| ErrorKind::NotFound.into())
            }
        },
    }
}
