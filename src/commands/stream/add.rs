//! What comes to a stream and what goes: XADD, XDEL, XTRIM, XSETID.

use super::super::{Context, Error};
use super::args::{AddOrTrim, ids, strict_id};
use super::write_id;
use crate::base::number::parse_i64;
use crate::client::Args;
use crate::config::Events;
use crate::types::Stream;
use crate::types::stream::{Id, Log, Refused, Trim, Wish};

/// Names and values of an entry have no more bytes.
const ENTRY_BYTES_MAX: usize = 1 << 30;

/// The error where an entry gets no id.
fn refusal(refused: Refused) -> Error {
    Error::new(match refused {
        Refused::Exhausted => "ERR The stream has exhausted the last possible ID, unable to add more items",
        Refused::NotAbove => {
            "ERR The ID specified in XADD is equal or smaller than the target stream top item"
        }
    })
}

pub fn xadd(cx: &mut Context, args: Args) -> Result<(), Error> {
    let options = AddOrTrim::parse(args, true, cx.config.stream_node_max_entries)?;
    let fields = args.from(options.end + 1);
    if fields.len() < 2 || !fields.len().is_multiple_of(2) {
        return Err(Error::arity("xadd"));
    }
    if options.wish == Wish::Exactly(Id::MIN) {
        return Err(Error::new("ERR The ID specified in XADD must be greater than 0-0"));
    }
    let (key, limits, now_ms) = (args.at(1), cx.limits(), cx.now_ms());
    let added = cx.change(key, options.make, |stream: &mut Stream, _| {
        let id = stream.log.choose_id(options.wish, now_ms).map_err(refusal).and_then(|id| {
            let fits = fields.iter().map(<[u8]>::len).sum::<usize>() <= ENTRY_BYTES_MAX;
            if fits { Ok(id) } else { Err(Error::new("ERR Elements are too large to be stored")) }
        });
        let id = match id {
            Ok(id) => id,
            Err(error) => return (Err(error), false),
        };
        let pairs = (0..fields.len() / 2).map(|at| (fields.at(2 * at), fields.at(2 * at + 1)));
        stream.log.append(id, pairs, &limits);
        let (trimmed, dropped) = options.trim.map_or((0, None), |trim| stream.log.trim(&trim));
        (Ok(Added { id, trimmed, dropped, len: stream.log.len() }), true)
    })?;
    let Some(added) = added else {
        cx.out.null();
        return Ok(());
    };
    let added = added?;
    write_id(&mut cx.out, added.id);
    cx.notify(Events::STREAM, "xadd", key);
    if added.trimmed > 0 {
        cx.notify(Events::STREAM, "xtrim", key);
    }
    let approximate = options.trim.is_some_and(|trim| trim.approximate);
    if cx.is_logged() && (approximate || !matches!(options.wish, Wish::Exactly(_))) {
        log_added(cx, key, fields, &added, options.trim.is_some());
    }
    throw(cx, key, added.dropped);
    Ok(())
}

/// What XADD did.
struct Added {
    id: Id,
    trimmed: u64,
    dropped: Option<Log>,
    /// Entries that are left.
    len: u64,
}

/// The log gets the id that was chosen, and how many entries are left, since the limits of nodes are nobody else's affair.
fn log_added(cx: &mut Context, key: &[u8], fields: Args, added: &Added, trims: bool) {
    let mut len = itoa::Buffer::new();
    added.id.with_text(|id| {
        let mut words: Vec<&[u8]> = vec![b"XADD", key];
        if trims {
            words.extend([b"MAXLEN", &b"="[..], len.format(added.len).as_bytes()]);
        }
        words.push(id);
        words.extend(fields.iter());
        cx.log_as(&words);
    });
}

/// Nodes that were trimmed are freed in slices.
fn throw(cx: &mut Context, key: &[u8], dropped: Option<Log>) {
    if let Some(dropped) = dropped {
        cx.throw(key, Stream::of_log(dropped));
    }
}

pub fn xtrim(cx: &mut Context, args: Args) -> Result<(), Error> {
    let options = AddOrTrim::parse(args, false, cx.config.stream_node_max_entries)?;
    let Some(trim): Option<Trim> = options.trim else { return Err(Error::SYNTAX) };
    let key = args.at(1);
    let trimmed = cx.change(key, false, |stream: &mut Stream, _| {
        let (deleted, dropped) = stream.log.trim(&trim);
        ((deleted, dropped, stream.log.len()), deleted > 0)
    })?;
    let (deleted, dropped, len) = trimmed.unwrap_or_default();
    cx.out.integer(deleted as i64);
    if deleted > 0 {
        cx.count_elements(key, deleted as usize);
        cx.notify(Events::STREAM, "xtrim", key);
        if trim.approximate && cx.is_logged() {
            let mut text = itoa::Buffer::new();
            cx.log_as(&[b"XTRIM", key, b"MAXLEN", b"=", text.format(len).as_bytes()]);
        }
    }
    throw(cx, key, dropped);
    Ok(())
}

pub fn xdel(cx: &mut Context, args: Args) -> Result<(), Error> {
    let key = args.at(1);
    if cx.seek::<Stream>(key)?.is_none() {
        cx.out.integer(0);
        return Ok(());
    }
    let ids = ids(args.from(2))?;
    let deleted = cx.change(key, false, |stream: &mut Stream, _| {
        let deleted = ids.iter().filter(|&&id| stream.log.delete(id)).count();
        (deleted, deleted > 0)
    })?;
    let deleted = deleted.unwrap_or(0);
    if deleted > 0 {
        cx.count_elements(key, deleted);
        cx.notify(Events::STREAM, "xdel", key);
    }
    cx.out.integer(deleted as i64);
    Ok(())
}

/// The options of XSETID.
#[derive(Default)]
struct SetId {
    added: Option<u64>,
    max_deleted: Option<Id>,
}

impl SetId {
    fn parse(mut options: Args, id: Id) -> Result<SetId, Error> {
        let mut found = SetId::default();
        while !options.is_empty() {
            match () {
                () if options.is(0, "entriesadded") && options.len() > 1 => {
                    let added = parse_i64(options.at(1)).ok_or(Error::NOT_AN_INTEGER)?;
                    let negative = |_| Error::new("ERR entries_added must be positive");
                    found.added = Some(u64::try_from(added).map_err(negative)?);
                }
                () if options.is(0, "maxdeletedid") && options.len() > 1 => {
                    let max_deleted = strict_id(options.at(1))?;
                    if id < max_deleted {
                        return Err(Error::new(
                            "ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id",
                        ));
                    }
                    found.max_deleted = Some(max_deleted);
                }
                () => return Err(Error::SYNTAX),
            }
            options = options.from(2);
        }
        Ok(found)
    }

    /// Whether the last id of a stream can be set so.
    fn check(&self, id: Id, log: &Log) -> Result<(), Error> {
        let refuse = |text: &'static str| Err(Error::new(text));
        if id < log.max_deleted_id() {
            return refuse("ERR The ID specified in XSETID is smaller than current max_deleted_entry_id");
        }
        if !log.is_empty() && id < log.last_live_id() {
            return refuse("ERR The ID specified in XSETID is smaller than the target stream top item");
        }
        if !log.is_empty() && self.added.is_some_and(|added| added < log.len()) {
            return refuse(
                "ERR The entries_added specified in XSETID is smaller than the target stream length",
            );
        }
        Ok(())
    }
}

pub fn xsetid(cx: &mut Context, args: Args) -> Result<(), Error> {
    let id = strict_id(args.at(2))?;
    let options = SetId::parse(args.from(3), id)?;
    let key = args.at(1);
    let set = cx.change(key, false, |stream: &mut Stream, _| {
        let checked = options.check(id, &stream.log);
        if checked.is_ok() {
            let max_deleted = options.max_deleted.filter(|max_deleted| !max_deleted.is_zero());
            stream.log.set_last_id(id, options.added, max_deleted);
        }
        (checked, false)
    })?;
    set.ok_or(Error::NO_SUCH_KEY)??;
    cx.unsaved(key);
    cx.notify(Events::STREAM, "xsetid", key);
    cx.out.ok();
    Ok(())
}
