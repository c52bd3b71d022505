//! How a request fails.

use core::time::Duration;

use crate::{Epoch, NodeId, Position, Rejection, SessionError};

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
    /// The session did not take it. This attempt surely had no effect; an earlier one under the same number may have had.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// No leader said in time how old the state here is, which may be older than the read allows.
    #[error(
        "the state here may be older than the read allows, and no leader said otherwise in time"
    )]
    TooStale {
        /// How old at most, if it was ever known in this life of the member.
        behind: Option<Duration>,
    },
    /// What the read was to include was not applied here in time.
    #[error("position {after} was not applied here in time, the last one is {applied}")]
    NotApplied {
        /// The position asked for.
        after: Position,
        /// The last one that is applied.
        applied: Position,
    },
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
