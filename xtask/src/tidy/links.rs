//! The links between the documents of the repository.

use std::path::Path;

use anyhow::Result;

use super::crates::{Workspace, has_extension};

/// Every relative link in a Markdown file that leads to no file, or to no heading of it.
pub(crate) fn check(workspace: &Workspace) -> Result<Vec<String>> {
    let mut broken = Vec::new();
    for file in workspace
        .files
        .iter()
        .filter(|file| has_extension(file, "md"))
    {
        for target in links(&workspace.read(file)?) {
            if !resolves(workspace, file, &target) {
                broken.push(format!("{}: {target}", file.display()));
            }
        }
    }
    Ok(broken)
}

fn resolves(workspace: &Workspace, file: &Path, target: &str) -> bool {
    let (path, heading) = target.split_once('#').unwrap_or((target, ""));
    let file = match path {
        "" => file.to_path_buf(),
        path => file
            .parent()
            .map(|folder| folder.join(path))
            .unwrap_or_default(),
    };
    if !workspace.root.join(&file).exists() {
        return false;
    }
    heading.is_empty()
        || headings(workspace, &file)
            .iter()
            .any(|found| found == heading)
}

fn headings(workspace: &Workspace, file: &Path) -> Vec<String> {
    let text = workspace.read(file).unwrap_or_default();
    outside_code(&text)
        .filter(|line| line.starts_with('#'))
        .map(|line| anchor(line.trim_start_matches('#')))
        .collect()
}

/// A heading as its link is written.
fn anchor(heading: &str) -> String {
    let kept = heading
        .trim()
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| {
        if c == ' ' {
            '-'
        } else {
            c.to_ascii_lowercase()
        }
    })
    .collect()
}

/// The targets of all links that stay inside the repository.
fn links(text: &str) -> Vec<String> {
    let mut links = Vec::new();
    for line in outside_code(text) {
        for (before, _) in line.match_indices("](") {
            let rest = &line[before + 2..];
            let Some(end) = rest.find(')') else { continue };
            let target = &rest[..end];
            if !target.contains("://") && !target.starts_with("mailto:") {
                links.push(target.to_owned());
            }
        }
    }
    links
}

fn outside_code(text: &str) -> impl Iterator<Item = &str> {
    let mut code = false;
    text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        code ^= fence;
        !code && !fence
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_links_outside_code_that_stay_inside_count() {
        let text = "[a](docs/a.md) and [b](https://b.c) [c](#here)\n```\n[d](e)\n```\n[f](g.md#h)";
        assert_eq!(links(text), ["docs/a.md", "#here", "g.md#h"]);
    }

    #[test]
    fn a_heading_is_linked_in_lower_case_with_dashes() {
        assert_eq!(anchor(" The file, byte by byte"), "the-file-byte-by-byte");
    }
}
