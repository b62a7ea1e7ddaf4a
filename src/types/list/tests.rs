//! Lists against a deque of byte strings; every step ends with `verify`.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

fn limits(list_size_max: i64) -> Limits {
    Limits { list_size_max, ..Limits::default() }
}

#[derive(Clone, Debug)]
enum Step {
    Push(Side, Vec<Vec<u8>>),
    Pop(Side, usize),
    Set(i64, Vec<u8>),
    /// At the element of that index, before or behind it.
    Insert(usize, bool, Vec<u8>),
    RemoveEqual(Side, usize, usize),
    Trim(usize, usize),
    Rotate(Side, Side),
    Slice(usize, usize),
    Duplicate,
    /// The option changes while the list is there.
    Limit(i64),
}

fn side() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Side::Left), Just(Side::Right)]
}

/// Sizes on both sides of every limit, few distinct values among the short ones, integers of every width.
fn element() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => (0..20i64).prop_map(|n| n.to_string().into_bytes()),
        2 => any::<i64>().prop_flat_map(|n| (0..63u32).prop_map(move |by| (n >> by).to_string().into_bytes())),
        4 => (0..9u8, 0..80usize).prop_map(|(letter, len)| vec![b'a' + letter; len]),
        2 => (300..1500usize).prop_map(|len| vec![b'm'; len]),
        1 => (4080..4100usize).prop_map(|len| vec![b'n'; len]),
        1 => (8160..8210usize).prop_map(|len| vec![b'o'; len]),
        1 => Just(b"007".to_vec()),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (side(), prop::collection::vec(element(), 1..12)).prop_map(|(side, all)| Step::Push(side, all)),
        2 => (side(), element(), 1..600usize).prop_map(|(side, one, n)| Step::Push(side, vec![one.clone(); n.min(40_000 / one.len().max(1))])),
        4 => (side(), 0..10usize).prop_map(|(side, count)| Step::Pop(side, count)),
        1 => (side(), 0..1000usize).prop_map(|(side, count)| Step::Pop(side, count)),
        4 => (-60..60i64, element()).prop_map(|(index, element)| Step::Set(index, element)),
        5 => (any::<usize>(), any::<bool>(), element()).prop_map(|(at, after, element)| Step::Insert(at, after, element)),
        3 => (side(), prop_oneof![Just(1), 2..6usize, Just(usize::MAX)], any::<usize>())
            .prop_map(|(side, count, at)| Step::RemoveEqual(side, count, at)),
        1 => (0..100usize, 0..100usize).prop_map(|(from, to)| Step::Trim(from, to)),
        2 => (side(), side()).prop_map(|(from, to)| Step::Rotate(from, to)),
        3 => (any::<usize>(), any::<usize>()).prop_map(|(from, to)| Step::Slice(from, to)),
        1 => Just(Step::Duplicate),
        1 => prop_oneof![Just(-1), Just(-2), Just(1), Just(3), Just(100)].prop_map(Step::Limit),
    ]
}

type Model = VecDeque<Vec<u8>>;

fn pop_from(model: &mut Model, side: Side) -> Option<Vec<u8>> {
    if side == Side::Left { model.pop_front() } else { model.pop_back() }
}

fn push_to(model: &mut Model, side: Side, element: Vec<u8>) {
    if side == Side::Left { model.push_front(element) } else { model.push_back(element) }
}

fn check_contents(list: &List, model: &Model) {
    assert_eq!(list.view().len(), model.len());
    assert!(list.view().iter().map(|it| it.to_vec()).eq(model.iter().cloned()), "forwards");
    assert!(list.view().iter().rev().map(|it| it.to_vec()).eq(model.iter().rev().cloned()), "backwards");
}

fn run(list: &mut List, model: &mut Model, limits: &mut Limits, step: Step) {
    match step {
        Step::Push(side, elements) => {
            list.prepare(elements.iter().map(Vec::len).sum(), elements.len(), limits);
            for element in elements {
                list.push_prepared(side, &element);
                push_to(model, side, element);
            }
        }
        Step::Pop(side, count) => {
            let mut popped = Vec::new();
            list.pop(side, count, limits, |element| popped.push(element.to_vec()));
            let expected: Vec<_> = (0..count).map_while(|_| pop_from(model, side)).collect();
            assert_eq!(popped, expected);
        }
        Step::Set(index, element) => {
            let place = from_front(index, model.len()).filter(|&at| at < model.len());
            assert_eq!(list.set(index, &element, limits), place.is_some());
            if let Some(at) = place {
                model[at] = element;
            }
        }
        Step::Insert(at, after, element) => {
            let pivot = at.checked_rem(model.len()).map_or(b"absent".to_vec(), |at| model[at].clone());
            let place = model.iter().position(|it| *it == pivot);
            assert_eq!(list.insert(&pivot, after, &element, limits), place.is_some());
            if let Some(at) = place {
                model.insert(at + after as usize, element);
            }
        }
        Step::RemoveEqual(from, count, at) => {
            let needle = at.checked_rem(model.len()).map_or(b"absent".to_vec(), |at| model[at].clone());
            let mut places: Vec<_> = (0..model.len()).filter(|&at| model[at] == needle).collect();
            if from == Side::Right {
                places.drain(..places.len().saturating_sub(count));
            } else {
                places.truncate(count);
            }
            assert_eq!(list.remove_equal(from, count, &needle, limits), places.len());
            places.iter().rev().for_each(|&at| drop(model.remove(at)));
        }
        Step::Trim(from, to) => {
            let (from, to) = (from.min(model.len()), to.min(model.len()));
            let dropped = list.trim(from, model.len() - to, limits);
            if let Some(mut dropped) = dropped {
                dropped.verify();
                while !dropped.free_slice(100) {}
            }
            *model = if from < model.len() - to {
                model.range(from..model.len() - to).cloned().collect()
            } else {
                Model::new()
            };
        }
        Step::Rotate(from, to) => {
            let Some(element) = pop_from(model, from) else { return };
            list.rotate(from, to, limits, |moved| assert!(moved.equals(&element)));
            push_to(model, to, element);
        }
        Step::Slice(from, to) => {
            let (from, to) = (from % (model.len() + 1), to % (model.len() + 1));
            if from < to {
                assert!(list.view().slice(from, to).map(|it| it.to_vec()).eq(model.range(from..to).cloned()));
                assert_eq!(list.view().get(from as i64).map(|it| it.to_vec()), Some(model[from].clone()));
            }
        }
        Step::Duplicate => {
            let copy = list.duplicate();
            copy.verify();
            check_contents(&copy, model);
            assert!(copy.bytes_allocated() <= list.bytes_allocated());
            *list = copy;
        }
        Step::Limit(max) => limits.list_size_max = max,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn a_list_is_a_deque(size_max in prop_oneof![Just(-2), Just(-1), Just(2), Just(10)], steps in prop::collection::vec(step(), 1..60)) {
        let (mut list, mut model, mut limits) = (List::Packed(listpack::empty()), Model::new(), limits(size_max));
        for step in steps {
            run(&mut list, &mut model, &mut limits, step);
            list.verify();
            check_contents(&list, &model);
            prop_assert_eq!(list.is_empty(), model.is_empty());
        }
    }
}

fn numbers(count: usize, limits: &Limits) -> List {
    let texts: Vec<_> = (0..count).map(|n| format!("element {n}").into_bytes()).collect();
    List::from_elements(texts.iter().map(|it| &**it), limits)
}

/// The nodes that a list has.
fn nodes(list: &List) -> usize {
    list.view().chunks().count()
}

#[test]
fn chunks_make_the_same_list_again() {
    let limits = limits(-2);
    let mut list = numbers(5000, &limits);
    list.push(Side::Right, &[b'x'; 9000], &limits);
    let chunks: Vec<_> = list
        .view()
        .chunks()
        .map(|chunk| match chunk {
            Chunk::Listpack(pack) => OwnedChunk::Listpack(pack.to_vec()),
            Chunk::Plain(bytes) => OwnedChunk::Plain(bytes.to_vec()),
        })
        .collect();
    assert!(chunks.len() > 5);
    let again = List::from_chunks(chunks, &limits);
    again.verify();
    assert!(again.view().iter().map(|it| it.to_vec()).eq(list.view().iter().map(|it| it.to_vec())));
    let small = List::from_chunks([OwnedChunk::Listpack(listpack::empty())], &limits);
    assert_eq!((small.view().len(), small.encoding()), (0, Encoding::Listpack));
}

#[test]
fn pushing_at_either_end_wastes_little() {
    let limits = limits(-2);
    for side in [Side::Left, Side::Right] {
        let mut list = List::Packed(listpack::empty());
        (0..200_000).for_each(|n| list.push(side, format!("element {n}").as_bytes(), &limits));
        list.verify();
        let bytes: usize = list.view().iter().map(|it| it.len() + 2).sum();
        assert!(list.bytes_allocated() < bytes + bytes / 20, "{} for {bytes}", list.bytes_allocated());
    }
}

#[test]
fn removing_from_everywhere_leaves_few_sparse_nodes() {
    let limits = limits(-2);
    let mut list = List::Packed(listpack::empty());
    for n in 0..100_000 {
        let text = if n % 50 == 0 { format!("kept {n}") } else { "gone".into() };
        list.push(Side::Right, text.as_bytes(), &limits);
    }
    let before = nodes(&list);
    assert_eq!(list.remove_equal(Side::Right, 49_000, b"gone", &limits), 49_000);
    list.verify();
    assert_eq!(list.remove_equal(Side::Left, usize::MAX, b"gone", &limits), 49_000);
    list.verify();
    assert_eq!(list.view().len(), 2000);
    assert!(before > 50 && nodes(&list) <= 16, "{before} nodes, then {}", nodes(&list));
}

#[test]
fn a_trim_hands_back_what_is_much() {
    let limits = limits(-2);
    let mut list = numbers(200_000, &limits);
    let mut dropped = list.trim(100_000, 100_010, &limits).expect("half the nodes and more are to be freed");
    list.verify();
    assert_eq!((list.view().len(), list.encoding()), (10, Encoding::Listpack));
    let mut slices = 0;
    while !dropped.free_slice(256) {
        slices += 1;
    }
    assert!(slices > 5 && dropped.is_empty());
}

#[test]
fn replacing_by_larger_elements_splits_a_node_at_last() {
    let limits = limits(-2);
    let mut list = numbers(1000, &limits);
    (0..1000).for_each(|at| assert!(list.set(at, &[b'l'; 1000], &limits)));
    list.verify();
    let largest = list.view().chunks().map(|chunk| match chunk {
        Chunk::Listpack(pack) => pack.len(),
        Chunk::Plain(_) => 0,
    });
    assert!(largest.max().unwrap() < 5 * 8192);
}
