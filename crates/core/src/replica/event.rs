//! What a [`Replica`](crate::Replica) is told, what it wants done, and what replicas say to each other.

use alloc::vec::Vec;
use core::fmt::{self, Debug};
use core::str::FromStr;
use core::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::image::Image;
use crate::{
    Batch, Carry, Configuration, Direction, Epoch, Instant, LinkEvent, Mark, Message, NodeId,
    Position, Rejection, ReplicatedLog, Report, SnapshotMeta, StateMachine, Ticket, Timestamp,
};

/// One reading of both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// The monotonic clock: timeouts.
    pub now: Instant,
    /// The wall clock: stamps for log time, if this member leads.
    pub wall: Timestamp,
}

/// How fresh a read has to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReadLevel {
    /// It sees every write that was acknowledged before it began, on any member.
    #[default]
    Linearizable,
    /// It sees what this member has applied: maybe old, never wrong, always there.
    Local,
}

impl ReadLevel {
    /// All of them, the freshest first.
    pub const ALL: [Self; 2] = [Self::Linearizable, Self::Local];

    /// As configs and command lines write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Linearizable => "linearizable",
            Self::Local => "local",
        }
    }
}

impl fmt::Display for ReadLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A text that names no [`ReadLevel`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a read is linearizable or local")]
pub struct UnknownReadLevel;

impl FromStr for ReadLevel {
    type Err = UnknownReadLevel;

    fn from_str(text: &str) -> Result<Self, UnknownReadLevel> {
        let level = Self::ALL.into_iter().find(|level| level.name() == text);
        level.ok_or(UnknownReadLevel)
    }
}

/// What happens to a replica.
#[derive(Debug)]
pub enum Event<M> {
    /// Time has passed.
    Tick,
    /// A parcel arrived.
    Receive {
        /// Who sent it.
        from: NodeId,
        /// What it holds.
        parcel: Parcel<M>,
    },
    /// Every write up to this one is on disk.
    Durable {
        /// The highest mark that is.
        upto: Mark,
    },
    /// The journal has room for entries again, or has not.
    Room {
        /// Whether entries may be written.
        available: bool,
    },
    /// Send bulk to `peer` in this way from now on.
    Direct {
        /// The receiver; none: every peer.
        peer: Option<NodeId>,
        /// Who lets entries flow to it.
        direction: Direction,
    },
    /// The snapshot of [`Effect::TakeSnapshot`] is durable and was read back.
    SnapshotStored {
        /// Its name.
        snapshot: SnapshotMeta,
    },
    /// The snapshot of [`Effect::TakeSnapshot`] could not be written (no room); the next one will be tried later.
    SnapshotFailed,
    /// The answer to [`Effect::ReadChunk`].
    ChunkRead {
        /// Who asked.
        to: NodeId,
        /// Of which snapshot.
        snapshot: SnapshotMeta,
        /// From which byte on.
        offset: u64,
        /// The bytes; none if that snapshot is not here (any more).
        data: Option<Bytes>,
    },
    /// So much of the snapshot being fetched is stored: the answer to [`Effect::Receive`] and
    /// [`Effect::WriteChunk`].
    Received {
        /// Which.
        snapshot: SnapshotMeta,
        /// Bytes from the start, without a gap.
        upto: u64,
    },
    /// The snapshot being fetched is complete, verified and durable.
    Fetched {
        /// Which.
        snapshot: SnapshotMeta,
    },
    /// The snapshot being fetched cannot be stored, or is not what its name says; what was stored of it is gone.
    FetchFailed {
        /// Which.
        snapshot: SnapshotMeta,
    },
}

/// What a replica wants done, in this order.
pub enum Effect<L: ReplicatedLog, S: StateMachine> {
    /// Write `record` to the journal behind all before it.
    Persist {
        /// The name of the write.
        mark: Mark,
        /// What to remember.
        record: L::Record,
    },
    /// Send `parcel`; it may be lost.
    Send {
        /// The receiver.
        to: NodeId,
        /// What to say.
        parcel: Parcel<L::Message>,
    },
    /// The journal may forget all records below this mark.
    Reclaim {
        /// The oldest mark still needed.
        below: Mark,
    },
    /// The members are these from now on: whom to have links to.
    Configured(Configuration),
    /// A link of this member changed: for people and counters, nothing is to be done.
    Link(LinkEvent),
    /// A command of a client here was applied.
    Reply {
        /// The client's request.
        ticket: Ticket,
        /// Where the command stands in the log.
        at: Position,
        /// What the state machine answered.
        reply: S::Reply,
    },
    /// A request of a client here failed.
    Fail {
        /// The client's request.
        ticket: Ticket,
        /// How.
        failure: Failure,
    },
    /// Run this read on [`Replica::machine`](crate::Replica::machine) before the next call into the replica.
    Read {
        /// The client's request.
        ticket: Ticket,
    },
    /// Write this state out as a snapshot, then say [`Event::SnapshotStored`].
    TakeSnapshot {
        /// The last position it includes.
        position: Position,
        /// The epoch of the entry there.
        epoch: Epoch,
        /// The stream.
        image: Image<S::Snapshot>,
    },
    /// Read this piece of a stored snapshot, then say [`Event::ChunkRead`].
    ReadChunk {
        /// For whom.
        to: NodeId,
        /// Of which snapshot.
        snapshot: SnapshotMeta,
        /// From which byte on.
        offset: u64,
        /// How many bytes at most.
        length: u32,
    },
    /// Make ready to store this snapshot, or find what is stored of it, then say [`Event::Received`]. Replaces a
    /// reception under way.
    Receive {
        /// Which.
        snapshot: SnapshotMeta,
    },
    /// Store this piece of the snapshot being received, then say [`Event::Received`], and [`Event::Fetched`] when
    /// it was the last.
    WriteChunk {
        /// Which.
        snapshot: SnapshotMeta,
        /// From which byte on.
        offset: u64,
        /// The bytes.
        data: Bytes,
    },
    /// Read this stored snapshot back as [`Restored`](crate::Restored), then call
    /// [`Replica::loaded`](crate::Replica::loaded).
    Load {
        /// Which.
        snapshot: SnapshotMeta,
    },
    /// Tell the operator; the answer to [`Replica::promote`](crate::Replica::promote) comes by it, too.
    Report(Report),
}

impl<L: ReplicatedLog, S: StateMachine> Debug for Effect<L, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Persist { mark, record } => write!(f, "Persist {mark} {record:?}"),
            Self::Send { to, parcel } => write!(f, "Send to {to}: {parcel:?}"),
            Self::Reclaim { below } => write!(f, "Reclaim below {below}"),
            Self::Link(event) => write!(f, "Link {event}"),
            Self::Reply { ticket, at, reply } => write!(f, "Reply {ticket} at {at}: {reply:?}"),
            Self::Fail { ticket, failure } => write!(f, "Fail {ticket}: {failure}"),
            Self::Read { ticket } => write!(f, "Read {ticket}"),
            Self::TakeSnapshot {
                position, epoch, ..
            } => {
                write!(f, "TakeSnapshot {position}@{epoch}")
            }
            Self::ReadChunk {
                to,
                snapshot,
                offset,
                length,
            } => {
                write!(
                    f,
                    "ReadChunk {}[{offset}..+{length}] for {to}",
                    snapshot.position
                )
            }
            Self::Receive { snapshot } => write!(f, "Receive {}", snapshot.position),
            Self::WriteChunk {
                snapshot,
                offset,
                data,
            } => {
                write!(
                    f,
                    "WriteChunk {}[{offset}..+{}]",
                    snapshot.position,
                    data.len()
                )
            }
            Self::Load { snapshot } => write!(f, "Load {}", snapshot.position),
            Self::Configured(configuration) => write!(f, "Configured {configuration}"),
            Self::Report(report) => write!(f, "{report:?}"),
        }
    }
}

/// How a request failed. All but [`Failure::Unknown`] say that it surely had no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// No leader took it in time.
    #[error("no leader took the request in time")]
    NotLeader {
        /// Who leads, as far as known.
        leader: Option<NodeId>,
        /// The highest epoch known.
        epoch: Epoch,
    },
    /// A budget is used up.
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
    /// It may or may not have been carried out, now or later.
    #[error("it is not known whether the request was or will be carried out")]
    Unknown,
    /// The member has stopped before it took the request.
    #[error("the member has stopped")]
    Stopped,
}

impl From<Rejection> for Failure {
    fn from(rejection: Rejection) -> Self {
        match rejection {
            Rejection::NotLeader { leader, epoch } => Self::NotLeader { leader, epoch },
            Rejection::Overloaded { retry_after } => Self::Overloaded { retry_after },
            Rejection::NoRoom => Self::NoRoom,
            Rejection::TooLarge { bytes, limit } => Self::TooLarge { bytes, limit },
            // No log answers a write or a read so; a peer that does has not taken it.
            Rejection::Unsupported | Rejection::Unfit(_) | Rejection::Change(_) => {
                Self::NotLeader {
                    leader: None,
                    epoch: Epoch::default(),
                }
            }
        }
    }
}

/// What replicas say to each other: the log's own messages and, beside them, what any log needs around it.
///
/// Numbers of attempts and rounds begin at the sender's [`Life`](crate::Life), so that an answer to a former life
/// never matches.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Parcel<M> {
    /// A message of the log.
    Log(M),
    /// Commands of the sender's clients, for the leader to propose.
    Forward {
        /// The epoch in which the sender believes that the receiver leads.
        epoch: Epoch,
        /// Rises with every forward of this sender: the receiver takes none twice, nor an older one after a newer.
        attempt: u64,
        /// The commands.
        batch: Batch,
    },
    /// The commands of a forward were refused: this attempt had and will have no effect.
    Refused {
        /// Which.
        attempt: u64,
        /// Why.
        why: Rejection,
    },
    /// From which position on is a read linearizable that begins now?
    ReadAt {
        /// Echoed in the answer.
        round: u64,
    },
    /// The answer to [`Parcel::ReadAt`].
    ReadFrom {
        /// The question.
        round: u64,
        /// The position, or why not.
        answer: Result<Position, Rejection>,
    },
    /// Send this piece of a snapshot.
    ChunkRequest {
        /// Which.
        snapshot: SnapshotMeta,
        /// From which byte on.
        offset: u64,
        /// How many bytes at most.
        length: u32,
    },
    /// A piece of a snapshot.
    Chunk {
        /// Which.
        snapshot: SnapshotMeta,
        /// From which byte on.
        offset: u64,
        /// The bytes as the one command of a batch; none: the sender does not have that snapshot.
        data: Option<Batch>,
    },
}

impl<M: Message> Parcel<M> {
    /// Whether it carries entries or state, and so must never stand before votes and heartbeats in a queue.
    pub fn is_bulk(&self) -> bool {
        match self {
            Self::Log(message) => message.is_bulk(),
            Self::Forward { .. } | Self::Chunk { .. } => true,
            Self::Refused { .. }
            | Self::ReadAt { .. }
            | Self::ReadFrom { .. }
            | Self::ChunkRequest { .. } => false,
        }
    }
}

impl<M: Carry> Carry for Parcel<M> {
    fn batches(&self, visit: &mut dyn FnMut(&Batch)) {
        match self {
            Self::Log(message) => message.batches(visit),
            Self::Forward { batch, .. }
            | Self::Chunk {
                data: Some(batch), ..
            } => visit(batch),
            _ => {}
        }
    }

    fn batches_mut(&mut self, visit: &mut dyn FnMut(&mut Batch)) {
        match self {
            Self::Log(message) => message.batches_mut(visit),
            Self::Forward { batch, .. }
            | Self::Chunk {
                data: Some(batch), ..
            } => visit(batch),
            _ => {}
        }
    }
}

/// Where a replica puts its effects; the driver empties it.
pub type Effects<L, S> = Vec<Effect<L, S>>;
