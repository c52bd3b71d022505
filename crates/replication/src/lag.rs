//! How far behind a peer is, in time: since when something was chosen that it lacks.

use alloc::collections::VecDeque;
use core::time::Duration;

use quorate_core::{Instant, Position};

/// When the chosen prefix had reached which position: a sample every so often, none but the last few.
#[derive(Clone, Debug)]
pub(crate) struct History {
    step: Duration,
    samples: VecDeque<(Instant, Position)>,
}

impl History {
    /// Enough samples to tell four times the patience.
    const SAMPLES: u32 = 64;

    /// One that can tell whether a peer is behind by `patience`.
    pub(crate) fn new(patience: Duration) -> Self {
        Self {
            step: patience / (Self::SAMPLES / 4),
            samples: VecDeque::new(),
        }
    }

    /// Everything up to `upto` is chosen by now.
    pub(crate) fn note(&mut self, now: Instant, upto: Position) {
        let due = self
            .samples
            .back()
            .is_none_or(|(at, last)| *last < upto && now.since(*at) >= self.step);
        if due {
            if self.samples.len() as u32 >= Self::SAMPLES {
                self.samples.pop_front();
            }
            self.samples.push_back((now, upto));
        }
    }

    /// What was chosen when is not known any more.
    pub(crate) fn clear(&mut self) {
        self.samples.clear();
    }

    /// How long ago something was chosen that lies behind `reached`; zero: nothing is known to be.
    pub(crate) fn lag(&self, now: Instant, reached: Position) -> Duration {
        let oldest = self.samples.iter().find(|(_, upto)| *upto > reached);
        oldest.map_or(Duration::ZERO, |(at, _)| now.since(*at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lag_is_the_age_of_the_first_chosen_entry_that_is_lacking() {
        let mut history = History::new(Duration::from_secs(1));
        let at = |millis| Instant::ZERO + Duration::from_millis(millis);
        for step in 0..1000u64 {
            history.note(at(step * 100), Position(step));
        }
        let now = at(100_000);
        assert_eq!(history.lag(now, Position(999)), Duration::ZERO);
        assert_eq!(history.lag(now, Position(989)), Duration::from_secs(1));
        let oldest = history.lag(now, Position(1));
        assert!(
            oldest >= Duration::from_secs(4),
            "{oldest:?} for all that is forgotten"
        );
        history.clear();
        assert_eq!(history.lag(now, Position(1)), Duration::ZERO);
    }
}
