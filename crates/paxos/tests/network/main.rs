//! Random networks, disks, crashes and clients; what must hold is checked after every step, service after healing.
//!
//! `QUORATE_SEEDS=20000 cargo test --release -p quorate-paxos --test network` runs more seeds, `QUORATE_FIRST=n` from
//! another one on; `QUORATE_SEED=7` runs one, with its trace.
#![allow(unreachable_pub)] // Modules that several test programs share.
#![allow(clippy::unwrap_used)] // A test that cannot go on has failed.

mod draw;
mod eras;
#[path = "../support/image.rs"]
mod image;
mod ledger;
#[path = "../support/member.rs"]
mod member;
mod orders;
mod totals;
mod trouble;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use totals::Totals;
use world::World;

#[test]
fn nothing_chosen_changes_and_service_returns_whatever_network_and_disks_do() {
    let number = |name: &str| {
        std::env::var(name)
            .ok()
            .map(|text| text.parse::<u64>().unwrap())
    };
    if let Some(seed) = number("QUORATE_SEED") {
        println!("{:?}", World::new(seed, true).run());
        return;
    }
    let first = number("QUORATE_FIRST").unwrap_or(0);
    let seeds = number("QUORATE_SEEDS").unwrap_or(120);
    let mut totals = Totals::default();
    for seed in first..first + seeds {
        match catch_unwind(AssertUnwindSafe(|| World::new(seed, false).run())) {
            Ok(run) => totals.add(&run),
            Err(panic) => {
                eprintln!("replay with QUORATE_SEED={seed}");
                resume_unwind(panic);
            }
        }
    }
    eprintln!("{totals:?}");
    totals.assert_provoked(seeds);
}
