//! The log in memory: runs of entries, from just behind the base to the last.
//!
//! ```text
//!  base   committed   durable   last        runs: each a slice of one batch, one term, one record
//!   │         │          │        │
//!   ▼         ▼          ▼        ▼
//!   ·[1 2 3][4 5][6][7 8 9 10][11 12]
//! ```
//! - Runs are consecutive; terms never fall from one to the next; marks never fall either.
//! - `base <= committed <= last`; `durable <= last`. Committed and durable are independent of each other: a quorum
//!   of faster disks may choose what this one is still writing.
//! - Nothing at or below committed is ever cut (asserted).
//! - What a run costs does not depend on how many entries it has: a run is split only where a cut, a commit
//!   or the size of a message falls into it.

use alloc::collections::VecDeque;

use quorate_core::{Batch, Committed, Mark, Position, partition_from_end};
use smallvec::SmallVec;

use crate::{Point, Run, Term};

#[derive(Clone, Debug)]
pub(crate) struct Log {
    /// The last entry that is gone, covered by a snapshot.
    base: Point,
    /// The record that says so; with it on disk, everything up to the base is.
    base_mark: Mark,
    runs: VecDeque<Held>,
    /// Up to where the log is on this disk, and the runs that are.
    durable: (Position, usize),
    /// Up to where the log is chosen, and the runs that wholly are.
    committed: (Position, usize),
    /// Weight of all runs.
    bytes: u64,
    /// Weight of the runs that are not wholly chosen.
    uncommitted: u64,
}

/// A run with its place and the record that holds it.
#[derive(Clone, Debug)]
struct Held {
    first: Position,
    term: Term,
    mark: Mark,
    weight: u64,
    batch: Batch,
}

impl Held {
    fn run(&self) -> Run {
        Run {
            term: self.term,
            batch: self.batch.clone(),
        }
    }

    fn last(&self) -> Position {
        Position(self.first.get() + self.batch.len() - 1)
    }
}

impl Log {
    /// An empty log behind `base`, which is on disk and chosen.
    pub(crate) const fn new(base: Point) -> Self {
        Self {
            base,
            base_mark: Mark::ZERO,
            runs: VecDeque::new(),
            durable: (base.position, 0),
            committed: (base.position, 0),
            bytes: 0,
            uncommitted: 0,
        }
    }

    /// The last entry that is gone.
    pub(crate) const fn base(&self) -> Point {
        self.base
    }

    /// The last entry.
    pub(crate) fn last(&self) -> Point {
        self.runs.back().map_or(self.base, |held| Point {
            position: held.last(),
            term: held.term,
        })
    }

    /// Up to where it is on this disk.
    pub(crate) const fn durable(&self) -> Position {
        self.durable.0
    }

    /// Up to where it is chosen.
    pub(crate) const fn committed(&self) -> Position {
        self.committed.0
    }

    /// Weight of everything held.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Weight of what is not chosen yet.
    pub(crate) const fn uncommitted(&self) -> u64 {
        self.uncommitted
    }

    /// The record of the oldest run held.
    pub(crate) fn oldest_mark(&self) -> Option<Mark> {
        self.runs.front().map(|held| held.mark)
    }

    /// The term of the entry at `position`, if held or just behind what is.
    pub(crate) fn term_at(&self, position: Position) -> Option<Term> {
        if position == self.base.position {
            return Some(self.base.term);
        }
        self.index_of(position).map(|index| self.runs[index].term)
    }

    /// Whether the log has exactly this point.
    pub(crate) fn holds(&self, point: Point) -> bool {
        self.term_at(point.position) == Some(point.term)
    }

    /// The last point at or before `position` whose term is not above `term`; none if that is further back than
    /// the base.
    ///
    /// Both sides of a conflict answer with it (Raft 5.3, and further: two terms are compared, not one), so that
    /// one round trip skips whatever either side can rule out.
    pub(crate) fn floor(&self, position: Position, term: Term) -> Option<Point> {
        if position < self.base.position {
            return None;
        }
        let behind = |held: &Held| held.first <= position && held.term <= term;
        match self.runs.partition_point(behind).checked_sub(1) {
            Some(index) => Some(Point {
                position: self.runs[index].last().min(position),
                term: self.runs[index].term,
            }),
            None => (self.base.term <= term).then_some(self.base),
        }
    }

    /// The first position behind `prev` at which `runs` say something that is not held.
    ///
    /// Entries of one position and one term are the same entry, so only terms are compared.
    pub(crate) fn divergence(&self, prev: Position, runs: &[Run]) -> Option<Position> {
        let mut at = prev.next();
        for run in runs {
            let end = at.plus(run.batch.len());
            while at < end {
                let Some(index) = self.index_of(at) else {
                    return Some(at);
                };
                let held = &self.runs[index];
                if held.term != run.term {
                    return Some(at);
                }
                at = held.last().next().min(end);
            }
        }
        None
    }

    /// Puts a batch behind the last entry.
    pub(crate) fn append(&mut self, term: Term, batch: Batch, mark: Mark) {
        let last = self.last();
        assert!(last.term <= term, "terms never fall along a log");
        let weight = batch.weight();
        self.bytes += weight;
        self.uncommitted += weight;
        self.runs.push_back(Held {
            first: last.position.next(),
            term,
            mark,
            weight,
            batch,
        });
    }

    /// Cuts everything behind `after`.
    pub(crate) fn truncate(&mut self, after: Position) {
        assert!(
            after >= self.committed.0,
            "a cut behind {after} would undo what was chosen up to {}",
            self.committed.0
        );
        while let Some(held) = self.runs.back().filter(|held| held.first > after) {
            self.bytes -= held.weight;
            self.uncommitted -= held.weight;
            self.runs.pop_back();
        }
        if let Some(held) = self.runs.back_mut().filter(|held| held.last() > after) {
            let kept = held.batch.slice(0, after.get() + 1 - held.first.get());
            let cut = held.weight - kept.weight();
            (held.batch, held.weight) = (kept, held.weight - cut);
            self.bytes -= cut;
            self.uncommitted -= cut;
        }
        self.durable.0 = self.durable.0.min(after);
        self.durable.1 = self.durable.1.min(self.runs.len());
        self.settle_committed();
    }

    /// Every record up to `upto` is on disk. True: the log's share has grown.
    pub(crate) fn on_durable(&mut self, upto: Mark) -> bool {
        let before = self.durable.0;
        if self.base_mark <= upto {
            self.durable.0 = before.max(self.base.position);
        }
        while let Some(held) = self.runs.get(self.durable.1) {
            if held.mark > upto {
                break;
            }
            self.durable = (self.durable.0.max(held.last()), self.durable.1 + 1);
        }
        self.durable.0 > before
    }

    /// Everything up to `upto` is chosen; hands what newly is to `emit`, in order.
    pub(crate) fn commit(&mut self, upto: Position, mut emit: impl FnMut(Committed)) {
        assert!(upto <= self.last().position, "only what is held is chosen");
        while let Some(held) = self.runs.get(self.committed.1) {
            let first = held.first.max(self.committed.0.next());
            let last = held.last().min(upto);
            if first <= last {
                let (from, to) = (
                    first.get() - held.first.get(),
                    last.get() + 1 - held.first.get(),
                );
                let whole = to - from == held.batch.len();
                emit(Committed {
                    first,
                    epoch: held.term.epoch(),
                    batch: if whole {
                        held.batch.clone()
                    } else {
                        held.batch.slice(from, to)
                    },
                });
                self.committed.0 = last;
            }
            if held.last() > upto {
                break;
            }
            self.uncommitted -= held.weight;
            self.committed.1 += 1;
        }
    }

    /// The state machine holds everything up to `position`: chosen, and not to be handed out.
    pub(crate) fn skip_to(&mut self, position: Position) {
        assert!(
            position <= self.last().position,
            "only what is held is chosen"
        );
        self.committed.0 = self.committed.0.max(position);
        self.settle_committed();
    }

    /// Entries from `first` on, as many as weigh `budget`, at least one; and the entry before them. None if that is
    /// gone, or `first` lies beyond the last entry and its successor.
    pub(crate) fn read(&self, first: Position, budget: u64) -> Option<(Point, SmallVec<[Run; 1]>)> {
        let last = self.last();
        if first == last.position.next() {
            return Some((last, SmallVec::new()));
        }
        let mut index = self.index_of(first)?;
        let held = &self.runs[index];
        let skip = first.get() - held.first.get();
        let prev = Point {
            position: first.prev(),
            term: match index.checked_sub(1) {
                _ if skip > 0 => held.term,
                Some(before) => self.runs[before].term,
                None => self.base.term,
            },
        };
        let mut runs = SmallVec::new();
        let mut weight = held.weight;
        if skip == 0 && weight <= budget {
            runs.push(held.run());
        } else {
            let end = held.batch.fit(skip, budget);
            let batch = held.batch.slice(skip, end);
            weight = batch.weight();
            let term = held.term;
            runs.push(Run { term, batch });
            if end < held.batch.len() {
                return Some((prev, runs));
            }
        }
        index += 1;
        while let Some(held) = self.runs.get(index) {
            weight = weight.saturating_add(held.weight);
            if weight > budget {
                break;
            }
            runs.push(held.run());
            index += 1;
        }
        Some((prev, runs))
    }

    /// The entries from `at` on that are held in one run, as many as weigh `budget`, at least one.
    pub(crate) fn run_at(&self, at: Position, budget: u64) -> Option<Run> {
        let held = &self.runs[self.index_of(at)?];
        let from = at.get() - held.first.get();
        let to = held.batch.fit(from, budget);
        Some(Run {
            term: held.term,
            batch: held.batch.slice(from, to),
        })
    }

    /// Where compaction up to `upto` would put the base: at the end of the last run that may wholly go.
    pub(crate) fn compactable(&self, upto: Position) -> Point {
        let upto = upto.min(self.committed.0);
        let gone = self.runs.partition_point(|held| held.last() <= upto);
        gone.checked_sub(1).map_or(self.base, |index| Point {
            position: self.runs[index].last(),
            term: self.runs[index].term,
        })
    }

    /// Drops everything and begins behind `base`, which a snapshot covers, as the record of `mark` says.
    pub(crate) fn install(&mut self, base: Point, mark: Mark) {
        assert!(base.position > self.committed.0, "what is chosen stays");
        let durable = self.durable.0.min(self.committed.0);
        *self = Self {
            base_mark: mark,
            durable: (durable, 0),
            ..Self::new(base)
        };
    }

    /// Forgets everything up to `base`, the end of a run that is chosen, as the record of `mark` says.
    pub(crate) fn compact(&mut self, base: Point, mark: Mark) {
        assert!(self.ends_run(base), "only whole runs are forgotten");
        self.skip_to(base.position);
        while let Some(held) = self.runs.front().filter(|held| held.first <= base.position) {
            self.bytes -= held.weight;
            self.committed.1 -= 1;
            self.durable.1 = self.durable.1.saturating_sub(1);
            self.runs.pop_front();
        }
        (self.base, self.base_mark) = (base, mark);
    }

    /// Whether the log holds this point, and no run reaches over it.
    pub(crate) fn ends_run(&self, point: Point) -> bool {
        self.holds(point)
            && (point == self.base
                || self
                    .index_of(point.position)
                    .is_some_and(|index| self.runs[index].last() == point.position))
    }

    /// Counts the runs that are wholly chosen after cuts moved their ends.
    fn settle_committed(&mut self) {
        while let Some(held) = self.runs.get(self.committed.1) {
            if held.last() > self.committed.0 {
                break;
            }
            self.uncommitted -= held.weight;
            self.committed.1 += 1;
        }
    }

    /// The run that holds `position`. The hot path lives near the end.
    fn index_of(&self, position: Position) -> Option<usize> {
        if position <= self.base.position {
            return None;
        }
        let behind = |index: usize| self.runs[index].last() < position;
        let index = partition_from_end(self.runs.len(), behind);
        (index < self.runs.len()).then_some(index)
    }
}
