//! What happens to keys without a command that names it: they expire, come to be, are looked for in vain.
//! In: the choke points. Out: a list for whoever runs commands (`commands::effect`), if the moment asks for it.

use super::{Moment, Shard};
use crate::base::clock::ticks;

/// What the moment may ask for; bits of `Moment::tell`.
pub mod tell {
    /// Keys and fields whose time came.
    pub const LAPSED: u8 = 1;
    /// Keys that were not there before.
    pub const NEW: u8 = 2;
    /// Keys that were looked for and are not there.
    pub const MISSED: u8 = 4;
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    Expired,
    Evicted,
    /// These fields of a hash.
    FieldsExpired(Vec<Box<[u8]>>),
    /// The last field of a hash expired.
    Emptied,
    Made,
    Missed,
}

#[derive(Clone, Debug)]
pub struct Incident {
    /// When, compared with others of the same command on other shards.
    pub stamp: u64,
    pub db: u16,
    pub key: Box<[u8]>,
    pub what: What,
}

impl Shard {
    #[inline]
    pub(super) fn tell(&mut self, moment: &Moment, asked: u8, db: u16, key: &[u8], what: What) {
        if moment.tell & asked != 0 {
            self.incidents.push(Incident { stamp: ticks(), db, key: key.into(), what });
        }
    }

    #[inline]
    pub fn tell_if_made(&mut self, moment: &Moment, made: bool, db: u16, key: &[u8]) {
        if made {
            self.tell(moment, tell::NEW, db, key, What::Made);
        }
    }
}
