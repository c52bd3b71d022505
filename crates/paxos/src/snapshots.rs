//! Snapshots, by name: what is forgotten, and what is fetched instead.

use alloc::vec::Vec;

use quorate_core::{Configuration, Instant, NodeId, Output, Position, SnapshotMeta};

use crate::Record;
use crate::disk::Owed;
use crate::message::Offer;
use crate::paxos::{Out, Paxos};
use crate::proposer::Proposer;

#[derive(Clone, Debug, Default)]
pub(crate) struct Snapshots {
    /// The newest that is durable here.
    pub(crate) newest: Option<Offer>,
    /// What is worth fetching, the newest offer last: at most [`Self::OFFERS_MAX`].
    offered: Vec<Offer>,
    /// Whether this member has just been restored: what its journal knew to be chosen has yet to be handed out.
    pub(crate) restored: bool,
    /// Whether the journal has yet to learn that a snapshot stands for more than it says. Before it does, no later
    /// record may tell what is chosen: the slots below the snapshot's end may hold votes for values that lost.
    pub(crate) unwritten: bool,
}

impl Snapshots {
    const OFFERS_MAX: usize = 4;

    pub(crate) fn restored(newest: Option<Offer>, unwritten: bool) -> Self {
        Self {
            newest,
            offered: Vec::new(),
            restored: true,
            unwritten,
        }
    }

    fn learn(&mut self, snapshot: Offer) {
        let known = self.newest.as_ref().map(|newest| newest.meta.position);
        if known.unwrap_or(Position::ZERO) < snapshot.meta.position {
            self.newest = Some(snapshot);
        }
    }

    fn note(&mut self, offer: Offer) {
        self.offered.retain(|known| known.meta != offer.meta);
        if self.offered.len() == Self::OFFERS_MAX {
            self.offered.remove(0);
        }
        self.offered.push(offer);
    }

    /// The newest offer, if it leads beyond `settled`.
    pub(crate) fn wanted(&self, settled: Position) -> Option<SnapshotMeta> {
        let newest = self.offered.last().map(|offer| offer.meta);
        newest.filter(|meta| meta.position > settled)
    }
}

impl Paxos {
    /// The first step after a restart.
    pub(crate) fn resume(&mut self, now: Instant, out: &mut Out) {
        self.snapshots.restored = false;
        if self.snapshots.unwritten {
            self.snapshots.unwritten = false;
            self.forget(self.acceptor.slots.base(), out);
        }
        self.deliver(now, out);
    }

    /// A snapshot is offered instead of slots that are forgotten. It is fetched if it leads ahead; a repeated offer is
    /// fetched again: the first fetch may have failed.
    ///
    /// Not before the promise of the ballot in which it was offered is on disk: once the snapshot is, it may bring the
    /// configuration into force that it includes, whatever else is lost in a crash ([`deliver`](Self::deliver)).
    pub(crate) fn on_offer(&mut self, from: NodeId, offer: Offer, out: &mut Out) {
        if offer.meta.position > self.acceptor.slots.settled() {
            self.snapshots.note(offer);
            self.answer(from, Owed::Fetch, out);
        } else {
            self.answer(from, Owed::Accepted, out);
        }
    }

    /// A fetched snapshot is durable: it stands for every slot up to its end, whatever was accepted there. Slots behind
    /// stay: the votes in them may count.
    pub(crate) fn on_fetched(&mut self, now: Instant, snapshot: SnapshotMeta, out: &mut Out) {
        let offered = &mut self.snapshots.offered;
        let Some(index) = offered.iter().position(|offer| offer.meta == snapshot) else {
            return;
        };
        let offer = offered.swap_remove(index);
        let leads = matches!(self.proposer, Proposer::Leading(_));
        // What is chosen a leader has, or is about to have.
        if leads || snapshot.position <= self.acceptor.slots.settled() {
            return self.snapshots.learn(offer);
        }
        if matches!(self.proposer, Proposer::Preparing(_)) {
            // What it asked for begins before the snapshot's end.
            self.step_down(now, out);
        }
        self.forget(snapshot.position, out);
        out.push(Output::Install { snapshot });
        self.snapshots.learn(offer.clone());
        if let Some((at, configuration)) = offer.configuration {
            self.install(now, at, configuration, out);
        }
        self.deliver(now, out);
    }

    /// An installed snapshot says who the members are.
    fn install(&mut self, now: Instant, at: Position, configuration: Configuration, out: &mut Out) {
        if at > self.roster.configured() {
            self.change(now, at, configuration, out);
            self.roster.forget(at);
        }
    }

    /// Forgets what a snapshot covers, nothing else, and nothing that was not handed out.
    pub(crate) fn on_compact(&mut self, upto: Position, snapshot: SnapshotMeta, out: &mut Out) {
        let configuration = self.roster.at(snapshot.position).cloned();
        self.snapshots.learn(Offer {
            meta: snapshot,
            configuration,
        });
        self.roster.forget(snapshot.position);
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
