//! What is published, encoded once for all who receive it.

use std::sync::Arc;

use super::{Kind, Name};
use crate::client::ConnectionId;
use crate::resp::Out;

/// A message as all its receivers share it.
pub struct Message {
    /// How it begins, as RESP2 has it, for whom does not receive it by a pattern.
    pub(super) head: &'static [u8],
    /// In the order of all messages (P1).
    pub place: u64,
    /// What follows: the channel and the text, as two bulk strings, or what else is to be told.
    pub(super) tail: Vec<u8>,
}

impl Message {
    pub fn new(kind: Kind, place: u64, channel: &[u8], text: &[u8]) -> Self {
        let mut tail = Vec::with_capacity(channel.len() + text.len() + 32);
        let mut out = Out { buf: &mut tail, resp3: false };
        out.bulk(channel);
        out.bulk(text);
        let head: &[u8] = match kind {
            Kind::ShardChannel => b"*3\r\n$8\r\nsmessage\r\n",
            _ => b"*3\r\n$7\r\nmessage\r\n",
        };
        Self { head, place, tail }
    }

    /// Appends it as RESP2 has it.
    pub(super) fn write(&self, buf: &mut Vec<u8>) {
        buf.extend_from_slice(self.head);
        buf.extend_from_slice(&self.tail);
    }
}

/// A message on its way to clients of one core.
pub struct Parcel {
    pub message: Arc<Message>,
    /// The pattern by which they receive it.
    pub pattern: Option<Name>,
    /// Who was subscribed at the message's place (P3).
    pub seats: Arc<Vec<ConnectionId>>,
}

impl Parcel {
    /// Appends the message as RESP2 has it; in RESP3 its first byte is `>`.
    pub fn write(&self, buf: &mut Vec<u8>) {
        let Some(pattern) = &self.pattern else { return self.message.write(buf) };
        buf.extend_from_slice(b"*4\r\n$8\r\npmessage\r\n");
        Out { buf, resp3: false }.bulk(pattern);
        buf.extend_from_slice(&self.message.tail);
    }
}
