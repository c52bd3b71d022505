//! Members on `turmoil`: the node and the transport as they are, on its network and its clock. Hosts are killed, links are
//! cut, held and partitioned, while a client writes.
//!
//! What is random in the network comes from a seed. The journal's thread is a real one on a real directory, so when a
//! write is done is not: a run can be repeated, but not to the byte. Time runs at most [`SPEED`](cluster::SPEED) times as
//! fast as outside, so that the disk seems slow, not dead.
#![allow(clippy::unwrap_used)] // A test that cannot go on has failed.

mod cluster;
mod machine;

use std::time::Duration;

use quorate_core::{NodeId, ReplicatedLog};
use quorate_paxos::{Paxos, PaxosConfig};
use quorate_raft::{Raft, RaftConfig};

use crate::cluster::Cluster;

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// How the members of a cluster are configured.
type Configure<L> = fn(NodeId, &[NodeId]) -> <L as ReplicatedLog>::Config;

fn a_killed_leader_comes_back<L>(configure: Configure<L>)
where
    L: ReplicatedLog + Send + 'static,
    L::Config: Send + 'static,
{
    let mut cluster = Cluster::<L>::start(1, configure);
    for _ in 0..3 {
        let leader = cluster.leader();
        cluster.kill(leader);
        cluster.must_write(seconds(3), 30);
        cluster.restart(leader);
        cluster.must_write(seconds(2), 30);
    }
    cluster.settle();
}

fn a_follower_is_not_heard_or_does_not_hear<L>(configure: Configure<L>)
where
    L: ReplicatedLog + Send + 'static,
    L::Config: Send + 'static,
{
    let mut cluster = Cluster::<L>::start(2, configure);
    for deaf in [true, false] {
        let (leader, follower) = (cluster.leader(), cluster.follower());
        let (from, to) = if deaf {
            (leader, follower)
        } else {
            (follower, leader)
        };
        cluster.cut_one_way(from, to);
        cluster.must_write(seconds(4), 30);
        cluster.mend_one_way(from, to);
        cluster.must_write(seconds(3), 30);
    }
    cluster.settle();
}

fn what_is_held_arrives_late<L>(configure: Configure<L>)
where
    L: ReplicatedLog + Send + 'static,
    L::Config: Send + 'static,
{
    let mut cluster = Cluster::<L>::start(3, configure);
    for _ in 0..3 {
        let (leader, follower) = (cluster.leader(), cluster.follower());
        cluster.hold(leader, follower);
        cluster.must_write(seconds(3), 30);
        cluster.release(leader, follower);
        cluster.must_write(seconds(2), 30);
    }
    cluster.settle();
}

fn a_partition_heals<L>(configure: Configure<L>)
where
    L: ReplicatedLog + Send + 'static,
    L::Config: Send + 'static,
{
    let mut cluster = Cluster::<L>::start(4, configure);
    for _ in 0..2 {
        let leader = cluster.leader();
        cluster.isolate(leader);
        cluster.must_write(seconds(4), 30);
        cluster.rejoin(leader);
        cluster.must_write(seconds(3), 30);
    }
    cluster.settle();
}

macro_rules! on_every_log {
    ($($log:ident: $kind:ty = $configure:expr;)*) => {$(
        mod $log {
            use super::*;

            #[test]
            fn a_killed_leader_comes_back() {
                super::a_killed_leader_comes_back::<$kind>($configure);
            }

            #[test]
            fn a_follower_is_not_heard_or_does_not_hear() {
                super::a_follower_is_not_heard_or_does_not_hear::<$kind>($configure);
            }

            #[test]
            fn what_is_held_arrives_late() {
                super::what_is_held_arrives_late::<$kind>($configure);
            }

            #[test]
            fn a_partition_heals() {
                super::a_partition_heals::<$kind>($configure);
            }
        }
    )*};
}

on_every_log! {
    raft: Raft = |id, members| RaftConfig { seed: 7, ..RaftConfig::new(id, members) };
    paxos: Paxos = |id, members| PaxosConfig { seed: 7, ..PaxosConfig::new(id, members) };
}
