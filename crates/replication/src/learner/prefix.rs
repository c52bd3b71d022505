//! The chosen prefix in memory: runs without a gap, from just behind the base to the last.

use alloc::collections::VecDeque;

use quorate_core::{Batch, Committed, Epoch, Mark, Position};

#[derive(Clone, Debug)]
pub(crate) struct Prefix {
    /// The last position that is gone, covered by a snapshot.
    base: Position,
    runs: VecDeque<Held>,
    /// Weight of all runs.
    bytes: u64,
}

#[derive(Clone, Debug)]
struct Held {
    run: Committed,
    /// The record that holds it.
    mark: Mark,
}

impl Prefix {
    pub(crate) const fn new(base: Position) -> Self {
        Self {
            base,
            runs: VecDeque::new(),
            bytes: 0,
        }
    }

    pub(crate) const fn base(&self) -> Position {
        self.base
    }

    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn last(&self) -> Position {
        self.runs.back().map_or(self.base, |held| held.run.last())
    }

    /// The last position whose record is not above `mark`.
    pub(crate) fn durable(&self, mark: Mark) -> Position {
        let known = self.runs.partition_point(|held| held.mark <= mark);
        known
            .checked_sub(1)
            .map_or(self.base, |index| self.runs[index].run.last())
    }

    pub(crate) fn oldest_mark(&self) -> Option<Mark> {
        self.runs.front().map(|held| held.mark)
    }

    /// The part of a run that is not held yet, if it follows without a gap.
    pub(crate) fn news(&self, first: Position, batch: &Batch) -> Option<Batch> {
        let next = self.last().next();
        let skip = next.get().checked_sub(first.get())?;
        (skip < batch.len()).then(|| {
            if skip == 0 {
                batch.clone()
            } else {
                batch.slice(skip, batch.len())
            }
        })
    }

    /// Puts a batch behind the last position.
    pub(crate) fn push(&mut self, epoch: Epoch, batch: Batch, mark: Mark) -> &Committed {
        self.bytes += batch.weight();
        let first = self.last().next();
        let run = Committed {
            first,
            epoch,
            batch,
        };
        self.runs.push_back(Held { run, mark });
        &self.runs.back().expect("just pushed").run
    }

    /// Forgets everything up to `upto`; whatever is not held counts as forgotten, too.
    pub(crate) fn forget(&mut self, upto: Position) {
        while let Some(held) = self.runs.front().filter(|held| held.run.first <= upto) {
            self.bytes -= held.run.batch.weight();
            let mark = held.mark;
            let rest = cut(&held.run, upto.next());
            self.runs.pop_front();
            if let Some(run) = rest {
                self.bytes += run.batch.weight();
                self.runs.push_front(Held { run, mark });
            }
        }
        self.base = self.base.max(upto);
    }

    /// What is held from `at` on in one run.
    pub(crate) fn run_at(&self, at: Position) -> Option<Committed> {
        let index = self.runs.partition_point(|held| held.run.last() < at);
        let held = self.runs.get(index).filter(|held| held.run.first <= at)?;
        cut(&held.run, at)
    }
}

/// The part of a run from `at` on.
fn cut(run: &Committed, at: Position) -> Option<Committed> {
    let first = run.first.max(at);
    let skip = first.get() - run.first.get();
    let length = run.batch.len();
    (skip < length).then(|| Committed {
        first,
        epoch: run.epoch,
        batch: if skip == 0 {
            run.batch.clone()
        } else {
            run.batch.slice(skip, length)
        },
    })
}

#[cfg(test)]
mod tests {
    use quorate_core::{BatchBuilder, Label};

    use super::*;

    fn batch(count: usize) -> Batch {
        let mut builder = BatchBuilder::new();
        for _ in 0..count {
            builder.push(b"x");
        }
        builder.finish(Label::default()).expect("commands")
    }

    #[test]
    fn runs_follow_without_a_gap_and_are_forgotten_from_the_front() {
        let mut prefix = Prefix::new(Position(4));
        prefix.push(Epoch::default(), batch(3), Mark(1));
        prefix.push(Epoch::default(), batch(2), Mark(2));
        assert_eq!(
            (prefix.last(), prefix.durable(Mark(1))),
            (Position(9), Position(7))
        );
        assert_eq!(
            prefix.news(Position(8), &batch(4)).map(|b| b.len()),
            Some(2)
        );
        assert_eq!(prefix.news(Position(11), &batch(1)), None);
        assert_eq!(prefix.news(Position(5), &batch(5)), None);
        prefix.forget(Position(6));
        let first = prefix.run_at(Position(7)).expect("held");
        assert_eq!((first.first, first.batch.len()), (Position(7), 1));
        assert_eq!(
            (prefix.base(), prefix.run_at(Position(6))),
            (Position(6), None)
        );
        assert_eq!(
            prefix.bytes(),
            batch(3).slice(2, 3).weight() + batch(2).weight()
        );
        prefix.forget(Position(20));
        assert_eq!((prefix.last(), prefix.bytes()), (Position(20), 0));
    }
}
