//! Consumer groups: how far each has read, and who has which entries and did not acknowledge them yet.
//! In: ids that are delivered, claimed, acknowledged; names of groups and consumers; the time. Out: the same.
//! Absent: entries themselves (see `log`), replies, the clock.
//!
//! An entry that is pending has one record, in the group; its consumer has the id alone. Consumers are numbered, so that a
//! record names its consumer in four bytes.
//!
//! 1. An id is in `Group::pending` exactly if it is in the `pending` of the consumer that its record names.
//! 2. `Groups::bytes` is the sum of `Group::bytes_allocated` and `NAME_BYTES` with the name for each.

use super::{Id, Log};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What a pending entry takes: a record in one tree and an id in another, two thirds full both.
const PENDING_BYTES: usize = (size_of::<Id>() * 2 + size_of::<Pending>()) * 3 / 2;
/// What a name takes besides its bytes, and its place in a tree.
const NAME_BYTES: usize = 64;

/// The groups of a stream, by name.
#[derive(Clone, Debug, Default)]
pub struct Groups {
    by_name: BTreeMap<Box<[u8]>, Group>,
    bytes: usize,
}

/// A group, and what its consumers have.
#[derive(Clone, Debug)]
pub struct Group {
    /// The last id that was delivered.
    pub last_id: Id,
    /// How many entries were read up to there, None where that is not known.
    pub entries_read: Option<i64>,
    pending: BTreeMap<Id, Pending>,
    /// By number; None was deleted.
    consumers: Vec<Option<Consumer>>,
    names: BTreeMap<Arc<[u8]>, ConsumerNumber>,
    name_bytes: usize,
}

/// Names a consumer of a group for as long as it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsumerNumber(u32);

/// An entry that was delivered and not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    pub consumer: ConsumerNumber,
    /// Unix ms of the last delivery.
    pub delivered_ms: i64,
    /// How often it was delivered.
    pub deliveries: u64,
}

/// Whoever reads in a group.
#[derive(Clone, Debug)]
pub struct Consumer {
    name: Arc<[u8]>,
    /// Unix ms of the last try to read.
    pub seen_ms: i64,
    /// Unix ms of the last success; None if there was none.
    pub active_ms: Option<i64>,
    pending: BTreeSet<Id>,
}

impl Groups {
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    pub fn bytes_allocated(&self) -> usize {
        self.bytes
    }

    /// In the order of their names.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&[u8], &Group)> {
        self.by_name.iter().map(|(name, group)| (&name[..], group))
    }

    pub fn get(&self, name: &[u8]) -> Option<&Group> {
        self.by_name.get(name)
    }

    /// Lets `change` have a group, and counts its memory afterwards.
    pub fn change<R>(&mut self, name: &[u8], change: impl FnOnce(&mut Group) -> R) -> Option<R> {
        let group = self.by_name.get_mut(name)?;
        let before = group.bytes_allocated();
        let result = change(group);
        self.bytes = self.bytes - before + group.bytes_allocated();
        Some(result)
    }

    /// False: there is such a group already.
    pub fn create(&mut self, name: &[u8], last_id: Id, entries_read: Option<i64>) -> bool {
        self.add(name, Group::new(last_id, entries_read))
    }

    /// Adds a group that was made elsewhere. False: there is one of this name.
    pub fn add(&mut self, name: &[u8], group: Group) -> bool {
        if self.by_name.contains_key(name) {
            return false;
        }
        self.bytes += group.bytes_allocated() + NAME_BYTES + name.len();
        self.by_name.insert(name.into(), group);
        true
    }

    pub fn remove(&mut self, name: &[u8]) -> Option<Group> {
        let group = self.by_name.remove(name)?;
        self.bytes -= group.bytes_allocated() + NAME_BYTES + name.len();
        Some(group)
    }

    /// Frees about so many pending entries of groups that are thrown away; true when none is left.
    pub fn free_slice(&mut self, entries_max: usize) -> bool {
        let mut budget = entries_max;
        while let Some(mut first) = self.by_name.first_entry() {
            budget = first.get_mut().free_slice(budget);
            if budget == 0 {
                return false;
            }
            first.remove();
        }
        self.bytes = 0;
        true
    }

    #[cfg(test)]
    pub fn verify(&self) {
        let bytes: usize =
            self.by_name.iter().map(|(name, group)| group.bytes_allocated() + NAME_BYTES + name.len()).sum();
        assert_eq!(self.bytes, bytes, "2");
        self.by_name.values().for_each(Group::verify);
    }
}

impl Group {
    pub fn new(last_id: Id, entries_read: Option<i64>) -> Group {
        Group {
            last_id,
            entries_read,
            pending: BTreeMap::new(),
            consumers: Vec::new(),
            names: BTreeMap::new(),
            name_bytes: 0,
        }
    }

    fn bytes_allocated(&self) -> usize {
        const CONSUMER_BYTES: usize = size_of::<Option<Consumer>>() + NAME_BYTES;
        size_of::<Group>()
            + self.pending.len() * PENDING_BYTES
            + self.consumers.len() * CONSUMER_BYTES
            + self.name_bytes
    }

    /// The entries that are pending, of all consumers.
    pub fn pending(&self) -> &BTreeMap<Id, Pending> {
        &self.pending
    }

    /// In the order of their names.
    pub fn consumers(&self) -> impl ExactSizeIterator<Item = &Consumer> {
        self.names.values().map(|&number| self.consumer(number))
    }

    pub fn find(&self, name: &[u8]) -> Option<ConsumerNumber> {
        self.names.get(name).copied()
    }

    pub fn consumer(&self, number: ConsumerNumber) -> &Consumer {
        self.consumers[number.0 as usize].as_ref().expect("1: the consumer of a record is there")
    }

    pub fn consumer_mut(&mut self, number: ConsumerNumber) -> &mut Consumer {
        self.consumers[number.0 as usize].as_mut().expect("1: the consumer of a record is there")
    }

    /// The consumer of that name, and whether it is new.
    pub fn find_or_create(&mut self, name: &[u8], now_ms: i64) -> (ConsumerNumber, bool) {
        if let Some(number) = self.find(name) {
            return (number, false);
        }
        let name: Arc<[u8]> = name.into();
        let consumer =
            Consumer { name: name.clone(), seen_ms: now_ms, active_ms: None, pending: BTreeSet::new() };
        let holes = self.consumers.len() > self.names.len();
        let hole = if holes { self.consumers.iter().position(Option::is_none) } else { None };
        let free = hole.unwrap_or(self.consumers.len());
        if hole.is_none() {
            self.consumers.push(None);
        }
        self.consumers[free] = Some(consumer);
        self.name_bytes += name.len();
        let number = ConsumerNumber(u32::try_from(free).expect("fewer consumers than 4 billion"));
        self.names.insert(name, number);
        (number, true)
    }

    /// Deletes a consumer with what is pending for it; how much that was, None if there is no such consumer.
    pub fn remove_consumer(&mut self, name: &[u8]) -> Option<usize> {
        let number = self.names.remove(name)?;
        let consumer = self.consumers[number.0 as usize].take().expect("1: a consumer with a name is there");
        while self.consumers.pop_if(|last| last.is_none()).is_some() {}
        self.name_bytes -= name.len();
        consumer.pending.iter().for_each(|id| _ = self.pending.remove(id));
        Some(consumer.pending.len())
    }

    /// Notes that an entry is pending for a consumer, whoever had it before.
    pub fn assign(&mut self, id: Id, pending: Pending) {
        let before = self.pending.insert(id, pending);
        if before.is_none_or(|before| before.consumer != pending.consumer) {
            if let Some(before) = before {
                self.consumer_mut(before.consumer).pending.remove(&id);
            }
            self.consumer_mut(pending.consumer).pending.insert(id);
        }
    }

    /// An entry was delivered once more to the consumer that has it; its record.
    pub fn redeliver(&mut self, id: Id, now_ms: i64) -> Option<Pending> {
        let pending = self.pending.get_mut(&id)?;
        pending.delivered_ms = now_ms;
        pending.deliveries = pending.deliveries.wrapping_add(1);
        Some(*pending)
    }

    /// False: the entry was not pending.
    pub fn acknowledge(&mut self, id: Id) -> bool {
        let Some(pending) = self.pending.remove(&id) else { return false };
        self.consumer_mut(pending.consumer).pending.remove(&id);
        true
    }

    /// Moves the group on to an entry that is read, and counts it, where the count can be known.
    pub fn advance(&mut self, id: Id, log: &Log) {
        if id <= self.last_id {
            return;
        }
        let counts = self.last_id >= log.first_id() && !log.has_deleted_from(self.last_id);
        match &mut self.entries_read {
            Some(read) if counts => *read = read.wrapping_add(1),
            read if log.added() > 0 => *read = log.position(id).map(|position| position as i64),
            _ => {}
        }
        self.last_id = id;
    }

    /// How many entries are yet to be delivered; None where that cannot be told.
    pub fn lag(&self, log: &Log) -> Option<i64> {
        if log.added() == 0 {
            return Some(0);
        }
        let read = self.entries_read.filter(|_| !log.has_deleted_from(self.last_id));
        let read = read.or_else(|| log.position(self.last_id).map(|position| position as i64))?;
        Some((log.added() as i64).wrapping_sub(read))
    }

    /// Frees up to so many pending entries; what is left of the budget.
    fn free_slice(&mut self, budget: usize) -> usize {
        let mut left = budget;
        while left > 0 && self.pending.pop_first().is_some() {
            left -= 1;
        }
        while left > 0 {
            let Some(consumer) = self.consumers.last_mut() else { return left };
            match consumer.as_mut().map(|consumer| consumer.pending.pop_first().is_some()) {
                Some(true) => {}
                Some(false) | None => drop(self.consumers.pop()),
            }
            left -= 1;
        }
        0
    }

    #[cfg(test)]
    fn verify(&self) {
        let mut of_consumers = 0;
        for (name, &number) in &self.names {
            let consumer = self.consumer(number);
            assert_eq!(consumer.name, *name);
            of_consumers += consumer.pending.len();
            assert!(consumer.pending.iter().all(|id| self.pending[id].consumer == number), "1");
        }
        assert_eq!(of_consumers, self.pending.len(), "1");
        assert_eq!(self.consumers.iter().flatten().count(), self.names.len());
    }
}

impl Consumer {
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// The ids of what is pending for it.
    pub fn pending(&self) -> &BTreeSet<Id> {
        &self.pending
    }
}
