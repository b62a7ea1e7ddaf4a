//! Listening sockets, and the options of the connections they bring.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, TcpKeepalive, Type};

/// A socket that listens.
pub struct Listener {
    pub fd: Arc<OwnedFd>,
    /// For a unix socket, its path.
    pub path: Option<String>,
}

/// The two ends of a connection, as text.
#[derive(Debug, Default)]
pub struct Peer {
    pub addr: String,
    pub laddr: String,
}

impl Listener {
    /// Listens on `ip:port`.
    pub fn tcp(ip: IpAddr, port: u16, backlog: i32) -> io::Result<Self> {
        let domain = if ip.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
        let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        if ip.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.bind(&SocketAddr::new(ip, port).into())?;
        socket.listen(backlog)?;
        Ok(Self { fd: Arc::new(socket.into()), path: None })
    }

    /// Listens on a unix socket at `path`, replacing what is there; `mode`: its permissions, 0 for the default.
    pub fn unix(path: &str, mode: u32, backlog: i32) -> io::Result<Self> {
        let _ = std::fs::remove_file(path);
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.bind(&SockAddr::unix(path)?)?;
        if mode != 0 {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
        }
        socket.listen(backlog)?;
        Ok(Self { fd: Arc::new(socket.into()), path: Some(path.to_owned()) })
    }

    /// Nobody connects to it any more; who waits to accept from it gets an error.
    pub fn end(fd: &OwnedFd) {
        // It was listening, or is past it.
        let _ = SockRef::from(fd).shutdown(std::net::Shutdown::Both);
    }
}

impl Peer {
    /// Sets the options of a new connection and names its ends. `keepalive_s`: 0 for none.
    pub fn welcome(fd: &OwnedFd, unix_path: Option<&str>, keepalive_s: u64) -> Self {
        if let Some(path) = unix_path {
            return Self { addr: format!("{path}:0"), laddr: format!("{path}:0") };
        }
        let socket = SockRef::from(fd);
        // A peer that is already gone makes these fail; its connection ends by itself.
        let _ = socket.set_tcp_nodelay(true);
        if keepalive_s > 0 {
            let keepalive = TcpKeepalive::new()
                .with_time(Duration::from_secs(keepalive_s))
                .with_interval(Duration::from_secs((keepalive_s / 3).max(1)))
                .with_retries(3);
            let _ = socket.set_tcp_keepalive(&keepalive);
        }
        Self { addr: text_of(socket.peer_addr()), laddr: text_of(socket.local_addr()) }
    }
}

/// `ip:port`, or `?:0` for an end that is gone.
fn text_of(address: io::Result<SockAddr>) -> String {
    match address.ok().and_then(|address| address.as_socket()) {
        Some(SocketAddr::V6(v6)) if v6.ip().to_ipv4_mapped().is_some() => {
            format!("{}:{}", v6.ip().to_ipv4_mapped().expect("just seen"), v6.port())
        }
        Some(address) => address.to_string(),
        None => "?:0".to_owned(),
    }
}
