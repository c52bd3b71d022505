//! Which processes belong to the cluster that is up, in `target/cluster/cluster.json`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};

use super::layout::Layout;
use super::orders::Directory;
use crate::workspace;

/// Ports of members lie so close together that no more fit.
const LAST_ID: u16 = 99;

/// The cluster that is up.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cluster {
    /// Where it lies.
    pub(crate) layout: Layout,
    /// The processes as they were started, by member.
    pub(crate) members: BTreeMap<u16, Running>,
    /// The members that must find their data when they start.
    pub(crate) have_data: BTreeSet<u16>,
    /// The members that joined later, and the voters that each was told of.
    #[serde(default)]
    pub(crate) joined: BTreeMap<u16, Vec<u16>>,
    /// The members that are none any more.
    #[serde(default)]
    pub(crate) removed: BTreeSet<u16>,
}

/// A process, told apart from a later one with the same pid by when it started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Running {
    /// Its pid.
    pub(crate) pid: u32,
    /// When it started, in clock ticks since the machine did.
    started: u64,
}

/// Where a cluster keeps its members unless told otherwise.
pub(crate) fn default_dir() -> PathBuf {
    folder().join("members")
}

fn folder() -> PathBuf {
    workspace::root().join("target").join("cluster")
}

fn file() -> PathBuf {
    folder().join("cluster.json")
}

impl Cluster {
    /// A cluster of which no member runs yet.
    pub(crate) fn new(layout: Layout) -> Self {
        Self {
            layout,
            members: BTreeMap::new(),
            have_data: BTreeSet::new(),
            joined: BTreeMap::new(),
            removed: BTreeSet::new(),
        }
    }

    /// Everybody who ever was a member, ascending.
    pub(crate) fn all_ids(&self) -> impl Iterator<Item = u16> {
        self.layout.ids().chain(self.joined.keys().copied())
    }

    /// The ids of the members, ascending.
    pub(crate) fn ids(&self) -> impl Iterator<Item = u16> {
        self.all_ids().filter(|id| !self.removed.contains(id))
    }

    /// Whom to ask.
    pub(crate) fn directory(&self) -> Directory {
        Directory::new(&self.layout, self.ids())
    }

    /// An id that nobody had: a new disk is a new member.
    ///
    /// # Errors
    /// If this cluster has no further ports.
    pub(crate) fn next_id(&self) -> Result<u16> {
        let last = self.all_ids().max().unwrap_or(0);
        if last >= LAST_ID {
            bail!("a cluster on this machine has ports for {LAST_ID} members, one after the other");
        }
        Ok(last + 1)
    }

    /// The command line of member `id`.
    pub(crate) fn command(&self, id: u16) -> Command {
        let before = self.have_data.contains(&id);
        match self.joined.get(&id) {
            None => self.layout.command(id, before),
            Some(voters) => self.layout.command_among(id, before, ("--join", voters)),
        }
    }

    /// The cluster that is up, if one is.
    ///
    /// # Errors
    /// If its file cannot be read.
    pub(crate) fn find() -> Result<Option<Self>> {
        let text = match fs::read(file()) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).context("cannot read target/cluster/cluster.json"),
        };
        let cluster = serde_json::from_slice(&text)
            .context("target/cluster/cluster.json is damaged; stop the members and remove it")?;
        Ok(Some(cluster))
    }

    /// The cluster that is up.
    ///
    /// # Errors
    /// If none is.
    pub(crate) fn load() -> Result<Self> {
        Self::find()?.context("no cluster is up; start one with `cargo xtask cluster up`")
    }

    /// Notes which processes run.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(crate) fn save(&self) -> Result<()> {
        fs::create_dir_all(folder()).context("cannot create target/cluster")?;
        let text = serde_json::to_vec_pretty(self).expect("a cluster is plain data");
        let new = folder().join("cluster.json.new");
        fs::write(&new, text)
            .and_then(|()| fs::rename(&new, file()))
            .context("cannot write target/cluster/cluster.json")
    }

    /// Forgets the cluster.
    ///
    /// # Errors
    /// If the file cannot be removed.
    pub(crate) fn forget() -> Result<()> {
        fs::remove_file(file()).context("cannot remove target/cluster/cluster.json")
    }

    /// The process of member `id`, if it runs.
    pub(crate) fn running(&self, id: u16) -> Option<Running> {
        self.members.get(&id).copied().filter(Running::is_alive)
    }

    /// The process of member `id`.
    ///
    /// # Errors
    /// If there is no such member, or it does not run.
    pub(crate) fn member(&self, id: u16) -> Result<Running> {
        self.check(id)?;
        self.running(id)
            .with_context(|| format!("member {id} does not run"))
    }

    /// Whether there is a member `id`.
    ///
    /// # Errors
    /// If there is not.
    pub(crate) fn check(&self, id: u16) -> Result<()> {
        if !self.ids().any(|member| member == id) {
            let ids: Vec<_> = self.ids().map(|id| id.to_string()).collect();
            bail!(
                "there is no member {id}; the members are {}",
                ids.join(", ")
            );
        }
        Ok(())
    }
}

impl Running {
    /// The process with this pid, which was started just now.
    ///
    /// # Errors
    /// If it has ended already.
    pub(crate) fn new(pid: u32) -> Result<Self> {
        let (_, started) = stat(pid).context("the process ended at once")?;
        Ok(Self { pid, started })
    }

    fn is_alive(&self) -> bool {
        // A zombie has ended, though nobody has reaped it yet.
        stat(self.pid).is_some_and(|(state, started)| started == self.started && state != 'Z')
    }

    /// Whether it runs or is paused.
    ///
    /// # Errors
    /// If it has ended.
    pub(crate) fn state(self) -> Result<&'static str> {
        match stat(self.pid).context("the process has ended")? {
            ('T', _) => Ok("paused"),
            _ => Ok("running"),
        }
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// If it has ended.
    pub(crate) fn signal(self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.pid)
            .ok()
            .and_then(Pid::from_raw)
            .context("no such pid")?;
        rustix::process::kill_process(pid, signal)
            .with_context(|| format!("cannot signal process {}", self.pid))
    }
}

/// The state of a process and when it started (proc(5), fields 3 and 22).
fn stat(pid: u32) -> Option<(char, u64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything, also spaces and parentheses.
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let started = fields.nth(18)?.parse().ok()?;
    Some((state, started))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn a_reused_pid_is_not_the_member() {
        let me = Running::new(std::process::id()).unwrap();
        assert!(me.is_alive());
        assert_eq!(me.state().unwrap(), "running");
        let other = Running {
            started: me.started + 1,
            ..me
        };
        assert!(!other.is_alive());
    }

    #[test]
    fn a_process_that_has_ended_does_not_run_even_before_it_is_reaped() {
        let mut child = Command::new("sleep").arg("100").spawn().unwrap();
        let running = Running::new(child.id()).unwrap();
        assert!(running.is_alive());
        child.kill().unwrap();
        while running.is_alive() {
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert!(running.signal(Signal::TERM).is_err());
    }
}
