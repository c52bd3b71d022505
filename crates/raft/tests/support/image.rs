//! What records amount to, worked out entry by entry: the slow, obvious counterpart of the log.

use std::collections::BTreeMap;

use quorate_core::{Configuration, NodeId, Position};
use quorate_raft::{Configured, Point, Record, Term};

use crate::member::hashes;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    pub term: Term,
    pub vote: Option<NodeId>,
    pub base: Point,
    /// Term and hash of every entry behind the base.
    pub entries: Vec<(Term, u64)>,
    /// Who the members are from where on: the last at or below the base, and all behind it.
    pub members: BTreeMap<Position, Configuration>,
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
                drop(self.members.split_off(&prev.position.next()));
                let mut at = prev.position.next();
                for run in runs {
                    if let Some(configuration) = run.batch.configured() {
                        self.members.insert(at, configuration);
                    }
                    at = at.plus(run.batch.len());
                    let hashes = hashes(&run.batch);
                    self.entries
                        .extend(hashes.into_iter().map(|hash| (run.term, hash)));
                }
            }
            Record::Compacted {
                term,
                voted_for,
                base,
                configured,
            } => {
                self.promise(*term, *voted_for);
                assert_eq!(self.members_at(base.position), *configured, "{record}");
                self.begin(configured.as_ref(), base.position);
                assert_eq!(self.term_at(base.position), Some(base.term), "{record}");
                self.entries.drain(..self.index(base.position.next()));
                self.base = *base;
            }
            Record::Installed {
                term,
                voted_for,
                base,
                configured,
            } => {
                self.promise(*term, *voted_for);
                self.members.clear();
                self.begin(configured.as_ref(), base.position);
                assert_ne!(self.term_at(base.position), Some(base.term), "{record}");
                self.entries.clear();
                self.base = *base;
            }
        }
    }

    /// The last configuration at or before `position`; none: that of the config.
    pub fn members_at(&self, position: Position) -> Option<Configured> {
        let (at, configuration) = self.members.range(..=position).next_back()?;
        let (at, configuration) = (*at, configuration.clone());
        Some(Configured { at, configuration })
    }

    fn begin(&mut self, configured: Option<&Configured>, base: Position) {
        self.members = self.members.split_off(&base.next());
        if let Some(Configured { at, configuration }) = configured {
            self.members.insert(*at, configuration.clone());
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
