//! Members by chance: SPOP, SRANDMEMBER.

use super::super::{Context, Error};
use super::{reply_all, reply_member};
use crate::base::number::parse_i64;
use crate::base::rng::Rng;
use crate::client::Args;
use crate::config::Events;
use crate::types::Set;
use crate::types::listpack::Element;

/// A generator for one command, while the context is borrowed.
fn rng(cx: &mut Context) -> Rng {
    Rng::seeded(cx.rng.next_u64())
}

pub fn spop(cx: &mut Context, args: Args) -> Result<(), Error> {
    let key = args.at(1);
    match args.len() {
        2 => spop_one(cx, key),
        3 => {
            let count = parse_i64(args.at(2)).and_then(|count| usize::try_from(count).ok());
            spop_many(cx, key, count.ok_or(Error::MUST_BE_POSITIVE)?)
        }
        _ => Err(Error::SYNTAX),
    }
}

fn spop_one(cx: &mut Context, key: &[u8]) -> Result<(), Error> {
    let mut rng = rng(cx);
    let mut taken = Taken::of(cx);
    let popped = cx.change(key, false, |set: &mut Set, out| {
        set.pop(&mut rng, |member| {
            taken.add(member);
            reply_member(out, member);
        });
        ((), true)
    })?;
    match popped {
        Some(()) => {
            cx.notify_shrunk(Events::SET, "spop", key);
            taken.log(cx, key);
        }
        None => cx.out.null(),
    }
    Ok(())
}

fn spop_many(cx: &mut Context, key: &[u8], count: usize) -> Result<(), Error> {
    let (mut rng, limits) = (rng(cx), cx.limits());
    let (set, out) = cx.view::<Set>(key)?;
    let Some(set) = set.filter(|_| count > 0) else {
        out.set(0);
        return Ok(());
    };
    if count >= set.len() {
        let len = set.len();
        out.set(len);
        reply_all(out, set);
        cx.remove(key);
        cx.count_elements(key, len);
        cx.notify(Events::SET, "spop", key);
        cx.notify(Events::GENERIC, "del", key);
        cx.log_as(&[b"DEL", key]);
        return Ok(());
    }
    let mut taken = Taken::of(cx);
    let left_over = cx.change(key, false, |set: &mut Set, out| {
        out.set(count);
        let visit = |member: Element| {
            taken.add(member);
            reply_member(out, member);
        };
        (set.pop_many(count, &mut rng, &limits, visit), true)
    })?;
    cx.count_elements(key, count);
    cx.notify(Events::SET, "spop", key);
    taken.log(cx, key);
    if let Some(set) = left_over.flatten() {
        cx.throw(key, set);
    }
    Ok(())
}

/// The members that chance took, where there is a log: it is told which they were.
struct Taken(Option<Vec<Vec<u8>>>);

impl Taken {
    fn of(cx: &Context) -> Self {
        Taken(cx.is_logged().then(Vec::new))
    }

    #[inline]
    fn add(&mut self, member: Element) {
        if let Some(members) = &mut self.0 {
            members.push(member.to_vec());
        }
    }

    fn log(self, cx: &mut Context, key: &[u8]) {
        let Some(members) = self.0 else { return };
        let mut words: Vec<&[u8]> = vec![b"SREM", key];
        words.extend(members.iter().map(Vec::as_slice));
        cx.log_as(&words);
    }
}

pub fn srandmember(cx: &mut Context, args: Args) -> Result<(), Error> {
    let count = match args.len() {
        2 => None,
        3 => Some(count(args.at(2))?),
        _ => return Err(Error::SYNTAX),
    };
    let mut rng = rng(cx);
    let (set, out) = cx.view::<Set>(args.at(1))?;
    let Some(set) = set else {
        match count {
            None => out.null(),
            Some(_) => out.array(0),
        }
        return Ok(());
    };
    match count {
        None => reply_member(out, set.random(&mut rng)),
        Some(count) if count < 0 => {
            let count = count.unsigned_abs() as usize;
            out.array(count);
            set.draw(count, &mut rng, |member| reply_member(out, member));
        }
        Some(count) => {
            let count = (count as usize).min(set.len());
            out.array(count);
            set.sample(count, &mut rng, |member| reply_member(out, member));
        }
    }
    Ok(())
}

fn count(text: &[u8]) -> Result<i64, Error> {
    let count = parse_i64(text).ok_or(Error::NOT_AN_INTEGER)?;
    if count == i64::MIN {
        return Err(Error::new(
            "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
        ));
    }
    Ok(count)
}
