//! Quorate's own cluster: nodes that talk over TCP on loopback, or over pipes in memory.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use quorate_core::{ClusterId, NodeId, RoleKind};
use quorate_journal::Durability;
use quorate_node::{Node, NodeConfig};
use quorate_transport::{MemoryNetwork, Network};
use tempfile::TempDir;
use tokio::time::sleep;

use super::{Service, Tally};
use crate::cores::Contender;

/// What lies between the members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    /// TCP on loopback.
    Sockets,
    /// Pipes in memory, with all that stands above sockets: frames, checksums, bounds.
    Pipes,
}

impl fmt::Display for Links {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sockets => "over sockets",
            Self::Pipes => "over pipes",
        })
    }
}

/// Members of a cluster in this process; clients ask the one that leads.
#[derive(Clone, Debug)]
pub struct Nodes {
    members: Vec<Node<Tally>>,
    leader: Node<Tally>,
}

impl Nodes {
    /// Starts `size` members over the log `L` and waits until one of them leads. What is not [`Durability::Memory`] is
    /// written below `dir`.
    ///
    /// # Panics
    /// If a member does not start, or none leads.
    pub async fn start<L>(size: u64, durability: Durability, links: Links, dir: &TempDir) -> Self
    where
        L: Contender + Send + 'static,
        L::Config: Send + 'static,
    {
        let voters: Vec<_> = (1..=size).map(NodeId).collect();
        let pipes = MemoryNetwork::new();
        let mut members: Vec<Node<Tally>> = Vec::new();
        for id in &voters {
            let cluster = ClusterId(7);
            let mut config = match durability {
                Durability::Memory => NodeConfig::in_memory(cluster, *id),
                _ => NodeConfig::new(cluster, *id, dir.path().join(id.to_string())),
            };
            config.journal.durability = durability;
            if links == Links::Pipes {
                config.network = Network::Memory(pipes.clone());
                config.listen = format!("member-{id}");
            }
            let before = voters.iter().zip(&members);
            let peers = before.map(|(peer, member)| (*peer, member.address().to_owned()));
            config.peers.extend(peers);
            let log = L::config(*id, &voters);
            let member = Node::start::<L>(config, log, Tally::default).await;
            let member = member.expect("a member starts");
            for other in &members {
                other.set_peer(*id, member.address());
            }
            members.push(member);
        }
        let leader = leader(&members).await;
        Self { members, leader }
    }

    /// Stops all members.
    pub async fn stop(self) {
        for member in &self.members {
            member.stop().await;
        }
    }
}

/// The member that leads once every member knows of one.
pub(super) async fn leader(members: &[Node<Tally>]) -> Node<Tally> {
    loop {
        let status = |member: &Node<Tally>| member.status().borrow().log;
        let known = members.iter().all(|member| status(member).leader.is_some());
        let leads = |member: &&Node<Tally>| status(member).role == RoleKind::Leader;
        if let Some(leader) = members.iter().find(leads).filter(|_| known) {
            return leader.clone();
        }
        sleep(Duration::from_millis(10)).await;
    }
}

impl Service for Nodes {
    async fn commit(&self, command: Bytes) {
        let applied = self.leader.propose(command).await;
        applied.expect("the leader stays and its queues hold all clients");
    }
}
