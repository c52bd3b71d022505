//! Where a run took place: figures mean nothing without.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};

/// The machine, as far as it matters.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Machine {
    /// Its processor.
    pub(crate) processor: String,
    /// How many of them.
    pub(crate) cores: usize,
    /// Its memory, in mebibytes.
    pub(crate) memory_mib: u64,
    /// Its kernel.
    pub(crate) kernel: String,
    /// The file system that the members' data was on.
    pub(crate) file_system: String,
    /// Processes that wanted to run on average over a minute: before and after.
    pub(crate) load: (f64, f64),
}

impl Machine {
    /// This one, with data in `dir`.
    pub(crate) fn look(dir: &Path) -> Self {
        Self {
            processor: field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".to_owned()),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory_mib: field("/proc/meminfo", "MemTotal")
                .and_then(|text| text.strip_suffix(" kB")?.parse::<u64>().ok())
                .unwrap_or_default()
                / 1024,
            kernel: text("/proc/sys/kernel/osrelease").trim().to_owned(),
            file_system: file_system(&text("/proc/mounts"), dir),
            load: (load_average(), 0.0),
        }
    }

    /// In one line.
    pub(crate) fn words(&self) -> String {
        format!(
            "{} × {}, {:.1} GiB, Linux {}, {}, load {:.1} to {:.1}",
            self.cores,
            self.processor,
            self.memory_mib as f64 / 1024.0,
            self.kernel,
            self.file_system,
            self.load.0,
            self.load.1
        )
    }

    /// Whether its file system keeps nothing: then no sync costs anything, and no figure means anything.
    pub(crate) fn forgets(&self) -> bool {
        matches!(self.file_system.as_str(), "tmpfs" | "ramfs")
    }
}

/// Processes that wanted to run, on average over a minute.
pub(crate) fn load_average() -> f64 {
    let text = text("/proc/loadavg");
    let first = text.split(' ').next().and_then(|first| first.parse().ok());
    first.unwrap_or_default()
}

/// The commit of the sources in `root`, with a `+` if something was changed since.
pub(crate) fn commit(root: &Path) -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git")
            .arg("-C")
            .arg(root)
            .args(arguments)
            .output()
            .ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short=12", "HEAD"]) else {
        return "unknown".to_owned();
    };
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]);
    if changed.is_none_or(|changed| changed.is_empty()) {
        commit
    } else {
        commit + "+"
    }
}

/// Now, in UTC, to the minute.
pub(crate) fn date() -> String {
    let output = Command::new("date")
        .args(["-u", "+%Y-%m-%d %H:%M UTC"])
        .output();
    output.map_or_else(
        |_| "unknown".to_owned(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}

fn text(file: &str) -> String {
    fs::read_to_string(file).unwrap_or_default()
}

/// What stands behind the first `name :` of a file.
fn field(file: &str, name: &str) -> Option<String> {
    let text = text(file);
    let mut lines = text.lines().filter_map(|line| line.split_once(':'));
    let found = lines.find(|(field, _)| field.trim() == name)?;
    Some(found.1.trim().to_owned())
}

/// The type of the file system that `dir` is on: of all that are mounted above it, the nearest.
fn file_system(mounts: &str, dir: &Path) -> String {
    let mounted = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ');
        let (place, kind) = (words.nth(1)?, words.next()?);
        dir.starts_with(place).then_some((place.len(), kind))
    });
    // Of two at one place the later one hides the earlier.
    let nearest = mounted.max_by_key(|(length, _)| *length);
    nearest.map_or("unknown", |(_, kind)| kind).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_mount_above_a_folder_is_its_file_system() {
        let mounts =
            "overlay / overlay rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n/dev/sda1 /tmp/disk ext4 rw 0 0\n";
        for (dir, kind) in [
            ("/home/x", "overlay"),
            ("/tmp/x", "tmpfs"),
            ("/tmp/disk/x", "ext4"),
            ("/tmpx", "overlay"),
        ] {
            assert_eq!(file_system(mounts, dir.as_ref()), kind, "{dir}");
        }
        assert_eq!(file_system("", "/".as_ref()), "unknown");
    }

    #[test]
    fn this_machine_is_known() {
        let machine = Machine::look("/".as_ref());
        assert!(machine.cores > 0 && machine.memory_mib > 0, "{machine:?}");
        assert!(!machine.kernel.is_empty(), "{machine:?}");
    }
}
