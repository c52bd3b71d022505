//! What members say to each other.
//!
//! ```text
//! primary                    backup       to be promoted              member
//!    │ Append 5..9 prev 4       │              │ Inquire (no promise)    │
//!    ├─────────────────────────►│ persist      ├────────────────────────►│ (a primary pauses)
//!    │ Append 10.. prev 9       │              │             Position    │
//!    ├─────────────────────────►│ persist      │◄────────────────────────┤
//!    │                          │ on disk      │ (its epoch to disk)     │
//!    │     Accepted holding     │              │ Fence                   │
//!    │◄─────────────────────────┤              ├────────────────────────►│
//!    │ Commit (or next Append)  │              │                         │ (epoch to disk)
//!    ├─────────────────────────►│ commit       │             Position    │
//!    │ Heartbeat round          │              │◄────────────────────────┤
//!    ├─────────────────────────►│              │ (appointed to disk), then Heartbeat, Append
//!    │ HeartbeatReply holding   │
//!    │◄─────────────────────────┤   a log that does not fit:        Append ► ◄ Missing hint
//!                                   a log that is gone, or a state that holds what is lost:
//!                                      Snapshot ► (fetched elsewhere) ◄ Accepted
//!                                   another is to be primary, and has everything:
//!                                      Handover ► (then as to be promoted: Inquire, Fence)
//!                                   anything of an epoch that is over: ◄ NewEpoch
//! ```

use core::fmt;

use quorate_core::{Batch, Carry, Configuration, Epoch, Kind, Position, SnapshotMeta};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::epoch::{NOBODY, Named, POSITION_MAX, is_sane};
use crate::{Configured, Point};

/// One message. `epoch` is the highest that the sender has agreed to, except where said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// Entries, or the question whether the logs agree up to `prev`. Only from the primary of `epoch`.
    Append(Append),
    /// I am primary. Also carries a round of reads. Only from the primary of `epoch`.
    Heartbeat {
        /// The primary's epoch.
        epoch: Epoch,
        /// The smaller of the primary's commit and what this backup is known to hold.
        commit: Position,
        /// The primary's last position.
        last: Position,
        /// The newest round of reads; zero: none yet.
        round: u64,
    },
    /// The commit has advanced and there is nothing to append that could say so. Only from the primary of `epoch`.
    Commit {
        /// The primary's epoch.
        epoch: Epoch,
        /// As in [`Message::Heartbeat`].
        commit: Position,
    },
    /// The entries that you need are gone, or your state holds what is lost: fetch this instead. Only from the primary
    /// of `epoch`.
    Snapshot {
        /// The primary's epoch.
        epoch: Epoch,
        /// What to fetch.
        meta: SnapshotMeta,
        /// Whether the primary has seen that the backup's committed entries are not its own.
        lost: bool,
        /// The last configuration that it includes; none: each member's own config still counts there.
        configured: Option<Configured>,
    },
    /// Be primary in my place: you have all of my log, which ends at `last`, and I take nothing more for a while. Only
    /// from the primary of `epoch`.
    Handover {
        /// The primary's epoch.
        epoch: Epoch,
        /// The primary's last entry.
        last: Point,
    },
    /// The backup's log agrees with the primary's, so far.
    Accepted {
        /// The backup's epoch.
        epoch: Epoch,
        /// What it has.
        holding: Holding,
    },
    /// The backup has no entry at `prev`, or one of another epoch.
    Missing(Missing),
    /// The answer to [`Message::Heartbeat`]: repairs a lost [`Message::Append`] or [`Message::Accepted`].
    HeartbeatReply {
        /// The backup's epoch.
        epoch: Epoch,
        /// The round of the heartbeat.
        round: u64,
        /// What it has.
        holding: Holding,
    },
    /// How far are you? Asked before a promotion; promises nothing.
    Inquire {
        /// The epoch that the sender would lead in: not agreed to by anybody yet.
        epoch: Epoch,
    },
    /// Take nothing of any epoch below this one any more, and say how far you are.
    Fence {
        /// The epoch that the sender is about to lead in.
        epoch: Epoch,
    },
    /// The answer to [`Message::Inquire`] and [`Message::Fence`].
    Position {
        /// The sender's epoch; that of a [`Message::Fence`] is on disk.
        epoch: Epoch,
        /// The epoch of the question.
        asked: Epoch,
        /// The sender's last entry.
        last: Point,
    },
    /// Your epoch is over.
    NewEpoch {
        /// One that is not.
        epoch: Epoch,
    },
}

/// The entries behind `prev`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Append {
    /// The primary's epoch.
    pub epoch: Epoch,
    /// The entry before the first of these.
    pub prev: Point,
    /// The primary's commit.
    pub commit: Position,
    /// The entries: consecutive, epochs never falling. None: a probe.
    pub runs: SmallVec<[Run; 1]>,
}

/// A batch and the epoch in which it was proposed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The epoch of all its entries.
    pub epoch: Epoch,
    /// The entries.
    pub batch: Batch,
}

/// What a backup has of the primary's log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holding {
    /// Up to where the logs agree, as far as the backup has seen.
    pub verified: Position,
    /// Up to where that is on the backup's disk: what the primary may count.
    pub matched: Position,
    /// The backup's state holds entries that are lost: only a snapshot beyond this position can replace it.
    pub void: Option<Position>,
}

/// A log that does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// The backup's epoch.
    pub epoch: Epoch,
    /// The position asked for, which names the [`Message::Append`] that is refused.
    pub prev: Position,
    /// The backup's last entry at or before it whose epoch is not above the one asked for, or its base.
    pub hint: Point,
    /// The last position that the backup has compacted.
    pub base: Position,
    /// Only a snapshot beyond this position can replace the backup's state.
    pub floor: Position,
}

impl Append {
    /// The last position it speaks of.
    pub fn end(&self) -> Position {
        self.prev.position.plus(length(&self.runs))
    }

    fn is_sane(&self) -> bool {
        let mut before = self.prev.epoch;
        let mut end = self.prev.position.get();
        self.prev.is_sane()
            && self.prev.epoch <= self.epoch
            && self.commit <= POSITION_MAX
            && self.runs.iter().all(|run| {
                let length = run.batch.len();
                let ordered = before <= run.epoch && run.epoch <= self.epoch;
                before = run.epoch;
                end = end.saturating_add(length);
                let labelled = run.batch.label().sequence.checked_add(length).is_some();
                ordered && run.epoch != NOBODY && is_sane(run.epoch) && labelled && run.is_sane()
            })
            && end <= POSITION_MAX.get()
    }
}

impl Run {
    /// Who the members are from here on, if it says so.
    pub(crate) fn configured(&self) -> Option<Configuration> {
        self.batch.configured()
    }

    /// What claims to say who the members are says it, in one position.
    pub(crate) fn is_sane(&self) -> bool {
        self.batch.kind() != Kind::Configuration
            || (self.batch.len() == 1 && self.configured().is_some())
    }
}

/// How many positions these take.
pub(crate) fn length(runs: &[Run]) -> u64 {
    runs.iter().map(|run| run.batch.len()).sum()
}

/// The first `count` positions of these.
pub(crate) fn first(mut runs: SmallVec<[Run; 1]>, mut count: u64) -> SmallVec<[Run; 1]> {
    runs.retain(|run| {
        let taken = run.batch.len().min(count);
        if taken > 0 && taken < run.batch.len() {
            run.batch = run.batch.slice(0, taken);
        }
        count -= taken;
        taken > 0
    });
    runs
}

/// These without their first `count` positions.
pub(crate) fn without(runs: SmallVec<[Run; 1]>, mut count: u64) -> SmallVec<[Run; 1]> {
    let mut rest = SmallVec::new();
    for mut run in runs {
        let length = run.batch.len();
        let skip = count.min(length);
        count -= skip;
        if skip == length {
            continue;
        }
        if skip > 0 {
            run.batch = run.batch.slice(skip, length);
        }
        rest.push(run);
    }
    rest
}

impl Message {
    /// The sender's epoch, or that of an [`Message::Inquire`].
    pub const fn epoch(&self) -> Epoch {
        match self {
            Self::Append(Append { epoch, .. })
            | Self::Heartbeat { epoch, .. }
            | Self::Commit { epoch, .. }
            | Self::Snapshot { epoch, .. }
            | Self::Handover { epoch, .. }
            | Self::Accepted { epoch, .. }
            | Self::Missing(Missing { epoch, .. })
            | Self::HeartbeatReply { epoch, .. }
            | Self::Inquire { epoch }
            | Self::Fence { epoch }
            | Self::Position { epoch, .. }
            | Self::NewEpoch { epoch } => *epoch,
        }
    }

    /// Whether only the member that the epoch names may say this.
    ///
    /// It is heard from strangers, too: a member that is behind does not know the configuration by which the sender is
    /// primary, or may become it. What is counted comes from members alone.
    pub(crate) const fn is_of_owner(&self) -> bool {
        match self {
            Self::Append(_)
            | Self::Heartbeat { .. }
            | Self::Commit { .. }
            | Self::Snapshot { .. }
            | Self::Handover { .. }
            | Self::Inquire { .. }
            | Self::Fence { .. } => true,
            Self::Accepted { .. }
            | Self::Missing(_)
            | Self::HeartbeatReply { .. }
            | Self::Position { .. }
            | Self::NewEpoch { .. } => false,
        }
    }

    /// Whether a member can have said this: numbers within bounds, epochs in order. A message that is not comes
    /// from a broken or hostile peer, and nothing behind this check has to fear an overflow.
    pub(crate) fn is_sane(&self) -> bool {
        let bounded = |position: Position| position <= POSITION_MAX;
        let epoch = self.epoch();
        let known = epoch != NOBODY;
        is_sane(epoch)
            && match self {
                Self::Append(append) => known && append.is_sane(),
                Self::Heartbeat { commit, last, .. } => known && commit <= last && bounded(*last),
                Self::Commit { commit, .. } => known && bounded(*commit),
                Self::Snapshot {
                    meta, configured, ..
                } => {
                    let last = Point::from(*meta);
                    let told = configured.as_ref().is_none_or(|one| one.is_within(last));
                    known && last.is_sane() && last != Point::START && last.epoch <= epoch && told
                }
                Self::Handover { last, .. } => known && last.is_sane() && last.epoch <= epoch,
                Self::Accepted { holding, .. } | Self::HeartbeatReply { holding, .. } => {
                    holding.matched <= holding.verified
                        && bounded(holding.verified)
                        && holding.void.is_none_or(bounded)
                }
                Self::Missing(missing) => {
                    let Missing {
                        prev, base, floor, ..
                    } = missing;
                    missing.hint.is_sane() && bounded(*prev) && base <= floor && bounded(*floor)
                }
                Self::Inquire { .. } | Self::Fence { .. } | Self::NewEpoch { .. } => known,
                Self::Position { asked, last, .. } => {
                    is_sane(*asked) && last.is_sane() && last.epoch <= epoch
                }
            }
    }
}

impl quorate_core::Message for Message {
    fn is_bulk(&self) -> bool {
        matches!(self, Self::Append(append) if !append.runs.is_empty())
    }

    fn first(&self) -> Option<Position> {
        match self {
            Self::Append(append) if !append.runs.is_empty() => {
                append.prev.position.get().checked_add(1).map(Position)
            }
            _ => None,
        }
    }
}

impl Carry for Message {
    fn batches(&self, visit: &mut dyn FnMut(&Batch)) {
        if let Self::Append(append) = self {
            append.runs.iter().for_each(|run| visit(&run.batch));
        }
    }

    fn batches_mut(&mut self, visit: &mut dyn FnMut(&mut Batch)) {
        if let Self::Append(append) = self {
            append.runs.iter_mut().for_each(|run| visit(&mut run.batch));
        }
    }
}

impl fmt::Display for Message {
    /// One line for traces: the sender's epoch first, entries as `first..last@epoch`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "e{} ", Named(self.epoch()))?;
        match self {
            Self::Append(append) => {
                f.write_str("Append ")?;
                write_runs(f, append.prev.position, &append.runs)?;
                write!(f, " prev {} commit {}", append.prev, append.commit)
            }
            Self::Heartbeat {
                commit,
                last,
                round,
                ..
            } => write!(f, "Heartbeat commit {commit} last {last} round {round}"),
            Self::Commit { commit, .. } => write!(f, "Commit {commit}"),
            Self::Snapshot {
                meta,
                lost,
                configured,
                ..
            } => {
                let lost = if *lost { " lost" } else { "" };
                write!(f, "Snapshot {}{lost}", Point::from(*meta))?;
                write_configured(f, configured.as_ref())
            }
            Self::Handover { last, .. } => write!(f, "Handover last {last}"),
            Self::Accepted { holding, .. } => write!(f, "Accepted {holding}"),
            Self::Missing(Missing {
                prev,
                hint,
                base,
                floor,
                ..
            }) => write!(
                f,
                "Missing prev {prev} hint {hint} base {base} floor {floor}"
            ),
            Self::HeartbeatReply { round, holding, .. } => {
                write!(f, "HeartbeatReply round {round} {holding}")
            }
            Self::Inquire { .. } => f.write_str("Inquire"),
            Self::Fence { .. } => f.write_str("Fence"),
            Self::Position { asked, last, .. } => {
                write!(f, "Position for e{} last {last}", Named(*asked))
            }
            Self::NewEpoch { .. } => f.write_str("NewEpoch"),
        }
    }
}

impl fmt::Display for Holding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "verified {} matched {}", self.verified, self.matched)?;
        match self.void {
            Some(void) => write!(f, " void {void}"),
            None => Ok(()),
        }
    }
}

/// Writes who the members are at the end of a line, if the log has said so.
pub(crate) fn write_configured(
    f: &mut fmt::Formatter<'_>,
    configured: Option<&Configured>,
) -> fmt::Result {
    match configured {
        Some(Configured { at, configuration }) => write!(f, " members {configuration} at {at}"),
        None => Ok(()),
    }
}

/// Writes runs as `first..last@epoch`, one range an epoch.
pub(crate) fn write_runs(f: &mut fmt::Formatter<'_>, prev: Position, runs: &[Run]) -> fmt::Result {
    if runs.is_empty() {
        return f.write_str("nothing");
    }
    let mut first = prev.next();
    for (index, group) in runs.chunk_by(|a, b| a.epoch == b.epoch).enumerate() {
        let epoch = Named(group[0].epoch);
        let last = first.plus(length(group)).prev();
        let space = if index == 0 { "" } else { " " };
        if first == last {
            write!(f, "{space}{first}@{epoch}")?;
        } else {
            write!(f, "{space}{first}..{last}@{epoch}")?;
        }
        first = last.next();
    }
    Ok(())
}
