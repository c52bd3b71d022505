//! What a member tells about itself.

use std::sync::Arc;

use quorate_core::{
    Configuration, Epoch, HandOverReason, Health, Incarnation, Life, Mark, NodeId, Position,
    RoleKind, SnapshotMeta, Status,
};
use quorate_journal::Durability;
use tokio::sync::watch;

/// What a member knows of itself, as of its last turn. What costs more than a copy is not in it: see
/// [`Node::digest`](crate::Node::digest) and [`Node::links`](crate::Node::links).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeStatus {
    /// This member.
    pub id: NodeId,
    /// The identity of its disk.
    pub incarnation: Incarnation,
    /// This run of it.
    pub life: Life,
    /// The log's own status.
    pub log: Status,
    /// Who the members are: the configuration in force, at [`Status::configured`]. How far each of them is, its leader
    /// says: see [`Node::peers`](crate::Node::peers).
    pub configuration: Arc<Configuration>,
    /// The last position applied.
    pub applied: Position,
    /// The newest snapshot that is durable here.
    pub snapshot: Option<SnapshotMeta>,
    /// The journal.
    pub journal: JournalStatus,
    /// What is open and what was lost.
    pub load: Load,
    /// How often the role, the epoch or the leader has changed since the start.
    pub leader_changes: u64,
    /// How often a link to a peer took another direction since the start.
    pub link_changes: u64,
    /// How well it serves.
    pub health: HealthStatus,
    /// Entries that this member had carried out and that were lost since the start, because a leader was promoted that
    /// did not have them; none: some, but their number is not known.
    pub entries_lost: Option<u64>,
}

/// What a member knows of its journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalStatus {
    /// When a record counts as written: to be named wherever a figure is.
    pub durability: Durability,
    /// The last record handed to the journal.
    pub written: Mark,
    /// The last record that is durable.
    pub durable: Mark,
    /// Payload bytes handed to the journal that are not durable yet.
    pub bytes_under_way: u64,
    /// Whether the disk has room for entries.
    pub has_room: bool,
}

/// How well a member serves, as it measures itself, and whether it gave way as a leader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HealthStatus {
    /// What it measures.
    pub measured: Health,
    /// How often it has handed leadership over by itself since the start.
    pub hand_overs: u64,
    /// The last time: who leads instead, and why.
    pub last: Option<(NodeId, HandOverReason)>,
}

/// What is open in a member, and what it lost since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Commands of clients whose fate is open.
    pub commands_open: usize,
    /// Their bytes.
    pub command_bytes_open: u64,
    /// Reads that wait.
    pub reads_open: usize,
    /// Bytes committed and not yet applied.
    pub backlog_bytes: u64,
    /// Parcels that could not be sent: no connection, or its outbox was full.
    pub parcels_lost: u64,
    /// Parcels that arrived and were not this protocol.
    pub parcels_malformed: u64,
    /// Pieces of snapshots that were asked for and not read, because too many were being read.
    pub pieces_refused: u64,
}

/// Who leads, as one member sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leadership {
    /// The part this member plays.
    pub role: RoleKind,
    /// The highest epoch it knows of.
    pub epoch: Epoch,
    /// Who leads in it, if known.
    pub leader: Option<NodeId>,
}

impl Leadership {
    pub(crate) const fn of(status: &Status) -> Self {
        Self {
            role: status.role,
            epoch: status.epoch,
            leader: status.leader,
        }
    }
}

/// The core's ends of what others watch.
#[derive(Debug)]
pub(crate) struct Board {
    pub(crate) status: watch::Sender<NodeStatus>,
    pub(crate) leadership: watch::Sender<Leadership>,
    leader_changes: u64,
}

impl Board {
    pub(crate) fn new(status: NodeStatus) -> Self {
        let leadership = Leadership::of(&status.log);
        Self {
            status: watch::Sender::new(status),
            leadership: watch::Sender::new(leadership),
            leader_changes: 0,
        }
    }

    /// Publishes what has changed; who watches is woken only then.
    pub(crate) fn publish(&mut self, mut status: NodeStatus) {
        let now = Leadership::of(&status.log);
        let before = *self.leadership.borrow();
        if before != now {
            self.leader_changes += 1;
            say(before, now);
            self.leadership.send_replace(now);
        }
        status.leader_changes = self.leader_changes;
        self.status.send_if_modified(|current| {
            let changed = *current != status;
            if changed {
                *current = status;
            }
            changed
        });
    }
}

fn say(before: Leadership, now: Leadership) {
    let Leadership {
        role,
        epoch,
        leader,
    } = now;
    let leader = leader.map(NodeId::get);
    if before.role == role {
        tracing::debug!(%role, %epoch, leader, "leadership changed");
    } else {
        tracing::info!(%role, %epoch, leader, "role changed");
    }
}
