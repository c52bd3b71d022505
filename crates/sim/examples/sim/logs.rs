//! The logs that are simulated: the one place that names them all.
#![allow(dead_code, reason = "a program names those that it runs")]

#[path = "linked.rs"]
mod linked;
#[path = "paxos.rs"]
mod paxos;
#[path = "primary_backup.rs"]
mod primary_backup;
#[path = "raft.rs"]
mod raft;
#[path = "seat.rs"]
mod seat;

use linked::LinkedProtocol;
pub(crate) use paxos::PaxosProtocol;
pub(crate) use primary_backup::PrimaryBackupProtocol;
use quorate_core::Direction::{Mixed, Pull, Push};
pub(crate) use raft::RaftProtocol;

type Raft = LinkedProtocol<RaftProtocol>;
type Paxos = LinkedProtocol<PaxosProtocol>;
type PrimaryBackup = LinkedProtocol<PrimaryBackupProtocol>;

pub(crate) const RAFT_PUSH: Raft = Raft::new("raft-push", RaftProtocol, Some(Push));
pub(crate) const RAFT_PULL: Raft = Raft::new("raft-pull", RaftProtocol, Some(Pull));
pub(crate) const RAFT_MIXED: Raft = Raft::new("raft-mixed", RaftProtocol, Some(Mixed));
pub(crate) const RAFT_LINKED: Raft = Raft::new("raft-linked", RaftProtocol, None);
pub(crate) const PAXOS_PUSH: Paxos = Paxos::new("paxos-push", PaxosProtocol, Some(Push));
pub(crate) const PAXOS_PULL: Paxos = Paxos::new("paxos-pull", PaxosProtocol, Some(Pull));
pub(crate) const PAXOS_MIXED: Paxos = Paxos::new("paxos-mixed", PaxosProtocol, Some(Mixed));
pub(crate) const PAXOS_LINKED: Paxos = Paxos::new("paxos-linked", PaxosProtocol, None);
pub(crate) const PRIMARY_BACKUP_PUSH: PrimaryBackup =
    PrimaryBackup::new("primary-backup-push", PrimaryBackupProtocol, Some(Push));
pub(crate) const PRIMARY_BACKUP_PULL: PrimaryBackup =
    PrimaryBackup::new("primary-backup-pull", PrimaryBackupProtocol, Some(Pull));
pub(crate) const PRIMARY_BACKUP_MIXED: PrimaryBackup =
    PrimaryBackup::new("primary-backup-mixed", PrimaryBackupProtocol, Some(Mixed));
pub(crate) const PRIMARY_BACKUP_LINKED: PrimaryBackup =
    PrimaryBackup::new("primary-backup-linked", PrimaryBackupProtocol, None);

/// Expands `$each!(name, protocol, …)` once for each log.
#[allow(unused_macros, reason = "the command line names the logs itself")]
macro_rules! each_log {
    ($each:ident $(, $more:expr)*) => {
        $each!(raft, $crate::logs::RaftProtocol $(, $more)*);
        $each!(paxos, $crate::logs::PaxosProtocol $(, $more)*);
        $each!(primary_backup, $crate::logs::PrimaryBackupProtocol $(, $more)*);
    };
}
#[allow(unused_imports, reason = "the command line names the logs itself")]
pub(crate) use each_log;
