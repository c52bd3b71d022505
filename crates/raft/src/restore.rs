//! The member as its journal remembers it, and the records that let the journal forget.

use quorate_core::{
    Configuration, Instant, Mark, Memory, NodeId, Position, RestoreError, Rng, SnapshotMeta,
};

use crate::disk::Disk;
use crate::history::History;
use crate::lease::Pledge;
use crate::raft::{HardState, Out, Raft};
use crate::role::{Follower, Role, Timer};
use crate::roster::Roster;
use crate::snapshots::Snapshots;
use crate::{Configured, Log, Point, RaftConfig, Record, Run, Term};

pub(crate) fn restore(
    config: RaftConfig,
    now: Instant,
    memory: Memory<'_, Record>,
) -> Result<Raft, RestoreError> {
    let mut roster = Roster::new(&config).map_err(|error| RestoreError::Config(error.reason()))?;
    let mut replay = Replay::new(roster.history().clone());
    for (mark, record) in memory.records {
        replay.take(mark, record)?;
    }
    let durable = memory.durable;
    let mut replay = replay.finish(durable)?;
    let unwritten = replay.join(memory.snapshot, memory.configuration)?;
    let Replay {
        hard,
        mut log,
        history,
        ..
    } = replay;
    log.on_durable(durable);
    roster.restore(history, log.committed());
    let seed = config.seed ^ config.id.get().wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let verified = log.committed();
    let mut raft = Raft {
        roster,
        hard,
        log,
        role: Role::Follower(Follower {
            leader: None,
            verified,
            acknowledged: Position::ZERO,
        }),
        timer: Timer::new(now, Rng::new(seed)),
        disk: Disk::new(durable),
        snapshots: Snapshots::new(memory.snapshot, unwritten),
        transfer: None,
        pledge: config.lease.map(|_| Pledge::unknown(now)),
        anomalies: 0,
        config,
    };
    raft.await_leader(now);
    Ok(raft)
}

/// The records so far.
///
/// Where the journal still holds its first record, every later one has to fit. Where it has forgotten its beginning,
/// records may speak of entries that it forgot with it; an append that does then begins the log anew, and a base is
/// needed to say what came before: whatever [`Output::Reclaim`](quorate_core::Output::Reclaim) allowed to go, a later
/// record covers.
struct Replay {
    hard: HardState,
    log: Log,
    history: History,
    /// The last record taken; none: there was none yet.
    last: Option<Mark>,
    /// Whether the records begin with the first ever written.
    whole: bool,
    /// Whether a base was among them.
    based: bool,
}

impl Replay {
    const fn new(founding: History) -> Self {
        Self {
            hard: HardState {
                term: Term::ZERO,
                vote: None,
                mark: Mark::ZERO,
                entered: Mark::ZERO,
                spoken: Term::ZERO,
            },
            log: Log::new(Point::START),
            history: founding,
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
            Record::Vote { term, voted_for } => self.vote(term, voted_for),
            Record::Append { prev, runs } => self.append(mark, prev, &runs),
            Record::Compacted {
                term,
                voted_for,
                base,
                configured,
            } => self
                .vote(term, voted_for)
                .and_then(|()| self.compact(mark, base, configured)),
            Record::Installed {
                term,
                voted_for,
                base,
                configured,
            } => self
                .vote(term, voted_for)
                .and_then(|()| self.install(base, configured)),
        };
        outcome.map_err(wrong)
    }

    fn vote(&mut self, term: Term, voted_for: Option<NodeId>) -> Result<(), &'static str> {
        let hard = &mut self.hard;
        if term < hard.term || term > Term::MAX {
            return Err("the term goes back");
        }
        if term == hard.term && hard.vote.is_some() && hard.vote != voted_for {
            return Err("a second vote in one term");
        }
        (hard.term, hard.vote) = (term, voted_for);
        Ok(())
    }

    fn append(&mut self, mark: Mark, prev: Point, runs: &[Run]) -> Result<(), &'static str> {
        if !prev.is_sane() || runs.is_empty() || !runs.iter().all(Run::is_sane) {
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
            let entered = self.hard.term >= run.term || !(self.whole || self.based);
            if run.term < self.log.last().term || !entered {
                return Err("an entry of a term out of order");
            }
            self.log.append(run.term, run.batch.clone(), mark);
        }
        self.history.extend(prev.position, runs);
        Ok(())
    }

    fn compact(
        &mut self,
        mark: Mark,
        base: Point,
        configured: Option<Configured>,
    ) -> Result<(), &'static str> {
        self.based = true;
        check_configured(base, configured.as_ref())?;
        if self.log.ends_run(base) {
            if self.whole && self.history.at(base.position) != configured.as_ref() {
                return Err("what is forgotten named other members");
            }
            self.log.compact(base, mark);
            self.history.begin(base.position, configured);
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
        check_configured(base, configured.as_ref())?;
        if !base.is_sane() || (self.whole && base.position <= self.log.base().position) {
            return Err("a snapshot that adds nothing");
        }
        self.log = Log::new(base);
        self.history.install(configured);
        Ok(())
    }

    fn finish(mut self, durable: Mark) -> Result<Self, RestoreError> {
        let wrong = |why| Err(RestoreError::Contradiction { mark: durable, why });
        if self.last.unwrap_or(Mark::ZERO) != durable {
            return wrong("the records do not end at the highest mark");
        }
        if !self.whole && !self.based {
            return wrong("the beginning is missing and nothing says what it was");
        }
        if self.log.last().term > self.hard.term {
            return wrong("an entry of a term that the member never entered");
        }
        self.hard.spoken = self.hard.term;
        Ok(self)
    }

    /// Joins the log to the snapshot that the state machine was restored from. True: the log does not lead up to it and
    /// was dropped, which the journal has yet to learn (a crash came between a fetched snapshot and its record).
    fn join(
        &mut self,
        snapshot: Option<SnapshotMeta>,
        named: Option<(Position, Configuration)>,
    ) -> Result<bool, RestoreError> {
        let point = snapshot.map_or(Point::START, Point::from);
        let at = point.position;
        let configured = named.map(|(at, configuration)| Configured { at, configuration });
        let wrong = |why| {
            let mark = Mark::ZERO;
            Err(RestoreError::Contradiction { mark, why })
        };
        if at < self.log.base().position {
            return Err(RestoreError::MissingSnapshot {
                compacted: self.log.base().position,
                snapshot: at,
            });
        }
        if self.log.holds(point) {
            if self.history.at(at) != configured.as_ref() {
                return wrong("the snapshot names other members than the log");
            }
            self.log.skip_to(at);
            return Ok(false);
        }
        if at == self.log.base().position {
            return wrong("the snapshot ends in another term than the log's base");
        }
        if check_configured(point, configured.as_ref()).is_err() {
            return wrong("the snapshot names members that cannot be");
        }
        self.log = Log::new(point);
        self.history.install(configured);
        Ok(true)
    }
}

fn check_configured(base: Point, configured: Option<&Configured>) -> Result<(), &'static str> {
    if configured.is_none_or(|one| one.is_before(base)) {
        Ok(())
    } else {
        Err("members that cannot be")
    }
}

impl Raft {
    /// Writes down that the log was dropped and begins behind a snapshot: every older record can go.
    pub(crate) fn write_installed(&mut self, out: &mut Out) {
        let record = Record::Installed {
            term: self.hard.term,
            voted_for: self.hard.vote,
            base: self.log.base(),
            configured: self.configured_at(self.log.base()),
        };
        let mark = self.disk.persist(record, out);
        self.disk.reclaim(mark, mark);
        self.snapshots.unwritten = false;
    }

    fn configured_at(&self, point: Point) -> Option<Configured> {
        self.roster.history().at(point.position).cloned()
    }

    /// Forgets entries up to `upto`; all that the snapshot covers where the log would stay more than half full, for
    /// it could come to a stop.
    pub(crate) fn on_compact(&mut self, upto: Position, snapshot: SnapshotMeta, out: &mut Out) {
        self.snapshots.learn(snapshot);
        self.forget(upto.min(snapshot.position), out);
        if self.log.bytes() > self.config.log_bytes_max / 2 {
            self.forget(snapshot.position, out);
        }
    }

    /// Forgets entries up to `upto`, as far as whole runs allow.
    fn forget(&mut self, upto: Position, out: &mut Out) {
        let base = self.log.compactable(upto);
        if base.position == self.log.base().position {
            return;
        }
        let record = Record::Compacted {
            term: self.hard.term,
            voted_for: self.hard.vote,
            base,
            configured: self.configured_at(base),
        };
        let mark = self.disk.persist(record, out);
        self.log.compact(base, mark);
        self.roster.compact(base.position);
        let below = self.log.oldest_mark().unwrap_or(mark);
        self.disk.reclaim(mark, below);
    }
}
