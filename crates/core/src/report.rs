//! What a log answers an operator, and what it has to confess.

use serde::{Deserialize, Serialize};

use crate::{Epoch, NodeId, Position, Rejection, Ticket};

/// Something that an operator ought to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// The answer to [`Input::Promote`](crate::Input::Promote): this member leads.
    Promoted {
        /// The request.
        ticket: Ticket,
        /// In which epoch.
        epoch: Epoch,
        /// How many entries the former leader is known to have had that this member has not; none: it is not known,
        /// because the former leader was not heard since this member started.
        missing: Option<u64>,
    },
    /// The answer to [`Input::Reconfigure`](crate::Input::Reconfigure): the new configuration is in force, chosen, and
    /// not joint.
    Reconfigured {
        /// The request.
        ticket: Ticket,
        /// Where it stands in the log.
        at: Position,
    },
    /// The answer to [`Input::Transfer`](crate::Input::Transfer): another member has taken over.
    Transferred {
        /// The request.
        ticket: Ticket,
        /// Who leads now.
        to: NodeId,
        /// In which epoch.
        epoch: Epoch,
    },
    /// The answer to any order of an operator: it was refused, or given up, and has no effect.
    Declined {
        /// The request.
        ticket: Ticket,
        /// Why.
        why: Rejection,
    },
    /// The leader went before it was known whether the configuration changes.
    Undecided {
        /// The request.
        ticket: Ticket,
    },
    /// This member had carried out entries that the leader of this epoch does not have: they are lost, and the
    /// member's state, which still shows them, is going to be replaced by a snapshot of the leader's.
    Lost {
        /// In whose log they are missing.
        epoch: Epoch,
        /// The first of them; none: it is compacted, so that their number is not known.
        first: Option<Position>,
        /// The last of them.
        last: Position,
    },
    /// This member has given up entries that the leader of this epoch does not have. In this run it had not carried them
    /// out; whether anybody ever had, and a client was told so, it cannot say.
    Cut {
        /// Whose log is followed.
        epoch: Epoch,
        /// The first of them.
        first: Position,
        /// The last of them.
        last: Position,
    },
}

impl Report {
    /// How many entries were lost, for sure, if that is what is reported and known.
    pub fn lost(&self) -> Option<u64> {
        match self {
            Self::Lost { first, last, .. } => first.map(|first| last.get() + 1 - first.get()),
            Self::Promoted { .. }
            | Self::Reconfigured { .. }
            | Self::Transferred { .. }
            | Self::Declined { .. }
            | Self::Undecided { .. }
            | Self::Cut { .. } => None,
        }
    }
}

/// Why a member is not to be promoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Unfit {
    /// It leads already, or is on its way to.
    #[error("it leads already or is about to")]
    Busy,
    /// The round does not lie above every epoch that it knows of.
    #[error("the round is not above the known epoch {known}")]
    Stale {
        /// The highest of them.
        known: Epoch,
    },
    /// Another member has more.
    #[error("member {member} has more: up to {last} in epoch {epoch}")]
    Behind {
        /// Who.
        member: NodeId,
        /// Its last position.
        last: Position,
        /// The epoch of the entry there.
        epoch: Epoch,
    },
    /// Too few members answered to say that none has more.
    #[error("too few members answered")]
    NoQuorum,
    /// Its state holds entries that are lost, and was not replaced yet.
    #[error("its state has to be replaced first")]
    Diverged,
    /// It has no vote.
    #[error("member {0} has no vote")]
    NoVote(NodeId),
    /// It did not take over in time.
    #[error("member {0} did not take over in time")]
    Silent(NodeId),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_is_counted_where_its_beginning_is_known() {
        let lost = |first| Report::Lost {
            epoch: Epoch::default(),
            first,
            last: Position(9),
        };
        assert_eq!(lost(Some(Position(7))).lost(), Some(3));
        assert_eq!(lost(None).lost(), None);
    }
}
