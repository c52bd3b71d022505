//! Who is sent a large body whole, so that the others can take it from them.
//!
//! As many get the body as have to have it before it is chosen: the choice waits for nobody's question, and the others
//! spare the sender's link. But it waits for those who carry, so they are the ones who take bodies quickly, turn by turn.
//! How quickly somebody takes them is known from the whole ones that it was sent. Who has not been tried gets one whole,
//! beside the carriers; so does, now and then, who was too slow. And nobody is left to wait for a carrier that is much
//! slower than itself.

use core::time::Duration;

use quorate_core::{Flow, Instant, NodeId, Position, ReplicatedLog};
use smallvec::SmallVec;

use crate::Budget;
use crate::hollow::Lack;
use crate::linked::{Linked, Peer};

/// How a peer takes bodies that are sent to it whole. Both rates are in bytes a second, the last few samples weighed,
/// one sample a round trip: what leaves together stands in the same queues.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Carriage {
    /// One body, from sending to confirmation.
    speed: Option<u64>,
    /// All bodies together.
    rate: u64,
    /// Bytes confirmed since the last sample, and when that was, or when the first body after a rest left.
    fresh: (u64, Instant),
    /// Bytes under way.
    open: u64,
    /// When a body last left.
    tried: Instant,
}

impl Carriage {
    /// A body leaves that might have gone hollow.
    pub(crate) fn on_sent(&mut self, now: Instant, bytes: u64) {
        if self.open == 0 {
            self.fresh = (0, now);
        }
        self.open += bytes;
        self.tried = now;
    }

    /// It is on the peer's disk. `departure`: when it left, if the time since then says something of this link.
    pub(crate) fn on_confirmed(&mut self, now: Instant, departure: Option<Instant>, bytes: u64) {
        self.open = self.open.saturating_sub(bytes);
        self.fresh.0 += bytes;
        let Some(departure) = departure.filter(|at| *at >= self.fresh.1) else {
            return;
        };
        let speed = per_second(bytes, now.since(departure));
        let rate = per_second(self.fresh.0, now.since(self.fresh.1));
        self.rate = self.speed.map_or(rate, |_| self.rate.midpoint(rate));
        self.speed = Some(self.speed.map_or(speed, |known| known.midpoint(speed)));
        self.fresh = (0, now);
    }

    /// What was under way is lost.
    pub(crate) const fn on_lost(&mut self) {
        self.open = 0;
    }

    /// Whether one more body would wait behind others for longer than the question for one may take.
    fn is_loaded(&self, budget: &Budget) -> bool {
        let millis = u64::try_from(budget.body_timeout.as_millis()).unwrap_or(u64::MAX);
        self.open > self.rate.saturating_mul(millis) / 1000
    }

    /// Whether it is time to see how quick the peer is, by one body: it was never seen, or so long ago.
    fn is_due(&self, now: Instant, again: Duration) -> bool {
        self.open == 0 && (self.speed.is_none() || now.since(self.tried) >= again)
    }
}

fn per_second(bytes: u64, time: Duration) -> u64 {
    let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    bytes.saturating_mul(1_000_000) / micros.max(1)
}

/// A peer that may carry.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    id: NodeId,
    speed: u64,
    /// It has confirmed something of late, or nothing is under way.
    lively: bool,
    loaded: bool,
}

impl Candidate {
    /// Whether it is not much slower than that.
    const fn is_quick(&self, best: u64) -> bool {
        self.speed >= best / 4
    }

    const fn is_usable(&self) -> bool {
        self.lively && !self.loaded
    }
}

impl<L: ReplicatedLog> Linked<L> {
    /// Whether `to` gets the body at `at` hollow, and then who else is sent it with its message.
    pub(crate) fn lacks(&self, now: Instant, to: NodeId, at: Position) -> Lack {
        let budget = &self.name.budget;
        let members = self.log.configuration();
        let pushed = |peer: &&Peer<_>| {
            // The choice waits for voters only.
            members.votes(peer.id) && matches!(peer.source.flow(), Flow::Push | Flow::Mixed)
        };
        let pushed = self.peers.iter().filter(pushed);
        let candidate = |peer: &Peer<_>| {
            let carriage = peer.source.carriage();
            Some(Candidate {
                id: peer.id,
                speed: carriage.speed?,
                lively: peer.source.is_lively(now, budget),
                loaded: carriage.is_loaded(budget),
            })
        };
        let known: SmallVec<[Candidate; 8]> = pushed.clone().filter_map(candidate).collect();
        let best = best(&known);
        let own = known.iter().find(|peer| peer.id == to);
        let quick = own.is_some_and(|own| own.is_quick(best));
        let due = pushed.filter(|peer| peer.id == to).any(|peer| {
            let due = peer.source.carriage().is_due(now, budget.restore_after);
            due && !quick && peer.source.is_lively(now, budget)
        });
        let carriers = carriers(known.clone(), self.name.needed, at);
        if due || carriers.iter().any(|peer| peer.id == to) {
            return Lack::Nothing;
        }
        let least = own.map_or(0, |own| own.speed);
        let holder = carriers.iter().find(|peer| peer.is_quick(least));
        holder.map_or(Lack::Nothing, |holder| Lack::Body(Some(holder.id)))
    }
}

/// The `needed` who carry the body at `at`: of those who are quick turn by turn, and if they are too few, the best of
/// the others.
fn carriers(
    mut known: SmallVec<[Candidate; 8]>,
    needed: usize,
    at: Position,
) -> SmallVec<[Candidate; 8]> {
    let best = best(&known);
    let fit = |peer: &Candidate| peer.is_usable() && peer.is_quick(best);
    known.sort_by(|a, b| {
        let rank = |peer: &Candidate| (fit(peer), peer.is_usable(), peer.speed);
        rank(b).cmp(&rank(a))
    });
    let pool = known.iter().filter(|peer| fit(peer)).count();
    known.truncate(pool.max(needed));
    known.sort_unstable_by_key(|peer| peer.id);
    let turn = at.get() as usize % known.len().max(1);
    known.rotate_left(turn);
    known.truncate(needed);
    known
}

fn best(known: &[Candidate]) -> u64 {
    known.iter().map(|peer| peer.speed).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use core::ops::RangeInclusive;

    use super::*;

    const USABLE: (bool, bool) = (true, false);
    const SILENT: (bool, bool) = (false, false);
    const LOADED: (bool, bool) = (true, true);

    /// All who carry something of a few positions.
    fn all(peers: &[(u64, (bool, bool))], needed: usize) -> SmallVec<[u64; 8]> {
        let candidate = |(id, (speed, (lively, loaded))): (u64, &_)| Candidate {
            id: NodeId(id),
            speed: *speed,
            lively: *lively,
            loaded: *loaded,
        };
        let peers: SmallVec<[_; 8]> = (1..).zip(peers).map(candidate).collect();
        let positions: RangeInclusive<u64> = 1..=12;
        let each = positions.map(|at| carriers(peers.clone(), needed, Position(at)));
        let mut ids: SmallVec<[u64; 8]> = each
            .inspect(|ids| assert!(ids.len() == needed.min(peers.len())))
            .flatten()
            .map(|peer| peer.id.get())
            .collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    #[test]
    fn the_quick_carry_turn_by_turn_and_the_slow_only_where_they_are_needed() {
        let three = [(40, USABLE), (1, USABLE), (10, USABLE)];
        assert_eq!(all(&three, 1)[..], [1, 3]);
        assert_eq!(all(&three, 2)[..], [1, 3]);
        assert_eq!(all(&three, 3)[..], [1, 2, 3]);
        assert!(all(&[], 1).is_empty());
    }

    #[test]
    fn the_silent_are_replaced_but_not_by_one_that_has_enough_to_do() {
        assert_eq!(all(&[(40, SILENT), (1, USABLE)], 1)[..], [2]);
        assert_eq!(all(&[(40, SILENT), (1, LOADED)], 1)[..], [1]);
        assert_eq!(all(&[(40, USABLE), (40, LOADED)], 1)[..], [1]);
    }

    #[test]
    fn one_late_body_does_not_make_a_peer_slow_but_a_few_do() {
        let (mut carriage, mut now) = (Carriage::default(), Instant::ZERO);
        let mut confirm = |millis| {
            let departure = now;
            now = now + Duration::from_millis(millis);
            // Two that left together stood in the same queue.
            carriage.on_sent(departure, 100_000);
            carriage.on_sent(departure, 100_000);
            carriage.on_confirmed(now, Some(departure), 100_000);
            carriage.on_confirmed(now, Some(departure), 100_000);
            carriage.speed.expect("there was one")
        };
        let well = confirm(1);
        assert!(confirm(100) > well / 4);
        assert!((0..3).map(|_| confirm(100)).last() < Some(well / 4));
        assert!((0..4).map(|_| confirm(1)).last() > Some(well * 3 / 4));
    }

    #[test]
    fn a_peer_is_loaded_by_what_takes_it_longer_than_a_question() {
        let budget = Budget::default();
        let mut carriage = Carriage::default();
        let (left, now) = (Instant::ZERO, Instant::ZERO + Duration::from_millis(100));
        carriage.on_sent(left, 100_000);
        assert!(
            !carriage.is_due(now, budget.restore_after),
            "one is under way"
        );
        carriage.on_confirmed(now, Some(left), 100_000);
        assert!(
            !carriage.is_due(now, budget.restore_after),
            "it was just seen"
        );
        assert!(carriage.is_due(now + budget.restore_after, budget.restore_after));
        carriage.on_sent(now, 250_000);
        assert!(!carriage.is_loaded(&budget), "a megabyte a second");
        carriage.on_sent(now, 1);
        assert!(carriage.is_loaded(&budget));
    }
}
