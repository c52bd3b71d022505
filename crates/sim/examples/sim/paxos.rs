//! Multi-Paxos, as the simulator sees it.

use std::collections::BTreeMap;

use quorate_core::{Limit, NodeId, Rng};
use quorate_paxos::{
    Accepted, Ballot, Message, Paxos, PaxosConfig, Promise, Quorums, Record, Value,
};
use quorate_sim::{
    ACCEPTED_AGAIN, ACCEPTED_BEHIND_A_HOLE, CHOSEN_BEHIND_A_HOLE, Claim, Cluster, Member, Protocol,
    Remembered, Rules, Run,
};

/// Multi-Paxos with the limits drawn for a run; in some runs with quorums of two sizes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PaxosProtocol;

const PIECES: &str = "paxos: a promise came in pieces";
const INTERRUPTED: &str = "paxos: a promise in pieces was interrupted";
const OUTBID: &str = "paxos: a ballot was outbid";
const OFFERED: &str = "paxos: a snapshot was offered";
const FORGOTTEN: &str = "paxos: a promise told of forgotten slots";
const FILLED: &str = "paxos: a no-op filled a hole";
const CARRIED: &str = "paxos: a value was carried over from an older ballot";

/// Who has promised which ballot, told a piece of it, and is to tell more.
pub(crate) type Pieces = BTreeMap<NodeId, Ballot>;

impl Protocol for PaxosProtocol {
    type Log = Paxos;
    type Notes = Pieces;

    fn name(&self) -> &'static str {
        "paxos"
    }

    fn config(&self, member: &Member) -> PaxosConfig {
        let limits = &member.cluster.limits;
        PaxosConfig {
            quorums: Some(quorums(&member.cluster)),
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
            ..PaxosConfig::new(member.id, &member.cluster.members)
        }
    }

    fn rules(&self, cluster: &Cluster) -> Rules {
        let sizes = quorums(cluster);
        Rules {
            electing: sizes.phase_1,
            choosing: sizes.phase_2,
            chained: false,
        }
    }

    fn has_learners(&self) -> bool {
        true
    }

    fn remembered(&self, record: &Record) -> Vec<Remembered> {
        let promise = |ballot: Ballot| Remembered::Promise {
            epoch: ballot.epoch(),
            vote: (ballot != Ballot::ZERO).then_some(ballot.node),
        };
        let hint = |chosen| Remembered::Chosen { upto: chosen };
        match record {
            Record::Promise { ballot, chosen } => vec![promise(*ballot), hint(*chosen)],
            Record::Accept {
                ballot,
                chosen,
                first,
                values,
            } => vec![
                Remembered::Accepted {
                    first: *first,
                    runs: values.iter().map(|value| run(*ballot, value)).collect(),
                    cuts: false,
                },
                hint(*chosen),
            ],
            Record::Checkpoint { promised, base } => vec![
                promise(*promised),
                Remembered::Base {
                    upto: *base,
                    keeps: true,
                },
            ],
        }
    }

    fn claims(&self, from: NodeId, _: NodeId, message: &Message) -> Vec<Claim> {
        let leads = |ballot: &Ballot, upto| {
            let epoch = ballot.epoch();
            vec![Claim::Leads(epoch), Claim::Chosen { upto }]
        };
        match message {
            Message::Prepare { ballot, .. } => {
                let epoch = ballot.epoch();
                vec![Claim::Vote { epoch, vote: from }, Claim::Seeks(epoch)]
            }
            Message::Promise(promise) => promised(promise),
            Message::Accept {
                ballot,
                chosen,
                first,
                values,
            } => {
                let mut claims = leads(ballot, *chosen);
                claims.push(Claim::Proposes {
                    first: *first,
                    runs: values.iter().map(|value| run(*ballot, value)).collect(),
                });
                claims
            }
            Message::Accepted(accepted) => acknowledged(accepted),
            Message::Nack { promised } => vec![Claim::Epoch(promised.epoch())],
            Message::Chosen { ballot, upto } => leads(ballot, *upto),
            Message::Heartbeat { ballot, chosen, .. } | Message::Bid { ballot, chosen } => {
                leads(ballot, *chosen)
            }
            Message::Snapshot { ballot, offer } => {
                let upto = offer.meta.position;
                vec![Claim::Leads(ballot.epoch()), Claim::Covers { upto }]
            }
            Message::Gossip {
                promised, follows, ..
            } => {
                let ballots = [Some(*promised), *follows].into_iter().flatten();
                ballots.map(|ballot| Claim::Epoch(ballot.epoch())).collect()
            }
        }
    }

    fn mark_message(
        &self,
        pieces: &mut Pieces,
        from: NodeId,
        _: NodeId,
        message: &Message,
    ) -> Option<&'static str> {
        match message {
            Message::Nack { .. } => Some(OUTBID),
            Message::Snapshot { .. } => Some(OFFERED),
            Message::Promise(promise) if promise.forgotten.is_some() => Some(FORGOTTEN),
            Message::Promise(promise) if promise.next.is_some() => {
                pieces.insert(from, promise.ballot);
                Some(PIECES)
            }
            Message::Promise(_) => {
                pieces.remove(&from);
                None
            }
            _ => None,
        }
    }

    fn mark_record(
        &self,
        pieces: &mut Pieces,
        member: NodeId,
        record: &Record,
    ) -> Option<&'static str> {
        match record {
            Record::Promise { ballot, .. } => {
                let told = pieces.remove(&member)?;
                (told < *ballot).then_some(INTERRUPTED)
            }
            Record::Accept { values, ballot, .. } => {
                let filled = values.iter().any(|value| value.batch.is_noop());
                let carried = values.iter().any(|value| value.born < *ballot);
                filled.then_some(FILLED).or(carried.then_some(CARRIED))
            }
            Record::Checkpoint { .. } => None,
        }
    }

    fn rare(&self) -> &'static [&'static str] {
        &[
            ACCEPTED_AGAIN,
            ACCEPTED_BEHIND_A_HOLE,
            CHOSEN_BEHIND_A_HOLE,
            PIECES,
            INTERRUPTED,
            OUTBID,
            OFFERED,
            FORGOTTEN,
            FILLED,
            CARRIED,
        ]
    }

    fn describe(&self, message: &Message) -> String {
        message.to_string()
    }
}

/// In half the runs majorities; otherwise two sizes that intersect, as large as those who are left in the end allow.
fn quorums(cluster: &Cluster) -> Quorums {
    let members = cluster.members.len();
    let majority = members / 2 + 1;
    let mut rng = Rng::new(cluster.seed ^ 0x7061_786f_7300);
    if rng.one_in(2) {
        return Quorums {
            phase_1: majority,
            phase_2: majority,
        };
    }
    let left = cluster.left as u64;
    let least = members as u64 + 1 - left;
    let phase_1 = least + rng.below(left + 1 - least);
    Quorums {
        phase_1: phase_1 as usize,
        phase_2: members + 1 - phase_1 as usize,
    }
}

fn run(ballot: Ballot, value: &Value) -> Run {
    Run {
        accepted: ballot.epoch(),
        born: value.born.epoch(),
        batch: value.batch.clone(),
    }
}

/// The promise is on disk, and so are its votes, and no others.
fn promised(promise: &Promise) -> Vec<Claim> {
    let told = match &promise.forgotten {
        Some(offer) => Claim::Covers {
            upto: offer.meta.position,
        },
        None => Claim::Tells {
            first: promise.at,
            end: promise.next,
            runs: promise
                .votes
                .iter()
                .map(|vote| (vote.first, run(vote.ballot, &vote.value)))
                .collect(),
        },
    };
    let vote = Claim::Vote {
        epoch: promise.ballot.epoch(),
        vote: promise.ballot.node,
    };
    let chosen = Claim::Chosen {
        upto: promise.chosen,
    };
    vec![vote, told, chosen]
}

fn acknowledged(accepted: &Accepted) -> Vec<Claim> {
    let epoch = accepted.ballot.epoch();
    let taken = accepted.taken.iter().map(|(first, end)| Claim::Accepted {
        epoch,
        first: (*first).into(),
        end: (*end).into(),
    });
    let whole = [
        Claim::Epoch(epoch),
        Claim::Chosen {
            upto: accepted.chosen,
        },
    ];
    whole.into_iter().chain(taken).collect()
}
