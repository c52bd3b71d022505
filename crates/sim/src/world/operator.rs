//! The operator of a log whose leader is appointed: it looks now and then, and where nobody has led for long it
//! promotes a running member of its choice, again and again until one leads. Never by force: nothing chosen is
//! to be lost.

use std::time::Duration;

use quorate_core::{NodeId, Rejection, Report, Rng, RoleKind, Status, Ticket, Unfit};

use super::orders::is_order;
use super::phases::Phase;
use super::{Happening, World};
use crate::campaign::PROMOTIONS;
use crate::checker::{Verdict, Violation};
use crate::{Moment, Plan, Protocol, Workload};

pub(super) struct Operator {
    rng: Rng,
    /// How often it looks.
    every: Duration,
    /// How long nobody may lead before it promotes one.
    pub(super) patience: Duration,
    /// How long it waits for an answer.
    waits: Duration,
    /// When it promotes the next, if nobody leads until then; none: somebody leads.
    due: Option<Moment>,
    /// Who was named as having more than the one that it promoted last.
    named: Option<usize>,
    /// How often it has promoted.
    orders: u64,
}

impl Operator {
    pub(super) fn new(plan: &Plan) -> Self {
        // Its own dice: no other log's run depends on them.
        let mut rng = Rng::new(plan.seed ^ 0x6f70_6572_6174_6f72);
        let timeout = plan.limits.election_timeout;
        let patience = rng.duration(timeout, 3 * timeout);
        Self {
            every: rng.duration(timeout / 8, timeout / 2),
            patience,
            waits: timeout + patience,
            due: None,
            named: None,
            orders: 0,
            rng,
        }
    }

    /// Whom to promote of those in sight, if it is time. In need it follows advice; in the midst of faults it may not.
    fn decide(&mut self, now: Moment, in_need: bool, sight: &[usize]) -> Option<usize> {
        let patience = now.after(self.patience);
        if *self.due.get_or_insert(patience) > now || sight.is_empty() {
            return None;
        }
        self.due = Some(now.after(self.waits));
        let any = sight[self.rng.below(sight.len() as u64) as usize];
        let named = self.named.take().filter(|named| sight.contains(named));
        Some(
            named
                .filter(|_| in_need || self.rng.one_in(2))
                .unwrap_or(any),
        )
    }
}

impl<P: Protocol, W: Workload> World<'_, P, W> {
    /// The operator looks who leads.
    pub(super) fn on_look(&mut self) {
        let sight = self.in_sight();
        let (led, in_need) = (self.is_led(&sight), self.phase != Phase::Faults);
        let Some(operator) = &mut self.operator else {
            return;
        };
        let next = self.now.after(operator.every);
        let chosen = if led {
            (operator.due, operator.named) = (None, None);
            None
        } else {
            operator.decide(self.now, in_need, &sight)
        };
        self.agenda.put(next, Happening::Look);
        if let Some(host) = chosen {
            self.agenda.put(self.now, Happening::Promote { host });
        }
    }

    /// Who runs and can be spoken to.
    fn in_sight(&self) -> Vec<usize> {
        let reachable = |host: &usize| {
            let machine = &self.hosts[*host];
            let away = self.phase != Phase::Faults && !self.is_core(*host);
            machine.process.is_some() && machine.paused <= self.now && !away
        };
        (0..self.plan.voters()).filter(reachable).collect()
    }

    /// Whether a quorum follows one that leads.
    fn is_led(&self, sight: &[usize]) -> bool {
        let processes = sight
            .iter()
            .filter_map(|host| self.hosts[*host].process.as_ref());
        let shown: Vec<_> = processes.map(|process| process.replica.status()).collect();
        let mut leaders = shown.iter().filter(|one| one.role == RoleKind::Leader);
        leaders.any(|leader| {
            let follows = |one: &&Status| (one.epoch, one.leader) == (leader.epoch, leader.leader);
            shown.iter().filter(follows).count() >= self.rules.electing
        })
    }

    /// A member is to be promoted, if it runs.
    pub(super) fn on_promote(&mut self, host: usize) -> Verdict {
        let Some(operator) = &mut self.operator else {
            return Ok(());
        };
        operator.orders += 1;
        let ticket = Ticket(operator.orders);
        self.trace.hash([self.now.0, host as u64, ticket.0]);
        self.trace.line(self.now, Some(host), || {
            format!("is to be promoted, order {ticket}")
        });
        self.turn(host, |process, clock, out| {
            process.replica.promote(clock, ticket, (None, false), out);
        })
    }

    /// What a member has to say to the operator.
    pub(super) fn on_report(&mut self, host: usize, report: &Report) -> Verdict {
        self.trace
            .line(self.now, Some(host), || format!("{report:?}"));
        match report {
            Report::Promoted { .. } => self.trace.mark(PROMOTIONS[0]),
            Report::Declined { ticket, why } if is_order(*ticket) => {
                self.on_declined(*ticket, why);
            }
            Report::Declined { why, .. } => self.on_refusal(why),
            Report::Reconfigured { ticket, at } => return self.on_reconfigured(host, *ticket, *at),
            Report::Transferred { ticket, to, epoch } => {
                return self.on_transferred(host, *ticket, (*to, *epoch));
            }
            Report::Undecided { ticket } => self.on_undecided(*ticket),
            Report::Cut { .. } => {}
            Report::Lost { .. } => {
                let what = format!("member {}: {report:?}", host + 1);
                return Err(Violation::new("what is chosen is never lost (A1)", what));
            }
        }
        Ok(())
    }

    fn on_refusal(&mut self, why: &Rejection) {
        let mut named = None;
        if let Rejection::Unfit(unfit) = why {
            self.trace.mark(match unfit {
                Unfit::Behind { .. } => PROMOTIONS[1],
                Unfit::Busy => PROMOTIONS[2],
                Unfit::Stale { .. } => PROMOTIONS[3],
                Unfit::NoQuorum => PROMOTIONS[4],
                Unfit::Diverged => "a promotion was refused: its state is void",
                Unfit::NoVote(_) | Unfit::Silent(_) => "a promotion was refused: no vote",
            });
            if let Unfit::Behind { member, .. } = unfit {
                named = Some(*member);
            }
        }
        if let Some(operator) = &mut self.operator {
            operator.named = named.map(|NodeId(id)| id as usize - 1).or(operator.named);
            operator.due = operator.due.map(|due| due.min(self.now));
        }
    }
}
