//! INFO: what the server knows of itself, in sections of `field:value` lines.
//! In: a report of every shard, counters of every core, the clients' cards. Out: text.
//! Fields about what is not there (a replica, a log on disk) hold what a Redis without them shows.

mod load;
mod state;

use std::fmt::{Display, Write};

use crate::client::Args;
use crate::commands::{Context, Error};

type Section = fn(&mut Context, &mut Text);

/// Every section, in order: its name, whether a bare INFO shows it, and who writes it.
const SECTIONS: &[(&str, bool, Section)] = &[
    ("Server", true, state::server),
    ("Clients", true, state::clients),
    ("Memory", true, state::memory),
    ("Persistence", true, state::persistence),
    ("Stats", true, load::stats),
    ("Replication", true, state::replication),
    ("CPU", true, load::cpu),
    ("Modules", true, state::modules),
    ("Commandstats", false, load::commandstats),
    ("Errorstats", true, load::errorstats),
    ("Latencystats", false, load::latencystats),
    ("Cluster", true, state::cluster),
    ("Keyspace", true, load::keyspace),
];

/// The lines of a section.
#[derive(Default)]
pub(super) struct Text(String);

impl Text {
    pub fn field(&mut self, name: impl Display, value: impl Display) {
        write!(self.0, "{name}:{value}\r\n").expect("a string takes everything");
    }

    /// Several fields whose value is the same.
    pub fn same(&mut self, names: &[&str], value: impl Display) {
        names.iter().for_each(|name| self.field(name, &value));
    }

    /// A number of bytes, twice: as it is and for humans.
    pub fn bytes(&mut self, name: &str, bytes: u64) {
        self.field(name, bytes);
        self.field(format_args!("{name}_human"), human(bytes));
    }
}

pub fn info(cx: &mut Context, args: Args) -> Result<(), Error> {
    let mut chosen = [false; SECTIONS.len()];
    let named = |word: &str| args.from(1).iter().any(|arg| arg.eq_ignore_ascii_case(word.as_bytes()));
    let everything = named("all") || named("everything");
    let default = args.len() == 1 || named("default");
    for (chosen, (name, shown, _)) in chosen.iter_mut().zip(SECTIONS) {
        *chosen = everything || (default && *shown) || named(name);
    }
    let mut text = Text::default();
    for (_, (name, _, write)) in chosen.iter().zip(SECTIONS).filter(|(chosen, _)| **chosen) {
        if !text.0.is_empty() {
            text.0.push_str("\r\n");
        }
        write!(text.0, "# {name}\r\n").expect("a string takes everything");
        write(cx, &mut text);
    }
    cx.out.verbatim("txt", text.0.as_bytes());
    Ok(())
}

/// Bytes in the largest unit that leaves a number above 1, as Redis writes them.
pub fn human(bytes: u64) -> String {
    const UNITS: &[u8] = b"KMGTPE";
    if bytes < 1024 {
        return format!("{bytes}B");
    }
    let unit = (bytes.ilog2() / 10) as usize;
    format!("{:.2}{}", bytes as f64 / (1u64 << (unit * 10)) as f64, UNITS[unit - 1] as char)
}

#[cfg(test)]
mod tests {
    use super::human;

    #[test]
    fn bytes_for_humans() {
        for (bytes, text) in
            [(0, "0B"), (1023, "1023B"), (1024, "1.00K"), (990416, "967.20K"), (1 << 40, "1.00T")]
        {
            assert_eq!(human(bytes), text);
        }
    }
}
