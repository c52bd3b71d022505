//! The root file of each crate.

use super::crates::{Package, Workspace};

/// Crates whose code sees no clock, thread, socket or file.
const PURE: [&str; 5] = [
    "quorate-core",
    "quorate-raft",
    "quorate-paxos",
    "quorate-primary-backup",
    "quorate-replication",
];
/// Nobody embeds these.
const NOT_EMBEDDED: [&str; 3] = ["quorate-benches", "quorate-load", "xtask"];

/// Every pure crate that the compiler does not keep pure.
pub(crate) fn check_pure(workspace: &Workspace) -> Vec<String> {
    let pure = workspace
        .members
        .iter()
        .filter(|package| PURE.contains(&package.name.as_str()));
    pure.flat_map(impurities).collect()
}

fn impurities(package: &Package) -> Vec<String> {
    let front = package.front().unwrap_or_default();
    ["#![no_std]", "#![forbid(unsafe_code)]"]
        .into_iter()
        .filter(|attribute| !front.lines().any(|line| line.trim() == *attribute))
        .map(|attribute| format!("{} does not say {attribute}", package.name))
        .collect()
}

/// Every crate whose front page shows no code.
pub(crate) fn check_examples(workspace: &Workspace) -> Vec<String> {
    let silent = workspace.members.iter().filter(|package| {
        !NOT_EMBEDDED.contains(&package.name.as_str())
            && !package.front().is_some_and(|front| shows_code(&front))
    });
    silent
        .map(|package| format!("{} shows no code on its front page", package.name))
        .collect()
}

/// Whether the crate's documentation holds an example that is compiled.
fn shows_code(front: &str) -> bool {
    front
        .lines()
        .filter_map(|line| line.strip_prefix("//! ```"))
        .any(|language| matches!(language.trim(), "" | "rust" | "no_run" | "rust,no_run"))
        // Pages that lie in a file of their own are included.
        || front.contains("#![doc = include_str!")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drawing_is_no_example() {
        assert!(shows_code("//! Text.\n//! ```\n//! let a = 1;\n//! ```\n"));
        assert!(!shows_code("//! Text.\n//!\n"));
        assert!(!shows_code("//! ```text\n//! a -> b\n"));
    }
}
