//! The append-only log: one order of what all cores did, in files that a manifest names.
//! In: chunks of units, marks among them, bases that were written. Out: files, and how far they have come (`Progress`).
//!
//! All that waits is written together, and synced once if anything of it asks for that: a sync is for whoever came before it.
//! What could not be written is cut off again, kept, and tried with the next job, so that files hold whole units only.
//!
//! 1. Units are written in the order of their stamps, and none before all with lower stamps.
//! 2. A file is named by the manifest on disk before anything else depends on it, and removed only after the manifest is
//!    without it: whenever the power fails, the manifest names a whole log.
//! 3. A base takes its place only if the log turned where it was announced, and is still that log: else increments would say
//!    again what is in it, or lack what is not.
//! 4. While a log that began from memory has no base yet, the manifest on disk stays as it was.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::disk::{Appender, Disk};
use super::hub::{Deliver, Jobs};
use super::{Base, Doing, Done, Failure, Job, Log, LogNews, StreamId, save};
use crate::persist::aof::manifest::manifest_name;
use crate::persist::aof::{BaseForm, Begin, Manifest, Mark, Merger, Progress, Source};

/// A buffer is kept for the next write if it is no larger.
const SPARE_BYTES_MAX: usize = 1 << 20;

/// Whether what is written is to survive a power failure: `Now`, clients wait for it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Sync {
    No,
    Yes,
    Now,
}

struct Writer<D: Disk> {
    disk: D,
    deliver: Deliver,
    owner: usize,
    name: String,
    manifest: Manifest,
    merger: Merger,
    progress: Arc<Progress>,
    directory: PathBuf,
    /// The increment that grows; None while there is no log.
    file: Option<D::Appender>,
    /// What is in order and not written yet.
    pending: Vec<u8>,
    /// Bytes of each core's chunks that were taken.
    taken: Vec<u64>,
    /// Bytes of the files before the one that grows.
    bytes_before: u64,
    /// The manifest on disk does not name this log yet (4).
    unnamed: bool,
    /// It may name a file behind the one that grows: nothing is written before it does not (2).
    unsure: bool,
    /// How the log turned for the bases that marks announced and that did not come yet (3).
    turns: Vec<(StreamId, Result<(), Failure>)>,
    /// Bases that came before their mark was reached.
    bases: Vec<(StreamId, Option<Box<Base>>)>,
    fails: bool,
    /// Clients wait for syncs, as the last chunk said.
    awaited: bool,
    /// A sync failed that they wait for: nothing becomes durable any more.
    lost: bool,
}

pub async fn run<D: Disk>(disk: D, log: Log, jobs: Jobs, deliver: Deliver) {
    let mut writer = Writer {
        disk,
        deliver,
        owner: log.owner,
        name: log.name,
        manifest: log.manifest,
        merger: Merger::new(log.cores, 0),
        progress: log.progress,
        directory: PathBuf::new(),
        file: None,
        pending: Vec::new(),
        taken: vec![0; log.cores],
        bytes_before: 0,
        unnamed: false,
        unsure: false,
        turns: Vec::new(),
        bases: Vec::new(),
        fails: false,
        awaited: false,
        lost: false,
    };
    loop {
        let mut next = Some(jobs.next().await);
        let mut sync = Sync::No;
        while let Some((from, job)) = next {
            sync = sync.max(writer.take(from, job));
            next = jobs.try_next();
        }
        writer.write(sync).await;
        writer.tell_cores();
    }
}

impl<D: Disk> Writer<D> {
    /// Takes a job; which sync it asks for.
    fn take(&mut self, from: usize, job: Job) -> Sync {
        match job {
            Job::Append { chunk, sync } => {
                self.taken[from] += chunk.bytes_len() as u64;
                self.merger.add(from, *chunk);
                self.awaited = sync;
                if sync { Sync::Now } else { Sync::No }
            }
            Job::Sync => Sync::Yes,
            Job::Rebase { stream, base } => {
                self.bases.push((stream, base));
                Sync::No
            }
            _ => unreachable!("the hub sends the log nothing else"),
        }
    }

    /// Writes all that is in order, and does what the marks in it say.
    async fn write(&mut self, sync: Sync) {
        loop {
            let mark = self.merger.drain(&mut self.pending);
            let written = self.flush(if mark.is_some() { sync.max(Sync::Yes) } else { sync }).await;
            self.note_failure(written.as_ref().err());
            match mark {
                Some(mark) => self.obey(mark, written).await,
                None => break,
            }
        }
        for (stream, base) in std::mem::take(&mut self.bases) {
            self.settle(stream, base).await;
        }
        self.publish_bytes();
    }

    /// A base takes its place, or is removed if there is none for it (3). Before its mark was reached it waits.
    async fn settle(&mut self, stream: StreamId, base: Option<Box<Base>>) {
        let Some(at) = self.turns.iter().position(|(announced, _)| *announced == stream) else {
            return self.bases.push((stream, base));
        };
        let (_, turned) = self.turns.swap_remove(at);
        let Some(base) = base else { return };
        let result = match turned {
            Ok(()) => self.rebase(&base).await,
            failed => failed,
        };
        if result.is_err() {
            // If it cannot be removed, the next one is written in its place.
            let _ = save::remove(self.disk.clone(), &base.path).await;
        }
        self.tell(LogNews::Rebased { stream, began_s: base.began_s, result });
    }

    /// The log that bases were announced for is not this one any more (3).
    fn void_turns(&mut self) {
        self.turns.iter_mut().for_each(|(_, turned)| *turned = Err(Failure::Cancelled));
    }

    fn publish_bytes(&self) {
        let grown = self.file.as_ref().map_or(0, Appender::bytes);
        self.progress.bytes.store(self.bytes_before + grown, Relaxed);
        self.progress.pending_bytes.store(self.pending.len() as u64, Relaxed);
    }

    /// Writes what is pending, and syncs it if asked to.
    async fn flush(&mut self, sync: Sync) -> Result<(), Failure> {
        let reached = self.merger.next_stamp();
        if self.unsure && !self.pending.is_empty() {
            self.name_files(&self.manifest).await?;
            self.unsure = false;
        }
        if let Some(file) = &mut self.file
            && !self.pending.is_empty()
        {
            let before = file.bytes();
            let appended = match sync {
                Sync::Now => file.append_now(&self.pending),
                Sync::Yes | Sync::No => file.append(self.pending.clone()).await,
            };
            if let Err(error) = appended {
                let _ = file.cut(before).await;
                return Err(Failure::system(Doing::Write)(error));
            }
        }
        self.forget_pending();
        self.progress.set_written(reached);
        for (core, bytes) in self.taken.iter().enumerate() {
            self.progress.set_written_bytes(core, *bytes);
        }
        if let Some(file) = &mut self.file {
            let synced = match sync {
                Sync::No => return Ok(()),
                _ if self.progress.durable() == reached => return Ok(()),
                Sync::Now => file.sync_now(),
                Sync::Yes => file.sync().await,
            };
            if let Err(error) = synced {
                self.lost |= self.awaited;
                return Err(Failure::system(Doing::Sync)(error));
            }
        }
        if !self.lost {
            self.progress.set_durable(reached);
        }
        Ok(())
    }

    fn forget_pending(&mut self) {
        self.pending.clear();
        if self.pending.capacity() > SPARE_BYTES_MAX {
            self.pending = Vec::new();
        }
    }

    async fn obey(&mut self, mark: Mark, written: Result<(), Failure>) {
        let news = match mark {
            Mark::Begin(begin) => {
                self.void_turns();
                LogNews::Begun(self.begin(*begin).await)
            }
            Mark::Turn { directory, base } => {
                let turned = match written {
                    Ok(()) => self.turn(directory).await,
                    failed => failed,
                };
                self.turns.push((base, turned.clone()));
                LogNews::Turned(turned)
            }
            Mark::End => {
                self.void_turns();
                self.file = None;
                self.pending.clear();
                return;
            }
        };
        self.tell(news);
    }

    async fn begin(&mut self, begin: Begin) -> Result<(), Failure> {
        self.directory = begin.directory;
        let directory = save::make_directory(&self.disk, &self.directory).await;
        directory.map_err(Failure::system(Doing::Open))?;
        let mut manifest = self.manifest.clone();
        self.unnamed = matches!(begin.source, Source::Memory);
        let mut cut = Some(0);
        self.bytes_before = 0;
        let mut rewritten = 0;
        if let Source::Files { cut: wanted, last_bytes, bytes_before, base_bytes, empty } = begin.source {
            self.bytes_before = bytes_before;
            rewritten = base_bytes;
            if !manifest.incr.is_empty() {
                cut = wanted;
            } else if let Some(base) = &manifest.base {
                self.cut_base(&base.name, wanted).await?;
                self.bytes_before = last_bytes;
            } else {
                let name = manifest.new_base(&self.name, begin.form == BaseForm::Rdb);
                save::replace(self.disk.clone(), &self.directory.join(name), &empty).await?;
                self.bytes_before = empty.len() as u64;
                rewritten = self.bytes_before;
            }
        }
        if self.unnamed || manifest.incr.is_empty() {
            manifest.new_incr(&self.name);
        }
        let last = manifest.incr.last().expect("there is one now");
        let path = self.directory.join(&last.name);
        let mut file = self.disk.append(&path, cut).await.map_err(Failure::system(Doing::Open))?;
        if !self.unnamed {
            // What clients are about to see was not safe yet if the process that wrote it was killed.
            file.sync().await.map_err(Failure::system(Doing::Sync))?;
            self.name_files(&manifest).await?;
            self.bury(&mut manifest).await?;
        }
        self.manifest = manifest;
        self.merger.begin_file();
        // How long the log was when it got its base is not known any more: not less than that.
        self.progress.bytes_rewritten.store(rewritten, Relaxed);
        self.file = Some(file);
        Ok(())
    }

    /// The base is the last file of the log, and may have to be cut: only then it has to be writable.
    async fn cut_base(&self, name: &str, cut: Option<u64>) -> Result<(), Failure> {
        let Some(bytes) = cut else { return Ok(()) };
        let file = self.disk.append(&self.directory.join(name), Some(bytes)).await;
        let mut file = file.map_err(Failure::system(Doing::Open))?;
        file.sync().await.map_err(Failure::system(Doing::Sync))
    }

    /// What follows goes into a new increment.
    async fn turn(&mut self, directory: PathBuf) -> Result<(), Failure> {
        self.directory = directory;
        // Somebody may have removed it. The base is written beside this, and may need it later or sooner.
        let made = save::make_directory(&self.disk, &self.directory).await;
        made.map_err(Failure::system(Doing::Open))?;
        let Some(file) = self.file.as_ref().filter(|file| !self.unnamed || file.bytes() > 0) else {
            return Ok(());
        };
        let before = self.bytes_before + file.bytes();
        let mut manifest = self.manifest.clone();
        let path = self.directory.join(manifest.new_incr(&self.name));
        let file = self.disk.append(&path, Some(0)).await.map_err(Failure::system(Doing::Open))?;
        if !self.unnamed {
            self.unsure = true;
            self.name_files(&manifest).await?;
            self.unsure = false;
        }
        self.manifest = manifest;
        self.bytes_before = before;
        self.file = Some(file);
        self.merger.begin_file();
        Ok(())
    }

    /// A base is there: it takes the place of all files but the increment that grows.
    async fn rebase(&mut self, base: &Base) -> Result<(), Failure> {
        let mut manifest = self.manifest.clone();
        let name = manifest.new_base(&self.name, base.form == BaseForm::Rdb);
        let path = self.directory.join(name);
        self.disk.rename(&base.path, &path).await.map_err(Failure::system(Doing::Rename))?;
        let grows = self.file.is_some().then(|| manifest.incr.last().map(|file| file.seq)).flatten();
        manifest.retire_incr(grows.map_or(i64::MAX, |seq| seq - 1));
        self.name_files(&manifest).await?;
        self.unnamed = false;
        self.manifest = manifest.clone();
        self.bytes_before = base.bytes;
        let grown = self.file.as_ref().map_or(0, Appender::bytes);
        self.progress.bytes_rewritten.store(base.bytes + grown, Relaxed);
        self.bury(&mut manifest).await?;
        self.manifest = manifest;
        Ok(())
    }

    /// Puts the manifest on disk, after the names of the files that it names: a disk need not keep names in order.
    async fn name_files(&self, manifest: &Manifest) -> Result<(), Failure> {
        self.disk.sync_directory(&self.directory).await.map_err(Failure::system(Doing::Sync))?;
        let path = self.directory.join(manifest_name(&self.name));
        save::replace(self.disk.clone(), &path, &manifest.to_text()).await
    }

    /// Removes the files that are history; the manifest on disk names them as such.
    async fn bury(&self, manifest: &mut Manifest) -> Result<(), Failure> {
        if manifest.history.is_empty() {
            return Ok(());
        }
        for file in std::mem::take(&mut manifest.history) {
            save::remove(self.disk.clone(), &self.directory.join(&file.name)).await?;
        }
        self.name_files(manifest).await
    }

    /// Says when writing begins to fail, and when it does no more.
    fn note_failure(&mut self, failure: Option<&Failure>) {
        match failure {
            Some(failure) if self.lost => self.tell(LogNews::Lost(failure.clone())),
            Some(failure) if !self.fails => self.tell(LogNews::Fails(failure.clone())),
            None if self.fails => self.tell(LogNews::Recovered),
            _ => {}
        }
        self.fails = failure.is_some();
    }

    fn tell(&self, news: LogNews) {
        self.publish_bytes();
        (self.deliver)(self.owner, Done::Log(news));
    }

    fn tell_cores(&self) {
        for core in 0..self.taken.len() {
            if self.progress.take_wait(core) {
                (self.deliver)(core, Done::Logged);
            }
        }
    }
}
