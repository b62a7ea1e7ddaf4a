//! Reads one file and deals it out to the cores.
//! In: portions of the file. Out: cargo, so many pieces of it under way to each core at most.

use std::collections::HashMap;

use super::disk::{Disk, Reader};
use super::hub::{Deliver, Jobs};
use super::{Doing, Done, Failure, Job, Load};

/// Parcels that a core has not taken yet.
const PARCELS_MAX: usize = 8;

struct Parcels {
    jobs: Jobs,
    under_way: HashMap<usize, usize>,
    /// A core could not take one; it has said why.
    refused: bool,
}

impl Parcels {
    /// Waits for a core to take a parcel.
    async fn taken(&mut self) {
        let (from, job) = self.jobs.next().await;
        let Job::Taken { sound, .. } = job else { unreachable!("the hub sends a load nothing else") };
        self.refused |= !sound;
        *self.under_way.get_mut(&from).expect("who takes a parcel was sent one") -= 1;
    }

    /// Waits until there is room for another on its way to `core`.
    async fn room(&mut self, core: usize) {
        while *self.under_way.entry(core).or_default() >= PARCELS_MAX && !self.refused {
            self.taken().await;
        }
        *self.under_way.entry(core).or_default() += 1;
    }

    async fn all_taken(&mut self) {
        while self.under_way.values().any(|count| *count > 0) {
            self.taken().await;
        }
    }
}

pub async fn run<D: Disk>(disk: D, mut load: Load, jobs: Jobs, deliver: Deliver) {
    let mut parcels = Parcels { jobs, under_way: HashMap::new(), refused: false };
    let read = read(&disk, &mut load, &mut parcels, &deliver).await;
    parcels.all_taken().await;
    let result = match read {
        Ok(_) | Err(Failure::Cut { .. } | Failure::Corrupt { .. }) if parcels.refused => {
            Err(Failure::Content("a value could not be loaded".into()))
        }
        read => read,
    };
    deliver(load.owner, Done::Loaded { stream: load.stream, result });
}

async fn read<D: Disk>(
    disk: &D,
    load: &mut Load,
    parcels: &mut Parcels,
    deliver: &Deliver,
) -> Result<u64, Failure> {
    let mut file = disk.open(&load.path).await.map_err(Failure::system(Doing::Open))?;
    let stream = load.stream;
    load.intake.begin(file.bytes());
    deliver(load.owner, Done::Loading { stream, bytes: file.bytes() });
    let (mut bytes, mut out) = (0, Vec::new());
    loop {
        let portion = file.read().await.map_err(Failure::system(Doing::Read))?;
        bytes += portion.len() as u64;
        let result = match portion.is_empty() {
            true => load.intake.end(&mut out),
            false => load.intake.feed(&portion, &mut out),
        };
        for (core, cargo) in out.drain(..) {
            let alone = cargo.is_alone();
            if alone {
                parcels.all_taken().await;
            }
            parcels.room(core).await;
            deliver(core, Done::Cargo { stream, cargo, read: bytes });
            if alone {
                parcels.all_taken().await;
            }
        }
        result?;
        if portion.is_empty() || parcels.refused {
            return Ok(bytes);
        }
    }
}
