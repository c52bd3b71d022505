//! Commands of sessions, from the door to the reply.

use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::Bytes;
use serde::Serialize;

use super::event::{Clock, Effect, Effects};
use super::sessions::Admission;
use super::{Failure, Replica};
use crate::{
    At, Position, ReplicatedLog, SessionCall, SessionError, SessionId, StateMachine, Ticket,
};

/// What became of a call when its turn came in the log.
enum Outcome<R> {
    Opened(SessionId),
    Closed,
    Reply(Position, R),
    Failed(Failure),
}

impl<L: ReplicatedLog, S: StateMachine> Replica<L, S> {
    /// Takes what a client asks of its session; `command` is what [`SessionCall::Apply`] applies. Its fate is one
    /// [`Effect::Reply`], [`Effect::Opened`], [`Effect::Closed`] or [`Effect::Fail`] under `ticket`. What is known here
    /// already is answered at once, the rest leaves with the next [`Self::flush`].
    pub fn call(
        &mut self,
        clock: Clock,
        ticket: Ticket,
        call: SessionCall,
        command: Bytes,
        out: &mut Effects<L, S>,
    ) {
        match self.known_reply(call) {
            Some((at, reply)) => out.push(Effect::Reply { ticket, at, reply }),
            None => self.take(clock, ticket, Some(call), command, out),
        }
    }

    /// The reply to a command that this member's state includes: that is final.
    fn known_reply(&self, call: SessionCall) -> Option<(Position, S::Reply)> {
        let SessionCall::Apply {
            session, sequence, ..
        } = call
        else {
            return None;
        };
        if self.state.loading.is_some() || !self.log.is_sound() {
            return None;
        }
        let sessions = &self.state.bookkeeping.sessions;
        match sessions.known(session, sequence)? {
            Admission::Seen(at, reply) => Some((at, postcard::from_bytes(&reply).ok()?)),
            Admission::Fresh | Admission::Refused(_) => None,
        }
    }

    /// Carries out a command of a batch of sessions. `ticket`: a client here waits for it.
    pub(super) fn apply_call(
        &mut self,
        at: At,
        whole: &[u8],
        ticket: Option<Ticket>,
        out: &mut Effects<L, S>,
    ) {
        let outcome = self.carry_out(at, whole);
        let Some(ticket) = ticket else { return };
        out.push(match outcome {
            Outcome::Opened(session) => Effect::Opened { ticket, session },
            Outcome::Closed => Effect::Closed { ticket },
            Outcome::Reply(at, reply) => Effect::Reply { ticket, at, reply },
            Outcome::Failed(failure) => Effect::Fail { ticket, failure },
        });
    }

    fn carry_out(&mut self, at: At, whole: &[u8]) -> Outcome<S::Reply> {
        let sessions = &mut self.state.bookkeeping.sessions;
        let failed = |error: SessionError| Outcome::Failed(error.into());
        match SessionCall::split(whole) {
            Some((SessionCall::Open { ttl_millis }, _)) => sessions
                .open(at, ttl_millis)
                .map_or_else(failed, Outcome::Opened),
            Some((SessionCall::Close { session }, _)) => sessions
                .close(session)
                .map_or_else(failed, |()| Outcome::Closed),
            Some((
                SessionCall::Apply {
                    session,
                    sequence,
                    received,
                },
                command,
            )) => match sessions.admit(at.time, (session, sequence, received)) {
                Admission::Fresh => {
                    let reply = self.state.machine.apply(at, command);
                    sessions.keep(session, sequence, at.position, written(&reply));
                    Outcome::Reply(at.position, reply)
                }
                Admission::Seen(first, reply) => match postcard::from_bytes(&reply) {
                    Ok(reply) => Outcome::Reply(first, reply),
                    Err(_) => failed(SessionError::Forgotten),
                },
                Admission::Refused(error) => failed(error),
            },
            // No member writes such a header; none of them makes anything of it.
            None => failed(SessionError::Expired),
        }
    }
}

/// A reply as it is kept. One that cannot be written is kept as nothing, and is forgotten when it is asked for.
fn written<R: Serialize>(reply: &R) -> Arc<[u8]> {
    postcard::to_extend(reply, Vec::new())
        .unwrap_or_default()
        .into()
}
