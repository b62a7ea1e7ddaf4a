//! The types of the typed fields of [`Config`](super::Config).

use std::fmt;

/// Which clients a `client-output-buffer-limit` is for; also the index of its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum ClientClass {
    Normal,
    Replica,
    Pubsub,
}

impl ClientClass {
    pub const ALL: [ClientClass; 3] = [ClientClass::Normal, ClientClass::Replica, ClientClass::Pubsub];

    /// The name that replies use: the old word for a replica.
    pub fn name(self) -> &'static str {
        match self {
            ClientClass::Normal => "normal",
            ClientClass::Replica => "slave",
            ClientClass::Pubsub => "pubsub",
        }
    }

    /// The name that a rewritten file uses.
    pub fn new_name(self) -> &'static str {
        if self == ClientClass::Replica { "replica" } else { self.name() }
    }

    pub fn named(name: &[u8]) -> Option<ClientClass> {
        let is = |word: &str| name.eq_ignore_ascii_case(word.as_bytes());
        ClientClass::ALL.into_iter().find(|class| is(class.name()) || is(class.new_name()))
    }
}

/// A client is closed when its output passes `hard_bytes`, or stays above `soft_bytes` for `soft_seconds`. 0 is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferLimit {
    pub hard_bytes: u64,
    pub soft_bytes: u64,
    pub soft_seconds: i32,
}

/// A snapshot is due when `changes` were made in `seconds`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SavePoint {
    pub seconds: u64,
    pub changes: i32,
}

/// The classes of keyspace events that are published, as a set of bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Events(pub u32);

impl Events {
    pub const KEYSPACE: Events = Events(1 << 0);
    pub const KEYEVENT: Events = Events(1 << 1);
    pub const GENERIC: Events = Events(1 << 2);
    pub const STRING: Events = Events(1 << 3);
    pub const LIST: Events = Events(1 << 4);
    pub const SET: Events = Events(1 << 5);
    pub const HASH: Events = Events(1 << 6);
    pub const ZSET: Events = Events(1 << 7);
    pub const EXPIRED: Events = Events(1 << 8);
    pub const EVICTED: Events = Events(1 << 9);
    pub const STREAM: Events = Events(1 << 10);
    pub const KEY_MISS: Events = Events(1 << 11);
    pub const MODULE: Events = Events(1 << 13);
    pub const NEW: Events = Events(1 << 14);
    /// What the letter `A` stands for: every class but key misses and new keys.
    pub const ALL: Events = Events(0x7fc | 1 << 13);

    /// In the order in which they are shown.
    const CLASSES: [(char, Events); 11] = [
        ('g', Events::GENERIC),
        ('$', Events::STRING),
        ('l', Events::LIST),
        ('s', Events::SET),
        ('h', Events::HASH),
        ('z', Events::ZSET),
        ('x', Events::EXPIRED),
        ('e', Events::EVICTED),
        ('t', Events::STREAM),
        ('d', Events::MODULE),
        ('n', Events::NEW),
    ];
    const MARKS: [(char, Events); 3] =
        [('K', Events::KEYSPACE), ('E', Events::KEYEVENT), ('m', Events::KEY_MISS)];

    pub fn contains(self, events: Events) -> bool {
        self.0 & events.0 == events.0
    }

    /// The set that these letters say; `None` if one is no class.
    pub fn parse(letters: &[u8]) -> Option<Events> {
        let mut bits = 0;
        for &letter in letters {
            let mut known = Events::CLASSES.iter().chain(&Events::MARKS);
            bits |= match letter {
                b'A' => Events::ALL.0,
                _ => known.find(|(name, _)| *name == letter as char)?.1.0,
            };
        }
        Some(Events(bits))
    }
}

/// Redis' letters. New keys are not shown beside `A`, as in Redis.
impl fmt::Display for Events {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let all = self.contains(Events::ALL);
        if all {
            f.write_str("A")?;
        }
        let classes: &[_] = if all { &[] } else { &Events::CLASSES };
        for (letter, class) in classes.iter().chain(&Events::MARKS) {
            if self.contains(*class) {
                write!(f, "{letter}")?;
            }
        }
        Ok(())
    }
}

/// What is evicted when `maxmemory` is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaxmemoryPolicy {
    VolatileLru,
    VolatileLfu,
    VolatileRandom,
    VolatileTtl,
    AllkeysLru,
    AllkeysLfu,
    AllkeysRandom,
    Noeviction,
}

impl MaxmemoryPolicy {
    pub(super) const WORDS: &[&str] = &[
        "volatile-lru",
        "volatile-lfu",
        "volatile-random",
        "volatile-ttl",
        "allkeys-lru",
        "allkeys-lfu",
        "allkeys-random",
        "noeviction",
    ];
    const ALL: [MaxmemoryPolicy; 8] = [
        MaxmemoryPolicy::VolatileLru,
        MaxmemoryPolicy::VolatileLfu,
        MaxmemoryPolicy::VolatileRandom,
        MaxmemoryPolicy::VolatileTtl,
        MaxmemoryPolicy::AllkeysLru,
        MaxmemoryPolicy::AllkeysLfu,
        MaxmemoryPolicy::AllkeysRandom,
        MaxmemoryPolicy::Noeviction,
    ];

    pub(super) fn named(word: &str) -> MaxmemoryPolicy {
        let at = MaxmemoryPolicy::WORDS.iter().position(|known| *known == word);
        MaxmemoryPolicy::ALL[at.expect("the table lists these words")]
    }

    pub fn name(self) -> &'static str {
        MaxmemoryPolicy::WORDS[self as usize]
    }

    /// Access is counted, not timed.
    pub fn is_lfu(self) -> bool {
        matches!(self, MaxmemoryPolicy::VolatileLfu | MaxmemoryPolicy::AllkeysLfu)
    }

    pub fn is_lru(self) -> bool {
        matches!(self, MaxmemoryPolicy::VolatileLru | MaxmemoryPolicy::AllkeysLru)
    }

    /// Only keys with an expiry may go.
    pub fn is_volatile(self) -> bool {
        (self as usize) < MaxmemoryPolicy::AllkeysLru as usize
    }
}

/// Who may use a guarded command, such as DEBUG.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    No,
    Yes,
    /// Only connections from this machine.
    Local,
}

impl Guard {
    pub(super) const WORDS: &[&str] = &["no", "yes", "local"];

    pub(super) fn named(word: &str) -> Guard {
        match word {
            "yes" => Guard::Yes,
            "local" => Guard::Local,
            _ => Guard::No,
        }
    }

    pub fn allows(self, client_is_local: bool) -> bool {
        self == Guard::Yes || self == Guard::Local && client_is_local
    }
}

/// When the append-only file is flushed to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendFsync {
    Everysec,
    Always,
    No,
}

impl AppendFsync {
    pub(super) const WORDS: &[&str] = &["everysec", "always", "no"];

    pub(super) fn named(word: &str) -> AppendFsync {
        match word {
            "always" => AppendFsync::Always,
            "no" => AppendFsync::No,
            _ => AppendFsync::Everysec,
        }
    }
}

/// Which CPUs get a core: the option `cores`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cores {
    /// Every CPU that the process may use.
    All,
    /// That many of them.
    Count(usize),
    /// These, by number.
    Cpus(Vec<usize>),
}

impl Cores {
    const CPU_MAX: usize = 4095;

    /// `4` is a count, `0-3,6` a list; a list of one CPU is written `3-3`.
    pub fn parse(text: &[u8]) -> Option<Cores> {
        let text = std::str::from_utf8(text).ok()?;
        if text.is_empty() {
            return Some(Cores::All);
        }
        if let Ok(count) = text.parse::<usize>() {
            return (1..=Cores::CPU_MAX).contains(&count).then_some(Cores::Count(count));
        }
        let mut cpus = Vec::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (first.parse::<usize>().ok()?, last.parse::<usize>().ok()?);
            if first > last || last > Cores::CPU_MAX {
                return None;
            }
            cpus.extend(first..=last);
        }
        cpus.sort_unstable();
        let listed = cpus.len();
        cpus.dedup();
        (cpus.len() == listed).then_some(Cores::Cpus(cpus))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_shown_as_redis_shows_them() {
        let cases = [
            ("KEA", "AKE"),
            ("Kg$lshzxetdmn", "AKm"),
            ("Klz", "lzK"),
            ("Kn", "nK"),
            ("g$n", "g$n"),
            ("mnd", "dnm"),
            ("", ""),
        ];
        for (letters, want) in cases {
            assert_eq!(Events::parse(letters.as_bytes()).unwrap().to_string(), want);
        }
        assert_eq!(Events::parse(b"q"), None);
    }

    #[test]
    fn policies_have_the_names_of_the_table() {
        for (at, word) in MaxmemoryPolicy::WORDS.iter().enumerate() {
            assert_eq!(MaxmemoryPolicy::named(word) as usize, at);
        }
        assert!(MaxmemoryPolicy::VolatileTtl.is_volatile() && !MaxmemoryPolicy::AllkeysLru.is_volatile());
    }

    #[test]
    fn cores_are_a_count_or_a_list() {
        let cases = [
            ("", Some(Cores::All)),
            ("4", Some(Cores::Count(4))),
            ("0-3,6", Some(Cores::Cpus(vec![0, 1, 2, 3, 6]))),
            ("3-3", Some(Cores::Cpus(vec![3]))),
            ("0", None),
            ("3-1", None),
            ("1,1", None),
            ("a", None),
            ("1,", None),
            ("0-99999999", None),
        ];
        for (text, want) in cases {
            assert_eq!(Cores::parse(text.as_bytes()), want, "{text}");
        }
    }
}
