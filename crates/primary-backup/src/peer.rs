//! What a primary knows of one backup, and what it may send it.

use core::time::Duration;

use quorate_core::{Credit, Epoch, Instant, NodeId, Position, SnapshotMeta, Window};

use crate::history::History;
use crate::member::Out;
use crate::message::{Holding, Missing, length};
use crate::{Append, Log, Message, PrimaryBackupConfig};

/// One backup as its primary sees it.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) id: NodeId,
    /// Up to where the backup has the primary's log on disk.
    pub(crate) matched: Position,
    /// The newest round of reads it has answered.
    pub(crate) round: u64,
    /// When it last said what it has, in this epoch.
    pub(crate) heard: Option<Instant>,
    /// The commit it was last told.
    told: Position,
    progress: Progress,
    /// It cannot go on without a snapshot.
    need: Option<Need>,
}

#[derive(Clone, Debug)]
enum Progress {
    /// Where the logs part is not known yet: one message at a time.
    Probe {
        /// The next entry to send, if the backup has the one before.
        next: Position,
        /// The last position that the probe on its way speaks of, and since when it is.
        sent: Option<(Position, Instant)>,
    },
    /// They agree: entries leave as fast as the window allows.
    Replicate {
        /// The next entry to send.
        next: Position,
        window: Window,
        /// Where the backup was last seen behind what was sent, and since when it has stood there.
        stuck: Option<(Position, Instant)>,
    },
    /// No entry that the primary still has fits: a snapshot has to come first.
    Wait,
}

/// A snapshot that a backup has to have.
#[derive(Clone, Copy, Debug)]
struct Need {
    /// It has to lie beyond this position.
    beyond: Position,
    /// The backup's committed entries are not the primary's.
    lost: bool,
    /// What was offered, and when.
    offer: Option<(SnapshotMeta, Instant)>,
}

/// What a primary looks at while it sends.
pub(crate) struct View<'a> {
    pub(crate) config: &'a PrimaryBackupConfig,
    pub(crate) log: &'a Log,
    pub(crate) epoch: Epoch,
    pub(crate) newest: Option<&'a SnapshotMeta>,
    pub(crate) history: &'a History,
    pub(crate) now: Instant,
}

/// How much bulk a peer may be sent, beside its window (DESIGN: credit).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tap {
    /// The window alone decides.
    Open,
    /// So many bytes are left. A single command larger than that may still leave, and its debt is carried.
    Metered(i64),
}

impl Tap {
    /// Takes note of what was granted.
    pub(crate) fn grant(&mut self, credit: Credit) {
        *self = match (credit, *self) {
            (Credit::Open, _) => Self::Open,
            (Credit::Only(bytes), _) | (Credit::More(bytes), Self::Open) => {
                Self::Metered(clamped(bytes))
            }
            (Credit::More(bytes), Self::Metered(left)) => {
                Self::Metered(left.saturating_add(clamped(bytes)))
            }
        };
    }

    /// What may leave now; none: nothing.
    fn budget(self) -> Option<u64> {
        match self {
            Self::Open => Some(u64::MAX),
            Self::Metered(left) => u64::try_from(left).ok().filter(|left| *left > 0),
        }
    }

    fn spend(&mut self, bytes: u64) {
        if let Self::Metered(left) = self {
            *left = left.saturating_sub(clamped(bytes));
        }
    }
}

fn clamped(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

impl Peer {
    /// A backup of which a new primary knows nothing.
    pub(crate) fn new(id: NodeId, next: Position) -> Self {
        Self {
            id,
            matched: Position::ZERO,
            round: 0,
            heard: None,
            told: Position::ZERO,
            progress: Progress::Probe { next, sent: None },
            need: None,
        }
    }

    /// Sends what may be sent.
    pub(crate) fn pump(&mut self, tap: &mut Tap, view: &View<'_>, out: &mut Out) {
        let last = view.log.last().position;
        loop {
            let (next, room) = match &self.progress {
                Progress::Probe { sent: Some(_), .. } | Progress::Wait => return,
                Progress::Probe { next, sent: None } => (*next, u64::MAX),
                Progress::Replicate { next, .. } if *next > last => return,
                Progress::Replicate { next, window, .. } => (*next, window.room()),
            };
            if next <= view.log.base().position {
                // What the backup needs next is gone.
                return self.wait(next.prev(), false);
            }
            let budget = tap.budget().map_or(0, |budget| budget.min(room));
            if budget == 0 {
                return;
            }
            self.append(
                next,
                budget.min(view.config.append_bytes_max),
                tap,
                view,
                out,
            );
        }
    }

    fn append(
        &mut self,
        first: Position,
        budget: u64,
        tap: &mut Tap,
        view: &View<'_>,
        out: &mut Out,
    ) {
        let read = view.log.read(first, budget);
        let (prev, runs) = read.expect("next lies behind the base and not beyond the end");
        let end = prev.position.plus(length(&runs));
        let bytes = runs.iter().map(|run| run.batch.bytes()).sum();
        tap.spend(bytes);
        match &mut self.progress {
            Progress::Probe { sent, .. } => *sent = Some((end, view.now)),
            Progress::Replicate { next, window, .. } => {
                *next = end.next();
                window.push(end, bytes);
            }
            Progress::Wait => unreachable!("nothing is appended while a snapshot is needed"),
        }
        let (epoch, commit) = (view.epoch, view.log.committed());
        self.told = self.told.max(commit.min(end));
        let append = Append {
            epoch,
            prev,
            commit,
            runs,
        };
        out.send(self.id, Message::Append(append));
    }

    /// What the backup says it has.
    pub(crate) fn on_holding(&mut self, holding: Holding, view: &View<'_>) {
        let Holding {
            verified,
            matched,
            void,
        } = holding;
        self.heard = Some(view.now);
        self.matched = self.matched.max(matched);
        let reached = match &mut self.progress {
            Progress::Probe { next, sent } => {
                verified >= sent.map_or(next.prev(), |(end, _)| end)
                    && verified >= view.log.base().position
            }
            Progress::Replicate { next, window, .. } => {
                window.release(matched);
                *next = (*next).max(verified.next());
                false
            }
            Progress::Wait => {
                let reached = verified >= view.log.base().position && verified > Position::ZERO;
                self.need = self.need.filter(|_| !reached);
                reached
            }
        };
        if reached {
            self.progress = Progress::Replicate {
                next: verified.next(),
                window: Window::new(view.config.window),
                stuck: None,
            };
        }
        match void {
            Some(beyond) => self.require(beyond, true),
            None if matches!(self.progress, Progress::Wait) => {}
            None => self.need = None,
        }
    }

    /// The backup answers heartbeats and stands at `verified`. If it has stood there for two of them while more was
    /// sent, that was lost.
    pub(crate) fn on_alive(&mut self, verified: Position, view: &View<'_>) {
        let patience = view.config.heartbeat_interval.saturating_mul(2);
        let due = |since: Instant| view.now.since(since) >= patience;
        match &mut self.progress {
            Progress::Probe { sent, .. } => *sent = sent.filter(|(_, since)| !due(*since)),
            Progress::Replicate { next, stuck, .. } => {
                if verified >= next.prev() {
                    *stuck = None;
                    return;
                }
                let since = stuck.filter(|(at, _)| *at == verified);
                let (_, since) = *stuck.insert(since.unwrap_or((verified, view.now)));
                if due(since) {
                    self.probe(verified.max(self.matched).next());
                }
            }
            Progress::Wait => {}
        }
    }

    /// The append behind `prev` does not fit the backup's log, which has `hint`, and nothing before `base`.
    pub(crate) fn on_missing(&mut self, missing: Missing, view: &View<'_>) {
        let log = view.log;
        self.heard = Some(view.now);
        let Missing {
            prev,
            hint,
            base,
            floor,
            ..
        } = missing;
        let expected = match &self.progress {
            // Also where the probe was given up for lost: a link may take longer than that.
            Progress::Probe { next, .. } => next.prev() == prev,
            Progress::Replicate { next, .. } => prev < *next,
            // An offer was of no use: the backup has more.
            Progress::Wait => return self.require(floor, false),
        };
        if !expected || prev <= self.matched && prev > Position::ZERO {
            return;
        }
        let held = log.epoch_at(hint.position);
        if held == Some(hint.epoch) {
            return self.probe(hint.position.next());
        }
        if hint.position <= base {
            // Nothing lower can be compared: it is another log, unless the primary has forgotten what it was.
            let lost = held.is_some() || hint.position > log.last().position;
            return self.wait(floor, lost && floor > Position::ZERO);
        }
        match log.floor(hint.position.min(prev.prev()), hint.epoch) {
            Some(common) => self.probe(common.position.next()),
            None => self.wait(floor, false),
        }
    }

    /// Tells the backup that what it has is committed, unless it was told.
    pub(crate) fn tell(&mut self, view: &View<'_>, out: &mut Out) {
        let commit = self.known_commit(view);
        if commit > self.told {
            self.told = commit;
            let epoch = view.epoch;
            out.send(self.id, Message::Commit { epoch, commit });
        }
    }

    /// Makes the primary heard.
    pub(crate) fn heartbeat(&mut self, round: u64, view: &View<'_>, out: &mut Out) {
        let commit = self.known_commit(view);
        self.told = self.told.max(commit);
        let (epoch, last) = (view.epoch, view.log.last().position);
        out.send(
            self.id,
            Message::Heartbeat {
                epoch,
                commit,
                last,
                round,
            },
        );
    }

    /// Where memory commits, a backup that has not written yet may be told as well: it knows what it has checked.
    fn known_commit(&self, view: &View<'_>) -> Position {
        let sent = match &self.progress {
            Progress::Replicate { next, .. } => next.prev(),
            Progress::Probe { .. } | Progress::Wait => self.matched,
        };
        view.log.committed().min(sent)
    }

    /// Offers a snapshot if one is needed and there; the position beyond which one has to be taken otherwise.
    pub(crate) fn offer(&mut self, view: &View<'_>, out: &mut Out) -> Option<Position> {
        let need = self.need.as_mut()?;
        let fits = |meta: &SnapshotMeta| {
            meta.position > need.beyond && meta.position >= view.log.base().position
        };
        let standing = need.offer.filter(|(meta, _)| fits(meta));
        let (meta, sent) = match (standing, view.newest) {
            (Some((meta, sent)), _) => (meta, Some(sent)),
            (None, Some(newest)) if fits(newest) => (*newest, None),
            (None, _) => return Some(need.beyond),
        };
        if due(sent, view.config.patience, view.now) {
            need.offer = Some((meta, view.now));
            let offer = Message::Snapshot {
                epoch: view.epoch,
                meta,
                lost: need.lost,
                configured: view.history.at(meta.position).cloned(),
            };
            out.send(self.id, offer);
        }
        None
    }

    /// Whether it has all of a log that ends at `last`, and no state to be replaced.
    pub(crate) fn is_complete(&self, last: Position) -> bool {
        self.matched == last && self.need.is_none()
    }

    /// Entries are of no use before a snapshot from beyond `beyond`.
    fn wait(&mut self, beyond: Position, lost: bool) {
        self.progress = Progress::Wait;
        self.require(beyond, lost);
    }

    fn require(&mut self, beyond: Position, lost: bool) {
        let offer = self.need.and_then(|need| need.offer);
        let lost = lost || self.need.is_some_and(|need| need.lost);
        self.need = Some(Need {
            beyond,
            lost,
            offer,
        });
    }

    /// Starts over from `next`. What the backup was told may be lost with the rest.
    fn probe(&mut self, next: Position) {
        self.told = Position::ZERO;
        self.progress = Progress::Probe { next, sent: None };
    }
}

/// Whether something that was sent then, if ever, is to be sent again.
fn due(sent: Option<Instant>, patience: Duration, now: Instant) -> bool {
    sent.is_none_or(|sent| now.since(sent) >= patience)
}
