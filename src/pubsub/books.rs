//! All subscriptions, seen from the channels and from the clients, and the boxes of what is on its way.
//! In: who subscribes, unsubscribes, leaves. Out: counts, names.
//! Invariants: B1, a client is in the audience of exactly the names that its member lists, unless it was withdrawn;
//! B2, an audience is never empty, a member neither; B3, `subscriptions` counts the pairs of both.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::*};

use super::audience::Audience;
use super::trackers::{Gauge, Trackers};
use super::{Kind, Name, Parcel};
use crate::client::ConnectionId;

type Audiences = HashMap<Name, Audience, ahash::RandomState>;

pub struct Books {
    subscriptions: Arc<AtomicUsize>,
    pub(super) channels: Audiences,
    pub(super) shard_channels: Audiences,
    /// In an order of their own: every message is held against all of them.
    pub(super) patterns: BTreeMap<Name, Audience>,
    /// By client id.
    members: HashMap<u64, Member, ahash::RandomState>,
    pub trackers: Trackers,
    /// One for each core.
    pub(super) boxes: Vec<Vec<Parcel>>,
}

/// A client with subscriptions.
struct Member {
    seat: ConnectionId,
    /// By kind.
    names: [BTreeSet<Name>; 3],
    /// CLIENT KILL ended it, and its home core does not know yet: it is in no audience.
    withdrawn: bool,
}

/// To how many of each kind a client is subscribed.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counts {
    pub channels: usize,
    pub patterns: usize,
    pub shard_channels: usize,
}

impl Counts {
    /// The number that a reply about this kind shows: channels and patterns are counted together.
    pub fn shown(&self, kind: Kind) -> usize {
        match kind {
            Kind::ShardChannel => self.shard_channels,
            Kind::Channel | Kind::Pattern => self.channels + self.patterns,
        }
    }

    pub fn any(&self) -> bool {
        *self != Self::default()
    }
}

impl Member {
    fn counts(&self) -> Counts {
        let [channels, patterns, shard_channels] = self.names.each_ref().map(BTreeSet::len);
        Counts { channels, patterns, shard_channels }
    }
}

impl Books {
    pub(super) fn new(
        cores: usize,
        hash_seed: u64,
        subscriptions: Arc<AtomicUsize>,
        tracked: Arc<Gauge>,
    ) -> Self {
        let state = || ahash::RandomState::with_seeds(hash_seed, 2, 3, 4);
        Self {
            subscriptions,
            channels: HashMap::with_hasher(state()),
            shard_channels: HashMap::with_hasher(state()),
            patterns: BTreeMap::new(),
            members: HashMap::with_hasher(state()),
            trackers: Trackers::new(tracked),
            boxes: (0..cores).map(|_| Vec::new()).collect(),
        }
    }

    /// Subscribes client `id`, which lives at `seat`; once is as good as twice.
    pub fn subscribe(&mut self, id: u64, seat: ConnectionId, kind: Kind, name: &[u8]) {
        let member = self.members.entry(id).or_insert_with(|| Member {
            seat,
            names: Default::default(),
            withdrawn: false,
        });
        if member.names[kind as usize].contains(name) {
            return;
        }
        let known = match kind {
            Kind::Channel => self.channels.get_key_value(name),
            Kind::ShardChannel => self.shard_channels.get_key_value(name),
            Kind::Pattern => self.patterns.get_key_value(name),
        };
        let name = known.map_or_else(|| Name::from(name), |(name, _)| name.clone());
        member.names[kind as usize].insert(name.clone());
        if member.withdrawn {
            return;
        }
        let audience = match kind {
            Kind::Channel => self.channels.entry(name).or_default(),
            Kind::ShardChannel => self.shard_channels.entry(name).or_default(),
            Kind::Pattern => self.patterns.entry(name).or_default(),
        };
        audience.add(seat);
        self.subscriptions.fetch_add(1, Release);
    }

    /// Ends a subscription, if there is one.
    pub fn unsubscribe(&mut self, id: u64, kind: Kind, name: &[u8]) {
        let Some(member) = self.members.get_mut(&id) else { return };
        if !member.names[kind as usize].remove(name) {
            return;
        }
        let (seat, withdrawn) = (member.seat, member.withdrawn);
        if !member.counts().any() {
            self.members.remove(&id);
        }
        if !withdrawn {
            self.take_away(seat, kind, name);
        }
    }

    fn take_away(&mut self, seat: ConnectionId, kind: Kind, name: &[u8]) {
        let audience = match kind {
            Kind::Channel => self.channels.get_mut(name),
            Kind::ShardChannel => self.shard_channels.get_mut(name),
            Kind::Pattern => self.patterns.get_mut(name),
        };
        let audience = audience.expect("B1: the client is in the audience");
        audience.remove(seat);
        self.subscriptions.fetch_sub(1, Release);
        if audience.is_empty() {
            match kind {
                Kind::Channel => drop(self.channels.remove(name)),
                Kind::ShardChannel => drop(self.shard_channels.remove(name)),
                Kind::Pattern => drop(self.patterns.remove(name)),
            }
        }
    }

    /// Ends all subscriptions of a client, and its tracking.
    pub fn leave(&mut self, id: u64) {
        self.withdraw(id);
        self.members.remove(&id);
    }

    /// A client is being killed from afar: from now on it receives nothing and is not counted. Its home core lets it leave.
    pub fn withdraw(&mut self, id: u64) {
        self.trackers.disable(id);
        let Some(member) = self.members.get_mut(&id) else { return };
        if std::mem::replace(&mut member.withdrawn, true) {
            return;
        }
        let (seat, names) = (member.seat, member.names.clone());
        for kind in [Kind::Channel, Kind::Pattern, Kind::ShardChannel] {
            names[kind as usize].iter().for_each(|name| self.take_away(seat, kind, name));
        }
    }

    pub fn counts(&self, id: u64) -> Counts {
        self.members.get(&id).map_or_else(Counts::default, Member::counts)
    }

    /// What a client is subscribed to.
    pub fn names_of(&self, id: u64, kind: Kind) -> Vec<Arc<[u8]>> {
        self.members
            .get(&id)
            .map_or_else(Vec::new, |member| member.names[kind as usize].iter().cloned().collect())
    }

    fn audiences(&self, kind: Kind) -> &Audiences {
        match kind {
            Kind::Channel => &self.channels,
            Kind::ShardChannel => &self.shard_channels,
            Kind::Pattern => unreachable!("patterns are only counted"),
        }
    }

    /// The channels, or shard channels, that somebody is subscribed to.
    pub fn channels(&self, kind: Kind) -> impl ExactSizeIterator<Item = &[u8]> {
        self.audiences(kind).keys().map(|name| &**name)
    }

    /// Clients subscribed to a channel by its name.
    pub fn listeners(&self, kind: Kind, channel: &[u8]) -> usize {
        self.audiences(kind).get(channel).map_or(0, Audience::len)
    }

    /// Different patterns that somebody is subscribed to.
    pub fn patterns(&self) -> usize {
        self.patterns.len()
    }

    /// Checks the invariants.
    #[cfg(test)]
    pub fn verify(&self) {
        let all = || self.channels.values().chain(self.shard_channels.values()).chain(self.patterns.values());
        assert!(all().all(|audience| !audience.is_empty()), "B2");
        let seats: usize = all().map(Audience::len).sum();
        let listed = |member: &Member| member.names.iter().map(BTreeSet::len).sum::<usize>();
        let active = self.members.values().filter(|member| !member.withdrawn);
        assert_eq!(seats, active.map(listed).sum::<usize>(), "B1");
        assert!(self.members.values().all(|member| listed(member) > 0), "B2");
        assert_eq!(seats, self.subscriptions.load(Relaxed), "B3");
    }
}
