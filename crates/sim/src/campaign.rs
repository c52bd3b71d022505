//! Many seeds, over all cores; each run stays on one thread.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::{Options, Plan, Protocol, Report, Workload, run};

/// Rare states that every campaign of a thousand seeds and more has to reach, whatever the protocol.
pub const RARE: &[&str] = &[
    "a client was refused: no leader",
    "a client was refused: overloaded",
    "a client was told that the outcome is unknown",
    "a disk is full",
    "a disk that decayed was refused",
    "a full disk has room again",
    "a local read was answered without a leader",
    "a member started from a snapshot",
    "a member stopped because its disk failed",
    "a message of a past life arrived",
    "a client with a session asked twice at once",
    "a reply of a session was given again",
    "a session had expired",
    "a session was opened",
    "a snapshot was fetched",
    "a snapshot was installed",
    "a torn tail was cut",
    "a wiped disk was refused",
    "power was lost in a call",
    "power was lost in a recovery",
    "what was under way was lost with its connection",
];

/// Rare states that logs reach whose positions are decided one by one; for [`Protocol::rare`].
pub const ACCEPTED_AGAIN: &str = "a position was accepted again in a later epoch";
/// See [`ACCEPTED_AGAIN`].
pub const ACCEPTED_BEHIND_A_HOLE: &str = "a position was accepted behind a hole";
/// See [`ACCEPTED_AGAIN`].
pub const CHOSEN_BEHIND_A_HOLE: &str = "a position was chosen behind a hole";

/// Rare states that a log whose leader is appointed reaches; for [`Protocol::rare`].
pub const PROMOTIONS: &[&str] = &[
    "a member was promoted",
    "a promotion was refused: another has more",
    "a promotion was refused: leads already, or is about to",
    "a promotion was refused: the round is over",
    "a promotion was refused: too few answered",
];

/// Rare states that logs reach whose members change ([`Protocol::changes_members`]).
pub const CHANGES: &[&str] = &[
    "a change of members was left undecided",
    "a change of members was refused: another is under way",
    "a change of members was refused: it cannot be",
    "a change of members was refused: no leader",
    "a leader removed itself",
    "a learner was promoted by its wish",
    "members were changed",
];

/// Those that only logs reach whose configurations are in force before they are chosen; for [`Protocol::rare`].
pub const JOINT: &[&str] = &[
    "a change of members was refused: the leader is too new",
    "a configuration came with a snapshot",
    "a configuration that was not chosen went",
    "a member started in a joint configuration",
    "another leader completed a change of members",
];

/// Rare states that logs reach that hand leadership over ([`Protocol::transfers`]).
pub const HANDOVERS: &[&str] = &[
    "a hand-over was given up",
    "a hand-over was refused",
    "leadership was handed over",
];

/// Which seeds, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Campaign {
    /// The first seed.
    pub from: u64,
    /// How many.
    pub seeds: u64,
    /// How many at once.
    pub jobs: usize,
    /// What is not drawn.
    pub options: Options,
    /// Stop after so many failures.
    pub failures_max: usize,
}

/// What a campaign came to.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Seeds that ran.
    pub seeds: u64,
    /// Virtual time of all of them.
    pub simulated: Duration,
    /// Happenings of all of them.
    pub events: u64,
    /// Requests of clients.
    pub requests: u64,
    /// Positions chosen.
    pub committed: u64,
    /// In how many seeds each rare state was reached.
    pub marks: BTreeMap<&'static str, u64>,
    /// Runs that failed, by seed.
    pub failures: Vec<Report>,
}

impl Summary {
    /// The rare states that were never reached.
    pub fn missed<P: Protocol>(&self, protocol: &P) -> Vec<&'static str> {
        let changes = protocol.changes_members().then_some(CHANGES);
        let transfers = protocol.transfers().then_some(HANDOVERS);
        let orders = [changes, transfers].into_iter().flatten().flatten();
        let all = RARE.iter().chain(protocol.rare()).chain(orders);
        all.filter(|mark| !self.marks.contains_key(*mark))
            .copied()
            .collect()
    }

    fn add(&mut self, report: Report) {
        self.seeds += 1;
        self.simulated += report.simulated;
        self.events += report.events;
        self.requests += report.requests;
        self.committed += report.committed;
        for mark in &report.marks {
            *self.marks.entry(mark).or_default() += 1;
        }
        if report.violation.is_some() {
            self.failures.push(report);
            self.failures.sort_by_key(|failure| failure.seed);
        }
    }
}

impl Campaign {
    /// Runs all seeds. `workload` gives the workload of a seed; `progress` is told now and then.
    pub fn run<P: Protocol + Sync, W: Workload>(
        &self,
        protocol: &P,
        workload: impl Fn(u64) -> W + Sync,
        progress: impl Fn(&Summary) + Sync,
    ) -> Summary {
        let next = AtomicU64::new(self.from);
        let stop = AtomicBool::new(false);
        let summary = Mutex::new(Summary::default());
        let work = || {
            while !stop.load(Ordering::Relaxed) {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= self.from.saturating_add(self.seeds) {
                    break;
                }
                let plan = Plan::draw(seed, &self.options.of(protocol));
                let report = run(protocol, &workload(seed), &plan, false);
                let mut summary = summary.lock().unwrap_or_else(PoisonError::into_inner);
                summary.add(report);
                progress(&summary);
                if summary.failures.len() >= self.failures_max {
                    stop.store(true, Ordering::Relaxed);
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..self.jobs.max(1) {
                scope.spawn(work);
            }
        });
        summary.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}
