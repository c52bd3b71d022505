//! One seed, one agenda: messages, disks, clients and faults in one order.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use quorate_core::{
    BatchBuilder, Credit, Input, Instant, Label, Life, Mark, NodeId, Output, Position, Rejection,
    ReplicatedLog, Rng, RoleKind, SnapshotMeta, Ticket, decode, encode,
};
use quorate_paxos::{Message, Paxos, PaxosConfig, Quorums};

use crate::ledger::Ledger;
use crate::member::{Member, Out, State};
use crate::totals::Totals;

pub const ELECTION: Duration = Duration::from_millis(300);

pub enum Event {
    Deliver(NodeId, usize, Bytes),
    Synced(usize, u64, Mark),
    Told(usize, u64, Mark),
    Fetched(usize, u64, SnapshotMeta),
    Snapshotted(usize, u64, (SnapshotMeta, State)),
    Client,
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
    pub fetching: Option<SnapshotMeta>,
    pub snapshotting: bool,
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
    reads: BTreeMap<Ticket, Position>,
    tickets: u64,
    pub calm: bool,
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
        let (_, phase_2) = config.quorums().unwrap();
        let ids: Vec<_> = config.voters.iter().chain(&config.learners).collect();
        let members = ids.into_iter().map(|id| {
            Member::new(PaxosConfig {
                id: *id,
                ..config.clone()
            })
        });
        let members: Vec<_> = members.collect();
        let hosts = members.iter().map(|_| Host {
            sync_ms: 1 + rng.below(20),
            ..Host::default()
        });
        let mut world = Self {
            hosts: hosts.collect(),
            now: Instant::ZERO,
            members,
            agenda: BTreeMap::new(),
            cuts: BTreeSet::new(),
            ledger: Ledger::new(phase_2),
            reads: BTreeMap::new(),
            tickets: 0,
            calm: false,
            trace,
            lose: [0, 10, 50, 200][rng.below(4) as usize],
            repeat: [0, 10, 100][rng.below(3) as usize],
            delay_ms: [2, 10, 40, 150][rng.below(4) as usize],
            totals: Totals::default(),
            rng,
        };
        for member in 0..world.members.len() {
            world.schedule(0, Event::Start(member));
        }
        world.schedule(1, Event::Client);
        world.schedule(500, Event::Trouble);
        world
    }

    pub fn run(mut self) -> Totals {
        self.run_until(Instant::ZERO + Duration::from_secs(8), |_| false);
        self.heal();
        self.check_liveness();
        self.totals.count("chosen", self.ledger.told().get());
        self.totals
            .count("leaders", self.ledger.leaders.len() as u64);
        self.totals.count("early", self.ledger.early);
        self.totals.count("carried", self.ledger.carried);
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
        let timers = awake.filter_map(|index| Some((self.paxos(index)?.deadline()?, index)));
        timers.min()
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

    pub fn index(&self, id: NodeId) -> usize {
        let found = self.members.iter().position(|m| m.config.id == id);
        found.unwrap()
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
                self.members[member].keep(snapshot);
                let snapshot = snapshot.0;
                let kept = self.rng.below(20);
                let upto = Position(snapshot.position.get().saturating_sub(kept));
                self.step(member, Input::Compact { upto, snapshot });
            }
            Event::Synced(..) | Event::Told(..) | Event::Fetched(..) | Event::Snapshotted(..) => {}
            Event::Client => self.on_client(),
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
        let outputs = self.members[index].step(self.now, input);
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
        self.begin_sync(index);
        let full = self.members[index].config.log_bytes_max / 2;
        if self.paxos(index).unwrap().status().bytes > full {
            self.take_snapshot(index);
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
            Output::Reject { ticket, why } => {
                self.reads.remove(&ticket);
                let overloaded = matches!(why, Rejection::Overloaded { .. });
                self.totals
                    .count(if overloaded { "overloaded" } else { "rejected" }, 1);
            }
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
            Output::Snapshot { .. } | Output::Report(_) => {
                unreachable!("Multi-Paxos asks for no snapshot and reports nothing")
            }
            Output::Persist { .. } | Output::Commit(_) | Output::Link(_) => {}
        }
    }

    fn send(&mut self, from: usize, to: NodeId, message: &Message) {
        let to = self.index(to);
        match message {
            Message::Nack { .. } => self.totals.count("nacks", 1),
            Message::Promise(promise) if promise.next.is_some() => self.totals.count("pages", 1),
            Message::Promise(promise) if promise.forgotten.is_some() => {
                self.totals.count("forgotten", 1);
            }
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
        if let Some(found) = all.find(|(meta, _)| *meta == snapshot).copied() {
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

    fn on_client(&mut self) {
        let pace = if self.calm { 40 } else { 15 };
        self.schedule(pace, Event::Client);
        let leader = self.leader().filter(|_| !self.rng.one_in(4));
        let any = self.rng.below(self.members.len() as u64) as usize;
        let member = leader.unwrap_or(any);
        if self.hosts[member].asleep || self.paxos(member).is_none() {
            return;
        }
        if self.rng.one_in(3) {
            self.read(member);
        } else {
            self.propose(member);
        }
    }

    pub fn read(&mut self, member: usize) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.reads.insert(ticket, self.ledger.told());
        self.step(member, Input::Read { ticket });
        ticket
    }

    pub fn waits(&self, read: Ticket) -> bool {
        self.reads.contains_key(&read)
    }

    pub fn propose(&mut self, member: usize) {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        let mut builder = BatchBuilder::new();
        for _ in 0..=self.rng.below(6) {
            let long = self.rng.one_in(8);
            let length = if long { 400 } else { self.rng.below(12) };
            let body: Vec<u8> = (0..length).map(|_| self.rng.below(256) as u8).collect();
            builder.push(&body);
        }
        let label = Label {
            origin: self.members[member].config.id,
            life: Life(self.hosts[member].life),
            sequence: ticket.get() * 100,
            ..Label::default()
        };
        let batch = builder.finish(label).unwrap();
        self.step(member, Input::Propose { ticket, batch });
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

    pub fn credit(&mut self, member: usize, peer: usize, credit: Credit) {
        let peer = self.members[peer].config.id;
        self.step(member, Input::Credit { peer, credit });
    }
}

/// Sometimes tight limits, flexible quorums, and learners.
fn draw(seed: u64, rng: &mut Rng) -> PaxosConfig {
    let count = [1, 3, 3, 3, 4, 5, 5][rng.below(7) as usize];
    let voters: Vec<_> = (1..=count).map(NodeId).collect();
    let mut config = PaxosConfig::new(NodeId(1), &voters);
    (config.seed, config.election_timeout) = (seed, ELECTION);
    if rng.one_in(4) {
        config.learners = vec![NodeId(9)];
    }
    if rng.one_in(3) {
        let phase_1 = 1 + rng.below(count) as usize;
        let phase_2 = count as usize + 1 - phase_1;
        config.quorums = Some(Quorums { phase_1, phase_2 });
    }
    if rng.one_in(3) {
        config.window.messages = 1 + rng.below(4) as usize;
    }
    if rng.one_in(3) {
        config.window.bytes = 1 + rng.below(600);
    }
    if rng.one_in(2) {
        config.append_bytes_max = 1 << 10;
    }
    if rng.one_in(3) {
        config.uncommitted_bytes_max = 4 << 10;
        config.log_bytes_max = (16 << 10) + rng.below(1 << 16);
    }
    config
}

fn show(output: &Out) -> String {
    match output {
        Output::Send { to, message } => format!("    → {to}: {message}"),
        Output::Persist { mark, record } => format!("    persist {mark}: {record}"),
        Output::Commit(run) => format!("    commit {}..{}@{}", run.first, run.last(), run.epoch),
        other => format!("    {other:?}"),
    }
}
