//! What records amount to, worked out entry by entry: the slow, obvious counterpart of the log.

use quorate_core::{NodeId, Position};
use quorate_raft::{Point, Record, Term};

use crate::member::hashes;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    pub term: Term,
    pub vote: Option<NodeId>,
    pub base: Point,
    /// Term and hash of every entry behind the base.
    pub entries: Vec<(Term, u64)>,
}

impl Image {
    pub fn apply(&mut self, record: &Record) {
        match record {
            Record::Vote { term, voted_for } => self.promise(*term, *voted_for),
            Record::Append { prev, runs } => {
                assert_eq!(
                    self.term_at(prev.position),
                    Some(prev.term),
                    "{record} follows nothing"
                );
                self.entries.truncate(self.index(prev.position.next()));
                for run in runs {
                    let hashes = hashes(&run.batch);
                    self.entries
                        .extend(hashes.into_iter().map(|hash| (run.term, hash)));
                }
            }
            Record::Compacted {
                term,
                voted_for,
                base,
            } => {
                self.promise(*term, *voted_for);
                assert_eq!(self.term_at(base.position), Some(base.term), "{record}");
                self.entries.drain(..self.index(base.position.next()));
                self.base = *base;
            }
            Record::Installed {
                term,
                voted_for,
                base,
            } => {
                self.promise(*term, *voted_for);
                assert_ne!(self.term_at(base.position), Some(base.term), "{record}");
                self.entries.clear();
                self.base = *base;
            }
        }
    }

    pub fn last(&self) -> Point {
        Point {
            position: self.base.position.plus(self.entries.len() as u64),
            term: self
                .entries
                .last()
                .map_or(self.base.term, |(term, _)| *term),
        }
    }

    pub fn term_at(&self, position: Position) -> Option<Term> {
        if position == self.base.position {
            return Some(self.base.term);
        }
        self.entry(position).map(|(term, _)| term)
    }

    pub fn hash_at(&self, position: Position) -> Option<u64> {
        self.entry(position).map(|(_, hash)| hash)
    }

    fn entry(&self, position: Position) -> Option<(Term, u64)> {
        if position <= self.base.position {
            return None;
        }
        self.entries.get(self.index(position)).copied()
    }

    fn index(&self, position: Position) -> usize {
        (position.get() - self.base.position.get() - 1) as usize
    }

    fn promise(&mut self, term: Term, vote: Option<NodeId>) {
        assert!(term >= self.term, "terms never go back");
        assert!(
            term > self.term || self.vote.is_none() || self.vote == vote,
            "a vote is given once"
        );
        (self.term, self.vote) = (term, vote);
    }
}
