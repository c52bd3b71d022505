//! A member's turn: an event, then everything that a driver does in a turn.

use std::time::Duration;

use quorate_core::Clock;

use super::{Happening, Own, Running, Todo, World};
use crate::checker::{Shown, Verdict, Violation};
use crate::{Moment, Protocol, Workload};

impl<P: Protocol, W: Workload> World<'_, P, W> {
    /// One turn of a member: what `feed` brings, then everything that a driver does in a turn.
    pub(super) fn turn(
        &mut self,
        host: usize,
        feed: impl FnOnce(&mut Running<P, W>, Clock, &mut Todo<P, W>),
    ) -> Verdict {
        let clock = self.hosts[host].clock.read(self.now);
        let mut out = std::mem::take(&mut self.effects);
        let Some(process) = &mut self.hosts[host].process else {
            self.effects = out;
            return Ok(());
        };
        feed(process, clock, &mut out);
        self.settle(host, &mut out)?;
        if let Some(process) = &mut self.hosts[host].process {
            process.replica.flush(clock, &mut out);
        }
        self.settle(host, &mut out)?;
        let mut more = false;
        if let Some(process) = &mut self.hosts[host].process {
            more = process
                .replica
                .apply(self.plan.around.apply_bytes, &mut out)
                && !process.applying;
            process.applying |= more;
        }
        self.settle(host, &mut out)?;
        self.effects = out;
        if more {
            self.own(host, Duration::from_micros(100), Own::Apply);
        }
        self.observe(host)?;
        self.set_wake(host);
        Ok(())
    }

    /// Shows the checkers what the member shows.
    pub(super) fn observe(&mut self, host: usize) -> Verdict {
        self.judge_commits(host)?;
        self.judge_budgets(host)?;
        let committed = std::mem::take(&mut self.committed);
        let Some(process) = &self.hosts[host].process else {
            return Ok(());
        };
        let replica = &process.replica;
        let configured = replica.status().configured;
        let moved = self.hosts[host].configured != Some(configured);
        if moved {
            self.checkers
                .on_configured(host, configured, replica.configuration())?;
        }
        for (at, command) in replica.machine().take_applied() {
            self.checkers.on_applied(host, at, command)?;
        }
        let snapshot = replica
            .snapshot()
            .map_or_else(Default::default, |meta| meta.position);
        let shown = Shown {
            status: replica.status(),
            applied: replica.applied(),
            snapshot,
            digest: replica.digest(),
        };
        self.hosts[host].configured = Some(configured);
        self.checkers.on_state(host, &shown, committed)
    }

    /// What waits in a member is bounded by its config, at all times (law 7).
    fn judge_budgets(&self, host: usize) -> Verdict {
        let Some(process) = &self.hosts[host].process else {
            return Ok(());
        };
        let (around, limits) = (&self.plan.around, &self.plan.limits);
        let (commands, bytes, reads) = process.replica.open();
        let status = process.replica.status();
        let log_bytes = limits.log_bytes + limits.message_bytes;
        let kept = commands <= around.pending_max
            && bytes <= around.pending_bytes
            && reads <= around.pending_max
            && status.bytes <= log_bytes
            && process.replica.backlog_bytes() <= log_bytes;
        if kept {
            return Ok(());
        }
        let what = format!(
            "member {}: open {:?}, backlog {}, {status:?}",
            host + 1,
            process.replica.open(),
            process.replica.backlog_bytes()
        );
        Err(Violation::new("budgets are kept (law 7, L5)", what))
    }

    /// What it has said to be chosen is judged before anything that it says or writes upon that.
    pub(super) fn judge_commits(&mut self, host: usize) -> Verdict {
        let Some(process) = &self.hosts[host].process else {
            return Ok(());
        };
        let log = process.replica.log();
        let epoch = process.replica.status().epoch;
        for run in log.take_commits() {
            self.committed = true;
            self.checkers.on_commit(host, epoch, &run)?;
        }
        Ok(())
    }

    /// Puts the next tick on the agenda, unless an earlier one is: that one will look again.
    pub(super) fn set_wake(&mut self, host: usize) {
        let grain = self.plan.around.timer_grain.as_nanos() as u64;
        let machine = &mut self.hosts[host];
        let Some(deadline) = machine
            .process
            .as_ref()
            .and_then(|process| process.replica.deadline())
        else {
            return;
        };
        let at = machine
            .clock
            .moment_of(deadline)
            .max(Moment(self.now.0 + 1_000));
        let at = Moment(at.0.next_multiple_of(grain.max(1)));
        if machine.wake.is_none_or(|wake| wake > at) {
            machine.wake = Some(at);
            self.agenda.put(at, Happening::Wake { host });
        }
    }
}
