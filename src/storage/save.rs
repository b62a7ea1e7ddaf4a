//! Writes one file of what several cores send.
//! In: chunks of whole records. Out: a file under its name, whole and durable, or none; room for each chunk written.

use std::collections::VecDeque;
use std::path::Path;

use super::disk::{Disk, Writer};
use super::hub::{Deliver, Jobs};
use super::{Doing, Done, Failure, Job, Save};

/// Takes chunks until every producer said its end, then puts the file into its place. Returns its length.
/// On the first failure it removes what it wrote and returns.
pub async fn run<D: Disk>(disk: D, mut save: Save, jobs: &Jobs, deliver: &Deliver) -> Result<u64, Failure> {
    let temporary = save.temporary.clone();
    let written = write(&disk, &mut save, jobs, deliver).await;
    if written.is_err() {
        // It may not even be there.
        let _ = disk.remove(&temporary).await;
    }
    written
}

async fn write<D: Disk>(disk: &D, save: &mut Save, jobs: &Jobs, deliver: &Deliver) -> Result<u64, Failure> {
    let mut file = create(disk, save).await.map_err(Failure::system(Doing::Open))?;
    let mut length = 0;
    let head = std::mem::take(&mut save.head);
    put(&mut file, save, &head, &mut length).await?;
    let mut waiting = VecDeque::new();
    let taken = take_chunks(&mut file, save, jobs, deliver, &mut waiting, &mut length).await;
    waiting.into_iter().for_each(|chunk: Waiting| chunk.answer(deliver));
    taken?;
    let tail = save.seal.end();
    file.write(&tail).await.map_err(Failure::system(Doing::Write))?;
    file.finish().await.map_err(Failure::system(Doing::Sync))?;
    if let Some((_, Job::Cancel { .. })) = jobs.try_next() {
        return Err(Failure::Cancelled);
    }
    settle(disk, &save.temporary, &save.target).await?;
    Ok(length + tail.len() as u64)
}

/// A new file, in a directory that may have to be made first.
async fn create<D: Disk>(disk: &D, save: &Save) -> std::io::Result<D::Writer> {
    if save.makes_directory {
        make_directory(disk, directory_of(&save.temporary)).await?;
    }
    disk.create(&save.temporary).await
}

/// A chunk of a core that is not written yet.
struct Waiting {
    from: usize,
    producer: usize,
    bytes: Vec<u8>,
    open: bool,
}

impl Waiting {
    /// There is room for another.
    fn answer(self, deliver: &Deliver) {
        let (bytes, mut buffer) = (self.bytes.len(), self.bytes);
        buffer.clear();
        deliver(self.from, Done::Room { bytes, buffer });
    }
}

/// Writes chunks until every producer has ended. `waiting`: chunks that may not come before the end of another's record.
async fn take_chunks(
    file: &mut impl Writer,
    save: &mut Save,
    jobs: &Jobs,
    deliver: &Deliver,
    waiting: &mut VecDeque<Waiting>,
    length: &mut u64,
) -> Result<(), Failure> {
    // The producer whose record goes on.
    let mut open = None;
    let mut producing = save.producers;
    while producing > 0 || !waiting.is_empty() {
        let fits = |producer: usize| open.is_none_or(|open| open == producer);
        let chunk = match waiting.iter().position(|chunk| fits(chunk.producer)) {
            Some(at) => waiting.remove(at).expect("it was just there"),
            None => match jobs.next().await {
                (from, Job::Chunk { producer, bytes, open, .. }) => Waiting { from, producer, bytes, open },
                (_, Job::End { .. }) => {
                    producing -= 1;
                    continue;
                }
                (_, Job::Cancel { .. }) => return Err(Failure::Cancelled),
                _ => unreachable!("the hub sends a save nothing else"),
            },
        };
        if !fits(chunk.producer) {
            waiting.push_back(chunk);
            continue;
        }
        open = chunk.open.then_some(chunk.producer);
        let result = put(file, save, &chunk.bytes, length).await;
        chunk.answer(deliver);
        result?;
    }
    Ok(())
}

async fn put(file: &mut impl Writer, save: &mut Save, bytes: &[u8], length: &mut u64) -> Result<(), Failure> {
    save.seal.take_in(bytes);
    *length += bytes.len() as u64;
    file.write(bytes).await.map_err(Failure::system(Doing::Write))
}

/// Puts a durable file into its place.
async fn settle(disk: &impl Disk, temporary: &Path, target: &Path) -> Result<(), Failure> {
    disk.rename(temporary, target).await.map_err(Failure::system(Doing::Rename))?;
    disk.sync_directory(directory_of(target)).await.map_err(Failure::system(Doing::Sync))
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Makes a directory durably, if it is not there already.
pub async fn make_directory<D: Disk>(disk: &D, path: &Path) -> std::io::Result<()> {
    disk.make_directory(path).await?;
    disk.sync_directory(directory_of(path)).await
}

/// Puts a small file in the place of an old one, whole or not at all.
pub async fn replace<D: Disk>(disk: D, path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let mut name = std::ffi::OsString::from("temp-");
    name.push(path.file_name().unwrap_or_default());
    let temporary = path.with_file_name(name);
    let write = async {
        let mut file = disk.create(&temporary).await.map_err(Failure::system(Doing::Open))?;
        file.write(bytes).await.map_err(Failure::system(Doing::Write))?;
        file.finish().await.map_err(Failure::system(Doing::Sync))?;
        settle(&disk, &temporary, path).await
    };
    let written = write.await;
    if written.is_err() {
        let _ = disk.remove(&temporary).await;
    }
    written
}

/// Removes a file durably; one that is not there is no failure.
pub async fn remove<D: Disk>(disk: D, path: &Path) -> Result<(), Failure> {
    match disk.remove(path).await {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        removed => removed.map_err(Failure::system(Doing::Remove))?,
    }
    disk.sync_directory(directory_of(path)).await.map_err(Failure::system(Doing::Sync))
}
