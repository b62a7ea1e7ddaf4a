//! The storage thread: glommio's io_uring under the tasks of the hub.
//! In: a link to the cores' rings. Out: a thread that serves it.
//!
//! Files that are written as a whole go past the page cache (O_DIRECT), in large aligned pieces several of which are under
//! way at a time: 1 GiB took 0.86 s, and 4.45 s through the page cache with an fdatasync at the end. Reading goes through it: a
//! file that was written a moment ago is there already, and the kernel reads ahead. (Direct reads made loading 170 MB wait for
//! the disk for seconds.) Logs are appended to through the page cache, too: their writes are small and not aligned. What cores wait for
//! (`appendfsync always`) is written and synced by plain calls on this thread: through a ring both go to worker threads of the
//! kernel, which takes four more changes of threads for each sync.
//!
//! Invariant X1: the thread sleeps only after it left its waker at the bell, announced its sleep and looked at the rings once
//! more (see `Bell`). Completions that its tasks leave for cores are flushed, and sleepers woken, before it sleeps.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use futures_lite::AsyncWriteExt;
use futures_lite::future::yield_now;
use glommio::io::{
    BufferedFile, Directory, DmaStreamWriter, DmaStreamWriterBuilder, OpenOptions, ReadResult,
};
use glommio::{GlommioError, LocalExecutorBuilder, Placement};

use super::disk::{Appender, Disk, Reader, Writer};
use super::hub::Hub;
use super::{Bell, Done, Job};
use crate::base::memory::when_lockable;

/// Bytes of a piece of a file, and how many of them are under way at a time.
const PIECE_BYTES: usize = 512 * 1024;
const PIECES: usize = 4;
/// Memory that the thread's rings may use for such pieces.
const IO_MEMORY_BYTES: usize = 8 << 20;
const RING_ENTRIES: usize = 128;

/// The storage thread's end of the rings to the cores. All of it is called on that thread.
pub trait Link: Send + 'static {
    /// The next job, and the core that it comes from.
    fn receive(&mut self) -> Option<(usize, Job)>;
    fn send(&mut self, core: usize, done: Done);
    /// Moves on what did not fit, and wakes the cores that sleep through what was sent. False: some does not fit yet.
    fn flush(&mut self) -> bool;
    /// This thread is about to sleep. False: there is something to do after all.
    fn announce_sleep(&mut self) -> bool;
    fn announce_awake(&mut self);
}

/// Starts the thread. The error is a sentence for the operator.
pub fn start(link: impl Link, bell: Bell) -> Result<(), String> {
    let (report, started) = std::sync::mpsc::sync_channel(1);
    let body = move || {
        let make = || {
            LocalExecutorBuilder::new(Placement::Unbound)
                .name("storage")
                .io_memory(IO_MEMORY_BYTES)
                .ring_depth(RING_ENTRIES)
                .spin_before_park(Duration::ZERO)
                .make()
                .map_err(io::Error::from)
        };
        match when_lockable(make) {
            Ok(executor) => {
                let _ = report.send(Ok(()));
                executor.run(serve(link, bell));
            }
            Err(error) => drop(report.send(Err(explain(error)))),
        }
    };
    let thread = std::thread::Builder::new().name("storage".into()).spawn(body);
    thread.map_err(|error| format!("the storage thread cannot be started: {error}"))?;
    started.recv().unwrap_or_else(|_| Err("the storage thread ended before it began".into()))
}

fn explain(error: io::Error) -> String {
    let text = error.to_string();
    if text.contains("memlock") || error.raw_os_error() == Some(libc::ENOMEM) {
        return "the storage thread's io_uring may not lock enough memory: raise the memlock limit to 512 KiB or more \
                (ulimit -l, or LimitMEMLOCK= in the unit)"
            .into();
    }
    format!("the storage thread's io_uring cannot be set up: {text}")
}

/// Takes jobs for ever.
async fn serve(link: impl Link, bell: Bell) {
    const FULL_RING_PAUSE: Duration = Duration::from_micros(100);
    /// Cores that write to the log without waiting for it need not wake this thread for every turn.
    const DOZE: Duration = Duration::from_millis(1);
    let link = Rc::new(RefCell::new(link));
    // Completions of this round that no core was woken for yet.
    let unflushed = Rc::new(Cell::new(false));
    let deliver = {
        let (link, unflushed) = (link.clone(), unflushed.clone());
        Rc::new(move |core, done| {
            let mut link = link.borrow_mut();
            link.send(core, done);
            unflushed.set(!link.flush());
        })
    };
    let spawn = Rc::new(|task| drop(glommio::spawn_local(task).detach()));
    let hub = Hub::new(GlommioDisk, spawn, deliver);
    loop {
        let mut taken = false;
        loop {
            // The link is free again before the hub takes the job.
            let received = link.borrow_mut().receive();
            let Some((from, job)) = received else { break };
            hub.job(from, job);
            taken = true;
        }
        if taken {
            // The log is synced here and now, and cores need not ring for what they send meanwhile.
            yield_now().await;
        }
        if unflushed.get() {
            unflushed.set(!link.borrow_mut().flush());
            glommio::timer::sleep(FULL_RING_PAUSE).await;
            continue;
        }
        if hub.may_doze() {
            glommio::timer::sleep(DOZE).await;
            continue;
        }
        sleep(&link, &bell).await;
    }
}

/// Waits until there may be jobs (X1).
async fn sleep(link: &RefCell<impl Link>, bell: &Bell) {
    let mut slept = false;
    poll_fn(|context| {
        bell.hang(context.waker());
        if !slept && link.borrow_mut().announce_sleep() {
            slept = true;
            return Poll::Pending;
        }
        link.borrow_mut().announce_awake();
        Poll::Ready(())
    })
    .await;
}

/// Files by glommio.
#[derive(Clone, Copy)]
struct GlommioDisk;

/// The system's error, where glommio put its own words around it.
fn plain<T>(error: GlommioError<T>) -> io::Error {
    match error {
        GlommioError::IoError(error) => error,
        GlommioError::EnhancedIoError { source, .. } => source,
        other => io::Error::other(other.to_string()),
    }
}

impl Disk for GlommioDisk {
    type Writer = PieceWriter;
    type Reader = PieceReader;
    type Appender = LogFile;

    async fn create(&self, path: &Path) -> io::Result<PieceWriter> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        match options.dma_open(path).await {
            Ok(file) => {
                let builder = DmaStreamWriterBuilder::new(file);
                let stream = builder.with_buffer_size(PIECE_BYTES).with_write_behind(PIECES).build();
                Ok(PieceWriter::Direct(stream))
            }
            Err(error) => match plain(error) {
                // A file system without direct files.
                error if is_unsupported(&error) => {
                    let file = options.buffered_open(path).await.map_err(plain)?;
                    Ok(PieceWriter::Cached { file, len: 0 })
                }
                error => Err(error),
            },
        }
    }

    async fn open(&self, path: &Path) -> io::Result<PieceReader> {
        let file = OpenOptions::new().read(true).buffered_open(path).await.map_err(plain)?;
        let len = file.file_size().await.map_err(plain)?;
        Ok(PieceReader { file, len, at: 0 })
    }

    async fn append(&self, path: &Path, from: Option<u64>) -> io::Result<LogFile> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true);
        let file = options.buffered_open(path).await.map_err(plain)?;
        let len = file.file_size().await.map_err(plain)?;
        let mut log = LogFile { file, plain: std::fs::OpenOptions::new().write(true).open(path)?, len };
        if let Some(from) = from.filter(|from| *from < log.len) {
            log.cut(from).await?;
        }
        Ok(log)
    }

    async fn make_directory(&self, path: &Path) -> io::Result<()> {
        Directory::create(path).await.map_err(plain)?.close().await.map_err(plain)
    }

    async fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        glommio::io::rename(from, to).await.map_err(plain)
    }

    async fn remove(&self, path: &Path) -> io::Result<()> {
        glommio::io::remove(path).await.map_err(plain)
    }

    async fn sync_directory(&self, path: &Path) -> io::Result<()> {
        let directory = Directory::open(path).await.map_err(plain)?;
        directory.sync().await.map_err(plain)?;
        directory.close().await.map_err(plain)
    }
}

fn is_unsupported(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EINVAL) || error.kind() == io::ErrorKind::InvalidInput
}

/// A file that is written from its beginning.
enum PieceWriter {
    Direct(DmaStreamWriter),
    Cached { file: BufferedFile, len: u64 },
}

impl Writer for PieceWriter {
    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            PieceWriter::Direct(stream) => stream.write_all(bytes).await,
            PieceWriter::Cached { file, len } => write_all(file, bytes.to_vec(), len).await,
        }
    }

    async fn finish(self) -> io::Result<()> {
        match self {
            // Closing writes the last piece, cuts the file to its length and syncs it.
            PieceWriter::Direct(mut stream) => stream.close().await,
            PieceWriter::Cached { file, .. } => {
                file.fdatasync().await.map_err(plain)?;
                file.close().await.map_err(plain)
            }
        }
    }
}

/// Writes all of it at the end of a file of that length. A short write means that the disk is full.
async fn write_all(file: &BufferedFile, bytes: Vec<u8>, len: &mut u64) -> io::Result<()> {
    let whole = bytes.len();
    let written = file.write_at(bytes, *len).await.map_err(plain)?;
    *len += written as u64;
    if written == whole { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::ENOSPC)) }
}

/// A file that is read from its beginning.
struct PieceReader {
    file: BufferedFile,
    len: u64,
    at: u64,
}

impl Reader for PieceReader {
    type Portion = ReadResult;

    fn bytes(&self) -> u64 {
        self.len
    }

    async fn read(&mut self) -> io::Result<ReadResult> {
        let read = self.file.read_at(self.at, PIECE_BYTES).await.map_err(plain)?;
        self.at += read.len() as u64;
        Ok(read)
    }
}

/// A file that is appended to.
struct LogFile {
    file: BufferedFile,
    /// The same file, for plain calls.
    plain: std::fs::File,
    len: u64,
}

impl Appender for LogFile {
    fn bytes(&self) -> u64 {
        self.len
    }

    async fn append(&mut self, bytes: Vec<u8>) -> io::Result<()> {
        write_all(&self.file, bytes, &mut self.len).await
    }

    fn append_now(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.plain.write_all_at(bytes, self.len)?;
        self.len += bytes.len() as u64;
        Ok(())
    }

    fn sync_now(&mut self) -> io::Result<()> {
        self.plain.sync_data()
    }

    async fn sync(&mut self) -> io::Result<()> {
        self.file.fdatasync().await.map_err(plain)
    }

    async fn cut(&mut self, len: u64) -> io::Result<()> {
        // Even if it fails, what is written next begins there.
        self.len = len;
        self.file.truncate(len).await.map_err(plain)
    }
}
