//! A client's place: the connection that it has, and where it goes when it loses that.

use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::target::{Fate, Session, Target};
use crate::workload::{Op, Workload, name_key};

/// A client that was refused waits so long before it asks again, as one that behaves should.
const BACKOFF: Duration = Duration::from_millis(10);
/// A client that had to leave its own member tries it again after this time.
const AWAY: Duration = Duration::from_secs(2);
/// At the start a member that lets clients wait for their connection is given so long.
const CROWD: Duration = Duration::from_secs(10);

/// Where a client sits.
pub(crate) struct Seat<T: Target> {
    target: Rc<T>,
    workload: Workload,
    home: usize,
    member: usize,
    session: Option<T::Session>,
    left: Instant,
    key: Vec<u8>,
    value: Vec<u8>,
}

/// How a request ended after all tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    /// It was written.
    Written,
    /// It was read, and there was a value or not.
    Read(bool),
    /// Surely not carried out.
    Refused,
    /// Nobody knows.
    Unknown,
}

impl<T: Target> Seat<T> {
    /// A client whose own member is `home`; it is not connected yet.
    pub(crate) fn new(target: Rc<T>, workload: Workload, home: usize) -> Self {
        Self {
            target,
            workload,
            home,
            member: home,
            session: None,
            left: Instant::now(),
            key: Vec::new(),
            value: Vec::new(),
        }
    }

    /// Connects to the client's own member. Where many connect at once, the last may have to wait.
    ///
    /// # Errors
    /// Those of the connection.
    pub(crate) async fn take(&mut self) -> io::Result<()> {
        let end = Instant::now() + CROWD;
        loop {
            match self.target.connect(self.home).await {
                Ok(session) => {
                    self.session = Some(session);
                    return Ok(());
                }
                Err(error) if error.kind() != io::ErrorKind::TimedOut || Instant::now() > end => {
                    return Err(error);
                }
                Err(_) => {}
            }
        }
    }

    /// Asks until there is an answer; what was surely not carried out is asked again, of another member if need be, until
    /// `deadline`.
    pub(crate) async fn carry_out(&mut self, op: Op, key: u64, deadline: Instant) -> Settled {
        name_key(key, &mut self.key);
        if op.write {
            self.workload.fill(op.number, &mut self.value);
        }
        loop {
            match self.ask(op.write).await {
                Fate::Done(settled) => return settled,
                Fate::Unknown { usable } => {
                    if !usable {
                        self.leave();
                    }
                    return Settled::Unknown;
                }
                Fate::Refused if Instant::now() >= deadline => return Settled::Refused,
                Fate::Refused => tokio::time::sleep(BACKOFF).await,
            }
        }
    }

    async fn ask(&mut self, write: bool) -> Fate<Settled> {
        self.go_home().await;
        if self.session.is_none() {
            match self.target.connect(self.member).await {
                Ok(session) => self.session = Some(session),
                Err(_) => self.leave(),
            }
        }
        let Some(session) = &mut self.session else {
            // Nothing was sent.
            return Fate::Refused;
        };
        if write {
            let fate = session.put(&self.key, &self.value).await;
            fate.map(|()| Settled::Written)
        } else {
            let fate = session.get(&self.key).await;
            fate.map(|value| Settled::Read(value.is_some()))
        }
    }

    fn leave(&mut self) {
        self.session = None;
        self.member = (self.member + 1) % self.target.members();
        self.left = Instant::now();
    }

    /// Goes back to its own member if that one takes connections again.
    async fn go_home(&mut self) {
        if self.member == self.home || self.left.elapsed() < AWAY {
            return;
        }
        self.left = Instant::now();
        if let Ok(session) = self.target.connect(self.home).await {
            self.session = Some(session);
            self.member = self.home;
        }
    }
}
