//! A cluster under one clock.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::time::Duration;

use bytes::Bytes;
use quorate_core::{
    Batch, Direction, Input, Instant, Label, Life, LinkEvent, Message, NodeId, Position,
    ReplicatedLog, Rng, RoleKind, SnapshotMeta, Ticket, decode, encode,
};
use quorate_replication::{Budget, Frame, Learner, LearnerConfig, LinkConfig, Linked};

use super::kinds::Kind;
use super::seat::{Host, Seat, State, Wish, hashes};
use super::wires::{Meters, Wire, Wires};

type Words<K> = <<K as Kind>::Log as ReplicatedLog>::Message;

/// Something that will happen.
enum Happening {
    Arrival {
        from: u64,
        to: u64,
        frame: Bytes,
    },
    Synced {
        host: u64,
        life: Life,
    },
    Fetched {
        host: u64,
        life: Life,
        meta: SnapshotMeta,
        state: State,
    },
}

pub struct World<K: Kind> {
    pub now: Instant,
    pub rng: Rng,
    pub seats: BTreeMap<u64, Box<dyn Seat<Words<K>>>>,
    pub voters: Vec<NodeId>,
    pub budget: Budget,
    pub wires: Wires,
    pub meters: Meters,
    /// How long a disk takes to sync.
    pub sync_time: BTreeMap<u64, Duration>,
    agenda: BTreeMap<(Instant, u64), Happening>,
    syncing: BTreeSet<u64>,
    next: u64,
    /// The hash of everything ever chosen, position by position.
    pub ledger: Vec<u64>,
    /// When each position was first handed out anywhere.
    pub chosen_at: Vec<Instant>,
    pub events: Vec<(u64, LinkEvent)>,
    pub rejected: u64,
    pub ready: Vec<(u64, Ticket, Position)>,
    pub installs: u64,
    sequence: u64,
    pub trace: Option<String>,
}

/// What a cluster is made of.
#[derive(Clone, Debug)]
pub struct Setup {
    pub voters: u64,
    pub learners: u64,
    pub direction: Direction,
    pub budget: Budget,
    pub seed: u64,
}

impl Setup {
    pub fn three(direction: Direction) -> Self {
        Self {
            voters: 3,
            learners: 0,
            direction,
            budget: Budget::default(),
            seed: 1,
        }
    }
}

/// Where learners' ids begin.
pub const LEARNERS: u64 = 11;

impl<K: Kind> World<K> {
    pub fn new(setup: &Setup) -> Self {
        let voters: Vec<_> = (1..=setup.voters).map(NodeId).collect();
        let learners: Vec<_> = (LEARNERS..LEARNERS + setup.learners).map(NodeId).collect();
        let mut seats: BTreeMap<u64, Box<dyn Seat<Words<K>>>> = BTreeMap::new();
        for id in voters.clone() {
            let (setup, voters, learners) = (setup.clone(), voters.clone(), learners.clone());
            let config = move |life| {
                let log = K::config(id, &voters, setup.seed);
                let mut config = LinkConfig::new(log, id, life, &voters, setup.direction);
                config.learners.clone_from(&learners);
                config.budget = setup.budget.clone();
                config
            };
            seats.insert(id.0, Box::new(Host::<Linked<K::Log>>::new(id.0, config)));
        }
        for id in learners.clone() {
            let (setup, voters, learners) = (setup.clone(), voters.clone(), learners.clone());
            let config = move |life| {
                let mut config = LearnerConfig::new(id, life, &voters, &learners);
                config.budget = setup.budget.clone();
                config.refresh = Duration::from_millis(100);
                config
            };
            seats.insert(id.0, Box::new(Host::<Learner<K::Log>>::new(id.0, config)));
        }
        let mut world = Self {
            now: Instant::ZERO,
            rng: Rng::new(setup.seed),
            seats,
            voters,
            budget: setup.budget.clone(),
            wires: Wires::new(),
            meters: Meters::new(),
            sync_time: BTreeMap::new(),
            agenda: BTreeMap::new(),
            syncing: BTreeSet::new(),
            next: 0,
            ledger: Vec::new(),
            chosen_at: Vec::new(),
            events: Vec::new(),
            rejected: 0,
            ready: Vec::new(),
            installs: 0,
            sequence: 0,
            trace: None,
        };
        world.ids().into_iter().for_each(|id| world.start(id));
        world
    }

    pub fn ids(&self) -> Vec<u64> {
        self.seats.keys().copied().collect()
    }

    pub fn seat(&self, id: u64) -> &dyn Seat<Words<K>> {
        &**self.seats.get(&id).expect("a member")
    }

    pub fn start(&mut self, id: u64) {
        let now = self.now;
        self.seats.get_mut(&id).expect("a member").start(now);
    }

    pub fn crash(&mut self, id: u64) {
        self.seats.get_mut(&id).expect("a member").crash();
        self.syncing.remove(&id);
    }

    /// A member that leads, the newest epoch's if two believe so.
    pub fn leader(&self) -> Option<u64> {
        let up = self.seats.iter().filter(|(_, seat)| seat.is_up());
        let leads = up.filter(|(_, seat)| seat.status().role == RoleKind::Leader);
        leads
            .max_by_key(|(_, seat)| seat.status().epoch)
            .map(|(id, _)| *id)
    }

    /// Runs until somebody leads and can commit.
    pub fn elect(&mut self) -> u64 {
        for _ in 0..200 {
            self.run(Duration::from_millis(50));
            if let Some(leader) = self.leader() {
                self.run(Duration::from_millis(50));
                return leader;
            }
        }
        panic!("nobody leads");
    }

    /// Two members that follow.
    pub fn followers(&self, leader: u64) -> Vec<u64> {
        let voters = self.voters.iter().map(|id| id.0);
        voters.filter(|id| *id != leader).collect()
    }

    /// Proposes one command of so many bytes at `id`.
    pub fn propose(&mut self, id: u64, bytes: usize) {
        self.sequence += 1;
        let label = Label {
            origin: NodeId(id),
            life: Life(1),
            sequence: self.sequence,
            ..Label::default()
        };
        let mut body = vec![0; bytes];
        for word in body.chunks_mut(8) {
            let random = self.rng.next().to_le_bytes();
            word.copy_from_slice(&random[..word.len()]);
        }
        let batch = Batch::one(label, body.into());
        let ticket = Ticket(self.sequence);
        self.step(id, Input::Propose { ticket, batch });
    }

    pub fn direct(&mut self, id: u64, peer: Option<u64>, direction: Direction) {
        let peer = peer.map(NodeId);
        self.step(id, Input::Direct { peer, direction });
    }

    /// Takes a snapshot at a member and forgets what the one before it covers.
    pub fn compact(&mut self, id: u64) {
        let seat = self.seats.get_mut(&id).expect("a member");
        if let Some((upto, snapshot)) = seat.snapshot() {
            self.step(id, Input::Compact { upto, snapshot });
        }
    }

    pub fn step(&mut self, id: u64, input: Input<Frame<Words<K>>>) {
        let seat = self.seats.get_mut(&id).expect("a member");
        if !seat.is_up() {
            return;
        }
        let mut wishes = Vec::new();
        seat.step(self.now, input, &mut wishes);
        for link in seat.links() {
            // Whatever happens: no more is held for a peer than the budget says, and one message.
            let most = self.budget.held_max() + (256 << 10);
            assert!(
                link.flying <= most,
                "{id} holds {} for {}",
                link.flying,
                link.peer
            );
        }
        for wish in wishes {
            self.on_wish(id, wish);
        }
    }

    fn on_wish(&mut self, id: u64, wish: Wish<Words<K>>) {
        match wish {
            Wish::Send(to, frame) => self.send(id, to.0, &frame),
            Wish::Wrote(record) => {
                self.say(format!("  {id} persist {record}"));
                if self.syncing.insert(id) {
                    let time = self.sync_time.get(&id).copied();
                    let life = self.seat(id).life();
                    let due = self.now + time.unwrap_or(Duration::from_micros(100));
                    self.plan(due, Happening::Synced { host: id, life });
                }
            }
            Wish::Commit(run) => {
                self.say(format!("  {id} commit {}..{}", run.first, run.last()));
                for (offset, hash) in hashes(&run.batch).into_iter().enumerate() {
                    let index = run.first.0 as usize - 1 + offset;
                    if index == self.ledger.len() {
                        self.ledger.push(hash);
                        self.chosen_at.push(self.now);
                    }
                    assert_eq!(self.ledger[index], hash, "{id} at position {}", index + 1);
                }
            }
            Wish::Fetch(from, meta) => self.fetch(id, from.0, meta),
            Wish::Installed(meta) => {
                self.installs += 1;
                self.say(format!("  {id} install {}", meta.position));
            }
            Wish::Rejected(ticket) => {
                self.rejected += 1;
                self.say(format!("  {id} reject {ticket}"));
            }
            Wish::Ready(ticket, at) => {
                self.say(format!("  {id} read {ticket} ready at {at}"));
                self.ready.push((id, ticket, at));
            }
            Wish::Link(event) => {
                self.say(format!("  {id} link {event}"));
                self.events.push((id, event));
            }
        }
    }

    fn send(&mut self, from: u64, to: u64, frame: &Frame<Words<K>>) {
        let bytes = encode(frame).to_bytes();
        let meter = self.meters.entry((from, to)).or_default();
        meter.frames += 1;
        meter.bytes += bytes.len() as u64;
        if self.trace.is_some() {
            self.say(format!("  {from}>{to} {frame}"));
        }
        let wire = self.wires.entry((from, to)).or_default();
        let times = wire.carry(self.now, frame.is_bulk(), bytes.len() as u64, &mut self.rng);
        for at in times {
            let frame = bytes.clone();
            self.plan(at, Happening::Arrival { from, to, frame });
        }
    }

    fn fetch(&mut self, id: u64, from: u64, meta: SnapshotMeta) {
        self.say(format!("  {id} fetch {} from {from}", meta.position));
        let reachable = !self.wires.get(&(from, id)).is_some_and(|wire| wire.cut);
        let Some(state) = self.seat(from).find(&meta).filter(|_| reachable) else {
            return;
        };
        let life = self.seat(id).life();
        let due = self.now + Duration::from_millis(20);
        let host = id;
        self.plan(
            due,
            Happening::Fetched {
                host,
                life,
                meta,
                state,
            },
        );
    }

    fn plan(&mut self, at: Instant, happening: Happening) {
        self.next += 1;
        self.agenda.insert((at, self.next), happening);
    }

    /// Lets time pass.
    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.turn(end) {}
        self.now = end;
    }

    /// The next thing that happens until `end`, if any.
    pub fn turn(&mut self, end: Instant) -> bool {
        let seats = self.seats.iter();
        let due = seats.filter_map(|(id, seat)| seat.deadline().map(|at| (at, *id)));
        let tick = due.min();
        let event = self.agenda.keys().next().copied();
        let tick_first = match (tick, event) {
            (Some((at, _)), Some((event, _))) => at <= event,
            (Some(_), None) => true,
            (None, _) => false,
        };
        if let Some((at, id)) = tick.filter(|(at, _)| tick_first && *at <= end) {
            self.now = self.now.max(at);
            self.step(id, Input::Tick);
            return true;
        }
        match event.filter(|(at, _)| !tick_first && *at <= end) {
            Some(key) => {
                self.now = self.now.max(key.0);
                let happening = self.agenda.remove(&key).expect("just seen");
                self.happen(happening);
                true
            }
            None => false,
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Arrival { from, to, frame } => {
                let message = decode(frame).expect("what is sent is understood");
                let from = NodeId(from);
                self.step(to, Input::Receive { from, message });
            }
            Happening::Synced { host, life } if self.seat(host).life() == life => {
                self.syncing.remove(&host);
                let seat = self.seats.get_mut(&host).expect("a member");
                let upto = seat.sync();
                self.step(host, Input::Durable { upto });
            }
            Happening::Fetched {
                host,
                life,
                meta,
                state,
            } if self.seat(host).life() == life => {
                let seat = self.seats.get_mut(&host).expect("a member");
                if seat.is_up() {
                    if seat.find(&meta).is_none() {
                        seat.store(meta, state);
                    }
                    self.step(host, Input::Fetched { snapshot: meta });
                }
            }
            Happening::Synced { .. } | Happening::Fetched { .. } => {}
        }
    }

    pub fn say(&mut self, line: impl std::fmt::Display) {
        if let Some(trace) = &mut self.trace {
            writeln!(trace, "{line}").expect("a string takes all");
        }
    }

    /// Changes both ways between two members.
    pub fn wire(&mut self, a: u64, b: u64, change: impl Fn(&mut Wire)) {
        for pair in [(a, b), (b, a)] {
            change(self.wires.entry(pair).or_default());
        }
    }

    /// Changes every way.
    pub fn every_wire(&mut self, change: impl Fn(&mut Wire)) {
        let ids = self.ids();
        for a in &ids {
            for b in ids.iter().filter(|b| a != *b) {
                change(self.wires.entry((*a, *b)).or_default());
            }
        }
    }

    /// Everybody has everything that was ever chosen, and the same.
    pub fn assert_equal(&self) {
        let last = Position(self.ledger.len() as u64);
        let first = self.seat(1).state().digest;
        for (id, seat) in &self.seats {
            assert_eq!(seat.status().committed, last, "{id} has caught up");
            assert_eq!(seat.state().digest, first, "{id} has the same");
        }
    }

    /// Bytes that a member has sent to all others together.
    pub fn outgoing(&self, id: u64) -> u64 {
        let own = self.meters.iter().filter(|((from, _), _)| *from == id);
        own.map(|(_, traffic)| traffic.bytes).sum()
    }

    pub fn link(&self, id: u64, peer: u64) -> quorate_core::LinkStatus {
        let links = self.seat(id).links();
        let found = links.into_iter().find(|link| link.peer == NodeId(peer));
        found.expect("a peer")
    }
}
