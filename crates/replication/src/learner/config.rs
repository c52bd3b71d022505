//! Who a learner is, whom it may ask, and its limits.

use alloc::vec::Vec;
use core::time::Duration;

use quorate_core::{Life, NodeId};

use crate::Budget;

/// The config of one [`Learner`](crate::Learner).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LearnerConfig {
    /// This member.
    pub id: NodeId,
    /// This run of it: higher than that of every run before, and not zero.
    pub life: Life,
    /// Those who elect and count.
    pub voters: Vec<NodeId>,
    /// All learners, this one among them or not. Each pulls from the one with the next lower id.
    pub learners: Vec<NodeId>,
    /// How much is asked for beyond what is on disk ([`Budget::fetch_bytes`]).
    pub budget: Budget,
    /// How often an idle source is asked for a sign of life; after three without one, another is asked.
    pub refresh: Duration,
    /// The most that may be held in memory, in bytes of weight; beyond it nothing is asked for until compaction.
    pub log_bytes_max: u64,
}

impl LearnerConfig {
    /// A learner in the row of `learners`.
    pub fn new(id: NodeId, life: Life, voters: &[NodeId], learners: &[NodeId]) -> Self {
        Self {
            id,
            life,
            voters: voters.to_vec(),
            learners: learners.to_vec(),
            budget: Budget::default(),
            refresh: Duration::from_secs(1),
            log_bytes_max: 1 << 30,
        }
    }

    /// Whether the config can be meant.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn validate(&self) -> Result<(), &'static str> {
        if self.life == Life::ZERO {
            return Err("zero is no run's number");
        }
        if self.voters.is_empty() {
            return Err("nobody to learn from");
        }
        if self.voters.contains(&self.id) {
            return Err("a voter is no learner");
        }
        if self.refresh.is_zero() {
            return Err("no time to wait for an answer");
        }
        self.budget.validate()
    }

    /// Whom to ask, the best first: learners before this one, the nearest first, then voters, turned by the id so that
    /// not all ask the same.
    pub(crate) fn sources(&self) -> Vec<NodeId> {
        let mut learners = self.learners.clone();
        learners.retain(|id| *id < self.id);
        learners.sort_unstable_by(|a, b| b.cmp(a));
        learners.dedup();
        let turn = self.id.get() as usize % self.voters.len();
        let voters = self.voters.iter().cycle().skip(turn);
        learners.extend(voters.take(self.voters.len()));
        learners
    }

    /// Whom it may feed.
    pub(crate) fn followers(&self) -> impl Iterator<Item = NodeId> {
        let behind = |id: &NodeId| *id > self.id;
        self.learners.iter().copied().filter(behind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn learners_stand_in_a_row_and_nobody_asks_anyone_behind() {
        let (voters, learners) = ([1, 2, 3].map(NodeId), [12, 10, 11].map(NodeId));
        let config = |id| LearnerConfig::new(NodeId(id), Life(1), &voters, &learners);
        assert_eq!(config(12).sources(), [11, 10, 1, 2, 3].map(NodeId));
        assert_eq!(config(10).sources(), [2, 3, 1].map(NodeId));
        for asker in learners {
            for source in config(asker.get()).sources() {
                let feeds = voters.contains(&source)
                    || config(source.get()).followers().any(|id| id == asker);
                assert!(feeds, "{source} feeds {asker}");
                assert!(source < asker);
            }
        }
    }
}
