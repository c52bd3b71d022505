//! A client that has each of its commands applied exactly once, through whichever member.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use quorate_core::{Failure, SessionError, SessionId, StateMachine};
use tokio::time::{Instant, sleep, timeout_at};

use crate::node::Node;
use crate::request::Applied;

/// How long a [`Session`] waits for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionConfig {
    /// It ends when log time has gone on so long without a command of it.
    pub ttl: Duration,
    /// How long a command is tried.
    pub deadline: Duration,
    /// How long one member is waited for before another is asked.
    pub patience: Duration,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            ttl: Duration::from_mins(1),
            deadline: Duration::from_secs(30),
            patience: Duration::from_secs(2),
        }
    }
}

/// A session of this program with the log: its commands are numbered, sent again until their fate is known, and applied
/// once each. Commands may be proposed at the same time; their order is then that of the log.
///
/// One that has expired is opened anew by itself where nothing is left in doubt.
pub struct Session<S: StateMachine> {
    members: Vec<Node<S>>,
    config: SessionConfig,
    numbers: Mutex<Numbers>,
    /// Held by who opens it anew.
    opening: tokio::sync::Mutex<()>,
}

/// The numbers of a session.
#[derive(Debug)]
struct Numbers {
    session: SessionId,
    next: u64,
    /// Those whose fate this side still wants to know.
    open: BTreeSet<u64>,
}

/// A number that was given to a command.
struct Number<'a> {
    numbers: &'a Mutex<Numbers>,
    session: SessionId,
    sequence: u64,
}

/// The attempts at one thing.
struct Attempts<'a, S: StateMachine> {
    members: &'a [Node<S>],
    config: &'a SessionConfig,
    until: Instant,
    /// Whom to ask next, counted on round after round.
    next: usize,
    /// So many in a row have stopped.
    stopped: usize,
    /// An attempt was made whose outcome is not known.
    maybe: bool,
}

impl<S: StateMachine> Session<S> {
    /// Opens a session. Each member is asked when those before it do not answer.
    ///
    /// # Errors
    /// As [`Session::propose`]; [`Failure::Stopped`] if there is no member at all.
    pub async fn open(members: Vec<Node<S>>, config: SessionConfig) -> Result<Self, Failure> {
        if members.is_empty() {
            return Err(Failure::Stopped);
        }
        let session = Attempts::new(&members, &config).open().await?;
        Ok(Self {
            members,
            config,
            numbers: Mutex::new(Numbers::of(session)),
            opening: tokio::sync::Mutex::new(()),
        })
    }

    /// Has a command applied, once.
    ///
    /// # Errors
    /// [`Failure::Unknown`] if the deadline passed, or the session ended, while an attempt was in doubt. All others say
    /// that the command surely was not and will not be applied.
    pub async fn propose(&self, command: Bytes) -> Result<Applied<S::Reply>, Failure> {
        let mut attempts = Attempts::new(&self.members, &self.config);
        let mut number = Numbers::take(&self.numbers);
        loop {
            let failure = match attempts.propose(&number, &command).await {
                Ok(applied) => return Ok(applied),
                Err(failure) => failure,
            };
            match failure {
                // What is in doubt would be in doubt for ever.
                Failure::Session(_) if attempts.maybe => return Err(Failure::Unknown),
                Failure::Session(SessionError::Expired) => {
                    self.renew(number.session, &mut attempts).await?;
                    number = Numbers::take(&self.numbers);
                }
                // Replies behind it were too much to keep, so that it will never be applied under this number.
                Failure::Session(SessionError::Forgotten) => {
                    number = Numbers::take(&self.numbers);
                }
                failure => attempts.after(failure).await?,
            }
        }
    }

    /// Its name in the log at the moment.
    pub fn id(&self) -> SessionId {
        lock(&self.numbers).session
    }

    /// Ends it: its replies need not be kept any longer. One that is merely dropped expires.
    ///
    /// # Errors
    /// [`Failure`]; then it expires likewise.
    pub async fn close(self) -> Result<(), Failure> {
        let mut attempts = Attempts::new(&self.members, &self.config);
        loop {
            let closing = attempts.member().close_session(self.id());
            match attempts.wait_for(closing).await {
                Ok(()) | Err(Failure::Session(_)) => return Ok(()),
                Err(failure) => attempts.after(failure).await?,
            }
        }
    }

    /// Opens another in the place of the one that has expired, unless that was done meanwhile.
    async fn renew(
        &self,
        expired: SessionId,
        attempts: &mut Attempts<'_, S>,
    ) -> Result<(), Failure> {
        let _opening = self.opening.lock().await;
        if self.id() == expired {
            let session = attempts.open().await?;
            *lock(&self.numbers) = Numbers::of(session);
        }
        Ok(())
    }
}

impl<'a, S: StateMachine> Attempts<'a, S> {
    fn new(members: &'a [Node<S>], config: &'a SessionConfig) -> Self {
        Self {
            members,
            config,
            until: Instant::now() + config.deadline,
            next: 0,
            stopped: 0,
            maybe: false,
        }
    }

    fn member(&self) -> &'a Node<S> {
        &self.members[self.next % self.members.len()]
    }

    async fn open(&mut self) -> Result<SessionId, Failure> {
        loop {
            let opening = self.member().open_session(self.config.ttl);
            match self.wait_for(opening).await {
                Ok(session) => return Ok(session),
                // One that was opened unheard expires.
                Err(Failure::Unknown) => self.turn_to_the_next(Failure::Unknown)?,
                Err(failure @ Failure::Session(_)) => return Err(failure),
                Err(failure) => self.after(failure).await?,
            }
        }
    }

    async fn propose(
        &mut self,
        number: &Number<'_>,
        command: &Bytes,
    ) -> Result<Applied<S::Reply>, Failure> {
        let received = lock(number.numbers).received(number.session);
        let place = (number.session, number.sequence, received);
        let proposing = self.member().propose_in(place, command.clone());
        self.wait_for(proposing).await
    }

    /// Waits for one member, as long as it is worth it.
    async fn wait_for<T>(
        &self,
        answer: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let until = self.until.min(Instant::now() + self.config.patience);
        timeout_at(until, answer)
            .await
            .unwrap_or(Err(Failure::Unknown))
    }

    /// Makes ready for another attempt, or says how it ends.
    async fn after(&mut self, failure: Failure) -> Result<(), Failure> {
        self.stopped = match failure {
            Failure::Stopped => self.stopped + 1,
            _ => 0,
        };
        let wait = match failure {
            Failure::Unknown => {
                self.maybe = true;
                Duration::ZERO
            }
            Failure::Overloaded { retry_after } => retry_after,
            Failure::NotLeader { .. } | Failure::NoRoom => Duration::from_millis(20),
            // Once every one of them has said so, it stays so.
            Failure::Stopped if self.stopped < self.members.len() => Duration::ZERO,
            Failure::Stopped
            | Failure::TooLarge { .. }
            | Failure::Session(_)
            // Only reads end so.
            | Failure::TooStale { .. }
            | Failure::NotApplied { .. } => {
                return Err(self.end(failure));
            }
        };
        if !matches!(failure, Failure::Overloaded { .. }) {
            self.turn_to_the_next(failure)?;
        }
        if Instant::now() + wait >= self.until {
            return Err(self.end(failure));
        }
        sleep(wait).await;
        Ok(())
    }

    fn turn_to_the_next(&mut self, failure: Failure) -> Result<(), Failure> {
        self.next += 1;
        if Instant::now() >= self.until {
            return Err(self.end(failure));
        }
        Ok(())
    }

    const fn end(&self, failure: Failure) -> Failure {
        if self.maybe {
            Failure::Unknown
        } else {
            failure
        }
    }
}

impl Numbers {
    const fn of(session: SessionId) -> Self {
        Self {
            session,
            next: 1,
            open: BTreeSet::new(),
        }
    }

    fn take(numbers: &Mutex<Self>) -> Number<'_> {
        let mut this = lock(numbers);
        let sequence = this.next;
        this.next += 1;
        this.open.insert(sequence);
        Number {
            numbers,
            session: this.session,
            sequence,
        }
    }

    /// Up to where this side wants to know no more of this session.
    fn received(&self, session: SessionId) -> u64 {
        let open = self.open.first().copied().unwrap_or(self.next);
        if self.session == session { open - 1 } else { 0 }
    }
}

impl Drop for Number<'_> {
    /// Its fate is known, or nobody wants to know it any more.
    fn drop(&mut self) {
        let mut numbers = lock(self.numbers);
        if numbers.session == self.session {
            numbers.open.remove(&self.sequence);
        }
    }
}

fn lock(numbers: &Mutex<Numbers>) -> MutexGuard<'_, Numbers> {
    numbers.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<S: StateMachine> fmt::Debug for Session<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("numbers", &self.numbers)
            .finish_non_exhaustive()
    }
}
