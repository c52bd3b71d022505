//! Faults that tests and demos put on a link, and take off again, while it runs.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use quorate_core::{NodeId, Rng};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::sync::lock;

/// One way of a link, as this member sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// From this member to the peer.
    Out,
    /// From the peer to this member.
    In,
}

/// What happens to payloads in one direction. Loss and delay strike when a payload enters, `hold` where it
/// would leave. Beats pass, so a link under a fault stays connected; both lanes suffer alike, and order
/// within a lane is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Fault {
    /// The share of payloads that is lost, 0 to 1; 1 is a one-way cut.
    pub loss: f64,
    /// Added to the way of each payload: the least and the most, drawn evenly between.
    pub delay: (Duration, Duration),
    /// At most so many bytes of payload a second in each lane; `None` is no limit.
    pub bytes_per_second: Option<u64>,
    /// Nothing passes until the fault is changed or cleared; what waits is bounded by the outbox. Beyond that
    /// `In` stops reading, and a sender that cannot write for `stall_max` gives the connection up.
    pub hold: bool,
}

impl Fault {
    /// Everything is lost.
    pub fn cut() -> Self {
        Self::loss(1.0)
    }

    /// A share of the payloads is lost, 0 to 1.
    pub fn loss(share: f64) -> Self {
        Self {
            loss: share,
            ..Self::default()
        }
    }

    /// Every payload takes so much longer.
    pub fn delay(by: Duration) -> Self {
        Self {
            delay: (by, by),
            ..Self::default()
        }
    }

    /// At most so many bytes of payload a second in each lane.
    pub fn bandwidth(bytes_per_second: u64) -> Self {
        Self {
            bytes_per_second: Some(bytes_per_second),
            ..Self::default()
        }
    }

    /// Nothing passes until further notice.
    pub fn hold() -> Self {
        Self {
            hold: true,
            ..Self::default()
        }
    }
}

/// The faults of one transport, empty at first. While none is set, a frame pays for them one relaxed load.
#[derive(Debug)]
pub struct Faults {
    armed: AtomicBool,
    rules: Mutex<Rules>,
    changed: watch::Sender<()>,
}

#[derive(Debug)]
struct Rules {
    faults: BTreeMap<(NodeId, Direction), Fault>,
    dice: Rng,
}

/// What becomes of one payload.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Passage {
    Free,
    Lost,
    Shaped {
        delay: Duration,
        bytes_per_second: Option<u64>,
    },
}

/// Which payloads under way have arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrivals {
    None,
    Upto(Instant),
    All,
}

impl Faults {
    pub(crate) fn new(seed: u64) -> Self {
        let rules = Rules {
            faults: BTreeMap::new(),
            dice: Rng::new(seed),
        };
        let changed = watch::Sender::new(());
        Self {
            armed: AtomicBool::new(false),
            rules: Mutex::new(rules),
            changed,
        }
    }

    /// Puts `fault` on one direction of the link with `peer`, in place of what was there.
    pub fn set(&self, peer: NodeId, direction: Direction, fault: Fault) {
        self.change(|faults| {
            faults.insert((peer, direction), fault);
        });
    }

    /// Takes the fault off one direction of the link with `peer`.
    pub fn clear(&self, peer: NodeId, direction: Direction) {
        self.change(|faults| {
            faults.remove(&(peer, direction));
        });
    }

    /// Takes all faults off.
    pub fn clear_all(&self) {
        self.change(BTreeMap::clear);
    }

    /// The fault on one direction of the link with `peer`.
    pub fn get(&self, peer: NodeId, direction: Direction) -> Option<Fault> {
        lock(&self.rules).faults.get(&(peer, direction)).copied()
    }

    fn change(&self, change: impl FnOnce(&mut BTreeMap<(NodeId, Direction), Fault>)) {
        let mut rules = lock(&self.rules);
        change(&mut rules.faults);
        self.armed
            .store(!rules.faults.is_empty(), Ordering::Relaxed);
        self.changed.send_replace(());
    }

    pub(crate) fn watch(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Up to when payloads that are under way have arrived. A fault taken off lets all of them go.
    pub(crate) fn arrivals(&self, peer: NodeId, direction: Direction) -> Arrivals {
        match self.get(peer, direction) {
            None => Arrivals::All,
            Some(Fault { hold: true, .. }) => Arrivals::None,
            Some(_) => Arrivals::Upto(Instant::now()),
        }
    }

    /// Decides over one payload that enters.
    pub(crate) fn passage(&self, peer: NodeId, direction: Direction) -> Passage {
        if !self.armed.load(Ordering::Relaxed) {
            return Passage::Free;
        }
        let mut rules = lock(&self.rules);
        let Some(fault) = rules.faults.get(&(peer, direction)).copied() else {
            return Passage::Free;
        };
        let dice = rules.dice.below(1 << 53) as f64 / (1u64 << 53) as f64;
        if dice < fault.loss {
            return Passage::Lost;
        }
        let (least, most) = fault.delay;
        let delay = rules.dice.duration(least, most);
        if delay.is_zero() && fault.bytes_per_second.is_none() && !fault.hold {
            return Passage::Free;
        }
        Passage::Shaped {
            delay,
            bytes_per_second: fault.bytes_per_second,
        }
    }
}

/// Payloads under way on a slow link, in order. Who pushes keeps it bounded.
#[derive(Debug)]
pub(crate) struct Shaper<T> {
    queue: VecDeque<(Instant, T)>,
    free_at: Option<Instant>,
}

impl<T> Default for Shaper<T> {
    fn default() -> Self {
        Self {
            queue: VecDeque::new(),
            free_at: None,
        }
    }
}

impl<T> Shaper<T> {
    /// Puts `item` of `bytes` on its way. One that is not shaped itself still goes behind those that are.
    pub(crate) fn push(&mut self, now: Instant, passage: Passage, bytes: usize, item: T) {
        let mut release = now;
        if let Passage::Shaped {
            delay,
            bytes_per_second,
        } = passage
        {
            release += delay;
            if let Some(rate) = bytes_per_second {
                let start = self.free_at.map_or(release, |free| free.max(release));
                release = start + Duration::from_secs_f64(bytes as f64 / rate.max(1) as f64);
                self.free_at = Some(release);
            }
        }
        let behind = self
            .queue
            .back()
            .map_or(release, |(last, _)| release.max(*last));
        self.queue.push_back((behind, item));
    }

    /// The next that has arrived.
    pub(crate) fn pop(&mut self, arrivals: Arrivals) -> Option<T> {
        let arrived = |(release, _): &mut (Instant, T)| match arrivals {
            Arrivals::None => false,
            Arrivals::Upto(now) => *release <= now,
            Arrivals::All => true,
        };
        self.queue.pop_front_if(arrived).map(|(_, item)| item)
    }

    /// When to look again; with nothing under way, or all of it held, only when something changes.
    pub(crate) fn next_at(&self, arrivals: Arrivals) -> Option<Instant> {
        let Arrivals::Upto(_) = arrivals else {
            return None;
        };
        self.queue.front().map(|(release, _)| *release)
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.queue.clear();
        self.free_at = None;
    }
}
