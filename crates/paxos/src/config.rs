//! Who the members are, which of them decide, how long they wait, how much they hold.

use alloc::vec::Vec;
use core::time::Duration;

use quorate_core::{Limit, NodeId, Quorum, QuorumError};

use crate::Lease;

/// The config of one member. Voters, learners, quorums, timeouts and limits ought to be the same on all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaxosConfig {
    /// This member: one of the voters or of the learners.
    pub id: NodeId,
    /// The acceptors that count, as long as the log says nothing else; any of them may lead. A member that joins later
    /// lists those that count when it does.
    pub voters: Vec<NodeId>,
    /// Those who take everything and count nowhere, likewise. A member that joins later is one of them.
    pub learners: Vec<NodeId>,
    /// How many voters elect and how many choose; none: a majority does either. The two must share a member
    /// (Howard, Malkhi, Spiegelman 2016), also where the log changes who votes: other changes are refused
    /// ([`ChangeError::Quorums`](quorate_core::ChangeError::Quorums)). The same on all members.
    pub quorums: Option<Quorums>,
    /// The least time without a leader before a member seeks to lead; each time it waits anew between this and
    /// twice this. Also how long a leader goes on without hearing from a quorum.
    pub election_timeout: Duration,
    /// How often members make themselves heard: at most a third of the election timeout.
    pub heartbeat_interval: Duration,
    /// How much a leader may have on its way to one peer, unconfirmed.
    pub window: Limit,
    /// The most that one message or record holds, in bytes of [`Batch::weight`]; one command always fits.
    ///
    /// [`Batch::weight`]: quorate_core::Batch::weight
    pub append_bytes_max: u64,
    /// The most that may wait to be chosen, in bytes of weight; beyond it proposals are refused. The largest batch.
    pub uncommitted_bytes_max: u64,
    /// The most that may be held in memory, in bytes of weight: at least twice the uncommitted. A leader refuses
    /// proposals beyond it, an acceptor takes nothing behind its last slot, until compaction makes room.
    pub log_bytes_max: u64,
    /// The most reads that may wait at once.
    pub reads_max: usize,
    /// Whether reads may rest on clocks; none: they do not. The same on all members.
    pub lease: Option<Lease>,
    /// Where this member's timeouts come from. Members may share it: the id is mixed in.
    pub seed: u64,
}

/// Sizes of flexible quorums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quorums {
    /// How many voters have to promise before one of them leads.
    pub phase_1: usize,
    /// How many have to accept before a value is chosen.
    pub phase_2: usize,
}

/// Why a config cannot be meant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The voters, or the sizes, make no quorums.
    #[error("voters: {0}")]
    Quorums(#[from] QuorumError),
    /// Something else, as it says.
    #[error("{0}")]
    Absurd(&'static str),
}

impl ConfigError {
    /// The reason without its numbers.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Quorums(QuorumError::Empty) => "there is no voter",
            Self::Quorums(QuorumError::Repeated(_)) => "one voter stands there twice",
            Self::Quorums(QuorumError::Size { .. }) => "a quorum size is not one of these voters",
            Self::Quorums(QuorumError::Disjoint { .. }) => {
                "phase 1 and phase 2 need not share a member"
            }
            Self::Absurd(why) => why,
        }
    }
}

impl PaxosConfig {
    /// A config with majorities, timeouts for one machine or one local network, and limits for small commands.
    pub fn new(id: NodeId, voters: &[NodeId]) -> Self {
        Self {
            id,
            voters: voters.to_vec(),
            learners: Vec::new(),
            quorums: None,
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

    /// Who decides in phase 1 and in phase 2.
    ///
    /// # Errors
    /// If the voters or the sizes make no quorums, or quorums that need not intersect.
    pub fn quorums(&self) -> Result<(Quorum, Quorum), ConfigError> {
        let majority = self.voters.len() / 2 + 1;
        let sizes = self.quorums.unwrap_or(Quorums {
            phase_1: majority,
            phase_2: majority,
        });
        let pair = Quorum::flexible(&self.voters, sizes.phase_1, sizes.phase_2)?;
        Ok(pair)
    }

    /// Whether the config can be meant.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.quorums()?;
        match self.members_fault().or(self.limits_fault()) {
            Some(why) => Err(ConfigError::Absurd(why)),
            None => Ok(()),
        }
    }

    fn members_fault(&self) -> Option<&'static str> {
        let mut all: Vec<_> = self.members().collect();
        all.sort_unstable();
        if all.first() == Some(&NodeId::ZERO) {
            return Some("zero is no member's id");
        }
        if all.windows(2).any(|pair| pair[0] == pair[1]) {
            return Some("one member has two seats");
        }
        (!all.contains(&self.id)).then_some("this member is neither a voter nor a learner")
    }

    fn limits_fault(&self) -> Option<&'static str> {
        let beats = self.heartbeat_interval.saturating_mul(3);
        let slots = 1 << 10..=1 << 30u64;
        let faults = [
            (
                self.heartbeat_interval.as_micros() < 100,
                "heartbeats come more often than every 100 microseconds",
            ),
            (
                self.election_timeout < beats,
                "three heartbeats do not fit into an election timeout",
            ),
            (
                self.election_timeout > Duration::from_hours(1),
                "an election timeout of more than an hour",
            ),
            (self.window.bytes == 0, "no byte may be on its way"),
            (
                !(1..=1 << 24).contains(&self.window.messages),
                "between one message and 16 million may be on their way",
            ),
            (
                !slots.contains(&self.append_bytes_max),
                "a message holds between 1 KiB and 1 GiB",
            ),
            (
                self.uncommitted_bytes_max < 1 << 10,
                "at least 1 KiB must be allowed to wait to be chosen",
            ),
            (
                self.log_bytes_max / 2 < self.uncommitted_bytes_max,
                "twice what may wait to be chosen must fit into the log",
            ),
            (self.reads_max == 0, "at least one read must be allowed"),
            (
                self.lease.is_some_and(|lease| lease.drift_ppm >= 1_000_000),
                "clocks that drift so far make no lease",
            ),
        ];
        let found = faults.into_iter().find(|(wrong, _)| *wrong);
        found.map(|(_, why)| why)
    }

    /// Voters and learners.
    pub(crate) fn members(&self) -> impl Iterator<Item = NodeId> {
        self.voters.iter().chain(&self.learners).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn five() -> PaxosConfig {
        PaxosConfig::new(NodeId(1), &[1, 2, 3, 4, 5].map(NodeId))
    }

    fn sized(phase_1: usize, phase_2: usize) -> PaxosConfig {
        PaxosConfig {
            quorums: Some(Quorums { phase_1, phase_2 }),
            ..five()
        }
    }

    #[test]
    fn quorums_that_need_not_share_a_member_are_refused() {
        assert_eq!(five().validate(), Ok(()));
        assert_eq!(sized(4, 2).validate(), Ok(()));
        assert_eq!(sized(2, 4).validate(), Ok(()));
        for (phase_1, phase_2, why) in [
            (3, 2, "need not share"),
            (0, 5, "quorum size"),
            (6, 1, "quorum size"),
        ] {
            let refused = sized(phase_1, phase_2).validate().expect_err(why);
            assert!(refused.reason().contains(why), "{refused}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_its_reason() {
        type Spoil = fn(&mut PaxosConfig);
        let cases: [(Spoil, &str); 10] = [
            (|c| c.voters = Vec::new(), "no voter"),
            (|c| c.voters[4] = NodeId(1), "twice"),
            (|c| c.learners = [NodeId(3)].into(), "two seats"),
            (|c| c.id = NodeId(8), "neither"),
            (|c| c.learners = [NodeId(0)].into(), "zero"),
            (|c| c.heartbeat_interval *= 3, "three heartbeats"),
            (|c| c.window.messages = 0, "one message"),
            (|c| c.log_bytes_max = 1 << 20, "twice"),
            (|c| c.reads_max = 0, "one read"),
            (
                |c| {
                    let drift_ppm = 1_000_000;
                    c.lease = Some(Lease { drift_ppm });
                },
                "no lease",
            ),
        ];
        for (spoil, why) in cases {
            let mut config = five();
            spoil(&mut config);
            let refused = config.validate().expect_err(why);
            assert!(refused.reason().contains(why), "{refused} for {why}");
        }
    }
}
