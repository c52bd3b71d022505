//! What a member asks its journal to remember.

use core::fmt;

use quorate_core::{Batch, Carry, Position};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::ballot::{Span, slots, write_values};
use crate::{Ballot, Value};

/// One record. Replaying all of them in order, or all from the last [`Output::Reclaim`] on, gives what the acceptor
/// promised and what it accepted.
///
/// `chosen` says up to where its writer had handed out what it held when it wrote. It is a hint that spares a restart
/// the question for what is long known; it never lies beyond what the same journal holds (`RELIABILITY` D3).
///
/// [`Output::Reclaim`]: quorate_core::Output::Reclaim
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// Nothing below this ballot is promised or accepted any more.
    Promise {
        /// The ballot; above all before it.
        ballot: Ballot,
        /// The hint.
        chosen: Position,
    },
    /// These values are accepted in the promised ballot, whatever their slots held before.
    Accept {
        /// The promised ballot.
        ballot: Ballot,
        /// The hint.
        chosen: Position,
        /// The slot of the first value.
        first: Position,
        /// The values, slot after slot.
        values: SmallVec<[Value; 1]>,
    },
    /// Slots up to `base` are forgotten: a snapshot stands for them. Those behind it stay, whoever's they are.
    ///
    /// Repeats the promise, so that every record before the oldest slot kept may be forgotten.
    Checkpoint {
        /// The promised ballot; zero: none.
        promised: Ballot,
        /// The last slot that is forgotten.
        base: Position,
    },
}

impl quorate_core::Record for Record {}

impl Carry for Record {
    fn batches(&self, visit: &mut dyn FnMut(&Batch)) {
        if let Self::Accept { values, .. } = self {
            values.iter().for_each(|value| visit(&value.batch));
        }
    }

    fn batches_mut(&mut self, visit: &mut dyn FnMut(&mut Batch)) {
        if let Self::Accept { values, .. } = self {
            values.iter_mut().for_each(|value| visit(&mut value.batch));
        }
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Promise { ballot, chosen } => write!(f, "promise {ballot} chosen {chosen}"),
            Self::Accept {
                ballot,
                chosen,
                first,
                values,
            } => {
                let last = first.plus(slots(values)).prev();
                write!(f, "accept {} in {ballot}: ", Span(*first, last))?;
                write_values(f, *first, values)?;
                write!(f, " chosen {chosen}")
            }
            Self::Checkpoint { promised, base } => {
                write!(f, "checkpoint {base} promised {promised}")
            }
        }
    }
}
