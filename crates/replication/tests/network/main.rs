//! Whole clusters under everything that a network and its machines do, seed by seed, with the directions of all links
//! changed all the time. What is chosen is the same everywhere, nothing of it is ever lost, no member ever holds more
//! for a peer than its budget, and everybody catches up when the trouble ends.
//!
//! `SEEDS=400` runs so many; `SEED=7` runs one and prints what happened after the trouble has ended.
#![allow(unreachable_pub)] // Modules that several test programs share.

#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;

use quorate_core::{Direction, Rng};
use support::kinds::{Kind, OfPaxos, OfRaft};
use support::wires::Wire;
use support::world::{Setup, World};

use quorate_replication::Budget;

fn seeds() -> u64 {
    let asked = std::env::var("SEEDS").ok();
    asked.map_or(40, |seeds| seeds.parse().expect("a number"))
}

/// Small, so that every limit is reached.
fn small() -> Budget {
    Budget {
        window_initial: 2_000,
        window_min: 500,
        window_max: 20_000,
        messages_max: 8,
        fetch_bytes: 4_000,
        hollow_bytes: 600,
        catchup_bytes: 100,
        lend_bytes: 8_000,
        parked_max: 4,
        body_timeout: Duration::from_millis(40),
        behind_after: Duration::from_millis(200),
        restore_after: Duration::from_millis(300),
        probe_after: Duration::from_millis(50),
    }
}

fn trouble<K: Kind>(seed: u64) -> (u64, u64, usize) {
    let mut rng = Rng::new(seed);
    let setup = Setup {
        voters: 3 + 2 * rng.below(2),
        learners: 2,
        direction: Direction::ALL[rng.below(4) as usize],
        budget: small(),
        seed,
    };
    let mut world: World<K> = World::new(&setup);
    world.every_wire(|wire| {
        wire.jitter = Duration::from_millis(3);
        (wire.loss, wire.repeat) = (30, 20);
    });
    for _ in 0..600 {
        act(&mut world, &mut rng);
        let pause = Duration::from_micros(rng.below(6_000));
        world.run(pause);
    }
    heal(&mut world);
    (
        world.ledger.len() as u64,
        world.installs,
        world.events.len(),
    )
}

/// Something happens.
fn act<K: Kind>(world: &mut World<K>, rng: &mut Rng) {
    let ids = world.ids();
    let mut any = || ids[rng.below(ids.len() as u64) as usize];
    let (id, other) = (any(), any());
    let up = world.seat(id).is_up();
    match rng.below(40) {
        0..20 => {
            if let Some(leader) = world.leader() {
                let size = [0, 10, 300, 1_000, 5_000][rng.below(5) as usize];
                world.propose(leader, size);
            }
        }
        20..29 => {
            let peer = rng.one_in(2).then_some(other);
            world.direct(id, peer, Direction::ALL[rng.below(4) as usize]);
        }
        29 | 30 if up => world.compact(id),
        31 if up => world.crash(id),
        31..=33 if !up => world.start(id),
        34 => world.wire(id, other, |wire| wire.cut = true),
        35 => {
            // One way only.
            world.wires.entry((id, other)).or_default().cut = true;
        }
        36 | 37 => world.every_wire(|wire| wire.cut = false),
        38 => {
            world.wire(id, other, |wire| wire.rate = Some(50_000));
        }
        39 => {
            let time = Duration::from_micros(rng.below(20_000));
            world.sync_time.insert(id, time);
        }
        _ => {}
    }
}

/// All trouble ends; everybody gets everything.
fn heal<K: Kind>(world: &mut World<K>) {
    world.every_wire(|wire| *wire = Wire::default());
    world.sync_time.clear();
    if std::env::var("SEED").is_ok() {
        world.trace = Some(String::new());
    }
    for id in world.ids() {
        if !world.seat(id).is_up() {
            world.start(id);
        }
    }
    world.run(Duration::from_secs(6));
    let leader = world.leader().expect("a leader when all is well");
    world.propose(leader, 700);
    world.run(Duration::from_secs(6));
    if let Some(trace) = &world.trace {
        println!("{trace}");
    }
    world.assert_equal();
}

fn campaign<K: Kind>() {
    if let Ok(seed) = std::env::var("SEED") {
        trouble::<K>(seed.parse().expect("a number"));
        return;
    }
    let (mut chosen, mut installs, mut events) = (0, 0, 0);
    for seed in 0..seeds() {
        let one = std::panic::catch_unwind(|| trouble::<K>(seed));
        let one = one.unwrap_or_else(|_| panic!("{} with seed {seed}", K::NAME));
        (chosen, installs, events) = (chosen + one.0, installs + one.1, events + one.2);
    }
    println!(
        "{}: {chosen} chosen, {installs} snapshots installed, {events} link changes",
        K::NAME
    );
    assert!(chosen > 50 * seeds() && installs > 0 && events > 0);
}

#[test]
fn raft_whatever_the_directions_loses_nothing_and_catches_up() {
    campaign::<OfRaft>();
}

#[test]
fn paxos_whatever_the_directions_loses_nothing_and_catches_up() {
    campaign::<OfPaxos>();
}
