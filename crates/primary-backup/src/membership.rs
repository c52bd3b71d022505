//! Changes of members: by the primary alone, one at a time, through a joint configuration where voters change.
//!
//! ```text
//!   in force:     C_old          │      C_old and C_new      │           C_new
//!   log:     … entries entries [joint] entries … committed [simple] entries … committed: the order is answered
//! ```
//! As in Raft's joint consensus (extended version, section 6): what is committed, who is promoted and what is read counts
//! both halves while the configuration is joint, and the simple one is not appended before the joint one is committed. No
//! change begins before the primary has committed an entry of its own epoch and the change before. Where the same members
//! count before and after, one step is enough. A primary that finds a joint configuration in its log completes it.
//!
//! Who is left out is fed until that is committed, so that it hears of it, if it can be reached. A primary that is left out
//! serves on, hands over to another, and tries that again until one has taken over.

use alloc::vec::Vec;

use quorate_core::{
    Batch, Change, ChangeError, Configuration, Instant, Output, PeerStatus, Rejection, Report,
    Ticket,
};
use smallvec::smallvec;

use crate::Run;
use crate::member::{Out, PrimaryBackup};
use crate::peer::Peer;
use crate::role::Role;

impl PrimaryBackup {
    pub(crate) fn on_reconfigure(
        &mut self,
        now: Instant,
        ticket: Ticket,
        change: &Change,
        out: &mut Out,
    ) {
        let target = match self.target(now, change) {
            Ok(target) => target,
            Err(why) => return out.push(Output::Reject { ticket, why }),
        };
        if let Role::Primary(primary) = &mut self.role {
            primary.change = Some(ticket);
        }
        let joint = self.roster.configuration().joint(&target);
        self.append_configuration(now, &joint.unwrap_or(target), out);
    }

    /// What a change leads to, or why it cannot be begun. Outside of the budgets: it may be what unblocks a full log.
    fn target(&self, now: Instant, change: &Change) -> Result<Configuration, Rejection> {
        let Role::Primary(primary) = &self.role else {
            return Err(self.not_leader());
        };
        if self.handover.is_some() {
            return Err(self.nobody_leads());
        }
        if !self.disk.room {
            return Err(Rejection::NoRoom);
        }
        if primary.paused.is_some_and(|until| now < until) {
            let retry_after = self.config.heartbeat_interval;
            return Err(Rejection::Overloaded { retry_after });
        }
        if self.log.committed() < primary.first_own {
            return Err(ChangeError::TooEarly.into());
        }
        if self.roster.open().is_some() {
            return Err(ChangeError::UnderWay.into());
        }
        Ok(self.roster.configuration().changed(change)?)
    }

    fn append_configuration(&mut self, now: Instant, next: &Configuration, out: &mut Out) {
        let epoch = self.agreed.standing.epoch;
        let batch = Batch::configuration(next);
        self.append_own(now, smallvec![Run { epoch, batch }], out);
    }

    /// The last entry of the log says who the members are: from now on, committed or not.
    pub(crate) fn reconfigure(&mut self, run: &Run) {
        let configuration = run.configured();
        let configuration = configuration.expect("it was checked when it was heard");
        let at = self.log.last().position;
        self.roster.append(at, configuration, self.log.committed());
        self.seat();
    }

    /// A primary knows of every other member, in the order of the links.
    fn seat(&mut self) {
        let Role::Primary(primary) = &mut self.role else {
            return;
        };
        let next = self.log.last().position.next();
        let known = core::mem::take(&mut primary.peers);
        let mut known = known.into_iter().peekable();
        for link in self.roster.links() {
            while known.next_if(|peer| peer.id < link.id).is_some() {}
            let peer = known.next_if(|peer| peer.id == link.id);
            let peer = peer.unwrap_or_else(|| Peer::new(link.id, next));
            primary.peers.push(peer);
        }
    }

    /// What follows for the members from what is committed by now: who is left out is fed no more, a joint configuration is
    /// left, an order is answered, a primary that is left out hands over.
    pub(crate) fn settle(&mut self, now: Instant, out: &mut Out) {
        let committed = self.log.committed();
        if self.roster.settle(committed) {
            self.seat();
            // Fewer answers may be enough now.
            self.settle_reads(now, out);
        }
        let Role::Primary(primary) = &mut self.role else {
            return;
        };
        if self.roster.open().is_some() || committed < primary.first_own {
            return;
        }
        if self.roster.configuration().is_joint() {
            if self.handover.is_none() {
                let next = self.roster.configuration().settled();
                self.append_configuration(now, &next, out);
            }
            return;
        }
        if let Some(ticket) = primary.change.take() {
            let at = self.roster.configured();
            out.push(Output::Report(Report::Reconfigured { ticket, at }));
        }
        if !self.roster.stands() {
            self.leave(now, out);
        }
    }

    /// Where the others are, if this member is primary.
    pub(crate) fn peer_status(&self) -> Vec<PeerStatus> {
        let Role::Primary(primary) = &self.role else {
            return Vec::new();
        };
        let configuration = self.roster.configuration();
        let peers = primary.peers.iter();
        let members = peers.filter(|peer| configuration.contains(peer.id));
        let status = |peer: &Peer| PeerStatus {
            id: peer.id,
            matched: peer.matched,
            heard: peer.heard.unwrap_or(Instant::ZERO),
        };
        members.map(status).collect()
    }
}
