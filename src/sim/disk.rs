//! A disk in memory under the storage thread's real tasks, which fails when told to.
//! In: jobs. Out: completions, and what a machine that lost its power would find.
//! A file has bytes that were written and bytes that are durable; names are durable once their directory was synced.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Waker};

use crate::storage::disk::{Appender, Disk, Reader, Writer};
use crate::storage::hub::Hub;
use crate::storage::{Done, Job};

#[derive(Clone, Default, Debug)]
struct Contents {
    bytes: Vec<u8>,
    durable: usize,
}

type File = Rc<RefCell<Contents>>;

#[derive(Default)]
struct State {
    names: RefCell<BTreeMap<PathBuf, File>>,
    durable_names: RefCell<BTreeMap<PathBuf, File>>,
    /// Operations that change something, so far.
    operations: Cell<u64>,
    fails_at: Cell<Option<u64>>,
}

/// A disk; its clones are the same one.
#[derive(Clone, Default)]
pub struct FakeDisk(Rc<State>);

impl FakeDisk {
    /// The operation of this number, from now on counted from 0, fails; a write is torn.
    pub fn fail_at(&self, number: Option<u64>) {
        self.0.operations.set(0);
        self.0.fails_at.set(number);
    }

    /// Operations since `fail_at`.
    pub fn operations(&self) -> u64 {
        self.0.operations.get()
    }

    pub fn read_file(&self, path: &Path) -> Option<Vec<u8>> {
        self.0.names.borrow().get(path).map(|file| file.borrow().bytes.clone())
    }

    pub fn names(&self) -> Vec<PathBuf> {
        self.0.names.borrow().keys().cloned().collect()
    }

    /// The power fails: what is not durable is gone.
    pub fn lose_power(&self) {
        self.lose_power_torn(|_| 0);
    }

    /// The same, but of bytes that are not durable so many are there all the same, as `torn` says.
    pub fn lose_power_torn(&self, mut torn: impl FnMut(usize) -> usize) {
        *self.0.names.borrow_mut() = self.0.durable_names.borrow().clone();
        for file in self.0.names.borrow().values() {
            let mut file = file.borrow_mut();
            let kept = file.durable + torn(file.bytes.len() - file.durable);
            file.bytes.truncate(kept);
            file.durable = kept;
        }
    }

    fn operate(&self) -> io::Result<()> {
        let number = self.0.operations.get();
        self.0.operations.set(number + 1);
        match self.0.fails_at.get() == Some(number) {
            true => Err(io::Error::from_raw_os_error(libc::EIO)),
            false => Ok(()),
        }
    }

    fn file(&self, path: &Path) -> io::Result<File> {
        let names = self.0.names.borrow();
        names.get(path).cloned().ok_or_else(|| io::Error::from_raw_os_error(libc::ENOENT))
    }
}

impl Disk for FakeDisk {
    type Writer = FakeFile;
    type Reader = FakeFile;
    type Appender = FakeFile;

    async fn create(&self, path: &Path) -> io::Result<FakeFile> {
        self.operate()?;
        let file = File::default();
        self.0.names.borrow_mut().insert(path.into(), file.clone());
        Ok(FakeFile { disk: self.clone(), file, at: 0 })
    }

    async fn open(&self, path: &Path) -> io::Result<FakeFile> {
        Ok(FakeFile { disk: self.clone(), file: self.file(path)?, at: 0 })
    }

    async fn append(&self, path: &Path, from: Option<u64>) -> io::Result<FakeFile> {
        self.operate()?;
        let file = self.0.names.borrow_mut().entry(path.into()).or_default().clone();
        if let Some(from) = from {
            let mut file = file.borrow_mut();
            file.bytes.truncate(from as usize);
            file.durable = file.durable.min(from as usize);
        }
        Ok(FakeFile { disk: self.clone(), file, at: 0 })
    }

    async fn make_directory(&self, _path: &Path) -> io::Result<()> {
        self.operate()
    }

    async fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.operate()?;
        let file = self.file(from)?;
        let mut names = self.0.names.borrow_mut();
        names.remove(from);
        names.insert(to.into(), file);
        Ok(())
    }

    async fn remove(&self, path: &Path) -> io::Result<()> {
        self.file(path)?;
        self.0.names.borrow_mut().remove(path);
        Ok(())
    }

    async fn sync_directory(&self, _path: &Path) -> io::Result<()> {
        self.operate()?;
        *self.0.durable_names.borrow_mut() = self.0.names.borrow().clone();
        Ok(())
    }
}

/// An open file.
pub struct FakeFile {
    disk: FakeDisk,
    file: File,
    at: usize,
}

impl FakeFile {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        let done = self.disk.operate();
        let kept = if done.is_ok() { bytes.len() } else { bytes.len() / 2 };
        self.file.borrow_mut().bytes.extend_from_slice(&bytes[..kept]);
        done
    }

    fn make_durable(&mut self) -> io::Result<()> {
        self.disk.operate()?;
        let mut file = self.file.borrow_mut();
        file.durable = file.bytes.len();
        Ok(())
    }
}

impl Writer for FakeFile {
    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.put(bytes)
    }

    async fn finish(mut self) -> io::Result<()> {
        self.make_durable()
    }
}

impl Reader for FakeFile {
    type Portion = Vec<u8>;

    fn bytes(&self) -> u64 {
        self.file.borrow().bytes.len() as u64
    }

    async fn read(&mut self) -> io::Result<Vec<u8>> {
        const PORTION: usize = 1000;
        let file = self.file.borrow();
        let portion = file.bytes[self.at..].iter().take(PORTION).copied().collect::<Vec<u8>>();
        self.at += portion.len();
        Ok(portion)
    }
}

impl Appender for FakeFile {
    fn bytes(&self) -> u64 {
        self.file.borrow().bytes.len() as u64
    }

    async fn append(&mut self, bytes: Vec<u8>) -> io::Result<()> {
        self.put(&bytes)
    }

    fn append_now(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.put(bytes)
    }

    fn sync_now(&mut self) -> io::Result<()> {
        self.make_durable()
    }

    async fn sync(&mut self) -> io::Result<()> {
        self.make_durable()
    }

    async fn cut(&mut self, len: u64) -> io::Result<()> {
        let mut file = self.file.borrow_mut();
        file.bytes.truncate(len as usize);
        file.durable = file.durable.min(len as usize);
        Ok(())
    }
}

type Task = Pin<Box<dyn Future<Output = ()>>>;

/// The storage thread's hub and tasks, run whenever a job comes.
pub struct FakeStorage {
    pub disk: FakeDisk,
    hub: Hub<FakeDisk>,
    spawned: Rc<RefCell<Vec<Task>>>,
    tasks: Vec<Task>,
    done: Rc<RefCell<Vec<(usize, Done)>>>,
}

impl FakeStorage {
    pub fn new(disk: FakeDisk) -> Self {
        let spawned: Rc<RefCell<Vec<Task>>> = Rc::default();
        let done: Rc<RefCell<Vec<(usize, Done)>>> = Rc::default();
        let (spawn, deliver) = (spawned.clone(), done.clone());
        let hub = Hub::new(
            disk.clone(),
            Rc::new(move |task| spawn.borrow_mut().push(task)),
            Rc::new(move |core, done| deliver.borrow_mut().push((core, done))),
        );
        Self { disk, hub, spawned, tasks: Vec::new(), done }
    }

    /// Takes a job, and does all that can be done then.
    pub fn job(&mut self, from: usize, job: Job) -> Vec<(usize, Done)> {
        self.hub.job(from, job);
        self.tasks.append(&mut self.spawned.borrow_mut());
        let mut context = Context::from_waker(Waker::noop());
        // The disk is never busy: a task that is not done waits for a job.
        self.tasks.retain_mut(|task| task.as_mut().poll(&mut context).is_pending());
        self.done.take()
    }
}
