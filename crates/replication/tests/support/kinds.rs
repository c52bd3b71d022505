//! The logs that are linked.

use std::fmt::Display;
use std::time::Duration;

use quorate_core::{Message, NodeId, ReplicatedLog};
use quorate_paxos::{Paxos, PaxosConfig};
use quorate_primary_backup::{PrimaryBackup, PrimaryBackupConfig};
use quorate_raft::{Raft, RaftConfig};

/// A log to be linked in a test.
pub trait Kind: 'static {
    type Log: ReplicatedLog<Message: Message + Display, Record: Display>;
    fn config(id: NodeId, voters: &[NodeId], seed: u64) -> <Self::Log as ReplicatedLog>::Config;
    const NAME: &'static str;
}

pub struct OfRaft;
pub struct OfPaxos;
pub struct OfPrimaryBackup;

const ELECTION: Duration = Duration::from_millis(300);
const APPEND: u64 = 64 << 10;

impl Kind for OfRaft {
    type Log = Raft;
    const NAME: &'static str = "raft";

    fn config(id: NodeId, voters: &[NodeId], seed: u64) -> RaftConfig {
        RaftConfig {
            election_timeout: ELECTION,
            append_bytes_max: APPEND,
            seed,
            ..RaftConfig::new(id, voters)
        }
    }
}

impl Kind for OfPaxos {
    type Log = Paxos;
    const NAME: &'static str = "paxos";

    fn config(id: NodeId, voters: &[NodeId], seed: u64) -> PaxosConfig {
        PaxosConfig {
            election_timeout: ELECTION,
            append_bytes_max: APPEND,
            seed,
            ..PaxosConfig::new(id, voters)
        }
    }
}

impl Kind for OfPrimaryBackup {
    type Log = PrimaryBackup;
    const NAME: &'static str = "primary-backup";

    fn config(id: NodeId, voters: &[NodeId], _: u64) -> PrimaryBackupConfig {
        PrimaryBackupConfig {
            append_bytes_max: APPEND,
            ..PrimaryBackupConfig::new(id, voters)
        }
    }
}
