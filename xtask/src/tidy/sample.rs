//! The code in the README is a program that is compiled and run.

use anyhow::{Context, Result};

use super::crates::Workspace;

const EXAMPLE: &str = "crates/quorate/examples/counter.rs";

/// Whether the first Rust block of the README is that example, but for its first documentation.
pub(crate) fn check(workspace: &Workspace) -> Result<Vec<String>> {
    let readme = workspace.read("README.md".as_ref())?;
    let example = workspace.read(EXAMPLE.as_ref())?;
    let shown = first_block(&readme).context("README.md shows no Rust code")?;
    if shown.trim() == without_front(&example).trim() {
        return Ok(Vec::new());
    }
    Ok(vec![format!("the code in README.md is not {EXAMPLE}")])
}

fn first_block(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("```rust\n")?;
    Some(rest.split_once("```\n")?.0)
}

fn without_front(code: &str) -> &str {
    let mut rest = code;
    while let Some((_, after)) = rest
        .starts_with("//!")
        .then(|| rest.split_once('\n'))
        .flatten()
    {
        rest = after;
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_block_is_compared_with_the_code_below_the_front() {
        assert_eq!(without_front("//! A.\n//! B.\n\nuse c;\n").trim(), "use c;");
        assert_eq!(
            first_block("x\n```rust\nuse c;\n```\n```rust\nd\n```\n"),
            Some("use c;\n")
        );
    }
}
