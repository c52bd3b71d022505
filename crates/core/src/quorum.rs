//! Quorum arithmetic, in one place.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::NodeId;

/// Which sets of members may decide: a value, so that nobody writes `n / 2 + 1` in place.
///
/// A quorum is asked two questions: is it [reached](Self::reached) by those who said yes, and up to which
/// position is a quorum [at least](Self::position). Joint consensus (Raft, extended version, section 6)
/// answers both with both halves; flexible quorums (Howard, Malkhi, Spiegelman 2016) with another size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Quorum {
    /// Any `size` of `members`.
    Sized {
        /// Those who count, ascending, without repetition.
        members: Vec<NodeId>,
        /// How many are enough.
        size: usize,
    },
    /// A quorum of each half at once.
    Joint {
        /// The configuration that is left.
        outgoing: Vec<NodeId>,
        /// The configuration that is entered.
        incoming: Vec<NodeId>,
    },
}

/// Why a quorum cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuorumError {
    /// No member at all.
    #[error("a quorum needs at least one member")]
    Empty,
    /// The same member twice.
    #[error("member {0} is named twice")]
    Repeated(NodeId),
    /// Not between one and the number of members.
    #[error("a quorum of {size} among {members} members is impossible")]
    Size {
        /// What was asked for.
        size: usize,
        /// How many members there are.
        members: usize,
    },
    /// Two quorums that have to share a member might not.
    #[error("quorums of {first} and of {second} among {members} members need not intersect")]
    Disjoint {
        /// The size of the one.
        first: usize,
        /// The size of the other.
        second: usize,
        /// How many members there are.
        members: usize,
    },
}

impl Quorum {
    /// Any majority of `members`.
    pub fn majority(members: &[NodeId]) -> Result<Self, QuorumError> {
        Self::sized(members, members.len() / 2 + 1)
    }

    /// Any `size` of `members`.
    pub fn sized(members: &[NodeId], size: usize) -> Result<Self, QuorumError> {
        let members = distinct(members)?;
        if size == 0 || size > members.len() {
            return Err(QuorumError::Size {
                size,
                members: members.len(),
            });
        }
        Ok(Self::Sized { members, size })
    }

    /// Two sizes over the same members of which any two sets intersect: Phase 1 and Phase 2 of flexible Paxos.
    pub fn flexible(
        members: &[NodeId],
        first: usize,
        second: usize,
    ) -> Result<(Self, Self), QuorumError> {
        let pair = (Self::sized(members, first)?, Self::sized(members, second)?);
        if first + second <= members.len() {
            return Err(QuorumError::Disjoint {
                first,
                second,
                members: members.len(),
            });
        }
        Ok(pair)
    }

    /// A majority of `outgoing` and a majority of `incoming`.
    pub fn joint(outgoing: &[NodeId], incoming: &[NodeId]) -> Result<Self, QuorumError> {
        Ok(Self::Joint {
            outgoing: distinct(outgoing)?,
            incoming: distinct(incoming)?,
        })
    }

    /// Whether those for whom `yes` answers true are a quorum.
    pub fn reached(&self, yes: impl Fn(NodeId) -> bool) -> bool {
        self.halves()
            .all(|(members, size)| members.iter().filter(|m| yes(**m)).count() >= size)
    }

    /// Whether a quorum can still be reached if those for whom `no` answers true never say yes.
    pub fn possible(&self, no: impl Fn(NodeId) -> bool) -> bool {
        self.reached(|member| !no(member))
    }

    /// The highest value that a quorum is at or beyond, where `of` tells each member's.
    pub fn position<T: Ord + Copy>(&self, of: impl Fn(NodeId) -> T) -> T {
        self.halves()
            .map(|(members, size)| {
                let mut values: SmallVec<[T; 8]> = members.iter().map(|m| of(*m)).collect();
                values.sort_unstable_by(|a, b| b.cmp(a));
                values[size - 1]
            })
            .min()
            .expect("a quorum has at least one half")
    }

    /// Whether `member` counts.
    pub fn contains(&self, member: NodeId) -> bool {
        self.halves().any(|(members, _)| members.contains(&member))
    }

    /// All who count, ascending.
    pub fn members(&self) -> Vec<NodeId> {
        let mut all: Vec<_> = self
            .halves()
            .flat_map(|(members, _)| members)
            .copied()
            .collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    fn halves(&self) -> impl Iterator<Item = (&[NodeId], usize)> {
        let (first, second) = match self {
            Self::Sized { members, size } => ((&members[..], *size), None),
            Self::Joint { outgoing, incoming } => (
                (&outgoing[..], outgoing.len() / 2 + 1),
                Some((&incoming[..], incoming.len() / 2 + 1)),
            ),
        };
        core::iter::once(first).chain(second)
    }
}

fn distinct(members: &[NodeId]) -> Result<Vec<NodeId>, QuorumError> {
    let mut sorted = members.to_vec();
    sorted.sort_unstable();
    if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(QuorumError::Repeated(pair[0]));
    }
    if sorted.is_empty() {
        Err(QuorumError::Empty)
    } else {
        Ok(sorted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(ids: impl IntoIterator<Item = u64>) -> Vec<NodeId> {
        ids.into_iter().map(NodeId).collect()
    }

    #[test]
    fn any_two_majorities_share_a_member() {
        for count in 1..=6u64 {
            let quorum = Quorum::majority(&nodes(1..=count)).expect("members");
            let sets =
                || (0u64..1 << count).filter(|s| quorum.reached(|m| s >> (m.0 - 1) & 1 == 1));
            assert!(sets().all(|a| sets().all(|b| a & b != 0)));
        }
    }

    #[test]
    fn a_joint_quorum_intersects_majorities_of_both_halves() {
        let (old, new) = (nodes(1..=3), nodes(3..=6));
        let joint = Quorum::joint(&old, &new).expect("members");
        for half in [Quorum::majority(&old), Quorum::majority(&new)] {
            let half = half.expect("members");
            for a in 0u64..1 << 6 {
                for b in 0u64..1 << 6 {
                    let has = |set: u64| move |m: NodeId| set >> (m.0 - 1) & 1 == 1;
                    assert!(!(joint.reached(has(a)) && half.reached(has(b))) || a & b != 0);
                }
            }
        }
    }

    #[test]
    fn the_position_is_the_highest_that_a_quorum_reaches() {
        let quorum = Quorum::majority(&nodes(1..=5)).expect("members");
        for seed in 0..243u64 {
            let of = |m: NodeId| seed / 3u64.pow(m.0 as u32 - 1) % 3;
            let position = quorum.position(of);
            assert!(quorum.reached(|m| of(m) >= position));
            assert!(!quorum.reached(|m| of(m) > position));
        }
    }

    #[test]
    fn quorums_that_need_not_intersect_are_refused() {
        let five = nodes(1..=5);
        assert!(Quorum::flexible(&five, 4, 2).is_ok());
        let refused = QuorumError::Disjoint {
            first: 3,
            second: 2,
            members: 5,
        };
        assert_eq!(Quorum::flexible(&five, 3, 2), Err(refused));
        assert_eq!(Quorum::majority(&[]), Err(QuorumError::Empty));
        assert_eq!(
            Quorum::majority(&nodes([2, 2])),
            Err(QuorumError::Repeated(NodeId(2)))
        );
        assert!(Quorum::sized(&five, 6).is_err() && Quorum::sized(&five, 0).is_err());
    }
}
