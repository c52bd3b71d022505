//! Who the members are, as the log itself says it; and how one such list follows from another.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::{NodeId, Quorum, QuorumError};

/// The members of a cluster: who votes, who follows, and where they are.
///
/// It is changed by a command of the log that takes one position ([`Batch::configuration`](crate::Batch::configuration)),
/// so that all members agree on who they are at every position. While voters change it may be *joint* (Raft, extended
/// version, section 6): what is decided then needs a quorum of those who voted before and one of those who vote now.
///
/// ```
/// use quorate_core::{Change, Configuration, Member, NodeId};
///
/// let three = Configuration::founding(&[1, 2, 3].map(NodeId), &[]);
/// let add = Change::Add(Member::learner(NodeId(4), "10.0.0.4:17000"));
/// let grown = three.changed(&add)?;
/// let four = grown.changed(&Change::Promote(NodeId(4)))?;
/// assert_eq!(four.voters(), [1, 2, 3, 4].map(NodeId));
/// assert!(four.changed(&Change::Remove(NodeId(9))).is_err());
/// # Ok::<(), quorate_core::ChangeError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Configuration {
    /// Ascending by id.
    members: Vec<Member>,
    /// Those who voted before, ascending; empty: the configuration is not joint.
    outgoing: Vec<NodeId>,
}

/// One member of a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its name. A new disk is a new name ([`NodeId`]).
    pub id: NodeId,
    /// Whether it votes.
    pub standing: Standing,
    /// Where the others reach it, `host:port`; empty: everybody knows that from elsewhere.
    pub address: String,
    /// Of several members that could lead the one of the highest priority is preferred.
    pub priority: u8,
    /// What becomes of a learner once it has caught up.
    pub wish: Option<Wish>,
}

/// Whether a member votes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Standing {
    /// It votes, and counts.
    Voter,
    /// It follows and counts for nothing.
    Learner,
    /// It votes for as long as the configuration is joint, and is no member after that.
    Leaving,
}

/// What becomes of a learner by itself once it has caught up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Wish {
    /// It votes.
    Vote,
    /// It votes in the place of this one, which is removed.
    Replace(NodeId),
}

/// A change of a configuration, as an operator asks for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// A new member; it begins as a learner, also where a vote is wished for.
    Add(Member),
    /// A learner votes from now on.
    Promote(NodeId),
    /// A voter is a learner from now on.
    Demote(NodeId),
    /// A member is one no more.
    Remove(NodeId),
    /// The learner `new` votes in the place of `old`, which is removed: in one step.
    Replace {
        /// Who goes.
        old: NodeId,
        /// Who comes.
        new: NodeId,
    },
    /// Another priority.
    Prefer(NodeId, u8),
    /// Exactly these members, whatever was before; all of them voters or learners.
    Set(Vec<Member>),
}

/// Why a configuration cannot be changed so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum ChangeError {
    /// The change before is not completed.
    #[error("another change is under way")]
    UnderWay,
    /// The leader has not committed anything of its own epoch yet.
    #[error("the leader is too new: try again")]
    TooEarly,
    /// There is no such member.
    #[error("{0} is not a member")]
    Unknown(NodeId),
    /// There is such a member already.
    #[error("{0} is a member already")]
    Known(NodeId),
    /// It does not vote.
    #[error("{0} is not a voter")]
    NotVoter(NodeId),
    /// It is not a learner.
    #[error("{0} is not a learner")]
    NotLearner(NodeId),
    /// Nobody would vote.
    #[error("no voter would be left")]
    NoVoter,
    /// More members than [`Configuration::MEMBERS_MAX`].
    #[error("more than {} members", Configuration::MEMBERS_MAX)]
    TooMany,
    /// An address longer than [`Configuration::ADDRESS_MAX`].
    #[error("the address of {0} is too long")]
    Address(NodeId),
    /// The id 0.
    #[error("0 names no member")]
    Nobody,
    /// Nothing would be different.
    #[error("nothing would change")]
    Unchanged,
    /// This log cannot do that with its quorums.
    #[error("the configured sizes of quorums do not fit so many voters")]
    Quorums,
}

impl Member {
    /// A learner, reached at `address`.
    pub fn learner(id: NodeId, address: impl Into<String>) -> Self {
        Self {
            id,
            standing: Standing::Learner,
            address: address.into(),
            priority: 0,
            wish: None,
        }
    }

    /// A voter, reached at `address`.
    pub fn voter(id: NodeId, address: impl Into<String>) -> Self {
        Self {
            standing: Standing::Voter,
            ..Self::learner(id, address)
        }
    }

    /// The same with something to become once it has caught up.
    pub fn wishing(self, wish: Wish) -> Self {
        Self {
            wish: Some(wish),
            ..self
        }
    }
}

impl Configuration {
    /// Members at most, whatever they are.
    pub const MEMBERS_MAX: usize = 64;
    /// Bytes of one address at most.
    pub const ADDRESS_MAX: usize = 256;

    /// Before the first command of the log: what every member's own config says. Addresses are left empty.
    pub fn founding(voters: &[NodeId], learners: &[NodeId]) -> Self {
        let voters = voters.iter().map(|id| Member::voter(*id, ""));
        let learners = learners.iter().map(|id| Member::learner(*id, ""));
        Self::of(voters.chain(learners).collect())
    }

    fn of(mut members: Vec<Member>) -> Self {
        members.sort_by_key(|member| member.id);
        members.dedup_by_key(|member| member.id);
        Self {
            members,
            outgoing: Vec::new(),
        }
    }

    /// All members, ascending by id; those that are leaving among them.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// One member.
    pub fn member(&self, id: NodeId) -> Option<&Member> {
        let index = self.members.binary_search_by_key(&id, |member| member.id);
        index.ok().map(|index| &self.members[index])
    }

    /// Whether `id` is a member, be it that it leaves.
    pub fn contains(&self, id: NodeId) -> bool {
        self.member(id).is_some()
    }

    /// Those who vote from now on, ascending.
    pub fn voters(&self) -> Vec<NodeId> {
        self.with(Standing::Voter).collect()
    }

    /// Those who follow without a vote, ascending.
    pub fn learners(&self) -> Vec<NodeId> {
        self.with(Standing::Learner).collect()
    }

    /// Those who voted before, if the configuration is joint.
    pub fn outgoing(&self) -> &[NodeId] {
        &self.outgoing
    }

    /// Whether what is decided needs quorums of two sets of voters.
    pub const fn is_joint(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Whether `id` counts in any quorum.
    pub fn votes(&self, id: NodeId) -> bool {
        let voter = self.member(id).map(|member| member.standing) == Some(Standing::Voter);
        voter || self.outgoing.contains(&id)
    }

    /// Majorities of those who vote.
    ///
    /// # Errors
    /// [`QuorumError::Empty`] if nobody votes.
    pub fn quorum(&self) -> Result<Quorum, QuorumError> {
        if self.is_joint() {
            Quorum::joint(&self.outgoing, &self.voters())
        } else {
            Quorum::majority(&self.voters())
        }
    }

    /// What this configuration is after the change; never joint.
    ///
    /// # Errors
    /// [`ChangeError`]; [`ChangeError::UnderWay`] if this one is joint.
    pub fn changed(&self, change: &Change) -> Result<Self, ChangeError> {
        if self.is_joint() {
            return Err(ChangeError::UnderWay);
        }
        let mut members = self.members.clone();
        match change {
            Change::Add(new) => {
                if self.contains(new.id) {
                    return Err(ChangeError::Known(new.id));
                }
                members.push(Member {
                    standing: Standing::Learner,
                    ..new.clone()
                });
            }
            Change::Promote(id) => find_learner(&mut members, *id)?.become_voter(),
            Change::Demote(id) => {
                let member = find(&mut members, *id)?;
                if member.standing != Standing::Voter {
                    return Err(ChangeError::NotVoter(*id));
                }
                member.standing = Standing::Learner;
            }
            Change::Remove(id) => {
                find(&mut members, *id)?;
                members.retain(|member| member.id != *id);
            }
            Change::Replace { old, new } => {
                find(&mut members, *old)?;
                find_learner(&mut members, *new)?.become_voter();
                members.retain(|member| member.id != *old);
            }
            Change::Prefer(id, priority) => find(&mut members, *id)?.priority = *priority,
            Change::Set(all) => members.clone_from(all),
        }
        self.checked(Self::of(members))
    }

    fn checked(&self, next: Self) -> Result<Self, ChangeError> {
        if next.members.len() > Self::MEMBERS_MAX {
            return Err(ChangeError::TooMany);
        }
        if let Some(member) = next
            .members
            .iter()
            .find(|m| m.standing == Standing::Leaving)
        {
            return Err(ChangeError::NotVoter(member.id));
        }
        if next.contains(NodeId::ZERO) {
            return Err(ChangeError::Nobody);
        }
        let long = |member: &&Member| member.address.len() > Self::ADDRESS_MAX;
        if let Some(member) = next.members.iter().find(long) {
            return Err(ChangeError::Address(member.id));
        }
        if next.with(Standing::Voter).next().is_none() {
            return Err(ChangeError::NoVoter);
        }
        if next == *self {
            return Err(ChangeError::Unchanged);
        }
        Ok(next)
    }

    /// The joint configuration on the way from this one to `target`. None: the same members vote, so that one step is
    /// enough.
    pub fn joint(&self, target: &Self) -> Option<Self> {
        let outgoing = self.voters();
        if outgoing == target.voters() {
            return None;
        }
        let gone = self
            .members
            .iter()
            .filter(|member| member.standing == Standing::Voter && !target.contains(member.id));
        let leaving = gone.map(|member| Member {
            standing: Standing::Leaving,
            ..member.clone()
        });
        let mut joint = Self::of(target.members.iter().cloned().chain(leaving).collect());
        joint.outgoing = outgoing;
        Some(joint)
    }

    /// What a joint configuration leads to.
    pub fn settled(&self) -> Self {
        let stays = |member: &&Member| member.standing != Standing::Leaving;
        Self::of(self.members.iter().filter(stays).cloned().collect())
    }

    fn with(&self, standing: Standing) -> impl Iterator<Item = NodeId> {
        let all = self.members.iter();
        all.filter(move |member| member.standing == standing)
            .map(|member| member.id)
    }

    /// Whether it is one that members write: in order, without repetition, somebody votes. To be asked of what a peer
    /// sends outside of a batch.
    pub fn is_sane(&self) -> bool {
        let ascending = |ids: &mut dyn Iterator<Item = NodeId>| ids.is_sorted_by(|a, b| a < b);
        let leaving = self
            .members
            .iter()
            .filter(|m| m.standing == Standing::Leaving);
        self.members.len() <= Self::MEMBERS_MAX * 2
            && self.outgoing.len() <= Self::MEMBERS_MAX
            && ascending(&mut self.members.iter().map(|member| member.id))
            && ascending(&mut self.outgoing.iter().copied())
            && self
                .members
                .iter()
                .all(|m| m.address.len() <= Self::ADDRESS_MAX)
            && self.with(Standing::Voter).next().is_some()
            && leaving.map(|m| m.id).all(|id| self.outgoing.contains(&id))
            && self.outgoing.iter().all(|id| self.contains(*id))
    }
}

impl Member {
    const fn become_voter(&mut self) {
        self.standing = Standing::Voter;
        self.wish = None;
    }
}

fn find_learner(members: &mut [Member], id: NodeId) -> Result<&mut Member, ChangeError> {
    let member = find(members, id)?;
    if member.standing == Standing::Learner {
        Ok(member)
    } else {
        Err(ChangeError::NotLearner(id))
    }
}

fn find(members: &mut [Member], id: NodeId) -> Result<&mut Member, ChangeError> {
    let found = members.iter_mut().find(|member| member.id == id);
    found.ok_or(ChangeError::Unknown(id))
}

impl fmt::Display for Configuration {
    /// `1 2 3`, `1 2 3 +4` with a learner, `1 2 3 => 1 2 4 +5` while it is joint.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut gap = "";
        let mut write = |f: &mut fmt::Formatter<'_>, sign: &str, id: NodeId| {
            write!(f, "{gap}{sign}{id}")?;
            gap = " ";
            Ok(())
        };
        for id in &self.outgoing {
            write(f, "", *id)?;
        }
        if self.is_joint() {
            f.write_str(" =>")?;
        }
        for id in self.with(Standing::Voter) {
            write(f, "", id)?;
        }
        for id in self.with(Standing::Learner) {
            write(f, "+", id)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    fn three() -> Configuration {
        Configuration::founding(&[1, 2, 3].map(NodeId), &[NodeId(5)])
    }

    #[test]
    fn a_change_says_what_is_wrong_with_it() {
        let set = |members: Vec<Member>| Change::Set(members);
        let long = "x".repeat(Configuration::ADDRESS_MAX + 1);
        let many = (1..=65).map(|id| Member::voter(NodeId(id), "")).collect();
        let refused = [
            (Change::Promote(NodeId(9)), ChangeError::Unknown(NodeId(9))),
            (
                Change::Promote(NodeId(1)),
                ChangeError::NotLearner(NodeId(1)),
            ),
            (Change::Demote(NodeId(5)), ChangeError::NotVoter(NodeId(5))),
            (Change::Remove(NodeId(9)), ChangeError::Unknown(NodeId(9))),
            (
                Change::Add(Member::learner(NodeId(2), "")),
                ChangeError::Known(NodeId(2)),
            ),
            (Change::Prefer(NodeId(1), 0), ChangeError::Unchanged),
            (
                Change::Add(Member::learner(NodeId::ZERO, "")),
                ChangeError::Nobody,
            ),
            (set(Vec::new()), ChangeError::NoVoter),
            (
                Change::Add(Member::learner(NodeId(7), long)),
                ChangeError::Address(NodeId(7)),
            ),
            (set(many), ChangeError::TooMany),
        ];
        for (change, error) in refused {
            assert_eq!(three().changed(&change), Err(error), "{change:?}");
        }
    }

    #[test]
    fn a_replacement_goes_through_a_joint_configuration_that_keeps_who_leaves() {
        let change = Change::Replace {
            old: NodeId(2),
            new: NodeId(5),
        };
        let target = three().changed(&change).expect("5 is a learner");
        assert_eq!(target.to_string(), "1 3 5");
        let joint = three().joint(&target).expect("voters change");
        assert_eq!(joint.to_string(), "1 2 3 => 1 3 5");
        assert!(joint.votes(NodeId(2)) && joint.votes(NodeId(5)));
        assert_eq!(joint.settled(), target);
        assert_eq!(
            joint.changed(&Change::Remove(NodeId(1))),
            Err(ChangeError::UnderWay)
        );
        assert!(joint.is_sane() && target.is_sane());
    }

    #[test]
    fn a_change_of_learners_needs_no_joint_configuration() {
        let add = Change::Add(Member::learner(NodeId(6), "").wishing(Wish::Vote));
        let target = three().changed(&add).expect("6 is new");
        assert_eq!(target.to_string(), "1 2 3 +5 +6");
        assert_eq!(three().joint(&target), None);
    }

    #[test]
    fn who_is_demoted_stays_a_learner() {
        let target = three()
            .changed(&Change::Demote(NodeId(1)))
            .expect("a voter");
        let joint = three().joint(&target).expect("voters change");
        assert_eq!(joint.to_string(), "1 2 3 => 2 3 +1 +5");
        assert_eq!(joint.settled(), target);
    }
}
