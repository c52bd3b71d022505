//! What records amount to, worked out entry by entry: the slow, obvious counterpart of the log.

use quorate_core::{Epoch, Position};
use quorate_primary_backup::{Configured, Point, Record, Standing};

use crate::member::hashes;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    pub standing: Standing,
    pub base: Point,
    /// Epoch and hash of every entry behind the base.
    pub entries: Vec<(Epoch, u64)>,
    /// The configurations among them, and the last one before, in order.
    pub configured: Vec<Configured>,
}

impl Image {
    pub fn apply(&mut self, record: &Record) {
        if let Record::Compacted {
            base, configured, ..
        } = record
        {
            let mut known = self.configured.iter().rev();
            let there = known.find(|one| one.at <= base.position);
            assert_eq!(configured.as_ref(), there, "{record}");
        }
        reconfigure(&mut self.configured, record);
        match record {
            Record::Epoch(standing) => self.agree(*standing),
            Record::Append { prev, runs } => {
                assert_eq!(
                    self.epoch_at(prev.position),
                    Some(prev.epoch),
                    "{record} follows nothing"
                );
                self.entries.truncate(self.index(prev.position.next()));
                for run in runs {
                    let hashes = hashes(&run.batch);
                    self.entries
                        .extend(hashes.into_iter().map(|hash| (run.epoch, hash)));
                }
            }
            Record::Compacted { standing, base, .. } => {
                self.agree(*standing);
                assert_eq!(self.epoch_at(base.position), Some(base.epoch), "{record}");
                self.entries.drain(..self.index(base.position.next()));
                self.base = *base;
            }
            Record::Installed { standing, base, .. } => {
                self.agree(*standing);
                assert_ne!(self.epoch_at(base.position), Some(base.epoch), "{record}");
                self.entries.clear();
                self.base = *base;
            }
        }
    }

    pub fn last(&self) -> Point {
        Point {
            position: self.base.position.plus(self.entries.len() as u64),
            epoch: self
                .entries
                .last()
                .map_or(self.base.epoch, |(epoch, _)| *epoch),
        }
    }

    pub fn epoch_at(&self, position: Position) -> Option<Epoch> {
        if position == self.base.position {
            return Some(self.base.epoch);
        }
        self.entry(position).map(|(epoch, _)| epoch)
    }

    pub fn hash_at(&self, position: Position) -> Option<u64> {
        self.entry(position).map(|(_, hash)| hash)
    }

    fn entry(&self, position: Position) -> Option<(Epoch, u64)> {
        if position <= self.base.position {
            return None;
        }
        self.entries.get(self.index(position)).copied()
    }

    fn index(&self, position: Position) -> usize {
        (position.get() - self.base.position.get() - 1) as usize
    }

    fn agree(&mut self, standing: Standing) {
        assert!(
            standing.epoch >= self.standing.epoch,
            "epochs never go back"
        );
        self.standing = standing;
    }
}

/// What a record does to the configurations that a log shows.
pub fn reconfigure(configured: &mut Vec<Configured>, record: &Record) {
    match record {
        Record::Epoch(_) => {}
        Record::Append { prev, runs } => {
            configured.retain(|one| one.at <= prev.position);
            let mut at = prev.position;
            for run in runs {
                if let Some(configuration) = run.batch.configured() {
                    let at = at.next();
                    configured.push(Configured { at, configuration });
                }
                at = at.plus(run.batch.len());
            }
        }
        Record::Compacted { base, .. } => {
            let known = configured.partition_point(|one| one.at <= base.position);
            configured.drain(..known.saturating_sub(1));
        }
        Record::Installed { configured: at, .. } => *configured = at.iter().cloned().collect(),
    }
}
