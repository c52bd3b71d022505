//! Raft, as the simulator sees it.

use quorate_core::{Limit, NodeId};
use quorate_raft::{Append, Message, Raft, RaftConfig, Record};
use quorate_sim::{Claim, Member, Protocol, Remembered};

/// Raft with the limits drawn for a run.
#[derive(Clone, Copy, Debug, Default)]
pub struct RaftProtocol;

impl Protocol for RaftProtocol {
    type Log = Raft;

    fn name(&self) -> &'static str {
        "raft"
    }

    fn config(&self, member: &Member) -> RaftConfig {
        let limits = &member.limits;
        RaftConfig {
            election_timeout: limits.election_timeout,
            heartbeat_interval: limits.heartbeat_interval,
            window: Limit {
                bytes: limits.window_bytes,
                messages: limits.window_messages,
            },
            append_bytes_max: limits.message_bytes,
            uncommitted_bytes_max: limits.uncommitted_bytes,
            log_bytes_max: limits.log_bytes,
            reads_max: limits.reads,
            seed: member.seed,
            ..RaftConfig::new(member.id, &member.members)
        }
    }

    fn remembered(&self, record: &Record) -> Vec<Remembered> {
        let promise = |term: quorate_raft::Term, vote: Option<NodeId>| Remembered::Promise {
            epoch: term.epoch(),
            vote,
        };
        match record {
            Record::Vote { term, voted_for } => vec![promise(*term, *voted_for)],
            Record::Append { prev, runs } => vec![Remembered::Entries {
                after: prev.position,
                runs: runs.iter().map(|run| (run.term.epoch(), run.batch.clone())).collect(),
            }],
            Record::Base { term, voted_for, base } => vec![
                promise(*term, *voted_for),
                Remembered::Base {
                    upto: base.position,
                    epoch: base.term.epoch(),
                },
            ],
        }
    }

    fn claims(&self, message: &Message) -> Vec<Claim> {
        let epoch = message.term().epoch();
        let mut claims = vec![Claim::Epoch(epoch)];
        match message {
            Message::PreVote { .. } | Message::PreVoteReply { .. } | Message::NewTerm { .. } => {}
            // That the candidate's own vote is on disk is the claim of its epoch; its name is not in the message.
            Message::RequestVote { .. } | Message::VoteReply { .. } | Message::Rejected { .. } => {}
            Message::Append(Append { prev, runs, .. }) => {
                claims.push(Claim::Leads(epoch));
                claims.push(Claim::Entries {
                    after: prev.position,
                    epoch: prev.term.epoch(),
                    runs: runs.iter().map(|run| (run.term.epoch(), run.batch.clone())).collect(),
                });
            }
            Message::Accepted { matched, .. } | Message::HeartbeatReply { matched, .. } => {
                claims.push(Claim::Holds { upto: *matched });
            }
            Message::Heartbeat { .. } | Message::Commit { .. } | Message::Snapshot { .. } => {
                claims.push(Claim::Leads(epoch));
            }
        }
        claims
    }

    fn describe(&self, message: &Message) -> String {
        message.to_string()
    }
}
