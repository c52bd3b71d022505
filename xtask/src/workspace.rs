//! Where the workspace lies, and the cargo runs that the verbs need.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::cluster::layout;
use crate::cluster::process::Process;

/// The folder with the workspace's `Cargo.toml`.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask lies one folder below the root of the workspace")
        .to_path_buf()
}

/// The cargo that runs this program, or the one on the path.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Builds the server in release mode and returns its path. Cargo shows its own progress on stderr.
///
/// # Errors
/// If the build fails.
pub(crate) async fn build_server() -> Result<PathBuf> {
    build("quorate-kv", &["--package", "quorate-kv"]).await
}

/// Builds the load on etcd in release mode and returns its path; it lies in a workspace of its own.
///
/// # Errors
/// If the build fails.
pub(crate) async fn build_etcd_load() -> Result<PathBuf> {
    let features = ["--no-default-features", "--features", "etcd"];
    let place = [
        "--manifest-path",
        "benches/peers/Cargo.toml",
        "--target-dir",
    ];
    let target = target_dir()?;
    let target = target
        .to_str()
        .context("the target folder has no plain name")?;
    build(
        "quorate-peers",
        &[&place[..], &[target], &features].concat(),
    )
    .await
}

async fn build(name: &str, arguments: &[&str]) -> Result<PathBuf> {
    let mut command = cargo();
    command
        .args(["build", "--release", "--bin", name])
        .args(arguments);
    let mut build = Process::spawn(command, "cargo build").context("cannot start cargo")?;
    let status = build.wait().await?;
    if !status.success() {
        bail!("{name} does not build ({status})");
    }
    let binary = target_dir()?.join("release").join(name);
    if !binary.is_file() {
        bail!("cargo built no {}", binary.display());
    }
    Ok(binary)
}

/// What `cargo metadata` says about the workspace and everything it depends on.
///
/// # Errors
/// If cargo fails or says something else than JSON.
pub(crate) fn metadata() -> Result<serde_json::Value> {
    let output = cargo()
        .args(["metadata", "--format-version", "1", "--locked"])
        .output()
        .context("cannot start cargo metadata")?;
    if !output.status.success() {
        bail!(
            "cargo metadata: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    serde_json::from_slice(&output.stdout).context("cargo metadata is no JSON")
}

fn target_dir() -> Result<PathBuf> {
    let output = cargo()
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .output()
        .context("cannot start cargo metadata")?;
    let metadata: serde_json::Value =
        serde_json::from_slice(&output.stdout).context("cargo metadata is no JSON")?;
    let dir = metadata["target_directory"]
        .as_str()
        .context("cargo metadata names no target")?;
    Ok(PathBuf::from(dir))
}

/// The folder for the data and logs of members, and the guard that removes it again if nobody wants to keep it: this one,
/// which has to be empty, or a temporary one.
///
/// # Errors
/// If there is no such folder to be had.
pub(crate) fn data_folder(dir: Option<&Path>, keep: bool) -> Result<(PathBuf, Option<TempDir>)> {
    if let Some(dir) = dir {
        if layout::is_occupied(dir) {
            bail!("{} is not empty", dir.display());
        }
        std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        return Ok((dir.canonicalize()?, None));
    }
    let dir = TempDir::with_prefix("quorate-").context("no temporary folder")?;
    if keep {
        return Ok((dir.keep(), None));
    }
    Ok((dir.path().to_path_buf(), Some(dir)))
}
