//! How much memory and disk the members take, and whether that stays level.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use crate::demo::check::Check;

/// The first part of a run does not count: caches and allocators fill.
const WARM_UP: f64 = 0.2;
/// The last third may take so much more than the first, as the middle ones of their samples go: whether a snapshot was just
/// being written when it was looked is chance…
const GROWTH_MAX: f64 = 1.25;
/// …and this much beside, in MiB: a journal file is made as a whole, an allocator keeps what it may need again.
const SLACK_MIB: f64 = 8.0;

/// What the members took at one time, in MiB.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sample {
    /// Since the load began.
    pub(crate) at: Duration,
    /// The memory of the member that is there from beginning to end.
    pub(crate) elder_memory: f64,
    /// Its files.
    pub(crate) elder_disk: f64,
    /// The memory of the member that has most.
    pub(crate) most_memory: f64,
    /// Its files, likewise.
    pub(crate) most_disk: f64,
}

/// What is looked at, and where it stands in a sample.
type Series = (&'static str, fn(&Sample) -> f64);

const SERIES: [Series; 4] = [
    ("memory of the oldest member", |sample| sample.elder_memory),
    ("memory of the largest member", |sample| sample.most_memory),
    ("disk of the oldest member", |sample| sample.elder_disk),
    ("disk of the largest member", |sample| sample.most_disk),
];

/// How a series went.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Course {
    /// What was looked at.
    pub(crate) name: &'static str,
    /// The middle one of the samples in the first third of what counts.
    pub(crate) first: f64,
    /// The same of the last third.
    pub(crate) last: f64,
    /// The highest of all.
    pub(crate) most: f64,
}

/// How each series went.
pub(crate) fn courses(samples: &[Sample]) -> Vec<Course> {
    let end = samples.last().map_or(0.0, |last| last.at.as_secs_f64());
    let from = end * WARM_UP;
    let third = (end - from) / 3.0;
    let middle = |series: fn(&Sample) -> f64, from: f64, to: f64| {
        let within = samples.iter().filter(|sample| {
            let at = sample.at.as_secs_f64();
            at >= from && at <= to
        });
        let mut within: Vec<f64> = within.map(series).collect();
        within.sort_by(f64::total_cmp);
        within.get(within.len() / 2).copied().unwrap_or_default()
    };
    let courses = SERIES.map(|(name, series)| Course {
        name,
        first: middle(series, from, from + third),
        last: middle(series, end - third, end),
        most: samples.iter().map(series).fold(0.0, f64::max),
    });
    courses.to_vec()
}

/// Whether all of it is level.
pub(crate) fn level(samples: &[Sample]) -> Vec<Check> {
    let judged = courses(samples).into_iter().map(|course| {
        let Course {
            name, first, last, ..
        } = course;
        let most = first * GROWTH_MAX + SLACK_MIB;
        let claim =
            format!("{name} is level: {first:.1} MiB in the first third, {last:.1} in the last");
        let mut details = Vec::new();
        if last > most || first <= 0.0 {
            details.push(format!(
                "allowed is {GROWTH_MAX} × that and {SLACK_MIB} more: {most:.1} MiB"
            ));
        }
        Check::new(claim, details)
    });
    judged.collect()
}

/// The memory of a process that is in use (proc(5), `VmRSS`), in MiB; 0 if it is gone.
pub(crate) fn memory(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let mut lines = status.lines();
    let kib = lines.find_map(|line| {
        line.strip_prefix("VmRSS:")?
            .trim()
            .strip_suffix(" kB")?
            .trim()
            .parse::<u64>()
            .ok()
    });
    kib.unwrap_or(0) as f64 / 1024.0
}

/// What all files under `dir` take on the disk, in MiB.
pub(crate) fn disk(dir: &Path) -> f64 {
    blocks(dir) as f64 / 2048.0
}

/// Blocks of 512 bytes.
fn blocks(dir: &Path) -> u64 {
    // What goes away while it is looked at takes nothing.
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let each = entries.map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => blocks(&entry.path()),
        Ok(metadata) => metadata.blocks(),
        Err(_) => 0,
    });
    each.sum()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn holds(of: impl Fn(u32) -> f64) -> bool {
        let sample = |second: u32| Sample {
            at: Duration::from_secs(second.into()),
            elder_memory: of(second),
            elder_disk: 10.0,
            most_memory: 100.0,
            most_disk: 10.0,
        };
        let samples: Vec<_> = (0..100).map(sample).collect();
        level(&samples).iter().all(|check| check.holds)
    }

    #[test]
    fn what_grows_all_the_time_is_not_level_and_what_fills_at_first_is() {
        assert!(holds(|_| 50.0));
        assert!(holds(|second| f64::from(second.min(20)) * 5.0));
        assert!(holds(|second| 50.0 + f64::from(second % 10)));
        assert!(!holds(|second| 50.0 + f64::from(second)));
        assert!(!holds(|_| 0.0), "nothing was seen");
    }

    #[test]
    fn this_process_takes_memory_and_a_file_takes_disk() {
        assert!(memory(std::process::id()) > 0.5);
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("sub")).unwrap();
        fs::write(dir.path().join("sub/file"), vec![1; 1 << 20]).unwrap();
        assert!((0.9..1.5).contains(&disk(dir.path())));
    }
}
