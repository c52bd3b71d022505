//! Random networks, disks, crashes and clients; invariants after every step; liveness after healing.
//!
//! `QUORATE_SEEDS=20000 cargo test --release -p quorate-primary-backup --test network` runs more seeds;
//! `QUORATE_SEED=7` runs one, with its trace.
#![allow(unreachable_pub)] // Modules that several test programs share.
#![allow(clippy::unwrap_used)] // A test that cannot go on has failed.

mod faults;
#[path = "../support/image.rs"]
mod image;
mod ledger;
mod liveness;
#[path = "../support/member.rs"]
mod member;
mod operator;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use world::World;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

#[test]
fn whatever_happens_no_more_is_lost_than_the_level_says_and_one_promotion_makes_all_equal() {
    if let Some(seed) = number("QUORATE_SEED") {
        World::new(seed, true).run();
        return;
    }
    let first = number("QUORATE_FIRST").unwrap_or(0);
    let seeds = number("QUORATE_SEEDS").unwrap_or(150);
    let mut totals = liveness::Totals::default();
    for seed in first..first + seeds {
        let run = catch_unwind(AssertUnwindSafe(|| World::new(seed, false).run()));
        match run {
            Ok(run) => totals.add(&run),
            Err(panic) => {
                eprintln!("replay with QUORATE_SEED={seed}");
                std::panic::resume_unwind(panic);
            }
        }
    }
    eprintln!("{totals:?}");
    totals.assert_everything_happened(seeds);
}
