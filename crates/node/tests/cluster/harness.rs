//! A cluster in one process: every member with its own directory and its own port.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use quorate_core::{
    At, ClusterId, Failure, MalformedSnapshot, NodeId, Position, ReadLevel, RoleKind,
    SnapshotSource, StateMachine,
};
use quorate_node::{Applied, Digest, Node, NodeConfig, NodeStatus, StartError};
use quorate_raft::{Raft, RaftConfig};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

/// How long a cluster on this machine may take for anything before the test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The counter that takes two milliseconds to count up.
pub(crate) const SLOW: &[u8] = b"slow";

/// Counters by name. A command is a name; it counts one up and answers the new count.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    counts: BTreeMap<Bytes, u64>,
    digest: u64,
}

impl Counters {
    pub(crate) fn count(&self, name: &[u8]) -> u64 {
        self.counts.get(name).copied().unwrap_or(0)
    }

    pub(crate) fn counts(&self) -> BTreeMap<Bytes, u64> {
        self.counts.clone()
    }
}

impl StateMachine for Counters {
    type Reply = u64;
    type Snapshot = Copied;

    fn apply(&mut self, at: At, command: &[u8]) -> u64 {
        if command == SLOW {
            std::thread::sleep(Duration::from_millis(2));
        }
        let count = self
            .counts
            .entry(Bytes::copy_from_slice(command))
            .or_default();
        *count += 1;
        let mixed = self.digest.rotate_left(5) ^ at.position.0 ^ command.len() as u64;
        self.digest = mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        *count
    }

    fn snapshot(&self) -> Copied {
        let mut head = BytesMut::new();
        head.put_u64(self.digest);
        let chunks = self.counts.iter().map(|(name, count)| {
            let mut chunk = BytesMut::new();
            chunk.put_u64(*count);
            chunk.extend_from_slice(name);
            chunk.freeze()
        });
        Copied(
            std::iter::once(head.freeze())
                .chain(chunks)
                .collect::<Vec<_>>()
                .into_iter(),
        )
    }

    fn restore(chunks: &mut dyn Iterator<Item = Bytes>) -> Result<Self, MalformedSnapshot> {
        let malformed = MalformedSnapshot("cut");
        let number = |bytes: &Bytes| bytes.first_chunk().copied().map(u64::from_be_bytes);
        let head = chunks.next().ok_or(malformed.clone())?;
        let digest = number(&head).ok_or(malformed.clone())?;
        let mut counts = BTreeMap::new();
        for chunk in chunks {
            counts.insert(chunk.slice(8..), number(&chunk).ok_or(malformed.clone())?);
        }
        Ok(Self { counts, digest })
    }

    fn digest(&self) -> u64 {
        self.digest
    }
}

/// The state, copied at once.
pub(crate) struct Copied(std::vec::IntoIter<Bytes>);

impl SnapshotSource for Copied {
    fn next_chunk(&mut self, _: usize) -> Option<Bytes> {
        self.0.next()
    }
}

pub(crate) type Member = Node<Counters>;

/// Changes the default config of a member before it starts.
pub(crate) type Tune = fn(&mut NodeConfig, &mut RaftConfig);

pub(crate) struct Cluster {
    pub(crate) members: BTreeMap<NodeId, Member>,
    voters: Vec<NodeId>,
    dir: TempDir,
    tune: Tune,
}

impl Cluster {
    pub(crate) async fn start(size: u64) -> Self {
        Self::start_tuned(size, |_, _| {}).await
    }

    pub(crate) async fn start_tuned(size: u64, tune: Tune) -> Self {
        let mut this = Self {
            members: BTreeMap::new(),
            voters: (1..=size).map(NodeId).collect(),
            dir: tempfile::tempdir().unwrap(),
            tune,
        };
        for id in this.voters.clone() {
            this.start_member(id).await.unwrap();
        }
        this
    }

    /// Says who the members are that are still to be started.
    pub(crate) fn set_voters(&mut self, size: u64) {
        self.voters = (1..=size).map(NodeId).collect();
    }

    pub(crate) fn dir(&self, id: NodeId) -> PathBuf {
        self.dir.path().join(id.to_string())
    }

    /// The configs of a member as the cluster starts it.
    pub(crate) fn configs(&self, id: NodeId) -> (NodeConfig, RaftConfig) {
        let mut config = NodeConfig::new(ClusterId(7), id, self.dir(id));
        // Small segments: a new directory is made in no time.
        config.journal.segment_bytes = 1 << 20;
        config.journal.record_bytes_max = 512 << 10;
        config.journal.reserve_bytes = 64 << 10;
        config.replica.command_bytes_max = 128 << 10;
        config.replica.chunk_bytes = 64 << 10;
        config.links.timing.redial_max = Duration::from_millis(100);
        for (peer, member) in &self.members {
            config.peers.insert(*peer, member.address().to_owned());
        }
        let mut raft = RaftConfig::new(id, &self.voters);
        raft.append_bytes_max = 128 << 10;
        raft.seed = 42;
        (self.tune)(&mut config, &mut raft);
        (config, raft)
    }

    /// Starts a member and introduces it to the others.
    pub(crate) async fn start_member(&mut self, id: NodeId) -> Result<Member, StartError> {
        let (config, raft) = self.configs(id);
        let node = Node::start::<Raft>(config, raft, Counters::default).await?;
        self.introduce(id, node.clone());
        Ok(node)
    }

    pub(crate) fn introduce(&mut self, id: NodeId, node: Member) {
        for member in self.members.values() {
            member.set_peer(id, node.address());
        }
        self.members.insert(id, node);
    }

    pub(crate) async fn stop_member(&mut self, id: NodeId) -> Member {
        let node = self.members.remove(&id).unwrap();
        node.stop().await;
        node
    }

    pub(crate) fn member(&self, id: NodeId) -> &Member {
        &self.members[&id]
    }

    /// The member that leads, once there is one that all running members follow.
    pub(crate) async fn leader(&self) -> NodeId {
        within(async {
            loop {
                let statuses = self.members.values().map(status);
                let leaders: Vec<_> = statuses
                    .map(|status| (status.log.leader, status.log.epoch))
                    .collect();
                if let Some(leader) = leaders[0].0
                    && leaders.iter().all(|other| *other == leaders[0])
                    && self
                        .members
                        .get(&leader)
                        .is_some_and(|node| status(node).log.role == RoleKind::Leader)
                {
                    return leader;
                }
                sleep(Duration::from_millis(5)).await;
            }
        })
        .await
    }

    pub(crate) async fn follower(&self) -> NodeId {
        let leader = self.leader().await;
        *self.members.keys().find(|id| **id != leader).unwrap()
    }

    /// Waits until all members have applied the same and compares their digests.
    pub(crate) async fn agree(&self) -> Digest {
        within(async {
            loop {
                let mut digests = Vec::new();
                for member in self.members.values() {
                    digests.push(member.digest().await.unwrap());
                }
                let applied = digests[0].applied;
                if digests.iter().all(|digest| digest.applied == applied) {
                    assert!(
                        digests
                            .iter()
                            .all(|digest| digest.digest == digests[0].digest),
                        "equal positions, other states: {digests:?}"
                    );
                    return digests[0];
                }
                sleep(Duration::from_millis(10)).await;
            }
        })
        .await
    }

    pub(crate) async fn stop(self) {
        for member in self.members.into_values() {
            member.stop().await;
        }
    }
}

pub(crate) fn status(member: &Member) -> NodeStatus {
    member.status().borrow().clone()
}

/// Fails the test if it takes too long.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("it takes too long")
}

/// Waits until a member's status says so.
pub(crate) async fn until(member: &Member, what: impl FnMut(&NodeStatus) -> bool) {
    let mut status = member.status();
    within(status.wait_for(what)).await.unwrap();
}

pub(crate) async fn increment(
    member: &Member,
    name: &'static str,
) -> Result<Applied<u64>, Failure> {
    within(member.propose(Bytes::from_static(name.as_bytes()))).await
}

/// Counts up again and again until it succeeds, for tests in which it does not matter how often it did before.
pub(crate) async fn increment_surely(member: &Member, name: &'static str) -> Applied<u64> {
    let until = Instant::now() + PATIENCE;
    loop {
        match increment(member, name).await {
            Ok(applied) => return applied,
            Err(failure) => assert!(Instant::now() < until, "{failure}"),
        }
        sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) async fn count(
    member: &Member,
    level: ReadLevel,
    name: &'static str,
) -> (u64, Position) {
    let read = member.read(level, move |state, stamp| {
        assert_eq!(stamp.level, level);
        (state.count(name.as_bytes()), stamp.applied)
    });
    within(read).await.unwrap()
}
