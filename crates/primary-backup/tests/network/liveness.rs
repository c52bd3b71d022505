//! What has to be true once everything is well again, and what has to have happened before.

use std::time::Duration;

use quorate_core::{ReplicatedLog, RoleKind, Ticket};

use crate::world::World;

/// What happened in a run: a test that provokes nothing proves nothing.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    pub steps: u64,
    pub acknowledged: u64,
    pub primaries: u64,
    pub crashes: u64,
    pub orders: u64,
    pub promoted: u64,
    pub forced: u64,
    pub unknown: u64,
    pub reads: u64,
    pub rejected: u64,
    pub overloaded: u64,
    pub fetches: u64,
    pub installs: u64,
    pub wanted: u64,
    pub reclaims: u64,
    pub losses: u64,
    pub uncounted: u64,
    pub cuts: u64,
    pub reconfigured: u64,
    pub transferred: u64,
    /// Primaries that rose because another had handed over, and those that counted for nothing.
    pub handed_over: u64,
    pub voteless: u64,
    /// Configurations that were cut, joint ones that were committed, those that came with a snapshot.
    pub turns: [u64; 3],
    /// Messages.
    pub lost: u64,
    pub rejects: u64,
    /// Writes that were acknowledged and are not there in the end.
    pub gone: u64,
    pub longest_catch_up: Duration,
}

impl Totals {
    pub fn add(&mut self, other: &Self) {
        let pairs = [
            (&mut self.steps, other.steps),
            (&mut self.acknowledged, other.acknowledged),
            (&mut self.primaries, other.primaries),
            (&mut self.crashes, other.crashes),
            (&mut self.orders, other.orders),
            (&mut self.promoted, other.promoted),
            (&mut self.forced, other.forced),
            (&mut self.unknown, other.unknown),
            (&mut self.reads, other.reads),
            (&mut self.rejected, other.rejected),
            (&mut self.overloaded, other.overloaded),
            (&mut self.fetches, other.fetches),
            (&mut self.installs, other.installs),
            (&mut self.wanted, other.wanted),
            (&mut self.reclaims, other.reclaims),
            (&mut self.losses, other.losses),
            (&mut self.uncounted, other.uncounted),
            (&mut self.cuts, other.cuts),
            (&mut self.reconfigured, other.reconfigured),
            (&mut self.transferred, other.transferred),
            (&mut self.handed_over, other.handed_over),
            (&mut self.voteless, other.voteless),
            (&mut self.lost, other.lost),
            (&mut self.rejects, other.rejects),
            (&mut self.gone, other.gone),
        ];
        for (total, one) in pairs {
            *total += one;
        }
        for (total, one) in self.turns.iter_mut().zip(other.turns) {
            *total += one;
        }
        self.longest_catch_up = self.longest_catch_up.max(other.longest_catch_up);
    }

    pub fn assert_everything_happened(&self, seeds: u64) {
        if seeds < 100 {
            return;
        }
        let often = [
            self.acknowledged / 20,
            self.primaries / 2,
            self.crashes,
            self.reads,
            self.promoted,
            self.reconfigured,
        ];
        assert!(often.iter().all(|count| *count > seeds), "{self:?}");
        let rare = [
            self.forced,
            self.unknown,
            self.overloaded,
            self.fetches,
            self.installs,
            self.wanted,
            self.reclaims,
            self.losses,
            self.uncounted,
            self.cuts,
            self.rejects,
            self.gone,
            self.transferred,
            self.handed_over,
            self.voteless,
            self.turns[0],
            self.turns[1],
            self.turns[2],
        ];
        assert!(rare.iter().all(|count| *count > 0), "{self:?}");
    }
}

impl World {
    /// After healing one promotion makes all equal, and then no more is missing than the level allows.
    pub(crate) fn check_liveness(&mut self) {
        let healed = self.now;
        if self.ledger.is_stuck() {
            self.loosen();
        }
        self.run_for(4);
        let best = self.best();
        if !self.leads(best) {
            self.promote_one(best);
        }
        assert!(self.leads(self.best()), "one promotion makes a primary");
        // Whoever is left out by a change hands over once that is committed: behind all that waits for tiny windows.
        self.run_until(self.now + Duration::from_mins(2), Self::is_settled);
        assert!(self.is_settled(), "changes are completed by whom they keep");
        let target = self.ledger.writes();
        let catch_up = self.now + Duration::from_secs(30);
        self.run_until(catch_up, |world| world.ledger.writes() > target);
        assert!(self.ledger.writes() > target, "a new write is acknowledged");
        self.check_equality();
        self.totals.longest_catch_up = self.now.since(healed);
        let leader = self.best();
        self.totals.gone = self.ledger.check_losses(&self.members[leader].state);
        self.check_orders();
    }

    /// Whether the one who leads stays, and no change is under way.
    fn is_settled(&self) -> bool {
        let best = &self.members[self.best()];
        let status = best.log.as_ref().unwrap().status();
        let configuration = best.configuration();
        status.role == RoleKind::Leader
            && status.committed >= status.configured
            && !configuration.is_joint()
            && configuration.votes(best.config.id)
    }

    fn run_for(&mut self, seconds: u64) {
        self.run_until(self.now + Duration::from_secs(seconds), |_| false);
    }

    fn promote_one(&mut self, member: usize) {
        let leads = |world: &Self| world.leads(member);
        self.order_round(member, None, false);
        self.run_until(self.now + Duration::from_secs(4), leads);
        if !self.leads(member) {
            // Another has more, but its state is void.
            self.order_round(member, None, true);
            self.run_until(self.now + Duration::from_secs(4), leads);
        }
        self.run_for(2);
    }

    fn check_equality(&mut self) {
        // A full log has to be compacted before it takes more.
        for member in 0..self.members.len() {
            self.snapshot(member);
        }
        self.run_for(5);
        let leader = self.best();
        let configuration = self.members[leader].configuration();
        let indices = 0..self.members.len();
        let members =
            indices.filter(|index| configuration.contains(self.members[*index].config.id));
        let members: Vec<_> = members.collect();
        self.quiet = true;
        self.tickets += 1;
        self.propose(leader, Ticket(self.tickets));
        let target = self.members[leader].written.last().position;
        let equal = |world: &Self| {
            let there = |index: usize| {
                let member = &world.members[index];
                let log = member.log.as_ref().unwrap();
                !log.is_void() && member.state.position >= target
            };
            members.iter().copied().all(there)
        };
        self.run_until(self.now + Duration::from_secs(30), equal);
        assert!(equal(self), "members do not catch up to {target}");
        self.run_for(2);
        let status = |index: usize| self.members[index].log.as_ref().unwrap().status();
        let state = &self.members[leader].state;
        for index in members.iter().copied() {
            let member = &self.members[index];
            assert_eq!(member.configuration(), configuration);
            assert_eq!(member.state.position, state.position);
            assert_eq!(member.state.entries, state.entries, "equal states");
            assert_eq!(status(index).epoch, status(leader).epoch);
            let leads = status(index).role == RoleKind::Leader;
            assert_eq!(leads, index == leader, "one primary");
        }
    }
}
