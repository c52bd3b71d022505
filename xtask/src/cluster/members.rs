//! Verbs that change who the members are, or what one of them does.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use comfy_table::{Table, presets};
use quorate_core::Durability;
use rustix::process::Signal;
use tokio::time::{Instant, sleep};

use super::orders::{ORDER, PATIENCE, command, take_snapshot};
use super::process::{Process, describe};
use super::state::Cluster;
use super::status::{Status, ask_within, maps};
use super::{erase, spawn, stop, wait_gone, wait_ready};

const POLL: Duration = Duration::from_millis(50);

/// A new member: it follows, and votes once it has caught up. Returns its id.
///
/// # Errors
/// If it does not come up, does not catch up, or is refused.
pub(crate) async fn add(learner: bool) -> Result<u16> {
    let mut cluster = Cluster::load()?;
    if learner {
        let id = join(&mut cluster, &[]).await?;
        let (_, status) = cluster.directory().leader().await?;
        caught_up(&cluster, id, status.number("commit").unwrap_or(0)).await?;
        println!("member {id} follows without a vote");
        return Ok(id);
    }
    let id = join(&mut cluster, &["VOTE"]).await?;
    let what = format!("member {id} gets its vote");
    cluster
        .directory()
        .until(&what, |status| status.has_voter(id))
        .await?;
    println!("member {id} votes");
    Ok(id)
}

/// Starts a member under the next free id, and adds it as a learner that wishes so.
async fn join(cluster: &mut Cluster, wish: &[&str]) -> Result<u16> {
    let (_, status) = cluster.directory().leader().await?;
    let id = cluster.next_id()?;
    println!("member {id} is started with --join");
    cluster.joined.insert(id, status.voters());
    let from = spawn(cluster, id)?;
    wait_ready(cluster, id, from).await?;
    let (name, address) = (id.to_string(), cluster.layout.peer_addr(id));
    let words = [&["ADD", &name, &address], wish].concat();
    let directory = cluster.directory();
    directory
        .order_unless(&words, |status| status.has_member(id))
        .await?;
    println!("member {id} is a learner; it catches up");
    Ok(id)
}

async fn caught_up(cluster: &Cluster, id: u16, goal: u64) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    loop {
        let status = Status::of(&cluster.layout.client_addr(id)).await;
        let applied = status.ok().and_then(|status| status.number("applied"));
        if applied.is_some_and(|applied| applied >= goal) {
            println!("member {id} has everything up to {goal}");
            return Ok(());
        }
        if Instant::now() > end {
            bail!("member {id} has not caught up within {PATIENCE:?}");
        }
        sleep(POLL).await;
    }
}

/// A member is one no more, and stops; what it remembers stays where it is.
///
/// # Errors
/// If it is refused.
pub(crate) async fn remove(id: u16) -> Result<()> {
    let mut cluster = Cluster::load()?;
    cluster.check(id)?;
    let directory = cluster.directory();
    let words = ["REMOVE", &id.to_string()];
    directory
        .order_unless(&words, |status| !status.has_member(id))
        .await?;
    leave(&mut cluster, id).await?;
    println!("member {id} is removed");
    Ok(())
}

async fn leave(cluster: &mut Cluster, id: u16) -> Result<()> {
    stop(cluster, id).await?;
    cluster.removed.insert(id);
    cluster.save()
}

/// A new member takes the place of `old`.
///
/// # Errors
/// If it does not come up, does not catch up, or is refused.
pub(crate) async fn replace(old: u16) -> Result<()> {
    let mut cluster = Cluster::load()?;
    cluster.check(old)?;
    replace_in(&mut cluster, old).await
}

async fn replace_in(cluster: &mut Cluster, old: u16) -> Result<()> {
    let new = join(cluster, &["REPLACE", &old.to_string()]).await?;
    let what = format!("member {new} gets the place of member {old}");
    let replaced = |status: &Status| status.has_voter(new) && !status.has_member(old);
    cluster.directory().until(&what, replaced).await?;
    leave(cluster, old).await?;
    println!("member {new} votes in the place of member {old}");
    Ok(())
}

/// Kills a member and erases its disk; shows that it is not taken back as itself; lets a new one take its place.
///
/// # Errors
/// If it is taken back, or the new one does not come.
pub(crate) async fn wipe(id: u16) -> Result<()> {
    let mut cluster = Cluster::load()?;
    cluster.check(id)?;
    if cluster.layout.policy.durability == Durability::Memory {
        bail!("nothing is kept with durability memory: there is no disk to wipe");
    }
    if let Some(running) = cluster.running(id) {
        running.signal(Signal::KILL)?;
        wait_gone(&cluster, id).await?;
        println!("member {id} is killed");
    }
    cluster.members.remove(&id);
    erase(&cluster.layout.data_dir(id))?;
    cluster.have_data.remove(&id);
    cluster.save()?;
    println!("member {id} remembers nothing; it is started as itself");
    let mut command = cluster.command(id);
    cluster.layout.output(id).attach(&mut command)?;
    let mut process = Process::spawn(command, &format!("member {id}"))?;
    let ended = tokio::time::timeout(PATIENCE, process.wait()).await;
    let status = ended.context("it still runs: nobody refuses it")??;
    if status.code() != Some(66) {
        bail!(
            "member {id} ended otherwise than it should: {}",
            describe(status)
        );
    }
    println!("member {id} is refused: {}", describe(status));
    erase(&cluster.layout.data_dir(id))?;
    replace_in(&mut cluster, id).await
}

/// Hands leadership over.
///
/// # Errors
/// If it is refused.
pub(crate) async fn transfer(to: Option<u16>) -> Result<()> {
    let cluster = Cluster::load()?;
    let to = to.map(|id| id.to_string());
    let words: Vec<_> = ["TRANSFER"].into_iter().chain(to.as_deref()).collect();
    cluster.directory().order(&words).await?;
    let (leader, _) = cluster.directory().leader().await?;
    println!("member {leader} leads");
    Ok(())
}

/// Lets one member, or all, take a snapshot now.
///
/// # Errors
/// If one does not.
pub(crate) async fn snapshot(id: Option<u16>) -> Result<()> {
    let cluster = Cluster::load()?;
    let ids = match id {
        Some(id) => vec![id],
        None => cluster.ids().collect(),
    };
    for id in ids {
        cluster.member(id)?;
        let address = cluster.layout.client_addr(id);
        take_snapshot(&address).await?;
        let position = Status::of(&address).await?.get("snapshot").to_owned();
        println!("member {id} has a snapshot at {position}");
    }
    Ok(())
}

/// Shows the members as their leader sees them.
///
/// # Errors
/// If nobody leads.
pub(crate) async fn members() -> Result<()> {
    let cluster = Cluster::load()?;
    let (leader, _) = cluster.directory().leader().await?;
    let address = cluster.layout.client_addr(leader);
    let members = maps(ask_within(&address, &command(&["MEMBERS"]), ORDER).await?);
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY);
    if let Some(first) = members.first() {
        table.set_header(first.iter().map(|(name, _)| name));
    }
    for member in members {
        table.add_row(member.into_iter().map(|(_, value)| value));
    }
    println!("{table}");
    Ok(())
}

/// Erases what all members leave behind, those that were removed among them.
///
/// # Errors
/// If a folder cannot be removed.
pub(crate) fn erase_all(cluster: &Cluster) -> Result<()> {
    for id in cluster.all_ids() {
        erase(&cluster.layout.data_dir(id))?;
        let output = cluster.layout.output(id);
        for file in [output.stdout, output.stderr] {
            // A member that was never started has no output.
            let _ = fs::remove_file(file);
        }
    }
    Ok(())
}
