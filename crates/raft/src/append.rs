//! The follower's side of replication (Raft 5.3, 7).

use quorate_core::{Instant, NodeId, Output, Position, SnapshotMeta};
use smallvec::SmallVec;

use crate::message::{first, length, without};
use crate::raft::{Out, Raft};
use crate::role::{Follower, Role};
use crate::{Append, Configured, Log, Message, Point, Record, Run};

impl Raft {
    pub(crate) fn on_append(&mut self, now: Instant, from: NodeId, append: Append, out: &mut Out) {
        if !self.follow(now, from, out) {
            return;
        }
        let Append {
            prev, commit, runs, ..
        } = append;
        let runs = self.fitting(prev.position, runs);
        let end = prev.position.plus(length(&runs));
        let fresh = if prev == self.log.last() && !runs.is_empty() {
            self.extend(prev, runs, out);
            Some(true)
        } else {
            self.merge(from, prev, runs, out)
        };
        let Some(fresh) = fresh else {
            return;
        };
        self.verify(end);
        self.learn_commit(commit, out);
        if !fresh {
            self.reply_accepted(from, out);
        }
    }

    /// What of these may be taken. A full log grows no further, as if the rest were lost: the leader sends that again, one
    /// message at a time. What the log holds already is compared all the same, and replaced where it differs: else it
    /// could never be known to be chosen, applied, and compacted to make room.
    fn fitting(&self, prev: Position, runs: SmallVec<[Run; 1]>) -> SmallVec<[Run; 1]> {
        if self.disk.room && self.log.bytes() < self.config.log_bytes_max {
            return runs;
        }
        let last = self.log.last().position;
        first(runs, last.get().saturating_sub(prev.get()))
    }

    /// Takes what does not simply continue the log. True: something was written; false: all of it was there; none: it
    /// does not fit.
    fn merge(
        &mut self,
        from: NodeId,
        prev: Point,
        runs: SmallVec<[Run; 1]>,
        out: &mut Out,
    ) -> Option<bool> {
        let (prev, runs) = behind_base(&self.log, prev, runs);
        if !self.log.holds(prev) {
            self.reject(from, prev, out);
            return None;
        }
        let Some(at) = self.log.divergence(prev.position, &runs) else {
            return Some(false);
        };
        // A leader never contradicts itself, and what is chosen agrees with every leader. Terms fall only in a message
        // that begins before the base and says something else than what was chosen there.
        if at <= self.verified() || runs[0].term < prev.term {
            self.anomalies += 1;
            return None;
        }
        let after = at.prev();
        if !self.disk.room {
            self.verify(after);
            return None;
        }
        let term = self.log.term_at(after).expect("what was compared is held");
        if after < self.log.last().position {
            self.log.truncate(after);
            self.roster.truncate(after, self.log.committed());
        }
        let fresh = without(runs, after.get() - prev.position.get());
        self.extend(
            Point {
                position: after,
                term,
            },
            fresh,
            out,
        );
        Some(true)
    }

    /// No entry there, or one of another term: answers with what the leader can go on from.
    fn reject(&mut self, from: NodeId, prev: Point, out: &mut Out) {
        if prev.position <= self.log.committed() {
            self.anomalies += 1;
            return;
        }
        let hint = self.log.floor(prev.position, prev.term);
        let reply = Message::Rejected {
            term: self.hard.term,
            prev: prev.position,
            hint: hint.unwrap_or_else(|| self.log.base()),
        };
        self.send(from, reply, out);
    }

    /// Appends behind the last entry, in memory and by one record.
    fn extend(&mut self, prev: Point, runs: SmallVec<[Run; 1]>, out: &mut Out) {
        let mark = self.disk.next();
        for run in &runs {
            self.log.append(run.term, run.batch.clone(), mark);
        }
        self.roster
            .extend(prev.position, &runs, self.log.committed());
        self.disk.persist(Record::Append { prev, runs }, out);
    }

    pub(crate) fn on_heartbeat(
        &mut self,
        now: Instant,
        from: NodeId,
        commit: Position,
        round: u64,
        out: &mut Out,
    ) {
        if !self.follow(now, from, out) {
            return;
        }
        self.learn_commit(commit, out);
        let verified = self.verified();
        let reply = Message::HeartbeatReply {
            term: self.hard.term,
            round,
            verified,
            matched: verified.min(self.log.durable()),
        };
        self.send(from, reply, out);
    }

    pub(crate) fn on_commit(
        &mut self,
        now: Instant,
        from: NodeId,
        commit: Position,
        out: &mut Out,
    ) {
        if self.follow(now, from, out) {
            self.learn_commit(commit, out);
        }
    }

    /// A snapshot is offered. If the log has its last entry, that entry is thereby known to be chosen, and
    /// nothing has to be fetched.
    pub(crate) fn on_snapshot(
        &mut self,
        now: Instant,
        from: NodeId,
        meta: SnapshotMeta,
        configured: Option<Configured>,
        out: &mut Out,
    ) {
        if !self.follow(now, from, out) {
            return;
        }
        if self.log.holds(meta.into()) {
            self.verify(meta.position);
            self.learn_commit(meta.position, out);
        }
        if meta.position <= self.log.committed() {
            self.reply_accepted(from, out);
        } else {
            // At every offer: whoever fetches may have given up without a word.
            let snapshot = meta;
            self.snapshots.expect(snapshot, configured);
            out.push(Output::Fetch { from, snapshot });
        }
    }

    /// A fetched snapshot is durable. It replaces the log, unless the log has caught up with it meanwhile.
    pub(crate) fn on_fetched(&mut self, snapshot: SnapshotMeta, out: &mut Out) {
        self.snapshots.learn(snapshot);
        let last = Point::from(snapshot);
        if let Role::Leader(_) = self.role {
            // Whatever is chosen, a leader has in its log.
            return;
        }
        if last.position > self.log.committed() {
            if self.log.holds(last) {
                self.learn_chosen(last.position, out);
            } else if let Some(offered) = self.snapshots.take_offer(&snapshot) {
                self.snapshots.newest = Some(snapshot);
                self.log.install(last, self.disk.next());
                self.roster
                    .install(offered.configured, self.log.committed());
                self.write_installed(out);
                out.push(Output::Install { snapshot });
            }
        }
        self.verify(self.log.committed());
    }

    /// Follows the sender, who leads this term, whether or not this member's own configuration says that it may: a newer
    /// one may say so (Raft 6). False: it cannot.
    fn follow(&mut self, now: Instant, from: NodeId, out: &mut Out) -> bool {
        match &mut self.role {
            Role::Follower(Follower { leader, .. }) if *leader == Some(from) => {
                self.timer.touch(now);
                self.pledge(now, from);
                true
            }
            Role::Follower(Follower { leader: None, .. })
            | Role::PreCandidate(_)
            | Role::Candidate(_) => {
                self.become_follower(now, Some(from), out);
                self.pledge(now, from);
                true
            }
            // Two leaders in one term.
            Role::Follower(_) | Role::Leader(_) => {
                self.anomalies += 1;
                false
            }
        }
    }

    /// Commits what the leader says is chosen, as far as the log is known to agree with it (`KNOWN_BUGS` B9).
    fn learn_commit(&mut self, commit: Position, out: &mut Out) {
        let upto = commit.min(self.verified());
        if upto > self.log.committed() {
            self.learn_chosen(upto, out);
        }
    }

    /// Commits as one that does not lead.
    fn learn_chosen(&mut self, upto: Position, out: &mut Out) {
        self.commit(upto, out);
        self.roster.settle(upto);
    }

    /// Everything up to `upto` is chosen.
    pub(crate) fn commit(&mut self, upto: Position, out: &mut Out) {
        self.log
            .commit(upto, |committed| out.push(Output::Commit(committed)));
    }

    /// Up to where the log agrees with the leader's.
    fn verified(&self) -> Position {
        match &self.role {
            Role::Follower(follower) => follower.verified,
            Role::PreCandidate(_) | Role::Candidate(_) | Role::Leader(_) => self.log.committed(),
        }
    }

    fn verify(&mut self, upto: Position) {
        if let Role::Follower(follower) = &mut self.role {
            follower.verified = follower.verified.max(upto);
        }
    }

    /// Tells the leader what has come to disk, if it is more than it was told.
    pub(crate) fn acknowledge(&mut self, out: &mut Out) {
        if let Role::Follower(Follower {
            leader: Some(leader),
            verified,
            acknowledged,
        }) = &self.role
            && (*verified).min(self.log.durable()) > *acknowledged
        {
            self.reply_accepted(*leader, out);
        }
    }

    /// Never more than is on disk: `verified` may run ahead of it, `matched` may not (`KNOWN_BUGS` B10).
    fn reply_accepted(&mut self, to: NodeId, out: &mut Out) {
        let verified = self.verified();
        let matched = verified.min(self.log.durable());
        if let Role::Follower(follower) = &mut self.role {
            follower.acknowledged = follower.acknowledged.max(matched);
        }
        let reply = Message::Accepted {
            term: self.hard.term,
            verified,
            matched,
        };
        self.send(to, reply, out);
    }
}

/// The part of an append that lies behind the log's base. What lies before it is chosen, and so agrees (R7).
fn behind_base(log: &Log, prev: Point, runs: SmallVec<[Run; 1]>) -> (Point, SmallVec<[Run; 1]>) {
    let base = log.base();
    if prev.position >= base.position {
        return (prev, runs);
    }
    let skip = base.position.get() - prev.position.get();
    (base, without(runs, skip))
}
