//! What clients and operators ask for, and how it is answered.

use quorate_core::{
    BatchBuilder, Change, ChangeError, Configuration, Credit, Input, Instant, Label, Life, NodeId,
    Position, Rejection, ReplicatedLog, Report, Ticket,
};
use quorate_paxos::PaxosConfig;

use crate::member::Member;
use crate::world::{Event, Pace, World};

/// An operator's order that is not answered yet.
pub enum Order {
    /// To what.
    Change(Configuration),
    Transfer(Instant),
}

impl World {
    pub fn on_client(&mut self) {
        let pace = if self.pace == Pace::Busy { 15 } else { 40 };
        self.schedule(pace, Event::Client);
        let leader = self.leader().filter(|_| !self.rng.one_in(4));
        let any = self.rng.below(self.members.len() as u64) as usize;
        let member = leader.unwrap_or(any);
        if self.hosts[member].asleep || self.paxos(member).is_none() {
            return;
        }
        if self.pace == Pace::Idle || self.rng.one_in(3) {
            self.read(member);
        } else {
            self.propose(member);
        }
    }

    fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }

    pub fn read(&mut self, member: usize) -> Ticket {
        let ticket = self.ticket();
        self.reads.insert(ticket, self.ledger.told());
        self.step(member, Input::Read { ticket });
        ticket
    }

    pub fn waits(&self, read: Ticket) -> bool {
        self.reads.contains_key(&read)
    }

    pub fn propose(&mut self, member: usize) {
        let ticket = self.ticket();
        let mut builder = BatchBuilder::new();
        for _ in 0..=self.rng.below(6) {
            let long = self.rng.one_in(8);
            let length = if long { 400 } else { self.rng.below(12) };
            let body: Vec<u8> = (0..length).map(|_| self.rng.below(256) as u8).collect();
            builder.push(&body);
        }
        let label = Label {
            origin: self.members[member].config.id,
            life: Life(self.hosts[member].life),
            sequence: ticket.get() * 100,
            ..Label::default()
        };
        let batch = builder.finish(label).unwrap();
        self.step(member, Input::Propose { ticket, batch });
    }

    pub fn credit(&mut self, member: usize, peer: usize, credit: Credit) {
        let peer = self.members[peer].config.id;
        self.step(member, Input::Credit { peer, credit });
    }

    pub fn on_operator(&mut self) {
        if self.pace != Pace::Busy {
            return;
        }
        self.schedule(600, Event::Operator);
        let Some(leader) = self.leader() else {
            return;
        };
        let any = self.rng.below(self.members.len() as u64) as usize;
        let member = if self.rng.one_in(8) { any } else { leader };
        if self.hosts[member].asleep || self.paxos(member).is_none() {
            return;
        }
        if self.rng.one_in(4) {
            let to = (!self.rng.one_in(3)).then(|| self.anybody());
            self.transfer(member, to);
        } else if let Some(change) = self.draw_change(member) {
            self.reconfigure(member, change);
        }
        self.bury();
    }

    pub fn transfer(&mut self, member: usize, to: Option<NodeId>) -> Ticket {
        let ticket = self.ticket();
        self.orders.insert(ticket, Order::Transfer(self.now));
        self.step(member, Input::Transfer { ticket, to });
        ticket
    }

    pub fn reconfigure(&mut self, member: usize, change: Change) -> Ticket {
        let ticket = self.ticket();
        let paxos = self.paxos(member).unwrap();
        if let Ok(next) = paxos.configuration().changed(&change) {
            self.orders.insert(ticket, Order::Change(next));
        }
        self.step(member, Input::Reconfigure { ticket, change });
        ticket
    }

    fn anybody(&mut self) -> NodeId {
        let any = self.rng.below(self.members.len() as u64) as usize;
        self.members[any].config.id
    }

    /// A change of what this member believes in: mostly one that can be made.
    fn draw_change(&mut self, member: usize) -> Option<Change> {
        let configuration = self.paxos(member).unwrap().configuration().clone();
        let (voters, learners) = (configuration.voters(), configuration.learners());
        let pick = |world: &mut Self, ids: &[NodeId]| {
            (!ids.is_empty()).then(|| ids[world.rng.below(ids.len() as u64) as usize])
        };
        let voter = pick(self, &voters)?;
        let learner = pick(self, &learners);
        let full = configuration.members().len() >= 6;
        let own = self.members[member].config.id;
        Some(match self.rng.below(12) {
            0..=2 if !full => Change::Add(quorate_core::Member::learner(
                self.newcomer(&configuration),
                "",
            )),
            3..=5 => Change::Promote(learner?),
            6 => Change::Demote(voter),
            7 => Change::Remove(learner.filter(|_| self.rng.one_in(2)).unwrap_or(voter)),
            8 => Change::Replace {
                old: if self.rng.one_in(2) { own } else { voter },
                new: learner?,
            },
            9 => Change::Prefer(voter, self.rng.below(3) as u8),
            10 if !full => {
                // Half of the voters go at once, and new ones come without having learned.
                let count = 1 + self.rng.below(3);
                let mut members = configuration.members().to_vec();
                members.retain(|_| self.rng.one_in(2));
                let new = self.newcomer(&configuration);
                members.push(quorate_core::Member::voter(new, ""));
                let learners = learners.iter().take(count as usize);
                members.extend(learners.map(|id| quorate_core::Member::voter(*id, "")));
                Change::Set(members)
            }
            _ => Change::Remove(voter),
        })
    }

    /// Who might join: a new member on a new disk, or one that was removed before and lives on.
    fn newcomer(&mut self, present: &Configuration) -> NodeId {
        let ids = self
            .members
            .iter()
            .map(|member| member.config.id)
            .enumerate();
        let left = ids.filter(|(index, id)| !self.gone.contains(index) && !present.contains(*id));
        let mut left: Vec<_> = left.map(|(_, id)| id).collect();
        left.retain(|_| self.rng.one_in(3));
        if let Some(id) = left.first() {
            return *id;
        }
        let id = NodeId(10 + self.members.len() as u64);
        let founder = self.members[0].config.clone();
        self.join(PaxosConfig {
            id,
            voters: present.voters(),
            learners: vec![id],
            ..founder
        });
        id
    }

    /// Who is no member any more is sometimes switched off for good; but not before a majority of those who vote now have
    /// it on their disks that they do.
    fn bury(&mut self) {
        let era = self.ledger.eras.last();
        let last = &era.configuration;
        let voters = last.voters();
        let knows =
            |member: &&Member| voters.contains(&member.config.id) && member.disk.chosen >= era.at;
        if self.members.iter().filter(knows).count() <= voters.len() / 2 {
            return;
        }
        let ids = self.members.iter().map(|member| member.config.id);
        let out: Vec<usize> = ids
            .enumerate()
            .filter(|(_, id)| !last.contains(*id))
            .map(|(index, _)| index)
            .collect();
        let open = self.orders.values();
        let awaited: Vec<&Configuration> = open
            .filter_map(|order| match order {
                Order::Change(next) => Some(next),
                Order::Transfer(_) => None,
            })
            .collect();
        let unwanted = out.into_iter().filter(|index| {
            let id = self.members[*index].config.id;
            !awaited.iter().any(|next| next.contains(id))
        });
        let unwanted: Vec<_> = unwanted.collect();
        for index in unwanted {
            if self.rng.one_in(6) {
                self.gone.insert(index);
                self.crash(index);
            }
        }
    }

    pub fn on_reject(&mut self, index: usize, ticket: Ticket, why: Rejection) {
        self.reads.remove(&ticket);
        let what = match (self.orders.remove(&ticket), why) {
            (None, Rejection::Overloaded { .. }) => "overloaded",
            (None, _) => "rejected",
            (Some(Order::Change(_)), Rejection::Change(ChangeError::UnderWay)) => "under way",
            (Some(Order::Change(_)), Rejection::Change(ChangeError::TooEarly)) => "too early",
            (Some(Order::Change(_)), Rejection::Change(ChangeError::Quorums)) => "no quorums",
            (Some(Order::Change(_)), _) => "changes refused",
            (Some(Order::Transfer(at)), Rejection::Unfit(_)) if at < self.now => "given up",
            (Some(Order::Transfer(_)), _) => "transfers refused",
        };
        self.note(|| format!("{} refuses {ticket}: {what}, {why}", index + 1));
        self.totals.count(what, 1);
    }

    pub fn on_report(&mut self, index: usize, report: Report) {
        match report {
            Report::Reconfigured { ticket, at } => {
                let order = self.orders.remove(&ticket);
                let Some(Order::Change(next)) = order else {
                    panic!("no such order is open");
                };
                let era = self.ledger.eras.standing(at.get()).expect("it is chosen");
                assert_eq!(era.configuration, next, "what was asked for");
                self.totals.count("reconfigured", 1);
            }
            Report::Transferred { ticket, to, epoch } => {
                let order = self.orders.remove(&ticket);
                assert!(matches!(order, Some(Order::Transfer(_))), "it was ordered");
                let own = self.members[index].config.id;
                assert!(to == epoch.node && to != own, "another leads");
                self.totals.count("transferred", 1);
            }
            other => panic!("Multi-Paxos reports no {other:?}"),
        }
    }

    /// What a member that is one has to have at least, all of them.
    pub fn least(&self) -> Position {
        let last = &self.ledger.eras.last().configuration;
        let members = self.members.iter();
        let present = members.filter(|member| last.contains(member.config.id));
        let all = present.map(|member| member.state.position);
        all.min().expect("somebody votes")
    }
}
