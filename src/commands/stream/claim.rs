//! Giving pending entries to another consumer: XCLAIM, XAUTOCLAIM.

use super::super::{Context, Error};
use super::args::{interval_start, strict_id};
use super::changes::Changes;
use super::{no_group, shown, write_entry, write_id};
use crate::base::number::parse_i64;
use crate::client::Args;
use crate::resp::Out;
use crate::types::Stream;
use crate::types::stream::{ConsumerNumber, Group, Id, Log, Pending};

/// `read` comes first, before the options where Redis looks the key up before those.
fn expect_group(cx: &mut Context, args: Args) -> Result<(), Error> {
    let (key, name) = (args.at(1), args.at(2));
    let group = cx.look::<Stream>(key)?.and_then(|stream| stream.groups.get(name));
    group.map(|_| ()).ok_or_else(|| no_group(key, name, ""))
}

fn integer(arg: &[u8], error: &'static str) -> Result<i64, Error> {
    parse_i64(arg).ok_or(Error::new(error))
}

/// What is done with entries that are claimed.
struct Claim {
    idle_ms_min: i64,
    /// Unix ms, None: now.
    delivered_ms: Option<i64>,
    /// None: one more than before, unless just ids are returned.
    deliveries: Option<u64>,
    /// Entries are claimed that are not pending, too.
    force: bool,
    just_ids: bool,
    last_id: Id,
}

impl Claim {
    fn new(idle_ms_min: i64) -> Claim {
        Claim {
            idle_ms_min: idle_ms_min.max(0),
            delivered_ms: None,
            deliveries: None,
            force: false,
            just_ids: false,
            last_id: Id::MIN,
        }
    }

    /// The options of XCLAIM, behind its ids. A delivery was no later than `latest_ms`.
    fn parse_options(&mut self, mut rest: Args, now_ms: i64, latest_ms: i64) -> Result<(), Error> {
        while !rest.is_empty() {
            let more = rest.len() > 1;
            let value = match () {
                () if rest.is(0, "force") => {
                    self.force = true;
                    0
                }
                () if rest.is(0, "justid") => {
                    self.just_ids = true;
                    0
                }
                () if rest.is(0, "idle") && more => {
                    let idle_ms = integer(rest.at(1), "ERR Invalid IDLE option argument for XCLAIM")?;
                    self.delivered_ms = Some(now_ms.wrapping_sub(idle_ms));
                    1
                }
                () if rest.is(0, "time") && more => {
                    let time = integer(rest.at(1), "ERR Invalid TIME option argument for XCLAIM")?;
                    self.delivered_ms = Some(time);
                    1
                }
                () if rest.is(0, "retrycount") && more => {
                    let count = integer(rest.at(1), "ERR Invalid RETRYCOUNT option argument for XCLAIM")?;
                    self.deliveries = u64::try_from(count).ok();
                    1
                }
                () if rest.is(0, "lastid") && more => {
                    self.last_id = strict_id(rest.at(1))?;
                    1
                }
                () => {
                    let option = shown(rest.at(0));
                    return Err(Error::showing(&[b"ERR Unrecognized XCLAIM option '", option, b"'"]));
                }
            };
            rest = rest.from(1 + value);
        }
        // A time that cannot be is that of now.
        self.delivered_ms = self.delivered_ms.filter(|time| (0..=latest_ms).contains(time));
        Ok(())
    }
}

/// A group in which a consumer claims entries.
struct Claiming<'a> {
    claim: &'a Claim,
    log: &'a Log,
    group: &'a mut Group,
    consumer: ConsumerNumber,
    now_ms: i64,
    changes: &'a mut Changes,
}

/// What came of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// It was written to the reply.
    Claimed,
    /// It was deleted, and is no longer pending if it was.
    Gone,
    /// It is not pending, or not for long enough.
    Left,
}

impl Claiming<'_> {
    fn claim(&mut self, out: &mut Out, id: Id) -> Outcome {
        let Some(entry) = self.log.get(id) else {
            if self.group.acknowledge(id) {
                self.changes.gone(id);
                self.changes.count(1);
            }
            return Outcome::Gone;
        };
        let before = self.group.pending().get(&id).copied();
        let idle_ms = before.map(|pending| self.now_ms.wrapping_sub(pending.delivered_ms));
        if before.is_none() && !self.claim.force
            || self.claim.idle_ms_min > 0 && idle_ms.is_some_and(|idle_ms| idle_ms < self.claim.idle_ms_min)
        {
            return Outcome::Left;
        }
        let deliveries = before.map_or(1, |pending| pending.deliveries);
        let once_more = u64::from(!self.claim.just_ids);
        let pending = Pending {
            consumer: self.consumer,
            delivered_ms: self.claim.delivered_ms.unwrap_or(self.now_ms),
            deliveries: self.claim.deliveries.unwrap_or(deliveries.wrapping_add(once_more)),
        };
        self.group.assign(id, pending);
        self.changes.delivered(id, pending);
        self.group.consumer_mut(self.consumer).active_ms = Some(self.now_ms);
        if self.claim.just_ids {
            write_id(out, id);
        } else {
            write_entry(out, &entry);
        }
        Outcome::Claimed
    }
}

/// Lets `f` claim entries for a consumer, which is made if it is not there. It returns how many it claimed.
fn claim_for(
    cx: &mut Context,
    args: Args,
    claim: &Claim,
    f: impl FnOnce(&mut Claiming, &mut Out) -> usize,
) -> Result<(), Error> {
    let (key, group, consumer) = (args.at(1), args.at(2), args.at(3));
    // Where a log is read, the consumer was there when it says that the entry was delivered.
    let seen_ms = claim.delivered_ms.filter(|_| cx.session.timeless);
    let now_ms = seen_ms.unwrap_or(cx.now_ms());
    let mut changes = Changes::begin(cx);
    cx.change(key, false, |stream: &mut Stream, out| {
        let parts = &mut **stream;
        let log = &parts.log;
        parts.groups.change(group, |group| {
            let moves = claim.last_id > group.last_id;
            if moves {
                group.last_id = claim.last_id;
                changes.moved(group);
            }
            let (consumer, is_new) = group.find_or_create(consumer, now_ms);
            group.consumer_mut(consumer).seen_ms = now_ms;
            if is_new {
                changes.consumer_created();
            }
            let claimed =
                f(&mut Claiming { claim, log, group, consumer, now_ms, changes: &mut changes }, out);
            // That the group moved on counts only where it is all that happened, as in Redis.
            changes.count(claimed.max(usize::from(moves)));
        });
        ((), false)
    })?;
    changes.say(cx, key, group, consumer);
    Ok(())
}

pub fn xclaim(cx: &mut Context, args: Args) -> Result<(), Error> {
    cx.read(args.at(1));
    expect_group(cx, args)?;
    let mut claim = Claim::new(integer(args.at(4), "ERR Invalid min-idle-time argument for XCLAIM")?);
    let ids: Vec<Id> = args.from(5).iter().map_while(|arg| strict_id(arg).ok()).collect();
    // Where a log is read the clock stands still, and what it says of times is true.
    let latest_ms = if cx.session.timeless { i64::MAX } else { cx.now_ms() };
    claim.parse_options(args.from(5 + ids.len()), cx.now_ms(), latest_ms)?;
    claim_for(cx, args, &claim, |claiming, out| {
        let header = out.deferred();
        let claimed = ids.into_iter().filter(|&id| claiming.claim(out, id) == Outcome::Claimed).count();
        out.finish_array(header, claimed);
        claimed
    })
}

/// The options of XAUTOCLAIM: how many entries, and whether just ids are returned.
fn parse_auto_options(mut rest: Args) -> Result<(usize, bool), Error> {
    const COUNT_MAX: i64 = i64::MAX / 16;
    let (mut count, mut just_ids) = (100, false);
    while !rest.is_empty() {
        if rest.is(0, "count") && rest.len() > 1 {
            let given = parse_i64(rest.at(1)).filter(|count| (1..=COUNT_MAX).contains(count));
            count = given.ok_or(Error::new("ERR COUNT must be > 0"))? as usize;
            rest = rest.from(2);
        } else if rest.is(0, "justid") {
            just_ids = true;
            rest = rest.from(1);
        } else {
            return Err(Error::SYNTAX);
        }
    }
    Ok((count, just_ids))
}

pub fn xautoclaim(cx: &mut Context, args: Args) -> Result<(), Error> {
    /// So many entries are looked at for one that is asked for.
    const ATTEMPTS: usize = 10;
    cx.read(args.at(1));
    let mut claim = Claim::new(integer(args.at(4), "ERR Invalid min-idle-time argument for XAUTOCLAIM")?);
    let start = interval_start(args.at(5))?;
    let (mut count, just_ids) = parse_auto_options(args.from(6))?;
    claim.just_ids = just_ids;
    expect_group(cx, args)?;
    claim_for(cx, args, &claim, |claiming, out| {
        let mut claimed = Vec::new();
        let mut inner = Out { buf: &mut claimed, resp3: out.resp3 };
        let (mut len, mut gone, mut at) = (0, Vec::new(), Some(start));
        let mut attempts = ATTEMPTS.saturating_mul(count);
        let next = |group: &Group, at: Option<Id>| group.pending().range(at?..).next().map(|(&id, _)| id);
        while attempts > 0 && count > 0 {
            let Some(id) = next(claiming.group, at) else { break };
            attempts -= 1;
            at = id.next();
            match claiming.claim(&mut inner, id) {
                Outcome::Left => continue,
                Outcome::Claimed => len += 1,
                Outcome::Gone => gone.push(id),
            }
            count -= 1;
        }
        out.array(3);
        write_id(out, next(claiming.group, at).unwrap_or(Id::MIN));
        out.array(len);
        out.raw(&claimed);
        out.array(gone.len());
        gone.iter().for_each(|&id| write_id(out, id));
        len
    })
}
