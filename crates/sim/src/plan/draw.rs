//! Drawing a plan: each seed has its own mix of which faults are on, how hard, and at which limits (swarm testing,
//! Groce et al., ISSTA'12).

use std::time::Duration;

use quorate_core::Rng;

use super::strikes::Draw;
use super::{Around, Clients, HOSTS_MAX, MEMBERS_MAX, NetworkMix, Plan, orders};
use crate::{Limits, Moment, Protocol};

/// How far leases trust clocks: further than what is drawn drifts, from a tenth slower to a quarter faster.
const LEASE_PPM: u32 = 300_000;

/// What is not drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each says one thing of a run"
)]
pub struct Options {
    /// How many members that vote; none: drawn.
    pub members: Option<usize>,
    /// How long faults go on; none: drawn, about half a minute.
    pub lasts: Option<Duration>,
    /// Disks may decay beyond what a cluster can survive.
    pub unsafe_disks: bool,
    /// Links are directed anew in the midst of it, for logs whose links can be.
    pub directed: bool,
    /// Members are told to lead at bad moments, for logs whose leader is appointed.
    pub appointed: bool,
    /// Some runs have members without a vote, for logs that know such.
    pub learners: bool,
    /// Members change in some runs, for logs whose members can.
    pub changes: bool,
    /// Leadership is handed over, for logs that can.
    pub transfers: bool,
}

impl Options {
    /// The same for this log: links are directed where they can be, leaders appointed where that is how it is done.
    pub fn of<P: Protocol>(self, protocol: &P) -> Self {
        Self {
            directed: protocol.is_directed(),
            appointed: protocol.is_appointed(),
            learners: protocol.has_learners(),
            changes: protocol.changes_members(),
            transfers: protocol.transfers(),
            ..self
        }
    }
}

pub(super) fn plan(seed: u64, options: &Options) -> Plan {
    let mut rng = Rng::new(seed ^ 0x5157_0a7e_0000_0000);
    let voters = match options.members {
        Some(members) => members.clamp(1, MEMBERS_MAX),
        None => *pick(&mut rng, &[1, 2, 3, 3, 3, 3, 4, 5, 5, 5, 5, 6, 7]),
    };
    // Their dice are their own: whether a log knows learners makes no other difference.
    let mut dice = Rng::new(seed ^ 0x6c65_6172_6e00);
    let learners = if options.learners && dice.one_in(3) {
        (1 + dice.below(2) as usize).min(MEMBERS_MAX - voters)
    } else {
        0
    };
    let members = voters + learners;
    let mut dice = Rng::new(seed ^ 0x6f72_6465_7273);
    let beside = beside(&mut dice, options.changes, members);
    let (changes, spares) = (beside.changes, beside.spares);
    let lasts = options
        .lasts
        .unwrap_or_else(|| millis(&mut rng, 10_000, 40_000));
    let limits = limits(&mut rng);
    let around = around(&mut rng, &limits);
    let mut faults = Vec::new();
    let mut draw = Draw {
        rng: rng.fork(),
        members: members + spares,
        founders: members,
        voters,
        lasts,
        election_timeout: limits.election_timeout,
        unsafe_disks: options.unsafe_disks,
        directed: options.directed,
        appointed: options.appointed,
    };
    let lost = draw.lost_disks();
    draw.all(&mut faults, &lost);
    orders::draw(
        &mut dice,
        (changes, options.transfers),
        (members + spares, lasts, limits.election_timeout),
        &mut faults,
    );
    faults.sort_by_key(|planned| planned.at);
    let gone = lost.iter().fold(0u16, |gone, member| gone | 1 << member);
    let everybody = (1u16 << (members + spares)) - 1;
    Plan {
        seed,
        members,
        learners,
        spares,
        changes,
        bare: beside.bare,
        lost: gone,
        lease: beside.lease,
        limits,
        around,
        network: network(&mut rng),
        clients: Clients {
            sessions: beside.sessions,
            ..clients(&mut rng)
        },
        faults,
        heals: Moment::START.after(lasts),
        core: match core(&mut rng, (voters, members), &lost) {
            _ if changes => everybody & !gone,
            core => core,
        },
        unsafe_disks: options.unsafe_disks,
    }
}

/// What has dice of its own, so that no other run depends on it.
struct Beside {
    changes: bool,
    spares: usize,
    lease: Option<u32>,
    bare: bool,
    sessions: Option<Duration>,
}

fn beside(dice: &mut Rng, changes: bool, members: usize) -> Beside {
    let changes = changes && dice.one_in(2);
    let spares = if changes {
        1 + dice.below((HOSTS_MAX - members).min(5) as u64) as usize
    } else {
        0
    };
    let lives = [500, 3_000, 60_000].map(Duration::from_millis);
    Beside {
        changes,
        spares,
        lease: dice.one_in(4).then_some(LEASE_PPM),
        bare: changes && dice.one_in(2),
        sessions: dice.one_in(2).then(|| *pick(dice, &lives)),
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
        window_messages: *pick(rng, &[1, 1, 3, 64, 4096]),
        // A message becomes one record, which has to fit into a segment.
        message_bytes: *pick(rng, &[1 << 10, 4 << 10, 16 << 10]),
        uncommitted_bytes,
        log_bytes: (*pick(rng, &[8u64 << 10, 64 << 10, 1 << 20, 1 << 30]))
            .max(2 * uncommitted_bytes),
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
        pending_bytes: *pick(rng, &[4 << 10, 64 << 20]),
        backlog_bytes: *pick(rng, &[2 << 10, 64 << 20]),
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
        think: millis(rng, 10, 400),
        patience: millis(rng, 2_000, 10_000),
        retries: rng.below(4) as u32,
        sessions: None,
    }
}

/// Everybody, or a bare majority of those who vote, without the members whose disks may be lost.
fn core(rng: &mut Rng, (voters, members): (usize, usize), lost: &[usize]) -> u16 {
    let everybody = (1u16 << members) - 1;
    let sound = lost
        .iter()
        .fold(everybody, |sound, member| sound & !(1 << member));
    if rng.one_in(2) {
        return sound;
    }
    let voting = (1u16 << voters) - 1;
    let mut core = sound;
    while (core & voting).count_ones() as usize > voters / 2 + 1 {
        core &= !(1 << rng.below(voters as u64));
    }
    for learner in voters..members {
        core &= !((rng.below(2) << learner) as u16);
    }
    core
}

pub(super) fn pick<'a, T>(rng: &mut Rng, from: &'a [T]) -> &'a T {
    &from[rng.below(from.len() as u64) as usize]
}

pub(super) fn millis(rng: &mut Rng, least: u64, most: u64) -> Duration {
    Duration::from_millis(least + rng.below(most.saturating_sub(least) + 1))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::Fault;

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
            let options = Options {
                directed: true,
                appointed: true,
                changes: true,
                transfers: true,
                ..Options::default()
            };
            let plan = Plan::draw(seed, &options);
            let mut classes: Vec<_> = plan.faults.iter().map(|one| one.fault.class()).collect();
            classes.sort_unstable();
            classes.dedup();
            for class in classes {
                *on.entry(class).or_default() += 1;
            }
        }
        assert_eq!(on.len(), 22, "{on:?}");
        let always = |class: &str| ["decay", "wipe"].contains(&class);
        for (class, seeds) in on {
            assert!((50..650).contains(&seeds), "{class} in {seeds} of 1000");
            assert!(always(class) || seeds > 400, "{class} in {seeds} of 1000");
        }
    }

    #[test]
    fn a_majority_of_disks_is_never_lost_and_is_healed_in_the_end() {
        for seed in 0..2_000 {
            let options = Options {
                learners: true,
                ..Options::default()
            };
            let plan = Plan::draw(seed, &options);
            let lost = plan.faults.iter().filter_map(|one| match one.fault {
                Fault::Decay { member, .. } | Fault::Wipe(member) => Some(1u16 << member),
                _ => None,
            });
            let lost = lost.fold(0, |all, one| all | one);
            assert_eq!(plan.core & lost, 0, "{seed}");
            let voting = plan.core & ((1 << plan.voters()) - 1);
            assert!(voting.count_ones() as usize > plan.voters() / 2, "{seed}");
        }
    }
}
