//! DEBUG RELOAD: saves the keyspace, and loads what was saved.
//! In: options. Out: a snapshot begun, unless told not to; the rest is done when it is on disk (see `Hold`).
//! While the server loads its data at the start there is nothing to reload yet.
//! A transaction cannot wait for a disk: inside of one every value is encoded and decoded in its place, without a file.

use crate::client::Args;
use crate::commands::server::persistence;
use crate::commands::{Context, Error, Hold, Note};
use crate::persist::object::{self, Style};
use crate::persist::rdb::Checks;

pub fn reload(cx: &mut Context, args: Args) -> Result<(), Error> {
    let (mut save, mut flush, mut merge) = (true, true, false);
    for at in 2..args.len() {
        match () {
            () if args.is(at, "NOSAVE") => save = false,
            () if args.is(at, "NOFLUSH") => flush = false,
            () if args.is(at, "MERGE") => merge = true,
            () => {
                return Err(Error::new(
                    "ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.",
                ));
            }
        }
    }
    refuse_while_loading(cx)?;
    persistence::cancel(cx);
    // Clients that cache hear of it as of a flush: nobody reads anything before it is over.
    cx.shards().for_each(|shard| shard.tracking.flushed());
    if cx.session.atomic {
        return reload_in_place(cx);
    }
    let id = save.then(|| persistence::begin(cx, persistence::Purpose::Save));
    cx.notes.push(Note::Hold(Hold::Reload { id, flush, merge }));
    Ok(())
}

/// DEBUG LOADAOF: reads back what was logged. Nothing else runs until it is done.
pub fn load_aof(cx: &mut Context, _args: Args) -> Result<(), Error> {
    if cx.session.atomic {
        return Err(Error::NOT_IN_TRANSACTION);
    }
    refuse_while_loading(cx)?;
    persistence::cancel(cx);
    cx.shards().for_each(|shard| shard.tracking.flushed());
    cx.notes.push(Note::Hold(Hold::LoadLog));
    Ok(())
}

fn refuse_while_loading(cx: &Context) -> Result<(), Error> {
    if cx.shared.is_loading() { Err(Error::LOADING) } else { Ok(()) }
}

fn reload_in_place(cx: &mut Context) -> Result<(), Error> {
    let (moment, limits, style) = (cx.moment, cx.limits(), Style::of(cx.config));
    for shard in cx.shards() {
        for db in 0..shard.dbs.len() as u16 {
            let store = &shard.dbs[db as usize].store;
            let mut keys: Vec<Box<[u8]>> = Vec::with_capacity(store.len());
            store.for_each(&mut |entry| keys.push(entry.key().into()));
            for key in keys {
                // What is overdue goes, as it does when a file is loaded.
                let Some(entry) = shard.peek(db, &key, &moment) else { continue };
                let (expiry, access) = (entry.expiry(), entry.access());
                let decoded = object::dump(entry, style)
                    .and_then(|saved| object::restore(&saved, Checks::ALL, &limits));
                let value = decoded.map_err(|error| {
                    crate::log::warning(format!("DEBUG RELOAD: {error:?} at key \"{}\"", key.escape_ascii()));
                    Error::new("ERR Error trying to load the RDB dump, check server logs.")
                })?;
                shard.load(db, &key, value, expiry, access, true);
            }
        }
    }
    cx.out.ok();
    Ok(())
}
