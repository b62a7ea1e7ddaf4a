//! What a simulator may see of a core from outside, and nobody else.

use super::core::Core;
use crate::client::{Args, State};

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

    /// EXEC with a transaction open: its commands follow, unless a watched key was changed.
    pub fn exec(client: u64, now_ms: i64) -> Self {
        Self { client, now_ms, inside: false, args: vec![b"EXEC".to_vec()] }
    }
}

impl Core {
    pub(super) fn note_exec(&mut self, batch: &super::batch::Batch) {
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

    /// What is left to do although nothing is on its way to this core any more: a sign of a deadlock or of a leak.
    pub fn unfinished(&mut self) -> Option<String> {
        if self.shards[self.id].is_none() {
            return Some("its shard is not at home".into());
        }
        if let Some(stray) = (0..self.shards.len()).find(|&n| n != self.id && self.shards[n].is_some()) {
            return Some(format!("it keeps shard {stray}"));
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
        let mute = self.each_connection(|connection| !connection.output.is_empty());
        (!mute.is_empty()).then(|| format!("connections have output that nobody sent: slots {mute:?}"))
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
