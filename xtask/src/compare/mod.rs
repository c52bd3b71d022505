//! `cargo xtask compare`: servers under the same load and the same faults, and one page about it.

mod aftermath;
mod contender;
mod csv;
mod faults;
mod limits;
mod machine;
mod page;
mod plan;
mod progress;
mod results;
#[cfg(test)]
mod sample;
mod servers;
mod steady;
mod summary;
mod tables;
mod trial;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::TempDir;
use tokio::time::Instant;

use self::contender::Contender;
use self::machine::Machine;
pub(crate) use self::plan::Args;
use self::plan::{Peer, Plan};
use self::progress::Progress;
use self::results::{About, Results};
use self::servers::Programs;
use crate::console::{Console, Tone};
use crate::workspace;

/// Compares; true if every policy kept what it promises.
///
/// # Errors
/// If what is asked for cannot be meant, a program does not build or a cluster does not come up.
pub(crate) async fn run(args: &Args, console: Console) -> Result<bool> {
    let out = args
        .out
        .clone()
        .unwrap_or_else(|| workspace::root().join("target/compare"));
    if args.redraw {
        let results = Results::load(&out)?;
        return conclude(&results, &out, console);
    }
    let plan = Plan::new(args)?;
    fs::create_dir_all(&out).with_context(|| format!("cannot make {}", out.display()))?;
    let out = out.canonicalize()?;
    let (contenders, skipped) = contenders(&plan);
    for line in &skipped {
        println!("{line}");
    }
    let programs = programs(args, &contenders).await?;
    // Beside the results, so that it is on a disk and not in memory.
    let dir = TempDir::with_prefix_in("data-", &out).context("no folder for data")?;
    announce(&plan, &contenders, console);
    let results = measure(&plan, contenders, skipped, &programs, dir.path(), console).await;
    if results.is_err() {
        println!("data and logs are left in {}", dir.keep().display());
    }
    let results = results?;
    results.save(&out)?;
    conclude(&results, &out, console)
}

/// Who can be compared here, and who cannot.
fn contenders(plan: &Plan) -> (Vec<Contender>, Vec<String>) {
    let mut contenders: Vec<_> = plan
        .policies
        .iter()
        .map(|&policy| Contender::Quorate(policy))
        .collect();
    let mut skipped = Vec::new();
    for &peer in &plan.peers {
        match (peer, servers::version(peer)) {
            (Peer::Etcd, Ok(version)) => contenders.push(Contender::Etcd(version)),
            (Peer::Redis, Ok(version)) => contenders.push(Contender::Redis(version)),
            (Peer::None, _) => {}
            (_, Err(why)) => skipped.push(why),
        }
    }
    (contenders, skipped)
}

async fn programs(args: &Args, contenders: &[Contender]) -> Result<Programs> {
    let server = match &args.server {
        Some(server) => server
            .canonicalize()
            .with_context(|| format!("there is no {}", server.display()))?,
        None => workspace::build_server().await?,
    };
    let beside = contenders
        .iter()
        .any(|one| matches!(one, Contender::Etcd(_)));
    let etcd_load = if beside {
        Some(workspace::build_etcd_load().await?)
    } else {
        None
    };
    Ok(Programs { server, etcd_load })
}

fn announce(plan: &Plan, contenders: &[Contender], console: Console) {
    let names: Vec<_> = contenders.iter().map(Contender::name).collect();
    println!("{}", console.paint(Tone::Strong, &names.join(", ")));
    let minutes = plan.takes().as_secs().div_ceil(60);
    println!(
        "{} rounds of {} s a measurement, seed {}: about {minutes} minutes",
        plan.rounds,
        plan.measure.as_secs(),
        plan.seed
    );
}

async fn measure(
    plan: &Plan,
    contenders: Vec<Contender>,
    skipped: Vec<String>,
    programs: &Programs,
    dir: &Path,
    console: Console,
) -> Result<Results> {
    let (began, date) = (Instant::now(), machine::date());
    let mut machine = Machine::look(dir);
    if machine.forgets() {
        println!(
            "{} is in memory: no sync costs anything there",
            dir.display()
        );
    }
    let progress = Progress::new(console, plan.takes());
    let (limits, steady) = steady::run(plan, &contenders, programs, dir, &progress).await?;
    let trials = trial::run(plan, &contenders, programs, dir, &progress).await?;
    progress.finish();
    machine.load.1 = machine::load_average();
    let about = About {
        command: typed(std::env::args().skip(1)),
        commit: machine::commit(&workspace::root()),
        date,
        minutes: began.elapsed().as_secs_f64() / 60.0,
        seed: plan.seed,
        rounds: plan.rounds,
        seconds: plan.measure.as_secs_f64(),
        members: plan.members[0],
        payload: plan.payloads[0],
        machine,
    };
    Ok(Results {
        about,
        contenders,
        skipped,
        limits,
        steady,
        trials,
    })
}

/// The command line, without what says only where things lie on this machine.
fn typed(arguments: impl Iterator<Item = String>) -> String {
    let mut words = vec!["cargo xtask".to_owned()];
    let mut arguments = arguments.peekable();
    while let Some(word) = arguments.next() {
        match word.split('=').next() {
            Some("--out" | "--server") if word.contains('=') => {}
            Some("--out" | "--server") => drop(arguments.next()),
            _ => words.push(word),
        }
    }
    words.join(" ")
}

/// Writes the page and the tables, and prints them; true if every policy kept what it promises.
fn conclude(results: &Results, out: &Path, console: Console) -> Result<bool> {
    let mut files: Vec<(PathBuf, String)> = vec![(out.join("index.html"), page::draw(results))];
    for (name, text) in csv::all(results) {
        files.push((out.join(name), text));
    }
    for (path, text) in &files {
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    tables::print(results, console);
    println!("\n{}", out.join("index.html").display());
    Ok(results.holds())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_is_kept_without_places_of_this_machine() {
        let words = [
            "compare",
            "--out",
            "/a",
            "--quick",
            "--server=/b",
            "--seed",
            "3",
        ];
        let typed = typed(words.into_iter().map(str::to_owned));
        assert_eq!(typed, "cargo xtask compare --quick --seed 3");
    }
}
