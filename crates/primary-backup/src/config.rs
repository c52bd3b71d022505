//! Who the members are, who is first, what an acknowledgement means, how long to wait, how much to hold.

use alloc::vec::Vec;
use core::time::Duration;

use quorate_core::{Configuration, Limit, NodeId, Quorum, QuorumError, WriteAck};

/// The config of one member. All but the id ought to be the same on all of those that found a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrimaryBackupConfig {
    /// This member: one of the voters or of the learners.
    pub id: NodeId,
    /// Those who count, until the log says otherwise. A member that joins later names the present ones here, and itself
    /// as a learner.
    pub voters: Vec<NodeId>,
    /// Those who follow and count for nothing, until the log says otherwise.
    pub learners: Vec<NodeId>,
    /// Who is primary by the first appointment, round 1. Means nothing to a member whose journal knows of any.
    pub primary: NodeId,
    /// Where a write has to be before it is committed, and so acknowledged: what the primary's says counts.
    pub write_ack: WriteAck,
    /// How often a primary makes itself heard.
    pub heartbeat_interval: Duration,
    /// How long a backup takes a silent primary for one, how long a promotion waits for the others, and how long a primary
    /// takes no writes for its sake: at least three heartbeat intervals.
    pub patience: Duration,
    /// How much a primary may have on its way to one backup, unconfirmed. Every proposal leaves at once as a message
    /// of its own while this is open.
    pub window: Limit,
    /// The most that one [`Append`](crate::Append) holds, in bytes of [`Batch::weight`]; one command always fits.
    ///
    /// [`Batch::weight`]: quorate_core::Batch::weight
    pub append_bytes_max: u64,
    /// The most that may wait to be committed, and the most that may wait for the primary's own disk, in bytes of weight;
    /// beyond either, proposals are refused. The largest batch.
    pub uncommitted_bytes_max: u64,
    /// The most that the log may hold in memory, in bytes of weight: at least twice the uncommitted. A primary
    /// refuses proposals beyond it, a backup takes no entries, until compaction makes room.
    pub log_bytes_max: u64,
    /// The most reads that may wait at once.
    pub reads_max: usize,
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

impl PrimaryBackupConfig {
    /// A config for one machine or one local network, with limits for small commands. The first voter is the primary;
    /// writes are acknowledged when a quorum has them on disk.
    pub fn new(id: NodeId, voters: &[NodeId]) -> Self {
        Self {
            id,
            voters: voters.to_vec(),
            learners: Vec::new(),
            primary: voters.first().copied().unwrap_or_default(),
            write_ack: WriteAck::Quorum,
            heartbeat_interval: Duration::from_millis(50),
            patience: Duration::from_millis(500),
            window: Limit {
                bytes: 64 << 20,
                messages: 4096,
            },
            append_bytes_max: 1 << 20,
            uncommitted_bytes_max: 256 << 20,
            log_bytes_max: 1 << 30,
            reads_max: 65_536,
        }
    }

    /// Whether the config can be meant.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.validate_members()?;
        let absurd: [(bool, &'static str); 9] = [
            (
                self.heartbeat_interval < Duration::from_micros(100),
                "the heartbeat interval is below 100 microseconds",
            ),
            (
                self.patience < self.heartbeat_interval.saturating_mul(3),
                "the patience is below three heartbeat intervals",
            ),
            (
                self.patience > Duration::from_hours(1),
                "the patience is above an hour",
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
        ];
        refuse(&absurd)
    }

    fn validate_members(&self) -> Result<(), ConfigError> {
        let quorum = self.quorum()?;
        let mut learners = self.learners.clone();
        learners.sort_unstable();
        let absurd: [(bool, &'static str); 6] = [
            (
                !quorum.contains(self.id) && !learners.contains(&self.id),
                "this member is neither a voter nor a learner",
            ),
            (
                learners.iter().any(|id| quorum.contains(*id)),
                "a voter is no learner",
            ),
            (
                learners.windows(2).any(|pair| pair[0] == pair[1]),
                "a learner is named twice",
            ),
            (
                self.voters.len() + learners.len() > Configuration::MEMBERS_MAX,
                "more members than a configuration holds",
            ),
            (
                quorum.contains(NodeId::ZERO) || learners.contains(&NodeId::ZERO),
                "zero is no member's id",
            ),
            (
                !quorum.contains(self.primary),
                "the first primary is none of the voters",
            ),
        ];
        refuse(&absurd)
    }

    /// Which sets of members decide, where a quorum does, until the log says otherwise.
    pub fn quorum(&self) -> Result<Quorum, ConfigError> {
        Ok(Quorum::majority(&self.voters)?)
    }

    /// Who the members are until the log says otherwise.
    pub fn founding(&self) -> Configuration {
        Configuration::founding(&self.voters, &self.learners)
    }
}

/// The first reason that holds.
fn refuse(absurd: &[(bool, &'static str)]) -> Result<(), ConfigError> {
    match absurd.iter().find(|(wrong, _)| *wrong) {
        Some((_, why)) => Err(ConfigError::Absurd(why)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> PrimaryBackupConfig {
        PrimaryBackupConfig::new(NodeId(1), &[NodeId(1), NodeId(2), NodeId(3)])
    }

    #[test]
    fn the_defaults_are_accepted() {
        assert_eq!(three().validate(), Ok(()));
    }

    #[test]
    fn every_absurd_value_is_refused_with_its_reason() {
        type Spoil = fn(&mut PrimaryBackupConfig);
        let cases: [(Spoil, &str); 17] = [
            (|c| c.voters.clear(), "no voter"),
            (|c| c.voters.push(NodeId(2)), "a voter is named twice"),
            (|c| c.id = NodeId(9), "neither a voter nor a learner"),
            (|c| c.learners.push(NodeId(2)), "a voter is no learner"),
            (
                |c| c.learners = [5, 4, 5].map(NodeId).to_vec(),
                "a learner is named twice",
            ),
            (
                |c| c.learners = (4..66).map(NodeId).collect(),
                "more members",
            ),
            (|c| c.voters.push(NodeId(0)), "zero is no member's id"),
            (|c| c.primary = NodeId(9), "first primary is none"),
            (
                |c| c.heartbeat_interval = Duration::ZERO,
                "100 microseconds",
            ),
            (
                |c| c.patience = Duration::from_millis(149),
                "three heartbeat",
            ),
            (|c| c.patience = Duration::from_secs(3601), "above an hour"),
            (|c| c.window.messages = 0, "window is empty"),
            (|c| c.window.messages = 1 << 25, "16 million"),
            (|c| c.append_bytes_max = 10, "1 KiB and 1 GiB"),
            (|c| c.uncommitted_bytes_max = 10, "less than 1 KiB"),
            (|c| c.log_bytes_max = c.uncommitted_bytes_max, "twice"),
            (|c| c.reads_max = 0, "no read may wait"),
        ];
        for (spoil, reason) in cases {
            let mut config = three();
            spoil(&mut config);
            let refused = config.validate().expect_err(reason);
            assert!(refused.reason().contains(reason), "{refused} for {reason}");
        }
    }
}
