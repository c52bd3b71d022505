//! Who the members are at every position of the log (Raft 6).
//!
//! The last configuration in the log is in force, chosen or not: so it is known where the log is, and is forgotten with
//! it. A cut rolls it back; compaction and snapshots keep the last one that they cover.

use alloc::vec::Vec;

use quorate_core::{Configuration, Position};
use serde::{Deserialize, Serialize};

use crate::{Point, Run};

/// A configuration and the entry that says so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Configured {
    /// Where the entry stands.
    pub at: Position,
    /// Who the members are from there on.
    pub configuration: Configuration,
}

impl Configured {
    /// Whether a log may have it at or before `last`.
    pub(crate) fn is_before(&self, last: Point) -> bool {
        Position::ZERO < self.at && self.at <= last.position && self.configuration.is_sane()
    }
}

#[derive(Clone, Debug)]
pub(crate) struct History {
    /// What the config says: in force where the log says nothing.
    founding: Configuration,
    /// Ascending. The first is the last one at or below the log's base, if there is one.
    written: Vec<Configured>,
}

impl History {
    pub(crate) const fn new(founding: Configuration) -> Self {
        Self {
            founding,
            written: Vec::new(),
        }
    }

    /// The one in force, and where it stands; zero: in the config.
    pub(crate) fn current(&self) -> (Position, &Configuration) {
        match self.written.last() {
            Some(last) => (last.at, &last.configuration),
            None => (Position::ZERO, &self.founding),
        }
    }

    /// The last one that the log has at or below `position`; none: the founding one still counts.
    pub(crate) fn at(&self, position: Position) -> Option<&Configured> {
        let known = self.written.partition_point(|one| one.at <= position);
        self.written[..known].last()
    }

    /// The one in force at `position`, and all after it.
    pub(crate) fn since(&self, position: Position) -> impl Iterator<Item = &Configuration> {
        let known = self.written.partition_point(|one| one.at <= position);
        let founding = (known == 0).then_some(&self.founding);
        let written = self.written[known.saturating_sub(1)..].iter();
        founding
            .into_iter()
            .chain(written.map(|one| &one.configuration))
    }

    /// The log has a configuration at `at`, behind all before it.
    pub(crate) fn append(&mut self, at: Position, configuration: Configuration) {
        assert!(self.current().0 < at, "a log is ascending");
        self.written.push(Configured { at, configuration });
    }

    /// The log goes on with these behind `prev`. True: another configuration is in force.
    pub(crate) fn extend(&mut self, prev: Position, runs: &[Run]) -> bool {
        let (before, mut at) = (self.written.len(), prev);
        for run in runs {
            if let Some(configuration) = run.configured() {
                self.append(at.next(), configuration);
            }
            at = at.plus(run.batch.len());
        }
        self.written.len() > before
    }

    /// The log was cut behind `after`. True: another configuration is in force.
    pub(crate) fn truncate(&mut self, after: Position) -> bool {
        let before = self.written.len();
        self.written.retain(|one| one.at <= after);
        self.written.len() < before
    }

    /// The log begins behind `base`: of those up to there only the last one still matters.
    pub(crate) fn compact(&mut self, base: Position) {
        let known = self.written.partition_point(|one| one.at <= base);
        self.written.drain(..known.saturating_sub(1));
    }

    /// The log begins behind a snapshot, and was dropped or is not held from its beginning: this one is in force there.
    pub(crate) fn begin(&mut self, base: Position, configured: Option<Configured>) {
        let known = self.written.partition_point(|one| one.at <= base);
        self.written.splice(..known, configured);
    }

    /// The log was dropped, and begins anew where this one is in force.
    pub(crate) fn install(&mut self, configured: Option<Configured>) {
        self.written = configured.into_iter().collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorate_core::NodeId;

    fn of(voters: &[u64]) -> Configuration {
        let voters: Vec<_> = voters.iter().copied().map(NodeId).collect();
        Configuration::founding(&voters, &[])
    }

    /// The founding one has one voter; that at position 10 has two, at 20 three, at 30 four.
    fn history() -> History {
        let mut history = History::new(of(&[1]));
        history.append(Position(10), of(&[1, 2]));
        history.append(Position(20), of(&[1, 2, 3]));
        history.append(Position(30), of(&[1, 2, 3, 4]));
        history
    }

    fn sizes(history: &History, position: u64) -> Vec<usize> {
        let since = history.since(Position(position));
        since.map(|one| one.voters().len()).collect()
    }

    #[test]
    fn a_position_has_the_last_configuration_before_it() {
        let history = history();
        let at = |position| history.at(Position(position)).map(|one| one.at.get());
        assert_eq!(
            [9, 10, 19, 20, 99].map(at),
            [None, Some(10), Some(10), Some(20), Some(30)]
        );
        assert_eq!(sizes(&history, 9), [1, 2, 3, 4]);
        assert_eq!(sizes(&history, 10), [2, 3, 4]);
        assert_eq!(sizes(&history, 99), [4]);
    }

    #[test]
    fn a_cut_rolls_back_and_compaction_keeps_the_last_that_it_covers() {
        let mut history = history();
        assert!(!history.truncate(Position(30)));
        assert!(history.truncate(Position(29)));
        assert_eq!(history.current(), (Position(20), &of(&[1, 2, 3])));
        history.compact(Position(9));
        assert_eq!(sizes(&history, 0), [1, 2, 3]);
        history.compact(Position(20));
        assert_eq!(
            (sizes(&history, 20), history.written.len()),
            ([3].into(), 1)
        );
        assert!(history.truncate(Position(0)));
        assert_eq!(history.current(), (Position::ZERO, &of(&[1])));
    }

    #[test]
    fn what_a_snapshot_covers_is_replaced_by_what_it_says() {
        let told = Configured {
            at: Position(15),
            configuration: of(&[7]),
        };
        let mut history = history();
        history.begin(Position(25), Some(told.clone()));
        assert_eq!(history.at(Position(25)), Some(&told));
        assert_eq!(history.current().0, Position(30));
        history.install(None);
        assert_eq!(history.current(), (Position::ZERO, &of(&[1])));
    }
}
