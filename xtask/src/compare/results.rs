//! All that was measured, as it is kept beside the page: whoever has it can draw the page again.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use quorate_load::{Latency, Measured, Tally};
use serde::{Deserialize, Serialize};

use super::contender::Contender;
use super::faults::Fault;
use super::machine::Machine;

/// The file that holds them.
pub(crate) const FILE: &str = "results.json";

/// All that was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Results {
    /// The run.
    pub(crate) about: About,
    /// Who was compared; what follows names them by place.
    pub(crate) contenders: Vec<Contender>,
    /// Who was not, and why.
    pub(crate) skipped: Vec<String>,
    /// The machine by itself, once a round.
    pub(crate) limits: Vec<Limits>,
    /// Loads on clusters that nothing happens to.
    pub(crate) steady: Vec<Steady>,
    /// Loads on clusters that something happens to.
    pub(crate) trials: Vec<Trial>,
}

/// The run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct About {
    /// What was typed.
    pub(crate) command: String,
    /// The commit of the sources, and whether they had been changed since.
    pub(crate) commit: String,
    /// When it began.
    pub(crate) date: String,
    /// What it took.
    pub(crate) minutes: f64,
    /// Everything was drawn from this.
    pub(crate) seed: u64,
    /// How often all took their turn.
    pub(crate) rounds: u32,
    /// What one measurement took, in seconds.
    pub(crate) seconds: f64,
    /// The usual number of members.
    pub(crate) members: u16,
    /// The usual bytes of a value.
    pub(crate) payload: usize,
    /// Where it ran.
    pub(crate) machine: Machine,
}

/// What the machine did without any server.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Limits {
    /// A value written to a file that was written before, and `fdatasync`.
    pub(crate) sync: Waited,
    /// A value to another thread and back over TCP on loopback.
    pub(crate) round_trip: Waited,
}

/// How long one thread waited for something, in microseconds.
///
/// Where other processes want the processors, who wakes up waits for its turn as well, some milliseconds: then the median says
/// more of them than of the disk. The quickest is what the machine can do.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Waited {
    /// At best.
    pub(crate) quickest_us: f64,
    /// In the middle.
    pub(crate) median_us: f64,
}

/// A load on a cluster that nothing happens to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Steady {
    /// Whose, by place.
    pub(crate) contender: usize,
    /// In which round.
    pub(crate) round: u32,
    /// Of how many members.
    pub(crate) members: u16,
    /// Bytes of a value.
    pub(crate) payload: usize,
    /// How it was asked.
    pub(crate) load: Load,
    /// What was measured.
    pub(crate) measured: Measured,
    /// What it cost.
    pub(crate) cost: Cost,
}

/// How a load asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Load {
    /// So many clients, each of which waits for its answer.
    Closed(usize),
    /// So many requests a second, whatever the answers.
    Open(u32),
}

impl Load {
    /// In a table.
    pub(crate) fn words(self) -> String {
        match self {
            Self::Closed(1) => "1 client".to_owned(),
            Self::Closed(clients) => format!("{clients} clients"),
            Self::Open(rate) => format!("{rate}/s open"),
        }
    }
}

/// What one acknowledged request cost all members together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cost {
    /// Processor time, in microseconds.
    pub(crate) cpu_us: f64,
    /// Bytes that members sent to each other, if they say.
    pub(crate) sent_bytes: Option<f64>,
    /// Messages that members sent to each other, if they say.
    pub(crate) messages: Option<f64>,
    /// Bytes that went to disks, as the kernel counts them.
    pub(crate) disk_bytes: f64,
}

/// A load on a cluster that something happens to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Trial {
    /// Whose, by place.
    pub(crate) contender: usize,
    /// The how-manieth.
    pub(crate) number: u32,
    /// Requests a second.
    pub(crate) rate: u32,
    /// How requests ended.
    pub(crate) tally: Tally,
    /// How long what was acknowledged took, from when it was meant to start.
    pub(crate) latency: Latency,
    /// How long each slot is, in milliseconds.
    pub(crate) slot_ms: u64,
    /// One after the other.
    pub(crate) slots: Vec<Slot>,
    /// What happened.
    pub(crate) events: Vec<Event>,
    /// Acknowledged writes that one member at least does not have in the end.
    pub(crate) lost: u64,
    /// Writes that were refused, and are there.
    pub(crate) extra: u64,
    /// Writes that were acknowledged.
    pub(crate) written: u64,
    /// Reads that were answered.
    pub(crate) read: u64,
    /// Of these, how many missed a write that had been acknowledged before.
    pub(crate) stale: u64,
    /// How long before, at worst, in milliseconds.
    pub(crate) stale_ms: f64,
    /// What is wrong: what the policy promises and this run did not keep.
    pub(crate) broken: Vec<String>,
}

/// A stretch of a timeline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Slot {
    /// Requests that were answered in it.
    pub(crate) served: u64,
    /// Requests that failed in it.
    pub(crate) failed: u64,
    /// Of those meant to start in it: the median latency in microseconds.
    pub(crate) p50_us: Option<u64>,
    /// And what a hundredth exceeded.
    pub(crate) p99_us: Option<u64>,
}

/// A fault that happened. Times in milliseconds, since the load began.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Event {
    /// What.
    pub(crate) fault: Fault,
    /// Who led when it struck.
    pub(crate) leader: u16,
    /// When it struck.
    pub(crate) from_ms: f64,
    /// When it was lifted.
    pub(crate) to_ms: f64,
    /// From being started again until it was ready, if it was killed.
    pub(crate) restart_ms: Option<f64>,
    /// The longest time without an answer from then to the next fault.
    pub(crate) outage_ms: f64,
    /// From then until all was as before; none: not before the next one.
    pub(crate) recovered_ms: Option<f64>,
    /// How long a write had been acknowledged that a read missed, at worst.
    pub(crate) stale_ms: f64,
}

impl Results {
    /// Writes them into `dir`.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(crate) fn save(&self, dir: &Path) -> Result<()> {
        let path = dir.join(FILE);
        let text = serde_json::to_string(self).context("the results are no JSON")?;
        fs::write(&path, text + "\n").with_context(|| format!("cannot write {}", path.display()))
    }

    /// Reads them from `dir`.
    ///
    /// # Errors
    /// If they are not there, or of another shape.
    pub(crate) fn load(dir: &Path) -> Result<Self> {
        let path = dir.join(FILE);
        let text = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_slice(&text)
            .with_context(|| format!("{} holds no results of this version", path.display()))
    }

    /// Whether every policy kept what it promises.
    pub(crate) fn holds(&self) -> bool {
        self.trials.iter().all(|trial| trial.broken.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn what_is_saved_is_loaded_again() {
        let dir = tempfile::tempdir().expect("a folder");
        let results = sample::results();
        results.save(dir.path()).expect("it is written");
        assert_eq!(Results::load(dir.path()).expect("it is read"), results);
        assert!(results.holds());
        fs::write(dir.path().join(FILE), "{}").expect("it is spoilt");
        let error = Results::load(dir.path()).expect_err("it is spoilt");
        assert!(error.to_string().contains("no results of this version"));
    }
}
