//! How a member becomes primary: by the word of its operator, and how a primary that starts again goes on.
//!
//! Without force this takes two questions to the others. The first promises nothing: it finds out whether another has more
//! before anybody is disturbed, and makes a primary that still serves pause, so that this member can catch up. The second
//! fences: whoever answers takes nothing of a lower epoch any more, so what is counted in the answers can only shrink
//! behind the back of a former primary, never grow. Where writes are acknowledged by a quorum, the answers of a quorum then
//! show that nothing acknowledged is missing here (Raft's election restriction, 5.4.1, with the operator as the candidate).
//!
//! Who is asked, and what a quorum is, says the configuration in force here, the last one in this log. A member that knows a
//! later one has more, so that nobody wins against a configuration that it does not know: it is behind. Only who counts is
//! asked. A member that is left out is refused as soon as it knows that this is committed; before, it may be the only one
//! that has what it takes.

use quorate_core::{
    Epoch, Instant, NodeId, Output, Position, Rejection, Report, Ticket, Unfit, WriteAck,
};
use smallvec::SmallVec;

use crate::epoch::{again, appoint, appointment};
use crate::member::{Out, PrimaryBackup};
use crate::role::{Campaign, Cause, Rising, Role};
use crate::{Message, Point, Standing};

impl PrimaryBackup {
    pub(crate) fn on_promote(
        &mut self,
        now: Instant,
        ticket: Ticket,
        (round, force): (Option<u64>, bool),
        out: &mut Out,
    ) {
        let epoch = match self.admit(round, force) {
            Ok(epoch) => epoch,
            Err(why) => return out.push(Output::Reject { ticket, why }),
        };
        let cause = Cause::Order(ticket);
        if force {
            let missing = self.missing(&[]);
            let appointed = true;
            self.agree(Standing { epoch, appointed }, out);
            return self.rise(now, cause, missing, out);
        }
        self.inquire(now, cause, epoch, out);
    }

    /// Asks the others how far they are, without a promise.
    pub(crate) fn inquire(&mut self, now: Instant, cause: Cause, epoch: Epoch, out: &mut Out) {
        let campaign = self.campaign(now, cause, epoch);
        if let Role::Backup(backup) = &mut self.role {
            backup.asking = Some(campaign);
        }
        self.ask(out);
        self.consider(now, out);
    }

    /// The epoch of a promotion, or why there is none.
    pub(crate) fn admit(&self, round: Option<u64>, force: bool) -> Result<Epoch, Rejection> {
        let busy = match &self.role {
            Role::Backup(backup) => backup.asking.is_some(),
            // One that goes on by itself may wait for a quorum that never comes back.
            Role::Fencing(campaign) => campaign.cause != Cause::Start || !force,
            Role::Rising(_) | Role::Primary(_) => true,
        };
        if busy {
            return Err(Unfit::Busy.into());
        }
        if !self.roster.stands() && !force {
            return Err(Unfit::NoVote(self.config.id).into());
        }
        if self.state.void.is_some() {
            return Err(Unfit::Diverged.into());
        }
        if !self.disk.room {
            return Err(Rejection::NoRoom);
        }
        // The first appointment is the config's, whether it was heard of or not.
        let first = appoint(1, self.config.primary).unwrap_or_default();
        let known = self.agreed.standing.epoch.max(first);
        let round = round.unwrap_or(appointment(known) + 1);
        let epoch = appoint(round, self.config.id).filter(|_| round > appointment(known));
        epoch.ok_or(Unfit::Stale { known }.into())
    }

    fn campaign(&self, now: Instant, cause: Cause, epoch: Epoch) -> Campaign {
        let patience = now + self.config.patience;
        Campaign {
            cause,
            epoch,
            answers: SmallVec::new(),
            due: now + self.config.heartbeat_interval,
            deadline: (cause != Cause::Start).then_some(patience),
        }
    }

    /// Goes on as primary after a start, in a new epoch of the same appointment.
    pub(crate) fn resume(&mut self, now: Instant, out: &mut Out) {
        let epoch = match self.agreed.standing.epoch {
            Epoch { round: 0, .. } => appoint(1, self.config.id),
            epoch => again(epoch),
        };
        let Some(epoch) = epoch else {
            return;
        };
        let appointed = true;
        self.agree(Standing { epoch, appointed }, out);
        if !self.asks_a_quorum() {
            return self.rise(now, Cause::Start, None, out);
        }
        self.role = Role::Fencing(self.campaign(now, Cause::Start, epoch));
        self.ask(out);
        self.consider(now, out);
    }

    /// Asks everybody who counts, once more, and who hands over.
    fn ask(&mut self, out: &mut Out) {
        let fencing = matches!(self.role, Role::Fencing(_));
        let Some(Campaign { cause, epoch, .. }) = self.campaign_mut() else {
            return;
        };
        let (former, epoch) = (cause.former(), *epoch);
        let question = if fencing {
            Message::Fence { epoch }
        } else {
            Message::Inquire { epoch }
        };
        let mut asked = self.roster.quorum().members();
        asked.retain(|id| *id != self.config.id);
        asked.extend(former.filter(|former| !self.roster.votes(*former)));
        for member in asked {
            self.send(member, question.clone(), out);
        }
    }

    /// Whether `id` hands over to this member, and so answers for itself even if it is a member no more.
    pub(crate) fn is_handed_over_by(&self, id: NodeId) -> bool {
        let campaign = match &self.role {
            Role::Backup(backup) => backup.asking.as_ref(),
            Role::Fencing(campaign) => Some(campaign),
            Role::Rising(_) | Role::Primary(_) => None,
        };
        let former = campaign.and_then(|campaign| campaign.cause.former());
        former == Some(id)
    }

    pub(crate) fn tick_fencing(&mut self, now: Instant, out: &mut Out) {
        self.tick_campaign(now, out);
    }

    /// Asks again when it is time, and decides when there is no more.
    pub(crate) fn tick_campaign(&mut self, now: Instant, out: &mut Out) {
        let interval = self.config.heartbeat_interval;
        let Some(campaign) = self.campaign_mut() else {
            return;
        };
        if campaign.due <= now {
            campaign.due = now + interval;
            self.ask(out);
        }
        self.consider(now, out);
    }

    fn campaign_mut(&mut self) -> Option<&mut Campaign> {
        match &mut self.role {
            Role::Backup(backup) => backup.asking.as_mut(),
            Role::Fencing(campaign) => Some(campaign),
            Role::Rising(_) | Role::Primary(_) => None,
        }
    }

    /// Whether the others are asked how far they are, without a promise, before this member seeks `epoch`.
    pub(crate) fn is_asking(&self, epoch: Epoch) -> bool {
        match &self.role {
            Role::Backup(backup) => {
                let asking = backup.asking.as_ref();
                asking.is_some_and(|asking| asking.epoch == epoch)
            }
            Role::Fencing(_) | Role::Rising(_) | Role::Primary(_) => false,
        }
    }

    /// Somebody is about to be promoted. A primary takes no writes for a moment, so that it can catch up.
    pub(crate) fn on_inquire(&mut self, now: Instant, from: NodeId, epoch: Epoch, out: &mut Out) {
        let known = self.agreed.standing.epoch;
        if epoch <= known {
            return self.send(from, Message::NewEpoch { epoch: known }, out);
        }
        let counts = self.roster.votes(from);
        if let Role::Primary(primary) = &mut self.role
            && counts
        {
            primary.paused = Some(now + self.config.heartbeat_interval.saturating_mul(3));
        }
        self.answer(from, epoch, out);
    }

    /// Says how far this member is.
    pub(crate) fn answer(&mut self, to: NodeId, asked: Epoch, out: &mut Out) {
        let epoch = self.agreed.standing.epoch;
        let last = self.log.last();
        self.send(to, Message::Position { epoch, asked, last }, out);
    }

    pub(crate) fn on_position(
        &mut self,
        now: Instant,
        from: NodeId,
        (asked, last): (Epoch, Point),
        out: &mut Out,
    ) {
        let Some(campaign) = self
            .campaign_mut()
            .filter(|campaign| campaign.epoch == asked)
        else {
            return;
        };
        campaign.note(from, last);
        if let Some((epoch, position)) = &mut self.heard_of
            && epoch.node == from
        {
            *position = last.position.max(*position);
        }
        self.consider(now, out);
    }

    /// Goes on, gives up, or waits for more answers.
    pub(crate) fn consider(&mut self, now: Instant, out: &mut Out) {
        let (own, id) = (self.log.last(), self.config.id);
        let fencing = matches!(self.role, Role::Fencing(_));
        let Some(campaign) = self.campaign_mut() else {
            return;
        };
        let campaign = campaign.clone();
        if self.state.void.is_some() {
            // The primary has shown meanwhile that what was committed here is lost.
            return self.give_up(now, Unfit::Diverged, out);
        }
        let overdue = campaign.deadline.is_some_and(|deadline| deadline <= now);
        let answered = |member| member == id || campaign.has(member);
        // Once a quorum has agreed where it acknowledges, a former primary that is not heard can do no harm.
        let harmless = fencing && overdue && self.asks_a_quorum();
        let agreed = harmless || campaign.cause.former().is_none_or(answered);
        let counts = |member| self.roster.votes(member);
        let enough = self.roster.quorum().reached(answered) || (overdue && self.needs_no_quorum());
        if let Some((member, Point { position, epoch })) = campaign.ahead(own, counts) {
            // While it is only asked, entries still come in.
            if fencing || overdue {
                let last = position;
                self.give_up(
                    now,
                    Unfit::Behind {
                        member,
                        last,
                        epoch,
                    },
                    out,
                );
            }
        } else if agreed && enough {
            self.proceed(now, &campaign, out);
        } else if overdue {
            self.give_up(now, Unfit::NoQuorum, out);
        }
    }

    /// Whether this member may be primary even if too few answer.
    ///
    /// Where all acknowledge, it has whatever is acknowledged, if it counts. It may err in that only while it sees voters
    /// change: who joins counts for nothing before the joint configuration is committed, and who leaves has that one on
    /// its disk before it counts for nothing any more.
    fn needs_no_quorum(&self) -> bool {
        match self.config.write_ack {
            WriteAck::None | WriteAck::One => true,
            WriteAck::Quorum => false,
            WriteAck::All => {
                let joint = self.roster.configuration().is_joint();
                self.roster.votes(self.config.id) && !joint
            }
        }
    }

    fn proceed(&mut self, now: Instant, campaign: &Campaign, out: &mut Out) {
        let Campaign { cause, epoch, .. } = *campaign;
        if let Role::Fencing(_) = self.role {
            let missing = self.missing(&campaign.answers);
            let appointed = true;
            if !self.agreed.standing.appointed {
                self.agree(Standing { epoch, appointed }, out);
            }
            return self.rise(now, cause, missing, out);
        }
        let appointed = false;
        self.agree(Standing { epoch, appointed }, out);
        self.role = Role::Fencing(self.campaign(now, cause, epoch));
        self.ask(out);
        self.consider(now, out);
    }

    /// Stays backup. An epoch that it has fenced stays so: without a primary, until another is promoted.
    fn give_up(&mut self, now: Instant, why: Unfit, out: &mut Out) {
        if let Role::Backup(backup) = &mut self.role {
            let asking = backup.asking.take();
            if let Some(ticket) = asking.and_then(|asking| asking.cause.ticket()) {
                let why = why.into();
                out.push(Output::Reject { ticket, why });
            }
            return;
        }
        self.become_backup(now, why, out);
    }

    /// How many entries the former primary is known to have had that are not here.
    fn missing(&self, answers: &[(NodeId, Point)]) -> Option<u64> {
        let (_, heard) = self.heard_of?;
        let others = answers.iter().map(|(_, last)| last.position);
        let most: Position = others.chain([heard]).max()?;
        Some(most.get().saturating_sub(self.log.last().position.get()))
    }

    /// Waits for its appointment to be on disk; nothing is left to decide.
    fn rise(&mut self, now: Instant, cause: Cause, missing: Option<u64>, out: &mut Out) {
        let mark = self.agreed.mark;
        self.role = Role::Rising(Rising {
            cause,
            mark,
            missing,
        });
        self.rise_if_durable(now, out);
    }

    pub(crate) fn rise_if_durable(&mut self, now: Instant, out: &mut Out) {
        let Role::Rising(rising) = &self.role else {
            return;
        };
        if rising.mark > self.disk.durable() {
            return;
        }
        let (cause, missing) = (rising.cause, rising.missing);
        if let Some(ticket) = cause.ticket() {
            let epoch = self.agreed.standing.epoch;
            out.push(Output::Report(Report::Promoted {
                ticket,
                epoch,
                missing,
            }));
        }
        self.become_primary(now, out);
        if let Some(former) = cause.former() {
            self.greet(former, out);
        }
    }
}
