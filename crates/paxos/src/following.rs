//! What an acceptor does at a proposer's word (Paxos Made Simple, 2.2: phase 1b, phase 2b).

use quorate_core::{Instant, NodeId, Position};
use smallvec::SmallVec;

use crate::ballot::clip;
use crate::disk::Owed;
use crate::paxos::{Out, Paxos};
use crate::slots::Fit;
use crate::{Ballot, Value};

impl Paxos {
    /// Phase 1b. A higher ballot is promised; the one promised already gets the piece it asks for; a lower one is
    /// told that it is outbid.
    ///
    /// Any proposer might be answered: what it may conclude from the promises is its affair. But one that has no vote here
    /// and is no further in configurations was removed, or is a learner: it would only get in the way of a leader. And a
    /// pledge is kept ([`lease`](crate::lease)). Neither is told anything: as though its words were lost.
    pub(crate) fn on_prepare(
        &mut self,
        now: Instant,
        from: NodeId,
        (ballot, at): (Ballot, Position),
        (configured, released): (Position, Option<Ballot>),
        out: &mut Out,
    ) {
        if !self.roster.votes(from) && configured <= self.roster.configured() {
            return;
        }
        let promised = self.acceptor.promised();
        if ballot < promised {
            return self.answer(from, Owed::Nack, out);
        }
        if ballot > promised {
            if !self.acceptor.pledge.allows(ballot, released, now) {
                return;
            }
            self.promise(now, ballot, out);
        }
        self.elector.touch(now);
        self.answer(from, Owed::Promise(ballot, at), out);
    }

    /// Follows the proposer of `ballot`, who leads, also if it is no member here: it knows of a later configuration, or of
    /// an earlier one only, and learns. A quorum has promised its ballot either way. False: it is outbid, and is told so.
    pub(crate) fn follow(
        &mut self,
        now: Instant,
        from: NodeId,
        ballot: Ballot,
        out: &mut Out,
    ) -> bool {
        if ballot < self.acceptor.promised() {
            self.answer(from, Owed::Nack, out);
            return false;
        }
        if ballot > self.acceptor.promised() {
            self.promise(now, ballot, out);
        }
        self.elector.on_leader(now, ballot);
        self.on_successor(ballot, out);
        true
    }

    /// Phase 2b. Slots are taken in whatever order they come; what is acknowledged, and when, is the disk's affair.
    pub(crate) fn on_accept(
        &mut self,
        now: Instant,
        (from, ballot, chosen): (NodeId, Ballot, Position),
        first: Position,
        values: SmallVec<[Value; 1]>,
        out: &mut Out,
    ) {
        if !self.follow(now, from, ballot, out) {
            return;
        }
        let slots = &self.acceptor.slots;
        let (base, settled) = (slots.base(), slots.settled());
        let (first, values) = clip(first, values, base.next(), crate::ballot::POSITION_MAX);
        if self.acceptor.fit(first, &values) == Fit::Conflict {
            // A second value in one ballot, or another than the one that is chosen (P20).
            self.anomalies += 1;
            return;
        }
        let high = if !self.disk.room {
            settled
        } else if slots.bytes() >= self.config.log_bytes_max {
            // A full log still closes its holes: otherwise nothing could ever be handed out and compacted.
            slots.last()
        } else {
            crate::ballot::POSITION_MAX
        };
        let asked = !values.is_empty();
        let (first, values) = clip(first, values, settled.next(), high);
        let fresh = !values.is_empty() && self.acceptor.fit(first, &values) == Fit::Fresh;
        if fresh {
            self.accept(first, values, out);
        }
        self.learn(now, ballot, chosen, out);
        // An answer was lost, or this is a repetition. What was left out counts as lost on the way.
        if asked && !fresh {
            self.answer(from, Owed::Accepted, out);
        }
    }

    /// The leader of `ballot` says that everything up to `upto` is chosen: true of what is held in that very ballot
    /// (`RELIABILITY` P8, `KNOWN_BUGS` B9).
    pub(crate) fn learn(&mut self, now: Instant, ballot: Ballot, upto: Position, out: &mut Out) {
        let slots = &self.acceptor.slots;
        if upto <= slots.settled() {
            return;
        }
        let next = slots.settled().next();
        let learner = &mut self.learner;
        self.acceptor
            .accepted_in(ballot, next, upto, |start, end| learner.learn(start, end));
        self.deliver(now, out);
    }
}
