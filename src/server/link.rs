//! The storage thread's place in the mesh: behind the cores, as if it were one more.
//! In: messages of cores. Out: jobs for the hub, completions for cores.

use std::sync::atomic::Ordering::Acquire;

use super::batch::Message;
use super::driver::RingFds;
use crate::mesh::Port;
use crate::net::Bellboy;
use crate::storage::executor::Link;
use crate::storage::{Done, Job};

pub struct StorageLink {
    port: Port<Message>,
    rings: RingFds,
    bellboy: Bellboy,
}

impl StorageLink {
    pub fn new(port: Port<Message>, rings: RingFds, bellboy: Bellboy) -> Self {
        Self { port, rings, bellboy }
    }
}

impl Link for StorageLink {
    fn receive(&mut self) -> Option<(usize, Job)> {
        let (from, message) = self.port.receive()?;
        match message {
            Message::Job(job) => Some((from, *job)),
            _ => unreachable!("cores send the storage thread nothing but jobs"),
        }
    }

    fn send(&mut self, core: usize, done: Done) {
        self.port.send(core, Message::Done(Box::new(done)));
    }

    fn flush(&mut self) -> bool {
        let all = self.port.flush();
        for sleeper in self.port.take_wakes() {
            self.bellboy.wake(self.rings[sleeper].load(Acquire));
        }
        all
    }

    fn announce_sleep(&mut self) -> bool {
        self.port.announce_sleep()
    }

    fn announce_awake(&mut self) {
        self.port.announce_awake();
    }
}
