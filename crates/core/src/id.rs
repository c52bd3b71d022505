//! Names of members, positions, requests and writes: plain numbers that cannot be mixed up.

use core::fmt;

use serde::{Deserialize, Serialize};

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl $name {
            /// The zero of this kind: before the first.
            pub const ZERO: Self = Self(0);

            /// The number itself.
            pub const fn get(self) -> u64 {
                self.0
            }

            /// The one after this.
            pub const fn next(self) -> Self {
                Self(self.0 + 1)
            }

            /// The one before this; zero stays zero.
            pub const fn prev(self) -> Self {
                Self(self.0.saturating_sub(1))
            }

            /// This plus `n`.
            pub const fn plus(self, n: u64) -> Self {
                Self(self.0 + n)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl From<u64> for $name {
            fn from(number: u64) -> Self {
                Self(number)
            }
        }
    };
}

number! {
    /// A member of the cluster. Given by the operator, unique in the cluster, never reused for another disk.
    NodeId
}
number! {
    /// The cluster itself: a member talks only to members of its own.
    ClusterId
}
number! {
    /// The identity of a member's disk, drawn at random when its directory is made. A wiped disk is a new
    /// incarnation: what the old one promised does not bind it, so it must not be taken for the old one
    /// (`RELIABILITY` C6, C7).
    Incarnation
}
number! {
    /// One run of a member's process. Rises with every start of the same member, also after a wiped disk,
    /// so that what a former run still has on the network is told apart.
    Life
}
number! {
    /// A place in the replicated log: Raft's index, Multi-Paxos's slot. The first is 1; zero is "before all".
    Position
}
number! {
    /// A write to the journal. Marks rise by one; [`Input::Durable`](crate::Input::Durable) names the
    /// highest that is on disk.
    Mark
}
number! {
    /// The caller's own name for a request, echoed in its answer.
    Ticket
}
number! {
    /// A client's session: the position of the command that opened it.
    SessionId
}

/// A leadership, totally ordered: Raft's term and Multi-Paxos's ballot embed into it in order.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Epoch {
    /// Raft's term; the round of a ballot.
    pub round: u64,
    /// The node of a ballot; zero where the round alone names it.
    pub node: NodeId,
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.node == NodeId::ZERO {
            write!(f, "{}", self.round)
        } else {
            write!(f, "{}.{}", self.round, self.node)
        }
    }
}
