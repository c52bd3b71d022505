//! What a member asks its journal to remember.

use core::fmt;

use quorate_core::{Batch, Carry, Epoch};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::epoch::Named;
use crate::message::{write_configured, write_runs};
use crate::{Configured, Point, Run};

/// One record. Replaying all of them in order, or all from the last [`Output::Reclaim`] on, gives the member's
/// epoch and log.
///
/// The commit is not among them: it is learned again from the primary, or worked out again by it.
///
/// [`Output::Reclaim`]: quorate_core::Output::Reclaim
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// The highest epoch that the member has agreed to.
    Epoch(Standing),
    /// Cut the log behind `prev`, then append: in one write, so that what was cut cannot come back between
    /// (`RELIABILITY` D5).
    Append {
        /// The entry before the first of these.
        prev: Point,
        /// The entries.
        runs: SmallVec<[Run; 1]>,
    },
    /// Entries up to `base` are forgotten; those behind it stay. Repeats the epoch, so that every record before the
    /// oldest entry kept may be forgotten.
    Compacted {
        /// As in [`Record::Epoch`].
        standing: Standing,
        /// The last entry that a snapshot stands for.
        base: Point,
        /// The last configuration at or before it; none: the config's own still counts there.
        configured: Option<Configured>,
    },
    /// The whole log is dropped, because it does not lead up to what a snapshot holds; it begins anew behind `base`.
    Installed {
        /// As in [`Record::Epoch`].
        standing: Standing,
        /// The last entry that the snapshot includes.
        base: Point,
        /// The last configuration that the snapshot includes; none: the config's own still counts there.
        configured: Option<Configured>,
    },
}

/// What a member has agreed to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The highest epoch: nothing of a lower one is taken any more.
    pub epoch: Epoch,
    /// Whether this member is its primary, and goes on as such, in the next start, when it is started again.
    pub appointed: bool,
}

impl quorate_core::Record for Record {}

impl Carry for Record {
    fn batches(&self, visit: &mut dyn FnMut(&Batch)) {
        if let Self::Append { runs, .. } = self {
            runs.iter().for_each(|run| visit(&run.batch));
        }
    }

    fn batches_mut(&mut self, visit: &mut dyn FnMut(&mut Batch)) {
        if let Self::Append { runs, .. } = self {
            runs.iter_mut().for_each(|run| visit(&mut run.batch));
        }
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Epoch(standing) => write!(f, "epoch {standing}"),
            Self::Append { prev, runs } => {
                write!(f, "behind {prev} append ")?;
                write_runs(f, prev.position, runs)
            }
            Self::Compacted {
                standing,
                base,
                configured,
            } => {
                write!(f, "compacted {base} epoch {standing}")?;
                write_configured(f, configured.as_ref())
            }
            Self::Installed {
                standing,
                base,
                configured,
            } => {
                write!(f, "installed {base} epoch {standing}")?;
                write_configured(f, configured.as_ref())
            }
        }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mine = if self.appointed { " appointed" } else { "" };
        write!(f, "{}{mine}", Named(self.epoch))
    }
}
