//! What clients ask of a member, on its way from their handle to the core.

use std::time::Duration;

use bytes::Bytes;
use quorate_core::{
    Change, Direction, Failure, Instant, LinkStatus, NodeId, PeerStatus, Position, ReadCall,
    ReadStamp, SessionCall, SessionId, SnapshotMeta, StateMachine,
};
use tokio::sync::oneshot;

use crate::orders::{Outcome, Promoted, Transferred};

/// A command that was applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Applied<R> {
    /// Where it stands in the log. Good as [`ReadCall::after`] of a read through any member, which then sees it.
    pub position: Position,
    /// What the state machine answered.
    pub reply: R,
}

/// The state of a member, reduced to a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest {
    /// The last position applied.
    pub applied: Position,
    /// Equal at equal positions on every member.
    pub digest: u64,
}

/// Another member, as its leader sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerProgress {
    /// Who.
    pub id: NodeId,
    /// Up to where it has the leader's log on its disk.
    pub matched: Position,
    /// How long ago it was last heard.
    pub silent_for: Duration,
}

impl PeerProgress {
    pub(crate) fn of(peer: &PeerStatus, now: Instant) -> Self {
        let PeerStatus { id, matched, heard } = *peer;
        Self {
            id,
            matched,
            silent_for: now.since(heard),
        }
    }
}

/// A read to be run on the state, or to be told why it cannot be.
pub(crate) type Query<S> = Box<dyn FnOnce(Result<(&S, ReadStamp), Failure>) + Send>;

/// A look at the state as it is, and at the last position applied.
pub(crate) type Look<S> = Box<dyn FnOnce(&S, Position) + Send>;

/// Where the fate of a command is awaited.
pub(crate) type WriteAnswer<S> =
    oneshot::Sender<Result<Applied<<S as StateMachine>::Reply>, Failure>>;

/// Where the name of a session is awaited.
pub(crate) type OpenAnswer = oneshot::Sender<Result<SessionId, Failure>>;

/// Where the end of a session is awaited.
pub(crate) type CloseAnswer = oneshot::Sender<Result<(), Failure>>;

/// A client's request.
pub(crate) enum Request<S: StateMachine> {
    Write {
        /// Where it stands in a session, if in one.
        call: Option<SessionCall>,
        command: Bytes,
        answer: WriteAnswer<S>,
    },
    Open {
        ttl: Duration,
        answer: OpenAnswer,
    },
    Close {
        session: SessionId,
        answer: CloseAnswer,
    },
    Read {
        call: ReadCall,
        query: Query<S>,
    },
    Look {
        look: Look<S>,
    },
    Digest {
        answer: oneshot::Sender<Digest>,
    },
    Direct {
        peer: Option<NodeId>,
        direction: Direction,
    },
    Flows {
        answer: oneshot::Sender<Vec<LinkStatus>>,
    },
    Peers {
        answer: oneshot::Sender<Vec<PeerProgress>>,
    },
    Order(Order),
}

/// What an operator wants.
pub(crate) enum Order {
    Promote {
        round: Option<u64>,
        force: bool,
        outcome: Outcome<Promoted>,
    },
    Reconfigure {
        change: Change,
        outcome: Outcome<Position>,
    },
    Transfer {
        to: Option<NodeId>,
        outcome: Outcome<Transferred>,
    },
    Snapshot {
        outcome: Outcome<SnapshotMeta>,
    },
}

impl<S: StateMachine> Request<S> {
    /// What a request counts beside its command, in bytes.
    const OVERHEAD: usize = 128;

    /// Bytes that it holds while it waits.
    pub(crate) fn weight(&self) -> usize {
        Self::OVERHEAD
            + match self {
                Self::Write { command, .. } => command.len(),
                Self::Read { query, .. } => size_of_val(&**query),
                Self::Look { look } => size_of_val(&**look),
                Self::Open { .. }
                | Self::Close { .. }
                | Self::Digest { .. }
                | Self::Direct { .. }
                | Self::Flows { .. }
                | Self::Peers { .. }
                | Self::Order(_) => 0,
            }
    }

    /// Ends it before the replica has seen it.
    pub(crate) fn refuse(self, failure: Failure) {
        match self {
            Self::Write { answer, .. } => fail(answer, failure),
            Self::Open { answer, .. } => fail(answer, failure),
            Self::Close { answer, .. } => fail(answer, failure),
            Self::Read { query, .. } => query(Err(failure)),
            // Who waits learns it from the dropped sender.
            Self::Look { .. }
            | Self::Digest { .. }
            | Self::Direct { .. }
            | Self::Flows { .. }
            | Self::Peers { .. }
            | Self::Order(_) => {}
        }
    }
}

/// A request that the replica has taken.
pub(crate) enum Waiter<S: StateMachine> {
    Write(WriteAnswer<S>),
    Open(OpenAnswer),
    Close(CloseAnswer),
    Read(Query<S>),
}

impl<S: StateMachine> Waiter<S> {
    pub(crate) fn fail(self, failure: Failure) {
        match self {
            Self::Write(answer) => fail(answer, failure),
            Self::Open(answer) => fail(answer, failure),
            Self::Close(answer) => fail(answer, failure),
            Self::Read(query) => query(Err(failure)),
        }
    }
}

fn fail<T>(answer: oneshot::Sender<Result<T, Failure>>, failure: Failure) {
    tell(answer, Err(failure));
}

/// Answers a client; one that no longer waits does not want to know.
pub(crate) fn tell<T>(answer: oneshot::Sender<T>, what: T) {
    let _ = answer.send(what);
}
