//! What goes wrong, begins and ends.

use std::time::Duration;

use quorate_core::{Direction, Event};

use super::{Happening, Own, World};
use crate::checker::Verdict;
use crate::disk::CallFault;
use crate::{Blow, Fault, HOSTS_MAX, Protocol, Workload};

impl<P: Protocol, W: Workload> World<'_, P, W> {
    pub(super) fn on_begin(&mut self, index: usize) -> Verdict {
        let plan = self.plan;
        let planned = &plan.faults[index];
        if self.now >= plan.heals {
            return Ok(());
        }
        self.trace.line(self.now, None, || {
            format!("{} begins", planned.fault.class())
        });
        self.agenda
            .put(self.now.after(planned.lasts), Happening::End(index));
        self.network.begin(self.now, index, &planned.fault);
        match planned.fault {
            Fault::Weather { .. }
            | Fault::Cut(_)
            | Fault::SlowLink { .. }
            | Fault::HalfOpen { .. } => {}
            Fault::Leader(blow) => self.strike_leader(index, blow),
            Fault::Kill(member) => {
                self.hosts[member].kill();
            }
            Fault::PowerLoss { member, survival } => {
                self.survival[member] = survival;
                self.lose_power(member);
            }
            Fault::CrashInCall {
                member,
                call,
                survival,
            } => {
                self.survival[member] = survival;
                self.hosts[member].disk.plan(call, CallFault::Crash);
            }
            Fault::CrashInRecovery {
                member,
                call,
                survival,
            } => {
                self.survival[member] = survival;
                self.lose_power(member);
                self.hosts[member].disk.plan(call, CallFault::Crash);
            }
            Fault::Pause(member) => {
                // What happens to it meanwhile is put off until then, so it has to be known now.
                self.hosts[member].paused = self.now.after(planned.lasts).min(plan.heals);
            }
            Fault::Drift { member, ppm } => self.drift(member, ppm),
            Fault::Jump { member, millis } => self.hosts[member].clock.jump(millis),
            Fault::SlowDisk { member, by } => self.hosts[member].slow = by,
            Fault::DiskError { member, call } => {
                self.hosts[member].disk.plan(call, CallFault::Io);
            }
            Fault::DiskFull { member, spare } => self.hosts[member].disk.limit(Some(spare)),
            Fault::Decay { member, rot } => self.decay(member, rot),
            Fault::Wipe(member) => {
                self.hosts[member].kill();
                self.hosts[member].disk.wipe();
                self.hosts[member].spoilt = true;
            }
            Fault::Direct { member, direction } => self.direct(member, direction),
            Fault::Burst { count, member } => self.burst(count, member),
            Fault::Promote(host) => self.agenda.put(self.now, Happening::Promote { host }),
            Fault::Change { act, dice } => return self.order_change(act, dice),
            Fault::Transfer { to, dice } => return self.order_transfer(to, dice),
        }
        Ok(())
    }

    pub(super) fn on_end(&mut self, index: usize) {
        if self.now >= self.plan.heals {
            return;
        }
        self.network.end(index);
        match self.plan.faults[index].fault {
            Fault::Kill(host)
            | Fault::PowerLoss { member: host, .. }
            | Fault::CrashInRecovery { member: host, .. }
            | Fault::Decay { member: host, .. }
            | Fault::Wipe(host) => self.agenda.put(self.now, Happening::Start { host }),
            Fault::Drift { member, .. } => self.drift(member, 0),
            Fault::SlowDisk { member, .. } => self.hosts[member].slow = Duration::ZERO,
            Fault::DiskFull { member, .. } => self.hosts[member].disk.limit(None),
            Fault::Leader(_) => {
                // Whatever it was: what still runs does not start again.
                if let Some(host) = self.struck.remove(&index) {
                    self.agenda.put(self.now, Happening::Start { host });
                }
            }
            Fault::Weather { .. }
            | Fault::Cut(_)
            | Fault::SlowLink { .. }
            | Fault::HalfOpen { .. }
            | Fault::CrashInCall { .. }
            | Fault::Pause(_)
            | Fault::Jump { .. }
            | Fault::DiskError { .. }
            | Fault::Direct { .. }
            | Fault::Promote(_)
            | Fault::Change { .. }
            | Fault::Transfer { .. }
            | Fault::Burst { .. } => {}
        }
    }

    /// Everything that still goes wrong stops doing so.
    pub(super) fn heal(&mut self) {
        let latest = self.network.heal(self.now);
        self.agenda.hasten(latest, |happening| {
            matches!(happening, Happening::Deliver { .. })
        });
        if self.plan.bare {
            self.shrink_core();
        }
        self.network.isolate(self.core);
        for host in 0..self.hosts.len() {
            self.drift(host, 0);
            let machine = &mut self.hosts[host];
            machine.disk.repair();
            machine.slow = Duration::ZERO;
            if self.is_core(host) {
                self.agenda.put(self.now, Happening::Start { host });
            }
        }
    }

    /// A clock goes at another rate: when its timers are due changes with it.
    fn drift(&mut self, member: usize, ppm: i64) {
        self.hosts[member].clock.drift(self.now, ppm);
        self.hosts[member].wake = None;
        self.set_wake(member);
    }

    /// If it runs: a member that starts begins with the direction of its config.
    fn direct(&mut self, member: usize, direction: Direction) {
        if self.hosts[member].process.is_some() {
            let order = Event::Direct {
                peer: None,
                direction,
            };
            self.own(member, Duration::ZERO, Own::Event(order));
        }
    }

    fn strike_leader(&mut self, index: usize, blow: Blow) {
        let Some(host) = self.newest_leader() else {
            return;
        };
        self.struck.insert(index, host);
        let mut blocked = [0; HOSTS_MAX];
        let (deaf, mute) = match blow {
            Blow::Kill => {
                self.hosts[host].kill();
                return;
            }
            Blow::Pause => {
                let until = self.now.after(self.plan.faults[index].lasts);
                self.hosts[host].paused = until.min(self.plan.heals);
                return;
            }
            Blow::CutOff => (true, true),
            Blow::Deaf => (true, false),
            Blow::Mute => (false, true),
        };
        for (from, blocked) in blocked.iter_mut().enumerate() {
            if from == host && mute {
                *blocked = u16::MAX;
            } else if from != host && deaf {
                *blocked = 1 << host;
            }
        }
        self.network.begin(self.now, index, &Fault::Cut(blocked));
    }

    fn decay(&mut self, member: usize, rot: crate::Rot) {
        self.survival[member] = crate::Survival::Everything;
        self.lose_power(member);
        if let Some(what) = self.hosts[member].disk.rot(rot, &mut self.rng) {
            self.hosts[member].spoilt = true;
            self.trace.line(self.now, Some(member), || what);
        }
    }

    fn burst(&mut self, count: u64, member: usize) {
        for _ in 0..count {
            let request = self.crowd.ask_of(self.now, member);
            self.send_request(request, Duration::ZERO);
            let patience = self.now.after(self.plan.clients.patience);
            self.agenda.put(patience, Happening::GiveUp { request });
        }
    }
}
