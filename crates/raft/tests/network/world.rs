//! One seed, one agenda: the network, the disks, the processes and the clients all misbehave.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use quorate_core::{
    BatchBuilder, Credit, Input, Instant, Label, Life, Mark, NodeId, Output, Position, Rejection,
    ReplicatedLog, Rng, RoleKind, SnapshotMeta, Ticket, decode, encode,
};
use quorate_raft::{Message, RaftConfig};

use crate::ledger::Ledger;
use crate::member::{Member, Out, State};

const ELECTION: Duration = Duration::from_millis(300);

/// What happened in a run: a test that provokes nothing proves nothing.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    pub steps: u64,
    pub chosen: u64,
    pub leaders: u64,
    pub crashes: u64,
    pub reads: u64,
    pub rejected: u64,
    pub overloaded: u64,
    pub fetches: u64,
    pub installs: u64,
    pub reclaims: u64,
    pub lost: u64,
    pub rejects: u64,
    pub longest_catch_up: Duration,
}

impl Totals {
    pub fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.chosen += other.chosen;
        self.leaders += other.leaders;
        self.crashes += other.crashes;
        self.reads += other.reads;
        self.rejected += other.rejected;
        self.overloaded += other.overloaded;
        self.fetches += other.fetches;
        self.installs += other.installs;
        self.reclaims += other.reclaims;
        self.lost += other.lost;
        self.rejects += other.rejects;
        self.longest_catch_up = self.longest_catch_up.max(other.longest_catch_up);
    }

    pub fn assert_everything_happened(&self, seeds: u64) {
        if seeds < 50 {
            return;
        }
        assert!(
            self.chosen > 20 * seeds && self.leaders > 2 * seeds,
            "{self:?}"
        );
        assert!(self.crashes > seeds && self.reads > seeds, "{self:?}");
        let rare = [
            self.fetches,
            self.installs,
            self.reclaims,
            self.lost,
            self.rejects,
        ];
        assert!(rare.iter().all(|count| *count > 0), "{self:?}");
    }
}

enum Event {
    Deliver {
        from: NodeId,
        to: NodeId,
        bytes: Bytes,
    },
    Synced {
        member: usize,
        life: u64,
        upto: Mark,
    },
    Told {
        member: usize,
        life: u64,
        upto: Mark,
    },
    Fetched {
        member: usize,
        life: u64,
        snapshot: SnapshotMeta,
    },
    Snapshotted {
        member: usize,
        life: u64,
        snapshot: SnapshotMeta,
        state: State,
    },
    Client,
    Fault,
    Restart {
        member: usize,
    },
    Resume {
        member: usize,
    },
}

/// What surrounds a member.
#[derive(Default)]
struct Host {
    life: u64,
    paused: bool,
    /// What came while it was paused.
    backlog: VecDeque<Event>,
    syncing: bool,
    /// A sync takes up to so many milliseconds.
    sync_ms: u64,
    fetching: Option<SnapshotMeta>,
    snapshotting: bool,
}

pub struct World {
    rng: Rng,
    now: Instant,
    members: Vec<Member>,
    hosts: Vec<Host>,
    agenda: BTreeMap<(Instant, u64), Event>,
    sequence: u64,
    cuts: BTreeSet<(NodeId, NodeId)>,
    ledger: Ledger,
    /// The least position that each waiting read may be answered at.
    reads: BTreeMap<Ticket, Position>,
    tickets: u64,
    calm: bool,
    trace: bool,
    /// In a thousand.
    drop: u64,
    duplicate: u64,
    delay_ms: u64,
    totals: Totals,
}

impl World {
    pub fn new(seed: u64, trace: bool) -> Self {
        let mut rng = Rng::new(seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(seed));
        let count = [1, 3, 3, 3, 4, 5][rng.below(6) as usize];
        let voters: Vec<_> = (1..=count).map(NodeId).collect();
        let learners: Vec<_> = if rng.one_in(4) {
            vec![NodeId(9)]
        } else {
            vec![]
        };
        let mut config = RaftConfig::new(NodeId(1), &voters);
        config.learners = learners;
        config.seed = seed;
        config.election_timeout = ELECTION;
        squeeze(&mut config, &mut rng);
        let members: Vec<_> = config
            .voters
            .iter()
            .chain(&config.learners)
            .map(|id| {
                let id = *id;
                Member::new(RaftConfig {
                    id,
                    ..config.clone()
                })
            })
            .collect();
        let hosts = members.iter().map(|_| Host {
            sync_ms: 1 + rng.below(20),
            ..Host::default()
        });
        let mut world = Self {
            hosts: hosts.collect(),
            now: Instant::ZERO,
            members,
            agenda: BTreeMap::new(),
            sequence: 0,
            cuts: BTreeSet::new(),
            ledger: Ledger::default(),
            reads: BTreeMap::new(),
            tickets: 0,
            calm: false,
            trace,
            drop: [0, 10, 50, 200][rng.below(4) as usize],
            duplicate: [0, 10, 100][rng.below(3) as usize],
            delay_ms: [2, 10, 40, 150][rng.below(4) as usize],
            totals: Totals::default(),
            rng,
        };
        for member in 0..world.members.len() {
            world.schedule(0, Event::Restart { member });
        }
        world.schedule(1, Event::Client);
        world.schedule(500, Event::Fault);
        world
    }

    pub fn run(mut self) -> Totals {
        self.run_until(Instant::ZERO + Duration::from_secs(8), |_| false);
        self.heal();
        self.check_liveness();
        self.totals.chosen = self.ledger.chosen().get();
        self.totals.leaders = self.ledger.leaders() as u64;
        self.totals
    }

    /// Lets things happen until `end`, or until `done`.
    fn run_until(&mut self, end: Instant, done: impl Fn(&Self) -> bool) {
        while !done(self) {
            let timer = self.next_timer();
            let event = self.agenda.first_key_value().map(|((at, _), _)| *at);
            let timer_first = timer.filter(|(at, _)| event.is_none_or(|event| *at < event));
            let Some(at) = timer_first
                .map(|(at, _)| at)
                .or(event)
                .filter(|at| *at <= end)
            else {
                self.now = end;
                return;
            };
            self.now = self.now.max(at);
            match timer_first {
                Some((_, member)) => self.step(member, Input::Tick),
                None => {
                    let (_, event) = self.agenda.pop_first().unwrap();
                    self.on_event(event);
                }
            }
        }
    }

    fn next_timer(&self) -> Option<(Instant, usize)> {
        let deadlines = self.members.iter().zip(&self.hosts).enumerate();
        let deadlines = deadlines.filter(|(_, (_, host))| !host.paused);
        deadlines
            .filter_map(|(index, (member, _))| Some((member.raft.as_ref()?.deadline()?, index)))
            .min()
    }

    fn schedule(&mut self, delay_ms: u64, event: Event) {
        let nanos = self.rng.below(delay_ms * 1_000_000 + 1);
        self.sequence += 1;
        let at = self.now + Duration::from_nanos(nanos);
        self.agenda.insert((at, self.sequence), event);
    }

    fn slot(&self, id: NodeId) -> usize {
        let found = self
            .members
            .iter()
            .position(|member| member.config.id == id);
        found.unwrap()
    }

    fn on_event(&mut self, event: Event) {
        let target = match &event {
            Event::Deliver { to, .. } => Some(self.slot(*to)),
            Event::Synced { member, .. } | Event::Snapshotted { member, .. } => {
                // The disk goes on while the process is paused.
                let _ = member;
                None
            }
            Event::Told { member, .. } | Event::Fetched { member, .. } => Some(*member),
            Event::Client | Event::Fault | Event::Restart { .. } | Event::Resume { .. } => None,
        };
        if let Some(target) = target.filter(|target| self.hosts[*target].paused) {
            return self.hosts[target].backlog.push_back(event);
        }
        match event {
            Event::Deliver { from, to, bytes } => {
                let to = self.slot(to);
                if self.members[to].raft.is_some() {
                    let message = decode(bytes).unwrap();
                    self.step(to, Input::Receive { from, message });
                }
            }
            Event::Synced { member, life, upto } if life == self.hosts[member].life => {
                self.members[member].sync(upto);
                self.hosts[member].syncing = false;
                let late = if self.rng.one_in(4) { 30 } else { 0 };
                self.schedule(late, Event::Told { member, life, upto });
                self.sync(member);
            }
            Event::Told { member, life, upto } if life == self.hosts[member].life => {
                self.step(member, Input::Durable { upto });
            }
            Event::Fetched {
                member,
                life,
                snapshot,
            } if life == self.hosts[member].life => {
                self.on_fetched(member, snapshot);
            }
            Event::Snapshotted {
                member,
                life,
                snapshot,
                state,
            } if life == self.hosts[member].life => {
                self.hosts[member].snapshotting = false;
                self.members[member].add_snapshot(snapshot, state);
                let slack = self.rng.below(8);
                let upto = Position(snapshot.position.get().saturating_sub(slack));
                self.step(member, Input::Compact { upto, snapshot });
            }
            Event::Synced { .. }
            | Event::Told { .. }
            | Event::Fetched { .. }
            | Event::Snapshotted { .. } => {}
            Event::Client => self.on_client(),
            Event::Fault => self.on_fault(),
            Event::Restart { member } => self.restart(member),
            Event::Resume { member } => self.resume(member),
        }
    }

    fn step(&mut self, index: usize, input: Input<Message>) {
        let member = &mut self.members[index];
        let Some(raft) = &member.raft else { return };
        let before = raft.status();
        if self.trace {
            let text = match &input {
                Input::Receive { from, message } => format!("◄ {from}: {message}"),
                other => format!("{other:?}"),
            };
            println!("{} {} {text}", self.now, member.id());
        }
        let outputs = member.step(self.now, input);
        self.totals.steps += 1;
        if self.trace {
            outputs.iter().for_each(trace);
        }
        self.ledger
            .check_step(&self.members, index, before, &outputs);
        for output in outputs {
            self.carry_out(index, output);
        }
        self.sync(index);
        let member = &self.members[index];
        let raft = member.raft.as_ref().unwrap();
        if raft.status().bytes > member.config.log_bytes_max / 2 {
            self.snapshot(index);
        }
    }

    fn carry_out(&mut self, index: usize, output: Out) {
        match output {
            Output::Send { to, message } => self.send(self.members[index].config.id, to, &message),
            Output::ReadReady { ticket, at } => {
                let floor = self.reads.remove(&ticket).expect("a read is answered once");
                assert!(
                    at >= floor,
                    "a read at {at} misses what was chosen up to {floor}"
                );
                assert!(at <= self.members[index].state.position, "committed here");
                self.totals.reads += 1;
            }
            Output::Reject { ticket, why } => {
                self.reads.remove(&ticket);
                self.totals.rejected += 1;
                self.totals.overloaded += u64::from(matches!(why, Rejection::Overloaded { .. }));
            }
            Output::Fetch { snapshot, .. } => {
                self.totals.fetches += 1;
                self.hosts[index].fetching = Some(snapshot);
                self.fetch(index, snapshot);
            }
            Output::Install { .. } => self.totals.installs += 1,
            Output::Reclaim { below } => self.reclaim(index, below),
            Output::Persist { .. } | Output::Commit(_) => {}
        }
    }

    fn send(&mut self, from: NodeId, to: NodeId, message: &Message) {
        self.totals.rejects += u64::from(matches!(message, Message::Rejected { .. }));
        let lost = self.cuts.contains(&(from, to)) || self.rng.below(1000) < self.drop;
        if lost {
            self.totals.lost += 1;
            return;
        }
        let bytes = encode(message).to_bytes();
        let copies = 1 + u64::from(self.rng.below(1000) < self.duplicate);
        for _ in 0..copies {
            let late = if self.rng.below(1000) < self.duplicate {
                20
            } else {
                1
            };
            let bytes = bytes.clone();
            self.schedule(self.delay_ms * late, Event::Deliver { from, to, bytes });
        }
    }

    fn sync(&mut self, member: usize) {
        let host = &mut self.hosts[member];
        let upto = self.members[member].last;
        if !host.syncing && self.members[member].synced < upto {
            host.syncing = true;
            let (life, time) = (host.life, host.sync_ms);
            self.schedule(time, Event::Synced { member, life, upto });
        }
    }

    fn fetch(&mut self, member: usize, snapshot: SnapshotMeta) {
        let life = self.hosts[member].life;
        let time = if self.rng.one_in(4) { 600 } else { 50 };
        self.schedule(
            time,
            Event::Fetched {
                member,
                life,
                snapshot,
            },
        );
    }

    fn on_fetched(&mut self, member: usize, snapshot: SnapshotMeta) {
        if self.hosts[member].fetching != Some(snapshot) {
            return;
        }
        let mut held = self.members.iter().flat_map(|member| &member.snapshots);
        match held.find(|(meta, _)| *meta == snapshot).copied() {
            // Nobody has it any more: the leader will offer another.
            None => self.hosts[member].fetching = None,
            Some((meta, state)) => {
                self.hosts[member].fetching = None;
                self.members[member].add_snapshot(meta, state);
                self.step(member, Input::Fetched { snapshot });
            }
        }
    }

    fn reclaim(&mut self, member: usize, below: Mark) {
        self.totals.reclaims += 1;
        // Space comes back in segments: all, some, or none of it.
        let below = [below.get(), below.get() / 2, 0][self.rng.below(3) as usize];
        self.members[member]
            .journal
            .retain(|mark, _| mark.get() >= below);
    }

    fn on_client(&mut self) {
        let pace = if self.calm { 40 } else { 15 };
        self.schedule(pace, Event::Client);
        let leader = (0..self.members.len()).find(|index| self.leads(*index));
        let member = match leader {
            Some(leader) if !self.rng.one_in(4) => leader,
            _ => self.rng.below(self.members.len() as u64) as usize,
        };
        if self.hosts[member].paused || self.members[member].raft.is_none() {
            return;
        }
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        if self.rng.one_in(3) {
            self.reads.insert(ticket, self.ledger.chosen());
            return self.step(member, Input::Read { ticket });
        }
        self.propose(member, ticket);
    }

    fn propose(&mut self, member: usize, ticket: Ticket) {
        let mut builder = BatchBuilder::new();
        for _ in 0..=self.rng.below(6) {
            let length = if self.rng.one_in(8) {
                400
            } else {
                self.rng.below(12)
            };
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

    fn on_fault(&mut self) {
        if self.calm {
            return;
        }
        self.schedule(400, Event::Fault);
        let member = self.rng.below(self.members.len() as u64) as usize;
        let other = self.members[self.rng.below(self.members.len() as u64) as usize]
            .config
            .id;
        let id = self.members[member].config.id;
        match self.rng.below(16) {
            0..=2 => self.crash(member),
            3 => (0..self.members.len()).for_each(|member| self.crash(member)),
            4 => self.pause(member),
            5 => drop(self.cuts.insert((id, other))),
            6 => self.cuts.extend([(id, other), (other, id)]),
            7 => {
                let others: Vec<_> = self.members.iter().map(|member| member.config.id).collect();
                let cuts = others
                    .into_iter()
                    .flat_map(|other| [(id, other), (other, id)]);
                self.cuts.extend(cuts);
            }
            8 | 9 => self.cuts.clear(),
            10 => self.step(member, Input::Room { available: false }),
            11 => self.step(member, Input::Room { available: true }),
            12 => {
                let credit = Credit::More(self.rng.below(1000));
                self.step(
                    member,
                    Input::Credit {
                        peer: other,
                        credit,
                    },
                );
            }
            13 => {
                let credit = Credit::Open;
                self.step(
                    member,
                    Input::Credit {
                        peer: other,
                        credit,
                    },
                );
            }
            14 => self.hosts[member].sync_ms = [1, 5, 20, 200][self.rng.below(4) as usize],
            _ => self.snapshot(member),
        }
        // Compaction is no fault; it goes on all the time.
        let busy = self.rng.below(self.members.len() as u64) as usize;
        self.snapshot(busy);
    }

    fn snapshot(&mut self, member: usize) {
        let state = self.members[member].state;
        let newest = self.members[member]
            .snapshots
            .last()
            .map(|(meta, _)| meta.position);
        let host = &mut self.hosts[member];
        let useless = state.position <= newest.unwrap_or_default();
        if self.members[member].raft.is_none() || host.snapshotting || useless {
            return;
        }
        host.snapshotting = true;
        let snapshot = state.meta(self.members[member].id());
        let life = self.hosts[member].life;
        self.schedule(
            100,
            Event::Snapshotted {
                member,
                life,
                snapshot,
                state,
            },
        );
    }

    fn crash(&mut self, member: usize) {
        if self.members[member].raft.is_none() {
            return;
        }
        self.totals.crashes += 1;
        let host = &mut self.hosts[member];
        *host = Host {
            life: host.life + 1,
            sync_ms: host.sync_ms,
            ..Host::default()
        };
        let (synced, last) = (self.members[member].synced, self.members[member].last);
        let survivors = synced.plus(self.rng.below(last.get() - synced.get() + 1));
        if self.trace {
            println!(
                "{} {} crashes, {survivors} of {last} survive",
                self.now,
                member + 1
            );
        }
        self.members[member].crash(survivors);
        let down = if self.rng.one_in(3) { 1500 } else { 100 };
        self.schedule(down, Event::Restart { member });
    }

    fn restart(&mut self, member: usize) {
        if self.members[member].raft.is_some() {
            return;
        }
        let target = &mut self.members[member];
        target
            .start(self.now)
            .expect("what survives a crash can be restored");
        self.ledger.forget(target);
        if self.trace {
            println!("{} {} starts", self.now, target.id());
        }
        self.step(member, Input::Tick);
    }

    fn pause(&mut self, member: usize) {
        self.hosts[member].paused = true;
        self.schedule(2000, Event::Resume { member });
    }

    fn resume(&mut self, member: usize) {
        self.hosts[member].paused = false;
        for event in std::mem::take(&mut self.hosts[member].backlog) {
            self.on_event(event);
        }
    }

    fn leads(&self, member: usize) -> bool {
        let raft = self.members[member].raft.as_ref();
        raft.is_some_and(|raft| raft.status().role == RoleKind::Leader)
    }

    fn heal(&mut self) {
        (self.calm, self.drop, self.duplicate, self.delay_ms) = (true, 0, 0, 5);
        self.cuts.clear();
        for member in 0..self.members.len() {
            self.restart(member);
            self.resume(member);
            self.hosts[member].sync_ms = 5;
            self.step(member, Input::Room { available: true });
            for peer in 0..self.members.len() {
                let (peer, credit) = (self.members[peer].config.id, Credit::Open);
                self.step(member, Input::Credit { peer, credit });
            }
        }
    }

    /// L1, L2, L3: a leader within ten election timeouts, new writes chosen, logs equal.
    fn check_liveness(&mut self) {
        let healed = self.now;
        let patience = ELECTION * 10;
        let target = self.ledger.chosen();
        let members = self.members.len();
        let led = |world: &Self| (0..members).any(|index| world.leads(index));
        self.run_until(healed + patience, led);
        // One that led before the healing may still have to make way.
        self.run_until(healed + patience, |_| false);
        assert!(led(self), "no leader within {patience:?}");
        // The narrowest windows let one entry through a round trip.
        let catch_up = self.now + Duration::from_secs(30);
        self.run_until(catch_up, |world| world.ledger.chosen() > target);
        assert!(self.ledger.chosen() > target, "a new write is chosen");
        self.totals.longest_catch_up = self.now.since(healed);
        let leader = (0..members).rfind(|index| self.leads(*index)).unwrap();
        // A full log has to be compacted before it takes more.
        for member in 0..self.members.len() {
            self.snapshot(member);
        }
        self.run_until(self.now + patience, |_| false);
        self.tickets += 1;
        self.propose(leader, Ticket(self.tickets));
        let target = self.members[leader].written.last().position;
        let equal = |world: &Self| {
            world
                .members
                .iter()
                .all(|member| member.state.position >= target)
        };
        self.run_until(self.now + Duration::from_secs(30), equal);
        assert!(equal(self), "members do not catch up to {target}");
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.reads.insert(ticket, self.ledger.chosen());
        let reads = self.totals.reads;
        self.step(leader, Input::Read { ticket });
        let answered = |world: &Self| !world.reads.contains_key(&ticket);
        self.run_until(self.now + patience, answered);
        assert!(self.totals.reads > reads, "a read is answered");
    }
}

/// Small limits, sometimes: windows close, batches are split, budgets run out.
fn squeeze(config: &mut RaftConfig, rng: &mut Rng) {
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
}

fn trace(output: &Out) {
    match output {
        Output::Send { to, message } => println!("    → {to}: {message}"),
        Output::Persist { mark, record } => println!("    persist {mark}: {record}"),
        Output::Commit(committed) => {
            println!(
                "    commit {}..{}@{}",
                committed.first,
                committed.last(),
                committed.epoch
            );
        }
        other => println!("    {other:?}"),
    }
}
