//! Three members of a Raft cluster in one process replicate a counter.

use bytes::Bytes;
use quorate::core::{At, ClusterId, MalformedSnapshot, NodeId, ReadLevel};
use quorate::core::{SnapshotSource, StateMachine};
use quorate::node::{Node, NodeConfig};
use quorate::raft::{Raft, RaftConfig};

/// What is replicated: a number. Every command adds one to it, whatever it says.
#[derive(Default)]
struct Counter(u64);

impl StateMachine for Counter {
    type Reply = u64;
    type Snapshot = Number;

    fn apply(&mut self, _: At, _: &[u8]) -> u64 {
        self.0 += 1;
        self.0
    }

    fn snapshot(&self) -> Number {
        Number(Some(self.0))
    }

    fn restore(chunks: &mut dyn Iterator<Item = Bytes>) -> Result<Self, MalformedSnapshot> {
        let chunk = chunks.next().ok_or(MalformedSnapshot("no number"))?;
        let number = chunk.as_ref().try_into();
        number
            .map(u64::from_le_bytes)
            .map(Self)
            .map_err(|_| MalformedSnapshot("not a number"))
    }

    fn digest(&self) -> u64 {
        self.0
    }
}

/// A snapshot of it: one chunk.
struct Number(Option<u64>);

impl SnapshotSource for Number {
    fn next_chunk(&mut self, _: usize) -> Option<Bytes> {
        let number = self.0.take()?;
        Some(Bytes::copy_from_slice(&number.to_le_bytes()))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let voters = [1, 2, 3].map(NodeId);
    let mut members: Vec<Node<Counter>> = Vec::new();
    for id in voters {
        let config = NodeConfig::new(ClusterId(1), id, dir.path().join(id.to_string()));
        let raft = RaftConfig::new(id, &voters);
        members.push(Node::start::<Raft>(config, raft, Counter::default).await?);
    }
    // Each member listens at a port of the system's choice: tell the others.
    for (id, member) in voters.into_iter().zip(&members) {
        for other in &members {
            other.set_peer(id, member.address());
        }
    }

    // Any member takes any request; the answer comes when a quorum has it on disk.
    let applied = members[0].propose("add".into()).await?;
    println!(
        "position {}: the counter is {}",
        applied.position, applied.reply
    );

    // A linearizable read sees what was acknowledged before it, on any member.
    let number = members[2]
        .read(ReadLevel::Linearizable, |counter, _| counter.0)
        .await?;
    assert_eq!(number, applied.reply);

    for member in &members {
        member.stop().await;
    }
    Ok(())
}
