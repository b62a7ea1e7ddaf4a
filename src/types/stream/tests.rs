//! Streams against a naive model: a map of entries, and another of what is pending.

use super::*;
use crate::types::Limits;
use proptest::prelude::*;
use std::collections::BTreeMap;

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

#[derive(Default)]
struct Model {
    entries: BTreeMap<Id, Fields>,
    last: Id,
    max_deleted: Id,
    added: u64,
    /// By id: the consumer, and how often it was delivered.
    pending: BTreeMap<Id, (u8, u64)>,
}

fn limits(bytes: usize, entries: usize) -> Limits {
    Limits { stream_node_bytes_max: bytes, stream_node_entries_max: entries, ..Limits::default() }
}

fn fields_of(entry: &Entry) -> Fields {
    let mut fields = Vec::new();
    entry.for_each(|name, value| fields.push((name.to_vec(), value.to_vec())));
    assert_eq!(fields.len(), entry.fields);
    fields
}

fn shown<'a>(entries: impl Iterator<Item = Entry<'a>>) -> Vec<(Id, Fields)> {
    entries.map(|entry| (entry.id, fields_of(&entry))).collect()
}

fn append(stream: &mut Stream, id: Id, fields: &Fields, limits: &Limits) {
    stream.log.append(id, fields.iter().map(|(name, value)| (&name[..], &value[..])), limits);
}

/// Compares everything that can be seen, from both ends, and a range.
fn check(stream: &Stream, model: &Model, start: Id, end: Id) {
    stream.verify();
    let log = &stream.log;
    let first = model.entries.keys().next().copied().unwrap_or_default();
    assert_eq!((log.len(), log.first_id()), (model.entries.len() as u64, first));
    assert_eq!((log.last_id(), log.added()), (model.last, model.added));
    assert_eq!(log.max_deleted_id(), model.max_deleted);
    assert_eq!(log.last_live_id(), model.entries.keys().next_back().copied().unwrap_or_default());
    let all: Vec<_> = model.entries.iter().map(|(id, fields)| (*id, fields.clone())).collect();
    assert_eq!(shown(log.iter()), all);
    assert!(shown(log.iter().rev()).iter().eq(all.iter().rev()));
    let within: Vec<_> = all.iter().filter(|(id, _)| (start..=end).contains(id)).cloned().collect();
    assert_eq!(shown(log.range(start..=end)), within);
    assert!(shown(log.range(start..=end).rev()).iter().eq(within.iter().rev()));
    let mut both = log.range(start..=end);
    let mut ends = Vec::new();
    while let Some(entry) = both.next() {
        ends.push(entry.id);
        ends.extend(both.next_back().map(|entry| entry.id));
    }
    ends.sort_unstable();
    assert!(ends.iter().eq(within.iter().map(|(id, _)| id)));
    assert_eq!(log.get(start).map(|entry| fields_of(&entry)), model.entries.get(&start).cloned());
    check_pending(stream, model);
}

fn check_pending(stream: &Stream, model: &Model) {
    let group = stream.groups.get(b"g").expect("it was created");
    let found = group
        .pending()
        .iter()
        .map(|(&id, pending)| (id, (group.consumer(pending.consumer).name()[0], pending.deliveries)));
    assert_eq!(found.collect::<BTreeMap<_, _>>(), model.pending);
    for consumer in group.consumers() {
        let own = model.pending.iter().filter(|(_, (name, _))| *name == consumer.name()[0]);
        assert!(consumer.pending().iter().eq(own.map(|(id, _)| id)));
    }
}

/// Trims the model: how many entries go is what `Log::trim` says where that is Redis' affair.
fn trim(stream: &mut Stream, model: &mut Model, trim: Trim) {
    let goes: Vec<Id> = match trim.keep {
        Keep::Last(len) => {
            let count = model.entries.len().saturating_sub(len as usize);
            model.entries.keys().take(count).copied().collect()
        }
        Keep::From(id) => model.entries.range(..id).map(|(&id, _)| id).collect(),
    };
    let (deleted, dropped) = stream.log.trim(&trim);
    assert!(dropped.is_none(), "these are few nodes");
    if !trim.approximate && trim.limit == 0 {
        assert_eq!(deleted, goes.len() as u64);
    }
    assert!(deleted <= goes.len() as u64 && (trim.limit == 0 || deleted <= trim.limit));
    goes.iter().take(deleted as usize).for_each(|id| _ = model.entries.remove(id));
}

/// A name or value: integers of several widths, short and long texts.
fn text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => "[a-c]{0,2}".prop_map(String::into_bytes),
        2 => any::<i32>().prop_map(|value| value.to_string().into_bytes()),
        1 => (60..140usize).prop_map(|len| vec![b'x'; len]),
    ]
}

fn fields() -> impl Strategy<Value = Fields> {
    let same = proptest::collection::vec(text(), 2).prop_map(|values| {
        let names = [b"temperature".to_vec(), b"7".to_vec()];
        names.into_iter().zip(values).collect()
    });
    prop_oneof![3 => same, 1 => proptest::collection::vec((text(), text()), 1..5)]
}

#[derive(Clone, Debug)]
enum Step {
    Add(Fields, u64, u64),
    Delete(usize),
    Trim(Trim),
    Restore,
    Assign(usize, u8),
    Acknowledge(usize),
    RemoveConsumer(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let keep = prop_oneof![
        (0..40u64).prop_map(Keep::Last),
        (0..400u64, 0..4u64).prop_map(|(ms, seq)| Keep::From(Id::new(ms, seq))),
    ];
    let trim = (keep, any::<bool>(), 0..9u64).prop_map(|(keep, approximate, limit)| {
        Step::Trim(Trim { keep, approximate, limit: if approximate { limit } else { 0 } })
    });
    prop_oneof![
        8 => (fields(), 0..9u64, 0..3u64).prop_map(|(fields, ms, seq)| Step::Add(fields, ms, seq)),
        3 => (0..1000usize).prop_map(Step::Delete),
        1 => trim,
        1 => Just(Step::Restore),
        3 => (0..1000usize, b'a'..b'd').prop_map(|(at, name)| Step::Assign(at, name)),
        1 => (0..1000usize).prop_map(Step::Acknowledge),
        1 => (b'a'..b'd').prop_map(Step::RemoveConsumer),
    ]
}

fn nth(model: &Model, at: usize) -> Option<Id> {
    model.entries.keys().nth(at % model.entries.len().max(1)).copied()
}

fn apply(stream: &mut Stream, model: &mut Model, step: Step, limits: &Limits) {
    match step {
        Step::Add(fields, ms, seq) => {
            let id = Id::new(model.last.ms + ms, if ms == 0 { model.last.seq + 1 + seq } else { seq });
            append(stream, id, &fields, limits);
            model.entries.insert(id, fields);
            model.last = id;
            model.added += 1;
        }
        Step::Delete(at) => {
            let Some(id) = nth(model, at) else { return };
            let before = opened(&stream.log);
            assert!(stream.log.delete(id));
            assert_eq!(opened(&stream.log), deleted_in(before, id));
            assert!(!stream.log.delete(id), "it is gone");
            model.entries.remove(&id);
            model.max_deleted = model.max_deleted.max(id);
        }
        Step::Trim(how) => trim(stream, model, how),
        Step::Restore => restore(stream),
        Step::Assign(at, name) => {
            let Some(id) = nth(model, at) else { return };
            stream.groups.change(b"g", |group| {
                let (consumer, _) = group.find_or_create(&[name], 5);
                group.assign(id, Pending { consumer, delivered_ms: 5, deliveries: 1 });
                group.redeliver(id, 6);
            });
            model.pending.insert(id, (name, 2));
        }
        Step::Acknowledge(at) => {
            let Some(id) = nth(model, at) else { return };
            let was = model.pending.remove(&id).is_some();
            assert_eq!(stream.groups.change(b"g", |group| group.acknowledge(id)), Some(was));
        }
        Step::RemoveConsumer(name) => {
            let of = model.pending.values().filter(|(owner, _)| *owner == name).count();
            let removed = stream.groups.change(b"g", |group| group.remove_consumer(&[name])).flatten();
            assert_eq!(removed.unwrap_or(0), of);
            model.pending.retain(|_, (owner, _)| *owner != name);
        }
    }
}

/// The nodes as Redis has them.
fn opened(log: &Log) -> Vec<(Id, Vec<u8>)> {
    log.nodes().map(|(key, pack)| (key, pack.into_owned())).collect()
}

/// What becomes of these nodes when that entry is deleted in its listpack.
fn deleted_in(mut nodes: Vec<(Id, Vec<u8>)>, id: Id) -> Vec<(Id, Vec<u8>)> {
    let at = nodes.iter().rposition(|(key, _)| *key <= id).expect("it is there");
    let (key, pack) = &mut nodes[at];
    assert!(node::delete(pack, *key, id));
    if node::counts(pack).0 == 0 {
        nodes.remove(at);
    }
    nodes
}

/// The log as it comes back from its nodes.
fn restore(stream: &mut Stream) {
    let log = &stream.log;
    let facts = Facts {
        len: log.len(),
        last: log.last_id(),
        max_deleted: log.max_deleted_id(),
        added: Some(log.added()),
    };
    let nodes = opened(log);
    let again = |nodes: &[(Id, Vec<u8>)], facts| Log::restore(nodes.iter().cloned(), facts);
    assert!(again(&nodes, Facts { len: facts.len + 1, ..facts }).is_none());
    if nodes.len() > 1 {
        let turned: Vec<_> = nodes.iter().rev().cloned().collect();
        assert!(again(&turned, facts).is_none(), "nodes out of order");
    }
    if let Some(below) = log.last_live_id().previous() {
        let refused = again(&nodes, Facts { last: below, ..facts });
        assert!(refused.is_none() || log.is_empty(), "the last id is below an entry's");
    }
    stream.log = again(&nodes, facts).expect("it was written by itself");
    assert_eq!(opened(&stream.log), nodes);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_maps(
        steps in proptest::collection::vec(step(), 0..80),
        bytes in prop_oneof![Just(4096usize), Just(0), 100..600usize],
        entries in prop_oneof![Just(100usize), Just(0), 1..9usize],
        start in (0..300u64, 0..3u64), len in 0..200u64,
    ) {
        let (mut stream, mut model) = (Stream::default(), Model::default());
        stream.groups.create(b"g", Id::MIN, None);
        let (start, end) = (Id::new(start.0, start.1), Id::new(start.0 + len, start.1));
        for step in steps {
            apply(&mut stream, &mut model, step, &limits(bytes, entries));
            check(&stream, &model, start, end);
        }
        let copy = stream.duplicate();
        check(&copy, &model, start, end);
        let mut slices = 0;
        while !stream.free_slice(16) {
            slices += 1;
        }
        prop_assert!(slices <= model.entries.len() + 2 * model.pending.len() + 8);
        check(&copy, &model, start, end);
    }
}

#[test]
fn nodes_end_where_redis_ends_them() {
    let limits = Limits::default();
    let mut stream = Stream::default();
    let field = |value: &[u8]| vec![(b"f".to_vec(), value.to_vec())];
    for number in 1..=250 {
        append(&mut stream, Id::new(number, 0), &field(b"v"), &limits);
    }
    let keys = |stream: &Stream| stream.log.nodes().map(|(key, _)| key.ms).collect::<Vec<_>>();
    assert_eq!(keys(&stream), [1, 101, 201]);
    // A deleted entry keeps its place; a node whose last entry goes is gone.
    assert!(stream.log.delete(Id::new(201, 0)));
    for number in 251..=300 {
        append(&mut stream, Id::new(number, 0), &field(b"v"), &limits);
    }
    assert_eq!(keys(&stream), [1, 101, 201]);
    append(&mut stream, Id::new(301, 0), &field(b"v"), &limits);
    assert_eq!(keys(&stream), [1, 101, 201, 301]);
    assert!(stream.log.delete(Id::new(301, 0)));
    assert_eq!(keys(&stream), [1, 101, 201]);
    // By bytes.
    let mut stream = Stream::default();
    for number in 1..=5 {
        append(&mut stream, Id::new(number, 0), &field(&[b'x'; 1000]), &limits);
    }
    assert_eq!(keys(&stream), [1, 5]);
}

#[test]
fn full_nodes_waste_little() {
    let limits = Limits::default();
    let mut stream = Stream::default();
    const ENTRIES: u64 = 10_000;
    for number in 0..ENTRIES {
        let fields = vec![(b"f".to_vec(), format!("v{number}").into_bytes())];
        append(&mut stream, Id::new(1_700_000_000_000 + number, 0), &fields, &limits);
    }
    // Half of a listpack of such entries is flags, ids and lengths.
    let used: usize = stream.log.nodes().map(|(_, pack)| pack.len()).sum();
    let taken = stream.bytes_allocated();
    assert!(taken < used * 3 / 4, "{taken} bytes for {used}");
}

/// Behind a tail that is gone, the node before it takes entries again if it has room.
#[test]
fn a_node_is_the_tail_again() {
    let (few, more) = (limits(0, 3), limits(0, 5));
    let mut stream = Stream::default();
    let field = vec![(b"f".to_vec(), b"v".to_vec())];
    for number in 1..=7 {
        append(&mut stream, Id::new(number, 0), &field, &few);
    }
    let shape = |stream: &Stream| {
        stream.verify();
        stream.log.nodes().map(|(key, pack)| (key.ms, node::counts(&pack).0)).collect::<Vec<_>>()
    };
    assert_eq!(shape(&stream), [(1, 3), (4, 3), (7, 1)]);
    assert!(stream.log.delete(Id::new(7, 0)));
    assert_eq!(shape(&stream), [(1, 3), (4, 3)]);
    append(&mut stream, Id::new(8, 0), &field, &few);
    assert_eq!(shape(&stream), [(1, 3), (4, 3), (8, 1)]);
    assert!(stream.log.delete(Id::new(8, 0)));
    append(&mut stream, Id::new(9, 0), &field, &more);
    assert_eq!(shape(&stream), [(1, 3), (4, 4)]);
    assert_eq!(
        stream.log.range(Id::MIN..=Id::MAX).map(|it| it.id.ms).collect::<Vec<_>>(),
        [1, 2, 3, 4, 5, 6, 9]
    );
}

#[test]
fn short_streams_take_little() {
    let limits = Limits::default();
    for (entries, most) in [(1, 330), (3, 380), (10, 500), (50, 1250), (100, 2300)] {
        let mut stream = Stream::default();
        for number in 0..entries {
            let fields = vec![(b"f1".to_vec(), b"v12".to_vec()), (b"f2".to_vec(), b"w123".to_vec())];
            append(&mut stream, Id::new(1_700_000_000_000 + number, 0), &fields, &limits);
        }
        assert!(stream.bytes_allocated() <= most, "{entries}: {}", stream.bytes_allocated());
    }
}

#[test]
fn ids_are_chosen_as_redis_chooses_them() {
    let limits = Limits::default();
    let mut stream = Stream::default();
    let field = vec![(b"f".to_vec(), b"v".to_vec())];
    let choose = |stream: &Stream, wish, now_ms| stream.log.choose_id(wish, now_ms);
    assert_eq!(choose(&stream, Wish::Ms(0), 9), Ok(Id::new(0, 1)));
    assert_eq!(choose(&stream, Wish::Any, 9), Ok(Id::new(9, 0)));
    append(&mut stream, Id::new(9, 7), &field, &limits);
    assert_eq!(choose(&stream, Wish::Any, 9), Ok(Id::new(9, 8)));
    assert_eq!(choose(&stream, Wish::Any, 8), Ok(Id::new(9, 8)), "the clock went back");
    assert_eq!(choose(&stream, Wish::Ms(9), 1), Ok(Id::new(9, 8)));
    assert_eq!(choose(&stream, Wish::Ms(8), 10), Err(Refused::NotAbove));
    assert_eq!(choose(&stream, Wish::Exactly(Id::new(9, 7)), 10), Err(Refused::NotAbove));
    stream.log.set_last_id(Id::new(9, u64::MAX), None, None);
    assert_eq!(choose(&stream, Wish::Any, 9), Ok(Id::new(10, 0)));
    assert_eq!(choose(&stream, Wish::Ms(9), 9), Err(Refused::NotAbove));
    stream.log.set_last_id(Id::MAX, None, None);
    assert_eq!(choose(&stream, Wish::Any, 9), Err(Refused::Exhausted));
}

#[test]
fn radix_nodes_are_those_of_a_trie() {
    /// A trie whose runs of single children are one node each.
    fn count(keys: &[[u8; 16]], depth: usize, run: usize) -> usize {
        if depth == 16 {
            return 1 + usize::from(run > 0);
        }
        let mut children = BTreeMap::<u8, Vec<[u8; 16]>>::new();
        keys.iter().for_each(|key| children.entry(key[depth]).or_default().push(*key));
        if children.len() == 1 {
            return count(keys, depth + 1, run + 1);
        }
        1 + usize::from(run > 0) + children.values().map(|keys| count(keys, depth + 1, 0)).sum::<usize>()
    }
    let limits = limits(0, 1);
    let mut stream = Stream::default();
    assert_eq!(stream.log.radix_nodes(), 1);
    let mut keys = Vec::new();
    let mut rng = crate::base::rng::Rng::seeded(5);
    let mut id = Id::new(1, 0);
    for _ in 0..300 {
        append(&mut stream, id, &vec![(b"f".to_vec(), b"v".to_vec())], &limits);
        keys.push(id.to_be_bytes());
        assert_eq!(stream.log.radix_nodes(), count(&keys, 0, 0), "{keys:?}");
        let bits = rng.below(20);
        id = Id::new(id.ms + (rng.below(2) << bits), id.seq + 1 + rng.below(1 << bits));
    }
}

#[test]
fn how_far_a_group_has_read() {
    let limits = Limits::default();
    let mut stream = Stream::default();
    let group = |last: u64, read| Group::new(Id::new(last, 0), read);
    assert_eq!(group(9, None).lag(&stream.log), Some(0));
    for number in 1..=5 {
        append(&mut stream, Id::new(number, 0), &vec![(b"f".to_vec(), b"v".to_vec())], &limits);
    }
    let lag = |stream: &Stream, last, read| group(last, read).lag(&stream.log);
    assert_eq!(lag(&stream, 0, None), Some(5));
    assert_eq!(lag(&stream, 1, None), Some(4), "the first entry's position is known");
    assert_eq!(lag(&stream, 3, None), None, "in the middle it is not");
    assert_eq!(lag(&stream, 3, Some(3)), Some(2));
    assert_eq!(lag(&stream, 5, None), Some(0));
    assert_eq!(lag(&stream, 6, None), None, "nor in the future");
    stream.log.delete(Id::new(4, 0));
    assert_eq!(lag(&stream, 3, Some(3)), None, "something behind it is gone");
    assert_eq!(lag(&stream, 5, Some(5)), Some(0));
    let mut reader = group(0, None);
    reader.advance(Id::new(1, 0), &stream.log);
    assert_eq!((reader.last_id, reader.entries_read), (Id::new(1, 0), None));
    reader.advance(Id::new(5, 0), &stream.log);
    assert_eq!((reader.last_id, reader.entries_read), (Id::new(5, 0), Some(5)));
    reader.advance(Id::new(2, 0), &stream.log);
    assert_eq!(reader.last_id, Id::new(5, 0), "it does not go back");
}
