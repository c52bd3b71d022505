//! Raft's time and Raft's places: terms, and positions that know their term.

use core::fmt;

use quorate_core::{Epoch, NodeId, Position, SnapshotMeta};
use serde::{Deserialize, Serialize};

/// A term: at most one leader each. Zero is "before the first election".
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Term(pub u64);

impl Term {
    /// Before the first election.
    pub const ZERO: Self = Self(0);

    /// The last term there can be. A message that names a later one is corrupt: counting one election a
    /// nanosecond, it lies three hundred years ahead.
    pub const MAX: Self = Self(u64::MAX / 2);

    /// The term after this.
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The term as every protocol's callers know it.
    pub const fn epoch(self) -> Epoch {
        Epoch {
            round: self.0,
            node: NodeId::ZERO,
        }
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The last position there can be: far enough from overflow that adding a batch to it is harmless.
pub(crate) const POSITION_MAX: Position = Position(u64::MAX / 4);

/// A position and the term of the entry there: by log matching, two logs that agree in a point agree in
/// everything before it. Written `index@term`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Point {
    /// Where.
    pub position: Position,
    /// The term in which the entry there was proposed.
    pub term: Term,
}

impl Point {
    /// Before the first entry.
    pub const START: Self = Self {
        position: Position::ZERO,
        term: Term::ZERO,
    };

    /// Whether a log that ends here is at least as complete as one that ends at `other`: the later term wins,
    /// then the longer log (Raft 5.4.1).
    pub fn covers(self, other: Self) -> bool {
        (self.term, self.position) >= (other.term, other.position)
    }

    /// Whether a log may have such a point: within bounds, and the start alone is of term zero.
    pub(crate) fn is_sane(self) -> bool {
        self.position <= POSITION_MAX
            && self.term <= Term::MAX
            && (self.position == Position::ZERO) == (self.term == Term::ZERO)
    }
}

impl From<SnapshotMeta> for Point {
    /// The last entry that the snapshot includes.
    fn from(snapshot: SnapshotMeta) -> Self {
        Self {
            position: snapshot.position,
            term: Term(snapshot.epoch.round),
        }
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.position, self.term)
    }
}
