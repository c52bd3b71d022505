//! Clusters in one process, memory only, asked by clients that each wait for one answer.
//!
//! Quorate's members run as they always do, every message encoded and framed with a checksum, over pipes in memory.
//! Openraft is given what its own benchmark gives it: members that call each other, nothing encoded.

mod openraft;

use std::time::Duration;

use anyhow::Result;
use quorate_benches::cluster::{CLIENTS, Links, Nodes, Service, closed_loop};
use quorate_benches::rounds::Rate;
use quorate_core::Durability;
use quorate_paxos::Paxos;
use quorate_raft::Raft;
use tempfile::TempDir;

use self::openraft::Openraft;
use crate::table::{self, cell};

/// What is measured, and how long.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Plan {
    /// Rounds of each contender in each cell.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Milliseconds of one round.
    #[arg(long, default_value_t = 500)]
    millis: u64,
    /// Bytes of a command.
    #[arg(long, default_value_t = 16)]
    payload: usize,
}

/// Measures all cells and prints them.
///
/// # Errors
/// If there is no runtime, or a cluster does not start.
pub(crate) fn run(plan: &Plan) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(measure(plan))
}

async fn measure(plan: &Plan) -> Result<()> {
    println!(
        "three members in one process, memory only, {} B commands; thousands of commits a second; medians of {} \
         alternating rounds, in brackets the spread",
        plan.payload, plan.rounds
    );
    let dir = TempDir::new()?;
    let raft = Nodes::start::<Raft>(3, Durability::Memory, Links::Pipes, &dir).await;
    let paxos = Nodes::start::<Paxos>(3, Durability::Memory, Links::Pipes, &dir).await;
    let other = Openraft::start(3).await?;
    let mut table = table::of(&[
        "clients",
        "raft",
        "paxos",
        "openraft",
        "raft / openraft",
        "paxos / openraft",
    ]);
    for clients in CLIENTS {
        let mut rounds = [Vec::new(), Vec::new(), Vec::new()];
        for round in 0..=plan.rounds {
            let rates = [
                rate(&raft, clients, plan).await,
                rate(&paxos, clients, plan).await,
                rate(&other, clients, plan).await,
            ];
            // The first is for warming up.
            if round > 0 {
                rounds
                    .iter_mut()
                    .zip(rates)
                    .for_each(|(rounds, rate)| rounds.push(rate));
            }
        }
        let [raft, paxos, other] = rounds.map(Rate::of);
        let ratio = |rate: Rate| format!("{:.2}", rate.median / other.median);
        let mut cells = vec![clients.to_string()];
        cells.extend([
            cell(raft),
            cell(paxos),
            cell(other),
            ratio(raft),
            ratio(paxos),
        ]);
        eprintln!("{}", cells.join(" | "));
        table.add_row(cells);
    }
    println!("{table}");
    raft.stop().await;
    paxos.stop().await;
    other.stop().await
}

async fn rate<S: Service>(service: &S, clients: usize, plan: &Plan) -> f64 {
    closed_loop(
        service,
        clients,
        plan.payload,
        Duration::from_millis(plan.millis),
    )
    .await
}
