//! What the tasks of the storage thread need of a disk. `executor` has the real one.
//! In: paths and buffers. Out: errors of the system, and bytes.
//! Absent: what to do about an error.
#![allow(async_fn_in_trait)] // The tasks stay on one thread: nothing has to be Send.

use std::io;
use std::path::Path;

pub trait Disk: Clone + 'static {
    type Writer: Writer;
    type Reader: Reader;
    type Appender: Appender;

    /// A new file, written from its beginning.
    async fn create(&self, path: &Path) -> io::Result<Self::Writer>;
    async fn open(&self, path: &Path) -> io::Result<Self::Reader>;
    /// A file to be appended to, made if it is absent. `from`: what is behind is cut off.
    async fn append(&self, path: &Path, from: Option<u64>) -> io::Result<Self::Appender>;
    /// A directory, if it is not there already.
    async fn make_directory(&self, path: &Path) -> io::Result<()>;
    async fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    async fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes names in a directory durable.
    async fn sync_directory(&self, path: &Path) -> io::Result<()>;
}

pub trait Writer: 'static {
    /// Writes all of it.
    async fn write(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// All that was written is durable.
    async fn finish(self) -> io::Result<()>;
}

pub trait Reader: 'static {
    type Portion: std::ops::Deref<Target = [u8]>;

    fn bytes(&self) -> u64;
    /// The next bytes, a portion of a size that suits the disk; empty at the end.
    async fn read(&mut self) -> io::Result<Self::Portion>;
}

pub trait Appender: 'static {
    fn bytes(&self) -> u64;
    async fn append(&mut self, bytes: Vec<u8>) -> io::Result<()>;
    /// Appends, and returns when the bytes are written: the shortest way to a `sync_now` behind it.
    fn append_now(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// All that was appended is durable; nothing else is done meanwhile.
    fn sync_now(&mut self) -> io::Result<()>;
    /// All that was appended is durable.
    async fn sync(&mut self) -> io::Result<()>;
    /// Cuts off what is behind, after a failure. If that fails, too, what is appended next overwrites it.
    async fn cut(&mut self, len: u64) -> io::Result<()>;
}
