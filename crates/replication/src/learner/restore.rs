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
    let mut prefix = Prefix::new(Position::ZERO);
    let (mut epoch, mut whole) = (Epoch::default(), None);
    for (mark, record) in memory.records {
        let whole = *whole.get_or_insert(mark == Mark(1));
        replay(&mut prefix, &mut epoch, (mark, record), whole)?;
    }
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

fn replay(
    prefix: &mut Prefix,
    epoch: &mut Epoch,
    (mark, record): (Mark, LearnedRecord),
    whole: bool,
) -> Result<(), RestoreError> {
    match record {
        LearnedRecord::Heard { epoch: heard } => *epoch = heard.max(*epoch),
        LearnedRecord::Base { upto, epoch: heard } => {
            *epoch = heard.max(*epoch);
            prefix.forget(upto);
        }
        LearnedRecord::Chosen { first, runs } => {
            if !whole && prefix.last() == Position::ZERO {
                // What came before is forgotten, as a later record says.
                prefix.forget(first.prev());
            }
            if first != prefix.last().next() {
                let why = "what is chosen leaves no gap";
                return Err(RestoreError::Contradiction { mark, why });
            }
            for (born, batch) in runs {
                prefix.push(born, batch, mark);
            }
        }
    }
    Ok(())
}
