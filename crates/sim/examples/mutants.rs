//! Puts known bugs back and counts the seeds until the simulator finds each.
//!
//! ```text
//! cargo xtask mutants --only paxos
//! ```

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use quorate_sim::mutants::{Fate, Mutant, Workshop, scoreboard};

/// Runs the mutants of this crate.
#[derive(Parser)]
struct Arguments {
    /// Where the workspace is copied to and built.
    #[arg(long)]
    scratch: PathBuf,
    /// After how many seeds a mutant counts as not found.
    #[arg(long, default_value_t = 5000)]
    seeds: u64,
    /// Only mutants whose name contains one of these.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Only whether every patch still applies.
    #[arg(long)]
    check: bool,
}

fn main() -> std::io::Result<ExitCode> {
    let arguments = Arguments::parse();
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let workshop = Workshop {
        source: here.join("../.."),
        scratch: arguments.scratch,
        seeds: arguments.seeds,
    };
    std::fs::create_dir_all(&workshop.scratch)?;
    workshop.set_up()?;
    let mut mutants = Mutant::all(&here.join("mutants"))?;
    let wanted = |mutant: &Mutant| arguments.only.iter().any(|part| mutant.name.contains(part));
    mutants.retain(|mutant| arguments.only.is_empty() || wanted(mutant));
    if arguments.check {
        return check(&workshop, &mutants);
    }
    workshop.keep_original()?;
    let mut judged = Vec::new();
    for mutant in mutants {
        let fate = workshop.judge(&mutant)?;
        eprintln!("{:<45} {fate:?}", mutant.name);
        judged.push((mutant, fate));
    }
    println!("{}", scoreboard(&judged));
    let killed = judged
        .iter()
        .all(|(_, fate)| matches!(fate, Fate::Killed { .. }));
    Ok(if killed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn check(workshop: &Workshop, mutants: &[Mutant]) -> std::io::Result<ExitCode> {
    let mut code = ExitCode::SUCCESS;
    for mutant in mutants {
        if let Err(why) = workshop.fits(mutant)? {
            println!("{} does not apply any more: {why}", mutant.name);
            code = ExitCode::FAILURE;
        }
    }
    Ok(code)
}
