//! The server processes of a demo.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use redis::Cmd;
use rustix::process::Signal;
use tokio::time::{Instant, sleep};

use crate::cluster::layout::Layout;
use crate::cluster::process::{Process, describe};
use crate::cluster::status::{Status, ask};

/// A member that is not ready by then will not be.
const READY: Duration = Duration::from_secs(30);
/// A cluster with a majority at work has a leader by then.
const LEADER: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(20);

/// All members; every one that still runs is killed when this is dropped.
pub(crate) struct Members {
    layout: Layout,
    processes: Vec<Option<Process>>,
}

impl Members {
    /// No member runs yet.
    pub(crate) fn new(layout: Layout) -> Self {
        let processes = layout.ids().map(|_| None).collect();
        Self { layout, processes }
    }

    /// Where everything lies.
    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The clients' addresses of all members.
    pub(crate) fn addresses(&self) -> Vec<String> {
        self.layout
            .ids()
            .map(|id| self.layout.client_addr(id))
            .collect()
    }

    /// Starts all members and waits until they are ready and have a leader.
    ///
    /// # Errors
    /// If one of them does not come up.
    pub(crate) async fn start_all(&mut self) -> Result<()> {
        fs::create_dir_all(&self.layout.dir)
            .with_context(|| format!("cannot create {}", self.layout.dir.display()))?;
        let mut starting = Vec::new();
        for id in self.layout.ids() {
            starting.push((id, self.spawn(id, false)?));
        }
        for (id, from) in starting {
            self.ready(id, from).await?;
        }
        self.leader().await.map(drop)
    }

    /// Starts member `id` again and waits until it is ready; returns how long that took.
    ///
    /// # Errors
    /// If it does not come up.
    pub(crate) async fn restart(&mut self, id: u16) -> Result<Duration> {
        let began = Instant::now();
        let from = self.spawn(id, true)?;
        self.ready(id, from).await?;
        Ok(began.elapsed())
    }

    fn spawn(&mut self, id: u16, before: bool) -> Result<u64> {
        let mut command = self.layout.command(id, before);
        let from = self.layout.output(id).attach(&mut command)?;
        let process = Process::spawn(command, &format!("member {id}"))
            .with_context(|| format!("cannot start {}", self.layout.binary.display()))?;
        self.processes[usize::from(id) - 1] = Some(process);
        Ok(from)
    }

    async fn ready(&mut self, id: u16, from: u64) -> Result<()> {
        let output = self.layout.output(id);
        let ready = self.process(id)?.ready(&output.stdout, from, READY).await;
        ready.with_context(|| format!("see {}", output.stderr.display()))
    }

    /// Ends member `id` with SIGKILL.
    pub(crate) fn kill(&mut self, id: u16) {
        self.processes[usize::from(id) - 1] = None;
    }

    /// Sends a signal to member `id`.
    ///
    /// # Errors
    /// If it does not run.
    pub(crate) fn signal(&mut self, id: u16, signal: Signal) -> Result<()> {
        self.process(id)?.signal(signal)
    }

    /// Cuts member `id` off from all others, or joins it to them again.
    ///
    /// # Errors
    /// If it refuses.
    pub(crate) async fn isolate(&self, id: u16, isolated: bool) -> Result<()> {
        let fault = if isolated { "cut" } else { "clear" };
        self.fault(id, &format!("* both {fault}")).await
    }

    /// Lets member `id` disturb itself, or stop to: `QUORATE FAULT` and these words.
    ///
    /// # Errors
    /// If it refuses.
    pub(crate) async fn fault(&self, id: u16, words: &str) -> Result<()> {
        let mut command = Cmd::new();
        command.arg("QUORATE").arg("FAULT");
        for word in words.split_whitespace() {
            command.arg(word);
        }
        ask(&self.layout.client_addr(id), &command).await.map(drop)
    }

    /// The processes of all members that run.
    pub(crate) fn pids(&self) -> Vec<u32> {
        self.processes.iter().flatten().map(Process::pid).collect()
    }

    /// Fails if a member has ended that nobody killed.
    ///
    /// # Errors
    /// Names the member, its exit code and its log.
    pub(crate) fn all_run(&mut self) -> Result<()> {
        for id in self.layout.ids() {
            let Some(process) = &mut self.processes[usize::from(id) - 1] else {
                continue;
            };
            if let Some(status) = process.exited()? {
                let log = self.layout.output(id).stderr;
                bail!(
                    "member {id} ended by itself: {}; see {}",
                    describe(status),
                    log.display()
                );
            }
        }
        Ok(())
    }

    /// The member that leads, once there is one.
    ///
    /// # Errors
    /// If there is none for too long.
    pub(crate) async fn leader(&self) -> Result<u16> {
        let end = Instant::now() + LEADER;
        while Instant::now() < end {
            let mut leader = None;
            for (id, status) in self.statuses().await {
                if let Ok(status) = status
                    && status.leads()
                {
                    leader = leader.max(Some((status.round(), id)));
                }
            }
            if let Some((_, id)) = leader {
                return Ok(id);
            }
            sleep(POLL).await;
        }
        bail!("no member leads after {LEADER:?}")
    }

    /// What each member says of itself.
    pub(crate) async fn statuses(&self) -> Vec<(u16, Result<Status>)> {
        let mut asked = Vec::new();
        for id in self.layout.ids() {
            let address = self.layout.client_addr(id);
            asked.push((id, tokio::spawn(async move { Status::of(&address).await })));
        }
        let mut statuses = Vec::new();
        for (id, answer) in asked {
            statuses.push((
                id,
                answer
                    .await
                    .expect("asking neither panics nor is cancelled"),
            ));
        }
        statuses
    }

    fn process(&mut self, id: u16) -> Result<&mut Process> {
        let process = self.processes[usize::from(id) - 1].as_mut();
        process.with_context(|| format!("member {id} does not run"))
    }
}
