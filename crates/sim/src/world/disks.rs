//! The journal's turns, snapshots, and what comes of a disk that fails.

use std::time::Duration;

use quorate_core::{Event, NodeId, Position};

use super::{Happening, Message, Own, World};
use crate::checker::{Verdict, Violation};
use crate::host::{Back, Errand, Exit, StartConfig, Written};
use crate::protocol::Member;
use crate::{Protocol, Workload};

impl<P: Protocol, W: Workload> World<'_, P, W> {
    pub(super) fn on_write(&mut self, host: usize) -> Verdict {
        let Some(process) = &mut self.hosts[host].process else {
            return Ok(());
        };
        let written = process.write();
        match self.hosts[host].unless_dead(written) {
            Ok(()) => {
                let (least, most) = self.plan.around.sync;
                let latency = self.rng.duration(least, most) + self.hosts[host].slow;
                self.own(host, latency, Own::Sync);
                Ok(())
            }
            Err(exit) => self.on_exit(host, &exit),
        }
    }

    pub(super) fn on_sync(&mut self, host: usize) -> Verdict {
        let Some(process) = &mut self.hosts[host].process else {
            return Ok(());
        };
        let written = process.sync();
        let Written { synced, room } = match self.hosts[host].unless_dead(written) {
            Ok(written) => written,
            Err(exit) => return self.on_exit(host, &exit),
        };
        let Some(process) = &mut self.hosts[host].process else {
            return Ok(());
        };
        process.busy = false;
        let (work, full) = (process.has_work(), process.is_full());
        if let Some(upto) = synced {
            self.trace.hash([self.now.0, host as u64, upto.0]);
            self.trace
                .line(self.now, Some(host), || format!("synced up to {upto}"));
            self.checkers.on_synced(host, upto)?;
            let late = self
                .rng
                .duration(Duration::ZERO, self.plan.around.told_late);
            self.own(host, late, Own::Event(Event::Durable { upto }));
        }
        if let Some(available) = room {
            self.trace.mark(if available {
                "a full disk has room again"
            } else {
                "a disk is full"
            });
            self.trace
                .line(self.now, Some(host), || format!("room: {available}"));
            self.own(
                host,
                Duration::from_micros(1),
                Own::Event(Event::Room { available }),
            );
        }
        if work {
            let wait = if full {
                Duration::from_millis(100)
            } else {
                Duration::from_micros(10)
            };
            if let Some(process) = &mut self.hosts[host].process {
                process.busy = true;
            }
            self.own(host, wait, Own::Write);
        }
        Ok(())
    }

    /// Completions may be told late and out of order; what is told is cumulative (law 3).
    pub(super) fn on_event(&mut self, host: usize, event: Event<Message<P>>) -> Verdict {
        if let (Event::Durable { upto }, Some(process)) = (&event, &mut self.hosts[host].process) {
            if *upto <= process.told {
                return Ok(());
            }
            process.told = *upto;
        }
        self.turn(host, |process, clock, out| {
            process.replica.step(clock, event, out);
        })
    }

    pub(super) fn on_errand(&mut self, host: usize, errand: Errand) -> Verdict {
        let Some(process) = &mut self.hosts[host].process else {
            return Ok(());
        };
        let outcome = process.run_errand(errand);
        match self.hosts[host].unless_dead(outcome) {
            Ok(Back::Events(events)) => {
                for event in events {
                    if let Event::Fetched { snapshot } | Event::SnapshotStored { snapshot } = &event
                    {
                        self.checkers.on_snapshot(host, snapshot.position);
                    }
                    if let Event::Fetched { .. } = event {
                        self.trace.mark("a snapshot was fetched");
                    }
                    self.trace
                        .line(self.now, Some(host), || format!("{event:?}"));
                    self.on_event(host, event)?;
                }
                Ok(())
            }
            Ok(Back::Loaded(restored)) => self.turn(host, |process, _, out| {
                process.replica.loaded(*restored, out);
            }),
            Err(exit) => self.on_exit(host, &exit),
        }
    }

    /// The process ends; a machine without power comes back, a disk that was refused does not.
    pub(super) fn on_exit(&mut self, host: usize, exit: &Exit) -> Verdict {
        self.trace
            .line(self.now, Some(host), || format!("exit: {exit:?}"));
        let machine = &mut self.hosts[host];
        machine.kill();
        let wait = Duration::from_millis(50 + self.rng.below(1_500));
        if machine.disk.is_dead() {
            self.trace.mark("power was lost in a call");
            self.lose_power(host);
        } else if let Exit::Refused(why) = exit {
            machine.refused = true;
            if !machine.spoilt {
                let what = format!("member {}: {why}", host + 1);
                return Err(Violation::new("a sound disk is not refused", what));
            }
            self.trace.mark("a disk that decayed was refused");
            return Ok(());
        } else {
            self.trace.mark("a member stopped because its disk failed");
        }
        self.agenda
            .put(self.now.after(wait), Happening::Start { host });
        Ok(())
    }

    pub(super) fn lose_power(&mut self, host: usize) {
        let boot = self.rng.below(1 << 50);
        let machine = &mut self.hosts[host];
        machine.kill();
        machine.disk.power_loss(self.survival[host]);
        machine.clock.reboot(self.now, boot);
    }

    pub(super) fn on_start(&mut self, host: usize) -> Verdict {
        let machine = &self.hosts[host];
        let Some(cluster) = self.clusters[host].clone() else {
            return Ok(());
        };
        if machine.process.is_some() || machine.refused {
            return Ok(());
        }
        let wiped = machine.born && machine.disk.used() == 0;
        let seed = if self.plan.around.in_step {
            self.plan.seed
        } else {
            self.rng.next()
        };
        let (id, protocol) = (NodeId(host as u64 + 1), self.protocol);
        let log = |life| {
            let cluster = cluster.clone();
            protocol.config(&Member {
                id,
                life,
                seed,
                cluster,
            })
        };
        let config = StartConfig {
            id,
            log: &log,
            plan: self.plan,
        };
        let empty = self.crowd.workload.machine();
        let outcome = self.hosts[host].start(self.now, &config, empty);
        match self.hosts[host].unless_dead(outcome) {
            Ok(started) => {
                if wiped {
                    let what = format!("member {} starts with an empty disk", host + 1);
                    return Err(Violation::new(
                        "a wiped disk is not the old one (C7, B21)",
                        what,
                    ));
                }
                self.on_started(host, &started)
            }
            Err(exit) => {
                if self.hosts[host].disk.is_dead() {
                    self.trace.mark("power was lost in a recovery");
                } else if wiped {
                    self.trace.mark("a wiped disk was refused");
                }
                self.on_exit(host, &exit)
            }
        }
    }

    fn on_started(
        &mut self,
        host: usize,
        started: &crate::host::Started<<P::Log as quorate_core::ReplicatedLog>::Record>,
    ) -> Verdict {
        if started.cut {
            self.trace.mark("a torn tail was cut");
        }
        if started.snapshot > Position::ZERO {
            self.trace.mark("a member started from a snapshot");
        }
        let count = started.records.len();
        self.trace.hash([self.now.0, host as u64, count as u64]);
        self.trace.line(self.now, Some(host), || {
            format!("started with {count} records")
        });
        let records = started
            .records
            .iter()
            .map(|(mark, print, record)| (*mark, *print, self.protocol.remembered(record)));
        self.checkers
            .on_recovered(host, started.snapshot, records.collect())?;
        self.observe(host)?;
        self.set_wake(host);
        self.kick(host);
        Ok(())
    }
}
