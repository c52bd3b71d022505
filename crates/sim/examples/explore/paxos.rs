//! Multi-Paxos, as the explorer sees it.

use quorate_core::{NodeId, Position, Status};
use quorate_paxos::{Ballot, Message, Paxos, PaxosConfig, Record};
use quorate_sim::explore::{Heard, Model, Vote, values};

/// Multi-Paxos. Gossip promises nothing, so whoever bids has just heard all it needs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PaxosModel {
    /// Whether those who refuse say so, and what they promised.
    pub(crate) refusals: bool,
}

impl Model for PaxosModel {
    type Log = Paxos;

    fn config(&self, id: NodeId, members: &[NodeId]) -> PaxosConfig {
        PaxosConfig::new(id, members)
    }

    fn before_bid(&self, id: NodeId, members: &[NodeId]) -> Heard<Paxos> {
        let gossip = Message::Gossip {
            promised: Ballot::ZERO,
            configured: Position::ZERO,
            hears: members.iter().copied().collect(),
            follows: None,
            answer: false,
        };
        let others = members.iter().filter(|member| **member != id);
        others.map(|other| (*other, gossip.clone())).collect()
    }

    fn after_bid(&self, _id: NodeId, _members: &[NodeId], _status: Status) -> Heard<Paxos> {
        Vec::new()
    }

    /// Left out is what only steers how fast a leader sends: heartbeats, and answers that name nothing accepted.
    fn carries(&self, message: &Message) -> bool {
        match message {
            Message::Gossip { .. } | Message::Heartbeat { .. } => false,
            Message::Nack { .. } => self.refusals,
            Message::Accepted(accepted) => !accepted.taken.is_empty(),
            Message::Prepare { .. }
            | Message::Promise(_)
            | Message::Accept { .. }
            | Message::Chosen { .. }
            | Message::Snapshot { .. }
            | Message::Bid { .. } => true,
        }
    }

    fn votes(&self, records: &[Record]) -> Vec<Vote> {
        let mut votes = Vec::new();
        for record in records {
            match record {
                Record::Promise { .. } => {}
                Record::Accept {
                    ballot,
                    first,
                    values: accepted,
                    ..
                } => {
                    let all = accepted.iter();
                    let all = all.flat_map(|value| values(value.born.epoch(), &value.batch));
                    let positions = (first.get()..).map(Position).zip(all);
                    votes.extend(positions.map(|(position, value)| Vote {
                        position,
                        epoch: ballot.epoch(),
                        value,
                    }));
                }
                Record::Checkpoint { .. } => unreachable!("nothing is compacted here"),
            }
        }
        votes
    }

    fn irrelevant(&self) -> &'static [&'static str] {
        &["rng", "patience", "window", "anomalies", "told"]
    }
}
