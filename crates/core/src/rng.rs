//! Randomness as an argument: seeded, small, the same everywhere.

use core::time::Duration;

/// A seeded generator: `SplitMix64` (Steele, Lea, Flood 2014). Not for secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rng {
    state: u64,
}

impl Rng {
    /// The generator of `seed`.
    pub const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next 64 bits.
    #[allow(
        clippy::should_implement_trait,
        reason = "endless, so no Iterator: that would invite `collect`"
    )]
    pub fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, near enough to uniform for timers and tests; zero if `bound` is zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// A duration in `least..most`; `least` if the range is empty.
    pub fn duration(&mut self, least: Duration, most: Duration) -> Duration {
        let spread = most.saturating_sub(least).as_nanos();
        least + Duration::from_nanos(self.below(u64::try_from(spread).unwrap_or(u64::MAX)))
    }

    /// True once in `n` times on average; never for zero.
    pub fn one_in(&mut self, n: u64) -> bool {
        n > 0 && self.below(n) == 0
    }

    /// A generator of its own for a part of what this one drives.
    pub fn fork(&mut self) -> Self {
        Self::new(self.next())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_names_a_sequence() {
        // The reference sequence of SplitMix64 for seed 1234567.
        let mut rng = Rng::new(1_234_567);
        assert_eq!(rng.next(), 6_457_827_717_110_365_317);
        assert_eq!(rng.next(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn bounds_hold() {
        let mut rng = Rng::new(1);
        let (low, high) = (Duration::from_millis(100), Duration::from_millis(200));
        for _ in 0..1000 {
            assert!(rng.below(7) < 7);
            let drawn = rng.duration(low, high);
            assert!(low <= drawn && drawn < high);
        }
        assert_eq!((rng.below(0), rng.duration(high, low)), (0, high));
    }
}
