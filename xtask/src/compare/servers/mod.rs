//! Clusters of real processes, whoever's.

mod etcd;
mod redis;
pub(crate) mod usage;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use quorate_load::{Closed, Measured, Open, Resp, Workload, closed, in_this_thread, open};

use self::etcd::Etcd;
use self::redis::Redis;
use self::usage::Usage;
use super::contender::Contender;
use super::plan::Peer;
use super::results::Load;
use crate::cluster::layout::{self, Layout};
use crate::demo::members::Members;

/// Requests that may be under way at once in open loop.
pub(crate) const OPEN_CLIENTS: usize = 256;
/// A client waits no longer for an answer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(3);
/// What was surely not carried out is asked again for so long.
pub(crate) const INSIST: Duration = Duration::from_secs(2);
/// What is not answered so long after the last start is given up.
pub(crate) const DRAIN: Duration = Duration::from_secs(1);
/// Connections are made before an open loop begins.
pub(crate) const HEAD_START: Duration = Duration::from_millis(400);

/// The programs that are run.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    /// Quorate's server.
    pub(crate) server: PathBuf,
    /// The load on etcd, if there is etcd.
    pub(crate) etcd_load: Option<PathBuf>,
}

/// A cluster; its processes end when it is dropped.
pub(crate) enum Servers {
    /// Quorate's.
    Quorate(Members),
    /// Etcd's.
    Etcd(Etcd),
    /// Redis's.
    Redis(Redis),
}

/// What a load is, whoever it is for.
#[derive(Clone, Debug)]
pub(crate) struct Errand {
    /// How to ask.
    pub(crate) load: Load,
    /// What to ask.
    pub(crate) workload: Workload,
    /// What is not counted at the start.
    pub(crate) warm: Duration,
    /// What is.
    pub(crate) measure: Duration,
}

/// The version of a peer's program, or why it cannot be compared.
///
/// # Errors
/// One line for people.
pub(crate) fn version(peer: Peer) -> Result<String, String> {
    match peer {
        Peer::Etcd => etcd::version(),
        Peer::Redis => redis::version(),
        Peer::None => Err("nobody was asked for".to_owned()),
    }
}

/// What a program prints, or nothing if there is no such program.
fn output_of(program: &str, argument: &str) -> Option<String> {
    let output = Command::new(program).arg(argument).output().ok()?;
    String::from_utf8(output.stdout).ok()
}

impl Servers {
    /// Starts `members` members of `contender` with their data in the empty folder `dir`, and waits until they serve. Ports
    /// are free for so many `newcomers`, too.
    ///
    /// # Errors
    /// If they do not come up.
    pub(crate) async fn start(
        contender: &Contender,
        (members, newcomers): (u16, u16),
        dir: &Path,
        programs: &Programs,
    ) -> Result<Self> {
        let base_port = layout::free_ports(layout::BASE_PORT, members + newcomers)?;
        let started = match contender {
            Contender::Quorate(policy) => {
                let mut members = Members::new(Layout {
                    binary: programs.server.clone(),
                    dir: dir.to_owned(),
                    nodes: members,
                    base_port,
                    policy: *policy,
                    allow_faults: true,
                });
                members.start_all().await.map(|()| Self::Quorate(members))
            }
            Contender::Etcd(_) => {
                let load = programs
                    .etcd_load
                    .clone()
                    .context("the load on etcd was not built")?;
                Etcd::start(members, base_port, dir, load)
                    .await
                    .map(Self::Etcd)
            }
            Contender::Redis(_) => Redis::start(members, base_port, dir).await.map(Self::Redis),
        };
        started.with_context(|| format!("{} does not come up", contender.name()))
    }

    /// What all members have used so far.
    ///
    /// # Errors
    /// If one does not say.
    pub(crate) async fn usage(&self) -> Result<Usage> {
        match self {
            Self::Quorate(members) => quorate_usage(members).await,
            Self::Etcd(etcd) => etcd.usage().await,
            Self::Redis(redis) => redis.usage().await,
        }
    }

    /// Puts a load on the member that leads.
    ///
    /// # Errors
    /// If it cannot be reached, or a process has ended.
    pub(crate) async fn carry(&mut self, errand: Errand) -> Result<Measured> {
        match self {
            Self::Quorate(members) => {
                let through = usize::from(members.leader().await?) - 1;
                let measured = carry_resp(resp(members.addresses(), None), through, errand).await;
                members.all_run()?;
                measured
            }
            Self::Etcd(etcd) => etcd.carry(&errand).await,
            Self::Redis(redis) => {
                let measured = carry_resp(resp(redis.addresses(), Some(1)), 0, errand).await;
                redis.all_run()?;
                measured
            }
        }
    }
}

/// Members that speak the Redis protocol.
pub(crate) fn resp(addresses: Vec<String>, replicas: Option<u32>) -> Resp {
    Resp {
        addresses,
        replicas,
        patience: PATIENCE,
    }
}

async fn carry_resp(target: Resp, through: usize, errand: Errand) -> Result<Measured> {
    // A thread of its own, as the load on etcd has a process of its own.
    let load = tokio::task::spawn_blocking(move || {
        let Errand {
            load,
            workload,
            warm,
            measure,
        } = errand;
        in_this_thread(async {
            match load {
                Load::Closed(clients) => {
                    let plan = Closed {
                        clients,
                        through: Some(through),
                        warm,
                        measure,
                    };
                    closed(target, &plan, &workload).await
                }
                Load::Open(rate) => {
                    let length = warm + measure;
                    let plan = Open {
                        clients: OPEN_CLIENTS,
                        through: Some(through),
                        rate,
                        begin: std::time::Instant::now() + HEAD_START,
                        length,
                        drain: DRAIN,
                        insist: INSIST,
                    };
                    let opened = open(target, &plan, &workload).await?;
                    Ok(opened.measured(warm, length))
                }
            }
        })
    });
    let measured = load.await.expect("a load does not panic")?;
    Ok(measured?)
}

async fn quorate_usage(members: &Members) -> Result<Usage> {
    let mut usage = Usage::of(&members.pids());
    let (mut bytes, mut messages) = (0, 0);
    for (id, status) in members.statuses().await {
        let status = status.with_context(|| format!("member {id}"))?;
        let field = |name| {
            let number = status.number(name);
            number.with_context(|| format!("member {id} does not say its {name}"))
        };
        bytes += field("bytes_sent")?;
        messages += field("frames_sent")?;
    }
    (usage.sent_bytes, usage.messages) = (Some(bytes), Some(messages));
    Ok(usage)
}
