//! Commands of the Quorate workspace: `cargo xtask <verb>`.

mod ci;
mod cluster;
mod compare;
mod console;
mod demo;
mod explore;
mod loom;
mod sim;
mod soak;
mod tidy;
mod workspace;

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use crate::console::{Console, Tone};

/// Commands of the Quorate workspace.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Demo(demo::Args),
    Compare(Box<compare::Args>),
    Soak(soak::Args),
    #[command(subcommand)]
    Cluster(cluster::Verb),
    /// Run everything that must pass before a change goes in, step by step.
    Ci,
    /// Check the repository's own shape.
    Tidy,
    /// Run loom's exhaustive checks of quorate-handoff.
    Loom,
    /// Run replicated logs in the simulator, seed by seed, or one seed again: `cargo xtask sim --help`.
    Sim(sim::HandedOn),
    /// Walk through every order in which few things can happen: `cargo xtask explore --help`.
    Explore(sim::HandedOn),
    /// Put known bugs back and see the simulator find them: `cargo xtask mutants --help`.
    Mutants(sim::HandedOn),
}

/// The main thread stays until the end: the processes that it starts die with it.
fn main() -> ExitCode {
    let verb = Cli::parse().verb;
    let console = Console::detect();
    let runtime = tokio::runtime::Runtime::new().expect("the system grants threads and epoll");
    let outcome = runtime.block_on(until_interrupted(run(&verb, console)));
    // What still runs on other threads has nothing to finish.
    runtime.shutdown_background();
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{} {error:#}", console.paint(Tone::Bad, "error:"));
            ExitCode::FAILURE
        }
    }
}

async fn run(verb: &Verb, console: Console) -> Result<ExitCode> {
    let holds = match verb {
        Verb::Demo(args) => demo::run(args, console).await?,
        Verb::Compare(args) => compare::run(args, console).await?,
        Verb::Soak(args) => soak::run(args, console).await?,
        Verb::Cluster(verb) => cluster::run(verb).await.map(|()| true)?,
        Verb::Ci => ci::run(console).await.map(|()| true)?,
        Verb::Tidy => tidy::run(console)?,
        Verb::Loom => loom::run().await.map(|()| true)?,
        Verb::Sim(handed_on) => sim::run(handed_on).await?,
        Verb::Explore(handed_on) => explore::run(handed_on).await?,
        Verb::Mutants(handed_on) => sim::mutants(handed_on).await?,
    };
    Ok(if holds {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Runs `work` to its end, or drops it, and with it every process it holds, when a signal asks this process to end.
async fn until_interrupted(work: impl Future<Output = Result<ExitCode>>) -> Result<ExitCode> {
    let listen = |kind| signal(kind).context("cannot listen for signals");
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let mut hangup = listen(SignalKind::hangup())?;
    let number = tokio::select! {
        outcome = work => return outcome,
        _ = interrupt.recv() => SignalKind::interrupt().as_raw_value(),
        _ = terminate.recv() => SignalKind::terminate().as_raw_value(),
        _ = hangup.recv() => SignalKind::hangup().as_raw_value(),
    };
    // As a shell reports a process that a signal has ended.
    Ok(ExitCode::from(
        128 + u8::try_from(number).expect("these three are small"),
    ))
}
