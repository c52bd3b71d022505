//! How much a pushed link takes: twice its bandwidth × its round trip, both as seen of late.
//!
//! After Cardwell, Cheng, Gunn, Yeganeh, Jacobson, *BBR: Congestion-Based Congestion Control* (ACM Queue 2016): the
//! highest rate of confirmation and the shortest round trip say what is on its way when the link is full and no queue
//! stands before it. Twice that is allowed: as long as the link takes all of it, the rate seen doubles, and the window
//! with it, so that no start of its own is needed. A confirmation means *on the receiver's disk*, so a slow disk counts
//! like a slow link.

use core::time::Duration;

use quorate_core::Instant;

use crate::Budget;

#[derive(Clone, Debug)]
pub(crate) struct Pace {
    window: u64,
    least: u64,
    most: u64,
    /// Bytes a second.
    rate: Extreme<u64>,
    round_trip: Extreme<Duration>,
    /// The window is kept small until then, so that a queue that always stands does not pass for the round trip.
    drained: Instant,
    /// When the window was last made smaller: what left before says nothing about it.
    shrunk: Instant,
    /// Confirmations in a row that took far longer than any window of this size explains.
    longer: u32,
}

/// What is known when something leaves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Departure {
    pub(crate) at: Instant,
    /// Bytes confirmed by then, and when the last of them were.
    pub(crate) done: (u64, Instant),
}

/// The best value of this span of time and of the one before it.
#[derive(Clone, Debug)]
struct Extreme<T> {
    before: Option<T>,
    current: Option<T>,
    since: Instant,
}

impl<T: Copy> Extreme<T> {
    const fn new() -> Self {
        Self {
            before: None,
            current: None,
            since: Instant::ZERO,
        }
    }

    fn best(&self, better: fn(T, T) -> T) -> Option<T> {
        match (self.before, self.current) {
            (Some(before), Some(current)) => Some(better(before, current)),
            (before, current) => before.or(current),
        }
    }

    /// True: a new span has begun.
    fn note(&mut self, now: Instant, span: Duration, value: T, better: fn(T, T) -> T) -> bool {
        let turned = self.current.is_some() && now.since(self.since) >= span;
        if turned || self.current.is_none() {
            (self.before, self.current, self.since) = (self.current, None, now);
        }
        self.current = Some(self.current.map_or(value, |current| better(current, value)));
        turned
    }
}

impl Pace {
    /// Round trips that a rate stays known for, at the least.
    const ROUNDS: u32 = 10;
    /// As many late confirmations in a row tell that the link has become longer.
    const LONGER_MAX: u32 = 8;
    const RATE_SPAN: Duration = Duration::from_millis(500);
    const ROUND_TRIP_SPAN: Duration = Duration::from_secs(5);

    pub(crate) fn new(budget: &Budget) -> Self {
        Self {
            window: budget.window_initial,
            least: budget.window_min,
            most: budget.window_max,
            rate: Extreme::new(),
            round_trip: Extreme::new(),
            drained: Instant::ZERO,
            shrunk: Instant::ZERO,
            longer: 0,
        }
    }

    /// Bytes that may be on their way.
    pub(crate) const fn window(&self) -> u64 {
        self.window
    }

    /// The shortest round trip of late.
    pub(crate) fn round_trip(&self) -> Option<Duration> {
        self.round_trip.best(Ord::min)
    }

    /// What left at `departure` is confirmed, as the last of `done` bytes. `limited`: more would have left then, had the
    /// window allowed it; otherwise the rate says little about the link.
    pub(crate) fn on_confirmed(
        &mut self,
        now: Instant,
        departure: Departure,
        done: u64,
        limited: bool,
    ) {
        self.on_late(now, departure);
        let turned = self.round_trip.note(
            now,
            Self::ROUND_TRIP_SPAN,
            now.since(departure.at),
            Ord::min,
        );
        let round_trip = self.round_trip().expect("one was just noted");
        if turned && limited {
            self.drained = now + round_trip.saturating_mul(2);
        }
        let (before, at) = departure.done;
        let elapsed = u64::try_from(now.since(at).as_nanos()).unwrap_or(u64::MAX);
        let bytes = u128::from(done.saturating_sub(before));
        let rate = bytes * 1_000_000_000 / u128::from(elapsed.max(1_000));
        let rate = u64::try_from(rate).unwrap_or(u64::MAX);
        let known = self.rate.best(Ord::max).unwrap_or(0);
        if !limited && rate <= known {
            return;
        }
        let span = round_trip.saturating_mul(Self::ROUNDS).max(Self::RATE_SPAN);
        self.rate.note(now, span, rate, Ord::max);
        let target = self.target(now, round_trip);
        if limited || target > self.window {
            if target < self.window {
                self.shrunk = now;
            }
            self.window = target;
        }
    }

    /// A window of twice what is on its way makes a round trip twice as long, not three times: then the link has
    /// become longer, and what was known of it would only throttle it.
    fn on_late(&mut self, now: Instant, departure: Departure) {
        let trip = now.since(departure.at);
        let known = self.round_trip().unwrap_or(Duration::MAX);
        if trip <= known.saturating_mul(3) {
            self.longer = 0;
        } else if departure.at > self.shrunk {
            self.longer += 1;
        }
        if self.longer >= Self::LONGER_MAX {
            self.longer = 0;
            self.round_trip = Extreme::new();
        }
    }

    fn target(&self, now: Instant, round_trip: Duration) -> u64 {
        let rate = self.rate.best(Ord::max).unwrap_or(0);
        let flight = u128::from(rate) * round_trip.as_nanos() / 1_000_000_000;
        let halves = if now < self.drained { 1 } else { 4 };
        let target = u64::try_from(flight * halves / 2).unwrap_or(u64::MAX);
        target.clamp(self.least, self.most)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// A link of so many bytes a second and so long a round trip, always with more to send in pieces of 10 kB. What
    /// waits before the link waits in its queue. Returns the window and the bytes carried in the last second.
    fn run(pace: &mut Pace, from: Instant, seconds: u64, rate: u64, trip: Duration) -> (u64, u64) {
        const PIECE: u64 = 10_000;
        let (mut now, mut free, mut done) = (from, from, (0, from));
        let mut flying: VecDeque<(Instant, Departure)> = VecDeque::new();
        let end = from + Duration::from_secs(seconds);
        let mut last_second = 0;
        while now < end {
            while (flying.len() as u64) * PIECE < pace.window() {
                let departure = Departure { at: now, done };
                free = free.max(now) + Duration::from_nanos(PIECE * 1_000_000_000 / rate);
                flying.push_back((free + trip, departure));
            }
            let (back, departure) = flying.pop_front().expect("the window holds something");
            now = now.max(back);
            done = (done.0 + PIECE, now);
            pace.on_confirmed(now, departure, done.0, true);
            if end.since(now) < Duration::from_secs(1) {
                last_second += PIECE;
            }
        }
        (pace.window(), last_second)
    }

    #[test]
    fn a_long_fat_link_is_filled() {
        let mut pace = Pace::new(&Budget::default());
        let (window, carried) = run(
            &mut pace,
            Instant::ZERO,
            3,
            50_000_000,
            Duration::from_millis(100),
        );
        assert!(carried > 45_000_000, "carried {carried} with {window}");
        assert!(
            window < 20_000_000,
            "{window} is more than twice what is on its way"
        );
    }

    #[test]
    fn a_slow_link_gets_a_small_window_however_long_it_lasts() {
        let mut pace = Pace::new(&Budget::default());
        let trip = Duration::from_millis(20);
        let (window, carried) = run(&mut pace, Instant::ZERO, 60, 1_000_000, trip);
        assert!(carried >= 950_000, "carried {carried}");
        assert!(window <= 200_000, "{window} stands in a queue");
    }

    #[test]
    fn a_link_that_becomes_longer_is_filled_again() {
        let mut pace = Pace::new(&Budget::default());
        let short = Duration::from_millis(1);
        run(&mut pace, Instant::ZERO, 5, 50_000_000, short);
        let later = Instant::ZERO + Duration::from_secs(5);
        let long = Duration::from_millis(100);
        let (window, carried) = run(&mut pace, later, 6, 50_000_000, long);
        assert!(carried > 40_000_000, "carried {carried} with {window}");
    }

    #[test]
    fn an_idle_hour_does_not_shrink_the_window() {
        let budget = Budget::default();
        let mut pace = Pace::new(&budget);
        let mut now = Instant::ZERO;
        for second in 0..3600 {
            let departure = Departure {
                at: now,
                done: (second * 100, now),
            };
            now = now + Duration::from_millis(1);
            pace.on_confirmed(now, departure, second * 100 + 100, false);
            now = now + Duration::from_secs(1);
        }
        assert_eq!(pace.window(), budget.window_initial);
    }
}
