//! Faults, then healing, and what has to come true after it.

use std::time::Duration;

use quorate_core::{NodeId, RoleKind, StateMachine};

use super::{Happening, World};
use crate::checker::{Verdict, Violation};
use crate::{Moment, Protocol, Workload};

/// Where a run is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Things go wrong.
    Faults,
    /// They do not any more; nobody asks anything. A leader has to be there at the end of this; `again`: at the end of
    /// a little more, because one handed leadership on just then.
    Healing { again: bool },
    /// Clients ask the rest of what they have to ask, until then.
    Finishing { until: Moment },
    /// Writes and reads on every member of the core are to be served by then.
    Closing { requests: Vec<usize>, until: Moment },
    /// All are served; all have to be equal at the end of this.
    Settling,
    /// The run is over.
    Done,
}

/// How many election timeouts a cluster has to find a leader (`RELIABILITY` L1).
const TIMEOUTS: u32 = 10;

/// How long clients may go on after all faults.
const FINISHING: Duration = Duration::from_mins(5);

impl<P: Protocol, W: Workload> World<'_, P, W> {
    pub(super) fn on_phase(&mut self) -> Verdict {
        let timeouts = self.plan.limits.election_timeout * TIMEOUTS;
        match std::mem::replace(&mut self.phase, Phase::Done) {
            Phase::Faults => {
                self.trace.line(self.now, None, || "healed".to_owned());
                self.heal();
                self.crowd.reach = self.core;
                // An operator has to see first that nobody leads; promoting takes no longer than electing then.
                let unseen = self.operator.as_ref().map(|operator| operator.patience);
                let lasts = timeouts + unseen.unwrap_or_default();
                self.enter(Phase::Healing { again: false }, lasts);
            }
            Phase::Healing { again } => {
                if !self.plan.unsafe_disks {
                    if let Err(violation) = self.leader() {
                        return self.wait_for_successor(again, violation);
                    }
                    let until = self.now.after(FINISHING);
                    self.finish_or_close(until)?;
                }
            }
            Phase::Finishing { until } => self.finish_or_close(until)?,
            Phase::Closing { requests, until } => self.served(requests, until)?,
            Phase::Settling => self.state = Some(self.equal()?),
            Phase::Done => {}
        }
        Ok(())
    }

    fn enter(&mut self, phase: Phase, lasts: Duration) {
        self.phase = phase;
        self.agenda.put(self.now.after(lasts), Happening::Phase);
    }

    /// Whether a member is healed at the end.
    pub(super) const fn is_core(&self, member: usize) -> bool {
        self.core >> member & 1 == 1
    }

    /// Who is healed and a member, by the configuration of whoever leads.
    fn core(&self) -> Vec<usize> {
        let configuration = self
            .newest_leader()
            .and_then(|host| self.configuration_of(host));
        let is_member = |host: &usize| {
            let id = NodeId(*host as u64 + 1);
            configuration.is_none_or(|configuration| configuration.contains(id))
        };
        let healed = (0..self.hosts.len()).filter(|host| self.is_core(*host));
        healed
            .filter(|host| !self.plan.changes || is_member(host))
            .collect()
    }

    /// L1: there is a leader, and all of the core know it, with no new traffic needed first.
    fn leader(&self) -> Verdict {
        let mut leaders = Vec::new();
        for host in self.core() {
            let status = self.hosts[host]
                .process
                .as_ref()
                .map(|process| process.replica.status());
            leaders.push(status.map(|status| (status.epoch, status.leader)));
            let Some(status) = status else { continue };
            if status.role == RoleKind::Leader {
                leaders.retain(|leader| *leader != Some((status.epoch, None)));
            }
        }
        let first = leaders.first().copied().flatten();
        let known = first.is_some_and(|(_, leader)| leader.is_some());
        if !known || leaders.iter().any(|leader| *leader != first) {
            let what = format!("{TIMEOUTS} election timeouts after healing: {leaders:?}");
            return Err(Violation::new("a leader in time (L1, B37, B40)", what));
        }
        Ok(())
    }

    /// A leader that gives way, or that a change of members lets go, was there in time; its successor has two election timeouts,
    /// one until the hand-over is given up and one to elect.
    fn wait_for_successor(&mut self, again: bool, violation: Violation) -> Verdict {
        let pause = self.plan.limits.election_timeout * 2;
        if again || self.moved.after(pause) < self.now {
            return Err(violation);
        }
        self.enter(Phase::Healing { again: true }, pause);
        Ok(())
    }

    /// Waits for clients that have more to ask; then asks for the last of it all.
    fn finish_or_close(&mut self, until: Moment) -> Verdict {
        let wait = Duration::from_millis(50);
        if self.crowd.workload.goes_on() && !self.crowd.is_done() {
            if self.now > until {
                let what = "clients still ask, long after all faults";
                return Err(Violation::new("what is asked is served (L2)", what));
            }
            self.enter(Phase::Finishing { until }, wait);
            return Ok(());
        }
        let requests = self.closing();
        let timeouts = self.plan.limits.election_timeout * TIMEOUTS;
        let until = timeouts + 4 * self.plan.around.request_timeout;
        let until = self.now.after(until);
        self.enter(Phase::Closing { requests, until }, wait);
        Ok(())
    }

    fn closing(&mut self) -> Vec<usize> {
        let requests = self.crowd.closing(self.now, &self.core());
        for request in &requests {
            self.send_request(*request, Duration::ZERO);
        }
        requests
    }

    /// L2: a fresh write and read on every member.
    fn served(&mut self, requests: Vec<usize>, until: Moment) -> Verdict {
        let open = requests
            .iter()
            .find(|request| self.crowd.is_open(**request))
            .copied();
        match open {
            None => {
                let settle = self.plan.limits.election_timeout * 4 + Duration::from_secs(3);
                self.enter(Phase::Settling, settle);
            }
            Some(_) if self.now < until => {
                self.enter(
                    Phase::Closing { requests, until },
                    Duration::from_millis(50),
                );
            }
            Some(request) => {
                let what = format!(
                    "request {request} of member {} is open: {:?}",
                    self.crowd.member_of(request) + 1,
                    self.crowd.input(request)
                );
                return Err(Violation::new(
                    "a fresh write and read is served (L2)",
                    what,
                ));
            }
        }
        Ok(())
    }

    /// L3, L5: all have applied the same, everything that is chosen, and nothing is left over.
    /// Gives the digest of the state machine.
    fn equal(&self) -> Result<u64, Violation> {
        self.settled_members()?;
        let mut first = None;
        let mut digest = 0;
        for host in self.core() {
            let Some(process) = &self.hosts[host].process else {
                let what = format!("member {} does not run", host + 1);
                return Err(Violation::new("all are caught up (L3)", what));
            };
            let replica = &process.replica;
            digest = replica.machine().digest();
            let status = replica.status();
            let state = (replica.applied(), replica.digest(), status.committed);
            if *first.get_or_insert(state) != state {
                let what = format!("member {}: {state:?}, another: {first:?}", host + 1);
                return Err(Violation::new("all are caught up (L3)", what));
            }
            // Where positions are decided one by one, a vote that no quorum knows of may stay behind what is chosen,
            // until something else is proposed in its place: no member is ever asked to take it back.
            let whole = !self.rules.chained || status.committed == status.last;
            let chosen = self.checkers.chosen() <= status.committed;
            if status.durable < status.committed || !chosen || !whole {
                let what = format!("member {}: {status:?}", host + 1);
                return Err(Violation::new("all is chosen and durable (L3)", what));
            }
            let limit = self.plan.limits.log_bytes + self.plan.limits.message_bytes;
            if replica.open() != (0, 0, 0) || replica.backlog_bytes() > 0 || status.bytes > limit {
                let what = format!("member {}: open {:?}, {status:?}", host + 1, replica.open());
                return Err(Violation::new("nothing is left over (L5)", what));
            }
        }
        Ok(digest)
    }
}
