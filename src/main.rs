//! The process: arguments, configuration, what the operating system sees of it, then the server.

use std::io::{Read, Write};
use std::process::{ExitCode, exit};

use ringfort::base::memory;
use ringfort::config::{Config, ConfigError, os_error_text};
use ringfort::log::{self, Syslog};
use ringfort::server::boot::{Server, commands_of};
use ringfort::server::{check, cli, intake, process};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
    let program = arguments.next().unwrap_or_else(|| "ringfort".to_owned());
    let arguments: Vec<String> = arguments.collect();
    let start = match cli::read(&program, &arguments) {
        cli::Action::Print(text) => {
            print!("{text}");
            return ExitCode::SUCCESS;
        }
        cli::Action::Fail(text) => {
            eprint!("{text}");
            return ExitCode::FAILURE;
        }
        cli::Action::Check(task) => {
            let sound = check::run(&task, &mut std::io::stdin().lock(), &mut std::io::stdout().lock());
            return if sound.unwrap_or(false) { ExitCode::SUCCESS } else { ExitCode::FAILURE };
        }
        cli::Action::Run(start) => start,
    };
    memory::give_back_at_once();
    let no_options = start.file.is_none() && start.options.is_empty();
    match load(&start) {
        Ok(config) => serve(config, &program, no_options),
        Err(text) => {
            eprintln!("{text}");
            ExitCode::FAILURE
        }
    }
}

/// Reads the configuration from wherever the command line says.
fn load(start: &cli::Start) -> Result<Config, String> {
    let mut text = String::new();
    if start.reads_stdin {
        std::io::stdin().read_to_string(&mut text).map_err(|error| format!("standard input: {error}"))?;
    }
    let stdin = start.reads_stdin.then_some(text.as_str());
    let config = Config::parse(start.file.as_deref(), &start.options, stdin);
    let config = config.and_then(|config| commands_of(&config).map(|_| config));
    config.map_err(|error| error.to_string())
}

/// Ends the process with a reason in the log.
fn fail(text: impl std::fmt::Display) -> ! {
    log::warning(text);
    exit(1)
}

/// Becomes a server: directory, log, terminal, limits, listeners, then the cores until the end.
fn serve(mut config: Config, program: &str, no_options: bool) -> ExitCode {
    if let Err(error) = std::env::set_current_dir(&config.dir) {
        eprintln!("Can't chdir to '{}': {}", config.dir.display(), os_error_text(&error));
        return ExitCode::FAILURE;
    }
    log::set_level(config.loglevel);
    // Before the terminal is gone, so that a log that cannot be opened is noticed.
    if let Err(error) = log::init(config.logfile.as_deref(), syslog(&config)) {
        eprint!("{}", ConfigError::Whole(format!("Can't open the log file: {}", os_error_text(&error))));
        return ExitCode::FAILURE;
    }
    if config.daemonize
        && let Err(error) = process::daemonize()
    {
        eprintln!("Cannot become a daemon: {}", os_error_text(&error));
        return ExitCode::FAILURE;
    }
    log::log_panics();
    if config.disable_thp && !memory::decline_huge_pages() {
        log::warning(
            "Huge pages could not be declined: large values may grow by stalls of some milliseconds",
        );
    }
    if config.set_proc_title {
        process::set_title(&process::title(&config, program));
    }
    announce(no_options);
    match process::raise_open_files(config.maxclients) {
        Ok(limit) => {
            if limit.maxclients != config.maxclients {
                config.set_by_server("maxclients", limit.maxclients.to_string().as_bytes());
            }
            limit.warnings.iter().for_each(log::warning);
            limit.notice.iter().for_each(log::notice);
        }
        Err(text) => fail(text),
    }
    let pid_file = process::PidFile::write(&config).unwrap_or_else(|error| {
        log::warning(format!("Failed to write PID file: {}", os_error_text(&error)));
        None
    });
    let stop = process::stop_event().unwrap_or_else(|error| fail(format!("No event for signals: {error}")));
    let server = Server::prepare(config).unwrap_or_else(|text| fail(text));
    let shared = server.shared.clone();
    warn_of_what_is_missing(&shared.config());
    process::boot_warnings(&shared.config(), server.cores()).iter().for_each(log::warning);
    banner(&server);
    log::notice("Server initialized");
    let served = server.run(Some(stop), |loaded| match loaded {
        Ok(ms) => {
            if let Some(ms) = ms {
                log::notice(format!("DB loaded from disk: {:.3} seconds", ms as f64 / 1000.0));
            }
            ready(&shared.config());
        }
        Err(failure) => {
            intake::log_failure(&failure);
            exit(1);
        }
    });
    served.unwrap_or_else(|text| fail(text));
    if let Some(path) = &shared.config().unixsocket {
        log::notice("Removing the unix socket file.");
        let _ = std::fs::remove_file(path);
    }
    drop(pid_file);
    log::warning("Ringfort is now ready to exit, bye bye...");
    let _ = std::io::stdout().flush();
    ExitCode::SUCCESS
}

fn syslog(config: &Config) -> Option<Syslog> {
    let syslog = Syslog { ident: config.syslog_ident.clone(), facility: config.syslog_facility };
    config.syslog_enabled.then_some(syslog)
}

/// What the configuration asks for and this version does not do yet must not go unsaid.
fn warn_of_what_is_missing(config: &Config) {
    if config.replicaof.is_some() {
        log::warning("WARNING replicaof is set, but this version does not replicate");
    }
}

fn announce(no_options: bool) {
    log::notice("oO0OoO0OoO0Oo Ringfort is starting oO0OoO0OoO0Oo");
    let (version, pid) = (env!("CARGO_PKG_VERSION"), std::process::id());
    log::notice(format!("Ringfort version={version}, bits=64, pid={pid}, just started"));
    if no_options {
        log::warning(
            "Warning: no config file specified, using the default config. In order to specify a config file use ringfort /path/to/redis.conf",
        );
    } else {
        log::notice("Configuration loaded");
    }
}

/// What this server found and took.
fn banner(server: &Server) {
    let shared = &server.shared;
    let config = shared.config();
    log::notice(format!(
        "Ringfort {} (64 bit) on {} core{}, Port: {}, PID: {}",
        env!("CARGO_PKG_VERSION"),
        server.cores(),
        if server.cores() == 1 { "" } else { "s" },
        config.port,
        std::process::id()
    ));
    log::notice(format!(
        "io_uring: {}; allocator: slabs for keys, mimalloc for the rest",
        shared.facts.ring_features
    ));
}

fn ready(config: &Config) {
    if config.port != 0 {
        log::notice("Ready to accept connections tcp");
    }
    if let Some(path) = &config.unixsocket {
        log::notice(format!("Ready to accept connections unix {}", path.display()));
    }
    if let Err(error) = process::notify_systemd(config, "STATUS=Ready to accept connections\nREADY=1\n") {
        log::warning(format!("systemd could not be told: {error}"));
    }
}
