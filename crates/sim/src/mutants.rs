//! Bugs put back on purpose: how good the simulator is at finding them.
//!
//! Each mutant is a patch with a head of `Name: value` lines: which bug it is (`KNOWN_BUGS`), where it happened, and
//! which invariant should catch it. The workspace is copied once; each patch is applied there, the simulator
//! built with it and run until a seed fails, and the patch taken back.

use std::fmt::Write;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// One bug.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mutant {
    /// The name of its file.
    pub name: String,
    /// Its row in `KNOWN_BUGS`, or `own`.
    pub bug: String,
    /// Who had it.
    pub reference: String,
    /// The invariant that should catch it.
    pub caught_by: String,
    /// The log that runs with it, as the simulator's command line names it.
    pub log: String,
    /// Its file.
    pub patch: PathBuf,
}

/// Where mutants are built and run.
#[derive(Clone, Debug)]
pub struct Workshop {
    /// The workspace.
    pub source: PathBuf,
    /// Where it is copied to; the build goes into `target` there.
    pub scratch: PathBuf,
    /// After how many seeds a mutant counts as not found.
    pub seeds: u64,
}

/// What became of a mutant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// A seed failed.
    Killed {
        /// Which.
        seed: u64,
        /// The how-manyeth it was.
        after: u64,
        /// What failed.
        invariant: String,
    },
    /// None did.
    Survived,
    /// This seed failed, but it fails without the mutant as well.
    FailsAnyway(u64),
    /// The patch does not fit the code any more.
    DoesNotApply(String),
    /// The patched code does not build.
    DoesNotBuild(String),
}

/// What of the workspace is copied.
const COPIED: [&str; 5] = ["Cargo.toml", "Cargo.lock", "crates", "benches", "xtask"];

impl Mutant {
    /// All mutants in a directory, by name.
    pub fn all(directory: &Path) -> io::Result<Vec<Self>> {
        let mut all = Vec::new();
        for entry in fs::read_dir(directory)? {
            let patch = entry?.path();
            if patch.extension().is_some_and(|ending| ending == "patch") {
                all.push(Self::read(patch)?);
            }
        }
        all.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(all)
    }

    fn read(patch: PathBuf) -> io::Result<Self> {
        let text = fs::read_to_string(&patch)?;
        let field = |name: &str| {
            let mut head = text.lines().take_while(|line| !line.starts_with("---"));
            let value = head.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            value.map(str::to_owned).ok_or_else(|| {
                io::Error::other(format!(
                    "{}: no line `{name}: …` in its head",
                    patch.display()
                ))
            })
        };
        let name = patch
            .file_stem()
            .map(|stem| stem.to_string_lossy().into_owned());
        Ok(Self {
            name: name.unwrap_or_default(),
            bug: field("Bug")?,
            reference: field("Reference")?,
            caught_by: field("Caught by")?,
            log: field("Log")?,
            patch,
        })
    }
}

impl Workshop {
    /// Copies the workspace anew. What was built before stays.
    pub fn set_up(&self) -> io::Result<()> {
        for name in COPIED {
            let (from, to) = (self.source.join(name), self.scratch.join(name));
            if to.is_dir() {
                fs::remove_dir_all(&to)?;
            }
            copy(&from, &to)?;
        }
        Ok(())
    }

    /// Whether the patch still fits, without changing anything.
    pub fn fits(&self, mutant: &Mutant) -> io::Result<Result<(), String>> {
        self.patch(mutant, &["--dry-run"])
    }

    /// Builds the code as it is, and keeps the program: a seed that finds a mutant has to pass there.
    ///
    /// # Errors
    /// If it does not build, or the program cannot be kept.
    pub fn keep_original(&self) -> io::Result<()> {
        self.build()?.map_err(io::Error::other)?;
        fs::copy(self.simulator(), self.original()).map(drop)
    }

    /// Applies the mutant, runs seeds until one fails, takes it back. [`keep_original`](Self::keep_original) comes first.
    pub fn judge(&self, mutant: &Mutant) -> io::Result<Fate> {
        if let Err(why) = self.patch(mutant, &[])? {
            return Ok(Fate::DoesNotApply(why));
        }
        let fate = self.build_and_run(&mutant.log);
        let fate = fate.and_then(|fate| self.unless_it_fails_anyway(mutant, fate));
        if let Err(why) = self.patch(mutant, &["--reverse"])? {
            return Err(io::Error::other(format!(
                "{} cannot be taken back: {why}",
                mutant.name
            )));
        }
        fate
    }

    fn patch(&self, mutant: &Mutant, more: &[&str]) -> io::Result<Result<(), String>> {
        let mut patch = Command::new("patch");
        patch.args([
            "--strip=1",
            "--silent",
            "--force",
            "--reject-file=-",
            "--no-backup-if-mismatch",
        ]);
        patch
            .args(more)
            .arg("--directory")
            .arg(&self.scratch)
            .arg("--input")
            .arg(&mutant.patch);
        let done = patch.output()?;
        let why = String::from_utf8_lossy(&done.stdout).trim().to_owned();
        Ok(if done.status.success() {
            Ok(())
        } else {
            Err(why)
        })
    }

    fn build_and_run(&self, log: &str) -> io::Result<Fate> {
        if let Err(why) = self.build()? {
            return Ok(Fate::DoesNotBuild(why));
        }
        simulate(&self.simulator(), log, 0, self.seeds)
    }

    fn unless_it_fails_anyway(&self, mutant: &Mutant, fate: Fate) -> io::Result<Fate> {
        let Fate::Killed { seed, .. } = fate else {
            return Ok(fate);
        };
        let original = simulate(&self.original(), &mutant.log, seed, 1)?;
        Ok(if original == Fate::Survived {
            fate
        } else {
            Fate::FailsAnyway(seed)
        })
    }

    fn target(&self) -> PathBuf {
        self.scratch.join("target")
    }

    fn simulator(&self) -> PathBuf {
        self.target().join("release/examples/sim")
    }

    fn original(&self) -> PathBuf {
        self.target().join("original")
    }

    /// Builds the simulator from what is in the scratch directory; if it does not build, the first line that says why.
    fn build(&self) -> io::Result<Result<(), String>> {
        let built = Command::new("cargo")
            .current_dir(&self.scratch)
            .args(["build", "--release", "--quiet"])
            .args(["-p", "quorate-sim", "--example", "sim"])
            .env("CARGO_TARGET_DIR", self.target())
            // The build is what takes long, not the seeds.
            .envs([
                ("CARGO_INCREMENTAL", "1"),
                ("CARGO_PROFILE_RELEASE_LTO", "off"),
                ("CARGO_PROFILE_RELEASE_DEBUG", "0"),
                ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1"),
                ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "256"),
            ])
            .output()?;
        if built.status.success() {
            return Ok(Ok(()));
        }
        let why = String::from_utf8_lossy(&built.stderr);
        let mut lines = why.lines();
        let line = lines.find(|line| line.starts_with("error"));
        Ok(Err(line.unwrap_or_default().to_owned()))
    }
}

/// Runs seeds until one fails.
fn simulate(simulator: &Path, log: &str, from: u64, seeds: u64) -> io::Result<Fate> {
    let run = Command::new(simulator)
        .args(["--log", log, "--jobs", "1", "--failures", "1"])
        .args(["--from", &from.to_string(), "--seeds", &seeds.to_string()])
        .output()?;
    Ok(fate(&String::from_utf8_lossy(&run.stdout)))
}

/// Reads what the simulator printed.
fn fate(printed: &str) -> Fate {
    let failed = printed.lines().find_map(|line| {
        let (seed, rest) = line.strip_prefix("FAILED seed ")?.split_once(" after ")?;
        let (_, violation) = rest.split_once(" s: ")?;
        let invariant = violation.split(": ").next()?;
        Some((seed.parse::<u64>().ok()?, invariant.to_owned()))
    });
    match failed {
        Some((seed, invariant)) => Fate::Killed {
            seed,
            after: seed + 1,
            invariant,
        },
        None => Fate::Survived,
    }
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    if !from.is_dir() {
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent)?;
        }
        return fs::copy(from, to).map(drop);
    }
    for entry in fs::read_dir(from)? {
        let name = entry?.file_name();
        if name != "target" && name != ".git" {
            copy(&from.join(&name), &to.join(&name))?;
        }
    }
    Ok(())
}

/// The scoreboard as a table in Markdown.
pub fn scoreboard(judged: &[(Mutant, Fate)]) -> String {
    let mut table = String::from(
        "| mutant | log | bug | reference | expected | killed by | after seeds |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for (mutant, fate) in judged {
        let (by, after) = match fate {
            Fate::Killed {
                after, invariant, ..
            } => (invariant.clone(), after.to_string()),
            Fate::Survived => ("**survived**".to_owned(), String::new()),
            Fate::FailsAnyway(seed) => (format!("**seed {seed} fails anyway**"), String::new()),
            Fate::DoesNotApply(why) | Fate::DoesNotBuild(why) => {
                (format!("**{why}**"), String::new())
            }
        };
        let Mutant {
            name,
            bug,
            reference,
            caught_by,
            log,
            ..
        } = mutant;
        writeln!(
            table,
            "| {name} | {log} | {bug} | {reference} | {caught_by} | {by} | {after} |"
        )
        .expect("a string takes all");
    }
    table
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_failure_is_read_back_from_what_the_simulator_prints() {
        let printed =
            "12 seeds, …\n  3 seeds: x\nFAILED seed 11 after 4.2 s: logs match (R3): two entries\n";
        let killed = Fate::Killed {
            seed: 11,
            after: 12,
            invariant: "logs match (R3)".to_owned(),
        };
        assert_eq!(fate(printed), killed);
        assert_eq!(fate("5000 seeds\n"), Fate::Survived);
    }

    #[test]
    fn every_mutant_says_what_it_is_and_what_should_catch_it() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("mutants");
        let all = Mutant::all(&directory).expect("the mutants of this crate");
        assert!(all.len() >= 20, "{}", all.len());
        assert!(all.iter().filter(|mutant| mutant.bug == "own").count() >= 10);
        let mut logs = BTreeMap::new();
        for mutant in &all {
            *logs.entry(&mutant.log).or_insert(0) += 1;
        }
        let enough = logs.values().filter(|mutants| **mutants >= 10);
        assert!(enough.count() >= 2, "{logs:?}");
    }
}
