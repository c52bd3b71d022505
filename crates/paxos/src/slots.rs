//! The slots that an acceptor holds: runs with holes between them.
//!
//! ```text
//!  base      settled            last
//!   │           │                │        runs: each a slice of one batch, one ballot, one record
//!   ▼           ▼                ▼
//!   ·[1 2 3][4 5] ·  ·[8 9][10 11]
//!                └ hole ┘
//! ```
//! - Runs are ascending and disjoint; between them there may be holes, but none at or below `settled`.
//! - Ballots rise and fall from run to run as they like: every slot has its own.
//! - Putting a value into a slot replaces what an earlier ballot had put there, never what a later one had.
//! - What a run costs does not depend on how many slots it has.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use quorate_core::{Committed, Configuration, Mark, Position, partition_from_end};
use smallvec::SmallVec;

use crate::{Ballot, Value, Vote};

#[derive(Clone, Debug)]
pub(crate) struct Slots {
    /// Everything up to here is gone, covered by a snapshot.
    base: Position,
    /// Everything up to here was handed out as chosen.
    settled: Position,
    runs: VecDeque<Held>,
    /// Weight of all runs.
    bytes: u64,
    /// Weight of the runs that are not wholly settled.
    open: u64,
}

/// A run with its place and the record that holds it.
#[derive(Clone, Debug)]
struct Held {
    first: Position,
    ballot: Ballot,
    mark: Mark,
    weight: u64,
    value: Value,
}

impl Held {
    fn last(&self) -> Position {
        Position(self.first.get() + self.value.slots() - 1)
    }

    /// The part of it in `first..=last`, which overlaps it.
    fn part(&self, first: Position, last: Position) -> Self {
        let from = first.max(self.first).get() - self.first.get();
        let to = last.min(self.last()).get() + 1 - self.first.get();
        let value = self.value.part(from, to);
        Self {
            first: self.first.plus(from),
            weight: value.batch.weight(),
            value,
            ..*self
        }
    }
}

/// What stands against a proposal in the slots that it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fit {
    /// Some of it is not held yet in that ballot.
    Fresh,
    /// All of it is held in that ballot.
    Known,
    /// A slot holds another value in that ballot, or one that is chosen, or one of a later ballot.
    Conflict,
}

impl Slots {
    /// Nothing behind `base`, which is chosen and handed out.
    pub(crate) const fn new(base: Position) -> Self {
        Self {
            base,
            settled: base,
            runs: VecDeque::new(),
            bytes: 0,
            open: 0,
        }
    }

    /// The last slot that is gone.
    pub(crate) const fn base(&self) -> Position {
        self.base
    }

    /// The last slot that was handed out.
    pub(crate) const fn settled(&self) -> Position {
        self.settled
    }

    /// The last slot that is held, or the base.
    pub(crate) fn last(&self) -> Position {
        self.runs
            .back()
            .map_or(self.settled, |held| held.last().max(self.settled))
    }

    /// Weight of everything held.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Weight of what was not handed out yet.
    pub(crate) const fn open(&self) -> u64 {
        self.open
    }

    /// The oldest record that holds a run.
    pub(crate) fn oldest_mark(&self) -> Option<Mark> {
        self.runs.iter().map(|held| held.mark).min()
    }

    /// The first slot at or behind `from` that is not held.
    pub(crate) fn gap(&self, from: Position) -> Position {
        let mut at = from;
        for held in self.runs.range(self.index_from(from)..) {
            if held.first > at {
                break;
            }
            at = held.last().next();
        }
        at
    }

    /// How a proposal in `ballot` fits.
    pub(crate) fn fit(&self, first: Position, ballot: Ballot, values: &[Value]) -> Fit {
        let mut fit = Fit::Known;
        let mut at = first;
        for value in values {
            let end = at.plus(value.slots());
            let mut covered = at;
            for held in self.runs.range(self.index_from(at)..) {
                if held.first >= end {
                    break;
                }
                let settled = held.first.max(at) <= self.settled;
                if (held.ballot == ballot || settled) && held.value.born != value.born {
                    return Fit::Conflict;
                }
                if held.ballot > ballot {
                    return Fit::Conflict;
                }
                if held.ballot < ballot || held.first > covered {
                    fit = Fit::Fresh;
                }
                covered = held.last().next();
            }
            if covered < end {
                fit = Fit::Fresh;
            }
            at = end;
        }
        fit
    }

    /// Puts a value into its slots, in place of what an earlier ballot put there.
    pub(crate) fn put(&mut self, first: Position, ballot: Ballot, value: Value, mark: Mark) {
        assert!(first > self.base, "what is gone stays gone");
        let last = first.plus(value.slots()).prev();
        self.carve(first, last, ballot, &value);
        let held = Held {
            first,
            ballot,
            mark,
            weight: value.batch.weight(),
            value,
        };
        self.count(&held);
        if self.runs.back().is_none_or(|newest| newest.first < first) {
            return self.runs.push_back(held);
        }
        self.runs.insert(self.index_from(first), held);
    }

    /// Empties `first..=last` for a value of `ballot`.
    fn carve(&mut self, first: Position, last: Position, ballot: Ballot, value: &Value) {
        let low = self.index_from(first);
        let overlap = self.runs.range(low..);
        let high = low + overlap.take_while(|held| held.first <= last).count();
        if low == high {
            return;
        }
        let mut rest: SmallVec<[Held; 2]> = SmallVec::new();
        for held in self.runs.drain(low..high) {
            assert!(
                held.ballot <= ballot,
                "a later ballot's vote is never replaced"
            );
            assert!(
                held.ballot < ballot || held.value.born == value.born,
                "a second value at slot {first} in ballot {ballot} (P20)"
            );
            assert!(
                held.first.max(first) > self.settled || held.value.born == value.born,
                "another value at slot {first} than was chosen (P1)"
            );
            self.bytes -= held.weight;
            if held.last() > self.settled {
                self.open -= held.weight;
            }
            if held.first < first {
                rest.push(held.part(held.first, first.prev()));
            }
            if held.last() > last {
                rest.push(held.part(last.next(), held.last()));
            }
        }
        for (offset, held) in rest.into_iter().enumerate() {
            self.count(&held);
            self.runs.insert(low + offset, held);
        }
    }

    fn count(&mut self, held: &Held) {
        self.bytes += held.weight;
        if held.last() > self.settled {
            self.open += held.weight;
        }
    }

    /// Everything up to `upto` is held and chosen; hands what newly is to `emit`, in order. Stops behind a configuration,
    /// which it returns, and in front of it unless `changes`.
    pub(crate) fn settle(
        &mut self,
        upto: Position,
        changes: bool,
        mut emit: impl FnMut(Committed),
    ) -> Option<(Position, Configuration)> {
        if upto <= self.settled {
            return None;
        }
        let start = self.index_from(self.settled.next());
        for held in self.runs.range(start..) {
            if held.first > upto {
                break;
            }
            let configuration = held.value.is_configuration();
            if configuration && !changes {
                return None;
            }
            let first = held.first.max(self.settled.next());
            assert_eq!(first, self.settled.next(), "what is handed out has no gap");
            let part = held.part(first, upto);
            self.settled = part.last();
            emit(Committed {
                first,
                epoch: part.value.born.epoch(),
                batch: part.value.batch,
            });
            if held.last() <= upto {
                self.open -= held.weight;
            }
            if configuration {
                let said = held.value.batch.configured();
                return Some((self.settled, said.expect("it was looked at when it came")));
            }
        }
        assert!(self.settled >= upto, "only what is held is handed out");
        None
    }

    /// The state machine has everything up to `upto`: held and chosen, and not to be handed out again.
    pub(crate) fn skip(&mut self, upto: Position) {
        while self.settle(upto, true, |_| {}).is_some() {}
    }

    /// Consecutive values from `first` on up to `last`, as many as weigh `budget`, at least one.
    pub(crate) fn read(
        &self,
        first: Position,
        last: Position,
        budget: u64,
    ) -> SmallVec<[Value; 1]> {
        let mut values = SmallVec::new();
        let (mut at, mut left) = (first, budget);
        for held in self.runs.range(self.index_from(first)..) {
            if held.first > at || at > last {
                break;
            }
            let from = at.get() - held.first.get();
            let end = (last.get() + 1 - held.first.get()).min(held.value.slots());
            let to = held.value.batch.fit(from, left).min(end);
            let value = held.value.part(from, to);
            let weight = value.batch.weight();
            if weight > left && !values.is_empty() {
                break;
            }
            left = left.saturating_sub(weight);
            at = at.plus(value.slots());
            values.push(value);
            if to < end {
                break;
            }
        }
        values
    }

    /// The value that is held at `at`, from there on up to `last`, as much as weighs `budget`, at least one slot.
    pub(crate) fn run_at(&self, at: Position, last: Position, budget: u64) -> Option<Value> {
        let held = self.runs.get(self.index_from(at))?;
        if held.first > at || at > last {
            return None;
        }
        let from = at.get() - held.first.get();
        let end = (last.get() + 1 - held.first.get()).min(held.value.slots());
        let to = held.value.batch.fit(from, budget).min(end);
        Some(held.value.part(from, to))
    }

    /// What was voted for from `from` on, as much as weighs `budget`, at least one run; and where to go on.
    pub(crate) fn votes(&self, from: Position, budget: u64) -> (Vec<Vote>, Option<Position>) {
        let mut votes = Vec::new();
        let mut left = budget;
        for held in self.runs.range(self.index_from(from)..) {
            let start = from.max(held.first).get() - held.first.get();
            let to = held.value.batch.fit(start, left);
            let value = held.value.part(start, to);
            let weight = value.batch.weight();
            let first = held.first.plus(start);
            if weight > left && !votes.is_empty() {
                return (votes, Some(first));
            }
            left = left.saturating_sub(weight);
            votes.push(Vote {
                first,
                ballot: held.ballot,
                value,
            });
            if to < held.value.slots() {
                return (votes, Some(held.first.plus(to)));
            }
        }
        (votes, None)
    }

    /// Calls `visit` with every run of `first..=last` that was accepted in `ballot`.
    pub(crate) fn accepted_in(
        &self,
        ballot: Ballot,
        first: Position,
        last: Position,
        mut visit: impl FnMut(u64, u64),
    ) {
        for held in self.runs.range(self.index_from(first)..) {
            if held.first > last {
                break;
            }
            if held.ballot == ballot {
                let (from, to) = (held.first.max(first), held.last().min(last));
                visit(from.get(), to.get() + 1);
            }
        }
    }

    /// Calls `visit` with every run.
    pub(crate) fn held(&self, mut visit: impl FnMut(u64, u64)) {
        for held in &self.runs {
            visit(held.first.get(), held.last().get() + 1);
        }
    }

    /// Forgets everything up to `base`, which a snapshot covers.
    pub(crate) fn forget(&mut self, base: Position) {
        while let Some(held) = self.runs.front().filter(|held| held.first <= base) {
            self.bytes -= held.weight;
            if held.last() > self.settled {
                self.open -= held.weight;
            }
            let rest = (held.last() > base).then(|| held.part(base.next(), held.last()));
            self.runs.pop_front();
            if let Some(rest) = rest {
                self.count(&rest);
                self.runs.push_front(rest);
                break;
            }
        }
        self.base = self.base.max(base);
        if self.settled < self.base {
            // What straddles has been cut, so that every run left is open as a whole.
            self.settled = self.base;
        }
    }

    /// The first run that ends at or behind `from`. The hot path lives near the end.
    fn index_from(&self, from: Position) -> usize {
        partition_from_end(self.runs.len(), |index| self.runs[index].last() < from)
    }
}
