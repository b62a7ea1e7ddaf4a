//! A disk in memory under the storage thread's real tasks, which fails when told to.
//! In: jobs. Out: completions, and what a machine that lost its power would find.
//!
//! 1. Bytes of a file are safe once it was synced, its name once the directory was in which it is, and a directory's own
//!    name once the one above was.
//! 2. What was not synced may survive all the same: any block in any state that it had since, a file as long as it was at
//!    any moment since, with zeros where no block was written, and any of the changes of names.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Waker};

use crate::base::rng::Rng;
use crate::config::Config;
use crate::storage::disk::{Appender, Disk, Reader, Writer};
use crate::storage::hub::Hub;
use crate::storage::{Done, Job};

/// Sizes of blocks that a disk writes as a whole.
const BLOCK_BYTES: [usize; 2] = [512, 4096];

/// What happened to a file's bytes and is not safe.
#[derive(Clone, Debug)]
enum Change {
    Appended(Vec<u8>),
    Cut(usize),
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Change::Appended(new) => bytes.extend_from_slice(new),
            Change::Cut(len) => bytes.truncate(*len),
        }
    }
}

#[derive(Clone, Default, Debug)]
struct Contents {
    bytes: Vec<u8>,
    /// What was there at the last sync, and what happened since.
    safe: Vec<u8>,
    changes: Vec<Change>,
}

impl Contents {
    fn change(&mut self, change: Change) {
        change.apply(&mut self.bytes);
        self.changes.push(change);
    }

    fn sync(&mut self) {
        self.safe.clone_from(&self.bytes);
        self.changes.clear();
    }

    /// So many of the changes survive, in their order.
    fn keep_first(&mut self, count: usize) {
        let mut bytes = std::mem::take(&mut self.safe);
        self.changes[..count].iter().for_each(|change| change.apply(&mut bytes));
        self.bytes = bytes;
        self.sync();
    }

    /// All changes survive, but of the last one only a part.
    fn keep_torn(&mut self, rng: &mut Rng) {
        let count = rng.below(self.changes.len() as u64 + 1) as usize;
        if let Some(Change::Appended(bytes)) = self.changes.get_mut(count) {
            bytes.truncate(rng.below(bytes.len() as u64 + 1) as usize);
            return self.keep_first(count + 1);
        }
        self.keep_first(count);
    }

    /// Each block is as it was after some of the changes, and the length, too.
    fn keep_blocks(&mut self, rng: &mut Rng, block_bytes: usize) {
        let mut now = self.safe.clone();
        let most = self.changes.iter().fold(now.len(), |most, change| {
            change.apply(&mut now);
            most.max(now.len())
        });
        let count = self.changes.len() as u64;
        let mut moment = || rng.below(count + 1) as usize;
        let moments: Vec<usize> = (0..most.div_ceil(block_bytes)).map(|_| moment()).collect();
        let length_moment = moment();
        let mut now = std::mem::take(&mut self.safe);
        let (mut kept, mut length) = (vec![0; moments.len() * block_bytes], 0);
        for number in 0..=self.changes.len() {
            for (block, _) in moments.iter().enumerate().filter(|(_, moment)| **moment == number) {
                let begin = (block * block_bytes).min(now.len());
                let there = &now[begin..(begin + block_bytes).min(now.len())];
                kept[block * block_bytes..][..there.len()].copy_from_slice(there);
            }
            if number == length_moment {
                length = now.len();
            }
            if let Some(change) = self.changes.get(number) {
                change.apply(&mut now);
            }
        }
        kept.truncate(length);
        self.bytes = kept;
        self.sync();
    }
}

type File = Rc<RefCell<Contents>>;

#[derive(Clone)]
enum Node {
    File(File),
    Directory,
}

/// A change of the names in one directory.
#[derive(Clone)]
enum Naming {
    Is(PathBuf, Node),
    Moved(PathBuf, PathBuf, Node),
    Gone(PathBuf),
}

impl Naming {
    fn directory(&self) -> &Path {
        let (Naming::Is(path, _) | Naming::Moved(_, path, _) | Naming::Gone(path)) = self;
        directory_of(path)
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, Node>) {
        match self {
            Naming::Is(path, node) => drop(names.insert(path.clone(), node.clone())),
            Naming::Moved(from, to, node) => {
                names.remove(from);
                names.insert(to.clone(), node.clone());
            }
            Naming::Gone(path) => drop(names.remove(path)),
        }
    }
}

fn directory_of(path: &Path) -> &Path {
    path.parent().expect("a file is in a directory")
}

/// Something that a disk only pretends to do, to show that the checks see it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pretence {
    SyncOfBytes,
    SyncOfNames,
}

#[derive(Default)]
struct State {
    names: RefCell<BTreeMap<PathBuf, Node>>,
    safe_names: RefCell<BTreeMap<PathBuf, Node>>,
    /// What happened to names and is not safe.
    namings: RefCell<Vec<Naming>>,
    /// Operations that change something, so far.
    operations: Cell<u64>,
    fails_at: Cell<Option<u64>>,
    /// From that operation on nothing becomes safe any more: the power is about to fail.
    ends_at: Cell<Option<u64>>,
    pretence: Cell<Option<Pretence>>,
    protected: RefCell<Option<PathBuf>>,
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

    /// The operation of this number, from now on counted from 0, is the last one, and not done to its end.
    pub fn end_at(&self, number: u64) {
        self.0.operations.set(0);
        self.0.ends_at.set(Some(number));
    }

    /// It was the process that ended there, and not the machine: what was not safe is still to be read.
    pub fn go_on(&self) {
        self.0.ends_at.set(None);
    }

    pub fn pretend(&self, pretence: Pretence) {
        self.0.pretence.set(Some(pretence));
    }

    /// Operations since `fail_at`.
    pub fn operations(&self) -> u64 {
        self.0.operations.get()
    }

    pub fn read_file(&self, path: &Path) -> Option<Vec<u8>> {
        self.file(path).ok().map(|file| file.borrow().bytes.clone())
    }

    /// Nobody may write this file.
    pub fn protect(&self, path: &Path) {
        self.0.protected.replace(Some(path.into()));
    }

    /// Somebody else puts other bytes into a file, safely.
    pub fn replace_file(&self, path: &Path, bytes: Vec<u8>) {
        let file = self.file_made(path).expect("its directory is there");
        let mut file = file.borrow_mut();
        file.bytes = bytes;
        file.sync();
    }

    /// The names of all files.
    pub fn names(&self) -> Vec<PathBuf> {
        let names = self.0.names.borrow();
        let files = names.iter().filter(|(_, node)| matches!(node, Node::File(_)));
        files.map(|(path, _)| path.clone()).collect()
    }

    /// The power fails: what is not safe is gone.
    pub fn lose_power(&self) {
        self.0.namings.borrow_mut().clear();
        self.come_back(|file| file.keep_first(0));
    }

    /// The power fails: of what is not safe anything may be gone.
    pub fn lose_power_anyhow(&self, rng: &mut Rng) {
        let namings = self.0.namings.take();
        let in_order = rng.below(2) == 0;
        let first = rng.below(namings.len() as u64 + 1) as usize;
        for (number, naming) in namings.iter().enumerate() {
            if if in_order { number < first } else { rng.below(2) == 0 } {
                naming.apply(&mut self.0.safe_names.borrow_mut());
            }
        }
        let block_bytes = BLOCK_BYTES[rng.below(BLOCK_BYTES.len() as u64) as usize];
        let torn = rng.below(3) == 0;
        self.come_back(|file| match torn {
            true => file.keep_torn(rng),
            false => file.keep_blocks(rng, block_bytes),
        });
    }

    /// There are only safe names, and files as `keep` makes them.
    fn come_back(&self, mut keep: impl FnMut(&mut Contents)) {
        let mut names = self.0.safe_names.borrow_mut();
        let directories: Vec<PathBuf> = names.keys().cloned().collect();
        names.retain(|path, _| {
            directory_of(path) == root() || directories.contains(&directory_of(path).into())
        });
        for node in names.values() {
            if let Node::File(file) = node {
                keep(&mut file.borrow_mut());
            }
        }
        self.0.names.replace(names.clone());
        self.go_on();
    }

    fn name(&self, naming: Naming) {
        naming.apply(&mut self.0.names.borrow_mut());
        self.0.namings.borrow_mut().push(naming);
    }

    fn operate(&self) -> io::Result<()> {
        let number = self.0.operations.get();
        self.0.operations.set(number + 1);
        match self.0.fails_at.get() == Some(number) || self.has_ended() {
            true => Err(io::Error::from_raw_os_error(libc::EIO)),
            false => Ok(()),
        }
    }

    fn has_ended(&self) -> bool {
        self.0.ends_at.get().is_some_and(|last| self.0.operations.get() > last)
    }

    fn file(&self, path: &Path) -> io::Result<File> {
        match self.0.names.borrow().get(path) {
            Some(Node::File(file)) => Ok(file.clone()),
            Some(Node::Directory) => Err(io::Error::from_raw_os_error(libc::EISDIR)),
            None => Err(io::Error::from_raw_os_error(libc::ENOENT)),
        }
    }

    /// The file of that name, made if it is absent.
    fn file_made(&self, path: &Path) -> io::Result<File> {
        if let Ok(file) = self.file(path) {
            return Ok(file);
        }
        let directory = directory_of(path);
        if directory != root() && !self.0.names.borrow().contains_key(directory) {
            return Err(io::Error::from_raw_os_error(libc::ENOENT));
        }
        let file = File::default();
        self.name(Naming::Is(path.into(), Node::File(file.clone())));
        Ok(file)
    }
}

impl FakeDisk {
    fn open_cut(&self, path: &Path, from: Option<u64>) -> io::Result<FakeFile> {
        if self.0.protected.borrow().as_deref() == Some(path) {
            return Err(io::Error::from_raw_os_error(libc::EACCES));
        }
        let file = self.file_made(path)?;
        if let Some(from) = from.filter(|from| (*from as usize) < file.borrow().bytes.len()) {
            file.borrow_mut().change(Change::Cut(from as usize));
        }
        Ok(FakeFile { disk: self.clone(), file, at: 0 })
    }
}

impl Disk for FakeDisk {
    type Writer = FakeFile;
    type Reader = FakeFile;
    type Appender = FakeFile;

    async fn create(&self, path: &Path) -> io::Result<FakeFile> {
        self.operate()?;
        self.open_cut(path, Some(0))
    }

    async fn open(&self, path: &Path) -> io::Result<FakeFile> {
        Ok(FakeFile { disk: self.clone(), file: self.file(path)?, at: 0 })
    }

    async fn append(&self, path: &Path, from: Option<u64>) -> io::Result<FakeFile> {
        self.operate()?;
        self.open_cut(path, from)
    }

    async fn make_directory(&self, path: &Path) -> io::Result<()> {
        self.operate()?;
        if path != root() && !self.0.names.borrow().contains_key(path) {
            self.name(Naming::Is(path.into(), Node::Directory));
        }
        Ok(())
    }

    async fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.operate()?;
        let node = Node::File(self.file(from)?);
        assert_eq!(directory_of(from), directory_of(to), "a rename is one change of one directory");
        self.name(Naming::Moved(from.into(), to.into(), node));
        Ok(())
    }

    async fn remove(&self, path: &Path) -> io::Result<()> {
        self.file(path)?;
        self.name(Naming::Gone(path.into()));
        Ok(())
    }

    async fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.operate()?;
        if self.0.pretence.get() == Some(Pretence::SyncOfNames) {
            return Ok(());
        }
        let mut safe_names = self.0.safe_names.borrow_mut();
        let namings = &mut *self.0.namings.borrow_mut();
        for naming in namings.extract_if(.., |naming| naming.directory() == path) {
            naming.apply(&mut safe_names);
        }
        Ok(())
    }
}

/// The directory that is there from the beginning.
fn root() -> PathBuf {
    directory_of(&Config::default().dir.join("file")).into()
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
        self.file.borrow_mut().change(Change::Appended(bytes[..kept].to_vec()));
        done
    }

    fn make_durable(&mut self) -> io::Result<()> {
        self.disk.operate()?;
        if self.disk.0.pretence.get() != Some(Pretence::SyncOfBytes) {
            self.file.borrow_mut().sync();
        }
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
        self.file.borrow_mut().change(Change::Cut(len as usize));
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
