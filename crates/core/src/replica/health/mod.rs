//! How well each member serves, as it measures itself; and a leader that gives way to a member that serves better.
//!
//! A disk or a link that turns slow without failing (a *gray failure*, Huang et al., `HotOS` 2017) is seen by no
//! heartbeat. So each voter measures how long its own writes take until they are durable, and how long the way to a quorum
//! of the others and back is, and tells them both, rarely, and only while something is written. A leader hands over
//! when one of the two has been far worse than that of a caught-up voter for a while, and likewise to a voter of higher
//! priority that is as well. What keeps leadership from going to and fro is in [`Calm`]. No safety rests on any of this.

mod calm;
mod gauge;
mod tend;

use alloc::collections::BTreeMap;
use core::fmt;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use self::calm::Calm;
pub use self::calm::Rest;
use self::gauge::{DiskGauge, LinkGauge};
use super::ReplicaConfig;
use crate::{Configuration, Epoch, Instant, Mark, NodeId, Rejection, Ticket};

/// When a leader gives way by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HealthConfig {
    /// How often voters tell each other how they are; zero: never, and no leader gives way.
    pub every: Duration,
    /// By how many times the leader has to be slower than who takes its place.
    pub ratio: u32,
    /// A disk that takes no longer than this is never too slow.
    pub disk_floor: Duration,
    /// A way to a quorum and back that takes no longer than this is never too long.
    pub link_floor: Duration,
    /// For how long it has to be so.
    pub sustained: Duration,
    /// How long leadership rests after it has moved; doubles with each hand-over that follows soon on the one before.
    pub hold_off: Duration,
    /// How long it rests at most.
    pub hold_off_max: Duration,
}

impl HealthConfig {
    /// The defaults.
    pub const DEFAULT: Self = Self {
        every: Duration::from_millis(500),
        ratio: 4,
        disk_floor: Duration::from_millis(20),
        link_floor: Duration::from_millis(50),
        sustained: Duration::from_secs(3),
        hold_off: Duration::from_secs(10),
        hold_off_max: Duration::from_mins(10),
    };
}

/// How a member is, as it measures itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// How long a write takes from when it is wanted until it is durable; none: not measured of late.
    pub disk: Option<Duration>,
    /// How long the way to a quorum of the voters and back takes; none: not measured of late.
    pub link: Option<Duration>,
}

impl Health {
    /// How long it takes until a quorum has written, about; what was not measured counts for nothing.
    pub(super) fn of_a_write(self) -> Duration {
        self.disk.unwrap_or_default() + self.link.unwrap_or_default()
    }
}

/// Why a leader gives way by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandOverReason {
    /// Its disk is far slower than that of the next.
    SlowDisk,
    /// Its way to a quorum is far longer than that of the next.
    SlowLinks,
    /// The next has a higher priority.
    Priority,
}

impl fmt::Display for HandOverReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SlowDisk => "slow disk",
            Self::SlowLinks => "slow links",
            Self::Priority => "priority",
        })
    }
}

/// How far a hand-over is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandOverAnswer {
    /// It is ordered.
    Ordered,
    /// The other leads, in this epoch.
    Done(Epoch),
    /// The log has refused it, or given it up.
    Refused(Rejection),
}

/// What a member knows of how it and the others are.
#[derive(Debug)]
pub(super) struct Healths {
    config: HealthConfig,
    disk: DiskGauge,
    links: LinkGauge,
    /// When to tell the others next; none: there is nothing new.
    next: Option<Instant>,
    /// What the others told, and when.
    told: BTreeMap<NodeId, (Health, Instant)>,
    calm: Calm,
    watch: Watch,
}

/// What a leader holds against itself.
#[derive(Debug, Default)]
struct Watch {
    /// In which epoch it watches itself.
    epoch: Option<Epoch>,
    /// What is amiss, and since when.
    amiss: Option<(HandOverReason, Instant)>,
    /// The hand-over that is under way: the log's name for it.
    ordered: Option<(Ticket, NodeId, HandOverReason)>,
}

impl Healths {
    pub(super) fn new(config: &ReplicaConfig) -> Self {
        Self {
            config: config.health,
            disk: DiskGauge::default(),
            links: LinkGauge::new(config.life.0),
            next: None,
            told: BTreeMap::new(),
            calm: Calm::default(),
            watch: Watch::default(),
        }
    }

    pub(super) fn on_persist(&mut self, now: Instant, mark: Mark) {
        if self.config.every.is_zero() {
            return;
        }
        self.disk.on_persist(now, mark);
        self.next.get_or_insert(now + self.config.every);
    }

    pub(super) fn on_durable(&mut self, now: Instant, upto: Mark) {
        self.disk.on_durable(now, upto);
    }

    pub(super) const fn deadline(&self) -> Option<Instant> {
        self.next
    }

    pub(super) fn own(&self, now: Instant, configuration: &Configuration) -> Health {
        let others = configuration.voters().len() / 2;
        Health {
            disk: self.disk.value(now, self.patience()),
            link: self.links.value(now, others, self.patience()),
        }
    }

    /// What is older says nothing about how things are.
    const fn patience(&self) -> Duration {
        self.config.every.saturating_mul(4)
    }

    fn is_new(&self, now: Instant, at: Instant) -> bool {
        now.since(at) <= self.patience()
    }

    /// Whether the voter `id` tells that it is well: it is in no respect slow, or no slower than this one.
    fn is_well(&self, health: Health, own: Health) -> bool {
        let fine = |value: Option<Duration>, own: Option<Duration>, floor| {
            value.is_none_or(|value| value <= own.unwrap_or_default().max(floor))
        };
        fine(health.disk, own.disk, self.config.disk_floor / 2)
            && fine(health.link, own.link, self.config.link_floor / 2)
    }

    /// What speaks for a member with this health instead of this leader, of which `own` is the health.
    fn against(&self, own: Health, other: Health, preferred: bool) -> Option<HandOverReason> {
        let worse = |own: Option<Duration>, other: Option<Duration>, floor| {
            let (Some(own), Some(other)) = (own, other) else {
                return false;
            };
            own > floor && own > other.saturating_mul(self.config.ratio)
        };
        if !self.is_well(other, own) {
            None
        } else if worse(own.disk, other.disk, self.config.disk_floor) {
            Some(HandOverReason::SlowDisk)
        } else if worse(own.link, other.link, self.config.link_floor) {
            Some(HandOverReason::SlowLinks)
        } else {
            preferred.then_some(HandOverReason::Priority)
        }
    }
}
