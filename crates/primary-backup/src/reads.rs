//! Linearizable reads without a log entry.
//!
//! Where a quorum or all acknowledge writes, a read may be answered from any state that includes what was committed when
//! it began, if no other member can have committed anything since: the primary makes sure by a round of heartbeats begun
//! after the read came in, one round at a time (as Raft's `ReadIndex`, thesis 6.4). Where one disk or none acknowledges,
//! another primary could have committed without anybody's help, so a round would prove nothing: the primary answers from
//! itself.

use alloc::vec::Vec;
use core::mem;

use quorate_core::{Instant, Output, Position, Rejection, Ticket};

use crate::member::{Out, PrimaryBackup};
use crate::role::Role;

#[derive(Clone, Debug, Default)]
pub(crate) struct Reads {
    /// The newest round.
    round: u64,
    /// The reads of that round and the commit at its beginning, until a quorum has answered it.
    running: Option<(Position, Vec<Ticket>)>,
    /// Reads that came after it began.
    waiting: Vec<Ticket>,
}

impl Reads {
    /// The newest round; zero: none yet.
    pub(crate) const fn round(&self) -> u64 {
        self.round
    }

    /// Everything that still waits.
    pub(crate) fn into_tickets(self) -> impl Iterator<Item = Ticket> {
        let running = self.running.map_or(Vec::new(), |(_, tickets)| tickets);
        running.into_iter().chain(self.waiting)
    }

    fn len(&self) -> usize {
        let running = self.running.as_ref();
        self.waiting.len() + running.map_or(0, |(_, tickets)| tickets.len())
    }
}

impl PrimaryBackup {
    pub(crate) fn on_read(&mut self, now: Instant, ticket: Ticket, out: &mut Out) {
        let Role::Primary(primary) = &mut self.role else {
            let why = self.not_leader();
            return out.push(Output::Reject { ticket, why });
        };
        if primary.reads.len() >= self.config.reads_max {
            let retry_after = self.config.heartbeat_interval;
            let why = Rejection::Overloaded { retry_after };
            return out.push(Output::Reject { ticket, why });
        }
        primary.reads.waiting.push(ticket);
        self.begin_round(now, out);
    }

    /// Begins the next round, if reads wait, none is running, and an entry of this epoch is committed: before that
    /// the primary cannot know the newest commit.
    pub(crate) fn begin_round(&mut self, now: Instant, out: &mut Out) {
        let asks = self.asks_a_quorum();
        let Role::Primary(primary) = &mut self.role else {
            return;
        };
        let (committed, reads) = (self.log.committed(), &mut primary.reads);
        if committed < primary.first_own || reads.running.is_some() || reads.waiting.is_empty() {
            return;
        }
        reads.round += 1;
        reads.running = Some((committed, mem::take(&mut reads.waiting)));
        if asks {
            self.heartbeat_all(now, out);
        }
        self.settle_reads(now, out);
    }

    /// A backup has answered a round. False: one that has not begun.
    pub(crate) fn on_round(&mut self, slot: usize, round: u64) -> bool {
        let Role::Primary(primary) = &mut self.role else {
            return false;
        };
        if round > primary.reads.round {
            self.anomalies += 1;
            return false;
        }
        let peer = &mut primary.peers[slot];
        peer.round = peer.round.max(round);
        true
    }

    /// Answers the running round's reads if enough have, and begins the next.
    pub(crate) fn settle_reads(&mut self, now: Instant, out: &mut Out) {
        let asks = self.asks_a_quorum();
        let Role::Primary(primary) = &mut self.role else {
            return;
        };
        let round = primary.reads.round;
        let answered = |id| primary.peer(id).is_none_or(|peer| peer.round >= round);
        if asks && !self.roster.quorum().reached(answered) {
            return;
        }
        let Some((at, tickets)) = primary.reads.running.take() else {
            return;
        };
        for ticket in tickets {
            out.push(Output::ReadReady { ticket, at });
        }
        self.begin_round(now, out);
    }
}
