//! Disks that fail, lose, spoil and fill up.

use std::time::{Duration, Instant};

use bytes::Bytes;
use quorate_core::{ClusterId, Failure, Incarnation, Mark, NodeId, ReadLevel};
use quorate_journal::{Entry, Fault, FileDisk, Identity, Journal, JournalError, MemDisk};
use quorate_node::{Node, StartError, Stopped};
use quorate_raft::Raft;
use smallvec::SmallVec;
use tokio::time::timeout;

use crate::harness::{
    Cluster, Counters, Member, count, increment, increment_surely, status, until, within,
};
use crate::hooked::HookedDisk;

/// Moves a member that was stopped to a disk in memory.
async fn start_on(cluster: &mut Cluster, id: NodeId, disk: &MemDisk) -> Member {
    let (config, raft) = cluster.configs(id);
    let node = Node::start_on::<_, Raft>(disk.clone(), config, raft, Counters::default);
    let node = node.await.unwrap();
    cluster.introduce(id, node.clone());
    node
}

/// A cluster of three, each member on a disk in memory.
async fn on_memory() -> (Cluster, [MemDisk; 3]) {
    let mut cluster = Cluster::start(0).await;
    cluster.set_voters(3);
    let disks = [MemDisk::new(), MemDisk::new(), MemDisk::new()];
    for (id, disk) in (1..).zip(&disks) {
        start_on(&mut cluster, NodeId(id), disk).await;
    }
    (cluster, disks)
}

#[tokio::test]
async fn a_failed_disk_ends_the_member_within_a_second_with_code_74() {
    for fault in [Fault::Io, Fault::Crash] {
        let (mut cluster, disks) = on_memory().await;
        let leader = cluster.leader().await;
        let node = cluster.member(leader).clone();
        increment(&node, "a").await.unwrap();
        disks[leader.0 as usize - 1].fail_call(1, fault);
        let failed = Instant::now();
        let fates: Vec<_> = (0..50).map(|_| node.propose("b".into())).collect();
        let stopped = timeout(Duration::from_secs(1), node.stopped())
            .await
            .unwrap();
        assert_eq!(stopped.exit_code(), 74, "{stopped}");
        let mut acknowledged = 0;
        for fate in fates {
            match within(fate).await {
                // The two others had it on their disks before.
                Ok(_) => acknowledged += 1,
                Err(Failure::Unknown | Failure::Stopped) => {}
                Err(other) => panic!("{other}"),
            }
        }
        assert!(failed.elapsed() < Duration::from_secs(2));
        assert_eq!(increment(&node, "a").await, Err(Failure::Stopped));
        cluster.members.remove(&leader);
        let other = cluster.member(cluster.leader().await).clone();
        assert_eq!(count(&other, ReadLevel::Linearizable, "a").await.0, 1);
        let counted = count(&other, ReadLevel::Linearizable, "b").await.0;
        assert!(
            (acknowledged..=50).contains(&counted),
            "{acknowledged} {counted}"
        );
        cluster.stop().await;
    }
}

#[tokio::test]
async fn what_was_acknowledged_survives_power_losses_of_all_members_at_once() {
    let (mut cluster, disks) = on_memory().await;
    let mut acknowledged = 0;
    for round in 0..4 {
        let leader = cluster.member(cluster.leader().await).clone();
        for _ in 0..25 {
            increment_surely(&leader, "a").await;
            acknowledged += 1;
        }
        // These are in flight when the power goes.
        let open: Vec<_> = (0..25).map(|_| leader.propose("b".into())).collect();
        disks.iter().for_each(MemDisk::freeze);
        for member in std::mem::take(&mut cluster.members).into_values() {
            // One that waits for nothing but its leader notices only when it next writes.
            drop(member.propose("c".into()));
            within(member.stop()).await;
        }
        drop(open);
        for disk in &disks {
            let mut piece = round;
            disk.power_loss(|| {
                piece += 1;
                piece % 3 == 0
            });
            disk.thaw();
        }
        for (id, disk) in (1..).zip(&disks) {
            start_on(&mut cluster, NodeId(id), disk).await;
        }
        let leader = cluster.member(cluster.leader().await).clone();
        let counted = count(&leader, ReadLevel::Linearizable, "a").await.0;
        assert!(
            counted >= acknowledged,
            "{acknowledged} were acknowledged, {counted} are there"
        );
    }
    cluster.agree().await;
    cluster.stop().await;
}

#[tokio::test]
async fn a_full_disk_refuses_writes_and_serves_again_once_there_is_room() {
    let (cluster, disks) = on_memory().await;
    let leader = cluster.member(cluster.leader().await).clone();
    increment(&leader, "a").await.unwrap();
    // What is there may stay; nothing can be added.
    for disk in &disks {
        disk.set_capacity(Some(0));
    }
    let filler = Bytes::from(vec![b'x'; 64 << 10]);
    let refused = within(async {
        loop {
            match leader.propose(filler.clone()).await {
                Ok(_) => {}
                Err(failure) => return failure,
            }
        }
    })
    .await;
    // Once no member has room, nobody leads: an entry that nobody can take is surely not applied.
    assert!(
        matches!(
            refused,
            Failure::NoRoom | Failure::NotLeader { .. } | Failure::Unknown
        ),
        "{refused}"
    );
    until(&leader, |status| !status.journal.has_room).await;
    for disk in &disks {
        disk.set_capacity(None);
    }
    increment_surely(&leader, "a").await;
    until(&leader, |status| status.journal.has_room).await;
    assert!(count(&leader, ReadLevel::Linearizable, "a").await.0 >= 2);
    cluster.agree().await;
    cluster.stop().await;
}

#[tokio::test]
async fn a_snapshot_that_cannot_be_written_for_want_of_room_is_tried_again() {
    let mut cluster = Cluster::start_tuned(0, |config, _| {
        config.replica.snapshot_every_bytes = 32 << 10;
        config.pace.snapshot_retry = Duration::from_millis(50);
    })
    .await;
    cluster.set_voters(1);
    let disk = MemDisk::new();
    let only = start_on(&mut cluster, NodeId(1), &disk).await;
    increment(&only, "a").await.unwrap();
    disk.set_capacity(Some(0));
    let filler = Bytes::from(vec![b'x'; 4 << 10]);
    for _ in 0..20 {
        only.propose(filler.clone()).await.unwrap();
    }
    assert_eq!(status(&only).snapshot, None);
    disk.set_capacity(None);
    within(async {
        while status(&only).snapshot.is_none() {
            only.propose(filler.clone()).await.unwrap();
        }
    })
    .await;
    cluster.stop().await;
}

#[tokio::test]
async fn a_disk_that_fails_under_a_snapshot_ends_the_member_with_code_74() {
    let mut cluster = Cluster::start_tuned(0, |config, _| {
        config.replica.snapshot_every_bytes = 32 << 10;
    })
    .await;
    cluster.set_voters(1);
    let disk = HookedDisk::default();
    let (config, raft) = cluster.configs(NodeId(1));
    let only = Node::start_on::<_, Raft>(disk.clone(), config, raft, Counters::default);
    let only = only.await.unwrap();
    increment(&only, "a").await.unwrap();
    disk.spoil_snapshots();
    let filler = Bytes::from(vec![b'x'; 4 << 10]);
    while let Ok(applied) = within(only.propose(filler.clone())).await {
        assert!(applied.reply < 100, "its snapshot was due long ago");
    }
    let stopped = within(only.stopped()).await;
    assert!(matches!(stopped, Stopped::Snapshots(_)), "{stopped}");
    assert_eq!(stopped.exit_code(), 74);
}

#[tokio::test]
async fn a_flipped_byte_in_an_old_record_is_refused_and_a_torn_tail_is_cut() {
    let mut cluster = Cluster::start(3).await;
    let leader = cluster.member(cluster.leader().await).clone();
    for _ in 0..50 {
        increment(&leader, "a").await.unwrap();
    }
    cluster.agree().await;
    let victim = cluster.follower().await;
    cluster.stop_member(victim).await;
    let segment = cluster.dir(victim).join("0000000000000001.segment");
    let sound = std::fs::read(&segment).unwrap();
    let mut spoilt = sound.clone();
    spoilt[4096 + 300] ^= 0x10;
    std::fs::write(&segment, &spoilt).unwrap();
    let error = cluster.start_member(victim).await.unwrap_err();
    assert!(
        matches!(error, StartError::Journal(JournalError::Corrupt { .. })),
        "{error}"
    );
    assert_eq!(error.exit_code(), 65);
    assert!(
        error.to_string().contains("0000000000000001.segment"),
        "{error}"
    );
    // Whole again, with the beginning of a record behind the last one that never became whole.
    let mut torn = sound;
    let end = torn.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    torn[end.next_multiple_of(8) + 8..][..100].fill(0xab);
    std::fs::write(&segment, &torn).unwrap();
    let back = cluster.start_member(victim).await.unwrap();
    cluster.agree().await;
    assert_eq!(count(&back, ReadLevel::Local, "a").await.0, 50);
    cluster.stop().await;
}

#[tokio::test]
async fn a_journal_of_another_log_is_refused_with_the_record() {
    let mut cluster = Cluster::start(0).await;
    cluster.set_voters(1);
    let (config, _) = cluster.configs(NodeId(1));
    {
        let identity = Identity {
            cluster: ClusterId(7),
            member: NodeId(1),
            fresh: Some(Incarnation(5)),
            unix_micros: 1,
        };
        let disk = FileDisk::open(&config.data_dir).unwrap();
        let (mut journal, _) = Journal::open(disk, identity, config.journal).unwrap();
        let entry = Entry {
            mark: Mark(1),
            head: Bytes::from_static(b"\x02\0\0\0\xff\xff"),
            bodies: SmallVec::new(),
        };
        journal.append(&entry).unwrap();
        journal.close().unwrap();
    }
    let error = cluster.start_member(NodeId(1)).await.unwrap_err();
    assert!(
        matches!(error, StartError::Record { mark: Mark(1), .. }),
        "{error}"
    );
    assert_eq!(error.exit_code(), 65);
}

#[tokio::test]
async fn a_member_whose_directory_is_gone_refuses_to_start_as_itself() {
    let mut cluster = Cluster::start(3).await;
    let victim = cluster.follower().await;
    cluster.stop_member(victim).await;
    std::fs::remove_dir_all(cluster.dir(victim)).unwrap();
    let (mut config, raft) = cluster.configs(victim);
    config.may_create = false;
    let error = Node::start::<Raft>(config, raft, Counters::default)
        .await
        .unwrap_err();
    assert!(
        matches!(error, StartError::Journal(JournalError::Missing)),
        "{error}"
    );
    cluster.stop().await;
}
