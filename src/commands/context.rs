//! All that a handler may touch while it runs.
//! In: shards at hand, the client's session, the time. Out: a reply, changed shards, notes for the client's home.
//! Invariants: C1, the shards of a command's keys are at hand while it runs; C2, time stands still within it.
//! Absent: sockets, other cores' connections, anything that could wait.

use crate::base::rng::Rng;
use crate::client::{Answer, Args, Card, Connection, ConnectionId, Session, Wait, Watched};
use crate::config::{Changed, Config, Events};
use crate::pubsub::{Books, Kind};
use crate::resp::Out;
use crate::script::Engine;
use crate::shard::{Encoding, Entry, Moment, Removed, Report, Shard, store};
use crate::shared::Shared;
use crate::storage::Job;
use crate::types::{Collection, Hash, Limits};
use smallvec::SmallVec;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::command::Registry;
use super::effect::Effects;
use super::errand::{Answered, Ask};
use super::error::Error;
use super::news::{Heard, News};
use super::script::Ongoing;

/// Something for another core, or for this core's loop, to do after the command.
#[derive(Clone, Debug)]
pub enum Signal {
    /// Close this connection; its card is already marked as killed.
    Kill(ConnectionId),
    /// Every core: CLIENT UNPAUSE, or a new pause: look again at the connections held back.
    Resume,
    /// A key is no longer watched.
    Unwatch { shard: usize, db: u16, key: Box<[u8]> },
    /// Lines for a MONITOR client: their place in the common order, then the text.
    MonitorLines { to: ConnectionId, place: u64, lines: Arc<[u8]> },
    /// A wait is over: its client's home is to know.
    Served { wait: Arc<Wait>, answer: Answer },
    /// A wait is over: this shard is to forget it.
    Unwait { shard: usize, wait: Arc<Wait> },
    /// Something was published for clients of this core: it should look into its box soon.
    Mail { core: usize },
    /// This core: memory is full, evict keys of its shard.
    Evict { core: usize },
    /// This core: too many keys are tracked, forget some of its shard's.
    Forget { core: usize },
    /// Core `keeper` may keep this shard: its owner wants it back.
    Recall { keeper: usize, shard: usize },
    /// Every core: a script takes long, see `gate::BUSY`.
    Busy,
    /// The core that accepts: there are new sockets to accept from.
    Listen,
    /// Every core: stop.
    Shutdown,
    /// Every core: the snapshot of this number came to nothing.
    SaveOver { id: u64 },
    /// Every core: the log's files are open, or cannot be opened.
    LogBegun { ok: bool },
    /// Every core: the data that the log builds on are in its files.
    LogFounded,
}

/// Something a command did that the client's home core has to note on its connection.
#[derive(Debug)]
pub enum Note {
    Watched(Watched),
    Waits(Arc<Wait>),
    /// The command is not over: its shards stay where they are.
    Hold(Hold),
}

/// What a command waits for that keeps all shards: nothing else runs meanwhile.
#[derive(Debug)]
pub enum Hold {
    /// SAVE: the snapshot of this number.
    Save { id: u64 },
    /// FLUSHALL: the snapshot of what is left. It is over, too, if that comes to nothing.
    Flush { id: u64 },
    /// The last snapshot; then the server ends. `force`: also if it fails.
    Shutdown { id: u64, force: bool },
    /// DEBUG RELOAD: the snapshot, if there is one to wait for, then the file is loaded.
    Reload { id: Option<u64>, flush: bool, merge: bool },
    /// DEBUG LOADAOF: what was logged is in files, then these are read.
    LoadLog,
    /// CONFIG SET appendonly: the log ends, or its files are open. What the command changed is taken back if they cannot be.
    SwitchLog { changed: Vec<Changed> },
}

/// Collections of several keys; None where there is no such key.
pub type Views<'a, T> = SmallVec<[Option<<T as Collection>::View<'a>>; 4]>;

/// The shards at hand, found by key.
pub struct Keyspace<'a> {
    /// By number; those lent or owned by others are absent.
    pub shards: &'a mut [Option<Box<Shard>>],
    /// The one shard that all keys of this command are on, if so.
    pub sole: Option<usize>,
}

pub struct Context<'a> {
    pub keyspace: Keyspace<'a>,
    pub session: &'a mut Session,
    pub out: Out<'a>,
    pub shared: &'a Shared,
    pub config: &'a Config,
    pub registry: &'a Registry,
    pub moment: Moment,
    pub rng: &'a mut Rng,
    pub notes: &'a mut Vec<Note>,
    pub signals: &'a mut Vec<Signal>,
    pub effects: &'a mut Effects,
    /// Changes for clients that cache.
    pub heard: &'a mut Heard,
    /// The command found nothing and waits: see `wait`.
    pub waiting: Option<Box<super::blocking::Waiting>>,
    /// For the storage thread.
    pub jobs: &'a mut Vec<Job>,
    /// What the fold gathered, for commands with `Route::Report`.
    pub report: Option<&'a Report>,
    /// All subscriptions, for commands that change them.
    pub books: Option<&'a mut Books>,
    /// The client's connection, for commands with `Route::Home`.
    pub connection: Option<&'a mut Connection>,
    pub core: usize,
    /// The core's Lua; a script that runs has it.
    pub scripts: Option<&'a mut Engine>,
    /// Set by a command that did not come to its end.
    pub pending: Option<Pending>,
    /// What another server said, for a command that asked it and runs again.
    pub answer: Option<Answered>,
    /// What becomes of the reply in the statistics, if it is an error.
    pub counting: Counting,
    /// Memory was short when the command began: what a script calls must not need more.
    pub lacks_memory: bool,
}

/// How a reply that is an error is counted.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub enum Counting {
    #[default]
    Whole,
    /// Only that the command failed: the error was counted when it came about, inside a script.
    Failure,
    /// It is no error of the command's.
    Nothing,
}

/// What becomes of a command that did not come to its end. It has written no reply.
pub enum Pending {
    /// Nothing was changed: run it again with all shards at hand.
    Widen,
    /// A script that takes long: go on with it after other work.
    Parked(Box<Ongoing>),
    /// It changed nothing, and is to run again with what another server says; the script that called it, if one did.
    Asks(Box<Ask>, Option<Box<Ongoing>>),
}

impl<'a> Context<'a> {
    /// Unix time, ms.
    #[inline]
    pub fn now_ms(&self) -> i64 {
        self.moment.now_ms
    }

    /// Unix time, ms: what is due by then has expired. See `Moment`.
    #[inline]
    pub fn due_ms(&self) -> i64 {
        self.moment.due_ms
    }

    /// The number of the shard that `key` is on.
    #[inline]
    pub fn shard_number(&self, key: &[u8]) -> usize {
        match self.keyspace.sole {
            Some(shard) => shard,
            None => self.shared.slots.shard(key),
        }
    }

    #[inline]
    pub fn shard(&mut self, key: &[u8]) -> &mut Shard {
        let number = self.shard_number(key);
        self.keyspace.shards[number].as_deref_mut().expect("C1: the command's shards are at hand")
    }

    /// To be called with each `at` in turn before the key there is looked up, for commands with many keys, `step` arguments
    /// apart: every so often it fetches the next of them into the cache, all at once rather than one wait after the other.
    /// (MSET of 10 keys among a million took 5.7 µs without it, 3 µs with it.)
    #[inline]
    pub fn prefetch(&self, keys: Args, at: usize, step: usize) {
        const WINDOW: usize = 16;
        if at.is_multiple_of(WINDOW * step) && keys.len() > at + step {
            self.prefetch_window(keys, at, step, WINDOW);
        }
    }

    fn prefetch_window(&self, keys: Args, at: usize, step: usize, window: usize) {
        let places = (at..keys.len()).step_by(step).take(window);
        let store_of = |key: &[u8]| {
            let shard = self.keyspace.shards[self.shard_number(key)].as_deref()?;
            Some(&shard.dbs[self.session.db as usize].store)
        };
        let wanted = |at| store_of(keys.at(at)).map(|store| (store, store.hash(keys.at(at))));
        store::prefetch(places.filter_map(wanted));
    }

    /// The shards at hand, in order.
    pub fn shards(&mut self) -> impl Iterator<Item = &mut Shard> {
        self.keyspace.shards.iter_mut().filter_map(|shard| shard.as_deref_mut())
    }

    /// The connection of this command's client.
    pub fn home(&mut self) -> &mut Connection {
        self.connection.as_deref_mut().expect("a Home command runs at home")
    }

    /// Publishes to a channel, or to a shard channel, for the clients of all cores: this is the one way to do so from inside
    /// the server, be it for a client or of the server's own accord (notifications). The message has its place among
    /// all others when this returns. While nobody is subscribed to anything it costs one load; ask
    /// `shared.exchange.is_silent()` first where making the message costs more. Returns how many clients receive it.
    pub fn publish(&mut self, kind: Kind, channel: &[u8], message: &[u8]) -> usize {
        debug_assert!(self.books.is_none(), "a command that holds the books cannot publish");
        let signals = &mut *self.signals;
        self.shared.exchange.publish(kind, channel, message, |core| signals.push(Signal::Mail { core }))
    }

    /// A command that this one called is over: whoever listens hears of it before anything else happens.
    pub fn tell_so_far(&mut self) {
        News {
            shards: self.keyspace.shards,
            shared: self.shared,
            wanted: self.config.notify_keyspace_events,
            signals: self.signals,
            effects: self.effects,
            heard: self.heard,
        }
        .tell_so_far();
    }

    /// All subscriptions.
    pub fn books(&mut self) -> &mut Books {
        self.books.as_deref_mut().expect("a command that subscribes has the books at hand")
    }

    pub fn card(&mut self) -> Arc<Card> {
        self.home().card.clone()
    }

    /// The connection watches nothing any more.
    pub fn forget_watched(&mut self) {
        let watched = std::mem::take(&mut self.home().watched);
        self.home().card.watched.set(0);
        for key in watched {
            self.signals.push(Signal::Unwatch { shard: key.shard, db: key.db, key: key.key });
        }
    }

    /// Looks a key up to read it, in the client's database.
    #[inline]
    pub fn read(&mut self, key: &[u8]) -> Option<&mut Entry> {
        let (db, moment) = (self.session.db, self.moment);
        self.shard(key).read(db, key, &moment)
    }

    /// Looks at a key without refreshing its access clock or counting a hit.
    pub fn peek(&mut self, key: &[u8]) -> Option<&mut Entry> {
        let (db, moment) = (self.session.db, self.moment);
        self.shard(key).peek(db, key, &moment)
    }

    /// Looks a key up to change it in place; say `changed` afterwards.
    #[inline]
    pub fn edit(&mut self, key: &[u8]) -> Option<&mut Entry> {
        let (db, moment) = (self.session.db, self.moment);
        self.shard(key).edit(db, key, &moment)
    }

    /// A collection to be read, if the key is there, and the reply, which is written meanwhile.
    #[inline]
    pub fn view<T: Collection>(&mut self, key: &[u8]) -> Result<(Option<T::View<'_>>, &mut Out<'a>), Error> {
        let (number, db, moment) = (self.shard_number(key), self.session.db, self.moment);
        let shard =
            self.keyspace.shards[number].as_deref_mut().expect("C1: the command's shards are at hand");
        let view = match shard.read(db, key, &moment) {
            Some(entry) => Some(entry.view::<T>().ok_or(Error::WRONG_TYPE)?),
            None => None,
        };
        Ok((view, &mut self.out))
    }

    /// A collection that may be changed soon: that it is absent is no miss.
    pub fn seek<T: Collection>(&mut self, key: &[u8]) -> Result<Option<T::View<'_>>, Error> {
        let entry = self.edit(key);
        entry.map(|entry| entry.view::<T>().ok_or(Error::WRONG_TYPE)).transpose()
    }

    /// A second look at a collection, for commands that read several at once; `view` or `read` came first.
    pub fn look<T: Collection>(&self, key: &[u8]) -> Result<Option<T::View<'_>>, Error> {
        let shard = self.keyspace.shards[self.shard_number(key)].as_deref();
        let store = &shard.expect("C1: the command's shards are at hand").dbs[self.session.db as usize].store;
        match store.find(key).filter(|entry| entry.expiry().is_none_or(|at_ms| at_ms > self.moment.due_ms)) {
            Some(entry) => entry.view::<T>().map(Some).ok_or(Error::WRONG_TYPE),
            None => Ok(None),
        }
    }

    /// Several collections to be read at once, where they are there, and the reply, which is written meanwhile.
    pub fn views<T: Collection>(&mut self, keys: Args) -> Result<(Views<'_, T>, &mut Out<'a>), Error> {
        for (at, key) in keys.iter().enumerate() {
            self.prefetch(keys, at, 1);
            self.view::<T>(key)?;
        }
        // The fields are borrowed one by one, so that the reply is free.
        let (shards, db, due_ms) = (&*self.keyspace.shards, self.session.db as usize, self.moment.due_ms);
        let view = |key: &[u8]| {
            let number = self.keyspace.sole.unwrap_or_else(|| self.shared.slots.shard(key));
            let shard = shards[number].as_deref().expect("C1: the command's shards are at hand");
            let entry = shard.dbs[db].store.find(key)?;
            entry.expiry().is_none_or(|at_ms| at_ms > due_ms).then(|| entry.view::<T>())?
        };
        let views = keys.iter().map(view).collect();
        Ok((views, &mut self.out))
    }

    /// Lets `change` have a collection and the reply; it answers with its result and whether it changed anything. An absent key
    /// begins empty if `make`, and is None otherwise; what is left empty is deleted.
    #[inline]
    pub fn change<T: Collection, R>(
        &mut self,
        key: &[u8],
        make: bool,
        change: impl FnOnce(&mut T, &mut Out) -> (R, bool),
    ) -> Result<Option<R>, Error> {
        let (number, db, moment) = (self.shard_number(key), self.session.db, self.moment);
        let shard =
            self.keyspace.shards[number].as_deref_mut().expect("C1: the command's shards are at hand");
        let out = &mut self.out;
        shard.change(db, key, &moment, make, |it: &mut T| change(it, out)).map_err(|_| Error::WRONG_TYPE)
    }

    /// Sets a key to a collection, whatever was there, without an expiry; an empty one deletes it. True: something changed.
    pub fn replace<T: Collection>(&mut self, key: &[u8], collection: T) -> bool {
        let (db, moment) = (self.session.db, self.moment);
        self.shard(key).replace(db, key, collection, &moment)
    }

    /// Throws a value away that was taken out of the one at `key`; a large one is freed later, in slices.
    pub fn throw<T: Collection>(&mut self, key: &[u8], collection: T) {
        self.shard(key).throw(Box::new(collection.into_object()));
    }

    /// Up to which sizes collections are packed.
    pub fn limits(&self) -> Limits {
        limits(self.config, self.shared)
    }

    /// A key was changed in place.
    #[inline]
    pub fn changed(&mut self, key: &[u8]) {
        let db = self.session.db;
        self.shard(key).changed(db, key);
    }

    /// Something about a key was changed that its watchers do not see, as in Redis: what a stream's groups know.
    pub fn unsaved(&mut self, key: &[u8]) {
        self.shard(key).counters.changes += 1;
    }

    /// So many elements of `key` came, went or changed, each of which counts as a change: the key itself has counted as one
    /// if there were any.
    #[inline]
    pub fn count_elements(&mut self, key: &[u8], elements: usize) {
        if elements > 1 {
            self.count_beyond(key, elements as i64 - 1);
        }
    }

    /// The change that was made counts as so many more than those of keys, or as fewer.
    pub fn count_beyond(&mut self, key: &[u8], changes: i64) {
        self.shard(key).counters.changes_beyond += changes;
    }

    /// Something was changed that is no key's, with all shards at hand, and counts once: libraries of functions, which a
    /// snapshot and the log have, too, or the order of the databases.
    pub fn changed_as_a_whole(&mut self) {
        self.shards().next().expect("C1: all shards are at hand").counters.changes += 1;
    }

    /// Sets a string, whatever was there. `expiry` in unix ms.
    #[inline]
    pub fn set_string(&mut self, key: &[u8], value: &[u8], encoding: Encoding, expiry: Option<i64>) {
        let (db, moment) = (self.session.db, self.moment);
        self.shard(key).set_string(db, key, value, encoding, expiry, &moment);
    }

    /// Makes an empty raw string, where there is no key, to be changed in place; say `changed` afterwards.
    pub fn make_string(&mut self, key: &[u8]) {
        let (db, moment) = (self.session.db, self.moment);
        let shard = self.shard(key);
        let store = &mut shard.dbs[db as usize].store;
        let old = store.set_string(store.hash(key), key, b"", Encoding::Raw, None, moment.fresh_access());
        debug_assert!(old.is_none(), "there was no such key");
        shard.tell_if_made(&moment, true, db, key);
    }

    #[inline]
    pub fn set_int(&mut self, key: &[u8], value: i64, expiry: Option<i64>) {
        let (db, moment) = (self.session.db, self.moment);
        self.shard(key).set_int(db, key, value, expiry, &moment);
    }

    /// False: no such key.
    pub fn set_expiry(&mut self, key: &[u8], expiry: Option<i64>) -> bool {
        let db = self.session.db;
        self.shard(key).set_expiry(db, key, expiry)
    }

    /// Deletes a key. False: no such key (an expired one counts as absent).
    pub fn remove(&mut self, key: &[u8]) -> bool {
        let (db, moment) = (self.session.db, self.moment);
        let shard = self.shard(key);
        shard.peek(db, key, &moment).is_some() && shard.remove(db, key)
    }

    /// Takes a key's value out of the keyspace, to put it elsewhere.
    pub fn take(&mut self, key: &[u8]) -> Option<Removed> {
        let (db, moment) = (self.session.db, self.moment);
        let shard = self.shard(key);
        shard.peek(db, key, &moment)?;
        shard.take(db, key)
    }

    /// Puts a value under a key of database `db`.
    pub fn put(&mut self, db: u16, key: &[u8], value: Removed, expiry: Option<i64>) {
        let moment = self.moment;
        self.shard(key).put(db, key, value, expiry, &moment);
    }

    // ---- effects ----

    /// Says what happened to `key`, for those who listen to the keyspace.
    #[inline]
    pub fn notify(&mut self, class: Events, event: &'static str, key: &[u8]) {
        let db = self.session.db;
        self.notify_in(db, class, event, key);
    }

    /// The same, in database `db`.
    #[inline]
    pub fn notify_in(&mut self, db: u16, class: Events, event: &'static str, key: &[u8]) {
        if self.effects.hears(class) {
            // What happened to keys by itself came first.
            let shards = self.keyspace.shards.iter_mut();
            self.effects.take_incidents(shards.filter_map(|shard| shard.as_deref_mut()));
            self.effects.event(class, event, db, key);
        }
    }

    /// `notify`, for a collection that `change` made smaller: if that emptied it, the key is gone.
    #[inline]
    pub fn notify_shrunk(&mut self, class: Events, event: &'static str, key: &[u8]) {
        if self.effects.wanted() {
            let emptied = self.shard(key).emptied;
            self.notify(class, event, key);
            if emptied {
                self.notify(Events::GENERIC, "del", key);
            }
        }
    }

    /// `replace`, for commands that store a result, and says so.
    pub fn store<T: Collection>(&mut self, key: &[u8], result: T, class: Events, event: &'static str) {
        let empty = result.is_empty();
        match self.replace(key, result) {
            true if empty => self.notify(Events::GENERIC, "del", key),
            true => self.notify(class, event, key),
            false => {}
        }
    }

    /// Whether there is a log or a replica: `log_as` is of use.
    #[inline]
    pub fn is_logged(&self) -> bool {
        self.effects.is_logged()
    }

    /// The log gets these words rather than the command as it was sent, because that would do something else at another
    /// time. May be said several times, once the keys were looked up: what had expired of them is logged first.
    pub fn log_as(&mut self, args: &[&[u8]]) {
        let db = self.session.db;
        let shards = self.keyspace.shards.iter_mut().filter_map(|shard| shard.as_deref_mut());
        self.effects.record_instead(db, args, shards);
    }

    /// Whether a field that a command takes for absent is overdue: who reads the log finds it there. No if there is no log.
    pub fn finds_overdue(&self, key: &[u8], field: &[u8]) -> bool {
        if !self.is_logged() {
            return false;
        }
        let Ok(Some(view)) = self.look::<Hash>(key) else { return false };
        view.expiry(field, 0).is_some() && view.expiry(field, self.due_ms()).is_none()
    }
}

/// Up to which sizes collections are packed.
pub fn limits(config: &Config, shared: &Shared) -> Limits {
    Limits {
        hash_entries_max: config.hash_max_listpack_entries,
        hash_value_bytes_max: config.hash_max_listpack_value,
        list_size_max: config.list_max_listpack_size as i64,
        list_large_bytes_min: shared.list_large_bytes_min.load(Relaxed),
        set_ints_max: config.set_max_intset_entries,
        set_entries_max: config.set_max_listpack_entries,
        set_value_bytes_max: config.set_max_listpack_value,
        zset_entries_max: config.zset_max_listpack_entries,
        zset_value_bytes_max: config.zset_max_listpack_value,
        stream_node_bytes_max: config.stream_node_max_bytes,
        stream_node_entries_max: config.stream_node_max_entries,
    }
}
