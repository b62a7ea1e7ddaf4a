//! A small sorted set as a listpack: member, score, member, score … in order, as Redis has it.
//! In: the listpack. Out: members and scores in order; places of members.
//! Invariants: an even number of elements; a score is an integer if it is one, and else the text that Redis replies.
//! Absent: when a set is too large to be packed.

use crate::base::number;
use crate::types::listpack::{self, Element, Place};
use std::cmp::Ordering;

pub fn len(pack: &[u8]) -> usize {
    listpack::len(pack) / 2
}

/// What a score's element says. Text that is no number counts as 0: another server may have written it.
#[inline]
fn score_of(element: Element) -> f64 {
    match element {
        Element::Int(value) => value as f64,
        Element::Bytes(text) => number::parse_f64(text).unwrap_or(0.0),
    }
}

fn score_behind(pack: &[u8], member: Place) -> (Place, f64) {
    let place = listpack::next(pack, member).expect("a score follows each member");
    (place, score_of(listpack::get(pack, place)))
}

/// The members with their scores, from a rank on.
pub fn iter_from(pack: &[u8], rank: usize) -> impl Iterator<Item = (Element<'_>, f64)> {
    let mut place = listpack::nth(pack, 2 * rank as i64);
    std::iter::from_fn(move || {
        let member = place?;
        let (behind, score) = score_behind(pack, member);
        place = listpack::next(pack, behind);
        Some((listpack::get(pack, member), score))
    })
}

/// The members with their scores, from a rank down.
pub fn iter_back_from(pack: &[u8], rank: usize) -> impl Iterator<Item = (Element<'_>, f64)> {
    let mut place = listpack::nth(pack, 2 * rank as i64);
    std::iter::from_fn(move || {
        let member = place?;
        let score = score_behind(pack, member).1;
        place = listpack::prev(pack, member).and_then(|score| listpack::prev(pack, score));
        Some((listpack::get(pack, member), score))
    })
}

/// Where a member is, and its score.
pub fn find(pack: &[u8], member: &[u8]) -> Option<(Place, f64)> {
    let place = listpack::find(pack, listpack::first(pack)?, 2, member)?;
    Some((place, score_behind(pack, place).1))
}

/// Adds a member that is not there.
pub fn insert(pack: &mut Vec<u8>, member: &[u8], score: f64) {
    let mut before = listpack::first(pack);
    while let Some(place) = before {
        let (behind, other) = score_behind(pack, place);
        let order = other.total_cmp(&score);
        let order = if other == score { Ordering::Equal } else { order };
        if order.then_with(|| listpack::get(pack, place).with(|name| name.cmp(member))) == Ordering::Greater {
            break;
        }
        before = listpack::next(pack, behind);
    }
    insert_pair(pack, before.unwrap_or_else(|| listpack::end(pack)), member, score);
}

/// Adds a member that is behind all others.
pub fn push(pack: &mut Vec<u8>, member: &[u8], score: f64) {
    insert_pair(pack, listpack::end(pack), member, score);
}

fn insert_pair(pack: &mut Vec<u8>, before: Place, member: &[u8], score: f64) {
    let mut text = ScoreText::new();
    listpack::insert(pack, before, text.write(score));
    listpack::insert(pack, before, member);
}

/// Removes `count` members and their scores.
pub fn remove(pack: &mut Vec<u8>, place: Place, count: usize) {
    listpack::remove(pack, place, 2 * count);
}

/// A score as the listpack has it. It knows no -0.
struct ScoreText(Vec<u8>);

impl ScoreText {
    fn new() -> Self {
        ScoreText(Vec::with_capacity(24))
    }

    fn write(&mut self, score: f64) -> &[u8] {
        self.0.clear();
        number::write_f64(&mut self.0, if score == 0.0 { 0.0 } else { score });
        &self.0
    }
}
