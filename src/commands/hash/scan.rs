//! HSCAN. The cursor is the place in the hash's own hash space, as SCAN's is in a shard's; a packed hash comes at once.

use super::super::generic::scan::{Options, parse_cursor};
use super::super::{Context, Error};
use super::reply_element;
use crate::client::Args;
use crate::shard::store::CURSOR_BITS;
use crate::types::Hash;

pub fn hscan(cx: &mut Context, args: Args) -> Result<(), Error> {
    let cursor = parse_cursor(args.at(2)).ok_or(Error::INVALID_CURSOR)?;
    let due_ms = cx.due_ms();
    let (view, out) = cx.view::<Hash>(args.at(1))?;
    let Some(view) = view else {
        let nothing = out.deferred();
        out.finish_scan(nothing, 0, 0);
        return Ok(());
    };
    // Redis looks at the options only once it has something to scan.
    let options = Options::of_pairs(args.from(3), "HSCAN")?;
    let (head, mut elements) = (out.deferred(), 0);
    let from = cursor & ((1 << CURSOR_BITS) - 1);
    let next = view.scan(from, options.count, due_ms, |field, value| {
        if field.with(|field| options.matches(field)) {
            reply_element(out, field);
            elements += 1;
            if !options.lean {
                reply_element(out, value);
                elements += 1;
            }
        }
    });
    out.finish_scan(head, next, elements);
    Ok(())
}
