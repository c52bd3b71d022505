//! What a leader knows of one peer, and what it may send it.

use quorate_core::{Credit, Instant, NodeId, Position, SnapshotMeta, Window};

use crate::history::History;
use crate::message::length;
use crate::raft::Out;
use crate::{Append, Log, Message, Point, RaftConfig, Term};

/// One peer as its leader sees it.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) id: NodeId,
    /// Up to where the peer has the leader's log on disk.
    pub(crate) matched: Position,
    /// When it last answered in this term.
    pub(crate) heard: Instant,
    /// The newest round of reads it has answered.
    pub(crate) round: u64,
    /// The commit it was last told.
    told: Position,
    pub(crate) progress: Progress,
}

#[derive(Clone, Debug)]
pub(crate) enum Progress {
    /// Where the logs part is not known yet: one message at a time.
    Probe(Probe),
    /// They agree: entries leave as fast as the window allows.
    Replicate(Replicate),
    /// What the peer needs is gone from the log: it is to fetch a snapshot.
    Snapshot(Offer),
}

#[derive(Clone, Debug)]
pub(crate) struct Probe {
    /// The next entry to send, if the peer has the one before.
    pub(crate) next: Position,
    /// The last position that the probe on its way speaks of, and since when it is.
    sent: Option<(Position, Instant)>,
}

#[derive(Clone, Debug)]
pub(crate) struct Replicate {
    /// The next entry to send.
    pub(crate) next: Position,
    window: Window,
    /// Where the peer was last seen behind what was sent, and since when it has stood there.
    stuck: Option<(Position, Instant)>,
}

#[derive(Clone, Debug)]
pub(crate) struct Offer {
    meta: SnapshotMeta,
    sent: Instant,
}

/// What a leader looks at while it sends.
pub(crate) struct View<'a> {
    pub(crate) config: &'a RaftConfig,
    pub(crate) log: &'a Log,
    pub(crate) term: Term,
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
    /// A peer of which a new leader knows nothing but that it seems alive.
    pub(crate) fn new(id: NodeId, next: Position, now: Instant) -> Self {
        Self {
            id,
            matched: Position::ZERO,
            heard: now,
            round: 0,
            told: Position::ZERO,
            progress: Progress::Probe(Probe { next, sent: None }),
        }
    }

    /// Sends what may be sent.
    pub(crate) fn pump(&mut self, tap: &mut Tap, view: &View<'_>, out: &mut Out) {
        let last = view.log.last().position;
        loop {
            let (next, room) = match &self.progress {
                Progress::Probe(probe) if probe.sent.is_some() => return,
                Progress::Probe(probe) => (probe.next, u64::MAX),
                Progress::Replicate(ready) if ready.next > last => return,
                Progress::Replicate(ready) => (ready.next, ready.window.room()),
                Progress::Snapshot(_) => return,
            };
            if next <= view.log.base().position {
                return self.offer(view, out);
            }
            let Some(budget) = tap.budget().map(|budget| budget.min(room)) else {
                return;
            };
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
        next: Position,
        budget: u64,
        tap: &mut Tap,
        view: &View<'_>,
        out: &mut Out,
    ) {
        let read = view.log.read(next, budget);
        let (prev, runs) = read.expect("next lies behind the base and not beyond the end");
        let end = prev.position.plus(length(&runs));
        let bytes = runs.iter().map(|run| run.batch.bytes()).sum();
        tap.spend(bytes);
        match &mut self.progress {
            Progress::Probe(probe) => probe.sent = Some((end, view.now)),
            Progress::Replicate(ready) => {
                ready.next = end.next();
                ready.window.push(end, bytes);
            }
            Progress::Snapshot(_) => unreachable!("a snapshot is offered, not appended"),
        }
        let commit = view.log.committed();
        self.told = self.told.max(commit.min(end));
        let append = Append {
            term: view.term,
            prev,
            commit,
            runs,
        };
        out.send(self.id, Message::Append(append));
    }

    /// The peer has the leader's entries up to `verified`, on disk up to `matched`.
    pub(crate) fn on_report(&mut self, verified: Position, matched: Position, view: &View<'_>) {
        self.matched = self.matched.max(matched);
        let reached = match &mut self.progress {
            Progress::Probe(probe) => {
                verified >= probe.sent.map_or(probe.next.prev(), |(end, _)| end)
            }
            Progress::Replicate(ready) => {
                ready.window.release(matched);
                ready.next = ready.next.max(verified.next());
                false
            }
            Progress::Snapshot(_) => verified >= view.log.base().position,
        };
        if reached {
            self.progress = Progress::Replicate(Replicate {
                next: verified.next(),
                window: Window::new(view.config.window),
                stuck: None,
            });
        }
    }

    /// The peer answers heartbeats and stands at `verified`. If it has stood there for two of them while more was
    /// sent, that was lost.
    pub(crate) fn on_alive(&mut self, verified: Position, view: &View<'_>) {
        let patience = view.config.heartbeat_interval.saturating_mul(2);
        match &mut self.progress {
            Progress::Probe(probe) => {
                if probe
                    .sent
                    .is_some_and(|(_, sent)| view.now.since(sent) >= patience)
                {
                    probe.sent = None;
                }
            }
            Progress::Replicate(ready) => {
                if verified >= ready.next.prev() {
                    ready.stuck = None;
                    return;
                }
                let since = ready.stuck.filter(|(at, _)| *at == verified);
                let (_, since) = *ready.stuck.insert(since.unwrap_or((verified, view.now)));
                if view.now.since(since) >= patience {
                    self.probe(verified.max(self.matched).next());
                }
            }
            Progress::Snapshot(_) => {}
        }
    }

    /// The append behind `prev` does not fit the peer's log, which has `hint`.
    pub(crate) fn on_rejected(&mut self, prev: Position, hint: Point, log: &Log) {
        let expected = match &self.progress {
            Progress::Probe(probe) => probe.sent.is_some() && probe.next.prev() == prev,
            Progress::Replicate(ready) => prev < ready.next,
            Progress::Snapshot(_) => false,
        };
        if !expected || prev <= self.matched {
            return;
        }
        let common = log.floor(hint.position.min(prev.prev()), hint.term);
        let next = common.map_or(Position::ZERO, |point| point.position.next());
        self.probe(next.max(self.matched.next()));
    }

    /// Tells the peer that what it has is chosen, unless it was told.
    pub(crate) fn tell(&mut self, view: &View<'_>, out: &mut Out) {
        let commit = view.log.committed().min(self.matched);
        if commit > self.told {
            self.told = commit;
            let term = view.term;
            out.send(self.id, Message::Commit { term, commit });
        }
    }

    /// Makes the leader heard; offers a snapshot again if one is due.
    pub(crate) fn heartbeat(&mut self, round: u64, view: &View<'_>, out: &mut Out) {
        let commit = view.log.committed().min(self.matched);
        self.told = self.told.max(commit);
        let term = view.term;
        out.send(
            self.id,
            Message::Heartbeat {
                term,
                commit,
                round,
            },
        );
        if let Progress::Snapshot(offer) = &self.progress
            && view.now.since(offer.sent) >= view.config.election_timeout
        {
            self.offer(view, out);
        }
    }

    /// Offers a snapshot: again the one that the peer may be fetching, unless that no longer reaches the log.
    fn offer(&mut self, view: &View<'_>, out: &mut Out) {
        let newest = *view
            .newest
            .expect("a log that begins behind its start has a snapshot");
        let meta = match &self.progress {
            Progress::Snapshot(offer) if offer.meta.position >= view.log.base().position => {
                offer.meta
            }
            _ => newest,
        };
        assert!(
            meta.position >= view.log.base().position,
            "it reaches the log"
        );
        let sent = view.now;
        self.progress = Progress::Snapshot(Offer { meta, sent });
        let offer = Message::Snapshot {
            term: view.term,
            meta,
            configured: view.history.at(meta.position).cloned(),
        };
        out.send(self.id, offer);
    }

    /// Starts over from `next`. What the peer was told may be lost with the rest.
    fn probe(&mut self, next: Position) {
        self.told = Position::ZERO;
        self.progress = Progress::Probe(Probe { next, sent: None });
    }
}
