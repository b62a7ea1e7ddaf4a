//! The real executor on a real disk: what it writes and reads, and that it never sleeps through work.

use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::executor::{Link, start};
use super::*;
use crate::persist::aof::{Begin, Mark, Source, Unit};

/// A link over a queue under a lock, with the flag of the mesh's protocol.
struct TestLink {
    shared: Arc<Mutex<Queue>>,
    done: Sender<(usize, Done)>,
}

#[derive(Default)]
struct Queue {
    jobs: std::collections::VecDeque<(usize, Job)>,
    asleep: bool,
}

impl Link for TestLink {
    fn receive(&mut self) -> Option<(usize, Job)> {
        self.shared.lock().unwrap().jobs.pop_front()
    }

    fn send(&mut self, core: usize, done: Done) {
        // The test may be over.
        let _ = self.done.send((core, done));
    }

    fn flush(&mut self) -> bool {
        true
    }

    fn announce_sleep(&mut self) -> bool {
        let mut queue = self.shared.lock().unwrap();
        queue.asleep = queue.jobs.is_empty();
        queue.asleep
    }

    fn announce_awake(&mut self) {
        self.shared.lock().unwrap().asleep = false;
    }
}

/// The other end: a core of the test.
struct Cores {
    shared: Arc<Mutex<Queue>>,
    bell: Bell,
    done: Receiver<(usize, Done)>,
}

impl Cores {
    fn start() -> Cores {
        let (shared, bell) = (Arc::<Mutex<Queue>>::default(), Bell::default());
        let (sender, done) = channel();
        start(TestLink { shared: shared.clone(), done: sender }, bell.clone()).unwrap();
        Cores { shared, bell, done }
    }

    fn send(&self, core: usize, job: Job) {
        let wake = {
            let mut queue = self.shared.lock().unwrap();
            queue.jobs.push_back((core, job));
            std::mem::take(&mut queue.asleep)
        };
        if wake {
            self.bell.ring();
        }
    }

    fn next(&self) -> (usize, Done) {
        self.done.recv_timeout(Duration::from_secs(20)).expect("the storage thread slept through a job")
    }

    /// What the owner of the log is told next.
    fn next_news(&self) -> LogNews {
        loop {
            if let (1, Done::Log(news)) = self.next() {
                return news;
            }
        }
    }
}

/// A folder that goes with its value.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let name = format!("ringfort-storage-{}-{}", std::process::id(), NUMBER.fetch_add(1, Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Ends a file with the number of its bytes.
struct Count(u64);

impl Seal for Count {
    fn take_in(&mut self, bytes: &[u8]) {
        self.0 += bytes.len() as u64;
    }

    fn end(&mut self) -> Vec<u8> {
        self.0.to_string().into_bytes()
    }
}

fn save(folder: &Folder, stream: StreamId, producers: usize) -> Job {
    Job::Save(Box::new(Save {
        stream,
        owner: 0,
        producers,
        makes_directory: false,
        temporary: folder.0.join("temporary"),
        target: folder.0.join("target"),
        head: b"head".to_vec(),
        seal: Box::new(Count(0)),
    }))
}

fn chunk(stream: StreamId, producer: usize, bytes: Vec<u8>, open: bool) -> Job {
    Job::Chunk { stream, producer, bytes, open }
}

/// Waits for the end of a save; how many bytes there was room for again by then.
fn saved(cores: &Cores) -> (usize, Result<u64, Failure>) {
    let mut room = 0;
    loop {
        match cores.next().1 {
            Done::Room { bytes, .. } => room += bytes,
            Done::Saved { result, .. } => return (room, result),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_save_is_whole_and_its_records_are_not_torn() {
    let (cores, folder) = (Cores::start(), Folder::new());
    // A chunk may come before the job that opens its stream.
    cores.send(1, chunk(1, 1, b"<one ".to_vec(), true));
    cores.send(0, save(&folder, 1, 2));
    cores.send(0, chunk(1, 0, b"(two)".to_vec(), false));
    cores.send(0, Job::End { stream: 1 });
    cores.send(1, chunk(1, 1, b"goes on>".to_vec(), false));
    cores.send(1, chunk(1, 1, vec![b'x'; 3_000_000], false));
    cores.send(1, Job::End { stream: 1 });
    let (room, result) = saved(&cores);
    let file = std::fs::read(folder.0.join("target")).unwrap();
    assert_eq!((room, result), (3_000_018, Ok(file.len() as u64)));
    assert!(file.starts_with(b"head<one goes on>(two)xxx") && file.ends_with(b"x3000022"));
    assert_eq!(folder.names(), ["target"]);
    assert_eq!(file.len(), 3_000_022 + 7);
}

#[test]
fn a_save_that_is_cancelled_leaves_nothing() {
    let (cores, folder) = (Cores::start(), Folder::new());
    cores.send(0, save(&folder, 1, 2));
    cores.send(0, chunk(1, 0, vec![0; 100], false));
    cores.send(1, Job::Cancel { stream: 1 });
    assert_eq!(saved(&cores), (100, Err(Failure::Cancelled)));
    cores.send(0, chunk(1, 0, vec![0; 50], true));
    assert!(
        matches!(cores.next(), (0, Done::Room { bytes: 50, .. })),
        "who comes late hears of room all the same"
    );
    assert!(folder.names().is_empty());
    // The cancellation may come first.
    cores.send(1, Job::Cancel { stream: 2 });
    cores.send(0, save(&folder, 2, 1));
    assert_eq!(saved(&cores), (0, Err(Failure::Cancelled)));
    assert!(folder.names().is_empty());
}

#[test]
fn a_directory_that_is_not_there_is_an_error() {
    let (cores, folder) = (Cores::start(), Folder(PathBuf::from("/nonexistent/ringfort")));
    cores.send(0, chunk(1, 0, vec![0; 10], false));
    cores.send(0, save(&folder, 1, 1));
    let (room, result) = saved(&cores);
    let Err(Failure::System { doing: Doing::Open, code, .. }) = result else { panic!("{result:?}") };
    assert_eq!((room, code), (10, Some(libc::ENOENT)));
}

/// A chunk with one command of the unit with this stamp.
pub fn unit(stamp: u64, words: &[&str]) -> Box<Chunk> {
    let (mut unit, mut chunk) = (Unit::default(), Chunk::default());
    unit.push(0, words.len(), words.iter().map(|word| word.as_bytes()));
    chunk.push(stamp, &unit);
    Box::new(chunk)
}

pub fn mark(stamp: u64, mark: Mark) -> Box<Chunk> {
    let mut chunk = Chunk::default();
    chunk.mark(stamp, mark);
    Box::new(chunk)
}

const SELECT: &str = "*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n";
const PING: &str = "*1\r\n$4\r\nPING\r\n";

#[test]
fn a_log_goes_on_turns_and_gets_a_new_base() {
    let (cores, folder) = (Cores::start(), Folder::new());
    let path = |name: &str| folder.0.join(name);
    let text = |name: &str| std::fs::read_to_string(path(name)).unwrap();
    std::fs::write(path("a.1.incr.aof"), format!("{PING}torn")).unwrap();
    let manifest = Manifest::parse(b"file a.1.incr.aof seq 1 type i\n").unwrap();
    let progress = Arc::new(Progress::new(2));
    let log = Log { owner: 1, name: "a".into(), manifest, progress: progress.clone(), cores: 2 };
    cores.send(1, Job::Log(Box::new(log)));
    let append = |core, chunk, sync| cores.send(core, Job::Append { chunk, sync });
    let files = Source::Files {
        cut: Some(PING.len() as u64),
        last_bytes: PING.len() as u64,
        bytes_before: 0,
        base_bytes: 0,
        empty: Vec::new(),
    };
    let begin = Begin { directory: folder.0.clone(), form: BaseForm::Rdb, source: files };
    append(1, mark(0, Mark::Begin(Box::new(begin))), true);
    assert!(matches!(cores.next(), (1, Done::Log(LogNews::Begun(Ok(()))))));
    // Unit 2 waits for unit 1, and whoever waits is told when it is there.
    progress.wait(0);
    append(0, unit(2, &["PING"]), true);
    append(1, unit(1, &["PING"]), true);
    while progress.durable() < 3 {
        assert!(matches!(cores.next(), (0, Done::Logged)));
        progress.wait(0);
    }
    assert_eq!(text("a.1.incr.aof"), format!("{PING}{SELECT}{PING}{PING}"));
    // The base of what is before unit 4 arrives.
    append(0, mark(3, Mark::Turn { directory: folder.0.clone(), base: 7 }), true);
    append(0, unit(4, &["PING"]), true);
    std::fs::write(path("temporary"), "base").unwrap();
    let base = Base { path: path("temporary"), form: BaseForm::Rdb, bytes: 4, began_s: 0 };
    cores.send(0, Job::Rebase { stream: 7, base: Some(Box::new(base)) });
    let news = [cores.next_news(), cores.next_news()];
    assert!(
        matches!(news, [LogNews::Turned(Ok(())), LogNews::Rebased { stream: 7, result: Ok(()), .. }]),
        "{news:?}"
    );
    assert_eq!(folder.names(), ["a.1.base.rdb", "a.2.incr.aof", "a.manifest"]);
    assert_eq!(text("a.manifest"), "file a.1.base.rdb seq 1 type b\nfile a.2.incr.aof seq 2 type i\n");
    assert_eq!((text("a.1.base.rdb"), text("a.2.incr.aof")), ("base".into(), format!("{SELECT}{PING}")));
    assert_eq!(progress.bytes.load(Relaxed), 4 + (SELECT.len() + PING.len()) as u64);
    // A directory that somebody removed is made anew, whoever needs it first.
    std::fs::remove_dir_all(&folder.0).unwrap();
    append(0, mark(5, Mark::Turn { directory: folder.0.clone(), base: 8 }), true);
    let turned = cores.next_news();
    assert!(matches!(turned, LogNews::Turned(Ok(()))), "{turned:?}");
    assert_eq!(folder.names(), ["a.3.incr.aof", "a.manifest"]);
}

/// Makes a parcel of every portion, for one core after the other.
struct Portions(usize);

impl Intake for Portions {
    fn feed(&mut self, portion: &[u8], out: &mut Vec<(usize, Cargo)>) -> Result<(), Failure> {
        assert!(portion.iter().all(|&byte| byte == b'x'));
        self.0 += 1;
        out.push((self.0 % 2, Cargo::Entries(Parcel::default())));
        Ok(())
    }

    fn end(&mut self, _out: &mut Vec<(usize, Cargo)>) -> Result<(), Failure> {
        Ok(())
    }
}

#[test]
fn loading_waits_for_the_cores() {
    let (cores, folder) = (Cores::start(), Folder::new());
    let path = folder.0.join("file");
    const BYTES: usize = 40 << 20;
    std::fs::write(&path, vec![b'x'; BYTES]).unwrap();
    cores.send(0, Job::Load(Box::new(Load { stream: 1, owner: 0, path, intake: Box::new(Portions(0)) })));
    assert!(matches!(cores.next().1, Done::Loading { bytes, .. } if bytes == BYTES as u64));
    // Nobody takes a parcel: reading stops.
    let mut waiting: Vec<usize> = (0..8).map(|_| cores.next().0).collect();
    std::thread::sleep(Duration::from_millis(300));
    waiting.extend(cores.done.try_iter().map(|(core, _)| core));
    assert!(waiting.len() <= 16, "{}", waiting.len());
    loop {
        for core in waiting.drain(..) {
            cores.send(core, Job::Taken { stream: 1, sound: true });
        }
        match cores.next() {
            (core, Done::Cargo { .. }) => waiting.push(core),
            (_, Done::Loaded { result, .. }) => break assert_eq!(result, Ok(BYTES as u64)),
            other => panic!("{other:?}"),
        }
    }
}

/// Jobs with pauses of all lengths between them, in idle and while a file is written: none is slept through. The real
/// protocol of the mesh is checked by loom; this is about glommio's waker and its sleep.
#[test]
fn no_job_is_slept_through() {
    const JOBS: usize = 20_000;
    let (cores, folder) = (Cores::start(), Folder::new());
    let mut random = 12345u64;
    let mut worst = Duration::ZERO;
    for busy in [false, true] {
        let stream = 1 + busy as u64;
        cores.send(0, save(&folder, stream, 1));
        for number in 0..JOBS {
            random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let pause_us = (random >> 33) % 60;
            let begin = Instant::now();
            while begin.elapsed() < Duration::from_micros(pause_us) {
                std::hint::spin_loop();
            }
            let bytes = if busy { 2000 } else { 1 };
            let sent = Instant::now();
            cores.send(0, chunk(stream, 0, vec![0; bytes], false));
            match cores.next().1 {
                Done::Room { .. } => worst = worst.max(sent.elapsed()),
                other => panic!("job {number}: {other:?}"),
            }
        }
        cores.send(0, Job::End { stream });
        assert!(saved(&cores).1.is_ok());
    }
    println!("the longest answer took {worst:?}");
}
