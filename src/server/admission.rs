//! Who may connect at all: `maxclients` and protected mode. What is said of those who are no clients.

use std::sync::atomic::Ordering::Relaxed;

use super::batch::NewConnection;
use crate::client::Connection;
use crate::shared::Shared;

/// Redis' words for a client that reaches an open port of a server without a password.
const PROTECTED: &str = "-DENIED Redis is running in protected mode because protected mode is enabled and no password is set for the default user. In this mode connections are only accepted from the loopback interface. If you want to connect from external computers to Redis you may adopt one of the following solutions: 1) Just disable protected mode sending the command 'CONFIG SET protected-mode no' from the loopback interface by connecting to Redis from the same host the server is running, however MAKE SURE Redis is not publicly accessible from internet if you do so. Use CONFIG REWRITE to make this change permanent. 2) Alternatively you can just disable the protected mode by editing the Redis configuration file, and setting the protected mode option to 'no', and then restarting the server. 3) If you started the server manually just for testing, restart it with the '--protected-mode no' option. 4) Setup an authentication password for the default user. NOTE: You only need to do one of the above things in order for the server to start accepting connections from the outside.\r\n";

/// The reply with which a new connection is turned away, if it is.
pub fn refusal(shared: &Shared, new: &NewConnection) -> Option<&'static str> {
    let config = shared.config();
    if shared.clients.len() >= config.maxclients as usize {
        return Some("-ERR max number of clients reached\r\n");
    }
    let open = config.protected_mode && config.requirepass.is_none();
    (open && !new.unix_socket && !is_loopback(&new.addr)).then_some(PROTECTED)
}

/// Somebody made a web browser send commands, as the body of a request: tells the operator, once a minute.
pub fn note_attack(shared: &Shared, connection: &Connection, now_ms: i64) {
    const PAUSE_MS: i64 = 60_000;
    let told_ms = shared.attack_told_ms.load(Relaxed);
    if now_ms - told_ms < PAUSE_MS {
        return;
    }
    // Two cores that are here at once may both tell.
    shared.attack_told_ms.store(now_ms, Relaxed);
    crate::log::warning(format_args!(
        "Possible SECURITY ATTACK detected. Something sends POST or Host: to this server as if they were commands. \
         A web page may be trying to reach it through the browser of a visitor (Cross Protocol Scripting). \
         The connection from {} was closed; see that the port is not reachable from where browsers run.",
        connection.card.addr
    ));
}

/// Whether an `ip:port` text names this host itself.
fn is_loopback(addr: &str) -> bool {
    match addr.parse::<std::net::SocketAddr>() {
        Ok(address) => match address.ip() {
            std::net::IpAddr::V4(ip) => ip.is_loopback(),
            std::net::IpAddr::V6(ip) => {
                ip.is_loopback() || ip.to_ipv4_mapped().is_some_and(|mapped| mapped.is_loopback())
            }
        },
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::is_loopback;

    #[test]
    fn loopback_is_told_from_the_world() {
        for (addr, is) in
            [("127.0.0.1:5", true), ("[::1]:5", true), ("[::ffff:127.0.0.1]:5", true), ("10.0.0.1:5", false)]
        {
            assert_eq!(is_loopback(addr), is, "{addr}");
        }
    }
}
