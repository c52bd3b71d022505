//! Raft, as the simulator sees it.

use std::sync::LazyLock;

use quorate_core::{Limit, NodeId};
use quorate_raft::{Lease, Message, Raft, RaftConfig, Record};
use quorate_sim::{Claim, Cluster, JOINT, Member, Protocol, Remembered, Rules, Run};

/// Raft with the limits drawn for a run.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RaftProtocol;

impl Protocol for RaftProtocol {
    type Log = Raft;
    type Notes = ();

    fn name(&self) -> &'static str {
        "raft"
    }

    fn config(&self, member: &Member) -> RaftConfig {
        let limits = &member.cluster.limits;
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
            learners: member.cluster.learners.clone(),
            lease: member.cluster.lease.map(|drift_ppm| Lease { drift_ppm }),
            ..RaftConfig::new(member.id, &member.cluster.members)
        }
    }

    fn rules(&self, cluster: &Cluster) -> Rules {
        Rules::majorities(cluster.members.len(), true)
    }

    fn has_learners(&self) -> bool {
        true
    }

    fn changes_members(&self) -> bool {
        true
    }

    fn transfers(&self) -> bool {
        true
    }

    fn remembered(&self, record: &Record) -> Vec<Remembered> {
        let promise = |term: quorate_raft::Term, vote: Option<NodeId>| Remembered::Promise {
            epoch: term.epoch(),
            vote,
        };
        match record {
            Record::Vote { term, voted_for } => vec![promise(*term, *voted_for)],
            Record::Append { prev, runs } => vec![Remembered::Accepted {
                first: prev.position.next(),
                runs: runs
                    .iter()
                    .map(|run| Run {
                        accepted: run.term.epoch(),
                        born: run.term.epoch(),
                        batch: run.batch.clone(),
                    })
                    .collect(),
                cuts: true,
            }],
            Record::Compacted {
                term,
                voted_for,
                base,
                ..
            } => vec![
                promise(*term, *voted_for),
                Remembered::Base {
                    upto: base.position,
                    keeps: true,
                },
            ],
            Record::Installed {
                term,
                voted_for,
                base,
                ..
            } => vec![
                promise(*term, *voted_for),
                Remembered::Base {
                    upto: base.position,
                    keeps: false,
                },
            ],
        }
    }

    fn claims(&self, from: NodeId, to: NodeId, message: &Message) -> Vec<Claim> {
        let epoch = message.term().epoch();
        let claims = |more: &[Claim]| [&[Claim::Epoch(epoch)], more].concat();
        match message {
            // Answers to a pre-vote and to what is stale promise nothing but their term.
            Message::PreVote { .. }
            | Message::PreVoteReply { .. }
            | Message::VoteReply { granted: false, .. }
            | Message::Rejected { .. }
            | Message::NewTerm { .. } => claims(&[]),
            Message::TimeoutNow { .. } => claims(&[Claim::Leads(epoch)]),
            Message::RequestVote { .. } => {
                claims(&[Claim::Vote { epoch, vote: from }, Claim::Seeks(epoch)])
            }
            Message::VoteReply { granted: true, .. } => claims(&[Claim::Vote { epoch, vote: to }]),
            Message::Accepted { matched, .. } | Message::HeartbeatReply { matched, .. } => {
                claims(&[Claim::Holds { upto: *matched }])
            }
            Message::Append(append) => {
                let upto = append.commit;
                claims(&[Claim::Leads(epoch), Claim::Chosen { upto }])
            }
            Message::Heartbeat { commit, .. } | Message::Commit { commit, .. } => {
                let upto = *commit;
                claims(&[Claim::Leads(epoch), Claim::Chosen { upto }])
            }
            Message::Snapshot { meta, .. } => {
                let upto = meta.position;
                claims(&[Claim::Leads(epoch), Claim::Covers { upto }])
            }
        }
    }

    fn mark_message(
        &self,
        (): &mut (),
        _: NodeId,
        _: NodeId,
        message: &Message,
    ) -> Option<&'static str> {
        match message {
            Message::Rejected { .. } => Some("raft: a log did not fit"),
            Message::Snapshot { .. } => Some("raft: a snapshot was offered"),
            Message::VoteReply { granted: false, .. } => Some("raft: a vote was refused"),
            Message::PreVoteReply { granted: false, .. } => Some("raft: a pre-vote was refused"),
            Message::NewTerm { .. } => Some("raft: a deposed leader was told so"),
            _ => None,
        }
    }

    fn rare(&self) -> &'static [&'static str] {
        static RARE: LazyLock<Vec<&str>> = LazyLock::new(|| {
            let own = [
                "raft: a log did not fit",
                "raft: a snapshot was offered",
                "raft: a vote was refused",
                "raft: a pre-vote was refused",
                "raft: a deposed leader was told so",
            ];
            [&own, JOINT].concat()
        });
        &RARE
    }

    fn describe(&self, message: &Message) -> String {
        message.to_string()
    }
}
