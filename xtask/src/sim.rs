//! `cargo xtask sim` and `cargo xtask mutants`: the simulator's own command lines, built in release mode.

use std::ffi::OsString;

use anyhow::{Context, Result};
use clap::Args;

use crate::cluster::process::Process;
use crate::workspace::{cargo, root};

/// What is handed on as it is; `--help` too.
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub(crate) struct HandedOn {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    arguments: Vec<OsString>,
}

impl HandedOn {
    /// The arguments, as they were given.
    pub(crate) fn arguments(&self) -> &[OsString] {
        &self.arguments
    }
}

/// Runs replicated logs under faults, one seed a run; whether all held.
///
/// # Errors
/// If cargo cannot be started.
pub(crate) async fn run(handed_on: &HandedOn) -> Result<bool> {
    example("sim", &handed_on.arguments).await
}

/// Puts known bugs back, one by one, and counts the seeds until the simulator finds each; whether it found all.
///
/// # Errors
/// If cargo cannot be started.
pub(crate) async fn mutants(handed_on: &HandedOn) -> Result<bool> {
    let mut arguments = handed_on.arguments.clone();
    let says_where = |argument: &OsString| {
        let argument = argument.to_string_lossy();
        argument == "--scratch" || argument.starts_with("--scratch=")
    };
    if !arguments.iter().any(says_where) {
        arguments.push("--scratch".into());
        arguments.push(root().join("target").join("mutants").into());
    }
    example("mutants", &arguments).await
}

/// Runs an example of the simulator's crate; whether it ended well.
///
/// # Errors
/// If cargo cannot be started.
pub(crate) async fn example(name: &str, arguments: &[OsString]) -> Result<bool> {
    let mut command = cargo();
    command
        .args(["run", "--release", "--quiet", "--package", "quorate-sim"])
        .args(["--example", name, "--"])
        .args(arguments);
    let mut process = Process::spawn(command, name).context("cannot start cargo")?;
    Ok(process.wait().await?.success())
}
