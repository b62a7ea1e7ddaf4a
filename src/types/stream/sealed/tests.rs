//! Nodes sealed and opened, those of other servers among them.

use super::*;
use crate::types::stream::Id;
use crate::types::stream::node::{self, Entries};
use proptest::prelude::*;

type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

const KEY: Id = Id { ms: 1_700_000_000_000, seq: 40 };

/// Entries with these ids above the key's.
fn built(entries: &[(u64, u64, Pairs)]) -> Vec<u8> {
    let mut pack = Vec::new();
    for (number, (ms, seq, pairs)) in entries.iter().enumerate() {
        let pairs = pairs.iter().map(|(name, value)| (&name[..], &value[..]));
        let bytes = pairs.clone().map(|(name, value)| name.len() + value.len()).sum();
        match number {
            0 => pack = node::begin(Vec::new(), KEY, pairs, bytes),
            _ => node::append(&mut pack, KEY, Id::new(KEY.ms + ms, KEY.seq.wrapping_add(*seq)), pairs, bytes),
        }
    }
    pack
}

fn seen(bytes: &[u8]) -> Vec<(Id, bool, Pairs)> {
    let show = |entry: node::Entry| {
        let mut pairs = Pairs::new();
        entry.for_each(|name, value| pairs.push((name.to_vec(), value.to_vec())));
        (entry.id, entry.deleted, pairs)
    };
    let all: Vec<_> = Entries::new(KEY, bytes).map(show).collect();
    assert!(Entries::new(KEY, bytes).rev().map(show).eq(all.iter().rev().cloned()));
    all
}

/// Sealed it shows the same, deletes the same, and opens to the same bytes.
fn check(pack: &[u8], deleted: &[usize]) {
    let Some(sealed) = seal(pack) else { panic!("it can be sealed") };
    assert!(is_sealed(&sealed) && !is_sealed(pack) && sealed.len() < pack.len());
    assert_eq!(open(&sealed), pack);
    let all = seen(pack);
    assert_eq!(seen(&sealed), all);
    let (mut loose, mut sealed) = (pack.to_vec(), sealed.into_vec());
    for at in deleted {
        let id = all[at % all.len()].0;
        assert_eq!(node::delete(&mut sealed, KEY, id), node::delete(&mut loose, KEY, id));
        assert_eq!((seen(&sealed), node::counts(&sealed)), (seen(&loose), node::counts(&loose)));
        assert_eq!(open(&sealed), loose);
    }
    let half = |id: Id| (id.ms - KEY.ms) / 2 + KEY.ms;
    let from = Id::new(half(all[all.len() - 1].0), 0);
    assert_eq!(node::delete_below(&mut sealed, KEY, from), node::delete_below(&mut loose, KEY, from));
    assert_eq!(node::delete_first_count(&mut sealed, KEY, 2), node::delete_first_count(&mut loose, KEY, 2));
    assert_eq!(open(&sealed), loose);
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => "[a-c]{0,20}".prop_map(String::into_bytes),
        2 => any::<i64>().prop_flat_map(|n| (0..63u32).prop_map(move |bits| (n >> bits).to_string().into_bytes())),
        1 => prop_oneof![Just(63usize), Just(64), 100..200usize, Just(5000)].prop_map(|len| vec![b'x'; len]),
    ]
}

fn entries() -> impl Strategy<Value = Vec<(u64, u64, Pairs)>> {
    let pairs = prop_oneof![
        3 => text().prop_map(|value| vec![(b"name".to_vec(), value)]),
        1 => proptest::collection::vec((text(), text()), 1..5),
    ];
    let seq = prop_oneof![Just(0u64), Just(62), Just(63), Just(64), 0..5000u64, Just(u64::MAX - 1)];
    let steps = proptest::collection::vec((1..9000u64, seq, pairs), 1..40);
    steps.prop_map(|mut steps| {
        let mut ms = 0;
        steps.iter_mut().skip(1).for_each(|step| {
            ms += step.0;
            step.0 = ms;
        });
        steps
    })
}

proptest! {
    #[test]
    fn is_the_listpack_in_fewer_bytes(entries in entries(), deleted in proptest::collection::vec(0..100usize, 0..8)) {
        check(&built(&entries), &deleted);
    }

    /// Whatever RESTORE lets in comes out again as it came.
    #[test]
    fn what_is_let_in_comes_out_again(entries in entries(), at in 0..4000usize, to in any::<u8>()) {
        let mut pack = built(&entries);
        let at = at % pack.len();
        pack[at] = to;
        let valid = listpack::validate(&pack, true) && node::validate(KEY, &pack).is_some();
        if let Some(sealed) = valid.then(|| seal(&pack)).flatten() {
            prop_assert_eq!(open(&sealed), &pack[..]);
            prop_assert_eq!(seen(&sealed), seen(&pack));
        }
    }
}

#[test]
fn long_forms_of_small_numbers_stay_as_they_are() {
    let pack = built(&[(0, 0, vec![(b"f".to_vec(), b"v".to_vec())])]);
    let elements: Vec<Vec<u8>> = listpack::iter(&pack).map(|element| element.to_vec()).collect();
    assert_eq!(elements.len(), 10);
    // live, deleted, fields, f, 0, flags, ms, seq, v, elements; each number in turn as 16 bits.
    for (wide, can_be_sealed) in
        [(0, false), (1, false), (2, true), (4, false), (5, false), (6, true), (7, true), (9, false)]
    {
        let mut pack = Vec::new();
        listpack::clear(&mut pack);
        let mut into = Appender::new(&mut pack);
        for (number, element) in elements.iter().enumerate() {
            match number == wide {
                true => into.bare(&[0xF1, element[0] - b'0', 0]),
                false => into.bytes(element),
            }
        }
        into.finish();
        assert!(listpack::validate(&pack, true) && node::validate(KEY, &pack).is_some(), "{wide}");
        let sealed = seal(&pack);
        assert_eq!(sealed.is_some(), can_be_sealed, "{wide}");
        assert!(sealed.is_none_or(|sealed| open(&sealed) == pack), "{wide}");
    }
}

#[test]
fn long_nodes_stay_as_they_are() {
    let value = |bytes| vec![(b"f".to_vec(), vec![b'x'; bytes])];
    assert!(pays(&built(&[(0, 0, value(50))])) && !pays(&built(&[(0, 0, value(500))])));
    let many = |count| built(&(0..count).map(|n| (n, 0, value(20))).collect::<Vec<_>>());
    assert!(pays(&many(1000)) && !pays(&many(3000)));
    assert!(seal(&many(20_000)).is_none(), "elements are not counted");
}

/// The figures of the essay: two short fields, as in `perf/compare`.
#[test]
fn a_third_is_left_out() {
    let pair = |name: &str, value: String| (name.as_bytes().to_vec(), value.into_bytes());
    let entry = |n| (n, 0, vec![pair("f1", format!("v{}", 100 + n)), pair("f2", format!("w{}", 100 + n))]);
    let pack = built(&(0..100).map(entry).collect::<Vec<_>>());
    let sealed = seal(&pack).expect("it can be sealed");
    assert!(sealed.len() * 3 < pack.len() * 2, "{} of {}", sealed.len(), pack.len());
}
