//! Reads: rounds of them on their way to the leader, and those that wait for this member to catch up.
//!
//! A round asks whoever leads for a position that includes all that is committed (thesis 6.4, step by step in
//! `docs/architecture.md`). What a read of each level needs is little beside that:
//!
//! - linearizable: a round that began after it came in, answered with the help of a quorum;
//! - lease: such a round, answered by a leader that holds a lease as well;
//! - bounded: any round that was *asked*, by the clock of this member, so long before the read came in at most;
//! - local: any round at all in this life of the member. One that has started anew has less than it had: its disk may even
//!   lack what others' disks let it commit. Once it has applied what a leader of now names, it has all that it ever showed.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::time::Duration;

use super::awaited::{Awaited, Waiting};
use super::writes::earlier;
use super::{Failure, ReadCall, ReadLevel, ReadStamp, ReplicaConfig};
use crate::{Epoch, Instant, NodeId, Position, Rejection, Ticket};

/// The reads of this member's clients, and those that other members ask it about.
///
/// All reads of one turn share one round: one question to the leader. A round that is lost or refused is asked
/// again: reads have no effect, so that a read never ends as `Unknown`.
#[derive(Debug)]
pub(super) struct Reads {
    config: ReplicaConfig,
    gathering: Gathering,
    rounds: VecDeque<Round>,
    awaited: Awaited,
    /// Begins at the life.
    next: u64,
    open: usize,
    freshness: Freshness,
    /// Questions of other members that the log has not answered yet, by the log's ticket.
    remote: BTreeMap<Ticket, (NodeId, u64)>,
}

/// Reads that no round has yet.
#[derive(Debug, Default)]
struct Gathering {
    quorum: Vec<(Ticket, ReadCall)>,
    lease: Vec<(Ticket, ReadCall)>,
    /// Whether there is to be a round without reads.
    probe: bool,
}

/// What is known of the age of the state.
#[derive(Debug)]
struct Freshness {
    /// When the newest round was asked whose answer is applied; of those that took a quorum.
    asked: Option<Instant>,
    /// Whether the state includes all that this member ever showed.
    restored: bool,
}

/// Reads that share one question.
#[derive(Debug)]
struct Round {
    number: u64,
    /// Whether a leader's lease is enough.
    lease: bool,
    reads: Vec<(Ticket, ReadCall)>,
    deadline: Instant,
    /// When it was first asked: the answer may be to that.
    asked: Option<Instant>,
    state: State,
}

/// How far a round is.
#[derive(Clone, Copy, Debug)]
enum State {
    /// Nobody was asked.
    New,
    /// The leader of this epoch was; ask again then.
    Asked(Epoch, Instant),
    /// Any state that includes this will do.
    From(ReadFrom),
}

/// A leader's answer to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ReadFrom {
    pub(super) at: Position,
    /// Without asking a quorum.
    pub(super) leased: bool,
}

/// A question to the leader.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question {
    pub(super) round: u64,
    /// Whether a lease is enough for the answer.
    pub(super) lease: bool,
}

impl Reads {
    /// Rounds on their way at once; further reads gather meanwhile.
    const ROUNDS_MAX: usize = 32;
    /// Questions of other members at once.
    const REMOTE_MAX: usize = 1024;

    /// `restored`: this member has never shown more than it has.
    pub(super) fn new(config: &ReplicaConfig, restored: bool) -> Self {
        Self {
            config: config.clone(),
            gathering: Gathering::default(),
            rounds: VecDeque::new(),
            awaited: Awaited::default(),
            next: config.life.0,
            open: 0,
            freshness: Freshness {
                asked: None,
                restored,
            },
            remote: BTreeMap::new(),
        }
    }

    /// What a read that comes now would be stamped with if it saw the state as it is; none: that is not fresh enough.
    /// `applied`: the last position of that state; none: it is not to be relied on.
    pub(super) fn at_once(
        &mut self,
        now: Instant,
        level: ReadLevel,
        applied: Option<Position>,
    ) -> Option<ReadStamp> {
        let stamp = |behind| {
            applied.map(|applied| ReadStamp {
                level,
                applied,
                behind,
            })
        };
        match level {
            ReadLevel::Linearizable | ReadLevel::Lease => None,
            ReadLevel::Bounded(within) => {
                let behind = self.behind(now).filter(|behind| *behind <= within)?;
                if behind > within / 2 && self.is_idle() {
                    // The next ones shall not have to wait.
                    self.gathering.probe = true;
                }
                stamp(Some(behind))
            }
            ReadLevel::Local => stamp(None).filter(|_| self.freshness.restored),
        }
    }

    /// How long ago everything was included that was committed, at least.
    fn behind(&self, now: Instant) -> Option<Duration> {
        self.freshness.asked.map(|asked| now.since(asked))
    }

    /// Whether no round is on its way that would make the state known to be fresh.
    fn is_idle(&self) -> bool {
        let answered = |round: &Round| round.lease || matches!(round.state, State::From(_));
        self.gathering.quorum.is_empty() && self.rounds.iter().all(answered)
    }

    /// Takes a client's read that needs a round, or says why not.
    pub(super) fn submit(&mut self, ticket: Ticket, call: ReadCall) -> Result<(), Failure> {
        self.count()?;
        let gathering = &mut self.gathering;
        match call.level {
            ReadLevel::Lease => gathering.lease.push((ticket, call)),
            ReadLevel::Linearizable | ReadLevel::Bounded(_) | ReadLevel::Local => {
                gathering.quorum.push((ticket, call));
            }
        }
        Ok(())
    }

    /// Takes a client's read that only waits for a position, or says why not.
    pub(super) fn wait(
        &mut self,
        now: Instant,
        ticket: Ticket,
        (after, stamp): (Position, ReadStamp),
    ) -> Result<(), Failure> {
        self.count()?;
        self.awaited.insert(Waiting {
            ticket,
            stamp,
            after,
            deadline: now + self.config.request_timeout,
        });
        Ok(())
    }

    fn count(&mut self) -> Result<(), Failure> {
        if self.open >= self.config.pending_max {
            return Err(Failure::Overloaded {
                retry_after: self.config.retry_after,
            });
        }
        self.open += 1;
        Ok(())
    }

    /// Makes rounds of what was gathered, if there is room for them.
    pub(super) fn gather(&mut self, now: Instant) {
        let probe = core::mem::take(&mut self.gathering.probe);
        if probe || !self.gathering.quorum.is_empty() {
            self.begin(now, false);
        }
        if !self.gathering.lease.is_empty() {
            self.begin(now, true);
        }
    }

    fn begin(&mut self, now: Instant, lease: bool) {
        if self.rounds.len() >= Self::ROUNDS_MAX {
            return;
        }
        let gathered = if lease {
            &mut self.gathering.lease
        } else {
            &mut self.gathering.quorum
        };
        self.next += 1;
        self.rounds.push_back(Round {
            number: self.next,
            lease,
            reads: core::mem::take(gathered),
            deadline: now + self.config.request_timeout,
            asked: None,
            state: State::New,
        });
    }

    /// The next round to ask the leader of `epoch` about.
    pub(super) fn ask(&mut self, now: Instant, epoch: Epoch) -> Option<Question> {
        let due = |round: &&mut Round| match round.state {
            State::New => true,
            State::Asked(asked, again) => asked != epoch || again <= now,
            State::From(_) => false,
        };
        let round = self.rounds.iter_mut().find(due)?;
        round.asked.get_or_insert(now);
        round.state = State::Asked(epoch, now + self.config.retry_interval);
        Some(Question {
            round: round.number,
            lease: round.lease,
        })
    }

    /// The leader's answer to a round; a late or repeated one changes nothing.
    pub(super) fn on_answer(
        &mut self,
        now: Instant,
        number: u64,
        answer: Result<ReadFrom, Rejection>,
    ) {
        let Some(round) = self.rounds.iter_mut().find(|round| round.number == number) else {
            return;
        };
        match (round.state, answer) {
            (State::Asked(..), Ok(from)) => round.state = State::From(from),
            (State::Asked(epoch, _), Err(_)) => {
                round.state = State::Asked(epoch, now + self.config.retry_after);
            }
            (State::New | State::From(_), _) => {}
        }
    }

    /// Hands over every read that a state which includes `applied` answers.
    pub(super) fn ready(&mut self, applied: Position, mut run: impl FnMut(Ticket, ReadStamp)) {
        while let Some(index) = self.rounds.iter().position(|round| round.is_ready(applied)) {
            let round = self.rounds.remove(index).expect("it was found there");
            self.on_ready(round, applied, &mut run);
        }
        while let Some(Waiting { ticket, stamp, .. }) = self.awaited.next_ready(applied) {
            self.open -= 1;
            run(ticket, ReadStamp { applied, ..stamp });
        }
    }

    fn on_ready(
        &mut self,
        round: Round,
        applied: Position,
        run: &mut impl FnMut(Ticket, ReadStamp),
    ) {
        let leased = matches!(round.state, State::From(from) if from.leased);
        if !leased {
            self.freshness.asked = self.freshness.asked.max(round.asked);
            self.freshness.restored = true;
        }
        for (ticket, ReadCall { level, after }) in round.reads {
            let level = match level {
                ReadLevel::Lease if !leased => ReadLevel::Linearizable,
                level => level,
            };
            let stamp = ReadStamp {
                level,
                applied,
                behind: Some(Duration::ZERO),
            };
            if after <= applied {
                self.open -= 1;
                run(ticket, stamp);
            } else {
                let deadline = round.deadline;
                self.awaited.insert(Waiting {
                    ticket,
                    stamp,
                    after,
                    deadline,
                });
            }
        }
    }

    /// Fails what has waited too long: for a leader as `no_leader` says.
    pub(super) fn expire(
        &mut self,
        now: Instant,
        applied: Position,
        no_leader: Failure,
        mut fail: impl FnMut(Ticket, Failure),
    ) {
        let behind = self.behind(now);
        while let Some(round) = self.rounds.pop_front_if(|round| round.deadline <= now) {
            self.open -= round.reads.len();
            for (ticket, call) in round.reads {
                fail(
                    ticket,
                    match call.level {
                        ReadLevel::Linearizable | ReadLevel::Lease => no_leader,
                        ReadLevel::Bounded(_) | ReadLevel::Local => Failure::TooStale { behind },
                    },
                );
            }
        }
        while let Some(Waiting { ticket, after, .. }) = self.awaited.next_expired(now) {
            self.open -= 1;
            fail(ticket, Failure::NotApplied { after, applied });
        }
    }

    /// Fails everything, the member is stopping.
    pub(super) fn abandon(&mut self, mut fail: impl FnMut(Ticket, Failure)) {
        let gathering = core::mem::take(&mut self.gathering);
        let waiting = self.rounds.drain(..).flat_map(|round| round.reads);
        waiting
            .chain(gathering.quorum)
            .chain(gathering.lease)
            .for_each(|(ticket, _)| fail(ticket, Failure::Stopped));
        let end = Position(u64::MAX);
        while let Some(Waiting { ticket, .. }) = self.awaited.next_ready(end) {
            fail(ticket, Failure::Stopped);
        }
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
        let front = self.rounds.front().map(|round| round.deadline);
        earlier(again.min(), earlier(front, self.awaited.deadline()))
    }

    /// Reads that wait.
    pub(super) const fn open(&self) -> usize {
        self.open
    }
}

impl Round {
    /// Whether a state that includes `applied` answers it.
    fn is_ready(&self, applied: Position) -> bool {
        matches!(self.state, State::From(from) if from.at <= applied)
    }
}
