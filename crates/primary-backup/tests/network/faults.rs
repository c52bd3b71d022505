//! What goes wrong, what clients ask for meanwhile, and how it all gets well again.

use std::time::Duration;

use quorate_core::{BatchBuilder, Credit, Input, Label, Life, Ticket, WriteAck};

use crate::world::{Event, Host, World};

impl World {
    pub(crate) fn on_client(&mut self) {
        if self.quiet {
            return;
        }
        let pace = if self.calm { 40 } else { 15 };
        self.schedule(pace, Event::Client);
        let leader = (0..self.members.len()).find(|index| self.leads(*index));
        let member = match leader {
            Some(leader) if !self.rng.one_in(4) => leader,
            _ => self.rng.below(self.members.len() as u64) as usize,
        };
        if self.hosts[member].paused || self.members[member].log.is_none() {
            return;
        }
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        if self.rng.one_in(3) {
            self.reads.insert(ticket, self.ledger.committed());
            return self.step(member, Input::Read { ticket });
        }
        self.propose(member, ticket);
    }

    pub(crate) fn propose(&mut self, member: usize, ticket: Ticket) {
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

    pub(crate) fn on_fault(&mut self) {
        if self.calm {
            return;
        }
        self.schedule(400, Event::Fault);
        let member = self.rng.below(self.members.len() as u64) as usize;
        let other = self.members[self.rng.below(self.members.len() as u64) as usize]
            .config
            .id;
        let id = self.members[member].config.id;
        match self.rng.below(27) {
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
            14..=16 => {
                let force = self.rng.one_in(4);
                self.order(member, force);
            }
            17..=22 => self.order_change(),
            23 | 24 => self.order_transfer(),
            25 => self.hosts[member].sync_ms = [1, 5, 20, 200][self.rng.below(4) as usize],
            _ => self.snapshot(member),
        }
        // Compaction is no fault; it goes on all the time.
        let busy = self.rng.below(self.members.len() as u64) as usize;
        self.snapshot(busy);
    }

    pub(crate) fn snapshot(&mut self, member: usize) {
        let state = self.members[member].state.clone();
        let newest = self.members[member]
            .snapshots
            .last()
            .map(|(meta, _)| meta.position);
        let host = &mut self.hosts[member];
        let useless = state.position <= newest.unwrap_or_default();
        if self.members[member].log.is_none() || host.snapshotting || useless {
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

    pub(crate) fn crash(&mut self, member: usize) {
        if self.members[member].log.is_none() {
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

    pub(crate) fn restart(&mut self, member: usize) {
        if self.members[member].log.is_some() {
            return;
        }
        let target = &mut self.members[member];
        target
            .start(self.now)
            .expect("what survives a crash can be restored");
        if self.trace {
            println!("{} {} starts", self.now, target.id());
        }
        self.step(member, Input::Tick);
    }

    /// A quorum of members whose snapshots hold what a promotion by force has lost cannot acknowledge anything: the
    /// operator has one disk acknowledge until they have been replaced.
    pub(crate) fn loosen(&mut self) {
        for member in 0..self.members.len() {
            self.members[member].config.write_ack = WriteAck::One;
            self.crash(member);
        }
        self.ledger.loosen();
    }

    pub(crate) fn pause(&mut self, member: usize) {
        self.hosts[member].paused = true;
        self.schedule(2000, Event::Resume { member });
    }

    pub(crate) fn resume(&mut self, member: usize) {
        self.hosts[member].paused = false;
        for event in std::mem::take(&mut self.hosts[member].backlog) {
            self.on_event(event);
        }
    }

    /// What is under way arrives soon: a network that delivers the past for seconds is not healed.
    fn hurry(&mut self) {
        let soon = self.now + Duration::from_millis(20);
        for ((at, sequence), event) in std::mem::take(&mut self.agenda) {
            let late = matches!(event, Event::Deliver { .. }) && at > soon;
            self.agenda
                .insert((if late { soon } else { at }, sequence), event);
        }
    }

    pub(crate) fn heal(&mut self) {
        (self.calm, self.drop, self.duplicate, self.delay_ms) = (true, 0, 0, 5);
        self.cuts.clear();
        self.hurry();
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
}
