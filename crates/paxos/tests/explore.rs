//! Every order in which few things can happen: three members, two bids, two proposals, one crash that loses what is not on
//! disk, one repeated message. A lost message is one that is never delivered.
//!
//! Without arguments one proposal, and either the crash or the repeated message.
//! `QUORATE_BOUND=2,1,0,1000000 cargo test --release -p quorate-paxos --test explore -- --nocapture`: so many proposals,
//! crashes, repeated messages, and states at most.
#![allow(clippy::unwrap_used)] // A test that cannot go on has failed.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use bytes::Bytes;
use quorate_core::{
    Batch, Committed, Input, Instant, Label, Mark, Memory, NodeId, Outbox, Output, ReplicatedLog,
    RoleKind, Ticket,
};
use quorate_paxos::{Ballot, Message, Paxos, PaxosConfig, Record};

const IDS: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];
/// Later than any patience: who bids, bids now.
const NOW: Instant = Instant::from_nanos(Duration::from_secs(1).as_nanos() as u64);

#[derive(Clone, Debug)]
struct Member {
    paxos: Paxos,
    journal: Vec<Record>,
    synced: usize,
    /// The births of what it has handed out.
    told: Vec<Ballot>,
}

#[derive(Clone, Debug)]
struct World {
    members: Vec<Member>,
    /// On their way: sender, receiver, what. A set: the same thing twice is one.
    flying: BTreeMap<String, (NodeId, NodeId, Message)>,
    /// The disks that voted, by slot and ballot, and for what.
    votes: BTreeMap<(u64, Ballot), (Ballot, BTreeSet<NodeId>)>,
    bids: BTreeSet<NodeId>,
    proposals: u64,
    crashes: u64,
    repeats: u64,
}

#[derive(Clone, Debug)]
enum Action {
    Bid(usize),
    Propose(usize),
    Sync(usize),
    Crash(usize),
    Deliver(String, bool),
}

fn restore(id: NodeId, records: &[Record]) -> Paxos {
    let marks = (1..).map(Mark);
    let memory = Memory {
        records: &mut marks.zip(records.iter().cloned()),
        durable: Mark(records.len() as u64),
        snapshot: None,
    };
    Paxos::restore(PaxosConfig::new(id, &IDS), Instant::ZERO, memory).unwrap()
}

impl World {
    fn new(proposals: u64, crashes: u64, repeats: u64) -> Self {
        let members = IDS.map(|id| Member {
            paxos: restore(id, &[]),
            journal: Vec::new(),
            synced: 0,
            told: Vec::new(),
        });
        Self {
            members: members.to_vec(),
            flying: BTreeMap::new(),
            votes: BTreeMap::new(),
            bids: [NodeId(1), NodeId(2)].into(),
            proposals,
            crashes,
            repeats,
        }
    }

    fn actions(&self) -> Vec<Action> {
        let mut actions = Vec::new();
        for (index, member) in self.members.iter().enumerate() {
            let status = member.paxos.status();
            if self.bids.contains(&IDS[index]) && status.role == RoleKind::Follower {
                actions.push(Action::Bid(index));
            }
            if self.proposals > 0 && status.role == RoleKind::Leader {
                actions.push(Action::Propose(index));
            }
            if member.synced < member.journal.len() {
                actions.push(Action::Sync(index));
            }
            if self.crashes > 0 && !member.journal.is_empty() {
                actions.push(Action::Crash(index));
            }
        }
        for key in self.flying.keys() {
            actions.push(Action::Deliver(key.clone(), false));
            if self.repeats > 0 {
                actions.push(Action::Deliver(key.clone(), true));
            }
        }
        actions
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Bid(index) => {
                self.bids.remove(&IDS[index]);
                for from in IDS.into_iter().filter(|id| *id != IDS[index]) {
                    let message = Message::Gossip {
                        promised: Ballot::ZERO,
                        hears: IDS.into_iter().collect(),
                        follows: None,
                    };
                    self.step(index, Input::Receive { from, message });
                }
                self.step(index, Input::Tick);
            }
            Action::Propose(index) => {
                self.proposals -= 1;
                let (ticket, body) = (Ticket(self.proposals), Bytes::from_static(b"x"));
                let batch = Batch::one(Label::default(), body);
                self.step(index, Input::Propose { ticket, batch });
            }
            Action::Sync(index) => self.sync(index),
            Action::Crash(index) => {
                self.crashes -= 1;
                let member = &mut self.members[index];
                member.journal.truncate(member.synced);
                member.paxos = restore(IDS[index], &member.journal);
                member.told.clear();
            }
            Action::Deliver(key, again) => {
                let (from, to, message) = self.flying[&key].clone();
                if again {
                    self.repeats -= 1;
                } else {
                    self.flying.remove(&key);
                }
                self.step(to.0 as usize - 1, Input::Receive { from, message });
            }
        }
    }

    fn sync(&mut self, index: usize) {
        let member = &mut self.members[index];
        let fresh = member.journal[member.synced..].to_vec();
        member.synced = member.journal.len();
        let upto = Mark(member.synced as u64);
        for record in fresh {
            if let Record::Accept {
                ballot,
                first,
                values,
                ..
            } = record
            {
                for (slot, value) in (first.0..).zip(&values) {
                    let new = (value.born, BTreeSet::new());
                    let (born, voters) = self.votes.entry((slot, ballot)).or_insert(new);
                    assert_eq!(
                        *born, value.born,
                        "two values in slot {slot}, {ballot} (P20)"
                    );
                    voters.insert(IDS[index]);
                }
            }
        }
        self.step(index, Input::Durable { upto });
    }

    /// What two of three disks voted for in one ballot, ever.
    fn chosen(&self) -> BTreeMap<u64, Ballot> {
        let mut chosen = BTreeMap::new();
        let quorums = self
            .votes
            .iter()
            .filter(|(_, (_, voters))| voters.len() > 1);
        for ((slot, _), (born, _)) in quorums {
            let known = *chosen.entry(*slot).or_insert(*born);
            assert_eq!(known, *born, "two values chosen in slot {slot} (P1)");
        }
        chosen
    }

    fn step(&mut self, index: usize, input: Input<Message>) {
        let mut out = Outbox::new();
        self.members[index].paxos.step(NOW, input, &mut out);
        assert_eq!(self.members[index].paxos.anomalies(), 0);
        for output in out.drain() {
            match output {
                Output::Persist { record, .. } => self.members[index].journal.push(record),
                Output::Commit(run) => self.on_commit(index, &run),
                Output::Send { to, message } => {
                    let matters = matches!(
                        message,
                        Message::Prepare { .. }
                            | Message::Promise(_)
                            | Message::Accept { .. }
                            | Message::Accepted(_)
                    );
                    // An Accepted that says nothing changes nothing.
                    let empty = matches!(&message, Message::Accepted(a) if a.taken.is_empty());
                    if matters && !empty {
                        let key = format!("{}{to}{message}", IDS[index]);
                        self.flying.insert(key, (IDS[index], to, message));
                    }
                }
                _ => {}
            }
        }
    }

    fn on_commit(&mut self, index: usize, run: &Committed) {
        let told = &mut self.members[index].told;
        assert_eq!(run.first.0, told.len() as u64 + 1, "without a gap (P8)");
        let born = Ballot {
            round: run.epoch.round,
            node: run.epoch.node,
        };
        told.push(born);
        let chosen = self.chosen().get(&run.first.0).copied();
        assert_eq!(chosen, Some(born), "only what is chosen is handed out");
    }

    fn print(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        format!("{self:?}").hash(&mut hasher);
        hasher.finish()
    }
}

#[derive(Debug, Default)]
struct Seen {
    /// Their hashes.
    states: HashSet<u64>,
    /// How many of them have something chosen, and how many a value carried into a higher ballot.
    chosen: u64,
    carried: u64,
    /// Whether there are more, beyond the limit.
    cut: bool,
}

/// All states that can be reached, up to a limit.
fn explore(start: World, limit: usize) -> Seen {
    let mut seen = Seen::default();
    let mut open = vec![start];
    while let Some(world) = open.pop() {
        seen.chosen += u64::from(!world.chosen().is_empty());
        let carried = |((_, ballot), (born, _)): (&(u64, Ballot), &(Ballot, _))| born < ballot;
        seen.carried += u64::from(world.votes.iter().any(carried));
        for action in world.actions() {
            let mut next = world.clone();
            next.act(action);
            if seen.states.len() >= limit {
                seen.cut = true;
            } else if seen.states.insert(next.print()) {
                open.push(next);
            }
        }
    }
    seen
}

/// Two bids always; so many proposals, crashes and repeated messages.
fn check(proposals: u64, crashes: u64, repeats: u64, limit: usize) -> Seen {
    let seen = explore(World::new(proposals, crashes, repeats), limit);
    println!(
        "{proposals} proposals, {crashes} crashes, {repeats} repeats: {} states{}; chosen in {}, carried on in {}",
        seen.states.len(),
        if seen.cut {
            " and more"
        } else {
            ", all there are"
        },
        seen.chosen,
        seen.carried
    );
    seen
}

#[test]
fn nothing_chosen_changes_in_any_order_of_few_events() {
    if let Ok(bound) = std::env::var("QUORATE_BOUND") {
        let numbers: Vec<u64> = bound.split(',').map(|text| text.parse().unwrap()).collect();
        check(numbers[0], numbers[1], numbers[2], numbers[3] as usize);
        return;
    }
    for (crashes, repeats) in [(0, 1), (1, 0)] {
        let seen = check(1, crashes, repeats, 100_000);
        assert!(!seen.cut && seen.chosen > 1000 && seen.carried > 1000);
    }
}
