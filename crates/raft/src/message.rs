//! What members say to each other.
//!
//! ```text
//! candidate              voter        leader                     follower
//!     │ PreVote            │             │ Append 5@2..9@2 prev 4@1   │
//!     ├───────────────────►│             ├───────────────────────────►│ persist
//!     │       PreVoteReply │             │ Append 10@2.. prev 9@2     │
//!     │◄───────────────────┤             ├───────────────────────────►│ persist
//!     │ (term+1 to disk)   │             │                            │ on disk
//!     │ RequestVote        │             │   Accepted verified matched│
//!     ├───────────────────►│             │◄───────────────────────────┤
//!     │  (vote to disk)    │             │ Commit (or the next Append)│
//!     │          VoteReply │             ├───────────────────────────►│ commit
//!     │◄───────────────────┤             │                            │
//!                                        │ Heartbeat round commit     │
//!  a log that does not fit:              ├───────────────────────────►│
//!     Append ► ◄ Rejected hint           │ HeartbeatReply round       │
//!  a log that is gone:                   │◄───────────────────────────┤
//!     Snapshot ► (fetched elsewhere) ◄ Accepted
//!  anything of a term that is over:      ◄ NewTerm
//! ```

use core::fmt;

use quorate_core::{Batch, Carry, Configuration, Kind, Position, SnapshotMeta};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::term::POSITION_MAX;
use crate::{Configured, Point, Term};

/// One message. `term` is the sender's, except where said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// Would you vote for me in the term after mine? Promises nothing and changes no term (thesis 9.6).
    PreVote {
        /// The sender's term; it would campaign in the next.
        term: Term,
        /// The last entry of its log.
        last: Point,
    },
    /// The answer to [`Message::PreVote`].
    PreVoteReply {
        /// The voter's term. Above the asker's: the asker adopts it.
        term: Term,
        /// The term that the asker would campaign in.
        campaign: Term,
        /// Whether the voter would.
        granted: bool,
    },
    /// Vote for me (5.2).
    RequestVote {
        /// The term that the sender campaigns in.
        term: Term,
        /// The last entry of its log.
        last: Point,
        /// The leader of the term before has asked it to.
        transfer: bool,
    },
    /// The answer to [`Message::RequestVote`].
    VoteReply {
        /// The voter's term.
        term: Term,
        /// Whether this term's vote is the asker's; on disk if so.
        granted: bool,
    },
    /// Entries, or the question whether the logs agree up to `prev` (5.3).
    Append(Append),
    /// The follower's log agrees with the leader's, so far.
    Accepted {
        /// The follower's term.
        term: Term,
        /// Up to where the logs agree, as far as the follower has seen.
        verified: Position,
        /// Up to where that is on the follower's disk: what the leader may count.
        matched: Position,
    },
    /// The follower has no entry at `prev`, or one of another term.
    Rejected {
        /// The follower's term.
        term: Term,
        /// The position asked for, which names the [`Message::Append`] that is refused.
        prev: Position,
        /// The follower's last entry at or before it whose term is not above the one asked for.
        hint: Point,
    },
    /// I lead. Also carries a round of reads; never evidence that logs match.
    Heartbeat {
        /// The leader's term.
        term: Term,
        /// The smaller of the leader's commit and what this follower is known to hold.
        commit: Position,
        /// The newest round of reads; zero: none yet.
        round: u64,
    },
    /// The answer to [`Message::Heartbeat`]: repairs a lost [`Message::Append`] or [`Message::Accepted`].
    HeartbeatReply {
        /// The follower's term.
        term: Term,
        /// The round of the heartbeat.
        round: u64,
        /// As in [`Message::Accepted`].
        verified: Position,
        /// As in [`Message::Accepted`].
        matched: Position,
    },
    /// The commit has advanced and there is nothing to append that could say so. Not answered.
    Commit {
        /// The leader's term.
        term: Term,
        /// As in [`Message::Heartbeat`].
        commit: Position,
    },
    /// The entries that you need are gone; fetch this instead. Carries no state itself.
    Snapshot {
        /// The leader's term.
        term: Term,
        /// What to fetch.
        meta: SnapshotMeta,
        /// The last configuration that it includes; none: each member's own config still counts there.
        configured: Option<Configured>,
    },
    /// Seek to lead, at once: I want to go (thesis 3.10).
    TimeoutNow {
        /// The leader's term.
        term: Term,
        /// The last entry of its log. Who has another does not do it.
        last: Point,
    },
    /// Your term is over.
    NewTerm {
        /// The one that is not.
        term: Term,
    },
}

/// The entries behind `prev`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Append {
    /// The leader's term.
    pub term: Term,
    /// The entry before the first of these.
    pub prev: Point,
    /// The leader's commit.
    pub commit: Position,
    /// The entries: consecutive, terms never falling. None: a probe.
    pub runs: SmallVec<[Run; 1]>,
}

/// A batch and the term in which it was proposed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The term of all its entries.
    pub term: Term,
    /// The entries.
    pub batch: Batch,
}

impl Append {
    /// The last position it speaks of.
    pub fn end(&self) -> Position {
        self.prev.position.plus(length(&self.runs))
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
pub(crate) fn without(mut runs: SmallVec<[Run; 1]>, mut count: u64) -> SmallVec<[Run; 1]> {
    let mut whole = 0;
    while let Some(run) = runs.get_mut(whole).filter(|_| count > 0) {
        let length = run.batch.len();
        if count < length {
            run.batch = run.batch.slice(count, length);
            count = 0;
        } else {
            whole += 1;
            count -= length;
        }
    }
    if whole > 0 {
        runs.drain(..whole);
    }
    runs
}

impl Message {
    /// The sender's term.
    pub const fn term(&self) -> Term {
        match self {
            Self::PreVote { term, .. }
            | Self::PreVoteReply { term, .. }
            | Self::RequestVote { term, .. }
            | Self::VoteReply { term, .. }
            | Self::Append(Append { term, .. })
            | Self::Accepted { term, .. }
            | Self::Rejected { term, .. }
            | Self::Heartbeat { term, .. }
            | Self::HeartbeatReply { term, .. }
            | Self::Commit { term, .. }
            | Self::Snapshot { term, .. }
            | Self::TimeoutNow { term, .. }
            | Self::NewTerm { term } => *term,
        }
    }

    /// Whether it is heard from anybody: a member's own configuration may be older than the sender's (Raft 6), who is a
    /// leader by it or might become one. Whether a vote counts is judged by the one that asks for it.
    pub(crate) const fn is_heard_from_strangers(&self) -> bool {
        match self {
            Self::PreVote { .. }
            | Self::RequestVote { .. }
            | Self::Append(_)
            | Self::Heartbeat { .. }
            | Self::Commit { .. }
            | Self::Snapshot { .. }
            | Self::TimeoutNow { .. } => true,
            Self::PreVoteReply { .. }
            | Self::VoteReply { .. }
            | Self::Accepted { .. }
            | Self::Rejected { .. }
            | Self::HeartbeatReply { .. }
            | Self::NewTerm { .. } => false,
        }
    }

    /// Whether a member can have said this: numbers within bounds, terms in order. A message that is not comes
    /// from a broken or hostile peer, and nothing behind this check has to fear an overflow.
    pub(crate) fn is_sane(&self) -> bool {
        let bounded = |position: Position| position <= POSITION_MAX;
        self.term() <= Term::MAX
            && match self {
                Self::PreVote { last, term }
                | Self::RequestVote { last, term, .. }
                | Self::TimeoutNow { last, term } => last.is_sane() && last.term <= *term,
                Self::PreVoteReply { campaign, .. } => *campaign <= Term::MAX,
                Self::VoteReply { .. } | Self::NewTerm { .. } => true,
                Self::Append(append) => append.is_sane(),
                Self::Accepted {
                    verified, matched, ..
                }
                | Self::HeartbeatReply {
                    verified, matched, ..
                } => matched <= verified && bounded(*verified),
                Self::Rejected { prev, hint, .. } => bounded(*prev) && hint.is_sane(),
                Self::Heartbeat { term, commit, .. } | Self::Commit { term, commit } => {
                    *term > Term::ZERO && bounded(*commit)
                }
                Self::Snapshot {
                    term,
                    meta,
                    configured,
                } => {
                    let last = Point::from(*meta);
                    last.is_sane()
                        && last != Point::START
                        && last.term <= *term
                        && meta.epoch == last.term.epoch()
                        && configured.as_ref().is_none_or(|one| one.is_before(last))
                }
            }
    }
}

impl Append {
    fn is_sane(&self) -> bool {
        let mut before = self.prev.term.max(Term(1));
        let mut end = self.prev.position.get();
        self.prev.is_sane()
            && self.prev.term <= self.term
            && self.term > Term::ZERO
            && self.commit <= POSITION_MAX
            && self.runs.iter().all(|run| {
                let length = run.batch.len();
                let ordered = before <= run.term && run.term <= self.term;
                before = run.term;
                end = end.saturating_add(length);
                ordered && run.is_sane() && run.batch.label().sequence.checked_add(length).is_some()
            })
            && end <= POSITION_MAX.get()
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
    /// One line for traces: the sender's term first, entries as `first@term..last@term`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "t{} ", self.term())?;
        match self {
            Self::PreVote { last, .. } => write!(f, "PreVote last {last}"),
            Self::PreVoteReply {
                campaign, granted, ..
            } => write!(f, "PreVoteReply for t{campaign} {}", yes(*granted)),
            Self::RequestVote { last, transfer, .. } => {
                let why = if *transfer { " for a transfer" } else { "" };
                write!(f, "RequestVote last {last}{why}")
            }
            Self::TimeoutNow { last, .. } => write!(f, "TimeoutNow last {last}"),
            Self::VoteReply { granted, .. } => write!(f, "VoteReply {}", yes(*granted)),
            Self::Append(append) => {
                f.write_str("Append ")?;
                write_runs(f, append.prev.position, &append.runs)?;
                write!(f, " prev {} commit {}", append.prev, append.commit)
            }
            Self::Accepted {
                verified, matched, ..
            } => write!(f, "Accepted verified {verified} matched {matched}"),
            Self::Rejected { prev, hint, .. } => write!(f, "Rejected prev {prev} hint {hint}"),
            Self::Heartbeat { commit, round, .. } => {
                write!(f, "Heartbeat commit {commit} round {round}")
            }
            Self::HeartbeatReply {
                round,
                verified,
                matched,
                ..
            } => write!(
                f,
                "HeartbeatReply round {round} verified {verified} matched {matched}"
            ),
            Self::Commit { commit, .. } => write!(f, "Commit {commit}"),
            Self::Snapshot {
                meta, configured, ..
            } => {
                write!(f, "Snapshot {}", Point::from(*meta))?;
                write_configured(f, configured.as_ref())
            }
            Self::NewTerm { .. } => f.write_str("NewTerm"),
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

fn yes(granted: bool) -> &'static str {
    if granted { "yes" } else { "no" }
}

/// Writes runs as `first@term..last@term`, one range a term.
pub(crate) fn write_runs(f: &mut fmt::Formatter<'_>, prev: Position, runs: &[Run]) -> fmt::Result {
    if runs.is_empty() {
        return f.write_str("nothing");
    }
    let mut first = prev.next();
    for (index, group) in runs.chunk_by(|a, b| a.term == b.term).enumerate() {
        let term = group[0].term;
        let last = first.plus(length(group)).prev();
        let space = if index == 0 { "" } else { " " };
        if first == last {
            write!(f, "{space}{first}@{term}")?;
        } else {
            write!(f, "{space}{first}@{term}..{last}@{term}")?;
        }
        first = last.next();
    }
    Ok(())
}
