//! Quorate and others, side by side, in one run.
//!
//! ```text
//! cargo run --release --manifest-path benches/peers/Cargo.toml -- cores
//! cargo run --release --manifest-path benches/peers/Cargo.toml -- cluster
//! ```
//!
//! `etcd` is what `cargo xtask compare` drives etcd with.
#![forbid(unsafe_code)]

#[cfg(feature = "libraries")]
mod cluster;
#[cfg(feature = "libraries")]
mod cores;
#[cfg(feature = "etcd")]
mod etcd;
#[cfg(feature = "libraries")]
mod table;

use clap::Parser;

/// Quorate and others, side by side: alternating rounds, medians and spreads.
#[derive(Debug, Parser)]
enum Command {
    /// Bare protocols, members in one thread: raft (raft-rs), omnipaxos.
    #[cfg(feature = "libraries")]
    Cores(cores::Plan),
    /// Clusters in one process, memory only: openraft.
    #[cfg(feature = "libraries")]
    Cluster(cluster::Plan),
    /// A load on a cluster of etcd that runs already, and what it measured as JSON.
    #[cfg(feature = "etcd")]
    Etcd(etcd::Plan),
}

fn main() -> anyhow::Result<()> {
    match Command::parse() {
        #[cfg(feature = "libraries")]
        Command::Cores(plan) => {
            cores::run(&plan);
            Ok(())
        }
        #[cfg(feature = "libraries")]
        Command::Cluster(plan) => cluster::run(&plan),
        #[cfg(feature = "etcd")]
        Command::Etcd(plan) => etcd::run(&plan),
    }
}
