//! Orders of operators, from the door until the log has answered them.

use alloc::collections::VecDeque;

use super::Replica;
use super::event::{Clock, Effect, Effects};
use crate::{Change, Input, NodeId, ReplicatedLog, Report, StateMachine, Ticket};

/// Orders that are not answered yet: at most [`Self::MAX`], then the oldest is given up.
#[derive(Debug, Default)]
pub(super) struct Orders {
    open: VecDeque<Open>,
}

/// What is ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// To lead.
    Promote,
    /// To have other members.
    Reconfigure,
    /// To have another leader.
    Transfer,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    /// The log's name for it.
    inner: Ticket,
    /// The caller's.
    asked: Ticket,
    order: Order,
}

impl Orders {
    const MAX: usize = 16;

    /// Takes note of one; returns the caller's name of the one that is given up for it.
    pub(super) fn take(&mut self, inner: Ticket, asked: Ticket, order: Order) -> Option<Ticket> {
        let full = self.open.len() >= Self::MAX;
        let oldest = full.then(|| self.open.pop_front()).flatten();
        self.open.push_back(Open {
            inner,
            asked,
            order,
        });
        oldest.map(|open| open.asked)
    }

    /// The caller's name for an order that is answered herewith.
    pub(super) fn answer(&mut self, inner: Ticket) -> Option<Ticket> {
        let index = self.open.iter().position(|open| open.inner == inner)?;
        self.open.remove(index).map(|open| open.asked)
    }

    /// Gives up all orders of one kind; the callers' names for them.
    pub(super) fn give_up(&mut self, order: Order) -> impl Iterator<Item = Ticket> {
        let given_up = self.open.iter().filter(move |open| open.order == order);
        let given_up: VecDeque<_> = given_up.map(|open| open.asked).collect();
        self.open.retain(|open| open.order != order);
        given_up.into_iter()
    }
}

impl<L: ReplicatedLog, S: StateMachine> Replica<L, S> {
    /// An operator wants this member to lead, see [`Input::Promote`]; the answer is one [`Report::Promoted`] or
    /// [`Report::Declined`] under `ticket`.
    pub fn promote(
        &mut self,
        clock: Clock,
        ticket: Ticket,
        (round, force): (Option<u64>, bool),
        out: &mut Effects<L, S>,
    ) {
        let inner = self.order(ticket, Order::Promote, out);
        let order = Input::Promote {
            ticket: inner,
            round,
            force,
        };
        self.step_log(clock.now, order, out);
    }

    /// An operator wants other members, see [`Input::Reconfigure`]; the answer is one [`Report::Reconfigured`],
    /// [`Report::Declined`] or [`Report::Undecided`] under `ticket`. Only the leader takes it.
    pub fn reconfigure(
        &mut self,
        clock: Clock,
        ticket: Ticket,
        change: Change,
        out: &mut Effects<L, S>,
    ) {
        let ticket = self.order(ticket, Order::Reconfigure, out);
        self.step_log(clock.now, Input::Reconfigure { ticket, change }, out);
    }

    /// An operator wants another member to lead, see [`Input::Transfer`]; the answer is one [`Report::Transferred`] or
    /// [`Report::Declined`] under `ticket`. Only the leader takes it.
    pub fn transfer(
        &mut self,
        clock: Clock,
        ticket: Ticket,
        to: Option<NodeId>,
        out: &mut Effects<L, S>,
    ) {
        let ticket = self.order(ticket, Order::Transfer, out);
        self.step_log(clock.now, Input::Transfer { ticket, to }, out);
    }

    /// Takes note of an order; returns the log's name for it.
    fn order(&mut self, ticket: Ticket, order: Order, out: &mut Effects<L, S>) -> Ticket {
        let inner = self.next_ticket();
        if let Some(ticket) = self.leading.orders.take(inner, ticket, order) {
            out.push(Effect::Report(Report::Undecided { ticket }));
        }
        inner
    }

    pub(super) fn on_report(&mut self, mut report: Report, out: &mut Effects<L, S>) {
        let own = match report {
            Report::Reconfigured { ticket, at } => self.on_wish_answer(ticket, Ok(at), out),
            Report::Transferred { ticket, to, epoch } => {
                self.on_hand_over_answer(ticket, Ok((to, epoch)), out)
            }
            Report::Declined { ticket, why } => {
                self.on_wish_answer(ticket, Err(why), out)
                    || self.on_hand_over_answer(ticket, Err(why), out)
            }
            _ => false,
        };
        if own {
            return;
        }
        match &mut report {
            Report::Promoted { ticket, .. }
            | Report::Reconfigured { ticket, .. }
            | Report::Transferred { ticket, .. }
            | Report::Declined { ticket, .. }
            | Report::Undecided { ticket } => {
                let Some(asked) = self.leading.orders.answer(*ticket) else {
                    return;
                };
                *ticket = asked;
            }
            Report::Lost { .. } | Report::Cut { .. } => {}
        }
        out.push(Effect::Report(report));
    }
}
