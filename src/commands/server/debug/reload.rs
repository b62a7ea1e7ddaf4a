//! DEBUG RELOAD: whether every value survives being saved and loaded.
//! In: the keyspace. Out: the same keyspace, made anew from its encoded form.
//! Absent: files. Nothing is written to disk or read from it: each value goes through the encoder of snapshots and comes
//! back in its place, so NOSAVE, NOFLUSH and MERGE, which are about an older file, are refused.

use crate::client::Args;
use crate::commands::{Context, Error};
use crate::persist::object;

pub fn reload(cx: &mut Context, args: Args) -> Result<(), Error> {
    if args.len() > 2 {
        let known = |at| ["NOSAVE", "NOFLUSH", "MERGE"].iter().any(|name| args.is(at, name));
        return Err(Error::new(if (2..args.len()).all(known) {
            "ERR DEBUG RELOAD takes no options here: values are encoded and decoded in memory, without a file"
        } else {
            "ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options."
        }));
    }
    let (moment, limits, compress) = (cx.moment, cx.limits(), cx.config.rdbcompression);
    for shard in cx.shards() {
        // Clients that cache hear of it as of a flush.
        shard.tracking.flushed();
        for db in 0..shard.dbs.len() {
            let mut keys: Vec<Box<[u8]>> = Vec::with_capacity(shard.dbs[db].store.len());
            shard.dbs[db].store.for_each(&mut |entry| keys.push(entry.key().into()));
            for key in keys {
                // What is overdue goes, as it does when a file is loaded.
                let Some(entry) = shard.peek(db as u16, &key, &moment) else { continue };
                let decoded =
                    object::dump(entry, compress).and_then(|saved| object::restore(&saved, &limits));
                let value = decoded.map_err(|error| {
                    crate::log::warning(format!("DEBUG RELOAD: {error:?} at key \"{}\"", key.escape_ascii()));
                    Error::new("ERR Error trying to load the RDB dump, check server logs.")
                })?;
                shard.renew(db as u16, &key, value);
            }
        }
    }
    crate::log::warning("DB reloaded by DEBUG RELOAD, without a file");
    cx.out.ok();
    Ok(())
}
