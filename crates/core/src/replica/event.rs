//! What a [`Replica`](crate::Replica) is told, and what it wants done.

use alloc::vec::Vec;
use core::fmt::{self, Debug};

use bytes::Bytes;

use super::image::Image;
use super::{Failure, HandOverAnswer, HandOverReason, Parcel, ReadStamp};
use crate::{
    Configuration, Direction, Epoch, Instant, LinkEvent, Mark, NodeId, Position, Rejection,
    ReplicatedLog, Report, SessionId, SnapshotMeta, StateMachine, Ticket, Timestamp,
};

/// One reading of both clocks.
///
/// It is to be taken *after* what it is handed in with has come: a member that is stopped between the two could otherwise
/// believe that a leader's word, or a question, was older than it is. Leases rest on that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// The monotonic clock: timeouts.
    pub now: Instant,
    /// The wall clock: stamps for log time, if this member leads.
    pub wall: Timestamp,
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
    /// The snapshot of [`Effect::TakeSnapshot`] could not be written (no room); another is tried later.
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
    /// A command of a client here was applied: now or, in a session, before.
    Reply {
        /// The client's request.
        ticket: Ticket,
        /// Where the command was applied.
        at: Position,
        /// What the state machine answered.
        reply: S::Reply,
    },
    /// A session was opened for a client here.
    Opened {
        /// The client's request.
        ticket: Ticket,
        /// The session.
        session: SessionId,
    },
    /// The session of a client here has ended, as asked.
    Closed {
        /// The client's request.
        ticket: Ticket,
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
        /// What the answer stands for.
        stamp: ReadStamp,
    },
    /// Write this state out as a snapshot, then say [`Event::SnapshotStored`].
    TakeSnapshot {
        /// The last position it includes.
        position: Position,
        /// The epoch of the entry there.
        epoch: Epoch,
        /// The stream.
        image: Image<S::Snapshot>,
        /// Older snapshots that other members fetch: they stay beside this one and the one before it.
        held: Vec<SnapshotMeta>,
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
    /// What this leader does for a learner that wishes for a vote: for people and counters, nothing is to be done.
    Wish {
        /// Which learner.
        member: NodeId,
        /// How far its wish is.
        answer: WishAnswer,
    },
    /// This leader gives way by itself: for people and counters, nothing is to be done.
    HandOver {
        /// To whom; when it is done, who leads.
        to: NodeId,
        /// Why.
        why: HandOverReason,
        /// How far it is.
        answer: HandOverAnswer,
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
            Self::Opened { ticket, session } => write!(f, "Opened {ticket}: {session}"),
            Self::Closed { ticket } => write!(f, "Closed {ticket}"),
            Self::Fail { ticket, failure } => write!(f, "Fail {ticket}: {failure}"),
            Self::Read { ticket, stamp } => write!(f, "Read {ticket}: {stamp}"),
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
            Self::Wish { member, answer } => write!(f, "Wish of {member}: {answer:?}"),
            Self::HandOver { to, why, answer } => {
                write!(f, "Hand-over to {to}, {why}: {answer:?}")
            }
            Self::Report(report) => write!(f, "{report:?}"),
        }
    }
}

/// How far a learner's wish is ([`Wish`](crate::Wish)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WishAnswer {
    /// It has caught up, and the change is ordered.
    Ordered,
    /// The change is chosen, at this position.
    Granted(Position),
    /// The log has refused the change; it is ordered again later.
    Refused(Rejection),
}

/// Where a replica puts its effects; the driver empties it.
pub type Effects<L, S> = Vec<Effect<L, S>>;
