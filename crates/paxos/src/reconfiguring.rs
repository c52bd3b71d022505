//! Who the members are changes by a stop-sign: a configuration in the log behind which the leader proposes nothing until it
//! is chosen and another set of voters answers for what comes after.
//!
//! ```text
//!  slots    1 … 6  │7: members 1 2 4│  8 …
//!  voters   1 2 3  │     1 2 3      │  1 2 4     a slot is governed by the last configuration before it
//! ```
//! (The special command of Paxos Made Simple, 3, with nothing in flight behind it, as in Stoppable Paxos, Malkhi, Lamport,
//! Zhou 2008. Why not a window of α slots: `docs/paxos.md`.)
//!
//! # Why it is safe
//! A configuration is in force at a member from when it hands it out: it holds the chosen value of every slot up to there,
//! so it knows which voters govern the next one, up to the next configuration. A proposer asks the voters of the
//! configuration that it has in force, and counts those; if another comes into force it gives up its ballot. Call a
//! proposal *proper* if its proposer asked the voters that govern the slot. The rules are:
//!
//! 1. *Nothing behind an open configuration.* Once a proposer has proposed a configuration in its ballot, its own or one
//!    that phase 1 has bound it to, it proposes in no slot behind it. An own one it proposes only behind everything that
//!    phase 1 found and everything that it has proposed, so there is nothing behind it either.
//! 2. *Phase 1 stops at the first configuration.* What was voted for behind it is left alone.
//! 3. *Nobody enters a configuration with a lower promise than the ballot that chose it, on its own disk.* It is handed out
//!    only while the promised ballot is on disk ([`Paxos::deliver`]): what tells a member that it is chosen is a leader whose
//!    ballot it has promised, and that ballot is the one that chose it or a later one. A snapshot is fetched likewise.
//!
//! Let *c* be the slot of a configuration *C*, chosen first in ballot *b*. Who proposes properly behind *c* has entered *C*,
//! and bids above its promise, so above *b* (3). Who proposes there without having entered *C* has asked former voters. Were
//! its ballot above *b*, then its phase 1, which begins at or before *c*, would have found the configuration in *c*, and it
//! would have proposed nothing behind it (1, 2). So its ballot is below *b*: *whatever was improperly proposed behind c
//! is in lower ballots than all that is proper*. Then the proof for one set of voters goes through slot by slot: if *v* is
//! properly chosen in a slot in ballot *d*, any higher ballot that proposes there is proper, its phase 1 shares a
//! member with the quorum of *d*, and the highest ballot it is told of is *d* or a later, proper one.
//!
//! Old votes behind a stop-sign are thus harmless: nobody counts them, since no leader of their ballots is left that might;
//! a proper phase 1 may carry one on if it finds nothing proper, for nothing can have been chosen then. Only configurations
//! it does not carry on (`Paxos::lead`, in `proposer`). What a former leader has counted as chosen behind a hole may
//! lie behind a stop-sign in the end; it forgets that when it stops to lead ([`Learner::doubt`]).
//!
//! Where the same members vote before and after, a leader goes on in its ballot: the voters that govern the slots behind
//! have promised it. It may, if the configuration is its own: behind one that phase 1 has found, there may be more to
//! find.
//!
//! [`Learner::doubt`]: crate::learner::Learner::doubt

use quorate_core::{
    Change, ChangeError, Configuration, Instant, Output, Position, Rejection, Report, Ticket,
};

use crate::Value;
use crate::paxos::{Out, Paxos};
use crate::peer::Peer;
use crate::proposer::Proposer;

/// A configuration that a leader has proposed and that is not chosen yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stop {
    pub(crate) at: Position,
    /// The operator who asked this leader for it; none: phase 1 found it.
    asked: Option<Ticket>,
}

impl Stop {
    /// One that phase 1 has found.
    pub(crate) const fn found(at: Position) -> Self {
        Self { at, asked: None }
    }
}

impl Paxos {
    pub(crate) fn on_reconfigure(
        &mut self,
        now: Instant,
        ticket: Ticket,
        change: &Change,
        out: &mut Out,
    ) {
        let value = match self.successor(change) {
            Ok(value) => value,
            Err(why) => return out.push(Output::Reject { ticket, why }),
        };
        let at = self.acceptor.slots.last().next();
        self.propose(now, value, out);
        if let Proposer::Leading(leading) = &mut self.proposer {
            let asked = Some(ticket);
            leading.stop = Some(Stop { at, asked });
        }
    }

    /// The configuration to propose, or why there is none.
    fn successor(&self, change: &Change) -> Result<Value, Rejection> {
        let Proposer::Leading(leading) = &self.proposer else {
            return Err(self.not_leader());
        };
        if leading.stop.is_some() {
            return Err(ChangeError::UnderWay.into());
        }
        // What phase 1 found is the last word of former leaders; a change follows from what is known, not from what may be.
        if self.acceptor.slots.settled() < leading.found {
            return Err(ChangeError::TooEarly.into());
        }
        let next = self.roster.configuration().changed(change)?;
        if !self.roster.fits(&next) {
            return Err(ChangeError::Quorums.into());
        }
        let after = self.roster.configured();
        let value = Value::configuration(self.acceptor.promised(), &next, after);
        match self.refuse(&value.batch) {
            Some(why) => Err(why),
            None => Ok(value),
        }
    }

    /// Hands out what is chosen, up to the first hole. Every configuration among it is in force at once; true: there was
    /// one.
    ///
    /// A configuration waits for the promise to be on disk. Otherwise a snapshot that includes it might survive a crash
    /// that the promise does not, and this member bid under the new configuration below the ballot that chose it.
    pub(crate) fn deliver(&mut self, now: Instant, out: &mut Out) -> bool {
        let mut changed = false;
        loop {
            let spoken = self.acceptor.is_spoken();
            let slots = &mut self.acceptor.slots;
            let Some((at, configuration)) = self.learner.deliver(slots, spoken, out) else {
                return changed;
            };
            changed = true;
            self.change(now, at, configuration, out);
        }
    }

    /// Another configuration is in force.
    pub(crate) fn change(
        &mut self,
        now: Instant,
        at: Position,
        configuration: Configuration,
        out: &mut Out,
    ) {
        if let Some((leading, _, view)) = self.lead_view(now) {
            // The last that those hear who are no members any more.
            for peer in &mut leading.peers {
                peer.tell(&view, out);
            }
        }
        let same = self.roster.enter(at, configuration);
        self.elector.enter(self.config.id, &self.roster);
        match &mut self.proposer {
            Proposer::Idle => {}
            Proposer::Preparing(_) => self.step_down(now, out),
            Proposer::Leading(leading) => {
                let stop = leading.stop.take();
                let stop = stop.expect("a leader hands out no configuration but its own proposal");
                assert_eq!(stop.at, at, "nothing is chosen behind a stop-sign");
                if let Some(ticket) = stop.asked {
                    out.push(Output::Report(Report::Reconfigured { ticket, at }));
                }
                if same && stop.asked.is_some() {
                    self.lead_on(now, out);
                } else {
                    self.lead_anew(now, out);
                }
            }
        }
    }

    /// The same members vote: they have promised this ballot for every slot.
    fn lead_on(&mut self, now: Instant, out: &mut Out) {
        let Some((leading, roster, view)) = self.lead_view(now) else {
            return;
        };
        let known = core::mem::take(&mut leading.peers);
        let peers = roster.others.iter().map(|(id, _)| {
            let known = known.iter().find(|peer| peer.id == *id);
            known
                .cloned()
                .unwrap_or_else(|| Peer::new(*id, None, &view))
        });
        leading.peers = peers.collect();
        self.heartbeat(now, out);
        self.pump_all(now, out);
    }

    /// Others vote: what comes next needs their promises, for a ballot of this member or, if it has no vote, of one that
    /// has. It hands over to who knows all that is chosen; if nobody does yet, it bids itself and brings them what they lack
    /// first.
    fn lead_anew(&mut self, now: Instant, out: &mut Out) {
        let heir = (!self.roster.voter).then(|| self.heir()).flatten();
        let ballot = self.acceptor.promised();
        self.step_down(now, out);
        match heir {
            Some(heir) => self.ask_to_bid(heir, ballot, out),
            None => self.campaign(now, None, out),
        }
    }
}
