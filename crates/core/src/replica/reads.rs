//! Reads: rounds of them on their way to the leader, and those that wait for this member to catch up.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use super::writes::earlier;
use super::{Failure, ReplicaConfig};
use crate::{Epoch, Instant, NodeId, Position, Rejection, Ticket};

/// The reads of this member's clients, and those that other members ask it about.
///
/// All reads of one turn share one round: one question to the leader. A round that is lost or refused is asked
/// again: reads have no effect, so that a read never ends as `Unknown`.
#[derive(Debug)]
pub(super) struct Reads {
    config: ReplicaConfig,
    gathering: Vec<Ticket>,
    rounds: VecDeque<Round>,
    /// Begins at the life.
    next: u64,
    open: usize,
    /// Questions of other members that the log has not answered yet, by the log's ticket.
    remote: BTreeMap<Ticket, (NodeId, u64)>,
}

/// Reads that share one question.
#[derive(Debug)]
struct Round {
    number: u64,
    tickets: Vec<Ticket>,
    deadline: Instant,
    state: State,
}

/// How far a round is.
#[derive(Clone, Copy, Debug)]
enum State {
    /// Nobody was asked.
    New,
    /// The leader of this epoch was; ask again then.
    Asked(Epoch, Instant),
    /// Any state that includes this position will do.
    From(Position),
}

impl Reads {
    /// Rounds on their way at once; further reads gather meanwhile.
    const ROUNDS_MAX: usize = 32;
    /// Questions of other members at once.
    const REMOTE_MAX: usize = 1024;

    pub(super) fn new(config: &ReplicaConfig) -> Self {
        Self {
            config: config.clone(),
            gathering: Vec::new(),
            rounds: VecDeque::new(),
            next: config.life.0,
            open: 0,
            remote: BTreeMap::new(),
        }
    }

    /// Takes a client's read, or says why not.
    pub(super) fn submit(&mut self, ticket: Ticket) -> Result<(), Failure> {
        if self.open >= self.config.pending_max {
            return Err(Failure::Overloaded {
                retry_after: self.config.retry_after,
            });
        }
        self.open += 1;
        self.gathering.push(ticket);
        Ok(())
    }

    /// Makes a round of what was gathered, if there is room for one.
    pub(super) fn gather(&mut self, now: Instant) {
        if self.gathering.is_empty() || self.rounds.len() >= Self::ROUNDS_MAX {
            return;
        }
        self.next += 1;
        self.rounds.push_back(Round {
            number: self.next,
            tickets: core::mem::take(&mut self.gathering),
            deadline: now + self.config.request_timeout,
            state: State::New,
        });
    }

    /// The next round to ask the leader of `epoch` about.
    pub(super) fn ask(&mut self, now: Instant, epoch: Epoch) -> Option<u64> {
        let due = |round: &&mut Round| match round.state {
            State::New => true,
            State::Asked(asked, again) => asked != epoch || again <= now,
            State::From(_) => false,
        };
        let round = self.rounds.iter_mut().find(due)?;
        round.state = State::Asked(epoch, now + self.config.retry_interval);
        Some(round.number)
    }

    /// The leader's answer to a round; a late or repeated one changes nothing.
    pub(super) fn on_answer(
        &mut self,
        now: Instant,
        number: u64,
        answer: Result<Position, Rejection>,
    ) {
        let Some(round) = self.rounds.iter_mut().find(|round| round.number == number) else {
            return;
        };
        match (round.state, answer) {
            (State::Asked(..), Ok(at)) => round.state = State::From(at),
            (State::Asked(epoch, _), Err(_)) => {
                round.state = State::Asked(epoch, now + self.config.retry_after);
            }
            (State::New | State::From(_), _) => {}
        }
    }

    /// Hands over every read that a state which includes `applied` answers.
    pub(super) fn ready(&mut self, applied: Position, mut run: impl FnMut(Ticket)) {
        let fresh = |round: &Round| matches!(round.state, State::From(at) if at <= applied);
        if !self.rounds.iter().any(fresh) {
            return;
        }
        for round in self.rounds.iter().filter(|round| fresh(round)) {
            self.open -= round.tickets.len();
            round.tickets.iter().for_each(|ticket| run(*ticket));
        }
        self.rounds.retain(|round| !fresh(round));
    }

    /// Fails what has waited too long.
    pub(super) fn expire(
        &mut self,
        now: Instant,
        failure: Failure,
        mut fail: impl FnMut(Ticket, Failure),
    ) {
        while let Some(round) = self.rounds.front() {
            if round.deadline > now {
                return;
            }
            self.open -= round.tickets.len();
            round
                .tickets
                .iter()
                .for_each(|ticket| fail(*ticket, failure));
            self.rounds.pop_front();
        }
    }

    /// Fails everything, the member is stopping.
    pub(super) fn abandon(&mut self, mut fail: impl FnMut(Ticket, Failure)) {
        let waiting = self.rounds.drain(..).flat_map(|round| round.tickets);
        waiting
            .chain(self.gathering.drain(..))
            .for_each(|ticket| fail(ticket, Failure::Stopped));
        self.open = 0;
    }

    /// Another member asks; false: too many do.
    pub(super) fn on_question(&mut self, ticket: Ticket, from: NodeId, round: u64) -> bool {
        if self.remote.len() >= Self::REMOTE_MAX {
            return false;
        }
        self.remote.insert(ticket, (from, round));
        true
    }

    /// Who asked the question that the log answers under `ticket`; none: it is a round of this member.
    pub(super) fn asked_by(&mut self, ticket: Ticket) -> Option<(NodeId, u64)> {
        self.remote.remove(&ticket)
    }

    /// This member leads no more: the log will not answer what others asked. They ask the next leader.
    pub(super) fn forget_questions(&mut self) {
        self.remote.clear();
    }

    /// When something has to be done even if nothing happens. Without a leader nobody can be asked again.
    pub(super) fn deadline(&self, led: bool) -> Option<Instant> {
        let again = self.rounds.iter().filter_map(|round| match round.state {
            State::Asked(_, again) if led => Some(again),
            State::New | State::Asked(..) | State::From(_) => None,
        });
        earlier(again.min(), self.rounds.front().map(|round| round.deadline))
    }

    /// Reads that wait.
    pub(super) const fn open(&self) -> usize {
        self.open
    }
}
