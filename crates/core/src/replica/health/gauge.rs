//! What a member measures of itself: how long its disk takes, and how long the way to a quorum and back is.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use crate::{Instant, Mark, NodeId};

/// The middle one of the last few samples: one outlier among them does not show, a change of more than half of them does.
#[derive(Clone, Debug, Default)]
pub(super) struct Gauge {
    samples: [Duration; Self::SAMPLES],
    taken: usize,
    /// When the last one was taken.
    at: Instant,
}

impl Gauge {
    const SAMPLES: usize = 9;

    fn take(&mut self, now: Instant, since: Instant) {
        let sample = now.since(since);
        self.at = now;
        self.samples[self.taken % Self::SAMPLES] = sample;
        self.taken += 1;
    }

    /// What it shows while something is under way since `open`. None: nothing was measured, or nothing within `patience`.
    fn value(&self, now: Instant, open: Option<Instant>, patience: Duration) -> Option<Duration> {
        let hanging = open.map(|since| now.since(since));
        let fresh = hanging.is_some() || now.since(self.at) <= patience;
        let median = self.median().filter(|_| fresh)?;
        Some(hanging.map_or(median, |hanging| hanging.max(median)))
    }

    fn median(&self) -> Option<Duration> {
        let count = self.taken.min(Self::SAMPLES);
        let mut sorted = self.samples;
        let sorted = &mut sorted[..count];
        sorted.sort_unstable();
        sorted.get(count / 2).copied()
    }
}

/// One write at a time is followed from the moment it is wanted until it is durable, whatever comes meanwhile.
#[derive(Clone, Debug, Default)]
pub(super) struct DiskGauge {
    gauge: Gauge,
    followed: Option<(Mark, Instant)>,
}

impl DiskGauge {
    pub(super) fn on_persist(&mut self, now: Instant, mark: Mark) {
        self.followed.get_or_insert((mark, now));
    }

    pub(super) fn on_durable(&mut self, now: Instant, upto: Mark) {
        if let Some((_, since)) = self.followed.take_if(|(mark, _)| *mark <= upto) {
            self.gauge.take(now, since);
        }
    }

    pub(super) const fn is_waiting(&self) -> bool {
        self.followed.is_some()
    }

    /// How long a write takes; one that is under way for longer counts for that.
    pub(super) fn value(&self, now: Instant, patience: Duration) -> Option<Duration> {
        let open = self.followed.map(|(_, since)| since);
        self.gauge.value(now, open, patience)
    }
}

/// The ways to the other voters and back.
#[derive(Clone, Debug)]
pub(super) struct LinkGauge {
    ways: BTreeMap<NodeId, Way>,
    /// The number of the last question; begins at the life.
    round: u64,
}

#[derive(Clone, Debug, Default)]
struct Way {
    gauge: Gauge,
    /// The question that is not answered yet.
    asked: Option<(u64, Instant)>,
}

impl LinkGauge {
    pub(super) const fn new(life: u64) -> Self {
        Self {
            ways: BTreeMap::new(),
            round: life,
        }
    }

    /// The number of the next question to `peer`. While one is open that is not older than `patience`, further ones do not
    /// measure anything.
    pub(super) fn ask(&mut self, now: Instant, peer: NodeId, patience: Duration) -> u64 {
        self.round += 1;
        let way = self.ways.entry(peer).or_default();
        if way.asked.is_none_or(|(_, at)| now.since(at) >= patience) {
            way.asked = Some((self.round, now));
        }
        self.round
    }

    pub(super) fn on_answer(&mut self, now: Instant, from: NodeId, round: u64) {
        if let Some(way) = self.ways.get_mut(&from)
            && let Some((_, at)) = way.asked.take_if(|(asked, _)| *asked == round)
        {
            way.gauge.take(now, at);
        }
    }

    /// Only these are of interest.
    pub(super) fn retain(&mut self, voters: &[NodeId]) {
        self.ways.retain(|id, _| voters.contains(id));
    }

    /// How long it takes to hear from the nearest `others` of the other voters. None: too few were heard of late.
    pub(super) fn value(
        &self,
        now: Instant,
        others: usize,
        patience: Duration,
    ) -> Option<Duration> {
        let Some(last) = others.checked_sub(1) else {
            return Some(Duration::ZERO);
        };
        let value = |way: &Way| {
            let open = way.asked.map(|(_, at)| at);
            way.gauge.value(now, open, patience)
        };
        let mut values: Vec<_> = self.ways.values().filter_map(value).collect();
        values.sort_unstable();
        values.get(last).copied()
    }
}
