//! What the log says leaves here: control at once, bulk counted, and hollow where that is the way of the link.

use alloc::vec::Vec;

use quorate_core::{Epoch, Flow, Input, Instant, Message, NodeId, Output, ReplicatedLog};
use smallvec::{SmallVec, smallvec};

use crate::flight::{Kind, Span};
use crate::frame::{Body, CHARGE, Frame, Head, body_bytes};
use crate::hollow::{Lack, hollow};
use crate::linked::{Linked, Out};

impl<L: ReplicatedLog> Linked<L> {
    /// One step of the log.
    pub(crate) fn drive(&mut self, now: Instant, input: Input<L::Message>, out: &mut Out<L>) {
        self.log.step(now, input, &mut self.inner);
        let mut inner = core::mem::take(&mut self.inner);
        for output in inner.drain() {
            self.on_output(now, output, out);
        }
        self.inner = inner;
    }

    fn on_output(&mut self, now: Instant, output: Output<L::Message, L::Record>, out: &mut Out<L>) {
        out.push(match output {
            Output::Send { to, message } => return self.send(now, to, message, out),
            Output::Persist { mark, record } => {
                self.disk.written = mark;
                Output::Persist { mark, record }
            }
            Output::Commit(run) => Output::Commit(run),
            Output::ReadReady { ticket, at } => Output::ReadReady { ticket, at },
            Output::Reject { ticket, why } => Output::Reject { ticket, why },
            Output::Fetch { from, snapshot } => Output::Fetch { from, snapshot },
            Output::Install { snapshot } => Output::Install { snapshot },
            Output::Reclaim { below } => Output::Reclaim { below },
            Output::Link(event) => Output::Link(event),
            Output::Snapshot { from } => Output::Snapshot { from },
            Output::Report(report) => Output::Report(report),
        });
    }

    fn send(&mut self, now: Instant, to: NodeId, message: L::Message, out: &mut Out<L>) {
        let Some(index) = self.index(to) else {
            // Somebody whom only the log knows: nothing is counted towards it.
            let head = Head {
                life: self.name.life,
                ..UNCOUNTED
            };
            let body = Body::Carried(smallvec![message]);
            return out.send(to, Frame { head, body });
        };
        if message.is_bulk() {
            self.send_bulk(now, index, message, out);
        } else {
            self.peers[index].control.push(message);
        }
    }

    fn send_bulk(&mut self, now: Instant, index: usize, mut message: L::Message, out: &mut Out<L>) {
        self.flush_control(index, out);
        let bytes = body_bytes(&message);
        let flying = self.peers[index].source.flying();
        if flying > 0 && flying.saturating_add(bytes) > self.name.budget.held_max() {
            // Not everything of bulk waits for credit: a promise with its votes does not. What passes the budget is
            // lost, like on a link whose outbox is full.
            return;
        }
        let span = span(&message, self.log.status().epoch);
        if span.is_some_and(|span| self.peers[index].source.is_repeat(&span, bytes)) {
            return;
        }
        let (to, flow) = (self.peers[index].id, self.peers[index].source.flow());
        let budget = &self.name.budget;
        let mut prints = core::mem::take(&mut self.prints);
        let voids = match (flow, span) {
            (Flow::Mixed, Some(Span { first, .. })) => {
                let lack = |at| self.lacks(now, to, at);
                hollow(&mut message, first, budget.hollow_bytes, &mut prints, lack)
            }
            (Flow::Catchup, Some(Span { first, .. })) => {
                // From whoever has it; the newest from whoever is sent it now.
                let lack = |at| match self.lacks(now, to, at) {
                    Lack::Nothing => Lack::Body(None),
                    lack @ Lack::Body(_) => lack,
                };
                hollow(&mut message, first, budget.catchup_bytes, &mut prints, lack)
            }
            (Flow::Mixed | Flow::Catchup, None) | (Flow::Push | Flow::Pull, _) => Vec::new(),
        };
        self.prints = prints;
        let missing: u64 = voids.iter().map(|void| void.hollow.bytes()).sum();
        let body = if voids.is_empty() {
            Body::Carried(smallvec![message])
        } else {
            Body::Hollow { message, voids }
        };
        let sizes = (bytes + CHARGE, bytes - missing, missing);
        let peer = &mut self.peers[index];
        let budget = &self.name.budget;
        peer.source.on_sent(now, Kind::Entries(span), sizes, budget);
        out.send(to, peer.frame(self.name.life, &self.name.budget, body));
    }

    /// Tells the log what may leave, wherever that changed.
    pub(crate) fn govern(&mut self, now: Instant, out: &mut Out<L>) {
        for index in 0..self.peers.len() {
            while let Some(credit) = self.peers[index].source.credit(now, &self.name.budget) {
                let peer = self.peers[index].id;
                self.drive(now, Input::Credit { peer, credit }, out);
            }
        }
    }

    /// Sends the control of this step, and confirmations where nothing else carries them.
    pub(crate) fn flush(&mut self, out: &mut Out<L>) {
        for index in 0..self.peers.len() {
            self.flush_control(index, out);
            let peer = &mut self.peers[index];
            if peer.sink.is_owed() {
                let body = Body::Carried(SmallVec::new());
                out.send(peer.id, peer.frame(self.name.life, &self.name.budget, body));
            }
        }
    }

    fn flush_control(&mut self, index: usize, out: &mut Out<L>) {
        let peer = &mut self.peers[index];
        if !peer.control.is_empty() {
            let body = Body::Carried(core::mem::take(&mut peer.control));
            out.send(peer.id, peer.frame(self.name.life, &self.name.budget, body));
        }
    }
}

/// The head of a frame to somebody with whom nothing is counted.
pub(crate) const UNCOUNTED: Head = Head {
    life: quorate_core::Life::ZERO,
    sent: 0,
    flow: Flow::Push,
    heard: quorate_core::Life::ZERO,
    done: 0,
    grant: 0,
};

/// Where a message's entries stand, if it says so.
fn span<M: Message>(message: &M, epoch: Epoch) -> Option<Span> {
    let (first, mut length) = (message.first()?, 0);
    message.batches(&mut |batch| length += batch.len());
    Some(Span {
        first,
        last: first.plus(length).prev(),
        epoch,
    })
}
