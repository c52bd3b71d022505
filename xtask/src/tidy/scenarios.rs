//! The tests that `docs/scenarios.md` names.

use std::collections::HashSet;

use anyhow::Result;

use super::crates::{Workspace, has_extension};

const PAGE: &str = "docs/scenarios.md";

/// Every test named there that does not exist: functions, and scripts by their file names.
pub(crate) fn check(workspace: &Workspace) -> Result<Vec<String>> {
    let page = workspace.read(PAGE.as_ref())?;
    let mut known = HashSet::new();
    for file in &workspace.files {
        if let Some(name) = file.file_name() {
            known.insert(name.to_string_lossy().into_owned());
        }
        if has_extension(file, "rs") {
            let text = workspace.read(file)?;
            known.extend(functions(&text).map(str::to_owned));
        }
    }
    let missing = named(&page).filter(|name| !known.contains(*name));
    Ok(missing.map(|name| format!("{PAGE}: {name}")).collect())
}

/// What stands in backticks and looks like a test: words tied by underscores.
fn named(page: &str) -> impl Iterator<Item = &str> {
    let quoted = page
        .lines()
        .flat_map(|line| line.split('`').skip(1).step_by(2));
    quoted.filter(|name| name.contains('_') && !name.contains(' '))
}

fn functions(text: &str) -> impl Iterator<Item = &str> {
    let after = text.split("fn ").skip(1);
    after.filter_map(|rest| {
        rest.split(|c: char| !c.is_alphanumeric() && c != '_')
            .next()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_backticks_are_looked_for_among_functions() {
        let page = "| a | `cargo xtask tidy` and `a_b`, `c_d.txt` |\nno `word`";
        assert_eq!(named(page).collect::<Vec<_>>(), ["a_b", "c_d.txt"]);
        let text = "#[test]\nasync fn a_b() {}\nfn other<T>(x: fn ()) {}";
        assert_eq!(
            functions(text).take(2).collect::<Vec<_>>(),
            ["a_b", "other"]
        );
    }
}
