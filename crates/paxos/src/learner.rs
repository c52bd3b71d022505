//! The learner: which slots are chosen, in whatever order that becomes known; handed out in order.
//!
//! ```text
//!   handed out   chosen, waiting       a hole: the slots before 8 are not all chosen
//!  ───────────┐   ┌───┐ ┌──┐
//!  1 2 3 4 5 6│ 7 │8 9│ │12│           `ahead` = {8..10, 12..13}
//! ```
//! Safety rests on two rules (`RELIABILITY` P8): a slot is marked only where this member holds the chosen value
//! itself, which [`Acceptor::accepted_in`] shows; and nothing is handed out across a hole.
//!
//! [`Acceptor::accepted_in`]: crate::acceptor::Acceptor::accepted_in

use quorate_core::{Output, Position, Ranges};

use crate::paxos::Out;
use crate::slots::Slots;

#[derive(Clone, Debug, Default)]
pub(crate) struct Learner {
    /// Chosen slots that are not handed out yet.
    ahead: Ranges,
}

impl Learner {
    /// The slots `start..end` are chosen, and held with the chosen value.
    pub(crate) fn learn(&mut self, start: u64, end: u64) {
        self.ahead.insert(start, end);
    }

    /// Hands out everything that is chosen behind what was handed out, up to the first hole.
    pub(crate) fn deliver(&mut self, slots: &mut Slots, out: &mut Out) {
        let next = slots.settled().next().get();
        let end = self.ahead.gap(next);
        if end > next {
            slots.settle(Position(end - 1), |run| out.push(Output::Commit(run)));
        }
        self.ahead.remove_below(end);
    }

    /// Chosen slots that wait behind a hole.
    pub(crate) const fn ahead(&self) -> &Ranges {
        &self.ahead
    }
}
