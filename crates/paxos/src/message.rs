//! What members say to each other.
//!
//! ```text
//! proposer                 acceptor      leader                       acceptor
//!    │ (own promise on disk)  │             │ Accept 7 in b             │
//!    │ Prepare b from 4       │             ├──────────── lost ──╳      │
//!    ├───────────────────────►│ persist     │ Accept 8 in b             │
//!    │                        │ on disk     ├──────────────────────────►│ persist
//!    │  Promise b: 4..6 next 7│             │            (on disk)      │
//!    │◄───────────────────────┤             │  Accepted b: 8            │
//!    │ Prepare b at 7         │             │◄──────────────────────────┤
//!    ├───────────────────────►│             │ Accept 7 in b (again)     │
//!    │  Promise b: 7..9 end   │             ├──────────────────────────►│ persist
//!    │◄───────────────────────┤             │  Accepted b: 7..8         │
//!    │ leads                  │             │◄──────────────────────────┤
//!                                           │ Chosen upto 8             │
//!  a ballot that is outbid:                 ├──────────────────────────►│ hands out
//!     Prepare, Accept, … ► ◄ Nack           │ Heartbeat round           │
//!  slots that are forgotten:                ├──────────────────────────►│
//!     Promise with a snapshot, or           │  Accepted round           │
//!     Snapshot ► (fetched elsewhere)        │◄──────────────────────────┤
//!                                           │ Bid                       │
//!  everybody to everybody, all the time:    ├──────────────────────────►│ Prepare c …
//!     Gossip (whom I hear, which leader)
//! ```

use alloc::vec::Vec;
use core::fmt;

use quorate_core::{Batch, Carry, Configuration, NodeId, Position, Ranges, SnapshotMeta};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::ballot::{POSITION_MAX, Span, slots, write_kind, write_values};
use crate::{Ballot, Value, Vote};

/// One message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// Phase 1a: promise this ballot and say what you voted for, in every slot from `at` on.
    Prepare {
        /// The proposer's ballot.
        ballot: Ballot,
        /// The first slot asked about: the first open one, or where the last piece of the answer ended.
        at: Position,
        /// Where the configuration stands whose voters are asked; zero: nowhere in the log.
        configured: Position,
        /// The ballot whose leader has asked the sender to bid.
        released: Option<Ballot>,
    },
    /// Phase 1b, or a piece of it.
    Promise(Promise),
    /// Phase 2a: vote for these values.
    Accept {
        /// The leader's ballot.
        ballot: Ballot,
        /// Everything up to here is chosen: true of slots that the receiver holds in this very ballot.
        chosen: Position,
        /// The slot of the first value.
        first: Position,
        /// The values, slot after slot.
        values: SmallVec<[Value; 1]>,
    },
    /// Phase 2b: all that the sender has accepted, also the answer to [`Message::Heartbeat`].
    Accepted(Accepted),
    /// The ballot is outbid: nothing is promised or accepted in it any more.
    Nack {
        /// What the sender has promised.
        promised: Ballot,
    },
    /// The leader has learned more and has nothing to propose that could say so. Not answered.
    Chosen {
        /// The leader's ballot.
        ballot: Ballot,
        /// As in [`Message::Accept`].
        upto: Position,
    },
    /// I lead. Also carries a round of reads.
    Heartbeat {
        /// The leader's ballot.
        ballot: Ballot,
        /// As in [`Message::Accept`].
        chosen: Position,
        /// The newest round of reads; zero: none yet.
        round: u64,
    },
    /// The slots that you need are forgotten; fetch this instead. Carries no state itself.
    Snapshot {
        /// The leader's ballot.
        ballot: Ballot,
        /// What to fetch.
        offer: Offer,
    },
    /// Lead instead of me: bid at once.
    Bid {
        /// The leader's ballot.
        ballot: Ballot,
        /// As in [`Message::Accept`].
        chosen: Position,
    },
    /// What the elector knows at first hand. Promises nothing.
    Gossip {
        /// What the sender has promised.
        promised: Ballot,
        /// Where the configuration stands that it has in force; zero: nowhere in the log.
        configured: Position,
        /// Whom it has heard of late that might lead it: voters, and who is ahead of it in configurations.
        hears: SmallVec<[NodeId; 8]>,
        /// The leader it has heard of late, or is; only while that leader hears a quorum.
        follows: Option<Ballot>,
        /// The receiver is none of the sender's members and has spoken first. Not answered.
        answer: bool,
    },
}

/// A snapshot instead of slots that are forgotten.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// What to fetch.
    pub meta: SnapshotMeta,
    /// The last configuration that it includes, and where that stands; none: the log says nothing up to there.
    pub configuration: Option<(Position, Configuration)>,
}

impl Offer {
    fn is_sane(&self) -> bool {
        let end = self.meta.position;
        let born = Ballot {
            round: self.meta.epoch.round,
            node: self.meta.epoch.node,
        };
        let configured = self.configuration.as_ref();
        born.is_used()
            && (Position(1)..=POSITION_MAX).contains(&end)
            && configured.is_none_or(|(at, configuration)| {
                (Position(1)..=end).contains(at) && configuration.is_sane()
            })
    }
}

/// Phase 1b: the promise, and a piece of what was voted for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promise {
    /// The ballot that is promised.
    pub ballot: Ballot,
    /// The first slot that this piece answers for.
    pub at: Position,
    /// Where the next piece begins; none: nothing was voted for behind this one.
    pub next: Option<Position>,
    /// The votes in between. A slot without one was not voted for.
    pub votes: Vec<Vote>,
    /// Up to where the sender has handed out what is chosen.
    pub chosen: Position,
    /// The sender has forgotten slots from `at` on: what it knows of them is in this snapshot, and it says nothing of
    /// the slots behind (`RELIABILITY` P14).
    pub forgotten: Option<Offer>,
}

/// Phase 2b: what an acceptor has accepted in a ballot, all of it on its disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// The ballot.
    pub ballot: Ballot,
    /// The newest round of reads that the sender has heard of in it.
    pub round: u64,
    /// Up to where the sender has handed out what is chosen.
    pub chosen: Position,
    /// Slots behind that which it has accepted in this ballot, as half-open runs; the first [`Accepted::RUNS_MAX`].
    pub taken: SmallVec<[(u64, u64); 2]>,
}

impl Accepted {
    /// More runs wait for a later message: the holes before them have to close first.
    pub const RUNS_MAX: usize = 32;

    /// The runs of `taken` behind `chosen`.
    pub(crate) fn runs(taken: &Ranges, chosen: Position) -> SmallVec<[(u64, u64); 2]> {
        let next = chosen.next().get();
        let behind = taken.runs().iter().filter(|run| run.1 > next);
        let cut = behind.map(|run| (run.0.max(next), run.1));
        cut.take(Self::RUNS_MAX).collect()
    }

    fn is_sane(&self) -> bool {
        let mut at = self.chosen.get();
        let ordered = |run: &(u64, u64)| {
            let fits = at < run.0 && run.0 < run.1 && run.1 <= POSITION_MAX.get() + 1;
            at = run.1;
            fits
        };
        self.ballot.is_used()
            && self.chosen <= POSITION_MAX
            && self.taken.len() <= Self::RUNS_MAX
            && self.taken.iter().all(ordered)
    }
}

impl Message {
    /// The ballot that only its own proposer may speak for.
    pub(crate) const fn proposes_in(&self) -> Option<Ballot> {
        match self {
            Self::Prepare { ballot, .. }
            | Self::Accept { ballot, .. }
            | Self::Chosen { ballot, .. }
            | Self::Heartbeat { ballot, .. }
            | Self::Snapshot { ballot, .. }
            | Self::Bid { ballot, .. } => Some(*ballot),
            Self::Promise(_) | Self::Accepted(_) | Self::Nack { .. } | Self::Gossip { .. } => None,
        }
    }

    /// Whether a member can have said this. A message that is not comes from a broken or hostile peer, and nothing
    /// behind this check has to fear an overflow.
    pub(crate) fn is_sane(&self, from: NodeId) -> bool {
        let bounded = |position: Position| position <= POSITION_MAX;
        let own = self
            .proposes_in()
            .is_none_or(|ballot| ballot.is_used() && ballot.node == from);
        let known = |ballot: Ballot| ballot.is_used() || ballot == Ballot::ZERO;
        own && match self {
            Self::Prepare {
                at,
                configured,
                released,
                ..
            } => {
                let asked = released.is_none_or(Ballot::is_used);
                bounded(*at) && *at > Position::ZERO && bounded(*configured) && asked
            }
            Self::Promise(promise) => {
                promise.ballot.is_used()
                    && bounded(promise.at)
                    && promise.next.is_none_or(bounded)
                    && bounded(promise.chosen)
                    && promise.forgotten.as_ref().is_none_or(Offer::is_sane)
            }
            Self::Accept {
                ballot,
                chosen,
                first,
                values,
            } => {
                let length = values
                    .iter()
                    .fold(0u64, |sum, value| sum.saturating_add(value.slots()));
                bounded(*chosen)
                    && *first > Position::ZERO
                    && bounded(*first)
                    && first.get().saturating_add(length) <= POSITION_MAX.get()
                    && values.iter().all(|value| value.is_sane(*ballot))
            }
            Self::Accepted(accepted) => accepted.is_sane(),
            Self::Nack { promised } => promised.is_used(),
            Self::Chosen { upto, .. } => bounded(*upto),
            Self::Heartbeat { chosen, .. } | Self::Bid { chosen, .. } => bounded(*chosen),
            Self::Snapshot { offer, .. } => offer.is_sane(),
            Self::Gossip {
                promised,
                configured,
                follows,
                ..
            } => {
                let led = follows.is_none_or(Ballot::is_used);
                known(*promised) && bounded(*configured) && led
            }
        }
    }
}

impl quorate_core::Message for Message {
    fn is_bulk(&self) -> bool {
        match self {
            Self::Accept { values, .. } => !values.is_empty(),
            Self::Promise(promise) => !promise.votes.is_empty(),
            Self::Prepare { .. }
            | Self::Accepted(_)
            | Self::Nack { .. }
            | Self::Chosen { .. }
            | Self::Heartbeat { .. }
            | Self::Snapshot { .. }
            | Self::Bid { .. }
            | Self::Gossip { .. } => false,
        }
    }

    /// The votes of a promise do not stand one behind the other, and an election does not wait for bodies.
    fn first(&self) -> Option<Position> {
        match self {
            Self::Accept { first, values, .. } => (!values.is_empty()).then_some(*first),
            _ => None,
        }
    }
}

impl Carry for Message {
    fn batches(&self, visit: &mut dyn FnMut(&Batch)) {
        match self {
            Self::Accept { values, .. } => values.iter().for_each(|value| visit(&value.batch)),
            Self::Promise(promise) => {
                let values = promise.votes.iter().map(|vote| &vote.value);
                values.for_each(|value| visit(&value.batch));
            }
            _ => {}
        }
    }

    fn batches_mut(&mut self, visit: &mut dyn FnMut(&mut Batch)) {
        match self {
            Self::Accept { values, .. } => {
                values.iter_mut().for_each(|value| visit(&mut value.batch));
            }
            Self::Promise(promise) => {
                let values = promise.votes.iter_mut().map(|vote| &mut vote.value);
                values.for_each(|value| visit(&mut value.batch));
            }
            _ => {}
        }
    }
}

impl fmt::Display for Message {
    /// One line for traces. Values as `first..last@born`, votes with the ballot behind `in`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prepare {
                ballot,
                at,
                configured,
                released,
            } => {
                write!(f, "Prepare {ballot} at {at}")?;
                if *configured > Position::ZERO {
                    write!(f, " under {configured}")?;
                }
                released
                    .iter()
                    .try_for_each(|leader| write!(f, " released by {leader}"))
            }
            Self::Promise(promise) => promise.fmt(f),
            Self::Accept {
                ballot,
                chosen,
                first,
                values,
            } => {
                let last = first.plus(slots(values)).prev();
                write!(f, "Accept {} in {ballot}: ", Span(*first, last))?;
                write_values(f, *first, values)?;
                write!(f, " chosen {chosen}")
            }
            Self::Accepted(accepted) => accepted.fmt(f),
            Self::Nack { promised } => write!(f, "Nack promised {promised}"),
            Self::Chosen { ballot, upto } => write!(f, "Chosen {upto} in {ballot}"),
            Self::Heartbeat {
                ballot,
                chosen,
                round,
            } => write!(f, "Heartbeat {ballot} chosen {chosen} round {round}"),
            Self::Snapshot { ballot, offer } => write!(f, "Snapshot {offer} in {ballot}"),
            Self::Bid { ballot, chosen } => write!(f, "Bid in {ballot} chosen {chosen}"),
            Self::Gossip {
                promised,
                configured,
                hears,
                follows,
                answer,
            } => {
                let kind = if *answer { "Answer" } else { "Gossip" };
                write!(f, "{kind} promised {promised} under {configured} hears")?;
                hears.iter().try_for_each(|id| write!(f, " {id}"))?;
                follows
                    .iter()
                    .try_for_each(|leader| write!(f, " follows {leader}"))
            }
        }
    }
}

impl fmt::Display for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.meta.position, self.meta.epoch)?;
        if let Some((at, configuration)) = &self.configuration {
            write!(f, " members {configuration} since {at}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Promise {} at {}:", self.ballot, self.at)?;
        for vote in &self.votes {
            let span = Span(vote.first, vote.end().prev());
            write!(f, " {span}@{} in {}", vote.value.born, vote.ballot)?;
            write_kind(f, &vote.value)?;
        }
        if self.votes.is_empty() {
            f.write_str(" nothing")?;
        }
        if let Some(next) = self.next {
            write!(f, " next {next}")?;
        }
        if let Some(offer) = &self.forgotten {
            write!(f, " forgotten, snapshot {offer}")?;
        }
        write!(f, " chosen {}", self.chosen)
    }
}

impl fmt::Display for Accepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Accepted in {}:", self.ballot)?;
        for (start, end) in &self.taken {
            write!(f, " {}", Span(Position(*start), Position(end - 1)))?;
        }
        if self.taken.is_empty() {
            f.write_str(" nothing")?;
        }
        write!(f, " chosen {} round {}", self.chosen, self.round)
    }
}
