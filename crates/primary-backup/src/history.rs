//! Who the members are at every position of the log.
//!
//! The last configuration in the log is in force, committed or not (Raft, extended version, section 6). So what is known of
//! configurations goes the way of the entries that say them: a cut brings back the one before, compaction and snapshots
//! keep the last one that they cover.

use alloc::vec::Vec;

use quorate_core::{Configuration, Position};
use serde::{Deserialize, Serialize};

use crate::Point;

/// A configuration and the entry that says it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Configured {
    /// Where that entry stands.
    pub at: Position,
    /// Who the members are from there on.
    pub configuration: Configuration,
}

impl Configured {
    /// Whether a log can have it at or before `last`.
    pub(crate) fn is_within(&self, last: Point) -> bool {
        self.at > Position::ZERO && self.at <= last.position && self.configuration.is_sane()
    }
}

#[derive(Clone, Debug)]
pub(crate) struct History {
    /// The config's own: in force where the log says nothing.
    founding: Configuration,
    /// The last one at or before the log's base, if the log or what it was dropped for had any.
    base: Option<Configured>,
    /// Those behind the base, in order.
    rest: Vec<Configured>,
}

impl History {
    pub(crate) const fn new(founding: Configuration) -> Self {
        Self {
            founding,
            base: None,
            rest: Vec::new(),
        }
    }

    /// The last one at or before `position`; none: the config's own still counts there.
    pub(crate) fn at(&self, position: Position) -> Option<&Configured> {
        let rest = self.rest.iter().rev();
        let mut before = rest.chain(&self.base).filter(|one| one.at <= position);
        before.next()
    }

    /// The one in force, and where it stands; zero: nowhere in the log.
    pub(crate) fn last(&self) -> (Position, &Configuration) {
        match self.rest.last().or(self.base.as_ref()) {
            Some(one) => (one.at, &one.configuration),
            None => (Position::ZERO, &self.founding),
        }
    }

    /// The one in force at `position` and all behind it: those that a cut behind `position` could leave in force.
    pub(crate) fn since(&self, position: Position) -> impl Iterator<Item = &Configuration> {
        let known = self.at(position).map(|one| &one.configuration);
        let later = self.rest.iter().filter(move |one| one.at > position);
        let known = core::iter::once(known.unwrap_or(&self.founding));
        known.chain(later.map(|one| &one.configuration))
    }

    /// The log goes on with this one at `at`.
    pub(crate) fn append(&mut self, at: Position, configuration: Configuration) {
        let (last, _) = self.last();
        assert!(last < at, "a log is written from front to back");
        self.rest.push(Configured { at, configuration });
    }

    /// The log is cut behind `after`. True: another one is in force.
    pub(crate) fn truncate(&mut self, after: Position) -> bool {
        let before = self.rest.len();
        self.rest.retain(|one| one.at <= after);
        self.rest.len() < before
    }

    /// The log begins behind `base` from now on.
    pub(crate) fn compact(&mut self, base: Position) {
        let gone = self.rest.partition_point(|one| one.at <= base);
        self.base = self.rest.drain(..gone).next_back().or(self.base.take());
    }

    /// The log begins where `base` was in force, as its own record says.
    pub(crate) fn begin(&mut self, base: Option<Configured>) {
        self.base = base;
    }

    /// The log is dropped, and begins anew where `base` is in force.
    pub(crate) fn install(&mut self, base: Option<Configured>) {
        self.base = base;
        self.rest.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorate_core::NodeId;

    fn of(voters: u64) -> Configuration {
        let voters: Vec<_> = (1..=voters).map(NodeId).collect();
        Configuration::founding(&voters, &[])
    }

    /// One voter at first, two from position 10 on, three from 20 on, four from 30 on.
    fn history() -> History {
        let mut history = History::new(of(1));
        for (at, voters) in [(10, 2), (20, 3), (30, 4)] {
            history.append(Position(at), of(voters));
        }
        history
    }

    fn sizes(history: &History, position: u64) -> Vec<usize> {
        let since = history.since(Position(position));
        since.map(|one| one.voters().len()).collect()
    }

    #[test]
    fn every_position_has_the_last_one_before_it_wherever_the_log_begins() {
        for base in [0, 9, 10, 15, 30, 40] {
            let mut history = history();
            history.compact(Position(base));
            let at = |position| history.at(Position(position)).map(|one| one.at.get());
            for (position, there) in [(9, None), (10, Some(10)), (29, Some(20)), (99, Some(30))] {
                if position >= base {
                    assert_eq!(at(position), there, "{position} behind {base}");
                }
            }
            assert_eq!(history.last(), (Position(30), &of(4)));
        }
        assert_eq!(sizes(&history(), 0), [1, 2, 3, 4]);
        assert_eq!(sizes(&history(), 20), [3, 4]);
        assert_eq!(sizes(&history(), 99), [4]);
    }

    #[test]
    fn a_cut_brings_back_the_one_before() {
        let mut history = history();
        history.compact(Position(15));
        assert!(!history.truncate(Position(30)));
        assert!(history.truncate(Position(29)));
        assert_eq!(history.last(), (Position(20), &of(3)));
        assert!(history.truncate(Position(15)));
        assert_eq!(history.last(), (Position(10), &of(2)));
    }

    #[test]
    fn what_a_snapshot_says_takes_the_place_of_all_that_it_covers() {
        let mut history = history();
        let (at, configuration) = (Position(35), of(5));
        history.install(Some(Configured { at, configuration }));
        assert_eq!(history.last(), (Position(35), &of(5)));
        history.install(None);
        assert_eq!(history.last(), (Position::ZERO, &of(1)));
    }
}
