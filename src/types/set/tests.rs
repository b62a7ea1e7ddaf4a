//! Sets against a model, and how they are spread out by chance.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use proptest::prelude::*;

use super::algebra::{Views, intersect, subtract, union_parts, unite};
use super::*;
use crate::base::rng::Rng;

type Model = BTreeSet<Vec<u8>>;

const LIMITS: Limits =
    Limits { set_ints_max: 8, set_entries_max: 6, set_value_bytes_max: 5, ..Limits::NONE_PACKED };

fn new_set() -> Set {
    Set::new(Vec::new())
}

fn texts(set: SetView) -> Vec<Vec<u8>> {
    let mut members = Vec::new();
    set.for_each(|member| members.push(member.to_vec()));
    members
}

fn model_of(set: SetView) -> Model {
    let members = texts(set);
    let model: Model = members.iter().cloned().collect();
    assert_eq!((members.len(), set.len()), (model.len(), model.len()), "no member twice");
    model
}

fn set_of<'a>(members: impl IntoIterator<Item = &'a Vec<u8>>) -> Set {
    let mut set = new_set();
    members.into_iter().for_each(|member| {
        set.add(member, &LIMITS);
    });
    set
}

fn member() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => (-9..9i64).prop_map(|value| value.to_string().into_bytes()),
        1 => proptest::sample::select(vec!["99999", "999999", "01", "", "-0", "a", "b", "abcde", "abcdef"])
            .prop_map(|text| text.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 250..260),
    ]
}

fn members(max: usize) -> impl Strategy<Value = Vec<Vec<u8>>> {
    proptest::collection::vec(member(), 0..max)
}

proptest! {
    #[test]
    fn agrees_with_a_model(steps in proptest::collection::vec((0..4u8, member(), 0..5usize), 0..60), seed: u64) {
        let (mut set, mut model, mut rng) = (new_set(), Model::new(), Rng::seeded(seed));
        for (action, member, count) in steps {
            match action {
                0 => prop_assert_eq!(set.remove(&member), model.remove(&member)),
                1 if count < model.len() => {
                    let mut popped = Vec::new();
                    set.pop_many(count, &mut rng, &LIMITS, |member| popped.push(member.to_vec()));
                    prop_assert_eq!(popped.len(), count);
                    popped.iter().for_each(|member| assert!(model.remove(member)));
                }
                2 if model.len() > 1 => set.pop(&mut rng, |member| {
                    member.with(|text| assert!(model.remove(text)));
                }),
                _ => prop_assert_eq!(set.add(&member, &LIMITS), model.insert(member.clone())),
            }
            prop_assert_eq!(&model_of(set.view()), &model);
            prop_assert_eq!(set.is_empty(), model.is_empty());
            prop_assert_eq!(set.view().contains(&member), model.contains(&member));
            prop_assert_eq!(&model_of(set.duplicate().view()), &model);
            match &set {
                Set::Ints(ints) => prop_assert!(model.is_empty() || crate::types::intset::validate(ints, true)),
                Set::Packed(pack) => prop_assert!(listpack::validate(pack, true) && model.len() <= 6),
                Set::Table(table) => table.verify(),
            }
        }
    }

    #[test]
    fn samples_are_members(all in members(40), count in 0..50usize, seed: u64) {
        let (set, mut rng) = (set_of(&all), Rng::seeded(seed));
        let model = model_of(set.view());
        prop_assume!(!model.is_empty());
        let mut drawn = Vec::new();
        set.view().draw(count, &mut rng, |member| drawn.push(member.to_vec()));
        prop_assert_eq!(drawn.len(), count);
        prop_assert!(drawn.iter().all(|member| model.contains(member)));
        drawn.clear();
        let count = count.min(model.len());
        set.view().sample(count, &mut rng, |member| drawn.push(member.to_vec()));
        let distinct: Model = drawn.iter().cloned().collect();
        prop_assert_eq!((drawn.len(), distinct.len()), (count, count));
        prop_assert!(distinct.is_subset(&model));
    }

    #[test]
    fn algebra_agrees_with_the_model(all in proptest::collection::vec(members(80), 1..6)) {
        let sets: Vec<Set> = all.iter().map(set_of).collect();
        let views: Views = sets.iter().map(Set::view).collect();
        let models: Vec<Model> = views.iter().map(|view| model_of(*view)).collect();
        let union: Model = models.iter().flatten().cloned().collect();
        let common: Model =
            union.iter().filter(|member| models.iter().all(|model| model.contains(*member))).cloned().collect();
        let rest: Model = models[0]
            .iter()
            .filter(|member| !models[1..].iter().any(|model| model.contains(*member)))
            .cloned()
            .collect();

        let mut found = Vec::new();
        intersect(views.clone(), |member| {
            found.push(member.to_vec());
            ControlFlow::Continue(())
        });
        prop_assert_eq!(found.len(), common.len());
        prop_assert_eq!(Model::from_iter(found), common);

        prop_assert_eq!(&model_of(unite(&views, new_set(), &LIMITS).view()), &union);
        prop_assert_eq!(&model_of(union_parts(&views, &LIMITS).into_set(&LIMITS).view()), &union);

        let some: Vec<_> = views.iter().copied().map(Some).collect();
        for store in [false, true] {
            let outcome = subtract(&some, &LIMITS, store);
            let mut left = Vec::new();
            outcome.for_each(|member| left.push(member.to_vec()));
            prop_assert_eq!(left.len(), rest.len());
            prop_assert_eq!(&Model::from_iter(left), &rest);
        }
    }
}

#[test]
fn integers_are_in_order() {
    let set = set_of(&["5", "-3", "70000", "0"].map(|text| text.as_bytes().to_vec()));
    assert_eq!(texts(set.view()), ["-3", "0", "5", "70000"].map(|text| text.as_bytes().to_vec()));
}

#[test]
fn large_sets_are_sifted_in_windows() {
    let number = |value: u32| format!("member:{value}").into_bytes();
    let [a, b, c] = [(0, 2), (0, 3), (1, 2)].map(|(from, step)| {
        let mut set = Set::table();
        (from..10_000).step_by(step).for_each(|value| {
            set.add(&number(value), &LIMITS);
        });
        set
    });
    let mut found = 0;
    intersect(Views::from_slice(&[a.view(), b.view()]), |_| {
        found += 1;
        ControlFlow::Continue(())
    });
    assert_eq!(found, 10_000_usize.div_ceil(6));
    found = 0;
    intersect(Views::from_slice(&[a.view(), b.view()]), |_| {
        found += 1;
        if found == 100 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert_eq!(found, 100);
    found = 0;
    union_parts(&Views::from_slice(&[a.view(), c.view(), b.view()]), &LIMITS).for_each(|_| found += 1);
    assert_eq!(found, 10_000);
}

/// Draws from ten members, many times, and counts each.
fn counts(set: &Set, mut draw: impl FnMut(&Set, &mut Rng, &mut dyn FnMut(Element))) -> Vec<usize> {
    let mut rng = Rng::seeded(7);
    let mut counts = vec![0; 10];
    for _ in 0..10_000 {
        draw(set, &mut rng, &mut |member| counts[member.as_i64().expect("they are digits") as usize] += 1);
    }
    counts
}

#[test]
fn every_member_is_as_likely() {
    let wide = Limits { set_ints_max: 100, set_entries_max: 100, ..LIMITS };
    let ints = set_of_digits(new_set(), &wide);
    let packed = set_of_digits(Set::Packed(listpack::empty()), &wide);
    let table = set_of_digits(Set::table(), &wide);
    let even = |counts: Vec<usize>, each: usize| {
        assert!(counts.iter().all(|&count| count.abs_diff(each) < each / 5), "{counts:?}");
    };
    for set in [ints, packed, table] {
        even(counts(&set, |set, rng, visit| visit(set.view().random(rng))), 1_000);
        even(counts(&set, |set, rng, visit| set.view().sample(2, rng, visit)), 2_000);
        even(counts(&set, |set, rng, visit| set.view().sample(5, rng, visit)), 5_000);
        even(counts(&set, |set, rng, visit| set.duplicate().pop(rng, visit)), 1_000);
        for count in [3, 9] {
            let pop = |set: &Set, rng: &mut Rng, visit: &mut dyn FnMut(Element)| {
                set.duplicate().pop_many(count, rng, &LIMITS, visit);
            };
            even(counts(&set, pop), count * 1_000);
        }
    }
}

fn set_of_digits(mut set: Set, limits: &Limits) -> Set {
    (0..10).for_each(|digit| {
        set.add_element(Element::Int(digit), limits);
    });
    set
}
