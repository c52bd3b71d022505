//! `cargo xtask tidy`: what must be true of the repository itself. Also run as tests.

mod arrows;
mod crates;
mod fronts;
mod licences;
mod links;
mod sample;
mod scenarios;
mod sizes;
mod words;

use anyhow::Result;

use self::crates::Workspace;
use crate::console::{Console, Tone};

/// A rule of the repository: its name, and what breaks it.
type Rule = (&'static str, fn(&Workspace) -> Result<Vec<String>>);

const RULES: [Rule; 9] = [
    (
        "the arrows between crates point where the architecture says",
        |workspace| Ok(arrows::check(workspace)),
    ),
    (
        "the pure crates are no_std and forbid unsafe code",
        |workspace| Ok(fronts::check_pure(workspace)),
    ),
    (
        "every crate has a front page with a code example",
        |workspace| Ok(fronts::check_examples(workspace)),
    ),
    (
        "files have at most 500 lines, functions at most 70",
        sizes::check,
    ),
    (
        "every dependency has a licence that is allowed",
        licences::check,
    ),
    ("no word stands in a file that must not", |workspace| {
        Ok(words::check(workspace))
    }),
    (
        "every relative link in the documentation leads somewhere",
        links::check,
    ),
    (
        "the code in the README is an example that is compiled",
        sample::check,
    ),
    (
        "every test that docs/scenarios.md names exists",
        scenarios::check,
    ),
];

/// Checks all rules and prints what breaks them; true if nothing does.
///
/// # Errors
/// If a file or the metadata cannot be read.
pub(crate) fn run(console: Console) -> Result<bool> {
    let workspace = Workspace::load()?;
    let mut tidy = true;
    for (name, check) in RULES {
        let broken = check(&workspace)?;
        let (tone, mark) = if broken.is_empty() {
            (Tone::Good, "✓")
        } else {
            (Tone::Bad, "✗")
        };
        println!("{} {name}", console.paint(tone, mark));
        for line in &broken {
            println!("    {line}");
        }
        tidy &= broken.is_empty();
    }
    Ok(tidy)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn the_repository_keeps_every_rule() {
        let workspace = Workspace::load().unwrap();
        for (name, check) in RULES {
            let broken = check(&workspace).unwrap();
            assert!(broken.is_empty(), "{name}:\n{}", broken.join("\n"));
        }
    }
}
