//! A cluster of `openraft` in memory.

mod log;
mod machine;
mod network;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use openraft::{Config, Raft, SnapshotPolicy};
use quorate_benches::cluster::Service;

use self::log::Log;
use self::machine::Machine;
use self::network::Router;

/// A command; opaque.
#[derive(Clone, Debug)]
pub(crate) struct Command(Bytes);

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

openraft::declare_raft_types!(
    /// Small numbers for names, no addresses, no replies.
    pub(crate) Types: D = Command, R = (), NodeId = u64, Node = (),
);

type Member = Raft<Types, Machine>;

/// Members in this process; clients ask the one that leads.
#[derive(Clone)]
pub(crate) struct Openraft {
    members: Vec<Member>,
    leader: Member,
}

impl Openraft {
    /// # Errors
    /// If a member does not start, or none leads within ten seconds.
    pub(crate) async fn start(size: u64) -> Result<Self> {
        let config = Config {
            heartbeat_interval: 50,
            election_timeout_min: 300,
            election_timeout_max: 600,
            max_payload_entries: 4096,
            snapshot_policy: SnapshotPolicy::LogsSinceLast(1 << 17),
            max_in_snapshot_log_to_keep: 1 << 12,
            purge_batch_size: 1 << 10,
            ..Config::default()
        };
        let config = Arc::new(config.validate()?);
        let router = Router::default();
        let mut members = Vec::new();
        for id in 1..=size {
            let member = Raft::new(
                id,
                Arc::clone(&config),
                router.clone(),
                Log::default(),
                Machine::default(),
            );
            let member = member.await?;
            router.introduce(id, member.clone());
            members.push(member);
        }
        members[0]
            .initialize((1..=size).collect::<BTreeSet<_>>())
            .await?;
        let first = members[0].wait(Some(Duration::from_secs(10)));
        let led = first.metrics(|known| known.current_leader.is_some(), "a leader");
        let leader = led.await?.current_leader.context("nobody leads")?;
        let leader = members[leader as usize - 1].clone();
        Ok(Self { members, leader })
    }

    /// # Errors
    /// If a member cannot be waited for.
    pub(crate) async fn stop(&self) -> Result<()> {
        for member in &self.members {
            member.shutdown().await?;
        }
        Ok(())
    }
}

impl Service for Openraft {
    async fn commit(&self, command: Bytes) {
        let written = self.leader.client_write(Command(command)).await;
        written.expect("the leader stays");
    }
}
