//! `cargo xtask cluster`: a cluster that stays up, for playing by hand.

pub(crate) mod layout;
mod members;
pub(crate) mod orders;
pub(crate) mod process;
mod state;
pub(crate) mod status;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use comfy_table::{Table, presets};
use quorate_core::Durability;
use rustix::process::Signal;
use tokio::time::{Instant, sleep};

use self::layout::{BASE_PORT, Choice, Layout, MAX_NODES};
use self::state::{Cluster, Running};
use self::status::Status;
use crate::workspace;

/// A member that is not ready by then will not be.
const READY: Duration = Duration::from_secs(30);
/// A member that was asked to stop and still runs then is killed.
const STOPPED: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(20);

/// Starts and stops a cluster that stays up, and does to its members what can happen to them.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// Start a cluster, or whichever of its members do not run.
    Up(Up),
    /// Show what each member says of itself.
    Status,
    /// End a member with SIGKILL.
    Kill(Member),
    /// Stop a member's time with SIGSTOP.
    Pause(Member),
    /// Let a paused member go on.
    Resume(Member),
    /// Stop a member if it runs, and start it on the data it has.
    Restart(Member),
    /// Kill a member, erase its disk, see that it is not taken back as itself, and let a new one take its place.
    Wipe(Member),
    /// Start a new member; it votes once it has caught up.
    Add {
        /// It follows without a vote.
        #[arg(long)]
        learner: bool,
    },
    /// Remove a member from the cluster, and stop it.
    Remove(Member),
    /// Let a new member take the place of one.
    Replace(Member),
    /// Hand leadership over, to this member or to the fittest.
    Transfer {
        /// Its id.
        id: Option<u16>,
    },
    /// Let this member, or all, take a snapshot now.
    Snapshot {
        /// Its id.
        id: Option<u16>,
    },
    /// Show the members as their leader sees them.
    Members,
    /// Stop all members and remove the cluster's data.
    Down,
}

/// What a new cluster looks like.
#[derive(Debug, clap::Args)]
pub(crate) struct Up {
    /// How many members.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=MAX_NODES.into()))]
    nodes: u16,
    #[command(flatten)]
    choice: Choice,
    /// The folder for data and logs [default: target/cluster/members].
    #[arg(long)]
    dir: Option<PathBuf>,
    /// The clients' port of member 1 [default: the first free block from 17001 on].
    #[arg(long, value_parser = clap::value_parser!(u16).range(1024..=60_000))]
    base_port: Option<u16>,
}

/// One member.
#[derive(Debug, clap::Args)]
pub(crate) struct Member {
    /// Its id, from 1 on.
    id: u16,
}

/// Carries out one verb.
///
/// # Errors
/// If there is no such cluster or member, or the member does not do as told.
pub(crate) async fn run(verb: &Verb) -> Result<()> {
    match verb {
        Verb::Up(up) => bring_up(up).await,
        Verb::Status => print_status(&Cluster::load()?).await,
        Verb::Kill(Member { id }) => kill(*id).await,
        Verb::Pause(Member { id }) => signal(*id, Signal::STOP, "paused"),
        Verb::Resume(Member { id }) => signal(*id, Signal::CONT, "goes on"),
        Verb::Restart(Member { id }) => restart(*id).await,
        Verb::Wipe(Member { id }) => members::wipe(*id).await,
        Verb::Add { learner } => members::add(*learner).await.map(drop),
        Verb::Remove(Member { id }) => members::remove(*id).await,
        Verb::Replace(Member { id }) => members::replace(*id).await,
        Verb::Transfer { id } => members::transfer(*id).await,
        Verb::Snapshot { id } => members::snapshot(*id).await,
        Verb::Members => members::members().await,
        Verb::Down => down().await,
    }
}

async fn bring_up(up: &Up) -> Result<()> {
    let binary = workspace::build_server().await?;
    let mut cluster = match Cluster::find()? {
        Some(cluster) => cluster,
        None => Cluster::new(new_layout(up, binary)?),
    };
    fs::create_dir_all(&cluster.layout.dir)
        .with_context(|| format!("cannot create {}", cluster.layout.dir.display()))?;
    let mut starting = Vec::new();
    let ids: Vec<_> = cluster.ids().collect();
    for id in ids {
        if cluster.running(id).is_none() {
            starting.push((id, spawn(&mut cluster, id)?));
        }
    }
    if starting.is_empty() {
        println!("all members run already");
    }
    for (id, from) in starting {
        wait_ready(&mut cluster, id, from).await?;
    }
    wait_for_leader(&cluster).await;
    print_status(&cluster).await?;
    print_hints(&cluster.layout);
    Ok(())
}

fn new_layout(up: &Up, binary: PathBuf) -> Result<Layout> {
    let base_port = match up.base_port {
        Some(base) if !layout::all_free(base, up.nodes) => {
            bail!("not all of the ports {base} and following are free")
        }
        Some(base) => base,
        None => layout::free_ports(BASE_PORT, up.nodes)?,
    };
    let dir = match &up.dir {
        Some(dir) => std::path::absolute(dir).context("the folder has no absolute path")?,
        None => state::default_dir(),
    };
    if layout::is_occupied(&dir) {
        bail!(
            "{} is not empty; remove it or choose another with --dir",
            dir.display()
        );
    }
    Ok(Layout {
        binary,
        dir,
        nodes: up.nodes,
        base_port,
        policy: up.choice.policy()?,
        allow_faults: true,
    })
}

/// Starts member `id`, notes it, and returns from where on its output is new.
fn spawn(cluster: &mut Cluster, id: u16) -> Result<u64> {
    let mut command = cluster.command(id);
    let from = cluster.layout.output(id).attach(&mut command)?;
    let child = process::spawn_detached(command)
        .with_context(|| format!("cannot start {}", cluster.layout.binary.display()))?;
    cluster.members.insert(id, Running::new(child.id())?);
    cluster.save()?;
    Ok(from)
}

async fn wait_ready(cluster: &mut Cluster, id: u16, from: u64) -> Result<()> {
    let output = cluster.layout.output(id);
    let end = Instant::now() + READY;
    while !process::says_ready(&output.stdout, from) {
        if cluster.running(id).is_none() {
            let log = fs::read_to_string(&output.stderr).unwrap_or_default();
            let last = log.lines().last().unwrap_or("it said nothing");
            bail!(
                "member {id} ended while starting: {last}; see {}",
                output.stderr.display()
            );
        }
        if Instant::now() > end {
            bail!(
                "member {id} was not ready within {READY:?}; see {}",
                output.stderr.display()
            );
        }
        sleep(POLL).await;
    }
    cluster.have_data.insert(id);
    cluster.save()
}

/// Waits a little for the first election; a cluster without a leader is shown as it is.
async fn wait_for_leader(cluster: &Cluster) {
    let end = Instant::now() + Duration::from_secs(5);
    while Instant::now() < end {
        for id in cluster.ids() {
            if Status::of(&cluster.layout.client_addr(id))
                .await
                .is_ok_and(|status| status.leads())
            {
                return;
            }
        }
        sleep(POLL).await;
    }
}

async fn print_status(cluster: &Cluster) -> Result<()> {
    const FIELDS: [&str; 8] = [
        "role",
        "epoch",
        "leader",
        "configuration",
        "commit",
        "applied",
        "digest",
        "policy",
    ];
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY);
    table.set_header(
        ["member", "clients", "pid", "process"]
            .iter()
            .chain(&FIELDS)
            .chain(&["snapshot"]),
    );
    for id in cluster.ids() {
        let address = cluster.layout.client_addr(id);
        let (pid, state) = match cluster.running(id) {
            Some(running) => (running.pid.to_string(), running.state()?),
            None => ("-".to_owned(), "stopped"),
        };
        let status = if state == "running" {
            Status::of(&address).await.ok()
        } else {
            None
        };
        let field = |name| {
            status
                .as_ref()
                .map_or("-", |status| status.get(name))
                .to_owned()
        };
        let mut row = vec![id.to_string(), address.clone(), pid, state.to_owned()];
        row.extend(FIELDS.iter().map(|&name| field(name)));
        row.push(field("snapshot"));
        table.add_row(row);
    }
    println!("{table}");
    Ok(())
}

fn print_hints(layout: &Layout) {
    let port = |id: u16| layout.base_port + id - 1;
    let other = layout.nodes.min(2);
    println!(
        "data and logs in {}; policy {}",
        layout.dir.display(),
        layout.policy
    );
    println!("try:");
    println!("  redis-cli -p {} set greeting hello", port(1));
    println!("  redis-cli -p {} get greeting", port(other));
    println!("  redis-cli -p {} quorate status", port(1));
    println!("  cargo xtask cluster kill 1");
    println!("  cargo xtask cluster down");
}

async fn kill(id: u16) -> Result<()> {
    let mut cluster = Cluster::load()?;
    cluster.member(id)?.signal(Signal::KILL)?;
    wait_gone(&cluster, id).await?;
    cluster.members.remove(&id);
    cluster.save()?;
    println!("member {id} is killed");
    Ok(())
}

fn signal(id: u16, signal: Signal, done: &str) -> Result<()> {
    Cluster::load()?.member(id)?.signal(signal)?;
    println!("member {id}: {done}");
    Ok(())
}

async fn restart(id: u16) -> Result<()> {
    let mut cluster = Cluster::load()?;
    cluster.check(id)?;
    stop(&mut cluster, id).await?;
    if !cluster.have_data.contains(&id) && cluster.layout.policy.durability != Durability::Memory {
        println!(
            "member {id} has forgotten its promises: what it acknowledged before may now be lost"
        );
    }
    let from = spawn(&mut cluster, id)?;
    wait_ready(&mut cluster, id, from).await?;
    println!("member {id} is ready");
    Ok(())
}

async fn down() -> Result<()> {
    let Some(mut cluster) = Cluster::find()? else {
        println!("no cluster is up");
        return Ok(());
    };
    let ids: Vec<_> = cluster.all_ids().collect();
    for id in ids {
        stop(&mut cluster, id).await?;
    }
    members::erase_all(&cluster)?;
    // A folder with other files in it is somebody else's too, and stays.
    let _ = fs::remove_dir(&cluster.layout.dir);
    Cluster::forget()?;
    println!("the cluster is down");
    Ok(())
}

/// Stops member `id` with SIGTERM if it runs, also if it is paused.
async fn stop(cluster: &mut Cluster, id: u16) -> Result<()> {
    if let Some(running) = cluster.running(id) {
        running.signal(Signal::TERM)?;
        running.signal(Signal::CONT)?;
        if wait_gone(cluster, id).await.is_err() {
            println!("member {id} does not stop; killing it");
            running.signal(Signal::KILL)?;
            wait_gone(cluster, id).await?;
        }
    }
    cluster.members.remove(&id);
    cluster.save()
}

async fn wait_gone(cluster: &Cluster, id: u16) -> Result<()> {
    let end = Instant::now() + STOPPED;
    while cluster.running(id).is_some() {
        if Instant::now() > end {
            bail!("member {id} still runs after {STOPPED:?}");
        }
        sleep(POLL).await;
    }
    Ok(())
}

fn erase(dir: &std::path::Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot erase {}", dir.display()))
        }
        _ => Ok(()),
    }
}
