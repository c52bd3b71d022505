//! Who the members are, how long they wait, how much they hold.

use alloc::vec::Vec;
use core::time::Duration;

use quorate_core::{Limit, NodeId, Quorum, QuorumError};

use crate::Lease;

/// The config of one member. Voters, learners, timeouts and limits ought to be the same on all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RaftConfig {
    /// This member: one of the voters or of the learners.
    pub id: NodeId,
    /// Those who elect and count, as long as the log says nothing else. A member that joins later lists those who vote
    /// when it does.
    pub voters: Vec<NodeId>,
    /// Those who follow without a vote, likewise. A member that joins later is one of them.
    pub learners: Vec<NodeId>,
    /// The least time without a leader before a member seeks to lead; each time it waits anew between this and
    /// twice this. Also how long a leader goes on without hearing from a quorum.
    pub election_timeout: Duration,
    /// How often a leader makes itself heard: at most a third of the election timeout.
    pub heartbeat_interval: Duration,
    /// How much a leader may have on its way to one peer, unconfirmed. Every proposal leaves at once as a message
    /// of its own while this is open.
    pub window: Limit,
    /// The most that one [`Append`](crate::Append) holds, in bytes of [`Batch::weight`]; one command always fits.
    ///
    /// [`Batch::weight`]: quorate_core::Batch::weight
    pub append_bytes_max: u64,
    /// The most that may wait to be chosen, in bytes of weight; beyond it proposals are refused. The largest batch.
    pub uncommitted_bytes_max: u64,
    /// The most that the log may hold in memory, in bytes of weight: at least twice the uncommitted. A leader
    /// refuses proposals beyond it, a follower takes no entries, until compaction makes room.
    pub log_bytes_max: u64,
    /// The most reads that may wait at once.
    pub reads_max: usize,
    /// Whether reads may rest on clocks; none: they do not. The same on all members.
    pub lease: Option<Lease>,
    /// Where this member's timeouts come from. Members may share it: the id is mixed in.
    pub seed: u64,
}

/// Why a config cannot be meant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The voters are no quorum.
    #[error("voters: {0}")]
    Voters(#[from] QuorumError),
    /// Something else, as it says.
    #[error("{0}")]
    Absurd(&'static str),
}

impl ConfigError {
    /// The reason without its numbers.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Voters(QuorumError::Empty) => "no voter",
            Self::Voters(QuorumError::Repeated(_)) => "a voter is named twice",
            Self::Voters(_) => "the voters form no quorum",
            Self::Absurd(why) => why,
        }
    }
}

impl RaftConfig {
    /// A config with timeouts for one machine or one local network, and limits for small commands.
    pub fn new(id: NodeId, voters: &[NodeId]) -> Self {
        Self {
            id,
            voters: voters.to_vec(),
            learners: Vec::new(),
            election_timeout: Duration::from_millis(300),
            heartbeat_interval: Duration::from_millis(50),
            window: Limit {
                bytes: 64 << 20,
                messages: 4096,
            },
            append_bytes_max: 1 << 20,
            uncommitted_bytes_max: 256 << 20,
            log_bytes_max: 1 << 30,
            reads_max: 65_536,
            lease: None,
            seed: 0,
        }
    }

    /// Whether the config can be meant.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let quorum = self.quorum()?;
        let mut learners = self.learners.clone();
        learners.sort_unstable();
        let longest = Duration::from_hours(1);
        let known = quorum.contains(self.id) || learners.contains(&self.id);
        let absurd: [(bool, &'static str); 14] = [
            (!known, "this member is neither a voter nor a learner"),
            (
                self.members().any(|id| id == NodeId::ZERO),
                "zero is no member's id",
            ),
            (
                learners.windows(2).any(|pair| pair[0] == pair[1]),
                "a learner is named twice",
            ),
            (
                learners.iter().any(|id| quorum.contains(*id)),
                "a learner is also a voter",
            ),
            (
                self.heartbeat_interval < Duration::from_micros(100),
                "the heartbeat interval is below 100 microseconds",
            ),
            (
                self.election_timeout < self.heartbeat_interval.saturating_mul(3),
                "the election timeout is below three heartbeat intervals",
            ),
            (
                self.election_timeout > longest,
                "the election timeout is above an hour",
            ),
            (
                self.window.bytes == 0 || self.window.messages == 0,
                "the window is empty",
            ),
            (
                self.window.messages > 1 << 24,
                "the window is above 16 million messages",
            ),
            (
                self.append_bytes_max < 1 << 10 || self.append_bytes_max > 1 << 30,
                "an append must hold between 1 KiB and 1 GiB",
            ),
            (
                self.uncommitted_bytes_max < 1 << 10,
                "less than 1 KiB may be uncommitted",
            ),
            (
                self.log_bytes_max / 2 < self.uncommitted_bytes_max,
                "the log may hold less than twice what may be uncommitted",
            ),
            (self.reads_max == 0, "no read may wait"),
            (
                self.lease.is_some_and(|lease| lease.drift_ppm >= 1_000_000),
                "clocks that drift so far make no lease",
            ),
        ];
        match absurd.into_iter().find(|(wrong, _)| *wrong) {
            Some((_, why)) => Err(ConfigError::Absurd(why)),
            None => Ok(()),
        }
    }

    /// Which sets of voters decide.
    pub fn quorum(&self) -> Result<Quorum, ConfigError> {
        Ok(Quorum::majority(&self.voters)?)
    }

    /// Voters and learners.
    pub(crate) fn members(&self) -> impl Iterator<Item = NodeId> {
        self.voters.iter().chain(&self.learners).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> RaftConfig {
        RaftConfig::new(NodeId(1), &[NodeId(1), NodeId(2), NodeId(3)])
    }

    #[test]
    fn the_defaults_are_accepted() {
        assert_eq!(three().validate(), Ok(()));
    }

    #[test]
    fn every_absurd_value_is_refused_with_its_reason() {
        type Spoil = fn(&mut RaftConfig);
        let cases: [(Spoil, &str); 13] = [
            (|c| c.voters.clear(), "no voter"),
            (|c| c.voters.push(NodeId(2)), "a voter is named twice"),
            (|c| c.id = NodeId(9), "neither a voter nor a learner"),
            (|c| c.voters.push(NodeId(0)), "zero is no member's id"),
            (|c| c.learners = [NodeId(3)].into(), "also a voter"),
            (|c| c.learners = [NodeId(7); 2].into(), "named twice"),
            (
                |c| c.heartbeat_interval = Duration::ZERO,
                "100 microseconds",
            ),
            (
                |c| c.election_timeout = Duration::from_millis(149),
                "three heartbeat",
            ),
            (|c| c.window.messages = 0, "window is empty"),
            (|c| c.append_bytes_max = 10, "1 KiB and 1 GiB"),
            (|c| c.log_bytes_max = c.uncommitted_bytes_max, "twice"),
            (|c| c.reads_max = 0, "no read may wait"),
            (
                |c| {
                    let drift_ppm = 1_000_000;
                    c.lease = Some(Lease { drift_ppm });
                },
                "make no lease",
            ),
        ];
        for (spoil, reason) in cases {
            let mut config = three();
            spoil(&mut config);
            let refused = config.validate().expect_err(reason);
            assert!(refused.reason().contains(reason), "{refused} for {reason}");
        }
    }
}
