//! What goes wrong, and the healing after it.

use std::time::Duration;

use quorate_core::{Change, Credit, Input, ReplicatedLog, Ticket};

use crate::ledger::last;
use crate::world::{ELECTION, Event, Host, Pace, World};

impl World {
    pub fn on_trouble(&mut self) {
        if self.pace != Pace::Busy {
            return;
        }
        self.schedule(400, Event::Trouble);
        let count = self.members.len();
        let (member, other) = (self.any(), self.any());
        match self.rng.below(17) {
            0..=2 => self.crash(member),
            3 => (0..count).for_each(|member| self.crash(member)),
            4 => {
                self.hosts[member].asleep = true;
                self.schedule(2000, Event::Wake(member));
            }
            5 => drop(self.cuts.insert((member, other))),
            6 => self.cuts.extend([(member, other), (other, member)]),
            7 => {
                let others = 0..count;
                let around = others.flat_map(|other| [(member, other), (other, member)]);
                self.cuts.extend(around);
            }
            8 => {
                // Everybody hears `member` alone.
                let pairs = (0..count).flat_map(|a| (0..count).map(move |b| (a, b)));
                let apart = pairs.filter(|(a, b)| *a != member && *b != member);
                self.cuts.extend(apart);
            }
            9 | 10 => self.cuts.clear(),
            11 => self.step(member, Input::Room { available: false }),
            12 => self.step(member, Input::Room { available: true }),
            13 => {
                let credit = Credit::More(self.rng.below(1000));
                self.credit(member, other, credit);
            }
            14 => self.credit(member, other, Credit::Open),
            15 => self.hosts[member].sync_ms = [1, 5, 20, 200][self.rng.below(4) as usize],
            _ => self.take_snapshot(member),
        }
        let busy = self.any();
        self.take_snapshot(busy);
    }

    fn any(&mut self) -> usize {
        self.rng.below(self.members.len() as u64) as usize
    }

    pub fn crash(&mut self, member: usize) {
        if self.paxos(member).is_none() {
            return;
        }
        self.totals.count("crashes", 1);
        let host = &mut self.hosts[member];
        *host = Host {
            life: host.life + 1,
            sync_ms: host.sync_ms,
            rate: host.rate,
            ..Host::default()
        };
        let (synced, written) = (self.members[member].synced, self.members[member].written);
        let survivors = synced.plus(self.rng.below(written.get() - synced.get() + 1));
        self.note(|| format!("{} crashes, {survivors} of {written} survive", member + 1));
        self.sync(member, survivors);
        self.members[member].crash(survivors);
        let down = if self.rng.one_in(3) { 1500 } else { 100 };
        self.schedule(down, Event::Start(member));
    }

    pub fn start(&mut self, member: usize) {
        if self.paxos(member).is_some() || self.gone.contains(&member) {
            return;
        }
        self.note(|| format!("{} starts", member + 1));
        let clock = self.clock(member);
        let started = self.members[member].start(clock);
        started.expect("what survives a crash can be restored");
        let base = self.paxos(member).unwrap().status().compacted;
        self.members[member].memory.forget(base.get());
        self.step(member, Input::Tick);
    }

    pub fn wake(&mut self, member: usize) {
        self.hosts[member].asleep = false;
        for event in std::mem::take(&mut self.hosts[member].missed) {
            self.on_event(event);
        }
    }

    pub fn heal(&mut self) {
        (self.pace, self.lose, self.repeat, self.delay_ms) = (Pace::Calm, 0, 0, 5);
        self.cuts.clear();
        for member in 0..self.members.len() {
            self.start(member);
            self.wake(member);
            self.hosts[member].sync_ms = 5;
            self.step(member, Input::Room { available: true });
            for peer in 0..self.members.len() {
                self.credit(member, peer, Credit::Open);
            }
        }
    }

    /// L1, L2, L3: a leader within ten election timeouts, new writes chosen, equal logs, a read answered.
    pub fn check_liveness(&mut self) {
        // What is late by now may still speak of leaders that are gone.
        let late = Duration::from_secs(3);
        self.run_until(self.now + late, |_| false);
        let (healed, patience) = (self.now, ELECTION * 10);
        let target = self.ledger.told();
        self.run_until(healed + patience, |world| world.leader().is_some());
        // One that led before may still have to make way.
        self.run_until(healed + patience, |_| false);
        assert!(self.leader().is_some(), "no leader within {patience:?}");
        // The narrowest windows let one entry through a round trip.
        let end = self.now + Duration::from_secs(30);
        self.run_until(end, |world| world.ledger.told() > target);
        assert!(self.ledger.told() > target, "a new write is chosen");
        self.totals.longest_recovery = self.now.since(healed);
        let ballots = self.ledger.leaders.len();
        // A full log has to be compacted before it takes more.
        (0..self.members.len()).for_each(|member| self.take_snapshot(member));
        self.run_until(self.now + patience, |_| false);
        let leader = self.leader().unwrap();
        self.propose(leader);
        let target = last(&self.members[leader]);
        let equal = |world: &Self| world.least() >= target;
        self.run_until(self.now + Duration::from_secs(30), equal);
        assert!(
            equal(self),
            "{} does not catch up to {target}",
            self.least()
        );
        let read = self.read(leader);
        self.run_until(self.now + patience, |world| !world.waits(read));
        assert!(!self.waits(read), "a read is answered");
        assert_eq!(self.ledger.leaders.len(), ballots, "one leader, for good");
        if self.changes {
            self.check_orders();
        }
    }

    /// In a healthy cluster a leader hands over, and members change, also the leader itself.
    fn check_orders(&mut self) {
        let (transferred, reconfigured) = (
            self.totals.of("transferred"),
            self.totals.of("reconfigured"),
        );
        let alone = self.ledger.eras.last().configuration.voters().len() == 1;
        // With the narrowest windows the others have much to catch up with.
        self.pace = Pace::Idle;
        for _ in 0..20 {
            if !alone && self.totals.of("transferred") == transferred {
                let leader = self.leader().unwrap();
                let order = self.transfer(leader, None);
                self.await_answer(order);
            }
        }
        self.pace = Pace::Calm;
        assert!(alone || self.totals.of("transferred") > transferred);
        let leader = self.leader().unwrap();
        let id = self.members[leader].config.id;
        let sized = self.members[leader].config.quorums.is_some();
        let change = if alone || sized {
            Change::Prefer(id, 9)
        } else {
            Change::Remove(id)
        };
        // It has just begun, or its log is full.
        for _ in 0..10 {
            if self.totals.of("reconfigured") == reconfigured {
                let order = self.reconfigure(leader, change.clone());
                self.await_answer(order);
                self.take_snapshot(leader);
            }
        }
        assert_eq!(self.totals.of("reconfigured"), reconfigured + 1);
        let target = self.ledger.told();
        self.run_until(self.now + ELECTION * 10, |world| {
            world.leader().is_some() && world.ledger.told() > target && world.least() >= target
        });
        assert!(self.ledger.told() > target, "a new write is chosen");
        assert!(self.least() >= target, "all members have it");
    }

    fn await_answer(&mut self, order: Ticket) {
        let answered = |world: &Self| !world.orders.contains_key(&order);
        self.run_until(self.now + ELECTION * 3, answered);
        assert!(answered(self), "an order is answered");
        // Whoever leads now is heard.
        self.run_until(self.now + ELECTION, |_| false);
        self.run_until(self.now + ELECTION * 9, |world| world.leader().is_some());
    }
}
