//! `cargo xtask loom`: every interleaving of the hand-made hand-overs, within loom's bounds.

use anyhow::{Context, Result, bail};

use crate::cluster::process::Process;
use crate::workspace::{cargo, root};

/// Runs loom's tests of quorate-handoff, built apart so that the flag does not rebuild everything else.
///
/// # Errors
/// If one fails.
pub(crate) async fn run() -> Result<()> {
    let mut command = cargo();
    command
        .args([
            "test",
            "--release",
            "--package",
            "quorate-handoff",
            "--test",
            "loom_*",
        ])
        .arg("--target-dir")
        .arg(root().join("target").join("loom"))
        .env("RUSTFLAGS", "--cfg loom");
    let mut test = Process::spawn(command, "cargo test").context("cannot start cargo")?;
    let status = test.wait().await?;
    if !status.success() {
        bail!("loom found something ({status})");
    }
    Ok(())
}
