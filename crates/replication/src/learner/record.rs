//! What a learner asks its journal to remember.

use core::fmt;

use quorate_core::{Batch, Carry, Epoch, Position, Record};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

/// One record of a [`Learner`](crate::Learner): nothing but what is chosen, so no record ever contradicts another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LearnedRecord {
    /// These are chosen.
    Chosen {
        /// The position of the first command.
        first: Position,
        /// The commands, run by run, with the epochs in which they were proposed.
        runs: SmallVec<[(Epoch, Batch); 1]>,
    },
    /// This epoch was heard of.
    Heard {
        /// Which.
        epoch: Epoch,
    },
    /// A snapshot stands for everything up to here. Repeats the epoch, so that older records may go.
    Base {
        /// The last position that is forgotten.
        upto: Position,
        /// The highest epoch heard of.
        epoch: Epoch,
    },
}

impl Record for LearnedRecord {}

impl Carry for LearnedRecord {
    fn batches(&self, visit: &mut dyn FnMut(&Batch)) {
        if let Self::Chosen { runs, .. } = self {
            runs.iter().for_each(|(_, batch)| visit(batch));
        }
    }

    fn batches_mut(&mut self, visit: &mut dyn FnMut(&mut Batch)) {
        if let Self::Chosen { runs, .. } = self {
            runs.iter_mut().for_each(|(_, batch)| visit(batch));
        }
    }
}

impl fmt::Display for LearnedRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chosen { first, runs } => {
                let count: u64 = runs.iter().map(|(_, batch)| batch.len()).sum();
                write!(f, "chosen {first}+{count}")
            }
            Self::Heard { epoch } => write!(f, "heard of epoch {epoch}"),
            Self::Base { upto, epoch } => write!(f, "base {upto} epoch {epoch}"),
        }
    }
}
