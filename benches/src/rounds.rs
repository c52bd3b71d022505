//! Rounds that alternate, so that a machine that changes its pace meets every contender alike.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// The middle of several rounds and how far they lie apart, in units a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// The median.
    pub median: f64,
    /// The slowest round.
    pub least: f64,
    /// The fastest round.
    pub most: f64,
}

impl Rate {
    /// Sums up at least one round.
    pub fn of(mut rounds: Vec<f64>) -> Self {
        rounds.sort_by(f64::total_cmp);
        Self {
            median: rounds[rounds.len() / 2],
            least: rounds[0],
            most: rounds[rounds.len() - 1],
        }
    }

    /// From the slowest to the fastest round, as a share of the median.
    pub fn spread(&self) -> f64 {
        (self.most - self.least) / self.median
    }
}

/// Processor time that this thread has used: what work in one thread is measured by, whoever else uses the machine.
pub fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        time.tv_sec.unsigned_abs(),
        time.tv_nsec.unsigned_abs() as u32,
    )
}

/// Runs `work` again and again until `clock` has gone on by `time`; each run says how many units it did. Units a second.
pub fn pace(time: Duration, clock: fn() -> Duration, mut work: impl FnMut() -> u64) -> f64 {
    let (mut units, begun) = (0, clock());
    loop {
        units += work();
        let elapsed = clock().saturating_sub(begun);
        if elapsed >= time {
            return units as f64 / elapsed.as_secs_f64();
        }
    }
}

/// One round of each contender in turn, `rounds` times, and a round of each before that is not counted.
pub fn alternate<C>(
    rounds: usize,
    contenders: &mut [C],
    mut round: impl FnMut(&mut C) -> f64,
) -> Vec<Rate> {
    let mut rates = vec![Vec::with_capacity(rounds); contenders.len()];
    for contender in contenders.iter_mut() {
        round(contender);
    }
    for _ in 0..rounds {
        for (contender, rates) in contenders.iter_mut().zip(&mut rates) {
            rates.push(round(contender));
        }
    }
    rates.into_iter().map(Rate::of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_told_with_the_extremes() {
        let rate = Rate::of(vec![3.0, 1.0, 2.0]);
        assert_eq!((rate.least, rate.median, rate.most), (1.0, 2.0, 3.0));
        assert!((rate.spread() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn contenders_take_turns_and_the_first_turn_does_not_count() {
        let mut order = Vec::new();
        let rates = alternate(2, &mut ["a", "b"], |name| {
            order.push(*name);
            order.len() as f64
        });
        assert_eq!(order, ["a", "b", "a", "b", "a", "b"]);
        assert_eq!((rates[0].least, rates[0].most), (3.0, 5.0));
        assert_eq!((rates[1].least, rates[1].most), (4.0, 6.0));
    }
}
