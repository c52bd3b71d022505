//! What a commit costs by each of the ways: frames, bytes, round trips, from counters. The table of docs/replication.md.
//!
//! `cargo run -p quorate-replication --example costs`
#![allow(unreachable_pub)] // Modules that the tests share.

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::Duration;

use quorate_core::Direction;
use support::kinds::{Kind, OfPaxos, OfPrimaryBackup, OfRaft};
use support::world::{Setup, World};

const DELAY: Duration = Duration::from_millis(10);
const COMMITS: u64 = 200;

struct Cost {
    /// Frames of all members, and bytes of the leader's.
    frames: f64,
    bytes: f64,
    /// One way trips from the proposal until it is chosen, and until everybody has it.
    trips: (f64, f64),
}

fn cost<K: Kind>(voters: u64, learners: u64, direction: Direction, size: usize) -> Cost {
    let mut setup = Setup::three(direction);
    (setup.voters, setup.learners) = (voters, learners);
    let mut world: World<K> = World::new(&setup);
    let leader = world.elect();
    world.run(Duration::from_secs(1));
    world.every_wire(|wire| wire.delay = DELAY);
    // The first large command goes whole to everybody, whatever the way.
    world.propose(leader, size);
    world.run(Duration::from_secs(1));
    let count = |world: &World<K>| {
        let frames: u64 = world.meters.values().map(|meter| meter.frames).sum();
        (frames, world.outgoing(leader))
    };
    // What an idle cluster says in as much time is no commit's cost.
    let step = 20 * DELAY;
    let before = count(&world);
    world.run(step * COMMITS as u32);
    let idle = count(&world);
    let (mut chosen, mut everywhere) = (0.0, 0.0);
    for _ in 0..COMMITS {
        let (since, end) = (world.now, world.now + step);
        world.propose(leader, size);
        let at = world.seat(leader).status().last;
        let mut reached = None;
        while world.turn(end) {
            let has = |id: &u64| world.seat(*id).status().committed >= at;
            if reached.is_none() && world.ids().iter().all(has) {
                reached = Some(world.now.since(since));
            }
        }
        world.now = end;
        let first = world.chosen_at[at.0 as usize - 1].since(since);
        chosen += first.as_secs_f64();
        everywhere += reached.expect("everybody has it by now").as_secs_f64();
    }
    let after = count(&world);
    let each = |of: fn((u64, u64)) -> u64| {
        let busy = of(after) - of(idle);
        busy.saturating_sub(of(idle) - of(before)) as f64 / COMMITS as f64
    };
    let trip = DELAY.as_secs_f64() * COMMITS as f64;
    Cost {
        frames: each(|count| count.0),
        bytes: each(|count| count.1),
        trips: (chosen / trip, everywhere / trip),
    }
}

/// One row for all ways that cost the same.
fn table<K: Kind>() {
    for (voters, learners, members) in [
        (3, 0, "3 voters"),
        (5, 0, "5 voters"),
        (3, 10, "3 voters, 10 learners"),
    ] {
        for (size, command) in [(100, "100 B"), (100_000, "100 kB")] {
            let mut rows: Vec<(String, String)> = Vec::new();
            for direction in [Direction::Push, Direction::Pull, Direction::Mixed] {
                let Cost {
                    frames,
                    bytes,
                    trips: (chosen, everywhere),
                } = cost::<K>(voters, learners, direction, size);
                let bytes = thousands(&format!("{bytes:.0}"));
                let cost = format!("{frames:.1} | {bytes} | {chosen:.1} | {everywhere:.1}");
                match rows.last_mut() {
                    Some((ways, known)) if *known == cost => {
                        ways.push_str(", ");
                        ways.push_str(direction.name());
                    }
                    _ => rows.push((direction.name().to_owned(), cost)),
                }
            }
            for (ways, cost) in rows {
                println!("| {} | {members} | {command} | {ways} | {cost} |", K::NAME);
            }
        }
    }
}

fn thousands(digits: &str) -> String {
    match digits.len().checked_sub(3) {
        Some(split @ 1..) => format!("{},{}", thousands(&digits[..split]), &digits[split..]),
        Some(0) | None => digits.to_owned(),
    }
}

fn main() {
    println!(
        "| log | members | command | way | frames, all members | bytes the leader sends | one-way trips until chosen | until everybody has it |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    table::<OfRaft>();
    table::<OfPaxos>();
    table::<OfPrimaryBackup>();
}
