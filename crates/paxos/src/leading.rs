//! Phase 2, the leader's side: proposals leave as they come, and are chosen in whatever order quorums accept them.
//!
//! (Paxos Made Simple, 2.2 and 3. The "commander" of each slot in Paxos Made Moderately Complex, 2.3, is here a count
//! over ranges: what one acknowledgement adds is counted at once, however many slots it covers.)

use alloc::vec::Vec;

use quorate_core::{
    Batch, Credit, Instant, Kind, NodeId, Output, Position, Ranges, Rejection, Ticket,
};
use smallvec::{SmallVec, smallvec};

use crate::Value;
use crate::ballot::POSITION_MAX;
use crate::lease::Tenure;
use crate::message::Accepted;
use crate::paxos::{Out, Paxos};
use crate::peer::{Peer, View};
use crate::proposer::Proposer;
use crate::reads::Reads;
use crate::reconfiguring::Stop;
use crate::roster::Roster;
use crate::slots::Slots;

#[derive(Clone, Debug)]
pub(crate) struct Leading {
    /// The last slot that phase 1 found: all that earlier ballots can have chosen, up to the first configuration.
    pub(crate) found: Position,
    /// The configuration that is proposed and not chosen: nothing is proposed behind it.
    pub(crate) stop: Option<Stop>,
    /// Every other member, in the roster's order.
    pub(crate) peers: Vec<Peer>,
    /// Reads that wait for a quorum to confirm the ballot.
    pub(crate) reads: Reads,
    pub(crate) tenure: Tenure,
}

impl Leading {
    /// The last slot that has a proposal in this ballot. What is held behind it was accepted in other ballots.
    fn last(&self, slots: &Slots) -> Position {
        self.stop.map_or_else(|| slots.last(), |stop| stop.at)
    }
}

impl Paxos {
    /// Begins to lead: what phase 1 found is accepted here already, and goes out to all.
    pub(crate) fn become_leader(
        &mut self,
        now: Instant,
        chosen: &[(NodeId, Option<Position>)],
        stop: Option<Stop>,
        out: &mut Out,
    ) {
        let ballot = self.acceptor.promised();
        assert_eq!(ballot.node, self.config.id, "it leads its own ballot");
        assert!(self.acceptor.is_spoken(), "its own promise is on disk");
        let slots = &self.acceptor.slots;
        let view = self.view(now, stop.map_or_else(|| slots.last(), |stop| stop.at));
        let peers = self.roster.others.iter().map(|(id, _)| {
            let known = chosen.iter().find(|(asked, _)| asked == id);
            Peer::new(*id, known.and_then(|(_, chosen)| *chosen), &view)
        });
        let leading = Leading {
            found: view.last,
            stop,
            peers: peers.collect(),
            reads: Reads::default(),
            tenure: Tenure::default(),
        };
        self.proposer = Proposer::Leading(leading);
        self.elector.on_leader(now, ballot);
        // Control first: it stops other bids even where bulk has to wait.
        self.heartbeat(now, out);
        self.pump_all(now, out);
        if self.makes_way() {
            self.make_way(now, false, out);
        }
    }

    pub(crate) fn on_propose(&mut self, now: Instant, ticket: Ticket, batch: Batch, out: &mut Out) {
        let why = match batch.kind() {
            Kind::Noop | Kind::Commands | Kind::Session => self.refuse(&batch),
            Kind::Configuration => Some(Rejection::Unsupported),
        };
        if let Some(why) = why {
            return out.push(Output::Reject { ticket, why });
        }
        let value = Value {
            born: self.acceptor.promised(),
            batch,
        };
        self.propose(now, value, out);
    }

    /// Proposes a value behind all others.
    pub(crate) fn propose(&mut self, now: Instant, value: Value, out: &mut Out) {
        // Everything behind a configuration waits for the quorums of that configuration, which may be others than those
        // that have promised this ballot.
        assert!(!self.is_closed(), "nothing is proposed behind a stop-sign");
        self.accept(self.acceptor.slots.last().next(), smallvec![value], out);
        self.pump_all(now, out);
    }

    /// Whether this leader proposes nothing new for now.
    fn is_closed(&self) -> bool {
        let stopped = match &self.proposer {
            Proposer::Leading(leading) => leading.stop.is_some(),
            Proposer::Idle | Proposer::Preparing(_) => true,
        };
        stopped || self.makes_way()
    }

    /// Why a proposal cannot be taken.
    pub(crate) fn refuse(&self, batch: &Batch) -> Option<Rejection> {
        if !matches!(self.proposer, Proposer::Leading(_)) {
            let full = !self.disk.room && self.known_leader().is_none();
            let why = if full {
                Rejection::NoRoom
            } else {
                self.not_leader()
            };
            return Some(why);
        }
        if self.is_closed() {
            return Some(self.not_leader());
        }
        let (bytes, limit) = (batch.weight(), self.config.uncommitted_bytes_max);
        let slots = &self.acceptor.slots;
        if bytes > limit {
            Some(Rejection::TooLarge { bytes, limit })
        } else if slots.open() + bytes > limit
            || slots.bytes() + bytes > self.config.log_bytes_max
            || slots.last().get() + batch.len() > POSITION_MAX.get()
        {
            let retry_after = self.config.heartbeat_interval;
            Some(Rejection::Overloaded { retry_after })
        } else {
            None
        }
    }

    pub(crate) fn on_credit(&mut self, now: Instant, peer: NodeId, credit: Credit, out: &mut Out) {
        let Some(index) = self.roster.index(peer) else {
            return;
        };
        self.roster.others[index].1.grant(credit);
        if let Some((leading, roster, view)) = self.lead_view(now) {
            leading.peers[index].pump(&mut roster.others[index].1, &view, out);
        }
    }

    pub(crate) fn on_accepted(
        &mut self,
        now: Instant,
        index: usize,
        report: &Accepted,
        out: &mut Out,
    ) {
        let own = self.acceptor.promised();
        let Some((leading, _, view)) = self.lead_view(now) else {
            return;
        };
        // Of an earlier ballot of this member: it says nothing about this one (P11).
        if report.ballot < own {
            return;
        }
        let last = view.last;
        let end = report.taken.last().map_or(0, |run| run.1);
        // Who is ahead in configurations may have handed out more than this ballot can have proposed.
        let ahead = leading.stop.is_some() && report.taken.is_empty();
        let heard_of = (report.chosen <= last || ahead)
            && end <= last.get() + 1
            && report.round <= leading.reads.round();
        if report.ballot > own || !heard_of {
            self.anomalies += 1;
            return;
        }
        let chosen = report.chosen.min(last);
        let peer = &mut leading.peers[index];
        peer.on_accepted(report, &view);
        peer.on_alive(&view);
        // What it has handed out is chosen, and a leader holds no other value there.
        let next = view.slots.settled().next().get();
        self.learner.learn(next, chosen.next().get());
        self.advance(now, Some(index), out);
        self.settle_reads(now, out);
        self.settle_lease();
        if self.makes_way() {
            self.make_way(now, false, out);
        }
    }

    /// After this disk or the peer at `index` has moved: learns what a quorum has accepted now, hands it out, sends
    /// what may be sent, and tells peers what is chosen where no proposal did.
    pub(crate) fn advance(&mut self, now: Instant, index: Option<usize>, out: &mut Out) {
        let before = self.acceptor.slots.settled();
        self.count();
        let changed = self.deliver(now, out);
        let moved = self.acceptor.slots.settled() > before;
        if changed {
            return;
        }
        let Some((leading, roster, view)) = self.lead_view(now) else {
            return;
        };
        if let Some(index) = index {
            leading.peers[index].pump(&mut roster.others[index].1, &view, out);
            leading.peers[index].tell(&view, out);
        }
        if moved {
            for peer in &mut leading.peers {
                peer.tell(&view, out);
            }
            self.begin_reads(now, out);
        }
    }

    /// Learns every slot that a phase 2 quorum has accepted in this ballot: the own acceptor like any other, by what
    /// is on its disk. Slots need not be next to each other, and nothing waits for those before them.
    fn count(&mut self) {
        let Proposer::Leading(leading) = &self.proposer else {
            return;
        };
        let next = self.acceptor.slots.settled().next().get();
        let own = self.acceptor.taken();
        let all = leading.peers.iter().map(|peer| &peer.taken);
        let mut cuts: SmallVec<[u64; 16]> = SmallVec::new();
        for (start, end) in all.chain([own]).flat_map(Ranges::runs) {
            if *end > next {
                cuts.extend([(*start).max(next), *end]);
            }
        }
        cuts.sort_unstable();
        cuts.dedup();
        for piece in cuts.windows(2) {
            let accepted = |id| {
                let peer = leading.peers.iter().find(|peer| peer.id == id);
                peer.map_or(own, |peer| &peer.taken).contains(piece[0])
            };
            if self.roster.phase_2.reached(accepted) {
                self.learner.learn(piece[0], piece[1]);
            }
        }
    }

    /// Steps down if no phase 2 quorum was heard for an election timeout.
    pub(crate) fn tick_leader(&mut self, now: Instant, beat: bool, out: &mut Out) {
        let Proposer::Leading(leading) = &self.proposer else {
            return;
        };
        let heard = self.roster.phase_2.position(|id| {
            let peer = leading.peers.iter().find(|peer| peer.id == id);
            peer.map_or(now, |peer| peer.heard)
        });
        if now.since(heard) >= self.config.election_timeout {
            self.step_down(now, out);
        } else if beat {
            self.heartbeat(now, out);
            self.make_way(now, true, out);
        }
    }

    pub(crate) fn heartbeat(&mut self, now: Instant, out: &mut Out) {
        let ballot = self.acceptor.promised();
        let leases = self.config.lease.is_some();
        self.acceptor.pledge.give(ballot, now, &self.config);
        if let Some((leading, _, view)) = self.lead_view(now) {
            if leases {
                let round = leading.reads.next_round();
                leading
                    .tenure
                    .begin(round, now, view.config.election_timeout);
            }
            let round = leading.reads.round();
            for peer in &mut leading.peers {
                peer.heartbeat(round, &view, out);
            }
        }
    }

    pub(crate) fn pump_all(&mut self, now: Instant, out: &mut Out) {
        if let Some((leading, roster, view)) = self.lead_view(now) {
            for (peer, (_, tap)) in leading.peers.iter_mut().zip(&mut roster.others) {
                peer.pump(tap, &view, out);
            }
        }
    }

    fn view(&self, now: Instant, last: Position) -> View<'_> {
        View {
            config: &self.config,
            slots: &self.acceptor.slots,
            last,
            ballot: self.acceptor.promised(),
            newest: self.snapshots.newest.as_ref(),
            now,
        }
    }

    /// The leader, and what it looks at.
    pub(crate) fn lead_view(
        &mut self,
        now: Instant,
    ) -> Option<(&mut Leading, &mut Roster, View<'_>)> {
        let Proposer::Leading(leading) = &mut self.proposer else {
            return None;
        };
        let view = View {
            config: &self.config,
            slots: &self.acceptor.slots,
            last: leading.last(&self.acceptor.slots),
            ballot: self.acceptor.promised(),
            newest: self.snapshots.newest.as_ref(),
            now,
        };
        Some((leading, &mut self.roster, view))
    }
}
