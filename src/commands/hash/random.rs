//! HRANDFIELD: one field, so many distinct ones, or so many drawn one by one.

use std::collections::HashSet;

use super::super::{Context, Error};
use super::reply_element;
use crate::base::number::parse_i64;
use crate::base::rng::Rng;
use crate::client::Args;
use crate::resp::Out;
use crate::types::Hash;
use crate::types::hash::HashView;
use crate::types::listpack::Element;

/// Fields drawn one by one may be any number; a reply does not grow beyond this.
const REPLY_BYTES_MAX: usize = 1 << 30;

pub fn hrandfield(cx: &mut Context, args: Args) -> Result<(), Error> {
    let due_ms = cx.due_ms();
    let mut rng = Rng::seeded(cx.rng.next_u64());
    if args.len() == 2 {
        let (view, out) = cx.view::<Hash>(args.at(1))?;
        match view.and_then(|view| view.random(due_ms, |bound| rng.below(bound))) {
            Some((field, _)) => reply_element(out, field),
            None => out.null(),
        }
        return Ok(());
    }
    let count = parse_i64(args.at(2)).ok_or(Error::NOT_AN_INTEGER)?;
    if count == i64::MIN {
        let text =
            "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807";
        return Err(Error::new(text));
    }
    let values = args.is(3, "withvalues");
    if args.len() > 4 || (args.len() == 4 && !values) {
        return Err(Error::SYNTAX);
    }
    if values && !(-i64::MAX / 2..=i64::MAX / 2).contains(&count) {
        return Err(Error::VALUE_OUT_OF_RANGE);
    }
    let (view, out) = cx.view::<Hash>(args.at(1))?;
    let Some(view) = view else {
        out.array(0);
        return Ok(());
    };
    let mut reply = Reply { out, values };
    let wanted = count.unsigned_abs() as usize;
    if count < 0 {
        return draw(&mut reply, view, wanted, due_ms, &mut rng);
    }
    distinct(&mut reply, view, wanted, due_ms, &mut rng);
    Ok(())
}

/// Writes fields, with their values if asked for: in pairs in RESP3.
struct Reply<'a, 'b> {
    out: &'a mut Out<'b>,
    values: bool,
}

impl Reply<'_, '_> {
    fn header(&mut self, fields: usize) {
        self.out.array(if self.values && !self.out.resp3 { fields * 2 } else { fields });
    }

    fn field(&mut self, field: Element, value: Element) {
        if !self.values {
            return reply_element(self.out, field);
        }
        if self.out.resp3 {
            self.out.array(2);
        }
        reply_element(self.out, field);
        reply_element(self.out, value);
    }
}

/// Writes `wanted` fields, each drawn from all.
fn draw(reply: &mut Reply, view: HashView, wanted: usize, due_ms: i64, rng: &mut Rng) -> Result<(), Error> {
    let start = reply.out.buf.len();
    let alive = view.len_alive(due_ms);
    if alive == 0 {
        reply.header(0);
        return Ok(());
    }
    reply.header(wanted);
    // A packed hash would be walked for each, and so would a table most of which is overdue.
    let listed = matches!(view, HashView::Packed(_)) || mostly_overdue(view, alive);
    let fields = if listed && wanted > 1 { view.alive(due_ms) } else { Vec::new() };
    for _ in 0..wanted {
        let (field, value) = match &fields[..] {
            [] => view.random(due_ms, |bound| rng.below(bound)).expect("some are alive"),
            listed => listed[rng.below(listed.len() as u64) as usize],
        };
        reply.field(field, value);
        if reply.out.buf.len() - start > REPLY_BYTES_MAX {
            reply.out.buf.truncate(start);
            return Err(Error::VALUE_OUT_OF_RANGE);
        }
    }
    Ok(())
}

/// Whether a field drawn by chance is seldom alive.
fn mostly_overdue(view: HashView, alive: usize) -> bool {
    alive < view.len() / 4
}

/// Writes `wanted` fields, none twice, or all that there are.
fn distinct(reply: &mut Reply, view: HashView, wanted: usize, due_ms: i64, rng: &mut Rng) {
    let alive = view.len_alive(due_ms);
    let mut wanted = wanted.min(alive);
    reply.header(wanted);
    // With few of many, the same field seldom comes twice.
    let drawn = matches!(view, HashView::Table(_)) && !mostly_overdue(view, alive);
    if drawn && wanted.saturating_mul(3) < alive {
        let mut seen: HashSet<Vec<u8>> = HashSet::with_capacity(wanted);
        while seen.len() < wanted {
            let (field, value) = view.random(due_ms, |bound| rng.below(bound)).expect("some are alive");
            if seen.insert(field.to_vec()) {
                reply.field(field, value);
            }
        }
        return;
    }
    // Each of the `left` fields to come is one of the `wanted` with the same chance.
    let mut left = alive as u64;
    view.for_each(due_ms, |field, value| {
        if wanted > 0 && rng.below(left) < wanted as u64 {
            reply.field(field, value);
            wanted -= 1;
        }
        left -= 1;
    });
}
