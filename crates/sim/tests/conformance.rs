//! The suites on what this workspace has: every log, the built-in machine, the disks of the journal.

#[path = "../examples/sim/logs.rs"]
mod logs;

use bytes::Bytes;
use quorate_core::Rng;
use quorate_journal::{FileDisk, MemDisk};
use quorate_sim::{
    Ledger, LedgerMachine, Workload, disk_conformance, log_conformance, machine_conformance,
};

fn commands() -> Vec<Bytes> {
    let ledger = Ledger {
        reads: 0,
        ..Ledger::default()
    };
    let mut rng = Rng::new(7);
    (1..200)
        .filter_map(|number| ledger.command(&ledger.draw(&mut rng, number)))
        .collect()
}

/// A directory of its own, which the test leaves behind for the system to remove: a disk does not own its directory.
fn directory() -> FileDisk {
    let path = tempfile::tempdir().expect("a directory").keep();
    FileDisk::open(&path).expect("a disk in it")
}

logs::each_log!(log_conformance, 0..60);
log_conformance!(raft_push, logs::RAFT_PUSH, 0..30);
log_conformance!(raft_pull, logs::RAFT_PULL, 0..30);
log_conformance!(raft_mixed, logs::RAFT_MIXED, 0..30);
log_conformance!(paxos_push, logs::PAXOS_PUSH, 0..30);
log_conformance!(paxos_pull, logs::PAXOS_PULL, 0..30);
log_conformance!(paxos_mixed, logs::PAXOS_MIXED, 0..30);
log_conformance!(primary_backup_push, logs::PRIMARY_BACKUP_PUSH, 0..30);
log_conformance!(primary_backup_pull, logs::PRIMARY_BACKUP_PULL, 0..30);
log_conformance!(primary_backup_mixed, logs::PRIMARY_BACKUP_MIXED, 0..30);
machine_conformance!(ledger, LedgerMachine::default, commands);
disk_conformance!(in_memory, MemDisk::new);
disk_conformance!(in_files, directory);
