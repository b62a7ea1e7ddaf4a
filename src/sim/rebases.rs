//! Bases of a log on the storage thread alone, over a disk that fails: each takes its place only where nothing is said twice.
//! In: marks, units and bases in the worst order. Out: what the files say that the manifest names.

use std::path::PathBuf;
use std::sync::Arc;

use super::disk::{FakeDisk, FakeStorage};
use crate::config::Config;
use crate::persist::aof::{BaseForm, Begin, Chunk, Manifest, Mark, Progress, Source};
use crate::storage::tests::{mark, unit};
use crate::storage::{Base, Done, Failure, Job, Log, LogNews};

/// The storage thread with a log, and a core that hands over what comes next in it.
struct Bench {
    disk: FakeDisk,
    storage: FakeStorage,
    next: u64,
    news: Vec<LogNews>,
}

fn path(name: &str) -> PathBuf {
    Config::default().dir.join(name)
}

const TEMPORARY: &str = "temporary";

impl Bench {
    /// `manifest`: of the files that are there.
    fn new(disk: &FakeDisk, manifest: &str) -> Bench {
        let manifest = Manifest::parse(manifest.as_bytes()).unwrap_or_default();
        let log =
            Log { owner: 0, name: "a".into(), manifest, progress: Arc::new(Progress::new(1)), cores: 1 };
        let mut bench =
            Bench { disk: disk.clone(), storage: FakeStorage::new(disk.clone()), next: 0, news: Vec::new() };
        bench.job(Job::Log(Box::new(log)));
        bench
    }

    fn job(&mut self, job: Job) {
        for (_, done) in self.storage.job(0, job) {
            if let Done::Log(news) = done {
                self.news.push(news);
            }
        }
    }

    fn append(&mut self, chunk: impl Fn(u64) -> Box<Chunk>) {
        let chunk = chunk(self.next);
        self.next += 1;
        self.job(Job::Append { chunk, sync: false });
    }

    fn write(&mut self, word: &str) {
        self.append(|stamp| unit(stamp, &[word]));
    }

    fn begin(&mut self, source: Source) {
        let directory = Config::default().dir;
        let begin = Begin { directory, form: BaseForm::Commands, source };
        self.append(|stamp| mark(stamp, Mark::Begin(Box::new(begin.clone()))));
    }

    fn turn(&mut self, base: u64) {
        self.append(|stamp| mark(stamp, Mark::Turn { directory: Config::default().dir, base }));
    }

    /// The base of this number is saved, and has this in it.
    fn rebase(&mut self, stream: u64, text: &str) {
        self.disk.replace_file(&path(TEMPORARY), text.into());
        let base = Base {
            path: path(TEMPORARY),
            form: BaseForm::Commands,
            bytes: text.len() as u64,
            began_s: stream as i64,
        };
        self.job(Job::Rebase { stream, base: Some(Box::new(base)) });
    }

    /// How the base of this number ended.
    fn rebased(&self, number: u64) -> Option<&Result<(), Failure>> {
        self.news.iter().rev().find_map(|news| match news {
            LogNews::Rebased { stream, began_s, result } if *stream == number => {
                assert_eq!(*began_s, number as i64);
                Some(result)
            }
            _ => None,
        })
    }

    /// All that the log says that the manifest names.
    fn text(&self) -> String {
        let manifest = self.disk.read_file(&path("a.manifest")).map(|text| Manifest::parse(&text).unwrap());
        let names = manifest.iter().flat_map(Manifest::files).map(|file| path(&file.name));
        let files = names.map(|path| self.disk.read_file(&path).expect("a file that is named is there"));
        String::from_utf8(files.flatten().collect()).unwrap()
    }

    fn has_temporary(&self) -> bool {
        self.disk.read_file(&path(TEMPORARY)).is_some()
    }
}

fn no_files() -> Source {
    Source::Files { cut: None, last_bytes: 0, bytes_before: 0, base_bytes: 0, empty: Vec::new() }
}

/// A base of a log that had not turned took the place of the wrong files: the last increment said again what it has.
#[test]
fn whichever_operation_of_a_rewrite_fails_nothing_is_said_twice() {
    let mut refused = 0;
    for number in 0.. {
        let disk = FakeDisk::default();
        let mut bench = Bench::new(&disk, "");
        bench.begin(no_files());
        bench.write("ONE");
        disk.fail_at(Some(number));
        bench.turn(5);
        bench.write("TWO");
        bench.rebase(5, "ONE");
        let failed = disk.operations() > number;
        disk.fail_at(None);
        bench.job(Job::Sync);
        bench.write("THREE");
        bench.job(Job::Sync);
        let text = bench.text();
        for word in ["ONE", "TWO", "THREE"] {
            assert_eq!(text.matches(word).count(), 1, "operation {number}: {word} in {text}");
        }
        assert!(!bench.has_temporary(), "operation {number}");
        let turned = bench.news.iter().any(|news| matches!(news, LogNews::Turned(Ok(()))));
        refused += !turned as u64;
        assert!(turned || bench.rebased(5).is_some_and(|result| result.is_err()), "operation {number}");
        if !failed {
            assert_eq!(bench.rebased(5), Some(&Ok(())));
            break;
        }
    }
    assert!(refused > 3, "a turn has more operations than {refused}");
}

/// A base that waited while the log ended and began anew was taken for one of the new log, which it knows nothing of.
#[test]
fn a_base_of_a_log_that_ended_is_none_of_the_next() {
    for begins_off in [false, true] {
        let disk = FakeDisk::default();
        let mut bench = Bench::new(&disk, "");
        if !begins_off {
            bench.begin(Source::Memory);
        }
        bench.turn(1);
        if !begins_off {
            bench.append(|stamp| mark(stamp, Mark::End));
        }
        bench.begin(Source::Memory);
        bench.turn(2);
        bench.write("TWO");
        bench.rebase(1, "OLD");
        assert_eq!(bench.rebased(1), Some(&Err(Failure::Cancelled)));
        assert_eq!((bench.text(), bench.has_temporary()), (String::new(), false));
        bench.rebase(2, "NEW");
        bench.job(Job::Sync);
        assert_eq!(bench.rebased(2), Some(&Ok(())));
        let text = bench.text();
        assert!(text.starts_with("NEW") && text.contains("TWO"), "{text}");
    }
}

/// A base comes before its mark was reached, after another one that came to nothing.
#[test]
fn a_base_waits_for_its_own_mark() {
    let disk = FakeDisk::default();
    let mut bench = Bench::new(&disk, "");
    bench.begin(no_files());
    bench.write("ONE");
    bench.turn(1);
    bench.rebase(2, "ONE TWO");
    bench.job(Job::Rebase { stream: 1, base: None });
    assert_eq!(bench.rebased(2), None);
    bench.write("TWO");
    bench.turn(2);
    bench.write("THREE");
    assert_eq!(bench.rebased(2), Some(&Ok(())));
    bench.job(Job::Sync);
    let text = bench.text();
    for word in ["ONE", "TWO", "THREE"] {
        assert_eq!(text.matches(word).count(), 1, "{text}");
    }
}

/// The server did not start where it may read its base only, although there was nothing to be done to it.
#[test]
fn a_base_that_nobody_may_write_is_left_as_it_is() {
    for (cut, sound) in [(None, true), (Some(3), false)] {
        let disk = FakeDisk::default();
        let base = "a.1.base.aof";
        disk.replace_file(&path(base), b"ONE TWO".into());
        disk.protect(&path(base));
        let mut bench = Bench::new(&disk, &format!("file {base} seq 1 type b\n"));
        bench.begin(Source::Files {
            cut,
            last_bytes: cut.unwrap_or(7),
            bytes_before: 0,
            base_bytes: 0,
            empty: Vec::new(),
        });
        assert!(matches!(&bench.news[..], [LogNews::Begun(result)] if result.is_ok() == sound), "{cut:?}");
        if sound {
            bench.write("THREE");
            bench.job(Job::Sync);
            let text = bench.text();
            assert!(text.starts_with("ONE TWO") && text.contains("THREE"), "{text}");
        }
    }
}
