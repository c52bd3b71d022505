//! What has to be true once everything is well again, and what has to have happened before.

use std::time::Duration;

use quorate_core::{Configuration, Input, ReplicatedLog, RoleKind, Ticket};
use quorate_raft::Raft;

use crate::world::{ELECTION, World};

/// What happened in a run: a test that provokes nothing proves nothing.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    pub steps: u64,
    pub chosen: u64,
    pub leaders: u64,
    pub crashes: u64,
    pub reads: u64,
    pub rejected: u64,
    pub overloaded: u64,
    pub fetches: u64,
    pub installs: u64,
    pub reclaims: u64,
    pub lost: u64,
    pub rejects: u64,
    pub joined: u64,
    pub reconfigured: u64,
    pub transferred: u64,
    pub declined: u64,
    pub leased: u64,
    pub longest_catch_up: Duration,
}

impl Totals {
    pub fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.chosen += other.chosen;
        self.leaders += other.leaders;
        self.crashes += other.crashes;
        self.reads += other.reads;
        self.rejected += other.rejected;
        self.overloaded += other.overloaded;
        self.fetches += other.fetches;
        self.installs += other.installs;
        self.reclaims += other.reclaims;
        self.lost += other.lost;
        self.rejects += other.rejects;
        self.joined += other.joined;
        self.reconfigured += other.reconfigured;
        self.transferred += other.transferred;
        self.declined += other.declined;
        self.leased += other.leased;
        self.longest_catch_up = self.longest_catch_up.max(other.longest_catch_up);
    }

    pub fn assert_everything_happened(&self, seeds: u64) {
        if seeds < 50 {
            return;
        }
        assert!(
            self.chosen > 20 * seeds && self.leaders > 2 * seeds,
            "{self:?}"
        );
        assert!(self.crashes > seeds && self.reads > seeds, "{self:?}");
        let rare = [
            self.fetches,
            self.installs,
            self.reclaims,
            self.lost,
            self.rejects,
            self.joined,
            self.reconfigured,
            self.transferred,
            self.declined,
            self.leased,
        ];
        assert!(rare.iter().all(|count| *count > 0), "{self:?}");
    }
}

impl World {
    /// Whoever leads in the highest term: one of a former term that nobody hears may not know it yet.
    fn newest_leader(&self) -> Option<(usize, &Raft)> {
        let running = self.members.iter().enumerate();
        let running = running.filter_map(|(index, member)| Some((index, member.raft.as_ref()?)));
        let leaders = running.filter(|(_, raft)| raft.status().role == RoleKind::Leader);
        leaders.max_by_key(|(_, raft)| raft.status().epoch)
    }

    /// A change that was under way when all was healed comes to its end: the configuration in force is chosen and not
    /// joint, and a leader that it leaves out has made way. As long as that takes, entries go through narrow windows.
    fn check_settled(&mut self) -> (usize, Configuration) {
        let settled = |world: &Self| {
            world.newest_leader().is_some_and(|(index, raft)| {
                let (status, present) = (raft.status(), raft.configuration());
                let chosen = status.configured <= status.committed;
                chosen && !present.is_joint() && present.votes(world.members[index].config.id)
            })
        };
        self.run_until(self.now + Duration::from_secs(30), settled);
        assert!(settled(self), "a change of members is completed");
        let (leader, raft) = self.newest_leader().unwrap();
        (leader, raft.configuration().clone())
    }

    /// L1, L2, L3: a leader within ten election timeouts, new writes chosen, logs equal.
    pub(crate) fn check_liveness(&mut self) {
        let healed = self.now;
        let patience = ELECTION * 10;
        let target = self.ledger.chosen();
        let members = self.members.len();
        let led = |world: &Self| (0..members).any(|index| world.leads(index));
        self.run_until(healed + patience, led);
        // One that led before the healing may still have to make way.
        self.run_until(healed + patience, |_| false);
        assert!(led(self), "no leader within {patience:?}");
        // The narrowest windows let one entry through a round trip.
        let catch_up = self.now + Duration::from_secs(30);
        self.run_until(catch_up, |world| world.ledger.chosen() > target);
        assert!(self.ledger.chosen() > target, "a new write is chosen");
        self.totals.longest_catch_up = self.now.since(healed);
        let (leader, configuration) = self.check_settled();
        // A full log has to be compacted before it takes more.
        for member in 0..self.members.len() {
            self.snapshot(member);
        }
        self.run_until(self.now + patience, |_| false);
        self.tickets += 1;
        self.propose(leader, Ticket(self.tickets));
        let target = self.members[leader].written.last().position;
        let equal = |world: &Self| {
            let present = world.members.iter();
            let mut present = present.filter(|member| configuration.contains(member.config.id));
            present.all(|member| member.state.position >= target)
        };
        self.run_until(self.now + Duration::from_secs(30), equal);
        assert!(equal(self), "members do not catch up to {target}");
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.reads.insert(ticket, self.ledger.chosen());
        let reads = self.totals.reads;
        self.step(leader, Input::Read { ticket });
        let answered = |world: &Self| !world.reads.contains_key(&ticket);
        self.run_until(self.now + patience, answered);
        assert!(self.totals.reads > reads, "a read is answered");
    }
}
