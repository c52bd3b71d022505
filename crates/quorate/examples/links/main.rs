//! What links cost and bear: real members in one process, over loopback and real disks, with faults on their links.
//!
//! ```text
//! cargo run --release -p quorate --features replication --example links -- slow | delay | learners | switch | all
//! ```
//! `slow` and `delay` take the name of a direction behind them, to look at that one only.
//!
//! Every table names what it rests on; ratios are between runs of one invocation that alternate.
#![allow(clippy::print_stdout, reason = "tables are what it is for")]

mod cluster;
mod delay;
mod learners;
mod load;
mod slow;
mod switch;

use std::process::ExitCode;

use quorate::core::Direction;

/// The three ways, and the one that chooses.
const DIRECTIONS: [Direction; 4] = Direction::ALL;

#[tokio::main]
async fn main() -> ExitCode {
    let wanted = std::env::args().nth(1).unwrap_or_default();
    let all = wanted == "all";
    let mut holds = true;
    let mut known = false;
    if all || wanted == "slow" {
        (known, holds) = (true, slow::run().await && holds);
    }
    if all || wanted == "delay" {
        (known, holds) = (true, delay::run().await && holds);
    }
    if all || wanted == "learners" {
        (known, holds) = (true, learners::run().await && holds);
    }
    if all || wanted == "switch" {
        (known, holds) = (true, switch::run().await && holds);
    }
    if !known {
        eprintln!("usage: links slow | delay | learners | switch | all");
        return ExitCode::from(2);
    }
    if holds {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// The directions to look at: the one that was named, or all.
fn directions() -> impl Iterator<Item = Direction> {
    let named = std::env::args().nth(2);
    DIRECTIONS
        .into_iter()
        .filter(move |direction| named.as_ref().is_none_or(|named| named == direction.name()))
}

/// What a figure has to keep, said beside it.
fn verdict(holds: bool) -> &'static str {
    if holds { "holds" } else { "FALLS SHORT" }
}
