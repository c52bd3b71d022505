//! The contract of a replicated log: one door in, one door out.

mod outbox;

use alloc::vec::Vec;
use core::fmt::{self, Debug};
use core::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{
    Batch, Carry, Change, ChangeError, Configuration, Direction, Epoch, Instant, LinkEvent,
    LinkStatus, Mark, NodeId, Position, Report, SnapshotMeta, Ticket, Unfit,
};

pub use self::outbox::Outbox;

/// One member's share of a replicated log, as a deterministic state machine.
///
/// ```text
///   clock ──┐                                             ┌──► journal ──┐
///   peers ──┤                                             ├──► peers      │
/// clients ──┼──► Input ──► ReplicatedLog::step ──► Output ┼──► state machine ──► clients
/// journal ──┘               (pure, &mut self)             └──► (next deadline)
///    ▲                                                           │
///    └──────────────────  Durable(mark) · Tick  ◄────────────────┘
/// ```
/// A driver hands in what happened and carries out what comes back, in order. The log never calls back, never
/// waits, and cannot fail: what it is given after [`restore`](Self::restore) it can always take.
///
/// # The laws
/// Every implementation keeps them, and every driver may rely on them.
///
/// 1. **Determinism.** The same state, `now` and input give the same state and outputs. Time and seed are
///    arguments.
/// 2. **Every [`Output::Send`] may go at once.** What must wait for the disk is withheld by the log itself
///    ([`Gate`](crate::Gate)), so no driver can get it wrong.
/// 3. **One disk cursor.** The marks of [`Output::Persist`] rise by one; [`Input::Durable`] is monotone and
///    cumulative. Durability is named by the write, never by (index, term): a late completion can then never
///    confirm a newer entry.
/// 4. **Crash law.** `restore` from any prefix of the records that reaches the last acknowledged mark
///    honours every vote, promise and acknowledgement ever sent.
/// 5. **A term or ballot is written before it is spoken**, the candidate's own too; data is spoken while it is
///    being written. A leader counts itself only when its own disk has answered; faster followers may commit
///    before it.
/// 6. **Commit is gap-free, in order, never retracted.** The first [`Output::Commit`] after `restore` follows
///    the snapshot that was restored from, or the beginning.
/// 7. **Everything is bounded**, in bytes as well as in number, by the config; beyond it
///    [`Rejection::Overloaded`].
/// 8. **Adapters do to a message only what a network may do**: delay, drop, duplicate, reorder, carry by
///    another road. Safety is then already proved, and only liveness is left to argue.
pub trait ReplicatedLog: Sized {
    /// Who the members are, the timeouts, the limits, the seed.
    type Config;
    /// What members say to each other.
    type Message: Message;
    /// What this protocol asks its journal to remember.
    type Record: Record;
    /// Whether the members choose who leads, so that a leader may give way by itself. If not, an operator does, and
    /// leadership never moves without that word.
    const ELECTS: bool;

    /// The member as its journal remembers it: at the first start, with an empty memory, and after every crash.
    ///
    /// Nothing is sent here; the first [`Input::Tick`] may.
    ///
    /// # Errors
    /// [`RestoreError`] if the records cannot have been written by this protocol under this config: starting
    /// would break a promise.
    fn restore(
        config: Self::Config,
        now: Instant,
        memory: Memory<'_, Self::Record>,
    ) -> Result<Self, RestoreError>;

    /// Takes one input and appends what follows from it to `out`.
    ///
    /// `now` never goes back. Several inputs may share one `now`.
    fn step(&mut self, now: Instant, input: Input<Self::Message>, out: &mut Outbox<Self>);

    /// When to call [`step`](Self::step) with [`Input::Tick`] at the latest; earlier is harmless.
    fn deadline(&self) -> Option<Instant>;

    /// What the member knows of itself and its leader. Cheap: read after every step.
    fn status(&self) -> Status;

    /// Who the members are: the configuration in force, which is the last one in the log for Raft, chosen or not, and the
    /// last one chosen for Multi-Paxos. Another one only if [`Status::configured`] is another, or was not
    /// [`Status::committed`] yet: one that is not chosen may give way to another in its place.
    fn configuration(&self) -> &Configuration;

    /// Where the other members are, as their leader sees them; empty: this member does not lead.
    fn peers(&self) -> Vec<PeerStatus> {
        Vec::new()
    }

    /// From which position on a read is linearizable that begins now, without asking anybody; none: this member leads
    /// nothing, or holds no lease at `now`. A log without leases never does.
    ///
    /// A lease rests on clocks that run at nearly the same rate (`RELIABILITY` T2), by a bound in the config.
    fn lease(&self, now: Instant) -> Option<Position> {
        let _ = now;
        None
    }

    /// What is known to be chosen from `at` on and still in memory: one run that begins there, cut to about `bytes_max`
    /// bytes of [`Batch::weight`], at least one command. None: not known to be chosen, or forgotten. Shares the body.
    ///
    /// What is chosen is the same for ever on every member, so this may be handed to anyone. A log without this answer
    /// feeds no learners.
    fn chosen(&self, at: Position, bytes_max: u64) -> Option<Committed> {
        let _ = (at, bytes_max);
        None
    }

    /// What is held from `at` on, chosen or not, cut likewise; with the epoch in which it was proposed. None: nothing, or
    /// forgotten. Shares the body.
    ///
    /// It may be replaced at any time, and says nothing about what is chosen: good only for lending bodies to those who
    /// know what they look for. A log without this answer lends none.
    fn held(&self, at: Position, bytes_max: u64) -> Option<(Epoch, Batch)> {
        let _ = (at, bytes_max);
        None
    }

    /// Whether everything that this member has committed is known to be in the log of the leader that
    /// [`status`](Self::status) names. With consensus always. Where it is not known, a linearizable read waits: the state
    /// may hold what is lost.
    fn is_sound(&self) -> bool {
        true
    }

    /// How this member sends to each peer, where something other than the log's own window decides that.
    fn links(&self) -> Vec<LinkStatus> {
        Vec::new()
    }
}

/// A message between members.
pub trait Message: Carry + Serialize + DeserializeOwned + Clone + Debug + Send + 'static {
    /// Whether it carries entries or state, and so must never stand before votes and heartbeats in a queue.
    fn is_bulk(&self) -> bool;

    /// The position of the first command that it carries, if the batches that [`Carry::batches`] visits stand one behind
    /// the other from there. None: it carries none, or not so; then its bodies always travel with it.
    fn first(&self) -> Option<Position> {
        None
    }
}

/// A record in the journal.
pub trait Record: Carry + Serialize + DeserializeOwned + Clone + Debug + Send + 'static {}

/// What a member finds when it starts.
pub struct Memory<'a, R> {
    /// The records of the journal in the order of their marks, as they were persisted. The oldest may be missing
    /// where the log said so by [`Output::Reclaim`].
    pub records: &'a mut dyn Iterator<Item = (Mark, R)>,
    /// The highest mark in the journal (zero: nothing written yet); the next write gets the one after it.
    pub durable: Mark,
    /// The snapshot that the state machine was restored from.
    pub snapshot: Option<SnapshotMeta>,
    /// The last configuration that this snapshot includes, and where it stands in the log; none: no command of the log
    /// has changed it up to there.
    pub configuration: Option<(Position, Configuration)>,
}

impl<R> Debug for Memory<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory")
            .field("durable", &self.durable)
            .field("snapshot", &self.snapshot)
            .finish_non_exhaustive()
    }
}

/// Why a member cannot start from what its journal holds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// The log begins behind a snapshot that is not there (`RELIABILITY` C8).
    #[error(
        "the log begins after position {compacted}, but the newest snapshot ends at {snapshot}"
    )]
    MissingSnapshot {
        /// The last position that was compacted away.
        compacted: Position,
        /// Where the newest usable snapshot ends; zero: there is none.
        snapshot: Position,
    },
    /// A record contradicts those before it.
    #[error("record {mark} contradicts those before it: {why}")]
    Contradiction {
        /// The write that does not fit.
        mark: Mark,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The config cannot be meant.
    #[error("impossible config: {0}")]
    Config(&'static str),
}

/// What happens to a member.
#[derive(Clone, Debug)]
pub enum Input<M> {
    /// Time has passed.
    Tick,
    /// A message arrived. It may be late, repeated, out of order, or from a former life of its sender.
    Receive {
        /// Who sent it.
        from: NodeId,
        /// What it says.
        message: M,
    },
    /// Append these commands. Refused by [`Output::Reject`] under `ticket` in the same step, or taken: then answered
    /// in time by [`Output::Commit`], or, if leadership is lost meanwhile, maybe by nothing at all.
    Propose {
        /// The caller's name for the request.
        ticket: Ticket,
        /// The commands.
        batch: Batch,
    },
    /// From which position on is a read linearizable that begins now? Answered by [`Output::ReadReady`] or
    /// [`Output::Reject`]; by nothing if leadership is lost meanwhile.
    Read {
        /// The caller's name for the request.
        ticket: Ticket,
    },
    /// Every write up to this one is on disk.
    Durable {
        /// The highest mark that is.
        upto: Mark,
    },
    /// The journal has room for entries again, or has not: while it has not, the member neither proposes nor
    /// accepts entries nor stands for election, and a leader steps down; votes still fit (`RELIABILITY` E3).
    /// A leader that was appointed stays: nobody would take its place.
    Room {
        /// Whether entries may be written.
        available: bool,
    },
    /// What may be sent to `peer` beyond control messages from now on (DESIGN: credit). Without it: what the
    /// config's window allows.
    Credit {
        /// The receiver.
        peer: NodeId,
        /// How much.
        credit: Credit,
    },
    /// Send bulk to `peer` in this way from now on. A log that knows only its own window takes no notice.
    Direct {
        /// The receiver; none: every peer.
        peer: Option<NodeId>,
        /// Who lets entries flow to it.
        direction: Direction,
    },
    /// A snapshot is durable here, read back, and covers at least `upto`: entries up to there may go. A log that would
    /// stay more than half full lets all go that the snapshot covers.
    Compact {
        /// The last position to forget; the log may keep more.
        upto: Position,
        /// The newest snapshot, which the log may offer to members that need what it forgot.
        snapshot: SnapshotMeta,
    },
    /// The snapshot that [`Output::Fetch`] asked for is here, complete and durable.
    Fetched {
        /// Which.
        snapshot: SnapshotMeta,
    },
    /// An operator wants this member to lead: for logs whose leader is appointed. Answered in time by one
    /// [`Report::Promoted`] or [`Output::Reject`]; a log that elects its leader rejects it as
    /// [`Rejection::Unsupported`].
    Promote {
        /// The caller's name for the request.
        ticket: Ticket,
        /// The number of the appointment, above all before it; none: the next that is known to be free.
        round: Option<u64>,
        /// Whatever this member may be missing, and without asking the others.
        force: bool,
    },
    /// Change who the members are. Refused by [`Output::Reject`] under `ticket` in the same step, or taken: then answered
    /// in time by [`Report::Reconfigured`], or, if leadership is lost meanwhile, maybe by nothing at all.
    ///
    /// One change at a time, and none before the leader has committed something of its own epoch.
    Reconfigure {
        /// The caller's name for the request.
        ticket: Ticket,
        /// What is to be different.
        change: Change,
    },
    /// This member leads: `to` is to lead instead. Answered in time by one [`Report::Transferred`] or [`Output::Reject`];
    /// meanwhile proposals are refused as by a member that does not lead. Given up after an election timeout.
    Transfer {
        /// The caller's name for the request.
        ticket: Ticket,
        /// Who; none: the voter that is fittest, by priority first.
        to: Option<NodeId>,
    },
}

/// How much bulk a log may send to one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credit {
    /// The config's window decides.
    Open,
    /// So many bytes more of command bodies than were granted before; from [`Credit::Open`], so many in all.
    More(u64),
    /// So many bytes of command bodies from now on, whatever was granted before.
    Only(u64),
}

/// What a member wants done, in this order.
#[derive(Clone, Debug)]
pub enum Output<M, R> {
    /// Write `record` to the journal behind all before it; say [`Input::Durable`] when it is there.
    Persist {
        /// The name of the write: one more than that of the write before.
        mark: Mark,
        /// What to remember.
        record: R,
    },
    /// Send `message`; it may be lost.
    Send {
        /// The receiver.
        to: NodeId,
        /// What to say.
        message: M,
    },
    /// The commands from `first` on are chosen for ever.
    Commit(Committed),
    /// A read that began when `ticket` was handed in is linearizable on any state that includes `at`.
    ReadReady {
        /// The request.
        ticket: Ticket,
        /// The position that has to be applied first.
        at: Position,
    },
    /// The request was refused and had no effect, nor will it have one.
    Reject {
        /// The request.
        ticket: Ticket,
        /// Why.
        why: Rejection,
    },
    /// Fetch this snapshot from `from` (or from anyone who has it), then say [`Input::Fetched`]. A later `Fetch`
    /// replaces an earlier one; one of the same snapshot continues it from `from`. A fetch may be given up
    /// without a word: a log that still needs the snapshot says `Fetch` again, at every offer.
    Fetch {
        /// Who offered it.
        from: NodeId,
        /// Which.
        snapshot: SnapshotMeta,
    },
    /// Replace the state by this fetched snapshot; commits go on behind it.
    Install {
        /// Which.
        snapshot: SnapshotMeta,
    },
    /// `restore` needs no record below this mark any more.
    Reclaim {
        /// The oldest mark still needed.
        below: Mark,
    },
    /// A link of this member changed: for people and counters, nothing is to be done.
    Link(LinkEvent),
    /// Take a snapshot as soon as the state includes `from`, unless there is such a one, then say
    /// [`Input::Compact`]: another member needs it. May be said again; a higher position replaces a lower one.
    Snapshot {
        /// The least position that it has to include.
        from: Position,
    },
    /// Tell the operator.
    Report(Report),
}

/// A run of chosen commands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The position of the first command.
    pub first: Position,
    /// The epoch in which they were proposed.
    pub epoch: Epoch,
    /// The commands.
    pub batch: Batch,
}

impl Committed {
    /// The position of the last command.
    pub fn last(&self) -> Position {
        self.first.plus(self.batch.len()).prev()
    }
}

/// Why a request was surely not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, serde::Deserialize, thiserror::Error)]
pub enum Rejection {
    /// Another member leads, or none does.
    #[error("not the leader")]
    NotLeader {
        /// Who leads, as far as known.
        leader: Option<NodeId>,
        /// In which epoch.
        epoch: Epoch,
    },
    /// A budget of the config is used up.
    #[error("overloaded, try again in {retry_after:?}")]
    Overloaded {
        /// When there may be room again.
        retry_after: Duration,
    },
    /// The disk has no room for entries.
    #[error("no room on disk")]
    NoRoom,
    /// The request exceeds what one request may be.
    #[error("request of {bytes} bytes over the limit of {limit}")]
    TooLarge {
        /// How large it is.
        bytes: u64,
        /// How large it may be.
        limit: u64,
    },
    /// This log does no such thing.
    #[error("this log cannot do that")]
    Unsupported,
    /// That member is not to lead.
    #[error("not to lead: {0}")]
    Unfit(#[from] Unfit),
    /// The members cannot be changed so.
    #[error("members not changed: {0}")]
    Change(#[from] ChangeError),
}

/// The part a member plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, serde::Deserialize)]
pub enum RoleKind {
    /// Proposes.
    Leader,
    /// Seeks to lead.
    Candidate,
    /// Follows.
    Follower,
    /// Follows and has no vote.
    Learner,
}

impl fmt::Display for RoleKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Leader => "leader",
            Self::Candidate => "candidate",
            Self::Follower => "follower",
            Self::Learner => "learner",
        })
    }
}

/// What a member knows of itself. Positions obey
/// `compacted <= committed <= last` and `durable <= last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Its part.
    pub role: RoleKind,
    /// The highest epoch it knows of. Never goes back, also over restarts.
    pub epoch: Epoch,
    /// Who leads in that epoch, if known.
    pub leader: Option<NodeId>,
    /// The last position it has.
    pub last: Position,
    /// The last position of its own that is on its own disk.
    pub durable: Position,
    /// The last position it knows to be chosen.
    pub committed: Position,
    /// The last position it has forgotten.
    pub compacted: Position,
    /// Bytes of entries held in memory.
    pub bytes: u64,
    /// The position of the configuration in force; zero: the config's own.
    pub configured: Position,
}

/// Another member, as its leader sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    /// Who.
    pub id: NodeId,
    /// Up to where it has the leader's log on its disk.
    pub matched: Position,
    /// When it was last heard in this epoch.
    pub heard: Instant,
}
