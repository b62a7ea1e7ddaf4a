//! Appends to one file.
//! In: bytes, some of which are to be durable. Out: how long the log is, and how much of it is durable.
//!
//! All that waits is written together, and synced once if anything of it asks for that: an fsync is for whoever came before it.
//! What could not be appended whole is cut off again, so that a log holds whole appends only; the next one tries anew.

use super::disk::{Appender, Disk};
use super::hub::{Deliver, Jobs};
use super::{Doing, Done, Failure, Job, Log};

pub async fn run<D: Disk>(disk: D, log: Log, jobs: Jobs, deliver: Deliver) {
    let (stream, owner) = (log.stream, log.owner);
    let mut file = match disk.append(&log.path, log.from).await {
        Ok(file) => file,
        Err(error) => {
            let result = Err(Failure::system(Doing::Open)(error));
            deliver(owner, Done::Appended { stream, bytes: 0, durable: 0, result });
            return refuse(stream, jobs, deliver).await;
        }
    };
    let mut durable = file.bytes();
    deliver(owner, Done::Appended { stream, bytes: file.bytes(), durable, result: Ok(()) });
    loop {
        let mut next = Some(jobs.next().await);
        let (mut bytes, mut cores, mut sync, mut close) = (Vec::new(), Vec::new(), false, false);
        while let Some((from, job)) = next {
            match job {
                Job::Append { bytes: more, sync: wanted, .. } => {
                    if bytes.is_empty() {
                        bytes = more
                    } else {
                        bytes.extend_from_slice(&more)
                    }
                    sync |= wanted;
                }
                Job::Close { .. } => (sync, close) = (true, true),
                _ => unreachable!("the hub sends a log nothing else"),
            }
            if !cores.contains(&from) {
                cores.push(from);
            }
            next = if close { None } else { jobs.try_next() };
        }
        let result = write(&mut file, bytes, sync, &mut durable).await;
        for core in cores {
            deliver(core, Done::Appended { stream, bytes: file.bytes(), durable, result: result.clone() });
        }
        if close {
            return;
        }
    }
}

async fn write(
    file: &mut impl Appender,
    bytes: Vec<u8>,
    sync: bool,
    durable: &mut u64,
) -> Result<(), Failure> {
    let before = file.bytes();
    if let Err(error) = file.append(bytes).await {
        let _ = file.cut(before).await;
        return Err(Failure::system(Doing::Write)(error));
    }
    if sync {
        file.sync().await.map_err(Failure::system(Doing::Sync))?;
        *durable = file.bytes();
    }
    Ok(())
}

/// The log could not be opened: whatever comes for it fails, until it is closed.
async fn refuse(stream: u64, jobs: Jobs, deliver: Deliver) {
    loop {
        let (from, job) = jobs.next().await;
        if let Job::Close { .. } = job {
            return;
        }
        let result =
            Err(Failure::System { doing: Doing::Write, code: None, text: "the log is not open".into() });
        deliver(from, Done::Appended { stream, bytes: 0, durable: 0, result });
    }
}
