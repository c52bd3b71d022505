//! `cargo xtask explore`: every order in which few things can happen, by the simulator's own command line.

use anyhow::Result;

use crate::sim::{HandedOn, example};

/// Walks through all states of a small cluster, for both logs or one; whether all held.
///
/// # Errors
/// If cargo cannot be started.
pub(crate) async fn run(handed_on: &HandedOn) -> Result<bool> {
    example("explore", handed_on.arguments()).await
}
