//! What a member takes for the time.

use quorate_core::{Clock, Instant, Timestamp};

use crate::Moment;

/// Where every wall clock stands when a run begins, in milliseconds since the Unix epoch.
const WALL: u64 = 1_700_000_000_000;

/// The two clocks of one machine, neither of them true.
#[derive(Clone, Debug)]
pub(crate) struct MemberClock {
    /// When the monotonic clock stood at `base`.
    origin: Moment,
    base: u64,
    /// How much faster than true it goes, in parts per million.
    ppm: i64,
    /// How far ahead of true the wall clock is, in milliseconds.
    ahead: i64,
}

impl MemberClock {
    pub(crate) const fn new(base: u64, ahead: i64) -> Self {
        Self {
            origin: Moment::START,
            base,
            ppm: 0,
            ahead,
        }
    }

    pub(crate) fn read(&self, now: Moment) -> Clock {
        Clock {
            now: self.monotonic(now),
            wall: self.wall(now),
        }
    }

    pub(crate) fn monotonic(&self, now: Moment) -> Instant {
        let elapsed = u128::from(now.0.saturating_sub(self.origin.0));
        Instant::from_nanos(self.base + (elapsed * self.rate() / 1_000_000) as u64)
    }

    pub(crate) fn wall(&self, now: Moment) -> Timestamp {
        Timestamp((WALL + now.0 / 1_000_000).saturating_add_signed(self.ahead))
    }

    /// When the monotonic clock will show at least `at`.
    pub(crate) fn moment_of(&self, at: Instant) -> Moment {
        let elapsed = u128::from(at.as_nanos().saturating_sub(self.base));
        let nanos = (elapsed * 1_000_000).div_ceil(self.rate());
        Moment(
            self.origin
                .0
                .saturating_add(u64::try_from(nanos).unwrap_or(u64::MAX)),
        )
    }

    /// From now on the monotonic clock goes so much faster than true.
    pub(crate) fn drift(&mut self, now: Moment, ppm: i64) {
        self.base = self.monotonic(now).as_nanos();
        (self.origin, self.ppm) = (now, ppm);
    }

    /// The machine starts again: its monotonic clock does, somewhere else.
    pub(crate) fn reboot(&mut self, now: Moment, base: u64) {
        (self.origin, self.base) = (now, base);
    }

    /// The wall clock jumps, forwards or back.
    pub(crate) fn jump(&mut self, millis: i64) {
        self.ahead += millis;
    }

    fn rate(&self) -> u128 {
        u128::from(1_000_000u64.saturating_add_signed(self.ppm).max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_never_shown_too_early_nor_late_by_more_than_a_tick() {
        for ppm in [-300_000, -7, 0, 13, 250_000] {
            let mut clock = MemberClock::new(5_000, 0);
            clock.drift(Moment(1_000), ppm);
            for nanos in [6_001, 7_777_777, 123_456_789_123] {
                let at = Instant::from_nanos(nanos);
                let moment = clock.moment_of(at);
                assert!(clock.monotonic(moment) >= at, "{ppm}");
                assert!(clock.monotonic(Moment(moment.0 - 2)) < at, "{ppm}");
            }
        }
    }
}
