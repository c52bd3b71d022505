//! Changing who the members are, by joint consensus (Raft, extended version, section 6).
//!
//! ```text
//!  in force:  C_old            C_old,new                        C_new
//!  log:       ·····[C_old,new].....................[C_new]................
//!                       │                      ▲       │                ▲
//!                       └─ majorities of both ─┘       └─ majority of ──┘── reported; a leader outside of it
//!                          halves have it on disk         C_new            hands over and steps down
//! ```
//! The last configuration in the log is in force, chosen or not, on every member that has it. There is no moment at which
//! a majority of the old voters alone and one of the new alone could both decide. Where the voters stay the same, the
//! step between is left out: old and new majorities are the same.

use quorate_core::{
    Batch, Change, ChangeError, Configuration, Instant, Output, Rejection, Report, Ticket,
};

use crate::raft::{Out, Raft};
use crate::role::Role;

impl Raft {
    pub(crate) fn on_reconfigure(
        &mut self,
        now: Instant,
        ticket: Ticket,
        change: &Change,
        out: &mut Out,
    ) {
        match self.next_configuration(change) {
            Err(why) => out.push(Output::Reject { ticket, why }),
            Ok(next) => {
                self.append_configuration(now, next, out);
                if let Role::Leader(leader) = &mut self.role {
                    leader.change = Some(ticket);
                }
            }
        }
    }

    /// The first step of a change, or why there is none. Before an entry of the own term is chosen, a change that a
    /// former leader began may still come to light (`KNOWN_BUGS` B19).
    fn next_configuration(&self, change: &Change) -> Result<Configuration, Rejection> {
        let Role::Leader(leader) = &self.role else {
            return Err(self.not_leader());
        };
        if self.transfer.is_some() {
            return Err(self.handing_over());
        }
        if self.log.committed() < leader.first_own {
            return Err(ChangeError::TooEarly.into());
        }
        if self.roster.open().is_some() {
            return Err(ChangeError::UnderWay.into());
        }
        let present = self.roster.configuration();
        let target = present.changed(change)?;
        Ok(present.joint(&target).unwrap_or(target))
    }

    /// Appends a configuration, in force at once: who is new is sent it like everybody. Outside of every budget, as the
    /// no-op is: what is under way has to be completed, and there is one at a time.
    fn append_configuration(&mut self, now: Instant, next: Configuration, out: &mut Out) {
        let batch = Batch::configuration(&next);
        let at = self.log.last().position.next();
        self.roster.append(at, next, self.log.committed());
        self.reseat(now);
        self.append_own(now, batch, out);
        // Those who have answered may be a quorum now; if nobody else is left, nothing else would say so.
        self.settle_reads(now, out);
    }

    /// After a leader has committed: goes on with a change that is under way, or ends it.
    pub(crate) fn settle_change(&mut self, now: Instant, out: &mut Out) {
        let settled = self.roster.settle(self.log.committed());
        if settled {
            self.reseat(now);
        }
        if self.roster.open().is_some() {
            return;
        }
        if self.roster.configuration().is_joint() {
            // It may have been chosen long ago, under a former leader that did not come to this.
            let target = self.roster.configuration().settled();
            self.append_configuration(now, target, out);
        } else if settled || !self.roster.stands() {
            self.end_change(now, out);
        }
    }

    /// The configuration in force is chosen and not joint.
    fn end_change(&mut self, now: Instant, out: &mut Out) {
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        if let Some(ticket) = leader.change.take() {
            let at = self.roster.configured();
            out.push(Output::Report(Report::Reconfigured { ticket, at }));
        }
        if self.is_left_out() {
            self.retire(now, out);
        }
    }

    /// Whether this member has no vote in what is in force and chosen.
    pub(crate) fn is_left_out(&self) -> bool {
        self.roster.open().is_none() && !self.roster.votes(self.config.id)
    }

    /// Gives every member of the roster its place among the leader's peers. What is known of those that stay is kept.
    fn reseat(&mut self, now: Instant) {
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        let next = self.log.last().position.next();
        leader.seat(self.roster.peers(), next, now);
        // Whoever answered, answered as a member of the configuration before.
        leader.lease.restart();
    }
}
