//! Clocks that run faster or slower than they ought to.

use std::fmt::Write;

use quorate_core::{Instant, ReplicatedLog};

use crate::cluster::Cluster;

/// A clock that showed `shown` at `since` and has run at so many hundredths of the true rate since then.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    since: Instant,
    shown: Instant,
    percent: u64,
}

impl Cluster {
    /// What member `id` believes is the time.
    pub fn time(&self, id: u64) -> Instant {
        let Some(clock) = self.clocks.get(&id) else {
            return self.now;
        };
        let passed = self.now.since(clock.since).as_nanos() as u64;
        Instant::from_nanos(clock.shown.as_nanos() + passed * clock.percent / 100)
    }

    /// When member `id` will believe that it is `time`.
    pub fn when(&self, id: u64, time: Instant) -> Instant {
        let Some(clock) = self.clocks.get(&id) else {
            return time;
        };
        let lacking = time.since(clock.shown).as_nanos() as u64;
        Instant::from_nanos(clock.since.as_nanos() + (lacking * 100).div_ceil(clock.percent))
    }

    /// Member `id`'s clock runs at so many hundredths of the true rate from now on.
    pub fn set_clock(&mut self, id: u64, percent: u64) {
        let clock = Clock {
            since: self.now,
            shown: self.time(id),
            percent,
        };
        self.clocks.insert(id, clock);
    }

    pub fn show_leases(&mut self) {
        for (id, member) in &self.members {
            let raft = member.raft.as_ref();
            let lease = raft.and_then(|raft| raft.lease(self.time(*id)));
            match lease {
                Some(at) => writeln!(self.page, "{id} may read at {at}"),
                None => writeln!(self.page, "{id} may not"),
            }
            .unwrap();
        }
    }
}
