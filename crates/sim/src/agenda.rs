//! What is going to happen, in order.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::fmt;
use std::time::Duration;

/// A point of virtual time: nanoseconds since the run began. No member ever sees it; members have clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(pub u64);

impl Moment {
    /// When the run begins.
    pub const START: Self = Self(0);

    /// This and `later`, saturating.
    pub fn after(self, later: Duration) -> Self {
        let nanos = u64::try_from(later.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanos))
    }

    /// Seconds since the run began, for people.
    pub fn seconds(self) -> f64 {
        self.0 as f64 / 1e9
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0 / 1_000;
        write!(f, "{:>4}.{:06}", micros / 1_000_000, micros % 1_000_000)
    }
}

/// Happenings by time; at equal times in the order in which they were put down.
#[derive(Debug)]
pub(crate) struct Agenda<E> {
    heap: BinaryHeap<Entry<E>>,
    sequence: u64,
}

#[derive(Debug)]
struct Entry<E> {
    at: Moment,
    sequence: u64,
    happening: E,
}

impl<E> Agenda<E> {
    pub(crate) const fn new() -> Self {
        Self {
            heap: BinaryHeap::new(),
            sequence: 0,
        }
    }

    pub(crate) fn put(&mut self, at: Moment, happening: E) {
        self.sequence += 1;
        self.heap.push(Entry {
            at,
            sequence: self.sequence,
            happening,
        });
    }

    /// What is chosen comes at `latest` at the latest, in the order in which it would have come.
    pub(crate) fn hasten(&mut self, latest: Moment, chosen: impl Fn(&E) -> bool) {
        let late = |entry: &Entry<E>| entry.at > latest && chosen(&entry.happening);
        let entries = std::mem::take(&mut self.heap).into_vec();
        let (mut late, rest): (Vec<_>, Vec<_>) = entries.into_iter().partition(late);
        self.heap = rest.into();
        late.sort_unstable_by_key(|entry| (entry.at, entry.sequence));
        for entry in late {
            self.put(latest, entry.happening);
        }
    }

    pub(crate) fn next(&mut self) -> Option<(Moment, E)> {
        self.heap.pop().map(|entry| (entry.at, entry.happening))
    }
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<E> Eq for Entry<E> {}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Entry<E> {
    /// The heap gives its greatest first: the earliest is the greatest.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.sequence).cmp(&(self.at, self.sequence))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn happenings_come_by_time_and_then_as_put_down() {
        let mut agenda = Agenda::new();
        for (at, what) in [(5, 'd'), (1, 'a'), (3, 'b'), (3, 'c')] {
            agenda.put(Moment(at), what);
        }
        let order: String = std::iter::from_fn(|| agenda.next().map(|(_, what)| what)).collect();
        assert_eq!(order, "abcd");
    }

    #[test]
    fn what_is_hastened_comes_in_time_and_in_its_order() {
        let mut agenda = Agenda::new();
        for (at, what) in [(9, 'C'), (7, 'B'), (8, 'z'), (1, 'A'), (4, 'x'), (5, 'y')] {
            agenda.put(Moment(at), what);
        }
        agenda.hasten(Moment(4), char::is_ascii_uppercase);
        let order: Vec<_> = std::iter::from_fn(|| agenda.next())
            .map(|(at, what)| (at.0, what))
            .collect();
        let expected = [(1, 'A'), (4, 'x'), (4, 'B'), (4, 'C'), (5, 'y'), (8, 'z')];
        assert_eq!(order, expected);
    }
}
