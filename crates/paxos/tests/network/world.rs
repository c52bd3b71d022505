//! One seed, one agenda: messages, disks, clients and faults in one order.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use quorate_core::{
    Configuration, Input, Instant, Mark, NodeId, Output, Position, ReplicatedLog, Rng, RoleKind,
    SnapshotMeta, Ticket, decode, encode,
};
use quorate_paxos::{Message, Paxos, PaxosConfig};

use crate::draw::draw;
use crate::eras::Eras;
use crate::ledger::Ledger;
use crate::member::{Member, Out, State};
use crate::orders::Order;
use crate::totals::Totals;

pub const ELECTION: Duration = Duration::from_millis(300);

pub enum Event {
    Deliver(NodeId, usize, Bytes),
    Synced(usize, u64, Mark),
    Told(usize, u64, Mark),
    Fetched(usize, u64, SnapshotMeta),
    Snapshotted(usize, u64, (SnapshotMeta, State)),
    Client,
    Operator,
    Trouble,
    Start(usize),
    Wake(usize),
}

/// What surrounds a member.
#[derive(Default)]
pub struct Host {
    pub life: u64,
    pub asleep: bool,
    /// What came while it slept.
    pub missed: Vec<Event>,
    pub syncing: bool,
    pub sync_ms: u64,
    /// How fast its clock goes, in millionths.
    pub rate: u64,
    pub fetching: Option<SnapshotMeta>,
    pub snapshotting: bool,
}

/// What clients do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    Busy,
    Calm,
    /// They write nothing.
    Idle,
}

pub struct World {
    pub rng: Rng,
    pub now: Instant,
    pub members: Vec<Member>,
    pub hosts: Vec<Host>,
    agenda: BTreeMap<(Instant, u64), Event>,
    /// Links that lose everything, by direction.
    pub cuts: BTreeSet<(usize, usize)>,
    pub ledger: Ledger,
    /// The least position at which each waiting read may be answered.
    pub reads: BTreeMap<Ticket, Position>,
    pub orders: BTreeMap<Ticket, Order>,
    pub tickets: u64,
    pub pace: Pace,
    /// Members that were removed and will not be started again.
    pub gone: BTreeSet<usize>,
    /// Whether members change, and leaders make way.
    pub changes: bool,
    trace: bool,
    /// In a thousand.
    pub lose: u64,
    pub repeat: u64,
    pub delay_ms: u64,
    pub totals: Totals,
}

impl World {
    pub fn new(seed: u64, trace: bool) -> Self {
        let mut rng = Rng::new(seed ^ 0x9e0c_25a1_77d3_4b1f);
        let config = draw(seed, &mut rng);
        let founders = Configuration::founding(&config.voters, &config.learners);
        let mut world = Self {
            hosts: Vec::new(),
            now: Instant::ZERO,
            members: Vec::new(),
            agenda: BTreeMap::new(),
            cuts: BTreeSet::new(),
            ledger: Ledger::new(Eras::new(founders.clone(), config.quorums)),
            reads: BTreeMap::new(),
            orders: BTreeMap::new(),
            tickets: 0,
            pace: Pace::Busy,
            gone: BTreeSet::new(),
            changes: !rng.one_in(3),
            trace,
            lose: [0, 10, 50, 200][rng.below(4) as usize],
            repeat: [0, 10, 100][rng.below(3) as usize],
            delay_ms: [2, 10, 40, 150][rng.below(4) as usize],
            totals: Totals::default(),
            rng,
        };
        for member in founders.members() {
            world.join(PaxosConfig {
                id: member.id,
                ..config.clone()
            });
        }
        world.schedule(1, Event::Client);
        world.schedule(500, Event::Trouble);
        if world.changes {
            world.schedule(500, Event::Operator);
        }
        world
    }

    /// A new member, which starts now.
    pub fn join(&mut self, config: PaxosConfig) {
        // Half of the drift that leases allow for, either way.
        let drift = u64::from(config.lease.map_or(0, |lease| lease.drift_ppm)) / 2;
        self.hosts.push(Host {
            sync_ms: 1 + self.rng.below(20),
            rate: 1_000_000 - drift + self.rng.below(2 * drift + 1),
            ..Host::default()
        });
        self.members.push(Member::new(config));
        self.schedule(0, Event::Start(self.members.len() - 1));
    }

    pub fn run(mut self) -> Totals {
        self.run_until(Instant::ZERO + Duration::from_secs(8), |_| false);
        self.heal();
        self.check_liveness();
        let ledger = &self.ledger;
        for (what, n) in [
            ("chosen", ledger.told().get()),
            ("leaders", ledger.leaders.len() as u64),
            ("early", ledger.early),
            ("carried", ledger.carried),
            ("configurations", ledger.eras.count() as u64 - 1),
            ("behind", ledger.behind),
        ] {
            self.totals.count(what, n);
        }
        self.totals
    }

    /// Lets things happen until `end`, or until `done`.
    pub fn run_until(&mut self, end: Instant, done: impl Fn(&Self) -> bool) {
        while !done(self) {
            let timer = self.next_timer();
            let event = self.agenda.first_key_value().map(|((at, _), _)| *at);
            let timer_first = timer.filter(|(at, _)| event.is_none_or(|event| *at < event));
            let next = timer_first.map(|(at, _)| at).or(event);
            let Some(at) = next.filter(|at| *at <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(at);
            if let Some((_, member)) = timer_first {
                self.step(member, Input::Tick);
            } else {
                let (_, event) = self.agenda.pop_first().unwrap();
                self.on_event(event);
            }
        }
    }

    fn next_timer(&self) -> Option<(Instant, usize)> {
        let awake = (0..self.members.len()).filter(|index| !self.hosts[*index].asleep);
        let timers = awake.filter_map(|index| {
            let deadline = self.paxos(index)?.deadline()?;
            Some((self.true_time(index, deadline), index))
        });
        timers.min()
    }

    /// What a member's clock shows now.
    pub fn clock(&self, member: usize) -> Instant {
        let nanos = u128::from(self.now.as_nanos()) * u128::from(self.hosts[member].rate);
        Instant::ZERO + Duration::from_nanos((nanos / 1_000_000) as u64)
    }

    /// When a member's clock will show `at`.
    fn true_time(&self, member: usize, at: Instant) -> Instant {
        let nanos = u128::from(at.as_nanos()) * 1_000_000;
        let nanos = nanos.div_ceil(u128::from(self.hosts[member].rate));
        Instant::ZERO + Duration::from_nanos(nanos as u64)
    }

    pub fn paxos(&self, member: usize) -> Option<&Paxos> {
        self.members[member].paxos.as_ref()
    }

    pub fn schedule(&mut self, within_ms: u64, event: Event) {
        let at = self.now + Duration::from_nanos(self.rng.below(within_ms * 1_000_000 + 1));
        let number = self.totals.of("events");
        self.totals.count("events", 1);
        self.agenda.insert((at, number), event);
    }

    pub fn index(&self, id: NodeId) -> Option<usize> {
        self.members.iter().position(|m| m.config.id == id)
    }

    pub fn on_event(&mut self, event: Event) {
        let target = match &event {
            Event::Deliver(_, to, _) => Some(*to),
            Event::Told(member, ..)
            | Event::Fetched(member, ..)
            | Event::Snapshotted(member, ..) => Some(*member),
            _ => None,
        };
        if let Some(target) = target.filter(|target| self.hosts[*target].asleep) {
            return self.hosts[target].missed.push(event);
        }
        let alive = |world: &Self, member: usize, life: u64| world.hosts[member].life == life;
        match event {
            Event::Deliver(from, to, bytes) => {
                let message = decode(bytes).expect("a message survives its encoding");
                self.step(to, Input::Receive { from, message });
            }
            Event::Synced(member, life, upto) if alive(self, member, life) => {
                self.sync(member, upto);
                // The log may hear of it late.
                let late = if self.rng.one_in(5) { 30 } else { 0 };
                self.schedule(late, Event::Told(member, life, upto));
                self.hosts[member].syncing = false;
                self.begin_sync(member);
            }
            Event::Told(member, life, upto) if alive(self, member, life) => {
                self.step(member, Input::Durable { upto });
            }
            Event::Fetched(member, life, snapshot) if alive(self, member, life) => {
                self.on_fetched(member, snapshot);
            }
            Event::Snapshotted(member, life, snapshot) if alive(self, member, life) => {
                self.hosts[member].snapshotting = false;
                let meta = snapshot.0;
                self.members[member].keep(snapshot);
                let kept = self.rng.below(20);
                let upto = Position(meta.position.get().saturating_sub(kept));
                let snapshot = meta;
                self.step(member, Input::Compact { upto, snapshot });
            }
            Event::Synced(..) | Event::Told(..) | Event::Fetched(..) | Event::Snapshotted(..) => {}
            Event::Client => self.on_client(),
            Event::Operator => self.on_operator(),
            Event::Trouble => self.on_trouble(),
            Event::Start(member) => self.start(member),
            Event::Wake(member) => self.wake(member),
        }
    }

    pub fn step(&mut self, index: usize, input: Input<Message>) {
        let Some(paxos) = self.paxos(index) else {
            return;
        };
        let before = paxos.status();
        let id = self.members[index].config.id;
        self.note(|| match &input {
            Input::Receive { from, message } => format!("{id} ◄ {from}: {message}"),
            other => format!("{id} {other:?}"),
        });
        let clock = self.clock(index);
        let outputs = self.members[index].step(clock, input);
        self.totals.count("steps", 1);
        for output in &outputs {
            self.note(|| show(output));
        }
        let life = self.hosts[index].life;
        let member = &self.members[index];
        self.ledger.on_step(member, life, before, &outputs);
        for output in outputs {
            self.carry_out(index, output);
        }
        self.check_leases();
        self.begin_sync(index);
        let full = self.members[index].config.log_bytes_max / 2;
        if self.paxos(index).unwrap().status().bytes > full {
            self.take_snapshot(index);
        }
    }

    /// R14, P15: whoever holds a lease has everything that anybody was told of.
    fn check_leases(&mut self) {
        for index in 0..self.members.len() {
            let clock = self.clock(index);
            let lease = self.paxos(index).and_then(|paxos| paxos.lease(clock));
            if let Some(at) = lease {
                let told = self.ledger.told();
                let id = self.members[index].config.id;
                assert!(at >= told, "the lease of {id} at {at} misses {told}");
                self.totals.count("leases", 1);
            }
        }
    }

    fn carry_out(&mut self, index: usize, output: Out) {
        match output {
            Output::Send { to, message } => self.send(index, to, &message),
            Output::ReadReady { ticket, at } => {
                let floor = self.reads.remove(&ticket).expect("a read is answered once");
                assert!(at >= floor, "a read at {at} misses {floor}");
                assert!(at <= self.members[index].state.position, "handed out here");
                self.totals.count("reads", 1);
            }
            Output::Reject { ticket, why } => self.on_reject(index, ticket, why),
            Output::Report(report) => self.on_report(index, report),
            Output::Fetch { snapshot, .. } => {
                self.totals.count("fetches", 1);
                self.hosts[index].fetching = Some(snapshot);
                let (life, time) = (self.hosts[index].life, [50, 50, 50, 600]);
                let time = time[self.rng.below(4) as usize];
                self.schedule(time, Event::Fetched(index, life, snapshot));
            }
            Output::Install { .. } => self.totals.count("installs", 1),
            Output::Reclaim { below } => {
                self.totals.count("reclaims", 1);
                // Space comes back in segments: all of it, some, or none.
                let below = Mark([below.get(), below.get() / 2, 0][self.rng.below(3) as usize]);
                let journal = &mut self.members[index].journal;
                journal.retain(|mark, _| *mark >= below);
            }
            Output::Snapshot { .. } => unreachable!("Multi-Paxos asks for no snapshot"),
            Output::Persist { .. } | Output::Commit(_) | Output::Link(_) => {}
        }
    }

    fn send(&mut self, from: usize, to: NodeId, message: &Message) {
        let Some(to) = self.index(to) else {
            return self.totals.count("to nobody", 1);
        };
        match message {
            Message::Nack { .. } => self.totals.count("nacks", 1),
            Message::Promise(promise) if promise.next.is_some() => self.totals.count("pages", 1),
            Message::Promise(promise) if promise.forgotten.is_some() => {
                self.totals.count("forgotten", 1);
            }
            Message::Bid { .. } => self.totals.count("asked to bid", 1),
            Message::Gossip { answer: true, .. } => self.totals.count("strangers", 1),
            _ => {}
        }
        if self.cuts.contains(&(from, to)) || self.rng.below(1000) < self.lose {
            return self.totals.count("lost", 1);
        }
        let bytes = encode(message).to_bytes();
        let copies = 1 + u64::from(self.rng.below(1000) < self.repeat);
        for _ in 0..copies {
            let late = if self.rng.below(1000) < self.repeat {
                20
            } else {
                1
            };
            let id = self.members[from].config.id;
            self.schedule(self.delay_ms * late, Event::Deliver(id, to, bytes.clone()));
        }
    }

    fn begin_sync(&mut self, member: usize) {
        let (host, written) = (&mut self.hosts[member], self.members[member].written);
        if !host.syncing && self.members[member].synced < written {
            host.syncing = true;
            let (life, time) = (host.life, host.sync_ms);
            self.schedule(time, Event::Synced(member, life, written));
        }
    }

    pub fn sync(&mut self, member: usize, upto: Mark) {
        let records = self.members[member].sync(upto);
        let id = self.members[member].config.id;
        self.ledger.on_disk(id, &records);
    }

    fn on_fetched(&mut self, member: usize, snapshot: SnapshotMeta) {
        if self.hosts[member].fetching != Some(snapshot) {
            return;
        }
        self.hosts[member].fetching = None;
        let mut all = self.members.iter().flat_map(|member| &member.snapshots);
        // If nobody has it any more, another will be offered.
        if let Some(found) = all.find(|(meta, _)| *meta == snapshot).cloned() {
            self.members[member].keep(found);
            self.step(member, Input::Fetched { snapshot });
        }
    }

    pub fn take_snapshot(&mut self, member: usize) {
        let known = self.members[member].snapshots.last();
        let known = known.map_or(Position::ZERO, |(meta, _)| meta.position);
        let fresh = self.members[member].state.position > known;
        if self.paxos(member).is_some() && fresh && !self.hosts[member].snapshotting {
            self.hosts[member].snapshotting = true;
            let life = self.hosts[member].life;
            let snapshot = self.members[member].snapshot();
            self.schedule(100, Event::Snapshotted(member, life, snapshot));
        }
    }

    /// Whoever believes to lead.
    pub fn leader(&self) -> Option<usize> {
        let leads = |index: &usize| {
            let paxos = self.paxos(*index);
            paxos.is_some_and(|paxos| paxos.status().role == RoleKind::Leader)
        };
        let best = (0..self.members.len()).filter(leads);
        best.max_by_key(|index| self.paxos(*index).map(|paxos| paxos.status().epoch))
    }

    pub fn note(&self, text: impl FnOnce() -> String) {
        if self.trace {
            println!("{} {}", self.now, text());
        }
    }
}

fn show(output: &Out) -> String {
    match output {
        Output::Send { to, message } => format!("    → {to}: {message}"),
        Output::Persist { mark, record } => format!("    persist {mark}: {record}"),
        Output::Commit(run) => format!("    commit {}..{}@{}", run.first, run.last(), run.epoch),
        other => format!("    {other:?}"),
    }
}
