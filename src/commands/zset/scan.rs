//! ZSCAN: a walk over the members of one set.
//!
//! The cursor is the place in the table of a large set. A packed set is returned as a whole, whatever the count.

use super::super::generic::scan::{Options, parse_cursor};
use super::super::{Context, Error};
use super::write_element;
use crate::base::number::{write_f64, write_f64_long};
use crate::client::Args;
use crate::types::Zset;
use crate::types::listpack::Element;
use crate::types::zset::ZsetView;

pub fn zscan(cx: &mut Context, args: Args) -> Result<(), Error> {
    let cursor = parse_cursor(args.at(2)).ok_or(Error::INVALID_CURSOR)?;
    let (view, out) = cx.view::<Zset>(args.at(1))?;
    let Some(view) = view else {
        let nothing = out.deferred();
        out.finish_scan(nothing, 0, 0);
        return Ok(());
    };
    let options = Options::of_pairs(args.from(3), "ZSCAN")?;
    let head = out.deferred();
    let mut text = Vec::with_capacity(32);
    let (mut visited, mut found) = (0, 0);
    let mut visit = |member: Element, score: f64| {
        if member.with(|member| options.matches(member)) {
            write_element(out, member);
            found += 1;
            if !options.lean {
                text.clear();
                write_score(&mut text, score, view);
                out.bulk(&text);
                found += 1;
            }
        }
    };
    let mut next = cursor;
    // A sparse table has many empty buckets; a call is bounded all the same.
    for _ in 0..options.count.saturating_mul(10) {
        next = view.scan(next, &mut |member, score| {
            visited += 1;
            visit(member, score);
        });
        if next == 0 || visited >= options.count {
            break;
        }
    }
    out.finish_scan(head, next, found);
    Ok(())
}

/// A score as ZSCAN replies it: as a listpack has it, or with 17 digits.
fn write_score(into: &mut Vec<u8>, score: f64, view: ZsetView) {
    match view {
        ZsetView::Packed(_) => write_f64(into, score),
        _ => write_f64_long(into, score),
    }
}
