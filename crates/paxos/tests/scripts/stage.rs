//! A handful of members, every link and disk under the script's control.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write;
use std::time::Duration;

use bytes::Bytes;
use quorate_core::{
    BatchBuilder, Input, Instant, Label, Life, Mark, NodeId, Output, Position, ReplicatedLog,
    Status, Ticket, decode, encode,
};
use quorate_paxos::{Ballot, Lease, Message, PaxosConfig, Quorums};

use crate::member::{Member, Out};

#[derive(Default)]
pub struct Stage {
    pub now: Instant,
    pub members: BTreeMap<u64, Member>,
    /// For members that come later.
    leases: bool,
    links: BTreeMap<(u64, u64), VecDeque<Bytes>>,
    /// Links that lose, and links that keep, everything.
    cut: BTreeSet<(u64, u64)>,
    held: BTreeSet<(u64, u64)>,
    /// What was overtaken.
    late: BTreeMap<(u64, u64), VecDeque<Bytes>>,
    /// Members whose disks wait for `sync`.
    slow: BTreeSet<u64>,
    roles: BTreeMap<u64, String>,
    tickets: u64,
    quiet: bool,
    pub trace: String,
}

const ELECTION: Duration = Duration::from_millis(300);

impl Stage {
    pub fn trace(&self) -> &str {
        &self.trace
    }

    /// Carries out one line:
    /// - `members N [phase_1 phase_2] [bytes of a message]`: begins, with `leases` if that was said before; `campaign N`: it
    ///   bids now; `coax N`: if its patience is over; `join N VOTER…`: a new member, that knows these voters;
    /// - `propose N word…`: a batch of so many commands; `read N`;
    /// - `settle`: everything that can happen without time; `wait MS`: with time, `quiet` or `loud`;
    /// - `cut A B`, `heal`: both ways, all; `hold A B`, `release A B`: one way, in order; `lose A B`: what is held;
    /// - `delay A B`: what is held is overtaken by all that follows, until `arrive A B`;
    /// - `slow N`: writes wait; `sync N [MARK]`: they are on disk; `fast N`; `crash N [MARK]`, `start N`;
    /// - `compact N [POSITION]`: after a snapshot; `status`;
    /// - what operators do: [`Self::operate`].
    pub fn run(&mut self, line: &str) {
        let mut words = line.split_whitespace();
        let Some(verb) = words.next().filter(|word| !word.starts_with('#')) else {
            writeln!(self.trace, "{line}").unwrap();
            return;
        };
        writeln!(self.trace, "> {line}").unwrap();
        let words: Vec<&str> = words.collect();
        let numbers: Vec<u64> = words.iter().map_while(|word| word.parse().ok()).collect();
        match (verb, &numbers[..]) {
            ("leases", []) => self.leases = true,
            ("members", [count, rest @ ..]) => self.begin(*count, rest),
            ("join", [id, voters @ ..]) => self.join(*id, voters),
            ("campaign", [id]) => self.campaign(*id),
            ("coax", [id]) => self.coax(*id),
            ("propose", [id]) => self.propose(*id, &words[1..]),
            ("read", [id]) => {
                let ticket = self.ticket();
                self.step(*id, Input::Read { ticket });
            }
            ("settle", []) => self.settle(),
            ("wait", [ms]) => self.wait(Duration::from_millis(*ms)),
            ("quiet" | "loud", []) => self.quiet = verb == "quiet",
            ("cut", [a, b]) => self.cut.extend([(*a, *b), (*b, *a)]),
            ("heal", []) => self.cut.clear(),
            ("hold", [a, b]) => drop(self.held.insert((*a, *b))),
            ("release", [a, b]) => drop(self.held.remove(&(*a, *b))),
            ("lose", [a, b]) => self.lose((*a, *b)),
            ("delay", [a, b]) => self.delay((*a, *b)),
            ("arrive", [a, b]) => self.arrive((*a, *b)),
            ("slow", [id]) => drop(self.slow.insert(*id)),
            ("fast", [id]) => drop(self.slow.remove(id)),
            ("sync", [id]) => self.sync(*id, self.members[id].written),
            ("sync", [id, mark]) => self.sync(*id, Mark(*mark)),
            ("crash", [id]) => self.crash(*id, self.members[id].synced),
            ("crash", [id, mark]) => self.crash(*id, Mark(*mark)),
            ("start", [id]) => self.start(*id),
            ("compact", [id]) => self.compact(*id, u64::MAX),
            ("compact", [id, upto]) => self.compact(*id, *upto),
            ("status", []) => self.status(),
            _ => self.operate(verb, &numbers),
        }
    }

    fn begin(&mut self, count: u64, rest: &[u64]) {
        let voters: Vec<_> = (1..=count).map(NodeId).collect();
        for id in 1..=count {
            let mut config = PaxosConfig::new(NodeId(id), &voters);
            config.election_timeout = ELECTION;
            config.lease = self.leases.then_some(Lease { drift_ppm: 100_000 });
            if let [phase_1, phase_2, ..] = *rest {
                let (phase_1, phase_2) = (phase_1 as usize, phase_2 as usize);
                config.quorums = Some(Quorums { phase_1, phase_2 });
            }
            if let [.., bytes] = *rest
                && rest.len() != 2
            {
                config.append_bytes_max = bytes;
            }
            self.members.insert(id, Member::new(config));
            self.members.get_mut(&id).unwrap().start(self.now).unwrap();
        }
    }

    fn join(&mut self, id: u64, voters: &[u64]) {
        let voters: Vec<_> = voters.iter().copied().map(NodeId).collect();
        let mut config = self.members[&1].config.clone();
        (config.id, config.voters, config.learners) = (NodeId(id), voters, vec![NodeId(id)]);
        self.members.insert(id, Member::new(config));
        self.members.get_mut(&id).unwrap().start(self.now).unwrap();
    }

    /// Lets its patience run out, and everybody's with it.
    fn campaign(&mut self, id: u64) {
        self.now = self.now + ELECTION * 2;
        self.coax(id);
    }

    /// Everybody tells it that they hear it.
    fn coax(&mut self, id: u64) {
        let peers: Vec<u64> = self
            .members
            .keys()
            .copied()
            .filter(|peer| *peer != id)
            .collect();
        for peer in peers {
            if self.cut.contains(&(peer, id)) {
                continue;
            }
            let message = Message::Gossip {
                promised: Ballot::ZERO,
                configured: Position::ZERO,
                hears: [NodeId(id)].into_iter().collect(),
                follows: None,
                answer: false,
            };
            let from = NodeId(peer);
            self.step(id, Input::Receive { from, message });
        }
        self.step(id, Input::Tick);
    }

    pub fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }

    fn propose(&mut self, id: u64, words: &[&str]) {
        let mut builder = BatchBuilder::new();
        for word in words {
            builder.push(word.as_bytes());
        }
        let ticket = self.ticket();
        let label = Label {
            origin: NodeId(id),
            life: Life(1),
            sequence: ticket.get() * 100,
            ..Label::default()
        };
        let batch = builder.finish(label).unwrap();
        self.step(id, Input::Propose { ticket, batch });
    }

    /// Disks first, then links in order, until nothing moves.
    fn settle(&mut self) {
        loop {
            let dirty = self.members.iter().find(|(id, member)| {
                member.synced < member.written && !self.slow.contains(id) && member.paxos.is_some()
            });
            if let Some((id, member)) = dirty {
                let (id, upto) = (*id, member.written);
                self.sync(id, upto);
                continue;
            }
            let ready = |link: &(u64, u64)| !self.held.contains(link);
            let mut links = self.links.iter_mut();
            let next = links.find(|(link, queue)| ready(link) && !queue.is_empty());
            let Some(((from, to), queue)) = next else {
                return;
            };
            let (from, to, bytes) = (*from, *to, queue.pop_front().unwrap());
            let message: Message = decode(bytes).unwrap();
            if !matches!(message, Message::Gossip { .. }) {
                self.note(&format!("{from} → {to}  {message}"));
            }
            let from = NodeId(from);
            self.step(to, Input::Receive { from, message });
        }
    }

    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            self.settle();
            let timers = self
                .members
                .iter()
                .filter_map(|(id, member)| Some((member.paxos.as_ref()?.deadline()?, *id)));
            let Some((at, id)) = timers.min().filter(|(at, _)| *at <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(at);
            self.step(id, Input::Tick);
        }
    }

    fn lose(&mut self, link: (u64, u64)) {
        for bytes in self.links.remove(&link).unwrap_or_default() {
            let message: Message = decode(bytes).unwrap();
            self.note(&format!("{} ╳ {}  {message}", link.0, link.1));
        }
    }

    fn delay(&mut self, link: (u64, u64)) {
        for bytes in self.links.remove(&link).unwrap_or_default() {
            let message: Message = decode(bytes.clone()).unwrap();
            self.note(&format!("{} … {}  {message}", link.0, link.1));
            self.late.entry(link).or_default().push_back(bytes);
        }
    }

    fn arrive(&mut self, link: (u64, u64)) {
        let late = self.late.remove(&link).unwrap_or_default();
        self.links.entry(link).or_default().extend(late);
    }

    fn sync(&mut self, id: u64, upto: Mark) {
        self.members.get_mut(&id).unwrap().sync(upto);
        self.note(&format!("{id} on disk: {upto}"));
        self.step(id, Input::Durable { upto });
    }

    fn crash(&mut self, id: u64, survivors: Mark) {
        self.members.get_mut(&id).unwrap().crash(survivors);
        self.links.retain(|link, _| link.0 != id && link.1 != id);
        self.roles.remove(&id);
    }

    fn start(&mut self, id: u64) {
        self.members.get_mut(&id).unwrap().start(self.now).unwrap();
        self.step(id, Input::Tick);
    }

    fn compact(&mut self, id: u64, upto: u64) {
        let member = self.members.get_mut(&id).unwrap();
        let taken = member.snapshot();
        let snapshot = taken.0;
        member.keep(taken);
        let upto = Position(upto.min(snapshot.position.get()));
        self.step(id, Input::Compact { upto, snapshot });
    }

    fn status(&mut self) {
        for (id, member) in &self.members {
            let Some(paxos) = &member.paxos else { continue };
            let Status {
                role,
                epoch,
                last,
                committed,
                compacted,
                configured,
                ..
            } = paxos.status();
            write!(self.trace, "  {id} {role} promised {epoch} last {last}").unwrap();
            write!(self.trace, " handed out {committed} forgotten {compacted}").unwrap();
            if configured > Position::ZERO {
                let members = paxos.configuration();
                write!(self.trace, " members {members} since {configured}").unwrap();
            }
            for (start, end) in paxos.chosen_ahead().runs() {
                write!(self.trace, " chosen ahead {start}..{}", end - 1).unwrap();
            }
            writeln!(self.trace).unwrap();
        }
    }

    pub fn step(&mut self, id: u64, input: Input<Message>) {
        let member = self.members.get_mut(&id);
        let Some(member) = member.filter(|member| member.paxos.is_some()) else {
            return;
        };
        let outputs = member.step(self.now, input);
        assert_eq!(member.paxos.as_ref().unwrap().anomalies(), 0);
        for output in outputs {
            self.carry_out(id, output);
        }
        let Some(paxos) = &self.members[&id].paxos else {
            return;
        };
        let status = paxos.status();
        let role = format!("{} of {}", status.role, status.epoch);
        let before = self.roles.insert(id, role.clone());
        let leads = |role: &str| role.starts_with("leader");
        if before.as_deref() != Some(&role) && (leads(&role) || before.is_some_and(|b| leads(&b))) {
            let at = self.now.as_nanos() / 1_000_000;
            writeln!(self.trace, "  {id} is {role} at {at} ms").unwrap();
        }
    }

    fn carry_out(&mut self, id: u64, output: Out) {
        match output {
            Output::Send { to, message } => {
                let link = (id, to.get());
                if self.cut.contains(&link) {
                    return;
                }
                let bytes = encode(&message).to_bytes();
                self.links.entry(link).or_default().push_back(bytes);
            }
            Output::Persist { mark, record } => self.note(&format!("{id} writes {mark}: {record}")),
            Output::Commit(run) => {
                let words: Vec<String> = run
                    .batch
                    .commands()
                    .map(|(_, body)| String::from_utf8_lossy(body).into_owned())
                    .collect();
                let words = match run.batch.configured() {
                    Some(configuration) => format!("members {configuration}"),
                    None if words.is_empty() => "noop".into(),
                    None => words.join(" "),
                };
                self.note(&format!(
                    "{id} hands out {}..{}@{}: {words}",
                    run.first,
                    run.last(),
                    run.epoch
                ));
            }
            Output::Fetch { from, snapshot } => {
                self.note(&format!("{id} fetches {} from {from}", snapshot.position));
                let mut all = self.members.values().flat_map(|member| &member.snapshots);
                let found = all.find(|(meta, _)| *meta == snapshot).unwrap().clone();
                self.members.get_mut(&id).unwrap().keep(found);
                self.step(id, Input::Fetched { snapshot });
            }
            Output::Report(report) => self.on_report(id, report),
            Output::Reject { ticket, why } => self.note(&format!("{id} refuses {ticket}: {why}")),
            other => self.note(&format!("{id} {other:?}")),
        }
    }

    pub fn note(&mut self, text: &str) {
        if !self.quiet {
            writeln!(self.trace, "  {text}").unwrap();
        }
    }
}
