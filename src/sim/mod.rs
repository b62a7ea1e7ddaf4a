//! The second driver of the same cores: several of them in one thread, from a seed.
//! In: a seed. Out: conversations that replay on any number of cores, and random traffic whose history is checked.
//! `RINGFORT_SIM_SEEDS=from..to` (or a count) runs other seeds, or more of them, than a quick test does.
//! Absent: sockets, threads, the real clock.

mod appends;
mod bases;
mod caching;
mod changes;
mod channels;
pub mod conversation;
pub mod disk;
pub mod history;
mod lapses;
pub mod model;
mod monitors;
mod rebases;
mod reply;
mod scenario;
mod script;
mod snapshots;
pub mod traffic;
mod waiters;
pub mod world;

pub use changes::check_changes;
pub use conversation::{check, check_configured, check_outside_multi, check3};

/// The seeds to try: the first `count`, unless the environment says otherwise.
pub fn seeds(count: u64) -> std::ops::Range<u64> {
    let Ok(text) = std::env::var("RINGFORT_SIM_SEEDS") else { return 0..count };
    let number = |text: &str| text.trim().parse().expect("RINGFORT_SIM_SEEDS holds from..to or a count");
    match text.split_once("..") {
        Some((from, to)) => number(from)..number(to),
        None => 0..number(&text),
    }
}
