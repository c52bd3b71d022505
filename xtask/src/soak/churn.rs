//! What is done to the members of a soak.

use std::time::Duration;

use anyhow::{Context, Result};

use super::watch::Seat;
use crate::cluster::orders::Directory;
use crate::cluster::status::Status;
use crate::demo::members::Members;
use crate::demo::operator::Eve;
use crate::demo::wiped;

/// This member is there from beginning to end, so that what grows slowly shows.
pub(crate) const ELDER: u16 = 1;

/// Something that was done; times since the load began.
#[derive(Clone, Debug)]
pub(crate) struct Done {
    /// What, in words.
    pub(crate) what: String,
    /// When it began.
    pub(crate) from: Duration,
    /// When it had come about.
    pub(crate) to: Duration,
    /// Whether nobody was killed: then writes stop for no longer than an election.
    pub(crate) planned: bool,
}

/// The members, and who comes next.
pub(crate) struct Churn {
    /// The processes.
    pub(crate) members: Members,
    /// The voters that run.
    voters: Vec<u16>,
    last_id: u16,
    turns: u16,
}

impl Churn {
    /// Founders that run.
    pub(crate) fn new(members: Members) -> Self {
        let voters = members.ids();
        Self {
            last_id: voters.last().copied().unwrap_or_default(),
            voters,
            members,
            turns: 0,
        }
    }

    /// The voters that run, the oldest first.
    pub(crate) fn seats(&self) -> Vec<Seat> {
        let running = self.members.running().into_iter();
        let layout = self.members.layout();
        let seat = |(id, pid)| Seat {
            id,
            pid,
            address: layout.client_addr(id),
            dir: layout.data_dir(id),
        };
        let voting = running.filter(|(id, _)| self.voters.contains(id));
        voting.map(seat).collect()
    }

    /// Hands leadership over, in turns to a certain member and to whoever is fittest.
    pub(crate) async fn transfer(&mut self) -> Result<String> {
        let directory = self.members.directory();
        let (leader, _) = directory.leader().await?;
        self.turns += 1;
        let others: Vec<_> = self.voters.iter().filter(|id| **id != leader).collect();
        let to = others[usize::from(self.turns / 2) % others.len()].to_string();
        if self.turns.is_multiple_of(2) {
            let led_by_another = |status: &Status| status.get("leader") != leader.to_string();
            directory
                .order_unless(&["TRANSFER"], led_by_another)
                .await?;
        } else {
            let led_by_it = |status: &Status| status.get("leader") == to;
            directory
                .order_unless(&["TRANSFER", &to], led_by_it)
                .await?;
        }
        let (now, _) = directory.leader().await?;
        Ok(format!("leadership goes from {leader} to {now}"))
    }

    /// Whose turn it is to go: the leader, or another; never the elder. From now on it counts no more as one that runs.
    pub(crate) async fn choose(&mut self, leads: bool) -> Result<Victim> {
        let (leader, _) = self.members.directory().leader().await?;
        let mut others = self.voters.iter().filter(|id| **id != ELDER);
        let member = others.find(|id| (**id == leader) == (leads && leader != ELDER));
        let member = *member.context("nobody is left to go")?;
        self.voters.retain(|id| *id != member);
        let led = member == leader;
        Ok(Victim { member, led })
    }

    /// Kills a member, erases its disk, and sees that it is refused as itself; a new one takes its place.
    pub(crate) async fn wipe(&mut self, victim: Victim) -> Result<String> {
        let Victim { member, led } = victim;
        let appoints = !self.members.layout().policy.protocol.is_consensus();
        let eve = if led && appoints {
            Some(Eve::of(&self.members, member, 0).await?)
        } else {
            None
        };
        self.members.kill(member);
        self.members.erase(member)?;
        if let Some(eve) = eve {
            eve.promote(&self.members, 0, 0).await?;
        }
        wiped::refuse(&mut self.members, member).await?;
        self.last_id += 1;
        let (new, role) = (self.last_id, victim.role());
        wiped::replace(&mut self.members, member, new).await?;
        self.voters.push(new);
        Ok(format!(
            "member {member}, {role}, is wiped; member {new} takes its place"
        ))
    }

    /// A new member comes, and gets its vote once it has caught up.
    pub(crate) async fn add(&mut self) -> Result<String> {
        self.last_id += 1;
        let new = self.last_id;
        wiped::join(&mut self.members, new, &["VOTE"]).await?;
        let what = format!("member {new} gets its vote");
        self.directory()
            .until(&what, |status| status.has_voter(new))
            .await?;
        self.voters.push(new);
        Ok(format!("member {new} is added"))
    }

    /// A member is removed, then stopped.
    pub(crate) async fn remove(&mut self, victim: Victim) -> Result<String> {
        let member = victim.member;
        let words = ["REMOVE", &member.to_string()];
        let gone = |status: &Status| !status.has_member(member);
        self.directory().order_unless(&words, gone).await?;
        self.members.leave(member).await?;
        Ok(format!("member {member}, {}, is removed", victim.role()))
    }

    fn directory(&self) -> Directory {
        self.members.directory()
    }
}

/// A member that is to go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Victim {
    member: u16,
    led: bool,
}

impl Victim {
    fn role(self) -> &'static str {
        if self.led { "the leader" } else { "a follower" }
    }
}
