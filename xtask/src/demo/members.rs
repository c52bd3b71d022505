//! The server processes of a demo.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use redis::Cmd;
use rustix::process::Signal;
use tokio::time::{Instant, timeout};

use crate::cluster::layout::Layout;
use crate::cluster::orders::Directory;
use crate::cluster::process::{Process, describe};
use crate::cluster::status::{Status, ask};

/// A member that is not ready by then will not be.
const READY: Duration = Duration::from_secs(30);
/// A member that was asked to stop has done so by then.
const STOPPED: Duration = Duration::from_secs(10);

/// All members; every one that still runs is killed when this is dropped.
pub(crate) struct Members {
    layout: Layout,
    /// More words on each command line.
    flags: Vec<String>,
    seats: BTreeMap<u16, Seat>,
}

/// A member, whether it runs or not.
#[derive(Default)]
struct Seat {
    process: Option<Process>,
    /// The voters whom it is told of if it is no founder.
    joins: Option<Vec<u16>>,
}

impl Members {
    /// No member runs yet.
    pub(crate) fn new(layout: Layout) -> Self {
        let seats = layout.ids().map(|id| (id, Seat::default())).collect();
        Self {
            layout,
            flags: Vec::new(),
            seats,
        }
    }

    /// All members are started with these words, too.
    pub(crate) fn with_flags(mut self, flags: &str) -> Self {
        self.flags = flags.split_whitespace().map(str::to_owned).collect();
        self
    }

    /// Where everything lies.
    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The ids of all members, ascending.
    pub(crate) fn ids(&self) -> Vec<u16> {
        self.seats.keys().copied().collect()
    }

    /// Whom to ask.
    pub(crate) fn directory(&self) -> Directory {
        Directory::new(&self.layout, self.ids())
    }

    /// The clients' addresses of all members.
    pub(crate) fn addresses(&self) -> Vec<String> {
        self.directory().addresses()
    }

    /// Starts all members and waits until they are ready and have a leader.
    ///
    /// # Errors
    /// If one of them does not come up.
    pub(crate) async fn start_all(&mut self) -> Result<()> {
        fs::create_dir_all(&self.layout.dir)
            .with_context(|| format!("cannot create {}", self.layout.dir.display()))?;
        let mut starting = Vec::new();
        for id in self.ids() {
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

    /// Starts a new member that is told of these voters, and waits until it is ready.
    ///
    /// # Errors
    /// If it does not come up.
    pub(crate) async fn join(&mut self, id: u16, voters: Vec<u16>) -> Result<()> {
        let joins = Some(voters);
        self.seats.insert(
            id,
            Seat {
                joins,
                process: None,
            },
        );
        let from = self.spawn(id, false)?;
        self.ready(id, from).await
    }

    /// Starts a member that is to end by itself; with which exit code it does.
    ///
    /// # Errors
    /// If it goes on.
    pub(crate) async fn refused(&mut self, id: u16) -> Result<Option<i32>> {
        self.spawn(id, false)?;
        let ended = timeout(READY, self.process(id)?.wait()).await;
        self.kill(id);
        let status = ended.with_context(|| format!("member {id} still runs after {READY:?}"))??;
        Ok(status.code())
    }

    /// Stops a member that is one no more, as its operator does.
    ///
    /// # Errors
    /// If it does not stop, or not as it should.
    pub(crate) async fn leave(&mut self, id: u16) -> Result<()> {
        let process = self.process(id)?;
        process.signal(Signal::TERM)?;
        let status = timeout(STOPPED, process.wait()).await;
        let status = status.with_context(|| format!("member {id} does not stop"))??;
        if !status.success() {
            bail!(
                "member {id} ended otherwise than it should: {}",
                describe(status)
            );
        }
        self.forget(id)
    }

    /// A member that is gone is one no more; nothing of it stays but its output.
    ///
    /// # Errors
    /// If its folder cannot be removed.
    pub(crate) fn forget(&mut self, id: u16) -> Result<()> {
        self.seats.remove(&id);
        self.erase(id)
    }

    /// Erases the disk of member `id`.
    ///
    /// # Errors
    /// If that is not possible.
    pub(crate) fn erase(&self, id: u16) -> Result<()> {
        let dir = self.layout.data_dir(id);
        if dir.exists() {
            let erased = fs::remove_dir_all(&dir);
            erased.with_context(|| format!("cannot erase {}", dir.display()))?;
        }
        Ok(())
    }

    fn spawn(&mut self, id: u16, before: bool) -> Result<u64> {
        let seat = self
            .seats
            .get_mut(&id)
            .with_context(|| format!("there is no member {id}"))?;
        let mut command = match &seat.joins {
            None => self.layout.command(id, before),
            Some(voters) => self.layout.command_among(id, before, ("--join", voters)),
        };
        command.args(&self.flags);
        let from = self.layout.output(id).attach(&mut command)?;
        let process = Process::spawn(command, &format!("member {id}"))
            .with_context(|| format!("cannot start {}", self.layout.binary.display()))?;
        seat.process = Some(process);
        Ok(from)
    }

    async fn ready(&mut self, id: u16, from: u64) -> Result<()> {
        let output = self.layout.output(id);
        let ready = self.process(id)?.ready(&output.stdout, from, READY).await;
        ready.with_context(|| format!("see {}", output.stderr.display()))
    }

    /// Ends member `id` with SIGKILL.
    pub(crate) fn kill(&mut self, id: u16) {
        if let Some(seat) = self.seats.get_mut(&id) {
            seat.process = None;
        }
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
        self.running().into_iter().map(|(_, pid)| pid).collect()
    }

    /// The members that run, each with its process.
    pub(crate) fn running(&self) -> Vec<(u16, u32)> {
        let seats = self.seats.iter();
        let pid = |(id, seat): (&u16, &Seat)| Some((*id, seat.process.as_ref()?.pid()));
        seats.filter_map(pid).collect()
    }

    /// Fails if a member has ended that nobody killed.
    ///
    /// # Errors
    /// Names the member, its exit code and its log.
    pub(crate) fn all_run(&mut self) -> Result<()> {
        for (&id, seat) in &mut self.seats {
            let Some(process) = &mut seat.process else {
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
        self.directory().leader().await.map(|(id, _)| id)
    }

    /// What each member says of itself.
    pub(crate) async fn statuses(&self) -> Vec<(u16, Result<Status>)> {
        self.directory().statuses().await
    }

    fn process(&mut self, id: u16) -> Result<&mut Process> {
        let process = self
            .seats
            .get_mut(&id)
            .and_then(|seat| seat.process.as_mut());
        process.with_context(|| format!("member {id} does not run"))
    }
}
