//! A run before it runs: everything that is drawn from the seed but the dice of the network.

mod draw;
mod orders;
mod strikes;

use std::fmt;
use std::time::Duration;

use quorate_core::{Direction, NodeId};

use crate::disk::Survival;
use crate::{Cluster, Limits, Moment, Rot};

pub use draw::Options;

/// The most members a run begins with, and the most that ever vote.
pub const MEMBERS_MAX: usize = 7;

/// The most machines a run has, those among them that are added later.
pub const HOSTS_MAX: usize = 12;

/// What is going to happen in a run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Its name.
    pub seed: u64,
    /// How many members.
    pub members: usize,
    /// How many of them have no vote: the last.
    pub learners: usize,
    /// How many machines beside them wait to be added.
    pub spares: usize,
    /// Operators change the members. Then a member that is healed is every one whose disk is sound.
    pub changes: bool,
    /// After changes of members: no more of the sound ones are healed than have to be.
    pub bare: bool,
    /// Whose disks decay or are wiped: one bit a member. Operators give such no majority.
    pub lost: u16,
    /// By how many millionths one clock may run faster than another, where leases are on.
    pub lease: Option<u32>,
    /// Their limits.
    pub limits: Limits,
    /// The limits of what is around the log.
    pub around: Around,
    /// The network between faults.
    pub network: NetworkMix,
    /// How clients behave.
    pub clients: Clients,
    /// What goes wrong, and when.
    pub faults: Vec<Planned>,
    /// When everything that still goes wrong stops doing so.
    pub heals: Moment,
    /// Who is healed: one bit a member. The others stay away, as a cluster has to do with a bare majority.
    pub core: u16,
    /// Disks may decay beyond what a cluster can survive: it may stop, but not lie.
    pub unsafe_disks: bool,
}

/// The limits of replicas, journals and snapshots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Around {
    /// How long a client's request may take.
    pub request_timeout: Duration,
    /// When members ask each other again.
    pub retry_interval: Duration,
    /// Requests in the air at one member.
    pub pending_max: usize,
    /// Bytes of commands in the air at one member.
    pub pending_bytes: u64,
    /// Bytes committed and not applied above which a member proposes no more.
    pub backlog_bytes: u64,
    /// Bytes of one batch.
    pub batch_bytes: u64,
    /// Bytes applied between snapshots.
    pub snapshot_every: u64,
    /// Bytes of a piece of a snapshot.
    pub chunk_bytes: u32,
    /// Bytes applied in one turn.
    pub apply_bytes: u64,
    /// Timers fire at multiples of this: coarse ones fire in step.
    pub timer_grain: Duration,
    /// All members draw the same random numbers, and start at once.
    pub in_step: bool,
    /// How long a sync takes, at least and at most.
    pub sync: (Duration, Duration),
    /// How long after a sync its completion is told, at most.
    pub told_late: Duration,
    /// Reads from disk give less than was asked for.
    pub short_reads: bool,
}

/// The network while nothing goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetworkMix {
    /// The shortest way, and the longest.
    pub delay: (Duration, Duration),
    /// Messages of one link keep their order.
    pub ordered: bool,
}

/// How clients behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clients {
    /// How many there are; each has one operation at a time.
    pub count: u64,
    /// How long one thinks between two operations, at most.
    pub think: Duration,
    /// When one gives up and calls the outcome unknown.
    pub patience: Duration,
    /// After a refusal that says "surely not", how often it tries another member.
    pub retries: u32,
    /// How long the sessions of clients outlive their last command; none: clients have no sessions.
    pub sessions: Option<Duration>,
}

/// A fault with its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// When it begins.
    pub at: Moment,
    /// How long it lasts.
    pub lasts: Duration,
    /// What it is.
    pub fault: Fault,
}

/// What can go wrong. Members count from zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Messages are lost, doubled, late, each so many times in a thousand; and all are slower by up to `slow`.
    Weather {
        /// Lost.
        lost: u16,
        /// Doubled.
        doubled: u16,
        /// Late.
        late: u16,
        /// By up to so much.
        late_by: Duration,
        /// Further delay, drawn for each.
        slow: Duration,
    },
    /// Who hears nothing from whom: for each sender a bit for each receiver. Partitions, one-way cuts, bridges, chains.
    Cut([u16; HOSTS_MAX]),
    /// One direction of one link is slow.
    SlowLink {
        /// From.
        from: usize,
        /// To.
        to: usize,
        /// By so much.
        by: Duration,
    },
    /// A connection is dead and its sender has not noticed: what is under way on it is lost, and all that it sends
    /// until the end.
    HalfOpen {
        /// The sender.
        from: usize,
        /// The receiver, who is heard.
        to: usize,
    },
    /// Whoever leads when it begins is struck.
    Leader(Blow),
    /// The process dies, and starts again at the end.
    Kill(usize),
    /// The machine loses power, and starts again at the end.
    PowerLoss {
        /// Whose.
        member: usize,
        /// What of the unsynced survives.
        survival: Survival,
    },
    /// The machine loses power in one of its next calls to the disk.
    CrashInCall {
        /// Whose.
        member: usize,
        /// In which call from then on.
        call: u64,
        /// What of the unsynced survives.
        survival: Survival,
    },
    /// The machine loses power, and again while it recovers, in the `call`th call of that.
    CrashInRecovery {
        /// Whose.
        member: usize,
        /// In which call of the recovery.
        call: u64,
        /// What of the unsynced survives, both times.
        survival: Survival,
    },
    /// The process stands still, its clock does not.
    Pause(usize),
    /// The monotonic clock goes wrong by so many parts per million.
    Drift {
        /// Whose.
        member: usize,
        /// Faster, or slower.
        ppm: i64,
    },
    /// The wall clock jumps.
    Jump {
        /// Whose.
        member: usize,
        /// By so many milliseconds.
        millis: i64,
    },
    /// Syncs take longer.
    SlowDisk {
        /// Whose.
        member: usize,
        /// By so much.
        by: Duration,
    },
    /// One of the next calls to the disk fails with an I/O error.
    DiskError {
        /// Whose.
        member: usize,
        /// Which call from then on.
        call: u64,
    },
    /// The disk has only so much room left.
    DiskFull {
        /// Whose.
        member: usize,
        /// In bytes.
        spare: u64,
    },
    /// Something old on the disk decays; then the machine loses power.
    Decay {
        /// Whose.
        member: usize,
        /// How.
        rot: Rot,
    },
    /// An empty disk stands in the place of the old one.
    Wipe(usize),
    /// From now on a member sends to all others in this way.
    Direct {
        /// Which.
        member: usize,
        /// Who lets entries flow.
        direction: Direction,
    },
    /// The operator tells a member to lead, whether or not that is wise.
    Promote(usize),
    /// An operator asks the leader, or who takes itself for one, for other members.
    Change {
        /// For which.
        act: Act,
        /// Dice, for whom it is about and whom it is asked of.
        dice: u64,
    },
    /// An operator asks the leader, or who takes itself for one, to hand over.
    Transfer {
        /// To whom; none: whoever is fit.
        to: Option<usize>,
        /// Dice, for whom it is asked of.
        dice: u64,
    },
    /// Many clients come at once.
    Burst {
        /// So many operations.
        count: u64,
        /// To this member.
        member: usize,
    },
}

/// A change of members that an operator asks for. Who it is about is seen when it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// One that is no member comes, without a vote.
    Add,
    /// One that is no member comes, and is to vote once it has caught up.
    AddForVote,
    /// One that is no member comes, and is to take the place of another once it has caught up: of one that is lost, if
    /// there is such.
    AddInPlace,
    /// A learner is to vote.
    Promote,
    /// A voter is to be a learner.
    Demote,
    /// A member is to go: one that is lost, if there is such.
    Remove,
    /// The leader itself is to go.
    RemoveLeader,
    /// A learner is to vote in the place of another member, which goes.
    Replace,
    /// A member is to have another priority.
    Prefer,
    /// Entirely other members are to be there.
    Set,
}

impl Act {
    /// All there are.
    pub const ALL: [Self; 10] = [
        Self::Add,
        Self::AddForVote,
        Self::AddInPlace,
        Self::Promote,
        Self::Demote,
        Self::Remove,
        Self::RemoveLeader,
        Self::Replace,
        Self::Prefer,
        Self::Set,
    ];
}

/// What strikes a leader, until the end of the fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blow {
    /// Its process dies.
    Kill,
    /// It stands still.
    Pause,
    /// It hears nobody and nobody hears it.
    CutOff,
    /// It hears nobody.
    Deaf,
    /// Nobody hears it.
    Mute,
}

impl Fault {
    /// The class: what is on or off as a whole in a run.
    pub const fn class(&self) -> &'static str {
        match self {
            Self::Weather { .. } => "weather",
            Self::Cut(_) => "cut",
            Self::SlowLink { .. } => "slow link",
            Self::HalfOpen { .. } => "half-open link",
            Self::Leader(_) => "leader struck",
            Self::Kill(_) => "kill",
            Self::PowerLoss { .. } => "power loss",
            Self::CrashInCall { .. } => "crash in a call",
            Self::CrashInRecovery { .. } => "crash in recovery",
            Self::Pause(_) => "pause",
            Self::Drift { .. } => "drift",
            Self::Jump { .. } => "jump",
            Self::SlowDisk { .. } => "slow disk",
            Self::DiskError { .. } => "disk error",
            Self::DiskFull { .. } => "disk full",
            Self::Decay { .. } => "decay",
            Self::Wipe(_) => "wipe",
            Self::Direct { .. } => "direct",
            Self::Promote(_) => "promote",
            Self::Change { .. } => "change of members",
            Self::Transfer { .. } => "transfer",
            Self::Burst { .. } => "burst",
        }
    }
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} for {:?}: {:?}", self.at, self.lasts, self.fault)
    }
}

impl Plan {
    /// The plan of a seed.
    pub fn draw(seed: u64, options: &Options) -> Self {
        draw::plan(seed, options)
    }

    /// The same with only these faults, by their index.
    pub fn keeping(&self, kept: &[usize]) -> Self {
        let faults = kept
            .iter()
            .filter_map(|index| self.faults.get(*index).cloned());
        Self {
            faults: faults.collect(),
            ..self.clone()
        }
    }

    /// How many members have a vote: the first.
    pub(crate) const fn voters(&self) -> usize {
        self.members - self.learners
    }

    /// How many machines there are.
    pub(crate) const fn hosts(&self) -> usize {
        self.members + self.spares
    }

    /// What its members have in common.
    pub(crate) fn cluster(&self) -> Cluster {
        let voters = self.voters();
        let everybody: Vec<NodeId> = (1..=self.members as u64).map(NodeId).collect();
        let (members, learners) = everybody.split_at(voters);
        let core = self.core & ((1 << voters) - 1);
        Cluster {
            members: members.to_vec(),
            learners: learners.to_vec(),
            seed: self.seed,
            left: (core.count_ones() as usize).max(voters / 2 + 1),
            limits: self.limits,
            lease: self.lease,
        }
    }
}
