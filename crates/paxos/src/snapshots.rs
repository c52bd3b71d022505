//! Snapshots, by name: what is forgotten, and what is fetched instead.

use quorate_core::{Instant, NodeId, Output, Position, SnapshotMeta};

use crate::Record;
use crate::paxos::{Out, Paxos};
use crate::proposer::Proposer;

#[derive(Clone, Debug, Default)]
pub(crate) struct Snapshots {
    /// The newest that is durable here.
    pub(crate) newest: Option<SnapshotMeta>,
    /// Whether this member has just been restored: what its journal knew to be chosen has yet to be handed out.
    pub(crate) restored: bool,
    /// Whether the journal has yet to learn that a snapshot stands for more than it says. Before it does, no later
    /// record may tell what is chosen: the slots below the snapshot's end may hold votes for values that lost.
    pub(crate) unwritten: bool,
}

impl Snapshots {
    fn learn(&mut self, snapshot: SnapshotMeta) {
        let known = self.newest.map_or(Position::ZERO, |meta| meta.position);
        if known < snapshot.position {
            self.newest = Some(snapshot);
        }
    }
}

impl Paxos {
    /// The first step after a restart.
    pub(crate) fn resume(&mut self, out: &mut Out) {
        self.snapshots.restored = false;
        if self.snapshots.unwritten {
            self.snapshots.unwritten = false;
            self.forget(self.acceptor.slots.base(), out);
        }
        self.learner.deliver(&mut self.acceptor.slots, out);
    }

    /// A leader offers a snapshot instead of slots that it has forgotten.
    pub(crate) fn on_offer(&mut self, from: NodeId, snapshot: SnapshotMeta, out: &mut Out) {
        if snapshot.position > self.acceptor.slots.settled() {
            self.fetch(from, snapshot, out);
        } else {
            self.answer(from, crate::disk::Owed::Accepted, out);
        }
    }

    /// Asks for a snapshot that leads ahead. A repeated offer asks again: the first fetch may have failed.
    pub(crate) fn fetch(&mut self, from: NodeId, snapshot: SnapshotMeta, out: &mut Out) {
        if snapshot.position > self.acceptor.slots.settled() {
            out.push(Output::Fetch { from, snapshot });
        }
    }

    /// A fetched snapshot is durable: it stands for every slot up to its end, whatever was accepted there. Slots behind
    /// stay: the votes in them may count.
    pub(crate) fn on_fetched(&mut self, now: Instant, snapshot: SnapshotMeta, out: &mut Out) {
        self.snapshots.learn(snapshot);
        let leads = matches!(self.proposer, Proposer::Leading(_));
        // What is chosen a leader has, or is about to have.
        if leads || snapshot.position <= self.acceptor.slots.settled() {
            return;
        }
        if matches!(self.proposer, Proposer::Preparing(_)) {
            // What it asked for begins before the snapshot's end.
            self.step_down(now, out);
        }
        self.forget(snapshot.position, out);
        out.push(Output::Install { snapshot });
        self.learner.deliver(&mut self.acceptor.slots, out);
    }

    /// Forgets what a snapshot covers, nothing else, and nothing that was not handed out.
    pub(crate) fn on_compact(&mut self, upto: Position, snapshot: SnapshotMeta, out: &mut Out) {
        self.snapshots.learn(snapshot);
        self.forget_upto(upto.min(snapshot.position), out);
        if self.acceptor.slots.bytes() > self.config.log_bytes_max / 2 {
            // It could come to a stop: all that the snapshot covers goes.
            self.forget_upto(snapshot.position, out);
        }
    }

    fn forget_upto(&mut self, upto: Position, out: &mut Out) {
        let slots = &self.acceptor.slots;
        let base = upto.min(slots.settled());
        if base > slots.base() {
            self.forget(base, out);
        }
    }

    fn forget(&mut self, base: Position, out: &mut Out) {
        let promised = self.acceptor.promised();
        let mark = self.disk.write(Record::Checkpoint { promised, base }, out);
        self.acceptor.forget(base);
        let oldest = self.acceptor.slots.oldest_mark();
        self.disk.spare(mark, oldest.unwrap_or(mark));
    }
}
