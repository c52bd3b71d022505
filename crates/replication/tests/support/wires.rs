//! The links between members: delay, bandwidth, loss, repetition, reordering, cuts.

use std::collections::BTreeMap;
use std::time::Duration;

use quorate_core::{Instant, Rng};

/// One way from a member to another.
#[derive(Clone, Copy, Debug)]
pub struct Wire {
    pub delay: Duration,
    /// Up to so much more, at random: what is sent later may arrive earlier.
    pub jitter: Duration,
    /// Bytes a second of bulk; none: as many as come.
    pub rate: Option<u64>,
    /// One in so many is lost; zero: none.
    pub loss: u64,
    /// One in so many arrives twice; zero: none.
    pub repeat: u64,
    pub cut: bool,
    /// When the bulk sent so far has left.
    free: Instant,
}

impl Default for Wire {
    fn default() -> Self {
        Self {
            delay: Duration::from_micros(200),
            jitter: Duration::ZERO,
            rate: None,
            loss: 0,
            repeat: 0,
            cut: false,
            free: Instant::ZERO,
        }
    }
}

impl Wire {
    /// When a frame arrives: not at all, once, or twice.
    pub fn carry(&mut self, now: Instant, bulk: bool, bytes: u64, rng: &mut Rng) -> Vec<Instant> {
        let mut gone = now;
        if let Some(rate) = self.rate.filter(|_| bulk) {
            let time = Duration::from_nanos(bytes * 1_000_000_000 / rate);
            self.free = self.free.max(now) + time;
            gone = self.free;
        }
        if self.cut || rng.one_in(self.loss) {
            return Vec::new();
        }
        let count = if rng.one_in(self.repeat) { 2 } else { 1 };
        let mut arrive = || gone + self.delay + rng.duration(Duration::ZERO, self.jitter);
        (0..count).map(|_| arrive()).collect()
    }
}

/// What went over a wire.
#[derive(Clone, Copy, Debug, Default)]
pub struct Traffic {
    pub frames: u64,
    pub bytes: u64,
}

pub type Wires = BTreeMap<(u64, u64), Wire>;
pub type Meters = BTreeMap<(u64, u64), Traffic>;
