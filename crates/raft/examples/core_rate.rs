//! How fast the bare protocol is: three members in one thread, no encoding, no disk, no network.
//!
//! `cargo run --release -p quorate-raft --example core_rate`. Every message is one input; what a
//! member has written is acknowledged when nothing else is to do, as a journal with group commit would. What comes out is an upper bound for one core: no member of a real cluster does the
//! work of all three.

use std::collections::VecDeque;
use std::time::{Duration, Instant as Clock};

use quorate_core::{
    Batch, BatchBuilder, Input, Instant, Label, Mark, Memory, NodeId, Outbox, Output, Position,
    ReplicatedLog, RoleKind, SnapshotMeta, Ticket,
};
use quorate_raft::{Message, Raft, RaftConfig};

/// Proposals under way at once.
const DEPTH: u64 = 64;
/// Entries between two compactions.
const KEPT: u64 = 1 << 16;

struct Cluster {
    members: Vec<Raft>,
    outbox: Outbox<Raft>,
    inputs: VecDeque<(usize, Input<Message>)>,
    /// The last write of every member, and the last that was acknowledged.
    writes: [(Mark, Mark); 3],
    now: Instant,
    committed: u64,
}

impl Cluster {
    fn new() -> Self {
        let ids = [NodeId(1), NodeId(2), NodeId(3)];
        let member = |id| {
            let memory = Memory {
                records: &mut core::iter::empty(),
                durable: Mark::ZERO,
                snapshot: None,
                configuration: None,
            };
            Raft::restore(RaftConfig::new(id, &ids), Instant::ZERO, memory)
        };
        let members = ids.map(|id| member(id).expect("an empty memory"));
        let mut cluster = Self {
            members: members.into(),
            outbox: Outbox::new(),
            inputs: VecDeque::new(),
            writes: [(Mark::ZERO, Mark::ZERO); 3],
            now: Instant::ZERO,
            committed: 0,
        };
        cluster.now = cluster.members[0].deadline().expect("a follower waits");
        cluster.step(0, Input::Tick);
        cluster.settle();
        assert_eq!(cluster.members[0].status().role, RoleKind::Leader);
        cluster
    }

    fn step(&mut self, member: usize, input: Input<Message>) {
        self.members[member].step(self.now, input, &mut self.outbox);
        for output in self.outbox.drain() {
            let next = match output {
                Output::Persist { mark, .. } => {
                    self.writes[member].0 = mark;
                    continue;
                }
                Output::Send { to, message } => {
                    let from = NodeId(member as u64 + 1);
                    (to.get() as usize - 1, Input::Receive { from, message })
                }
                Output::Commit(committed) if member == 0 => {
                    self.committed += committed.batch.len();
                    continue;
                }
                Output::Reject { why, .. } => panic!("{why}"),
                _ => continue,
            };
            self.inputs.push_back(next);
        }
    }

    fn settle(&mut self) {
        loop {
            while let Some((member, input)) = self.inputs.pop_front() {
                self.step(member, input);
            }
            let Some(member) = self.writes.iter().position(|(last, known)| last > known) else {
                return;
            };
            let upto = self.writes[member].0;
            self.writes[member].1 = upto;
            self.step(member, Input::Durable { upto });
        }
    }

    fn compact(&mut self) {
        for member in 0..self.members.len() {
            let status = self.members[member].status();
            let snapshot = SnapshotMeta {
                position: status.committed,
                epoch: status.epoch,
                bytes: 0,
                checksum: 0,
            };
            let upto = Position(status.committed.get().saturating_sub(1000));
            self.step(member, Input::Compact { upto, snapshot });
        }
        self.settle();
    }
}

fn batch(commands: u64) -> Batch {
    let mut builder = BatchBuilder::new();
    (0..commands).for_each(|_| builder.push(&[7; 16]));
    builder.finish(Label::default()).expect("commands")
}

/// Entries a second at `commands` entries a batch.
fn measure(commands: u64) -> f64 {
    let mut cluster = Cluster::new();
    let batch = batch(commands);
    let (before, start) = (cluster.committed, Clock::now());
    let mut compacted = cluster.committed;
    while start.elapsed() < Duration::from_secs(2) {
        for ticket in 0..DEPTH {
            let (ticket, batch) = (Ticket(ticket), batch.clone());
            cluster.step(0, Input::Propose { ticket, batch });
        }
        cluster.settle();
        if cluster.committed - compacted > KEPT {
            compacted = cluster.committed;
            cluster.compact();
        }
    }
    (cluster.committed - before) as f64 / start.elapsed().as_secs_f64()
}

fn main() {
    println!("three members, one thread, 16 B commands, {DEPTH} proposals under way");
    for commands in [1, 16, 64, 256] {
        let rate = measure(commands);
        println!("batch {commands:>4}: {:>7.2} M entries/s", rate / 1e6);
    }
}
