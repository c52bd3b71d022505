//! Requests that are meant to start at given times, whether or not those before them were answered.
//!
//! Each is handed to a client that is free; if none is, it waits, and its latency counts all the same from when it was
//! meant to start (no "coordinated omission": a load that waits for the server asks least where the server is worst).

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::measured::{Measured, Tally};
use crate::pacer::Pacer;
use crate::seat::{Seat, Settled};
use crate::target::Target;
use crate::workload::{Absurd, Keys, Op, Script, Workload, demand};

/// What one thread can send on time.
const RATE_MAX: u32 = 1_000_000;
const CLIENTS_MAX: usize = 10_000;
const NANOS: u128 = 1_000_000_000;

/// A load in open loop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// How many requests at once, at most.
    pub clients: usize,
    /// The member that all are connected to, counted from 0; none: they spread over all.
    pub through: Option<usize>,
    /// Requests a second.
    pub rate: u32,
    /// When the first is meant to start; connections are made before.
    pub begin: Instant,
    /// For how long requests start.
    pub length: Duration,
    /// So long after the last start; what no client has had time for by then is given up and counts as refused.
    pub drain: Duration,
    /// What was refused is asked again for so long.
    pub insist: Duration,
}

impl Open {
    /// Refuses what cannot be meant.
    ///
    /// # Errors
    /// [`Absurd`], with the reason.
    pub fn check(&self) -> Result<(), Absurd> {
        let some = (1..=CLIENTS_MAX).contains(&self.clients);
        demand(some, "clients", "are 1 to 10000")?;
        let rate = (1..=RATE_MAX).contains(&self.rate);
        demand(rate, "rate", "is 1 to 1000000 a second")?;
        demand(!self.length.is_zero(), "length", "is some time")
    }

    /// How many requests there are.
    pub fn requests(&self) -> u64 {
        (self.length.as_nanos() * u128::from(self.rate) / NANOS) as u64
    }

    /// When request `number` is meant to start, after the beginning.
    pub fn intended(&self, number: u64) -> Duration {
        Duration::from_nanos((u128::from(number) * NANOS / u128::from(self.rate)) as u64)
    }
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The write was acknowledged.
    Written,
    /// The read was answered. If what was acknowledged so long before it was sent was not there: that long.
    Read(Option<Duration>),
    /// Surely not carried out.
    Refused,
    /// Nobody knows.
    Unknown,
}

/// One request. Times count from the beginning of the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// Which, from 0 on; in a workload of fresh keys also the key it wrote.
    pub number: u64,
    /// Whether it was to write.
    pub write: bool,
    /// When it was meant to start.
    pub intended: Duration,
    /// When it was answered, or given up.
    pub ended: Duration,
    /// How it ended.
    pub ending: Ending,
    /// The key that a read looked for.
    pub looked_for: u64,
}

impl End {
    /// From when it was meant to start.
    pub fn latency(&self) -> Duration {
        self.ended.saturating_sub(self.intended)
    }

    /// Whether it was answered as it should.
    pub fn served(&self) -> bool {
        matches!(self.ending, Ending::Written | Ending::Read(_))
    }
}

/// All requests of a load, in the order in which they ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opened {
    /// One for each.
    pub ends: Vec<End>,
}

impl Opened {
    /// What was measured of those meant to start from `warm` on, until the last of them had ended, `length` at least.
    pub fn measured(&self, warm: Duration, length: Duration) -> Measured {
        let last = self.ends.iter().map(|end| end.ended).max();
        let length = length.max(last.unwrap_or_default());
        let mut measured = Measured {
            seconds: length.saturating_sub(warm).as_secs_f64(),
            ..Measured::default()
        };
        for end in &self.ends {
            count(&mut measured.whole, end);
            if end.intended < warm {
                continue;
            }
            count(&mut measured.tally, end);
            if end.served() {
                measured.latency.record(end.latency());
            }
        }
        measured
    }
}

fn count(tally: &mut Tally, end: &End) {
    match end.ending {
        Ending::Written | Ending::Read(_) => tally.done += 1,
        Ending::Refused => tally.refused += 1,
        Ending::Unknown => tally.unknown += 1,
    }
}

/// Runs `plan` against `target`.
///
/// # Errors
/// If a client cannot connect to its member at the start, or the system grants no timer.
///
/// # Panics
/// If the plan or the workload is [`Absurd`].
pub async fn open<T: Target>(
    target: T,
    plan: &Open,
    workload: &Workload,
) -> std::io::Result<Opened> {
    plan.check().expect("the plan is sound");
    workload.check().expect("the workload is sound");
    let target = Rc::new(target);
    let hall = Rc::new(Hall {
        plan: plan.clone(),
        keys: workload.keys,
        waiting: RefCell::default(),
        rung: Notify::new(),
        ends: RefCell::default(),
        acknowledged: RefCell::default(),
        dice: RefCell::new(Script::new(workload, u64::MAX)),
    });
    let mut clients = JoinSet::new();
    for client in 0..plan.clients {
        let home = plan.through.unwrap_or(client % target.members());
        let mut seat = Seat::new(Rc::clone(&target), workload.clone(), home);
        seat.take().await?;
        clients.spawn_local(Rc::clone(&hall).serve(seat));
    }
    hall.pace(Script::new(workload, 0)).await?;
    while let Some(ended) = clients.join_next().await {
        ended.expect("a client neither panics nor is cancelled");
    }
    let ends = hall.ends.take();
    Ok(Opened { ends })
}

/// Where requests wait for a client.
struct Hall {
    plan: Open,
    keys: Keys,
    waiting: RefCell<VecDeque<Option<Op>>>,
    rung: Notify,
    ends: RefCell<Vec<End>>,
    /// Fresh keys whose write was acknowledged, and when.
    acknowledged: RefCell<Vec<(u64, Duration)>>,
    dice: RefCell<Script>,
}

impl Hall {
    /// Lets every request in when it is meant to start, and in the end tells each client to go.
    async fn pace(&self, mut script: Script) -> std::io::Result<()> {
        let pacer = Pacer::new()?;
        for number in 0..self.plan.requests() {
            pacer
                .until(self.plan.begin + self.plan.intended(number))
                .await?;
            self.admit(Some(script.draw()));
        }
        for _ in 0..self.plan.clients {
            self.admit(None);
        }
        Ok(())
    }

    fn admit(&self, op: Option<Op>) {
        self.waiting.borrow_mut().push_back(op);
        self.rung.notify_one();
    }

    /// The next request for a client that is free; none: it may go.
    async fn next(&self) -> Option<Op> {
        loop {
            let waiting = self.waiting.borrow_mut().pop_front();
            match waiting {
                Some(op) => return op,
                // A ring that nobody waited for is kept, so none is missed.
                None => self.rung.notified().await,
            }
        }
    }

    async fn serve<T: Target>(self: Rc<Self>, mut seat: Seat<T>) {
        while let Some(op) = self.next().await {
            let began = self.now();
            if began > self.plan.length + self.plan.drain {
                self.note(op, op.key, Ending::Refused);
                continue;
            }
            let (key, since) = self.key(op, began);
            let deadline = Instant::now() + self.plan.insist;
            let settled = seat.carry_out(op, key, deadline).await;
            let ending = match settled {
                Settled::Written => Ending::Written,
                Settled::Read(false) => Ending::Read(since),
                Settled::Read(true) => Ending::Read(None),
                Settled::Refused => Ending::Refused,
                Settled::Unknown => Ending::Unknown,
            };
            self.note(op, key, ending);
        }
    }

    /// It has ended now.
    fn note(&self, op: Op, key: u64, ending: Ending) {
        let ended = self.now();
        if ending == Ending::Written && self.keys == Keys::Fresh {
            self.acknowledged.borrow_mut().push((key, ended));
        }
        self.ends.borrow_mut().push(End {
            number: op.number,
            write: op.write,
            intended: self.plan.intended(op.number),
            ended,
            ending,
            looked_for: key,
        });
    }

    /// Which key a request is about, and how long a write of it has been acknowledged. A read among fresh keys looks for
    /// one that was acknowledged, sometimes long ago and mostly just now.
    fn key(&self, op: Op, now: Duration) -> (u64, Option<Duration>) {
        let acknowledged = self.acknowledged.borrow();
        if op.write || self.keys != Keys::Fresh || acknowledged.is_empty() {
            return (op.key, None);
        }
        let age = self.dice.borrow_mut().age(acknowledged.len());
        let (key, at) = acknowledged[acknowledged.len() - 1 - age];
        (key, Some(now.saturating_sub(at)))
    }

    fn now(&self) -> Duration {
        Instant::now().saturating_duration_since(self.plan.begin)
    }
}
