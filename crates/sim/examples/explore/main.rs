//! Every order in which few things can happen, for either log.
//!
//! ```text
//! cargo run --release -p quorate-sim --example explore -- --log paxos --proposals 2 --crashes 1
//! ```

mod paxos;
mod raft;

use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, ValueEnum};
use quorate_core::NodeId;
use quorate_sim::explore::{Bound, Model, Seen, explore};

use crate::paxos::PaxosModel;
use crate::raft::RaftModel;

/// Walks through every state that three members can reach within a bound, and checks each.
///
/// Messages may be lost, late, in any order, and arrive any number of times; a crash keeps what was on disk and any
/// prefix of the rest.
#[derive(Parser)]
struct Arguments {
    /// Which log; without it both, one after the other.
    #[arg(long)]
    log: Option<Log>,
    /// Commands proposed.
    #[arg(long, default_value_t = 2)]
    proposals: u32,
    /// Crashes.
    #[arg(long, default_value_t = 1)]
    crashes: u32,
    /// Who bids for leadership, once for each time it is named.
    #[arg(long, value_delimiter = ',', default_value = "1,2")]
    bids: Vec<u64>,
    /// Leave out the messages that say no: as if all of them were lost.
    #[arg(long)]
    no_refusals: bool,
    /// Members.
    #[arg(long, default_value_t = 3)]
    members: u64,
    /// Give up after so many states.
    #[arg(long, default_value_t = 60_000_000)]
    limit: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Log {
    Raft,
    Paxos,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let bound = Bound {
        members: arguments.members,
        bids: arguments.bids.into_iter().map(NodeId).collect(),
        proposals: arguments.proposals,
        crashes: arguments.crashes,
        states: arguments.limit,
    };
    let refusals = !arguments.no_refusals;
    let wanted = |log| arguments.log.is_none_or(|wanted| wanted == log);
    let raft = !wanted(Log::Raft) || run("raft", &RaftModel { refusals }, &bound);
    let paxos = !wanted(Log::Paxos) || run("paxos", &PaxosModel { refusals }, &bound);
    ExitCode::from(u8::from(!(raft && paxos)))
}

/// Whether all holds.
fn run(name: &str, model: &impl Model, bound: &Bound) -> bool {
    let began = Instant::now();
    let progress = |seen: &Seen| {
        let rate = seen.states as f64 / began.elapsed().as_secs_f64();
        eprintln!(
            "{name}: {} states, {} open, depth {}, {rate:.0}/s",
            seen.states, seen.open, seen.depth
        );
    };
    match explore(model, bound, progress) {
        Ok(seen) => {
            let seconds = began.elapsed().as_secs_f64();
            let all = if seen.cut {
                "and more"
            } else {
                "all there are"
            };
            println!(
                "{name}: {} states, {all}, in {seconds:.1} s: {seen:?}",
                seen.states
            );
            true
        }
        Err(found) => {
            println!("{name}: {}", found.what);
            for (number, line) in found.way.iter().enumerate() {
                println!("{:>4}  {line}", number + 1);
            }
            false
        }
    }
}
