//! Randomness that a seed can replay. Not for secrets.

use std::hash::{BuildHasher, RandomState};

/// Wyrand: 64 bits of state, good enough for sampling, jitter and test traffic.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    pub fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// A generator that nobody can predict from outside; its entropy is the standard library's.
    pub fn from_os() -> Self {
        Self(RandomState::new().hash_one(std::process::id()))
    }

    #[inline]
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0xa076_1d64_78bd_642f);
        let product = self.0 as u128 * (self.0 ^ 0xe703_7ed1_a0b4_28db) as u128;
        (product >> 64) as u64 ^ product as u64
    }

    /// A number below `bound`, which is above 0.
    #[inline]
    pub fn below(&mut self, bound: u64) -> u64 {
        ((self.next_u64() as u128 * bound as u128) >> 64) as u64
    }

    /// 40 hexadecimal digits, as Redis names its runs.
    pub fn run_id(&mut self) -> String {
        let digits: String = (0..3).map(|_| format!("{:016x}", self.next_u64())).collect();
        digits[..40].to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::Rng;

    #[test]
    fn a_seed_replays() {
        let draw = |seed| Vec::from_iter((0..4).scan(Rng::seeded(seed), |rng, _| Some(rng.next_u64())));
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }

    #[test]
    fn below_stays_below_and_reaches_all() {
        let mut rng = Rng::seeded(1);
        let mut seen = [0; 10];
        (0..1000).for_each(|_| seen[rng.below(10) as usize] += 1);
        assert!(seen.iter().all(|&count| count > 50), "{seen:?}");
        assert_eq!(rng.run_id().len(), 40);
    }
}
