//! Who listens to which channel, who is told when keys change, and the order of all that is published: one exchange for
//! all cores.
//!
//! In: subscriptions, and messages from any core. Out: parcels in the box of each core that has listeners, and how many
//! clients a message reaches. Delivery to the connections is the core's (`server::mail`).
//!
//! Why one lock. A single-threaded Redis gives all messages one order: two subscribers never see A, B and B, A, a pattern
//! subscriber sees the messages of several channels in the order in which everybody else does, and the number that PUBLISH
//! answers is the number of those that were subscribed at that moment. So a publication takes its place, finds its
//! audience and lays its parcels into all boxes under one short lock, and subscriptions change under the same one. While
//! nobody listens at all, a publication is one load.
//!
//! Why boxes, and not messages of the mesh. A PUBLISH that was answered must come before whatever a subscriber's client does
//! next. A box is filled before the answer is written, and a core empties its own box at the start of every event, so it
//! cannot answer a later command first; a message of the mesh may still be on its way.
//!
//! Invariants: P1, places grow by one with each publication that somebody receives, and each box is in their order;
//! P2, what lies in a box is visible to whoever sees its place; P3, a parcel names its receivers as they were at its place;
//! P4, a core changes its clients' subscriptions only with its own box empty, so that everything before is before.
//! Absent: connections, protocols in force, limits on output.

mod audience;
mod books;
mod parcel;
#[cfg(test)]
mod tests;
mod trackers;

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::*};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::base::glob;
use audience::Audience;
pub use books::{Books, Counts};
pub use parcel::{Message, Parcel};
pub use trackers::{Gauge, Invalidations, Overlap, Trackers};

/// What a client may subscribe to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Channel,
    Pattern,
    ShardChannel,
}

/// A channel or a pattern, shared by all who mention it.
type Name = Arc<[u8]>;

/// A core's box holds something. Aligned so that flags do not share a cache line.
#[derive(Default)]
#[repr(align(128))]
struct Flag(AtomicBool);

pub struct Exchange {
    /// Subscriptions of all clients; 0 on a server that uses none.
    subscriptions: Arc<AtomicUsize>,
    /// The place of the latest message.
    place: AtomicU64,
    full: Box<[Flag]>,
    /// How much is tracked for clients that cache.
    pub tracked: Arc<Gauge>,
    books: Mutex<Books>,
}

impl Exchange {
    /// An exchange between `cores` cores.
    pub fn new(cores: usize, hash_seed: u64) -> Self {
        let subscriptions = Arc::new(AtomicUsize::new(0));
        let tracked = Arc::new(Gauge::default());
        let books = Books::new(cores, hash_seed, subscriptions.clone(), tracked.clone());
        Self {
            subscriptions,
            place: AtomicU64::new(0),
            full: (0..cores).map(|_| Flag::default()).collect(),
            tracked,
            books: Mutex::new(books),
        }
    }

    pub fn lock(&self) -> MutexGuard<'_, Books> {
        self.books.lock().expect("nobody panics holding the books")
    }

    /// Nobody listens to anything: whoever would publish can spare itself the making of the message.
    #[inline]
    pub fn is_silent(&self) -> bool {
        self.subscriptions.load(Acquire) == 0
    }

    /// The place of the latest message: what a command does after this look comes after that message.
    #[inline]
    pub fn place(&self) -> u64 {
        self.place.load(Acquire)
    }

    /// Something was published for clients of `core`.
    #[inline]
    pub fn has_mail(&self, core: usize) -> bool {
        self.full[core].0.load(Acquire)
    }

    /// Publishes to a channel, or to a shard channel: from any core, at any moment. `wake` is called with the number of each
    /// core whose box was empty. Returns how many clients receive it.
    pub fn publish(&self, kind: Kind, channel: &[u8], message: &[u8], mut wake: impl FnMut(usize)) -> usize {
        if self.is_silent() {
            return 0;
        }
        let mut books = self.lock();
        let Books { channels, shard_channels, patterns, boxes, .. } = &mut *books;
        let place = self.place.load(Relaxed) + 1;
        let (mut receivers, mut shared) = (0, None);
        let mut send = |audience: &Audience, pattern: Option<&Name>| {
            let message = shared.get_or_insert_with(|| Arc::new(Message::new(kind, place, channel, message)));
            for group in audience.groups() {
                let core = group.core as usize;
                receivers += group.seats.len();
                boxes[core].push(Parcel {
                    message: message.clone(),
                    pattern: pattern.cloned(),
                    seats: group.seats.clone(),
                });
                if !self.full[core].0.load(Relaxed) {
                    self.full[core].0.store(true, Release);
                    wake(core);
                }
            }
        };
        match kind {
            Kind::ShardChannel => shard_channels.get(channel).into_iter().for_each(|all| send(all, None)),
            _ => {
                channels.get(channel).into_iter().for_each(|all| send(all, None));
                for (pattern, audience) in &*patterns {
                    if glob::matches(pattern, channel, false) {
                        send(audience, Some(pattern));
                    }
                }
            }
        }
        if receivers > 0 {
            // P2: the boxes are full before anybody can see the place.
            self.place.store(place, Release);
        }
        receivers
    }

    /// Empties the box of `core` into `parcels`, which is empty: in the order of their places.
    pub fn collect(&self, core: usize, parcels: &mut Vec<Parcel>) {
        self.empty(&mut self.lock(), core, parcels);
    }

    /// The books, if the box of `core` is empty; otherwise empties it, and the books come another time (P4).
    pub fn lock_empty(&self, core: usize, parcels: &mut Vec<Parcel>) -> Option<MutexGuard<'_, Books>> {
        let mut books = self.lock();
        if books.boxes[core].is_empty() {
            return Some(books);
        }
        self.empty(&mut books, core, parcels);
        None
    }

    fn empty(&self, books: &mut Books, core: usize, parcels: &mut Vec<Parcel>) {
        debug_assert!(parcels.is_empty());
        std::mem::swap(&mut books.boxes[core], parcels);
        self.full[core].0.store(false, Relaxed);
    }
}
