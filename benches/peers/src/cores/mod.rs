//! The bare protocols side by side: one thread, memory only, the workload of [`quorate_benches::cores`].

mod omni;
mod raft_rs;

use std::time::Duration;

use comfy_table::Table;
use quorate_benches::cores::{Cores, Members, Shape};
use quorate_benches::rounds::{Rate, alternate, pace, thread_time};
use quorate_paxos::Paxos;
use quorate_raft::Raft;

use self::omni::{Inline, Omni, Shared};
use self::raft_rs::RaftRs;
use crate::table::{self, cell};

/// Commands between two looks at the clock, which is a system call.
const COMMANDS: u64 = 2048;

/// What is measured, and how long.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Plan {
    /// Rounds of each contender in each cell.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Milliseconds of processor time of one round.
    #[arg(long, default_value_t = 150)]
    millis: u64,
    /// One payload only, in bytes.
    #[arg(long)]
    payload: Option<usize>,
    /// One batch only, in commands.
    #[arg(long)]
    batch: Option<u64>,
    /// Turns under way instead of the default.
    #[arg(long)]
    turns: Option<u64>,
}

struct Contender {
    name: &'static str,
    cores: Box<dyn Cores>,
}

/// Where a contender stands in the table: the variants of one library share a column.
const OURS: [&str; 2] = ["raft", "paxos"];
const PEERS: [&str; 3] = ["raft-rs", "omnipaxos", "omnipaxos, array"];

/// Measures all cells and prints them.
pub(crate) fn run(plan: &Plan) {
    println!(
        "three members in one thread, memory only; thousands of entries a second of processor time; medians of {} \
         alternating rounds, in brackets the spread",
        plan.rounds
    );
    let mut table = table::of(&[
        "payload",
        "batch",
        "raft",
        "paxos",
        "raft-rs",
        "omnipaxos",
        "omnipaxos, array",
        "raft / best peer",
        "paxos / best peer",
    ]);
    for payload in Shape::PAYLOADS {
        for batch in Shape::BATCHES {
            if plan.payload.is_none_or(|only| only == payload)
                && plan.batch.is_none_or(|only| only == batch)
            {
                let mut shape = Shape::new(payload, batch);
                shape.turns = plan.turns.unwrap_or(shape.turns);
                row(&mut table, plan, shape);
            }
        }
    }
    println!("{table}");
}

fn contenders(shape: Shape) -> Vec<Contender> {
    let contender = |name, cores| Contender { name, cores };
    let mut all: Vec<Contender> = vec![
        contender("raft", Box::new(Members::<Raft>::new(shape))),
        contender("paxos", Box::new(Members::<Paxos>::new(shape))),
        contender("raft-rs", Box::new(RaftRs::new(shape))),
    ];
    for gathered in [false, true]
        .into_iter()
        .take(1 + usize::from(shape.batch > 1))
    {
        all.push(contender(
            "omnipaxos",
            Box::new(Omni::<Shared>::new(shape, gathered)),
        ));
        match shape.payload {
            16 => all.push(contender(
                "omnipaxos, array",
                Box::new(Omni::<Inline<16>>::new(shape, gathered)),
            )),
            256 => all.push(contender(
                "omnipaxos, array",
                Box::new(Omni::<Inline<256>>::new(shape, gathered)),
            )),
            _ => all.push(contender(
                "omnipaxos, array",
                Box::new(Omni::<Inline<4096>>::new(shape, gathered)),
            )),
        }
    }
    all
}

fn row(table: &mut Table, plan: &Plan, shape: Shape) {
    let mut contenders = contenders(shape);
    let time = Duration::from_millis(plan.millis);
    let rates = alternate(plan.rounds, &mut contenders, |contender| {
        pace(time, thread_time, || {
            let mut commands = 0;
            while commands < COMMANDS {
                commands += contender.cores.round();
            }
            commands
        })
    });
    let best = |name: &str| {
        let named = contenders
            .iter()
            .zip(&rates)
            .filter(|(contender, _)| contender.name == name);
        let best: Option<Rate> = named
            .map(|(_, rate)| *rate)
            .max_by(|a, b| a.median.total_cmp(&b.median));
        best.expect("every column has a contender")
    };
    let peer = PEERS
        .map(best)
        .iter()
        .map(|rate| rate.median)
        .fold(0.0, f64::max);
    let mut cells = vec![shape.payload.to_string(), shape.batch.to_string()];
    cells.extend(OURS.iter().chain(&PEERS).map(|name| cell(best(name))));
    cells.extend(OURS.map(|name| format!("{:.2}", best(name).median / peer)));
    eprintln!("{}", cells.join(" | "));
    table.add_row(cells);
}
