//! What nobody in the cluster knows: everything that happened. Held against every step.

use std::collections::{BTreeMap, BTreeSet};

use quorate_core::{
    Committed, Configuration, Epoch, Kind, NodeId, Output, Position, ReplicatedLog, RoleKind,
    Status, WriteAck,
};
use quorate_primary_backup::{Configured, Message, Record, Run};

use crate::image::reconfigure;
use crate::liveness::Totals;
use crate::member::{Member, Out, State, hashes};

pub struct Ledger {
    level: WriteAck,
    /// A promotion was by force.
    forced: bool,
    /// One was of a member that saw voters change, or counted for nothing.
    rash: bool,
    /// The level was lowered, to get out of what force had done.
    loosened: bool,
    /// The primary of every epoch.
    primaries: BTreeMap<Epoch, u64>,
    /// Every entry ever written, by place and epoch, with the epoch before it.
    entries: BTreeMap<(Position, Epoch), (u64, Epoch)>,
    /// Every entry that a primary has committed, by place and epoch.
    committed: BTreeMap<(Position, Epoch), u64>,
    /// Every write that was acknowledged.
    writes: BTreeSet<u64>,
    /// Those of them that the level allows to be lost.
    allowed: BTreeSet<u64>,
    /// Where nothing may be lost: the entry at every place, for ever.
    chosen: BTreeMap<Position, u64>,
    /// The state after every entry.
    states: BTreeMap<(Position, Epoch), u64>,
    statuses: BTreeMap<u64, Status>,
    /// Configurations that were cut from a log, joint ones that were committed, and those that came with a snapshot.
    pub turns: [u64; 3],
}

impl Ledger {
    pub fn new(level: WriteAck) -> Self {
        Self {
            level,
            forced: false,
            rash: false,
            loosened: false,
            primaries: BTreeMap::new(),
            entries: BTreeMap::new(),
            committed: BTreeMap::new(),
            writes: BTreeSet::new(),
            allowed: BTreeSet::new(),
            chosen: BTreeMap::new(),
            states: BTreeMap::new(),
            statuses: BTreeMap::new(),
            turns: [0; 3],
        }
    }

    /// Whether nothing that was ever committed may be lost.
    pub fn is_strict(&self) -> bool {
        match self.level {
            WriteAck::None | WriteAck::One => false,
            WriteAck::Quorum => !self.forced,
            WriteAck::All => !self.rash,
        }
    }

    /// Whether so much may be lost that nothing more is acknowledged as it should be.
    pub fn is_stuck(&self) -> bool {
        match self.level {
            WriteAck::None | WriteAck::One => false,
            WriteAck::Quorum => self.forced,
            WriteAck::All => self.rash,
        }
    }

    pub fn on_force(&mut self, member: &Member) {
        let configuration = member.configuration();
        self.forced = true;
        self.rash |= configuration.is_joint() || !configuration.votes(member.config.id);
    }

    pub fn loosen(&mut self) {
        self.loosened = true;
    }

    /// How many writes were acknowledged.
    pub fn writes(&self) -> usize {
        self.writes.len()
    }

    /// The last position that may have been told to be committed, where that is for ever.
    pub fn committed(&self) -> Position {
        let last = self.chosen.last_key_value();
        last.map_or(Position::ZERO, |(at, _)| *at)
    }

    pub fn tell(&self, totals: &mut Totals) {
        totals.acknowledged = self.writes.len() as u64;
        totals.primaries = self.primaries.len() as u64;
        totals.turns = self.turns;
    }

    /// A member has become primary of `epoch`. What it lacks of what was acknowledged is what may be lost by that.
    pub fn on_rise(&mut self, member: &Member, epoch: Epoch) {
        let held = everything(member);
        let known = self.allowed.union(&held).copied().collect();
        let lacks: Vec<u64> = self.writes.difference(&known).copied().collect();
        assert!(
            lacks.is_empty() || !self.is_strict(),
            "{} rises in {epoch} without all that was acknowledged",
            member.id()
        );
        self.allowed.extend(lacks);
    }

    /// `member` rises in `epoch` because `former` has handed over: of what that one has acknowledged it lacks nothing. Of
    /// what others have, whom nobody has told, it may.
    pub fn on_planned_rise(&self, member: &Member, former: &Member, epoch: Epoch) {
        let held = everything(member);
        let older = former.written.entries.iter().filter(|(of, _)| *of < epoch);
        let mut acknowledged = older.filter(|(_, hash)| self.writes.contains(hash));
        let complete = acknowledged.all(|(_, hash)| held.contains(hash));
        assert!(complete, "{} lacks what it was handed", member.id());
    }

    pub fn check_step(&mut self, members: &[Member], index: usize, outputs: &[Out]) {
        let member = &members[index];
        let log = member.log.as_ref().unwrap();
        let status = log.status();
        assert_eq!(
            log.anomalies(),
            0,
            "every message was one that a member may send"
        );
        assert_eq!(log.configuration(), &member.configuration());
        let mut here = Here {
            members,
            index,
            status,
            committed: self.check_status(member, status),
            configured: member.before.clone(),
        };
        for output in outputs {
            match output {
                Output::Persist { record, .. } => self.check_record(&mut here, record),
                Output::Send { message, .. } => check_message(member, message),
                Output::Commit(committed) => self.check_commit(&mut here, committed),
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
        self.check_state(&member.state);
        check_sound(members, member, status);
    }

    /// What was committed before.
    fn check_status(&mut self, member: &Member, status: Status) -> Position {
        let id = member.id();
        assert!(status.compacted <= status.committed && status.committed <= status.last);
        assert!(status.durable <= status.last);
        let before = self.statuses.insert(id, status);
        assert!(
            before.is_none_or(|before| before.epoch <= status.epoch),
            "epochs never go back"
        );
        assert!(
            status.epoch <= member.durable.standing.epoch,
            "only what is on disk is shown"
        );
        if status.role == RoleKind::Leader {
            let primary = *self.primaries.entry(status.epoch).or_insert(id);
            assert_eq!(primary, id, "two primaries in {}", status.epoch);
        }
        let configured = member.written.configured.last();
        let configured = configured.map_or(Position::ZERO, |one| one.at);
        assert_eq!(status.configured, configured, "of member {id}");
        before.map_or(status.committed, |before| before.committed)
    }

    /// Logs match: one member appends in an epoch, and an entry has one before it.
    fn check_record(&mut self, here: &mut Here<'_>, record: &Record) {
        let member = &here.members[here.index];
        let known = here.configured.len();
        reconfigure(&mut here.configured, record);
        if let Record::Installed { .. } = record {
            return self.check_installed(member, record);
        }
        let Record::Append { prev, runs } = record else {
            return;
        };
        self.turns[0] += known.saturating_sub(here.configured.len()) as u64;
        here.check_change(runs);
        let (mut at, mut before) = (prev.position, prev.epoch);
        for run in runs {
            for hash in hashes(&run.batch) {
                at = at.next();
                let entry = (hash, before);
                let known = *self.entries.entry((at, run.epoch)).or_insert(entry);
                let id = member.id();
                assert_eq!(known, entry, "logs match at {at}@{}, {id}", run.epoch);
                before = run.epoch;
            }
        }
    }

    /// An offer says who the members are as the state says that it leads to.
    fn check_installed(&mut self, member: &Member, record: &Record) {
        let Record::Installed {
            base, configured, ..
        } = record
        else {
            return;
        };
        let mut snapshots = member.snapshots.iter();
        let found =
            snapshots.find(|(meta, _)| (meta.position, meta.epoch) == (base.position, base.epoch));
        let (_, state) = found.expect("what is installed is there");
        assert_eq!(configured, &state.configured, "{record}");
        self.turns[2] += u64::from(configured.is_some());
    }

    fn check_commit(&mut self, here: &mut Here<'_>, run: &Committed) {
        let status = here.status;
        let leads = status.role == RoleKind::Leader;
        here.committed = here.committed.max(run.last());
        if run.batch.configured().is_some_and(|one| one.is_joint()) {
            self.turns[1] += u64::from(leads);
        }
        for (offset, hash) in hashes(&run.batch).into_iter().enumerate() {
            let at = run.first.plus(offset as u64);
            if leads {
                // What was counted may be cut since, by force.
                if self.is_strict() || self.newest() == Some(status.epoch) {
                    self.check_level(here, at, hash);
                }
                self.committed.insert((at, run.epoch), hash);
                if run.batch.kind() == Kind::Commands {
                    self.acknowledge(hash, status.epoch);
                }
            } else {
                let known = self.committed.get(&(at, run.epoch));
                assert_eq!(known, Some(&hash), "a backup commits what a primary has");
            }
            if self.is_strict() {
                let chosen = *self.chosen.entry(at).or_insert(hash);
                assert_eq!(chosen, hash, "position {at} was committed otherwise");
            }
        }
    }

    fn acknowledge(&mut self, hash: u64, epoch: Epoch) {
        let newest = self.newest();
        // Another was appointed already, and nobody has told this one. Acknowledgements under way may still reach it: what
        // a quorum or all had by then, the other has as well.
        if self.writes.insert(hash) && newest > Some(epoch) && !self.is_strict() {
            self.allowed.insert(hash);
        }
    }

    /// The highest epoch that had a primary.
    fn newest(&self) -> Option<Epoch> {
        self.primaries.last_key_value().map(|(newest, _)| *newest)
    }

    /// What is acknowledged is where the level says.
    fn check_level(&self, here: &Here<'_>, at: Position, hash: u64) {
        let holds = |member: &Member| has_durable(member, at, hash);
        let own = &here.members[here.index];
        let configuration = here.configuration();
        let quorum = configuration.quorum().unwrap();
        let by_id = |id| here.member(id);
        let counts = |member: &&Member| configuration.votes(member.config.id);
        let level = if self.loosened {
            WriteAck::One
        } else {
            self.level
        };
        let there = match level {
            WriteAck::None => true,
            WriteAck::One => holds(own),
            WriteAck::Quorum => holds(own) && quorum.reached(|id| holds(by_id(id))),
            WriteAck::All => holds(own) && here.members.iter().filter(counts).all(holds),
        };
        assert!(
            there,
            "position {at} is not where {level} says, by {configuration}"
        );
    }

    /// What is applied is one history: the same state behind the same entry.
    fn check_state(&mut self, state: &State) {
        let key = (state.position, state.epoch);
        let known = *self.states.entry(key).or_insert(state.digest);
        assert_eq!(known, state.digest, "two states at {}", state.position);
    }

    /// In the end: of what was acknowledged, how much is not there. Never more than the level allows.
    pub fn check_losses(&self, state: &State) -> u64 {
        let there: BTreeSet<u64> = state.entries.iter().copied().collect();
        let mut gone = 0;
        for write in self.writes.difference(&there) {
            let allowed = self.allowed.contains(write);
            assert!(allowed, "lost, and {} does not allow it", self.level);
            gone += 1;
        }
        gone
    }
}

/// What is known when an output is judged: a step that commits a change may begin the next.
struct Here<'a> {
    members: &'a [Member],
    index: usize,
    status: Status,
    committed: Position,
    configured: Vec<Configured>,
}

impl Here<'_> {
    fn member(&self, id: NodeId) -> &Member {
        let mut found = self.members.iter();
        found.find(|member| member.config.id == id).unwrap()
    }

    fn configuration(&self) -> Configuration {
        let founding = self.members[self.index].config.founding();
        let last = self.configured.last();
        last.map_or(founding, |last| last.configuration.clone())
    }

    /// A primary appends a configuration only when that before it is committed, and voters change only by way of a joint
    /// one.
    fn check_change(&self, runs: &[Run]) {
        let changes = runs.iter().any(|run| run.batch.configured().is_some());
        if self.status.role != RoleKind::Leader || !changes {
            return;
        }
        let founding = self.members[self.index].config.founding();
        let mut latest = self.configured.iter().rev();
        let next = latest.next().expect("it was just appended");
        let before = latest.next();
        assert!(
            before.is_none_or(|before| before.at <= self.committed),
            "a change before the one before it is committed"
        );
        let before = before.map_or(&founding, |before| &before.configuration);
        let next = &next.configuration;
        let kept = before.voters() == next.voters();
        let way = match (before.is_joint(), next.is_joint()) {
            (false, false) => kept,
            (false, true) => before.voters() == next.outgoing(),
            (true, false) => *next == before.settled(),
            (true, true) => false,
        };
        assert!(way, "no way from {before} to {next}");
    }
}

/// Every entry that a member has, in its log or in its state.
fn everything(member: &Member) -> BTreeSet<u64> {
    let log = member.written.entries.iter().map(|(_, hash)| *hash);
    log.chain(member.state.entries.iter().copied()).collect()
}

/// Whether it holds this entry on disk, in its log or in a snapshot.
fn has_durable(member: &Member, at: Position, hash: u64) -> bool {
    let index = at.get() as usize - 1;
    let mut snapshots = member.snapshots.iter();
    member.durable.hash_at(at) == Some(hash)
        || snapshots.any(|(_, state)| state.entries.get(index) == Some(&hash))
}

/// A state that is said to be sound is one that the primary's log leads to.
fn check_sound(members: &[Member], member: &Member, status: Status) {
    let log = member.log.as_ref().unwrap();
    let leads = |other: &&Member| {
        let there = other.log.as_ref().map(ReplicatedLog::status);
        let leads = |there: Status| there.role == RoleKind::Leader && there.epoch == status.epoch;
        Some(other.config.id) == status.leader && there.is_some_and(leads)
    };
    let primary = members.iter().find(leads).filter(|_| log.is_sound());
    let known = primary.and_then(|primary| primary.written.epoch_at(member.state.position));
    assert!(
        known.is_none_or(|known| known == member.state.epoch),
        "the state of {} is not the primary's",
        member.id()
    );
}

/// What a message promises is on its sender's disk.
fn check_message(member: &Member, message: &Message) {
    let disk = &member.durable;
    let asks = matches!(message, Message::Inquire { .. });
    assert!(
        asks || message.epoch() <= disk.standing.epoch,
        "{message} before its epoch is on disk"
    );
    match message {
        Message::Accepted { holding, .. } | Message::HeartbeatReply { holding, .. } => {
            let snapshot = member.snapshots.last().map(|(meta, _)| meta.position);
            let held = disk.last().position.max(snapshot.unwrap_or_default());
            assert!(
                holding.matched <= held,
                "{message} beyond what is on disk, {held}"
            );
        }
        Message::Append(_)
        | Message::Heartbeat { .. }
        | Message::Snapshot { .. }
        | Message::Handover { .. } => {
            assert!(
                disk.standing.appointed,
                "{message} before the appointment is on disk"
            );
        }
        Message::Commit { .. }
        | Message::Missing(_)
        | Message::Inquire { .. }
        | Message::Fence { .. }
        | Message::Position { .. }
        | Message::NewEpoch { .. } => {}
    }
}
