//! A learner as its journal remembers it.

use core::marker::PhantomData;

use quorate_core::{
    Configuration, Epoch, Instant, Mark, Memory, Position, ReplicatedLog, RestoreError,
};

use super::prefix::Prefix;
use super::pulling::Pulling;
use super::{Disk, Heard, LearnedRecord, Learner, LearnerConfig, Resume};
use crate::feed::Feed;

pub(super) fn restore<L: ReplicatedLog>(
    config: LearnerConfig,
    now: Instant,
    memory: Memory<'_, LearnedRecord>,
) -> Result<Learner<L>, RestoreError> {
    config.validate().map_err(RestoreError::Config)?;
    let mut replay = Replay::new();
    for (mark, record) in memory.records {
        replay.take(mark, record)?;
    }
    let Replay {
        mut prefix, epoch, ..
    } = replay;
    let covered = memory
        .snapshot
        .map_or(Position::ZERO, |snapshot| snapshot.position);
    if prefix.base() > covered {
        return Err(RestoreError::MissingSnapshot {
            compacted: prefix.base(),
            snapshot: covered,
        });
    }
    let unwritten = covered > prefix.last();
    if unwritten {
        // It was installed, and the crash came before the record of that was on disk.
        prefix.forget(covered);
    }
    Ok(Learner {
        configuration: Configuration::founding(&config.voters, &config.learners),
        prefix,
        disk: Disk {
            last: memory.durable,
            durable: memory.durable,
            reclaim: None,
            room: true,
        },
        heard: Heard {
            epoch,
            mark: Mark::ZERO,
            spoken: epoch,
            leader: None,
            committed: Position::ZERO,
        },
        pulling: Pulling::new(&config, now),
        feeds: config.followers().map(Feed::new).collect(),
        newest: memory.snapshot,
        resume: Some(Resume {
            from: covered.next(),
            unwritten,
        }),
        config,
        log: PhantomData,
    })
}

/// The records so far.
struct Replay {
    prefix: Prefix,
    epoch: Epoch,
    /// The next of what is chosen has to follow what there is. Where the oldest records are forgotten, the first of it
    /// may come behind a gap: the base before it is older than they were, and a later one covers them.
    joined: Option<bool>,
}

impl Replay {
    fn new() -> Self {
        Self {
            prefix: Prefix::new(Position::ZERO),
            epoch: Epoch::default(),
            joined: None,
        }
    }

    fn take(&mut self, mark: Mark, record: LearnedRecord) -> Result<(), RestoreError> {
        let joined = *self.joined.get_or_insert(mark == Mark(1));
        match record {
            LearnedRecord::Heard { epoch } => self.epoch = epoch.max(self.epoch),
            LearnedRecord::Base { upto, epoch } => {
                self.epoch = epoch.max(self.epoch);
                self.prefix.forget(upto);
            }
            LearnedRecord::Chosen { first, runs } => {
                if !joined && first > self.prefix.last().next() {
                    self.prefix.forget(first.prev());
                }
                if first != self.prefix.last().next() {
                    let why = "what is chosen leaves no gap";
                    return Err(RestoreError::Contradiction { mark, why });
                }
                for (born, batch) in runs {
                    self.prefix.push(born, batch, mark);
                }
                self.joined = Some(true);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use quorate_core::{Batch, Timestamp};
    use smallvec::smallvec;
    use std::vec;
    use std::vec::Vec;

    use super::*;

    fn chosen(first: u64) -> LearnedRecord {
        LearnedRecord::Chosen {
            first: Position(first),
            runs: smallvec![(Epoch::default(), Batch::noop(Timestamp::ZERO))],
        }
    }

    fn base(upto: u64) -> LearnedRecord {
        LearnedRecord::Base {
            upto: Position(upto),
            epoch: Epoch::default(),
        }
    }

    /// What is held after these records, the first of which has this mark: behind which position, up to which.
    fn held(first: u64, records: Vec<LearnedRecord>) -> Option<(u64, u64)> {
        let mut replay = Replay::new();
        for (mark, record) in (first..).zip(records) {
            replay.take(Mark(mark), record).ok()?;
        }
        let prefix = replay.prefix;
        Some((prefix.base().0, prefix.last().0))
    }

    #[test]
    fn what_is_chosen_follows_what_there_is() {
        assert_eq!(held(1, vec![chosen(1), chosen(2)]), Some((0, 2)));
        assert_eq!(held(1, vec![chosen(2)]), None);
        assert_eq!(held(1, vec![base(7), chosen(9)]), None);
        assert_eq!(held(1, vec![chosen(1), base(7), chosen(8)]), Some((7, 8)));
        assert_eq!(held(5, vec![chosen(3), chosen(5)]), None);
    }

    #[test]
    fn the_oldest_records_may_be_gone_up_to_a_base_that_follows() {
        assert_eq!(held(5, vec![chosen(3), chosen(4)]), Some((2, 4)));
        // The base is older than the records that went with what the next one covers.
        let rest = vec![base(3), chosen(7), chosen(8), base(7), chosen(9)];
        assert_eq!(held(5, rest), Some((7, 9)));
        assert_eq!(held(5, vec![base(9), chosen(7)]), None);
    }
}
