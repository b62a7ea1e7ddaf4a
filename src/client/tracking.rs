//! How the keys that a client reads are tracked for it: what CLIENT TRACKING and CLIENT CACHING set.
//! Absent: which keys those are (`shard::tracking`), where the messages go (`pubsub::Books`).

/// Bits of a client's session.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Tracking(u8);

impl Tracking {
    pub const OFF: Self = Self(0);
    pub const ON: Self = Self(1);
    /// It hears of all keys with certain prefixes, and none is remembered.
    pub const BCAST: Self = Self(1 << 1);
    /// Only what is read behind CLIENT CACHING YES is remembered.
    pub const OPTIN: Self = Self(1 << 2);
    /// What is read behind CLIENT CACHING NO is not remembered.
    pub const OPTOUT: Self = Self(1 << 3);
    /// It does not hear of its own changes.
    pub const NOLOOP: Self = Self(1 << 4);
    /// CLIENT CACHING was the last command, or it stands before the transaction.
    pub const CACHING: Self = Self(1 << 5);

    #[inline]
    pub fn has(self, bits: Self) -> bool {
        self.0 & bits.0 != 0
    }

    pub fn with(self, bits: Self) -> Self {
        Self(self.0 | bits.0)
    }

    pub fn without(self, bits: Self) -> Self {
        Self(self.0 & !bits.0)
    }

    /// Whether the keys that the next command reads are remembered.
    #[inline]
    pub fn remembers(self) -> bool {
        let exception = (self.has(Self::OPTIN) && !self.has(Self::CACHING))
            || (self.has(Self::OPTOUT) && self.has(Self::CACHING));
        self.has(Self::ON) && !self.has(Self::BCAST) && !exception
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caching_makes_the_exception() {
        let on = Tracking::ON;
        assert!(on.remembers() && !Tracking::OFF.remembers());
        assert!(!on.with(Tracking::BCAST).remembers());
        assert!(!on.with(Tracking::OPTIN).remembers());
        assert!(on.with(Tracking::OPTIN).with(Tracking::CACHING).remembers());
        assert!(on.with(Tracking::OPTOUT).remembers());
        assert!(!on.with(Tracking::OPTOUT).with(Tracking::CACHING).remembers());
    }
}
