//! `cargo xtask ci`: everything that must pass, step by step; the first failure ends it.

use std::process::Command;
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use std::{fs, iter};

use anyhow::{Context, Result, bail};

use crate::cluster::process::Process;
use crate::console::{Console, Tone};
use crate::workspace::{cargo, root};

struct Step {
    name: String,
    arguments: Vec<String>,
    environment: &'static [(&'static str, &'static str)],
}

/// A step from its name and cargo's command line.
fn step(name: &str, line: &str) -> Step {
    Step {
        name: name.to_owned(),
        arguments: line.split_whitespace().map(str::to_owned).collect(),
        environment: &[],
    }
}

/// The logs that are simulated, bare and behind links, with how many seeds that stay and how many that are new.
const SIMULATED: [(&str, u64, u64); 6] = [
    ("raft", 2000, 500),
    ("paxos", 2000, 500),
    ("primary-backup", 500, 200),
    ("raft-linked", 500, 250),
    ("paxos-linked", 500, 250),
    ("primary-backup-linked", 500, 200),
];
/// The logs whose traces are compared between builds.
const HASHED: [&str; 3] = ["raft", "paxos", "primary-backup"];

fn steps() -> Vec<Step> {
    let tests = if has_nextest() {
        "nextest run --workspace"
    } else {
        "test --workspace --lib --bins --tests"
    };
    let clippy = "clippy --workspace --all-targets -- -D warnings";
    let demo = "xtask demo --seconds 8 --fault kill,pause --clients 16";
    let mut steps = vec![
        step("format", "fmt --all --check"),
        step("tidy", "xtask tidy"),
        step("clippy", clippy),
        step("tests", tests),
        step("doctests", "test --workspace --doc"),
        step("example counter", "run --package quorate --example counter"),
        step("example embed", "run --package quorate --example embed"),
        Step {
            environment: &[("RUSTDOCFLAGS", "-D warnings")],
            ..step("documentation", "doc --workspace --no-deps")
        },
        step("loom", "xtask loom"),
        step("mutants still apply", "xtask mutants --check"),
    ];
    steps.extend(SIMULATED.iter().flat_map(|one| simulations(*one)));
    steps.push(step(
        "all logs and an oracle",
        "xtask sim --differential --seeds 40",
    ));
    steps.push(step("demo", demo));
    steps.push(step("soak", "xtask soak --minutes 1"));
    steps
}

/// The simulator on seeds that stay, and on some that are new each time; the line that is shown runs those again.
fn simulations((log, seeds, fresh_seeds): (&str, u64, u64)) -> [Step; 2] {
    let fixed = format!("xtask sim --log {log} --seeds {seeds} --coverage");
    let from = SystemTime::now().duration_since(UNIX_EPOCH);
    let from = from.map_or(0, |since| since.as_secs());
    let fresh = format!("xtask sim --log {log} --from {from} --seeds {fresh_seeds}");
    [
        step(&format!("simulation of {log}"), &fixed),
        step(&format!("simulation of {log}, fresh"), &fresh),
    ]
}

/// Runs all steps.
///
/// # Errors
/// Names the step that failed.
pub(crate) async fn run(console: Console) -> Result<()> {
    let began = Instant::now();
    let mut table = Vec::new();
    for step in steps() {
        let seconds = step.run(console).await?;
        table.push((step.name, seconds));
    }
    let compared = Instant::now();
    for log in HASHED {
        compare_traces(log).context("simulations differ between builds")?;
    }
    table.push((
        "traces of two builds".to_owned(),
        compared.elapsed().as_secs_f64(),
    ));
    println!("{}", console.paint(Tone::Strong, "\nall steps passed"));
    for (name, seconds) in table {
        println!("{seconds:>7.1} s  {name}");
    }
    println!("{:>7.1} s  in all", began.elapsed().as_secs_f64());
    Ok(())
}

/// An optimised build goes through the same traces as the tests' build, whose hashes are committed.
fn compare_traces(log: &str) -> Result<()> {
    let file = root()
        .join("crates/sim/tests/hashes")
        .join(format!("{}.txt", log.replace('-', "_")));
    let committed = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let seeds = committed.lines().count().to_string();
    let line = [
        "run",
        "--release",
        "--quiet",
        "--package",
        "quorate-sim",
        "--example",
        "sim",
        "--",
    ];
    let printed = cargo()
        .args(line)
        .args(["--log", log, "--hashes", "--seeds", &seeds])
        .output()
        .context("cannot start cargo")?;
    let printed = String::from_utf8_lossy(&printed.stdout);
    for (expected, found) in committed
        .lines()
        .zip(printed.lines().chain(iter::repeat("")))
    {
        if expected != found {
            bail!("{log}: {expected:?} in the tests' build, {found:?} in the optimised one");
        }
    }
    Ok(())
}

impl Step {
    async fn run(&self, console: Console) -> Result<f64> {
        let line = format!("\n== {}: cargo {}", self.name, self.arguments.join(" "));
        println!("{}", console.paint(Tone::Strong, &line));
        let began = Instant::now();
        let mut command = cargo();
        command
            .args(&self.arguments)
            .envs(self.environment.iter().copied());
        let mut process = Process::spawn(command, &self.name).context("cannot start cargo")?;
        let status = process.wait().await?;
        let seconds = began.elapsed().as_secs_f64();
        if !status.success() {
            bail!("{} failed after {seconds:.1} s ({status})", self.name);
        }
        Ok(seconds)
    }
}

fn has_nextest() -> bool {
    let mut command: Command = cargo();
    command.args(["nextest", "--version"]);
    command.output().is_ok_and(|output| output.status.success())
}
