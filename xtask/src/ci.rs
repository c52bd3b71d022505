//! `cargo xtask ci`: everything that must pass, step by step; the first failure ends it.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::cluster::process::Process;
use crate::console::{Console, Tone};
use crate::workspace::cargo;

struct Step {
    name: &'static str,
    arguments: &'static [&'static str],
    environment: &'static [(&'static str, &'static str)],
}

const fn step(name: &'static str, arguments: &'static [&'static str]) -> Step {
    Step {
        name,
        arguments,
        environment: &[],
    }
}

const FORMAT: Step = step("format", &["fmt", "--all", "--check"]);
const TIDY: Step = step("tidy", &["xtask", "tidy"]);
const CLIPPY: Step = step(
    "clippy",
    &[
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ],
);
const NEXTEST: Step = step("tests", &["nextest", "run", "--workspace"]);
const TESTS: Step = step(
    "tests",
    &["test", "--workspace", "--lib", "--bins", "--tests"],
);
const EXAMPLES: [Step; 2] = [
    step(
        "example counter",
        &["run", "--package", "quorate", "--example", "counter"],
    ),
    step(
        "example embed",
        &["run", "--package", "quorate", "--example", "embed"],
    ),
];
const DOCTESTS: Step = step("doctests", &["test", "--workspace", "--doc"]);
const DOC: Step = Step {
    name: "documentation",
    arguments: &["doc", "--workspace", "--no-deps"],
    environment: &[("RUSTDOCFLAGS", "-D warnings")],
};
const LOOM: Step = step("loom", &["xtask", "loom"]);
const DEMO: Step = step(
    "demo",
    &[
        "xtask",
        "demo",
        "--seconds",
        "8",
        "--fault",
        "kill,pause",
        "--clients",
        "16",
    ],
);

/// Runs all steps.
///
/// # Errors
/// Names the step that failed.
pub(crate) async fn run(console: Console) -> Result<()> {
    let tests = if has_nextest() { NEXTEST } else { TESTS };
    let began = Instant::now();
    let mut table = Vec::new();
    let [counter, embed] = EXAMPLES;
    for step in [
        FORMAT, TIDY, CLIPPY, tests, DOCTESTS, counter, embed, DOC, LOOM, DEMO,
    ] {
        let seconds = step.run(console).await?;
        table.push((step.name, seconds));
    }
    println!("{}", console.paint(Tone::Strong, "\nall steps passed"));
    for (name, seconds) in table {
        println!("{seconds:>7.1} s  {name}");
    }
    println!("{:>7.1} s  in all", began.elapsed().as_secs_f64());
    Ok(())
}

impl Step {
    async fn run(&self, console: Console) -> Result<f64> {
        let line = format!("\n== {}: cargo {}", self.name, self.arguments.join(" "));
        println!("{}", console.paint(Tone::Strong, &line));
        let began = Instant::now();
        let mut command = cargo();
        command
            .args(self.arguments)
            .envs(self.environment.iter().copied());
        let mut process = Process::spawn(command, self.name).context("cannot start cargo")?;
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
