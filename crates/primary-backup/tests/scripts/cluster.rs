//! What the scripts speak of: a few members, and a network that moves only when told to.
//!
//! ```text
//! members 3 quorum            start so many, with this acknowledgement level; member 1 is the first primary
//! wait 100ms                  time passes          tick N                 member N looks at the clock
//! timeout N                   time passes until member N's deadline, and N looks at the clock
//! deliver [FROM [TO]]         what is under way arrives, once             drop [FROM [TO]]   is lost
//! repeat FROM TO [append]     what (or which append) last went from FROM to TO arrives once more
//! reverse                     what is under way overtakes itself
//! sync [N [MARK]]             what was written (up to MARK) is on disk, and the member is told
//! hold N · free N             member N's disk is slow: only a sync that names N reaches it
//! fetch                       snapshots that were asked for arrive         slow     and only when told to
//! run 900ms                   so much time passes with every timer, message and disk at work; only the gist is told
//! begin                       every member looks at the clock; stabilize, without the trace
//! stabilize                   deliver and sync until nothing moves
//! cut A B · join A B · heal   messages between A and B are lost, or not
//! propose N a b c             one batch            read N TICKET
//! promote N [ROUND] [force]   the operator wants N to be primary
//! spare N                     starts member N, which the others do not know of yet
//! change N add|vote|demote|remove M · change N replace OLD NEW · change N prefer M 7 · change N set 1 2 +3
//! transfer N [TO]             the operator wants N to hand over
//! crash N · restart N [LEVEL] what was not synced is lost                  level N LEVEL    (while it is down)
//! compact N UPTO              member N takes a snapshot of all it has applied, and forgets up to UPTO
//! room N on|off               credit N PEER open|BYTES
//! log                         everything there is to see of every member
//! states                      what every state machine holds
//! quiet · loud                whether heartbeats and their replies are shown
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::time::Duration;

use quorate_core::{
    BatchBuilder, Credit, Input, Instant, Label, Life, Mark, NodeId, Output, Position,
    ReplicatedLog, RoleKind, SnapshotMeta, Ticket, decode, encode,
};
use quorate_primary_backup::{Message, Named, Point, PrimaryBackup, PrimaryBackupConfig};

use crate::member::{Member, Out};
use crate::text::{change, commands, duration, is_heartbeat, reason, report};

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
            "members" => self.start(number(1).unwrap(), words[2]),
            "spare" => self.spare(number(1).unwrap()),
            "change" => {
                let ticket = self.ticket();
                let change = change(&words[2..]);
                self.step(number(1).unwrap(), Input::Reconfigure { ticket, change });
            }
            "transfer" => {
                let (ticket, to) = (self.ticket(), number(2).map(NodeId));
                self.step(number(1).unwrap(), Input::Transfer { ticket, to });
            }
            "begin" => self.begin(),
            "wait" => self.now = self.now + duration(words[1]),
            "tick" => self.step(number(1).unwrap(), Input::Tick),
            "timeout" => self.timeout(number(1).unwrap()),
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
            "free" => drop(self.held.remove(&number(1).unwrap())),
            "slow" => self.slow = true,
            "fetch" => drop(self.fetch()),
            "run" => self.pass(duration(words[1])),
            "stabilize" => self.stabilize(),
            "cut" => self.cut(number(1).unwrap(), number(2).unwrap(), true),
            "join" => self.cut(number(1).unwrap(), number(2).unwrap(), false),
            "heal" => self.cuts.clear(),
            "propose" => self.propose(number(1).unwrap(), &words[2..]),
            "read" => {
                let ticket = Ticket(number(2).unwrap());
                self.step(number(1).unwrap(), Input::Read { ticket });
            }
            "promote" => self.promote(number(1).unwrap(), number(2), words.contains(&"force")),
            "level" => {
                let member = self.members.get_mut(&number(1).unwrap()).unwrap();
                member.config.write_ack = words[2].parse().unwrap();
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
            "states" => self.show_states(),
            "quiet" => self.quiet = true,
            "loud" => self.quiet = false,
            other => panic!("no command {other}"),
        }
        std::mem::take(&mut self.page)
    }

    fn start(&mut self, count: u64, write_ack: &str) {
        *self = Self::default();
        let ids: Vec<_> = (1..=count).map(NodeId).collect();
        for id in &ids {
            let mut config = PrimaryBackupConfig::new(*id, &ids);
            config.write_ack = write_ack.parse().unwrap();
            self.found(config);
        }
    }

    fn spare(&mut self, id: u64) {
        let mut config = self.members[&1].config.clone();
        (config.id, config.learners) = (NodeId(id), vec![NodeId(id)]);
        self.found(config);
    }

    fn found(&mut self, config: PrimaryBackupConfig) {
        let id = config.id.get();
        let mut member = Member::new(config);
        member.start(self.now).unwrap();
        self.members.insert(id, member);
    }

    fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }

    fn begin(&mut self) {
        for id in self.members.keys().copied().collect::<Vec<_>>() {
            self.step(id, Input::Tick);
        }
        self.stabilize();
        self.page.clear();
        self.show_all();
    }

    fn promote(&mut self, id: u64, round: Option<u64>, force: bool) {
        let order = Input::Promote {
            ticket: self.ticket(),
            round,
            force,
        };
        self.step(id, order);
    }

    fn timeout(&mut self, id: u64) {
        let log = self.members[&id].log.as_ref().unwrap();
        self.now = self
            .now
            .max(log.deadline().expect("it waits for something"));
        self.step(id, Input::Tick);
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
        if self.members[&to].log.is_none() {
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
        let waiting = |member: &&Member| member.log.is_some() && member.synced < member.last;
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
        let deadline = |member: &Member| member.log.as_ref()?.deadline();
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
        let told = ["reports", "rejects", "installs", "takes"];
        let page = std::mem::replace(&mut self.page, before);
        let told = |line: &&str| {
            line.split_whitespace()
                .nth(1)
                .is_some_and(|word| told.contains(&word))
        };
        for line in page.lines().filter(told) {
            writeln!(self.page, "{line}").unwrap();
        }
        for id in self.members.keys().copied().collect::<Vec<_>>() {
            if self.members[&id].log.is_some() {
                let status = self.summary(id);
                writeln!(self.page, "{id} {status}").unwrap();
            }
        }
    }

    /// Brings the snapshots that were asked for.
    fn fetch(&mut self) -> bool {
        let fetches = std::mem::take(&mut self.fetches);
        for (id, snapshot) in &fetches {
            let mut held = self.members.values().flat_map(|member| &member.snapshots);
            let found = held.find(|(meta, _)| meta == snapshot);
            let (meta, state) = found.expect("it is there").clone();
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
        let (state, snapshot) = (member.state.clone(), member.state.meta(id));
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
            self.shown.insert(id, status);
        }
        let member = self.members.get_mut(&id).unwrap();
        assert_eq!(member.log.as_ref().unwrap().anomalies(), 0);
        if let Some((snapshot, state)) = member.due_snapshot() {
            member.add_snapshot(snapshot, state);
            writeln!(self.page, "{id} takes snapshot {}", Point::from(snapshot)).unwrap();
            let upto = Position::ZERO;
            self.step(id, Input::Compact { upto, snapshot });
        }
    }

    fn carry_out(&mut self, id: u64, output: Out) {
        let page = &mut self.page;
        match output {
            Output::Persist { mark, record } => writeln!(page, "    persist {mark}: {record}"),
            Output::Send { to, message } => return self.send(id, to.get(), message),
            Output::Commit(committed) => {
                let what = commands(&committed.batch);
                let (first, epoch) = (committed.first, Named(committed.epoch));
                writeln!(page, "    commit {first}@{epoch}: {what}")
            }
            Output::ReadReady { ticket, at } => writeln!(page, "    read {ticket} ready at {at}"),
            Output::Reject { ticket, why } => {
                writeln!(page, "    {id} rejects {ticket}: {}", reason(why))
            }
            Output::Fetch { from, snapshot } => {
                self.fetches.retain(|(member, _)| *member != id);
                self.fetches.push((id, snapshot));
                writeln!(page, "    fetch {} from {from}", Point::from(snapshot))
            }
            Output::Install { snapshot } => {
                writeln!(page, "    {id} installs {}", Point::from(snapshot))
            }
            Output::Reclaim { below } => writeln!(page, "    reclaim below {below}"),
            Output::Snapshot { from } => writeln!(page, "    wants a snapshot from {from} on"),
            Output::Report(what) => writeln!(page, "    {id} reports {}", report(what)),
            Output::Link(_) => unreachable!("its links are as they are"),
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
        let status = self.members[&id].log.as_ref().unwrap().status();
        let role = status.role;
        let led = match status.leader {
            Some(leader) if status.role != RoleKind::Leader => format!(" of {leader}"),
            _ => String::new(),
        };
        let members = match status.configured {
            Position::ZERO => String::new(),
            at => {
                let members = self.members[&id].log.as_ref().unwrap().configuration();
                format!(", members {members} at {at}")
            }
        };
        format!("{role}{led} in e{}{members}", Named(status.epoch))
    }

    fn show_all(&mut self) {
        for id in self.members.keys().copied().collect::<Vec<_>>() {
            let member = &self.members[&id];
            let log = &member.written;
            let mut entries = format!("({})", log.base);
            let mut at = log.base.position;
            for (epoch, _) in &log.entries {
                at = at.next();
                write!(entries, " {at}@{}", Named(*epoch)).unwrap();
            }
            let line = match member.log.as_ref().map(PrimaryBackup::status) {
                None => format!("{id} down"),
                Some(status) => {
                    let (committed, durable) = (status.committed, status.durable);
                    let summary = self.summary(id);
                    format!("{id} {summary}, committed {committed}, durable {durable}")
                }
            };
            writeln!(self.page, "{line}: {entries}").unwrap();
        }
    }

    fn show_states(&mut self) {
        for (id, member) in &self.members {
            let state = &member.state;
            let digest = state.digest as u16;
            writeln!(self.page, "{id} holds {} ({digest:04x})", state.position).unwrap();
        }
    }
}
