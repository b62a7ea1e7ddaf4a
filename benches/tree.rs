//! The tree of a large sorted set: changes, ranks and walks, at a million items. `cargo bench --bench tree`.
//! Prints the bytes an item takes, at five million.

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use ringfort::types::tree::{Item, Tree};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::hint::black_box;

const ITEMS: u64 = 1 << 20;

/// Scores that look random, and hardly any of them twice.
fn item(n: u64) -> Item {
    let mixed = (n ^ (n >> 31)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    Item { score: ((mixed ^ (mixed >> 32)) >> 20) as f64, member: n }
}

/// Members in this bench are ordered by their handles.
fn insert(tree: &mut Tree, item: Item) {
    tree.insert(item, |handle| handle.cmp(&item.member));
}

fn filled(items: u64) -> Tree {
    let mut tree = Tree::new();
    (0..items).for_each(|n| insert(&mut tree, item(n)));
    tree
}

fn bytes() {
    const MANY: u64 = 5_000_000;
    let report = |how: &str, tree: Tree| {
        println!("{how}: {:.2} bytes an item", tree.bytes_allocated() as f64 / tree.len() as f64);
    };
    let ascending = |n: u64| Item { score: n as f64, member: n };
    report("random order", filled(MANY));
    let mut tree = Tree::new();
    (0..MANY).for_each(|n| insert(&mut tree, ascending(n)));
    report("in order", tree);
    report("from_sorted", Tree::from_sorted((0..MANY).map(ascending)));
}

/// The unit tests run with small nodes; this is the only check of those of full size.
fn check() {
    let mut tree = filled(ITEMS);
    tree.verify(|_| b"no two scores are equal");
    for n in (0..ITEMS).filter(|n| n % 16 != 0) {
        assert!(tree.remove(item(n), |handle| handle.cmp(&n)));
    }
    tree.verify(|_| b"no two scores are equal");
    println!("{:.2} bytes an item, after 15 of 16 went", tree.bytes_allocated() as f64 / tree.len() as f64);
    tree.remove_range(1000, 50_000, &mut |_| ());
    tree.verify(|_| b"no two scores are equal");
}

fn changes(c: &mut Criterion) {
    check();
    bytes();
    let mut tree = filled(ITEMS);
    let mut next = ITEMS;
    c.bench_function("insert 1000 at random, remove them", |b| {
        b.iter(|| {
            (next..next + 1000).for_each(|n| insert(&mut tree, item(n)));
            for n in next..next + 1000 {
                assert!(tree.remove(item(n), |handle| handle.cmp(&n)));
            }
            next += 1000;
        })
    });
    let mut map: BTreeMap<(u64, u64), ()> = (0..ITEMS).map(|n| ((item(n).score.to_bits(), n), ())).collect();
    c.bench_function("the same in std's BTreeMap", |b| {
        b.iter(|| {
            for n in next..next + 1000 {
                map.insert((item(n).score.to_bits(), n), ());
            }
            for n in next..next + 1000 {
                assert!(map.remove(&(item(n).score.to_bits(), n)).is_some());
            }
            next += 1000;
        })
    });
    let mut group = c.benchmark_group("fill a million");
    group.sample_size(10);
    group.bench_function("tree", |b| b.iter_batched(|| (), |()| filled(ITEMS), BatchSize::PerIteration));
    group.bench_function("std's BTreeMap", |b| {
        let fill = || (0..ITEMS).map(|n| ((item(n).score.to_bits(), n), ()));
        let insert = |mut map: BTreeMap<(u64, u64), ()>, (key, ())| {
            map.insert(key, ());
            map
        };
        b.iter_batched(|| (), |()| fill().fold(BTreeMap::new(), insert), BatchSize::PerIteration)
    });
    group.finish();
    c.bench_function("pop_first and insert", |b| {
        b.iter(|| {
            let first = tree.pop_first().expect("a million items");
            next += 1;
            insert(&mut tree, Item { score: first.score + item(next).score, member: next });
        })
    });
    c.bench_function("set_score by a little", |b| {
        b.iter(|| {
            next = next.wrapping_add(7919);
            let old = tree.nth((next % ITEMS) as usize).expect("a million items");
            let cmp = |handle: u64| -> Ordering { handle.cmp(&old.member) };
            assert!(tree.set_score(old, old.score + 1.0, cmp));
        })
    });
}

fn questions(c: &mut Criterion) {
    let tree = filled(ITEMS);
    let mut n = 0;
    let mut any = move || {
        n = (n + 777_767) % ITEMS;
        n
    };
    c.bench_function("rank_of", |b| {
        b.iter(|| {
            let item = item(any());
            black_box(tree.rank_of(item.score, b"m", |_| b"m"))
        })
    });
    c.bench_function("count_below", |b| b.iter(|| black_box(tree.count_below(item(any()).score, true))));
    c.bench_function("nth", |b| b.iter(|| black_box(tree.nth(any() as usize))));
    c.bench_function("iterate 100", |b| {
        b.iter(|| tree.iter_from(any() as usize).take(100).map(|item| item.member).fold(0, u64::wrapping_add))
    });
    c.bench_function("runs of 100 back", |b| {
        b.iter(|| {
            let (end, mut sum) = (any().max(100) as usize, 0u64);
            tree.for_runs(end - 100..end, true, |_, handles| {
                sum = handles.iter().fold(sum, |sum, &handle| sum.wrapping_add(handle));
            });
            sum
        })
    });
}

criterion_group!(benches, changes, questions);
criterion_main!(benches);
