//! What the scripts speak of: a few members, and a network that moves only when told to.
//!
//! ```text
//! members 3 [learners 1]      start so many        load N TERM | 1 1 4    member N is in TERM, its log of these terms
//! wait 100ms                  time passes          tick N                 member N looks at the clock
//! timeout N                   time passes until member N's deadline, and N looks at the clock
//! deliver [FROM [TO]]         what is under way arrives, once             drop [FROM [TO]]   is lost
//! repeat FROM TO [KIND]       what last went from FROM to TO arrives once more: any, or append, vote, timeout
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
//! change N WHAT               an operator asks N to change the members; transfer N [TO]  to hand over leadership
//! found N 1 2 3               N starts with an empty disk; its config names these voters, and itself as a learner
//! clock N 110                 N's clock runs by a tenth too fast       lease   who may read without asking, and where
//! log                         everything there is to see of every member
//! quiet · loud                whether heartbeats and their replies are shown
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::time::Duration;

use quorate_core::{
    BatchBuilder, Credit, Input, Instant, Label, Life, Mark, NodeId, Output, ReplicatedLog,
    SnapshotMeta, Ticket, decode, encode,
};
use quorate_raft::{Message, Point};

use crate::clock::Clock;
use crate::member::{Member, Out};
use crate::show::{commands, reason, report};

struct Letter {
    from: u64,
    to: u64,
    message: Message,
}

#[derive(Default)]
pub struct Cluster {
    pub now: Instant,
    pub members: BTreeMap<u64, Member>,
    post: Vec<Letter>,
    /// The last message of every link, and the last of some kinds.
    last: BTreeMap<(u64, u64, &'static str), Message>,
    /// Members whose disks are slow.
    pub held: BTreeSet<u64>,
    cuts: BTreeSet<(u64, u64)>,
    pub fetches: Vec<(u64, SnapshotMeta)>,
    pub shown: BTreeMap<u64, String>,
    /// When whose part changed.
    changes: Vec<(Instant, u64, String)>,
    pub tickets: u64,
    quiet: bool,
    /// Whether fetches wait for a command.
    slow: bool,
    pub page: String,
    /// Clocks that do not run as the others do.
    pub clocks: BTreeMap<u64, Clock>,
    /// Who the members were said to be last, by whom.
    known: BTreeMap<u64, String>,
}

impl Cluster {
    /// Carries out one command and tells what came of it.
    pub fn run(&mut self, command: &str) -> String {
        let words: Vec<_> = command.split_whitespace().collect();
        let number = |index: usize| words.get(index).and_then(|word| word.parse::<u64>().ok());
        match words[0] {
            "members" => self.start(&words[1..]),
            "load" => self.load(number(1).unwrap(), number(2).unwrap(), &words[4..]),
            "wait" => self.now = self.now + duration(words[1]),
            "tick" => self.step(number(1).unwrap(), Input::Tick),
            "timeout" => self.timeout(number(1).unwrap()),
            "elect" => self.elect(number(1).unwrap()),
            "deliver" => drop(self.deliver(number(1), number(2))),
            "drop" => self.lose(number(1), number(2)),
            "repeat" => {
                let kind = words.get(3).copied().unwrap_or("");
                let (from, to) = (number(1).unwrap(), number(2).unwrap());
                self.repeat(from, to, kind);
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
            "change" => self.change(number(1).unwrap(), &words[2..]),
            "transfer" => self.transfer(number(1).unwrap(), number(2)),
            "found" => self.found(number(1).unwrap(), &words[2..]),
            "clock" => self.set_clock(number(1).unwrap(), number(2).unwrap()),
            "lease" => self.show_leases(),
            "log" => self.show_all(),
            "quiet" => self.quiet = true,
            "loud" => self.quiet = false,
            other => panic!("no command {other}"),
        }
        std::mem::take(&mut self.page)
    }

    fn timeout(&mut self, id: u64) {
        let raft = self.members[&id].raft.as_ref().unwrap();
        let deadline = raft.deadline().expect("it waits for something");
        self.now = self.now.max(self.when(id, deadline));
        self.step(id, Input::Tick);
    }

    /// An election as the scripts of 5.2 show it; here only its outcome.
    fn elect(&mut self, id: u64) {
        self.timeout(id);
        self.stabilize();
        self.page.clear();
        self.show(id);
    }

    pub fn stabilize(&mut self) {
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
        let target = self.members.get(&to);
        if target.is_none_or(|target| target.raft.is_none()) {
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

    fn repeat(&mut self, from: u64, to: u64, kind: &str) {
        let message = self.last[&(from, to, kind)].clone();
        self.receive(Letter { from, to, message });
    }

    /// Lets every timer run out in its turn.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        let before = std::mem::take(&mut self.page);
        loop {
            let timers = self.members.iter();
            let timers = timers.filter_map(|(id, member)| {
                let deadline = member.raft.as_ref()?.deadline()?;
                Some((self.when(*id, deadline), *id))
            });
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

    pub fn step(&mut self, id: u64, input: Input<Message>) {
        let now = self.time(id);
        let outputs = self.members.get_mut(&id).unwrap().step(now, input);
        for output in outputs {
            self.carry_out(id, output);
        }
        let members = self.members_of(id);
        if self.known.get(&id).map_or("", String::as_str) != members {
            let told = if members.is_empty() {
                "members as founded"
            } else {
                &members
            };
            writeln!(self.page, "    = {told}").unwrap();
            self.known.insert(id, members);
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
            Output::Report(what) => writeln!(page, "    order {}", report(what)),
            Output::Link(_) | Output::Snapshot { .. } => unreachable!("Raft says no such thing"),
        }
        .unwrap();
    }

    fn send(&mut self, from: u64, to: u64, message: Message) {
        let lost = self.cuts.contains(&(from, to));
        let sign = if lost { "✗" } else { "→" };
        if !(self.quiet && is_heartbeat(&message)) {
            writeln!(self.page, "    {sign} {to}: {message}").unwrap();
        }
        for kind in ["", kind(&message)] {
            self.last.insert((from, to, kind), message.clone());
        }
        if !lost {
            self.post.push(Letter { from, to, message });
        }
    }
}

fn duration(text: &str) -> Duration {
    Duration::from_millis(text.strip_suffix("ms").unwrap().parse().unwrap())
}

/// What of a kind can be repeated.
fn kind(message: &Message) -> &'static str {
    match message {
        Message::Append(_) => "append",
        Message::TimeoutNow { .. } => "timeout",
        Message::RequestVote { .. } => "vote",
        _ => "",
    }
}

fn is_heartbeat(message: &Message) -> bool {
    matches!(
        message,
        Message::Heartbeat { .. } | Message::HeartbeatReply { .. }
    )
}
