//! The one cursor over this member's disk, and the answers that wait for it.

use quorate_core::{Gate, Mark, NodeId, Output, Position};

use crate::paxos::Out;
use crate::{Ballot, Record};

#[derive(Clone, Debug)]
pub(crate) struct Disk {
    written: Mark,
    /// Answers that may not be given before the promise that they speak of is on disk.
    owed: Gate<(NodeId, Owed)>,
    /// Whether entries may be written.
    pub(crate) room: bool,
    /// With the first of these on disk, the journal needs nothing below the second.
    spare: Option<(Mark, Mark)>,
}

/// An answer that is owed. What it says is looked up when it may be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owed {
    /// A promise of this ballot, with the votes from this slot on.
    Promise(Ballot, Position),
    /// What was accepted in the promised ballot.
    Accepted,
    /// That a higher ballot is promised.
    Nack,
    /// Nothing: what it has offered is to be fetched from it.
    Fetch,
}

impl Disk {
    pub(crate) const fn new(durable: Mark) -> Self {
        Self {
            written: durable,
            owed: Gate::new(durable),
            room: true,
            spare: None,
        }
    }

    pub(crate) const fn durable(&self) -> Mark {
        self.owed.durable()
    }

    /// The name of the next write.
    pub(crate) const fn next(&self) -> Mark {
        self.written.next()
    }

    pub(crate) fn write(&mut self, record: Record, out: &mut Out) -> Mark {
        let mark = self.next();
        self.written = mark;
        out.push(Output::Persist { mark, record });
        mark
    }

    pub(crate) fn on_durable(&mut self, upto: Mark, out: &mut Out) {
        assert!(upto <= self.written, "nothing unwritten is durable");
        self.owed.release(upto);
        match self.spare {
            Some((until, below)) if until <= upto => {
                self.spare = None;
                out.push(Output::Reclaim { below });
            }
            Some(_) | None => {}
        }
    }

    /// Nothing below `below` will be needed once `until` is on disk.
    pub(crate) fn spare(&mut self, until: Mark, below: Mark) {
        assert!(below <= until, "the record that spares others stays");
        self.spare = Some((until, below));
    }

    /// Owes `to` an answer from `until` on; at most one of a kind, and the newest wins.
    pub(crate) fn owe(&mut self, until: Mark, to: NodeId, answer: Owed) {
        let kind = core::mem::discriminant(&answer);
        self.owed
            .retain(|(peer, owed)| *peer != to || core::mem::discriminant(owed) != kind);
        self.owed.hold(until, (to, answer));
    }

    /// The next answer that may be given.
    pub(crate) fn due(&mut self) -> Option<(NodeId, Owed)> {
        self.owed.pop()
    }

    /// What was owed under an earlier promise is not said any more: it counts as lost.
    pub(crate) fn forgive(&mut self) {
        self.owed.retain(|_| false);
    }
}
