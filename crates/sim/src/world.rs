//! The run itself: one agenda, and what each happening leads to.

mod clients;
mod disks;
mod effects;
mod faults;
mod operator;
mod orders;
mod phases;
mod turns;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use quorate_core::{Effects, Event, Failure, NodeId, Parcel, ReplicatedLog, Rng, decode};

use crate::agenda::Agenda;
use crate::checker::{Checkers, Freshness, Verdict, Violation, fingerprint};
use crate::client::Crowd;
use crate::clock::MemberClock;
use crate::disk::{SimDisk, Survival};
use crate::host::{Errand, Host, Process};
use crate::network::Network;
use crate::tap::{TappedLog, TappedMachine};
use crate::trace::Trace;
use crate::{Cluster, Moment, Plan, Protocol, Rules, Workload};

use operator::Operator;
use orders::Orders;
use phases::Phase;

/// What a run may take before it counts as running in circles.
const EVENTS_MAX: u64 = 10_000_000;
/// How many ticks in a row may leave a deadline behind that has passed.
const IDLE_TICKS_MAX: u32 = 1_000;

type Message<P> = <<P as Protocol>::Log as ReplicatedLog>::Message;
type Machine<W> = <W as Workload>::Machine;
type Member<P, W> = Host<<P as Protocol>::Log, Machine<W>>;
type Running<P, W> = Process<<P as Protocol>::Log, Machine<W>>;
type Todo<P, W> = Effects<TappedLog<<P as Protocol>::Log>, TappedMachine<Machine<W>>>;

pub(crate) struct World<'a, P: Protocol, W: Workload> {
    protocol: &'a P,
    plan: &'a Plan,
    now: Moment,
    agenda: Agenda<Happening<Message<P>, W::Output>>,
    hosts: Vec<Member<P, W>>,
    network: Network,
    crowd: Crowd<'a, W>,
    checkers: Checkers,
    freshness: Freshness,
    rules: Rules,
    /// What each member's own config says of the others; none: it is no member yet, and does not run.
    clusters: Vec<Option<Cluster>>,
    /// Who is healed in the end: one bit a member. Others stay away.
    core: u16,
    /// Orders of operators that are not answered.
    orders: Orders,
    /// What the protocol noted to recognise rare states.
    notes: P::Notes,
    pub(crate) trace: Trace,
    /// Who promotes, where the log has its leader appointed.
    operator: Option<Operator>,
    /// What of the unsynced survives the next loss of power of each.
    survival: Vec<Survival>,
    rng: Rng,
    /// Whom the faults struck that look for a leader when they begin.
    struck: BTreeMap<usize, usize>,
    phase: Phase,
    /// When a member last had a new configuration, or gave way by itself: leadership may move by intent then.
    moved: Moment,
    /// The digest of the state machine that all members have in the end.
    pub(crate) state: Option<u64>,
    pub(crate) events: u64,
    effects: Todo<P, W>,
    /// Whether the member whose turn it is has committed something.
    committed: bool,
}

/// What is on the agenda.
enum Happening<M, O> {
    /// A message arrives that its sender's `run` sent.
    Deliver {
        from: usize,
        to: usize,
        run: u64,
        sent: Moment,
        parcel: Bytes,
    },
    /// A timer of a member.
    Wake { host: usize },
    /// A member's own affair, if it still runs.
    Own { host: usize, run: u64, what: Own<M> },
    /// A process starts.
    Start { host: usize },
    /// A fault begins.
    Begin(usize),
    /// A fault ends.
    End(usize),
    /// A client asks its next.
    Client { client: u64 },
    /// A request reaches its member.
    Request { request: usize },
    /// A client hears of its request.
    Heard {
        request: usize,
        what: Result<O, Failure>,
    },
    /// A client waits no longer.
    GiveUp { request: usize },
    /// A client may ask the same again.
    Again { request: usize },
    /// The operator looks who leads.
    Look,
    /// A member is told to lead.
    Promote { host: usize },
    /// The next part of the run begins.
    Phase,
}

/// A member's own affair.
enum Own<M> {
    /// The journal writes.
    Write,
    /// The journal syncs.
    Sync,
    /// Something to tell the replica.
    Event(Event<M>),
    /// Something to do with snapshots.
    Errand(Errand),
    /// What is committed waits to be applied.
    Apply,
}

impl<'a, P: Protocol, W: Workload> World<'a, P, W> {
    pub(crate) fn new(protocol: &'a P, workload: &'a W, plan: &'a Plan, readable: bool) -> Self {
        let mut rng = Rng::new(plan.seed);
        let cluster = plan.cluster();
        let rules = protocol.rules(&cluster);
        let mut host = |_| {
            let disk = SimDisk::new(rng.fork());
            disk.short_reads(plan.around.short_reads);
            let boot = rng.below(1 << 50);
            Host::new(
                disk,
                MemberClock::new(boot, rng.below(4_000).cast_signed() - 2_000),
            )
        };
        let hosts = (0..plan.hosts()).map(&mut host).collect();
        let everybody = (1u16 << plan.members) - 1;
        let founder = |host| (host < plan.members).then(|| cluster.clone());
        let clusters = (0..plan.hosts()).map(founder).collect();
        let mut world = Self {
            protocol,
            plan,
            now: Moment::START,
            agenda: Agenda::new(),
            hosts,
            network: Network::new(plan.network, rng.fork()),
            crowd: Crowd::new(workload, plan.clients, rng.fork(), everybody),
            checkers: Checkers::new((plan.hosts(), plan.members, plan.voters()), rules),
            freshness: Freshness::default(),
            rules,
            clusters,
            core: plan.core,
            orders: Orders::default(),
            notes: P::Notes::default(),
            trace: Trace::new(readable),
            operator: protocol.is_appointed().then(|| Operator::new(plan)),
            survival: vec![Survival::Sectors; plan.hosts()],
            rng,
            struck: BTreeMap::new(),
            phase: Phase::Faults,
            moved: Moment::START,
            state: None,
            events: 0,
            effects: Vec::new(),
            committed: false,
        };
        world.set_up();
        world
    }

    fn set_up(&mut self) {
        for host in 0..self.plan.members {
            let at = if self.plan.around.in_step {
                0
            } else {
                self.rng.below(200_000_000)
            };
            self.agenda.put(Moment(at), Happening::Start { host });
        }
        for client in 0..self.plan.clients.count {
            let at = Moment(self.rng.below(1_000_000_000));
            self.agenda.put(at, Happening::Client { client });
        }
        for (index, planned) in self.plan.faults.iter().enumerate() {
            self.agenda.put(planned.at, Happening::Begin(index));
        }
        self.agenda.put(self.plan.heals, Happening::Phase);
        if self.operator.is_some() {
            self.agenda.put(Moment::START, Happening::Look);
        }
    }

    /// Runs to the end, or to the first thing that must not be.
    pub(crate) fn run(&mut self) -> Verdict {
        while self.phase != Phase::Done {
            let Some((now, happening)) = self.agenda.next() else {
                return Err(Violation::new("a run ends", "nothing is on the agenda"));
            };
            self.now = now;
            self.events += 1;
            if self.events > EVENTS_MAX {
                let what = format!("{} events and no end", self.events);
                return Err(Violation::new("no growth (L5)", what));
            }
            self.on_happening(happening)?;
        }
        Ok(())
    }

    fn on_happening(&mut self, happening: Happening<Message<P>, W::Output>) -> Verdict {
        if let Some(host) = happening.host(&self.crowd)
            && self.hosts[host].paused > self.now
        {
            let until = self.hosts[host].paused;
            self.agenda.put(until, happening);
            return Ok(());
        }
        match happening {
            Happening::Deliver {
                from,
                to,
                run,
                sent,
                parcel,
            } => self.on_deliver((from, run, sent), to, &parcel),
            Happening::Wake { host } => self.on_wake(host),
            Happening::Own { host, run, what } => self.on_own(host, run, what),
            Happening::Start { host } => self.on_start(host),
            Happening::Begin(index) => self.on_begin(index),
            Happening::End(index) => {
                self.on_end(index);
                Ok(())
            }
            Happening::Client { client } => {
                self.on_client(client);
                Ok(())
            }
            Happening::Request { request } => self.on_request(request),
            Happening::Heard { request, what } => {
                self.on_heard(request, what);
                Ok(())
            }
            Happening::GiveUp { request } => {
                let next = self.crowd.give_up(request);
                self.on_next(request, next);
                Ok(())
            }
            Happening::Again { request } => {
                self.on_again(request);
                Ok(())
            }
            Happening::Look => {
                self.on_look();
                Ok(())
            }
            Happening::Promote { host } => self.on_promote(host),
            Happening::Phase => self.on_phase(),
        }
    }

    fn on_deliver(&mut self, from: (usize, u64, Moment), to: usize, parcel: &Bytes) -> Verdict {
        let (from, run, sent) = from;
        if self.hosts[to].process.is_none() {
            return Ok(());
        }
        if self.network.is_lost(from, to, sent) {
            self.trace
                .mark("what was under way was lost with its connection");
            return Ok(());
        }
        self.trace
            .hash([self.now.0, (from * 16 + to) as u64, fingerprint(0, parcel)]);
        if run != self.hosts[from].run {
            self.trace.mark("a message of a past life arrived");
        }
        let parcel: Parcel<Message<P>> = decode(parcel.clone()).map_err(|error| {
            Violation::new("what is encoded is decoded", format!("a parcel: {error}"))
        })?;
        let protocol = self.protocol;
        self.trace
            .arrival(self.now, to, (from, sent), || describe(protocol, &parcel));
        let from = NodeId(from as u64 + 1);
        self.turn(to, |process, clock, out| {
            process
                .replica
                .step(clock, Event::Receive { from, parcel }, out);
        })
    }

    fn on_wake(&mut self, host: usize) -> Verdict {
        let now = self.now;
        let machine = &mut self.hosts[host];
        if machine.wake != Some(now) && machine.wake.is_none_or(|wake| wake > now) {
            return Ok(());
        }
        machine.wake = None;
        let Some(process) = &machine.process else {
            return Ok(());
        };
        let local = machine.clock.monotonic(now);
        if process
            .replica
            .deadline()
            .is_none_or(|deadline| deadline > local)
        {
            self.set_wake(host);
            return Ok(());
        }
        self.trace.hash([now.0, host as u64, 0]);
        self.turn(host, |process, clock, out| {
            process.replica.step(clock, Event::Tick, out);
        })?;
        self.judge_deadline(host)
    }

    /// A tick has to do what its deadline was for, or a driver would spin.
    fn judge_deadline(&mut self, host: usize) -> Verdict {
        let machine = &mut self.hosts[host];
        let local = machine.clock.monotonic(self.now);
        let deadline = machine
            .process
            .as_ref()
            .and_then(|process| process.replica.deadline());
        let passed = deadline.is_some_and(|deadline| deadline <= local);
        machine.idle_ticks = if passed { machine.idle_ticks + 1 } else { 0 };
        if machine.idle_ticks > IDLE_TICKS_MAX {
            let what = format!("member {}: deadline {deadline:?} at {local}", host + 1);
            return Err(Violation::new("a tick serves its deadline", what));
        }
        Ok(())
    }

    fn on_own(&mut self, host: usize, run: u64, what: Own<Message<P>>) -> Verdict {
        if self.hosts[host].run != run {
            return Ok(());
        }
        match what {
            Own::Write => self.on_write(host),
            Own::Sync => self.on_sync(host),
            Own::Event(event) => self.on_event(host, event),
            Own::Errand(errand) => self.on_errand(host, errand),
            Own::Apply => {
                if let Some(process) = &mut self.hosts[host].process {
                    process.applying = false;
                }
                self.turn(host, |_, _, _| {})
            }
        }
    }

    fn own(&mut self, host: usize, after: Duration, what: Own<Message<P>>) {
        let run = self.hosts[host].run;
        self.agenda
            .put(self.now.after(after), Happening::Own { host, run, what });
    }

    pub(crate) fn figures(&self) -> (Moment, u64, usize) {
        (self.now, self.checkers.committed(), self.crowd.count())
    }

    /// What was seen.
    pub(crate) fn finish(mut self) -> Trace {
        for mark in self.checkers.marks() {
            self.trace.mark(mark);
        }
        self.trace
    }

    /// What the clients have to say about it all.
    pub(crate) fn judge(mut self) -> (Trace, Verdict) {
        for mark in self.checkers.marks() {
            self.trace.mark(mark);
        }
        let verdict = self.crowd.judge(&self.checkers.applied());
        (self.trace, verdict)
    }
}

impl<M, O> Happening<M, O> {
    /// The process that has to run for this.
    fn host<W: Workload>(&self, crowd: &Crowd<'_, W>) -> Option<usize> {
        match self {
            Self::Deliver { to, .. } => Some(*to),
            Self::Wake { host } | Self::Own { host, .. } | Self::Promote { host } => Some(*host),
            Self::Request { request } => Some(crowd.member_of(*request)),
            _ => None,
        }
    }
}

fn describe<P: Protocol>(protocol: &P, parcel: &Parcel<Message<P>>) -> String {
    match parcel {
        Parcel::Log(message) => protocol.describe(message),
        Parcel::Forward {
            epoch,
            attempt,
            batch,
        } => {
            format!(
                "Forward t{epoch} attempt {attempt}: {} commands",
                batch.len()
            )
        }
        Parcel::Chunk {
            snapshot,
            offset,
            data,
        } => {
            let bytes = data.as_ref().map_or(0, quorate_core::Batch::bytes);
            format!("Chunk {}[{offset}..+{bytes}]", snapshot.position)
        }
        Parcel::ChunkRequest {
            snapshot,
            offset,
            length,
        } => {
            format!("ChunkRequest {}[{offset}..+{length}]", snapshot.position)
        }
        other => format!("{other:?}"),
    }
}
