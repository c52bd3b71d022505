//! What the simulator has to know of a protocol: how to configure it, and what its records and messages say.
//!
//! The checkers' terms fit logs of two shapes. In a *chained* log an entry keeps the epoch in which it was proposed, and
//! an append replaces whatever stood behind it (Raft). In the other shape each position is decided by itself: it
//! may be accepted again in a later epoch, in any order, with holes between (Multi-Paxos). [`Rules`] says which it is.

use std::time::Duration;

use quorate_core::{Batch, Epoch, Life, NodeId, Position, ReplicatedLog};

/// A replicated log to be simulated. The simulator itself knows none.
pub trait Protocol {
    /// The log.
    type Log: ReplicatedLog;

    /// What has to be remembered of a run to recognise its rare states; `()` if nothing has.
    type Notes: Default;

    /// Its name in reports and on command lines.
    fn name(&self) -> &'static str;

    /// The config of one member.
    fn config(&self, member: &Member) -> <Self::Log as ReplicatedLog>::Config;

    /// What holds for this log beyond what holds for every log. The same for all members of a cluster.
    fn rules(&self, cluster: &Cluster) -> Rules;

    /// What a record says, in the checkers' terms.
    fn remembered(&self, record: &<Self::Log as ReplicatedLog>::Record) -> Vec<Remembered>;

    /// What a message says, in the checkers' terms: what its sender must have on disk.
    fn claims(
        &self,
        from: NodeId,
        to: NodeId,
        message: &<Self::Log as ReplicatedLog>::Message,
    ) -> Vec<Claim>;

    /// Whether its links can be directed (`Input::Direct`): then they are, in the midst of everything.
    fn is_directed(&self) -> bool {
        false
    }

    /// Whether it has members without a vote: then some runs have one or two.
    fn has_learners(&self) -> bool {
        false
    }

    /// Whether its members change, by an order to the leader (`Input::Reconfigure`): then operators do so in some runs.
    fn changes_members(&self) -> bool {
        false
    }

    /// Whether it hands leadership over (`Input::Transfer`): then operators ask for that.
    fn transfers(&self) -> bool {
        false
    }

    /// Whether it elects nobody: an operator says who leads (`Input::Promote`). Then there is one in its runs, who never
    /// does so by force, and promotes a member whenever nobody has led for long.
    fn is_appointed(&self) -> bool {
        false
    }

    /// The rare state that this message shows to have been reached, if it does: one of [`rare`](Self::rare).
    fn mark_message(
        &self,
        _notes: &mut Self::Notes,
        _from: NodeId,
        _to: NodeId,
        _message: &<Self::Log as ReplicatedLog>::Message,
    ) -> Option<&'static str> {
        None
    }

    /// The rare state that this record of a member shows to have been reached, if it does.
    fn mark_record(
        &self,
        _notes: &mut Self::Notes,
        _member: NodeId,
        _record: &<Self::Log as ReplicatedLog>::Record,
    ) -> Option<&'static str> {
        None
    }

    /// The rare states that a campaign has to reach.
    fn rare(&self) -> &'static [&'static str] {
        &[]
    }

    /// A message for people, in a few words.
    fn describe(&self, message: &<Self::Log as ReplicatedLog>::Message) -> String;
}

/// What holds for one log and not for every log; the checkers hold it to that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// How many disks hold a vote for a leader before it leads.
    pub electing: usize,
    /// How many disks hold a value, accepted in one epoch, before it is chosen.
    pub choosing: usize,
    /// Entries keep their epochs, and two logs that have one in common are equal up to it; a leader has all that is
    /// chosen from the start, and commits by counting only what it proposed itself (Raft 5.3, 5.4). Otherwise each
    /// position is decided by itself, in the promised epoch and no other, and chosen as soon as enough disks have
    /// accepted one value there in one epoch (Paxos Made Simple 2.2).
    pub chained: bool,
}

impl Rules {
    /// Majorities elect and choose.
    pub const fn majorities(members: usize, chained: bool) -> Self {
        Self {
            electing: members / 2 + 1,
            choosing: members / 2 + 1,
            chained,
        }
    }
}

/// What all members of a run have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// All members that have a vote.
    pub members: Vec<NodeId>,
    /// Those that have none.
    pub learners: Vec<NodeId>,
    /// The run's own number: what is drawn from it is the same for all members, in all their lives.
    pub seed: u64,
    /// So many members are left in the end at the least, and have to be enough to elect and to choose.
    pub left: usize,
    /// Their limits.
    pub limits: Limits,
    /// Leases are on, and trust clocks so far, in millionths; none: they are off.
    pub lease: Option<u32>,
}

/// One member, as drawn for a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub id: NodeId,
    /// This run of it.
    pub life: Life,
    /// Where its randomness comes from; the same for all if timers are to be in step.
    pub seed: u64,
    /// What it shares with the others.
    pub cluster: Cluster,
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

/// Consecutive positions with what was accepted there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The epoch in which it was accepted. A chained log accepts an entry in the epoch in which it was proposed.
    pub accepted: Epoch,
    /// The epoch in which it was first proposed: what [`Committed`](quorate_core::Committed) names.
    pub born: Epoch,
    /// The commands, one a position.
    pub batch: Batch,
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
    /// These positions hold these values, whatever they held before.
    Accepted {
        /// The position of the first value.
        first: Position,
        /// The values, position after position.
        runs: Vec<Run>,
        /// Whether what was behind them is gone.
        cuts: bool,
    },
    /// These positions hold these values, which are chosen: what one without a vote remembers.
    Learned {
        /// The position of the first value.
        first: Position,
        /// The values, position after position. In which epoch they were accepted is not looked at.
        runs: Vec<Run>,
    },
    /// Everything up to here was known to be chosen, and is held.
    Chosen {
        /// The last position.
        upto: Position,
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
    /// Its sender has something at every position up to here on disk.
    Holds {
        /// The last position.
        upto: Position,
    },
    /// Its sender has accepted every position of `first..end` in this very epoch, on disk.
    Accepted {
        /// The epoch.
        epoch: Epoch,
        /// The first position.
        first: Position,
        /// The one behind the last.
        end: Position,
    },
    /// This is what its sender's disk holds from `first` on, and nothing else.
    Tells {
        /// The first position that it speaks of.
        first: Position,
        /// The one behind the last; none: it speaks of all that follow.
        end: Option<Position>,
        /// What is held there; what is not named holds nothing.
        runs: Vec<(Position, Run)>,
    },
    /// A snapshot of everything up to here is on its sender's disk.
    Covers {
        /// The last position.
        upto: Position,
    },
    /// Everything up to here is chosen.
    Chosen {
        /// The last position.
        upto: Position,
    },
    /// These values are chosen. In which epoch they were accepted is not looked at.
    Teaches {
        /// The position of the first value.
        first: Position,
        /// The values, position after position.
        runs: Vec<Run>,
    },
    /// Its sender seeks to lead this epoch.
    Seeks(Epoch),
    /// Its sender leads this epoch.
    Leads(Epoch),
    /// Its sender proposes these values, each in the epoch in which it is to be accepted.
    Proposes {
        /// The position of the first value.
        first: Position,
        /// The values, position after position.
        runs: Vec<Run>,
    },
}
