//! The clients whose keys are tracked, how each wants to be told, and the messages that tell them.
//! In: CLIENT TRACKING, changes of keys with the clients that read them. Out: parcels in the boxes.
//! Invariants: T1, a client is listed with exactly the prefixes that it lists; T2, no prefix is without clients.
//! Absent: which client read which key (`shard::tracking`).
//!
//! Who receives a message, and in which form, is decided under the lock, at its place: commands that change the
//! protocol, the subscriptions or the tracking of a client run with its core's box empty (P4).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::*};
use std::sync::{Arc, MutexGuard};

use smallvec::SmallVec;

use super::{Books, Exchange, Message, Name, Parcel};
use crate::client::{Card, Clients, ConnectionId, Tracking, flag};
use crate::resp::Out;

/// Where clients that speak RESP2 hear of invalidations.
const CHANNEL: &[u8] = b"__redis__:invalidate";
/// A client in the gauge's word; keys are counted below.
const CLIENT: u64 = 1 << 40;

/// How much there is to track: 0 on a server that tracks nothing.
#[derive(Default)]
pub struct Gauge {
    /// Clients with tracking, times `CLIENT`, plus keys remembered in all shards.
    word: AtomicU64,
    prefixes: AtomicUsize,
}

impl Gauge {
    #[inline]
    pub fn is_idle(&self) -> bool {
        self.word.load(Acquire) == 0
    }

    /// Whether some client hears of prefixes.
    pub fn has_prefixes(&self) -> bool {
        self.prefixes.load(Acquire) > 0
    }

    /// Keys remembered.
    pub fn keys(&self) -> u64 {
        self.word.load(Acquire) % CLIENT
    }

    /// A shard remembers so many keys more, or less.
    pub fn add_keys(&self, growth: i64) {
        if growth != 0 {
            self.word.fetch_add(growth as u64, AcqRel);
        }
    }
}

/// A client with tracking.
struct Tracker {
    card: Arc<Card>,
    how: Tracking,
    /// The client that hears in its place; 0: none.
    redirect: u64,
    prefixes: BTreeSet<Name>,
}

/// A prefix overlaps another one: of the same command, or one that the client has.
pub struct Overlap {
    pub prefix: Vec<u8>,
    pub other: Vec<u8>,
    pub is_new: bool,
}

pub struct Trackers {
    gauge: Arc<Gauge>,
    /// By client id.
    clients: BTreeMap<u64, Tracker>,
    prefixes: BTreeMap<Name, BTreeSet<u64>>,
}

impl Trackers {
    pub(super) fn new(gauge: Arc<Gauge>) -> Self {
        Self { gauge, clients: BTreeMap::new(), prefixes: BTreeMap::new() }
    }

    /// Begins to track for a client, or changes how. Prefixes are added to those that it has.
    pub fn enable(&mut self, card: Arc<Card>, how: Tracking, redirect: u64, prefixes: &[&[u8]]) {
        card.redirect.store(redirect as i64, Relaxed);
        card.redirect_broken.store(false, Relaxed);
        let id = card.id;
        let gauge = &self.gauge;
        let tracker = self.clients.entry(id).or_insert_with(|| {
            gauge.word.fetch_add(CLIENT, AcqRel);
            Tracker { card, how, redirect, prefixes: BTreeSet::new() }
        });
        (tracker.how, tracker.redirect) = (how, redirect);
        for &prefix in prefixes {
            let known = self.prefixes.get_key_value(prefix);
            let name = known.map_or_else(|| Name::from(prefix), |(name, _)| name.clone());
            tracker.prefixes.insert(name.clone());
            self.prefixes.entry(name).or_default().insert(id);
        }
        self.gauge.prefixes.store(self.prefixes.len(), Release);
    }

    /// Tracks no longer for a client, if at all.
    pub fn disable(&mut self, id: u64) {
        let Some(tracker) = self.clients.remove(&id) else { return };
        tracker.card.redirect.store(-1, Relaxed);
        tracker.card.redirect_broken.store(false, Relaxed);
        for prefix in &tracker.prefixes {
            let clients = self.prefixes.get_mut(prefix).expect("T1: the client is listed");
            clients.remove(&id);
            if clients.is_empty() {
                self.prefixes.remove(prefix);
            }
        }
        self.gauge.prefixes.store(self.prefixes.len(), Release);
        self.gauge.word.fetch_sub(CLIENT, AcqRel);
    }

    /// The first of `prefixes` that overlaps one that the client has, or a later one.
    pub fn overlap(&self, id: u64, prefixes: &[&[u8]]) -> Option<Overlap> {
        let overlap = |a: &[u8], b: &[u8]| a.starts_with(b) || b.starts_with(a);
        for (at, &prefix) in prefixes.iter().enumerate() {
            let found = |other: &[u8], is_new| Overlap { prefix: prefix.into(), other: other.into(), is_new };
            let own =
                self.clients.get(&id).and_then(|one| one.prefixes.iter().find(|own| overlap(own, prefix)));
            if let Some(own) = own {
                return Some(found(own, false));
            }
            if let Some(&other) = prefixes[at + 1..].iter().find(|other| overlap(other, prefix)) {
                return Some(found(other, true));
            }
        }
        None
    }

    /// The prefixes that a client hears of.
    pub fn prefixes_of(&self, id: u64) -> Vec<Name> {
        self.clients.get(&id).map_or_else(Vec::new, |tracker| tracker.prefixes.iter().cloned().collect())
    }

    /// Different prefixes that clients hear of.
    pub fn prefixes(&self) -> usize {
        self.prefixes.len()
    }
}

/// Where a message goes, and in which form.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Receiver {
    /// As a push of RESP3, or as a message of the channel.
    push: bool,
    seat: ConnectionId,
}

/// What one command, or what else changed keys, has to tell: all of it under one lock.
pub struct Invalidations<'a> {
    exchange: &'a Exchange,
    books: MutexGuard<'a, Books>,
    all: &'a Clients,
    /// What is for this client is written here, and goes into no box.
    aside: Option<(ConnectionId, &'a mut Vec<u8>)>,
    /// Cores whose boxes were empty.
    pub woken: SmallVec<[usize; 4]>,
}

impl Exchange {
    /// Begins to tell of changes. What is for the client `aside` is written at once, where its next reply goes.
    pub fn invalidations<'a>(
        &'a self,
        all: &'a Clients,
        aside: Option<(ConnectionId, &'a mut Vec<u8>)>,
    ) -> Invalidations<'a> {
        Invalidations { exchange: self, books: self.lock(), all, aside, woken: SmallVec::new() }
    }
}

impl Invalidations<'_> {
    /// A key that these clients read changed, while a command of client `who` ran (0: of nobody).
    pub fn key(&mut self, key: &[u8], readers: &[u64], who: u64) {
        let wants = |tracker: &Tracker| {
            let its_own = tracker.card.id == who;
            !tracker.how.has(if its_own { Tracking::BCAST.with(Tracking::NOLOOP) } else { Tracking::BCAST })
        };
        let ids: SmallVec<[u64; 8]> = readers
            .iter()
            .copied()
            .filter(|id| self.books.trackers.clients.get(id).is_some_and(wants))
            .collect();
        self.send(&ids, &names(&mut [key].into_iter()));
    }

    /// Everything changed: all clients with tracking are told so by a null, each in its own protocol.
    pub fn flushed(&mut self) {
        let clients = self.books.trackers.clients.values();
        let each: Vec<(u64, bool)> = clients.map(|one| (one.card.id, speaks_resp3(&one.card))).collect();
        for (id, resp3) in each {
            self.send(&[id], if resp3 { b"_\r\n" } else { b"$-1\r\n" });
        }
    }

    /// These keys changed: whoever hears of prefixes is told of those that begin so. Each key comes with the client whose
    /// command changed it; 0: none did.
    pub fn broadcast(&mut self, keys: &BTreeMap<Box<[u8]>, u64>) {
        let prefixes: Vec<Name> = self.books.trackers.prefixes.keys().cloned().collect();
        for prefix in prefixes {
            let fitting: Vec<(&[u8], u64)> = keys
                .iter()
                .filter(|(key, _)| key.starts_with(&prefix))
                .map(|(key, who)| (&**key, *who))
                .collect();
            if fitting.is_empty() {
                continue;
            }
            let Trackers { clients, prefixes, .. } = &self.books.trackers;
            let spared =
                |id: &u64| clients[id].how.has(Tracking::NOLOOP) && fitting.iter().any(|(_, who)| who == id);
            let (some, all): (Vec<u64>, Vec<u64>) = prefixes[&prefix].iter().copied().partition(spared);
            self.send(&all, &names(&mut fitting.iter().map(|(key, _)| *key)));
            for id in some {
                let others: Vec<&[u8]> =
                    fitting.iter().filter(|(_, who)| *who != id).map(|(key, _)| *key).collect();
                if !others.is_empty() {
                    self.send(&[id], &names(&mut others.into_iter()));
                }
            }
        }
    }

    /// Sends `text`, a value of the protocol, to those clients or to whom they redirected.
    fn send(&mut self, ids: &[u64], text: &[u8]) {
        let mut receivers: SmallVec<[Receiver; 4]> = SmallVec::new();
        for id in ids {
            receivers.extend(self.receiver(*id));
        }
        receivers.sort_unstable();
        for group in receivers.chunk_by(|a, b| (a.push, a.seat.core) == (b.push, b.seat.core)) {
            let seats = group.iter().map(|receiver| receiver.seat).collect();
            match group[0].push {
                true => self.post(seats, b"*2\r\n$10\r\ninvalidate\r\n", text.to_vec()),
                false => {
                    let mut tail = Vec::with_capacity(text.len() + 32);
                    Out { buf: &mut tail, resp3: false }.bulk(CHANNEL);
                    tail.extend_from_slice(text);
                    self.post(seats, b"*3\r\n$7\r\nmessage\r\n", tail);
                }
            }
        }
    }

    /// Who hears in the place of a client with tracking. Where that one is gone, the client is told so.
    fn receiver(&mut self, id: u64) -> Option<Receiver> {
        let Tracker { card, redirect, .. } = self.books.trackers.clients.get(&id)?;
        let seat = |card: &Card| Receiver { push: speaks_resp3(card), seat: card.connection() };
        if *redirect == 0 {
            return speaks_resp3(card).then(|| seat(card));
        }
        if let Some(to) = self.all.get(*redirect) {
            return (speaks_resp3(&to) || to.has(flag::PUBSUB)).then(|| seat(&to));
        }
        card.redirect_broken.store(true, Relaxed);
        if speaks_resp3(card) {
            let (seats, tail) = (vec![card.connection()], format!(":{redirect}\r\n").into_bytes());
            self.post(seats, b"*2\r\n$21\r\ntracking-redir-broken\r\n", tail);
        }
        None
    }

    /// Lays a message for clients of one core into its box.
    fn post(&mut self, mut seats: Vec<ConnectionId>, head: &'static [u8], tail: Vec<u8>) {
        let core = seats[0].core as usize;
        let place = self.exchange.place.load(Relaxed) + 1;
        let message = Message { head, place, tail };
        if let Some((seat, out)) = &mut self.aside
            && seats.contains(seat)
        {
            // Only a client that speaks RESP3 is sent anything while its command runs.
            let from = out.len();
            message.write(out);
            out[from] = b'>';
            seats.retain(|other| other != seat);
            if seats.is_empty() {
                return;
            }
        }
        self.books.boxes[core].push(Parcel {
            message: Arc::new(message),
            pattern: None,
            seats: Arc::new(seats),
        });
        if !self.exchange.full[core].0.swap(true, Release) {
            self.woken.push(core);
        }
        // P2: the box is full before anybody can see the place.
        self.exchange.place.store(place, Release);
    }
}

fn speaks_resp3(card: &Card) -> bool {
    card.resp.get() == 3
}

/// An array of names.
fn names(keys: &mut dyn ExactSizeIterator<Item = &[u8]>) -> Vec<u8> {
    let mut text = Vec::new();
    let mut out = Out { buf: &mut text, resp3: false };
    out.array(keys.len());
    keys.for_each(|key| out.bulk(key));
    text
}
