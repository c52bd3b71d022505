//! Members in this process.

use std::time::Duration;

use bytes::Bytes;
use quorate::core::{
    At, ClusterId, Direction, LinkStatus, MalformedSnapshot, NodeId, ReplicatedLog, RoleKind,
    SnapshotSource, StateMachine,
};
use quorate::node::{Node, NodeConfig};
use quorate::raft::{Raft, RaftConfig};
use quorate::replication::{Learner, LearnerConfig, LinkConfig, Linked};
use quorate::transport::Lane;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

const POLL: Duration = Duration::from_millis(20);
/// What does not happen by then does not happen.
const PATIENCE: Duration = Duration::from_mins(2);

/// What is replicated: how many commands there were, how many bytes, and a sum over all of them in their order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) commands: u64,
    bytes: u64,
    sum: u64,
}

impl StateMachine for Tally {
    type Reply = u64;
    type Snapshot = Written;

    fn apply(&mut self, _: At, command: &[u8]) -> u64 {
        self.commands += 1;
        self.bytes += command.len() as u64;
        let head = command.iter().take(16).fold(0, |sum: u64, byte| {
            sum.wrapping_mul(257).wrapping_add(u64::from(*byte))
        });
        self.sum = self
            .sum
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(head);
        self.commands
    }

    fn snapshot(&self) -> Written {
        let fields = [self.commands, self.bytes, self.sum];
        Written(Some(
            fields
                .iter()
                .flat_map(|field| field.to_le_bytes())
                .collect(),
        ))
    }

    fn restore(chunks: &mut dyn Iterator<Item = Bytes>) -> Result<Self, MalformedSnapshot> {
        let bytes: Vec<u8> = chunks.flatten().collect();
        let fields: &[[u8; 8]; 3] = bytes
            .as_chunks()
            .0
            .try_into()
            .map_err(|_| MalformedSnapshot("not three numbers"))?;
        let [commands, bytes, sum] = fields.map(u64::from_le_bytes);
        Ok(Self {
            commands,
            bytes,
            sum,
        })
    }

    fn digest(&self) -> u64 {
        self.sum
    }
}

/// A snapshot of it: one chunk.
pub(crate) struct Written(Option<Bytes>);

impl SnapshotSource for Written {
    fn next_chunk(&mut self, _: usize) -> Option<Bytes> {
        self.0.take()
    }
}

/// A cluster of Raft members whose links are directed, and learners beside them.
pub(crate) struct Cluster {
    pub(crate) members: Vec<Node<Tally>>,
    pub(crate) learners: Vec<Node<Tally>>,
    /// Where the journals are, until the cluster is dropped.
    _dir: TempDir,
}

impl Cluster {
    /// Three members, fsync, and so many learners.
    pub(crate) async fn start(direction: Direction, learners: u64) -> Self {
        let dir = TempDir::new().expect("a temporary folder can be made");
        let voters = [1, 2, 3].map(NodeId);
        let others: Vec<_> = (11..11 + learners).map(NodeId).collect();
        let mut members = Vec::new();
        for id in voters {
            let raft = RaftConfig {
                // Links of a tenth of a second have to be able to elect.
                election_timeout: Duration::from_secs(1),
                heartbeat_interval: Duration::from_millis(100),
                seed: id.get(),
                ..RaftConfig::new(id, &voters)
            };
            let known = others.clone();
            let log = move |life| LinkConfig {
                learners: known,
                ..LinkConfig::new(raft, id, life, &voters, direction)
            };
            members.push(start::<Linked<Raft>>(&dir, id, log).await);
        }
        let mut learning = Vec::new();
        for id in &others {
            let (id, known) = (*id, others.clone());
            let log = move |life| LearnerConfig::new(id, life, &voters, &known);
            learning.push(start::<Learner<Raft>>(&dir, id, log).await);
        }
        let cluster = Self {
            members,
            learners: learning,
            _dir: dir,
        };
        cluster.introduce(&voters, &others);
        cluster.leader().await;
        cluster
    }

    /// Each listens at a port of the system's choice: tell all others.
    fn introduce(&self, voters: &[NodeId], others: &[NodeId]) {
        let ids = voters.iter().chain(others);
        for (id, member) in ids.zip(self.everybody()) {
            for other in self.everybody() {
                other.set_peer(*id, member.address());
            }
        }
    }

    pub(crate) fn everybody(&self) -> impl Iterator<Item = &Node<Tally>> {
        self.members.iter().chain(&self.learners)
    }

    /// The place of the member that leads, once there is one.
    pub(crate) async fn leader(&self) -> usize {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            let leads =
                |member: &Node<Tally>| member.status().borrow().log.role == RoleKind::Leader;
            if let Some(place) = self.members.iter().position(leads) {
                return place;
            }
            sleep(POLL).await;
        }
        panic!("no member leads");
    }

    /// Waits until everybody has applied the same, and how long that took; then whether their states are equal.
    pub(crate) async fn settled(&self) -> (Duration, bool) {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            let applied: Vec<_> = self
                .everybody()
                .map(|member| member.status().borrow().applied)
                .collect();
            let last = self
                .members
                .iter()
                .map(|member| member.status().borrow().log.last)
                .max();
            if applied.iter().all(|position| Some(*position) == last) {
                return (began.elapsed(), self.equal().await);
            }
            sleep(POLL).await;
        }
        (began.elapsed(), false)
    }

    async fn equal(&self) -> bool {
        let mut first = None;
        for member in self.everybody() {
            let digest = member.digest().await.expect("it runs");
            if *first.get_or_insert(digest) != digest {
                return false;
            }
        }
        true
    }

    /// How the leader sends to that member.
    pub(crate) async fn flow(&self, leader: usize, to: NodeId) -> LinkStatus {
        let flows = self.members[leader].flows().await.expect("it runs");
        flows
            .into_iter()
            .find(|link| link.peer == to)
            .expect("it is a peer")
    }

    /// What the leader holds for that member: what is under way on its link, and what waits to be written to its socket.
    pub(crate) async fn held(&self, leader: usize, to: NodeId) -> (u64, u64) {
        let flow = self.flow(leader, to).await;
        let links = self.members[leader].links();
        let waiting = links
            .iter()
            .filter(|link| link.peer == to && link.lane == Lane::Bulk);
        (
            flow.flying,
            waiting.map(|link| link.bytes_waiting as u64).sum(),
        )
    }

    /// Bytes that this member has handed to the system for all others.
    pub(crate) fn sent(&self, member: usize) -> u64 {
        self.members[member]
            .links()
            .iter()
            .map(|link| link.bytes_sent)
            .sum()
    }

    pub(crate) async fn stop(self) {
        for member in self.everybody() {
            member.stop().await;
        }
    }
}

async fn start<L>(
    dir: &TempDir,
    id: NodeId,
    log: impl FnOnce(quorate::core::Life) -> L::Config + Send + 'static,
) -> Node<Tally>
where
    L: ReplicatedLog + Send + 'static,
{
    let mut config = NodeConfig::new(ClusterId(1), id, dir.path().join(id.to_string()));
    config.replica.request_timeout = Duration::from_secs(30);
    let started = Node::start_with::<L>(config, log, Tally::default).await;
    started.expect("a member starts in an empty folder")
}
