//! DEBUG CLIENT-EVICTION: how many clients take how much memory, in the classes of size by which Redis evicts them.
//! In: the cards of all clients. Out: a line for each class.

use std::fmt::Write;

use crate::client::{Args, flag};
use crate::commands::{Context, Error};

/// Classes are powers of two: less than 32 KB first, 4 GB and more last.
const FIRST_BITS: u32 = 15;
const CLASSES: usize = 19;

pub fn eviction(cx: &mut Context, _args: Args) -> Result<(), Error> {
    if cx.config.maxmemory_clients == 0 {
        return Err(Error::new("ERR maxmemory-clients is disabled."));
    }
    let mut classes = [(0, 0); CLASSES];
    for card in cx.shared.clients.all().iter().filter(|card| !card.has(flag::NO_EVICT)) {
        let bytes = card.memory_bytes();
        let class = &mut classes[class_of(bytes)];
        *class = (class.0 + bytes, class.1 + 1);
    }
    let mut text = String::new();
    for (at, (bytes, clients)) in classes.into_iter().enumerate() {
        let least = if at == 0 { 0 } else { least_of(at) };
        // Writing to a string cannot fail.
        let _ = match at + 1 < CLASSES {
            true => write!(text, "bucket {least:10} - {:10}: ", least_of(at + 1) - 1),
            false => write!(text, "bucket {least:10}+            : "),
        };
        let _ = writeln!(text, "tot-mem: {bytes:10}, clients: {clients}");
    }
    cx.out.verbatim("txt", text.as_bytes());
    Ok(())
}

/// The least size of a class but the first.
fn least_of(class: usize) -> u64 {
    1 << (FIRST_BITS as usize + class - 1)
}

fn class_of(bytes: u64) -> usize {
    let bits = u64::BITS - bytes.leading_zeros();
    (bits.saturating_sub(FIRST_BITS) as usize).min(CLASSES - 1)
}
