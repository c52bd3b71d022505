//! What the scripts speak of: a few members, and a network that moves only when told to.
//!
//! ```text
//! members 3 [learners 1]      start so many        load N TERM | 1 1 4    member N is in TERM, its log of these terms
//! wait 100ms                  time passes          tick N                 member N looks at the clock
//! timeout N                   time passes until member N's deadline, and N looks at the clock
//! deliver [FROM [TO]]         what is under way arrives, once             drop [FROM [TO]]   is lost
//! repeat FROM TO [append]     what (or which append) last went from FROM to TO arrives once more
//! reverse                     what is under way overtakes itself
//! sync [N [MARK]]             what was written (up to MARK) is on disk, and the member is told
//! hold N                      member N's disk is slow: only a sync that names N reaches it
//! fetch                       snapshots that were asked for arrive         slow     and only when told to
//! run 900ms                   so much time passes with every timer, message and disk at work; only parts are told
//! watch 900ms                 the same, and when whose part changed
//! elect N                     timeout N and stabilize, without the trace
//! stabilize                   deliver and sync until nothing moves
//! cut A B · join A B · heal   messages between A and B are lost, or not
//! oneway A B                  messages from A to B are lost
//! propose N a b c             one batch            read N TICKET
//! crash N · restart N         what was not synced is lost
//! compact N UPTO              member N takes a snapshot of all it has applied, and forgets up to UPTO
//! room N on|off               credit N PEER open|BYTES
//! log                         everything there is to see of every member
//! quiet · loud                whether heartbeats and their replies are shown
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::time::Duration;

use bytes::Bytes;
use quorate_core::{
    Batch, BatchBuilder, Credit, Input, Instant, Label, Life, Mark, NodeId, Output, Position,
    Rejection, ReplicatedLog, RoleKind, SnapshotMeta, Ticket, decode, encode,
};
use quorate_raft::{Message, Point, Raft, RaftConfig, Record, Run, Term};

use crate::member::{Member, Out};

struct Letter {
    from: u64,
    to: u64,
    message: Message,
}

#[derive(Default)]
pub struct Cluster {
    now: Instant,
    members: BTreeMap<u64, Member>,
    post: Vec<Letter>,
    /// The last message and the last append of every link.
    last: BTreeMap<(u64, u64, bool), Message>,
    /// Members whose disks are slow.
    held: BTreeSet<u64>,
    cuts: BTreeSet<(u64, u64)>,
    fetches: Vec<(u64, SnapshotMeta)>,
    shown: BTreeMap<u64, String>,
    /// When whose part changed.
    changes: Vec<(Instant, u64, String)>,
    tickets: u64,
    quiet: bool,
    /// Whether fetches wait for a command.
    slow: bool,
    page: String,
}

impl Cluster {
    /// Carries out one command and tells what came of it.
    pub fn run(&mut self, command: &str) -> String {
        let words: Vec<_> = command.split_whitespace().collect();
        let number = |index: usize| words.get(index).and_then(|word| word.parse::<u64>().ok());
        match words[0] {
            "members" => self.start(number(1).unwrap(), number(3).unwrap_or(0)),
            "load" => self.load(number(1).unwrap(), number(2).unwrap(), &words[4..]),
            "wait" => self.now = self.now + duration(words[1]),
            "tick" => self.step(number(1).unwrap(), Input::Tick),
            "timeout" => self.timeout(number(1).unwrap()),
            "elect" => self.elect(number(1).unwrap()),
            "deliver" => drop(self.deliver(number(1), number(2))),
            "drop" => self.lose(number(1), number(2)),
            "repeat" => {
                let append = words.get(3) == Some(&"append");
                self.repeat((number(1).unwrap(), number(2).unwrap(), append));
            }
            "reverse" => self.post.reverse(),
            "sync" => match number(2) {
                Some(upto) => self.sync_to(number(1).unwrap(), Mark(upto)),
                None => drop(self.sync(number(1))),
            },
            "hold" => drop(self.held.insert(number(1).unwrap())),
            "slow" => self.slow = true,
            "fetch" => drop(self.fetch()),
            "run" => self.pass(duration(words[1])),
            "watch" => self.watch(duration(words[1])),
            "stabilize" => self.stabilize(),
            "cut" => self.cut(number(1).unwrap(), number(2).unwrap(), true),
            "join" => self.cut(number(1).unwrap(), number(2).unwrap(), false),
            "oneway" => drop(self.cuts.insert((number(1).unwrap(), number(2).unwrap()))),
            "heal" => self.cuts.clear(),
            "propose" => self.propose(number(1).unwrap(), &words[2..]),
            "read" => {
                let ticket = Ticket(number(2).unwrap());
                self.step(number(1).unwrap(), Input::Read { ticket });
            }
            "crash" => self.crash(number(1).unwrap()),
            "restart" => self.restart(number(1).unwrap()),
            "compact" => self.compact(number(1).unwrap(), number(2).unwrap()),
            "room" => {
                let available = words[2] == "on";
                self.step(number(1).unwrap(), Input::Room { available });
            }
            "credit" => {
                let peer = NodeId(number(2).unwrap());
                let credit = number(3).map_or(Credit::Open, Credit::More);
                self.step(number(1).unwrap(), Input::Credit { peer, credit });
            }
            "log" => self.show_all(),
            "quiet" => self.quiet = true,
            "loud" => self.quiet = false,
            other => panic!("no command {other}"),
        }
        std::mem::take(&mut self.page)
    }

    fn start(&mut self, voters: u64, learners: u64) {
        *self = Self::default();
        let ids: Vec<_> = (1..=voters).map(NodeId).collect();
        let mut config = RaftConfig::new(ids[0], &ids);
        config.learners = (voters + 1..=voters + learners).map(NodeId).collect();
        for id in 1..=voters + learners {
            let id = NodeId(id);
            let mut member = Member::new(RaftConfig {
                id,
                ..config.clone()
            });
            member.start(self.now).unwrap();
            self.members.insert(id.get(), member);
        }
    }

    /// Rewrites a member's disk: entry `n` of the log is a command that names its place and term.
    fn load(&mut self, id: u64, term: u64, terms: &[&str]) {
        let config = self.members[&id].config.clone();
        let mut member = Member::new(config);
        let mut records = vec![Record::Vote {
            term: Term(term),
            voted_for: None,
        }];
        let mut prev = Point::START;
        for (index, term) in terms.iter().enumerate() {
            let term = Term(term.parse().unwrap());
            let position = Position(index as u64 + 1);
            let body = format!("{position}@{term}");
            let label = Label {
                sequence: position.get(),
                ..Label::default()
            };
            let batch = Batch::one(label, Bytes::from(body));
            records.push(Record::Append {
                prev,
                runs: [Run { term, batch }].into_iter().collect(),
            });
            prev = Point { position, term };
        }
        for (index, record) in records.iter().enumerate() {
            member
                .journal
                .insert(Mark(index as u64 + 1), encode(record).to_bytes());
        }
        member.last = Mark(records.len() as u64);
        member.sync(member.last);
        member.written = member.durable.clone();
        member.start(self.now).unwrap();
        self.members.insert(id, member);
    }

    fn timeout(&mut self, id: u64) {
        let raft = self.members[&id].raft.as_ref().unwrap();
        self.now = self
            .now
            .max(raft.deadline().expect("it waits for something"));
        self.step(id, Input::Tick);
    }

    /// An election as the scripts of 5.2 show it; here only its outcome.
    fn elect(&mut self, id: u64) {
        self.timeout(id);
        self.stabilize();
        self.page.clear();
        self.show(id);
    }

    fn stabilize(&mut self) {
        while self.deliver(None, None) | self.sync(None) | (!self.slow && self.fetch()) {}
    }

    /// Delivers what is under way now; what that causes stays under way.
    fn deliver(&mut self, from: Option<u64>, to: Option<u64>) -> bool {
        let chosen = self.take(from, to);
        let any = !chosen.is_empty();
        for letter in chosen {
            self.receive(letter);
        }
        any
    }

    fn take(&mut self, from: Option<u64>, to: Option<u64>) -> Vec<Letter> {
        let wanted = |letter: &Letter| {
            from.is_none_or(|from| from == letter.from) && to.is_none_or(|to| to == letter.to)
        };
        let (chosen, rest) = std::mem::take(&mut self.post).into_iter().partition(wanted);
        self.post = rest;
        chosen
    }

    fn receive(&mut self, letter: Letter) {
        let Letter { from, to, message } = letter;
        if self.members[&to].raft.is_none() {
            return;
        }
        if !(self.quiet && is_heartbeat(&message)) {
            writeln!(self.page, "{to} ◄ {from}: {message}").unwrap();
        }
        let message = decode(encode(&message).to_bytes()).unwrap();
        let from = NodeId(from);
        self.step(to, Input::Receive { from, message });
    }

    fn lose(&mut self, from: Option<u64>, to: Option<u64>) {
        for letter in self.take(from, to) {
            if !(self.quiet && is_heartbeat(&letter.message)) {
                writeln!(
                    self.page,
                    "{} ✗ {}: {}",
                    letter.to, letter.from, letter.message
                )
                .unwrap();
            }
        }
    }

    fn repeat(&mut self, (from, to, append): (u64, u64, bool)) {
        let message = self.last[&(from, to, append)].clone();
        self.receive(Letter { from, to, message });
    }

    fn sync(&mut self, only: Option<u64>) -> bool {
        let waiting = |member: &&Member| member.raft.is_some() && member.synced < member.last;
        let ids = self.members.values().filter(waiting).map(Member::id);
        let held = &self.held;
        let wanted = |id: &u64| only.map_or(!held.contains(id), |only| only == *id);
        let ids: Vec<_> = ids.filter(wanted).collect();
        for id in &ids {
            self.sync_to(*id, self.members[id].last);
        }
        !ids.is_empty()
    }

    fn sync_to(&mut self, id: u64, upto: Mark) {
        self.members.get_mut(&id).unwrap().sync(upto);
        writeln!(self.page, "{id} synced {upto}").unwrap();
        self.step(id, Input::Durable { upto });
    }

    /// Lets every timer run out in its turn.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        let before = std::mem::take(&mut self.page);
        let deadline = |member: &Member| member.raft.as_ref()?.deadline();
        loop {
            let timers = self.members.iter();
            let timers = timers.filter_map(|(id, member)| Some((deadline(member)?, *id)));
            let Some((at, id)) = timers.min().filter(|(at, _)| *at <= end) else {
                break;
            };
            self.now = self.now.max(at);
            self.step(id, Input::Tick);
            self.stabilize();
        }
        self.now = end;
        self.page = before;
        for id in self.members.keys().copied().collect::<Vec<_>>() {
            if self.members[&id].raft.is_some() {
                let status = self.summary(id);
                writeln!(self.page, "{id} {status}").unwrap();
            }
        }
    }

    fn watch(&mut self, time: Duration) {
        let began = self.now;
        self.changes.clear();
        self.pass(time);
        let end = std::mem::take(&mut self.page);
        for (at, id, status) in &self.changes {
            let after = at.since(began).as_millis();
            writeln!(self.page, "{after:>5} ms  {id} {status}").unwrap();
        }
        writeln!(self.page, "after {} ms", time.as_millis()).unwrap();
        self.page.push_str(&end);
    }

    /// Brings the snapshots that were asked for.
    fn fetch(&mut self) -> bool {
        let fetches = std::mem::take(&mut self.fetches);
        for (id, snapshot) in &fetches {
            let mut held = self.members.values().flat_map(|member| &member.snapshots);
            let (meta, state) = *held
                .find(|(meta, _)| meta == snapshot)
                .expect("it is there");
            self.members.get_mut(id).unwrap().add_snapshot(meta, state);
            writeln!(self.page, "{id} fetched {}", Point::from(meta)).unwrap();
            self.step(*id, Input::Fetched { snapshot: meta });
        }
        !fetches.is_empty()
    }

    fn cut(&mut self, one: u64, other: u64, cut: bool) {
        for pair in [(one, other), (other, one)] {
            if cut {
                self.cuts.insert(pair);
            } else {
                self.cuts.remove(&pair);
            }
        }
    }

    fn propose(&mut self, id: u64, commands: &[&str]) {
        let mut builder = BatchBuilder::new();
        for command in commands {
            builder.push(command.as_bytes());
        }
        self.tickets += 1;
        let (origin, sequence) = (NodeId(id), self.tickets * 100);
        let label = Label {
            origin,
            sequence,
            life: Life(1),
            ..Label::default()
        };
        let batch = builder.finish(label).expect("a proposal has commands");
        self.step(
            id,
            Input::Propose {
                ticket: Ticket(self.tickets),
                batch,
            },
        );
    }

    fn crash(&mut self, id: u64) {
        let member = self.members.get_mut(&id).unwrap();
        let lost = member.last.get() - member.synced.get();
        member.crash(member.synced);
        self.shown.remove(&id);
        writeln!(self.page, "{id} is down, {lost} records lost").unwrap();
    }

    fn restart(&mut self, id: u64) {
        let member = self.members.get_mut(&id).unwrap();
        member.start(self.now).unwrap();
        self.show(id);
    }

    fn compact(&mut self, id: u64, upto: u64) {
        let member = self.members.get_mut(&id).unwrap();
        let (state, snapshot) = (member.state, member.state.meta(id));
        member.add_snapshot(snapshot, state);
        let upto = Position(upto);
        self.step(id, Input::Compact { upto, snapshot });
    }

    fn step(&mut self, id: u64, input: Input<Message>) {
        let outputs = self.members.get_mut(&id).unwrap().step(self.now, input);
        for output in outputs {
            self.carry_out(id, output);
        }
        let status = self.summary(id);
        if self.shown.get(&id) != Some(&status) {
            writeln!(self.page, "    = {status}").unwrap();
            self.changes.push((self.now, id, status.clone()));
            self.shown.insert(id, status);
        }
        let raft = self.members[&id].raft.as_ref().unwrap();
        assert_eq!(raft.anomalies(), 0);
    }

    fn carry_out(&mut self, id: u64, output: Out) {
        let page = &mut self.page;
        match output {
            Output::Persist { mark, record } => writeln!(page, "    persist {mark}: {record}"),
            Output::Send { to, message } => return self.send(id, to.get(), message),
            Output::Commit(committed) => {
                let what = commands(&committed.batch);
                let (first, epoch) = (committed.first, committed.epoch);
                writeln!(page, "    commit {first}@{epoch}: {what}")
            }
            Output::ReadReady { ticket, at } => writeln!(page, "    read {ticket} ready at {at}"),
            Output::Reject { ticket, why } => {
                writeln!(page, "    rejected {ticket}: {}", reason(why))
            }
            Output::Fetch { from, snapshot } => {
                self.fetches.retain(|(member, _)| *member != id);
                self.fetches.push((id, snapshot));
                writeln!(page, "    fetch {} from {from}", Point::from(snapshot))
            }
            Output::Install { snapshot } => writeln!(page, "    install {}", Point::from(snapshot)),
            Output::Reclaim { below } => writeln!(page, "    reclaim below {below}"),
            Output::Link(_) | Output::Snapshot { .. } | Output::Report(_) => {
                unreachable!("Raft says no such thing")
            }
        }
        .unwrap();
    }

    fn send(&mut self, from: u64, to: u64, message: Message) {
        let lost = self.cuts.contains(&(from, to));
        let sign = if lost { "✗" } else { "→" };
        if !(self.quiet && is_heartbeat(&message)) {
            writeln!(self.page, "    {sign} {to}: {message}").unwrap();
        }
        if matches!(message, Message::Append(_)) {
            self.last.insert((from, to, true), message.clone());
        }
        self.last.insert((from, to, false), message.clone());
        if !lost {
            self.post.push(Letter { from, to, message });
        }
    }

    fn show(&mut self, id: u64) {
        let status = self.summary(id);
        writeln!(self.page, "    = {status}").unwrap();
        self.shown.insert(id, status);
    }

    fn summary(&self, id: u64) -> String {
        let status = self.members[&id].raft.as_ref().unwrap().status();
        let role = status.role;
        let led = match status.leader {
            Some(leader) if status.role != RoleKind::Leader => format!(" of {leader}"),
            _ => String::new(),
        };
        format!("{role}{led} in t{}", status.epoch)
    }

    fn show_all(&mut self) {
        for id in self.members.keys().copied().collect::<Vec<_>>() {
            let member = &self.members[&id];
            let log = &member.written;
            let mut terms = format!("({})", log.base);
            let mut at = log.base.position;
            for (term, _) in &log.entries {
                at = at.next();
                write!(terms, " {at}@{term}").unwrap();
            }
            let line = match member.raft.as_ref().map(Raft::status) {
                None => format!("{id} down"),
                Some(status) => {
                    let (committed, durable) = (status.committed, status.durable);
                    let summary = self.summary(id);
                    format!("{id} {summary}, committed {committed}, durable {durable}")
                }
            };
            writeln!(self.page, "{line}: {terms}").unwrap();
        }
    }
}

fn duration(text: &str) -> Duration {
    Duration::from_millis(text.strip_suffix("ms").unwrap().parse().unwrap())
}

fn is_heartbeat(message: &Message) -> bool {
    matches!(
        message,
        Message::Heartbeat { .. } | Message::HeartbeatReply { .. }
    )
}

fn commands(batch: &Batch) -> String {
    if batch.is_noop() {
        return "no-op".to_owned();
    }
    let bodies = batch
        .commands()
        .map(|(_, body)| String::from_utf8_lossy(body).into_owned());
    bodies.collect::<Vec<_>>().join(" ")
}

fn reason(why: Rejection) -> String {
    match why {
        Rejection::NotLeader {
            leader: Some(leader),
            ..
        } => format!("{leader} leads"),
        other => other.to_string(),
    }
}
