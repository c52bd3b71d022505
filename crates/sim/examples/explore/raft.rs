//! Raft, as the explorer sees it.

use quorate_core::{NodeId, Position, Status};
use quorate_raft::{Message, Raft, RaftConfig, Record, Term};
use quorate_sim::explore::{Heard, Model, Value, Vote, values};

/// Raft. A pre-vote promises nothing, so whoever bids is told yes at once.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RaftModel {
    /// Whether those who refuse say so, and in which term they are.
    pub(crate) refusals: bool,
}

impl Model for RaftModel {
    type Log = Raft;

    fn config(&self, id: NodeId, members: &[NodeId]) -> RaftConfig {
        RaftConfig::new(id, members)
    }

    fn before_bid(&self, _id: NodeId, _members: &[NodeId]) -> Heard<Raft> {
        Vec::new()
    }

    fn after_bid(&self, id: NodeId, members: &[NodeId], status: Status) -> Heard<Raft> {
        let term = Term(status.epoch.round);
        let yes = Message::PreVoteReply {
            term,
            campaign: term.next(),
            granted: true,
        };
        let others = members.iter().filter(|member| **member != id);
        others.map(|other| (*other, yes.clone())).collect()
    }

    /// Left out is what only steers how fast a leader sends: heartbeats, their answers, acknowledgements of what is not
    /// on disk yet.
    fn carries(&self, message: &Message) -> bool {
        match message {
            Message::PreVote { .. }
            | Message::PreVoteReply { .. }
            | Message::Heartbeat { .. }
            | Message::HeartbeatReply { .. } => false,
            Message::NewTerm { .. } | Message::VoteReply { granted: false, .. } => self.refusals,
            Message::Accepted {
                verified, matched, ..
            } => verified == matched,
            Message::RequestVote { .. }
            | Message::VoteReply { granted: true, .. }
            | Message::Append(_)
            | Message::Rejected { .. }
            | Message::Commit { .. }
            | Message::Snapshot { .. }
            | Message::TimeoutNow { .. } => true,
        }
    }

    /// Who takes an entry of the present term votes in it for the whole log that leads there (5.3, 5.4.2): entries of
    /// former terms alone are no votes (figure 8).
    fn votes(&self, records: &[Record]) -> Vec<Vote> {
        let mut term = Term::ZERO;
        let mut log: Vec<Value> = Vec::new();
        let mut votes = Vec::new();
        for record in records {
            match record {
                Record::Vote { term: new, .. } => term = *new,
                Record::Append { prev, runs } => {
                    log.truncate(prev.position.get() as usize);
                    let all = runs.iter();
                    log.extend(all.flat_map(|run| values(run.term.epoch(), &run.batch)));
                    let newest = log.last().is_some_and(|last| last.born == term.epoch());
                    let positions = (1..).map(Position).zip(&log);
                    votes.extend(positions.filter(|_| newest).map(|(position, value)| Vote {
                        position,
                        epoch: term.epoch(),
                        value: *value,
                    }));
                }
                Record::Compacted { .. } | Record::Installed { .. } => {
                    unreachable!("nothing is compacted here")
                }
            }
        }
        votes
    }

    fn irrelevant(&self) -> &'static [&'static str] {
        &[
            "rng",
            "timeout",
            "window",
            "anomalies",
            "acknowledged",
            "told",
        ]
    }
}
