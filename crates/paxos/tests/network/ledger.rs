//! What no member knows: everything that was ever voted and chosen. Held against every step.

use std::collections::{BTreeMap, BTreeSet};

use quorate_core::{
    Committed, Configuration, NodeId, Output, Position, ReplicatedLog, RoleKind, Status,
};
use quorate_paxos::{Accepted, Ballot, Message, Promise, Record, Value};

use crate::eras::Eras;
use crate::image::{Print, hashes, mix};
use crate::member::{Member, Out};

pub struct Ledger {
    pub eras: Eras,
    /// Everything up to here is chosen: so it is known which configuration governs the next slot.
    prefix: u64,
    /// P20: the one value of every slot and ballot, as proposed or accepted by anyone.
    proposed: BTreeMap<(u64, Ballot), Print>,
    /// The configurations among those values.
    members: BTreeMap<Print, Configuration>,
    /// Where each ballot has proposed configurations.
    stops: BTreeMap<Ballot, BTreeSet<u64>>,
    /// The disks that voted so, ever.
    votes: BTreeMap<(u64, Ballot), BTreeSet<NodeId>>,
    /// What each disk has promised.
    promised: BTreeMap<NodeId, Ballot>,
    /// P1: what a phase 2 quorum of disks voted for, whether anybody knows or not, and the lowest such ballot. Behind the
    /// prefix: provided that no configuration is chosen in between.
    chosen: BTreeMap<u64, (Ballot, Print)>,
    /// What was handed out: by the first who did.
    told: Vec<(Print, u64)>,
    /// P3: the life of its node in which a ballot was used.
    lives: BTreeMap<Ballot, u64>,
    statuses: BTreeMap<NodeId, Status>,
    pub leaders: BTreeSet<Ballot>,
    /// Slots chosen while an earlier one was not.
    pub early: u64,
    /// Values carried into a higher ballot.
    pub carried: u64,
    /// Votes behind a configuration that was chosen, from before.
    pub behind: u64,
}

impl Ledger {
    pub fn new(eras: Eras) -> Self {
        Self {
            eras,
            prefix: 0,
            proposed: BTreeMap::new(),
            members: BTreeMap::new(),
            stops: BTreeMap::new(),
            votes: BTreeMap::new(),
            promised: BTreeMap::new(),
            chosen: BTreeMap::new(),
            told: Vec::new(),
            lives: BTreeMap::new(),
            statuses: BTreeMap::new(),
            leaders: BTreeSet::new(),
            early: 0,
            carried: 0,
            behind: 0,
        }
    }

    /// The last position that anyone was told of.
    pub fn told(&self) -> Position {
        Position(self.told.len() as u64)
    }

    /// Records have come to a disk.
    pub fn on_disk(&mut self, member: NodeId, records: &[Record]) {
        for record in records {
            match record {
                Record::Promise { ballot, .. } => {
                    self.promised.insert(member, *ballot);
                }
                Record::Accept {
                    ballot,
                    first,
                    values,
                    ..
                } => {
                    for (slot, print) in prints(*first, values) {
                        let votes = self.votes.entry((slot, *ballot)).or_default();
                        votes.insert(member);
                        self.count(slot, *ballot, print);
                    }
                    self.advance();
                }
                Record::Checkpoint { .. } => {}
            }
        }
    }

    /// Whether these votes choose.
    fn count(&mut self, slot: u64, ballot: Ballot, print: Print) {
        let votes = &self.votes[&(slot, ballot)];
        if !self.eras.chosen(slot, ballot, |id| votes.contains(&id)) {
            return;
        }
        let before = self.chosen.get(&slot).copied();
        self.early +=
            u64::from(before.is_none() && slot > 1 && !self.chosen.contains_key(&(slot - 1)));
        let (low, known) = before.unwrap_or((ballot, print));
        assert_eq!(known, print, "two values chosen in slot {slot} (P1)");
        self.chosen.insert(slot, (low.min(ballot), print));
    }

    /// A configuration at the end of what is chosen governs all behind it: what was counted there was not chosen.
    fn advance(&mut self) {
        while let Some((_, print)) = self.chosen.get(&(self.prefix + 1)) {
            self.prefix += 1;
            let Some(configuration) = self.members.get(print) else {
                continue;
            };
            self.eras.push(self.prefix, configuration.clone());
            self.chosen.split_off(&(self.prefix + 1));
            let behind = self.votes.range((self.prefix + 1, Ballot::ZERO)..);
            let behind: Vec<_> = behind.map(|(key, _)| *key).collect();
            self.behind += behind.len() as u64;
            for (slot, ballot) in behind {
                self.count(slot, ballot, self.proposed[&(slot, ballot)]);
            }
        }
    }

    /// Before a member's outputs leave it.
    pub fn on_step(&mut self, member: &Member, life: u64, before: Status, outputs: &[Out]) {
        let paxos = member.paxos.as_ref().unwrap();
        assert_eq!(
            paxos.anomalies(),
            0,
            "every message was one a member may send"
        );
        let mut configured = before.configured;
        for output in outputs {
            match output {
                Output::Persist { record, .. } => self.on_record(member, configured, record),
                Output::Send { message, .. } => self.on_send(member, life, message),
                Output::Commit(run) => {
                    self.on_commit(run);
                    if run.batch.configured().is_some() {
                        configured = run.last();
                    }
                }
                _ => {}
            }
        }
        let digest = self.told.get(member.state.position.prev().get() as usize);
        let none = member.state.position == Position::ZERO;
        assert_eq!(
            member.state.digest,
            if none { 0 } else { digest.unwrap().1 }
        );
        self.on_status(member, before, paxos.status());
    }

    fn on_record(&mut self, member: &Member, configured: Position, record: &Record) {
        match record {
            Record::Promise { ballot, .. } if ballot.node == member.config.id => {
                self.eras.on_bid(*ballot, configured.get());
            }
            Record::Accept {
                ballot,
                first,
                values,
                ..
            } => self.on_proposal(*ballot, *first, values),
            Record::Promise { .. } | Record::Checkpoint { .. } => {}
        }
    }

    /// P5, and with it all of Paxos: what was chosen in a lower ballot is what every higher one proposes. And the
    /// stop-sign: nothing is proposed behind an open configuration.
    fn on_proposal(&mut self, ballot: Ballot, first: Position, values: &[Value]) {
        let all = values.iter().flat_map(|value| {
            let slots = 0..value.batch.len();
            slots.map(|_| value.batch.configured())
        });
        for ((slot, print), configuration) in prints(first, values).into_iter().zip(all) {
            if let Some(configuration) = configuration {
                self.members.insert(print, configuration);
                self.stops.entry(ballot).or_default().insert(slot);
            }
            let stops = self.stops.get(&ballot).into_iter().flatten();
            for stop in stops.take_while(|stop| **stop < slot) {
                let passes = self.eras.may_pass(ballot, *stop);
                assert!(passes, "{ballot} proposes {slot} behind {stop} (P17)");
            }
            let known = *self.proposed.entry((slot, ballot)).or_insert(print);
            assert_eq!(
                known, print,
                "two values in slot {slot}, ballot {ballot} (P20)"
            );
            if let Some((low, chosen)) = self.chosen.get(&slot) {
                let kept = ballot < *low || *chosen == print;
                assert!(
                    kept,
                    "slot {slot}: {chosen:?} was chosen in {low}, not {print:?} (P5)"
                );
            }
            self.carried += u64::from(print.0 < ballot);
        }
    }

    fn on_send(&mut self, member: &Member, life: u64, message: &Message) {
        let (disk, id) = (&member.disk, member.config.id);
        if let Some(ballot) = ballot_of(message) {
            assert!(
                ballot <= disk.promised,
                "{message} before its promise is on disk"
            );
            let used = *self.lives.entry(ballot).or_insert(life);
            assert_eq!(
                (used, ballot.node),
                (life, id),
                "ballot {ballot} used twice (P3)"
            );
        }
        match message {
            Message::Promise(promise) => check_promise(member, promise),
            Message::Accepted(accepted) => self.check_accepted(member, accepted),
            Message::Nack { promised } | Message::Gossip { promised, .. } => {
                assert!(*promised <= disk.promised, "{message}");
            }
            Message::Accept {
                ballot,
                first,
                values,
                chosen,
            } => {
                self.on_proposal(*ballot, *first, values);
                assert!(*chosen <= self.told());
            }
            Message::Chosen { upto, .. } => assert!(*upto <= self.told()),
            Message::Bid { chosen, .. } => assert!(*chosen <= self.told()),
            _ => {}
        }
    }

    /// D1: an acknowledged vote is on disk.
    fn check_accepted(&self, member: &Member, accepted: &Accepted) {
        assert_eq!(accepted.ballot, member.disk.promised, "{accepted}");
        assert!(accepted.chosen <= member.state.position);
        for slot in accepted.taken.iter().flat_map(|run| run.0..run.1) {
            let vote = self.votes.get(&(slot, accepted.ballot));
            let voted = vote.is_some_and(|votes| votes.contains(&member.config.id));
            assert!(voted, "{accepted}: {slot} is not on disk");
        }
    }

    fn on_commit(&mut self, run: &Committed) {
        for (offset, hash) in hashes(&run.batch).into_iter().enumerate() {
            let slot = run.first.get() + offset as u64;
            let born = Ballot {
                round: run.epoch.round,
                node: run.epoch.node,
            };
            let chosen = self.chosen.get(&slot).map(|(_, print)| *print);
            assert_eq!(
                chosen.filter(|_| slot <= self.prefix),
                Some((born, hash)),
                "slot {slot} handed out (P8, A5)"
            );
            let digest = self.told.last().map_or(0, |told| told.1);
            match self.told.get(slot as usize - 1) {
                Some((told, _)) => assert_eq!(*told, (born, hash), "slot {slot} changed (A1)"),
                None => self.told.push(((born, hash), mix(digest ^ hash))),
            }
        }
    }

    fn on_status(&mut self, member: &Member, before: Status, status: Status) {
        assert!(status.compacted <= status.committed && status.committed <= status.last);
        assert!(status.durable <= status.last);
        assert_eq!(status.committed, member.state.position);
        assert!(before.compacted <= status.compacted);
        assert_eq!(status.last, last(member).max(status.committed));
        let id = member.config.id;
        if let Some(seen) = self.statuses.insert(id, status) {
            assert!(seen.epoch <= status.epoch, "an epoch went back (P2)");
        }
        self.check_configuration(member, status);
        if status.role == RoleKind::Leader {
            let Status { epoch, leader, .. } = status;
            assert_eq!((epoch.node, leader), (id, Some(id)));
            let ballot = Ballot {
                round: epoch.round,
                node: id,
            };
            if self.leaders.insert(ballot) {
                let promised = |id| self.promised.get(&id).is_some_and(|last| *last >= ballot);
                let elected = self.eras.elected(ballot, promised);
                assert!(elected, "{ballot} leads without a phase 1 quorum (P4)");
            }
        }
    }

    /// Equal configurations at equal positions, and the last one that was handed out is in force.
    fn check_configuration(&self, member: &Member, status: Status) {
        let at = status.configured;
        assert!(at <= status.committed, "in force before it is handed out");
        if at > Position::ZERO {
            let era = self.eras.standing(at.get()).expect("it is chosen");
            let paxos = member.paxos.as_ref().unwrap();
            assert_eq!(*paxos.configuration(), era.configuration);
        }
        let known = member.state.configured.as_ref().map(|(at, _)| *at);
        assert_eq!(known.unwrap_or_default(), at);
    }
}

/// The last slot it has written a vote for.
pub fn last(member: &Member) -> Position {
    let last = member.memory.votes.last_key_value();
    Position(last.map_or(member.memory.base, |(slot, _)| *slot))
}

/// C5, P14: a promise tells every vote on disk in the slots it speaks of, and nothing else.
fn check_promise(member: &Member, promise: &Promise) {
    let disk = &member.disk;
    assert_eq!(promise.ballot, disk.promised, "{promise}");
    if let Some(offer) = &promise.forgotten {
        assert!(promise.votes.is_empty() && promise.at <= offer.meta.position);
        return;
    }
    let base = member.paxos.as_ref().unwrap().status().compacted;
    assert!(promise.at > base, "{promise} of slots that are forgotten");
    let mut said = BTreeMap::new();
    for vote in &promise.votes {
        for (slot, print) in prints(vote.first, std::slice::from_ref(&vote.value)) {
            said.insert(slot, (vote.ballot, print));
        }
    }
    let end = promise.next.map_or(u64::MAX, Position::get);
    let held = disk.votes.range(promise.at.get()..end);
    let held: BTreeMap<_, _> = held.map(|(slot, vote)| (*slot, *vote)).collect();
    assert_eq!(said, held, "{promise}");
}

fn prints(first: Position, values: &[Value]) -> Vec<(u64, Print)> {
    let all = values.iter().flat_map(|value| {
        let hashes = hashes(&value.batch).into_iter();
        hashes.map(|hash| (value.born, hash))
    });
    (first.get()..).zip(all).collect()
}

fn ballot_of(message: &Message) -> Option<Ballot> {
    match message {
        Message::Prepare { ballot, .. }
        | Message::Accept { ballot, .. }
        | Message::Chosen { ballot, .. }
        | Message::Heartbeat { ballot, .. }
        | Message::Bid { ballot, .. }
        | Message::Snapshot { ballot, .. } => Some(*ballot),
        _ => None,
    }
}
