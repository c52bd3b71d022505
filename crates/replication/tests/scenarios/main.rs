//! The scenarios X3 to X14 of what a replicated log owes its users, by name, each over every log; and what the three ways
//! cost and promise on links that are slow, long, or many.
#![allow(unreachable_pub)] // Modules that several test programs share.

#[path = "../support/mod.rs"]
mod support;

mod costs;
mod faults;
mod learners;

use std::time::Duration;

use quorate_core::{Direction, Instant, Position};
use support::kinds::Kind;
use support::world::World;

/// A millisecond.
pub const MS: Duration = Duration::from_millis(1);

/// Every test once for each log.
#[macro_export]
macro_rules! over_every_log {
    ($($name:ident)*) => {
        $crate::over! { over_raft OfRaft $($name)* }
        $crate::over! { over_paxos OfPaxos $($name)* }
    };
}

/// Every test for one log.
#[macro_export]
macro_rules! over {
    ($module:ident $kind:ident $($name:ident)*) => {
        mod $module {
            $(#[test] fn $name() { super::$name::<$crate::support::kinds::$kind>(); })*
        }
    };
}

/// Proposes `count` commands of `bytes` at `leader`, one every `pause`. Returns where each stands, and when it was
/// proposed.
pub fn load<K: Kind>(
    world: &mut World<K>,
    leader: u64,
    (count, bytes): (u64, usize),
    pause: Duration,
) -> Vec<(Position, Instant)> {
    let mut proposed = Vec::new();
    for _ in 0..count {
        let before = world.seat(leader).status().last;
        world.propose(leader, bytes);
        let last = world.seat(leader).status().last;
        if last > before {
            proposed.push((last, world.now));
        }
        world.run(pause);
    }
    proposed
}

/// The middle one of the times from proposal to choice.
pub fn median<K: Kind>(world: &World<K>, proposed: &[(Position, Instant)]) -> Duration {
    let chosen = |at: &Position| world.chosen_at[at.0 as usize - 1];
    let mut times: Vec<_> = proposed
        .iter()
        .map(|(at, since)| chosen(at).since(*since))
        .collect();
    times.sort_unstable();
    times[times.len() / 2]
}

/// Every direction.
pub const ALL: [Direction; 4] = Direction::ALL;
