//! Linearizable reads without a log entry.
//!
//! A leader has everything that was chosen before its ballot as soon as it has handed out what phase 1 found: any
//! earlier choice was made by a phase 2 quorum, which shares a member with its phase 1. What is chosen after, it chooses
//! itself, while its ballot lasts. So a read may be answered from any state that includes what it had handed out
//! when the read came, if its ballot lasted until then. That is what a phase 2 quorum's word says that is given after
//! the read came: no later ballot can have had its phase 1 by then, for it shares a member with these.
//!
//! One round of heartbeats at a time, each for all reads that came before it.

use alloc::vec::Vec;
use core::mem;

use quorate_core::{Instant, Output, Position, Rejection, Ticket};

use crate::paxos::{Out, Paxos};
use crate::proposer::Proposer;

#[derive(Clone, Debug, Default)]
pub(crate) struct Reads {
    round: u64,
    /// The reads of a round, the last that was begun for reads, and what was handed out at its beginning, until a quorum
    /// has answered.
    asked: Option<Asked>,
    /// Reads that came later.
    next: Vec<Ticket>,
}

#[derive(Clone, Debug)]
struct Asked {
    round: u64,
    at: Position,
    tickets: Vec<Ticket>,
}

impl Reads {
    /// Begins a round, be it without reads.
    pub(crate) const fn next_round(&mut self) -> u64 {
        self.round += 1;
        self.round
    }

    /// The newest round; zero: none yet.
    pub(crate) const fn round(&self) -> u64 {
        self.round
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        let asked = self.asked.as_ref().map_or(0, |asked| asked.tickets.len());
        asked + self.next.len()
    }

    /// All that wait.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Ticket> + use<> {
        let asked = self.asked.take().map(|asked| asked.tickets);
        let next = mem::take(&mut self.next);
        asked.into_iter().flatten().chain(next)
    }

    /// Begins a round for all that wait, unless one is running or none waits.
    fn begin(&mut self, at: Position) -> bool {
        if self.asked.is_some() || self.next.is_empty() {
            return false;
        }
        self.asked = Some(Asked {
            round: self.next_round(),
            at,
            tickets: mem::take(&mut self.next),
        });
        true
    }
}

impl Paxos {
    pub(crate) fn on_read(&mut self, now: Instant, ticket: Ticket, out: &mut Out) {
        let why = match &mut self.proposer {
            Proposer::Leading(leading) if leading.reads.len() < self.config.reads_max => {
                leading.reads.next.push(ticket);
                return self.begin_reads(now, out);
            }
            Proposer::Leading(_) => Rejection::Overloaded {
                retry_after: self.config.heartbeat_interval,
            },
            Proposer::Idle | Proposer::Preparing(_) => self.not_leader(),
        };
        out.push(Output::Reject { ticket, why });
    }

    /// Begins the next round once all that phase 1 found was handed out.
    pub(crate) fn begin_reads(&mut self, now: Instant, out: &mut Out) {
        let at = self.acceptor.slots.settled();
        let Proposer::Leading(leading) = &mut self.proposer else {
            return;
        };
        if at < leading.found || !leading.reads.begin(at) {
            return;
        }
        self.heartbeat(now, out);
        self.settle_reads(now, out);
    }

    /// Answers the running round if a quorum has answered it, and begins the next.
    pub(crate) fn settle_reads(&mut self, now: Instant, out: &mut Out) {
        let Proposer::Leading(leading) = &mut self.proposer else {
            return;
        };
        let peers = &leading.peers;
        let answered = |round: u64| {
            move |id| {
                let peer = peers.iter().find(|peer| peer.id == id);
                peer.is_none_or(|peer| peer.round >= round)
            }
        };
        let phase_2 = &self.roster.phase_2;
        let is_settled = |asked: &mut Asked| phase_2.reached(answered(asked.round));
        if let Some(Asked { at, tickets, .. }) = leading.reads.asked.take_if(is_settled) {
            for ticket in tickets {
                out.push(Output::ReadReady { ticket, at });
            }
            self.begin_reads(now, out);
        }
    }
}
