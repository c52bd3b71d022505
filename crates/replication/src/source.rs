//! The sending end of a link: who opens the tap, and how far.
//!
//! The log itself holds what the peer lacks; this end holds numbers only. It tells the log how many bytes may leave
//! ([`Credit::Only`]), counts what does, and hears what became of it.

use alloc::collections::VecDeque;
use core::time::Duration;

use quorate_core::{
    Credit, Direction, Flow, Instant, LinkEvent, LinkReason, LinkStatus, NodeId, Position,
};

use crate::Budget;
use crate::carriers::Carriage;
use crate::flight::{Flight, Kind, Load, Span};
use crate::lag::History;
use crate::pace::{Departure, Pace};

#[derive(Clone, Debug)]
pub(crate) struct Source {
    peer: NodeId,
    direction: Direction,
    flow: Flow,
    /// Bytes sent in this run.
    sent: u64,
    /// Of these, confirmed by the peer's present run, or given up with its former one; and when it last said so.
    done: (u64, Instant),
    /// Up to where the peer asked.
    grant: u64,
    flights: VecDeque<Flight>,
    /// Bytes of flights that are lent bodies.
    lent: u64,
    pace: Pace,
    carriage: Carriage,
    /// When a hollow message was last confirmed.
    filled: Instant,
    /// Up to here, more would have been sent if it could.
    limited: u64,
    /// The last position under way, and the first flight that the peer can be expected to take.
    ahead: (Position, u64),
    told: Told,
    probe: Probe,
    standing: Standing,
    totals: Totals,
}

/// What the log was last told it may send.
#[derive(Clone, Copy, Debug)]
struct Told {
    /// What is left of it.
    left: u64,
    /// Nothing may leave.
    closed: bool,
    /// It is out of date, whatever is left of it.
    stale: bool,
}

/// When to ask what has become of what was sent.
#[derive(Clone, Copy, Debug)]
struct Probe {
    at: Option<Instant>,
    wait: Duration,
}

/// How the peer stands towards what is chosen.
#[derive(Clone, Copy, Debug)]
struct Standing {
    /// Up to where it last confirmed.
    reached: Position,
    behind: bool,
    /// Since when it has lacked next to nothing.
    near: Option<Instant>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    messages: u64,
    bytes: u64,
    hollow: u64,
}

impl Source {
    pub(crate) fn new(peer: NodeId, direction: Direction, budget: &Budget, now: Instant) -> Self {
        Self {
            peer,
            direction,
            flow: flow(direction, false),
            sent: 0,
            done: (0, now),
            grant: 0,
            flights: VecDeque::new(),
            lent: 0,
            pace: Pace::new(budget),
            carriage: Carriage::default(),
            filled: Instant::ZERO,
            limited: 0,
            ahead: (Position::ZERO, 0),
            told: Told {
                left: 0,
                closed: false,
                stale: true,
            },
            probe: Probe {
                at: None,
                wait: budget.probe_after,
            },
            standing: Standing {
                reached: Position::ZERO,
                behind: false,
                near: None,
            },
            totals: Totals::default(),
        }
    }

    pub(crate) const fn sent(&self) -> u64 {
        self.sent
    }

    pub(crate) const fn flow(&self) -> Flow {
        self.flow
    }

    /// Bytes under way: all that is held for the peer.
    pub(crate) const fn flying(&self) -> u64 {
        self.sent - self.done.0
    }

    /// How well the peer takes large bodies.
    pub(crate) const fn carriage(&self) -> &Carriage {
        &self.carriage
    }

    /// Bytes of lent bodies under way.
    pub(crate) const fn lent(&self) -> u64 {
        self.lent
    }

    /// Bytes that may leave now.
    fn allowance(&self, budget: &Budget) -> u64 {
        if self.flights.len() >= budget.messages_max {
            return 0;
        }
        // Whatever a peer asks for, no more is held for it than this member's own budget says.
        let most = if self.flow.is_pull() {
            self.grant
                .saturating_sub(self.done.0)
                .min(budget.fetch_bytes)
        } else {
            self.pace.window()
        };
        most.saturating_sub(self.flying())
    }

    /// What the log has to be told, if anything.
    pub(crate) fn credit(&mut self, now: Instant, budget: &Budget) -> Option<Credit> {
        self.arm(now, budget);
        let allowance = self.allowance(budget);
        let Told {
            left,
            closed,
            stale,
        } = self.told;
        let due = if allowance == 0 {
            !closed
        } else {
            // A log that has enough left is not told at every confirmation.
            closed || left < allowance / 2 || left / 2 > allowance
        };
        if allowance == 0 {
            self.limited = self.sent;
        }
        if !due && !stale {
            return None;
        }
        self.told = Told {
            left: allowance,
            closed: allowance == 0,
            stale: false,
        };
        Some(Credit::Only(allowance))
    }

    /// Whether all of this is under way already, as it is. A log that is not told how long a link is takes what is late
    /// for lost and sends it again: on a slow link that makes it later still.
    pub(crate) fn is_repeat(&mut self, span: &Span, bytes: u64) -> bool {
        if span.first > self.ahead.0 {
            return false;
        }
        let mut next = span.first;
        let (mut lowest, after) = (None, self.ahead.1);
        for flight in self.flights.iter().filter(|flight| flight.stamp > after) {
            if let Kind::Entries(Some(sent)) = flight.kind {
                lowest = lowest.min(Some(sent.first)).or(Some(sent.first));
                if sent.epoch == span.epoch && sent.first <= next && next <= sent.last {
                    next = sent.last.next();
                }
            }
        }
        if next > span.last {
            self.told.left = self.told.left.saturating_sub(bytes);
            return true;
        }
        if lowest.is_some_and(|lowest| span.first < lowest) {
            // The log goes back: the peer has not taken what is under way.
            self.ahead.1 = self.sent;
        }
        false
    }

    /// Something leaves: `bytes` are what it counts, of which `bodies` travel and `hollow` do not.
    pub(crate) fn on_sent(
        &mut self,
        now: Instant,
        kind: Kind,
        (bytes, bodies, hollow): (u64, u64, u64),
        budget: &Budget,
    ) {
        if self.flights.is_empty() {
            self.done.1 = now;
        }
        self.sent += bytes;
        self.told.left = self.told.left.saturating_sub(bytes);
        match kind {
            Kind::Entries(Some(span)) => self.ahead.0 = self.ahead.0.max(span.last),
            Kind::Entries(None) => {}
            Kind::Lent => self.lent += bytes,
        }
        let load = if hollow > 0 {
            Load::Hollow
        } else if bodies >= budget.hollow_bytes {
            self.carriage.on_sent(now, bodies);
            Load::Whole(bodies)
        } else {
            Load::Small
        };
        self.flights.push_back(Flight {
            stamp: self.sent,
            bytes,
            load,
            kind,
            departure: Departure {
                at: now,
                done: self.done,
            },
        });
        self.totals.messages += 1;
        self.totals.bytes += bodies;
        self.totals.hollow += hollow;
    }

    /// The peer says what is done, and up to where it asks.
    pub(crate) fn on_report(&mut self, now: Instant, done: u64, grant: u64, budget: &Budget) {
        if done > self.sent {
            // Nobody can have what was not sent.
            return;
        }
        self.grant = self.grant.max(grant);
        if done <= self.done.0 {
            return;
        }
        self.done = (done, now);
        while let Some(flight) = self.flights.front().copied() {
            if flight.stamp > done {
                break;
            }
            self.flights.pop_front();
            self.land(now, &flight);
            let limited = flight.stamp <= self.limited;
            self.pace
                .on_confirmed(now, flight.departure, flight.stamp, limited);
        }
        if self.flights.is_empty() {
            self.ahead.0 = Position::ZERO;
        }
        self.probe = Probe {
            at: None,
            wait: budget.probe_after,
        };
    }

    fn land(&mut self, now: Instant, flight: &Flight) {
        match flight.load {
            Load::Small => {}
            Load::Hollow => self.filled = now,
            Load::Whole(bytes) => {
                let left = flight.departure.at;
                // At least half of its time it was not behind a hollow one, which waits for what others lend.
                let alone = 2 * now.since(self.filled.max(left)) >= now.since(left);
                self.carriage
                    .on_confirmed(now, alone.then_some(left), bytes);
            }
        }
        match flight.kind {
            Kind::Entries(Some(span)) => self.standing.reached = span.last,
            Kind::Entries(None) => {}
            Kind::Lent => self.lent -= flight.bytes,
        }
    }

    /// The peer has started anew: what was under way is lost, and what it asked for is forgotten.
    pub(crate) fn on_new_run(&mut self, now: Instant) {
        self.done = (self.sent, now);
        self.flights.clear();
        self.carriage.on_lost();
        (self.lent, self.grant) = (0, 0);
        self.ahead = (Position::ZERO, self.sent);
        self.told.stale = true;
        self.probe.at = None;
    }

    /// Whether nothing is under way and more could be: the peer has all that the log would send it.
    fn is_at_rest(&self, budget: &Budget) -> bool {
        self.flights.is_empty() && self.allowance(budget) > 0
    }

    /// While anything is under way, or nothing may leave, the peer will be asked in time what has become of it.
    fn arm(&mut self, now: Instant, budget: &Budget) {
        if self.is_at_rest(budget) {
            self.probe.at = None;
        } else if self.probe.at.is_none() {
            let trips = self.pace.round_trip().unwrap_or_default().saturating_mul(4);
            // One that stood still for a while has seen no round trip shorter than that.
            let wait = self.probe.wait.max(trips).min(probe_wait_max(budget));
            self.probe.at = Some(now + wait);
        }
    }

    /// Whether the peer is to be asked what has become of what was sent.
    pub(crate) fn is_probe_due(&mut self, now: Instant, budget: &Budget) -> bool {
        let due = self.probe.at.is_some_and(|at| at <= now);
        if due {
            self.probe.at = None;
            self.probe.wait = (self.probe.wait * 2).min(probe_wait_max(budget));
        }
        due
    }

    pub(crate) const fn deadline(&self) -> Option<Instant> {
        self.probe.at
    }

    /// Whether the peer confirms what it is sent in good time.
    pub(crate) fn is_lively(&self, now: Instant, budget: &Budget) -> bool {
        let oldest = self.flights.front().map(|flight| flight.departure.at);
        oldest.is_none_or(|at| now.since(at) < budget.body_timeout)
    }

    /// Whether time may change what is in force.
    pub(crate) fn is_watched(&self, budget: &Budget) -> bool {
        let adapts = matches!(self.direction, Direction::Mixed | Direction::Auto);
        adapts && (self.standing.behind || !self.is_at_rest(budget))
    }

    /// Another direction is chosen.
    pub(crate) fn direct(&mut self, direction: Direction) -> Option<LinkEvent> {
        let changed = direction != self.direction;
        self.direction = direction;
        (self.standing.behind, self.standing.near) = (false, None);
        changed.then(|| self.turn(LinkReason::Directed))
    }

    /// Whether the peer has fallen behind, or has caught up: then another direction is in force.
    pub(crate) fn judge(
        &mut self,
        now: Instant,
        history: &History,
        budget: &Budget,
    ) -> Option<LinkEvent> {
        if !self.is_watched(budget) {
            self.standing.near = None;
            return None;
        }
        let lag = if self.is_at_rest(budget) {
            Duration::ZERO
        } else {
            history.lag(now, self.standing.reached)
        };
        if !self.standing.behind {
            self.standing.behind = lag >= budget.behind_after;
            return self
                .standing
                .behind
                .then(|| self.turn(LinkReason::Behind(lag)));
        }
        if lag > budget.behind_after / 4 {
            self.standing.near = None;
            return None;
        }
        let near = now.since(*self.standing.near.get_or_insert(now));
        if near < budget.restore_after {
            return None;
        }
        (self.standing.behind, self.standing.near) = (false, None);
        Some(self.turn(LinkReason::CaughtUp(near)))
    }

    fn turn(&mut self, why: LinkReason) -> LinkEvent {
        let from = self.flow;
        self.flow = flow(self.direction, self.standing.behind);
        self.told.stale = true;
        LinkEvent {
            peer: self.peer,
            direction: self.direction,
            from,
            to: self.flow,
            why,
        }
    }

    pub(crate) fn status(&self, budget: &Budget) -> LinkStatus {
        LinkStatus {
            peer: self.peer,
            direction: self.direction,
            flow: self.flow,
            window: (!self.flow.is_pull()).then(|| self.pace.window()),
            credit: self.allowance(budget),
            flying: self.flying(),
            round_trip: self.pace.round_trip(),
            messages: self.totals.messages,
            bytes: self.totals.bytes,
            hollow: self.totals.hollow,
        }
    }
}

/// What is in force when `direction` is chosen.
const fn flow(direction: Direction, behind: bool) -> Flow {
    match (direction, behind) {
        (Direction::Push, _) | (Direction::Auto, false) => Flow::Push,
        (Direction::Pull, _) | (Direction::Auto, true) => Flow::Pull,
        (Direction::Mixed, false) => Flow::Mixed,
        (Direction::Mixed, true) => Flow::Catchup,
    }
}

/// The longest time without a confirmation before the peer is asked what has become of what was sent.
fn probe_wait_max(budget: &Budget) -> Duration {
    budget.probe_after.saturating_mul(16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_trip_of_one_that_stood_still_does_not_put_off_the_next_question() {
        let (budget, at) = (Budget::default(), |seconds| {
            Instant::ZERO + Duration::from_secs(seconds)
        });
        let mut source = Source::new(NodeId(2), Direction::Push, &budget, at(0));
        source.on_sent(at(0), Kind::Entries(None), (100, 100, 0), &budget);
        source.on_report(at(60), 100, 10_000, &budget);
        source.on_sent(at(60), Kind::Entries(None), (100, 100, 0), &budget);
        source.arm(at(60), &budget);
        assert_eq!(source.pace.round_trip(), Some(Duration::from_mins(1)));
        let asks = source.deadline().expect("something is under way");
        assert_eq!(asks, at(60) + 16 * budget.probe_after);
    }
}
