//! A sorted set against a sorted vector, around the limits of the packed form.

use super::*;
use proptest::prelude::*;
use std::cmp::Ordering;

#[derive(Clone, Debug)]
enum Op {
    Add(u8, i8),
    AddFraction(u8, i8),
    AddLong(u8),
    Refuse(u8),
    Remove(u8),
    RemoveRange(i8, i8),
    Pop(bool, usize),
    Expect(usize, usize),
    Duplicate,
    Gather,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        8 => (any::<u8>(), any::<i8>()).prop_map(|(member, score)| Op::Add(member % 60, score / 8)),
        2 => (any::<u8>(), any::<i8>()).prop_map(|(member, score)| Op::AddFraction(member % 60, score)),
        1 => any::<u8>().prop_map(Op::AddLong),
        1 => any::<u8>().prop_map(Op::Refuse),
        3 => any::<u8>().prop_map(|member| Op::Remove(member % 60)),
        1 => (any::<i8>(), any::<i8>()).prop_map(|(from, to)| Op::RemoveRange(from, to)),
        2 => (any::<bool>(), 0..4usize).prop_map(|(last, count)| Op::Pop(last, count)),
        1 => (0..30usize, 0..30usize).prop_map(|(members, bytes_max)| Op::Expect(members, bytes_max)),
        1 => Just(Op::Duplicate),
        1 => Just(Op::Gather),
    ];
    prop::collection::vec(op, 1..80)
}

/// Some members are integers, which a listpack stores as such.
fn name(member: u8) -> Vec<u8> {
    if member.is_multiple_of(3) { member.to_string().into() } else { format!("member{member}").into() }
}

fn limits() -> Limits {
    Limits { zset_entries_max: 12, zset_value_bytes_max: 20, ..Limits::default() }
}

fn before(a: &(Vec<u8>, f64), b: &(Vec<u8>, f64)) -> Ordering {
    a.1.partial_cmp(&b.1).unwrap().then_with(|| a.0.cmp(&b.0))
}

struct Pair {
    zset: Zset,
    model: Vec<(Vec<u8>, f64)>,
}

impl Pair {
    fn add(&mut self, member: Vec<u8>, score: f64) {
        let at = self.model.iter().position(|(other, _)| *other == member);
        let old = at.map(|at| self.model.remove(at).1);
        self.zset.update(&member, &limits(), |seen| {
            assert_eq!(seen, old);
            Some(score)
        });
        self.model.push((member, score));
        self.model.sort_by(before);
    }

    fn apply(&mut self, op: Op) {
        let len = self.model.len();
        match op {
            Op::Add(member, score) => self.add(name(member), f64::from(score)),
            Op::AddFraction(member, score) => self.add(name(member), f64::from(score) / 7.0),
            Op::AddLong(member) => self.add(vec![b'x'; 15 + usize::from(member % 8)], f64::INFINITY),
            Op::Refuse(member) => self.zset.update(&name(member), &limits(), |_| None),
            Op::Remove(member) => {
                let at = self.model.iter().position(|(other, _)| *other == name(member));
                let score = at.map(|at| self.model.remove(at).1);
                assert_eq!(self.zset.remove(&name(member)), score);
            }
            Op::RemoveRange(from, to) => {
                let ranks = self.zset.view().ranks(&Range::Rank(from.into(), to.into()));
                self.model.drain(ranks.clone());
                self.zset.remove_range(ranks);
            }
            Op::Pop(last, count) => {
                let count = count.min(len);
                let mut expected: Vec<_> = if last {
                    self.model.drain(len - count..).rev().collect()
                } else {
                    self.model.drain(..count).collect()
                };
                self.zset.pop(last, count, |member, score| {
                    assert_eq!((member.to_vec(), score), expected.remove(0));
                });
                assert!(expected.is_empty());
            }
            Op::Expect(members, bytes_max) => self.zset.expect(members, bytes_max, &limits()),
            Op::Duplicate => {
                let copy = self.zset.duplicate();
                let mut old = std::mem::replace(&mut self.zset, copy);
                while !old.free_slice(3) {}
            }
            Op::Gather => {
                let mut gathered = Gathered::default();
                self.zset.view().for_each(|member, score| {
                    let _ = member.with(|member| gathered.add(member, score - 1.0));
                    member.with(|member| gathered.merge(member, 1.0, |a, b| a + b));
                });
                gathered.merge(b"gone", 0.0, |_, b| b);
                gathered.remove(b"gone");
                self.zset = Zset::gathered(gathered, &limits());
                self.model.iter_mut().for_each(|(_, score)| *score = *score - 1.0 + 1.0);
                self.model.sort_by(before);
                let longest = self.model.iter().map(|(member, _)| member.len()).max().unwrap_or(0);
                let large = len > limits().zset_entries_max || longest > limits().zset_value_bytes_max;
                assert_eq!(matches!(self.zset, Zset::Tree(_)), large);
            }
        }
    }

    fn check(&self) {
        match &self.zset {
            Zset::Packed(pack) => {
                assert!(listpack::validate(pack, true));
                assert!(self.model.len() <= limits().zset_entries_max);
            }
            Zset::Tree(sorted) => sorted.verify(),
        }
        let (view, len) = (self.zset.view(), self.model.len());
        assert_eq!((view.len(), view.is_empty()), (len, len == 0));
        for reverse in [false, true] {
            let mut seen = Vec::new();
            view.for_range(0..len, reverse, |member, score| seen.push((member.to_vec(), score)));
            if reverse {
                seen.reverse();
            }
            assert_eq!(seen, self.model);
        }
        let mut seen = Vec::new();
        let mut cursor = 0;
        loop {
            cursor = view.scan(cursor, &mut |member, score| seen.push((member.to_vec(), score)));
            if cursor == 0 {
                break;
            }
        }
        seen.sort_by(before);
        assert_eq!(seen, self.model);
    }

    fn ask(&self, a: i8, b: i8) {
        let view = self.zset.view();
        for (rank, (member, score)) in self.model.iter().enumerate() {
            assert_eq!(view.rank(member), Some((rank, *score)));
            assert_eq!(
                view.nth(rank).map(|(found, score)| (found.to_vec(), score)),
                Some((member.clone(), *score))
            );
        }
        assert_eq!((view.score(b"none"), view.rank(b"none")), (None, None));
        assert!(view.nth(self.model.len()).is_none());
        let (low, high) = (f64::from(a / 8), f64::from(b / 8));
        for (open, close) in [("", ""), ("(", ""), ("", "("), ("(", "(")] {
            let (min, max) = (format!("{open}{low}"), format!("{close}{high}"));
            let range = Range::Score(ScoreRange::parse(min.as_bytes(), max.as_bytes()).unwrap());
            let inside = |score: f64| {
                (if open.is_empty() { score >= low } else { score > low })
                    && (if close.is_empty() { score <= high } else { score < high })
            };
            let expected: Vec<_> = self.model.iter().filter(|(_, score)| inside(*score)).collect();
            let ranks = view.ranks(&range);
            let found: Vec<_> = self.model[ranks].iter().collect();
            assert_eq!(found, expected, "{min} {max}");
        }
    }
}

proptest! {
    #[test]
    fn behaves_as_a_sorted_vector(ops in ops(), a: i8, b: i8) {
        let mut pair = Pair { zset: Zset::new(Vec::new()), model: Vec::new() };
        for op in ops {
            pair.apply(op);
            pair.check();
        }
        pair.ask(a, b);
    }

    #[test]
    fn names_in_a_range(members in prop::collection::btree_set("[a-c]{0,3}", 0..30), min in "[\\[(][a-c]{0,3}|-|\\+", max in "[\\[(][a-c]{0,3}|-|\\+") {
        let mut zset = Zset::new(Vec::new());
        members.iter().for_each(|member| zset.update(member.as_bytes(), &limits(), |_| Some(1.5)));
        let range = LexRange::parse(min.as_bytes(), max.as_bytes()).unwrap();
        let inside = |member: &str| {
            let above = match min.split_at(1) {
                ("-", _) => true,
                ("[", min) => member >= min,
                ("(", min) => member > min,
                _ => false,
            };
            let below = match max.split_at(1) {
                ("+", _) => true,
                ("[", max) => member <= max,
                ("(", max) => member < max,
                _ => false,
            };
            above && below
        };
        let mut found = Vec::new();
        let ranks = zset.view().ranks(&Range::Lex(range));
        zset.view().for_range(ranks, false, |member, _| found.push(String::from_utf8(member.to_vec()).unwrap()));
        let expected: Vec<String> = members.iter().filter(|member| inside(member)).cloned().collect();
        prop_assert_eq!(found, expected);
    }
}

#[test]
fn a_packed_set_is_the_listpack_of_a_real_server() {
    // DUMP of Valkey 9.1: ZADD z 2 b 1.5 17 -inf a -0 z 1e21 y.
    let mut zset = Zset::new(Vec::new());
    for (member, score) in [("b", 2.0), ("17", 1.5), ("a", f64::NEG_INFINITY), ("z", -0.0), ("y", 1e21)] {
        zset.update(member.as_bytes(), &Limits::default(), |_| Some(score));
    }
    let Zset::Packed(pack) = &zset else { panic!("it is small") };
    let hex: String = pack.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, "2b0000000a00816102842d696e6605817a020001110183312e350481620202018179028531652b323106ff");
}
