//! Who a member is, where it lives, and what it may use.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use quorate_core::{ClusterId, Life, NodeId, ReplicaConfig};
use quorate_journal::{Durability, JournalConfig, JournalError};
use quorate_transport::{LaneLimits, Network, Timing};

/// Everything a [`Node`](crate::Node) needs to know besides its log's own config. [`NodeConfig::new`] fills in
/// defaults; [`NodeConfig::check`] says what is absurd.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// The cluster; members of another are refused.
    pub cluster: ClusterId,
    /// This member.
    pub id: NodeId,
    /// Where the links between members are made.
    pub network: Network,
    /// Where to listen for other members, `host:port`; port 0 takes a free one. In a
    /// [`MemoryNetwork`](quorate_transport::MemoryNetwork) a name.
    pub listen: String,
    /// Where other members reach this one, as it tells those who do not know it: `host:port`. Empty: where it listens.
    pub advertise: String,
    /// Where the other members are, `host:port`, resolved at every dial; this member may be among them. Counts for members
    /// of which the configuration in the log gives no address. More can be named later with
    /// [`Node::set_peer`](crate::Node::set_peer).
    pub peers: BTreeMap<NodeId, String>,
    /// Where the journal and the snapshots are. With [`Durability::Memory`] nothing is written and it has to be empty.
    pub data_dir: PathBuf,
    /// Whether an empty or missing directory may be made into that of a new member. If not, a member whose disk
    /// was lost refuses to start instead of voting anew (`RELIABILITY` C7).
    pub may_create: bool,
    /// The journal's limits, its durability among them.
    pub journal: JournalConfig,
    /// The replica's limits. `id` and `life` are filled in at the start.
    pub replica: ReplicaConfig,
    /// Limits between members.
    pub links: LinkConfig,
    /// Limits of the runtime itself.
    pub pace: Pace,
}

/// Limits between members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkConfig {
    /// Of the lane for votes, heartbeats and acknowledgements.
    pub control: LaneLimits,
    /// Of the lane for entries and snapshots.
    pub bulk: LaneLimits,
    /// When to give a connection up and when to dial again.
    pub timing: Timing,
    /// Members of the cluster that are heard although this member's configuration does not name them, at once: it may be
    /// behind, and has to hear from them to learn who they are.
    pub strangers_max: usize,
}

/// How much the runtime does at once, and how long it waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Bytes of commands applied in one turn; heartbeats wait no longer than this takes.
    pub apply_bytes_per_turn: u64,
    /// Bytes on their way to the disk above which no further entries and requests are taken, those of other
    /// members included.
    pub journal_bytes_max: u64,
    /// Small writes are synced by the task of the replica itself, which wakes nobody, as long as the journal's thread has
    /// nothing to do and the last sync took no longer than this: a disk that becomes slow holds the task up once, for that
    /// one sync. Zero: always by the journal's thread.
    pub sync_here_max: Duration,
    /// How long a stopping member waits for the requests it has taken, and then again for its links to drain.
    pub stop_grace: Duration,
    /// How long to wait after a snapshot that could not be written before the next one is tried.
    pub snapshot_retry: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            apply_bytes_per_turn: 512 << 10,
            journal_bytes_max: 64 << 20,
            sync_here_max: Duration::from_millis(1),
            stop_grace: Duration::from_secs(1),
            snapshot_retry: Duration::from_secs(5),
        }
    }
}

impl NodeConfig {
    /// Member `id` of `cluster` on loopback, at a port of the system's choice, without peers, writing to `data_dir`
    /// with [`Durability::Fsync`].
    pub fn new(cluster: ClusterId, id: NodeId, data_dir: impl Into<PathBuf>) -> Self {
        Self {
            cluster,
            id,
            network: Network::default(),
            listen: "127.0.0.1:0".to_owned(),
            advertise: String::new(),
            peers: BTreeMap::new(),
            data_dir: data_dir.into(),
            may_create: true,
            journal: JournalConfig::default(),
            replica: ReplicaConfig::new(id, Life::ZERO),
            links: LinkConfig {
                control: LaneLimits::CONTROL,
                bulk: LaneLimits::BULK,
                timing: Timing::default(),
                strangers_max: 16,
            },
            pace: Pace::default(),
        }
    }

    /// As [`NodeConfig::new`], but nothing is ever written: what a stopped member knew is gone
    /// ([`Durability::Memory`]).
    pub fn in_memory(cluster: ClusterId, id: NodeId) -> Self {
        let mut config = Self::new(cluster, id, "");
        config.journal.durability = Durability::Memory;
        config
    }

    /// Refuses what could not work, with the reason. The transport's own limits are checked when it binds.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.journal.validate().map_err(ConfigError::Journal)?;
        if self.id == NodeId::ZERO {
            return refuse("id", "0 names no member");
        }
        self.check_dir()?;
        self.check_replica()?;
        self.check_pace()
    }

    /// Whether anything is written at all.
    pub(crate) fn keeps(&self) -> bool {
        self.journal.durability != Durability::Memory
    }

    fn check_dir(&self) -> Result<(), ConfigError> {
        let named = !self.data_dir.as_os_str().is_empty();
        match self.journal.durability {
            Durability::Memory if named => {
                refuse("data_dir", "nothing is written with durability memory")
            }
            Durability::Buffered | Durability::Fsync if !named => {
                refuse("data_dir", "is needed unless durability is memory")
            }
            _ => Ok(()),
        }
    }

    fn check_replica(&self) -> Result<(), ConfigError> {
        let replica = &self.replica;
        let command = replica.command_bytes_max;
        let durations = [replica.request_timeout, replica.retry_interval];
        if durations.contains(&Duration::ZERO) {
            return refuse(
                "replica",
                "request_timeout and retry_interval must not be zero",
            );
        }
        if command == 0 || replica.pending_max == 0 || replica.batch_bytes_max == 0 {
            return refuse(
                "replica",
                "command_bytes_max, pending_max and batch_bytes_max must not be zero",
            );
        }
        if replica.pending_bytes_max < command + ROOM_AROUND {
            return refuse(
                "replica.pending_bytes_max",
                "must hold the greatest command and 4 KiB",
            );
        }
        if self.keeps() && self.journal.record_bytes_max < command + ROOM_AROUND {
            return refuse(
                "journal.record_bytes_max",
                "must hold the greatest command and 4 KiB around it",
            );
        }
        let frame = self.links.bulk.frame_bytes_max as u64;
        if frame < command.max(u64::from(replica.chunk_bytes)) + ROOM_AROUND {
            return refuse(
                "links.bulk.frame_bytes_max",
                "must hold the greatest command, a piece of a snapshot, and 4 KiB around them",
            );
        }
        let snapshots = [
            u64::from(replica.chunk_bytes),
            replica.snapshot_every_bytes,
            replica.snapshot_receivers_max as u64,
        ];
        if snapshots.contains(&0) {
            return refuse(
                "replica",
                "chunk_bytes, snapshot_every_bytes and snapshot_receivers_max must not be zero",
            );
        }
        Ok(())
    }

    fn check_pace(&self) -> Result<(), ConfigError> {
        let Pace {
            apply_bytes_per_turn,
            journal_bytes_max,
            snapshot_retry,
            ..
        } = self.pace;
        if apply_bytes_per_turn == 0 || journal_bytes_max == 0 {
            return refuse(
                "pace",
                "apply_bytes_per_turn and journal_bytes_max must not be zero",
            );
        }
        if snapshot_retry < Duration::from_millis(10) {
            return refuse("pace.snapshot_retry", "must be at least 10 ms");
        }
        Ok(())
    }
}

/// What a command needs around it in a record or a frame, generously.
const ROOM_AROUND: u64 = 4096;

fn refuse(field: &'static str, why: &'static str) -> Result<(), ConfigError> {
    Err(ConfigError::Absurd { field, why })
}

/// Why a config cannot be meant.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ConfigError {
    /// A field contradicts sense or another field.
    #[error("{field}: {why}")]
    Absurd {
        /// Which field.
        field: &'static str,
        /// What must hold.
        why: &'static str,
    },
    /// The journal's limits contradict each other.
    #[error(transparent)]
    Journal(JournalError),
}

#[cfg(test)]
mod tests {
    use super::*;

    type Spoil = fn(&mut NodeConfig);

    #[test]
    fn absurd_configs_are_refused_with_the_reason() {
        let sound = NodeConfig::new(ClusterId(1), NodeId(1), "/data");
        sound.check().expect("the defaults make sense");
        NodeConfig::in_memory(ClusterId(1), NodeId(1))
            .check()
            .expect("so do these");
        let spoilt: [(&str, Spoil); 9] = [
            ("id", |config| config.id = NodeId(0)),
            ("data_dir", |config| config.data_dir.clear()),
            ("data_dir", |config| {
                config.journal.durability = Durability::Memory;
            }),
            ("journal", |config| config.journal.segment_bytes = 1),
            ("record_bytes_max", |config| {
                config.replica.command_bytes_max = 40 << 20;
            }),
            ("pending_bytes_max", |config| {
                config.replica.pending_bytes_max = 1;
            }),
            ("frame_bytes_max", |config| {
                config.replica.chunk_bytes = 100 << 20;
            }),
            ("retry_interval", |config| {
                config.replica.retry_interval = Duration::ZERO;
            }),
            ("snapshot_retry", |config| {
                config.pace.snapshot_retry = Duration::ZERO;
            }),
        ];
        for (named, spoil) in spoilt {
            let mut config = sound.clone();
            spoil(&mut config);
            let error = config.check().expect_err(named).to_string();
            assert!(error.contains(named), "{named}: {error}");
        }
    }
}
