//! A script that may have to begin anew yet is on trial: what it would leave in the statistics and in the log file is held
//! back until it is over, and forgotten if it begins anew.
//! In: calls that are over, or were refused. Out: counts, entries of the slow log, lines of the log file.

use std::borrow::Cow;

use crate::client::Args;
use crate::commands::slow::{is_noted, note_time};
use crate::commands::{Command, Context};
use crate::log;
use crate::resp::Span;

/// More than that is not held back: the script begins anew.
const TRACES_MAX: usize = 1024;
const TRACE_BYTES_MAX: usize = 1 << 20;

/// What is held back.
#[derive(Default)]
pub struct Traces {
    list: Vec<Trace<'static>>,
    bytes: usize,
}

impl Traces {
    pub fn is_full(&self) -> bool {
        self.list.len() >= TRACES_MAX || self.bytes > TRACE_BYTES_MAX
    }

    pub fn keep(&mut self, trace: Trace, cx: &Context) {
        let trace = trace.keep(cx);
        self.bytes += trace.bytes();
        self.list.push(trace);
    }

    /// The script is over.
    pub fn tell(self, cx: &Context) {
        self.list.into_iter().for_each(|trace| trace.tell(cx));
    }
}

/// What there is to tell.
pub enum Trace<'a> {
    Called {
        number: u16,
        ns: u64,
        /// Its reply, if that is an error.
        error: Option<Cow<'a, [u8]>>,
        /// Its arguments, if the time that it took is noted.
        words: Words<'a>,
    },
    Refused {
        number: Option<u16>,
        why: Cow<'a, [u8]>,
    },
    Logged {
        level: usize,
        text: Cow<'a, [u8]>,
    },
}

/// The arguments of a call: lent, or kept.
pub enum Words<'a> {
    Lent(Args<'a>),
    Kept(Vec<u8>, Vec<Span>),
}

impl Words<'_> {
    fn args(&self) -> Args<'_> {
        match self {
            Self::Lent(args) => *args,
            Self::Kept(buf, spans) => Args::new(buf, spans),
        }
    }

    fn keep(self, wanted: bool) -> Words<'static> {
        let (mut buf, mut spans) = (Vec::new(), Vec::new());
        for word in self.args().iter().filter(|_| wanted) {
            spans.push(Span { start: buf.len() as u32, len: word.len() as u32 });
            buf.extend_from_slice(word);
        }
        Words::Kept(buf, spans)
    }
}

impl Trace<'_> {
    /// Bytes that it holds besides its own.
    fn bytes(&self) -> usize {
        match self {
            Self::Called { error, words, .. } => {
                let words: usize = words.args().iter().map(|word| word.len() + size_of::<Span>()).sum();
                error.as_ref().map_or(0, |error| error.len()) + words
            }
            Self::Refused { why: text, .. } | Self::Logged { text, .. } => text.len(),
        }
    }

    /// The same, for later.
    fn keep(self, cx: &Context) -> Trace<'static> {
        let owned = |text: Cow<[u8]>| Cow::Owned(text.into_owned());
        match self {
            Self::Called { number, ns, error, words } => {
                let words = words.keep(is_noted(cx.config, ns));
                Trace::Called { number, ns, error: error.map(owned), words }
            }
            Self::Refused { number, why } => Trace::Refused { number, why: owned(why) },
            Self::Logged { level, text } => Trace::Logged { level, text: owned(text) },
        }
    }

    pub fn tell(self, cx: &Context) {
        let metrics = &cx.shared.metrics[cx.core];
        match self {
            Self::Called { number, ns, error, words } => {
                let command: &Command = cx.registry.row(number);
                let counts = &metrics.commands[number as usize];
                metrics.commands_processed.add(1);
                counts.record(ns, cx.config.latency_tracking);
                if let Some(error) = error {
                    counts.failed.add(1);
                    cx.shared.count_error_reply(cx.core, &error);
                }
                if is_noted(cx.config, ns) {
                    note_time(cx.shared, cx.config, command, words.args(), cx.session.id, ns);
                }
            }
            Self::Refused { number, why } => {
                if let Some(number) = number {
                    metrics.commands[number as usize].rejected.add(1);
                }
                metrics.error_replies.add(1);
                cx.shared.count_error(&why);
            }
            Self::Logged { level, text } => {
                let text = String::from_utf8_lossy(&text);
                match level {
                    0 => log::debug(text),
                    1 => log::verbose(text),
                    2 => log::notice(text),
                    _ => log::warning(text),
                }
            }
        }
    }
}
