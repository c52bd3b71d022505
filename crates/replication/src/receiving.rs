//! What peers say arrives here: counters first, then what is carried, bulk in the order in which it came.

use alloc::vec::Vec;

use quorate_core::{Batch, Input, Instant, Mark, Message, NodeId, ReplicatedLog};
use smallvec::smallvec;

use crate::borrow::{Step, Waiting};
use crate::flight::Kind;
use crate::frame::{Body, CHARGE, Frame, Head, Void, Want, body_bytes};
use crate::hollow::find;
use crate::linked::{Linked, Out, Parked, Peer};
use crate::sending::UNCOUNTED;

impl<L: ReplicatedLog> Linked<L> {
    pub(crate) fn on_frame(
        &mut self,
        now: Instant,
        from: NodeId,
        frame: Frame<L::Message>,
        out: &mut Out<L>,
    ) {
        let Frame { head, body } = frame;
        let index = self.index(from);
        let Some(index) = index.or_else(|| self.link_stranger(now, from)) else {
            return self.on_learner(now, from, &head, &body);
        };
        let (life, budget) = (self.name.life, &self.name.budget);
        let current = self.peers[index].on_head(now, &head, life, budget);
        match body {
            Body::Carried(messages) => {
                for message in messages {
                    if current && message.is_bulk() {
                        self.on_bulk(now, index, (head.sent, message, Vec::new()), out);
                    } else {
                        // What a former run said is the log's to judge, like any late message.
                        self.drive(now, Input::Receive { from, message }, out);
                    }
                }
            }
            // From here on, what comes from a former run has no meaning.
            _ if !current => {}
            Body::Hollow { message, voids } => {
                self.on_bulk(now, index, (head.sent, message, voids), out);
            }
            Body::Probe => {
                self.on_done(index, head.sent, self.disk.written);
                self.peers[index].sink.ask();
            }
            Body::Ask(wants) => {
                for want in wants {
                    self.on_want(now, index, want, out);
                }
            }
            Body::Lend { number, pieces } => {
                if !pieces.is_empty() {
                    self.on_done(index, head.sent, Mark::ZERO);
                    self.peers[index].lent = now;
                }
                if head.heard == life {
                    self.on_lent(now, index, (number, &pieces), out);
                }
            }
            Body::Pull(_) | Body::Page(_) => {}
        }
    }

    /// Something of bulk that the log is not concerned with.
    fn on_done(&mut self, index: usize, stamp: u64, mark: Mark) {
        let sink = &mut self.peers[index].sink;
        if let Some(number) = sink.arrive(stamp) {
            sink.land(number, mark);
        }
    }

    fn on_bulk(
        &mut self,
        now: Instant,
        index: usize,
        (stamp, message, voids): (u64, L::Message, Vec<Void>),
        out: &mut Out<L>,
    ) {
        let missing = voids
            .iter()
            .fold(0u64, |sum, void| sum.saturating_add(void.hollow.bytes()));
        let bytes = body_bytes(&message).saturating_add(missing);
        let (budget, from) = (&self.name.budget, self.peers[index].id);
        let sink = &mut self.peers[index].sink;
        if !sink.has_room(bytes, budget) {
            // More than was asked for: as if it were lost.
            return;
        }
        let number = sink.arrive(stamp);
        if voids.is_empty() && sink.queue.is_empty() {
            return self.hand_over(now, from, index, (number, message), out);
        }
        let patience = budget.body_timeout;
        let mut waiting = Waiting::new(number, message, bytes, voids, patience);
        // What was held before does not have to be asked for.
        waiting.find(|void| {
            find(&self.log, &void.want(0, None)).and_then(|pieces| void.fill(&pieces))
        });
        self.peers[index].sink.enqueue(waiting);
        self.advance(now, index, out);
    }

    /// Gives a whole message to the log.
    fn hand_over(
        &mut self,
        now: Instant,
        from: NodeId,
        index: usize,
        (number, message): (Option<u64>, L::Message),
        out: &mut Out<L>,
    ) {
        self.drive(now, Input::Receive { from, message }, out);
        if let Some(number) = number {
            self.peers[index].sink.land(number, self.disk.written);
        }
    }

    /// Gives the log the messages that wait for nothing any more.
    fn advance(&mut self, now: Instant, index: usize, out: &mut Out<L>) {
        let from = self.peers[index].id;
        while let Some(waiting) = self.peers[index].sink.dequeue() {
            let message = (waiting.arrival, waiting.complete());
            self.hand_over(now, from, index, message, out);
        }
    }

    /// The member at `holder` answers a question.
    fn on_lent(
        &mut self,
        now: Instant,
        holder: usize,
        (number, pieces): (u64, &[Batch]),
        out: &mut Out<L>,
    ) {
        let answered = self.peers.iter_mut().enumerate().find_map(|(index, peer)| {
            let mut waiting = peer.sink.queue.iter_mut();
            let found = waiting.find_map(|waiting| waiting.on_lent(number, pieces));
            found.map(|found| (index, found))
        });
        let Some((index, found)) = answered else {
            return;
        };
        // Who lacks one body lacks others, too: it is behind itself.
        let patience = self.name.budget.body_timeout * 8;
        self.peers[holder].barren = if found { now } else { now + patience };
        self.advance(now, index, out);
    }

    /// Asks for the bodies that are missing, those needed first before all others.
    pub(crate) fn ask(&mut self, now: Instant, out: &mut Out<L>) {
        for index in 0..self.peers.len() {
            if self.peers[index].sink.queue.is_empty() {
                continue;
            }
            for (holder, want) in self.questions(now, index) {
                let Some(holder) = self.index(holder) else {
                    continue;
                };
                let (life, budget) = (self.name.life, &self.name.budget);
                let peer = &mut self.peers[holder];
                let frame = peer.frame(life, budget, Body::Ask(smallvec![want]));
                out.send(peer.id, frame);
            }
        }
    }

    /// The questions that are due about what waits from the peer at `index`.
    fn questions(&mut self, now: Instant, index: usize) -> Vec<(NodeId, Want)> {
        let source = self.peers[index].id;
        let able = |peer: &&Peer<_>| peer.id != source && peer.barren <= now;
        let others = self.peers.iter().filter(able).map(|peer| peer.id);
        let others: Vec<_> = others.collect();
        let patience = self.name.budget.body_timeout;
        let lends = |peer: &&Peer<_>| now.since(peer.lent) < patience;
        let lenders = self.peers.iter().filter(lends).map(|peer| peer.id);
        let lenders: Vec<_> = lenders.collect();
        let busy = |id| lenders.contains(&id);
        let (mut found, mut bytes) = (Vec::new(), 0);
        let sink = &mut self.peers[index].sink;
        let mut lost = false;
        for waiting in &mut sink.queue {
            while let Some(step) = waiting.step(now, (source, &others), busy, &mut self.questions) {
                match step {
                    Step::Ask(holder, want) => found.push((holder, want)),
                    Step::GiveUp => {
                        lost = true;
                        break;
                    }
                }
            }
            bytes += waiting.bytes;
            // Not more than a quarter of what one holder lends.
            if lost || bytes >= self.name.budget.lend_bytes / 4 {
                break;
            }
        }
        if lost {
            sink.give_up(self.disk.written);
            sink.settle(self.disk.durable);
            found.clear();
        }
        found
    }

    /// A peer asks for a body.
    fn on_want(&mut self, now: Instant, index: usize, want: Want, out: &mut Out<L>) {
        if let Some(pieces) = find(&self.log, &want) {
            return self.lend(now, index, &want, pieces, out);
        }
        let from = self.peers[index].id;
        let last = want.first.get().saturating_add(want.count);
        let ahead = last > self.log.status().last.get();
        let waiting = self.parked.iter().filter(|parked| parked.from == from);
        if want.expected && ahead && waiting.count() < self.name.budget.parked_max {
            // It is on its way here: the answer waits for it a little.
            let until = now + self.name.budget.body_timeout / 2;
            self.parked.push(Parked { from, want, until });
        } else {
            self.lend(now, index, &want, Vec::new(), out);
        }
    }

    /// Answers the questions whose bodies have come, and those that have waited for long enough.
    pub(crate) fn unpark(&mut self, now: Instant, out: &mut Out<L>) {
        if self.parked.is_empty() {
            return;
        }
        let last = self.log.status().last;
        for parked in core::mem::take(&mut self.parked) {
            let here = parked.want.first.get().saturating_add(parked.want.count) <= last.get() + 1;
            let found = here.then(|| find(&self.log, &parked.want)).flatten();
            let Some(index) = self.index(parked.from) else {
                continue;
            };
            match found {
                None if parked.until > now => self.parked.push(parked),
                found => self.lend(now, index, &parked.want, found.unwrap_or_default(), out),
            }
        }
    }

    /// Lends a body, or says that it is not here. What passes the budget is not answered: the peer asks again.
    fn lend(
        &mut self,
        now: Instant,
        index: usize,
        want: &Want,
        pieces: Vec<Batch>,
        out: &mut Out<L>,
    ) {
        let (life, budget) = (self.name.life, &self.name.budget);
        let peer = &mut self.peers[index];
        if !pieces.is_empty() {
            let lent = peer.source.lent();
            if lent > 0 && lent + want.bytes > budget.lend_bytes {
                return;
            }
            let sizes = (want.bytes + CHARGE, want.bytes, 0);
            peer.source.on_sent(now, Kind::Lent, sizes, budget);
        }
        let number = want.number;
        let frame = peer.frame(life, budget, Body::Lend { number, pieces });
        out.send(peer.id, frame);
    }

    fn on_learner(&mut self, now: Instant, from: NodeId, head: &Head, body: &Body<L::Message>) {
        let Some(feed) = self.feeds.iter_mut().find(|feed| feed.id == from) else {
            return;
        };
        if let Body::Pull(pull) = body {
            feed.on_pull(now, head.life, *pull, self.name.budget.fetch_bytes);
        }
    }

    /// Feeds the learners what is chosen, as far as they asked.
    pub(crate) fn feed(&mut self, now: Instant, out: &mut Out<L>) {
        let Self { feeds, log, .. } = self;
        let live = |feed: &&mut crate::feed::Feed| feed.is_live(now, Self::LEARNER_PATIENCE);
        for feed in feeds.iter_mut().filter(live) {
            let status = log.status();
            while let Some(page) = feed.page(log, &status, self.disk.newest) {
                let head = Head {
                    life: self.name.life,
                    heard: feed.life,
                    ..UNCOUNTED
                };
                let body = Body::Page(page);
                out.send(feed.id, Frame { head, body });
            }
        }
    }
}
