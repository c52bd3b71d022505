//! What a member asks its journal to remember.

use core::fmt;

use quorate_core::{Batch, Carry, NodeId};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::message::{write_configured, write_runs};
use crate::{Configured, Point, Run, Term};

/// One record. Replaying all of them in order, or all from the last [`Output::Reclaim`] on, gives the member's
/// term, vote and log.
///
/// The commit is not among them: it is learned again from the leader, and can then never lie beyond the log
/// that is on disk (`RELIABILITY` D3).
///
/// [`Output::Reclaim`]: quorate_core::Output::Reclaim
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// Term and vote, in one write: a crash can never tear them apart.
    Vote {
        /// The current term.
        term: Term,
        /// Who has this member's vote in it.
        voted_for: Option<NodeId>,
    },
    /// Cut the log behind `prev`, then append: in one write, so that what was cut cannot come back between
    /// (`RELIABILITY` D5).
    Append {
        /// The entry before the first of these.
        prev: Point,
        /// The entries.
        runs: SmallVec<[Run; 1]>,
    },
    /// Entries up to `base` are forgotten; those behind it stay.
    ///
    /// Repeats term and vote, so that every record before the oldest entry kept may be forgotten.
    Compacted {
        /// The current term.
        term: Term,
        /// Who has this member's vote in it.
        voted_for: Option<NodeId>,
        /// The last entry that a snapshot stands for.
        base: Point,
        /// The last configuration at or before it; none: the config's own still counts.
        configured: Option<Configured>,
    },
    /// The whole log is dropped, because it does not lead up to what a snapshot says was chosen; it begins anew
    /// behind `base`. Repeats term and vote likewise.
    Installed {
        /// The current term.
        term: Term,
        /// Who has this member's vote in it.
        voted_for: Option<NodeId>,
        /// The last entry that the snapshot includes.
        base: Point,
        /// The last configuration that the snapshot includes; none: the config's own still counts.
        configured: Option<Configured>,
    },
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
            Self::Vote { term, voted_for } => {
                write!(f, "term {term} vote {}", Name(*voted_for))
            }
            Self::Append { prev, runs } => {
                write!(f, "behind {prev} append ")?;
                write_runs(f, prev.position, runs)
            }
            Self::Compacted {
                term,
                voted_for,
                base,
                configured,
            } => {
                write!(f, "compacted {base} term {term} vote {}", Name(*voted_for))?;
                write_configured(f, configured.as_ref())
            }
            Self::Installed {
                term,
                voted_for,
                base,
                configured,
            } => {
                write!(f, "installed {base} term {term} vote {}", Name(*voted_for))?;
                write_configured(f, configured.as_ref())
            }
        }
    }
}

/// A member or nobody.
struct Name(Option<NodeId>);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(node) => node.fmt(f),
            None => f.write_str("none"),
        }
    }
}
