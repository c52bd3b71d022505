//! What nobody in the cluster knows: everything that happened. Held against every step.

use std::collections::BTreeMap;

use quorate_core::{
    Committed, Configuration, NodeId, Output, Position, ReplicatedLog, RoleKind, Status,
};
use quorate_raft::{Message, Record, Term};

use crate::member::{Member, Out, State, hashes, mix};
use crate::members::is_quorum;

pub struct Chosen {
    /// The term in which it was proposed.
    pub term: Term,
    /// The term of the leader that first knew it to be chosen.
    by: Term,
    hash: u64,
    /// Of everything up to here.
    digest: u64,
}

/// A member before a step.
pub struct Before {
    pub status: Status,
    pub configuration: Configuration,
}

#[derive(Default)]
pub struct Ledger {
    /// Every position ever chosen.
    chosen: Vec<Chosen>,
    /// R1: the leader of every term.
    leaders: BTreeMap<Term, u64>,
    /// Every configuration ever chosen.
    pub members: BTreeMap<Position, Configuration>,
    /// B1: the vote of every member in every term, over all its lives.
    pub votes: BTreeMap<(u64, Term), NodeId>,
    /// R3: every entry ever written, by place and term, with the term before it.
    entries: BTreeMap<(Position, Term), (u64, Term)>,
    /// The last status of every member.
    statuses: BTreeMap<u64, Status>,
}

impl Ledger {
    /// The last position anyone may have been told is chosen.
    pub fn chosen(&self) -> Position {
        Position(self.chosen.len() as u64)
    }

    /// Who led this term.
    pub fn leader(&self, term: u64) -> Option<u64> {
        self.leaders.get(&Term(term)).copied()
    }

    pub fn leaders(&self) -> usize {
        self.leaders.len()
    }

    /// Before a member's outputs leave it.
    pub fn check_step(
        &mut self,
        members: &[Member],
        index: usize,
        before: &Before,
        outputs: &[Out],
    ) {
        let member = &members[index];
        let raft = member.raft.as_ref().unwrap();
        let status = raft.status();
        let term = Term(status.epoch.round);
        assert_eq!(
            raft.anomalies(),
            0,
            "every message was one that a member may send"
        );
        for output in outputs {
            match output {
                Output::Persist { record, .. } => {
                    self.check_record(member, before.status, status, record);
                }
                Output::Send { to, message } => self.check_message(member, *to, message),
                Output::Commit(committed) => {
                    self.check_commit(members, term, &before.configuration, committed);
                }
                Output::ReadReady { .. }
                | Output::Reject { .. }
                | Output::Fetch { .. }
                | Output::Install { .. }
                | Output::Reclaim { .. }
                | Output::Link(_)
                | Output::Snapshot { .. }
                | Output::Report(_) => {}
            }
        }
        Self::check_own_term_commit(before.status, status, outputs);
        self.check_state(&member.state);
        self.check_status(member, before.status, status);
        self.check_members(members, index, before, outputs);
    }

    /// R6: what a leader commits by counting ends with an entry of its own term.
    fn check_own_term_commit(before: Status, status: Status, outputs: &[Out]) {
        let leads = |status: Status| status.role == RoleKind::Leader;
        if !(leads(before) && leads(status)) {
            return;
        }
        let mut commits = outputs.iter().filter_map(|output| match output {
            Output::Commit(committed) => Some(committed),
            _ => None,
        });
        if let Some(last) = commits.next_back() {
            assert_eq!(
                last.epoch, status.epoch,
                "committed by counting an older term"
            );
        }
    }

    fn check_record(&mut self, member: &Member, before: Status, status: Status, record: &Record) {
        let Record::Append { prev, runs } = record else {
            return;
        };
        if before.role == RoleKind::Leader && status.role == RoleKind::Leader {
            assert!(prev.position >= before.last, "a leader only appends (R2)");
        }
        let mut at = prev.position;
        let mut term_before = prev.term;
        for run in runs {
            for hash in hashes(&run.batch) {
                at = at.next();
                let entry = (hash, term_before);
                let known = *self.entries.entry((at, run.term)).or_insert(entry);
                assert_eq!(
                    known,
                    entry,
                    "log matching at {at}@{} (R3), {}",
                    run.term,
                    member.id()
                );
                term_before = run.term;
            }
        }
    }

    /// A6: what a message promises is on its sender's disk.
    fn check_message(&mut self, member: &Member, to: NodeId, message: &Message) {
        let disk = &member.durable;
        assert!(
            message.term() <= disk.term,
            "{message} before its term is on disk"
        );
        let mut vote = |term, vote| {
            assert_eq!((disk.term, disk.vote), (term, Some(vote)), "{message}");
            let voted = *self.votes.entry((member.id(), term)).or_insert(vote);
            assert_eq!(voted, vote, "two votes in one term");
        };
        match message {
            Message::VoteReply {
                term,
                granted: true,
            } => vote(*term, to),
            Message::RequestVote { term, .. } => vote(*term, member.config.id),
            Message::Accepted { matched, .. } | Message::HeartbeatReply { matched, .. } => {
                let snapshot = member.snapshots.last().map(|(meta, _)| meta.position);
                let held = disk.last().position.max(snapshot.unwrap_or_default());
                assert!(*matched <= held, "{message} beyond what is on disk, {held}");
                // Log matching (R3) carries this from the last entry to all before it.
                // What a later leader chose need not be what an older one's follower has.
                let known = self.at(*matched);
                if let Some(chosen) = known.filter(|chosen| chosen.by <= message.term()) {
                    let held = member.has_durable(*matched, chosen.hash);
                    assert!(held, "{message} of another entry than was chosen");
                }
            }
            _ => {}
        }
    }

    /// A1, A5: what is chosen is the same for all, and on a quorum of disks when it first is.
    fn check_commit(
        &mut self,
        members: &[Member],
        by: Term,
        configuration: &Configuration,
        committed: &Committed,
    ) {
        let term = Term(committed.epoch.round);
        for (offset, hash) in hashes(&committed.batch).into_iter().enumerate() {
            let at = committed.first.plus(offset as u64);
            if let Some(known) = self.at(at) {
                let known = (known.term, known.hash);
                assert_eq!(known, (term, hash), "position {at} was chosen otherwise");
                continue;
            }
            assert_eq!(at, self.chosen().next(), "chosen without a gap");
            let durable = |id: NodeId| {
                let member = members.iter().find(|member| member.config.id == id);
                member.unwrap().has_durable(at, hash)
            };
            assert!(
                is_quorum(configuration, durable),
                "position {at} is not on a quorum of disks"
            );
            if let Some(configuration) = committed.batch.configured() {
                self.members.insert(at, configuration);
            }
            let digest = self.chosen.last().map_or(0, |last| last.digest);
            self.chosen.push(Chosen {
                term,
                by,
                hash,
                digest: mix(digest ^ hash),
            });
        }
    }

    /// A2, A3: what is applied is what was chosen.
    fn check_state(&self, state: &State) {
        let chosen = self.at(state.position);
        let (term, digest) = chosen.map_or((Term::ZERO, 0), |chosen| (chosen.term, chosen.digest));
        assert_eq!((state.epoch, state.digest), (term.epoch(), digest));
    }

    pub fn at(&self, position: Position) -> Option<&Chosen> {
        self.chosen.get(position.get().checked_sub(1)? as usize)
    }

    fn check_status(&mut self, member: &Member, last: Status, status: Status) {
        assert!(status.compacted <= status.committed && status.committed <= status.last);
        assert!(status.durable <= status.last);
        assert_eq!(status.last, member.written.last().position);
        assert_eq!(status.committed, member.state.position);
        if let Some(before) = self.statuses.insert(member.id(), status) {
            assert!(before.epoch <= status.epoch, "an epoch went back (R5)");
            assert!(before.compacted <= status.compacted);
        }
        if status.role == RoleKind::Leader {
            let term = Term(status.epoch.round);
            let leader = *self.leaders.entry(term).or_insert(member.id());
            assert_eq!(leader, member.id(), "two leaders in term {term} (R1)");
            if last.role != RoleKind::Leader {
                self.check_complete(member, term);
            }
        }
    }

    /// R4: a leader has everything that was chosen in earlier terms.
    fn check_complete(&self, member: &Member, term: Term) {
        let log = &member.written;
        for at in log.base.position.get() + 1..=self.chosen().get() {
            let chosen = &self.chosen[at as usize - 1];
            if chosen.by < term {
                let held = log.hash_at(Position(at));
                assert_eq!(
                    held,
                    Some(chosen.hash),
                    "the leader of {term} lacks {at} (R4)"
                );
            }
        }
    }

    /// After a crash: epochs stay, positions may start over.
    pub fn forget(&mut self, member: &Member) {
        if let Some(status) = self.statuses.get_mut(&member.id()) {
            status.compacted = Position::ZERO;
        }
    }
}
