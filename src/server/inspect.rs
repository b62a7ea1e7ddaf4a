//! What a simulator may see of a core from outside, and nobody else.

use super::batch::{Batch, Kind};
use super::core::Core;
use crate::base::number::parse_i64;
use crate::client::{Args, State};
use crate::shard::{Encoding, Shard};

/// Stands for a command where a connection was closed.
pub const CLOSED: &[u8] = b"(closed)";
/// Stands for a command where a client's wait was over without an answer.
pub const TIMED_OUT: &[u8] = b"(timed out)";

/// One line of a core's trace: what ran, in the order in which it ran.
#[derive(Clone, Debug)]
pub struct Executed {
    pub client: u64,
    pub now_ms: i64,
    /// It ran inside a transaction, whose own line stands before.
    pub inside: bool,
    pub args: Vec<Vec<u8>>,
}

impl Executed {
    pub fn command(client: u64, now_ms: i64, inside: bool, args: Args) -> Self {
        Self { client, now_ms, inside, args: args.iter().map(<[u8]>::to_vec).collect() }
    }

    /// The client's connection was closed.
    pub fn closed(client: u64, now_ms: i64) -> Self {
        Self { client, now_ms, inside: false, args: vec![CLOSED.to_vec()] }
    }

    /// The time of the client's wait was up.
    pub fn timed_out(client: u64, now_ms: i64) -> Self {
        Self { client, now_ms, inside: false, args: vec![TIMED_OUT.to_vec()] }
    }

    /// EXEC with a transaction open: its commands follow, unless a watched key was changed.
    pub fn exec(client: u64, now_ms: i64) -> Self {
        Self { client, now_ms, inside: false, args: vec![b"EXEC".to_vec()] }
    }
}

/// What a core forgets on purpose, to show that the checks see it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Neglect {
    /// To look into its box before it does anything else.
    Box,
    /// To note which messages come before the replies of a batch.
    Stamps,
    /// To serve who waits, now and then.
    Serve,
    /// To send the answer of who was served, now and then.
    Answer,
    /// To let messages wait while a batch is away.
    Patience,
    /// To serve the longest waiting first.
    Order,
    /// To keep the lines of what is atomic for MONITOR until it is over.
    Together,
}

impl std::fmt::Display for Executed {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let Executed { client, now_ms, inside, args } = self;
        let words: Vec<_> =
            args.iter().map(|arg| String::from_utf8_lossy(&arg[..arg.len().min(40)])).collect();
        let how = if *inside { "  inside" } else { "" };
        write!(f, "{now_ms} client {client}{how}: {}", words.join(" "))
    }
}

impl Core {
    pub(super) fn note_exec(&mut self, batch: &Batch) {
        let client = batch.session.map_or(0, |session| session.id);
        self.trace.push(Executed::exec(client, self.now_ms));
    }

    /// The client id of the connection in `slot`.
    pub fn client_id(&mut self, slot: u32) -> u64 {
        self.connection_mut(slot).session.id
    }

    /// Lets the connection in `slot` speak RESP3 from now on.
    pub fn speak_resp3(&mut self, slot: u32) {
        let connection = self.connection_mut(slot);
        connection.session.resp3 = true;
        connection.card.resp.set(3);
    }

    /// Lets the connection in `slot` say what a log holds.
    pub fn read_log(&mut self, slot: u32) {
        let connection = self.connection_mut(slot);
        (connection.session.timeless, connection.authenticated) = (true, true);
    }

    /// After how many errands the home shard may be kept elsewhere.
    pub fn lends_after(&mut self, errands: u32) {
        self.keeping.quiet_errands_min = errands;
    }

    /// After how many commands a client may move to another core, whatever the number of cores.
    pub fn moves_after(&mut self, commands: u64) {
        self.moving.commands_min = commands;
        self.moving.commands_min_of_guest = commands;
        self.moving.cores_max = usize::MAX;
        self.moving.whims = commands == 1;
    }

    /// A client may move to any other core.
    pub(super) fn follow_whim(&mut self, slot: u32) {
        let cores = self.shards.len();
        if self.moving.whims && cores > 1 && self.rng.below(8) == 0 {
            let to = (self.id + 1 + self.rng.below(cores as u64 - 1) as usize) % cores;
            self.connection_mut(slot).habits.moves_to = Some(to);
        }
    }

    /// Sends for the home shard if it is kept elsewhere, as a tick does.
    pub fn sends_for_shard(&mut self) -> bool {
        let away = self.is_kept_elsewhere();
        self.recall();
        away
    }

    /// Its shard, unless that is lent or held.
    pub fn shard_at_home(&mut self) -> Option<&mut Shard> {
        self.shards[self.id].as_deref_mut()
    }

    /// What is left to do although nothing is on its way to this core any more: a sign of a deadlock or of a leak.
    pub fn unfinished(&mut self) -> Option<String> {
        if self.shards[self.id].is_none() {
            return Some("its shard is not at home".into());
        }
        if let Some(stray) = (0..self.shards.len()).find(|&n| n != self.id && self.shards[n].is_some()) {
            return Some(format!("it keeps shard {stray}"));
        }
        if self.shared.exchange.has_mail(self.id) {
            return Some("its box is not empty".into());
        }
        if !self.waiting.is_empty() || !self.ready.is_empty() || !self.signals.is_empty() {
            let (batches, ready) = (self.waiting.len(), self.ready.len());
            return Some(format!("{batches} batches wait, {ready} connections are ready"));
        }
        self.connections_unfinished()
    }

    fn connections_unfinished(&mut self) -> Option<String> {
        let held_back = self.held_back.len();
        let paused = self.each_connection(|connection| connection.state == State::Paused).len();
        if paused > held_back {
            return Some(format!("{paused} connections are held back, {held_back} of them known"));
        }
        let away = self.each_connection(|connection| connection.state == State::Away || connection.awaited);
        if !away.is_empty() {
            return Some(format!("connections wait for their batches: slots {away:?}"));
        }
        let moving = self.each_connection(|connection| connection.state == State::Moving);
        if !moving.is_empty() {
            return Some(format!("connections do not get away: slots {moving:?}"));
        }
        let mute = self.each_connection(|connection| !connection.output.is_empty());
        (!mute.is_empty()).then(|| format!("connections have output that nobody sent: slots {mute:?}"))
    }

    /// What is left of waits that are over.
    pub fn waits_left(&self) -> Option<String> {
        let shard = self.shards[self.id].as_ref().expect("it is at home");
        let left = [self.deadlines.len(), self.early_answers.len(), self.unwait_later.len()];
        let clean = left == [0; 3] && shard.waiting.is_empty();
        (!clean).then(|| format!("core {} keeps deadlines, early answers, waits to forget {left:?}", self.id))
    }

    /// Whether it is time to forget something on purpose.
    pub(super) fn neglects(&mut self, what: Neglect) -> bool {
        self.neglect == Some(what) && self.rng.below(4) == 0
    }

    /// Tells MONITOR's listeners of half a transaction.
    pub(super) fn neglect_lines(&mut self) {
        if self.neglects(Neglect::Together) {
            self.effects.lines.tell(&self.shared, &mut self.signals);
            self.send_signals();
        }
    }

    /// Whether CLIENT PAUSE holds a connection back.
    pub fn holds_back(&self) -> bool {
        !self.held_back.is_empty()
    }

    /// Connections that take up a slot.
    pub fn connections(&self) -> usize {
        self.each_connection(|_| true).len()
    }

    /// Keys under watch in the home shard, by all connections together.
    pub fn watched_keys(&self) -> usize {
        let shard = self.shards[self.id].as_ref().expect("it is at home");
        (0..shard.dbs.len()).map(|db| shard.watch.keys_of(db as u16).len()).sum()
    }
}

// ---- what a simulator may break on purpose ----

impl Core {
    /// Writes what the MSET that a batch is about to run will set in the home shard, although its lease is not complete.
    pub fn tear_mset(&mut self, batch: &Batch) -> bool {
        let Some(request) = batch.requests.list.get(batch.next) else { return false };
        let args = batch.requests.args(request, &batch.buf);
        if !args.is(0, "mset") || args.len().is_multiple_of(2) {
            return false;
        }
        self.set_ahead(batch, (1..args.len()).step_by(2).map(|at| (args.at(at), args.at(at + 1))))
    }

    /// Sets the declared keys of the script that a batch is about to run to its first argument, as the scripts of
    /// `sim::scenario` do.
    pub fn tear_script(&mut self, batch: &Batch) -> bool {
        let Some(request) = batch.requests.list.get(batch.next) else { return false };
        let args = batch.requests.args(request, &batch.buf);
        let count = args.get(2).and_then(parse_i64).filter(|_| args.is(0, "eval")).unwrap_or(0) as usize;
        let Some(value) = args.get(3 + count).filter(|_| count > 0) else { return false };
        self.set_ahead(batch, (3..3 + count).map(|at| (args.at(at), value)))
    }

    fn set_ahead<'b>(&mut self, batch: &Batch, pairs: impl Iterator<Item = (&'b [u8], &'b [u8])>) -> bool {
        let (db, moment) = (batch.session.map_or(0, |session| session.db), self.moment(true));
        let Some(shard) = self.shards[self.id].as_mut() else { return false };
        let mut torn = false;
        for (key, value) in pairs.filter(|(key, _)| self.shared.slots.shard(key) == self.id) {
            shard.set_string(db, key, value, Encoding::Raw, None, &moment);
            torn = true;
        }
        torn
    }
}

impl Batch {
    /// The next two commands change places.
    pub fn swap_commands(&mut self) -> bool {
        let possible = matches!(self.kind, Kind::Plain) && self.next + 1 < self.requests.list.len();
        if possible {
            self.requests.list.swap(self.next, self.next + 1);
        }
        possible
    }

    /// The next command will run twice, for one reply.
    pub fn double_command(&mut self) -> bool {
        let list = &self.requests.list;
        let begin = |index: usize| list.get(index).map(|request| request.begin);
        let next = begin(self.next);
        // Only once: what travels often would never come to its end.
        let is_double = begin(self.next + 1) == next || (self.next > 0 && begin(self.next - 1) == next);
        let possible = matches!(self.kind, Kind::Plain) && next.is_some() && !is_double;
        if possible {
            self.requests.list.insert(self.next, self.requests.list[self.next]);
        }
        possible
    }
}

impl Shard {
    /// Forgets a key, and nobody is told.
    pub fn lose_a_key(&mut self) -> bool {
        let mut key = None;
        self.dbs[0].store.scan(0, &mut |entry| key = Some(entry.key().to_vec()));
        key.is_some_and(|key| self.dbs[0].store.remove(&key).is_some())
    }
}
