//! Values and whole databases on their way out.
//! In: objects and databases. Out: their memory, a slice at a time, so that no core is held up by a large value.
//! Absent: when there is time for a slice (see the core's turn).

use super::db::Db;
use super::fields::FieldExpiries;
use crate::base::memory::SpentBuffers;
use crate::types::store::Store;
use crate::types::{Encoding, Object};

#[derive(Default)]
pub struct Trash {
    stores: Vec<Store>,
    fields: Vec<FieldExpiries>,
    objects: Vec<Box<Object>>,
    strings: SpentBuffers,
}

impl Trash {
    pub fn throw_db(&mut self, db: Db) {
        self.stores.push(db.store);
        if !db.fields.is_empty() {
            self.fields.push(db.fields);
        }
    }

    pub fn throw_object(&mut self, object: Box<Object>) {
        match *object {
            Object::Bytes(string) => {
                self.strings.throw(string);
            }
            _ => self.objects.push(object),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.objects.is_empty() && self.strings.is_empty() && self.stores.is_empty() && self.fields.is_empty()
    }

    /// Values waiting to be freed.
    pub fn len(&self) -> usize {
        self.objects.len() + self.strings.len() + self.stores.iter().map(Store::len).sum::<usize>()
    }

    /// Frees about so many entries and elements. Returns how many values are gone for good.
    pub fn free_slice(&mut self, entries_max: usize) -> u64 {
        let (mut freed, mut budget) = (0, entries_max);
        if !self.strings.is_empty() {
            return self.strings.free_portion() as u64;
        }
        while let Some(object) = self.objects.last_mut() {
            let cost = cost_of(object);
            if budget == 0 || !object.free_slice(budget) {
                return freed;
            }
            self.objects.pop();
            freed += 1;
            budget = budget.saturating_sub(cost);
        }
        if budget == 0 {
            return freed;
        }
        if let Some(fields) = self.fields.last_mut() {
            if fields.free_slice(budget) {
                self.fields.pop();
            }
            return freed;
        }
        let Some(store) = self.stores.last_mut() else { return freed };
        let (before, waiting) = (store.len(), self.objects.len() + self.strings.len());
        let (objects, strings) = (&mut self.objects, &mut self.strings);
        let done = store.free_slice(budget, &mut |object| match *object {
            Object::Bytes(string) => {
                strings.throw(string);
            }
            _ => objects.push(object),
        });
        let passed_on = self.objects.len() + self.strings.len() - waiting;
        freed += (before - store.len() - passed_on) as u64;
        if done {
            self.stores.pop();
        }
        freed
    }
}

/// About how many elements a value is worth when it is freed as a whole; a packed one is a single piece of memory.
fn cost_of(object: &Object) -> usize {
    const ELEMENT_BYTES: usize = 32;
    match object.encoding() {
        Encoding::Hashtable | Encoding::Skiplist | Encoding::Quicklist | Encoding::Stream => {
            1 + object.bytes_allocated() / ELEMENT_BYTES
        }
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Encoding, Moment, Shard};
    use crate::types::hash::Lifetime;
    use crate::types::list::ListView;
    use crate::types::stream::{Id, Pending};
    use crate::types::{Collection, Hash, Limits, List, Object, Set, Stream, Zset};

    const ELEMENTS: usize = 300_000;
    const SLICE: usize = 256;
    /// What a slice may free beyond its budget: the rest of a bucket, of a leaf.
    const OVERSHOOT: usize = 64;
    const MOMENT: Moment = Moment::at(0);

    fn element(number: usize) -> Vec<u8> {
        format!("element:{number}").into_bytes()
    }

    fn huge_set() -> Set {
        let mut set = Set::table();
        (0..ELEMENTS).for_each(|number| assert!(set.add(&element(number), &Limits::default())));
        set
    }

    fn huge_hash() -> Hash {
        let mut hash = Hash::new(Vec::new());
        for number in 0..ELEMENTS {
            hash.set(&element(number), b"value", Lifetime::Until(1 << 40), 0, &Limits::default());
        }
        hash
    }

    fn huge_list() -> List {
        let elements: Vec<Vec<u8>> = (0..ELEMENTS).map(element).collect();
        List::from_elements(elements.iter().map(Vec::as_slice), &Limits::default())
    }

    fn huge_zset() -> Zset {
        let mut zset = Zset::new(Vec::new());
        for number in 0..ELEMENTS {
            zset.update(&element(number), &Limits::default(), |_| Some(number as f64));
        }
        zset
    }

    /// As many entries in nodes of eight, and as many that are pending.
    fn huge_stream() -> Stream {
        let mut stream = Stream::default();
        let limits = Limits { stream_node_entries_max: 8, ..Limits::default() };
        stream.groups.create(b"g", Id::MIN, None);
        for number in 1..=ELEMENTS as u64 {
            let id = Id::new(number, 0);
            stream.log.append(id, [(&b"f"[..], &b"v"[..])].into_iter(), &limits);
            stream.groups.change(b"g", |group| {
                let (consumer, _) = group.find_or_create(b"c", 0);
                group.assign(id, Pending { consumer, delivered_ms: 0, deliveries: 1 });
            });
        }
        stream
    }

    /// What there is to free in a value: its elements, or the nodes of a list, each of which is freed at once.
    fn parts(object: &Object) -> usize {
        match object {
            Object::Bytes(_) => 0,
            Object::Set(set) => set.view().len(),
            Object::Hash(hash) => hash.view().len(),
            Object::Zset(zset) => zset.view().len(),
            Object::List(list) => match list.view() {
                ListView::Packed(_) => 0,
                ListView::Nodes(nodes) => nodes.nodes().len(),
            },
            Object::Stream(stream) => {
                let pending = stream.groups.iter().map(|(_, group)| group.pending().len());
                stream.log.node_count() + pending.sum::<usize>()
            }
        }
    }

    /// Parts, and bytes, of all values in the trash.
    fn left(shard: &Shard) -> (usize, usize) {
        let of = |object: &Object| (parts(object), object.bytes_allocated());
        let sums = shard.trash.objects.iter().map(|object| of(object));
        sums.fold((0, 0), |sum, it| (sum.0 + it.0, sum.1 + it.1))
    }

    /// Frees what is in the trash. Returns how many slices it took, and the most parts that one of them freed.
    fn free(shard: &mut Shard) -> (usize, usize) {
        let (mut slices, mut parts_max) = (0, 0);
        loop {
            let (before, done) = (left(shard).0, shard.free_slice(SLICE));
            slices += 1;
            parts_max = parts_max.max(before.saturating_sub(left(shard).0));
            if done {
                return (slices, parts_max);
            }
        }
    }

    fn check_in_slices(what: &str, shard: &mut Shard, parts: usize, slices_min: usize) {
        let (slices, parts_max) = free(shard);
        assert!(parts_max <= SLICE + OVERSHOOT, "{what}: {parts_max} parts at once");
        assert!(slices >= slices_min.max(parts / (SLICE + OVERSHOOT)), "{what}: {slices} slices");
    }

    /// Throws a huge value away in all ways: deleted, overwritten, expired, flushed.
    fn check_all_ways<T: Collection>(make: fn() -> T, slices_min: usize) {
        let what = T::TYPE.name();
        let collection = make();
        let copy = || collection.duplicate();
        let parts = parts(&make().into_object());
        let mut shard = Shard::new(0, 1, 1);
        let later = Moment { now_ms: 2, due_ms: 2, ..MOMENT };

        shard.replace(0, b"k", copy(), &MOMENT);
        shard.remove(0, b"k");
        check_in_slices(what, &mut shard, parts, slices_min);
        assert_eq!(shard.counters.lazy_freed, 1);

        shard.replace(0, b"k", copy(), &MOMENT);
        shard.set_string(0, b"k", b"v", Encoding::Embstr, None, &MOMENT);
        check_in_slices(what, &mut shard, parts, slices_min);

        shard.replace(0, b"k", copy(), &MOMENT);
        shard.set_expiry(0, b"k", Some(1));
        assert!(shard.peek(0, b"k", &later).is_none());
        check_in_slices(what, &mut shard, parts, slices_min);

        shard.replace(0, b"k", copy(), &MOMENT);
        shard.replace(0, b"l", copy(), &MOMENT);
        shard.set_string(0, b"s", b"v", Encoding::Embstr, None, &MOMENT);
        assert_eq!(shard.flush(0, &MOMENT), 3);
        check_in_slices(what, &mut shard, 2 * parts, 2 * slices_min);
        assert_eq!((shard.trash_len(), shard.counters.lazy_freed), (0, 6));
    }

    #[test]
    fn a_huge_set_is_freed_in_slices() {
        check_all_ways(huge_set, ELEMENTS / (SLICE + OVERSHOOT));
    }

    #[test]
    fn a_huge_hash_is_freed_in_slices() {
        check_all_ways(huge_hash, ELEMENTS / (SLICE + OVERSHOOT));
    }

    /// Both the tree and the table of its members.
    #[test]
    fn a_huge_sorted_set_is_freed_in_slices() {
        check_all_ways(huge_zset, 2 * ELEMENTS / (SLICE + OVERSHOOT));
    }

    /// A few nodes at a time: there is not much to do for what they hold.
    #[test]
    fn a_huge_list_is_freed_in_slices() {
        check_all_ways(huge_list, 30);
    }

    /// Nodes, eight to an element's cost, and what is pending by group and by consumer.
    #[test]
    fn a_huge_stream_is_freed_in_slices() {
        check_all_ways(huge_stream, 2 * ELEMENTS / (SLICE + OVERSHOOT));
    }

    /// Many values that are neither small nor huge share a slice's budget.
    #[test]
    fn many_sets_are_freed_in_slices() {
        const SETS: usize = 500;
        const MEMBERS: usize = 200;
        let mut shard = Shard::new(0, 1, 1);
        for key in 0..SETS {
            let mut set = Set::table();
            (0..MEMBERS).for_each(|number| assert!(set.add(&element(number), &Limits::default())));
            shard.replace(0, &element(key), set, &MOMENT);
        }
        shard.flush(0, &MOMENT);
        let store_slices = SETS / SLICE;
        (0..=store_slices).for_each(|_| assert!(!shard.free_slice(SLICE)));
        check_in_slices("set", &mut shard, SETS * MEMBERS * 9 / 10, 0);
    }

    #[test]
    fn what_ltrim_drops_is_freed_in_slices() {
        let mut shard = Shard::new(0, 1, 1);
        let dropped = huge_list().trim(ELEMENTS - 10, ELEMENTS, &Limits::default());
        shard.throw(Box::new(dropped.expect("it is much").into_object()));
        check_in_slices("list", &mut shard, 0, 30);
    }

    #[test]
    fn the_index_of_fields_is_freed_in_slices() {
        let mut shard = Shard::new(0, 1, 1);
        let (keys, limits) = (10_000, Limits::default());
        for number in 0..keys {
            let set = |hash: &mut Hash| ((), hash.set(b"f", b"v", Lifetime::Until(1 << 40), 0, &limits));
            shard.change(0, &element(number), &MOMENT, true, set).expect("a hash");
        }
        shard.flush(0, &MOMENT);
        check_in_slices("index", &mut shard, 0, 2 * keys / (SLICE + OVERSHOOT));
        assert_eq!(shard.counters.lazy_freed, keys as u64);
    }
}
