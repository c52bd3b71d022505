//! Drawing a plan: each seed has its own mix of which faults are on, how hard, and at which limits (swarm testing,
//! Groce et al., ISSTA'12).

use std::time::Duration;

use quorate_core::Rng;

use super::{Around, Blow, Clients, Fault, MEMBERS_MAX, NetworkMix, Plan, Planned};
use crate::disk::Survival;
use crate::{Limits, Moment, Rot};

/// What is not drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// How many members; none: drawn.
    pub members: Option<usize>,
    /// How long faults go on; none: drawn, about half a minute.
    pub lasts: Option<Duration>,
    /// Disks may decay beyond what a cluster can survive.
    pub unsafe_disks: bool,
}

pub(super) fn plan(seed: u64, options: &Options) -> Plan {
    let mut rng = Rng::new(seed ^ 0x5157_0a7e_0000_0000);
    let members = match options.members {
        Some(members) => members.clamp(1, MEMBERS_MAX),
        None => *pick(&mut rng, &[1, 2, 3, 3, 3, 3, 4, 5, 5, 5, 5, 6, 7]),
    };
    let lasts = options
        .lasts
        .unwrap_or_else(|| millis(&mut rng, 10_000, 40_000));
    let limits = limits(&mut rng);
    let around = around(&mut rng, &limits);
    let mut faults = Vec::new();
    let mut draw = Draw {
        rng: rng.fork(),
        members,
        lasts,
        election_timeout: limits.election_timeout,
        unsafe_disks: options.unsafe_disks,
    };
    let lost = draw.lost_disks();
    draw.all(&mut faults, &lost);
    faults.sort_by_key(|planned| planned.at);
    Plan {
        seed,
        members,
        limits,
        around,
        network: network(&mut rng),
        clients: clients(&mut rng),
        faults,
        heals: Moment::START.after(lasts),
        core: core(&mut rng, members, &lost),
        unsafe_disks: options.unsafe_disks,
    }
}

fn limits(rng: &mut Rng) -> Limits {
    let election_timeout = millis(rng, 300, 1_500);
    let window_bytes = *pick(rng, &[1 << 10, 16 << 10, 1 << 20, 64 << 20]);
    let uncommitted_bytes = *pick(rng, &[2u64 << 10, 16 << 10, 1 << 20, 64 << 20]);
    Limits {
        election_timeout,
        heartbeat_interval: election_timeout / *pick(rng, &[3, 4, 5, 8]),
        window_bytes,
        window_messages: *pick(rng, &[1, 3, 64, 4096]),
        // A message becomes one record, which has to fit into a segment.
        message_bytes: *pick(rng, &[1 << 10, 4 << 10, 16 << 10]),
        uncommitted_bytes,
        log_bytes: (*pick(rng, &[64u64 << 10, 1 << 20, 1 << 30])).max(2 * uncommitted_bytes),
        reads: *pick(rng, &[2, 64, 65_536]),
    }
}

fn around(rng: &mut Rng, limits: &Limits) -> Around {
    let fast = rng.one_in(2);
    let in_step = rng.one_in(4);
    Around {
        request_timeout: millis(rng, 1_000, 6_000),
        retry_interval: millis(rng, 100, 1_500),
        pending_max: *pick(rng, &[4, 64, 65_536]),
        // A batch has to fit into what may be uncommitted, with what surrounds its commands.
        batch_bytes: (*pick(rng, &[64u64, 1 << 10, 16 << 10])).min(limits.uncommitted_bytes / 4),
        // The log keeps what two snapshots span.
        snapshot_every: (*pick(rng, &[1u64 << 10, 4 << 10, 16 << 10, 1 << 20, 64 << 20]))
            .min(limits.log_bytes / 8),
        chunk_bytes: *pick(rng, &[512, 4 << 10, 256 << 10]),
        apply_bytes: *pick(rng, &[1, 512, 1 << 20]),
        timer_grain: if in_step {
            millis(rng, 5, 50)
        } else {
            Duration::from_nanos(1)
        },
        in_step,
        sync: if fast {
            (Duration::from_micros(50), Duration::from_micros(500))
        } else {
            (Duration::from_millis(1), Duration::from_millis(20))
        },
        told_late: if rng.one_in(2) {
            Duration::from_micros(10)
        } else {
            millis(rng, 1, 60)
        },
        short_reads: rng.one_in(4),
    }
}

fn network(rng: &mut Rng) -> NetworkMix {
    let least = Duration::from_micros(50 + rng.below(2_000));
    NetworkMix {
        delay: (least, least + Duration::from_micros(rng.below(10_000))),
        ordered: rng.one_in(2),
    }
}

fn clients(rng: &mut Rng) -> Clients {
    Clients {
        count: 1 + rng.below(6),
        think: millis(rng, 20, 800),
        patience: millis(rng, 2_000, 10_000),
        retries: rng.below(4) as u32,
    }
}

/// Everybody, or a bare majority without the members whose disks may be lost.
fn core(rng: &mut Rng, members: usize, lost: &[usize]) -> u8 {
    let everybody = (1u8 << members) - 1;
    let sound = lost
        .iter()
        .fold(everybody, |sound, member| sound & !(1 << member));
    if rng.one_in(2) {
        return sound;
    }
    let mut core = sound;
    while core.count_ones() as usize > members / 2 + 1 {
        core &= !(1 << rng.below(members as u64));
    }
    core
}

struct Draw {
    rng: Rng,
    members: usize,
    lasts: Duration,
    election_timeout: Duration,
    unsafe_disks: bool,
}

impl Draw {
    /// Whose disks may be lost for good: never a majority's, unless that is what is to be tried.
    fn lost_disks(&mut self) -> Vec<usize> {
        let spare = if self.unsafe_disks {
            self.members
        } else {
            (self.members - 1) / 2
        };
        let count = self.rng.below(spare as u64 + 1) as usize;
        let first = self.member();
        (0..count).map(|n| (first + n) % self.members).collect()
    }

    fn all(&mut self, faults: &mut Vec<Planned>, lost: &[usize]) {
        type Class = fn(&mut Draw) -> Fault;
        let classes: [(Class, u64); 13] = [
            (Self::weather, 6),
            (Self::cut, 8),
            (Self::slow_link, 4),
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
            let rots = [Rot::Flip, Rot::Stray, Rot::Zeros, Rot::Lost, Rot::Empty];
            let rot = *pick(&mut self.rng, &rots);
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
        let mut blocked = [0u8; MEMBERS_MAX];
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

    /// One leader after the other is struck, about as fast as they are elected: what each had begun stays behind on
    /// some disks (Raft's figure 8).
    fn storm(&mut self, faults: &mut Vec<Planned>) {
        let timeout = self.election_timeout;
        let mut at = self.rng.duration(Duration::ZERO, self.lasts);
        for _ in 0..=self.rng.below(20) {
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

fn pick<'a, T>(rng: &mut Rng, from: &'a [T]) -> &'a T {
    &from[rng.below(from.len() as u64) as usize]
}

fn millis(rng: &mut Rng, least: u64, most: u64) -> Duration {
    Duration::from_millis(least + rng.below(most.saturating_sub(least) + 1))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_seed_names_a_plan() {
        let options = Options::default();
        let text = |seed| format!("{:?}", Plan::draw(seed, &options));
        assert_eq!(text(7), text(7));
        assert_ne!(text(7), text(8));
    }

    #[test]
    fn each_class_of_faults_is_off_in_about_half_the_seeds() {
        let mut on: BTreeMap<&str, u32> = BTreeMap::new();
        for seed in 0..1_000 {
            let plan = Plan::draw(seed, &Options::default());
            let mut classes: Vec<_> = plan.faults.iter().map(|one| one.fault.class()).collect();
            classes.sort_unstable();
            classes.dedup();
            for class in classes {
                *on.entry(class).or_default() += 1;
            }
        }
        assert_eq!(on.len(), 17, "{on:?}");
        let always = |class: &str| ["decay", "wipe"].contains(&class);
        for (class, seeds) in on {
            assert!((50..650).contains(&seeds), "{class} in {seeds} of 1000");
            assert!(always(class) || seeds > 400, "{class} in {seeds} of 1000");
        }
    }

    #[test]
    fn a_majority_of_disks_is_never_lost_and_is_healed_in_the_end() {
        for seed in 0..2_000 {
            let plan = Plan::draw(seed, &Options::default());
            let lost = plan.faults.iter().filter_map(|one| match one.fault {
                Fault::Decay { member, .. } | Fault::Wipe(member) => Some(1u8 << member),
                _ => None,
            });
            let lost = lost.fold(0, |all, one| all | one);
            assert_eq!(plan.core & lost, 0, "{seed}");
            assert!(plan.core.count_ones() as usize > plan.members / 2, "{seed}");
        }
    }
}
