//! The members of one of Quorate's logs.

use std::mem;

use quorate_core::{
    BatchBuilder, Input, Instant, Label, Mark, Memory, NodeId, Outbox, Output, Position,
    ReplicatedLog, RoleKind, SnapshotMeta, Ticket,
};
use quorate_paxos::{Paxos, PaxosConfig};
use quorate_raft::{Raft, RaftConfig};

use super::{Commands, Cores, Shape};

/// A log that can be measured.
pub trait Contender: ReplicatedLog {
    /// How it is called in tables.
    const NAME: &'static str;

    /// The config of member `id`, as its crate suggests it.
    fn config(id: NodeId, voters: &[NodeId]) -> Self::Config;
}

impl Contender for Raft {
    const NAME: &'static str = "raft";

    fn config(id: NodeId, voters: &[NodeId]) -> RaftConfig {
        RaftConfig::new(id, voters)
    }
}

impl Contender for Paxos {
    const NAME: &'static str = "paxos";

    fn config(id: NodeId, voters: &[NodeId]) -> PaxosConfig {
        PaxosConfig::new(id, voters)
    }
}

/// A log, what waits to be told to it, and its disk.
struct Member<L: ReplicatedLog> {
    log: L,
    inbox: Vec<(NodeId, L::Message)>,
    written: Mark,
    acknowledged: Mark,
    committed: u64,
}

/// Members of the log `L` in one thread.
pub struct Members<L: ReplicatedLog> {
    all: Vec<Member<L>>,
    leader: usize,
    outbox: Outbox<L>,
    /// An inbox that is being worked through; swapped, so that it is allocated once.
    spare: Vec<(NodeId, L::Message)>,
    /// One for all batches, as a member has.
    builder: BatchBuilder,
    commands: Commands,
    shape: Shape,
    rounds: u64,
    now: Instant,
}

impl<L: Contender> Members<L> {
    /// A cluster that has elected a leader.
    ///
    /// # Panics
    /// If nobody comes to lead.
    pub fn new(shape: Shape) -> Self {
        let voters: Vec<_> = (1..=shape.members).map(NodeId).collect();
        let members = voters.iter().map(|id| Member::new(*id, &voters));
        let mut this = Self {
            all: members.collect(),
            leader: 0,
            outbox: Outbox::new(),
            spare: Vec::new(),
            builder: BatchBuilder::new(),
            commands: Commands::new(shape.payload),
            shape,
            rounds: 0,
            now: Instant::ZERO,
        };
        this.elect();
        this
    }

    /// Lets time pass from deadline to deadline until a member leads.
    fn elect(&mut self) {
        let leads = |member: &Member<L>| member.log.status().role == RoleKind::Leader;
        for _ in 0..1000 {
            if let Some(leader) = self.all.iter().position(leads) {
                self.leader = leader;
                return;
            }
            let deadlines = self.all.iter().map(|member| member.log.deadline());
            let next = deadlines.flatten().min().expect("a follower waits");
            self.now = self.now.max(next);
            for at in 0..self.all.len() {
                if self.all[at]
                    .log
                    .deadline()
                    .is_some_and(|due| due <= self.now)
                {
                    self.step(at, Input::Tick);
                }
            }
            self.settle();
        }
        panic!("nobody leads after a thousand deadlines");
    }

    /// Bytes that the largest log holds in memory.
    pub fn held(&self) -> u64 {
        let held = self.all.iter().map(|member| member.log.status().bytes);
        held.max().unwrap_or(0)
    }

    fn step(&mut self, at: usize, input: Input<L::Message>) {
        self.all[at].log.step(self.now, input, &mut self.outbox);
        self.carry_out(at);
    }

    /// Does what the member wants done.
    fn carry_out(&mut self, at: usize) {
        let from = NodeId(at as u64 + 1);
        for output in self.outbox.drain() {
            match output {
                Output::Persist { mark, .. } => self.all[at].written = mark,
                Output::Send { to, message } => {
                    let inbox = &mut self.all[to.0 as usize - 1].inbox;
                    inbox.push((from, message));
                }
                Output::Commit(run) => self.all[at].committed += run.batch.len(),
                Output::Reject { why, .. } => panic!("a proposal was refused: {why}"),
                _ => {}
            }
        }
    }

    fn propose(&mut self) {
        for _ in 0..self.shape.batch {
            self.builder.push(self.commands.advance());
        }
        let batch = self.builder.finish(Label::default()).expect("commands");
        let ticket = Ticket(0);
        self.step(self.leader, Input::Propose { ticket, batch });
    }

    /// Until nothing is left to tell anybody.
    fn settle(&mut self) {
        let mut busy = true;
        while busy {
            busy = false;
            for at in 0..self.all.len() {
                busy |= self.turn(at);
            }
        }
    }

    /// Gives a member what has come for it, then acknowledges its writes. False: there was neither.
    fn turn(&mut self, at: usize) -> bool {
        let mut inbox = mem::take(&mut self.spare);
        mem::swap(&mut inbox, &mut self.all[at].inbox);
        let mut busy = !inbox.is_empty();
        for (from, message) in inbox.drain(..) {
            let input = Input::Receive { from, message };
            self.all[at].log.step(self.now, input, &mut self.outbox);
        }
        self.spare = inbox;
        self.carry_out(at);
        let member = &mut self.all[at];
        if member.acknowledged < member.written {
            member.acknowledged = member.written;
            let upto = member.written;
            self.step(at, Input::Durable { upto });
            busy = true;
        }
        busy
    }

    fn compact(&mut self) {
        for at in 0..self.all.len() {
            let status = self.all[at].log.status();
            let snapshot = SnapshotMeta {
                position: status.committed,
                epoch: status.epoch,
                bytes: 0,
                checksum: 0,
            };
            // The last is kept, so that an append can name the one before it.
            let upto = Position(status.committed.0.saturating_sub(1));
            self.step(at, Input::Compact { upto, snapshot });
        }
        self.settle();
    }
}

impl<L: Contender> Member<L> {
    fn new(id: NodeId, voters: &[NodeId]) -> Self {
        let memory = Memory {
            records: &mut core::iter::empty(),
            durable: Mark::ZERO,
            snapshot: None,
            configuration: None,
        };
        let log = L::restore(L::config(id, voters), Instant::ZERO, memory);
        Self {
            log: log.expect("an empty memory contradicts nothing"),
            inbox: Vec::new(),
            written: Mark::ZERO,
            acknowledged: Mark::ZERO,
            committed: 0,
        }
    }
}

impl<L: Contender> Cores for Members<L> {
    fn round(&mut self) -> u64 {
        let before = self.all[self.leader].committed;
        for _ in 0..self.shape.turns {
            self.propose();
        }
        self.settle();
        self.rounds += 1;
        if self.rounds.is_multiple_of(self.shape.kept_rounds()) {
            self.compact();
        }
        let committed = self.all[self.leader].committed;
        assert!(self.all.iter().all(|member| member.committed == committed));
        committed - before
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cores::KEPT_BYTES;

    /// Long enough to compact several times.
    fn commits_all<L: Contender>() {
        for members in [3, 5, 7] {
            let shape = Shape {
                members,
                ..Shape::new(4096, 16)
            };
            let mut cluster = Members::<L>::new(shape);
            let rounds = 3 * shape.kept_rounds() + 1;
            let committed: u64 = (0..rounds).map(|_| cluster.round()).sum();
            assert_eq!(committed, rounds * shape.commands());
            assert!(cluster.held() < 3 * KEPT_BYTES);
        }
    }

    #[test]
    fn raft_commits_all_that_a_round_proposes_and_forgets_in_time() {
        commits_all::<Raft>();
    }

    #[test]
    fn paxos_commits_all_that_a_round_proposes_and_forgets_in_time() {
        commits_all::<Paxos>();
    }
}
