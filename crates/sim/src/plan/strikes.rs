//! Drawing what goes wrong.

use std::time::Duration;

use quorate_core::{Direction, Rng};

use super::draw::{millis, pick};
use super::{Blow, Fault, HOSTS_MAX, Planned};
use crate::{Moment, Rot, Survival};

/// Draws faults.
pub(super) struct Draw {
    pub(super) rng: Rng,
    pub(super) members: usize,
    /// The first so many of them are there from the start.
    pub(super) founders: usize,
    /// The first so many of them vote.
    pub(super) voters: usize,
    pub(super) lasts: Duration,
    pub(super) election_timeout: Duration,
    pub(super) unsafe_disks: bool,
    pub(super) directed: bool,
    pub(super) appointed: bool,
}

impl Draw {
    /// Whose disks may be lost for good: never a majority's of those who vote, unless that is what is to be tried.
    pub(super) fn lost_disks(&mut self) -> Vec<usize> {
        let spare = if self.unsafe_disks {
            self.voters
        } else {
            (self.voters - 1) / 2
        };
        let count = self.rng.below(spare as u64 + 1) as usize;
        let first = self.rng.below(self.voters as u64) as usize;
        let voters = (0..count).map(|n| (first + n) % self.voters);
        let mut lost: Vec<usize> = voters.collect();
        for learner in self.voters..self.founders {
            if self.rng.one_in(4) {
                lost.push(learner);
            }
        }
        lost
    }

    pub(super) fn all(&mut self, faults: &mut Vec<Planned>, lost: &[usize]) {
        type Class = fn(&mut Draw) -> Fault;
        let classes: [(Class, u64); 14] = [
            (Self::weather, 6),
            (Self::cut, 8),
            (Self::slow_link, 4),
            (Self::half_open, 4),
            (|draw| Fault::Kill(draw.member()), 8),
            (Self::power_loss, 8),
            (Self::crash_in_call, 6),
            (Self::crash_in_recovery, 4),
            (|draw| Fault::Pause(draw.member()), 5),
            (Self::drift, 4),
            (Self::jump, 4),
            (Self::slow_disk, 4),
            (Self::disk_error, 4),
            (Self::disk_full, 4),
        ];
        for (class, most) in classes {
            if self.rng.one_in(2) {
                for _ in 0..=self.rng.below(most) {
                    let fault = class(self);
                    faults.push(self.planned(fault));
                }
            }
        }
        if self.rng.one_in(2) {
            for _ in 0..=self.rng.below(3) {
                let fault = Fault::Burst {
                    count: 5 + self.rng.below(60),
                    member: self.member(),
                };
                faults.push(self.planned(fault));
            }
        }
        if self.rng.one_in(2) {
            self.storm(faults);
        }
        for member in lost {
            let rot = *pick(&mut self.rng, &Rot::ALL);
            let wipe = self.rng.one_in(4);
            let fault = if wipe {
                Fault::Wipe(*member)
            } else {
                Fault::Decay {
                    member: *member,
                    rot,
                }
            };
            faults.push(self.planned(fault));
        }
        if self.directed && self.rng.one_in(2) {
            for _ in 0..=self.rng.below(60) {
                let fault = Fault::Direct {
                    member: self.member(),
                    direction: *pick(&mut self.rng, &Direction::ALL),
                };
                faults.push(self.planned(fault));
            }
        }
        if self.appointed && self.rng.one_in(2) {
            self.promotions(faults);
        }
    }

    /// Somebody is to lead, whoever leads and however far it is: at any time, or while something goes wrong; and now
    /// and then two at once.
    fn promotions(&mut self, faults: &mut Vec<Planned>) {
        let moments: Vec<Moment> = faults.iter().map(|planned| planned.at).collect();
        for _ in 0..=self.rng.below(20) {
            let fault = Fault::Promote(self.member());
            let mut planned = self.planned(fault);
            if self.rng.one_in(2) && !moments.is_empty() {
                let after = self.rng.duration(Duration::ZERO, self.election_timeout);
                planned.at = pick(&mut self.rng, &moments).after(after);
            }
            if self.rng.one_in(3) {
                let fault = Fault::Promote(self.member());
                faults.push(Planned {
                    fault,
                    ..planned.clone()
                });
            }
            faults.push(planned);
        }
    }

    fn planned(&mut self, fault: Fault) -> Planned {
        let longest = if self.rng.one_in(3) { 10_000 } else { 2_500 };
        let at = self.rng.duration(Duration::ZERO, self.lasts);
        Planned {
            at: Moment::START.after(at),
            lasts: millis(&mut self.rng, 20, longest),
            fault,
        }
    }

    fn member(&mut self) -> usize {
        self.rng.below(self.members as u64) as usize
    }

    fn survival(&mut self) -> Survival {
        let all = [
            Survival::Nothing,
            Survival::Everything,
            Survival::Prefix,
            Survival::Sectors,
        ];
        *pick(&mut self.rng, &all)
    }

    fn weather(&mut self) -> Fault {
        let per_mille = |rng: &mut Rng, most| {
            if rng.one_in(2) {
                rng.below(most) as u16
            } else {
                0
            }
        };
        Fault::Weather {
            lost: per_mille(&mut self.rng, 400),
            doubled: per_mille(&mut self.rng, 300),
            late: per_mille(&mut self.rng, 300),
            late_by: *pick(
                &mut self.rng,
                &[500, 2_000, 5_000].map(Duration::from_millis),
            ),
            slow: millis(&mut self.rng, 0, 300),
        }
    }

    /// A shape of connectivity, over the members in an order of its own.
    fn cut(&mut self) -> Fault {
        let mut order: Vec<usize> = (0..self.members).collect();
        for index in (1..order.len()).rev() {
            order.swap(index, self.rng.below(index as u64 + 1) as usize);
        }
        let side = 1 + self.rng.below(self.members as u64) as usize / 2;
        let shape = self.rng.below(6);
        let mut blocked = [0u16; HOSTS_MAX];
        for (a, from) in order.iter().enumerate() {
            for (b, to) in order.iter().enumerate() {
                let apart = match shape {
                    // Two sides.
                    0 => (a < side) != (b < side),
                    // One direction between two sides.
                    1 => a < side && b >= side,
                    // The first hears nobody, or nobody hears it.
                    2 => b == 0,
                    3 => a == 0,
                    // A bridge: two sides that share one member.
                    4 => (a < side) != (b < side) && a != side && b != side,
                    // A chain: everybody hears its neighbours.
                    _ => a.abs_diff(b) > 1,
                };
                if apart && from != to {
                    blocked[*from] |= 1 << to;
                }
            }
        }
        Fault::Cut(blocked)
    }

    fn slow_link(&mut self) -> Fault {
        Fault::SlowLink {
            from: self.member(),
            to: self.member(),
            by: millis(&mut self.rng, 50, 3_000),
        }
    }

    fn half_open(&mut self) -> Fault {
        Fault::HalfOpen {
            from: self.member(),
            to: self.member(),
        }
    }

    /// One leader after the other is struck, about as fast as they are elected: what each had begun stays behind on
    /// some disks (figure 8 of Ongaro and Ousterhout 2014).
    fn storm(&mut self, faults: &mut Vec<Planned>) {
        let timeout = self.election_timeout;
        let mut at = self.rng.duration(Duration::ZERO, self.lasts);
        for _ in 0..=self.rng.below(40) {
            let blows = [
                Blow::Kill,
                Blow::Pause,
                Blow::CutOff,
                Blow::Deaf,
                Blow::Mute,
            ];
            let planned = Planned {
                at: Moment::START.after(at),
                lasts: self.rng.duration(timeout / 2, timeout * 6),
                fault: Fault::Leader(*pick(&mut self.rng, &blows)),
            };
            faults.push(planned);
            at += self.rng.duration(timeout / 4, timeout * 4);
            if at > self.lasts {
                return;
            }
        }
    }

    fn power_loss(&mut self) -> Fault {
        Fault::PowerLoss {
            member: self.member(),
            survival: self.survival(),
        }
    }

    fn crash_in_call(&mut self) -> Fault {
        Fault::CrashInCall {
            member: self.member(),
            call: 1 + self.rng.below(60),
            survival: self.survival(),
        }
    }

    fn crash_in_recovery(&mut self) -> Fault {
        Fault::CrashInRecovery {
            member: self.member(),
            call: 1 + self.rng.below(50),
            survival: self.survival(),
        }
    }

    fn drift(&mut self) -> Fault {
        let ppm = *pick(
            &mut self.rng,
            &[-100_000, -1_000, 200, 10_000, 100_000, 250_000],
        );
        Fault::Drift {
            member: self.member(),
            ppm,
        }
    }

    fn jump(&mut self) -> Fault {
        let millis = *pick(
            &mut self.rng,
            &[-3_600_000, -1_500, 700, 60_000, 86_400_000],
        );
        Fault::Jump {
            member: self.member(),
            millis,
        }
    }

    fn slow_disk(&mut self) -> Fault {
        Fault::SlowDisk {
            member: self.member(),
            by: millis(&mut self.rng, 20, 2_000),
        }
    }

    fn disk_error(&mut self) -> Fault {
        Fault::DiskError {
            member: self.member(),
            call: 1 + self.rng.below(40),
        }
    }

    fn disk_full(&mut self) -> Fault {
        Fault::DiskFull {
            member: self.member(),
            spare: self.rng.below(70_000),
        }
    }
}
