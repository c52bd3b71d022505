//! What a leader knows of one acceptor, and what it sends it.
//!
//! New slots leave in order as far as the window is open; the answers come in any order. What the acceptor lacks below
//! what was sent is a hole: after two heartbeats at the same place it is taken for lost, and only the holes are sent
//! again, one message at a time.

use quorate_core::{Credit, Instant, NodeId, PeerStatus, Position, Ranges, Window};

use crate::ballot::slots;
use crate::message::{Accepted, Offer};
use crate::paxos::Out;
use crate::slots::Slots;
use crate::{Ballot, Message, PaxosConfig};

#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) id: NodeId,
    /// The slots that it accepted in this ballot, on its disk, whatever it said since: what counts.
    pub(crate) taken: Ranges,
    /// When it last answered in this ballot.
    pub(crate) heard: Instant,
    /// The newest round of reads it has answered.
    pub(crate) round: u64,
    /// Up to where it was last told that slots are chosen.
    told: Position,
    /// None: it has not said yet what it lacks.
    sending: Option<Sending>,
}

#[derive(Clone, Debug)]
struct Sending {
    /// The next slot that was not sent yet.
    next: Position,
    /// The first slot that it lacks, as it last said, and where that hole ends.
    lacks: (Position, Position),
    window: Window,
    /// Since when it lacks the same slot.
    stuck: Option<Instant>,
    /// Slots below are sent again at once as they turn out to be missing.
    repair: Position,
    /// What was offered instead of slots that are gone, and when.
    offer: Option<(Offer, Instant)>,
}

/// What a leader looks at while it sends.
pub(crate) struct View<'a> {
    pub(crate) config: &'a PaxosConfig,
    pub(crate) slots: &'a Slots,
    /// The last slot that has a proposal in this ballot.
    pub(crate) last: Position,
    pub(crate) ballot: Ballot,
    pub(crate) newest: Option<&'a Offer>,
    pub(crate) now: Instant,
}

/// The bytes of bulk that may leave beside the window; none: as many as the window allows. Below zero after a
/// command that was larger than what was left.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tap(Option<i64>);

impl Tap {
    /// Takes note of what was granted.
    pub(crate) fn grant(&mut self, credit: Credit) {
        self.0 = match credit {
            Credit::Open => None,
            Credit::Only(bytes) => Some(i64::try_from(bytes).unwrap_or(i64::MAX)),
            Credit::More(bytes) => {
                let more = i64::try_from(bytes).unwrap_or(i64::MAX);
                Some(self.0.unwrap_or(0).saturating_add(more))
            }
        };
    }

    fn left(self) -> u64 {
        self.0
            .map_or(u64::MAX, |left| u64::try_from(left).unwrap_or(0))
    }

    fn spend(&mut self, bytes: u64) {
        if let Some(left) = &mut self.0 {
            *left = left.saturating_sub(i64::try_from(bytes).unwrap_or(i64::MAX));
        }
    }
}

impl Peer {
    /// An acceptor; `chosen` is what it handed out, if its promise said so.
    pub(crate) fn new(id: NodeId, chosen: Option<Position>, view: &View<'_>) -> Self {
        let mut peer = Self {
            id,
            taken: Ranges::new(),
            heard: view.now,
            round: 0,
            told: Position::ZERO,
            sending: None,
        };
        if let Some(chosen) = chosen {
            peer.begin(chosen, view);
        }
        peer
    }

    /// Up to where it holds everything on its disk, as it last said.
    pub(crate) fn matched(&self) -> Position {
        let lacks = self.sending.as_ref().map(|sending| sending.lacks.0);
        lacks.unwrap_or(Position::ZERO).prev()
    }

    pub(crate) fn status(&self) -> PeerStatus {
        PeerStatus {
            id: self.id,
            matched: self.matched(),
            heard: self.heard,
        }
    }

    fn begin(&mut self, chosen: Position, view: &View<'_>) -> &mut Sending {
        let next = chosen.next();
        self.sending.insert(Sending {
            next,
            lacks: (next, next),
            window: Window::new(view.config.window),
            stuck: None,
            repair: Position::ZERO,
            offer: None,
        })
    }

    /// Its last report, which may be an old one: only what is on its disk in this ballot is certain.
    pub(crate) fn on_accepted(&mut self, report: &Accepted, view: &View<'_>) {
        self.heard = view.now;
        self.round = self.round.max(report.round);
        for (start, end) in &report.taken {
            self.taken.insert(*start, *end);
        }
        self.taken.remove_below(report.chosen.next().get());
        self.told = self.told.max(report.chosen);
        let mut lacks = (report.chosen.next(), None);
        for (start, end) in &report.taken {
            if *start > lacks.0.get() {
                lacks.1 = Some(Position(*start));
                break;
            }
            lacks.0 = Position(*end);
        }
        if self.sending.is_none() {
            self.begin(lacks.0.prev(), view);
        }
        let sending = self.sending.as_mut().expect("just begun");
        sending.next = sending.next.max(lacks.0);
        if sending.lacks.0 != lacks.0 {
            sending.stuck = None;
        }
        sending.lacks = (lacks.0, lacks.1.unwrap_or(sending.next));
        sending.window.release(lacks.0.prev());
        if lacks.0 > view.slots.base() {
            sending.offer = None;
        }
    }

    /// Sends what may be sent.
    pub(crate) fn pump(&mut self, tap: &mut Tap, view: &View<'_>, out: &mut Out) {
        let Some(sending) = &mut self.sending else {
            return;
        };
        if sending.lacks.0 <= view.slots.base() {
            return self.offer(view, out);
        }
        self.repair(tap, view, out);
        let last = view.last;
        while let Some(sending) = self.sending.as_ref().filter(|s| s.next <= last) {
            let budget = sending.window.room().min(tap.left());
            if budget == 0 {
                return;
            }
            let (first, bytes) = (sending.next, budget.min(view.config.append_bytes_max));
            let (end, bytes) = self.accept(first, last, bytes, view, out);
            tap.spend(bytes);
            let sending = self.sending.as_mut().expect("still sending");
            sending.next = end;
            sending.window.push(end.prev(), bytes);
        }
    }

    /// Sends the first hole again, if it is one that repair has come to and did not send yet.
    fn repair(&mut self, tap: &mut Tap, view: &View<'_>, out: &mut Out) {
        let Some(sending) = &mut self.sending else {
            return;
        };
        let (first, end) = sending.lacks;
        let due = first < sending.repair && sending.stuck.is_none() && first < end;
        let budget = tap.left().min(view.config.append_bytes_max);
        if due && budget > 0 {
            sending.stuck = Some(view.now);
            let (_, bytes) = self.accept(first, end.prev(), budget, view, out);
            tap.spend(bytes);
        }
    }

    /// Sends `first..=last` or as much as `budget` allows; says where it ended and how many bytes it was.
    fn accept(
        &mut self,
        first: Position,
        last: Position,
        budget: u64,
        view: &View<'_>,
        out: &mut Out,
    ) -> (Position, u64) {
        let values = view.slots.read(first, last, budget);
        assert!(
            !values.is_empty(),
            "a leader holds every slot behind its base"
        );
        let bytes = values.iter().map(|value| value.batch.bytes()).sum();
        let end = first.plus(slots(&values));
        let (ballot, chosen) = (view.ballot, view.slots.settled());
        self.told = self.told.max(chosen.min(end.prev()));
        out.send(
            self.id,
            Message::Accept {
                ballot,
                chosen,
                first,
                values,
            },
        );
        (end, bytes)
    }

    /// It has answered a heartbeat. What it has lacked for two of them while it was sent is lost.
    pub(crate) fn on_alive(&mut self, view: &View<'_>) {
        let Some(sending) = &mut self.sending else {
            return;
        };
        if sending.lacks.0 >= sending.next {
            (sending.stuck, sending.repair) = (None, Position::ZERO);
            return;
        }
        if sending.stuck.is_none() && sending.lacks.0 < sending.repair {
            return;
        }
        let since = *sending.stuck.get_or_insert(view.now);
        if view.now.since(since) >= view.config.heartbeat_interval.saturating_mul(2) {
            (sending.stuck, sending.repair) = (None, sending.next);
        }
    }

    /// Tells it what is chosen of what it has, unless it was told.
    pub(crate) fn tell(&mut self, view: &View<'_>, out: &mut Out) {
        let has = self.sending.as_ref().map_or(Position::ZERO, |s| s.lacks.0);
        let upto = view.slots.settled().min(has.prev());
        if upto > self.told {
            self.told = upto;
            let ballot = view.ballot;
            out.send(self.id, Message::Chosen { ballot, upto });
        }
    }

    /// Makes the leader heard; offers a snapshot again if one is due.
    pub(crate) fn heartbeat(&mut self, round: u64, view: &View<'_>, out: &mut Out) {
        let (ballot, chosen) = (view.ballot, view.slots.settled());
        out.send(
            self.id,
            Message::Heartbeat {
                ballot,
                chosen,
                round,
            },
        );
        let offered = self.offered();
        if offered.is_some_and(|(_, at)| view.now.since(*at) >= view.config.election_timeout) {
            self.send_offer(view, out);
        }
    }

    fn offered(&self) -> Option<&(Offer, Instant)> {
        self.sending.as_ref()?.offer.as_ref()
    }

    fn offer(&mut self, view: &View<'_>, out: &mut Out) {
        let base = view.slots.base();
        if self
            .offered()
            .is_none_or(|(offer, _)| offer.meta.position < base)
        {
            self.send_offer(view, out);
        }
    }

    /// Offers the snapshot that it may be fetching already, unless that no longer reaches what is held.
    fn send_offer(&mut self, view: &View<'_>, out: &mut Out) {
        let sending = self.sending.as_mut().expect("it said what it lacks");
        let reaches = |offer: &&Offer| offer.meta.position >= view.slots.base();
        let offered = sending.offer.as_ref().map(|(offer, _)| offer);
        let offer = offered.filter(reaches).or(view.newest);
        let offer = offer.expect("what is forgotten is in a snapshot").clone();
        assert!(reaches(&&offer), "the snapshot reaches what is held");
        sending.offer = Some((offer.clone(), view.now));
        let ballot = view.ballot;
        out.send(self.id, Message::Snapshot { ballot, offer });
    }
}
