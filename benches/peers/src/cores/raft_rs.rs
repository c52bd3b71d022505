//! `raft` of `TiKV`, as its manual runs it: `ready`, `advance_append_async`, `on_persist_ready`, over its `MemStorage`.
//!
//! The quickest way found to use it: the commands of a turn are one `MsgPropose`, and `batch_append` merges appends
//! that have not left yet.

use std::mem;

use quorate_benches::cores::{Commands, Cores, Shape};
use raft::prelude::{ConfState, Entry, Message, MessageType};
use raft::storage::MemStorage;
use raft::{Config, RawNode, StateRole};

struct Member {
    node: RawNode<MemStorage>,
    inbox: Vec<Message>,
    /// The last `Ready` that was written, if that is not acknowledged yet.
    written: Option<u64>,
    /// What may leave once that is on disk.
    withheld: Vec<Message>,
    committed: u64,
}

/// Members in one thread.
pub(crate) struct RaftRs {
    members: Vec<Member>,
    leader: usize,
    spare: Vec<Message>,
    commands: Commands,
    shape: Shape,
    rounds: u64,
}

impl RaftRs {
    pub(crate) fn new(shape: Shape) -> Self {
        let voters: Vec<u64> = (1..=shape.members).collect();
        let member = |id: &u64| {
            let config = Config {
                id: *id,
                max_size_per_msg: 1 << 20,
                max_inflight_msgs: 4096,
                batch_append: true,
                ..Config::default()
            };
            let storage =
                MemStorage::new_with_conf_state(ConfState::from((voters.clone(), vec![])));
            let logger = slog::Logger::root(slog::Discard, slog::o!());
            Member {
                node: RawNode::new(&config, storage, &logger).expect("the config is sound"),
                inbox: Vec::new(),
                written: None,
                withheld: Vec::new(),
                committed: 0,
            }
        };
        let mut this = Self {
            members: voters.iter().map(member).collect(),
            leader: 0,
            spare: Vec::new(),
            commands: Commands::new(shape.payload),
            shape,
            rounds: 0,
        };
        this.members[0].node.campaign().expect("a voter campaigns");
        this.settle();
        assert_eq!(this.members[0].node.raft.state, StateRole::Leader);
        this
    }

    fn propose(&mut self) {
        let command = || Entry {
            data: bytes::Bytes::copy_from_slice(self.commands.advance()),
            ..Entry::default()
        };
        let mut message = Message::default();
        message.set_msg_type(MessageType::MsgPropose);
        message.from = self.leader as u64 + 1;
        let entries: Vec<_> = std::iter::repeat_with(command)
            .take(self.shape.batch as usize)
            .collect();
        message.set_entries(entries.into());
        let leader = &mut self.members[self.leader].node;
        leader.step(message).expect("the leader takes proposals");
        self.work(self.leader);
    }

    /// Does what the member wants done; its writes are acknowledged elsewhere.
    fn work(&mut self, at: usize) -> bool {
        let member = &mut self.members[at];
        if !member.node.has_ready() {
            return false;
        }
        let mut ready = member.node.ready();
        let mut messages = ready.take_messages();
        count(&mut member.committed, &ready.take_committed_entries());
        {
            let mut storage = member.node.store().wl();
            storage.append(ready.entries()).expect("memory takes all");
            if let Some(state) = ready.hs() {
                storage.set_hardstate(state.clone());
            }
        }
        member.withheld.extend(ready.take_persisted_messages());
        member.written = Some(ready.number());
        member.node.advance_append_async(ready);
        member.node.advance_apply();
        self.send(&mut messages);
        true
    }

    fn send(&mut self, messages: &mut Vec<Message>) {
        for message in messages.drain(..) {
            self.members[message.to as usize - 1].inbox.push(message);
        }
    }

    fn turn(&mut self, at: usize) -> bool {
        let mut inbox = mem::take(&mut self.spare);
        mem::swap(&mut inbox, &mut self.members[at].inbox);
        let mut busy = !inbox.is_empty();
        for message in inbox.drain(..) {
            let node = &mut self.members[at].node;
            node.step(message).expect("members say nothing absurd");
        }
        self.spare = inbox;
        busy |= self.work(at);
        if let Some(number) = self.members[at].written.take() {
            self.members[at].node.on_persist_ready(number);
            let mut withheld = mem::take(&mut self.members[at].withheld);
            self.send(&mut withheld);
            self.members[at].withheld = withheld;
            self.work(at);
            busy = true;
        }
        busy
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
        for member in &mut self.members {
            let applied = member.node.raft.raft_log.applied;
            let compacted = member.node.store().wl().compact(applied);
            compacted.expect("what is applied may go");
        }
    }
}

/// An entry without data is the leader's own.
fn count(committed: &mut u64, entries: &[Entry]) {
    *committed += entries
        .iter()
        .filter(|entry| !entry.data.is_empty())
        .count() as u64;
}

impl Cores for RaftRs {
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
        committed - before
    }
}
