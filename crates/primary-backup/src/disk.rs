//! The one cursor over this member's disk, and what waits for it.

use core::mem::discriminant;

use quorate_core::{Gate, Mark, NodeId, Output};

use crate::member::Out;
use crate::{Message, Record};

#[derive(Clone, Debug)]
pub(crate) struct Disk {
    /// The last write asked for.
    last: Mark,
    /// What may not be said before its epoch is on disk. At most one message of a kind for each peer.
    gate: Gate<(NodeId, Message)>,
    /// Whether entries may be written.
    pub(crate) room: bool,
    /// Once the first of these is durable, no record below the second is needed.
    reclaim: Option<(Mark, Mark)>,
}

impl Disk {
    pub(crate) const fn new(durable: Mark) -> Self {
        Self {
            last: durable,
            gate: Gate::new(durable),
            room: true,
            reclaim: None,
        }
    }

    /// Everything up to this mark is on disk.
    pub(crate) const fn durable(&self) -> Mark {
        self.gate.durable()
    }

    /// The mark that the next record gets.
    pub(crate) const fn next(&self) -> Mark {
        self.last.next()
    }

    /// Has a record written.
    pub(crate) fn persist(&mut self, record: Record, out: &mut Out) -> Mark {
        self.last = self.last.next();
        let mark = self.last;
        out.push(Output::Persist { mark, record });
        mark
    }

    /// Everything up to `upto` is on disk now; says so if records can go.
    pub(crate) fn on_durable(&mut self, upto: Mark, out: &mut Out) {
        assert!(upto <= self.last, "only what was persisted can be durable");
        self.gate.release(upto);
        if let Some((until, below)) = self.reclaim.filter(|(until, _)| *until <= upto) {
            assert!(below <= until, "the record that allows it is itself needed");
            self.reclaim = None;
            out.push(Output::Reclaim { below });
        }
    }

    /// Once `until` is durable, no record below `below` is needed.
    pub(crate) fn reclaim(&mut self, until: Mark, below: Mark) {
        self.reclaim = Some((until, below));
    }

    /// Holds a message until `until`; a newer one replaces an older of its kind.
    pub(crate) fn hold(&mut self, until: Mark, to: NodeId, message: Message) {
        let kind = discriminant(&message);
        self.gate
            .retain(|(peer, held)| *peer != to || discriminant(held) != kind);
        self.gate.hold(until, (to, message));
    }

    /// The next message that may be said.
    pub(crate) fn released(&mut self) -> Option<(NodeId, Message)> {
        self.gate.pop()
    }

    /// What is held will not be said: its epoch is over.
    pub(crate) fn silence(&mut self) {
        self.gate.retain(|_| false);
    }
}
