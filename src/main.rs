//! The process: arguments, then the server.

use ringfort::config::Config;
use ringfort::server::boot::Server;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let config = Config::parse(None, &args, None).unwrap_or_else(|error| {
        eprintln!("{error}");
        std::process::exit(1)
    });
    match Server::prepare(config) {
        Ok(server) => server.run(None, || eprintln!("* Ready to accept connections")),
        Err(error) => {
            eprintln!("{error}");
            std::process::exit(1)
        }
    }
}
