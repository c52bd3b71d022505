//! Verbs that change who the members are, or what one of them does.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use comfy_table::{Table, presets};
use quorate_core::Durability;
use redis::{Cmd, Value};
use rustix::process::Signal;
use tokio::time::{Instant, sleep};

use super::process::{Process, describe};
use super::state::Cluster;
use super::status::{Status, ask_within, maps};
use super::{erase, spawn, stop, wait_gone, wait_ready};

/// An order that is refused all the time is given up then; so is a member that does not catch up.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long the leader may take for one order.
const ORDER: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(50);

/// A new member: it follows, and votes once it has caught up. Returns its id.
///
/// # Errors
/// If it does not come up, does not catch up, or is refused.
pub(crate) async fn add(learner: bool) -> Result<u16> {
    let mut cluster = Cluster::load()?;
    let id = join(&mut cluster).await?;
    if learner {
        println!("member {id} follows without a vote");
        return Ok(id);
    }
    order(&cluster, &["VOTER", &id.to_string()]).await?;
    println!("member {id} votes");
    Ok(id)
}

/// Starts a member under the next free id, adds it as a learner, and waits until it has everything.
async fn join(cluster: &mut Cluster) -> Result<u16> {
    let (leader, _) = leader(cluster).await?;
    let status = Status::of(&cluster.layout.client_addr(leader)).await?;
    let voters = status.get("members").split(',');
    let voters = voters.filter_map(|id| id.parse().ok()).collect();
    let id = cluster.next_id()?;
    println!("member {id} is started with --join");
    cluster.joined.insert(id, voters);
    let from = spawn(cluster, id)?;
    wait_ready(cluster, id, from).await?;
    let address = cluster.layout.peer_addr(id);
    order(cluster, &["ADD", &id.to_string(), &address]).await?;
    println!("member {id} is a learner; it catches up");
    let goal = Status::of(&cluster.layout.client_addr(leader)).await?;
    let goal = goal.number("commit").unwrap_or(0);
    caught_up(cluster, id, goal).await?;
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
    order(&cluster, &["REMOVE", &id.to_string()]).await?;
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
    let new = join(cluster).await?;
    let words = ["REPLACE", &old.to_string(), &new.to_string()];
    order(cluster, &words).await?;
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
    order(&cluster, &words).await?;
    let (leader, _) = leader(&cluster).await?;
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
        ask_within(&address, &command(&["SNAPSHOT"]), ORDER).await?;
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
    let (leader, _) = leader(&cluster).await?;
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

fn command(words: &[&str]) -> Cmd {
    let mut command = Cmd::new();
    command.arg("QUORATE").arg(words);
    command
}

/// Gives an order to whoever leads, until it is carried out.
async fn order(cluster: &Cluster, words: &[&str]) -> Result<Value> {
    let end = Instant::now() + PATIENCE;
    loop {
        let (_, address) = leader(cluster).await?;
        match ask_within(&address, &command(words), ORDER).await {
            Ok(answer) => return Ok(answer),
            Err(error) => {
                let text = format!("{error:#}");
                let passes = ["NOTLEADER", "TRYAGAIN"]
                    .iter()
                    .any(|class| text.contains(class));
                if !passes || Instant::now() > end {
                    return Err(error.context(format!("QUORATE {}", words.join(" "))));
                }
            }
        }
        sleep(POLL).await;
    }
}

/// Who leads, and where its clients reach it.
async fn leader(cluster: &Cluster) -> Result<(u16, String)> {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        let mut best = None;
        for id in cluster.ids() {
            let status = Status::of(&cluster.layout.client_addr(id)).await;
            if let Ok(status) = status
                && status.leads()
            {
                best = best.max(Some((status.round(), id)));
            }
        }
        if let Some((_, id)) = best {
            return Ok((id, cluster.layout.client_addr(id)));
        }
        sleep(POLL).await;
    }
    bail!("no member leads after {PATIENCE:?}")
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
