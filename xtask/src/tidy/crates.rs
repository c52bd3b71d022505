//! The workspace as `cargo metadata` and git see it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::workspace;

/// The crates of the workspace, all they depend on, and the files of the repository.
pub(crate) struct Workspace {
    /// The crates that belong to the workspace.
    pub(crate) members: Vec<Package>,
    /// The crates from elsewhere that they depend on, directly or not.
    pub(crate) foreign: Vec<Package>,
    /// All files under version control and those about to be, relative to the root.
    pub(crate) files: Vec<PathBuf>,
    /// The root.
    pub(crate) root: PathBuf,
}

/// A crate.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Package {
    /// Its name.
    pub(crate) name: String,
    /// Its version.
    pub(crate) version: String,
    /// The SPDX expression of its licence.
    pub(crate) license: Option<String>,
    /// Where its `Cargo.toml` lies.
    pub(crate) manifest_path: PathBuf,
    /// What it asks for.
    pub(crate) dependencies: Vec<Dependency>,
    id: String,
}

/// What a crate asks for.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Dependency {
    /// The name of the crate.
    pub(crate) name: String,
    /// `None`: for the crate itself; else `dev` or `build`.
    pub(crate) kind: Option<String>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_members: BTreeSet<String>,
}

impl Workspace {
    /// Reads them.
    ///
    /// # Errors
    /// If cargo fails, or a folder cannot be listed.
    pub(crate) fn load() -> Result<Self> {
        let metadata: Metadata = serde_json::from_value(workspace::metadata()?)
            .context("cargo metadata has another shape than expected")?;
        let inside = |package: &Package| metadata.workspace_members.contains(&package.id);
        let (members, foreign) = metadata.packages.into_iter().partition(inside);
        let root = workspace::root();
        Ok(Self {
            members,
            foreign,
            files: files(&root)?,
            root,
        })
    }

    /// The text of a file of the repository.
    ///
    /// # Errors
    /// If it cannot be read as text.
    pub(crate) fn read(&self, file: &Path) -> Result<String> {
        fs::read_to_string(self.root.join(file))
            .with_context(|| format!("cannot read {}", file.display()))
    }

    /// The Rust files of the repository.
    pub(crate) fn rust_files(&self) -> impl Iterator<Item = &Path> {
        self.files
            .iter()
            .map(PathBuf::as_path)
            .filter(|file| has_extension(file, "rs"))
    }
}

impl Package {
    /// The text of the crate's root file, if it is a library.
    pub(crate) fn front(&self) -> Option<String> {
        fs::read_to_string(self.manifest_path.with_file_name("src").join("lib.rs")).ok()
    }
}

/// Whether the name of `file` ends so.
pub(crate) fn has_extension(file: &Path, extension: &str) -> bool {
    file.extension().is_some_and(|found| found == extension)
}

/// What git tracks or would, that is there; without git, everything but what is built.
fn files(root: &Path) -> Result<Vec<PathBuf>> {
    let git = Command::new("git")
        .current_dir(root)
        .args([
            "ls-files",
            "--cached",
            "--others",
            "--exclude-standard",
            "-z",
        ])
        .output();
    let Some(output) = git.ok().filter(|output| output.status.success()) else {
        let mut files = Vec::new();
        walk(root, Path::new(""), &mut files)?;
        return Ok(files);
    };
    let names = String::from_utf8(output.stdout).context("a file has a name that is no text")?;
    let files = names.split_terminator('\0').map(PathBuf::from);
    Ok(files.filter(|file| root.join(file).is_file()).collect())
}

fn walk(root: &Path, folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries = fs::read_dir(root.join(folder))
        .with_context(|| format!("cannot list {}", folder.display()))?;
    for entry in entries {
        let entry = entry?;
        let path = folder.join(entry.file_name());
        match entry.file_type()? {
            kind if kind.is_file() => files.push(path),
            kind if kind.is_dir() && !is_generated(&path) => walk(root, &path, files)?,
            _ => {}
        }
    }
    Ok(())
}

fn is_generated(folder: &Path) -> bool {
    [".git", "target"]
        .iter()
        .any(|generated| folder == Path::new(generated))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn without_git_all_files_count_but_what_is_built() {
        let dir = tempfile::tempdir().unwrap();
        for file in ["a.rs", "b/c.md", "target/d", "b/target/e", ".git/f"] {
            let file = dir.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "").unwrap();
        }
        let mut files = Vec::new();
        walk(dir.path(), Path::new(""), &mut files).unwrap();
        files.sort();
        assert_eq!(files, ["a.rs", "b/c.md", "b/target/e"].map(PathBuf::from));
    }
}
