//! Quorate and others, side by side, in one run.
//!
//! ```text
//! cargo run --release --manifest-path benches/peers/Cargo.toml -- cores
//! cargo run --release --manifest-path benches/peers/Cargo.toml -- cluster
//! cargo run --release --manifest-path benches/peers/Cargo.toml -- servers
//! ```
#![forbid(unsafe_code)]

mod cluster;
mod cores;
mod table;

use clap::Parser;

/// Quorate and others, side by side: alternating rounds, medians and spreads.
#[derive(Debug, Parser)]
enum Command {
    /// Bare protocols, members in one thread: raft (raft-rs), omnipaxos.
    Cores(cores::Plan),
    /// Clusters in one process, memory only: openraft.
    Cluster(cluster::Plan),
}

fn main() -> anyhow::Result<()> {
    match Command::parse() {
        Command::Cores(plan) => cores::run(&plan),
        Command::Cluster(plan) => return cluster::run(&plan),
    }
    Ok(())
}
