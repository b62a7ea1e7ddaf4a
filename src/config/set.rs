//! CONFIG GET and CONFIG SET, and changes the server itself makes.

use super::options::{Opt, TABLE};
use super::record::Config;
use crate::base::glob;

/// What CONFIG SET makes of a configuration.
#[derive(Debug)]
pub struct Change {
    pub config: Config,
    /// The options that have another value now, in the order in which they were named.
    pub changed: Vec<Changed>,
}

/// An option, by its name in the table, with what CONFIG GET answers before and after a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    pub name: &'static str,
    pub before: Vec<u8>,
    pub after: Vec<u8>,
}

/// The reply of a CONFIG SET that failed at the option `name`.
pub fn set_failed(name: &str, why: &str) -> String {
    format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {why}")
}

impl Config {
    /// The options that one of the patterns names, each once, with their values. A pattern without wildcards is a name
    /// and comes back as it was written; names that are hidden answer only to themselves.
    pub fn get(&self, patterns: &[&[u8]]) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut found: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        for pattern in patterns {
            if !pattern.iter().any(|b| b"[*?".contains(b)) {
                if let Some(at) = Opt::find(pattern)
                    && !found.iter().any(|(name, _)| name.eq_ignore_ascii_case(pattern))
                {
                    found.push((pattern.to_vec(), self.show(at)));
                }
                continue;
            }
            for (at, opt) in TABLE.iter().enumerate().filter(|(_, opt)| !opt.hidden) {
                for name in [opt.name, opt.alias].map(str::as_bytes) {
                    let fits = !name.is_empty() && glob::matches(pattern, name, true);
                    if fits && !found.iter().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
                        found.push((name.to_vec(), self.show(at)));
                    }
                }
            }
        }
        found
    }

    /// The configuration after CONFIG SET of these names and values, all of them or none.
    /// The error is the text of the reply.
    pub fn set(&self, arguments: &[&[u8]], client_is_local: bool) -> Result<Change, Vec<u8>> {
        let (pairs, rest) = arguments.as_chunks::<2>();
        if !rest.is_empty() || pairs.is_empty() {
            return Err("ERR syntax error".into());
        }
        let mut named: Vec<(usize, String)> = Vec::with_capacity(pairs.len());
        for [name, _] in pairs {
            let Some(at) = Opt::find(name) else {
                return Err(
                    [b"ERR Unknown option or number of arguments for CONFIG SET - '", *name, b"'"].concat()
                );
            };
            let shown = String::from_utf8_lossy(name).into_owned();
            let again = |(other, text): &(usize, String)| *other == at && text.eq_ignore_ascii_case(&shown);
            if TABLE[at].immutable {
                return Err(set_failed(&shown, "can't set immutable config").into());
            } else if TABLE[at].protected && !self.enable_protected_configs.allows(client_is_local) {
                return Err(set_failed(&shown, "can't set protected config").into());
            } else if named.iter().any(again) {
                return Err(set_failed(&shown, "duplicate parameter").into());
            }
            named.push((at, shown));
        }
        let mut config = self.clone();
        for ((at, name), [_, value]) in named.iter().zip(pairs) {
            let many: Vec<&[u8]> = match TABLE[*at].kind.takes_many() {
                true => value.split(|&b| b == b' ').collect(),
                false => vec![value],
            };
            config.change(*at, &many, false).map_err(|why| set_failed(name, &why))?;
            if let Some(why) = TABLE[*at].ignored
                && config.show(*at) != Config::default().show(*at)
            {
                return Err(set_failed(name, why).into());
            }
        }
        let changed = self.changes_to(&config, named.iter().map(|(at, _)| *at));
        Ok(Change { config, changed })
    }

    /// Which of the options at these places have another value in the next configuration, each once.
    fn changes_to(&self, next: &Config, places: impl Iterator<Item = usize>) -> Vec<Changed> {
        let mut changed: Vec<Changed> = Vec::new();
        for at in places {
            let (name, before, after) = (TABLE[at].name, self.show(at), next.show(at));
            if before != after && !changed.iter().any(|known| known.name == name) {
                changed.push(Changed { name, before, after });
            }
        }
        changed
    }

    /// The configuration after a change is taken back, but for options that were changed again since.
    /// The error is the text that CONFIG SET would answer.
    pub fn set_back(&self, changed: &[Changed]) -> Result<Change, Vec<u8>> {
        let unchanged = |option: &&Changed| self.get(&[option.name.as_bytes()])[0].1 == option.after;
        let still = changed.iter().filter(unchanged);
        let pairs: Vec<&[u8]> =
            still.flat_map(|option| [option.name.as_bytes(), &option.before[..]]).collect();
        if pairs.is_empty() {
            return Ok(Change { config: self.clone(), changed: Vec::new() });
        }
        self.set(&pairs, true)
    }

    /// A change that the server makes: a limit lowered at start, a password set through ACL, a new master.
    /// `value` is what CONFIG SET would take. Panics if the option or the value is none.
    pub fn set_by_server(&mut self, name: &str, value: &[u8]) {
        let at = Opt::find(name.as_bytes()).unwrap_or_else(|| panic!("no option {name}"));
        let many: Vec<&[u8]> = match TABLE[at].kind.takes_many() {
            true => value.split(|&b| b == b' ').collect(),
            false => vec![value],
        };
        self.change(at, &many, false).unwrap_or_else(|why| panic!("option {name}: {why}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Replays `name value` pairs; what each leaves behind, or the complaint behind its dash.
    fn check(name: &str, value: &str, want: &str) {
        let config = Config::default();
        let got = match config.set(&[name.as_bytes(), value.as_bytes()], true) {
            Ok(change) => String::from_utf8(change.config.get(&[name.as_bytes()])[0].1.clone()).unwrap(),
            Err(text) => format!("!{}", String::from_utf8(text).unwrap().split_once(" - ").unwrap().1),
        };
        assert_eq!(got, want, "CONFIG SET {name} {value:?}");
    }

    #[test]
    fn special_options_answer_as_redis_does() {
        const LIMITS: &str = "client-output-buffer-limit";
        const PERCENTILES: &str = "latency-tracking-info-percentiles";
        const OOM_RANGE: &str = "!Invalid oom-score-adj-values, elements must be between -2000 and 2000.";
        const SIZE: &str = "!Error in hard, soft or soft_seconds setting in buffer limit configuration.";
        const COUNT: &str = "!Wrong number of arguments in buffer limit configuration.";
        let cases = [
            ("save", "3600 1 300 100", "3600 1 300 100"),
            ("save", "", ""),
            ("save", "1", "!Invalid save parameters"),
            ("save", "3600 1  300 100 ", "!Invalid save parameters"),
            ("save", "0 1", "!Invalid save parameters"),
            ("save", "1 -1", "!Invalid save parameters"),
            ("save", "1 0", "1 0"),
            ("save", "+1 02", "1 2"),
            ("save", "1 ", "1 0"),
            ("save", "1 99999999999", "1 1215752191"),
            (LIMITS, "", "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60"),
            (
                LIMITS,
                "normal 1mb 2k 3 replica 1 1 1",
                "normal 1048576 2000 3 slave 1 1 1 pubsub 33554432 8388608 60",
            ),
            (LIMITS, "normal  2 ", "normal 0 2 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60"),
            (LIMITS, "foo 1 2 3", "!Invalid client class specified in buffer limit configuration."),
            (LIMITS, "master 1 2 3", "!Invalid client class specified in buffer limit configuration."),
            (LIMITS, "normal a 2 3", SIZE),
            (LIMITS, "normal 1 2 -3", SIZE),
            (LIMITS, "normal 1 2 3x", SIZE),
            (LIMITS, "normal 1 2", COUNT),
            (LIMITS, "normal  1 2 3", COUNT),
            ("notify-keyspace-events", "KEA", "AKE"),
            ("notify-keyspace-events", "q", "!Invalid event class character. Use 'Ag$lshzxeKEtmdn'."),
            ("oom-score-adj-values", "-5 20 80", "-5 20 80"),
            ("oom-score-adj-values", "0 200", "!wrong number of arguments"),
            ("oom-score-adj-values", "1 2 3000", OOM_RANGE),
            ("oom-score-adj-values", "a 2 1", OOM_RANGE),
            (PERCENTILES, "50 99.99 100 0 0.1", "50 99.99 100 0 0.1"),
            (PERCENTILES, "99.12345678", "99.123457"),
            (PERCENTILES, "50 99.99999999", "50 100"),
            (PERCENTILES, "", ""),
            (PERCENTILES, "50  60", "!Invalid latency-tracking-info-percentiles parameters"),
            (PERCENTILES, "nan", "!Invalid latency-tracking-info-percentiles parameters"),
            (
                PERCENTILES,
                "inf",
                "!latency-tracking-info-percentiles parameters should sit between [0.0,100.0]",
            ),
            ("shutdown-on-sigint", "force nosave now", "nosave now force"),
            ("shutdown-on-sigint", "default nosave", "nosave"),
            (
                "shutdown-on-sigint",
                "save nosave",
                "!shutdown options SAVE and NOSAVE can't be used simultaneously",
            ),
            ("shutdown-on-sigint", "default", "default"),
            ("bind", "127.0.0.1 -::1", "127.0.0.1 -::1"),
            ("bind", "", ""),
            ("dir", "/", "!can't set protected config"),
            ("daemonize", "yes", "!can't set immutable config"),
            ("lua-time-limit", "7", "7"),
            ("hz", "1000", "500"),
            ("cluster-announce-client-ipv4", "0", "!Invalid IPv4 address"),
            (
                "cluster-announce-hostname",
                "150%",
                "!Hostnames may only contain alphanumeric characters, hyphens or dots",
            ),
            ("maxmemory-clients", "9223372036854775808", "!percentage argument must be less or equal to 100"),
            ("repl-backlog-size", "1", "16384"),
            ("tls-port", "0", "0"),
            ("tls-port", "1", "!TLS is not supported by this build"),
        ];
        for (name, value, want) in cases {
            check(name, value, want);
        }
    }

    #[test]
    fn directories_must_be_there_if_they_may_be_set() {
        let config = Config { enable_protected_configs: crate::config::Guard::Local, ..Config::default() };
        let failed = |why| format!("ERR CONFIG SET failed (possibly related to argument 'dir') - {why}");
        let set = |dir: &str, local| {
            config
                .set(&[b"dir", dir.as_bytes()], local)
                .map(|_| ())
                .map_err(|text| String::from_utf8(text).unwrap())
        };
        assert_eq!(set("", true).unwrap_err(), failed("No such file or directory"));
        assert_eq!(set("/no/such/place", true).unwrap_err(), failed("No such file or directory"));
        assert_eq!(set("/proc/version", true).unwrap_err(), failed("Not a directory"));
        assert_eq!(set("/", false).unwrap_err(), failed("can't set protected config"));
        set("/", true).unwrap();
    }

    fn error(arguments: &[&str]) -> String {
        let arguments: Vec<&[u8]> = arguments.iter().map(|a| a.as_bytes()).collect();
        String::from_utf8(Config::default().set(&arguments, true).unwrap_err()).unwrap()
    }

    #[test]
    fn a_set_is_refused_as_a_whole() {
        let unknown = "ERR Unknown option or number of arguments for CONFIG SET - 'x'";
        assert_eq!(error(&["x", "1"]), unknown);
        assert_eq!(error(&["maxmemory", "1", "x", "1", "y", "2"]), unknown);
        assert_eq!(error(&["maxmemory", "1", "x"]), "ERR syntax error");
        assert_eq!(
            error(&["maxmemory", "1", "MAXMEMORY", "2"]),
            set_failed("MAXMEMORY", "duplicate parameter")
        );
        assert_eq!(
            error(&["hz", "5", "maxmemory", "x"]),
            set_failed("maxmemory", "argument must be a memory value")
        );
    }

    #[test]
    fn two_names_of_one_option_may_both_be_set() {
        let arguments: [&[u8]; 4] = [b"slave-priority", b"1", b"replica-priority", b"2"];
        let change = Config::default().set(&arguments, true).unwrap();
        assert_eq!(change.config.replica_priority, 2);
        let (before, after) = (b"100".to_vec(), b"2".to_vec());
        assert_eq!(change.changed, [Changed { name: "replica-priority", before, after }]);
    }

    #[test]
    fn what_has_the_same_value_is_no_change() {
        let change = Config::default().set(&[b"hz", b"10", b"timeout", b"7"], true).unwrap();
        let names: Vec<&str> = change.changed.iter().map(|option| option.name).collect();
        assert_eq!(names, ["timeout"]);
    }

    #[test]
    fn what_is_taken_back_is_what_nobody_changed_since() {
        let old = Config::default();
        let change = old.set(&[b"hz", b"50", b"timeout", b"7"], true).unwrap();
        let since = change.config.set(&[b"hz", b"60", b"maxclients", b"77"], true).unwrap();
        let back = since.config.set_back(&change.changed).unwrap();
        assert_eq!((back.config.hz, back.config.timeout_s, back.config.maxclients), (60, old.timeout_s, 77));
        assert!(back.config.set_back(&change.changed).unwrap().changed.is_empty());
    }

    #[test]
    fn get_takes_names_and_patterns() {
        let config = Config::default();
        let names = |patterns: &[&[u8]]| -> Vec<String> {
            config.get(patterns).into_iter().map(|(name, _)| String::from_utf8(name).unwrap()).collect()
        };
        assert_eq!(names(&[b"MAXMEMORY"]), ["MAXMEMORY"]);
        assert_eq!(names(&[b"maxmemory", b"maxmemory", b"slaveof", b"x", b""]), ["maxmemory", "slaveof"]);
        assert_eq!(names(&[b"MaxMem?ry"]), ["maxmemory"]);
        assert_eq!(names(&[b"maxmemor[y]", b"maxmemory"]), ["maxmemory"]);
        assert_eq!(names(&[b"key-load-delay"]), ["key-load-delay"]);
        assert!(names(&[b"key-*"]).is_empty());
        assert_eq!(
            names(&[b"*"]).iter().filter(|n| n.contains("replicaof") || n.contains("slaveof")).count(),
            2
        );
    }

    #[test]
    fn what_is_shown_can_be_set() {
        let config = Config::default();
        for opt in TABLE.iter().filter(|opt| !opt.immutable) {
            let name = opt.name.as_bytes();
            let shown = config.get(&[name]);
            let again = config.set(&[name, &shown[0].1], true).map(|change| change.config.get(&[name]));
            // Those that are protected have to be allowed first.
            let refused = |text: &[u8]| opt.protected && text.ends_with(b"can't set protected config");
            assert!(
                again.as_ref().is_ok_and(|again| *again == shown) || again.is_err_and(|text| refused(&text))
            );
        }
    }

    #[test]
    fn the_server_changes_what_clients_may_not() {
        let mut config = Config::default();
        config.set_by_server("slaveof", b"example.org 6380");
        assert_eq!(config.replicaof, Some(("example.org".into(), 6380)));
        config.set_by_server("replicaof", b"no one");
        assert_eq!(config.replicaof, None);
    }
}
