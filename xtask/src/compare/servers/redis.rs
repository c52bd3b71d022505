//! A primary of Redis and its replicas. All append to a file and sync it; `WAIT` waits until replicas have received a write,
//! not until it is on their disks.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use redis::{Cmd, Value};
use tokio::time::{Instant, sleep};

use super::output_of;
use super::usage::Usage;
use crate::cluster::process::{OutputFiles, Process};
use crate::cluster::status::ask;

/// All replicas are in step by then.
const READY: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(50);

/// The version of the program on the path, or why there is none to compare.
pub(crate) fn version() -> Result<String, String> {
    let printed = output_of("redis-server", "--version");
    let printed = printed
        .ok_or("redis: skipped, there is no program `redis-server` (Debian: redis-server)")?;
    let version = printed
        .split_whitespace()
        .find_map(|word| word.strip_prefix("v="));
    version
        .map(str::to_owned)
        .ok_or_else(|| "redis: skipped, `redis-server --version` says no version".to_owned())
}

/// A primary, the first, and its replicas.
pub(crate) struct Redis {
    processes: Vec<Process>,
    base_port: u16,
    dir: PathBuf,
}

impl Redis {
    /// Starts them at the ports from `base_port` on.
    pub(crate) async fn start(members: u16, base_port: u16, dir: &Path) -> Result<Self> {
        let mut redis = Self {
            processes: Vec::new(),
            base_port,
            dir: dir.to_owned(),
        };
        for member in 0..members {
            let mut command = redis.command(member)?;
            let output = OutputFiles {
                stdout: dir.join(format!("redis-{member}.out")),
                stderr: dir.join(format!("redis-{member}.log")),
            };
            output.attach(&mut command)?;
            let process = Process::spawn(command, "redis").context("cannot start redis-server")?;
            redis.processes.push(process);
        }
        let end = Instant::now() + READY;
        while redis.in_step().await.unwrap_or(0) + 1 < usize::from(members) {
            redis.all_run()?;
            if Instant::now() > end {
                bail!("not all replicas of redis are in step after {READY:?}");
            }
            sleep(POLL).await;
        }
        Ok(redis)
    }

    fn command(&self, member: u16) -> Result<Command> {
        let dir = self.dir.join(format!("redis-{member}"));
        std::fs::create_dir_all(&dir)?;
        let mut command = Command::new("redis-server");
        command
            .args([
                "--bind",
                "127.0.0.1",
                "--port",
                &(self.base_port + member).to_string(),
            ])
            .arg("--dir")
            .arg(dir)
            .args([
                "--appendonly",
                "yes",
                "--appendfsync",
                "always",
                "--save",
                "",
            ])
            .args(["--repl-diskless-sync-delay", "0", "--loglevel", "warning"]);
        if member > 0 {
            let primary = self.base_port.to_string();
            command.args(["--replicaof", "127.0.0.1", &primary]);
        }
        Ok(command)
    }

    /// Where clients reach them; the first is the primary.
    pub(crate) fn addresses(&self) -> Vec<String> {
        let ports = self.base_port..self.base_port + self.processes.len() as u16;
        ports.map(|port| format!("127.0.0.1:{port}")).collect()
    }

    /// Fails if one of them has ended.
    ///
    /// # Errors
    /// Says where its output is.
    pub(crate) fn all_run(&mut self) -> Result<()> {
        for process in &mut self.processes {
            if let Some(status) = process.exited()? {
                bail!(
                    "redis ended by itself: {status}; see {}",
                    self.dir.display()
                );
            }
        }
        Ok(())
    }

    /// How many replicas have all that the primary has.
    async fn in_step(&self) -> Result<usize> {
        let info = self.info("replication").await?;
        Ok(info
            .lines()
            .filter(|line| line.contains("state=online"))
            .count())
    }

    /// What all of them have used so far.
    pub(crate) async fn usage(&self) -> Result<Usage> {
        let pids: Vec<_> = self.processes.iter().map(Process::pid).collect();
        let stats = self.info("stats").await?;
        let mut lines = stats.lines();
        let sent = lines.find_map(|line| line.strip_prefix("total_net_repl_output_bytes:"));
        Ok(Usage {
            sent_bytes: sent.and_then(|bytes| bytes.trim().parse().ok()),
            ..Usage::of(&pids)
        })
    }

    async fn info(&self, section: &str) -> Result<String> {
        let mut command = Cmd::new();
        command.arg("INFO").arg(section);
        let address = format!("127.0.0.1:{}", self.base_port);
        match ask(&address, &command).await? {
            Value::BulkString(text) => Ok(String::from_utf8_lossy(&text).into_owned()),
            Value::VerbatimString { text, .. } => Ok(text),
            other => bail!("INFO answered {other:?}"),
        }
    }
}
