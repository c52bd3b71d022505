//! What an operator does at bad moments: adds and removes members, gives and takes votes, hands over leadership.

use quorate_core::{
    Change, Configuration, Input, Member as Entry, NodeId, Rejection, ReplicatedLog, Report, Ticket,
};
use quorate_raft::RaftConfig;

use crate::member::Member;
use crate::world::{Event, World, host};

/// Disks that a run may have seen.
const DISKS_MAX: usize = 9;

impl World {
    pub(crate) fn on_operator(&mut self) {
        if self.calm {
            return;
        }
        self.schedule(400, Event::Operator);
        let leader = (0..self.members.len()).find(|index| self.leads(*index));
        let member = match leader {
            Some(leader) if !self.rng.one_in(8) => leader,
            _ => self.rng.below(self.members.len() as u64) as usize,
        };
        if self.hosts[member].paused || self.members[member].raft.is_none() {
            return;
        }
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.orders.insert(ticket, member);
        if self.rng.one_in(4) {
            let to = self.rng.one_in(2).then(|| self.any_id());
            return self.step(member, Input::Transfer { ticket, to });
        }
        let raft = self.members[member].raft.as_ref().unwrap();
        let change = self.any_change(&raft.configuration().clone());
        self.step(member, Input::Reconfigure { ticket, change });
    }

    fn any_id(&mut self) -> NodeId {
        let index = self.rng.below(self.members.len() as u64) as usize;
        self.members[index].config.id
    }

    fn any_change(&mut self, present: &Configuration) -> Change {
        let (id, other) = (self.any_id(), self.any_id());
        let few = present.voters().len() < 3;
        match self.rng.below(12) {
            0..=3 => Change::Add(Entry::learner(self.newcomer(present), "")),
            4..=6 => match present.learners().first() {
                Some(learner) => Change::Promote(*learner),
                None => Change::Add(Entry::learner(id, "")),
            },
            // Not too often: a cluster of one is not the most interesting.
            7 | 8 if few => Change::Prefer(id, self.rng.below(4) as u8),
            7 | 8 => Change::Remove(id),
            9 => Change::Demote(id),
            10 => Change::Replace {
                old: id,
                new: other,
            },
            _ => {
                let all: Vec<_> = self.members.iter().map(|member| member.config.id).collect();
                let chosen = all.into_iter().filter(|_| !self.rng.one_in(3));
                Change::Set(chosen.map(|id| Entry::voter(id, "")).collect())
            }
        }
    }

    /// A member with an empty disk and a name of its own, which starts some time before or after it is added.
    fn newcomer(&mut self, present: &Configuration) -> NodeId {
        if self.members.len() >= DISKS_MAX {
            return self.any_id();
        }
        let id = NodeId(10 + self.members.len() as u64);
        let config = RaftConfig {
            id,
            voters: present.voters(),
            learners: [id].into(),
            ..self.members[0].config.clone()
        };
        self.hosts.push(host(&config, &mut self.rng));
        self.members.push(Member::new(config));
        let member = self.members.len() - 1;
        self.schedule(500, Event::Restart { member });
        self.totals.joined += 1;
        id
    }

    pub(crate) fn on_report(&mut self, member: usize, report: Report) {
        let ticket = match report {
            Report::Reconfigured { ticket, at } => {
                let raft = self.members[member].raft.as_ref().unwrap();
                assert!(self.ledger.members[&at] == *raft.configuration());
                assert!(!raft.configuration().is_joint());
                self.totals.reconfigured += 1;
                ticket
            }
            Report::Transferred { ticket, to, epoch } => {
                assert_ne!(to, self.members[member].config.id);
                let led = self.ledger.leader(epoch.round);
                assert_eq!(led, Some(to.get()), "who leads had to be elected");
                self.totals.transferred += 1;
                ticket
            }
            Report::Declined { ticket, why } => {
                assert!(matches!(why, Rejection::Unfit(_)));
                self.totals.declined += 1;
                ticket
            }
            other => unreachable!("Raft reports nothing of the kind: {other:?}"),
        };
        let asked = self.orders.remove(&ticket);
        assert_eq!(
            asked,
            Some(member),
            "an order is answered once, by whom it was given"
        );
    }
}
