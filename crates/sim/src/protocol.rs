//! What the simulator has to know of a protocol: how to configure it, and what its records and messages say.

use std::time::Duration;

use quorate_core::{Batch, Epoch, NodeId, Position, ReplicatedLog};

/// A replicated log to be simulated. The simulator itself knows none.
pub trait Protocol {
    /// The log.
    type Log: ReplicatedLog;

    /// Its name in reports and on command lines.
    fn name(&self) -> &'static str;

    /// The config of one member.
    fn config(&self, member: &Member) -> <Self::Log as ReplicatedLog>::Config;

    /// What a record says, in the checkers' terms.
    fn remembered(&self, record: &<Self::Log as ReplicatedLog>::Record) -> Vec<Remembered>;

    /// What a message says, in the checkers' terms: what its sender must have on disk.
    fn claims(
        &self,
        from: NodeId,
        to: NodeId,
        message: &<Self::Log as ReplicatedLog>::Message,
    ) -> Vec<Claim>;

    /// Whether leaders are elected by votes on disks, have all that is chosen from the start, and commit by counting only
    /// what they proposed themselves, as in Raft. Then that is checked too.
    fn has_elected_leaders(&self) -> bool {
        false
    }

    /// The rare state that this message shows to have been reached, if it does: one of [`rare`](Self::rare).
    fn mark(&self, _message: &<Self::Log as ReplicatedLog>::Message) -> Option<&'static str> {
        None
    }

    /// The rare states that a campaign has to reach.
    fn rare(&self) -> &'static [&'static str] {
        &[]
    }

    /// A message for people, in a few words.
    fn describe(&self, message: &<Self::Log as ReplicatedLog>::Message) -> String;
}

/// One member, as drawn for a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub id: NodeId,
    /// All members, itself among them.
    pub members: Vec<NodeId>,
    /// Where its randomness comes from; the same for all if timers are to be in step.
    pub seed: u64,
    /// Its limits.
    pub limits: Limits,
}

/// The limits and timeouts drawn for a run: small enough to be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The least time without a leader before an election.
    pub election_timeout: Duration,
    /// How often a leader makes itself heard.
    pub heartbeat_interval: Duration,
    /// Bytes on their way to one peer.
    pub window_bytes: u64,
    /// Messages on their way to one peer.
    pub window_messages: usize,
    /// Bytes of one message.
    pub message_bytes: u64,
    /// Bytes that are not chosen yet.
    pub uncommitted_bytes: u64,
    /// Bytes of the log in memory.
    pub log_bytes: u64,
    /// Reads that wait.
    pub reads: usize,
}

/// What a record makes its member remember.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remembered {
    /// It takes part in `epoch`, and has given its vote in it, or not yet.
    Promise {
        /// The epoch entered.
        epoch: Epoch,
        /// Who has its vote.
        vote: Option<NodeId>,
    },
    /// These entries follow `after`; what was behind it is gone.
    Entries {
        /// The position before the first.
        after: Position,
        /// Consecutive batches with the epochs in which they were proposed.
        runs: Vec<(Epoch, Batch)>,
    },
    /// Everything up to here is covered by a snapshot.
    Base {
        /// The last position covered.
        upto: Position,
        /// Whether the entries behind it stay.
        keeps: bool,
    },
}

/// What a message claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Its sender takes part in this epoch: that has to be on its disk.
    Epoch(Epoch),
    /// Its sender voted so: that has to be on its disk.
    Vote {
        /// When.
        epoch: Epoch,
        /// For whom.
        vote: NodeId,
    },
    /// Its sender has everything up to here on disk.
    Holds {
        /// The last position.
        upto: Position,
    },
    /// Its sender leads this epoch.
    Leads(Epoch),
}
