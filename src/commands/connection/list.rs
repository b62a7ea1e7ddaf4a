//! CLIENT LIST and CLIENT INFO: a client in one line of fields, in Redis' order.

use std::fmt::Write;
use std::sync::atomic::Ordering::Relaxed;

use super::super::{Context, Error};
use super::filter::Filter;
use crate::base::number::until_nul;
use crate::client::{Args, Card, flag};

pub fn info(cx: &mut Context, args: Args) -> Result<(), Error> {
    let mut text = Vec::new();
    let argv_bytes = args.iter().map(<[u8]>::len).sum();
    describe(&mut text, &cx.card(), argv_bytes, cx);
    cx.out.verbatim("txt", &text);
    Ok(())
}

pub fn list(cx: &mut Context, args: Args) -> Result<(), Error> {
    let filter =
        Filter::parse(args.from(2), &Error::new("ERR Invalid client ID"), cx.config.databases as u64)?;
    let (me, now_ms) = (cx.session.id, cx.now_ms());
    let skipped = |card: &Card| filter.skip_me == Some(true) && card.id == me;
    let mut text = Vec::new();
    for card in cx.shared.clients.all() {
        if filter.fits(&card, now_ms) && !skipped(&card) {
            let argv_bytes = if card.id == me { args.iter().map(<[u8]>::len).sum() } else { 0 };
            describe(&mut text, &card, argv_bytes, cx);
        }
    }
    cx.out.verbatim("txt", &text);
    Ok(())
}

/// The letters that stand for the client's state; N where there is nothing to say.
pub fn flag_letters(card: &Card) -> String {
    /// No flag of the home core's: any core may find the redirection broken.
    const BROKEN: u64 = 0;
    const LETTERS: &[(u64, char)] = &[
        (flag::MONITOR, 'O'),
        (flag::PUBSUB, 'P'),
        (flag::MULTI, 'x'),
        (flag::BLOCKED, 'b'),
        (flag::TRACKING, 't'),
        (BROKEN, 'R'),
        (flag::BCAST, 'B'),
        (flag::DIRTY_WATCH, 'd'),
        (flag::CLOSE_AFTER_REPLY, 'c'),
        (flag::CLOSE_SOON, 'A'),
        (flag::UNIX_SOCKET, 'U'),
        (flag::NO_EVICT, 'e'),
        (flag::NO_TOUCH, 'T'),
    ];
    let broken = card.redirect_broken.load(Relaxed);
    let has = |bit: u64| if bit == BROKEN { broken } else { card.has(bit) };
    let letters: String = LETTERS.iter().filter(|(bit, _)| has(*bit)).map(|(_, letter)| *letter).collect();
    if letters.is_empty() { "N".into() } else { letters }
}

/// Appends the line of a client. `argv_bytes`: the arguments of the command that it runs now, which only the client that
/// asks can do; one that has come in part is still in the query buffer.
///
/// Replies are written to a buffer (`rbs`, `rbp`, `obl`) that is handed to the kernel as a whole: what is being sent is the
/// one element of Redis' list of replies (`oll`).
fn describe(into: &mut Vec<u8>, card: &Card, argv_bytes: usize, cx: &Context) {
    let (registry, now_ms) = (cx.registry, cx.now_ms());
    let peak_reset_ms = cx.shared.reply_peak_reset_ms.load(Relaxed);
    let names = card.names().clone();
    let seconds_since = |then_ms: i64| ((now_ms - then_ms) / 1000).max(0);
    let multi = card.multi.get() as i64 - 1;
    let (input, input_capacity) = (card.input_bytes.get(), card.input_capacity.get());
    let output = card.output_bytes.get();
    let command = match card.last_command.get() {
        0 => "NULL".to_owned(),
        row => registry.row(row as u16 - 1).full_name(),
    };
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write!(text, "id={} addr={} laddr={} fd={} name=", card.id, card.addr, card.laddr, card.fd);
    into.extend_from_slice(text.as_bytes());
    into.extend_from_slice(until_nul(&names.name));
    text.clear();
    let _ = write!(
        text,
        " age={} idle={} flags={} db={} sub={} psub={} ssub={} multi={multi} watch={}",
        seconds_since(card.created_ms),
        seconds_since(card.last_ms.load(Relaxed)),
        flag_letters(card),
        card.db.get(),
        card.channels.get(),
        card.patterns.get(),
        card.shard_channels.get(),
        card.watched.get(),
    );
    let _ = write!(
        text,
        " qbuf={input} qbuf-free={} argv-mem={argv_bytes} multi-mem={} rbs={} rbp={} obl={} oll={} omem={output} tot-mem={}",
        input_capacity.saturating_sub(input),
        card.multi_bytes.get(),
        card.reply_capacity.get(),
        card.reply_peak(now_ms, peak_reset_ms),
        card.reply_bytes.get(),
        (output > card.reply_bytes.get()) as u8,
        card.memory_bytes(),
    );
    let _ = write!(
        text,
        " events={} cmd={command} user={} redir={} resp={} lib-name=",
        if output > 0 { "rw" } else { "r" },
        names.user,
        card.redirect.load(Relaxed),
        card.resp.get(),
    );
    into.extend_from_slice(text.as_bytes());
    into.extend_from_slice(until_nul(&names.library_name));
    into.extend_from_slice(b" lib-ver=");
    into.extend_from_slice(until_nul(&names.library_version));
    text.clear();
    let _ = writeln!(
        text,
        " io-thread={} tot-net-in={} tot-net-out={} tot-cmds={}",
        card.connection().core,
        card.net_in.get(),
        card.net_out.get(),
        card.commands.get(),
    );
    into.extend_from_slice(text.as_bytes());
}
