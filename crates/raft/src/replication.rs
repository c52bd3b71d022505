//! The leader's side of replication (Raft 5.3, 5.4.2; thesis 6.2).

use quorate_core::{
    Batch, Credit, Instant, Kind, NodeId, Output, Position, Rejection, Ticket, Timestamp,
};
use smallvec::smallvec;

use crate::progress::View;
use crate::raft::{Out, Raft};
use crate::role::{Leader, Role};
use crate::roster::Seat;
use crate::term::POSITION_MAX;
use crate::{Point, Record, Run};

impl Raft {
    pub(crate) fn on_propose(&mut self, now: Instant, ticket: Ticket, batch: Batch, out: &mut Out) {
        match self.refuse(&batch) {
            Some(why) => out.push(Output::Reject { ticket, why }),
            None => self.append_own(now, batch, out),
        }
    }

    /// Why a proposal cannot be taken.
    fn refuse(&self, batch: &Batch) -> Option<Rejection> {
        if !matches!(self.role, Role::Leader(_)) {
            let nowhere_else = !self.disk.room && self.known_leader().is_none();
            return Some(if nowhere_else {
                Rejection::NoRoom
            } else {
                self.not_leader()
            });
        }
        if self.transfer.is_some() {
            return Some(self.handing_over());
        }
        if batch.kind() == Kind::Configuration {
            // By order only, one at a time.
            return Some(Rejection::Unsupported);
        }
        let (bytes, limit) = (batch.weight(), self.config.uncommitted_bytes_max);
        if bytes > limit {
            return Some(Rejection::TooLarge { bytes, limit });
        }
        let full = self.log.uncommitted() + bytes > limit
            || self.log.bytes() + bytes > self.config.log_bytes_max
            || self.log.last().position.plus(batch.len()) > POSITION_MAX;
        full.then_some(Rejection::Overloaded {
            retry_after: self.config.heartbeat_interval,
        })
    }

    /// The entry that lets this leader commit what former terms left (Raft 8). Outside of every budget: without it
    /// a full log could never be chosen.
    pub(crate) fn append_noop(&mut self, now: Instant, out: &mut Out) {
        self.append_own(now, Batch::noop(Timestamp::ZERO), out);
    }

    /// Appends a batch of this term: to the own disk and to every peer at once.
    pub(crate) fn append_own(&mut self, now: Instant, batch: Batch, out: &mut Out) {
        let (term, prev) = (self.hard.term, self.log.last());
        let mark = self.disk.next();
        self.log.append(term, batch.clone(), mark);
        let runs = smallvec![Run { term, batch }];
        self.disk.persist(Record::Append { prev, runs }, out);
        self.pump_all(now, out);
    }

    fn pump_all(&mut self, now: Instant, out: &mut Out) {
        if let Some((leader, seats, view)) = self.lead(now) {
            for (peer, seat) in leader.peers.iter_mut().zip(seats) {
                peer.pump(&mut seat.tap, &view, out);
            }
        }
    }

    pub(crate) fn on_credit(&mut self, now: Instant, peer: NodeId, credit: Credit, out: &mut Out) {
        let Some(slot) = self.roster.slot(peer) else {
            return;
        };
        self.roster.tap(slot).grant(credit);
        if let Some((leader, seats, view)) = self.lead(now) {
            leader.peers[slot].pump(&mut seats[slot].tap, &view, out);
        }
    }

    pub(crate) fn on_accepted(
        &mut self,
        now: Instant,
        slot: usize,
        verified: Position,
        matched: Position,
        out: &mut Out,
    ) {
        if self.on_report(now, slot, verified, matched) {
            self.after_progress(now, Some(slot), out);
        }
    }

    pub(crate) fn on_heartbeat_reply(
        &mut self,
        now: Instant,
        slot: usize,
        (round, verified, matched): (u64, Position, Position),
        out: &mut Out,
    ) {
        if !self.on_report(now, slot, verified, matched) || !self.on_round(slot, round) {
            return;
        }
        if let Some((leader, _, view)) = self.lead(now) {
            leader.peers[slot].on_alive(verified, &view);
        }
        self.renew();
        self.after_progress(now, Some(slot), out);
        self.settle_reads(now, out);
    }

    /// Takes note of what a peer has. False: this member does not lead, or the report cannot be true.
    fn on_report(
        &mut self,
        now: Instant,
        slot: usize,
        verified: Position,
        matched: Position,
    ) -> bool {
        let Some((leader, _, view)) = self.lead(now) else {
            return false;
        };
        if verified > view.log.last().position {
            self.anomalies += 1;
            return false;
        }
        let peer = &mut leader.peers[slot];
        peer.heard = now;
        peer.on_report(verified, matched, &view);
        true
    }

    pub(crate) fn on_rejected(
        &mut self,
        now: Instant,
        slot: usize,
        prev: Position,
        hint: Point,
        out: &mut Out,
    ) {
        if let Some((leader, seats, view)) = self.lead(now) {
            let peer = &mut leader.peers[slot];
            peer.heard = now;
            peer.on_rejected(prev, hint, view.log);
            peer.pump(&mut seats[slot].tap, &view, out);
        }
    }

    /// After this disk or the peer at `slot` has advanced: commits what now is on a quorum, sends what now may be
    /// sent, and tells followers the commit where no append did.
    pub(crate) fn after_progress(&mut self, now: Instant, slot: Option<usize>, out: &mut Out) {
        let before = self.log.committed();
        self.advance_commit(out);
        let advanced = self.log.committed() > before;
        let Some((leader, seats, view)) = self.lead(now) else {
            return;
        };
        for (index, peer) in leader.peers.iter_mut().enumerate() {
            if slot == Some(index) {
                peer.pump(&mut seats[index].tap, &view, out);
            }
            if advanced || slot == Some(index) {
                peer.tell(&view, out);
            }
        }
        if advanced {
            self.begin_round(now, out);
            self.settle_change(now, out);
        }
        self.urge_once(now, out);
    }

    /// Only an entry of the current term is committed by counting; what is before it comes along (5.4.2,
    /// `KNOWN_BUGS` B8). The own disk counts like any other: by what is on it.
    fn advance_commit(&mut self, out: &mut Out) {
        let Role::Leader(leader) = &self.role else {
            return;
        };
        let own = self.log.durable();
        let quorum = self.roster.quorum();
        let chosen = quorum.position(|id| leader.peer(id).map_or(own, |peer| peer.matched));
        if chosen > self.log.committed() && chosen >= leader.first_own {
            self.commit(chosen, out);
        }
    }

    /// Makes itself heard, and steps down if it has not heard a quorum for an election timeout (R17).
    pub(crate) fn tick_leader(&mut self, now: Instant, out: &mut Out) {
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        let quorum = self.roster.quorum();
        let heard = quorum.position(|id| leader.peer(id).map_or(now, |peer| peer.heard));
        if now.since(heard) >= self.config.election_timeout {
            return self.become_follower(now, None, out);
        }
        if now >= leader.heartbeat_due {
            leader.heartbeat_due = now + self.config.heartbeat_interval;
            self.beat(now, out);
            self.urge(now, out);
        }
    }

    /// Makes itself heard in its time. With leases that is a round of its own.
    pub(crate) fn beat(&mut self, now: Instant, out: &mut Out) {
        if self.config.lease.is_some() {
            self.open_round(now);
        }
        self.heartbeat_all(now, out);
    }

    pub(crate) fn heartbeat_all(&mut self, now: Instant, out: &mut Out) {
        if let Some((leader, _, view)) = self.lead(now) {
            let round = leader.reads.round();
            for peer in &mut leader.peers {
                peer.heartbeat(round, &view, out);
            }
        }
    }

    /// The leader, and what it looks at. A leader's term and vote are on disk, so it may speak at once.
    fn lead(&mut self, now: Instant) -> Option<(&mut Leader, &mut [Seat], View<'_>)> {
        let Role::Leader(leader) = &mut self.role else {
            return None;
        };
        assert!(
            self.hard.mark <= self.disk.durable(),
            "a leader's term is on disk"
        );
        let (history, seats) = self.roster.parts();
        let view = View {
            config: &self.config,
            log: &self.log,
            term: self.hard.term,
            newest: self.snapshots.newest.as_ref(),
            history,
            now,
        };
        Some((leader, seats, view))
    }
}

impl Leader {
    /// What is known of a peer; none: it is this member.
    pub(crate) fn peer(&self, id: NodeId) -> Option<&crate::progress::Peer> {
        self.peers.iter().find(|peer| peer.id == id)
    }
}
