//! Members that share a process and nothing else: each has a thread and a runtime of its own, as servers have.

use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use quorate_core::{ClusterId, NodeId};
use quorate_node::{Node, NodeConfig};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use super::{Service, Tally, closed_loop, nodes};
use crate::cores::Contender;

/// Three members with journals, and a client in a thread of its own: that which calls.
pub struct Apart {
    client: Runtime,
    members: Vec<Node<Tally>>,
    leader: Node<Tally>,
}

impl Apart {
    /// Starts members over the log `L` that write below `dir`, and waits until one of them leads. A member syncs small
    /// writes in its own thread if syncs take no longer than `sync_here_max`.
    ///
    /// # Panics
    /// If a member does not start, or none leads.
    pub fn start<L>(dir: &TempDir, sync_here_max: Duration) -> Self
    where
        L: Contender + Send + 'static,
        L::Config: Send + 'static,
    {
        let client = current_thread();
        let voters: Vec<_> = (1..=3).map(NodeId).collect();
        let mut members: Vec<Node<Tally>> = Vec::new();
        for id in &voters {
            let mut config = NodeConfig::new(ClusterId(7), *id, dir.path().join(id.to_string()));
            config.pace.sync_here_max = sync_here_max;
            let before = voters.iter().zip(&members);
            let peers = before.map(|(peer, member)| (*peer, member.address().to_owned()));
            config.peers.extend(peers);
            let member = client.block_on(start::<L>(config, L::config(*id, &voters)));
            for other in &members {
                other.set_peer(*id, member.address());
            }
            members.push(member);
        }
        let leader = client.block_on(nodes::leader(&members));
        Self {
            client,
            members,
            leader,
        }
    }

    /// Commits a command of `payload` bytes `times` times, one after the other; how long each took.
    ///
    /// # Panics
    /// If one is not committed.
    pub fn commits(&self, payload: usize, times: usize) -> Vec<Duration> {
        self.client.block_on(async {
            let mut took = Vec::with_capacity(times);
            for _ in 0..times {
                let command = vec![7; payload].into();
                let begun = Instant::now();
                let applied = self.leader.propose(command).await;
                took.push(begun.elapsed());
                applied.expect("the leader stays");
            }
            took
        })
    }

    /// Commits a second of `clients` that each wait for one answer, for `time`.
    ///
    /// # Panics
    /// If a command is not committed.
    pub fn rate(&self, clients: usize, payload: usize, time: Duration) -> f64 {
        let leader = Leader(self.leader.clone());
        let rate = closed_loop(&leader, clients, payload, time);
        self.client.block_on(rate)
    }

    /// Stops all members.
    pub fn stop(self) {
        self.client.block_on(async {
            for member in &self.members {
                member.stop().await;
            }
        });
    }
}

#[derive(Clone)]
struct Leader(Node<Tally>);

impl Service for Leader {
    async fn commit(&self, command: Bytes) {
        let applied = self.0.propose(command).await;
        applied.expect("the leader stays and its queues hold all clients");
    }
}

/// A member in a thread of its own, which ends with it.
async fn start<L>(config: NodeConfig, log: L::Config) -> Node<Tally>
where
    L: Contender + Send + 'static,
    L::Config: Send + 'static,
{
    let (tell, started) = oneshot::channel();
    thread::spawn(move || {
        current_thread().block_on(async {
            let member = Node::start::<L>(config, log, Tally::default).await;
            let member = member.expect("a member starts");
            if tell.send(member.clone()).is_ok() {
                member.stopped().await;
            }
        });
    });
    started.await.expect("a member starts")
}

fn current_thread() -> Runtime {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime starts")
}
