//! How long leadership has to rest where it is.

use core::time::Duration;

use serde::{Deserialize, Serialize};

use super::HealthConfig;
use crate::Instant;

/// No hand-over before `until`. Each that follows soon on the one before doubles the rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Calm {
    until: Option<Instant>,
    level: u32,
}

/// What a member tells others of it, so that the next leader rests as long as the last one would have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rest {
    /// How much longer.
    pub(super) left: Duration,
    /// How often it has doubled.
    pub(super) level: u32,
}

impl Calm {
    pub(super) fn rests(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// A leader is new: whatever is amiss may be so everywhere, or be of the election.
    pub(super) fn on_leader(&mut self, now: Instant, config: &HealthConfig) {
        self.until = self.until.max(Some(now + config.hold_off));
    }

    /// Leadership is handed over now.
    pub(super) fn on_hand_over(&mut self, now: Instant, config: &HealthConfig) {
        let before = hold(self.level, config);
        let soon = self.until.is_some_and(|until| now < until + before);
        self.level = if soon {
            self.level.saturating_add(1)
        } else {
            0
        };
        self.until = Some(now + hold(self.level, config));
    }

    pub(super) fn told(&self, now: Instant) -> Rest {
        Rest {
            left: self.until.map_or(Duration::ZERO, |until| until.since(now)),
            level: self.level,
        }
    }

    /// Another member rests so long.
    pub(super) fn hear(&mut self, now: Instant, rest: Rest, config: &HealthConfig) {
        if !rest.left.is_zero() {
            let left = rest.left.min(config.hold_off_max);
            self.until = self.until.max(Some(now + left));
            self.level = self.level.max(rest.level);
        }
    }
}

fn hold(level: u32, config: &HealthConfig) -> Duration {
    let doubled = 2_u32.checked_pow(level).unwrap_or(u32::MAX);
    let hold = config.hold_off.saturating_mul(doubled);
    hold.min(config.hold_off_max)
}
