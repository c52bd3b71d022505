//! The member as its journal remembers it, and the records that let the journal forget.

use quorate_core::{
    Configuration, Instant, Kind, Mark, Memory, NodeId, Position, RestoreError, SnapshotMeta,
};

use crate::disk::Disk;
use crate::epoch::{NOBODY, is_sane};
use crate::history::History;
use crate::member::{Agreed, Out, PrimaryBackup, State};
use crate::role::{Backup, Role};
use crate::roster::Roster;
use crate::{ConfigError, Configured, Log, Point, PrimaryBackupConfig, Record, Run, Standing};

pub(crate) fn restore(
    config: PrimaryBackupConfig,
    now: Instant,
    memory: Memory<'_, Record>,
) -> Result<PrimaryBackup, RestoreError> {
    let refused = |error: ConfigError| RestoreError::Config(error.reason());
    config.validate().map_err(refused)?;
    let mut replay = Replay::new(config.founding());
    for (mark, record) in memory.records {
        replay.take(mark, record)?;
    }
    let durable = memory.durable;
    let replay = replay.finish(config.id, durable)?;
    let (standing, mut log, mut history) = (replay.standing, replay.log, replay.history);
    let snapshot = (memory.snapshot, memory.configuration);
    let state = join(&mut log, &mut history, snapshot)?;
    log.on_durable(durable);
    let first = standing.epoch == NOBODY && config.primary == config.id;
    Ok(PrimaryBackup {
        roster: Roster::new(config.id, history, log.committed()),
        agreed: Agreed {
            standing,
            spoken: standing.epoch,
            ..Agreed::default()
        },
        log,
        role: Role::Backup(Backup::new(now)),
        resume: ((first || standing.appointed) && state.void.is_none()).then_some(now),
        state,
        disk: Disk::new(durable),
        heard_of: None,
        handover: None,
        anomalies: 0,
        config,
    })
}

/// Joins the log to the snapshot that the state machine was restored from.
///
/// A snapshot that the log does not have is newer than the log if its epoch is, or if it continues the log's last epoch:
/// it was fetched, or memory had committed what the journal had yet to write. The log then begins anew behind it.
/// Otherwise the log has been cut since: the state is void, and what it says of the members counts for nothing.
fn join(
    log: &mut Log,
    history: &mut History,
    (snapshot, configured): (Option<SnapshotMeta>, Option<(Position, Configuration)>),
) -> Result<State, RestoreError> {
    let point = snapshot.map_or(Point::START, Point::from);
    if point.position < log.base().position {
        return Err(RestoreError::MissingSnapshot {
            compacted: log.base().position,
            snapshot: point.position,
        });
    }
    let mut state = State::default();
    if log.holds(point) {
        log.skip_to(point.position);
        state.newest = snapshot;
    } else if point.is_ahead_of(log.last()) {
        *log = Log::new(point);
        history.install(configured.map(|(at, configuration)| Configured { at, configuration }));
        (state.newest, state.unwritten) = (snapshot, true);
    } else {
        state.void = Some(point.position);
    }
    Ok(state)
}

/// The records so far.
///
/// Where the journal still holds its first record, every later one has to fit. Where it has forgotten its beginning,
/// records may speak of entries that it forgot with it; an append that does then begins the log anew, and a base is
/// needed to say what came before: whatever [`Output::Reclaim`](quorate_core::Output::Reclaim) allowed to go, a later
/// record covers.
struct Replay {
    standing: Standing,
    log: Log,
    /// The configurations that the log says.
    history: History,
    /// The last record taken; none: there was none yet.
    last: Option<Mark>,
    /// Whether the records begin with the first ever written.
    whole: bool,
    /// Whether a base was among them.
    based: bool,
}

impl Replay {
    fn new(founding: Configuration) -> Self {
        Self {
            standing: Standing::default(),
            log: Log::new(Point::START),
            history: History::new(founding),
            last: None,
            whole: true,
            based: false,
        }
    }

    fn take(&mut self, mark: Mark, record: Record) -> Result<(), RestoreError> {
        let wrong = |why| RestoreError::Contradiction { mark, why };
        match self.last {
            None => self.whole = mark == Mark(1),
            Some(last) if mark == last.next() => {}
            Some(_) => return Err(wrong("marks do not rise by one")),
        }
        self.last = Some(mark);
        let outcome = match record {
            Record::Epoch(standing) => self.agree(standing),
            Record::Append { prev, runs } => self.append(mark, prev, &runs),
            Record::Compacted {
                standing,
                base,
                configured,
            } => {
                let agreed = self.agree(standing);
                agreed.and_then(|()| self.compact(mark, base, configured))
            }
            Record::Installed {
                standing,
                base,
                configured,
            } => {
                let agreed = self.agree(standing);
                agreed.and_then(|()| self.install(base, configured))
            }
        };
        outcome.map_err(wrong)
    }

    fn agree(&mut self, standing: Standing) -> Result<(), &'static str> {
        let before = self.standing;
        if standing.epoch < before.epoch || !is_sane(standing.epoch) {
            return Err("the epoch goes back");
        }
        if standing.epoch == before.epoch && before.appointed && !standing.appointed {
            return Err("an appointment is taken back");
        }
        self.standing = standing;
        Ok(())
    }

    fn append(&mut self, mark: Mark, prev: Point, runs: &[Run]) -> Result<(), &'static str> {
        if !prev.is_sane() || runs.is_empty() {
            return Err("an append that no member writes");
        }
        if !self.log.holds(prev) {
            if self.whole {
                return Err("an append behind an entry that is not there");
            }
            self.log = Log::new(prev);
            self.history.install(None);
        }
        self.log.truncate(prev.position);
        self.history.truncate(prev.position);
        for run in runs {
            let entered = self.standing.epoch >= run.epoch || !(self.whole || self.based);
            if run.epoch < self.log.last().epoch || !entered || run.epoch == NOBODY {
                return Err("an entry of an epoch out of order");
            }
            if !run.is_sane() {
                return Err("members that no log can have");
            }
            self.log.append(run.epoch, run.batch.clone(), mark);
            if run.batch.kind() == Kind::Configuration
                && let Some(configuration) = run.configured()
            {
                let at = self.log.last().position;
                self.history.append(at, configuration);
            }
        }
        Ok(())
    }

    fn compact(
        &mut self,
        mark: Mark,
        base: Point,
        configured: Option<Configured>,
    ) -> Result<(), &'static str> {
        self.based = true;
        if configured.as_ref().is_some_and(|one| !one.is_within(base)) {
            return Err("members that no log can have");
        }
        if self.log.ends_run(base) {
            self.log.compact(base, mark);
            self.history.compact(base.position);
            self.history.begin(configured);
            return Ok(());
        }
        if self.whole || !base.is_sane() {
            return Err("what is forgotten was never there");
        }
        // Further back than the records reach: they begin behind a later compaction.
        if base.position > self.log.base().position {
            self.log = Log::new(base);
            self.history.install(configured);
        }
        Ok(())
    }

    fn install(&mut self, base: Point, configured: Option<Configured>) -> Result<(), &'static str> {
        self.based = true;
        if configured.as_ref().is_some_and(|one| !one.is_within(base)) {
            return Err("members that no log can have");
        }
        if !base.is_sane() || (self.whole && base.position <= self.log.base().position) {
            return Err("a snapshot that adds nothing");
        }
        self.log = Log::new(base);
        self.history.install(configured);
        Ok(())
    }

    fn finish(self, id: NodeId, durable: Mark) -> Result<Self, RestoreError> {
        let wrong = |why| Err(RestoreError::Contradiction { mark: durable, why });
        if self.last.unwrap_or(Mark::ZERO) != durable {
            return wrong("the records do not end at the highest mark");
        }
        if !self.whole && !self.based {
            return wrong("the beginning is missing and nothing says what it was");
        }
        if self.log.last().epoch > self.standing.epoch {
            return wrong("an entry of an epoch that the member never agreed to");
        }
        if self.standing.appointed && self.standing.epoch.node != id {
            return wrong("an appointment of another member");
        }
        Ok(self)
    }
}

impl PrimaryBackup {
    /// Writes down that the log was dropped and begins behind a snapshot: every older record can go.
    pub(crate) fn write_installed(&mut self, out: &mut Out) {
        let base = self.log.base();
        let record = Record::Installed {
            standing: self.agreed.standing,
            base,
            configured: self.roster.history().at(base.position).cloned(),
        };
        let mark = self.disk.persist(record, out);
        self.disk.reclaim(mark, mark);
        self.state.unwritten = false;
    }

    /// Forgets entries up to `upto`, as far as whole runs allow. What a snapshot of this very log covers may go, nothing
    /// else.
    pub(crate) fn on_compact(
        &mut self,
        now: Instant,
        upto: Position,
        snapshot: SnapshotMeta,
        out: &mut Out,
    ) {
        if self.state.void.is_some() || !self.log.holds(snapshot.into()) {
            return;
        }
        self.state.learn(snapshot);
        self.forget(upto.min(snapshot.position), out);
        if self.log.bytes() > self.config.log_bytes_max / 2 {
            // It could come to a stop: all that the snapshot covers goes.
            self.forget(snapshot.position, out);
        }
        self.on_snapshot_taken(now, snapshot, out);
    }

    /// Forgets entries up to `upto`, as far as whole runs allow.
    fn forget(&mut self, upto: Position, out: &mut Out) {
        let base = self.log.compactable(upto);
        if base.position <= self.log.base().position {
            return;
        }
        let record = Record::Compacted {
            standing: self.agreed.standing,
            base,
            configured: self.roster.history().at(base.position).cloned(),
        };
        let mark = self.disk.persist(record, out);
        self.log.compact(base, mark);
        self.roster.compact(base.position);
        let below = self.log.oldest_mark().unwrap_or(mark);
        self.disk.reclaim(mark, below);
    }
}

impl State {
    /// Takes note of a durable snapshot of this log.
    pub(crate) fn learn(&mut self, snapshot: SnapshotMeta) {
        let newest = self.newest.map_or(Position::ZERO, |newest| newest.position);
        if newest < snapshot.position {
            self.newest = Some(snapshot);
        }
    }
}
