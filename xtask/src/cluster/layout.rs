//! How a cluster lies on this machine: folders, ports, and the command line of each member.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};
use clap::ValueEnum;
use quorate_core::{Durability, Policy, Protocol};
use serde::{Deserialize, Serialize};

use super::process::OutputFiles;

/// Peers listen this far above the clients' port.
const PEER_OFFSET: u16 = 1000;
/// Where the next block of ports is looked for when one is taken.
const STRIDE: u16 = 100;
/// Ports from here on are handed out to outgoing connections by Linux; a member that is restarted could find its own taken.
const FIRST_EPHEMERAL: u16 = 32_768;

/// The clients' port of member 1 unless told otherwise; member 2 has the next one.
pub(crate) const BASE_PORT: u16 = 17_001;
/// The most members that a cluster on one machine may have.
pub(crate) const MAX_NODES: u16 = 9;

/// What the members promise, and how they keep it.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Choice {
    /// All of it: `protocol/strategy/write_ack/read_level/durability`, what is left out at the end being the default
    /// [default: raft/push/quorum/linearizable/fsync].
    #[arg(long)]
    policy: Option<Policy>,
    /// Which replicated log, instead of the policy's: raft, paxos or primary-backup.
    #[arg(long)]
    protocol: Option<Protocol>,
    /// What an acknowledged write rests on, instead of the policy's: fsync, buffered or memory.
    #[arg(long)]
    durability: Option<Durability>,
}

impl Choice {
    /// The policy that is meant.
    ///
    /// # Errors
    /// If its parts do not go together.
    pub(crate) fn policy(self) -> Result<Policy> {
        let policy = self.policy.unwrap_or_default();
        let meant = Policy {
            protocol: self.protocol.unwrap_or(policy.protocol),
            durability: self.durability.unwrap_or(policy.durability),
            ..policy
        };
        Ok(meant.checked()?)
    }
}

/// A value of a command line option as people type it.
pub(crate) fn typed<T: ValueEnum>(value: &T) -> String {
    value
        .to_possible_value()
        .expect("no variant is skipped")
        .get_name()
        .to_owned()
}

/// A cluster on this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Layout {
    /// The server program.
    pub(crate) binary: PathBuf,
    /// The folder that holds one folder a member, and their output.
    pub(crate) dir: PathBuf,
    /// How many members; their ids are 1 to `nodes`.
    pub(crate) nodes: u16,
    /// The clients' port of member 1.
    pub(crate) base_port: u16,
    /// What they promise, and how they keep it.
    pub(crate) policy: Policy,
    /// Whether members take `QUORATE FAULT`.
    pub(crate) allow_faults: bool,
}

impl Layout {
    /// The ids of the members, ascending.
    pub(crate) fn ids(&self) -> impl Iterator<Item = u16> + use<> {
        1..=self.nodes
    }

    /// Where clients reach member `id`.
    pub(crate) fn client_addr(&self, id: u16) -> String {
        format!("127.0.0.1:{}", self.base_port + id - 1)
    }

    /// Where the other members reach member `id`.
    pub(crate) fn peer_addr(&self, id: u16) -> String {
        format!("127.0.0.1:{}", self.base_port + PEER_OFFSET + id - 1)
    }

    /// What member `id` remembers.
    pub(crate) fn data_dir(&self, id: u16) -> PathBuf {
        self.dir.join(format!("member-{id}"))
    }

    /// What member `id` prints.
    pub(crate) fn output(&self, id: u16) -> OutputFiles {
        OutputFiles {
            stdout: self.dir.join(format!("member-{id}.out")),
            stderr: self.dir.join(format!("member-{id}.log")),
        }
    }

    /// The command line of member `id`. One that has been here `before` refuses to start if its data is gone: it could
    /// break promises that it no longer remembers.
    pub(crate) fn command(&self, id: u16, before: bool) -> Command {
        let founders: Vec<_> = self.ids().collect();
        self.command_among(id, before, ("--peers", &founders))
    }

    /// As [`Self::command`], for a member that is told of others by this flag.
    pub(crate) fn command_among(
        &self,
        id: u16,
        before: bool,
        (flag, others): (&str, &[u16]),
    ) -> Command {
        let peers: Vec<String> = others
            .iter()
            .map(|peer| format!("{peer}={}", self.peer_addr(*peer)))
            .collect();
        let mut command = Command::new(&self.binary);
        command
            .args(["--cluster", "1", "--id", &id.to_string()])
            .args(["--client-addr", &self.client_addr(id)])
            .args(["--peer-addr", &self.peer_addr(id)])
            .args([flag, &peers.join(",")])
            .args(["--policy", &self.policy.to_string()]);
        if self.allow_faults {
            command.arg("--allow-faults");
        }
        if self.policy.durability != Durability::Memory {
            command.arg("--data").arg(self.data_dir(id));
            if before {
                command.arg("--require-data");
            }
        }
        command
    }
}

/// The first block of free ports at or after `first`, as the clients' port of member 1.
///
/// # Errors
/// If none is free below the ports that the system hands out by itself.
pub(crate) fn free_ports(first: u16, nodes: u16) -> Result<u16> {
    let mut base = first;
    while base < FIRST_EPHEMERAL - PEER_OFFSET - STRIDE {
        if all_free(base, nodes) {
            return Ok(base);
        }
        base += STRIDE;
    }
    bail!("no {nodes} free ports between {first} and {FIRST_EPHEMERAL}");
}

/// Whether the clients' and peers' ports of `nodes` members from `base` on can be listened on.
pub(crate) fn all_free(base: u16, nodes: u16) -> bool {
    let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    (0..nodes).all(|member| free(base + member) && free(base + PEER_OFFSET + member))
}

/// Whether `path` is a folder with something in it.
pub(crate) fn is_occupied(path: &Path) -> bool {
    std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn a_taken_port_moves_the_whole_block() {
        let base = free_ports(21_001, 3).unwrap();
        let _taken = TcpListener::bind(("127.0.0.1", base + PEER_OFFSET + 2)).unwrap();
        assert!(!all_free(base, 3));
        let other = free_ports(base, 3).unwrap();
        assert!(
            other > base && (other - base).is_multiple_of(STRIDE),
            "{base} {other}"
        );
    }

    #[test]
    fn every_member_is_told_all_peers_and_its_own_addresses() {
        let layout = Layout {
            binary: "quorate-kv".into(),
            dir: "d".into(),
            nodes: 3,
            base_port: 17_001,
            policy: Policy::default(),
            allow_faults: true,
        };
        let line: Vec<_> = layout
            .command(2, true)
            .get_args()
            .map(|arg| arg.to_str().unwrap().to_owned())
            .collect();
        let line = line.join(" ");
        assert_eq!(
            line,
            "--cluster 1 --id 2 --client-addr 127.0.0.1:17002 \
             --peer-addr 127.0.0.1:18002 \
             --peers 1=127.0.0.1:18001,2=127.0.0.1:18002,3=127.0.0.1:18003 \
             --policy raft/push/quorum/linearizable/fsync --allow-faults --data d/member-2 --require-data"
        );
    }
}
