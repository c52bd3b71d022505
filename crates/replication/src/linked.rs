//! The linked log itself: its door, and what follows from every step.

use alloc::vec::Vec;
use core::time::Duration;

use quorate_core::{
    Batch, Committed, Configuration, Direction, Epoch, Input, Instant, Life, LinkStatus, Mark,
    Memory, NodeId, Outbox, PeerStatus, Position, ReplicatedLog, RestoreError, RoleKind,
    SnapshotMeta, Status,
};
use smallvec::SmallVec;

use crate::borrow::Waiting;
use crate::feed::Feed;
use crate::frame::{Body, Frame, Head, Want};
use crate::hollow::Prints;
use crate::lag::History;
use crate::membership::Roster;
use crate::sink::Sink;
use crate::source::Source;
use crate::{Budget, LinkConfig};

pub(crate) type Out<L> = Outbox<Linked<L>>;

/// A replicated log whose links can be directed: push, pull, mixed.
///
/// What it adds to the log is on the links only. The journal holds the log's own records, so a member may be linked or
/// bare from one start to the next; but all members have to be linked, or none.
///
/// ```
/// use quorate_core::{Direction, Instant, Life, Memory, NodeId, ReplicatedLog};
/// use quorate_raft::{Raft, RaftConfig};
/// use quorate_replication::{LinkConfig, Linked};
///
/// let ids = [1, 2, 3].map(NodeId);
/// let raft = RaftConfig::new(ids[0], &ids);
/// let config = LinkConfig::new(raft, ids[0], Life(1), &ids, Direction::Auto);
/// let memory = Memory { records: &mut [].into_iter(), durable: 0.into(), snapshot: None, configuration: None };
/// let member = Linked::<Raft>::restore(config, Instant::ZERO, memory)?;
/// assert_eq!(member.links().len(), 2);
/// # Ok::<(), quorate_core::RestoreError>(())
/// ```
pub struct Linked<L: ReplicatedLog> {
    pub(crate) name: Name,
    pub(crate) log: L,
    pub(crate) inner: Outbox<L>,
    pub(crate) roster: Roster,
    pub(crate) peers: Vec<Peer<L::Message>>,
    pub(crate) feeds: Vec<Feed>,
    pub(crate) disk: Disk,
    pub(crate) prints: Prints,
    pub(crate) parked: Vec<Parked>,
    pub(crate) watch: Watch,
    /// The number of the last question for a body.
    pub(crate) questions: u64,
}

/// Which run this is, and its limits.
#[derive(Clone, Debug)]
pub(crate) struct Name {
    pub(crate) life: Life,
    pub(crate) budget: Budget,
    /// How many others have to have an entry before it is chosen, where majorities choose.
    pub(crate) needed: usize,
}

/// The link to one peer, both ways.
#[derive(Clone, Debug)]
pub(crate) struct Peer<M> {
    pub(crate) id: NodeId,
    /// Its run, as far as heard; zero: not at all.
    pub(crate) life: Life,
    pub(crate) source: Source,
    pub(crate) sink: Sink<M>,
    /// It was asked for a body in vain: until then it is not asked for others.
    pub(crate) barren: Instant,
    /// When it last lent a body.
    pub(crate) lent: Instant,
    /// Control that leaves with the next frame, at the end of this step at the latest.
    pub(crate) control: SmallVec<[M; 1]>,
}

/// What is known of the own disk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Disk {
    /// The last write that the log has asked for.
    pub(crate) written: Mark,
    pub(crate) durable: Mark,
    /// The newest snapshot.
    pub(crate) newest: Option<SnapshotMeta>,
}

/// A question for a body that may be about to arrive here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parked {
    pub(crate) from: NodeId,
    pub(crate) want: Want,
    pub(crate) until: Instant,
}

/// Who is behind.
#[derive(Clone, Debug)]
pub(crate) struct Watch {
    pub(crate) history: History,
    /// When to look next; none: there is nothing to see.
    pub(crate) due: Option<Instant>,
    /// The log was told what may leave.
    begun: bool,
}

impl<L: ReplicatedLog> Linked<L> {
    /// The log.
    pub const fn log(&self) -> &L {
        &self.log
    }

    pub(crate) fn index(&self, id: NodeId) -> Option<usize> {
        self.peers.iter().position(|peer| peer.id == id)
    }

    pub(crate) fn leads(&self) -> bool {
        self.log.status().role == RoleKind::Leader
    }

    fn on_tick(&mut self, now: Instant, out: &mut Out<L>) {
        self.drive(now, Input::Tick, out);
        self.judge(now, out);
        let (budget, life) = (self.name.budget.clone(), self.name.life);
        for peer in &mut self.peers {
            if peer.source.is_probe_due(now, &budget) {
                out.send(peer.id, peer.frame(life, &budget, Body::Probe));
            }
        }
    }

    fn on_direct(&mut self, peer: Option<NodeId>, direction: Direction, out: &mut Out<L>) {
        if peer.is_none() {
            self.roster.direct_all(direction);
        }
        for link in &mut self.peers {
            if peer.is_none_or(|peer| peer == link.id)
                && let Some(event) = link.source.direct(direction)
            {
                out.push(quorate_core::Output::Link(event));
            }
        }
    }

    /// Looks who has fallen behind, and who has caught up.
    fn judge(&mut self, now: Instant, out: &mut Out<L>) {
        if self.watch.due.is_none_or(|due| due > now) {
            return;
        }
        self.watch.due = None;
        if !self.leads() {
            return;
        }
        let Self {
            peers, watch, name, ..
        } = self;
        for peer in peers {
            if let Some(event) = peer.source.judge(now, &watch.history, &name.budget) {
                out.push(quorate_core::Output::Link(event));
            }
        }
    }

    /// What follows from a step: confirmations, credit, bodies to ask for and to lend, pages.
    fn settle(&mut self, now: Instant, out: &mut Out<L>) {
        self.follow(now);
        for peer in &mut self.peers {
            peer.sink.settle(self.disk.durable);
        }
        self.govern(now, out);
        self.ask(now, out);
        self.unpark(now, out);
        self.feed(now, out);
        self.look(now);
        self.flush(out);
    }

    fn look(&mut self, now: Instant) {
        let status = self.log.status();
        if status.role != RoleKind::Leader {
            self.watch.history.clear();
            return;
        }
        self.watch.history.note(now, status.committed);
        let budget = &self.name.budget;
        let watched = self.peers.iter().any(|peer| peer.source.is_watched(budget));
        if watched && self.watch.due.is_none() {
            self.watch.due = Some(now + budget.behind_after / 8);
        }
    }
}

impl<M> Peer<M> {
    /// The counters as they stand now.
    fn head(&mut self, life: Life, budget: &Budget) -> Head {
        let (done, grant) = self.sink.tell(budget);
        Head {
            life,
            sent: self.source.sent(),
            flow: self.source.flow(),
            heard: self.life,
            done,
            grant,
        }
    }

    pub(crate) fn frame(&mut self, life: Life, budget: &Budget, body: Body<M>) -> Frame<M> {
        let head = self.head(life, budget);
        Frame { head, body }
    }

    /// Takes note of the counters of a frame. False: it is from a former run of the peer.
    pub(crate) fn on_head(
        &mut self,
        now: Instant,
        head: &Head,
        own: Life,
        budget: &Budget,
    ) -> bool {
        if head.life < self.life {
            return false;
        }
        if head.life > self.life {
            self.life = head.life;
            self.source.on_new_run(now);
            self.sink = Sink::new();
            // It does not know yet that it is heard, nor what it may send.
            self.sink.ask();
        }
        self.sink.flow = head.flow;
        if head.heard == own {
            self.source.on_report(now, head.done, head.grant, budget);
        }
        true
    }
}

impl<L: ReplicatedLog> ReplicatedLog for Linked<L> {
    type Config = LinkConfig<L::Config>;
    type Message = Frame<L::Message>;
    type Record = L::Record;
    const ELECTS: bool = L::ELECTS;

    fn restore(
        config: Self::Config,
        now: Instant,
        memory: Memory<'_, L::Record>,
    ) -> Result<Self, RestoreError> {
        config.validate().map_err(RestoreError::Config)?;
        let (durable, newest) = (memory.durable, memory.snapshot);
        let mut others = config.members.clone();
        others.retain(|id| *id != config.id);
        others.sort_unstable();
        others.dedup();
        let peers = others.into_iter().map(|id| {
            let direction = config.direction_to(id);
            Peer::new(id, Source::new(id, direction, &config.budget, now))
        });
        let peers = peers.collect();
        let log = L::restore(config.log, now, memory)?;
        // What the log says of the members is followed with the first step.
        let founding = Configuration::founding(&config.members, &[]);
        let roster = Roster::new(config.id, founding, config.direction, config.directions);
        Ok(Self {
            roster,
            name: Name {
                life: config.life,
                needed: log.configuration().voters().len() / 2,
                budget: config.budget.clone(),
            },
            log,
            inner: Outbox::new(),
            peers,
            feeds: config.learners.into_iter().map(Feed::new).collect(),
            disk: Disk {
                written: durable,
                durable,
                newest,
            },
            prints: Prints::default(),
            parked: Vec::new(),
            watch: Watch {
                history: History::new(config.budget.behind_after),
                due: None,
                begun: false,
            },
            questions: 0,
        })
    }

    fn step(&mut self, now: Instant, input: Input<Self::Message>, out: &mut Outbox<Self>) {
        if !self.watch.begun {
            self.watch.begun = true;
            self.govern(now, out);
        }
        match input {
            Input::Tick => self.on_tick(now, out),
            Input::Receive { from, message } => self.on_frame(now, from, message, out),
            Input::Direct { peer, direction } => self.on_direct(peer, direction, out),
            // What may leave is decided here.
            Input::Credit { .. } => {}
            Input::Durable { upto } => {
                self.disk.durable = self.disk.durable.max(upto);
                self.drive(now, Input::Durable { upto }, out);
            }
            Input::Compact { upto, snapshot } => {
                self.learn(snapshot);
                self.drive(now, Input::Compact { upto, snapshot }, out);
            }
            Input::Fetched { snapshot } => {
                self.learn(snapshot);
                self.drive(now, Input::Fetched { snapshot }, out);
            }
            Input::Propose { ticket, batch } => {
                self.drive(now, Input::Propose { ticket, batch }, out);
            }
            Input::Read { ticket } => self.drive(now, Input::Read { ticket }, out),
            Input::Room { available } => self.drive(now, Input::Room { available }, out),
            Input::Promote {
                ticket,
                round,
                force,
            } => {
                let order = Input::Promote {
                    ticket,
                    round,
                    force,
                };
                self.drive(now, order, out);
            }
            Input::Reconfigure { ticket, change } => {
                self.drive(now, Input::Reconfigure { ticket, change }, out);
            }
            Input::Transfer { ticket, to } => {
                self.drive(now, Input::Transfer { ticket, to }, out);
            }
        }
        self.settle(now, out);
    }

    fn deadline(&self) -> Option<Instant> {
        let links = self.peers.iter().flat_map(|peer| {
            let waiting = peer.sink.queue.iter().filter_map(Waiting::deadline);
            waiting.chain(peer.source.deadline())
        });
        let parked = self.parked.iter().map(|parked| parked.until);
        let log = self.log.deadline();
        links.chain(parked).chain(log).chain(self.watch.due).min()
    }

    fn status(&self) -> Status {
        self.log.status()
    }

    fn configuration(&self) -> &Configuration {
        self.log.configuration()
    }

    fn peers(&self) -> Vec<PeerStatus> {
        self.log.peers()
    }

    fn lease(&self, now: Instant) -> Option<Position> {
        self.log.lease(now)
    }

    fn chosen(&self, at: Position, bytes_max: u64) -> Option<Committed> {
        self.log.chosen(at, bytes_max)
    }

    fn held(&self, at: Position, bytes_max: u64) -> Option<(Epoch, Batch)> {
        self.log.held(at, bytes_max)
    }

    fn is_sound(&self) -> bool {
        self.log.is_sound()
    }

    fn links(&self) -> Vec<LinkStatus> {
        let budget = &self.name.budget;
        let status = |peer: &Peer<_>| peer.source.status(budget);
        self.peers.iter().map(status).collect()
    }
}

impl<L: ReplicatedLog> Linked<L> {
    /// How long a learner is fed that does not ask again.
    pub(crate) const LEARNER_PATIENCE: Duration = Duration::from_mins(1);

    /// Takes note of a durable snapshot.
    fn learn(&mut self, snapshot: SnapshotMeta) {
        let newest = self
            .disk
            .newest
            .map_or(Position::ZERO, |meta| meta.position);
        if newest < snapshot.position {
            self.disk.newest = Some(snapshot);
        }
    }
}
