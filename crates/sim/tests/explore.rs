//! Small bounds of the exhaustive search, for both logs, and logs that it has to find wanting.
#![allow(clippy::unwrap_used)] // A test that cannot go on has failed.

#[path = "../examples/explore/paxos.rs"]
mod paxos;
#[path = "../examples/explore/raft.rs"]
mod raft;

use quorate_core::{
    Configuration, Input, Instant, Memory, NodeId, Outbox, Output, ReplicatedLog, RestoreError,
    Status,
};
use quorate_sim::explore::{Bound, Heard, Model, Vote, explore};

use crate::paxos::PaxosModel;
use crate::raft::RaftModel;

fn bound(bids: &[u64], proposals: u32, crashes: u32) -> Bound {
    Bound {
        members: 3,
        bids: bids.iter().copied().map(NodeId).collect(),
        proposals,
        crashes,
        states: 300_000,
    }
}

/// Everything within the bound is seen, nothing is wrong, and what ought to be possible was seen to be.
fn holds(model: &impl Model, bound: &Bound) {
    let seen = explore(model, bound, |_| {}).unwrap_or_else(|found| panic!("{found:#?}"));
    println!("{bound:?}: {seen:?}");
    assert!(!seen.cut && seen.states > 10_000);
    assert!(seen.chosen > 1000 && seen.handed_out > 1000);
    assert!(bound.bids.len() < 2 || seen.carried > 1000);
}

#[test]
fn raft_holds_in_every_order_of_two_bids() {
    let model = RaftModel { refusals: false };
    holds(&model, &bound(&[1, 2], 0, 0));
}

#[test]
fn raft_holds_in_every_order_of_a_bid_a_proposal_and_a_crash() {
    let model = RaftModel { refusals: true };
    holds(&model, &bound(&[1], 1, 1));
}

#[test]
fn multi_paxos_holds_in_every_order_of_two_bids_a_proposal_and_a_crash() {
    let model = PaxosModel { refusals: true };
    holds(&model, &bound(&[1, 2], 1, 1));
}

/// A log that takes every write for durable as soon as it is asked for.
#[derive(Clone, Debug)]
struct Hasty<L>(L);

impl<L: ReplicatedLog> ReplicatedLog for Hasty<L> {
    type Config = L::Config;
    type Message = L::Message;
    type Record = L::Record;
    const ELECTS: bool = L::ELECTS;

    fn restore(
        config: L::Config,
        now: Instant,
        memory: Memory<'_, L::Record>,
    ) -> Result<Self, RestoreError> {
        L::restore(config, now, memory).map(Self)
    }

    fn step(&mut self, now: Instant, input: Input<L::Message>, out: &mut Outbox<Self>) {
        let mut inner = Outbox::new();
        self.0.step(now, input, &mut inner);
        while !inner.is_empty() {
            let outputs: Vec<_> = inner.drain().collect();
            for output in outputs {
                if let Output::Persist { mark, .. } = &output {
                    let upto = *mark;
                    self.0.step(now, Input::Durable { upto }, &mut inner);
                }
                out.push(output);
            }
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.0.deadline()
    }

    fn status(&self) -> Status {
        self.0.status()
    }

    fn configuration(&self) -> &Configuration {
        self.0.configuration()
    }
}

/// A model whose log is hasty.
struct Hurried<M>(M);

impl<M: Model> Model for Hurried<M> {
    type Log = Hasty<M::Log>;

    fn config(&self, id: NodeId, members: &[NodeId]) -> <M::Log as ReplicatedLog>::Config {
        self.0.config(id, members)
    }

    fn before_bid(&self, id: NodeId, members: &[NodeId]) -> Heard<Self::Log> {
        self.0.before_bid(id, members)
    }

    fn after_bid(&self, id: NodeId, members: &[NodeId], status: Status) -> Heard<Self::Log> {
        self.0.after_bid(id, members, status)
    }

    fn carries(&self, message: &<M::Log as ReplicatedLog>::Message) -> bool {
        self.0.carries(message)
    }

    fn votes(&self, records: &[<M::Log as ReplicatedLog>::Record]) -> Vec<Vote> {
        self.0.votes(records)
    }

    fn irrelevant(&self) -> &'static [&'static str] {
        self.0.irrelevant()
    }
}

/// Without a crash what is handed out is found not to be on a quorum of disks; a commit that comes late hides nothing.
fn is_caught(model: impl Model) {
    let found = explore(&Hurried(model), &bound(&[1, 2], 1, 1), |_| {}).unwrap_err();
    assert!(found.what.contains("not chosen"), "{found:#?}");
    assert!(found.way.iter().any(|step| step.contains("bids")));
}

#[test]
fn a_raft_that_takes_what_it_writes_for_written_is_caught() {
    is_caught(RaftModel { refusals: true });
}

#[test]
fn a_multi_paxos_that_takes_what_it_writes_for_written_is_caught() {
    is_caught(PaxosModel { refusals: true });
}
