//! The primary's side: proposing, sending, counting, and the snapshots that others need.

use quorate_core::{
    Batch, Credit, Instant, Kind, NodeId, Output, Position, Rejection, SnapshotMeta, Ticket,
    Timestamp, WriteAck,
};
use smallvec::{SmallVec, smallvec};

use crate::Run;
use crate::epoch::POSITION_MAX;
use crate::member::{Out, PrimaryBackup};
use crate::message::{Holding, Missing};
use crate::peer::View;
use crate::role::{Primary, Role};
use crate::roster::Link;

/// No-ops appended at once where the log has to grow past what a backup has lost.
const PADDING: u64 = 4096;
/// No log is padded further than this: whoever says that it had so much more is not believed.
const PADDING_MAX: u64 = 1 << 40;

impl PrimaryBackup {
    pub(crate) fn on_propose(&mut self, now: Instant, ticket: Ticket, batch: Batch, out: &mut Out) {
        if let Some(why) = self.refuse(now, &batch) {
            return out.push(Output::Reject { ticket, why });
        }
        let epoch = self.agreed.standing.epoch;
        self.append_own(now, smallvec![Run { epoch, batch }], out);
    }

    /// Why a proposal cannot be taken.
    fn refuse(&self, now: Instant, batch: &Batch) -> Option<Rejection> {
        let Role::Primary(primary) = &self.role else {
            return Some(self.not_leader());
        };
        if self.handover.is_some() {
            return Some(self.nobody_leads());
        }
        if !self.disk.room {
            return Some(Rejection::NoRoom);
        }
        if batch.kind() == Kind::Configuration {
            // Members change by an order alone.
            return Some(Rejection::Unsupported);
        }
        let (bytes, limit) = (batch.weight(), self.config.uncommitted_bytes_max);
        if bytes > limit {
            return Some(Rejection::TooLarge { bytes, limit });
        }
        let full = primary.paused.is_some_and(|until| now < until)
            || self.log.uncommitted() + bytes > limit
            || self.log.unsynced() + bytes > limit
            || self.log.bytes() + bytes > self.config.log_bytes_max
            || self.log.last().position.plus(batch.len()) > POSITION_MAX;
        full.then_some(Rejection::Overloaded {
            retry_after: self.config.heartbeat_interval,
        })
    }

    /// Appends entries without commands: the first of an epoch, and those that make the log long enough. Outside of every
    /// budget: without the first a full log could never be committed.
    pub(crate) fn append_noops(&mut self, now: Instant, count: u64, out: &mut Out) {
        let epoch = self.agreed.standing.epoch;
        let batch = Batch::noop(Timestamp::ZERO);
        let runs = (0..count).map(|_| Run {
            epoch,
            batch: batch.clone(),
        });
        self.append_own(now, runs.collect(), out);
    }

    /// Appends batches of this epoch: to the own disk and to every backup at once.
    pub(crate) fn append_own(&mut self, now: Instant, runs: SmallVec<[Run; 1]>, out: &mut Out) {
        self.extend(self.log.last(), runs, out);
        let advanced = self.advance_commit(out);
        if let Some((primary, links, view)) = self.lead(now) {
            for (peer, link) in primary.peers.iter_mut().zip(links) {
                peer.pump(&mut link.tap, &view, out);
            }
        }
        if advanced {
            self.begin_round(now, out);
        }
        self.settle(now, out);
    }

    pub(crate) fn on_credit(&mut self, now: Instant, slot: usize, credit: Credit, out: &mut Out) {
        self.roster.links_mut()[slot].tap.grant(credit);
        if let Some((primary, links, view)) = self.lead(now) {
            primary.peers[slot].pump(&mut links[slot].tap, &view, out);
        }
    }

    pub(crate) fn on_accepted(
        &mut self,
        now: Instant,
        slot: usize,
        holding: Holding,
        out: &mut Out,
    ) {
        if self.on_holding(now, slot, holding) {
            self.after_progress(now, Some(slot), out);
        }
    }

    pub(crate) fn on_heartbeat_reply(
        &mut self,
        now: Instant,
        slot: usize,
        round: u64,
        holding: Holding,
        out: &mut Out,
    ) {
        if !self.on_holding(now, slot, holding) || !self.on_round(slot, round) {
            return;
        }
        if let Some((primary, _, view)) = self.lead(now) {
            primary.peers[slot].on_alive(holding.verified, &view);
        }
        self.after_progress(now, Some(slot), out);
        self.settle_reads(now, out);
    }

    /// Takes note of what a backup has. False: this member is no primary, or the report cannot be true.
    fn on_holding(&mut self, now: Instant, slot: usize, holding: Holding) -> bool {
        let Some((primary, _, view)) = self.lead(now) else {
            return false;
        };
        let last = view.log.last().position;
        if holding.verified > last || !is_believable(holding.void, last) {
            self.anomalies += 1;
            return false;
        }
        primary.peers[slot].on_holding(holding, &view);
        true
    }

    pub(crate) fn on_missing(
        &mut self,
        now: Instant,
        slot: usize,
        missing: Missing,
        out: &mut Out,
    ) {
        let Some((primary, links, view)) = self.lead(now) else {
            return;
        };
        if !is_believable(Some(missing.floor), view.log.last().position) {
            self.anomalies += 1;
            return;
        }
        let peer = &mut primary.peers[slot];
        peer.on_missing(missing, &view);
        peer.pump(&mut links[slot].tap, &view, out);
        self.offer_all(now, out);
    }

    /// After this disk or the backup at `slot` has advanced: commits what now is acknowledged, sends what now may be
    /// sent, and tells backups the commit where no append did.
    pub(crate) fn after_progress(&mut self, now: Instant, slot: Option<usize>, out: &mut Out) {
        let advanced = self.advance_commit(out);
        let Some((primary, links, view)) = self.lead(now) else {
            return;
        };
        for (index, (peer, link)) in primary.peers.iter_mut().zip(links).enumerate() {
            if slot == Some(index) {
                peer.pump(&mut link.tap, &view, out);
            }
            if advanced || slot == Some(index) {
                peer.tell(&view, out);
            }
        }
        if advanced {
            self.begin_round(now, out);
        }
        if self.handover.is_some() {
            self.tell_successor(out);
        }
        self.settle(now, out);
    }

    /// Commits what the level says is acknowledged. Only an entry of this epoch is committed by that, what is before it
    /// comes along: an entry of a former epoch may be on a quorum and yet be given up for one of an epoch between (as Raft
    /// 5.4.2, figure 8). True: something was.
    fn advance_commit(&mut self, out: &mut Out) -> bool {
        let Role::Primary(primary) = &self.role else {
            return false;
        };
        let upto = self.acknowledged(primary);
        let advances = upto > self.log.committed() && upto >= primary.first_own;
        if advances {
            self.commit(upto, out);
        }
        advances
    }

    /// Up to where writes are where the level wants them. The own disk always counts, except where none does: a primary
    /// that starts again then has whatever it acknowledged.
    fn acknowledged(&self, primary: &Primary) -> Position {
        let own = self.log.durable();
        let of = |id: NodeId| primary.peer(id).map_or(own, |peer| peer.matched);
        match self.config.write_ack {
            WriteAck::None => self.log.last().position,
            WriteAck::One => own,
            WriteAck::Quorum => own.min(self.roster.quorum().position(of)),
            WriteAck::All => {
                let voters = primary
                    .peers
                    .iter()
                    .filter(|peer| self.roster.votes(peer.id));
                let matched = voters.map(|peer| peer.matched);
                matched.chain([own]).min().unwrap_or(own)
            }
        }
    }

    pub(crate) fn tick_primary(&mut self, now: Instant, out: &mut Out) {
        let Role::Primary(primary) = &mut self.role else {
            return;
        };
        primary.paused = primary.paused.filter(|until| now < *until);
        if now >= primary.heartbeat_due {
            primary.heartbeat_due = now + self.config.heartbeat_interval;
            self.heartbeat_all(now, out);
            self.offer_all(now, out);
            self.tell_successor_again(out);
            self.settle(now, out);
        }
    }

    pub(crate) fn heartbeat_all(&mut self, now: Instant, out: &mut Out) {
        if let Some((primary, _, view)) = self.lead(now) {
            let round = primary.reads.round();
            for peer in &mut primary.peers {
                peer.heartbeat(round, &view, out);
            }
        }
    }

    /// Offers snapshots to those who need one. Where none reaches far enough, has one taken, and makes the log long
    /// enough for it: a state can only be replaced by one from beyond its last position.
    pub(crate) fn offer_all(&mut self, now: Instant, out: &mut Out) {
        let Some((primary, _, view)) = self.lead(now) else {
            return;
        };
        let last = view.log.last().position;
        let offers = primary.peers.iter_mut();
        let Some(beyond) = offers.filter_map(|peer| peer.offer(&view, out)).max() else {
            return;
        };
        let from = beyond.next();
        out.push(Output::Snapshot { from });
        let room = self.disk.room && self.log.bytes() < self.config.log_bytes_max / 2;
        // A log that is handed over stands still.
        if from > last && room && self.handover.is_none() {
            self.append_noops(now, (from.get() - last.get()).min(PADDING), out);
        }
    }

    /// A backup may be waiting for a snapshot that is there now.
    pub(crate) fn on_snapshot_taken(
        &mut self,
        now: Instant,
        snapshot: SnapshotMeta,
        out: &mut Out,
    ) {
        if self.state.newest == Some(snapshot) {
            self.offer_all(now, out);
        }
    }

    /// The primary, and what it looks at. A primary's appointment is on disk, so it may speak at once.
    fn lead(&mut self, now: Instant) -> Option<(&mut Primary, &mut [Link], View<'_>)> {
        let Role::Primary(primary) = &mut self.role else {
            return None;
        };
        assert!(
            self.agreed.mark <= self.disk.durable(),
            "a primary's appointment is on disk"
        );
        let (history, links) = self.roster.split();
        let view = View {
            config: &self.config,
            log: &self.log,
            epoch: self.agreed.standing.epoch,
            newest: self.state.newest.as_ref(),
            history,
            now,
        };
        Some((primary, links, view))
    }
}

/// Whether a state can have gone so far beyond a log that ends at `last`.
fn is_believable(position: Option<Position>, last: Position) -> bool {
    position.is_none_or(|position| position.get() <= last.get().saturating_add(PADDING_MAX))
}
