//! The acceptor: what it promised, what it accepted, and what of that is on its disk.
//!
//! (Paxos Made Simple, 2.2: P1a, and the two phases' second halves; Paxos Made Moderately Complex, 2.1.)

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use quorate_core::{Mark, Position, Ranges};
use smallvec::SmallVec;

use crate::lease::Pledge;
use crate::slots::{Fit, Slots};
use crate::{Ballot, Value, Vote};

#[derive(Clone, Debug)]
pub(crate) struct Acceptor {
    /// Nothing below is promised or accepted any more.
    promised: Ballot,
    /// The record that says so.
    promised_mark: Mark,
    /// The last promise that is on disk, and so may be spoken of.
    spoken: Ballot,
    pub(crate) slots: Slots,
    /// Acceptances that are being written, oldest first.
    flying: VecDeque<(Mark, Ballot, u64, u64)>,
    /// The slots that were accepted in the promised ballot and are on disk: what may be acknowledged.
    taken: Ranges,
    /// The slots that have any value on disk.
    durable: Ranges,
    /// Whether anything was accepted in the promised ballot: then its phase 1 is over.
    accepting: bool,
    /// Whose lease it keeps.
    pub(crate) pledge: Pledge,
}

impl Acceptor {
    /// The acceptor as its journal remembers it: all of it is on disk.
    pub(crate) fn restored(promised: Ballot, slots: Slots, pledge: Pledge) -> Self {
        let (mut taken, mut durable) = (Ranges::new(), Ranges::new());
        let (first, last) = (slots.base().next(), slots.last());
        slots.accepted_in(promised, first, last, |start, end| {
            taken.insert(start, end);
        });
        slots.held(|start, end| {
            durable.insert(start, end);
        });
        Self {
            promised,
            promised_mark: Mark::ZERO,
            spoken: promised,
            slots,
            flying: VecDeque::new(),
            accepting: !taken.is_empty(),
            taken,
            durable,
            pledge,
        }
    }

    pub(crate) const fn promised(&self) -> Ballot {
        self.promised
    }

    /// The record of the promise.
    pub(crate) const fn promised_mark(&self) -> Mark {
        self.promised_mark
    }

    /// The last promise that is on disk.
    pub(crate) const fn spoken(&self) -> Ballot {
        self.spoken
    }

    /// Whether the promise is on disk.
    pub(crate) fn is_spoken(&self) -> bool {
        self.spoken == self.promised
    }

    /// The slots that were accepted in the promised ballot and are on disk.
    pub(crate) const fn taken(&self) -> &Ranges {
        &self.taken
    }

    /// Promises: `mark` is the record that says so. What is still being written in earlier ballots is no longer
    /// acknowledged, but it stays accepted, and is on disk before the promise is.
    pub(crate) fn promise(&mut self, ballot: Ballot, mark: Mark) {
        assert!(ballot > self.promised, "promises only rise (P2)");
        (self.promised, self.promised_mark) = (ballot, mark);
        (self.taken, self.accepting) = (Ranges::new(), false);
    }

    /// How a proposal in the promised ballot fits what is held.
    pub(crate) fn fit(&self, first: Position, values: &[Value]) -> Fit {
        self.slots.fit(first, self.promised, values)
    }

    /// Accepts values in the promised ballot: `mark` is the record that says so.
    pub(crate) fn accept(&mut self, first: Position, values: &SmallVec<[Value; 1]>, mark: Mark) {
        let mut at = first;
        for value in values {
            self.slots.put(at, self.promised, value.clone(), mark);
            at = at.plus(value.slots());
        }
        self.accepting = true;
        let written = (mark, self.promised, first.get(), at.get());
        self.flying.push_back(written);
    }

    /// Everything up to `upto` is on disk. True: there is more to acknowledge.
    pub(crate) fn on_durable(&mut self, upto: Mark) -> bool {
        if self.promised_mark <= upto {
            self.spoken = self.promised;
        }
        let mut grown = false;
        while let Some((mark, ballot, start, end)) = self.flying.front().copied() {
            if mark > upto {
                break;
            }
            self.flying.pop_front();
            self.durable.insert(start, end);
            if ballot == self.promised {
                self.taken.insert(start, end);
                grown = true;
            }
        }
        self.durable.remove_below(self.slots.base().next().get());
        grown
    }

    /// Up to where every slot has a value on disk, in its log or in a snapshot.
    pub(crate) fn durable(&self) -> Position {
        let next = self.slots.base().next().get();
        Position(self.durable.gap(next) - 1).min(self.slots.last())
    }

    /// What it voted for from `from` on, in pieces of `budget`; none: its ballot's phase 1 is over.
    ///
    /// All of it is on disk when the promise is: it was written before. And nothing of it changes from one piece to
    /// the next, because after the promise only the ballot itself could change it, which ends phase 1 (P13).
    pub(crate) fn votes(
        &self,
        from: Position,
        budget: u64,
    ) -> Option<(Vec<Vote>, Option<Position>)> {
        (!self.accepting).then(|| self.slots.votes(from, budget))
    }

    /// Calls `visit` with every run of `first..=last` that is held in `ballot`: if the ballot's leader says that these
    /// slots are chosen, what is held there is what was chosen (P8).
    pub(crate) fn accepted_in(
        &self,
        ballot: Ballot,
        first: Position,
        last: Position,
        visit: impl FnMut(u64, u64),
    ) {
        self.slots.accepted_in(ballot, first, last, visit);
    }

    /// Forgets everything up to `base`.
    pub(crate) fn forget(&mut self, base: Position) {
        self.slots.forget(base);
        self.durable.remove_below(base.next().get());
        self.taken.remove_below(base.next().get());
    }
}
