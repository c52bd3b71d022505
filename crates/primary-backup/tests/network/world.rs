//! One seed, one agenda: the network, the disks, the processes and the clients all misbehave.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use quorate_core::{
    Input, Instant, Mark, NodeId, Output, Position, Rejection, ReplicatedLog, Rng, RoleKind,
    SnapshotMeta, Ticket, WriteAck, decode, encode,
};
use quorate_primary_backup::{Message, PrimaryBackupConfig};

use crate::ledger::Ledger;
use crate::liveness::Totals;
use crate::member::{Member, Out, State};
use crate::operator::Order;

/// What will happen.
pub enum Event {
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
pub struct Host {
    pub life: u64,
    pub paused: bool,
    /// What came while it was paused.
    pub backlog: VecDeque<Event>,
    pub syncing: bool,
    /// A sync takes up to so many milliseconds.
    pub sync_ms: u64,
    pub fetching: Option<SnapshotMeta>,
    pub snapshotting: bool,
}

pub struct World {
    pub rng: Rng,
    pub now: Instant,
    pub members: Vec<Member>,
    pub hosts: Vec<Host>,
    pub agenda: BTreeMap<(Instant, u64), Event>,
    pub sequence: u64,
    pub cuts: BTreeSet<(NodeId, NodeId)>,
    pub ledger: Ledger,
    /// The least position that each waiting read may be answered at.
    pub reads: BTreeMap<Ticket, Position>,
    pub tickets: u64,
    /// What operators wait for.
    pub orders: BTreeMap<Ticket, Order>,
    /// Who last told a member to take over.
    pub handed: BTreeMap<usize, usize>,
    pub calm: bool,
    /// Clients ask for nothing more.
    pub quiet: bool,
    pub trace: bool,
    /// In a thousand.
    pub drop: u64,
    pub duplicate: u64,
    pub delay_ms: u64,
    pub totals: Totals,
}

impl World {
    pub fn new(seed: u64, trace: bool) -> Self {
        let mut rng = Rng::new(seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(seed));
        let count = [1, 2, 3, 3, 3, 5][rng.below(6) as usize];
        let ids: Vec<_> = (1..=count).map(NodeId).collect();
        let mut config = PrimaryBackupConfig::new(NodeId(1), &ids);
        config.write_ack = WriteAck::EVERY[rng.below(4) as usize];
        squeeze(&mut config, &mut rng);
        let members = ids.iter().map(|id| {
            let config = config.clone();
            Member::new(PrimaryBackupConfig { id: *id, ..config })
        });
        let mut members: Vec<_> = members.collect();
        // Those who may join one day.
        for id in (count + 1..=count + rng.below(3)).map(NodeId) {
            let (config, learners) = (config.clone(), vec![id]);
            members.push(Member::new(PrimaryBackupConfig {
                id,
                learners,
                ..config
            }));
        }
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
            ledger: Ledger::new(config.write_ack),
            reads: BTreeMap::new(),
            tickets: 0,
            orders: BTreeMap::new(),
            handed: BTreeMap::new(),
            calm: false,
            quiet: false,
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
        self.ledger.tell(&mut self.totals);
        self.totals
    }

    /// Lets things happen until `end`, or until `done`.
    pub(crate) fn run_until(&mut self, end: Instant, done: impl Fn(&Self) -> bool) {
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
            if let Some((_, member)) = timer_first {
                self.step(member, Input::Tick);
            } else {
                let (_, event) = self.agenda.pop_first().unwrap();
                self.on_event(event);
            }
        }
    }

    pub(crate) fn next_timer(&self) -> Option<(Instant, usize)> {
        let deadlines = self.members.iter().zip(&self.hosts).enumerate();
        let deadlines = deadlines.filter(|(_, (_, host))| !host.paused);
        deadlines
            .filter_map(|(index, (member, _))| Some((member.log.as_ref()?.deadline()?, index)))
            .min()
    }

    pub(crate) fn schedule(&mut self, delay_ms: u64, event: Event) {
        let nanos = self.rng.below(delay_ms * 1_000_000 + 1);
        self.sequence += 1;
        let at = self.now + Duration::from_nanos(nanos);
        self.agenda.insert((at, self.sequence), event);
    }

    pub(crate) fn slot(&self, id: NodeId) -> usize {
        let found = self
            .members
            .iter()
            .position(|member| member.config.id == id);
        found.unwrap()
    }

    pub(crate) fn on_event(&mut self, event: Event) {
        let target = match &event {
            Event::Deliver { to, .. } => Some(self.slot(*to)),
            Event::Told { member, .. } | Event::Fetched { member, .. } => Some(*member),
            // The disk goes on while the process is paused.
            Event::Synced { .. }
            | Event::Snapshotted { .. }
            | Event::Client
            | Event::Fault
            | Event::Restart { .. }
            | Event::Resume { .. } => None,
        };
        if let Some(target) = target.filter(|target| self.hosts[*target].paused) {
            return self.hosts[target].backlog.push_back(event);
        }
        match event {
            Event::Deliver { from, to, bytes } => {
                let to = self.slot(to);
                if self.members[to].log.is_some() {
                    let message = decode(bytes).unwrap();
                    if let Message::Handover { .. } = message {
                        self.handed.insert(to, self.slot(from));
                    }
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

    pub(crate) fn step(&mut self, index: usize, input: Input<Message>) {
        let member = &mut self.members[index];
        let Some(log) = &member.log else { return };
        let before = log.status();
        if self.trace {
            let text = match &input {
                Input::Receive { from, message } => format!("◄ {from}: {message}"),
                other => format!("{other:?}"),
            };
            println!("{} {} {text}", self.now, member.id());
        }
        let outputs = member.step(self.now, input);
        self.totals.steps += 1;
        let after = self.members[index].log.as_ref().unwrap().status();
        if after.role == RoleKind::Leader
            && (before.role, before.epoch) != (after.role, after.epoch)
        {
            self.on_rise(index, after.epoch, &outputs);
        }
        if self.trace {
            outputs.iter().for_each(trace);
        }
        self.ledger.check_step(&self.members, index, &outputs);
        for output in outputs {
            self.carry_out(index, output);
        }
        self.sync(index);
        let member = &self.members[index];
        let log = member.log.as_ref().unwrap();
        let full = log.status().bytes > member.config.log_bytes_max / 2;
        let wanted = self.members[index].due_snapshot().is_some();
        if full || wanted {
            self.snapshot(index);
        }
    }

    pub(crate) fn carry_out(&mut self, index: usize, output: Out) {
        match output {
            Output::Send { to, message } => self.send(self.members[index].config.id, to, &message),
            Output::ReadReady { ticket, at } => {
                let floor = self.reads.remove(&ticket).expect("a read is answered once");
                assert!(
                    at >= floor || !self.ledger.is_strict(),
                    "a read at {at} misses what was committed up to {floor}"
                );
                let void = self.members[index].log.as_ref().unwrap().is_void();
                assert!(
                    !void && at <= self.members[index].state.position,
                    "committed here"
                );
                self.totals.reads += 1;
            }
            Output::Reject { ticket, why } => {
                self.reads.remove(&ticket);
                self.orders.remove(&ticket);
                self.totals.rejected += 1;
                self.totals.overloaded += u64::from(matches!(why, Rejection::Overloaded { .. }));
            }
            Output::Fetch { snapshot, .. } => {
                self.totals.fetches += 1;
                // One under way goes on; one may be given up without a word.
                let known = self.hosts[index].fetching == Some(snapshot);
                if !known && !self.rng.one_in(3) {
                    self.hosts[index].fetching = Some(snapshot);
                    self.fetch(index, snapshot);
                }
            }
            Output::Install { .. } => self.totals.installs += 1,
            Output::Reclaim { below } => self.reclaim(index, below),
            Output::Snapshot { .. } => self.totals.wanted += 1,
            Output::Report(report) => self.on_report(index, report),
            Output::Persist { .. } | Output::Commit(_) | Output::Link(_) => {}
        }
    }

    pub(crate) fn send(&mut self, from: NodeId, to: NodeId, message: &Message) {
        self.totals.rejects += u64::from(matches!(message, Message::Missing(_)));
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

    pub(crate) fn sync(&mut self, member: usize) {
        let host = &mut self.hosts[member];
        let upto = self.members[member].last;
        if !host.syncing && self.members[member].synced < upto {
            host.syncing = true;
            let (life, time) = (host.life, host.sync_ms);
            self.schedule(time, Event::Synced { member, life, upto });
        }
    }

    pub(crate) fn fetch(&mut self, member: usize, snapshot: SnapshotMeta) {
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

    pub(crate) fn on_fetched(&mut self, member: usize, snapshot: SnapshotMeta) {
        if self.hosts[member].fetching != Some(snapshot) {
            return;
        }
        let mut held = self.members.iter().flat_map(|member| &member.snapshots);
        match held.find(|(meta, _)| *meta == snapshot).cloned() {
            // Nobody has it any more: the leader will offer another.
            None => self.hosts[member].fetching = None,
            Some((meta, state)) => {
                self.hosts[member].fetching = None;
                // A store takes no snapshot that is older than its newest.
                let newest = self.members[member].snapshots.last();
                if newest.is_none_or(|(newest, _)| newest.position <= meta.position) {
                    self.members[member].add_snapshot(meta, state);
                    self.step(member, Input::Fetched { snapshot });
                }
            }
        }
    }

    pub(crate) fn reclaim(&mut self, member: usize, below: Mark) {
        self.totals.reclaims += 1;
        // Space comes back in segments: all, some, or none of it.
        let below = [below.get(), below.get() / 2, 0][self.rng.below(3) as usize];
        self.members[member]
            .journal
            .retain(|mark, _| mark.get() >= below);
    }

    pub(crate) fn leads(&self, member: usize) -> bool {
        let log = self.members[member].log.as_ref();
        log.is_some_and(|log| log.status().role == RoleKind::Leader)
    }
}

/// Small limits, sometimes: windows close, batches are split, budgets run out.
fn squeeze(config: &mut PrimaryBackupConfig, rng: &mut Rng) {
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
