//! What is checked of configurations: who decides, when they change, and that all agree.

use quorate_core::{Configuration, NodeId, Output, ReplicatedLog, RoleKind};
use quorate_raft::{Record, Term};

use crate::ledger::{Before, Ledger};
use crate::member::{Member, Out};
use crate::world::World;

impl Ledger {
    pub fn check_members(
        &self,
        members: &[Member],
        index: usize,
        before: &Before,
        outputs: &[Out],
    ) {
        let member = &members[index];
        self.check_in_force(member);
        let leads = member.raft.as_ref().unwrap().status().role == RoleKind::Leader;
        match (before.status.role, leads) {
            (RoleKind::Leader, true) => self.check_change(member, before, outputs),
            (_, true) => self.check_election(members, index, before),
            _ => {}
        }
    }

    /// R20: the last configuration in the log is in force; what is chosen is the same for all.
    fn check_in_force(&self, member: &Member) {
        let raft = member.raft.as_ref().unwrap();
        let (status, log) = (raft.status(), &member.written);
        let last = log.members_at(log.last().position);
        let at = last.as_ref().map_or(0, |last| last.at.get());
        assert_eq!(status.configured.get(), at, "{}", member.id());
        if let Some(last) = last {
            assert_eq!(raft.configuration(), &last.configuration);
        }
        let held = log
            .members_at(status.committed)
            .map(|one| one.configuration);
        let chosen = self.members.range(..=status.committed).next_back();
        let chosen = chosen.map(|(_, configuration)| configuration.clone());
        assert_eq!(
            held,
            chosen,
            "members at {} by {}",
            status.committed,
            member.id()
        );
    }

    /// R1, R19: whoever leads has votes, on disk, of a quorum of the configuration in its log: both halves of a joint one.
    fn check_election(&self, members: &[Member], index: usize, before: &Before) {
        let leader = &members[index];
        let term = Term(leader.raft.as_ref().unwrap().status().epoch.round);
        let voted = |id: NodeId| {
            let disk = &members
                .iter()
                .find(|member| member.config.id == id)
                .unwrap()
                .durable;
            // A later term may have replaced the vote that was counted.
            let said = self.votes.get(&(id.get(), term)) == Some(&leader.config.id);
            said || (disk.term, disk.vote) == (term, Some(leader.config.id))
        };
        assert!(
            is_quorum(&before.configuration, voted),
            "{} leads {term} without a quorum",
            leader.id()
        );
    }

    /// B19, B20: a leader appends a configuration only when something of its own term and the one before are chosen.
    fn check_change(&self, leader: &Member, before: &Before, outputs: &[Out]) {
        let status = leader.raft.as_ref().unwrap().status();
        let mut present = (before.status.configured, before.configuration.clone());
        for output in outputs {
            let Output::Persist {
                record: Record::Append { prev, runs },
                ..
            } = output
            else {
                continue;
            };
            let Some(next) = runs[0].batch.configured() else {
                continue;
            };
            let chosen = self.at(status.committed).map(|chosen| chosen.term);
            assert_eq!(
                chosen,
                Some(Term(status.epoch.round)),
                "no change before an own commit"
            );
            assert!(present.0 <= status.committed, "one change at a time");
            let (was, is) = (&present.1, &next);
            if was.is_joint() {
                assert_eq!(
                    is,
                    &was.settled(),
                    "a joint configuration leads to one other"
                );
            } else if is.is_joint() {
                assert_eq!(is.outgoing(), was.voters());
            } else {
                assert_eq!(is.voters(), was.voters(), "voters change in two steps");
            }
            present = (prev.position.next(), next);
        }
    }
}

/// Whether those for whom `yes` answers true may decide: worked out from the members alone.
pub fn is_quorum(configuration: &Configuration, yes: impl Fn(NodeId) -> bool) -> bool {
    let most = |half: &[NodeId]| {
        let count = half.iter().filter(|id| yes(**id)).count();
        half.is_empty() || count > half.len() / 2
    };
    most(&configuration.voters()) && most(configuration.outgoing())
}

impl World {
    /// R14: at any moment, whoever may read without asking sees all that is chosen.
    pub(crate) fn check_leases(&mut self) {
        for index in 0..self.members.len() {
            let now = self.local(index);
            let Some(raft) = &self.members[index].raft else {
                continue;
            };
            if let Some(at) = raft.lease(now) {
                let chosen = self.ledger.chosen();
                assert!(
                    at >= chosen,
                    "{} reads at {at}, {chosen} is chosen",
                    index + 1
                );
                self.totals.leased += 1;
            }
        }
    }
}
