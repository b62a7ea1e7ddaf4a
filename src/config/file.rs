//! Reads configuration files and the options of the command line.
//!
//! The file, what standard input adds, and the command line (an option a line) become one text, which is then read
//! line by line, so that a complaint about an argument names a line too, as in Redis.

use super::options::{DEPRECATED, Opt, TABLE};
use super::value::Kind;
use super::{Config, os_error_text};
use crate::base::{glob, quoted};
use std::fmt;
use std::path::{Path, PathBuf};

/// Why there is no configuration. Shown as Redis shows it on standard error.
#[derive(Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// A line is wrong.
    Line { number: usize, text: String, why: String },
    /// The lines contradict each other.
    Whole(String),
    /// A file cannot be read.
    Unreadable { path: PathBuf, why: String },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let head = concat!("\n*** FATAL CONFIG FILE ERROR (Ringfort ", env!("CARGO_PKG_VERSION"), ") ***");
        match self {
            ConfigError::Line { number, text, why } => {
                writeln!(f, "{head}\nReading the configuration file, at line {number}\n>>> '{text}'\n{why}")
            }
            ConfigError::Whole(why) => writeln!(f, "{head}\n{why}"),
            ConfigError::Unreadable { path, why } => {
                write!(f, "Fatal error, can't open config file '{}': {why}", path.display())
            }
        }
    }
}

/// A line that declares something that is no option: a command's new name, a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declared {
    number: usize,
    text: String,
    /// What follows the directive.
    pub args: Vec<Vec<u8>>,
}

impl Declared {
    /// The complaint of who carries the declaration out.
    pub fn error(&self, why: impl Into<String>) -> ConfigError {
        ConfigError::Line { number: self.number, text: self.text.clone(), why: why.into() }
    }
}

const INCLUDES_DEEP_MAX: usize = 16;
const BAD_DIRECTIVE: &str = "Bad directive or wrong number of arguments";

impl Config {
    /// The configuration of a file, of what was read from standard input, and of the command line's options, each
    /// overriding what is before it. Without any of them, the defaults.
    pub fn parse(
        file: Option<&Path>,
        arguments: &[String],
        stdin: Option<&str>,
    ) -> Result<Config, ConfigError> {
        let mut config = Config::default();
        let mut text = Vec::new();
        if let Some(file) = file {
            text = read(file)?;
            config.file = Some(std::path::absolute(file).unwrap_or_else(|_| file.into()));
        }
        text.extend(stdin.unwrap_or_default().bytes());
        text.push(b'\n');
        text.extend(lines_of_arguments(arguments));
        config.read_lines(&text, 0)?;
        if config.cluster_enabled && config.replicaof.is_some() {
            return Err(ConfigError::Whole("replicaof directive not allowed in cluster mode".into()));
        }
        Ok(config)
    }

    fn read_lines(&mut self, text: &[u8], depth: usize) -> Result<(), ConfigError> {
        for (at, line) in text.split(|&b| b == b'\n').enumerate() {
            let line = line.trim_ascii();
            if line.is_empty() || line[0] == b'#' {
                continue;
            }
            let line = &line[..memchr::memchr(0, line).unwrap_or(line.len())];
            let shown = String::from_utf8_lossy(line).into_owned();
            let declared = |args| Declared { number: at + 1, text: shown, args };
            let Some(words) = quoted::split(line) else {
                return Err(declared(Vec::new()).error("Unbalanced quotes in configuration line"));
            };
            if let [name, rest @ ..] = words.as_slice() {
                self.read_directive(name, declared(rest.to_vec()), depth)?;
            }
        }
        Ok(())
    }

    fn read_directive(&mut self, name: &[u8], line: Declared, depth: usize) -> Result<(), ConfigError> {
        if let Some(at) = Opt::find(name) {
            return self.read_option(at, &line.args).map_err(|why| line.error(why));
        }
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        match (name.as_str(), line.args.len()) {
            ("include", 1) if depth == INCLUDES_DEEP_MAX => Err(line.error("Too many nested includes")),
            ("include", 1) => included_files(&line.args[0])
                .iter()
                .try_for_each(|file| read(file).and_then(|text| self.read_lines(&text, depth + 1))),
            ("rename-command", 2) => {
                self.renamed_commands.push(line);
                Ok(())
            }
            ("user", 1..) => self.read_user(line),
            ("loadmodule", 1..) => Err(line.error("Ringfort has no modules: remove this line")),
            ("sentinel", _) => Err(line.error("sentinel directive while not in sentinel mode")),
            (deprecated, 1) if DEPRECATED.contains(&deprecated) => Ok(()),
            _ => Err(line.error(BAD_DIRECTIVE)),
        }
    }

    /// Several values may stand in one argument, `save "900 1"`, where the option takes several.
    fn read_option(&mut self, at: usize, args: &[Vec<u8>]) -> Result<(), String> {
        let many = TABLE[at].kind.takes_many();
        let args: Vec<&[u8]> = match args {
            // A choice of words complains of none itself, as of any other that it does not know.
            [] if !matches!(TABLE[at].name, "bind" | "save")
                && !matches!(TABLE[at].kind, Kind::Words(..)) =>
            {
                return Err("wrong number of arguments".into());
            }
            [only] if many => only.split(|&b| b == b' ').collect(),
            args => args.iter().map(Vec::as_slice).collect(),
        };
        self.change(at, &args, true)
    }

    fn read_user(&mut self, line: Declared) -> Result<(), ConfigError> {
        if self.users.iter().any(|known| known.args[0] == line.args[0]) {
            let name = String::from_utf8_lossy(&line.args[0]);
            return Err(line.error(format!(
                "Error in user declaration '{name}': Duplicate user found. A user can only be defined once in config files"
            )));
        }
        self.users.push(line);
        Ok(())
    }
}

fn read(file: &Path) -> Result<Vec<u8>, ConfigError> {
    std::fs::read(file).map_err(|e| ConfigError::Unreadable {
        path: std::path::absolute(file).unwrap_or_else(|_| file.into()),
        why: os_error_text(&e),
    })
}

/// The options of a command line as lines: `--name` begins one, what follows are its values. The word behind a
/// lone `--name` is its value whatever it looks like; only `--save` may stand without one, and means none.
fn lines_of_arguments(arguments: &[String]) -> Vec<u8> {
    let mut text = Vec::new();
    let mut value_is_due = false;
    for (at, argument) in arguments.iter().enumerate() {
        let Some(option) = argument.strip_prefix("--").filter(|_| !value_is_due) else {
            text.extend(quoted::quote(argument.as_bytes()));
            text.push(b' ');
            value_is_due = false;
            continue;
        };
        if !text.is_empty() {
            text.push(b'\n');
        }
        text.extend(option.bytes());
        text.push(b' ');
        value_is_due = quoted::split(argument.as_bytes()).is_none_or(|words| words.len() == 1);
        let next_is_option = arguments.get(at + 1).is_none_or(|next| next.starts_with("--"));
        if value_is_due && next_is_option && argument.eq_ignore_ascii_case("--save") {
            text.extend(b"\"\"");
            value_is_due = false;
        }
    }
    text
}

/// The files an `include` names, in order of their names: itself, or those that its wildcards match.
fn included_files(pattern: &[u8]) -> Vec<PathBuf> {
    if !pattern.iter().any(|b| b"*?[".contains(b)) {
        return vec![super::path(pattern)];
    }
    let mut found = vec![PathBuf::from(if pattern.starts_with(b"/") { "/" } else { "" })];
    for part in pattern.split(|&b| b == b'/').filter(|part| !part.is_empty()) {
        found = found.iter().flat_map(|dir| matching_entries(dir, part)).collect();
    }
    found
}

/// The entries of `dir` that one part of a path matches. A leading dot must be spelt out.
fn matching_entries(dir: &Path, part: &[u8]) -> Vec<PathBuf> {
    use std::os::unix::ffi::OsStrExt;
    if !part.iter().any(|b| b"*?[".contains(b)) {
        let path = dir.join(super::path(part));
        return if path.exists() { vec![path] } else { Vec::new() };
    }
    let readable = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    let entries = std::fs::read_dir(readable).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries
        .map(|entry| entry.file_name())
        .filter(|name| part[0] == b'.' || !name.as_bytes().starts_with(b"."))
        .filter(|name| glob::matches(part, name.as_bytes(), false))
        .collect();
    names.sort();
    names.into_iter().map(|name| dir.join(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<Config, String> {
        let mut config = Config::default();
        config.read_lines(text.as_bytes(), 0).map(|()| config).map_err(|e| e.to_string())
    }

    fn get(config: &Config, name: &str) -> String {
        String::from_utf8(config.get(&[name.as_bytes()])[0].1.clone()).unwrap()
    }

    /// What `name` is after these lines.
    fn check(lines: &str, name: &str, want: &str) {
        let config = parse(lines).unwrap_or_else(|e| panic!("{lines:?}: {e}"));
        assert_eq!(get(&config, name), want, "{lines:?}");
    }

    #[test]
    fn lines_set_options() {
        let cases = [
            ("port 1", "port", "1"),
            ("  PORT \"1\"\r", "port", "1"),
            ("# port 1\n\n \t\n", "port", "6379"),
            ("port 1\nport 2", "port", "2"),
            ("save 1 2", "save", "1 2"),
            ("save 1 2\nsave 3 4", "save", "1 2 3 4"),
            ("save 1 2 3 4", "save", "1 2 3 4"),
            ("save \"1 2\"", "save", "1 2"),
            ("save 1 2\nsave ''\nsave 3 4", "save", "3 4"),
            ("save ''", "save", ""),
            ("save", "save", ""),
            ("save 1 2\nsave\nsave 3 4", "save", "1 2 3 4"),
            ("bind 127.0.0.1 -::1", "bind", "127.0.0.1 -::1"),
            ("bind", "bind", ""),
            ("bind ''", "bind", ""),
            ("logfile ''", "logfile", ""),
            ("slaveof a 1", "replicaof", "a 1"),
            (
                "client-output-buffer-limit replica 1 2 3\nclient-output-buffer-limit pubsub 4 5 6",
                "client-output-buffer-limit",
                "normal 0 0 0 slave 1 2 3 pubsub 4 5 6",
            ),
            ("shutdown-on-sigterm nosave now", "shutdown-on-sigterm", "nosave now"),
            ("list-max-ziplist-entries 3\nlua-replicate-commands yes", "port", "6379"),
            ("port 1\0garbage", "port", "1"),
        ];
        for (lines, name, want) in cases {
            check(lines, name, want);
        }
    }

    #[test]
    fn a_wrong_line_is_refused_as_redis_refuses_it() {
        let cases = [
            ("foo bar", "foo bar", BAD_DIRECTIVE),
            ("  port ", "port", "wrong number of arguments"),
            (
                "shutdown-on-sigint",
                "shutdown-on-sigint",
                "argument(s) must be one of the following: default, save, nosave, now, force",
            ),
            ("port a", "port a", "argument couldn't be parsed into an integer"),
            ("port 1 2", "port 1 2", "wrong number of arguments"),
            ("port 1 # x", "port 1 # x", "wrong number of arguments"),
            ("port '1'x", "port '1'x", "Unbalanced quotes in configuration line"),
            ("save 1", "save 1", "Invalid save parameters"),
            ("dir /nonexist", "dir /nonexist", "No such file or directory"),
            ("include", "include", BAD_DIRECTIVE),
            ("rename-command GET", "rename-command GET", BAD_DIRECTIVE),
            ("user", "user", BAD_DIRECTIVE),
            ("slaveof localhost", "slaveof localhost", "wrong number of arguments"),
            ("replicaof localhost 99999", "replicaof localhost 99999", "Invalid master port"),
            ("appenddirname ''", "appenddirname ''", "appenddirname can't be empty"),
            ("dbfilename a/b", "dbfilename a/b", "dbfilename can't be a path, just a filename"),
            ("oom-score-adj-values 1 2", "oom-score-adj-values 1 2", "wrong number of arguments"),
            ("a\0b c", "a", BAD_DIRECTIVE),
            ("loadmodule /x.so", "loadmodule /x.so", "Ringfort has no modules: remove this line"),
            ("sentinel monitor x", "sentinel monitor x", "sentinel directive while not in sentinel mode"),
            ("cluster-enabled yes", "cluster-enabled yes", "cluster mode is not supported by this build"),
        ];
        for (lines, shown, why) in cases {
            let want = format!(
                "\n*** FATAL CONFIG FILE ERROR (Ringfort {}) ***\nReading the configuration file, at line 2\n>>> '{shown}'\n{why}\n",
                env!("CARGO_PKG_VERSION")
            );
            assert_eq!(parse(&format!("\n{lines}\n")).map(|_| ()), Err(want), "{lines:?}");
        }
    }

    #[test]
    fn declarations_are_kept_as_data() {
        let config = parse("rename-command GET ''\nuser a on >x\nuser b off").unwrap();
        assert_eq!(config.renamed_commands[0].args, [b"GET".to_vec(), vec![]]);
        assert_eq!(config.users[1].args, [b"b".to_vec(), b"off".to_vec()]);
        let why = config.users[1].error("Syntax error").to_string();
        assert!(why.ends_with("at line 3\n>>> 'user b off'\nSyntax error\n"), "{why}");
        assert!(parse("user a on\nuser a on").unwrap_err().contains("Duplicate user found"));
    }

    #[test]
    fn a_command_line_reads_as_lines() {
        let cases: &[(&[&str], &str)] = &[
            (&["--port", "1"], "port \"1\" "),
            (&["--save", "", "--port", "0"], "save \"\" \nport \"0\" "),
            (&["--save", "--port", "1"], "save \"\"\nport \"1\" "),
            (&["--port", "1", "--save"], "port \"1\" \nsave \"\""),
            (&["--save", "1", "2", "3", "4"], "save \"1\" \"2\" \"3\" \"4\" "),
            (&["--requirepass", "--x"], "requirepass \"--x\" "),
            (&["--port 1", "--foo 3"], "port 1 \nfoo 3 "),
            (&["--port"], "port "),
            (&["-x"], "\"-x\" "),
        ];
        for (arguments, want) in cases {
            let arguments: Vec<String> = arguments.iter().map(|a| a.to_string()).collect();
            assert_eq!(String::from_utf8(lines_of_arguments(&arguments)).unwrap(), *want);
        }
    }

    #[test]
    fn the_command_line_overrides_standard_input_overrides_the_file() {
        let dir = std::env::temp_dir().join(format!("ringfort-config-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let file = dir.join("main.conf");
        std::fs::write(&file, format!("port 1\nhz 20\ntimeout 3\ninclude {}/part?.conf", dir.display()))
            .unwrap();
        std::fs::write(dir.join("part2.conf"), "maxclients 2\nhz 22").unwrap();
        std::fs::write(dir.join("part1.conf"), "maxclients 1").unwrap();
        let arguments = ["--port", "3"].map(String::from);
        let config = Config::parse(Some(&file), &arguments, Some("\nport 2\ntimeout 4\n")).unwrap();
        assert_eq!((config.port, config.hz, config.timeout_s, config.maxclients), (3, 22, 4, 2));
        assert_eq!(config.file.as_deref(), Some(file.as_path()));

        std::fs::write(dir.join("part1.conf"), format!("include {}", file.display())).unwrap();
        let endless = Config::parse(Some(&file), &[], None).unwrap_err().to_string();
        assert!(endless.contains("Too many nested includes"), "{endless}");
        std::fs::write(&file, "include /nonexist/x").unwrap();
        let missing = Config::parse(Some(&file), &[], None).unwrap_err().to_string();
        assert_eq!(missing, "Fatal error, can't open config file '/nonexist/x': No such file or directory");
        std::fs::remove_dir_all(&dir).unwrap();
    }

    /// The files that packages install load as they are; only their directories may be missing here.
    #[test]
    fn installed_files_load() {
        for file in ["/etc/redis/redis.conf", "/etc/valkey/valkey.conf"] {
            let Ok(text) = std::fs::read_to_string(file) else { continue };
            let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("dir ")).collect();
            let config = parse(&lines.join("\n")).unwrap_or_else(|e| panic!("{file}: {e}"));
            assert!(config.daemonize && config.protected_mode, "{file}");
        }
    }

    /// What the upstream test suites start their servers with.
    #[test]
    fn options_of_the_upstream_suites_load() {
        let config = parse(
            "always-show-logo yes\nnotify-keyspace-events KEA\nlogfile ''\nsave ''\ndir ./\n\
             loglevel verbose\nrepl-diskless-sync-delay 0\nlatency-monitor-threshold 1\n\
             propagation-error-behavior panic\nshutdown-on-sigterm force\nenable-protected-configs yes\n\
             enable-debug-command yes\nenable-module-command yes\nslave-serve-stale-data yes\n\
             hash-max-ziplist-entries 64\nlist-max-ziplist-entries 512\nlist-max-ziplist-value 64\n\
             io-threads 2\nlua-enable-deprecated-api yes\nkey-load-delay 10\nactivedefrag yes\n",
        )
        .unwrap();
        assert!(config.save_points.is_empty() && config.enable_debug_command.allows(false));
    }

    proptest! {
        #[test]
        fn any_text_parses_or_is_refused(text in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Config::default().read_lines(&text, 0);
        }

        #[test]
        fn any_value_of_any_option_parses_or_is_refused(at in 0..TABLE.len(), value in r#"[ -~]{0,20}"#) {
            let line = format!("{} {value}", TABLE[at].name);
            let _ = Config::default().read_lines(line.as_bytes(), 0);
            let _ = Config::default().set(&[TABLE[at].name.as_bytes(), value.as_bytes()], true);
        }
    }
}
