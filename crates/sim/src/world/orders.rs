//! Orders of operators to whoever leads: other members, another leader.

use std::collections::BTreeMap;

use quorate_core::{
    Change, ChangeError, Configuration, Epoch, Member, NodeId, Position, Rejection, Rng, RoleKind,
    Standing, Ticket, Unfit, Wish,
};

use super::{Happening, World};
use crate::checker::{Verdict, Violation};
use crate::{Act, Cluster, MEMBERS_MAX, Protocol, Workload};

/// A rare state.
pub(super) const WISH_GRANTED: &str = "a learner was promoted by its wish";

/// Tickets from here on name orders of this module.
const FIRST: u64 = 1 << 40;

#[derive(Debug, Default)]
pub(super) struct Orders {
    given: u64,
    open: BTreeMap<Ticket, Order>,
}

#[derive(Clone, Copy, Debug)]
enum Order {
    Change,
    Transfer,
}

impl Orders {
    fn give(&mut self, order: Order) -> Ticket {
        self.given += 1;
        let ticket = Ticket(FIRST + self.given);
        self.open.insert(ticket, order);
        ticket
    }
}

/// Whether a ticket names an order of this module.
pub(super) const fn is_order(ticket: Ticket) -> bool {
    ticket.0 >= FIRST
}

impl<P: Protocol, W: Workload> World<'_, P, W> {
    /// Of those who take themselves for leaders, the one of the newest epoch.
    pub(super) fn newest_leader(&self) -> Option<usize> {
        self.leaders().max().map(|(_, host)| host)
    }

    fn leaders(&self) -> impl Iterator<Item = (Epoch, usize)> {
        let hosts = self.hosts.iter().enumerate();
        hosts.filter_map(|(host, machine)| {
            let status = machine.process.as_ref()?.replica.status();
            (status.role == RoleKind::Leader).then_some((status.epoch, host))
        })
    }

    pub(super) fn configuration_of(&self, host: usize) -> Option<&Configuration> {
        let process = self.hosts[host].process.as_ref()?;
        Some(process.replica.configuration())
    }

    /// Whom an operator speaks to: the newest leader, now and then an older one or anybody.
    fn addressee(&self, dice: &mut Rng) -> Option<usize> {
        if dice.one_in(12) {
            let all = self.hosts.len() as u64;
            let host = dice.below(all) as usize;
            return self.hosts[host].process.is_some().then_some(host);
        }
        if dice.one_in(4) {
            return self.leaders().min().map(|(_, host)| host);
        }
        self.newest_leader()
    }

    /// An operator wants other members.
    pub(super) fn order_change(&mut self, act: Act, dice: u64) -> Verdict {
        let mut dice = Rng::new(dice);
        let Some(host) = self.addressee(&mut dice) else {
            return Ok(());
        };
        let Some(present) = self.configuration_of(host).cloned() else {
            return Ok(());
        };
        let Some(change) = self.change(act, host, &present, &mut dice) else {
            return Ok(());
        };
        // What cannot be is asked for as well, and refused.
        if present
            .changed(&change)
            .is_ok_and(|target| !self.is_survivable(&target))
        {
            return Ok(());
        }
        self.found(&change, &present);
        let ticket = self.orders.give(Order::Change);
        self.trace.hash([self.now.0, host as u64, ticket.0]);
        self.trace.line(self.now, Some(host), || {
            format!("order {ticket}: {change:?}, members: {present}")
        });
        self.turn(host, |process, clock, out| {
            process.replica.reconfigure(clock, ticket, change, out);
        })
    }

    /// Whether so many of its voters have sound disks, for ever, that it can go on without the others.
    fn is_survivable(&self, target: &Configuration) -> bool {
        let voters = target.voters();
        let lost = |id: &&NodeId| self.plan.lost >> (id.0 - 1) & 1 == 1;
        let lost = voters.iter().filter(lost).count();
        voters.len() <= MEMBERS_MAX && 2 * (voters.len() - lost) > voters.len()
    }

    /// Machines that come for the first time start, before they are members; their own configs name those who vote now.
    fn found(&mut self, change: &Change, present: &Configuration) {
        let coming = match change {
            Change::Add(member) => vec![member.id],
            Change::Set(all) => all.iter().map(|member| member.id).collect(),
            _ => Vec::new(),
        };
        for id in coming {
            let host = id.0 as usize - 1;
            if self.clusters[host].is_some() {
                continue;
            }
            let learners = vec![id];
            self.checkers.on_founded(host, &present.voters());
            self.clusters[host] = Some(Cluster {
                members: present.voters(),
                learners,
                ..self.plan.cluster()
            });
            self.crowd.reach |= 1 << host;
            self.agenda.put(self.now, Happening::Start { host });
        }
    }

    fn change(
        &self,
        act: Act,
        leader: usize,
        present: &Configuration,
        dice: &mut Rng,
    ) -> Option<Change> {
        let id = |host: usize| NodeId(host as u64 + 1);
        let lost = |id: &NodeId| self.plan.lost >> (id.0 - 1) & 1 == 1;
        let strangers = (0..self.hosts.len()).map(id);
        let strangers: Vec<_> = strangers
            .filter(|id| !present.contains(*id) && !lost(id))
            .collect();
        let members: Vec<_> = present.members().iter().map(|member| member.id).collect();
        let refused = |id: &NodeId| self.hosts[id.0 as usize - 1].refused;
        let gone: Vec<_> = members.iter().copied().filter(refused).collect();
        let leaving = if gone.is_empty() { &members } else { &gone };
        let one = |of: &[NodeId], dice: &mut Rng| {
            let nth = dice.below(of.len().max(1) as u64) as usize;
            of.get(nth).copied()
        };
        let come = |dice: &mut Rng| Some(Member::learner(one(&strangers, dice)?, ""));
        Some(match act {
            Act::Add => Change::Add(come(dice)?),
            Act::AddForVote => Change::Add(come(dice)?.wishing(Wish::Vote)),
            Act::AddInPlace => Change::Add(come(dice)?.wishing(Wish::Replace(one(leaving, dice)?))),
            Act::Promote => Change::Promote(one(&present.learners(), dice)?),
            Act::Demote => Change::Demote(one(&present.voters(), dice)?),
            Act::Remove => Change::Remove(one(leaving, dice)?),
            Act::RemoveLeader => Change::Remove(id(leader)),
            Act::Replace => Change::Replace {
                old: one(leaving, dice)?,
                new: one(&present.learners(), dice)?,
            },
            Act::Prefer => Change::Prefer(one(&members, dice)?, dice.below(4) as u8),
            Act::Set => {
                let sound = (0..self.hosts.len()).map(id).filter(|id| !lost(id));
                let chosen = sound.filter(|_| dice.one_in(2));
                Change::Set(
                    chosen
                        .take(MEMBERS_MAX)
                        .map(|id| Member::voter(id, ""))
                        .collect(),
                )
            }
        })
    }

    /// An operator wants another leader.
    pub(super) fn order_transfer(&mut self, to: Option<usize>, dice: u64) -> Verdict {
        let Some(host) = self.addressee(&mut Rng::new(dice)) else {
            return Ok(());
        };
        let to = to.map(|to| NodeId(to as u64 + 1));
        let ticket = self.orders.give(Order::Transfer);
        self.trace.hash([self.now.0, host as u64, ticket.0]);
        self.trace.line(self.now, Some(host), || {
            format!("order {ticket}: hand over to {to:?}")
        });
        self.turn(host, |process, clock, out| {
            process.replica.transfer(clock, ticket, to, out);
        })
    }

    pub(super) fn on_declined(&mut self, ticket: Ticket, why: &Rejection) {
        let order = self.orders.open.remove(&ticket);
        self.trace.mark(match (order, why) {
            (Some(Order::Transfer), Rejection::Unfit(Unfit::Silent(_))) => {
                "a hand-over was given up"
            }
            (Some(Order::Transfer), _) => "a hand-over was refused",
            (_, Rejection::Change(ChangeError::UnderWay)) => {
                "a change of members was refused: another is under way"
            }
            (_, Rejection::Change(ChangeError::TooEarly)) => {
                "a change of members was refused: the leader is too new"
            }
            (_, Rejection::Change(_)) => "a change of members was refused: it cannot be",
            _ => "a change of members was refused: no leader",
        });
    }

    pub(super) fn on_undecided(&mut self, ticket: Ticket) {
        self.orders.open.remove(&ticket);
        self.trace.mark("a change of members was left undecided");
    }

    pub(super) fn on_reconfigured(&mut self, host: usize, ticket: Ticket, at: Position) -> Verdict {
        self.orders.open.remove(&ticket);
        self.trace.mark("members were changed");
        let leaves = self
            .configuration_of(host)
            .is_some_and(|now| !now.contains(NodeId(host as u64 + 1)));
        if leaves {
            self.trace.mark("a leader removed itself");
        }
        self.checkers.on_reconfigured(host, at)
    }

    pub(super) fn on_transferred(
        &mut self,
        host: usize,
        ticket: Ticket,
        (to, epoch): (NodeId, Epoch),
    ) -> Verdict {
        self.orders.open.remove(&ticket);
        self.trace.mark("leadership was handed over");
        let leads = self.checkers.leads(to, epoch);
        if leads && to != NodeId(host as u64 + 1) {
            return Ok(());
        }
        let what = format!("member {} says that {to} leads {epoch}", host + 1);
        Err(Violation::new("who is said to have taken over leads", what))
    }

    /// Leaves out of the core whom every configuration that may be in force can do without, in an order of its own.
    pub(super) fn shrink_core(&mut self) {
        let mut order: Vec<usize> = (0..self.hosts.len()).collect();
        for index in (1..order.len()).rev() {
            order.swap(index, self.rng.below(index as u64 + 1) as usize);
        }
        for host in order {
            let without = self.core & !(1 << host);
            if self.checkers.can_decide(without) {
                self.core = without;
            }
        }
    }

    /// L4: in the end no change is under way, and nobody waits for a vote that it could have.
    pub(super) fn settled_members(&self) -> Verdict {
        let Some(host) = self.newest_leader().filter(|_| self.plan.changes) else {
            return Ok(());
        };
        let Some(present) = self.configuration_of(host) else {
            return Ok(());
        };
        let waits = |member: &&Member| {
            let healed = self.is_core(member.id.0 as usize - 1);
            member.standing == Standing::Learner && member.wish.is_some() && healed
        };
        let waiting = present.members().iter().find(waits);
        if !present.is_joint() && waiting.is_none() {
            return Ok(());
        }
        let what = format!("member {} leads {present}, {waiting:?} waits", host + 1);
        Err(Violation::new("no change is left under way (L4)", what))
    }
}
