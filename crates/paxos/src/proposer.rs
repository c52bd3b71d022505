//! The proposer: idle, preparing, leading. Phase 1 in one exchange for all open slots.
//!
//! ```text
//!          bids: own promise written       phase 1 quorum, own promise on disk
//!   Idle ────────────────────────► Preparing ────────────────────────► Leading
//!    ▲                                 │                                  │
//!    ├── outbid · slots forgotten ─────┤                                  │
//!    ├── no answer for long · no room ─┘                                  │
//!    └── outbid · no room · no phase 2 quorum for an election timeout ────┘
//!        · another configuration
//! ```
//! (Paxos Made Simple, 2.2 and 3; Paxos Made Moderately Complex, 2.3, 2.4. As there, a proposer that is outbid gives
//! up and waits; unlike there, one exchange is for a whole log.)

use alloc::vec::Vec;

use quorate_core::{Batch, Instant, NodeId, Output, Position, Timestamp};
use smallvec::SmallVec;

use crate::leading::Leading;
use crate::message::{Offer, Promise};
use crate::paxos::{Out, Paxos};
use crate::reconfiguring::Stop;
use crate::safe_value::{Slot, is_report, safe_values};
use crate::{Ballot, Message, Value, Vote};

/// The most slots that phase 1 may find empty below one that is not. More is no hole but a broken peer.
const HOLES_MAX: u64 = 1 << 20;

#[derive(Clone, Debug)]
pub(crate) enum Proposer {
    /// Leaves it to others.
    Idle,
    /// Phase 1: collects promises.
    Preparing(Preparing),
    /// Phase 2: proposes.
    Leading(Leading),
}

#[derive(Clone, Debug)]
pub(crate) struct Preparing {
    ballot: Ballot,
    /// The first open slot.
    from: Position,
    /// Where the configuration stands whose voters are asked. Another one ends this bid.
    configured: Position,
    /// The ballot whose leader has asked for this bid.
    released: Option<Ballot>,
    /// Every other voter.
    asked: Vec<Asked>,
    /// When an answer last brought something new.
    moved: Instant,
}

/// A voter and what it has answered so far.
#[derive(Clone, Debug)]
struct Asked {
    id: NodeId,
    /// Where the next piece begins; none: all is answered.
    at: Option<Position>,
    votes: Vec<Vote>,
    chosen: Option<Position>,
}

impl Paxos {
    /// Bids for leadership: the own promise is written, and not a word said before it is on disk.
    pub(crate) fn campaign(&mut self, now: Instant, released: Option<Ballot>, out: &mut Out) {
        assert!(
            matches!(self.proposer, Proposer::Idle),
            "it bids once at a time"
        );
        self.elector.wait(now, self.config.election_timeout);
        let Some(round) = self.elector.bid(self.acceptor.promised()) else {
            return;
        };
        let node = self.config.id;
        let ballot = Ballot { round, node };
        self.promise(now, ballot, out);
        let from = self.acceptor.slots.settled().next();
        let voters = self.roster.phase_1.members().into_iter();
        let asked = voters.filter(|id| *id != node).map(|id| Asked {
            id,
            at: Some(from),
            votes: Vec::new(),
            chosen: None,
        });
        self.proposer = Proposer::Preparing(Preparing {
            ballot,
            from,
            configured: self.roster.configured(),
            released,
            asked: asked.collect(),
            moved: now,
        });
    }

    /// The own promise has come to disk: asks everybody.
    pub(crate) fn on_promised(&mut self, now: Instant, out: &mut Out) {
        if let Proposer::Preparing(preparing) = &mut self.proposer {
            preparing.moved = now;
            preparing.ask(out);
            self.finish_phase_1(now, out);
        }
    }

    /// Asks again whoever has not answered; gives up when nothing has come for an election timeout.
    pub(crate) fn tick_preparing(&mut self, now: Instant, beat: bool, out: &mut Out) {
        let spoken = self.acceptor.is_spoken();
        let Proposer::Preparing(preparing) = &self.proposer else {
            return;
        };
        if !spoken {
            return;
        }
        if now.since(preparing.moved) >= self.config.election_timeout {
            self.step_down(now, out);
        } else if beat {
            preparing.ask(out);
        }
    }

    pub(crate) fn on_promise(
        &mut self,
        now: Instant,
        from: NodeId,
        promise: Promise,
        out: &mut Out,
    ) {
        let Proposer::Preparing(preparing) = &mut self.proposer else {
            return;
        };
        if promise.ballot != preparing.ballot {
            return;
        }
        let Some(asked) = preparing.asked.iter_mut().find(|asked| asked.id == from) else {
            return;
        };
        // An earlier piece again, or one that was not asked for yet (P12).
        if asked.at != Some(promise.at) {
            return;
        }
        let end = promise.next.unwrap_or(crate::ballot::POSITION_MAX);
        let ahead = end > promise.at && is_report(&promise.votes, promise.at, end, promise.ballot);
        if !ahead
            || promise
                .forgotten
                .as_ref()
                .is_some_and(|offer| offer.meta.position < promise.at)
        {
            self.anomalies += 1;
            return;
        }
        preparing.moved = now;
        if let Some(offer) = promise.forgotten {
            return self.on_forgotten(now, from, offer, out);
        }
        asked.votes.extend(promise.votes);
        (asked.at, asked.chosen) = (promise.next, Some(promise.chosen));
        if let Some(at) = asked.at {
            let question = preparing.question(at);
            out.send(from, question);
        }
        self.finish_phase_1(now, out);
    }

    /// A voter has forgotten open slots: they are chosen, and nobody may take them for empty (P14). The snapshot
    /// comes first, another bid after it.
    fn on_forgotten(&mut self, now: Instant, from: NodeId, offer: Offer, out: &mut Out) {
        self.step_down(now, out);
        self.on_offer(from, offer, out);
    }

    /// Leads if a quorum has promised and told all it voted for.
    fn finish_phase_1(&mut self, now: Instant, out: &mut Out) {
        let Proposer::Preparing(preparing) = &self.proposer else {
            return;
        };
        let spoken = self.acceptor.is_spoken();
        let promised = |id| {
            let asked = preparing.asked.iter().find(|asked| asked.id == id);
            asked.map_or(spoken, |asked| asked.at.is_none())
        };
        if !spoken || !self.roster.phase_1.reached(promised) {
            return;
        }
        let from = preparing.from;
        let own = self.acceptor.votes(from, u64::MAX);
        let (own, _) = own.expect("a proposer that prepares has accepted nothing yet");
        let complete = preparing.asked.iter().filter(|asked| asked.at.is_none());
        let mut reports: Vec<&[Vote]> = complete.map(|asked| &asked.votes[..]).collect();
        reports.push(&own);
        let found = safe_values(from, &reports);
        let chosen = preparing.asked.iter().map(|asked| (asked.id, asked.chosen));
        let chosen: Vec<_> = chosen.collect();
        match found {
            Ok(found) if holes(&found) <= HOLES_MAX => self.lead(now, &found, &chosen, out),
            Ok(_) | Err(_) => {
                self.anomalies += 1;
                self.step_down(now, out);
            }
        }
    }

    /// Leads: every open slot that a quorum voted for, and every hole between them, is proposed anew, up to the first
    /// configuration. What was voted for behind that is for the voters of that configuration: the phase 1 of the next
    /// ballot, which asks them, will find it.
    ///
    /// A configuration that follows another one than that in force was never chosen, nor will it be: whoever proposed it
    /// led under the configuration that it follows, in a slot that a configuration came to stand before. Its members are
    /// those before with one change, so it would undo the change that came between. A no-op takes its place.
    fn lead(
        &mut self,
        now: Instant,
        found: &[Slot],
        chosen: &[(NodeId, Option<Position>)],
        out: &mut Out,
    ) {
        let ballot = self.acceptor.promised();
        let configured = self.roster.configured();
        let noop = Value {
            born: ballot,
            batch: Batch::noop(Timestamp::ZERO),
        };
        let (mut pending, mut stop) = (Proposal::default(), None);
        for slot in found {
            match slot {
                Slot::Bound(first, value) if value.follows(configured) => {
                    self.gather(&mut pending, *first, value.clone(), out);
                    stop = Some(Stop::found(*first));
                    break;
                }
                Slot::Bound(first, value) if value.is_configuration() => {
                    self.gather(&mut pending, *first, noop.clone(), out);
                }
                Slot::Bound(first, value) => self.gather(&mut pending, *first, value.clone(), out),
                Slot::Free(first, end) => {
                    for at in first.get()..end.get() {
                        self.gather(&mut pending, Position(at), noop.clone(), out);
                    }
                }
            }
        }
        self.accept_own(pending, out);
        self.become_leader(now, chosen, stop, out);
    }

    /// Adds a value to a run of them; accepts the run when it is as large as one record may be.
    fn gather(&mut self, pending: &mut Proposal, first: Position, value: Value, out: &mut Out) {
        let weight = value.batch.weight();
        if pending.weight + weight > self.config.append_bytes_max && !pending.values.is_empty() {
            self.accept_own(core::mem::take(pending), out);
        }
        if pending.values.is_empty() {
            pending.first = first;
        }
        pending.weight += weight;
        pending.values.push(value);
    }

    fn accept_own(&mut self, proposal: Proposal, out: &mut Out) {
        if !proposal.values.is_empty() {
            self.accept(proposal.first, proposal.values, out);
        }
    }

    /// Gives up whatever it was doing, and waits.
    pub(crate) fn step_down(&mut self, now: Instant, out: &mut Out) {
        self.elector.wait(now, self.config.election_timeout);
        let before = core::mem::replace(&mut self.proposer, Proposer::Idle);
        match before {
            Proposer::Idle | Proposer::Preparing(_) => {}
            Proposer::Leading(mut leading) => {
                self.elector.leader = None;
                self.learner.doubt();
                self.leave_off();
                let why = self.not_leader();
                for ticket in leading.reads.drain() {
                    out.push(Output::Reject { ticket, why });
                }
            }
        }
    }
}

/// Values that go into one record.
#[derive(Default)]
struct Proposal {
    first: Position,
    values: SmallVec<[Value; 1]>,
    weight: u64,
}

fn holes(found: &[Slot]) -> u64 {
    let free = |slot: &Slot| match slot {
        Slot::Free(first, end) => end.get() - first.get(),
        Slot::Bound(..) => 0,
    };
    found.iter().map(free).sum()
}

impl Preparing {
    fn ask(&self, out: &mut Out) {
        for asked in &self.asked {
            if let Some(at) = asked.at {
                out.send(asked.id, self.question(at));
            }
        }
    }

    fn question(&self, at: Position) -> Message {
        Message::Prepare {
            ballot: self.ballot,
            at,
            configured: self.configured,
            released: self.released,
        }
    }
}
