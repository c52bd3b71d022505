//! What a load measured.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Latencies are told apart up to a minute, with three digits.
const LATENCY_MAX_US: u64 = 60_000_000;
const DIGITS: u8 = 3;

/// What was measured between two moments.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// From the one to the other, in seconds.
    pub seconds: f64,
    /// What ended in between.
    pub tally: Tally,
    /// How long what was acknowledged in between had taken.
    pub latency: Latency,
    /// What ended at any time, before and after included: what counters of the whole run are divided by.
    pub whole: Tally,
}

impl Measured {
    /// Acknowledged requests a second.
    pub fn rate(&self) -> f64 {
        self.tally.done as f64 / self.seconds
    }
}

/// Requests by how they ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Acknowledged.
    pub done: u64,
    /// Surely not carried out.
    pub refused: u64,
    /// Perhaps carried out.
    pub unknown: u64,
}

impl Tally {
    /// All that were not acknowledged.
    pub fn failed(&self) -> u64 {
        self.refused + self.unknown
    }
}

/// Latencies, in microseconds. As JSON: pairs of a value and how often it was seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "Vec<(u64, u64)>", into = "Vec<(u64, u64)>")]
pub struct Latency(Histogram<u64>);

impl Default for Latency {
    fn default() -> Self {
        let bounds = Histogram::new_with_bounds(1, LATENCY_MAX_US, DIGITS);
        Self(bounds.expect("the bounds are constants"))
    }
}

impl Latency {
    /// One more.
    pub fn record(&mut self, latency: Duration) {
        self.0.saturating_record(latency.as_micros() as u64);
    }

    /// All that another has seen.
    pub fn add(&mut self, other: &Self) {
        let same = self.0.add(&other.0);
        same.expect("all have the same bounds");
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// What the share `quantile` stayed below, in microseconds; none, if there is nothing.
    pub fn at(&self, quantile: f64) -> Option<u64> {
        (!self.0.is_empty()).then(|| self.0.value_at_quantile(quantile))
    }
}

impl From<Vec<(u64, u64)>> for Latency {
    fn from(pairs: Vec<(u64, u64)>) -> Self {
        let mut latency = Self::default();
        for (value, count) in pairs {
            latency.0.saturating_record_n(value, count);
        }
        latency
    }
}

impl From<Latency> for Vec<(u64, u64)> {
    fn from(latency: Latency) -> Self {
        let seen = latency.0.iter_recorded();
        seen.map(|step| (step.value_iterated_to(), step.count_at_value()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_survive_the_way_through_json_and_add_up() {
        let mut latency = Latency::default();
        for micros in [0, 1, 250, 250, 1_234_567, 99_000_000] {
            latency.record(Duration::from_micros(micros));
        }
        let text = serde_json::to_string(&latency).expect("it is JSON");
        let mut back: Latency = serde_json::from_str(&text).expect("it was JSON");
        assert_eq!(back, latency);
        assert_eq!((back.count(), back.at(0.5)), (6, Some(250)));
        back.add(&latency);
        assert_eq!(back.count(), 12);
        let longest = back.at(1.0).expect("there is one");
        assert!((60_000_000..=60_100_000).contains(&longest), "{longest}");
        assert_eq!(Latency::default().at(0.5), None);
    }
}
