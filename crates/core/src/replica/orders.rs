//! Orders of operators, from the door until the log has answered them.

use alloc::collections::VecDeque;

use crate::Ticket;

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
