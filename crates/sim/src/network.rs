//! The way of a message: lost, doubled, late, or there in a while.

use std::time::Duration;

use quorate_core::Rng;

use crate::Moment;
use crate::plan::{Fault, HOSTS_MAX, NetworkMix};

pub(crate) struct Network {
    mix: NetworkMix,
    rng: Rng,
    /// The faults that are on, by their index in the plan.
    on: Vec<(usize, Fault)>,
    now: Conditions,
    /// When the last message of each link arrives, so that those behind it do not overtake it.
    last: [[Moment; HOSTS_MAX]; HOSTS_MAX],
    /// What left before then never arrives: its connection is dead.
    dead: [[Moment; HOSTS_MAX]; HOSTS_MAX],
}

/// What all that is on comes to.
#[derive(Clone, Default)]
struct Conditions {
    lost: u16,
    doubled: u16,
    late: u16,
    late_by: Duration,
    slow: Duration,
    blocked: [u16; HOSTS_MAX],
    slow_links: Vec<(usize, usize, Duration)>,
}

impl Network {
    pub(crate) fn new(mix: NetworkMix, rng: Rng) -> Self {
        Self {
            mix,
            rng,
            on: Vec::new(),
            now: Conditions::default(),
            last: [[Moment::START; HOSTS_MAX]; HOSTS_MAX],
            dead: [[Moment::START; HOSTS_MAX]; HOSTS_MAX],
        }
    }

    /// A fault of the network begins. Others are none of its business.
    pub(crate) fn begin(&mut self, now: Moment, index: usize, fault: &Fault) {
        match fault {
            Fault::HalfOpen { from, to } => self.dead[*from][*to] = now,
            Fault::Weather { .. } | Fault::Cut(_) | Fault::SlowLink { .. } => {}
            _ => return,
        }
        self.on.push((index, fault.clone()));
        self.sum_up();
    }

    /// Whether what left then was lost with its connection.
    pub(crate) fn is_lost(&self, from: usize, to: usize, sent: Moment) -> bool {
        sent < self.dead[from][to]
    }

    pub(crate) fn end(&mut self, index: usize) {
        self.on.retain(|(on, _)| *on != index);
        self.sum_up();
    }

    /// Nothing goes wrong any more. What is under way arrives by the moment that is returned: a healed network has a
    /// bound on its delays again, for what was sent before as well (partial synchrony: Dwork, Lynch, Stockmeyer 1988).
    pub(crate) fn heal(&mut self, now: Moment) -> Moment {
        self.on.clear();
        self.sum_up();
        let latest = now.after(self.mix.delay.1);
        for last in self.last.as_flattened_mut() {
            *last = latest.min(*last);
        }
        latest
    }

    /// Members outside of `core` are cut off for good.
    pub(crate) fn isolate(&mut self, core: u16) {
        let mut blocked = [0; HOSTS_MAX];
        for (member, blocked) in blocked.iter_mut().enumerate() {
            *blocked = if core >> member & 1 == 1 {
                !core
            } else {
                u16::MAX
            };
        }
        self.on.push((usize::MAX, Fault::Cut(blocked)));
        self.sum_up();
    }

    /// When a message that leaves now arrives, if it does, and its double.
    pub(crate) fn fate(&mut self, now: Moment, from: usize, to: usize) -> [Option<Moment>; 2] {
        if self.now.blocked[from] >> to & 1 == 1 || self.strikes(self.now.lost) {
            return [None, None];
        }
        let first = self.arrival(now, from, to);
        let second = self
            .strikes(self.now.doubled)
            .then(|| self.arrival(now, from, to));
        [Some(first), second]
    }

    fn arrival(&mut self, now: Moment, from: usize, to: usize) -> Moment {
        let (least, most) = self.mix.delay;
        let mut delay = self.rng.duration(least, most);
        if !self.now.slow.is_zero() {
            delay += self.rng.duration(Duration::ZERO, self.now.slow);
        }
        for (a, b, by) in &self.now.slow_links {
            delay += if (*a, *b) == (from, to) {
                *by
            } else {
                Duration::ZERO
            };
        }
        if self.strikes(self.now.late) {
            // Also overtaken by others of an ordered link: it comes from a connection that is over.
            return now.after(delay + self.rng.duration(Duration::ZERO, self.now.late_by));
        }
        let mut at = now.after(delay);
        if self.mix.ordered {
            let before = &mut self.last[from][to];
            at = at.max(*before);
            *before = at;
        }
        at
    }

    fn strikes(&mut self, per_mille: u16) -> bool {
        per_mille > 0 && self.rng.below(1_000) < u64::from(per_mille)
    }

    fn sum_up(&mut self) {
        let mut sum = Conditions::default();
        for (_, fault) in &self.on {
            match fault {
                Fault::Weather {
                    lost,
                    doubled,
                    late,
                    late_by,
                    slow,
                } => {
                    sum.late_by = sum.late_by.max(*late_by);
                    sum.lost = sum.lost.max(*lost);
                    sum.doubled = sum.doubled.max(*doubled);
                    sum.late = sum.late.max(*late);
                    sum.slow = sum.slow.max(*slow);
                }
                Fault::Cut(blocked) => {
                    sum.blocked
                        .iter_mut()
                        .zip(blocked)
                        .for_each(|(sum, one)| *sum |= one);
                }
                Fault::SlowLink { from, to, by } => sum.slow_links.push((*from, *to, *by)),
                Fault::HalfOpen { from, to } => sum.blocked[*from] |= 1 << to,
                _ => {}
            }
        }
        self.now = sum;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network() -> Network {
        let delay = (Duration::from_micros(1), Duration::from_millis(5));
        Network::new(
            NetworkMix {
                delay,
                ordered: true,
            },
            Rng::new(1),
        )
    }

    #[test]
    fn a_cut_is_one_way_and_ends() {
        let mut network = network();
        let mut blocked = [0; HOSTS_MAX];
        blocked[0] = 0b10;
        network.begin(Moment(0), 3, &Fault::Cut(blocked));
        assert_eq!(network.fate(Moment(0), 0, 1), [None, None]);
        assert!(network.fate(Moment(0), 1, 0)[0].is_some());
        network.end(3);
        assert!(network.fate(Moment(0), 0, 1)[0].is_some());
    }

    #[test]
    fn a_half_open_link_loses_what_is_under_way_and_what_is_sent_until_it_is_noticed() {
        let mut network = network();
        assert!(network.fate(Moment(4), 0, 1)[0].is_some());
        network.begin(Moment(5), 3, &Fault::HalfOpen { from: 0, to: 1 });
        assert!(network.is_lost(0, 1, Moment(4)) && !network.is_lost(1, 0, Moment(4)));
        assert_eq!(network.fate(Moment(6), 0, 1), [None, None]);
        assert!(network.fate(Moment(6), 1, 0)[0].is_some());
        network.end(3);
        assert!(network.fate(Moment(7), 0, 1)[0].is_some());
        assert!(!network.is_lost(0, 1, Moment(7)));
    }

    #[test]
    fn an_ordered_link_keeps_its_order() {
        let mut network = network();
        let arrivals: Vec<_> = (0..200).map(|n| network.fate(Moment(n), 0, 1)[0]).collect();
        assert!(arrivals.is_sorted());
    }

    #[test]
    fn only_the_core_is_connected_after_isolation() {
        let mut network = network();
        network.isolate(0b011);
        let mut reaches = |from, to| network.fate(Moment(0), from, to)[0].is_some();
        assert!(reaches(0, 1) && reaches(1, 0));
        assert!(!reaches(0, 2) && !reaches(2, 0) && !reaches(2, 3));
    }
}
