//! Three processes of etcd. It syncs before it acknowledges unless told otherwise.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use quorate_load::{Keys, Measured};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::usage::Usage;
use super::{Errand, output_of};
use crate::cluster::process::{OutputFiles, Process};
use crate::compare::results::Load;

/// It has a leader by then.
const READY: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(50);
const ASKED: Duration = Duration::from_secs(2);
/// Clients share connections, as etcd's own do: of what was tried, so many on each were fastest.
const CLIENTS_A_CONNECTION: usize = 16;

/// The version of the program on the path, or why there is none to compare.
pub(crate) fn version() -> Result<String, String> {
    let printed = output_of("etcd", "--version");
    let printed =
        printed.ok_or("etcd: skipped, there is no program `etcd` (Debian: etcd-server)")?;
    let version = printed
        .lines()
        .find_map(|line| line.strip_prefix("etcd Version: "));
    version
        .map(str::to_owned)
        .ok_or_else(|| "etcd: skipped, `etcd --version` says no version".to_owned())
}

/// A cluster of it.
pub(crate) struct Etcd {
    processes: Vec<Process>,
    base_port: u16,
    load: PathBuf,
    dir: PathBuf,
}

impl Etcd {
    /// Starts it; clients' ports from `base_port` on, peers' a thousand above.
    pub(crate) async fn start(
        members: u16,
        base_port: u16,
        dir: &Path,
        load: PathBuf,
    ) -> Result<Self> {
        let mut etcd = Self {
            processes: Vec::new(),
            base_port,
            load,
            dir: dir.to_owned(),
        };
        for member in 0..members {
            let mut command = etcd.command(member, members);
            let output = etcd.output(&format!("etcd-{member}"));
            output.attach(&mut command)?;
            let process = Process::spawn(command, "etcd").context("cannot start etcd")?;
            etcd.processes.push(process);
        }
        let end = Instant::now() + READY;
        while etcd.leader().await.is_none() {
            etcd.all_run()?;
            if Instant::now() > end {
                bail!("etcd has no leader after {READY:?}");
            }
            sleep(POLL).await;
        }
        Ok(etcd)
    }

    fn command(&self, member: u16, members: u16) -> Command {
        let peer = |member: u16| format!("http://127.0.0.1:{}", self.base_port + 1000 + member);
        let client = format!("http://{}", self.address(member));
        let all: Vec<_> = (0..members)
            .map(|other| format!("m{other}={}", peer(other)))
            .collect();
        let mut command = Command::new("etcd");
        command
            .args(["--name", &format!("m{member}")])
            .arg("--data-dir")
            .arg(self.dir.join(format!("etcd-{member}")))
            .args([
                "--listen-client-urls",
                &client,
                "--advertise-client-urls",
                &client,
            ])
            .args(["--listen-peer-urls", &peer(member)])
            .args(["--initial-advertise-peer-urls", &peer(member)])
            .args([
                "--initial-cluster",
                &all.join(","),
                "--initial-cluster-state",
                "new",
            ])
            .args(["--log-level", "error"]);
        command
    }

    fn output(&self, name: &str) -> OutputFiles {
        OutputFiles {
            stdout: self.dir.join(format!("{name}.out")),
            stderr: self.dir.join(format!("{name}.log")),
        }
    }

    fn address(&self, member: u16) -> String {
        format!("127.0.0.1:{}", self.base_port + member)
    }

    fn addresses(&self) -> Vec<String> {
        (0..self.processes.len() as u16)
            .map(|member| self.address(member))
            .collect()
    }

    fn all_run(&mut self) -> Result<()> {
        for process in &mut self.processes {
            if let Some(status) = process.exited()? {
                bail!("etcd ended by itself: {status}; see {}", self.dir.display());
            }
        }
        Ok(())
    }

    /// The member that leads, from 0 on.
    async fn leader(&self) -> Option<usize> {
        for (member, address) in self.addresses().iter().enumerate() {
            if let Ok(metrics) = metrics(address).await
                && sum(&metrics, "etcd_server_is_leader") > 0.0
            {
                return Some(member);
            }
        }
        None
    }

    /// What all members have used so far.
    pub(crate) async fn usage(&self) -> Result<Usage> {
        let pids: Vec<_> = self.processes.iter().map(Process::pid).collect();
        let mut sent = 0.0;
        for address in self.addresses() {
            sent += sum(
                &metrics(&address).await?,
                "etcd_network_peer_sent_bytes_total",
            );
        }
        #[allow(clippy::cast_sign_loss, reason = "a counter is never negative")]
        let sent = sent as u64;
        Ok(Usage {
            sent_bytes: Some(sent),
            ..Usage::of(&pids)
        })
    }

    /// Puts a load on the leader, from a process of its own.
    pub(crate) async fn carry(&mut self, errand: &Errand) -> Result<Measured> {
        let leader = self.leader().await.context("etcd has no leader")?;
        let mut command = self.errand(errand, leader);
        let output = self.output("load");
        let from = output.attach(&mut command)?;
        let mut process = Process::spawn(command, "the load on etcd")?;
        let status = process.wait().await?;
        if !status.success() {
            bail!(
                "the load on etcd failed ({status}); see {}",
                output.stderr.display()
            );
        }
        self.all_run()?;
        let printed = fs::read(&output.stdout).context("the load on etcd wrote nothing")?;
        let printed = printed.get(from as usize..).unwrap_or_default();
        serde_json::from_slice(printed).context("the load on etcd wrote something else")
    }

    fn errand(&self, errand: &Errand, leader: usize) -> Command {
        let Errand {
            load,
            workload,
            warm,
            measure,
        } = errand;
        let Keys::Spread(keys) = workload.keys else {
            unreachable!("a cluster that nothing happens to is asked for keys that repeat")
        };
        let clients = match load {
            Load::Closed(clients) => *clients,
            Load::Open(_) => super::OPEN_CLIENTS,
        };
        let mut command = Command::new(&self.load);
        command
            .arg("etcd")
            .arg("--members")
            .arg(self.addresses().join(","));
        let mut set = |flag: &str, value: u128| {
            command.arg(flag).arg(value.to_string());
        };
        set("--through", leader as u128);
        set("--clients", clients as u128);
        set(
            "--connections",
            clients.div_ceil(CLIENTS_A_CONNECTION) as u128,
        );
        set("--warm-ms", warm.as_millis());
        set("--measure-ms", measure.as_millis());
        set("--seed", workload.seed.into());
        set("--keys", keys.into());
        set("--payload", workload.payload as u128);
        set("--reads", workload.reads.into());
        if let Load::Open(rate) = load {
            set("--rate", (*rate).into());
        }
        command
    }
}

/// What a member tells of itself, in Prometheus' text format.
async fn metrics(address: &str) -> Result<String> {
    let ask = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        anyhow::Ok(text)
    };
    timeout(ASKED, ask)
        .await
        .with_context(|| format!("{address} does not answer"))?
}

/// The sum of all values under this name.
fn sum(metrics: &str, name: &str) -> f64 {
    let values = metrics.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        let value = match rest.strip_prefix('{') {
            Some(labelled) => labelled.split_once('}')?.1,
            None => rest,
        };
        value.strip_prefix(' ')?.parse::<f64>().ok()
    });
    values.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_summed_over_their_labels_and_not_over_longer_names() {
        let text = "# HELP sent x\nsent{To=\"a b\"} 1.5e+03\nsent{To=\"c\"} 500\nsent_total 7\nis_leader 1\n";
        assert!((sum(text, "sent") - 2000.0).abs() < 1e-9);
        assert!((sum(text, "is_leader") - 1.0).abs() < 1e-9);
        assert!(sum(text, "leader").abs() < 1e-9);
    }
}
