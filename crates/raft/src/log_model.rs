//! The log against the obvious one: a vector with an entry a slot.

use std::vec::Vec;

use proptest::prelude::*;
use quorate_core::{Batch, BatchBuilder, Label, Mark, Position};

use crate::message::{length, without};
use crate::{Log, Point, Run, Term};

/// An entry of the model: its term, its record, its command's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    term: u64,
    mark: u64,
    number: u64,
}

/// Entry `n` of the model is position `n + 1`. What is compacted stays, so that positions need no arithmetic.
#[derive(Default)]
struct Model {
    entries: Vec<Entry>,
    base: usize,
    committed: usize,
    durable: usize,
    marks: u64,
    numbers: u64,
    /// Where runs end: only there may the log be compacted.
    ends: Vec<usize>,
}

#[derive(Clone, Debug)]
enum Step {
    Append {
        term_up: u64,
        count: u64,
    },
    Truncate {
        back: usize,
    },
    Commit {
        more: usize,
    },
    Durable {
        behind: u64,
    },
    Compact {
        back: usize,
    },
    Install {
        ahead: u64,
    },
    Look {
        position: u64,
        term: u64,
        budget: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..3u64, 1..6u64).prop_map(|(term_up, count)| Step::Append { term_up: term_up / 2, count }),
        1 => (0..8usize).prop_map(|back| Step::Truncate { back }),
        2 => (0..6usize).prop_map(|more| Step::Commit { more }),
        2 => (0..3u64).prop_map(|behind| Step::Durable { behind }),
        1 => (0..4usize).prop_map(|back| Step::Compact { back }),
        1 => (1..20u64).prop_map(|ahead| Step::Install { ahead: if ahead == 1 { 3 } else { 0 } }),
        3 => (0..40u64, 0..6u64, 60..400u64)
            .prop_map(|(position, term, budget)| Step::Look { position, term, budget }),
    ]
}

fn batch(first: u64, count: u64) -> Batch {
    let mut builder = BatchBuilder::new();
    (0..count).for_each(|_| builder.push(b"command"));
    let label = Label {
        sequence: first,
        ..Label::default()
    };
    builder.finish(label).expect("at least one command")
}

/// The numbers of the commands in these runs, each with its run's term.
fn flat(runs: &[Run]) -> Vec<(u64, u64)> {
    let numbers = |run: &Run| {
        let term = run.term.0;
        let numbers = run.batch.commands().map(move |(number, _)| (term, number));
        numbers.collect::<Vec<_>>()
    };
    runs.iter().flat_map(numbers).collect()
}

impl Model {
    fn last_term(&self) -> u64 {
        self.entries.last().map_or(0, |entry| entry.term)
    }

    fn point(&self, length: usize) -> Point {
        Point {
            position: Position(length as u64),
            term: Term(
                length
                    .checked_sub(1)
                    .map_or(0, |last| self.entries[last].term),
            ),
        }
    }

    fn run(&mut self, log: &mut Log, step: &Step) {
        match *step {
            Step::Append { term_up, count } => {
                self.marks += 1;
                let (term, mark) = (self.last_term().max(1) + term_up, self.marks);
                log.append(Term(term), batch(self.numbers, count), Mark(mark));
                for _ in 0..count {
                    let number = self.numbers;
                    self.numbers += 1;
                    self.entries.push(Entry { term, mark, number });
                }
                self.ends.push(self.entries.len());
            }
            Step::Truncate { back } => {
                let after = self.entries.len().saturating_sub(back).max(self.committed);
                log.truncate(Position(after as u64));
                self.entries.truncate(after);
                self.ends.retain(|end| *end < after);
                self.ends.push(after);
                self.durable = self.durable.min(after);
            }
            Step::Commit { more } => self.commit(log, more),
            Step::Durable { behind } => {
                let upto = self.marks.saturating_sub(behind);
                log.on_durable(Mark(upto));
                // A record on disk has all before it there too.
                let known = self.entries.iter().rposition(|entry| entry.mark <= upto);
                let durable = known.map_or(0, |last| last + 1);
                self.durable = self.durable.max(durable);
            }
            Step::Compact { back } => self.compact(log, self.committed.saturating_sub(back)),
            Step::Install { ahead: 0 } => {}
            Step::Install { ahead } => self.install(log, ahead),
            Step::Look {
                position,
                term,
                budget,
            } => self.look(log, position as usize, term, budget),
        }
    }

    fn commit(&mut self, log: &mut Log, more: usize) {
        let upto = (self.committed + more).min(self.entries.len());
        let mut seen = Vec::new();
        log.commit(Position(upto as u64), |committed| {
            assert_eq!(
                committed.first.get() as usize,
                self.committed + seen.len() + 1
            );
            let run = Run {
                term: Term(committed.epoch.round),
                batch: committed.batch,
            };
            seen.extend(flat(&[run]));
        });
        let wanted = self.entries[self.committed..upto].iter();
        let wanted: Vec<_> = wanted.map(|entry| (entry.term, entry.number)).collect();
        assert_eq!(seen, wanted);
        self.committed = upto;
    }

    fn compact(&mut self, log: &mut Log, upto: usize) {
        let base = log.compactable(Position(upto as u64));
        let ends = self
            .ends
            .iter()
            .filter(|end| **end <= upto && **end > self.base);
        let wanted = ends.max().copied().unwrap_or(self.base);
        assert_eq!(base, self.point(wanted));
        if wanted > self.base {
            self.marks += 1;
            log.compact(base, Mark(self.marks));
            // What was not known to be on disk is, once the record that forgets it is.
            let gone = self.entries[..wanted].iter_mut();
            gone.for_each(|entry| entry.mark = self.marks);
            self.base = wanted;
        }
    }

    fn install(&mut self, log: &mut Log, ahead: u64) {
        self.marks += 1;
        let (mark, term) = (self.marks, self.last_term() + 1);
        let length = self.entries.len() + ahead as usize;
        self.durable = self.durable.min(self.committed);
        // What was held is gone; the snapshot's record stands for all of it.
        self.entries.iter_mut().for_each(|entry| entry.mark = mark);
        self.entries.resize(
            length,
            Entry {
                term,
                mark,
                number: 0,
            },
        );
        log.install(self.point(length), Mark(mark));
        (self.base, self.committed) = (length, length);
        self.ends = std::vec![length];
    }

    fn look(&self, log: &Log, position: usize, term: u64, budget: u64) {
        let last = self.entries.len();
        let held = |position: usize| self.base <= position && position <= last;
        let known = held(position).then(|| self.point(position).term);
        assert_eq!(log.term_at(Position(position as u64)), known);
        let mut behind = (self.base..=position.min(last))
            .rev()
            .map(|length| self.point(length));
        let floor = behind.find(|point| point.term.0 <= term);
        assert_eq!(log.floor(Position(position as u64), Term(term)), floor);
        if position <= self.base || position > last {
            return;
        }
        let read = log.read(Position(position as u64), budget);
        let (prev, runs) = read.expect("held");
        assert_eq!(prev, self.point(position - 1));
        let read = flat(&runs);
        let wanted = self.entries[position - 1..].iter();
        let wanted: Vec<_> = wanted.map(|entry| (entry.term, entry.number)).collect();
        assert!(!read.is_empty() && wanted.starts_with(&read));
        let weight: u64 = runs.iter().map(|run| run.batch.weight()).sum();
        assert!(weight <= budget || read.len() == 1);
        Self::look_for_divergence(log, position, &runs, term);
    }

    /// What was read from a log is in it; changed in one place, it parts from it there.
    fn look_for_divergence(log: &Log, first: usize, runs: &[Run], at: u64) {
        let prev = Position(first as u64 - 1);
        assert_eq!(log.divergence(prev, runs), None);
        let at = at % length(runs);
        let mut other = without(runs.into(), at);
        other[0].term = Term(other[0].term.0 + 1);
        let place = prev.plus(at);
        assert_eq!(log.divergence(place, &other), Some(place.next()));
    }

    fn check(&self, log: &Log) {
        assert_eq!(log.base(), self.point(self.base));
        assert_eq!(log.last(), self.point(self.entries.len()));
        assert_eq!(log.committed().get() as usize, self.committed);
        assert_eq!(log.durable().get() as usize, self.durable);
        let oldest = self.entries.get(self.base).map(|entry| Mark(entry.mark));
        assert_eq!(log.oldest_mark(), oldest);
        if self.committed == self.entries.len() {
            assert_eq!(log.uncommitted(), 0);
        }
        if self.base == self.entries.len() {
            assert_eq!(log.bytes(), 0);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_log_behaves_as_a_vector_of_entries(steps in proptest::collection::vec(step(), 1..80)) {
        let (mut log, mut model) = (Log::new(Point::START), Model::default());
        for step in &steps {
            model.run(&mut log, step);
            model.check(&log);
        }
    }
}

#[test]
#[should_panic(expected = "would undo what was chosen")]
fn what_is_chosen_is_never_cut() {
    let mut log = Log::new(Point::START);
    log.append(Term(1), batch(0, 4), Mark(1));
    log.commit(Position(3), drop);
    log.truncate(Position(2));
}
