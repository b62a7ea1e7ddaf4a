//! Delivers what was published: from the box of the core to the connections of its clients.
//!
//! A message belongs into a client's output at the place where a single-threaded Redis would put it: behind the replies of all
//! its commands that ran before the PUBLISH, before the replies of those that ran later. Commands that run at home see to
//! that by emptying the box first. A batch that is away notes, where it stands (`Stamp`), the place of the latest message at the
//! time of each command; what arrives meanwhile waits at home (`Pending`), and both are put together on its return. A
//! client's own messages so come behind the reply of its PUBLISH, and behind that of the whole EXEC, as in Redis since 7.2.
//! In: the core's box (`pubsub::Exchange`). Out: output of connections.

use std::sync::Arc;
use std::sync::MutexGuard;
use std::sync::atomic::Ordering::Acquire;

use super::batch::{Batch, Stamp};
use super::core::Core;
use crate::client::{Connection, ConnectionId, Pending, ReplyMode, Session, State};
use crate::commands::Note;
use crate::pubsub::{Books, Exchange, Parcel};

/// A bundle takes no further message beyond this.
const BUNDLE_BYTES_MAX: usize = 64 * 1024;
/// A box, or a bundle, that grew beyond this is not kept.
const PARCELS_KEPT_MAX: usize = 4096;

/// Messages in a row for the same clients, as text in RESP2.
#[derive(Default)]
pub struct Bundle {
    text: Vec<u8>,
    /// The place of each message, and where it begins.
    starts: Vec<(u64, usize)>,
}

impl Bundle {
    fn clear(&mut self) {
        self.text.clear();
        self.starts.clear();
        if self.text.capacity() > 2 * BUNDLE_BYTES_MAX {
            self.text = Vec::new();
        }
    }

    /// Takes in the first parcels of a row that go to the same clients. Returns how many.
    fn fill(&mut self, parcels: &[Parcel]) -> usize {
        self.clear();
        for parcel in parcels {
            let full = self.text.len() >= BUNDLE_BYTES_MAX || !Arc::ptr_eq(&parcel.seats, &parcels[0].seats);
            if full {
                break;
            }
            self.starts.push((parcel.message.place, self.text.len()));
            parcel.write(&mut self.text);
        }
        self.starts.len()
    }

    /// Appends all messages in a protocol.
    fn append(&self, output: &mut Vec<u8>, resp3: bool) {
        let from = output.len();
        output.extend_from_slice(&self.text);
        if resp3 {
            self.starts.iter().for_each(|(_, start)| output[from + start] = b'>');
        }
    }

    /// Where each message ends, and its place.
    fn ends(&self) -> impl Iterator<Item = (u64, usize)> + '_ {
        let ends = self.starts.iter().skip(1).map(|(_, start)| *start).chain([self.text.len()]);
        self.starts.iter().zip(ends).map(|((place, _), end)| (*place, end))
    }
}

impl Core {
    /// What happens next comes after all that was published so far (P4).
    #[inline]
    pub(super) fn look_for_mail(&mut self) {
        #[cfg(test)]
        if self.neglect == Some(super::inspect::Neglect::Box) {
            return;
        }
        self.take_mail();
    }

    /// Delivers what was published so far for clients of this core.
    #[inline]
    pub(super) fn take_mail(&mut self) {
        if self.shared.exchange.has_mail(self.id) {
            let mut parcels = std::mem::take(&mut self.parcels);
            self.shared.exchange.collect(self.id, &mut parcels);
            self.deliver(parcels);
        }
    }

    /// The books, once all that was published before is delivered (P4).
    pub(super) fn settle_mail<'a>(&mut self, exchange: &'a Exchange) -> MutexGuard<'a, Books> {
        loop {
            let mut parcels = std::mem::take(&mut self.parcels);
            let books = exchange.lock_empty(self.id, &mut parcels);
            if let Some(books) = books {
                self.parcels = parcels;
                return books;
            }
            self.deliver(parcels);
        }
    }

    fn deliver(&mut self, mut parcels: Vec<Parcel>) {
        let mut bundle = std::mem::take(&mut self.bundle);
        let mut next = 0;
        while next < parcels.len() {
            let taken = bundle.fill(&parcels[next..]);
            parcels[next].seats.iter().for_each(|&seat| self.hand_over(seat, &bundle));
            next += taken;
        }
        parcels.clear();
        if parcels.capacity() <= PARCELS_KEPT_MAX {
            self.parcels = parcels;
        }
        self.bundle = bundle;
    }

    /// Gives a client its messages, if it is still there.
    fn hand_over(&mut self, seat: ConnectionId, bundle: &Bundle) {
        #[cfg(test)]
        let hasty = self.neglect == Some(super::inspect::Neglect::Patience);
        #[cfg(not(test))]
        let hasty = false;
        let Some(connection) = self.connection(seat) else { return };
        let is_deaf = matches!(connection.state, State::Closing | State::Deaf);
        if is_deaf || connection.card.killed.load(Acquire) {
            return;
        }
        let resp3 = connection.session.resp3;
        // Who was answered elsewhere, after the message or before, has yet to hear of it.
        let answered = connection.wait.as_ref().is_some_and(|wait| wait.is_over());
        if (connection.state == State::Away && !hasty) || answered {
            let pending = &mut connection.pending;
            let from = pending.bytes.len();
            bundle.append(&mut pending.bytes, resp3);
            pending.ends.extend(bundle.ends().map(|(place, end)| (place, from + end)));
            return;
        }
        if connection.output.capacity() == 0 {
            let buffer = self.spare_buffer();
            self.connection_mut(seat.slot).output = buffer;
        }
        bundle.append(&mut self.connection_mut(seat.slot).output, resp3);
        self.output_grew(seat.slot);
    }

    /// Writes the messages of this place and before that wait for an answer.
    pub(super) fn write_pending(&mut self, slot: u32, place: u64) {
        let connection = self.connection_mut(slot);
        if connection.pending.is_empty() {
            return;
        }
        let pending = std::mem::take(&mut connection.pending);
        let mut messages = Messages { bytes: &pending.bytes, ends: &pending.ends, from: 0 };
        messages.write_up_to(place, &mut connection.output);
        connection.pending = messages.rest();
    }

    /// Whether messages may come for a client: it is subscribed to something, or it may be told of invalidations, be they
    /// its own or redirected to it.
    #[inline]
    pub(super) fn may_hear(&self, session: &Session) -> bool {
        session.subscribed || (session.resp3 && !self.shared.exchange.tracked.is_idle())
    }

    /// The batch's next reply comes behind all messages so far.
    pub(super) fn stamp(&self, batch: &mut Batch) {
        #[cfg(test)]
        if self.neglect == Some(super::inspect::Neglect::Stamps) {
            return;
        }
        if batch.session.is_some_and(|session| self.may_hear(&session)) {
            let place = self.shared.exchange.place();
            if batch.stamps.last().is_none_or(|last| last.place != place) {
                batch.stamps.push(Stamp { at: batch.replies.len(), place });
            }
        }
    }
}

/// Appends the replies of a batch that is back, but those that CLIENT REPLY silences, and the messages that came
/// meanwhile, each in its place. If its last command waits and was answered meanwhile, later messages wait for the answer.
pub fn interleave(connection: &mut Connection, output: &mut Vec<u8>, batch: &Batch) {
    let waits = batch.notes.iter().find_map(|note| match note {
        Note::Waits(wait) => Some(wait),
        Note::Watched(_) | Note::Hold(_) => None,
    });
    let pending = std::mem::take(&mut connection.pending);
    let mut messages = Messages { bytes: &pending.bytes, ends: &pending.ends, from: 0 };
    let mut at = 0;
    if connection.reply_mode == ReplyMode::On {
        for stamp in &batch.stamps {
            output.extend_from_slice(&batch.replies[at..stamp.at]);
            at = stamp.at;
            messages.write_up_to(stamp.place, output);
        }
        output.extend_from_slice(&batch.replies[at..]);
    } else {
        // A batch of one command, or a transaction.
        batch.confirmations.iter().for_each(|range| output.extend_from_slice(&batch.replies[range.clone()]));
        if waits.is_none() {
            super::run::mute(connection, output, 0, true);
        }
    }
    messages.write_up_to(waits.filter(|wait| wait.is_over()).map_or(u64::MAX, |wait| wait.place()), output);
    connection.pending = messages.rest();
}

/// Messages that wait, being written one after the other.
struct Messages<'a> {
    bytes: &'a [u8],
    ends: &'a [(u64, usize)],
    from: usize,
}

impl Messages<'_> {
    /// Those that were not written.
    fn rest(&self) -> Pending {
        let ends = self.ends.iter().map(|(place, end)| (*place, end - self.from));
        Pending { bytes: self.bytes[self.from..].to_vec(), ends: ends.collect() }
    }

    /// Writes those of this place and before.
    fn write_up_to(&mut self, place: u64, output: &mut Vec<u8>) {
        let count = self.ends.iter().take_while(|(at, _)| *at <= place).count();
        if let Some((_, end)) = self.ends[..count].last() {
            output.extend_from_slice(&self.bytes[self.from..*end]);
            self.from = *end;
        }
        self.ends = &self.ends[count..];
    }
}
