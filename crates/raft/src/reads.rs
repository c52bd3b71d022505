//! Linearizable reads without a log entry: `ReadIndex` (thesis 6.4).
//!
//! A read may be answered from any state that includes what was committed when it began, if this member still led
//! then. It learns that from a round of heartbeats that was begun after the read came in: one round at a time, each
//! for all reads that came before it.

use alloc::vec::Vec;
use core::mem;

use quorate_core::{Instant, Output, Position, Rejection, Ticket};

use crate::raft::{Out, Raft};
use crate::role::Role;

#[derive(Clone, Debug, Default)]
pub(crate) struct Reads {
    /// The newest round.
    round: u64,
    /// The round that reads wait for, until a quorum has answered it.
    running: Option<Running>,
    /// Reads that came after it began.
    waiting: Vec<Ticket>,
}

#[derive(Clone, Debug)]
struct Running {
    round: u64,
    /// The commit at its beginning.
    at: Position,
    tickets: Vec<Ticket>,
}

impl Reads {
    /// Begins a round.
    pub(crate) const fn open(&mut self) -> u64 {
        self.round += 1;
        self.round
    }

    /// The newest round; zero: none yet.
    pub(crate) const fn round(&self) -> u64 {
        self.round
    }

    /// Everything that still waits.
    pub(crate) fn into_tickets(self) -> impl Iterator<Item = Ticket> {
        let running = self.running.map_or(Vec::new(), |running| running.tickets);
        running.into_iter().chain(self.waiting)
    }

    fn len(&self) -> usize {
        let running = self.running.as_ref();
        self.waiting.len() + running.map_or(0, |running| running.tickets.len())
    }
}

impl Raft {
    pub(crate) fn on_read(&mut self, now: Instant, ticket: Ticket, out: &mut Out) {
        let Role::Leader(leader) = &mut self.role else {
            let why = self.not_leader();
            return out.push(Output::Reject { ticket, why });
        };
        if leader.reads.len() >= self.config.reads_max {
            let retry_after = self.config.heartbeat_interval;
            let why = Rejection::Overloaded { retry_after };
            return out.push(Output::Reject { ticket, why });
        }
        leader.reads.waiting.push(ticket);
        self.begin_round(now, out);
    }

    /// Begins the next round, if reads wait, none is running, and an entry of this term is committed: before that
    /// the leader cannot know the newest commit (R12, `KNOWN_BUGS` B16).
    pub(crate) fn begin_round(&mut self, now: Instant, out: &mut Out) {
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        let (committed, reads) = (self.log.committed(), &mut leader.reads);
        if committed < leader.first_own || reads.running.is_some() || reads.waiting.is_empty() {
            return;
        }
        reads.running = Some(Running {
            round: reads.round + 1,
            at: committed,
            tickets: mem::take(&mut reads.waiting),
        });
        self.open_round(now);
        if !self.roster.decides_alone(self.config.id) {
            self.heartbeat_all(now, out);
        }
        self.settle_reads(now, out);
    }

    /// Begins a round of heartbeats.
    pub(crate) fn open_round(&mut self, now: Instant) {
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        let round = leader.reads.open();
        if self.config.lease.is_some() {
            let patience = self.config.election_timeout;
            leader.lease.begin(round, now, patience);
        }
    }

    /// A peer has answered a round. False: one that has not begun.
    pub(crate) fn on_round(&mut self, slot: usize, round: u64) -> bool {
        let Role::Leader(leader) = &mut self.role else {
            return false;
        };
        if round > leader.reads.round {
            self.anomalies += 1;
            return false;
        }
        let peer = &mut leader.peers[slot];
        peer.round = peer.round.max(round);
        true
    }

    /// Answers the running round's reads if a quorum has, and begins the next.
    pub(crate) fn settle_reads(&mut self, now: Instant, out: &mut Out) {
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        let Some(Running { round, .. }) = leader.reads.running else {
            return;
        };
        let peers = &leader.peers;
        let answered = |id| {
            let peer = peers.iter().find(|peer| peer.id == id);
            peer.is_none_or(|peer| peer.round >= round)
        };
        if !self.roster.quorum().reached(answered) {
            return;
        }
        let Some(Running { at, tickets, .. }) = leader.reads.running.take() else {
            return;
        };
        for ticket in tickets {
            out.push(Output::ReadReady { ticket, at });
        }
        self.begin_round(now, out);
    }
}
