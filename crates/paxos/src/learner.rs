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

use quorate_core::{Configuration, Output, Position, Ranges};

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

    /// Hands out everything that is chosen behind what was handed out, up to the first hole; but stops behind a
    /// configuration, which it returns, and in front of it unless `changes`.
    pub(crate) fn deliver(
        &mut self,
        slots: &mut Slots,
        changes: bool,
        out: &mut Out,
    ) -> Option<(Position, Configuration)> {
        let next = slots.settled().next().get();
        let end = self.ahead.gap(next);
        if end <= next {
            self.ahead.remove_below(end);
            return None;
        }
        let emit = |run| out.push(Output::Commit(run));
        let configuration = slots.settle(Position(end - 1), changes, emit);
        self.ahead.remove_below(slots.settled().next().get());
        configuration
    }

    /// Forgets what a leader has counted behind a hole: that is chosen only as long as the hole turns out to hold no
    /// configuration, and this is for another leader to say now.
    pub(crate) fn doubt(&mut self) {
        self.ahead = Ranges::new();
    }

    /// Chosen slots that wait behind a hole.
    pub(crate) const fn ahead(&self) -> &Ranges {
        &self.ahead
    }
}
