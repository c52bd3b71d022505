//! Reads, from the door to the answer, and the questions of other members about theirs.

use super::event::{Clock, Effect, Effects};
use super::reads::{Question, ReadFrom};
use super::{Parcel, ReadCall, ReadLevel, Replica};
use crate::{Input, Instant, NodeId, Position, Rejection, ReplicatedLog, StateMachine, Ticket};

impl<L: ReplicatedLog, S: StateMachine> Replica<L, S> {
    /// Takes a client's read; its fate is one [`Effect::Read`] or [`Effect::Fail`] under `ticket`. What needs nobody is
    /// answered at once, the rest leaves with the next [`Self::flush`].
    pub fn read(
        &mut self,
        clock: Clock,
        ticket: Ticket,
        call: impl Into<ReadCall>,
        out: &mut Effects<L, S>,
    ) {
        let call = call.into();
        let state = self.readable(call.level);
        let taken = match self.reads.at_once(clock.now, call.level, state) {
            Some(stamp) if call.after <= stamp.applied => {
                out.push(Effect::Read { ticket, stamp });
                Ok(())
            }
            Some(stamp) => self.reads.wait(clock.now, ticket, (call.after, stamp)),
            None => self.reads.submit(ticket, call),
        };
        if let Err(failure) = taken {
            out.push(Effect::Fail { ticket, failure });
        }
    }

    /// The last position of the state, unless it is about to jump, or may hold what is lost and that matters.
    fn readable(&self, level: ReadLevel) -> Option<Position> {
        let sound = level == ReadLevel::Local || self.log.is_sound();
        (self.state.loading.is_none() && sound).then_some(self.state.applied)
    }

    /// While a snapshot is being loaded no read is answered: the state is about to jump.
    pub(super) fn applied_for_reads(&self) -> Position {
        self.readable(ReadLevel::Linearizable)
            .unwrap_or(Position::ZERO)
    }

    /// Asks whoever leads from where on reads may be answered.
    pub(super) fn ask(&mut self, now: Instant, out: &mut Effects<L, S>) {
        while let Some(leader) = self.leading.status.leader {
            let Some(question) = self.reads.ask(now, self.leading.status.epoch) else {
                return;
            };
            if leader == self.config.id {
                self.on_question(now, leader, question, out);
            } else {
                let Question { round, lease } = question;
                out.push(Effect::Send {
                    to: leader,
                    parcel: Parcel::ReadAt { round, lease },
                });
            }
        }
    }

    /// A question came in before `now`. What a lease says at `now` includes all that was acknowledged until then, and so all
    /// that was when the read began: however long the answer takes from here, it stays right.
    pub(super) fn on_question(
        &mut self,
        now: Instant,
        from: NodeId,
        question: Question,
        out: &mut Effects<L, S>,
    ) {
        let Question { round, lease } = question;
        let leased = if lease { self.log.lease(now) } else { None };
        if let Some(at) = leased {
            return self.answer(now, (from, round, true), Ok(at), out);
        }
        let ticket = self.next_ticket();
        if self.reads.on_question(ticket, from, round) {
            self.step_log(now, Input::Read { ticket }, out);
            return;
        }
        let why = Rejection::Overloaded {
            retry_after: self.config.retry_after,
        };
        self.answer(now, (from, round, false), Err(why), out);
    }

    pub(super) fn on_read_answer(
        &mut self,
        now: Instant,
        ticket: Ticket,
        answer: Result<Position, Rejection>,
        out: &mut Effects<L, S>,
    ) {
        if let Some((from, round)) = self.reads.asked_by(ticket) {
            self.answer(now, (from, round, false), answer, out);
        }
    }

    fn answer(
        &mut self,
        now: Instant,
        (to, round, leased): (NodeId, u64, bool),
        answer: Result<Position, Rejection>,
        out: &mut Effects<L, S>,
    ) {
        if to == self.config.id {
            self.on_read_from(now, round, leased, answer);
        } else {
            let parcel = Parcel::ReadFrom {
                round,
                leased,
                answer,
            };
            out.push(Effect::Send { to, parcel });
        }
    }

    pub(super) fn on_read_from(
        &mut self,
        now: Instant,
        round: u64,
        leased: bool,
        answer: Result<Position, Rejection>,
    ) {
        let answer = answer.map(|at| ReadFrom { at, leased });
        self.reads.on_answer(now, round, answer);
    }
}
