//! The backup's side: entries in order, what is given up for them, and the snapshot that replaces a state.

use quorate_core::{Instant, Kind, NodeId, Output, Position, Report, SnapshotMeta};
use smallvec::SmallVec;

use crate::member::{Out, PrimaryBackup};
use crate::message::{Holding, Missing, first, length, without};
use crate::role::{Backup, Offer, Role};
use crate::{Append, Log, Message, Point, Record, Run};

impl PrimaryBackup {
    pub(crate) fn on_append(&mut self, now: Instant, from: NodeId, append: Append, out: &mut Out) {
        let end = append.end();
        if !self.follow(now, from, end, out) {
            return;
        }
        let Append {
            prev, commit, runs, ..
        } = append;
        let runs = self.fitting(prev.position, runs);
        let taken = prev.position.plus(length(&runs));
        let fresh = if prev == self.log.last() && !runs.is_empty() {
            self.extend(prev, runs, out);
            Some(true)
        } else {
            self.merge(from, prev, runs, out)
        };
        let Some(fresh) = fresh else {
            return;
        };
        self.verify(taken);
        self.learn_commit(commit, out);
        if !fresh {
            self.reply_accepted(from, out);
        }
        self.consider(now, out);
    }

    /// What of these may be taken. A full log grows no further, as if the rest were lost: the primary sends that again,
    /// one message at a time. What the log holds already is compared all the same, and replaced where it differs: else it
    /// could never be known to be committed, applied, and compacted to make room.
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
        let asked = prev;
        let fitting = behind_base(&self.log, prev, runs);
        let Some((prev, runs)) = fitting.filter(|(prev, _)| self.log.holds(*prev)) else {
            self.reply_missing(from, asked, out);
            return None;
        };
        let Some(at) = self.log.divergence(prev.position, &runs) else {
            return Some(false);
        };
        if at <= self.verified() {
            // A primary never contradicts itself.
            self.anomalies += 1;
            return None;
        }
        let after = at.prev();
        if !self.disk.room {
            self.verify(after);
            return None;
        }
        let epoch = self.log.epoch_at(after).expect("what was compared is held");
        self.give_up_behind(after, out);
        let fresh = without(runs, after.get() - prev.position.get());
        self.extend(
            Point {
                position: after,
                epoch,
            },
            fresh,
            out,
        );
        Some(true)
    }

    /// Cuts what the primary does not have. What was committed cannot be taken back from the state machine: its state is
    /// void from now on, and waits to be replaced.
    fn give_up_behind(&mut self, after: Position, out: &mut Out) {
        let (committed, last) = (self.log.committed(), self.log.last().position);
        let epoch = self.agreed.standing.epoch;
        if after < committed {
            let first = Some(after.next());
            out.push(Output::Report(Report::Lost {
                epoch,
                first,
                last: committed,
            }));
            self.state.void = self.state.void.max(Some(committed));
            self.log.retract(after);
        }
        let cut = after.max(committed);
        if cut < last {
            out.push(Output::Report(Report::Cut {
                epoch,
                first: cut.next(),
                last,
            }));
        }
        if after < last {
            self.log.truncate(after);
            self.roster.truncate(after, self.log.committed());
        }
        let log = &self.log;
        let newest = self.state.newest;
        self.state.newest = newest.filter(|newest| log.holds((*newest).into()));
    }

    /// No entry there, or one of another epoch: answers with what the primary can go on from.
    fn reply_missing(&mut self, from: NodeId, prev: Point, out: &mut Out) {
        let base = self.log.base();
        let hint = self.log.floor(prev.position, prev.epoch).unwrap_or(base);
        let missing = Missing {
            epoch: self.agreed.standing.epoch,
            prev: prev.position,
            hint,
            base: base.position,
            floor: self.floor(),
        };
        self.send(from, Message::Missing(missing), out);
    }

    /// Only a snapshot from beyond this can replace the state.
    fn floor(&self) -> Position {
        let committed = self.log.committed();
        self.state
            .void
            .map_or(committed, |void| void.max(committed))
    }

    /// Appends behind the last entry, in memory and by one record.
    pub(crate) fn extend(&mut self, prev: Point, runs: SmallVec<[Run; 1]>, out: &mut Out) {
        debug_assert!(length(&runs) > 0, "there is something to append");
        let mark = self.disk.next();
        for run in &runs {
            self.log.append(run.epoch, run.batch.clone(), mark);
            if run.batch.kind() == Kind::Configuration {
                self.reconfigure(run);
            }
        }
        self.disk.persist(Record::Append { prev, runs }, out);
    }

    pub(crate) fn on_heartbeat(
        &mut self,
        now: Instant,
        from: NodeId,
        (commit, last, round): (Position, Position, u64),
        out: &mut Out,
    ) {
        if !self.follow(now, from, last, out) {
            return;
        }
        self.learn_commit(commit, out);
        let (epoch, holding) = (self.agreed.standing.epoch, self.holding());
        let reply = Message::HeartbeatReply {
            epoch,
            round,
            holding,
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
        if self.follow(now, from, commit, out) {
            self.learn_commit(commit, out);
        }
    }

    /// A snapshot is offered.
    pub(crate) fn on_snapshot(&mut self, now: Instant, from: NodeId, offer: Offer, out: &mut Out) {
        let meta = offer.meta;
        if !self.follow(now, from, meta.position, out) {
            return;
        }
        let held = self.log.holds(meta.into());
        if held {
            // What the primary has applied, it has committed.
            self.verify(meta.position);
            self.learn_commit(meta.position, out);
        }
        if held && self.state.void.is_none() {
            return self.reply_accepted(from, out);
        }
        if meta.position <= self.floor() {
            return self.reply_missing(from, meta.into(), out);
        }
        self.note_offer(offer, held, out);
        // At every offer: whoever fetches may have given up without a word.
        let snapshot = meta;
        out.push(Output::Fetch { from, snapshot });
    }

    /// Where nothing of the log fits the primary's, it is not known where they part.
    fn note_offer(&mut self, offer: Offer, held: bool, out: &mut Out) {
        let lost = offer.lost && !held;
        let Role::Backup(backup) = &mut self.role else {
            return;
        };
        backup.offered = Some(offer);
        if lost && !backup.told_lost {
            backup.told_lost = true;
            out.push(Output::Report(Report::Lost {
                epoch: self.agreed.standing.epoch,
                first: None,
                last: self.log.committed(),
            }));
        }
    }

    /// A fetched snapshot is durable. It replaces the state and, where they do not lead up to it, the entries: if the
    /// primary of this very epoch offered it, and nothing has overtaken it.
    pub(crate) fn on_fetched(&mut self, snapshot: SnapshotMeta, out: &mut Out) {
        let last = Point::from(snapshot);
        let held = self.log.holds(last);
        if held {
            self.state.learn(snapshot);
        }
        let Some(offer) = self.offered(snapshot) else {
            return;
        };
        if last.position <= self.floor() {
            return;
        }
        if held && self.state.void.is_none() {
            self.commit(last.position, out);
            self.roster.settle(last.position);
        } else {
            self.state.newest = Some(snapshot);
            self.state.void = None;
            if held {
                self.log.skip_to(last.position);
                self.roster.settle(last.position);
            } else {
                self.log.install(last, self.disk.next());
                self.roster.install(offer.configured, last.position);
                self.write_installed(out);
            }
            out.push(Output::Install { snapshot });
        }
        self.verify(last.position);
        self.acknowledge(out);
    }

    /// What the primary of this very epoch offered last, if it is this.
    fn offered(&self, snapshot: SnapshotMeta) -> Option<Offer> {
        match &self.role {
            Role::Backup(backup) => backup.offered.clone(),
            Role::Fencing(_) | Role::Rising(_) | Role::Primary(_) => None,
        }
        .filter(|offer| offer.meta == snapshot)
    }

    /// A primary that was not heard for long is taken for none: requests wait here, instead of vanishing there.
    pub(crate) fn tick_backup(&mut self, now: Instant, out: &mut Out) {
        let patience = self.config.patience;
        if let Role::Backup(backup) = &mut self.role
            && now.since(backup.heard) >= patience
        {
            backup.leader = None;
        }
        self.tick_campaign(now, out);
    }

    /// Follows the sender, who is primary of this epoch and speaks of `last`. False: this member is none of its backups.
    pub(crate) fn follow(
        &mut self,
        now: Instant,
        from: NodeId,
        last: Position,
        out: &mut Out,
    ) -> bool {
        let epoch = self.agreed.standing.epoch;
        let Role::Backup(backup) = &mut self.role else {
            self.anomalies += 1;
            return false;
        };
        (backup.leader, backup.heard) = (Some(from), now);
        let before = self.heard_of.filter(|(of, _)| *of == epoch);
        let known = before.map_or(last, |(_, known)| known.max(last));
        self.heard_of = Some((epoch, known));
        if self.handover.is_some() {
            self.handed_over(from, out);
        }
        true
    }

    /// Commits what the primary says is committed, as far as the log is known to agree with it. To a state that is void,
    /// nothing is committed.
    fn learn_commit(&mut self, commit: Position, out: &mut Out) {
        let upto = commit.min(self.verified());
        if upto > self.log.committed() && self.state.void.is_none() {
            self.commit(upto, out);
            self.roster.settle(upto);
        }
    }

    /// Everything up to `upto` is committed.
    pub(crate) fn commit(&mut self, upto: Position, out: &mut Out) {
        self.log
            .commit(upto, |committed| out.push(Output::Commit(committed)));
    }

    /// Up to where the log agrees with the primary's.
    fn verified(&self) -> Position {
        match &self.role {
            Role::Backup(backup) => backup.verified,
            Role::Fencing(_) | Role::Rising(_) | Role::Primary(_) => Position::ZERO,
        }
    }

    fn verify(&mut self, upto: Position) {
        if let Role::Backup(backup) = &mut self.role {
            backup.verified = backup.verified.max(upto);
        }
    }

    /// Never more than is on disk: `verified` may run ahead of it, `matched` may not.
    fn holding(&self) -> Holding {
        let verified = self.verified();
        Holding {
            verified,
            matched: verified.min(self.log.durable()),
            void: self.state.void,
        }
    }

    /// Tells the primary what has come to disk, if it is more than it was told.
    pub(crate) fn acknowledge(&mut self, out: &mut Out) {
        if let Role::Backup(Backup {
            leader: Some(leader),
            acknowledged,
            ..
        }) = &self.role
            && self.holding().matched > *acknowledged
        {
            self.reply_accepted(*leader, out);
        }
    }

    fn reply_accepted(&mut self, to: NodeId, out: &mut Out) {
        let (epoch, holding) = (self.agreed.standing.epoch, self.holding());
        if let Role::Backup(backup) = &mut self.role {
            backup.acknowledged = backup.acknowledged.max(holding.matched);
        }
        self.send(to, Message::Accepted { epoch, holding }, out);
    }
}

/// The part of an append that lies behind the log's base. None: it does not reach the base, or has another entry there.
fn behind_base(
    log: &Log,
    prev: Point,
    runs: SmallVec<[Run; 1]>,
) -> Option<(Point, SmallVec<[Run; 1]>)> {
    let base = log.base();
    if prev.position >= base.position {
        return Some((prev, runs));
    }
    let skip = base.position.get() - prev.position.get();
    let mut end = 0;
    let there = runs.iter().find(|run| {
        end += run.batch.len();
        end >= skip
    })?;
    (there.epoch == base.epoch).then(|| (base, without(runs, skip)))
}
