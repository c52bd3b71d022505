//! What happened when: throughput, latency and outcomes in slots of time, and the gaps without service.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Serialize;

/// The finest slot; a run that takes longer than `SLOTS` of them has longer ones.
const FINEST: Duration = Duration::from_millis(50);
const SLOTS: u32 = 1200;
/// A shorter pause between two acknowledgements is not noted.
const GAP: Duration = Duration::from_millis(10);
/// The most gaps that are noted; only a run of many hours has more.
const GAPS: usize = 100_000;
/// Latencies are told apart from 1 µs to 60 s with two digits.
const LATENCY_MAX_US: u64 = 60_000_000;

/// How an operation ended, for counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tally {
    /// A write was acknowledged.
    Write,
    /// A read was answered.
    Read,
    /// Surely not applied.
    Refused,
    /// A write that may have been applied.
    Unknown,
    /// A read without an answer.
    Unanswered,
}

/// Takes what all clients report while the load runs.
pub(crate) struct Recorder {
    started: Instant,
    slot: Duration,
    slots: Vec<Mutex<Slot>>,
    /// Without any answer.
    idle: Gaps,
    /// Without an acknowledged write.
    unwritten: Gaps,
}

/// The times in which something did not happen.
#[derive(Default)]
struct Gaps {
    last_us: AtomicU64,
    noted: Mutex<Vec<Gap>>,
}

/// What ended in one slot of time.
#[derive(Clone, Default)]
pub(crate) struct Slot {
    /// How the operations ended.
    pub(crate) totals: Totals,
    latency: Option<Histogram<u32>>,
}

/// Operations by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Totals {
    /// Writes that were acknowledged.
    pub(crate) writes: u64,
    /// Reads that were answered.
    pub(crate) reads: u64,
    /// Operations that were surely not applied.
    pub(crate) refused: u64,
    /// Writes that may have been applied.
    pub(crate) unknown: u64,
    /// Reads without an answer.
    pub(crate) unanswered: u64,
}

/// A time in which nothing was acknowledged, since the load began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gap {
    from: Duration,
    to: Duration,
}

/// All that was recorded in a run.
pub(crate) struct Timeline {
    /// How long each slot is.
    pub(crate) slot: Duration,
    /// One after the other from the beginning of the load.
    pub(crate) slots: Vec<Slot>,
    idle: Vec<Gap>,
    unwritten: Vec<Gap>,
    /// How long the load ran.
    pub(crate) length: Duration,
}

impl Recorder {
    /// For a load that begins now and is expected to run for `expected`; it may take half as long again and a minute more.
    pub(crate) fn new(expected: Duration) -> Self {
        let limit = expected * 3 / 2 + Duration::from_mins(1);
        let slot = FINEST.max(expected / SLOTS);
        let count = limit.as_nanos().div_ceil(slot.as_nanos()) as usize;
        Self {
            started: Instant::now(),
            slot,
            slots: (0..count).map(|_| Mutex::default()).collect(),
            idle: Gaps::default(),
            unwritten: Gaps::default(),
        }
    }

    /// The time since the load began.
    pub(crate) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// An operation that began at `began` has ended now.
    pub(crate) fn record(&self, began: Duration, tally: Tally) {
        let now = self.now();
        let index = (now.as_nanos() / self.slot.as_nanos()) as usize;
        let index = index.min(self.slots.len() - 1);
        let served = matches!(tally, Tally::Write | Tally::Read);
        // Every change to a slot is a single count, so a panic in between spoils nothing.
        let mut slot = self.slots[index]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        slot.totals.count(tally);
        if served {
            slot.latency
                .get_or_insert_with(new_histogram)
                .saturating_record(micros(now.saturating_sub(began)));
        }
        drop(slot);
        if served {
            self.idle.end(now);
        }
        if tally == Tally::Write {
            self.unwritten.end(now);
        }
    }

    /// The totals so far.
    pub(crate) fn totals(&self) -> Totals {
        self.slots.iter().fold(Totals::default(), |sum, slot| {
            sum + slot.lock().unwrap_or_else(PoisonError::into_inner).totals
        })
    }

    /// What was recorded until now, when the load has ended.
    pub(crate) fn finish(&self) -> Timeline {
        let length = self.now();
        self.idle.end(length);
        self.unwritten.end(length);
        let used = length.as_nanos().div_ceil(self.slot.as_nanos()) as usize;
        let slots = self.slots[..used.clamp(1, self.slots.len())]
            .iter()
            .map(|slot| slot.lock().unwrap_or_else(PoisonError::into_inner).clone())
            .collect();
        Timeline {
            slot: self.slot,
            slots,
            idle: self.idle.all(),
            unwritten: self.unwritten.all(),
            length,
        }
    }
}

impl Gaps {
    /// It has happened now.
    fn end(&self, now: Duration) {
        let before = self.last_us.fetch_max(micros(now), Ordering::Relaxed);
        let from = Duration::from_micros(before);
        if now.saturating_sub(from) >= GAP {
            let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
            if noted.len() < GAPS {
                noted.push(Gap { from, to: now });
            }
        }
    }

    fn all(&self) -> Vec<Gap> {
        let noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        noted.clone()
    }
}

impl Timeline {
    /// The same timeline in at most `most` slots.
    pub(crate) fn in_columns(&self, most: usize) -> (Duration, Vec<Slot>) {
        let each = self.slots.len().div_ceil(most);
        let columns = self.slots.chunks(each).map(|chunk| {
            chunk.iter().fold(Slot::default(), |mut sum, slot| {
                sum.add(slot);
                sum
            })
        });
        (self.slot * each as u32, columns.collect())
    }

    /// The sum of all slots.
    pub(crate) fn whole(&self) -> Slot {
        let mut sum = Slot::default();
        self.slots.iter().for_each(|slot| sum.add(slot));
        sum
    }

    /// The longest time without an acknowledgement between `from` and `to`; `None` if there was always one.
    pub(crate) fn longest_gap(&self, from: Duration, to: Duration) -> Option<Duration> {
        longest(&self.idle, from, to)
    }

    /// The same, where only writes count.
    pub(crate) fn longest_without_write(&self, from: Duration, to: Duration) -> Option<Duration> {
        longest(&self.unwritten, from, to)
    }
}

fn longest(gaps: &[Gap], from: Duration, to: Duration) -> Option<Duration> {
    let within = |gap: &Gap| gap.to.min(to).saturating_sub(gap.from.max(from));
    let longest = gaps.iter().map(within).max();
    longest.filter(|&longest| longest >= GAP)
}

impl Slot {
    /// The latency in microseconds below which the share `quantile` of the operations stayed.
    pub(crate) fn latency_us(&self, quantile: f64) -> Option<u64> {
        self.latency
            .as_ref()
            .map(|latency| latency.value_at_quantile(quantile))
    }

    /// Operations that were answered.
    pub(crate) fn served(&self) -> u64 {
        self.totals.writes + self.totals.reads
    }

    fn add(&mut self, other: &Self) {
        self.totals = self.totals + other.totals;
        if let Some(latency) = &other.latency {
            let sum = self.latency.get_or_insert_with(new_histogram);
            sum.add(latency)
                .expect("all histograms have the same bounds");
        }
    }
}

impl Totals {
    fn count(&mut self, tally: Tally) {
        let counter = match tally {
            Tally::Write => &mut self.writes,
            Tally::Read => &mut self.reads,
            Tally::Refused => &mut self.refused,
            Tally::Unknown => &mut self.unknown,
            Tally::Unanswered => &mut self.unanswered,
        };
        *counter += 1;
    }
}

impl std::ops::Add for Totals {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            writes: self.writes + other.writes,
            reads: self.reads + other.reads,
            refused: self.refused + other.refused,
            unknown: self.unknown + other.unknown,
            unanswered: self.unanswered + other.unanswered,
        }
    }
}

fn new_histogram() -> Histogram<u32> {
    Histogram::new_with_bounds(1, LATENCY_MAX_US, 2).expect("the bounds are constants")
}

fn micros(time: Duration) -> u64 {
    time.as_micros() as u64
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn the_totals_of_the_columns_are_the_totals_of_the_run() {
        let recorder = Recorder::new(Duration::from_secs(1));
        for tally in [
            Tally::Write,
            Tally::Read,
            Tally::Refused,
            Tally::Unknown,
            Tally::Write,
        ] {
            recorder.record(recorder.now(), tally);
        }
        let timeline = recorder.finish();
        let (_, columns) = timeline.in_columns(3);
        let sum = columns
            .iter()
            .fold(Totals::default(), |sum, column| sum + column.totals);
        assert_eq!(sum, recorder.totals());
        assert_eq!(
            (sum.writes, sum.reads, sum.refused, sum.unknown),
            (2, 1, 1, 1)
        );
        assert_eq!(timeline.whole().served(), 3);
    }

    #[test]
    fn a_gap_counts_for_each_fault_as_far_as_it_lies_behind_it() {
        let at = Duration::from_millis;
        let gap = |from, to| Gap {
            from: at(from),
            to: at(to),
        };
        let gaps = vec![gap(0, 40), gap(900, 1300), gap(1998, 2500)];
        let timeline = Timeline {
            slot: FINEST,
            slots: Vec::new(),
            idle: gaps,
            unwritten: Vec::new(),
            length: at(3000),
        };
        assert_eq!(timeline.longest_gap(at(1000), at(2000)), Some(at(300)));
        assert_eq!(timeline.longest_gap(at(2000), at(3000)), Some(at(500)));
        assert_eq!(timeline.longest_gap(at(0), at(1200)), Some(at(300)));
        assert_eq!(timeline.longest_gap(at(50), at(800)), None);
        assert_eq!(timeline.longest_gap(at(1400), at(2000)), None);
    }

    #[test]
    fn a_load_that_is_never_served_is_one_gap() {
        let recorder = Recorder::new(Duration::from_secs(1));
        std::thread::sleep(2 * GAP);
        recorder.record(recorder.now(), Tally::Unknown);
        let timeline = recorder.finish();
        let gap = timeline
            .longest_gap(Duration::ZERO, timeline.length)
            .unwrap();
        assert!(gap >= 2 * GAP);
    }
}
