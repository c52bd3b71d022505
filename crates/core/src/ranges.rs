//! Sets of numbers that come in runs.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

/// A set of `u64` kept as disjoint, ascending, half-open runs: small when what it holds is nearly contiguous.
///
/// Which commands of an origin were applied; which slots of a log are chosen; which bytes of a file arrived.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ranges {
    runs: Vec<(u64, u64)>,
}

impl Ranges {
    /// The empty set.
    pub const fn new() -> Self {
        Self { runs: Vec::new() }
    }

    /// Adds `start..end`. True if none of it was in the set before.
    pub fn insert(&mut self, start: u64, end: u64) -> bool {
        if start >= end {
            return true;
        }
        // The hot path: what comes last, in order.
        match self.runs.last_mut() {
            Some(last) if last.1 == start => {
                last.1 = end;
                return true;
            }
            Some(last) if last.1 > start => {}
            Some(_) | None => {
                self.runs.push((start, end));
                return true;
            }
        }
        // Runs that touch or overlap `start..end` melt into one.
        let low = self.runs.partition_point(|run| run.1 < start);
        let high = self.runs.partition_point(|run| run.0 <= end);
        let fresh = self.runs[low..high]
            .iter()
            .all(|run| run.1 <= start || end <= run.0);
        let merged = self.runs[low..high]
            .iter()
            .fold((start, end), |whole, run| {
                (whole.0.min(run.0), whole.1.max(run.1))
            });
        self.runs.splice(low..high, [merged]);
        fresh
    }

    /// Whether `number` is in the set.
    pub fn contains(&self, number: u64) -> bool {
        let at = self.runs.partition_point(|run| run.1 <= number);
        self.runs.get(at).is_some_and(|run| run.0 <= number)
    }

    /// Whether any number of `start..end` is in the set.
    pub fn overlaps(&self, start: u64, end: u64) -> bool {
        let at = self.runs.partition_point(|run| run.1 <= start);
        start < end && self.runs.get(at).is_some_and(|run| run.0 < end)
    }

    /// The first number at or above `from` that is not in the set.
    pub fn gap(&self, from: u64) -> u64 {
        let at = self.runs.partition_point(|run| run.1 <= from);
        match self.runs.get(at) {
            Some(run) if run.0 <= from => run.1,
            _ => from,
        }
    }

    /// Takes everything below `floor` out of the set.
    pub fn remove_below(&mut self, floor: u64) {
        self.runs.retain(|run| run.1 > floor);
        if let Some(first) = self.runs.first_mut() {
            first.0 = first.0.max(floor);
        }
    }

    /// The runs, ascending.
    pub fn runs(&self) -> &[(u64, u64)] {
        &self.runs
    }

    /// Whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;

    use super::*;
    use crate::Rng;

    #[test]
    fn it_behaves_as_a_set_of_numbers() {
        let mut rng = Rng::new(7);
        for _ in 0..500 {
            let (mut ranges, mut set) = (Ranges::new(), BTreeSet::new());
            for _ in 0..12 {
                let start = rng.below(40);
                let end = start + rng.below(8);
                let fresh = (start..end).all(|n| !set.contains(&n));
                assert_eq!(ranges.overlaps(start, end), !fresh);
                assert_eq!(ranges.insert(start, end), fresh);
                set.extend(start..end);
                if rng.below(6) == 0 {
                    let floor = rng.below(20);
                    ranges.remove_below(floor);
                    set.retain(|n| *n >= floor);
                }
                for n in 0..50 {
                    assert_eq!(ranges.contains(n), set.contains(&n));
                    let gap = (n..100).find(|m| !set.contains(m));
                    assert_eq!(Some(ranges.gap(n)), gap);
                }
                assert!(
                    ranges.runs().windows(2).all(|w| w[0].1 < w[1].0),
                    "disjoint and apart"
                );
            }
        }
    }
}
