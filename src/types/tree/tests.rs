//! The tree against a sorted vector. Nodes are small here, so that a few hundred items make a tree of several levels.

use super::*;
use proptest::prelude::*;

/// A handle is a number; the member is its text, but each member has two handles, for members that move.
struct Names(Vec<String>);

const MEMBERS: u64 = 400;

impl Names {
    fn new(members: u64) -> Names {
        Names((0..members).map(|n| format!("{:x}", n.wrapping_mul(0x9e37_79b9) % 0xf_ffff)).collect())
    }

    fn of(&self, handle: u64) -> &[u8] {
        self.0[handle as usize % self.0.len()].as_bytes()
    }

    fn other(&self, handle: u64) -> u64 {
        let members = self.0.len() as u64;
        if handle < members { handle + members } else { handle - members }
    }

    fn cmp(&self, member: u64) -> impl Fn(u64) -> Ordering {
        move |handle| self.of(handle).cmp(self.of(member))
    }
}

#[derive(Clone, Debug)]
enum Op {
    Insert(i8, u64),
    InsertMany(i8, u64, u64),
    Remove(usize),
    RemoveAbsent(i8, u64),
    PopFirst,
    PopLast,
    RemoveRange(usize, usize),
    Move(usize),
    Score(usize, f64),
    Rebuild,
    TakeSlice(usize),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        4 => (-4..4i8, 0..MEMBERS).prop_map(|(score, member)| Op::Insert(score, member)),
        3 => (-4..4i8, 0..MEMBERS, 1..MEMBERS).prop_map(|(score, from, n)| Op::InsertMany(score, from, n)),
        3 => any::<usize>().prop_map(Op::Remove),
        1 => (-4..4i8, 0..MEMBERS).prop_map(|(score, member)| Op::RemoveAbsent(score, member)),
        2 => Just(Op::PopFirst),
        2 => Just(Op::PopLast),
        2 => (any::<usize>(), 0..200usize).prop_map(|(from, n)| Op::RemoveRange(from, n)),
        2 => any::<usize>().prop_map(Op::Move),
        3 => (any::<usize>(), -8..8i8).prop_map(|(at, score)| Op::Score(at, f64::from(score) / 2.0)),
        1 => Just(Op::Rebuild),
        1 => (0..100usize).prop_map(Op::TakeSlice),
    ];
    prop::collection::vec(op, 1..60)
}

/// The tree, and the same items in a vector.
struct Pair {
    names: Names,
    tree: Tree,
    model: Vec<Item>,
}

impl Pair {
    fn new(members: u64) -> Pair {
        Pair { names: Names::new(members), tree: Tree::new(), model: Vec::new() }
    }

    fn model_rank(&self, score: f64, member: &[u8]) -> usize {
        self.model.partition_point(|item| {
            item.score < score || (item.score == score && self.names.of(item.member) < member)
        })
    }

    fn insert(&mut self, score: f64, member: u64) {
        let present = |item: &Item| item.member % self.names.0.len() as u64 == member;
        if self.model.iter().any(present) {
            return;
        }
        let item = Item { score, member };
        self.tree.insert(item, self.names.cmp(member));
        self.model.insert(self.model_rank(score, self.names.of(member)), item);
    }

    fn apply(&mut self, op: Op) {
        let len = self.model.len();
        match op {
            Op::Insert(score, member) => self.insert(f64::from(score), member),
            Op::InsertMany(score, from, n) => {
                (from..MEMBERS.min(from + n)).for_each(|member| self.insert(f64::from(score), member))
            }
            Op::Remove(at) if len > 0 => {
                let item = self.model.remove(at % len);
                assert!(self.tree.remove(item, self.names.cmp(item.member)));
            }
            Op::RemoveAbsent(score, member) => {
                let item = Item { score: f64::from(score) + 0.25, member };
                assert!(!self.tree.remove(item, self.names.cmp(member)));
            }
            Op::PopFirst => {
                let first = (len > 0).then(|| self.model.remove(0));
                assert_eq!(self.tree.pop_first(), first);
            }
            Op::PopLast => assert_eq!(self.tree.pop_last(), self.model.pop()),
            Op::RemoveRange(from, n) => {
                let from = from % (len + 1);
                let mut removed = Vec::new();
                self.tree.remove_range(from, from + n, &mut |item| removed.push(item));
                let expected: Vec<Item> = self.model.drain(from..len.min(from + n)).collect();
                assert_eq!(removed, expected);
            }
            Op::Move(at) if len > 0 => {
                let Item { score, member } = self.model[at % len];
                let other = self.names.other(member);
                assert!(self.tree.replace_handle(score, member, other, |handle| {
                    assert_ne!(handle, member, "nothing may be left there");
                    self.names.cmp(member)(handle)
                }));
                self.model[at % len].member = other;
            }
            Op::Score(at, score) if len > 0 => {
                let old = self.model.remove(at % len);
                assert!(self.tree.set_score(old, score, self.names.cmp(old.member)));
                let rank = self.model_rank(score, self.names.of(old.member));
                self.model.insert(rank, Item { score, ..old });
            }
            Op::Rebuild => self.tree = Tree::from_sorted(self.model.iter().copied()),
            Op::TakeSlice(max) => {
                assert_eq!(self.tree.take_slice(max), self.tree.is_empty());
                assert!(self.tree.len() < len || len == 0);
                self.model.truncate(self.tree.len());
            }
            Op::Remove(_) | Op::Move(_) | Op::Score(..) => {}
        }
    }

    fn check(&self) {
        self.tree.verify(|handle| self.names.of(handle));
        assert_eq!((self.tree.len(), self.tree.is_empty()), (self.model.len(), self.model.is_empty()));
        assert_eq!(self.tree.iter_from(0).collect::<Vec<_>>(), self.model);
    }

    /// All questions, around the item of this rank.
    fn ask(&self, at: usize) {
        let (tree, model, len) = (&self.tree, &self.model, self.model.len());
        assert_eq!(tree.nth(at), model.get(at).copied());
        let forwards: Vec<Item> = tree.iter_from(at).collect();
        assert_eq!(forwards, model[at.min(len)..]);
        let from = at.min(len);
        for ranks in [from..len, 0..from, from / 2..from] {
            assert_eq!(gathered(tree, ranks.clone(), false), model[ranks.clone()]);
            assert_eq!(gathered(tree, ranks.clone(), true), model[ranks]);
        }
        assert_eq!(
            tree.partition_point(|score, handle| {
                let order = model.get(at).map(|item| {
                    score.total_cmp(&item.score).then(self.names.of(handle).cmp(self.names.of(item.member)))
                });
                order.is_none_or(|order| order == Ordering::Less)
            }),
            at.min(len)
        );
        for half in -9..9 {
            let score = f64::from(half) / 2.0;
            for member in [&b""[..], b"8", b"\xff"] {
                let rank = tree.rank_of(score, member, |handle| self.names.of(handle));
                assert_eq!(rank, self.model_rank(score, member));
            }
            assert_eq!(tree.first_at_or_after(score), self.model_rank(score, b""));
            assert_eq!(tree.count_below(score, true), self.model_rank(score, b"\xff"));
        }
        if let Some(item) = model.get(at) {
            let rank = tree.rank_of(item.score, self.names.of(item.member), |handle| self.names.of(handle));
            assert_eq!(rank, at);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn behaves_as_a_sorted_vector(ops in ops(), at in any::<usize>()) {
        let mut pair = Pair::new(MEMBERS);
        for op in ops {
            pair.apply(op);
            pair.check();
            pair.ask(at % (pair.model.len() + 2));
        }
    }
}

/// The items of these ranks in order, as runs that came in either order.
fn gathered(tree: &Tree, ranks: Range<usize>, reverse: bool) -> Vec<Item> {
    let mut items = Vec::new();
    tree.for_runs(ranks, reverse, |scores, handles| {
        let run =
            scores.iter().zip(handles).map(|(&bits, &member)| Item { score: f64::from_bits(bits), member });
        let at = if reverse { 0 } else { items.len() };
        items.splice(at..at, run);
    });
    items
}

fn item(n: u64) -> Item {
    Item { score: n as f64, member: n }
}

fn never(_: u64) -> Ordering {
    panic!("no two scores are equal")
}

fn resolve_never<'a>(_: u64) -> &'a [u8] {
    panic!("no two scores are equal")
}

/// Numbers below `n` in an order that looks random, each once.
fn shuffled(n: u64) -> impl Iterator<Item = u64> {
    (0..n.next_power_of_two())
        .map(move |i| i.wrapping_mul(0x9e37_79b1) % n.next_power_of_two())
        .filter(move |&i| i < n)
}

#[test]
fn the_comparator_is_called_for_equal_scores_only() {
    let mut tree = Tree::new();
    shuffled(5000).for_each(|n| tree.insert(item(n), never));
    tree.verify(resolve_never);
    assert_eq!(tree.rank_of(70.5, b"x", resolve_never), 71);
    assert!((0..5000).all(|n| tree.nth(n as usize) == Some(item(n))));
    shuffled(4900).for_each(|n| assert!(tree.remove(item(n), never)));
    tree.verify(resolve_never);
    assert_eq!(tree.iter_from(0).collect::<Vec<_>>(), (4900..5000).map(item).collect::<Vec<_>>());
}

#[test]
fn what_is_filled_in_order_is_dense() {
    for order in [0, 1] {
        let mut tree = Tree::new();
        (0..3000).for_each(|n| tree.insert(item(if order == 0 { n } else { 2999 - n }), never));
        tree.verify(resolve_never);
        let built = Tree::from_sorted((0..3000).map(item));
        assert!(tree.bytes_allocated() < built.bytes_allocated() * 5 / 4, "{}", tree.bytes_allocated());
    }
}

#[test]
fn a_queue_stays_small() {
    let mut tree = Tree::from_sorted((0..500).map(item));
    let bytes = tree.bytes_allocated();
    for n in 500..5000 {
        assert_eq!(tree.pop_first(), Some(item(n - 500)));
        tree.insert(item(n), never);
    }
    tree.verify(resolve_never);
    assert!(tree.bytes_allocated() < bytes * 3 / 2, "{} from {bytes}", tree.bytes_allocated());
}

#[test]
fn an_emptied_tree_holds_no_more_than_a_new_one_s_few_bytes() {
    let mut tree = Tree::from_sorted((0..5000).map(item));
    let mut gone = 0;
    tree.remove_range(10, 5000, &mut |_| gone += 1);
    assert_eq!((gone, tree.len()), (4990, 10));
    tree.verify(resolve_never);
    while !tree.take_slice(3) {}
    tree.verify(resolve_never);
    assert!(tree.bytes_allocated() < 2000, "{}", tree.bytes_allocated());
    tree.insert(item(7), never);
    tree.verify(resolve_never);
    assert_eq!(tree.nth(0), Some(item(7)));
}

#[test]
fn a_slice_is_about_as_large_as_asked_for() {
    let mut tree = Tree::from_sorted((0..5000).map(item));
    let mut slices = 0;
    while !tree.take_slice(500) {
        slices += 1;
        assert!(tree.len() >= 5000 - slices * (500 + LEAF_MAX));
    }
    assert!(slices >= 8, "{slices}");
}

#[test]
fn nothing_comes_of_an_empty_tree() {
    let mut tree = Tree::new();
    assert_eq!((tree.pop_first(), tree.pop_last(), tree.nth(0)), (None, None, None));
    assert_eq!(tree.iter_from(0).count(), 0);
    tree.for_runs(0..0, true, |_, _| panic!("nothing is there"));
    assert_eq!((tree.count_below(1.0, true), tree.rank_of(1.0, b"x", resolve_never)), (0, 0));
    assert!(!tree.remove(item(1), never) && !tree.set_score(item(1), 2.0, never));
    tree.remove_range(0, 9, &mut |_| panic!("nothing is there"));
    assert!(tree.take_slice(1));
}

#[test]
fn both_zeros_are_one_score() {
    let mut tree = Tree::new();
    tree.insert(Item { score: 0.0, member: 2 }, never);
    tree.insert(Item { score: -0.0, member: 1 }, |handle| handle.cmp(&1));
    assert_eq!(tree.iter_from(0).map(|item| item.member).collect::<Vec<_>>(), [1, 2]);
    assert!(tree.remove(Item { score: 0.0, member: 1 }, |handle| handle.cmp(&1)));
    assert_eq!(tree.len(), 1);
}
