//! Routes jobs to the tasks of their streams, and starts these.
//! In: jobs, each with the core that it comes from. Out: tasks to be run, jobs in their mailboxes.
//!
//! A stream's jobs that come before the one that opens it wait in its mailbox. Those of a stream that has ended are answered
//! here: there is one save at a time, and its number is higher than any before, so that a number tells.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use super::disk::Disk;
use super::mailbox::Mailbox;
use super::{Done, Job, LOG, StreamId, load, log, save};

/// How to run a task beside the others.
pub type Spawn = Rc<dyn Fn(Pin<Box<dyn Future<Output = ()>>>)>;
/// How to tell a core.
pub type Deliver = Rc<dyn Fn(usize, Done)>;
/// Jobs of one stream, with the cores that they come from.
pub type Jobs = Mailbox<(usize, Job)>;

/// The mailboxes of the streams that live, and the highest number of a save that does not.
#[derive(Default)]
pub struct Streams {
    open: RefCell<HashMap<StreamId, Jobs>>,
    saves_ended: Cell<StreamId>,
}

impl Streams {
    fn mailbox(&self, stream: StreamId) -> Jobs {
        self.open.borrow_mut().entry(stream).or_default().clone()
    }

    fn close(&self, stream: StreamId) -> Option<Jobs> {
        self.open.borrow_mut().remove(&stream)
    }
}

pub struct Hub<D: Disk> {
    disk: D,
    streams: Rc<Streams>,
    spawn: Spawn,
    deliver: Deliver,
    dozes: Cell<bool>,
}

impl<D: Disk> Hub<D> {
    pub fn new(disk: D, spawn: Spawn, deliver: Deliver) -> Self {
        Self { disk, streams: Rc::default(), spawn, deliver, dozes: Cell::new(false) }
    }

    /// Takes a job of a core.
    pub fn job(&self, from: usize, job: Job) {
        match job {
            Job::Save(save) => self.save(*save),
            Job::Chunk { stream, .. } | Job::End { stream } | Job::Cancel { stream } => {
                if stream <= self.streams.saves_ended.get() {
                    drop_late(from, job, &self.deliver);
                } else {
                    self.streams.mailbox(stream).put((from, job));
                }
            }
            Job::Load(load) => {
                let (jobs, disk, deliver) =
                    (self.streams.mailbox(load.stream), self.disk.clone(), self.deliver.clone());
                let (streams, stream) = (self.streams.clone(), load.stream);
                (self.spawn)(Box::pin(async move {
                    load::run(disk, *load, jobs, deliver).await;
                    streams.close(stream);
                }));
            }
            Job::Log(log) => {
                let (jobs, disk, deliver) =
                    (self.streams.mailbox(LOG), self.disk.clone(), self.deliver.clone());
                (self.spawn)(Box::pin(log::run(disk, *log, jobs, deliver)));
            }
            Job::Append { sync, .. } => {
                self.dozes.set(self.dozes.get() | !sync);
                self.streams.mailbox(LOG).put((from, job));
            }
            Job::Sync | Job::Rebase { .. } => self.streams.mailbox(LOG).put((from, job)),
            Job::Taken { stream, .. } => self.streams.mailbox(stream).put((from, job)),
        }
    }

    /// Whether there was something since this was last asked that is better taken together with what follows it.
    pub fn may_doze(&self) -> bool {
        self.dozes.take()
    }

    fn save(&self, save: super::Save) {
        let stream = save.stream;
        if stream <= self.streams.saves_ended.get() {
            (self.deliver)(save.owner, Done::Saved { stream, result: Err(super::Failure::Cancelled) });
            return;
        }
        let (jobs, disk, deliver) = (self.streams.mailbox(stream), self.disk.clone(), self.deliver.clone());
        let streams = self.streams.clone();
        (self.spawn)(Box::pin(async move {
            let owner = save.owner;
            let result = save::run(disk, save, &jobs, &deliver).await;
            streams.saves_ended.set(streams.saves_ended.get().max(stream));
            streams.close(stream);
            while let Some((from, job)) = jobs.try_next() {
                drop_late(from, job, &deliver);
            }
            deliver(owner, Done::Saved { stream, result });
        }));
    }
}

/// Answers a job for a save that is over.
fn drop_late(from: usize, job: Job, deliver: &Deliver) {
    if let Job::Chunk { bytes: mut buffer, .. } = job {
        let bytes = buffer.len();
        buffer.clear();
        deliver(from, Done::Room { bytes, buffer });
    }
}
