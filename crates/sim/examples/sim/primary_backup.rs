//! Primary-backup, as the simulator sees it: a quorum acknowledges, the simulator's operator promotes, never by force.
//!
//! Then all holds that holds for chained logs. An epoch names its primary, so whoever agrees to it votes for it; a
//! quorum has agreed, on disk, before a promoted member or one that starts again leads; and its log is behind none of
//! that quorum's, as in Raft's election, but for entries of its own appointment that it cannot have committed.

use std::collections::BTreeMap;

use quorate_core::{Epoch, Limit, NodeId, Rng};
use quorate_primary_backup::{
    Message, PrimaryBackup, PrimaryBackupConfig, Record, STARTS, Standing, appointment,
};
use quorate_sim::{Claim, Cluster, Member, PROMOTIONS, Protocol, Remembered, Rules, Run};

/// Primary-backup with the limits drawn for a run.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PrimaryBackupProtocol;

impl Protocol for PrimaryBackupProtocol {
    type Log = PrimaryBackup;
    /// Who has fenced the others in a round.
    type Notes = BTreeMap<u64, NodeId>;

    fn name(&self) -> &'static str {
        "primary-backup"
    }

    fn config(&self, member: &Member) -> PrimaryBackupConfig {
        let Cluster {
            members,
            seed,
            limits,
            ..
        } = &member.cluster;
        let first = Rng::new(*seed).below(members.len() as u64);
        PrimaryBackupConfig {
            primary: members[first as usize],
            heartbeat_interval: limits.heartbeat_interval,
            patience: limits.election_timeout,
            window: Limit {
                bytes: limits.window_bytes,
                messages: limits.window_messages,
            },
            append_bytes_max: limits.message_bytes,
            uncommitted_bytes_max: limits.uncommitted_bytes,
            log_bytes_max: limits.log_bytes,
            reads_max: limits.reads,
            ..PrimaryBackupConfig::new(member.id, members)
        }
    }

    fn rules(&self, cluster: &Cluster) -> Rules {
        Rules::majorities(cluster.members.len(), true)
    }

    fn is_appointed(&self) -> bool {
        true
    }

    fn remembered(&self, record: &Record) -> Vec<Remembered> {
        match record {
            Record::Epoch(standing) => vec![promise(standing)],
            Record::Append { prev, runs } => vec![Remembered::Accepted {
                first: prev.position.next(),
                runs: runs
                    .iter()
                    .map(|run| Run {
                        accepted: run.epoch,
                        born: run.epoch,
                        batch: run.batch.clone(),
                    })
                    .collect(),
                cuts: true,
            }],
            Record::Compacted { standing, base, .. } => vec![
                promise(standing),
                Remembered::Base {
                    upto: base.position,
                    keeps: true,
                },
            ],
            Record::Installed { standing, base, .. } => vec![
                promise(standing),
                Remembered::Base {
                    upto: base.position,
                    keeps: false,
                },
            ],
        }
    }

    fn claims(&self, from: NodeId, to: NodeId, message: &Message) -> Vec<Claim> {
        let epoch = message.epoch();
        let claims = |more: &[Claim]| [&[Claim::Epoch(epoch)], more].concat();
        match message {
            // Nobody has agreed to what is only asked for.
            Message::Inquire { .. } => Vec::new(),
            Message::Fence { .. } => {
                claims(&[Claim::Vote { epoch, vote: from }, Claim::Seeks(epoch)])
            }
            Message::Position { asked, .. } if *asked == epoch => {
                claims(&[Claim::Vote { epoch, vote: to }])
            }
            Message::Position { .. } | Message::Missing(_) | Message::NewEpoch { .. } => {
                claims(&[])
            }
            Message::Accepted { holding, .. } | Message::HeartbeatReply { holding, .. } => {
                let upto = holding.matched;
                claims(&[Claim::Holds { upto }])
            }
            Message::Append(append) => {
                let upto = append.commit;
                claims(&[Claim::Leads(epoch), Claim::Chosen { upto }])
            }
            Message::Heartbeat { commit, .. } | Message::Commit { commit, .. } => {
                let upto = *commit;
                claims(&[Claim::Leads(epoch), Claim::Chosen { upto }])
            }
            Message::Handover { .. } => claims(&[Claim::Leads(epoch)]),
            Message::Snapshot { meta, .. } => {
                let upto = meta.position;
                claims(&[Claim::Leads(epoch), Claim::Covers { upto }])
            }
        }
    }

    fn mark_message(
        &self,
        fenced: &mut BTreeMap<u64, NodeId>,
        from: NodeId,
        _: NodeId,
        message: &Message,
    ) -> Option<&'static str> {
        match message {
            Message::Fence { epoch } => {
                let first = *fenced.entry(appointment(*epoch)).or_insert(from);
                (first != from).then_some(TWO)
            }
            Message::Missing(_) => Some(MISSING),
            Message::Snapshot { .. } => Some(OFFERED),
            Message::NewEpoch { .. } => Some(FENCED),
            _ => None,
        }
    }

    fn mark_record(
        &self,
        _: &mut BTreeMap<u64, NodeId>,
        _: NodeId,
        record: &Record,
    ) -> Option<&'static str> {
        let Record::Epoch(Standing { epoch, appointed }) = record else {
            return None;
        };
        (*appointed && epoch.round % STARTS > 0).then_some(AGAIN)
    }

    fn rare(&self) -> &'static [&'static str] {
        const ALL: &[&str] = &[
            TWO,
            MISSING,
            OFFERED,
            FENCED,
            AGAIN,
            PROMOTIONS[0],
            PROMOTIONS[1],
            PROMOTIONS[2],
            PROMOTIONS[3],
            PROMOTIONS[4],
        ];
        ALL
    }

    fn describe(&self, message: &Message) -> String {
        message.to_string()
    }
}

const TWO: &str = "primary-backup: two sought the same round";
const MISSING: &str = "primary-backup: a log did not fit";
const OFFERED: &str = "primary-backup: a snapshot was offered";
const FENCED: &str = "primary-backup: a fenced primary was told so";
const AGAIN: &str = "primary-backup: a primary went on after a start";

/// Who agrees to an epoch has agreed to its primary.
fn promise(standing: &Standing) -> Remembered {
    let epoch = standing.epoch;
    Remembered::Promise {
        epoch,
        vote: (epoch != Epoch::default()).then_some(epoch.node),
    }
}
