//! XGROUP: groups and their consumers.

use super::super::{Context, Error};
use super::args::{loose_id, strict_id};
use super::no_group_of_key;
use crate::base::number::parse_i64;
use crate::client::Args;
use crate::config::Events;
use crate::types::Stream;
use crate::types::stream::Id;

const NO_KEY: Error = Error(std::borrow::Cow::Borrowed(
    b"ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option to create an empty stream automatically.",
));

/// The options behind the id.
struct Options {
    make: bool,
    /// None: -1, not known.
    entries_read: Option<i64>,
}

impl Options {
    fn parse(args: Args, creating: bool) -> Result<Options, Error> {
        let mut options = Options { make: false, entries_read: None };
        let mut rest = args.from(5);
        while !rest.is_empty() {
            if creating && rest.is(0, "mkstream") {
                options.make = true;
                rest = rest.from(1);
            } else if rest.is(0, "entriesread") && rest.len() > 1 {
                options.entries_read = match parse_i64(rest.at(1)).ok_or(Error::NOT_AN_INTEGER)? {
                    -1 => None,
                    read @ 0.. => Some(read),
                    _ => return Err(Error::new("ERR value for ENTRIESREAD must be positive or -1")),
                };
                rest = rest.from(2);
            } else {
                return Err(Error::subcommand_arity(args.at(1), "XGROUP"));
            }
        }
        Ok(options)
    }
}

/// Whether key and group are there; an error tells which is not.
fn expect_group(cx: &mut Context, key: &[u8], group: &[u8]) -> Result<(), Error> {
    let stream = cx.seek::<Stream>(key)?.ok_or(NO_KEY)?;
    stream.groups.get(group).map(|_| ()).ok_or_else(|| no_group_of_key(key, group))
}

/// Something about the groups of a key was changed, which is no change of the key for those who watch it.
fn changed(cx: &mut Context, key: &[u8], event: &'static str) {
    cx.unsaved(key);
    cx.notify(Events::STREAM, event, key);
}

pub fn create(cx: &mut Context, args: Args) -> Result<(), Error> {
    const ARGS_MAX: usize = 8;
    let options = Options::parse(args, true)?;
    let (key, name) = (args.at(2), args.at(3));
    let old_last_id = cx.seek::<Stream>(key)?.map(|stream| stream.log.last_id());
    if old_last_id.is_none() && !options.make {
        return Err(NO_KEY);
    }
    if args.len() > ARGS_MAX {
        return Err(Error::subcommand_arity(args.at(1), "XGROUP"));
    }
    let id = if args.at(4) == b"$" { old_last_id.unwrap_or(Id::MIN) } else { strict_id(args.at(4))? };
    let created = cx.change(key, options.make, |stream: &mut Stream, _| {
        (stream.groups.create(name, id, options.entries_read), false)
    })?;
    if created != Some(true) {
        return Err(Error::new("BUSYGROUP Consumer Group name already exists"));
    }
    if old_last_id.is_some() {
        // A new stream has counted already.
        cx.unsaved(key);
    }
    cx.notify(Events::STREAM, "xgroup-create", key);
    cx.out.ok();
    Ok(())
}

pub fn set_id(cx: &mut Context, args: Args) -> Result<(), Error> {
    let options = Options::parse(args, false)?;
    let (key, name) = (args.at(2), args.at(3));
    expect_group(cx, key, name)?;
    if ![5, 7].contains(&args.len()) {
        return Err(Error::subcommand_arity(args.at(1), "XGROUP"));
    }
    let id = if args.at(4) == b"$" { None } else { Some(loose_id(args.at(4), 0)?) };
    cx.change(key, false, |stream: &mut Stream, _| {
        let id = id.unwrap_or(stream.log.last_id());
        stream.groups.change(name, |group| {
            group.last_id = id;
            group.entries_read = options.entries_read;
        });
        ((), false)
    })?;
    changed(cx, key, "xgroup-setid");
    cx.out.ok();
    Ok(())
}

pub fn destroy(cx: &mut Context, args: Args) -> Result<(), Error> {
    let (key, name) = (args.at(2), args.at(3));
    let removed =
        cx.change(key, false, |stream: &mut Stream, _| (stream.groups.remove(name), false))?.ok_or(NO_KEY)?;
    cx.out.integer(i64::from(removed.is_some()));
    if let Some(group) = removed {
        changed(cx, key, "xgroup-destroy");
        cx.rouse(key);
        cx.throw(key, Stream::of_group(group));
    }
    Ok(())
}

pub fn create_consumer(cx: &mut Context, args: Args) -> Result<(), Error> {
    let (key, group, consumer) = (args.at(2), args.at(3), args.at(4));
    expect_group(cx, key, group)?;
    let now_ms = cx.now_ms();
    let created = cx.change(key, false, |stream: &mut Stream, _| {
        (stream.groups.change(group, |group| group.find_or_create(consumer, now_ms).1), false)
    })?;
    let created = created.flatten() == Some(true);
    if created {
        changed(cx, key, "xgroup-createconsumer");
    }
    cx.out.integer(i64::from(created));
    Ok(())
}

pub fn delete_consumer(cx: &mut Context, args: Args) -> Result<(), Error> {
    let (key, group, consumer) = (args.at(2), args.at(3), args.at(4));
    expect_group(cx, key, group)?;
    let deleted = cx.change(key, false, |stream: &mut Stream, _| {
        (stream.groups.change(group, |group| group.remove_consumer(consumer)), false)
    })?;
    let pending = deleted.flatten().flatten();
    if pending.is_some() {
        changed(cx, key, "xgroup-delconsumer");
    }
    cx.out.integer(pending.unwrap_or(0) as i64);
    Ok(())
}
