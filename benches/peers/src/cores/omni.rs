//! `omnipaxos` over its `MemoryStorage`.
//!
//! Its storage is called inside the step: a write is acknowledged by returning, which is as late as its interface
//! allows. Quorate's and raft-rs' members get a separate input for that; here there is nothing to pay.
//!
//! Commands are `Bytes`, of any length, as those of Quorate and of raft-rs are; or, in a column of their own, arrays of a
//! length that the program knows, which need no allocation. Both are appended one by one, or gathered by the library's
//! own `batch_size`: the table shows the better.

use std::fmt::Debug;
use std::mem;

use bytes::Bytes;
use omnipaxos::messages::Message;
use omnipaxos::storage::{Entry, NoSnapshot};
use omnipaxos::{ClusterConfig, OmniPaxos, OmniPaxosConfig, ServerConfig};
use omnipaxos_storage::memory_storage::MemoryStorage;
use quorate_benches::cores::{Commands, Cores, Shape};

/// A command as the log holds it.
pub(crate) trait Command: Entry {
    fn of(bytes: &[u8]) -> Self;
}

#[derive(Clone, Debug)]
pub(crate) struct Shared(#[expect(dead_code, reason = "carried, not looked at")] Bytes);

impl Entry for Shared {
    type Snapshot = NoSnapshot;
}

impl Command for Shared {
    fn of(bytes: &[u8]) -> Self {
        Self(Bytes::copy_from_slice(bytes))
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Inline<const N: usize>([u8; N]);

impl<const N: usize> Entry for Inline<N> {
    type Snapshot = NoSnapshot;
}

impl<const N: usize> Command for Inline<N> {
    fn of(bytes: &[u8]) -> Self {
        Self(bytes.try_into().expect("a payload of this length"))
    }
}

struct Member<T: Command> {
    node: OmniPaxos<T, MemoryStorage<T>>,
    inbox: Vec<Message<T>>,
    committed: usize,
}

/// Members in one thread.
pub(crate) struct Omni<T: Command> {
    members: Vec<Member<T>>,
    leader: usize,
    spare: Vec<Message<T>>,
    commands: Commands,
    shape: Shape,
    rounds: u64,
}

impl<T: Command> Omni<T> {
    /// `gathered`: the library gathers the commands of a turn itself.
    pub(crate) fn new(shape: Shape, gathered: bool) -> Self {
        let nodes: Vec<u64> = (1..=shape.members).collect();
        let member = |pid: &u64| {
            let config = OmniPaxosConfig {
                cluster_config: ClusterConfig {
                    configuration_id: 1,
                    nodes: nodes.clone(),
                    ..ClusterConfig::default()
                },
                server_config: ServerConfig {
                    pid: *pid,
                    batch_size: if gathered { shape.batch as usize } else { 1 },
                    ..ServerConfig::default()
                },
            };
            let node = config.build(MemoryStorage::default());
            Member {
                node: node.expect("the config is sound"),
                inbox: Vec::new(),
                committed: 0,
            }
        };
        let mut this = Self {
            members: nodes.iter().map(member).collect(),
            leader: 0,
            spare: Vec::new(),
            commands: Commands::new(shape.payload),
            shape,
            rounds: 0,
        };
        this.elect();
        this
    }

    fn elect(&mut self) {
        for _ in 0..1000 {
            if let Some((leader, true)) = self.members[0].node.get_current_leader() {
                self.leader = leader as usize - 1;
                return;
            }
            for at in 0..self.members.len() {
                self.members[at].node.tick();
                self.work(at);
            }
            self.settle();
        }
        panic!("nobody leads after a thousand ticks");
    }

    fn propose(&mut self) {
        for _ in 0..self.shape.batch {
            let command = T::of(self.commands.advance());
            let appended = self.members[self.leader].node.append(command);
            appended.expect("the leader takes proposals");
        }
        self.work(self.leader);
    }

    /// Sends what the member has to say and takes what is decided.
    fn work(&mut self, at: usize) {
        let mut messages = mem::take(&mut self.spare);
        let member = &mut self.members[at];
        member.node.take_outgoing_messages(&mut messages);
        if let Some(decided) = member.node.read_decided_suffix(member.committed) {
            member.committed += decided.len();
        }
        for message in messages.drain(..) {
            self.members[message.get_receiver() as usize - 1]
                .inbox
                .push(message);
        }
        self.spare = messages;
    }

    fn turn(&mut self, at: usize) -> bool {
        if self.members[at].inbox.is_empty() {
            return false;
        }
        let mut inbox = mem::take(&mut self.spare);
        mem::swap(&mut inbox, &mut self.members[at].inbox);
        for message in inbox.drain(..) {
            self.members[at].node.handle_incoming(message);
        }
        self.spare = inbox;
        self.work(at);
        true
    }

    fn settle(&mut self) {
        let mut busy = true;
        while busy {
            busy = false;
            for at in 0..self.members.len() {
                busy |= self.turn(at);
            }
        }
    }

    fn compact(&mut self) {
        let decided = self.members[self.leader].node.get_decided_idx();
        let trimmed = self.members[self.leader].node.trim(Some(decided));
        trimmed.expect("all members have what is decided");
        self.work(self.leader);
        self.settle();
    }
}

impl<T: Command> Cores for Omni<T> {
    fn round(&mut self) -> u64 {
        let before = self.members[self.leader].committed;
        for _ in 0..self.shape.turns {
            self.propose();
        }
        self.settle();
        self.rounds += 1;
        if self.rounds.is_multiple_of(self.shape.kept_rounds()) {
            self.compact();
        }
        let committed = self.members[self.leader].committed;
        assert!(
            self.members
                .iter()
                .all(|member| member.committed == committed)
        );
        (committed - before) as u64
    }
}
