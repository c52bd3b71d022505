//! Orders of operators: what they come to, and who waits for that.

use quorate_core::{
    ChangeError, Epoch, NodeId, Position, Rejection, Report, SnapshotMeta, Ticket, Unfit,
};
use tokio::sync::oneshot;

/// A member that was promoted: it leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Promoted {
    /// In which epoch.
    pub epoch: Epoch,
    /// How many entries the former leader is known to have had that this member has not; none: not known.
    pub missing: Option<u64>,
}

/// Leadership that was handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transferred {
    /// Who leads now.
    pub to: NodeId,
    /// In which epoch.
    pub epoch: Epoch,
}

/// Why an order was not carried out. All but [`OrderError::Undecided`] and [`OrderError::Stopped`] say that it has had
/// and will have no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// Only the leader can, and that is another member, or nobody at the moment.
    #[error("not the leader")]
    NotLeader {
        /// Who leads, as far as known.
        leader: Option<NodeId>,
        /// In which epoch.
        epoch: Epoch,
    },
    /// The members cannot be changed so.
    #[error("members not changed: {0}")]
    Change(ChangeError),
    /// That member is not to lead.
    #[error("not to lead: {0}")]
    Unfit(Unfit),
    /// The log refuses, for another reason.
    #[error(transparent)]
    Refused(Rejection),
    /// The leader went before it was known what would come of it: look at the configuration, and order again.
    #[error("the leader went before it was decided: it may or may not come about")]
    Undecided,
    /// The snapshot could not be written; the member's log says why. It is tried again.
    #[error("the snapshot could not be written")]
    SnapshotFailed,
    /// Nothing was applied yet: there is no state to take a snapshot of.
    #[error("nothing was applied yet")]
    Empty,
    /// Too many orders came behind this one, which was given up; what came of it is not known.
    #[error("too many orders at once")]
    Replaced,
    /// The member's queue is full.
    #[error("overloaded")]
    Overloaded,
    /// The member has stopped; whether the order was carried out is not known.
    #[error("the member has stopped")]
    Stopped,
}

impl From<Rejection> for OrderError {
    fn from(why: Rejection) -> Self {
        match why {
            Rejection::NotLeader { leader, epoch } => Self::NotLeader { leader, epoch },
            Rejection::Change(error) => Self::Change(error),
            Rejection::Unfit(unfit) => Self::Unfit(unfit),
            other => Self::Refused(other),
        }
    }
}

/// Where an outcome is awaited.
pub(crate) type Outcome<T> = oneshot::Sender<Result<T, OrderError>>;

/// Who waits for what.
#[derive(Debug)]
pub(crate) enum Waiter {
    Promote(Outcome<Promoted>),
    Reconfigure(Outcome<Position>),
    Transfer(Outcome<Transferred>),
}

/// Orders that are not answered yet: at most [`Self::MAX`], then the oldest is given up.
#[derive(Debug, Default)]
pub(crate) struct Orders {
    last: u64,
    open: Vec<(Ticket, Waiter)>,
    /// Who waits for a snapshot that includes a position.
    snapshots: Vec<(Position, Outcome<SnapshotMeta>)>,
}

impl Orders {
    const MAX: usize = 16;

    /// Takes in who waits, and names the order.
    pub(crate) fn take(&mut self, waiter: Waiter) -> Ticket {
        if self.open.len() >= Self::MAX {
            self.open.remove(0).1.fail(OrderError::Replaced);
        }
        self.last += 1;
        self.open.push((Ticket(self.last), waiter));
        Ticket(self.last)
    }

    /// Tells who waits for it what is reported, if it is the answer to an order.
    pub(crate) fn on_report(&mut self, report: Report) {
        match report {
            Report::Promoted {
                ticket,
                epoch,
                missing,
            } => {
                if let Some(Waiter::Promote(outcome)) = self.answer(ticket) {
                    // Who no longer waits does not want to know; likewise below.
                    let _ = outcome.send(Ok(Promoted { epoch, missing }));
                }
            }
            Report::Reconfigured { ticket, at } => {
                if let Some(Waiter::Reconfigure(outcome)) = self.answer(ticket) {
                    let _ = outcome.send(Ok(at));
                }
            }
            Report::Transferred { ticket, to, epoch } => {
                if let Some(Waiter::Transfer(outcome)) = self.answer(ticket) {
                    let _ = outcome.send(Ok(Transferred { to, epoch }));
                }
            }
            Report::Declined { ticket, why } => self.fail(ticket, why.into()),
            Report::Undecided { ticket } => self.fail(ticket, OrderError::Undecided),
            Report::Lost { .. } | Report::Cut { .. } => {}
        }
    }

    /// Takes in who waits for a snapshot that includes this position.
    pub(crate) fn await_snapshot(&mut self, from: Position, outcome: Outcome<SnapshotMeta>) {
        if self.snapshots.len() >= Self::MAX {
            // Who no longer waits does not want to know; likewise below.
            let _ = self.snapshots.remove(0).1.send(Err(OrderError::Replaced));
        }
        self.snapshots.push((from, outcome));
    }

    /// The newest snapshot that is durable.
    pub(crate) fn on_snapshot(&mut self, newest: Option<SnapshotMeta>) {
        let Some(newest) = newest.filter(|_| !self.snapshots.is_empty()) else {
            return;
        };
        let (there, rest) = std::mem::take(&mut self.snapshots)
            .into_iter()
            .partition(|(from, _)| *from <= newest.position);
        self.snapshots = rest;
        let there: Vec<_> = there;
        for (_, outcome) in there {
            let _ = outcome.send(Ok(newest));
        }
    }

    /// A snapshot could not be written.
    pub(crate) fn on_snapshot_failed(&mut self) {
        for (_, outcome) in self.snapshots.drain(..) {
            let _ = outcome.send(Err(OrderError::SnapshotFailed));
        }
    }

    fn fail(&mut self, ticket: Ticket, error: OrderError) {
        if let Some(waiter) = self.answer(ticket) {
            waiter.fail(error);
        }
    }

    fn answer(&mut self, ticket: Ticket) -> Option<Waiter> {
        let index = self.open.iter().position(|open| open.0 == ticket)?;
        Some(self.open.remove(index).1)
    }
}

impl Waiter {
    fn fail(self, error: OrderError) {
        // Who no longer waits does not want to know.
        match self {
            Self::Promote(outcome) => drop(outcome.send(Err(error))),
            Self::Reconfigure(outcome) => drop(outcome.send(Err(error))),
            Self::Transfer(outcome) => drop(outcome.send(Err(error))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_order_gets_its_own_answer_once() {
        let mut orders = Orders::default();
        let (outcome, mut changed) = oneshot::channel();
        let change = orders.take(Waiter::Reconfigure(outcome));
        let (outcome, mut handed_over) = oneshot::channel();
        let transfer = orders.take(Waiter::Transfer(outcome));
        let at = Position(7);
        let why = Rejection::Unfit(Unfit::Silent(NodeId(2)));
        orders.on_report(Report::Declined {
            ticket: transfer,
            why,
        });
        orders.on_report(Report::Reconfigured { ticket: change, at });
        orders.on_report(Report::Undecided { ticket: change });
        assert_eq!(changed.try_recv(), Ok(Ok(at)));
        let silent = OrderError::Unfit(Unfit::Silent(NodeId(2)));
        assert_eq!(handed_over.try_recv(), Ok(Err(silent)));
    }

    #[test]
    fn the_oldest_order_is_given_up_when_there_are_too_many() {
        let mut orders = Orders::default();
        let (outcome, mut first) = oneshot::channel();
        orders.take(Waiter::Reconfigure(outcome));
        for _ in 0..Orders::MAX {
            let (outcome, _) = oneshot::channel();
            orders.take(Waiter::Reconfigure(outcome));
        }
        assert_eq!(first.try_recv(), Ok(Err(OrderError::Replaced)));
    }
}
