//! What operators want: another primary, other members; and what they are told.

use quorate_core::{
    Change, Epoch, Input, Member, NodeId, Output, ReplicatedLog, Report, RoleKind, Ticket, WriteAck,
};
use quorate_primary_backup::{STARTS, appointment};

use crate::member::Out;
use crate::world::World;

/// What was ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Promote { force: bool },
    Change,
    Transfer,
}

/// An order that is not answered yet.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    pub kind: Kind,
    /// Who got it, in which life.
    pub member: usize,
    pub life: u64,
}

impl World {
    fn ordered(&mut self, member: usize, kind: Kind) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        let life = self.hosts[member].life;
        self.orders.insert(ticket, Order { kind, member, life });
        ticket
    }

    /// The operator wants this member to be primary.
    pub(crate) fn order(&mut self, member: usize, force: bool) {
        let Some(log) = &self.members[member].log else {
            return;
        };
        let known = appointment(log.status().epoch);
        // Sometimes the operator errs: the same round twice, or an old one.
        let round = self.rng.one_in(3).then(|| known + self.rng.below(3));
        self.order_round(member, round, force);
    }

    pub(crate) fn order_round(&mut self, member: usize, round: Option<u64>, force: bool) {
        let ticket = self.ordered(member, Kind::Promote { force });
        self.totals.orders += 1;
        let order = Input::Promote {
            ticket,
            round,
            force,
        };
        self.step(member, order);
    }

    /// Some member that leads, mostly.
    fn boss(&mut self) -> Option<usize> {
        let leads = (0..self.members.len()).filter(|index| self.leads(*index));
        let leads: Vec<_> = leads.collect();
        let any = self.rng.below(self.members.len() as u64) as usize;
        let pick = self.rng.below(leads.len().max(1) as u64) as usize;
        let boss = leads.get(pick).copied().unwrap_or(any);
        let up = self.members[boss].log.is_some() && !self.hosts[boss].paused;
        up.then_some(boss)
    }

    pub(crate) fn order_transfer(&mut self) {
        let Some(boss) = self.boss() else { return };
        let any = self.rng.below(self.members.len() as u64) as usize;
        let to = (!self.rng.one_in(3)).then(|| self.members[any].config.id);
        let ticket = self.ordered(boss, Kind::Transfer);
        self.step(boss, Input::Transfer { ticket, to });
    }

    pub(crate) fn order_change(&mut self) {
        let Some(boss) = self.boss() else { return };
        let change = self.change(boss);
        let ticket = self.ordered(boss, Kind::Change);
        self.step(boss, Input::Reconfigure { ticket, change });
    }

    /// A change that mostly makes sense.
    fn change(&mut self, boss: usize) -> Change {
        let configuration = self.members[boss].configuration();
        let ids: Vec<_> = self.members.iter().map(|member| member.config.id).collect();
        let (voters, learners) = (configuration.voters(), configuration.learners());
        let spare = ids.iter().filter(|id| !configuration.contains(**id));
        let spare: Vec<_> = spare.copied().collect();
        let mut pick = |from: &[NodeId]| match from.len() {
            0 => ids[self.rng.below(ids.len() as u64) as usize],
            count => from[self.rng.below(count as u64) as usize],
        };
        let (voter, learner, stranger) = (pick(&voters), pick(&learners), pick(&spare));
        match self.rng.below(14) {
            0..=3 => Change::Add(Member::learner(stranger, "")),
            4..=6 => Change::Promote(learner),
            7 => Change::Demote(voter),
            8 | 9 if voters.len() > 1 => Change::Remove(voter),
            8 | 9 => Change::Remove(learner),
            10 | 11 => Change::Replace {
                old: voter,
                new: learner,
            },
            12 => Change::Prefer(voter, self.rng.below(3) as u8),
            _ => Change::Set(self.any_members(&ids)),
        }
    }

    fn any_members(&mut self, ids: &[NodeId]) -> Vec<Member> {
        let mut members = Vec::new();
        for id in ids {
            match self.rng.below(4) {
                0 | 1 => members.push(Member::voter(*id, "")),
                2 => members.push(Member::learner(*id, "")),
                _ => {}
            }
        }
        members
    }

    /// A member has become primary: by an order, maybe by force; by a start; or because another has handed over.
    pub(crate) fn on_rise(&mut self, member: usize, epoch: Epoch, outputs: &[Out]) {
        let orders = &self.orders;
        let kind = outputs.iter().find_map(|output| match output {
            Output::Report(Report::Promoted { ticket, .. }) => {
                orders.get(ticket).map(|order| order.kind)
            }
            _ => None,
        });
        let forced = kind == Some(Kind::Promote { force: true });
        let started = !epoch.round.is_multiple_of(STARTS) || epoch.round == STARTS;
        if forced {
            self.ledger.on_force(&self.members[member]);
        } else {
            self.check_agreement(member, epoch);
        }
        let planned = kind.is_none() && !started;
        self.totals.handed_over += u64::from(planned);
        let rising = &self.members[member];
        if planned {
            let former = self.handed[&member];
            let former = &self.members[former];
            self.ledger.on_planned_rise(rising, former, epoch);
        }
        self.ledger.on_rise(rising, epoch);
        let votes = rising.configuration().votes(rising.config.id);
        self.totals.voteless += u64::from(!votes && !forced);
    }

    /// A quorum of those who count for the member that rises has agreed to its epoch, on disk.
    fn check_agreement(&self, member: usize, epoch: Epoch) {
        let rising = &self.members[member];
        let configuration = rising.configuration();
        let has_agreed = |id| {
            let mut members = self.members.iter();
            let found = members.find(|member| member.config.id == id).unwrap();
            found.durable.standing.epoch >= epoch
        };
        let agreed = configuration.quorum().unwrap().reached(has_agreed);
        let alone = !configuration.is_joint() && configuration.votes(rising.config.id);
        let enough = match rising.config.write_ack {
            WriteAck::None | WriteAck::One => true,
            WriteAck::Quorum => agreed,
            WriteAck::All => agreed || alone,
        };
        assert!(
            enough,
            "{} rises without a quorum of {configuration}",
            rising.id()
        );
    }

    pub(crate) fn on_report(&mut self, member: usize, report: Report) {
        match report {
            Report::Promoted {
                ticket, missing, ..
            } => {
                let order = self.orders.remove(&ticket).expect("it is answered once");
                self.totals.promoted += 1;
                self.totals.forced += u64::from(order.kind == Kind::Promote { force: true });
                self.totals.unknown += u64::from(missing.is_none());
            }
            Report::Reconfigured { ticket, at } => {
                let order = self.orders.remove(&ticket).expect("it is answered once");
                assert_eq!(order.kind, Kind::Change);
                let log = self.members[member].log.as_ref().unwrap();
                let status = log.status();
                assert!(at <= status.committed, "it is committed");
                self.totals.reconfigured += 1;
            }
            Report::Transferred { ticket, to, epoch } => {
                let order = self.orders.remove(&ticket).expect("it is answered once");
                assert_eq!((order.kind, epoch.node), (Kind::Transfer, to));
                self.totals.transferred += 1;
            }
            Report::Declined { .. } | Report::Undecided { .. } => unreachable!("a log rejects"),
            Report::Lost { first, last, .. } => {
                let state = &self.members[member].state;
                assert!(last <= state.position, "only what was carried out");
                assert!(first.is_none_or(|first| first <= last));
                self.totals.losses += 1;
                self.totals.uncounted += u64::from(first.is_none());
            }
            Report::Cut { first, last, .. } => {
                assert!(first <= last);
                self.totals.cuts += 1;
            }
        }
    }

    /// Every order to lead or to hand over is answered, unless who got it has stopped.
    pub(crate) fn check_orders(&self) {
        for (ticket, order) in &self.orders {
            let alive = self.hosts[order.member].life == order.life;
            let due = order.kind != Kind::Change;
            assert!(!(alive && due), "{ticket} was never answered: {order:?}");
        }
    }

    /// Who is to be primary now: whoever is, or has most of those that may. Where less than a quorum acknowledges, the
    /// only one that knows of a change may be one that is left out by it: then it is that.
    pub(crate) fn best(&self) -> usize {
        let sound = |index: &usize| {
            let log = self.members[*index].log.as_ref();
            log.is_some_and(|log| !log.is_void())
        };
        let rank = |index: &usize| {
            let member = &self.members[*index];
            let status = member.log.as_ref().unwrap().status();
            let leads = status.role == RoleKind::Leader;
            let votes = member.configuration().votes(member.config.id);
            let last = member.written.last();
            (
                leads.then_some(status.epoch),
                votes,
                last.epoch,
                last.position,
            )
        };
        let members = (0..self.members.len()).filter(sound);
        members
            .max_by_key(rank)
            .expect("one state is that of its log")
    }
}
