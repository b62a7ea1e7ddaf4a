//! What the command line asks for. Pure: reading standard input and exiting is for `main`.

use super::check;
use std::path::PathBuf;

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Print this on standard output and exit with 0.
    Print(String),
    /// Print this on standard error and exit with 1.
    Fail(String),
    /// Check a file instead of running a server.
    Check(check::Task),
    Run(Start),
}

/// What [`Config::parse`](crate::config::Config::parse) needs.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Start {
    pub file: Option<PathBuf>,
    /// `--option value` words.
    pub options: Vec<String>,
    /// A lone `-`: further lines come on standard input.
    pub reads_stdin: bool,
}

/// Reads the arguments behind the program's name `program`.
///
/// The first may be a configuration file. A `-` counts in the first and in the last place only: elsewhere it is a value.
pub fn read(program: &str, arguments: &[String]) -> Action {
    match check::task(program, arguments) {
        Some(Ok(task)) => return Action::Check(task),
        Some(Err(usage)) => return Action::Fail(usage.into()),
        None => {}
    }
    let mut start = Start::default();
    let mut options = arguments;
    match arguments.first().map(String::as_str) {
        Some("-v" | "--version") => return Action::Print(version()),
        Some("-h" | "--help") => return Action::Print(help(program)),
        Some("--test-memory") => return Action::Fail(NO_MEMORY_TEST.into()),
        Some("--check-system") => return Action::Fail(NO_SYSTEM_CHECK.into()),
        Some("-") => {
            start.reads_stdin = true;
            options = &arguments[1..];
        }
        Some(file) if !file.starts_with('-') => {
            start.file = Some(file.into());
            options = &arguments[1..];
        }
        _ => {}
    }
    if arguments.iter().any(|argument| argument == "--sentinel") {
        return Action::Fail(
            "Ringfort has no Sentinel mode: run a Sentinel of Redis or Valkey beside it.\n".into(),
        );
    }
    if let [before @ .., last] = options
        && last == "-"
    {
        start.reads_stdin = true;
        options = before;
    }
    start.options = options.to_vec();
    Action::Run(start)
}

const NO_MEMORY_TEST: &str = "\
Ringfort has no memory test. These two find faulty memory:
1) memtest86: http://www.memtest86.com/
2) memtester: http://pyropus.ca/software/memtester/
";
const NO_SYSTEM_CHECK: &str =
    "Ringfort has no separate system check: what it finds wrong it logs when it starts, as warnings.\n";

/// One line in the shape of `redis-server --version`, which scripts take apart.
fn version() -> String {
    format!(
        "Ringfort server v={} sha=00000000:0 malloc=mimalloc bits={} build={}\n",
        env!("CARGO_PKG_VERSION"),
        usize::BITS,
        if cfg!(debug_assertions) { "debug" } else { "release" },
    )
}

fn help(program: &str) -> String {
    format!(
        "\
Usage: {program} [/path/to/redis.conf] [options] [-]
       {program} - (read config from stdin)
       {program} -v or --version
       {program} -h or --help
       {program} check <file.rdb|file.manifest|file.aof> (is the file whole and sound?)

Options are those of the configuration file, and override it. Ringfort's own are:
       --cores <count or list>   which CPUs it uses, one thread each: 4, or 0-3,6 (default: all)
       --poll-us-max <time>      how long an idle core polls before it sleeps (default: 50, 0: not at all)

Examples:
       {program} (run the server with default conf)
       echo 'maxmemory 128mb' | {program} -
       {program} /etc/redis/6379.conf
       {program} --port 7777
       {program} --port 7777 --replicaof 127.0.0.1 8888
       {program} /etc/myredis.conf --loglevel verbose -
       {program} /etc/myredis.conf --cores 4 --save \"\"
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(arguments: &[&str]) -> Action {
        let arguments: Vec<String> = arguments.iter().map(|a| a.to_string()).collect();
        read("ringfort", &arguments)
    }

    #[test]
    fn arguments_are_sorted_out() {
        type Case<'a> = (&'a [&'a str], Option<&'a str>, &'a [&'a str], bool);
        let cases: &[Case] = &[
            (&[], None, &[], false),
            (&["a.conf"], Some("a.conf"), &[], false),
            (&["a.conf", "--port", "1"], Some("a.conf"), &["--port", "1"], false),
            (&["--port", "1"], None, &["--port", "1"], false),
            (&["-"], None, &[], true),
            (&["-", "--port", "1"], None, &["--port", "1"], true),
            (&["a.conf", "--port", "1", "-"], Some("a.conf"), &["--port", "1"], true),
            (&["--requirepass", "-", "--port", "1"], None, &["--requirepass", "-", "--port", "1"], false),
            (&["--save", ""], None, &["--save", ""], false),
            (&["-x"], None, &["-x"], false),
        ];
        for (arguments, file, options, reads_stdin) in cases {
            let options = options.iter().map(|o| o.to_string()).collect();
            let want = Start { file: file.map(PathBuf::from), options, reads_stdin: *reads_stdin };
            assert_eq!(run(arguments), Action::Run(want), "{arguments:?}");
        }
    }

    #[test]
    fn questions_are_answered() {
        for flag in ["-v", "--version"] {
            let Action::Print(text) = run(&[flag, "x"]) else { panic!("{flag}") };
            assert!(text.starts_with("Ringfort server v=") && text.contains(" bits=64 "), "{text}");
        }
        for flag in ["-h", "--help"] {
            assert!(matches!(run(&[flag]), Action::Print(text) if text.starts_with("Usage: ringfort [")));
        }
        for flag in ["--test-memory", "--sentinel", "--check-system"] {
            assert!(matches!(run(&[flag]), Action::Fail(_)), "{flag}");
        }
    }
}
